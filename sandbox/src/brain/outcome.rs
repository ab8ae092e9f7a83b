//! What a conversation came to.

use super::{
    Conversation, Message, Role,
    dialogue::{State, UNDECIDED},
    facts::Kind,
    understanding::Intent,
    words::{plain, says},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    DoNotCall,
    WrongNumber,
    NotInterested,
    CallbackRequested,
    Voicemail,
    /// Nobody said anything that could be used.
    NoConversation,
    /// Agreed to a visit, or told everything that was asked.
    Qualified,
    /// Told something, and is neither qualified nor against it.
    Interested,
}

impl Outcome {
    pub(super) fn of(state: &State) -> Self {
        match state.strongest {
            Some(Intent::DoNotCall) => return Self::DoNotCall,
            Some(Intent::WrongNumber) => return Self::WrongNumber,
            Some(Intent::AlreadyBought) => return Self::NotInterested,
            _ => {}
        }
        let told = told(state).count();
        if state.wants_callback() {
            Self::CallbackRequested
        } else if state.visit().is_some() && told >= 2 || told >= 5 {
            Self::Qualified
        } else if state.refused() {
            Self::NotInterested
        } else if told > 0 || state.human_turns >= 2 {
            Self::Interested
        } else {
            Self::NoConversation
        }
    }

    /// Names that a schema may have for it, the best first.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::DoNotCall => {
                &["do_not_call", "dnc", "opt_out", "unsubscribed", "not_interested", "negative", "cold", "low"]
            }
            Self::WrongNumber => {
                &["wrong_number", "wrong_person", "invalid", "not_interested", "neutral", "cold", "low"]
            }
            Self::NotInterested => {
                &["not_interested", "rejected", "lost", "not_qualified", "unqualified", "negative", "cold", "low"]
            }
            Self::CallbackRequested => &[
                "callback_requested",
                "callback",
                "call_back",
                "call_back_later",
                "follow_up",
                "busy",
                "neutral",
                "warm",
                "medium",
            ],
            Self::Voicemail => {
                &["voicemail", "answering_machine", "machine", "no_answer", "no_conversation", "neutral", "cold", "low"]
            }
            Self::NoConversation => {
                &["no_conversation", "no_response", "no_answer", "unclear", "neutral", "cold", "low"]
            }
            Self::Qualified => &[
                "qualified",
                "site_visit_scheduled",
                "site_visit",
                "hot",
                "interested",
                "success",
                "buy",
                "positive",
                "high",
            ],
            Self::Interested => &["interested", "follow_up", "warm", "not_qualified", "neutral", "medium", "explore"],
        }
    }

    /// 0 to 100.
    pub(super) fn score(self, state: &State) -> u64 {
        let told = told(state).count() as u64;
        match self {
            Self::DoNotCall | Self::WrongNumber => 0,
            Self::Voicemail | Self::NoConversation => 10,
            Self::NotInterested => 5 + told.min(5),
            Self::CallbackRequested => 40 + told * 5,
            Self::Interested => 35 + told * 8,
            Self::Qualified => 60 + told * 6,
        }
        .min(100)
    }

    pub(super) fn summary(self, state: &State) -> String {
        let facts = reasons(state).join("; ");
        let ending = match self {
            Self::DoNotCall => "They asked not to be called again.",
            Self::WrongNumber => "It was a wrong number.",
            Self::NotInterested => "They are not interested.",
            Self::CallbackRequested => "They asked to be called back.",
            Self::Voicemail => "An answering machine took the call.",
            Self::NoConversation => "There was no real conversation.",
            Self::Qualified => "They are a qualified lead.",
            Self::Interested => "They showed some interest.",
        };
        if facts.is_empty() { ending.to_owned() } else { format!("{ending} They told: {facts}.") }
    }

    pub(super) fn next_step(self, state: &State) -> String {
        match self {
            Self::DoNotCall => "Do not call again.".into(),
            Self::WrongNumber => "Correct or remove the number.".into(),
            Self::NotInterested => "No further action.".into(),
            Self::CallbackRequested => format!("Call back {}.", state.callback.as_deref().unwrap_or("later")),
            Self::Voicemail | Self::NoConversation => "Try again another time.".into(),
            Self::Qualified => match state.visit() {
                Some(when) => format!("Confirm the site visit for {when}."),
                None => "An advisor should call.".into(),
            },
            Self::Interested => "Send details and follow up.".into(),
        }
    }
}

