//! Texts as words, and the vocabularies that more than one rule needs.

/// Lower case, without punctuation (an apostrophe stays), one space on both sides and between.
/// `" yes i'm "` can be searched for `" i'm "`.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 2);
    plain.push(' ');
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let digit_before = plain.ends_with(|last: char| last.is_ascii_digit());
        match c {
            '’' => plain.push('\''),
            _ if c.is_alphanumeric() || matches!(c, '\'' | '\u{900}'..='\u{963}') => plain.extend(c.to_lowercase()),
            // 1.2 and 1,500 are one word each.
            '.' if digit_before && letters.peek().is_some_and(char::is_ascii_digit) => plain.push('.'),
            ',' if digit_before && letters.peek().is_some_and(char::is_ascii_digit) => {}
            _ if plain.ends_with(' ') => {}
            _ => plain.push(' '),
        }
    }
    if !plain.ends_with(' ') {
        plain.push(' ');
    }
    plain
}

/// Whether `plain` contains one of the phrases as whole words.
pub(super) fn says(plain: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| plain.contains(&format!(" {phrase} ")))
}

/// Whether `plain` begins with one of the phrases.
pub(super) fn begins(plain: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| plain.strip_prefix(' ').is_some_and(|said| said.starts_with(&format!("{phrase} "))))
}

pub(super) const YES: &[&str] = &[
    "yes",
    "yeah",
    "yep",
    "yup",
    "ya",
    "sure",
    "ok",
    "okay",
    "of course",
    "correct",
    "right",
    "that's right",
    "exactly",
    "absolutely",
    "definitely",
    "fine",
    "haan",
    "han",
    "ji",
    "speaking",
    "go ahead",
    "tell me",
    "please",
    "alright",
    "sounds good",
    "that works",
    "it is",
    "i am",
    "that would be",
    "great",
    "perfect",
    "हाँ",
    "हां",
    "जी",
];
pub(super) const NO: &[&str] =
    &["no", "nope", "nah", "nahi", "nahin", "not really", "not now", "no thanks", "नहीं", "नही"];

/// The English numbers below twenty, and the tens.
pub(super) const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
pub(super) const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Other words that stand in a number.
const NUMERIC: &[&str] = &["hundred", "half", "point", "couple", "few", "ek", "teen", "paanch"];

pub(super) fn is_number(word: &str) -> bool {
    let named = SMALL.contains(&word) || TENS[2..].contains(&word) || NUMERIC.contains(&word);
    named || word.starts_with(|c: char| c.is_ascii_digit())
}

/// Days and parts of days: when somebody might be called or come.
pub(super) const MOMENTS: &[&str] = &[
    "today",
    "tonight",
    "tomorrow",
    "day after tomorrow",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "weekend",
    "morning",
    "afternoon",
    "evening",
    "noon",
    "o'clock",
    "pm",
    "am",
    "p m",
    "a m",
    "hour",
    "hours",
    "minutes",
    "next week",
    "kal",
    "shaam",
];

/// The words from the first to the last moment named, with what stands before ("after 6 pm").
pub(super) fn moment(plain: &str) -> Option<String> {
    let words: Vec<&str> = plain.split_whitespace().collect();
    let is_moment = |at: usize| {
        let word = words[at];
        (word != "am" || at > 0 && is_number(words[at - 1]))
            && MOMENTS.iter().any(|moment| !moment.contains(' ') && *moment == word)
            || word == "week" && at > 0 && words[at - 1] == "next"
            || at > 0 && words[at - 1] == "after" && is_number(word)
    };
    let first = (0..words.len()).find(|at| is_moment(*at))?;
    let last = (0..words.len()).rfind(|at| is_moment(*at))?;
    let joins = [
        "after", "before", "at", "on", "in", "by", "this", "next", "around", "the", "half", "past", "an", "a", "about",
        "day",
    ];
    let mut from = first;
    while from > 0 && (joins.contains(&words[from - 1]) || is_number(words[from - 1])) {
        from -= 1;
    }
    let mut to = last + 1;
    while to < words.len() && (["at", "around", "after", "before", "by"].contains(&words[to]) || is_number(words[to])) {
        to += 1;
    }
    Some(words[from..to].join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_as_whole_words_only() {
        assert!(says(&plain("I'm NOT interested, thanks."), &["not interested"]));
        assert!(!says(&plain("I know this"), NO));
        assert!(begins(&plain("Yes, speaking"), YES) && !begins(&plain("I said yes"), YES));
    }

    #[test]
    fn a_moment_is_told_with_its_surroundings() {
        for (said, expected) in [
            ("Call me tomorrow after 6 pm please", Some("tomorrow after 6 pm")),
            ("in half an hour", Some("in half an hour")),
            ("maybe next week", Some("next week")),
            ("I am busy", None),
            ("Saturday morning at eleven works", Some("saturday morning at eleven")),
        ] {
            assert_eq!(moment(&plain(said)).as_deref(), expected, "{said}");
        }
    }
}
