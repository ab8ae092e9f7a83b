use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::CallId;

/// Dials a reserved call.
///
/// Twice? The second run finds the call no longer queued, and asks the carrier instead of dialing. Half-way? The call stays
/// `dialing`, and `reconcile_call` asks. A day late? Every guard is read again: outside its window the call is withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceCall {
    pub call_id: CallId,
}

impl Job for PlaceCall {
    const QUEUE: &'static str = "place_call";
    const MAX_ATTEMPTS: i32 = 20;

    fn key(&self) -> String {
        format!("place:{}", self.call_id)
    }
}
