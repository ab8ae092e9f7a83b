//! `POST /v1/text-to-speech/{voice}/stream`, and the same without `/stream`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::stream::{self, StreamExt};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    Settings, audio,
    error::Error,
    query::{self, Query},
};
use crate::world::World;

const MAX_TEXT: usize = 40_000;
const FIELDS: &[&str] = &[
    "text",
    "model_id",
    "language_code",
    "voice_settings",
    "previous_text",
    "next_text",
    "previous_request_ids",
    "next_request_ids",
    "seed",
    "apply_text_normalization",
    "apply_language_text_normalization",
    "pronunciation_dictionary_locators",
    "use_pvc_as_ivc",
];

/// The connection breaks in the middle.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault")]
struct Cut;

pub(super) async fn convert(
    State(world): State<Arc<World>>,
    Extension(settings): Extension<Arc<Settings>>,
    Path(voice): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let raw = raw.unwrap_or_default();
    match speak(&world, &settings, &voice, &raw, &headers, &body).await {
        Ok(response) => response,
        Err(error) => {
            let data = json!({ "voice": voice, "query": raw, "status": error.http.as_u16(), "error": error.status, "message": error.message });
            world.log.record("elevenlabs", "speech.refused", data);
            error.into_response()
        }
    }
}

async fn speak(
    world: &Arc<World>,
    settings: &Settings,
    voice: &str,
    raw: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Error> {
    let asked_at = Instant::now();
    let fault_key = format!("{voice} {raw} ");
    query::check_refusal(world, &fault_key)?;
    query::check_key(query::key(headers).unwrap_or_default())?;
    query::check_voice(voice)?;
    let query = Query::http(raw)?;
    let text = text(body)?;
    let fault = |name: &str, otherwise: u64| {
        world.faults.take(name, &fault_key).map(|value| value.as_u64().unwrap_or(otherwise))
    };
    if fault("elevenlabs.quota", 0).is_some() {
        return Err(Error::quota());
    }

    let utterance = world.speech.say(text.trim(), voice).await;
    let characters = text.chars().count();
    let data = json!({ "voice": voice, "query": raw, "text": text, "characters": characters, "audio_ms": utterance.duration_ms() });
    world.log.record("elevenlabs", "speech.spoken", data);

    let begins = asked_at + Duration::from_millis(fault("elevenlabs.slow", 3_000).unwrap_or(settings.ttfb_ms));
    let (stall_at, cut_at) = (fault("elevenlabs.stall", 0), fault("elevenlabs.cut", 200));
    let odd = fault("elevenlabs.odd_chunks", 0).is_some();
    let speed = settings.speed.max(0.1);
    let chunks = audio::chunks(&utterance, query.format, settings.chunk_ms, odd);
    let body = stream::iter(chunks).then(move |chunk| async move {
        sleep_until(begins + Duration::from_millis((chunk.starts_at_ms as f64 / speed) as u64)).await;
        if stall_at.is_some_and(|at| chunk.starts_at_ms >= at) {
            std::future::pending::<()>().await;
        }
        if cut_at.is_some_and(|at| chunk.starts_at_ms >= at) { Err(Cut) } else { Ok(Bytes::from(chunk.bytes)) }
    });
    let mut response = ([(header::CONTENT_TYPE, query.format.content_type())], Body::from_stream(body)).into_response();
    let request_id = format!("{:032x}", rand::rng().random::<u128>());
    for (name, value) in [
        ("request-id", request_id),
        ("character-cost", characters.to_string()),
        ("current-concurrent-requests", "1".into()),
        ("maximum-concurrent-requests", "30".into()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// The text of a body that has no field ElevenLabs does not know.
fn text(body: &[u8]) -> Result<String, Error> {
    let body: Value = serde_json::from_slice(body).map_err(|_invalid| Error::field("body", "JSON decode error"))?;
    let fields = body.as_object().ok_or_else(|| Error::field("body", "Input should be an object"))?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(Error::field(unknown.as_str(), "Extra inputs are not permitted"));
    }
    if let Some(model) = body["model_id"].as_str() {
        query::check_model(model)?;
    }
    if let Some(language) = body["language_code"].as_str() {
        query::check_language(language)?;
    }
    match body["text"].as_str().map(str::trim) {
        None => Err(Error::field("text", "Field required")),
        Some("") => Err(Error::bad_request("invalid_text", "The text is empty.")),
        Some(text) if text.chars().count() > MAX_TEXT => Err(Error::bad_request(
            "max_character_limit_exceeded",
            "This request exceeds the maximum character limit of 40000.",
        )),
        Some(text) => Ok(text.to_owned()),
    }
}
