//! The append-only history of a call and its lead: raw webhooks, transitions and their reasons.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::call::Carrier;
use crate::id::{AccountId, CallEventId, CallId, LeadId};

/// Something that happened to a call or a lead, decided by us.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    pub account_id: AccountId,
    pub call_id: Option<CallId>,
    pub lead_id: Option<LeadId>,
    /// Verb or fact in snake case: `reserved`, `dialing`, `withdrawn`, `opted_out`, …
    pub kind: &'a str,
    pub data: serde_json::Value,
    /// Domain time.
    pub at: DateTime<Utc>,
}

pub async fn record(db: impl PgExecutor<'_>, event: NewEvent<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into call_events (account_id, call_id, lead_id, kind, data, at, applied_at)
        values ($1, $2, coalesce($3, (select lead_id from calls where id = $2)), $4, $5, $6, now())
        "#,
        event.account_id as AccountId,
        event.call_id as Option<CallId>,
        event.lead_id as Option<LeadId>,
        event.kind,
        event.data,
        event.at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores a carrier's webhook as it came, before anybody looks at it. `None`: it was heard before (same `event_key`).
pub async fn store_webhook(
    db: impl PgExecutor<'_>,
    carrier: Carrier,
    event_key: &str,
    data: &serde_json::Value,
    at: DateTime<Utc>,
) -> sqlx::Result<Option<CallEventId>> {
    sqlx::query_scalar!(
        r#"
        insert into call_events (kind, carrier, event_key, data, at)
        values ('webhook', $1, $2, $3, $4)
        on conflict (carrier, event_key) do nothing
        returning id as "id: CallEventId"
        "#,
        carrier.as_str(),
        event_key,
        data,
        at,
    )
    .fetch_optional(db)
    .await
}

/// Ties a stored webhook to its call and marks it applied.
pub async fn mark_applied(db: impl PgExecutor<'_>, id: CallEventId, call_id: Option<CallId>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update call_events e
        set applied_at = now(), call_id = c.id, account_id = c.account_id, lead_id = c.lead_id
        from (select 1) one left join calls c on c.id = $2
        where e.id = $1
        "#,
        id as CallEventId,
        call_id as Option<CallId>,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One line of a call's history.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CallEvent {
    pub id: CallEventId,
    pub kind: String,
    pub data: serde_json::Value,
    pub at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
}

/// The latest 500 events of a call, oldest first: no call has that many unless a carrier repeats itself.
pub async fn of_call(db: impl PgExecutor<'_>, call_id: CallId) -> sqlx::Result<Vec<CallEvent>> {
    sqlx::query_as!(
        CallEvent,
        r#"
        select id as "id!: CallEventId", kind as "kind!", data as "data!", at as "at!", received_at as "received_at!"
        from (select * from call_events where call_id = $1 order by id desc limit 500) latest
        order by id
        "#,
        call_id as CallId,
    )
    .fetch_all(db)
    .await
}
