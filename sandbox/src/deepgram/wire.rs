//! Deepgram's JSON, from its documents (§1.1 and §1.2 of the wire notes).

use axum::{
    Json,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use chrono::{SecondsFormat, Utc};
use rand::RngExt;
use serde_json::{Value, json};

use super::query::Query;
use crate::speech::{
    HeardWord,
    recogniser::{Segment, Verdict},
    script,
};

/// A random version 4 UUID.
pub(crate) fn uuid() -> String {
    let bits: u128 = rand::rng().random();
    let bits = (bits & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Whose words a refusal is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Listening,
    Speech,
}

/// A handshake that failed: plain HTTP, with the text in `dg-error` too.
pub(super) fn refusal(form: Form, status: StatusCode, detail: Option<&str>, request_id: &str) -> Response {
    let (code, message) = match status.as_u16() {
        429 if form == Form::Speech => ("Too Many Requests", "Please try again later."),
        415 => ("UNSUPPORTED_MEDIA_TYPE", "The requested media type is not supported."),
        401 => ("INVALID_AUTH", "Invalid credentials."),
        402 => (
            "ASR_PAYMENT_REQUIRED",
            "Project does not have enough credits for an ASR request and does not have an overage agreement.",
        ),
        403 => ("INSUFFICIENT_PERMISSIONS", "Project does not have access to the requested model."),
        429 => ("TOO_MANY_REQUESTS", "Too many requests. Please try again later"),
        503 => ("Service Unavailable", "Please try again later"),
        _ => ("Bad Request", "Bad Request"),
    };
    let message = detail.map_or_else(|| message.to_owned(), |detail| format!("Bad Request: {detail}"));
    let code_field = if status == StatusCode::SERVICE_UNAVAILABLE { "error_code" } else { "err_code" };
    let body = json!({ code_field: code, "err_msg": message, "request_id": request_id });
    let mut response = (status, Json(body)).into_response();
    if let Ok(text) = HeaderValue::from_str(&message) {
        response.headers_mut().insert("dg-error", text);
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("dg-request-id", id);
    }
    response
}

/// Writes verdicts for one connection.
pub(super) struct Writer {
    pub request_id: String,
    model: String,
    /// Spoken language, told only in multilingual mode.
    multilingual: bool,
    punctuate: bool,
}

impl Writer {
    pub(super) fn new(request_id: String, query: &Query) -> Self {
        Self {
            request_id,
            model: query.model.clone(),
            multilingual: query.language == "multi",
            punctuate: query.punctuate,
        }
    }

    pub(super) fn verdict(&self, verdict: &Verdict) -> Value {
        match verdict {
            Verdict::SpeechStarted { at_ms } => {
                json!({ "type": "SpeechStarted", "channel": [0, 1], "timestamp": secs(*at_ms) })
            }
            Verdict::UtteranceEnd { last_word_end_ms } => {
                json!({ "type": "UtteranceEnd", "channel": [0, 1], "last_word_end": secs(*last_word_end_ms) })
            }
            Verdict::Interim(segment) => self.results(segment, [false; 3]),
            Verdict::Final { segment, speech_final, from_finalize } => {
                self.results(segment, [true, *speech_final, *from_finalize])
            }
        }
    }

    fn results(&self, segment: &Segment, [is_final, speech_final, from_finalize]: [bool; 3]) -> Value {
        let words: Vec<Value> = segment.words.iter().map(|word| self.word(word)).collect();
        let mut alternative = json!({
            "transcript": self.transcript(segment),
            "confidence": if words.is_empty() { 0.0 } else { 0.98 },
            "words": words,
        });
        if self.multilingual {
            alternative["languages"] = json!(script::languages(segment.words.iter().map(|word| word.word.as_str())));
        }
        json!({
            "type": "Results",
            "channel_index": [0, 1],
            "duration": secs(segment.end_ms - segment.start_ms),
            "start": secs(segment.start_ms),
            "is_final": is_final,
            "speech_final": speech_final,
            "channel": { "alternatives": [alternative] },
            "metadata": {
                "request_id": self.request_id,
                "model_info": { "name": format!("general-{}", self.model), "version": "2024-12-20.0", "arch": self.model },
                "model_uuid": "40bd3654-e622-47c4-a111-63a61b23bfe8",
            },
            "from_finalize": from_finalize,
        })
    }

    fn word(&self, heard: &HeardWord) -> Value {
        let mut word = json!({
            "word": bare(&heard.word),
            "start": secs(heard.start_ms),
            "end": secs(heard.end_ms),
            "confidence": 0.98,
        });
        if self.punctuate {
            word["punctuated_word"] = json!(heard.word);
        }
        if self.multilingual {
            word["language"] = json!(script::language_of(&heard.word));
        }
        word
    }

    pub(super) fn transcript(&self, segment: &Segment) -> String {
        let words: Vec<String> = segment
            .words
            .iter()
            .map(|heard| if self.punctuate { heard.word.clone() } else { bare(&heard.word) })
            .collect();
        words.join(" ")
    }

    /// The farewell after `CloseStream`.
    pub(super) fn metadata(&self, audio_ms: u64, sha256: &str) -> Value {
        json!({
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": sha256,
            "created": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            "duration": secs(audio_ms),
            "channels": 1,
        })
    }

    pub(super) fn configured(&self, keyterms: &Value) -> Value {
        json!({ "type": "ConfigureSuccess", "request_id": self.request_id, "keyterms": keyterms })
    }

    pub(super) fn not_configured(&self, code: &str, description: &str) -> Value {
        json!({ "type": "ConfigureFailure", "request_id": self.request_id, "code": code, "description": description })
    }
}

/// The answer to a text message that is none of Deepgram's.
pub(super) fn schema_error(text: &str) -> Value {
    json!({
        "type": "Error",
        "variant": "SchemaError",
        "description": "Could not deserialize last text message.",
        "message": text,
    })
}

fn secs(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// A word as it is without formatting.
fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !script::is_of_a_word(c)).to_lowercase()
}
