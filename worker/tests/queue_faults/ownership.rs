//! Who runs a job: one worker, under its lease, and another only when that one is gone.

use std::time::Duration;

use shared::jobs::{enqueue, enqueue_many};
use sqlx::query;

use crate::database::{TestDb, eventually};
use crate::probe::{Act, SECOND, SOON, World, probe, queue, quick, start_probes};
use crate::process::WorkerProcess;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_never_run_a_long_job_twice() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    // Twice as long as a lease: only renewals keep the other worker away.
    let jobs: Vec<_> = (0..6).map(|n| probe(format!("long-{n}"), Act::Sleep { ms: 3_000 })).collect();
    enqueue_many(&db.pool, &jobs).await.unwrap();
    let first = start_probes(&world, quick("first"), queue(1));
    let second = start_probes(&world, quick("second"), queue(1));
    eventually(3 * SOON, 6, async || db.count("Done").await).await;
    assert_eq!(db.jobs_run_twice().await, Vec::<String>::new());
    assert_eq!(db.runs().await, 6);
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_short_jobs_run_once_each_across_two_workers() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let jobs: Vec<_> = (0..500).map(|n| probe(format!("short-{n}"), Act::Finish)).collect();
    enqueue_many(&db.pool, &jobs).await.unwrap();
    let first = start_probes(&world, quick("first"), queue(8));
    let second = start_probes(&world, quick("second"), queue(8));
    eventually(SOON, 500, async || db.count("Done").await).await;
    assert_eq!(db.runs().await, 500);
    assert_eq!(db.jobs_run_twice().await, Vec::<String>::new());
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_the_same_name_takes_over_after_kill_9() {
    let db = TestDb::create().await;
    enqueue(&db.pool, &probe("slow", Act::Sleep { ms: 4_000 })).await.unwrap();
    let mut first = WorkerProcess::spawn(&db, 1);
    eventually(SOON, 1, async || db.runs().await).await;
    first.kill();
    assert_eq!(db.status("slow").await, "Running");
    let second = WorkerProcess::spawn(&db, 1);
    eventually(2 * SOON, "Done".to_owned(), async || db.status("slow").await).await;
    assert_eq!(db.runs().await, 2);
    let outcomes: Vec<String> = db.history("slow").await.into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["lease_expired", "done"]);
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_kills_its_process_is_a_dead_letter_after_its_last_attempt() {
    let db = TestDb::create().await;
    enqueue(&db.pool, &probe("killer", Act::KillProcess)).await.unwrap();
    let mut worker = WorkerProcess::spawn(&db, 1);
    eventually(4 * SOON, "Killed".to_owned(), async || {
        if worker.has_exited() {
            worker = WorkerProcess::spawn(&db, 1);
        }
        db.status("killer").await
    })
    .await;
    assert_eq!(db.runs_of("killer").await, 3);
    enqueue(&db.pool, &probe("after", Act::Finish)).await.unwrap();
    eventually(SOON, "Done".to_owned(), async || db.status("after").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_lost_its_lease_knows_it_and_cannot_be_acknowledged() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("stolen", Act::WaitAtGate)).await.unwrap();
    let worker = start_probes(&world, quick("victim"), queue(1));
    eventually(SOON, 1, async || db.runs().await).await;
    // What a rescue by another worker leaves behind.
    query("update apalis.jobs set lock_by = null, attempts = attempts + 1, lock_at = now()")
        .execute(&db.pool)
        .await
        .unwrap();
    tokio::time::sleep(SECOND).await;
    world.gate.add_permits(1);
    eventually(SOON, vec![false], async || world.kept_lease.lock().unwrap().clone()).await;
    worker.stop().await.unwrap();
    assert_eq!(db.job("stolen").await.0, "Running");
    assert_eq!(db.history("stolen").await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_job_keeps_its_lease_for_many_times_its_length() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("patient", Act::WaitAtGate)).await.unwrap();
    let worker = start_probes(&world, quick("keeper"), queue(1));
    eventually(SOON, 1, async || db.runs().await).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    world.gate.add_permits(1);
    eventually(SOON, "Done".to_owned(), async || db.status("patient").await).await;
    assert_eq!(*world.kept_lease.lock().unwrap(), [true]);
    worker.stop().await.unwrap();
}
