//! What every process knows: the domain's types, states and transitions, all SQL, and the payloads of the jobs.
//!
//! It must never know routes, audio or sockets of a live call. Start reading with [`campaign`], [`lead`] and [`call`] (the
//! three state machines), then [`dispatch`] (who is called next) and [`settle`] (what a finished call means for its lead).
//!
//! Invariants: domain rows are the truth and a job is only a nudge; every transition is one guarded statement; a state
//! change and the jobs it causes are written in one transaction.

pub mod call;
pub mod call_event;
pub mod clock;
pub mod conversation;
pub mod db;
pub mod do_not_call;
pub mod id;
pub mod job_queue;
pub mod jobs;
pub mod stream;
pub mod telemetry;
pub mod turn;
pub mod voice_agent;
