//! An agent that was made for English meets somebody who answers in Hindi, and follows them into it.

use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, TestApp};

const GEETA: Lead = Lead { name: "Geetanjali", phone: "+919999900171" };

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
