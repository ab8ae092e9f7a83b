use serde_json::{Value, json};

use super::*;
use crate::brain::Tool;

fn tool(name: &str, properties: Value) -> Tool {
    let required: Vec<String> = properties.as_object().unwrap().keys().cloned().collect();
    Tool {
        name: name.into(),
        parameters: json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false }),
    }
}

fn tools() -> Vec<Tool> {
    let text = json!({ "type": "string" });
    vec![
        tool("end_call", json!({ "reason": text })),
        tool(
            "record_answer",
            json!({ "field": { "type": "string", "enum": ["purpose", "budget", "timeline", "location", "property_type", "site_visit"] }, "value": text }),
        ),
        tool("schedule_callback", json!({ "when": text, "note": { "type": ["string", "null"] } })),
        tool("mark_do_not_call", json!({ "note": { "type": ["string", "null"] } })),
    ]
}

/// A call as the product would hold it: tools are answered, and the model is asked again after a
/// reply without words.
struct Rehearsal {
    conversation: Conversation,
    calls: Vec<String>,
    ended: bool,
}

impl Rehearsal {
    fn new(system: &str, tools: Vec<Tool>) -> Self {
        let system = Message { role: Role::System, text: system.into(), calls: vec![] };
        let conversation = Conversation { messages: vec![system], tools, choice: Choice::Auto, parallel: false };
        Self { conversation, calls: vec![], ended: false }
    }

    fn say(&mut self, role: Role, text: &str, calls: Vec<Call>) {
        self.conversation.messages.push(Message { role, text: text.into(), calls });
    }

    fn hear(&mut self, text: &str) -> String {
        self.say(Role::User, text, vec![]);
        self.model()
    }

    fn model(&mut self) -> String {
        for _round in 0..8 {
            let answer = reply(&self.conversation);
            assert!(answer.calls.len() <= 1 && (!answer.text.is_empty() || !answer.calls.is_empty()), "{answer:?}");
            self.calls.extend(answer.calls.iter().map(|call| format!("{} {}", call.name, call.arguments)));
            self.ended |= answer.calls.iter().any(|call| call.name == "end_call");
            self.say(Role::Assistant, &answer.text, answer.calls.clone());
            if !answer.calls.is_empty() {
                self.say(Role::Tool, "ok", vec![]);
            }
            if !answer.text.is_empty() {
                return answer.text;
            }
        }
        panic!("no words in eight rounds: {:?}", self.calls)
    }
}

