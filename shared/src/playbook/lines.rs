//! Sentences that no model is asked for: they must come at once, or come when the model cannot.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::language::{self, Language};
use serde::{Deserialize, Serialize};

/// The fixed lines of one language. Short, and worth keeping in the phrase cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lines {
    /// After silence, first to last.
    pub reprompts: Vec<String>,
    /// Nobody answered the re-prompts.
    pub silence_goodbye: String,
    /// Voice was heard, but no words.
    pub not_understood: String,
    /// The model failed twice.
    pub apology: String,
    /// It has done what was asked, and failed to say so.
    pub noted: String,
    /// It failed again in the next turn.
    pub failure_goodbye: String,
    /// The time is over.
    pub time_goodbye: String,
    /// `end_call` without words of its own.
    pub goodbye: String,
    /// `transfer_to_human` without words of its own.
    pub transfer: String,
    /// A tool takes its time.
    pub filler: String,
    /// After a lost stream came back, before the conversation goes on. Says nothing of where it was.
    pub bridge: String,
}

impl Default for Lines {
    fn default() -> Self {
        Self::english()
    }
}

impl Lines {
    /// Those of the language, or of its mix with English; English where nobody has written any.
    pub fn for_language(tag: &str) -> Self {
        known(tag).map_or_else(Self::english, |texts| texts.lines.clone())
    }

    pub fn english() -> Self {
        Self {
            reprompts: vec!["Hello, are you still there?".to_owned(), "I can't hear you. Can you hear me?".to_owned()],
            silence_goodbye: "I can't hear you, so I will try again another time. Goodbye.".to_owned(),
            not_understood: "Sorry, I did not catch that. Could you say it again?".to_owned(),
            apology: "Sorry, I had a small problem on my side. Could you say that once more?".to_owned(),
            noted: "Thank you, I have noted that. Is there anything else?".to_owned(),
            failure_goodbye: "I am sorry, I have a technical problem. We will call you back. Goodbye.".to_owned(),
            time_goodbye: "I am sorry, our time is up. Thank you for talking with me. Goodbye.".to_owned(),
            goodbye: "Thank you for your time. Goodbye.".to_owned(),
            transfer: "One moment please, I am connecting you.".to_owned(),
            filler: "One moment, let me check.".to_owned(),
            bridge: "Sorry, the line dropped for a moment.".to_owned(),
        }
    }
}

/// What the agent says of itself in a language beside English.
#[derive(Debug, Deserialize)]
struct Texts {
    /// The built-in greeting.
    greeting: String,
    lines: Lines,
}

static TEXTS: LazyLock<BTreeMap<String, Texts>> = LazyLock::new(|| {
    // A constant: a test reads it.
    serde_json::from_str(include_str!("languages.json")).unwrap_or_default()
});

fn known(tag: &str) -> Option<&'static Texts> {
    let key = if language::is_mixed(tag) { tag.to_ascii_lowercase() } else { Language::parse(tag)?.code().to_owned() };
    TEXTS.get(&key)
}

/// The built-in greeting in other languages than English, by language.
pub(super) fn greetings() -> BTreeMap<String, String> {
    TEXTS.iter().map(|(tag, texts)| (tag.clone(), texts.greeting.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_of_the_table_says_everything() {
        // Every language but English, and Hinglish.
        assert_eq!(TEXTS.len(), Language::ALL.len());
        for (tag, texts) in &*TEXTS {
            let lines = serde_json::to_value(&texts.lines).unwrap();
            for (name, line) in lines.as_object().unwrap() {
                let english = serde_json::to_value(Lines::english()).unwrap()[name].clone();
                assert_ne!(*line, english, "{tag}: {name} is missing");
            }
            for variable in ["{lead_name}", "{agent_name}", "{company}", "AI"] {
                assert!(texts.greeting.contains(variable), "{tag} lacks {variable}");
            }
            let script = Language::of_script(&texts.lines.goodbye);
            assert!(language::is_mixed(tag) || script.contains(&Language::parse(tag).unwrap()), "{tag}: {script:?}");
        }
    }

    #[test]
    fn a_language_nobody_has_written_for_gets_english_lines() {
        assert_eq!(Lines::for_language("en-IN"), Lines::english());
        assert_eq!(Lines::for_language("fr"), Lines::english());
        assert_ne!(Lines::for_language("ta-IN"), Lines::english());
        assert_ne!(Lines::for_language("hi-en"), Lines::for_language("hi-IN"));
    }
}
