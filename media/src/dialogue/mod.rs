//! What the agent does, decided from what happened. No sockets, no clock, no tasks.
//!
//! Invariant: give one input, then drain [`Dialogue::poll_output`] to `None`, then give the next. Sleep until
//! [`Dialogue::deadline`] and give [`Input::Deadline`] when it has come.
//!
//! Where to read: [`input`] and [`output`] are the whole contract with the driver. `listening` follows the human until their
//! turn ends, `answering` the model's answer, `speaking` its speech and playout, `barge_in` the two talking at once, `closing`
//! the ways to the end, `languages` follows the human into theirs, `machine` what happens when a machine answers, `resuming` how a broken conversation is taken up; `timers` holds every deadline. [`endpointing`] and [`phrases`] are the rules of turn-taking as data.
//!
//! What holds always (and is tested with random orders of events in `properties`):
//! - The phase is derived from what is there (a reply, an utterance, ...), never stored; each phase has a deadline.
//! - A result of something superseded is dropped in [`Dialogue::is_stale`], nowhere else.
//! - At most one epoch is audible. History holds only what was heard. Every tool call has exactly one answer.

mod answering;
mod barge_in;
mod clauses;
mod closing;
mod endpointing;
pub mod history;
pub mod input;
mod languages;
mod listening;
pub(crate) mod machine;
pub mod output;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rehearsal;
mod reply;
mod resuming;
pub mod settings;
mod speaking;
mod speech;
#[cfg(test)]
mod stories;
mod timers;
pub(crate) mod tools;
pub(crate) mod utterance;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use shared::agent_tool;
use shared::answering_machine::Suspicion;
use shared::language::Language;
use shared::phrases;
use shared::playbook::Lines;
use shared::turn::{push_words, with_keys};

pub use history::{Gap, History, Message, Said, ToolCall};
pub use input::{AskId, CallTime, CharAt, Epoch, Input, LlmFinish, SAMPLES_PER_MS, StreamEnd, ToolOutcome};
pub use output::{Latency, Output, Speaker, TurnRecord, UnsettledWords};
pub use settings::{BargeInSettings, DialogueSettings, EndpointingSettings, Limits, Opening};
pub use shared::agent_tool::ToolSpec;
pub use shared::answering_machine::OnMachine;
pub use shared::conversation_event::{CallEvent, EndReason, Evidence, LlmFailure};
pub use shared::persona::Facts;
pub use timers::Reason;

use endpointing::Endpointing;
use reply::{Draft, Kind, Reply};
use tools::Ledger;
use utterance::Utterance;

/// Where the conversation is. Derived from the state on every call, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the stream, or waiting for the human's hello.
    Opening,
    /// Nobody speaks; it is the human's turn.
    Listening,
    /// The human speaks, or just stopped.
    Heard,
    /// Their turn is over; no sound of the answer yet.
    Thinking,
    Speaking,
    /// Playout paused on suspicion of a barge-in.
    Ducked,
    /// A machine answered; its beep is waited for.
    Machine,
    /// The goodbye is being made and played.
    Closing,
    Ended,
}

/// For the sessions view. Holds no spoken word but the collected answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    pub phase: Phase,
    /// Of the playbook: `intro`, `qualification`, `site_visit`, `closing`.
    pub stage: String,
    pub collected: BTreeMap<String, String>,
    pub human_turns: u32,
    pub agent_turns: u32,
    pub barge_ins: u32,
    /// It is the human's turn and they say nothing.
    pub waiting_for_response: bool,
    /// When anybody last said something.
    pub last_interaction: CallTime,
    pub do_not_call: bool,
}

/// The human's turn that is being answered. It settles (enters history and storage) when the first word of the answer is
/// heard; until then the human may go on, and it grows.
#[derive(Debug, Clone)]
struct HumanTurn {
    spoken: String,
    keys: String,
    began: CallTime,
    ended: CallTime,
    stt_final: Option<CallTime>,
    decided: CallTime,
}

impl HumanTurn {
    fn text(&self) -> String {
        with_keys(&self.spoken, &self.keys)
    }
}

/// Playout is paused because the human's voice began.
#[derive(Debug, Clone, Copy)]
struct Duck {
    since: CallTime,
}

/// What a barge-in took away, in case it was none.
#[derive(Debug, Clone)]
struct Cut {
    unheard: String,
    /// The model had finished, so that `unheard` is all there was to say.
    whole: bool,
}

