//! Text messages from people, as the carrier hands them over.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use shared::id::{CallId, MessageId};
use shared::outgoing_message;

use crate::harness::{Answer, SECRET, TestApi, monday};

const SMS: &str = "/webhooks/exotel/sms";

async fn post(api: &TestApi, secret: &str, body: &str) -> Answer {
    let request = Request::post(format!("{SMS}?secret={secret}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .unwrap();
    api.send(request).await
}

#[tokio::test]
async fn without_the_secret_no_message_is_kept() {
    let api = TestApi::start().await;
    for secret in ["", "wrong", "test-secre"] {
        assert_eq!(
            post(&api, secret, "SmsSid=a&From=09845012345&Body=STOP").await.refusal(),
            (403, "wrong_secret".into())
        );
    }
    let empty = api.send(Request::get(format!("{SMS}?secret={SECRET}")).body(Body::empty()).unwrap()).await;
    assert_eq!(empty.refusal(), (400, "empty_webhook".into()));
    assert_eq!(api.number("select count(*) from messages").await, 0);
    api.finish().await;
}

#[tokio::test]
async fn a_stop_takes_effect_with_its_answer_and_a_repetition_changes_nothing() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Calls"})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    let stop = "SmsSid=sms-1&From=09845012345&To=08047112233&Date=2026-11-23+11%3A00%3A00&Body=%E0%A4%AC%E0%A4%82%E0%A4%A6+%E0%A4%95%E0%A4%B0%E0%A5%8B";
    for _ in 0..3 {
        let answer = post(&api, SECRET, stop).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""), "a body would be texted back");
    }
    assert_eq!(api.number("select count(*) from messages").await, 1);
    let entry = &api.get("/do-not-call").await.json()["entries"][0];
    assert_eq!((&entry["phone"], &entry["source"]), (&json!("+919845012345"), &json!("sms")));
    let lead = &api.get(&format!("/campaigns/{campaign}/leads")).await.json()["leads"][0];
    assert_eq!((&lead["status"], &lead["suppression_reason"]), (&json!("suppressed"), &json!("do_not_call")));
    assert_eq!(api.number("select count(*) from messages where fields::text like '%test-secret%'").await, 0);
    api.finish().await;
}

#[tokio::test]
async fn a_message_comes_by_get_and_as_json_too() {
    let api = TestApi::start().await;
    let get = format!("{SMS}?secret={SECRET}&SmsSid=sms-1&From=%2B919845012345&Body=Stop");
    assert_eq!(api.send(Request::get(get).body(Body::empty()).unwrap()).await.status, 200);
    assert_eq!(api.number("select count(*) from do_not_call").await, 1);
    let start = Request::post(format!("{SMS}?secret={SECRET}"))
        .header("content-type", "application/json")
        .body(Body::from(json!({"SmsSid": "sms-2", "From": "09845012345", "Body": "START"}).to_string()));
    assert_eq!(api.send(start.unwrap()).await.status, 200);
    assert_eq!(api.number("select count(*) from do_not_call").await, 0);
    api.finish().await;
}

#[tokio::test]
async fn a_delivery_that_is_told_before_our_own_commit_is_noted_after_it() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Calls"})).await;
    let lead = api.add_lead(campaign, "+919845012345", "Asha").await;
    let call = CallId(api.add_call(lead, "reference-1").await);
    let mut db = api.db.acquire().await.unwrap();
    assert!(outgoing_message::request(&mut db, call, "brochure", "Here it is.", None, monday()).await.unwrap());
    let id = MessageId(api.number("select id from messages").await);
    outgoing_message::begin(&mut db, id, monday()).await.unwrap().unwrap();

    let report = Request::post(format!("/webhooks/exotel/sms-status?secret={SECRET}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("SmsSid=sms-9&Status=sent"))
        .unwrap();
    let mut telling = Box::pin(api.send(report));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut telling).await;
    assert!(early.is_err(), "nobody knows this message yet");
    outgoing_message::sent(&mut db, id, "sms-9", monday()).await.unwrap();
    drop(db);
    assert_eq!(telling.await.status, 200);
    assert_eq!(api.number("select count(*) from messages where status = 'delivered'").await, 1);
    api.finish().await;
}
