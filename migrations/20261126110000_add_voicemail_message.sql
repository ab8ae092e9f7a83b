-- Spoken after an answering machine's beep; null: the machine is hung up on.
alter table campaigns add column voicemail_message text check (char_length(voicemail_message) between 1 and 1000);
