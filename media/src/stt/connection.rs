//! One connection: audio out at a bounded rate, transcripts in, signs of life between.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Message as Frame, Utf8Bytes};

use super::{
    AudioSource, SttControl, SttEvent, Transcript,
    run::Run,
    track::time_of,
    wire::{Heard, KeepAlive, Segment},
};
use crate::{
    carrier::SAMPLES_PER_MS,
    provider::{Part, ProviderError, ProviderSocket},
    usage::Counter,
};

/// Most audio in one message: 100 ms, a good balance for every provider.
const CHUNK_SAMPLES: usize = 100 * SAMPLES_PER_MS;

/// What may be sent ahead of the rate limit: the jitter of the carrier, and the start of a replay.
const BURST_SAMPLES: u64 = 500 * SAMPLES_PER_MS as u64;

/// Times in a row that the human may speak without a word coming of it: once is a cough, or a bad line.
const MAX_WITHOUT_WORDS: u32 = 2;

/// Messages that could not be parsed before the connection is given up.
const MAX_MALFORMED: u32 = 20;

/// Why a connection is over.
pub(super) enum Ended {
    /// Nobody needs it any more.
    Done,
    /// It broke.
    Broken(ProviderError),
    /// It stands, and nothing is heard over it.
    Deaf(ProviderError),
}

impl From<ProviderError> for Ended {
    fn from(error: ProviderError) -> Self {
        Self::Broken(error)
    }
}

pub(super) struct Connection<'a> {
    socket: ProviderSocket,
    run: &'a mut Run,
    /// Call position of this connection's second zero. Grows when audio is skipped, shrinks when silence is put in.
    origin: i64,
    /// Audio to send again before anything new.
    backlog: Vec<i16>,
    backlog_sent: usize,
    began: Instant,
    /// Samples sent on this connection.
    sent: u64,
    last_sent_at: Instant,
    last_heard_at: Instant,
    pinged: bool,
    /// The provider has said that it listens, or never says so.
    greeted: bool,
    /// Samples sent when it last said anything.
    answered_at: u64,
    finalize_due: bool,
    malformed: u32,
    /// Where the last final with words lay, and its words.
    last_final: Option<(u64, u64, String)>,
    samples: Vec<i16>,
    heard: Vec<Heard>,
    billed: Counter,
}

impl<'a> Connection<'a> {
    pub(super) fn new(socket: ProviderSocket, run: &'a mut Run, billed: Counter) -> Self {
        let now = Instant::now();
        let (origin, backlog) = run.track.replay();
        let greeted = !run.wire.greets();
        Self {
            socket,
            run,
            origin: i64::try_from(origin).unwrap_or(i64::MAX),
            backlog,
            backlog_sent: 0,
            began: now,
            sent: 0,
            last_sent_at: now,
            last_heard_at: now,
            pinged: false,
            greeted,
            answered_at: 0,
            finalize_due: false,
            malformed: 0,
            last_final: None,
            samples: Vec::with_capacity(CHUNK_SAMPLES),
            heard: Vec::new(),
            billed,
        }
    }

