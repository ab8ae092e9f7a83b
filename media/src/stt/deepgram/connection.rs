//! One connection: audio out at a bounded rate, transcripts in, keep-alives between.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Message as Frame, Utf8Bytes};

use super::{
    Run, SttControl, SttEvent,
    message::{self, Message, Results},
    time_of,
};
use crate::{
    carrier::SAMPLES_PER_MS,
    provider::{ProviderError, ProviderSocket},
    stt::Transcript,
};

/// Most audio in one message: 100 ms, the provider's "good balance".
const CHUNK_SAMPLES: usize = 100 * SAMPLES_PER_MS;

/// What may be sent ahead of the rate limit: the jitter of the carrier, and the start of a replay.
const BURST_SAMPLES: u64 = 500 * SAMPLES_PER_MS as u64;

/// Messages that could not be parsed before the connection is given up.
const MAX_MALFORMED: u32 = 20;

const KEEP_ALIVE: &str = r#"{"type":"KeepAlive"}"#;
const FINALIZE: &str = r#"{"type":"Finalize"}"#;
const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;

/// Why a connection is over.
pub(super) enum Ended {
    /// Nobody needs it any more.
    Done,
    /// It broke.
    Broken(ProviderError),
}

impl From<ProviderError> for Ended {
    fn from(error: ProviderError) -> Self {
        Self::Broken(error)
    }
}

pub(super) struct Connection<'a> {
    socket: ProviderSocket,
    run: &'a mut Run,
    /// Call position of this connection's second zero. Grows when audio is skipped.
    origin: u64,
    /// Audio to send again before anything new.
    backlog: Vec<i16>,
    backlog_sent: usize,
    began: Instant,
    /// Samples sent on this connection.
    sent: u64,
    last_sent_at: Instant,
    last_heard_at: Instant,
    pinged: bool,
    finalize_due: bool,
    malformed: u32,
    samples: Vec<i16>,
    bytes: BytesMut,
}

impl<'a> Connection<'a> {
    pub(super) fn new(socket: ProviderSocket, run: &'a mut Run) -> Self {
        let now = Instant::now();
        let (origin, backlog) = run.track.replay();
        Self {
            socket,
            run,
            origin,
            backlog,
            backlog_sent: 0,
            began: now,
            sent: 0,
            last_sent_at: now,
            last_heard_at: now,
            pinged: false,
            finalize_due: false,
            malformed: 0,
            samples: Vec::with_capacity(CHUNK_SAMPLES),
            bytes: BytesMut::new(),
        }
    }

