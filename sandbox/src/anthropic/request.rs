//! The body of a message request, read strictly.

use serde_json::{Value, json};

use super::Error;
use crate::brain::{Call, Choice, Conversation, Message, Role, Tool};

/// Every field that Messages know; another one is refused.
const FIELDS: &[&str] = &[
    "model",
    "max_tokens",
    "system",
    "messages",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "stream",
    "stop_sequences",
    "metadata",
    "service_tier",
    "temperature",
    "top_p",
    "top_k",
];
/// What the version 2026-10-21 forbids, even at its default.
const FORBIDDEN: &[&str] = &["temperature", "top_p", "top_k"];

#[derive(Debug)]
pub(super) struct Request {
    pub model: String,
    pub stream: bool,
    pub max_tokens: usize,
    pub conversation: Conversation,
    /// The schema of a structured answer.
    pub schema: Option<Value>,
    /// Tokens of the request, about a quarter of its characters.
    pub input_tokens: usize,
    /// Whether a block asks for the prompt cache.
    pub cached: bool,
}

impl Request {
    pub(super) fn read(body: &Value, version: &str) -> Result<Self, Error> {
        let fields = body.as_object().ok_or_else(|| Error::invalid("the body must be a JSON object"))?;
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(Error::invalid(format!("{unknown}: Extra inputs are not permitted")));
        }
        if version == "2026-10-21"
            && let Some(name) = FORBIDDEN.iter().find(|name| fields.contains_key(**name))
        {
            return Err(Error::invalid(format!("{name}: not supported in this version")));
        }
        let model = body["model"].as_str().ok_or_else(|| Error::invalid("model: Field required"))?;
        if !model.trim_start_matches("anthropic.").starts_with("claude-") {
            return Err(Error::new(404, format!("model: {model}")));
        }
        let max_tokens = body["max_tokens"].as_u64().filter(|tokens| *tokens > 0);
        let max_tokens = max_tokens.ok_or_else(|| Error::invalid("max_tokens: Field required"))?;
        let system = match &body["system"] {
            Value::Null => String::new(),
            system => text_of(system, "system")?,
        };
        let mut messages = Vec::new();
        if !system.is_empty() {
            messages.push(Message { role: Role::System, text: system, calls: Vec::new() });
        }
        read_messages(&body["messages"], &mut messages)?;
        let tools = tools(&body["tools"])?;
        Ok(Self {
            model: model.to_owned(),
            stream: body["stream"].as_bool().unwrap_or(false),
            max_tokens: usize::try_from(max_tokens).unwrap_or(usize::MAX),
            schema: (body["output_config"]["format"]["type"] == "json_schema")
                .then(|| body["output_config"]["format"]["schema"].clone()),
            conversation: Conversation {
                messages,
                choice: choice(&body["tool_choice"], &tools)?,
                parallel: body["tool_choice"]["disable_parallel_tool_use"] != true,
                tools,
            },
            input_tokens: body.to_string().len() / 4,
            cached: body.to_string().contains("\"cache_control\""),
        })
    }
}

/// Text, or blocks of type text; an empty one is refused.
fn text_of(value: &Value, place: &str) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let blocks =
        value.as_array().ok_or_else(|| Error::invalid(format!("{place}: Input should be a valid string or list")))?;
    let texts: Option<Vec<&str>> = blocks
        .iter()
        .map(|block| block["text"].as_str().filter(|text| block["type"] == "text" && !text.is_empty()))
        .collect();
    let texts = texts.ok_or_else(|| Error::invalid(format!("{place}: text content blocks must be non-empty")))?;
    Ok(texts.join("\n"))
}

/// Roles alternate, the human begins, and every tool use is answered in the next message.
fn read_messages(value: &Value, messages: &mut Vec<Message>) -> Result<(), Error> {
    let items = value.as_array().filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| Error::invalid("messages: at least one message is required"))?;
    let mut unanswered: Vec<String> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let role = item["role"].as_str().unwrap_or_default();
        let expected = if at % 2 == 0 { "user" } else { "assistant" };
        if role != expected {
            return Err(Error::invalid(
                "messages: roles must alternate between \"user\" and \"assistant\", and begin with \"user\"",
            ));
        }
        let blocks = match &item["content"] {
            Value::String(text) => vec![json!({ "type": "text", "text": text })],
            Value::Array(blocks) if !blocks.is_empty() => blocks.clone(),
            _ => return Err(Error::invalid(format!("messages.{at}.content: Field required"))),
        };
        let mut message = Message { role: Role::User, text: String::new(), calls: Vec::new() };
        if role == "assistant" {
            message.role = Role::Assistant;
        }
        for block in &blocks {
            match block["type"].as_str().unwrap_or_default() {
                "text" => {
                    let text = text_of(&json!([block]), &format!("messages.{at}"))?;
                    message.text = [std::mem::take(&mut message.text), text].join(" ").trim().to_owned();
                }
                "tool_use" if role == "assistant" && block["input"].is_object() => {
                    unanswered.push(block["id"].as_str().unwrap_or_default().to_owned());
                    let name = block["name"].as_str().unwrap_or_default().to_owned();
                    message.calls.push(Call { name, arguments: block["input"].clone() });
                }
                "tool_result" if role == "user" => {
                    let id = block["tool_use_id"].as_str().unwrap_or_default();
                    let known = unanswered.iter().position(|open| open == id);
                    let known = known.ok_or_else(|| {
                        Error::invalid(format!(
                            "messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}"
                        ))
                    })?;
                    unanswered.swap_remove(known);
                    let text = text_of(&block["content"], &format!("messages.{at}"))?;
                    messages.push(Message { role: Role::Tool, text, calls: Vec::new() });
                }
                other => return Err(Error::invalid(format!("messages.{at}: unexpected block of type {other}"))),
            }
        }
        if role == "user" && !unanswered.is_empty() {
            return Err(Error::invalid(
                "messages: `tool_use` ids were found without `tool_result` blocks immediately after",
            ));
        }
        if !message.text.is_empty() || !message.calls.is_empty() {
            messages.push(message);
        }
    }
    Ok(())
}

fn tools(value: &Value) -> Result<Vec<Tool>, Error> {
    let tool = |item: &Value| {
        let name = item["name"].as_str().filter(|name| !name.is_empty());
        match (name, &item["input_schema"]) {
            (Some(name), schema @ Value::Object(_)) => Ok(Tool { name: name.to_owned(), parameters: schema.clone() }),
            _ => Err(Error::invalid("tools: `name` and `input_schema` are required")),
        }
    };
    value.as_array().into_iter().flatten().map(tool).collect()
}

fn choice(value: &Value, tools: &[Tool]) -> Result<Choice, Error> {
    if !value.is_null() && tools.is_empty() {
        return Err(Error::invalid("tool_choice: may only be specified while providing tools"));
    }
    match value["type"].as_str() {
        None if value.is_null() => Ok(Choice::Auto),
        Some("auto") => Ok(Choice::Auto),
        Some("none") => Ok(Choice::None),
        Some("any") => Ok(Choice::Required),
        Some("tool") => Ok(Choice::Named(value["name"].as_str().unwrap_or_default().to_owned())),
        _ => Err(Error::invalid("tool_choice: Input should be 'auto', 'any', 'tool' or 'none'")),
    }
}
