//! Tools.

use super::*;

impl Rehearsal {
    fn calls(&mut self, ms: u64, response_id: &str, name: &str, arguments: &str) {
        let call = ServerEvent::Call {
            response_id: response_id.to_owned(),
            call_id: format!("c-{name}"),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        self.hear(ms, call);
    }
}

#[test]
fn a_note_behind_a_question_is_answered_and_asks_for_nothing_more() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Eighty lakh.");
    let response = call.response(4_450, None);
    call.sound(4_500, &response, "Noted. And by when?", 1_500);
    call.calls(4_520, &response, "record_answer", r#"{"field":"budget","value":"80 lakh"}"#);
    call.done(4_530, &response, Status::Completed);
    let story = call.story();
    assert!(story.contains("answer   budget = 80 lakh") && story.contains("output   c-record_answer noted"), "{story}");
    assert!(story.ends_with("whole    e2") && !story.contains("ask "), "{story}");
    assert_eq!(call.conversation.snapshot().collected["budget"], "80 lakh");
}

#[test]
fn calls_without_words_are_answered_and_the_model_goes_on_in_the_same_reply() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Do not call me again.");
    let response = call.response(4_450, None);
    call.calls(4_500, &response, "mark_do_not_call", "{}");
    call.done(4_510, &response, Status::Completed);
    assert!(call.has("event    do_not_call_requested") && call.has("output   c-mark_do_not_call noted"));
    assert!(call.has("ask      e2"), "{}", call.story());
    let response = call.response(4_600, Some(2));
    call.sound(4_700, &response, "I am sorry. Goodbye.", 1_200);
    call.calls(4_720, &response, "end_call", r#"{"disposition":"do_not_call"}"#);
    call.done(4_730, &response, Status::Completed);
    call.give(4_740, Input::PlayoutStarted { epoch: Epoch(2) });
    assert_eq!(call.conversation.phase(), Phase::Closing);
    // Nothing stops a goodbye.
    call.hear(5_000, ServerEvent::SpeechStarted { item_id: "h2".into() });
    call.plays_out(6_000, Epoch(2));
    let story = call.story();
    assert!(
        story.ends_with("ended    AgentFinished") && story.contains("record   Agent: I am sorry. Goodbye."),
        "{story}"
    );
}

#[test]
fn an_end_without_a_word_says_goodbye_all_the_same() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Bye.");
    let response = call.response(4_450, None);
    call.calls(4_500, &response, "end_call", r#"{"disposition":"not_interested"}"#);
    call.done(4_510, &response, Status::Completed);
    assert!(call.has("exactly  e3 Thank you for your time. Goodbye."), "{}", call.story());
    call.answers(4_700, Some(3), "Thank you for your time. Goodbye.", 1_500);
    call.plays_out(6_300, Epoch(3));
    assert!(call.has("ended    AgentFinished"), "{}", call.story());
}

#[test]
fn a_human_who_goes_on_talking_is_not_hung_up_on() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Okay, bye.");
    let response = call.response(4_450, None);
    call.sound(4_500, &response, "Goodbye.", 1_200);
    call.calls(4_520, &response, "end_call", r#"{"disposition":"qualified"}"#);
    call.hear(4_530, ServerEvent::SpeechStarted { item_id: "h2".into() });
    assert!(call.has("cancel   r2"), "{}", call.story());
    assert!(call.has(r#"output   c-end_call {"error":"not done: the person went on talking"}"#), "{}", call.story());
    assert!(!call.has("ended"));
}

#[test]
fn every_call_has_one_answer_and_an_unknown_one_a_sentence() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Fly me.");
    let response = call.response(4_450, None);
    call.calls(4_500, &response, "fly", "{}");
    call.calls(4_500, &response, "record_answer", "{not json");
    call.done(4_510, &response, Status::Completed);
    let outputs: Vec<String> =
        call.story().lines().filter(|l| l.contains("output")).map(|l| l[7..].to_owned()).collect();
    assert_eq!(
        outputs,
        [
            r#"output   c-fly {"error":"there is no such tool"}"#,
            r#"output   c-record_answer {"error":"arguments are not JSON"}"#
        ]
    );
}
