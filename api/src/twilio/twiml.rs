//! TwiML: what a call does, verb by verb (wire reference, §2.4).

use std::io;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

/// Of one `<Say>`.
const MAX_SAY_CHARS: usize = 4_000;

/// One thing that a call does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb<'a> {
    /// Until we close the socket, or it breaks. `url` takes no query string: what it would say stands in `parameters`.
    Stream {
        url: &'a str,
        parameters: Vec<(&'a str, &'a str)>,
    },
    Say(Speech<'a>),
    /// Plays the sound of an address.
    Play(&'a str),
    Pause {
        secs: u32,
    },
    Gather(Gathering<'a>),
    /// These phones ring one after the other, each so long, until one is picked up and connected; `caller_id` is what it shows. Whoever
    /// answers hears first, alone, what `whisper` has to say. When nobody did, or they have talked, `action` is asked what follows: no
    /// verb behind this one is reached.
    Dial {
        numbers: &'a [String],
        whisper: &'a str,
        action: &'a str,
        caller_id: &'a str,
        ring_secs: u32,
        talk_secs: u64,
    },
    /// Asks there what to do next.
    Redirect(&'a str),
    Hangup,
}

/// Says something, listens, and asks `action` what to do with the words, or with the keys that were pressed. Silence goes on to the
/// next verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathering<'a> {
    pub action: &'a str,
    /// What is heard: a tag of Twilio's.
    pub language: &'a str,
    /// Words to expect, divided by commas.
    pub hints: &'a str,
    /// So many keys are all; without a number the hash key, or a pause, ends them.
    pub digits: Option<u8>,
    pub says: Speech<'a>,
}

/// A text in a language: a tag of Twilio's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speech<'a> {
    pub text: &'a str,
    pub language: &'a str,
}

/// An answer to Twilio's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twiml(Vec<u8>);

impl Twiml {
    /// The verbs, in their order.
    #[must_use]
    pub fn of(verbs: &[Verb<'_>]) -> Self {
        let mut writer = Writer::new(Vec::new());
        write(&mut writer, verbs).expect("a vector takes everything");
        Self(writer.into_inner())
    }
}

impl IntoResponse for Twiml {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], self.0).into_response()
    }
}

type Xml = Writer<Vec<u8>>;

