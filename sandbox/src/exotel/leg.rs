//! The callee's end of an answered call: the script, the voice, and the record of both.
//!
//! It lives as long as the call, through one stream after another.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    callee::{Act, Callee, Input, Mouth, engine::Reactions, listener::HeardSpeech},
    exotel::{
        call::{Call, Line},
        playback::SAMPLES_PER_MS,
        recordings::Recorder,
    },
    settings::Settings,
    speech::Utterance,
    world::World,
};

/// What the callee does to the line rather than into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineAct {
    Press(char),
    HangUp,
}

/// The callee decides this often while no stream is up.
const SILENCE_CHUNK_MS: u64 = 100;

struct Saying {
    utterance: Arc<Utterance>,
    began_ms: u64,
}

/// See the module.
pub struct Leg {
    world: Arc<World>,
    call: Arc<Call>,
    callee: Callee,
    mouth: Mouth,
    voice: HashMap<String, Arc<Utterance>>,
    saying: Option<Saying>,
    answered: Instant,
    /// `TimeLimit`.
    pub deadline: Instant,
    pub recorder: Option<Recorder>,
}

impl Leg {
    pub fn new(
        world: Arc<World>,
        call: Arc<Call>,
        callee: Callee,
        voice: HashMap<String, Arc<Utterance>>,
        answered: Instant,
        recorder: Option<Recorder>,
    ) -> Self {
        let deadline = answered + Duration::from_secs(call.request.time_limit_secs);
        let mouth = Mouth::new(call.script.line);
        Self { world, call, callee, mouth, voice, saying: None, answered, deadline, recorder }
    }

    /// Milliseconds since the answer.
    pub fn ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.answered).as_millis().try_into().unwrap_or(u64::MAX)
    }

    pub fn has_hung_up(&self) -> bool {
        self.callee.has_hung_up()
    }

    /// Writes down what the callee heard the agent say.
    pub fn note_heard(&self, speech: Vec<HeardSpeech>) {
        for heard in speech {
            let line = Line::from(heard);
            self.world.log.record("callee", "heard", json!({"sid": self.call.sid, "line": line}));
            self.call.truth().heard.push(line);
        }
    }

    /// Lets the callee decide, input by input.
    pub fn decide(&mut self, now_ms: u64, inputs: impl IntoIterator<Item = Input>) -> Vec<LineAct> {
        let mut acts = Vec::new();
        for input in inputs.into_iter().chain([Input::Tick]) {
            self.callee.handle(now_ms, input);
            while let Some(act) = self.callee.poll() {
                match act {
                    Act::Say(text) => self.say(now_ms, &text),
                    Act::Sound { sound, ms } => self.mouth.sound(sound, ms),
                    Act::Press(key) => {
                        self.call.truth().keys.push(key);
                        acts.push(LineAct::Press(key));
                    }
                    Act::HangUp => {
                        self.stop_saying(now_ms);
                        acts.push(LineAct::HangUp);
                    }
                }
            }
        }
        acts
    }

    /// Fills the chunk that began at `chunk_began_ms`, while the agent was heard saying `heard`. Whether speech, or another
    /// sound, ended in it.
    pub fn fill(&mut self, chunk: &mut [i16], chunk_began_ms: u64, heard: &[i16]) -> bool {
        let Some(samples) = self.mouth.fill(chunk, heard) else { return false };
        self.stop_saying(chunk_began_ms + samples as u64 / SAMPLES_PER_MS);
        true
    }

    /// When the last sound of what the callee is saying will be out, in ms since the answer.
    pub fn speech_ends_ms(&self) -> Option<u64> {
        let Saying { utterance, began_ms } = self.saying.as_ref()?;
        Some(began_ms + utterance.words.last().map_or(0, |last| last.end_ms))
    }

    /// Ends what the callee is saying, if anything, and writes down how much of it got out.
    pub fn stop_saying(&mut self, now_ms: u64) {
        let Some(Saying { utterance, began_ms }) = self.saying.take() else { return };
        let spoken_ms = now_ms.saturating_sub(began_ms);
        let whole = spoken_ms + 50 >= utterance.pcm.len() as u64 / SAMPLES_PER_MS;
        let text = if whole {
            utterance.text.clone()
        } else {
            let said: Vec<&str> = utterance
                .words
                .iter()
                .take_while(|word| word.end_ms <= spoken_ms)
                .map(|word| word.word.as_str())
                .collect();
            said.join(" ")
        };
        let sounded_ms = utterance.words.last().map_or(spoken_ms, |last| last.end_ms.min(spoken_ms));
        let line = Line {
            began_ms,
            ended_ms: began_ms + sounded_ms,
            text,
            full_text: (!whole).then(|| utterance.text.clone()),
        };
        self.world.log.record("callee", "said", json!({"sid": self.call.sid, "line": line}));
        self.call.truth().said.push(line);
    }

    /// The agent's stream is over; `last` was still being heard. The callee does not decide now, there is nobody to tell.
    pub fn line_went_dead(&mut self, now_ms: u64, inputs: Vec<Input>, last: &[HeardSpeech]) {
        for input in inputs {
            self.callee.handle(now_ms, input);
        }
        for HeardSpeech { ended_ms, text, full_text, .. } in last {
            let (at, whole, text) = (*ended_ms, text == full_text, text.clone());
            let input = if whole { Input::AgentEnded { at, text } } else { Input::AgentCutOff { at, text } };
            self.callee.handle(now_ms, input);
        }
    }

    /// Nobody is at the other end while `work` is done: the callee hears silence, and does what people do then. `None` if they
    /// have hung up before it was done.
    pub async fn alone<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        let mut chunk = vec![0; (SILENCE_CHUNK_MS * SAMPLES_PER_MS) as usize];
        let mut chunk_began_ms = self.ms(Instant::now());
        loop {
            let chunk_ends = self.answered + Duration::from_millis(chunk_began_ms + SILENCE_CHUNK_MS);
            tokio::select! {
                done = &mut work => return Some(done),
                () = sleep_until(chunk_ends) => {}
            }
            let ended = self.fill(&mut chunk, chunk_began_ms, &[]);
            self.record(&chunk, &[]);
            chunk_began_ms += SILENCE_CHUNK_MS;
            // A key that is pressed now reaches nobody.
            let acts = self.decide(chunk_began_ms, ended.then_some(Input::Spoke));
            if acts.contains(&LineAct::HangUp) {
                return None;
            }
        }
    }

    /// Writes what was said and heard into the recording, if there is one.
    pub fn record(&mut self, said: &[i16], heard: &[i16]) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.write(said, heard)
        {
            tracing::warn!(%error, "the recording breaks off");
            self.recorder = None;
        }
    }

    fn say(&mut self, now_ms: u64, text: &str) {
        self.stop_saying(now_ms);
        // Every text of a script was synthesized while the phone rang.
        let Some(utterance) = self.voice.get(text).cloned() else {
            tracing::warn!(sid = %self.call.sid, "a script's text was not synthesized; it stays unsaid");
            self.callee.handle(now_ms, Input::Spoke);
            return;
        };
        self.mouth.speak(utterance.clone());
        self.saying = Some(Saying { utterance, began_ms: now_ms });
    }
}

/// Reaction times for one call: the same number at the same attempt reacts the same.
pub fn reactions(settings: &Settings, call: &Call) -> Reactions {
    let seed = call
        .customer()
        .bytes()
        .fold(call.attempt as u64, |seed, byte| seed.wrapping_mul(131).wrapping_add(u64::from(byte)));
    Reactions::new(settings.reaction_min_ms, settings.reaction_max_ms, seed)
}
