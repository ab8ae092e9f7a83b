//! Speech-like sound without a synthesiser: every text has its own melody of syllables. Not words,
//! but a voice activity detector takes it for speech, and an ear can tell texts apart.

use std::f32::consts::PI;

use super::{Noise, PER_MS, SAMPLE_RATE, stable_hash};

/// First and second formant of five vowels, in Hz (adult averages).
const VOWELS: [(f32, f32); 5] =
    [(730.0, 1_090.0), (530.0, 1_840.0), (390.0, 1_990.0), (570.0, 840.0), (440.0, 1_020.0)];
/// Third formant and bandwidths, in Hz.
const THIRD: f32 = 2_450.0;
const BANDWIDTHS: [f32; 3] = [80.0, 100.0, 140.0];

const SYLLABLE_MS: usize = 150;
const CONSONANT_MS: usize = 45;
const BETWEEN_WORDS_MS: usize = 40;
const AT_COMMA_MS: usize = 250;

/// The text as 8 kHz audio. The same text and voice always sound the same.
pub(super) fn speak(text: &str, voice: &str) -> Vec<i16> {
    let mut noise = Noise::new(stable_hash(&[voice, text]));
    // 95 to 215 Hz: every voice name has its own register.
    let pitch = 95.0 + (stable_hash(&[voice]) % 120) as f32;
    let mut throat = Throat::default();
    let mut pcm = Vec::new();
    for word in text.split_whitespace() {
        let letters = word.chars().filter(|c| c.is_alphanumeric()).count();
        for syllable in 0..letters.div_ceil(3) {
            consonant(&mut pcm, &mut noise);
            let vowel = VOWELS[(noise.next() % 5) as usize];
            let from = pitch * (1.0 + 0.15 * noise.unit());
            let to = from * (0.92 + 0.06 * noise.unit());
            throat.vowel(&mut pcm, vowel, (from, to), syllable);
        }
        let pause = if word.ends_with([',', '.', '?', '!', ';', ':', '।']) { AT_COMMA_MS } else { BETWEEN_WORDS_MS };
        pcm.resize(pcm.len() + pause * PER_MS as usize, 0.0);
    }
    let peak = pcm.iter().fold(1.0f32, |peak, sample| peak.max(sample.abs()));
    pcm.iter().map(|sample| (sample / peak * 15_000.0) as i16).collect()
}

/// A short hiss.
fn consonant(pcm: &mut Vec<f32>, noise: &mut Noise) {
    let samples = CONSONANT_MS * PER_MS as usize;
    pcm.extend((0..samples).map(|at| {
        let envelope = (PI * at as f32 / samples as f32).sin();
        0.04 * envelope * noise.unit()
    }));
}

/// Three resonances in series of pulses: the source-filter model of a vowel.
#[derive(Default)]
struct Throat {
    phase: f32,
    state: [[f32; 2]; 3],
}

impl Throat {
    fn vowel(&mut self, pcm: &mut Vec<f32>, formants: (f32, f32), pitch: (f32, f32), syllable: usize) {
        let samples = (SYLLABLE_MS + 15 * (syllable % 3)) * PER_MS as usize;
        let rate = SAMPLE_RATE as f32;
        let resonances = [formants.0, formants.1, THIRD];
        for at in 0..samples {
            let progress = at as f32 / samples as f32;
            self.phase += (pitch.0 + (pitch.1 - pitch.0) * progress) / rate;
            let mut sample = if self.phase >= 1.0 {
                self.phase -= 1.0;
                1.0
            } else {
                -0.02
            };
            for ((hz, width), state) in resonances.iter().zip(BANDWIDTHS).zip(&mut self.state) {
                let radius = (-PI * width / rate).exp();
                let turn = 2.0 * radius * (2.0 * PI * hz / rate).cos();
                let gain = 1.0 - turn + radius * radius;
                let out = gain * sample + turn * state[0] - radius * radius * state[1];
                *state = [out, state[0]];
                sample = out;
            }
            let attack = (progress * 8.0).min(1.0);
            let release = ((1.0 - progress) * 5.0).min(1.0);
            pcm.push(sample * attack * release);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::speech::{SpeechBank, Utterance, resample};

    /// The share of 16 ms frames that the detector of the product takes for speech.
    fn voiced_share(said: &Utterance) -> f32 {
        let mut detector = earshot::Detector::default_boxed();
        let wide = resample::double(&said.pcm);
        let frames: Vec<bool> =
            wide.as_chunks::<256>().0.iter().map(|frame| detector.predict_i16(frame) >= 0.5).collect();
        frames.iter().filter(|voiced| **voiced).count() as f32 / frames.len() as f32
    }

    #[tokio::test]
    async fn a_voice_activity_detector_fires_on_tones_and_on_flite() {
        for (bank, least) in [(SpeechBank::tones(), 0.5), (SpeechBank::new(), 0.5)] {
            for voice in ["kal", "slt", "rms", "awb"] {
                let said = bank.say("Hello, yes, I am looking for a two bedroom flat near the lake.", voice).await;
                let share = voiced_share(&said);
                assert!(share > least, "{voice}: {share}");
            }
            let short = bank.say("Yes.", "rms").await;
            assert!(voiced_share(&short) > 0.25, "{}", voiced_share(&short));
        }
    }
}
