//! What operators must look at. An alert is written with what it is about, in one transaction; a webhook hears of it.
//!
//! Of one account, kind and campaign at most one is open. What a pause raised, its resume resolves; what only somebody's eyes
//! can end (calls nobody can say anything about, dead letters) is resolved by acknowledging it, or by being gone.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::id::{AccountId, AlertId, CampaignId};
use crate::jobs::deliver_alert::DeliverAlert;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum AlertKind {
    /// A campaign paused because the system fails.
    CircuitBreaker,
    /// The account's carrier account has no money left; its campaigns paused.
    Balance,
    /// The carrier refuses our credentials; the account's campaigns paused.
    CarrierAuth,
    /// Nobody can say what became of calls.
    CallUnknown,
    /// Jobs have given up.
    DeadJob,
    /// A model that calls are held with ends soon.
    ModelShutdown,
}

impl AlertKind {
    pub const ALL: [Self; 6] =
        [Self::CircuitBreaker, Self::Balance, Self::CarrierAuth, Self::CallUnknown, Self::DeadJob, Self::ModelShutdown];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CircuitBreaker => "circuit_breaker",
            Self::Balance => "balance",
            Self::CarrierAuth => "carrier_auth",
            Self::CallUnknown => "call_unknown",
            Self::DeadJob => "dead_job",
            Self::ModelShutdown => "model_shutdown",
        }
    }

    /// `critical`: calling has stopped.
    #[must_use]
    pub const fn severity(self) -> &'static str {
        match self {
            Self::CircuitBreaker | Self::Balance | Self::CarrierAuth => "critical",
            Self::CallUnknown | Self::DeadJob | Self::ModelShutdown => "warning",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Alert {
    pub id: AlertId,
    pub account_id: AccountId,
    pub kind: AlertKind,
    /// `None`: the whole account.
    pub campaign_id: Option<CampaignId>,
    pub severity: String,
    pub title: String,
    pub detail: String,
    pub at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub acknowledged_at: Option<DateTime<Utc>>,
    pub delivered_at: Option<DateTime<Utc>>,
}

/// `head`, every column of [`Alert`] typed, `tail`.
macro_rules! query_alert {
    ($head:literal, $tail:literal $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            Alert,
            $head + r#"
            id as "id: AlertId", account_id as "account_id: AccountId", kind as "kind: AlertKind",
                campaign_id as "campaign_id: CampaignId", severity, title, detail, at, resolved_at, acknowledged_at,
                delivered_at
            "# + $tail
            $(, $arg)*
        )
    };
}

/// What is to be told. No number, name or spoken word.
#[derive(Clone, Debug)]
pub struct NewAlert<'a> {
    pub account_id: AccountId,
    pub kind: AlertKind,
    pub campaign_id: Option<CampaignId>,
    pub title: &'a str,
    pub detail: &'a str,
    /// Domain time.
    pub at: DateTime<Utc>,
}

/// Raises an alert and has it delivered, in the caller's transaction. `None` if one like it is open.
pub async fn raise(db: &mut PgConnection, alert: NewAlert<'_>) -> sqlx::Result<Option<AlertId>> {
    let raised = sqlx::query_scalar!(
        r#"
        insert into alerts (account_id, kind, campaign_id, severity, title, detail, at)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict do nothing
        returning id as "id: AlertId"
        "#,
        alert.account_id as AccountId,
        alert.kind.as_str(),
        alert.campaign_id as Option<CampaignId>,
        alert.kind.severity(),
        alert.title,
        alert.detail,
        alert.at,
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(alert_id) = raised {
        crate::jobs::enqueue(&mut *db, &DeliverAlert { alert_id }).await?;
        let (kind, account_id) = (alert.kind.as_str(), alert.account_id);
        let campaign_id = alert.campaign_id.map(|id| id.0);
        tracing::error!(%alert_id, %account_id, campaign_id, kind, "an alert is raised");
    }
    Ok(raised)
}

/// The campaign goes on, or is over for good: what it was paused for is resolved, the account's pauses with it.
pub(crate) async fn resolve_pauses(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update alerts set resolved_at = $3, changed_at = now()
        where account_id = $1 and resolved_at is null and (
            (kind = 'circuit_breaker' and campaign_id = $2)
            -- Still true while other campaigns of the account are paused for it.
            or (kind in ('balance', 'carrier_auth') and not exists (
                select from campaigns g
                where g.account_id = $1 and g.id <> $2 and g.status = 'paused' and g.pause_reason = alerts.kind
            ))
        )
        "#,
        account as AccountId,
        campaign as CampaignId,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Somebody has seen it. What no resume would end is resolved by that. `None` if the account has no such alert; a second
/// acknowledgement changes nothing.
pub async fn acknowledge(
    db: impl PgExecutor<'_>,
    account: AccountId,
    id: AlertId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Alert>> {
    query_alert!(
        r#"
        update alerts
        set acknowledged_at = coalesce(acknowledged_at, $3),
            resolved_at = case when kind in ('call_unknown', 'dead_job', 'model_shutdown') then coalesce(resolved_at, $3) else resolved_at end,
            changed_at = case when acknowledged_at is null then now() else changed_at end
        where account_id = $1 and id = $2
        returning
        "#,
        "",
        account as AccountId,
        id as AlertId,
        now,
    )
    .fetch_optional(db)
    .await
}

pub async fn get(db: impl PgExecutor<'_>, id: AlertId) -> sqlx::Result<Option<Alert>> {
    query_alert!("select", "from alerts where id = $1", id as AlertId).fetch_optional(db).await
}

/// Newest first, older than `before`, then behind `offset` of them. `open`: whether they are unresolved; `None`: all.
pub async fn list(
    db: impl PgExecutor<'_>,
    account: AccountId,
    open: Option<bool>,
    before: Option<i64>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<Alert>> {
    query_alert!(
        "select",
        r#"
        from alerts
        where account_id = $1 and ($2::boolean is null or (resolved_at is null) = $2) and ($3::bigint is null or id < $3)
        order by id desc
        offset $4 limit $5
        "#,
        account as AccountId,
        open,
        before,
        offset,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn count(db: impl PgExecutor<'_>, account: AccountId, open: Option<bool>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from alerts
        where account_id = $1 and ($2::boolean is null or (resolved_at is null) = $2)
        "#,
        account as AccountId,
        open,
    )
    .fetch_one(db)
    .await
}

/// Of every account; a kind of which none is open is absent.
pub async fn open_by_kind(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(AlertKind, i64)>> {
    let rows = sqlx::query!(
        r#"
        select kind as "kind: AlertKind", count(*) as "count!" from alerts where resolved_at is null group by kind
        "#,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.kind, row.count)).collect())
}

/// The webhook has taken it.
pub async fn delivered(db: impl PgExecutor<'_>, id: AlertId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update alerts set delivered_at = coalesce(delivered_at, $2) where id = $1", id as AlertId, now)
        .execute(db)
        .await?;
    Ok(())
}

/// Alerts whose delivery has neither happened nor been given up: `sweep` sees to it that each has its job.
pub async fn undelivered(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<AlertId>> {
    sqlx::query_scalar!(
        r#"
        select id as "id: AlertId" from alerts a
        where delivered_at is null and resolved_at is null
            -- A job that is done or has given up stays until it is pruned, which is when it has long been too late.
            and changed_at > now() - interval '1 day'
            and not exists (
                select from apalis.jobs j where j.job_type = 'deliver_alert' and j.idempotency_key = 'alert:' || a.id
            )
        order by id
        limit 100
        "#,
    )
    .fetch_all(db)
    .await
}
