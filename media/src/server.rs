//! The HTTP surface: streams, health, metrics.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq;

use shared::twilio_signature::{self, Form};

use crate::{app::App, carrier::Carrier, session};

/// Everything this process answers. `metrics` renders `GET /metrics`.
pub fn router(app: Arc<App>, metrics: PrometheusHandle) -> Router {
    streams(Arc::clone(&app))
        .route("/health", get(health).with_state(Arc::clone(&app)))
        .route("/ready", get(ready).with_state(app))
        .route("/metrics", get(move || std::future::ready(metrics.render())))
}

/// The streams alone, for a process that holds other roles as well.
pub fn streams(app: Arc<App>) -> Router {
    Router::new()
        .route("/media", get(stream_without_path_secret))
        .route("/media/{secret}", get(stream_with_path_secret))
        .route("/twilio/media", get(twilio_stream_without_path_secret))
        .route("/twilio/media/{secret}", get(twilio_stream_with_path_secret))
        .with_state(app)
}

async fn health(State(app): State<Arc<App>>) -> Response {
    Json(json!({"status": "ok", "live_calls": app.admission.live()})).into_response()
}

/// Whether a new stream would be taken: not leaving, not full, and the database knows our calls.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let live = app.admission.live();
    let status = if app.admission.is_draining() {
        "draining"
    } else if live >= app.config.max_live_calls {
        "full"
    } else if !app.store.is_reachable().await {
        "database_unreachable"
    } else {
        "ready"
    };
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({"status": status, "live_calls": live}))).into_response()
}

async fn stream_without_path_secret(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let given = basic_password(&headers);
    stream(app, Carrier::Exotel, given.as_deref(), upgrade)
}

async fn stream_with_path_secret(
    State(app): State<Arc<App>>,
    Path(secret): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    stream(app, Carrier::Exotel, Some(&secret), upgrade)
}

async fn twilio_stream_without_path_secret(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let given = basic_password(&headers);
    twilio_stream(app, &headers, given.as_deref(), upgrade)
}

async fn twilio_stream_with_path_secret(
    State(app): State<Arc<App>>,
    Path(secret): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    twilio_stream(app, &headers, Some(&secret), upgrade)
}

/// Signed over the address that we gave Twilio.
fn twilio_stream(app: Arc<App>, headers: &HeaderMap, given: Option<&str>, upgrade: WebSocketUpgrade) -> Response {
    let signature = headers.get("x-twilio-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let genuine = app
        .config
        .twilio()
        .is_none_or(|(token, published)| twilio_signature::is_genuine(token, published, &Form::new(), signature));
    if !genuine {
        metrics::counter!("streams_refused_total", "cause" => "signature").increment(1);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    stream(app, Carrier::Twilio, given, upgrade)
}

fn stream(app: Arc<App>, carrier: Carrier, given: Option<&str>, upgrade: WebSocketUpgrade) -> Response {
    if !is_allowed(app.config.media_stream_secret.as_ref(), given) {
        metrics::counter!("streams_refused_total", "cause" => "secret").increment(1);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let place = match app.admission.enter() {
        Ok(place) => place,
        Err(refusal) => {
            metrics::counter!("streams_refused_total", "cause" => refusal.as_str()).increment(1);
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response();
        }
    };
    upgrade
        // The defaults (128 KiB, allocated at once) would be most of a call's memory.
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(256 * 1024)
        .max_message_size(256 * 1024)
        .max_frame_size(256 * 1024)
        .on_upgrade(move |socket| session::serve(app, carrier, socket, place))
}

/// Without a configured secret everybody is let in: the carrier's IP allowlist, or loopback, is the lock then.
fn is_allowed(expected: Option<&SecretString>, given: Option<&str>) -> bool {
    match (expected.map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()), given) {
        (None, _) => true,
        (Some(expected), Some(given)) => expected.as_bytes().ct_eq(given.as_bytes()).into(),
        (Some(_), None) => false,
    }
}

/// `Authorization: Basic`, which carriers make of `wss://user:pass@host`: the password, or the user where there is none.
fn basic_password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?.trim()).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    match pair.split_once(':') {
        Some((user, "")) => Some(user.to_owned()),
        Some((_, password)) => Some(password.to_owned()),
        None => Some(pair),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_comes_in_the_path_or_as_basic_credentials() {
        let secret = SecretString::from("s3cret");
        assert!(is_allowed(None, None));
        assert!(is_allowed(Some(&secret), Some("s3cret")));
        assert!(!is_allowed(Some(&secret), Some("s3cre")));
        assert!(!is_allowed(Some(&secret), None));
        let basic = |pair: &str| {
            let mut headers = HeaderMap::new();
            let value = format!("Basic {}", STANDARD.encode(pair));
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
            basic_password(&headers)
        };
        assert_eq!(basic("any:s3cret").as_deref(), Some("s3cret"));
        assert_eq!(basic("s3cret:").as_deref(), Some("s3cret"));
        assert_eq!(basic_password(&HeaderMap::new()), None);
    }
}
