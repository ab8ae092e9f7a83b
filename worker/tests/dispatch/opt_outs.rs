//! A text message that says STOP, and every way in which a call could still follow it.

use std::collections::BTreeMap;

use shared::call::{CallStatus, Carrier};
use shared::dispatch::Dispatched;
use shared::do_not_call::{self, Source};
use shared::jobs::sweep::Sweep;
use shared::message::{self, Applied};
use worker::jobs;
use worker::queue::JobContext;

use crate::world::World;

const NUMBER: &str = "+919900000001";
const LISTED: &str = "select count(*) from do_not_call";

fn sms(sid: &str, from: &str, body: &str, date: &str) -> BTreeMap<String, String> {
    [("SmsSid", sid), ("From", from), ("To", "08047112233"), ("Body", body), ("Date", date)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Stored and applied; `Taken` if it was heard before.
async fn receive(world: &World, fields: &BTreeMap<String, String>) -> Applied {
    let Some(id) = message::store(&world.db, Carrier::Exotel, fields, world.now()).await.unwrap() else {
        return Applied::Taken;
    };
    let mut tx = world.db.begin().await.unwrap();
    let applied = message::apply(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    applied
}

async fn texts(world: &World, sid: &str, body: &str) -> Applied {
    receive(world, &sms(sid, "09900000001", body, "2026-11-23 13:00:00")).await
}

#[tokio::test]
async fn stop_suppresses_the_number_in_every_campaign_at_once() {
    let world = World::new().await;
    let campaigns = [world.campaign(0).await, world.campaign(0).await];
    for campaign in campaigns {
        world.lead_with(campaign, NUMBER, "Asia/Kolkata", 0).await;
    }
    assert_eq!(texts(&world, "sms-1", "Please STOP").await, Applied::Stopped(vec![world.account]));
    assert_eq!(world.number("select count(*) from leads where status = 'suppressed'").await, 2);
    assert_eq!(world.number("select count(*) from call_events where kind = 'suppressed'").await, 2);
    for campaign in campaigns {
        assert_eq!(world.dispatch(campaign).await, Dispatched::Completed);
    }
    assert_eq!(world.text("select source from do_not_call").await.unwrap(), "sms");
    assert_eq!(texts(&world, "sms-1", "Please STOP").await, Applied::Taken, "the carrier repeats itself");
    assert_eq!(texts(&world, "sms-2", "stop").await, Applied::Stopped(vec![world.account]), "they repeat themselves");
    assert_eq!(world.number(LISTED).await, 1);
}

#[tokio::test]
async fn a_reserved_call_to_who_said_stop_is_taken_back_and_never_dialed() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    world.lead_with(campaign, NUMBER, "Asia/Kolkata", 0).await;
    let call = world.reserve_one(campaign).await;
    texts(&world, "sms-1", "call mat karo").await;
    assert_eq!(world.call(call).await.status, CallStatus::Canceled);
    assert_eq!(world.lead_of(call).await.0, "suppressed");
    world.place(call).await.unwrap();
    assert!(world.outside.asked().is_empty(), "the carrier was asked to ring");
}

#[tokio::test]
async fn a_live_call_goes_on_and_is_the_last() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    world.lead_with(campaign, NUMBER, "Asia/Kolkata", 0).await;
    let call = world.placed(campaign).await;
    texts(&world, "sms-1", "UNSUBSCRIBE").await;
    assert_eq!(world.call(call).await.status, CallStatus::Dialing);
    world.ends(call, CallStatus::Busy).await;
    assert_eq!(world.lead_of(call).await.0, "suppressed");
}

#[tokio::test]
async fn start_takes_back_what_was_texted_and_nothing_else() {
    let world = World::new().await;
    texts(&world, "sms-1", "STOP").await;
    assert_eq!(texts(&world, "sms-2", "START").await, Applied::Started(vec![world.account]));
    assert_eq!(world.number(LISTED).await, 0);

    // A wish that was spoken, before or after it was texted, is not taken back by a text.
    texts(&world, "sms-3", "STOP").await;
    let mut tx = world.db.begin().await.unwrap();
    let reason = "asked for in the call";
    do_not_call::add(&mut tx, world.account, NUMBER, Source::Call, reason, None, world.now()).await.unwrap();
    tx.commit().await.unwrap();
    texts(&world, "sms-4", "STOP").await;
    assert_eq!(texts(&world, "sms-5", "UNSTOP").await, Applied::Started(vec![]));
    assert_eq!(world.text("select source from do_not_call").await.unwrap(), "call");
}

#[tokio::test]
async fn a_start_that_is_older_than_a_stop_lifts_nothing() {
    let world = World::new().await;
    receive(&world, &sms("sms-2", "09900000001", "STOP", "2026-11-23 13:05:00")).await;
    let late = receive(&world, &sms("sms-1", "09900000001", "START", "2026-11-23 13:00:00")).await;
    assert_eq!((late, world.number(LISTED).await), (Applied::Nothing, 1));

    // And one whose application was delayed until a stop had come.
    let start = message::store(
        &world.db,
        Carrier::Exotel,
        &sms("sms-3", "09900000001", "START", "2026-11-23 13:10:00"),
        world.now(),
    )
    .await;
    receive(&world, &sms("sms-4", "09900000001", "STOP", "2026-11-23 13:11:00")).await;
    let mut tx = world.db.begin().await.unwrap();
    assert_eq!(message::apply(&mut tx, start.unwrap().unwrap()).await.unwrap(), Applied::Nothing);
    tx.commit().await.unwrap();
    assert_eq!(world.number(LISTED).await, 1);
}

#[tokio::test]
async fn other_texts_are_kept_and_change_nothing() {
    let world = World::new().await;
    assert_eq!(texts(&world, "sms-1", "Call me tomorrow").await, Applied::Nothing);
    assert_eq!(receive(&world, &sms("sms-2", "VM-HDFCBK", "STOP", "")).await, Applied::Nothing);
    assert_eq!(world.number(LISTED).await, 0);
    assert_eq!(world.number("select count(*) from messages where applied_at is not null").await, 2);
}

#[tokio::test]
async fn with_several_accounts_a_stop_counts_wherever_the_number_is_known_and_wherever_it_will_be() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    world
        .sql(
            "insert into accounts (name, region) values ('Second', 'US'), ('Third', 'IN');
             insert into contacts (account_id, phone, created_at) select id, '+919900000001', now() from accounts where name = 'Third'",
        )
        .await;
    let Applied::Stopped(accounts) = texts(&world, "sms-1", "STOP").await else { panic!("it was a stop") };
    assert_eq!(accounts.len(), 1, "the third alone knows the number");
    assert_eq!(
        world
            .number("select count(*) from do_not_call d join accounts a on a.id = d.account_id where a.name = 'Third'")
            .await,
        1
    );

    // The first learns of the number now.
    world.import(campaign, "phone\n9900000001\n9900000002\n").await;
    assert_eq!(world.number(LISTED).await, 2);
    assert_eq!(
        world.text("select suppression_reason from leads where phone = '+919900000001'").await.unwrap(),
        "do_not_call"
    );
    assert_eq!(world.number("select count(*) from leads where status = 'pending'").await, 1);

    // What its operators decide about a number that they know stays.
    world.sql("delete from do_not_call").await;
    let other = world.campaign(0).await;
    world.import(other, "phone\n9900000001\n").await;
    assert_eq!(world.number(LISTED).await, 0);

    texts(&world, "sms-2", "STOP").await;
    assert_eq!(world.number(LISTED).await, 2);
    let Applied::Started(lifted) = texts(&world, "sms-3", "START").await else { panic!("it was a start") };
    assert_eq!((lifted.len(), world.number(LISTED).await), (2, 0));
}

