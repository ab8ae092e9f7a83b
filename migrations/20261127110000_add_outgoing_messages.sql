-- Text messages that a voice agent sends because the human asked for one. The other direction of `messages`: written down when it is
-- asked for, sent by a job, at most once.
alter table messages alter column carrier_message_id drop not null;
alter table messages add column call_id bigint references calls (id) on delete cascade;
-- The voice agent's name for the text; of each at most one per call.
alter table messages add column template text;
-- Of outgoing ones: `sending` is written before the request leaves; whoever finds it so does not know whether it was sent.
alter table messages add column status text
    check (status in ('queued', 'sending', 'sent', 'delivered', 'failed', 'unknown'));
alter table messages add column reason text;
alter table messages add constraint messages_directions check (
    case direction
        when 'inbound' then carrier_message_id is not null and status is null
        else call_id is not null and template is not null and status is not null and account_id is not null
    end
);
create unique index messages_of_call on messages (call_id, template) where direction = 'outbound';
create index messages_unsent on messages (id) where status in ('queued', 'sending');
