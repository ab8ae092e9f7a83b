//! Sound that a model made faster than it is heard: kept as µ-law, a byte a sample, and given to the pacer as that one drains.
//!
//! How much there may be is the conversation's to say: it stops an answer that is too long, and how many answers may wait.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::{audio::g711, carrier::SAMPLES_PER_MS, dialogue::Epoch};

/// How far the pacer is fed beyond what was heard.
const AHEAD_SAMPLES: u64 = 2_000 * SAMPLES_PER_MS as u64;

/// Something for the pacer.
#[derive(Debug, PartialEq)]
pub(super) enum Feed {
    Play(Epoch, Arc<[i16]>),
    End(Epoch),
}

#[derive(Debug)]
struct Lane {
    epoch: Epoch,
    chunks: VecDeque<Vec<u8>>,
    fed: u64,
    played: u64,
    complete: bool,
    ended: bool,
}

/// The sound of all replies that are being made or wait to be heard.
#[derive(Debug, Default)]
pub(super) struct Reservoir {
    lanes: VecDeque<Lane>,
}

impl Reservoir {
    fn lane(&mut self, epoch: Epoch) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.epoch == epoch).unwrap_or_else(|| {
            let lane = Lane { epoch, chunks: VecDeque::new(), fed: 0, played: 0, complete: false, ended: false };
            self.lanes.push_back(lane);
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    pub(super) fn push(&mut self, epoch: Epoch, codes: Vec<u8>) {
        self.lane(epoch).chunks.push_back(codes);
    }

    pub(super) fn complete(&mut self, epoch: Epoch) {
        self.lane(epoch).complete = true;
    }

    pub(super) fn discard(&mut self, epoch: Epoch) {
        self.lanes.retain(|lane| lane.epoch != epoch);
    }

    /// Nothing of this reply, or of one before it, is wanted.
    pub(super) fn clear(&mut self, epoch: Epoch) {
        self.lanes.retain(|lane| lane.epoch > epoch);
    }

    /// How far the human has heard it.
    pub(super) fn played(&mut self, epoch: Epoch, samples: u64) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.epoch == epoch) {
            lane.played = samples;
        }
    }

    /// What the pacer should have now, while `audible` is the reply that is heard. Ask until `None`.
    pub(super) fn next(&mut self, audible: Epoch) -> Option<Feed> {
        self.lanes.retain(|lane| lane.epoch >= audible);
        let lane = self.lanes.iter_mut().find(|lane| lane.epoch == audible)?;
        if lane.fed.saturating_sub(lane.played) >= AHEAD_SAMPLES {
            return None;
        }
        if let Some(codes) = lane.chunks.pop_front() {
            lane.fed += codes.len() as u64;
            return Some(Feed::Play(audible, codes.iter().map(|code| g711::decode_ulaw(*code)).collect()));
        }
        (lane.complete && !std::mem::replace(&mut lane.ended, true)).then_some(Feed::End(audible))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = 1_000 * SAMPLES_PER_MS;

    /// Seconds that are fed now.
    fn fed(reservoir: &mut Reservoir, audible: u32) -> (usize, bool) {
        let mut fed = (0, false);
        while let Some(feed) = reservoir.next(Epoch(audible)) {
            match feed {
                Feed::Play(_, samples) => fed.0 += samples.len() / SECOND,
                Feed::End(_) => fed.1 = true,
            }
        }
        fed
    }

    #[test]
    fn a_minute_that_comes_at_once_is_fed_as_it_is_heard() {
        let mut reservoir = Reservoir::default();
        for _ in 0..60 {
            reservoir.push(Epoch(1), vec![g711::ULAW_SILENCE; SECOND]);
        }
        reservoir.complete(Epoch(1));
        assert_eq!(fed(&mut reservoir, 1), (2, false));
        reservoir.played(Epoch(1), 10 * SECOND as u64);
        assert_eq!(fed(&mut reservoir, 1), (10, false));
        reservoir.played(Epoch(1), 60 * SECOND as u64);
        assert_eq!(fed(&mut reservoir, 1), (48, true));
        assert_eq!(fed(&mut reservoir, 1), (0, false), "the end is told once");
    }

    #[test]
    fn what_waits_behind_another_reply_is_not_fed_and_can_be_taken_away() {
        let mut reservoir = Reservoir::default();
        reservoir.push(Epoch(2), vec![g711::ULAW_SILENCE; SECOND]);
        reservoir.push(Epoch(3), vec![g711::ULAW_SILENCE; SECOND]);
        assert_eq!(fed(&mut reservoir, 1), (0, false));
        reservoir.discard(Epoch(2));
        assert_eq!(fed(&mut reservoir, 2), (0, false));
        assert_eq!(fed(&mut reservoir, 3), (1, false));
    }
}
