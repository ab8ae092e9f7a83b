//! What operators do: pause, cancel, run again; and what the janitor does for them.

use std::time::Duration;

use shared::job_queue::{Canceled, cancel, overview, pause, resume, run_now};
use shared::jobs::enqueue;
use sqlx::query_scalar;
use worker::queue::RunnerSettings;

use crate::database::{TestDb, eventually};
use crate::probe::{Act, SECOND, SOON, World, probe, queue, quick, start_probes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    pause(&db.pool, "probe", "carrier maintenance").await.unwrap();
    enqueue(&db.pool, &probe("patient", Act::Finish)).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(1));
    tokio::time::sleep(SECOND).await;
    assert_eq!(db.runs().await, 0);
    let seen = overview(&db.pool).await.unwrap();
    assert_eq!((seen[0].ready, seen[0].pause_reason.as_deref()), (1, Some("carrier maintenance")));
    resume(&db.pool, "probe").await.unwrap();
    eventually(SOON, "Done".to_owned(), async || db.status("patient").await).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canceled_job_never_starts_or_is_told_to_stop_and_is_not_retried() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("running", Act::WaitForCancel)).await.unwrap();
    // A heartbeat far away: the cancellation itself has to wake it.
    let worker = start_probes(
        &world,
        RunnerSettings { heartbeat: 10 * SECOND, lease: 60 * SECOND, ..quick("worker") },
        queue(1),
    );
    eventually(SOON, 1, async || db.runs().await).await;
    enqueue(&db.pool, &probe("waiting", Act::Finish)).await.unwrap();
    assert_eq!(cancel(&db.pool, &db.job_id("waiting").await).await.unwrap(), Canceled::Before);
    assert_eq!(cancel(&db.pool, &db.job_id("running").await).await.unwrap(), Canceled::WhileRunning);
    eventually(5 * SECOND, "Killed".to_owned(), async || db.status("running").await).await;
    assert_eq!(db.status("waiting").await, "Killed");
    assert_eq!(db.runs().await, 1);
    assert_eq!(cancel(&db.pool, &db.job_id("waiting").await).await.unwrap(), Canceled::TooLate);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_can_be_run_again() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("dead", Act::Discard)).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(1));
    eventually(SOON, "Killed".to_owned(), async || db.status("dead").await).await;
    assert!(run_now(&db.pool, &db.job_id("dead").await).await.unwrap());
    eventually(SOON, 2, async || db.history("dead").await.len()).await;
    assert!(!run_now(&db.pool, "no such job").await.unwrap());
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_jobs_and_their_history_are_pruned_and_dead_letters_kept() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("done", Act::Finish)).await.unwrap();
    enqueue(&db.pool, &probe("dead", Act::Discard)).await.unwrap();
    let settings = RunnerSettings {
        prune_every: Duration::from_millis(200),
        keep_done: SECOND,
        keep_attempts: SECOND,
        ..quick("worker")
    };
    let worker = start_probes(&world, settings, queue(1));
    eventually(SOON, 1, async || db.count("Done").await).await;
    let rows = async || -> (i64, i64) {
        let jobs = query_scalar("select count(*) from apalis.jobs").fetch_one(&db.pool).await.unwrap();
        (jobs, query_scalar("select count(*) from job_attempts").fetch_one(&db.pool).await.unwrap())
    };
    eventually(SOON, (1, 0), rows).await;
    assert_eq!(db.status("dead").await, "Killed");
    worker.stop().await.unwrap();
}
