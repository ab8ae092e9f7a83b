//! From the carrier's address of a recording to our copy.

use shared::id::CallId;
use shared::jobs::fetch_recording::FetchRecording;
use worker::jobs;
use worker::queue::JobError;

use crate::outside::Reply;
use crate::world::{World, attempt_of};

fn wav(seconds: u32) -> Vec<u8> {
    let data = seconds * 16_000;
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + data).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    wav.extend_from_slice(&data.to_le_bytes());
    wav.resize(wav.len() + data as usize, 0);
    wav
}

async fn named(world: &World, url: &str) -> CallId {
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    let mut tx = world.db.begin().await.unwrap();
    shared::recording::found(&mut tx, id, url).await.unwrap();
    tx.commit().await.unwrap();
    world.sql("update calls set status = 'completed'").await;
    id
}

async fn fetch(world: &World, id: CallId, attempt: i32) -> Result<(), JobError> {
    let job_context = attempt_of(attempt, 12);
    jobs::fetch_recording::run(FetchRecording { call_id: id }, job_context, world.ctx.clone()).await
}

#[tokio::test]
async fn a_recording_is_copied_with_checksum_length_and_duration_once_it_is_there() {
    let world = World::new().await;
    let id = named(&world, &format!("{}recordings/a.wav", world.outside.base)).await;
    world
        .outside
        .on_file([Reply::Text(404, "not yet"), Reply::Bytes(200, vec![("content-type", "audio/wav".into())], wav(3))]);
    assert!(matches!(fetch(&world, id, 1).await, Err(JobError::Retry(_))));
    fetch(&world, id, 2).await.unwrap();
    assert_eq!(
        world
            .text("select status || size_bytes || ' ' || duration_ms || ' ' || length(sha256) from recordings")
            .await
            .unwrap(),
        "stored48044 3000 32"
    );
    let key = world.text("select object_key from recordings").await.unwrap();
    assert_eq!(key, format!("recordings/{}/{id}.wav", world.account));
    assert_eq!(world.ctx.storage.get(&key).await.unwrap().unwrap().size_bytes, 48_044);
    assert!(world.outside.asked().last().unwrap().authorization.is_some());
    fetch(&world, id, 1).await.unwrap();
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let world = World::new().await;
    let elsewhere = crate::outside::Outside::start().await;
    let id = named(&world, &format!("{}recordings/a.wav", world.outside.base)).await;
    world.outside.on_file([Reply::Bytes(302, vec![("location", format!("{}a.wav", elsewhere.base))], Vec::new())]);
    elsewhere.on_file([Reply::Bytes(200, Vec::new(), wav(1))]);
    fetch(&world, id, 1).await.unwrap();
    // Plain http to a stranger is not even opened.
    assert!(elsewhere.asked().is_empty());
    assert_eq!(world.text("select status from recordings").await.as_deref(), Some("failed"));
}

#[tokio::test]
async fn what_never_comes_is_missing_and_what_is_no_sound_is_not_kept() {
    let world = World::new().await;
    let id = named(&world, &format!("{}recordings/a.wav", world.outside.base)).await;
    world.outside.on_file([Reply::Bytes(
        200,
        vec![("content-type", "audio/mpeg".into())],
        b"<html>soon</html>".to_vec(),
    )]);
    assert!(matches!(fetch(&world, id, 1).await, Err(JobError::Retry(_))));
    world.outside.on_file([Reply::Text(404, "no")]);
    fetch(&world, id, 12).await.unwrap();
    assert_eq!(world.text("select status from recordings").await.as_deref(), Some("missing"));
}

#[tokio::test]
async fn a_recording_named_in_the_middle_of_its_call_is_copied_when_the_call_is_over() {
    let world = World::new().await;
    let id = named(&world, &format!("{}recordings/a.wav", world.outside.base)).await;
    world.sql("update calls set status = 'in_progress'").await;
    let asked = world.outside.asked().len();
    assert!(matches!(fetch(&world, id, 12).await, Err(JobError::Snooze { .. })));
    assert_eq!(world.outside.asked().len(), asked, "half a recording is none");
    world.sql("update apalis.jobs set run_at = now() + interval '1 hour'").await;
    world.ends(id, shared::call::CallStatus::Completed).await;
    let soon =
        "select count(*) from apalis.jobs where job_type = 'fetch_recording' and run_at < now() + interval '1 minute'";
    assert_eq!(world.number(soon).await, 1);
    world.outside.on_file([Reply::Bytes(200, vec![("content-type", "audio/wav".into())], wav(1))]);
    fetch(&world, id, 1).await.unwrap();
    assert_eq!(world.text("select status from recordings").await.as_deref(), Some("stored"));
}
