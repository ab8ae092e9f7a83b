//! Every statement of the worker's side of the queue. Times are the database's: workers need not agree on a clock.
//!
//! Statements that touch several held jobs skip rows that somebody else has locked (a `nudge` whose transaction is still
//! open): one slow transaction must delay one job, never the leases and acknowledgements of all the others. It also
//! keeps two statements of ours from ever waiting for each other.

use sqlx::PgExecutor;

use super::claim::{Ack, Outcome};
use super::hub::Held;
use super::schedule::Schedule;
use super::settings::RunnerSettings;

/// A claimed job as the database hands it over.
#[derive(Debug)]
pub(super) struct ClaimedRow {
    pub id: String,
    pub queue: String,
    pub job: Vec<u8>,
    pub attempts: i32,
    pub max_attempts: i32,
    pub priority: i32,
    pub idempotency_key: Option<String>,
}

/// Claims, for each queue that is not paused, at most its free slots of due jobs, and counts the attempt.
pub(super) async fn claim(
    db: impl PgExecutor<'_>,
    worker: &str,
    queues: &[String],
    free: &[i32],
) -> sqlx::Result<Vec<ClaimedRow>> {
    sqlx::query_as!(
        ClaimedRow,
        r#"
        with wanted as (
            select asked.queue, asked.free
            from unnest($2::text[], $3::int[]) as asked (queue, free)
            left join queue_controls as controls on controls.queue = asked.queue
            where controls.paused_at is null
        ),
        -- The condition repeats that of apalis' partial index word for word, so that the planner can use it.
        picked as (
            select due.id
            from wanted
            cross join lateral (
                select id
                from apalis.jobs
                where job_type = wanted.queue
                    and (status = 'Pending' or (status = 'Failed' and attempts < max_attempts))
                    and run_at <= now()
                order by priority desc, run_at
                limit wanted.free
                for update skip locked
            ) as due
        )
        update apalis.jobs as j
        set status = 'Running',
            attempts = j.attempts + 1,
            lock_by = $1,
            lock_at = now(),
            metadata = coalesce(j.metadata, '') || hstore('claimed_at', now()::text)
        from picked
        where j.id = picked.id
        returning
            j.id, j.job_type as queue, j.job, j.attempts, j.max_attempts,
            coalesce(j.priority, 0) as "priority!", j.idempotency_key
        "#,
        worker,
        queues,
        free,
    )
    .fetch_all(db)
    .await
}

/// Hands back what a claim took whose answer never reached us. Exact because a process claims one batch at a time.
pub(super) async fn hand_back_strays(db: impl PgExecutor<'_>, worker: &str, held: &[Held]) -> sqlx::Result<u64> {
    let held: Vec<String> = held.iter().map(|held| held.job_id.to_string()).collect();
    let strays = sqlx::query!(
        r#"
        update apalis.jobs
        set status = 'Pending', attempts = attempts - 1, lock_by = null, lock_at = null
        where lock_by = $1 and status = 'Running' and id <> all($2)
        "#,
        worker,
        &held,
    )
    .execute(db)
    .await?;
    Ok(strays.rows_affected())
}

/// What became of one acknowledgement: the job as it is now.
#[derive(Debug)]
pub(super) struct Settled {
    pub serial: i64,
    /// It waits again, and is due already.
    pub due: bool,
}

