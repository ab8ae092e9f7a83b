use super::*;
use crate::speech::{Noise, SpeechBank};

const LINE: &str = "Hello, I am looking for a two bedroom flat in Whitefield, under ninety lakhs.";

fn silence(ms: u64) -> Vec<i16> {
    vec![0; in_samples(ms)]
}

fn over_the_phone(pcm: &[i16]) -> Vec<i16> {
    pcm.iter().map(|sample| ulaw::decode(ulaw::encode(*sample))).collect()
}

/// Hears everything in chunks of changing, odd sizes, and tells the story in one line per event.
fn story(ear: &mut Ear, audio: &[i16]) -> Vec<String> {
    let mut sizes = Noise::new(5);
    let mut events = Vec::new();
    let mut rest = audio;
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(rest.len().min(1 + (sizes.next() % 1_999) as usize));
        events.extend(ear.hear(chunk));
        rest = later;
    }
    events.extend(ear.flush());
    events
        .iter()
        .map(|event| match event {
            Heard::Started { utterance, at_ms } => {
                format!("{at_ms} + {}", first_word(&utterance.text))
            }
            Heard::Ended { at_ms, text, .. } => format!("{at_ms} - {text}"),
        })
        .collect()
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// Words without what only stands between them.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sound_end_ms(said: &Utterance) -> u64 {
    said.sound_end as u64 / PER_MS
}

#[tokio::test]
async fn a_whole_line_is_heard_between_silences_also_through_mu_law() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    for audio in [said.pcm.clone(), over_the_phone(&said.pcm)] {
        let stream = [silence(500), audio, silence(700)].concat();
        let end = format!("{} - {}", 500 + sound_end_ms(&said), words(LINE));
        let mut ear = bank.ear();
        let got = story(&mut ear, &stream);
        assert_eq!(got[1], end);
        let at: u64 = got[0].split(' ').next().unwrap().parse().unwrap();
        assert!((495..=560).contains(&at), "{got:?}");
        assert_eq!(ear.take_words().len(), said.words.len());
    }
}

#[tokio::test]
async fn a_line_cut_in_the_middle_of_a_word_is_heard_up_to_there() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    let word = &said.words[6];
    let little_of_it = word.start_ms + (word.end_ms - word.start_ms) / 4;
    let stream = [&said.pcm[..in_samples(little_of_it)], &silence(2_000)].concat();
    let got = story(&mut bank.ear(), &stream);
    let before: Vec<&str> = said.words[..6].iter().map(|word| word.word.as_str()).collect();
    assert_eq!(got[1], format!("{little_of_it} - {}", before.join(" ")));
}

#[tokio::test]
async fn a_listener_that_comes_late_hears_the_rest() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    let from = said.words[4].start_ms;
    let got = story(&mut bank.ear(), &said.pcm[in_samples(from) + 3..]);
    let rest: Vec<&str> = said.words[4..].iter().map(|word| word.word.as_str()).collect();
    assert!(got[1].ends_with(&format!("- {}", rest.join(" "))), "{got:?}");
}

#[tokio::test]
async fn a_pause_in_the_middle_does_not_end_the_line() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    let cut = in_samples(1_234);
    let stream = [&said.pcm[..cut], &silence(900), &said.pcm[cut..]].concat();
    let got = story(&mut bank.ear(), &stream);
    assert_eq!(got.len(), 2, "{got:?}");
    assert_eq!(got[1], format!("{} - {}", 900 + sound_end_ms(&said), words(LINE)));
}

#[tokio::test]
async fn a_long_pause_ends_it_and_what_follows_is_a_new_start() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    let cut = in_samples(1_500);
    let stream = [&said.pcm[..cut], &silence(1_500), &said.pcm[cut..]].concat();
    assert_eq!(story(&mut bank.ear(), &stream).len(), 4);
}

#[tokio::test]
async fn a_rewind_to_a_word_goes_on_and_no_word_is_heard_twice() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    let (cut, back) = (in_samples(said.words[8].start_ms + 60), in_samples(said.words[7].start_ms));
    let stream = [&said.pcm[..cut], &silence(300), &said.pcm[back..]].concat();
    let mut ear = bank.ear();
    let got = story(&mut ear, &stream);
    assert_eq!(got.len(), 2, "{got:?}");
    assert!(got[1].ends_with(&words(LINE)));
    assert_eq!(ear.take_words().len(), said.words.len());
}

