//! The ledger that answers each call of a tool exactly once.

use std::collections::BTreeMap;

use serde_json::json;
use shared::agent_tool::Effect;

use super::input::{CallTime, ToolOutcome};
use super::output::Output;

/// What goes out for an effect at `now`.
pub(crate) fn output(effect: Effect, now: CallTime) -> Output {
    match effect {
        Effect::Answer { field, value } => Output::RecordAnswer { field, value, at: now },
        Effect::Event(event) => Output::Event(event),
        Effect::Message { template, text, dlt_template_id } => Output::SendMessage { template, text, dlt_template_id },
    }
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
