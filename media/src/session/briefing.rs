//! What the database knows about a call, as the dialogue and the providers want it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use shared::{
    persona::{self, Persona},
    reach::Reach,
    stream::{Briefing, Comeback},
    turn::{Role, Turn},
};

use crate::{
    config::Config,
    dialogue::{DialogueSettings, Gap, History, Opening, Said, Speaker},
    latency::Trick,
    stt,
};

/// Words given to speech recognition; the provider allows 500 tokens.
const MAX_KEYTERMS: usize = 50;

/// The dialogue's settings.
pub(super) fn dialogue(
    config: &Config,
    reach: &Reach<'_>,
    briefing: &Briefing,
    now: DateTime<Utc>,
) -> DialogueSettings {
    let persona = Persona::of(briefing, Some(reach), now);
    let mut settings = DialogueSettings::new(Arc::new(persona.playbook));
    settings.facts = persona.facts;
    settings.language = persona.language;
    settings.usual_language = persona.usual_language;
    settings.also_speaks = persona.also_speaks;
    settings.greeting = persona.greeting;
    settings.greetings = persona.greetings;
    if briefing.settings.wait_for_hello {
        settings.opening = Opening::WaitForHello { up_to_ms: 1_800 };
    }
    settings.on_machine = persona.on_machine;
    settings.local_time = Some(persona.local_time);
    settings.callbacks = persona.callbacks;
    settings.messages = persona.messages;
    settings.tools = persona.tools;
    settings.can_transfer = persona.can_transfer;
    settings.speculate = config.uses(Trick::Speculation);
    settings.early_clause = config.uses(Trick::EarlyClause);
    settings.fillers = config.uses(Trick::Filler);
    settings.limits.max_duration_ms = config.max_call_duration().as_millis() as u64;
    settings
}

/// The conversation so far, when it comes back in the middle of its call.
pub(super) fn history(briefing: &Briefing) -> Option<History> {
    let comeback = briefing.comeback?;
    let gap = match comeback {
        Comeback { closing: true, .. } => Gap::Goodbye,
        Comeback { handed_over: true, .. } => Gap::HandedOver,
        Comeback { .. } => Gap::Lost,
    };
    let next_seq = briefing.turns.iter().map(|turn| turn.seq.saturating_add(1)).max().unwrap_or(0);
    let said = |turn: &Turn| {
        let speaker = match turn.role {
            Role::Agent => Speaker::Agent,
            Role::Callee => Speaker::Human,
            Role::Tool => return None,
        };
        Some(Said { speaker, text: turn.text.clone(), interrupted: turn.interrupted })
    };
    let collected = persona::collected(briefing);
    let next_seq = u32::try_from(next_seq).unwrap_or(0);
    Some(History::resume(briefing.turns.iter().filter_map(said), collected, next_seq, gap))
}

/// What the transcriber is told.
pub(super) fn transcriber(briefing: &Briefing, settings: &DialogueSettings) -> stt::Options {
    let mut keyterms = briefing.settings.keyterms.clone();
    keyterms.extend(settings.playbook.key_terms.iter().cloned());
    keyterms.truncate(MAX_KEYTERMS);
    stt::Options { language: settings.language.clone(), others: settings.also_speaks.clone(), keyterms }
}
