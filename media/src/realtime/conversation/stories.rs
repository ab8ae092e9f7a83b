//! Calls as tables: what happened when, and what came of it.

use std::sync::Arc;

use super::*;
use crate::dialogue::{OnMachine, SAMPLES_PER_MS, StreamEnd, TurnRecord};
use crate::provider::ProviderError;
use crate::realtime::wire::{ServerEvent, Status};
use shared::playbook::Playbook;

mod calls;
mod endings;
mod link;
mod turns;

const MS: u32 = SAMPLES_PER_MS as u32;

/// A call, with a pacer that plays what it has at once.
pub(super) struct Rehearsal {
    conversation: Conversation,
    now: u64,
    story: Vec<String>,
    next_response: u32,
}

fn settings() -> DialogueSettings {
    let mut settings = DialogueSettings::new(Arc::new(Playbook::default()));
    settings.greeting = Some("Hello, this is an AI.".to_owned());
    settings
}

impl Rehearsal {
    fn with(settings: DialogueSettings, resume: Option<History>, by_voice: bool) -> Self {
        let conversation = Conversation::new(settings, resume, by_voice);
        let mut call = Self { conversation, now: 0, story: Vec::new(), next_response: 0 };
        call.give(0, Input::Started);
        call
    }

    /// The stream and the socket are there; nothing else has happened.
    fn begun() -> Self {
        let mut call = Self::with(settings(), None, false);
        call.ready(300);
        call
    }

    /// A second after the greeting has been heard.
    fn greeted() -> Self {
        let mut call = Self::begun();
        call.answers(500, Some(1), "Hello, this is an AI.", 1_500);
        call.plays_out(2_100, Epoch(1));
        call.until(3_000);
        call.story.clear();
        call
    }

    fn at(&mut self, ms: u64) -> CallTime {
        self.until(ms);
        CallTime::from_millis(ms)
    }

    /// Lets the time pass, with all its deadlines.
    fn until(&mut self, ms: u64) {
        while let Some(at) = self.conversation.deadline().map(CallTime::as_millis).filter(|at| *at <= ms) {
            self.now = at;
            self.conversation.handle(CallTime::from_millis(at), Input::Deadline);
            self.read();
        }
        self.now = self.now.max(ms);
    }

    fn give(&mut self, ms: u64, input: Input) {
        let at = self.at(ms);
        self.conversation.handle(at, input);
        self.read();
    }

    fn hear(&mut self, ms: u64, event: ServerEvent) -> Option<Epoch> {
        let at = self.at(ms);
        let wanted = self.conversation.hear(at, event);
        self.read();
        wanted
    }

    fn ready(&mut self, ms: u64) {
        let at = self.at(ms);
        self.conversation.ready(at);
        self.read();
    }

    fn lost(&mut self, ms: u64, error: &ProviderError) {
        let at = self.at(ms);
        self.conversation.lost(at, error);
        self.read();
    }

    // ---- the server ---------------------------------------------------------------------------------------------------

    /// A response begins: ours of this epoch, or the server's own.
    fn response(&mut self, ms: u64, epoch: Option<u32>) -> String {
        self.next_response += 1;
        let response_id = format!("r{}", self.next_response);
        self.hear(ms, ServerEvent::ResponseCreated { response_id: response_id.clone(), epoch: epoch.map(Epoch) });
        response_id
    }

    fn sound(&mut self, ms: u64, response_id: &str, text: &str, length_ms: u32) -> Option<Epoch> {
        let item_id = format!("i-{response_id}");
        let (response, item) = (response_id.to_owned(), item_id.clone());
        self.hear(ms, ServerEvent::TextDelta { response_id: response, item_id: item, delta: text.to_owned() });
        let samples = length_ms * MS;
        self.hear(ms, ServerEvent::Audio { response_id: response_id.to_owned(), item_id, samples })
    }

    fn done(&mut self, ms: u64, response_id: &str, status: Status) {
        self.hear(ms, ServerEvent::ResponseDone { response_id: response_id.to_owned(), status, usage: None });
    }

    /// A whole spoken response, whose sound comes at once and begins to be heard.
    fn answers(&mut self, ms: u64, epoch: Option<u32>, text: &str, length_ms: u32) -> Option<Epoch> {
        let response = self.response(ms, epoch);
        let epoch = self.sound(ms + 50, &response, text, length_ms)?;
        self.done(ms + 60, &response, Status::Completed);
        if self.conversation.audible() == Some(epoch) {
            self.give(ms + 60, Input::PlayoutStarted { epoch });
        }
        Some(epoch)
    }

