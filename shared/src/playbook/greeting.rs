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
    /// The greeting: in the language that is spoken where there is one, the voice agent's own before the playbook's. What an agent says
    /// of itself in its usual language goes before a built-in text in another, which is about another business.
    pub fn greeting_in<'a>(&'a self, language: &str, own: OwnGreeting<'a>) -> &'a str {
        self.in_the_language(language, own).or(own.usual).unwrap_or(&self.greeting)
    }

    /// Whether it is in the language that is spoken.
    pub fn greets_in(&self, language: &str, own: OwnGreeting<'_>) -> bool {
        self.in_the_language(language, own).is_some()
    }

    fn in_the_language<'a>(&'a self, language: &str, own: OwnGreeting<'a>) -> Option<&'a str> {
        let speaks = |tag: &str| Language::parse(language) == Language::parse(tag);
        let built_in = || {
            // A playbook's one greeting is English unless its agent speaks another language.
            let only = (speaks(own.usual_language) || speaks("en")).then_some(&*self.greeting);
            in_language(&self.greetings, language).or(only)
        };
        in_language(own.others, language).or_else(|| match own.usual {
            Some(usual) => speaks(own.usual_language).then_some(usual),
            None => built_in(),
        })
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
