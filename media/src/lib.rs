//! The real-time half of Trunkline: every live call is one WebSocket here.
//!
//! Owns: the carrier's stream, the audio, the dialogue, and the sockets to the speech and language providers.
//! Must never know: job behaviour, carrier REST, SQL. What a call leaves behind goes through functions of `shared`.
//!
//! Start reading at [`session`] (one call, the only `select!`), then `dialogue` (what the agent does, without a
//! world around it), then [`pacer`] (what the human hears, and when).
//!
//! Invariants:
//! - A live call never waits for the database: turns are handed to a bounded queue and written behind its back.
//! - All tasks of a call live in one scope and end with it.
//! - Every asynchronous result carries the epoch of the reply it belongs to; a stale one is dropped.
//! - Every wait, buffer and retry has a bound, and reaching it is counted.

pub mod app;
pub mod audio;
pub mod carrier;
pub mod config;
pub mod dialogue;
pub mod health;
pub mod latency;
pub mod llm;
pub mod notices;
pub mod pacer;
pub mod provider;
pub mod providers;
pub mod realtime;
pub mod recorder;
pub mod ringing;
pub mod server;
pub mod session;
pub mod store;
pub mod stt;
pub mod tape;
#[cfg(test)]
mod test_server;
pub mod tts;
pub mod usage;
pub mod verdicts;
