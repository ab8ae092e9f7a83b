//! The whole product on real processes against the simulated outside world, for stories and for the torture run.
//!
//! The one end-to-end test binary is `it/main.rs`; start reading at [`harness::TestApp`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

pub mod harness;
pub mod torture;
