//! What the carrier tells and asks: any encoding, any order, any number of times.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{Answer, SECRET, TestApi};

const STATUS: &str = "/webhooks/exotel/call-status";

async fn post(api: &TestApi, query: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let request =
        Request::post(format!("{STATUS}?{query}")).header("content-type", content_type).body(body.into()).unwrap();
    api.send(request).await
}

async fn form(api: &TestApi, reference: &str, body: &str) -> Answer {
    let query = format!("secret={SECRET}&reference={reference}");
    post(api, &query, "application/x-www-form-urlencoded", body.to_owned()).await
}

async fn dialed(api: &TestApi) -> i64 {
    let campaign = api.create_campaign(json!({"name": "Calls"})).await;
    let lead = api.add_lead(campaign, "+919845012345", "Asha").await;
    api.add_call(lead, "ref-1").await
}

async fn seen(api: &TestApi, call: i64) -> (String, Option<String>, Option<i32>) {
    sqlx::query_as("select status, carrier_call_id, duration_seconds from calls where id = $1")
        .bind(call)
        .fetch_one(&api.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn without_the_secret_nothing_is_kept() {
    let api = TestApi::start().await;
    dialed(&api).await;
    for query in ["", "secret=", "secret=wrong", "secret=test-secre", "ref=ref-1"] {
        let answer = post(&api, query, "application/x-www-form-urlencoded", "CallSid=a&Status=busy").await;
        assert_eq!(answer.refusal(), (403, "wrong_secret".into()), "{query}");
    }
    let passthru = api.send(Request::get("/passthru-handler?CallSid=a").body(Body::empty()).unwrap()).await;
    assert_eq!(passthru.refusal().0, 403);
    assert_eq!(api.number("select count(*) from call_events where kind = 'webhook'").await, 0);
    api.finish().await;
}

#[tokio::test]
async fn every_encoding_says_the_same() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Calls"})).await;
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\nsid-0\r\n\
        --x\r\nContent-Disposition: form-data; name=\"Status\"\r\n\r\nbusy\r\n\
        --x\r\nContent-Disposition: form-data; name=\"DateUpdated\"\r\n\r\n2026-11-23 11:00:00\r\n--x--\r\n";
    for (index, (content_type, body, query)) in [
        ("multipart/form-data; boundary=x", multipart, ""),
        ("application/x-www-form-urlencoded", "CallSid=sid-1&Status=busy&DateUpdated=2026-11-23+11%3A00%3A00", ""),
        (
            "application/json",
            r#"{"CallSid":"sid-2","Status":"busy","Legs":[{"Status":"busy","OnCallDuration":0}]}"#,
            "",
        ),
        ("text/plain", "", "&CallSid=sid-3&Status=busy"),
    ]
    .into_iter()
    .enumerate()
    {
        let lead = api.add_lead(campaign, &format!("+91984501234{index}"), "Asha").await;
        let call = api.add_call(lead, &format!("ref-{index}")).await;
        let answer = post(&api, &format!("secret={SECRET}&ref=ref-{index}{query}"), content_type, body).await;
        assert_eq!(answer.status, 200, "{content_type}: {}", answer.text());
        let (status, sid, _) = seen(&api, call).await;
        assert_eq!((status.as_str(), sid), ("busy", Some(format!("sid-{index}"))), "{content_type}");
    }
    let lead = api.add_lead(campaign, "+919845012349", "Asha").await;
    let call = api.add_call(lead, "ref-9").await;
    let get = format!("{STATUS}?secret={SECRET}&ref=ref-9&CallSid=sid-9&Status=failed");
    assert_eq!(api.send(Request::get(get).body(Body::empty()).unwrap()).await.status, 200);
    assert_eq!(seen(&api, call).await.0, "failed");
    // The secret is not among what is stored.
    assert_eq!(api.number("select count(*) from call_events where data::text like '%test-secret%'").await, 0);
    assert_eq!(api.number("select count(*) from apalis.jobs where job_type = 'settle_call'").await, 5);
    api.finish().await;
}

#[tokio::test]
async fn repeated_and_reordered_webhooks_change_nothing() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    let completed = "CallSid=sid-1&Status=completed&DateUpdated=2026-11-23+11%3A05%3A00&ConversationDuration=42\
        &RecordingUrl=https%3A%2F%2Frecordings.exotel.com%2F1.mp3";
    for _ in 0..3 {
        assert_eq!(form(&api, "ref-1", completed).await.status, 200);
    }
    assert_eq!(
        form(&api, "ref-1", "CallSid=sid-1&Status=ringing&DateUpdated=2026-11-23+11%3A00%3A00").await.status,
        200
    );
    assert_eq!(
        form(&api, "ref-1", "CallSid=sid-1&Status=in-progress&DateUpdated=2026-11-23+11%3A01%3A00").await.status,
        200
    );
    assert_eq!(seen(&api, call).await, ("completed".into(), Some("sid-1".into()), Some(42)));
    assert_eq!(api.number("select count(*) from call_events where kind = 'webhook'").await, 3);
    assert_eq!(api.number("select count(*) from call_events where kind = 'webhook' and applied_at is null").await, 0);
    assert_eq!(api.number("select count(*) from apalis.jobs where job_type = 'fetch_recording'").await, 1);
    let history = api.get(&format!("/calls/{call}")).await.json();
    assert_eq!(history["events"].as_array().unwrap().len(), 3);
    assert_eq!(history["events"][0]["data"]["fields"]["Status"], "completed");
    api.finish().await;
}

#[tokio::test]
async fn a_webhook_of_no_known_call_is_kept_for_later() {
    let api = TestApi::start().await;
    assert_eq!(form(&api, "ref-1", "CallSid=sid-1&Status=busy").await.status, 200);
    assert_eq!(api.number("select count(*) from call_events where kind = 'webhook' and applied_at is null").await, 1);
    // The call's own commit arrives late; sweep then applies what was stored.
    let call = dialed(&api).await;
    let event: i64 = api.number("select id from call_events where applied_at is null").await;
    let mut tx = api.db.begin().await.unwrap();
    let applied = shared::carrier_event::apply(&mut tx, shared::id::CallEventId(event)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(applied, shared::carrier_event::Applied::To(shared::id::CallId(call)));
    assert_eq!(seen(&api, call).await.0, "busy");
    api.finish().await;
}

#[tokio::test]
async fn a_second_carrier_call_under_one_reference_is_recorded_and_believed_in_nothing() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    form(&api, "ref-1", "CallSid=sid-1&Status=ringing").await;
    form(&api, "ref-1", "CallSid=sid-2&Status=completed").await;
    let (status, sid, _) = seen(&api, call).await;
    assert_eq!((status.as_str(), sid.as_deref()), ("ringing", Some("sid-1")));
    assert_eq!(api.number("select count(*) from call_events where kind = 'carrier_call_conflict'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_asks_for_no_repetition() {
    let api = TestApi::start().await;
    let query = format!("secret={SECRET}");
    for (content_type, body) in [
        ("application/json", "{\"CallSid\":"),
        ("application/json", "[1]"),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\nsid"),
        ("application/x-www-form-urlencoded", ""),
    ] {
        assert_eq!(post(&api, &query, content_type, body).await.status, 400, "{body}");
    }
    let nul = post(&api, &query, "application/json", r#"{"CallSid":"a\u0000b","Status":"busy"}"#).await;
    assert_eq!(nul.status, 200, "a NUL cannot be stored, and must not lose the rest");
    api.finish().await;
}
