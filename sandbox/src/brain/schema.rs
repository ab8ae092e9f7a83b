//! Values for a JSON schema, taken from a conversation: by the names of the properties, their enums
//! and their types. Whatever the schema, the value fits it.

use serde_json::{Map, Value, json};

use super::{
    Conversation,
    dialogue::State,
    facts::Kind,
    hindi,
    outcome::{self, Outcome},
    understanding::Intent,
};

/// A schema that refers to itself ends here in empty lists and nulls.
const MAX_DEPTH: usize = 10;

/// What is known beside the conversation itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hints<'a> {
    pub outcome: Outcome,
    /// When somebody wants to be called.
    pub when: Option<&'a str>,
    /// For a call that notes one answer: which, and what it is.
    pub field: Option<&'a str>,
    pub value: Option<&'a str>,
}

/// A value for `schema` from the conversation, or from the transcript that its last message holds.
pub fn fill(schema: &Value, conversation: &Conversation) -> Value {
    let transcript = outcome::transcript(conversation);
    let (transcript, _) = hindi::understood(&transcript);
    let state = State::read(&transcript);
    let outcome = if outcome::is_voicemail(&transcript) { Outcome::Voicemail } else { Outcome::of(&state) };
    let when = state.callback.clone();
    let hints = Hints { outcome, when: when.as_deref(), field: None, value: None };
    fill_with(schema, &hints, &state)
}

pub(super) fn fill_with(schema: &Value, hints: &Hints<'_>, state: &State) -> Value {
    Filler { root: schema, hints, state }.value("", schema, 0)
}

struct Filler<'a> {
    root: &'a Value,
    hints: &'a Hints<'a>,
    state: &'a State,
}

