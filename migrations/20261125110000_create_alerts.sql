-- What operators must look at: why calling stopped, and what nobody can say. One open alert per account, kind and campaign.
create table alerts (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts (id),
    kind text not null check (kind in ('circuit_breaker', 'balance', 'carrier_auth', 'call_unknown', 'dead_job')),
    -- Null where the whole account is meant.
    campaign_id bigint,
    severity text not null check (severity in ('warning', 'critical')),
    title text not null,
    detail text not null,
    at timestamptz not null,
    resolved_at timestamptz,
    acknowledged_at timestamptz,
    -- When the webhook of the installation took it.
    delivered_at timestamptz,
    -- Wall clock; what the cause of a new alert is compared with.
    changed_at timestamptz not null default now(),
    foreign key (account_id, campaign_id) references campaigns (account_id, id) on delete cascade
);
-- The referee: raising an alert that is open already changes nothing.
create unique index alerts_one_open on alerts (account_id, kind, coalesce(campaign_id, 0)) where resolved_at is null;
create index alerts_by_account on alerts (account_id, id);
create index alerts_resolved on alerts (account_id, kind, changed_at) where resolved_at is not null;

alter table alerts enable row level security;
alter table alerts force row level security;
create policy tenant on alerts using (
    nullif(current_setting('trunkline.account_id', true), '') is null
    or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
);

-- Why it is paused, as a sentence for its operator; null where an operator paused it.
alter table campaigns add column pause_detail text;

-- What sweep looks for: calls about which nobody can say anything, and dead letters.
create index calls_unknown on calls (account_id, campaign_id) where status = 'unknown';
create index jobs_dead on apalis.jobs (done_at) where status = 'Killed';
