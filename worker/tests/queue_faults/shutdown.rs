//! SIGTERM: what runs finishes, what waits stays, nothing is lost or run twice.

use std::time::Duration;

use shared::jobs::{enqueue, enqueue_many};
use worker::queue::RunnerSettings;

use crate::database::{TestDb, eventually};
use crate::probe::{Act, SOON, World, probe, queue, quick, start_probes};
use crate::process::WorkerProcess;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_with_fifty_running_and_many_waiting_loses_nothing() {
    let db = TestDb::create().await;
    let jobs: Vec<_> = (0..300).map(|n| probe(format!("job-{n}"), Act::Sleep { ms: 1_000 })).collect();
    enqueue_many(&db.pool, &jobs).await.unwrap();
    let mut worker = WorkerProcess::spawn(&db, 50);
    eventually(SOON, true, async || db.runs().await >= 50).await;
    worker.terminate();
    let status = worker.exited_within(Duration::from_secs(6)).await;
    assert!(status.success(), "{status}");
    assert_eq!(db.count("Running").await, 0);
    let done = db.count("Done").await;
    assert_eq!(done, db.runs().await, "every job that started was acknowledged");
    assert_eq!(done + db.count("Pending").await, 300);

    let rest = WorkerProcess::spawn(&db, 50);
    eventually(3 * SOON, 300, async || db.count("Done").await).await;
    assert_eq!(db.runs().await, 300);
    assert_eq!(db.jobs_run_twice().await, Vec::<String>::new());
    drop(rest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_outlasts_the_grace_is_cut_off_and_uses_no_attempt() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("endless", Act::Sleep { ms: 600_000 })).await.unwrap();
    let worker =
        start_probes(&world, RunnerSettings { grace: Duration::from_millis(300), ..quick("impatient") }, queue(1));
    eventually(SOON, 1, async || db.runs().await).await;
    worker.stop().await.unwrap();
    let (status, attempts, _) = db.job("endless").await;
    assert_eq!((status.as_str(), attempts), ("Pending", 0));
    assert_eq!(db.history("endless").await[0].0, "interrupted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_ends_in_good_order_leaves_no_row_behind() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let worker = start_probes(&world, quick("tidy"), queue(1));
    enqueue(&db.pool, &probe("one", Act::Finish)).await.unwrap();
    eventually(SOON, "Done".to_owned(), async || db.status("one").await).await;
    worker.stop().await.unwrap();
    let workers: i64 = sqlx::query_scalar("select count(*) from apalis.workers").fetch_one(&db.pool).await.unwrap();
    assert_eq!(workers, 0);
}
