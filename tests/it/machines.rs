//! A machine picks up.

use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, TestApp};

const KARAN: Lead = Lead { name: "Karan", phone: "+919999900161" };

async fn called(app: &TestApp, campaign: Value, greeting: &str) -> (Value, Value) {
    app.script(
        KARAN.phone,
        json!({"name": "story", "attempts": [[
            {"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "voicemail", "greeting": greeting, "beep_ms": 400, "record_ms": 20_000}
        ]]}),
    )
    .await;
    let id = app.create_campaign(campaign).await;
    app.upload(id, &[KARAN]).await;
    app.start_campaign(id).await;
    app.campaign_completes(id, Duration::from_secs(120)).await;
    let list = app.get(&format!("/calls?campaign_id={id}")).await;
    let call = app.get(&format!("/calls/{}", list["calls"][0]["id"])).await;
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
async fn the_networks_announcement_is_hung_up_on() {
    let app = TestApp::start().await;
    let announcement = "The number you are calling is switched off. Please try again later.";
    let (call, carrier) = called(&app, json!({"max_attempts_per_lead": 1}), announcement).await;
    assert_eq!(call["disposition"], "voicemail", "{call}");
    let ended = carrier["streams"][0]["duration_secs"].as_u64().unwrap();
    assert!(ended < 12, "{carrier}");
}
