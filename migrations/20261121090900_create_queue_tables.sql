-- What our queue needs beside apalis' own tables (`apalis.jobs`, `apalis.workers`), whose migrations must have run before
-- this one. Everything here is additive: apalis' statements and its board keep working on the same rows.

-- Marks on a job live in apalis' own `metadata` column, so that its table keeps the shape its crate was compiled against:
--   claimed_at           when the running try was claimed (`lock_at` cannot say it: every heartbeat moves it)
--   rerun_at             the wake-up that arrived while the job ran: the acknowledgement turns it into one more run
--   cancel_requested_at  an operator wants it to end
create extension if not exists hstore;

-- Expired leases, without reading the finished jobs.
create index if not exists jobs_leased on apalis.jobs (lock_at) where status in ('Running', 'Queued');
-- What may be pruned, and the dead letters, newest last.
create index if not exists jobs_finished on apalis.jobs (done_at) where status in ('Done', 'Killed');

-- apalis indexes these two columns twice each; every claim and acknowledgement paid for the copies.
drop index if exists apalis.unique_job_id;
drop index if exists apalis.lidx;

-- One notification per statement and queue instead of one per row: NOTIFY takes a lock that all commits share. The poll finds
-- delayed jobs; only what is due is worth waking for.
create or replace function public.notify_job_queues() returns trigger language plpgsql as $$
begin
    perform pg_notify('job_queue', due.job_type)
    from (select distinct job_type from inserted where status = 'Pending' and run_at <= now()) as due;
    return null;
end;
$$;

drop trigger if exists notify_workers on apalis.jobs;
drop trigger if exists notify_job_queues on apalis.jobs;
create trigger notify_job_queues
    after insert on apalis.jobs
    referencing new table as inserted
    for each statement execute function public.notify_job_queues();

-- One row per finished try. It outlives the job, so that a dispute weeks later can still be answered.
create table if not exists public.job_attempts (
    id bigint generated always as identity primary key,
    job_id text not null,
    queue text not null,
    key text,
    -- 1-based; a snooze hands its number back, so that two rows of one job can carry the same one.
    attempt integer not null,
    worker text not null,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    outcome text not null check (outcome in ('done', 'snoozed', 'retried', 'dead', 'interrupted', 'lease_expired')),
    -- The chain of causes, or the reason of a snooze; bounded by the writer.
    error text
);

create index if not exists job_attempts_job on public.job_attempts (job_id);
-- Rows arrive in the order of this column, so that a block range index prunes them at almost no cost to writes.
create index if not exists job_attempts_finished on public.job_attempts using brin (finished_at);

-- Absent row: the queue runs.
create table if not exists public.queue_controls (
    queue text primary key,
    paused_at timestamptz,
    -- Shown to operators.
    reason text
);

-- How far each schedule has got; the jobs themselves are keyed by tick, which is what makes them run once.
create table if not exists public.schedules (
    name text primary key,
    last_tick timestamptz not null
);
