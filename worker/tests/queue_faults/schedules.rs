//! Jobs by the clock: once across workers, caught up after a pause.

use std::time::Duration;

use sqlx::{query, query_scalar};
use worker::queue::{Runner, Schedule};

use crate::database::{TestDb, eventually};
use crate::probe::{Act, Running, SECOND, SOON, World, probe, queue, quick, run, start};

fn start_scheduled(world: &World, every: Duration, catch_up: u32) -> Running {
    let schedule = Schedule::every("tick", every, &probe("scheduled", Act::Finish)).unwrap().catch_up(catch_up);
    start(Runner::new(&world.pool, quick("clock"), world.clone()).register(queue(4), run).schedule(schedule))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tick_runs_once_across_two_workers() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let (first, second) = (start_scheduled(&world, SECOND, 5), start_scheduled(&world, SECOND, 5));
    eventually(SOON, true, async || db.count("Done").await >= 4).await;
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    let ticks: Vec<i64> = query_scalar(
        "select split_part(idempotency_key, ':', 3)::bigint / 1000 from apalis.jobs order by idempotency_key",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert!(ticks.windows(2).all(|pair| pair[1] == pair[0] + 1), "a tick is missing: {ticks:?}");
    assert!(db.runs().await <= i64::try_from(ticks.len()).unwrap());
    assert_eq!(db.jobs_run_twice_by_key().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_pause_as_many_missed_ticks_run_as_the_schedule_catches_up() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let hour = 3_600 * SECOND;
    // All workers were away for ten hours.
    query("insert into schedules values ('tick', date_trunc('hour', now()) - interval '10 hours')")
        .execute(&db.pool)
        .await
        .unwrap();
    let (first, second) = (start_scheduled(&world, hour, 3), start_scheduled(&world, hour, 3));
    eventually(SOON, 3, async || db.count("Done").await).await;
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    assert_eq!(db.runs().await, 3);
    let caught_up: bool =
        query_scalar("select last_tick = date_trunc('hour', now()) from schedules").fetch_one(&db.pool).await.unwrap();
    assert!(caught_up);
}

impl TestDb {
    async fn jobs_run_twice_by_key(&self) -> i64 {
        query_scalar("select count(*) from (select key from job_attempts group by key having count(*) > 1) as twice")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}
