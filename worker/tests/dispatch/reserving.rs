//! Who is called next, and who is not.

use chrono::TimeDelta;
use shared::call::CallStatus;
use shared::dispatch::Dispatched;
use shared::id::{CallId, CampaignId};
use shared::jobs::sweep::Sweep;
use worker::jobs;
use worker::queue::JobContext;

use crate::world::{World, at};

const LIVE: &str = "select count(*) from calls where status in ('queued', 'dialing', 'ringing', 'in_progress')";

#[tokio::test]
async fn a_campaign_never_has_more_calls_than_its_cap() {
    let world = World::new().await;
    let campaign = world.campaign(6).await;
    world.sql("update campaigns set max_concurrent_calls = 4").await;
    assert_eq!(world.reserve(campaign).await.calls.len(), 4);
    assert!(world.reserve(campaign).await.calls.is_empty());
    assert_eq!(world.number("select count(*) from apalis.jobs where job_type = 'place_call'").await, 4);
    assert_eq!(world.number("select count(*) from leads where status = 'dialing' and attempts = 1").await, 4);
    assert_eq!(world.number("select count(*) from call_events where kind = 'reserved'").await, 4);
}

#[tokio::test]
async fn dispatchers_at_once_exceed_neither_the_accounts_nor_a_campaigns_cap() {
    let world = World::new().await;
    world.sql("update accounts set max_concurrent_calls = 7").await;
    let campaigns = [world.campaign(12).await, world.campaign(12).await, world.campaign(12).await];
    world.sql("update campaigns set max_concurrent_calls = 3").await;
    let rounds = (0..30).map(|round| world.dispatch(campaigns[round % 3]));
    futures::future::join_all(rounds).await;
    assert_eq!(world.number(LIVE).await, 7);
    assert_eq!(world.number("select max(n) from (select count(*) n from calls group by campaign_id) t").await, 3);
}

#[tokio::test]
async fn nobody_is_called_on_a_sunday_and_the_next_opening_is_known() {
    let world = World::new().await;
    world.clock.advance(TimeDelta::days(-1));
    let campaign = world.campaign(2).await;
    let reserved = world.reserve(campaign).await;
    assert!(reserved.calls.is_empty());
    assert_eq!(reserved.next_at, Some(at("2026-11-23T04:30:00Z")));
    let status = shared::campaign_window::status(&world.db, campaign, world.now()).await.unwrap();
    assert!(!status.open_now);
    assert_eq!(status.next_opening, Some(at("2026-11-23T04:30:00Z")));
}

#[tokio::test]
async fn a_window_that_has_closed_moves_on_to_the_next_day() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    world.sql("update campaigns set max_concurrent_calls = 1").await;
    world.reserve_one(campaign).await;
    world.lead(campaign).await;
    world.clock.advance(TimeDelta::hours(7));
    world.sql("update campaigns set max_concurrent_calls = 5").await;
    let reserved = world.reserve(campaign).await;
    assert!(reserved.calls.is_empty());
    assert_eq!(reserved.next_at, Some(at("2026-11-24T04:30:00Z")));
}

#[tokio::test]
async fn a_zone_that_nobody_knows_never_opens() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    world.lead_with(campaign, "+919900000001", "Mars/Olympus", 9).await;
    world.lead_with(campaign, "+919900000002", "Asia/Kolkata", 0).await;
    let call = world.reserve_one(campaign).await;
    assert_eq!(world.call(call).await.phone, "+919900000002");
}

#[tokio::test]
async fn the_highest_priority_goes_first_across_zones() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    world.lead_with(campaign, "+919900000001", "Asia/Kolkata", 1).await;
    world.lead_with(campaign, "+919900000002", "Asia/Dubai", 5).await;
    world.lead_with(campaign, "+919900000003", "Asia/Kolkata", 3).await;
    world.sql("update campaigns set max_concurrent_calls = 2").await;
    let mut phones = Vec::new();
    for call in world.reserve(campaign).await.calls {
        phones.push(world.call(call).await.phone);
    }
    phones.sort();
    assert_eq!(phones, ["+919900000002", "+919900000003"]);
}