impl Filler<'_> {
    fn value(&self, name: &str, schema: &Value, depth: usize) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = reference.strip_prefix('#').and_then(|path| self.root.pointer(path));
            return target
                .filter(|_| depth < 2 * MAX_DEPTH)
                .map_or(Value::Null, |target| self.value(name, target, depth + 1));
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(options) = schema["enum"].as_array() {
            return self.choose(name, options);
        }
        for combined in ["anyOf", "oneOf"] {
            if let Some(branches) = schema[combined].as_array() {
                let null = branches.iter().find(|branch| branch["type"] == "null");
                let other = branches.iter().find(|branch| branch["type"] != "null");
                return match (null, other) {
                    (Some(_), Some(other)) if depth < MAX_DEPTH && self.has_something(name, other) => {
                        self.value(name, other, depth + 1)
                    }
                    (Some(_), _) => Value::Null,
                    (None, Some(other)) => self.value(name, other, depth + 1),
                    (None, None) => Value::Null,
                };
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let mut merged = Map::new();
            for part in parts {
                if let Value::Object(part) = self.value(name, part, depth + 1) {
                    merged.extend(part);
                }
            }
            return Value::Object(merged);
        }
        match &schema["type"] {
            Value::String(kind) => self.of_type(kind, name, schema, depth),
            Value::Array(kinds) => {
                let nullable = kinds.iter().any(|kind| kind == "null");
                let kind = kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null");
                if nullable && !self.has_something(name, &json!({ "type": kind })) {
                    return Value::Null;
                }
                self.of_type(kind, name, schema, depth)
            }
            _ if schema["properties"].is_object() => self.of_type("object", name, schema, depth),
            _ => self.string(name, schema).map_or(Value::Null, Value::String),
        }
    }

    fn of_type(&self, kind: &str, name: &str, schema: &Value, depth: usize) -> Value {
        match kind {
            "object" => self.object(schema, depth),
            "array" => self.array(name, schema, depth),
            "string" => Value::String(self.string_within(name, schema)),
            "integer" => json!(self.number(name, schema).round() as i64),
            "number" => json!(self.number(name, schema)),
            "boolean" => Value::Bool(self.boolean(name)),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        Value::Object(
            properties.iter().map(|(name, schema)| (name.clone(), self.value(name, schema, depth + 1))).collect(),
        )
    }

    fn array(&self, name: &str, schema: &Value, depth: usize) -> Value {
        let mut items = schema["items"].clone();
        if let Some(path) = items["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            items = self.root.pointer(path).cloned().unwrap_or(Value::Null);
        }
        let at_least = schema["minItems"].as_u64().unwrap_or(0) as usize;
        let at_most = schema["maxItems"].as_u64().map_or(usize::MAX, |most| most as usize);
        let mut filled = if depth >= MAX_DEPTH {
            Vec::new()
        } else if items["type"] == "string" && items["enum"].is_null() {
            let mut reasons = outcome::reasons(self.state);
            if reasons.is_empty() && name.contains("reason") {
                reasons.push(self.hints.outcome.summary(self.state));
            }
            reasons.into_iter().map(Value::String).collect()
        } else {
            self.noted_answers(&items, depth)
        };
        while filled.len() < at_least {
            filled.push(self.value(name, &items, depth + 1));
        }
        filled.truncate(at_most);
        Value::Array(filled)
    }

    /// `[{"field": .., "value": ..}, ..]`: one item per answer.
    fn noted_answers(&self, items: &Value, depth: usize) -> Vec<Value> {
        let Some(properties) = items["properties"].as_object() else { return Vec::new() };
        let has = |names: &[&str]| names.iter().any(|name| properties.contains_key(*name));
        if !has(&["field", "key", "name", "question"]) || !has(&["value", "answer"]) {
            return Vec::new();
        }
        outcome::answers(self.state)
            .iter()
            .map(|(field, value)| {
                let hints = Hints { field: Some(field), value: Some(value), ..*self.hints };
                Filler { hints: &hints, ..*self }.value("", items, depth + 1)
            })
            .collect()
    }

    /// The option that suits; never one that is not listed.
    fn choose(&self, name: &str, options: &[Value]) -> Value {
        let normal = |text: &str| text.to_lowercase().replace([' ', '-'], "_");
        let find = |wanted: &str| {
            let wanted = normal(wanted);
            options.iter().find(|option| option.as_str().is_some_and(|option| normal(option) == wanted)).cloned()
        };
        if matches!(name, "field" | "key")
            && let Some(found) = self.hints.field.and_then(&find)
        {
            return found;
        }
        if let Some(answer) = outcome::answer_named(self.state, name) {
            let close = options.iter().find(|option| {
                let answer = normal(&answer);
                option.as_str().is_some_and(|option| {
                    answer.contains(&normal(option))
                        || normal(option).split('_').any(|part| part.len() > 2 && answer.contains(part))
                })
            });
            if let Some(found) = find(&answer).or_else(|| close.cloned()) {
                return found;
            }
        }
        let by_outcome = || {
            let names = self.hints.outcome.names().iter();
            names.clone().find_map(|name| find(name)).or_else(|| names.clone().find_map(|name| contains(options, name)))
        };
        let neutral = || ["other", "unknown", "none", "unclear", "undecided"].iter().find_map(|name| find(name));
        let null = || options.iter().find(|option| option.is_null()).cloned();
        let is_a_fact = Kind::of(name) != Kind::Other;
        let chosen = if is_a_fact { null().or_else(neutral) } else { by_outcome().or_else(null).or_else(neutral) };
        chosen.or_else(|| options.first().cloned()).unwrap_or(Value::Null)
    }

    /// Whether a nullable property has a value worth telling.
    fn has_something(&self, name: &str, schema: &Value) -> bool {
        match schema["type"].as_str() {
            Some("string") | None => self.string(name, schema).is_some(),
            Some("null") => false,
            Some(_) => true,
        }
    }

    fn string_within(&self, name: &str, schema: &Value) -> String {
        let mut text = self.string(name, schema).unwrap_or_default();
        let at_least = schema["minLength"].as_u64().unwrap_or(0) as usize;
        let missing = at_least.saturating_sub(text.chars().count());
        text.extend(std::iter::repeat_n('.', missing));
        match schema["maxLength"].as_u64() {
            Some(most) => text.chars().take(most as usize).collect(),
            None => text,
        }
    }

    fn string(&self, name: &str, schema: &Value) -> Option<String> {
        let lower = name.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
        let outcome = self.hints.outcome;
        match lower.as_str() {
            "field" | "key" | "question" if self.hints.field.is_some() => return self.hints.field.map(str::to_owned),
            "value" | "answer" if self.hints.value.is_some() => return self.hints.value.map(str::to_owned),
            _ => {}
        }
        // Dates cannot be told from words like "tomorrow evening" without a calendar.
        if matches!(schema["format"].as_str(), Some("date-time" | "date" | "time" | "email" | "uri")) {
            return None;
        }
        if has(&["when", "callback", "call_back", "time_of"]) || lower == "at" {
            return self
                .hints
                .when
                .map(str::to_owned)
                .filter(|_| outcome == Outcome::CallbackRequested || lower == "when");
        }
        if has(&["summary", "overview", "description"]) {
            return Some(outcome.summary(self.state));
        }
        if has(&["disposition", "outcome", "result", "status", "intent", "reason_code"]) || lower == "reason" {
            return outcome.names().first().map(|name| (*name).to_owned());
        }
        if has(&["reason", "rationale", "explanation", "why"]) {
            return Some(outcome.summary(self.state));
        }
        if has(&["next", "action", "follow"]) {
            return Some(outcome.next_step(self.state));
        }
        if has(&["language"]) {
            return Some("en".into());
        }
        outcome::answer_named(self.state, name)
    }

    fn number(&self, name: &str, schema: &Value) -> f64 {
        let bound = |names: [&str; 2]| names.iter().find_map(|name| schema[*name].as_f64());
        let least = bound(["minimum", "exclusiveMinimum"]);
        let most = bound(["maximum", "exclusiveMaximum"]);
        let lower = name.to_lowercase();
        let share =
            if ["score", "rating", "probability", "likelihood", "interest"].iter().any(|part| lower.contains(part)) {
                self.hints.outcome.score(self.state) as f64 / 100.0
            } else if lower.contains("confidence") {
                0.9
            } else {
                0.0
            };
        let usual_top = if lower.contains("confidence") || lower.contains("probability") || lower.contains("likelihood")
        {
            1.0
        } else {
            100.0
        };
        let (least, most) = (least.unwrap_or(0.0), most.unwrap_or(usual_top).max(least.unwrap_or(0.0)));
        let value = least + (most - least) * share;
        match schema["multipleOf"].as_f64().filter(|step| *step > 0.0) {
            Some(step) => (value / step).floor() * step,
            None => (value * 100.0).round() / 100.0,
        }
    }

    fn boolean(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
        let outcome = self.hints.outcome;
        if has(&["do_not_call", "dnc", "opt_out"]) {
            outcome == Outcome::DoNotCall
        } else if has(&["callback", "call_back"]) {
            outcome == Outcome::CallbackRequested
        } else if has(&["visit"]) {
            self.state.visit().is_some()
        } else if has(&["wrong"]) {
            outcome == Outcome::WrongNumber
        } else if has(&["voicemail", "machine"]) {
            outcome == Outcome::Voicemail
        } else if has(&["human", "robot"]) {
            self.state.intent == Some(Intent::WantsHuman)
        } else if has(&["qualified"]) {
            outcome == Outcome::Qualified
        } else {
            has(&["interested"]) && matches!(outcome, Outcome::Qualified | Outcome::Interested)
        }
    }
}

