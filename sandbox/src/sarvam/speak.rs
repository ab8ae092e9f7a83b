//! `GET /text-to-speech/ws` and `POST /text-to-speech`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, State, WebSocketUpgrade, ws::Message, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{SPOKEN, is_authorized, refusal};
use crate::{
    speaking::{Order, Speaking, Tongue},
    speech::ulaw,
    world::World,
};

const IDLE: Duration = Duration::from_secs(60);
const MODELS: &[&str] = &["bulbul:v2", "bulbul:v3", "bulbul:v4-flash"];
const MAX_TEXT: usize = 2_500;

pub(super) async fn socket(
    State(world): State<Arc<World>>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let raw = raw.unwrap_or_default();
    if let Some(value) = world.faults.take("sarvam_tts.refuse", &raw) {
        world.log.record("sarvam_tts", "socket.refused", json!({ "query": raw }));
        return refusal(
            value.as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(503),
            "refused by a fault",
        );
    }
    if !is_authorized(&headers) {
        return refusal(403, "Invalid API key");
    }
    let mut tongue = Sarvam { config: None, tells_end: false };
    for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
        match (&*name, &*value) {
            ("model", model) if MODELS.contains(&model) => {}
            ("send_completion_event", value @ ("true" | "false")) => tongue.tells_end = value == "true",
            (name, value) => return refusal(422, &format!("{name}={value} is not supported")),
        }
    }
    world.faults.slow_accept("sarvam_tts", &raw).await;
    match upgrade {
        Err(rejection) => rejection.into_response(),
        Ok(upgrade) => {
            let session = Speaking::new(world, tongue, raw, IDLE);
            upgrade.on_upgrade(move |socket| Box::pin(session.run(socket)))
        }
    }
}

/// What a client configured.
struct Config {
    speaker: String,
    mulaw: bool,
}

impl Config {
    /// `Err` names what is wrong. Older clients say `target_language_code`.
    fn read(data: &Value) -> Result<Self, String> {
        let language = data["language_code"].as_str().or(data["target_language_code"].as_str()).unwrap_or_default();
        if !SPOKEN.contains(&language) {
            return Err(format!("language_code={language} is not supported"));
        }
        if data["speech_sample_rate"]
            .as_u64()
            .or(data["speech_sample_rate"].as_str().and_then(|rate| rate.parse().ok()))
            != Some(8_000)
        {
            return Err("the simulator speaks at 8000 Hz: ask for it".into());
        }
        let mulaw = match data["output_audio_codec"].as_str() {
            Some("mulaw") => true,
            Some("linear16") => false,
            _ => return Err("the simulator makes mulaw and linear16: ask for one".into()),
        };
        Ok(Self { speaker: data["speaker"].as_str().unwrap_or("shubh").to_owned(), mulaw })
    }

    fn encode(&self, pcm: &[i16]) -> String {
        match self.mulaw {
            true => STANDARD.encode(pcm.iter().map(|sample| ulaw::encode(*sample)).collect::<Vec<u8>>()),
            false => STANDARD.encode(pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>()),
        }
    }
}

struct Sarvam {
    config: Option<Config>,
    tells_end: bool,
}

impl Tongue for Sarvam {
    fn service(&self) -> &'static str {
        "sarvam_tts"
    }

    fn voice(&self) -> String {
        self.config.as_ref().map_or_else(|| "shubh".into(), |config| config.speaker.clone())
    }

    fn hello(&self) -> Option<Value> {
        None
    }

    fn read(&mut self, message: Message) -> Order {
        let wrong = |message: &str| {
            let data = json!({ "message": message, "code": 422, "details": {}, "request_id": crate::deepgram::uuid() });
            Order::Wrong {
                told: Some(json!({ "type": "error", "data": data })),
                code: 4000,
                reason: message.to_owned(),
            }
        };
        let Message::Text(text) = message else { return wrong("messages are JSON text") };
        let command: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match (command["type"].as_str(), &self.config) {
            (Some("config"), _) => match Config::read(&command["data"]) {
                Ok(config) => {
                    self.config = Some(config);
                    Order::Nothing
                }
                Err(problem) => wrong(&problem),
            },
            (Some("ping"), _) => Order::Answer(json!({ "type": "pong" })),
            (Some("text" | "flush"), None) => wrong("the first message must be config"),
            (Some("flush"), Some(_)) => Order::Flush,
            (Some("text"), Some(_)) => match command["data"]["text"].as_str() {
                Some(text) if !text.trim().is_empty() && text.chars().count() <= MAX_TEXT => {
                    Order::Text(text.to_owned())
                }
                _ => wrong("text is empty or too long"),
            },
            _ => wrong("unknown type"),
        }
    }

    fn sound(&self, pcm: &[i16]) -> Message {
        let (content_type, audio) = match &self.config {
            Some(config) => (if config.mulaw { "audio/mulaw" } else { "audio/pcm" }, config.encode(pcm)),
            None => ("audio/mulaw", String::new()),
        };
        let data = json!({ "content_type": content_type, "audio": audio, "request_id": "sandbox" });
        Message::Text(json!({ "type": "audio", "data": data }).to_string().into())
    }

    fn flushed(&mut self) -> Value {
        if !self.tells_end {
            return json!({ "type": "event", "data": { "event_type": "flushed" } });
        }
        json!({ "type": "event", "data": { "event_type": "final", "timestamp": chrono::Utc::now().to_rfc3339() } })
    }

    /// There is no such message on this wire.
    fn cleared(&mut self) -> Value {
        Value::Null
    }
}

pub(super) async fn rest(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_authorized(&headers) {
        return refusal(403, "Invalid API key");
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let text = body["text"].as_str().unwrap_or_default().trim();
    if text.is_empty() || text.chars().count() > MAX_TEXT {
        return refusal(400, "text is empty or too long");
    }
    match Config::read(&body) {
        Err(problem) => refusal(422, &problem),
        Ok(config) => {
            let utterance = world.speech.say(text, &config.speaker).await;
            world.log.record("sarvam_tts", "text.spoken", json!({ "voice": config.speaker, "text": text }));
            let audios = [config.encode(&utterance.pcm)];
            Json(json!({ "request_id": crate::deepgram::uuid(), "audios": audios })).into_response()
        }
    }
}