#[tokio::test]
async fn a_number_on_the_do_not_call_list_is_suppressed_and_does_not_hold_up_others() {
    let world = World::new().await;
    let campaign = world.campaign(2).await;
    world.sql("update campaigns set max_concurrent_calls = 1").await;
    world
        .sql(
            "insert into do_not_call (account_id, phone, reason, source, created_at)
             select account_id, phone, 'asked', 'operator', now() from leads order by id limit 1",
        )
        .await;
    world.reserve_one(campaign).await;
    assert_eq!(world.number("select count(*) from leads where status = 'suppressed'").await, 1);
    assert_eq!(world.number("select count(*) from call_events where kind = 'suppressed'").await, 1);
}

#[tokio::test]
async fn one_number_in_two_campaigns_has_one_call_at_a_time_and_a_gap_after_it() {
    let world = World::new().await;
    world.sql("update accounts set min_gap_minutes = 30").await;
    let (first, second) = (world.campaign(0).await, world.campaign(0).await);
    world.lead_with(first, "+919900000001", "Asia/Kolkata", 0).await;
    world.lead_with(second, "+919900000001", "Asia/Kolkata", 0).await;
    let call = world.placed(first).await;
    assert!(world.reserve(second).await.calls.is_empty());
    world.ends(call, CallStatus::Busy).await;
    world.clock.advance(TimeDelta::minutes(5));
    assert!(world.reserve(second).await.calls.is_empty());
    world.clock.advance(TimeDelta::minutes(26));
    world.reserve_one(second).await;
}

#[tokio::test]
async fn two_campaigns_that_reserve_one_number_at_once_make_one_call_and_keep_the_gap_after_it() {
    for _ in 0..5 {
        let world = World::new().await;
        world.sql("update accounts set min_gap_minutes = 30").await;
        let campaigns = [world.campaign(0).await, world.campaign(0).await];
        for campaign in campaigns {
            world.lead_with(campaign, "+919900000001", "Asia/Kolkata", 0).await;
        }
        futures::future::join_all(campaigns.map(|campaign| world.dispatch(campaign))).await;
        assert_eq!(world.number(LIVE).await, 1);
        let (call, other) = world
            .number_pair(
                "select id, (select id from campaigns where id <> c.campaign_id) from calls c where status = 'queued'",
            )
            .await;
        let (call, other) = (CallId(call), CampaignId(other));
        world.place(call).await.unwrap();
        world.ends(call, CallStatus::Busy).await;

        // The loser looks again a minute later, and is told the gap, not dialed inside it.
        world.clock.advance(TimeDelta::minutes(2));
        let reserved = world.reserve(other).await;
        assert!(reserved.calls.is_empty(), "{reserved:?}");
        let reasons = "select count(*) from call_events where data ->> 'reason' = 'gap_between_calls_to_the_number'";
        assert_eq!(world.number(reasons).await, 1);
        world.clock.advance(TimeDelta::minutes(29));
        world.reserve_one(other).await;
    }
}

#[tokio::test]
async fn a_daily_cap_holds_when_two_campaigns_come_at_once() {
    let world = World::new().await;
    world.sql("update accounts set max_calls_per_number_per_day = 1").await;
    let campaigns = [world.campaign(0).await, world.campaign(0).await];
    for campaign in campaigns {
        world.lead_with(campaign, "+919900000001", "Asia/Kolkata", 0).await;
    }
    futures::future::join_all(campaigns.map(|campaign| world.dispatch(campaign))).await;
    let call = CallId(world.number("select id from calls").await);
    world.place(call).await.unwrap();
    world.ends(call, CallStatus::Failed).await;
    for _ in 0..5 {
        world.clock.advance(TimeDelta::minutes(2));
        futures::future::join_all(campaigns.map(|campaign| world.dispatch(campaign))).await;
    }
    assert_eq!(world.number("select count(*) from calls").await, 1);
    let reasons = "select count(*) from call_events where data ->> 'reason' = 'daily_cap_of_the_number'";
    assert!(world.number(reasons).await >= 1);
}

