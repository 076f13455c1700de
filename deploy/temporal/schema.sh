#!/bin/sh
# Makes Temporal's two databases where they are missing and brings their schemas
# up to date. Safe to run again; the connection is in SQL_*.
set -eu

# Temporal writes a blank of a password as + into the address of its database.
case $SQL_PASSWORD in
*\ *)
	echo "schema: the database's password has a blank, with which Temporal cannot log in: choose another" >&2
	exit 1
	;;
esac

while read -r database schema; do
	temporal-sql-tool --db "$database" create-database
	temporal-sql-tool --db "$database" setup-schema --version 0.0
	temporal-sql-tool --db "$database" update-schema --schema-dir "${SCHEMA_ROOT:-/etc/temporal/schema}/postgresql/v12/$schema/versioned"
done <<'DATABASES'
temporal temporal
temporal_visibility visibility
DATABASES
