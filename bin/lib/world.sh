# shellcheck shell=bash
# The three processes and the simulated outside world, started and stopped together. Source after postgres.sh; DATABASE_URL and
# PORT must be set.

started=()

# Ends what was started, the newest first: api, media and worker drain before the world they talk to goes away.
stop_all() {
  local i
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do kill -TERM "${started[i]}" 2>/dev/null || true; done
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do wait "${started[i]}" 2>/dev/null || true; done
  started=()
}

# Whether all of it still runs.
alive() { local pid; for pid in "${started[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done; }

# start NAME COMMAND...: in the background, with its log in $LOGS; its process id is in $STARTED_PID.
start() {
  local name=$1; shift
  "$@" >"$LOGS/$name.log" 2>&1 &
  STARTED_PID=$!
  started+=("$STARTED_PID")
}

# world_environment DIRECTORY: everything the processes read, with logs and recordings below DIRECTORY.
world_environment() {
  LOGS=$1
  mkdir -p "$LOGS"
  # Of an earlier world, whose calls had the same numbers.
  rm -rf "$LOGS/recordings" "$LOGS/spool"
  MEDIA_PORT=$(free_port); METRICS_PORT=$(free_port); SANDBOX_PORT=$(free_port)
  WORLD_URL="http://127.0.0.1:$SANDBOX_PORT"
  export HOST=127.0.0.1 MEDIA_PORT METRICS_PORT SANDBOX_PORT
  export AUTH=open OUR_BASE_URL="http://127.0.0.1:$PORT" CALLBACK_SECRET=demo-callback-secret LOG_LEVEL=${LOG_LEVEL:-info}
  export RECORDINGS_DIR="$LOGS/recordings"
  export SPOOL_DIR="$LOGS/spool"
  # The outside world is only base URLs and keys.
  export EXOTEL_API_BASE_URL=$WORLD_URL EXOTEL_ACCOUNT_SID=sandbox1 EXOTEL_API_KEY=sandbox-key EXOTEL_API_TOKEN=sandbox-token
  export EXOTEL_VIRTUAL_NUMBER=08047112233 EXOTEL_EXOPHLO_ID=1001 CARRIER_TIMEOUT_SECS=2
  export TWILIO_API_BASE_URL=$WORLD_URL TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef
  export TWILIO_AUTH_TOKEN=sandbox-twilio-token TWILIO_NUMBER=+14155550100 TWILIO_MACHINE_DETECTION=true
  export TWILIO_CALLS_PER_SECOND=3 TWILIO_STREAM_URL="ws://127.0.0.1:$MEDIA_PORT/twilio/media"
  export DEEPGRAM_URL="ws://127.0.0.1:$SANDBOX_PORT" DEEPGRAM_API_KEY=sandbox-key
  export OPENAI_BASE_URL="$WORLD_URL/v1" OPENAI_API_KEY=sandbox-key LLM_MODEL=gpt-6-luna
  export ELEVENLABS_URL=$WORLD_URL ELEVENLABS_API_KEY=sandbox-key ELEVENLABS_VOICE_ID=sandbox-voice
  export SARVAM_URL=$WORLD_URL SARVAM_API_KEY=sandbox-key
  export ANTHROPIC_BASE_URL=$WORLD_URL ANTHROPIC_API_KEY=sandbox-key
  export BEDROCK_BASE_URL="$WORLD_URL/anthropic" AWS_BEARER_TOKEN_BEDROCK=sandbox-key
  export GEMINI_BASE_URL="$WORLD_URL/v1beta/openai" GEMINI_API_KEY=sandbox-key
  export SANDBOX_VOICEBOT_URL="ws://127.0.0.1:$MEDIA_PORT/media"
  export SANDBOX_PASSTHRU_URL="$OUR_BASE_URL/passthru-handler?secret=$CALLBACK_SECRET"
  export SANDBOX_CONNECT_URL="$OUR_BASE_URL/connect-handler?secret=$CALLBACK_SECRET"
  export SANDBOX_AFTER_CONNECT_URL="$OUR_BASE_URL/dial-handler?secret=$CALLBACK_SECRET"
  # A Monday, 10:01 in India, and ten minutes pass in each second: two hours until a retry are twelve seconds, the night from
  # 19:00 to 10:00 is a minute and a half. Calls themselves take as long as calls take; phones ring a third as long.
  export SANDBOX_RATE=${SANDBOX_RATE:-3}
  CLOCK_EPOCH=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  export CLOCK_EPOCH CLOCK_START=${CLOCK_START:-2026-11-23T04:31:00Z} CLOCK_SPEED=${CLOCK_SPEED:-600}
}

# start_world BINARIES [PIN...]: migrates and starts everything; the media process' id is in $MEDIA_PID. PIN, where given, is a
# command prefix for the media process (the rest runs under $PIN_OTHERS).
start_world() {
  local bin=$1; shift
  if ! "$bin/api" migrate >"$LOGS/migrate.log" 2>&1; then
    echo 'the migrations failed:' >&2; tail -5 "$LOGS/migrate.log" >&2; return 1
  fi
  # shellcheck disable=SC2086
  start sandbox ${PIN_OTHERS:-} "$bin/sandbox" serve
  # shellcheck disable=SC2086
  start worker ${PIN_OTHERS:-} "$bin/worker"
  start media "$@" "$bin/media"
  MEDIA_PID=$STARTED_PID
  # shellcheck disable=SC2086
  start api ${PIN_OTHERS:-} "$bin/api" serve
}
