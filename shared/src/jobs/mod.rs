//! Enqueueing: how a job gets into the queue, always inside the caller's transaction.
//!
//! A [`Job`] carries ids only; everything else is read again from the domain rows when it runs. Its key makes enqueueing
//! idempotent: one row per `(queue, key)`, until the worker prunes the finished row. The queue itself, which runs these rows,
//! is `worker/src/queue/`.

pub mod assemble_recording;
pub mod deliver_alert;
pub mod dispatch_campaign;
pub mod fetch_recording;
pub mod import_leads;
pub mod place_call;
pub mod reconcile_call;
pub mod retain;
pub mod send_message;
pub mod settle_call;
pub mod summarize_call;
pub mod sweep;
pub mod watch_models;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use ulid::Ulid;

/// The channel on which committed work is announced; the payload is the queue's name.
pub const NOTIFY_CHANNEL: &str = "job_queue";

/// The version written into every payload; see [`encode`].
const PAYLOAD_VERSION: u32 = 1;

/// One kind of work and the queue it runs in.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The queue's name, which is also the name of the job: `place_call`.
    const QUEUE: &'static str;

    /// Tries that may fail, or die with their worker, before the job becomes a dead letter. At least 1. A snooze is not one.
    const MAX_ATTEMPTS: i32;

    /// What makes this job the same job: enqueueing it twice leaves one row.
    fn key(&self) -> String;

    /// Higher runs first within its queue.
    fn priority(&self) -> i32 {
        0
    }
}

/// What became of an enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    New,
    /// A job with this key exists, in whatever state: also one that has finished and is not pruned yet.
    AlreadyThere,
}

/// Enqueues `job` to run as soon as a worker is free. A job with the same key is left as it is.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn enqueue<J: Job>(db: impl PgExecutor<'_>, job: &J) -> sqlx::Result<Enqueued> {
    enqueue_in(db, job, Duration::ZERO).await
}

/// Enqueues `job` to run no earlier than `delay` from the database's now.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn enqueue_in<J: Job>(db: impl PgExecutor<'_>, job: &J, delay: Duration) -> sqlx::Result<Enqueued> {
    let inserted = sqlx::query!(
        r#"
        insert into apalis.jobs
            (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key)
        values
            ($1, $2, $3, 'Pending', 0, $4, now() + make_interval(secs => $5), $6, ''::hstore, $7)
        on conflict (job_type, idempotency_key) do nothing
        "#,
        Ulid::generate().to_string(),
        J::QUEUE,
        encode(job)?,
        J::MAX_ATTEMPTS,
        delay.as_secs_f64(),
        job.priority(),
        job.key(),
    )
    .execute(db)
    .await?;
    Ok(if inserted.rows_affected() == 1 { Enqueued::New } else { Enqueued::AlreadyThere })
}

/// Enqueues all of `jobs` with one statement; answers how many were new. Meant for batches of up to a few thousand.
///
/// # Errors
/// The database refused the statement, or is out of reach: then none is enqueued.
pub async fn enqueue_many<J: Job>(db: impl PgExecutor<'_>, jobs: &[J]) -> sqlx::Result<u64> {
    if jobs.is_empty() {
        return Ok(0);
    }
    let ids: Vec<String> = jobs.iter().map(|_| Ulid::generate().to_string()).collect();
    let payloads = jobs.iter().map(encode).collect::<sqlx::Result<Vec<_>>>()?;
    let priorities: Vec<i32> = jobs.iter().map(Job::priority).collect();
    let keys: Vec<String> = jobs.iter().map(Job::key).collect();
    let inserted = sqlx::query!(
        r#"
        insert into apalis.jobs
            (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key)
        select new.id, $1, new.payload, 'Pending', 0, $2, now(), new.priority, ''::hstore, new.key
        from unnest($3::text[], $4::bytea[], $5::int[], $6::text[]) as new (id, payload, priority, key)
        on conflict (job_type, idempotency_key) do nothing
        "#,
        J::QUEUE,
        J::MAX_ATTEMPTS,
        &ids,
        &payloads,
        &priorities,
        &keys,
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected())
}

/// Makes sure that `job` runs once more after this transaction commits, soon.
///
/// It is inserted if it does not exist, revived with fresh attempts if it is finished or dead, pulled forward if it waits or
/// snoozes; and if it is running right now it is marked, so that it runs once more as soon as it ends: a wake-up is
/// never lost. A job that backs off after an error keeps its backoff: it will run, and a burst of nudges must not
/// turn a failing job into a busy loop.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn nudge<J: Job>(db: impl PgExecutor<'_>, job: &J) -> sqlx::Result<()> {
    nudge_in(db, job, Duration::ZERO).await
}

