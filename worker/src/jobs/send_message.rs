//! Sends a text message that somebody asked for in a call: commit, one request, and whatever came of it.

use std::time::Duration;

use shared::id::MessageId;
use shared::jobs::send_message::SendMessage;
use shared::outgoing_message::{self, Order};

use crate::carrier::{CarrierError, Rejection, TextMessage};
use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_PATIENCE: Duration = Duration::from_secs(300);

/// # Errors
/// Retries only what provably sent nothing.
pub async fn run(job: SendMessage, job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let id = job.message_id;
    let mut tx = ctx.db.begin().await.retry()?;
    let order = outgoing_message::begin(&mut tx, id, ctx.clock.now()).await.retry()?;
    tx.commit().await.retry()?;
    let Some(order) = order else { return Ok(()) };
    if !job_context.lease.still_mine() || job_context.is_cancelled() {
        outgoing_message::hand_back(&ctx.db, id).await.retry()?;
        return Err(JobError::snooze(PATIENCE, "the job's lease was lost"));
    }
    let Order { carrier, phone, text, dlt_template_id } = order;
    let client = ctx.carriers.of(carrier);
    // In a task of its own: a handler that is cut off by its timeout must not cut off the exchange half-way.
    let exchange =
        tokio::spawn(async move { client?.send_message(&TextMessage { phone, text, dlt_template_id }).await });
    let outcome = match exchange.await {
        Ok(outcome) => outcome,
        Err(_panic) => return in_doubt(id, "the exchange panicked", &ctx).await,
    };
    let result = outcome.as_ref().map_or_else(CarrierError::kind, |_| "sent");
    metrics::counter!("messages_sent_total", "result" => result).increment(1);
    match outcome {
        Ok(carrier_message_id) => {
            let mut tx = ctx.db.begin().await.retry()?;
            outgoing_message::sent(&mut tx, id, &carrier_message_id, ctx.clock.now()).await.retry()?;
            tx.commit().await.retry()
        }
        Err(CarrierError::RateLimited { retry_after }) => {
            outgoing_message::hand_back(&ctx.db, id).await.retry()?;
            let wait = retry_after.unwrap_or(PATIENCE).clamp(Duration::from_secs(1), LONGEST_PATIENCE);
            Err(JobError::snooze(wait, "the carrier asks for patience"))
        }
        Err(CarrierError::Unavailable(error)) if !job_context.is_last_attempt() => {
            outgoing_message::hand_back(&ctx.db, id).await.retry()?;
            Err(JobError::Retry(anyhow::Error::new(error).context("nothing was sent")))
        }
        Err(CarrierError::Unavailable(_)) => failed(id, "carrier_unreachable", &ctx).await,
        Err(CarrierError::Rejected { cause: Rejection::OptedOut, .. }) => {
            tracing::info!(message_id = %id, "the number of a text message has opted out");
            let mut tx = ctx.db.begin().await.retry()?;
            outgoing_message::opted_out(&mut tx, id, ctx.clock.now()).await.retry()?;
            tx.commit().await.retry()
        }
        Err(CarrierError::Rejected { cause, detail }) => {
            tracing::warn!(message_id = %id, cause = cause.as_str(), detail, "the carrier refused a text message");
            failed(id, cause.as_str(), &ctx).await
        }
        Err(CarrierError::Indeterminate(doubt)) => in_doubt(id, &doubt.to_string(), &ctx).await,
    }
}

async fn failed(id: MessageId, reason: &str, ctx: &Context) -> Result<(), JobError> {
    let mut tx = ctx.db.begin().await.retry()?;
    outgoing_message::failed(&mut tx, id, reason, ctx.clock.now()).await.retry()?;
    tx.commit().await.retry()
}

async fn in_doubt(id: MessageId, reason: &str, ctx: &Context) -> Result<(), JobError> {
    tracing::warn!(message_id = %id, reason, "nobody knows whether a text message was sent");
    let mut tx = ctx.db.begin().await.retry()?;
    outgoing_message::in_doubt(&mut tx, id, reason, ctx.clock.now()).await.retry()?;
    tx.commit().await.retry()
}
