-- One row per dial attempt (or inbound call), everything heard about it, and what was said.

-- How far a call got. Only a rise is ever applied, so that late and reordered webhooks change nothing; `unknown` still
-- yields to a terminal status that arrives after all.
create function call_status_rank(status text) returns integer language sql immutable parallel safe as $$
    select case status
        when 'queued' then 0 when 'dialing' then 1 when 'ringing' then 2 when 'in_progress' then 3
        when 'transferred' then 4 when 'unknown' then 4 else 5
    end
$$;

create table calls (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts (id),
    campaign_id bigint,
    lead_id bigint,
    voice_agent_id bigint not null,
    voice_agent_version integer not null,
    direction text not null default 'outbound' check (direction in ('outbound', 'inbound')),
    carrier text not null check (carrier in ('exotel', 'twilio')),
    -- 1-based among the lead's calls.
    attempt integer not null check (attempt > 0),
    -- Our own name for the call at the carrier: in the callback's URL and as CustomField.
    reference text not null unique,
    phone text not null,
    status text not null default 'queued' check (status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred',
        'completed', 'busy', 'no_answer', 'failed', 'canceled', 'unknown')),
    answered_by text check (answered_by in ('human', 'machine', 'unknown')),
    hangup_cause text,
    failure_reason text,
    carrier_call_id text,
    -- Which guards the call passed when it was reserved and dialed, and their values.
    guards jsonb not null default '{}',
    queued_at timestamptz not null,
    dialing_at timestamptz,
    ringing_at timestamptz,
    answered_at timestamptz,
    ended_at timestamptz,
    -- Talk time in seconds, by the carrier's own count where it gives one.
    duration_seconds integer,
    -- Taken back before any request left us: never dialed, and no attempt.
    withdrawn_at timestamptz,
    -- Set once, when the outcome has reached the lead.
    settled_at timestamptz,
    -- The three below are wall-clock times: leases and the carrier's clock know no other.
    request_sent_at timestamptz,
    lease_until timestamptz not null,
    updated_at timestamptz not null default now(),
    reconcile_count integer not null default 0,
    unique (account_id, id),
    unique (carrier, carrier_call_id),
    foreign key (account_id, campaign_id) references campaigns (account_id, id) on delete cascade,
    foreign key (account_id, lead_id) references leads (account_id, id) on delete cascade,
    foreign key (voice_agent_id, voice_agent_version) references voice_agent_versions (voice_agent_id, version),
    check ((lead_id is null) = (campaign_id is null))
);
-- The referees: an attempt exists once, and a lead has at most one live call.
create unique index calls_attempt on calls (lead_id, attempt) where withdrawn_at is null;
create unique index calls_one_live_per_lead on calls (lead_id)
    where status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred');
create unique index calls_one_live_per_number on calls (account_id, phone)
    where status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred') and direction = 'outbound';
create index calls_live on calls (account_id, campaign_id)
    where status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred');
create index calls_lease on calls (lease_until)
    where status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred');
create index calls_unsettled on calls (ended_at)
    where settled_at is null and status in ('completed', 'busy', 'no_answer', 'failed', 'canceled', 'unknown');
create index calls_by_campaign on calls (campaign_id, id);
create index calls_by_number on calls (account_id, phone, queued_at desc);

-- Append-only: raw webhooks, transitions and their reasons. `event_key` makes a repeated webhook a no-op.
create table call_events (
    id bigint generated always as identity primary key,
    account_id bigint,
    call_id bigint references calls (id) on delete cascade,
    lead_id bigint references leads (id) on delete cascade,
    kind text not null,
    carrier text,
    event_key text,
    data jsonb not null default '{}',
    at timestamptz not null,
    received_at timestamptz not null default now(),
    -- For raw webhooks: when it was applied to its call; null means that sweep must still do it.
    applied_at timestamptz,
    unique (carrier, event_key)
);
create index call_events_by_call on call_events (call_id, id);
create index call_events_by_lead on call_events (lead_id, id);
create index call_events_unapplied on call_events (id) where kind = 'webhook' and applied_at is null;

-- The carrier's WebSocket of an answered call, while it lives and after.
create table streams (
    call_id bigint primary key references calls (id) on delete cascade,
    account_id bigint not null,
    stream_sid text not null,
    media_instance text not null,
    phase text not null default 'opening',
    stage text not null default 'intro',
    turn_count integer not null default 0,
    started_at timestamptz not null,
    -- Wall clock.
    heartbeat_at timestamptz not null default now(),
    ended_at timestamptz,
    end_reason text
);
create index streams_live on streams (account_id) where ended_at is null;

create table turns (
    id bigint generated always as identity primary key,
    account_id bigint not null,
    call_id bigint not null,
    seq integer not null,
    role text not null check (role in ('agent', 'callee', 'tool')),
    -- What was heard: an interrupted agent turn ends where its playout ended.
    text text not null,
    interrupted boolean not null default false,
    -- Milliseconds since the stream began.
    started_ms bigint not null,
    ended_ms bigint not null,
    -- Milliseconds since the stream began, one field per stage that happened.
    stages jsonb not null default '{}',
    created_at timestamptz not null default now(),
    unique (call_id, seq),
    foreign key (account_id, call_id) references calls (account_id, id) on delete cascade
);

create table conversations (
    call_id bigint primary key,
    account_id bigint not null,
    -- What the agent noted while it spoke (`record_answer`), and what it was asked to do.
    answers jsonb not null default '{}',
    live_disposition text,
    callback_text text,
    callback_at timestamptz,
    -- From the summary of the finished call.
    summary text,
    disposition text,
    intent text,
    extracted jsonb,
    score integer check (score between 0 and 100),
    score_reasons jsonb,
    lead_qualified boolean,
    summary_status text not null default 'none' check (summary_status in ('none', 'pending', 'completed', 'failed')),
    summary_error text,
    model text,
    summarized_at timestamptz,
    foreign key (account_id, call_id) references calls (account_id, id) on delete cascade
);
create index conversations_pending on conversations (call_id) where summary_status = 'pending';

create table recordings (
    call_id bigint primary key,
    account_id bigint not null,
    source_url text not null,
    status text not null default 'pending' check (status in ('pending', 'stored', 'missing', 'failed')),
    object_key text,
    content_type text,
    size_bytes bigint,
    duration_ms bigint,
    sha256 bytea,
    reason text,
    created_at timestamptz not null default now(),
    stored_at timestamptz,
    foreign key (account_id, call_id) references calls (account_id, id) on delete cascade
);
create index recordings_pending on recordings (created_at) where status = 'pending';

alter table do_not_call add foreign key (call_id) references calls (id) on delete set null;

-- Calls started per second: one token bucket per account and carrier, in wall-clock time. `factor` is halved when the
-- carrier says 429 or 5xx and creeps back to 1.
create table pace_buckets (
    account_id bigint not null references accounts (id),
    carrier text not null,
    tokens double precision not null,
    factor double precision not null default 1 check (factor between 0.01 and 1),
    refilled_at timestamptz not null default now(),
    primary key (account_id, carrier)
);
