//! What the callee's phone plays, sample by sample, of what the bot sent.
//!
//! Pure: time comes in as samples to advance by. Facts (Exotel's stream documents and reports of
//! live calls): a mark is echoed when all audio before it has been played; `clear` drops what is
//! queued, but the payload that is being played was already handed to the leg and plays out; the
//! marks of cleared audio may still be echoed.

use std::collections::VecDeque;

/// Samples per second inside the sandbox.
pub const SAMPLE_RATE: u64 = 8_000;
/// Samples per millisecond.
pub const SAMPLES_PER_MS: u64 = SAMPLE_RATE / 1_000;
/// A shorter gap is absorbed by a phone's jitter buffer: one RTP packet.
const MIN_GAP_MS: u64 = 20;
/// A longer silence is a pause between two utterances.
const MAX_GAP_MS: u64 = 1_000;
/// Louder than this is speech rather than the quiet end of a word.
const SOUND: u16 = 400;
/// The platform waits this long after a payload that is not a multiple of 320 bytes.
const SHORT_PACKET_WAIT_SAMPLES: usize = 160;

#[derive(Debug)]
enum Queued {
    Audio { samples: Vec<i16>, played: usize },
    Mark(String),
}

/// Something that became true while audio was played.
#[derive(Debug, PartialEq, Eq)]
pub enum Played {
    /// Everything before this mark has been heard.
    Mark { name: String, at: u64 },
    /// Audio began after silence, at this sample.
    Began { at: u64 },
    /// The queue ran dry inside one stretch of speech.
    Underrun { at: u64, ms: u64 },
}

#[derive(Debug)]
struct Dry {
    since: u64,
    /// A mark closed the stretch: the bot says that it had finished.
    after_mark: bool,
    /// The audio stopped in the middle of a sound.
    mid_sound: bool,
    /// The bot asked for the silence.
    cleared: bool,
}

/// The queue between the bot's socket and the callee's ear.
#[derive(Debug, Default)]
pub struct Playback {
    queue: VecDeque<Queued>,
    position: u64,
    queued: usize,
    dry: Option<Dry>,
    last_was_mark: bool,
    last_sample_loud: bool,
    playing: bool,
    cleared: bool,
    /// Behind the last sample of audio.
    sound_ended: u64,
}

impl Playback {
    /// Queues one payload. `short_packet` adds the wait that follows an odd-sized one.
    pub fn audio(&mut self, mut samples: Vec<i16>, short_packet: bool) {
        if short_packet {
            samples.resize(samples.len() + SHORT_PACKET_WAIT_SAMPLES, 0);
        }
        if samples.is_empty() {
            return;
        }
        self.queued += samples.len();
        self.queue.push_back(Queued::Audio { samples, played: 0 });
    }

    pub fn mark(&mut self, name: String) {
        self.queue.push_back(Queued::Mark(name));
    }

    /// Drops what is queued, except the payload that is being played. Returns the samples dropped.
    /// Marks stay, and so are echoed early, if `echo_marks`.
    pub fn clear(&mut self, echo_marks: bool) -> usize {
        let before = self.queued;
        let mut kept = 0;
        self.queue.retain(|item| match item {
            Queued::Audio { samples, played } => {
                let picked_up = *played > 0;
                if picked_up {
                    kept += samples.len() - played;
                }
                picked_up
            }
            Queued::Mark(_) => echo_marks,
        });
        self.queued = kept;
        // What follows a clear is a new utterance: the silence between is no underrun.
        self.dry = None;
        self.playing = kept > 0;
        self.cleared = kept > 0;
        before - kept
    }

    /// Drops all that is queued, also what is being played; its marks are echoed at once. Returns the samples dropped.
    pub fn clear_all(&mut self) -> usize {
        let dropped = std::mem::take(&mut self.queued);
        self.queue.retain(|item| matches!(item, Queued::Mark(_)));
        self.dry = None;
        self.playing = false;
        self.cleared = false;
        dropped
    }

    /// Plays `samples` samples, silence where there is nothing, and appends them to `out`.
    pub fn advance(&mut self, samples: usize, out: &mut Vec<i16>) -> Vec<Played> {
        let mut events = Vec::new();
        let mut left = samples;
        loop {
            match self.queue.front_mut() {
                Some(Queued::Mark(name)) => {
                    events.push(Played::Mark { name: std::mem::take(name), at: self.position });
                    self.queue.pop_front();
                    self.last_was_mark = true;
                    if let Some(dry) = &mut self.dry {
                        dry.after_mark = true;
                    }
                }
                Some(Queued::Audio { samples, played }) if left > 0 => {
                    if let Some(dry) = self.dry.take() {
                        let ms = (self.position - dry.since) / SAMPLES_PER_MS;
                        if !dry.cleared && (MIN_GAP_MS..=MAX_GAP_MS).contains(&ms) && (dry.mid_sound || !dry.after_mark)
                        {
                            events.push(Played::Underrun { at: dry.since, ms });
                        }
                        if ms >= MIN_GAP_MS {
                            self.playing = false;
                        }
                    }
                    if !self.playing {
                        self.playing = true;
                        events.push(Played::Began { at: self.position });
                    }
                    let take = left.min(samples.len() - *played);
                    let part = &samples[*played..*played + take];
                    out.extend_from_slice(part);
                    self.last_sample_loud = part.iter().rev().take(80).any(|sample| sample.unsigned_abs() > SOUND);
                    self.last_was_mark = false;
                    *played += take;
                    let finished = *played == samples.len();
                    self.queued -= take;
                    self.position += take as u64;
                    self.sound_ended = self.position;
                    left -= take;
                    if finished {
                        self.queue.pop_front();
                    }
                }
                Some(Queued::Audio { .. }) => break,
                None if left == 0 => break,
                None => {
                    if self.playing && self.dry.is_none() {
                        self.dry = Some(Dry {
                            since: self.position,
                            after_mark: self.last_was_mark,
                            mid_sound: self.last_sample_loud,
                            cleared: std::mem::take(&mut self.cleared),
                        });
                    }
                    out.resize(out.len() + left, 0);
                    self.position += left as u64;
                    left = 0;
                }
            }
        }
        events
    }

