//! A database per test, and questions to it.

use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, query, query_as, query_scalar};
use tokio::time::{Instant, sleep};

const MIGRATION: &str = include_str!("../../../migrations/20261121090900_create_queue_tables.sql");

/// Dropped with the value, also when the test fails.
pub struct TestDb {
    pub name: String,
    pub pool: PgPool,
    server: PgConnectOptions,
}

pub fn server_url() -> String {
    std::env::var("TEST_DATABASE_URL")
        .or_else(|_| std::env::var("DATABASE_URL"))
        .expect("TEST_DATABASE_URL names a server on which databases may be created")
}

impl TestDb {
    pub async fn create() -> Self {
        let server = PgConnectOptions::from_str(&server_url()).unwrap();
        let name = format!("queue_test_{}", ulid::Ulid::generate()).to_lowercase();
        let mut connection = server.connect().await.unwrap();
        query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let pool = PgPoolOptions::new().max_connections(20).connect_lazy_with(server.clone().database(&name));
        apalis_postgres::PostgresStorage::setup(&pool).await.unwrap();
        sqlx::raw_sql(MIGRATION).execute(&pool).await.unwrap();
        query("create table runs (id bigserial primary key, job text not null, pid int not null)")
            .execute(&pool)
            .await
            .unwrap();
        Self { name, pool, server }
    }

    pub async fn status(&self, key: &str) -> String {
        query_scalar("select status from apalis.jobs where idempotency_key = $1")
            .bind(key)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Status, attempts, and seconds until it runs.
    pub async fn job(&self, key: &str) -> (String, i32, f64) {
        query_as("select status, attempts, extract(epoch from run_at - now())::float8 from apalis.jobs where idempotency_key = $1")
            .bind(key)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn job_id(&self, key: &str) -> String {
        query_scalar("select id from apalis.jobs where idempotency_key = $1")
            .bind(key)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn count(&self, status: &str) -> i64 {
        query_scalar("select count(*) from apalis.jobs where status = $1")
            .bind(status)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn runs(&self) -> i64 {
        query_scalar("select count(*) from runs").fetch_one(&self.pool).await.unwrap()
    }

    pub async fn runs_of(&self, job: &str) -> i64 {
        query_scalar("select count(*) from runs where job = $1").bind(job).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn jobs_run_twice(&self) -> Vec<String> {
        query_scalar("select job from runs group by job having count(*) > 1").fetch_all(&self.pool).await.unwrap()
    }

    /// The outcomes and error texts of a job's tries, oldest first.
    pub async fn history(&self, key: &str) -> Vec<(String, Option<String>)> {
        query_as("select outcome, error from job_attempts where key = $1 order by id")
            .bind(key)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = server.connect().await.unwrap();
                query(AssertSqlSafe(format!("drop database {name} with (force)")))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            });
        });
        let _ = dropping.join();
    }
}

/// Waits until `look` answers `expected`; fails with the last answer.
pub async fn eventually<T: PartialEq + Debug>(bound: Duration, expected: T, mut look: impl AsyncFnMut() -> T) {
    let end = Instant::now() + bound;
    loop {
        let seen = look().await;
        if seen == expected {
            return;
        }
        assert!(Instant::now() < end, "still {seen:?} after {bound:?}, expected {expected:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
