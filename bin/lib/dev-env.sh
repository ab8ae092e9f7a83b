# shellcheck shell=bash
# Source this to work on queries: it starts the private development cluster, migrates its database `trunkline`, and lets the
# query macros of our own crates check themselves against it. TEST_DATABASE_URL names the cluster for tests.
ROOT=${ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)}
. "$ROOT/bin/lib/postgres.sh"
postgres_up dev || return 1
export TEST_DATABASE_URL="$DATABASE_URL"
SQLX_DATABASE_URL="$(postgres_url trunkline)"
export SQLX_DATABASE_URL SQLX_OFFLINE=false
unset DATABASE_URL
