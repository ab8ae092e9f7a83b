//! Where a frame of the human's belongs on the stream's clock.
//!
//! Frames come in bursts when the network, or we, were held up. Their stamps (the carrier's own media time, or failing that
//! the count of samples so far) say how they follow each other; the least delayed of them says how both clocks relate. So each
//! frame is held for a moment, until it is known whether a late one was the beginning of a burst or stands behind a hole.

use std::collections::VecDeque;

/// How long a frame is held before it is placed, in samples: longer than a burst takes to catch up.
const HOLD: i64 = 1_000 * PER_MS;
/// Clocks that differ by less are the same: a stamp has whole milliseconds, and a frame is never on time to the sample.
const DRIFT: i64 = 60 * PER_MS;
/// A carrier's clock is followed to where everything comes later only when nothing has been in time for so long: until then the
/// network is slow, which passes.
const PATIENCE: i64 = 10_000 * PER_MS;
/// A frame so near to the end of the one before follows it without a seam.
const SEAM: i64 = 10 * PER_MS;
/// Stamps that leap by more, or go back, belong to another clock: the carrier's has started anew, or says nonsense.
const LEAP: i64 = 10_000 * PER_MS;
/// Frames held at most: a carrier that sends more in a second is placing none of them right anyway.
const MAX_HELD: usize = 1_000;
const PER_MS: i64 = crate::carrier::SAMPLES_PER_MS as i64;

struct Held {
    /// When it had arrived completely, and how far its stamp is behind that: both in samples.
    arrived: i64,
    stamp: i64,
    behind: i64,
    /// Which of the clocks that this stream has had.
    clock: u32,
    is_stamped: bool,
    samples: Vec<i16>,
}

/// The frame that came last.
#[derive(Clone, Copy)]
struct Last {
    stamp: i64,
    behind: i64,
    is_stamped: bool,
}

/// See the module. Positions are samples since the stream began.
#[derive(Default)]
pub(super) struct Placer {
    held: VecDeque<Held>,
    /// The stamp's zero on the stream's clock.
    zero: Option<(u32, i64)>,
    clock: u32,
    last: Option<Last>,
    /// When something had last arrived as early as the clock says it can.
    in_time_at: i64,
    /// Samples received, which are the stamp of a frame that has none.
    counted: i64,
    /// End of the last frame that was placed.
    end: i64,
}

impl Placer {
    /// Takes a frame that was complete at `arrived`; `stamp` is the carrier's time of its first sample.
    pub fn push(&mut self, arrived: i64, stamp: Option<i64>, samples: Vec<i16>) {
        let length = samples.len() as i64;
        let is_stamped = stamp.is_some();
        let stamp = stamp.unwrap_or(self.counted);
        self.counted += length;
        let behind = arrived - length - stamp;
        if let Some(last) = self.last
            && (last.is_stamped != is_stamped || stamp < last.stamp || last.behind.abs_diff(behind) > LEAP as u64)
        {
            self.clock += 1;
        }
        self.last = Some(Last { stamp, behind, is_stamped });
        if self.held.len() == MAX_HELD {
            self.held.pop_front();
            metrics::counter!("tape_samples_dropped_total", "cause" => "held").increment(1);
        }
        self.held.push_back(Held { arrived, stamp, behind, clock: self.clock, is_stamped, samples });
    }

    /// Where the first of the held frames belongs, as far as can be told: what lies before it is decided.
    pub fn undecided_from(&self) -> Option<i64> {
        let front = self.held.front()?;
        let least = self.held.iter().take_while(|held| held.clock == front.clock).map(|held| held.behind).min()?;
        let known = self.zero.filter(|(clock, _)| *clock == front.clock).map(|(_, zero)| zero);
        Some(front.stamp + known.map_or(least, |zero| zero.min(least)))
    }

