//! Recordings: both sides as they were played, stored as raw samples during the call, encoded to
//! MP3 after it.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, anyhow};
use mp3lame_encoder::{Bitrate, Builder, FlushNoGap, InterleavedPcm, Quality, max_required_buffer_size};
use tokio::sync::Semaphore;

/// The encoder is given this many stereo samples at a time: 4 s.
const ENCODE_SAMPLES: usize = 32_000;

/// Where finished recordings lie. The directory is made when the first one is, and is gone with the
/// process.
pub struct Recordings {
    directory: Mutex<Option<tempfile::TempDir>>,
    /// One at a time: encoding must not take the processor from calls that are up.
    encoding: Semaphore,
}

impl Default for Recordings {
    fn default() -> Self {
        Self { directory: Mutex::new(None), encoding: Semaphore::new(1) }
    }
}

impl Recordings {
    /// Begins to record a call.
    pub fn begin(&self, sid: &str, dual_channels: bool) -> io::Result<Recorder> {
        let directory = self.directory()?;
        let raw = directory.join(format!("{sid}.pcm"));
        let file = BufWriter::with_capacity(64 * 1024, File::create(&raw)?);
        Ok(Recorder {
            file,
            raw,
            mp3: directory.join(format!("{sid}.mp3")),
            dual_channels,
            callee: Vec::new(),
            agent: Vec::new(),
            samples: 0,
        })
    }

    /// Encodes a finished recording, off the calls' threads.
    pub async fn encode(&self, recorder: Recorder) -> anyhow::Result<()> {
        let _turn = self.encoding.acquire().await.context("the encoder is shutting down")?;
        tokio::task::spawn_blocking(move || recorder.encode()).await.context("the encoder panicked")?
    }

    /// The encoded file, if it is there.
    pub fn read(&self, sid: &str) -> Option<Vec<u8>> {
        let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        fs::read(directory.as_ref()?.path().join(format!("{sid}.mp3"))).ok()
    }

    fn directory(&self) -> io::Result<PathBuf> {
        let mut directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if directory.is_none() {
            *directory = Some(tempfile::Builder::new().prefix("sandbox-recordings-").tempdir()?);
        }
        directory.as_ref().map(|made| made.path().to_owned()).ok_or_else(|| io::Error::other("no directory"))
    }
}

/// One recording under way. The left channel is the callee, the right one the agent.
pub struct Recorder {
    file: BufWriter<File>,
    raw: PathBuf,
    mp3: PathBuf,
    dual_channels: bool,
    callee: Vec<i16>,
    agent: Vec<i16>,
    samples: u64,
}

impl Recorder {
    /// Adds what both sides sounded like. The two may be a few milliseconds apart; the rest waits.
    pub fn write(&mut self, callee: &[i16], agent: &[i16]) -> io::Result<()> {
        self.callee.extend_from_slice(callee);
        self.agent.extend_from_slice(agent);
        let both = self.callee.len().min(self.agent.len());
        for (left, right) in self.callee.drain(..both).zip(self.agent.drain(..both)) {
            self.file.write_all(&left.to_le_bytes())?;
            self.file.write_all(&right.to_le_bytes())?;
        }
        self.samples += both as u64;
        Ok(())
    }

    /// Milliseconds recorded.
    pub fn ms(&self) -> u64 {
        self.samples / 8
    }

    fn encode(mut self) -> anyhow::Result<()> {
        self.file.flush().context("writing the raw recording")?;
        let encoded = encode(&self.raw, self.dual_channels);
        fs::remove_file(&self.raw).context("removing the raw recording")?;
        // Renamed into place, so that nobody is served half a file.
        let partial = self.mp3.with_extension("partial");
        fs::write(&partial, encoded?).context("writing the recording")?;
        fs::rename(&partial, &self.mp3).context("publishing the recording")
    }
}

/// Raw 8 kHz stereo to MP3, two channels or mixed to one.
fn encode(raw: &Path, dual_channels: bool) -> anyhow::Result<Vec<u8>> {
    let lame = |error: &dyn std::fmt::Display| anyhow!("LAME: {error}");
    let mut builder = Builder::new().ok_or_else(|| anyhow!("LAME: out of memory"))?;
    builder.set_sample_rate(8_000).map_err(|error| lame(&error))?;
    builder.set_num_channels(if dual_channels { 2 } else { 1 }).map_err(|error| lame(&error))?;
    builder.set_brate(if dual_channels { Bitrate::Kbps32 } else { Bitrate::Kbps16 }).map_err(|error| lame(&error))?;
    builder.set_quality(Quality::SecondWorst).map_err(|error| lame(&error))?;
    let mut encoder = builder.build().map_err(|error| lame(&error))?;

    let mut file = File::open(raw).context("opening the raw recording")?;
    let (mut bytes, mut mp3) = (vec![0; ENCODE_SAMPLES * 4], Vec::new());
    loop {
        let read = fill(&mut file, &mut bytes)?;
        let stereo: Vec<i16> =
            bytes[..read].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        mp3.reserve(max_required_buffer_size(ENCODE_SAMPLES));
        if dual_channels {
            encoder.encode_to_vec(InterleavedPcm(&stereo), &mut mp3).map_err(|error| lame(&error))?;
        } else {
            let mixed: Vec<i16> = stereo.chunks_exact(2).map(|pair| pair[0].saturating_add(pair[1])).collect();
            encoder.encode_to_vec(mp3lame_encoder::MonoPcm(&mixed), &mut mp3).map_err(|error| lame(&error))?;
        }
        if read < bytes.len() {
            break;
        }
    }
    mp3.reserve(max_required_buffer_size(0).max(7_200));
    encoder.flush_to_vec::<FlushNoGap>(&mut mp3).map_err(|error| lame(&error))?;
    Ok(mp3)
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> anyhow::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..]).context("reading the raw recording")? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_become_one_mp3() {
        for dual_channels in [false, true] {
            let recordings = Recordings::default();
            let mut recorder = recordings.begin("s1", dual_channels).unwrap();
            let tone: Vec<i16> = (0..8_000).map(|at| if at % 16 < 8 { 8_000 } else { -8_000 }).collect();
            for _ in 0..5 {
                recorder.write(&tone, &tone[..7_900]).unwrap();
            }
            assert_eq!(recorder.ms(), 5 * 7_900 / 8);
            assert!(recordings.read("s1").is_none());
            recordings.encode(recorder).await.unwrap();
            let mp3 = recordings.read("s1").unwrap();
            // An MPEG audio frame begins with eleven set bits.
            assert_eq!((mp3[0], mp3[1] & 0xe0), (0xff, 0xe0));
            assert!(mp3.len() > 5_000, "{}", mp3.len());
        }
    }
}
