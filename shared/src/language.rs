//! Languages that people are called in: their tags, names and scripts.
//!
//! One list for everybody who has to know: the upload's language column, the voice agent's settings, the greeting, speech
//! recognition and the voice.

use std::fmt;

/// A language, whatever the country. English and the languages of India that a voice exists for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    English,
    Hindi,
    Bengali,
    Tamil,
    Telugu,
    Kannada,
    Malayalam,
    Marathi,
    Gujarati,
    Punjabi,
    Odia,
    Assamese,
    Urdu,
}

use Language::*;

/// Code (ISO 639-1), English name, and the other names that lists give.
const KNOWN: &[(Language, &str, &str, &[&str])] = &[
    (English, "en", "English", &["eng", "अंग्रेजी", "angrezi"]),
    (Hindi, "hi", "Hindi", &["hin", "हिन्दी", "हिंदी"]),
    (Bengali, "bn", "Bengali", &["ben", "bangla", "বাংলা"]),
    (Tamil, "ta", "Tamil", &["tam", "தமிழ்"]),
    (Telugu, "te", "Telugu", &["tel", "తెలుగు"]),
    (Kannada, "kn", "Kannada", &["kan", "ಕನ್ನಡ"]),
    (Malayalam, "ml", "Malayalam", &["mal", "മലയാളം"]),
    (Marathi, "mr", "Marathi", &["mar", "मराठी"]),
    (Gujarati, "gu", "Gujarati", &["guj", "ગુજરાતી"]),
    (Punjabi, "pa", "Punjabi", &["pan", "ਪੰਜਾਬੀ"]),
    (Odia, "or", "Odia", &["od", "ori", "oriya", "ଓଡ଼ିଆ"]),
    (Assamese, "as", "Assamese", &["asm", "অসমীয়া"]),
    (Urdu, "ur", "Urdu", &["urd", "اردو"]),
];

/// Where a language's letters stand in Unicode. Devanagari is Hindi's and Marathi's, Bengali's letters are Assamese's too: the
/// first that is asked for has them.
const SCRIPTS: &[(std::ops::RangeInclusive<char>, &[Language])] = &[
    ('\u{0900}'..='\u{097F}', &[Hindi, Marathi]),
    ('\u{0980}'..='\u{09FF}', &[Bengali, Assamese]),
    ('\u{0A00}'..='\u{0A7F}', &[Punjabi]),
    ('\u{0A80}'..='\u{0AFF}', &[Gujarati]),
    ('\u{0B00}'..='\u{0B7F}', &[Odia]),
    ('\u{0B80}'..='\u{0BFF}', &[Tamil]),
    ('\u{0C00}'..='\u{0C7F}', &[Telugu]),
    ('\u{0C80}'..='\u{0CFF}', &[Kannada]),
    ('\u{0D00}'..='\u{0D7F}', &[Malayalam]),
    ('\u{0600}'..='\u{06FF}', &[Urdu]),
];

impl Language {
    pub const ALL: [Self; 13] =
        [English, Hindi, Bengali, Tamil, Telugu, Kannada, Malayalam, Marathi, Gujarati, Punjabi, Odia, Assamese, Urdu];

    /// ISO 639-1.
    pub fn code(self) -> &'static str {
        self.entry().1
    }

    /// In English.
    pub fn name(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> &'static (Self, &'static str, &'static str, &'static [&'static str]) {
        // Every variant is in the table: a test looks.
        KNOWN.iter().find(|(language, ..)| *language == self).unwrap_or(&KNOWN[0])
    }

    /// From a BCP 47 tag (`hi-IN`, `ta`) or a name as people write it (`Hindi`, `bangla`, `हिन्दी`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let base = text.split(['-', '_']).next().unwrap_or_default();
        let is = |word: &str| {
            KNOWN.iter().find(|(_, code, name, others)| {
                *code == word || name.eq_ignore_ascii_case(word) || others.contains(&word)
            })
        };
        is(&text).or_else(|| is(base)).map(|(language, ..)| *language)
    }

    /// The languages whose letters most of the text is written in; Latin letters are nobody's, since Hindi is written in them,
    /// too. The more usual language of a script comes first.
    pub fn of_script(text: &str) -> &'static [Self] {
        let mut letters = [0_usize; SCRIPTS.len()];
        let mut others = 0;
        for c in text.chars().filter(|c| !c.is_whitespace() && !c.is_ascii_punctuation()) {
            match SCRIPTS.iter().position(|(range, _)| range.contains(&c)) {
                Some(at) => letters[at] += 1,
                None => others += 1,
            }
        }
        let most = letters.iter().copied().enumerate().max_by_key(|(_, count)| *count);
        match most {
            Some((at, count)) if count > 0 && count >= others => SCRIPTS[at].1,
            _ => &[],
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The BCP 47 tag that a text means: one of a known language as it is, a language's name as its tag in India, `Hinglish` as
/// `hi-en`, the mix of both. `None` for anything else.
pub fn tag(text: &str) -> Option<String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("hinglish") {
        return Some("hi-en".to_owned());
    }
    let language = Language::parse(text)?;
    let (base, rest) = text.split_once(['-', '_']).unwrap_or((text, ""));
    let is_tag = base.eq_ignore_ascii_case(language.code());
    let region = match rest {
        _ if !is_tag => "-IN".to_owned(),
        "" => String::new(),
        rest if rest.len() <= 3 && rest.bytes().all(|b| b.is_ascii_alphanumeric()) => format!("-{rest}"),
        _ => return None,
    };
    Some(format!("{}{region}", language.code()))
}

/// Hindi, or another language, mixed with English: `hi-en`.
pub fn is_mixed(tag: &str) -> bool {
    tag.split_once(['-', '_'])
        .is_some_and(|(base, rest)| !base.eq_ignore_ascii_case("en") && rest.eq_ignore_ascii_case("en"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_row_of_its_own() {
        assert_eq!(KNOWN.len(), Language::ALL.len());
        for language in Language::ALL {
            assert_eq!(Language::parse(language.code()), Some(language));
            assert_eq!(Language::parse(language.name()), Some(language));
        }
    }

    #[test]
    fn lists_name_languages_in_many_ways() {
        for (text, expected) in [
            ("hi-IN", Some("hi-IN")),
            ("en", Some("en")),
            ("EN-us", Some("en-us")),
            ("ta_IN", Some("ta-IN")),
            ("Hindi", Some("hi-IN")),
            (" हिन्दी ", Some("hi-IN")),
            ("bangla", Some("bn-IN")),
            ("Hinglish", Some("hi-en")),
            ("hi-en", Some("hi-en")),
            ("Hindi, English", None),
            ("speaks well", None),
            ("", None),
        ] {
            assert_eq!(tag(text).as_deref(), expected, "{text}");
        }
        assert!(is_mixed("hi-en") && !is_mixed("hi-IN") && !is_mixed("en"));
    }

    #[test]
    fn letters_tell_the_language_where_the_script_is_its_own() {
        assert_eq!(Language::of_script("हाँ, बोलिए"), [Hindi, Marathi]);
        assert_eq!(Language::of_script("சொல்லுங்கள் please"), [Tamil]);
        assert_eq!(Language::of_script("చెప్పండి"), [Telugu]);
        assert!(Language::of_script("haan boliye").is_empty());
        assert!(Language::of_script("I said नमस्ते to all of them").is_empty());
        assert!(Language::of_script("12 !").is_empty());
    }
}
