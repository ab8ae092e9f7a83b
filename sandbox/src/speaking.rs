//! A synthesiser's socket, whoever's words it speaks: text is gathered until it is flushed, then spoken through the
//! [`SpeechBank`](crate::speech::SpeechBank), so that every ear recognises it. What differs is a [`Tongue`].
//!
//! Faults, each behind the name of its service (`aura.cut`, `sarvam_tts.cut`) and keyed by the raw query:
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `refuse` | the handshake fails | HTTP status (503) |
//! | `slow_accept` | the handshake is answered late | milliseconds (3 000) |
//! | `slow` | the first audio of a text comes late | milliseconds (3 000) |
//! | `stall` | nothing more is sent, though the socket stays open | milliseconds of the text's audio that come before (0) |
//! | `cut` | the connection breaks without a close frame | milliseconds of the text's audio that come before (200) |
//! | `no_end` | the end of a text is not told | – |
//! | `no_cleared` | what was to be thrown away is, and nothing is said of it | – |

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::world::World;

/// From the text to the first audio.
const TTFB_MS: u64 = 120;
/// How many times faster than it is spoken audio is made.
const SPEED: u64 = 5;
/// Audio in one message.
const CHUNK_MS: u64 = 150;

/// What a client's message asks for.
pub(crate) enum Order {
    Text(String),
    Flush,
    Clear,
    Answer(Value),
    Nothing,
    Close,
    /// Against the rules: told, then closed.
    Wrong {
        told: Option<Value>,
        code: u16,
        reason: String,
    },
}

/// One provider's words.
pub(crate) trait Tongue: Send {
    /// The name in logs and before faults.
    fn service(&self) -> &'static str;
    fn voice(&self) -> String;
    fn hello(&self) -> Option<Value>;
    fn read(&mut self, message: Message) -> Order;
    fn sound(&self, pcm: &[i16]) -> Message;
    /// All audio of what was flushed has been sent.
    fn flushed(&mut self) -> Value;
    /// What had not been sent has been thrown away.
    fn cleared(&mut self) -> Value;
}

enum Out {
    Message(Message),
    Cut,
}

enum End {
    Gone(&'static str),
    Close { code: u16, reason: String },
}

pub(crate) struct Speaking<T> {
    world: Arc<World>,
    tongue: T,
    fault_key: String,
    idle: Duration,
    text: String,
    outbox: VecDeque<(Instant, Out)>,
    stalled: bool,
}

impl<T: Tongue> Speaking<T> {
    /// Without a message for `idle` the socket is closed.
    pub(crate) fn new(world: Arc<World>, tongue: T, fault_key: String, idle: Duration) -> Self {
        let (text, outbox, stalled) = (String::new(), VecDeque::new(), false);
        Self { world, tongue, fault_key, idle, text, outbox, stalled }
    }

