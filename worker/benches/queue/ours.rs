//! Our queue as the product uses it: leases, fencing, history and all.

use std::time::Duration;

use shared::jobs::{enqueue, enqueue_many};
use sqlx::{PgPool, query_scalar};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::queue::{JobContext, JobError, QueueSettings, Runner, RunnerError, RunnerSettings, Schedule};

use crate::database::BenchDb;
use crate::job::Empty;
use crate::measure::{self, Latency, PICKUPS, Rates, now_us};

type PickedUp = mpsc::UnboundedSender<u64>;

async fn handle<const QUEUE: usize>(job: Empty<QUEUE>, _: JobContext, picked_up: PickedUp) -> Result<(), JobError> {
    let _ = picked_up.send(now_us() - job.enqueued_us);
    Ok(())
}

struct Running(CancellationToken, JoinHandle<Result<(), RunnerError>>);

fn start(
    pool: &PgPool,
    concurrency: i32,
    picked_up: PickedUp,
    shape: impl FnOnce(Runner<PickedUp>) -> Runner<PickedUp>,
) -> Running {
    let settings = queue(usize::try_from(concurrency).expect("a small number"));
    let runner = Runner::new(pool, RunnerSettings::new("bench"), picked_up).register(settings, handle::<0>);
    let runner = shape(runner);
    let shutdown = CancellationToken::new();
    let signal = shutdown.clone().cancelled_owned();
    Running(shutdown, tokio::spawn(async move { runner.run(signal).await }))
}

fn queue(concurrency: usize) -> QueueSettings {
    QueueSettings::new(concurrency, Duration::from_secs(30))
}

impl Running {
    async fn stop(self) -> anyhow::Result<()> {
        self.0.cancel();
        Ok(self.1.await??)
    }
}

async fn single(pool: &PgPool) -> anyhow::Result<()> {
    enqueue(pool, &Empty::<0>::new()).await?;
    Ok(())
}

async fn thousand(pool: &PgPool) -> anyhow::Result<()> {
    enqueue_many(pool, &Empty::<0>::thousand()).await?;
    Ok(())
}

pub async fn enqueue_rates() -> anyhow::Result<Rates> {
    let db = BenchDb::with_our_queue().await?;
    let rates = measure::enqueue_rates(async || single(&db.pool).await, async || thousand(&db.pool).await).await?;
    db.drop().await?;
    Ok(rates)
}

pub async fn drain(concurrency: i32, jobs: u32) -> anyhow::Result<f64> {
    let db = BenchDb::with_our_queue().await?;
    for _ in 0..jobs / 1_000 {
        thousand(&db.pool).await?;
    }
    let (picked_up, _picked_up) = mpsc::unbounded_channel();
    let worker = start(&db.pool, concurrency, picked_up, |runner| runner);
    let left = async || {
        Ok(query_scalar("select count(*) from apalis.jobs where status <> 'Done'").fetch_one(&db.pool).await?)
    };
    let rate = measure::until_drained(jobs, left).await?;
    worker.stop().await?;
    db.drop().await?;
    Ok(rate)
}

pub async fn pickup() -> anyhow::Result<Latency> {
    let db = BenchDb::with_our_queue().await?;
    let (picked_up, mut latencies) = mpsc::unbounded_channel();
    let worker = start(&db.pool, 10, picked_up, |runner| runner);
    tokio::time::sleep(Duration::from_secs(1)).await;
    measure::trickle(async || single(&db.pool).await).await?;
    let mut micros = Vec::new();
    latencies.recv_many(&mut micros, PICKUPS).await;
    worker.stop().await?;
    db.drop().await?;
    Ok(Latency::of(micros))
}

pub async fn idle_statements_per_second() -> anyhow::Result<f64> {
    let db = BenchDb::with_our_queue().await?;
    let (picked_up, _picked_up) = mpsc::unbounded_channel();
    let hourly = Schedule::every("hourly", Duration::from_secs(3_600), &Empty::<0>::new())?;
    let worker = start(&db.pool, 10, picked_up, |runner| {
        runner
            .register(queue(10), handle::<1>)
            .register(queue(10), handle::<2>)
            .register(queue(10), handle::<3>)
            .register(queue(10), handle::<4>)
            .register(queue(10), handle::<5>)
            .register(queue(10), handle::<6>)
            .register(queue(10), handle::<7>)
            .register(queue(10), handle::<8>)
            .schedule(hourly)
    });
    let rate = measure::transactions_per_second(&db.server, &db.name).await?;
    worker.stop().await?;
    db.drop().await?;
    Ok(rate)
}
