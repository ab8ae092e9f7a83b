//! The rules of both sockets, decided from the messages alone. No sockets, no clock, no audio.
//!
//! `stream-input` has one context without a name; an empty text ends it. `multi-stream-input` has up
//! to five named ones; there an empty text keeps one alive.

use std::collections::HashMap;

use serde_json::Value;

use super::{error::Error, query::check_key};

/// Contexts that may be open on one socket.
const MAX_CONTEXTS: usize = 5;
/// Characters before audio is made, first, second, … time, without `auto_mode`.
const USUAL_SCHEDULE: [usize; 4] = [120, 160, 250, 290];
/// `try_trigger_generation` needs this many characters.
const TRIGGER_AT: usize = 50;
/// Text of one message and of one buffer.
const MAX_TEXT: usize = 40_000;

const FIELDS: &[&str] = &[
    "text",
    "context_id",
    "voice_settings",
    "generation_config",
    "flush",
    "close_context",
    "close_socket",
    "try_trigger_generation",
    "xi_api_key",
    "authorization",
    "pronunciation_dictionary_locators",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Multi,
}

/// What follows from a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Open {
        context: String,
    },
    /// Make audio of this text.
    Speak {
        context: String,
        text: String,
    },
    /// What was begun is finished, then the context is final.
    Close {
        context: String,
    },
    CloseSocket,
}

#[derive(Debug, Default)]
struct Context {
    buffer: String,
    schedule: Vec<usize>,
    pieces: usize,
}

/// The contexts of one socket.
pub(super) struct Contexts {
    kind: Kind,
    auto_mode: bool,
    has_key: bool,
    open: HashMap<String, Context>,
    /// A `stream-input` socket that was ended.
    ended: bool,
}

impl Contexts {
    /// Without a key in the handshake the first message has to bring one.
    pub(super) fn new(kind: Kind, auto_mode: bool, has_key: bool) -> Self {
        Self { kind, auto_mode, has_key, open: HashMap::new(), ended: false }
    }

    /// The actions that follow, in order; an error closes the socket with 1008.
    pub(super) fn take(&mut self, text: &str) -> Result<Vec<Action>, Error> {
        let message: Value = serde_json::from_str(text)
            .map_err(|_invalid| violation("invalid_message", "The message is not valid JSON."))?;
        let fields =
            message.as_object().ok_or_else(|| violation("invalid_message", "The message is not a JSON object."))?;
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(violation("invalid_message", format!("unknown field '{unknown}'")));
        }
        if !self.has_key {
            check_key(message["xi_api_key"].as_str().unwrap_or_default())?;
            self.has_key = true;
        }
        if self.ended || message["close_socket"] == true {
            self.ended = true;
            let mut actions: Vec<Action> = self.open.drain().map(|(context, _)| Action::Close { context }).collect();
            actions.push(Action::CloseSocket);
            return Ok(actions);
        }
        let text = match &message["text"] {
            Value::Null => None,
            Value::String(text) if text.len() <= MAX_TEXT => Some(text.as_str()),
            Value::String(_) => {
                return Err(violation("max_character_limit_exceeded", "The text of a message is too long."));
            }
            _ => return Err(violation("invalid_message", "'text' must be a string")),
        };
        match self.kind {
            Kind::Single => self.take_single(text, &message),
            Kind::Multi => self.take_multi(text, &message),
        }
    }

    fn take_single(&mut self, text: Option<&str>, message: &Value) -> Result<Vec<Action>, Error> {
        if !message["context_id"].is_null() || !message["close_context"].is_null() {
            return Err(violation("invalid_message", "stream-input has no contexts"));
        }
        let text = text.ok_or_else(|| violation("invalid_message", "'text' is required"))?;
        let id = String::new();
        let mut actions = Vec::new();
        if !self.open.contains_key(&id) {
            self.open.insert(id.clone(), Context::new(message)?);
            actions.push(Action::Open { context: id.clone() });
        }
        let ends = text.is_empty();
        self.speak(
            &id,
            text,
            message["flush"] == true || ends,
            message["try_trigger_generation"] == true,
            &mut actions,
        );
        if ends {
            self.open.remove(&id);
            self.ended = true;
            actions.push(Action::Close { context: id });
            actions.push(Action::CloseSocket);
        }
        Ok(actions)
    }

    fn take_multi(&mut self, text: Option<&str>, message: &Value) -> Result<Vec<Action>, Error> {
        let id = match &message["context_id"] {
            Value::Null => "default".to_owned(),
            Value::String(id) if !id.is_empty() => id.clone(),
            _ => return Err(violation("invalid_message", "'context_id' must be a non-empty string")),
        };
        let is_open = self.open.contains_key(&id);
        if message["close_context"] == true {
            // Closing what is closed already is a race of the two sides, not a mistake.
            return Ok(self.open.remove(&id).map(|_| Action::Close { context: id }).into_iter().collect());
        }
        let mut actions = Vec::new();
        if !is_open {
            match text {
                None if message["flush"] == true => return Ok(actions),
                None => return Err(violation("invalid_message", "'text' is required to open a context")),
                Some("") => {
                    return Err(violation(
                        "policy_violation",
                        "A context must be initialised before it is kept alive.",
                    ));
                }
                Some(_) if self.open.len() >= MAX_CONTEXTS => {
                    return Err(violation(
                        "max_contexts_exceeded",
                        "Maximum number of simultaneous contexts exceeded (5).",
                    ));
                }
                Some(_) => {}
            }
            self.open.insert(id.clone(), Context::new(message)?);
            actions.push(Action::Open { context: id.clone() });
        } else if ["voice_settings", "generation_config"].iter().any(|name| !message[*name].is_null()) {
            return Err(violation("policy_violation", "voice_settings may only be sent when a context is opened."));
        }
        self.speak(
            &id,
            text.unwrap_or_default(),
            message["flush"] == true,
            message["try_trigger_generation"] == true,
            &mut actions,
        );
        Ok(actions)
    }

    /// Adds text, and takes out what is to be spoken now.
    fn speak(&mut self, id: &str, text: &str, flush: bool, trigger: bool, actions: &mut Vec<Action>) {
        let auto_mode = self.auto_mode;
        let Some(context) = self.open.get_mut(id) else { return };
        context.buffer.push_str(text);
        while let Some(piece) = context.next_piece(auto_mode, flush, trigger) {
            context.pieces += 1;
            actions.push(Action::Speak { context: id.to_owned(), text: piece });
        }
    }
}

