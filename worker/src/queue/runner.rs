//! One process's share of the queue: registers queues and schedules, runs them, and drains them.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{Monitor, WorkerBuilder};
use shared::jobs::Job;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::backend::PgBackend;
use super::claim::Ack;
use super::context::JobContext;
use super::database::Database;
use super::error::{JobError, RunnerError, chain};
use super::hub::Hub;
use super::lane::Lane;
use super::schedule::Schedule;
use super::settings::{QueueSettings, RunnerSettings};
use super::{acker, fetcher, heartbeat, janitor, listener, sampler, schedule, sql};

/// After the grace: handlers are cut off, the last acknowledgements are written, the worker signs off.
const FLUSH: Duration = Duration::from_secs(5);

/// Builds an apalis worker for one queue and adds it to the monitor.
type Registration = Box<dyn FnOnce(Monitor, &Arc<Hub>) -> Monitor + Send>;

/// All queues of a process. `C` is what every handler gets beside its job: the application's context, cheap to clone.
pub struct Runner<C> {
    pool: PgPool,
    settings: RunnerSettings,
    context: C,
    wake: Arc<Notify>,
    lanes: Vec<Arc<Lane>>,
    registrations: Vec<Registration>,
    schedules: Vec<Schedule>,
}

impl<C: Clone + Send + Sync + 'static> Runner<C> {
    /// The queue opens a few connections of its own to where `pool` leads.
    #[must_use]
    pub fn new(pool: &PgPool, settings: RunnerSettings, context: C) -> Self {
        Self {
            pool: pool.clone(),
            settings,
            context,
            wake: Arc::default(),
            lanes: Vec::new(),
            registrations: Vec::new(),
            schedules: Vec::new(),
        }
    }

    /// Runs `handler` for the jobs of `J`'s queue.
    ///
    /// # Panics
    /// If the queue is registered already.
    #[must_use]
    pub fn register<J, H, F>(mut self, settings: QueueSettings, handler: H) -> Self
    where
        J: Job,
        H: Fn(J, JobContext, C) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        assert!(self.lanes.iter().all(|lane| lane.queue != J::QUEUE), "queue {} is registered twice", J::QUEUE);
        let lane = Arc::new(Lane::new(J::QUEUE, settings, self.wake.clone()));
        let context = self.context.clone();
        self.lanes.push(lane.clone());
        self.registrations.push(Box::new(move |monitor, hub| {
            let hub = hub.clone();
            monitor.register(move |restarts| {
                let (handler, context) = (handler.clone(), context.clone());
                WorkerBuilder::new(format!("{}/{}/{restarts}", hub.worker, J::QUEUE))
                    .backend(PgBackend::<J>::new(hub.clone(), lane.clone()))
                    .build(move |job: J, job_context: JobContext| handler(job, job_context, context.clone()))
            })
        }));
        self
    }

    /// Enqueues jobs by the clock. Their queue need not be one of this process.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Runs until `shutdown` resolves, then drains: no new claims at once; running handlers have the grace to finish and are
    /// then cut off; every outcome is written; nothing stays behind as running.
    ///
    /// # Errors
    /// A part of the queue ended by itself, or outcomes could not be written in time. The process should exit with an error.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunnerError> {
        let db = Database::beside(&self.pool, self.settings.statement_timeout);
        let (hub, acks) = Hub::new(db, self.settings, self.lanes, self.wake);
        let worker_ended = CancellationToken::new();
        let monitor = monitor(&hub, self.registrations, worker_ended.clone());
        let mut tasks = Tasks::spawn(&hub, acks, monitor, self.schedules);
        let outcome = tokio::select! {
            () = shutdown => Ok(()),
            () = worker_ended.cancelled() => Err(RunnerError::Worker),
            task = tasks.first_ended() => Err(RunnerError::Task { task }),
        };
        tracing::info!(running = hub.held_count(), "the queue drains");
        outcome.and(tasks.drain(&hub).await)
    }
}

fn monitor(hub: &Arc<Hub>, registrations: Vec<Registration>, worker_ended: CancellationToken) -> Monitor {
    let monitor = Monitor::new().should_restart(move |worker, error| {
        tracing::error!(worker = worker.name(), error = chain(error), "a worker of the queue ended by itself");
        worker_ended.cancel();
        // A process that is restarted as a whole is easier to trust than one that lives on in parts.
        false
    });
    registrations.into_iter().fold(monitor, |monitor, registration| registration(monitor, hub))
}

