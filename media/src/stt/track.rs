//! Where the call's audio stands, whatever connection it went over: positions are samples since the call began.

use std::{collections::VecDeque, time::Duration};

use crate::carrier::SAMPLES_PER_MS;

/// Audio kept for a replay: four seconds, enough for one try again and for going over to another provider.
const REPLAY_SAMPLES: usize = 32_000;

#[derive(Default)]
pub(super) struct Track {
    /// The next sample that was never sent.
    position: u64,
    /// The last samples sent, up to `position`.
    sent: VecDeque<i16>,
    /// Everything before this is in a closed segment.
    closed_to: u64,
    /// The end of the last of them that had words.
    words_to: u64,
}

impl Track {
    pub(super) fn push(&mut self, samples: &[i16], skipped: usize) {
        if skipped > 0 {
            // What lies before a hole is not contiguous with what follows it.
            self.sent.clear();
            self.position += skipped as u64;
        }
        self.sent.extend(samples);
        let excess = self.sent.len().saturating_sub(REPLAY_SAMPLES);
        self.sent.drain(..excess);
        self.position += samples.len() as u64;
    }

    /// Notes that everything before this position has been transcribed, in words at last or not.
    pub(super) fn close(&mut self, position: u64, has_words: bool) {
        self.closed_to = self.closed_to.max(position);
        if has_words {
            self.words_to = self.words_to.max(position);
        }
    }

    /// Whoever closed the segments since the last words heard nothing: somebody else has to hear them.
    pub(super) fn reopen(&mut self) {
        self.closed_to = self.words_to;
    }

    /// The audio to send again on a new connection, and the position of its first sample.
    pub(super) fn replay(&mut self) -> (u64, Vec<i16>) {
        let first = self.position - self.sent.len() as u64;
        let from = self.closed_to.clamp(first, self.position);
        let skip = usize::try_from(from - first).unwrap_or(self.sent.len());
        (from, self.sent.iter().skip(skip).copied().collect())
    }
}

/// A position in samples as time since the call began.
pub(super) fn time_of(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000 / SAMPLES_PER_MS as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_closed_without_words_can_be_heard_again() {
        let mut track = Track::default();
        track.push(&[1; 800], 0);
        track.close(800, true);
        track.push(&[2; 1_600], 0);
        track.close(2_400, false);
        assert_eq!(track.replay(), (2_400, vec![]));
        track.reopen();
        assert_eq!(track.replay(), (800, vec![2; 1_600]));
    }
}
