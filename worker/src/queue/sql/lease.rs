//! Keeping leases, and taking over those that nobody keeps.

use sqlx::PgExecutor;

use crate::queue::hub::Held;

/// The state of one held job after a heartbeat.
#[derive(Debug)]
pub(in crate::queue) struct Renewal {
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
pub(in crate::queue) async fn beat(
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
            select job.id, job.attempts
            from held
            cross join lateral (
                select j.id, j.attempts
                from apalis.jobs as j
                where j.id = held.job_id and j.attempts = held.attempt and j.lock_by = $1 and j.status = 'Running'
                for no key update skip locked
            ) as job
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
            coalesce(before.cancel_requested, false) as "cancel_requested!"
        from held
        left join renewed on renewed.id = held.job_id and renewed.attempts = held.attempt
        left join lateral (
            select j.id, j.metadata ? 'cancel_requested_at' as cancel_requested
            from apalis.jobs as j
            where j.id = held.job_id and j.attempts = held.attempt and j.lock_by = $1 and j.status = 'Running'
        ) as before on true
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
pub(in crate::queue) async fn reap(
    db: impl PgExecutor<'_>,
    queues: &[String],
    lease_secs: f64,
) -> sqlx::Result<Vec<Reaped>> {
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
pub(in crate::queue) struct Reaped {
    pub job_id: String,
    pub queue: String,
    pub attempt: i32,
    /// Its attempts are used up, or it was canceled.
    pub dead: bool,
}

/// Forgets a worker that ended in good order.
pub(in crate::queue) async fn sign_off(db: impl PgExecutor<'_>, worker: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from apalis.workers where id = $1 and not exists (select from apalis.jobs where lock_by = $1)",
        worker,
    )
    .execute(db)
    .await?;
    Ok(())
}
