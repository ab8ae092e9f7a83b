//! Workers as processes of their own: this test binary runs itself.

use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::signal::unix::{SignalKind, signal};
use worker::queue::Runner;

use crate::database::{TestDb, server_url};
use crate::probe::{World, queue, quick, run};

const DATABASE: &str = "QUEUE_FAULTS_DATABASE";
const CONCURRENCY: &str = "QUEUE_FAULTS_CONCURRENCY";

/// Not a test of its own: what a spawned copy of this binary runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_process() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    let concurrency = std::env::var(CONCURRENCY).unwrap().parse().unwrap();
    let options = PgConnectOptions::from_str(&server_url()).unwrap().database(&database);
    let world = World::new(&PgPoolOptions::new().max_connections(10).connect_lazy_with(options));
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let runner = Runner::new(&world.pool, quick("process"), world.clone()).register(queue(concurrency), run);
    runner.run(async { terminate.recv().await.unwrap() }).await.unwrap();
}

pub struct WorkerProcess(std::process::Child);

impl WorkerProcess {
    pub fn spawn(db: &TestDb, concurrency: usize) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::worker_process", "--nocapture"])
            .env(DATABASE, &db.name)
            .env(CONCURRENCY, concurrency.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// SIGKILL: no chance to clean up.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub async fn exited_within(&mut self, bound: Duration) -> ExitStatus {
        let mut last = None;
        crate::database::eventually(bound, true, async || {
            last = self.0.try_wait().unwrap();
            last.is_some()
        })
        .await;
        last.unwrap()
    }

    pub fn has_exited(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
