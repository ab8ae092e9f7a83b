//! Tapes on disk: the thread that writes them, and the files that a process may leave behind.
//!
//! A file is a complete WAV after every write, and locked for as long as somebody writes or ships it: a lock dies with its
//! process, so that whoever gets one holds a file of the dead.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use shared::id::{AccountId, CallId};
use tokio::{sync::oneshot, time::Instant};
use ulid::Ulid;

use super::{Order, Piece, What, mixer::Mixer};
use crate::carrier::{SAMPLE_RATE_HZ, SAMPLES_PER_MS};

/// Between two writes of a tape: what a killed process loses.
pub(super) const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A tape of which nothing was heard for so long has lost its end.
const SILENT_FOR: Duration = Duration::from_secs(60);
const FORMAT: WavSpec =
    WavSpec { channels: 2, sample_rate: SAMPLE_RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
/// Not yet locked, and of no interest to anybody else.
const UNBORN: &str = "new";

/// A file that nobody writes to any more, and that is ours as long as this lives.
#[derive(Debug)]
pub struct Spooled {
    /// Whose it is.
    pub piece: Piece,
    /// Unique, and the same however often it is shipped.
    pub id: Ulid,
    /// Where it is.
    pub path: PathBuf,
    /// Length of the sound.
    pub duration_ms: i64,
    _lock: File,
}

impl Spooled {
    /// Takes a file that its process left behind. `None`: it has a living owner, or is none of ours.
    pub(super) fn left_behind(path: PathBuf) -> io::Result<Option<Self>> {
        let Some((piece, id)) = parsed(&path) else { return Ok(None) };
        let lock = File::open(&path)?;
        if lock.try_lock().is_err() || !path.exists() {
            // Somebody else has it, or had it a moment ago.
            return Ok(None);
        }
        let duration_ms = WavReader::open(&path).map_or(0, |wav| i64::from(wav.duration()) / SAMPLES_PER_MS as i64);
        Ok(Some(Self { piece, id, path, duration_ms, _lock: lock }))
    }
}

fn name(piece: &Piece, id: Ulid) -> String {
    format!("{}-{}-{}-{id}.wav", piece.account_id, piece.call_id, piece.offset.as_millis())
}

fn parsed(path: &Path) -> Option<(Piece, Ulid)> {
    let mut parts = path.file_name()?.to_str()?.strip_suffix(".wav")?.split('-');
    let account_id: AccountId = parts.next()?.parse().ok()?;
    let call_id: CallId = parts.next()?.parse().ok()?;
    let offset = Duration::from_millis(parts.next()?.parse().ok()?);
    let id = Ulid::from_string(parts.next()?).ok()?;
    parts.next().is_none().then_some((Piece { account_id, call_id, offset }, id))
}

/// Bytes of all files in the directory.
fn size_of(dir: &Path) -> io::Result<u64> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata().map_or(0, |metadata| metadata.len()))).sum()
}

/// The writer of all tapes.
pub(super) struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    open: HashMap<u64, Open>,
    /// Reused between writes.
    out: Vec<i16>,
}

/// A tape under way.
struct Open {
    mixer: Mixer,
    file: Writing,
    began: Instant,
    /// The last order, on the tape's clock.
    heard_of: i64,
    finished: oneshot::Sender<Spooled>,
}

impl Spool {
    pub fn new(dir: PathBuf, max_bytes: u64) -> Self {
        Self { dir, max_bytes, open: HashMap::new(), out: Vec::new() }
    }

    /// Until nobody can give orders any more.
    pub fn run(mut self, orders: &Receiver<Order>) {
        let mut write_at = Instant::now() + WRITE_EVERY;
        loop {
            match orders.recv_timeout(write_at.saturating_duration_since(Instant::now())) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= write_at {
                self.write();
                write_at = Instant::now() + WRITE_EVERY;
            }
        }
        for (_, open) in std::mem::take(&mut self.open) {
            let end = open.heard_of;
            self.finish(open, end);
        }
    }

