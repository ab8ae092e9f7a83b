//! What carriers tell us. A webhook is stored before it is looked at, and answered as soon as it is stored.
//!
//! Exotel signs nothing: the secret in the URL that we gave it is what says that it is Exotel.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{StatusCode, header};
use secrecy::ExposeSecret;
use shared::call::Carrier;
use shared::carrier_event::{self, Applied, Source, Webhook, flatten};
use shared::id::CallEventId;
use subtle::ConstantTimeEq;

use crate::error::{ApiError, Problem};
use crate::state::{App, AppState};

/// A callback's body; the largest seen has 2 kB.
const MAX_BODY_BYTES: usize = 256 * 1024;
pub(crate) const MAX_FIELDS: usize = 200;
/// Exotel repeats a callback that has no answer after 15 s.
pub(crate) const STORE_WITHIN: Duration = Duration::from_secs(10);

/// Exotel says how far a call is: form, JSON or query string, `secret` and `reference` in the URL.
#[utoipa::path(
    post, path = "/webhooks/exotel/call-status", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET"), ("reference" = Option<String>, Query, description = "our name for the call; `ref` for short")),
    responses((status = OK, description = "stored"), (status = FORBIDDEN, body = Problem), (status = BAD_REQUEST, body = Problem))
)]
pub async fn post_call_status(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    call_status(app, request).await
}

/// The same, from flows that send GET.
#[utoipa::path(
    get, path = "/webhooks/exotel/call-status", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET"), ("reference" = Option<String>, Query, description = "our name for the call; `ref` for short")),
    responses((status = OK, description = "stored"), (status = FORBIDDEN, body = Problem), (status = BAD_REQUEST, body = Problem))
)]
pub async fn get_call_status(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    call_status(app, request).await
}

async fn call_status(app: App, request: Request) -> Result<StatusCode, ApiError> {
    let webhook = read(&app, request, Source::StatusCallback).await?;
    if webhook.fields.is_empty() {
        return Err(ApiError::refused(StatusCode::BAD_REQUEST, "empty_webhook", "the callback says nothing"));
    }
    store_and_apply(&app, Carrier::Exotel, &webhook, "status_callback").await?;
    Ok(StatusCode::OK)
}

/// Stores a webhook, and applies it unless it was heard before. `name` is its own in metrics.
pub(crate) async fn store_and_apply(
    app: &App,
    carrier: Carrier,
    webhook: &Webhook,
    name: &'static str,
) -> Result<(), ApiError> {
    match tokio::time::timeout(STORE_WITHIN, webhook.store(&app.db, carrier, app.clock.now())).await {
        Ok(Ok(Some(id))) => apply(app, id).await,
        Ok(Ok(None)) => metrics::counter!("webhooks_repeated_total", "source" => name).increment(1),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(ApiError::DatabaseUnavailable(sqlx::Error::PoolTimedOut)),
    }
    Ok(())
}

/// Applies a webhook that is stored. Whatever goes wrong, the carrier has done its part: sweep applies it later.
pub(crate) async fn apply(app: &App, id: CallEventId) {
    let outcome = async {
        let mut tx = app.db.begin().await?;
        let applied = carrier_event::apply(&mut tx, id).await?;
        tx.commit().await?;
        Ok::<_, sqlx::Error>(applied)
    };
    match tokio::time::timeout(STORE_WITHIN, outcome).await {
        Ok(Ok(Applied::To(call_id))) => tracing::info!(event_id = %id, %call_id, "webhook applied"),
        Ok(Ok(Applied::UnknownCall)) => tracing::warn!(event_id = %id, "the webhook names no call that we know"),
        Ok(Ok(Applied::Conflict(_) | Applied::Taken)) => {}
        Ok(Err(error)) => {
            tracing::error!(event_id = %id, %error, "the webhook is stored, but could not be applied yet")
        }
        Err(_) => tracing::error!(event_id = %id, "the webhook is stored, but applying it took too long"),
    }
}

pub(crate) async fn read(app: &App, request: Request, source: Source) -> Result<Webhook, ApiError> {
    let (reference, fields) = genuine_fields(app, request).await?;
    Ok(Webhook { source, reference, fields })
}

/// Our own name for the call (`reference` in the URL) and the webhook's fields, from wherever they are: the body wins over the query
/// string. Neither secret nor reference is among them.
pub async fn genuine_fields(
    app: &AppState,
    request: Request,
) -> Result<(Option<String>, BTreeMap<String, String>), ApiError> {
    let query = request.uri().query().unwrap_or_default();
    let mut fields: BTreeMap<String, String> = form(query.as_bytes());
    let secret = fields.remove("secret").unwrap_or_default();
    // Hides how much of it was right; its length is no secret.
    let genuine: bool = secret.as_bytes().ct_eq(app.callback_secret.expose_secret().as_bytes()).into();
    if !genuine {
        metrics::counter!("webhooks_refused_total").increment(1);
        return Err(ApiError::refused(StatusCode::FORBIDDEN, "wrong_secret", "this callback URL was not made here"));
    }
    let reference =
        fields.remove("reference").or_else(|| fields.remove("ref")).filter(|reference| !reference.is_empty());
    fields.extend(body(request).await?);
    if fields.len() > MAX_FIELDS {
        return Err(ApiError::refused(StatusCode::BAD_REQUEST, "too_many_fields", "the callback has too many fields"));
    }
    Ok((reference, fields))
}

async fn body(request: Request) -> Result<BTreeMap<String, String>, ApiError> {
    let malformed = |detail: &str| ApiError::refused(StatusCode::BAD_REQUEST, "malformed_webhook", detail.to_owned());
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "multipart/form-data" {
        let mut form =
            Multipart::from_request(request, &()).await.map_err(|_broken| malformed("the form has no boundary"))?;
        let mut fields = BTreeMap::new();
        while let Some(field) = form.next_field().await.map_err(|_broken| malformed("the form is broken off"))? {
            let Some(name) = field.name().map(str::to_owned) else { continue };
            let text = field.text().await.map_err(|_broken| malformed("the form is broken off"))?;
            if fields.len() >= MAX_FIELDS {
                return Err(malformed("the callback has too many fields"));
            }
            fields.insert(name, text.replace('\0', ""));
        }
        return Ok(fields);
    }
    let bytes = Bytes::from_request(request, &()).await.map_err(|_broken| malformed("the body could not be read"))?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(BTreeMap::new());
    }
    if kind == "application/json" || bytes.starts_with(b"{") {
        let value =
            serde_json::from_slice(&bytes).map_err(|error| malformed(&format!("the body is not JSON: {error}")))?;
        return match value {
            serde_json::Value::Object(_) => Ok(flatten(&value)),
            _ => Err(malformed("the body is not a JSON object")),
        };
    }
    Ok(form(&bytes))
}

fn form(encoded: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(encoded)
        .take(MAX_FIELDS + 2)
        .map(|(name, value)| (name.into_owned(), value.replace('\0', "")))
        .collect()
}

/// The limit of a webhook's body.
#[must_use]
pub const fn body_limit() -> usize {
    MAX_BODY_BYTES
}
