//! What a fetched recording is: MP3 or WAV by its first bytes, and how long.

use std::io::Cursor;

use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Mp3,
    Wav,
}

impl Format {
    /// By its first bytes. An MP3 may begin in the middle of a frame; then the declared type decides. A page of text is neither.
    #[must_use]
    pub fn of(content: &[u8], declared: Option<&str>) -> Option<Self> {
        if content.starts_with(b"RIFF") && content.get(8..12) == Some(b"WAVE") {
            return Some(Self::Wav);
        }
        let is_frame = content.first() == Some(&0xff) && content.get(1).is_some_and(|byte| byte & 0xe0 == 0xe0);
        if content.starts_with(b"ID3") || is_frame {
            return Some(Self::Mp3);
        }
        let declared = declared.unwrap_or_default().to_ascii_lowercase();
        let is_text = content.iter().take(64).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        (!is_text && (declared.starts_with("audio/mpeg") || declared.starts_with("audio/mp3"))).then_some(Self::Mp3)
    }

    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
        }
    }

    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Wav => "audio/wav",
        }
    }
}

/// Milliseconds of sound, by walking its packets: headers of telephone recordings are often wrong or absent. `None` if nothing
/// in it can be read. Takes the processor for some milliseconds per minute of sound.
#[must_use]
pub fn duration_ms(content: bytes::Bytes, format: Format) -> Option<i64> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(content)), MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    hint.with_extension(format.extension());
    let mut reader: Box<dyn FormatReader> = symphonia::default::get_probe()
        .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
        .ok()?;
    let track = reader.default_track(TrackType::Audio)?;
    let (id, time_base) = (track.id, track.time_base?);
    let mut ticks: u64 = 0;
    // A broken end is the end.
    while let Ok(Some(packet)) = reader.next_packet() {
        if packet.track_id == id {
            ticks += packet.dur.get();
        }
    }
    let seconds = ticks as f64 * f64::from(time_base.numer.get()) / f64::from(time_base.denom.get());
    #[expect(clippy::cast_possible_truncation, reason = "a recording has some hours at most")]
    let milliseconds = (seconds * 1_000.0).round() as i64;
    (milliseconds > 0).then_some(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of silence as 8 kHz PCM16.
    fn wav(seconds: u32) -> bytes::Bytes {
        let data = seconds * 16_000;
        let mut wav = Vec::new();
        wav.extend_from_slice(b"RIFF");
        wav.extend_from_slice(&(36 + data).to_le_bytes());
        wav.extend_from_slice(b"WAVEfmt ");
        wav.extend_from_slice(&16_u32.to_le_bytes());
        wav.extend_from_slice(&1_u16.to_le_bytes());
        wav.extend_from_slice(&1_u16.to_le_bytes());
        wav.extend_from_slice(&8_000_u32.to_le_bytes());
        wav.extend_from_slice(&16_000_u32.to_le_bytes());
        wav.extend_from_slice(&2_u16.to_le_bytes());
        wav.extend_from_slice(&16_u16.to_le_bytes());
        wav.extend_from_slice(b"data");
        wav.extend_from_slice(&data.to_le_bytes());
        wav.resize(wav.len() + data as usize, 0);
        wav.into()
    }

    #[test]
    fn a_recording_is_as_long_as_its_samples() {
        assert_eq!(Format::of(&wav(1), None), Some(Format::Wav));
        assert_eq!(duration_ms(wav(3), Format::Wav), Some(3_000));
    }

    #[test]
    fn a_page_of_text_is_no_recording_whatever_it_claims() {
        assert_eq!(Format::of(b"<html>not ready</html>", Some("audio/mpeg")), None);
        assert_eq!(Format::of(b"ID3\x04", None), Some(Format::Mp3));
        assert_eq!(Format::of(&[0xff, 0xfb, 0x10, 0xc4], None), Some(Format::Mp3));
        assert_eq!(duration_ms(bytes::Bytes::from_static(b"RIFF nothing"), Format::Wav), None);
    }
}
