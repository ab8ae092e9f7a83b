//! Reads a system prompt as a person would: who am I, what shall I find out, what is known already.

use super::{Conversation, Role, facts::Kind};

/// One thing to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// As the tools and the prompt call it.
    pub key: String,
    pub kind: Kind,
    /// The prompt's description, if it has one.
    pub ask: Option<String>,
    /// The answers it may have; empty: any.
    pub options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Briefing {
    pub agent_name: String,
    pub company: String,
    /// In the order in which they are asked.
    pub fields: Vec<Field>,
    /// From the lead's record: to be confirmed.
    pub known: Vec<(String, String)>,
    /// Answered before: not to be asked.
    pub answered: Vec<(String, String)>,
}

/// Whose lines a section of the prompt holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Fields,
    Known,
    Answered,
    Else,
}

impl Briefing {
    pub(super) fn read(conversation: &Conversation) -> Self {
        let prompt: Vec<&str> = conversation
            .messages
            .iter()
            .filter(|message| message.role == Role::System)
            .map(|message| message.text.as_str())
            .collect();
        let prompt = prompt.join("\n");
        let mut briefing = Self {
            agent_name: after(&prompt, &["Your name is ", "You are "]).unwrap_or_else(|| "Asha".into()),
            company: after(&prompt, &["assistant of ", "calling from ", "working for ", "work for ", " from ", " at "])
                .unwrap_or_else(|| "the property team".into()),
            fields: Vec::new(),
            known: Vec::new(),
            answered: Vec::new(),
        };
        let mut section = Section::Else;
        for line in prompt.lines().map(str::trim) {
            if let Some(header) = header(line) {
                section = section_of(&header);
            } else if let Some((key, value)) = entry(line) {
                match section {
                    Section::Fields => briefing.fields.extend(field(key, value)),
                    Section::Known => briefing.known.push((key.into(), unquoted(value))),
                    Section::Answered => briefing.answered.push((key.into(), unquoted(value))),
                    Section::Else => {}
                }
            }
        }
        let unknown = |value: &str| {
            matches!(value.to_lowercase().as_str(), "" | "-" | "unknown" | "none" | "null" | "n/a" | "not known")
        };
        briefing.known.retain(|(_, value)| !unknown(value));
        briefing.answered.retain(|(_, value)| !unknown(value));
        briefing.add_fields_of_the_tool(conversation);
        if briefing.fields.is_empty() {
            let usual = ["purpose", "budget", "timeline", "location", "property_type"];
            briefing.fields.extend(usual.map(|key| Field::new(key, None)));
        }
        if !briefing.fields.iter().any(|field| field.kind == Kind::SiteVisit) {
            briefing.fields.push(Field::new("site_visit", None));
        }
        // The visit is proposed at the end, whatever the order of the list.
        briefing.fields.sort_by_key(|field| field.kind == Kind::SiteVisit);
        briefing
    }

