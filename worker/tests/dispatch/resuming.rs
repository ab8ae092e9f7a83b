//! What is kept of a conversation whose stream goes, and what its next stream, or its end, makes of it.

use std::time::Duration;

use serde_json::json;
use shared::call::CallStatus;
use shared::id::CallId;
use shared::resumption;
use shared::stream::{self, Briefing, Comeback, NewStream, Unsettled};
use shared::turn::{self, Role, Turn};

use crate::world::World;

/// A call that was answered, with an agent's greeting and the callee's "yes" at 1,000 ms.
async fn talking(world: &World) -> CallId {
    let campaign = world.campaign(1).await;
    let call = world.placed(campaign).await;
    assert_eq!(begin(world, call, "s1").await.unwrap().comeback, None);
    store(world, call, &turn(0, Role::Agent, 0, "Hello")).await;
    store(world, call, &turn(1, Role::Callee, 1_000, "Yes.")).await;
    call
}

fn turn(seq: i32, role: Role, started_ms: i64, text: &str) -> Turn {
    Turn { seq, role, text: text.into(), interrupted: false, started_ms, ended_ms: started_ms + 500, stages: json!({}) }
}

async fn store(world: &World, call: CallId, turn: &Turn) {
    let mut connection = world.db.acquire().await.unwrap();
    turn::insert(&mut connection, world.account, call, turn).await.unwrap();
}

async fn begin(world: &World, call: CallId, stream_sid: &str) -> Option<Briefing> {
    let stream = NewStream { stream_sid, instance: "media-1", longest_call: Duration::from_secs(600) };
    let mut tx = world.db.begin().await.unwrap();
    let briefing = stream::begin(&mut tx, call, &stream, world.now()).await.unwrap();
    tx.commit().await.unwrap();
    briefing
}

async fn end(world: &World, call: CallId, stream_sid: &str, reason: &str) {
    stream::end(&world.db, call, stream_sid, reason, world.now()).await.unwrap();
}

async fn hears(world: &World, call: CallId, stream_sid: &str, text: &str, began_ms: i64) {
    let words = Unsettled { text: text.into(), began_ms, ended_ms: began_ms + 400 };
    stream::note_unsettled(&world.db, call, stream_sid, Some(&words)).await.unwrap();
}

async fn transcript(world: &World, call: CallId) -> Vec<(i32, String)> {
    turn::of_call(&world.db, call).await.unwrap().into_iter().map(|turn| (turn.seq, turn.text)).collect()
}

#[tokio::test]
async fn the_next_stream_takes_over_with_all_that_was_said() {
    let world = World::new().await;
    let call = talking(&world).await;
    world.sql("update streams set began_at = now() - interval '70 seconds'").await;
    hears(&world, call, "s1", "Whitefield would", 5_000).await;
    hears(&world, call, "s1", "Whitefield would be fine.", 5_000).await;
    let briefing = begin(&world, call, "s2").await.unwrap();
    let Comeback { elapsed, handed_over, closing } = briefing.comeback.unwrap();
    assert!((70..80).contains(&elapsed.as_secs()) && !handed_over && !closing, "{:?}", briefing.comeback);
    assert_eq!(briefing.turns.last().unwrap().text, "Whitefield would be fine.");
    assert_eq!(world.number("select resumptions::bigint from streams").await, 1);
    // The old process finds out, and changes nothing any more.
    assert!(!stream::heartbeat(&world.db, call, "s1", "speaking", "intro", 3).await.unwrap());
    hears(&world, call, "s1", "Too late.", 9_000).await;
    end(&world, call, "s1", "human_hung_up").await;
    assert!(stream::heartbeat(&world.db, call, "s2", "speaking", "intro", 3).await.unwrap());
    assert_eq!(world.call(call).await.hangup_cause, None);
    assert_eq!(world.text("select unsettled::text from streams").await, None);
    // Begun twice, because its commit was not confirmed, it is still one comeback.
    assert!(begin(&world, call, "s2").await.unwrap().comeback.is_some());
    assert_eq!(world.number("select resumptions::bigint from streams").await, 1);
    assert_eq!(transcript(&world, call).await.len(), 3);
}

#[tokio::test]
async fn words_that_a_turn_already_holds_are_not_repeated_and_words_taken_back_are_gone() {
    let world = World::new().await;
    let call = talking(&world).await;
    hears(&world, call, "s1", "Yes.", 1_000).await;
    begin(&world, call, "s2").await.unwrap();
    assert_eq!(transcript(&world, call).await.len(), 2);
    hears(&world, call, "s2", "Haan.", 7_000).await;
    stream::note_unsettled(&world.db, call, "s2", None).await.unwrap();
    begin(&world, call, "s3").await.unwrap();
    assert_eq!(transcript(&world, call).await.len(), 2);
}

