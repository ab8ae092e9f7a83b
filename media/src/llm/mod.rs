//! The language model: a conversation in, words and tool calls out, as they are generated.

mod answer;
mod anthropic;
mod bill;
mod client;
pub(crate) mod openai;
mod sse;

use std::sync::Arc;

pub use answer::Answer;
pub use bill::Estimate;
pub(crate) use client::cause_of;
pub use client::{Budget, BuildError, Llm, http_client};

use crate::{
    dialogue::{LlmFailure, LlmFinish, Message, ToolCall, ToolSpec},
    provider::ProviderError,
};

/// One request.
#[derive(Debug, Clone)]
pub struct LlmRequest {
    /// The whole conversation, system prompt first.
    pub messages: Vec<Message>,
    /// Functions the model may call.
    pub tools: Arc<[ToolSpec]>,
    /// Requests with the same key and the same beginning share the provider's prompt cache.
    pub cache_key: String,
}

/// A piece of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LlmPiece {
    /// Words.
    Delta(String),
    /// A fragment of a function call, so big: no word yet, but the model is at work.
    Writing(Estimate),
    /// One complete function call, with the provider's id; its arguments are not validated.
    ToolCall(ToolCall),
    /// The end, after everything else.
    Done {
        /// Why it stopped.
        finish: LlmFinish,
        /// What it cost, where the provider said so.
        usage: Option<Usage>,
    },
}

/// Tokens of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Read.
    pub prompt_tokens: u64,
    /// Of those, taken from the provider's cache.
    pub cached_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
}

/// What the dialogue should make of a failed request.
pub fn failure(error: &ProviderError) -> LlmFailure {
    match error {
        ProviderError::Rejected { code } if code == "content_filter" => LlmFailure::Refused,
        ProviderError::Rejected { .. } => LlmFailure::Misconfigured,
        ProviderError::RateLimited { .. } => LlmFailure::RateLimited,
        ProviderError::Unavailable { .. } | ProviderError::Cut { .. } => LlmFailure::Unavailable,
        ProviderError::TimedOut { .. } => LlmFailure::TimedOut,
    }
}

#[cfg(test)]
mod tests;
