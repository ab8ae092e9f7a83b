//! One `/v1/listen` connection: audio and commands in, verdicts out after their latency.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};

use super::{
    Settings,
    query::{Encoding, Query},
    wire::{self, Writer},
};
use crate::{
    speech::{
        recogniser::{Manner, Recogniser, Verdict},
        resample, ulaw,
    },
    world::World,
};

/// Faster than this multiple of real time is against the rules; logged once per connection.
const MAX_SPEED: f64 = 1.25;
/// A client may catch up this much after connecting (the audio it buffered meanwhile).
const BURST_MS: f64 = 3_000.0;
/// `keyterm`s may hold 500 tokens together; a token is about a word.
const MAX_KEYTERM_WORDS: usize = 500;
const NET_0001: &str = "NET-0001 Deepgram did not receive audio data or a text message within the timeout window. \
     See https://dpgr.am/net0001";

/// Why a session ends.
enum End {
    /// The client went, or a fault cut the line: nothing can be said any more.
    Gone(&'static str),
    Close {
        code: u16,
        reason: &'static str,
    },
}

pub(super) struct Session {
    world: Arc<World>,
    settings: Arc<Settings>,
    query: Query,
    /// The raw query: the key of faults.
    fault_key: String,
    writer: Writer,
    recogniser: Recogniser,
    /// Messages and when each may leave; times never fall.
    outbox: VecDeque<(Instant, Message)>,
    odd_byte: Option<u8>,
    odd_sample: bool,
    digest: Sha256,
    audio_began: Option<Instant>,
    too_fast: bool,
    keep_alives: u64,
    last_heard_from: Instant,
    /// Audio time at which an armed stall or cut strikes.
    stall_at_ms: Option<u64>,
    cut_at_ms: Option<u64>,
    /// It hears that somebody speaks, and no words.
    deaf: bool,
}

impl Session {
    pub(super) fn new(
        world: Arc<World>,
        settings: Arc<Settings>,
        query: Query,
        fault_key: String,
        request_id: String,
    ) -> Self {
        let recogniser = Recogniser::new(
            world.speech.ear(),
            Manner {
                interim_every_ms: query.interim_results.then_some(settings.interim_every_ms),
                endpointing_ms: query.endpointing_ms,
                utterance_end_ms: query.utterance_end_ms,
                english_only: query.is_english_only(),
            },
        );
        Self {
            writer: Writer::new(request_id, &query),
            recogniser,
            world,
            settings,
            query,
            fault_key,
            outbox: VecDeque::new(),
            odd_byte: None,
            odd_sample: false,
            digest: Sha256::new(),
            audio_began: None,
            too_fast: false,
            keep_alives: 0,
            last_heard_from: Instant::now(),
            stall_at_ms: None,
            cut_at_ms: None,
            deaf: false,
        }
    }

    pub(super) async fn run(mut self, mut socket: WebSocket) {
        let end = self.talk(&mut socket).await;
        let reason = match end {
            End::Gone(why) => why,
            End::Close { code, reason } => {
                self.send_all(&mut socket).await;
                let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
                if socket.send(close).await.is_ok() {
                    wait_for_close(&mut socket).await;
                }
                reason
            }
        };
        let data = json!({
            "request_id": self.writer.request_id,
            "audio_ms": self.recogniser.now_ms(),
            "keep_alives": self.keep_alives,
            "reason": reason,
        });
        self.world.log.record("deepgram", "stream.closed", data);
    }

