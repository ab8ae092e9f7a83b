//! One thing said: its audio, and when each word of it sounds.

use super::{Noise, PER_MS, ulaw};

/// Samples left before the first and after the last sound.
const MARGIN: usize = 40 * PER_MS as usize;
/// Loudest sample after normalisation: speech at about -20 dBFS with room above.
const PEAK: f32 = 15_000.0;
/// Amplitude of the noise that makes every utterance unlike any other, about -65 dBFS.
const FINGERPRINT: u16 = 24;
/// Frame in which loudness is judged when words are timed.
const FRAME: usize = 10 * PER_MS as usize;
/// A shorter dip belongs to the word around it (a stop consonant).
const PAUSE_FRAMES: usize = 10;

/// When one word sounds, in ms from the beginning of its utterance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordTiming {
    pub word: String,
    pub start_ms: u64,
    pub end_ms: u64,
}

/// Audio the bank has said. 8 kHz, mono.
#[derive(Debug)]
pub struct Utterance {
    /// Unique within one bank, rising in the order of saying.
    pub id: u64,
    pub text: String,
    pub pcm: Vec<i16>,
    pub words: Vec<WordTiming>,
    /// `pcm` as canonical µ-law codes: what ears compare.
    pub(super) codes: Vec<u8>,
    /// One past the last sample that sounds.
    pub(super) sound_end: usize,
}

impl Utterance {
    /// Trims, levels and marks the raw audio of an engine, on a line whose own noise has this amplitude. `seed` decides the
    /// mark: two texts with the same beginning come out of a synthesiser with bit-identical beginnings, and an ear could not
    /// tell them apart.
    pub(super) fn new(id: u64, text: &str, raw: &[i16], seed: u64, line_noise: u16) -> Self {
        let peak = raw.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0).max(1);
        let audible = (peak / 60).max(1);
        let first = raw.iter().position(|s| s.unsigned_abs() > audible).unwrap_or(0);
        let last = raw.iter().rposition(|s| s.unsigned_abs() > audible).map_or(0, |at| at + 1);
        let sound = &raw[first.min(last)..last];

        let gain = PEAK / f32::from(peak);
        let mut noise = Noise::new(seed);
        let amplitude = f32::from(line_noise.max(FINGERPRINT));
        let silence = std::iter::repeat_n(&0i16, MARGIN);
        let pcm: Vec<i16> = silence
            .clone()
            .chain(sound)
            .chain(silence)
            .map(|sample| (f32::from(*sample) * gain + amplitude * noise.unit()).round() as i16)
            .collect();
        let codes = pcm.iter().map(|sample| ulaw::canonical(*sample)).collect();
        let words = time_words(text, &pcm, amplitude);
        Self { id, text: text.to_owned(), sound_end: MARGIN + sound.len(), pcm, words, codes }
    }

    /// Length in ms.
    pub fn duration_ms(&self) -> u64 {
        self.pcm.len() as u64 / PER_MS
    }
}

/// Spreads the words over the frames that sound, in proportion to how much there is to say. Pauses
/// belong to no word.
fn time_words(text: &str, pcm: &[i16], noise: f32) -> Vec<WordTiming> {
    let words: Vec<&str> = text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).collect();
    let sounding = sounding_frames(pcm, noise);
    if words.is_empty() || sounding.is_empty() {
        return Vec::new();
    }
    let mut boundaries = vec![0];
    boundaries.extend(words.iter().scan(0, |said, word| {
        *said += weight(word);
        Some(*said)
    }));
    let anchors = anchors(&boundaries, &sounding);
    let place = |said: usize| {
        let upper = anchors.partition_point(|(weight, _)| *weight < said).max(1);
        let ((w0, f0), (w1, f1)) = (anchors[upper - 1], anchors[upper]);
        f0 + (said - w0) * (f1 - f0) / (w1 - w0)
    };
    let frame_ms = FRAME as u64 / PER_MS;
    words
        .iter()
        .zip(boundaries.windows(2))
        .map(|(word, said)| {
            let first = place(said[0]).min(sounding.len() - 1);
            // The word ends where it last sounds, not where the next begins: a pause may lie between.
            let last = (place(said[1]).max(first + 1) - 1).min(sounding.len() - 1);
            WordTiming {
                word: (*word).to_owned(),
                start_ms: sounding[first] as u64 * frame_ms,
                end_ms: (sounding[last] as u64 + 1) * frame_ms,
            }
        })
        .collect()
}

