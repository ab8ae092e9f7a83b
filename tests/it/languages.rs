//! An agent that was made for English meets people who speak something else: it follows them into it, begins in the language that
//! the list gives, and stays there.

use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, TestApp};

const GEETA: Lead = Lead { name: "Geetanjali", phone: "+919999900171" };
const LAKSHMAN: Lead = Lead { name: "Lakshman", phone: "+919999900172" };
const KAVITHA: Lead = Lead { name: "Kavitha", phone: "+919999900173" };

/// Names, and words that everybody uses, are in Latin letters in Hindi, too.
fn is_hindi(text: &Value) -> bool {
    text.as_str().unwrap().contains(|c| ('\u{900}'..='\u{97f}').contains(&c))
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_answers_in_hindi_is_greeted_again_and_qualified_in_hindi() {
    let app = TestApp::start().await;
    let settings = json!({"language": "en-IN", "languages": ["hi-IN"]});
    let (status, agent) = app.post("/voice-agents", json!({"name": "Follows", "settings": settings})).await;
    assert_eq!(status, 201, "{agent}");
    let campaign = app.create_campaign(json!({"voice_agent_id": agent["id"], "max_attempts_per_lead": 1})).await;
    // Their usual answers to everything, in Hindi.
    let script = json!({"name": "hindi", "language": "hi",
        "attempts": [[{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "converse"}]]});
    app.script(GEETA.phone, script).await;
    app.upload(campaign, &[GEETA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, Duration::from_secs(150)).await;

    let calls = app.carrier_calls().await;
    let heard: Vec<&Value> = calls[0]["heard"].as_array().unwrap().iter().map(|line| &line["text"]).collect();
    let greetings: Vec<bool> =
        heard.iter().filter(|line| line.to_string().contains(GEETA.name)).map(|line| is_hindi(line)).collect();
    assert_eq!(greetings, [false, true], "greeted in English, and again in Hindi: {heard:?}");

    let call = app.only_call(campaign).await;
    let turns = call["transcript"].as_array().unwrap();
    assert!(turns.len() > 12 && turns[1..].iter().all(|turn| is_hindi(&turn["text"])), "{call}");
    assert_eq!(call["disposition"], "qualified", "{call}");
    let lead = app.get(&format!("/campaigns/{campaign}/leads")).await["leads"][0].clone();
    assert_eq!((&lead["language"], &lead["disposition"]), (&json!("hi-IN"), &json!("qualified")), "{lead}");
    app.finish().await;
}

/// One call of a lead with a language of their own, and the lead afterwards.
async fn called_in(app: &TestApp, lead: Lead, language: &str, settings: Value, script: Value) -> (Value, Value) {
    let (status, agent) = app.post("/voice-agents", json!({"name": "Speaks", "settings": settings})).await;
    assert_eq!(status, 201, "{agent}");
    let campaign = app.create_campaign(json!({"voice_agent_id": agent["id"], "max_attempts_per_lead": 1})).await;
    app.script(lead.phone, json!({"name": "story", "attempts": [script]})).await;
    let csv = format!("name,phone,language\n{},{},{language}\n", lead.name, lead.phone);
    let (status, answer) = app.upload_file(campaign, "leads.csv", csv.into_bytes()).await;
    assert!(status.is_success(), "{answer}");
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, Duration::from_secs(120)).await;
    let lead = app.get(&format!("/campaigns/{campaign}/leads")).await["leads"][0].clone();
    (app.only_call(campaign).await, lead)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_who_says_yes_in_a_hindi_call_is_not_taken_for_english() {
    let app = TestApp::start().await;
    let script = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent", "max_ms": 25_000},
        {"do": "say", "text": "Yes."}, {"do": "wait_for_agent", "max_ms": 25_000}, {"do": "hang_up"}]);
    let (call, lead) = called_in(&app, LAKSHMAN, "Hindi", json!({"language": "en-IN"}), script).await;
    let turns = call["transcript"].as_array().unwrap();
    assert!(
        turns.iter().any(|turn| turn["role"] == "callee" && turn["text"].as_str().unwrap().contains("Yes")),
        "{call}"
    );
    assert!(turns.iter().filter(|turn| turn["role"] == "agent").all(|turn| is_hindi(&turn["text"])), "{call}");
    let greetings = turns.iter().filter(|turn| turn["text"].to_string().contains(LAKSHMAN.name)).count();
    assert_eq!(greetings, 1, "greeted once: {call}");
    assert_eq!(lead["language"], "Hindi", "as the list has it: {lead}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tamil_lead_is_heard_and_spoken_to_by_whom_tamil_reaches_and_never_called_again_if_they_say_so() {
    let app = TestApp::start().await;
    let script = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent", "max_ms": 8000},
        {"do": "say", "text": "எனக்கு வீடு வேண்டாம்."}, {"do": "wait_for_agent", "max_ms": 8000},
        {"do": "say", "text": "எனக்கு இனி போன் பண்ணாதீங்க."}, {"do": "wait_for_agent", "max_ms": 8000}, {"do": "hang_up"}]);
    // Deepgram is the installation's ear, and hears no Tamil.
    let settings = json!({"language": "en-IN", "tts": {"provider": "sarvam"}});
    let (call, lead) = called_in(&app, KAVITHA, "Tamil", settings, script).await;
    let turns = call["transcript"].as_array().unwrap();
    let greeting = turns[0]["text"].as_str().unwrap();
    assert!(greeting.starts_with("வணக்கம்") && greeting.contains(KAVITHA.name), "{call}");
    let said: Vec<&str> =
        turns.iter().filter(|turn| turn["role"] == "callee").filter_map(|turn| turn["text"].as_str()).collect();
    assert!(said.join(" ").contains("எனக்கு வீடு வேண்டாம்"), "{call}");
    assert!(app.logged(Some("deepgram"), "stream.opened").is_empty(), "nobody who hears no Tamil was asked to");
    assert_eq!((&call["disposition"], &lead["language"]), (&json!("do_not_call"), &json!("Tamil")), "{call}");
    let listed: i64 = sqlx::query_scalar("select count(*) from do_not_call").fetch_one(&app.db).await.unwrap();
    assert_eq!(listed, 1, "{call}");
    app.finish().await;
}
