#!/usr/bin/env bash
# Writes .sqlx, the description of every query, from a freshly migrated database; with --check it compares instead.
# The macros do the writing: compiled online with SQLX_OFFLINE_DIR set, each stores what the database told it.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$ROOT"
# shellcheck source=postgres.sh
. bin/lib/postgres.sh
CRATES=(shared worker)

# Migrated with psql, not with our own `api migrate`: that could only be built with the very .sqlx that is being written.
queue_schema=$(cargo metadata --locked --format-version 1 --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" |
  grep -o '"manifest_path":"[^"]*/apalis-postgres-[^"]*/Cargo.toml"' | head -1 | sed 's#^"manifest_path":"##; s#/Cargo.toml"$##')
postgres_up "${POSTGRES_CLUSTER:-dev}"
postgres_psql -c 'drop database if exists trunkline_prepare with (force)' -c 'create database trunkline_prepare'
SQLX_DATABASE_URL=$(postgres_url trunkline_prepare)
for migration in "$queue_schema"/migrations/*.sql migrations/*.sql; do
  DATABASE_URL=$SQLX_DATABASE_URL postgres_psql --file "$migration" >/dev/null
done

fresh=$(mktemp -d)
# A developer's own cluster stays up; one that was named for this run alone does not.
trap 'rm -rf "$fresh"; [ -z "${POSTGRES_CLUSTER:-}" ] || postgres_down "$POSTGRES_CLUSTER"' EXIT
export SQLX_DATABASE_URL SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$fresh
unset DATABASE_URL
for crate in "${CRATES[@]}"; do
  touch "$crate/src/lib.rs"
done
# The whole workspace, so that no dependency is built a second time with other features.
cargo check --quiet --workspace --all-targets
unset SQLX_OFFLINE_DIR

if [ "${1:-}" = --check ]; then
  if diff -rq "$fresh" .sqlx >/dev/null; then echo '.sqlx is up to date'; else
    echo '.sqlx differs from what the migrated database says; run bin/lib/sqlx-prepare.sh and commit:' >&2
    diff -rq "$fresh" .sqlx >&2 || true
    exit 1
  fi
else
  rm -rf .sqlx; mkdir .sqlx; cp "$fresh"/*.json .sqlx/
  echo ".sqlx: $(find .sqlx -name '*.json' | wc -l | tr -d ' ') queries"
fi
