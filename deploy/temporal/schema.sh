#!/bin/sh
# Makes Temporal's two databases where they are missing and brings their schemas
# up to date. Safe to run again; the connection is in SQL_*.
set -eu

while read -r database schema; do
	temporal-sql-tool --db "$database" create-database
	temporal-sql-tool --db "$database" setup-schema --version 0.0
	temporal-sql-tool --db "$database" update-schema --schema-dir "${SCHEMA_ROOT:-/etc/temporal/schema}/postgresql/v12/$schema/versioned"
done <<'DATABASES'
temporal temporal
temporal_visibility visibility
DATABASES
