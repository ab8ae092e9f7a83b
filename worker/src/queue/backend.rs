//! The apalis backend of one queue: turns deliveries into apalis tasks.

use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use shared::jobs::{Job, decode};
use tokio::sync::mpsc;

use super::claim::Outcome;
use super::context::JobContext;
use super::error::chain;
use super::hub::Hub;
use super::isolation::IsolationLayer;
use super::lane::{Delivery, Lane};
use super::settings::QueueSettings;

/// A source of jobs of type `J` for one apalis worker. It never fails: a failing backend would end its worker, and with it the
/// handlers that run. The claiming happens elsewhere, for all queues of the process together.
#[derive(Debug)]
pub struct PgBackend<J> {
    hub: Arc<Hub>,
    lane: Arc<Lane>,
    inbox: mpsc::Receiver<Delivery>,
    job: PhantomData<fn() -> J>,
}

impl<J: Job> PgBackend<J> {
    pub(super) fn new(hub: Arc<Hub>, lane: Arc<Lane>) -> Self {
        let inbox = lane.attach();
        Self { hub, lane, inbox, job: PhantomData }
    }

    /// `None` if the payload cannot be read: that job is a dead letter at once, and nobody else is held up.
    fn open(delivery: Delivery) -> Option<Task<J>> {
        let Delivery { claim, payload, priority, key } = delivery;
        let job = match decode(&payload) {
            Ok(job) => job,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(queue = J::QUEUE, job_id = %claim.job_id, error, "a payload could not be read");
                claim.settle(Outcome::Dead { error });
                return None;
            }
        };
        let mut task = TaskBuilder::<J>::new(job)
            .task_id(TaskId::from_string(&*claim.job_id))
            // apalis counts the try when the handler is first polled.
            .attempt(usize::try_from(claim.attempt - 1).unwrap_or(0))
            .max_attempts(usize::try_from(claim.max_attempts).unwrap_or(1))
            .priority(usize::try_from(priority).unwrap_or(0))
            .data(JobContext::of(&claim));
        if let Some(key) = key {
            task = task.idempotency_key(key);
        }
        Some(task.data(Arc::new(claim)).build())
    }
}

impl<J: Job> Backend for PgBackend<J> {
    type Task = Task<J>;
    type Error = std::convert::Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Option<Result<Task<J>, Self::Error>>> {
        loop {
            match std::task::ready!(self.inbox.poll_recv(cx)) {
                None => return Poll::Ready(None),
                Some(delivery) => {
                    if let Some(task) = Self::open(delivery) {
                        return Poll::Ready(Some(Ok(task)));
                    }
                }
            }
        }
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        // What was delivered and not started goes back; the acknowledger writes it.
        self.inbox.close();
        while self.inbox.try_recv().is_ok() {}
        Poll::Ready(Ok(()))
    }
}

impl<J: Job> BackendConfig for PgBackend<J> {
    type Args = J;
    type Id = String;
    type Kind = Ephemeral;
    type Config = QueueSettings;
    type Layer = IsolationLayer;

    fn config(&self) -> &QueueSettings {
        &self.lane.settings
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> IsolationLayer {
        IsolationLayer::new(self.hub.interrupting.clone())
    }
}
