//! What every request meets.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::TestApi;

/// What this release publishes.
const PUBLISHED: &[(&str, &str)] = &[
    ("post", "/campaigns"),
    ("get", "/campaigns"),
    ("get", "/campaigns/{id}"),
    ("patch", "/campaigns/{id}"),
    ("delete", "/campaigns/{id}"),
    ("post", "/campaigns/{id}/upload-csv"),
    ("get", "/campaigns/{id}/imports"),
    ("get", "/imports/{id}"),
    ("get", "/imports/{id}/rejections"),
    ("get", "/imports/{id}/rejections.csv"),
    ("post", "/campaigns/{id}/start"),
    ("post", "/campaigns/{id}/pause"),
    ("post", "/campaigns/{id}/resume"),
    ("post", "/campaigns/{id}/stop"),
    ("post", "/campaigns/{id}/preflight"),
    ("get", "/campaigns/{id}/forecast"),
    ("put", "/campaigns/{id}/voicemail-recording"),
    ("get", "/campaigns/{id}/voicemail-recording"),
    ("delete", "/campaigns/{id}/voicemail-recording"),
    ("get", "/account"),
    ("get", "/account/tool-secret"),
    ("patch", "/account"),
    ("get", "/campaigns/{id}/leads"),
    ("get", "/campaigns/templates/csv-sample"),
    ("get", "/analytics/campaign/{id}"),
    ("get", "/debug/sessions"),
    ("get", "/exports/calls/{campaign_id}"),
    ("get", "/alerts"),
    ("post", "/alerts/{id}/acknowledge"),
    ("get", "/calls"),
    ("get", "/calls/{id}"),
    ("get", "/calls/{id}/recording"),
    ("get", "/do-not-call"),
    ("post", "/do-not-call"),
    ("delete", "/do-not-call"),
    ("get", "/voice-agents"),
    ("post", "/voice-agents"),
    ("get", "/voice-agents/{id}"),
    ("put", "/voice-agents/{id}"),
    ("get", "/health"),
    ("get", "/ready"),
    ("get", "/metrics"),
    ("post", "/webhooks/exotel/call-status"),
    ("get", "/webhooks/exotel/call-status"),
    ("get", "/passthru-handler"),
    ("post", "/passthru-handler"),
    ("get", "/connect-handler"),
    ("get", "/dial-handler"),
    ("post", "/dial-handler"),
    ("delete", "/calls/{id}/recording"),
    ("get", "/agent/calls/{call_id}/recording"),
    ("get", "/agent/calls/{call_id}/transcript"),
    ("post", "/webhooks/exotel/sms"),
    ("get", "/webhooks/exotel/sms"),
    ("get", "/webhooks/twilio/voicemail-recording"),
    ("post", "/webhooks/exotel/sms-status"),
    ("post", "/webhooks/twilio/voice"),
    ("post", "/webhooks/twilio/status"),
    ("post", "/webhooks/twilio/recording"),
    ("post", "/webhooks/twilio/machine-detection"),
    ("post", "/webhooks/twilio/sms-status"),
    ("post", "/webhooks/twilio/whisper"),
    ("post", "/webhooks/twilio/dialed"),
    ("post", "/webhooks/twilio/fallback"),
    ("post", "/webhooks/twilio/sms"),
];

#[test]
fn the_document_lists_every_route_and_nothing_else() {
    let document = serde_json::to_value(api::router::openapi()).unwrap();
    let mut listed = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| !["parameters", "summary"].contains(&key.as_str()))
        {
            listed.push((method.clone(), path.clone()));
        }
    }
    listed.sort();
    let mut published: Vec<(String, String)> =
        PUBLISHED.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    published.sort();
    assert_eq!(listed, published);
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is referred to, and not there");
    }
}

#[tokio::test]
async fn probes_the_document_and_its_viewer_need_no_key() {
    let api = TestApi::start().await;
    for path in ["/health", "/ready", "/openapi.json", "/docs/"] {
        let answer = api.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    assert_eq!(api.get("/ready").await.json()["migrations"], "ok");
    assert_eq!(api.get("/campaigns/templates/csv-sample").await.text().lines().count(), 3);
    assert_eq!(api.get("/debug/sessions").await.json(), json!({"active_sessions": 0, "sessions": []}));
    api.finish().await;
}

#[tokio::test]
async fn an_unmigrated_database_is_not_ready() {
    let api = TestApi::start().await;
    sqlx::query("delete from _sqlx_migrations where version = 20261121090300").execute(&api.db).await.unwrap();
    let answer = api.get("/ready").await;
    assert_eq!(answer.refusal(), (503, "migrations_missing".into()));
    api.finish().await;
}

#[tokio::test]
async fn every_refusal_is_a_problem_with_a_place_to_look_it_up() {
    let api = TestApi::start().await;
    assert_eq!(api.get("/nothing").await.refusal(), (404, "no_such_path".into()));
    assert_eq!(api.call("PUT", "/campaigns", None).await.refusal(), (405, "method_not_allowed".into()));
    assert_eq!(api.get("/campaigns/one").await.refusal(), (404, "not_found".into()));
    let send = |content_type: &'static str, body: &'static str| {
        let request = Request::post("/campaigns")
            .header("authorization", format!("Bearer {}", api.key))
            .header("content-type", content_type)
            .header("x-request-id", "mine-1");
        api.send(request.body(Body::from(body)).unwrap())
    };
    let broken = send("application/json", "{\"name\":\n \"x\",}").await;
    assert_eq!(broken.refusal(), (400, "invalid_json".into()));
    assert!(broken.json()["detail"].as_str().unwrap().contains("line 2"), "{}", broken.text());
    assert_eq!(broken.headers["x-request-id"], "mine-1");
    assert_eq!(send("application/json", "[]").await.refusal(), (400, "object_expected".into()));
    assert_eq!(send("application/x-www-form-urlencoded", "name=x").await.refusal(), (415, "json_expected".into()));
    let large = Request::post("/campaigns")
        .header("authorization", format!("Bearer {}", api.key))
        .header("content-type", "application/json")
        .body(Body::from(vec![b' '; 2 << 20]));
    assert_eq!(api.send(large.unwrap()).await.refusal(), (413, "body_too_large".into()));
    api.finish().await;
}
