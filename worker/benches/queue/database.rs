//! A fresh database per measurement.

use std::str::FromStr;

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, query};

pub struct BenchDb {
    pub name: String,
    pub pool: PgPool,
    /// On the server's own database: it leaves no trace in what is measured.
    pub server: PgPool,
}

impl BenchDb {
    pub async fn create(system: &str) -> anyhow::Result<Self> {
        let url = std::env::var("TEST_DATABASE_URL")
            .or_else(|_| std::env::var("DATABASE_URL"))
            .context("TEST_DATABASE_URL names a server on which databases may be created")?;
        let options = PgConnectOptions::from_str(&url)?;
        let server = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let name = format!("queue_bench_{system}_{}", ulid::Ulid::generate()).to_lowercase();
        query(AssertSqlSafe(format!("create database {name}"))).execute(&server).await?;
        let pool = PgPoolOptions::new().max_connections(32).connect_lazy_with(options.database(&name));
        Ok(Self { name, pool, server })
    }

    pub async fn with_apalis(system: &str) -> anyhow::Result<Self> {
        let db = Self::create(system).await?;
        apalis_postgres::PostgresStorage::setup(&db.pool).await?;
        Ok(db)
    }

    pub async fn with_our_queue() -> anyhow::Result<Self> {
        let db = Self::with_apalis("ours").await?;
        let migration = include_str!("../../../migrations/20261121090900_create_queue_tables.sql");
        sqlx::raw_sql(migration).execute(&db.pool).await?;
        Ok(db)
    }

    pub async fn drop(self) -> anyhow::Result<()> {
        self.pool.close().await;
        query(AssertSqlSafe(format!("drop database {} with (force)", self.name))).execute(&self.server).await?;
        Ok(())
    }
}
