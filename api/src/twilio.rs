//! What Twilio asks and tells: each request verified by its signature, stored as it came, then looked at.
//!
//! [`voice`] answers what a call does next, in [`twiml`]; the rest tells how far a call is, what answered it, and where its
//! recording is.

pub mod dialed;
pub mod gathered;
pub mod twiml;
pub mod voice;
pub mod whisper;

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use shared::call::Carrier;
use shared::carrier_event::{Source, Webhook};
use shared::twilio_signature;
use url::Url;

use crate::error::{ApiError, Problem};
use crate::messages;
use crate::state::{App, AppState};
use crate::webhooks::{MAX_FIELDS, store_and_apply};

const SIGNATURE: &str = "x-twilio-signature";

/// The installation's Twilio account, as this process needs it.
#[derive(Clone, Debug)]
pub struct TwilioAccount {
    /// Twilio signs with it.
    pub auth_token: SecretString,
    /// Where Twilio reaches our `media`; `None`: streams cannot be offered.
    pub stream_url: Option<Url>,
}

/// Twilio says how far a call is.
#[utoipa::path(
    post, path = "/webhooks/twilio/status", tag = "webhooks", security(()),
    params(("reference" = Option<String>, Query, description = "our name for the call")),
    responses((status = OK, description = "stored"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_status(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    told(&app, request, Source::CallProgress, "call_progress").await
}

/// Twilio says where a call's recording is.
#[utoipa::path(
    post, path = "/webhooks/twilio/recording", tag = "webhooks", security(()),
    params(("reference" = Option<String>, Query, description = "our name for the call")),
    responses((status = OK, description = "stored"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_recording(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    told(&app, request, Source::Recording, "recording").await
}

/// Twilio says whether a human or a machine has answered.
#[utoipa::path(
    post, path = "/webhooks/twilio/machine-detection", tag = "webhooks", security(()),
    params(("reference" = Option<String>, Query, description = "our name for the call")),
    responses((status = OK, description = "stored"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_machine_detection(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    told(&app, request, Source::MachineDetection, "machine_detection").await
}

async fn told(app: &App, request: Request, source: Source, name: &'static str) -> Result<StatusCode, ApiError> {
    let webhook = genuine(app, request, source).await?;
    store_and_apply(app, Carrier::Twilio, &webhook, name).await?;
    Ok(StatusCode::OK)
}

/// Twilio hands over a text message that somebody sent to the number (`MessageSid`, `From`, `To`, `Body`). STOP and its like, in the
/// languages of India too, put the number on the do-not-call list; START takes back what was only texted.
#[utoipa::path(
    post, path = "/webhooks/twilio/sms", tag = "webhooks", security(()),
    responses((status = OK, description = "stored; TwiML that answers nothing"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_sms(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let webhook = genuine(&app, request, Source::CallProgress).await?;
    messages::heard(&app, Carrier::Twilio, &webhook.fields).await?;
    // Whatever stood in it would be texted back; Twilio itself confirms a STOP.
    Ok(twiml::Twiml::of(&[]).into_response())
}

/// Twilio tells what became of a text message of ours (`MessageSid`, `MessageStatus`, `ErrorCode`).
#[utoipa::path(
    post, path = "/webhooks/twilio/sms-status", tag = "webhooks", security(()),
    responses((status = OK, description = "noted"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_sms_status(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    let webhook = genuine(&app, request, Source::CallProgress).await?;
    let field = |name: &str| webhook.fields.get(name).map(String::as_str);
    let status = field("MessageStatus").or_else(|| field("SmsStatus"));
    let failed = matches!(status, Some("failed" | "undelivered"));
    let failure = failed.then(|| field("ErrorCode").unwrap_or("failed"));
    if let (Some(sid), true) = (field("MessageSid"), failed || status == Some("delivered")) {
        messages::told(&app, Carrier::Twilio, sid, failure).await?;
    }
    Ok(StatusCode::OK)
}

/// The webhook, if Twilio signed it. Its fields are those of the body and, besides `reference`, of the query string; the body
/// wins.
async fn genuine(app: &AppState, request: Request, source: Source) -> Result<Webhook, ApiError> {
    let refuse = |code, detail: &str| {
        metrics::counter!("webhooks_refused_total").increment(1);
        ApiError::refused(StatusCode::FORBIDDEN, code, detail.to_owned())
    };
    let Some(account) = &app.twilio else {
        return Err(refuse("twilio_unconfigured", "no TWILIO_AUTH_TOKEN is configured here"));
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // As we published it: behind a proxy, the request itself names another host.
    let published = format!("{}{path}", app.base_url);
    let query: Vec<(String, String)> = pairs(request.uri().query().unwrap_or_default().as_bytes());
    let headers = request.headers().clone();
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let malformed = |detail: &str| ApiError::refused(StatusCode::BAD_REQUEST, "malformed_webhook", detail.to_owned());
    let body = Bytes::from_request(request, &()).await.map_err(|_broken| malformed("the body could not be read"))?;
    let body = pairs(&body);
    if body.len() > MAX_FIELDS {
        return Err(malformed("the callback has too many fields"));
    }
    let form = twilio_signature::form(body.iter().cloned());
    if !twilio_signature::is_genuine(&account.auth_token, &published, &form, signature) {
        return Err(refuse("wrong_signature", "this request is not signed by Twilio with our token for this address"));
    }
    let clean = |(name, value): (String, String)| (name, value.replace('\0', ""));
    let mut fields: BTreeMap<String, String> = query.into_iter().map(clean).collect();
    let reference = fields.remove("reference").filter(|reference| !reference.is_empty());
    fields.extend(body.into_iter().map(clean));
    Ok(Webhook { source, reference, fields })
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded).take(MAX_FIELDS + 1).map(|(name, value)| (name.into(), value.into())).collect()
}
