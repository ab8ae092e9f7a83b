//! The line while no stream is up: what Twilio itself says to the callee, and what it hears, in real time.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    callee::{Input, listener::Listener},
    exotel::{
        call::Call,
        leg::{Leg, LineAct},
        playback::{Playback, SAMPLES_PER_MS},
    },
    world::World,
};

const CHUNK_MS: u64 = 20;
/// Twilio takes so much silence for the end of what is said (`speechTimeout="auto"`).
const SPEECH_ENDS_MS: u64 = 700;

/// Why the call is over, as the carrier knows it.
pub type Cause = &'static str;

/// What is listened for.
#[derive(Debug, Clone, Copy)]
pub struct Ears {
    pub speech: bool,
    pub keys: bool,
    /// Silence behind what was said, and between two keys.
    pub patience: Duration,
    pub most_keys: Option<usize>,
    pub last_key: Option<char>,
}

/// What there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gathered {
    Nothing,
    Words(String),
    /// And the key that ended them, if one did.
    Keys(String, Option<char>),
}

/// The clock and the ears of one such stretch.
pub struct Airtime {
    call: Arc<Call>,
    playback: Playback,
    listener: Listener,
    started: Instant,
    offset_ms: u64,
    chunks: u64,
    chunk: Vec<i16>,
    played: Vec<i16>,
    /// Keys that the callee has pressed since somebody looked.
    pressed: Vec<char>,
}

impl Airtime {
    pub fn begin(world: &World, call: &Arc<Call>, leg: &Leg) -> Self {
        let started = Instant::now();
        let offset_ms = leg.ms(started);
        Self {
            call: call.clone(),
            playback: Playback::default(),
            listener: Listener::new(&world.speech, offset_ms),
            started,
            offset_ms,
            chunks: 0,
            chunk: vec![0; (CHUNK_MS * SAMPLES_PER_MS) as usize],
            played: Vec::new(),
            pressed: Vec::new(),
        }
    }

    /// Goes on until `work` is done, or the call is over.
    pub async fn during<T>(&mut self, leg: &mut Leg, work: impl Future<Output = T>) -> Result<T, Cause> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = sleep_until(self.next()) => self.tick(leg)?,
            }
        }
    }

    /// Says something to its end.
    pub async fn say(&mut self, leg: &mut Leg, pcm: Vec<i16>) -> Result<(), Cause> {
        self.playback.audio(pcm, false);
        while self.playback.queued() > 0 {
            sleep_until(self.next()).await;
            self.tick(leg)?;
        }
        Ok(())
    }

    pub async fn pause(&mut self, leg: &mut Leg, time: Duration) -> Result<(), Cause> {
        self.during(leg, tokio::time::sleep(time)).await
    }

    /// Says something, falls silent when the callee speaks or presses a key, and answers what came first: the words up to a
    /// pause, or the keys up to their end.
    pub async fn gather(&mut self, leg: &mut Leg, pcm: Vec<i16>, ears: Ears) -> Result<Gathered, Cause> {
        let said_before = self.call.truth().said.len();
        self.playback.audio(pcm, false);
        self.pressed.clear();
        let mut quiet_since = Instant::now();
        let mut keys = String::new();
        loop {
            sleep_until(self.next()).await;
            let was_speaking = leg.speech_ends_ms().is_some();
            self.tick(leg)?;
            for key in std::mem::take(&mut self.pressed).into_iter().filter(|_| ears.keys) {
                self.playback.clear_all();
                quiet_since = Instant::now();
                if ears.last_key == Some(key) && !keys.is_empty() {
                    return Ok(Gathered::Keys(keys, Some(key)));
                }
                keys.push(key);
                if ears.most_keys.is_some_and(|most| keys.len() >= most) {
                    return Ok(Gathered::Keys(keys, None));
                }
            }
            if !keys.is_empty() {
                if quiet_since.elapsed() >= ears.patience {
                    return Ok(Gathered::Keys(keys, None));
                }
                continue;
            }
            let is_speaking = leg.speech_ends_ms().is_some();
            if is_speaking && ears.speech {
                self.playback.clear_all();
            }
            if is_speaking || was_speaking || self.playback.queued() > 0 {
                quiet_since = Instant::now();
                continue;
            }
            let lines = &self.call.truth().said[said_before..];
            let heard: Vec<&str> =
                lines.iter().map(|line| line.text.as_str()).filter(|text| !text.is_empty()).collect();
            let quiet = quiet_since.elapsed();
            if ears.speech && !heard.is_empty() && quiet >= Duration::from_millis(SPEECH_ENDS_MS) {
                return Ok(Gathered::Words(heard.join(" ")));
            }
            if quiet >= ears.patience {
                return Ok(Gathered::Nothing);
            }
        }
    }

    /// The stretch is over; what was being heard ends now.
    pub fn finish(mut self, leg: &mut Leg) {
        let last = self.listener.finish();
        leg.line_went_dead(leg.ms(Instant::now()), Vec::new(), &last);
        leg.note_heard(last);
    }

    fn next(&self) -> Instant {
        self.started + Duration::from_millis((self.chunks + 1) * CHUNK_MS)
    }

    fn tick(&mut self, leg: &mut Leg) -> Result<(), Cause> {
        if self.call.hang_up.is_cancelled() {
            return Err("hung_up_by_request");
        }
        if Instant::now() >= leg.deadline {
            return Err("time_limit");
        }
        let began_ms = self.offset_ms + self.chunks * CHUNK_MS;
        self.chunks += 1;
        self.played.clear();
        self.playback.advance(self.chunk.len(), &mut self.played);
        let ended = leg.fill(&mut self.chunk, began_ms, &self.played);
        leg.record(&self.chunk, &self.played);
        let (mut inputs, speech) = self.listener.hear(&self.played);
        leg.note_heard(speech);
        if ended {
            inputs.insert(0, Input::Spoke);
        }
        for act in leg.decide(began_ms + CHUNK_MS, inputs) {
            match act {
                LineAct::Press(key) => self.pressed.push(key),
                LineAct::HangUp => return Err("callee_hung_up"),
            }
        }
        Ok(())
    }
}
