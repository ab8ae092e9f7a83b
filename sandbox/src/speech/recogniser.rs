//! What a transcriber says about the audio it gets, whatever it calls that: decided from the audio alone. No sockets, no clock:
//! time is the audio received, in ms.
//!
//! Words come from the ear. Endpointing is silence measured on the audio, so that a cough or an
//! unknown voice ends in a final with an empty transcript, as in life.

use super::{Ear, HeardWord, script};

/// Audio is judged in steps of 10 ms.
const FRAME_MS: u64 = 10;
const FRAME: usize = 80;
/// Mean square from which a frame counts as loud: an RMS of 150, about -47 dBFS.
const LOUD: i64 = 150 * 150;
/// This many loud frames in a row are speech; a click is not.
const SPEECH_FRAMES: u32 = 3;
/// An open segment is closed after about this long, with or without words in it.
const PIECE_MS: u64 = 5_000;
/// Less open audio than this gives a `Finalize` nothing to answer.
const LITTLE_MS: u64 = 100;

/// A stretch of audio and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub start_ms: u64,
    pub end_ms: u64,
    pub words: Vec<HeardWord>,
}

/// What is to be told to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Somebody began to speak, whether or not it will be understood.
    SpeechStarted {
        at_ms: u64,
    },
    Interim(Segment),
    Final {
        segment: Segment,
        speech_final: bool,
        from_finalize: bool,
    },
    UtteranceEnd {
        last_word_end_ms: u64,
    },
}

/// What one stream is told, and when. Times in ms; `None` for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Manner {
    /// Between interims.
    pub interim_every_ms: Option<u64>,
    /// Silence that ends an utterance.
    pub endpointing_ms: Option<u64>,
    /// Gap between words that ends one.
    pub utterance_end_ms: Option<u64>,
    /// Knows no other language. What is said in one is noise to it: a model for English makes next to nothing of foreign speech,
    /// at most a stray word without confidence (github.com/deepgram/deepgram-python-sdk, issue 752).
    pub english_only: bool,
}

/// One stream's recogniser.
pub(crate) struct Recogniser {
    ear: Ear,
    interim_every_ms: Option<u64>,
    endpointing_ms: Option<u64>,
    utterance_end_ms: Option<u64>,
    english_only: bool,
    /// Samples that do not fill a frame yet.
    partial: Vec<i16>,
    now_ms: u64,
    segment_start_ms: u64,
    words: Vec<HeardWord>,
    loud_frames: u32,
    quiet_ms: u64,
    /// Speech since the last endpoint.
    speaking: bool,
    last_interim_ms: u64,
    words_in_interim: usize,
    last_word_end_ms: Option<u64>,
}

impl Recogniser {
    pub(crate) fn new(ear: Ear, manner: Manner) -> Self {
        Self {
            ear,
            interim_every_ms: manner.interim_every_ms,
            endpointing_ms: manner.endpointing_ms,
            utterance_end_ms: manner.utterance_end_ms,
            english_only: manner.english_only,
            partial: Vec::with_capacity(2 * FRAME),
            now_ms: 0,
            segment_start_ms: 0,
            words: Vec::new(),
            loud_frames: 0,
            quiet_ms: 0,
            speaking: false,
            last_interim_ms: 0,
            words_in_interim: 0,
            last_word_end_ms: None,
        }
    }