    pub(super) async fn serve(mut self) -> Ended {
        if let Some(hello) = self.run.wire.begin()
            && let Err(ended) = self.send(Frame::text(hello)).await
        {
            return ended;
        }
        loop {
            let timing = &self.run.timing;
            let keep_alive_at = self.last_sent_at + timing.keep_alive;
            let silence_at = self.last_heard_at + timing.silence * if self.pinged { 2 } else { 1 };
            let allowed_at = self.allowed_at();
            let (greeting, is_greeted) = (timing.greeting, self.greeted);
            let step = tokio::select! {
                frame = self.socket.next() => match frame {
                    Some(Ok(frame)) => self.heard(frame).await,
                    Some(Err(_)) => Err(cut("socket").into()),
                    None => Err(cut("closed").into()),
                },
                request = self.run.requests.recv() => match request {
                    Some(SttControl::Finalize) => { self.finalize_due = true; self.pump().await }
                    Some(SttControl::NoWords) => self.no_words(),
                    None => Err(self.close().await),
                },
                () = wait_for_audio(&self.run.audio, self.backlog_sent < self.backlog.len(), allowed_at) => self.pump().await,
                () = sleep_until(keep_alive_at) => self.keep_alive().await,
                () = sleep_until(silence_at) => self.ping().await,
                () = sleep_until(self.began + greeting), if !is_greeted => {
                    Err(Ended::Deaf(ProviderError::TimedOut { stage: "greeting", after: greeting }))
                }
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }

    /// When the rate limit lets the next chunk go.
    fn allowed_at(&self) -> Instant {
        let ahead = self.sent.saturating_sub(BURST_SAMPLES);
        // 1.25 times real time, the strictest provider's limit, is 10 samples a millisecond.
        self.began + Duration::from_micros(ahead * 1_000 / (SAMPLES_PER_MS as u64 * 5 / 4))
    }

    /// What is said while a backlog still waits for the rate limit joins it: the call's own queue holds two seconds, a backlog may take
    /// longer.
    fn queue_behind_backlog(&mut self) {
        while self.backlog_sent < self.backlog.len() {
            self.samples.clear();
            let taken = self.run.audio.take(&mut self.samples, CHUNK_SAMPLES);
            if taken.taken == 0 {
                return;
            }
            self.origin += taken.skipped as i64;
            self.run.track.push(&self.samples, taken.skipped);
            self.backlog.extend_from_slice(&self.samples);
        }
    }

    /// Sends what may be sent now: the backlog first, then new audio, then a due `Finalize`.
    async fn pump(&mut self) -> Result<(), Ended> {
        self.queue_behind_backlog();
        while self.allowed_at() <= Instant::now() {
            self.samples.clear();
            if self.backlog_sent < self.backlog.len() {
                let end = (self.backlog_sent + CHUNK_SAMPLES).min(self.backlog.len());
                self.samples.extend_from_slice(&self.backlog[self.backlog_sent..end]);
                self.backlog_sent = end;
                if end == self.backlog.len() {
                    (self.backlog, self.backlog_sent) = (Vec::new(), 0);
                }
            } else {
                let taken = self.run.audio.take(&mut self.samples, CHUNK_SAMPLES);
                self.origin += taken.skipped as i64;
                self.run.track.push(&self.samples, taken.skipped);
                if taken.taken == 0 {
                    if taken.closed {
                        return Err(self.close().await);
                    }
                    break;
                }
            }
            self.send_audio().await?;
        }
        if self.finalize_due && self.backlog.is_empty() {
            self.finalize_due = false;
            if let Some(text) = self.run.wire.finalize() {
                self.send(Frame::Text(Utf8Bytes::from_static(text))).await?;
            }
        }
        Ok(())
    }

    async fn send_audio(&mut self) -> Result<(), Ended> {
        self.sent += self.samples.len() as u64;
        self.billed.add((self.samples.len() / SAMPLES_PER_MS) as u64);
        let frame = self.run.wire.audio(&self.samples);
        self.send(frame).await?;
        let unanswered = self.run.timing.unanswered;
        let is_unanswered = (self.sent - self.answered_at) as u128 > unanswered.as_millis() * SAMPLES_PER_MS as u128;
        if is_unanswered && self.run.wire.answers_silence() {
            // It may answer pings: that is its socket, not its ear.
            return Err(Ended::Deaf(ProviderError::TimedOut { stage: "transcript", after: unanswered }));
        }
        Ok(())
    }

    /// One that answers and understands nothing is given up for one that may; alone, it is better than none.
    fn no_words(&mut self) -> Result<(), Ended> {
        self.run.without_words += 1;
        metrics::counter!("stt_without_words_total", "provider" => self.run.wire.provider().as_str()).increment(1);
        if self.run.without_words >= MAX_WITHOUT_WORDS && self.run.has_second() {
            return Err(Ended::Deaf(cut("no_words")));
        }
        Ok(())
    }

    async fn keep_alive(&mut self) -> Result<(), Ended> {
        match self.run.wire.keep_alive() {
            KeepAlive::Text(text) => self.send(Frame::Text(Utf8Bytes::from_static(text))).await,
            KeepAlive::Silence => {
                self.samples.clear();
                self.samples.resize(CHUNK_SAMPLES, 0);
                // The call has no such audio: what follows it stands later in the connection's time than in the call's.
                self.origin -= CHUNK_SAMPLES as i64;
                self.send_audio().await
            }
        }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Ended> {
        let deadline = self.run.timing.send;
        match timeout(deadline, self.socket.send(frame)).await {
            Ok(Ok(())) => {
                self.last_sent_at = Instant::now();
                Ok(())
            }
            Ok(Err(_)) => Err(cut("socket").into()),
            Err(_elapsed) => Err(ProviderError::TimedOut { stage: "send", after: deadline }.into()),
        }
    }

    /// The provider has been quiet: ask whether it is there, or give up on it.
    async fn ping(&mut self) -> Result<(), Ended> {
        if self.pinged {
            let after = self.run.timing.silence;
            return Err(ProviderError::TimedOut { stage: "pong", after }.into());
        }
        self.pinged = true;
        let at = self.last_sent_at;
        self.send(Frame::Ping(bytes::Bytes::new())).await?;
        // A ping is not audio: the provider still wants its keep-alive.
        self.last_sent_at = at;
        Ok(())
    }

    async fn heard(&mut self, frame: Frame) -> Result<(), Ended> {
        self.last_heard_at = Instant::now();
        self.pinged = false;
        if let Frame::Text(_) = frame {
            self.answered_at = self.sent;
        }
        match frame {
            Frame::Text(text) => self.heard_text(&text).await,
            Frame::Close(None) => Err(cut("closed_1005").into()),
            Frame::Close(Some(close)) => Err(self.run.wire.closed(close.code.into(), &close.reason).into()),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Binary(_) | Frame::Frame(_) => Ok(()),
        }
    }

    async fn heard_text(&mut self, text: &str) -> Result<(), Ended> {
        let sent_secs = self.sent as f64 / (SAMPLES_PER_MS * 1_000) as f64;
        let mut heard = std::mem::take(&mut self.heard);
        heard.clear();
        if self.run.wire.read(text, sent_secs, &mut heard).is_err() {
            self.malformed += 1;
            metrics::counter!("malformed_frames_total", "from" => self.run.wire.provider().as_str()).increment(1);
            if self.malformed > MAX_MALFORMED {
                return Err(cut("malformed").into());
            }
        }
        for heard in heard.drain(..) {
            if let Some(event) = self.event(heard)? {
                self.run.events.send(event).await.map_err(|_closed| Ended::Done)?;
            }
        }
        self.heard = heard;
        Ok(())
    }

    fn event(&mut self, heard: Heard) -> Result<Option<SttEvent>, Ended> {
        Ok(Some(match heard {
            Heard::Ready => {
                self.greeted = true;
                return Ok(None);
            }
            Heard::SpeechStarted(at) => SttEvent::SpeechStarted { at: time_of(self.position(at)) },
            Heard::Interim { text, until } => {
                self.run.without_words = 0;
                SttEvent::Interim { text, until: time_of(self.position(until)) }
            }
            Heard::Final(segment) => return Ok(self.closed_segment(segment)),
            Heard::UtteranceEnd(at) => SttEvent::UtteranceEnd { last_word_end: time_of(self.position(at)) },
            Heard::EagerEndOfTurn => SttEvent::EagerEndOfTurn,
            Heard::TurnResumed => SttEvent::TurnResumed,
            Heard::EndOfTurn => SttEvent::EndOfTurn,
            Heard::Over => return Err(cut("ended").into()),
            Heard::Failed(error) => return Err(error.into()),
            Heard::Unknown => {
                metrics::counter!("unknown_events_total", "from" => self.run.wire.provider().as_str()).increment(1);
                return Ok(None);
            }
        }))
    }

    fn closed_segment(&mut self, segment: Segment) -> Option<SttEvent> {
        let (start, end) = (self.position(segment.start), self.position(segment.end));
        self.run.track.close(end, !segment.text.is_empty());
        if !segment.text.is_empty() {
            self.run.without_words = 0;
            self.run.health.worked(Part::Stt, self.run.wire.provider(), self.began);
            // Providers repeat a final now and then: it would be two sentences.
            let said = (start, end, segment.text.clone());
            if self.last_final.replace(said.clone()) == Some(said) {
                metrics::counter!("stt_repeated_finals_total", "provider" => self.run.wire.provider().as_str())
                    .increment(1);
                return None;
            }
        }
        // Silence is closed off all the time; only what says something is passed on.
        let tells = !segment.text.is_empty() || segment.speech_final || segment.from_finalize;
        tells.then_some(SttEvent::Final(Transcript {
            text: segment.text,
            start: time_of(start),
            end: time_of(end),
            confidence: segment.confidence,
            speech_final: segment.speech_final,
            from_finalize: segment.from_finalize,
            languages: segment.languages,
        }))
    }

    /// The call's position, in samples, of a second of this connection.
    fn position(&self, seconds: f64) -> u64 {
        let samples = (seconds.max(0.0) * 1_000.0 * SAMPLES_PER_MS as f64).round() as i64;
        u64::try_from(self.origin + samples).unwrap_or(0)
    }

    /// The call is over: ask for the last words and wait for them, but not long.
    async fn close(&mut self) -> Ended {
        let deadline = self.run.timing.close;
        let closing = async {
            if let Some(text) = self.run.wire.farewell() {
                self.send(Frame::Text(Utf8Bytes::from_static(text))).await.ok()?;
                while let Some(Ok(Frame::Text(text))) = self.socket.next().await {
                    self.heard_text(&text).await.ok()?;
                }
            }
            self.socket.close(None).await.ok()
        };
        // Whether it said good-bye in time or not, we leave.
        let _ = timeout(deadline, closing).await;
        Ended::Done
    }
}

/// Waits until audio may be sent: a backlog waits for the rate limit only.
async fn wait_for_audio(audio: &AudioSource, has_backlog: bool, allowed_at: Instant) {
    if !has_backlog {
        audio.ready().await;
    }
    sleep_until(allowed_at).await;
}

fn cut(cause: &str) -> ProviderError {
    ProviderError::Cut { cause: cause.to_owned() }
}
