//! Turns, and both talking at once.

use super::*;

#[test]
fn the_greeting_is_asked_for_word_for_word_and_a_turn_is_answered_by_the_server() {
    let mut call = Rehearsal::begun();
    call.answers(500, Some(1), "Hello, this is an AI.", 1_500);
    call.plays_out(2_100, Epoch(1));
    call.says(3_000, 3_800, "h1", "Who is this?");
    call.answers(4_800, None, "I am Asha.", 900);
    call.plays_out(5_800, Epoch(2));
    assert_eq!(
        call.story(),
        told(
            "
            0 listen for beep
            0 open     0 items
            300 exactly  e1 Hello, this is an AI.
            560 whole    e1
            2100 record   Agent: Hello, this is an AI.
            4700 record   Human: Who is this?
            4860 whole    e2
            5800 record   Agent: I am Asha.
            "
        )
    );
}

#[test]
fn a_transcript_that_comes_behind_its_answer_still_stands_before_it() {
    let mut call = Rehearsal::greeted();
    call.hear(3_000, ServerEvent::SpeechStarted { item_id: "h1".into() });
    call.hear(3_800, ServerEvent::Committed { item_id: "h1".into() });
    call.answers(3_850, None, "Yes.", 400);
    call.plays_out(4_400, Epoch(2));
    assert!(!call.has("record"), "{}", call.story());
    call.transcribed(4_500, "h1", "Are you there?");
    assert_eq!(call.story(), told("3910 whole    e2\n4500 record   Human: Are you there?\n4500 record   Agent: Yes."));
}

#[test]
fn a_barge_in_silences_at_once_and_the_model_forgets_what_was_not_heard() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    call.answers(4_500, None, "I am Asha from Trunkline Realty.", 3_200);
    call.give(5_500, Input::Played { epoch: Epoch(2), samples: 900 * SAMPLES_PER_MS });
    call.story.clear();
    call.give(5_600, Input::VoiceStarted { began: CallTime::from_millis(5_520) });
    call.hear(5_700, ServerEvent::SpeechStarted { item_id: "h2".into() });
    assert_eq!(
        call.story(),
        told(
            "
            5600 pause    e2
            5700 truncate i-r2 1000
            5700 clear    e2
            5700 event    barge_in
            5700 record   Agent: I am Asha —
            "
        )
    );
}

#[test]
fn our_own_ear_interrupts_before_the_server_does_and_a_cough_does_not() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    call.answers(4_500, None, "I am Asha from Trunkline Realty.", 3_200);
    call.story.clear();
    call.give(5_000, Input::VoiceStarted { began: CallTime::from_millis(4_920) });
    call.give(5_200, Input::VoiceStopped { ended: CallTime::from_millis(5_050) });
    call.until(5_700);
    assert_eq!(call.story(), told("5000 pause    e2\n5650 resume   e2"));
    call.give(6_000, Input::VoiceStarted { began: CallTime::from_millis(5_920) });
    call.give(6_180, Input::VoiceGoesOn { until: CallTime::from_millis(6_170) });
    assert!(call.has("truncate i-r2") && call.has("clear    e2"), "{}", call.story());
}

#[test]
fn the_greeting_is_heard_to_its_end_and_what_was_said_over_it_is_answered_behind_it() {
    let mut call = Rehearsal::begun();
    call.answers(500, Some(1), "Hello, this is an AI.", 3_000);
    call.says(1_000, 1_400, "h1", "Who is this?");
    let answer = call.answers(1_950, None, "I am Asha.", 900);
    assert_eq!((answer, call.conversation.audible()), (Some(Epoch(2)), Some(Epoch(1))));
    assert!(!call.has("clear") && !call.has("pause"), "{}", call.story());
    call.plays_out(3_600, Epoch(1));
    assert_eq!(call.conversation.audible(), Some(Epoch(2)));
    call.give(3_650, Input::PlayoutStarted { epoch: Epoch(2) });
    call.plays_out(4_600, Epoch(2));
    let records: Vec<String> =
        call.story().lines().filter(|l| l.contains("record")).map(|l| l[7..].to_owned()).collect();
    let expected =
        ["record   Agent: Hello, this is an AI.", "record   Human: Who is this?", "record   Agent: I am Asha."];
    assert_eq!(records, expected);
}

