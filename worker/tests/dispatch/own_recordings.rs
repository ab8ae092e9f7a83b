//! What `media` recorded, from its pieces to the call's recording, and who comes first.

use futures::TryStreamExt;
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use shared::call::CallStatus;
use shared::id::CallId;
use shared::jobs::assemble_recording::AssembleRecording;
use shared::jobs::sweep::Sweep;
use shared::recording::{self, StoredRecording};
use shared::recording_piece::{self, NewPiece};
use worker::jobs;
use worker::queue::{JobContext, JobError};

use crate::world::{World, snoozed};

/// `ms` of one value on both sides.
fn wav(ms: usize, value: i16) -> bytes::Bytes {
    let spec = WavSpec { channels: 2, sample_rate: 8_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut content = std::io::Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut content, spec).unwrap();
    (0..ms * 16).for_each(|_| writer.write_sample(value).unwrap());
    writer.finalize().unwrap();
    content.into_inner().into()
}

/// A call under way, placed through a carrier.
async fn answered(world: &World) -> CallId {
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "hello").await;
    id
}

/// `media` ships a piece.
async fn piece(world: &World, call: CallId, id: &str, offset_ms: i64, sound: bytes::Bytes) {
    let object_key = format!("recordings/{}/{call}/{id}.wav", world.account);
    world.ctx.storage.put(&object_key, sound).await.unwrap();
    let piece =
        NewPiece { id: id.into(), account_id: world.account, call_id: call, offset_ms, duration_ms: 1_000, object_key };
    let mut tx = world.db.begin().await.unwrap();
    assert!(recording_piece::note(&mut tx, &piece).await.unwrap());
    tx.commit().await.unwrap();
}

async fn assemble(world: &World, call: CallId) -> Result<(), JobError> {
    let job = AssembleRecording { call_id: call };
    jobs::assemble_recording::run(job, JobContext::detached("assemble_recording"), world.ctx.clone()).await
}

async fn named(world: &World, call: CallId) {
    let mut tx = world.db.begin().await.unwrap();
    recording::found(&mut tx, call, "https://recordings.exotel.com/a.mp3").await.unwrap();
    tx.commit().await.unwrap();
}

async fn given_up(world: &World, call: CallId) {
    let mut tx = world.db.begin().await.unwrap();
    recording::give_up(&mut tx, call, true, "404").await.unwrap();
    tx.commit().await.unwrap();
}

/// Milliseconds, and the left channel at these.
async fn kept(world: &World, at_ms: &[usize]) -> (i64, Vec<i16>) {
    let row = "select status || ' ' || source || ' ' || content_type from recordings";
    assert_eq!(world.text(row).await.as_deref(), Some("stored media audio/wav"));
    let key = world.text("select object_key from recordings").await.unwrap();
    let object = world.ctx.storage.get(&key).await.unwrap().unwrap();
    assert_eq!(world.number("select size_bytes from recordings").await, object.size_bytes as i64);
    let content: Vec<bytes::Bytes> = object.stream.try_collect().await.unwrap();
    let wav = WavReader::new(std::io::Cursor::new(content.concat())).unwrap();
    let samples: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    (world.number("select duration_ms from recordings").await, at_ms.iter().map(|ms| samples[ms * 16]).collect())
}

/// No piece is left, neither its row nor its object.
async fn cleared(world: &World, call: CallId, ids: &[&str]) {
    assert_eq!(world.number("select count(*) from recording_pieces").await, 0);
    for id in ids {
        let key = format!("recordings/{}/{call}/{id}.wav", world.account);
        assert!(world.ctx.storage.get(&key).await.unwrap().is_none(), "{key}");
    }
}

#[tokio::test]
async fn ours_is_kept_when_the_carrier_gives_its_own_up_and_both_streams_are_in_it() {
    let world = World::new().await;
    let id = answered(&world).await;
    named(&world, id).await;
    piece(&world, id, "a", 0, wav(1_000, 5)).await;
    snoozed(assemble(&world, id).await);
    piece(&world, id, "b", 3_000, wav(1_000, 6)).await;
    world.ends(id, CallStatus::Completed).await;
    // The carrier's comes first, for as long as it may come.
    snoozed(assemble(&world, id).await);

    world.sql("delete from apalis.jobs").await;
    given_up(&world, id).await;
    assert!(world.has_job(&format!("assemble:{id}")).await, "nobody has to wait for it");
    assemble(&world, id).await.unwrap();
    assert_eq!(kept(&world, &[0, 999, 1_000, 2_999, 3_000]).await, (4_000, vec![5, 5, 0, 0, 6]));
    cleared(&world, id, &["a", "b"]).await;
    assemble(&world, id).await.unwrap();
    assert!(!recording::is_expected(&world.db, id).await.unwrap(), "nobody asks the carrier any more");
}

#[tokio::test]
async fn pieces_of_a_call_that_is_up_wait_for_its_end_without_a_job() {
    let world = World::with(&["--recording-patience-secs", "0"]).await;
    let id = answered(&world).await;
    piece(&world, id, "a", 0, wav(1_000, 5)).await;
    jobs::sweep::run(Sweep::default(), JobContext::detached("sweep"), world.ctx.clone()).await.unwrap();
    let key = format!("assemble:{id}");
    assert!(!world.has_job(&key).await);
    world.ends(id, CallStatus::Completed).await;
    assert!(world.has_job(&key).await);
    // The last one comes after the end.
    world.sql("delete from apalis.jobs").await;
    piece(&world, id, "b", 1_000, wav(500, 6)).await;
    assert!(world.has_job(&key).await);
    assemble(&world, id).await.unwrap();
    assert_eq!(kept(&world, &[999, 1_000]).await, (1_500, vec![5, 6]), "not a sample is lost between them");
}

