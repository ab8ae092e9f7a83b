//! A provider fails in the middle of a call: the second choice goes on, no word is lost and none is said twice, and the call tells
//! what it used of whom.

use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, Setup, TestApp, eventually, lines, words};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900101" };
const LINE: &str = "Yes, I am looking for a two bedroom flat in Whitefield.";
const MINUTES: Duration = Duration::from_secs(150);

async fn app() -> TestApp {
    let environment = [
        ("STT_FALLBACK", "sarvam"),
        ("LLM_FALLBACK", "anthropic/claude-haiku-5-5"),
        ("TTS_FALLBACK", "sarvam/bulbul:v3@shubh"),
    ];
    TestApp::start_as(Setup { environment: &environment, ..Setup::default() }).await
}

/// Plays one call. `faults` are armed once the provider's socket of that call has been opened (`service`, `kind` in the sandbox's log).
async fn call_that_breaks(app: &TestApp, opened: (&str, &str), faults: &[Value]) -> Value {
    let script = json!({"name": "patient", "attempts": [[{"do": "ring", "ms": 300}, {"do": "answer"},
        {"do": "wait_for_agent", "max_ms": 6000}, {"do": "say", "text": LINE}, {"do": "converse", "turns": 3}, {"do": "hang_up"}]]});
    app.script(PRIYA.phone, script).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    eventually(Duration::from_secs(60), || async {
        if app.logged(Some(opened.0), opened.1).is_empty() { Err("no socket yet".into()) } else { Ok(()) }
    })
    .await;
    for fault in faults {
        app.fault(fault.clone()).await;
    }
    app.campaign_completes(campaign, MINUTES).await;
    let call = app.only_call(campaign).await;
    assert_eq!(call["status"], "completed", "{call}");
    let cause = call["hangup_cause"].as_str().unwrap_or_default();
    assert!(!cause.ends_with("unavailable"), "{call}");
    call
}

/// The one event of a change, as (part, from, to).
fn change(call: &Value) -> (String, String, String) {
    let events = call["events"].as_array().unwrap();
    let changes: Vec<&Value> = events.iter().filter(|event| event["kind"] == "provider_failed_over").collect();
    assert_eq!(changes.len(), 1, "{call}");
    let text = |name: &str| changes[0]["data"][name].as_str().unwrap().to_owned();
    (text("part"), text("from"), text("to"))
}

fn said_by(call: &Value, role: &str) -> Vec<String> {
    lines(call, role).iter().flat_map(|line| words(line)).collect()
}

