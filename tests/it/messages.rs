//! Somebody asks for a text message, and gets it once.

use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, Setup, TestApp, eventually};

const MEERA: Lead = Lead { name: "Meera", phone: "+919999900171" };

/// A call in which the details are asked for twice; what the carrier was asked to send, and the messages' rows.
async fn asks_for_details(carrier: &str, request: &str) -> (Vec<Value>, Vec<(String, Option<String>)>) {
    let environment = [("EXOTEL_DLT_ENTITY_ID", "1101"), ("EXOTEL_SMS_SENDER", "TRUNKL")];
    let app = TestApp::start_as(Setup { environment: &environment, ..Setup::default() }).await;
    app.choose_carrier(carrier).await;
    let messages = json!([{"name": "brochure", "description": "the project's brochure", "dlt_template_id": "1107",
        "text": "Hello {name}, the brochure you asked for: https://example.com/b"}]);
    let (status, agent) = app.post("/voice-agents", json!({"name": "Texts", "settings": {"messages": messages}})).await;
    assert_eq!(status, 201, "{agent}");
    app.script(
        MEERA.phone,
        json!({"name": "story", "attempts": [[
            {"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
            {"do": "say", "text": "Please send me the brochure."}, {"do": "wait_for_agent"},
            {"do": "say", "text": "Please send me the brochure on WhatsApp."}, {"do": "wait_for_agent"}, {"do": "hang_up"}
        ]]}),
    )
    .await;
    let campaign = app.create_campaign(json!({"voice_agent_id": agent["id"], "max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[MEERA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, Duration::from_secs(90)).await;
    let rows = eventually(Duration::from_secs(30), || async {
        let rows: Vec<(String, Option<String>)> =
            sqlx::query_as("select status, reason from messages where direction = 'outbound'")
                .fetch_all(&app.db)
                .await
                .unwrap();
        if rows.iter().any(|(status, _)| status == "queued" || status == "sending" || status == "sent")
            || rows.is_empty()
        {
            Err(format!("{rows:?}"))
        } else {
            Ok(rows)
        }
    })
    .await;
    let requests = app.logged(None, request).into_iter().map(|entry| entry.data).collect();
    let call = app.only_call(campaign).await;
    let events: Vec<&str> =
        call["events"].as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
    for kind in ["message_requested", "message_sent", "message_delivered"] {
        assert!(events.contains(&kind), "{events:?}");
    }
    assert!(!call["events"].to_string().contains("example.com"), "events hold no text");
    app.finish().await;
    (requests, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brochure_that_is_asked_for_twice_is_texted_once_through_exotel() {
    let (requests, rows) = asks_for_details("exotel", "request.sms").await;
    let [request] = &requests[..] else { panic!("{requests:?}") };
    let fields = request["fields"].to_string();
    for part in ["Hello Meera, the brochure you asked for", "1101", "1107", "TRUNKL", "transactional"] {
        assert!(fields.contains(part), "{part} is missing in {fields}");
    }
    assert_eq!(rows, [("delivered".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brochure_that_is_asked_for_twice_is_texted_once_through_twilio() {
    let (requests, rows) = asks_for_details("twilio", "request.message").await;
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert!(request["fields"].to_string().contains("Hello Meera, the brochure you asked for"), "{request}");
    assert_eq!(rows, [("delivered".to_owned(), None)]);
}