#[test]
fn an_answer_that_waits_is_thrown_away_when_the_human_goes_on() {
    let mut call = Rehearsal::begun();
    call.answers(500, Some(1), "Hello, this is an AI.", 4_000);
    call.says(1_000, 1_400, "h1", "Who is this?");
    call.answers(1_950, None, "I am Asha.", 900);
    call.story.clear();
    call.hear(2_400, ServerEvent::SpeechStarted { item_id: "h2".into() });
    assert_eq!(call.story(), told("2400 truncate i-r2 0\n2400 discard  e2"));
}

#[test]
fn a_turn_that_the_server_leaves_unanswered_is_answered_when_we_ask() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    call.until(5_600);
    assert!(call.has("ask      e2"), "{}", call.story());
    call.answers(5_700, Some(2), "I am Asha.", 900);
    call.plays_out(6_700, Epoch(2));
    assert!(call.has("record   Agent: I am Asha."), "{}", call.story());
    assert!(!call.has("event    reply_failed"));
}

#[test]
fn a_greeting_that_is_not_the_one_asked_for_is_noticed() {
    let mut call = Rehearsal::begun();
    call.answers(500, Some(1), "Sure! Hello, this is an AI.", 1_500);
    call.plays_out(2_100, Epoch(1));
    assert!(call.has("event    greeting_changed"), "{}", call.story());
}

#[test]
fn an_answer_that_never_ends_is_cut_off_where_nobody_would_listen_any_more() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Tell me everything.");
    let response = call.response(4_500, None);
    for second in 0..90 {
        assert!(call.sound(4_500 + second, &response, "word ", 1_000).is_some());
    }
    assert_eq!(call.sound(4_600, &response, "word", 1_000), None);
    assert!(call.has(&format!("cancel   {response}")) && call.has("whole    e2"), "{}", call.story());
}

#[test]
fn the_servers_answer_to_a_hello_is_refused_and_the_greeting_asked_for_again() {
    let mut settings = settings();
    settings.opening = crate::dialogue::Opening::WaitForHello { up_to_ms: 1_800 };
    let mut call = Rehearsal::with(settings, None, false);
    call.ready(300);
    call.hear(800, ServerEvent::SpeechStarted { item_id: "h1".into() });
    call.hear(1_500, ServerEvent::Committed { item_id: "h1".into() });
    call.response(1_510, None);
    assert_eq!(
        call.story(),
        told(
            "
            0 listen for beep
            0 open     0 items
            1500 exactly  e1 Hello, this is an AI.
            1510 cancel   r1
            1510 exactly  e1 Hello, this is an AI.
            "
        )
    );
    assert_eq!(call.answers(1_700, Some(1), "Hello, this is an AI.", 1_500), Some(Epoch(1)));
}

#[test]
fn whoever_answers_in_another_of_the_agents_languages_is_followed_into_it() {
    let mut settings = settings();
    settings.also_speaks = vec!["hi-IN".to_owned()];
    let mut call = Rehearsal::with(settings, None, false);
    call.ready(300);
    call.answers(500, Some(1), "Hello, this is an AI.", 1_500);
    call.plays_out(2_100, Epoch(1));
    call.says(3_000, 3_800, "h1", "Yes, okay.");
    call.answers(4_800, None, "Good.", 500);
    call.plays_out(5_400, Epoch(2));
    assert!(!call.has("instruct"), "letters that are everybody's tell nothing: {}", call.story());
    call.says(6_000, 7_000, "h2", "हाँ जी, बोलिए।");
    let story = call.story();
    assert!(story.contains("event    language_changed") && story.contains("instruct hi"), "{story}");
    // What we say ourselves is said in it, too.
    call.answers(7_700, None, "जी।", 500);
    call.plays_out(8_400, Epoch(3));
    call.until(16_000);
    assert!(call.story().contains("exactly  e4 हैलो"), "the question whether anybody is there");
}