fn write(xml: &mut Xml, verbs: &[Verb<'_>]) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("Response")
        .write_inner_content(|xml| verbs.iter().try_for_each(|verb| write_verb(xml, verb)))?;
    Ok(())
}

fn write_verb(xml: &mut Xml, verb: &Verb<'_>) -> io::Result<()> {
    match verb {
        Verb::Stream { url, parameters } => {
            xml.create_element("Connect").write_inner_content(|xml| {
                let stream = xml.create_element("Stream").with_attribute(("url", *url));
                stream.write_inner_content(|xml| {
                    for (name, value) in parameters {
                        let parameter = xml.create_element("Parameter");
                        parameter.with_attributes([("name", *name), ("value", *value)]).write_empty()?;
                    }
                    Ok(())
                })?;
                Ok(())
            })?;
        }
        Verb::Say(speech) => say(xml, speech)?,
        Verb::Play(url) => {
            xml.create_element("Play").write_text_content(BytesText::new(url))?;
        }
        Verb::Pause { secs } => {
            xml.create_element("Pause").with_attribute(("length", secs.to_string().as_str())).write_empty()?;
        }
        Verb::Gather(gathering) => gather(xml, gathering)?,
        Verb::Redirect(url) => {
            xml.create_element("Redirect")
                .with_attribute(("method", "POST"))
                .write_text_content(BytesText::new(url))?;
        }
        Verb::Dial { numbers, whisper, action, caller_id, ring_secs, talk_secs } => {
            let (ring, talk) = (ring_secs.to_string(), talk_secs.to_string());
            let dial = xml.create_element("Dial").with_attributes([
                ("sequential", "true"),
                ("timeout", ring.as_str()),
                ("timeLimit", talk.as_str()),
                ("action", *action),
                ("method", "POST"),
            ]);
            let dial = if caller_id.is_empty() { dial } else { dial.with_attribute(("callerId", *caller_id)) };
            dial.write_inner_content(|xml| {
                for number in *numbers {
                    let number_element = xml.create_element("Number").with_attribute(("url", *whisper));
                    number_element.write_text_content(BytesText::new(number))?;
                }
                Ok(())
            })?;
        }
        Verb::Hangup => {
            xml.create_element("Hangup").write_empty()?;
        }
    }
    Ok(())
}

fn gather(xml: &mut Xml, gathering: &Gathering<'_>) -> io::Result<()> {
    let Gathering { action, language, hints, digits, says } = gathering;
    let digits = digits.map(|count| count.to_string());
    let mut attributes = vec![
        ("input", "speech dtmf"),
        ("action", *action),
        ("method", "POST"),
        ("language", *language),
        ("speechTimeout", "auto"),
    ];
    attributes.extend(digits.as_deref().map(|count| ("numDigits", count)));
    attributes.extend((!hints.is_empty()).then_some(("hints", *hints)));
    xml.create_element("Gather").with_attributes(attributes).write_inner_content(|xml| say(xml, says))?;
    Ok(())
}

fn say(xml: &mut Xml, speech: &Speech<'_>) -> io::Result<()> {
    let text = speakable(speech.text);
    xml.create_element("Say")
        .with_attribute(("language", speech.language))
        .write_text_content(BytesText::new(&text))?;
    Ok(())
}

/// Without characters that XML cannot hold, of which a model may write any; and not longer than Twilio reads out.
fn speakable(text: &str) -> String {
    text.chars()
        .take(MAX_SAY_CHARS)
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(verbs: &[Verb<'_>]) -> String {
        let text = String::from_utf8(Twiml::of(verbs).0).unwrap();
        let head = r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#;
        text.strip_prefix(head).unwrap().strip_suffix("</Response>").unwrap().to_owned()
    }

    #[test]
    fn a_stream_is_followed_by_the_question_what_comes_after_it() {
        let verbs = [
            Verb::Stream { url: "wss://media.example/twilio/media", parameters: vec![("reference", "a1")] },
            Verb::Redirect("https://api.example/webhooks/twilio/voice?reference=a1&round=1"),
        ];
        assert_eq!(
            xml(&verbs),
            r#"<Connect><Stream url="wss://media.example/twilio/media"><Parameter name="reference" value="a1"/></Stream></Connect><Redirect method="POST">https://api.example/webhooks/twilio/voice?reference=a1&amp;round=1</Redirect>"#
        );
        assert_eq!(xml(&[Verb::Hangup]), "<Hangup/>");
        let numbers = ["+919811100001".to_owned()];
        assert_eq!(
            xml(&[Verb::Dial {
                numbers: &numbers,
                whisper: "https://x/w?a=1&b=2",
                action: "https://x/d?a=1&b=2",
                caller_id: "+14155550100",
                ring_secs: 25,
                talk_secs: 3_600
            }]),
            r#"<Dial sequential="true" timeout="25" timeLimit="3600" action="https://x/d?a=1&amp;b=2" method="POST" callerId="+14155550100"><Number url="https://x/w?a=1&amp;b=2">+919811100001</Number></Dial>"#
        );
    }

    #[test]
    fn whatever_a_model_says_is_text() {
        let says = Speech { text: "</Say><Hangup/> \"R&D\"\u{0} 5 < 6", language: "en-IN" };
        assert_eq!(
            xml(&[Verb::Say(says.clone())]),
            r#"<Say language="en-IN">&lt;/Say&gt;&lt;Hangup/&gt; &quot;R&amp;D&quot;  5 &lt; 6</Say>"#
        );
        let action = "https://x/?a=\"1\"&b=2";
        let gathering = Gathering { action, language: "pa-guru-IN", hints: "", digits: Some(1), says };
        assert!(
            xml(&[Verb::Gather(gathering)]).starts_with(
                r#"<Gather input="speech dtmf" action="https://x/?a=&quot;1&quot;&amp;b=2" method="POST" language="pa-guru-IN" speechTimeout="auto" numDigits="1"><Say language="en-IN"#
            )
        );
    }

    #[test]
    fn a_machine_is_left_what_there_is_after_a_pause() {
        assert_eq!(
            xml(&[Verb::Pause { secs: 2 }, Verb::Play("https://x/a?b=1&c=2"), Verb::Hangup]),
            r#"<Pause length="2"/><Play>https://x/a?b=1&amp;c=2</Play><Hangup/>"#
        );
    }
}