/// Writes outcomes, and one row of history each. An outcome counts only if this worker still holds that very try; a
/// job that was nudged while it ran goes back to wait instead of ending. Answers those that were written.
pub(super) async fn settle(db: impl PgExecutor<'_>, worker: &str, acks: &[Ack]) -> sqlx::Result<Vec<Settled>> {
    let serials: Vec<i64> = acks.iter().map(|ack| ack.serial.cast_signed()).collect();
    let ids: Vec<String> = acks.iter().map(|ack| ack.job_id.to_string()).collect();
    let attempts: Vec<i32> = acks.iter().map(|ack| ack.attempt).collect();
    let outcomes: Vec<String> = acks.iter().map(|ack| ack.outcome.name().to_owned()).collect();
    let took: Vec<f64> = acks.iter().map(|ack| ack.took.as_secs_f64()).collect();
    let (mut delays, mut errors) = (Vec::with_capacity(acks.len()), Vec::with_capacity(acks.len()));
    for ack in acks {
        let (delay, error) = match &ack.outcome {
            Outcome::Done | Outcome::HandedBack => (0.0, None),
            Outcome::Interrupted => (0.0, Some("interrupted by the worker's shutdown".to_owned())),
            Outcome::Snoozed { delay, reason } => (delay.as_secs_f64(), Some(reason.clone())),
            Outcome::Retried { delay, error } => (delay.as_secs_f64(), Some(error.clone())),
            Outcome::Dead { error } => (0.0, Some(error.clone())),
        };
        delays.push(delay);
        errors.push(error);
    }
    sqlx::query_as!(
        Settled,
        r#"
        with ack as (
            select *
            from unnest($2::bigint[], $3::text[], $4::int[], $5::text[], $6::float8[], $7::text[], $8::float8[])
                as ack (serial, job_id, attempt, outcome, delay_secs, error, took_secs)
        ),
        mine as (
            select
                ack.*,
                rerun_at,
                coalesce((j.metadata -> 'claimed_at')::timestamptz, now()) as claimed_at,
                case
                    when outcome in ('done', 'dead') and rerun_at is not null then 'Pending'
                    when outcome = 'done' then 'Done'
                    when outcome = 'dead' then 'Killed'
                    when j.metadata ? 'cancel_requested_at' and rerun_at is null then 'Killed'
                    when outcome = 'retried' then 'Failed'
                    else 'Pending'
                end as next_status
            from ack
            join apalis.jobs as j on j.id = ack.job_id
            cross join lateral (select (j.metadata -> 'rerun_at')::timestamptz as rerun_at) as marks
            where j.attempts = ack.attempt and j.lock_by = $1 and j.status = 'Running'
            for no key update of j skip locked
        ),
        settled as (
            update apalis.jobs as j
            set status = next_status,
                lock_by = null,
                lock_at = null,
                done_at = case when next_status in ('Done', 'Killed') then now() end,
                attempts = case
                    when outcome in ('done', 'dead') and next_status = 'Pending' then 0
                    when outcome in ('snoozed', 'interrupted', 'handed_back') then j.attempts - 1
                    else j.attempts
                end,
                run_at = case outcome
                    when 'retried' then now() + make_interval(secs => delay_secs)
                    when 'handed_back' then j.run_at
                    when 'snoozed' then least(now() + make_interval(secs => delay_secs), rerun_at)
                    when 'interrupted' then now()
                    else coalesce(rerun_at, j.run_at)
                end,
                last_result = case
                    when outcome = 'handed_back' then j.last_result
                    when outcome = 'done' then '{"Ok": null}'
                    else jsonb_build_object('Err', error)
                end,
                metadata = j.metadata - case
                    when next_status = 'Killed' then array['claimed_at', 'rerun_at']
                    else array['claimed_at', 'rerun_at', 'cancel_requested_at']
                end
            from mine
            where j.id = mine.job_id
            returning
                serial, j.id, j.job_type, j.idempotency_key, mine.attempt, outcome, error, claimed_at, took_secs,
                j.status = 'Pending' and j.run_at <= now() as due
        ),
        history as (
            insert into job_attempts (job_id, queue, key, attempt, worker, started_at, finished_at, outcome, error)
            select
                id, job_type, idempotency_key, attempt, $1,
                claimed_at, claimed_at + make_interval(secs => took_secs), outcome, error
            from settled
            where outcome <> 'handed_back'
        )
        select serial as "serial!", due as "due!" from settled
        "#,
        worker,
        &serials,
        &ids,
        &attempts,
        &outcomes,
        &delays,
        &errors as &[Option<String>],
        &took,
    )
    .fetch_all(db)
    .await
}