#[test]
fn a_willing_lead_is_asked_five_things_once_and_invited() {
    let mut call = Rehearsal::new("You are Asha, an AI assistant of Lake View Homes.", tools());
    assert_eq!(
        call.model(),
        "Hello, this is Asha from Lake View Homes, about your property enquiry. Is this a good time to talk?"
    );
    let mut asked = vec![call.hear("Yes, speaking.")];
    for answer in ["To live in", "around ninety lakhs", "within three months", "Whitefield", "a two bedroom flat"] {
        asked.push(call.hear(answer));
    }
    for (line, word) in asked.iter().zip(["live in", "budget", "When", "area", "type", "site visit"]) {
        assert!(line.contains(word), "{asked:#?}");
    }
    let bye = call.hear("Yes, Saturday morning");
    assert!(bye.contains("saturday morning") && bye.contains("goodbye"), "{bye}");
    assert!(call.ended);
    let recorded: Vec<&String> = call.calls.iter().filter(|call| call.starts_with("record_answer")).collect();
    assert_eq!(recorded.len(), 6, "{recorded:#?}");
    assert!(call.calls.contains(&r#"record_answer {"field":"budget","value":"around ninety lakhs"}"#.to_owned()));
}

#[test]
fn notes_come_both_with_words_and_alone() {
    let mut call = Rehearsal::new("", tools());
    call.model();
    for line in ["yes", "to invest", "fifty lakhs", "next year"] {
        call.hear(line);
    }
    let made: Vec<bool> = call
        .conversation
        .messages
        .iter()
        .filter(|message| !message.calls.is_empty())
        .map(|message| message.text.is_empty())
        .collect();
    assert!(made.contains(&true) && made.contains(&false), "{made:?}");
}

#[test]
fn several_answers_in_one_breath_are_not_asked_again() {
    let mut call = Rehearsal::new("", tools());
    call.model();
    let next = call.hear("Yes, I want a two bedroom flat in Whitefield for my family, budget is 90 lakhs");
    assert!(next.contains("When are you planning"), "{next}");
    assert_eq!(call.calls.len(), 4, "{:#?}", call.calls);
    assert!(call.hear("Next month").contains("site visit"));
}

#[test]
fn what_the_lead_record_says_is_confirmed_and_a_no_asks_again() {
    let prompt = "You are Asha.\n\n# Facts about the person\n- location: \"Hebbal\"\n- budget: \"80 lakhs\"\n";
    let mut call = Rehearsal::new(prompt, tools());
    call.model();
    call.hear("yes");
    assert_eq!(call.hear("to live in"), "That is good to know. I see your budget is 80 lakhs. Is that still right?");
    assert!(call.hear("Yes that's right").contains("When are you"));
    assert!(call.hear("in six months").contains("Hebbal. Is that still right?"));
    let again = call.hear("No.");
    assert!(again.contains("Which area"), "{again}");
    assert!(call.hear("Indiranagar").contains("type of property"));
    assert!(
        call.calls.iter().any(|call| call.contains("80 lakhs"))
            && call.calls.iter().any(|call| call.contains("Indiranagar")),
        "{:#?}",
        call.calls
    );
}

#[test]
fn somebody_who_wants_no_calls_is_marked_and_left_alone() {
    let mut call = Rehearsal::new("", tools());
    call.model();
    assert_eq!(call.hear("Don't call me again, please."), lines::DO_NOT_CALL);
    let names: Vec<&str> = call.calls.iter().map(|call| call.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["mark_do_not_call", "end_call"]);
}

#[test]
fn a_busy_person_is_called_when_they_say() {
    let mut call = Rehearsal::new("", tools());
    call.model();
    assert_eq!(call.hear("I am driving right now"), lines::ASK_CALLBACK_TIME);
    assert_eq!(call.hear("Tomorrow after 6 pm"), "Sure, I will call you back tomorrow after 6 pm. Thank you, goodbye.");
    assert!(
        call.calls.contains(&r#"schedule_callback {"note":null,"when":"tomorrow after 6 pm"}"#.to_owned()),
        "{:#?}",
        call.calls
    );
    assert!(call.ended);

    let mut call = Rehearsal::new("", tools());
    call.model();
    assert!(call.hear("I'm busy, call me tomorrow evening").contains("tomorrow evening"));
    assert!(call.ended);
}

#[test]
fn no_at_the_greeting_means_another_time() {
    let mut call = Rehearsal::new("", vec![]);
    call.model();
    assert_eq!(call.hear("No, not now"), lines::ASK_CALLBACK_TIME);
}

#[test]
fn who_is_this_is_answered_before_the_next_question() {
    let mut call = Rehearsal::new("You are Meera, an AI assistant of Green Acres.", vec![]);
    call.model();
    let line = call.hear("Who is this?");
    assert!(line.starts_with("I am Meera, an AI assistant from Green Acres") && line.contains("live in"), "{line}");
}

#[test]
fn a_refusal_is_questioned_once_and_then_accepted() {
    let mut call = Rehearsal::new("", tools());
    call.model();
    assert_eq!(call.hear("I'm not interested"), lines::TIMING_OR_PROPERTY);
    assert_eq!(call.hear("No, I just don't need it"), lines::NOT_INTERESTED);
    assert!(call.ended && call.calls.last().unwrap().contains("not_interested"));
}

#[test]
fn a_wrong_number_ends_politely() {
    let mut call = Rehearsal::new("", tools());
    call.model();
    assert_eq!(call.hear("Sorry, wrong number"), lines::WRONG_NUMBER);
    assert!(call.ended);
}

#[test]
fn an_unclear_answer_is_asked_for_once_more_and_then_left() {
    let mut call = Rehearsal::new("", vec![]);
    call.model();
    call.hear("yes");
    assert!(call.hear("hmm").contains("for yourself"));
    assert!(call.hear("hmm").contains("budget"));
    assert!(call.hear("I don't know yet").contains("When are you"));
}

#[test]
fn please_repeat_repeats_the_line() {
    let mut call = Rehearsal::new("", vec![]);
    call.model();
    let line = call.hear("yes");
    assert_eq!(call.hear("Sorry, can you repeat that?"), line);
}

#[test]
fn options_of_the_playbook_are_used_as_values() {
    let prompt = "# What to find out\n- purpose: why (one of: own_use, investment, rent)\n- site_visit: day\n";
    let mut call = Rehearsal::new(prompt, tools());
    call.model();
    call.hear("yes");
    call.hear("For my family, to live in");
    assert!(call.calls.iter().any(|call| call.contains(r#""value":"own_use""#)), "{:#?}", call.calls);
}

#[test]
fn the_same_request_has_the_same_answer_and_a_forced_tool_is_called() {
    let mut call = Rehearsal::new("", tools());
    call.model();
    call.say(Role::User, "yes", vec![]);
    assert_eq!(reply(&call.conversation), reply(&call.conversation));
    call.conversation.choice = Choice::Named("schedule_callback".into());
    assert_eq!(reply(&call.conversation).calls[0].name, "schedule_callback");
    call.conversation.choice = Choice::None;
    assert!(reply(&call.conversation).calls.is_empty());
}

#[test]
fn a_caller_who_is_told_to_go_on_repeats_the_question_that_was_cut_off() {
    let message = |role, text: &str| Message { role, text: text.into(), calls: vec![] };
    let mut conversation = Rehearsal::new("You are Asha.", tools()).conversation;
    conversation.messages.extend([
        message(Role::Assistant, "Hello, is this a good time to talk?"),
        message(Role::User, "Yes, go ahead."),
        message(Role::Assistant, "Thank you. Are you looking for a home to live in, or —"),
        message(Role::System, "The line had dropped and is back."),
    ]);
    let text = reply(&conversation).text;
    assert!(text.contains("to live in") && text.ends_with('?'), "{text}");
}
