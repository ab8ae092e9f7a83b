//! Enqueueing by the clock.

use sqlx::PgExecutor;

use crate::queue::schedule::Schedule;

/// What one look at the schedules did.
#[derive(Debug)]
pub(in crate::queue) struct Ticked {
    pub enqueued: i64,
    /// Until the next tick of any of them.
    pub next_in_secs: f64,
}

/// Enqueues the ticks of these schedules that have passed since the last look.
pub(in crate::queue) async fn tick(db: impl PgExecutor<'_>, schedules: &[Schedule]) -> sqlx::Result<Ticked> {
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
