use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::MessageId;

/// Sends a text message that somebody asked for in a call.
///
/// Twice? The second run finds it sent. Half-way? It was `sending`, and becomes `unknown`: it is not sent again. A day late? It is
/// still what the human asked for, unless they have opted out since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendMessage {
    pub message_id: MessageId,
}

impl Job for SendMessage {
    const QUEUE: &'static str = "send_message";
    const MAX_ATTEMPTS: i32 = 8;

    fn key(&self) -> String {
        format!("message:{}", self.message_id)
    }
}
