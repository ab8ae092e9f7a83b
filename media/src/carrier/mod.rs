//! The carrier's stream: what it tells us, in our words, and what we can tell it.
//!
//! The codec of a carrier turns text frames into [`CarrierEvent`]s and audio into text frames. It holds no socket, so
//! that every odd frame in the wire notes is a table test. Audio inside is 8 kHz, 16 bit, mono.

pub mod exotel;
mod json;
pub mod twilio;

use std::collections::BTreeMap;

use bytes::Bytes;
pub use shared::call::Carrier;
use thiserror::Error;

/// The one rate used inside a call.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// Samples in one millisecond.
pub const SAMPLES_PER_MS: usize = 8;

/// Longest name of an unknown event that is kept.
const MAX_KIND_CHARS: usize = 32;

fn event_name(name: &str) -> String {
    name.chars().take(MAX_KIND_CHARS).collect()
}

/// Decodes one stream's frames.
#[derive(Debug)]
pub enum Reader {
    /// Exotel's.
    Exotel(exotel::Reader),
    /// Twilio's.
    Twilio(twilio::Reader),
}

impl Reader {
    /// Of a stream on this carrier's wire.
    pub fn of(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Exotel => Self::Exotel(exotel::Reader::default()),
            Carrier::Twilio => Self::Twilio(twilio::Reader::default()),
        }
    }

    /// Parses one text frame. `samples` is cleared; a media frame leaves its audio there.
    pub fn parse(&mut self, text: &str, samples: &mut Vec<i16>) -> Result<CarrierEvent, FrameError> {
        match self {
            Self::Exotel(reader) => reader.parse(text, samples),
            Self::Twilio(reader) => reader.parse(text, samples),
        }
    }
}

/// Encodes frames for one stream.
#[derive(Debug)]
pub enum Writer {
    /// Exotel's.
    Exotel(exotel::Writer),
    /// Twilio's.
    Twilio(twilio::Writer),
}

impl Writer {
    /// For the stream that this carrier named.
    pub fn of(carrier: Carrier, stream_sid: &str) -> Self {
        match carrier {
            Carrier::Exotel => Self::Exotel(exotel::Writer::new(stream_sid)),
            Carrier::Twilio => Self::Twilio(twilio::Writer::new(stream_sid)),
        }
    }

    /// One frame of audio. `timestamp_ms` is the position of its first sample in what we have sent.
    pub fn media(&mut self, samples: &[i16], timestamp_ms: u64) -> Bytes {
        match self {
            Self::Exotel(writer) => writer.media(samples, timestamp_ms),
            Self::Twilio(writer) => writer.media(samples),
        }
    }

    /// A mark: echoed once everything sent before it has been played (or cleared).
    pub fn mark(&mut self, name: &str) -> Bytes {
        match self {
            Self::Exotel(writer) => writer.mark(name),
            Self::Twilio(writer) => writer.mark(name),
        }
    }

    /// Drops what the carrier has queued and not yet played.
    pub fn clear(&mut self) -> Bytes {
        match self {
            Self::Exotel(writer) => writer.clear(),
            Self::Twilio(writer) => writer.clear(),
        }
    }
}

/// One frame from the carrier. The samples of a media frame are left in the buffer that was given to the parser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarrierEvent {
    /// The socket works; nothing is known yet.
    Connected,
    /// The stream of one answered call begins.
    Start(StreamStart),
    /// Audio of the human.
    Media {
        /// Milliseconds since the start of the stream, by the carrier's clock, where given.
        timestamp_ms: Option<u64>,
    },
    /// A key was pressed.
    Dtmf {
        /// `0`–`9`, `*`, `#` or `A`–`D`.
        digit: char,
    },
    /// All audio sent before this mark has been played, or was cleared (the wire does not say which).
    Mark {
        /// The name we gave it.
        name: String,
    },
    /// The carrier dropped what it had queued. Rare.
    Clear,
    /// The stream is over.
    Stop {
        /// `callended` (the human or the carrier hung up) or `stopped` (the flow moved on), where given.
        reason: Option<String>,
    },
    /// An event this version does not know. Counted, and logged once per stream.
    Unknown {
        /// Its name, cut to a sane length.
        kind: String,
    },
}

/// What the carrier says about the call when its stream begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStart {
    /// The stream's own id: every frame we send carries it.
    pub stream_sid: String,
    /// The carrier's id of the call, and the only thing to correlate by: the direction of `from`/`to` differs by mode.
    pub call_sid: String,
    /// The carrier account.
    pub account_sid: Option<String>,
    /// One of the two numbers.
    pub from: Option<String>,
    /// The other one.
    pub to: Option<String>,
    /// Samples per second in both directions.
    pub sample_rate_hz: u32,
    /// What we appended to the stream URL, with mangled keys put right.
    pub custom_parameters: BTreeMap<String, String>,
}

/// Why a frame could not be used. The stream survives a bounded number of them.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Not JSON, or not the shape of any frame.
    #[error("the frame is not a JSON object of the stream protocol")]
    NotAFrame(#[source] serde_json::Error),
    /// A frame of a known kind lacks what makes it that kind.
    #[error("a {event} frame without {field}")]
    Missing {
        /// The frame's kind.
        event: &'static str,
        /// What is missing.
        field: &'static str,
    },
    /// The payload is not base64.
    #[error("the audio payload is not base64")]
    NotBase64(#[source] base64::DecodeSliceError),
    /// More audio than one frame may hold.
    #[error("the audio payload is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

impl FrameError {
    /// The `kind` label in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotAFrame(_) => "not_a_frame",
            Self::Missing { .. } => "missing_field",
            Self::NotBase64(_) => "not_base64",
            Self::TooLong { .. } => "too_long",
        }
    }
}
