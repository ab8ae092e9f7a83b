//! What the advisor hears, alone, before a call is put through to them: who it is, and what they have said.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use shared::carrier_event::Source;
use shared::transfer::{self, Whisper};
use tokio::time::timeout;

use super::genuine;
use super::twiml::{Speech, Twiml, Verb};
use super::voice::published;
use crate::error::{ApiError, Problem};
use crate::state::{App, AppState};

/// The human waits on the other line.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// Of the answers: an advisor listens, the human waits.
const MOST_ANSWERS: usize = 5;
const MOST_CHARS: usize = 60;

/// Twilio asks what to say to the advisor who picked up, before it connects them.
#[utoipa::path(
    post, path = "/webhooks/twilio/whisper", tag = "webhooks", security(()),
    params(("reference" = Option<String>, Query, description = "our name for the call")),
    responses((status = OK, description = "TwiML"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_whisper(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let webhook = genuine(&app, request, Source::Voice).await?;
    let reference = webhook.reference.as_deref().unwrap_or_default();
    let known = timeout(ANSWER_WITHIN, transfer::whisper(&app.db, reference)).await;
    let text = match known {
        Ok(Ok(Some(whisper))) => text(&whisper),
        // Connected without a word rather than not at all.
        Ok(Ok(None)) | Err(_) => return Ok(Twiml::of(&[]).into_response()),
        Ok(Err(error)) => {
            tracing::error!(%error, "nobody can say what the advisor should know");
            return Ok(Twiml::of(&[]).into_response());
        }
    };
    Ok(Twiml::of(&[Verb::Say(Speech { text: &text, language: "en-IN" })]).into_response())
}

/// This webhook's own address.
pub(super) fn address(app: &AppState, reference: &str) -> String {
    published::<u8>(app, "whisper", reference, &[])
}

/// "Ravi Kumar, for the property team. Budget: around eighty lakh. Location: Whitefield."
fn text(whisper: &Whisper) -> String {
    let short = |text: &str| text.chars().take(MOST_CHARS).collect::<String>();
    let name = whisper.name.as_deref().map_or_else(|| "Somebody".to_owned(), short);
    let mut text =
        format!("{name}, from your campaign {}.", short(whisper.campaign.as_deref().unwrap_or("without a name")));
    for (field, value) in whisper.answers.iter().take(MOST_ANSWERS) {
        let Some(value) = value.as_str().map(short).filter(|value| !value.trim().is_empty()) else { continue };
        let mut field: Vec<char> = field.replace('_', " ").chars().collect();
        if let Some(first) = field.first_mut() {
            *first = first.to_ascii_uppercase();
        }
        let field: String = field.into_iter().collect();
        text.push_str(&format!(" {}: {}.", short(&field), value.trim().trim_end_matches('.')));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_advisor_hears_who_it_is_and_what_they_said_and_no_more_than_fits() {
        let mut whisper = Whisper {
            name: Some("Ravi".into()),
            campaign: Some("Whitefield".into()),
            answers: json!({"budget": "Around eighty lakh.", "property_type": "2 BHK"}).as_object().unwrap().clone(),
        };
        assert_eq!(
            text(&whisper),
            "Ravi, from your campaign Whitefield. Budget: Around eighty lakh. Property type: 2 BHK."
        );
        whisper.name = None;
        whisper.answers = (0..50).map(|n| (format!("f{n}"), json!("x".repeat(500)))).collect();
        assert!(text(&whisper).len() < 500, "{}", text(&whisper));
        assert!(text(&whisper).starts_with("Somebody, from"));
    }
}
