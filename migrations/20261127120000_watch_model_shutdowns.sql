-- What each account was told about models that its provider shuts down: at 60 days, at 14 and on the last one, once each.
create table model_shutdown_notices (
    account_id bigint not null references accounts (id) on delete cascade,
    model text not null,
    shutdown_on date not null,
    days integer not null check (days in (60, 14, 1)),
    told_at timestamptz not null,
    primary key (account_id, model, shutdown_on, days)
);

alter table model_shutdown_notices enable row level security;
alter table model_shutdown_notices force row level security;
create policy tenant on model_shutdown_notices using (
    nullif(current_setting('trunkline.account_id', true), '') is null
    or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
);

alter table alerts drop constraint alerts_kind_check;
alter table alerts add constraint alerts_kind_check check (kind in ('circuit_breaker', 'balance', 'carrier_auth', 'call_unknown',
    'dead_job', 'model_shutdown'));
