//! Hears voice in telephone sound.
//!
//! A small neural detector ([`earshot`], 16 kHz, 16 ms a frame) behind an energy gate and a tone veto: on its own it takes
//! ringback and beeps for voice (measured: 41 % and 10 % of their frames). About 10 µs per frame; nothing is allocated
//! after construction.

use std::sync::LazyLock;
use std::time::Duration;

use earshot::Detector;

/// Samples of a frame at 8 kHz and at the detector's 16 kHz: 16 ms.
const FRAME: usize = 128;
const FRAME_16K: usize = 2 * FRAME;
const FRAME_MS: u64 = 16;

/// Quieter frames are silence without asking anybody: about -58 dBFS.
const GATE_RMS: f32 = 40.0;
/// The gate stays open this many frames, so that the detector sees the ends of words.
const GATE_HOLD: u32 = 20;
/// Sound this many times louder than the noise before it is a sudden sound; then a lower score is believed.
const SUDDEN: f32 = 6.0;
const NOISE_KNOWN_FRAMES: u32 = 15;

/// A frame this likely is voice; a sudden one needs less; one that is certain counts double.
const START: f32 = 0.5;
const START_SUDDEN: f32 = 0.36;
const CERTAIN: f32 = 0.8;
/// Weight of frames after which voice has started: four likely ones (64 ms) or two certain ones.
const START_WEIGHT: u32 = 4;
/// Within voice less is enough, if the sound is not 30 dB below the voice: the detector's score falls slowly.
const STAY: f32 = 0.3;
const STAY_LEVEL: f32 = 0.032;
/// Silence that ends the voice: 144 ms. Shorter gaps are the closures inside words.
const HANGOVER_FRAMES: u32 = 9;
/// Between two [`VadEvent::GoesOn`].
const GOES_ON_FRAMES: u32 = 3;
/// A tone this steady (48 ms) casts doubt on what follows it for a while: the detector still looks at its end.
const STEADY_FRAMES: u32 = 3;
const TONE_HOLD: u32 = 8;
/// A beep lasts at least this long: 128 ms. Shorter ones are clicks and keys.
const BEEP_FRAMES: u32 = 8;
/// Quieter tones are the line's hum: about -40 dBFS.
const BEEP_RMS: f32 = 330.0;

/// What was heard. `ago`: before the end of the sound given to [`Vad::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VadEvent {
    /// Voice began `ago`, and has been going on for 50-100 ms.
    Started { ago: Duration },
    /// It still goes on, up to `ago`.
    GoesOn { ago: Duration },
    /// It ended `ago`; the silence since is long enough to be sure.
    Stopped { ago: Duration },
    /// A tone is over. Only after [`Vad::listen_for_beep`].
    Beep,
}

/// One per stream: it remembers about half a second.
pub struct Vad {
    detector: Box<Detector>,
    upsampler: Upsampler,
    tones: Tones,
    frame: [i16; FRAME],
    filled: usize,
    gate_open_for: u32,
    speaking: bool,
    /// Evidence for a start, and the frames since it began to gather.
    weight: u32,
    gathering: u32,
    silent_frames: u32,
    /// Frames since the last voice, or since the beginning.
    silent_for: u32,
    since_goes_on: u32,
    steady_frames: u32,
    tone_hold: u32,
    odd: bool,
    /// Frames of the tone that is sounding; `None` while nobody asks.
    beep: Option<u32>,
    /// RMS of what is no voice, and of the voice.
    noise: f32,
    level: f32,
}

impl Default for Vad {
    fn default() -> Self {
        Self {
            detector: Detector::default_boxed(),
            upsampler: Upsampler::default(),
            tones: Tones::default(),
            frame: [0; FRAME],
            filled: 0,
            gate_open_for: 0,
            speaking: false,
            weight: 0,
            gathering: 0,
            silent_frames: 0,
            silent_for: 0,
            since_goes_on: 0,
            steady_frames: 0,
            tone_hold: 0,
            odd: false,
            beep: None,
            noise: GATE_RMS,
            level: 0.0,
        }
    }
}

impl Vad {
    /// Hears 8 kHz sound of any length. The events are found while iterating; what is not iterated over is heard on drop.
    pub fn push<'a>(&'a mut self, pcm_8k: &'a [i16]) -> Events<'a> {
        Events { vad: self, rest: pcm_8k }
    }

    pub fn is_voice(&self) -> bool {
        self.speaking
    }

    /// From now on tones are reported, too.
    pub fn listen_for_beep(&mut self) {
        self.beep.get_or_insert(0);
    }

