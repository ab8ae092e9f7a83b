//! The tenant: one real-estate agency or agent.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::call::Carrier;
use crate::call_event::{self, NewEvent};
use crate::id::{AccountId, CampaignId};
use crate::jobs::dispatch_campaign::DispatchCampaign;
use crate::retention::Retention;

#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub region: String,
    pub time_zone: String,
    pub max_concurrent_calls: i32,
    pub calls_per_second: f64,
    pub min_gap_minutes: i32,
    pub max_calls_per_number_per_day: i32,
    pub carrier: Carrier,
    pub keep_recordings_days: Option<i32>,
    pub keep_transcripts_days: Option<i32>,
    pub keep_webhooks_days: Option<i32>,
    pub created_at: DateTime<Utc>,
}

impl Account {
    /// As they stand.
    #[must_use]
    pub fn settings(&self) -> AccountSettings {
        AccountSettings {
            region: self.region.clone(),
            time_zone: self.time_zone.clone(),
            max_concurrent_calls: self.max_concurrent_calls,
            calls_per_second: self.calls_per_second,
            min_gap_minutes: self.min_gap_minutes,
            max_calls_per_number_per_day: self.max_calls_per_number_per_day,
            carrier: self.carrier,
            retention: Retention {
                keep_recordings_days: self.keep_recordings_days,
                keep_transcripts_days: self.keep_transcripts_days,
                keep_webhooks_days: self.keep_webhooks_days,
            },
        }
    }
}

/// What holds for all campaigns of an account together.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AccountSettings {
    /// Two-letter country in which a number without a country code is meant.
    pub region: String,
    /// For leads whose number does not tell their zone, from the next upload on.
    pub time_zone: String,
    pub max_concurrent_calls: i32,
    /// Calls started per second.
    pub calls_per_second: f64,
    /// Between two calls to one number.
    pub min_gap_minutes: i32,
    /// In any 24 hours.
    pub max_calls_per_number_per_day: i32,
    /// Whom new calls are placed with.
    pub carrier: Carrier,
    #[serde(flatten)]
    pub retention: Retention,
}

pub async fn create(db: impl PgExecutor<'_>, name: &str, region: &str, time_zone: &str) -> sqlx::Result<AccountId> {
    sqlx::query_scalar!(
        r#"insert into accounts (name, region, time_zone) values ($1, $2, $3) returning id as "id: AccountId""#,
        name,
        region,
        time_zone,
    )
    .fetch_one(db)
    .await
}

pub async fn get(db: impl PgExecutor<'_>, id: AccountId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"
        select id as "id: AccountId", name, region, time_zone, max_concurrent_calls, calls_per_second, min_gap_minutes,
            max_calls_per_number_per_day, carrier as "carrier: Carrier", keep_recordings_days, keep_transcripts_days,
            keep_webhooks_days, created_at
        from accounts
        where id = $1
        "#,
        id as AccountId,
    )
    .fetch_optional(db)
    .await
}

/// [`get`], holding the row until the transaction ends.
pub async fn lock(db: &mut PgConnection, id: AccountId) -> sqlx::Result<Option<Account>> {
    sqlx::query!("select id from accounts where id = $1 for no key update", id as AccountId)
        .fetch_optional(&mut *db)
        .await?;
    get(db, id).await
}

/// Changes the account's settings, writes down what was before and after, and wakes its dispatchers: a cap may have been
/// raised. Pass a connection inside a transaction that holds the row ([`lock`]).
pub async fn update(
    db: &mut PgConnection,
    before: &Account,
    settings: &AccountSettings,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if before.settings() == *settings {
        return Ok(());
    }
    sqlx::query!(
        r#"
        update accounts
        set region = $2, time_zone = $3, max_concurrent_calls = $4, calls_per_second = $5, min_gap_minutes = $6,
            max_calls_per_number_per_day = $7, carrier = $8, keep_recordings_days = $9, keep_transcripts_days = $10,
            keep_webhooks_days = $11
        where id = $1
        "#,
        before.id as AccountId,
        settings.region,
        settings.time_zone,
        settings.max_concurrent_calls,
        settings.calls_per_second,
        settings.min_gap_minutes,
        settings.max_calls_per_number_per_day,
        settings.carrier.as_str(),
        settings.retention.keep_recordings_days,
        settings.retention.keep_transcripts_days,
        settings.retention.keep_webhooks_days,
    )
    .execute(&mut *db)
    .await?;
    let data = serde_json::json!({ "before": before.settings(), "after": settings });
    let event =
        NewEvent { account_id: before.id, call_id: None, lead_id: None, kind: "account_changed", data, at: now };
    call_event::record(&mut *db, event).await?;
    let running = sqlx::query_scalar!(
        r#"select id as "id: CampaignId" from campaigns where account_id = $1 and status = 'running' order by id"#,
        before.id as AccountId,
    )
    .fetch_all(&mut *db)
    .await?;
    for campaign_id in running {
        crate::jobs::nudge(&mut *db, &DispatchCampaign { campaign_id }).await?;
    }
    Ok(())
}

/// The oldest account, made with the defaults (India) if there is none: whose data `AUTH=open` shows.
///
/// The lock makes two processes that start together agree on one; pass a connection inside a transaction.
pub async fn ensure_first(db: &mut PgConnection) -> sqlx::Result<AccountId> {
    sqlx::query!("lock table accounts in share row exclusive mode").execute(&mut *db).await?;
    let first = sqlx::query_scalar!(r#"select id as "id: AccountId" from accounts order by id limit 1"#)
        .fetch_optional(&mut *db)
        .await?;
    match first {
        Some(id) => Ok(id),
        None => create(db, "Default account", "IN", "Asia/Kolkata").await,
    }
}
