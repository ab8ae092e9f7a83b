//! From a reserved call to one that the carrier has in hand, or provably has not.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use shared::call::CallStatus;
use worker::queue::JobError;

use crate::outside::Reply;
use crate::world::{World, snoozed};

fn refusal(status: u16, message: &str) -> Reply {
    Reply::Json(status, json!({"RestException": {"Status": status, "Message": message}}))
}

#[tokio::test]
async fn a_call_is_recorded_where_its_campaign_and_its_voice_agent_both_want_it() {
    for (campaign_records, agent_records, recorded) in
        [(true, true, "true"), (true, false, "false"), (false, true, "false"), (false, false, "false")]
    {
        let world = World::new().await;
        let campaign = world.campaign(1).await;
        world.sql(&format!("update campaigns set record = {campaign_records}")).await;
        let setting = format!("'{{\"recording_enabled\": {agent_records}}}'");
        world.sql(&format!("update voice_agent_versions set settings = settings || {setting}")).await;
        let id = world.placed(campaign).await;
        let [request] = &world.outside.place_requests()[..] else { panic!("one request") };
        assert_eq!(request.field("Record"), recorded, "{campaign_records} {agent_records}");
        world.speaks(id, "hello").await;
        let expected = shared::recording::is_expected(&world.db, id).await.unwrap();
        assert_eq!(expected.to_string(), recorded, "nobody asks the carrier for what it was not told to make");
    }
}

#[tokio::test]
async fn a_call_is_committed_as_dialing_before_its_request_and_carries_its_reference() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    let call = world.call(id).await;
    assert_eq!((call.status, call.carrier_call_id.as_deref()), (CallStatus::Dialing, Some("sid1")));
    assert!(call.request_sent_at.is_some());
    assert_eq!(world.event_kinds(id).await, ["reserved", "dialing", "placed"]);

    let [request] = &world.outside.place_requests()[..] else { panic!("one request") };
    assert_eq!(request.path, "/v1/Accounts/acme1/Calls/connect.json");
    assert_eq!(request.field("From"), call.phone);
    assert_eq!(request.field("CallerId"), "08047112233");
    assert_eq!(request.field("Url"), "http://my.exotel.com/acme1/exoml/start_voice/1001");
    assert_eq!(request.field("CustomField"), call.reference);
    assert_eq!((request.field("Record"), request.field("TimeLimit")), ("true".into(), "600".into()));
    let callback =
        format!("http://127.0.0.1:8000/webhooks/exotel/call-status?secret=s3cret&reference={}", call.reference);
    assert_eq!(request.field("StatusCallback"), callback);
    assert_eq!(request.authorization.as_deref(), Some("Basic a2V5OnRva2Vu"));
}

