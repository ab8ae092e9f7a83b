//! What people say in Hindi, word by word and phrase by phrase: the longest phrase that is known wins, an unknown word stays.
//!
//! Hindi puts behind a time, an amount or a place what English puts before it: such a word is a [`Mark`], and moves.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    super::words::{MOMENTS, is_number},
    numbers,
    phrases::PHRASES,
};
use crate::speech::script::is_of_a_word;

/// A phrase of the table has at most so many words.
const LONGEST_PHRASE: usize = 6;

/// Words of amounts, times and spans, beside numbers and [`MOMENTS`].
const QUANTITIES: &[&str] = &[
    "lakh",
    "crore",
    "thousand",
    "rupees",
    "month",
    "months",
    "year",
    "years",
    "week",
    "weeks",
    "day",
    "days",
    "quarter",
    "diwali",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "next",
    "this",
    "around",
    "at",
    "next",
    "end",
    "square",
    "feet",
];
const AMOUNTS: &[&str] = &["lakh", "crore", "thousand", "rupees"];

/// A postposition, by its sign in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Before the time or amount that stands before it.
    Quantity(&'static str),
    /// `तक`: "up to" an amount, "by" a time.
    Until,
    /// Before everything since the last stop.
    Clause(&'static str),
    /// `बजे`: "at … o'clock".
    OClock,
    /// `से`, between two numbers "to".
    From,
    /// `नमस्ते`: "bye" behind thanks, else "hello".
    Greeting,
}

impl Mark {
    fn of(sign: &str) -> Option<Self> {
        match sign {
            "~within" => Some(Self::Quantity("within")),
            "~after" => Some(Self::Quantity("after")),
            "~before" => Some(Self::Quantity("before")),
            "~under" => Some(Self::Quantity("under")),
            "~until" => Some(Self::Until),
            "~near" => Some(Self::Clause("near")),
            "~for" => Some(Self::Clause("for")),
            "~o'clock" => Some(Self::OClock),
            "~from" => Some(Self::From),
            "~greeting" => Some(Self::Greeting),
            _ => None,
        }
    }
}

/// By their words without nukta, joined by single spaces.
static LEXICON: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let phrases = PHRASES
        .iter()
        .flat_map(|(hindi, english)| hindi.split('|').map(|phrase| (normal(phrase.trim()), (*english).to_owned())));
    let numbers = numbers::words().map(|(word, n)| (normal(word), numbers::english(n)));
    numbers.chain(phrases).collect()
});

static NUMBERS: LazyLock<HashMap<String, usize>> =
    LazyLock::new(|| numbers::words().map(|(word, n)| (normal(word), n)).collect());

/// One spelling for all: without nukta, with one sign for both nasals, without joiners.
fn normal(text: &str) -> String {
    let one = |c: char| match c {
        '\u{958}' => Some('क'),
        '\u{959}' => Some('ख'),
        '\u{95a}' => Some('ग'),
        '\u{95b}' => Some('ज'),
        '\u{95c}' => Some('ड'),
        '\u{95d}' => Some('ढ'),
        '\u{95e}' => Some('फ'),
        '\u{95f}' => Some('य'),
        'ँ' => Some('ं'),
        '\u{93c}' | '\u{200c}' | '\u{200d}' => None,
        '०'..='९' => char::from_digit(c as u32 - '०' as u32, 10),
        other => Some(other),
    };
    text.chars().filter_map(one).flat_map(char::to_lowercase).collect()
}

/// A word as it was said, its spelling in the lexicon, and the stop behind it.
struct Word<'a> {
    said: &'a str,
    key: String,
    stop: &'a str,
}

fn split(text: &str) -> Vec<Word<'_>> {
    // "माता-पिता" is two words, "80L - 95L" three.
    let pieces = text.split_whitespace().flat_map(|word| {
        let is_compound = super::is_hindi(word) && !word.starts_with('-');
        word.split(move |c| is_compound && c == '-')
    });
    pieces
        .filter_map(|word| {
            let begin = word.find(is_of_a_word)?;
            let end = word.rfind(is_of_a_word)?;
            let end = end + word[end..].chars().next().map_or(0, char::len_utf8);
            let said = &word[begin..end];
            Some(Word { said, key: normal(said), stop: &word[end..] })
        })
        .collect()
}

