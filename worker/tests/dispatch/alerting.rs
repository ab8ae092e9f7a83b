//! When calling stops by itself, what it says, and who hears of it.

use std::sync::Arc;

use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use shared::call::CallStatus;
use shared::campaign::Campaign;
use shared::id::{AlertId, CampaignId};
use shared::jobs::deliver_alert::DeliverAlert;
use shared::jobs::sweep::Sweep;
use worker::context::{AlertWebhook, Context, Settings};
use worker::jobs;
use worker::queue::{JobContext, JobError};

use crate::outside::Reply;
use crate::world::{World, snoozed};

fn refusal(status: u16, message: &str) -> Reply {
    Reply::Json(status, json!({"RestException": {"Status": status, "Message": message}}))
}

/// A running campaign with so many leads, all of which may be called at once.
async fn wide_campaign(world: &World, leads: usize) -> CampaignId {
    let campaign = world.campaign(leads).await;
    world.sql("update campaigns set max_concurrent_calls = 100").await;
    campaign
}

async fn status(world: &World, campaign: CampaignId) -> String {
    world
        .text(&format!("select status || coalesce(' ' || pause_reason, '') from campaigns where id = {campaign}"))
        .await
        .unwrap()
}

async fn detail(world: &World, campaign: CampaignId) -> String {
    world.text(&format!("select pause_detail from campaigns where id = {campaign}")).await.unwrap_or_default()
}

async fn open_alerts(world: &World) -> Vec<String> {
    sqlx::query_scalar("select kind from alerts where resolved_at is null order by id")
        .fetch_all(&world.db)
        .await
        .unwrap()
}

