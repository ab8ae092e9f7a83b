//! The API in this process, against a real Postgres, as a role that row-level security binds.

#![expect(clippy::unwrap_used, reason = "tests")]

mod auth;
mod calls;
mod campaigns;
mod harness;
mod passthru;
mod surface;
mod uploads;
mod webhooks;
