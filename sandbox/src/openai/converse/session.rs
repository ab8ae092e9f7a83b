//! One socket: what the client says and what the model hears, says and calls.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    SERVICE,
    answer::{Answer, Asked, MS_PER_TOKEN_IN, Out, Troubles, think},
    config::{Config, Wrong, tool_choice},
    items::{Item, Items, What},
};
use crate::{
    brain::Role,
    listening::text,
    speech::{
        HeardWord,
        recogniser::{Manner, Recogniser, Verdict},
        ulaw,
    },
    world::World,
};

/// Without a message for so long the session is over.
const IDLE: Duration = Duration::from_secs(900);
/// From the end of a turn to its transcript: a model of its own writes it, behind the answer's beginning.
const TRANSCRIPT_MS: u64 = 450;
/// Of one message.
const MOST_AUDIO_BYTES: usize = 15 << 20;

enum End {
    Gone(&'static str),
    Close { code: u16, reason: String },
}

pub(super) struct Session {
    world: Arc<World>,
    model: &'static str,
    fault_key: String,
    config: Config,
    recogniser: Recogniser,
    items: Items,
    /// The human's turn: its item, and its words so far.
    speaking: Option<String>,
    words: Vec<HeardWord>,
    answer: Option<Answer>,
    outbox: Vec<(Instant, Value)>,
    next_id: u64,
    heard_ms: u64,
    context_before: u64,
    cut_at_ms: Option<u64>,
}

impl Session {
    pub(super) fn new(world: Arc<World>, model: &'static str, fault_key: String) -> Self {
        let config = Config::default();
        Self {
            recogniser: recogniser(&world, &config),
            world,
            model,
            fault_key,
            config,
            items: Items::default(),
            speaking: None,
            words: Vec::new(),
            answer: None,
            outbox: Vec::new(),
            next_id: 0,
            heard_ms: 0,
            context_before: 0,
            cut_at_ms: None,
        }
    }

