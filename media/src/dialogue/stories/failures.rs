//! Silence, noise, and providers that fail.

use super::*;

#[test]
fn silence_is_asked_about_twice_and_then_closed_politely() {
    let mut call = Rehearsal::after_greeting();
    call.until(40_000);
    call.assert_story(
        "
          7.460  event    silence_prompted
          7.460  speak    e2  Hello, are you still there?
          9.180  record   agent  Hello, are you still there?
         16.180  event    silence_prompted
         16.180  speak    e3  I can't hear you.
         16.180  speak    e3  Can you hear me?
         18.260  record   agent  I can't hear you. Can you hear me?
         25.260  speak    e4  I can't hear you, so I will try again another time.
         25.260  speak    e4  Goodbye.
         28.900  record   agent  I can't hear you, so I will try again another time. Goodbye.
         28.900  hang up  Silence
         28.900  ended    Silence
        ",
    );
}

#[test]
fn a_yes_to_are_you_there_is_an_answer_at_once() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Good.")]);
    call.says(8_000, 8_300, "Yes.");
    call.until(11_000);
    call.assert_tells("clear    e2");
    call.assert_tells("ask      e3  Yes.");
}

#[test]
fn voice_without_words_is_asked_about() {
    let mut call = Rehearsal::after_greeting();
    call.sounds(1_500, 2_500);
    call.until(4_000);
    call.assert_story(
        "
          3.500  event    nothing_understood
          3.500  speak    e2  Sorry, I did not catch that.
          3.500  speak    e2  Could you say it again?
        ",
    );
}

#[test]
fn a_noisy_line_is_not_asked_about_for_ever() {
    let mut call = Rehearsal::after_greeting();
    for at in 0..60 {
        call.sounds(1_500 + at * 2_000, 2_500 + at * 2_000);
    }
    call.until(120_000);
    assert_eq!(call.story().matches("nothing_understood").count(), 2);
    call.assert_tells("ended    Silence");
}

#[test]
fn a_failed_request_is_tried_again_once() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Fails(LlmFailure::Unavailable), Text("Which area?")]);
    call.says(1_500, 2_500, "I want a flat.");
    call.until(6_000);
    call.assert_story(
        "
          3.000  ask      e2  I want a flat.
          3.300  event    reply_failed
          3.300  ask      e2  I want a flat.
          3.600  speak    e2  Which area?
          3.940  record   human  I want a flat.
          4.360  record   agent  Which area?
        ",
    );
}