    pub(crate) async fn run(mut self, mut socket: WebSocket) {
        self.world.log.record(self.tongue.service(), "socket.opened", json!({ "query": self.fault_key }));
        if let Some(hello) = self.tongue.hello() {
            self.post(Out::Message(Message::Text(hello.to_string().into())), Instant::now());
        }
        let reason = match self.talk(&mut socket).await {
            End::Gone(why) => why.to_owned(),
            End::Close { code, reason } => {
                while let Some((_, Out::Message(last))) = self.outbox.pop_front() {
                    if socket.send(last).await.is_err() {
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
        self.world.log.record(self.tongue.service(), "socket.closed", json!({ "reason": reason }));
    }

    async fn talk(&mut self, socket: &mut WebSocket) -> End {
        let mut idle_at = Instant::now() + self.idle;
        loop {
            let due = self.outbox.front().map(|(due, _)| *due);
            tokio::select! {
                received = socket.recv() => {
                    idle_at = Instant::now() + self.idle;
                    match received {
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone("client gone"),
                        Some(Ok(message)) => {
                            if let Some(end) = self.take(message).await {
                                return end;
                            }
                        }
                    }
                }
                () = sleep_until(due.unwrap_or(idle_at)), if due.is_some() => {
                    let sent = match self.outbox.pop_front() {
                        Some((_, Out::Message(message))) => socket.send(message).await,
                        Some((_, Out::Cut)) => return End::Gone("cut by a fault"),
                        None => Ok(()),
                    };
                    if sent.is_err() {
                        return End::Gone("client gone");
                    }
                }
                () = sleep_until(idle_at) => return End::Close { code: 1008, reason: "inactivity".into() },
            }
        }
    }

    async fn take(&mut self, message: Message) -> Option<End> {
        match self.tongue.read(message) {
            Order::Text(text) => self.text.push_str(&text),
            Order::Flush => self.speak().await,
            Order::Clear => {
                self.text.clear();
                self.outbox.clear();
                self.world.log.record(self.tongue.service(), "text.cleared", Value::Null);
                if self.fault("no_cleared").is_none() {
                    let cleared = self.tongue.cleared();
                    self.tell(&cleared);
                }
            }
            Order::Answer(answer) => self.tell(&answer),
            Order::Nothing => {}
            Order::Close => {
                self.outbox.clear();
                return Some(End::Close { code: 1000, reason: String::new() });
            }
            Order::Wrong { told, code, reason } => {
                self.world.log.record(
                    self.tongue.service(),
                    "socket.violation",
                    json!({ "code": code, "reason": reason }),
                );
                self.outbox.clear();
                if let Some(told) = told {
                    self.tell(&told);
                }
                return Some(End::Close { code, reason });
            }
        }
        None
    }

    async fn speak(&mut self) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let asked_at = Instant::now();
        let mut begins = asked_at.max(self.outbox.back().map_or(asked_at, |(due, _)| *due));
        if !text.is_empty() {
            let utterance = self.world.speech.say(&text, &self.tongue.voice()).await;
            let data = json!({ "voice": self.tongue.voice(), "text": text, "audio_ms": utterance.duration_ms() });
            self.world.log.record(self.tongue.service(), "text.spoken", data);
            let ms = |value: Value, otherwise: u64| value.as_u64().unwrap_or(otherwise);
            begins += Duration::from_millis(self.fault("slow").map_or(TTFB_MS, |value| ms(value, 3_000)));
            let stall_at = self.fault("stall").map(|value| ms(value, 0));
            let cut_at = self.fault("cut").map(|value| ms(value, 200));
            for (number, chunk) in utterance.pcm.chunks(8 * CHUNK_MS as usize).enumerate() {
                let starts_at = number as u64 * CHUNK_MS;
                let due = begins + Duration::from_millis(starts_at / SPEED);
                if cut_at.is_some_and(|at| starts_at >= at) {
                    return self.post(Out::Cut, due);
                }
                if stall_at.is_some_and(|at| starts_at >= at) {
                    self.stalled = true;
                    return;
                }
                let sound = self.tongue.sound(chunk);
                self.post(Out::Message(sound), due);
            }
        }
        let flushed = self.tongue.flushed();
        if self.fault("no_end").is_none() {
            let due = self.outbox.back().map_or(begins, |(due, _)| *due);
            self.post(Out::Message(Message::Text(flushed.to_string().into())), due);
        }
    }

    fn fault(&self, name: &str) -> Option<Value> {
        self.world.faults.take(&format!("{}.{name}", self.tongue.service()), &self.fault_key)
    }

    fn tell(&mut self, message: &Value) {
        self.post(Out::Message(Message::Text(message.to_string().into())), Instant::now());
    }

    fn post(&mut self, out: Out, wanted: Instant) {
        if self.stalled {
            return;
        }
        let due = self.outbox.back().map_or(wanted, |(last, _)| wanted.max(*last));
        self.outbox.push_back((due, out));
    }
}
