//! A flow asks whom to connect, after the voice agent has promised a human (Exotel's Connect applet with a dynamic URL).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::Serialize;
use shared::call::Carrier;
use shared::carrier_event::{self, Source};
use shared::recording;
use shared::transfer::{self, Dialed};
use tokio::time::timeout;
use url::Url;
use utoipa::ToSchema;

use crate::error::{ApiError, Problem};
use crate::introduction::to_both;
use crate::resuming::keep;
use crate::state::{App, AppState};
use crate::webhooks::read;

/// The carrier waits about five seconds, and a human listens to silence.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);
/// As long as an advisor's phone may ring.
const MAX_RINGING_SECS: u32 = 45;

/// What the Connect applet understands (Exotel support 3000096873).
#[derive(Debug, Serialize, ToSchema)]
pub struct Connection {
    /// Numbers are tried once.
    fetch_after_attempt: bool,
    destination: Destination,
    /// The number that the advisor sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    outgoing_phone_number: Option<String>,
    record: bool,
    recording_channels: &'static str,
    max_ringing_duration: u32,
    max_conversation_duration: u64,
    music_on_hold: BTreeMap<&'static str, &'static str>,
    /// Said when an advisor has picked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_call_playback: Option<Playback>,
    /// Told of every phone that rings, and whether it is picked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    dial_passthru_event_url: Option<String>,
}

/// Exotel plays to both sides here: what is said must be fit for both.
#[derive(Debug, Serialize, ToSchema)]
struct Playback {
    playback_to: &'static str,
    r#type: &'static str,
    value: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct Destination {
    /// Empty: nobody was promised, and the flow goes its other way.
    numbers: Vec<String>,
}

/// A flow asks whom to connect the human with.
#[utoipa::path(
    get, path = "/connect-handler", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET")),
    responses((status = OK, body = Connection), (status = FORBIDDEN, body = Problem))
)]
pub async fn get_connection(State(app): State<App>, request: Request) -> Result<Json<Connection>, ApiError> {
    let webhook = read(&app, request, Source::Passthru).await?;
    let event = carrier_event::parse_exotel(&webhook);
    let names = (event.reference.as_deref(), event.carrier_call_id.as_deref());
    let Found { numbers, introduction, record } =
        timeout(ANSWER_WITHIN, find(&app, names)).await.unwrap_or_else(|_elapsed| {
            tracing::error!("a flow could not be told in time whom to connect");
            Ok(Found::default())
        })?;
    let somebody = !numbers.is_empty();
    metrics::counter!("transfers_total", "answer" => if somebody { "somebody" } else { "nobody" }).increment(1);
    Ok(Json(Connection {
        fetch_after_attempt: false,
        destination: Destination { numbers: numbers.iter().map(|number| as_dialed(number)).collect() },
        outgoing_phone_number: webhook.fields.get("CallTo").filter(|number| !number.is_empty()).cloned(),
        record,
        recording_channels: "dual",
        max_ringing_duration: MAX_RINGING_SECS,
        max_conversation_duration: transfer::MAX_CONVERSATION.as_secs(),
        music_on_hold: BTreeMap::from([("type", "operator_tone")]),
        start_call_playback: introduction.map(|value| Playback { playback_to: "both", r#type: "text", value }),
        dial_passthru_event_url: somebody.then(|| dial_events(&app, event.reference.as_deref())),
    }))
}

/// Where the applet tells what comes of ringing them.
fn dial_events(app: &AppState, reference: Option<&str>) -> String {
    let text = format!("{}/dial-handler", app.base_url);
    // A base URL that is none has been refused at the start.
    let Ok(mut url) = Url::parse(&text) else { return text };
    url.query_pairs_mut().append_pair("secret", app.callback_secret.expose_secret());
    if let Some(reference) = reference {
        url.query_pairs_mut().append_pair("reference", reference);
    }
    url.into()
}

/// The Connect applet tells of an advisor's phone, or a Passthru applet behind it how it ended (`DialCallStatus`) and asks which way to
/// go on: 200 if they talked, 302 if nobody could be reached and the flow has a word of regret to say.
#[utoipa::path(
    get, path = "/dial-handler", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET"), ("reference" = Option<String>, Query, description = "our name for the call")),
    responses(
        (status = OK, description = "noted; an advisor was reached, or it is not over"),
        (status = FOUND, description = "nobody was reached"), (status = FORBIDDEN, body = Problem),
    )
)]
pub async fn get_dialed(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    dialed(app, request).await
}

/// The same, from flows that send POST.
#[utoipa::path(
    post, path = "/dial-handler", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET"), ("reference" = Option<String>, Query, description = "our name for the call")),
    responses(
        (status = OK, description = "noted; an advisor was reached, or it is not over"),
        (status = FOUND, description = "nobody was reached"), (status = FORBIDDEN, body = Problem),
    )
)]
pub async fn post_dialed(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    dialed(app, request).await
}

async fn dialed(app: App, request: Request) -> Result<Response, ApiError> {
    let webhook = read(&app, request, Source::Dial).await?;
    let said = carrier_event::parse_exotel(&webhook).dialed;
    keep(&app, Carrier::Exotel, webhook, "dial");
    let nobody = matches!(said, Some(Dialed::Unanswered { is_last: true, .. }));
    if nobody {
        metrics::counter!("transfers_total", "answer" => "unanswered").increment(1);
    }
    let status = if nobody { StatusCode::FOUND } else { StatusCode::OK };
    Ok((status, [(header::CONTENT_TYPE, "text/plain")], "").into_response())
}

/// Indian numbers as the applet's own examples have them, with a zero before the national number.
fn as_dialed(number: &str) -> String {
    number.strip_prefix("+91").map_or_else(|| number.to_owned(), |national| format!("0{national}"))
}

/// Whom to ring, what to say when they have picked up, and whether that conversation is recorded as the call is.
#[derive(Default)]
struct Found {
    numbers: Vec<String>,
    introduction: Option<String>,
    record: bool,
}

async fn find(app: &App, (reference, carrier_call_id): (Option<&str>, Option<&str>)) -> Result<Found, ApiError> {
    let mut tx = app.db.begin().await?;
    let numbers = transfer::destination(&mut tx, Carrier::Exotel, reference, carrier_call_id, app.clock.now()).await?;
    let whisper = match numbers.is_empty() {
        true => None,
        false => transfer::whisper(&mut *tx, Carrier::Exotel, reference, carrier_call_id).await?,
    };
    let record = recording::is_wanted(&mut *tx, Carrier::Exotel, reference, carrier_call_id).await?;
    tx.commit().await?;
    Ok(Found { numbers, introduction: whisper.as_ref().map(to_both), record })
}
