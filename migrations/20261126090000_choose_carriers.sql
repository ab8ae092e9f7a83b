-- Whom an account's new calls are placed with. Calls that are reserved already keep theirs.
alter table accounts
    add column carrier text not null default 'exotel' check (carrier in ('exotel', 'twilio'));
