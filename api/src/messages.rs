//! Text messages that people send to our number: stored as they came, and STOP acted on at once.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use shared::call::Carrier;
use shared::id::MessageId;
use shared::message::{self, Applied};
use shared::outgoing_message;

use crate::error::{ApiError, Problem};
use crate::state::{App, AppState};
use crate::webhooks;

/// Long before the carrier repeats a callback that has no answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Between looking for a message that is told of and looking again: our own commit takes milliseconds, the carrier waits for seconds.
const LOOK_AGAIN_AFTER_MS: [u64; 4] = [100, 200, 400, 800];

/// Exotel hands over a text message (`SmsSid`, `From`, `To`, `Body`, `Date`). STOP and its like, in the languages of India too,
/// put the number on the do-not-call list; START takes back what was only texted.
#[utoipa::path(
    post, path = "/webhooks/exotel/sms", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET")),
    responses((status = OK, description = "stored"), (status = FORBIDDEN, body = Problem), (status = BAD_REQUEST, body = Problem))
)]
pub async fn post_sms(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    sms(app, request).await
}

/// The same, from flows that send GET.
#[utoipa::path(
    get, path = "/webhooks/exotel/sms", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET")),
    responses((status = OK, description = "stored"), (status = FORBIDDEN, body = Problem), (status = BAD_REQUEST, body = Problem))
)]
pub async fn get_sms(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    sms(app, request).await
}

async fn sms(app: App, request: Request) -> Result<StatusCode, ApiError> {
    let (_, fields) = webhooks::genuine_fields(&app, request).await?;
    heard(&app, Carrier::Exotel, &fields).await?;
    // Without a body: what stands in it would be texted back.
    Ok(StatusCode::OK)
}

/// Keeps a text message that a carrier hands over, and does what it asks for.
pub(crate) async fn heard(app: &AppState, carrier: Carrier, fields: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if fields.is_empty() {
        return Err(ApiError::refused(StatusCode::BAD_REQUEST, "empty_webhook", "the callback says nothing"));
    }
    match tokio::time::timeout(WITHIN, message::store(&app.db, carrier, fields, app.clock.now())).await {
        Ok(Ok(Some(id))) => apply(app, id).await,
        Ok(Ok(None)) => metrics::counter!("webhooks_repeated_total", "source" => "sms").increment(1),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(ApiError::DatabaseUnavailable(sqlx::Error::PoolTimedOut)),
    }
    Ok(())
}

/// What cannot be applied now is stored, and sweep will do it.
async fn apply(app: &AppState, id: MessageId) {
    let work = async {
        let mut tx = app.db.begin().await?;
        let applied = message::apply(&mut tx, id).await?;
        tx.commit().await?;
        Ok::<_, sqlx::Error>(applied)
    };
    match tokio::time::timeout(WITHIN, work).await {
        Ok(Ok(applied)) => {
            let (kind, accounts) = match &applied {
                Applied::Stopped(accounts) => ("stop", accounts.len()),
                Applied::Started(accounts) => ("start", accounts.len()),
                Applied::Nothing | Applied::Taken => ("other", 0),
            };
            metrics::counter!("messages_received_total", "kind" => kind).increment(1);
            tracing::info!(message_id = %id, kind, accounts, "a text message was received");
        }
        Ok(Err(error)) => {
            tracing::error!(message_id = %id, %error, "the message is stored, but could not be applied yet");
        }
        Err(_) => tracing::error!(message_id = %id, "the message is stored, but applying it took too long"),
    }
}

/// Exotel tells what became of a text message of ours (`SmsSid`, `Status`, `DetailedStatus`).
#[utoipa::path(
    post, path = "/webhooks/exotel/sms-status", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET")),
    responses((status = OK, description = "noted"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_sms_status(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    let (_, fields) = webhooks::genuine_fields(&app, request).await?;
    let field = |name: &str| fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let failed = field("Status").is_some_and(|status| matches!(status, "failed" | "failed-dnd"));
    let arrived = field("Status") == Some("sent");
    let failure = failed.then(|| field("DetailedStatus").unwrap_or("failed"));
    if let (Some(sid), true) = (field("SmsSid"), failed || arrived) {
        told(&app, Carrier::Exotel, sid, failure).await?;
    }
    Ok(StatusCode::OK)
}

/// Notes what became of a text message. The carrier can tell of it before we have written down that the carrier has it: while one is
/// being sent, a name that nobody knows is looked for again.
pub(crate) async fn told(app: &AppState, carrier: Carrier, sid: &str, failure: Option<&str>) -> Result<(), ApiError> {
    for pause in LOOK_AGAIN_AFTER_MS.into_iter().map(Some).chain([None]) {
        let mut tx = app.db.begin().await?;
        let noted = outgoing_message::arrived(&mut tx, carrier, sid, failure, app.clock.now()).await?;
        let may_come = !noted && outgoing_message::is_being_sent(&mut *tx, carrier).await?;
        tx.commit().await?;
        match pause.filter(|_| may_come) {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => break,
        }
    }
    Ok(())
}
