-- What a campaign plays to an answering machine after its beep: an uploaded recording, in the object store.
alter table campaigns
    add column voicemail_recording_key text,
    add column voicemail_recording_title text check (char_length(voicemail_recording_title) between 1 and 100),
    add column voicemail_recording_ms integer check (voicemail_recording_ms > 0),
    add constraint campaigns_voicemail_recording_whole check (
        num_nulls(voicemail_recording_key, voicemail_recording_title, voicemail_recording_ms) in (0, 3)
    );
