//! The playout clock and the queue behind it, without a world around them.
//!
//! The carrier plays what it is sent at real time, so that the end of everything sent (`play_end`) is known without asking.
//! Marks that come back correct it by the delay of the path. What was *heard* follows from it, and nothing is latched:
//! "is the agent audible?" is `now < play_end`.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::{carrier::SAMPLES_PER_MS, dialogue::Epoch, tts::SpeechAudio};

/// Sound already played that is kept, so that a resume can step back to a word's beginning.
const KEPT_SAMPLES: u64 = 2_000 * SAMPLES_PER_MS as u64;
/// Smallest unit on the wire: 20 ms.
const UNIT_SAMPLES: u64 = 160;
/// A short frame goes out when the carrier has no more than this left.
const LAST_MOMENT: Duration = Duration::from_millis(40);
/// With no more than this at the carrier, a pause lets it run out instead of clearing it.
const RUN_OUT: Duration = Duration::from_millis(100);
/// A mark that is this late will not come.
const MARK_PATIENCE: Duration = Duration::from_secs(1);
/// Most that marks may shift the clock.
const MAX_DELAY: Duration = Duration::from_millis(500);
/// Time between two reports of the position while something plays.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// Silence in the middle of a reply that counts as a gap: less is inaudible, and below what a timer promises.
const GAP: Duration = Duration::from_millis(5);
/// How long without trouble until the lead shrinks again.
const CALM: Duration = Duration::from_secs(10);

/// How far ahead of real time frames are sent.
#[derive(Debug, Clone, Copy)]
pub struct PacerSettings {
    /// Samples per frame: a multiple of 160.
    pub frame_samples: usize,
    /// Usual lead.
    pub lead: Duration,
    /// Lead after frames were late.
    pub max_lead: Duration,
}

impl PacerSettings {
    /// Frames of `frame_ms` (a multiple of 20). The lead is 200 ms, or two frames where they are longer than 100 ms, and
    /// never more than three frames or 400 ms: more makes barge-in slow, and Exotel hangs up.
    pub fn of_frames(frame_ms: u32) -> Self {
        let frame = Duration::from_millis(frame_ms.into());
        let lead = Duration::from_millis(200).max(frame * 2);
        let max_lead = Duration::from_millis(400).min(frame * 3).max(lead);
        Self { frame_samples: frame_ms as usize * SAMPLES_PER_MS, lead, max_lead }
    }

    fn frame(&self) -> Duration {
        duration_of(self.frame_samples as u64)
    }
}

/// Something to send now.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The samples are in the caller's buffer.
    Frame {
        /// Position of the first sample in all that was sent on this stream.
        timestamp_ms: u64,
        /// How long after its time.
        lateness: Duration,
        /// When the human begins to hear it, if nothing takes it back.
        starts: Instant,
    },
    /// Send this mark.
    Mark(String),
    /// Send `clear`.
    Clear {
        /// On the clock of the frames' starts: what is later was not heard.
        heard_until: Instant,
    },
}

/// Something the dialogue should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The first frame of this reply went out.
    Started {
        /// The reply.
        epoch: Epoch,
    },
    /// The human has heard this much of the reply.
    Played {
        /// The reply.
        epoch: Epoch,
        /// Position in its sound.
        samples: u64,
    },
    /// All that was delivered so far has been heard.
    Drained {
        /// The reply.
        epoch: Epoch,
    },
    /// `clear` is about to go out.
    Cleared,
}

struct Chunk {
    from: u64,
    audio: SpeechAudio,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.from + self.audio.samples.len() as u64
    }
}

/// One reply's sound.
struct Lane {
    epoch: Epoch,
    chunks: VecDeque<Chunk>,
    /// Samples received.
    end: u64,
    /// Next sample to send.
    cursor: u64,
    /// Clause of the last chunk, and the ends of clauses that still need their mark.
    clause: u32,
    boundaries: VecDeque<(u64, u32)>,
    complete: bool,
    started: bool,
    /// A resume or a start: silence before the next frame is meant.
    silence_is_meant: bool,
    /// It ran dry in the middle.
    starved: bool,
    dry_reported: bool,
    end_mark_sent: bool,
}

/// A stretch at the carrier.
struct Sent {
    epoch: Epoch,
    from: u64,
    to: u64,
    starts: Instant,
}

struct Mark {
    name: String,
    epoch: Epoch,
    at: u64,
    expected: Instant,
    is_end: bool,
}

/// See the module.
pub struct Playout {
    settings: PacerSettings,
    lead: Duration,
    troubled_at: Option<Instant>,
    lanes: VecDeque<Lane>,
    sent: VecDeque<Sent>,
    sent_samples: u64,
    play_end: Option<Instant>,
    delay: Duration,
    marks: VecDeque<Mark>,
    /// Rises with every `clear`, so that an old mark can never be taken for a new one.
    generation: u32,
    paused: bool,
    refused_to: Option<Epoch>,
    clear_due: Option<Instant>,
    /// Audio went out since the last `clear`.
    uncleared: bool,
    reports: VecDeque<Report>,
    reported_at: Option<Instant>,
}

