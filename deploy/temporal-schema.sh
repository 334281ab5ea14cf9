#!/bin/sh
# Brings both of Temporal's databases to the schema of this image's release; running it again changes nothing.
set -eu
for pair in temporal:temporal temporal_visibility:visibility; do
  database=${pair%%:*}
  schema=${pair##*:}
  temporal-sql-tool --db "$database" setup-schema -v 0.0 || echo "$database has a schema"
  temporal-sql-tool --db "$database" update-schema -d "/etc/temporal/schema/postgresql/v12/$schema/versioned"
done
