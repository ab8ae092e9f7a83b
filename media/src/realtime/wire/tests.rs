use std::sync::Arc;

use super::*;

fn address(language: &str) -> Address {
    let base = "https://api.openai.com/v1".parse().unwrap();
    Address::new(&base, &"k".into(), "gpt-realtime-2.1", "marin", "gpt-transcribe", language)
}

fn read(text: &Value) -> ServerEvent {
    Reader::default().read(&text.to_string(), &mut Vec::new()).unwrap()
}

#[test]
fn a_session_is_declared_with_the_telephones_own_sound_both_ways() {
    let parameters = json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
    let tool = ToolSpec { name: "end_call".into(), description: "Ends it.".into(), parameters: parameters.clone() };
    let session = Session { instructions: "Be kind.".into(), tools: Arc::from([tool]), items: Vec::new() };
    let address = address("en-IN");
    assert_eq!(address.url.as_str(), "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1");
    assert_eq!(address.authorization.expose_secret(), "Bearer k");
    let told: Value = serde_json::from_str(&session_update(&address, &session)).unwrap();
    let expected = json!({"type": "session.update", "session": {
        "type": "realtime", "instructions": "Be kind.", "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500,
                    "create_response": true, "interrupt_response": false},
                "transcription": {"model": "gpt-transcribe", "language": "en"},
                "noise_reduction": null,
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        },
        "tools": [{"type": "function", "name": "end_call", "description": "Ends it.", "parameters": parameters}],
        "tool_choice": "auto", "max_output_tokens": 4096,
    }});
    assert_eq!(told, expected);
}

#[test]
fn mixed_speech_is_written_down_without_a_language() {
    let session = Session { instructions: String::new(), tools: Arc::from([]), items: Vec::new() };
    let told: Value = serde_json::from_str(&session_update(&address("hi-en"), &session)).unwrap();
    assert_eq!(told["session"]["audio"]["input"]["transcription"], json!({"model": "gpt-transcribe"}));
}

#[test]
fn what_the_client_says_is_said_in_the_documents_words() {
    let said = |event: ClientEvent| serde_json::from_str::<Value>(&event.text()).unwrap();
    let create = |item| said(ClientEvent::Create(item))["item"].clone();
    assert_eq!(
        create(Item::Said(Speaker::Human, "Hello".into())),
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]})
    );
    assert_eq!(
        create(Item::Said(Speaker::Agent, "Hello".into())),
        json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]})
    );
    assert_eq!(
        create(Item::Output { call_id: "call_1".into(), output: "noted".into() }),
        json!({"type": "function_call_output", "call_id": "call_1", "output": "noted"})
    );
    assert_eq!(
        said(ClientEvent::Truncate { item_id: "item_1".into(), audio_end_ms: 1_500 }),
        json!({"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 1500})
    );
    assert_eq!(
        said(ClientEvent::Ask { epoch: Epoch(3), exactly: None }),
        json!({"type": "response.create", "response": {"metadata": {"epoch": "3"}}})
    );
    let exact = said(ClientEvent::Ask { epoch: Epoch(3), exactly: Some("Hello, I am Asha.".into()) });
    assert!(exact["response"]["instructions"].as_str().unwrap().ends_with("\nHello, I am Asha."), "{exact}");
    assert_eq!(exact["response"]["tool_choice"], "none");
    assert_eq!(append(&[0, 0]), r#"{"type":"input_audio_buffer.append","audio":"//8="}"#);
}

#[test]
fn sound_is_read_as_it_is() {
    let delta = json!({"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "output_index": 0,
        "content_index": 0, "delta": "//8="});
    let mut codes = vec![1, 2, 3];
    let event = Reader::default().read(&delta.to_string(), &mut codes).unwrap();
    assert_eq!(event, ServerEvent::Audio { response_id: "r".into(), item_id: "i".into(), samples: 2 });
    assert_eq!(codes, [0xFF, 0xFF]);
    assert_eq!(
        Reader::default().read(r#"{"type":"response.output_audio.delta","delta":"?"}"#, &mut codes),
        Err(Malformed)
    );
    assert_eq!(Reader::default().read("not json", &mut codes), Err(Malformed));
}

#[test]
fn a_response_is_known_by_the_request_it_answers() {
    let created = |metadata: Value| {
        read(&json!({"type": "response.created", "response": {"id": "resp_1", "metadata": metadata}}))
    };
    let response_id = String::from("resp_1");
    assert_eq!(
        created(json!({"epoch": "7"})),
        ServerEvent::ResponseCreated { response_id: response_id.clone(), epoch: Some(Epoch(7)) }
    );
    assert_eq!(created(Value::Null), ServerEvent::ResponseCreated { response_id, epoch: None });
}

#[test]
fn an_answer_is_charged_by_its_kinds_of_tokens() {
    let done = |input: Value| {
        let event = json!({"type": "response.done", "response": {"id": "r", "status": "completed", "usage": {
            "input_token_details": input, "output_token_details": {"audio_tokens": 90, "text_tokens": 30}}}});
        match read(&event) {
            ServerEvent::ResponseDone { status: Status::Completed, usage: Some(usage), .. } => usage,
            other => panic!("{other:?}"),
        }
    };
    let told = json!({"audio_tokens": 100, "text_tokens": 500, "cached_tokens": 420,
        "cached_tokens_details": {"audio_tokens": 20, "text_tokens": 400}});
    assert_eq!(done(told), Usage { audio_in: 80, text_in: 100, cached: 420, audio_out: 90, text_out: 30 });
    let untold = json!({"audio_tokens": 100, "text_tokens": 500, "cached_tokens": 520});
    assert_eq!(done(untold), Usage { audio_in: 80, text_in: 0, cached: 520, audio_out: 90, text_out: 30 });
}

#[test]
fn how_long_somebody_spoke_is_told_where_both_ends_were() {
    let mut reader = Reader::default();
    let mut codes = Vec::new();
    let started = json!({"type": "input_audio_buffer.speech_started", "audio_start_ms": 900, "item_id": "i"});
    let stopped = json!({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 2_300, "item_id": "i"});
    reader.read(&started.to_string(), &mut codes).unwrap();
    let event = reader.read(&stopped.to_string(), &mut codes).unwrap();
    assert_eq!(event, ServerEvent::SpeechStopped { item_id: "i".into(), speech_ms: Some(1_400) });
}

#[test]
fn only_errors_about_the_account_or_the_server_end_a_session() {
    let error = |kind: &str, code: Option<&str>| {
        read(
            &json!({"type": "error", "error": {"type": kind, "code": code, "message": "you said: my name", "param": null}}),
        )
    };
    let complaint = |code: &str| ServerEvent::Complaint { code: code.into() };
    assert_eq!(error("invalid_request_error", Some("invalid_value")), complaint("invalid_value"));
    assert_eq!(error("invalid_request_error", None), complaint("invalid_request_error"));
    assert!(matches!(error("server_error", None), ServerEvent::Failed(ProviderError::Cut { .. })));
    assert!(matches!(
        error("invalid_request_error", Some("session_expired")),
        ServerEvent::Failed(ProviderError::Cut { .. })
    ));
    assert!(matches!(error("x", Some("insufficient_quota")), ServerEvent::Failed(ProviderError::Rejected { .. })));
    assert_eq!(read(&json!({"type": "rate_limits.updated", "rate_limits": []})), ServerEvent::Noted);
    assert_eq!(read(&json!({"type": "response.mood.delta"})), ServerEvent::Unknown);
}