/// The quantity that the ledger has for this provider and unit.
fn used(call: &Value, provider: &str, unit: &str) -> i64 {
    let lines = call["costs"]["lines"].as_array().unwrap().iter();
    lines
        .filter(|line| line["provider"] == provider && line["unit"] == unit)
        .filter_map(|line| line["quantity"].as_i64())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_ears_fail_in_mid_sentence_the_second_ones_hear_all_of_it() {
    let app = app().await;
    let faults = [
        json!({"name": "deepgram.cut", "value": 900}),
        json!({"name": "deepgram.refuse", "count": 1000, "value": 503}),
    ];
    let call = call_that_breaks(&app, ("deepgram", "stream.opened"), &faults).await;
    assert_eq!(change(&call), ("stt".into(), "deepgram".into(), "sarvam".into()));
    let heard = said_by(&call, "callee").join(" ");
    let line = words(LINE).join(" ");
    assert_eq!(heard.matches(&line).count(), 1, "not once and whole: {heard}");
    assert!(
        used(&call, "deepgram", "stt_millisecond") > 500 && used(&call, "sarvam", "stt_millisecond") > 500,
        "{call}"
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ears_that_stay_open_and_fall_silent_are_replaced() {
    let app = app().await;
    let call =
        call_that_breaks(&app, ("deepgram", "stream.opened"), &[json!({"name": "deepgram.stall", "count": 1000})])
            .await;
    assert_eq!(change(&call), ("stt".into(), "deepgram".into(), "sarvam".into()));
    assert!(!app.logged(Some("sarvam"), "transcript.final").is_empty());
    assert!(!said_by(&call, "callee").is_empty(), "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ears_that_make_no_words_of_a_human_who_speaks_are_replaced_and_the_second_ones_hear_what_was_said() {
    let app = app().await;
    let call =
        call_that_breaks(&app, ("deepgram", "stream.opened"), &[json!({"name": "deepgram.deaf", "count": 1000})]).await;
    assert_eq!(change(&call), ("stt".into(), "deepgram".into(), "sarvam".into()));
    let asked_again =
        call["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "nothing_understood").count();
    assert_eq!(asked_again, 2, "{call}");
    assert!(!said_by(&call, "callee").is_empty(), "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_refused_one_call_does_not_delay_the_next() {
    let app = app().await;
    app.fault(json!({"name": "elevenlabs.refuse", "count": 1000, "value": 401})).await;
    let mut changes = Vec::new();
    for lead in [PRIYA, Lead { name: "Meenakshi", phone: "+919999900102" }] {
        let script = json!({"name": "patient", "attempts": [[{"do": "ring", "ms": 300}, {"do": "answer"},
            {"do": "wait_for_agent", "max_ms": 6000}, {"do": "converse", "turns": 1}, {"do": "hang_up"}]]});
        app.script(lead.phone, script).await;
        let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
        app.upload(campaign, &[lead]).await;
        app.start_campaign(campaign).await;
        app.campaign_completes(campaign, MINUTES).await;
        let call = app.only_call(campaign).await;
        assert!(!said_by(&call, "agent").is_empty(), "{call}");
        let events = call["events"].as_array().unwrap().iter();
        changes.push(events.filter(|event| event["kind"] == "provider_failed_over").count());
    }
    assert_eq!(changes, [1, 0], "the second call asks Sarvam first");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_mind_fails_the_second_one_answers_the_same_question() {
    let app = app().await;
    let faults = [json!({"name": "openai.refuse", "count": 1000, "match": "campaign-", "value": 503})];
    let call = call_that_breaks(&app, ("deepgram", "stream.opened"), &faults).await;
    assert_eq!(change(&call), ("llm".into(), "openai".into(), "anthropic".into()));
    assert!(said_by(&call, "agent").len() > 20, "more than the greeting: {call}");
    let kinds = call["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "reply_failed").count();
    assert_eq!(kinds, 0, "the human need not have noticed: {call}");
    assert!(!app.logged(Some("anthropic"), "message.answered").is_empty());
    assert!(
        used(&call, "anthropic", "llm_input_token") > 100 && used(&call, "anthropic", "llm_output_token") > 5,
        "{call}"
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_mind_falls_silent_in_mid_sentence_the_second_one_goes_on() {
    let app = app().await;
    let faults = [json!({"name": "openai.stall", "count": 1000, "match": "campaign-", "value": 2})];
    let call = call_that_breaks(&app, ("deepgram", "stream.opened"), &faults).await;
    assert_eq!(change(&call), ("llm".into(), "openai".into(), "anthropic".into()));
    let cause =
        call["events"].as_array().unwrap().iter().find(|event| event["kind"] == "provider_failed_over").unwrap();
    assert_eq!(cause["data"]["cause"], "timed_out", "{cause}");
    assert!(said_by(&call, "agent").len() > 20, "more than the greeting: {call}");
    assert!(!app.logged(Some("anthropic"), "message.answered").is_empty());
    // What the silent one had read and written is paid for although it never said how much that was.
    assert!(used(&call, "openai", "llm_input_token") > 100, "{}", call["costs"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_behind_its_first_sentence_is_carried_on_by_the_second_mind() {
    // Without drafts, of which nobody had heard anything.
    let environment = [("LLM_FALLBACK", "anthropic/claude-haiku-5-5"), ("LATENCY_OFF", "speculation")];
    let app = TestApp::start_as(Setup { environment: &environment, ..Setup::default() }).await;
    // Far enough for the first words to be on their way to the human. Shorter answers, of calls alone, are not cut.
    let faults = [json!({"name": "openai.cut", "count": 4, "match": "campaign-", "value": 14})];
    let call = call_that_breaks(&app, ("deepgram", "stream.opened"), &faults).await;
    assert_eq!(change(&call), ("llm".into(), "openai".into(), "anthropic".into()));
    let asked = app.logged(Some("anthropic"), "message.asked");
    let first = &asked.first().expect("the rest was asked for").data["body"]["messages"];
    let last = first.as_array().unwrap().last().unwrap();
    assert!(last.to_string().contains("Carry on from there"), "{first}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gemini_notes_an_answer_and_goes_on() {
    let app = TestApp::start_as(Setup { environment: &[("LLM_PROVIDER", "gemini")], ..Setup::default() }).await;
    let call = call_that_breaks(&app, ("deepgram", "stream.opened"), &[]).await;
    assert!(app.logged(Some("openai"), "chat.refused").is_empty(), "{:?}", app.logged(Some("openai"), "chat.refused"));
    let answers = app.logged(Some("openai"), "chat.answered");
    let called =
        answers.iter().filter(|entry| entry.data["calls"].as_array().is_some_and(|calls| !calls.is_empty())).count();
    assert!(called > 0, "an answer of the human's was noted: {answers:?}");
    let shown = app.logged(Some("openai"), "chat.asked");
    assert!(shown.iter().any(|entry| entry.data.to_string().contains("thought_signature")), "signatures go back");
    assert!(used(&call, "gemini", "llm_input_token") > 100, "{}", call["costs"]);
    assert!(lines(&call, "agent").len() >= 3, "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_voice_breaks_the_second_one_says_the_rest() {
    let app = app().await;
    let faults = [
        json!({"name": "elevenlabs.cut", "count": 1, "value": 600}),
        json!({"name": "elevenlabs.refuse", "count": 1000, "value": 401}),
    ];
    let call = call_that_breaks(&app, ("elevenlabs", "socket.opened"), &faults).await;
    assert_eq!(change(&call), ("tts".into(), "elevenlabs".into(), "sarvam".into()));
    let said = said_by(&call, "agent");
    let heard: Vec<String> = app
        .logged(Some("callee"), "heard")
        .iter()
        .flat_map(|entry| words(entry.data["line"]["text"].as_str().unwrap()))
        .collect();
    let mut rest = heard.iter();
    let missing: Vec<&String> = said.iter().filter(|word| !rest.any(|heard| heard == *word)).collect();
    assert!(missing.is_empty(), "not heard in this order: {missing:?}\nsaid {said:?}\nheard {heard:?}");
    // The word in which the voice broke may begin again.
    assert!(heard.len() <= said.len() + 1, "said {said:?}\nheard {heard:?}");
    assert!(used(&call, "elevenlabs", "tts_character") > 10 && used(&call, "sarvam", "tts_character") > 10, "{call}");
    let currencies: Vec<&str> =
        call["costs"]["totals"].as_array().unwrap().iter().filter_map(|total| total["currency"].as_str()).collect();
    assert!(currencies.contains(&"USD") && currencies.contains(&"INR"), "{}", call["costs"]);
    app.finish().await;
}

/// Plays one call of a voice agent with these settings.
async fn call_held_with(app: &TestApp, settings: Value) -> Value {
    let (status, agent) = app.post("/voice-agents", json!({"name": "Other", "settings": settings})).await;
    assert!(status.is_success(), "{agent}");
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1, "voice_agent_id": agent["id"]})).await;
    let script = json!({"name": "patient", "attempts": [[{"do": "ring", "ms": 300}, {"do": "answer"},
        {"do": "wait_for_agent", "max_ms": 6000}, {"do": "say", "text": LINE}, {"do": "converse", "turns": 2}, {"do": "hang_up"}]]});
    app.script(PRIYA.phone, script).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;
    let call = app.only_call(campaign).await;
    let heard = said_by(&call, "callee").join(" ");
    assert!(heard.contains(&words(LINE).join(" ")), "{call}");
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_agent_is_held_with_the_providers_it_names() {
    let app = TestApp::start().await;
    let settings =
        json!({"stt": {"provider": "deepgram_flux"}, "llm": {"provider": "bedrock"}, "tts": {"provider": "deepgram"}});
    let call = call_held_with(&app, settings).await;
    for (service, kind) in [("flux", "transcript.final"), ("anthropic", "message.answered"), ("aura", "text.spoken")] {
        assert!(!app.logged(Some(service), kind).is_empty(), "{service} was not used");
    }
    assert_eq!(call["costs"]["unpriced_lines"], 0, "{}", call["costs"]);
    assert!(used(&call, "exotel", "carrier_minute") >= 1, "{}", call["costs"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_hears_and_speaks_and_sarvam_thinks() {
    let app = TestApp::start().await;
    app.fault(json!({"name": "openai_tts.odd_chunks", "count": 3})).await;
    let settings = json!({"stt": {"provider": "openai"}, "llm": {"provider": "sarvam"}, "tts": {"provider": "openai"}});
    let call = call_held_with(&app, settings).await;
    for (service, kind) in [("openai_live", "transcript.final"), ("openai_tts", "text.spoken")] {
        assert!(!app.logged(Some(service), kind).is_empty(), "{service} was not used");
    }
    for (service, kind) in [("deepgram", "stream.opened"), ("elevenlabs", "socket.opened")] {
        assert!(app.logged(Some(service), kind).is_empty(), "{service} was used");
    }
    assert!(used(&call, "sarvam", "llm_output_token") > 5, "{}", call["costs"]);
    assert!(used(&call, "openai", "stt_millisecond") > 500, "{}", call["costs"]);
    assert!(used(&call, "openai", "tts_character") > 10, "{}", call["costs"]);
    let heard: usize = app.logged(Some("callee"), "heard").len();
    assert!(heard >= 1 && said_by(&call, "agent").len() > 10, "{call}");
    app.finish().await;
}
