//! Stories: the real processes on real sockets against the simulated outside world, and the rules of the house.
//!
//! They need `TEST_DATABASE_URL` (a cluster's superuser) and the built binaries: `bin/test` provides both.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod campaigns;
mod deploys;
mod expendable_queue;
mod failover;
mod faults;
mod languages;
mod llm_wires;
mod machines;
mod messages;
mod providers;
mod recordings;
mod resume;
mod speech_to_speech;
mod storage;
mod tidy;
mod tools;
mod torture;
mod transfer;
mod twilio;
