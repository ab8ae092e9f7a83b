//! What the model may do beside talking: the tools that every voice agent has, however its conversation is held.
//!
//! Pure: what a call of one comes to is decided here, and takes effect elsewhere.

use chrono::NaiveDateTime;
use serde_json::{Value, json};

use crate::callback::{Agreed, CallbackTerms};
use crate::conversation_event::{CallEvent, EndReason};
use crate::outgoing_message::MessageTemplate;
use crate::persona::Facts;
use crate::playbook::{Playbook, prompt};
use crate::{http_tool, spoken};

/// A function the model may call, as JSON Schema (strict: `additionalProperties: false`, every property required).
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    pub parameters: Value,
}

/// Results of a call that `end_call` may name.
pub const DISPOSITIONS: &[&str] = &[
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
pub enum BuiltIn {
    EndCall { disposition: Option<String> },
    RecordAnswer { field: String, value: String },
    ScheduleCallback { when: String, note: Option<String> },
    MarkDoNotCall { note: Option<String> },
    TransferToHuman { note: Option<String> },
    SendMessage { message: String },
}

/// What the tools of one conversation work with.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    pub playbook: &'a Playbook,
    pub facts: &'a Facts,
    /// BCP 47.
    pub language: &'a str,
    /// When the human can be called back: what is confirmed aloud is what happens. `None`: nobody knows, and nothing is promised.
    pub callbacks: Option<&'a CallbackTerms>,
    pub messages: &'a [MessageTemplate],
    pub can_transfer: bool,
}

