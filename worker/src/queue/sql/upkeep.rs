//! Measuring and pruning.

use sqlx::PgExecutor;

use crate::queue::settings::RunnerSettings;

/// How much of a queue is due.
#[derive(Debug)]
pub(in crate::queue) struct Depth {
    pub queue: String,
    pub ready: i64,
    pub oldest_ready_secs: f64,
}

pub(in crate::queue) async fn depths(db: impl PgExecutor<'_>, queues: &[String]) -> sqlx::Result<Vec<Depth>> {
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
pub(in crate::queue) async fn prune(
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
