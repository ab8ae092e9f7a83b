//! apalis-postgres' own driver, set up as its documentation and its defects ask for.

use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use sqlx::{PgPool, query_scalar};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::database::BenchDb;
use crate::job::Empty;
use crate::measure::{self, Latency, PICKUPS, Rates, now_us};

async fn push(pool: &PgPool, jobs: Vec<Empty>) -> anyhow::Result<()> {
    let tasks = jobs
        .into_iter()
        .map(|job| Ok(TaskBuilder::new(serde_json::to_vec(&job)?).idempotency_key(&job.id).max_attempts(3).build()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    apalis_postgres::queries::push_tasks(&mut *pool.acquire().await?, "queue_0", tasks).await?;
    Ok(())
}

async fn single(pool: &PgPool) -> anyhow::Result<()> {
    push(pool, vec![Empty::new()]).await
}

fn start(
    pool: &PgPool,
    queue: &str,
    concurrency: usize,
    picked_up: mpsc::UnboundedSender<u64>,
) -> JoinHandle<anyhow::Result<()>> {
    let config = Config::default().queue(queue).batch_size(concurrency);
    let pool = pool.clone();
    let monitor = Monitor::new().register(move |_| {
        let picked_up = picked_up.clone();
        let backend = PostgresStorage::<Empty>::new(&pool)
            .with_config(config.clone())
            .with_pubsub()
            .poll_with_interval(Duration::from_secs(1));
        WorkerBuilder::new(format!("bench-{}", ulid::Ulid::generate())).backend(backend).concurrency(concurrency).build(
            move |job: Empty| {
                let _ = picked_up.send(now_us() - job.enqueued_us);
                std::future::ready(Ok::<(), BoxDynError>(()))
            },
        )
    });
    tokio::spawn(async move { Ok(monitor.run().await?) })
}

pub async fn enqueue_rates() -> anyhow::Result<Rates> {
    let db = BenchDb::with_apalis("stock").await?;
    let thousand = async || push(&db.pool, Empty::thousand()).await;
    let rates = measure::enqueue_rates(async || single(&db.pool).await, thousand).await?;
    db.drop().await?;
    Ok(rates)
}

pub async fn drain(concurrency: i32, jobs: u32) -> anyhow::Result<f64> {
    let db = BenchDb::with_apalis("stock").await?;
    let mut batch: Vec<Empty> = Empty::thousand();
    while u32::try_from(batch.len())? < jobs {
        batch.extend(Empty::thousand());
    }
    batch.truncate(usize::try_from(jobs)?);
    push(&db.pool, batch).await?;
    let (picked_up, _picked_up) = mpsc::unbounded_channel();
    let worker = start(&db.pool, "queue_0", usize::try_from(concurrency)?, picked_up);
    let left = async || {
        Ok(query_scalar("select count(*) from apalis.jobs where status <> 'Done'").fetch_one(&db.pool).await?)
    };
    let rate = measure::until_drained(jobs, left).await?;
    worker.abort();
    db.drop().await?;
    Ok(rate)
}

pub async fn pickup() -> anyhow::Result<Latency> {
    let db = BenchDb::with_apalis("stock").await?;
    let (picked_up, mut latencies) = mpsc::unbounded_channel();
    let worker = start(&db.pool, "queue_0", 10, picked_up);
    tokio::time::sleep(Duration::from_secs(1)).await;
    measure::trickle(async || single(&db.pool).await).await?;
    let mut micros = Vec::new();
    latencies.recv_many(&mut micros, PICKUPS).await;
    worker.abort();
    db.drop().await?;
    Ok(Latency::of(micros))
}

pub async fn idle_statements_per_second() -> anyhow::Result<f64> {
    let db = BenchDb::with_apalis("stock").await?;
    let (picked_up, _picked_up) = mpsc::unbounded_channel();
    let workers: Vec<_> = (0..9).map(|n| start(&db.pool, &format!("queue_{n}"), 10, picked_up.clone())).collect();
    let rate = measure::transactions_per_second(&db.server, &db.name).await?;
    workers.iter().for_each(JoinHandle::abort);
    db.drop().await?;
    Ok(rate)
}
