//! A call's recording: named by the carrier, copied by `fetch_recording`, kept in the object store. What `media` recorded itself
//! takes its place where the carrier's does not come: see [`recording_piece`](crate::recording_piece).

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgExecutor};

use crate::call::{CallStatus, Carrier};
use crate::call_event::{self, NewEvent};
use crate::id::{AccountId, CallId};
use crate::jobs::fetch_recording::FetchRecording;
use crate::jobs::retain::Retain;
use crate::recording_piece;

/// Why a recording is `deleted`.
pub const BY_RETENTION: &str = "the account does not keep recordings for so long";
const ON_REQUEST: &str = "it was deleted on request";

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

/// An answered call that its carrier was asked to record, whose recording nobody has named yet.
pub async fn is_expected(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from calls c
            join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
            left join campaigns g on g.id = c.campaign_id
            where c.id = $1 and c.direction = 'outbound' and call_is_recorded(g.record, v.settings)
                and c.answered_at is not null and c.carrier_call_id is not null
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

/// Whether the call that the carrier means is to be recorded. One that nobody knows is not.
pub async fn is_wanted(
    db: impl PgExecutor<'_>,
    carrier: Carrier,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
) -> sqlx::Result<bool> {
    let wanted = sqlx::query_scalar!(
        r#"
        select call_is_recorded(g.record, v.settings) as "wanted!"
        from calls c
        join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
        left join campaigns g on g.id = c.campaign_id
        where c.reference = $2 or (c.carrier = $1 and c.carrier_call_id = $3)
        order by (c.reference = $2) is true desc
        limit 1
        "#,
        carrier.as_str(),
        reference,
        carrier_call_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(wanted.unwrap_or(false))
}

/// What became of the wish to delete a call's recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted, or will never be kept; its sound goes at once.
    Done,
    /// It is still being made.
    CallIsUp,
    NoSuchCall,
}

/// Deletes the call's recording for good: what the carrier or `media` may still come with is not kept either. Deleting it again
/// changes nothing. Pass a connection inside a transaction.
pub async fn delete(
    conn: &mut PgConnection,
    account: AccountId,
    call: CallId,
    now: DateTime<Utc>,
) -> sqlx::Result<Deletion> {
    let status = sqlx::query_scalar!(
        r#"select status as "status: CallStatus" from calls where account_id = $1 and id = $2"#,
        account as AccountId,
        call as CallId,
    )
    .fetch_optional(&mut *conn)
    .await?;
    match status {
        None => return Ok(Deletion::NoSuchCall),
        Some(status) if !status.is_terminal() => return Ok(Deletion::CallIsUp),
        Some(_) => {}
    }
    let done = sqlx::query!(
        r#"
        insert into recordings as r (call_id, account_id, source_url, status, reason, deleted_at)
        values ($1, $2, '', 'deleted', $3, $4)
        on conflict (call_id) do update
        set status = 'deleted', reason = excluded.reason, deleted_at = excluded.deleted_at, source_url = ''
        where r.status <> 'deleted'
        "#,
        call as CallId,
        account as AccountId,
        ON_REQUEST,
        now,
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 1 {
        let event = NewEvent {
            account_id: account,
            call_id: Some(call),
            lead_id: None,
            kind: "recording_deleted",
            data: json!({}),
            at: now,
        };
        call_event::record(&mut *conn, event).await?;
        recording_piece::assemble(&mut *conn, call).await?;
        crate::jobs::nudge(conn, &Retain::default()).await?;
    }
    Ok(Deletion::Done)
}

/// Deleted recordings whose sound is still in the object store: the call, and the object's key.
pub async fn erasable(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<(CallId, String)>> {
    let rows = sqlx::query!(
        r#"
        select call_id as "call_id: CallId", object_key as "object_key!" from recordings
        where status = 'deleted' and object_key is not null
        order by deleted_at
        limit $1
        "#,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.call_id, row.object_key)).collect())
}

/// The object is gone.
pub async fn erased(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<()> {
    sqlx::query!("update recordings set object_key = null where call_id = $1 and status = 'deleted'", call as CallId)
        .execute(db)
        .await?;
    Ok(())
}
