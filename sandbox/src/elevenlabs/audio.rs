//! An utterance as ElevenLabs delivers it: encoded, in chunks, with the times of its characters.

use serde_json::{Value, json};

use super::error::Error;
use crate::speech::{SAMPLE_RATE, Utterance, resample, ulaw};

const PER_MS: usize = SAMPLE_RATE as usize / 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Pcm8000,
    Pcm16000,
    Ulaw8000,
}

impl Format {
    pub(super) fn named(name: &str) -> Result<Self, Error> {
        match name {
            "pcm_8000" => Ok(Self::Pcm8000),
            "pcm_16000" => Ok(Self::Pcm16000),
            "ulaw_8000" => Ok(Self::Ulaw8000),
            _ => {
                let known = ["pcm_", "mp3_", "opus_", "alaw_", "wav_"].iter().any(|family| name.starts_with(family));
                let status = if known { "output_format_not_simulated" } else { "invalid_output_format" };
                Err(Error::bad_request(status, format!("the simulator does not make {name}")))
            }
        }
    }

    fn encode(self, pcm: &[i16]) -> Vec<u8> {
        let little_endian = |pcm: &[i16]| pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        match self {
            Self::Pcm8000 => little_endian(pcm),
            Self::Pcm16000 => little_endian(&resample::double(pcm)),
            Self::Ulaw8000 => pcm.iter().map(|sample| ulaw::encode(*sample)).collect(),
        }
    }

    fn bytes_per_ms(self) -> usize {
        match self {
            Self::Pcm8000 => 2 * PER_MS,
            Self::Pcm16000 => 4 * PER_MS,
            Self::Ulaw8000 => PER_MS,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Pcm8000 | Self::Pcm16000 => "audio/pcm",
            Self::Ulaw8000 => "audio/basic",
        }
    }
}

/// One delivery.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    pub bytes: Vec<u8>,
    /// Length of all chunks before this one, in ms.
    pub starts_at_ms: u64,
    /// Characters that begin in this chunk: the character, and its start and length in ms. Starts count
    /// from the beginning of the chunk.
    pub chars: Vec<(char, u64, u64)>,
}

/// The chunks of an utterance, each `chunk_ms` long but the last; with `odd`, of odd sizes.
pub(super) fn chunks(utterance: &Utterance, format: Format, chunk_ms: u64, odd: bool) -> Vec<Chunk> {
    let bytes = format.encode(&utterance.pcm);
    let size = format.bytes_per_ms() * chunk_ms.max(1) as usize + usize::from(odd);
    let timed = char_times(utterance);
    let mut chars = timed.iter().peekable();
    let mut chunks = Vec::with_capacity(bytes.len() / size + 1);
    for (number, part) in bytes.chunks(size).enumerate() {
        let from = (number * size / format.bytes_per_ms()) as u64;
        let to = ((number * size + part.len()) / format.bytes_per_ms()) as u64;
        let is_last = (number + 1) * size >= bytes.len();
        let mut within = Vec::new();
        while let Some((c, start, length)) = chars.next_if(|(_, start, _)| is_last || *start < to) {
            within.push((*c, start.saturating_sub(from), *length));
        }
        chunks.push(Chunk { bytes: part.to_vec(), starts_at_ms: from, chars: within });
    }
    chunks
}

/// Every character of the text with its start and length in ms. Starts never fall.
fn char_times(utterance: &Utterance) -> Vec<(char, u64, u64)> {
    let mut times = Vec::with_capacity(utterance.text.len());
    let mut timings = utterance.words.iter();
    let mut now = 0;
    let mut rest = utterance.text.as_str();
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            times.push((first, now, 0));
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, later) = rest.split_at(end);
        // A word without letters or digits has no time of its own.
        let timing = word.chars().any(char::is_alphanumeric).then(|| timings.next()).flatten();
        let (start, stop) = timing.map_or((now, now), |timing| (timing.start_ms.max(now), timing.end_ms.max(now)));
        let count = word.chars().count() as u64;
        for (at, c) in (0..).zip(word.chars()) {
            let from = start + (stop - start) * at / count;
            times.push((c, from, start + (stop - start) * (at + 1) / count - from));
        }
        now = stop;
        rest = later;
    }
    times
}

/// The alignment object, or null where nothing begins.
pub(super) fn alignment(chars: &[(char, u64, u64)], other_spelling: bool) -> Value {
    if chars.is_empty() {
        return Value::Null;
    }
    let (starts, lengths) = if other_spelling {
        ("charsStartTimesMs", "charsDurationsMs")
    } else {
        ("charStartTimesMs", "charDurationsMs")
    };
    json!({
        "chars": chars.iter().map(|(c, ..)| c.to_string()).collect::<Vec<_>>(),
        starts: chars.iter().map(|(_, start, _)| *start).collect::<Vec<_>>(),
        lengths: chars.iter().map(|(.., length)| *length).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::SpeechBank;

    #[tokio::test]
    async fn chunks_carry_all_the_audio_and_every_character_once() {
        for text in ["Hello there - how are you today?", "नमस्ते - आपका बजट कितना है, पाँच लाख?"]
        {
            let said = SpeechBank::tones().say(text, "kal").await;
            every_character_once(&said);
        }
    }

    fn every_character_once(said: &Utterance) {
        for (format, odd) in
            [(Format::Pcm8000, false), (Format::Pcm8000, true), (Format::Ulaw8000, false), (Format::Pcm16000, true)]
        {
            let chunks = chunks(said, format, 150, odd);
            let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
            assert_eq!(bytes, format.encode(&said.pcm));
            let text: String = chunks.iter().flat_map(|chunk| chunk.chars.iter().map(|(c, ..)| *c)).collect();
            assert_eq!(text, said.text);
            assert!(chunks.len() > 4);
            assert_eq!(chunks.iter().any(|chunk| chunk.bytes.len() % 2 == 1), odd);
            let starts: Vec<u64> = chunks
                .iter()
                .flat_map(|chunk| chunk.chars.iter().map(|(_, start, _)| chunk.starts_at_ms + start))
                .collect();
            assert!(starts.is_sorted(), "{starts:?}");
        }
    }
}
