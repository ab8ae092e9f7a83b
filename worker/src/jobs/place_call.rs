//! Dials a reserved call: every guard once more, commit, one request, and whatever came of it.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use shared::breaker::{self, AccountFailure};
use shared::call::{Call, CallStatus};
use shared::dial::{self, Begun, Order, Refusal};
use shared::id::CallId;
use shared::jobs::place_call::PlaceCall;
use shared::pace;
use sqlx::PgConnection;

use crate::carrier::{CarrierError, PlaceRequest, Placed, Rejection};
use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};

/// Tries while the carrier cannot even be reached; then the lead waits for a better moment.
const UNREACHABLE_TRIES: i32 = 5;
/// The lead's wait (domain time) after that.
const UNREACHABLE_PAUSE: TimeDelta = TimeDelta::minutes(10);
/// A carrier that asks for patience without saying how much gets so much.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_PATIENCE: Duration = Duration::from_secs(120);
/// A request leaves so soon after its guards were read, or it does not leave: a slow database must not make them stale.
pub const GUARDS_FRESH_FOR: Duration = Duration::from_secs(2);
/// The first question about a call in doubt.
const ASK_IN: Duration = Duration::from_secs(3);

/// # Errors
/// Retries only what provably placed nothing.
pub async fn run(job: PlaceCall, job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let id = job.call_id;
    let mut tx = ctx.db.begin().await.retry()?;
    let guards_read = tokio::time::Instant::now();
    let settings = &ctx.settings;
    let begun = dial::begin(&mut tx, id, ctx.clock.now(), &settings.limits, settings.answer_within).await.retry()?;
    match begun {
        Begun::Dial(order) => {
            tx.commit().await.retry()?;
            if guards_read.elapsed() > GUARDS_FRESH_FOR {
                hand_back(&order, "the guards went stale", Duration::ZERO, &ctx).await?;
                return Err(JobError::snooze(
                    Duration::from_millis(100),
                    "the guards went stale before the request left",
                ));
            }
            dial_it(&order, &job_context, &ctx).await
        }
        Begun::TooFast(wait) => Err(JobError::snooze(wait, "the pace")),
        Begun::Refused(refusal) => {
            dial::withdraw(&mut tx, id, refusal, ctx.clock.now(), None).await.retry()?;
            tx.commit().await.retry()?;
            count("withdrawn");
            tracing::info!(call_id = %id, reason = refusal.as_str(), "a reserved call is withdrawn");
            Ok(())
        }
        // An earlier run sent the request and never wrote what came of it.
        Begun::NotQueued(Some(CallStatus::Dialing)) => {
            dial::in_doubt(&mut tx, id, "an earlier run ended half-way", ctx.clock.now(), ASK_IN).await.retry()?;
            tx.commit().await.retry()
        }
        Begun::NotQueued(_) => Ok(()),
    }
}

async fn dial_it(order: &Order, job_context: &JobContext, ctx: &Context) -> Result<(), JobError> {
    let id = order.call_id;
    if !job_context.lease.still_mine() || job_context.is_cancelled() {
        // Nothing has been sent, and only this run knows it.
        return hand_back(order, "the job's lease was lost", PATIENCE, ctx).await;
    }
    let request = PlaceRequest {
        phone: order.phone.clone(),
        reference: order.reference.clone(),
        record: order.record,
        can_transfer: order.can_transfer,
    };
    // In a task of its own: a handler that is cut off by its timeout must not cut off the exchange half-way.
    let client = ctx.carriers.of(order.carrier);
    let exchange = tokio::spawn(async move { client?.place_call(&request).await }).await;
    let outcome = match exchange {
        Ok(outcome) => outcome,
        Err(_panic) => return in_doubt(order, "the exchange panicked", ctx).await,
    };
    count(outcome.as_ref().map_or_else(CarrierError::kind, |_| "placed"));
    match outcome {
        Ok(Placed { carrier_call_id }) => placed(id, &carrier_call_id, ctx).await,
        Err(CarrierError::RateLimited { retry_after }) => {
            slow_down(order, ctx).await?;
            let wait = retry_after.unwrap_or(PATIENCE).clamp(Duration::from_secs(1), LONGEST_PATIENCE);
            let wait = wait.mul_f64(1.0 + rand::random::<f64>() * 0.5);
            hand_back(order, "rate_limited", wait, ctx).await?;
            Err(JobError::snooze(wait, "the carrier asks for patience"))
        }
        Err(CarrierError::Unavailable(error)) => {
            if job_context.attempt >= UNREACHABLE_TRIES || job_context.is_last_attempt() {
                return give_up(order, Refusal::CarrierUnreachable, ctx).await;
            }
            hand_back(order, "carrier_unreachable", Duration::from_secs(60), ctx).await?;
            Err(JobError::Retry(anyhow::Error::new(error).context("nothing was sent")))
        }
        Err(CarrierError::Rejected { cause: Rejection::Credentials, .. }) => {
            give_up(order, Refusal::CarrierAuth, ctx).await
        }
        Err(CarrierError::Rejected { cause: Rejection::Balance, .. }) => give_up(order, Refusal::Balance, ctx).await,
        Err(CarrierError::Rejected { cause, detail }) => rejected(order, cause, &detail, ctx).await,
        Err(CarrierError::Indeterminate(doubt)) => {
            if matches!(doubt, crate::carrier::Doubt::ServerError(_)) {
                slow_down(order, ctx).await?;
            }
            // Its words name the status and hold no number.
            let reason = doubt.to_string();
            tracing::warn!(call_id = %id, error = %anyhow::Error::new(doubt), "a call is in doubt");
            in_doubt(order, &reason, ctx).await
        }
    }
}

