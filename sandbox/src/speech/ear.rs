//! A listener that recognises, by content, what its bank has said.
//!
//! While it follows an utterance it only compares. Otherwise it hashes the last 3 ms at every sample
//! and looks them up; a candidate has to hold for 20 ms before anybody hears of it. An interruption
//! shorter than [`PATIENCE_MS`] (a pause, lost or repeated audio, a damaged sample) does not end the
//! utterance, if it then goes on.

use std::sync::Arc;

use super::{
    PER_MS, Utterance,
    bank::Shared,
    index::{Rolling, WINDOW, is_loud},
    ulaw,
};

/// How long an utterance may stay away and still be the same utterance, in ms. Longer than a barge-in
/// pause that ends in "go on", shorter than a human's patience.
const PATIENCE_MS: u64 = 1_200;
/// A candidate that matches this long is believed: 20 ms.
const CONVINCING: usize = 20 * PER_MS as usize;
/// Between equally good candidates the newest wins after this long: 200 ms.
const UNDECIDED: usize = 200 * PER_MS as usize;
/// What is kept to extend a match backwards, over a soft beginning: 0.5 s.
const HISTORY: usize = 500 * PER_MS as usize;
/// An utterance that begins again from here, after this much of it, is said anew.
const BEGINNING: usize = 60 * PER_MS as usize;
const WELL_UNDER_WAY: usize = 500 * PER_MS as usize;
/// A hole of equal length on both sides (damaged audio) up to this long counts as heard: 100 ms.
const SMALL_HOLE: usize = 100 * PER_MS as usize;
/// A word counts as heard from this share of it.
const HEARD_SHARE: (usize, usize) = (3, 5);

/// What an ear reports. Times are ms of audio received since the stream began.
#[derive(Debug, Clone)]
pub enum Heard {
    Started {
        utterance: Arc<Utterance>,
        at_ms: u64,
    },
    Ended {
        utterance: Arc<Utterance>,
        /// When its last recognised sample was received.
        at_ms: u64,
        /// How much of it was received, in ms.
        heard_ms: u64,
        /// The words that were really heard, in order.
        text: String,
    },
}

/// One word, in the time of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardWord {
    pub word: String,
    pub start_ms: u64,
    pub end_ms: u64,
}

/// One stream's listener. See the module.
pub struct Ear {
    bank: Arc<Shared>,
    /// Samples received.
    now: u64,
    /// The last codes received; the newest at the end.
    history: Vec<u8>,
    rolling: Rolling,
    candidates: Vec<Candidate>,
    hearing: Option<Hearing>,
    words: Vec<HeardWord>,
    events: Vec<Heard>,
    codes: Vec<u8>,
}

/// An utterance that the last samples may belong to.
struct Candidate {
    utterance: Arc<Utterance>,
    /// The next code expected.
    next: usize,
    matched: usize,
}

/// The utterance being heard.
struct Hearing {
    utterance: Arc<Utterance>,
    /// The next code expected.
    next: usize,
    /// Stream position behind the last recognised sample.
    until: u64,
    /// Whether the last sample was recognised.
    following: bool,
    heard: usize,
    /// Samples heard of each word.
    heard_of: Vec<usize>,
    reported: Vec<bool>,
}

