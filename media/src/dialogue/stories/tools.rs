//! The model does something beside talking.

use super::*;

#[test]
fn a_note_without_words_is_followed_by_words() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Calls("", vec![("record_answer", r#"{"field":"budget","value":"50 lakh"}"#)]), Text("Which area?")]);
    call.says(1_500, 2_500, "Fifty lakh rupees.");
    call.until(6_000);
    call.assert_story(
        "
          2.800  ask      e2  Fifty lakh rupees.
          3.100  note     budget: 50 lakh
          3.100  ask      e2  Fifty lakh rupees.
          3.400  speak    e2  Which area?
          3.740  record   human  Fifty lakh rupees.
          4.160  record   agent  Which area?
        ",
    );
    assert_eq!(call.dialogue.snapshot().collected["budget"], "50 lakh");
    let last = call.asked.last().and_then(|messages| messages.last());
    assert!(matches!(last, Some(Message::Tool { content, .. }) if content == "noted"), "{last:?}");
}

#[test]
fn words_with_a_question_and_a_note_need_no_second_request() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Calls("Noted. Which area?", vec![("record_answer", r#"{"field":"budget","value":"50 lakh"}"#)])]);
    call.says(1_500, 2_500, "Fifty lakh rupees.");
    call.until(6_000);
    assert_eq!(call.asked.len(), 1);
    call.assert_tells("record   agent  Noted. Which area?");
}

#[test]
fn a_model_that_only_calls_tools_is_made_to_speak_or_given_up() {
    let mut call = Rehearsal::after_greeting();
    let note = || Calls("", vec![("record_answer", r#"{"field":"budget","value":"1"}"#)]);
    call.answers(std::iter::repeat_with(note).take(20));
    call.says(1_500, 2_500, "Fifty lakh rupees.");
    call.until(10_000);
    let tools_offered: Vec<bool> = call
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::AskLlm { tools, .. } => Some(!tools.is_empty()),
            _ => None,
        })
        .collect();
    assert_eq!(tools_offered[..5], [true, true, true, true, false], "four rounds with tools, then none");
    call.assert_tells("Sorry, I had a small problem");
}

#[test]
fn a_tool_outside_is_waited_for_and_survives_a_barge_in() {
    let mut settings = settings("Hello?");
    settings.tools = vec![ToolSpec {
        name: "send_message".to_owned(),
        description: String::new(),
        parameters: serde_json::json!({}),
    }];
    let mut call = Rehearsal::with(settings, None);
    call.answers([Calls("One moment please.", vec![("send_message", "{}")]), Text("Fine.")]);
    call.says(1_500, 2_500, "Send me the details.");
    call.says(4_200, 5_200, "And the price too.");
    call.until(5_000);
    call.assert_tells("tool     c1-0 send_message");
    call.at(5_100, Input::ToolResult { call_id: "c1-0".to_owned(), outcome: ToolOutcome::Ok("sent".to_owned()) });
    call.at(5_110, Input::ToolResult { call_id: "c1-0".to_owned(), outcome: ToolOutcome::Ok("sent twice".to_owned()) });
    call.until(8_000);
    let answers: Vec<_> = call.asked[1].iter().filter(|message| matches!(message, Message::Tool { .. })).collect();
    assert_eq!(answers, [&Message::Tool { call_id: "c1-0".to_owned(), content: "sent".to_owned() }]);
}

#[test]
fn a_second_of_silence_while_a_tool_runs_is_bridged_once_and_is_no_answer() {
    let mut settings = settings("Hello?");
    let (name, description, parameters) = ("check_availability".to_owned(), String::new(), serde_json::json!({}));
    settings.tools = vec![ToolSpec { name, description, parameters }];
    let mut call = Rehearsal::with(settings, None);
    call.answers([Calls("", vec![("check_availability", "{}")]), Text("It is free.")]);
    call.says(1_500, 2_500, "Is flat three free?");
    call.at(8_000, Input::ToolResult { call_id: "c1-0".to_owned(), outcome: ToolOutcome::Ok("free".to_owned()) });
    call.until(12_000);
    call.assert_tells("4.300  speak    e2  One moment, let me check.");
    assert_eq!(call.story().matches("let me check").count(), 2, "said once, noted once: {}", call.story());
    call.assert_tells("8.300  speak    e2  It is free.");
    call.assert_tells("record   agent  One moment, let me check. It is free.");
}

#[test]
fn a_tool_that_never_answers_is_answered_for() {
    let mut settings = settings("Hello?");
    settings.tools = vec![ToolSpec {
        name: "send_message".to_owned(),
        description: String::new(),
        parameters: serde_json::json!({}),
    }];
    let mut call = Rehearsal::with(settings, None);
    call.answers([Calls("", vec![("send_message", "{}")]), Text("Sorry, that did not work.")]);
    call.says(1_500, 2_500, "Send me the details.");
    call.until(16_000);
    call.assert_tells("11.300  event    tool_failed");
    call.assert_tells("Sorry, that did not work.");
}

#[test]
fn somebody_who_forbids_calls_is_believed_without_the_model() {
    let mut call = Rehearsal::after_greeting();
    call.says(1_500, 2_500, "Please don't call me again.");
    call.until(4_000);
    call.assert_tells("event    do_not_call_requested");
    assert!(call.dialogue.snapshot().do_not_call);
}
