//! Which languages Twilio hears (`<Gather>`) and speaks (`<Say>`), and by which tags: the lists of its official SDK (npm `twilio`,
//! `GatherLanguage` and `SayLanguage`). A tag that it does not know ends the call with an error.

use shared::language::Language;

/// English where Twilio does both.
const ENGLISH: [&str; 7] = ["en-IN", "en-US", "en-GB", "en-AU", "en-NZ", "en-IE", "en-ZA"];

/// A language in Twilio's tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tags {
    pub hears: &'static str,
    pub says: &'static str,
}

impl Tags {
    pub(super) const ENGLISH: Self = Self::both("en-IN");

    const fn both(tag: &'static str) -> Self {
        Self { hears: tag, says: tag }
    }

    /// For a language as we name it (BCP 47, or a mix such as `hi-en`). `None`: Twilio lacks it.
    pub(super) fn of(tag: &str) -> Option<Self> {
        Some(match Language::parse(tag)? {
            Language::English => {
                Self::both(ENGLISH.into_iter().find(|known| known.eq_ignore_ascii_case(tag)).unwrap_or("en-IN"))
            }
            // A mix with English is heard as the other language, whose everyday speech is one.
            Language::Hindi => Self::both("hi-IN"),
            Language::Bengali => Self::both("bn-IN"),
            Language::Tamil => Self::both("ta-IN"),
            Language::Telugu => Self::both("te-IN"),
            Language::Kannada => Self::both("kn-IN"),
            Language::Malayalam => Self::both("ml-IN"),
            Language::Marathi => Self::both("mr-IN"),
            Language::Gujarati => Self::both("gu-IN"),
            Language::Punjabi => Self { hears: "pa-guru-IN", says: "pa-IN" },
            Language::Odia | Language::Assamese | Language::Urdu => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_naming_a_language_is_a_tag_that_twilio_knows() {
        for (ours, twilios) in [
            ("en-IN", "en-IN"),
            ("en", "en-IN"),
            ("en-us", "en-US"),
            ("en-SG", "en-IN"),
            ("hi-IN", "hi-IN"),
            ("hi", "hi-IN"),
            ("hi-en", "hi-IN"),
            ("ta-en", "ta-IN"),
            ("bn", "bn-IN"),
        ] {
            assert_eq!(Tags::of(ours), Some(Tags::both(twilios)), "{ours}");
        }
        assert_eq!(Tags::of("pa"), Some(Tags { hears: "pa-guru-IN", says: "pa-IN" }));
        for unknown in ["or-IN", "as", "ur-IN", "fr", ""] {
            assert_eq!(Tags::of(unknown), None, "{unknown}");
        }
    }
}
