use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::CallId;

/// Finds out from the carrier what became of a call whose answer we never got.
///
/// Twice? It only asks, and adopts under a guard. Half-way? It asks again. A day late? The carrier still knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileCall {
    pub call_id: CallId,
}

impl Job for ReconcileCall {
    const QUEUE: &'static str = "reconcile_call";
    const MAX_ATTEMPTS: i32 = 1000000;

    fn key(&self) -> String {
        format!("reconcile:{}", self.call_id)
    }
}
