//! A human asks for a human.

use std::time::Duration;

use serde_json::json;

use tests::harness::{Lead, TestApp, eventually};

const ASHOK: Lead = Lead { name: "Ashok", phone: "+919999900151" };

#[tokio::test(flavor = "multi_thread")]
async fn a_zero_on_the_phone_connects_the_advisor_and_the_call_counts_as_transferred() {
    let app = TestApp::start().await;
    let (_, agent) = app
        .post(
            "/voice-agents",
            json!({"name": "With advisors", "settings": {"transfer_to": ["+919811100001", "080 4718 0001"]}}),
        )
        .await;
    assert_eq!(agent["settings"]["transfer_to"], json!(["+919811100001", "+918047180001"]), "{agent}");
    app.script(
        ASHOK.phone,
        json!({"name": "story", "attempts": [[
            {"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"}, {"do": "dtmf", "digits": "0"},
            {"do": "wait_for_agent"}, {"do": "stay_silent", "ms": 20_000}
        ]]}),
    )
    .await;
    let campaign = app.create_campaign(json!({"voice_agent_id": agent["id"]})).await;
    app.upload(campaign, &[ASHOK]).await;
    app.start_campaign(campaign).await;

    let call = eventually(Duration::from_secs(60), || async {
        let list = app.get(&format!("/calls?campaign_id={campaign}")).await;
        let call = list["calls"][0].clone();
        if call["status"] == "transferred" { Ok(call) } else { Err(list.to_string()) }
    })
    .await;
    let carrier = eventually(Duration::from_secs(30), || async {
        let calls = app.carrier_calls().await;
        if calls[0]["transferred_to"].is_null() { Err(calls[0].to_string()) } else { Ok(calls) }
    })
    .await;
    assert_eq!(carrier[0]["transferred_to"], json!(["09811100001", "08047180001"]), "{}", carrier[0]);
    let heard = carrier[0]["heard"].as_array().unwrap();
    assert!(heard.iter().any(|line| line["text"] == "One moment please, I am connecting you."), "{heard:?}");

    let whole = app.get(&format!("/calls/{}", call["id"])).await;
    let events: Vec<&str> =
        whole["events"].as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
    assert!(events.contains(&"transfer_requested") && events.contains(&"transferred"), "{events:?}");
    app.campaign_completes(campaign, Duration::from_secs(120)).await;
}
