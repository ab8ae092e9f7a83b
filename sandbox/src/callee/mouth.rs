//! The callee's voice as a stream of samples: silence, speech, beeps.

use std::{f32::consts::TAU, sync::Arc};

use crate::{exotel::playback::SAMPLES_PER_MS, speech::Utterance};

/// The beep of an answering machine.
const BEEP_HZ: f32 = 1_000.0;
const BEEP_AMPLITUDE: f32 = 12_000.0;

enum Sound {
    Speech(Arc<Utterance>),
    Beep(Vec<i16>),
}

impl Sound {
    fn pcm(&self) -> &[i16] {
        match self {
            Self::Speech(utterance) => &utterance.pcm,
            Self::Beep(pcm) => pcm,
        }
    }
}

/// What the callee is saying now.
#[derive(Default)]
pub struct Mouth {
    now: Option<(Sound, usize)>,
}

impl Mouth {
    /// Begins to speak; what was being said is cut.
    pub fn speak(&mut self, utterance: Arc<Utterance>) {
        self.now = Some((Sound::Speech(utterance), 0));
    }

    pub fn beep(&mut self, ms: u64) {
        let samples = ms * SAMPLES_PER_MS;
        let step = TAU * BEEP_HZ / (SAMPLES_PER_MS * 1_000) as f32;
        let pcm = (0..samples).map(|at| (BEEP_AMPLITUDE * (step * at as f32).sin()) as i16).collect();
        self.now = Some((Sound::Beep(pcm), 0));
    }

    pub fn is_speaking(&self) -> bool {
        self.now.is_some()
    }

    /// Fills the whole chunk. Returns the sample within it at which the sound ended, if it did.
    pub fn fill(&mut self, chunk: &mut [i16]) -> Option<usize> {
        chunk.fill(0);
        let (sound, at) = self.now.as_mut()?;
        let rest = &sound.pcm()[*at..];
        let take = rest.len().min(chunk.len());
        chunk[..take].copy_from_slice(&rest[..take]);
        *at += take;
        if *at < sound.pcm().len() {
            return None;
        }
        self.now = None;
        Some(take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_cut_into_chunks_and_followed_by_silence() {
        let mut mouth = Mouth::default();
        mouth.beep(30);
        let mut chunk = [9; 160];
        assert_eq!(mouth.fill(&mut chunk), None);
        assert!(chunk.iter().any(|sample| *sample != 0));
        assert_eq!(mouth.fill(&mut chunk), Some(80));
        assert!(chunk[80..].iter().all(|sample| *sample == 0));
        assert!(!mouth.is_speaking());
        assert_eq!(mouth.fill(&mut chunk), None);
        assert!(chunk.iter().all(|sample| *sample == 0));
    }
}