#[tokio::test]
async fn what_the_human_had_heard_when_the_process_died_is_said() {
    let world = World::new().await;
    let call = talking(&world).await;
    let heard = |text: &str| Unsettled { text: text.to_owned(), began_ms: 8_000, ended_ms: 9_500 };
    stream::note_heard(&world.db, call, "s1", &heard("We have three flats.")).await.unwrap();
    stream::note_heard(&world.db, call, "s1", &heard("We have three flats. Each has")).await.unwrap();
    hears(&world, call, "s1", "Wait, please.", 10_000).await;
    let briefing = begin(&world, call, "s2").await.unwrap();
    let last: Vec<_> = briefing.turns.iter().rev().take(2).map(|turn| (turn.role, turn.text.as_str())).collect();
    assert_eq!(last, [(Role::Callee, "Wait, please."), (Role::Agent, "We have three flats. Each has")]);
    assert!(briefing.turns[briefing.turns.len() - 2].interrupted);
    // The same turn once it has settled after all is no second one.
    stream::note_heard(&world.db, call, "s2", &heard("We have three flats. Each has")).await.unwrap();
    begin(&world, call, "s3").await.unwrap();
    assert_eq!(transcript(&world, call).await.len(), briefing.turns.len());
}

#[tokio::test]
async fn how_a_stream_ended_decides_how_it_is_taken_up() {
    let world = World::new().await;
    let call = talking(&world).await;
    end(&world, call, "s1", resumption::HANDED_OVER).await;
    assert!(begin(&world, call, "s2").await.unwrap().comeback.unwrap().handed_over);
    stream::heartbeat(&world.db, call, "s2", "closing", "closing", 9).await.unwrap();
    end(&world, call, "s2", resumption::STREAM_LOST).await;
    let comeback = begin(&world, call, "s3").await.unwrap().comeback.unwrap();
    assert!(comeback.closing && !comeback.handed_over);
    end(&world, call, "s3", "human_hung_up").await;
    assert!(begin(&world, call, "s4").await.is_some(), "the carrier says that somebody is there");
    assert_eq!(world.call(call).await.hangup_cause, None);
    end(&world, call, "s4", "agent_finished").await;
    assert!(begin(&world, call, "s5").await.is_none(), "nobody is spoken to again after the goodbye");
    assert_eq!(world.call(call).await.hangup_cause.as_deref(), Some("agent_finished"));
}

#[tokio::test]
async fn turns_of_two_streams_do_not_displace_each_other() {
    let world = World::new().await;
    let call = talking(&world).await;
    store(&world, call, &turn(2, Role::Agent, 8_000, "Sorry, the line dropped for a moment.")).await;
    let late = turn(2, Role::Agent, 3_000, "Which area");
    store(&world, call, &late).await;
    store(&world, call, &late).await;
    let expected = [(0, "Hello"), (1, "Yes."), (2, "Sorry, the line dropped for a moment."), (3, "Which area")];
    assert_eq!(transcript(&world, call).await, expected.map(|(seq, text)| (seq, text.to_owned())));
}

#[tokio::test]
async fn last_words_to_a_process_that_died_are_summarised_when_the_human_hangs_up() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let call = world.placed(campaign).await;
    begin(&world, call, "s1").await.unwrap();
    hears(&world, call, "s1", "I want a flat.", 2_000).await;
    world.ends(call, CallStatus::Completed).await;
    assert_eq!(transcript(&world, call).await, [(0, "I want a flat.".to_owned())]);
    assert!(world.has_job(&format!("summarize:{call}")).await);
    // The process had not died, but was slower than the carrier.
    store(&world, call, &turn(0, Role::Callee, 2_000, "I want a flat.")).await;
    end(&world, call, "s1", "human_hung_up").await;
    assert_eq!(transcript(&world, call).await.len(), 1);
    assert_eq!(world.call(call).await.hangup_cause.as_deref(), Some("human_hung_up"));
}

#[tokio::test]
async fn a_stream_that_was_lost_and_did_not_come_back_is_why_the_call_ended() {
    let world = World::new().await;
    let call = talking(&world).await;
    end(&world, call, "s1", resumption::STREAM_LOST).await;
    assert_eq!(world.call(call).await.hangup_cause, None);
    world.ends(call, CallStatus::Completed).await;
    assert_eq!(world.call(call).await.hangup_cause.as_deref(), Some("stream_lost"));
}

#[tokio::test]
async fn a_call_on_its_way_back_is_not_asked_about() {
    let world = World::new().await;
    let call = talking(&world).await;
    world.sql("update calls set lease_until = now() - interval '1 second'").await;
    end(&world, call, "s1", resumption::HANDED_OVER).await;
    let mut tx = world.db.begin().await.unwrap();
    assert!(resumption::send_back(&mut tx, call, resumption::HANDED_OVER, world.now()).await.unwrap());
    tx.commit().await.unwrap();
    let silent = async || {
        shared::sweep::silent_calls(&world.db, Duration::from_secs(30), Duration::from_secs(660)).await.unwrap()
    };
    assert_eq!(silent().await, []);
    world.sql("update calls set sent_back_at = now() - interval '31 seconds'").await;
    assert_eq!(silent().await, [call]);
}