/// Which of these are still ours, and only locked by somebody else at the moment: worth acknowledging again.
pub(super) async fn still_held(db: impl PgExecutor<'_>, worker: &str, acks: &[Ack]) -> sqlx::Result<Vec<i64>> {
    let serials: Vec<i64> = acks.iter().map(|ack| ack.serial.cast_signed()).collect();
    let ids: Vec<String> = acks.iter().map(|ack| ack.job_id.to_string()).collect();
    let attempts: Vec<i32> = acks.iter().map(|ack| ack.attempt).collect();
    sqlx::query_scalar!(
        r#"
        select ack.serial as "serial!"
        from unnest($2::bigint[], $3::text[], $4::int[]) as ack (serial, job_id, attempt)
        join apalis.jobs as j on j.id = ack.job_id
        where j.attempts = ack.attempt and j.lock_by = $1 and j.status = 'Running'
        "#,
        worker,
        &serials,
        &ids,
        &attempts,
    )
    .fetch_all(db)
    .await
}

/// The state of one held job after a heartbeat.
#[derive(Debug)]
pub(super) struct Renewal {
    pub job_id: String,
    pub attempt: i32,
    /// The lease now runs from this heartbeat on.
    pub renewed: bool,
    /// Not renewed, and somebody else's.
    pub lost: bool,
    pub cancel_requested: bool,
}

/// Says that this worker lives, and renews the leases of exactly the jobs it holds. `mine` that a nudge has locked keep
/// the lease they have until the next heartbeat.
pub(super) async fn beat(
    db: impl PgExecutor<'_>,
    worker: &str,
    queues: &str,
    held: &[Held],
) -> sqlx::Result<Vec<Renewal>> {
    let ids: Vec<String> = held.iter().map(|held| held.job_id.to_string()).collect();
    let attempts: Vec<i32> = held.iter().map(|held| held.attempt).collect();
    sqlx::query_as!(
        Renewal,
        r#"
        with alive as (
            insert into apalis.workers (id, worker_type, storage_name, layers, last_seen, started_at)
            values ($1, $2, 'PgBackend', '', now(), now())
            on conflict (id) do update set last_seen = now()
        ),
        held as (
            select * from unnest($3::text[], $4::int[]) as held (job_id, attempt)
        ),
        mine as (
            select j.id, j.attempts
            from apalis.jobs as j
            join held on held.job_id = j.id and held.attempt = j.attempts
            where j.lock_by = $1 and j.status = 'Running'
            for no key update of j skip locked
        ),
        renewed as (
            update apalis.jobs as j set lock_at = now() from mine where j.id = mine.id returning j.id, j.attempts
        )
        -- A statement sees its own updates only through `renewed`; the rows joined here are as they were before.
        select
            held.job_id as "job_id!",
            held.attempt as "attempt!",
            renewed.id is not null as "renewed!",
            renewed.id is null and before.id is null as "lost!",
            coalesce(before.metadata ? 'cancel_requested_at', false) as "cancel_requested!"
        from held
        left join renewed on renewed.id = held.job_id and renewed.attempts = held.attempt
        left join apalis.jobs as before
            on before.id = held.job_id and before.attempts = held.attempt
            and before.lock_by = $1 and before.status = 'Running'
        "#,
        worker,
        queues,
        &ids,
        &attempts,
    )
    .fetch_all(db)
    .await
}

