//! A human asks for a human.

use std::time::Duration;

use serde_json::{Value, json};

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
    // The applet plays to both of them, or to the advisor's phone: it is told the name, and nothing that the human has not said.
    let played = app.logged(Some("exotel"), "dial.played");
    assert_eq!(
        (&played[0].data["playback_to"], &played[0].data["text"]),
        (&json!("both"), &json!("You are connected now."))
    );

    let whole = app.get(&format!("/calls/{}", call["id"])).await;
    let events: Vec<&str> =
        whole["events"].as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
    assert!(events.contains(&"transfer_requested") && events.contains(&"transferred"), "{events:?}");
    assert!(events.contains(&"transfer_dialed") && !events.contains(&"transfer_failed"), "{events:?}");
    app.campaign_completes(campaign, Duration::from_secs(120)).await;
}

/// A campaign whose only lead asks for a human.
async fn asking_for_a_human(app: &TestApp, carrier: &str, advisors: &[&str]) -> i64 {
    app.choose_carrier(carrier).await;
    let settings = json!({"transfer_to": advisors});
    let (_, agent) = app.post("/voice-agents", json!({"name": "With advisors", "settings": settings})).await;
    let asks = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"}, {"do": "dtmf", "digits": "0"},
        {"do": "wait_for_agent"}, {"do": "stay_silent", "ms": 20_000}]);
    app.script(ASHOK.phone, json!({"name": "story", "attempts": [asks]})).await;
    let campaign = app.create_campaign(json!({"voice_agent_id": agent["id"], "max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[ASHOK]).await;
    campaign
}

/// The kinds of what happened in a call.
fn happened(call: &Value) -> Vec<&str> {
    call["events"].as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect()
}

async fn nobody_picks_up(carrier: &str) -> Value {
    let app = TestApp::start().await;
    let campaign = asking_for_a_human(&app, carrier, &["+919811100001", "+919811100002"]).await;
    app.fault(json!({"name": "advisor_unreachable", "count": 2, "value": "busy"})).await;
    app.start_campaign(campaign).await;
    eventually(Duration::from_secs(120), || async {
        let lead = app.get(&format!("/campaigns/{campaign}/leads")).await["leads"][0].take();
        if lead["status"] == "callback_scheduled" { Ok(()) } else { Err(lead.to_string()) }
    })
    .await;
    let rung: Vec<Value> = app.logged(Some(carrier), "dial.unanswered").into_iter().map(|entry| entry.data).collect();
    assert_eq!(rung.len(), 2, "{rung:?}");
    let (carrier, call) = (app.carrier_calls().await, app.only_call(campaign).await);
    let events = happened(&call);
    assert!(events.contains(&"transfer_failed") && !events.contains(&"transferred"), "{events:?}");
    assert_eq!((&call["status"], &call["disposition"]), (&json!("completed"), &json!("callback_requested")), "{call}");
    let first = carrier[0].clone();
    // Tomorrow's call still waits.
    app.discard().await;
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reaches_no_advisor_is_called_back() {
    let carrier = nobody_picks_up("exotel").await;
    assert_eq!(carrier["end_cause"], "nobody_answered", "{carrier}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reaches_no_advisor_through_twilio_hears_so_and_is_called_back() {
    let carrier = nobody_picks_up("twilio").await;
    let heard: Vec<&str> =
        carrier["heard"].as_array().unwrap().iter().filter_map(|line| line["text"].as_str()).collect();
    assert!(heard.iter().any(|line| line.contains("nobody could take the call")), "{heard:?}");
    assert_eq!(carrier["end_cause"], "agent_hung_up", "{carrier}");
}

#[tokio::test(flavor = "multi_thread")]
async fn advisors_are_rung_one_after_the_other_and_the_first_to_pick_up_is_told() {
    for carrier in ["exotel", "twilio"] {
        let app = TestApp::start().await;
        let campaign = asking_for_a_human(&app, carrier, &["+919811100001", "+919811100002", "+919811100003"]).await;
        app.fault(json!({"name": "advisor_unreachable", "match": "9811100001"})).await;
        app.start_campaign(campaign).await;
        app.campaign_completes(campaign, Duration::from_secs(150)).await;
        let rung: Vec<String> =
            app.logged(Some(carrier), "dial.ringing").iter().map(|entry| entry.data["numbers"].to_string()).collect();
        assert_eq!(rung.len(), 2, "{rung:?}");
        assert!(rung[0].contains("9811100001") && rung[1].contains("9811100002"), "{rung:?}");
        let call = app.only_call(campaign).await;
        let events = happened(&call);
        assert_eq!(events.iter().filter(|kind| **kind == "transferred").count(), 1, "{events:?}");
        assert_ne!(call["disposition"], "callback_requested", "{call}");
        app.finish().await;
    }
}
