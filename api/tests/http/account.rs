//! The account's own limits.

use serde_json::{Value, json};

use crate::harness::TestApi;

#[tokio::test]
async fn limits_are_changed_one_by_one_and_the_change_is_kept() {
    let api = TestApi::start().await;
    let before = api.get("/account").await.json();
    assert_eq!((&before["min_gap_minutes"], &before["max_calls_per_number_per_day"]), (&json!(30), &json!(4)));
    let campaign = api.create_campaign(json!({"name": "Runs"})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    api.call("POST", &format!("/campaigns/{campaign}/start"), None).await;
    sqlx::query("delete from apalis.jobs").execute(&api.db).await.unwrap();

    let change = json!({"min_gap_minutes": 60, "region": "us", "time_zone": "america/new_york", "calls_per_second": 0.5,
            "carrier": "twilio"});
    let changed = api.call("PATCH", "/account", Some(change)).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json();
    assert_eq!((&changed["min_gap_minutes"], &changed["region"]), (&json!(60), &json!("US")));
    assert_eq!((&changed["time_zone"], &changed["calls_per_second"]), (&json!("America/New_York"), &json!(0.5)));
    assert_eq!((&before["carrier"], &changed["carrier"]), (&json!("exotel"), &json!("twilio")));
    assert_eq!(changed["max_calls_per_number_per_day"], 4, "what is left out stays");
    assert_eq!(api.get("/account").await.json(), changed);
    let kept: Value = sqlx::query_scalar("select data from call_events where kind = 'account_changed'")
        .fetch_one(&api.db)
        .await
        .unwrap();
    assert_eq!((&kept["before"]["min_gap_minutes"], &kept["after"]["min_gap_minutes"]), (&json!(30), &json!(60)));
    assert_eq!(api.number("select count(*) from apalis.jobs where job_type = 'dispatch_campaign'").await, 1);

    // The same again changes nothing, and says nothing.
    api.call("PATCH", "/account", Some(json!({"min_gap_minutes": 60}))).await;
    assert_eq!(api.number("select count(*) from call_events where kind = 'account_changed'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn every_limit_out_of_bounds_is_told_and_none_is_taken() {
    let api = TestApi::start().await;
    let bad = json!({"min_gap_minutes": -1, "max_calls_per_number_per_day": 0, "max_concurrent_calls": 10001,
        "calls_per_second": 0, "region": "XX", "time_zone": "Mars/Olympus", "name": "Mine", "carrier": "pigeon"});
    let problem = api.call("PATCH", "/account", Some(bad)).await.json();
    let mut told: Vec<(&str, &str)> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("/calls_per_second", "out_of_range"),
            ("/carrier", "unknown_carrier"),
            ("/max_calls_per_number_per_day", "out_of_range"),
            ("/max_concurrent_calls", "out_of_range"),
            ("/min_gap_minutes", "out_of_range"),
            ("/name", "unknown_field"),
            ("/region", "unknown_region"),
            ("/time_zone", "unknown_time_zone"),
        ]
    );
    assert_eq!(api.get("/account").await.json()["min_gap_minutes"], 30);
    api.finish().await;
}

#[tokio::test]
async fn an_account_sees_and_changes_its_own_limits_alone() {
    let api = TestApi::start().await;
    let (_, other) = api.another_account().await;
    api.call_as(&other, "PATCH", "/account", Some(json!({"max_concurrent_calls": 0}))).await;
    assert_eq!(api.call_as(&other, "GET", "/account", None).await.json()["max_concurrent_calls"], 0);
    assert_eq!(api.get("/account").await.json()["max_concurrent_calls"], 100);
    api.finish().await;
}
