//! A flow asks which way to go on, after each stream of its call: 200, back to the voice agent; 302, on.
//!
//! The way is decided by [`shared::resumption`]. Whatever happens it is answered in time: a human is listening to silence. What
//! the question says about the stream is kept, as a webhook is.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::call::Carrier;
use shared::carrier_event::{self, Source, Webhook};
use shared::resumption::{self, StreamEnd, StreamReport, Verdict};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::error::{ApiError, Problem};
use crate::state::App;
use crate::webhooks::{STORE_WITHIN, apply, read};

/// Past 2 to 3 s the flow goes astray.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// `media` stores why a stream ended before it closes the socket; the carrier's question can hardly come sooner.
const REASON_WITHIN: Duration = Duration::from_millis(700);
/// Between two looks at the database.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A stream that never opened is not tried again sooner: a `media` process that restarts needs a moment, and the bound on
/// tries should not be used up before it is there.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(1_200);

/// A flow asks whether the conversation goes on (200, back to the Voicebot applet) or is over (302).
#[utoipa::path(
    get, path = "/passthru-handler", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET")),
    responses(
        (status = OK, description = "the conversation was broken off: back to the voice agent"),
        (status = FOUND, description = "it is over: on"), (status = FORBIDDEN, body = Problem),
    )
)]
pub async fn get_passthru(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    passthru(app, request).await
}

/// The same, from flows that send POST.
#[utoipa::path(
    post, path = "/passthru-handler", tag = "webhooks", security(()),
    params(("secret" = String, Query, description = "CALLBACK_SECRET")),
    responses(
        (status = OK, description = "the conversation was broken off: back to the voice agent"),
        (status = FOUND, description = "it is over: on"), (status = FORBIDDEN, body = Problem),
    )
)]
pub async fn post_passthru(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    passthru(app, request).await
}

async fn passthru(app: App, request: Request) -> Result<Response, ApiError> {
    let asked_at = Instant::now();
    let webhook = read(&app, request, Source::Passthru).await?;
    let report = carrier_event::stream_report(&webhook);
    let event = carrier_event::parse_exotel(&webhook);
    keep(&app, webhook);

    let names = (event.reference.as_deref(), event.carrier_call_id.as_deref());
    let verdict = timeout(ANSWER_WITHIN, decide(&app, &report, names, asked_at)).await.unwrap_or_else(|_elapsed| {
        tracing::warn!("a flow was told its way without the database");
        resumption::weigh_alone(&report)
    });
    let (status, answer, because) = match verdict {
        Verdict::Back(because) => (StatusCode::OK, "back", because),
        Verdict::On(because) => (StatusCode::FOUND, "on", because),
        // Nobody said that the conversation is over, and whoever could have is gone.
        Verdict::NotYet => (StatusCode::OK, "back", "media_silent"),
    };
    metrics::counter!("flow_answers_total", "answer" => answer, "because" => because).increment(1);
    if answer == "back" && (because == resumption::NEVER_BEGAN || report.end == StreamEnd::NeverOpened) {
        sleep_until(asked_at + TRY_AGAIN_AFTER).await;
    }
    Ok((status, [(header::CONTENT_TYPE, "text/plain")], "").into_response())
}

/// Looks until the database has answered and `media` has had time for its word. Never ends by itself while the database is away.
async fn decide(
    app: &App,
    report: &StreamReport,
    (reference, carrier_call_id): (Option<&str>, Option<&str>),
    asked_at: Instant,
) -> Verdict {
    // It needs no look: the answer means nothing to somebody who has hung up.
    if report.end == StreamEnd::CalleeLeft {
        return Verdict::On("callee_left");
    }
    loop {
        match look(app, report, reference, carrier_call_id, asked_at.elapsed() >= REASON_WITHIN).await {
            Ok(Verdict::NotYet) => {}
            Ok(verdict) => return verdict,
            Err(error) => tracing::debug!(%error, "the call of a flow cannot be looked up yet"),
        }
        sleep(LOOK_EVERY).await;
    }
}

/// `last`: `media` has had its time.
async fn look(
    app: &App,
    report: &StreamReport,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
    last: bool,
) -> sqlx::Result<Verdict> {
    let Some(standing) = resumption::standing(&app.db, Carrier::Exotel, reference, carrier_call_id).await? else {
        return Ok(Verdict::On("unknown_call"));
    };
    let because = match resumption::weigh(report, &standing) {
        Verdict::Back(because) => because,
        Verdict::NotYet if last => "media_silent",
        verdict => return Ok(verdict),
    };
    let mut tx = app.db.begin().await?;
    let back = resumption::send_back(&mut tx, standing.call_id, because, app.clock.now()).await?;
    tx.commit().await?;
    if back {
        tracing::info!(call_id = %standing.call_id, because, "a broken conversation goes back to its agent");
    }
    Ok(if back { Verdict::Back(because) } else { Verdict::On("too_often") })
}

/// In a task of its own: the answer must not wait for a slow database, and what was said must not be lost with it.
fn keep(app: &App, webhook: Webhook) {
    let (worker, now) = (App::clone(app), app.clock.now());
    app.tasks.spawn(async move {
        let stored = timeout(STORE_WITHIN, async {
            loop {
                match webhook.store(&worker.db, Carrier::Exotel, now).await {
                    Ok(stored) => return stored,
                    Err(error) => tracing::debug!(%error, "a flow's question cannot be stored yet"),
                }
                sleep(LOOK_EVERY).await;
            }
        });
        match stored.await {
            Ok(Some(id)) => apply(&worker, id).await,
            Ok(None) => metrics::counter!("webhooks_repeated_total", "source" => "passthru").increment(1),
            Err(_elapsed) => {
                metrics::counter!("webhooks_lost_total", "source" => "passthru").increment(1);
                tracing::error!("a flow's question could not be stored in time");
            }
        }
    });
}
