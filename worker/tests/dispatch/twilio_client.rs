//! Twilio's client, and the dial protocol over it, against a server that does what servers do.

use std::time::Duration;

use chrono::TimeDelta;
use clap::Parser;
use serde_json::{Value, json};
use shared::call::{CallStatus, Carrier};
use shared::id::{CallId, MessageId};
use shared::jobs::reconcile_call::ReconcileCall;
use shared::jobs::send_message::SendMessage;
use shared::outgoing_message;
use worker::carrier::{CarrierError, Doubt, PlaceRequest, Placed, Progress, Rejection, Twilio};
use worker::config::Config;
use worker::jobs;
use worker::queue::{JobContext, JobError};

use crate::outside::{Outside, Reply};
use crate::world::World;

const ACCOUNT: [&str; 10] = [
    "--twilio-account-sid",
    "AC1",
    "--twilio-auth-token",
    "token",
    "--twilio-number",
    "+14155550100",
    "--twilio-calls-per-second",
    "1000",
    "--twilio-machine-detection",
    "true",
];

fn client(base: &str) -> Twilio {
    let mut arguments = vec![
        "worker",
        "--database-url",
        "unused",
        "--our-base-url",
        "https://calls.example",
        "--callback-secret",
        "s3cret",
        "--twilio-api-base-url",
        base,
        "--carrier-timeout-secs",
        "1",
    ];
    arguments.extend(ACCOUNT);
    Twilio::new(&Config::try_parse_from(arguments).unwrap()).unwrap()
}

fn request() -> PlaceRequest {
    PlaceRequest { phone: "+919876543210".into(), reference: "ref1".into(), record: true, can_transfer: false }
}

/// A call as Twilio's lists and details have it.
fn listed(sid: &str, status: &str, created: chrono::DateTime<chrono::Utc>) -> Value {
    json!({"sid": sid, "status": status, "direction": "outbound-api", "duration": null, "date_created": created.to_rfc2822()})
}

#[tokio::test]
async fn a_call_is_asked_for_with_every_callback_naming_it() {
    let outside = Outside::start().await;
    let placed = client(outside.base.as_str()).place_call(&request()).await.unwrap();
    assert_eq!(placed, Placed { carrier_call_id: "CA1".into() });
    let asked = outside.place_requests().remove(0);
    assert_eq!(asked.path, "/2010-04-01/Accounts/AC1/Calls.json");
    assert_eq!(asked.authorization.as_deref(), Some("Basic QUMxOnRva2Vu"));
    for (name, value) in [
        ("To", "+919876543210"),
        ("From", "+14155550100"),
        ("Url", "https://calls.example/webhooks/twilio/voice?reference=ref1"),
        ("FallbackUrl", "https://calls.example/webhooks/twilio/fallback?reference=ref1"),
        ("StatusCallback", "https://calls.example/webhooks/twilio/status?reference=ref1"),
        ("RecordingStatusCallback", "https://calls.example/webhooks/twilio/recording?reference=ref1"),
        ("AsyncAmdStatusCallback", "https://calls.example/webhooks/twilio/machine-detection?reference=ref1"),
        ("Record", "true"),
        ("AsyncAmd", "true"),
        ("TimeLimit", "600"),
        ("Timeout", "45"),
    ] {
        assert_eq!(asked.field(name), value, "{name}");
    }
    let events: Vec<String> =
        asked.form().into_iter().filter(|(name, _)| name == "StatusCallbackEvent").map(|(_, event)| event).collect();
    assert_eq!(events, ["ringing", "answered", "completed"]);
}

#[tokio::test]
async fn each_refusal_says_what_may_be_done_next() {
    let outside = Outside::start().await;
    let twilio = client(outside.base.as_str());
    for (status, code, expected) in
        [(401, 20003, Rejection::Credentials), (400, 21211, Rejection::BadNumber), (404, 20404, Rejection::NotFound)]
    {
        outside.on_place([Reply::Json(status, json!({"code": code, "message": "no", "status": status}))]);
        let outcome = twilio.place_call(&request()).await;
        assert!(matches!(outcome, Err(CarrierError::Rejected { cause, .. }) if cause == expected), "{outcome:?}");
    }
    outside.on_place([Reply::Json(429, json!({"code": 20429, "status": 429}))]);
    assert!(matches!(twilio.place_call(&request()).await, Err(CarrierError::RateLimited { .. })));
    outside.on_place([Reply::Text(503, "")]);
    let outcome = twilio.place_call(&request()).await;
    assert!(matches!(outcome, Err(CarrierError::Indeterminate(Doubt::ServerError(503)))), "{outcome:?}");
    outside.on_place([Reply::Silence]);
    assert!(matches!(twilio.place_call(&request()).await, Err(CarrierError::Indeterminate(Doubt::Broken(_)))));
    // Accepted, and no call named: it may ring.
    outside.on_place([Reply::Json(201, json!({}))]);
    assert!(matches!(twilio.place_call(&request()).await, Err(CarrierError::Indeterminate(Doubt::Unreadable))));
}

