//! How transcribers fail, and whether it is noticed.

use super::*;

#[tokio::test]
async fn a_model_that_is_not_ours_is_not_asked_for_twice_nor_a_full_project() {
    let server = Server::new().await;
    let mut call = server.call(quick());
    let body =
        r#"{"err_code":"INSUFFICIENT_PERMISSIONS","err_msg":"Project does not have access to the requested model."}"#;
    server.refuse(403, body).await;
    let SttEvent::Lost(ProviderError::Rejected { code }) = call.event().await else { panic!("not rejected") };
    assert_eq!(code, "INSUFFICIENT_PERMISSIONS");
}

#[tokio::test]
async fn a_slow_handshake_is_not_waited_for() {
    let server = Server::new().await;
    let mut call = server.call(Timing { connect: Duration::from_millis(50), ..quick() });
    // Accepted by the machine, and never answered.
    let _slow = server.0.stream().await;
    assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: 1 }));
    let _fine = server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
}

#[tokio::test]
async fn audio_that_cannot_be_decoded_costs_the_connection_and_not_the_call() {
    let server = Server::new().await;
    let mut call = server.call(quick());
    let (mut peer, _) = server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    call.handle.audio.push(&[7; 800]);
    audio(&mut peer, 800).await;
    say(&mut peer, json!({"type": "Error", "variant": "SchemaError", "description": "d", "message": "m"})).await;
    let close = CloseFrame { code: CloseCode::Policy, reason: "DATA-0000".into() };
    peer.close(Some(close)).await.unwrap();
    assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: 1 }));
    let (mut peer, _) = server.accept().await;
    assert_eq!(audio(&mut peer, 800).await, [7; 800], "what nobody has transcribed is sent again");
}

#[tokio::test]
async fn interims_may_change_and_a_final_that_is_repeated_is_one() {
    let server = Server::new().await;
    let mut call = server.call(quick());
    let (mut peer, _) = server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    for message in [
        results(0.0, 0.1, "two bad", false),
        results(0.0, 0.2, "to bed", false),
        results(0.0, 0.3, "two bed", true),
        results(0.0, 0.3, "two bed", true),
        results(0.3, 0.3, "two bed", true),
    ] {
        say(&mut peer, message).await;
    }
    for expected in ["two bad", "to bed"] {
        assert!(matches!(call.event().await, SttEvent::Interim { text, .. } if text == expected));
    }
    for starts_ms in [0, 300] {
        let SttEvent::Final(transcript) = call.event().await else { panic!("not final") };
        assert_eq!(
            (&*transcript.text, transcript.start.as_millis()),
            ("two bed", starts_ms),
            "said twice, told thrice"
        );
    }
}

#[tokio::test]
async fn a_provider_that_says_nothing_of_what_it_hears_is_replaced() {
    let (first, second) = (Server::new().await, Server::new().await);
    let timing = Timing { unanswered: Duration::from_millis(200), ..quick() };
    let mut call = call(first.wire(), Some(second.wire()), timing);
    let (mut peer, _) = first.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    call.handle.audio.push(&[7; 1_600]);
    audio(&mut peer, 1_600).await;
    say(&mut peer, results(0.0, 0.2, "", true)).await;
    assert!(matches!(call.event().await, SttEvent::Final(_)));
    // That was an answer. From here on it only pongs.
    call.handle.audio.push(&[7; 1_600]);
    audio(&mut peer, 1_600).await;
    call.handle.audio.push(&[7; 800]);
    let SttEvent::FailedOver(over) = call.event().await else { panic!("not over") };
    assert_eq!(over.error, ProviderError::TimedOut { stage: "transcript", after: Duration::from_millis(200) });
    second.accept().await;
}

#[tokio::test]
async fn without_a_second_choice_one_that_says_nothing_is_connected_again() {
    let server = Server::new().await;
    let mut call = server.call(Timing { unanswered: Duration::from_millis(100), ..quick() });
    let (_peer, _) = server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    call.handle.audio.push(&[7; 1_600]);
    assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: 1 }));
    server.accept().await;
}

