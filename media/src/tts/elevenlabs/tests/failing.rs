//! Replies that are not said to their end, and complaints.

use super::*;

#[tokio::test]
async fn a_reply_that_falls_silent_or_ends_inside_its_last_clause_has_failed() {
    let server = Server::new().await;
    let mut call = call(&server.client(Timing { stall: Duration::from_millis(80), ..Timing::default() }));
    let mut peer = server.accept().await;
    for (epoch, ends) in [(1, false), (2, true)] {
        call.speak(epoch, 0, "Good.").await;
        call.speak(epoch, 1, "When can you come to see it?").await;
        call.finish(epoch).await;
        let (id, _) = peer.clause().await;
        peer.clause().await;
        assert_eq!(peer.said().await, Said::Close(id.clone()));
        peer.speak(&id, "Good. When can you").await;
        if ends {
            peer.end(&id).await;
        }
        loop {
            match call.event().await {
                TtsEvent::Audio { .. } => {}
                TtsEvent::Failed { epoch: of, clause: 1, error } => {
                    assert_eq!((of, error.kind()), (Epoch(epoch), if ends { "cut" } else { "timed_out" }));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        if !ends {
            peer.end(&id).await;
        }
    }
    // Two thirds are enough: the rest may have been counted otherwise.
    call.speak(3, 0, "That is all for now.").await;
    call.finish(3).await;
    let (id, _) = peer.clause().await;
    peer.speak(&id, "That is all for").await;
    peer.end(&id).await;
    assert_eq!(call.heard(3).await, [(0, 15 * 80)]);
}

#[tokio::test]
async fn a_complaint_on_the_socket_says_what_may_be_done_next() {
    for (message, kind) in [
        (json!({"error": "quota_exceeded", "message": "You have 0 credits remaining.", "code": 1008}), "rejected"),
        (json!({"error": "system_busy", "message": "m", "code": 1008}), "rate_limited"),
    ] {
        let server = Server::new().await;
        let hurried = Timing { backoff: Vec::new(), ..Timing::default() };
        let mut call = call(&server.client(hurried));
        let mut peer = server.accept().await;
        call.speak(1, 0, "Hello.").await;
        peer.clause().await;
        peer.send(message).await;
        let TtsEvent::Failed { epoch: Epoch(1), clause: 0, error } = call.event().await else { panic!("not failed") };
        assert_eq!(error.kind(), kind);
    }
}

#[tokio::test]
async fn a_policy_violation_tells_its_reason_in_the_close_frame() {
    for (reason, kind) in [
        (r#"{"error":"quota_exceeded","message":"This request exceeds your quota."}"#, "rejected"),
        (r#"{"error":"policy_violation"}"#, "cut"),
        ("", "cut"),
    ] {
        let server = Server::new().await;
        let mut call = call(&server.client(Timing { backoff: Vec::new(), ..Timing::default() }));
        let mut peer = server.accept().await;
        call.speak(1, 0, "Hello.").await;
        peer.clause().await;
        let close = CloseFrame { code: CloseCode::Policy, reason: reason.into() };
        peer.socket.close(Some(close)).await.unwrap();
        // What another try could mend is tried once; the server is not there for it.
        drop(server);
        let TtsEvent::Failed { epoch: Epoch(1), error, .. } = call.event().await else { panic!("not failed") };
        assert_eq!(error.kind(), kind, "{reason}");
    }
}
