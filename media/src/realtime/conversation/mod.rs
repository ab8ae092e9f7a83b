//! What the agent does when one model hears and speaks, decided from what happened. No sockets, no clock, no tasks.
//!
//! It takes [`crate::dialogue`]'s inputs and gives its outputs, so that a session and all that stands behind it need not know which of
//! the two holds a call. Beside them: what the server says goes in ([`Conversation::hear`]), and orders to its socket come out.
//!
//! Invariant: give one input, then drain [`Conversation::poll`] to `None`, then give the next. Sleep until [`Conversation::deadline`].
//!
//! The server decides when the human's turn ends and answers it by itself. Decided here: what is said word for word, who may be
//! interrupted and how much was heard, which answers are wanted at all, tools, silence, time, and the ways to the end. `server` has
//! what it says, `human` the human's voice and words, `speaking` the agent's, `calls` its tools, `link` the socket's death, `opening`
//! how a call begins or comes back, `timers` every deadline.

mod calls;
mod human;
mod link;
mod opening;
mod reply;
mod server;
mod speaking;
#[cfg(test)]
mod stories;
mod timers;
mod turns;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shared::answering_machine::Suspicion;
use shared::phrases;
use shared::playbook::{Lines, prompt};

use super::wire::{ClientEvent, Item, Session};
use crate::dialogue::{
    CallEvent, CallTime, DialogueSettings, EndReason, Epoch, History, Input, Message, Output, Phase, Snapshot, Speaker,
    ToolSpec, UnsettledWords, tools::Ledger,
};
use link::Link;
use reply::{Reply, Source};
use turns::Turns;

/// Replies that may wait behind each other: the one that is heard, and the answer to what was said over it.
const MOST_REPLIES: usize = 3;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// As every conversation asks for it.
    Do(Output),
    /// Open a socket, in place of what there is.
    Open(Box<Session>),
    /// Say this over it.
    Tell(ClientEvent),
    /// A reply of the model's has all its sound.
    Complete(Epoch),
    /// The sound of a reply that waits behind another one is not wanted.
    Discard(Epoch),
}

/// The end of the human's last turn, for the times of its answer.
#[derive(Debug, Clone, Copy)]
struct Asked {
    speech_end: CallTime,
    decided: CallTime,
}

/// The human's voice.
#[derive(Debug, Default)]
struct Voice {
    /// Our own ear hears it since then.
    since: Option<CallTime>,
    ended: Option<CallTime>,
    /// When the last one that our own ear heard began.
    began: Option<CallTime>,
    /// The server hears it since then.
    speaking: Option<CallTime>,
    /// The playout is paused because of it, since then.
    duck: Option<CallTime>,
    /// Times in a row that it was nothing.
    false_alarms: u32,
    /// Keys pressed, and when the last one was.
    keys: Option<(String, CallTime)>,
}

/// One conversation.
pub struct Conversation {
    settings: DialogueSettings,
    lines: Lines,
    tools: Arc<[ToolSpec]>,
    /// Words that must be exact are spoken by text to speech, not by the model.
    exact_by_voice: bool,

    now: CallTime,
    orders: VecDeque<Order>,
    started: bool,
    ended: bool,
    /// The first thing has been said, or taken up.
    begun: bool,
    /// The greeting has been begun: from here on the model may answer.
    greeted: bool,
    /// Waiting for a hello until then.
    opening: Option<CallTime>,

    link: Link,
    history: History,
    ledger: Ledger,
    turns: Turns,
    /// The first one is heard.
    replies: VecDeque<Reply>,
    voice: Voice,
    /// The server owes an answer since then.
    awaited: Option<CallTime>,
    asked: Option<Asked>,

    /// The human is gone, and their last words are still being written down: until then, and why it ends.
    lingering: Option<(CallTime, EndReason)>,
    quiet_since: CallTime,
    reprompts: u32,
    failed_turns: u32,
    drain_by: Option<CallTime>,
    next_epoch: u32,
    human_turns: u32,
    agent_turns: u32,
    barge_ins: u32,
    do_not_call: bool,
    machine: Option<human::Machine>,
    suspicion: Suspicion,
    unsettled: Option<UnsettledWords>,
    last_interaction: CallTime,
}

