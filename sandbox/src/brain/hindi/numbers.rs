//! Numbers: a Hindi word for each below a hundred, and its halves and quarters.

use crate::brain::words::{SMALL, TENS};

const WORDS: [&str; 100] = [
    "शून्य",
    "एक",
    "दो",
    "तीन",
    "चार",
    "पाँच",
    "छह",
    "सात",
    "आठ",
    "नौ",
    "दस",
    "ग्यारह",
    "बारह",
    "तेरह",
    "चौदह",
    "पंद्रह",
    "सोलह",
    "सत्रह",
    "अठारह",
    "उन्नीस",
    "बीस",
    "इक्कीस",
    "बाईस",
    "तेईस",
    "चौबीस",
    "पच्चीस",
    "छब्बीस",
    "सत्ताईस",
    "अट्ठाईस",
    "उनतीस",
    "तीस",
    "इकतीस",
    "बत्तीस",
    "तैंतीस",
    "चौंतीस",
    "पैंतीस",
    "छत्तीस",
    "सैंतीस",
    "अड़तीस",
    "उनतालीस",
    "चालीस",
    "इकतालीस",
    "बयालीस",
    "तैंतालीस",
    "चौवालीस",
    "पैंतालीस",
    "छियालीस",
    "सैंतालीस",
    "अड़तालीस",
    "उनचास",
    "पचास",
    "इक्यावन",
    "बावन",
    "तिरपन",
    "चौवन",
    "पचपन",
    "छप्पन",
    "सत्तावन",
    "अट्ठावन",
    "उनसठ",
    "साठ",
    "इकसठ",
    "बासठ",
    "तिरसठ",
    "चौंसठ",
    "पैंसठ",
    "छियासठ",
    "सड़सठ",
    "अड़सठ",
    "उनहत्तर",
    "सत्तर",
    "इकहत्तर",
    "बहत्तर",
    "तिहत्तर",
    "चौहत्तर",
    "पचहत्तर",
    "छिहत्तर",
    "सतहत्तर",
    "अठहत्तर",
    "उनासी",
    "अस्सी",
    "इक्यासी",
    "बयासी",
    "तिरासी",
    "चौरासी",
    "पचासी",
    "छियासी",
    "सत्तासी",
    "अट्ठासी",
    "नवासी",
    "नब्बे",
    "इक्यानवे",
    "बानवे",
    "तिरानवे",
    "चौरानवे",
    "पचानवे",
    "छियानवे",
    "सत्तानवे",
    "अट्ठानवे",
    "निन्यानवे",
];
/// Other spellings that recognisers and people use.
const VARIANTS: [(&str, usize); 12] = [
    ("छः", 6),
    ("छे", 6),
    ("छ", 6),
    ("ग्यारा", 11),
    ("बारा", 12),
    ("पन्द्रह", 15),
    ("पंद्रा", 15),
    ("उन्तीस", 29),
    ("पैतीस", 35),
    ("पैतालीस", 45),
    ("पिचासी", 85),
    ("पिचहत्तर", 75),
];
/// Below a hundred, as one English word or two.
pub(super) fn english(n: usize) -> String {
    match (n / 10, n % 10) {
        (0 | 1, _) => SMALL[n.min(19)].to_owned(),
        (tens, 0) => TENS[tens.min(9)].to_owned(),
        (tens, ones) => format!("{} {}", TENS[tens.min(9)], SMALL[ones]),
    }
}

pub(super) fn hindi(n: usize) -> Option<&'static str> {
    WORDS.get(n).copied()
}

/// What one or two English words say: the number, and how many of them belong to it.
pub(super) fn from_english(words: &[&str]) -> Option<(usize, usize)> {
    let first = words.first()?;
    if let Some(n) = SMALL.iter().position(|word| word == first) {
        return Some((n, 1));
    }
    let tens = TENS.iter().position(|word| word == first && !word.is_empty())?;
    let ones = words.get(1).and_then(|word| SMALL[1..10].iter().position(|small| small == word));
    Some(ones.map_or((tens * 10, 1), |ones| (tens * 10 + ones + 1, 2)))
}

/// Every word and the number it stands for.
pub(super) fn words() -> impl Iterator<Item = (&'static str, usize)> {
    WORDS.iter().enumerate().map(|(n, word)| (*word, n)).chain(VARIANTS)
}

/// `साढ़े तीन`, `सवा दस`, `डेढ़`: a number with a half or a quarter. `next` is the number behind it, if one is.
/// The whole part, the hundredths, and whether `next` belongs to it.
pub(super) fn with_a_part(word: &str, next: Option<usize>) -> Option<(usize, usize, bool)> {
    match (word, next) {
        ("डेढ", _) => Some((1, 50, false)),
        ("ढाई" | "अढाई", _) => Some((2, 50, false)),
        ("साढे", Some(n)) => Some((n, 50, true)),
        ("सवा", Some(n)) => Some((n, 25, true)),
        ("सवा", None) => Some((1, 25, false)),
        ("पौने", Some(n)) if n > 0 => Some((n - 1, 75, true)),
        _ => None,
    }
}