/// Takes jobs away from workers that stopped renewing them: back to waiting, or to the dead letters when the
/// attempts are used up (a job that kills its worker must not do so for ever). Answers how many waited and how many died.
pub(super) async fn reap(db: impl PgExecutor<'_>, queues: &[String], lease_secs: f64) -> sqlx::Result<Vec<Reaped>> {
    sqlx::query_as!(
        Reaped,
        r#"
        with expired as (
            select id, lock_by, lock_at
            from apalis.jobs
            where status in ('Running', 'Queued')
                and lock_at < now() - make_interval(secs => $2)
                and job_type = any($1)
            order by lock_at
            limit 1000
            for update skip locked
        ),
        reaped as (
            update apalis.jobs as j
            set status = next_status,
                lock_by = null,
                lock_at = null,
                done_at = case when next_status = 'Killed' then now() end,
                last_result = '{"Err": "the lease expired: its worker died or lost the database"}',
                metadata = coalesce(j.metadata, '') - array['claimed_at', 'rerun_at']
            from expired
            join apalis.jobs as before on before.id = expired.id
            cross join lateral (
                select case
                    when before.attempts >= before.max_attempts then 'Killed'
                    when before.metadata ? 'cancel_requested_at' then 'Killed'
                    else 'Pending'
                end as next_status
            ) as verdict
            where j.id = expired.id
            returning
                j.id, j.job_type, j.idempotency_key, j.attempts, j.status, expired.lock_by, expired.lock_at,
                coalesce((before.metadata -> 'claimed_at')::timestamptz, expired.lock_at) as claimed_at
        ),
        history as (
            insert into job_attempts (job_id, queue, key, attempt, worker, started_at, finished_at, outcome)
            select
                id, job_type, idempotency_key, attempts, coalesce(lock_by, 'unknown'), claimed_at, lock_at, 'lease_expired'
            from reaped
        )
        select id as "job_id!", job_type as "queue!", attempts as "attempt!", status = 'Killed' as "dead!" from reaped
        "#,
        queues,
        lease_secs,
    )
    .fetch_all(db)
    .await
}

/// A job that was taken away from a dead worker.
#[derive(Debug)]
pub(super) struct Reaped {
    pub job_id: String,
    pub queue: String,
    pub attempt: i32,
    /// Its attempts are used up, or it was canceled.
    pub dead: bool,
}

/// How much of a queue is due.
#[derive(Debug)]
pub(super) struct Depth {
    pub queue: String,
    pub ready: i64,
    pub oldest_ready_secs: f64,
}

pub(super) async fn depths(db: impl PgExecutor<'_>, queues: &[String]) -> sqlx::Result<Vec<Depth>> {
    sqlx::query_as!(
        Depth,
        r#"
        select
            job_type as queue,
            count(*) as "ready!",
            extract(epoch from now() - min(run_at))::float8 as "oldest_ready_secs!"
        from apalis.jobs
        where job_type = any($1)
            and (status = 'Pending' or (status = 'Failed' and attempts < max_attempts))
            and run_at <= now()
        group by job_type
        "#,
        queues,
    )
    .fetch_all(db)
    .await
}

/// Deletes at most `limit` rows of each kind that are past their keeping; answers the largest of the three counts.
pub(super) async fn prune(
    db: impl PgExecutor<'_>,
    settings: &RunnerSettings,
    queues: &[String],
    limit: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        with old_jobs as (
            select id
            from apalis.jobs
            where status in ('Done', 'Killed')
                and done_at < now() - make_interval(secs => case status when 'Done' then $1::float8 else $2::float8 end)
                and job_type = any($5)
            order by done_at
            limit $4
            for update skip locked
        ),
        pruned_jobs as (
            delete from apalis.jobs as j using old_jobs where j.id = old_jobs.id returning 1
        ),
        pruned_attempts as (
            delete from job_attempts
            where id in (select id from job_attempts where finished_at < now() - make_interval(secs => $3) limit $4)
            returning 1
        ),
        -- Long enough that nobody still looks for it, and no job refers to it any more.
        pruned_workers as (
            delete from apalis.workers as w
            where w.id in (
                select id from apalis.workers as old
                where old.last_seen < now() - interval '1 hour'
                    and not exists (select from apalis.jobs where lock_by = old.id)
                limit $4
            )
            returning 1
        )
        select greatest(
            (select count(*) from pruned_jobs),
            (select count(*) from pruned_attempts),
            (select count(*) from pruned_workers)
        ) as "most!"
        "#,
        settings.keep_done.as_secs_f64(),
        settings.keep_dead.as_secs_f64(),
        settings.keep_attempts.as_secs_f64(),
        limit,
        queues,
    )
    .fetch_one(db)
    .await
}