    /// One whole frame: `ago` is the sound that follows it.
    fn frame(&mut self, ago: Duration) -> Option<VadEvent> {
        let loudness = rms(&self.frame);
        let score = self.score(loudness);
        if let Some(sounding) = &mut self.beep {
            if loudness >= BEEP_RMS && self.tones.dominate() {
                *sounding += 1;
            } else if std::mem::take(sounding) >= BEEP_FRAMES {
                return Some(VadEvent::Beep);
            }
        }
        if self.speaking { self.while_speaking(score, loudness, ago) } else { self.while_silent(score, loudness, ago) }
    }

    /// How likely this frame is voice; zero for silence and tones.
    fn score(&mut self, loudness: f32) -> f32 {
        let upsampled = self.upsampler.double(&self.frame);
        self.tones.push(&self.frame);
        if loudness >= GATE_RMS {
            self.gate_open_for = GATE_HOLD;
        }
        if self.gate_open_for == 0 {
            return 0.0;
        }
        self.gate_open_for -= 1;
        let score = self.detector.predict_i16(&upsampled);
        if score < STAY {
            self.steady_frames = 0;
            self.tone_hold = self.tone_hold.saturating_sub(1);
            return score;
        }
        self.odd = !self.odd;
        // In the middle of a voice every other frame is enough.
        let looks = !self.speaking || self.odd || self.steady_frames > 0;
        if looks && self.tones.dominate() {
            self.steady_frames += 1;
            if self.steady_frames >= STEADY_FRAMES {
                self.tone_hold = TONE_HOLD;
            }
            return 0.0;
        }
        self.steady_frames = 0;
        self.tone_hold = self.tone_hold.saturating_sub(1);
        if self.tone_hold > 0 { 0.0 } else { score }
    }

    fn while_silent(&mut self, score: f32, loudness: f32, ago: Duration) -> Option<VadEvent> {
        self.silent_for = self.silent_for.saturating_add(1);
        let sudden = loudness > SUDDEN * self.noise && self.silent_for > NOISE_KNOWN_FRAMES;
        let threshold = if sudden { START_SUDDEN } else { START };
        let gained = if score >= CERTAIN { 2 } else { u32::from(score >= threshold) };
        if gained == 0 {
            self.weight = self.weight.saturating_sub(1);
            // Noise is believed quickly when it gets less, slowly when it gets more.
            self.noise += (loudness.max(1.0) - self.noise) * if loudness < self.noise { 0.2 } else { 0.03 };
        }
        self.weight += gained;
        if self.weight == 0 {
            self.gathering = 0;
            return None;
        }
        self.gathering += 1;
        if self.weight < START_WEIGHT {
            return None;
        }
        let began = ago + frames(self.gathering);
        self.speaking = true;
        self.level = loudness;
        self.weight = 0;
        self.gathering = 0;
        self.silent_frames = 0;
        self.since_goes_on = 0;
        Some(VadEvent::Started { ago: began })
    }

    fn while_speaking(&mut self, score: f32, loudness: f32, ago: Duration) -> Option<VadEvent> {
        if score >= STAY && loudness >= (self.level * STAY_LEVEL).max(GATE_RMS) {
            self.level += (loudness - self.level) * 0.1;
            self.silent_frames = 0;
            self.since_goes_on += 1;
            if self.since_goes_on >= GOES_ON_FRAMES {
                self.since_goes_on = 0;
                return Some(VadEvent::GoesOn { ago });
            }
            return None;
        }
        self.silent_frames += 1;
        if self.silent_frames < HANGOVER_FRAMES {
            return None;
        }
        self.speaking = false;
        self.silent_for = self.silent_frames;
        Some(VadEvent::Stopped { ago: ago + frames(self.silent_frames) })
    }
}

fn frames(count: u32) -> Duration {
    Duration::from_millis(FRAME_MS * u64::from(count))
}

fn rms(frame: &[i16]) -> f32 {
    let energy: f32 = frame.iter().map(|&sample| f32::from(sample) * f32::from(sample)).sum();
    (energy / frame.len() as f32).sqrt()
}

/// What [`Vad::push`] heard, in order.
pub struct Events<'a> {
    vad: &'a mut Vad,
    rest: &'a [i16],
}

impl Iterator for Events<'_> {
    type Item = VadEvent;

    fn next(&mut self) -> Option<VadEvent> {
        while !self.rest.is_empty() {
            let take = (FRAME - self.vad.filled).min(self.rest.len());
            let (now, rest) = self.rest.split_at(take);
            self.vad.frame[self.vad.filled..self.vad.filled + take].copy_from_slice(now);
            self.vad.filled += take;
            self.rest = rest;
            if self.vad.filled < FRAME {
                return None;
            }
            self.vad.filled = 0;
            let ago = Duration::from_micros(self.rest.len() as u64 * 125);
            if let Some(event) = self.vad.frame(ago) {
                return Some(event);
            }
        }
        None
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        while self.next().is_some() {}
    }
}

