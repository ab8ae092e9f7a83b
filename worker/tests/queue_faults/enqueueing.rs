//! Enqueue and nudge: once per key, inside the caller's transaction, and never a lost wake-up.

use std::time::Duration;

use shared::jobs::{Enqueued, enqueue, enqueue_many, nudge, nudge_in};

use crate::database::{TestDb, eventually};
use crate::probe::{Act, SECOND, SOON, World, probe, queue, quick, start_probes};

#[tokio::test]
async fn a_key_is_enqueued_once_and_only_if_its_transaction_commits() {
    let db = TestDb::create().await;
    let job = probe("once", Act::Finish);
    let mut tx = db.pool.begin().await.unwrap();
    assert_eq!(enqueue(&mut *tx, &job).await.unwrap(), Enqueued::New);
    tx.rollback().await.unwrap();
    assert_eq!(enqueue(&db.pool, &job).await.unwrap(), Enqueued::New);
    assert_eq!(enqueue(&db.pool, &job).await.unwrap(), Enqueued::AlreadyThere);
    let batch: Vec<_> = ["once", "two", "three", "two"].map(|name| probe(name, Act::Finish)).into();
    assert_eq!(enqueue_many(&db.pool, &batch).await.unwrap(), 2);
    assert_eq!(db.count("Pending").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_while_the_job_runs_makes_it_run_once_more() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let job = probe("tick", Act::WaitAtGate);
    nudge(&db.pool, &job).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(1));
    eventually(SOON, 1, async || db.runs().await).await;
    for _ in 0..5 {
        nudge(&db.pool, &job).await.unwrap();
    }
    world.gate.add_permits(1);
    eventually(SOON, 2, async || db.runs().await).await;
    world.gate.add_permits(1);
    eventually(SOON, "Done".to_owned(), async || db.status("tick").await).await;
    assert_eq!(db.runs().await, 2, "five nudges during one run are one more run");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_that_commits_after_the_run_ended_is_not_lost_and_holds_up_no_other_job() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let job = probe("tick", Act::WaitAtGate);
    nudge(&db.pool, &job).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(2));
    eventually(SOON, 1, async || db.runs().await).await;
    let mut tx = db.pool.begin().await.unwrap();
    nudge(&mut *tx, &job).await.unwrap();
    world.gate.add_permits(1);
    // The handler has ended, but its acknowledgement has to wait for us; another job's does not, nor does its lease.
    enqueue(&db.pool, &probe("other", Act::Sleep { ms: 2_500 })).await.unwrap();
    eventually(SOON, "Done".to_owned(), async || db.status("other").await).await;
    assert_eq!(db.status("tick").await, "Running");
    tx.commit().await.unwrap();
    eventually(SOON, 2, async || db.runs_of("tick").await).await;
    world.gate.add_permits(1);
    eventually(SOON, "Done".to_owned(), async || db.status("tick").await).await;
    assert_eq!(db.runs_of("other").await, 1);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nudges_of_a_job_that_is_due_do_not_wait_for_each_other_and_its_run_waits_for_them_all() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let job = probe("tick", Act::Finish);
    nudge(&db.pool, &job).await.unwrap();
    let (mut one, mut other) = (db.pool.begin().await.unwrap(), db.pool.begin().await.unwrap());
    nudge(&mut *one, &job).await.unwrap();
    tokio::time::timeout(SOON, nudge(&mut *other, &job)).await.expect("it waits for the first to commit").unwrap();
    let worker = start_probes(&world, quick("worker"), queue(2));
    one.commit().await.unwrap();
    enqueue(&db.pool, &probe("next", Act::Finish)).await.unwrap();
    eventually(SOON, "Done".to_owned(), async || db.status("next").await).await;
    assert_eq!(db.runs_of("tick").await, 0, "a change that is not visible yet would be missed");
    other.commit().await.unwrap();
    eventually(SOON, 1, async || db.runs_of("tick").await).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_revives_what_is_done_or_dead_and_pulls_a_snooze_forward() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let (done, dead, snoozed) =
        (probe("done", Act::Finish), probe("dead", Act::Discard), probe("snoozed", Act::Snooze { secs: 3_600 }));
    let worker = start_probes(&world, quick("worker"), queue(3));
    for round in 1..=3 {
        for job in [&done, &dead, &snoozed] {
            nudge(&db.pool, job).await.unwrap();
        }
        eventually(SOON, 3 * round, async || db.runs().await).await;
        eventually(SOON, 0, async || db.count("Running").await).await;
    }
    assert_eq!(db.job("snoozed").await.1, 0);
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_later_nudge_never_pushes_an_earlier_run_back() {
    let db = TestDb::create().await;
    let job = probe("tick", Act::Finish);
    let minute = 60 * SECOND;
    for (delay, runs_in) in
        [(10 * minute, 600.0), (minute, 60.0), (5 * minute, 60.0), (Duration::ZERO, 0.0), (minute, 0.0)]
    {
        nudge_in(&db.pool, &job, delay).await.unwrap();
        let seen = db.job("tick").await.2;
        assert!((seen - runs_in).abs() < 5.0, "runs in {seen} s instead of {runs_in} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_nudges_does_not_shorten_the_backoff_of_a_failing_job() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let job = probe("failing", Act::Fail);
    nudge(&db.pool, &job).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(1));
    eventually(SOON, "Failed".to_owned(), async || db.status("failing").await).await;
    for _ in 0..20 {
        nudge(&db.pool, &job).await.unwrap();
    }
    let (status, attempts, runs_in) = db.job("failing").await;
    assert_eq!((status.as_str(), attempts), ("Failed", 1));
    assert!(runs_in > 10.0, "{runs_in}");
    worker.stop().await.unwrap();
}
