//! When the human's turn ends, and what becomes of it.

use super::*;

#[test]
fn the_greeting_comes_at_once_and_a_turn_is_answered() {
    let mut call = Rehearsal::greeting("Hello, this is Asha. Is it a good time?");
    call.answers([Text("Wonderful. Are you looking to buy or to rent?")]);
    call.says(3_000, 3_900, "Yes, tell me about the flats.");
    call.until(9_000);
    call.assert_story(
        "
          0.000  speak    e1  Hello, this is Asha.
          0.000  speak    e1  Is it a good time?
          2.380  record   agent  Hello, this is Asha. Is it a good time?
          4.400  ask      e2  Yes, tell me about the flats.
          4.700  speak    e2  Wonderful.
          4.700  speak    e2  Are you looking to buy or to rent?
          5.340  record   human  Yes, tell me about the flats.
          7.440  record   agent  Wonderful. Are you looking to buy or to rent?
        ",
    );
}

#[test]
fn the_stages_of_a_reply_are_timed() {
    let mut call = agent_talks();
    call.until(11_000);
    let latency = call.outputs.iter().find_map(|(_, output)| match output {
        Output::Record(turn) if turn.speaker == Speaker::Agent => Some(turn.latency),
        _ => None,
    });
    let at = |ms: u64| Some(CallTime::from_millis(ms));
    let expected = Latency {
        speech_end: at(2_500),
        stt_final: at(2_750),
        end_of_turn: at(3_000),
        first_token: at(3_300),
        first_clause: at(3_300),
        first_tts_byte: at(3_400),
        first_frame_sent: at(3_400),
        ..Latency::default()
    };
    assert_eq!(latency, Some(expected));
    assert_eq!(expected.voice_to_voice_ms(), Some(900));
}

#[test]
fn a_hello_is_waited_for_if_so_configured() {
    let mut settings = settings("Hello, this is Asha.");
    settings.opening = Opening::WaitForHello { up_to_ms: 1_800 };
    let mut call = Rehearsal::with(settings.clone(), None);
    call.says(600, 900, "Hello?");
    call.until(3_000);
    call.assert_tells("1.300  speak    e1  Hello, this is Asha.");
    call.assert_tells("record   human  Hello?");

    let mut call = Rehearsal::with(settings, None);
    call.until(3_000);
    call.assert_tells("1.800  speak    e1  Hello, this is Asha.");
}

#[test]
fn a_short_closed_answer_is_answered_after_300_ms() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Good.")]);
    call.says(2_000, 2_400, "Yes.");
    call.until(4_000);
    call.assert_tells("2.700  ask      e2  Yes.");
}

#[test]
fn an_open_clause_is_given_more_time() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Good.")]);
    call.says(2_000, 3_000, "I am looking for a flat and");
    call.until(6_000);
    call.assert_tells("4.200  ask      e2  I am looking for a flat and");
}

#[test]
fn digits_are_collected_with_their_pauses() {
    let mut call = Rehearsal::greeting("What is your number?");
    call.answers([Text("Thank you.")]);
    call.says(2_000, 3_000, "98450");
    call.says(4_000, 5_000, "12345");
    call.until(8_000);
    call.assert_keeps_quiet_about("ask      e2  98450\n");
    // Ten digits are whole: then the usual wait is enough.
    call.assert_tells("5.700  ask      e2  98450 12345");
}

#[test]
fn without_a_sign_of_the_provider_the_floor_holds_unless_the_answer_is_whole_and_final() {
    for (text, asked) in [("a flat", "3.100"), ("Yes.", "2.600")] {
        let mut call = Rehearsal::after_greeting();
        call.answers([Text("Good.")]);
        call.sounds(2_000, 2_300);
        call.at(2_550, Input::SttFinal { text: text.to_owned(), speech_final: false });
        call.until(5_000);
        // 500 ms of speech and 600 ms of silence, counted from the beginning of the voice.
        call.assert_tells(&format!("{asked}  ask      e2  {text}"));
    }
}

#[test]
fn somebody_who_goes_on_before_the_answer_sounds_has_not_been_answered() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Good."), Text("Of course.")]);
    call.sounds(2_000, 2_300);
    call.at(2_550, Input::SttFinal { text: "Yes.".to_owned(), speech_final: false });
    call.says(2_700, 3_600, "But please be quick.");
    call.until(6_000);
    call.assert_keeps_quiet_about("record   agent  Good.");
    call.assert_tells("ask      e3  Yes. But please be quick.");
}

#[test]
fn a_turn_model_decides_at_once() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Good.")]);
    call.sounds(2_000, 3_000);
    call.at(3_100, Input::SttFinal { text: "I want a flat in Whitefield".to_owned(), speech_final: true });
    call.at(3_110, Input::SttEndOfTurn);
    call.until(5_000);
    call.assert_tells("3.110  ask      e2  I want a flat in Whitefield");
}

#[test]
fn what_obviously_goes_on_is_waited_for_whatever_a_turn_model_thinks() {
    for text in ["I want a flat and", "my number is nine eight four"] {
        let mut call = Rehearsal::after_greeting();
        call.answers([Text("Good.")]);
        call.sounds(2_000, 3_000);
        call.at(3_100, Input::SttFinal { text: text.to_owned(), speech_final: true });
        call.at(3_110, Input::SttEndOfTurn);
        call.until(5_000);
        call.assert_tells(&format!("3.700  ask      e2  {text}"));
    }
}

