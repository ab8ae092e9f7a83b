//! One of Twilio's questions in a gathered conversation: what the human has said, pressed, or left unanswered.
//!
//! Its address counts the turns and silences before it, and is signed with it: so a repeated question is known as one.

use shared::carrier_event::{self, Webhook};
use shared::gathered::Heard;
use shared::language;

/// Of one turn: nobody says more in one breath, and a model has to read it in every later turn.
const MAX_WORDS_CHARS: usize = 1_500;
/// Longer than any card or account number.
const MAX_KEYS: usize = 32;
/// Below it the words are a guess. Zero is what recognisers say that do not judge.
const LEAST_CONFIDENCE: f64 = 0.3;

/// In the addresses that Twilio is given.
pub(super) mod parameter {
    /// The human's turn that is expected; behind a silence, the last that there was.
    pub const TURN: &str = "turn";
    pub const SILENCE: &str = "silence";
    pub const LANGUAGE: &str = "language";
    /// The last question could not be answered in time.
    pub const LATE: &str = "late";
    /// The transfer has been announced: whoever was promised comes next.
    pub const LEAVE: &str = "leave";
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Request {
    /// The human's turn that it brings, or behind which they were silent; the first is 1. The call's first question has 0.
    pub turn: usize,
    /// In a row, with this one.
    pub silences: usize,
    /// `None`: nothing was said.
    pub heard: Option<Heard>,
    /// The recogniser is not sure of the words.
    pub is_unsure: bool,
    /// Twilio says so.
    pub machine_answered: bool,
    /// That the conversation was held in so far (BCP 47).
    pub language: Option<String>,
    pub was_late: bool,
    pub leaves: bool,
}

impl Request {
    pub(super) fn read(webhook: &Webhook) -> Self {
        let field = |name: &str| webhook.fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let number = |name: &str| field(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        let words = field("SpeechResult").map(words).unwrap_or_default();
        let keys: String = field("Digits").unwrap_or_default().chars().filter(|c| is_key(*c)).take(MAX_KEYS).collect();
        let heard = Some(Heard { words, keys }).filter(|heard| *heard != Heard::default());
        let (mut turn, mut silences) = (number(parameter::TURN), number(parameter::SILENCE));
        // A result without a word in it is a silence behind the turn before.
        if heard.is_none() && (webhook.fields.contains_key("SpeechResult") || webhook.fields.contains_key("Digits")) {
            (turn, silences) = (turn.saturating_sub(1), silences + 1);
        }
        let confidence = field("Confidence").and_then(|text| text.parse::<f64>().ok());
        Self {
            turn,
            silences,
            is_unsure: heard.as_ref().is_some_and(|heard| heard.keys.is_empty())
                && confidence.is_some_and(|confidence| confidence > 0.0 && confidence < LEAST_CONFIDENCE),
            heard,
            machine_answered: carrier_event::parse_twilio(webhook).answered_by == Some("machine"),
            language: field(parameter::LANGUAGE).and_then(language::tag),
            was_late: number(parameter::LATE) > 0,
            leaves: number(parameter::LEAVE) > 0,
        }
    }

    /// Only our own addresses count.
    pub(super) fn is_under_way(&self) -> bool {
        self.language.is_some()
    }
}

/// On one line, and not longer than can be read: cut at a word.
fn words(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_WORDS_CHARS) {
        None => line,
        Some((end, _)) => line[..line[..end].rfind(' ').unwrap_or(end)].to_owned(),
    }
}

fn is_key(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D')
}

#[cfg(test)]
mod tests {
    use shared::carrier_event::Source;

    use super::*;

    fn request(fields: &[(&str, &str)]) -> Request {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request::read(&Webhook { source: Source::Voice, reference: None, fields })
    }

    #[test]
    fn words_and_keys_are_read_and_bounded() {
        let long = "lorem ".repeat(1_000);
        let read = request(&[("turn", "2"), ("SpeechResult", &long), ("Digits", "12a3;"), ("Confidence", "0.01")]);
        let heard = read.heard.unwrap();
        assert!(heard.words.len() <= MAX_WORDS_CHARS && heard.words.ends_with("lorem"), "{}", heard.words.len());
        assert_eq!((heard.keys.as_str(), read.turn), ("123", 2));
        assert!(!read.is_unsure, "keys are certain");
        assert_eq!(words("एक  दो\nतीन"), "एक दो तीन");
        assert_eq!(words(&"म".repeat(2_000)).chars().count(), MAX_WORDS_CHARS);
    }

    #[test]
    fn an_empty_result_is_one_silence_more() {
        let read = request(&[("turn", "3"), ("silence", "1"), ("SpeechResult", " "), ("Confidence", "0.0")]);
        assert_eq!((read.turn, read.silences, read.heard), (2, 2, None));
        let first = request(&[("AnsweredBy", "machine_start")]);
        assert_eq!((first.turn, first.silences), (0, 0));
        assert!(first.machine_answered && !first.is_under_way());
    }

    #[test]
    fn only_a_low_judgement_is_a_doubt() {
        let unsure =
            |confidence| request(&[("turn", "1"), ("SpeechResult", "a"), ("Confidence", confidence)]).is_unsure;
        assert!(unsure("0.12"));
        assert!(!unsure("0.9") && !unsure("0.0") && !unsure("high") && !unsure("NaN"));
    }
}
