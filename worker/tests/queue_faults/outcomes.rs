//! What a handler's answer does to its job.

use std::time::Duration;

use shared::jobs::{enqueue, enqueue_in};
use sqlx::query;

use crate::database::{TestDb, eventually};
use crate::probe::{Act, SOON, World, probe, queue, quick, start_probes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_panics_and_timeouts_wait_for_a_persisted_backoff() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("fails", Act::Fail)).await.unwrap();
    enqueue(&db.pool, &probe("panics", Act::Panic)).await.unwrap();
    enqueue(&db.pool, &probe("hangs", Act::Sleep { ms: 60_000 })).await.unwrap();
    let queue = queue(3);
    let worker = start_probes(
        &world,
        quick("worker"),
        worker::queue::QueueSettings { timeout: Duration::from_millis(500), ..queue },
    );
    eventually(SOON, 3, async || db.count("Failed").await).await;
    for (key, message) in [
        ("fails", "symptom: cause"),
        ("panics", "the handler panicked: out of cheese"),
        ("hangs", "the handler took longer than 0.5 s"),
    ] {
        let (_, attempts, runs_in) = db.job(key).await;
        assert_eq!(attempts, 1);
        assert!((10.0..=24.0).contains(&runs_in), "{key} runs in {runs_in} s, the backoff is 20 s ± 20 %");
        assert_eq!(db.history(key).await, [("retried".to_owned(), Some(message.to_owned()))]);
    }
    assert_eq!(db.runs().await, 3);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_failed_attempt_makes_a_dead_letter() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("doomed", Act::Fail)).await.unwrap();
    let short = queue(1).backoff(Duration::from_millis(50), Duration::from_millis(50));
    let worker = start_probes(&world, quick("worker"), short);
    eventually(SOON, "Killed".to_owned(), async || db.status("doomed").await).await;
    assert_eq!(db.runs_of("doomed").await, 3);
    let outcomes: Vec<String> = db.history("doomed").await.into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["retried", "retried", "dead"]);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snooze_uses_no_attempt() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("early", Act::Snooze { secs: 30 })).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(1));
    eventually(SOON, 1, async || db.history("early").await.len()).await;
    let (status, attempts, runs_in) = db.job("early").await;
    assert_eq!((status.as_str(), attempts), ("Pending", 0));
    assert!((15.0..=30.0).contains(&runs_in), "{runs_in}");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discarded_job_is_a_dead_letter_at_once() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue(&db.pool, &probe("hopeless", Act::Discard)).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(1));
    eventually(SOON, "Killed".to_owned(), async || db.status("hopeless").await).await;
    assert_eq!(db.history("hopeless").await, [("dead".to_owned(), Some("no such thing".to_owned()))]);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_nobody_can_read_is_a_dead_letter_and_holds_nobody_up() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    for (key, payload) in
        [("garbage", "not json"), ("stranger", r#"{"v":1,"data":{"x":1}}"#), ("future", r#"{"v":9,"data":{}}"#)]
    {
        query(
            "insert into apalis.jobs (id, job_type, job, max_attempts, priority, metadata, idempotency_key)
             values ($1, 'probe', $2, 3, 9, '', $3)",
        )
        .bind(ulid::Ulid::generate().to_string())
        .bind(payload.as_bytes())
        .bind(key)
        .execute(&db.pool)
        .await
        .unwrap();
    }
    enqueue(&db.pool, &probe("fine", Act::Finish)).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(1));
    eventually(SOON, "Done".to_owned(), async || db.status("fine").await).await;
    eventually(SOON, 3, async || db.count("Killed").await).await;
    assert_eq!(db.history("future").await[0].1.as_deref(), Some("the payload has version 9, newer than 1"));
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_job_waits_and_a_higher_priority_goes_first() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    enqueue_in(&db.pool, &probe("later", Act::Finish), Duration::from_millis(1_500)).await.unwrap();
    query("update apalis.jobs set priority = 100").execute(&db.pool).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(1));
    enqueue(&db.pool, &probe("now", Act::Finish)).await.unwrap();
    eventually(SOON, 2, async || db.count("Done").await).await;
    let order: Vec<String> = sqlx::query_scalar("select job from runs order by id").fetch_all(&db.pool).await.unwrap();
    assert_eq!(order, ["now", "later"]);
    worker.stop().await.unwrap();
}
