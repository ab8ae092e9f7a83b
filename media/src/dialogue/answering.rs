//! The model's answer: asking, its text, its tool calls, its failures.

use shared::agent_tool::{self, Deed, Effect};
use shared::conversation_event::{CallEvent, EndReason, Evidence, LlmFailure};

use super::clauses::Splitter;
use super::history::{Entry, ToolCall};
use super::input::{LlmFinish, ToolOutcome};
use super::output::Output;
use super::reply::{Kind, OpenAsk, Reply};
use super::resuming::CARRY_ON;
use super::tools;
use super::{Dialogue, HumanTurn, Latency, Message, phrases};

/// For the model, when it has gone on without what it had asked for.
const RESULT_IS_HERE: &str =
    "What you had looked up is here now: it stands in the function's result. Tell the person briefly.";
/// Tool calls that one answer of the model may make.
const MOST_CALLS: usize = 8;

impl Dialogue {
    /// Answers the open turn: with the draft if it answers the same words, otherwise by asking now.
    pub(super) fn answer(&mut self) {
        let words = self.turn.as_ref().map(|turn| phrases::words(&turn.text())).unwrap_or_default();
        if self.draft.as_ref().is_some_and(|draft| draft.answers == words && !matches!(draft.end, Some(Err(_)))) {
            return self.keep_draft();
        }
        self.discard_draft();
        let reply = self.new_reply(Kind::Answer);
        self.reply = Some(reply);
        self.ask();
    }

    /// An empty reply with the times of the turn that it answers.
    pub(super) fn new_reply(&mut self, kind: Kind) -> Reply {
        let epoch = self.new_epoch();
        let mut reply = Reply::new(epoch, kind, self.now);
        if !self.settings.early_clause {
            reply.splitter = Splitter::by_sentence();
        }
        if let Some(turn) = &self.turn {
            reply.latency = Latency {
                speech_end: Some(turn.ended),
                stt_final: turn.stt_final,
                end_of_turn: Some(turn.decided),
                ..Latency::default()
            };
        }
        reply
    }

    fn keep_draft(&mut self) {
        let Some(draft) = self.draft.take() else { return };
        self.metric("speculation_kept");
        self.result_owed = self.result_owed.filter(|came| *came > draft.asked);
        let mut reply = self.new_reply(Kind::Answer);
        reply.epoch = draft.epoch;
        reply.ask = Some(OpenAsk { id: draft.ask, asked: draft.asked, last_token: draft.last_token });
        reply.latency.speculative = true;
        reply.latency.first_token = draft.first_token;
        self.reply = Some(reply);
        if !draft.text.is_empty() {
            self.take_text(&draft.text);
        }
        for call in draft.calls {
            self.accept_call(call);
        }
        if let Some(Ok(finish)) = draft.end {
            self.on_llm_done(finish);
        }
    }

    /// Sends a request for the current reply.
    pub(super) fn ask(&mut self) {
        let id = self.new_ask();
        let rounds_left =
            self.reply.as_ref().is_some_and(|reply| reply.rounds.len() <= self.settings.limits.tool_rounds as usize);
        // Out of rounds the model can only speak.
        let tools = if rounds_left { self.tools.clone() } else { [].into() };
        let turn = self.turn.as_ref().map(HumanTurn::text);
        let messages = self.messages(turn.as_deref(), self.reply.as_ref());
        let now = self.now;
        self.result_owed = None;
        let Some(reply) = &mut self.reply else { return };
        reply.ask = Some(OpenAsk { id, asked: now, last_token: None });
        let epoch = reply.epoch;
        self.emit(Output::AskLlm { ask: id, epoch, messages, tools, speculative: false });
    }

    /// The whole conversation for a request: history, the turn being answered, and what the reply has said and called so far.
    pub(super) fn messages(&self, turn: Option<&str>, reply: Option<&Reply>) -> Vec<Message> {
        let mut unsettled: Vec<Entry> = turn.map(|text| Entry::Human(text.to_owned())).into_iter().collect();
        if let Some(reply) = reply {
            unsettled.extend(reply.entries(None, false));
            if let Some(Entry::Agent { cut, .. }) = unsettled.last_mut().filter(|_| reply.continues()) {
                *cut = true;
            }
        }
        let mut messages = self.history.messages(&self.system_prompt, &unsettled, &|id| self.ledger.answer_of(id));
        let note = reply.and_then(|reply| if reply.continues() { Some(CARRY_ON) } else { reply.note });
        if let Some(note) = note {
            messages.push(Message::System { text: note.to_owned() });
        }
        messages
    }

    pub(super) fn on_llm_delta(&mut self, delta: &str) {
        if delta.is_empty() {
            return;
        }
        self.note_sign();
        match &mut self.draft {
            Some(draft) => draft.text.push_str(delta),
            None => self.take_text(delta),
        }
    }

