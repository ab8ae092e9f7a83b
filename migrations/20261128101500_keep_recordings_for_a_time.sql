-- The one definition of whether a call is recorded: its campaign wants it, and so does the version of the voice agent that speaks. A
-- call without a campaign follows its voice agent.
create function call_is_recorded(campaign_records boolean, agent_settings jsonb) returns boolean
language sql immutable parallel safe as $$
    select coalesce(campaign_records, true) and coalesce((agent_settings ->> 'recording_enabled')::boolean, true)
$$;

-- How long an account keeps what it has of people; null keeps it. Webhooks are applied within a day of their arrival, so that a week
-- is always safe.
alter table accounts
    add column keep_recordings_days integer check (keep_recordings_days between 1 and 3650),
    add column keep_transcripts_days integer check (keep_transcripts_days between 1 and 3650),
    add column keep_webhooks_days integer default 90 check (keep_webhooks_days between 7 and 3650);

-- A deleted recording says so for ever; its object's key stays until the object is gone.
alter table recordings drop constraint recordings_status_check;
alter table recordings
    add constraint recordings_status_check check (status in ('pending', 'stored', 'missing', 'failed', 'deleted')),
    add column deleted_at timestamptz;
create index recordings_kept on recordings (account_id, stored_at) where status = 'stored';
create index recordings_to_erase on recordings (deleted_at) where status = 'deleted' and object_key is not null;

-- When what was said in the call was deleted.
alter table calls add column words_deleted_at timestamptz;
create index calls_with_words on calls (account_id, ended_at) where answered_at is not null and words_deleted_at is null;

create index call_events_webhooks on call_events (account_id, received_at) where kind = 'webhook';