    fn plays_out(&mut self, ms: u64, epoch: Epoch) {
        self.give(ms, Input::PlayoutDrained { epoch });
    }

    /// The human says something; it is written down a moment after its end.
    fn says(&mut self, from: u64, to: u64, item: &str, text: &str) {
        let began = CallTime::from_millis(from);
        self.give(from + 80, Input::VoiceStarted { began });
        self.hear(from + 150, ServerEvent::SpeechStarted { item_id: item.to_owned() });
        self.give(to + 200, Input::VoiceStopped { ended: CallTime::from_millis(to) });
        self.hear(to + 500, ServerEvent::SpeechStopped { item_id: item.to_owned(), speech_ms: None });
        self.hear(to + 500, ServerEvent::Committed { item_id: item.to_owned() });
        self.transcribed(to + 900, item, text);
    }

    fn transcribed(&mut self, ms: u64, item: &str, text: &str) {
        self.hear(ms, ServerEvent::Transcribed { item_id: item.to_owned(), text: text.to_owned() });
    }

    // ---- the story ----------------------------------------------------------------------------------------------------

    fn read(&mut self) {
        while let Some(order) = self.conversation.poll() {
            let line = match order {
                Order::Open(session) => format!("open     {} items", session.items.len()),
                Order::Tell(event) => match event {
                    ClientEvent::Create(Item::Said(speaker, text)) => format!("tell     {speaker:?}: {text}"),
                    ClientEvent::Create(Item::Note(text)) => {
                        format!("note     {}", text.split(['.', ';']).next().unwrap_or_default())
                    }
                    ClientEvent::Create(Item::Output { call_id, output }) => format!("output   {call_id} {output}"),
                    ClientEvent::Truncate { item_id, audio_end_ms } => format!("truncate {item_id} {audio_end_ms}"),
                    ClientEvent::Ask { epoch, exactly: Some(words) } => format!("exactly  e{} {words}", epoch.0),
                    ClientEvent::Ask { epoch, exactly: None } => format!("ask      e{}", epoch.0),
                    ClientEvent::Instruct(text) => {
                        format!("instruct {}", if text.contains("Speak Hindi") { "hi" } else { "?" })
                    }
                    ClientEvent::Commit => "commit".to_owned(),
                    ClientEvent::Cancel { response_id } => format!("cancel   {response_id}"),
                },
                Order::Complete(epoch) => format!("whole    e{}", epoch.0),
                Order::Discard(epoch) => format!("discard  e{}", epoch.0),
                Order::Do(output) => match output {
                    Output::Speak { epoch, text, .. } => format!("speak    e{} {text}", epoch.0),
                    Output::PausePlayout { epoch } => format!("pause    e{}", epoch.0),
                    Output::ResumePlayout { epoch, .. } => format!("resume   e{}", epoch.0),
                    Output::ClearPlayout { epoch } => format!("clear    e{}", epoch.0),
                    Output::Record(TurnRecord { speaker, text, interrupted, .. }) => {
                        format!("record   {speaker:?}: {text}{}", if interrupted { " —" } else { "" })
                    }
                    Output::RecordAnswer { field, value, .. } => format!("answer   {field} = {value}"),
                    Output::RunTool { name, .. } => format!("run      {name}"),
                    Output::Event(event) => {
                        let event = serde_json::to_value(event).unwrap();
                        format!("event    {}", event["kind"].as_str().unwrap())
                    }
                    Output::ListenForBeep => "listen for beep".to_owned(),
                    Output::PrepareRecording => "fetch recording".to_owned(),
                    Output::PlayRecording { epoch, .. } => format!("play     e{}", epoch.0),
                    Output::HangUp { .. } => continue,
                    Output::Ended { reason } => format!("ended    {reason:?}"),
                    _ => continue,
                },
            };
            self.story.push(format!("{:>6} {line}", self.now));
        }
    }

    /// What happened since it was last asked.
    fn story(&mut self) -> String {
        std::mem::take(&mut self.story).join("\n")
    }

    fn has(&self, line: &str) -> bool {
        self.story.iter().any(|known| known[7..].starts_with(line))
    }
}

/// A story as it is written in a test.
fn told(text: &str) -> String {
    let line = |line: &str| {
        let (at, what) = line.trim().split_once(' ').unwrap();
        format!("{at:>6} {}", what.trim_start())
    };
    text.trim().lines().map(line).collect::<Vec<_>>().join("\n")
}

fn cut() -> ProviderError {
    ProviderError::Cut { cause: "socket".into() }
}