    /// The model is at work, whether it writes words or a call.
    pub(super) fn note_sign(&mut self) {
        let now = self.now;
        if let Some(draft) = &mut self.draft {
            draft.first_token.get_or_insert(now);
            draft.last_token = Some(now);
        } else if let Some(reply) = &mut self.reply {
            reply.latency.first_token.get_or_insert(now);
            if let Some(ask) = &mut reply.ask {
                ask.last_token = Some(now);
            }
        }
    }

    fn speak_answer(&mut self, clause: String) {
        self.failed_turns = 0;
        if let Some(reply) = &mut self.reply {
            reply.only_bridged = false;
        }
        self.speak(clause);
    }

    /// Splits the text and speaks what is whole.
    fn take_text(&mut self, text: &str) {
        if let Some(reply) = &mut self.reply {
            reply.splitter.push(text);
        }
        while let Some(clause) = self.reply.as_mut().and_then(|reply| reply.splitter.next_clause()) {
            self.speak_answer(clause);
        }
    }

    pub(super) fn on_llm_tool_call(&mut self, call: ToolCall) {
        self.note_sign();
        match &mut self.draft {
            Some(draft) if draft.calls.len() < MOST_CALLS => draft.calls.push(call),
            Some(_) => {}
            None => self.accept_call(call),
        }
    }

    /// From here on the call has exactly one answer in the ledger, whatever becomes of the reply.
    fn accept_call(&mut self, call: ToolCall) {
        let id = self.ledger.open(&call.id, &call.name, self.now);
        let call = ToolCall { id: id.clone(), ..call };
        let (name, arguments) = (call.name.clone(), call.arguments.clone());
        let Some(reply) = &mut self.reply else { return };
        let round = reply.round();
        let refused =
            reply.rounds[round].len() >= MOST_CALLS || reply.rounds.len() > self.settings.limits.tool_rounds as usize;
        reply.rounds[round].push(call);
        if refused {
            return self.refuse_call(&id, name, "too many calls");
        }
        if !agent_tool::is_built_in(&name) {
            if self.settings.tools.iter().any(|tool| tool.name == name) {
                self.emit(Output::RunTool { call_id: id, name, arguments });
            } else {
                self.refuse_call(&id, name, "there is no such tool");
            }
            return;
        }
        let means = self.settings.means();
        let deed = agent_tool::parse(&name, &arguments).and_then(|call| agent_tool::deed(call, &means));
        match deed {
            Ok(deed) => self.carry_out(&id, deed),
            Err(problem) => self.refuse_call(&id, name, problem),
        }
    }

    fn refuse_call(&mut self, id: &str, name: String, problem: &'static str) {
        self.ledger.answer(id, ToolOutcome::Failed(problem.to_owned()));
        self.event(CallEvent::ToolFailed { name, problem });
    }

    fn carry_out(&mut self, id: &str, deed: Deed) {
        match deed {
            Deed::Ends { event, reason } => {
                self.event(event);
                self.want_end(reason);
            }
            Deed::Forbids { note, told } => {
                self.forbid_calls(Evidence::Tool, note);
                self.ledger.answer(id, ToolOutcome::Ok(told));
            }
            Deed::Done { effect, told } => {
                if let Effect::Answer { field, value } = &effect {
                    self.history.collected.insert(field.clone(), value.clone());
                }
                self.emit(tools::output(effect, self.now));
                self.ledger.answer(id, ToolOutcome::Ok(told));
            }
        }
    }

    /// The end waits for the rest of the answer, so that a barge-in can still prevent it; the call is answered then.
    fn want_end(&mut self, reason: EndReason) {
        if let Some(reply) = &mut self.reply {
            reply.wants_end = Some(reason);
        }
    }

    pub(super) fn on_llm_done(&mut self, finish: LlmFinish) {
        if let Some(draft) = &mut self.draft {
            draft.end = Some(if finish == LlmFinish::Refused { Err(LlmFailure::Refused) } else { Ok(finish) });
            return;
        }
        let Some(reply) = &mut self.reply else { return };
        reply.ask = None;
        if let Some(clause) = reply.splitter.finish(finish == LlmFinish::Length) {
            self.speak_answer(clause);
        }
        let Some(reply) = &self.reply else { return };
        let called = !reply.rounds[reply.round()].is_empty();
        match (called, reply.says_something()) {
            (true, _) => self.after_calls(),
            (false, true) => self.complete_reply(),
            (false, false) if finish == LlmFinish::Refused => self.reply_failed(LlmFailure::Refused),
            (false, false) => self.reply_failed(LlmFailure::Empty),
        }
    }

