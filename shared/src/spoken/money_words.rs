//! How a crore, a lakh, a thousand and a rupee are written in every language: a text in one often holds words of another.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Scale, indian};

/// English and Hindi, and what the other languages write beside the words that they are said with.
const SCALES: &[(Scale, &str)] = &[
    (Scale::Crore, "crores crore cr करोड़ करोड़ों कोटि కోట్లు కోట్ల"),
    (Scale::Lakh, "lakhs lakh lacs lac लाख लक्ष লক্ষ இலட்சம் లక్ష లక్షల"),
    (Scale::Thousand, "thousand हज़ार వెయ్యి వేల"),
    (Scale::Million, "million mn मिलियन"),
];
const RUPEES: &str = "rupees rupee rs रुपये रुपए रूपये रूपए रुपया రూపాయి రూపాయల ரூபா ರೂಪಾಯಿಗಳು ਰੁਪਿਆ روپیہ";

/// What words for them begin with when something is added to them: "லட்சத்தில்", in a lakh.
const SCALE_STEMS: &str = "लाख करोड़ हज़ार कोटी লাখ লক্ষ কোটি হাজার হাজাৰ லட்ச இலட்ச கோடி ஆயிர లక్ష కోట్ వేల ಲಕ್ಷ ಕೋಟಿ ಸಾವಿರ ലക്ഷ കോടി ആയിര લાખ કરોડ હજાર \
                           ਲੱਖ ਕਰੋੜ ਹਜ਼ਾਰ ଲକ୍ଷ କୋଟି ହଜାର لاکھ کروڑ ہزار";
const RUPEE_STEMS: &str = "rupee रुप रूप টাকা টকা ரூபா రూపాయ ರೂಪಾಯ രൂപ રૂપિય ਰੁਪ ଟଙ୍କ روپ";

/// A letter with a dot below as one character, and the letter without.
const DOTTED: [(char, char); 17] = [
    ('\u{958}', '\u{915}'),
    ('\u{959}', '\u{916}'),
    ('\u{95a}', '\u{917}'),
    ('\u{95b}', '\u{91c}'),
    ('\u{95c}', '\u{921}'),
    ('\u{95d}', '\u{922}'),
    ('\u{95e}', '\u{92b}'),
    ('\u{95f}', '\u{92f}'),
    ('\u{9dc}', '\u{9a1}'),
    ('\u{9dd}', '\u{9a2}'),
    ('\u{9df}', '\u{9af}'),
    ('\u{a59}', '\u{a16}'),
    ('\u{a5a}', '\u{a17}'),
    ('\u{a5b}', '\u{a1c}'),
    ('\u{a5e}', '\u{a2b}'),
    ('\u{b5c}', '\u{b21}'),
    ('\u{b5d}', '\u{b22}'),
];
/// The dots below by themselves.
const DOTS: [char; 4] = ['\u{93c}', '\u{9bc}', '\u{a3c}', '\u{b3c}'];

static BY_WORD: LazyLock<HashMap<String, Scale>> = LazyLock::new(|| {
    let listed = SCALES.iter().flat_map(|(scale, words)| words.split(' ').map(|word| (word, *scale)));
    let told = indian::ALL.iter().flat_map(|words| words.scales());
    listed.chain(told).flat_map(|(word, scale)| spellings(word).into_iter().map(move |word| (word, scale))).collect()
});

/// What a word for a power of ten stands for, however it is written.
pub(super) fn scale(word: &str) -> Option<Scale> {
    BY_WORD.get(&word.to_lowercase()).copied()
}

/// As alternatives of a pattern.
pub(super) fn scales() -> String {
    alternatives(BY_WORD.keys().cloned().collect())
}

pub(super) fn scale_stems() -> String {
    alternatives(SCALE_STEMS.split_whitespace().flat_map(spellings).collect())
}

pub(super) fn rupees() -> String {
    let told = indian::ALL.iter().map(|words| words.rupees);
    alternatives(RUPEES.split(' ').chain(told).flat_map(spellings).collect())
}

pub(super) fn rupee_stems() -> String {
    alternatives(RUPEE_STEMS.split(' ').flat_map(spellings).collect())
}

/// The longest first: the first that fits is taken.
fn alternatives(mut words: Vec<String>) -> String {
    words.sort_by_key(|word| (std::cmp::Reverse(word.len()), word.clone()));
    words.dedup();
    words.join("|")
}

/// With each dot as a character of its own, as part of its letter, and left out.
fn spellings(word: &str) -> Vec<String> {
    let dot = |c: char| DOTS.into_iter().find(|dot| (c as u32) & !0x7f == (*dot as u32) & !0x7f);
    let plain = |c: char| DOTTED.iter().find(|(dotted, _)| *dotted == c).map(|(_, plain)| *plain);
    let mut apart = String::new();
    for c in word.chars() {
        match (plain(c), dot(c)) {
            (Some(plain), Some(dot)) => apart.extend([plain, dot]),
            _ => apart.push(c),
        }
    }
    let together = DOTTED.iter().fold(apart.clone(), |word, (dotted, plain)| {
        dot(*plain).map_or(word.clone(), |dot| word.replace(&format!("{plain}{dot}"), &dotted.to_string()))
    });
    let without = apart.replace(DOTS, "");
    vec![apart, together, without]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_however_its_dot_is_written() {
        for word in ["कर\u{94b}\u{95c}", "कर\u{94b}\u{921}\u{93c}", "कर\u{94b}\u{921}", "ਕਰ\u{a4b}ੜ", "Crores", "కోట్లు"]
        {
            assert_eq!(scale(word), Some(Scale::Crore), "{word}");
        }
        assert_eq!(scale("ह\u{95b}ार"), Some(Scale::Thousand));
        assert_eq!(scale("हजार"), Some(Scale::Thousand));
        assert_eq!(scale("லட்சம்"), Some(Scale::Lakh));
        assert_eq!(scale("lake"), None);
    }
}
