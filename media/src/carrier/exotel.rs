//! Exotel's Voicebot applet and Connect Voice AI stream: the same JSON text frames on both.
//!
//! Live captures are snake_case with numbers as strings; newer samples are camelCase and the documents mix both with
//! integers. The parser takes all of it, even both spellings in one frame; the writer sends the superset that no
//! capture contradicts: `stream_sid` everywhere, `streamSid` beside it in `mark` and `clear`, every number a string.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    CarrierEvent, FrameError, SAMPLE_RATE_HZ, StreamStart, event_name,
    json::{self, Media, Text, body, text_at},
};

/// Decoded payloads must be a multiple of this, or the platform waits 20 ms after the short packet: an audible gap.
pub const PAYLOAD_UNIT_BYTES: usize = 320;

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
            "dtmf" => json::dtmf(frame.dtmf, &["digit", "digits"]),
            "mark" => json::mark(frame.mark),
            "clear" => Ok(CarrierEvent::Clear),
            "stop" => Ok(CarrierEvent::Stop { reason: body(frame.stop).and_then(|b| text_at(&b, &["reason"])) }),
            other => Ok(CarrierEvent::Unknown { kind: event_name(other) }),
        }
    }

    fn media(&mut self, frame: &Frame<'_>, samples: &mut Vec<i16>) -> Result<CarrierEvent, FrameError> {
        let (bytes, event) = json::media(frame.media.as_ref(), &mut self.bytes)?;
        // An odd last byte has no partner: half a sample is noise.
        samples.extend(bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)));
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
    #[serde(borrow, default)]
    stop: Option<&'a RawValue>,
    // Not aliases of each other: serde refuses a frame with both, and some senders do send both.
    #[serde(borrow, default)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow, default, rename = "streamSid")]
    stream_sid_camel: Option<Text<'a>>,
}

fn start(frame: &Frame<'_>) -> Result<StreamStart, FrameError> {
    let body = body(frame.start).ok_or(FrameError::Missing { event: "start", field: "start" })?;
    let outer_sid = [&frame.stream_sid, &frame.stream_sid_camel].into_iter().flatten().next();
    let stream_sid = text_at(&body, &["stream_sid", "streamSid"])
        .or_else(|| outer_sid.map(|Text(sid)| sid.to_string()))
        .filter(|sid| !sid.is_empty())
        .ok_or(FrameError::Missing { event: "start", field: "stream_sid" })?;
    let call_sid = text_at(&body, &["call_sid", "callSid", "CallSid"])
        .ok_or(FrameError::Missing { event: "start", field: "call_sid" })?;
    // The encoding is written as `base64`, `raw` or `audio/x-raw`, always for the same PCM: only the rate matters.
    let sample_rate_hz = ["media_format", "mediaFormat"]
        .iter()
        .find_map(|key| text_at(body.get(key)?, &["sample_rate", "sampleRate"])?.trim().parse().ok())
        .unwrap_or(SAMPLE_RATE_HZ);
    Ok(StreamStart {
        stream_sid,
        call_sid,
        account_sid: text_at(&body, &["account_sid", "accountSid"]),
        from: text_at(&body, &["from"]),
        to: text_at(&body, &["to"]),
        sample_rate_hz,
        custom_parameters: ["custom_parameters", "customParameters"]
            .iter()
            .find_map(|key| body.get(key)?.as_object())
            .map(custom_parameters)
            .unwrap_or_default(),
    })
}

/// Reported in the wild: the pair `token=abc` delivered as the key `token:abc` (or `token=abc`) with an empty value.
fn custom_parameters(object: &serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for (key, value) in object {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        match key.split_once([':', '=']).filter(|_| value.is_empty()) {
            Some((name, inner)) => parameters.insert(name.trim().to_owned(), inner.trim().to_owned()),
            None => parameters.insert(key.clone(), value),
        };
    }
    parameters
}

/// Encodes frames for one stream. Frames share a buffer that grows to its working size once.
#[derive(Debug)]
pub struct Writer {
    /// The stream's id as a JSON string, quotes included.
    sid: String,
    sequence: u64,
    chunk: u64,
    buffer: BytesMut,
    pcm: Vec<u8>,
}

impl Writer {
    /// A writer for the stream the carrier named.
    pub fn new(stream_sid: &str) -> Self {
        Self {
            sid: Value::from(stream_sid).to_string(),
            sequence: 0,
            chunk: 0,
            buffer: BytesMut::new(),
            pcm: Vec::new(),
        }
    }

