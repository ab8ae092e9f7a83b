//! Reading TwiML: the verbs that this sandbox performs. Anything else is an error, as a misspelt verb is at Twilio's.

use quick_xml::{
    Reader,
    escape::resolve_xml_entity,
    events::{BytesStart, Event},
};
use serde_json::{Map, Value};

/// Twilio rings no more at a time.
const MAX_NUMBERS: usize = 10;

/// One thing that a call does.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    Stream {
        url: String,
        parameters: Value,
    },
    Say {
        text: String,
    },
    /// Sound from an address.
    Play {
        url: String,
    },
    Gather(Gather),
    Pause {
        secs: u64,
    },
    Redirect {
        url: String,
    },
    /// Somebody else's phone rings.
    Dial {
        numbers: Vec<Callable>,
        /// One after the other, rather than all at once.
        sequential: bool,
        /// How long each rings.
        timeout_secs: u64,
        /// Asked what follows; without it the next verb does.
        action: Option<String>,
    },
    Hangup,
    Reject,
}

/// A phone that `<Dial>` rings.
#[derive(Debug, Clone, PartialEq)]
pub struct Callable {
    pub number: String,
    /// Asked what to tell whoever picks up, alone.
    pub whisper: Option<String>,
}

/// Says something and listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Gather {
    pub action: Option<String>,
    /// `input` names them.
    pub speech: bool,
    pub keys: bool,
    pub timeout_secs: u64,
    /// So many keys end it.
    pub most_keys: Option<usize>,
    /// This one, too.
    pub last_key: Option<char>,
    pub prompts: Vec<Prompt>,
}

/// What is said in the meantime.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    Say(String),
    Play(String),
    Pause(u64),
}

/// Attributes of the verbs that are read strictly, as the SDK of Twilio has them.
const ATTRIBUTES: [(&str, &[&str]); 4] = [
    ("Say", &["voice", "language", "loop"]),
    ("Play", &["loop", "digits"]),
    ("Pause", &["length"]),
    (
        "Gather",
        &[
            "input",
            "action",
            "method",
            "timeout",
            "speechTimeout",
            "maxSpeechTime",
            "language",
            "hints",
            "speechModel",
            "enhanced",
            "numDigits",
            "finishOnKey",
            "bargeIn",
            "profanityFilter",
            "partialResultCallback",
            "partialResultCallbackMethod",
            "actionOnEmptyResult",
            "debug",
        ],
    ),
];
/// Languages of English and of India that `<Say>` speaks and `<Gather>` hears; of the others of the lists none is used here.
const SPOKEN: [&str; 16] = [
    "bn-IN", "en-AU", "en-GB", "en-IE", "en-IN", "en-NZ", "en-US", "en-ZA", "gu-IN", "hi-IN", "kn-IN", "ml-IN",
    "mr-IN", "pa-IN", "ta-IN", "te-IN",
];
const HEARD: [&str; 17] = [
    "bn-IN",
    "en-AU",
    "en-GB",
    "en-IE",
    "en-IN",
    "en-NZ",
    "en-US",
    "en-ZA",
    "gu-IN",
    "hi-IN",
    "kn-IN",
    "ml-IN",
    "mr-IN",
    "pa-guru-IN",
    "ta-IN",
    "te-IN",
    "ur-IN",
];
const MOST_HINTS: usize = 500;
const LONGEST_HINT: usize = 100;

/// An element with what is in it.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Map<String, Value>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }

    fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        self.attribute(name).map_or(Ok(default), |text| text.parse().map_err(|_error| format!("{name} is no number")))
    }
}

/// The verbs of a document, in their order.
pub fn read(xml: &str) -> Result<Vec<Verb>, String> {
    let root = parse(xml)?;
    if root.name != "Response" {
        return Err(format!("the root is <{}>, not <Response>", root.name));
    }
    root.children.iter().map(verb).collect()
}

