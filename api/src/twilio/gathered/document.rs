//! What Twilio is told: a line, and what comes behind it.

use shared::playbook::Playbook;
use shared::voice_agent::VoiceAgentSettings;

use super::language::Tags;
use super::request::parameter;
use crate::state::AppState;
use crate::twilio::twiml::{Gathering, Speech, Twiml, Verb};
use crate::twilio::voice::address;

/// Words and phrases that the recogniser is told to expect.
const MAX_HINTS: usize = 50;
/// Twilio takes no longer ones.
const MAX_HINT_CHARS: usize = 100;
/// A machine's tone comes after its words, and nobody tells us when.
const BEEP_SECS: u32 = 2;

/// Where in its conversation a document stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub app: &'a AppState,
    pub reference: &'a str,
    /// BCP 47, as we name it.
    pub language: &'a str,
    /// Turns that the human has had.
    pub turn: usize,
    pub silences: usize,
    /// This is said because nothing better came in time.
    pub is_late: bool,
}

impl Place<'_> {
    fn address(&self, turn: usize, silences: usize, more: Option<&str>) -> String {
        let (turn, silences) = (turn.to_string(), silences.to_string());
        let late = self.is_late.then_some(parameter::LATE);
        let mut pairs = vec![(parameter::TURN, turn.as_str())];
        pairs.extend((silences != "0").then_some((parameter::SILENCE, silences.as_str())));
        pairs.push((parameter::LANGUAGE, self.language));
        pairs.extend(late.into_iter().chain(more).map(|name| (name, "1")));
        address(self.app, self.reference, &pairs)
    }

    fn tags(&self) -> Tags {
        Tags::of(self.language).unwrap_or(Tags::ENGLISH)
    }

    /// Says it and listens: for a turn of the human, or one silence more.
    pub(super) fn and_listen(&self, text: &str, hints: &str, expects_number: bool) -> Twiml {
        let (next, silence) =
            (self.address(self.turn + 1, self.silences, None), self.address(self.turn, self.silences + 1, None));
        let Tags { hears, says } = self.tags();
        let gathering = Gathering {
            action: &next,
            language: hears,
            hints,
            // A number's length is not known: its end is a pause, or the hash key.
            digits: (!expects_number).then_some(1),
            says: Speech { text, language: says },
        };
        Twiml::of(&[Verb::Gather(gathering), Verb::Redirect(&silence)])
    }

    pub(super) fn and_hang_up(&self, text: &str) -> Twiml {
        Twiml::of(&[Verb::Say(Speech { text, language: self.tags().says }), Verb::Hangup])
    }

    /// The next question is where the call goes.
    pub(super) fn and_leave(&self, text: &str) -> Twiml {
        let onward = self.address(self.turn, self.silences, Some(parameter::LEAVE));
        Twiml::of(&[Verb::Say(Speech { text, language: self.tags().says }), Verb::Redirect(&onward)])
    }

    /// For a machine, after its beep.
    pub(super) fn leave_message(&self, text: &str) -> Twiml {
        let says = Speech { text, language: self.tags().says };
        Twiml::of(&[Verb::Pause { secs: BEEP_SECS }, Verb::Say(says), Verb::Hangup])
    }

    pub(super) fn leave_recording(&self, url: &str) -> Twiml {
        Twiml::of(&[Verb::Pause { secs: BEEP_SECS }, Verb::Play(url), Verb::Hangup])
    }
}

/// What the recogniser is told to expect, as `<Gather>` takes it: divided by commas.
pub(super) fn hints(agent: &VoiceAgentSettings, playbook: &Playbook) -> String {
    let terms = agent.keyterms.iter().chain(&playbook.key_terms);
    let terms = terms.map(|term| term.replace(',', " ").trim().chars().take(MAX_HINT_CHARS).collect::<String>());
    terms.filter(|term| !term.is_empty()).take(MAX_HINTS).collect::<Vec<_>>().join(",")
}