    /// One frame of audio. `timestamp_ms` is the position of its first sample in what we have sent.
    ///
    /// The payload is padded with silence to a multiple of [`PAYLOAD_UNIT_BYTES`]; callers give whole frames and
    /// leave the padding to the tail of a reply.
    pub fn media(&mut self, samples: &[i16], timestamp_ms: u64) -> Bytes {
        self.chunk += 1;
        self.sequence += 1;
        self.pcm.clear();
        self.pcm.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.pcm.resize(self.pcm.len().next_multiple_of(PAYLOAD_UNIT_BYTES), 0);

        let Self { sid, sequence, chunk, buffer, pcm } = self;
        let head = format_args!(
            r#"{{"event":"media","stream_sid":{sid},"sequence_number":"{sequence}","media":{{"chunk":"{chunk}","timestamp":"{timestamp_ms}","payload":""#
        );
        json::put_media(buffer, head, pcm);
        self.buffer.split().freeze()
    }

    /// A mark: echoed once everything sent before it has been played (or cleared).
    pub fn mark(&mut self, name: &str) -> Bytes {
        self.sequence += 1;
        let Self { sid, sequence, .. } = &*self;
        let name = Value::from(name);
        format!(
            r#"{{"event":"mark","stream_sid":{sid},"streamSid":{sid},"sequence_number":"{sequence}","mark":{{"name":{name}}}}}"#
        )
        .into()
    }

