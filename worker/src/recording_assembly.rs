//! One recording of the pieces that a call's streams left: each at its place on the conversation's clock, silence between them.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use sha2::{Digest, Sha256};

/// What `media` writes, and what comes out: 8 kHz, 16 bit, the human on the left and the agent on the right.
const FORMAT: WavSpec =
    WavSpec { channels: 2, sample_rate: 8_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
const FRAME_BYTES: u64 = 4;
const FRAMES_PER_MS: u64 = 8;
/// Frames that are worked on at once: four seconds.
const BLOCK_FRAMES: usize = 32_000;
/// No conversation is longer; a piece that claims to begin later is none.
const LONGEST_MS: i64 = 4 * 3_600_000;

/// The whole, ready to be read from its beginning.
pub struct Assembled {
    pub wav: File,
    pub size_bytes: i64,
    pub duration_ms: i64,
    pub sha256: Vec<u8>,
}

/// Sound from this moment of the conversation on.
pub struct Part {
    pub offset_ms: i64,
    pub wav: File,
}

/// Lays the parts over each other, in the order given: sound over silence, and a later part's over an earlier one's. One that
/// cannot be read is left out. Takes the disk for a moment per minute of sound, and a few hundred kilobytes of memory.
///
/// # Errors
/// The disk is full, or no part could be read.
pub fn assemble(parts: Vec<Part>) -> io::Result<Assembled> {
    // Without a header, and as a file with holes: what nothing is laid on is silence.
    let mut raw = tempfile::tempfile()?;
    let mut laid = 0;
    for part in parts {
        match lay(part, &mut raw) {
            Ok(()) => laid += 1,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                metrics::counter!("recording_pieces_unreadable_total").increment(1);
                tracing::error!(%error, "a piece of a recording cannot be read and is left out");
            }
            Err(error) => return Err(error),
        }
    }
    if laid == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "none of its pieces can be read"));
    }
    let frames = raw.metadata()?.len() / FRAME_BYTES;
    raw.seek(SeekFrom::Start(0))?;
    let mut wav = tempfile::tempfile()?;
    with_header(BufReader::new(raw), &wav)?;
    let (size_bytes, sha256) = checksum(&mut wav)?;
    Ok(Assembled { wav, size_bytes, duration_ms: (frames / FRAMES_PER_MS) as i64, sha256 })
}

fn lay(mut part: Part, raw: &mut File) -> io::Result<()> {
    part.wav.seek(SeekFrom::Start(0))?;
    let mut reader = WavReader::new(BufReader::new(part.wav)).map_err(as_io)?;
    let offset = u64::try_from(part.offset_ms).ok().filter(|_| part.offset_ms <= LONGEST_MS);
    let Some(offset) = offset.filter(|_| reader.spec() == FORMAT) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no piece of ours"));
    };
    let mut at = offset * FRAMES_PER_MS * FRAME_BYTES;
    let mut samples = reader.samples::<i16>();
    let mut below = vec![0; BLOCK_FRAMES * FRAME_BYTES as usize];
    loop {
        let block: Vec<i16> = samples.by_ref().take(BLOCK_FRAMES * 2).collect::<Result<_, _>>().map_err(as_io)?;
        if block.is_empty() {
            return Ok(());
        }
        let below = &mut below[..block.len() * 2];
        below.fill(0);
        raw.seek(SeekFrom::Start(at))?;
        fill(raw, below)?;
        for (bytes, sample) in below.as_chunks_mut::<2>().0.iter_mut().zip(&block).filter(|(_, sample)| **sample != 0) {
            *bytes = sample.to_le_bytes();
        }
        raw.seek(SeekFrom::Start(at))?;
        raw.write_all(below)?;
        at += below.len() as u64;
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<()> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(())
}

fn with_header(mut raw: impl Read, wav: &File) -> io::Result<()> {
    let mut writer = WavWriter::new(BufWriter::new(wav.try_clone()?), FORMAT).map_err(as_io)?;
    let mut block = Vec::with_capacity(BLOCK_FRAMES * FRAME_BYTES as usize);
    loop {
        block.clear();
        raw.by_ref().take((BLOCK_FRAMES as u64) * FRAME_BYTES).read_to_end(&mut block)?;
        if block.is_empty() {
            return writer.finalize().map_err(as_io);
        }
        let samples = block.as_chunks::<2>().0;
        let mut samples_out = writer.get_i16_writer(u32::try_from(samples.len()).unwrap_or(0));
        for &sample in samples {
            samples_out.write_sample(i16::from_le_bytes(sample));
        }
        samples_out.flush().map_err(as_io)?;
    }
}

