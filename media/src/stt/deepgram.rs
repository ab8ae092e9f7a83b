//! Deepgram's live socket (`/v1/listen`, Nova models).
//!
//! One connection for the call's life. If it breaks, the audio since the last closed segment, two seconds at most, is
//! kept and replayed at no more than 1.25 times real time, which is the provider's own limit.

mod connection;
mod message;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::mpsc, time::Instant};
use url::Url;

use super::{AudioSource, SttControl, SttEvent, SttHandle, audio_queue};
use crate::{
    carrier::{SAMPLE_RATE_HZ, SAMPLES_PER_MS},
    provider::{Connect, Provider, ProviderError, count_error},
};
use connection::{Connection, Ended};

/// Audio kept for a replay: two seconds.
const REPLAY_SAMPLES: usize = 16_000;

/// How the client behaves in time. The defaults follow the provider's documents; tests shorten them.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Handshake deadline of one attempt.
    pub connect: Duration,
    /// A `KeepAlive` after this long without audio: the provider closes after 10 s, and asks for one every 3 to 5 s.
    pub keep_alive: Duration,
    /// A ping after this long without a word from the provider; as long again without an answer is a dead socket.
    pub silence: Duration,
    /// A send that takes longer is a dead socket.
    pub send: Duration,
    /// Waits before each reconnection; their number is the number of attempts in a row.
    pub backoff: Vec<Duration>,
    /// A connection that lived this long resets the attempts.
    pub stable: Duration,
    /// How long to wait for the last words after `CloseStream`.
    pub close: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            keep_alive: Duration::from_secs(4),
            silence: Duration::from_secs(6),
            send: Duration::from_secs(2),
            backoff: [100, 250, 500, 1_000, 2_000].map(Duration::from_millis).to_vec(),
            stable: Duration::from_secs(10),
            close: Duration::from_secs(1),
        }
    }
}

/// What a process needs to use the provider.
#[derive(Clone)]
pub struct Deepgram {
    connect: Connect,
    base_url: Url,
    authorization: Arc<SecretString>,
    timing: Arc<Timing>,
    received_bytes: Arc<AtomicU64>,
}

/// What one call wants from its transcriber.
#[derive(Debug, Clone)]
pub struct Options {
    /// `nova-3`, …
    pub model: String,
    /// BCP-47, or `multi` where people switch languages.
    pub language: String,
    /// Silence after which the provider sets `speech_final`, in milliseconds.
    pub endpointing_ms: u32,
    /// Gap between words after which it sends `UtteranceEnd`; it recommends no less than 1000.
    pub utterance_end_ms: u32,
    /// Words worth listening for: names, products, places (Nova-3 only).
    pub keyterms: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: "nova-3".into(),
            language: "en".into(),
            endpointing_ms: 300,
            utterance_end_ms: 1_000,
            keyterms: Vec::new(),
        }
    }
}

impl Deepgram {
    /// A client for the service at `base_url` (`wss://api.deepgram.com`, a regional host, or a simulator).
    pub fn new(connect: Connect, base_url: Url, api_key: &SecretString) -> Self {
        let authorization = SecretString::from(format!("Token {}", api_key.expose_secret()));
        Self {
            connect,
            base_url,
            authorization: Arc::new(authorization),
            timing: Arc::default(),
            received_bytes: Arc::default(),
        }
    }

    /// The same client with other timing.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = Arc::new(timing);
        self
    }

    /// Bytes of transcripts received by all calls of this process.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// A transcriber for one call: the call's handle, and the task to spawn. The task ends when the handle's audio
    /// end is dropped (after at most [`Timing::close`]), or after it has reported [`SttEvent::Lost`].
    pub fn transcribe(
        &self,
        options: &Options,
        events: mpsc::Sender<SttEvent>,
    ) -> (SttHandle, impl Future<Output = ()> + Send + 'static) {
        let (audio, source) = audio_queue();
        let (control, requests) = mpsc::channel(4);
        let url = listen_url(&self.base_url, options);
        let run = Run { client: self.clone(), url, audio: source, requests, events, track: Track::default() };
        (SttHandle { audio, control }, run.run())
    }
}

