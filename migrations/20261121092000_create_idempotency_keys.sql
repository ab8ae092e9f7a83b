-- What a POST with an `Idempotency-Key` made, so that its repetition is answered with the same and makes nothing. Written in the
-- transaction that made it: a visible row always names a resource that exists, or did.
create table idempotency_keys (
    account_id bigint not null references accounts (id),
    key text not null,
    operation text not null,
    -- Of everything the request said: the same key with another request is a mistake of the caller's.
    request_hash bytea not null,
    resource_id bigint,
    created_at timestamptz not null default now(),
    primary key (account_id, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

alter table idempotency_keys enable row level security;
alter table idempotency_keys force row level security;
create policy tenant on idempotency_keys using (
    nullif(current_setting('trunkline.account_id', true), '') is null
    or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
);
