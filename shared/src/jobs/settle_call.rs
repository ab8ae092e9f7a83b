use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::CallId;

/// Carries a finished call's outcome to its lead: retry, callback, done; and starts what follows a conversation.
///
/// Twice? `calls.settled_at` lets one run win. Half-way? It is one transaction. A day late? The retry is counted from the
/// call's end, and lands in the next window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleCall {
    pub call_id: CallId,
}

impl Job for SettleCall {
    const QUEUE: &'static str = "settle_call";
    const MAX_ATTEMPTS: i32 = 20;

    fn key(&self) -> String {
        format!("settle:{}", self.call_id)
    }
}
