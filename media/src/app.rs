//! What all calls of the process share, and whether another one may come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use shared::http_tool::client::HttpTools;
use shared::storage::Storage;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    pacer::PacerSettings,
    providers::Providers,
    ringing::Ringing,
    store::Store,
    tape::{Piece, Tape, Tapes, shipping::Shipper},
    verdicts::Verdicts,
};

/// Shared by the server and every call.
pub struct App {
    /// The environment.
    pub config: Config,
    /// The database, as a call may use it.
    pub store: Store,
    /// Who hears, thinks and speaks.
    pub providers: Providers,
    /// Voices for calls whose phones still ring.
    pub ringing: Ringing,
    /// What carriers find out about whoever answered.
    pub verdicts: Arc<Verdicts>,
    /// Accounts' own tools.
    pub http_tools: HttpTools,
    /// Frames and lead.
    pub pacer: PacerSettings,
    /// Room for calls.
    pub admission: Arc<Admission>,
    /// Recorders and recordings that are still written after their call.
    pub tasks: TaskTracker,
    /// Where recordings begin.
    pub tapes: Tapes,
    /// The object store.
    pub storage: Storage,
    /// What brings recordings there.
    pub shipper: Arc<Shipper>,
}

impl App {
    /// Builds the clients, and starts the thread that writes recordings. Nothing is connected yet.
    pub fn new(config: Config, store: Store) -> anyhow::Result<Arc<Self>> {
        let providers = Providers::new(&config)?;
        let tapes = Tapes::start(config.spool_dir.clone(), config.max_spool_bytes(), config.spool_piece())?;
        let storage = config.storage.open()?;
        let shipper = Shipper::new(config.spool_dir.clone(), storage.clone(), store.clone());
        Ok(Arc::new(Self {
            providers,
            ringing: Ringing::new(config.max_live_calls),
            verdicts: Arc::default(),
            http_tools: HttpTools::new(config.callback_secret.clone(), config.private_tools)?,
            pacer: PacerSettings::of_frames(config.frame_ms),
            admission: Arc::new(Admission::new(config.max_live_calls)),
            tasks: TaskTracker::new(),
            tapes,
            storage,
            shipper: Arc::new(shipper),
            config,
            store,
        }))
    }

    /// Begins the call's own recording, which is shipped piece by piece, the last one when the tape is dropped.
    pub fn record(&self, piece: Piece, began: Instant) -> Tape {
        let (tape, mut spooled) = self.tapes.begin(piece, began);
        let (shipper, tasks) = (Arc::clone(&self.shipper), self.tasks.clone());
        self.tasks.spawn(async move {
            // Nothing comes of a tape that could not be kept. One piece does not wait for another, whose store may be slow.
            while let Some(spooled) = spooled.recv().await {
                let shipper = Arc::clone(&shipper);
                tasks.spawn(async move { shipper.ship(spooled).await });
            }
        });
        tape
    }
}

/// Counts live calls against the cap, and knows whether the process is leaving.
#[derive(Debug)]
pub struct Admission {
    cap: usize,
    live: AtomicUsize,
    draining: AtomicBool,
    leave_soon: CancellationToken,
    leave_now: CancellationToken,
}

/// Why no stream is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// As many calls as were measured to be safe.
    Full,
    /// SIGTERM has come.
    Draining,
}

impl Refusal {
    /// The `cause` label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Draining => "draining",
        }
    }
}

/// One call's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let live = self.admission.live.fetch_sub(1, Ordering::AcqRel) - 1;
        metrics::gauge!("live_calls").set(live as f64);
    }
}

impl Admission {
    /// Room for `cap` calls.
    pub fn new(cap: usize) -> Self {
        Self {
            cap,
            live: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            leave_soon: CancellationToken::new(),
            leave_now: CancellationToken::new(),
        }
    }

    /// Takes a place, if there is one.
    pub fn enter(self: &Arc<Self>) -> Result<Place, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        let within = |live: usize| (live < self.cap).then_some(live + 1);
        let before =
            self.live.fetch_update(Ordering::AcqRel, Ordering::Acquire, within).map_err(|_full| Refusal::Full)?;
        metrics::gauge!("live_calls").set((before + 1) as f64);
        Ok(Place { admission: Arc::clone(self) })
    }

    /// Calls held now.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Whether the process takes no more calls because it is leaving.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Lets live calls go on, and returns when they are over or `grace` is. In its last part they are handed over: first asked to
    /// leave at their next turn boundary (for [`Self::asking`]), then told to (for an eighth, at most three seconds).
    pub async fn drain(&self, grace: Duration) {
        self.draining.store(true, Ordering::Release);
        let asking = Self::asking(grace);
        let telling = (grace / 8).min(Duration::from_secs(3));
        if self.is_empty_within(grace - asking - telling).await {
            return;
        }
        self.leave_soon.cancel();
        if self.is_empty_within(asking).await {
            return;
        }
        tracing::warn!(live_calls = self.live(), "the grace period is over: breaking live calls off");
        self.leave_now.cancel();
        self.is_empty_within(telling).await;
    }

    /// Of a grace period, how long calls are asked to leave: two fifths, at most ten seconds, in which nearly every conversation
    /// comes to a turn boundary. Few calls would have ended in that time by themselves.
    pub fn asking(grace: Duration) -> Duration {
        (grace * 2 / 5).min(Duration::from_secs(10))
    }

    async fn is_empty_within(&self, time: Duration) -> bool {
        let emptied = async {
            while self.live() > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(time, emptied).await.is_ok()
    }

    /// Cancelled when calls should leave at their next turn boundary.
    pub fn leave_soon(&self) -> &CancellationToken {
        &self.leave_soon
    }

    /// Cancelled when calls are closed whatever they are doing.
    pub fn leave_now(&self) -> &CancellationToken {
        &self.leave_now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_holds_and_a_dropped_place_is_free_again() {
        let admission = Arc::new(Admission::new(2));
        let first = admission.enter().unwrap();
        let _second = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err(), Refusal::Full);
        drop(first);
        let _third = admission.enter().unwrap();
        assert_eq!(admission.live(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_refuses_new_calls_and_closes_the_old_ones_in_two_steps() {
        let admission = Arc::new(Admission::new(2));
        let place = admission.enter().unwrap();
        let began = tokio::time::Instant::now();
        let draining = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.drain(Duration::from_secs(25)).await }
        });
        admission.leave_soon().cancelled().await;
        assert_eq!(began.elapsed().as_secs(), 12);
        assert_eq!(admission.enter().unwrap_err(), Refusal::Draining);
        admission.leave_now().cancelled().await;
        assert_eq!(began.elapsed().as_secs(), 22);
        drop(place);
        draining.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn draining_ends_as_soon_as_the_last_call_is_over() {
        let admission = Arc::new(Admission::new(2));
        let place = admission.enter().unwrap();
        let began = tokio::time::Instant::now();
        let over = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            drop(place);
        };
        tokio::join!(admission.drain(Duration::from_secs(25)), over);
        assert_eq!(began.elapsed().as_secs(), 7);
        assert!(!admission.leave_soon().is_cancelled());
    }
}