#[tokio::test]
async fn a_human_who_is_put_through_may_talk_on_when_the_agents_time_is_used_up() {
    for (settings, limit) in [
        ("{}", "600"),
        (r#"{"transfer_to": []}"#, "600"),
        (r#"{"transfer_to": ["+919811100001"]}"#, "4200"),
        // Nobody but the carrier ends a conversation that it gathers itself.
        (r#"{"transfer_to": ["+919811100001"], "gathered_speech": true}"#, "600"),
    ] {
        let world = World::new().await;
        let campaign = world.campaign(1).await;
        world.sql(&format!("update voice_agent_versions set settings = settings || '{settings}'")).await;
        world.placed(campaign).await;
        assert_eq!(world.outside.place_requests()[0].field("TimeLimit"), limit, "{settings}");
    }
}

#[tokio::test]
async fn a_second_run_never_dials_again() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.place(id).await.unwrap();
    assert_eq!(world.outside.place_requests().len(), 1);
    assert!(world.has_job(&format!("reconcile:{id}")).await);
}

#[tokio::test]
async fn a_run_that_died_before_or_after_its_request_is_asked_about_and_not_repeated() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.reserve_one(campaign).await;
    let mut conn = world.db.acquire().await.unwrap();
    let limits = &world.ctx.settings.limits;
    shared::dial::begin(&mut conn, id, world.now(), limits, Duration::from_secs(15)).await.unwrap();
    world.place(id).await.unwrap();
    assert!(world.outside.place_requests().is_empty());
    assert!(world.has_job(&format!("reconcile:{id}")).await);
}

#[tokio::test]
async fn every_guard_is_read_again_at_the_instant_of_dialing() {
    for (what, lead_after) in [
        ("update campaigns set status = 'paused', pause_reason = 'operator'", "pending"),
        ("update campaigns set status = 'canceled'", "canceled"),
        (
            "insert into do_not_call (account_id, phone, reason, source, created_at)
             select account_id, phone, 'asked', 'operator', now() from leads",
            "suppressed",
        ),
        ("update leads set consent_basis = 'refused'", "suppressed"),
        ("update campaigns set require_consent = true", "suppressed"),
        ("update campaigns set ends_at = '2026-11-23T07:00:00Z'", "expired"),
        ("update campaign_windows set closes_at = '2026-11-23T07:30:00Z'", "pending"),
        // Before the phone rang it would be closed.
        ("update campaign_windows set closes_at = '2026-11-23T07:30:02Z'", "pending"),
    ] {
        let world = World::new().await;
        let campaign = world.campaign(1).await;
        let id = world.reserve_one(campaign).await;
        world.sql(what).await;
        world.place(id).await.unwrap();
        assert!(world.outside.place_requests().is_empty(), "{what}");
        let call = world.call(id).await;
        assert_eq!((call.status, call.withdrawn_at.is_some()), (CallStatus::Canceled, true), "{what}");
        let (status, attempts, _) = world.lead_of(id).await;
        assert_eq!((status.as_str(), attempts), (lead_after, 0), "{what}");
    }
}

#[tokio::test]
async fn calls_that_were_reserved_in_time_still_reach_the_carrier_one_at_a_time() {
    let world = World::new().await;
    let campaign = world.campaign(2).await;
    let calls = world.reserve(campaign).await.calls;
    for limit in ["update accounts set calls_per_second = 0.5", "update campaigns set calls_per_second = 0.5"] {
        world.sql("update accounts set calls_per_second = 1000; update campaigns set calls_per_second = null").await;
        world.sql(limit).await;
        world.sql("delete from pace_buckets; delete from campaign_pace_buckets").await;
        let sent = world.outside.place_requests().len();
        world.place(calls[0]).await.unwrap();
        let wait = snoozed(world.place(calls[1]).await);
        assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&wait), "{limit}: {wait:?}");
        assert_eq!(world.outside.place_requests().len(), sent + 1, "{limit}");
        assert_eq!(world.call(calls[1]).await.status, CallStatus::Queued);
        world.sql("update calls set status = 'queued', carrier_call_id = null").await;
    }
}

#[tokio::test]
async fn a_call_that_may_not_be_dialed_does_not_wait_for_its_pace_to_hear_so() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.reserve_one(campaign).await;
    world.sql("update accounts set calls_per_second = 0.5; update pace_buckets set tokens = 0").await;
    world.sql("update campaigns set status = 'paused', pause_reason = 'operator'").await;
    world.place(id).await.unwrap();
    assert_eq!(world.call(id).await.status, CallStatus::Canceled);
}

#[tokio::test]
async fn a_database_so_slow_that_the_guards_go_stale_keeps_the_request_from_leaving() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.reserve_one(campaign).await;
    let mut other = world.db.begin().await.unwrap();
    sqlx::query("select from pace_buckets for update").execute(&mut *other).await.unwrap();
    let slow = async {
        sqlx::query("select pg_sleep(2.1)").execute(&mut *other).await.unwrap();
        other.rollback().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(world.place(id), slow);
    snoozed(outcome);
    assert!(world.outside.place_requests().is_empty());
    assert_eq!(world.call(id).await.status, CallStatus::Queued);
    world.place(id).await.unwrap();
    assert_eq!(world.outside.place_requests().len(), 1);
}

#[tokio::test]
async fn a_withdrawn_call_is_no_attempt_and_the_next_one_takes_its_number() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.reserve_one(campaign).await;
    world.sql("update campaigns set status = 'paused', pause_reason = 'operator'").await;
    world.place(id).await.unwrap();
    world.sql("update campaigns set status = 'running', pause_reason = null").await;
    let next = world.reserve_one(campaign).await;
    assert_ne!(id, next);
    assert_eq!(world.call(next).await.attempt, 1);
}

#[tokio::test]
async fn a_rate_limit_sends_the_call_back_and_halves_the_pace() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.reserve_one(campaign).await;
    world.outside.on_place([Reply::Bytes(429, vec![("retry-after", "7".into())], Vec::new())]);
    let wait = snoozed(world.place(id).await);
    assert!((Duration::from_secs(7)..Duration::from_secs(11)).contains(&wait), "{wait:?}");
    assert_eq!(world.call(id).await.status, CallStatus::Queued);
    assert_eq!(world.lead_of(id).await.1, 1);
    assert_eq!(world.number("select (factor * 100)::bigint from pace_buckets").await, 50);
    world.place(id).await.unwrap();
    assert_eq!(world.call(id).await.carrier_call_id.as_deref(), Some("sid1"));
}

