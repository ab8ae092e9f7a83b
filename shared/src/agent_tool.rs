//! What the model may do beside talking: the tools that every voice agent has, however its conversation is held.
//!
//! Pure: what a call of one comes to is the conversation's matter, and what is stored of it that of its own module.

use serde_json::{Value, json};

use crate::http_tool;
use crate::outgoing_message::MessageTemplate;
use crate::playbook::Playbook;
use crate::spoken;

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

/// All tools offered in a conversation, in a fixed order (they are part of the cached prompt). `own` are the account's.
pub fn offered(
    playbook: &Playbook,
    can_transfer: bool,
    messages: &[MessageTemplate],
    own: &[ToolSpec],
) -> Vec<ToolSpec> {
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

/// What the model is told about a wish to be called back: the moment as it was understood is to be said aloud, so that the human
/// can put it right.
pub fn callback_noted(when: &str, language: &str) -> String {
    match spoken::moment(when, language) {
        Some(moment) => format!("noted: {moment}. Unless you just did, say this day and hour back to them"),
        None => "noted in their own words, without a day and an hour; ask once for both if they named none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn schemas_are_strict() {
        let tools = offered(&Playbook::default(), true, &[], &[]);
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["end_call", "record_answer", "schedule_callback", "mark_do_not_call", "transfer_to_human"]);
        for tool in &tools {
            let properties = tool.parameters["properties"].as_object().unwrap();
            assert_eq!(tool.parameters["required"].as_array().unwrap().len(), properties.len());
            assert_eq!(tool.parameters["additionalProperties"], false);
        }
    }
}
