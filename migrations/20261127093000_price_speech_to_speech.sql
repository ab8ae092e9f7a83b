-- Models that hear and speak by themselves are charged by tokens of sound, at other prices than tokens of text.
alter table call_usage drop constraint call_usage_unit_check;
alter table call_usage add constraint call_usage_unit_check check (unit in ('stt_millisecond', 'llm_input_token', 'llm_cached_token',
    'llm_output_token', 'audio_input_token', 'audio_output_token', 'tts_character'));
alter table price_book drop constraint price_book_item_check;
alter table price_book add constraint price_book_item_check check (item in ('carrier_minute', 'stt_minute', 'llm_input_1k_tokens',
    'llm_cached_1k_tokens', 'llm_output_1k_tokens', 'audio_input_1k_tokens', 'audio_output_1k_tokens', 'tts_1k_characters'));

insert into price_book (account_id, item, provider, model, price_micros, currency, valid_from, source, is_estimate, in_estimates)
select null, item, 'openai', model, price_micros, 'USD', '2026-11-01'::date, source, is_estimate, false
from (values
    ('audio_input_1k_tokens', 'gpt-realtime-2.1', 32000, 'gpt-realtime-2.1, 32 USD per million tokens of sound heard, as of 2026-11', false),
    ('audio_output_1k_tokens', 'gpt-realtime-2.1', 64000, 'gpt-realtime-2.1, 64 USD per million tokens of sound made, as of 2026-11', false),
    ('llm_input_1k_tokens', 'gpt-realtime-2.1', 4000, 'gpt-realtime-2.1, 4 USD per million tokens of text read, as of 2026-11', false),
    ('llm_output_1k_tokens', 'gpt-realtime-2.1', 24000, 'gpt-realtime-2.1, 24 USD per million tokens of text written, as of 2026-11', false),
    ('llm_cached_1k_tokens', 'gpt-realtime-2.1', 400, 'gpt-realtime-2.1, 0.40 USD per million cached tokens, as of 2026-11', false),
    ('audio_input_1k_tokens', 'gpt-realtime-2.1-mini', 10000,
        'gpt-realtime-2.1-mini, 10 USD per million tokens of sound heard, as of 2026-11', false),
    ('audio_output_1k_tokens', 'gpt-realtime-2.1-mini', 20000,
        'gpt-realtime-2.1-mini, 20 USD per million tokens of sound made, as of 2026-11', false),
    ('llm_input_1k_tokens', 'gpt-realtime-2.1-mini', 600,
        'gpt-realtime-2.1-mini, 0.60 USD per million tokens of text read, as of 2026-11', false),
    ('llm_output_1k_tokens', 'gpt-realtime-2.1-mini', 2400,
        'gpt-realtime-2.1-mini, 2.40 USD per million tokens of text written, as of 2026-11', false),
    ('llm_cached_1k_tokens', 'gpt-realtime-2.1-mini', 300,
        'gpt-realtime-2.1-mini, 0.30 USD per million cached tokens, as of 2026-11', false)
) as listed (item, model, price_micros, source, is_estimate);
