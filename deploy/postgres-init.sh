#!/bin/sh
# Run once by the PostgreSQL image on an empty volume: Temporal's role and databases, the log's database, and login roles.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres -v temporal="$TEMPORAL_PASSWORD" -v owner="$LOG_OWNER_PASSWORD" -v worker="$LOG_WORKER_PASSWORD" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE ROLE consortium_owner LOGIN PASSWORD :'owner';
CREATE ROLE consortium_worker NOLOGIN;
CREATE ROLE consortium_worker_login LOGIN PASSWORD :'worker' IN ROLE consortium_worker;
CREATE DATABASE consortium OWNER consortium_owner;
SQL
