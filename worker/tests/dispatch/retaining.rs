//! What an account keeps no longer, and what was deleted on request.

use futures::TryStreamExt;
use serde_json::Value;
use shared::call::CallStatus;
use shared::id::CallId;
use shared::jobs::retain::Retain;
use shared::recording::{self, Deletion, StoredRecording};
use worker::jobs;
use worker::queue::{JobContext, JobError};

use crate::world::{World, snoozed};

async fn retain(world: &World) -> Result<(), JobError> {
    jobs::retain::run(Retain::default(), JobContext::detached("retain"), world.ctx.clone()).await
}

/// A finished conversation.
async fn talked(world: &World) -> CallId {
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "It is for my own family.").await;
    world.ends(id, CallStatus::Completed).await;
    world.sql("update conversations set summary_status = 'completed', summary = 'wants a flat', disposition = 'qualified'").await;
    id
}

/// Its recording, stored so many days ago.
async fn recorded(world: &World, call: CallId, days: i64) -> String {
    let key = format!("recordings/{}/{call}.mp3", world.account);
    world.ctx.storage.put(&key, bytes::Bytes::from_static(b"sound")).await.unwrap();
    let mut tx = world.db.begin().await.unwrap();
    recording::found(&mut tx, call, "https://recordings.exotel.com/a.mp3").await.unwrap();
    let stored = StoredRecording {
        object_key: key.clone(),
        content_type: "audio/mpeg".into(),
        size_bytes: 5,
        duration_ms: Some(1),
        sha256: vec![0],
    };
    assert!(recording::stored(&mut tx, call, &stored).await.unwrap());
    tx.commit().await.unwrap();
    let old = format!("update recordings set stored_at = now() - interval '{days} days' where call_id = {call}");
    world.sql(&old).await;
    key
}

async fn is_there(world: &World, key: &str) -> bool {
    world.ctx.storage.get(key).await.unwrap().is_some()
}

async fn state(world: &World, call: CallId) -> String {
    world
        .text(&format!(
            "select status || ' ' || coalesce(object_key, '-') || ' ' || source_url from recordings where call_id = {call}"
        ))
        .await
        .unwrap()
}

