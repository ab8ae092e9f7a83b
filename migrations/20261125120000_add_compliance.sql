-- Why a person may be called, what they texted us, and what calling them costs.

-- `express_written` and `express`: they agreed, in writing or in words. `inquiry`: they asked about an offer of ours.
-- `existing_customer`: a contract or a purchase. `legitimate_interest`: our own judgement, which neither DPDP nor TCPA takes
-- for consent. `refused`: the list itself says that they did not agree; such a lead is never called.
alter table leads
    add column consent_basis text not null default 'unknown' check (consent_basis in ('express_written', 'express', 'inquiry',
        'existing_customer', 'legitimate_interest', 'unknown', 'refused')),
    -- When it was given, as the list says.
    add column consent_at timestamptz,
    -- Where: a form, a page, a fair; in the list's words.
    add column consent_source text;

alter table campaigns
    add column require_consent boolean not null default false,
    -- Older consent no longer counts; one without a date does not either.
    add column consent_max_age_days integer check (consent_max_age_days between 1 and 3650);

-- The one definition of consent that holds, for the dispatcher, the import and the preflight. A list's date has no zone, so
-- that a day ahead is taken for today; further ahead it is a mistake, and does not count.
create function consent_holds(basis text, given_at timestamptz, required boolean, max_age_days integer, at timestamptz)
returns boolean language sql stable parallel safe as $$
    select basis <> 'refused' and (not required or (
        basis in ('express_written', 'express', 'inquiry', 'existing_customer')
        and (given_at is null or given_at <= at + interval '1 day')
        and (max_age_days is null or coalesce(given_at > at - make_interval(days => max_age_days), false))
    ))
$$;

-- Text messages. A table of their own and not `call_events`: one message may concern several accounts, or none that is
-- known yet, and belongs to no call.
create table messages (
    id bigint generated always as identity primary key,
    -- Null where it cannot be told which account the number belongs to that it was sent to.
    account_id bigint references accounts (id),
    direction text not null default 'inbound' check (direction in ('inbound', 'outbound')),
    carrier text not null check (carrier in ('exotel', 'twilio')),
    -- The carrier's own id; a repeated webhook meets it.
    carrier_message_id text not null,
    -- The human's number in E.164, once it has been read; null if it cannot be one.
    phone text,
    -- `stop` or `start`, where it is one.
    intent text check (intent in ('stop', 'start')),
    -- As it came.
    fields jsonb not null,
    -- By the carrier's clock.
    sent_at timestamptz,
    -- Domain time.
    at timestamptz not null,
    received_at timestamptz not null default now(),
    -- Null means that sweep must still do it.
    applied_at timestamptz,
    unique (carrier, carrier_message_id)
);
create index messages_unapplied on messages (id) where applied_at is null;
create index messages_of_intent on messages (phone, id) where intent is not null;

alter table messages enable row level security;
alter table messages force row level security;
create policy tenant on messages using (
    nullif(current_setting('trunkline.account_id', true), '') is null
    or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
);

-- What a unit costs from a day on; the latest row holds, an account's own before everybody's.
create table price_book (
    id bigint generated always as identity primary key,
    -- Null: for every account.
    account_id bigint references accounts (id),
    item text not null check (item in ('carrier_minute', 'stt_minute', 'llm_input_1k_tokens', 'llm_output_1k_tokens',
        'tts_1k_characters')),
    provider text not null,
    -- Millionths of the currency's unit.
    price_micros bigint not null check (price_micros >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    valid_from date not null,
    -- Where the price was read, and when.
    source text not null,
    -- Nobody's list says it; whoever has a contract adds a row of their own.
    is_estimate boolean not null default false,
    unique nulls not distinct (account_id, item, valid_from)
);

alter table price_book enable row level security;
alter table price_book force row level security;
create policy tenant on price_book using (
    nullif(current_setting('trunkline.account_id', true), '') is null
    or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
);
-- What holds for everybody may be read by everybody, and written by no tenant.
create policy everybodys on price_book for select using (account_id is null);

insert into price_book (account_id, item, provider, price_micros, currency, valid_from, source, is_estimate) values
    (null, 'carrier_minute', 'exotel', 600000, 'INR', '2026-08-01',
        'estimate: Exotel publishes no list price per minute; the account''s contract decides', true),
    (null, 'stt_minute', 'deepgram', 5800, 'USD', '2026-08-01', 'Deepgram, Nova-3 multilingual streaming, list of 2026-08-01',
        false),
    (null, 'llm_input_1k_tokens', 'openai', 100, 'USD', '2026-11-01',
        'gpt-6-luna, 0.10 USD per million input tokens, as of 2026-11; cached input costs a tenth', false),
    (null, 'llm_output_1k_tokens', 'openai', 500, 'USD', '2026-11-01',
        'gpt-6-luna, 0.50 USD per million output tokens, as of 2026-11', false),
    (null, 'tts_1k_characters', 'elevenlabs', 50000, 'USD', '2026-08-01', 'ElevenLabs Flash, list of 2026-08-01', false);