impl Playout {
    /// Silence.
    pub fn new(settings: PacerSettings) -> Self {
        Self {
            settings,
            lead: settings.lead,
            troubled_at: None,
            lanes: VecDeque::new(),
            sent: VecDeque::new(),
            sent_samples: 0,
            play_end: None,
            delay: Duration::ZERO,
            marks: VecDeque::new(),
            generation: 0,
            paused: false,
            refused_to: None,
            clear_due: None,
            uncleared: false,
            reports: VecDeque::new(),
            reported_at: None,
        }
    }

    /// Queues sound of a reply. Sound of a reply that was cleared is dropped.
    pub fn push(&mut self, now: Instant, epoch: Epoch, clause: u32, audio: SpeechAudio) {
        if self.refused_to.is_some_and(|refused| epoch <= refused) || audio.samples.is_empty() {
            return;
        }
        let ran_dry = self.play_end.is_none_or(|end| end < now);
        let lane = self.lane(epoch, clause);
        if lane.started && lane.cursor == lane.end && ran_dry {
            lane.starved = true;
        }
        if lane.clause != clause {
            lane.boundaries.push_back((lane.end, lane.clause));
            lane.clause = clause;
        }
        let chunk = Chunk { from: lane.end, audio };
        lane.end = chunk.end();
        lane.chunks.push_back(chunk);
        lane.dry_reported = false;
    }

