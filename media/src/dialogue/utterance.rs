//! What the human is saying: voice from the VAD and text from the STT, either of which may come without the other.

use std::time::Duration;

use shared::phrases;
use shared::turn::{push_words, with_keys};

use super::input::CallTime;

/// Text reaches us about this long after its sound.
const STT_LAG: Duration = Duration::from_millis(600);

/// One utterance while it is open.
#[derive(Debug, Clone)]
pub(crate) struct Utterance {
    pub(crate) began: CallTime,
    /// `Some` while the VAD hears voice: since when.
    pub(crate) voice_since: Option<CallTime>,
    /// Up to when this voice has certainly lasted.
    pub(crate) voice_until: Option<CallTime>,
    /// End of the last voice. `None` if the VAD has not heard any end.
    pub(crate) voice_ended: Option<CallTime>,
    /// All voice so far, without the piece that is still going on.
    voiced: Duration,
    /// Text of a turn that was already closed when the human went on.
    pub(crate) carried: String,
    finals: String,
    interim: String,
    /// Keys pressed on the phone.
    pub(crate) keys: String,
    /// When the words last changed.
    words_changed: Option<CallTime>,
    pub(crate) final_at: Option<CallTime>,
    /// The provider's silence, `UtteranceEnd`, and turn model.
    pub(crate) speech_final: Option<CallTime>,
    pub(crate) words_ended: Option<CallTime>,
    pub(crate) turn_model_ended: Option<CallTime>,
    pub(crate) eager: bool,
    pub(crate) finalize_sent: bool,
    /// It began while the agent spoke, who was heard to the end.
    pub(crate) over_agent: bool,
}

impl Utterance {
    pub(crate) fn open(began: CallTime) -> Self {
        Self {
            began,
            voice_since: None,
            voice_until: None,
            voice_ended: None,
            voiced: Duration::ZERO,
            carried: String::new(),
            finals: String::new(),
            interim: String::new(),
            keys: String::new(),
            words_changed: None,
            final_at: None,
            speech_final: None,
            words_ended: None,
            turn_model_ended: None,
            eager: false,
            finalize_sent: false,
            over_agent: false,
        }
    }

    /// Gives the pause since the last voice, if there was one.
    pub(crate) fn voice_started(&mut self, began: CallTime) -> Option<Duration> {
        let pause = self.voice_ended.map(|ended| began.since(ended));
        self.voice_since.get_or_insert(began);
        self.going_on();
        pause
    }

    pub(crate) fn voice_goes_on(&mut self, until: CallTime) {
        if self.voice_since.is_some() {
            self.voice_until = Some(until);
        }
    }

    pub(crate) fn voice_stopped(&mut self, ended: CallTime) {
        if let Some(since) = self.voice_since.take() {
            self.voiced += ended.since(since);
        }
        self.voice_ended = Some(ended.max(self.began));
        self.voice_until = None;
        self.finalize_sent = false;
    }

    /// More is being said: what the provider thought about the end no longer counts.
    fn going_on(&mut self) {
        self.speech_final = None;
        self.words_ended = None;
        self.turn_model_ended = None;
        self.eager = false;
    }

    pub(crate) fn interim(&mut self, text: String, now: CallTime) {
        if phrases::words(&text) != phrases::words(&self.interim) {
            self.words_changed = Some(now);
            self.going_on();
        }
        self.interim = text;
    }

    pub(crate) fn finished_segment(&mut self, text: &str, speech_final: bool, now: CallTime) {
        if phrases::words(text) != phrases::words(&self.interim) && !text.trim().is_empty() {
            self.words_changed = Some(now);
            self.going_on();
        }
        self.interim.clear();
        push_words(&mut self.finals, text);
        self.final_at = Some(now);
        if speech_final {
            self.speech_final = Some(now);
        }
    }

    /// Everything so far, for the model: words and keys.
    pub(crate) fn text(&self) -> String {
        with_keys(&self.spoken(), &self.keys)
    }

    pub(crate) fn spoken(&self) -> String {
        let mut text = self.carried.clone();
        push_words(&mut text, &self.finals);
        push_words(&mut text, &self.interim);
        text
    }

    /// Has anything been understood for certain, in this utterance or in the turn it goes on from?
    pub(crate) fn has_final_words(&self) -> bool {
        !self.final_text().is_empty()
    }

    /// Everything but the provider's open segment.
    pub(crate) fn final_text(&self) -> String {
        let mut text = self.carried.clone();
        push_words(&mut text, &self.finals);
        with_keys(&text, &self.keys)
    }

    pub(crate) fn key(&mut self, digit: char, now: CallTime) {
        /// Longer than any card or account number; somebody leans on the phone.
        const MOST_KEYS: usize = 32;
        if self.keys.len() < MOST_KEYS {
            self.keys.push(digit);
        }
        self.words_changed = Some(now);
        self.final_at = Some(now);
        self.going_on();
        // The usual sign that a number is whole.
        if digit == '#' {
            self.turn_model_ended = Some(now);
        }
    }