    async fn talk(&mut self, socket: &mut WebSocket) -> End {
        loop {
            let idle = self.last_heard_from + Duration::from_millis(self.settings.idle_ms);
            let due = self.outbox.front().map(|(due, _)| *due);
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or(idle)), if due.is_some() => {
                    if let Some((_, message)) = self.outbox.pop_front()
                        && socket.send(message).await.is_err()
                    {
                        return End::Gone("client gone");
                    }
                }
                received = socket.recv() => {
                    let Some(Ok(message)) = received else { return End::Gone("client gone") };
                    if let Some(end) = self.take(message) {
                        return end;
                    }
                }
                () = sleep_until(idle) => {
                    return End::Close { code: close_code::ERROR, reason: NET_0001 };
                }
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<End> {
        match message {
            // The old sign for the end of the stream, which frame loops send by mistake.
            Message::Binary(bytes) if bytes.is_empty() => Some(self.close_stream()),
            Message::Binary(bytes) => self.take_audio(&bytes),
            Message::Text(text) => self.take_command(&text),
            Message::Close(_) => Some(End::Gone("client closed")),
            Message::Ping(_) | Message::Pong(_) => None,
        }
    }

    fn take_audio(&mut self, bytes: &[u8]) -> Option<End> {
        self.last_heard_from = Instant::now();
        self.digest.update(bytes);
        let pcm = self.decode(bytes);
        let verdicts = self.recogniser.hear(&pcm);
        self.note_speed();
        for verdict in verdicts {
            if matches!(verdict, Verdict::SpeechStarted { .. }) {
                self.arm_faults();
                if self.fault("undecodable").is_some() {
                    return Some(End::Close { code: close_code::POLICY, reason: "DATA-0000" });
                }
            }
            self.tell(verdict);
        }
        let now_ms = self.recogniser.now_ms();
        self.cut_at_ms.is_some_and(|at| now_ms >= at).then_some(End::Gone("cut by a fault"))
    }

    /// Samples at 8 kHz. A sample cut by the frame's end is completed by the next frame.
    fn decode(&mut self, bytes: &[u8]) -> Vec<i16> {
        let pcm: Vec<i16> = match self.query.encoding {
            Encoding::Mulaw => bytes.iter().map(|code| ulaw::decode(*code)).collect(),
            Encoding::Linear16 => {
                let whole: Vec<u8> = self.odd_byte.take().into_iter().chain(bytes.iter().copied()).collect();
                let pairs = whole.chunks_exact(2);
                self.odd_byte = pairs.remainder().first().copied();
                pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
            }
        };
        if self.query.sample_rate == 16_000 { resample::every_other(&pcm, &mut self.odd_sample) } else { pcm }
    }

    fn take_command(&mut self, text: &str) -> Option<End> {
        let command: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let kind = command["type"].as_str().unwrap_or_default();
        if kind != "KeepAlive" {
            let data = json!({ "request_id": self.writer.request_id, "message": text });
            self.world.log.record("deepgram", "stream.command", data);
        }
        match kind {
            "KeepAlive" => {
                self.keep_alives += 1;
                // KeepAlive alone from the start does not help: audio has to come within the limit.
                if self.audio_began.is_some() {
                    self.last_heard_from = Instant::now();
                }
            }
            "Finalize" => {
                self.last_heard_from = Instant::now();
                let silent = self.world.faults.take("deepgram.finalize_silent", &self.fault_key).is_some();
                if let Some(verdict) = self.recogniser.finalize().filter(|_| !silent) {
                    self.tell(verdict);
                }
            }
            "CloseStream" => return Some(self.close_stream()),
            "Configure" => {
                let answer = self.configure(&command);
                self.post(answer, 20);
            }
            _ => {
                self.post(wire::schema_error(text), 0);
                return Some(End::Close { code: close_code::POLICY, reason: "DATA-0000" });
            }
        }
        None
    }

    fn configure(&self, command: &Value) -> Value {
        let keyterms = &command["keyterms"];
        let words: usize = keyterms
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|term| term.split_whitespace().count())
            .sum();
        if !self.query.model.starts_with("nova-3") {
            self.writer.not_configured("CONFIGURE_KEYTERMS_NOT_SUPPORTED", "keyterms need Nova-3")
        } else if words > MAX_KEYTERM_WORDS {
            self.writer.not_configured("CONFIGURE_KEYTERM_LIMIT_EXCEEDED", "more than 500 tokens of keyterms")
        } else {
            self.writer.configured(keyterms)
        }
    }

    fn close_stream(&mut self) -> End {
        if let Some(verdict) = self.recogniser.finish() {
            self.tell(verdict);
        }
        let digest = std::mem::take(&mut self.digest).finalize();
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.post(self.writer.metadata(self.recogniser.now_ms(), &sha256), 0);
        End::Close { code: close_code::NORMAL, reason: "" }
    }

