//! The human's audio on its way to the transcriber: two seconds at most, the oldest dropped and counted.
//!
//! Inbound audio must never be delayed by a slow provider, and what a provider could not take two seconds ago answers
//! nothing any more.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Two seconds of 8 kHz audio.
pub const CAPACITY_SAMPLES: usize = 16_000;

/// The two ends of a new queue.
pub fn audio_queue() -> (AudioSink, AudioSource) {
    let shared = Arc::new(Shared::default());
    (AudioSink { shared: Arc::clone(&shared) }, AudioSource { shared })
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    samples: VecDeque<i16>,
    /// Samples dropped since the reader last looked: it must count them, to keep its place in the call.
    dropped: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under this lock can panic half-way; a poisoned queue is still a queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that hears.
pub struct AudioSink {
    shared: Arc<Shared>,
}

impl AudioSink {
    /// Appends audio; returns how many samples of the oldest had to go.
    pub fn push(&self, samples: &[i16]) -> usize {
        let mut queue = self.shared.lock();
        queue.samples.extend(samples);
        let excess = queue.samples.len().saturating_sub(CAPACITY_SAMPLES);
        queue.samples.drain(..excess);
        queue.dropped += excess;
        drop(queue);
        self.shared.arrived.notify_one();
        excess
    }
}

impl Drop for AudioSink {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_one();
    }
}

/// The end that sends.
pub struct AudioSource {
    shared: Arc<Shared>,
}

/// What [`AudioSource::take`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Samples that were lost before the ones taken.
    pub skipped: usize,
    /// Samples appended to the buffer.
    pub taken: usize,
    /// No more will ever come.
    pub closed: bool,
}

impl AudioSource {
    /// Waits until there is something to take, or the other end is gone. Safe to drop.
    pub async fn ready(&self) {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let queue = self.shared.lock();
                if queue.closed || !queue.samples.is_empty() {
                    return;
                }
            }
            arrived.await;
        }
    }

    /// Moves up to `limit` samples to the end of `into`.
    pub fn take(&self, into: &mut Vec<i16>, limit: usize) -> Taken {
        let mut queue = self.shared.lock();
        let taken = limit.min(queue.samples.len());
        into.extend(queue.samples.drain(..taken));
        Taken { skipped: std::mem::take(&mut queue.dropped), taken, closed: queue.closed && queue.samples.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_audio_is_dropped_and_counted() {
        let (sink, source) = audio_queue();
        assert_eq!(sink.push(&[1; CAPACITY_SAMPLES]), 0);
        assert_eq!(sink.push(&[2; 100]), 100);
        source.ready().await;
        let mut samples = Vec::new();
        let taken = source.take(&mut samples, usize::MAX);
        assert_eq!(taken, Taken { skipped: 100, taken: CAPACITY_SAMPLES, closed: false });
        assert_eq!((samples[0], samples[CAPACITY_SAMPLES - 1]), (1, 2));
    }

    #[tokio::test]
    async fn a_dropped_sink_wakes_the_source_and_closes_it_once_empty() {
        let (sink, source) = audio_queue();
        sink.push(&[1, 2]);
        drop(sink);
        source.ready().await;
        let mut samples = Vec::new();
        assert!(!source.take(&mut samples, 1).closed);
        assert!(source.take(&mut samples, 1).closed);
    }
}