    /// Samples until the first queued mark is reached; `None` without a mark.
    pub fn until_mark(&self) -> Option<usize> {
        let mut ahead = 0;
        for item in &self.queue {
            match item {
                Queued::Audio { samples, played } => ahead += samples.len() - played,
                Queued::Mark(_) => return Some(ahead),
            }
        }
        None
    }

    /// Samples played since the stream began, silence included.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where the audio ended, while nothing is left to play.
    pub fn dry_since(&self) -> Option<u64> {
        (self.queued == 0).then_some(self.sound_ended)
    }

    /// Samples queued and not yet played.
    pub fn queued(&self) -> usize {
        self.queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loud(ms: u64) -> Vec<i16> {
        vec![5_000; (ms * SAMPLES_PER_MS) as usize]
    }

    fn play(playback: &mut Playback, ms: u64) -> (Vec<Played>, Vec<i16>) {
        let mut heard = Vec::new();
        let events = playback.advance((ms * SAMPLES_PER_MS) as usize, &mut heard);
        (events, heard)
    }

    #[test]
    fn a_mark_is_echoed_when_the_audio_before_it_was_played() {
        let mut playback = Playback::default();
        playback.audio(loud(200), false);
        playback.mark("end".into());
        assert_eq!(playback.until_mark(), Some(1_600));
        assert_eq!(play(&mut playback, 199).0, [Played::Began { at: 0 }]);
        assert_eq!(play(&mut playback, 1).0, [Played::Mark { name: "end".into(), at: 1_600 }]);
        assert_eq!(playback.until_mark(), None);
    }

    #[test]
    fn a_mark_on_an_empty_queue_is_echoed_at_once() {
        let mut playback = Playback::default();
        playback.mark("now".into());
        assert_eq!(play(&mut playback, 0).0, [Played::Mark { name: "now".into(), at: 0 }]);
    }

    #[test]
    fn clear_keeps_only_the_payload_that_is_being_played() {
        let mut playback = Playback::default();
        playback.audio(loud(200), false);
        playback.audio(loud(200), false);
        playback.mark("end".into());
        play(&mut playback, 50);
        assert_eq!(playback.clear(true), 1_600);
        let (events, heard) = play(&mut playback, 400);
        assert_eq!(heard.iter().filter(|sample| **sample != 0).count(), 150 * 8);
        assert_eq!(events, [Played::Mark { name: "end".into(), at: 1_600 }]);
    }

    #[test]
    fn clear_before_anything_was_picked_up_silences_all() {
        let mut playback = Playback::default();
        playback.audio(loud(200), false);
        playback.mark("end".into());
        assert_eq!(playback.clear(false), 1_600);
        let (events, heard) = play(&mut playback, 100);
        assert!(events.is_empty() && heard.iter().all(|sample| *sample == 0));
    }

    #[test]
    fn clearing_all_silences_at_once_and_echoes_every_mark() {
        let mut playback = Playback::default();
        for name in ["one", "two"] {
            playback.audio(loud(200), false);
            playback.mark(name.into());
        }
        play(&mut playback, 50);
        assert_eq!(playback.clear_all(), 350 * 8);
        let (events, heard) = play(&mut playback, 100);
        let at = 50 * 8;
        assert_eq!(events, ["one", "two"].map(|name| Played::Mark { name: name.into(), at }));
        assert!(heard.iter().all(|sample| *sample == 0));
    }

    #[test]
    fn a_gap_inside_speech_is_an_underrun_and_a_pause_after_a_mark_is_not() {
        let mut playback = Playback::default();
        playback.audio(loud(100), false);
        play(&mut playback, 160);
        playback.audio(loud(100), false);
        let (events, _) = play(&mut playback, 100);
        assert_eq!(events[0], Played::Underrun { at: 800, ms: 60 });

        let mut quiet_end = loud(100);
        quiet_end.resize(1_600, 0);
        playback.audio(quiet_end, false);
        playback.mark("turn".into());
        play(&mut playback, 500);
        playback.audio(loud(100), false);
        let (events, _) = play(&mut playback, 100);
        assert!(!events.iter().any(|event| matches!(event, Played::Underrun { .. })), "{events:?}");
    }

    #[test]
    fn silence_after_a_clear_is_no_underrun() {
        let mut playback = Playback::default();
        playback.audio(loud(100), false);
        play(&mut playback, 50);
        playback.clear(false);
        play(&mut playback, 250);
        playback.audio(loud(100), false);
        let (events, _) = play(&mut playback, 100);
        assert!(!events.iter().any(|event| matches!(event, Played::Underrun { .. })), "{events:?}");
    }

    #[test]
    fn an_odd_sized_payload_is_followed_by_a_wait() {
        let mut playback = Playback::default();
        playback.audio(vec![5_000; 100], true);
        assert_eq!(playback.queued(), 260);
    }
}
