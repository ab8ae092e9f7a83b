-- The tenant, its keys and its voice agents.

create table accounts (
    id bigint generated always as identity primary key,
    name text not null,
    -- Two-letter country in which a number without a country code is meant.
    region text not null default 'IN' check (region ~ '^[A-Z]{2}$'),
    time_zone text not null default 'Asia/Kolkata',
    max_concurrent_calls integer not null default 100 check (max_concurrent_calls between 0 and 10000),
    -- Calls started per second, across campaigns; the pace is the least of this and the carrier's own rate.
    calls_per_second double precision not null default 3 check (calls_per_second > 0),
    -- Between two calls to one number, whatever campaign asks for them.
    min_gap_minutes integer not null default 30 check (min_gap_minutes >= 0),
    max_calls_per_number_per_day integer not null default 4 check (max_calls_per_number_per_day > 0),
    created_at timestamptz not null default now()
);

create table api_keys (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts (id),
    name text not null,
    -- The first characters of the key, shown in lists; the key itself is kept only as a SHA-256 hash.
    prefix text not null,
    key_hash bytea not null unique,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_account on api_keys (account_id);

create table voice_agents (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts (id),
    name text not null,
    version integer not null default 1 check (version > 0),
    created_at timestamptz not null default now(),
    unique (account_id, id)
);

-- A call pins the version it speaks with, so that an edit never changes a conversation under way.
create table voice_agent_versions (
    account_id bigint not null,
    voice_agent_id bigint not null,
    version integer not null check (version > 0),
    settings jsonb not null,
    created_at timestamptz not null default now(),
    primary key (voice_agent_id, version),
    foreign key (account_id, voice_agent_id) references voice_agents (account_id, id)
);