impl Conversation {
    /// `resume`: the stored turns of a conversation whose stream has ended. `exact_by_voice`: a voice is chosen for what must be
    /// said word for word.
    pub fn new(mut settings: DialogueSettings, resume: Option<History>, exact_by_voice: bool) -> Self {
        settings.name_the_agent();
        let history = resume.unwrap_or_default();
        let (human_turns, agent_turns) = history.turns();
        Self {
            lines: settings.fixed_lines(),
            tools: settings.offered_tools(),
            exact_by_voice,
            now: CallTime::ZERO,
            orders: VecDeque::new(),
            started: false,
            ended: false,
            begun: false,
            greeted: !history.is_empty(),
            opening: None,
            link: Link::default(),
            history,
            ledger: Ledger::default(),
            turns: Turns::default(),
            replies: VecDeque::new(),
            voice: Voice::default(),
            awaited: None,
            asked: None,
            lingering: None,
            quiet_since: CallTime::ZERO,
            reprompts: 0,
            failed_turns: 0,
            drain_by: None,
            next_epoch: 0,
            human_turns,
            agent_turns,
            barge_ins: 0,
            do_not_call: false,
            machine: None,
            suspicion: Suspicion::default(),
            unsettled: None,
            last_interaction: CallTime::ZERO,
            settings,
        }
    }

