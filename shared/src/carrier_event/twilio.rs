//! Twilio's callbacks about a call and the requests for what it does next (wire reference, §2.3).

use super::{CarrierEvent, Source, Webhook};
use crate::call::CallStatus;
use crate::transfer::Dialed;

/// Reads a stored webhook of Twilio's.
#[must_use]
pub fn parse(webhook: &Webhook) -> CarrierEvent {
    let text = |name: &str| webhook.fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let mut event = CarrierEvent {
        carrier_call_id: text("CallSid").map(str::to_owned),
        reference: webhook.reference.clone(),
        answered_by: text("AnsweredBy").and_then(answered_by),
        ..CarrierEvent::default()
    };
    match webhook.source {
        Source::CallProgress => {
            event.status = text("CallStatus").and_then(status);
            event.duration_seconds = text("CallDuration").and_then(|seconds| seconds.parse().ok());
            if event.status == Some(CallStatus::Failed) {
                event.failure_reason =
                    text("SipResponseCode").filter(|code| is_number(code)).map(|code| format!("sip_{code}"));
            }
        }
        // It asks what to do with a call that is up: somebody has answered.
        Source::Voice => event.status = text("CallStatus").and_then(status),
        Source::Recording if text("RecordingStatus") == Some("completed") => {
            // Without an extension it names the recording, not its sound.
            event.recording_url = text("RecordingUrl").map(|url| format!("{url}.mp3"));
        }
        Source::Dial => event.dialed = dialed(text("DialCallStatus"), text("DialBridged")),
        Source::Recording | Source::MachineDetection | Source::StatusCallback | Source::Passthru => {}
    }
    event
}

/// `None` where the human left while a phone rang: they wanted nothing more.
fn dialed(status: Option<&str>, bridged: Option<&str>) -> Option<Dialed> {
    match status? {
        "completed" | "answered" if bridged == Some("false") => {
            Some(Dialed::Unanswered { status: "not-bridged".into(), is_last: true })
        }
        "completed" | "answered" => Some(Dialed::Answered),
        status @ ("busy" | "no-answer" | "failed") => {
            Some(Dialed::Unanswered { status: status.to_owned(), is_last: true })
        }
        _ => None,
    }
}

fn status(text: &str) -> Option<CallStatus> {
    Some(match text {
        "ringing" => CallStatus::Ringing,
        "in-progress" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "no-answer" => CallStatus::NoAnswer,
        "failed" => CallStatus::Failed,
        "canceled" => CallStatus::Canceled,
        // `queued` and `initiated` say that the request was taken, which its answer has said.
        _ => return None,
    })
}

/// `machine_start`, `machine_end_beep` and their like, and a fax machine.
fn answered_by(text: &str) -> Option<&'static str> {
    match text {
        "human" => Some("human"),
        "fax" => Some("machine"),
        text if text.starts_with("machine") => Some("machine"),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(source: Source, fields: &[(&str, &str)]) -> CarrierEvent {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        parse(&Webhook { source, reference: Some("ref-1".into()), fields })
    }

    #[test]
    fn an_advisor_was_reached_or_not_or_nobody_waited_for_one() {
        let heard = |fields: &[(&str, &str)]| event(Source::Dial, fields).dialed;
        let unanswered = |status: &str| Some(Dialed::Unanswered { status: status.into(), is_last: true });
        assert_eq!(heard(&[("DialCallStatus", "completed"), ("DialBridged", "true")]), Some(Dialed::Answered));
        assert_eq!(heard(&[("DialCallStatus", "completed"), ("DialBridged", "false")]), unanswered("not-bridged"));
        for status in ["busy", "no-answer", "failed"] {
            assert_eq!(heard(&[("DialCallStatus", status)]), unanswered(status));
        }
        assert_eq!(heard(&[("DialCallStatus", "canceled")]), None);
        let said = event(Source::Dial, &[("DialCallStatus", "completed"), ("CallStatus", "completed")]);
        assert_eq!(said.status, None, "the call itself is told of elsewhere");
    }

    #[test]
    fn each_event_of_a_call_is_a_step_and_the_last_has_its_duration() {
        for (text, expected) in [
            ("initiated", None),
            ("queued", None),
            ("ringing", Some(CallStatus::Ringing)),
            ("in-progress", Some(CallStatus::InProgress)),
            ("busy", Some(CallStatus::Busy)),
            ("no-answer", Some(CallStatus::NoAnswer)),
            ("canceled", Some(CallStatus::Canceled)),
        ] {
            assert_eq!(
                event(Source::CallProgress, &[("CallSid", "CA1"), ("CallStatus", text)]).status,
                expected,
                "{text}"
            );
        }
        // As a live callback has it: `Duration` is what is billed, in minutes.
        let over = event(
            Source::CallProgress,
            &[("CallSid", "CA1"), ("CallStatus", "completed"), ("CallDuration", "49"), ("Duration", "1")],
        );
        assert_eq!((over.status, over.duration_seconds), (Some(CallStatus::Completed), Some(49)));
        assert_eq!((over.carrier_call_id.as_deref(), over.reference.as_deref()), (Some("CA1"), Some("ref-1")));
    }

    #[test]
    fn a_failed_call_says_why_in_sip() {
        let failed = [("CallStatus", "failed"), ("SipResponseCode", "404")];
        assert_eq!(event(Source::CallProgress, &failed).failure_reason.as_deref(), Some("sip_404"));
        let busy = [("CallStatus", "busy"), ("SipResponseCode", "486")];
        assert_eq!(event(Source::CallProgress, &busy).failure_reason, None);
    }

    #[test]
    fn a_recording_is_named_once_it_is_complete() {
        let recording = |status: &str| {
            let url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1";
            event(Source::Recording, &[("RecordingStatus", status), ("RecordingUrl", url)])
        };
        let url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1.mp3";
        assert_eq!(recording("completed").recording_url.as_deref(), Some(url));
        for status in ["in-progress", "absent", "failed"] {
            assert_eq!(recording(status).recording_url, None, "{status}");
        }
    }

    #[test]
    fn machines_of_every_kind_are_machines() {
        for (text, expected) in [
            ("human", Some("human")),
            ("machine_start", Some("machine")),
            ("machine_end_beep", Some("machine")),
            ("fax", Some("machine")),
            ("unknown", None),
        ] {
            let found = event(Source::MachineDetection, &[("CallSid", "CA1"), ("AnsweredBy", text)]);
            assert_eq!((found.answered_by, found.status), (expected, None), "{text}");
        }
    }
}
