//! Whatever job is lost, the domain rows bring it back.

use shared::call::CallStatus;
use shared::jobs::sweep::Sweep;
use worker::jobs;
use worker::queue::JobContext;

use crate::world::World;

async fn sweep(world: &World) {
    jobs::sweep::run(Sweep::default(), JobContext::detached("sweep"), world.ctx.clone()).await.unwrap();
}

#[tokio::test]
async fn every_lost_job_is_derived_anew() {
    let world = World::new().await;
    let campaign = world.campaign(4).await;
    let calls = world.reserve(campaign).await.calls;
    let [queued, silent, over, spoken] = calls[..] else { panic!("{calls:?}") };
    world.place(silent).await.unwrap();
    world.place(over).await.unwrap();
    world.place(spoken).await.unwrap();
    world.speaks(spoken, "hello").await;
    world.ends(spoken, CallStatus::Completed).await;
    world.sql(&format!("update calls set status = 'busy', ended_at = now() where id = {over}")).await;
    world.sql("update calls set lease_until = now() - interval '1 second'; delete from apalis.jobs").await;
    let mut tx = world.db.begin().await.unwrap();
    shared::recording::found(&mut tx, spoken, "https://recordings.exotel.com/a.mp3").await.unwrap();
    tx.commit().await.unwrap();
    world.sql("delete from apalis.jobs").await;

    sweep(&world).await;
    for key in [
        format!("place:{queued}"),
        format!("reconcile:{silent}"),
        format!("settle:{over}"),
        format!("summarize:{spoken}"),
        format!("recording:{spoken}"),
        format!("dispatch:{campaign}"),
    ] {
        assert!(world.has_job(&key).await, "{key}");
    }
    assert_eq!(world.number("select count(*) from apalis.jobs").await, 6);
}

#[tokio::test]
async fn a_job_that_snoozes_is_left_to_its_time() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    sweep(&world).await;
    world.sql("update apalis.jobs set run_at = now() + interval '20 seconds'").await;
    sweep(&world).await;
    assert!(world.has_job(&format!("dispatch:{campaign}")).await);
    assert_eq!(world.number("select count(*) from apalis.jobs where run_at > now()").await, 1);
}

#[tokio::test]
async fn a_scheduled_campaign_starts_at_its_time() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    world.sql("update campaigns set status = 'scheduled', scheduled_start_at = '2026-11-23T07:29:00Z'").await;
    sweep(&world).await;
    assert_eq!(world.text("select status from campaigns").await.as_deref(), Some("running"));
    assert!(world.has_job(&format!("dispatch:{campaign}")).await);
}

#[tokio::test]
async fn a_live_stream_is_not_disturbed_and_a_dead_one_is_asked_about() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "hello").await;
    world.sql("update calls set lease_until = now() - interval '1 second'").await;
    sweep(&world).await;
    assert!(!world.has_job(&format!("reconcile:{id}")).await);
    world.sql("update streams set heartbeat_at = now() - interval '1 minute'").await;
    sweep(&world).await;
    assert!(world.has_job(&format!("reconcile:{id}")).await);
}

#[tokio::test]
async fn a_lead_that_no_call_holds_waits_again() {
    let world = World::new().await;
    world.campaign(1).await;
    world.sql("update leads set status = 'dialing'").await;
    sweep(&world).await;
    assert_eq!(world.text("select status from leads").await.as_deref(), Some("waiting_retry"));
}

#[tokio::test]
async fn a_lead_waits_again_only_if_every_call_of_its_own_is_over() {
    let world = World::new().await;
    let campaign = world.campaign(3).await;
    let calls = world.reserve(campaign).await.calls;
    let [queued, settled, spoken] = calls[..] else { panic!("{calls:?}") };
    for call in [settled, spoken] {
        world.place(call).await.unwrap();
    }
    world.speaks(spoken, "hello").await;
    world.ends(spoken, CallStatus::Completed).await;
    world.ends(settled, CallStatus::Busy).await;
    world.sql("update leads set status = 'dialing'; update calls set updated_at = now() - interval '3 minutes'").await;
    sweep(&world).await;
    assert_eq!(world.lead_of(queued).await.0, "dialing");
    assert_eq!(world.lead_of(spoken).await.0, "dialing", "its summary is awaited");
    assert_eq!(world.lead_of(settled).await.0, "waiting_retry");
}
