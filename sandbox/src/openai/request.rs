//! The body of a chat completion, read strictly.

use serde_json::{Value, json};

use super::{error::Error, models::Model};
use crate::brain::{self, Call, Choice, Conversation, Message, Role, Tool};

/// Every field that chat completions know; another one is refused.
const FIELDS: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "n",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "safety_identifier",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "service_tier",
    "store",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "modalities",
    "verbosity",
    "prediction",
    "web_search_options",
    "functions",
    "function_call",
    "audio",
];
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// The form of the answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Format {
    Text,
    JsonObject,
    JsonSchema(Value),
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub model: &'static str,
    pub stream: bool,
    pub include_usage: bool,
    pub max_tokens: Option<usize>,
    pub format: Format,
    pub conversation: Conversation,
    /// `"{model} {prompt_cache_key} {user}"`.
    pub fault_key: String,
    /// Tokens of the request, about a quarter of its characters.
    pub prompt_tokens: usize,
}

impl Request {
    pub(super) fn read(body: &Value) -> Result<Self, Error> {
        let fields =
            body.as_object().ok_or_else(|| Error::invalid("", "We could not parse the JSON body of your request."))?;
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let message = format!("Unrecognized request argument supplied: {unknown}");
            return Err(Error::invalid(unknown.as_str(), message).with_code("unknown_parameter"));
        }
        let id = body["model"].as_str().ok_or_else(|| Error::invalid("model", "you must provide a model parameter"))?;
        let model = Model::find(id).ok_or_else(|| Error::unknown_model(id))?;
        let conversation = Conversation {
            messages: messages(&body["messages"])?,
            tools: tools(&body["tools"])?,
            choice: choice(body)?,
            parallel: body["parallel_tool_calls"].as_bool().unwrap_or(true),
        };
        check_limits(body, model, &conversation)?;
        let stream = body["stream"].as_bool().unwrap_or(false);
        if !stream && !body["stream_options"].is_null() {
            return Err(Error::invalid(
                "stream_options",
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            ));
        }
        let max_tokens = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64());
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        Ok(Self {
            model: model.id,
            stream,
            include_usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
            max_tokens: max_tokens.map(|tokens| tokens as usize),
            format: format(&body["response_format"], &conversation)?,
            fault_key: format!("{id} {} {}", text("prompt_cache_key"), text("user")),
            prompt_tokens: (body["messages"].to_string().len() + body["tools"].to_string().len()) / 4,
            conversation,
        })
    }
}

fn check_limits(body: &Value, model: &Model, conversation: &Conversation) -> Result<(), Error> {
    if model.reasons && !body["max_tokens"].is_null() {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err(Error::invalid("max_tokens", message).with_code("unsupported_parameter"));
    }
    for name in ["max_tokens", "max_completion_tokens"] {
        if !body[name].is_null() && body[name].as_u64().is_none_or(|tokens| tokens == 0) {
            return Err(Error::invalid(name, format!("Invalid '{name}': expected an integer of at least 1.")));
        }
    }
    for (name, most) in [("temperature", 2.0), ("top_p", 1.0)] {
        if !body[name].is_null() && body[name].as_f64().is_none_or(|value| !(0.0..=most).contains(&value)) {
            return Err(Error::invalid(name, format!("Invalid '{name}': expected a number between 0 and {most}.")));
        }
    }
    if body["n"].as_u64().unwrap_or(1) != 1 {
        return Err(Error::invalid("n", "the simulator gives one choice, so 'n' must be 1"));
    }
    let effort = &body["reasoning_effort"];
    if !effort.is_null() && !effort.as_str().is_some_and(|effort| EFFORTS.contains(&effort)) {
        return Err(
            Error::invalid("reasoning_effort", "Invalid value for 'reasoning_effort'.").with_code("invalid_value")
        );
    }
    if effort.as_str().is_some_and(|effort| effort != "none") && !model.reasons {
        return Err(Error::invalid("reasoning_effort", "Unrecognized request argument supplied: reasoning_effort"));
    }
    // The default effort of this family is medium, and then it takes no functions here.
    if model.id.starts_with("gpt-6") && !conversation.tools.is_empty() && effort != "none" {
        let message = "Function tools with this model in /v1/chat/completions require 'reasoning_effort' to be 'none'.";
        return Err(Error::invalid("reasoning_effort", message).with_code("unsupported_value"));
    }
    Ok(())
}

fn messages(value: &Value) -> Result<Vec<Message>, Error> {
    let items = value.as_array().filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| Error::invalid("messages", "Invalid 'messages': expected a non-empty array."))?;
    let mut unanswered: Vec<&str> = Vec::new();
    let mut messages = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let place = format!("messages.[{at}]");
        let role = match item["role"].as_str() {
            Some("system" | "developer") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            other => {
                let message = format!(
                    "Invalid value: '{}'. Supported values are: 'system', 'developer', 'user', 'assistant' and 'tool'.",
                    other.unwrap_or("null")
                );
                return Err(Error::invalid(format!("{place}.role"), message).with_code("invalid_value"));
            }
        };
        if role == Role::Tool {
            let id = item["tool_call_id"].as_str().unwrap_or_default();
            let Some(known) = unanswered.iter().position(|call| *call == id) else {
                let message = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
                return Err(Error::invalid(format!("{place}.role"), message));
            };
            unanswered.swap_remove(known);
        } else if !unanswered.is_empty() {
            return Err(unanswered_calls(&unanswered));
        }
        let calls =
            if role == Role::Assistant { calls(&item["tool_calls"], &place, &mut unanswered)? } else { Vec::new() };
        let text = content(&item["content"], &place)?;
        if text.is_none() && calls.is_empty() {
            let message = format!("Invalid value for 'content': expected a string, got {}.", item["content"]);
            return Err(Error::invalid(format!("{place}.content"), message));
        }
        messages.push(Message { role, text: text.unwrap_or_default(), calls });
    }
    if unanswered.is_empty() { Ok(messages) } else { Err(unanswered_calls(&unanswered)) }
}