/// Doubles the sample rate with a half-band filter of 31 taps: even outputs are the inputs delayed, odd ones are
/// interpolated from 16 neighbours. Delay: 8 samples, 1 ms.
#[derive(Debug)]
struct Upsampler {
    history: [f32; Upsampler::TAPS],
}

impl Default for Upsampler {
    fn default() -> Self {
        Self { history: [0.0; Self::TAPS] }
    }
}

impl Upsampler {
    /// Non-zero taps of the interpolating phase.
    const TAPS: usize = 16;
    /// Half of the symmetric taps, outermost first: a sinc at half-sample offsets under a Hamming window, sum 1 with its mirror.
    const HALF: [f32; Self::TAPS / 2] =
        [-0.003_406, 0.005_884, -0.013_482, 0.028_233, -0.053_657, 0.098_357, -0.194_191, 0.632_261];

    fn double(&mut self, frame: &[i16; FRAME]) -> [i16; FRAME_16K] {
        let mut window = [0.0; FRAME + Self::TAPS];
        window[..Self::TAPS].copy_from_slice(&self.history);
        for (slot, &sample) in window[Self::TAPS..].iter_mut().zip(frame) {
            *slot = f32::from(sample);
        }
        let mut doubled = [0; FRAME_16K];
        for (at, pair) in doubled.chunks_exact_mut(2).enumerate() {
            // `window[at + 1..at + 17]` are the 16 inputs around the new sample; the delayed input lies before their middle.
            let around = &window[at + 1..at + 1 + Self::TAPS];
            let between: f32 = Self::HALF
                .iter()
                .enumerate()
                .map(|(tap, weight)| weight * (around[tap] + around[Self::TAPS - 1 - tap]))
                .sum();
            pair[0] = around[Self::TAPS / 2 - 1] as i16;
            pair[1] = between.clamp(-32_768.0, 32_767.0) as i16;
        }
        self.history.copy_from_slice(&window[FRAME..]);
        doubled
    }
}

/// Is the sound one or two tones? A Goertzel filter for each frequency of a 32 ms window from 280 to 2,000 Hz.
#[derive(Debug)]
struct Tones {
    window: [f32; Tones::WINDOW],
}

impl Default for Tones {
    fn default() -> Self {
        Self { window: [0.0; Self::WINDOW] }
    }
}

impl Tones {
    const WINDOW: usize = 2 * FRAME;
    /// In steps of 8000 / 256 = 31.25 Hz.
    const FIRST: usize = 9;
    const LAST: usize = 64;
    /// A tone under a Hann window fills its bin and two on each side.
    const LOBE: usize = 2;
    /// Share of the energy that makes a tone. Voiced speech stays below: its harmonics share it among them.
    const SHARE: f32 = 0.85;

    fn push(&mut self, frame: &[i16; FRAME]) {
        self.window.copy_within(FRAME.., 0);
        for (slot, &sample) in self.window[FRAME..].iter_mut().zip(frame) {
            *slot = f32::from(sample);
        }
    }

    fn dominate(&self) -> bool {
        let tables = &*TABLES;
        let mut windowed = [0.0; Self::WINDOW];
        let mut energy = 0.0;
        for ((slot, &sample), &weight) in windowed.iter_mut().zip(&self.window).zip(&tables.hann) {
            *slot = sample * weight;
            energy += *slot * *slot;
        }
        if energy <= 0.0 {
            return false;
        }
        let mut power = [0.0; Self::LAST + 1];
        for (slot, &coefficient) in power.iter_mut().zip(&tables.coefficients).skip(Self::FIRST) {
            *slot = goertzel(&windowed, coefficient);
        }
        // Parseval: a real tone shows half of its energy at positive frequencies.
        let total = energy * Self::WINDOW as f32 / 2.0;
        let first = take_peak(&mut power);
        let second = take_peak(&mut power);
        (first + second) / total >= Self::SHARE
    }
}

/// The Hann window, and for each bin the Goertzel filter's coefficient `2 cos ω`.
struct Tables {
    hann: [f32; Tones::WINDOW],
    coefficients: [f32; Tones::LAST + 1],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let phase = |at: usize| std::f32::consts::TAU * at as f32 / Tones::WINDOW as f32;
    Tables {
        hann: std::array::from_fn(|at| 0.5 - 0.5 * phase(at).cos()),
        coefficients: std::array::from_fn(|bin| 2.0 * phase(bin).cos()),
    }
});

