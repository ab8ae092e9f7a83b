//! What the callee hears: the speech bank's ear, and plain loudness for audio that it does not know.

use crate::{
    callee::Input,
    exotel::playback::SAMPLES_PER_MS,
    speech::{Ear, Heard, SpeechBank},
};

/// Louder than this is a sound.
const SOUND: u16 = 400;
/// A sound that the ear has not recognised for this long is somebody speaking all the same.
const UNKNOWN_AFTER_MS: u64 = 600;
/// Quiet for this long ends unknown speech.
const UNKNOWN_ENDS_MS: u64 = 500;

/// One stretch of the agent's speech as the callee heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardSpeech {
    /// Milliseconds since the answer.
    pub began_ms: u64,
    pub ended_ms: u64,
    /// The words that were heard; empty for audio that nobody in the sandbox synthesized.
    pub text: String,
    /// The whole text of which they are the heard part.
    pub full_text: String,
}

/// The callee's ear in one stream.
pub struct Listener {
    ear: Ear,
    /// When the stream began, since the answer.
    offset_ms: u64,
    samples: u64,
    /// Begin of the utterance that the ear is following.
    following: Option<u64>,
    unknown: Unknown,
}

#[derive(Debug, Clone, Copy)]
enum Unknown {
    Quiet,
    /// A sound began; the ear may still recognise it.
    Sound {
        since: u64,
        last: u64,
    },
    /// It was reported as speech.
    Speech {
        since: u64,
        last: u64,
    },
}

impl Listener {
    pub fn new(bank: &SpeechBank, offset_ms: u64) -> Self {
        Self { ear: bank.ear(), offset_ms, samples: 0, following: None, unknown: Unknown::Quiet }
    }

    /// Takes audio that the callee's phone has played, in order. Gives what it means to the callee
    /// and the stretches of speech that are complete.
    pub fn hear(&mut self, pcm: &[i16]) -> (Vec<Input>, Vec<HeardSpeech>) {
        self.samples += pcm.len() as u64;
        let events = self.ear.hear(pcm);
        let (mut inputs, mut speech) = self.understand(events);
        let loud = pcm.iter().any(|sample| sample.unsigned_abs() > SOUND);
        self.notice_unknown(loud, &mut inputs, &mut speech);
        (inputs, speech)
    }

    /// The stream is over: what was being heard ends now.
    pub fn finish(&mut self) -> Vec<HeardSpeech> {
        let events = self.ear.flush();
        let (_, mut speech) = self.understand(events);
        if let Unknown::Speech { since, last } = self.unknown {
            speech.push(unrecognised(since, last));
        }
        self.unknown = Unknown::Quiet;
        speech
    }

    fn now(&self) -> u64 {
        self.offset_ms + self.samples / SAMPLES_PER_MS
    }

    fn understand(&mut self, events: Vec<Heard>) -> (Vec<Input>, Vec<HeardSpeech>) {
        let (mut inputs, mut speech) = (Vec::new(), Vec::new());
        for event in events {
            self.unknown = Unknown::Quiet;
            match event {
                Heard::Started { at_ms, .. } => {
                    let at = self.offset_ms + at_ms;
                    self.following = Some(at);
                    inputs.push(Input::AgentBegan { at });
                }
                Heard::Ended { utterance, at_ms, text, .. } => {
                    let at = self.offset_ms + at_ms;
                    speech.push(HeardSpeech {
                        began_ms: self.following.take().unwrap_or(at),
                        ended_ms: at,
                        text: text.clone(),
                        full_text: utterance.text.clone(),
                    });
                    inputs.push(Input::AgentEnded { at, text });
                }
            }
        }
        (inputs, speech)
    }

    fn notice_unknown(&mut self, loud: bool, inputs: &mut Vec<Input>, speech: &mut Vec<HeardSpeech>) {
        if self.following.is_some() {
            self.unknown = Unknown::Quiet;
            return;
        }
        let now = self.now();
        self.unknown = match self.unknown {
            Unknown::Quiet if loud => Unknown::Sound { since: now, last: now },
            Unknown::Quiet => Unknown::Quiet,
            Unknown::Sound { since, .. } if loud && now - since >= UNKNOWN_AFTER_MS => {
                inputs.push(Input::AgentBegan { at: since });
                Unknown::Speech { since, last: now }
            }
            Unknown::Sound { last, .. } if !loud && now - last >= UNKNOWN_ENDS_MS => Unknown::Quiet,
            Unknown::Sound { since, last } => Unknown::Sound { since, last: if loud { now } else { last } },
            Unknown::Speech { since, last } if !loud && now - last >= UNKNOWN_ENDS_MS => {
                speech.push(unrecognised(since, last));
                inputs.push(Input::AgentEnded { at: last, text: String::new() });
                Unknown::Quiet
            }
            Unknown::Speech { since, last } => Unknown::Speech { since, last: if loud { now } else { last } },
        };
    }
}

fn unrecognised(began_ms: u64, ended_ms: u64) -> HeardSpeech {
    HeardSpeech { began_ms, ended_ms, text: String::new(), full_text: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(listener: &mut Listener, pcm: &[i16]) -> Vec<Input> {
        pcm.chunks(800).flat_map(|chunk| listener.hear(chunk).0).collect()
    }

    #[tokio::test]
    async fn known_speech_is_understood_and_cut_speech_is_cut() {
        let bank = SpeechBank::tones();
        let said = bank.say("What is your budget for this home?", "agent").await;
        let mut listener = Listener::new(&bank, 1_000);
        let mut inputs = feed(&mut listener, &said.pcm);
        inputs.extend(feed(&mut listener, &[0; 16_000]));
        assert!(matches!(inputs[0], Input::AgentBegan { at } if at >= 1_000), "{inputs:?}");
        assert!(matches!(&inputs[1], Input::AgentEnded { text, .. } if text.ends_with("home?")), "{inputs:?}");

        let mut listener = Listener::new(&bank, 0);
        feed(&mut listener, &said.pcm[..said.pcm.len() / 2]);
        let speech = listener.finish();
        assert!(speech[0].text.len() < speech[0].full_text.len(), "{speech:?}");
    }

    #[test]
    fn speech_that_nobody_here_synthesized_still_ends_a_turn() {
        let bank = SpeechBank::tones();
        let mut listener = Listener::new(&bank, 0);
        let noise: Vec<i16> = (0..16_000).map(|at| if at % 7 < 3 { 6_000 } else { -6_000 }).collect();
        let mut inputs = feed(&mut listener, &noise);
        inputs.extend(feed(&mut listener, &[0; 16_000]));
        assert!(matches!(inputs[..], [Input::AgentBegan { .. }, Input::AgentEnded { .. }]), "{inputs:?}");
    }
}
