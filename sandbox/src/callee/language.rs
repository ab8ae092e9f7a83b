//! The language that a callee speaks. Scripts are written in English; a line is said in another language where it is known there.

use std::{collections::HashMap, sync::LazyLock};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    #[default]
    #[serde(rename = "en")]
    English,
    #[serde(rename = "hi")]
    Hindi,
}

/// English lines of the scripts, and what people say in Hindi instead.
static HINDI: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../scenarios/hindi.json"))
        .expect("hindi.json is part of the program and a test reads it")
});

impl Language {
    /// The line in this language, or as it is written where nobody has translated it.
    pub fn says(self, line: &str) -> &str {
        match self {
            Self::English => line,
            Self::Hindi => HINDI.get(line).map_or(line, String::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        callee::Callee,
        scenarios,
        speech::script::{language_of, languages},
    };

    #[test]
    fn everything_that_a_script_says_can_be_said_in_hindi() {
        let scripts = scenarios::scripts();
        let steps = scripts
            .values()
            .chain([&scenarios::anybody()])
            .flat_map(|script| script.attempts.concat())
            .collect::<Vec<_>>();
        for line in Callee::texts(&steps, Language::English) {
            let hindi = Language::Hindi.says(&line);
            assert_eq!(languages(hindi.split_whitespace()), ["hi"], "{line:?} is {hindi:?}");
        }
    }

    #[test]
    fn no_translation_is_left_of_a_line_that_nobody_says_any_more() {
        let scripts = scenarios::scripts();
        let steps: Vec<_> = scripts.values().flat_map(|script| script.attempts.concat()).collect();
        let said = Callee::texts(&steps, Language::English);
        let unused: Vec<&String> = HINDI.keys().filter(|line| !said.contains(line)).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn an_unknown_line_is_said_as_it_is_written() {
        assert_eq!(Language::Hindi.says("I play the sitar."), "I play the sitar.");
        assert_eq!(Language::English.says("Hello?"), "Hello?");
        assert_eq!(language_of(Language::Hindi.says("Hello?")), "hi");
    }
}