#[tokio::test]
async fn whoever_should_greet_and_does_not_is_replaced() {
    let (first, second, third) = (Server::new().await, Server::new().await, Server::new().await);
    let timing = Timing { greeting: Duration::from_millis(80), ..quick() };
    let call_of = |first: Box<dyn Wire>, second: Box<dyn Wire>| call(first, Some(second), timing.clone());
    let mut flux = call_of(first.flux(), third.wire());
    let (_silent, _) = first.accept().await;
    let mut sarvam = call_of(second.sarvam(), third.wire());
    let _also_silent = second.accept_sarvam().await;
    for call in [&mut flux, &mut sarvam] {
        assert!(matches!(call.event().await, SttEvent::Connected { .. }));
        let SttEvent::FailedOver(over) = call.event().await else { panic!("not over") };
        assert_eq!(over.error, ProviderError::TimedOut { stage: "greeting", after: Duration::from_millis(80) });
    }
    // Whoever greets may be quiet afterwards.
    let fourth = Server::new().await;
    let mut greeted = call_of(fourth.flux(), third.wire());
    let (mut peer, _) = fourth.accept().await;
    assert!(matches!(greeted.event().await, SttEvent::Connected { .. }));
    say(&mut peer, json!({"type": "Connected", "request_id": "r", "sequence_id": 0})).await;
    timeout(Duration::from_millis(200), greeted.events.recv()).await.expect_err("it is left alone");
}

#[tokio::test]
async fn whoever_makes_no_words_of_two_utterances_in_a_row_is_replaced() {
    let (first, second) = (Server::new().await, Server::new().await);
    let mut call = call(first.wire(), Some(second.wire()), quick());
    let (mut peer, _) = first.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    call.handle.control.send(SttControl::NoWords).await.unwrap();
    // The order of a word and a request is the socket's: this one has been read when the next strike is given.
    say(&mut peer, results(0.0, 0.1, "yes", true)).await;
    assert!(matches!(call.event().await, SttEvent::Final(_)));
    call.handle.control.send(SttControl::NoWords).await.unwrap();
    say(&mut peer, results(0.1, 0.1, "", true)).await;
    assert!(matches!(call.event().await, SttEvent::Final(t) if t.text.is_empty()));
    call.handle.control.send(SttControl::NoWords).await.unwrap();
    let SttEvent::FailedOver(over) = call.event().await else { panic!("not over") };
    assert_eq!(over.error, ProviderError::Cut { cause: "no_words".into() });
    // The second is nobody's first: it stays.
    let (mut peer, _) = second.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    for _ in 0..3 {
        call.handle.control.send(SttControl::NoWords).await.unwrap();
    }
    say(&mut peer, results(0.0, 0.1, "here", true)).await;
    assert!(matches!(call.event().await, SttEvent::Final(t) if t.text == "here"));
}

#[tokio::test]
async fn a_finalize_that_is_not_answered_holds_nothing_up() {
    let server = Server::new().await;
    let mut call = server.call(quick());
    let (mut peer, _) = server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    for _ in 0..2 {
        call.handle.control.send(SttControl::Finalize).await.unwrap();
        assert_eq!(text(&mut peer).await, json!({"type": "Finalize"}));
    }
    call.handle.audio.push(&[7; 800]);
    assert_eq!(audio(&mut peer, 800).await, [7; 800]);
    say(&mut peer, results(0.0, 0.1, "yes", true)).await;
    assert!(matches!(call.event().await, SttEvent::Final(t) if t.text == "yes"));
}

