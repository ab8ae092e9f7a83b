//! The client against small HTTP servers, in OpenAI's and in Anthropic's words.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::stream;
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::{
    dialogue::{LlmFinish, Message},
    provider::Provider,
};

/// Answers the n-th request with the n-th script, the last one again and again.
struct Script {
    answers: Vec<Box<dyn Fn() -> Response + Send + Sync>>,
    asked: AtomicUsize,
    keys: Mutex<Vec<String>>,
}

async fn server(answers: Vec<Box<dyn Fn() -> Response + Send + Sync>>) -> (Url, Arc<Script>) {
    let script = Arc::new(Script { answers, asked: AtomicUsize::new(0), keys: Mutex::default() });
    let answer = async |State(script): State<Arc<Script>>, headers: HeaderMap| {
        let n = script.asked.fetch_add(1, Ordering::SeqCst);
        script.keys.lock().unwrap().push(headers["authorization"].to_str().unwrap().to_owned());
        script.answers[n.min(script.answers.len() - 1)]()
    };
    let router = Router::new()
        .route("/v1/chat/completions", post(answer))
        .route("/anthropic/v1/messages", post(answer))
        .with_state(Arc::clone(&script));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, script)
}

fn budget(first_token_ms: u64) -> Budget {
    Budget {
        first_token: Duration::from_millis(first_token_ms),
        total: Duration::from_millis(600),
        tries: 2,
        backoff: Duration::from_millis(10),
    }
}

fn client(url: &Url, first_token_ms: u64) -> Llm {
    let http = http_client().unwrap();
    Llm::chat(http, Provider::OpenAi, url, &"k".into(), "m").unwrap().with_budget(budget(first_token_ms))
}

fn anthropic(url: &Url) -> Llm {
    let base = url.join("/anthropic").unwrap();
    let http = http_client().unwrap();
    Llm::messages(http, Provider::Bedrock, &base, &"k".into(), "anthropic.m").unwrap().with_budget(budget(500))
}

fn request() -> LlmRequest {
    LlmRequest { messages: vec![Message::User { text: "hi".into() }], tools: [].into(), cache_key: "c".into() }
}

/// An event stream in pieces of one byte, which cuts every character and line end that can be cut; `stall` never ends.
fn sse(text: &'static str, stall: bool) -> Box<dyn Fn() -> Response + Send + Sync> {
    Box::new(move || {
        let bytes = text.bytes().map(|byte| Ok::<_, std::io::Error>(vec![byte]));
        let rest = async move {
            if stall {
                std::future::pending::<()>().await;
            }
            Ok(Vec::new())
        };
        let body = Body::from_stream(futures::StreamExt::chain(stream::iter(bytes), stream::once(rest)));
        ([("content-type", "text/event-stream")], body).into_response()
    })
}

