//! Jobs that do what the test wants, and workers that run them in this process.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::jobs::Job;
use sqlx::{PgPool, query};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::queue::{JobContext, JobError, JobResultExt, QueueSettings, Runner, RunnerError, RunnerSettings};

pub const SECOND: Duration = Duration::from_secs(1);
pub const SOON: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    pub name: String,
    pub act: Act,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    Finish,
    Sleep {
        ms: u64,
    },
    /// Until the test opens the gate.
    WaitAtGate,
    Fail,
    Panic,
    Snooze {
        secs: u64,
    },
    Discard,
    /// Until it is canceled, then asks for a retry.
    WaitForCancel,
    /// Takes the whole process with it.
    KillProcess,
}

pub fn probe(name: impl Into<String>, act: Act) -> Probe {
    Probe { name: name.into(), act }
}

impl Job for Probe {
    const QUEUE: &'static str = "probe";
    const MAX_ATTEMPTS: i32 = 3;

    fn key(&self) -> String {
        self.name.clone()
    }
}

#[derive(Clone)]
pub struct World {
    pub pool: PgPool,
    /// Each permit lets one job that waits there through.
    pub gate: Arc<Semaphore>,
    /// What `Lease::still_mine` said after the gate.
    pub kept_lease: Arc<std::sync::Mutex<Vec<bool>>>,
}

impl World {
    pub fn new(pool: &PgPool) -> Self {
        Self { pool: pool.clone(), gate: Arc::new(Semaphore::new(0)), kept_lease: Arc::default() }
    }
}

pub async fn run(job: Probe, context: JobContext, world: World) -> Result<(), JobError> {
    query("insert into runs (job, pid) values ($1, $2)")
        .bind(&job.name)
        .bind(i32::try_from(std::process::id()).unwrap_or(0))
        .execute(&world.pool)
        .await
        .retry()?;
    match job.act {
        Act::Finish => Ok(()),
        Act::Sleep { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(())
        }
        Act::WaitAtGate => {
            world.gate.acquire().await.retry()?.forget();
            world.kept_lease.lock().unwrap().push(context.lease.still_mine());
            Ok(())
        }
        Act::Fail => Err(JobError::Retry(anyhow::anyhow!("cause").context("symptom"))),
        Act::Panic => panic!("out of cheese"),
        Act::Snooze { secs } => Err(JobError::snooze(Duration::from_secs(secs), "too early")),
        Act::Discard => Err(JobError::Discard(anyhow::anyhow!("no such thing"))),
        Act::WaitForCancel => {
            context.cancelled().await;
            Err(JobError::Retry(anyhow::anyhow!("stopped early")))
        }
        Act::KillProcess => std::process::abort(),
    }
}

/// Settings under which leases expire within a test.
pub fn quick(name: &str) -> RunnerSettings {
    RunnerSettings {
        lease: Duration::from_millis(1_500),
        heartbeat: Duration::from_millis(300),
        poll: Duration::from_millis(200),
        grace: Duration::from_secs(5),
        ..RunnerSettings::new(name)
    }
}

pub fn queue(concurrency: usize) -> QueueSettings {
    QueueSettings::new(concurrency, Duration::from_secs(60)).backoff(Duration::from_secs(20), Duration::from_secs(100))
}

/// A worker inside the test's process.
pub struct Running {
    shutdown: CancellationToken,
    runner: JoinHandle<Result<(), RunnerError>>,
}

pub fn start(runner: Runner<World>) -> Running {
    let shutdown = CancellationToken::new();
    let signal = shutdown.clone();
    let runner = tokio::spawn(async move { runner.run(signal.cancelled_owned()).await });
    Running { shutdown, runner }
}

impl Running {
    pub async fn stop(self) -> Result<(), RunnerError> {
        self.shutdown.cancel();
        self.runner.await.unwrap()
    }
}

/// A worker with one queue of probes.
pub fn start_probes(world: &World, settings: RunnerSettings, queue: QueueSettings) -> Running {
    start(Runner::new(&world.pool, settings, world.clone()).register(queue, run))
}