#[tokio::test]
async fn a_turn_ends_eagerly_resumes_and_ends_over_a_socket() {
    let server = Server::new().await;
    let mut call = call(server.flux(), None, quick());
    let (mut peer, asked) = server.accept().await;
    assert!(asked.starts_with("/v2/listen?model=flux-general-en&"), "{asked}");
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    let mut sequence = 0;
    let mut message = |mut message: Value| {
        message["sequence_id"] = json!(sequence);
        sequence += 1;
        message
    };
    say(&mut peer, message(json!({"type": "Connected", "request_id": "r"}))).await;
    let failure = json!({"type": "ConfigureFailure", "request_id": "r", "code": "CONFIGURE_INTERNAL_ERROR"});
    say(&mut peer, message(failure)).await;
    for (event, transcript, trigger) in [
        ("StartOfTurn", "Hi", Value::Null),
        ("EagerEndOfTurn", "Hi I need", Value::Null),
        ("TurnResumed", "Hi I need", Value::Null),
        ("EagerEndOfTurn", "Hi I need a flat", Value::Null),
        ("EndOfTurn", "Hi I need a flat", json!("timeout")),
    ] {
        let mut info = json!({"type": "TurnInfo", "event": event, "turn_index": 0, "audio_window_start": 0.5,
            "audio_window_end": 1.9, "transcript": transcript, "words": [], "end_of_turn_confidence": 0.8});
        if !trigger.is_null() {
            info["trigger"] = trigger;
        }
        say(&mut peer, message(info)).await;
    }
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "end") {
        told.push(match call.event().await {
            SttEvent::SpeechStarted { .. } => "start".to_owned(),
            SttEvent::Interim { text, .. } => text,
            SttEvent::EagerEndOfTurn => "eager".into(),
            SttEvent::TurnResumed => "resumed".into(),
            SttEvent::Final(transcript) => format!("final {}", transcript.text),
            SttEvent::EndOfTurn => "end".into(),
            other => panic!("{other:?}"),
        });
    }
    let expected = [
        "start",
        "Hi",
        "Hi I need",
        "eager",
        "resumed",
        "Hi I need",
        "Hi I need a flat",
        "eager",
        "final Hi I need a flat",
        "end",
    ];
    assert_eq!(told, expected);

    // A fatal error costs the connection.
    say(&mut peer, message(json!({"type": "Error", "code": "INTERNAL_SERVER_ERROR", "description": "d"}))).await;
    peer.close(None).await.unwrap();
    assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: 1 }));
    server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
}

#[tokio::test]
async fn a_fatal_error_that_comes_again_leaves_the_call_to_the_second_choice() {
    let (first, second) = (Server::new().await, Server::new().await);
    let mut call = call(first.flux(), Some(second.wire()), quick());
    for attempt in [true, false] {
        let (mut peer, _) = first.accept().await;
        assert!(matches!(call.event().await, SttEvent::Connected { .. }));
        say(&mut peer, json!({"type": "Error", "code": "INTERNAL_SERVER_ERROR", "description": "d"})).await;
        match call.event().await {
            SttEvent::Reconnecting { attempt: 1 } if attempt => {}
            SttEvent::FailedOver(over) if !attempt => assert_eq!(over.error.kind(), "cut"),
            other => panic!("{other:?}"),
        }
    }
    second.accept().await;
}

#[tokio::test]
async fn an_idle_session_of_sarvams_is_pinged_and_one_that_was_closed_is_opened_again() {
    let server = Server::new().await;
    let mut call = call(server.sarvam(), None, Timing { keep_alive: Duration::from_millis(30), ..quick() });
    let mut peer = server.accept_sarvam().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    say(&mut peer, json!({"event": "session.begin", "request_id": "r", "config": {}})).await;
    for _ in 0..3 {
        assert_eq!(text(&mut peer).await, json!({"event": "ping"}));
        say(&mut peer, json!({"event": "pong"})).await;
    }
    let close = CloseFrame { code: CloseCode::Policy, reason: "inactivity".into() };
    peer.close(Some(close)).await.unwrap();
    assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: 1 }));
    server.accept_sarvam().await;
}