    /// Takes the next samples, 8 kHz, in chunks of any size.
    pub(crate) fn hear(&mut self, pcm: &[i16]) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let mut audio = std::mem::take(&mut self.partial);
        audio.extend_from_slice(pcm);
        let mut frames = audio.chunks_exact(FRAME);
        for frame in &mut frames {
            self.hear_frame(frame, &mut verdicts);
        }
        self.partial = frames.remainder().to_vec();
        verdicts
    }

    /// The client wants what there is. Nothing comes back where there is hardly anything.
    pub(crate) fn finalize(&mut self) -> Option<Verdict> {
        let worth_it = !self.words.is_empty() || self.now_ms - self.segment_start_ms >= LITTLE_MS;
        worth_it.then(|| {
            self.speaking = false;
            self.close_segment(false, true)
        })
    }

    /// No more audio will come: what is left.
    pub(crate) fn finish(&mut self) -> Option<Verdict> {
        self.ear.flush();
        self.take_words();
        (!self.words.is_empty() || self.speaking).then(|| {
            self.speaking = false;
            self.close_segment(true, false)
        })
    }

    /// Audio received, in ms.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn hear_frame(&mut self, frame: &[i16], verdicts: &mut Vec<Verdict>) {
        self.now_ms += FRAME_MS;
        let energy: i64 = frame.iter().map(|sample| i64::from(*sample).pow(2)).sum();
        if energy >= LOUD * FRAME as i64 {
            self.loud_frames += 1;
            self.quiet_ms = 0;
        } else {
            self.loud_frames = 0;
            self.quiet_ms += FRAME_MS;
        }
        self.ear.hear(frame);
        self.take_words();
        if !self.speaking && (self.loud_frames >= SPEECH_FRAMES || !self.words.is_empty()) {
            self.speaking = true;
            self.last_interim_ms = self.now_ms;
            verdicts.push(Verdict::SpeechStarted { at_ms: self.now_ms - u64::from(self.loud_frames) * FRAME_MS });
        }
        self.judge(verdicts);
    }

    fn judge(&mut self, verdicts: &mut Vec<Verdict>) {
        let open_ms = self.now_ms - self.segment_start_ms;
        if self.speaking && self.endpointing_ms.is_some_and(|limit| self.quiet_ms >= limit.max(FRAME_MS)) {
            self.speaking = false;
            verdicts.push(self.close_segment(true, false));
        } else if self.interim_every_ms.is_some_and(|every| self.now_ms - self.last_interim_ms >= every)
            && self.words.len() > self.words_in_interim
        {
            self.last_interim_ms = self.now_ms;
            self.words_in_interim = self.words.len();
            verdicts.push(Verdict::Interim(self.segment()));
        } else if open_ms >= PIECE_MS && (!self.speaking || !self.words.is_empty() || open_ms >= 2 * PIECE_MS) {
            verdicts.push(self.close_segment(false, false));
        }

        let word_gap = self.last_word_end_ms.zip(self.utterance_end_ms);
        if let Some((last_word_end_ms, limit)) = word_gap
            && self.now_ms >= last_word_end_ms + limit
        {
            if !self.words.is_empty() {
                verdicts.push(self.close_segment(false, false));
            }
            self.last_word_end_ms = None;
            verdicts.push(Verdict::UtteranceEnd { last_word_end_ms });
        }
    }

    fn take_words(&mut self) {
        let mut words = self.ear.take_words();
        if self.english_only {
            words.retain(|heard| script::language_of(&heard.word) == "en");
        }
        if let Some(last) = words.last() {
            self.last_word_end_ms = Some(last.end_ms);
        }
        self.words.extend(words);
    }

    fn segment(&self) -> Segment {
        Segment { start_ms: self.segment_start_ms, end_ms: self.now_ms, words: self.words.clone() }
    }

    /// Ends the open segment here; the next begins where it ends.
    fn close_segment(&mut self, speech_final: bool, from_finalize: bool) -> Verdict {
        let segment = self.segment();
        self.words.clear();
        self.words_in_interim = 0;
        self.segment_start_ms = self.now_ms;
        Verdict::Final { segment, speech_final, from_finalize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::SpeechBank;

    fn recogniser(bank: &SpeechBank, endpointing_ms: Option<u64>) -> Recogniser {
        let manner =
            Manner { interim_every_ms: Some(300), endpointing_ms, utterance_end_ms: Some(1_000), english_only: false };
        Recogniser::new(bank.ear(), manner)
    }

    fn story(verdicts: &[Verdict]) -> Vec<String> {
        let text =
            |segment: &Segment| segment.words.iter().map(|word| word.word.as_str()).collect::<Vec<_>>().join(" ");
        verdicts
            .iter()
            .map(|verdict| match verdict {
                Verdict::SpeechStarted { .. } => "started".to_owned(),
                Verdict::Interim(segment) => format!("~ {}", text(segment)),
                Verdict::Final { segment, speech_final: true, .. } => format!("! {}", text(segment)),
                Verdict::Final { segment, from_finalize: true, .. } => format!("f {}", text(segment)),
                Verdict::Final { segment, .. } => format!(". {}", text(segment)),
                Verdict::UtteranceEnd { .. } => "end".to_owned(),
            })
            .collect()
    }

    fn silence(ms: usize) -> Vec<i16> {
        vec![0; ms * 8]
    }

    #[tokio::test]
    async fn a_line_grows_word_by_word_and_ends_after_the_endpointing_silence() {
        let bank = SpeechBank::tones();
        let said = bank.say("Yes I am looking for a flat", "kal").await;
        let mut recogniser = recogniser(&bank, Some(300));
        let mut verdicts = recogniser.hear(&[silence(200), said.pcm.clone(), silence(200)].concat());
        let before = story(&verdicts);
        assert!(!before.iter().any(|line| line.starts_with('!')), "{before:?}");
        verdicts.extend(recogniser.hear(&silence(1_500)));

        let told = story(&verdicts);
        assert_eq!(told[0], "started");
        let interims: Vec<&String> = told.iter().filter(|line| line.starts_with('~')).collect();
        assert!(interims.len() >= 3, "{told:?}");
        assert!(interims.windows(2).all(|pair| pair[1].starts_with(pair[0].as_str())));
        assert_eq!(told[told.len() - 2..], ["! Yes I am looking for a flat".to_owned(), "end".to_owned()]);
    }

    #[tokio::test]
    async fn without_the_rest_of_the_audio_the_rest_of_the_line_is_unknown() {
        let bank = SpeechBank::tones();
        let said = bank.say("Yes I am looking for a flat in Whitefield", "kal").await;
        let half = said.words[4].end_ms as usize * 8;
        let told = story(&recogniser(&bank, Some(300)).hear(&[&said.pcm[..half], &silence(400)].concat()));
        assert_eq!(told.last().map(String::as_str), Some("! Yes I am looking for"));
    }

    #[tokio::test]
    async fn energy_that_nobody_said_ends_in_an_empty_final() {
        let bank = SpeechBank::tones();
        let hum: Vec<i16> = (0..8_000).map(|at| if at % 50 < 25 { 3_000 } else { -3_000 }).collect();
        let told = story(&recogniser(&bank, Some(300)).hear(&[hum, silence(500)].concat()));
        assert_eq!(told, ["started", "! "]);
    }

    #[tokio::test]
    async fn with_endpointing_off_the_word_gap_still_ends_the_utterance() {
        let bank = SpeechBank::tones();
        let said = bank.say("Yes speaking", "kal").await;
        let told = story(&recogniser(&bank, None).hear(&[&said.pcm[..], &silence(1_500)].concat()));
        assert_eq!(told[told.len() - 2..], [". Yes speaking".to_owned(), "end".to_owned()]);
        assert!(!told.iter().any(|line| line.starts_with('!')));
    }

    #[tokio::test]
    async fn finalize_gives_what_was_heard_so_far_once() {
        let bank = SpeechBank::tones();
        let said = bank.say("Yes speaking", "kal").await;
        let mut recogniser = recogniser(&bank, Some(2000));
        recogniser.hear(&said.pcm);
        let told: Vec<Verdict> = recogniser.finalize().into_iter().collect();
        assert_eq!(story(&told), ["f Yes speaking"]);
        assert_eq!(recogniser.finalize(), None);
    }

    #[tokio::test]
    async fn segments_follow_each_other_without_a_hole_also_in_silence() {
        let bank = SpeechBank::tones();
        let said = bank.say("Yes I am looking for a flat", "kal").await;
        let audio = [&silence(12_000)[..], &said.pcm, &silence(700), &said.pcm, &silence(700)].concat();
        let verdicts = recogniser(&bank, Some(300)).hear(&audio);
        let finals: Vec<&Segment> = verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Final { segment, .. } => Some(segment),
                _ => None,
            })
            .collect();
        assert_eq!(finals.len(), 4, "{:?}", story(&verdicts));
        assert!(finals[0].words.is_empty() && finals[0].start_ms == 0);
        assert!(finals.windows(2).all(|pair| pair[0].end_ms == pair[1].start_ms));
    }
}
