//! The transcriber of one call: connects, connects again, and goes over to the second choice when the first is beyond that.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{
    AudioSource, SttControl, SttEvent, SttHandle, audio_queue,
    connection::{Connection, Ended},
    track::Track,
    wire::Wire,
};
use crate::{
    health::Health,
    provider::{Connect, FailOver, Part, ProviderError, count_error},
    usage::Meter,
};
use shared::ledger::Unit;

/// How a transcriber behaves in time. The defaults follow the providers' documents; tests shorten them.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Handshake deadline of one attempt.
    pub connect: Duration,
    /// A sign of life after this long without audio: Deepgram closes after 10 s, and asks for one every 3 to 5 s.
    pub keep_alive: Duration,
    /// A ping after this long without a word from the provider; as long again without an answer is a dead socket.
    pub silence: Duration,
    /// A provider that greets has done so by then: it may take 10 s, but the human speaks already.
    pub greeting: Duration,
    /// Audio sent without a word about it, to a provider that says something of all audio.
    pub unanswered: Duration,
    /// A send that takes longer is a dead socket.
    pub send: Duration,
    /// Waits before each reconnection; their number is the number of attempts in a row.
    pub backoff: Vec<Duration>,
    /// A connection that lived this long resets the attempts.
    pub stable: Duration,
    /// How long to wait for the last words at the end.
    pub close: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            keep_alive: Duration::from_secs(4),
            silence: Duration::from_secs(6),
            greeting: Duration::from_secs(4),
            unanswered: Duration::from_secs(8),
            send: Duration::from_secs(2),
            backoff: [100, 250, 500, 1_000, 2_000].map(Duration::from_millis).to_vec(),
            stable: Duration::from_secs(10),
            close: Duration::from_secs(1),
        }
    }
}

impl Timing {
    /// While somebody stands by to take over: one quick try again, so that what the human says meanwhile is still kept.
    fn impatient(&self) -> Self {
        let backoff = self.backoff.iter().take(1).copied().collect();
        Self { connect: self.connect.min(Duration::from_millis(1_000)), backoff, ..self.clone() }
    }
}

/// What a process needs to transcribe calls. Cheap to clone.
#[derive(Clone)]
pub struct Transcriber {
    connect: Connect,
    timing: Arc<Timing>,
    health: Health,
}

impl Transcriber {
    /// Transcribes over connections made by `connect`.
    pub fn new(connect: Connect) -> Self {
        Self { connect, timing: Arc::default(), health: Health::default() }
    }

    /// The same, telling others who fails and who works.
    #[must_use]
    pub fn with_health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// The same with other timing.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = Arc::new(timing);
        self
    }

    /// A transcriber for one call: the call's handle, and the task to spawn. The second choice takes over for the rest of the
    /// call when the first is rejected, or cannot be reached again at once. The task ends when the handle's audio end is dropped
    /// (after at most [`Timing::close`]), or after it has reported [`SttEvent::Lost`].
    pub fn transcribe(
        &self,
        first: Box<dyn Wire>,
        second: Option<Box<dyn Wire>>,
        meter: Meter,
        events: mpsc::Sender<SttEvent>,
    ) -> (SttHandle, impl Future<Output = ()> + Send + 'static) {
        let (audio, source) = audio_queue();
        let (control, requests) = mpsc::channel(4);
        let run = Run {
            connect: self.connect.clone(),
            timing: if second.is_some() { Arc::new(self.timing.impatient()) } else { Arc::clone(&self.timing) },
            patient: Arc::clone(&self.timing),
            wire: first,
            standing_by: second.into_iter().collect(),
            audio: source,
            requests,
            events,
            track: Track::default(),
            without_words: 0,
            health: self.health.clone(),
            meter,
        };
        (SttHandle { audio, control }, run.run())
    }
}

pub(super) struct Run {
    connect: Connect,
    pub(super) timing: Arc<Timing>,
    /// The timing of the last choice.
    patient: Arc<Timing>,
    pub(super) wire: Box<dyn Wire>,
    standing_by: VecDeque<Box<dyn Wire>>,
    pub(super) audio: AudioSource,
    pub(super) requests: mpsc::Receiver<SttControl>,
    pub(super) events: mpsc::Sender<SttEvent>,
    pub(super) track: Track,
    /// Times in a row that the human spoke and no words came.
    pub(super) without_words: u32,
    pub(super) health: Health,
    meter: Meter,
}

impl Run {
    async fn run(mut self) {
        let mut attempt = 0;
        loop {
            let began = Instant::now();
            let ended = self.connection(began).await;
            if began.elapsed() >= self.timing.stable {
                attempt = 0;
            }
            let (error, is_deaf) = match ended {
                Ended::Done => return,
                Ended::Broken(error) => (error, false),
                Ended::Deaf(error) => (error, true),
            };
            count_error(self.wire.provider(), &error);
            // To try the deaf again would cost the human another sentence: only where there is nobody else.
            let may_retry = error.is_worth_another_try() && !(is_deaf && self.has_second());
            let wait = self.timing.backoff.get(attempt).copied().filter(|_| may_retry);
            let Some(wait) = wait else {
                if is_deaf {
                    self.track.reopen();
                }
                if !self.go_over(error).await {
                    return;
                }
                attempt = 0;
                continue;
            };
            attempt += 1;
            tracing::debug!(attempt, kind = error.kind(), "the transcriber's connection broke");
            let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
            if self.events.send(SttEvent::Reconnecting { attempt }).await.is_err() {
                return;
            }
            let wait = match error {
                ProviderError::RateLimited { retry_after: Some(asked) } => wait.max(asked.min(Duration::from_secs(2))),
                _ => wait,
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn connection(&mut self, began: Instant) -> Ended {
        let (url, header, key) = self.wire.address();
        let socket = match self.connect.open(url, (header, key), self.timing.connect).await {
            Ok(socket) => socket,
            Err(error) => return Ended::Broken(error),
        };
        let provider = self.wire.provider();
        if self.events.send(SttEvent::Connected { provider, after: began.elapsed() }).await.is_err() {
            return Ended::Done;
        }
        let billed = self.meter.counter(provider, self.wire.model(), Unit::SttMillisecond);
        Connection::new(socket, self, billed).serve().await
    }

    /// Whether somebody stands by.
    pub(super) fn has_second(&self) -> bool {
        !self.standing_by.is_empty()
    }

    /// The present choice is given up for the rest of the call. `false`: there is no other.
    async fn go_over(&mut self, error: ProviderError) -> bool {
        let Some(next) = self.standing_by.pop_front() else {
            let _ = self.events.send(SttEvent::Lost(error)).await;
            return false;
        };
        self.without_words = 0;
        self.health.failed(Part::Stt, self.wire.provider(), &error);
        let from = std::mem::replace(&mut self.wire, next).provider();
        if self.standing_by.is_empty() {
            self.timing = Arc::clone(&self.patient);
        }
        let over = FailOver { part: Part::Stt, from, to: self.wire.provider(), error };
        self.events.send(SttEvent::FailedOver(over)).await.is_ok()
    }
}
