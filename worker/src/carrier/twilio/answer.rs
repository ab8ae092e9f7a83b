//! Reading what Twilio's API answers: numbers come as strings, times as RFC 2822.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::call::CallStatus;

use crate::carrier::http::masked;
use crate::carrier::{CarrierCall, CarrierError, Progress, Rejection};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CallFields {
    pub sid: Option<String>,
    status: Option<String>,
    duration: Option<String>,
    direction: Option<String>,
    date_created: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CallList {
    pub calls: Vec<CallFields>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordingList {
    pub recordings: Vec<RecordingFields>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordingFields {
    pub sid: String,
    #[serde(default)]
    status: Option<String>,
}

impl CallFields {
    /// `None` without an id.
    pub fn read(self) -> Option<CarrierCall> {
        Some(CarrierCall {
            carrier_call_id: self.sid.filter(|sid| !sid.is_empty())?,
            progress: progress(self.status.as_deref().unwrap_or_default()),
            duration_seconds: self.duration.and_then(|seconds| seconds.trim().parse().ok()),
            recording_url: None,
        })
    }

    pub fn created_at(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc2822(self.date_created.as_deref()?).ok().map(|at| at.to_utc())
    }

    /// By this API: neither somebody who calls us, nor the leg of a transfer.
    pub fn was_placed_by_us(&self) -> bool {
        self.direction.as_deref().is_none_or(|direction| direction == "outbound-api")
    }
}

impl RecordingFields {
    pub fn is_complete(&self) -> bool {
        self.status.as_deref().is_none_or(|status| status == "completed")
    }
}

fn progress(status: &str) -> Progress {
    match status {
        "queued" | "initiated" | "ringing" | "in-progress" => Progress::Live,
        "completed" => Progress::Over(CallStatus::Completed),
        "busy" => Progress::Over(CallStatus::Busy),
        "no-answer" => Progress::Over(CallStatus::NoAnswer),
        "failed" => Progress::Over(CallStatus::Failed),
        "canceled" => Progress::Over(CallStatus::Canceled),
        _ => Progress::Unclear,
    }
}

/// A 4xx: nothing was placed. Twilio's own code says more than the status.
pub(super) fn rejected(status: u16, body: &[u8]) -> CarrierError {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(default)]
        code: Option<u32>,
        #[serde(default)]
        message: Option<String>,
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let cause = match (refusal.code, status) {
        (Some(20003), _) | (_, 401) => Rejection::Credentials,
        (Some(20429), _) => return CarrierError::RateLimited { retry_after: None },
        (_, 402) => Rejection::Balance,
        // 21220: it is over, so that there is nothing to change.
        (Some(20404 | 21220), _) | (_, 404) => Rejection::NotFound,
        // The callee's number: missing, malformed, out of reach, blocked. One lead must not look like a failure of the system.
        (Some(21201 | 21211 | 21214 | 21216 | 21217), _) => Rejection::BadNumber,
        (Some(21610), _) => Rejection::OptedOut,
        // The country is switched off for the account, or a trial account may not call whom it has not verified.
        (Some(21215 | 21219), _) | (_, 403) => Rejection::Forbidden,
        // Our own number (21210, 21212), our own addresses (21205), and what else a request can get wrong.
        (_, 400) => Rejection::BadRequest,
        (_, other) => Rejection::Other(other),
    };
    let words = refusal.message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let words = refusal.code.map_or_else(|| words.clone(), |code| format!("{}: {words}", spelled(code)));
    CarrierError::Rejected { cause, detail: masked(&words) }
}

/// So that a code of five digits is not taken for a phone number: `21 211`.
fn spelled(code: u32) -> String {
    format!("{} {:03}", code / 1000, code % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: u32) -> CarrierError {
        let body = format!(
            r#"{{"code":{code},"message":"The 'To' number +919876543210 is not a valid phone number.","more_info":"x","status":{status}}}"#
        );
        rejected(status, body.as_bytes())
    }

    #[test]
    fn a_refusal_is_sorted_by_its_code_before_its_status() {
        for (status, code, expected) in [
            (401, 20003, Rejection::Credentials),
            (403, 20003, Rejection::Credentials),
            (404, 20404, Rejection::NotFound),
            (400, 21220, Rejection::NotFound),
            (400, 21211, Rejection::BadNumber),
            (400, 21214, Rejection::BadNumber),
            (400, 21215, Rejection::Forbidden),
            (400, 21219, Rejection::Forbidden),
            (400, 21210, Rejection::BadRequest),
            (400, 21610, Rejection::OptedOut),
            (400, 21205, Rejection::BadRequest),
            (409, 20001, Rejection::Other(409)),
        ] {
            let CarrierError::Rejected { cause, .. } = refused(status, code) else { panic!("{status} {code}") };
            assert_eq!(cause, expected, "{status} {code}");
        }
        assert!(matches!(refused(400, 20429), CarrierError::RateLimited { .. }));
        assert!(matches!(rejected(401, b"<html>"), CarrierError::Rejected { cause: Rejection::Credentials, .. }));
    }

    #[test]
    fn a_refusal_keeps_its_code_and_words_and_loses_its_numbers() {
        let CarrierError::Rejected { detail, .. } = refused(400, 21211) else { unreachable!("it is a refusal") };
        assert_eq!(detail, "21 211: The 'To' number +(number) is not a valid phone number.");
    }

    #[test]
    fn a_call_is_read_as_the_api_writes_it() {
        let json = r#"{"sid":"CA1","status":"no-answer","duration":"0","direction":"outbound-api","answered_by":null,
            "date_created":"Tue, 31 Aug 2010 20:36:28 +0000","price":null}"#;
        let call: CallFields = serde_json::from_str(json).unwrap();
        assert_eq!(call.created_at().unwrap().to_rfc3339(), "2010-08-31T20:36:28+00:00");
        assert!(call.was_placed_by_us());
        let call = call.read().unwrap();
        assert_eq!((call.progress, call.duration_seconds), (Progress::Over(CallStatus::NoAnswer), Some(0)));
        let queued: CallFields = serde_json::from_str(r#"{"sid":"CA2","status":"queued","duration":null}"#).unwrap();
        assert_eq!(queued.read().unwrap().progress, Progress::Live);
        for direction in ["inbound", "outbound-dial"] {
            let call = CallFields { direction: Some(direction.into()), ..CallFields::default() };
            assert!(!call.was_placed_by_us(), "{direction}");
        }
    }
}
