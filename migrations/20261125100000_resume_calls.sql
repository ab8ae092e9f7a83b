-- A call survives its media process: what the next process must know, and how often a call has come back.
alter table streams
    -- Wall clock: when the conversation began, with the call's first stream, and when its last one must be over.
    add column began_at timestamptz not null default now(),
    add column ends_by timestamptz,
    -- Streams after the first.
    add column resumptions integer not null default 0,
    -- The human's words that are final but belong to no settled turn yet: {"text", "began_ms", "ended_ms"}.
    add column unsettled jsonb;

alter table calls
    -- How often the carrier's flow was sent back to the voice agent, and when last (wall clock).
    add column sent_back integer not null default 0,
    add column sent_back_at timestamptz;
