use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::CallId;

/// Copies a call's recording from the carrier to our object store.
///
/// Twice? The object is named after the call and its checksum stored, so the second copy is the first. Half-way? Nothing is
/// marked stored before the object is. A day late? Carriers keep recordings for weeks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRecording {
    pub call_id: CallId,
}

impl Job for FetchRecording {
    const QUEUE: &'static str = "fetch_recording";
    const MAX_ATTEMPTS: i32 = 12;

    fn key(&self) -> String {
        format!("recording:{}", self.call_id)
    }
}