/// Like [`nudge`], but asks for no run before `delay` from the database's now; never pushes an earlier run back.
///
/// # Errors
/// The database refused the statement, or is out of reach.
pub async fn nudge_in<J: Job>(db: impl PgExecutor<'_>, job: &J, delay: Duration) -> sqlx::Result<()> {
    // The row stays locked until the caller commits, even when nothing in it changes. A worker skips locked rows and a
    // running job's acknowledgement waits, so that no run can begin before the caller's change is visible and count as the run
    // this nudge asked for. Skipped rows are why a due nudge always notifies, whatever it found.
    //
    // Where the wanted run is on its way, the lock is a shared one: every call that ends nudges its campaign's one dispatcher,
    // and one after the other they would wait for each other's commits.
    sqlx::query!(
        r#"
        with on_its_way as materialized (
            select from apalis.jobs
            where job_type = $2 and idempotency_key = $7 and (
                (status = 'Pending' and run_at <= now() + make_interval(secs => $5))
                or (status in ('Running', 'Queued')
                    and (metadata -> 'rerun_at')::timestamptz <= now() + make_interval(secs => $5))
            )
            for share
        ),
        nudged as (
            insert into apalis.jobs as j
                (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key)
            select $1, $2, $3, 'Pending', 0, $4, now() + make_interval(secs => $5), $6, ''::hstore, $7
            where not exists (select from on_its_way)
            on conflict (job_type, idempotency_key) do update set
                job = excluded.job,
                max_attempts = excluded.max_attempts,
                priority = excluded.priority,
                status = case
                    when j.status in ('Running', 'Queued') then j.status
                    when j.status = 'Failed' and j.attempts < j.max_attempts then j.status
                    else 'Pending'
                end,
                attempts = case
                    when j.status in ('Pending', 'Running', 'Queued') then j.attempts
                    when j.status = 'Failed' and j.attempts < j.max_attempts then j.attempts
                    else 0
                end,
                run_at = case
                    when j.status = 'Pending' then least(j.run_at, excluded.run_at)
                    when j.status in ('Running', 'Queued') then j.run_at
                    when j.status = 'Failed' and j.attempts < j.max_attempts then j.run_at
                    else excluded.run_at
                end,
                metadata = case
                    when j.status not in ('Running', 'Queued')
                        then coalesce(j.metadata, '') - array['rerun_at', 'cancel_requested_at']
                    else coalesce(j.metadata, '') || hstore(
                        'rerun_at',
                        least((j.metadata -> 'rerun_at')::timestamptz, excluded.run_at)::text
                    )
                end
            where not (j.status = 'Pending' and j.run_at <= excluded.run_at)
        )
        select pg_notify($8, $2) as "notified: ()" where $5 <= 0
        "#,
        Ulid::generate().to_string(),
        J::QUEUE,
        encode(job)?,
        J::MAX_ATTEMPTS,
        delay.as_secs_f64(),
        job.priority(),
        job.key(),
        NOTIFY_CHANNEL,
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// The envelope: a reader knows the version before it looks at the data, and unknown fields beside them are ignored.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    data: T,
}

/// A payload as it is stored: `{"v":1,"data":{..}}`.
///
/// # Errors
/// [`sqlx::Error::Encode`] if the job refuses to be serialized.
pub fn encode<J: Job>(job: &J) -> sqlx::Result<Vec<u8>> {
    serde_json::to_vec(&Envelope { v: PAYLOAD_VERSION, data: job }).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Why a stored payload is not a job of this type.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error("the payload is not a job of queue {queue}")]
    Malformed { queue: &'static str, source: serde_json::Error },
    /// Written by a newer release; running it by guesswork could do the wrong thing.
    #[error("the payload has version {version}, newer than {PAYLOAD_VERSION}")]
    TooNew { version: u32 },
}

/// Reads back what [`encode`] wrote.
///
/// # Errors
/// The bytes are no envelope, their version is newer than ours, or the data does not fit `J`.
pub fn decode<J: Job>(bytes: &[u8]) -> Result<J, PayloadError> {
    let malformed = |source| PayloadError::Malformed { queue: J::QUEUE, source };
    let envelope: Envelope<serde_json::Value> = serde_json::from_slice(bytes).map_err(malformed)?;
    if envelope.v > PAYLOAD_VERSION {
        return Err(PayloadError::TooNew { version: envelope.v });
    }
    serde_json::from_value(envelope.data).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Greet {
        id: i64,
    }

    impl Job for Greet {
        const QUEUE: &'static str = "greet";
        const MAX_ATTEMPTS: i32 = 3;

        fn key(&self) -> String {
            format!("greet:{}", self.id)
        }
    }

    #[test]
    fn a_payload_reads_back() {
        let bytes = encode(&Greet { id: 7 }).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), r#"{"v":1,"data":{"id":7}}"#);
        assert_eq!(decode::<Greet>(&bytes).unwrap(), Greet { id: 7 });
    }

    #[test]
    fn fields_that_this_release_does_not_know_are_ignored() {
        assert_eq!(decode::<Greet>(br#"{"v":1,"trace":"x","data":{"id":7,"tone":"warm"}}"#).unwrap(), Greet { id: 7 });
    }

    #[test]
    fn a_payload_of_a_newer_release_is_not_guessed_at() {
        assert!(matches!(decode::<Greet>(br#"{"v":2,"data":{"id":7}}"#), Err(PayloadError::TooNew { version: 2 })));
    }

    #[test]
    fn what_is_no_envelope_is_malformed() {
        for bytes in [&b"null"[..], b"{", br#"{"id":7}"#, br#"{"v":1,"data":{"id":"seven"}}"#] {
            assert!(matches!(decode::<Greet>(bytes), Err(PayloadError::Malformed { .. })));
        }
    }
}
