//! Exotel's status callbacks and Passthru requests. Their fields are written down from live captures; documents that
//! contradict those (lower-case names, JSON Passthru) are not followed.

use std::collections::BTreeMap;

use super::{CarrierEvent, Source, Webhook, flatten};
use crate::call::CallStatus;
use crate::resumption::{StreamEnd, StreamReport};
use crate::transfer::Dialed;

/// A cause or reason is a word or two; a carrier's page of HTML is not one.
const MAX_REASON_CHARS: usize = 200;

/// Reads a stored webhook of Exotel's.
#[must_use]
pub fn parse(webhook: &Webhook) -> CarrierEvent {
    let fields = with_stream_unfolded(&webhook.fields);
    let text =
        |name: &str| fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty() && *value != "null");
    let reference = webhook.reference.clone().or_else(|| text("CustomField").map(|field| unquote(field).to_owned()));
    let mut event = CarrierEvent {
        carrier_call_id: text("CallSid").map(str::to_owned),
        reference,
        recording_url: text("RecordingUrl").or(text("Stream[RecordingUrl]")).map(str::to_owned),
        ..CarrierEvent::default()
    };
    match webhook.source {
        Source::StatusCallback => {
            event.status = text("Status").and_then(status);
            event.duration_seconds =
                longest(&[text("ConversationDuration"), text("Legs[0][OnCallDuration]"), text("Duration")]);
            event.answered_by = ["Legs[0][AnsweredBy]", "Legs[1][AnsweredBy]", "AnsweredBy"]
                .into_iter()
                .find_map(|name| text(name).and_then(answered_by));
            let cause = text("Legs[0][Cause]").or(text("Legs[1][Cause]"));
            event.hangup_cause = text("Legs[0][DisconnectedBy]").or(cause).map(bounded);
            if event.status == Some(CallStatus::Failed) {
                event.failure_reason = cause.map(bounded);
            }
        }
        Source::Passthru => {
            // The flow of an outbound call runs only once the call is answered.
            if !text("Direction").is_some_and(|direction| direction.eq_ignore_ascii_case("incoming")) {
                event.status = Some(CallStatus::InProgress);
            }
            event.stream_seconds = longest(&[text("Stream[Duration]")]);
            event.hangup_cause = stream_end(text("Stream[Status]"), text("Stream[DisconnectedBy]"));
        }
        Source::Dial => event.dialed = dialed(text("EventType"), text("DialCallStatus").or(text("Status"))),
        Source::CallProgress | Source::Voice | Source::Recording | Source::MachineDetection => {}
    }
    event
}

/// An event of the Connect applet is about one phone (`EventType`: `Dial`, `Ringing`, `Answered`, `Terminal`), and another may ring
/// after it. A Passthru behind the applet has none, and knows how it ended.
fn dialed(event: Option<&str>, status: Option<&str>) -> Option<Dialed> {
    let event = event.map(str::to_ascii_lowercase);
    match event.as_deref() {
        Some("answered") => return Some(Dialed::Answered),
        Some("dial" | "ringing") => return None,
        _ => {}
    }
    match status?.to_ascii_lowercase().replace('_', "-").as_str() {
        "completed" | "answered" => Some(Dialed::Answered),
        status @ ("busy" | "no-answer" | "failed") => {
            Some(Dialed::Unanswered { status: status.to_owned(), is_last: event.is_none() })
        }
        _ => None,
    }
}

/// What a Passthru request says of the stream before it.
#[must_use]
pub fn stream_report(webhook: &Webhook) -> StreamReport {
    let fields = with_stream_unfolded(&webhook.fields);
    let word =
        |name: &str| fields.get(name).map(|value| value.trim().to_ascii_lowercase()).filter(|value| !value.is_empty());
    let stream_sid = fields.get("Stream[StreamSID]").map(|sid| sid.trim().to_owned()).filter(|sid| !sid.is_empty());
    let (status, by) = (word("Stream[Status]"), word("Stream[DisconnectedBy]"));
    let left = matches!(by.as_deref(), Some("user" | "caller"))
        || matches!(status.as_deref(), Some("cancelled" | "canceled"))
        || word("CallType").as_deref() == Some("client-hangup");
    let end = match status.as_deref() {
        _ if left => StreamEnd::CalleeLeft,
        Some("failed") => {
            // "3009 failed to establish ws conn …", or refused by the carrier itself: `Streaming_call_throttled`.
            let unopened = word("Stream[Error]").is_some_and(|error| error.starts_with("3009"))
                || word("Stream[DetailedStatus]").is_some_and(|status| status.ends_with("throttled"));
            if unopened || stream_sid.is_none() { StreamEnd::NeverOpened } else { StreamEnd::Broke }
        }
        Some("completed") => StreamEnd::Closed,
        _ if by.as_deref() == Some("bot") => StreamEnd::Closed,
        _ => StreamEnd::Unsaid,
    };
    StreamReport { stream_sid, end }
}

