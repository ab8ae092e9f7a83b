//! What the queue's tasks of one process share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::claim::{Ack, Claim, Lease};
use super::database::Database;
use super::lane::{Delivery, Lane};
use super::settings::RunnerSettings;
use super::sql::ClaimedRow;

/// The lease of a claim that is not acknowledged yet.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub job_id: Arc<str>,
    pub attempt: i32,
    pub lease: Lease,
    pub cancel: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Hub {
    pub db: Database,
    /// Unique per boot: a restarted process never inherits the leases of the one before.
    pub worker: String,
    pub settings: RunnerSettings,
    pub lanes: Vec<Arc<Lane>>,
    /// Wakes the fetcher.
    pub wake: Arc<Notify>,
    /// Asks for a heartbeat ahead of its time, which delivers cancellations.
    pub beat_now: Notify,
    /// Turns true with the first heartbeat: claims refer to the worker's row.
    pub registered: watch::Sender<bool>,
    /// No new work from here on.
    pub stopping: CancellationToken,
    /// Handlers that still run are cut off.
    pub interrupting: CancellationToken,
    held: Mutex<HashMap<u64, Held>>,
    serials: AtomicU64,
    acks: mpsc::UnboundedSender<Ack>,
}

impl Hub {
    pub fn new(
        db: Database,
        settings: RunnerSettings,
        lanes: Vec<Arc<Lane>>,
        wake: Arc<Notify>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Ack>) {
        let (acks, receiver) = mpsc::unbounded_channel();
        let hub = Self {
            db,
            worker: format!("{}#{}", settings.name, Ulid::generate()),
            settings,
            lanes,
            wake,
            beat_now: Notify::new(),
            registered: watch::Sender::new(false),
            stopping: CancellationToken::new(),
            interrupting: CancellationToken::new(),
            held: Mutex::default(),
            serials: AtomicU64::new(0),
            acks,
        };
        (Arc::new(hub), receiver)
    }

    pub fn queues(&self) -> Vec<String> {
        self.lanes.iter().map(|lane| lane.queue.to_owned()).collect()
    }

    pub fn lane(&self, queue: &str) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.queue == queue)
    }

    /// Takes charge of a job that was just claimed for `lane`: from here on its lease is renewed until it is settled.
    pub fn take_charge(&self, lane: &Arc<Lane>, row: ClaimedRow, sent: Instant) -> Delivery {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let held = Held {
            job_id: row.id.into(),
            attempt: row.attempts,
            lease: Lease::new(sent, self.settings.lease),
            cancel: CancellationToken::new(),
        };
        let claim = Claim::new(
            serial,
            held.job_id.clone(),
            held.attempt,
            row.max_attempts,
            lane.clone(),
            held.lease.clone(),
            held.cancel.clone(),
            self.acks.clone(),
        );
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(serial, held);
        Delivery { claim, payload: row.job, priority: row.priority, key: row.idempotency_key }
    }

    /// The claim is settled in the database, or lost: stop renewing it.
    pub fn release(&self, serial: u64) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&serial);
    }

    pub fn held(&self) -> Vec<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub fn held_count(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