/// One conversation.
pub struct Dialogue {
    settings: DialogueSettings,
    lines: Lines,
    system_prompt: String,
    tools: Arc<[ToolSpec]>,

    now: CallTime,
    outputs: VecDeque<Output>,
    started: bool,
    ended: bool,

    history: History,
    ledger: Ledger,
    endpointing: Endpointing,

    /// Waiting for a hello until then.
    opening: Option<CallTime>,
    greeting_heard: bool,
    utterance: Option<Utterance>,
    /// Words of the provider's open segment that a closed turn has already used, and when.
    taken: Option<(CallTime, Vec<String>)>,
    turn: Option<HumanTurn>,
    draft: Option<Draft>,
    drafts_this_turn: u32,
    reply: Option<Reply>,
    duck: Option<Duck>,
    cut: Option<Cut>,
    /// Times that voice without words was taken for a barge-in, and not forgiven yet.
    false_alarms: u32,
    /// The agent hears itself.
    echo: bool,
    /// A noise has already taken the answer to the last turn back, before its first sound.
    noise_before_sound: bool,
    /// A tool has answered when nobody waited for it any more: the human is still to be told.
    result_owed: Option<CallTime>,

    /// Since when it is the human's turn, while nobody speaks.
    quiet_since: CallTime,
    reprompts: u32,
    not_understood: u32,
    failed_turns: u32,
    /// What the provider takes the open utterance for.
    heard_language: Option<Language>,
    /// Turns in a row that were English, while an Indian language is spoken.
    english_turns: u32,
    stt_down: Option<CallTime>,
    drain_by: Option<CallTime>,

    next_epoch: u32,
    next_ask: u32,
    human_turns: u32,
    agent_turns: u32,
    barge_ins: u32,
    do_not_call: bool,
    machine_found: bool,
    suspicion: Suspicion,
    machine: Option<machine::Waiting>,
    /// As last given out.
    unsettled: Option<UnsettledWords>,
    last_interaction: CallTime,
}

impl Dialogue {
    /// `resume`: the stored turns of a conversation whose stream has ended; it is taken up where it was, see `resuming`.
    pub fn new(mut settings: DialogueSettings, resume: Option<History>) -> Self {
        settings.name_the_agent();
        let history = resume.unwrap_or_default();
        let (human_turns, agent_turns) = history.turns();
        let system_prompt = settings.system_prompt(&history.collected);
        Self {
            lines: settings.fixed_lines(),
            system_prompt,
            tools: settings.offered_tools(),
            now: CallTime::ZERO,
            outputs: VecDeque::new(),
            started: false,
            ended: false,
            endpointing: Endpointing::new(settings.endpointing),
            ledger: Ledger::default(),
            opening: None,
            greeting_heard: !history.is_empty(),
            history,
            utterance: None,
            taken: None,
            turn: None,
            draft: None,
            drafts_this_turn: 0,
            reply: None,
            duck: None,
            cut: None,
            false_alarms: 0,
            echo: false,
            noise_before_sound: false,
            result_owed: None,
            quiet_since: CallTime::ZERO,
            reprompts: 0,
            not_understood: 0,
            failed_turns: 0,
            heard_language: None,
            english_turns: 0,
            stt_down: None,
            drain_by: None,
            next_epoch: 0,
            next_ask: 0,
            human_turns,
            agent_turns,
            barge_ins: 0,
            do_not_call: false,
            machine_found: false,
            suspicion: Suspicion::default(),
            machine: None,
            unsettled: None,
            last_interaction: CallTime::ZERO,
            settings,
        }
    }

