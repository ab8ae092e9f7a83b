//! How a queue and a process are tuned.

use std::time::Duration;

/// How one queue runs in this process.
#[derive(Clone, Copy, Debug)]
pub struct QueueSettings {
    /// Handlers of this queue that run at once in this process. At least 1.
    pub concurrency: usize,
    /// A handler that runs longer is dropped, and the try counts as failed.
    pub timeout: Duration,
    pub backoff: Backoff,
}

impl QueueSettings {
    /// `concurrency` handlers at once, each of which may take `timeout`.
    #[must_use]
    pub fn new(concurrency: usize, timeout: Duration) -> Self {
        Self { concurrency: concurrency.max(1), timeout, backoff: Backoff::default() }
    }

    /// After an error the next try waits `base`, then twice as long each time, at most `cap`; all with jitter.
    #[must_use]
    pub fn backoff(self, base: Duration, cap: Duration) -> Self {
        Self { backoff: Backoff { base, cap }, ..self }
    }
}

/// The wait between a failed try and the next.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(2), cap: Duration::from_secs(15 * 60) }
    }
}

impl Backoff {
    /// The wait after the failure of try number `attempt` (1-based). `jitter` in `0.0..1.0` spreads it over ±20 %.
    #[must_use]
    pub fn delay(self, attempt: i32, jitter: f64) -> Duration {
        // 2^31 s is far beyond any cap; the clamp only keeps the power finite.
        let doublings = attempt.saturating_sub(1).clamp(0, 31);
        let full = self.base.as_secs_f64() * f64::from(2_u32.pow(doublings.unsigned_abs()));
        Duration::from_secs_f64(full.min(self.cap.as_secs_f64()) * (0.8 + 0.4 * jitter))
    }
}

/// How the process as a whole behaves towards the queue.
#[derive(Clone, Debug)]
pub struct RunnerSettings {
    /// What operators see as the worker's name; each boot appends an id of its own.
    pub name: String,
    /// How long after its last renewal a job counts as abandoned. The same in every process.
    pub lease: Duration,
    /// Renewal interval; a fraction of `lease`, so that several renewals may fail.
    pub heartbeat: Duration,
    /// How often an idle process looks for due jobs; notifications make new ones start sooner.
    pub poll: Duration,
    /// How long running handlers may finish after a shutdown began. Those still running then are interrupted.
    pub grace: Duration,
    /// The server cuts off any statement of the queue itself after this long.
    pub statement_timeout: Duration,
    /// How often each process prunes, roughly: it is spread by a quarter.
    pub prune_every: Duration,
    /// Finished jobs are deleted after this; until then their keys stay taken.
    pub keep_done: Duration,
    /// Dead letters are deleted after this.
    pub keep_dead: Duration,
    /// The history of tries is deleted after this.
    pub keep_attempts: Duration,
}

impl RunnerSettings {
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            name: name.into(),
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            // With the flush afterwards it stays below the 30 s that Heroku allows between SIGTERM and SIGKILL.
            grace: Duration::from_secs(20),
            statement_timeout: Duration::from_secs(10),
            prune_every: Duration::from_secs(60),
            keep_done: DAY,
            keep_dead: 14 * DAY,
            keep_attempts: 30 * DAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };

    #[test]
    fn the_backoff_doubles_from_its_base_to_its_cap() {
        let delays: Vec<u64> = [1, 2, 3, 5, 6, 1_000_000].map(|attempt| BACKOFF.delay(attempt, 0.5).as_secs()).into();
        assert_eq!(delays, [2, 4, 8, 32, 60, 60]);
    }

    #[test]
    fn jitter_spreads_a_delay_by_a_fifth_each_way() {
        assert_eq!(BACKOFF.delay(1, 0.0), Duration::from_secs_f64(1.6));
        assert!(BACKOFF.delay(1, 1.0) <= Duration::from_secs_f64(2.401));
    }
}
