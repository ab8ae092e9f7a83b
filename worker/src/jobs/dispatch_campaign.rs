//! Reserves calls for a running campaign, and sleeps until the next can be due.

use shared::dispatch::{Dispatched, dispatch};
use shared::jobs::dispatch_campaign::DispatchCampaign;

use crate::context::Context;
use crate::pacing;
use crate::queue::{JobContext, JobError, JobResultExt};

/// # Errors
/// Snoozes for as long as the campaign runs; a failing database is retried.
pub async fn run(job: DispatchCampaign, _job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let campaign_id = job.campaign_id;
    let mut tx = ctx.db.begin().await.retry()?;
    let now = ctx.clock.now();
    let dispatched = dispatch(&mut tx, campaign_id, now, &ctx.settings.limits).await.retry()?;
    tx.commit().await.retry()?;
    match dispatched {
        Dispatched::NotRunning => Ok(()),
        Dispatched::Completed => {
            tracing::info!(%campaign_id, "the campaign is completed");
            Ok(())
        }
        Dispatched::Elsewhere => Err(JobError::snooze(pacing::ELSEWHERE, "another dispatcher has the campaign")),
        Dispatched::Reserved(reserved) => {
            if !reserved.calls.is_empty() {
                metrics::counter!("calls_reserved_total").increment(reserved.calls.len() as u64);
                tracing::info!(%campaign_id, calls = reserved.calls.len(), "calls are reserved");
            }
            Err(JobError::snooze(pacing::nap(&reserved, &ctx.clock), "until the next lead can be due"))
        }
    }
}
