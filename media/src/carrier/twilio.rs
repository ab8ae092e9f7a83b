//! Twilio's bidirectional Media Streams: JSON text frames around µ-law (wire reference, §2.5).
//!
//! Every number but the media format's is a string. What we send has no fixed length and is played in order; a mark is echoed
//! when all before it has been played, and `clear` echoes every pending mark at once.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    CarrierEvent, FrameError, SAMPLE_RATE_HZ, StreamStart, event_name,
    json::{self, Media, Text, body, text_at},
};
use crate::audio::g711;

const ENCODING: &str = "audio/x-mulaw";

/// Decodes frames, reusing one buffer for the bytes between base64 and samples.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Parses one text frame. `samples` is cleared; a media frame leaves its audio there.
    pub fn parse(&mut self, text: &str, samples: &mut Vec<i16>) -> Result<CarrierEvent, FrameError> {
        samples.clear();
        let frame: Frame<'_> = serde_json::from_str(text).map_err(FrameError::NotAFrame)?;
        match &*frame.event.0 {
            "media" => self.media(&frame, samples),
            "connected" => Ok(CarrierEvent::Connected),
            "start" => start(&frame).map(CarrierEvent::Start),
            "dtmf" => json::dtmf(frame.dtmf, &["digit"]),
            "mark" => json::mark(frame.mark),
            // It says nothing about why: the human hung up, or the call was ended from outside.
            "stop" => Ok(CarrierEvent::Stop { reason: None }),
            other => Ok(CarrierEvent::Unknown { kind: event_name(other) }),
        }
    }

    fn media(&mut self, frame: &Frame<'_>, samples: &mut Vec<i16>) -> Result<CarrierEvent, FrameError> {
        let (bytes, event) = json::media(frame.media.as_ref(), &mut self.bytes)?;
        samples.extend(bytes.iter().map(|code| g711::decode_ulaw(*code)));
        Ok(event)
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow, default)]
    media: Option<Media<'a>>,
    #[serde(borrow, default)]
    start: Option<&'a RawValue>,
    #[serde(borrow, default)]
    dtmf: Option<&'a RawValue>,
    #[serde(borrow, default)]
    mark: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "streamSid")]
    stream_sid: Option<Text<'a>>,
}

fn start(frame: &Frame<'_>) -> Result<StreamStart, FrameError> {
    let missing = |field| FrameError::Missing { event: "start", field };
    let body = body(frame.start).ok_or(missing("start"))?;
    let stream_sid = text_at(&body, &["streamSid"])
        .or_else(|| frame.stream_sid.as_ref().map(|Text(sid)| sid.to_string()))
        .filter(|sid| !sid.is_empty())
        .ok_or(missing("streamSid"))?;
    let format = &body["mediaFormat"];
    if text_at(format, &["encoding"]).is_some_and(|encoding| encoding != ENCODING) {
        return Err(missing("mediaFormat.encoding audio/x-mulaw"));
    }
    let parameters = body["customParameters"].as_object();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(StreamStart {
        stream_sid,
        call_sid: text_at(&body, &["callSid"]).ok_or(missing("callSid"))?,
        account_sid: text_at(&body, &["accountSid"]),
        // Twilio tells neither of the two numbers.
        from: None,
        to: None,
        sample_rate_hz: text_at(format, &["sampleRate"]).and_then(|hz| hz.parse().ok()).unwrap_or(SAMPLE_RATE_HZ),
        custom_parameters: parameters.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect(),
    })
}

/// Encodes frames for one stream. Frames share a buffer that grows to its working size once.
#[derive(Debug)]
pub struct Writer {
    /// The stream's id as a JSON string, quotes included.
    sid: String,
    buffer: BytesMut,
    codes: Vec<u8>,
}

impl Writer {
    /// A writer for the stream the carrier named.
    pub fn new(stream_sid: &str) -> Self {
        Self { sid: Value::from(stream_sid).to_string(), buffer: BytesMut::new(), codes: Vec::new() }
    }