#[tokio::test]
async fn a_carrier_that_cannot_be_reached_is_tried_again_and_then_spared() {
    let world = World::with(&["--exotel-api-base-url", "http://127.0.0.1:9"]).await;
    let campaign = world.campaign(1).await;
    let id = world.reserve_one(campaign).await;
    for attempt in 1..5 {
        let outcome = world.place_on_attempt(id, attempt).await;
        assert!(matches!(outcome, Err(JobError::Retry(_))), "{outcome:?}");
        assert_eq!(world.call(id).await.status, CallStatus::Queued);
    }
    world.place_on_attempt(id, 5).await.unwrap();
    assert!(world.call(id).await.withdrawn_at.is_some());
    let (status, attempts, next_at) = world.lead_of(id).await;
    assert_eq!((status.as_str(), attempts), ("pending", 0));
    assert_eq!(next_at, world.now() + TimeDelta::minutes(10));
}

#[tokio::test]
async fn a_number_on_the_carriers_register_joins_our_list() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.reserve_one(campaign).await;
    world.outside.on_place([refusal(403, "Call to 09876543210 cannot be made because of TRAI NDNC regulations")]);
    world.place(id).await.unwrap();
    world.settle(id).await;
    assert_eq!(world.call(id).await.status, CallStatus::Failed);
    assert_eq!(world.lead_of(id).await.0, "suppressed");
    assert_eq!(world.number("select count(*) from do_not_call where source = 'carrier'").await, 1);
}

#[tokio::test]
async fn wrong_credentials_and_an_empty_balance_pause_the_campaign_and_cost_no_attempt() {
    for (status, reason) in [(401, "carrier_auth"), (402, "balance")] {
        let world = World::new().await;
        let campaign = world.campaign(1).await;
        let id = world.reserve_one(campaign).await;
        world.outside.on_place([refusal(status, "no")]);
        world.place(id).await.unwrap();
        assert!(world.call(id).await.withdrawn_at.is_some());
        assert_eq!(world.lead_of(id).await.1, 0);
        assert_eq!(
            world.text("select status || ' ' || pause_reason from campaigns").await.unwrap(),
            format!("paused {reason}")
        );
    }
}

#[tokio::test]
async fn a_refused_request_ends_its_attempt_with_the_cause() {
    for (status, cause) in [(400, "carrier_bad_request"), (403, "carrier_forbidden"), (404, "carrier_not_found")] {
        let world = World::new().await;
        let campaign = world.campaign(1).await;
        let id = world.reserve_one(campaign).await;
        world.outside.on_place([refusal(status, "no")]);
        world.place(id).await.unwrap();
        let call = world.call(id).await;
        assert_eq!((call.status, call.failure_reason.as_deref()), (CallStatus::Failed, Some(cause)));
        world.settle(id).await;
        assert_eq!(world.lead_of(id).await.0, "waiting_retry");
    }
}

#[tokio::test]
async fn failures_of_the_system_in_a_row_trip_the_circuit_breaker_and_busy_lines_do_not() {
    let world = World::new().await;
    let campaign = world.campaign(9).await;
    world.outside.on_place((0..9).map(|_| refusal(400, "CallerId is not an ExoPhone")));
    let calls = world.reserve(campaign).await.calls;
    for id in &calls[..7] {
        world.place(*id).await.unwrap();
    }
    assert_eq!(world.text("select status from campaigns").await.as_deref(), Some("running"));
    world.place(calls[7]).await.unwrap();
    assert_eq!(world.text("select pause_reason from campaigns").await.as_deref(), Some("circuit_breaker"));
    world.place(calls[8]).await.unwrap();
    assert_eq!(world.outside.place_requests().len(), 8);
}

#[tokio::test]
async fn an_answer_that_never_comes_or_says_nothing_leaves_the_call_in_doubt() {
    for reply in [Reply::Silence, Reply::Text(200, ""), Reply::Text(502, "bad gateway"), Reply::Text(200, "<html>")] {
        let world = World::new().await;
        let campaign = world.campaign(1).await;
        let id = world.reserve_one(campaign).await;
        world.outside.on_place([reply.clone()]);
        world.place(id).await.unwrap();
        let call = world.call(id).await;
        assert_eq!((call.status, call.carrier_call_id), (CallStatus::Dialing, None), "{reply:?}");
        assert!(world.has_job(&format!("reconcile:{id}")).await);
        world.place(id).await.unwrap();
        assert_eq!(world.outside.place_requests().len(), 1);
    }
}