    pub(crate) fn is_closed_by_key(&self) -> bool {
        self.keys.ends_with('#')
    }

    pub(crate) fn words_changed(&self) -> Option<CallTime> {
        self.words_changed
    }

    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Takes up a turn that had been closed too early.
    pub(crate) fn take_up(&mut self, spoken: String, keys: String, began: CallTime) {
        self.carried = spoken;
        self.keys = keys + &self.keys;
        self.began = began;
    }

    /// Words of the provider's segment that is still open.
    pub(crate) fn open_segment(&self) -> &str {
        &self.interim
    }

    /// Has anything been understood that was not there before this utterance?
    pub(crate) fn has_new_words(&self) -> bool {
        !self.finals.is_empty() || !self.interim.is_empty()
    }

    /// Words understood in this utterance, without those carried over.
    pub(crate) fn new_words(&self) -> Vec<String> {
        let mut words = phrases::words(&self.finals);
        words.extend(phrases::words(&self.interim));
        words
    }

    /// Voice heard by the VAD until `now`.
    pub(crate) fn voiced(&self, now: CallTime) -> Duration {
        self.voiced + self.voice_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Since when nothing is being said. `None` while the VAD hears voice.
    pub(crate) fn silent_since(&self) -> Option<CallTime> {
        if self.voice_since.is_some() {
            return None;
        }
        let words = self.words_changed.map(|at| at - STT_LAG);
        match (self.voice_ended, words) {
            // New words long after the voice's end are quiet speech that the VAD has missed.
            (Some(voice), Some(words)) => Some(voice.max(words)),
            (Some(voice), None) => Some(voice),
            (None, _) => Some(self.words_changed.unwrap_or(self.began)),
        }
    }

    /// The text covers all the voice: nothing is open, and a final came at or after the voice's end.
    pub(crate) fn is_settled(&self) -> bool {
        const TOLERANCE: Duration = Duration::from_millis(200);
        let Some(final_at) = self.final_at else { return false };
        self.interim.is_empty() && self.voice_ended.is_none_or(|ended| final_at + TOLERANCE >= ended)
    }

    /// When the human really stopped, as well as we know it.
    pub(crate) fn ended(&self) -> CallTime {
        self.voice_ended.or(self.words_changed).unwrap_or(self.began)
    }
}

/// `text` without its first words, if these are `taken`: a provider's open segment repeats what an earlier turn already
/// answered. `None` if nothing new is left.
pub(crate) fn without_taken<'a>(text: &'a str, taken: &[String]) -> Option<&'a str> {
    let mut rest = text.trim_start();
    let mut expected = taken.iter();
    let mut next = expected.next();
    while next.is_some() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(end);
        if head.is_empty() {
            // Shorter than what was taken: a correction of it, with nothing new.
            return None;
        }
        let mut matched = false;
        for word in phrases::words(head) {
            if next == Some(&word) {
                matched = true;
                next = expected.next();
            }
        }
        if !matched && !phrases::words(head).is_empty() {
            // The provider corrected a word; it stands for the one that was taken.
            next = expected.next();
        }
        rest = tail.trim_start();
    }
    (!phrases::words(rest).is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    #[test]
    fn words_that_an_earlier_turn_took_are_not_heard_twice() {
        let taken = phrases::words("I want a two");
        assert_eq!(without_taken("I want a two BHK flat", &taken), Some("BHK flat"));
        assert_eq!(without_taken("I want a two.", &taken), None);
        assert_eq!(without_taken("I want the two BHK", &taken), Some("BHK"), "a corrected word is no new word");
        assert_eq!(without_taken("I want", &taken), None);
        assert_eq!(without_taken("hello", &[]), Some("hello"));
    }

    #[test]
    fn text_is_settled_once_a_final_covers_the_voice() {
        let mut utterance = Utterance::open(at(1_000));
        utterance.voice_started(at(1_000));
        utterance.finished_segment("I want", false, at(1_500));
        utterance.voice_stopped(at(2_500));
        assert!(!utterance.is_settled(), "a second of voice has no words yet");
        utterance.finished_segment("a flat.", true, at(2_700));
        assert!(utterance.is_settled());
        assert_eq!(utterance.text(), "I want a flat.");
        assert_eq!(utterance.silent_since(), Some(at(2_500)));
    }

    #[test]
    fn quiet_words_after_the_voice_move_the_silence() {
        let mut utterance = Utterance::open(at(1_000));
        utterance.voice_started(at(1_000));
        utterance.voice_stopped(at(1_500));
        utterance.interim("yes and".to_owned(), at(3_000));
        assert_eq!(utterance.silent_since(), Some(at(2_400)));
    }
}
