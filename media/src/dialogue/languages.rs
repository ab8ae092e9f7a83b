//! Following the human into their language: on their first words the greeting is said again in it, later on the agent goes over
//! with its next answer.

use shared::conversation_event::CallEvent;
use shared::language::{self, Language};

use super::output::Output;
use super::{Dialogue, phrases};

/// In the middle of a conversation so many words make a change of language; a single foreign one does not.
const WORDS_TO_CHANGE: usize = 3;

impl Dialogue {
    pub(super) fn on_stt_language(&mut self, tag: &str) {
        self.heard_language = Language::parse(tag);
    }

    /// The human's turn is over. Was it in another language of those that may be spoken? Then this one is spoken from now on.
    pub(super) fn follow_language(&mut self, said: &str) -> bool {
        let heard = self.heard_language.take();
        let words = phrases::words(said);
        let least = if self.only_greeted() { 1 } else { WORDS_TO_CHANGE };
        if words.len() < least || phrases::is_greeting(&words) {
            return false;
        }
        let Some(tag) = self.language_of(said, heard) else { return false };
        self.speak_in(tag);
        true
    }

    /// So far the human has said nothing, or hello.
    pub(super) fn only_greeted(&self) -> bool {
        let words = phrases::words(&self.history.human_text());
        words.is_empty() || phrases::is_greeting(&words)
    }

    /// The tag, among those that may be spoken, of a language other than ours that the text is in. The script counts before the
    /// provider's word: it cannot be mistaken.
    fn language_of(&self, said: &str, heard: Option<Language>) -> Option<String> {
        let scripts = Language::of_script(said);
        let ours = Language::parse(&self.settings.language)?;
        let may_be =
            |language: Language| if scripts.is_empty() { heard == Some(language) } else { scripts.contains(&language) };
        // A mix of ours and another language is still ours.
        if may_be(ours) || scripts.is_empty() && heard.is_none() {
            return None;
        }
        let spoken = self.settings.also_speaks.iter().filter(|tag| Language::parse(tag).is_some_and(may_be));
        // Words of an Indian language in Latin letters: its mix with English, if that is offered.
        let (mixed, pure): (Vec<&String>, Vec<&String>) = spoken.partition(|tag| language::is_mixed(tag));
        let best = if scripts.is_empty() { mixed.first().or(pure.first()) } else { pure.first().or(mixed.first()) };
        best.map(|tag| (*tag).clone())
    }

    fn speak_in(&mut self, tag: String) {
        let before = std::mem::replace(&mut self.settings.language, tag.clone());
        // It may have to find its way back.
        if !self.settings.also_speaks.contains(&before) {
            self.settings.also_speaks.push(before);
        }
        self.lines = self.settings.fixed_lines();
        self.system_prompt = self.settings.system_prompt(&self.history.collected);
        self.discard_draft();
        self.event(CallEvent::LanguageChanged { language: tag.clone() });
        self.emit(Output::SpeakLanguage { language: tag });
    }
}