/// Forgets a worker that ended in good order.
pub(super) async fn sign_off(db: impl PgExecutor<'_>, worker: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from apalis.workers where id = $1 and not exists (select from apalis.jobs where lock_by = $1)",
        worker,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What one look at the schedules did.
#[derive(Debug)]
pub(super) struct Ticked {
    pub enqueued: i64,
    /// Until the next tick of any of them.
    pub next_in_secs: f64,
}

/// Enqueues the ticks of these schedules that have passed since the last look.
pub(super) async fn tick(db: impl PgExecutor<'_>, schedules: &[Schedule]) -> sqlx::Result<Ticked> {
    let names: Vec<String> = schedules.iter().map(|schedule| schedule.name.to_owned()).collect();
    let every: Vec<f64> = schedules.iter().map(|schedule| schedule.every.as_secs_f64()).collect();
    let offsets: Vec<f64> = schedules.iter().map(|schedule| schedule.offset.as_secs_f64()).collect();
    let catch_ups: Vec<i64> = schedules.iter().map(|schedule| i64::from(schedule.catch_up)).collect();
    let queues: Vec<String> = schedules.iter().map(|schedule| schedule.queue.to_owned()).collect();
    let payloads: Vec<Vec<u8>> = schedules.iter().map(|schedule| schedule.payload.clone()).collect();
    let max_attempts: Vec<i32> = schedules.iter().map(|schedule| schedule.max_attempts).collect();
    let priorities: Vec<i32> = schedules.iter().map(|schedule| schedule.priority).collect();
    sqlx::query_as!(
        Ticked,
        r#"
        with plan as (
            select *, floor((extract(epoch from now())::float8 - offset_secs) / every_secs) as tick_number
            from unnest(
                $1::text[], $2::float8[], $3::float8[], $4::bigint[], $5::text[], $6::bytea[], $7::int[], $8::int[]
            ) as plan (name, every_secs, offset_secs, catch_up, queue, payload, max_attempts, priority)
        ),
        -- A schedule that is new here begins with its next tick: its row is not visible to `due` yet.
        first_seen as (
            insert into schedules (name, last_tick)
            select name, to_timestamp(tick_number * every_secs + offset_secs) from plan
            on conflict (name) do nothing
        ),
        due as (
            select plan.*, tick
            from plan
            join schedules using (name)
            cross join lateral generate_series(0, catch_up - 1) as ago
            cross join lateral (select to_timestamp((tick_number - ago) * every_secs + offset_secs) as tick) as ticks
            where tick > schedules.last_tick
        ),
        enqueued as (
            insert into apalis.jobs
                (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key)
            select
                apalis.generate_ulid(), queue, payload, 'Pending', 0, max_attempts, now(), priority, ''::hstore,
                'cron:' || name || ':' || (extract(epoch from tick) * 1000)::bigint
            from due
            order by tick
            on conflict (job_type, idempotency_key) do nothing
            returning 1
        ),
        advanced as (
            update schedules
            set last_tick = latest.tick
            from (select name, max(tick) as tick from due group by name) as latest
            where schedules.name = latest.name and schedules.last_tick < latest.tick
        )
        select
            (select count(*) from enqueued) as "enqueued!",
            coalesce(min((tick_number + 1) * every_secs + offset_secs) - extract(epoch from now())::float8, 60)
                as "next_in_secs!"
        from plan
        "#,
        &names,
        &every,
        &offsets,
        &catch_ups,
        &queues,
        &payloads,
        &max_attempts,
        &priorities,
    )
    .fetch_one(db)
    .await
}