#[tokio::test]
async fn what_media_recorded_of_a_call_whose_recording_was_deleted_goes_as_well() {
    let world = World::with(&["--recording-patience-secs", "0"]).await;
    let id = answered(&world).await;
    piece(&world, id, "a", 0, wav(1_000, 5)).await;
    world.ends(id, CallStatus::Completed).await;
    let mut tx = world.db.begin().await.unwrap();
    recording::delete(&mut tx, world.account, id, world.now()).await.unwrap();
    tx.commit().await.unwrap();
    assemble(&world, id).await.unwrap();
    piece(&world, id, "b", 1_000, wav(500, 6)).await;
    assemble(&world, id).await.unwrap();
    cleared(&world, id, &["a", "b"]).await;
    assert_eq!(world.text("select status from recordings").await.as_deref(), Some("deleted"));
}

#[tokio::test]
async fn the_carriers_recording_makes_ours_needless() {
    let world = World::new().await;
    let id = answered(&world).await;
    named(&world, id).await;
    piece(&world, id, "a", 0, wav(1_000, 5)).await;
    world.ends(id, CallStatus::Completed).await;
    let theirs = StoredRecording {
        object_key: "recordings/theirs.mp3".into(),
        content_type: "audio/mpeg".into(),
        size_bytes: 1,
        duration_ms: Some(1),
        sha256: vec![0],
    };
    let mut tx = world.db.begin().await.unwrap();
    assert!(recording::stored(&mut tx, id, &theirs).await.unwrap());
    tx.commit().await.unwrap();
    assemble(&world, id).await.unwrap();
    cleared(&world, id, &["a"]).await;
    assert_eq!(
        world.text("select source || object_key from recordings").await.as_deref(),
        Some("carrierrecordings/theirs.mp3")
    );
}

#[tokio::test]
async fn a_carrier_that_makes_us_wait_for_longer_than_is_sensible_is_not_waited_for() {
    let world = World::with(&["--recording-patience-secs", "600"]).await;
    let id = answered(&world).await;
    piece(&world, id, "a", 0, wav(1_000, 5)).await;
    world.ends(id, CallStatus::Completed).await;
    snoozed(assemble(&world, id).await);
    world.sql("update recording_pieces set created_at = now() - interval '11 minutes'").await;
    assemble(&world, id).await.unwrap();
    assert_eq!(kept(&world, &[0]).await, (1_000, vec![5]));
    // What it names afterwards changes nothing.
    named(&world, id).await;
    assert_eq!(world.text("select source from recordings where status = 'stored'").await.as_deref(), Some("media"));
}

#[tokio::test]
async fn a_piece_that_comes_after_the_others_were_kept_is_laid_into_the_gap() {
    let world = World::with(&["--recording-patience-secs", "0"]).await;
    let id = answered(&world).await;
    world.ends(id, CallStatus::Completed).await;
    piece(&world, id, "b", 2_000, wav(1_000, 6)).await;
    assemble(&world, id).await.unwrap();
    assert_eq!(kept(&world, &[0, 2_000]).await, (3_000, vec![0, 6]));
    piece(&world, id, "a", 0, wav(1_000, 5)).await;
    assemble(&world, id).await.unwrap();
    assert_eq!(kept(&world, &[0, 1_500, 2_000]).await, (3_000, vec![5, 0, 6]));
    cleared(&world, id, &["a", "b"]).await;
}

#[tokio::test]
async fn a_run_that_died_before_it_had_cleared_up_is_finished_by_the_next() {
    let world = World::with(&["--recording-patience-secs", "0"]).await;
    let id = answered(&world).await;
    world.ends(id, CallStatus::Completed).await;
    piece(&world, id, "a", 0, wav(1_000, 5)).await;
    let ours = StoredRecording {
        object_key: "recordings/ours.wav".into(),
        content_type: "audio/wav".into(),
        size_bytes: 1,
        duration_ms: Some(1_000),
        sha256: vec![0],
    };
    let mut tx = world.db.begin().await.unwrap();
    assert!(recording_piece::kept(&mut tx, id, &ours, &["a".into()]).await.unwrap());
    tx.commit().await.unwrap();
    world.sql("delete from apalis.jobs").await;
    jobs::sweep::run(Sweep::default(), JobContext::detached("sweep"), world.ctx.clone()).await.unwrap();
    assert!(world.has_job(&format!("assemble:{id}")).await);
    assemble(&world, id).await.unwrap();
    cleared(&world, id, &["a"]).await;
    let key = world.text("select object_key from recordings").await;
    assert_eq!(key.as_deref(), Some("recordings/ours.wav"), "what was kept stays as it is");
}

#[tokio::test]
async fn a_piece_of_a_call_that_is_gone_is_refused() {
    let world = World::new().await;
    let stray = NewPiece {
        id: "a".into(),
        account_id: world.account,
        call_id: CallId(404),
        offset_ms: 0,
        duration_ms: 1,
        object_key: "recordings/a.wav".into(),
    };
    let mut tx = world.db.begin().await.unwrap();
    assert!(!recording_piece::note(&mut tx, &stray).await.unwrap());
}
