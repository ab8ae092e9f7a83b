use serde::{Deserialize, Serialize};

use super::Job;

/// Deletes what is past its account's retention, and the sound of recordings that were deleted in any way.
///
/// Twice? What is deleted is passed over. Half-way? A recording is said to be deleted before its object goes, so that nobody is
/// promised what is not there, and the key stays until the object is gone. A day late? Things are kept for a day longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retain {}

impl Job for Retain {
    const QUEUE: &'static str = "retain";
    const MAX_ATTEMPTS: i32 = 10;

    fn key(&self) -> String {
        "retain".into()
    }
}
