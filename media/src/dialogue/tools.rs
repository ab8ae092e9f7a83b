//! What the model may do beside talking, and the ledger that answers each call exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDateTime;
use serde_json::{Value, json};
use shared::callback::Agreed;
use shared::http_tool;

use super::input::{CallTime, ToolOutcome};
use super::output::{CallEvent, EndReason, Output, ToolSpec};
use super::settings::DialogueSettings;
use crate::{playbook::prompt, spoken};

/// Results of a call that `end_call` may name.
pub(crate) const DISPOSITIONS: &[&str] = &[
    "qualified",
    "not_qualified",
    "callback_requested",
    "not_interested",
    "do_not_call",
    "wrong_number",
    "voicemail",
    "other",
];

/// A call of a built-in tool, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    EndCall { disposition: Option<String> },
    RecordAnswer { field: String, value: String },
    ScheduleCallback { when: String, note: Option<String> },
    MarkDoNotCall { note: Option<String> },
    TransferToHuman { note: Option<String> },
    SendMessage { message: String },
}

/// All tools offered in a conversation, in a fixed order (they are part of the cached prompt).
pub(crate) fn offered(settings: &DialogueSettings) -> Arc<[ToolSpec]> {
    let fields: Vec<&str> = settings.playbook.fields.iter().map(|field| field.key.as_str()).collect();
    let text = json!({"type": "string"});
    let note = json!({"type": ["string", "null"]});
    let mut tools = vec![
        spec(
            "end_call",
            "Ends the call after your goodbye has been spoken. Say the goodbye in the same reply.",
            &[("disposition", json!({"type": "string", "enum": DISPOSITIONS}))],
        ),
        spec(
            "schedule_callback",
            "Notes when the person wants to be called back.",
            &[
                (
                    "when",
                    json!({"type": "string", "description": "Local time as 2026-11-22T17:00, or the person's own words if unclear"}),
                ),
                ("note", note.clone()),
            ],
        ),
        spec(
            "mark_do_not_call",
            "The person does not want any further calls. Takes effect at once.",
            &[("note", note.clone())],
        ),
    ];
    if !fields.is_empty() {
        tools.insert(
            1,
            spec(
                "record_answer",
                "Notes one answer of the person. Call it in the same reply in which you speak.",
                &[("field", json!({"type": "string", "enum": fields})), ("value", text)],
            ),
        );
    }
    if settings.can_transfer {
        tools.push(spec(
            "transfer_to_human",
            "Connects the person with a human advisor now. Say so in the same reply.",
            &[("note", note)],
        ));
    }
    if !settings.messages.is_empty() {
        let names: Vec<&str> = settings.messages.iter().map(|message| message.name.as_str()).collect();
        let what: Vec<String> =
            settings.messages.iter().map(|message| format!("{}: {}", message.name, message.description)).collect();
        let description = format!(
            "Sends a text message to the phone that you are talking to, once they asked for it. {}",
            what.join("; ")
        );
        tools.push(spec("send_message", &description, &[("message", json!({"type": "string", "enum": names}))]));
    }
    tools.extend(settings.tools.iter().filter(|tool| !is_built_in(&tool.name)).cloned());
    tools.into()
}

fn spec(name: &str, description: &str, properties: &[(&str, Value)]) -> ToolSpec {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false}),
    }
}

pub(crate) fn is_built_in(name: &str) -> bool {
    http_tool::BUILT_IN.contains(&name)
}

/// Reads a call of a built-in tool. The error is a sentence for the model.
pub(crate) fn parse(name: &str, arguments: &str) -> Result<BuiltIn, &'static str> {
    const LONGEST: usize = 500;
    let arguments: Value = if arguments.trim().is_empty() {
        json!({})
    } else {
        serde_json::from_str(arguments).map_err(|_invalid| "arguments are not JSON")?
    };
    let text = |key: &str| {
        let text = match arguments.get(key)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Null => return None,
            other => other.to_string(),
        };
        (!text.is_empty()).then(|| text.chars().take(LONGEST).collect::<String>())
    };
    match name {
        "end_call" => Ok(BuiltIn::EndCall { disposition: text("disposition") }),
        "record_answer" => match (text("field"), text("value")) {
            (Some(field), Some(value)) => Ok(BuiltIn::RecordAnswer { field, value }),
            _ => Err("field and value are needed"),
        },
        "schedule_callback" => {
            text("when").map(|when| BuiltIn::ScheduleCallback { when, note: text("note") }).ok_or("when is needed")
        }
        "mark_do_not_call" => Ok(BuiltIn::MarkDoNotCall { note: text("note") }),
        "send_message" => text("message").map(|message| BuiltIn::SendMessage { message }).ok_or("message is needed"),
        "transfer_to_human" => Ok(BuiltIn::TransferToHuman { note: text("note") }),
        _ => Err("there is no such tool"),
    }
}

