//! Voices for calls whose phones still ring: connected before anybody answers, so that no first word waits for a handshake.
//!
//! Nobody knows which process the carrier will connect, so each gets a voice ready; an idle socket costs nothing. All of it is a hint:
//! a call that finds no voice here opens its own.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::{id::CallId, persona::opening_language, voice_agent::VoiceAgentSettings};
use tokio::time::{Instant, timeout};

use crate::{app::App, latency::Trick, session::Speech};

/// Carriers let a phone ring for half a minute, or a minute at most.
const RINGS_FOR: Duration = Duration::from_secs(60);
/// A database that takes longer is no help: the phone may have been answered.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(2);

/// The voices that are ready.
pub struct Ringing {
    ready: Mutex<HashMap<CallId, Ready>>,
    /// No more than this process could hold calls.
    most: usize,
}

struct Ready {
    agent: VoiceAgentSettings,
    language: String,
    speech: Speech,
    until: Instant,
}

impl Ringing {
    /// Room for `most` voices.
    pub(crate) fn new(most: usize) -> Self {
        Self { ready: Mutex::default(), most }
    }

    /// The call has been answered: its voice, if one is ready and still the right one.
    pub(crate) fn answered(&self, call: CallId, agent: &VoiceAgentSettings, language: &str) -> Option<Speech> {
        let ready = self.lock().remove(&call);
        let ready = ready.filter(|ready| ready.agent == *agent && ready.language == language);
        metrics::counter!("voices_at_answer_total", "ready" => if ready.is_some() { "yes" } else { "no" }).increment(1);
        ready.map(|ready| ready.speech)
    }

    fn has_room_for(&self, call: CallId) -> bool {
        let ready = self.lock();
        ready.len() < self.most && !ready.contains_key(&call)
    }

    fn keep(&self, call: CallId, ready: Ready) {
        self.lock().insert(call, ready);
    }

    /// Those that nobody answered.
    pub(crate) fn let_go(&self, now: Instant) {
        self.lock().retain(|_, ready| ready.until > now);
    }

    /// Nothing that could fail happens while it is held.
    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gets a voice ready for a phone that has begun to ring, and the way to the model.
pub(crate) async fn get_ready(app: &App, call: CallId) {
    if app.admission.is_draining() || !app.ringing.has_room_for(call) {
        return;
    }
    let Ok(Some(known)) = timeout(LOOK_UP_WITHIN, app.store.ringing(call)).await else { return };
    let agent = known.settings;
    if app.config.uses(Trick::WarmUp)
        && agent.speech_to_speech.is_none()
        && let Ok((mind, _)) = app.providers.minds(&agent)
    {
        app.tasks.spawn(async move { mind.warm_up().await });
    }
    let language = app.providers.reach(&agent).language(&opening_language(known.lead_language.as_deref(), &agent));
    // What keeps anybody from speaking is said when the call is answered.
    let Ok(mut speech) = Speech::new(&app.providers, &agent, &language) else { return };
    speech.open();
    app.ringing.keep(call, Ready { agent, language, speech, until: Instant::now() + RINGS_FOR });
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{config::Config, providers::Providers};

    fn ready(language: &str, until: Instant) -> Ready {
        let config = [
            "media",
            "--database-url=postgres://localhost/none",
            "--callback-secret=c",
            "--deepgram-api-key=k",
            "--openai-api-key=k",
            "--elevenlabs-api-key=k",
        ];
        let providers = Providers::new(&Config::try_parse_from(config).unwrap()).unwrap();
        let agent = VoiceAgentSettings::default();
        let speech = Speech::new(&providers, &agent, language).unwrap();
        Ready { agent, language: language.to_owned(), speech, until }
    }

    #[tokio::test]
    async fn a_voice_is_given_out_once_and_only_to_the_agent_that_it_was_made_for() {
        let ringing = Ringing::new(10);
        let soon = Instant::now() + RINGS_FOR;
        for call in 1..=3 {
            ringing.keep(CallId(call), ready("en", soon));
        }
        let agent = VoiceAgentSettings::default();
        assert!(ringing.answered(CallId(1), &agent, "en").is_some());
        assert!(ringing.answered(CallId(1), &agent, "en").is_none(), "it is taken");
        assert!(ringing.answered(CallId(2), &agent, "hi").is_none(), "it speaks another language");
        let renamed = VoiceAgentSettings { agent_name: "Meera".to_owned(), ..agent };
        assert!(ringing.answered(CallId(3), &renamed, "en").is_none(), "the agent has been changed meanwhile");
        assert!(ringing.lock().is_empty(), "what was of no use is gone");
    }

    #[tokio::test]
    async fn no_more_voices_are_kept_than_calls_could_be_and_none_longer_than_a_phone_rings() {
        let ringing = Ringing::new(2);
        let now = Instant::now();
        ringing.keep(CallId(1), ready("en", now));
        assert!(ringing.has_room_for(CallId(2)) && !ringing.has_room_for(CallId(1)), "one call has one voice");
        ringing.keep(CallId(2), ready("en", now + RINGS_FOR));
        assert!(!ringing.has_room_for(CallId(3)));
        ringing.let_go(now);
        assert_eq!(ringing.lock().keys().collect::<Vec<_>>(), [&CallId(2)]);
        assert!(ringing.has_room_for(CallId(3)));
    }
}
