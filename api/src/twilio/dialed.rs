//! What came of ringing an advisor, and the last words where nothing did.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use shared::call::Carrier;
use shared::carrier_event::{self, Source};
use shared::language::{self, Language};
use shared::transfer::{self, Dialed};
use tokio::time::timeout;

use super::genuine;
use super::twiml::{Speech, Twiml, Verb};
use super::voice::published;
use crate::error::{ApiError, Problem};
use crate::resuming::keep;
use crate::state::{App, AppState};

/// The human waits on the other line.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);

const NOBODY: Speech<'_> = Speech {
    text: "I am sorry, nobody could take the call just now. We will call you back. Goodbye.",
    language: "en-IN",
};
const NOBODY_IN_HINDI: Speech<'_> = Speech {
    text: "माफ़ कीजिए, अभी कोई बात नहीं कर पा रहा है। हम आपको वापस कॉल करेंगे। नमस्ते।",
    language: "hi-IN",
};
const BROKEN: Speech<'_> = Speech { text: "I am sorry, something went wrong on our side. Goodbye.", language: "en-IN" };

/// Twilio says whether one of the promised humans was reached (`DialCallStatus`), and asks what the call does next, in TwiML.
#[utoipa::path(
    post, path = "/webhooks/twilio/dialed", tag = "webhooks", security(()),
    params(("reference" = Option<String>, Query, description = "our name for the call")),
    responses((status = OK, description = "TwiML: they talked, or a word of regret"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_dialed(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let webhook = genuine(&app, request, Source::Dial).await?;
    let dialed = carrier_event::parse_twilio(&webhook).dialed;
    let reference = webhook.reference.clone().unwrap_or_default();
    keep(&app, Carrier::Twilio, webhook, "dial");
    let unanswered = matches!(dialed, Some(Dialed::Unanswered { .. }));
    metrics::counter!("transfers_total", "answer" => if unanswered { "unanswered" } else { "over" }).increment(1);
    if !unanswered {
        return Ok(Twiml::of(&[Verb::Hangup]).into_response());
    }
    let spoken = match timeout(ANSWER_WITHIN, transfer::language(&app.db, &reference)).await {
        Ok(Ok(spoken)) => spoken,
        Ok(Err(error)) => {
            tracing::error!(%error, "nobody can say what language a call is in");
            None
        }
        Err(_elapsed) => None,
    };
    Ok(Twiml::of(&[Verb::Say(regret(spoken.as_deref())), Verb::Hangup]).into_response())
}

/// Twilio could not get, or perform, what a call does next. It ends with a word rather than with Twilio's own.
#[utoipa::path(
    post, path = "/webhooks/twilio/fallback", tag = "webhooks", security(()),
    params(("reference" = Option<String>, Query, description = "our name for the call")),
    responses((status = OK, description = "TwiML"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_fallback(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let webhook = genuine(&app, request, Source::Voice).await?;
    let code = webhook.fields.get("ErrorCode").map_or("none", String::as_str);
    tracing::error!(code, "Twilio could not go on with a call");
    metrics::counter!("twilio_fallbacks_total").increment(1);
    // Nothing is asked of the database: it may be why we are here.
    keep(&app, Carrier::Twilio, webhook, "fallback");
    Ok(Twiml::of(&[Verb::Say(BROKEN), Verb::Hangup]).into_response())
}

/// This webhook's own address.
pub(super) fn address(app: &AppState, reference: &str) -> String {
    published::<u8>(app, "dialed", reference, &[])
}

/// Whoever is talked to in another language of India has heard English words all along.
fn regret(spoken: Option<&str>) -> Speech<'static> {
    let hindi = spoken.is_some_and(|tag| Language::parse(tag) == Some(Language::Hindi) && !language::is_mixed(tag));
    if hindi { NOBODY_IN_HINDI } else { NOBODY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regret_is_said_in_the_language_of_the_call() {
        assert_eq!(regret(Some("hi-IN")).language, "hi-IN");
        for other in [Some("en-IN"), Some("ta-IN"), Some("hi-en"), None] {
            assert_eq!(regret(other).language, "en-IN", "{other:?}");
        }
    }
}