#[tokio::test]
async fn a_finished_call_comes_with_its_recording_once_that_is_complete() {
    let outside = Outside::start().await;
    let twilio = client(outside.base.as_str());
    let over = json!({"sid": "CA1", "status": "completed", "duration": "49"});
    outside.on_call([Reply::Json(200, over)]);
    outside.on_file([
        Reply::Json(200, json!({"recordings": [{"sid": "RE1", "status": "processing"}]})),
        Reply::Json(200, json!({"recordings": [{"sid": "RE1", "status": "completed"}]})),
    ]);
    let found = twilio.call("CA1").await.unwrap().unwrap();
    assert_eq!((found.progress, found.duration_seconds), (Progress::Over(CallStatus::Completed), Some(49)));
    assert_eq!(found.recording_url, None);
    let url = twilio.call("CA1").await.unwrap().unwrap().recording_url.unwrap();
    assert_eq!(url, format!("{}2010-04-01/Accounts/AC1/Recordings/RE1.mp3", outside.base));
    assert_eq!(outside.asked().last().unwrap().param("CallSid"), "CA1");
    outside.on_call([Reply::Json(404, json!({"code": 20404, "status": 404}))]);
    assert_eq!(twilio.call("CA2").await.unwrap(), None);
}

#[tokio::test]
async fn hanging_up_a_call_that_is_over_is_no_error() {
    let outside = Outside::start().await;
    let twilio = client(outside.base.as_str());
    outside.on_call([
        Reply::Json(200, json!({"sid": "CA1", "status": "completed"})),
        Reply::Json(404, json!({"code": 20404, "status": 404})),
        Reply::Json(400, json!({"code": 21220, "status": 400})),
    ]);
    for _ in 0..3 {
        twilio.hang_up("CA1").await.unwrap();
    }
    assert_eq!(outside.asked()[0].form(), [("Status".to_owned(), "completed".to_owned())]);
}

#[tokio::test]
async fn only_our_own_calls_of_the_time_in_question_are_found() {
    let outside = Outside::start().await;
    let twilio = client(outside.base.as_str());
    let now = shared::clock::wall();
    let mut caller = listed("CA4", "completed", now);
    caller["direction"] = json!("inbound");
    outside.on_list([Reply::Json(
        200,
        json!({"calls": [listed("CA1", "queued", now), caller, listed("CA3", "completed", now - TimeDelta::hours(2))]}),
    )]);
    let found = twilio.calls_to("+919876543210", now - TimeDelta::seconds(5), now).await.unwrap();
    let ids: Vec<&str> = found.iter().map(|call| call.carrier_call_id.as_str()).collect();
    assert_eq!(ids, ["CA1"]);
    assert_eq!(outside.asked()[0].param("To"), "+919876543210");
    // A full page that does not reach back far enough proves nothing.
    let page: Vec<Value> = (0..100).map(|n| listed(&format!("CA{n}"), "completed", now)).collect();
    outside.on_list([Reply::Json(200, json!({"calls": page}))]);
    let outcome = twilio.calls_to("+919876543210", now - TimeDelta::seconds(5), now).await;
    assert!(matches!(outcome, Err(CarrierError::Indeterminate(Doubt::Unreadable))), "{outcome:?}");
}

#[test]
fn credentials_are_shown_to_the_carriers_own_hosts_alone() {
    let twilio = client("https://api.twilio.com");
    let trusts = |url: &str| twilio.trusts(&url.parse().unwrap());
    assert!(trusts("https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1.mp3"));
    assert!(trusts("https://api.dublin.ie1.twilio.com/x"));
    assert!(!trusts("http://api.twilio.com/x"));
    assert!(!trusts("https://twilio.com.evil.example/x"));
    assert!(!trusts("https://com-twilio-us1-recordings.s3.amazonaws.com/x"));
}

/// An account of Twilio's, and its outside world.
async fn world() -> World {
    let world = World::with(&ACCOUNT).await;
    world.sql("update accounts set carrier = 'twilio'").await;
    world
}

async fn reconcile(world: &World, call: CallId) -> Result<(), JobError> {
    let job = ReconcileCall { call_id: call };
    jobs::reconcile_call::run(job, JobContext::detached("reconcile"), world.ctx.clone()).await
}

