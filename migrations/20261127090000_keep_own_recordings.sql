-- Our own recordings: what each stream of a call recorded, until one recording is made of it or the carrier's makes it needless.
create table recording_pieces (
    -- A ULID that the recording process gave it, so that noting it twice is noting it once.
    id text primary key,
    call_id bigint not null,
    account_id bigint not null,
    -- Since the conversation began.
    offset_ms bigint not null check (offset_ms >= 0),
    duration_ms bigint not null check (duration_ms > 0),
    object_key text not null,
    -- It is in the call's recording: its object can go.
    is_used boolean not null default false,
    created_at timestamptz not null default now(),
    foreign key (account_id, call_id) references calls (account_id, id) on delete cascade
);
create index recording_pieces_of_call on recording_pieces (call_id);

alter table recording_pieces enable row level security;
alter table recording_pieces force row level security;
create policy tenant on recording_pieces using (
    nullif(current_setting('trunkline.account_id', true), '') is null
    or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
);

-- Whose recording it is that is kept.
alter table recordings add column source text not null default 'carrier' check (source in ('carrier', 'media'));
