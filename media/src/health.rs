//! Which providers have lately failed the calls of this process: whoever fails one call after the other is not asked first for a
//! while, so that not every new call pays for it before it goes over.
//!
//! It only ever changes who of two is asked first. A call whose second choice fails still goes over to the first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::provider::{Part, Provider, ProviderError};

/// Failures in a row before somebody rests; one may be a matter of the call, or of the network.
const MOST_FAILURES: u32 = 3;
/// Failures further apart than this are not in a row.
const IN_A_ROW_WITHIN: Duration = Duration::from_secs(60);
/// An outage is over in minutes, or somebody is working on it.
const RESTS_FOR: Duration = Duration::from_secs(30);
/// Credit and keys do not come back by themselves.
const REFUSED_FOR: Duration = Duration::from_secs(300);

/// Shared by all calls of the process. It knows no more than three parts of seven providers.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<HashMap<(Part, Provider), Record>>>);

struct Record {
    failures: u32,
    failed_at: Instant,
    rests_until: Option<Instant>,
}

impl Health {
    /// A call went over to its second choice.
    pub fn failed(&self, part: Part, provider: Provider, error: &ProviderError) {
        self.failed_at(Instant::now(), part, provider, error);
    }

    /// It did what it is for, over a connection, or on a request, that began at `since`: an old connection may live on while no new
    /// one comes about.
    pub fn worked(&self, part: Part, provider: Provider, since: Instant) {
        let mut records = self.lock();
        if records.get(&(part, provider)).is_some_and(|record| record.failed_at < since) {
            records.remove(&(part, provider));
        }
    }

    /// The two in the order in which they are to be asked.
    pub fn in_order<T>(&self, part: Part, pair: (T, Option<T>), provider: impl Fn(&T) -> Provider) -> (T, Option<T>) {
        self.in_order_at(Instant::now(), part, pair, provider)
    }

    fn in_order_at<T>(
        &self,
        now: Instant,
        part: Part,
        pair: (T, Option<T>),
        provider: impl Fn(&T) -> Provider,
    ) -> (T, Option<T>) {
        match pair {
            (first, Some(second))
                if self.rests(now, part, provider(&first)) && !self.rests(now, part, provider(&second)) =>
            {
                let labels = [("part", part.as_str()), ("provider", provider(&first).as_str())];
                metrics::counter!("provider_not_asked_first_total", &labels).increment(1);
                (second, Some(first))
            }
            pair => pair,
        }
    }

    fn rests(&self, now: Instant, part: Part, provider: Provider) -> bool {
        self.lock().get(&(part, provider)).and_then(|record| record.rests_until).is_some_and(|until| now < until)
    }

    fn failed_at(&self, now: Instant, part: Part, provider: Provider, error: &ProviderError) {
        let refused = match error {
            ProviderError::Rejected { code } if is_about_the_account(code) => true,
            // One voice agent asks for what there is not: nothing is known about the others.
            ProviderError::Rejected { .. } => return,
            _ => false,
        };
        let mut records = self.lock();
        let record =
            records.entry((part, provider)).or_insert(Record { failures: 0, failed_at: now, rests_until: None });
        if now.saturating_duration_since(record.failed_at) > IN_A_ROW_WITHIN {
            record.failures = 0;
        }
        record.failures = record.failures.saturating_add(1);
        record.failed_at = now;
        let rests_for = match record.failures {
            _ if refused => REFUSED_FOR,
            MOST_FAILURES.. => RESTS_FOR,
            _ => return,
        };
        let until = now + rests_for;
        record.rests_until = Some(record.rests_until.map_or(until, |known| known.max(until)));
        let (part, provider, kind) = (part.as_str(), provider.as_str(), error.kind());
        metrics::counter!("provider_rests_total", "part" => part, "provider" => provider, "kind" => kind).increment(1);
        tracing::warn!(
            part,
            provider,
            kind,
            seconds = rests_for.as_secs(),
            "a provider is not asked first for a while"
        );
    }

