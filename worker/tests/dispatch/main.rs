//! A call's life outside the conversation, on real Postgres and against a carrier and a language model played by the test.
//!
//! Needs `TEST_DATABASE_URL`: a server on which databases may be created.
#![expect(clippy::unwrap_used, reason = "tests")]

mod alerting;
mod carrier_client;
mod consent;
mod dialing;
mod imports;
mod model_shutdowns;
mod opt_outs;
mod outside;
mod own_recordings;
mod pacing;
mod reconciling;
mod recordings;
mod reserving;
mod resuming;
mod retaining;
mod settling;
mod summaries;
mod sweeping;
mod twilio_client;
mod world;
