//! Sound, as far as it needs no socket: hearing voice in it, and the telephone's G.711.

pub mod decimate;
pub mod g711;
pub mod vad;
