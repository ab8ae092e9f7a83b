//! What the queue promises when things go wrong, each on a database of its own and on real Postgres.
//!
//! Needs `TEST_DATABASE_URL`, or `DATABASE_URL`: a server on which databases may be created.
#![expect(clippy::unwrap_used, reason = "tests")]

mod control;
mod database;
mod enqueueing;
mod outages;
mod outcomes;
mod ownership;
mod probe;
mod process;
mod proxy;
mod schedules;
mod shutdown;