#[tokio::test]
async fn a_stop_whose_request_was_cut_short_is_acted_on_by_sweep() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    world.lead_with(campaign, NUMBER, "Asia/Kolkata", 0).await;
    message::store(&world.db, Carrier::Exotel, &sms("sms-1", "+919900000001", "बंद करो", ""), world.now())
        .await
        .unwrap();
    world.sql("update messages set received_at = now() - interval '1 minute'").await;
    jobs::sweep::run(Sweep::default(), JobContext::detached("sweep"), world.ctx.clone()).await.unwrap();
    assert_eq!(world.number("select count(*) from leads where status = 'suppressed'").await, 1);
}

#[tokio::test]
async fn of_a_stop_and_a_start_at_once_the_stop_wins_or_comes_first() {
    let world = World::new().await;
    for round in 0..10 {
        texts(&world, &format!("stop-{round}"), "STOP").await;
        let start = sms(&format!("start-{round}"), "09900000001", "START", "2026-11-23 13:00:00");
        let stop = sms(&format!("again-{round}"), "09900000001", "STOP", "2026-11-23 13:00:00");
        let start = message::store(&world.db, Carrier::Exotel, &start, world.now()).await.unwrap().unwrap();
        let stop = message::store(&world.db, Carrier::Exotel, &stop, world.now()).await.unwrap().unwrap();
        let apply = async |id| {
            let mut tx = world.db.begin().await.unwrap();
            message::apply(&mut tx, id).await.unwrap();
            tx.commit().await.unwrap();
        };
        futures::future::join(apply(start), apply(stop)).await;
        assert_eq!(world.number(LISTED).await, 1, "the stop was sent last");
    }
}