    /// Drops what the carrier has queued and not yet played.
    pub fn clear(&mut self) -> Bytes {
        self.sequence += 1;
        let Self { sid, sequence, .. } = &*self;
        format!(r#"{{"event":"clear","stream_sid":{sid},"streamSid":{sid},"sequence_number":"{sequence}"}}"#).into()
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    fn parse(text: &str) -> Result<CarrierEvent, FrameError> {
        Reader::default().parse(text, &mut Vec::new())
    }

    fn start_of(text: &str) -> StreamStart {
        match parse(text).unwrap() {
            CarrierEvent::Start(start) => start,
            other => panic!("{other:?}"),
        }
    }

    /// The live capture, field for field.
    const LIVE_START: &str = r#"{"event":"start","stream_sid":"3357459ca698d8c765bac10b0ec418bl","sequence_number":"1",
        "start":{"stream_sid":"3357459ca698d8c765bac10b0ec418bl","call_sid":"b0c8aea60aceb0007fc5a1bb75c218bl",
        "account_sid":"acme1","from":"09992700000","to":"04446900000",
        "media_format":{"encoding":"base64","sample_rate":"8000","bit_rate":"128kbps"}}}"#;

    #[test]
    fn the_live_start_frame_is_read() {
        let start = start_of(LIVE_START);
        assert_eq!(start.call_sid, "b0c8aea60aceb0007fc5a1bb75c218bl");
        assert_eq!(start.stream_sid, "3357459ca698d8c765bac10b0ec418bl");
        assert_eq!(start.account_sid.as_deref(), Some("acme1"));
        assert_eq!((start.from.as_deref(), start.to.as_deref()), (Some("09992700000"), Some("04446900000")));
        assert_eq!(start.sample_rate_hz, 8000);
        assert!(start.custom_parameters.is_empty());
    }

    #[test]
    fn camel_case_integers_and_both_spellings_at_once_read_the_same() {
        let start = start_of(
            r#"{"event":"start","sequenceNumber":1,"stream_sid":"s1","streamSid":"s1","start":{"streamSid":"s1","callSid":"c1",
            "accountSid":"a","customParameters":{"att":7},"mediaFormat":{"encoding":"raw","sampleRate":16000}}}"#,
        );
        assert_eq!((&*start.stream_sid, &*start.call_sid), ("s1", "c1"));
        assert_eq!(start.sample_rate_hz, 16000);
        assert_eq!(start.custom_parameters["att"], "7");
    }

    #[test]
    fn the_stream_id_may_stand_outside_the_start_body_only() {
        assert_eq!(start_of(r#"{"event":"start","streamSid":"s9","start":{"call_sid":"c"}}"#).stream_sid, "s9");
    }

    #[test]
    fn mangled_custom_parameters_are_put_right() {
        let start = start_of(
            r#"{"event":"start","stream_sid":"s","start":{"call_sid":"c","custom_parameters":
            {"token:abc":"","att=a1":null,"plain":"v","with:colon":"kept"}}}"#,
        );
        let expected = [("att", "a1"), ("plain", "v"), ("token", "abc"), ("with:colon", "kept")];
        assert_eq!(start.custom_parameters, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn media_is_decoded_into_the_given_buffer() {
        let mut samples = vec![9; 4];
        let mut reader = Reader::default();
        for frame in [
            r#"{"event":"media","sequence_number":"3","stream_sid":"s","media":{"chunk":"2","timestamp":"100","payload":"AQD/fw=="}}"#,
            r#"{"event":"media","sequenceNumber":3,"streamSid":"s","media":{"chunk":2,"timestamp":100,"payload":"AQD\/fw=="}}"#,
        ] {
            let event = reader.parse(frame, &mut samples).unwrap();
            assert_eq!(event, CarrierEvent::Media { timestamp_ms: Some(100) });
            assert_eq!(samples, [1, 0x7fff]);
        }
    }

    #[test]
    fn an_odd_last_byte_is_dropped() {
        let mut samples = Vec::new();
        Reader::default().parse(r#"{"event":"media","media":{"payload":"AQAC"}}"#, &mut samples).unwrap();
        assert_eq!(samples, [1]);
    }

    #[test]
    fn dtmf_mark_clear_and_stop_are_read() {
        assert_eq!(
            parse(r#"{"event":"dtmf","sequence_number":"7","stream_sid":"s","dtmf":{"digit":"5","duration":"200"}}"#)
                .unwrap(),
            CarrierEvent::Dtmf { digit: '5' }
        );
        assert_eq!(parse(r#"{"event":"dtmf","dtmf":{"digit":5}}"#).unwrap(), CarrierEvent::Dtmf { digit: '5' });
        assert_eq!(parse(r##"{"event":"dtmf","dtmf":{"digit":"\"#\""}}"##).unwrap(), CarrierEvent::Dtmf { digit: '#' });
        assert_eq!(
            parse(r#"{"event":"mark","sequence_number":"15","stream_sid":"s","mark":{"name":"turn-3-end"}}"#).unwrap(),
            CarrierEvent::Mark { name: "turn-3-end".into() }
        );
        assert_eq!(parse(r#"{"event":"clear","sequence_number":"16","stream_sid":"s"}"#).unwrap(), CarrierEvent::Clear);
        assert_eq!(
            parse(r#"{"event":"stop","stop":{"call_sid":"c","reason":"callended"}}"#).unwrap(),
            CarrierEvent::Stop { reason: Some("callended".into()) }
        );
        assert_eq!(parse(r#"{"event":"stop"}"#).unwrap(), CarrierEvent::Stop { reason: None });
        assert_eq!(parse(r#"{"event":"connected"}"#).unwrap(), CarrierEvent::Connected);
    }

    #[test]
    fn unknown_events_are_named_and_malformed_frames_are_told_apart() {
        assert_eq!(parse(r#"{"event":"hold","x":1}"#).unwrap(), CarrierEvent::Unknown { kind: "hold".into() });
        let kind = |text: &str| parse(text).unwrap_err().kind();
        for text in ["", "null", "[]", "{}", "{\"event\":3}", "{\"event\":\"media\"", "not json"] {
            assert_eq!(kind(text), "not_a_frame", "{text}");
        }
        assert_eq!(kind(r#"{"event":"media"}"#), "missing_field");
        assert_eq!(kind(r#"{"event":"media","media":{}}"#), "missing_field");
        assert_eq!(kind(r#"{"event":"media","media":{"payload":"%%%"}}"#), "not_base64");
        assert_eq!(kind(r#"{"event":"start","start":{"call_sid":"c"}}"#), "missing_field");
        assert_eq!(kind(r#"{"event":"start","stream_sid":"s","start":{}}"#), "missing_field");
        assert_eq!(kind(r#"{"event":"dtmf","dtmf":{"digit":"x"}}"#), "missing_field");
        let huge = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(140_000));
        assert_eq!(kind(&huge), "too_long");
    }

    #[test]
    fn a_frame_we_send_holds_the_superset_of_fields_as_strings() {
        let mut writer = Writer::new("s\"1");
        let first: Value = serde_json::from_slice(&writer.media(&[1; 800], 0)).unwrap();
        let second: Value = serde_json::from_slice(&writer.media(&[1; 801], 100)).unwrap();
        assert_eq!(first["stream_sid"], "s\"1");
        assert_eq!((&first["sequence_number"], &second["sequence_number"]), (&"1".into(), &"2".into()));
        assert_eq!((&first["media"]["chunk"], &second["media"]["timestamp"]), (&"1".into(), &"100".into()));
        let decoded = |v: &Value| STANDARD.decode(v["media"]["payload"].as_str().unwrap()).unwrap();
        assert_eq!(decoded(&first), [1u8, 0].repeat(800));
        let padded = decoded(&second);
        assert_eq!(padded.len(), 1920, "padded to a multiple of 320");
        assert_eq!(&padded[1602..], [0; 318]);
    }

    #[test]
    fn mark_and_clear_carry_both_spellings_of_the_stream_id() {
        let mut writer = Writer::new("s1");
        let mark: Value = serde_json::from_slice(&writer.mark("e\"3.1")).unwrap();
        let clear: Value = serde_json::from_slice(&writer.clear()).unwrap();
        for frame in [&mark, &clear] {
            assert_eq!((&frame["stream_sid"], &frame["streamSid"]), (&"s1".into(), &"s1".into()));
        }
        assert_eq!(mark["mark"]["name"], "e\"3.1");
        assert_eq!(clear["event"], "clear");
    }

    #[test]
    fn what_we_send_can_be_read_back() {
        let mut samples = Vec::new();
        let sent: Vec<i16> = (-400..400).collect();
        let frame = Writer::new("s").media(&sent, 0);
        Reader::default().parse(std::str::from_utf8(&frame).unwrap(), &mut samples).unwrap();
        assert_eq!(samples, sent);
    }
}
