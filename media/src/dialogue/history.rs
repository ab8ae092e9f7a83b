//! What the language model is told was said. Only what was *heard* of the agent's words is ever in here.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::turn::push_words;

use super::output::Speaker;

/// One message, in the shape every chat-completion API has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    System {
        text: String,
    },
    User {
        text: String,
    },
    /// `text` may be empty where `tool_calls` is not. A message that was cut off ends with an em dash.
    Assistant {
        text: String,
        tool_calls: Vec<ToolCall>,
    },
    /// Answers the call of this id in the assistant message before it.
    Tool {
        call_id: String,
        content: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text as the model wrote it.
    pub arguments: String,
    /// What the provider wants to see again with the call, word for word, and nobody else understands (Gemini's
    /// `extra_content` with its thought signature).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Human(String),
    Agent { text: String, cut: bool, calls: Vec<ToolCall> },
}

/// How a conversation was broken off that now comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// The line went dead, and the human noticed.
    Lost,
    /// Another process gave it to us between two turns: there was a moment of silence.
    HandedOver,
    /// The agent was saying goodbye.
    Goodbye,
}

/// A stored turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub speaker: Speaker,
    pub text: String,
    /// The agent was cut off behind it.
    pub interrupted: bool,
}

/// The conversation so far.
#[derive(Debug, Clone, Default)]
pub struct History {
    entries: Vec<Entry>,
    pub(crate) next_seq: u32,
    pub(crate) collected: BTreeMap<String, String>,
    /// `None` for a conversation that begins.
    pub(crate) gap: Option<Gap>,
}

impl History {
    /// A conversation whose stream has ended: its stored turns, oldest first, the answers recorded so far, and the `seq`
    /// of the next turn (one above the highest stored).
    pub fn resume(
        turns: impl IntoIterator<Item = Said>,
        collected: BTreeMap<String, String>,
        next_seq: u32,
        gap: Gap,
    ) -> Self {
        let entries = turns
            .into_iter()
            .map(|Said { speaker, text, interrupted }| match speaker {
                Speaker::Human => Entry::Human(text),
                Speaker::Agent => Entry::Agent { text, cut: interrupted, calls: Vec::new() },
            })
            .collect();
        Self { entries, next_seq, collected, gap: Some(gap) }
    }

    pub(crate) fn last(&self) -> Option<&Entry> {
        self.entries.last()
    }

    /// Turns of the human, and of the agent.
    pub(crate) fn turns(&self) -> (u32, u32) {
        let human = self.entries.iter().filter(|entry| matches!(entry, Entry::Human(_))).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (count(human), count(self.entries.len() - human))
    }

    /// Everything the human has said.
    pub(crate) fn human_text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            if let Entry::Human(said) = entry {
                push_words(&mut text, said);
            }
        }
        text
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn human_spoke(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::Human(_)))
    }

    /// The agent's last words, to know what was asked.
    pub(crate) fn last_agent_text(&self) -> &str {
        let last = self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Agent { text, .. } if !text.is_empty() => Some(text.as_str()),
            _ => None,
        });
        last.unwrap_or_default()
    }

    /// The conversation as messages: the system prompt, the settled entries, then those that are not settled yet.
    /// Neighbours of one role are joined, and every tool call is followed by its one answer from `answers` (or the word that it
    /// is still running).
    pub(crate) fn messages(
        &self,
        system: &str,
        unsettled: &[Entry],
        answers: &dyn Fn(&str) -> Option<String>,
    ) -> Vec<Message> {
        let mut messages = vec![Message::System { text: system.to_owned() }];
        for entry in self.entries.iter().chain(unsettled) {
            match (messages.last_mut(), entry) {
                (Some(Message::User { text }), Entry::Human(more)) => {
                    text.push(' ');
                    text.push_str(more);
                }
                (_, Entry::Human(text)) => messages.push(Message::User { text: text.clone() }),
                (Some(Message::Assistant { text, tool_calls }), Entry::Agent { text: more, cut, calls })
                    if tool_calls.is_empty() =>
                {
                    // Cut off, then taken up again: to the model it is one sentence.
                    let stem = text.trim_end_matches('—').trim_end().to_owned();
                    *text = stem;
                    push_words(text, &shown(more, *cut));
                    calls.clone_into(tool_calls);
                    answer(&mut messages, calls, answers);
                }
                (_, Entry::Agent { text, cut, calls }) => {
                    messages.push(Message::Assistant { text: shown(text, *cut), tool_calls: calls.clone() });
                    answer(&mut messages, calls, answers);
                }
            }
        }
        messages
    }
}

fn shown(text: &str, cut: bool) -> String {
    if cut && !text.is_empty() { format!("{text} —") } else { text.to_owned() }
}

fn answer(messages: &mut Vec<Message>, calls: &[ToolCall], answers: &dyn Fn(&str) -> Option<String>) {
    for call in calls {
        let content = answers(&call.id).unwrap_or_else(|| r#"{"status":"still running"}"#.to_owned());
        messages.push(Message::Tool { call_id: call.id.clone(), content });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined_and_calls_answered_once() {
        let call =
            ToolCall { id: "c1".to_owned(), name: "record_answer".to_owned(), arguments: "{}".to_owned(), extra: None };
        let mut history = History::default();
        history.push(Entry::Human("I want".to_owned()));
        history.push(Entry::Human("a flat".to_owned()));
        history.push(Entry::Agent { text: "Which".to_owned(), cut: true, calls: vec![] });
        history.push(Entry::Agent { text: "area do you like?".to_owned(), cut: false, calls: vec![call.clone()] });
        let messages = history.messages("be kind", &[], &|id| (id == "c1").then(|| "ok".to_owned()));
        assert_eq!(
            messages,
            [
                Message::System { text: "be kind".to_owned() },
                Message::User { text: "I want a flat".to_owned() },
                Message::Assistant { text: "Which area do you like?".to_owned(), tool_calls: vec![call] },
                Message::Tool { call_id: "c1".to_owned(), content: "ok".to_owned() },
            ]
        );
    }
}