async fn applied(world: &World) -> Vec<Value> {
    sqlx::query_scalar("select data from call_events where kind = 'retention_applied' order by id")
        .fetch_all(&world.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_recording_goes_when_its_time_is_over_and_says_so_and_no_other_goes() {
    let world = World::new().await;
    let old = talked(&world).await;
    let old_key = recorded(&world, old, 31).await;
    let young = talked(&world).await;
    let young_key = recorded(&world, young, 29).await;
    retain(&world).await.unwrap();
    assert!(is_there(&world, &old_key).await, "nobody has said for how long");
    assert!(applied(&world).await.is_empty());

    world.sql("update accounts set keep_recordings_days = 30").await;
    retain(&world).await.unwrap();
    assert!(!is_there(&world, &old_key).await);
    assert_eq!(state(&world, old).await, "deleted - ");
    assert!(is_there(&world, &young_key).await);
    assert!(state(&world, young).await.starts_with("stored "));
    let [only] = &applied(&world).await[..] else { panic!("one entry") };
    assert_eq!((&only["recordings"], &only["transcripts"]), (&1.into(), &0.into()));

    // What the carrier says afterwards brings nothing back.
    let mut tx = world.db.begin().await.unwrap();
    recording::found(&mut tx, old, "https://recordings.exotel.com/b.mp3").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(state(&world, old).await, "deleted - ");
    retain(&world).await.unwrap();
    assert_eq!(applied(&world).await.len(), 1, "and a run that finds nothing says nothing");
}

#[tokio::test]
async fn a_run_that_died_before_the_sound_was_gone_or_before_it_noted_that_is_finished_by_the_next() {
    let world = World::new().await;
    let id = talked(&world).await;
    let key = recorded(&world, id, 31).await;
    for is_gone in [false, true] {
        world.ctx.storage.put(&key, bytes::Bytes::from_static(b"sound")).await.unwrap();
        world
            .sql(&format!(
                "update recordings set status = 'deleted', deleted_at = now(), source_url = '', object_key = '{key}'"
            ))
            .await;
        if is_gone {
            world.ctx.storage.delete(&key).await.unwrap();
        }
        retain(&world).await.unwrap();
        assert!(!is_there(&world, &key).await);
        assert_eq!(state(&world, id).await, "deleted - ", "{is_gone}");
    }
}

#[tokio::test]
async fn what_was_said_goes_and_what_came_of_it_stays() {
    let world = World::new().await;
    let id = talked(&world).await;
    let waiting = talked(&world).await;
    world.sql(&format!("update conversations set summary_status = 'pending' where call_id = {waiting}")).await;
    world
        .sql(&format!(
            "insert into call_events (account_id, call_id, kind, data, at) values
                ({account}, {id}, 'callback_requested', '{{\"when\": \"tomorrow at five\", \"note\": \"busy\", \"kind\": \"x\"}}', now()),
                ({account}, {id}, 'webhook', '{{\"fields\": {{\"SpeechResult\": \"a flat\", \"CallSid\": \"CA1\"}}}}', now())",
            account = world.account
        ))
        .await;
    world.sql("update calls set ended_at = ended_at - interval '8 days'").await;
    world.sql("update accounts set keep_transcripts_days = 7").await;
    retain(&world).await.unwrap();
    assert_eq!(world.number(&format!("select count(*) from turns where call_id = {id}")).await, 0);
    let notes = world.notes(id).await;
    assert_eq!((&notes["summary"], &notes["answers"]), (&Value::Null, &serde_json::json!({})));
    assert_eq!(notes["disposition"], "qualified");
    let words = "select count(*) from call_events where data::text ~ 'tomorrow|busy|a flat'";
    assert_eq!(world.number(words).await, 0);
    assert_eq!(world.number("select count(*) from call_events where data #>> '{fields,CallSid}' = 'CA1'").await, 1);
    assert_eq!(
        world.number(&format!("select count(*) from turns where call_id = {waiting}")).await,
        2,
        "is summarised first"
    );
    assert_eq!(applied(&world).await[0]["transcripts"], 1);
    let detail = shared::call_detail::get(&world.db, world.account, id).await.unwrap().unwrap();
    assert!(detail.transcript_deleted_at.is_some());
}

#[tokio::test]
async fn webhooks_go_after_their_time_batch_by_batch_and_the_history_stays() {
    let world = World::new().await;
    let id = talked(&world).await;
    let history = world.number("select count(*) from call_events where kind <> 'webhook'").await;
    let insert = |account: &str, count: i64, days: i64| {
        format!(
            "insert into call_events (account_id, kind, carrier, event_key, data, at, received_at)
             select {account}, 'webhook', 'exotel', '{account}-{days}-' || n, '{{}}', now(), now() - interval '{days} days'
             from generate_series(1, {count}) n"
        )
    };
    world.sql(&insert(&world.account.to_string(), 201, 91)).await;
    world.sql(&insert(&world.account.to_string(), 3, 89)).await;
    world.sql(&insert("null", 2, 91)).await;
    snoozed(retain(&world).await);
    assert_eq!(world.number("select count(*) from call_events where kind = 'webhook'").await, 1 + 3);
    retain(&world).await.unwrap();
    assert_eq!(world.number("select count(*) from call_events where kind = 'webhook'").await, 3);
    let left = "select count(*) from call_events where kind not in ('webhook', 'retention_applied')";
    assert_eq!(world.number(left).await, history, "{id}");

    world.sql("update accounts set keep_webhooks_days = null").await;
    world.sql("update call_events set received_at = now() - interval '5 years'").await;
    retain(&world).await.unwrap();
    assert_eq!(world.number("select count(*) from call_events where kind = 'webhook'").await, 3, "kept for ever");
}

#[tokio::test]
async fn a_recording_that_is_deleted_on_request_stays_deleted_whoever_comes_with_one() {
    let world = World::new().await;
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "hello").await;
    let delete = async |id| {
        let mut tx = world.db.begin().await.unwrap();
        let deletion = recording::delete(&mut tx, world.account, id, world.now()).await.unwrap();
        tx.commit().await.unwrap();
        deletion
    };
    assert_eq!(delete(id).await, Deletion::CallIsUp);
    assert_eq!(delete(CallId(404)).await, Deletion::NoSuchCall);
    world.ends(id, CallStatus::Completed).await;
    // While the carrier's is on its way.
    assert_eq!(delete(id).await, Deletion::Done);
    assert_eq!(delete(id).await, Deletion::Done);
    assert_eq!(world.event_kinds(id).await.iter().filter(|kind| *kind == "recording_deleted").count(), 1);
    assert!(world.has_job("retain").await);
    assert!(!recording::is_expected(&world.db, id).await.unwrap(), "nobody asks the carrier for it");

    let theirs = StoredRecording {
        object_key: "recordings/theirs.mp3".into(),
        content_type: "audio/mpeg".into(),
        size_bytes: 1,
        duration_ms: Some(1),
        sha256: vec![0],
    };
    let mut tx = world.db.begin().await.unwrap();
    recording::found(&mut tx, id, "https://recordings.exotel.com/a.mp3").await.unwrap();
    assert!(!recording::stored(&mut tx, id, &theirs).await.unwrap());
    assert!(!shared::recording_piece::kept(&mut tx, id, &theirs, &[]).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(state(&world, id).await, "deleted - ");
}

#[tokio::test]
async fn the_sound_of_a_recording_that_was_deleted_on_request_goes_with_the_next_run() {
    let world = World::new().await;
    let id = talked(&world).await;
    let key = recorded(&world, id, 0).await;
    let mut tx = world.db.begin().await.unwrap();
    assert_eq!(recording::delete(&mut tx, world.account, id, world.now()).await.unwrap(), Deletion::Done);
    tx.commit().await.unwrap();
    let object = world.ctx.storage.get(&key).await.unwrap().unwrap();
    let sound: Vec<bytes::Bytes> = object.stream.try_collect().await.unwrap();
    assert_eq!(sound.concat(), b"sound");
    retain(&world).await.unwrap();
    assert!(!is_there(&world, &key).await);
}
