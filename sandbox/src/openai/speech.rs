//! `POST /v1/audio/speech`: 24 kHz PCM. Faults `openai_tts.refuse` (HTTP status, 503), `.slow`, `.stall` and `.cut` as in
//! [`crate::speaking`], keyed by the model; `.odd_chunks`: pieces end inside samples.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{authorize, error::Error};
use crate::world::World;

const TTFB_MS: u64 = 150;
const SPEED: f64 = 5.0;
const CHUNK_MS: usize = 150;
const FIELDS: &[&str] = &["model", "input", "voice", "response_format", "instructions", "speed", "stream_format"];

/// The connection breaks in the middle.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault")]
struct Cut;

pub(super) async fn speak(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Result<Response, Error> {
    authorize(&headers)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let fields =
        body.as_object().ok_or_else(|| Error::invalid("", "We could not parse the JSON body of your request."))?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(Error::invalid(unknown.as_str(), format!("Unrecognized request argument supplied: {unknown}")));
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let model = text("model");
    if !matches!(model, "tts-1" | "tts-1-hd" | "gpt-4o-mini-tts") {
        return Err(Error::unknown_model(model));
    }
    let input = text("input").trim();
    if input.is_empty() || input.chars().count() > 4_096 || text("voice").is_empty() {
        return Err(Error::invalid("input", "'input' takes 1 to 4096 characters, and 'voice' is required."));
    }
    if text("response_format") != "pcm" {
        return Err(Error::invalid("response_format", "the simulator makes pcm: ask for it"));
    }
    if let Some(value) = world.faults.take("openai_tts.refuse", model) {
        return Err(Error::from_fault(&if value.is_null() { json!(503) } else { value }));
    }
    let utterance = world.speech.say(input, text("voice")).await;
    world.log.record("openai_tts", "text.spoken", json!({ "voice": text("voice"), "text": input }));
    let fault =
        |name: &str, otherwise: u64| world.faults.take(name, model).map(|value| value.as_u64().unwrap_or(otherwise));
    let begins = Instant::now() + Duration::from_millis(fault("openai_tts.slow", 3_000).unwrap_or(TTFB_MS));
    let (stall_at, cut_at) = (fault("openai_tts.stall", 0), fault("openai_tts.cut", 200));
    let odd = usize::from(world.faults.take("openai_tts.odd_chunks", model).is_some());
    // Held for three samples each: its low-pass gives the original back well enough for an ear of words, if not of samples.
    let tripled: Vec<u8> = utterance.pcm.iter().flat_map(|sample| [*sample; 3]).flat_map(i16::to_le_bytes).collect();
    let chunks: Vec<(u64, Bytes)> = tripled
        .chunks(8 * CHUNK_MS * 3 * 2 + odd)
        .enumerate()
        .map(|(number, chunk)| ((number * CHUNK_MS) as u64, chunk.to_vec().into()))
        .collect();
    let body = stream::iter(chunks).then(move |(starts_at, bytes)| async move {
        sleep_until(begins + Duration::from_millis((starts_at as f64 / SPEED) as u64)).await;
        if stall_at.is_some_and(|at| starts_at >= at) {
            std::future::pending::<()>().await;
        }
        if cut_at.is_some_and(|at| starts_at >= at) { Err(Cut) } else { Ok(bytes) }
    });
    Ok(([(header::CONTENT_TYPE, "audio/pcm")], Body::from_stream(body)).into_response())
}
