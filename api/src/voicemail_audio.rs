//! An uploaded recording, as a telephone plays it: 8 kHz, 16 bit, mono.

use std::f32::consts::PI;
use std::io::Cursor;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// Longest recording, in seconds.
pub const MAX_SECS: u32 = 60;
const RATE_HZ: u32 = 8_000;
const WIDE_RATE_HZ: u32 = 16_000;
/// Of the low-pass before every second sample is taken; its middle is at `TAPS / 2`.
const TAPS: usize = 63;
/// Below half of 8 kHz, with room for the filter's slope.
const CUTOFF_HZ: f32 = 3_400.0;

/// What is wrong with a file, as a stable code and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable {
    pub code: &'static str,
    pub detail: String,
}

fn unusable<T>(code: &'static str, detail: impl Into<String>) -> Result<T, Unusable> {
    Err(Unusable { code, detail: detail.into() })
}

/// A recording that can be played.
#[derive(Debug)]
pub struct Playable {
    /// The whole WAV.
    pub wav: Vec<u8>,
    pub duration_ms: i32,
}

/// Reads a WAV of 16-bit PCM, mono, at 8 or 16 kHz.
///
/// # Errors
/// It is something else, empty or too long.
pub fn convert(file: &[u8]) -> Result<Playable, Unusable> {
    let Ok(mut reader) = WavReader::new(Cursor::new(file)) else {
        return unusable("not_a_wav", "the file is no WAV; export it as WAV, 16-bit PCM, mono, 8 or 16 kHz");
    };
    let spec = reader.spec();
    if (spec.sample_format, spec.bits_per_sample) != (SampleFormat::Int, 16) {
        let kind = if spec.sample_format == SampleFormat::Float { "floating point" } else { "PCM" };
        let detail = format!("the file has {} bits of {kind} per sample; 16-bit PCM is expected", spec.bits_per_sample);
        return unusable("wrong_sample_format", detail);
    }
    if spec.channels != 1 {
        return unusable("not_mono", format!("the file has {} channels; mono is expected", spec.channels));
    }
    if ![RATE_HZ, WIDE_RATE_HZ].contains(&spec.sample_rate) {
        let detail = format!("the file has {} samples per second; 8000 or 16000 are expected", spec.sample_rate);
        return unusable("wrong_sample_rate", detail);
    }
    if reader.duration() > MAX_SECS * spec.sample_rate {
        let detail =
            format!("the recording lasts {} s; at most {MAX_SECS} are played", reader.duration() / spec.sample_rate);
        return unusable("recording_too_long", detail);
    }
    let Ok(samples) = reader.samples::<i16>().collect::<Result<Vec<i16>, _>>() else {
        return unusable("file_cut_short", "the file ends before the sound that it announces");
    };
    let samples = if spec.sample_rate == WIDE_RATE_HZ { halved(&samples) } else { samples };
    if samples.is_empty() {
        return unusable("recording_empty", "the recording has no sound");
    }
    let duration_ms = i32::try_from(samples.len() / 8).unwrap_or(i32::MAX).max(1);
    Ok(Playable { wav: written(&samples), duration_ms })
}

fn written(samples: &[i16]) -> Vec<u8> {
    let spec = WavSpec { channels: 1, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut wav = Cursor::new(Vec::with_capacity(44 + samples.len() * 2));
    let mut write = || -> Result<(), hound::Error> {
        let mut writer = WavWriter::new(&mut wav, spec)?;
        for &sample in samples {
            writer.write_sample(sample)?;
        }
        writer.finalize()
    };
    write().expect("memory takes a minute of sound");
    wav.into_inner()
}

/// Every second sample of what a telephone can carry.
fn halved(samples: &[i16]) -> Vec<i16> {
    let taps = low_pass();
    let reach = TAPS / 2;
    let at =
        |index: isize| usize::try_from(index).ok().and_then(|index| samples.get(index)).map_or(0.0, |&s| f32::from(s));
    let low_passed = |middle: usize| {
        let first = middle as isize - reach as isize;
        let sum: f32 = taps.iter().zip(first..).map(|(tap, index)| tap * at(index)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of a sample")]
        let sample = sum.round().clamp(-32_768.0, 32_767.0) as i16;
        sample
    };
    (0..samples.len()).step_by(2).map(low_passed).collect()
}

/// Blackman-windowed sinc, unity gain at 0 Hz.
fn low_pass() -> [f32; TAPS] {
    let middle = (TAPS / 2) as f32;
    let ratio = CUTOFF_HZ / WIDE_RATE_HZ as f32;
    let mut taps = [0.0; TAPS];
    for (at, tap) in taps.iter_mut().enumerate() {
        let x = at as f32 - middle;
        let sinc = if x == 0.0 { 2.0 * ratio } else { (2.0 * PI * ratio * x).sin() / (PI * x) };
        let turn = PI * at as f32 / middle;
        *tap = sinc * (0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos());
    }
    let gain: f32 = taps.iter().sum();
    taps.map(|tap| tap / gain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(spec: WavSpec, samples: impl Iterator<Item = i16>) -> Vec<u8> {
        let mut wav = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut wav, spec).unwrap();
        samples.for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        wav.into_inner()
    }

    const PCM: WavSpec =
        WavSpec { channels: 1, sample_rate: 8_000, bits_per_sample: 16, sample_format: SampleFormat::Int };

    fn refused(file: &[u8]) -> &'static str {
        convert(file).unwrap_err().code
    }

    fn samples(playable: &Playable) -> Vec<i16> {
        WavReader::new(Cursor::new(&playable.wav)).unwrap().into_samples().map(Result::unwrap).collect()
    }

    #[test]
    fn telephone_sound_is_kept_as_it_is() {
        let kept = convert(&wav(PCM, 0..8_000)).unwrap();
        assert_eq!((kept.duration_ms, samples(&kept)), (1_000, (0..8_000).collect()));
    }

    #[test]
    fn wide_sound_keeps_what_a_telephone_carries_and_nothing_folds_back() {
        let wide = WavSpec { sample_rate: 16_000, ..PCM };
        let tone = |hz: f32| (0..16_000).map(move |at| (8_000.0 * (2.0 * PI * hz * at as f32 / 16_000.0).sin()) as i16);
        let loudness = |hz: f32| {
            let kept = convert(&wav(wide, tone(hz))).unwrap();
            assert_eq!(kept.duration_ms, 1_000);
            let samples = samples(&kept);
            (samples.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / samples.len() as f32).sqrt()
        };
        assert!((loudness(1_000.0) - 5_657.0).abs() < 60.0, "{}", loudness(1_000.0));
        assert!(loudness(6_000.0) < 20.0, "{}", loudness(6_000.0));
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_its_reason() {
        assert_eq!(refused(b"ID3 an MP3"), "not_a_wav");
        assert_eq!(refused(&wav(WavSpec { channels: 2, ..PCM }, 0..8_000)), "not_mono");
        assert_eq!(refused(&wav(WavSpec { sample_rate: 44_100, ..PCM }, 0..8_000)), "wrong_sample_rate");
        assert_eq!(refused(&wav(WavSpec { bits_per_sample: 24, ..PCM }, 0..8_000)), "wrong_sample_format");
        assert_eq!(refused(&wav(PCM, std::iter::repeat_n(1, 8_000 * 61))), "recording_too_long");
        assert_eq!(refused(&wav(PCM, std::iter::empty())), "recording_empty");
        let whole = wav(PCM, 0..8_000);
        assert_eq!(refused(&whole[..whole.len() - 100]), "file_cut_short");
    }
}
