//! The HTTP surface: the campaign API, the carriers' webhooks, reports and exports.
//!
//! It owns routes, authentication, validation and problem documents. It must never know how a job works, a carrier's REST API
//! or audio; all SQL is in `shared`. Start reading with [`router`], which names every route, then [`campaigns`].
//!
//! Invariants: every request but a webhook runs as one account, in a transaction that sees that account's rows alone
//! ([`auth::Caller::tenant`]); a webhook is stored before anybody looks at it; every error is an RFC 9457 problem.

pub mod account;
pub mod agent_calls;
pub mod alerts;
pub mod analytics;
pub mod auth;
pub mod calls;
pub mod campaign_lifecycle;
pub mod campaign_settings;
pub mod campaigns;
pub mod config;
pub mod connect;
pub mod do_not_call;
pub mod error;
pub mod exports;
pub mod extract;
pub mod forecast;
pub mod health;
pub mod idempotency;
pub mod imports;
mod introduction;
pub mod leads;
pub mod llm;
pub mod messages;
pub mod observe;
pub mod operator;
pub mod page;
pub mod passthru;
pub mod preflight;
pub mod provider_choice;
pub mod recordings;
pub mod resuming;
pub mod router;
pub mod serve;
pub mod sessions;
pub mod state;
pub mod twilio;
pub mod uploads;
pub mod voice_agents;
pub mod voicemail_audio;
pub mod voicemail_recordings;
pub mod webhooks;