#[test]
fn words_without_voice_are_a_turn_too() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Good.")]);
    call.at(2_000, Input::SttFinal { text: "Sure.".to_owned(), speech_final: true });
    call.until(4_000);
    call.assert_tells("2.300  ask      e2  Sure.");
}

#[test]
fn a_noisy_street_does_not_keep_the_turn_open() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Good.")]);
    call.at(2_000, Input::VoiceStarted { began: CallTime::from_millis(1_900) });
    call.at(3_000, Input::SttFinal { text: "I want a flat.".to_owned(), speech_final: false });
    call.at(4_000, Input::SttUtteranceEnd);
    call.until(6_000);
    call.assert_tells("4.000  ask      e2  I want a flat.");
}

#[test]
fn who_goes_on_before_the_answer_sounds_is_answered_as_a_whole() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("Three bedrooms, fine.")]);
    call.says(1_500, 2_500, "I want a flat.");
    call.says(3_100, 4_000, "With three bedrooms.");
    call.until(8_000);
    call.assert_story(
        "
          3.000  ask      e2  I want a flat.
          3.180  pause    e2
          3.300  speak    e2  We have three very nice flats near the lake in Whitefield.
          3.300  speak    e2  Each of them has two bedrooms.
          3.300  speak    e2  Would you like to see one?
          3.400  pause    e2
          3.750  clear    e2
          4.500  ask      e3  I want a flat. With three bedrooms.
          4.800  speak    e3  Three bedrooms,
          4.800  speak    e3  fine.
          5.140  record   human  I want a flat. With three bedrooms.
          6.100  record   agent  Three bedrooms, fine.
        ",
    );
    assert!(
        !call.asked[1]
            .iter()
            .any(|message| matches!(message, Message::Assistant { text, .. } if text.contains("lake"))),
        "never heard, never said"
    );
}

#[test]
fn a_late_final_extends_the_turn_that_was_taken_from_an_interim() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Text("Near the lake, fine.")]);
    call.sounds(2_000, 3_000);
    call.at(2_900, Input::SttInterim { text: "I want a flat".to_owned() });
    call.at(4_100, Input::SttFinal { text: "I want a flat near the lake.".to_owned(), speech_final: true });
    call.until(7_000);
    call.assert_tells("4.000  ask      e2  I want a flat\n");
    call.assert_tells("ask      e3  I want a flat near the lake.");
}

#[test]
fn a_repeated_final_is_not_a_second_turn() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Fine, a flat.")]);
    call.sounds(2_000, 3_000);
    call.at(2_900, Input::SttInterim { text: "I want a flat".to_owned() });
    call.at(4_100, Input::SttFinal { text: "I want a flat.".to_owned(), speech_final: true });
    call.until(7_000);
    assert_eq!(call.asked.len(), 1);
}

#[test]
fn keys_are_a_turn_and_the_hash_ends_it() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Thank you.")]);
    for (number, digit) in "12#".chars().enumerate() {
        call.at(2_000 + 300 * number as u64, Input::Dtmf { digit });
    }
    call.until(4_000);
    call.assert_tells("2.600  ask      e2  (pressed the keys 12#)");
    call.assert_tells("event    key_pressed");
}

#[test]
fn an_early_answer_is_kept_when_the_words_stay_the_same() {
    let mut settings = settings("Hello?");
    settings.speculate = true;
    let mut call = Rehearsal::with(settings, None);
    call.answers([Text("From sixty lakhs.")]);
    call.says(2_000, 3_000, "What is the price of the flat?");
    call.until(6_000);
    call.assert_tells("3.250  draft    e2  What is the price of the flat?");
    call.assert_tells("3.550  speak    e2  From sixty lakhs.");
    assert_eq!(call.asked.len(), 1);
}

#[test]
fn an_early_answer_is_dropped_when_the_human_goes_on() {
    let mut settings = settings("Hello?");
    settings.speculate = true;
    let mut call = Rehearsal::with(settings, None);
    call.answers([Text("From sixty lakhs."), Text("The villa is two crore.")]);
    call.says(2_000, 3_000, "What is the price of the flat?");
    call.says(3_300, 4_000, "I mean the villa.");
    call.until(8_000);
    call.assert_keeps_quiet_about("sixty");
    call.assert_tells("  What is the price of the flat? I mean the villa.");
    call.assert_tells("The villa is two crore.");
}

#[test]
fn tools_of_an_early_answer_run_only_once_it_is_kept() {
    let mut settings = settings("Hello?");
    settings.speculate = true;
    let mut call = Rehearsal::with(settings, None);
    call.answers([Calls("Fine.", vec![("mark_do_not_call", "{}")]), Calls("Sure?", vec![("mark_do_not_call", "{}")])]);
    call.says(2_000, 3_000, "I do not want this flat.");
    call.says(3_260, 4_000, "But another one.");
    call.until(3_600);
    call.assert_keeps_quiet_about("do_not_call");
    call.until(8_000);
    assert_eq!(call.story().matches("do_not_call_requested").count(), 1);
}