impl Context {
    fn new(message: &Value) -> Result<Self, Error> {
        let schedule = match &message["generation_config"]["chunk_length_schedule"] {
            Value::Null => USUAL_SCHEDULE.to_vec(),
            schedule => {
                let lengths = schedule
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|length| length.as_u64().filter(|length| (50..=500).contains(length)));
                let lengths: Option<Vec<usize>> = lengths.map(|length| length.map(|length| length as usize)).collect();
                let wrong = || violation("invalid_message", "'chunk_length_schedule' takes numbers from 50 to 500");
                lengths.filter(|lengths| !lengths.is_empty()).ok_or_else(wrong)?
            }
        };
        for (name, most) in [("stability", 1.0), ("similarity_boost", 1.0), ("style", 1.0), ("speed", 1.2)] {
            let value = &message["voice_settings"][name];
            if !value.is_null() && value.as_f64().is_none_or(|value| !(0.0..=most).contains(&value)) {
                return Err(violation("invalid_voice_settings", format!("'{name}' is out of range")));
            }
        }
        Ok(Self { schedule, ..Self::default() })
    }

    fn next_piece(&mut self, auto_mode: bool, flush: bool, trigger: bool) -> Option<String> {
        let length = self.buffer.chars().count();
        let due = self.schedule[self.pieces.min(self.schedule.len() - 1)];
        let end = if flush {
            self.buffer.len()
        } else if auto_mode {
            sentence_end(&self.buffer)?
        } else if length >= due || trigger && length >= TRIGGER_AT {
            sentence_end(&self.buffer).or_else(|| self.buffer.rfind(' '))?
        } else {
            return None;
        };
        let piece = self.buffer[..end].trim().to_owned();
        self.buffer.drain(..end);
        (!piece.is_empty()).then_some(piece)
    }
}