    /// The next frame whose time has come at `now`, and the position of its first sample.
    pub fn pop(&mut self, now: i64) -> Option<(i64, Vec<i16>)> {
        while self.held.front()?.arrived <= now.saturating_sub(HOLD) {
            // The least delayed of all that came since then: whoever waited behind it in a burst is no measure.
            let clock = self.held.front()?.clock;
            let least = self.held.iter().take_while(|held| held.clock == clock).map(|held| held.behind).min()?;
            let Held { arrived, stamp, is_stamped, mut samples, .. } = self.held.pop_front()?;
            let known = self.zero.filter(|(of, _)| *of == clock).map(|(_, zero)| zero);
            let zero = known.filter(|zero| {
                let late = least - zero;
                if late.abs() <= DRIFT {
                    self.in_time_at = arrived;
                }
                // Without stamps, what comes late for longer than a burst stands behind a hole.
                late.abs() <= DRIFT || (late > 0 && is_stamped && arrived - self.in_time_at < PATIENCE)
            });
            let zero = zero.unwrap_or_else(|| {
                self.in_time_at = arrived;
                least
            });
            self.zero = Some((clock, zero));
            let due = stamp + zero;
            let from = if (due - self.end).abs() <= SEAM { self.end } else { due };
            // What lies before the end of the frame before was heard already.
            let heard = usize::try_from(self.end - from).unwrap_or(0).min(samples.len());
            samples.drain(..heard);
            if samples.is_empty() {
                continue;
            }
            let from = from.max(self.end);
            self.end = from + samples.len() as i64;
            return Some((from, samples));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    /// Gives frames of 20 ms, each `(arrived, stamp)` in ms, and says where each one went, in ms.
    fn placed(frames: &[(i64, Option<i64>)]) -> Vec<f64> {
        let mut placer = Placer::default();
        let mut at = Vec::new();
        for &(arrived, stamp) in frames {
            placer.push(arrived * PER_MS, stamp.map(|ms| ms * PER_MS), vec![1; FRAME]);
            while let Some((from, _)) = placer.pop(arrived * PER_MS) {
                at.push(from as f64 / PER_MS as f64);
            }
        }
        while let Some((from, _)) = placer.pop(i64::MAX) {
            at.push(from as f64 / PER_MS as f64);
        }
        at
    }

    #[test]
    fn frames_that_come_in_time_follow_each_other() {
        for stamped in [true, false] {
            let frames: Vec<_> = (0..200).map(|n| (n * 20 + 25, stamped.then_some(n * 20))).collect();
            let expected: Vec<f64> = (0..200).map(|n| f64::from(n) * 20.0).collect();
            assert_eq!(placed(&frames), expected, "within the seam of the stream's beginning");
        }
    }

    #[test]
    fn a_burst_shifts_nothing() {
        for stamped in [true, false] {
            // From 400 ms on nothing comes, until all of it comes at 900.
            let arrival = |n: i64| if (20..45).contains(&n) { 900 } else { n * 20 + 20 };
            let frames: Vec<_> = (0..200).map(|n| (arrival(n), stamped.then_some(n * 20))).collect();
            let expected: Vec<f64> = (0..200).map(|n| f64::from(n) * 20.0).collect();
            assert_eq!(placed(&frames), expected, "stamped: {stamped}");
        }
    }

    #[test]
    fn what_waited_while_the_call_was_looked_up_is_placed_where_it_was_said() {
        let frames: Vec<_> = (0..200).map(|n| (1_500.max(n * 20 + 20), Some(n * 20))).collect();
        assert_eq!(placed(&frames)[..3], [0.0, 20.0, 40.0]);
    }

    #[test]
    fn a_hole_stays_a_hole() {
        for stamped in [true, false] {
            let time = |n: i64| if n < 20 { n * 20 } else { n * 20 + 3_000 };
            let frames: Vec<_> = (0..100).map(|n| (time(n) + 20, stamped.then_some(time(n)))).collect();
            let at = placed(&frames);
            assert_eq!((at[19], at[20], at[99]), (380.0, 3_400.0, 4_980.0), "stamped: {stamped}");
        }
    }

    #[test]
    fn a_carrier_whose_clock_starts_anew_is_followed() {
        let frames: Vec<_> = (0..300).map(|n| (n * 20 + 20, Some(n % 150 * 20))).collect();
        let at = placed(&frames);
        assert!(at.iter().enumerate().all(|(n, at)| (at - n as f64 * 20.0).abs() <= 60.0), "{at:?}");
    }

    #[test]
    fn a_stamp_that_is_nonsense_takes_nothing_else_with_it() {
        let frames: Vec<_> = (0..100).map(|n| (n * 20 + 20, Some(if n == 30 { 36_000_000 } else { n * 20 }))).collect();
        assert!(placed(&frames).iter().enumerate().all(|(n, at)| *at == n as f64 * 20.0));
    }

    #[test]
    fn a_stamp_that_is_a_little_off_makes_no_seam() {
        let frames: Vec<_> = (0..200).map(|n| (n * 20 + 20, Some(n * 20 + n % 3))).collect();
        let at = placed(&frames);
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] == 20.0), "{at:?}");
    }
}
