//! The simulated language model: a rule-based caller for a real-estate agency. Deterministic: the
//! same request gets the same answer.
//!
//! It knows nothing of the product but what a request says: the system prompt, the messages, the
//! tools and the JSON schema. [`reply`] holds a conversation, [`fill`] answers a request for structured
//! output. Start reading at [`dialogue`]. It thinks in English; [`hindi`] is put around that.

mod briefing;
mod dialogue;
mod facts;
mod hindi;
mod lines;
mod outcome;
mod schema;
mod understanding;
mod words;

use serde_json::Value;

pub use dialogue::reply;
pub use schema::{NotStrict, check_strict, fill};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `system` and `developer`.
    System,
    User,
    Assistant,
    /// The answer to a tool call.
    Tool,
}

/// A tool call, as the assistant made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: String,
    pub arguments: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub role: Role,
    pub text: String,
    /// Only an assistant has any.
    pub calls: Vec<Call>,
}

/// A function that may be called.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Text, calls, or both.
    Auto,
    None,
    /// At least one call.
    Required,
    Named(String),
}

/// What the model is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub choice: Choice,
    /// Whether one answer may hold several calls.
    pub parallel: bool,
}

/// What it answers. Never wholly empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    pub text: String,
    pub calls: Vec<Call>,
}

impl Conversation {
    fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name && self.choice != Choice::None)
    }
}
