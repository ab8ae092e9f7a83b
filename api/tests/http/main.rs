//! The API in this process, against a real Postgres, as a role that row-level security binds.

#![expect(clippy::unwrap_used, reason = "tests")]

mod account;
mod alerts;
mod auth;
mod calls;
mod campaigns;
mod gathered;
mod harness;
mod messages;
mod outlook;
mod passthru;
mod providers;
mod recordings;
mod surface;
mod twilio;
mod uploads;
mod voicemail_recordings;
mod webhooks;
