//! Two channels on one clock: what the human said as it was received, and what the agent said as it was heard.

use std::collections::VecDeque;

use super::placing::Placer;
use crate::carrier::SAMPLES_PER_MS;

/// What is older is final, unless a frame that is still held may belong there: the human's frames have come by then, however they
/// were held up, and the agent's cannot be taken back any more.
const LAG: i64 = 3_000 * SAMPLES_PER_MS as i64;
/// Nothing is meant to be heard later than this from now; what says so is wrong.
const MAX_AHEAD: i64 = 5_000 * SAMPLES_PER_MS as i64;
/// Samples per channel that are handed out at once: ten seconds.
const MOST_AT_ONCE: i64 = 10_000 * SAMPLES_PER_MS as i64;

/// The sound from `Mixer::written` on; what is beyond it is silence.
#[derive(Default)]
struct Channel(VecDeque<i16>);

impl Channel {
    /// Lays sound over what is there, from `at` samples on; what lies before the beginning is too late.
    fn lay(&mut self, at: i64, samples: &[i16]) {
        let late = usize::try_from(-at).unwrap_or(0);
        if late > 0 {
            let lost = late.min(samples.len());
            metrics::counter!("tape_samples_dropped_total", "cause" => "late").increment(lost as u64);
        }
        let samples = samples.get(late..).unwrap_or_default();
        let from = usize::try_from(at).unwrap_or(0);
        if samples.is_empty() {
            return;
        }
        if self.0.len() < from + samples.len() {
            self.0.resize(from + samples.len(), 0);
        }
        for (sample, &new) in self.0.range_mut(from..).zip(samples) {
            *sample = new;
        }
    }

    fn cut(&mut self, at: i64) {
        self.0.truncate(usize::try_from(at).unwrap_or(0));
    }

    fn next(&mut self) -> i16 {
        self.0.pop_front().unwrap_or(0)
    }
}

/// See the module. All times are samples since the stream began; one only ever asks for later ones.
#[derive(Default)]
pub(super) struct Mixer {
    placer: Placer,
    human: Channel,
    agent: Channel,
    /// Samples per channel that were handed out.
    written: i64,
}

impl Mixer {
    /// A frame of the human's, complete at `arrived`; `stamp` is the carrier's time of its first sample.
    pub fn human(&mut self, arrived: i64, stamp: Option<i64>, samples: Vec<i16>) {
        self.placer.push(arrived, stamp, samples);
        self.place(arrived);
    }

    /// Sound of the agent's that is heard from `at` on, unless it is cut.
    pub fn agent(&mut self, at: i64, samples: &[i16]) {
        let at = at - self.written;
        if at < MAX_AHEAD + LAG {
            self.agent.lay(at, samples);
        }
    }

    /// From `at` on nothing is heard of what the agent was sent so far.
    pub fn cut(&mut self, at: i64) {
        self.agent.cut(at - self.written);
    }

    fn place(&mut self, now: i64) {
        while let Some((from, samples)) = self.placer.pop(now) {
            let at = from - self.written;
            // The carrier's clock may say anything: beyond what can be true it is not believed.
            if at < MAX_AHEAD + LAG {
                self.human.lay(at, &samples);
            }
        }
    }

    /// Left and right, in turn, of what has become final at `now`. `false`: there is more.
    pub fn take(&mut self, now: i64, out: &mut Vec<i16>) -> bool {
        self.place(now);
        let undecided = self.placer.undecided_from().unwrap_or(i64::MAX);
        self.take_until((now - LAG).min(undecided), out)
    }

    /// The rest, up to the stream's end. `false`: there is more.
    pub fn finish(&mut self, end: i64, out: &mut Vec<i16>) -> bool {
        // Of what came at the very end nothing later can tell more.
        self.place(i64::MAX);
        self.take_until(end, out)
    }