impl Ear {
    pub(super) fn new(bank: Arc<Shared>) -> Self {
        Self {
            bank,
            now: 0,
            history: Vec::new(),
            rolling: Rolling::default(),
            candidates: Vec::new(),
            hearing: None,
            words: Vec::new(),
            events: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// Takes the next samples, in chunks of any size.
    pub fn hear(&mut self, pcm: &[i16]) -> Vec<Heard> {
        let mut codes = std::mem::take(&mut self.codes);
        codes.clear();
        codes.extend(pcm.iter().map(|sample| ulaw::canonical(*sample)));

        let mut rest = &codes[..];
        while !rest.is_empty() {
            let taken = if self.hearing.as_ref().is_some_and(|hearing| hearing.following) {
                self.follow(rest)
            } else {
                self.search(rest)
            };
            rest = &rest[taken..];
        }
        self.codes = codes;
        std::mem::take(&mut self.events)
    }

    /// Ends what is being heard: nothing more will come.
    pub fn flush(&mut self) -> Vec<Heard> {
        self.candidates.clear();
        self.end();
        std::mem::take(&mut self.events)
    }

    /// The words completed since the last call. They come before `Ended`, in step with the audio.
    pub fn take_words(&mut self) -> Vec<HeardWord> {
        std::mem::take(&mut self.words)
    }

    /// Milliseconds of audio received.
    pub fn now_ms(&self) -> u64 {
        self.now / PER_MS
    }

    /// Compares with the utterance that is being followed. At least one code is taken, unless the
    /// first one differs; then nothing is, and the search begins with it.
    fn follow(&mut self, codes: &[u8]) -> usize {
        let Some(hearing) = &mut self.hearing else {
            return 0;
        };
        let expected = &hearing.utterance.codes[hearing.next..hearing.utterance.sound_end];
        let within = codes.len().min(expected.len());
        let same = if codes[..within] == expected[..within] {
            within
        } else {
            codes.iter().zip(expected).take_while(|(a, b)| a == b).count()
        };
        let whole = same == expected.len();
        hearing.advance(same, self.now + same as u64, &mut self.words);
        if !whole && same < codes.len() {
            hearing.following = false;
            // What was begun before the break is heard if enough of it was.
            hearing.report_words(true, &mut self.words);
            self.rolling.reset();
        }
        self.received(&codes[..same]);
        if whole {
            self.rolling.reset();
            self.end();
        }
        same
    }

    /// Looks for an utterance, until one is found or the codes are used up. Tells how many were taken.
    fn search(&mut self, codes: &[u8]) -> usize {
        if self.candidates.is_empty() && !codes.iter().any(|code| is_loud(*code)) {
            self.rolling.reset();
            self.received(codes);
            self.give_up_waiting();
            return codes.len();
        }
        let mut looked_at = 0;
        let mut found = None;
        {
            let bank = self.bank.clone();
            let bank = bank.read();
            let knows_anything = bank.knows_anything();
            for code in codes {
                looked_at += 1;
                let hash = self.rolling.push(*code);
                self.history.push(*code);
                self.candidates.retain_mut(|candidate| candidate.takes(*code));
                if let (true, Some(hash), true) = (self.candidates.is_empty(), hash, knows_anything) {
                    let recent = &self.history[self.history.len() - WINDOW..];
                    self.candidates.extend(bank.places(hash).filter_map(|(utterance, offset)| {
                        let window = utterance.codes.get(offset..offset + WINDOW)?;
                        (window == recent).then(|| Candidate {
                            utterance: utterance.clone(),
                            next: offset + WINDOW,
                            matched: WINDOW,
                        })
                    }));
                }
                if let Some(at) = self.convincing() {
                    found = Some(self.candidates.swap_remove(at));
                    break;
                }
            }
        }
        self.now += looked_at as u64;
        self.forget_history();
        match found {
            Some(candidate) => self.lock_on(candidate),
            None => self.give_up_waiting(),
        }
        looked_at
    }

    /// The candidate to believe now, if any.
    fn convincing(&self) -> Option<usize> {
        let rank = |candidate: &Candidate| {
            let goes_on = self.hearing.as_ref().is_some_and(|hearing| hearing.utterance.id == candidate.utterance.id);
            (goes_on, candidate.utterance.id)
        };
        let (at, best) = self.candidates.iter().enumerate().max_by_key(|(_, candidate)| rank(candidate))?;
        let enough = if self.candidates.len() == 1 { CONVINCING } else { UNDECIDED };
        (best.matched >= enough || best.next == best.utterance.sound_end).then_some(at)
    }

    /// Begins to follow, either further in what was being heard or a new utterance.
    fn lock_on(&mut self, candidate: Candidate) {
        let Candidate { utterance, next, mut matched } = candidate;
        self.candidates.clear();
        self.rolling.reset();

        // What is already accounted for must not be counted again.
        let free = self.hearing.as_ref().map_or(self.now, |hearing| self.now - hearing.until);
        let reach = (free as usize).min(self.history.len()).min(next);
        let before = |back: usize| (self.history[self.history.len() - back], utterance.codes[next - back]);
        while matched < reach && {
            let (got, expected) = before(matched + 1);
            got == expected
        } {
            matched += 1;
        }
        let matched = matched.min(reach);
        let from = next - matched;
        let began = self.now - matched as u64;

        let goes_on = self.hearing.as_ref().is_some_and(|hearing| {
            hearing.utterance.id == utterance.id && !(from <= BEGINNING && hearing.next >= WELL_UNDER_WAY)
        });
        if !goes_on {
            self.end();
            self.events.push(Heard::Started { utterance: utterance.clone(), at_ms: began / PER_MS });
        }
        let hearing = self.hearing.get_or_insert_with(|| Hearing::new(utterance, from, began));
        let hole = began - hearing.until;
        let skipped =
            from.checked_sub(hearing.next).filter(|skipped| *skipped as u64 == hole && *skipped <= SMALL_HOLE);
        match skipped {
            Some(skipped) => hearing.advance(skipped, began, &mut self.words),
            None => hearing.next = from,
        }
        hearing.following = true;
        hearing.advance(matched, self.now, &mut self.words);
        if hearing.next >= hearing.utterance.sound_end {
            self.end();
        }
    }

    /// An interrupted utterance that stays away too long is over.
    fn give_up_waiting(&mut self) {
        let over = self.hearing.as_ref().is_some_and(|hearing| self.now - hearing.until >= PATIENCE_MS * PER_MS);
        if over {
            self.end();
        }
    }

    fn end(&mut self) {
        let Some(mut hearing) = self.hearing.take() else {
            return;
        };
        hearing.report_words(true, &mut self.words);
        self.events.push(Heard::Ended {
            at_ms: hearing.until / PER_MS,
            heard_ms: hearing.heard as u64 / PER_MS,
            text: hearing.text(),
            utterance: hearing.utterance,
        });
    }

    fn received(&mut self, codes: &[u8]) {
        self.now += codes.len() as u64;
        self.history.extend_from_slice(codes);
        self.forget_history();
    }

    fn forget_history(&mut self) {
        if self.history.len() > 4 * HISTORY {
            self.history.drain(..self.history.len() - HISTORY);
        }
    }
}

impl Candidate {
    fn takes(&mut self, code: u8) -> bool {
        let same = self.next < self.utterance.sound_end && self.utterance.codes[self.next] == code;
        self.next += 1;
        self.matched += 1;
        same
    }
}

impl Hearing {
    fn new(utterance: Arc<Utterance>, next: usize, until: u64) -> Self {
        let words = utterance.words.len();
        Self {
            utterance,
            next,
            until,
            following: true,
            heard: 0,
            heard_of: vec![0; words],
            reported: vec![false; words],
        }
    }

    /// Counts the next `samples` as heard, the last of them just before `until`.
    fn advance(&mut self, samples: usize, until: u64, words: &mut Vec<HeardWord>) {
        let (from, to) = (self.next, self.next + samples);
        for (timing, heard) in self.utterance.words.iter().zip(&mut self.heard_of) {
            let (start, end) = (in_samples(timing.start_ms), in_samples(timing.end_ms));
            *heard += to.min(end).saturating_sub(from.max(start));
        }
        self.heard += samples;
        self.next = to;
        self.until = until;
        self.report_words(false, words);
    }

    /// Reports the words that are over (or, when the audio broke off, were begun) and were heard.
    fn report_words(&mut self, broke_off: bool, words: &mut Vec<HeardWord>) {
        for (at, timing) in self.utterance.words.iter().enumerate() {
            let over = broke_off || in_samples(timing.end_ms) <= self.next;
            if self.reported[at] || !over || !self.heard_enough(at) {
                continue;
            }
            self.reported[at] = true;
            let in_stream = |ms: u64| (self.until / PER_MS + ms).saturating_sub(self.next as u64 / PER_MS);
            words.push(HeardWord {
                word: timing.word.clone(),
                start_ms: in_stream(timing.start_ms),
                end_ms: in_stream(timing.end_ms).min(self.until / PER_MS),
            });
        }
    }

    fn heard_enough(&self, word: usize) -> bool {
        let timing = &self.utterance.words[word];
        let length = in_samples(timing.end_ms) - in_samples(timing.start_ms);
        self.heard_of[word] * HEARD_SHARE.1 >= length * HEARD_SHARE.0
    }

    fn text(&self) -> String {
        let heard = |at: &usize| self.heard_enough(*at);
        let words: Vec<&str> =
            (0..self.heard_of.len()).filter(heard).map(|at| self.utterance.words[at].word.as_str()).collect();
        words.join(" ")
    }
}

fn in_samples(ms: u64) -> usize {
    (ms * PER_MS) as usize
}

#[cfg(test)]
#[path = "ear_tests.rs"]
mod tests;
