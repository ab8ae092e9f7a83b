//! What carriers find out about whoever answered, brought to the calls that this process holds.
//!
//! A hint, like every notification: a call that misses it still has its own ears.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::id::CallId;
use tokio_util::sync::CancellationToken;

/// The calls that would like to know.
#[derive(Default)]
pub struct Verdicts {
    waiting: Mutex<HashMap<CallId, CancellationToken>>,
}

impl Verdicts {
    /// A call's place, until it is dropped.
    pub(crate) fn expect(self: &Arc<Self>, call: CallId) -> Verdict {
        let machine = CancellationToken::new();
        self.lock().insert(call, machine.clone());
        Verdict { call, machine, verdicts: Arc::clone(self) }
    }

    /// The carrier takes whoever answered this call for a machine.
    pub(crate) fn machine(&self, call: CallId) {
        if let Some(machine) = self.lock().get(&call) {
            machine.cancel();
        }
    }

    /// Nothing that could fail happens while it is held.
    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, CancellationToken>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call's end of it.
pub(crate) struct Verdict {
    call: CallId,
    /// Cancelled: it is a machine.
    pub(crate) machine: CancellationToken,
    verdicts: Arc<Verdicts>,
}

impl Drop for Verdict {
    fn drop(&mut self) {
        self.verdicts.lock().remove(&self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_call_that_is_meant_hears_of_it_and_a_call_that_is_over_leaves_nothing_behind() {
        let verdicts = Arc::new(Verdicts::default());
        let (one, other) = (verdicts.expect(CallId(1)), verdicts.expect(CallId(2)));
        verdicts.machine(CallId(1));
        verdicts.machine(CallId(3));
        assert!(one.machine.is_cancelled() && !other.machine.is_cancelled());
        drop((one, other));
        assert!(verdicts.lock().is_empty());
    }
}
