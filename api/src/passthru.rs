//! A flow of Exotel's asks which way to go on, after each stream of its call: 200, back to the voice agent; 302, on.
//!
//! The way is decided in [`crate::resuming`]. What the question says about the stream is kept, as a webhook is.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::call::Carrier;
use shared::carrier_event::{self, Source};
use tokio::time::Instant;

use crate::error::{ApiError, Problem};
use crate::resuming::{goes_back, keep};
use crate::state::App;
use crate::webhooks::read;

/// A flow asks whether the conversation goes on (200, back to the Voicebot applet) or is over (302).
#[utoipa::path(
    get, path = "/passthru-handler", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET")),
    responses(
        (status = OK, description = "the conversation was broken off: back to the voice agent"),
        (status = FOUND, description = "it is over: on"), (status = FORBIDDEN, body = Problem),
    )
)]
pub async fn get_passthru(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    passthru(app, request).await
}

/// The same, from flows that send POST.
#[utoipa::path(
    post, path = "/passthru-handler", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET")),
    responses(
        (status = OK, description = "the conversation was broken off: back to the voice agent"),
        (status = FOUND, description = "it is over: on"), (status = FORBIDDEN, body = Problem),
    )
)]
pub async fn post_passthru(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    passthru(app, request).await
}

async fn passthru(app: App, request: Request) -> Result<Response, ApiError> {
    let asked_at = Instant::now();
    let webhook = read(&app, request, Source::Passthru).await?;
    let report = carrier_event::stream_report(&webhook);
    let event = carrier_event::parse_exotel(&webhook);
    keep(&app, Carrier::Exotel, webhook, "passthru");

    let names = (event.reference.as_deref(), event.carrier_call_id.as_deref());
    let back = goes_back(&app, Carrier::Exotel, &report, names, asked_at).await;
    let status = if back { StatusCode::OK } else { StatusCode::FOUND };
    Ok((status, [(header::CONTENT_TYPE, "text/plain")], "").into_response())
}
