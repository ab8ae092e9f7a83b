//! What a session was asked to be. Read strictly: what the documents do not know is an error.

use serde_json::{Value, json};

use crate::brain::{Choice, Tool};

const SESSION: &[&str] =
    &["type", "model", "instructions", "output_modalities", "audio", "tools", "tool_choice", "max_output_tokens"];
const INPUT: &[&str] = &["format", "turn_detection", "transcription", "noise_reduction"];
const OUTPUT: &[&str] = &["format", "voice", "speed"];
const VOICES: &[&str] = &["alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"];
const TRANSCRIBERS: &[&str] = &["gpt-transcribe", "gpt-live-transcribe"];
const VAD: &[&str] = &[
    "type",
    "threshold",
    "prefix_padding_ms",
    "silence_duration_ms",
    "create_response",
    "interrupt_response",
    "idle_timeout_ms",
    "eagerness",
];

/// How the ends of turns are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turns {
    pub silence_ms: u64,
    pub padding_ms: u64,
    pub create_response: bool,
    pub interrupt_response: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Config {
    pub instructions: String,
    pub voice: String,
    /// `None`: the client ends turns itself.
    pub turns: Option<Turns>,
    pub transcribes: bool,
    pub tools: Vec<Tool>,
    pub choice: Choice,
    /// As it is shown.
    shown: Value,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instructions: String::new(),
            voice: "marin".into(),
            turns: Some(Turns { silence_ms: 500, padding_ms: 300, create_response: true, interrupt_response: true }),
            transcribes: false,
            tools: Vec::new(),
            choice: Choice::Auto,
            shown: json!({"type": "realtime", "audio": {"input": {}, "output": {"voice": "marin"}}}),
        }
    }
}

/// What is wrong: the parameter, and a sentence.
pub(super) type Wrong = (String, String);

impl Config {
    /// Takes what an update has; the rest stays.
    pub(super) fn update(&mut self, session: &Value) -> Result<(), Wrong> {
        only(session, SESSION, "session")?;
        if session["type"] != "realtime" {
            return Err(wrong("session.type", "a session of this model is realtime"));
        }
        if let Some(instructions) = session["instructions"].as_str() {
            instructions.clone_into(&mut self.instructions);
        }
        if session.get("output_modalities").is_some_and(|modalities| *modalities != json!(["audio"])) {
            return Err(wrong("session.output_modalities", "the simulator answers in audio"));
        }
        let (input, output) = (&session["audio"]["input"], &session["audio"]["output"]);
        only(input, INPUT, "session.audio.input")?;
        only(output, OUTPUT, "session.audio.output")?;
        for (side, name) in [(input, "input"), (output, "output")] {
            if side.get("format").is_some_and(|format| *format != json!({"type": "audio/pcmu"})) {
                return Err(wrong(format!("session.audio.{name}.format"), "the simulator hears and makes audio/pcmu"));
            }
        }
        if let Some(voice) = output["voice"].as_str() {
            if !VOICES.contains(&voice) {
                return Err(wrong("session.audio.output.voice", "no such voice"));
            }
            voice.clone_into(&mut self.voice);
        }
        if let Some(transcription) = input.get("transcription") {
            only(transcription, &["model", "language", "prompt", "keywords"], "session.audio.input.transcription")?;
            let model = transcription["model"].as_str();
            if model.is_some_and(|model| !TRANSCRIBERS.contains(&model)) {
                return Err(wrong("session.audio.input.transcription.model", "no such model"));
            }
            self.transcribes = model.is_some();
        }
        if let Some(detection) = input.get("turn_detection") {
            self.turns = turns(detection)?;
        }
        if let Some(tools) = session["tools"].as_array() {
            self.tools = tools.iter().map(tool).collect::<Result<_, _>>()?;
        }
        if let Some(choice) = session.get("tool_choice") {
            self.choice = tool_choice(choice)?;
        }
        if let (Some(shown), Some(session)) = (self.shown.as_object_mut(), session.as_object()) {
            shown.extend(session.clone());
        }
        Ok(())
    }

    pub(super) fn shown(&self, model: &str) -> Value {
        let mut shown = self.shown.clone();
        shown["model"] = model.into();
        shown
    }
}

pub(super) fn tool_choice(choice: &Value) -> Result<Choice, Wrong> {
    match choice.as_str() {
        Some("auto") => Ok(Choice::Auto),
        Some("none") => Ok(Choice::None),
        Some("required") => Ok(Choice::Required),
        _ => choice["name"]
            .as_str()
            .map(|name| Choice::Named(name.to_owned()))
            .ok_or_else(|| wrong("tool_choice", "auto, none, required, or a function")),
    }
}

fn turns(detection: &Value) -> Result<Option<Turns>, Wrong> {
    if detection.is_null() {
        return Ok(None);
    }
    only(detection, VAD, "session.audio.input.turn_detection")?;
    let ms = |name: &str, usual: u64| detection[name].as_u64().unwrap_or(usual);
    let is = |name: &str| detection[name].as_bool().unwrap_or(true);
    let silence_ms = match detection["type"].as_str() {
        Some("server_vad") => ms("silence_duration_ms", 500),
        Some("semantic_vad") => 500,
        _ => return Err(wrong("session.audio.input.turn_detection.type", "server_vad or semantic_vad")),
    };
    Ok(Some(Turns {
        silence_ms,
        padding_ms: ms("prefix_padding_ms", 300),
        create_response: is("create_response"),
        interrupt_response: is("interrupt_response"),
    }))
}

fn tool(tool: &Value) -> Result<Tool, Wrong> {
    only(tool, &["type", "name", "description", "parameters"], "session.tools")?;
    let name = tool["name"].as_str().filter(|_| tool["type"] == "function");
    let name = name.ok_or_else(|| wrong("session.tools", "a tool is a function with a name"))?;
    Ok(Tool { name: name.to_owned(), parameters: tool["parameters"].clone() })
}

fn only(value: &Value, known: &[&str], place: &str) -> Result<(), Wrong> {
    let unknown = value.as_object().and_then(|fields| fields.keys().find(|name| !known.contains(&name.as_str())));
    unknown.map_or(Ok(()), |name| Err(wrong(format!("{place}.{name}"), "unknown parameter")))
}

fn wrong(param: impl Into<String>, message: &str) -> Wrong {
    (param.into(), message.to_owned())
}
