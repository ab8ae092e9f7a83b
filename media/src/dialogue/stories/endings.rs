//! How calls end.

use super::*;

#[test]
fn the_goodbye_is_played_to_its_end_and_what_is_said_over_it_is_kept() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Calls("Thank you for your time. Goodbye.", vec![("end_call", r#"{"disposition":"qualified"}"#)])]);
    call.says(1_500, 2_500, "That is all, thanks.");
    call.says(4_000, 5_000, "Thank you bye");
    call.until(10_000);
    call.assert_story(
        "
          3.000  ask      e2  That is all, thanks.
          3.300  speak    e2  Thank you for your time.
          3.300  event    end_requested
          3.300  speak    e2  Goodbye.
          3.640  record   human  That is all, thanks.
          5.320  record   agent  Thank you for your time. Goodbye.
          5.320  record   human  Thank you bye
          5.320  hang up  AgentFinished
          5.320  ended    AgentFinished
        ",
    );
}

#[test]
fn an_end_without_words_says_goodbye_all_the_same() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Calls("", vec![("end_call", "{}")])]);
    call.says(1_500, 2_500, "That is all, thanks.");
    call.until(10_000);
    call.assert_tells("record   agent  Thank you for your time. Goodbye.");
    call.assert_tells("hang up  AgentFinished");
}

#[test]
fn a_goodbye_whose_end_is_never_reported_ends_after_its_length_and_two_seconds() {
    let mut call = Rehearsal::after_greeting();
    call.speech_works = false;
    call.answers([Calls("Goodbye.", vec![("end_call", "{}")])]);
    call.says(1_500, 2_500, "That is all, thanks.");
    // 480 ms of audio, and then nothing more from the pacer.
    call.at(3_400, Input::TtsAudio { epoch: Epoch(2), clause: 0, samples: 480 * 8, alignment: vec![] });
    call.until(3_400);
    call.at(3_410, Input::TtsDone { epoch: Epoch(2) });
    call.until(3_420);
    call.give(Input::PlayoutStarted { epoch: Epoch(2) });
    call.until(10_000);
    call.assert_tells("hang up  AgentFinished");
}

#[test]
fn hanging_up_in_the_middle_keeps_what_was_heard() {
    let mut call = agent_talks();
    call.at(5_000, Input::StreamStopped { reason: StreamEnd::HungUp });
    call.until(6_000);
    call.assert_story(
        "
          5.000  clear    e2
          5.000  record   agent  We have three very nice —
          5.000  ended    HumanHungUp
        ",
    );
}

#[test]
fn hanging_up_in_the_middle_of_a_sentence_keeps_the_sentence() {
    let mut call = Rehearsal::after_greeting();
    call.at(2_000, Input::VoiceStarted { began: CallTime::from_millis(1_900) });
    call.at(2_800, Input::SttInterim { text: "I am not".to_owned() });
    call.at(3_000, Input::StreamStopped { reason: StreamEnd::HungUp });
    call.until(4_000);
    call.assert_story("3.000  record   human  I am not\n3.000  ended    HumanHungUp");
}

#[test]
fn before_the_limit_the_next_turn_is_the_goodbye() {
    let mut settings = settings("Hello?");
    settings.limits.max_duration_ms = 60_000;
    let mut call = Rehearsal::with(settings, None);
    call.answers(vec![Text("Fine. Go on."); 10]);
    for turn in 0..10 {
        call.says(2_000 + turn * 6_000, 4_000 + turn * 6_000, "I want to talk about flats.");
    }
    call.until(70_000);
    call.assert_tells("46.500  speak    e9  I am sorry, our time is up.");
    call.assert_tells("50.500  ended    MaxDuration");
}

#[test]
fn whoever_talks_through_the_limit_hears_the_goodbye_before_it() {
    let mut settings = settings("Hello?");
    settings.limits.max_duration_ms = 60_000;
    let mut call = Rehearsal::with(settings, None);
    call.sounds(2_000, 80_000);
    call.until(90_000);
    call.assert_tells("52.500  speak    e3  I am sorry, our time is up.");
    call.assert_tells("ended    MaxDuration");
}

#[test]
fn a_process_that_leaves_hands_over_at_the_turn_boundary() {
    let mut call = agent_talks();
    call.at(4_000, Input::Drain { by: CallTime::from_millis(30_000) });
    call.until(12_000);
    call.assert_tells("record   agent  We have three very nice flats near the lake");
    call.assert_tells("hang up  HandedOver");
    call.assert_keeps_quiet_about("—");

    let mut call = agent_talks();
    call.at(4_000, Input::Drain { by: CallTime::from_millis(4_500) });
    call.until(5_000);
    call.assert_tells("4.500  hang up  HandedOver");
}

#[test]
fn a_process_that_leaves_lets_another_answer_what_was_just_said() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG)]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.at(2_000, Input::Drain { by: CallTime::from_millis(30_000) });
    call.until(5_000);
    call.assert_story(
        "
          3.000  ask      e2  Tell me about the flats.
          3.000  record   human  Tell me about the flats.
          3.000  cancel
          3.000  hang up  HandedOver
          3.000  ended    HandedOver
        ",
    );
}
