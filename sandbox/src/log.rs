//! What the outside world saw, in order. Tests hold the product against this record, not against
//! the product's own tables.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The oldest entry is dropped, and counted, beyond this many.
const MAX_ENTRIES: usize = 1_000_000;

/// One thing that happened at one simulated service.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Rises by one per entry and is never reused, so that a reader can ask for "after".
    pub seq: u64,
    /// RFC 3339, UTC, milliseconds.
    pub at: String,
    /// `exotel`, `deepgram`, `openai`, `elevenlabs`, `callee`, …
    pub service: &'static str,
    /// What happened, as `noun.verb` (`call.placed`, `stream.clear`).
    pub kind: String,
    pub data: Value,
}

/// Which entries a reader wants. Every field narrows; the default asks for all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    pub service: Option<String>,
    /// Equal, or a prefix when it ends in `.` (`call.` finds `call.placed`).
    pub kind: Option<String>,
    /// Only entries with a greater `seq`.
    pub after: Option<u64>,
    /// At most this many, the oldest first.
    pub limit: Option<usize>,
}

impl Filter {
    fn admits(&self, entry: &Entry) -> bool {
        self.after.is_none_or(|after| entry.seq > after)
            && self.service.as_deref().is_none_or(|service| entry.service == service)
            && self
                .kind
                .as_deref()
                .is_none_or(|kind| if kind.ends_with('.') { entry.kind.starts_with(kind) } else { entry.kind == kind })
    }
}

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<Entry>,
    next_seq: u64,
    dropped: u64,
}

/// The bounded record of everything the sandbox was asked and did.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<Entries>,
}

impl Log {
    /// Appends one entry, stamped now.
    pub fn record(&self, service: &'static str, kind: &str, data: Value) {
        let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut entries = self.lock();
        entries.next_seq += 1;
        let seq = entries.next_seq;
        if entries.kept.len() == MAX_ENTRIES {
            entries.kept.pop_front();
            entries.dropped += 1;
        }
        entries.kept.push_back(Entry { seq, at, service, kind: kind.to_owned(), data });
    }

    /// The entries that `filter` admits, oldest first.
    pub fn entries(&self, filter: &Filter) -> Vec<Entry> {
        let limit = filter.limit.unwrap_or(usize::MAX);
        self.lock().kept.iter().filter(|entry| filter.admits(entry)).take(limit).cloned().collect()
    }

    /// How many entries the bound has cost so far.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Forgets every entry. `seq` goes on rising, so that readers who ask for "after" stay right.
    pub fn clear(&self) {
        let mut entries = self.lock();
        entries.kept.clear();
        entries.dropped = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // A panic elsewhere cannot leave a half-written entry: each is pushed whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reader_gets_only_what_it_asked_for_in_order() {
        let log = Log::default();
        log.record("exotel", "call.placed", json!({"n": 1}));
        log.record("openai", "chat.asked", json!({}));
        log.record("exotel", "call.ended", json!({"n": 2}));

        let calls =
            log.entries(&Filter { service: Some("exotel".into()), kind: Some("call.".into()), ..Filter::default() });
        assert_eq!(calls.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 3]);

        let later = log.entries(&Filter { after: Some(1), limit: Some(1), ..Filter::default() });
        assert_eq!(later[0].kind, "chat.asked");
    }

    #[test]
    fn clearing_never_reuses_a_sequence_number() {
        let log = Log::default();
        log.record("exotel", "a", json!(null));
        log.clear();
        log.record("exotel", "b", json!(null));
        assert_eq!(log.entries(&Filter::default())[0].seq, 2);
    }
}
