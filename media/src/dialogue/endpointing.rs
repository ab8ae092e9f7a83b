//! When has the human finished? From silence, the provider's signs, and what the words look like.

use std::time::Duration;

use shared::phrases;

use super::input::CallTime;
use super::settings::EndpointingSettings;
use super::utterance::Utterance;

/// What the end of a text promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A short, whole answer.
    Closed,
    /// Ends with a full stop, a question mark, ...
    Sentence,
    Unclear,
    /// More is to come: a filler, a conjunction, a run of digits, or an answer that people give in pieces.
    Open,
}

/// How the text ends. `piecewise`: the agent had asked for a number, an e-mail or a date.
pub(crate) fn ending(text: &str, piecewise: bool) -> Ending {
    let words = phrases::words(text);
    if phrases::is_whole_contact_detail(&words) {
        return Ending::Unclear;
    }
    if piecewise {
        return Ending::Open;
    }
    // Before the open endings: "uh, yes" is closed, and so is "haan" although "ha" can be a beginning.
    if phrases::is_closed_answer(&words) {
        return Ending::Closed;
    }
    let trimmed = text.trim_end();
    if trimmed.ends_with([',', '…', '-', '—', ':'])
        || trimmed.ends_with("..")
        || phrases::ends_open(&words)
        || phrases::ends_in_number(&words)
    {
        return Ending::Open;
    }
    match (trimmed.ends_with(['.', '?', '!', '।']), words.len()) {
        (true, 0..=3) => Ending::Closed,
        (true, _) => Ending::Sentence,
        (false, _) => Ending::Unclear,
    }
}

/// The rules, and what was learned about this person's pauses.
#[derive(Debug, Clone)]
pub(crate) struct Endpointing {
    settings: EndpointingSettings,
    /// Exponential mean of the pauses inside this person's turns.
    pause_ms: f32,
    pauses: u32,
    /// The provider tells words while they are being said.
    hears_on: bool,
}

impl Endpointing {
    pub(crate) fn new(settings: EndpointingSettings) -> Self {
        Self { settings, pause_ms: 0.0, pauses: 0, hears_on: false }
    }

    /// The human was silent for this long and then went on with the same turn.
    pub(crate) fn observe_pause(&mut self, pause: Duration) {
        const LONGEST_MS: f32 = 2_500.0;
        let ms = pause.as_secs_f32() * 1_000.0;
        // Shorter gaps lie between syllables; longer ones are a new thought.
        if !(150.0..=LONGEST_MS).contains(&ms) {
            return;
        }
        self.pause_ms = if self.pauses == 0 { ms } else { self.pause_ms.mul_add(0.7, ms * 0.3) };
        self.pauses += 1;
    }

    /// Words have come while they were being said. Of providers that write down only what is over, silence proves nothing.
    pub(crate) fn observe_interim(&mut self) {
        self.hears_on = true;
    }

    /// Until when an utterance may go on without a word.
    pub(crate) fn wordless_until(&self, utterance: &Utterance) -> Option<CallTime> {
        self.hears_on.then(|| utterance.began + ms(self.settings.wordless_ms))
    }

    /// The usual wait, moved by the learned pauses within its bounds.
    pub(crate) fn usual(&self) -> Duration {
        let EndpointingSettings { usual_ms, learn_down_ms, learn_up_ms, .. } = self.settings;
        if self.pauses < 2 {
            return Duration::from_millis(usual_ms);
        }
        let wanted = self.pause_ms as u64 + 200;
        Duration::from_millis(wanted.clamp(usual_ms.saturating_sub(learn_down_ms), usual_ms + learn_up_ms))
    }