    fn obey(&mut self, Order { tape, what }: Order) {
        if let What::Begin { piece, began, finished } = what {
            match self.begin(&piece) {
                Ok(file) => {
                    self.open.insert(tape, Open { mixer: Mixer::default(), file, began, heard_of: 0, finished });
                }
                Err(error) => given_up(&piece, &error),
            }
            return;
        }
        let Some(open) = self.open.get_mut(&tape) else { return };
        match what {
            What::Begin { .. } => {}
            What::Human { arrived, stamp, samples } => {
                open.heard_of = open.heard_of.max(arrived);
                open.mixer.human(arrived, stamp, samples);
            }
            What::Agent { at, samples } => open.mixer.agent(at, &samples),
            What::Cut { at } => open.mixer.cut(at),
            What::End { at } => {
                if let Some(open) = self.open.remove(&tape) {
                    self.finish(open, at);
                }
            }
        }
    }

    fn begin(&self, piece: &Piece) -> io::Result<Writing> {
        if size_of(&self.dir)? >= self.max_bytes {
            return Err(io::Error::other("the files that wait to be shipped take MAX_SPOOL_MB"));
        }
        Writing::begin(&self.dir, *piece)
    }

    fn write(&mut self) {
        let mut over = Vec::new();
        for (&tape, open) in &mut self.open {
            let now = samples_in(open.began.elapsed());
            if now - open.heard_of > samples_in(SILENT_FOR) {
                over.push(tape);
                continue;
            }
            loop {
                self.out.clear();
                let is_all = open.mixer.take(now, &mut self.out);
                if let Err(error) = open.file.write(&self.out) {
                    given_up(&open.file.piece, &error);
                    over.push(tape);
                    break;
                }
                if is_all {
                    break;
                }
            }
        }
        for open in over.into_iter().filter_map(|tape| self.open.remove(&tape)).collect::<Vec<_>>() {
            let end = open.heard_of;
            self.finish(open, end);
        }
    }

    fn finish(&mut self, open: Open, end: i64) {
        let Open { mut mixer, mut file, finished, .. } = open;
        loop {
            self.out.clear();
            let is_all = mixer.finish(end, &mut self.out);
            if let Err(error) = file.write(&self.out) {
                given_up(&file.piece, &error);
                break;
            }
            if is_all {
                break;
            }
        }
        // Nobody there to ship it: it is found where it lies.
        drop(finished.send(file.finish()));
    }
}

fn given_up(piece: &Piece, error: &io::Error) {
    metrics::counter!("tapes_given_up_total").increment(1);
    tracing::error!(call_id = %piece.call_id, %error, "the call's own recording cannot be written any further");
}

/// A file under way.
struct Writing {
    piece: Piece,
    id: Ulid,
    path: PathBuf,
    lock: File,
    wav: WavWriter<BufWriter<File>>,
}

impl Writing {
    fn begin(dir: &Path, piece: Piece) -> io::Result<Self> {
        let id = Ulid::generate();
        let path = dir.join(name(&piece, id));
        let unborn = path.with_extension(UNBORN);
        let lock = File::options().read(true).write(true).create_new(true).open(&unborn)?;
        lock.lock()?;
        let mut wav = WavWriter::new(BufWriter::new(lock.try_clone()?), FORMAT).map_err(as_io)?;
        wav.flush().map_err(as_io)?;
        fs::rename(&unborn, &path)?;
        Ok(Self { piece, id, path, lock, wav })
    }

    /// Appends left and right in turn; then the file is complete again.
    fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        let Ok(count) = u32::try_from(samples.len()) else { return Err(io::Error::other("too much at once")) };
        if count == 0 {
            return Ok(());
        }
        let mut writer = self.wav.get_i16_writer(count);
        for &sample in samples {
            writer.write_sample(sample);
        }
        writer.flush().map_err(as_io)?;
        self.wav.flush().map_err(as_io)
    }

    fn finish(self) -> Spooled {
        let Self { piece, id, path, lock, wav } = self;
        let duration_ms = i64::from(wav.duration()) / SAMPLES_PER_MS as i64;
        // Complete as it is; what cannot be written now could not be before.
        drop(wav.finalize());
        Spooled { piece, id, path, duration_ms, _lock: lock }
    }
}

fn as_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

fn samples_in(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 16) * SAMPLES_PER_MS as i64 / 1_000
}
