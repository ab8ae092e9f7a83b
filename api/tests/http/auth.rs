//! Keys, and the walls between accounts.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::TestApi;

#[tokio::test]
async fn without_a_key_nothing_is_told() {
    let api = TestApi::start().await;
    for path in ["/campaigns", "/calls", "/debug/sessions"] {
        let answer = api.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.refusal(), (401, "unauthorized".into()), "{path}");
    }
    assert_eq!(api.call_as("tk_wrong", "GET", "/campaigns", None).await.refusal().0, 401);
    let with_header = Request::get("/campaigns").header("x-api-key", &api.key).body(Body::empty()).unwrap();
    assert_eq!(api.send(with_header).await.status, 200);
    api.finish().await;
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_and_a_used_one_says_when() {
    let api = TestApi::start().await;
    assert_eq!(api.get("/campaigns").await.status, 200);
    assert_eq!(api.number("select count(*) from api_keys where last_used_at is not null").await, 1);
    // The key itself is nowhere in the database.
    assert_eq!(
        api.number("select count(*) from api_keys where length(prefix) = 11 and length(key_hash) = 32").await,
        1
    );
    let id = shared::api_key::list(&api.db, Some(api.account)).await.unwrap()[0].id;
    assert!(shared::api_key::revoke(&api.db, id).await.unwrap());
    assert_eq!(api.get("/campaigns").await.refusal().0, 401);
    api.finish().await;
}

#[tokio::test]
async fn what_belongs_to_another_account_is_not_found() {
    let api = TestApi::start().await;
    let (other, stranger) = api.another_account().await;
    let campaign = api.create_campaign(json!({"name": "Mine"})).await;
    let lead = api.add_lead(campaign, "+919845012345", "Asha").await;
    let call = api.add_call(lead, "ref-1").await;
    let agent = api.get("/voice-agents").await.json()["voice_agents"][0]["id"].clone();
    assert_eq!(api.post("/do-not-call", json!({"phone": "9845012346"})).await.status, 201);

    for (method, path, body) in [
        ("GET", format!("/campaigns/{campaign}"), None),
        ("PATCH", format!("/campaigns/{campaign}"), Some(json!({"name": "Theirs"}))),
        ("DELETE", format!("/campaigns/{campaign}"), None),
        ("POST", format!("/campaigns/{campaign}/start"), Some(json!({}))),
        ("POST", format!("/campaigns/{campaign}/pause"), None),
        ("POST", format!("/campaigns/{campaign}/stop"), None),
        ("GET", format!("/campaigns/{campaign}/leads"), None),
        ("GET", format!("/campaigns/{campaign}/imports"), None),
        ("GET", format!("/analytics/campaign/{campaign}"), None),
        ("GET", format!("/exports/calls/{campaign}"), None),
        ("GET", format!("/calls/{call}"), None),
        ("GET", format!("/calls/{call}/recording"), None),
        ("GET", format!("/voice-agents/{agent}"), None),
        ("PUT", format!("/voice-agents/{agent}"), Some(json!({"name": "Theirs"}))),
        ("DELETE", "/do-not-call?phone=9845012346".to_owned(), None),
    ] {
        let answer = api.call_as(&stranger, method, &path, body).await;
        assert_eq!(answer.refusal(), (404, "not_found".into()), "{method} {path}");
    }
    for (path, list) in [("/campaigns", "campaigns"), ("/calls", "calls"), ("/do-not-call", "entries")] {
        let answer = api.call_as(&stranger, "GET", path, None).await.json();
        assert_eq!(answer[list], json!([]), "{path}");
    }
    let with_my_agent = json!({"name": "Theirs", "voice_agent_id": agent});
    let answer = api.call_as(&stranger, "POST", "/campaigns", Some(with_my_agent)).await.json();
    assert_eq!(answer["errors"][0]["pointer"], "/voice_agent_id", "{answer}");

    // The second lock, where a query forgot whose rows it wants.
    let mut theirs = shared::db::tenant(&api.db, other).await.unwrap();
    for table in ["campaigns", "leads", "calls", "do_not_call", "api_keys"] {
        let count = format!("select count(*) from {table} where account_id = {}", api.account);
        let seen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut *theirs).await.unwrap();
        assert_eq!(seen, 0, "{table}");
    }
    drop(theirs);
    api.finish().await;
}
