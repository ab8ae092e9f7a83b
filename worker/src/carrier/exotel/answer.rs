//! Reading what Exotel's API answers. Tolerant: numbers come as strings, fields as null or not at all.

use serde::Deserialize;
use serde_json::Value;
use shared::call::CallStatus;

use super::RestException;
use crate::carrier::http::masked;
use crate::carrier::{CarrierCall, CarrierError, Progress, Rejection};

#[derive(Debug, Deserialize)]
pub(super) struct Body<T> {
    #[serde(rename = "Call")]
    pub call: T,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CallFields {
    pub sid: Option<String>,
    status: Option<String>,
    duration: Value,
    direction: Option<String>,
    recording_url: Option<String>,
}

impl CallFields {
    /// `None` without an id.
    pub fn read(self) -> Option<CarrierCall> {
        let carrier_call_id = self.sid.filter(|sid| !sid.is_empty())?;
        let duration_seconds = match &self.duration {
            Value::Number(seconds) => seconds.as_i64().and_then(|seconds| i32::try_from(seconds).ok()),
            Value::String(seconds) => seconds.trim().parse().ok(),
            _ => None,
        };
        Some(CarrierCall {
            carrier_call_id,
            progress: progress(self.status.as_deref().unwrap_or_default()),
            duration_seconds,
            recording_url: self.recording_url.filter(|url| !url.trim().is_empty()),
        })
    }
}

fn progress(status: &str) -> Progress {
    match status.to_ascii_lowercase().replace('_', "-").as_str() {
        // From the moment it is accepted, long before anybody answers.
        "queued" | "ringing" | "in-progress" => Progress::Live,
        "completed" => Progress::Over(CallStatus::Completed),
        "busy" => Progress::Over(CallStatus::Busy),
        "no-answer" => Progress::Over(CallStatus::NoAnswer),
        "failed" => Progress::Over(CallStatus::Failed),
        "canceled" | "cancelled" => Progress::Over(CallStatus::Canceled),
        _ => Progress::Unclear,
    }
}

/// The outgoing calls of a list; `None` if it is no list.
pub(super) fn list_of(body: &[u8]) -> Option<Vec<CarrierCall>> {
    #[derive(Deserialize)]
    struct List {
        #[serde(rename = "Calls")]
        calls: Vec<CallFields>,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    let outgoing = list.calls.into_iter().filter(|call| {
        // Somebody who calls us from the same number is not the call that we look for.
        call.direction.as_deref().is_none_or(|direction| direction.starts_with("outbound"))
    });
    Some(outgoing.filter_map(CallFields::read).collect())
}

/// A 4xx: nothing was placed.
pub(super) fn rejected(status: u16, body: &[u8]) -> CarrierError {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "RestException")]
        exception: RestException,
    }
    let text = String::from_utf8_lossy(body);
    let message = serde_json::from_slice::<Refusal>(body).ok().and_then(|refusal| refusal.exception.message);
    let cause = match status {
        // One lead's number must not look like a failure of the system.
        400 if names_the_callee(message.as_deref().unwrap_or(&text)) => Rejection::BadNumber,
        400 => Rejection::BadRequest,
        401 => Rejection::Credentials,
        402 => Rejection::Balance,
        403 if text.contains("TRAI NDNC") => Rejection::DoNotDisturb,
        403 => Rejection::Forbidden,
        404 => Rejection::NotFound,
        other => Rejection::Other(other),
    };
    CarrierError::Rejected { cause, detail: masked(&message.unwrap_or_else(|| text.into_owned())) }
}

/// `Invalid parameter From`: in flow mode, `From` is who is called.
fn names_the_callee(message: &str) -> bool {
    message.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == "From")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_words_and_loses_its_numbers() {
        let body = br#"{"RestException":{"Status":403,"Message":"Call to 09876543210 cannot be made because of TRAI NDNC regulations"}}"#;
        let CarrierError::Rejected { cause, detail } = rejected(403, body) else { unreachable!("it is a refusal") };
        assert_eq!(cause, Rejection::DoNotDisturb);
        assert_eq!(detail, "Call to (number) cannot be made because of TRAI NDNC regulations");
    }

    #[test]
    fn a_number_that_cannot_be_called_is_not_taken_for_a_bad_setting() {
        let cause = |message: &str| {
            let body = format!(r#"{{"RestException":{{"Status":400,"Message":"{message}"}}}}"#);
            let CarrierError::Rejected { cause, .. } = rejected(400, body.as_bytes()) else {
                unreachable!("it is a refusal")
            };
            cause
        };
        assert_eq!(cause("Invalid parameter From"), Rejection::BadNumber);
        assert_eq!(cause("CallerId is not an ExoPhone of this account"), Rejection::BadRequest);
    }

    #[test]
    fn a_list_leaves_out_those_who_called_us() {
        let body = br#"{"Metadata":{"Total":2},"Calls":[
            {"Sid":"a1","Status":"in-progress","Direction":"outbound-api","Duration":null},
            {"Sid":"b2","Status":"completed","Direction":"inbound","Duration":"45"}]}"#;
        let calls = list_of(body).unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].carrier_call_id.as_str(), calls[0].progress), ("a1", Progress::Live));
        assert!(list_of(b"<html>").is_none());
    }

    #[test]
    fn an_over_call_has_its_duration_as_a_number() {
        let call: CallFields =
            serde_json::from_str(r#"{"Sid":"a1","Status":"no-answer","Duration":"17","RecordingUrl":" "}"#).unwrap();
        let call = call.read().unwrap();
        assert_eq!(call.progress, Progress::Over(CallStatus::NoAnswer));
        assert_eq!((call.duration_seconds, call.recording_url), (Some(17), None));
    }
}