#[tokio::test]
async fn a_call_is_written_down_with_every_guard_that_it_passed() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let call = world.placed(campaign).await;
    let guards = world.guards(call).await;
    let said: Vec<&str> = shared::guard::explain(&guards).iter().map(|passed| passed.guard).collect();
    assert_eq!(
        said,
        ["calling_window", "do_not_call", "consent", "gap", "daily_cap", "attempts", "concurrency", "pace", "dialed"]
    );
}

#[tokio::test]
async fn a_number_is_not_called_more_often_a_day_than_the_account_allows() {
    let world = World::new().await;
    world.sql("update accounts set max_calls_per_number_per_day = 2").await;
    let campaigns = [world.campaign(0).await, world.campaign(0).await, world.campaign(0).await];
    for campaign in campaigns {
        world.lead_with(campaign, "+919900000001", "Asia/Kolkata", 0).await;
    }
    for campaign in &campaigns[..2] {
        let call = world.placed(*campaign).await;
        world.ends(call, CallStatus::Failed).await;
    }
    assert!(world.reserve(campaigns[2]).await.calls.is_empty());
    world.clock.advance(TimeDelta::hours(24));
    world.reserve_one(campaigns[2]).await;
}

#[tokio::test]
async fn the_pace_holds_calls_back_and_says_for_how_long() {
    let world = World::new().await;
    let campaign = world.campaign(9).await;
    world.sql("update accounts set calls_per_second = 0.5").await;
    let reserved = world.reserve(campaign).await;
    assert_eq!(reserved.calls.len(), 1);
    assert!(reserved.pace_wait.unwrap().as_secs_f64() > 0.5, "{reserved:?}");
    // What is reserved and not yet dialed has its token spoken for.
    assert!(world.reserve(campaign).await.calls.is_empty());
    world.sql("update accounts set calls_per_second = 1000; update campaigns set calls_per_second = 0.5").await;
    assert!(world.reserve(campaign).await.calls.is_empty());
    world.place(reserved.calls[0]).await.unwrap();
    assert!(world.reserve(campaign).await.calls.is_empty());
    world.sql("update campaign_pace_buckets set tokens = 1").await;
    assert_eq!(world.reserve(campaign).await.calls.len(), 1);
}

#[tokio::test]
async fn nobody_is_reserved_so_late_that_the_phone_would_ring_after_hours() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let margin = world.ctx.settings.limits.last_dial_before_close;
    assert!(margin >= TimeDelta::seconds(3), "{margin}");
    world.clock.advance(TimeDelta::hours(6) - margin);
    assert!(world.reserve(campaign).await.calls.is_empty());
    world.clock.advance(TimeDelta::milliseconds(-1));
    world.reserve_one(campaign).await;
}

#[tokio::test]
async fn a_campaign_past_its_end_expires_its_leads_and_completes() {
    // The second is so near that nobody could be dialed in time.
    for ends_at in ["2026-11-23T07:00:00Z", "2026-11-23T07:30:02Z"] {
        let world = World::new().await;
        let campaign = world.campaign(3).await;
        world.sql(&format!("update campaigns set ends_at = '{ends_at}'")).await;
        assert_eq!(world.dispatch(campaign).await, Dispatched::Completed, "{ends_at}");
        assert_eq!(world.number("select count(*) from leads where status = 'expired'").await, 3);
        assert_eq!(world.dispatch(campaign).await, Dispatched::NotRunning);
    }
}

#[tokio::test]
async fn a_campaign_without_leads_waits_for_them() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    assert!(matches!(world.dispatch(campaign).await, Dispatched::Reserved(_)));
}

