#!/usr/bin/env bash
# Runs the providers' official Python SDKs against a sandbox: SANDBOX_BIN=<binary> tests/sdk/run.sh
#
# The SDKs are a second witness: the sandbox and the product could agree with each other and both be wrong. Where Python
# or its packages cannot be had, it says so in a line "skipped: …" and succeeds.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
venv="$root/.data/sdk-venv"
log="$root/.data/sdk-sandbox.log"
sandbox_bin="${SANDBOX_BIN:-$root/target/debug/sandbox}"

skip() {
    echo "skipped: $1"
    exit 0
}

[ -x "$sandbox_bin" ] || { echo "no sandbox binary at $sandbox_bin; set SANDBOX_BIN" >&2; exit 2; }
command -v python3 >/dev/null || skip "python3 is not installed"

mkdir -p "$root/.data"
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv" >/dev/null 2>&1 || skip "python3 has no venv module"
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || skip "pip is not installed"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" \
        || skip "the SDKs cannot be installed"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

port="$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
SANDBOX_PORT="$port" "$sandbox_bin" serve >"$log" 2>&1 &
sandbox_pid=$!
trap 'kill "$sandbox_pid" 2>/dev/null || true; wait "$sandbox_pid" 2>/dev/null || true' EXIT

for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        up=yes
        break
    fi
    kill -0 "$sandbox_pid" 2>/dev/null || break
    sleep 0.1
done
[ "${up:-}" = yes ] || { echo "the sandbox did not come up; see $log" >&2; exit 1; }

SANDBOX_ADDR="127.0.0.1:$port" "$venv/bin/python" -W ignore -m unittest --verbose "$here/test_sdks.py" "$here/test_twilio.py"
