//! Writing what became of a try.

use sqlx::PgExecutor;

use crate::queue::claim::{Ack, Outcome};

/// What became of one acknowledgement: the job as it is now.
#[derive(Debug)]
pub(in crate::queue) struct Settled {
    pub serial: i64,
    /// It waits again, and is due already.
    pub due: bool,
}

/// Writes outcomes, and one row of history each. An outcome counts only if this worker still holds that very try; a
/// job that was nudged while it ran goes back to wait instead of ending. Answers those that were written.
pub(in crate::queue) async fn settle(
    db: impl PgExecutor<'_>,
    worker: &str,
    acks: &[Ack],
) -> sqlx::Result<Vec<Settled>> {
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
        -- Row by row through the primary key: no index on who holds what can grow slow with dead entries.
        mine as (
            select
                ack.*,
                rerun_at,
                claimed_at,
                case
                    when outcome in ('done', 'dead') and rerun_at is not null then 'Pending'
                    when outcome = 'done' then 'Done'
                    when outcome = 'dead' then 'Killed'
                    when cancel_requested and rerun_at is null then 'Killed'
                    when outcome = 'retried' then 'Failed'
                    else 'Pending'
                end as next_status
            from ack
            cross join lateral (
                select
                    (j.metadata -> 'rerun_at')::timestamptz as rerun_at,
                    coalesce((j.metadata -> 'claimed_at')::timestamptz, now()) as claimed_at,
                    j.metadata ? 'cancel_requested_at' as cancel_requested
                from apalis.jobs as j
                where j.id = ack.job_id and j.attempts = ack.attempt and j.lock_by = $1 and j.status = 'Running'
                for no key update skip locked
            ) as held
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
pub(in crate::queue) async fn still_held(
    db: impl PgExecutor<'_>,
    worker: &str,
    acks: &[Ack],
) -> sqlx::Result<Vec<i64>> {
    let serials: Vec<i64> = acks.iter().map(|ack| ack.serial.cast_signed()).collect();
    let ids: Vec<String> = acks.iter().map(|ack| ack.job_id.to_string()).collect();
    let attempts: Vec<i32> = acks.iter().map(|ack| ack.attempt).collect();
    sqlx::query_scalar!(
        r#"
        select ack.serial as "serial!"
        from unnest($2::bigint[], $3::text[], $4::int[]) as ack (serial, job_id, attempt)
        where exists (
            select from apalis.jobs as j
            where j.id = ack.job_id and j.attempts = ack.attempt and j.lock_by = $1 and j.status = 'Running'
        )
        "#,
        worker,
        &serials,
        &ids,
        &attempts,
    )
    .fetch_all(db)
    .await
}
