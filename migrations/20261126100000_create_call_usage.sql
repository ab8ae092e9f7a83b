-- What each stream of a call has used, in the provider's own unit; sums rise while the call runs. Carrier minutes are not here:
-- they follow from the call's length.
create table call_usage (
    account_id bigint not null,
    call_id bigint not null,
    stream_sid text not null,
    provider text not null,
    model text not null,
    unit text not null check (unit in ('stt_millisecond', 'llm_input_token', 'llm_cached_token', 'llm_output_token',
        'tts_character')),
    quantity bigint not null check (quantity >= 0),
    primary key (call_id, stream_sid, provider, model, unit),
    foreign key (account_id, call_id) references calls (account_id, id) on delete cascade
);

alter table call_usage enable row level security;
alter table call_usage force row level security;
create policy tenant on call_usage using (
    nullif(current_setting('trunkline.account_id', true), '') is null
    or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
);

-- A price may be of one model alone; estimates go on using the prices they were made with.
alter table price_book add column model text;
alter table price_book add column in_estimates boolean not null default true;
alter table price_book drop constraint price_book_item_check;
alter table price_book add constraint price_book_item_check check (item in ('carrier_minute', 'stt_minute',
    'llm_input_1k_tokens', 'llm_cached_1k_tokens', 'llm_output_1k_tokens', 'tts_1k_characters'));
alter table price_book drop constraint price_book_account_id_item_valid_from_key;
alter table price_book add constraint price_book_one_price unique nulls not distinct (account_id, item, provider, model, valid_from);

-- These were always the prices of one model; others of the same provider are not to be billed by them.
update price_book set model = 'nova-3' where account_id is null and item = 'stt_minute' and provider = 'deepgram';
update price_book set model = 'gpt-6-luna' where account_id is null and item like 'llm\_%' and provider = 'openai';
update price_book set model = 'eleven_flash_v2_5' where account_id is null and item = 'tts_1k_characters' and provider = 'elevenlabs';