#[tokio::test]
async fn a_dispatcher_that_finds_another_at_work_leaves_it_alone() {
    let world = World::new().await;
    let campaign = world.campaign(3).await;
    let mut other = world.db.begin().await.unwrap();
    shared::dispatch::dispatch(&mut other, campaign, world.now(), &world.ctx.settings.limits).await.unwrap();
    assert_eq!(world.dispatch(campaign).await, Dispatched::Elsewhere);
    other.rollback().await.unwrap();
    assert_eq!(world.reserve(campaign).await.calls.len(), 3);
}

#[tokio::test]
async fn whoever_waits_at_a_higher_priority_hides_nobody_who_is_due() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    world.sql("update campaigns set max_concurrent_calls = 1").await;
    for (phone, priority) in [("+919800000001", 1), ("+919800000003", 3), ("+919800000002", 1), ("+919800000005", 5)] {
        world.lead_with(campaign, phone, "Asia/Kolkata", priority).await;
    }
    world.sql("update leads set next_at = next_at + interval '1 hour' where priority = 5").await;
    world.sql("update leads set next_at = next_at - interval '1 hour' where phone = '+919800000002'").await;
    for phone in ["+919800000003", "+919800000002", "+919800000001"] {
        let call = world.reserve_one(campaign).await;
        assert_eq!(world.call(call).await.phone, phone);
        world.ends(call, CallStatus::Busy).await;
    }
    let reserved = world.reserve(campaign).await;
    assert!(reserved.calls.is_empty());
    assert_eq!(reserved.next_at, Some(world.now() + TimeDelta::hours(1)));
}

#[tokio::test]
async fn a_lead_that_somebody_else_holds_is_passed_over_and_nobody_waits_for_it() {
    let world = World::new().await;
    let campaign = world.campaign(3).await;
    let mut holder = world.db.begin().await.unwrap();
    sqlx::query("select from leads where id = (select min(id) from leads) for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    assert_eq!(world.reserve(campaign).await.calls.len(), 2);
    holder.rollback().await.unwrap();
    assert_eq!(world.reserve(campaign).await.calls.len(), 1);
}

#[tokio::test]
async fn a_long_list_is_let_go_bit_by_bit_and_nobody_of_it_is_called_meanwhile() {
    let world = World::new().await;
    for (end, status) in [
        ("ends_at = '2026-11-23T07:30:00Z'", "expired"),
        ("status = 'canceled', completed_at = '2026-11-23T07:30:00Z'", "canceled"),
    ] {
        let campaign = world.campaign(1).await;
        world
            .sql(&format!(
                "insert into leads (account_id, campaign_id, contact_id, phone, country, time_zone, next_at, created_at, updated_at)
                 select l.account_id, l.campaign_id, l.contact_id, '+91970' || lpad(n::text, 7, '0'), 'IN', l.time_zone, l.next_at,
                    l.next_at, l.next_at
                 from leads l, generate_series(1, 5500) n where l.campaign_id = {campaign};
                 update campaigns set {end} where id = {campaign}"
            ))
            .await;
        let gone = format!("select count(*) from leads where campaign_id = {campaign} and status = '{status}'");
        let reserved = world.reserve(campaign).await;
        assert_eq!((reserved.calls.len(), reserved.next_at), (0, Some(world.now())));
        assert_eq!(world.number(&gone).await, 5_000);
        world.sql("delete from apalis.jobs").await;
        jobs::sweep::run(Sweep::default(), JobContext::detached("sweep"), world.ctx.clone()).await.unwrap();
        assert!(world.has_job(&format!("dispatch:{campaign}")).await);
        let over = if status == "expired" { Dispatched::Completed } else { Dispatched::NotRunning };
        assert_eq!(world.dispatch(campaign).await, over);
        assert_eq!(world.number(&gone).await, 5_501);
    }
    assert_eq!(world.number("select count(*) from calls").await, 0);
}
