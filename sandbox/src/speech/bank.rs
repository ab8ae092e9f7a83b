//! Everything that was said, kept so that it can be said again at once and recognised.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::{OnceCell, Semaphore};

use super::{
    Ear, Utterance, flite,
    index::{Index, Place},
    stable_hash, tones,
};

/// Synthesiser processes at once: more would only take turns on a small machine.
const MAX_PROCESSES: usize = 3;

/// What a bank keeps before it forgets the least recently said.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    utterances: usize,
    /// About two hours; a sample costs some 4 bytes with its index.
    samples: usize,
}

const BOUNDS: Bounds = Bounds { utterances: 20_000, samples: 60_000_000 };

/// The voice of the simulated world and the memory of its ears. Cheap to clone.
#[derive(Clone)]
pub struct SpeechBank {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    memory: RwLock<Memory>,
    processes: Semaphore,
    flite_absent: AtomicBool,
    next_id: AtomicU64,
    bounds: Bounds,
}

type Cell = Arc<OnceCell<Arc<Utterance>>>;

#[derive(Default)]
struct Memory {
    /// By voice, text and line noise; a cell is filled by whoever came first.
    cells: HashMap<(String, String, u16), Kept>,
    by_id: HashMap<u64, Arc<Utterance>>,
    index: Index,
    samples: usize,
    /// Rises with every saying; orders [`Kept::said`].
    clock: u64,
}

struct Kept {
    cell: Cell,
    said: u64,
}

impl Default for SpeechBank {
    fn default() -> Self {
        Self::new()
    }
}

impl SpeechBank {
    /// Speaks through flite where it is installed, else in tones.
    pub fn new() -> Self {
        Self::build(false, BOUNDS)
    }

    /// Speaks in tones whatever is installed: quick, and the same on every machine.
    pub fn tones() -> Self {
        Self::build(true, BOUNDS)
    }

    fn build(flite_absent: bool, bounds: Bounds) -> Self {
        let shared = Shared {
            memory: RwLock::default(),
            processes: Semaphore::new(MAX_PROCESSES),
            flite_absent: AtomicBool::new(flite_absent),
            next_id: AtomicU64::new(1),
            bounds,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The audio of `text` in `voice`: a flite voice (`kal`, `awb`, `rms`, `slt`), or any name, which
    /// then always means the same voice. Every ear of this bank recognises it from now on.
    pub async fn say(&self, text: &str, voice: &str) -> Arc<Utterance> {
        self.say_over(text, voice, 0).await
    }

    /// As [`Self::say`], over a line whose own noise has this amplitude.
    pub async fn say_over(&self, text: &str, voice: &str, line_noise: u16) -> Arc<Utterance> {
        let cell = self.shared.cell(text, voice, line_noise);
        let utterance = cell.get_or_init(|| async {
            let raw = self.synthesise(text, voice).await;
            let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
            let seed = stable_hash(&[text, voice]).wrapping_add(u64::from(line_noise));
            let utterance = Arc::new(Utterance::new(id, text, &raw, seed, line_noise));
            self.shared.remember(&utterance);
            utterance
        });
        utterance.await.clone()
    }

    /// A listener for one stream.
    pub fn ear(&self) -> Ear {
        Ear::new(self.shared.clone())
    }

    async fn synthesise(&self, text: &str, voice: &str) -> Vec<i16> {
        if flite::can_say(text) && !self.shared.flite_absent.load(Ordering::Relaxed) {
            let spoken = {
                // The semaphore is never closed; were it, speaking unbounded is still right.
                let _permit = self.shared.processes.acquire().await;
                flite::speak(text, voice).await
            };
            match spoken {
                Ok(pcm) => return pcm,
                Err(flite::Error::Absent) => {
                    tracing::warn!("flite is not installed: speech will be tones");
                    self.shared.flite_absent.store(true, Ordering::Relaxed);
                }
                Err(error) => tracing::warn!(%error, "speaking in tones instead"),
            }
        }
        tones::speak(text, voice)
    }
}

impl Shared {
    fn cell(&self, text: &str, voice: &str, line_noise: u16) -> Cell {
        let mut memory = self.write();
        memory.clock += 1;
        let said = memory.clock;
        let kept = memory
            .cells
            .entry((voice.to_owned(), text.to_owned(), line_noise))
            .or_insert_with(|| Kept { cell: Cell::default(), said });
        kept.said = said;
        kept.cell.clone()
    }

    fn remember(&self, utterance: &Arc<Utterance>) {
        let mut memory = self.write();
        memory.samples += utterance.pcm.len();
        memory.index.insert(utterance.id, &utterance.codes);
        memory.by_id.insert(utterance.id, utterance.clone());
        if memory.by_id.len() > self.bounds.utterances || memory.samples > self.bounds.samples {
            memory.forget_the_oldest(self.bounds);
        }
    }

    pub(super) fn read(&self) -> Recognition<'_> {
        Recognition(self.memory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Down to nine tenths of the bounds, so that this is rare. What somebody still holds stays.
    fn forget_the_oldest(&mut self, bounds: Bounds) {
        let mut oldest: Vec<_> =
            self.cells.iter().filter_map(|(key, kept)| Some((kept.said, key.clone(), kept.cell.get()?.id))).collect();
        oldest.sort_unstable();
        for (_, key, id) in oldest {
            if self.by_id.len() * 10 <= bounds.utterances * 9 && self.samples / 9 * 10 <= bounds.samples {
                break;
            }
            // One in `by_id`, one in the cell; any further one is a listener or a speaker.
            let Some(utterance) = self.by_id.get(&id).filter(|held| Arc::strong_count(held) <= 2) else {
                continue;
            };
            let utterance = utterance.clone();
            self.index.remove(id, &utterance.codes);
            self.samples -= utterance.pcm.len();
            self.by_id.remove(&id);
            self.cells.remove(&key);
        }
    }
}

/// The memory, held for reading while an ear searches.
pub(super) struct Recognition<'a>(RwLockReadGuard<'a, Memory>);

impl Recognition<'_> {
    pub(super) fn knows_anything(&self) -> bool {
        !self.0.index.is_empty()
    }

    /// Utterances and offsets whose window has this hash.
    pub(super) fn places(&self, hash: u64) -> impl Iterator<Item = (&Arc<Utterance>, usize)> {
        self.0
            .index
            .places(hash)
            .filter_map(|Place { utterance, offset }| Some((self.0.by_id.get(&utterance)?, offset as usize)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_line_is_made_once_and_another_voice_is_another_utterance() {
        let bank = SpeechBank::tones();
        let first = bank.say("Hello there", "kal").await;
        assert!(Arc::ptr_eq(&first, &bank.say("Hello there", "kal").await));
        assert_ne!(first.id, bank.say("Hello there", "slt").await.id);
    }

    #[tokio::test]
    async fn the_least_recently_said_is_forgotten_unless_somebody_holds_it() {
        let bank = SpeechBank::build(true, Bounds { utterances: 10, samples: usize::MAX });
        let held = bank.say("held on to", "kal").await;
        for number in 0..40 {
            bank.say(&format!("line {number}"), "kal").await;
        }
        let memory = bank.shared.read().0;
        assert!(memory.by_id.len() <= 10 && memory.cells.len() == memory.by_id.len());
        assert!(memory.by_id.contains_key(&held.id));
        let samples: usize = memory.by_id.values().map(|said| said.pcm.len()).sum();
        assert_eq!(memory.samples, samples);
    }
}