/// Power of one bin of the window's spectrum.
fn goertzel(window: &[f32], coefficient: f32) -> f32 {
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in window {
        (last, before) = (coefficient * last + sample - before, last);
    }
    last * last + before * before - coefficient * last * before
}

/// Power of the highest peak with its lobe, which is taken out.
fn take_peak(power: &mut [f32]) -> f32 {
    let peak = power.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(bin, _)| bin);
    let lobe = peak.saturating_sub(Tones::LOBE)..(peak + Tones::LOBE + 1).min(power.len());
    power[lobe].iter_mut().map(std::mem::take).sum()
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    const RATE: f32 = 8_000.0;

    fn silence(ms: usize) -> Vec<i16> {
        vec![0; ms * 8]
    }

    fn tones(ms: usize, frequencies: &[f32], level: f32) -> Vec<i16> {
        (0..ms * 8)
            .map(|at| frequencies.iter().map(|f| level * (TAU * f * at as f32 / RATE).sin()).sum::<f32>() as i16)
            .collect()
    }

    /// Something like a voice: pulses with a moving pitch through three resonators that change from vowel to vowel.
    fn speech(ms: usize, level: f32) -> Vec<i16> {
        const VOWELS: [[f32; 3]; 4] =
            [[730.0, 1_090.0, 2_440.0], [270.0, 2_290.0, 3_010.0], [570.0, 840.0, 2_410.0], [530.0, 1_840.0, 2_480.0]];
        let mut state = [[0.0f32; 2]; 3];
        let mut phase = 0.0;
        let mut sound = Vec::with_capacity(ms * 8);
        for at in 0..ms * 8 {
            let seconds = at as f32 / RATE;
            let pitch = 130.0 + 25.0 * (TAU * 1.7 * seconds).sin() + 6.0 * (TAU * 5.3 * seconds).sin();
            phase += pitch / RATE;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase -= phase.floor();
            let vowel = VOWELS[(seconds / 0.16) as usize % VOWELS.len()];
            let mut out = 0.0;
            for ((formant, state), bandwidth) in vowel.iter().zip(&mut state).zip([80.0, 110.0, 160.0]) {
                let radius = (-std::f32::consts::PI * bandwidth / RATE).exp();
                let next = pulse + 2.0 * radius * (TAU * formant / RATE).cos() * state[0] - radius * radius * state[1];
                *state = [next, state[0]];
                out += next;
            }
            let syllable = 0.35 + 0.65 * (TAU * 3.1 * seconds - 1.2).sin().abs();
            sound.push((level * syllable * out).clamp(-32_000.0, 32_000.0) as i16);
        }
        sound
    }

    /// Events with their times in ms, from sound that comes in pieces of `chunk` samples.
    fn hear(sound: &[i16], chunk: usize) -> Vec<(&'static str, u64)> {
        let mut vad = Vad::default();
        let mut heard = Vec::new();
        let mut samples = 0;
        for piece in sound.chunks(chunk) {
            samples += piece.len() as u64;
            let at = Duration::from_micros(samples * 125);
            for event in vad.push(piece) {
                match event {
                    VadEvent::Started { ago } => heard.push(("started", (at - ago).as_millis() as u64)),
                    VadEvent::Stopped { ago } => heard.push(("stopped", (at - ago).as_millis() as u64)),
                    VadEvent::Beep => heard.push(("beep", at.as_millis() as u64)),
                    VadEvent::GoesOn { .. } => {}
                }
            }
        }
        heard
    }

    /// The sound between half a second of silence before and 0.8 s behind.
    fn framed(sound: &[i16]) -> Vec<i16> {
        [silence(500), sound.to_vec(), silence(800)].concat()
    }

    /// Through the telephone and back.
    fn telephoned(sound: &[i16]) -> Vec<i16> {
        use crate::audio::g711::{decode_ulaw, encode_ulaw};
        sound.iter().map(|&sample| decode_ulaw(encode_ulaw(sample))).collect()
    }

    #[track_caller]
    fn assert_one_voice(sound: &[i16], from: u64, to: u64) {
        let heard = hear(sound, 160);
        let [("started", started), ("stopped", stopped)] = heard[..] else { panic!("{heard:?}") };
        assert!(started.abs_diff(from) <= 80 && stopped.abs_diff(to) <= 100, "{heard:?}");
    }

    #[test]
    fn a_voice_is_heard_with_its_real_beginning_and_end() {
        assert_one_voice(&framed(&speech(1_000, 900.0)), 500, 1_500);
        assert_one_voice(&telephoned(&framed(&speech(1_000, 900.0))), 500, 1_500);
        assert_one_voice(&framed(&speech(400, 900.0)), 500, 900);
    }

    #[test]
    fn a_quiet_voice_is_heard_too() {
        let heard = hear(&telephoned(&framed(&speech(1_000, 200.0))), 160);
        assert!(matches!(heard[..], [("started", 500..=700), ("stopped", 1_450..=1_600)]), "{heard:?}");
    }

    #[test]
    fn voice_is_reported_within_a_hundred_milliseconds_and_goes_on() {
        let sound = framed(&speech(1_000, 900.0));
        let mut vad = Vad::default();
        let mut at = 0;
        let mut started_at = None;
        let mut went_on = 0;
        for piece in sound.chunks(160) {
            at += 20;
            for event in vad.push(piece) {
                match event {
                    VadEvent::Started { .. } => started_at = Some(at),
                    VadEvent::GoesOn { ago } => {
                        went_on += 1;
                        assert!(ago <= Duration::from_millis(20));
                    }
                    VadEvent::Stopped { ago } => assert!(ago >= Duration::from_millis(140)),
                    VadEvent::Beep => panic!("nobody asked"),
                }
            }
        }
        assert!(started_at.is_some_and(|at| (540..=620).contains(&at)), "{started_at:?}");
        assert!((14..=21).contains(&went_on), "{went_on}");
    }

    #[test]
    fn tones_of_the_network_are_no_voice() {
        let network: [(&str, &[f32]); 7] = [
            ("ringback in America", &[440.0, 480.0]),
            ("ringback in India", &[375.0, 400.0, 425.0]),
            ("dial tone", &[350.0, 440.0]),
            ("a beep", &[1_000.0]),
            ("a higher beep", &[1_400.0]),
            ("a key", &[770.0, 1_336.0]),
            ("a fax", &[1_100.0]),
        ];
        for (name, frequencies) in network {
            for level in [800.0, 6_000.0] {
                let tone = tones(1_000, frequencies, level);
                let sound = telephoned(&[framed(&tone), framed(&tone), framed(&tone)].concat());
                assert_eq!(hear(&sound, 160), [], "{name}");
            }
        }
    }

    #[test]
    fn the_end_of_a_beep_is_told_to_whoever_waits_for_it() {
        let beeps = |sound: &[i16]| {
            let mut vad = Vad::default();
            vad.listen_for_beep();
            let mut beeps = Vec::new();
            for (at, piece) in sound.chunks(160).enumerate() {
                beeps.extend(vad.push(piece).filter(|event| *event == VadEvent::Beep).map(|_| at * 20));
            }
            beeps
        };
        let machine = [speech(1_000, 900.0), silence(400), tones(500, &[1_000.0], 6_000.0), silence(500)].concat();
        let heard = beeps(&telephoned(&machine));
        assert!(matches!(heard[..], [1_880..=1_960]), "{heard:?}");
        assert!(beeps(&telephoned(&[speech(2_000, 900.0), silence(500)].concat())).is_empty(), "a voice");
        assert!(beeps(&[tones(80, &[1_000.0], 6_000.0), silence(500)].concat()).is_empty(), "a click");
        assert!(beeps(&[tones(500, &[400.0], 200.0), silence(500)].concat()).is_empty(), "a hum");
    }

    #[test]
    fn a_voice_after_a_beep_is_heard() {
        let sound = [tones(800, &[1_000.0], 6_000.0), silence(500), speech(1_000, 900.0), silence(600)].concat();
        assert_one_voice(&sound, 1_300, 2_300);
    }

    #[test]
    fn silence_and_noise_are_no_voice() {
        let mut seed = 1u32;
        let noise: Vec<i16> = (0..80_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((seed >> 16) as i16) / 40
            })
            .collect();
        assert_eq!(hear(&noise, 160), []);
        assert_eq!(hear(&silence(5_000), 160), []);
    }

    #[test]
    fn the_pieces_in_which_sound_arrives_do_not_matter() {
        let sound = framed(&speech(1_000, 900.0));
        let expected = hear(&sound, 160);
        for chunk in [1_600, 800, 37] {
            let heard = hear(&sound, chunk);
            assert_eq!(heard.len(), expected.len());
            assert!(
                heard.iter().zip(&expected).all(|(a, b)| a.0 == b.0 && a.1.abs_diff(b.1) <= 5),
                "{heard:?} {expected:?}"
            );
        }
        let mut vad = Vad::default();
        drop(vad.push(&sound[..12_000]));
        assert!(vad.is_voice(), "what is not iterated over is heard all the same");
    }
}