#[test]
fn an_answer_that_breaks_off_is_carried_on_behind_what_was_said() {
    let mut call = Rehearsal::after_greeting();
    call.answers([
        Breaks("We have three very nice flats. Each of them has two bed", LlmFailure::Unavailable),
        Calls(
            "Each has two bedrooms. Which do you like?",
            vec![("record_answer", r#"{"field":"budget","value":"1"}"#)],
        ),
    ]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.until(9_000);
    call.assert_story(
        "
          3.000  ask      e2  Tell me about the flats.
          3.300  speak    e2  We have three very nice flats.
          3.300  event    reply_failed
          3.300  ask      e2  Tell me about the flats.
          3.460  record   human  Tell me about the flats.
          3.600  speak    e2  Each has two bedrooms.
          3.600  note     budget: 1
          3.600  speak    e2  Which do you like?
          7.600  record   agent  We have three very nice flats. Each has two bedrooms. Which do you like?
        ",
    );
    let [.., Message::Assistant { text, .. }, Message::System { text: note }] = &call.asked[1][..] else {
        panic!("what was said, then the note: {:#?}", call.asked[1])
    };
    assert_eq!(text, "We have three very nice flats. —", "not a word that nobody hears");
    assert!(note.contains("without repeating yourself"), "{note}");
}

#[test]
fn an_answer_is_carried_on_once_and_then_stands_as_it_is() {
    let mut call = Rehearsal::after_greeting();
    let breaks = |text| Breaks(text, LlmFailure::TimedOut);
    call.answers([breaks("We have three flats. Each"), breaks("Each has two bedrooms. Would"), Text("Fine.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.until(9_000);
    assert_eq!(call.asked.len(), 2);
    call.assert_tells("record   agent  We have three flats. Each has two bedrooms.");
}

#[test]
fn a_model_that_goes_silent_behind_its_first_sentence_is_asked_for_the_rest() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Text("Each has two bedrooms.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.at(3_200, Input::LlmDelta { ask: AskId(1), text: "We have three flats. ".to_owned() });
    call.until(12_000);
    call.assert_tells("7.200  ask      e2  Tell me about the flats.");
    call.assert_tells("record   agent  We have three flats. Each has two bedrooms.");
}

#[test]
fn half_a_sentence_that_nobody_heard_is_begun_again() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Breaks("Well, we", LlmFailure::Unavailable), Text("We have three flats.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.until(9_000);
    call.assert_keeps_quiet_about("Well");
    assert!(
        !call.asked[1].iter().any(|message| matches!(message, Message::Assistant { text, .. } if text != "Hello?"))
    );
    call.assert_tells("record   agent  We have three flats.");
}

#[test]
fn the_rest_of_a_reply_after_its_tools_is_no_longer_a_continuation() {
    let mut call = Rehearsal::after_greeting();
    call.answers([
        Breaks("One moment. I will", LlmFailure::Unavailable),
        Calls("Noting it.", vec![("record_answer", r#"{"field":"budget","value":"1"}"#)]),
        Text("Which area?"),
    ]);
    call.says(1_500, 2_500, "One crore.");
    call.until(9_000);
    assert_eq!(call.asked.len(), 3);
    assert!(
        !call.asked[2]
            .iter()
            .any(|message| matches!(message, Message::System { text } if text.contains("without repeating yourself")))
    );
    call.assert_tells("record   agent  One moment. Noting it. Which area?");
}

#[test]
fn a_call_that_is_being_written_is_a_sign_of_life() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Text("Too early.")]);
    call.says(1_500, 2_500, "One crore.");
    // Without these the request would be given up at 7.0 s.
    for at in [4_000, 6_000, 9_000] {
        call.at(at, Input::LlmWriting { ask: AskId(1) });
    }
    call.at(10_000, Input::LlmDelta { ask: AskId(1), text: "Which area?".to_owned() });
    call.at(10_000, Input::LlmDone { ask: AskId(1), finish: LlmFinish::Stop });
    call.until(12_000);
    assert_eq!(call.asked.len(), 1);
    call.assert_tells("record   agent  Which area?");
}

#[test]
fn a_silent_model_means_an_apology_and_in_the_next_turn_the_end() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Silent, Silent, Silent]);
    call.says(1_500, 2_500, "I want a flat.");
    call.says(18_000, 19_000, "I want a flat.");
    call.until(40_000);
    call.assert_tells("7.000  ask      e2  I want a flat.");
    call.assert_tells("11.000  speak    e2  Sorry, I had a small problem on my side. Could you say that once more?");
    call.assert_tells("speak    e4  I am sorry, I have a technical problem.");
    call.assert_tells("ended    LlmUnavailable");
}

#[test]
fn late_results_of_a_request_that_was_given_up_are_dropped() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Text("Which area?")]);
    call.says(1_500, 2_500, "I want a flat.");
    // The first request's answer, after the retry has been asked.
    call.at(7_100, Input::LlmDelta { ask: AskId(1), text: "Too late. ".to_owned() });
    call.at(7_100, Input::LlmDone { ask: AskId(1), finish: LlmFinish::Stop });
    call.at(7_150, Input::TtsAudio { epoch: Epoch(1), clause: 0, samples: 80_000, alignment: vec![] });
    call.until(9_000);
    call.assert_keeps_quiet_about("Too late");
    call.assert_tells("record   agent  Which area?");
}

#[test]
fn a_voice_that_fails_is_tried_again_with_what_is_missing_and_then_ends_the_call() {
    let mut call = Rehearsal::after_greeting();
    call.speech_works = false;
    call.answers([Text("One two three. Four five.")]);
    call.says(1_500, 2_500, "Count for me please.");
    call.until(3_400);
    call.at(
        3_400,
        Input::TtsAudio {
            epoch: Epoch(2),
            clause: 0,
            samples: 8 * 500,
            alignment: (0..8).map(|n| CharAt { char_offset: n, at_ms: n * 60 }).collect(),
        },
    );
    call.at(3_500, Input::TtsFailed { epoch: Epoch(2), clause: 0 });
    call.until(3_600);
    call.assert_tells("speak    e2  three.");
    call.at(3_700, Input::TtsFailed { epoch: Epoch(2), clause: 2 });
    call.until(4_000);
    call.assert_tells("hang up  SpeechUnavailable");
    call.assert_tells("record   agent  One");
}

#[test]
fn a_voice_that_says_nothing_is_given_up_in_time() {
    let mut call = Rehearsal::greeting("Hello?");
    call.speech_works = false;
    call.until(20_000);
    call.assert_tells("3.000  event    speech_failed");
    call.assert_tells("6.000  hang up  SpeechUnavailable");
}

#[test]
fn without_transcripts_the_call_is_closed_politely() {
    let mut call = Rehearsal::after_greeting();
    call.at(2_000, Input::SttUnavailable);
    call.until(20_000);
    call.assert_tells("12.000  speak    e3  I am sorry, I have a technical problem.");
    call.assert_tells("ended    TranscriptUnavailable");

    let mut call = Rehearsal::after_greeting();
    call.at(2_000, Input::SttUnavailable);
    call.at(5_000, Input::SttRecovered);
    call.until(20_000);
    call.assert_keeps_quiet_about("ended");
}
