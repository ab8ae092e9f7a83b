//! Tapes on disk: the thread that writes them, and the files that a process may leave behind.
//!
//! A file is a complete WAV after every write, and locked for as long as somebody writes or ships it: a lock dies with its
//! process, so that whoever gets one holds a file of the dead. One that has grown as long as a piece may be is handed on while
//! its call goes on in the next: a disk that dies with its process takes no more with it.

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
use tokio::{sync::mpsc::Sender, time::Instant};
use ulid::Ulid;

use super::{Order, Piece, What, mixer::Mixer};
use crate::carrier::{SAMPLE_RATE_HZ, SAMPLES_PER_MS};

/// Between two writes of a tape: what a killed process loses.
pub(super) const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A tape of which nothing was heard for so long has lost its end.
const SILENT_FOR: Duration = Duration::from_secs(60);
const FORMAT: WavSpec =
    WavSpec { channels: 2, sample_rate: SAMPLE_RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
const BORN: &str = "wav";
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
        let Some(Name { piece, id, .. }) = Name::of(&path) else { return Ok(None) };
        let lock = File::open(&path)?;
        if lock.try_lock().is_err() || !path.exists() {
            // Somebody else has it, or had it a moment ago.
            return Ok(None);
        }
        let duration_ms = match WavReader::open(&path) {
            Ok(wav) => i64::from(wav.duration()) / SAMPLES_PER_MS as i64,
            // A disk that does not answer is no reason to take the sound on it for none; a file that is too short is no such trouble.
            Err(hound::Error::IoError(error)) if error.raw_os_error().is_some() => return Err(error),
            // Its process died before the first write was whole.
            Err(_no_wav) => 0,
        };
        Ok(Some(Self { piece, id, path, duration_ms, _lock: lock }))
    }

    /// Deletes it without having shipped it.
    pub(super) fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// What a file of ours is called. Others' names are none, and their files are left alone.
pub(super) struct Name {
    pub piece: Piece,
    id: Ulid,
    /// It has not got its last name yet.
    pub is_unborn: bool,
}

impl Name {
    pub fn of(path: &Path) -> Option<Self> {
        let (name, kind) = path.file_name()?.to_str()?.rsplit_once('.')?;
        let mut parts = name.split('-');
        let account_id: AccountId = parts.next()?.parse().ok()?;
        let call_id: CallId = parts.next()?.parse().ok()?;
        let offset = Duration::from_millis(parts.next()?.parse().ok()?);
        let id = Ulid::from_string(parts.next()?).ok()?;
        let is_ours = parts.next().is_none() && matches!(kind, BORN | UNBORN);
        is_ours.then(|| Self { piece: Piece { account_id, call_id, offset }, id, is_unborn: kind == UNBORN })
    }

    fn of_piece(piece: &Piece, id: Ulid) -> String {
        format!("{}-{}-{}-{id}.{BORN}", piece.account_id, piece.call_id, piece.offset.as_millis())
    }
}

/// Bytes of all our files in the directory. One that goes away meanwhile takes none.
fn size_of(dir: &Path) -> io::Result<u64> {
    let ours = fs::read_dir(dir)?.flatten().filter(|entry| Name::of(&entry.path()).is_some());
    Ok(ours.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum())
}

/// The writer of all tapes.
pub(super) struct Spool {
    place: Place,
    open: HashMap<u64, Open>,
    /// Reused between writes.
    out: Vec<i16>,
}

/// Where files are begun, and how large they get.
struct Place {
    dir: PathBuf,
    max_bytes: u64,
    /// Samples per channel.
    piece_length: u32,
}

/// A tape under way.
struct Open {
    mixer: Mixer,
    file: Writing,
    began: Instant,
    /// The last order, on the tape's clock.
    heard_of: i64,
    finished: Sender<Spooled>,
}

impl Open {
    /// Appends left and right in turn, and hands on what has become as long as a piece may be. The next file is begun before the
    /// one before it is finished: where that fails, what was recorded so far is still held.
    fn write(&mut self, place: &Place, mut samples: &[i16]) -> io::Result<()> {
        loop {
            let room = place.piece_length.saturating_sub(self.file.length()) as usize * usize::from(FORMAT.channels);
            let (fitting, rest) = samples.split_at(room.min(samples.len()));
            self.file.write(fitting)?;
            if rest.is_empty() {
                return Ok(());
            }
            let before = self.file.piece;
            let offset = before.offset + Duration::from_millis(u64::from(self.file.length()) / SAMPLES_PER_MS as u64);
            let next = place.begin(Piece { offset, ..before })?;
            let full = std::mem::replace(&mut self.file, next);
            hand_on(full, &self.finished);
            samples = rest;
        }
    }
}

/// Nobody there to ship it, or nobody who keeps up: it is found where it lies.
fn hand_on(file: Writing, finished: &Sender<Spooled>) {
    drop(finished.try_send(file.finish()));
}

impl Place {
    fn begin(&self, piece: Piece) -> io::Result<Writing> {
        if size_of(&self.dir)? >= self.max_bytes {
            return Err(io::Error::other("the files that wait to be shipped take MAX_SPOOL_MB"));
        }
        Writing::begin(&self.dir, piece)
    }
}

impl Spool {
    /// `piece`: how long one file gets, to the millisecond.
    pub fn new(dir: PathBuf, max_bytes: u64, piece: Duration) -> Self {
        let piece_length = u32::try_from(piece.as_millis()).unwrap_or(u32::MAX).saturating_mul(SAMPLES_PER_MS as u32);
        Self { place: Place { dir, max_bytes, piece_length }, open: HashMap::new(), out: Vec::new() }
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
            match self.place.begin(piece) {
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

    fn write(&mut self) {
        let (mut over, mut broken) = (Vec::new(), Vec::new());
        for (&tape, open) in &mut self.open {
            let now = samples_in(open.began.elapsed());
            if now - open.heard_of > samples_in(SILENT_FOR) {
                over.push(tape);
                continue;
            }
            loop {
                self.out.clear();
                let is_all = open.mixer.take(now, &mut self.out);
                if let Err(error) = open.write(&self.place, &self.out) {
                    given_up(&open.file.piece, &error);
                    broken.push(tape);
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
        for open in broken.into_iter().filter_map(|tape| self.open.remove(&tape)) {
            hand_on(open.file, &open.finished);
        }
    }

    fn finish(&mut self, mut open: Open, end: i64) {
        loop {
            self.out.clear();
            let is_all = open.mixer.finish(end, &mut self.out);
            if let Err(error) = open.write(&self.place, &self.out) {
                given_up(&open.file.piece, &error);
                break;
            }
            if is_all {
                break;
            }
        }
        hand_on(open.file, &open.finished);
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
        let path = dir.join(Name::of_piece(&piece, id));
        let unborn = path.with_extension(UNBORN);
        let lock = File::options().read(true).write(true).create_new(true).open(&unborn)?;
        lock.lock()?;
        let mut wav = WavWriter::new(BufWriter::new(lock.try_clone()?), FORMAT).map_err(as_io)?;
        wav.flush().map_err(as_io)?;
        fs::rename(&unborn, &path)?;
        Ok(Self { piece, id, path, lock, wav })
    }

    /// Samples per channel so far.
    fn length(&self) -> u32 {
        self.wav.duration()
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
