//! A claimed job in this process: its lease, and the guarantee that it is acknowledged exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lane::Lane;

/// The right to act for one job. Ask [`Lease::still_mine`] immediately before a side effect that cannot be taken back.
#[derive(Clone, Debug)]
pub struct Lease(Arc<LeaseState>);

#[derive(Debug)]
struct LeaseState {
    claimed: Instant,
    /// Milliseconds after `claimed`; 0 once it is known that somebody else has the job.
    valid_for_ms: AtomicU64,
    /// The handler has ended; only the acknowledgement is on its way.
    closed: AtomicBool,
}

impl Lease {
    /// `claimed` must not be later than the moment at which the database wrote the claim: then the lease ends here before
    /// another worker may take the job.
    pub(super) fn new(claimed: Instant, length: Duration) -> Self {
        Self(Arc::new(LeaseState {
            claimed,
            valid_for_ms: AtomicU64::new(millis(length)),
            closed: AtomicBool::new(false),
        }))
    }

    /// `false` once another worker may be running this job, or is: then nothing more must be done for it.
    #[must_use]
    pub fn still_mine(&self) -> bool {
        millis(self.0.claimed.elapsed()) < self.0.valid_for_ms.load(Ordering::Acquire)
    }

    /// The job is ours until `length` after `sent`, the moment before the renewal left.
    pub(super) fn renew(&self, sent: Instant, length: Duration) {
        let valid_for = millis(sent.saturating_duration_since(self.0.claimed) + length);
        // A lease that was given up stays given up.
        let _ = self.0.valid_for_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, |current| {
            (current != 0).then_some(current.max(valid_for))
        });
    }

    pub(super) fn give_up(&self) {
        self.0.valid_for_ms.store(0, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    pub(super) fn age(&self) -> Duration {
        self.0.claimed.elapsed()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What became of a claim, as the acknowledgement writes it.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Snoozed {
        delay: Duration,
        reason: String,
    },
    Retried {
        delay: Duration,
        error: String,
    },
    Dead {
        error: String,
    },
    /// Our own shutdown cut the handler off; not its fault, so that no try is used up.
    Interrupted,
    /// It never started.
    HandedBack,
}

impl Outcome {
    /// The word in `job_attempts.outcome` and in the metric's label.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Snoozed { .. } => "snoozed",
            Self::Retried { .. } => "retried",
            Self::Dead { .. } => "dead",
            Self::Interrupted => "interrupted",
            Self::HandedBack => "handed_back",
        }
    }
}

/// An outcome on its way into the database.
#[derive(Debug)]
pub(super) struct Ack {
    pub serial: u64,
    pub job_id: Arc<str>,
    pub attempt: i32,
    pub outcome: Outcome,
    /// From the claim to the outcome.
    pub took: Duration,
}

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const SETTLED: u8 = 2;

/// One claimed job. Dropping it unsettled settles it: handed back if it never started, interrupted if it did.
#[derive(Debug)]
pub(super) struct Claim {
    /// Names this claim within the process: a job that snoozes and is claimed again is another claim.
    pub serial: u64,
    pub job_id: Arc<str>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub lane: Arc<Lane>,
    pub lease: Lease,
    pub cancel: CancellationToken,
    pub acks: mpsc::UnboundedSender<Ack>,
    phase: AtomicU8,
}

impl Claim {
    #[expect(clippy::too_many_arguments, reason = "one caller, which has each of them from the claimed row")]
    pub fn new(
        serial: u64,
        job_id: Arc<str>,
        attempt: i32,
        max_attempts: i32,
        lane: Arc<Lane>,
        lease: Lease,
        cancel: CancellationToken,
        acks: mpsc::UnboundedSender<Ack>,
    ) -> Self {
        Self { serial, job_id, attempt, max_attempts, lane, lease, cancel, acks, phase: AtomicU8::new(WAITING) }
    }

    /// From here on the handler may have had effects.
    pub fn start(&self) {
        self.phase.store(STARTED, Ordering::Release);
    }

    /// Frees the slot and hands the outcome to the acknowledger. Only the first call counts.
    pub fn settle(&self, outcome: Outcome) {
        if self.phase.swap(SETTLED, Ordering::AcqRel) == SETTLED {
            return;
        }
        self.lease.close();
        // The channel is bounded by the claims that exist, and closes only after the last of them.
        let _ = self.acks.send(Ack {
            serial: self.serial,
            job_id: self.job_id.clone(),
            attempt: self.attempt,
            outcome,
            took: self.lease.age(),
        });
        self.lane.give_back_slot();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        match self.phase.load(Ordering::Acquire) {
            WAITING => self.settle(Outcome::HandedBack),
            STARTED => self.settle(Outcome::Interrupted),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::settings::QueueSettings;

    const LEASE: Duration = Duration::from_secs(30);

    fn claim(acks: mpsc::UnboundedSender<Ack>) -> Claim {
        let lane = Arc::new(Lane::new("greet", QueueSettings::new(1, LEASE), Arc::default()));
        lane.take_slots(1);
        let lease = Lease::new(Instant::now(), LEASE);
        Claim::new(1, "a".into(), 1, 3, lane, lease, CancellationToken::new(), acks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_by_itself_unless_it_is_renewed() {
        let lease = Lease::new(Instant::now(), LEASE);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(lease.still_mine());
        lease.renew(Instant::now(), LEASE);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(lease.still_mine());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!lease.still_mine());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_lease_cannot_be_renewed() {
        let lease = Lease::new(Instant::now(), LEASE);
        lease.give_up();
        lease.renew(Instant::now(), LEASE);
        assert!(!lease.still_mine());
    }

    #[tokio::test]
    async fn a_claim_that_is_dropped_before_it_starts_is_handed_back_and_frees_its_slot() {
        let (sender, mut acks) = mpsc::unbounded_channel();
        let claim = claim(sender);
        let lane = claim.lane.clone();
        assert_eq!(lane.free_slots(), 0);
        drop(claim);
        assert!(matches!(acks.recv().await.unwrap().outcome, Outcome::HandedBack));
        assert_eq!(lane.free_slots(), 1);
    }

    #[tokio::test]
    async fn a_claim_is_acknowledged_once() {
        let (sender, mut acks) = mpsc::unbounded_channel();
        let claim = claim(sender);
        claim.start();
        claim.settle(Outcome::Done);
        claim.settle(Outcome::Interrupted);
        drop(claim);
        assert!(matches!(acks.recv().await.unwrap().outcome, Outcome::Done));
        assert!(acks.recv().await.is_none());
    }
}
