//! A transcriber's socket, whoever's words it speaks: audio and commands in, verdicts out after their latency. What differs is a
//! [`Dialect`].
//!
//! Faults, each behind the name of its service (`flux.cut`, `sarvam.cut`, `openai_live.cut`) and keyed by the raw query:
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `refuse` | the handshake fails | HTTP status (503) |
//! | `slow_accept` | the handshake is answered late | milliseconds (3 000) |
//! | `mute` | nothing is ever sent, not even that the session has begun | – |
//! | `idle` | the session is closed without a message for this long | milliseconds (60 000) |
//! | `stall` | nothing more is sent, though the socket stays open | milliseconds of audio after an utterance begins (300) |
//! | `cut` | the connection breaks without a close frame | milliseconds of audio after an utterance begins (300) |
//! | `error` | a fatal error is told, and the socket closed | – |
//! | `unknown_message` | a message of an unknown kind is sent when an utterance begins | – |

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::{
    speech::{
        HeardWord,
        recogniser::{Recogniser, Verdict},
    },
    world::World,
};

/// From audio to the interim that contains it, and from the end of the silence to the final.
const INTERIM_LATENCY_MS: u64 = 80;
const FINAL_LATENCY_MS: u64 = 150;

/// What a client's message asks for.
pub(crate) enum Asked {
    /// 8 kHz samples.
    Audio(Vec<i16>),
    /// An answer at once.
    Answer(Value),
    Nothing,
    /// Close the open segment.
    Finalize,
    /// Say the last words, and good-bye.
    Farewell,
    /// Against the rules: told, then closed.
    Wrong {
        told: Option<Value>,
        code: u16,
        reason: String,
    },
}

/// One provider's words.
pub(crate) trait Dialect: Send {
    /// The name in logs and before faults.
    fn service(&self) -> &'static str;
    /// Said when the socket opens.
    fn hello(&mut self) -> Vec<Value> {
        Vec::new()
    }
    fn read(&mut self, message: Message) -> Asked;
    /// `now_ms` of audio have been received.
    fn tell(&mut self, verdict: &Verdict, now_ms: u64, out: &mut Vec<Value>);
    /// After every message with audio.
    fn tick(&mut self, now_ms: u64, out: &mut Vec<Value>) {
        let _ = (now_ms, out);
    }
    /// The last messages of a session that was asked to end.
    fn farewell(&mut self, now_ms: u64) -> Vec<Value>;
    /// A fatal error, and the code it is closed with.
    fn error(&mut self) -> (Value, u16);
}

enum End {
    Gone(&'static str),
    Close { code: u16, reason: String },
}

pub(crate) struct Listening<D> {
    world: Arc<World>,
    dialect: D,
    recogniser: Recogniser,
    fault_key: String,
    idle: Duration,
    outbox: VecDeque<(Instant, Message)>,
    stall_at_ms: Option<u64>,
    cut_at_ms: Option<u64>,
}

impl<D: Dialect> Listening<D> {
    /// Without a message for `idle` the socket is closed.
    pub(crate) fn new(
        world: Arc<World>,
        dialect: D,
        recogniser: Recogniser,
        fault_key: String,
        idle: Duration,
    ) -> Self {
        let (outbox, stall_at_ms, cut_at_ms) = (VecDeque::new(), None, None);
        Self { world, dialect, recogniser, fault_key, idle, outbox, stall_at_ms, cut_at_ms }
    }

