//! The callee's end of the line as a stream of samples: silence, speech, sounds, and what the line adds.

use std::{f32::consts::TAU, sync::Arc};

use serde::{Deserialize, Serialize};

use super::line::{Line, LineConditions};
use crate::{
    exotel::playback::{SAMPLE_RATE, SAMPLES_PER_MS},
    speech::Utterance,
};

/// Of a sound that is no speech.
const AMPLITUDE: f32 = 12_000.0;

/// What comes out of a phone besides speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// Of an answering machine: 1,000 Hz.
    Beep,
    /// India's: 400 Hz, wavering at 25 Hz; 0.4 s on, 0.2 off, 0.4 on, 2 off (ITU-T E.180, national tones).
    Ringback,
    /// While on hold: broken chords.
    Music,
}

impl Sound {
    fn samples(self, ms: u64) -> Vec<i16> {
        let at = |sample: u64| sample as f32 / SAMPLE_RATE as f32;
        (0..ms * SAMPLES_PER_MS).map(|sample| (AMPLITUDE * self.amplitude(at(sample))) as i16).collect()
    }

    /// In -1.0..=1.0, `secs` after its beginning.
    fn amplitude(self, secs: f32) -> f32 {
        let tone = |hz: f32| (TAU * hz * secs).sin();
        match self {
            Self::Beep => tone(1_000.0),
            Self::Ringback => {
                let within = secs % 3.0;
                let on = within < 0.4 || (0.6..1.0).contains(&within);
                if on { tone(400.0) * (0.6 + 0.4 * tone(25.0)) } else { 0.0 }
            }
            Self::Music => {
                const CHORDS: [[f32; 3]; 4] =
                    [[262.0, 330.0, 392.0], [220.0, 262.0, 330.0], [175.0, 220.0, 262.0], [196.0, 247.0, 294.0]];
                const NOTE_SECS: f32 = 0.25;
                let note = (secs / NOTE_SECS) as usize;
                let chord = CHORDS[note / 6 % CHORDS.len()];
                let decay = (-4.0 * (secs % NOTE_SECS)).exp();
                let broken = tone(chord[note % 3] * 2.0) * decay;
                0.5 * broken + 0.15 * chord.iter().map(|hz| tone(*hz)).sum::<f32>()
            }
        }
    }
}

enum Playing {
    Speech(Arc<Utterance>),
    Sound(Vec<i16>),
}

impl Playing {
    fn pcm(&self) -> &[i16] {
        match self {
            Self::Speech(utterance) => &utterance.pcm,
            Self::Sound(pcm) => pcm,
        }
    }
}

/// What the callee is saying now, and the line it is said into.
pub struct Mouth {
    now: Option<(Playing, usize)>,
    line: Line,
}

impl Mouth {
    pub fn new(conditions: LineConditions) -> Self {
        Self { now: None, line: Line::new(conditions) }
    }

    /// Begins to speak; what was being said is cut.
    pub fn speak(&mut self, utterance: Arc<Utterance>) {
        self.now = Some((Playing::Speech(utterance), 0));
    }

    pub fn sound(&mut self, sound: Sound, ms: u64) {
        self.now = Some((Playing::Sound(sound.samples(ms)), 0));
    }

    pub fn is_speaking(&self) -> bool {
        self.now.is_some()
    }

    /// Fills the whole chunk, while `heard` comes out of the loudspeaker. Returns the sample within the chunk at which the sound
    /// ended, if it did.
    pub fn fill(&mut self, chunk: &mut [i16], heard: &[i16]) -> Option<usize> {
        let mut taken = 0;
        let mut ended = None;
        if let Some((playing, at)) = &mut self.now {
            let rest = &playing.pcm()[*at..];
            taken = rest.len().min(chunk.len());
            chunk[..taken].copy_from_slice(&rest[..taken]);
            *at += taken;
            ended = (*at == playing.pcm().len()).then_some(taken);
        }
        if ended.is_some() {
            self.now = None;
        }
        self.line.heard(heard);
        self.line.fill(chunk, taken);
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_cut_into_chunks_and_followed_by_silence() {
        let mut mouth = Mouth::new(LineConditions::default());
        mouth.sound(Sound::Beep, 30);
        let mut chunk = [9; 160];
        assert_eq!(mouth.fill(&mut chunk, &[]), None);
        assert!(chunk.iter().any(|sample| *sample != 0));
        assert_eq!(mouth.fill(&mut chunk, &[]), Some(80));
        assert!(chunk[80..].iter().all(|sample| *sample == 0));
        assert!(!mouth.is_speaking());
        assert_eq!(mouth.fill(&mut chunk, &[]), None);
        assert!(chunk.iter().all(|sample| *sample == 0));
    }

    #[test]
    fn ringback_keeps_its_cadence_and_music_never_stops() {
        let loud = |sound: Sound| {
            let samples = sound.samples(3_000);
            let frames = samples.chunks(800).map(|frame| frame.iter().any(|sample| sample.unsigned_abs() > 1_000));
            frames.map(|loud| if loud { '#' } else { '.' }).collect::<String>()
        };
        assert_eq!(loud(Sound::Ringback), "####..####....................");
        assert_eq!(loud(Sound::Music), "#".repeat(30));
    }
}
