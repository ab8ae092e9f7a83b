//! What a handler knows about the job it runs.

use std::sync::Arc;
use std::time::Duration;

use apalis_core::task::Task;
use apalis_core::task::data::MissingDataError;
use apalis_core::task::from_request::FromRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, Lease};

/// The try that is running. Its handler runs in a span `job` that carries `queue`, `job_id` and `attempt`.
#[derive(Clone, Debug)]
pub struct JobContext {
    pub job_id: Arc<str>,
    /// 1-based. A snoozed try hands its number back.
    pub attempt: i32,
    pub max_attempts: i32,
    /// Ask it immediately before a side effect that cannot be taken back.
    pub lease: Lease,
    cancel: CancellationToken,
}

impl JobContext {
    pub(super) fn of(claim: &Claim) -> Self {
        Self {
            job_id: claim.job_id.clone(),
            attempt: claim.attempt,
            max_attempts: claim.max_attempts,
            lease: claim.lease.clone(),
            cancel: claim.cancel.clone(),
        }
    }

    /// A context for running a handler by hand, outside any queue: a first and only try whose lease lasts an hour.
    #[must_use]
    pub fn detached(job_id: impl Into<Arc<str>>) -> Self {
        Self {
            job_id: job_id.into(),
            attempt: 1,
            max_attempts: 1,
            lease: Lease::new(Instant::now(), Duration::from_secs(60 * 60)),
            cancel: CancellationToken::new(),
        }
    }

    /// After this try there is no other: an error makes the job a dead letter.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.max_attempts
    }

    /// Resolves when nobody wants the result any more: an operator canceled the job, or its lease was lost. A handler
    /// that stops early answers as usual; a canceled job is not retried.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

impl<Args: Sync> FromRequest<Task<Args>> for JobContext {
    type Error = MissingDataError;

    async fn from_request(task: &Task<Args>) -> Result<Self, MissingDataError> {
        task.ctx().data().get_checked::<Self>().cloned()
    }
}
