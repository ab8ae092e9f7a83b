-- Indexes and storage for campaigns of a million leads. Only what costs less to write or was missing changes; every statement
-- of the release before this one goes on working.

-- Leads being called, for the dispatcher and for sweep. On `updated_at` it made every touch of a lead a write to all its
-- indexes; on the campaign, `last_attempt_at` is written in place.
create index leads_being_called on leads (campaign_id) where status in ('dialing', 'in_call');
drop index leads_in_call;

-- Leases move with every piece of news and are looked at twice a minute, among live calls, of which there are few:
-- `calls_live` finds those. Without an index on the lease a renewal is written in place.
drop index calls_lease;

-- Answered calls of the last day, for sweep. `request_sent_at` is the wall-clock time that never changes again.
create index calls_answered on calls (request_sent_at) where answered_at is not null;

-- The referee of attempts, as before, but of all of a lead's calls: a foreign key looks for those when a lead is deleted, and
-- found no index. A withdrawn call is no attempt and meets nobody.
drop index calls_attempt;
create unique index calls_attempt on calls (lead_id, attempt, (case when withdrawn_at is null then 0 else id end));

-- What reports count, so that they read this and not the calls themselves, which are six times as wide.
create index calls_of_campaign on calls (campaign_id, id) include (
    account_id, status, withdrawn_at, lead_id, attempt, dialing_at, answered_at, duration_seconds, hangup_cause
);
drop index calls_by_campaign;

-- The same of leads: what they count, with the account that row-level security asks for. As key columns, and so not in the way
-- of the server's folding of equal entries: a campaign has ten statuses and a million leads.
create index leads_by_disposition on leads (campaign_id, disposition, account_id) where disposition is not null;
create index leads_per_status on leads (campaign_id, status, account_id);
drop index leads_by_status;

-- How many rows the file has, known once its reader has looked it through: progress is `rows_total` of it.
alter table imports add column rows_in_file bigint;

-- A call is written six times in a minute and then never again, a job twice: with room on the page the old versions are
-- reclaimed where they stand.
alter table calls set (fillfactor = 75);
alter table leads set (fillfactor = 90);
alter table apalis.jobs set (fillfactor = 70);

-- A fifth of a large table, which is what the server waits for by itself, is hundreds of thousands of dead rows before the
-- dispatcher's index is cleaned, and of new ones before reports may trust an index alone.
alter table leads set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02);
alter table calls set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02);
alter table call_events set (autovacuum_vacuum_insert_scale_factor = 0.05);
-- A queue's live rows are few whatever its history: dead ones are counted alone.
alter table apalis.jobs set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05);