    /// Takes one input. Never fails, whatever arrives in whatever order.
    pub fn handle(&mut self, now: CallTime, input: Input) {
        // Several clocks feed the driver; within a call time never goes back.
        self.now = self.now.max(now);
        if self.ended {
            return;
        }
        if self.is_stale(&input) {
            self.metric("stale_result");
        } else {
            self.apply(input);
        }
        self.advance();
        self.fire_due();
        self.note_unsettled();
        self.give_out_heard();
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn phase(&self) -> Phase {
        match &self.reply {
            _ if self.ended => Phase::Ended,
            Some(reply) if reply.then_end.is_some() => Phase::Closing,
            Some(_) if self.duck.is_some() => Phase::Ducked,
            Some(reply) if reply.started.is_some() => Phase::Speaking,
            Some(_) => Phase::Thinking,
            None if self.machine.is_some() => Phase::Machine,
            None if !self.started || self.opening.is_some() => Phase::Opening,
            None if self.utterance.is_some() => Phase::Heard,
            None => Phase::Listening,
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let phase = self.phase();
        Snapshot {
            phase,
            stage: self.settings.playbook.stage(self.history.human_spoke(), &self.history.collected).to_owned(),
            collected: self.history.collected.clone(),
            human_turns: self.human_turns,
            agent_turns: self.agent_turns,
            barge_ins: self.barge_ins,
            waiting_for_response: phase == Phase::Listening,
            last_interaction: self.last_interaction,
            do_not_call: self.do_not_call,
        }
    }

    /// Does this result belong to something that has been given up? The only place that asks.
    fn is_stale(&self, input: &Input) -> bool {
        match input {
            Input::LlmDelta { ask, .. }
            | Input::LlmWriting { ask }
            | Input::LlmToolCall { ask, .. }
            | Input::LlmDone { ask, .. }
            | Input::LlmFailed { ask, .. } => {
                let answering = self.reply.as_ref().and_then(|reply| reply.ask).is_some_and(|open| open.id == *ask);
                let drafting = self.draft.as_ref().is_some_and(|draft| draft.ask == *ask && draft.end.is_none());
                !answering && !drafting
            }
            Input::TtsAudio { epoch, clause, .. } | Input::TtsFailed { epoch, clause } => {
                !self.reply.as_ref().is_some_and(|reply| reply.epoch == *epoch && reply.speech.expects(*clause))
            }
            Input::TtsDone { epoch }
            | Input::PlayoutStarted { epoch }
            | Input::Played { epoch, .. }
            | Input::PlayoutDrained { epoch } => {
                !self.reply.as_ref().is_some_and(|reply| reply.epoch == *epoch && !reply.speech.is_empty())
            }
            Input::ToolResult { call_id, .. } => !self.ledger.is_running(call_id),
            Input::Started => self.started,
            Input::VoiceStarted { .. }
            | Input::VoiceGoesOn { .. }
            | Input::VoiceStopped { .. }
            | Input::SttInterim { .. }
            | Input::SttFinal { .. }
            | Input::SttLanguage { .. }
            | Input::SttUtteranceEnd
            | Input::SttEagerEndOfTurn
            | Input::SttTurnResumed
            | Input::SttEndOfTurn
            | Input::SttUnavailable
            | Input::SttRecovered
            | Input::Dtmf { .. }
            | Input::Beep
            | Input::MachineVerdict
            | Input::RecordingReady
            | Input::StreamStopped { .. }
            | Input::Drain { .. }
            | Input::Deadline => false,
        }
    }

    fn apply(&mut self, input: Input) {
        match input {
            Input::Started => self.on_started(),
            Input::VoiceStarted { began } => self.on_voice_started(began.min(self.now)),
            Input::VoiceGoesOn { until } => self.on_voice_goes_on(until.min(self.now)),
            Input::VoiceStopped { ended } => self.on_voice_stopped(ended.min(self.now)),
            Input::SttInterim { text } => self.on_interim(&text),
            Input::SttFinal { text, speech_final } => self.on_final(&text, speech_final),
            Input::SttLanguage { language } => self.on_stt_language(&language),
            Input::SttUtteranceEnd => self.on_words_ended(),
            Input::SttEagerEndOfTurn => self.on_eager(true),
            Input::SttTurnResumed => self.on_eager(false),
            Input::SttEndOfTurn => self.on_turn_model_ended(),
            Input::SttUnavailable => self.on_stt_unavailable(),
            Input::SttRecovered => self.on_stt_recovered(),
            Input::Dtmf { digit } => self.on_dtmf(digit),
            Input::Beep => self.on_beep(),
            Input::MachineVerdict => self.on_machine_verdict(),
            Input::RecordingReady => self.on_recording_ready(),
            Input::LlmDelta { text, .. } => self.on_llm_delta(&text),
            Input::LlmWriting { .. } => self.note_sign(),
            Input::LlmToolCall { call, .. } => self.on_llm_tool_call(call),
            Input::LlmDone { finish, .. } => self.on_llm_done(finish),
            Input::LlmFailed { kind, .. } => self.on_llm_failed(kind),
            Input::ToolResult { call_id, outcome } => self.on_tool_result(&call_id, outcome),
            Input::TtsAudio { clause, samples, alignment, .. } => self.on_tts_audio(clause, samples, &alignment),
            Input::TtsDone { .. } => self.on_tts_done(),
            Input::TtsFailed { clause, .. } => self.on_tts_failed(clause),
            Input::PlayoutStarted { .. } => self.on_playout_started(),
            Input::Played { samples, .. } => self.on_played(samples),
            Input::PlayoutDrained { .. } => self.on_playout_drained(),
            Input::StreamStopped { reason } => self.end(reason.into(), false),
            Input::Drain { by } => self.drain_by = Some(self.drain_by.map_or(by, |earlier| earlier.min(by))),
            Input::Deadline => {}
        }
    }

    /// What follows from the state alone, without waiting for anything.
    fn advance(&mut self) {
        if self.ended {
            return;
        }
        if self.reply.as_ref().is_some_and(Reply::is_finished) {
            self.finish_reply();
        }
        if self.drain_by.is_some() && self.is_between_turns() {
            return self.end(EndReason::HandedOver, true);
        }
        self.tell_result();
        self.consider_draft();
    }

    /// Nobody is in the middle of anything that another process could not take up: all that was said is settled, or is a turn of
    /// the human's to which not a word of the answer has been heard.
    fn is_between_turns(&self) -> bool {
        // What a note asks of the model, nobody else knows of.
        let unanswered = |reply: &Reply| {
            reply.kind == Kind::Answer && reply.speech.is_empty() && !reply.called_tools() && reply.note.is_none()
        };
        self.utterance.is_none()
            && self.result_owed.is_none()
            && self.running_tool().is_none()
            && match &self.reply {
                Some(reply) => unanswered(reply),
                None => self.turn.is_none(),
            }
    }

    /// The human's words are given out as soon as they are final, long before their turn settles.
    fn note_unsettled(&mut self) {
        if self.ended {
            return;
        }
        let words = self.unsettled_words();
        // Voice alone changes only when they ended.
        if self.unsettled.as_ref().map(|words| &words.text) != words.as_ref().map(|words| &words.text) {
            self.unsettled.clone_from(&words);
            self.emit(Output::NoteUnsettled(words));
        }
    }

    /// So are the agent's words, once the human has heard a whole clause more of them.
    fn give_out_heard(&mut self) {
        let Some(reply) = self.reply.as_mut().filter(|_| !self.ended) else { return };
        let Some(began) = reply.started else { return };
        let heard = reply.heard(self.now);
        let clauses = reply.speech.clauses_heard(heard);
        if clauses > reply.clauses_noted {
            reply.clauses_noted = clauses;
            let words = UnsettledWords { text: reply.speech.heard_all(heard), began, ended: self.now };
            self.emit(Output::NoteHeard(words));
        }
    }

    fn unsettled_words(&self) -> Option<UnsettledWords> {
        let said = self.utterance.as_ref().filter(|utterance| utterance.has_final_words());
        let mut words = UnsettledWords {
            text: self.turn.as_ref().map(HumanTurn::text).unwrap_or_default(),
            began: self.turn.as_ref().map(|turn| turn.began).or(said.map(|utterance| utterance.began))?,
            ended: said.map(Utterance::ended).or(self.turn.as_ref().map(|turn| turn.ended))?,
        };
        if let Some(utterance) = said {
            push_words(&mut words.text, &utterance.final_text());
        }
        Some(words)
    }

    /// The tool outside that has been running for longest: since when, under which id, which.
    fn running_tool(&self) -> Option<(CallTime, String, String)> {
        self.ledger.oldest_running().filter(|(_, _, name)| !agent_tool::is_built_in(name))
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn event(&mut self, event: CallEvent) {
        self.emit(Output::Event(event));
    }

    fn metric(&mut self, name: &'static str) {
        self.emit(Output::Metric(name));
    }

    fn new_epoch(&mut self) -> Epoch {
        self.next_epoch += 1;
        Epoch(self.next_epoch)
    }

    fn new_ask(&mut self) -> AskId {
        self.next_ask += 1;
        AskId(self.next_ask)
    }

    fn next_seq(&mut self) -> u32 {
        let seq = self.history.next_seq;
        self.history.next_seq += 1;
        seq
    }

    /// Had the agent just asked for something that people say in pieces?
    fn expects_pieces(&self) -> bool {
        phrases::asks_piecewise(self.history.last_agent_text())
    }

    /// So close to the limit that the next turn of the agent is the goodbye.
    fn is_wrapping_up(&self) -> bool {
        self.now >= self.settings.limits.wraps_up_at()
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