    /// Takes the faults that strike while somebody speaks.
    fn arm_faults(&mut self) {
        let now_ms = self.recogniser.now_ms();
        self.deaf |= self.fault("deaf").is_some();
        let take = |name| self.world.faults.take(name, &self.fault_key);
        let after = |value: Value| now_ms + value.as_u64().unwrap_or(300);
        let (stall, cut) = (take("deepgram.stall").map(after), take("deepgram.cut").map(after));
        let (unknown, nonsense) = (take("deepgram.unknown_message"), take("deepgram.nonsense"));
        self.stall_at_ms = self.stall_at_ms.or(stall);
        self.cut_at_ms = self.cut_at_ms.or(cut);
        if unknown.is_some() {
            self.post(json!({ "type": "Sentiment", "channel": [0, 1], "value": 0.3 }), 0);
        }
        if nonsense.is_some() {
            self.outbox.push_back((Instant::now(), Message::Text("{\"type\":\"Results\",".into())));
        }
    }

    fn fault(&self, name: &str) -> Option<Value> {
        self.world.faults.take(&format!("deepgram.{name}"), &self.fault_key)
    }

    fn tell(&mut self, mut verdict: Verdict) {
        match &mut verdict {
            Verdict::Interim(_) | Verdict::UtteranceEnd { .. } if self.deaf => return,
            Verdict::Final { segment, .. } if self.deaf => segment.words.clear(),
            Verdict::Interim(segment) => {
                if let Some(last) = segment.words.last_mut()
                    && self.fault("changing_interims").is_some()
                {
                    last.word = "misheard".into();
                }
            }
            _ => {}
        }
        let latency_ms = match &verdict {
            Verdict::SpeechStarted { .. } if !self.query.vad_events => return,
            Verdict::SpeechStarted { .. } | Verdict::Interim(_) => self.settings.interim_latency_ms,
            Verdict::Final { .. } | Verdict::UtteranceEnd { .. } => self.settings.final_latency_ms,
        };
        let mut times = 1;
        if let Verdict::Final { segment, speech_final, from_finalize } = &mut verdict {
            let take = |name| self.world.faults.take(name, &self.fault_key).is_some();
            *speech_final &= !take("deepgram.no_speech_final");
            if !segment.words.is_empty() {
                times += usize::from(take("deepgram.duplicate_final"));
                let data = json!({
                    "request_id": self.writer.request_id,
                    "transcript": self.writer.transcript(segment),
                    "start_ms": segment.start_ms,
                    "end_ms": segment.end_ms,
                    "speech_final": speech_final,
                    "from_finalize": from_finalize,
                });
                self.world.log.record("deepgram", "transcript.final", data);
            }
        }
        for _ in 0..times {
            self.post(self.writer.verdict(&verdict), latency_ms);
        }
    }

    fn post(&mut self, message: Value, latency_ms: u64) {
        let now_ms = self.recogniser.now_ms();
        if self.stall_at_ms.is_some_and(|at| now_ms >= at) {
            return;
        }
        let wanted = Instant::now() + Duration::from_millis(latency_ms);
        let due = self.outbox.back().map_or(wanted, |(last, _)| wanted.max(*last));
        self.outbox.push_back((due, Message::Text(message.to_string().into())));
    }

    async fn send_all(&mut self, socket: &mut WebSocket) {
        while let Some((due, message)) = self.outbox.pop_front() {
            sleep_until(due).await;
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }

    fn note_speed(&mut self) {
        let began = *self.audio_began.get_or_insert_with(Instant::now);
        let allowed = began.elapsed().as_secs_f64() * 1_000.0 * MAX_SPEED + BURST_MS;
        let received = self.recogniser.now_ms() as f64;
        if received > allowed && !self.too_fast {
            self.too_fast = true;
            let data = json!({ "request_id": self.writer.request_id, "audio_ms": received, "allowed_ms": allowed });
            self.world.log.record("deepgram", "stream.too_fast", data);
        }
    }
}

/// Reads until the client has answered the close frame, for a second at most.
async fn wait_for_close(socket: &mut WebSocket) {
    let drain = async { while let Some(Ok(_)) = socket.recv().await {} };
    // An unanswered close is the client's business; the connection is dropped either way.
    let _unanswered = tokio::time::timeout(Duration::from_secs(1), drain).await.is_err();
}
