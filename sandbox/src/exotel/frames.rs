//! The stream's messages: written exactly as captured from live calls, read as leniently as live.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::json;

use crate::exotel::{bot_url::BotUrl, call::Call};

/// Sound payloads are multiples of this many bytes.
pub const PAYLOAD_MULTIPLE: usize = 320;
/// Below this many bytes playback jitters.
pub const PAYLOAD_MIN: usize = 3_200;
/// Above this many bytes the platform times out.
pub const PAYLOAD_MAX: usize = 100_000;

/// Numbers the messages of one stream.
#[derive(Debug)]
pub struct Writer {
    stream_sid: String,
    sequence: u64,
    chunk: u64,
}

impl Writer {
    pub fn new(stream_sid: String) -> Self {
        Self { stream_sid, sequence: 0, chunk: 0 }
    }

    pub fn stream_sid(&self) -> &str {
        &self.stream_sid
    }

    /// Without a number of its own.
    pub fn connected(&self) -> String {
        json!({"event": "connected"}).to_string()
    }

    pub fn start(&mut self, call: &Call, account: &str, bot: &BotUrl) -> String {
        let mut start = json!({
            "stream_sid": self.stream_sid,
            "call_sid": call.sid,
            "account_sid": account,
            "from": call.customer(),
            "to": call.exophone(),
            "media_format": {
                "encoding": "base64",
                "sample_rate": bot.sample_rate.to_string(),
                "bit_rate": format!("{}kbps", bot.sample_rate * 16 / 1_000),
            },
        });
        if !bot.custom_parameters.is_empty() {
            start["custom_parameters"] = json!(bot.custom_parameters);
        }
        self.message("start", "start", &start)
    }

    /// `timestamp_ms` since the stream began.
    pub fn media(&mut self, timestamp_ms: u64, pcm: &[i16]) -> String {
        let bytes: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        self.media_bytes(timestamp_ms, &bytes)
    }

    pub fn media_bytes(&mut self, timestamp_ms: u64, bytes: &[u8]) -> String {
        self.sequence += 1;
        self.chunk += 1;
        // Ten of these a second and call: written without building a JSON tree.
        format!(
            r#"{{"event":"media","sequence_number":"{}","stream_sid":"{}","media":{{"chunk":"{}","timestamp":"{timestamp_ms}","payload":"{}"}}}}"#,
            self.sequence,
            self.stream_sid,
            self.chunk,
            BASE64_STANDARD.encode(bytes),
        )
    }

    pub fn dtmf(&mut self, digit: char) -> String {
        self.message("dtmf", "dtmf", &json!({"digit": digit, "duration": "200"}))
    }

    pub fn mark(&mut self, name: &str) -> String {
        self.message("mark", "mark", &json!({"name": name}))
    }

    /// `reason` is `callended` or `stopped`.
    pub fn stop(&mut self, call: &Call, account: &str, reason: &str) -> String {
        self.message("stop", "stop", &json!({"call_sid": call.sid, "account_sid": account, "reason": reason}))
    }

    fn message(&mut self, event: &str, field: &str, body: &serde_json::Value) -> String {
        self.sequence += 1;
        let mut message = json!({
            "event": event,
            "sequence_number": self.sequence.to_string(),
            "stream_sid": self.stream_sid,
        });
        message[field] = body.clone();
        message.to_string()
    }
}

/// What the bot asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum FromBot {
    /// The decoded payload.
    Media(Vec<u8>),
    Mark(String),
    Clear,
}

#[derive(Deserialize)]
struct Message<'a> {
    event: &'a str,
    stream_sid: Option<&'a str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    mark: Option<Mark>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Mark {
    name: String,
}

