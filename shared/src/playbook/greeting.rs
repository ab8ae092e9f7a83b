//! The first words of a call.

use std::collections::BTreeMap;

use super::Playbook;
use crate::language::{self, Language};

/// What a voice agent says first, where its account has words of its own.
#[derive(Debug, Clone, Copy)]
pub struct OwnGreeting<'a> {
    /// In the agent's usual language.
    pub usual: Option<&'a str>,
    pub usual_language: &'a str,
    /// By tag or by bare language (`hi`): in other languages. Before `usual`.
    pub others: &'a BTreeMap<String, String>,
}

impl Playbook {
    /// The greeting in the language that is spoken: the voice agent's own, else the playbook's.
    pub fn greeting_in<'a>(&'a self, language: &str, own: OwnGreeting<'a>) -> &'a str {
        let speaks_usual = Language::parse(language) == Language::parse(own.usual_language);
        in_language(own.others, language)
            .or(own.usual.filter(|_| speaks_usual))
            .or_else(|| in_language(&self.greetings, language))
            .or(own.usual)
            .unwrap_or(&self.greeting)
    }
}

/// The text under this very tag, or under another tag of the same language. A mix is written as it is, or not at all.
fn in_language<'a>(texts: &'a BTreeMap<String, String>, tag: &str) -> Option<&'a str> {
    let language = Language::parse(tag).filter(|_| !language::is_mixed(tag));
    let same = || {
        texts.iter().find(|(key, _)| language.is_some() && Language::parse(key) == language && !language::is_mixed(key))
    };
    texts.get(tag).or_else(|| same().map(|(_, text)| text)).map(String::as_str)
}
