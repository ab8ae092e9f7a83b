//! Finds, from a few milliseconds of audio, the utterances that contain them.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

use super::ulaw;

/// Consecutive codes that are looked up: 3 ms.
pub(super) const WINDOW: usize = 24;
/// Distance between indexed windows. A listener looks at every sample, so alignment does not matter.
const STRIDE: usize = 32;
/// A window with fewer loud samples is too much like any other silence.
const LOUD_SAMPLES: usize = 12;
/// Complement of the code from which a sample counts as loud: a magnitude of 252 or more.
const LOUD: u8 = 0x18;
/// Places kept for one window: many lines begin with the same sound, and one that is not among them is taken for another. More
/// would only come from a sound that repeats itself exactly.
const MAX_PLACES: usize = 64;

const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// `BASE` to the power of [`WINDOW`]: the weight of the code that leaves the window.
const LEAVING: u64 = {
    let mut power = 1u64;
    let mut at = 0;
    while at < WINDOW {
        power = power.wrapping_mul(BASE);
        at += 1;
    }
    power
};

/// Where a window stands: utterance and sample offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub utterance: u64,
    pub offset: u32,
}

/// The hash of the last [`WINDOW`] codes, moved along one code at a time.
#[derive(Debug, Clone)]
pub(super) struct Rolling {
    recent: [u8; WINDOW],
    at: usize,
    filled: usize,
    loud: usize,
    sum: u64,
}

impl Default for Rolling {
    fn default() -> Self {
        Self { recent: [ulaw::SILENCE; WINDOW], at: 0, filled: 0, loud: 0, sum: 0 }
    }
}

impl Rolling {
    /// Takes one code. The window's hash, once it is full and loud enough to be looked up.
    pub(super) fn push(&mut self, code: u8) -> Option<u64> {
        let leaving = self.recent[self.at];
        let was_full = self.filled == WINDOW;
        if was_full {
            self.loud -= usize::from(is_loud(leaving));
            self.sum = self.sum.wrapping_sub(u64::from(leaving).wrapping_mul(LEAVING));
        } else {
            self.filled += 1;
        }
        self.recent[self.at] = code;
        self.at = (self.at + 1) % WINDOW;
        self.loud += usize::from(is_loud(code));
        self.sum = self.sum.wrapping_add(u64::from(code)).wrapping_mul(BASE);
        (self.filled == WINDOW && self.loud >= LOUD_SAMPLES).then(|| mix(self.sum))
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The complement of a code rises with the magnitude it stands for.
pub(super) fn is_loud(code: u8) -> bool {
    (!code & 0x7f) >= LOUD
}

/// A polynomial's low bits know only the codes' low bits; this spreads them (MurmurHash3's finaliser).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Windows of every utterance by hash.
#[derive(Debug, Default)]
pub(super) struct Index {
    one: HashMap<u64, Place, BuildHasherDefault<AlreadyHashed>>,
    more: HashMap<u64, Vec<Place>, BuildHasherDefault<AlreadyHashed>>,
}

impl Index {
    pub(super) fn insert(&mut self, utterance: u64, codes: &[u8]) {
        for (hash, offset) in windows(codes) {
            let place = Place { utterance, offset };
            match self.one.entry(hash) {
                Entry::Vacant(vacant) => {
                    vacant.insert(place);
                }
                Entry::Occupied(_) => {
                    let more = self.more.entry(hash).or_default();
                    if more.len() < MAX_PLACES - 1 {
                        more.push(place);
                    }
                }
            }
        }
    }

    pub(super) fn remove(&mut self, utterance: u64, codes: &[u8]) {
        for (hash, _) in windows(codes) {
            if let Some(more) = self.more.get_mut(&hash) {
                more.retain(|place| place.utterance != utterance);
            }
            if self.one.get(&hash).is_some_and(|place| place.utterance == utterance) {
                match self.more.get_mut(&hash).and_then(Vec::pop) {
                    Some(heir) => self.one.insert(hash, heir),
                    None => self.one.remove(&hash),
                };
            }
            if self.more.get(&hash).is_some_and(Vec::is_empty) {
                self.more.remove(&hash);
            }
        }
    }

    /// Where a window with this hash stands. Different windows may share a hash: compare the codes.
    pub(super) fn places(&self, hash: u64) -> impl Iterator<Item = Place> {
        let one = self.one.get(&hash).copied();
        let more = one.and_then(|_| self.more.get(&hash)).map_or(&[][..], Vec::as_slice);
        one.into_iter().chain(more.iter().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.one.is_empty()
    }
}

fn windows(codes: &[u8]) -> impl Iterator<Item = (u64, u32)> {
    (0..codes.len().saturating_sub(WINDOW)).step_by(STRIDE).filter_map(|offset| {
        let mut rolling = Rolling::default();
        let hash = codes[offset..offset + WINDOW].iter().fold(None, |_, code| rolling.push(*code))?;
        Some((hash, u32::try_from(offset).ok()?))
    })
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(seed: u64, len: usize) -> Vec<u8> {
        let mut noise = crate::speech::Noise::new(seed);
        (0..len).map(|_| ulaw::canonical((noise.unit() * 9_000.0) as i16)).collect()
    }

    #[test]
    fn the_rolling_hash_depends_on_the_last_window_only() {
        let long = codes(3, 500);
        let mut rolling = Rolling::default();
        let moved = long.iter().fold(None, |_, code| rolling.push(*code));
        let mut fresh = Rolling::default();
        let alone = long[500 - WINDOW..].iter().fold(None, |_, code| fresh.push(*code));
        assert!(moved.is_some());
        assert_eq!(moved, alone);
    }

    #[test]
    fn removing_one_of_two_equal_sounds_leaves_the_other_and_then_nothing() {
        let sound = codes(9, 2_000);
        let mut index = Index::default();
        index.insert(1, &sound);
        index.insert(2, &sound);
        let (hash, offset) = windows(&sound).nth(5).expect("noise is loud");
        assert_eq!(index.places(hash).count(), 2);
        index.remove(1, &sound);
        assert_eq!(index.places(hash).collect::<Vec<_>>(), [Place { utterance: 2, offset }]);
        index.remove(2, &sound);
        assert!(index.is_empty() && index.more.is_empty());
    }

    #[test]
    fn silence_is_never_looked_up() {
        let mut rolling = Rolling::default();
        assert!((0..100).all(|_| rolling.push(ulaw::SILENCE).is_none()));
        assert!(is_loud(ulaw::encode(300)) && !is_loud(ulaw::encode(200)) && is_loud(ulaw::encode(-300)));
    }
}
