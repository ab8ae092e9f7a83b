//! How long an account keeps what it has of people: recordings, what was said, and carriers' webhooks as they came.
//!
//! Days are counted by the wall clock from the recording's storing and the webhook's arrival, and in domain time from the end of a
//! call whose words go. What the business needs stays: the call, its times, its disposition and score, its history.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgExecutor};

use crate::call_event::{self, NewEvent};
use crate::id::{AccountId, CallId};
use crate::jobs::assemble_recording::AssembleRecording;
use crate::recording;

/// What is no account's own (a webhook that names no call of ours) is kept for so long.
const UNCLAIMED_DAYS: i32 = 90;

/// How long an account keeps things; `None` keeps them for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Retention {
    pub keep_recordings_days: Option<i32>,
    /// What was said, and what was made of it: turns, summary, extracted answers.
    pub keep_transcripts_days: Option<i32>,
    /// Carriers' webhooks as they came.
    pub keep_webhooks_days: Option<i32>,
}

/// How much one batch deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    pub recordings: u64,
    pub transcripts: u64,
    pub webhooks: u64,
}

impl Deleted {
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// Of one kind there was as much as the batch takes: there may be more.
    #[must_use]
    pub fn reaches(self, limit: i64) -> bool {
        [self.recordings, self.transcripts, self.webhooks].iter().any(|&count| count >= limit.unsigned_abs())
    }
}

/// The accounts that do not keep everything.
pub async fn accounts(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(AccountId, Retention)>> {
    let rows = sqlx::query!(
        r#"
        select id as "id: AccountId", keep_recordings_days, keep_transcripts_days, keep_webhooks_days
        from accounts
        where num_nonnulls(keep_recordings_days, keep_transcripts_days, keep_webhooks_days) > 0
        order by id
        "#
    )
    .fetch_all(db)
    .await?;
    let retention = rows.into_iter().map(|row| {
        let retention = Retention {
            keep_recordings_days: row.keep_recordings_days,
            keep_transcripts_days: row.keep_transcripts_days,
            keep_webhooks_days: row.keep_webhooks_days,
        };
        (row.id, retention)
    });
    Ok(retention.collect())
}

/// Deletes at most `limit` of each kind that is past its time, and writes down how much. The sound of recordings goes later
/// ([`recording::erasable`]). Pass a connection inside a transaction.
pub async fn apply(
    conn: &mut PgConnection,
    account: AccountId,
    retention: &Retention,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Deleted> {
    let mut deleted = Deleted::default();
    if let Some(days) = retention.keep_recordings_days {
        deleted.recordings = recordings(&mut *conn, account, days, now, limit).await?;
    }
    if let Some(days) = retention.keep_transcripts_days {
        deleted.transcripts = words(&mut *conn, account, days, now, limit).await?;
    }
    if let Some(days) = retention.keep_webhooks_days {
        deleted.webhooks = webhooks(&mut *conn, Some(account), days, limit).await?;
    }
    if !deleted.is_nothing() {
        let data = json!({ "recordings": deleted.recordings, "transcripts": deleted.transcripts,
            "webhooks": deleted.webhooks, "retention": retention });
        let event =
            NewEvent { account_id: account, call_id: None, lead_id: None, kind: "retention_applied", data, at: now };
        call_event::record(conn, event).await?;
    }
    Ok(deleted)
}

/// Deletes at most `limit` old webhooks that are no account's.
pub async fn apply_to_unclaimed(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Deleted> {
    Ok(Deleted { webhooks: webhooks(conn, None, UNCLAIMED_DAYS, limit).await?, ..Deleted::default() })
}

async fn recordings(
    conn: &mut PgConnection,
    account: AccountId,
    days: i32,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let calls = sqlx::query_scalar!(
        r#"
        with old as (
            select call_id from recordings
            where account_id = $1 and status = 'stored' and stored_at < now() - make_interval(days => $2)
            order by stored_at
            limit $3
            for update skip locked
        )
        update recordings r
        set status = 'deleted', reason = $4, deleted_at = $5, source_url = ''
        from old
        where r.call_id = old.call_id
        returning r.call_id as "call_id: CallId"
        "#,
        account as AccountId,
        days,
        limit,
        recording::BY_RETENTION,
        now,
    )
    .fetch_all(&mut *conn)
    .await?;
    // Pieces that came too late to be in it go as well.
    let ids: Vec<i64> = calls.iter().map(|call| call.0).collect();
    let with_pieces = sqlx::query_scalar!(
        r#"select distinct call_id as "call_id: CallId" from recording_pieces where call_id = any($1)"#,
        &ids
    )
    .fetch_all(&mut *conn)
    .await?;
    for call_id in with_pieces {
        crate::jobs::nudge(&mut *conn, &AssembleRecording { call_id }).await?;
    }
    Ok(calls.len() as u64)
}

/// What was said in a call, and what was written down of it in words. A conversation that is still to be summarised waits for that.
async fn words(
    conn: &mut PgConnection,
    account: AccountId,
    days: i32,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let calls = sqlx::query_scalar!(
        r#"
        with old as (
            select c.id from calls c
            where c.account_id = $1 and c.answered_at is not null and c.words_deleted_at is null
                and c.ended_at < $2::timestamptz - make_interval(days => $3)
                and not exists (select from conversations v where v.call_id = c.id and v.summary_status = 'pending')
            order by c.ended_at
            limit $4
            for update of c skip locked
        ),
        said as (
            delete from turns t using old where t.call_id = old.id
        ),
        understood as (
            update conversations v
            set answers = '{}', callback_text = null, summary = null, summary_error = null, intent = null, extracted = null,
                score_reasons = null
            from old
            where v.call_id = old.id
        ),
        unsettled as (
            update streams s set unsettled = null, heard = null from old where s.call_id = old.id
        ),
        -- The human's words in the history, and in the questions of a carrier that gathers speech.
        noted as (
            update call_events e
            set data = (e.data - '{note,when,digits}'::text[]) #- '{fields,SpeechResult}'
            from old
            where e.call_id = old.id
                and (e.data ?| '{note,when,digits}'::text[] or e.data #> '{fields,SpeechResult}' is not null)
        )
        update calls c set words_deleted_at = $2 from old where c.id = old.id
        returning c.id
        "#,
        account as AccountId,
        now,
        days,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(calls.len() as u64)
}

async fn webhooks(conn: &mut PgConnection, account: Option<AccountId>, days: i32, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        with old as (
            select id from call_events
            where kind = 'webhook' and (account_id = $1 or ($1::bigint is null and account_id is null))
                and received_at < now() - make_interval(days => $2)
            order by received_at
            limit $3
            for update skip locked
        )
        delete from call_events e using old where e.id = old.id
        "#,
        account as Option<AccountId>,
        days,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
