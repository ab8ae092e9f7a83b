//! What the model may do beside talking. Every call it makes has one answer in the ledger, and the server is told it once.

use shared::agent_tool::{self, Deed, Effect};

use super::reply::{Called, Reply};
use super::{Conversation, ms};
use crate::dialogue::{CallEvent, CallTime, EndReason, Epoch, Evidence, LlmFailure, Output, ToolOutcome, tools};
use crate::realtime::wire::{ClientEvent, Item};

/// Calls that one reply may make.
const MOST_CALLS: usize = 16;

impl Conversation {
    pub(super) fn on_call(&mut self, response_id: &str, call_id: String, name: String, arguments: String) {
        let Some(epoch) = self.replies.iter().find(|r| r.response.as_deref() == Some(response_id)).map(|r| r.epoch)
        else {
            return;
        };
        let ledger_id = self.ledger.open(&call_id, &name, self.now);
        let built_in = agent_tool::is_built_in(&name);
        let Some(reply) = self.reply(epoch) else { return };
        reply.calls.push(Called { call_id, ledger_id: ledger_id.clone(), built_in });
        reply.called += 1;
        if reply.called > MOST_CALLS {
            return self.refuse_call(&ledger_id, name, "too many calls");
        }
        if !built_in {
            if self.settings.tools.iter().any(|tool| tool.name == name) {
                return self.emit(Output::RunTool { call_id: ledger_id, name, arguments });
            }
            return self.refuse_call(&ledger_id, name, "there is no such tool");
        }
        let means = self.settings.means();
        let deed = agent_tool::parse(&name, &arguments).and_then(|call| agent_tool::deed(call, &means));
        match deed {
            Ok(deed) => self.carry_out(epoch, &ledger_id, deed),
            Err(problem) => self.refuse_call(&ledger_id, name, problem),
        }
    }

    fn refuse_call(&mut self, id: &str, name: String, problem: &'static str) {
        self.ledger.answer(id, ToolOutcome::Failed(problem.to_owned()));
        self.event(CallEvent::ToolFailed { name, problem });
    }