fn status(
    code: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Box<dyn Fn() -> Response + Send + Sync> {
    Box::new(move || {
        let mut response = (StatusCode::from_u16(code).unwrap(), body).into_response();
        for (name, value) in headers {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        response
    })
}

const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n: ping\r\n\r\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"नमस्ते\"}}]}\r\n\r\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\ndata: [DONE]\r\n\r\n";

async fn all(answer: &mut Answer) -> Result<Vec<LlmPiece>, ProviderError> {
    let mut pieces = Vec::new();
    while let Some(piece) = answer.next().await? {
        pieces.push(piece);
    }
    Ok(pieces)
}

#[tokio::test]
async fn words_arrive_whole_however_the_network_cuts_them() {
    let (url, script) = server(vec![sse(HELLO, false)]).await;
    let mut answer = client(&url, 500).ask(&request()).await.map_err(|e| e.to_string()).unwrap();
    let done = LlmPiece::Done { finish: LlmFinish::Stop, usage: None };
    assert_eq!(all(&mut answer).await.unwrap(), [LlmPiece::Delta("नमस्ते".into()), done]);
    assert_eq!(*script.keys.lock().unwrap(), ["Bearer k"]);
}

#[tokio::test]
async fn a_server_error_before_the_first_token_is_tried_once_more() {
    let (url, script) = server(vec![status(503, &[], "{}"), sse(HELLO, false)]).await;
    assert!(client(&url, 500).ask(&request()).await.is_ok());
    assert_eq!(script.asked.load(Ordering::SeqCst), 2);

    let (url, script) = server(vec![status(500, &[], "{}")]).await;
    let error = client(&url, 500).ask(&request()).await.err().unwrap();
    assert_eq!(error.kind(), "unavailable");
    assert_eq!(script.asked.load(Ordering::SeqCst), 2, "two tries, no more");
}

#[tokio::test]
async fn what_cannot_work_is_not_tried_again() {
    for (code, headers, body, kind) in [
        (401, &[][..], r#"{"error":{"code":"invalid_api_key"}}"#, "rejected"),
        (429, &[][..], r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#, "rejected"),
        (404, &[][..], r#"{"error":{"code":"model_not_found"}}"#, "rejected"),
        (500, &[("x-should-retry", "false")][..], "{}", "unavailable"),
        // It asks for more time than the first token has.
        (429, &[("retry-after", "20")][..], r#"{"error":{"code":"rate_limit_exceeded"}}"#, "rate_limited"),
    ] {
        let (url, script) = server(vec![status(code, headers, body)]).await;
        let error = client(&url, 500).ask(&request()).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{code}");
        assert_eq!(script.asked.load(Ordering::SeqCst), 1, "{code}");
    }
}

#[tokio::test]
async fn a_late_first_token_is_a_failure_and_not_tried_again() {
    let (url, script) = server(vec![sse(": nothing yet\n\n", true)]).await;
    let error = client(&url, 60).ask(&request()).await.err().unwrap();
    assert!(matches!(error, ProviderError::TimedOut { stage: "first_token", .. }), "{error}");
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn after_the_first_token_nothing_is_tried_again() {
    let cut = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
    let error_object =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"error\":{\"type\":\"server_error\"}}\n\n";
    for (text, stall, kind) in [(cut, false, "cut"), (error_object, false, "cut"), (cut, true, "timed_out")] {
        let (url, script) = server(vec![sse(text, stall)]).await;
        let mut answer = client(&url, 500).ask(&request()).await.map_err(|e| e.to_string()).unwrap();
        assert_eq!(answer.next().await.unwrap(), Some(LlmPiece::Delta("Hel".into())));
        assert_eq!(answer.next().await.unwrap_err().kind(), kind);
        assert_eq!(answer.next().await.unwrap(), None, "an error ends it");
        assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = client(&url, 500).ask(&request()).await.err().unwrap();
    assert!(matches!(error, ProviderError::Unavailable { cause } if cause == "connect"));
}

const ANTHROPIC_HELLO: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
    event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
    event: ping\ndata: {\"type\":\"ping\"}\n\n\
    event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"नमस्ते\"}}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[tokio::test]
async fn anthropic_words_arrive_whole_too_and_its_errors_say_what_may_be_done_next() {
    let (url, script) = server(vec![sse(ANTHROPIC_HELLO, false)]).await;
    let mut answer = anthropic(&url).ask(&request()).await.map_err(|e| e.to_string()).unwrap();
    let usage = Some(Usage { prompt_tokens: 3, cached_tokens: 0, completion_tokens: 4 });
    let done = LlmPiece::Done { finish: LlmFinish::Stop, usage };
    assert_eq!(all(&mut answer).await.unwrap(), [LlmPiece::Delta("नमस्ते".into()), done]);
    assert_eq!(*script.keys.lock().unwrap(), ["Bearer k"]);

    for (code, body, kind, tries) in [
        (
            401,
            r#"{"type":"error","error":{"type":"authentication_error","message":"m"},"request_id":"r"}"#,
            "rejected",
            1,
        ),
        (402, r#"{"type":"error","error":{"type":"billing_error","message":"m"}}"#, "rejected", 1),
        (429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#, "rate_limited", 2),
        (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, "unavailable", 2),
    ] {
        let (url, script) = server(vec![status(code, &[], body)]).await;
        let error = anthropic(&url).ask(&request()).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{code}");
        assert_eq!(script.asked.load(Ordering::SeqCst), tries, "{code}");
    }
}