    pub(super) async fn run(mut self, mut socket: WebSocket) {
        self.log("socket.opened", json!({ "query": self.fault_key }));
        let created = json!({"type": "session.created", "session": self.config.shown(self.model)});
        self.post(0, created);
        let reason = match self.talk(&mut socket).await {
            End::Gone(why) => why.to_owned(),
            End::Close { code, reason } => {
                for (_, event) in std::mem::take(&mut self.outbox) {
                    if socket.send(self.message(event)).await.is_err() {
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
        self.log("socket.closed", json!({ "reason": reason, "heard_ms": self.recogniser.now_ms() }));
    }

    async fn talk(&mut self, socket: &mut WebSocket) -> End {
        let mut idle_at = Instant::now() + IDLE;
        loop {
            let event_due = self.outbox.first().map(|(due, _)| *due);
            let answer_due = self.answer.as_ref().and_then(|answer| answer.outs.first()).map(|(due, _)| *due);
            tokio::select! {
                biased;
                () = sleep_until(event_due.unwrap_or(idle_at)), if event_due.is_some() => {
                    let (_, event) = self.outbox.remove(0);
                    let message = self.message(event);
                    if socket.send(message).await.is_err() {
                        return End::Gone("client gone");
                    }
                }
                () = sleep_until(answer_due.unwrap_or(idle_at)), if answer_due.is_some() => {
                    match self.next_of_answer() {
                        None => return End::Gone("cut by a fault"),
                        Some(event) => {
                            let message = self.message(event);
                            if socket.send(message).await.is_err() {
                                return End::Gone("client gone");
                            }
                        }
                    }
                }
                received = socket.recv() => {
                    idle_at = Instant::now() + IDLE;
                    let end = match received {
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                        Some(Ok(Message::Text(text))) => self.take(&text).await,
                        Some(Ok(Message::Binary(_))) => {
                            self.complain("invalid_request_error", "invalid_value", None, "messages are JSON text");
                            None
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone("client gone"),
                    };
                    if let Some(end) = end {
                        return end;
                    }
                }
                () = sleep_until(idle_at) => return End::Close { code: 1001, reason: "inactivity".into() },
            }
        }
    }

    // ---- the client -------------------------------------------------------------------------------------------------

    async fn take(&mut self, text: &str) -> Option<End> {
        let Ok(command) = serde_json::from_str::<Value>(text) else {
            self.complain("invalid_request_error", "invalid_json", None, "the message is not JSON");
            return None;
        };
        let done = match command["type"].as_str().unwrap_or_default() {
            "session.update" => self.update(&command["session"]),
            "input_audio_buffer.append" => return self.append(&command["audio"]).await,
            "input_audio_buffer.commit" => {
                self.end_turn(false).await;
                Ok(())
            }
            "input_audio_buffer.clear" => {
                self.words.clear();
                self.speaking = None;
                self.post(0, json!({"type": "input_audio_buffer.cleared"}));
                Ok(())
            }
            "conversation.item.create" => self.create_item(&command["item"]),
            "conversation.item.truncate" => self.truncate(&command),
            "response.create" => self.asked(&command["response"]).await,
            "response.cancel" => self.cancel(command["response_id"].as_str(), "client_cancelled"),
            kind => Err(("type".into(), format!("Invalid value: '{kind}'."))),
        };
        if let Err((param, message)) = done {
            self.log("complaint", json!({ "param": param, "message": message }));
            let code = match param.as_str() {
                "response" => "conversation_already_has_active_response",
                "response_id" => "response_cancel_not_active",
                _ => "invalid_value",
            };
            self.complain("invalid_request_error", code, Some(param), &message);
        }
        None
    }

    fn update(&mut self, session: &Value) -> Result<(), Wrong> {
        let before = self.config.turns;
        self.config.update(session)?;
        if self.config.turns != before {
            self.recogniser = recogniser(&self.world, &self.config);
        }
        self.post(0, json!({"type": "session.updated", "session": self.config.shown(self.model)}));
        Ok(())
    }

    async fn append(&mut self, audio: &Value) -> Option<End> {
        let codes = audio.as_str().and_then(|audio| STANDARD.decode(audio).ok());
        let Some(codes) = codes.filter(|codes| codes.len() <= MOST_AUDIO_BYTES) else {
            self.complain(
                "invalid_request_error",
                "invalid_value",
                Some("audio".into()),
                "audio is base64, at most 15 MiB",
            );
            return None;
        };
        let pcm: Vec<i16> = codes.into_iter().map(ulaw::decode).collect();
        for verdict in self.recogniser.hear(&pcm) {
            if let Some(end) = self.heard(verdict).await {
                return Some(end);
            }
        }
        self.cut_at_ms.is_some_and(|at| self.recogniser.now_ms() >= at).then_some(End::Gone("cut by a fault"))
    }

    fn create_item(&mut self, item: &Value) -> Result<(), Wrong> {
        let item = Item::read(self.id("item"), item)?;
        if let What::Output { call_id, .. } = &item.what
            && !self.items.knows_call(call_id)
        {
            return Err(("item.call_id".into(), format!("No tool call found for function call output '{call_id}'.")));
        }
        self.add(item);
        Ok(())
    }

    fn add(&mut self, item: Item) {
        let shown = item.shown("completed");
        self.log("item.created", shown.clone());
        let previous = self.items.push(item);
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.post(0, json!({"type": kind, "previous_item_id": previous, "item": shown}));
        }
    }

    fn truncate(&mut self, command: &Value) -> Result<(), Wrong> {
        let id = command["item_id"].as_str().unwrap_or_default();
        let ms = command["audio_end_ms"].as_u64().ok_or_else(|| ("audio_end_ms".to_owned(), "a number".to_owned()))?;
        if command["content_index"] != 0 {
            return Err(("content_index".into(), "an item has one content part".into()));
        }
        // Of what is being made only what was sent can have been heard; it joins the conversation with what is left.
        let being_made = self.answer.as_ref().is_some_and(|answer| answer.items.iter().any(|item| item.id == id));
        if being_made {
            self.cancel(None, "turn_detected")?;
        }
        let left = self.items.truncate(id, ms)?;
        self.log("item.truncated", json!({ "item_id": id, "audio_end_ms": ms, "text": left }));
        self.post(
            0,
            json!({"type": "conversation.item.truncated", "item_id": id, "content_index": 0, "audio_end_ms": ms}),
        );
        Ok(())
    }

    // ---- answers ----------------------------------------------------------------------------------------------------

    async fn asked(&mut self, response: &Value) -> Result<(), Wrong> {
        if self.answer.is_some() {
            let message = "Conversation already has an active response in progress.";
            return Err(("response".into(), message.into()));
        }
        let choice = response.get("tool_choice").map(tool_choice).transpose()?;
        let asked = Asked {
            instructions: response["instructions"].as_str().map(str::to_owned),
            choice,
            metadata: response["metadata"].clone(),
        };
        self.answer(asked).await;
        Ok(())
    }

    async fn answer(&mut self, asked: Asked) {
        let mut reply = think(&self.config, &self.items, &asked);
        if asked.instructions.is_some() && self.fault("say_otherwise").is_some() {
            reply.text = format!("Sure. {}", reply.text);
        }
        // What breaks is speech: calls alone leave the faults to the next answer.
        let troubles = if reply.text.is_empty() { Troubles::default() } else { self.troubles() };
        let world = Arc::clone(&self.world);
        let mut next_id = self.next_id;
        let mut new_id = |kind: &str| {
            next_id += 1;
            format!("{kind}_{next_id:06}")
        };
        let answer = Answer::make(&world.speech, &self.config, reply, &asked, troubles, &mut new_id).await;
        self.next_id = next_id;
        self.answer = Some(answer);
    }

    fn troubles(&self) -> Troubles {
        let ms = |value: Value, usual: u64| value.as_u64().unwrap_or(usual);
        Troubles {
            slow_ms: self.fault("slow").map(|value| ms(value, 3_000)),
            stall_at_ms: self.fault("stall").map(|value| ms(value, 0)),
            cut_at_ms: self.fault("cut_answer").map(|value| ms(value, 400)),
            fails: self.fault("failed").is_some(),
        }
    }

    /// The next message of the answer, with what follows from it. `None`: the socket breaks.
    fn next_of_answer(&mut self) -> Option<Value> {
        let answer = self.answer.as_mut()?;
        let (_, out) = answer.outs.remove(0);
        match out {
            Out::Say(event) => Some(event),
            Out::Audio(event, made_ms) => {
                answer.made_ms = made_ms;
                Some(event)
            }
            Out::Cut => None,
            Out::Done => {
                let failed = answer.items.is_empty();
                Some(self.finish(if failed { "failed" } else { "completed" }, None))
            }
        }
    }

    /// The answer joins the conversation: `response.done`.
    fn finish(&mut self, status: &str, why: Option<&str>) -> Value {
        let Some(answer) = self.answer.take() else { return Value::Null };
        let context = self.items.tokens() + (self.config.instructions.len() as u64) / 4;
        let heard = std::mem::take(&mut self.heard_ms) / MS_PER_TOKEN_IN;
        let usage = answer.usage(context, self.context_before.min(context), heard);
        self.context_before = context;
        let mut shown = answer.shown(status, &usage);
        if let Some(why) = why {
            shown["status_details"] = json!({"type": status, "reason": why});
        }
        self.log("answered", shown.clone());
        for item in answer.items {
            // A call that was not told was not made.
            if why.is_none() || !matches!(item.what, What::Call { .. }) {
                self.items.push(item);
            }
        }
        json!({"type": "response.done", "response": shown})
    }

    fn cancel(&mut self, id: Option<&str>, why: &str) -> Result<(), Wrong> {
        let Some(answer) = self.answer.as_ref().filter(|answer| id.is_none_or(|id| answer.id == id)) else {
            return Err(("response_id".into(), "Cancellation failed: no active response found".into()));
        };
        let (made_ms, spoken) = (answer.made_ms, answer.items.first().map(|item| item.id.clone()));
        let done = self.finish("cancelled", Some(why));
        if let Some(id) = spoken {
            // An item of calls alone has no audio.
            let _nothing_spoken = self.items.truncate(&id, made_ms).is_err();
        }
        self.post(0, done);
        Ok(())
    }

    // ---- the human --------------------------------------------------------------------------------------------------

    async fn heard(&mut self, verdict: Verdict) -> Option<End> {
        match verdict {
            Verdict::SpeechStarted { at_ms } => return self.speech_began(at_ms),
            Verdict::Interim(_) | Verdict::UtteranceEnd { .. } => {}
            Verdict::Final { segment, speech_final, .. } => {
                self.words.extend(segment.words);
                if speech_final && self.speaking.is_some() && self.config.turns.is_some() {
                    self.end_turn(true).await;
                }
            }
        }
        None
    }

    fn speech_began(&mut self, at_ms: u64) -> Option<End> {
        let turns = self.config.turns?;
        if self.speaking.is_some() {
            return None;
        }
        let now_ms = self.recogniser.now_ms();
        self.cut_at_ms =
            self.cut_at_ms.or_else(|| self.fault("cut").map(|value| now_ms + value.as_u64().unwrap_or(300)));
        if self.fault("unknown_message").is_some() {
            self.post(0, json!({"type": "response.mood.delta", "mood": "calm"}));
        }
        if self.fault("complaint").is_some() {
            self.complain("invalid_request_error", "invalid_value", None, "nothing that matters");
        }
        if self.fault("error").is_some() {
            self.complain("server_error", "server_error", None, "broken by a fault");
            return Some(End::Close { code: 1011, reason: "internal".into() });
        }
        if self.fault("expire").is_some() {
            self.complain("invalid_request_error", "session_expired", None, "Your session hit its maximum duration.");
            return Some(End::Close { code: 1001, reason: "session_expired".into() });
        }
        let id = self.id("item");
        let began = json!({"type": "input_audio_buffer.speech_started",
            "audio_start_ms": at_ms.saturating_sub(turns.padding_ms), "item_id": id});
        self.speaking = Some(id);
        self.post(0, began);
        if turns.interrupt_response && self.answer.is_some() {
            // There is one.
            let _cancelled = self.cancel(None, "turn_detected").is_ok();
        }
        None
    }

    /// The human's turn joins the conversation, and is answered. `by_server`: because of the silence.
    async fn end_turn(&mut self, by_server: bool) {
        if !by_server && let Some(Verdict::Final { segment, .. }) = self.recogniser.finalize() {
            self.words.extend(segment.words);
        }
        let id = self.speaking.take().unwrap_or_else(|| self.id("item"));
        let now_ms = self.recogniser.now_ms();
        let words = std::mem::take(&mut self.words);
        let line = text(&words);
        let said_ms = words.first().zip(words.last()).map_or(500, |(first, last)| last.end_ms - first.start_ms);
        self.heard_ms += said_ms;
        self.log("heard", json!({ "item_id": id, "transcript": line }));
        if by_server {
            self.post(0, json!({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": now_ms, "item_id": id}));
        }
        let what = What::Said { role: Role::User, text: line.clone(), spoken: None };
        let previous = self.items.push(Item { id: id.clone(), what });
        self.post(0, json!({"type": "input_audio_buffer.committed", "item_id": id, "previous_item_id": previous}));
        let item = json!({"id": id, "object": "realtime.item", "type": "message", "role": "user", "status": "completed",
            "content": [{"type": "input_audio", "transcript": null}]});
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.post(0, json!({"type": kind, "previous_item_id": previous, "item": item}));
        }
        if self.config.transcribes {
            self.transcribe(&id, &line, said_ms);
        }
        let answers = self.config.turns.is_some_and(|turns| turns.create_response) && by_server;
        if answers && self.fault("unanswered").is_none() && self.answer.is_none() {
            self.answer(Asked { metadata: Value::Null, ..Asked::default() }).await;
        }
    }

    fn transcribe(&mut self, id: &str, line: &str, said_ms: u64) {
        let place = |kind: &str| json!({"type": format!("conversation.item.input_audio_transcription.{kind}"), "item_id": id, "content_index": 0});
        if self.fault("no_transcript").is_some() {
            let mut failed = place("failed");
            failed["error"] = json!({"type": "server_error", "code": "audio_unintelligible", "message": "not understood", "param": null});
            return self.post(TRANSCRIPT_MS, failed);
        }
        let half = line.split_inclusive(' ').count() / 2;
        let first: String = line.split_inclusive(' ').take(half).collect();
        for delta in [first.as_str(), &line[first.len()..]] {
            if !delta.is_empty() {
                let mut event = place("delta");
                event["delta"] = delta.into();
                self.post(TRANSCRIPT_MS, event);
            }
        }
        let mut completed = place("completed");
        completed["transcript"] = line.into();
        completed["usage"] = json!({"type": "duration", "seconds": said_ms as f64 / 1_000.0});
        self.post(TRANSCRIPT_MS, completed);
    }

    // ---- telling ----------------------------------------------------------------------------------------------------

    fn complain(&mut self, kind: &str, code: &str, param: Option<String>, message: &str) {
        let error = json!({"type": kind, "code": code, "message": message, "param": param, "event_id": null});
        self.post(0, json!({"type": "error", "error": error}));
    }

    fn post(&mut self, after_ms: u64, event: Value) {
        let due = Instant::now() + Duration::from_millis(after_ms);
        let at = self.outbox.partition_point(|(known, _)| *known <= due);
        self.outbox.insert(at, (due, event));
    }

    fn message(&mut self, mut event: Value) -> Message {
        event["event_id"] = self.id("event").into();
        Message::Text(event.to_string().into())
    }

    fn id(&mut self, kind: &str) -> String {
        self.next_id += 1;
        format!("{kind}_{:06}", self.next_id)
    }

    fn fault(&self, name: &str) -> Option<Value> {
        self.world.faults.take(&format!("{SERVICE}.{name}"), &self.fault_key)
    }

    fn log(&self, kind: &str, data: Value) {
        self.world.log.record(SERVICE, kind, data);
    }
}

fn recogniser(world: &World, config: &Config) -> Recogniser {
    let endpointing_ms = Some(config.turns.map_or(500, |turns| turns.silence_ms));
    Recogniser::new(
        world.speech.ear(),
        Manner { interim_every_ms: None, endpointing_ms, utterance_end_ms: None, english_only: false },
    )
}
