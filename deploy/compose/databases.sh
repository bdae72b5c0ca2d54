#!/bin/sh
# Run by the Postgres image at its first start: one database and one role per service, and no
# role may enter another's database. Passwords come as <SERVICE>_DB_PASSWORD.
set -eu

for service in capture inventory payment fulfillment notification tracking; do
    variable=$(printf '%s_DB_PASSWORD' "$service" | tr '[:lower:]' '[:upper:]')
    password=$(printenv "$variable")
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
        --dbname postgres --set service="$service" --set password="$password" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
