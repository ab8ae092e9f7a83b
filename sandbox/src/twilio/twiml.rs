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
    Gather {
        action: Option<String>,
        timeout_secs: u64,
        says: Vec<String>,
    },
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
        "Gather" => {
            if !element.attribute("input").is_some_and(|input| input.contains("speech")) {
                return Err("this sandbox gathers speech".into());
            }
            let says = element.children.iter().map(|child| match child.name.as_str() {
                "Say" => spoken(child),
                other => Err(format!("<{other}> in <Gather> is not performed here")),
            });
            Verb::Gather {
                action: element.attribute("action").map(str::to_owned),
                timeout_secs: element.number("timeout", 5)?,
                says: says.collect::<Result<_, _>>()?,
            }
        }
        "Pause" => Verb::Pause { secs: element.number("length", 1)? },
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

fn spoken(element: &Element) -> Result<String, String> {
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
                <Gather input="speech dtmf" action="/next?a=1&amp;b=2" timeout="3"><Say>R&amp;D, 5 &lt; 6?</Say></Gather>
                <Pause length="2"/><Redirect method="POST">http://x/voice?a=1&amp;round=2</Redirect>
                <Dial sequential="true" timeout="25" action="/d"><Number url="/whisper?a=1&amp;b=2">+14155550101</Number></Dial><Hangup/>
            </Response>"#;
        assert_eq!(
            read(xml).unwrap(),
            [
                Verb::Stream { url: "wss://x/media".into(), parameters: json!({"reference": "a&1"}) },
                Verb::Gather {
                    action: Some("/next?a=1&b=2".into()),
                    timeout_secs: 3,
                    says: vec!["R&D, 5 < 6?".into()]
                },
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
            r#"<Response><Connect><Stream url="wss://x/media?token=1"/></Connect></Response>"#,
            "<Response><Say>&nbsp;</Say></Response>",
            "<Response></Say></Response>",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read("<Response/>").unwrap(), []);
    }
}
