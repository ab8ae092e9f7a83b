//! Tools.

use super::*;
use crate::dialogue::{ToolOutcome, ToolSpec};

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

/// A second after the greeting, with a tool of the account's own.
fn with_a_tool() -> Rehearsal {
    let mut settings = settings();
    let parameters = serde_json::json!({"type": "object", "properties": {"flat": {"type": "string"}}});
    let (name, description) = ("check_flat".to_owned(), "Is this flat free?".to_owned());
    settings.tools.push(ToolSpec { name, description, parameters });
    let mut call = Rehearsal::with(settings, None, false);
    call.ready(300);
    call.answers(500, Some(1), "Hello, this is an AI.", 1_500);
    call.plays_out(2_100, Epoch(1));
    call.until(3_000);
    call.story.clear();
    call
}

/// The model asks the tool.
fn asks_the_tool(call: &mut Rehearsal) {
    call.says(3_000, 3_500, "h1", "Is flat 302 free?");
    let response = call.response(4_450, None);
    call.calls(4_500, &response, "check_flat", r#"{"flat":"302"}"#);
    call.done(4_510, &response, Status::Completed);
    assert!(call.has("run      check_flat") && !call.has("output"), "{}", call.story());
}

#[test]
fn what_an_accounts_own_tool_says_is_told_to_the_model_which_then_answers() {
    let mut call = with_a_tool();
    asks_the_tool(&mut call);
    let outcome = ToolOutcome::Ok(r#"{"free":true}"#.to_owned());
    call.give(5_200, Input::ToolResult { call_id: "c-check_flat".to_owned(), outcome });
    let story = call.story();
    assert!(story.contains(r#"output   c-check_flat {"free":true}"#) && story.ends_with("ask      e2"), "{story}");
}

#[test]
fn a_tool_that_fails_or_is_late_is_noted_and_the_model_told_so_once() {
    let mut failed = with_a_tool();
    asks_the_tool(&mut failed);
    let outcome = ToolOutcome::Failed("HTTP 500".to_owned());
    failed.give(5_200, Input::ToolResult { call_id: "c-check_flat".to_owned(), outcome });
    assert!(failed.has("event    tool_failed") && failed.has("output   c-check_flat"), "{}", failed.story());

    let mut late = with_a_tool();
    asks_the_tool(&mut late);
    late.until(20_000);
    let outcome = ToolOutcome::Ok("too late".to_owned());
    late.give(20_000, Input::ToolResult { call_id: "c-check_flat".to_owned(), outcome });
    let story = late.story();
    assert!(story.contains("event    tool_failed"), "{story}");
    assert_eq!(story.matches("output   c-check_flat").count(), 1, "{story}");
}

fn flat_is_free(call: &mut Rehearsal, ms: u64) {
    let outcome = ToolOutcome::Ok(r#"{"free":true}"#.to_owned());
    call.give(ms, Input::ToolResult { call_id: "c-check_flat".to_owned(), outcome });
}

#[test]
fn a_second_of_silence_behind_a_slow_tool_is_bridged_once_and_the_answer_follows_in_the_same_reply() {
    let mut call = with_a_tool();
    asks_the_tool(&mut call);
    call.until(5_490);
    assert!(!call.has("exactly"), "{}", call.story());
    call.until(5_510);
    assert!(call.has("exactly  e2 One moment, let me check."), "{}", call.story());
    let bridge = call.response(5_600, Some(2));
    call.sound(5_700, &bridge, "One moment, let me check.", 1_500);
    call.give(5_710, Input::PlayoutStarted { epoch: Epoch(2) });
    // It is here before the line has been made: it waits for its end, and does not break it off.
    flat_is_free(&mut call, 5_800);
    assert!(!call.has("output") && !call.has("cancel"), "{}", call.story());
    call.done(5_900, &bridge, Status::Completed);
    assert!(call.has(r#"output   c-check_flat {"free":true}"#) && call.has("ask      e2"), "{}", call.story());
    let answer = call.response(6_000, Some(2));
    call.sound(6_100, &answer, "Yes, it is free.", 1_000);
    call.done(6_110, &answer, Status::Completed);
    call.plays_out(8_300, Epoch(2));
    let story = call.story();
    assert!(story.contains("record   Agent: One moment, let me check. Yes, it is free."), "{story}");
    assert_eq!(story.matches("exactly").count(), 1, "{story}");
}

#[test]
fn a_quick_tool_is_not_bridged_and_one_that_outlasts_the_bridge_is_waited_for_in_silence() {
    let mut quick = with_a_tool();
    asks_the_tool(&mut quick);
    flat_is_free(&mut quick, 5_400);
    quick.until(5_600);
    assert!(!quick.has("exactly") && quick.has("ask      e2"), "{}", quick.story());

    let mut slow = with_a_tool();
    asks_the_tool(&mut slow);
    slow.answers(5_600, Some(2), "One moment, let me check.", 1_500);
    slow.plays_out(7_200, Epoch(2));
    flat_is_free(&mut slow, 9_400);
    let story = slow.story();
    assert_eq!(story.matches("exactly").count(), 1, "{story}");
    assert!(story.ends_with("ask      e2"), "{story}");
}

#[test]
fn a_bridge_that_does_not_come_holds_nothing_up() {
    let mut call = with_a_tool();
    asks_the_tool(&mut call);
    call.until(5_550);
    // Its response is begun and says nothing.
    call.response(5_600, Some(2));
    flat_is_free(&mut call, 6_000);
    call.until(14_000);
    let story = call.story();
    assert!(story.contains("cancel   r3") && story.contains(r#"output   c-check_flat {"free":true}"#), "{story}");
    assert!(story.contains("ask      e2"), "{story}");
}

#[test]
fn whoever_speaks_while_a_wait_is_bridged_is_listened_to() {
    let mut call = with_a_tool();
    asks_the_tool(&mut call);
    call.until(5_550);
    let bridge = call.response(5_600, Some(2));
    call.sound(5_700, &bridge, "One moment, let me check.", 1_500);
    call.give(5_710, Input::PlayoutStarted { epoch: Epoch(2) });
    call.hear(6_300, ServerEvent::SpeechStarted { item_id: "h2".into() });
    assert!(call.has("cancel   r3") && call.has("clear    e2"), "{}", call.story());
    // What it finds out later starts nothing.
    flat_is_free(&mut call, 6_600);
    assert!(!call.has("ask"), "{}", call.story());
}
