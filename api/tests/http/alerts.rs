//! What operators must look at.

use serde_json::{Value, json};
use shared::alert::{self, AlertKind, NewAlert};
use shared::breaker::{self, AccountFailure};
use shared::call::Carrier;
use shared::id::AccountId;

use crate::harness::{TestApi, monday};

async fn raise(api: &TestApi, account: AccountId, kind: AlertKind) {
    let mut conn = api.db.acquire().await.unwrap();
    let alert =
        NewAlert { account_id: account, kind, campaign_id: None, title: "Title", detail: "Detail.", at: monday() };
    alert::raise(&mut conn, alert).await.unwrap();
}

#[tokio::test]
async fn a_pause_tells_its_reason_and_its_alert_until_it_is_resumed() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Paused"})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    let path = format!("/campaigns/{campaign}");
    api.call("POST", &format!("{path}/start"), None).await;
    let mut tx = api.db.begin().await.unwrap();
    assert_eq!(
        breaker::pause_account(&mut tx, api.account, Carrier::Exotel, AccountFailure::Balance, monday()).await.unwrap(),
        1
    );
    assert_eq!(
        breaker::pause_account(&mut tx, api.account, Carrier::Exotel, AccountFailure::Balance, monday()).await.unwrap(),
        0
    );
    tx.commit().await.unwrap();

    let paused = api.get(&path).await.json();
    assert_eq!((&paused["status"], &paused["pause_reason"]), (&json!("paused"), &json!("balance")));
    let detail = "The Exotel account has no balance left (HTTP 402). Calls stopped at 11:00 (Asia/Kolkata); nothing was lost. Top \
        up the Exotel account, then resume.";
    assert_eq!(paused["pause_detail"], detail);
    let open = api.get("/alerts?status=open").await.json();
    let alert = &open["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["severity"], &alert["detail"]),
        (&json!("balance"), &json!("critical"), &json!(detail))
    );
    assert_eq!(open["alerts"].as_array().unwrap().len(), 1);

    // Seeing it does not end it.
    let seen = api.call("POST", "/alerts/1/acknowledge", None).await.json();
    assert_eq!((&seen["status"], &seen["acknowledged_at"]), (&json!("open"), &json!("2026-11-23T05:30:00Z")));
    let resumed = api.call("POST", &format!("{path}/resume"), None).await.json();
    assert_eq!((&resumed["status"], &resumed["pause_detail"]), (&json!("running"), &Value::Null));
    assert_eq!(api.get("/alerts?status=open").await.json()["alerts"], json!([]));
    assert_eq!(api.get("/alerts?status=resolved").await.json()["alerts"][0]["status"], "resolved");
    // An operator's own pause raises none.
    let own = api.call("POST", &format!("{path}/pause"), None).await.json();
    assert_eq!((&own["pause_reason"], &own["pause_detail"]), (&json!("operator"), &Value::Null));
    assert_eq!(api.number("select count(*) from alerts").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn an_account_sees_and_acknowledges_its_own_alerts_alone() {
    let api = TestApi::start().await;
    let (second, second_key) = api.another_account().await;
    for kind in AlertKind::ALL {
        raise(&api, api.account, kind).await;
        raise(&api, api.account, kind).await;
    }
    raise(&api, second, AlertKind::DeadJob).await;
    let list = api.get("/alerts?page=1&page_size=3").await.json();
    assert_eq!(
        (&list["total"], list["alerts"].as_array().unwrap().len()),
        (&json!(AlertKind::ALL.len()), 3),
        "of each kind one is open"
    );
    let theirs = api.call_as(&second_key, "GET", "/alerts", None).await.json();
    assert_eq!(theirs["alerts"].as_array().unwrap().len(), 1);
    let id = theirs["alerts"][0]["id"].as_i64().unwrap();
    assert_eq!(api.call("POST", &format!("/alerts/{id}/acknowledge"), None).await.refusal(), (404, "not_found".into()));
    let acknowledged = api.call_as(&second_key, "POST", &format!("/alerts/{id}/acknowledge"), None).await.json();
    assert_eq!((&acknowledged["kind"], &acknowledged["status"]), (&json!("dead_job"), &json!("resolved")));
    let again = api.call_as(&second_key, "POST", &format!("/alerts/{id}/acknowledge"), None).await.json();
    assert_eq!(again, acknowledged);
    assert_eq!(api.get("/alerts?status=closed").await.refusal().0, 400);
    api.finish().await;
}

#[tokio::test]
async fn moving_a_campaigns_end_revives_the_leads_that_expired_with_it() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Ends", "ends_at": "2026-11-23T12:00:00Z"})).await;
    for (index, next_at) in ["2026-11-24T05:00:00Z", "2026-11-27T05:00:00Z"].into_iter().enumerate() {
        let lead = api.add_lead(campaign, &format!("+91984501234{index}"), "Asha").await;
        sqlx::query("update leads set status = 'expired', attempts = $2, next_at = $3::timestamptz where id = $1")
            .bind(lead)
            .bind(index as i32)
            .bind(next_at.parse::<chrono::DateTime<chrono::Utc>>().unwrap())
            .execute(&api.db)
            .await
            .unwrap();
    }
    let patch = |ends_at: Value| api.call("PATCH", "/campaigns/1", Some(json!({"ends_at": ends_at})));
    assert_eq!(
        patch(json!("2026-11-25T12:00:00Z")).await.json()["leads"],
        json!({"total": 2, "pending": 1, "expired": 1})
    );
    assert_eq!(patch(Value::Null).await.json()["leads"], json!({"total": 2, "pending": 1, "waiting_retry": 1}));
    api.finish().await;
}