fn verb(element: &Element) -> Result<Verb, String> {
    Ok(match element.name.as_str() {
        "Connect" => match &element.children[..] {
            [stream] if stream.name == "Stream" => stream_verb(stream)?,
            _ => return Err("<Connect> holds one <Stream>".into()),
        },
        "Say" => Verb::Say { text: spoken(element)? },
        "Play" => Verb::Play { url: played(element)? },
        "Gather" => Verb::Gather(gather(element)?),
        "Pause" => Verb::Pause { secs: paused(element)? },
        "Redirect" => Verb::Redirect { url: element.text.trim().to_owned() },
        "Dial" => {
            let mut numbers: Vec<Callable> = element
                .children
                .iter()
                .map(|child| Callable {
                    number: child.text.trim().to_owned(),
                    whisper: child.attribute("url").map(str::to_owned),
                })
                .collect();
            let only = Some(element.text.trim().to_owned()).filter(|number| !number.is_empty());
            numbers.extend(only.map(|number| Callable { number, whisper: None }));
            if numbers.len() > MAX_NUMBERS {
                return Err(format!("<Dial> takes {MAX_NUMBERS} numbers"));
            }
            Verb::Dial {
                numbers,
                sequential: element.attribute("sequential") == Some("true"),
                timeout_secs: element.number("timeout", 30)?,
                action: element.attribute("action").map(str::to_owned),
            }
        }
        "Hangup" => Verb::Hangup,
        "Reject" => Verb::Reject,
        other => return Err(format!("<{other}> is not performed here")),
    })
}

fn stream_verb(stream: &Element) -> Result<Verb, String> {
    let url = stream.attribute("url").ok_or("<Stream> without a url")?;
    if url.contains('?') {
        return Err("<Stream> takes no query string; use <Parameter>".into());
    }
    let mut parameters = Map::new();
    for parameter in &stream.children {
        let (Some(name), Some(value)) = (parameter.attribute("name"), parameter.attribute("value")) else {
            return Err("<Parameter> needs name and value".into());
        };
        if name.len() + value.len() >= 500 {
            return Err("a <Parameter> is shorter than 500 characters".into());
        }
        parameters.insert(name.to_owned(), value.into());
    }
    Ok(Verb::Stream { url: url.to_owned(), parameters: Value::Object(parameters) })
}

fn gather(element: &Element) -> Result<Gather, String> {
    known_attributes(element)?;
    let inputs: Vec<&str> = element.attribute("input").unwrap_or("dtmf").split(' ').collect();
    if let Some(unknown) = inputs.iter().find(|input| !matches!(**input, "speech" | "dtmf")) {
        return Err(format!("<Gather> has no input {unknown:?}"));
    }
    if let Some(language) = element.attribute("language").filter(|language| !HEARD.contains(language)) {
        return Err(format!("<Gather> does not hear {language:?}"));
    }
    let hints: Vec<&str> = element.attribute("hints").unwrap_or_default().split(',').collect();
    if hints.len() > MOST_HINTS || hints.iter().any(|hint| hint.chars().count() > LONGEST_HINT) {
        return Err(format!("<Gather> takes {MOST_HINTS} hints of {LONGEST_HINT} characters"));
    }
    match element.attribute("speechTimeout") {
        None | Some("auto") => {}
        Some(_) => drop(element.number("speechTimeout", 0)?),
    }
    let most_keys = match element.attribute("numDigits") {
        None => None,
        Some(_) => Some(usize::try_from(element.number("numDigits", 0)?).unwrap_or(usize::MAX)),
    };
    if most_keys == Some(0) {
        return Err("numDigits is a positive number".into());
    }
    let last_key = match element.attribute("finishOnKey").unwrap_or("#") {
        "" => None,
        key if key.len() == 1 && key.chars().all(is_key) => key.chars().next(),
        key => return Err(format!("finishOnKey: there is no key {key:?}")),
    };
    let prompts = element.children.iter().map(|child| match child.name.as_str() {
        "Say" => spoken(child).map(Prompt::Say),
        "Play" => played(child).map(Prompt::Play),
        "Pause" => paused(child).map(Prompt::Pause),
        other => Err(format!("<{other}> in <Gather> is not performed here")),
    });
    Ok(Gather {
        action: element.attribute("action").map(str::to_owned),
        speech: inputs.contains(&"speech"),
        keys: inputs.contains(&"dtmf"),
        timeout_secs: element.number("timeout", 5)?,
        most_keys,
        last_key,
        prompts: prompts.collect::<Result<_, _>>()?,
    })
}

fn is_key(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '*' | '#')
}

fn known_attributes(element: &Element) -> Result<(), String> {
    let known = ATTRIBUTES.iter().find(|(name, _)| *name == element.name).map_or(&[][..], |(_, known)| known);
    match element.attributes.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(format!("<{}> has no attribute {unknown}", element.name)),
        None => Ok(()),
    }
}

fn paused(element: &Element) -> Result<u64, String> {
    known_attributes(element)?;
    element.number("length", 1)
}

fn played(element: &Element) -> Result<String, String> {
    known_attributes(element)?;
    match element.text.trim() {
        "" => Err("<Play> plays nothing".into()),
        url => Ok(url.to_owned()),
    }
}

