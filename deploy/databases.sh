#!/bin/sh
# Makes the roles and databases that are missing, sets the passwords, and grants what each role may do with the log.
# Run before the log's schema is made and again after, at every start; running it twice changes nothing.
set -eu

SECRETS="${SECRETS:-/run/secrets}"
PGPASSWORD="$(cat "$SECRETS/postgres_password")"
export SECRETS PGPASSWORD
sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres "$@"; }

sql --dbname postgres <<'SQL'
\set temporal_password `cat "$SECRETS/temporal_password"`
\set log_owner_password `cat "$SECRETS/log_owner_password"`
\set log_worker_password `cat "$SECRETS/log_worker_password"`

SELECT format('CREATE ROLE %I LOGIN', role) FROM unnest(ARRAY['temporal', 'log_owner', 'log_worker']) AS role
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE temporal PASSWORD :'temporal_password';
ALTER ROLE log_owner PASSWORD :'log_owner_password';
ALTER ROLE log_worker PASSWORD :'log_worker_password';

SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
  FROM (VALUES ('temporal', 'temporal'), ('temporal_visibility', 'temporal'), ('consortium', 'postgres')) AS wanted (name, owner)
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
REVOKE CONNECT ON DATABASE temporal, temporal_visibility FROM PUBLIC;
SQL

sql --dbname consortium --file "$(dirname "$0")/postgres-roles.sql"
sql --dbname consortium --command 'GRANT consortium_owner TO log_owner; GRANT consortium_worker TO log_worker'