    /// Takes one input. Never fails, whatever arrives in whatever order.
    pub fn handle(&mut self, now: CallTime, input: Input) {
        self.at(now);
        if !self.ended {
            self.apply(input);
            self.advance();
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Whose sound is to be heard now. That of the others waits.
    pub fn audible(&self) -> Option<Epoch> {
        self.replies.front().map(|reply| reply.epoch)
    }

    pub fn phase(&self) -> Phase {
        let closing = self.replies.iter().any(|reply| reply.then_end.is_some());
        match self.replies.front() {
            _ if self.ended => Phase::Ended,
            _ if closing => Phase::Closing,
            Some(_) if self.voice.duck.is_some() => Phase::Ducked,
            Some(reply) if reply.started.is_some() => Phase::Speaking,
            Some(_) => Phase::Thinking,
            None if self.machine.as_ref().is_some_and(human::Machine::is_waited_for) => Phase::Machine,
            None if !self.begun || self.opening.is_some() => Phase::Opening,
            None if self.voice.speaking.is_some() => Phase::Heard,
            None if self.awaited.is_some() => Phase::Thinking,
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

    /// Several clocks feed the driver; within a call time never goes back.
    fn at(&mut self, now: CallTime) {
        self.now = self.now.max(now);
    }

    fn apply(&mut self, input: Input) {
        match input {
            Input::Started => self.on_started(),
            Input::VoiceStarted { began } => self.on_voice_started(began.min(self.now)),
            Input::VoiceGoesOn { until } => self.on_voice_goes_on(until.min(self.now)),
            Input::VoiceStopped { ended } => self.on_voice_stopped(ended.min(self.now)),
            Input::Dtmf { digit } => self.on_dtmf(digit),
            Input::Beep => self.on_beep(),
            Input::MachineVerdict => self.on_machine_verdict(),
            Input::RecordingReady => self.on_recording_ready(),
            Input::ToolResult { call_id, outcome } => self.on_tool_result(&call_id, outcome),
            Input::TtsAudio { epoch, samples, .. } => self.on_voice_sound(epoch, samples),
            Input::TtsDone { epoch } => self.on_voice_done(epoch),
            Input::TtsFailed { epoch, .. } => self.on_voice_failed(epoch),
            Input::PlayoutStarted { epoch } => self.on_playout_started(epoch),
            Input::Played { epoch, samples } => self.on_played(epoch, samples),
            Input::PlayoutDrained { epoch } => self.on_playout_drained(epoch),
            Input::StreamStopped { reason } => self.line_is_gone(reason),
            Input::Drain { by } => self.drain_by = Some(self.drain_by.map_or(by, |earlier| earlier.min(by))),
            Input::Deadline => {}
            // Nobody transcribes or thinks beside the model.
            Input::SttInterim { .. }
            | Input::SttLanguage { .. }
            | Input::SttFinal { .. }
            | Input::SttUtteranceEnd
            | Input::SttEagerEndOfTurn
            | Input::SttTurnResumed
            | Input::SttEndOfTurn
            | Input::SttUnavailable
            | Input::SttRecovered
            | Input::LlmDelta { .. }
            | Input::LlmWriting { .. }
            | Input::LlmToolCall { .. }
            | Input::LlmDone { .. }
            | Input::LlmFailed { .. } => self.metric("stale_result"),
        }
    }

    /// What follows from the state alone, and from the time.
    fn advance(&mut self) {
        self.finish_replies();
        self.settle_turns(false);
        if let Some((_, reason)) = self.lingering.filter(|_| !self.turns.awaits_words()) {
            self.end(reason, false);
        }
        if !self.ended && self.drain_by.is_some() && self.is_between_turns() {
            self.end(EndReason::HandedOver, true);
        }
        self.fire_due();
        self.note_unsettled();
        self.note_heard();
    }

    /// Nobody is in the middle of anything that another process could not take up.
    fn is_between_turns(&self) -> bool {
        self.replies.is_empty()
            && self.awaited.is_none()
            && self.voice.speaking.is_none()
            && self.voice.keys.is_none()
            && !self.turns.awaits_words()
    }

    fn settle_turns(&mut self, all: bool) {
        for turn in self.turns.take_settled(self.now, all) {
            self.keep(turn);
        }
    }

    fn note_unsettled(&mut self) {
        if self.ended {
            return;
        }
        let words = self.turns.unsettled();
        if self.unsettled != words {
            self.unsettled.clone_from(&words);
            self.emit(Output::NoteUnsettled(words));
        }
    }

    /// The agent's words are given out sentence by sentence as they are heard, for whoever takes the call up.
    fn note_heard(&mut self) {
        let now = self.now;
        let Some(reply) = self.replies.front_mut().filter(|_| !self.ended) else { return };
        let Some(began) = reply.started else { return };
        let text = reply.heard_text(reply.heard(now));
        let sentences = text.chars().filter(|c| matches!(c, '.' | '?' | '!' | '।')).count();
        if sentences > reply.sentences_noted {
            reply.sentences_noted = sentences;
            self.emit(Output::NoteHeard(UnsettledWords { text, began, ended: now }));
        }
    }

    /// What a new socket is told: the conversation as it was heard, and all that was noted.
    fn session(&self) -> Session {
        let instructions = self.settings.system_prompt(&self.history.collected);
        let said = self.history.messages("", &[], &|id| self.ledger.answer_of(id)).into_iter().filter_map(|message| {
            match message {
                Message::User { text } => Some(Item::Said(Speaker::Human, text)),
                Message::Assistant { text, .. } if !text.is_empty() => Some(Item::Said(Speaker::Agent, text)),
                Message::System { .. } | Message::Assistant { .. } | Message::Tool { .. } => None,
            }
        });
        let mut items: Vec<Item> = said.collect();
        items.extend(self.turns.unsettled().map(|words| Item::Said(Speaker::Human, words.text)));
        // Of what is still being heard, all that was made: the rest would be said again.
        let sounding = self.replies.iter().filter(|reply| reply.source == Source::Model).map(Reply::text);
        items.extend(sounding.filter(|text| !text.is_empty()).map(|text| Item::Said(Speaker::Agent, text)));
        Session { instructions, tools: self.tools.clone(), items }
    }

    fn emit(&mut self, output: Output) {
        self.orders.push_back(Order::Do(output));
    }

    fn tell(&mut self, event: ClientEvent) {
        if self.link.is_up() {
            self.orders.push_back(Order::Tell(event));
        }
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

    /// So close to the limit that the next turn of the agent is the goodbye.
    fn is_wrapping_up(&self) -> bool {
        self.now >= self.settings.limits.wraps_up_at()
    }

    fn is_closing(&self) -> bool {
        self.replies.iter().any(|reply| reply.then_end.is_some())
    }

    /// Is an answer of the model's wanted at all?
    fn may_answer(&self) -> bool {
        self.greeted
            && self.opening.is_none()
            && self.machine.is_none()
            && self.lingering.is_none()
            && !self.is_closing()
            && !self.is_wrapping_up()
    }

    fn say_time_is_up(&mut self) {
        let line = self.lines.time_goodbye.clone();
        self.close(&line, EndReason::MaxDuration);
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
