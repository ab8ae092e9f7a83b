//! Runs each handler in a task of its own, under a timeout and a panic guard, and says what became of its job.
//!
//! The outermost layer of every worker, so that the guard also covers the layers in between, and so that neither an
//! apalis worker that ends nor one that is dropped can cut a handler off in the middle.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use tracing::Instrument;

use super::claim::{Claim, Outcome};
use super::error::{JobError, bounded, chain};

#[derive(Clone, Debug)]
pub struct IsolationLayer {
    interrupting: CancellationToken,
}

impl IsolationLayer {
    pub(super) fn new(interrupting: CancellationToken) -> Self {
        Self { interrupting }
    }
}

impl<S> Layer<S> for IsolationLayer {
    type Service = Isolation<S>;

    fn layer(&self, inner: S) -> Isolation<S> {
        Isolation { inner, interrupting: self.interrupting.clone() }
    }
}

#[derive(Clone, Debug)]
pub struct Isolation<S> {
    inner: S,
    interrupting: CancellationToken,
}

impl<S, Args> Service<Task<Args>> for Isolation<S>
where
    S: Service<Task<Args>>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxDynError> + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Args>) -> Self::Future {
        let Some(claim) = task.ctx().data().get::<Arc<Claim>>().cloned() else {
            return async { Err("the task was not claimed by the queue".into()) }.boxed();
        };
        let span = tracing::info_span!(
            "job", queue = claim.lane.queue, job_id = %claim.job_id, attempt = claim.attempt,
        );
        let work = self.inner.call(task).map(|answer| answer.map(drop).map_err(Into::into));
        let running = tokio::spawn(run(claim, work, self.interrupting.clone()).instrument(span));
        async move {
            // What became of the job is settled already; the worker only needs to know that it ended.
            running.await?;
            Ok(())
        }
        .boxed()
    }
}

async fn run(claim: Arc<Claim>, work: impl Future<Output = Result<(), BoxDynError>>, interrupting: CancellationToken) {
    claim.start();
    let limit = claim.lane.settings.timeout;
    let guarded = timeout(limit, AssertUnwindSafe(work).catch_unwind());
    let answer = tokio::select! {
        answer = guarded => answer,
        () = interrupting.cancelled() => {
            report(&claim, Outcome::Interrupted);
            return;
        }
    };
    let outcome = match answer {
        Ok(Ok(Ok(()))) => Outcome::Done,
        Ok(Ok(Err(error))) => judge(&claim, error),
        Ok(Err(panic)) => failed(&claim, format!("the handler panicked: {}", panic_message(&*panic))),
        Err(_) => failed(&claim, format!("the handler took longer than {} s", limit.as_secs_f64())),
    };
    report(&claim, outcome);
}

fn judge(claim: &Claim, error: BoxDynError) -> Outcome {
    match error.downcast::<JobError>().map(|error| *error) {
        Ok(JobError::Retry(error)) => failed(claim, chain(error.as_ref())),
        Ok(JobError::Snooze { delay, reason }) => Outcome::Snoozed { delay, reason: bounded(reason.into_owned()) },
        Ok(JobError::Discard(error)) => Outcome::Dead { error: chain(error.as_ref()) },
        // From a layer, not from a handler.
        Err(error) => failed(claim, chain(error.as_ref())),
    }
}

fn failed(claim: &Claim, error: String) -> Outcome {
    if claim.attempt >= claim.max_attempts {
        return Outcome::Dead { error };
    }
    Outcome::Retried { delay: claim.lane.settings.backoff.delay(claim.attempt, rand::random()), error }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// The one place where the end of a try is logged and counted.
fn report(claim: &Claim, outcome: Outcome) {
    let took = claim.lease.age();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match &outcome {
        Outcome::Done => tracing::debug!(took_ms, "the job is done"),
        Outcome::Snoozed { delay, reason } => {
            tracing::debug!(took_ms, delay_secs = delay.as_secs_f64(), reason, "the job snoozes");
        }
        Outcome::Retried { delay, error } => {
            tracing::warn!(took_ms, delay_secs = delay.as_secs_f64(), error, "the job failed and will be retried");
        }
        Outcome::Dead { error } => tracing::error!(took_ms, error, "the job is a dead letter"),
        Outcome::Interrupted | Outcome::HandedBack => {
            tracing::warn!(took_ms, "the job was interrupted by the shutdown")
        }
    }
    metrics::histogram!("job_duration_seconds", "queue" => claim.lane.queue, "outcome" => outcome.name())
        .record(took.as_secs_f64());
    claim.settle(outcome);
}
