-- Campaigns, their opening hours as UTC rows, contacts, leads and the lists they came from.

create table contacts (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts (id),
    phone text not null check (phone ~ '^\+[1-9][0-9]{6,14}$'),
    name text,
    email text,
    created_at timestamptz not null default now(),
    unique (account_id, phone),
    unique (account_id, id)
);

create table campaigns (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts (id),
    voice_agent_id bigint not null,
    name text not null check (length(name) between 1 and 200),
    description text,
    status text not null default 'draft'
        check (status in ('draft', 'scheduled', 'running', 'paused', 'completed', 'canceled')),
    -- Why a campaign is paused: operator, circuit_breaker, balance, carrier_auth.
    pause_reason text,
    -- Per weekday, `{"mon": [["10:00", "19:00"]], …}`, in the lead's own zone.
    calling_hours jsonb not null,
    holidays date[] not null default '{}',
    time_zone text,
    retry_policy jsonb not null,
    max_attempts_per_lead integer not null default 3 check (max_attempts_per_lead between 1 and 10),
    max_concurrent_calls integer not null default 10 check (max_concurrent_calls between 1 and 1000),
    calls_per_second double precision check (calls_per_second > 0),
    scheduled_start_at timestamptz,
    ends_at timestamptz,
    record boolean not null default true,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz,
    unique (account_id, id),
    foreign key (account_id, voice_agent_id) references voice_agents (account_id, id),
    check ((status = 'paused') = (pause_reason is not null))
);
create index campaigns_by_account on campaigns (account_id, id desc);
create index campaigns_open on campaigns (status) where status in ('scheduled', 'running');

-- The current or next window of one zone, in UTC; closing a window rewrites this row and no lead.
-- A zone in which the campaign never opens has opens_at = 'infinity'.
create table campaign_windows (
    campaign_id bigint not null references campaigns (id) on delete cascade,
    account_id bigint not null,
    time_zone text not null,
    country text not null,
    opens_at timestamptz not null,
    closes_at timestamptz not null,
    primary key (campaign_id, time_zone, country)
);

create table imports (
    id bigint generated always as identity primary key,
    account_id bigint not null,
    campaign_id bigint not null,
    file_name text not null,
    content_type text,
    file_bytes bigint not null,
    -- The uploaded file, until it has been read.
    content bytea,
    status text not null default 'queued' check (status in ('queued', 'running', 'completed', 'failed')),
    -- The last line whose outcome is stored: a second run goes on behind it.
    lines_done bigint not null default 0,
    rows_total bigint not null default 0,
    rows_imported bigint not null default 0,
    rows_duplicate bigint not null default 0,
    rows_rejected bigint not null default 0,
    error text,
    created_at timestamptz not null,
    finished_at timestamptz,
    unique (account_id, id),
    foreign key (account_id, campaign_id) references campaigns (account_id, id) on delete cascade
);
create index imports_by_campaign on imports (campaign_id, id);

-- Rows of an upload that became no lead, or became one with a remark.
create table import_rows (
    id bigint generated always as identity primary key,
    account_id bigint not null,
    import_id bigint not null,
    line bigint not null,
    column_name text not null,
    value text not null,
    reason text not null,
    severity text not null default 'rejected' check (severity in ('rejected', 'duplicate', 'warning')),
    unique (import_id, line, column_name),
    foreign key (account_id, import_id) references imports (account_id, id) on delete cascade
);

create table leads (
    id bigint generated always as identity primary key,
    account_id bigint not null,
    campaign_id bigint not null,
    contact_id bigint not null,
    import_id bigint,
    phone text not null,
    country text not null,
    name text,
    email text,
    property_type text,
    location text,
    budget text,
    source text,
    language text,
    tags text[] not null default '{}',
    variables jsonb not null default '{}',
    time_zone text not null,
    priority integer not null default 0,
    status text not null default 'pending' check (status in ('pending', 'dialing', 'in_call', 'waiting_retry',
        'callback_scheduled', 'done', 'exhausted', 'suppressed', 'canceled', 'expired')),
    disposition text,
    suppression_reason text,
    score integer check (score between 0 and 100),
    attempts integer not null default 0 check (attempts >= 0),
    -- One more attempt than the campaign's maximum for somebody who asked to be called back.
    callbacks_granted integer not null default 0 check (callbacks_granted between 0 and 1),
    next_at timestamptz not null,
    last_attempt_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (campaign_id, phone),
    unique (account_id, id),
    foreign key (account_id, campaign_id) references campaigns (account_id, id) on delete cascade,
    foreign key (account_id, contact_id) references contacts (account_id, id)
);
-- What the dispatcher reads: the due leads of one zone, best first.
create index leads_due on leads (campaign_id, time_zone, country, priority desc, next_at)
    where status in ('pending', 'waiting_retry', 'callback_scheduled');
create index leads_next on leads (campaign_id, next_at)
    where status in ('pending', 'waiting_retry', 'callback_scheduled');
create index leads_by_campaign on leads (campaign_id, id);
create index leads_by_status on leads (campaign_id, status);
create index leads_by_phone on leads (account_id, phone)
    where status in ('pending', 'waiting_retry', 'callback_scheduled');
create index leads_in_call on leads (updated_at) where status in ('dialing', 'in_call');

create table do_not_call (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts (id),
    phone text not null,
    reason text not null,
    source text not null check (source in ('operator', 'call', 'carrier', 'sms')),
    call_id bigint,
    created_at timestamptz not null,
    unique (account_id, phone)
);
