//! What the advisor hears, alone, before a call is put through to them: who it is, and what they have said.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use shared::call::Carrier;
use shared::carrier_event::Source;
use shared::transfer::{self, Dialed, Whisper};
use tokio::time::timeout;

use super::genuine;
use super::twiml::{Speech, Twiml, Verb};
use super::voice::published;
use crate::error::{ApiError, Problem};
use crate::introduction::to_advisor;
use crate::state::{App, AppState};

/// The human waits on the other line.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);

/// Twilio asks what to say to the advisor who picked up, before it connects them.
#[utoipa::path(
    post, path = "/webhooks/twilio/whisper", tag = "webhooks", security(()),
    params(("reference" = Option<String>, Query, description = "our name for the call")),
    responses((status = OK, description = "TwiML"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_whisper(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let webhook = genuine(&app, request, Source::Voice).await?;
    let known = timeout(ANSWER_WITHIN, picked_up(&app, webhook.reference.as_deref())).await;
    let text = match known {
        Ok(Ok(Some(whisper))) => to_advisor(&whisper),
        // Connected without a word rather than not at all.
        Ok(Ok(None)) | Err(_) => return Ok(Twiml::of(&[]).into_response()),
        Ok(Err(error)) => {
            tracing::error!(%error, "nobody can say what the advisor should know");
            return Ok(Twiml::of(&[]).into_response());
        }
    };
    Ok(Twiml::of(&[Verb::Say(Speech { text: &text, language: "en-IN" })]).into_response())
}

/// An advisor has picked up: from here on the call is transferred. Should this not be stored in time, the end of their talk tells it
/// again ([`super::dialed`]).
async fn picked_up(app: &AppState, reference: Option<&str>) -> sqlx::Result<Option<Whisper>> {
    let mut tx = app.db.begin().await?;
    transfer::dialed(&mut tx, Carrier::Twilio, reference, None, &Dialed::Answered, app.clock.now()).await?;
    let whisper = transfer::whisper(&mut *tx, Carrier::Twilio, reference, None).await?;
    tx.commit().await?;
    Ok(whisper)
}

/// This webhook's own address.
pub(super) fn address(app: &AppState, reference: &str) -> String {
    published::<u8>(app, "whisper", reference, &[])
}
