//! What answering machines hear: uploaded, kept, replaced, taken back.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{Answer, TestApi};

/// `samples` of mono PCM.
fn wav(samples: u32, rate_hz: u32) -> Vec<u8> {
    let data = samples * 2;
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + data).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&rate_hz.to_le_bytes());
    wav.extend_from_slice(&(rate_hz * 2).to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&data.to_le_bytes());
    wav.resize(wav.len() + data as usize, 1);
    wav
}

async fn put(api: &TestApi, campaign: i64, name: &str, file: &[u8]) -> Answer {
    let mut body = format!(
        "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: audio/wav\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--frontier--\r\n");
    let request = Request::put(format!("/campaigns/{campaign}/voicemail-recording"))
        .header("authorization", format!("Bearer {}", api.key))
        .header("content-type", "multipart/form-data; boundary=frontier");
    api.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_recording_is_kept_as_a_telephone_plays_it_until_it_is_replaced_or_taken_back() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Offer"})).await;
    let path = format!("/campaigns/{campaign}/voicemail-recording");
    assert_eq!(api.get(&path).await.status, 404);

    let answer = put(&api, campaign, "Festive offer.wav", &wav(32_000, 16_000)).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"title": "Festive offer", "duration_ms": 2_000})));
    let view = api.get(&format!("/campaigns/{campaign}")).await.json();
    assert_eq!(view["voicemail_recording"], json!({"title": "Festive offer", "duration_ms": 2_000}));
    let kept = api.get(&path).await;
    assert_eq!(
        (kept.headers["content-type"].to_str().unwrap(), kept.headers["content-length"].to_str().unwrap()),
        ("audio/wav", "32044")
    );

    let first: String =
        sqlx::query_scalar("select voicemail_recording_key from campaigns").fetch_one(&api.db).await.unwrap();
    assert_eq!(put(&api, campaign, "Second.wav", &wav(8_000, 8_000)).await.status, 200);
    assert!(api.app.storage.get(&first).await.unwrap().is_none(), "nobody refers to the first any more");

    assert_eq!(api.call("DELETE", &path, None).await.status, 204);
    assert_eq!(api.get(&path).await.status, 404);
    let view = api.get(&format!("/campaigns/{campaign}")).await.json();
    assert_eq!(view["voicemail_recording"], json!(null));
    api.finish().await;
}

#[tokio::test]
async fn what_cannot_be_played_is_refused_and_changes_nothing() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Offer"})).await;
    assert_eq!(put(&api, campaign, "Good.wav", &wav(8_000, 8_000)).await.status, 200);
    let refused = async |file: Vec<u8>| put(&api, campaign, "other.wav", &file).await.refusal();
    assert_eq!(refused(b"ID3 not a WAV".to_vec()).await, (422, "not_a_wav".into()));
    assert_eq!(refused(wav(44_100, 44_100)).await, (422, "wrong_sample_rate".into()));
    assert_eq!(refused(wav(8_000 * 61, 8_000)).await, (422, "recording_too_long".into()));
    assert_eq!(refused(wav(1_100_000, 16_000)).await, (413, "file_too_large".into()));
    let no_form = api.call("PUT", &format!("/campaigns/{campaign}/voicemail-recording"), Some(json!({}))).await;
    assert_eq!(no_form.refusal(), (415, "form_expected".into()));
    assert_eq!(put(&api, campaign + 1, "Good.wav", &wav(8_000, 8_000)).await.status, 404);

    sqlx::query("update campaigns set status = 'running'").execute(&api.db).await.unwrap();
    assert_eq!(refused(wav(8_000, 8_000)).await, (409, "campaign_running".into()));
    let view = api.get(&format!("/campaigns/{campaign}")).await.json();
    assert_eq!(view["voicemail_recording"]["title"], "Good");
    api.finish().await;
}

#[tokio::test]
async fn a_campaigns_recording_goes_with_it() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Offer"})).await;
    assert_eq!(put(&api, campaign, "Good.wav", &wav(8_000, 8_000)).await.status, 200);
    let key: String =
        sqlx::query_scalar("select voicemail_recording_key from campaigns").fetch_one(&api.db).await.unwrap();
    assert_eq!(api.call("DELETE", &format!("/campaigns/{campaign}"), None).await.status, 204);
    assert!(api.app.storage.get(&key).await.unwrap().is_none());
    api.finish().await;
}
