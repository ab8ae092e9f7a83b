//! `POST /v1/chat/completions`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Settings, answer::Answer, authorize, error::Error, gemini, request::Request, stream};
use crate::world::World;

/// Whose words are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavor {
    OpenAi,
    Gemini,
}

/// A longer body is logged by its length only.
const MAX_LOGGED_BYTES: usize = 64 << 10;

pub(super) async fn create(
    State(world): State<Arc<World>>,
    Extension(settings): Extension<Arc<Settings>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(&world, &settings, &headers, &body, Flavor::OpenAi).await
}

pub(super) async fn create_at_gemini(
    State(world): State<Arc<World>>,
    Extension(settings): Extension<Arc<Settings>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(&world, &settings, &headers, &body, Flavor::Gemini).await
}

async fn respond(
    world: &Arc<World>,
    settings: &Settings,
    headers: &HeaderMap,
    body: &Bytes,
    flavor: Flavor,
) -> Response {
    let began = Instant::now();
    let request_id = format!("req_{:032x}", rand::rng().random::<u128>());
    let length = body.len();
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let logged = if length <= MAX_LOGGED_BYTES { &body } else { &Value::Null };
    world.log.record("openai", "chat.asked", json!({ "request_id": request_id, "bytes": length, "body": logged }));

    let mut response = match answer(world, settings, headers, &body, &request_id, flavor).await {
        Ok(response) => response,
        Err(error) => {
            let data = json!({ "request_id": request_id, "status": error.status.as_u16(), "code": error.code, "error": error.body() });
            world.log.record("openai", "chat.refused", data);
            match flavor {
                Flavor::OpenAi => error.into_response(),
                Flavor::Gemini => {
                    (error.status, Json(gemini::refusal(error.status.as_u16(), &error.message))).into_response()
                }
            }
        }
    };
    let took_ms = began.elapsed().as_millis().to_string();
    for (name, value) in [
        ("x-request-id", request_id.as_str()),
        ("openai-processing-ms", &took_ms),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "6ms"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn answer(
    world: &Arc<World>,
    settings: &Settings,
    headers: &HeaderMap,
    body: &Value,
    request_id: &str,
    flavor: Flavor,
) -> Result<Response, Error> {
    authorize(headers)?;
    if flavor == Flavor::Gemini {
        gemini::check(body)?;
    }
    let request = Request::read(body)?;
    if world.faults.take("openai.shut_down", &request.fault_key).is_some() {
        return Err(Error::unknown_model(request.model));
    }
    if let Some(value) = world.faults.take("openai.refuse", &request.fault_key) {
        return Err(Error::from_fault(&value));
    }
    let answer = Answer::to(&request, world, flavor);
    let calls: Vec<Value> = answer
        .calls
        .iter()
        .map(|(id, call)| json!({ "id": id, "name": call.name, "arguments": call.arguments }))
        .collect();
    let data = json!({
        "request_id": request_id,
        "text": answer.text,
        "refusal": answer.refusal,
        "calls": calls,
        "finish_reason": answer.finish_reason,
    });
    world.log.record("openai", "chat.answered", data);

    let slow = world.faults.take("openai.slow", &request.fault_key).map(|value| value.as_u64().unwrap_or(5_000));
    let spread = settings.ttft_ms / 5;
    let ttft_ms = slow.unwrap_or(settings.ttft_ms - spread + rand::rng().random_range(0..=2 * spread));
    sleep(Duration::from_millis(ttft_ms)).await;

    if request.stream {
        let body = stream::body(&request, &answer, settings, world);
        let body =
            if answer.split_bytes { Body::from_stream(stream::in_small_pieces(body)) } else { Body::from_stream(body) };
        return Ok(([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response());
    }
    let tokens = u32::try_from(answer.completion_tokens).unwrap_or(u32::MAX);
    sleep(Duration::from_secs(1) * tokens / u32::try_from(settings.tokens_per_second.max(1)).unwrap_or(u32::MAX)).await;
    Ok(Json(answer.body(&request)).into_response())
}
