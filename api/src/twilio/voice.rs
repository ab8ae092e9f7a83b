//! Twilio asks what a call does: when it is answered, and again when its stream is over.
//!
//! A call is connected to our `media`, and behind that stands one more question to us. So a stream that broke off is answered
//! with the next stream, and a conversation that is over with the end of the call; [`shared::resumption`] tells them apart.
//! Where the call's voice agent is one that gathers speech, [`gathered`] answers instead.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use shared::call::Carrier;
use shared::carrier_event::{self, Source, Webhook};
use shared::resumption::{MAX_SENT_BACK, StreamEnd, StreamReport};
use shared::transfer;
use tokio::time::{Instant, timeout};
use url::Url;

use super::gathered::Answer;
use super::twiml::{Twiml, Verb};
use super::{dialed, gathered, genuine, whisper};
use crate::error::{ApiError, Problem};
use crate::resuming::{goes_back, keep};
use crate::state::{App, AppState};

/// A human listens to silence meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);
/// As long as one advisor's phone may ring before the next one does: up to five may stand in the list, and a human waits.
const MAX_RINGING_SECS: u32 = 25;
/// How often one call was connected before; in the address that we gave Twilio, and so under its signature.
const ROUND: &str = "round";

/// Twilio asks what a call does next, in TwiML.
#[utoipa::path(
    post, path = "/webhooks/twilio/voice", tag = "webhooks", security(()),
    params(("reference" = Option<String>, Query, description = "our name for the call"),
        ("round" = Option<i32>, Query, description = "streams that the call has had; absent in the first question")),
    responses((status = OK, description = "TwiML"), (status = FORBIDDEN, body = Problem))
)]
pub async fn post_voice(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let asked_at = Instant::now();
    let webhook = genuine(&app, request, Source::Voice).await?;
    keep(&app, Carrier::Twilio, webhook.clone(), "voice");
    Ok(answer(&app, &webhook, asked_at).await.into_response())
}

async fn answer(app: &App, webhook: &Webhook, asked_at: Instant) -> Twiml {
    let Some(reference) = webhook.reference.as_deref() else {
        tracing::warn!("Twilio asks about a call that we did not place");
        return Twiml::of(&[Verb::Hangup]);
    };
    match gathered::answer(app, webhook, reference, asked_at).await {
        Answer::Say(document) => return document,
        Answer::Leave => return leave(app, webhook, reference).await,
        Answer::Elsewhere => {}
    }
    let round = webhook.fields.get(ROUND).map_or(Some(0), |round| round.parse().ok()).unwrap_or(MAX_SENT_BACK);
    if round > 0 && !goes_on(app, webhook, round, asked_at).await {
        return leave(app, webhook, reference).await;
    }
    connect(app, reference, round)
}

/// Whether the conversation that the last stream held goes on with another one.
async fn goes_on(app: &App, webhook: &Webhook, round: i32, asked_at: Instant) -> bool {
    let event = carrier_event::parse_twilio(webhook);
    let names = (event.reference.as_deref(), event.carrier_call_id.as_deref());
    let report = StreamReport { stream_sid: None, end: StreamEnd::Over };
    // Counted by the address as well: a database that is away counts nothing.
    goes_back(app, Carrier::Twilio, &report, names, asked_at).await && round < MAX_SENT_BACK
}

/// The conversation is over: on to the human that its agent promised, if it did.
async fn leave(app: &App, webhook: &Webhook, reference: &str) -> Twiml {
    let call_sid = webhook.fields.get("CallSid").map(String::as_str);
    let promised = async {
        let mut tx = app.db.begin().await?;
        let numbers =
            transfer::destination(&mut tx, Carrier::Twilio, Some(reference), call_sid, app.clock.now()).await?;
        tx.commit().await?;
        Ok::<_, sqlx::Error>(numbers)
    };
    let numbers = match timeout(ANSWER_WITHIN, promised).await {
        Ok(Ok(numbers)) => numbers,
        Ok(Err(error)) => {
            tracing::error!(%error, "nobody can say whom to connect");
            Vec::new()
        }
        Err(_elapsed) => Vec::new(),
    };
    if numbers.is_empty() {
        return Twiml::of(&[Verb::Hangup]);
    }
    metrics::counter!("transfers_total", "answer" => "somebody").increment(1);
    Twiml::of(&[Verb::Dial {
        numbers: &numbers,
        whisper: &whisper::address(app, reference),
        action: &dialed::address(app, reference),
        // The advisor sees our number, which Twilio lets us show.
        caller_id: webhook.fields.get("From").map_or("", String::as_str),
        ring_secs: MAX_RINGING_SECS,
        talk_secs: transfer::MAX_CONVERSATION.as_secs(),
    }])
}

fn connect(app: &AppState, reference: &str, round: i32) -> Twiml {
    let Some(url) = app.twilio.as_ref().and_then(|account| account.stream_url.as_ref()) else {
        tracing::error!("a call is answered, and TWILIO_STREAM_URL says nowhere to connect it");
        return Twiml::of(&[Verb::Hangup]);
    };
    let next = address(app, reference, &[(ROUND, round + 1)]);
    Twiml::of(&[
        Verb::Stream { url: url.as_str(), parameters: vec![("reference", reference)] },
        Verb::Redirect(next.as_str()),
    ])
}

/// This webhook's own address, counting what it is asked about.
pub(super) fn address<N: ToString>(app: &AppState, reference: &str, counts: &[(&str, N)]) -> String {
    published(app, "voice", reference, counts)
}

/// Where Twilio finds one of our webhooks about a call, signed for this very address.
pub(super) fn published<N: ToString>(app: &AppState, webhook: &str, reference: &str, counts: &[(&str, N)]) -> String {
    let text = format!("{}/webhooks/twilio/{webhook}", app.base_url);
    // A base URL that is none has been refused at the start.
    let Ok(mut url) = Url::parse(&text) else { return text };
    let counts = counts.iter().map(|(name, count)| (*name, count.to_string()));
    url.query_pairs_mut().append_pair("reference", reference).extend_pairs(counts);
    url.into()
}