    pub(super) async fn serve(mut self) -> Ended {
        loop {
            let timing = &self.run.client.timing;
            let keep_alive_at = self.last_sent_at + timing.keep_alive;
            let silence_at = self.last_heard_at + timing.silence * if self.pinged { 2 } else { 1 };
            let allowed_at = self.allowed_at();
            let step = tokio::select! {
                frame = self.socket.next() => match frame {
                    Some(Ok(frame)) => self.heard(frame).await,
                    Some(Err(_)) => Err(cut("socket").into()),
                    None => Err(cut("closed").into()),
                },
                request = self.run.requests.recv() => match request {
                    Some(SttControl::Finalize) => { self.finalize_due = true; self.pump().await }
                    None => Err(self.close().await),
                },
                () = wait_for_audio(&self.run.audio, self.backlog_sent < self.backlog.len(), allowed_at) => self.pump().await,
                () = sleep_until(keep_alive_at) => self.send_text(KEEP_ALIVE).await,
                () = sleep_until(silence_at) => self.ping().await,
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }

    /// When the rate limit lets the next chunk go.
    fn allowed_at(&self) -> Instant {
        let ahead = self.sent.saturating_sub(BURST_SAMPLES);
        // 1.25 times real time is 10 samples a millisecond.
        self.began + Duration::from_micros(ahead * 1_000 / (SAMPLES_PER_MS as u64 * 5 / 4))
    }

    /// Sends what may be sent now: the backlog first, then new audio, then a due `Finalize`.
    async fn pump(&mut self) -> Result<(), Ended> {
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
                self.origin += taken.skipped as u64;
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
            self.send_text(FINALIZE).await?;
        }
        Ok(())
    }

    async fn send_audio(&mut self) -> Result<(), Ended> {
        self.sent += self.samples.len() as u64;
        self.bytes.reserve(self.samples.len() * 2);
        for sample in &self.samples {
            self.bytes.put_i16_le(*sample);
        }
        let frame = Frame::Binary(self.bytes.split().freeze());
        self.send(frame).await
    }

    async fn send_text(&mut self, text: &'static str) -> Result<(), Ended> {
        self.send(Frame::Text(Utf8Bytes::from_static(text))).await
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Ended> {
        let deadline = self.run.client.timing.send;
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
            let after = self.run.client.timing.silence;
            return Err(ProviderError::TimedOut { stage: "pong", after }.into());
        }
        self.pinged = true;
        let at = self.last_sent_at;
        self.send(Frame::Ping(bytes::Bytes::new())).await?;
        // A ping is not audio: the provider still wants its KeepAlive.
        self.last_sent_at = at;
        Ok(())
    }

    async fn heard(&mut self, frame: Frame) -> Result<(), Ended> {
        self.last_heard_at = Instant::now();
        self.pinged = false;
        match frame {
            Frame::Text(text) => self.heard_text(&text).await,
            Frame::Close(close) => {
                let code = close.map_or(1005, |frame| u16::from(frame.code));
                Err(cut(&format!("closed_{code}")).into())
            }
            Frame::Ping(_) | Frame::Pong(_) | Frame::Binary(_) | Frame::Frame(_) => Ok(()),
        }
    }

    async fn heard_text(&mut self, text: &str) -> Result<(), Ended> {
        let event = match message::parse(text) {
            Ok(Message::Results(results)) => self.results(results),
            Ok(Message::SpeechStarted(at)) => Some(SttEvent::SpeechStarted { at: self.at(at) }),
            Ok(Message::UtteranceEnd(at)) => Some(SttEvent::UtteranceEnd { last_word_end: self.at(at) }),
            Ok(Message::Metadata) => None,
            Ok(Message::Error { variant }) => return Err(cut(&variant).into()),
            Ok(Message::Unknown) => {
                metrics::counter!("unknown_events_total", "from" => "deepgram").increment(1);
                None
            }
            Err(_malformed) => {
                self.malformed += 1;
                metrics::counter!("malformed_frames_total", "from" => "deepgram").increment(1);
                if self.malformed > MAX_MALFORMED {
                    return Err(cut("malformed").into());
                }
                None
            }
        };
        match event {
            Some(event) => self.run.events.send(event).await.map_err(|_closed| Ended::Done),
            None => Ok(()),
        }
    }

    fn results(&mut self, results: Results) -> Option<SttEvent> {
        let start = self.at(results.start_secs);
        let end = self.at(results.start_secs + results.duration_secs);
        if !results.is_final {
            return (!results.text.is_empty()).then_some(SttEvent::Interim { text: results.text, until: end });
        }
        let end_samples = self.origin + samples_of(results.start_secs + results.duration_secs);
        self.run.track.closed_to = self.run.track.closed_to.max(end_samples);
        // Silence is closed off all the time; only what says something is passed on.
        let tells = !results.text.is_empty() || results.speech_final || results.from_finalize;
        tells.then_some(SttEvent::Final(Transcript {
            text: results.text,
            start,
            end,
            confidence: results.confidence,
            speech_final: results.speech_final,
            from_finalize: results.from_finalize,
            languages: results.languages,
        }))
    }

    fn at(&self, seconds: f64) -> Duration {
        time_of(self.origin + samples_of(seconds))
    }

    /// The call is over: ask for the last words and wait for them, but not long.
    async fn close(&mut self) -> Ended {
        let deadline = self.run.client.timing.close;
        let closing = async {
            self.send_text(CLOSE_STREAM).await.ok()?;
            while let Some(Ok(Frame::Text(text))) = self.socket.next().await {
                if let Ok(Message::Results(results)) = message::parse(&text)
                    && let Some(event) = self.results(results)
                {
                    self.run.events.send(event).await.ok()?;
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
async fn wait_for_audio(audio: &crate::stt::AudioSource, has_backlog: bool, allowed_at: Instant) {
    if !has_backlog {
        audio.ready().await;
    }
    sleep_until(allowed_at).await;
}

fn samples_of(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1_000.0 * SAMPLES_PER_MS as f64).round() as u64
}

fn cut(cause: &str) -> ProviderError {
    ProviderError::Cut { cause: cause.to_owned() }
}
