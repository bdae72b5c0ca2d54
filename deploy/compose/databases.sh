#!/bin/sh
# Run by the Postgres image at its first start: per service a database, the role that owns and
# migrates it, and the role that works in it. No role may enter another's database, and none but
# the owner change its schema: what the others may do is granted by `migrate`. `waybill_reader` reads
# the logs. Passwords come as <SERVICE>_DB_PASSWORD, OWNER_DB_PASSWORD and READER_DB_PASSWORD.
#
# May be run again, which is how a volume of an earlier release gets its owners:
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/databases.sh
set -eu

sql() { # database, psql variables; statements on stdin
    database=$1
    shift
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
        --dbname "$database" "$@"
}

role() { # name, password
    sql postgres --set role="$1" --set password="$2" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password';
SQL
}

role waybill_reader "$READER_DB_PASSWORD"
for service in capture inventory payment fulfillment notification tracking; do
    variable=$(printf '%s_DB_PASSWORD' "$service" | tr '[:lower:]' '[:upper:]')
    role "$service" "$(printenv "$variable")"
    role "${service}_owner" "$OWNER_DB_PASSWORD"
    sql postgres --set service="$service" --set owner="${service}_owner" <<'SQL'
SELECT format('CREATE DATABASE %I OWNER %I', :'service', :'owner')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
    sql "$service" --set service="$service" --set owner="${service}_owner" <<'SQL'
REASSIGN OWNED BY :"service" TO :"owner";
SQL
done
sql postgres <<'SQL'
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
SQL
