//! What Aura does not do: confirm, process more flushes than twenty a minute, let everybody in.

use super::*;

#[tokio::test]
async fn a_voice_that_does_not_say_that_it_has_cleared_is_left_for_a_new_one() {
    let server = Server::new().await;
    let mut call = call(server.aura(), quick());
    let mut peer = server.accept().await;
    call.speak(1, 0, "A long story.").await;
    peer.clause().await;
    peer.sound(800).await;
    assert!(matches!(call.event().await, TtsEvent::Audio { .. }));
    call.cancel(1).await;
    assert_eq!(peer.said().await, json!({"type": "Clear"}));
    call.speak(2, 0, "Yes?").await;
    call.finish(2).await;
    // Its sound is of the old text, for all that anybody knows.
    peer.sound(800).await;
    let mut fresh = server.accept().await;
    assert_eq!(fresh.clause().await, "Yes?");
    fresh.sound(320).await;
    fresh.flushed().await;
    assert_eq!(call.heard(2).await, [(0, 320)]);
}

#[tokio::test]
async fn no_connection_is_flushed_more_often_than_it_takes() {
    let server = Server::new().await;
    let mut call = call(server.aura(), quick());
    let mut peer = server.accept().await;
    for clause in 0..22 {
        call.speak(1, clause, &format!("Clause {clause}.")).await;
    }
    call.finish(1).await;
    let mut spoken = Vec::new();
    for clause in 0..22 {
        if clause == 20 {
            // A twenty-first flush would not be processed.
            assert_eq!(peer.said().await, Value::Null);
            peer = server.accept().await;
        }
        spoken.push(peer.clause().await);
        peer.sound(160).await;
        peer.flushed().await;
    }
    assert_eq!(spoken.last().map(String::as_str), Some("Clause 21."));
    assert_eq!(call.heard(1).await.len(), 22);
}

#[tokio::test]
async fn a_voice_is_refused_in_words_of_its_own() {
    for (status, body, kind) in [
        (
            429,
            r#"{"err_code":"Too Many Requests","err_msg":"Please try again later.","request_id":"r"}"#,
            "rate_limited",
        ),
        (415, r#"{"err_code":"UNSUPPORTED_MEDIA_TYPE","err_msg":"m","request_id":"r"}"#, "rejected"),
        (403, r#"{"err_code":"INSUFFICIENT_PERMISSIONS","err_msg":"m","request_id":"r"}"#, "rejected"),
    ] {
        let server = Server::new().await;
        let mut call = call(server.aura(), Timing { backoff: Vec::new(), ..quick() });
        call.speak(1, 0, "Hello.").await;
        server.refuse_with(status, body).await;
        let TtsEvent::Failed { error, .. } = call.event().await else { panic!("not failed") };
        assert_eq!(error.kind(), kind);
    }
}
