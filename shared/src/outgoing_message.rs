//! Text messages that a voice agent sends in a call, because the human asked for one.
//!
//! Written down with their job, sent by `send_message`, at most once: `sending` is committed before the request leaves, and whoever
//! finds a message so says `unknown` instead of sending it again.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgExecutor};

use crate::call::Carrier;
use crate::call_event::{self, NewEvent};
use crate::do_not_call::{self, Source};
use crate::id::{AccountId, CallId, MessageId};
use crate::jobs::{self, send_message::SendMessage};
use crate::message::REASON;

/// Of one voice agent.
pub const MOST_TEMPLATES: usize = 10;
/// What Exotel takes at most.
pub const LONGEST_TEXT: usize = 1_000;

/// Twilio's code for a number that has texted STOP.
const TWILIO_OPTED_OUT: &str = "21610";

/// A text that a voice agent may send.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageTemplate {
    /// What the model calls it: `brochure`.
    pub name: String,
    /// What it holds, for the model.
    pub description: String,
    /// `{name}` and any lead variable are filled in.
    pub text: String,
    /// India's registry of texts (DLT) knows it under this id; Exotel sends none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dlt_template_id: Option<String>,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub carrier: Carrier,
    /// E.164.
    pub phone: String,
    pub text: String,
    pub dlt_template_id: Option<String>,
}