    fn carry_out(&mut self, epoch: Epoch, id: &str, deed: Deed) {
        match deed {
            Deed::Ends { event, reason } => {
                self.event(event);
                self.want_end(epoch, reason);
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
    fn want_end(&mut self, epoch: Epoch, reason: EndReason) {
        if let Some(reply) = self.reply(epoch) {
            reply.wants_end = Some(reason);
        }
    }

    /// The answer with its calls is complete: end, wait for results, ask for more, or leave it at that.
    pub(super) fn after_calls(&mut self, epoch: Epoch) {
        let Some(reply) = self.reply(epoch) else { return };
        if let Some(reason) = reply.wants_end.take() {
            return self.end_as_wanted(epoch, reason);
        }
        let ids: Vec<String> = reply.calls.iter().map(|call| call.ledger_id.clone()).collect();
        let waits = ids.iter().any(|id| self.ledger.is_running(id));
        let rounds = self.settings.limits.tool_rounds;
        let Some(reply) = self.reply(epoch) else { return };
        reply.awaits_tools = waits;
        if waits {
            return;
        }
        let only_notes = reply.calls.iter().all(|call| call.built_in);
        let out_of_rounds = reply.rounds > rounds;
        // With a question asked and only notes taken, another answer would only repeat it.
        let leaves_it = only_notes && reply.text().ends_with('?') || out_of_rounds && reply.samples() > 0;
        let calls = std::mem::take(&mut reply.calls);
        self.tell_outcomes(&calls);
        if leaves_it {
            return self.complete(epoch);
        }
        if out_of_rounds {
            return self.reply_failed(epoch, LlmFailure::Empty);
        }
        let now = self.now;
        if let Some(reply) = self.reply(epoch) {
            reply.rounds += 1;
            reply.awaits_response = true;
            (reply.asked, reply.moved) = (now, now);
        }
        self.tell(ClientEvent::Ask { epoch, exactly: None });
    }

    fn tell_outcomes(&mut self, calls: &[Called]) {
        for call in calls {
            let output =
                self.ledger.answer_of(&call.ledger_id).unwrap_or_else(|| r#"{"status":"not done"}"#.to_owned());
            self.tell(ClientEvent::Create(Item::Output { call_id: call.call_id.clone(), output }));
        }
    }

    /// `end_call` or `transfer_to_human` was called, and the answer is complete: it is the goodbye.
    fn end_as_wanted(&mut self, epoch: Epoch, reason: EndReason) {
        let Some(reply) = self.reply(epoch) else { return };
        let nothing_said = reply.samples() == 0;
        let calls = std::mem::take(&mut reply.calls);
        for call in &calls {
            self.ledger.answer(&call.ledger_id, ToolOutcome::Ok("the call ends after your words".to_owned()));
        }
        self.tell_outcomes(&calls);
        if nothing_said {
            let line = if reason == EndReason::TransferToHuman { &self.lines.transfer } else { &self.lines.goodbye };
            let line = line.clone();
            return self.close(&line, reason);
        }
        if let Some(reply) = self.reply(epoch) {
            reply.then_end = Some(reason);
            reply.protected = true;
        }
        // A pause that is still undecided ends here.
        self.resume();
        self.complete(epoch);
    }

    pub(super) fn on_tool_result(&mut self, call_id: &str, outcome: ToolOutcome) {
        if let ToolOutcome::Failed(_) = &outcome {
            self.metric("tool_failed");
            if let Some(name) = self.ledger.name_of(call_id) {
                self.event(CallEvent::ToolFailed { name, problem: "the tool failed" });
            }
        }
        self.ledger.answer(call_id, outcome);
        self.tools_moved();
    }

    pub(super) fn tool_late(&mut self) {
        let Some((_, id, name)) = self.ledger.oldest_running() else { return };
        self.refuse_call(&id, name, "no result in time");
        self.tools_moved();
    }

    fn tools_moved(&mut self) {
        // The line that bridges the wait is not broken off: its end brings the answer.
        let waiting = self.replies.iter().find(|reply| reply.awaits_tools && !reply.is_being_made());
        if let Some(epoch) = waiting.map(|reply| reply.epoch) {
            self.after_calls(epoch);
        }
    }

    /// When the wait for a tool has become an awkward silence.
    pub(super) fn tool_slow_at(&self) -> Option<(CallTime, Epoch)> {
        let waits = |reply: &&Reply| reply.awaits_tools && !reply.filled && !reply.paused;
        let reply = self.replies.front().filter(waits).filter(|_| self.settings.fillers)?;
        let (since, ..) = self.ledger.oldest_running()?;
        let silent_since = if reply.started.is_some() { since.max(reply.expected_end()) } else { since };
        Some((silent_since + ms(self.settings.limits.filler_ms), reply.epoch))
    }

    /// A line for the human meanwhile, in the same reply.
    pub(super) fn fill_wait(&mut self, epoch: Epoch) {
        let (line, now, is_up) = (self.lines.filler.clone(), self.now, self.link.is_up());
        let Some(reply) = self.reply(epoch) else { return };
        reply.filled = true;
        if line.is_empty() || !is_up {
            return;
        }
        reply.awaits_response = true;
        (reply.asked, reply.moved) = (now, now);
        self.tell(ClientEvent::Ask { epoch, exactly: Some(line) });
    }

    /// The model is late, or does not stop. Of a line that only bridges a wait, that is no failure: the answer matters more.
    pub(super) fn model_failed(&mut self, epoch: Epoch, failure: LlmFailure) {
        let Some(reply) = self.reply(epoch).filter(|reply| reply.awaits_tools) else {
            return self.reply_failed(epoch, failure);
        };
        reply.awaits_response = false;
        reply.finish_pieces();
        if let Some(response_id) = reply.response.take() {
            self.tell(ClientEvent::Cancel { response_id });
        }
        self.metric("filler_late");
        self.after_calls(epoch);
    }

    /// A reply is given up. What its calls have done stays done, but the call does not end with it.
    pub(super) fn withdraw_calls(&mut self, reply: &Reply) {
        let ends = reply.wants_end.is_some();
        for call in &reply.calls {
            // Whatever runs on is answered when it is done; the model must not wait for it.
            let problem = if ends {
                "not done: the person went on talking"
            } else {
                "not waited for: the person went on talking"
            };
            self.ledger.answer(&call.ledger_id, ToolOutcome::Failed(problem.to_owned()));
        }
        self.tell_outcomes(&reply.calls);
    }
}