/// `/v1/listen` under the base, with raw 8 kHz PCM declared (raw audio needs both encoding and rate).
fn listen_url(base: &Url, options: &Options) -> Url {
    let mut url = base.clone();
    let scheme = match base.scheme() {
        "https" | "wss" => "wss",
        _ => "ws",
    };
    // Cannot fail between special schemes; were it to, the connection would say so.
    let _ = url.set_scheme(scheme);
    url.set_path(&format!("{}/v1/listen", base.path().trim_end_matches('/')));
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model", &options.model)
        .append_pair("language", &options.language)
        .append_pair("encoding", "linear16")
        .append_pair("sample_rate", &SAMPLE_RATE_HZ.to_string())
        .append_pair("channels", "1")
        .append_pair("interim_results", "true")
        .append_pair("endpointing", &options.endpointing_ms.to_string())
        .append_pair("utterance_end_ms", &options.utterance_end_ms.to_string())
        .append_pair("vad_events", "true")
        .append_pair("punctuate", "true")
        // Not smart_format: it may hold `speech_final` back while it formats a number.
        .append_pair("numerals", "true");
    for term in &options.keyterms {
        query.append_pair("keyterm", term);
    }
    drop(query);
    url
}

/// Where the call's audio stands: positions are samples since the call began.
#[derive(Default)]
struct Track {
    /// The next sample that was never sent.
    position: u64,
    /// The last samples sent, up to `position`.
    sent: VecDeque<i16>,
    /// Everything before this is in a closed segment.
    closed_to: u64,
}

impl Track {
    fn push(&mut self, samples: &[i16], skipped: usize) {
        if skipped > 0 {
            // What lies before a hole is not contiguous with what follows it.
            self.sent.clear();
            self.position += skipped as u64;
        }
        self.sent.extend(samples);
        let excess = self.sent.len().saturating_sub(REPLAY_SAMPLES);
        self.sent.drain(..excess);
        self.position += samples.len() as u64;
    }

    /// The audio to send again on a new connection, and the position of its first sample.
    fn replay(&mut self) -> (u64, Vec<i16>) {
        let first = self.position - self.sent.len() as u64;
        let from = self.closed_to.clamp(first, self.position);
        let skip = usize::try_from(from - first).unwrap_or(self.sent.len());
        (from, self.sent.iter().skip(skip).copied().collect())
    }
}

struct Run {
    client: Deepgram,
    url: Url,
    audio: AudioSource,
    requests: mpsc::Receiver<SttControl>,
    events: mpsc::Sender<SttEvent>,
    track: Track,
}

impl Run {
    async fn run(mut self) {
        let timing = Arc::clone(&self.client.timing);
        let mut attempt = 0;
        loop {
            let began = Instant::now();
            let header = (AUTHORIZATION, &*self.client.authorization);
            let ended = match self.client.connect.open(&self.url, header, timing.connect).await {
                Ok(socket) => {
                    if self.events.send(SttEvent::Connected { after: began.elapsed() }).await.is_err() {
                        return;
                    }
                    let ended = Connection::new(socket, &mut self).serve().await;
                    if began.elapsed() >= timing.stable {
                        attempt = 0;
                    }
                    ended
                }
                Err(error) => Ended::Broken(error),
            };
            let error = match ended {
                Ended::Done => return,
                Ended::Broken(error) => error,
            };
            count_error(Provider::Deepgram, &error);
            let wait = timing.backoff.get(attempt).copied();
            let (true, Some(wait)) = (error.is_worth_another_try(), wait) else {
                let _ = self.events.send(SttEvent::Lost(error)).await;
                return;
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
}

/// A position in samples as time since the call began.
fn time_of(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000 / SAMPLES_PER_MS as u64)
}

#[cfg(test)]
mod tests;
