//! Both talk at once.

use super::*;

#[test]
fn a_barge_in_pauses_then_clears_and_keeps_what_was_heard() {
    let mut call = agent_talks();
    call.says(5_000, 6_200, "What do they cost?");
    call.until(9_000);
    call.assert_story(
        "
          5.080  pause    e2
          5.280  clear    e2
          5.280  record   agent  We have three very nice flats —
          5.280  event    barge_in
          6.700  ask      e3  What do they cost?
          7.000  speak    e3  From sixty lakhs.
          7.280  record   human  What do they cost?
          8.120  record   agent  From sixty lakhs.
        ",
    );
    let heard = Message::Assistant { text: "We have three very nice flats —".to_owned(), tool_calls: vec![] };
    assert!(call.asked[1].contains(&heard), "{:?}", call.asked[1]);
}

#[test]
fn one_word_that_is_no_acknowledgement_interrupts_before_the_voice_is_long_enough() {
    let mut call = agent_talks();
    call.at(5_080, Input::VoiceStarted { began: CallTime::from_millis(5_000) });
    call.at(5_150, Input::SttInterim { text: "ruko".to_owned() });
    call.until(5_160);
    call.assert_tells("5.150  clear    e2");
}

#[test]
fn a_short_backchannel_only_pauses() {
    for word in ["haan", "Hmm.", "okay", "अच्छा", "theek hai"] {
        let mut call = agent_talks();
        call.says(5_000, 5_200, word);
        call.until(14_000);
        call.assert_story(
            "
              5.080  pause    e2
              5.450  resume   e2
             10.850  record   agent  We have three very nice flats near the lake in Whitefield. Each of them has two bedrooms. Would you like to see one?
            ",
        );
    }
}

#[test]
fn a_long_backchannel_costs_a_moment_but_no_word() {
    let mut call = agent_talks();
    call.says(5_000, 5_500, "achha achha");
    call.until(11_000);
    call.assert_story(
        "
          5.080  pause    e2
          5.280  clear    e2
          5.280  record   agent  We have three very nice flats —
          5.280  event    barge_in
          5.800  event    false_barge_in
          5.800  speak    e3  near the lake in Whitefield.
          5.800  speak    e3  Each of them has two bedrooms.
          5.800  speak    e3  Would you like to see one?
          6.080  record   human  achha achha
         10.940  record   agent  near the lake in Whitefield. Each of them has two bedrooms. Would you like to see one?
        ",
    );
}

#[test]
fn a_cough_is_forgotten() {
    let mut call = agent_talks();
    call.sounds(5_000, 5_200);
    call.until(12_000);
    call.assert_story(
        "
          5.080  pause    e2
          5.680  resume   e2
         11.090  record   agent  We have three very nice flats near the lake in Whitefield. Each of them has two bedrooms. Would you like to see one?
        ",
    );

    let mut call = agent_talks();
    call.sounds(5_000, 5_600);
    call.until(7_000);
    call.assert_tells("6.600  speak    e3  near the lake in Whitefield.");
    call.assert_keeps_quiet_about("did not catch");
}

#[test]
fn an_odd_word_without_voice_does_not_interrupt_but_a_demand_does() {
    let mut call = agent_talks();
    call.at(5_000, Input::SttInterim { text: "the".to_owned() });
    call.until(5_500);
    call.assert_story("");
    call.at(5_600, Input::SttInterim { text: "wait".to_owned() });
    call.until(6_000);
    call.assert_tells("5.600  clear    e2");
}

#[test]
fn an_answer_that_comes_with_the_end_of_the_question_counts() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Shall I book a visit?"), Text("Wonderful, it is booked.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    // The question sounds from 3.4 to 4.66 s.
    call.says(4_350, 4_550, "haan");
    call.until(7_000);
    call.assert_tells("ask      e3  haan");
    call.assert_tells("Wonderful,");
}

#[test]
fn the_greeting_is_heard_to_its_end_and_what_is_said_over_it_is_answered() {
    let mut call = Rehearsal::greeting("Hello, this is Asha, an AI assistant. Is it a good time?");
    call.answers([Text("It is from an enquiry.")]);
    call.says(1_000, 2_000, "Who is this?");
    call.until(8_000);
    call.assert_story(
        "
          0.000  speak    e1  Hello, this is Asha, an AI assistant.
          0.000  speak    e1  Is it a good time?
          3.400  record   agent  Hello, this is Asha, an AI assistant. Is it a good time?
          3.400  ask      e2  Who is this?
          3.700  speak    e2  It is from an enquiry.
          3.860  record   human  Who is this?
          5.120  record   agent  It is from an enquiry.
        ",
    );
}

