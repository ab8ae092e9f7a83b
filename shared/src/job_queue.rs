//! What an operator may do to the queue: look, pause, cancel, retry, run now. Workers obey within a heartbeat at most.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::jobs::NOTIFY_CHANNEL;

/// Wakes every worker's heartbeat, which is where cancellations are delivered. No queue may have this name.
pub const HEARTBEAT_WAKE_UP: &str = "!cancel";

/// One queue as an operator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueOverview {
    pub queue: String,
    /// Due now and not running.
    pub ready: i64,
    /// Waiting for their time: delayed, snoozed or backing off.
    pub waiting: i64,
    pub running: i64,
    /// Dead letters that are not pruned yet.
    pub dead: i64,
    /// Since when the oldest ready job is due.
    pub oldest_ready_at: Option<DateTime<Utc>>,
    pub paused_at: Option<DateTime<Utc>>,
    pub pause_reason: Option<String>,
}

/// Every queue that has unfinished or dead jobs, or a control row.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn overview(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<QueueOverview>> {
    sqlx::query_as!(
        QueueOverview,
        r#"
        with counted as (
            select
                job_type as queue,
                count(*) filter (where status in ('Pending', 'Failed') and run_at <= now()) as ready,
                count(*) filter (where status in ('Pending', 'Failed') and run_at > now()) as waiting,
                count(*) filter (where status in ('Running', 'Queued')) as running,
                count(*) filter (where status = 'Killed') as dead,
                min(run_at) filter (where status in ('Pending', 'Failed') and run_at <= now()) as oldest_ready_at
            from apalis.jobs
            where status <> 'Done'
            group by job_type
        )
        select
            coalesce(counted.queue, controls.queue) as "queue!",
            coalesce(ready, 0) as "ready!",
            coalesce(waiting, 0) as "waiting!",
            coalesce(running, 0) as "running!",
            coalesce(dead, 0) as "dead!",
            oldest_ready_at,
            controls.paused_at,
            controls.reason as pause_reason
        from counted
        full join queue_controls as controls on controls.queue = counted.queue
        order by 1
        "#,
    )
    .fetch_all(db)
    .await
}

/// Stops workers from claiming jobs of `queue`. What is running goes on to its end.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn pause(db: impl PgExecutor<'_>, queue: &str, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into queue_controls (queue, paused_at, reason) values ($1, now(), $2)
        on conflict (queue) do update set paused_at = coalesce(queue_controls.paused_at, now()), reason = excluded.reason
        "#,
        queue,
        reason,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets `queue` run again, at once.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn resume(db: impl PgExecutor<'_>, queue: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with resumed as (update queue_controls set paused_at = null, reason = null where queue = $1)
        select pg_notify($2, $1) as "notified: ()"
        "#,
        queue,
        NOTIFY_CHANNEL,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// What [`cancel`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canceled {
    /// It had not started, and never will.
    Before,
    /// It is running: its handler is told, and may stop early. It is not retried.
    WhileRunning,
    /// There is no such job, or it has already ended.
    TooLate,
}

/// Cancels one job.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn cancel(db: impl PgExecutor<'_>, job_id: &str) -> sqlx::Result<Canceled> {
    let status = sqlx::query_scalar!(
        r#"
        with canceled as (
            update apalis.jobs set
                metadata = coalesce(metadata, '') - 'rerun_at'::text || hstore('cancel_requested_at', now()::text),
                status = case when status in ('Running', 'Queued') then status else 'Killed' end,
                done_at = case when status in ('Running', 'Queued') then done_at else now() end,
                last_result = case when status in ('Running', 'Queued') then last_result else '{"Err": "canceled"}' end
            where id = $1 and status in ('Pending', 'Failed', 'Running', 'Queued')
            returning status
        )
        select status as "status!" from canceled, pg_notify($2, $3)
        "#,
        job_id,
        NOTIFY_CHANNEL,
        HEARTBEAT_WAKE_UP,
    )
    .fetch_optional(db)
    .await?;
    Ok(match status.as_deref() {
        None => Canceled::TooLate,
        Some("Killed") => Canceled::Before,
        Some(_) => Canceled::WhileRunning,
    })
}

/// Runs a waiting, snoozing, backing off, dead or finished job now, with all of its attempts. `false` if it is running or does not exist.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn run_now(db: impl PgExecutor<'_>, job_id: &str) -> sqlx::Result<bool> {
    let revived = sqlx::query!(
        r#"
        with revived as (
            update apalis.jobs
            set
                status = 'Pending',
                attempts = 0,
                run_at = now(),
                done_at = null,
                metadata = coalesce(metadata, '') - array['rerun_at', 'cancel_requested_at']
            where id = $1 and status not in ('Running', 'Queued')
            returning job_type
        )
        select pg_notify($2, job_type) as "notified: ()" from revived
        "#,
        job_id,
        NOTIFY_CHANNEL,
    )
    .fetch_optional(db)
    .await?;
    Ok(revived.is_some())
}