/// All tools offered in a conversation, in a fixed order (they are part of the cached prompt). `own` are the account's.
pub fn offered(means: &Means<'_>, own: &[ToolSpec]) -> Vec<ToolSpec> {
    let Means { playbook, messages, can_transfer, .. } = *means;
    let fields: Vec<&str> = playbook.fields.iter().map(|field| field.key.as_str()).collect();
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
    if can_transfer {
        tools.push(spec(
            "transfer_to_human",
            "Connects the person with a human advisor now. Say so in the same reply.",
            &[("note", note)],
        ));
    }
    if !messages.is_empty() {
        let names: Vec<&str> = messages.iter().map(|message| message.name.as_str()).collect();
        let what: Vec<String> =
            messages.iter().map(|message| format!("{}: {}", message.name, message.description)).collect();
        let description = format!(
            "Sends a text message to the phone that you are talking to, once they asked for it. {}",
            what.join("; ")
        );
        tools.push(spec("send_message", &description, &[("message", json!({"type": "string", "enum": names}))]));
    }
    tools.extend(own.iter().filter(|tool| !is_built_in(&tool.name)).cloned());
    tools
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

pub fn is_built_in(name: &str) -> bool {
    http_tool::BUILT_IN.contains(&name)
}

/// Reads a call of a built-in tool. The error is a sentence for the model.
pub fn parse(name: &str, arguments: &str) -> Result<BuiltIn, &'static str> {
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
pub enum Deed {
    /// This takes effect, and the model is told so much.
    Done { effect: Effect, told: String },
    /// Nobody is to call again.
    Forbids { note: Option<String>, told: String },
    /// The conversation ends with this reply. The model is told when it is complete.
    Ends { event: CallEvent, reason: EndReason },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A later answer to the same field replaces the earlier.
    Answer {
        field: String,
        value: String,
    },
    Event(CallEvent),
    /// A text message to the human.
    Message {
        template: String,
        text: String,
        dlt_template_id: Option<String>,
    },
}

/// What `call` comes to. The error is a sentence for the model.
pub fn deed(call: BuiltIn, means: &Means<'_>) -> Result<Deed, &'static str> {
    Ok(match call {
        BuiltIn::EndCall { disposition } => {
            Deed::Ends { event: CallEvent::EndRequested { disposition }, reason: EndReason::AgentFinished }
        }
        BuiltIn::TransferToHuman { .. } if !means.can_transfer => return Err("nobody is there to transfer to"),
        BuiltIn::TransferToHuman { note } => {
            Deed::Ends { event: CallEvent::TransferRequested { note }, reason: EndReason::TransferToHuman }
        }
        BuiltIn::RecordAnswer { field, .. } if !means.playbook.knows_field(&field) => {
            return Err("there is no such field");
        }
        BuiltIn::RecordAnswer { field, value } => {
            Deed::Done { effect: Effect::Answer { field, value }, told: "noted".to_owned() }
        }
        BuiltIn::ScheduleCallback { when, note } => {
            let told = callback_noted(&when, means);
            Deed::Done { effect: Effect::Event(CallEvent::CallbackRequested { when, note }), told }
        }
        BuiltIn::SendMessage { message } => {
            let effect = text_message(means, &message).ok_or("there is no such message")?;
            Deed::Done { effect, told: "it is on its way and arrives within a minute".to_owned() }
        }
        BuiltIn::MarkDoNotCall { note } => {
            let told = "noted; apologise briefly, say goodbye and end the call".to_owned();
            Deed::Forbids { note, told }
        }
    })
}

/// The text message that the model calls so.
fn text_message(means: &Means<'_>, name: &str) -> Option<Effect> {
    let template = means.messages.iter().find(|template| template.name == name)?;
    Some(Effect::Message {
        template: template.name.clone(),
        text: prompt::render(&template.text, means.facts),
        dlt_template_id: template.dlt_template_id.clone(),
    })
}

/// What the model is told about a wish to be called back: the moment at which the phone will ring is to be said aloud, so that the
/// human can put it right. Where nobody may be called at the one they named, that is another.
fn callback_noted(when: &str, means: &Means<'_>) -> String {
    let say = |written: &str| spoken::moment(written, means.language);
    let say_local = |at: NaiveDateTime| {
        let written = at.format("%Y-%m-%dT%H:%M").to_string();
        say(&written).unwrap_or(written)
    };
    let Some((asked, agreed)) = means.callbacks.and_then(|terms| terms.agree(when)) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn means<'a>(playbook: &'a Playbook, facts: &'a Facts) -> Means<'a> {
        Means { playbook, facts, language: "en-IN", callbacks: None, messages: &[], can_transfer: true }
    }

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
    fn what_is_confirmed_aloud_is_when_the_phone_will_ring() {
        let (playbook, facts) = (Playbook::default(), Facts::new());
        let mut means = means(&playbook, &facts);
        let told = |means: &Means<'_>, when: &str| callback_noted(when, means);
        assert!(told(&means, "2026-11-24T22:00").starts_with("noted: Tuesday, "), "nobody knows better");
        let answered_at = "2026-11-23T07:30:00Z".parse().unwrap();
        let terms = CallbackTerms::usual(answered_at, chrono_tz::Asia::Kolkata, "IN");
        means.callbacks = Some(&terms);
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
            let told = told(&means, when);
            assert!(told.contains(expected), "{when}: {told}");
        }
    }

    #[test]
    fn schemas_are_strict() {
        let (playbook, facts) = (Playbook::default(), Facts::new());
        let means = means(&playbook, &facts);
        let tools = offered(&means, &[]);
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["end_call", "record_answer", "schedule_callback", "mark_do_not_call", "transfer_to_human"]);
        for tool in &tools {
            let properties = tool.parameters["properties"].as_object().unwrap();
            assert_eq!(tool.parameters["required"].as_array().unwrap().len(), properties.len());
            assert_eq!(tool.parameters["additionalProperties"], false);
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_a_sentence() {
        let (playbook, facts) = (Playbook::default(), Facts::new());
        let means = means(&playbook, &facts);
        let deed = |name: &str, arguments: Value| {
            parse(name, &arguments.to_string()).and_then(|call| super::deed(call, &means))
        };
        assert_eq!(deed("record_answer", json!({"field": "shoe", "value": "9"})), Err("there is no such field"));
        assert_eq!(deed("send_message", json!({"message": "brochure"})), Err("there is no such message"));
        let alone = Means { can_transfer: false, ..means };
        let transfer = BuiltIn::TransferToHuman { note: None };
        assert_eq!(super::deed(transfer, &alone), Err("nobody is there to transfer to"));
        let Ok(Deed::Done { effect, told }) = deed("schedule_callback", json!({"when": "2026-11-24T17:00"})) else {
            panic!("a wish to be called back is noted");
        };
        let event = CallEvent::CallbackRequested { when: "2026-11-24T17:00".into(), note: None };
        assert_eq!(effect, Effect::Event(event));
        assert!(told.contains("Tuesday"), "{told}");
    }
}