#[tokio::test]
async fn two_lines_and_a_repetition_are_three_lines() {
    let bank = SpeechBank::tones();
    let (one, two) = (bank.say("Yes, speaking.", "kal").await, bank.say("Yes, who is this?", "kal").await);
    let stream = [&one.pcm[..], &two.pcm, &two.pcm].concat();
    let got = story(&mut bank.ear(), &stream);
    let said: Vec<&str> = got.iter().skip(1).step_by(2).map(|line| line.split_once("- ").unwrap().1).collect();
    assert_eq!(said, ["Yes, speaking.", "Yes, who is this?", "Yes, who is this?"]);
}

#[tokio::test]
async fn a_line_begun_again_after_an_interruption_is_said_anew() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    let stream = [&said.pcm[..in_samples(1_500)], &silence(200), &said.pcm].concat();
    let got = story(&mut bank.ear(), &stream);
    assert_eq!(got.len(), 4, "{got:?}");
    assert!(got[3].ends_with(&words(LINE)));
}

#[tokio::test]
async fn damaged_samples_cost_no_word() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    let mut audio = said.pcm.clone();
    for at in (2_000..audio.len()).step_by(3_001) {
        audio[at] = audio[at].wrapping_add(4_000);
    }
    let got = story(&mut bank.ear(), &audio);
    assert_eq!(got.len(), 2, "{got:?}");
    assert!(got[1].ends_with(&words(LINE)));
}

#[tokio::test]
async fn silence_and_strange_noise_are_nothing() {
    let bank = SpeechBank::tones();
    bank.say(LINE, "kal").await;
    let mut noise = Noise::new(77);
    let strange: Vec<i16> = (0..40_000).map(|_| (noise.unit() * 8_000.0) as i16).collect();
    assert!(story(&mut bank.ear(), &[silence(1_000), strange].concat()).is_empty());
    assert!(story(&mut SpeechBank::tones().ear(), &silence(100)).is_empty());
}

#[tokio::test]
async fn words_come_in_step_with_the_audio() {
    let bank = SpeechBank::tones();
    let said = bank.say(LINE, "kal").await;
    let mut ear = bank.ear();
    let mut seen = 0;
    for (frame, chunk) in said.pcm.chunks(80).enumerate() {
        ear.hear(chunk);
        let received_ms = (frame as u64 + 1) * 10;
        for word in ear.take_words() {
            assert_eq!(word.word, said.words[seen].word);
            assert!(word.end_ms <= received_ms && received_ms - word.end_ms <= 30, "{word:?} at {received_ms}");
            assert!(word.start_ms.abs_diff(said.words[seen].start_ms) <= 1);
            seen += 1;
        }
    }
    assert_eq!(seen, said.words.len());
}

#[tokio::test]
async fn the_same_beginning_of_two_real_sentences_is_told_apart() {
    let bank = SpeechBank::new();
    let one = bank.say("Hello, this is Asha calling about your enquiry.", "slt").await;
    let two = bank.say("Hello, this is Asha calling about the site visit.", "slt").await;
    for said in [&one, &two, &one] {
        let got = story(&mut bank.ear(), &over_the_phone(&said.pcm));
        assert_eq!(got.len(), 2, "{got:?}");
        assert!(got[1].ends_with(&words(&said.text)), "{got:?}");
    }
}

/// A stream costs well under 1 % of a core, listening to strangers included (the dearest case).
#[tokio::test]
async fn an_ear_is_cheap() {
    let bank = SpeechBank::tones();
    for number in 0..200 {
        bank.say(&format!("{LINE} Number {number}."), "kal").await;
    }
    let said = bank.say(LINE, "slt").await;
    let mut noise = Noise::new(77);
    let strange: Vec<i16> = (0..80_000).map(|_| (noise.unit() * 8_000.0) as i16).collect();
    for (what, audio) in [("known", &said.pcm), ("strange", &strange)] {
        let mut ear = bank.ear();
        let began = std::time::Instant::now();
        for chunk in audio.chunks(160) {
            ear.hear(chunk);
        }
        let share = began.elapsed().as_secs_f64() / (audio.len() as f64 / 8_000.0);
        // Generous for a busy machine and an unoptimised build.
        assert!(share < 0.02, "{what}: {share}");
        eprintln!("{what}: {:.4} % of a core", share * 100.0);
    }
}
