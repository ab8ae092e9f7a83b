use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::CallId;

/// Makes one recording of what `media` recorded of a call, where the carrier's does not come; where it does, clears up.
///
/// Twice? A piece that is in the recording already changes nothing in it. Half-way? The recording is stored, then said to be, and
/// only then do its pieces go. A day late? The pieces wait in the object store. A piece that comes late, from a machine that was
/// away, is laid into the recording's gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssembleRecording {
    pub call_id: CallId,
}

impl Job for AssembleRecording {
    const QUEUE: &'static str = "assemble_recording";
    const MAX_ATTEMPTS: i32 = 12;

    fn key(&self) -> String {
        format!("assemble:{}", self.call_id)
    }
}