/// What a call of a built-in tool comes to, whoever holds the conversation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    /// This goes out, and the model is told so much.
    Done { output: Box<Output>, told: String },
    /// Nobody is to call again.
    Forbids { note: Option<String>, told: String },
    /// The conversation ends with this reply. The model is told when it is complete.
    Ends { event: CallEvent, reason: EndReason },
}

/// What `call` comes to at `now`. The error is a sentence for the model.
pub(crate) fn deed(call: BuiltIn, settings: &DialogueSettings, now: CallTime) -> Result<Deed, &'static str> {
    Ok(match call {
        BuiltIn::EndCall { disposition } => {
            Deed::Ends { event: CallEvent::EndRequested { disposition }, reason: EndReason::AgentFinished }
        }
        BuiltIn::TransferToHuman { .. } if !settings.can_transfer => return Err("nobody is there to transfer to"),
        BuiltIn::TransferToHuman { note } => {
            Deed::Ends { event: CallEvent::TransferRequested { note }, reason: EndReason::TransferToHuman }
        }
        BuiltIn::RecordAnswer { field, .. } if !settings.playbook.knows_field(&field) => {
            return Err("there is no such field");
        }
        BuiltIn::RecordAnswer { field, value } => {
            Deed::Done { output: Box::new(Output::RecordAnswer { field, value, at: now }), told: "noted".to_owned() }
        }
        BuiltIn::ScheduleCallback { when, note } => {
            let told = callback_noted(&when, settings);
            Deed::Done { output: Box::new(Output::Event(CallEvent::CallbackRequested { when, note })), told }
        }
        BuiltIn::SendMessage { message } => {
            let output = text_message(settings, &message).ok_or("there is no such message")?;
            Deed::Done { output: Box::new(output), told: "it is on its way and arrives within a minute".to_owned() }
        }
        BuiltIn::MarkDoNotCall { note } => {
            let told = "noted; apologise briefly, say goodbye and end the call".to_owned();
            Deed::Forbids { note, told }
        }
    })
}

/// What the model is told about a wish to be called back: the moment at which the phone will ring is to be said aloud, so that the
/// human can put it right. Where nobody may be called at the one they named, that is another.
fn callback_noted(when: &str, settings: &DialogueSettings) -> String {
    let say = |written: &str| spoken::moment(written, &settings.language);
    let say_local = |at: NaiveDateTime| {
        let written = at.format("%Y-%m-%dT%H:%M").to_string();
        say(&written).unwrap_or(written)
    };
    let Some((asked, agreed)) = settings.callbacks.as_ref().and_then(|terms| terms.agree(when)) else {
        return match say(when) {
            Some(moment) => format!("noted: {moment}. Unless you just did, say this day and hour back to them"),
            None => {
                "noted in their own words, without a day and an hour; ask once for both if they named none".to_owned()
            }
        };
    };
    let asked = say_local(asked);
    match agreed {
        Agreed::AsAsked => format!("noted: {asked}. Unless you just did, say this day and hour back to them"),
        Agreed::Instead(at) => format!(
            "noted, but nobody is called at the hour of {asked}: the call will come on {}. Tell them this day and hour; if it does \
             not suit them, ask for another and note that",
            say_local(at)
        ),
        Agreed::NoSuchMoment => {
            format!("not possible: {asked} has passed or is too far ahead. Ask for another day and hour and note that")
        }
        Agreed::ByHand => {
            format!("noted for a colleague: {asked}. Tell them that it is passed on, and promise no hour")
        }
    }
}

