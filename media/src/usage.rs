//! What a call uses, counted in each provider's own unit while it happens: what the ledger is written from.
//!
//! Counting never waits and allocates only when a new kind of use begins.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use shared::ledger::{Unit, Used};

use crate::provider::Provider;

/// The counters of one call. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    entries: Arc<Mutex<Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    provider: Provider,
    model: String,
    unit: Unit,
    count: Arc<AtomicU64>,
}

/// One kind of use.
#[derive(Debug, Clone)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts `amount` more.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        // Entries are pushed whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counter of what `model` of `provider` is used for.
    pub fn counter(&self, provider: Provider, model: &str, unit: Unit) -> Counter {
        let mut entries = self.lock();
        let known = entries.iter().find(|e| e.provider == provider && e.unit == unit && e.model == model);
        if let Some(entry) = known {
            return Counter(Arc::clone(&entry.count));
        }
        let count = Arc::<AtomicU64>::default();
        entries.push(Entry { provider, model: model.to_owned(), unit, count: Arc::clone(&count) });
        Counter(count)
    }

    /// Everything that was used so far.
    pub fn used(&self) -> Vec<Used> {
        let used = |entry: &Entry| Used {
            provider: entry.provider.as_str().to_owned(),
            model: entry.model.clone(),
            unit: entry.unit,
            quantity: i64::try_from(entry.count.load(Ordering::Relaxed)).unwrap_or(i64::MAX),
        };
        self.lock().iter().map(used).filter(|used| used.quantity > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_of_use_is_one_line_whoever_counts() {
        let meter = Meter::default();
        meter.counter(Provider::Sarvam, "bulbul:v3", Unit::TtsCharacter).add(10);
        meter.clone().counter(Provider::Sarvam, "bulbul:v3", Unit::TtsCharacter).add(5);
        meter.counter(Provider::Sarvam, "bulbul:v2", Unit::TtsCharacter).add(1);
        meter.counter(Provider::Deepgram, "nova-3", Unit::SttMillisecond);
        let used: Vec<_> = meter.used().into_iter().map(|used| (used.model, used.quantity)).collect();
        assert_eq!(used, [("bulbul:v3".to_owned(), 15), ("bulbul:v2".to_owned(), 1)]);
    }
}
