//! The tenant: one real-estate agency or agent.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::id::AccountId;

#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    /// Two-letter country in which a number without a country code is meant.
    pub region: String,
    pub time_zone: String,
    pub max_concurrent_calls: i32,
    pub created_at: DateTime<Utc>,
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
        select id as "id: AccountId", name, region, time_zone, max_concurrent_calls, created_at
        from accounts
        where id = $1
        "#,
        id as AccountId,
    )
    .fetch_optional(db)
    .await
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