/// The digits a caller pressed. Exotel wraps them in literal quotes: `digits=%228%22`.
#[must_use]
pub fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
}

/// `Stream={json}` is the same as `Stream[..]` fields; both are seen.
fn with_stream_unfolded(fields: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut fields = fields.clone();
    if let Some(serde_json::Value::Object(stream)) =
        fields.get("Stream").and_then(|text| serde_json::from_str(text).ok())
    {
        let named = serde_json::json!({"Stream": stream});
        fields.extend(flatten(&named));
    }
    fields
}

fn status(text: &str) -> Option<CallStatus> {
    Some(match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "ringing" => CallStatus::Ringing,
        "in-progress" | "answered" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "no-answer" => CallStatus::NoAnswer,
        "failed" => CallStatus::Failed,
        "canceled" | "cancelled" => CallStatus::Canceled,
        // `queued` and `initiated` say that the request was taken, which its answer has said.
        _ => return None,
    })
}

fn answered_by(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "human" => Some("human"),
        "machine" => Some("machine"),
        _ => None,
    }
}

/// Seconds, of the fields that have any. A flow call has one leg, and its conversation between two may count as 0.
fn longest(fields: &[Option<&str>]) -> Option<i32> {
    fields
        .iter()
        .flatten()
        .filter_map(|text| text.parse::<f64>().ok())
        .map(|secs| secs.round() as i32)
        .filter(|s| *s >= 0)
        .max()
}

