//! A flow asks whom to connect, after the voice agent has promised a human (Exotel's Connect applet with a dynamic URL).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use shared::call::Carrier;
use shared::carrier_event::{self, Source};
use shared::{recording, transfer};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::error::{ApiError, Problem};
use crate::state::App;
use crate::webhooks::read;

/// The carrier waits about five seconds, and a human listens to silence.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);
/// As long as an advisor's phone may ring, and a conversation with them last.
const MAX_RINGING_SECS: u32 = 45;
const MAX_CONVERSATION_SECS: u32 = 3_600;

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
    max_conversation_duration: u32,
    music_on_hold: BTreeMap<&'static str, &'static str>,
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
    let (numbers, record) = timeout(ANSWER_WITHIN, find(&app, names)).await.unwrap_or_else(|_elapsed| {
        tracing::error!("a flow could not be told in time whom to connect");
        Ok((Vec::new(), false))
    })?;
    metrics::counter!("transfers_total", "answer" => if numbers.is_empty() { "nobody" } else { "somebody" })
        .increment(1);
    Ok(Json(Connection {
        fetch_after_attempt: false,
        destination: Destination { numbers: numbers.iter().map(|number| as_dialed(number)).collect() },
        outgoing_phone_number: webhook.fields.get("CallTo").filter(|number| !number.is_empty()).cloned(),
        record,
        recording_channels: "dual",
        max_ringing_duration: MAX_RINGING_SECS,
        max_conversation_duration: MAX_CONVERSATION_SECS,
        music_on_hold: BTreeMap::from([("type", "operator_tone")]),
    }))
}

/// Indian numbers as the applet's own examples have them, with a zero before the national number.
fn as_dialed(number: &str) -> String {
    number.strip_prefix("+91").map_or_else(|| number.to_owned(), |national| format!("0{national}"))
}

/// The numbers, and whether that conversation is recorded as the call is.
async fn find(
    app: &App,
    (reference, carrier_call_id): (Option<&str>, Option<&str>),
) -> Result<(Vec<String>, bool), ApiError> {
    let mut tx = app.db.begin().await?;
    let numbers = transfer::destination(&mut tx, Carrier::Exotel, reference, carrier_call_id, app.clock.now()).await?;
    let record = recording::is_wanted(&mut *tx, Carrier::Exotel, reference, carrier_call_id).await?;
    tx.commit().await?;
    Ok((numbers, record))
}
