//! Speech from the `flite` program (Debian package of that name), where it is installed.

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use super::{devanagari, resample};

/// Voices compiled into Debian's flite.
const VOICES: [&str; 4] = ["slt", "rms", "awb", "kal"];
/// A sentence takes 0.1 s; a process that takes this long is stuck.
const LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("flite is not installed")]
    Absent,
    #[error("flite could not be run")]
    Io(#[source] std::io::Error),
    #[error("flite took longer than {LIMIT:?}")]
    Stuck,
    #[error("flite answered without audio")]
    NoAudio,
}

/// The flite voice for a name: itself if flite has it, else always the same one for the same name.
pub(super) fn voice_for(name: &str) -> &'static str {
    VOICES
        .into_iter()
        .find(|voice| *voice == name)
        .unwrap_or_else(|| VOICES[(super::stable_hash(&[name]) % VOICES.len() as u64) as usize])
}

/// Whether flite, which reads Latin letters only, has a chance to pronounce this. Devanagari is written in them for it.
pub(super) fn can_say(text: &str) -> bool {
    let (ascii, foreign) = devanagari::in_latin(text)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .fold((0, 0), |(ascii, foreign), c| if c.is_ascii() { (ascii + 1, foreign) } else { (ascii, foreign + 1) });
    ascii > foreign
}

/// The text as 8 kHz audio.
pub(super) async fn speak(text: &str, voice: &str) -> Result<Vec<i16>, Error> {
    let mut flite = Command::new("flite");
    flite
        .args(["-voice", voice_for(voice), "-t", &devanagari::in_latin(text), "-o", "/dev/stdout"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = match timeout(LIMIT, flite.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Absent);
        }
        Ok(Err(error)) => return Err(Error::Io(error)),
        Err(_elapsed) => return Err(Error::Stuck),
    };
    let (rate, pcm) = read_wav(&output.stdout).ok_or(Error::NoAudio)?;
    match rate {
        8_000 => Ok(pcm),
        16_000 => Ok(resample::halve(&pcm)),
        _ => Err(Error::NoAudio),
    }
}

/// Sample rate and samples of a 16-bit mono WAV. The data chunk's length is not believed: a program
/// that writes to a pipe cannot go back to correct it.
pub(crate) fn read_wav(wav: &[u8]) -> Option<(u32, Vec<i16>)> {
    if wav.get(..4)? != b"RIFF" || wav.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut rate = None;
    let mut at = 12;
    loop {
        let name = wav.get(at..at + 4)?;
        let length = u32::from_le_bytes(wav.get(at + 4..at + 8)?.try_into().ok()?) as usize;
        let body = at + 8;
        match name {
            b"fmt " => rate = Some(u32::from_le_bytes(wav.get(body + 4..body + 8)?.try_into().ok()?)),
            b"data" => {
                let bytes = &wav[body..wav.len().min(body.saturating_add(length.max(1)))];
                let pcm: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                return rate.filter(|_| !pcm.is_empty()).map(|rate| (rate, pcm));
            }
            _ => {}
        }
        at = body.checked_add(length)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_voice_is_always_the_same_voice() {
        assert_eq!(voice_for("kal"), "kal");
        assert_eq!(voice_for("21m00Tcm4TlvDq8ikWAM"), voice_for("21m00Tcm4TlvDq8ikWAM"));
    }

    #[test]
    fn hindi_can_be_said_and_tamil_is_left_to_the_tones() {
        assert!(can_say("Hello, 2 crore") && can_say("नमस्ते, मैं आशा") && !can_say("வணக்கம்") && !can_say("..."));
    }
}