#[tokio::test]
async fn an_account_that_chooses_twilio_is_dialed_through_it() {
    let world = world().await;
    let campaign = world.campaign(1).await;
    let call = world.placed(campaign).await;
    let placed = world.call(call).await;
    assert_eq!((placed.carrier, placed.carrier_call_id.as_deref()), (Carrier::Twilio, Some("CA1")));
    assert_eq!(world.outside.place_requests().len(), 1);
    assert!(world.outside.place_requests()[0].field("Url").ends_with(&format!("reference={}", placed.reference)));
}

#[tokio::test]
async fn a_request_without_an_answer_is_found_by_its_number_and_never_sent_again() {
    let world = world().await;
    let campaign = world.campaign(1).await;
    let call = world.reserve_one(campaign).await;
    world.outside.on_place([Reply::Silence]);
    world.place(call).await.unwrap();
    let now = shared::clock::wall();
    world.outside.on_list([Reply::Json(200, json!({"calls": [listed("CA7", "ringing", now)]}))]);
    reconcile(&world, call).await.unwrap();
    let found = world.call(call).await;
    assert_eq!((found.carrier_call_id.as_deref(), found.status), (Some("CA7"), CallStatus::Ringing));
    world.place(call).await.unwrap();
    assert_eq!(world.outside.place_requests().len(), 1);
}

#[tokio::test]
async fn a_call_that_is_up_long_after_its_maximum_is_hung_up() {
    let world = world().await;
    let campaign = world.campaign(1).await;
    let call = world.placed(campaign).await;
    world.outside.on_call([Reply::Json(200, json!({"sid": "CA1", "status": "in-progress"}))]);
    let hang_ups = || world.outside.asked().iter().filter(|asked| asked.field("Status") == "completed").count();
    reconcile(&world, call).await.unwrap();
    assert_eq!(hang_ups(), 0, "it may well be up");
    let longest = world.ctx.settings.max_call + world.ctx.settings.ring_silence + Duration::from_secs(121);
    let seconds = longest.as_secs();
    world.sql(&format!("update calls set request_sent_at = now() - interval '{seconds} seconds'")).await;
    // A human was put through to another one: they may talk on for an hour, unless the line would stay up for ever.
    world
        .sql("insert into streams (call_id, account_id, stream_sid, media_instance, started_at, ends_by, ended_at, end_reason) \
            select id, account_id, 'MZ1', 'media-1', now(), now(), now(), 'transfer_to_human' from calls")
        .await;
    reconcile(&world, call).await.unwrap();
    assert_eq!(hang_ups(), 0, "they are talking");
    let silence = "select extract(epoch from lease_until - now())::bigint from calls";
    assert!(world.number(silence).await > 240, "and nobody tells so: they are not asked about every minute");
    world.sql("update calls set request_sent_at = request_sent_at - interval '3600 seconds'").await;
    reconcile(&world, call).await.unwrap();
    assert_eq!(hang_ups(), 1);
    world.sql("delete from streams").await;
    reconcile(&world, call).await.unwrap();
    assert_eq!(hang_ups(), 2);
}

#[tokio::test]
async fn a_text_to_who_has_opted_out_at_the_carrier_is_a_stop() {
    let world = world().await;
    let campaign = world.campaign(1).await;
    let call = world.placed(campaign).await;
    let mut conn = world.db.acquire().await.unwrap();
    outgoing_message::request(&mut conn, call, "brochure", "Here it is.", None, world.now()).await.unwrap();
    drop(conn);
    let refusal = json!({"code": 21610, "message": "Attempt to send to unsubscribed recipient", "status": 400});
    world.outside.on_file([Reply::Json(400, refusal)]);
    let message_id = MessageId(world.number("select id from messages").await);
    let job = SendMessage { message_id };
    jobs::send_message::run(job, JobContext::detached("send"), world.ctx.clone()).await.unwrap();
    assert_eq!(world.text("select status || ' ' || reason from messages").await.as_deref(), Some("failed opted_out"));
    assert_eq!(world.number("select count(*) from do_not_call where source = 'sms'").await, 1);
    assert!(world.outside.asked().iter().any(|asked| asked.path.ends_with("/Messages.json")));
}

#[tokio::test]
async fn a_carrier_without_credentials_places_nothing_and_pauses_the_account() {
    let world = World::new().await;
    world.sql("update accounts set carrier = 'twilio'").await;
    let campaign = world.campaign(1).await;
    let call = world.reserve_one(campaign).await;
    world.place(call).await.unwrap();
    assert!(world.outside.place_requests().is_empty());
    assert_eq!(world.text("select pause_reason from campaigns").await.as_deref(), Some("carrier_auth"));
    assert!(world.call(call).await.withdrawn_at.is_some());
}
