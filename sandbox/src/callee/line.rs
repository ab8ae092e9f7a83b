//! What the telephone line adds to the callee's voice: noise, and the agent's own sound coming back out of the loudspeaker.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{exotel::playback::SAMPLES_PER_MS, speech::Noise};

/// What was heard and not sent back yet is bounded by this.
const MAX_ECHO_SAMPLES: usize = 2_000 * SAMPLES_PER_MS as usize;

/// How good the line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LineConditions {
    /// Amplitude of the line's noise, in steps of a 16-bit sample: 200 is about -50 dBFS.
    pub noise: u16,
    /// How much of the agent's sound comes back, in percent of its amplitude. A phone's echo suppressor takes it away while the
    /// callee speaks.
    pub echo_percent: u8,
    /// How much later than it was heard.
    pub echo_ms: u64,
}

/// The line of one call.
pub struct Line {
    conditions: LineConditions,
    noise: Noise,
    echo: VecDeque<i16>,
}

impl Line {
    pub fn new(conditions: LineConditions) -> Self {
        let echo = if conditions.echo_percent == 0 {
            VecDeque::new()
        } else {
            std::iter::repeat_n(0, (conditions.echo_ms * SAMPLES_PER_MS) as usize).take(MAX_ECHO_SAMPLES).collect()
        };
        Self { conditions, noise: Noise::new(0x11e), echo }
    }

    /// The callee's loudspeaker has played this.
    pub fn heard(&mut self, samples: &[i16]) {
        if self.conditions.echo_percent > 0 {
            let room = MAX_ECHO_SAMPLES.saturating_sub(self.echo.len());
            self.echo.extend(samples.iter().take(room));
        }
    }

    /// Fills a chunk whose first `spoken` samples are the callee's own: a voice comes with the line's noise in it already.
    pub fn fill(&mut self, chunk: &mut [i16], spoken: usize) {
        let share = f32::from(self.conditions.echo_percent) / 100.0;
        let amplitude = f32::from(self.conditions.noise);
        for (at, sample) in chunk.iter_mut().enumerate() {
            let echo = self.echo.pop_front().unwrap_or(0);
            if at >= spoken {
                *sample = (f32::from(echo) * share + amplitude * self.noise.unit()) as i16;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_line_is_silent() {
        let mut line = Line::new(LineConditions::default());
        line.heard(&[9_000; 160]);
        let mut chunk = [7; 160];
        line.fill(&mut chunk, 80);
        assert_eq!(chunk[..80], [7; 80]);
        assert_eq!(chunk[80..], [0; 80]);
    }

    #[test]
    fn the_agent_comes_back_later_and_quieter_and_never_over_the_callee() {
        let mut line = Line::new(LineConditions { noise: 0, echo_percent: 10, echo_ms: 10 });
        line.heard(&[10_000; 160]);
        let mut chunk = [5; 160];
        line.fill(&mut chunk, 0);
        assert_eq!((chunk[79], chunk[80], chunk[159]), (0, 1_000, 1_000));
        line.heard(&[10_000; 160]);
        chunk = [5; 160];
        line.fill(&mut chunk, 160);
        assert_eq!(chunk, [5; 160]);
    }

    #[test]
    fn noise_stays_within_its_amplitude() {
        let mut line = Line::new(LineConditions { noise: 200, ..LineConditions::default() });
        let mut chunk = [0; 1_600];
        line.fill(&mut chunk, 0);
        assert!(chunk.iter().all(|sample| sample.unsigned_abs() <= 200));
        assert!(chunk.iter().filter(|sample| sample.unsigned_abs() > 50).count() > 800);
    }
}