/// Reads one message of the bot, or says why it is wrong. `stream_sid` is required, in snake case.
pub fn read(text: &str, stream_sid: &str) -> Result<FromBot, String> {
    let message: Message<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match message.stream_sid {
        Some(named) if named == stream_sid => {}
        Some(_) => return Err("stream_sid names another stream".into()),
        None => return Err("stream_sid is missing".into()),
    }
    match message.event {
        "media" => {
            let media = message.media.ok_or("media is missing")?;
            let bytes = BASE64_STANDARD.decode(media.payload.as_bytes()).map_err(|error| error.to_string())?;
            Ok(FromBot::Media(bytes))
        }
        "mark" => Ok(FromBot::Mark(message.mark.ok_or("mark.name is missing")?.name)),
        "clear" => Ok(FromBot::Clear),
        other => Err(format!("unknown event {other}")),
    }
}

/// Little-endian samples at the stream's rate to the sandbox's 8 kHz. Every so-many-th sample is
/// taken: the inverse of [`to_rate`], so that the callee's ear still recognises the audio.
pub fn to_8k(bytes: &[u8], sample_rate: u64) -> Vec<i16> {
    let factor = factor(sample_rate);
    bytes.chunks_exact(2).step_by(factor).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// 8 kHz samples to the stream's rate, with straight lines between.
pub fn to_rate(pcm: &[i16], sample_rate: u64) -> Vec<i16> {
    let factor = factor(sample_rate) as i32;
    if factor == 1 {
        return pcm.to_vec();
    }
    let mut out = Vec::with_capacity(pcm.len() * factor as usize);
    for (at, &sample) in pcm.iter().enumerate() {
        let (here, next) = (i32::from(sample), i32::from(*pcm.get(at + 1).unwrap_or(&sample)));
        // Between two i16 values lies an i16.
        out.extend((0..factor).map(|step| (here + (next - here) * step / factor) as i16));
    }
    out
}

fn factor(sample_rate: u64) -> usize {
    match sample_rate {
        16_000 => 2,
        24_000 => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn messages_look_like_the_live_ones() {
        let mut writer = Writer::new("s1".into());
        assert_eq!(writer.connected(), r#"{"event":"connected"}"#);
        let mark: Value = serde_json::from_str(&writer.mark("turn-3-end")).unwrap();
        assert_eq!(
            mark,
            json!({"event": "mark", "sequence_number": "1", "stream_sid": "s1", "mark": {"name": "turn-3-end"}})
        );
        assert_eq!(
            writer.media(100, &[1, -1]),
            r#"{"event":"media","sequence_number":"2","stream_sid":"s1","media":{"chunk":"1","timestamp":"100","payload":"AQD//w=="}}"#
        );
        let dtmf: Value = serde_json::from_str(&writer.dtmf('5')).unwrap();
        assert_eq!(dtmf["dtmf"], json!({"digit": "5", "duration": "200"}));
    }

    #[test]
    fn the_bot_is_understood_or_told_why_not() {
        assert_eq!(read(r#"{"event":"clear","stream_sid":"s1"}"#, "s1"), Ok(FromBot::Clear));
        assert_eq!(
            read(r#"{"event":"media","stream_sid":"s1","media":{"payload":"AQD//w=="}}"#, "s1"),
            Ok(FromBot::Media(vec![1, 0, 255, 255]))
        );
        for wrong in [
            r#"{"event":"clear","streamSid":"s1"}"#,
            r#"{"event":"clear","stream_sid":"s2"}"#,
            r#"{"event":"media","stream_sid":"s1","media":{"payload":"!"}}"#,
            r#"{"event":"hangup","stream_sid":"s1"}"#,
            "{",
        ] {
            assert!(read(wrong, "s1").is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_rates_come_back_as_they_went() {
        let pcm = [0, 300, -300, 32_767, -32_768];
        for rate in [8_000, 16_000, 24_000] {
            let bytes: Vec<u8> = to_rate(&pcm, rate).iter().flat_map(|sample| sample.to_le_bytes()).collect();
            assert_eq!(to_8k(&bytes, rate), pcm, "{rate}");
        }
    }
}
