//! One queue's share of this process: its free slots, and whether it is worth asking the database for more.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::claim::Claim;
use super::settings::QueueSettings;

/// A claimed job with its payload still encoded, on its way to the queue's backend.
#[derive(Debug)]
pub(super) struct Delivery {
    pub claim: Claim,
    pub payload: Vec<u8>,
    pub priority: i32,
    pub key: Option<String>,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub queue: &'static str,
    pub settings: QueueSettings,
    free: AtomicUsize,
    /// There may be due jobs that we have not claimed. Cleared before a claim is sent, so that a notification that
    /// arrives meanwhile is not forgotten.
    due: AtomicBool,
    inbox: Mutex<Option<mpsc::Sender<Delivery>>>,
    /// The fetcher's, shared by all lanes.
    wake: Arc<Notify>,
}

impl Lane {
    pub fn new(queue: &'static str, settings: QueueSettings, wake: Arc<Notify>) -> Self {
        Self {
            queue,
            settings,
            free: AtomicUsize::new(settings.concurrency),
            due: AtomicBool::new(true),
            inbox: Mutex::new(None),
            wake,
        }
    }

    /// Connects a backend: the newest one gets the deliveries, so that a restarted worker takes over.
    pub fn attach(&self) -> mpsc::Receiver<Delivery> {
        let (sender, receiver) = mpsc::channel(self.settings.concurrency);
        *self.inbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        self.mark_due();
        receiver
    }

    /// Without a backend, or with one that has gone, the delivery is dropped, which hands its job back.
    pub fn deliver(&self, delivery: Delivery) {
        if let Some(inbox) = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // Never full: it has one place per slot.
            let _ = inbox.try_send(delivery);
        }
    }

    pub fn is_attached(&self) -> bool {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|inbox| !inbox.is_closed())
    }

    pub fn free_slots(&self) -> usize {
        self.free.load(Ordering::Acquire)
    }

    /// Only the fetcher takes, and never more than it saw free.
    pub fn take_slots(&self, taken: usize) {
        let free = self.free.fetch_sub(taken, Ordering::AcqRel) - taken;
        self.report_in_flight(free);
    }

    pub fn give_back_slot(&self) {
        let free = self.free.fetch_add(1, Ordering::AcqRel) + 1;
        self.report_in_flight(free);
        if self.due.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    pub fn mark_due(&self) {
        self.due.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn is_due(&self) -> bool {
        self.due.load(Ordering::Acquire)
    }

    pub fn clear_due(&self) {
        self.due.store(false, Ordering::Release);
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of slots")]
    fn report_in_flight(&self, free: usize) {
        let running = self.settings.concurrency.saturating_sub(free);
        metrics::gauge!("jobs_in_flight", "queue" => self.queue).set(running as f64);
    }
}
