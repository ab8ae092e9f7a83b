//! Taking jobs, and giving back what was taken by accident.

use sqlx::PgExecutor;

use crate::queue::hub::Held;

/// A claimed job as the database hands it over.
#[derive(Debug)]
pub(in crate::queue) struct ClaimedRow {
    pub id: String,
    pub queue: String,
    pub job: Vec<u8>,
    pub attempts: i32,
    pub max_attempts: i32,
    pub priority: i32,
    pub idempotency_key: Option<String>,
}

/// Claims, for each queue that is not paused, at most its free slots of due jobs, and counts the attempt.
pub(in crate::queue) async fn claim(
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
pub(in crate::queue) async fn hand_back_strays(
    db: impl PgExecutor<'_>,
    worker: &str,
    held: &[Held],
) -> sqlx::Result<u64> {
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