async fn resume(world: &World, campaign: CampaignId) {
    world.clock.advance(TimeDelta::minutes(1));
    let mut tx = world.db.begin().await.unwrap();
    Campaign::resume(&mut tx, world.account, campaign, world.now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}

async fn sweep(world: &World) {
    jobs::sweep::run(Sweep::default(), JobContext::detached("sweep"), world.ctx.clone()).await.unwrap();
}

/// Answered, then over, after so many seconds in which nobody of ours spoke.
async fn answered_in_silence(world: &World, call: shared::id::CallId, seconds: i64) {
    world
        .sql(&format!(
            "update calls set answered_at = '{}', duration_seconds = {seconds} where id = {call}",
            world.now()
        ))
        .await;
    world.ends(call, CallStatus::Completed).await;
}

#[tokio::test]
async fn half_of_the_latest_calls_failing_pauses_the_campaign_and_says_why() {
    let world = World::new().await;
    let campaign = wide_campaign(&world, 20).await;
    for (index, call) in world.reserve(campaign).await.calls.into_iter().enumerate() {
        assert_eq!(status(&world, campaign).await, "running", "before call {index}");
        if index % 2 == 0 {
            world.place(call).await.unwrap();
            world.ends(call, CallStatus::Busy).await;
        } else {
            world.outside.on_place([refusal(403, "this account may not call")]);
            world.place(call).await.unwrap();
            world.settle(call).await;
        }
    }
    assert_eq!(status(&world, campaign).await, "paused circuit_breaker");
    assert_eq!(
        detail(&world, campaign).await,
        "10 of the last 20 calls failed at the carrier (the account may not do this, HTTP 403). Calls stopped at 13:00 \
         (Asia/Kolkata); nothing was lost. Resume when the carrier allows the account to call."
    );
    assert_eq!(open_alerts(&world).await, ["circuit_breaker"]);
    assert_eq!(world.text("select detail from alerts").await.unwrap(), detail(&world, campaign).await);
    assert!(world.has_job("alert:1").await);
}

#[tokio::test]
async fn numbers_that_do_not_exist_do_not_trip_it() {
    let world = World::new().await;
    let campaign = wide_campaign(&world, 12).await;
    world.outside.on_place((0..12).map(|_| refusal(400, "Invalid parameter From")));
    for call in world.reserve(campaign).await.calls {
        world.place(call).await.unwrap();
        world.settle(call).await;
    }
    assert_eq!(status(&world, campaign).await, "running");
    assert!(open_alerts(&world).await.is_empty());
}

#[tokio::test]
async fn a_carrier_that_answers_every_call_with_an_error_trips_it_before_anything_is_known() {
    let world = World::new().await;
    let campaign = wide_campaign(&world, 8).await;
    world.outside.on_place((0..8).map(|_| Reply::Text(503, "busy")));
    for call in world.reserve(campaign).await.calls {
        assert_eq!(status(&world, campaign).await, "running");
        world.place(call).await.unwrap();
    }
    assert_eq!(status(&world, campaign).await, "paused circuit_breaker");
    let told = detail(&world, campaign).await;
    assert!(told.starts_with("The last 8 calls failed at the carrier (the carrier failed with status 503)."), "{told}");
}

#[tokio::test]
async fn calls_that_were_not_placed_or_are_unknown_trip_it_when_they_settle() {
    let world = World::new().await;
    let campaign = wide_campaign(&world, 8).await;
    for (index, call) in world.reserve(campaign).await.calls.into_iter().enumerate() {
        world.sql(&format!("update calls set status = 'dialing' where id = {call}")).await;
        let mut tx = world.db.begin().await.unwrap();
        if index % 2 == 0 {
            shared::dial::not_placed(&mut tx, call, world.now()).await.unwrap();
        } else {
            shared::dial::unknown(&mut tx, call, "the carrier cannot say", world.now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(status(&world, campaign).await, "running");
        world.settle(call).await;
    }
    assert_eq!(status(&world, campaign).await, "paused circuit_breaker");
}

#[tokio::test]
async fn people_who_answer_and_hear_nobody_trip_it_and_those_who_hang_up_at_once_do_not() {
    let world = World::new().await;
    let campaign = wide_campaign(&world, 16).await;
    let calls = world.reserve(campaign).await.calls;
    for call in &calls {
        world.place(*call).await.unwrap();
    }
    for call in &calls[..6] {
        answered_in_silence(&world, *call, 2).await;
    }
    assert_eq!(status(&world, campaign).await, "running");
    for call in &calls[6..10] {
        answered_in_silence(&world, *call, 20).await;
    }
    world.speaks(calls[10], "hello").await;
    world.ends(calls[10], CallStatus::Completed).await;
    for call in &calls[11..15] {
        answered_in_silence(&world, *call, 20).await;
    }
    assert_eq!(status(&world, campaign).await, "running", "a conversation lies between them");
    world.sql(&format!("update calls set hangup_cause = 'stream_failed' where id = {}", calls[15])).await;
    answered_in_silence(&world, calls[15], 1).await;
    assert_eq!(status(&world, campaign).await, "paused circuit_breaker");
    assert!(detail(&world, campaign).await.starts_with("The last 5 people who answered heard nobody"));
}

#[tokio::test]
async fn a_resume_is_a_fresh_start_and_resolves_the_alert() {
    let world = World::new().await;
    let campaign = wide_campaign(&world, 10).await;
    world.outside.on_place((0..20).map(|_| refusal(404, "no such flow")));
    for call in world.reserve(campaign).await.calls {
        world.place(call).await.unwrap();
        world.settle(call).await;
    }
    assert_eq!(status(&world, campaign).await, "paused circuit_breaker");
    resume(&world, campaign).await;
    assert_eq!((status(&world, campaign).await.as_str(), detail(&world, campaign).await.as_str()), ("running", ""));
    assert!(open_alerts(&world).await.is_empty());
    // One more failure is the first.
    let call = world.reserve(campaign).await.calls[0];
    world.place(call).await.unwrap();
    world.settle(call).await;
    assert_eq!(status(&world, campaign).await, "running");
}

#[tokio::test]
async fn an_empty_balance_pauses_every_campaign_of_the_account_and_no_other() {
    for (code, reason, words) in
        [(402, "balance", "Top up the Exotel account"), (401, "carrier_auth", "EXOTEL_API_KEY or EXOTEL_API_TOKEN")]
    {
        let world = World::new().await;
        let (first, second) = (world.campaign(1).await, world.campaign(1).await);
        let stranger: i64 = sqlx::query_scalar("insert into accounts (name) values ('Other') returning id")
            .fetch_one(&world.db)
            .await
            .unwrap();
        let mut conn = world.db.acquire().await.unwrap();
        shared::voice_agent::ensure_default(&mut conn, shared::id::AccountId(stranger)).await.unwrap();
        let other: i64 = sqlx::query_scalar(
            "insert into campaigns (account_id, voice_agent_id, name, status, calling_hours, retry_policy, created_at, updated_at)
             select $1, v.id, 'Other', 'running', '{}', '{}', now(), now() from voice_agents v where v.account_id = $1 returning id",
        )
        .bind(stranger)
        .fetch_one(&world.db)
        .await
        .unwrap();
        let call = world.reserve_one(first).await;
        world.outside.on_place([refusal(code, "no")]);
        world.place(call).await.unwrap();
        let paused = format!("paused {reason}");
        assert_eq!([status(&world, first).await, status(&world, second).await], [paused.clone(), paused]);
        assert_eq!(status(&world, CampaignId(other)).await, "running");
        assert!(detail(&world, second).await.contains(words), "{}", detail(&world, second).await);
        assert_eq!(world.lead_of(call).await.1, 0, "nothing was lost");
        assert_eq!(open_alerts(&world).await, [reason], "one alert for the account");
        resume(&world, first).await;
        assert_eq!(open_alerts(&world).await, [reason], "another campaign is still paused for it");
        resume(&world, second).await;
        assert!(open_alerts(&world).await.is_empty());
    }
}

#[tokio::test]
async fn unknown_calls_raise_one_alert_until_somebody_has_seen_them() {
    let world = World::new().await;
    let campaign = wide_campaign(&world, 3).await;
    let calls = world.reserve(campaign).await.calls;
    let unknown = |call| {
        format!(
            "update calls set status = 'unknown', settled_at = now(), ended_at = now(), updated_at = now() where id = {call}"
        )
    };
    sweep(&world).await;
    assert!(open_alerts(&world).await.is_empty());
    world.sql(&unknown(calls[0])).await;
    sweep(&world).await;
    sweep(&world).await;
    assert_eq!(open_alerts(&world).await, ["call_unknown"]);
    shared::alert::acknowledge(&world.db, world.account, AlertId(1), world.now()).await.unwrap().unwrap();
    sweep(&world).await;
    assert!(open_alerts(&world).await.is_empty(), "they have been seen");
    world.sql(&unknown(calls[1])).await;
    sweep(&world).await;
    assert_eq!(open_alerts(&world).await, ["call_unknown"], "this one has not");
    world.sql("update calls set status = 'completed' where status = 'unknown'").await;
    sweep(&world).await;
    assert!(open_alerts(&world).await.is_empty(), "they have been explained");
}

#[tokio::test]
async fn a_dead_job_raises_an_alert_of_its_account_and_a_canceled_or_nobodys_one_does_not() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let call = world.reserve_one(campaign).await;
    let kill = |key: &str| {
        format!(
            "update apalis.jobs set status = 'Killed', done_at = now(), attempts = 20 where idempotency_key = '{key}'"
        )
    };
    world
        .sql(
            "insert into apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata, idempotency_key, done_at)
             values ('j1', 'place_call', 'no json', 'Killed', 1, 1, now(), 0, '', 'a', now()),
                ('j2', 'sweep', '{\"v\":1,\"data\":{}}', 'Killed', 1, 1, now(), 0, '', 'b', now()),
                ('j3', 'place_call', convert_to('{\"v\":1,\"data\":{\"call_id\":1}}', 'UTF8'), 'Killed', 1, 1, now(), 0,
                    hstore('cancel_requested_at', now()::text), 'c', now())",
        )
        .await;
    sweep(&world).await;
    assert!(open_alerts(&world).await.is_empty());
    world.sql(&kill(&format!("place:{call}"))).await;
    sweep(&world).await;
    assert_eq!(open_alerts(&world).await, ["dead_job"]);
    let told = world.text("select detail from alerts").await.unwrap();
    assert!(told.starts_with(&format!("Gave up: place_call (call {call}) after 20 tries.")), "{told}");
    world.sql(&format!("delete from apalis.jobs where idempotency_key = 'place:{call}'")).await;
    sweep(&world).await;
    assert!(open_alerts(&world).await.is_empty());
}

/// The worker's context with a webhook at the test's outside world.
fn with_webhook(world: &World) -> Context {
    let webhook =
        AlertWebhook { url: world.outside.base.join("hook?key=1").unwrap(), secret: "s3cret".to_owned().into() };
    let mut ctx = world.ctx.clone();
    ctx.settings = Arc::new(Settings { alert_webhook: Some(webhook), ..(*ctx.settings).clone() });
    ctx
}

async fn deliver(ctx: &Context) -> Result<(), JobError> {
    jobs::deliver_alert::run(DeliverAlert { alert_id: AlertId(1) }, JobContext::detached("alert"), ctx.clone()).await
}

#[tokio::test]
async fn the_webhook_hears_of_an_alert_once_signed_and_under_its_id() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let call = world.reserve_one(campaign).await;
    world.outside.on_place([refusal(402, "no")]);
    world.place(call).await.unwrap();
    let ctx = with_webhook(&world);
    deliver(&world.ctx).await.unwrap();
    assert_eq!(
        world.number("select count(*) from alerts where delivered_at is not null").await,
        0,
        "nobody is to hear of it"
    );

    world.outside.on_file([Reply::Bytes(429, vec![("retry-after", "30".into())], Vec::new())]);
    assert_eq!(snoozed(deliver(&ctx).await).as_secs(), 30);
    world.outside.on_file([Reply::Text(500, "oh")]);
    assert!(matches!(deliver(&ctx).await, Err(JobError::Retry(_))));
    world.outside.on_file([Reply::Text(410, "gone")]);
    assert!(matches!(deliver(&ctx).await, Err(JobError::Discard(_))));
    world.outside.on_file([Reply::Text(204, "")]);
    deliver(&ctx).await.unwrap();
    deliver(&ctx).await.unwrap();
    let heard: Vec<_> = world.outside.asked().into_iter().filter(|asked| asked.path == "/hook").collect();
    assert_eq!(heard.len(), 4, "the fourth was taken, and there is no fifth");
    let body: Value = serde_json::from_slice(&heard[3].body).unwrap();
    assert_eq!((&body["id"], &body["kind"], &body["status"]), (&json!("alert-1"), &json!("balance"), &json!("open")));
    assert_eq!((&body["account_id"], &body["campaign_id"]), (&json!(world.account), &Value::Null));
    assert!(body["detail"].as_str().unwrap().contains("Top up"));
    let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(&heard[3].body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(heard[3].headers["x-trunkline-signature"], format!("sha256={hex}"));
    assert_eq!(heard[3].headers["x-trunkline-id"], "alert-1");
}

#[tokio::test]
async fn a_lost_delivery_is_derived_anew() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let call = world.reserve_one(campaign).await;
    world.outside.on_place([refusal(401, "no")]);
    world.place(call).await.unwrap();
    world.sql("delete from apalis.jobs").await;
    sweep(&world).await;
    assert!(world.has_job("alert:1").await);
    world.sql("update alerts set delivered_at = now(); delete from apalis.jobs").await;
    sweep(&world).await;
    assert!(!world.has_job("alert:1").await);
}
