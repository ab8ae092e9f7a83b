use serde::{Deserialize, Serialize};

use super::Job;

/// Every 30 s: re-derives every missing job from the domain rows, and settles what is stuck.
///
/// Twice? Each thing it does is itself safe to do twice. Half-way? The next one goes on. A day late? It is the cure for
/// everything else being late.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {}

impl Job for Sweep {
    const QUEUE: &'static str = "sweep";
    const MAX_ATTEMPTS: i32 = 3;

    fn key(&self) -> String {
        "sweep".into()
    }
}
