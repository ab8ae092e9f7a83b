//! Connections, migrations, and the transaction of one tenant.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool, Postgres, Transaction};

use crate::id::AccountId;

pub type Tx = Transaction<'static, Postgres>;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// A pool of at most `max_connections`. Statements that run longer than 30 s are cut off by the server: nothing in the
/// product needs that long, and a stuck one would hold its locks.
///
/// # Errors
/// A malformed URL. The database itself may still be away: each use then waits for it up to 30 s.
pub fn connect(url: &str, max_connections: u32, process: &str) -> sqlx::Result<PgPool> {
    let options = PgConnectOptions::from_str(url)?
        .application_name(process)
        .options([
            ("statement_timeout", "30000"),
            ("idle_in_transaction_session_timeout", "60000"),
            // Of a million leads the planner thinks that compiling pays: a second, for a statement of seven milliseconds.
            ("jit", "off"),
        ])
        .disable_statement_logging();
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(30))
        .connect_lazy_with(options))
}

/// Brings the job queue's schema and ours up to date; safe to run from several processes at once.
///
/// # Errors
/// The database refused a migration, or is out of reach.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    use anyhow::Context;
    // Two releases that start together would otherwise race through apalis' own migrations.
    let mut lock = pool.acquire().await.context("cannot reach the database (DATABASE_URL)")?;
    sqlx::query!("select pg_advisory_lock(7206172616)").fetch_one(&mut *lock).await?;
    let outcome = async {
        apalis_postgres::PostgresStorage::setup(pool).await.context("the job queue's migrations failed")?;
        MIGRATIONS.run(pool).await.context("our migrations failed")
    }
    .await;
    sqlx::query!("select pg_advisory_unlock(7206172616)").fetch_one(&mut *lock).await?;
    outcome
}

/// Whether the database answers and has every migration that this release knows.
///
/// # Errors
/// The database is out of reach, or was never migrated.
pub async fn is_migrated(pool: &PgPool) -> sqlx::Result<bool> {
    // Not a macro: the table is the migrator's own, and need not exist where queries are checked.
    let applied: Vec<i64> =
        sqlx::query_scalar("select version from _sqlx_migrations where success").fetch_all(pool).await?;
    Ok(MIGRATIONS.iter().all(|migration| applied.contains(&migration.version)))
}

/// A transaction that sees the rows of one account alone (row-level security).
///
/// # Errors
/// The database is out of reach.
pub async fn tenant(pool: &PgPool, account: AccountId) -> sqlx::Result<Tx> {
    let mut tx = pool.begin().await?;
    sqlx::query!("select set_config('trunkline.account_id', $1, true)", account.to_string())
        .fetch_one(&mut *tx)
        .await?;
    Ok(tx)
}

/// The constraint that refused a statement, if one did: the database is the referee, and this names its verdict.
#[must_use]
pub fn violated_constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(|error| error.constraint())
}

/// Whether the database answers.
///
/// # Errors
/// It does not.
pub async fn ping(db: impl sqlx::PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("select 1 as one").fetch_one(db).await?;
    Ok(())
}
