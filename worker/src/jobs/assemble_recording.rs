//! Makes one recording of what `media` recorded of a call, where the carrier's does not come.

use std::fs::File;
use std::time::Duration;

use futures::TryStreamExt;
use shared::id::CallId;
use shared::jobs::assemble_recording::AssembleRecording;
use shared::recording::StoredRecording;
use shared::recording_piece::{self, Piece, Verdict};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};
use crate::recording_assembly::{Part, assemble};

/// Between two looks, should nothing wake the job before.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// # Errors
/// Snoozes while the call is up or its carrier's recording may come; retries while the store or the database is away.
pub async fn run(job: AssembleRecording, job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let id = job.call_id;
    let pieces = recording_piece::of_call(&ctx.db, id).await.retry()?;
    let Some(account) = pieces.first().map(|piece| piece.account_id) else { return Ok(()) };
    let mut connection = ctx.db.acquire().await.retry()?;
    let verdict = recording_piece::verdict(&mut connection, id, ctx.settings.recording_patience).await.retry()?;
    drop(connection);
    // Not that of a carrier's WAV: what is kept is never written over by what is not.
    let object_key = format!("recordings/{account}/{id}.media.wav");
    let outcome = match verdict {
        Verdict::Wait => {
            let wait = ctx.settings.recording_patience.clamp(Duration::from_secs(1), LOOK_AGAIN);
            return Err(JobError::snooze(wait, "the carrier's recording may still come"));
        }
        Verdict::Needless => {
            // Of a run that the carrier's recording outran.
            ctx.storage.delete(&object_key).await.retry()?;
            "needless"
        }
        Verdict::Assemble { over } => {
            let new: Vec<&Piece> = pieces.iter().filter(|piece| !piece.is_used).collect();
            if new.is_empty() { "kept" } else { keep(id, &object_key, over, &new, &job_context, &ctx).await? }
        }
    };
    for piece in &pieces {
        ctx.storage.delete(&piece.object_key).await.retry()?;
    }
    let ids: Vec<String> = pieces.into_iter().map(|piece| piece.id).collect();
    recording_piece::forget(&ctx.db, id, &ids).await.retry()?;
    metrics::counter!("recordings_assembled_total", "outcome" => outcome).increment(1);
    Ok(())
}

/// The word for what became of the pieces, which can go.
async fn keep(
    id: CallId,
    object_key: &str,
    over: Option<String>,
    pieces: &[&Piece],
    job_context: &JobContext,
    ctx: &Context,
) -> Result<&'static str, JobError> {
    let mut parts = Vec::new();
    let base = over.iter().map(|key| (0, key));
    for (offset_ms, key) in base.chain(pieces.iter().map(|piece| (piece.offset_ms, &piece.object_key))) {
        match fetch(key, ctx).await? {
            Some(wav) => parts.push(Part { offset_ms, wav }),
            None => tracing::error!(call_id = %id, "a piece of a recording is not in the store; its time stays silent"),
        }
    }
    let assembled = match tokio::task::spawn_blocking(move || assemble(parts)).await.retry()? {
        Ok(assembled) => assembled,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData && job_context.is_last_attempt() => {
            tracing::error!(call_id = %id, %error, "our own recording is lost");
            return Ok("unreadable");
        }
        Err(error) => return Err(JobError::Retry(error.into())),
    };
    let ours = StoredRecording {
        object_key: object_key.to_owned(),
        content_type: "audio/wav".to_owned(),
        size_bytes: assembled.size_bytes,
        duration_ms: Some(assembled.duration_ms),
        sha256: assembled.sha256,
    };
    // The object first: a row must never promise what is not there.
    ctx.storage.put_from(object_key, tokio::fs::File::from_std(assembled.wav)).await.retry()?;
    let ids: Vec<String> = pieces.iter().map(|piece| piece.id.clone()).collect();
    let mut tx = ctx.db.begin().await.retry()?;
    let is_kept = recording_piece::kept(&mut tx, id, &ours, &ids).await.retry()?;
    tx.commit().await.retry()?;
    if !is_kept {
        ctx.storage.delete(object_key).await.retry()?;
        return Ok("needless");
    }
    metrics::counter!("recordings_total", "outcome" => "stored").increment(1);
    tracing::info!(call_id = %id, bytes = ours.size_bytes, pieces = ids.len(), "our own recording is kept");
    Ok("kept")
}

/// The object as a file that is gone when it is closed.
async fn fetch(key: &str, ctx: &Context) -> Result<Option<File>, JobError> {
    let Some(mut object) = ctx.storage.get(key).await.retry()? else { return Ok(None) };
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().retry()?);
    while let Some(chunk) = object.stream.try_next().await.retry()? {
        file.write_all(&chunk).await.retry()?;
    }
    file.flush().await.retry()?;
    file.rewind().await.retry()?;
    Ok(Some(file.into_std().await))
}
