//! The call's own recording: the human on the left as they were received, the agent on the right as it was heard.
//!
//! A call holds a [`Tape`] and never waits for it: what it hears and plays goes into one bounded queue of the process, and a
//! thread of its own mixes and writes ([`spool`]). A queue that is full loses sound, which is counted, and never the call. What is
//! on disk can be read whenever the process dies: at most the last [`spool::WRITE_EVERY`] and what was not final are lost.
//! Finished and left-behind files go to the object store ([`shipping`]), and so does every piece of a call that goes on, so that a
//! disk which dies with its process costs one piece; a job makes one recording of a call's pieces where its carrier has none.
//!
//! Both channels run on the conversation's clock, as its turns do: sample `n` of a stream's file was heard `n` eighths of a
//! millisecond after the stream's `start`, and the file's name says how old the conversation was then.

mod mixer;
mod placing;
pub mod shipping;
mod spool;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use anyhow::Context;
use shared::id::{AccountId, CallId};
use tokio::{sync::mpsc, time::Instant};

pub use spool::Spooled;

use crate::carrier::SAMPLES_PER_MS;

/// Frames that wait for the disk: some seconds of two hundred calls.
const QUEUE: usize = 16_384;
/// Pieces of one call that wait for their way to the object store; further ones are found on the disk.
const PIECES: usize = 64;
/// Later than any stamp of a carrier that means something.
const LATEST_STAMP_MS: u64 = 1 << 40;

/// Whose sound it is, and where it belongs: a stream's, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The account.
    pub account_id: AccountId,
    /// The call.
    pub call_id: CallId,
    /// How old the conversation was when it begins.
    pub offset: Duration,
}

/// All tapes of the process.
#[derive(Debug)]
pub struct Tapes {
    orders: SyncSender<Order>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Order {
    tape: u64,
    what: What,
}

/// Times are samples since the stream began.
#[derive(Debug)]
enum What {
    Begin { piece: Piece, began: Instant, finished: mpsc::Sender<Spooled> },
    Human { arrived: i64, stamp: Option<i64>, samples: Vec<i16> },
    Agent { at: i64, samples: Vec<i16> },
    Cut { at: i64 },
    End { at: i64 },
}

impl Tapes {
    /// Starts the thread that writes below `dir`, in files of the length `piece`, which all together may take `max_bytes`.
    ///
    /// # Errors
    /// The directory cannot be made, or the thread not be started.
    pub fn start(dir: PathBuf, max_bytes: u64, piece: Duration) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&dir).with_context(|| format!("SPOOL_DIR: cannot make {}", dir.display()))?;
        let (orders, inbox) = sync_channel(QUEUE);
        let writing = spool::Spool::new(dir, max_bytes, piece);
        std::thread::Builder::new()
            .name("tapes".into())
            .spawn(move || writing.run(&inbox))
            .context("the thread of the tapes does not start")?;
        Ok(Self { orders, next: AtomicU64::new(0) })
    }

    /// A tape of the stream that began at `began`, and what comes of it, piece by piece: nothing where it could not be kept.
    pub fn begin(&self, piece: Piece, began: Instant) -> (Tape, mpsc::Receiver<Spooled>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (finished, spooled) = mpsc::channel(PIECES);
        let tape = Tape(Arc::new(Recording { id, began, orders: self.orders.clone() }));
        tape.order(What::Begin { piece, began, finished });
        (tape, spooled)
    }
}

/// The sound of one stream. Cheap to clone; it ends with the last clone at the latest.
#[derive(Debug, Clone)]
pub struct Tape(Arc<Recording>);

#[derive(Debug)]
struct Recording {
    id: u64,
    began: Instant,
    orders: SyncSender<Order>,
}

impl Tape {
    /// What the human said, complete at `arrived`; `stamp_ms` is the carrier's media time of it.
    pub fn human(&self, arrived: Instant, stamp_ms: Option<u64>, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        let stamp = stamp_ms.map(|ms| ms.min(LATEST_STAMP_MS) as i64 * SAMPLES_PER_MS as i64);
        self.order(What::Human { arrived: self.at(arrived), stamp, samples: samples.to_vec() });
    }

    /// What the human hears from `starts` on, unless it is cut.
    pub fn agent(&self, starts: Instant, samples: &[i16]) {
        self.order(What::Agent { at: self.at(starts), samples: samples.to_vec() });
    }

    /// Nothing of what was sent so far is heard after `at`.
    pub fn cut(&self, at: Instant) {
        self.order(What::Cut { at: self.at(at) });
    }

    /// The line is dead: nothing that was sent for later was heard.
    pub fn end(&self, at: Instant) {
        self.order(What::End { at: self.at(at) });
    }

    fn at(&self, instant: Instant) -> i64 {
        self.0.at(instant)
    }

    fn order(&self, what: What) {
        self.0.order(what);
    }
}

impl Recording {
    fn at(&self, instant: Instant) -> i64 {
        let micros = instant.saturating_duration_since(self.began).as_micros();
        i64::try_from(micros).unwrap_or(i64::MAX / 16) * SAMPLES_PER_MS as i64 / 1_000
    }

    fn order(&self, what: What) {
        if self.orders.try_send(Order { tape: self.id, what }).is_err() {
            metrics::counter!("tape_orders_dropped_total").increment(1);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Of no effect where it has ended. Should it be lost, the tape ends by itself when nothing has come for a while.
        self.order(What::End { at: self.at(Instant::now()) });
    }
}

#[cfg(test)]
mod tests;