    /// Nothing that could fail happens while it is held.
    fn lock(&self) -> MutexGuard<'_, HashMap<(Part, Provider), Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Credit is used up, or the key is no good: it is so for every call.
fn is_about_the_account(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    let words = ["quota", "payment", "billing", "invalid_api_key", "invalid_auth", "authentication"];
    // Sarvam closes with 1003 for a quota or a bad key.
    words.iter().any(|word| code.contains(word)) || matches!(&*code, "http_401" | "http_402" | "closed_1003")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STT: Part = Part::Stt;

    fn timed_out() -> ProviderError {
        ProviderError::TimedOut { stage: "connect", after: Duration::from_secs(1) }
    }

    fn rejected(code: &str) -> ProviderError {
        ProviderError::Rejected { code: code.into() }
    }

    /// Who is asked first of Deepgram, the first choice, and Sarvam.
    fn first(health: &Health, now: Instant) -> Provider {
        let (first, second) =
            health.in_order_at(now, STT, (Provider::Deepgram, Some(Provider::Sarvam)), |provider| *provider);
        assert_ne!(Some(first), second, "nobody is lost");
        first
    }

    #[test]
    fn three_failures_in_a_row_let_the_second_choice_go_first_for_half_a_minute() {
        let health = Health::default();
        let began = Instant::now();
        let at = |secs: u64| began + Duration::from_secs(secs);
        for secs in [0, 10] {
            health.failed_at(at(secs), STT, Provider::Deepgram, &timed_out());
            assert_eq!(first(&health, at(secs)), Provider::Deepgram);
        }
        health.failed_at(at(20), STT, Provider::Deepgram, &timed_out());
        assert_eq!(first(&health, at(49)), Provider::Sarvam);
        assert_eq!(first(&health, at(50)), Provider::Deepgram, "it is tried again");
        // Still no better: one more is enough.
        health.failed_at(at(51), STT, Provider::Deepgram, &timed_out());
        assert_eq!(first(&health, at(80)), Provider::Sarvam);
        // Its other work is another matter.
        let voices = health.in_order_at(at(52), Part::Tts, (Provider::Deepgram, Some(Provider::Sarvam)), |p| *p);
        assert_eq!(voices.0, Provider::Deepgram);
    }

    #[test]
    fn failures_far_apart_or_with_a_success_between_are_not_in_a_row() {
        let health = Health::default();
        let began = Instant::now();
        let at = |secs: u64| began + Duration::from_secs(secs);
        for secs in [0, 61, 122, 183] {
            health.failed_at(at(secs), STT, Provider::Deepgram, &timed_out());
        }
        assert_eq!(first(&health, at(183)), Provider::Deepgram);
        health.failed_at(at(184), STT, Provider::Deepgram, &timed_out());
        health.worked(STT, Provider::Deepgram, at(185));
        health.failed_at(at(186), STT, Provider::Deepgram, &timed_out());
        assert_eq!(first(&health, at(187)), Provider::Deepgram);
        // A call from before the trouble says nothing of new ones.
        health.failed_at(at(187), STT, Provider::Deepgram, &timed_out());
        health.worked(STT, Provider::Deepgram, at(100));
        health.failed_at(at(188), STT, Provider::Deepgram, &timed_out());
        assert_eq!(first(&health, at(189)), Provider::Sarvam);
    }

    #[test]
    fn one_refusal_of_the_account_is_enough_and_one_of_a_voice_is_none() {
        let health = Health::default();
        let now = Instant::now();
        for _ in 0..5 {
            health.failed_at(now, STT, Provider::Deepgram, &rejected("voice_not_found"));
        }
        assert_eq!(first(&health, now), Provider::Deepgram);
        health.failed_at(now, STT, Provider::Deepgram, &rejected("ASR_PAYMENT_REQUIRED"));
        assert_eq!(first(&health, now + Duration::from_secs(299)), Provider::Sarvam);
        assert_eq!(first(&health, now + Duration::from_secs(300)), Provider::Deepgram);
        for code in ["insufficient_quota", "quota_exceeded", "insufficient_quota_error", "INVALID_AUTH", "http_402"] {
            assert!(is_about_the_account(code), "{code}");
        }
    }

    #[test]
    fn where_both_rest_or_there_is_only_one_nothing_changes() {
        let health = Health::default();
        let now = Instant::now();
        for provider in [Provider::Deepgram, Provider::Sarvam] {
            health.failed_at(now, STT, provider, &rejected("insufficient_quota"));
        }
        assert_eq!(first(&health, now), Provider::Deepgram);
        let alone = health.in_order_at(now, STT, (Provider::Deepgram, None), |provider| *provider);
        assert_eq!(alone, (Provider::Deepgram, None));
    }
}
