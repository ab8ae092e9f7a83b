//! The object store of recordings, against a strict S3 on loopback.

use futures::TryStreamExt;
use sandbox::log::Filter;
use sandbox::s3::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY};
use sandbox::settings::Settings;
use serde_json::json;
use shared::storage::Storage;

async fn world() -> sandbox::Running {
    sandbox::serve(Settings { port: 0, tones: true, ..Settings::default() }).await.unwrap()
}

fn storage(world: &sandbox::Running, secret: &str) -> Storage {
    let variables = [
        ("AWS_ENDPOINT_URL", format!("{}/s3", world.url())),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_SOMETHING_ELSE", "is ignored".to_owned()),
    ];
    let url = format!("s3://{BUCKET}/calls").parse().unwrap();
    Storage::s3(&url, variables.map(|(name, value)| (name.to_owned(), value))).unwrap()
}

fn fault(world: &sandbox::Running, fault: serde_json::Value) {
    world.world.faults.arm(serde_json::from_value(fault).unwrap());
}

fn kinds(world: &sandbox::Running) -> Vec<String> {
    let filter = Filter { service: Some("s3".into()), ..Filter::default() };
    world.world.log.entries(&filter).into_iter().map(|entry| entry.kind).collect()
}

async fn content(storage: &Storage, key: &str) -> Vec<u8> {
    let object = storage.get(key).await.unwrap().unwrap();
    let content: Vec<bytes::Bytes> = object.stream.try_collect().await.unwrap();
    let content = content.concat();
    assert_eq!(content.len() as u64, object.size_bytes);
    content
}

fn sound(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn what_was_put_is_got_whole_and_in_parts_and_is_gone_when_it_is_deleted() {
    let world = world().await;
    let storage = storage(&world, SECRET_KEY);
    storage.put("recordings/1/7.mp3", sound(1_000).into()).await.unwrap();
    assert_eq!(world.world.s3.keys(), ["calls/recordings/1/7.mp3"]);
    assert_eq!(content(&storage, "recordings/1/7.mp3").await, sound(1_000));
    assert_eq!(storage.size("recordings/1/7.mp3").await.unwrap(), Some(1_000));
    let part = storage.get_part("recordings/1/7.mp3", 10..20).await.unwrap().unwrap();
    let bytes: Vec<bytes::Bytes> = part.stream.try_collect().await.unwrap();
    assert_eq!((part.size_bytes, bytes.concat()), (1_000, sound(1_000)[10..20].to_vec()));
    assert!(storage.get("recordings/1/8.mp3").await.unwrap().is_none());
    assert!(storage.get_part("recordings/1/8.mp3", 0..1).await.unwrap().is_none());
    for _ in 0..2 {
        storage.delete("recordings/1/7.mp3").await.unwrap();
    }
    assert!(world.world.s3.keys().is_empty());
    world.shutdown.stop().await;
}

#[tokio::test]
async fn a_long_recording_goes_in_parts_and_one_that_is_broken_off_leaves_none() {
    let world = world().await;
    let storage = storage(&world, SECRET_KEY);
    let long = sound(12 * 1_024 * 1_024 + 7);
    // One part is refused once, and one is cut off on its way.
    fault(&world, json!({"name": "s3_error", "match": "partNumber=1"}));
    fault(&world, json!({"name": "s3_cut", "match": "partNumber=2"}));
    storage.put_from("recordings/1/7.wav", long.as_slice()).await.unwrap();
    assert!(content(&storage, "recordings/1/7.wav").await == long);
    let kinds = kinds(&world);
    let count = |kind: &str| kinds.iter().filter(|known| *known == kind).count();
    assert_eq!((count("upload.created"), count("part.put"), count("upload.completed")), (1, 3, 1), "{kinds:?}");
    assert_eq!((count("request.failed"), count("request.cut")), (1, 1), "{kinds:?}");

    let broken = futures::stream::iter([Ok(bytes::Bytes::from(long)), Err(std::io::Error::other("the disk is gone"))]);
    let broken = tokio_util::io::StreamReader::new(broken);
    assert!(storage.put_from("recordings/1/8.wav", broken).await.is_err());
    assert_eq!(world.world.s3.keys(), ["calls/recordings/1/7.wav"]);
    assert_eq!(world.world.s3.open_uploads(), 0, "its parts are cleared up");
    world.shutdown.stop().await;
}

#[tokio::test]
async fn a_store_that_is_slow_away_for_a_moment_or_breaks_off_is_asked_again() {
    let world = world().await;
    let storage = storage(&world, SECRET_KEY);
    fault(&world, json!({"name": "s3_error", "count": 2, "match": "PUT "}));
    fault(&world, json!({"name": "s3_slow", "value": 300, "match": "PUT "}));
    storage.put("a.wav", sound(9).into()).await.unwrap();
    fault(&world, json!({"name": "s3_cut", "match": "GET "}));
    // It goes on where it was cut off.
    assert_eq!(content(&storage, "a.wav").await, sound(9));
    fault(&world, json!({"name": "s3_error", "value": 500, "match": "DELETE "}));
    storage.delete("a.wav").await.unwrap();
    assert!(world.world.s3.keys().is_empty());
    world.shutdown.stop().await;
}

#[tokio::test]
async fn a_store_that_does_not_know_us_says_so_at_once() {
    let world = world().await;
    let storage = storage(&world, "another secret");
    let refused = storage.put("a.wav", sound(9).into()).await.unwrap_err();
    assert!(refused.to_string().contains("403") || format!("{refused:?}").contains("403"), "{refused:?}");
    assert!(storage.get("a.wav").await.is_err(), "which is another thing than that there is none");
    assert_eq!(kinds(&world), ["request.refused", "request.refused"]);
    world.shutdown.stop().await;
}
