//! What a call of a tool comes to, and the ledger that answers each call exactly once.

use std::collections::BTreeMap;

use serde_json::json;
use shared::agent_tool::{BuiltIn, callback_noted};
use shared::playbook::prompt;

use super::input::{CallTime, ToolOutcome};
use super::output::{CallEvent, EndReason, Output};
use super::settings::DialogueSettings;

/// What a call of a built-in tool comes to, whoever holds the conversation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    /// This goes out, and the model is told so much.
    Done { output: Box<Output>, told: String },
    /// Nobody is to call again.
    Forbids { note: Option<String>, told: String },
    /// The conversation ends with this reply. The model is told when it is complete.
    Ends { event: CallEvent, reason: EndReason },
}

/// What `call` comes to at `now`. The error is a sentence for the model.
pub(crate) fn deed(call: BuiltIn, settings: &DialogueSettings, now: CallTime) -> Result<Deed, &'static str> {
    Ok(match call {
        BuiltIn::EndCall { disposition } => {
            Deed::Ends { event: CallEvent::EndRequested { disposition }, reason: EndReason::AgentFinished }
        }
        BuiltIn::TransferToHuman { .. } if !settings.can_transfer => return Err("nobody is there to transfer to"),
        BuiltIn::TransferToHuman { note } => {
            Deed::Ends { event: CallEvent::TransferRequested { note }, reason: EndReason::TransferToHuman }
        }
        BuiltIn::RecordAnswer { field, .. } if !settings.playbook.knows_field(&field) => {
            return Err("there is no such field");
        }
        BuiltIn::RecordAnswer { field, value } => {
            Deed::Done { output: Box::new(Output::RecordAnswer { field, value, at: now }), told: "noted".to_owned() }
        }
        BuiltIn::ScheduleCallback { when, note } => {
            let told = callback_noted(&when, &settings.language);
            Deed::Done { output: Box::new(Output::Event(CallEvent::CallbackRequested { when, note })), told }
        }
        BuiltIn::SendMessage { message } => {
            let output = text_message(settings, &message).ok_or("there is no such message")?;
            Deed::Done { output: Box::new(output), told: "it is on its way and arrives within a minute".to_owned() }
        }
        BuiltIn::MarkDoNotCall { note } => {
            let told = "noted; apologise briefly, say goodbye and end the call".to_owned();
            Deed::Forbids { note, told }
        }
    })
}

/// The text message that the model calls so.
fn text_message(settings: &DialogueSettings, name: &str) -> Option<Output> {
    let template = settings.messages.iter().find(|template| template.name == name)?;
    Some(Output::SendMessage {
        template: template.name.clone(),
        text: prompt::render(&template.text, &settings.facts),
        dlt_template_id: template.dlt_template_id.clone(),
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Running { since: CallTime, name: String },
    Answered(String),
}

/// Every call accepted from the model, with its one answer.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: BTreeMap<String, State>,
}

impl Ledger {
    /// Enters a call and gives the id under which it runs: the model's own, made unique where a provider counts from zero
    /// in every reply.
    pub(crate) fn open(&mut self, id: &str, name: &str, now: CallTime) -> String {
        let mut unique = if id.is_empty() { "call".to_owned() } else { id.to_owned() };
        if self.calls.contains_key(&unique) {
            unique = format!("{unique}-{}", self.calls.len());
        }
        self.calls.insert(unique.clone(), State::Running { since: now, name: name.to_owned() });
        unique
    }

    /// Answers a running call. `false` if it is unknown or has its answer already.
    pub(crate) fn answer(&mut self, id: &str, outcome: ToolOutcome) -> bool {
        let Some(state @ State::Running { .. }) = self.calls.get_mut(id) else { return false };
        *state = State::Answered(match outcome {
            ToolOutcome::Ok(text) => text,
            ToolOutcome::Failed(problem) => json!({"error": problem}).to_string(),
        });
        true
    }

    pub(crate) fn answer_of(&self, id: &str) -> Option<String> {
        match self.calls.get(id)? {
            State::Running { .. } => None,
            State::Answered(text) => Some(text.clone()),
        }
    }

    pub(crate) fn name_of(&self, id: &str) -> Option<String> {
        match self.calls.get(id)? {
            State::Running { name, .. } => Some(name.clone()),
            State::Answered(_) => None,
        }
    }

    pub(crate) fn is_running(&self, id: &str) -> bool {
        matches!(self.calls.get(id), Some(State::Running { .. }))
    }

    /// The running call that began first: (since, id, name).
    pub(crate) fn oldest_running(&self) -> Option<(CallTime, String, String)> {
        self.calls
            .iter()
            .filter_map(|(id, state)| match state {
                State::Running { since, name } => Some((*since, id.clone(), name.clone())),
                State::Answered(_) => None,
            })
            .min_by_key(|(since, ..)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_answer_and_a_repeated_id_is_another_call() {
        let mut ledger = Ledger::default();
        let first = ledger.open("call_0", "x", CallTime::ZERO);
        let second = ledger.open("call_0", "x", CallTime::ZERO);
        assert_ne!(first, second);
        assert!(ledger.answer(&first, ToolOutcome::Ok("a".to_owned())));
        assert!(!ledger.answer(&first, ToolOutcome::Ok("b".to_owned())));
        assert!(!ledger.answer("unknown", ToolOutcome::Ok("b".to_owned())));
        assert_eq!(ledger.answer_of(&first).as_deref(), Some("a"));
        assert_eq!(ledger.answer_of(&second), None);
    }
}