fn unanswered_calls(ids: &[&str]) -> Error {
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        ids.join(", ")
    );
    Error::invalid("messages", message)
}

fn calls<'a>(value: &'a Value, place: &str, unanswered: &mut Vec<&'a str>) -> Result<Vec<Call>, Error> {
    let Some(items) = value.as_array() else { return Ok(Vec::new()) };
    if items.is_empty() {
        return Err(Error::invalid(
            format!("{place}.tool_calls"),
            "Invalid 'tool_calls': empty array. Expected an array with minimum length 1.",
        ));
    }
    items
        .iter()
        .map(|call| {
            let parts =
                (call["id"].as_str(), call["function"]["name"].as_str(), call["function"]["arguments"].as_str());
            let (Some(id), Some(name), Some(arguments)) = parts else {
                let message =
                    "Invalid tool call: 'id', 'function.name' and 'function.arguments' (a string) are required.";
                return Err(Error::invalid(format!("{place}.tool_calls"), message));
            };
            unanswered.push(id);
            // A model may be shown its own broken arguments.
            let arguments = serde_json::from_str(arguments).unwrap_or(Value::Null);
            Ok(Call { name: name.to_owned(), arguments })
        })
        .collect()
}

/// Text, or parts of type text.
fn content(value: &Value, place: &str) -> Result<Option<String>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Array(parts) => {
            let text: Option<Vec<&str>> =
                parts.iter().map(|part| part["text"].as_str().filter(|_| part["type"] == "text")).collect();
            let text = text.ok_or_else(|| {
                Error::invalid(format!("{place}.content"), "the simulator reads content parts of type text only")
            })?;
            Ok(Some(text.join("\n")))
        }
        _ => Err(Error::invalid(
            format!("{place}.content"),
            "Invalid type for 'content': expected a string or an array of parts.",
        )),
    }
}

fn tools(value: &Value) -> Result<Vec<Tool>, Error> {
    let Some(items) = value.as_array() else { return Ok(Vec::new()) };
    if items.is_empty() {
        return Err(Error::invalid("tools", "Invalid 'tools': empty array. Expected an array with minimum length 1."));
    }
    items
        .iter()
        .enumerate()
        .map(|(at, item)| {
            let function = &item["function"];
            let name = function["name"].as_str().unwrap_or_default();
            let is_name = !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if item["type"] != "function" || !is_name {
                let message = "Invalid tool: expected {\"type\": \"function\", \"function\": {\"name\", ..}} with a name of letters, digits, _ and -.";
                return Err(Error::invalid(format!("tools[{at}]"), message));
            }
            let parameters = if function["parameters"].is_null() { json!({ "type": "object", "properties": {} }) } else { function["parameters"].clone() };
            if function["strict"] == true {
                brain::check_strict(&parameters).map_err(|problem| {
                    let message = format!("Invalid schema for function '{name}': {problem}");
                    Error::invalid(format!("tools[{at}].function.parameters"), message).with_code("invalid_function_parameters")
                })?;
            }
            Ok(Tool { name: name.to_owned(), parameters })
        })
        .collect()
}

fn choice(body: &Value) -> Result<Choice, Error> {
    let choice = &body["tool_choice"];
    let has_tools = !body["tools"].is_null();
    for name in ["tool_choice", "parallel_tool_calls"] {
        if !body[name].is_null() && !has_tools {
            return Err(Error::invalid(
                name,
                format!("Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."),
            ));
        }
    }
    match choice {
        Value::Null => Ok(Choice::Auto),
        Value::String(choice) if choice == "auto" => Ok(Choice::Auto),
        Value::String(choice) if choice == "none" => Ok(Choice::None),
        Value::String(choice) if choice == "required" => Ok(Choice::Required),
        named => {
            let name = named["function"]["name"].as_str().unwrap_or_default();
            let offered = body["tools"].as_array().into_iter().flatten().any(|tool| tool["function"]["name"] == name);
            if offered {
                Ok(Choice::Named(name.to_owned()))
            } else {
                Err(Error::invalid("tool_choice", "Invalid value for 'tool_choice'."))
            }
        }
    }
}

fn format(value: &Value, conversation: &Conversation) -> Result<Format, Error> {
    match value["type"].as_str() {
        None if value.is_null() => Ok(Format::Text),
        Some("text") => Ok(Format::Text),
        Some("json_object") => {
            let told = conversation.messages.iter().any(|message| message.text.to_lowercase().contains("json"));
            let message =
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.";
            if told { Ok(Format::JsonObject) } else { Err(Error::invalid("messages", message)) }
        }
        Some("json_schema") => {
            let wanted = &value["json_schema"];
            let name = wanted["name"].as_str().unwrap_or_default();
            if name.is_empty() || !wanted["schema"].is_object() {
                let message = "Missing required parameter: 'response_format.json_schema.name' or '.schema'.";
                return Err(
                    Error::invalid("response_format.json_schema", message).with_code("missing_required_parameter")
                );
            }
            if wanted["strict"] == true {
                brain::check_strict(&wanted["schema"]).map_err(|problem| {
                    Error::invalid("response_format", format!("Invalid schema for response_format '{name}': {problem}"))
                })?;
            }
            Ok(Format::JsonSchema(wanted["schema"].clone()))
        }
        _ => Err(Error::invalid("response_format.type", "Invalid value for 'response_format.type'.")
            .with_code("invalid_value")),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
