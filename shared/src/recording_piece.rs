//! What `media` recorded of a call by itself: each stream in pieces, kept in the object store until they are needed or known not to
//! be.
//!
//! The carrier's recording comes first. Ours becomes the call's recording when the carrier's is missing or has failed, when it
//! has none to give, and when it makes us wait for longer than is sensible; `recordings.source` says whose it is.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor};

use crate::id::{AccountId, CallId};
use crate::jobs::assemble_recording::AssembleRecording;
use crate::recording::{self, StoredRecording};

/// A piece that is in the object store.
#[derive(Clone, Debug)]
pub struct NewPiece {
    /// The same however often it is noted.
    pub id: String,
    pub account_id: AccountId,
    pub call_id: CallId,
    /// Since the conversation began.
    pub offset_ms: i64,
    pub duration_ms: i64,
    pub object_key: String,
}

/// A piece that was noted.
#[derive(Clone, Debug)]
pub struct Piece {
    pub id: String,
    pub account_id: AccountId,
    pub offset_ms: i64,
    pub object_key: String,
    /// It is in the call's recording.
    pub is_used: bool,
}

/// What is to be done with a call's pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The call is up, or its carrier's recording may still come.
    Wait,
    /// The carrier's recording is kept, or none is to be.
    Needless,
    /// They are the recording, laid over the one that was made of earlier ones, if any.
    Assemble { over: Option<String> },
}

/// Notes a piece, and enqueues what follows; of a call that is up nothing does before its end. `false`: its call is gone. Pass a
/// connection inside a transaction.
pub async fn note(conn: &mut PgConnection, piece: &NewPiece) -> sqlx::Result<bool> {
    // Held against the end of the call, which looks for pieces: it sees this one, or is seen here.
    let is_live = sqlx::query_scalar!(
        r#"
        select status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred') as "is_live!"
        from calls
        where id = $1 and account_id = $2
        for share
        "#,
        piece.call_id as CallId,
        piece.account_id as AccountId,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(is_live) = is_live else { return Ok(false) };
    sqlx::query!(
        r#"
        insert into recording_pieces (id, call_id, account_id, offset_ms, duration_ms, object_key)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (id) do nothing
        "#,
        piece.id,
        piece.call_id as CallId,
        piece.account_id as AccountId,
        piece.offset_ms,
        piece.duration_ms,
        piece.object_key,
    )
    .execute(&mut *conn)
    .await?;
    if !is_live {
        assemble(conn, piece.call_id).await?;
    }
    Ok(true)
}

/// Something has happened to the call's recording: if there are pieces, what becomes of them is decided anew. Pass a connection
/// inside a transaction.
pub(crate) async fn assemble(conn: &mut PgConnection, call: CallId) -> sqlx::Result<()> {
    let has_pieces = sqlx::query_scalar!(
        r#"select exists (select from recording_pieces where call_id = $1) as "has!""#,
        call as CallId
    )
    .fetch_one(&mut *conn)
    .await?;
    if has_pieces {
        crate::jobs::nudge(conn, &AssembleRecording { call_id: call }).await?;
    }
    Ok(())
}

/// The call's pieces, in the order of the conversation.
pub async fn of_call(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<Vec<Piece>> {
    sqlx::query_as!(
        Piece,
        r#"
        select id, account_id as "account_id: AccountId", offset_ms, object_key, is_used
        from recording_pieces
        where call_id = $1
        order by offset_ms, id
        "#,
        call as CallId,
    )
    .fetch_all(db)
    .await
}

/// What is to be done with the call's pieces. The carrier is waited for until the last of them is `patience` old (wall clock).
pub async fn verdict(conn: &mut PgConnection, call: CallId, patience: Duration) -> sqlx::Result<Verdict> {
    let known = sqlx::query!(
        r#"
        select c.status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred') as "is_live!",
            r.status as "recording?", r.source as "source?", r.object_key as "object_key?",
            coalesce(
                (select max(created_at) from recording_pieces p where p.call_id = c.id) < now() - make_interval(secs => $2), true
            ) as "waited_enough!"
        from calls c left join recordings r on r.call_id = c.id
        where c.id = $1
        "#,
        call as CallId,
        patience.as_secs_f64(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(known) = known else { return Ok(Verdict::Needless) };
    if known.is_live {
        return Ok(Verdict::Wait);
    }
    Ok(match known.recording.as_deref() {
        Some("stored") if known.source.as_deref() == Some("media") => Verdict::Assemble { over: known.object_key },
        Some("stored" | "deleted") => Verdict::Needless,
        Some("pending") if !known.waited_enough => Verdict::Wait,
        None if !known.waited_enough && recording::is_expected(conn, call).await? => Verdict::Wait,
        _ => Verdict::Assemble { over: None },
    })
}

/// Keeps ours as the call's recording, after its object is stored, and marks the pieces that are in it. `false` if the carrier's
/// came first, or none is to be kept any more. Pass a connection inside a transaction.
pub async fn kept(
    conn: &mut PgConnection,
    call: CallId,
    ours: &StoredRecording,
    pieces: &[String],
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        insert into recordings as r
            (call_id, account_id, source_url, status, source, object_key, content_type, size_bytes, duration_ms, sha256, stored_at)
        select id, account_id, '', 'stored', 'media', $2, $3, $4, $5, $6, now() from calls where id = $1
        on conflict (call_id) do update
        set status = 'stored', source = 'media', object_key = excluded.object_key, content_type = excluded.content_type,
            size_bytes = excluded.size_bytes, duration_ms = excluded.duration_ms, sha256 = excluded.sha256,
            reason = null, stored_at = now()
        where r.status <> 'deleted' and (r.status <> 'stored' or r.source = 'media')
        "#,
        call as CallId,
        ours.object_key,
        ours.content_type,
        ours.size_bytes,
        ours.duration_ms,
        ours.sha256,
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "update recording_pieces set is_used = true where call_id = $1 and id = any($2)",
        call as CallId,
        pieces
    )
    .execute(conn)
    .await?;
    Ok(true)
}

/// Their objects are gone.
pub async fn forget(db: impl PgExecutor<'_>, call: CallId, pieces: &[String]) -> sqlx::Result<()> {
    sqlx::query!("delete from recording_pieces where call_id = $1 and id = any($2)", call as CallId, pieces)
        .execute(db)
        .await?;
    Ok(())
}
