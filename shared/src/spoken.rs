//! Numbers, prices, dates and times as they are said, not as they are written: `₹75,00,000` is "seventy five lakh rupees".
//!
//! Models are told to write them so and still do not, and voices read "Rs. 1.25 Cr" or "17:30" in ways nobody follows on the
//! phone. Only text with a digit in it is touched. English and Hindi become words; the voices of the other languages say plain
//! digits well, so there only the writing of prices is unfolded.

mod amount;
mod english;
mod hindi;
mod indian;
mod money_words;
#[cfg(test)]
mod tests;
mod writing;

use std::borrow::Cow;

use crate::language::{self, Language};
use chrono::{Datelike, NaiveDate, NaiveDateTime};

/// A figure as it stands in the text: `75,00,000`, `1.25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figure<'a> {
    whole: u64,
    /// Digits behind the point, without zeros at the end; often empty.
    decimals: &'a str,
}

/// Powers of ten with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Thousand,
    Lakh,
    Million,
    Crore,
}

/// A time of day, as far as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clock {
    /// 1 to 12.
    hour: u32,
    minute: u32,
    /// Hour of 24, where the text tells which half of the day is meant.
    of_24: Option<u32>,
}

/// What a price is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    SquareFoot,
    Month,
}

/// How a language says what the patterns find.
trait Says: Sync {
    fn figure(&self, figure: Figure<'_>) -> String;
    /// One by one: telephone numbers, PIN codes.
    fn digits(&self, digits: &str) -> String;
    fn scaled(&self, figure: Figure<'_>, scale: Scale) -> String;
    fn rupees(&self, amount: &str) -> String;
    fn dollars(&self, amount: &str) -> String;
    fn range(&self, from: &str, to: &str) -> String;
    fn percent(&self, figure: &str) -> String;
    fn square_feet(&self) -> &'static str;
    /// Behind a price.
    fn per(&self, what: Per) -> &'static str;
    /// A plot of 30x40.
    fn dimensions(&self, one: &str, other: &str) -> String;
    /// 24x7.
    fn always(&self) -> &'static str;
    /// Before a figure; `None` where the sign is said well.
    fn minus(&self) -> Option<&'static str>;
    fn ordinal(&self, n: u64) -> String;
    fn date(&self, date: NaiveDate) -> String;
    /// `None`: better left as it is written.
    fn year(&self, year: u64) -> Option<String>;
    fn time(&self, clock: Clock) -> String;
    /// 5:30-6:30 pm.
    fn times(&self, from: Clock, to: Clock) -> String;
}

/// The text as a voice in the language of a BCP 47 tag should say it. Saying it twice changes nothing.
pub fn spoken<'a>(text: &'a str, tag: &str) -> Cow<'a, str> {
    if !text.chars().any(|c| latin_digit(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let tongue: &dyn Says = match Language::parse(tag) {
        // Hinglish is written in Latin letters, where English numbers are at home.
        Some(Language::Hindi) if !language::is_mixed(tag) => &hindi::Hindi,
        Some(Language::English) | None => &english::English,
        Some(Language::Hindi) => &english::English,
        Some(other) => indian::of(other),
    };
    Cow::Owned(writing::say(&latin_digits(text), tongue))
}

/// A local moment as models write it (`2026-11-24T17:00`), as it is said with its day of the week; `None` for anything else.
pub fn moment(written: &str, tag: &str) -> Option<String> {
    let written = written.trim().get(..16).unwrap_or(written.trim());
    let moment = NaiveDateTime::parse_from_str(written, "%Y-%m-%dT%H:%M").ok()?;
    // The day's name is the model's to translate: this is for its eyes.
    Some(format!("{}, {}", moment.format("%A"), spoken(written, tag)))
}

/// Zeros of India's scripts, and of Urdu; the other digits follow each.
const ZEROS: [char; 12] = ['0', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '۰', '٠'];

fn latin_digit(c: char) -> Option<char> {
    let digit = |zero: char| (c as u32).checked_sub(zero as u32).filter(|digit| *digit < 10);
    ZEROS.into_iter().find_map(digit).and_then(|digit| char::from_digit(digit, 10))
}

fn latin_digits(text: &str) -> String {
    text.chars().map(|c| latin_digit(c).unwrap_or(c)).collect()
}

fn figure(text: &str) -> Option<Figure<'_>> {
    // Commas belong to the whole part; what stands behind the point is digits.
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let whole = only_digits(whole).parse().ok()?;
    Some(Figure { whole, decimals: decimals.trim_end_matches('0') })
}

fn only_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Pieces in which people say a long number: threes and fours, the last ones four.
fn groups(digits: &str) -> Vec<&str> {
    let first = match digits.len() {
        10 => &[3, 3, 4][..],
        12 => &[4, 4, 4],
        6 => &[3, 3],
        _ => &[],
    };
    let mut groups = Vec::new();
    let mut rest = digits;
    for size in first.iter().copied().chain(std::iter::repeat(4)) {
        let at = if rest.len() <= size.max(5) && first.is_empty() { rest.len() } else { size.min(rest.len()) };
        let (group, left) = rest.split_at(at);
        groups.push(group);
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    groups
}

/// A number cut into crores, lakhs, thousands and the rest, biggest first; zeros are left out.
fn indian_parts(n: u64) -> Vec<(u64, Option<Scale>)> {
    let parts = [
        (n / 10_000_000, Some(Scale::Crore)),
        (n / 100_000 % 100, Some(Scale::Lakh)),
        (n / 1_000 % 100, Some(Scale::Thousand)),
        (n % 1_000, None),
    ];
    parts.into_iter().filter(|(count, _)| *count > 0).collect()
}

/// (day, month from 0, year).
fn day_month_year(date: NaiveDate) -> (u64, usize, u64) {
    (u64::from(date.day()), date.month0() as usize, u64::from(date.year().unsigned_abs()))
}
