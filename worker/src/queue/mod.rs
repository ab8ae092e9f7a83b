//! The job queue: a durable, leased, fenced driver of apalis workers over Postgres.
//!
//! It owns how jobs run: claiming, leases, acknowledgement, retries, schedules, draining. It knows nothing of calls, and its
//! SQL touches the job tables alone; enqueueing is `shared::jobs`. apalis brings the worker, the monitor, the layers and
//! the `apalis.jobs` schema; its stock Postgres driver does not run the workers (see `design.md` §5 for what was measured).
//!
//! Start with [`Runner`], then follow a job: [`fetcher`] claims it, [`backend`] hands it to apalis, [`isolation`] runs its
//! handler, [`acker`] writes what became of it; [`heartbeat`] keeps its lease alive meanwhile and rescues those of the dead.
//!
//! Invariants:
//! - A job runs only under a live lease, and only the holder of `(id, lock_by, attempts)` can settle it.
//! - Claims never exceed free slots, so that nothing waits in memory while its lease ages.
//! - Every claim ends in exactly one acknowledgement, which is retried until the database answers.
//! - An idle process issues fewer than two statements a second, however many queues it serves.

mod acker;
mod backend;
mod claim;
mod context;
mod database;
mod error;
mod fetcher;
mod heartbeat;
mod hub;
mod isolation;
mod janitor;
mod lane;
mod listener;
mod runner;
mod sampler;
mod schedule;
mod settings;
mod sql;

pub use backend::PgBackend;
pub use claim::Lease;
pub use context::JobContext;
pub use error::{JobError, JobResultExt, RunnerError};
pub use runner::Runner;
pub use schedule::Schedule;
pub use settings::{Backoff, QueueSettings, RunnerSettings};