    fn take_until(&mut self, end: i64, out: &mut Vec<i16>) -> bool {
        let count = (end - self.written).clamp(0, MOST_AT_ONCE);
        for _ in 0..count {
            out.extend([self.human.next(), self.agent.next()]);
        }
        self.written += count;
        self.written >= end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = SAMPLES_PER_MS as i64;

    /// Everything up to `end_ms`, as left and right.
    fn whole(mixer: &mut Mixer, end_ms: i64) -> (Vec<i16>, Vec<i16>) {
        let mut out = Vec::new();
        while !mixer.finish(end_ms * MS, &mut out) {}
        out.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
    }

    /// Where the sound is, in ms.
    fn spans(channel: &[i16]) -> Vec<(usize, usize)> {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for (at, _) in channel.iter().enumerate().filter(|(_, sample)| **sample != 0) {
            match spans.last_mut() {
                Some((_, end)) if *end == at => *end = at + 1,
                _ => spans.push((at, at + 1)),
            }
        }
        spans.into_iter().map(|(from, to)| (from / SAMPLES_PER_MS, to / SAMPLES_PER_MS)).collect()
    }

    fn ms(count: usize) -> Vec<i16> {
        vec![7; count * SAMPLES_PER_MS]
    }

    #[test]
    fn what_was_cleared_was_not_heard() {
        let mut mixer = Mixer::default();
        for frame in 0..4 {
            mixer.agent((1_000 + frame * 100) * MS, &ms(100));
        }
        mixer.cut(1_150 * MS);
        mixer.agent(2_000 * MS, &ms(100));
        let (human, agent) = whole(&mut mixer, 3_000);
        assert_eq!((human.len(), spans(&human)), (24_000, vec![]));
        assert_eq!(spans(&agent), [(1_000, 1_150), (2_000, 2_100)]);
    }

    #[test]
    fn a_pause_is_silence_and_a_resume_goes_on_behind_it() {
        let mut mixer = Mixer::default();
        mixer.agent(0, &ms(300));
        // Paused at 180 ms; the carrier's queue is cleared; resumed from there 400 ms later.
        mixer.cut(180 * MS);
        mixer.agent(580 * MS, &ms(120));
        assert_eq!(spans(&whole(&mut mixer, 1_000).1), [(0, 180), (580, 700)]);
    }

    #[test]
    fn what_was_held_up_for_long_is_placed_although_the_tape_is_written_meanwhile() {
        let mut mixer = Mixer::default();
        let mut out = Vec::new();
        for frame in 0..100 {
            // From 500 ms on nothing comes for two seconds and a half, then all of it at once.
            let arrived = if (5..30).contains(&frame) { 3_000 } else { frame * 100 + 100 };
            mixer.human(arrived * MS, Some(frame * 100 * MS), ms(100));
            mixer.take(arrived * MS, &mut out);
        }
        while !mixer.finish(10_000 * MS, &mut out) {}
        let human: Vec<i16> = out.chunks_exact(2).map(|pair| pair[0]).collect();
        assert_eq!(spans(&human), [(0, 10_000)]);
    }

    #[test]
    fn the_stream_ends_with_the_line() {
        let mut mixer = Mixer::default();
        mixer.agent(900 * MS, &ms(400));
        mixer.human(1_000 * MS, None, ms(100));
        let (human, agent) = whole(&mut mixer, 1_000);
        assert_eq!(spans(&agent), [(900, 1_000)], "the rest was never played");
        assert_eq!(spans(&human), [(900, 1_000)]);
    }

    #[test]
    fn a_carrier_that_claims_to_be_hours_ahead_costs_no_memory() {
        let mut mixer = Mixer::default();
        mixer.human(100 * MS, Some(0), ms(100));
        mixer.human(200 * MS, Some(36_000_000 * MS), ms(100));
        mixer.agent(36_000_000 * MS, &ms(100));
        let mut out = Vec::new();
        mixer.take(10_000 * MS, &mut out);
        assert!(mixer.human.0.len() + mixer.agent.0.len() < 100_000);
    }

    proptest! {
        /// However the frames were held up on their way, and however often the tape is written: each one is where it was said,
        /// none is torn, and nothing else is heard.
        #[test]
        fn delays_move_nothing(delays in prop::collection::vec(0_i64..400, 50..200), lost in prop::collection::vec(any::<bool>(), 200)) {
            let mut mixer = Mixer::default();
            let mut out = Vec::new();
            let mut arrived = 0;
            let mut expected = Vec::new();
            for (n, delay) in delays.iter().enumerate() {
                // One in ten is held up; frames of one socket never overtake each other.
                let held_up = if n % 10 == 3 { *delay } else { 0 };
                let from = n as i64 * 20;
                arrived = (from + 20 + held_up).max(arrived);
                // A third of the frames near the middle never comes.
                if n > 20 && n % 3 == 0 && lost[n] {
                    expected.extend(vec![0; 160]);
                    continue;
                }
                let samples = vec![n as i16 + 1; 160];
                expected.extend(&samples);
                mixer.human(arrived * MS, Some(from * MS), samples);
                mixer.take(arrived * MS, &mut out);
            }
            while !mixer.finish(delays.len() as i64 * 20 * MS, &mut out) {}
            let human: Vec<i16> = out.chunks_exact(2).map(|pair| pair[0]).collect();
            let differs = human.iter().zip(&expected).position(|(is, should)| is != should);
            prop_assert_eq!((differs, human.len()), (None, expected.len()));
        }
    }
}