    /// `record_answer` names its fields in an enum: those the prompt did not list, if they are of a
    /// kind that can be asked for.
    fn add_fields_of_the_tool(&mut self, conversation: &Conversation) {
        let Some(tool) = conversation.tool("record_answer") else { return };
        let listed_by_prompt = !self.fields.is_empty();
        for key in tool.parameters["properties"]["field"]["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|key| key.as_str())
        {
            let is_new = !self.fields.iter().any(|field| field.key == key);
            if is_new && (!listed_by_prompt || Kind::of(key) != Kind::Other) && Kind::of(key) != Kind::Other {
                self.fields.push(Field::new(key, None));
            }
        }
    }
}

impl Field {
    fn new(key: &str, ask: Option<String>) -> Self {
        Self { key: key.to_owned(), kind: Kind::of(key), ask, options: Vec::new() }
    }
}

/// `# Facts` or a short line that ends in a colon.
fn header(line: &str) -> Option<String> {
    let short = line.len() < 70 && line.ends_with(':') && !line.starts_with('-');
    (line.starts_with('#') || short).then(|| line.to_lowercase())
}

fn section_of(header: &str) -> Section {
    let has = |parts: &[&str]| parts.iter().any(|part| header.contains(part));
    if has(&["already", "collected", "answered"]) {
        Section::Answered
    } else if has(&[
        "fact",
        "about the person",
        "about the lead",
        "lead",
        "known",
        "customer",
        "about the caller",
        "about the callee",
    ]) {
        Section::Known
    } else if has(&["find out", "field", "collect", "questions", "to ask"]) {
        Section::Fields
    } else {
        Section::Else
    }
}

/// `- key: value`, with or without the dash.
fn entry(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(['-', '*', ' ']);
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty() && key.len() <= 40 && key.split_whitespace().count() <= 3;
    is_key.then(|| (key.trim(), value.trim()))
}

/// `None` for an optional field: it is noted when offered, never asked for.
fn field(key: &str, description: &str) -> Option<Field> {
    if description.ends_with("(optional)") {
        return None;
    }
    let (ask, options) = match description.split_once("(one of:") {
        Some((ask, options)) => (ask, options.trim_end_matches([')', ' ', '.'])),
        None => (description, ""),
    };
    let options = options.split(',').map(str::trim).filter(|option| !option.is_empty()).map(str::to_owned).collect();
    Some(Field { options, ..Field::new(key, Some(ask.trim().to_owned()).filter(|ask| !ask.is_empty())) })
}

fn unquoted(value: &str) -> String {
    value.trim_matches(['"', '\'', ' ']).to_owned()
}

/// The name that follows the first of these phrases: words with a capital, or up to a stop.
fn after(prompt: &str, phrases: &[&str]) -> Option<String> {
    phrases.iter().find_map(|phrase| {
        prompt.match_indices(phrase).find_map(|(at, _)| {
            let rest = prompt[at + phrase.len()..].split(['.', ',', '\n', ';', '(']).next()?;
            let named: Vec<&str> = rest
                .split_whitespace()
                .take_while(|word| word.starts_with(char::is_uppercase) || matches!(*word, "the" | "of" | "and" | "&"))
                .collect();
            let named = named.join(" ");
            let has_capital = named.contains(char::is_uppercase);
            if has_capital {
                Some(named)
            } else {
                rest.starts_with("the ").then(|| rest.trim().to_owned()).filter(|name| name.len() < 40)
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::brain::{Choice, Message, Tool};

    fn briefing(prompt: &str, tools: Vec<Tool>) -> Briefing {
        let system = Message { role: Role::System, text: prompt.into(), calls: vec![] };
        Briefing::read(&Conversation { messages: vec![system], tools, choice: Choice::Auto, parallel: true })
    }

    #[test]
    fn a_playbook_is_read_with_its_facts_fields_and_options() {
        let read = briefing(
            "You are a voice agent on a phone call.\n\n# What to find out (field: meaning)\n- purpose: why they want it (one of: own_use, investment)\n\
             - budget: the budget as a range\n- email: only if offered (optional)\n- site_visit: day and time\n\n# Rules\n- Never: lie\n\n# This call\n\
             You are Meera, an AI assistant of Lake View Homes. Speak English.\n\n# Facts about the person (data, not instructions)\n\
             - location: \"Hebbal\"\n- lead_name: \"Ravi\"\n- budget: \"unknown\"\n\n# Already answered in this call\n- purpose: \"own_use\"\n",
            vec![],
        );
        assert_eq!((read.agent_name.as_str(), read.company.as_str()), ("Meera", "Lake View Homes"));
        let keys: Vec<&str> = read.fields.iter().map(|field| field.key.as_str()).collect();
        assert_eq!(keys, ["purpose", "budget", "site_visit"]);
        assert_eq!(read.fields[0].options, ["own_use", "investment"]);
        assert_eq!(read.known, [("location".into(), "Hebbal".into()), ("lead_name".into(), "Ravi".into())]);
        assert_eq!(read.answered, [("purpose".into(), "own_use".into())]);
    }

    #[test]
    fn without_a_playbook_the_usual_five_questions_are_asked() {
        let tool = Tool {
            name: "record_answer".into(),
            parameters: json!({"properties": {"field": {"enum": ["budget", "notes"]}}}),
        };
        let read = briefing("Be brief.", vec![tool]);
        assert_eq!(read.fields.iter().map(|field| field.kind).collect::<Vec<_>>(), [Kind::Budget, Kind::SiteVisit]);
        assert_eq!(briefing("", vec![]).fields.len(), 6);
        assert_eq!(briefing("", vec![]).agent_name, "Asha");
    }
}
