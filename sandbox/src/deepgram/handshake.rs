//! Opening `/v1/listen`: who may, and with which parameters.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{RawQuery, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Settings, query::Query, session::Session, wire};
use crate::world::World;

/// Largest message taken: 250 ms is the most Deepgram advises; ten seconds of 16 kHz PCM is generous.
const MAX_MESSAGE_BYTES: usize = 320_000;

pub(super) async fn listen(
    State(world): State<Arc<World>>,
    Extension(settings): Extension<Arc<Settings>>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let request_id = wire::uuid();
    let raw = raw.unwrap_or_default();
    let mut response = match admit(&world, &headers, &raw, "deepgram.refuse", Query::parse) {
        Err(refusal) => refusal.answer(&world, "deepgram", "stream.refused", &raw, &request_id),
        Ok(query) => {
            world.faults.slow_accept("deepgram", &raw).await;
            match upgrade {
                Err(rejection) => rejection.into_response(),
                Ok(upgrade) => {
                    let data =
                        json!({ "request_id": request_id, "query": raw, "user_agent": text(&headers, "user-agent") });
                    world.log.record("deepgram", "stream.opened", data);
                    let session = Session::new(world, settings, query, raw, request_id.clone());
                    upgrade
                        .protocols(["token", "bearer"])
                        .max_message_size(MAX_MESSAGE_BYTES)
                        .on_upgrade(move |socket| Box::pin(session.run(socket)))
                }
            }
        }
    };
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("dg-request-id", id);
    }
    response
}

/// Why a handshake fails.
pub(super) struct Refusal {
    status: StatusCode,
    detail: Option<String>,
}

impl Refusal {
    /// Notes it as `kind` of `service`, and says so.
    pub(super) fn answer(
        self,
        world: &World,
        service: &'static str,
        kind: &str,
        raw: &str,
        request_id: &str,
    ) -> Response {
        let Self { status, detail } = self;
        let data = json!({ "request_id": request_id, "query": raw, "status": status.as_u16(), "detail": detail });
        world.log.record(service, kind, data);
        let form = if service == "aura" { wire::Form::Speech } else { wire::Form::Listening };
        wire::refusal(form, status, detail.as_deref(), request_id)
    }
}

/// What the query asks for, unless `fault` is armed, the key is bad or the query is.
pub(super) fn admit<Q>(
    world: &World,
    headers: &HeaderMap,
    raw: &str,
    fault: &str,
    parse: impl FnOnce(&str) -> Result<Q, String>,
) -> Result<Q, Refusal> {
    if let Some(value) = world.faults.take(fault, raw) {
        return Err(Refusal { status: status(&value), detail: None });
    }
    if !is_authorized(headers) {
        return Err(Refusal { status: StatusCode::UNAUTHORIZED, detail: None });
    }
    parse(raw).map_err(|detail| Refusal { status: StatusCode::BAD_REQUEST, detail: Some(detail) })
}

fn status(value: &Value) -> StatusCode {
    value
        .as_u64()
        .and_then(|status| StatusCode::from_u16(status as u16).ok())
        .unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// `Authorization: Token <key>`, `Bearer <jwt>`, or the two WebSocket protocols a browser sends.
fn is_authorized(headers: &HeaderMap) -> bool {
    let in_header = text(headers, header::AUTHORIZATION.as_str());
    let key = match in_header.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer") => key,
        Some(_) => return false,
        None => {
            let protocols = text(headers, header::SEC_WEBSOCKET_PROTOCOL.as_str());
            let Some((scheme, key)) = protocols.split_once(',') else { return false };
            return matches!(scheme.trim(), "token" | "bearer") && is_key(key);
        }
    };
    is_key(key)
}

fn is_key(key: &str) -> bool {
    !key.trim().is_empty() && key.trim() != "bad-key"
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