/// The tasks of a running queue, by when they may end.
struct Tasks {
    /// apalis' monitor with all workers; ends when the last handler of this process has.
    workers: JoinSet<&'static str>,
    /// What brings new work; ends with `hub.stopping`.
    intake: JoinSet<&'static str>,
    acker: JoinSet<&'static str>,
    heartbeat: JoinSet<&'static str>,
    /// Ends the acknowledger, once nobody can send it anything.
    settled: CancellationToken,
    /// Ends the heartbeat, once no lease is left.
    closed: CancellationToken,
}

impl Tasks {
    fn spawn(hub: &Arc<Hub>, acks: mpsc::UnboundedReceiver<Ack>, monitor: Monitor, schedules: Vec<Schedule>) -> Self {
        let mut tasks = Self {
            workers: JoinSet::new(),
            intake: JoinSet::new(),
            acker: JoinSet::new(),
            heartbeat: JoinSet::new(),
            settled: CancellationToken::new(),
            closed: CancellationToken::new(),
        };
        let stopping = hub.stopping.clone();
        tasks.workers.spawn(named("workers", async move {
            let signal = async move {
                stopping.cancelled().await;
                Ok(())
            };
            if let Err(error) = monitor.run_with_signal(signal).await {
                tracing::error!(error = chain(&error), "the workers did not end in good order");
            }
        }));
        tasks.intake.spawn(named("fetcher", fetcher::run(hub.clone())));
        tasks.intake.spawn(named("listener", listener::run(hub.clone())));
        tasks.intake.spawn(named("sampler", sampler::run(hub.clone())));
        tasks.intake.spawn(named("janitor", janitor::run(hub.clone())));
        if !schedules.is_empty() {
            tasks.intake.spawn(named("schedule", schedule::run(hub.clone(), schedules)));
        }
        tasks.acker.spawn(named("acker", acker::run(hub.clone(), acks, tasks.settled.clone())));
        tasks.heartbeat.spawn(named("heartbeat", heartbeat::run(hub.clone(), tasks.closed.clone())));
        tasks
    }

    /// None of them ends before it is told to; one that panicked is only known to be one of several.
    async fn first_ended(&mut self) -> &'static str {
        let (ended, one_of) = tokio::select! {
            Some(ended) = self.workers.join_next() => (ended, "workers"),
            Some(ended) = self.intake.join_next() => (ended, "intake"),
            Some(ended) = self.acker.join_next() => (ended, "acker"),
            Some(ended) = self.heartbeat.join_next() => (ended, "heartbeat"),
        };
        ended.unwrap_or(one_of)
    }

    async fn drain(mut self, hub: &Hub) -> Result<(), RunnerError> {
        hub.stopping.cancel();
        if !ended_within(hub.settings.grace, &mut self.workers).await {
            tracing::warn!(running = hub.held_count(), "the grace is over: the handlers that still run are cut off");
            hub.interrupting.cancel();
            ended_within(FLUSH, &mut self.workers).await;
        }
        // A claim under way is waited for: what it brings is handed back. Then nobody is left who could send an outcome.
        ended_within(FLUSH, &mut self.intake).await;
        self.settled.cancel();
        ended_within(FLUSH, &mut self.acker).await;
        self.closed.cancel();
        ended_within(FLUSH, &mut self.heartbeat).await;
        let unsettled = hub.held_count();
        if let Err(error) = hub.db.bounded(async |db| sql::sign_off(&mut **db, &hub.worker).await).await {
            tracing::debug!(error = chain(&error), "the worker's row stays until it is pruned");
        }
        let _ = timeout(FLUSH, hub.db.pool().close()).await;
        if unsettled > 0 {
            return Err(RunnerError::Unsettled { jobs: unsettled });
        }
        Ok(())
    }
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

async fn ended_within(limit: Duration, tasks: &mut JoinSet<&'static str>) -> bool {
    timeout(limit, async { while tasks.join_next().await.is_some() {} }).await.is_ok()
}
