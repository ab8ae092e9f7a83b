//! Speech that can be recognised again: what the simulated world says, and the ears that hear it.
//!
//! [`SpeechBank::say`] makes the audio of a text, [`Ear`] finds that audio in a stream by content and
//! tells which words of it have really arrived. So a simulated recogniser releases a line only in
//! step with the audio it received, and a simulated callee knows what the agent said because it
//! heard it.
//!
//! Everything here is 8 kHz mono. Start reading at [`ear`].

mod bank;
mod devanagari;
mod ear;
mod flite;
mod index;
pub(crate) mod recogniser;
pub mod resample;
pub(crate) mod script;
mod tones;
pub mod ulaw;
mod utterance;

pub use bank::SpeechBank;
pub use ear::{Ear, Heard, HeardWord};
pub(crate) use flite::read_wav;
pub use utterance::{Utterance, WordTiming};

/// Samples per second of everything the bank says and an ear hears.
pub const SAMPLE_RATE: u64 = 8_000;

/// Samples per millisecond.
pub(crate) const PER_MS: u64 = SAMPLE_RATE / 1_000;

/// A stable 64-bit hash (FNV-1a): the same text sounds the same in every process and release.
pub(crate) fn stable_hash(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// A small deterministic generator (xorshift64*): audio must not depend on a seed of the run.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in `-1.0..1.0`.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
