//! A stream is over, and its carrier asks: does the call go back to its voice agent, or on?
//!
//! The way is decided by [`shared::resumption`]. Whatever happens it is answered in time: a human is listening to silence.

use std::time::Duration;

use shared::call::Carrier;
use shared::carrier_event::Webhook;
use shared::resumption::{self, StreamEnd, StreamReport, Verdict};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::state::App;
use crate::webhooks::{STORE_WITHIN, apply};

/// Past 2 to 3 s a flow of Exotel's goes astray.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// `media` stores why a stream ended before it closes the socket; the carrier's question can hardly come sooner.
const REASON_WITHIN: Duration = Duration::from_millis(700);
/// Between two looks at the database.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A stream that never opened is not tried again sooner: a `media` process that restarts needs a moment, and the bound on
/// tries should not be used up before it is there.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(1_200);

/// Whether the call goes back to its voice agent. `names`: our own name for it, and the carrier's.
pub(crate) async fn goes_back(
    app: &App,
    carrier: Carrier,
    report: &StreamReport,
    names: (Option<&str>, Option<&str>),
    asked_at: Instant,
) -> bool {
    let verdict =
        timeout(ANSWER_WITHIN, decide(app, carrier, report, names, asked_at)).await.unwrap_or_else(|_elapsed| {
            tracing::warn!("a flow was told its way without the database");
            resumption::weigh_alone(report)
        });
    let (back, because) = match verdict {
        Verdict::Back(because) => (true, because),
        Verdict::On(because) => (false, because),
        // Nobody said that the conversation is over, and whoever could have is gone.
        Verdict::NotYet => (true, "media_silent"),
    };
    let answer = if back { "back" } else { "on" };
    metrics::counter!("flow_answers_total", "answer" => answer, "because" => because).increment(1);
    if back && (because == resumption::NEVER_BEGAN || report.end == StreamEnd::NeverOpened) {
        sleep_until(asked_at + TRY_AGAIN_AFTER).await;
    }
    back
}

/// Looks until the database has answered and `media` has had time for its word. Never ends by itself while the database is away.
async fn decide(
    app: &App,
    carrier: Carrier,
    report: &StreamReport,
    (reference, carrier_call_id): (Option<&str>, Option<&str>),
    asked_at: Instant,
) -> Verdict {
    // It needs no look: the answer means nothing to somebody who has hung up.
    if report.end == StreamEnd::CalleeLeft {
        return Verdict::On("callee_left");
    }
    loop {
        match look(app, carrier, report, reference, carrier_call_id, asked_at.elapsed() >= REASON_WITHIN).await {
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
    carrier: Carrier,
    report: &StreamReport,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
    last: bool,
) -> sqlx::Result<Verdict> {
    let Some(standing) = resumption::standing(&app.db, carrier, reference, carrier_call_id).await? else {
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

/// Stores what a carrier said, and applies it. In a task of its own: the answer must not wait for a slow database, and what was said must not be lost with it.
/// `name` is the webhook's in metrics.
pub(crate) fn keep(app: &App, carrier: Carrier, webhook: Webhook, name: &'static str) {
    let (worker, now) = (App::clone(app), app.clock.now());
    app.tasks.spawn(async move {
        let stored = timeout(STORE_WITHIN, async {
            loop {
                match webhook.store(&worker.db, carrier, now).await {
                    Ok(stored) => return stored,
                    Err(error) => tracing::debug!(%error, "a flow's question cannot be stored yet"),
                }
                sleep(LOOK_EVERY).await;
            }
        });
        match stored.await {
            Ok(Some(id)) => apply(&worker, id).await,
            Ok(None) => metrics::counter!("webhooks_repeated_total", "source" => name).increment(1),
            Err(_elapsed) => {
                metrics::counter!("webhooks_lost_total", "source" => name).increment(1);
                tracing::error!("a flow's question could not be stored in time");
            }
        }
    });
}