    /// One frame of audio: µ-law without a header.
    pub fn media(&mut self, samples: &[i16]) -> Bytes {
        self.codes.clear();
        self.codes.extend(samples.iter().map(|sample| g711::encode_ulaw(*sample)));
        let Self { sid, buffer, codes } = self;
        let head = format_args!(r#"{{"event":"media","streamSid":{sid},"media":{{"payload":""#);
        json::put_media(buffer, head, codes);
        self.buffer.split().freeze()
    }

    /// A mark: echoed once everything sent before it has been played (or cleared).
    pub fn mark(&self, name: &str) -> Bytes {
        let (sid, name) = (&self.sid, Value::from(name));
        format!(r#"{{"event":"mark","streamSid":{sid},"mark":{{"name":{name}}}}}"#).into()
    }

    /// Drops what the carrier has queued and not yet played.
    pub fn clear(&self) -> Bytes {
        format!(r#"{{"event":"clear","streamSid":{}}}"#, self.sid).into()
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    fn parse(text: &str) -> Result<CarrierEvent, FrameError> {
        Reader::default().parse(text, &mut Vec::new())
    }

    /// As live streams begin.
    const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1",
        "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
        "customParameters":{"reference":"a1"}},"streamSid":"MZ1"}"#;

    #[test]
    fn a_stream_begins_with_its_ids_and_our_parameters() {
        let CarrierEvent::Start(start) = parse(START).unwrap() else { panic!("a start") };
        assert_eq!((&*start.stream_sid, &*start.call_sid), ("MZ1", "CA1"));
        assert_eq!((start.account_sid.as_deref(), start.sample_rate_hz), (Some("AC1"), 8_000));
        assert_eq!((start.from, start.to), (None, None));
        assert_eq!(start.custom_parameters, [("reference".to_owned(), "a1".to_owned())].into());
        let other = START.replace("audio/x-mulaw", "audio/x-l16");
        assert_eq!(parse(&other).unwrap_err().kind(), "missing_field");
        assert_eq!(parse(&START.replace("callSid", "x")).unwrap_err().kind(), "missing_field");
    }

    #[test]
    fn media_is_decoded_into_the_given_buffer() {
        let mut samples = vec![9; 4];
        let frame = r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"155","payload":"/wCA"},"streamSid":"MZ1"}"#;
        let event = Reader::default().parse(frame, &mut samples).unwrap();
        assert_eq!(event, CarrierEvent::Media { timestamp_ms: Some(155) });
        assert_eq!(samples, [0, -32_124, 32_124]);
    }

    #[test]
    fn everything_else_is_read_or_told_apart() {
        let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
        assert_eq!(parse(connected).unwrap(), CarrierEvent::Connected);
        let dtmf =
            r##"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"#"}}"##;
        assert_eq!(parse(dtmf).unwrap(), CarrierEvent::Dtmf { digit: '#' });
        let mark = r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"e3.1"}}"#;
        assert_eq!(parse(mark).unwrap(), CarrierEvent::Mark { name: "e3.1".into() });
        let stop =
            r#"{"event":"stop","sequenceNumber":"9","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#;
        assert_eq!(parse(stop).unwrap(), CarrierEvent::Stop { reason: None });
        assert_eq!(parse(r#"{"event":"hold"}"#).unwrap(), CarrierEvent::Unknown { kind: "hold".into() });
        let kind = |text: &str| parse(text).unwrap_err().kind();
        assert_eq!(kind("[]"), "not_a_frame");
        assert_eq!(kind(r#"{"event":"media","media":{"payload":"%%%"}}"#), "not_base64");
        assert_eq!(kind(r#"{"event":"media"}"#), "missing_field");
        assert_eq!(kind(r#"{"event":"dtmf","dtmf":{"digit":"x"}}"#), "missing_field");
        let huge = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(140_000));
        assert_eq!(kind(&huge), "too_long");
    }

    #[test]
    fn what_we_send_names_the_stream_and_is_bare_mu_law() {
        let mut writer = Writer::new("MZ\"1");
        let media: Value = serde_json::from_slice(&writer.media(&[0; 160])).unwrap();
        assert_eq!((&media["event"], &media["streamSid"]), (&"media".into(), &"MZ\"1".into()));
        assert_eq!(STANDARD.decode(media["media"]["payload"].as_str().unwrap()).unwrap(), [g711::ULAW_SILENCE; 160]);
        let mark: Value = serde_json::from_slice(&writer.mark("e\"3")).unwrap();
        assert_eq!((&mark["streamSid"], &mark["mark"]["name"]), (&"MZ\"1".into(), &"e\"3".into()));
        let clear: Value = serde_json::from_slice(&writer.clear()).unwrap();
        assert_eq!(clear, serde_json::json!({"event": "clear", "streamSid": "MZ\"1"}));
    }

    #[test]
    fn sound_survives_the_way_out_and_back() {
        let sent: Vec<i16> = (0..=255).map(g711::decode_ulaw).collect();
        let frame = Writer::new("MZ1").media(&sent);
        let mut samples = Vec::new();
        Reader::default().parse(std::str::from_utf8(&frame).unwrap(), &mut samples).unwrap();
        assert_eq!(samples, sent);
    }
}
