//! Random numbers of the shapes a forecast needs, made of even draws from 0 to 1 that the caller supplies.

use std::f64::consts::TAU;

/// Draws evenly from `[0, 1)`.
pub trait Dice {
    fn even(&mut self) -> f64;
}

impl<F: FnMut() -> f64> Dice for F {
    fn even(&mut self) -> f64 {
        self()
    }
}

/// Standard normal (Box–Muller).
pub(super) fn normal(dice: &mut impl Dice) -> f64 {
    let radius = (-2.0 * (1.0 - dice.even()).max(f64::MIN_POSITIVE).ln()).sqrt();
    radius * (TAU * dice.even()).cos()
}

/// How many of `n` happen that each happen with probability `p`. Exact while few are expected, normal beyond: a campaign's
/// sums do not show the difference.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of leads, far below 2^52, clamped to 0..=n"
)]
pub(super) fn binomial(dice: &mut impl Dice, n: u64, p: f64) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - binomial(dice, n, 1.0 - p);
    }
    let mean = n as f64 * p;
    if mean < 12.0 {
        // Skips from one that happens to the next.
        let log_miss = (-p).ln_1p();
        let (mut at, mut count) = (0.0, 0);
        loop {
            at += ((1.0 - dice.even()).max(f64::MIN_POSITIVE).ln() / log_miss).floor() + 1.0;
            if at > n as f64 {
                return count;
            }
            count += 1;
        }
    }
    let drawn = mean + (mean * (1.0 - p)).sqrt() * normal(dice);
    drawn.round().clamp(0.0, n as f64) as u64
}

/// What is believed of a probability after `yes` and `no` have been seen (pseudo-counts, both above 0).
pub(super) fn beta(dice: &mut impl Dice, yes: f64, no: f64) -> f64 {
    let (yes, no) = (gamma(dice, yes), gamma(dice, no));
    if yes + no > 0.0 { yes / (yes + no) } else { 0.0 }
}

/// Marsaglia and Tsang, 2000.
fn gamma(dice: &mut impl Dice, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = dice.even().max(f64::MIN_POSITIVE).powf(1.0 / shape);
        return gamma(dice, shape + 1.0) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let z = normal(dice);
        let v = (1.0 + c * z).powi(3);
        if v > 0.0 && (1.0 - dice.even()).max(f64::MIN_POSITIVE).ln() < 0.5 * z * z + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// A linear congruence of Knuth's, for tests.
#[cfg(test)]
pub(super) fn loaded(seed: u64) -> impl Dice {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_the_spread_that_they_should() {
        let mut dice = loaded(1);
        for (n, p) in [(10, 0.3), (200, 0.02), (200, 0.5), (100_000, 0.35), (50, 0.9)] {
            let draws: Vec<f64> = (0..4000).map(|_| binomial(&mut dice, n, p) as f64).collect();
            let mean = draws.iter().sum::<f64>() / 4000.0;
            let spread = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0;
            let (wanted, wanted_spread) = (n as f64 * p, n as f64 * p * (1.0 - p));
            assert!((mean - wanted).abs() < 0.1 * wanted_spread.sqrt(), "{n} {p}: mean {mean}");
            assert!((spread / wanted_spread - 1.0).abs() < 0.12, "{n} {p}: variance {spread}");
            assert!(draws.iter().all(|x| *x <= n as f64));
        }
        assert_eq!((binomial(&mut dice, 5, 0.0), binomial(&mut dice, 5, 1.0), binomial(&mut dice, 0, 0.5)), (0, 5, 0));
    }

    #[test]
    fn a_belief_gathers_around_what_was_seen() {
        let mut dice = loaded(2);
        for (yes, no) in [(0.4, 2.0), (6.0, 14.0), (300.0, 700.0)] {
            let mean = (0..4000).map(|_| beta(&mut dice, yes, no)).sum::<f64>() / 4000.0;
            assert!((mean - yes / (yes + no)).abs() < 0.02, "{yes} {no}: {mean}");
        }
    }
}
