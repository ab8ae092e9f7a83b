//! `GET /speech-to-text-realtime/ws`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State, WebSocketUpgrade, ws::Message, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{is_authorized, refusal};
use crate::{
    listening::{Asked, Dialect, Listening, pcm, text},
    speech::{
        recogniser::{Manner, Recogniser, Verdict},
        script, ulaw,
    },
    world::World,
};

const IDLE: Duration = Duration::from_secs(60);
const LANGUAGES: &str = "hi bn gu kn ml mr or pa ta te en as ur ne kok ks sd sa sat mni brx mai doi";

pub(super) async fn realtime(
    State(world): State<Arc<World>>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let raw = raw.unwrap_or_default();
    if let Some(value) = world.faults.take("sarvam.refuse", &raw) {
        world.log.record("sarvam", "stream.refused", json!({ "query": raw }));
        return refusal(
            value.as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(503),
            "refused by a fault",
        );
    }
    if !is_authorized(&headers) {
        return refusal(403, "Invalid API key");
    }
    world.faults.slow_accept("sarvam", &raw).await;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let query = Query::parse(&raw);
    let silence = query.as_ref().map_or(300, |query| query.silence_ms);
    let manner = Manner {
        interim_every_ms: Some(250),
        endpointing_ms: Some(silence),
        utterance_end_ms: None,
        english_only: false,
    };
    let recogniser = Recogniser::new(world.speech.ear(), manner);
    // A wrong parameter is told on the socket, and closed with 4000.
    let sarvam = Sarvam { query, utterance: 0, speaking: false };
    let session = Listening::new(world, sarvam, recogniser, raw, IDLE);
    upgrade.on_upgrade(move |socket| Box::pin(session.run(socket)))
}

struct Query {
    model: String,
    language_code: String,
    mulaw: bool,
    manual: bool,
    silence_ms: u64,
}

impl Query {
    fn parse(raw: &str) -> Result<Self, String> {
        let mut query = Self {
            model: "saaras:v3-realtime".into(),
            language_code: String::new(),
            mulaw: false,
            manual: false,
            silence_ms: 300,
        };
        let mut rate = 16_000;
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            match (&*name, &*value) {
                ("language_code", code) => query.language_code = code.to_owned(),
                ("model", "saaras:v3-realtime" | "saaras:v4") => query.model = value.into_owned(),
                ("encoding", "linear16") => query.mulaw = false,
                ("encoding", "mulaw") => query.mulaw = true,
                ("sample_rate", "8000") => rate = 8_000,
                ("endpointing", "vad") => query.manual = false,
                ("endpointing", "manual") => query.manual = true,
                ("silence_duration_ms", ms) => {
                    query.silence_ms = ms.parse().map_err(|_invalid| "silence_duration_ms must be a number")?;
                }
                (
                    "stream_type"
                    | "mode"
                    | "prompt"
                    | "keyterms"
                    | "return_timestamps"
                    | "threshold"
                    | "prefix_padding_ms"
                    | "min_speech_duration_ms",
                    _,
                ) => {}
                (name, value) => return Err(format!("{name}={value} is not supported")),
            }
        }
        let known =
            |code: &str| code.strip_suffix("-IN").is_some_and(|base| LANGUAGES.split(' ').any(|known| known == base));
        if query.language_code != "auto" && !known(&query.language_code) {
            return Err(format!("language_code={} is not supported", query.language_code));
        }
        if rate == 8_000 { Ok(query) } else { Err("the simulator hears 8000 Hz".into()) }
    }
}

struct Sarvam {
    query: Result<Query, String>,
    utterance: u64,
    speaking: bool,
}

impl Sarvam {
    fn speech_start(&mut self, out: &mut Vec<Value>) {
        if !std::mem::replace(&mut self.speaking, true) {
            out.push(json!({ "event": "vad.speech_start", "utterance_idx": self.utterance, "confidence": 0.9 }));
        }
    }
}

impl Dialect for Sarvam {
    fn service(&self) -> &'static str {
        "sarvam"
    }

    fn hello(&mut self) -> Vec<Value> {
        let Ok(query) = &self.query else { return Vec::new() };
        let config = json!({ "model": query.model, "language_code": query.language_code, "sample_rate": 8_000,
            "encoding": if query.mulaw { "mulaw" } else { "linear16" }, "stream_type": "fast", "mode": "transcribe",
            "turn_detection": if query.manual { "manual" } else { "vad" } });
        vec![json!({ "event": "session.begin", "request_id": crate::deepgram::uuid(), "config": config })]
    }

    fn read(&mut self, message: Message) -> Asked {
        let query = match &self.query {
            Ok(query) => query,
            Err(problem) => return Asked::Wrong { told: None, code: 4000, reason: problem.clone() },
        };
        let wrong = |reason: &str| {
            let told =
                json!({ "event": "error", "code": "invalid_request_error", "is_fatal": true, "message": reason });
            Asked::Wrong { told: Some(told), code: 4000, reason: reason.to_owned() }
        };
        let Message::Text(text) = message else { return wrong("messages are JSON text") };
        let command: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match command["event"].as_str() {
            Some("audio_input") => match STANDARD.decode(command["audio"].as_str().unwrap_or_default()) {
                Ok(bytes) if query.mulaw => Asked::Audio(bytes.into_iter().map(ulaw::decode).collect()),
                Ok(bytes) => Asked::Audio(pcm(&bytes)),
                Err(_) => wrong("audio is not base64"),
            },
            Some("ping") => Asked::Answer(json!({ "event": "pong" })),
            Some("end") => Asked::Farewell,
            Some("flush" | "speech_end") if query.manual => Asked::Finalize,
            Some("speech_start") if query.manual => Asked::Nothing,
            Some("config.update") => Asked::Answer(json!({ "event": "config.updated", "applied": [] })),
            _ => wrong("unknown event"),
        }
    }

    fn tell(&mut self, verdict: &Verdict, _now_ms: u64, out: &mut Vec<Value>) {
        match verdict {
            Verdict::SpeechStarted { .. } => self.speech_start(out),
            Verdict::UtteranceEnd { .. } => {}
            Verdict::Interim(segment) => {
                let line = text(&segment.words);
                out.push(json!({ "event": "transcript.partial", "utterance_idx": self.utterance, "text": line }));
            }
            // What is closed off for its length alone goes on here.
            Verdict::Final { segment, speech_final: false, from_finalize: false } if segment.words.is_empty() => {}
            Verdict::Final { segment, .. } => {
                self.speech_start(out);
                self.speaking = false;
                out.push(json!({ "event": "vad.speech_end", "utterance_idx": self.utterance }));
                if !segment.words.is_empty() {
                    let languages = script::languages(segment.words.iter().map(|word| word.word.as_str()));
                    let language = format!("{}-IN", languages.first().unwrap_or(&"en"));
                    out.push(json!({ "event": "transcript.final", "utterance_idx": self.utterance,
                        "text": text(&segment.words), "language": language, "language_confidence": 0.98 }));
                }
                self.utterance += 1;
            }
        }
    }

    fn farewell(&mut self, now_ms: u64) -> Vec<Value> {
        let secs = now_ms as f64 / 1_000.0;
        vec![json!({ "event": "session.end", "request_id": crate::deepgram::uuid(), "total_duration_s": secs,
            "total_utterances": self.utterance, "audio_duration_s": secs })]
    }

    fn error(&mut self) -> (Value, u16) {
        let message = "broken by a fault";
        (json!({ "event": "error", "code": "internal_server_error", "is_fatal": true, "message": message }), 1011)
    }
}
