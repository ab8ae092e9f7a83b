//! Turns a finished conversation into a summary and lets its lead go: with the language model's judgement, else with the rules'.

use std::time::Duration;

use shared::call::Call;
use shared::callback;
use shared::conversation::{self, Disposition, Summary};
use shared::jobs::summarize_call::SummarizeCall;
use shared::ledger::{self, Used};
use shared::settle::{Wish, finish_lead};
use shared::turn;

use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};
use crate::summary::{Conversation, SummaryError, rules};

/// A model that asks for patience without saying how much gets so much.
const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST_PATIENCE: Duration = Duration::from_secs(120);

/// # Errors
/// A model that does not answer is asked again; after the last try the rules judge, so that no lead is lost to it.
pub async fn run(job: SummarizeCall, job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let Some(call) = Call::get(&ctx.db, job.call_id).await.retry()? else { return Ok(()) };
    let notes = conversation::notes(&ctx.db, call.id).await.retry()?;
    if !notes.as_ref().is_some_and(|notes| notes.summary_pending) {
        return Ok(());
    }
    let (lead, zone) = conversation::lead_facts(&ctx.db, call.id).await.retry()?;
    let ended_at = call.ended_at.unwrap_or_else(|| ctx.clock.now());
    let zone = callback::zone(zone.as_deref(), ended_at);
    let conversation = Conversation {
        turns: turn::of_call(&ctx.db, call.id).await.retry()?,
        notes,
        lead,
        ended_at: ended_at.with_timezone(&zone),
    };
    let started = tokio::time::Instant::now();
    let attempt = ctx.summarizer.summarize(&conversation).await;
    note_usage(&call, &job_context, &attempt.used, &ctx).await.retry()?;
    let mut summary = match attempt.summary {
        Ok(summary) => summary,
        Err(SummaryError::RateLimited { retry_after }) => {
            let wait = retry_after.unwrap_or(PATIENCE).clamp(Duration::from_secs(1), LONGEST_PATIENCE);
            return Err(JobError::snooze(
                wait.mul_f64(1.0 + rand::random::<f64>() * 0.25),
                "the language model asks for patience",
            ));
        }
        Err(error) if job_context.is_last_attempt() || matches!(error, SummaryError::NotConfigured) => {
            tracing::warn!(call_id = %call.id, error = %chain(&error), "a conversation is judged by rules");
            rules::judge(&conversation, chain(&error))
        }
        Err(error) => return Err(JobError::Retry(error.into())),
    };
    let asked_for_human =
        conversation.notes.as_ref().and_then(|notes| notes.live_disposition) == Some(Disposition::Interested);
    if asked_for_human && summary.disposition == Disposition::NoConversation {
        // Few words were said to the agent; the conversation was with a human.
        summary.disposition = Disposition::Interested;
    }
    metrics::histogram!("summary_seconds").record(started.elapsed().as_secs_f64());
    finish(&call, &summary, &ctx).await
}

/// Each try is paid for, also one whose answer is of no use; noted twice it counts once.
async fn note_usage(call: &Call, job_context: &JobContext, used: &[Used], ctx: &Context) -> sqlx::Result<()> {
    if used.is_empty() {
        return Ok(());
    }
    // In the place of the stream that used it.
    let name = format!("summary-{}-{}", job_context.job_id, job_context.attempt);
    let mut db = ctx.db.acquire().await?;
    ledger::note(&mut db, call.account_id, call.id, &name, used).await
}

/// Summary and lead, together or not at all.
async fn finish(call: &Call, summary: &Summary, ctx: &Context) -> Result<(), JobError> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.begin().await.retry()?;
    if !conversation::store_summary(&mut *tx, call.id, summary, now).await.retry()? {
        return Ok(());
    }
    let wish = summary.wants_callback.then_some(Wish { at: summary.callback_at });
    let outcome =
        finish_lead(&mut tx, call, summary.disposition, wish, summary.score, now, rand::random()).await.retry()?;
    tx.commit().await.retry()?;
    metrics::counter!("conversations_total", "disposition" => summary.disposition.as_str()).increment(1);
    tracing::info!(call_id = %call.id, disposition = summary.disposition.as_str(), ?outcome, "a conversation is summarised");
    Ok(())
}

fn chain(error: &SummaryError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
