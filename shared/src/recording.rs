//! A call's recording: named by the carrier, copied by `fetch_recording`, kept in the object store. What `media` recorded itself
//! takes its place where the carrier's does not come: see [`recording_piece`](crate::recording_piece).

use sqlx::{PgConnection, PgExecutor};

use crate::call::Carrier;
use crate::id::{AccountId, CallId};
use crate::jobs::fetch_recording::FetchRecording;
use crate::recording_piece;

/// Carriers name a recording some seconds before it is there.
const READY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// A recording that is still to be copied.
#[derive(Clone, Debug)]
pub struct PendingRecording {
    pub account_id: AccountId,
    /// Whose address it is.
    pub carrier: Carrier,
    pub source_url: String,
    /// Its call is still up: what the carrier has is a part of it, or nothing.
    pub is_growing: bool,
}

/// What the copy turned out to be.
#[derive(Clone, Debug)]
pub struct StoredRecording {
    pub object_key: String,
    pub content_type: String,
    pub size_bytes: i64,
    /// `None` where the format could not be read.
    pub duration_ms: Option<i64>,
    pub sha256: Vec<u8>,
}

/// Notes where the carrier keeps the call's recording, and enqueues its copy with it. Hearing it again changes nothing,
/// except that a recording which was given up is tried once more. Pass a connection inside a transaction.
pub async fn found(conn: &mut PgConnection, call: CallId, url: &str) -> sqlx::Result<()> {
    let noted = sqlx::query!(
        r#"
        insert into recordings (call_id, account_id, source_url)
        select id, account_id, $2 from calls where id = $1
        on conflict (call_id) do update
        set source_url = excluded.source_url, status = 'pending', reason = null
        where recordings.status in ('missing', 'failed') and recordings.source_url <> excluded.source_url
        "#,
        call as CallId,
        url,
    )
    .execute(&mut *conn)
    .await?;
    if noted.rows_affected() == 1 {
        crate::jobs::nudge_in(conn, &FetchRecording { call_id: call }, READY_AFTER).await?;
    }
    Ok(())
}

/// The call is over: a recording that was named while it was up is there soon, and ours may be all there is. Pass a connection inside a transaction.
pub async fn complete(conn: &mut PgConnection, call: CallId) -> sqlx::Result<()> {
    if pending(&mut *conn, call).await?.is_some() {
        crate::jobs::nudge_in(&mut *conn, &FetchRecording { call_id: call }, READY_AFTER).await?;
    }
    recording_piece::assemble(conn, call).await?;
    Ok(())
}

/// An answered call of a campaign that records, whose recording nobody has named yet.
pub async fn is_expected(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from calls c join campaigns g on g.id = c.campaign_id
            where c.id = $1 and g.record and c.answered_at is not null and c.carrier_call_id is not null
                and not exists (select from recordings r where r.call_id = c.id)
        ) as "expected!"
        "#,
        call as CallId,
    )
    .fetch_one(db)
    .await
}

pub async fn pending(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<Option<PendingRecording>> {
    sqlx::query_as!(
        PendingRecording,
        r#"
        select r.account_id as "account_id: AccountId", c.carrier as "carrier: Carrier", r.source_url,
            c.status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred') as "is_growing!"
        from recordings r join calls c on c.id = r.call_id
        where r.call_id = $1 and r.status = 'pending'
        "#,
        call as CallId,
    )
    .fetch_optional(db)
    .await
}

/// Whose object is kept as the call's recording, if any.
pub async fn kept_object(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<Option<String>> {
    let key = sqlx::query_scalar!("select object_key from recordings where call_id = $1", call as CallId);
    Ok(key.fetch_optional(db).await?.flatten())
}

/// Marks the carrier's recording stored, after its object is. `false` if that was done already, or ours was taken meanwhile. Pass a
/// connection inside a transaction.
pub async fn stored(conn: &mut PgConnection, call: CallId, recording: &StoredRecording) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        update recordings
        set status = 'stored', object_key = $2, content_type = $3, size_bytes = $4, duration_ms = $5, sha256 = $6,
            reason = null, stored_at = now()
        where call_id = $1 and status = 'pending'
        "#,
        call as CallId,
        recording.object_key,
        recording.content_type,
        recording.size_bytes,
        recording.duration_ms,
        recording.sha256,
    )
    .execute(&mut *conn)
    .await?;
    recording_piece::assemble(conn, call).await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the carrier's recording up and says why: `missing` if it never had one, `failed` if it cannot be kept. Pass a connection
/// inside a transaction.
pub async fn give_up(conn: &mut PgConnection, call: CallId, missing: bool, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update recordings set status = case when $2 then 'missing' else 'failed' end, reason = $3
        where call_id = $1 and status = 'pending'
        "#,
        call as CallId,
        missing,
        reason,
    )
    .execute(&mut *conn)
    .await?;
    recording_piece::assemble(conn, call).await?;
    Ok(())
}

/// The carrier was asked often enough and never named a recording. Pass a connection inside a transaction.
pub async fn never_named(conn: &mut PgConnection, call: CallId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into recordings (call_id, account_id, source_url, status, reason)
        select id, account_id, '', 'missing', 'the carrier never named a recording' from calls where id = $1
        on conflict (call_id) do nothing
        "#,
        call as CallId,
    )
    .execute(&mut *conn)
    .await?;
    recording_piece::assemble(conn, call).await?;
    Ok(())
}
