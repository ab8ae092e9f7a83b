//! What differs between two carriers' streams: how messages are written and read. [`super::stream`] holds either.

use crate::{
    exotel::{
        bot_url::BotUrl,
        call::Call,
        frames::{self, FromBot},
    },
    settings::Settings,
    twilio,
};

/// Twilio's frames are one packet of the telephone network.
const TWILIO_CHUNK_MS: u64 = 20;

/// One stream's messages.
#[derive(Debug)]
pub enum Wire {
    Exotel { writer: frames::Writer, bot: BotUrl },
    Twilio(twilio::frames::Writer),
}

impl Wire {
    /// The length of one audio message to the bot.
    pub fn chunk_ms(&self, settings: &Settings) -> u64 {
        match self {
            Self::Exotel { .. } => (settings.chunk_ms / 20 * 20).clamp(20, 100),
            Self::Twilio(_) => TWILIO_CHUNK_MS,
        }
    }

    pub fn stream_sid(&self) -> &str {
        match self {
            Self::Exotel { writer, .. } => writer.stream_sid(),
            Self::Twilio(writer) => writer.stream_sid(),
        }
    }

    /// Everything that is said before the first audio.
    pub fn opening(&mut self, call: &Call, settings: &Settings) -> [String; 2] {
        match self {
            Self::Exotel { writer, bot } => [writer.connected(), writer.start(call, &settings.exotel_sid, bot)],
            Self::Twilio(writer) => [writer.connected(), writer.start(call, &settings.twilio_sid)],
        }
    }

    /// `timestamp_ms` since the stream began; 8 kHz.
    pub fn media(&mut self, timestamp_ms: u64, pcm: &[i16]) -> String {
        match self {
            Self::Exotel { writer, bot } => writer.media(timestamp_ms, &frames::to_rate(pcm, bot.sample_rate)),
            Self::Twilio(writer) => writer.media(timestamp_ms, pcm),
        }
    }

    pub fn dtmf(&mut self, digit: char) -> String {
        match self {
            Self::Exotel { writer, .. } => writer.dtmf(digit),
            Self::Twilio(writer) => writer.dtmf(digit),
        }
    }

    pub fn mark(&mut self, name: &str) -> String {
        match self {
            Self::Exotel { writer, .. } => writer.mark(name),
            Self::Twilio(writer) => writer.mark(name),
        }
    }

    pub fn stop(&mut self, call: &Call, settings: &Settings) -> String {
        match self {
            Self::Exotel { writer, .. } => writer.stop(call, &settings.exotel_sid, "callended"),
            Self::Twilio(writer) => writer.stop(call, &settings.twilio_sid),
        }
    }

    /// Messages that no carrier should send: broken, odd-sized, unknown.
    pub fn bad_messages(&mut self) -> Vec<String> {
        let odd = match self {
            Self::Exotel { writer, .. } => writer.media_bytes(0, &[1; 333]),
            Self::Twilio(writer) => writer.media_bytes(0, &[1; 333]),
        };
        let sid = self.stream_sid();
        let (sequence, stream) = match self {
            Self::Exotel { .. } => ("sequence_number", "stream_sid"),
            Self::Twilio(_) => ("sequenceNumber", "streamSid"),
        };
        vec![
            r#"{"event":"media","media":"#.to_owned(),
            odd,
            format!(r#"{{"event":"media","{sequence}":"x","{stream}":"{sid}","media":{{"payload":"%%%"}}}}"#),
            format!(r#"{{"event":"weather","{stream}":"{sid}"}}"#),
            "[]".to_owned(),
        ]
    }

    /// One message of the bot, or why it is wrong.
    pub fn read(&self, text: &str) -> Result<FromBot, String> {
        match self {
            Self::Exotel { writer, .. } => frames::read(text, writer.stream_sid()),
            Self::Twilio(writer) => twilio::frames::read(text, writer.stream_sid()),
        }
    }

    /// A payload's audio at 8 kHz.
    pub fn decode(&self, payload: &[u8]) -> Vec<i16> {
        match self {
            Self::Exotel { bot, .. } => frames::to_8k(payload, bot.sample_rate),
            Self::Twilio(_) => twilio::frames::decode(payload),
        }
    }

    /// Whether payloads have a right size, and a burst has a limit.
    pub fn is_particular(&self) -> bool {
        matches!(self, Self::Exotel { .. })
    }
}