    /// When the turn ends if nothing else happens. `None` while it cannot end: voice without a provider's sign, or no text.
    pub(crate) fn end_of_turn(&self, utterance: &Utterance, piecewise: bool) -> Option<CallTime> {
        let text = utterance.text();
        if text.is_empty() {
            return None;
        }
        let settings = &self.settings;
        let ending = ending(&text, piecewise);
        if let Some(at) = utterance.turn_model_ended {
            // What obviously goes on is waited for, whatever the model thinks of it; not a number that was closed with its key.
            let goes_on = ending == Ending::Open && !utterance.is_closed_by_key();
            let waits = goes_on.then(|| utterance.silent_since().unwrap_or(at) + self.usual());
            return Some(waits.map_or(at, |waits| at.max(waits)));
        }
        let words_stopped =
            utterance.words_changed().filter(|_| self.hears_on).map(|at| at + ms(settings.words_stopped_ms));
        let Some(silent_since) = utterance.silent_since() else {
            // The VAD still hears something, a street perhaps, but the words have stopped.
            return match (utterance.words_ended, utterance.speech_final) {
                (Some(at), _) if ending != Ending::Open => Some(at),
                (Some(at), _) => Some(at + ms(settings.usual_ms)),
                (None, Some(at)) => Some(at + ms(settings.open_ms)),
                (None, None) => words_stopped,
            };
        };
        let provider_agrees = utterance.speech_final.is_some() || utterance.words_ended.is_some();
        let wait = match ending {
            Ending::Closed => ms(settings.closed_ms),
            Ending::Open => ms(settings.open_ms).max(self.usual()),
            // The gap between words has already been a second long.
            Ending::Sentence | Ending::Unclear if utterance.words_ended.is_some() => ms(settings.closed_ms),
            Ending::Sentence if provider_agrees => ms(settings.sentence_ms).max(self.usual().saturating_sub(ms(200))),
            Ending::Sentence | Ending::Unclear => self.usual(),
        };
        let mut at = silent_since + wait;
        // Whole and final: that is a sign, too. Nothing is heard of a reply before its first sound, and until then the human may go on.
        let is_certain = provider_agrees || (ending == Ending::Closed && utterance.is_settled());
        if !is_certain {
            at = at
                .max(silent_since + ms(settings.floor_ms))
                .max(utterance.began + ms(settings.floor_since_voice_began_ms));
        }
        // The last words are still on their way; without them we would answer half a sentence.
        if !utterance.is_settled() {
            at = at.max(silent_since + ms(settings.interim_only_ms));
        }
        Some(words_stopped.map_or(at, |stopped| at.min(stopped)))
    }

    /// May a reply be prepared already? The text does not promise more, and is final, or looks whole: a final that differs takes
    /// the reply back.
    pub(crate) fn is_eager(&self, utterance: &Utterance, piecewise: bool, now: CallTime) -> bool {
        if utterance.eager {
            return !utterance.text().is_empty();
        }
        let quiet = utterance.silent_since().is_some_and(|since| now.since(since) >= ms(self.settings.eager_ms));
        let text = utterance.text();
        quiet
            && !text.is_empty()
            && match ending(&text, piecewise) {
                Ending::Open => false,
                Ending::Unclear => utterance.is_settled(),
                Ending::Closed | Ending::Sentence => true,
            }
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_prepared_on_an_interim_only_where_it_looks_whole() {
        let endpointing = Endpointing::new(EndpointingSettings::default());
        let eager = |text: &str| {
            let mut utterance = Utterance::open(CallTime::from_millis(1_000));
            utterance.voice_started(CallTime::from_millis(1_000));
            utterance.interim(text.to_owned(), CallTime::from_millis(1_800));
            utterance.voice_stopped(CallTime::from_millis(2_000));
            endpointing.is_eager(&utterance, false, CallTime::from_millis(2_200))
        };
        assert!(eager("Yes.") && eager("It is for my own family."));
        assert!(!eager("it is for my own") && !eager("I want a flat and"));
    }

    #[test]
    fn endings_are_told_apart() {
        let table = [
            ("yes", Ending::Closed),
            ("Haan ji.", Ending::Closed),
            ("Two crore.", Ending::Closed),
            ("Not interested", Ending::Closed),
            ("I am looking for a flat in Whitefield.", Ending::Sentence),
            ("what is the price of the flat", Ending::Unclear),
            ("I want a flat and", Ending::Open),
            ("So, um", Ending::Open),
            ("my number is nine eight four", Ending::Open),
            ("Well,", Ending::Open),
            ("मुझे दो कमरे का घर चाहिए।", Ending::Sentence),
        ];
        for (text, expected) in table {
            assert_eq!(ending(text, false), expected, "{text}");
        }
    }

    #[test]
    fn a_number_asked_for_is_waited_for_until_it_is_whole() {
        assert_eq!(ending("Yes.", true), Ending::Open);
        assert_eq!(ending("98450", true), Ending::Open);
        assert_eq!(ending("9845012345", true), Ending::Unclear);
        assert_eq!(ending("ravi at gmail dot com", true), Ending::Unclear);
    }

    #[test]
    fn slow_speakers_are_given_more_time_within_a_bound() {
        let mut endpointing = Endpointing::new(EndpointingSettings::default());
        assert_eq!(endpointing.usual(), ms(700));
        endpointing.observe_pause(ms(900));
        assert_eq!(endpointing.usual(), ms(700), "one pause proves nothing");
        endpointing.observe_pause(ms(900));
        assert_eq!(endpointing.usual(), ms(1_100));
        for _ in 0..50 {
            endpointing.observe_pause(ms(2_400));
        }
        assert_eq!(endpointing.usual(), ms(1_100), "bounded above");
        for _ in 0..50 {
            endpointing.observe_pause(ms(200));
        }
        assert_eq!(endpointing.usual(), ms(600), "bounded below");
    }

    #[test]
    fn pauses_too_short_or_too_long_teach_nothing() {
        let mut endpointing = Endpointing::new(EndpointingSettings::default());
        for pause in [50, 100, 3_000, 60_000] {
            endpointing.observe_pause(ms(pause));
        }
        assert_eq!(endpointing.usual(), ms(700));
    }
}
