//! A machine picks up.

use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, TestApp, jingle};

const KARAN: Lead = Lead { name: "Karan", phone: "+919999900161" };

async fn called(app: &TestApp, campaign: Value, greeting: &str) -> (Value, Value) {
    let id = app.create_campaign(campaign).await;
    called_by(app, id, greeting).await
}

async fn called_by(app: &TestApp, id: i64, greeting: &str) -> (Value, Value) {
    app.script(
        KARAN.phone,
        json!({"name": "story", "attempts": [[
            {"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "voicemail", "greeting": greeting, "beep_ms": 400, "record_ms": 20_000}
        ]]}),
    )
    .await;
    app.upload(id, &[KARAN]).await;
    app.start_campaign(id).await;
    app.campaign_completes(id, Duration::from_secs(120)).await;
    let call = app.only_call(id).await;
    (call, app.carrier_calls().await[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn voicemail_hears_the_campaigns_message_after_its_beep_and_nothing_else() {
    let app = TestApp::start().await;
    let message = "Hello {name}, Asha from Trunkline will call you again tomorrow.";
    let greeting = "You have reached Karan. Please leave a message after the beep.";
    let settings = json!({"max_attempts_per_lead": 1, "voicemail_message": message});
    let (call, carrier) = called(&app, settings, greeting).await;
    assert_eq!((&call["disposition"], &call["answered_by"]), (&json!("voicemail"), &json!("machine")), "{call}");
    let said_until = carrier["said"][0]["ended_ms"].as_u64().unwrap();
    let after: Vec<&Value> = carrier["heard"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["began_ms"].as_u64() > Some(said_until + 400))
        .collect();
    let texts: String = after.iter().filter_map(|line| line["text"].as_str()).collect::<Vec<_>>().join(" ");
    assert_eq!(texts, "Hello Karan, Asha from Trunkline will call you again tomorrow.", "{carrier}");
    assert_eq!(carrier["end_cause"], "nobody_to_connect", "we hung up: {carrier}");
}

#[tokio::test(flavor = "multi_thread")]
async fn voicemail_hears_the_campaigns_recording_whole_and_the_agent_hangs_up_behind_it() {
    let app = TestApp::start().await;
    let settings =
        json!({"max_attempts_per_lead": 1, "voicemail_message": "This is only spoken without the recording."});
    let id = app.create_campaign(settings).await;
    let file = reqwest::multipart::Part::bytes(jingle()).file_name("Festive offer.wav");
    let url = format!("{}/campaigns/{id}/voicemail-recording", app.api_url);
    let form = reqwest::multipart::Form::new().part("file", file);
    let answer = app.client.put(url).multipart(form).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());

    let greeting = "You have reached Karan. Please leave a message after the beep.";
    let (call, carrier) = called_by(&app, id, greeting).await;
    assert_eq!(
        (&call["disposition"], &call["hangup_cause"]),
        (&json!("voicemail"), &json!("machine_answered")),
        "{call}"
    );
    let last = call["transcript"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["role"], &last["text"]), (&json!("agent"), &json!("[Recording: Festive offer]")), "{call}");
    assert_eq!(last["interrupted"], false, "{call}");

    let greeted_until = carrier["said"][0]["ended_ms"].as_i64().unwrap();
    let played: Vec<(i64, i64)> = serde_json::from_value(carrier["streams"][0]["agent"]["spans"].clone()).unwrap();
    let (from, to) = *played.last().unwrap();
    assert!(from > greeted_until + 400, "after the beep: {carrier}");
    assert!((to - from - 3_000).abs() < 150, "all of it: {played:?}");
    assert_eq!(carrier["end_cause"], "nobody_to_connect", "we hung up: {carrier}");
    let closed_at = chrono::DateTime::parse_from_rfc3339(carrier["streams"][0]["closed_at"].as_str().unwrap()).unwrap();
    let opened_at = chrono::DateTime::parse_from_rfc3339(carrier["streams"][0]["opened_at"].as_str().unwrap()).unwrap();
    assert!((closed_at - opened_at).num_milliseconds() < to + 2_500, "and did not wait: {carrier}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_networks_announcement_is_hung_up_on() {
    let app = TestApp::start().await;
    let announcement = "The number you are calling is switched off. Please try again later.";
    let (call, carrier) = called(&app, json!({"max_attempts_per_lead": 1}), announcement).await;
    assert_eq!(call["disposition"], "voicemail", "{call}");
    let ended = carrier["streams"][0]["duration_secs"].as_u64().unwrap();
    assert!(ended < 12, "{carrier}");
}
