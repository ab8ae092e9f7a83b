//! Phrases that were spoken before: greetings, re-prompts and goodbyes are the same in every call, and a cached
//! greeting is heard as soon as the stream opens.
//!
//! One cache per process, bounded by bytes, least recently used out first. Only phrases that are asked for a second time
//! (or are said to repeat) are kept, or the one-off words of every call would push the greetings out.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Audio kept at most: about 17 minutes of speech.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest phrase kept: 20 s.
const MAX_PHRASE_SAMPLES: usize = 160_000;
/// Texts remembered to recognise a second use.
const SEEN: usize = 1_024;

/// What decides how a phrase sounds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PhraseKey {
    /// Voice, model and language, as one string.
    pub voice: Arc<str>,
    /// The words.
    pub text: Arc<str>,
}

/// A phrase and its sound.
#[derive(Debug, Clone)]
pub struct Phrase {
    /// 8 kHz mono.
    pub samples: Arc<[i16]>,
}

/// Shared by all calls of the process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PhraseCache {
    inner: Arc<Mutex<Inner>>,
    keeps_nothing: bool,
}

#[derive(Debug, Default)]
struct Inner {
    phrases: HashMap<PhraseKey, Entry>,
    bytes: usize,
    clock: u64,
    seen: VecDeque<PhraseKey>,
}

#[derive(Debug)]
struct Entry {
    phrase: Phrase,
    used: u64,
}

impl PhraseCache {
    /// A cache that never keeps anything.
    pub fn off() -> Self {
        Self { keeps_nothing: true, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Only insertions and look-ups happen under this lock: a panic leaves at worst a stale entry.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sound of a phrase, if it is known.
    pub fn get(&self, key: &PhraseKey) -> Option<Phrase> {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let found = inner.phrases.get_mut(key).map(|entry| {
            entry.used = now;
            entry.phrase.clone()
        });
        drop(inner);
        let outcome = if found.is_some() { "hit" } else { "miss" };
        metrics::counter!("phrase_cache_total", "outcome" => outcome).increment(1);
        found
    }

    /// Whether the sound of this phrase should be collected and [`PhraseCache::put`]. `repeats`: it is known to be one
    /// that every call uses; otherwise its second use decides.
    pub fn wants(&self, key: &PhraseKey, repeats: bool) -> bool {
        if self.keeps_nothing {
            return false;
        }
        let mut inner = self.lock();
        if inner.phrases.contains_key(key) {
            return false;
        }
        if repeats || inner.seen.contains(key) {
            return true;
        }
        if inner.seen.len() == SEEN {
            inner.seen.pop_front();
        }
        inner.seen.push_back(key.clone());
        false
    }

    /// Keeps the whole sound of a phrase.
    pub fn put(&self, key: PhraseKey, samples: Vec<i16>) {
        if samples.is_empty() || samples.len() > MAX_PHRASE_SAMPLES {
            return;
        }
        let mut inner = self.lock();
        inner.clock += 1;
        let entry = Entry { phrase: Phrase { samples: samples.into() }, used: inner.clock };
        inner.bytes += bytes_of(&entry);
        if let Some(old) = inner.phrases.insert(key, entry) {
            inner.bytes -= bytes_of(&old);
        }
        while inner.bytes > MAX_BYTES {
            let Some(oldest) = inner.phrases.iter().min_by_key(|(_, e)| e.used).map(|(key, _)| key.clone()) else {
                break;
            };
            if let Some(gone) = inner.phrases.remove(&oldest) {
                inner.bytes -= bytes_of(&gone);
            }
        }
    }
}

fn bytes_of(entry: &Entry) -> usize {
    entry.phrase.samples.len() * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> PhraseKey {
        PhraseKey { voice: "v".into(), text: text.into() }
    }

    #[test]
    fn a_phrase_is_wanted_at_its_second_use_or_when_it_repeats() {
        let cache = PhraseCache::default();
        assert!(!cache.wants(&key("a"), false));
        assert!(cache.wants(&key("a"), false));
        assert!(cache.wants(&key("hello"), true));
        cache.put(key("hello"), vec![1; 10]);
        assert!(!cache.wants(&key("hello"), true), "it is there");
        assert_eq!(cache.get(&key("hello")).map(|p| p.samples.len()), Some(10));
        assert!(cache.get(&key("a")).is_none());
    }

    #[test]
    fn the_least_recently_used_phrase_goes_first() {
        let cache = PhraseCache::default();
        let each = MAX_PHRASE_SAMPLES;
        let fit = MAX_BYTES / (each * 2);
        for n in 0..fit {
            cache.put(key(&n.to_string()), vec![0; each]);
        }
        assert!(cache.get(&key("0")).is_some());
        cache.put(key("new"), vec![0; each]);
        assert!(cache.get(&key("0")).is_some(), "used just now");
        assert!(cache.get(&key("1")).is_none());
        cache.put(key("too long"), vec![0; each + 1]);
        assert!(cache.get(&key("too long")).is_none());
    }
}
