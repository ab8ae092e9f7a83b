//! The worker: everything outside the live conversation, as persisted jobs.
//!
//! It owns the jobs' behaviour, pacing, the carriers' REST APIs and the reading of finished conversations. It must never know
//! routes of the API or audio of a live call, and holds no SQL but the queue's own: domain statements are `shared`'s.
//!
//! Start with [`registry`] (every job), then follow a call through [`jobs`]: `dispatch_campaign`, `place_call`,
//! `reconcile_call`, `settle_call`, `summarize_call`. [`queue`] runs them.
//!
//! Invariants: a request that may ring a phone leaves only after its call was committed as `dialing`, and at most once; what
//! a job does is derived from domain rows, so that any job may be lost, repeated or late.

pub mod carrier;
pub mod config;
pub mod context;
pub mod jobs;
pub mod lead_list;
pub mod pacing;
pub mod queue;
pub mod recording_assembly;
pub mod recording_format;
pub mod registry;
pub mod server;
pub mod summary;
