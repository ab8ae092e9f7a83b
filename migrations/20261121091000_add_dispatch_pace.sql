-- A campaign's own pace, kept in the row its dispatcher locks anyway; wall-clock time, like `pace_buckets`.
alter table campaigns
    add column if not exists pace_tokens double precision not null default 1,
    add column if not exists pace_refilled_at timestamptz not null default now();

-- One burst of refusals halves the pace once, however many calls of the burst were refused.
alter table pace_buckets add column if not exists halved_at timestamptz;

-- What sweep looks for: lists that nobody has finished reading.
create index if not exists imports_open on imports (id) where status in ('queued', 'running');

-- What happened to campaigns: the circuit breaker asks when one was last started or resumed.
create index if not exists call_events_of_campaigns on call_events (account_id, at)
    where call_id is null and lead_id is null and kind <> 'webhook';
