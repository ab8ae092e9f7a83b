#!/usr/bin/env bash
# Crashes the private cluster of `bin/torture`, as a machine that loses its power does, and starts it again on the same port.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=postgres.sh
. "$ROOT/bin/lib/postgres.sh"
home=$(postgres_home torture)
as_postgres_owner "$(postgres_bin)/pg_ctl" restart --wait --timeout 60 --mode immediate --pgdata "$home/data" \
  --log "$home/server.log" >/dev/null 2>&1 </dev/null
