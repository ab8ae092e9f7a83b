//! Carries a finished call's outcome to its lead. All of it is `shared::settle`, in one transaction.

use shared::jobs::settle_call::SettleCall;
use shared::settle::{Settled, settle};

use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};

/// # Errors
/// A failing database is retried.
pub async fn run(job: SettleCall, _job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let mut tx = ctx.db.begin().await.retry()?;
    let settled = settle(&mut tx, job.call_id, ctx.clock.now(), rand::random()).await.retry()?;
    tx.commit().await.retry()?;
    match settled {
        Settled::Nothing => {}
        Settled::NoLead => tracing::info!(call_id = %job.call_id, "a call without a lead is settled"),
        Settled::SummaryWanted => tracing::info!(call_id = %job.call_id, "a conversation awaits its summary"),
        Settled::Lead(outcome) => tracing::info!(call_id = %job.call_id, ?outcome, "a call is settled"),
    }
    Ok(())
}
