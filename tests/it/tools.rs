//! The agent asks an address of the account's own, in the middle of a call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use shared::signature;

use tests::harness::{Lead, Setup, TestApp, eventually};

const RAVI: Lead = Lead { name: "Ravi", phone: "+919999900161" };

type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn note(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> &'static str {
    seen.lock().unwrap().push((headers, body));
    "Yes, flat three is still free."
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_the_model_cannot_answer_is_answered_by_the_accounts_own_service() {
    let seen = Seen::default();
    let service = axum::Router::new().route("/stock", axum::routing::post(note)).with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stock", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, service).await });

    let app = TestApp::start_as(Setup { environment: &[("PRIVATE_TOOLS", "true")], ..Setup::default() }).await;
    let tool = json!({"name": "check_availability", "description": "Whether a flat is still free.", "url": url,
        "arguments": [{"name": "flat", "description": "its number"}]});
    let (status, agent) = app.post("/voice-agents", json!({"name": "With stock", "settings": {"tools": [tool]}})).await;
    assert_eq!(status, 201, "{agent}");
    app.script(
        RAVI.phone,
        json!({"name": "story", "attempts": [[
            {"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
            {"do": "say", "text": "Is flat three still available?"}, {"do": "wait_for_agent"}, {"do": "hang_up"}
        ]]}),
    )
    .await;
    let campaign = app.create_campaign(json!({"voice_agent_id": agent["id"], "max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[RAVI]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, Duration::from_secs(90)).await;

    let heard = eventually(Duration::from_secs(10), || async {
        let calls = app.carrier_calls().await;
        let heard = calls[0]["heard"].to_string();
        if heard.contains("flat three is still free") { Ok(heard) } else { Err(heard) }
    })
    .await;
    assert!(!heard.contains("advisor will be happy"), "{heard}");
    let seen = seen.lock().unwrap().clone();
    let [(headers, body)] = &seen[..] else { panic!("asked {} times", seen.len()) };
    let secret = app.get("/account/tool-secret").await["tool_secret"].as_str().unwrap().to_owned();
    assert_eq!(headers["x-trunkline-signature"], signature::of(&secret.into(), body).as_str());
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        (&body["tool"], &body["call"]["lead"]["name"]),
        (&json!("check_availability"), &json!("Ravi")),
        "{body}"
    );
    app.finish().await;
}