insert into price_book (account_id, item, provider, model, price_micros, currency, valid_from, source, is_estimate, in_estimates)
select null, item, provider, model, price_micros, currency, valid_from::date, source, is_estimate, false
from (values
    ('llm_cached_1k_tokens', 'openai', 'gpt-6-luna', 10, 'USD', '2026-11-01',
        'gpt-6-luna, 0.01 USD per million cached input tokens, as of 2026-11', false),
    ('stt_minute', 'deepgram', 'flux-general-en', 6500, 'USD', '2026-08-01', 'Deepgram, Flux English, list of 2026-08-01', false),
    ('stt_minute', 'deepgram', 'flux-general-multi', 7800, 'USD', '2026-08-01', 'Deepgram, Flux multilingual, list of 2026-08-01',
        false),
    ('stt_minute', 'openai', 'gpt-live-transcribe', 17000, 'USD', '2026-08-01', 'OpenAI, gpt-live-transcribe, as of 2026-08', false),
    ('stt_minute', 'openai', 'gpt-transcribe', 4500, 'USD', '2026-08-01', 'OpenAI, gpt-transcribe, as of 2026-08', false),
    ('stt_minute', 'sarvam', 'saaras:v3-realtime', 500000, 'INR', '2026-08-01', 'estimate: about 30 INR per hour, not confirmed by a list', true),
    ('tts_1k_characters', 'deepgram', null, 30000, 'USD', '2026-08-01', 'Deepgram, Aura-2, list of 2026-08-01', false),
    ('tts_1k_characters', 'openai', 'tts-1', 15000, 'USD', '2026-08-01', 'OpenAI, tts-1, as of 2026-08', false),
    ('tts_1k_characters', 'openai', 'gpt-4o-mini-tts', 15000, 'USD', '2026-08-01',
        'estimate: 0.015 USD per minute of speech, taken as a thousand characters', true),
    ('tts_1k_characters', 'sarvam', 'bulbul:v3', 3000000, 'INR', '2026-08-01',
        'estimate: about 30 INR per 10,000 characters of bulbul:v3, not confirmed by a list', true),
    ('tts_1k_characters', 'sarvam', 'bulbul:v2', 1500000, 'INR', '2026-08-01',
        'estimate: half of bulbul:v3, not confirmed by a list', true),
    ('llm_input_1k_tokens', 'openai', 'gpt-6-sol', 2000, 'USD', '2026-11-01', 'gpt-6-sol, 2 USD per million, as of 2026-11', false),
    ('llm_cached_1k_tokens', 'openai', 'gpt-6-sol', 200, 'USD', '2026-11-01', 'gpt-6-sol, 0.20 USD per million, as of 2026-11', false),
    ('llm_output_1k_tokens', 'openai', 'gpt-6-sol', 10000, 'USD', '2026-11-01', 'gpt-6-sol, 10 USD per million, as of 2026-11', false),
    ('llm_input_1k_tokens', 'anthropic', 'claude-haiku-5-5', 100, 'USD', '2026-11-01',
        'claude-haiku-5-5, 0.10 USD per million, as of 2026-11', false),
    ('llm_cached_1k_tokens', 'anthropic', 'claude-haiku-5-5', 10, 'USD', '2026-11-01',
        'claude-haiku-5-5, 0.01 USD per million, as of 2026-11', false),
    ('llm_output_1k_tokens', 'anthropic', 'claude-haiku-5-5', 500, 'USD', '2026-11-01',
        'claude-haiku-5-5, 0.50 USD per million, as of 2026-11', false),
    ('llm_input_1k_tokens', 'anthropic', 'claude-sonnet-5-5', 2000, 'USD', '2026-11-01',
        'claude-sonnet-5-5, 2 USD per million, as of 2026-11', false),
    ('llm_cached_1k_tokens', 'anthropic', 'claude-sonnet-5-5', 100, 'USD', '2026-11-01',
        'claude-sonnet-5-5, 0.10 USD per million, as of 2026-11', false),
    ('llm_output_1k_tokens', 'anthropic', 'claude-sonnet-5-5', 10000, 'USD', '2026-11-01',
        'claude-sonnet-5-5, 10 USD per million, as of 2026-11', false),
    ('llm_input_1k_tokens', 'bedrock', 'anthropic.claude-haiku-5-5', 110, 'USD', '2026-11-01',
        'claude-haiku-5-5 on Bedrock, regional, 0.11 USD per million, as of 2026-11', false),
    ('llm_cached_1k_tokens', 'bedrock', 'anthropic.claude-haiku-5-5', 11, 'USD', '2026-11-01',
        'estimate: a tenth of the input price, as at Anthropic', true),
    ('llm_output_1k_tokens', 'bedrock', 'anthropic.claude-haiku-5-5', 550, 'USD', '2026-11-01',
        'claude-haiku-5-5 on Bedrock, regional, 0.55 USD per million, as of 2026-11', false),
    ('llm_input_1k_tokens', 'gemini', 'gemini-3.8-flash', 750, 'USD', '2026-11-01',
        'gemini-3.8-flash, 0.75 USD per million, as of 2026-11', false),
    ('llm_cached_1k_tokens', 'gemini', 'gemini-3.8-flash', 75, 'USD', '2026-11-01',
        'gemini-3.8-flash, 0.075 USD per million, as of 2026-11', false),
    ('llm_output_1k_tokens', 'gemini', 'gemini-3.8-flash', 3750, 'USD', '2026-11-01',
        'gemini-3.8-flash, 3.75 USD per million, as of 2026-11', false),
    ('llm_input_1k_tokens', 'sarvam', 'sarvam-105b', 29280, 'INR', '2026-09-20',
        'sarvam-105b, 29.28 INR per million, quoted on 2026-09-20', false),
    ('llm_cached_1k_tokens', 'sarvam', 'sarvam-105b', 10980, 'INR', '2026-09-20',
        'sarvam-105b, 10.98 INR per million, quoted on 2026-09-20', false),
    ('llm_output_1k_tokens', 'sarvam', 'sarvam-105b', 73200, 'INR', '2026-09-20',
        'sarvam-105b, 73.2 INR per million, quoted on 2026-09-20', false)
) as listed (item, provider, model, price_micros, currency, valid_from, source, is_estimate);