async fn placed(id: CallId, carrier_call_id: &str, ctx: &Context) -> Result<(), JobError> {
    let mut tx = ctx.db.begin().await.retry()?;
    let adopted =
        dial::placed(&mut tx, id, carrier_call_id, ctx.clock.now(), ctx.settings.ring_silence).await.retry()?;
    tx.commit().await.retry()?;
    if adopted {
        tracing::info!(call_id = %id, "a call is placed");
    } else {
        tracing::error!(call_id = %id, "the carrier placed a call that has another carrier id already");
    }
    Ok(())
}

/// Nothing was placed: back to `queued`, with its slot.
async fn hand_back(order: &Order, reason: &str, wait: Duration, ctx: &Context) -> Result<(), JobError> {
    let mut tx = ctx.db.begin().await.retry()?;
    let lease = wait + ctx.settings.limits.lease;
    dial::hand_back(&mut tx, order.call_id, reason, ctx.clock.now(), lease).await.retry()?;
    tx.commit().await.retry()
}

/// Nothing was placed, and nothing will be: the call is withdrawn, and where the carrier account is the reason, every campaign
/// of the account pauses with it.
async fn give_up(order: &Order, refusal: Refusal, ctx: &Context) -> Result<(), JobError> {
    let (id, now) = (order.call_id, ctx.clock.now());
    let mut tx = ctx.db.begin().await.retry()?;
    let account_failure = match refusal {
        Refusal::CarrierAuth => Some(AccountFailure::Credentials),
        Refusal::Balance => Some(AccountFailure::Balance),
        _ => None,
    };
    if let Some(cause) = account_failure {
        let campaigns = breaker::pause_account(&mut tx, order.account_id, order.carrier, cause, now).await.retry()?;
        if campaigns > 0 {
            let account_id = order.account_id;
            tracing::error!(%account_id, campaigns, reason = refusal.as_str(), "the account's campaigns are paused");
        }
    }
    dial::hand_back(&mut tx, id, refusal.as_str(), now, ctx.settings.limits.lease).await.retry()?;
    let not_before = (refusal == Refusal::CarrierUnreachable).then(|| now + UNREACHABLE_PAUSE);
    dial::withdraw(&mut tx, id, refusal, now, not_before).await.retry()?;
    if refusal == Refusal::CarrierUnreachable {
        check_breaker(&mut tx, order, ctx).await?;
    }
    tx.commit().await.retry()?;
    tracing::warn!(call_id = %id, reason = refusal.as_str(), "a call could not be dialed and is withdrawn");
    Ok(())
}

async fn rejected(order: &Order, cause: Rejection, detail: &str, ctx: &Context) -> Result<(), JobError> {
    let (id, now) = (order.call_id, ctx.clock.now());
    let mut tx = ctx.db.begin().await.retry()?;
    if cause == Rejection::DoNotDisturb {
        dial::forbidden_number(&mut tx, id, now).await.retry()?;
    } else {
        dial::rejected(&mut tx, id, cause.as_str(), json!({ "detail": detail }), now).await.retry()?;
        check_breaker(&mut tx, order, ctx).await?;
    }
    tx.commit().await.retry()?;
    tracing::warn!(call_id = %id, cause = cause.as_str(), "the carrier refused a call");
    Ok(())
}

async fn in_doubt(order: &Order, reason: &str, ctx: &Context) -> Result<(), JobError> {
    let mut tx = ctx.db.begin().await.retry()?;
    dial::in_doubt(&mut tx, order.call_id, reason, ctx.clock.now(), ASK_IN).await.retry()?;
    check_breaker(&mut tx, order, ctx).await?;
    tx.commit().await.retry()
}

/// A call failed for a reason that the next one may meet too.
async fn check_breaker(tx: &mut PgConnection, order: &Order, ctx: &Context) -> Result<(), JobError> {
    let Some(campaign) = Call::get(&mut *tx, order.call_id).await.retry()?.and_then(|call| call.campaign_id) else {
        return Ok(());
    };
    if breaker::check(tx, order.account_id, campaign, ctx.clock.now()).await.retry()? {
        tracing::error!(campaign_id = %campaign, "the circuit breaker pauses the campaign");
    }
    Ok(())
}

async fn slow_down(order: &Order, ctx: &Context) -> Result<(), JobError> {
    pace::halve(&ctx.db, order.account_id, order.carrier).await.retry()
}

fn count(outcome: &'static str) {
    metrics::counter!("calls_dialed_total", "outcome" => outcome).increment(1);
}