/// Pairs of (what was said, how many frames have sounded) that belong together: both ends, and at
/// every pause the word boundary that is nearest to it. Strictly rising in both.
fn anchors(boundaries: &[usize], sounding: &[usize]) -> Vec<(usize, usize)> {
    let (total, frames) = (boundaries[boundaries.len() - 1], sounding.len());
    let mut anchors = vec![(0, 0)];
    let pauses = sounding.windows(2).enumerate().filter(|(_, pair)| pair[1] - pair[0] > PAUSE_FRAMES);
    for (before, _) in pauses {
        let frame = before + 1;
        let nearest = boundaries.iter().copied().min_by_key(|said| (said * frames / total).abs_diff(frame));
        let (last_said, last_frame) = anchors[anchors.len() - 1];
        if let Some(said) = nearest.filter(|said| *said > last_said && *said < total && frame > last_frame) {
            anchors.push((said, frame));
        }
    }
    anchors.push((total, frames));
    anchors
}

/// Letters, where a digit counts as the word it is spoken as.
fn weight(word: &str) -> usize {
    1 + word.chars().map(|c| if c.is_ascii_digit() { 4 } else { usize::from(c.is_alphabetic()) }).sum::<usize>()
}

/// Frames that sound, with dips shorter than a pause included.
fn sounding_frames(pcm: &[i16], noise: f32) -> Vec<usize> {
    let level: Vec<f32> = pcm
        .chunks(FRAME)
        .map(|frame| frame.iter().map(|s| f32::from(*s).abs()).sum::<f32>() / frame.len() as f32)
        .collect();
    // Uniform noise is half its amplitude loud on average.
    let floor = (level.iter().copied().fold(0.0, f32::max) * 0.03).max(noise * 0.75);
    let loud: Vec<usize> = (0..level.len()).filter(|at| level[*at] > floor).collect();
    let mut frames = Vec::with_capacity(level.len());
    for pair in loud.windows(2) {
        frames.push(pair[0]);
        if pair[1] - pair[0] <= PAUSE_FRAMES {
            frames.extend(pair[0] + 1..pair[1]);
        }
    }
    frames.extend(loud.last());
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_avoid_the_pause_and_cover_the_sound_in_order() {
        let mut raw = vec![0i16; 1_600];
        let burst = |raw: &mut Vec<i16>| raw.extend((0..4_000).map(|at| if at % 40 < 20 { 9_000 } else { -9_000 }));
        burst(&mut raw);
        raw.extend(vec![0; 4_000]);
        burst(&mut raw);
        let said = Utterance::new(1, "yes sure, tell more!", &raw, 7, 0);

        assert_eq!(said.words.len(), 4);
        assert_eq!(said.words[0].start_ms, 40);
        assert!(said.words.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
        assert!(said.words.iter().all(|word| word.start_ms < word.end_ms));
        assert_eq!(said.words[3].end_ms, 40 + 500 + 500 + 500);
        assert!(said.words[2].start_ms >= 1_000, "{:?}", said.words);
    }

    #[tokio::test]
    async fn hindi_takes_about_as_long_as_the_same_in_english_and_every_word_has_its_time() {
        let (hindi, english) =
            ("आप कब तक घर लेना चाहते हैं, तीन महीने में?", "By when do you want to take a home, in three months?");
        for bank in [crate::speech::SpeechBank::new(), crate::speech::SpeechBank::tones()] {
            let (said, other) = (bank.say(hindi, "slt").await, bank.say(english, "slt").await);
            let (ours, theirs) = (said.duration_ms(), other.duration_ms());
            assert!(ours * 10 > theirs * 6 && ours * 10 < theirs * 16, "{ours} ms and {theirs} ms");
            let timed: Vec<&str> = said.words.iter().map(|timing| timing.word.as_str()).collect();
            assert_eq!(timed.join(" "), hindi);
            assert!(
                said.words.iter().all(|timing| (60..1_500).contains(&(timing.end_ms - timing.start_ms))),
                "{:?}",
                said.words
            );
        }
    }

    #[test]
    fn equal_sounds_of_different_seeds_differ_soon() {
        let raw: Vec<i16> = (0..8_000).map(|at| (10_000.0 * (at as f32 * 0.3).sin()) as i16).collect();
        let (one, two) = (Utterance::new(1, "a", &raw, 1, 0), Utterance::new(2, "b", &raw, 2, 0));
        let shared = one.codes.iter().zip(&two.codes).skip(MARGIN).take_while(|(a, b)| a == b).count();
        assert!(shared < 160, "{shared}");
    }
}
