-- Pace is taken at the instant of dialing, not when a call is reserved: calls that were reserved in time and held up together
-- (a dead worker, a database that was away) must not reach the carrier together.

-- What a bucket that held `tokens` for `since` holds now: at most one second's worth, and at least room for one call.
create function pace_refilled(tokens double precision, since interval, calls_per_second double precision)
returns double precision language sql immutable parallel safe as $$
    select least(greatest(1, calls_per_second), tokens + greatest(0, extract(epoch from since))::float8 * calls_per_second)
$$;

-- A campaign's own pace, where it has one. A row of its own: the campaign's row belongs to its dispatcher, which dials must
-- not get in the way of. (`campaigns.pace_tokens` and `pace_refilled_at` are not read any more.)
create table campaign_pace_buckets (
    campaign_id bigint primary key references campaigns (id) on delete cascade,
    account_id bigint not null references accounts (id),
    -- Wall-clock time, like `pace_buckets`.
    tokens double precision not null,
    refilled_at timestamptz not null default now()
);
alter table campaign_pace_buckets enable row level security;
alter table campaign_pace_buckets force row level security;
create policy tenant on campaign_pace_buckets using (
    nullif(current_setting('trunkline.account_id', true), '') is null
    or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
);
