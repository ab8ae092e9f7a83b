use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::CallId;

/// Turns a conversation's transcript into a summary, a disposition, extracted fields and a score, and finishes the lead.
///
/// Twice? The result is written once, under a guard. Half-way? The model is asked again. A day late? The transcript keeps;
/// a callback asked for in it may be due at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummarizeCall {
    pub call_id: CallId,
}

impl Job for SummarizeCall {
    const QUEUE: &'static str = "summarize_call";
    const MAX_ATTEMPTS: i32 = 6;

    fn key(&self) -> String {
        format!("summarize:{}", self.call_id)
    }
}
