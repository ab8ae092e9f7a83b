//! A call's recording and transcript: where they are, and how they go.

use serde_json::{Value, json};

use crate::calls::conversation;
use crate::harness::TestApi;

async fn stored(api: &TestApi, call: i64, source_url: &str) {
    api.app.storage.put("recordings/1.mp3", bytes::Bytes::from_static(b"0123456789")).await.unwrap();
    sqlx::query(
        "insert into recordings (call_id, account_id, source_url, status, object_key, content_type, size_bytes)
         select id, account_id, $2, 'stored', 'recordings/1.mp3', 'audio/mpeg', 10 from calls where id = $1",
    )
    .bind(call)
    .bind(source_url)
    .execute(&api.db)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_deleted_recording_is_gone_under_every_path_and_the_history_says_so() {
    let api = TestApi::start().await;
    let (_, call) = conversation(&api).await;
    stored(&api, call, "https://carrier/1.mp3").await;
    let path = format!("/calls/{call}/recording");
    let (_, other) = api.another_account().await;
    assert_eq!(api.call_as(&other, "DELETE", &path, None).await.refusal(), (404, "not_found".into()));
    assert_eq!(api.get(&path).await.status, 200);
    for _ in 0..2 {
        assert_eq!(api.call("DELETE", &path, None).await.status, 204);
    }
    assert_eq!(api.get(&path).await.refusal(), (410, "recording_deleted".into()));
    assert_eq!(api.get(&format!("/agent{path}")).await.refusal(), (410, "recording_deleted".into()));
    let detail = api.get(&format!("/calls/{call}")).await.json();
    assert_eq!((&detail["recording"]["status"], &detail["recording_url"]), (&json!("deleted"), &Value::Null));
    assert!(detail["recording"]["deleted_at"].is_string(), "{detail}");
    let events = detail["events"].as_array().unwrap();
    assert_eq!(events.iter().filter(|event| event["kind"] == "recording_deleted").count(), 1, "{events:?}");
    assert_eq!(api.number("select count(*) from apalis.jobs where job_type = 'retain'").await, 1);

    sqlx::query("update calls set status = 'in_progress'").execute(&api.db).await.unwrap();
    assert_eq!(api.call("DELETE", &path, None).await.refusal(), (409, "call_is_up".into()));
    api.finish().await;
}

#[tokio::test]
async fn an_object_that_is_gone_from_the_store_is_not_found_and_no_failure() {
    let api = TestApi::start().await;
    let (_, call) = conversation(&api).await;
    stored(&api, call, "https://carrier/1.mp3").await;
    api.app.storage.delete("recordings/1.mp3").await.unwrap();
    assert_eq!(api.get(&format!("/calls/{call}/recording")).await.refusal(), (404, "recording_not_available".into()));
    api.finish().await;
}

#[tokio::test]
async fn recording_and_transcript_stand_under_the_paths_that_agents_know() {
    let api = TestApi::start().await;
    let (_, call) = conversation(&api).await;
    let at = |what: &str| format!("/agent/calls/{call}/{what}");
    assert_eq!(api.get(&at("recording")).await.refusal(), (404, "recording_not_available".into()));
    let sid = "RE0123456789abcdef0123456789abcdef";
    stored(&api, call, &format!("https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/{sid}.mp3")).await;
    assert_eq!(
        api.get(&at("recording")).await.json(),
        json!({"recording_url": format!("https://api.example/calls/{call}/recording"), "recording_sid": sid})
    );
    let transcript = "agent: Hello, this is Asha.\ncallee: Who is this?\nagent: Asha, from Trunkline.";
    assert_eq!(api.get(&at("transcript")).await.json(), json!({"transcript": transcript}));
    let (_, other) = api.another_account().await;
    for what in ["recording", "transcript"] {
        assert_eq!(api.call_as(&other, "GET", &at(what), None).await.refusal().0, 404);
    }
    sqlx::query("update calls set words_deleted_at = now()").execute(&api.db).await.unwrap();
    assert_eq!(api.get(&at("transcript")).await.refusal(), (410, "transcript_deleted".into()));
    assert!(api.get(&format!("/calls/{call}")).await.json()["transcript_deleted_at"].is_string());
    api.finish().await;
}

#[tokio::test]
async fn how_long_things_are_kept_is_set_day_by_day_or_taken_back() {
    let api = TestApi::start().await;
    let periods = |account: &Value| {
        ["keep_recordings_days", "keep_transcripts_days", "keep_webhooks_days"].map(|name| account[name].clone())
    };
    let before = api.get("/account").await.json();
    assert_eq!(periods(&before), [Value::Null, Value::Null, json!(90)]);
    let change = json!({"keep_recordings_days": 30, "keep_transcripts_days": 365, "keep_webhooks_days": null});
    let changed = api.call("PATCH", "/account", Some(change)).await.json();
    assert_eq!(periods(&changed), [json!(30), json!(365), Value::Null]);
    let bad = json!({"keep_recordings_days": 0, "keep_transcripts_days": 4_000, "keep_webhooks_days": 6});
    let problem = api.call("PATCH", "/account", Some(bad)).await.json();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem}");
    let kept = api.call("PATCH", "/account", Some(json!({"keep_recordings_days": null}))).await.json();
    assert_eq!(periods(&kept), [Value::Null, json!(365), Value::Null]);
    let told: Vec<Value> =
        sqlx::query_scalar("select data from call_events where kind = 'account_changed' order by id")
            .fetch_all(&api.db)
            .await
            .unwrap();
    assert_eq!(
        (&told[0]["before"]["keep_webhooks_days"], &told[0]["after"]["keep_recordings_days"]),
        (&json!(90), &json!(30))
    );
    api.finish().await;
}
