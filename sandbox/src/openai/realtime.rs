//! `GET /v1/realtime?intent=transcription`: live transcription. With a model in place of the intent:
//! [`super::converse`]. Faults are those of [`crate::listening`] under `openai_live`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State, WebSocketUpgrade, ws::Message, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{authorize, converse, error::Error};
use crate::{
    listening::{Asked, Dialect, Listening, text},
    speech::{
        recogniser::{Manner, Recogniser, Verdict},
        ulaw,
    },
    world::World,
};

const IDLE: Duration = Duration::from_secs(600);
const MODELS: &[&str] = &["gpt-live-transcribe", "gpt-transcribe"];
/// Kept before the voice's beginning.
const PADDING_MS: u64 = 300;

pub(super) async fn connect(
    State(world): State<Arc<World>>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let raw = raw.unwrap_or_default();
    if let Err(error) = authorize(&headers) {
        return error.into_response();
    }
    if raw.starts_with("model=") {
        return converse::connect(world, raw, upgrade);
    }
    if let Some(value) = world.faults.take("openai_live.refuse", &raw) {
        return Error::from_fault(&if value.is_null() { json!(503) } else { value }).into_response();
    }
    if raw != "intent=transcription" {
        return Error::invalid("intent", "ask for a model, or for intent=transcription").into_response();
    }
    world.faults.slow_accept("openai_live", &raw).await;
    match upgrade {
        Err(rejection) => rejection.into_response(),
        Ok(upgrade) => {
            let manner = Manner {
                interim_every_ms: Some(300),
                endpointing_ms: Some(300),
                utterance_end_ms: None,
                english_only: false,
            };
            let recogniser = Recogniser::new(world.speech.ear(), manner);
            let session = Listening::new(world, Live::default(), recogniser, raw, IDLE);
            upgrade.on_upgrade(move |socket| Box::pin(session.run(socket)))
        }
    }
}

#[derive(Default)]
struct Live {
    configured: bool,
    item: u64,
    speaking: bool,
    /// Characters of the open item that were told.
    told: String,
}

impl Live {
    fn item_id(&self) -> String {
        format!("item_{}", self.item)
    }

    fn started(&mut self, at_ms: u64, out: &mut Vec<Value>) {
        if !std::mem::replace(&mut self.speaking, true) {
            out.push(
                json!({ "type": "input_audio_buffer.speech_started", "audio_start_ms": at_ms.saturating_sub(PADDING_MS),
                "item_id": self.item_id() }),
            );
        }
    }

    /// What a longer line adds to what was told.
    fn delta(&mut self, line: &str, out: &mut Vec<Value>) {
        if let Some(more) = line.strip_prefix(self.told.as_str()).filter(|more| !more.is_empty()) {
            out.push(json!({ "type": "conversation.item.input_audio_transcription.delta", "item_id": self.item_id(),
                "content_index": 0, "delta": more }));
            self.told = line.to_owned();
        }
    }
}

impl Dialect for Live {
    fn service(&self) -> &'static str {
        "openai_live"
    }

    fn hello(&mut self) -> Vec<Value> {
        vec![json!({ "type": "session.created", "session": { "type": "transcription" } })]
    }

    fn read(&mut self, message: Message) -> Asked {
        let wrong = |code: &str, message: &str| {
            let error = json!({ "type": "invalid_request_error", "code": code, "message": message, "param": null, "event_id": null });
            Asked::Wrong { told: Some(json!({ "type": "error", "error": error })), code: 1008, reason: code.to_owned() }
        };
        let Message::Text(text) = message else { return wrong("invalid_value", "messages are JSON text") };
        let command: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match command["type"].as_str() {
            Some("session.update") => {
                let input = &command["session"]["audio"]["input"];
                let model = input["transcription"]["model"].as_str().unwrap_or_default();
                if !MODELS.contains(&model) {
                    return wrong("model_not_found", "no such model");
                }
                if input["format"]["type"] != "audio/pcmu" || command["session"]["type"] != "transcription" {
                    return wrong("invalid_value", "the simulator hears audio/pcmu in a transcription session");
                }
                self.configured = true;
                Asked::Answer(json!({ "type": "session.updated", "session": command["session"] }))
            }
            Some("input_audio_buffer.append") if self.configured => {
                match STANDARD.decode(command["audio"].as_str().unwrap_or_default()) {
                    Ok(codes) => Asked::Audio(codes.into_iter().map(ulaw::decode).collect()),
                    Err(_) => wrong("invalid_value", "audio is not base64"),
                }
            }
            Some("input_audio_buffer.commit") => Asked::Finalize,
            _ => wrong("invalid_value", "unknown event, or audio before session.update"),
        }
    }

    fn tell(&mut self, verdict: &Verdict, now_ms: u64, out: &mut Vec<Value>) {
        match verdict {
            Verdict::SpeechStarted { at_ms } => self.started(*at_ms, out),
            Verdict::UtteranceEnd { .. } => {}
            Verdict::Interim(segment) => self.delta(&text(&segment.words), out),
            Verdict::Final { segment, speech_final: false, from_finalize: false } if segment.words.is_empty() => {}
            Verdict::Final { segment, .. } => {
                let line = text(&segment.words);
                self.started(segment.start_ms, out);
                let item_id = self.item_id();
                out.push(
                    json!({ "type": "input_audio_buffer.speech_stopped", "audio_end_ms": now_ms, "item_id": item_id }),
                );
                out.push(
                    json!({ "type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": null }),
                );
                self.delta(&line, out);
                let usage =
                    json!({ "type": "duration", "seconds": (segment.end_ms - segment.start_ms) as f64 / 1_000.0 });
                out.push(json!({ "type": "conversation.item.input_audio_transcription.completed", "item_id": item_id,
                    "content_index": 0, "transcript": line, "usage": usage }));
                self.item += 1;
                self.speaking = false;
                self.told.clear();
            }
        }
    }

    fn farewell(&mut self, _now_ms: u64) -> Vec<Value> {
        Vec::new()
    }

    fn error(&mut self) -> (Value, u16) {
        let error = json!({ "type": "server_error", "code": null, "message": "broken by a fault", "param": null });
        (json!({ "type": "error", "error": error }), 1011)
    }
}