#[test]
fn a_hello_over_the_greeting_is_no_turn() {
    let mut call = Rehearsal::greeting("Hello, this is Asha, an AI assistant. Is it a good time?");
    call.says(500, 900, "Hello");
    call.until(8_000);
    assert!(call.asked.is_empty());
}

#[test]
fn who_asks_who_it_is_while_the_greeting_says_it_is_not_told_again() {
    let mut call = Rehearsal::greeting("Hello, this is Asha, an AI assistant. Is it a good time?");
    call.says(300, 1_300, "Yes, hello, who is this?");
    call.until(3_600);
    call.assert_tells("3.400  record   human  Yes, hello, who is this?");
    call.answers([Text("It is about your enquiry.")]);
    call.says(4_000, 4_600, "Yes, go ahead.");
    call.until(8_000);
    assert_eq!(call.asked.len(), 1, "{}", call.story());
}

#[test]
fn an_agent_that_heard_itself_all_through_its_greeting_does_not_stop_for_voice_without_words() {
    let mut call = Rehearsal::greeting("Hello, this is Asha, an AI assistant. Is it a good time?");
    call.sounds(200, 3_500);
    call.until(4_500);
    call.answers([Text(LONG)]);
    call.says(5_000, 6_000, "Tell me about the flats.");
    call.sounds(8_000, 9_500);
    call.until(9_500);
    call.assert_keeps_quiet_about("pause");
    call.says(9_600, 10_400, "Wait, what is the price?");
    call.until(11_000);
    call.assert_tells("clear    e2");
}

#[test]
fn an_echo_that_outlasts_the_agent_is_not_asked_to_repeat_itself() {
    let mut call = agent_talks();
    // The last words come back from a loudspeaker; the agent has given up stopping for it.
    for at in [3_600, 4_800] {
        call.sounds(at, at + 150);
    }
    call.sounds(7_000, 9_600);
    call.until(14_000);
    let story = call.story();
    assert!(story.contains(&format!("record   agent  {LONG}")), "{story}");
    call.assert_keeps_quiet_about("nothing_understood");
}

#[test]
fn a_greeting_that_nobody_heard_is_said_again() {
    let mut settings = settings("Hello, this is Asha.");
    settings.barge_in.protect_greeting = false;
    let mut call = Rehearsal::with(settings, None);
    call.says(0, 1_000, "Hello who is it?");
    call.until(6_000);
    assert_eq!(call.story().matches("Hello, this is Asha.").count(), 3, "spoken twice, heard once: {}", call.story());
}

#[test]
fn a_reply_that_is_paused_before_it_sounds_waits_for_the_human() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG)]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    // A sound of 200 ms while the model thinks; its first audio comes at 3.4 s, while it is not yet forgotten.
    call.sounds(3_150, 3_350);
    call.until(5_000);
    let pauses = call.outputs.iter().filter(|(_, output)| matches!(output, Output::PausePlayout { .. })).count();
    assert_eq!(pauses, 2, "once at the sound, once when there is something to pause: {}", call.story());
    call.assert_tells("3.830  resume   e2");
    call.assert_keeps_quiet_about("clear");
}

#[test]
fn an_agent_that_hears_itself_stutters_twice_and_then_waits_for_words() {
    let mut call = agent_talks();
    // Each time it goes on, its own echo comes back.
    for at in [3_600, 4_800, 6_000, 7_200, 8_400] {
        call.sounds(at, at + 150);
    }
    call.until(14_000);
    let story = call.story();
    assert_eq!(story.matches("pause").count(), 2, "{story}");
    call.assert_tells(&format!("record   agent  {LONG}"));
}

#[test]
fn words_are_believed_where_voice_is_not_and_make_voice_believed_again() {
    let mut call = agent_talks();
    call.sounds(3_600, 3_750);
    call.sounds(4_800, 4_950);
    call.says(6_000, 6_900, "Wait, what is the price?");
    call.until(7_900);
    call.assert_tells("6.650  clear    e2");
    call.forget();
    call.sounds(8_000, 8_150);
    call.until(8_200);
    call.assert_tells("pause    e3");
}
