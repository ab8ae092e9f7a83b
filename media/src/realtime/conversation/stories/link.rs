//! The socket dies, does not open, or the model fails.

use super::*;
use crate::dialogue::{Gap, Said};
use std::collections::BTreeMap;

#[test]
fn a_socket_lost_between_turns_is_replaced_and_knows_the_conversation() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    call.answers(4_500, None, "I am Asha.", 900);
    call.plays_out(5_500, Epoch(2));
    call.story.clear();
    call.lost(6_000, &cut());
    assert_eq!(call.story(), told("6000 event    speech_to_speech_lost\n6000 open     3 items"));
    call.ready(6_400);
    assert_eq!(call.story(), "", "it is the human's turn, as it was");
    call.says(7_000, 7_500, "h2", "I see.");
    call.answers(8_450, None, "Good.", 400);
    call.plays_out(9_000, Epoch(3));
    assert!(call.has("record   Agent: Good."), "{}", call.story());
}

#[test]
fn what_was_lost_on_its_way_to_the_model_is_asked_for_again() {
    let mut call = Rehearsal::greeted();
    call.hear(3_000, ServerEvent::SpeechStarted { item_id: "h1".into() });
    call.lost(3_500, &cut());
    call.ready(4_000);
    assert!(call.has("note     The line was gone") && call.has("ask      e2"), "{}", call.story());
}

#[test]
fn an_answer_that_broke_off_is_played_as_far_as_it_came_and_carried_on() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    let response = call.response(4_500, None);
    call.sound(4_550, &response, "I am Asha from", 1_200);
    call.give(4_600, Input::PlayoutStarted { epoch: Epoch(2) });
    call.lost(4_700, &cut());
    assert!(call.has("whole    e2") && call.has("open     3 items"), "{}", call.story());
    call.ready(5_000);
    assert!(call.has("note     Your last message was cut off") && call.has("ask      e3"), "{}", call.story());
    call.plays_out(5_900, Epoch(2));
    assert!(call.has("record   Agent: I am Asha from —"), "{}", call.story());
    call.answers(6_000, Some(3), "Trunkline Realty.", 900);
    call.plays_out(7_000, Epoch(3));
    assert!(call.has("record   Agent: Trunkline Realty."), "{}", call.story());
}

#[test]
fn a_socket_that_cannot_be_opened_again_ends_the_call_with_an_apology_by_another_voice() {
    let mut call = Rehearsal::greeted();
    call.lost(3_100, &cut());
    call.lost(3_400, &ProviderError::Unavailable { cause: "connect".into() });
    let epoch = Epoch(2);
    assert!(call.has("speak    e2 I am sorry, I have a technical problem."), "{}", call.story());
    call.give(3_600, Input::TtsAudio { epoch, clause: 0, samples: 2_000 * MS, alignment: Vec::new() });
    call.give(3_610, Input::TtsDone { epoch });
    call.give(3_620, Input::PlayoutStarted { epoch });
    call.plays_out(5_700, epoch);
    assert!(call.has("ended    LlmUnavailable"), "{}", call.story());
}

#[test]
fn a_refused_key_is_not_tried_again() {
    let mut call = Rehearsal::with(settings(), None, false);
    call.lost(200, &ProviderError::Rejected { code: "invalid_api_key".into() });
    let story = call.story();
    assert!(story.contains("speak    e1 I am sorry, I have a technical problem."), "{story}");
    assert_eq!(story.matches("open").count(), 1, "{story}");
}

#[test]
fn when_no_voice_is_left_either_the_call_ends_all_the_same() {
    let mut call = Rehearsal::with(settings(), None, false);
    call.lost(200, &ProviderError::Rejected { code: "invalid_api_key".into() });
    call.give(400, Input::TtsFailed { epoch: Epoch(1), clause: 0 });
    assert!(call.has("ended    LlmUnavailable"), "{}", call.story());
}

#[test]
fn sockets_are_not_opened_for_ever() {
    let mut call = Rehearsal::greeted();
    for at in [4_000, 6_000, 8_000, 10_000] {
        call.lost(at, &cut());
        call.ready(at + 300);
    }
    assert!(!call.has("speak"), "{}", call.story());
    call.lost(12_000, &cut());
    assert!(call.has("speak"), "{}", call.story());
}

#[test]
fn an_answer_that_fails_is_asked_for_once_more_then_apologised_for_and_the_next_time_ends_the_call() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    let response = call.response(4_450, None);
    call.done(4_460, &response, Status::Failed);
    assert!(call.has("ask      e2"), "{}", call.story());
    let response = call.response(4_500, Some(2));
    call.done(4_510, &response, Status::Failed);
    assert!(call.has("exactly  e3 Sorry, I had a small problem on my side."), "{}", call.story());
    call.answers(4_600, Some(3), "Sorry, I had a small problem on my side. Could you say that once more?", 2_000);
    call.plays_out(6_700, Epoch(3));
    call.says(7_000, 7_500, "h2", "Who is this?");
    let response = call.response(8_450, None);
    call.done(8_460, &response, Status::Failed);
    let response = call.response(8_500, Some(4));
    call.done(8_510, &response, Status::Failed);
    assert!(call.has("exactly  e5 I am sorry, I have a technical problem."), "{}", call.story());
}

#[test]
fn a_model_that_goes_silent_in_mid_answer_is_not_waited_for() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    let response = call.response(4_450, None);
    call.sound(4_500, &response, "I am Asha", 600);
    call.give(4_550, Input::PlayoutStarted { epoch: Epoch(2) });
    call.give(5_160, Input::PlayoutDrained { epoch: Epoch(2) });
    call.until(9_500);
    assert!(call.has(&format!("cancel   {response}")) && call.has("record   Agent: I am Asha —"), "{}", call.story());
}

#[test]
fn exact_words_are_spoken_by_the_voice_that_was_chosen_for_them_and_told_to_the_model() {
    let mut call = Rehearsal::with(settings(), None, true);
    assert!(call.has("speak    e1 Hello, this is an AI."), "{}", call.story());
    call.ready(300);
    let epoch = Epoch(1);
    call.give(400, Input::TtsAudio { epoch, clause: 0, samples: 1_500 * MS, alignment: Vec::new() });
    call.give(410, Input::TtsDone { epoch });
    call.give(420, Input::PlayoutStarted { epoch });
    call.plays_out(2_000, epoch);
    assert!(call.has("tell     Agent: Hello, this is an AI.") && call.has("record   Agent"), "{}", call.story());
}

#[test]
fn a_conversation_that_comes_back_is_taken_up_without_a_second_greeting() {
    let said = |speaker, text: &str| Said { speaker, text: text.into(), interrupted: false };
    let turns = [said(Speaker::Agent, "Hello, this is an AI."), said(Speaker::Human, "I want a flat.")];
    let history = History::resume(turns, BTreeMap::new(), 2, Gap::Lost);
    let mut call = Rehearsal::with(settings(), Some(history), false);
    call.ready(300);
    assert_eq!(
        call.story(),
        told(
            "
            0 open     2 items
            300 event    resumed
            300 note     The line had dropped and is back
            300 ask      e1
            "
        )
    );
    call.answers(500, Some(1), "Sorry, the line dropped for a moment. Which area?", 2_000);
    call.plays_out(2_600, Epoch(1));
    assert!(call.has("record   Agent: Sorry, the line dropped"), "{}", call.story());
}
