//! Numbers that must not be called: the list wins over everything, at once, across campaigns.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::dial::{self, Refusal};
use crate::id::{AccountId, CallId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Operator,
    /// Asked for in a conversation.
    Call,
    /// The carrier refused to dial (TRAI's register and its like).
    Carrier,
    /// Texted; the only one that a text message can take back.
    Sms,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Call => "call",
            Self::Carrier => "carrier",
            Self::Sms => "sms",
        }
    }
}

/// Adds a number, suppresses every waiting lead of the account that has it, and withdraws a call to it that has not been dialed
/// yet. Adding it again changes nothing, except that a wish which was only texted gives way to one that a text cannot take back.
///
/// Pass a connection inside a transaction.
pub async fn add(
    db: &mut PgConnection,
    account: AccountId,
    phone: &str,
    source: Source,
    reason: &str,
    call: Option<CallId>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into do_not_call (account_id, phone, reason, source, call_id, created_at) values ($1, $2, $3, $4, $5, $6)
        on conflict (account_id, phone) do update
        set source = excluded.source, reason = excluded.reason, call_id = excluded.call_id
        where do_not_call.source = 'sms' and excluded.source <> 'sms'
        "#,
        account as AccountId,
        phone,
        reason,
        source.as_str(),
        call as Option<CallId>,
        now,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        r#"
        with suppressed as (
            update leads set status = 'suppressed', suppression_reason = 'do_not_call', updated_at = $3
            where account_id = $1 and phone = $2 and status in ('pending', 'waiting_retry', 'callback_scheduled')
            returning id
        )
        insert into call_events (account_id, lead_id, kind, data, at, applied_at)
        select $1, id, 'suppressed', jsonb_build_object('reason', 'do_not_call', 'source', $4::text), $3, now() from suppressed
        "#,
        account as AccountId,
        phone,
        now,
        source.as_str(),
    )
    .execute(&mut *db)
    .await?;
    // A statement of its own, behind the update that waited for dispatchers: it sees the calls that they have reserved.
    let reserved = sqlx::query_scalar!(
        r#"
        select id as "id: CallId" from calls
        where account_id = $1 and phone = $2 and direction = 'outbound' and status = 'queued'
        "#,
        account as AccountId,
        phone,
    )
    .fetch_all(&mut *db)
    .await?;
    for call in reserved {
        dial::withdraw(&mut *db, call, Refusal::DoNotCall, now, None).await?;
    }
    Ok(())
}

/// Takes back a wish that was texted; any other stays. With no account: in every account. Leads that it suppressed stay
/// suppressed, as with [`remove`]. Answers from whose lists the number went.
pub(crate) async fn lift_texted(
    db: impl PgExecutor<'_>,
    account: Option<AccountId>,
    phones: &[String],
) -> sqlx::Result<Vec<AccountId>> {
    sqlx::query_scalar!(
        r#"
        delete from do_not_call
        where phone = any($2) and source = 'sms' and ($1::bigint is null or account_id = $1)
        returning account_id as "account: AccountId"
        "#,
        account as Option<AccountId>,
        phones,
    )
    .fetch_all(db)
    .await
}

/// [`add`], for the human at the other end of `call`.
pub async fn opt_out(db: &mut PgConnection, call: CallId, words: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    let Some(row) =
        sqlx::query!(r#"select account_id as "account_id: AccountId", phone from calls where id = $1"#, call as CallId)
            .fetch_optional(&mut *db)
            .await?
    else {
        return Ok(());
    };
    add(db, row.account_id, &row.phone, Source::Call, words, Some(call), now).await
}

/// One number of the list.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Entry {
    pub id: i64,
    /// E.164.
    pub phone: String,
    pub reason: String,
    /// `operator`, `call`, `carrier` or `sms`.
    pub source: String,
    /// The call in which it was asked for.
    pub call_id: Option<CallId>,
    pub created_at: DateTime<Utc>,
}

/// Newest first, older than `before`, then behind `offset` of them; `phone` looks for one number.
pub async fn list(
    db: impl PgExecutor<'_>,
    account: AccountId,
    phone: Option<&str>,
    before: Option<i64>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as!(
        Entry,
        r#"
        select id, phone, reason, source, call_id as "call_id: CallId", created_at
        from do_not_call
        where account_id = $1 and ($2::text is null or phone = $2) and ($3::bigint is null or id < $3)
        order by id desc
        offset $4 limit $5
        "#,
        account as AccountId,
        phone,
        before,
        offset,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn count(db: impl PgExecutor<'_>, account: AccountId, phone: Option<&str>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from do_not_call where account_id = $1 and ($2::text is null or phone = $2)"#,
        account as AccountId,
        phone,
    )
    .fetch_one(db)
    .await
}

/// Takes a number off the list. Leads that it suppressed stay suppressed: whoever wants them called lists them anew.
pub async fn remove(db: impl PgExecutor<'_>, account: AccountId, phone: &str) -> sqlx::Result<bool> {
    let done =
        sqlx::query!("delete from do_not_call where account_id = $1 and phone = $2", account as AccountId, phone)
            .execute(db)
            .await?;
    Ok(done.rows_affected() == 1)
}
