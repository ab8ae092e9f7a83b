//! 24 kHz to 8 kHz: a low-pass, then every third sample.

use std::{f32::consts::PI, sync::LazyLock};

const TAPS: usize = 63;
/// Below half of 8 kHz, with room for the filter's slope.
const CUTOFF_HZ: f32 = 3_400.0;
const INPUT_HZ: f32 = 24_000.0;
const FACTOR: usize = 3;

/// Blackman-windowed sinc, unity gain at 0 Hz.
static LOW_PASS: LazyLock<[f32; TAPS]> = LazyLock::new(|| {
    let middle = (TAPS - 1) as f32 / 2.0;
    let ratio = CUTOFF_HZ / INPUT_HZ;
    let mut taps = [0.0; TAPS];
    for (at, tap) in taps.iter_mut().enumerate() {
        let x = at as f32 - middle;
        let sinc = if x == 0.0 { 2.0 * ratio } else { (2.0 * PI * ratio * x).sin() / (PI * x) };
        let turn = 2.0 * PI * at as f32 / (TAPS - 1) as f32;
        *tap = sinc * (0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos());
    }
    let gain: f32 = taps.iter().sum();
    taps.map(|tap| tap / gain)
});

/// One stream of 16-bit little-endian PCM; chunks may end anywhere.
#[derive(Debug, Default)]
pub struct Decimator {
    odd: Option<u8>,
    /// Input that later output still needs, oldest first.
    pending: Vec<i16>,
}

impl Decimator {
    /// The samples that this chunk completes. The filter's delay, 1.3 ms, stays unsaid at the end.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<i16> {
        let rest = match (self.odd.take(), bytes.split_first()) {
            (Some(low), Some((high, rest))) => {
                self.pending.push(i16::from_le_bytes([low, *high]));
                rest
            }
            (odd, _) => {
                self.odd = odd;
                bytes
            }
        };
        let (pairs, odd) = rest.as_chunks::<2>();
        if let [byte] = odd {
            self.odd = Some(*byte);
        }
        self.pending.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
        let count = (self.pending.len() + FACTOR).saturating_sub(TAPS) / FACTOR;
        let low_passed = |at: usize| {
            let window = &self.pending[at * FACTOR..at * FACTOR + TAPS];
            let sum: f32 = window.iter().zip(LOW_PASS.iter()).map(|(sample, tap)| f32::from(*sample) * tap).sum();
            sum.round().clamp(-32_768.0, 32_767.0) as i16
        };
        let samples = (0..count).map(low_passed).collect();
        self.pending.drain(..count * FACTOR);
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32) -> Vec<u8> {
        let sample = |at: usize| (8_000.0 * (2.0 * PI * hz * at as f32 / INPUT_HZ).sin()) as i16;
        (0..24_000).flat_map(|at| sample(at).to_le_bytes()).collect()
    }

    fn rms(pcm: &[i16]) -> f32 {
        (pcm.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / pcm.len() as f32).sqrt()
    }

    #[test]
    fn speech_is_kept_and_what_would_fold_back_is_not() {
        let kept = Decimator::default().feed(&tone(1_000.0));
        assert!(kept.len().abs_diff(8_000) < 25, "{}", kept.len());
        assert!((rms(&kept) / 5_657.0 - 1.0).abs() < 0.02, "{}", rms(&kept));
        assert!(rms(&Decimator::default().feed(&tone(6_000.0))) < 20.0);
    }

    #[test]
    fn chunks_may_end_inside_samples() {
        let bytes = tone(700.0);
        let whole = Decimator::default().feed(&bytes);
        for size in [1, 7, 1_000] {
            let mut decimator = Decimator::default();
            let parts: Vec<i16> = bytes.chunks(size).flat_map(|chunk| decimator.feed(chunk)).collect();
            assert_eq!(parts, whole, "{size}");
        }
    }
}
