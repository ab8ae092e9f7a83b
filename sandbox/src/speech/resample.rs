//! Between 16 kHz and 8 kHz.

use std::{f32::consts::PI, sync::LazyLock};

/// Taps of the decimator's low-pass: 31.5 samples of delay, compensated.
const LOW_PASS_TAPS: usize = 63;
/// Below half of 8 kHz with room for the filter's slope.
const CUTOFF_HZ: f32 = 3_600.0;
/// Taps on each side of the interpolator.
const HALF: usize = 12;

/// Blackman-windowed sinc, unity gain at 0 Hz.
static LOW_PASS: LazyLock<[f32; LOW_PASS_TAPS]> = LazyLock::new(|| {
    let middle = (LOW_PASS_TAPS - 1) as f32 / 2.0;
    let ratio = CUTOFF_HZ / 16_000.0;
    let mut taps = [0.0; LOW_PASS_TAPS];
    for (at, tap) in taps.iter_mut().enumerate() {
        let x = at as f32 - middle;
        let sinc = if x == 0.0 { 2.0 * ratio } else { (2.0 * PI * ratio * x).sin() / (PI * x) };
        *tap = sinc * blackman(at as f32 / (LOW_PASS_TAPS - 1) as f32);
    }
    let gain: f32 = taps.iter().sum();
    taps.map(|tap| tap / gain)
});

/// Windowed sinc at the half-sample points ±0.5, ±1.5, …
static BETWEEN: LazyLock<[f32; HALF]> = LazyLock::new(|| {
    let mut taps = [0.0; HALF];
    for (at, tap) in taps.iter_mut().enumerate() {
        let x = at as f32 + 0.5;
        *tap = (PI * x).sin() / (PI * x) * blackman(0.5 + x / (2 * HALF) as f32 / 1.02);
    }
    let gain: f32 = 2.0 * taps.iter().sum::<f32>();
    taps.map(|tap| tap / gain)
});

fn blackman(at: f32) -> f32 {
    0.42 - 0.5 * (2.0 * PI * at).cos() + 0.08 * (4.0 * PI * at).cos()
}

/// A whole recording at 16 kHz to 8 kHz, low-passed so that nothing folds back.
pub fn halve(pcm: &[i16]) -> Vec<i16> {
    let middle = LOW_PASS_TAPS / 2;
    (0..pcm.len().div_ceil(2))
        .map(|out| {
            let sum: f32 = LOW_PASS
                .iter()
                .enumerate()
                .filter_map(|(tap, weight)| {
                    let at = (2 * out + tap).checked_sub(middle)?;
                    Some(f32::from(*pcm.get(at)?) * weight)
                })
                .sum();
            sum.round().clamp(-32_768.0, 32_767.0) as i16
        })
        .collect()
}

/// A whole piece at 8 kHz to 16 kHz. The original samples stay untouched at the even places, so that
/// [`every_other`] gives them back exactly and an ear still recognises them.
pub fn double(pcm: &[i16]) -> Vec<i16> {
    let sample = |at: isize| usize::try_from(at).ok().and_then(|at| pcm.get(at)).map_or(0.0, |s| f32::from(*s));
    let mut doubled = Vec::with_capacity(2 * pcm.len());
    for (at, original) in pcm.iter().enumerate() {
        let at = at as isize;
        let between: f32 = BETWEEN
            .iter()
            .enumerate()
            .map(|(tap, weight)| {
                let tap = tap as isize;
                weight * (sample(at - tap) + sample(at + 1 + tap))
            })
            .sum();
        doubled.push(*original);
        doubled.push(between.round().clamp(-32_768.0, 32_767.0) as i16);
    }
    doubled
}

/// The even samples of a 16 kHz stream, with the parity carried from chunk to chunk. Not a good
/// decimator for strange audio, but the exact inverse of [`double`], which is what an ear needs.
pub fn every_other(pcm: &[i16], odd: &mut bool) -> Vec<i16> {
    let kept = pcm.iter().skip(usize::from(*odd)).step_by(2).copied().collect();
    *odd ^= pcm.len() % 2 == 1;
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, rate: f32, samples: usize) -> Vec<i16> {
        (0..samples).map(|at| (8_000.0 * (2.0 * PI * hz * at as f32 / rate).sin()) as i16).collect()
    }

    fn rms(pcm: &[i16]) -> f32 {
        (pcm.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / pcm.len() as f32).sqrt()
    }

    #[test]
    fn halving_keeps_speech_and_drops_what_would_fold_back() {
        let kept = halve(&tone(1_000.0, 16_000.0, 16_000));
        assert_eq!(kept.len(), 8_000);
        assert!((rms(&kept) / 5_657.0 - 1.0).abs() < 0.02, "{}", rms(&kept));
        assert!(rms(&halve(&tone(6_000.0, 16_000.0, 16_000))) < 20.0);
    }

    #[test]
    fn doubling_is_undone_exactly_in_any_chunks_and_adds_no_image() {
        let pcm = tone(700.0, 8_000.0, 4_001);
        let doubled = double(&pcm);
        let mut odd = false;
        let back: Vec<i16> = doubled.chunks(333).flat_map(|chunk| every_other(chunk, &mut odd)).collect();
        assert_eq!(back, pcm);
        let clean = tone(700.0, 16_000.0, doubled.len());
        let error: Vec<i16> = doubled.iter().zip(&clean).map(|(a, b)| a - b).collect();
        assert!(rms(&error[100..7_800]) < 60.0, "{}", rms(&error[100..7_800]));
    }
}
