//! What a call leaves behind, written behind its back.
//!
//! The conversation hands entries to a bounded queue and never waits. The task here writes them, tries again while the
//! database is away, and gives up in the end: entries lost are counted, the call is not.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::{ledger::Used, stream::Unsettled, turn::Turn};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    dialogue::CallEvent,
    provider::FailOver,
    store::{Held, Store},
};

/// Entries waiting: several minutes of conversation.
const QUEUE: usize = 256;
/// One entry is tried for so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// After the call everything left is tried for so long together.
const FLUSH_FOR: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Something to store.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A settled turn.
    Turn(Turn),
    /// The human's words that belong to no settled turn yet.
    Unsettled(Option<Unsettled>),
    /// What the human has heard of the agent's turn.
    Heard(Unsettled),
    /// An answer to one of the playbook's questions.
    Answer {
        /// Its key.
        field: String,
        /// In the human's words.
        value: String,
    },
    /// A text message that the human asked for.
    Message {
        /// The voice agent's name for it.
        template: String,
        /// With everything filled in.
        text: String,
        /// In India's registry.
        dlt_template_id: Option<String>,
        /// When, in domain time.
        at: DateTime<Utc>,
    },
    /// For the call's history.
    Event {
        /// What happened.
        event: CallEvent,
        /// When, in domain time.
        at: DateTime<Utc>,
    },
    /// A second choice of provider took over.
    FailedOver {
        /// From whom to whom, and why.
        over: FailOver,
        /// When, in domain time.
        at: DateTime<Utc>,
    },
    /// All that this stream has used so far.
    Usage(Vec<Used>),
    /// The call is alive. Not tried again: the next one follows in seconds.
    Heartbeat {
        /// Of the dialogue.
        phase: &'static str,
        /// Of the playbook.
        stage: String,
        /// Settled so far.
        turns: u32,
    },
    /// The stream is over.
    End {
        /// Why.
        reason: String,
        /// When, in domain time.
        at: DateTime<Utc>,
        /// Cancelled once it, and so everything before it, is stored.
        stored: CancellationToken,
    },
}

/// The call's end of its recorder.
pub struct Recorder {
    entries: mpsc::Sender<Entry>,
}

impl Recorder {
    /// A recorder, and the task to spawn; it ends when the recorder is dropped and everything is written. `taken_over` is
    /// cancelled when another process turns out to hold the call.
    pub fn new(
        store: Store,
        held: Held,
        taken_over: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (entries, queue) = mpsc::channel(QUEUE);
        let writer = Writer { store, held, queue, taken_over };
        (Self { entries }, writer.run())
    }

    /// Hands over an entry. Never waits; a full queue loses it, and that is counted.
    pub fn put(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            metrics::counter!("records_lost_total", "cause" => "queue_full").increment(1);
        }
    }
}

struct Writer {
    store: Store,
    held: Held,
    queue: mpsc::Receiver<Entry>,
    taken_over: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        let mut flush_until = None;
        while let Some(entry) = self.queue.recv().await {
            // From the moment the call has let go, what is left shares one deadline.
            if self.queue.is_closed() || self.queue.sender_strong_count() == 0 {
                flush_until.get_or_insert_with(|| Instant::now() + FLUSH_FOR);
            }
            let deadline =
                (Instant::now() + GIVE_UP_AFTER).min(flush_until.unwrap_or_else(|| Instant::now() + GIVE_UP_AFTER));
            self.write(&entry, deadline).await;
        }
    }

    async fn write(&self, entry: &Entry, deadline: Instant) {
        let mut wait = FIRST_WAIT;
        loop {
            let outcome = tokio::time::timeout_at(deadline, self.try_write(entry)).await;
            let error = match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => Some(error),
                Err(_elapsed) => None,
            };
            let lost = matches!(entry, Entry::Heartbeat { .. }) || Instant::now() + wait >= deadline;
            let refused = error.as_ref().is_some_and(is_refusal);
            if lost || refused {
                if !matches!(entry, Entry::Heartbeat { .. }) {
                    let cause = if refused { "refused" } else { "database_away" };
                    metrics::counter!("records_lost_total", "cause" => cause).increment(1);
                    tracing::error!(call_id = %self.held.call_id, cause, error = error.as_ref().map(tracing::field::display), "a record of the call was lost");
                }
                return;
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn try_write(&self, entry: &Entry) -> sqlx::Result<()> {
        match entry {
            Entry::Turn(turn) => self.store.turn(&self.held, turn).await,
            Entry::Unsettled(words) => self.store.unsettled(&self.held, words.as_ref()).await,
            Entry::Heard(words) => self.store.heard(&self.held, words).await,
            Entry::Answer { field, value } => self.store.answer(&self.held, field, value).await,
            Entry::Message { template, text, dlt_template_id, at } => {
                self.store.message(&self.held, template, text, dlt_template_id.as_deref(), *at).await
            }
            Entry::Event { event, at } => self.store.event(&self.held, event, *at).await,
            Entry::FailedOver { over, at } => self.store.failed_over(&self.held, over, *at).await,
            Entry::Usage(used) => self.store.usage(&self.held, used).await,
            Entry::Heartbeat { phase, stage, turns } => {
                if !self.store.heartbeat(&self.held, phase, stage, *turns).await? {
                    self.taken_over.cancel();
                }
                Ok(())
            }
            Entry::End { reason, at, stored } => {
                self.store.end(&self.held, reason, *at).await?;
                stored.cancel();
                Ok(())
            }
        }
    }
}

/// The database will say no again: bad data (22), a broken constraint (23), a statement it does not know (42).
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["22", "23", "42"].iter().any(|class| code.starts_with(class)))
}
