//! Calls about which the answer got lost.

use serde_json::{Value, json};
use shared::call::CallStatus;
use shared::id::CallId;
use shared::jobs::reconcile_call::ReconcileCall;
use worker::jobs::reconcile_call;
use worker::queue::{JobContext, JobError};

use crate::outside::{Reply, carrier_call};
use crate::world::{World, snoozed};

async fn ask(world: &World, id: CallId) -> Result<(), JobError> {
    reconcile_call::run(ReconcileCall { call_id: id }, JobContext::detached("reconcile"), world.ctx.clone()).await
}

/// A call whose request got no usable answer.
async fn in_doubt(world: &World) -> CallId {
    let campaign = world.campaign(1).await;
    let id = world.reserve_one(campaign).await;
    world.outside.on_place([Reply::Text(502, "bad gateway")]);
    world.place(id).await.unwrap();
    id
}

fn list(calls: &[Value]) -> Reply {
    Reply::Json(200, json!({"Metadata": {"Total": calls.len()}, "Calls": calls}))
}

async fn an_hour_later(world: &World) {
    world.sql("update calls set request_sent_at = request_sent_at - interval '1 hour'").await;
}

#[tokio::test]
async fn the_one_call_that_fits_is_adopted() {
    let world = World::new().await;
    let id = in_doubt(&world).await;
    world.outside.on_list([list(&[carrier_call("found1", "in-progress")])]);
    ask(&world, id).await.unwrap();
    let call = world.call(id).await;
    assert_eq!((call.status, call.carrier_call_id.as_deref()), (CallStatus::Ringing, Some("found1")));
    let asked = world.outside.asked().pop().unwrap();
    assert!(asked.param("From").contains(&call.phone) && asked.param("From").contains(",098"), "{asked:?}");
    assert!(asked.param("DateCreated").starts_with("gte:"));

    world.outside.on_call([Reply::Json(200, json!({"Call": carrier_call("found1", "no-answer")}))]);
    ask(&world, id).await.unwrap();
    assert_eq!(world.call(id).await.status, CallStatus::NoAnswer);
    assert!(world.has_job(&format!("settle:{id}")).await);
}

#[tokio::test]
async fn a_call_that_belongs_to_another_of_ours_is_not_adopted() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let other = world.placed(campaign).await;
    world.ends(other, CallStatus::Failed).await;
    let id = in_doubt(&world).await;
    world.outside.on_list([list(&[carrier_call("sid1", "completed")])]);
    snoozed(ask(&world, id).await);
    assert_eq!(world.call(id).await.carrier_call_id, None);
}

#[tokio::test]
async fn no_such_call_is_believed_only_after_the_horizon_and_twice() {
    let world = World::new().await;
    let id = in_doubt(&world).await;
    snoozed(ask(&world, id).await);
    snoozed(ask(&world, id).await);
    assert_eq!(world.call(id).await.status, CallStatus::Dialing);
    an_hour_later(&world).await;
    ask(&world, id).await.unwrap();
    let call = world.call(id).await;
    assert_eq!((call.status, call.failure_reason.as_deref()), (CallStatus::Failed, Some("not_placed")));
    world.settle(id).await;
    let (status, attempts, _) = world.lead_of(id).await;
    assert_eq!((status.as_str(), attempts), ("waiting_retry", 1));
}

#[tokio::test]
async fn a_carrier_that_cannot_say_leaves_the_call_unknown_and_it_is_never_redialed() {
    let world = World::new().await;
    let id = in_doubt(&world).await;
    an_hour_later(&world).await;
    world.outside.on_list([Reply::Text(503, "down")]);
    let mut asked = 0;
    while let Err(JobError::Snooze { .. }) = ask(&world, id).await {
        asked += 1;
        assert!(asked < 50, "it never gives up");
    }
    assert_eq!(world.call(id).await.status, CallStatus::Unknown);
    world.settle(id).await;
    assert_eq!(world.lead_of(id).await.0, "suppressed");
    assert_eq!(world.text("select suppression_reason from leads").await.as_deref(), Some("call_unknown"));

    // The truth comes late, and still reaches the lead.
    world.ends(id, CallStatus::NoAnswer).await;
    assert_eq!(world.call(id).await.status, CallStatus::NoAnswer);
    assert_eq!(world.lead_of(id).await.0, "waiting_retry");
    assert_eq!(world.text("select suppression_reason from leads").await, None);
    assert_eq!(world.outside.place_requests().len(), 1);
}

#[tokio::test]
async fn two_calls_that_fit_are_not_chosen_between() {
    let world = World::new().await;
    let id = in_doubt(&world).await;
    world.outside.on_list([list(&[carrier_call("a", "completed"), carrier_call("b", "completed")])]);
    snoozed(ask(&world, id).await);
    assert_eq!(world.call(id).await.carrier_call_id, None);
}

#[tokio::test]
async fn a_recording_that_nobody_named_is_asked_for() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "hello").await;
    world.ends(id, CallStatus::Completed).await;
    assert!(world.has_job(&format!("reconcile:{id}")).await);
    let named = |url: Value| {
        let mut call = carrier_call("sid1", "completed");
        call["RecordingUrl"] = url;
        Reply::Json(200, json!({"Call": call}))
    };
    world.outside.on_call([named(Value::Null)]);
    snoozed(ask(&world, id).await);
    world.outside.on_call([named(json!("https://recordings.exotel.com/a.mp3"))]);
    ask(&world, id).await.unwrap();
    assert!(world.has_job(&format!("recording:{id}")).await);
}
