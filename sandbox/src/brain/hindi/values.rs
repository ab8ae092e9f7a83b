//! Answers and times as the caller repeats them, in Hindi. Names and places stay as they are.

use super::numbers;

const WORDS: &[(&str, &str)] = &[
    ("own use", "ख़ुद का इस्तेमाल"),
    ("investment", "निवेश"),
    ("rent", "किराया"),
    ("later", "बाद में"),
    ("immediately", "तुरंत"),
    ("no hurry", "बिना जल्दी के"),
    ("day after tomorrow", "परसों"),
    ("tomorrow", "कल"),
    ("today", "आज"),
    ("tonight", "आज रात"),
    ("monday", "सोमवार"),
    ("tuesday", "मंगलवार"),
    ("wednesday", "बुधवार"),
    ("thursday", "गुरुवार"),
    ("friday", "शुक्रवार"),
    ("saturday", "शनिवार"),
    ("sunday", "रविवार"),
    ("weekend", "वीकेंड"),
    ("morning", "सुबह"),
    ("afternoon", "दोपहर"),
    ("noon", "दोपहर"),
    ("evening", "शाम"),
    ("o'clock", "बजे"),
    ("this", "इस"),
    ("next", "अगले"),
    ("any", "किसी भी"),
    ("week", "हफ़्ते"),
    ("month", "महीने"),
    ("months", "महीने"),
    ("year", "साल"),
    ("years", "साल"),
    ("hour", "घंटे"),
    ("hours", "घंटे"),
    ("minutes", "मिनट"),
    ("half", "आधे"),
    ("lakh", "लाख"),
    ("lakhs", "लाख"),
    ("crore", "करोड़"),
    ("crores", "करोड़"),
    ("thousand", "हज़ार"),
    ("point", "दशमलव"),
    ("around", "करीब"),
    ("about", "करीब"),
    ("and", "और"),
    ("or", "या"),
    ("to", "से"),
    ("flat", "फ़्लैट"),
    ("apartment", "अपार्टमेंट"),
    ("villa", "विला"),
    ("plot", "प्लॉट"),
    ("bedroom", "बेडरूम"),
    ("at", ""),
    ("on", ""),
    ("in", ""),
    ("the", ""),
    ("an", ""),
    ("a", ""),
];

/// What English puts before a time or an amount and Hindi behind it.
const BEFORE: &[(&str, &str)] = &[
    ("after ", "के बाद"),
    ("before ", "से पहले"),
    ("within ", "के अंदर"),
    ("by ", "तक"),
    ("up to ", "तक"),
    ("under ", "से कम"),
    ("in ", "में"),
];

pub(super) fn in_hindi(value: &str) -> String {
    // "tomorrow after six o'clock": only what follows goes before the postposition.
    let found = BEFORE.iter().find_map(|(english, hindi)| {
        let at = if value.starts_with(english) { 0 } else { value.find(&format!(" {english}"))? + 1 };
        Some((&value[..at], &value[at + english.len()..], *hindi))
    });
    match found {
        Some((first, rest, behind)) => {
            let parts = [words(first), words(rest), behind.to_owned()];
            parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
        }
        None => words(value),
    }
}

fn words(english: &str) -> String {
    let words: Vec<&str> = english.split_whitespace().collect();
    let mut hindi: Vec<&str> = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let known = (1..=3.min(words.len() - at)).rev().find_map(|count| {
            let phrase = words[at..at + count].join(" ").to_lowercase();
            WORDS.iter().find(|(english, _)| *english == phrase).map(|(_, hindi)| (count, *hindi))
        });
        let number = || numbers::from_english(&words[at..]).and_then(|(n, count)| Some((count, numbers::hindi(n)?)));
        let (count, word) = known.or_else(number).unwrap_or((1, words[at]));
        hindi.extend(Some(word).filter(|word| !word.is_empty()));
        at += count;
    }
    hindi.join(" ")
}
