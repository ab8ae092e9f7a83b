//! What a finished call means for its lead.

use chrono::TimeDelta;
use shared::call::CallStatus;
use shared::dispatch::Dispatched;

use crate::world::{World, at};

#[tokio::test]
async fn a_busy_lead_is_dialed_again_after_the_backoff() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.ends(id, CallStatus::Busy).await;
    let (status, attempts, next_at) = world.lead_of(id).await;
    assert_eq!((status.as_str(), attempts), ("waiting_retry", 1));
    // Four hours, give or take a tenth.
    let wait = next_at - world.now();
    assert!((TimeDelta::minutes(216)..=TimeDelta::minutes(264)).contains(&wait), "{wait}");
    assert!(world.has_job(&format!("dispatch:{campaign}")).await);
}

#[tokio::test]
async fn a_retry_after_closing_time_lands_in_the_next_window() {
    let world = World::new().await;
    world.clock.advance(TimeDelta::hours(5));
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.ends(id, CallStatus::Busy).await;
    assert_eq!(world.lead_of(id).await.2, at("2026-11-24T04:30:00Z"));
}

#[tokio::test]
async fn settling_twice_changes_nothing() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.ends(id, CallStatus::NoAnswer).await;
    let first = world.lead_of(id).await;
    world.clock.advance(TimeDelta::hours(1));
    world.settle(id).await;
    world.ends(id, CallStatus::Completed).await;
    assert_eq!(world.lead_of(id).await, first);
    assert_eq!(world.call(id).await.status, CallStatus::NoAnswer);
    assert_eq!(world.number("select count(*) from call_events where kind = 'settled'").await, 1);
}

#[tokio::test]
async fn the_last_attempt_exhausts_the_lead_and_completes_the_campaign() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    for attempt in 1..=3 {
        let id = world.placed(campaign).await;
        assert_eq!(world.call(id).await.attempt, attempt);
        world.ends(id, CallStatus::NoAnswer).await;
        world.clock.advance(TimeDelta::hours(24));
    }
    assert_eq!(world.number("select count(*) from leads where status = 'exhausted'").await, 1);
    assert_eq!(world.dispatch(campaign).await, Dispatched::Completed);
    assert_eq!(world.text("select status from campaigns").await.as_deref(), Some("completed"));
}

#[tokio::test]
async fn a_machine_and_a_silent_answer_are_tried_again() {
    for (answered_by, disposition) in [("'machine'", "voicemail"), ("null", "no_conversation")] {
        let world = World::new().await;
        let campaign = world.campaign(1).await;
        let id = world.placed(campaign).await;
        world.sql(&format!("update calls set answered_by = {answered_by}")).await;
        world.ends(id, CallStatus::Completed).await;
        assert_eq!(world.lead_of(id).await.0, "waiting_retry");
        assert_eq!(world.notes(id).await["disposition"], disposition);
        assert_eq!(world.text("select disposition from leads").await.as_deref(), Some(disposition));
    }
}

#[tokio::test]
async fn a_carrier_that_takes_somebody_who_speaks_for_a_machine_costs_no_conversation() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "I am looking for a flat").await;
    world.sql("update calls set answered_by = 'machine'").await;
    world.ends(id, CallStatus::Completed).await;
    assert_eq!(world.lead_of(id).await.0, "in_call");
    assert_eq!(world.notes(id).await["summary_status"], "pending");
}

#[tokio::test]
async fn a_machine_that_the_agent_heard_itself_is_one_whatever_it_said() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "Please leave a message after the tone").await;
    world.sql("insert into conversations (call_id, account_id, live_disposition) select id, account_id, 'voicemail' from calls").await;
    world.ends(id, CallStatus::Completed).await;
    assert_eq!(world.lead_of(id).await.0, "waiting_retry");
    assert_eq!(world.notes(id).await["disposition"], "voicemail");
}

#[tokio::test]
async fn a_conversation_keeps_its_lead_until_it_is_summarised() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "I am looking for a flat").await;
    world.ends(id, CallStatus::Completed).await;
    assert_eq!(world.lead_of(id).await.0, "in_call");
    assert_eq!(world.notes(id).await["summary_status"], "pending");
    assert!(world.has_job(&format!("summarize:{id}")).await);
    assert!(matches!(world.dispatch(campaign).await, Dispatched::Reserved(_)), "the campaign waits for the summary");
}

#[tokio::test]
async fn a_stopped_campaign_calls_nobody_back() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.sql("update campaigns set status = 'canceled'").await;
    world.ends(id, CallStatus::Busy).await;
    assert_eq!(world.lead_of(id).await.0, "canceled");
}

#[tokio::test]
async fn a_retry_that_would_come_after_the_campaigns_end_expires_the_lead() {
    let world = World::new().await;
    let campaign = world.campaign(2).await;
    let calls = world.reserve(campaign).await.calls;
    let [first, second] = calls[..] else { panic!("{calls:?}") };
    for id in &calls {
        world.place(*id).await.unwrap();
    }
    // Busy waits for four hours, which is 17:00, give or take a tenth.
    world.sql("update campaigns set ends_at = '2026-11-23T13:00:00Z'").await;
    world.ends(first, CallStatus::Busy).await;
    assert_eq!(world.lead_of(first).await.0, "waiting_retry");
    world.sql("update campaigns set ends_at = '2026-11-23T10:00:00Z'").await;
    world.ends(second, CallStatus::Busy).await;
    assert_eq!(world.lead_of(second).await.0, "expired");
    assert_eq!(
        world
            .text("select data ->> 'lead_status' from call_events where kind = 'settled' order by id desc limit 1")
            .await,
        Some("expired".into())
    );
}

#[tokio::test]
async fn a_retry_that_only_the_next_morning_would_see_expires_with_a_campaign_that_ends_tonight() {
    let world = World::new().await;
    world.clock.advance(TimeDelta::hours(5));
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.sql("update campaigns set ends_at = '2026-11-23T20:00:00Z'").await;
    world.ends(id, CallStatus::Busy).await;
    assert_eq!(
        (world.lead_of(id).await.0.as_str(), world.lead_of(id).await.2),
        ("expired", at("2026-11-24T04:30:00Z"))
    );
    assert_eq!(world.dispatch(campaign).await, Dispatched::Completed);
}
