//! What the language model is told was said. Only what was *heard* of the agent's words is ever in here.

use serde::Serialize;

/// One message, in the shape every chat-completion API has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    System { text: String },
    User { text: String },
    /// `text` may be empty where `tool_calls` is not.
    Assistant { text: String, tool_calls: Vec<ToolCall> },
    /// Answers the call of this id in the assistant message before it.
    Tool { call_id: String, content: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text as the model wrote it.
    pub arguments: String,
}

/// The conversation so far. To resume one: `History::resume(turns, collected)`, turns oldest first as they were stored.
pub struct History {}
impl History {
    /// `next_seq`: one above the highest stored `seq`. `collected`: the answers recorded so far.
    pub fn resume(turns: impl IntoIterator<Item = (Speaker, String)>, collected: BTreeMap<String, String>, next_seq: u32) -> Self;
}