/// Behind the last sentence that is complete.
fn sentence_end(text: &str) -> Option<usize> {
    let ends = text.char_indices().filter(|(_, c)| matches!(c, '.' | '!' | '?' | '।' | '\n'));
    ends.filter_map(|(at, c)| {
        let end = at + c.len_utf8();
        let rest = &text[end..];
        (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(end)
    })
    .next_back()
    .filter(|end| !text[..*end].trim().is_empty())
}

fn violation(status: &'static str, message: impl Into<String>) -> Error {
    Error::bad_request(status, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multi() -> Contexts {
        Contexts::new(Kind::Multi, true, true)
    }

    fn speak(context: &str, text: &str) -> Action {
        Action::Speak { context: context.into(), text: text.into() }
    }

    #[test]
    fn a_reply_is_opened_spoken_flushed_and_closed() {
        let mut contexts = multi();
        let opened = contexts.take(r#"{"text":" ","context_id":"a","voice_settings":{"stability":0.5}}"#).unwrap();
        assert_eq!(opened, [Action::Open { context: "a".into() }]);
        assert_eq!(contexts.take(r#"{"text":"Hello. How ","context_id":"a"}"#).unwrap(), [speak("a", "Hello.")]);
        assert_eq!(contexts.take(r#"{"text":"are you ","context_id":"a"}"#).unwrap(), []);
        assert_eq!(contexts.take(r#"{"context_id":"a","flush":true}"#).unwrap(), [speak("a", "How are you")]);
        assert_eq!(contexts.take(r#"{"text":"","context_id":"a"}"#).unwrap(), []);
        assert_eq!(
            contexts.take(r#"{"context_id":"a","close_context":true}"#).unwrap(),
            [Action::Close { context: "a".into() }]
        );
        assert_eq!(contexts.take(r#"{"context_id":"a","close_context":true}"#).unwrap(), []);
    }

    #[test]
    fn a_sixth_context_is_too_many_until_one_is_closed() {
        let mut contexts = multi();
        for number in 0..5 {
            contexts.take(&format!(r#"{{"text":" ","context_id":"{number}"}}"#)).unwrap();
        }
        let sixth = r#"{"text":" ","context_id":"5"}"#;
        assert_eq!(contexts.take(sixth).unwrap_err().status, "max_contexts_exceeded");
        contexts.take(r#"{"context_id":"2","close_context":true}"#).unwrap();
        assert!(contexts.take(sixth).is_ok());
    }

    #[test]
    fn what_elevenlabs_punishes_is_a_violation() {
        for message in [
            r#"{"text":"","context_id":"new"}"#,
            r#"{"text":"x","context_id":"open","voice_settings":{"stability":0.5}}"#,
            r#"{"text":"x","contextId":"open"}"#,
            r#"{"text":5,"context_id":"open"}"#,
            "hello",
        ] {
            let mut contexts = multi();
            contexts.take(r#"{"text":" ","context_id":"open"}"#).unwrap();
            assert!(contexts.take(message).is_err(), "{message}");
        }
    }

    #[test]
    fn the_single_stream_ends_with_an_empty_text_and_lives_with_a_space() {
        let mut single = Contexts::new(Kind::Single, false, true);
        single.take(r#"{"text":" ","voice_settings":null,"try_trigger_generation":true,"generation_config":{"chunk_length_schedule":[50]}}"#).unwrap();
        assert_eq!(single.take(r#"{"text":"Hello there, "}"#).unwrap(), []);
        assert_eq!(single.take(r#"{"text":" "}"#).unwrap(), []);
        let long = single
            .take(r#"{"text":"this is a longer text that goes on. And on ","try_trigger_generation":true}"#)
            .unwrap();
        assert_eq!(long, [speak("", "Hello there,  this is a longer text that goes on.")]);
        let end = single.take(r#"{"text":""}"#).unwrap();
        assert_eq!(end, [speak("", "And on"), Action::Close { context: String::new() }, Action::CloseSocket]);
    }

    #[test]
    fn without_auto_mode_the_schedule_decides() {
        let mut contexts = Contexts::new(Kind::Multi, false, true);
        contexts.take(r#"{"text":" ","context_id":"a"}"#).unwrap();
        assert_eq!(contexts.take(r#"{"text":"Short sentence. ","context_id":"a"}"#).unwrap(), []);
        let long = format!(r#"{{"text":"{}","context_id":"a"}}"#, "word ".repeat(30));
        assert_eq!(contexts.take(&long).unwrap().len(), 1);
    }

    #[test]
    fn a_key_may_come_with_the_first_message() {
        let mut contexts = Contexts::new(Kind::Multi, true, false);
        assert_eq!(contexts.take(r#"{"text":" ","context_id":"a"}"#).unwrap_err().status, "invalid_api_key");
        assert!(contexts.take(r#"{"text":" ","context_id":"a","xi_api_key":"k"}"#).is_ok());
    }
}