fn stream_end(status: Option<&str>, by: Option<&str>) -> Option<String> {
    if status.is_some_and(|status| status.eq_ignore_ascii_case("failed")) {
        return Some("stream_failed".into());
    }
    match by?.to_ascii_lowercase().as_str() {
        "user" | "caller" => Some("callee_hung_up".into()),
        "bot" => Some("agent_hung_up".into()),
        _ => None,
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(source: Source, fields: &[(&str, &str)]) -> Webhook {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Webhook { source, reference: None, fields }
    }

    #[test]
    fn an_advisors_phone_and_the_end_of_all_of_them_are_told_apart() {
        assert_eq!(dialed(Some("Answered"), None), Some(Dialed::Answered));
        assert_eq!(dialed(Some("Dial"), Some("busy")), None, "an advisor's state before it rings");
        let unanswered = |status: &str, is_last| Some(Dialed::Unanswered { status: status.into(), is_last });
        assert_eq!(dialed(Some("Terminal"), Some("no-answer")), unanswered("no-answer", false));
        assert_eq!(dialed(None, Some("no_answer")), unanswered("no-answer", true));
        assert_eq!(dialed(None, Some("completed")), Some(Dialed::Answered));
        assert_eq!((dialed(None, None), dialed(None, Some("canceled"))), (None, None));
    }

    #[test]
    fn the_plain_callback_of_a_flow_call_has_three_fields() {
        let event = parse(&webhook(
            Source::StatusCallback,
            &[("CallSid", "4c18"), ("Status", "no-answer"), ("DateUpdated", "2025-01-15 18:14:07")],
        ));
        assert_eq!(event.status, Some(CallStatus::NoAnswer));
        assert_eq!(event.carrier_call_id.as_deref(), Some("4c18"));
        assert_eq!((event.duration_seconds, event.recording_url), (None, None));
    }

    #[test]
    fn a_json_callback_reads_like_the_form_with_the_same_legs() {
        let body = serde_json::json!({
            "CallSid": "80bf", "EventType": "terminal", "Status": "completed", "ConversationDuration": 0,
            "CustomField": "ref-1", "RecordingUrl": "https://recordings.example/1.mp3",
            "Legs": [{"OnCallDuration": 35, "Status": "completed", "AnsweredBy": "HUMAN", "Cause": null}]
        });
        let json = Webhook { source: Source::StatusCallback, reference: None, fields: flatten(&body) };
        let form = webhook(
            Source::StatusCallback,
            &[
                ("CallSid", "80bf"),
                ("EventType", "terminal"),
                ("Status", "completed"),
                ("ConversationDuration", "0"),
                ("CustomField", "ref-1"),
                ("RecordingUrl", "https://recordings.example/1.mp3"),
                ("Legs[0][OnCallDuration]", "35"),
                ("Legs[0][Status]", "completed"),
                ("Legs[0][AnsweredBy]", "HUMAN"),
            ],
        );
        assert_eq!(json, form);
        let event = parse(&json);
        assert_eq!((event.duration_seconds, event.answered_by), (Some(35), Some("human")));
        assert_eq!(event.reference.as_deref(), Some("ref-1"));
    }

    #[test]
    fn a_stream_in_one_json_parameter_is_the_same_as_in_many() {
        let one = parse(&webhook(
            Source::Passthru,
            &[
                ("CallSid", "a"),
                (
                    "Stream",
                    r#"{"Status":"cancelled","Duration":"12","DisconnectedBy":"user","RecordingUrl":"https://r/1.mp3"}"#,
                ),
            ],
        ));
        let many = parse(&webhook(
            Source::Passthru,
            &[
                ("CallSid", "a"),
                ("Stream[Status]", "cancelled"),
                ("Stream[Duration]", "12"),
                ("Stream[DisconnectedBy]", "user"),
                ("Stream[RecordingUrl]", "https://r/1.mp3"),
            ],
        ));
        assert_eq!(one, many);
        assert_eq!(one.hangup_cause.as_deref(), Some("callee_hung_up"));
        assert_eq!((one.status, one.stream_seconds), (Some(CallStatus::InProgress), Some(12)));
    }

    #[test]
    fn literal_quotes_around_digits_and_custom_fields_are_dropped() {
        assert_eq!(unquote("\"215250\""), "215250");
        assert_eq!(unquote("8"), "8");
        let event = parse(&webhook(Source::Passthru, &[("CustomField", "\"ref-1\"")]));
        assert_eq!(event.reference.as_deref(), Some("ref-1"));
    }

    #[test]
    fn a_repeated_webhook_has_the_same_key_and_a_later_status_another() {
        let first = webhook(Source::StatusCallback, &[("CallSid", "a"), ("Status", "completed"), ("DateUpdated", "x")]);
        let busy = webhook(Source::StatusCallback, &[("CallSid", "a"), ("Status", "busy"), ("DateUpdated", "x")]);
        assert_eq!(first.event_key(), first.clone().event_key());
        assert_ne!(first.event_key(), busy.event_key());
        let asked = webhook(Source::Passthru, &[("CallSid", "a"), ("CurrentTime", "1")]);
        let again = webhook(Source::Passthru, &[("CallSid", "a"), ("CurrentTime", "2")]);
        assert_eq!(asked.event_key(), again.event_key());
    }

    #[test]
    fn a_status_that_nobody_knows_changes_nothing() {
        for text in ["queued", "initiated", "free", ""] {
            assert_eq!(parse(&webhook(Source::StatusCallback, &[("Status", text)])).status, None, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_stream_is_told_apart_by_who_left_and_how() {
        for (fields, expected) in [
            (&[("Stream[Status]", "completed"), ("Stream[DisconnectedBy]", "bot")][..], StreamEnd::Closed),
            (&[("Stream[Status]", "completed"), ("Stream[DisconnectedBy]", "NA")], StreamEnd::Closed),
            (&[("Stream[Status]", "cancelled"), ("Stream[DisconnectedBy]", "user")], StreamEnd::CalleeLeft),
            (&[("Stream[Status]", "failed"), ("CallType", "client-hangup")], StreamEnd::CalleeLeft),
            (
                &[("Stream[Status]", "failed"), ("Stream[StreamSID]", "s1"), ("Stream[DisconnectedBy]", "bot")],
                StreamEnd::Broke,
            ),
            (&[("Stream[Status]", "failed"), ("Stream[DisconnectedBy]", "NA")], StreamEnd::NeverOpened),
            (
                &[
                    ("Stream[Status]", "failed"),
                    ("Stream[StreamSID]", "s1"),
                    ("Stream[Error]", "3009 failed to establish ws conn timed out"),
                ],
                StreamEnd::NeverOpened,
            ),
            (
                &[("Stream", r#"{"Status":"failed","StreamSID":"s1","DetailedStatus":"Streaming_call_throttled"}"#)],
                StreamEnd::NeverOpened,
            ),
            (&[("Stream", r#"{"Status":"Failed","StreamSID":"s1","DisconnectedBy":"BOT"}"#)], StreamEnd::Broke),
            (&[("CallSid", "a")], StreamEnd::Unsaid),
            (&[("Stream", "no json"), ("Stream[Status]", "")], StreamEnd::Unsaid),
        ] {
            assert_eq!(stream_report(&webhook(Source::Passthru, fields)).end, expected, "{fields:?}");
        }
        let report = stream_report(&webhook(Source::Passthru, &[("Stream[StreamSID]", " s1 ")]));
        assert_eq!(report.stream_sid.as_deref(), Some("s1"));
    }
}