fn checksum(wav: &mut File) -> io::Result<(i64, Vec<u8>)> {
    wav.seek(SeekFrom::Start(0))?;
    let (mut hash, mut block, mut size) = (Sha256::new(), vec![0; 64 * 1024], 0);
    loop {
        match wav.read(&mut block)? {
            0 => break,
            read => {
                hash.update(&block[..read]);
                size += read as i64;
            }
        }
    }
    wav.seek(SeekFrom::Start(0))?;
    Ok((size, hash.finalize().to_vec()))
}

fn as_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ms` of sound on both sides.
    fn part(offset_ms: i64, ms: usize, left: i16, right: i16) -> Part {
        let wav = tempfile::tempfile().unwrap();
        let mut writer = WavWriter::new(wav.try_clone().unwrap(), FORMAT).unwrap();
        for _ in 0..ms * 8 {
            writer.write_sample(left).unwrap();
            writer.write_sample(right).unwrap();
        }
        writer.finalize().unwrap();
        let mut wav = wav;
        wav.seek(SeekFrom::Start(0)).unwrap();
        Part { offset_ms, wav }
    }

    /// At these moments, in ms: left and right.
    fn heard(assembled: &Assembled, at: &[usize]) -> Vec<(i16, i16)> {
        let mut file = assembled.wav.try_clone().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let samples: Vec<i16> = WavReader::new(file).unwrap().samples().map(Result::unwrap).collect();
        assert_eq!(samples.len() as i64, assembled.duration_ms * 16);
        at.iter().map(|ms| (samples[ms * 16], samples[ms * 16 + 1])).collect()
    }

    #[test]
    fn two_streams_are_one_recording_with_the_gap_silent() {
        let whole = assemble(vec![part(0, 5_000, 1, 2), part(7_250, 2_000, 3, 4)]).unwrap();
        assert_eq!((whole.duration_ms, whole.size_bytes), (9_250, 44 + 9_250 * 32));
        assert_eq!(
            heard(&whole, &[0, 4_999, 5_000, 7_249, 7_250, 9_249]),
            [(1, 2), (1, 2), (0, 0), (0, 0), (3, 4), (3, 4)]
        );
        let mut content = Vec::new();
        (&whole.wav).seek(SeekFrom::Start(0)).unwrap();
        (&whole.wav).read_to_end(&mut content).unwrap();
        assert_eq!(whole.sha256, Sha256::digest(&content).to_vec());
    }

    #[test]
    fn a_piece_that_comes_late_fills_its_gap_and_twice_is_once() {
        let early = assemble(vec![part(0, 1_000, 1, 1), part(3_000, 1_000, 3, 3)]).unwrap();
        let base = |whole: &Assembled| Part { offset_ms: 0, wav: whole.wav.try_clone().unwrap() };
        let once = assemble(vec![base(&early), part(1_000, 2_000, 2, 0)]).unwrap();
        assert_eq!(heard(&once, &[500, 1_000, 2_999, 3_500]), [(1, 1), (2, 0), (2, 0), (3, 3)]);
        let twice = assemble(vec![base(&once), part(1_000, 2_000, 2, 0)]).unwrap();
        assert_eq!(twice.sha256, once.sha256);
    }

    #[test]
    fn the_silent_end_of_a_stream_that_was_cut_hides_nothing_of_the_next() {
        let whole = assemble(vec![part(2_000, 1_000, 3, 3), part(0, 6_000, 0, 0)]).unwrap();
        assert_eq!((whole.duration_ms, heard(&whole, &[2_500])), (6_000, vec![(3, 3)]));
    }

    #[test]
    fn what_is_no_wav_is_left_out() {
        let mut broken = tempfile::tempfile().unwrap();
        broken.write_all(b"RIFF and nothing behind it").unwrap();
        broken.seek(SeekFrom::Start(0)).unwrap();
        let whole =
            assemble(vec![part(0, 100, 1, 1), Part { offset_ms: 100, wav: broken.try_clone().unwrap() }]).unwrap();
        assert_eq!(whole.duration_ms, 100);
        broken.seek(SeekFrom::Start(0)).unwrap();
        let nothing = assemble(vec![Part { offset_ms: 0, wav: broken }]);
        assert_eq!(nothing.err().map(|error| error.kind()), Some(io::ErrorKind::InvalidData));
    }
}