    fn lane(&mut self, epoch: Epoch, clause: u32) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.epoch == epoch).unwrap_or_else(|| {
            self.lanes.push_back(Lane {
                epoch,
                chunks: VecDeque::new(),
                end: 0,
                cursor: 0,
                clause,
                boundaries: VecDeque::new(),
                complete: false,
                started: false,
                silence_is_meant: true,
                starved: false,
                dry_reported: false,
                end_mark_sent: false,
            });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    /// The reply's sound is complete: its tail may be padded.
    pub fn end(&mut self, epoch: Epoch) {
        let known = self.lanes.iter_mut().find(|lane| lane.epoch == epoch);
        match known {
            Some(lane) => lane.complete = true,
            // Nothing to hear is heard at once.
            None if self.refused_to.is_none_or(|refused| epoch > refused) => {
                self.reports.push_back(Report::Drained { epoch });
            }
            None => {}
        }
    }

    /// Stops. What lies at the carrier is cleared, unless it is over in a moment anyway.
    pub fn pause(&mut self, now: Instant, epoch: Epoch) {
        if self.lanes.front().is_none_or(|lane| lane.epoch != epoch) {
            return;
        }
        self.paused = true;
        self.report_played(now);
        if self.play_end.is_some_and(|end| end > now + RUN_OUT) {
            self.clear_carrier(now);
        }
    }

    /// Goes on from `from`, clamped to what is still kept.
    pub fn resume(&mut self, now: Instant, epoch: Epoch, from: u64) {
        // Also where the reply was heard to its end meanwhile: what comes next must sound.
        self.paused = false;
        let Some(lane) = self.lanes.front_mut().filter(|lane| lane.epoch == epoch) else { return };
        let first = lane.chunks.front().map_or(lane.end, |chunk| chunk.from);
        lane.cursor = from.clamp(first, lane.end);
        lane.silence_is_meant = true;
        lane.end_mark_sent = false;
        lane.dry_reported = false;
        // What is said again has marks of its own: one that is still on its way would end the reply too early.
        self.generation += 1;
        self.marks.retain(|mark| mark.epoch != epoch);
        self.report_played(now);
    }

    /// Forgets the reply and all before it.
    pub fn clear(&mut self, now: Instant, epoch: Epoch) {
        self.refused_to = self.refused_to.max(Some(epoch));
        self.report_played(now);
        self.clear_carrier(now);
        self.lanes.retain(|lane| lane.epoch > epoch);
        self.paused = false;
    }

    /// Takes back what the carrier has not played yet.
    fn clear_carrier(&mut self, now: Instant) {
        let heard = self.heard(now);
        if self.uncleared {
            self.clear_due = Some(now.checked_sub(self.delay).unwrap_or(now));
            self.uncleared = false;
            self.reports.push_back(Report::Cleared);
        }
        self.generation += 1;
        self.marks.clear();
        self.sent.clear();
        self.play_end = None;
        if let (Some((epoch, position)), Some(lane)) = (heard, self.lanes.front_mut())
            && lane.epoch == epoch
        {
            lane.cursor = position.min(lane.end);
            lane.silence_is_meant = true;
            lane.end_mark_sent = false;
        }
    }

    /// A mark came back.
    pub fn marked(&mut self, now: Instant, name: &str) {
        let Some(at) = self.marks.iter().position(|mark| mark.name == name) else {
            metrics::counter!("marks_ignored_total").increment(1);
            return;
        };
        let mark = self.marks.drain(..=at).next_back().expect("at least the one found");
        let late = now.saturating_duration_since(mark.expected).min(MAX_DELAY);
        self.delay = (self.delay * 3 + late) / 4;
        self.sent.retain(|sent| sent.epoch != mark.epoch || sent.to > mark.at);
        self.reports.push_back(Report::Played { epoch: mark.epoch, samples: mark.at });
        if mark.is_end {
            self.drained(mark.epoch);
        }
    }

    fn drained(&mut self, epoch: Epoch) {
        self.reports.push_back(Report::Drained { epoch });
        self.lanes.retain(|lane| lane.epoch != epoch);
        self.sent.retain(|sent| sent.epoch != epoch);
    }

    /// What to send now, if anything. A frame's samples are left in `frame`.
    pub fn poll(&mut self, now: Instant, frame: &mut Vec<i16>) -> Option<Action> {
        if let Some(heard_until) = self.clear_due.take() {
            return Some(Action::Clear { heard_until });
        }
        self.observe(now);
        if self.paused {
            return None;
        }
        if let Some(mark) = self.due_mark() {
            return Some(mark);
        }
        let (due, count) = self.due_frame()?;
        let due = due.unwrap_or(now);
        (due <= now).then(|| self.frame(now, now - due, count, frame))
    }

    /// The mark of a clause, or of the reply's end, that everything before it has been sent for.
    fn due_mark(&mut self) -> Option<Action> {
        let expected = self.play_end?;
        let generation = self.generation;
        let lane = self.lanes.iter_mut().find(|lane| !lane.end_mark_sent)?;
        let Epoch(epoch) = lane.epoch;
        let (at, name, is_end) = if let Some((at, clause)) = lane.boundaries.front().copied()
            && at <= lane.cursor
        {
            lane.boundaries.pop_front();
            (at, format!("e{epoch}.{generation}.c{clause}"), false)
        } else if lane.complete && lane.cursor == lane.end && lane.started {
            lane.end_mark_sent = true;
            (lane.end, format!("e{epoch}.{generation}.end"), true)
        } else {
            return None;
        };
        self.marks.push_back(Mark { name: name.clone(), epoch: lane.epoch, at, expected, is_end });
        Some(Action::Mark(name))
    }

    /// When the next frame is due (`None`: at once) and how many samples it has.
    fn due_frame(&self) -> Option<(Option<Instant>, u64)> {
        let lane = self.lanes.iter().find(|lane| lane.cursor < lane.end)?;
        let available = lane.end - lane.cursor;
        let whole = self.settings.frame_samples as u64;
        let on_schedule = self.play_end.map(|end| end - (self.lead - self.settings.frame()).min(self.lead));
        if available >= whole {
            return Some((on_schedule, whole));
        }
        if lane.complete {
            return Some((on_schedule, available));
        }
        // The rest of the frame may still come; at the last moment what there is goes out.
        let count = if available >= UNIT_SAMPLES { available / UNIT_SAMPLES * UNIT_SAMPLES } else { available };
        let last_moment = self.play_end.map(|end| end - LAST_MOMENT);
        // At the start of a reply nothing is running out: a whole frame is worth waiting for.
        if lane.started { Some((last_moment, count)) } else { None }
    }

    fn frame(&mut self, now: Instant, lateness: Duration, count: u64, frame: &mut Vec<i16>) -> Action {
        let starts = self.play_end.filter(|end| *end > now).unwrap_or(now);
        let silence = self.play_end.map_or(Duration::ZERO, |end| now.saturating_duration_since(end));
        let lane = self.lanes.iter_mut().find(|lane| lane.cursor < lane.end).expect("a frame is due");
        let from = lane.cursor;
        let to = from + count;
        frame.clear();
        for chunk in &mut lane.chunks {
            let (start, end) = (from.max(chunk.from), to.min(chunk.end()));
            if start < end {
                let range = (start - chunk.from) as usize..(end - chunk.from) as usize;
                frame.extend_from_slice(&chunk.audio.samples[range]);
            }
            if chunk.end() <= to {
                // It is on its way: the voice may bring more.
                chunk.audio.permit = None;
            }
        }
        // On the wire a frame is whole units; the padding is silence, and real time.
        frame.resize(frame.len().next_multiple_of(UNIT_SAMPLES as usize), 0);
        lane.cursor = to;
        if !lane.started {
            lane.started = true;
            self.reports.push_back(Report::Started { epoch: lane.epoch });
        } else if silence > GAP && !lane.silence_is_meant {
            let cause = if lane.starved { "starved" } else { "late" };
            metrics::counter!("playout_gaps_total", "cause" => cause).increment(1);
            metrics::histogram!("playout_gap_seconds", "cause" => cause).record(silence);
        }
        // Only a frame in the middle of flowing speech can be late.
        let lateness = if lane.silence_is_meant || lane.starved { Duration::ZERO } else { lateness };
        let in_trouble = lateness * 2 > self.settings.lead;
        lane.silence_is_meant = false;
        lane.starved = false;
        let kept_from = from.saturating_sub(KEPT_SAMPLES);
        while lane.chunks.front().is_some_and(|chunk| chunk.end() < kept_from) {
            lane.chunks.pop_front();
        }
        self.sent.push_back(Sent { epoch: lane.epoch, from, to, starts });
        self.play_end = Some(starts + duration_of(frame.len() as u64));
        let timestamp_ms = self.sent_samples / SAMPLES_PER_MS as u64;
        self.sent_samples += frame.len() as u64;
        self.uncleared = true;
        self.adapt(now, in_trouble);
        Action::Frame { timestamp_ms, lateness, starts }
    }

    fn adapt(&mut self, now: Instant, in_trouble: bool) {
        if in_trouble {
            self.troubled_at = Some(now);
            self.lead = (self.lead + self.settings.frame()).min(self.settings.max_lead);
        } else if self.troubled_at.is_some_and(|at| now > at + CALM) {
            self.troubled_at = None;
            self.lead = self.settings.lead;
        }
    }

    /// Notices what has been heard since.
    fn observe(&mut self, now: Instant) {
        let over = self.play_end.is_none_or(|end| end + self.delay <= now);
        if self.reported_at.is_none_or(|at| now >= at + REPORT_EVERY) || (over && !self.is_settled()) {
            self.report_played(now);
        }
        let Some(lane) = self.lanes.front() else { return };
        if !over || lane.cursor < lane.end || !lane.started || self.paused {
            return;
        }
        let epoch = lane.epoch;
        if !lane.complete {
            if !lane.dry_reported {
                self.report_played(now);
                self.reports.push_back(Report::Drained { epoch });
                if let Some(lane) = self.lanes.front_mut() {
                    lane.dry_reported = true;
                }
            }
        } else if let Some(mark) = self.marks.iter().find(|mark| mark.epoch == epoch && mark.is_end)
            && mark.expected + MARK_PATIENCE <= now
        {
            metrics::counter!("marks_missed_total").increment(1);
            self.marks.retain(|mark| mark.epoch != epoch);
            self.report_played(now);
            self.drained(epoch);
        } else if self.play_end.is_none() {
            // Resumed at its very end: there is nothing left to put a mark behind.
            self.drained(epoch);
        }
    }

    fn report_played(&mut self, now: Instant) {
        let Some((epoch, samples)) = self.heard(now) else { return };
        self.reported_at = Some(now);
        self.reports.push_back(Report::Played { epoch, samples });
        // What has been played completely is only needed to know where we are.
        while self.sent.len() > 1 && self.sent.get(1).is_some_and(|next| next.starts + self.delay <= now) {
            self.sent.pop_front();
        }
    }

    /// The reply that is at the human's ear, and how far.
    fn heard(&self, now: Instant) -> Option<(Epoch, u64)> {
        let at = now.checked_sub(self.delay)?;
        let current = self.sent.iter().rev().find(|sent| sent.starts <= at).or(self.sent.front())?;
        let played = samples_in(at.saturating_duration_since(current.starts));
        Some((current.epoch, (current.from + played).min(current.to)))
    }

    /// The next report, in order.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// When to poll again if nothing else happens; `None` while there is nothing to wait for.
    pub fn deadline(&self) -> Option<Instant> {
        let frame = if self.paused { None } else { self.due_frame().and_then(|(due, _)| due) };
        let playing = self.play_end.filter(|_| !self.sent.is_empty()).map(|end| end + self.delay);
        // Once the end has been reported there is nothing to wake up for but a late mark.
        let playing = playing.filter(|_| !self.is_settled());
        let report = playing.map(|end| self.reported_at.map_or(end, |at| end.min(at + REPORT_EVERY)));
        let mark = self.marks.iter().find(|mark| mark.is_end).map(|mark| mark.expected + MARK_PATIENCE);
        [frame, report, mark].into_iter().flatten().min()
    }

    /// All that was sent is known to have been heard, and said so.
    fn is_settled(&self) -> bool {
        let Some(end) = self.play_end else { return true };
        self.reported_at.is_some_and(|at| at >= end + self.delay)
    }
}

fn duration_of(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000 / SAMPLES_PER_MS as u64)
}

fn samples_in(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 16) * SAMPLES_PER_MS as u64 / 1_000
}
