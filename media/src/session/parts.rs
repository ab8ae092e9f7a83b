//! Who hears, thinks and speaks in one call, as its voice agent chose.

use shared::stream::Briefing;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    actor::LlmEvent,
    briefing,
    engine::Engine,
    mouth::Mouth,
    speech::{Model, Speech},
    thinking::Thinker,
};
use crate::{
    app::App,
    dialogue::{Dialogue, DialogueSettings},
    latency::Trick,
    provider::FailOver,
    realtime::{self, Conversation, Link},
    stt::{AudioSink, SttControl, SttEvent},
    tts::TtsEvent,
    usage::Meter,
};

/// The receiving ends of everything that thinks or speaks. What a call does not have stays silent.
pub(super) struct Inbox {
    pub(super) stt: mpsc::Receiver<SttEvent>,
    pub(super) tts: mpsc::Receiver<TtsEvent>,
    pub(super) llm: mpsc::Receiver<LlmEvent>,
    /// The language model goes over in a task of its own.
    pub(super) overs: mpsc::Receiver<FailOver>,
    pub(super) model: mpsc::Receiver<realtime::Event>,
}

/// The parts of a call that are not the carrier's.
pub(super) struct Parts {
    pub(super) engine: Engine,
    /// Where the human's sound goes.
    pub(super) hearing: AudioSink,
    pub(super) stt: Option<mpsc::Sender<SttControl>>,
    pub(super) thinker: Option<Thinker>,
    pub(super) model: Option<mpsc::Sender<Link>>,
    pub(super) mouth: Mouth,
    pub(super) meter: Meter,
    pub(super) inbox: Inbox,
}

impl Parts {
    /// Their sockets are opened while the greeting is already on its way, except for the voice, which may have been opened before.
    /// With them come the call's tasks.
    pub(super) fn start(
        app: &App,
        briefing: &Briefing,
        settings: DialogueSettings,
    ) -> anyhow::Result<(Self, JoinSet<()>)> {
        let agent = &briefing.settings;
        let speech = match app.ringing.answered(briefing.call_id, agent, &settings.language) {
            Some(speech) => speech,
            None => Speech::new(&app.providers, agent, &settings.language)?,
        };
        let Speech { mut mouth, events: tts, model, meter, mut tasks, .. } = speech;
        let (stt_events, stt) = mpsc::channel(64);
        let (llm_events, llm) = mpsc::channel(256);
        let (overs, overs_inbox) = mpsc::channel(4);

        if let Some(Model { handle, events }) = model {
            let inbox = Inbox { stt, tts, llm, overs: overs_inbox, model: events };
            let exact_by_voice = agent.tts.is_some();
            let conversation = Conversation::new(settings, briefing::history(briefing), exact_by_voice);
            let engine = Engine::SpeechToSpeech(Box::new(conversation));
            let (hearing, model) = (handle.audio, Some(handle.orders));
            let parts = Self { engine, hearing, stt: None, thinker: None, model, mouth, meter, inbox };
            return Ok((parts, tasks));
        }

        let (_nobody, silence) = mpsc::channel(1);
        let inbox = Inbox { stt, tts, llm, overs: overs_inbox, model: silence };
        let options = briefing::transcriber(briefing, &settings);
        let (first, second) = app.providers.ears(agent, &options)?;
        let (ears, transcribing) = app.providers.transcriber.transcribe(first, second, meter.clone(), stt_events);
        tasks.spawn(transcribing);
        mouth.open(&mut tasks);
        let (first, second) = app.providers.minds(agent)?;
        let thinker = Thinker::new(first, second, meter.clone(), llm_events, overs);
        if app.config.uses(Trick::WarmUp) {
            let warming = thinker.clone();
            tasks.spawn(async move { warming.warm_up().await });
        }
        let engine = Engine::Cascade(Box::new(Dialogue::new(settings, briefing::history(briefing))));
        let (hearing, stt) = (ears.audio, Some(ears.control));
        let parts = Self { engine, hearing, stt, thinker: Some(thinker), model: None, mouth, meter, inbox };
        Ok((parts, tasks))
    }
}
