//! What a handler may answer besides success, and how a runner can fail.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

/// Why a job did not finish, by what the queue does next.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Something failed that may work later: the try counts, and the next one waits for the backoff.
    #[error("the job failed and may be retried")]
    Retry(#[source] anyhow::Error),
    /// It is too early, or somebody asked us to slow down: not a failure, and no try is used up.
    #[error("the job snoozes for {} s: {reason}", delay.as_secs())]
    Snooze { delay: Duration, reason: Cow<'static, str> },
    /// No later try can succeed: the job becomes a dead letter.
    #[error("the job can never succeed")]
    Discard(#[source] anyhow::Error),
}

impl JobError {
    #[must_use]
    pub fn snooze(delay: Duration, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Snooze { delay, reason: reason.into() }
    }
}

/// Says at the call site what a failure means for the job: `rows.await.retry()?`.
pub trait JobResultExt<T> {
    /// # Errors
    /// [`JobError::Retry`] around the error.
    fn retry(self) -> Result<T, JobError>;

    /// # Errors
    /// [`JobError::Discard`] around the error.
    fn discard(self) -> Result<T, JobError>;
}

impl<T, E: Into<anyhow::Error>> JobResultExt<T> for Result<T, E> {
    fn retry(self) -> Result<T, JobError> {
        self.map_err(|error| JobError::Retry(error.into()))
    }

    fn discard(self) -> Result<T, JobError> {
        self.map_err(|error| JobError::Discard(error.into()))
    }
}

/// Why [`Runner::run`](super::Runner::run) ended other than by its shutdown signal; the process should exit with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The log says which, and why.
    #[error("a worker of the queue ended by itself")]
    Worker,
    #[error("the queue's {task} task ended by itself")]
    Task { task: &'static str },
    /// Their leases expire, and another worker runs these jobs again.
    #[error("{jobs} jobs could not be acknowledged before the process had to end")]
    Unsettled { jobs: usize },
}

/// The longest error text that is stored with a job.
const MAX_ERROR_CHARS: usize = 2_000;

/// An error and its causes as one line, bounded.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    bounded(text)
}

pub(super) fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_ERROR_CHARS) {
        text.truncate(end);
    }
    // Postgres' text cannot hold it, and an acknowledgement must not fail over an error message.
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause_once() {
        let error = anyhow::anyhow!("connection refused").context("the carrier is away");
        assert_eq!(chain(error.as_ref()), "the carrier is away: connection refused");
    }

    #[test]
    fn stored_errors_are_bounded_and_free_of_nul() {
        assert_eq!(bounded("ü".repeat(5_000)).chars().count(), MAX_ERROR_CHARS);
        assert_eq!(bounded("a\0b".into()), "a\u{fffd}b");
    }
}
