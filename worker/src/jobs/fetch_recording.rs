//! Copies a call's recording from the carrier to our object store.

use std::time::Duration;

use bytes::BytesMut;
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use sha2::{Digest, Sha256};
use shared::id::CallId;
use shared::jobs::fetch_recording::FetchRecording;
use shared::recording::{self, StoredRecording};

use crate::carrier::Client;
use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};
use crate::recording_format::{Format, duration_ms};

const MAX_REDIRECTS: usize = 4;
/// The whole transfer; the job's timeout is longer.
const TRANSFER: Duration = Duration::from_secs(150);
/// Between two looks at a call that is still up, should nothing wake the job before.
const CALL_IS_UP: Duration = Duration::from_secs(60);

/// Why there is no copy, by what may be done next.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    /// Not there yet, or never.
    #[error("the carrier does not have it (status {0})")]
    Missing(u16),
    #[error("the carrier asks for patience")]
    RateLimited { retry_after: Option<Duration> },
    /// Broken off, cut short, a server's error.
    #[error("the transfer failed: {0}")]
    Broken(String),
    /// It can never be kept.
    #[error("{0}")]
    Unusable(&'static str),
}

struct Fetched {
    content: bytes::Bytes,
    content_type: Option<String>,
}

/// # Errors
/// Retries while the carrier may still come to have it; after the last try it is marked missing.
pub async fn run(job: FetchRecording, job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let id = job.call_id;
    let Some(pending) = recording::pending(&ctx.db, id).await.retry()? else { return Ok(()) };
    // A flow that asks in the middle of its call names the recording too; the end of the call wakes us.
    if pending.is_growing {
        return Err(JobError::snooze(CALL_IS_UP, "the call is still up"));
    }
    let Ok(client) = ctx.carriers.of(pending.carrier) else {
        let error = FetchError::Unusable("its carrier is not configured here");
        return give_up(id, false, &error, &ctx).await;
    };
    let fetched = match url::Url::parse(&pending.source_url) {
        Ok(url) => tokio::time::timeout(TRANSFER, fetch(url, &client, &ctx))
            .await
            .unwrap_or_else(|_elapsed| Err(FetchError::Broken("it took too long".into()))),
        Err(_) => Err(FetchError::Unusable("the carrier's address for it is no URL")),
    };
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(FetchError::RateLimited { retry_after }) => {
            let wait = retry_after.unwrap_or(Duration::from_secs(30));
            return Err(JobError::snooze(
                wait.clamp(Duration::from_secs(1), Duration::from_secs(300)),
                "the carrier asks for patience",
            ));
        }
        Err(error @ FetchError::Unusable(_)) => return give_up(id, false, &error, &ctx).await,
        Err(error) if job_context.is_last_attempt() => {
            return give_up(id, matches!(error, FetchError::Missing(_)), &error, &ctx).await;
        }
        Err(error) => return Err(JobError::Retry(error.into())),
    };
    let Some(format) = Format::of(&fetched.content, fetched.content_type.as_deref()) else {
        // A page that says "not yet" with status 200, most likely.
        let error = FetchError::Broken("what came is no recording".into());
        return if job_context.is_last_attempt() {
            give_up(id, false, &error, &ctx).await
        } else {
            Err(JobError::Retry(error.into()))
        };
    };
    let content = fetched.content;
    let (sha256, duration_ms) = {
        let content = content.clone();
        tokio::task::spawn_blocking(move || (Sha256::digest(&content).to_vec(), duration_ms(content, format)))
            .await
            .retry()?
    };
    let stored = StoredRecording {
        object_key: format!("recordings/{}/{id}.{}", pending.account_id, format.extension()),
        content_type: format.content_type().to_owned(),
        size_bytes: i64::try_from(content.len()).unwrap_or(i64::MAX),
        duration_ms,
        sha256,
    };
    // The object first: a row must never promise what is not there.
    ctx.storage.put(&stored.object_key, content).await.retry()?;
    let mut tx = ctx.db.begin().await.retry()?;
    let is_taken = recording::stored(&mut tx, id, &stored).await.retry()?;
    tx.commit().await.retry()?;
    if !is_taken && recording::kept_object(&ctx.db, id).await.retry()?.as_ref() != Some(&stored.object_key) {
        // What `media` recorded was taken while we copied.
        return ctx.storage.delete(&stored.object_key).await.retry();
    }
    metrics::counter!("recordings_total", "outcome" => "stored").increment(1);
    tracing::info!(call_id = %id, bytes = stored.size_bytes, "a recording is stored");
    Ok(())
}

async fn give_up(id: CallId, missing: bool, error: &FetchError, ctx: &Context) -> Result<(), JobError> {
    let mut tx = ctx.db.begin().await.retry()?;
    recording::give_up(&mut tx, id, missing, &error.to_string()).await.retry()?;
    tx.commit().await.retry()?;
    metrics::counter!("recordings_total", "outcome" => if missing { "missing" } else { "failed" }).increment(1);
    tracing::warn!(call_id = %id, reason = %error, "a recording is given up");
    Ok(())
}

/// Follows redirects by hand: our credentials go to the carrier's own hosts alone, and never with a redirect to another one.
async fn fetch(url: url::Url, client: &Client, ctx: &Context) -> Result<Fetched, FetchError> {
    let mut url = url;
    for _ in 0..=MAX_REDIRECTS {
        if !matches!(url.scheme(), "https" | "http") || (url.scheme() == "http" && !client.trusts(&url)) {
            return Err(FetchError::Unusable("the carrier's address for it is not safe to open"));
        }
        let request = client.recording_request(&ctx.http, &url);
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            url = location
                .and_then(|location| url.join(location).ok())
                .ok_or(FetchError::Unusable("the carrier redirects to nowhere"))?;
            continue;
        }
        return match status.as_u16() {
            200 => read(response, ctx.settings.max_recording_bytes).await,
            429 => {
                let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Err(FetchError::RateLimited { retry_after: seconds.map(Duration::from_secs) })
            }
            status @ 400..=499 => Err(FetchError::Missing(status)),
            status => Err(FetchError::Broken(format!("status {status}"))),
        };
    }
    Err(FetchError::Unusable("the carrier redirects in circles"))
}

async fn read(mut response: reqwest::Response, max_bytes: u64) -> Result<Fetched, FetchError> {
    const TOO_LARGE: FetchError = FetchError::Unusable("it is larger than MAX_RECORDING_MB");
    let announced = response.content_length();
    if announced.is_some_and(|bytes| bytes > max_bytes) {
        return Err(TOO_LARGE);
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let mut content = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if (content.len() + chunk.len()) as u64 > max_bytes {
            return Err(TOO_LARGE);
        }
        content.extend_from_slice(&chunk);
    }
    if content.is_empty() || announced.is_some_and(|bytes| bytes != content.len() as u64) {
        return Err(FetchError::Broken("it was cut short".into()));
    }
    Ok(Fetched { content: content.freeze(), content_type })
}

/// Without the URL, which may hold a signature.
fn broken(error: reqwest::Error) -> FetchError {
    FetchError::Broken(error.without_url().to_string())
}
