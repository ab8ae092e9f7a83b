//! One model hears and speaks in place of transcriber, language model and voice, and nothing behind the call knows of it.

use std::time::Duration;

use serde_json::{Value, json};

use sandbox::log::Filter;
use tests::harness::{Lead, TestApp, eventually};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900101" };
const MINUTES: Duration = Duration::from_secs(150);
const SERVICE: &str = "openai_realtime";

fn plain(text: &str) -> Vec<String> {
    let bare =
        |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
}

fn logged(app: &TestApp, service: &str, kind: &str) -> Vec<Value> {
    let filter = Filter { service: Some(service.into()), kind: Some(kind.into()), ..Filter::default() };
    app.world.world.log.entries(&filter).into_iter().map(|entry| entry.data).collect()
}

/// Tells what they are asked.
fn interested() -> Value {
    json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "converse", "answers": {
        "purpose": "It is for my own family to live in.",
        "budget": "Around eighty lakh.",
        "timeline": "Within three months.",
        "location": "Whitefield would be best.",
        "property_type": "A two bedroom apartment.",
        "site_visit": "Yes, Saturday works."
    }}])
}

/// A campaign of one lead whose voice agent is one model; `agent` overrides its settings.
async fn calling(app: &TestApp, agent: Value, attempt: Value) -> i64 {
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [attempt]})).await;
    let mut settings =
        json!({"speech_to_speech": {"provider": "openai", "model": "gpt-realtime-2.1", "voice": "marin"}});
    settings.as_object_mut().unwrap().extend(agent.as_object().unwrap().clone());
    let (status, made) = app.post("/voice-agents", json!({"name": "One model", "settings": settings})).await;
    assert!(status.is_success(), "{status} {made}");
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1, "voice_agent_id": made["id"]})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    campaign
}

async fn finished(app: &TestApp, campaign: i64) -> Value {
    app.campaign_completes(campaign, MINUTES).await;
    assert_eq!(app.carrier_calls().await.len(), 1, "the phone rang once");
    let list = app.get(&format!("/calls?campaign_id={campaign}")).await;
    app.get(&format!("/calls/{}", list["calls"][0]["id"])).await
}

fn lines(call: &Value, role: &str) -> Vec<String> {
    let turns = call["transcript"].as_array().unwrap();
    turns.iter().filter(|turn| turn["role"] == role).map(|turn| turn["text"].as_str().unwrap().to_owned()).collect()
}

fn events(call: &Value, kind: &str) -> usize {
    call["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind).count()
}

fn used(call: &Value, unit: &str) -> (i64, Option<f64>) {
    let lines = call["costs"]["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["unit"] == unit && line["model"] == "gpt-realtime-2.1");
    line.map_or((0, None), |line| (line["quantity"].as_i64().unwrap(), line["cost"].as_f64()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_qualified_by_one_model_that_hears_and_speaks() {
    let app = TestApp::start().await;
    let campaign = calling(&app, json!({}), interested()).await;
    let call = finished(&app, campaign).await;
    assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("completed"), &json!("agent_finished")), "{call}");
    assert_eq!(call["disposition"], "qualified", "{call}");
    let answers = call["collected"].as_object().or(call["answers"].as_object()).cloned().unwrap_or_default();
    assert!(answers.len() >= 4, "{call}");

    // The transcript is what the other end heard, and what it said.
    let carrier = &app.carrier_calls().await[0];
    let heard: Vec<String> =
        carrier["heard"].as_array().unwrap().iter().flat_map(|line| plain(line["text"].as_str().unwrap())).collect();
    let said: Vec<String> = lines(&call, "agent").iter().flat_map(|line| plain(line)).collect();
    assert_eq!(said, heard, "{call}");
    assert!(lines(&call, "callee").iter().any(|line| plain(line) == plain("Around eighty lakh.")), "{call}");
    assert_eq!(events(&call, "greeting_changed"), 0);
    let first = &call["transcript"][0];
    assert_eq!(first["role"], "agent", "{call}");

    let (heard, cost) = used(&call, "audio_input_token");
    assert!(heard > 50 && cost.is_some(), "{call}");
    assert!(used(&call, "audio_output_token").0 > 100 && used(&call, "llm_cached_token").0 > 100, "{call}");
    assert_eq!(call["costs"]["unpriced_lines"], 0, "{call}");
    assert!(logged(&app, "deepgram", "stream.opened").is_empty(), "nobody else hears");
    assert!(logged(&app, "elevenlabs", "socket.opened").is_empty(), "nobody else speaks");
    app.finish().await;
}
