//! Jobs that run by the clock: once per tick across all workers, and caught up after an outage.
//!
//! Every worker tries to enqueue every tick; the job's key `cron:{name}:{tick}` lets one succeed. The table
//! `schedules` remembers the last tick, so that a tick is neither lost while no worker runs nor enqueued again after its job
//! was pruned.

use std::sync::Arc;
use std::time::Duration;

use shared::jobs::{Job, encode};
use tokio::time::sleep;

use super::error::chain;
use super::hub::Hub;
use super::sql;

/// Not sooner than this, whatever the schedules say: the database's clock and ours may disagree by a little.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
/// Not later either: a schedule of another release may have moved its last tick.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A job and when it is due.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub(super) name: &'static str,
    pub(super) every: Duration,
    pub(super) offset: Duration,
    pub(super) catch_up: u32,
    pub(super) queue: &'static str,
    pub(super) payload: Vec<u8>,
    pub(super) max_attempts: i32,
    pub(super) priority: i32,
}

impl Schedule {
    /// Enqueues `job` at every multiple of `every` since the Unix epoch, in UTC. The job's own key is not used.
    /// A new schedule begins with its next tick.
    ///
    /// # Errors
    /// The job cannot be serialized.
    pub fn every<J: Job>(name: &'static str, every: Duration, job: &J) -> sqlx::Result<Self> {
        Ok(Self {
            name,
            every,
            offset: Duration::ZERO,
            catch_up: 1,
            queue: J::QUEUE,
            payload: encode(job)?,
            max_attempts: J::MAX_ATTEMPTS,
            priority: job.priority(),
        })
    }

    /// Moves every tick by `offset`: `every(day).offset(3 h)` is 03:00 UTC.
    #[must_use]
    pub fn offset(self, offset: Duration) -> Self {
        Self { offset, ..self }
    }

    /// After a pause of all workers, how many of the missed ticks still run, latest first; older ones are dropped. 1
    /// unless said otherwise: most jobs do in one run what several missed ones would have done.
    #[must_use]
    pub fn catch_up(self, ticks: u32) -> Self {
        Self { catch_up: ticks.max(1), ..self }
    }
}

pub(super) async fn run(hub: Arc<Hub>, schedules: Vec<Schedule>) {
    tokio::select! {
        () = tick_for_ever(&hub, &schedules) => {}
        () = hub.stopping.cancelled() => {}
    }
}

async fn tick_for_ever(hub: &Hub, schedules: &[Schedule]) {
    loop {
        let wait = match hub.db.bounded(async |db| sql::tick(&mut **db, schedules).await).await {
            Ok(ticked) => {
                if ticked.enqueued > 0 {
                    tracing::debug!(jobs = ticked.enqueued, "scheduled jobs were enqueued");
                }
                Duration::try_from_secs_f64(ticked.next_in_secs).unwrap_or_default().clamp(SHORTEST_WAIT, LONGEST_WAIT)
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "scheduled jobs could not be enqueued; they are caught up");
                RETRY_PAUSE
            }
        };
        sleep(wait).await;
    }
}