/// The words that the rules look for, in an order that they understand.
pub(super) fn in_english(text: &str) -> String {
    let words = split(text);
    let mut english = Sentence::default();
    let mut at = 0;
    while at < words.len() {
        let next = words.get(at + 1);
        let next_number = next.and_then(|word| NUMBERS.get(&word.key).copied());
        if let Some((whole, hundredths, takes_next)) = numbers::with_a_part(&words[at].key, next_number) {
            at += 1 + usize::from(takes_next);
            let is_clock = words.get(at).is_some_and(|word| word.key == "बजे");
            english.number(whole, hundredths, is_clock, words[at - 1].stop);
            continue;
        }
        let phrase = (1..=LONGEST_PHRASE.min(words.len() - at)).rev().find_map(|count| {
            let phrase = &words[at..at + count];
            if phrase[..count - 1].iter().any(|word| !word.stop.is_empty()) {
                return None;
            }
            let key = phrase.iter().map(|word| word.key.as_str()).collect::<Vec<_>>().join(" ");
            LEXICON.get(&key).map(|english| (count, english.as_str()))
        });
        let is_figure = words[at].key.starts_with(|c: char| c.is_ascii_digit());
        let (count, meaning) = phrase.unwrap_or((1, if is_figure { &words[at].key } else { words[at].said }));
        at += count;
        let behind = words.get(at).is_some_and(|word| NUMBERS.contains_key(&word.key) || is_number(&word.key));
        for part in meaning.split_whitespace() {
            match Mark::of(part) {
                Some(mark) => english.mark(mark, behind),
                None => english.words.push((part.to_owned(), String::new())),
            }
        }
        english.stop(words[at - 1].stop);
    }
    english.text()
}

/// Words and the stops behind them.
#[derive(Default)]
struct Sentence {
    words: Vec<(String, String)>,
}

impl Sentence {
    fn number(&mut self, whole: usize, hundredths: usize, is_clock: bool, stop: &str) {
        let minutes = ["", "fifteen", "thirty", "forty five"];
        let decimals = ["", "point two five", "point five", "point seven five"];
        let part = if is_clock { minutes } else { decimals }[(hundredths / 25).min(3)];
        let said = format!("{} {part}", numbers::english(whole));
        self.words.extend(said.split_whitespace().map(|word| (word.to_owned(), String::new())));
        self.stop(stop);
    }

    fn stop(&mut self, stop: &str) {
        if let Some((_, behind)) = self.words.last_mut() {
            behind.push_str(&stop.replace('।', "."));
        }
    }

    fn mark(&mut self, mark: Mark, number_behind: bool) {
        match mark {
            Mark::OClock => {
                let from = self.run(|word| is_number(word) || word == "thirty");
                if from < self.words.len() {
                    self.insert(from, "at");
                    self.words.push(("o'clock".to_owned(), String::new()));
                }
            }
            Mark::From => {
                let after_number = self.words.last().is_some_and(|(word, stop)| is_number(word) && stop.is_empty());
                if after_number && number_behind {
                    self.words.push(("to".to_owned(), String::new()));
                }
            }
            Mark::Greeting => {
                let after_thanks = self.words.len() > 1 && self.words[self.words.len() - 2].0 == "thank";
                self.words.push((if after_thanks { "bye" } else { "hello" }.to_owned(), String::new()));
            }
            Mark::Quantity(word) => self.before_quantity(word),
            Mark::Until => {
                let from = self.run(is_quantity);
                let is_amount = self.words[from..].iter().any(|(word, _)| AMOUNTS.contains(&word.as_str()));
                self.before_quantity(if is_amount { "up to" } else { "by" });
            }
            Mark::Clause(word) => {
                let from = self.run(|_| true);
                if from < self.words.len() {
                    self.insert(from, word);
                }
            }
        }
    }

    fn before_quantity(&mut self, word: &str) {
        let from = self.run(is_quantity);
        let hour = self.words[from..].iter().rposition(|(word, _)| word == "at").map(|at| from + at);
        match hour {
            // "tomorrow at six o'clock" with "after" is "tomorrow after six o'clock".
            Some(at) => word.clone_into(&mut self.words[at].0),
            None if from < self.words.len() => self.insert(from, word),
            None => {}
        }
    }

    /// Where the words at the end begin that belong together: all of a kind, without a stop between them.
    fn run(&self, belongs: impl Fn(&str) -> bool) -> usize {
        let mut from = self.words.len();
        while from > 0 {
            let (word, stop) = &self.words[from - 1];
            if !stop.is_empty() || !belongs(word) {
                break;
            }
            from -= 1;
        }
        from
    }

    fn insert(&mut self, at: usize, words: &str) {
        for (offset, word) in words.split_whitespace().enumerate() {
            self.words.insert(at + offset, (word.to_owned(), String::new()));
        }
    }

    fn text(self) -> String {
        self.words.into_iter().map(|(word, stop)| word + &stop).collect::<Vec<_>>().join(" ")
    }
}

fn is_quantity(word: &str) -> bool {
    is_number(word) || MOMENTS.contains(&word) || QUANTITIES.contains(&word)
}
