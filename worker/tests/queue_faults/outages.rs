//! The database goes away in the middle.

use std::time::Duration;

use shared::jobs::{enqueue, enqueue_many};
use sqlx::postgres::PgPoolOptions;
use sqlx::query;
use worker::queue::{Runner, RunnerSettings};

use crate::database::{TestDb, eventually};
use crate::probe::{Act, SOON, World, probe, queue, quick, run, start, start_probes};
use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_connection_is_terminated_running_jobs_finish_and_are_acknowledged_once() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let jobs: Vec<_> = (0..10).map(|n| probe(format!("job-{n}"), Act::Sleep { ms: 1_500 })).collect();
    enqueue_many(&db.pool, &jobs).await.unwrap();
    let worker = start_probes(&world, quick("worker"), queue(10));
    eventually(SOON, 10, async || db.runs().await).await;
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid()";
    query(terminate).execute(&db.pool).await.unwrap();
    eventually(SOON, 10, async || db.count("Done").await).await;
    assert_eq!(db.runs().await, 10);
    let tries: i64 = sqlx::query_scalar("select count(*) from job_attempts").fetch_one(&db.pool).await.unwrap();
    assert_eq!(tries, 10);
    // Notifications work again, too.
    enqueue(&db.pool, &probe("after", Act::Finish)).await.unwrap();
    eventually(SOON, "Done".to_owned(), async || db.status("after").await).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_seconds_without_a_database_lose_nothing_and_repeat_nothing() {
    let db = TestDb::create().await;
    let world = World::new(&db.pool);
    let direct = db.pool.connect_options();
    let proxy = Proxy::to(direct.get_host().to_owned(), direct.get_port()).await;
    // The handlers' own pool stays connected: the queue alone loses the database.
    let options = (*direct).clone().host("127.0.0.1").port(proxy.port);
    let cuttable = PgPoolOptions::new().connect_lazy_with(options);
    let settings = RunnerSettings {
        lease: Duration::from_secs(30),
        statement_timeout: Duration::from_secs(1),
        ..quick("cut off")
    };
    let jobs: Vec<_> = (0..10).map(|n| probe(format!("job-{n}"), Act::Sleep { ms: 1_000 })).collect();
    enqueue_many(&db.pool, &jobs).await.unwrap();
    let worker = start(Runner::new(&cuttable, settings, world).register(queue(10), run));
    eventually(SOON, 10, async || db.runs().await).await;
    proxy.cut();
    enqueue(&db.pool, &probe("meanwhile", Act::Finish)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(db.count("Running").await, 10, "nobody could acknowledge them, and nobody took them away");
    proxy.mend();
    eventually(SOON, 11, async || db.count("Done").await).await;
    assert_eq!(db.runs().await, 11);
    assert_eq!(db.jobs_run_twice().await, Vec::<String>::new());
    worker.stop().await.unwrap();
}
