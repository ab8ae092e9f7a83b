# shellcheck shell=bash
# A private PostgreSQL cluster under .data/, for the demo and the tests. Source this file, then call
# `postgres_up NAME`: it prints nothing, exports DATABASE_URL of the cluster's `postgres` database, and leaves
# a running server behind; `postgres_down NAME` stops it.
#
# The server refuses to run as root. As root the cluster therefore belongs to an unprivileged user, and where that
# user cannot reach the checkout (say, below /root) its files live in /var/tmp instead, with a link from .data/.

ROOT=${ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)}

postgres_bin() {
  local d
  for d in "${POSTGRES_BIN_DIR:-}" /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin \
           /usr/local/opt/postgresql@*/bin /Applications/Postgres.app/Contents/Versions/latest/bin; do
    if [ -n "$d" ] && [ -x "$d/initdb" ] && [ -x "$d/postgres" ]; then newest=$d; fi
  done
  if [ -z "${newest:-}" ] && command -v initdb >/dev/null 2>&1; then newest=$(dirname "$(command -v initdb)"); fi
  if [ -z "${newest:-}" ]; then
    echo "PostgreSQL's server programs (initdb, postgres) are not on this machine: run bin/setup" >&2
    return 1
  fi
  printf '%s\n' "$newest"
}

# Who the cluster belongs to: ourselves, or as root `postgres` where it exists, else `nobody`.
postgres_owner() {
  if [ "$(id -u)" -ne 0 ]; then id -un; elif id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

as_postgres_owner() {
  local owner; owner=$(postgres_owner)
  if [ "$(id -u)" -ne 0 ]; then "$@"
  elif command -v setpriv >/dev/null 2>&1; then
    ( cd / && exec setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups --inh-caps=-all env HOME=/tmp "$@" )
  else ( cd / && exec su -s /bin/sh "$owner" -c 'exec "$0" "$@"' -- "$@" ); fi
}

# Where the cluster NAME keeps its files; creates the place.
postgres_home() {
  local name=$1 link="$ROOT/.data/pg-$1" owner home
  mkdir -p "$ROOT/.data"
  if [ "$(id -u)" -ne 0 ]; then mkdir -p "$link"; printf '%s\n' "$link"; return; fi
  owner=$(postgres_owner)
  if [ -e "$link" ]; then home=$(cd "$link" && pwd -P)
  elif as_postgres_owner test -x "$ROOT/.data"; then mkdir -p "$link"; home=$link
  else
    home=$(mktemp -d "/var/tmp/trunkline-$name.XXXXXX"); ln -s "$home" "$link"
  fi
  chown "$owner" "$home"; chmod 700 "$home"
  printf '%s\n' "$home"
}

free_port() {
  python3 - 2>/dev/null <<'PY' || perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen=>1,LocalAddr=>"127.0.0.1")->sockport,"\n"'
import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])
PY
}

# postgres_up NAME [server option...]: options are passed as `-c key=value`.
postgres_up() {
  local name=$1; shift
  local bin home port password tries options
  bin=$(postgres_bin) || return 1
  home=$(postgres_home "$name") || return 1
  if [ ! -s "$home/data/PG_VERSION" ]; then
    as_postgres_owner rm -rf "$home/data"
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    ( umask 077; printf '%s\n' "$password" > "$home/password" )
    [ "$(id -u)" -ne 0 ] || chown "$(postgres_owner)" "$home/password"
    if ! as_postgres_owner "$bin/initdb" --pgdata "$home/data" --username postgres --auth scram-sha-256 \
        --pwfile "$home/password" --encoding UTF8 --locale C.UTF-8 >"$ROOT/.data/pg-$name-initdb.log" 2>&1; then
      echo "PostgreSQL could not create its cluster:" >&2; tail -5 "$ROOT/.data/pg-$name-initdb.log" >&2; return 1
    fi
  fi
  if ! as_postgres_owner "$bin/pg_ctl" status --pgdata "$home/data" >/dev/null 2>&1; then
    tries=0
    while :; do
      port=$(free_port)
      options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='' -c max_connections=300 $*"
      as_postgres_owner "$bin/pg_ctl" start --wait --timeout 60 --pgdata "$home/data" --log "$home/server.log" \
        --options "$options" >/dev/null 2>&1 </dev/null && break
      tries=$((tries + 1))
      if [ "$tries" -ge 3 ]; then
        echo "PostgreSQL did not start:" >&2; as_postgres_owner tail -5 "$home/server.log" >&2; return 1
      fi
    done
  fi
  # postmaster.pid's fourth line is the port the running server really has.
  port=$(as_postgres_owner sed -n 4p "$home/data/postmaster.pid" | tr -d ' ')
  password=$(cat "$home/password")
  export DATABASE_URL="postgres://postgres:$password@127.0.0.1:$port/postgres"
}

postgres_down() {
  local bin home
  bin=$(postgres_bin) || return 0
  [ -e "$ROOT/.data/pg-$1" ] || return 0
  home=$(postgres_home "$1")
  as_postgres_owner "$bin/pg_ctl" stop --pgdata "$home/data" --mode fast --wait >/dev/null 2>&1 || true
}

# The URL of another database of the running cluster.
postgres_url() { printf '%s/%s\n' "${DATABASE_URL%/*}" "$1"; }

# psql as the cluster's superuser; quiet, and stops at the first error.
postgres_psql() {
  PGOPTIONS='-c client_min_messages=warning' "$(postgres_bin)/psql" --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$DATABASE_URL" "$@"
}

# postgres_role: creates the role `trunkline` that the product runs as. It is no superuser, so that row-level security binds it
# as in production; its password is the cluster's.
postgres_role() {
  local password=${DATABASE_URL#postgres://postgres:}
  password=${password%%@*}
  postgres_psql --set password="$password" <<'SQL'
select 'create role trunkline login createdb' where not exists (select from pg_roles where rolname = 'trunkline') \gexec
alter role trunkline password :'password';
SQL
}

# postgres_fresh NAME: an empty database NAME that belongs to the role `trunkline`; prints its URL.
postgres_fresh() {
  postgres_role
  postgres_psql -c "drop database if exists \"$1\" with (force)" -c "create database \"$1\" owner trunkline"
  postgres_url "$1" | sed 's#postgres://postgres:#postgres://trunkline:#'
}
