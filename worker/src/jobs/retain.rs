//! Deletes what is past its account's retention, and the sound of deleted recordings.

use std::time::Duration;

use shared::jobs::retain::Retain;
use shared::recording;
use shared::retention::{self, Deleted};
use tokio::time::timeout;

use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};

/// Rows of one kind, and objects, that one run takes of an account: each batch is one transaction.
const BATCH: i64 = 200;
/// Before the next run where there may be more.
const GO_ON_AFTER: Duration = Duration::from_secs(1);
/// The object store's answer; it is tried again within that time by itself.
const ERASE: Duration = Duration::from_secs(20);

/// # Errors
/// Snoozes for a moment while there is more; retries while the store or the database is away.
pub async fn run(_job: Retain, _job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let mut is_more = false;
    for (account, retention) in retention::accounts(&ctx.db).await.retry()? {
        let mut tx = ctx.db.begin().await.retry()?;
        let deleted = retention::apply(&mut tx, account, &retention, ctx.clock.now(), BATCH).await.retry()?;
        tx.commit().await.retry()?;
        count(deleted);
        if !deleted.is_nothing() {
            tracing::info!(account_id = %account, recordings = deleted.recordings, transcripts = deleted.transcripts,
                webhooks = deleted.webhooks, "what an account keeps no longer is deleted");
        }
        is_more |= deleted.reaches(BATCH);
    }
    let mut tx = ctx.db.begin().await.retry()?;
    let deleted = retention::apply_to_unclaimed(&mut tx, BATCH).await.retry()?;
    tx.commit().await.retry()?;
    count(deleted);
    is_more |= deleted.reaches(BATCH);
    is_more |= erase(&ctx).await?;
    if is_more {
        return Err(JobError::snooze(GO_ON_AFTER, "there is more to delete"));
    }
    Ok(())
}

/// Whether there may be more. The row says already that the recording is deleted: should we die here, the next run finds its key.
async fn erase(ctx: &Context) -> Result<bool, JobError> {
    let erasable = recording::erasable(&ctx.db, BATCH).await.retry()?;
    for (call, key) in &erasable {
        timeout(ERASE, ctx.storage.delete(key)).await.retry()?.retry()?;
        recording::erased(&ctx.db, *call).await.retry()?;
        metrics::counter!("recordings_erased_total").increment(1);
    }
    Ok(erasable.len() as u64 == BATCH.unsigned_abs())
}

fn count(deleted: Deleted) {
    for (kind, count) in
        [("recordings", deleted.recordings), ("transcripts", deleted.transcripts), ("webhooks", deleted.webhooks)]
    {
        metrics::counter!("retention_deleted_total", "kind" => kind).increment(count);
    }
}
