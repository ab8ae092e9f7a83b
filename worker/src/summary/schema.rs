//! The form a language model fills after a call, and what is believed of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use shared::callback;
use shared::conversation::{Disposition, Summary};

use super::{Callback, Conversation};

/// Fields of the default qualification, in the playbook's order.
const FIELDS: [&str; 6] = ["purpose", "budget", "timeline", "location", "property_type", "site_visit"];
const MAX_SUMMARY_CHARS: usize = 2_000;
const MAX_FIELD_CHARS: usize = 300;
const MAX_REASONS: usize = 8;

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("it refused")]
    Refused,
    #[error("it was cut off")]
    CutOff,
    #[error("it said nothing")]
    Empty,
    #[error("it does not fit the schema: {0}")]
    NotTheSchema(String),
}

/// Strict mode: every property required, none beside them; what may be absent is nullable.
pub(super) fn json_schema() -> Value {
    let nullable = |description: &str| json!({ "type": ["string", "null"], "description": description });
    let fields = [
        nullable("To live in, to invest, to rent out."),
        nullable("As they said it, with its unit."),
        nullable("When they want to buy or move."),
        nullable("Localities they want or mentioned."),
        nullable("Such as 2BHK apartment, villa, plot."),
        nullable("What was agreed about a visit: day and time, or that they refused."),
    ];
    let extracted: serde_json::Map<String, Value> = FIELDS.iter().map(|name| (*name).to_owned()).zip(fields).collect();
    let dispositions: Vec<&str> = Disposition::ALL.iter().map(|disposition| disposition.as_str()).collect();
    let properties = json!({
        "summary": { "type": "string", "description": "Two to four sentences in English, for the salesperson." },
        "disposition": { "type": "string", "enum": dispositions },
        "intent": nullable("What they want, in a few words."),
        "extracted": {
            "type": "object", "additionalProperties": false, "required": FIELDS, "properties": extracted,
        },
        "score": { "type": "integer", "minimum": 0, "maximum": 100, "description": "How promising the lead is." },
        "score_reasons": { "type": "array", "items": { "type": "string" } },
        "callback_at_text": nullable("When they asked to be called back, in their words."),
        "callback_at": {
            "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "null" }],
            "description": "That moment as RFC 3339 with offset, if it can be told from the time of the call.",
        },
    });
    let required: Vec<&str> = properties.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

/// Anthropic takes no bounds of numbers; [`read`] checks them.
pub(super) fn json_schema_without_bounds() -> Value {
    let mut schema = json_schema();
    if let Some(score) = schema["properties"]["score"].as_object_mut() {
        score.remove("minimum");
        score.remove("maximum");
    }
    schema
}

#[derive(Debug, Deserialize)]
pub(super) struct Filled {
    summary: String,
    disposition: Disposition,
    intent: Option<String>,
    extracted: BTreeMap<String, Value>,
    score: f64,
    score_reasons: Vec<String>,
    callback_at_text: Option<String>,
    callback_at: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Filled, Problem> {
    let filled: Filled = serde_json::from_str(text).map_err(|error| Problem::NotTheSchema(error.to_string()))?;
    if filled.summary.trim().is_empty() {
        return Err(Problem::NotTheSchema("the summary is empty".into()));
    }
    if !(0.0..=100.0).contains(&filled.score) {
        return Err(Problem::NotTheSchema("the score is not between 0 and 100".into()));
    }
    Ok(filled)
}

impl Filled {
    /// Believes the model, except where the call itself knows better: somebody who asked not to be called again is not, and
    /// somebody who asked to be called back is.
    pub fn into_summary(self, conversation: &Conversation, model: String) -> Summary {
        let live = conversation.notes.as_ref().and_then(|notes| notes.live_disposition);
        let disposition = if live == Some(Disposition::DoNotCall) { Disposition::DoNotCall } else { self.disposition };
        let ended_at = conversation.ended_at.to_utc();
        let from_model = self
            .callback_at
            .as_deref()
            .and_then(|at| callback::moment(at, conversation.ended_at.timezone()))
            .filter(|&at| callback::is_plausible(at, ended_at));
        let words = self
            .callback_at_text
            .or_else(|| conversation.notes.as_ref().and_then(|notes| notes.callback_text.clone()))
            .map(|words| clipped(&words, MAX_FIELD_CHARS));
        let extracted: serde_json::Map<String, Value> = FIELDS
            .iter()
            .map(|name| {
                let value = self.extracted.get(*name).and_then(Value::as_str).map(str::trim);
                let value = value.filter(|value| !value.is_empty()).map(|value| clipped(value, MAX_FIELD_CHARS));
                ((*name).to_owned(), value.map_or(Value::Null, Value::String))
            })
            .collect();
        let callback = Callback::weigh(conversation, disposition, from_model, words.as_deref());
        #[expect(clippy::cast_possible_truncation, reason = "checked to be between 0 and 100")]
        let score = self.score.round() as i32;
        Summary {
            summary: clipped(&self.summary, MAX_SUMMARY_CHARS),
            disposition: callback.disposition,
            intent: self.intent.map(|intent| clipped(&intent, MAX_FIELD_CHARS)).filter(|intent| !intent.is_empty()),
            extracted: Value::Object(extracted),
            score: Some(score),
            score_reasons: self
                .score_reasons
                .iter()
                .take(MAX_REASONS)
                .map(|reason| clipped(reason, MAX_FIELD_CHARS))
                .collect(),
            wants_callback: callback.wanted,
            callback_at: callback.at,
            callback_text: words,
            model: Some(model),
            error: None,
        }
    }
}

/// Bounded, and without what Postgres cannot store.
pub(super) fn clipped(text: &str, max_chars: usize) -> String {
    text.trim().chars().filter(|letter| *letter != '\0').take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use shared::conversation::Notes;

    use super::*;

    fn conversation(live: Option<Disposition>) -> Conversation {
        let ended_at: DateTime<Utc> = "2026-11-23T07:30:00Z".parse().unwrap();
        Conversation {
            turns: Vec::new(),
            notes: Some(Notes {
                answers: json!({}),
                live_disposition: live,
                callback_text: None,
                callback_at: None,
                summary_pending: true,
            }),
            lead: serde_json::Map::new(),
            ended_at: ended_at.with_timezone(&chrono_tz::Asia::Kolkata),
        }
    }

    fn answer(disposition: &str, callback_at: Value) -> String {
        json!({
            "summary": "They want a flat.", "disposition": disposition, "intent": "buy",
            "extracted": { "budget": "80 lakh", "purpose": " ", "timeline": null },
            "score": 71, "score_reasons": ["budget fits"], "callback_at_text": null, "callback_at": callback_at,
        })
        .to_string()
    }

    #[test]
    fn every_object_of_the_schema_is_strict() {
        fn check(schema: &Value) {
            if let Some(properties) = schema["properties"].as_object() {
                assert_eq!(schema["additionalProperties"], json!(false));
                let required = schema["required"].as_array().unwrap();
                assert!(properties.keys().all(|name| required.contains(&json!(name))));
                properties.values().for_each(check);
            }
        }
        check(&json_schema());
    }

    #[test]
    fn an_answer_becomes_a_summary_with_nulls_for_what_was_not_said() {
        let summary = read(&answer("qualified", Value::Null)).unwrap().into_summary(&conversation(None), "m".into());
        assert_eq!(summary.disposition, Disposition::Qualified);
        assert_eq!((summary.score, summary.extracted["budget"].as_str()), (Some(71), Some("80 lakh")));
        assert_eq!(summary.extracted["purpose"], Value::Null);
        assert_eq!(summary.extracted["site_visit"], Value::Null);
    }

    #[test]
    fn a_wish_not_to_be_called_is_beyond_the_models_reach() {
        let live = conversation(Some(Disposition::DoNotCall));
        let summary = read(&answer("qualified", Value::Null)).unwrap().into_summary(&live, "m".into());
        assert_eq!(summary.disposition, Disposition::DoNotCall);
    }

    #[test]
    fn a_callback_that_was_promised_in_the_call_is_beyond_the_models_reach() {
        let mut promised = conversation(Some(Disposition::CallbackRequested));
        let notes = promised.notes.as_mut().unwrap();
        (notes.callback_text, notes.callback_at) = (Some("x".into()), "2026-11-24T11:30:00Z".parse().ok());
        for (judged, kept) in [
            ("qualified", Disposition::Qualified),
            ("interested", Disposition::CallbackRequested),
            ("not_interested", Disposition::CallbackRequested),
            ("voicemail", Disposition::CallbackRequested),
        ] {
            let summary = read(&answer(judged, json!("2026-11-25T17:00:00+05:30"))).unwrap();
            let summary = summary.into_summary(&promised, "m".into());
            assert_eq!((summary.disposition, summary.wants_callback), (kept, true), "{judged}");
            assert_eq!(summary.callback_at.unwrap().to_rfc3339(), "2026-11-24T11:30:00+00:00", "{judged}");
        }
        let forbidden = read(&answer("do_not_call", Value::Null)).unwrap().into_summary(&promised, "m".into());
        assert_eq!((forbidden.disposition, forbidden.wants_callback), (Disposition::DoNotCall, false));
        promised.notes.as_mut().unwrap().live_disposition = Some(Disposition::NotInterested);
        let taken_back = read(&answer("not_interested", Value::Null)).unwrap().into_summary(&promised, "m".into());
        assert_eq!((taken_back.wants_callback, taken_back.callback_at), (false, None));
    }

    #[test]
    fn a_callback_in_the_past_or_the_far_future_is_not_believed() {
        for (at, believed) in [
            ("2026-11-24T17:00:00+05:30", true),
            ("2026-11-20T17:00:00+05:30", false),
            ("2031-01-01T00:00:00Z", false),
            ("tomorrow", false),
        ] {
            let answer = read(&answer("callback_requested", json!(at))).unwrap();
            let summary = answer.into_summary(&conversation(None), "m".into());
            assert_eq!(summary.callback_at.is_some(), believed, "{at}");
        }
    }

    #[test]
    fn an_invented_disposition_or_score_is_refused() {
        assert!(read(&answer("ecstatic", Value::Null)).is_err());
        assert!(read(&answer("qualified", Value::Null).replace("71", "710")).is_err());
        assert!(read("Sure! Here is your summary").is_err());
    }
}
