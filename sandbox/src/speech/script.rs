//! In which script, and so in which language, something is written.

/// Unicode blocks, and the ISO 639-1 code of the language that is usual in them. Latin letters are English here.
const BLOCKS: [(std::ops::RangeInclusive<char>, &str); 9] = [
    ('\u{900}'..='\u{97f}', "hi"),
    ('\u{980}'..='\u{9ff}', "bn"),
    ('\u{a00}'..='\u{a7f}', "pa"),
    ('\u{a80}'..='\u{aff}', "gu"),
    ('\u{b00}'..='\u{b7f}', "or"),
    ('\u{b80}'..='\u{bff}', "ta"),
    ('\u{c00}'..='\u{c7f}', "te"),
    ('\u{c80}'..='\u{cff}', "kn"),
    ('\u{d00}'..='\u{d7f}', "ml"),
];

/// Part of a word: a letter or digit, or one of the signs that Indian scripts put on letters. Some of these (virama, nukta) are
/// not alphanumeric for Unicode, and a word may end in one.
pub(crate) fn is_of_a_word(c: char) -> bool {
    let is_danda = matches!(c, '\u{964}' | '\u{965}' | '\u{970}');
    c.is_alphanumeric() || ('\u{900}'..='\u{dff}').contains(&c) && !is_danda
}

/// The language of one word.
pub(crate) fn language_of(word: &str) -> &'static str {
    let of = |c: char| BLOCKS.iter().find(|(block, _)| block.contains(&c)).map(|(_, language)| *language);
    word.chars().find_map(of).unwrap_or("en")
}

/// The languages of these words, each once, that of the most words first.
pub(crate) fn languages<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'static str> {
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for language in words.map(language_of) {
        match counts.iter_mut().find(|(counted, _)| *counted == language) {
            Some((_, count)) => *count += 1,
            None => counts.push((language, 1)),
        }
    }
    // Stable: of two that are equally frequent, the one that was heard first.
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(language, _)| language).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_names_its_main_language_first() {
        assert_eq!(languages("हाँ बजट पचास lakh तक".split(' ')), ["hi", "en"]);
        assert_eq!(languages("my budget अस्सी".split(' ')), ["en", "hi"]);
        assert_eq!(languages("சொல்லுங்கள்".split(' ')), ["ta"]);
        assert!(languages(std::iter::empty()).is_empty());
    }

    #[test]
    fn signs_belong_to_their_word_and_stops_do_not() {
        assert!("तरफ़".chars().all(is_of_a_word) && "बाद्".chars().all(is_of_a_word) && is_of_a_word('7'));
        assert!(!is_of_a_word('।') && !is_of_a_word(',') && !is_of_a_word(' '));
    }
}