/// Field keys and answers that say something.
fn told(state: &State) -> impl Iterator<Item = (&str, &str)> {
    let fields = state.briefing.fields.iter();
    fields.filter_map(|field| {
        let value = state.answers.get(&field.key).filter(|value| !matches!(value.as_str(), UNDECIDED | "declined"))?;
        Some((field.key.as_str(), value.as_str()))
    })
}

/// What speaks for or against them, one short phrase each.
pub(super) fn reasons(state: &State) -> Vec<String> {
    told(state).map(|(key, value)| format!("{} {value}", key.replace('_', " "))).collect()
}

/// All answers, for lists of fields and values.
pub(super) fn answers(state: &State) -> Vec<(String, String)> {
    told(state).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The answer that belongs to a property of this name.
pub(super) fn answer_named(state: &State, name: &str) -> Option<String> {
    let kind = Kind::of(name);
    told(state)
        .find(|(key, _)| *key == name || kind != Kind::Other && Kind::of(key) == kind)
        .map(|(_, value)| value.to_owned())
}

/// Whether what the human side said is the text of a machine.
pub(super) fn is_voicemail(conversation: &Conversation) -> bool {
    const MACHINE: &[&str] = &[
        "leave a message",
        "leave your message",
        "after the tone",
        "after the beep",
        "voicemail",
        "is not available",
        "switched off",
        "record your message",
    ];
    conversation.messages.iter().any(|message| message.role == Role::User && says(&plain(&message.text), MACHINE))
}

/// The dialogue that a request for an analysis talks about: the transcript in its last message, else
/// the messages themselves.
pub(super) fn transcript(conversation: &Conversation) -> Conversation {
    let text = conversation
        .messages
        .iter()
        .rev()
        .find(|message| message.role == Role::User)
        .map_or("", |message| message.text.as_str());
    let mut turns = Vec::new();
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => turns_in(&json, &mut turns),
        Err(_not_json) => turns.extend(text.lines().filter_map(turn_in)),
    }
    if turns.is_empty() {
        return conversation.clone();
    }
    let system = conversation.messages.iter().filter(|message| message.role == Role::System).cloned();
    Conversation { messages: system.chain(turns).collect(), ..conversation.clone() }
}

fn turns_in(json: &serde_json::Value, turns: &mut Vec<Message>) {
    use serde_json::Value;
    match json {
        Value::Array(items) => items.iter().for_each(|item| turns_in(item, turns)),
        Value::Object(object) => {
            let named = |names: &[&str]| names.iter().find_map(|name| object.get(*name)?.as_str());
            match (named(&["speaker", "role", "who"]).and_then(role_of), named(&["text", "content", "said", "words"])) {
                (Some(role), Some(text)) => turns.push(Message { role, text: text.to_owned(), calls: vec![] }),
                _ => object.values().for_each(|value| turns_in(value, turns)),
            }
        }
        _ => {}
    }
}

/// `Agent: Hello`, perhaps with a number or a time before the name.
fn turn_in(line: &str) -> Option<Message> {
    let mut labels = line.match_indices(':');
    labels.find_map(|(at, _)| {
        let label = line[..at].rsplit(|c: char| !(c.is_alphabetic() || c == ' ')).next()?;
        let role = role_of(label.trim())?;
        Some(Message { role, text: line[at + 1..].trim().to_owned(), calls: vec![] })
    })
}

fn role_of(label: &str) -> Option<Role> {
    match label.to_lowercase().as_str() {
        "agent" | "assistant" | "ai" | "bot" | "voice agent" | "ai agent" => Some(Role::Assistant),
        "callee" | "caller" | "human" | "user" | "lead" | "customer" | "client" | "person" | "contact" | "prospect" => {
            Some(Role::User)
        }
        _ => None,
    }
}
