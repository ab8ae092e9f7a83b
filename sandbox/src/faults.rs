//! Failures on request. A test arms a fault by name; the simulated service takes it when its turn
//! comes, does the harm, and the count goes down.
//!
//! `match` narrows a fault to keys that contain it (absent: any). Carrier faults are keyed by
//! `"{from} {sid} {reference} {status callback url}"`, so a fault can name a phone number, a call or the product's own
//! reference. The speech and language services describe theirs beside their routers.
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `lost_callback` | one StatusCallback is never sent | – |
//! | `late_callback` | one StatusCallback is delayed | milliseconds |
//! | `duplicate_callback` | one StatusCallback is sent again | how many extra times (1) |
//! | `callback_before_stop` | the terminal StatusCallback arrives before the stream's `stop` | – |
//! | `reordered` | the terminal StatusCallback arrives before the `answered` one (mode C, and mode B where events were asked) | – |
//! | `rate_limited` | 429, nothing is placed | – |
//! | `server_error` | 5xx, nothing is placed | HTTP status (503) |
//! | `insufficient_balance` | 402, nothing is placed | – |
//! | `accepted_no_reply` | the call is placed, the connection hangs, then breaks without an answer | milliseconds until it breaks (60 000) |
//! | `accepted_5xx` | the call is placed, and the answer is a 5xx | HTTP status (502) |
//! | `empty_body` | the call is placed, and the answer is 200 without a body | – |
//! | `slow_reply` | the answer to the placement is delayed | milliseconds |
//! | `drop_stream` | the stream breaks without `stop` or close frame, and the flow goes on | milliseconds after `start` |
//! | `stream_never_opens` | both handshakes of a stream fail (Passthru hears 3009) | – |
//! | `bad_frames` | malformed JSON, odd-sized audio and an unknown event are sent to the media server | – |
//! | `wrong_machine` | the carrier takes a human for a machine, or a machine for a human | – |
//! | `advisor_unreachable` | one phone of a human that a call is put through to is not picked up (keyed by its number, too) | `no-answer` (default), `busy` or `failed` |
//! | `twiml_lost` | Twilio cannot get the next document, and asks `FallbackUrl` | – |
//! | `lost_answer` | Twilio asks one of its questions for TwiML twice | – |
//! | `unsure_words` | Twilio's recogniser is not sure of one result of `<Gather>` | – |
//! | `recording_never` | the recording is announced and answers 404 for ever | – |
//! | `recording_late` | the recording appears this much later | milliseconds |
//! | `recording_truncated` | the recording's body ends early (in the middle of its announced length) | – |

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One armed fault, as `POST /__sandbox/faults` takes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub name: String,
    /// How many times it strikes before it is spent.
    #[serde(default = "once")]
    pub count: u32,
    /// Only keys that contain this text; any key when absent.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    #[serde(default)]
    pub value: Value,
}

fn once() -> u32 {
    1
}

/// The faults that are armed now.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Mutex<Vec<Fault>>,
}

impl Faults {
    /// Arms a fault behind those already armed: the first that matches strikes first.
    pub fn arm(&self, fault: Fault) {
        if fault.count > 0 {
            self.lock().push(fault);
        }
    }

    /// `None` unless a fault of that name is armed for this key; otherwise its `value` (null if it
    /// has none), and one strike fewer is left.
    pub fn take(&self, name: &str, key: &str) -> Option<Value> {
        let mut armed = self.lock();
        let at = armed
            .iter()
            .position(|fault| fault.name == name && fault.matching.as_deref().is_none_or(|part| key.contains(part)))?;
        armed[at].count -= 1;
        let value = armed[at].value.clone();
        if armed[at].count == 0 {
            armed.remove(at);
        }
        Some(value)
    }

    /// A handshake that the fault `<service>.slow_accept` makes late by its `value` (3 000 ms).
    pub(crate) async fn slow_accept(&self, service: &str, key: &str) {
        if let Some(value) = self.take(&format!("{service}.slow_accept"), key) {
            tokio::time::sleep(Duration::from_millis(value.as_u64().unwrap_or(3_000))).await;
        }
    }

    /// What is still armed, with the strikes left.
    pub fn armed(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// Disarms everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(name: &str, count: u32, matching: Option<&str>) -> Fault {
        Fault { name: name.into(), count, matching: matching.map(Into::into), value: json!(7) }
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_was_armed() {
        let faults = Faults::default();
        faults.arm(fault("rate_limited", 2, None));
        assert_eq!(faults.take("rate_limited", "a"), Some(json!(7)));
        assert_eq!(faults.take("lost_callback", "a"), None);
        assert_eq!(faults.take("rate_limited", "b"), Some(json!(7)));
        assert_eq!(faults.take("rate_limited", "c"), None);
    }

    #[test]
    fn a_fault_for_one_number_spares_the_others() {
        let faults = Faults::default();
        faults.arm(fault("drop_stream", 1, Some("9999900007")));
        assert_eq!(faults.take("drop_stream", "09999900001 s1"), None);
        assert_eq!(faults.take("drop_stream", "09999900007 s2"), Some(json!(7)));
        assert!(faults.armed().is_empty());
    }
}
