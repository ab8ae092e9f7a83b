//! A provider that refuses, stalls, cuts or talks nonsense ends a call politely at worst: the campaign finishes, the phone
//! rang once, and the call says what went wrong.

use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, TestApp, eventually};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900101" };
const MINUTES: Duration = Duration::from_secs(150);

/// A patient callee who answers whatever is asked.
fn patient() -> Value {
    json!({"name": "patient", "attempts": [[{"do": "ring", "ms": 300}, {"do": "answer"},
        {"do": "wait_for_agent", "max_ms": 4000}, {"do": "say", "text": "Yes, I am looking for a flat in Whitefield."},
        {"do": "converse", "turns": 3}, {"do": "hang_up"}]]})
}

/// Plays one call under `fault` and returns it.
async fn call_under(app: &TestApp, fault: Value) -> Value {
    app.script(PRIYA.phone, patient()).await;
    app.fault(fault).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;
    assert_eq!(app.carrier_calls().await.len(), 1, "the phone rang once");
    let call = app.only_call(campaign).await;
    assert_eq!(call["status"], "completed", "{call}");
    call
}

fn agent_said(call: &Value) -> usize {
    call["transcript"].as_array().unwrap().iter().filter(|turn| turn["role"] == "agent").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ears_the_agent_says_so_and_ends_the_call() {
    let app = TestApp::start().await;
    let call = call_under(&app, json!({"name": "deepgram.refuse", "count": 1000, "value": 503})).await;
    assert_eq!(call["hangup_cause"], "transcript_unavailable", "{call}");
    assert!(agent_said(&call) >= 1, "the greeting was heard: {call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_language_model_the_agent_apologises_and_ends_the_call() {
    let app = TestApp::start().await;
    // Only the conversation's requests carry its cache key: the summary still finds its model.
    let fault = json!({"name": "openai.refuse", "count": 1000, "match": "campaign-", "value": 503});
    let call = call_under(&app, fault).await;
    assert_eq!(call["hangup_cause"], "llm_unavailable", "{call}");
    assert!(agent_said(&call) >= 2, "an apology follows the greeting: {call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_voice_the_call_ends_at_once_and_says_why() {
    let app = TestApp::start().await;
    let call = call_under(&app, json!({"name": "elevenlabs.refuse", "count": 1000, "value": 503})).await;
    assert_eq!(call["hangup_cause"], "speech_unavailable", "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_mid_sentence_is_opened_again_and_the_call_goes_on() {
    let app = TestApp::start().await;
    app.fault(json!({"name": "deepgram.cut", "count": 1})).await;
    app.fault(json!({"name": "openai.cut", "count": 1})).await;
    let call = call_under(&app, json!({"name": "elevenlabs.cut", "count": 1})).await;
    let cause = call["hangup_cause"].as_str().unwrap_or_default();
    assert!(!cause.ends_with("unavailable"), "{call}");
    assert!(call["transcript"].as_array().unwrap().iter().any(|turn| turn["role"] == "callee"), "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_from_a_provider_or_the_carrier_is_counted_and_survived() {
    let app = TestApp::start().await;
    for name in ["deepgram.unknown_message", "openai.utf8_split", "elevenlabs.odd_chunks", "bad_frames"] {
        app.fault(json!({"name": name, "count": 1})).await;
    }
    let call = call_under(&app, json!({"name": "openai.bad_json", "count": 1})).await;
    assert!(call["transcript"].as_array().unwrap().len() >= 3, "{call}");
    assert!(
        call["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
        "a bad summary is asked for again: {call}"
    );
    eventually(Duration::from_secs(10), || async {
        let media: String = app
            .client
            .get(format!("http://127.0.0.1:{}/metrics", app.media_port))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        if media.contains("live_calls 0") { Ok(()) } else { Err("a call is still up".into()) }
    })
    .await;
    app.finish().await;
}

/// Calls somebody who lets their phone ring, with a voice agent of these settings: what they speak over must be there before they
/// answer, and be used.
async fn is_connected_while_the_phone_rings(settings: Value, speaks: &str) {
    let app = TestApp::start().await;
    eventually(Duration::from_secs(10), || async {
        let listening: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN \"calls_ringing\"%'",
        )
        .fetch_one(&app.db)
        .await
        .unwrap();
        if listening == 1 { Ok(()) } else { Err("media does not listen yet".into()) }
    })
    .await;
    let script = json!({"name": "slow to answer", "attempts": [[{"do": "ring", "ms": 2_000}, {"do": "answer"},
        {"do": "wait_for_agent", "max_ms": 4000}, {"do": "converse", "turns": 1}, {"do": "hang_up"}]]});
    app.script(PRIYA.phone, script).await;
    let (status, agent) = app.post("/voice-agents", json!({"name": "Quick", "settings": settings})).await;
    assert!(status.is_success(), "{status} {agent}");
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1, "voice_agent_id": agent["id"]})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;

    let opened: Vec<u64> = app.logged(Some(speaks), "socket.opened").iter().map(|entry| entry.seq).collect();
    let answered = app.logged(None, "call.answered")[0].seq;
    assert_eq!(opened.len(), 1, "the call speaks over the socket that was ready");
    assert!(opened[0] < answered, "it was opened before the answer");
    assert!(agent_said(&app.only_call(campaign).await) >= 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_voice_is_connected_while_the_phone_rings_and_speaks_when_it_is_answered() {
    is_connected_while_the_phone_rings(json!({}), "elevenlabs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_a_model_that_speaks_for_itself() {
    let settings = json!({"speech_to_speech": {"provider": "openai", "model": "gpt-realtime-2.1"}});
    is_connected_while_the_phone_rings(settings, "openai_realtime").await;
}