/// Writes a message down for the call's human, with the job that sends it. `false` if this call has asked for it before. Pass a
/// connection inside a transaction.
pub async fn request(
    db: &mut PgConnection,
    call: CallId,
    template: &str,
    text: &str,
    dlt_template_id: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let written = sqlx::query!(
        r#"
        insert into messages (account_id, direction, carrier, phone, call_id, template, fields, status, at, applied_at)
        select account_id, 'outbound', carrier, phone, id, $2,
            jsonb_strip_nulls(jsonb_build_object('text', $3::text, 'dlt_template_id', $4::text)), 'queued', $5, now()
        from calls where id = $1
        on conflict (call_id, template) where direction = 'outbound' do nothing
        returning id as "id: MessageId", account_id as "account_id!: AccountId"
        "#,
        call as CallId,
        template,
        text,
        dlt_template_id,
        now,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(written) = written else { return Ok(false) };
    jobs::enqueue(&mut *db, &SendMessage { message_id: written.id }).await?;
    note(db, written.account_id, call, "message_requested", json!({"template": template}), now).await?;
    Ok(true)
}

/// Takes a message to be sent now; `None` where there is nothing to send: it was sent, or its number must not be written to, or an
/// earlier run broke off in the middle of sending it. Pass a connection inside a transaction, and commit before sending.
pub async fn begin(db: &mut PgConnection, id: MessageId, now: DateTime<Utc>) -> sqlx::Result<Option<Order>> {
    let row = sqlx::query!(
        r#"
        select m.status as "status!", m.carrier as "carrier: Carrier", m.phone as "phone!", m.fields,
            exists (select from do_not_call d where d.account_id = m.account_id and d.phone = m.phone) as "opted_out!"
        from messages m
        where m.id = $1 and m.direction = 'outbound'
        for update of m
        "#,
        id as MessageId,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    match row.status.as_str() {
        "queued" if row.opted_out => end(&mut *db, id, "failed", Some("do_not_call"), None, now).await?,
        "queued" => {
            sqlx::query!("update messages set status = 'sending' where id = $1", id as MessageId)
                .execute(&mut *db)
                .await?;
            let text = |name: &str| row.fields.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
            return Ok(Some(Order {
                carrier: row.carrier,
                phone: row.phone,
                text: text("text").unwrap_or_default(),
                dlt_template_id: text("dlt_template_id"),
            }));
        }
        "sending" => end(&mut *db, id, "unknown", Some("an earlier run ended half-way"), None, now).await?,
        _ => {}
    }
    Ok(None)
}

/// The carrier has it.
pub async fn sent(
    db: &mut PgConnection,
    id: MessageId,
    carrier_message_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    end(db, id, "sent", None, Some(carrier_message_id), now).await
}

/// The carrier refused it: it was not sent, and will not be.
pub async fn failed(db: &mut PgConnection, id: MessageId, reason: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    end(db, id, "failed", Some(reason), None, now).await
}

/// The carrier refused it because the number has texted STOP, to it or to us: nobody calls or writes to it any more. Pass a
/// connection inside a transaction.
pub async fn opted_out(db: &mut PgConnection, id: MessageId, now: DateTime<Utc>) -> sqlx::Result<()> {
    end(&mut *db, id, "failed", Some("opted_out"), None, now).await?;
    let to = sqlx::query!(
        r#"
        select account_id as "account_id!: AccountId", phone as "phone!", call_id as "call_id: CallId" from messages
        where id = $1 and direction = 'outbound'
        "#,
        id as MessageId,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(to) = to else { return Ok(()) };
    do_not_call::add(db, to.account_id, &to.phone, Source::Sms, REASON, to.call_id, now).await
}

/// Nobody knows whether the carrier has it.
pub async fn in_doubt(db: &mut PgConnection, id: MessageId, reason: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    end(db, id, "unknown", Some(reason), None, now).await
}

/// Certainly not sent: a later run may.
pub async fn hand_back(db: impl PgExecutor<'_>, id: MessageId) -> sqlx::Result<()> {
    sqlx::query!("update messages set status = 'queued' where id = $1 and status = 'sending'", id as MessageId)
        .execute(db)
        .await?;
    Ok(())
}

async fn end(
    db: &mut PgConnection,
    id: MessageId,
    status: &str,
    reason: Option<&str>,
    carrier_message_id: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ended = sqlx::query!(
        r#"
        update messages set status = $2, reason = $3, carrier_message_id = coalesce($4, carrier_message_id)
        where id = $1 and status in ('queued', 'sending')
        returning account_id as "account_id!: AccountId", call_id as "call_id!: CallId", template as "template!"
        "#,
        id as MessageId,
        status,
        reason,
        carrier_message_id,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(ended) = ended else { return Ok(()) };
    let kind = format!("message_{status}");
    let data = json!({"template": ended.template, "reason": reason});
    note(db, ended.account_id, ended.call_id, &kind, data, now).await
}

/// The carrier tells whether a message has arrived. `false` if it is none of ours, or that was known.
pub async fn arrived(
    db: &mut PgConnection,
    carrier: Carrier,
    carrier_message_id: &str,
    failure: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let status = if failure.is_some() { "failed" } else { "delivered" };
    let opted_out = carrier == Carrier::Twilio && failure == Some(TWILIO_OPTED_OUT);
    let told = sqlx::query!(
        r#"
        update messages set status = $3, reason = $4
        where carrier = $1 and carrier_message_id = $2 and direction = 'outbound' and status = 'sent'
        returning id as "id: MessageId", account_id as "account_id!: AccountId", call_id as "call_id!: CallId",
            template as "template!"
        "#,
        carrier.as_str(),
        carrier_message_id,
        status,
        failure,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(told) = told else { return Ok(false) };
    let kind = format!("message_{status}");
    let data = json!({"template": told.template, "reason": failure});
    note(&mut *db, told.account_id, told.call_id, &kind, data, now).await?;
    if opted_out {
        self::opted_out(db, told.id, now).await?;
    }
    Ok(true)
}

/// Is any message on its way to the carrier at this moment?
pub async fn is_being_sent(db: impl PgExecutor<'_>, carrier: Carrier) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from messages where status = 'sending' and carrier = $1) as "exists!""#,
        carrier.as_str()
    )
    .fetch_one(db)
    .await
}

/// Messages that should have been sent by now.
pub async fn unsent(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<MessageId>> {
    sqlx::query_scalar!(
        r#"
        select id as "id: MessageId" from messages
        where status in ('queued', 'sending') and received_at < now() - interval '60 s'
        order by id
        limit 500
        "#
    )
    .fetch_all(db)
    .await
}

async fn note(
    db: &mut PgConnection,
    account_id: AccountId,
    call: CallId,
    kind: &str,
    data: serde_json::Value,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    call_event::record(db, NewEvent { account_id, call_id: Some(call), lead_id: None, kind, data, at }).await
}
