//! Hindi at the edges of a mind that thinks in English: what was said in Devanagari is put into English before the rules read it,
//! and what they answer is put into Hindi where the system prompt asks for that.
//!
//! Own lines go through a table in both directions ([`lines`]), since the rules read their earlier questions in the history. What
//! people say goes through a lexicon ([`lexicon`]): the result is no good English, but it has the words the rules look for.

mod lexicon;
mod lines;
mod numbers;
mod phrases;
mod values;

use std::{borrow::Cow, collections::HashMap};

use super::{Conversation, Role};

/// Whether the system prompt asks for Hindi.
pub(super) fn is_asked_for(conversation: &Conversation) -> bool {
    let asks = |text: &str| text.contains("Speak Hindi") || text.contains("in the language hi");
    conversation.messages.iter().any(|message| message.role == Role::System && asks(&message.text))
}

/// Own lines as they were really said, by their English.
#[derive(Debug, Default)]
pub(super) struct Said(HashMap<String, String>);

/// The conversation in English.
pub(super) fn understood(conversation: &Conversation) -> (Cow<'_, Conversation>, Said) {
    let mut said = Said::default();
    if !conversation.messages.iter().any(|message| is_hindi(&message.text)) {
        return (Cow::Borrowed(conversation), said);
    }
    let mut english = conversation.clone();
    for message in english.messages.iter_mut().filter(|message| is_hindi(&message.text)) {
        match message.role {
            Role::User => message.text = lexicon::in_english(&message.text),
            Role::Assistant => {
                let english = lines::in_english(&message.text);
                let original = std::mem::replace(&mut message.text, english);
                said.0.insert(unbroken(&message.text).to_owned(), unbroken(&original).to_owned());
            }
            // The prompt's data may hold names and places in any script.
            Role::System | Role::Tool => {}
        }
    }
    (Cow::Owned(english), said)
}

impl Said {
    /// A line in Hindi. One that is said again is said in the same words.
    pub(super) fn again(&self, english: &str) -> String {
        self.0.get(unbroken(english)).cloned().unwrap_or_else(|| lines::in_hindi(english))
    }
}

/// Without the dash of a line that was cut off.
fn unbroken(line: &str) -> &str {
    line.trim_end_matches([' ', '—'])
}

fn is_hindi(text: &str) -> bool {
    text.chars().any(|c| ('\u{900}'..='\u{97f}').contains(&c))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
