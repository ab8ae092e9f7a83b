//! The stream's messages: written as captured from live streams, read as documented.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    exotel::{call::Call, frames::FromBot},
    speech::ulaw,
};

/// Numbers the messages of one stream.
#[derive(Debug)]
pub struct Writer {
    stream_sid: String,
    parameters: Value,
    sequence: u64,
    chunk: u64,
}

impl Writer {
    /// `parameters`: those of `<Stream>`.
    pub fn new(stream_sid: String, parameters: Value) -> Self {
        Self { stream_sid, parameters, sequence: 0, chunk: 0 }
    }

    pub fn stream_sid(&self) -> &str {
        &self.stream_sid
    }

    /// Without a number of its own.
    pub fn connected(&self) -> String {
        json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}).to_string()
    }

    pub fn start(&mut self, call: &Call, account: &str) -> String {
        let start = json!({
            "accountSid": account,
            "streamSid": self.stream_sid,
            "callSid": call.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self.parameters,
        });
        self.message("start", &start)
    }

    /// `timestamp_ms` since the stream began.
    pub fn media(&mut self, timestamp_ms: u64, pcm: &[i16]) -> String {
        let bytes: Vec<u8> = pcm.iter().map(|sample| ulaw::encode(*sample)).collect();
        self.media_bytes(timestamp_ms, &bytes)
    }

    pub fn media_bytes(&mut self, timestamp_ms: u64, bytes: &[u8]) -> String {
        self.sequence += 1;
        self.chunk += 1;
        // Fifty of these a second and call: written without building a JSON tree.
        format!(
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{timestamp_ms}","payload":"{}"}},"streamSid":"{}"}}"#,
            self.sequence,
            self.chunk,
            BASE64_STANDARD.encode(bytes),
            self.stream_sid,
        )
    }

    pub fn dtmf(&mut self, digit: char) -> String {
        self.message("dtmf", &json!({"track": "inbound_track", "digit": digit}))
    }

    pub fn mark(&mut self, name: &str) -> String {
        self.message("mark", &json!({"name": name}))
    }

    pub fn stop(&mut self, call: &Call, account: &str) -> String {
        self.message("stop", &json!({"accountSid": account, "callSid": call.sid}))
    }

    fn message(&mut self, event: &str, body: &Value) -> String {
        self.sequence += 1;
        let mut message = json!({
            "event": event,
            "sequenceNumber": self.sequence.to_string(),
            "streamSid": self.stream_sid,
        });
        message[event] = body.clone();
        message.to_string()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    event: String,
    stream_sid: Option<String>,
    media: Option<Media>,
    mark: Option<Mark>,
}

#[derive(Deserialize)]
struct Media {
    payload: String,
}

#[derive(Deserialize)]
struct Mark {
    name: String,
}

/// Reads one message of the bot, or says why it is wrong.
pub fn read(text: &str, stream_sid: &str) -> Result<FromBot, String> {
    let message: Message = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match message.stream_sid.as_deref() {
        Some(named) if named == stream_sid => {}
        Some(_) => return Err("streamSid names another stream".into()),
        None => return Err("streamSid is missing".into()),
    }
    match message.event.as_str() {
        "media" => {
            let media = message.media.ok_or("media is missing")?;
            let bytes = BASE64_STANDARD.decode(media.payload).map_err(|error| error.to_string())?;
            if bytes.starts_with(b"RIFF") {
                return Err("media.payload begins with a WAV header".into());
            }
            Ok(FromBot::Media(bytes))
        }
        "mark" => Ok(FromBot::Mark(message.mark.ok_or("mark.name is missing")?.name)),
        "clear" => Ok(FromBot::Clear),
        other => Err(format!("unknown event {other}")),
    }
}

/// µ-law to samples.
pub fn decode(bytes: &[u8]) -> Vec<i16> {
    bytes.iter().map(|code| ulaw::decode(*code)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_like_the_live_ones() {
        let mut writer = Writer::new("MZ1".into(), json!({"att": "a1"}));
        let mark: Value = serde_json::from_str(&writer.mark("m1")).unwrap();
        let expected = json!({"event": "mark", "sequenceNumber": "1", "streamSid": "MZ1", "mark": {"name": "m1"}});
        assert_eq!(mark, expected);
        assert_eq!(
            writer.media(155, &[0, 0]),
            r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"155","payload":"//8="},"streamSid":"MZ1"}"#
        );
    }

    #[test]
    fn the_bot_is_understood_or_told_why_not() {
        assert_eq!(read(r#"{"event":"clear","streamSid":"MZ1"}"#, "MZ1"), Ok(FromBot::Clear));
        let media = r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#;
        assert_eq!(read(media, "MZ1"), Ok(FromBot::Media(vec![255, 255])));
        for wrong in [
            r#"{"event":"clear","stream_sid":"MZ1"}"#,
            r#"{"event":"clear","streamSid":"MZ2"}"#,
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"UklGRg=="}}"#,
            r#"{"event":"hangup","streamSid":"MZ1"}"#,
        ] {
            assert!(read(wrong, "MZ1").is_err(), "{wrong}");
        }
    }
}
