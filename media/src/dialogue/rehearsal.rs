//! Calls as scripts, read back as stories. A small world around the dialogue: a model with scripted answers, a voice that
//! speaks 60 ms per character, a pacer with a playout clock. Time moves in steps of 10 ms; nothing runs by itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::*;
use shared::playbook::Playbook;

const STEP_MS: u64 = 10;
const MS_PER_CHAR: u64 = 60;
const RECORDING_MS: u64 = 3_000;
const TTS_DELAY_MS: u64 = 100;
const LLM_DELAY_MS: u64 = 300;
/// What the STT needs after the voice's end for its final, and the VAD to be sure of that end.
const STT_DELAY_MS: u64 = 250;
const VAD_START_MS: u64 = 80;
const VAD_STOP_MS: u64 = 200;

/// What the scripted model does with a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Text(&'static str),
    /// (name, arguments) each, after the text.
    Calls(&'static str, Vec<(&'static str, &'static str)>),
    Fails(LlmFailure),
    /// Breaks off behind these words.
    Breaks(&'static str, LlmFailure),
    Silent,
}

pub(super) struct Rehearsal {
    pub(super) dialogue: Dialogue,
    now: u64,
    scheduled: BTreeMap<(u64, u64), Input>,
    next: u64,
    answers: VecDeque<Answer>,
    story: Vec<String>,
    /// Every request's messages.
    pub(super) asked: Vec<Vec<Message>>,
    pub(super) outputs: Vec<(u64, Output)>,
    pub(super) speech_works: bool,
    playout: Playout,
}

/// The pacer and the human's ear in one: what is sent is heard at once.
#[derive(Default)]
struct Playout {
    epoch: Option<Epoch>,
    total: u64,
    position: u64,
    paused: bool,
    started: bool,
    drained: bool,
    cleared: Option<Epoch>,
    speech_ready: u64,
}

pub(super) fn settings(greeting: &str) -> DialogueSettings {
    let mut settings = DialogueSettings::new(Arc::new(Playbook::default()));
    settings.greeting = Some(greeting.to_owned());
    settings.speculate = false;
    settings
}

impl Rehearsal {
    /// A call whose stream has just begun.
    pub(super) fn greeting(greeting: &str) -> Self {
        Self::with(settings(greeting), None)
    }

    /// A call at the moment after a short greeting, without its story.
    pub(super) fn after_greeting() -> Self {
        let mut call = Self::greeting("Hello?");
        call.until(1_000);
        call.forget();
        call
    }

    pub(super) fn with(settings: DialogueSettings, resume: Option<History>) -> Self {
        Self::from(0, settings, resume)
    }

    /// A call whose stream begins so long after its conversation.
    pub(super) fn from(began: u64, settings: DialogueSettings, resume: Option<History>) -> Self {
        let mut call = Self {
            dialogue: Dialogue::new(settings, resume),
            now: began,
            scheduled: BTreeMap::new(),
            next: 0,
            answers: VecDeque::new(),
            story: Vec::new(),
            asked: Vec::new(),
            outputs: Vec::new(),
            speech_works: true,
            playout: Playout::default(),
        };
        call.at(began, Input::Started);
        call
    }

    pub(super) fn answers(&mut self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.extend(answers);
    }

    /// Something happens at this time (or now, if that is past).
    pub(super) fn at(&mut self, ms: u64, input: Input) {
        self.next += 1;
        self.scheduled.insert((ms, self.next), input);
    }

    /// The human speaks from `from` to `to`, and is understood.
    pub(super) fn says(&mut self, from: u64, to: u64, text: &str) {
        self.sounds(from, to);
        if to - from > 400 {
            // Half of it, as an interim would have it.
            let words: Vec<&str> = text.split(' ').collect();
            self.at((from + to) / 2 + 200, Input::SttInterim { text: words[..words.len().div_ceil(2)].join(" ") });
        }
        self.at(to + STT_DELAY_MS, Input::SttFinal { text: text.to_owned(), speech_final: true });
    }

    /// Voice without words.
    pub(super) fn sounds(&mut self, from: u64, to: u64) {
        self.at(from + VAD_START_MS, Input::VoiceStarted { began: CallTime::from_millis(from) });
        for until in (from + VAD_START_MS + 50..=to).step_by(50) {
            self.at(until, Input::VoiceGoesOn { until: CallTime::from_millis(until) });
        }
        self.at(to + VAD_STOP_MS.max(VAD_START_MS), Input::VoiceStopped { ended: CallTime::from_millis(to) });
    }

    pub(super) fn until(&mut self, ms: u64) {
        while self.now <= ms {
            self.step();
            self.now += STEP_MS;
        }
    }

    fn step(&mut self) {
        while let Some(entry) = self.scheduled.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let input = entry.remove();
            self.give(input);
        }
        self.play();
        while let Some((at, _)) = self.dialogue.deadline() {
            if at.as_millis() > self.now {
                break;
            }
            self.give(Input::Deadline);
        }
    }

    fn play(&mut self) {
        let playout = &mut self.playout;
        let Some(epoch) = playout.epoch.filter(|_| !playout.paused) else { return };
        if playout.position < playout.total {
            playout.position = (playout.position + STEP_MS * SAMPLES_PER_MS).min(playout.total);
            let (samples, started) = (playout.position, playout.started);
            playout.started = true;
            playout.drained = false;
            if !started {
                self.give(Input::PlayoutStarted { epoch });
            }
            self.give(Input::Played { epoch, samples });
        } else if playout.started && !playout.drained {
            playout.drained = true;
            self.give(Input::PlayoutDrained { epoch });
        }
    }

    pub(super) fn give(&mut self, input: Input) {
        if let Input::TtsAudio { epoch, samples, .. } = &input {
            let playout = &mut self.playout;
            if playout.cleared.is_none_or(|cleared| *epoch > cleared) {
                if playout.epoch != Some(*epoch) {
                    *playout = Playout {
                        epoch: Some(*epoch),
                        paused: playout.paused,
                        cleared: playout.cleared,
                        speech_ready: playout.speech_ready,
                        ..Playout::default()
                    };
                }
                playout.total += u64::from(*samples);
            }
        }
        self.dialogue.handle(CallTime::from_millis(self.now), input);
        while let Some(output) = self.dialogue.poll_output() {
            self.outputs.push((self.now, output.clone()));
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::AskLlm { ask, epoch, messages, speculative, .. } => {
                let last = messages.iter().rev().find_map(|message| match message {
                    Message::User { text } => Some(text.as_str()),
                    _ => None,
                });
                self.tell(
                    if speculative { "draft" } else { "ask" },
                    &format!("e{}  {}", epoch.0, last.unwrap_or_default()),
                );
                self.asked.push(messages);
                self.model_answers(ask);
            }
            Output::Speak { epoch, clause, text } => {
                self.tell("speak", &format!("e{}  {text}", epoch.0));
                if self.speech_works {
                    let ready = (self.now + TTS_DELAY_MS).max(self.playout.speech_ready);
                    self.playout.speech_ready = ready;
                    let chars = text.chars().count() as u64;
                    let alignment = (0..chars as u32)
                        .map(|char_offset| CharAt { char_offset, at_ms: char_offset * MS_PER_CHAR as u32 })
                        .collect();
                    let samples = (chars * MS_PER_CHAR * SAMPLES_PER_MS) as u32;
                    self.at(ready, Input::TtsAudio { epoch, clause, samples, alignment });
                }
            }
            Output::PlayRecording { epoch, clause } => {
                self.tell("play", &format!("e{}", epoch.0));
                let samples = (RECORDING_MS * SAMPLES_PER_MS) as u32;
                self.at(self.now, Input::TtsAudio { epoch, clause, samples, alignment: Vec::new() });
                self.at(self.now, Input::TtsDone { epoch });
            }
            Output::FlushSpeech { epoch } if self.speech_works => {
                let ready = (self.now + TTS_DELAY_MS).max(self.playout.speech_ready);
                self.at(ready, Input::TtsDone { epoch });
            }
            Output::PausePlayout { epoch } => {
                self.playout.paused = true;
                self.tell("pause", &format!("e{}", epoch.0));
            }
            Output::ResumePlayout { epoch, from_samples } => {
                self.playout.paused = false;
                self.playout.position = self.playout.position.min(from_samples);
                self.tell("resume", &format!("e{}", epoch.0));
            }
            Output::ClearPlayout { epoch } => {
                self.playout.paused = false;
                self.playout.cleared = Some(epoch);
                if self.playout.epoch.is_some_and(|playing| playing <= epoch) {
                    self.playout.epoch = None;
                }
                self.tell("clear", &format!("e{}", epoch.0));
            }
            Output::CancelLlm { .. } => self.tell("cancel", ""),
            Output::RunTool { call_id, name, .. } => self.tell("tool", &format!("{call_id} {name}")),
            Output::Record(turn) => {
                let speaker = if turn.speaker == Speaker::Agent { "agent" } else { "human" };
                let cut = if turn.interrupted { " —" } else { "" };
                self.tell("record", &format!("{speaker}  {}{cut}", turn.text));
            }
            Output::RecordAnswer { field, value, .. } => self.tell("note", &format!("{field}: {value}")),
            Output::SendMessage { template, text, .. } => self.tell("sms", &format!("{template}: {text}")),
            Output::SpeakLanguage { language } => self.tell("voice", &language),
            Output::HangUp { reason } => self.tell("hang up", &format!("{reason:?}")),
            Output::Ended { reason } => self.tell("ended", &format!("{reason:?}")),
            Output::Event(event) => {
                let json = serde_json::to_value(&event).expect("events serialise");
                self.tell("event", json["kind"].as_str().unwrap_or_default());
            }
            Output::FlushSpeech { .. }
            | Output::CancelSpeech { .. }
            | Output::FinalizeStt
            | Output::ListenForBeep
            | Output::PrepareRecording
            | Output::NoteUnsettled(_)
            | Output::NoteHeard(_)
            | Output::Metric(_) => {}
        }
    }

    fn model_answers(&mut self, ask: AskId) {
        let at = self.now + LLM_DELAY_MS;
        match self.answers.pop_front().unwrap_or(Answer::Silent) {
            Answer::Text(text) => {
                self.at(at, Input::LlmDelta { ask, text: text.to_owned() });
                self.at(at, Input::LlmDone { ask, finish: LlmFinish::Stop });
            }
            Answer::Calls(text, calls) => {
                self.at(at, Input::LlmDelta { ask, text: text.to_owned() });
                for (number, (name, arguments)) in calls.into_iter().enumerate() {
                    let id = format!("c{}-{number}", ask.0);
                    let (name, arguments) = (name.to_owned(), arguments.to_owned());
                    self.at(at, Input::LlmToolCall { ask, call: ToolCall { id, name, arguments, extra: None } });
                }
                self.at(at, Input::LlmDone { ask, finish: LlmFinish::ToolCalls });
            }
            Answer::Fails(kind) => self.at(at, Input::LlmFailed { ask, kind }),
            Answer::Breaks(text, kind) => {
                self.at(at, Input::LlmDelta { ask, text: text.to_owned() });
                self.at(at, Input::LlmFailed { ask, kind });
            }
            Answer::Silent => {}
        }
    }

    fn tell(&mut self, verb: &str, what: &str) {
        let line = format!("{:>3}.{:03}  {verb:<7}  {what}", self.now / 1_000, self.now % 1_000);
        self.story.push(line.trim_end().to_owned());
    }

    pub(super) fn forget(&mut self) {
        self.story.clear();
        self.outputs.clear();
    }

    pub(super) fn story(&self) -> String {
        self.story.join("\n")
    }

    /// Fails with the whole story when it differs from the expected one (indentation aside).
    #[track_caller]
    pub(super) fn assert_story(&self, expected: &str) {
        let trim =
            |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        assert_eq!(trim(&self.story()), trim(expected), "\n\nthe whole story:\n{}\n", self.story());
    }

    #[track_caller]
    pub(super) fn assert_tells(&self, part: &str) {
        assert!(self.story().contains(part), "`{part}` is missing in:\n{}\n", self.story());
    }

    #[track_caller]
    pub(super) fn assert_keeps_quiet_about(&self, part: &str) {
        assert!(!self.story().contains(part), "`{part}` should not be in:\n{}\n", self.story());
    }
}