    /// The answer with its calls is complete: end, wait for results, speak on, or leave it at that.
    fn after_calls(&mut self) {
        if self.reply.as_ref().is_some_and(|reply| reply.wants_end.is_some()) {
            return self.end_as_wanted();
        }
        let Some(reply) = &mut self.reply else { return };
        let round = reply.round();
        let calls = &reply.rounds[round];
        if calls.iter().any(|call| self.ledger.is_running(&call.id)) {
            reply.awaits_tools = true;
            return;
        }
        reply.awaits_tools = false;
        // With a question asked and only notes taken, a further request would only make the model repeat itself.
        let only_notes = calls.iter().all(|call| agent_tool::is_built_in(&call.name));
        let asked = reply.speech.sent(round).ends_with('?');
        let out_of_rounds = reply.rounds.len() > self.settings.limits.tool_rounds as usize;
        if only_notes && asked || out_of_rounds && reply.says_something() {
            return self.complete_reply();
        }
        if out_of_rounds {
            return self.reply_failed(LlmFailure::Empty);
        }
        reply.rounds.push(Vec::new());
        self.ask();
    }

    pub(super) fn on_tool_result(&mut self, call_id: &str, outcome: ToolOutcome) {
        if let ToolOutcome::Failed(_) = &outcome {
            self.metric("tool_failed");
            if let Some(name) = self.ledger.name_of(call_id) {
                self.event(CallEvent::ToolFailed { name, problem: "the tool failed" });
            }
        }
        if self.ledger.answer(call_id, outcome) {
            self.tool_answered(call_id);
        }
    }

    fn tool_answered(&mut self, call_id: &str) {
        match &self.reply {
            Some(reply) if reply.awaits_tools => self.after_calls(),
            // It will be seen when the model's answer is complete.
            Some(reply) if reply.has_called(call_id) && !reply.flushed => {}
            _ => self.result_owed = Some(self.now),
        }
    }

    /// The reply that had asked a tool was given up, because the person spoke or coughed; what it found out is told all the same,
    /// once nobody speaks.
    pub(super) fn tell_result(&mut self) {
        let nobody_speaks =
            self.reply.is_none() && self.utterance.is_none() && self.draft.is_none() && self.cut.is_none();
        if self.result_owed.is_none() || !nobody_speaks || self.machine_found || self.opening.is_some() {
            return;
        }
        self.result_owed = None;
        if self.is_wrapping_up() {
            return;
        }
        let mut reply = self.new_reply(Kind::Answer);
        reply.note = Some(RESULT_IS_HERE);
        self.reply = Some(reply);
        self.ask();
    }

    /// Nothing has been heard for a while because a tool takes its time.
    pub(super) fn fill_wait(&mut self) {
        let line = self.lines.filler.clone();
        let Some(reply) = &mut self.reply else { return };
        reply.filled = true;
        if line.is_empty() {
            return;
        }
        // It answers nothing.
        reply.only_bridged |= reply.speech.is_empty();
        self.speak(line);
    }

    pub(super) fn tool_late(&mut self) {
        let Some((_, id, name)) = self.running_tool() else { return };
        self.refuse_call(&id, name, "no result in time");
        self.tool_answered(&id);
    }

    pub(super) fn on_llm_failed(&mut self, failure: LlmFailure) {
        if let Some(draft) = &mut self.draft {
            draft.end = Some(Err(failure));
            return;
        }
        if let Some(reply) = &mut self.reply {
            reply.ask = None;
        }
        self.reply_failed(failure);
    }

    pub(super) fn token_late(&mut self) {
        let Some(ask) = self.reply.as_mut().and_then(|reply| reply.ask.take()) else { return };
        self.emit(Output::CancelLlm { ask: ask.id });
        self.reply_failed(LlmFailure::TimedOut);
    }

    /// The request gave nothing usable, or broke off. Behind what was already said the answer is carried on, once; where nothing
    /// was, there is one more try, an apology, and in the next turn the end.
    fn reply_failed(&mut self, failure: LlmFailure) {
        let Some(reply) = &mut self.reply else { return };
        let retried = reply.retried;
        // Nothing more to say after what was said before the tools is no failure.
        if failure == LlmFailure::Empty && reply.says_something() {
            return self.complete_reply();
        }
        self.outputs.push_back(Output::Event(CallEvent::ReplyFailed { failure, retried }));
        // Half a sentence is not spoken: whoever goes on begins it again.
        if let Some(clause) = reply.splitter.finish_whole() {
            reply.only_bridged = false;
            self.speak(clause);
        }
        let Some(reply) = &mut self.reply else { return };
        if reply.wants_end.is_some() {
            return self.end_as_wanted();
        }
        if reply.says_something() {
            let broke_off = matches!(failure, LlmFailure::Unavailable | LlmFailure::TimedOut);
            if broke_off && reply.continued.is_none() {
                reply.continued = Some(reply.round());
                self.metric("reply_carried_on");
                return self.ask();
            }
            return self.complete_reply();
        }
        if !failure.worth_a_retry() {
            return self.close_after_failure();
        }
        if !retried {
            reply.retried = true;
            return self.ask();
        }
        self.failed_turns += 1;
        if self.failed_turns > 1 {
            return self.close_after_failure();
        }
        let line = self.lines.apology.clone();
        self.speak(line);
        self.complete_reply();
    }

    fn close_after_failure(&mut self) {
        let line = self.lines.failure_goodbye.clone();
        self.close(&line, EndReason::LlmUnavailable);
    }
}