fn spoken(element: &Element) -> Result<String, String> {
    known_attributes(element)?;
    if let Some(language) = element.attribute("language").filter(|language| !SPOKEN.contains(language)) {
        return Err(format!("<Say> does not speak {language:?}"));
    }
    match element.text.trim() {
        "" => Err("<Say> says nothing".into()),
        text => Ok(text.to_owned()),
    }
}

fn parse(xml: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<Element> = vec![Element::default()];
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let Some(inner) = open.last_mut() else { return Err("an end without a beginning".into()) };
        match event {
            Event::Start(start) => open.push(begin(&start)?),
            Event::Empty(start) => inner.children.push(begin(&start)?),
            Event::End(_) => {
                let ended = open.pop().unwrap_or_default();
                open.last_mut().ok_or("an end without a beginning")?.children.push(ended);
            }
            Event::Text(text) => inner.text.push_str(&text.xml10_content()),
            Event::CData(text) => inner.text.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) => match entity.resolve_char_ref().map_err(|error| error.to_string())? {
                Some(letter) => inner.text.push(letter),
                None => {
                    let known = resolve_xml_entity(&entity).ok_or_else(|| format!("unknown entity {}", &*entity))?;
                    inner.text.push_str(known);
                }
            },
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match &mut open[..] {
        [document] => document.children.pop().ok_or_else(|| "the document is empty".into()),
        _ => Err("an element is not closed".into()),
    }
}

fn begin(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element { name: start.name().as_ref().to_owned(), ..Element::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value =
            attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
        element.attributes.insert(attribute.key.as_ref().to_owned(), value.into_owned().into());
    }
    Ok(element)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn verbs_are_read_in_their_order_with_what_is_in_them() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
            <Response>
                <Connect><Stream url="wss://x/media"><Parameter name="reference" value="a&amp;1"/></Stream></Connect>
                <Gather input="speech dtmf" action="/next?a=1&amp;b=2" timeout="3" numDigits="1" language="pa-guru-IN"><Say
                    language="pa-IN">R&amp;D, 5 &lt; 6?</Say><Pause/><Play>/a.wav</Play></Gather>
                <Play>http://x/b.wav</Play><Pause length="2"/><Redirect method="POST">http://x/voice?a=1&amp;round=2</Redirect>
                <Dial sequential="true" timeout="25" action="/d"><Number url="/whisper?a=1&amp;b=2">+14155550101</Number></Dial><Hangup/>
            </Response>"#;
        assert_eq!(
            read(xml).unwrap(),
            [
                Verb::Stream { url: "wss://x/media".into(), parameters: json!({"reference": "a&1"}) },
                Verb::Gather(Gather {
                    action: Some("/next?a=1&b=2".into()),
                    speech: true,
                    keys: true,
                    timeout_secs: 3,
                    most_keys: Some(1),
                    last_key: Some('#'),
                    prompts: vec![Prompt::Say("R&D, 5 < 6?".into()), Prompt::Pause(1), Prompt::Play("/a.wav".into())],
                }),
                Verb::Play { url: "http://x/b.wav".into() },
                Verb::Pause { secs: 2 },
                Verb::Redirect { url: "http://x/voice?a=1&round=2".into() },
                Verb::Dial {
                    numbers: vec![Callable { number: "+14155550101".into(), whisper: Some("/whisper?a=1&b=2".into()) }],
                    sequential: true,
                    timeout_secs: 25,
                    action: Some("/d".into()),
                },
                Verb::Hangup,
            ]
        );
    }

    #[test]
    fn what_twilio_would_not_perform_is_refused() {
        for wrong in [
            "",
            "<Response>",
            "<Answer/>",
            "<Response><Talk>x</Talk></Response>",
            "<Response><Say></Say></Response>",
            r#"<Response><Say language="hi-en">x</Say></Response>"#,
            r#"<Response><Say lang="hi-IN">x</Say></Response>"#,
            "<Response><Play/></Response>",
            r#"<Response><Gather input="voice"/></Response>"#,
            r#"<Response><Gather input="speech" language="en"/></Response>"#,
            r#"<Response><Gather input="speech" numdigits="1"/></Response>"#,
            r#"<Response><Gather numDigits="0"/></Response>"#,
            r#"<Response><Gather finishOnKey="hash"/></Response>"#,
            r#"<Response><Gather speechTimeout="soon"/></Response>"#,
            "<Response><Gather><Dial>1</Dial></Gather></Response>",
            r#"<Response><Connect><Stream url="wss://x/media?token=1"/></Connect></Response>"#,
            "<Response><Say>&nbsp;</Say></Response>",
            "<Response></Say></Response>",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read("<Response/>").unwrap(), []);
    }
}