/// `qualified` in `lead_qualified`, but not in `not_qualified`.
fn contains(options: &[Value], wanted: &str) -> Option<Value> {
    let negative = |text: &str| {
        text.starts_with("not") || text.starts_with("un") || text.starts_with("dis") || text.contains("_not_")
    };
    options
        .iter()
        .find(|option| {
            option.as_str().is_some_and(|option| {
                let option = option.to_lowercase().replace([' ', '-'], "_");
                option.contains(wanted) && negative(&option) == negative(wanted)
            })
        })
        .cloned()
}

/// Why a schema cannot be used with `strict: true`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("In context=({context}), {rule}")]
pub struct NotStrict {
    context: String,
    rule: String,
}

/// OpenAI's rules for strict schemas: the root is an object, every object forbids further properties
/// and requires all of its own.
pub fn check_strict(schema: &Value) -> Result<(), NotStrict> {
    if schema["type"] != "object" {
        let rule = format!("schema must be a JSON Schema of 'type: \"object\"', got 'type: {}'.", schema["type"]);
        return Err(NotStrict { context: "()".into(), rule });
    }
    check_part(schema, &mut Vec::new())
}

fn check_part(schema: &Value, path: &mut Vec<String>) -> Result<(), NotStrict> {
    let not_strict = |path: &[String], rule: String| {
        let context = path.iter().map(|part| format!("'{part}'")).collect::<Vec<_>>().join(", ");
        Err(NotStrict { context, rule })
    };
    let is_object = schema["type"] == "object"
        || schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"));
    if is_object {
        if schema["additionalProperties"] != Value::Bool(false) {
            return not_strict(path, "'additionalProperties' is required to be supplied and to be false.".into());
        }
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let missing =
            schema["properties"].as_object().into_iter().flatten().find(|(name, _)| !required.contains(&name.as_str()));
        if let Some((name, _)) = missing {
            let rule = format!(
                "'required' is required to be supplied and to be an array including every key in properties. Missing '{name}'."
            );
            return not_strict(path, rule);
        }
    }
    let named = ["properties", "$defs", "definitions"].into_iter().flat_map(|group| {
        schema[group].as_object().into_iter().flatten().map(move |(name, part)| (format!("{group}.{name}"), part))
    });
    let listed = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .flat_map(|group| schema[group].as_array().into_iter().flatten().map(move |part| (group.to_owned(), part)));
    let items = schema.get("items").map(|part| ("items".to_owned(), part));
    for (name, part) in named.chain(listed).chain(items) {
        path.push(name);
        check_part(part, path)?;
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