    pub(crate) async fn run(mut self, mut socket: WebSocket) {
        self.world.log.record(self.dialect.service(), "stream.opened", json!({ "query": self.fault_key }));
        if let Some(value) = self.fault("idle") {
            self.idle = Duration::from_millis(value.as_u64().unwrap_or(60_000));
        }
        if self.fault("mute").is_some() {
            self.stall_at_ms = Some(0);
        }
        for message in self.dialect.hello() {
            self.post(&message, 0);
        }
        let end = self.talk(&mut socket).await;
        let reason = match end {
            End::Gone(why) => why.to_owned(),
            End::Close { code, reason } => {
                while let Some((due, message)) = self.outbox.pop_front() {
                    sleep_until(due).await;
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
                let close = Message::Close(Some(CloseFrame { code, reason: reason.clone().into() }));
                if socket.send(close).await.is_ok() {
                    let drain = async { while let Some(Ok(_)) = socket.recv().await {} };
                    let _unanswered = tokio::time::timeout(Duration::from_secs(1), drain).await.is_err();
                }
                reason
            }
        };
        let data = json!({ "audio_ms": self.recogniser.now_ms(), "reason": reason });
        self.world.log.record(self.dialect.service(), "stream.closed", data);
    }

    async fn talk(&mut self, socket: &mut WebSocket) -> End {
        let mut idle_at = Instant::now() + self.idle;
        loop {
            let due = self.outbox.front().map(|(due, _)| *due);
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or(idle_at)), if due.is_some() => {
                    if let Some((_, message)) = self.outbox.pop_front()
                        && socket.send(message).await.is_err()
                    {
                        return End::Gone("client gone");
                    }
                }
                received = socket.recv() => {
                    idle_at = Instant::now() + self.idle;
                    match received {
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone("client gone"),
                        Some(Ok(message)) => {
                            if let Some(end) = self.take(message) {
                                return end;
                            }
                        }
                    }
                }
                () = sleep_until(idle_at) => return End::Close { code: 1008, reason: "inactivity".into() },
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<End> {
        match self.dialect.read(message) {
            Asked::Audio(pcm) => self.hear(&pcm),
            Asked::Answer(answer) => {
                self.post(&answer, 0);
                None
            }
            Asked::Nothing => None,
            Asked::Finalize => {
                let verdict = self.recogniser.finalize();
                self.tell(verdict.into_iter().collect());
                None
            }
            Asked::Farewell => {
                let last = self.recogniser.finish();
                self.tell(last.into_iter().collect());
                for message in self.dialect.farewell(self.recogniser.now_ms()) {
                    self.post(&message, 0);
                }
                Some(End::Close { code: 1000, reason: String::new() })
            }
            Asked::Wrong { told, code, reason } => {
                let data = json!({ "code": code, "reason": reason });
                self.world.log.record(self.dialect.service(), "stream.violation", data);
                if let Some(told) = told {
                    self.post(&told, 0);
                }
                Some(End::Close { code, reason })
            }
        }
    }

    fn hear(&mut self, pcm: &[i16]) -> Option<End> {
        let verdicts = self.recogniser.hear(pcm);
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::SpeechStarted { .. })) {
            let now_ms = self.recogniser.now_ms();
            let after = |value: Value| now_ms + value.as_u64().unwrap_or(300);
            self.stall_at_ms = self.stall_at_ms.or(self.fault("stall").map(after));
            self.cut_at_ms = self.cut_at_ms.or(self.fault("cut").map(after));
            if self.fault("unknown_message").is_some() {
                self.post(&json!({ "type": "Sentiment", "event": "sentiment", "value": 0.3 }), 0);
            }
            if self.fault("error").is_some() {
                let (told, code) = self.dialect.error();
                self.post(&told, 0);
                return Some(End::Close { code, reason: "internal".into() });
            }
        }
        self.tell(verdicts);
        let now_ms = self.recogniser.now_ms();
        let mut out = Vec::new();
        self.dialect.tick(now_ms, &mut out);
        for message in out {
            self.post(&message, FINAL_LATENCY_MS);
        }
        self.cut_at_ms.is_some_and(|at| now_ms >= at).then_some(End::Gone("cut by a fault"))
    }

    fn tell(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            let latency_ms = match &verdict {
                Verdict::SpeechStarted { .. } | Verdict::Interim(_) => INTERIM_LATENCY_MS,
                Verdict::Final { .. } | Verdict::UtteranceEnd { .. } => FINAL_LATENCY_MS,
            };
            if let Verdict::Final { segment, .. } = &verdict
                && !segment.words.is_empty()
            {
                let data = json!({ "transcript": text(&segment.words) });
                self.world.log.record(self.dialect.service(), "transcript.final", data);
            }
            let mut out = Vec::new();
            self.dialect.tell(&verdict, self.recogniser.now_ms(), &mut out);
            for message in out {
                self.post(&message, latency_ms);
            }
        }
    }

    fn fault(&self, name: &str) -> Option<Value> {
        self.world.faults.take(&format!("{}.{name}", self.dialect.service()), &self.fault_key)
    }

    fn post(&mut self, message: &Value, latency_ms: u64) {
        if self.stall_at_ms.is_some_and(|at| self.recogniser.now_ms() >= at) {
            return;
        }
        let wanted = Instant::now() + Duration::from_millis(latency_ms);
        let due = self.outbox.back().map_or(wanted, |(last, _)| wanted.max(*last));
        self.outbox.push_back((due, Message::Text(message.to_string().into())));
    }
}

/// The words as a line.
pub(crate) fn text(words: &[HeardWord]) -> String {
    words.iter().map(|heard| heard.word.as_str()).collect::<Vec<_>>().join(" ")
}

/// Samples of little-endian PCM; an odd byte at the end is nobody's.
pub(crate) fn pcm(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}
