//! The queue's own few connections, and a bound on every statement it sends.

use std::io;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPoolOptions, Postgres};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Fetcher, acknowledger, heartbeat, listener, and one for schedules, samples and pruning.
const CONNECTIONS: u32 = 5;

/// How much longer we wait than the server's own limit before a connection counts as dead.
const NETWORK_MARGIN: Duration = Duration::from_secs(2);

/// Connections of the queue alone: handlers that use up the product's pool must not be able to starve the heartbeat
/// that keeps their leases.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pool: PgPool,
    limit: Duration,
}

impl Database {
    /// Connects, lazily, to where `pool` connects to.
    pub fn beside(pool: &PgPool, statement_timeout: Duration) -> Self {
        let statement_timeout_ms = statement_timeout.as_millis().to_string();
        let options = (*pool.connect_options()).clone().options([
            ("statement_timeout", statement_timeout_ms.as_str()),
            ("idle_in_transaction_session_timeout", "10000"),
            // Every statement of the queue finds its rows by an index. A plan that was cached while the table was empty
            // must not go on reading all of it when it is large.
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
        ]);
        let limit = statement_timeout + NETWORK_MARGIN;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(limit)
            // A test before each use would double the statements; a broken connection shows at once, and is retried.
            .test_before_acquire(false)
            .idle_timeout(None)
            .connect_lazy_with(options);
        Self { pool, limit }
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs one statement within the limit. `run` gets the connection and gives it back with the answer.
    ///
    /// # Errors
    /// The statement's, or [`sqlx::Error::Io`] with `TimedOut`.
    pub async fn bounded<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PoolConnection<Postgres>) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut connection = self.pool.acquire().await?;
        match timeout(self.limit, statement(&mut connection)).await {
            Ok(answer) => answer,
            Err(Elapsed { .. }) => {
                // Its answer may still arrive, or the peer is gone without a word: nobody must get this connection next.
                connection.close_on_drop();
                Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer from the database")))
            }
        }
    }
}
