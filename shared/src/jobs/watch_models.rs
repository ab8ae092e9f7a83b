use serde::{Deserialize, Serialize};

use super::Job;

/// Once a day: asks OpenAI which models end when, and has the accounts told whose calls need one of them.
///
/// Twice? What was told is noted, and not told again. Half-way? All or nothing. A day late? An account hears of it a day later: 60
/// days ahead that is early enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchModels {}

impl Job for WatchModels {
    const QUEUE: &'static str = "watch_models";
    const MAX_ATTEMPTS: i32 = 4;

    fn key(&self) -> String {
        "watch_models".into()
    }
}
