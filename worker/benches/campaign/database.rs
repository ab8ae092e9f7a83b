//! One fresh, migrated database per run, and what the server counts about it.

use std::str::FromStr;

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, query, query_as, query_scalar};

/// Below this a sequential scan is the right plan.
pub const LARGE_TABLE_ROWS: f32 = 10_000.0;

pub struct BenchDb {
    pub name: String,
    pub url: String,
    /// The server's superuser in the benchmark's database: it reads statistics and takes no part in what is measured.
    pub observer: PgPool,
}

/// What the server has counted so far; the difference of two says what happened between them.
#[derive(Clone, Copy, Debug, Default, sqlx::FromRow)]
pub struct Written {
    pub wal_bytes: i64,
    pub wal_full_pages: i64,
    pub rows: i64,
    pub updates: i64,
    pub hot_updates: i64,
    pub statements: i64,
    pub blocks: i64,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Statement {
    pub calls: i64,
    pub wal_bytes: i64,
    pub ms: f64,
    /// Its beginning.
    pub text: String,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Relation {
    pub name: String,
    pub table_bytes: i64,
    pub index_bytes: i64,
    pub rows: f32,
}

impl BenchDb {
    /// The server must know the role `trunkline`, whose password is the superuser's: row-level security binds it as in
    /// production, and so the plans are production's.
    pub async fn create() -> anyhow::Result<Self> {
        let url = std::env::var("TEST_DATABASE_URL")
            .context("TEST_DATABASE_URL names a server on which databases may be created")?;
        let options = PgConnectOptions::from_str(&url)?;
        let server = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        let loaded: String =
            query_scalar("select current_setting('shared_preload_libraries')").fetch_one(&server).await?;
        let collected: String = query_scalar("select current_setting('logging_collector')").fetch_one(&server).await?;
        anyhow::ensure!(
            loaded.contains("pg_stat_statements") && collected == "on",
            "the server needs pg_stat_statements and a log that can be read: bin/bench campaign starts one"
        );
        let name = format!("campaign_bench_{}", ulid::Ulid::generate()).to_lowercase();
        query(AssertSqlSafe(format!("create database {name} owner trunkline"))).execute(&server).await?;
        server.close().await;
        let observer = PgPoolOptions::new().max_connections(2).connect_with(options.database(&name)).await?;
        query("create extension pg_stat_statements").execute(&observer).await?;
        let mut product = url::Url::parse(&url).context("TEST_DATABASE_URL")?;
        product.set_path(&name);
        product.set_username("trunkline").map_err(|()| anyhow::anyhow!("TEST_DATABASE_URL takes no user"))?;
        let db = Self { name, url: product.into(), observer };
        let pool = db.pool("migrate", 2)?;
        shared::db::migrate(&pool).await?;
        pool.close().await;
        Ok(db)
    }

    /// As a process of the product connects.
    pub fn pool(&self, process: &str, connections: u32) -> anyhow::Result<PgPool> {
        Ok(shared::db::connect(&self.url, connections, process)?)
    }

    /// After a load: what autovacuum would have done an hour later.
    pub async fn tidy(&self) -> anyhow::Result<()> {
        query("vacuum analyze").execute(&self.observer).await?;
        Ok(())
    }

    /// Backends report their counts when they end, so close the pools that did the work first.
    pub async fn written(&self) -> anyhow::Result<Written> {
        Ok(query_as(
            r#"
            select wal.wal_bytes::bigint, wal.wal_fpi as wal_full_pages, tables.rows, tables.updates, tables.hot_updates,
                statements.calls as statements, statements.blocks
            from pg_stat_wal wal,
                (select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint as rows, sum(n_tup_upd)::bigint as updates,
                    sum(n_tup_hot_upd)::bigint as hot_updates from pg_stat_user_tables) tables,
                (select coalesce(sum(calls), 0)::bigint as calls,
                    coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint as blocks
                 from pg_stat_statements s join pg_roles r on r.oid = s.userid
                 where r.rolname = 'trunkline'
                    and dbid = (select oid from pg_database where datname = current_database())) statements
            "#,
        )
        .fetch_one(&self.observer)
        .await?)
    }

    /// The largest first.
    pub async fn relations(&self) -> anyhow::Result<Vec<Relation>> {
        Ok(query_as(
            r#"
            select c.oid::regclass::text as name, pg_table_size(c.oid) as table_bytes, pg_indexes_size(c.oid) as index_bytes,
                greatest(c.reltuples, 0) as rows
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relkind = 'r' and n.nspname in ('public', 'apalis')
            order by pg_total_relation_size(c.oid) desc
            "#,
        )
        .fetch_all(&self.observer)
        .await?)
    }

    /// The statements since [`BenchDb::forget_statements`], most often run first.
    pub async fn busiest(&self, limit: i64) -> anyhow::Result<Vec<Statement>> {
        Ok(query_as(
            r#"
            select s.calls, s.wal_bytes::bigint, s.total_exec_time as ms,
                left(regexp_replace(s.query, '\s+', ' ', 'g'), 100) as text
            from pg_stat_statements s join pg_roles r on r.oid = s.userid
            where r.rolname = 'trunkline' and s.dbid = (select oid from pg_database where datname = current_database())
            order by s.calls desc limit $1
            "#,
        )
        .bind(limit)
        .fetch_all(&self.observer)
        .await?)
    }

    pub async fn forget_statements(&self) -> anyhow::Result<()> {
        query("select pg_stat_statements_reset()").execute(&self.observer).await?;
        Ok(())
    }

    pub async fn number(&self, statement: &'static str) -> anyhow::Result<i64> {
        Ok(query_scalar(statement).fetch_one(&self.observer).await?)
    }

    pub async fn drop(self) -> anyhow::Result<()> {
        self.observer.close().await;
        let url = std::env::var("TEST_DATABASE_URL")?;
        let server = PgPoolOptions::new().max_connections(1).connect(&url).await?;
        query(AssertSqlSafe(format!("drop database {} with (force)", self.name))).execute(&server).await?;
        Ok(())
    }
}

impl std::ops::Sub for Written {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            wal_bytes: self.wal_bytes - before.wal_bytes,
            wal_full_pages: self.wal_full_pages - before.wal_full_pages,
            rows: self.rows - before.rows,
            updates: self.updates - before.updates,
            hot_updates: self.hot_updates - before.hot_updates,
            statements: self.statements - before.statements,
            blocks: self.blocks - before.blocks,
        }
    }
}
