//! The campaign's recording for answering machines, where Twilio can fetch it: Twilio does not sign what it plays, so the address is
//! one that nobody can guess.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::{signature, voicemail_recording};
use subtle::ConstantTimeEq;
use tokio::time::timeout;
use url::Url;

use crate::error::{ApiError, Problem};
use crate::extract::Query;
use crate::state::{App, AppState};

/// Of looking whether the recording is there; the human, or the machine, hears silence meanwhile.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordingQuery {
    /// Our name for the call.
    reference: String,
    /// Derived from it, and from the installation's secret.
    token: String,
}

/// The recording that a call's campaign leaves on an answering machine.
#[utoipa::path(
    get, path = "/webhooks/twilio/voicemail-recording", tag = "webhooks", security(()), params(RecordingQuery),
    responses((status = OK, content_type = "audio/wav"), (status = NOT_FOUND, body = Problem))
)]
pub async fn get_recording(State(app): State<App>, Query(query): Query<RecordingQuery>) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("voicemail recording");
    if !bool::from(token(&app, &query.reference).as_bytes().ct_eq(query.token.as_bytes())) {
        metrics::counter!("webhooks_refused_total").increment(1);
        return Err(missing());
    }
    let recording = voicemail_recording::of_call(&app.db, &query.reference).await?.ok_or_else(missing)?;
    let object = app.storage.get(&recording.object_key).await.map_err(|error| ApiError::Internal(error.into()))?;
    let object = object.ok_or_else(missing)?;
    let headers =
        [(header::CONTENT_TYPE, "audio/wav".to_owned()), (header::CONTENT_LENGTH, object.size_bytes.to_string())];
    Ok((headers, Body::from_stream(object.stream)).into_response())
}

/// Where Twilio finds it. `None`: it is not there, or nobody can say so in time.
pub(super) async fn address(app: &AppState, reference: &str, object_key: &str) -> Option<String> {
    match timeout(LOOK_WITHIN, app.storage.size(object_key)).await {
        Ok(Ok(Some(_bytes))) => Some(published(app, reference)),
        Ok(Ok(None)) => None,
        Ok(Err(error)) => {
            tracing::error!(%error, "the recording for machines cannot be looked up");
            None
        }
        Err(_elapsed) => None,
    }
}

fn published(app: &AppState, reference: &str) -> String {
    let text = format!("{}/webhooks/twilio/voicemail-recording", app.base_url);
    let Ok(mut url) = Url::parse(&text) else { return text };
    url.query_pairs_mut().append_pair("reference", reference).append_pair("token", &token(app, reference));
    url.into()
}

fn token(app: &AppState, reference: &str) -> String {
    signature::hex(&app.callback_secret, format!("voicemail recording of call {reference}").as_bytes())
}
