//! Following the human into their language: on their first words the greeting is said again in it, later on the agent goes over
//! with its next answer.
//!
//! Letters cannot be mistaken, so one word of them is enough at the beginning. Everything else is the provider's word for a few
//! sounds: everybody in India says "yes", "okay" and "two BHK" in the middle of any language.

use shared::conversation_event::CallEvent;
use shared::language::{self, Language};

use super::output::Output;
use super::{Dialogue, phrases};

/// In the middle of a conversation so many words make a change of language; a single foreign one does not.
const WORDS_TO_CHANGE: usize = 3;
/// So many turns in a row are English before an Indian language is given up for it.
const ENGLISH_TURNS: u32 = 2;

/// What a turn tells about the language it is in.
enum Evidence {
    /// The language that is spoken, or a mix with it.
    Ours,
    /// Another one that may be spoken: its tag.
    Another(String),
    Nothing,
}

impl Dialogue {
    /// Of several words of the provider for one turn ours counts: people mix others into it.
    pub(super) fn on_stt_language(&mut self, tag: &str) {
        if self.heard_language.is_none() || self.heard_language != Language::parse(&self.settings.language) {
            self.heard_language = Language::parse(tag);
        }
    }

    /// The human's turn is over. Was it in another language of those that may be spoken? Then this one is spoken from now on.
    pub(super) fn follow_language(&mut self, said: &str) -> bool {
        let heard = self.heard_language.take();
        let words = phrases::words(said);
        if phrases::is_greeting(&words) {
            return false;
        }
        match self.evidence(said, &words, heard) {
            Evidence::Nothing => false,
            Evidence::Ours => {
                self.english_turns = 0;
                false
            }
            Evidence::Another(tag) if self.is_only_english(&tag) => {
                self.english_turns += 1;
                self.english_turns >= ENGLISH_TURNS && self.speak_in(tag)
            }
            Evidence::Another(tag) => self.speak_in(tag),
        }
    }

    /// So far the human has said nothing, or hello.
    pub(super) fn only_greeted(&self) -> bool {
        let words = phrases::words(&self.history.human_text());
        words.is_empty() || phrases::is_greeting(&words)
    }

    /// English in place of an Indian language: answers in it are usual there, too.
    fn is_only_english(&self, tag: &str) -> bool {
        Language::parse(tag) == Some(Language::English)
            && Language::parse(&self.settings.language).is_some_and(|ours| ours != Language::English)
    }

    fn evidence(&self, said: &str, words: &[String], heard: Option<Language>) -> Evidence {
        let Some(ours) = Language::parse(&self.settings.language) else { return Evidence::Nothing };
        let scripts = Language::of_script(said);
        if scripts.is_empty() {
            return self.evidence_of_sound(words, ours, heard);
        }
        let least = if self.only_greeted() { 1 } else { WORDS_TO_CHANGE };
        // Where several languages share the letters, only the provider tells them apart.
        match heard.filter(|heard| scripts.contains(heard) && *heard != ours) {
            Some(heard) if scripts.contains(&ours) => match self.offered(heard, false) {
                Some(tag) if !says_little(words) => Evidence::Another(tag),
                Some(_) => Evidence::Nothing,
                None => Evidence::Ours,
            },
            _ if scripts.contains(&ours) => Evidence::Ours,
            _ if words.len() < least => Evidence::Nothing,
            heard => {
                let mut likely = heard.into_iter().chain(scripts.iter().copied());
                let offered = likely.find_map(|language| self.offered(language, false));
                offered.map_or(Evidence::Nothing, Evidence::Another)
            }
        }
    }

    /// Latin letters are nobody's: there is only the provider's word.
    fn evidence_of_sound(&self, words: &[String], ours: Language, heard: Option<Language>) -> Evidence {
        let Some(heard) = heard else { return Evidence::Nothing };
        let is_mix = language::is_mixed(&self.settings.language);
        if heard == ours || is_mix && heard == Language::English {
            return Evidence::Ours;
        }
        if says_little(words) {
            return Evidence::Nothing;
        }
        // Between an Indian language and English lies their mix, if that is offered.
        let between = (heard == Language::English).then(|| self.offered_mix(ours)).flatten();
        between.or_else(|| self.offered(heard, true)).map_or(Evidence::Nothing, Evidence::Another)
    }

    /// The tag of this language among those that may be spoken; its mix with English before or after the language by itself.
    fn offered(&self, language: Language, mix_first: bool) -> Option<String> {
        let pure = || {
            let is_pure = |tag: &&String| !language::is_mixed(tag) && Language::parse(tag) == Some(language);
            self.settings.also_speaks.iter().find(is_pure).cloned()
        };
        let mix = || self.offered_mix(language);
        if mix_first { mix().or_else(pure) } else { pure().or_else(mix) }
    }

    fn offered_mix(&self, language: Language) -> Option<String> {
        let is_mix = |tag: &&String| language::is_mixed(tag) && Language::parse(tag) == Some(language);
        self.settings.also_speaks.iter().find(is_mix).cloned()
    }

    /// Whether that is another language, and not only a mix with the one before.
    fn speak_in(&mut self, tag: String) -> bool {
        self.english_turns = 0;
        let before = std::mem::replace(&mut self.settings.language, tag.clone());
        let is_other = Language::parse(&before) != Language::parse(&tag);
        // It may have to find its way back.
        if !self.settings.also_speaks.contains(&before) {
            self.settings.also_speaks.push(before);
        }
        self.lines = self.settings.fixed_lines();
        self.system_prompt = self.settings.system_prompt(&self.history.collected);
        self.discard_draft();
        self.event(CallEvent::LanguageChanged { language: tag.clone() });
        self.emit(Output::SpeakLanguage { language: tag });
        is_other
    }
}

/// Too little to tell a language by the provider's word for it alone.
fn says_little(words: &[String]) -> bool {
    words.len() < WORDS_TO_CHANGE
        || phrases::is_acknowledgement(words)
        || phrases::is_closed_answer(words)
        || phrases::opens_a_call(words)
}