/// The text message that the model calls so.
fn text_message(settings: &DialogueSettings, name: &str) -> Option<Output> {
    let template = settings.messages.iter().find(|template| template.name == name)?;
    Some(Output::SendMessage {
        template: template.name.clone(),
        text: prompt::render(&template.text, &settings.facts),
        dlt_template_id: template.dlt_template_id.clone(),
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Running { since: CallTime, name: String },
    Answered(String),
}

/// Every call accepted from the model, with its one answer.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: BTreeMap<String, State>,
}

impl Ledger {
    /// Enters a call and gives the id under which it runs: the model's own, made unique where a provider counts from zero
    /// in every reply.
    pub(crate) fn open(&mut self, id: &str, name: &str, now: CallTime) -> String {
        let mut unique = if id.is_empty() { "call".to_owned() } else { id.to_owned() };
        if self.calls.contains_key(&unique) {
            unique = format!("{unique}-{}", self.calls.len());
        }
        self.calls.insert(unique.clone(), State::Running { since: now, name: name.to_owned() });
        unique
    }

    /// Answers a running call. `false` if it is unknown or has its answer already.
    pub(crate) fn answer(&mut self, id: &str, outcome: ToolOutcome) -> bool {
        let Some(state @ State::Running { .. }) = self.calls.get_mut(id) else { return false };
        *state = State::Answered(match outcome {
            ToolOutcome::Ok(text) => text,
            ToolOutcome::Failed(problem) => json!({"error": problem}).to_string(),
        });
        true
    }

    pub(crate) fn answer_of(&self, id: &str) -> Option<String> {
        match self.calls.get(id)? {
            State::Running { .. } => None,
            State::Answered(text) => Some(text.clone()),
        }
    }

    pub(crate) fn name_of(&self, id: &str) -> Option<String> {
        match self.calls.get(id)? {
            State::Running { name, .. } => Some(name.clone()),
            State::Answered(_) => None,
        }
    }

    pub(crate) fn is_running(&self, id: &str) -> bool {
        matches!(self.calls.get(id), Some(State::Running { .. }))
    }

    /// The running call that began first: (since, id, name).
    pub(crate) fn oldest_running(&self) -> Option<(CallTime, String, String)> {
        self.calls
            .iter()
            .filter_map(|(id, state)| match state {
                State::Running { since, name } => Some((*since, id.clone(), name.clone())),
                State::Answered(_) => None,
            })
            .min_by_key(|(since, ..)| *since)
    }
}

#[cfg(test)]
mod tests {
    use shared::callback::CallbackTerms;

    use super::*;
    use crate::playbook::Playbook;

    #[test]
    fn calls_are_read_leniently_and_refused_with_a_sentence() {
        assert_eq!(parse("end_call", "").unwrap(), BuiltIn::EndCall { disposition: None });
        assert_eq!(
            parse("record_answer", r#"{"field":"budget","value":75}"#).unwrap(),
            BuiltIn::RecordAnswer { field: "budget".to_owned(), value: "75".to_owned() }
        );
        assert_eq!(parse("record_answer", r#"{"field":"budget"}"#), Err("field and value are needed"));
        assert_eq!(parse("schedule_callback", "{not json"), Err("arguments are not JSON"));
        assert_eq!(parse("fly", "{}"), Err("there is no such tool"));
    }

    #[test]
    fn a_call_has_one_answer_and_a_repeated_id_is_another_call() {
        let mut ledger = Ledger::default();
        let first = ledger.open("call_0", "x", CallTime::ZERO);
        let second = ledger.open("call_0", "x", CallTime::ZERO);
        assert_ne!(first, second);
        assert!(ledger.answer(&first, ToolOutcome::Ok("a".to_owned())));
        assert!(!ledger.answer(&first, ToolOutcome::Ok("b".to_owned())));
        assert!(!ledger.answer("unknown", ToolOutcome::Ok("b".to_owned())));
        assert_eq!(ledger.answer_of(&first).as_deref(), Some("a"));
        assert_eq!(ledger.answer_of(&second), None);
    }

    #[test]
    fn what_is_confirmed_aloud_is_when_the_phone_will_ring() {
        let mut settings = DialogueSettings::new(Arc::new(Playbook::default()));
        let told = |settings: &DialogueSettings, when: &str| callback_noted(when, settings);
        assert!(told(&settings, "2026-11-24T22:00").starts_with("noted: Tuesday, "), "nobody knows better");
        let answered_at = "2026-11-23T07:30:00Z".parse().unwrap();
        settings.callbacks = Some(CallbackTerms::usual(answered_at, chrono_tz::Asia::Kolkata, "IN"));
        for (when, expected) in [
            ("2026-11-24T17:00", "noted: Tuesday, the twenty fourth of November twenty twenty six, five P M. Unless"),
            ("2026-11-24 17:00", "noted: Tuesday, the twenty fourth of November twenty twenty six, five P M. Unless"),
            (
                "2026-11-24T22:00",
                "the call will come on Wednesday, the twenty fifth of November twenty twenty six, ten o'clock.",
            ),
            ("2026-11-22T17:00", "not possible: Sunday"),
            ("when I am back", "noted in their own words"),
        ] {
            let told = told(&settings, when);
            assert!(told.contains(expected), "{when}: {told}");
        }
    }

    #[test]
    fn schemas_are_strict() {
        let mut settings = DialogueSettings::new(Arc::new(Playbook::default()));
        settings.can_transfer = true;
        let tools = offered(&settings);
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["end_call", "record_answer", "schedule_callback", "mark_do_not_call", "transfer_to_human"]);
        for tool in tools.iter() {
            let properties = tool.parameters["properties"].as_object().unwrap();
            assert_eq!(tool.parameters["required"].as_array().unwrap().len(), properties.len());
            assert_eq!(tool.parameters["additionalProperties"], false);
        }
    }
}
