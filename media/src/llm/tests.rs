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
    usage::Meter,
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
        next_token: Duration::from_millis(150),
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
    let mut answer = client(&url, 500).ask(&request(), &Meter::default()).await.map_err(|e| e.to_string()).unwrap();
    let done = LlmPiece::Done { finish: LlmFinish::Stop, usage: None };
    assert_eq!(all(&mut answer).await.unwrap(), [LlmPiece::Delta("नमस्ते".into()), done]);
    assert_eq!(*script.keys.lock().unwrap(), ["Bearer k"]);
}

#[tokio::test]
async fn a_server_error_before_the_first_token_is_tried_once_more() {
    let (url, script) = server(vec![status(503, &[], "{}"), sse(HELLO, false)]).await;
    assert!(client(&url, 500).ask(&request(), &Meter::default()).await.is_ok());
    assert_eq!(script.asked.load(Ordering::SeqCst), 2);

    let (url, script) = server(vec![status(500, &[], "{}")]).await;
    let error = client(&url, 500).ask(&request(), &Meter::default()).await.err().unwrap();
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
        let error = client(&url, 500).ask(&request(), &Meter::default()).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{code}");
        assert_eq!(script.asked.load(Ordering::SeqCst), 1, "{code}");
    }
}

#[tokio::test]
async fn a_late_first_token_is_a_failure_and_not_tried_again() {
    let (url, script) = server(vec![sse(": nothing yet\n\n", true)]).await;
    let error = client(&url, 60).ask(&request(), &Meter::default()).await.err().unwrap();
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
        let mut answer = client(&url, 500).ask(&request(), &Meter::default()).await.map_err(|e| e.to_string()).unwrap();
        assert_eq!(answer.next().await.unwrap(), Some(LlmPiece::Delta("Hel".into())));
        assert_eq!(answer.next().await.unwrap_err().kind(), kind);
        assert_eq!(answer.next().await.unwrap(), None, "an error ends it");
        assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    }
}

/// Chunks, and a silence of the connection behind each where `gap_ms` is given.
fn chunks(chunks: Vec<String>, gap_ms: u64) -> Box<dyn Fn() -> Response + Send + Sync> {
    Box::new(move || {
        let pieces = stream::iter(chunks.clone());
        let paced = futures::StreamExt::then(pieces, move |chunk| async move {
            tokio::time::sleep(Duration::from_millis(gap_ms)).await;
            Ok::<_, std::io::Error>(chunk)
        });
        ([("content-type", "text/event-stream")], Body::from_stream(paced)).into_response()
    })
}

fn content(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

fn call_fragment(arguments: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{arguments}\"}}}}]}}}}]}}\n\n"
    )
}

const CALL: &str = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"end_call\",\"arguments\":\"\"}}]}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

#[tokio::test]
async fn silence_behind_the_first_token_is_noticed_long_before_the_total() {
    let patient = |url: &Url| client(url, 500).with_budget(Budget { total: Duration::from_secs(20), ..budget(500) });
    // Comments keep the connection open and say nothing.
    let stalled = [vec![content("Hel")], vec![": ping\n\n".to_owned(); 40]].concat();
    let (url, _) = server(vec![chunks(stalled, 20)]).await;
    let mut answer = patient(&url).ask(&request(), &Meter::default()).await.map_err(|e| e.to_string()).unwrap();
    assert_eq!(answer.next().await.unwrap(), Some(LlmPiece::Delta("Hel".into())));
    let error = answer.next().await.unwrap_err();
    assert!(matches!(error, ProviderError::TimedOut { stage: "next_token", .. }), "{error}");
    assert_eq!(answer.next().await.unwrap(), None, "an error ends it");
}

#[tokio::test]
async fn an_answer_that_said_why_it_stopped_is_whole_although_its_connection_stays_open() {
    let (url, _) = server(vec![sse(HELLO.split("data: [DONE]").next().unwrap(), true)]).await;
    let mut answer = client(&url, 500).ask(&request(), &Meter::default()).await.map_err(|e| e.to_string()).unwrap();
    let done = LlmPiece::Done { finish: LlmFinish::Stop, usage: None };
    assert_eq!(all(&mut answer).await.unwrap(), [LlmPiece::Delta("नमस्ते".into()), done]);
}

#[tokio::test]
async fn a_fragment_of_a_call_is_the_first_token_and_every_next_one() {
    // 12 fragments, 40 ms each: longer than the first token may take, and than a silence may last.
    let mut slow = vec![CALL.to_owned()];
    slow.extend((0..12).map(|_| call_fragment(" ")));
    slow.push(STOP.to_owned());
    let (url, script) = server(vec![chunks(slow, 40)]).await;
    let mut answer = client(&url, 200)
        .with_budget(Budget { total: Duration::from_secs(20), ..budget(200) })
        .ask(&request(), &Meter::default())
        .await
        .map_err(|e| e.to_string())
        .unwrap();
    let pieces = all(&mut answer).await.unwrap();
    assert!(
        matches!(&pieces[..], [LlmPiece::Writing(_), .., LlmPiece::ToolCall(call), LlmPiece::Done { .. }] if call.name == "end_call")
    );
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
}

fn used(meter: &Meter) -> Vec<(&'static str, i64)> {
    meter.used().into_iter().map(|used| (used.unit.as_str(), used.quantity)).collect()
}

#[tokio::test]
async fn every_try_that_was_worked_on_is_charged_and_one_that_was_refused_is_not() {
    // "hi" is one token; so are "Hel", and half of what follows.
    for (answers, first_token_ms, charged) in [
        (vec![status(503, &[], "{}"), sse(HELLO, false)], 500, vec![("llm_input_token", 1), ("llm_output_token", 4)]),
        (vec![status(401, &[], "{}")], 500, vec![]),
        (vec![sse(": nothing yet\n\n", true)], 60, vec![("llm_input_token", 1)]),
        // Broken off before its first word, and tried again: both were read.
        (
            vec![sse(": nothing\n\n", false), sse(HELLO, false)],
            500,
            vec![("llm_input_token", 2), ("llm_output_token", 4)],
        ),
    ] {
        let (url, _) = server(answers).await;
        let meter = Meter::default();
        if let Ok(mut answer) = client(&url, first_token_ms).ask(&request(), &meter).await {
            all(&mut answer).await.unwrap();
        }
        assert_eq!(used(&meter), charged);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_any_more_is_charged() {
    let (url, _) = server(vec![sse("data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n", true)]).await;
    let meter = Meter::default();
    let answer = client(&url, 500).ask(&request(), &meter).await.map_err(|e| e.to_string()).unwrap();
    assert_eq!(used(&meter), []);
    drop(answer);
    assert_eq!(used(&meter), [("llm_input_token", 1), ("llm_output_token", 1)], "the word that was not fetched, too");

    // Dropped while the first token is waited for: a draft that the human talked over.
    let (url, script) = server(vec![sse(": nothing yet\n\n", true)]).await;
    let meter = Meter::default();
    let (llm, asked) = (client(&url, 5_000), request());
    {
        let mut asking = std::pin::pin!(llm.ask(&asked, &meter));
        while script.asked.load(Ordering::SeqCst) == 0 {
            assert!(futures::poll!(&mut asking).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(used(&meter), [("llm_input_token", 1)]);
}

#[tokio::test]
async fn a_refusal_of_any_size_is_read_only_so_far() {
    let endless = || -> Box<dyn Fn() -> Response + Send + Sync> {
        Box::new(|| {
            let body = Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 16 * 1024])));
            (StatusCode::BAD_REQUEST, body).into_response()
        })
    };
    let (url, _) = server(vec![endless()]).await;
    let patient = client(&url, 5_000).with_budget(Budget { total: Duration::from_secs(20), ..budget(10_000) });
    let error = patient.ask(&request(), &Meter::default()).await.err().unwrap();
    assert!(matches!(&error, ProviderError::Rejected { code } if code == "http_400"), "{error}");
}

#[tokio::test]
async fn a_short_wait_that_the_provider_asks_for_is_kept_and_then_it_is_asked_again() {
    let limited = status(429, &[("retry-after-ms", "120")], r#"{"error":{"code":"rate_limit_exceeded"}}"#);
    let (url, script) = server(vec![limited, sse(HELLO, false)]).await;
    let began = tokio::time::Instant::now();
    assert!(client(&url, 500).ask(&request(), &Meter::default()).await.is_ok());
    assert!(began.elapsed() >= Duration::from_millis(120), "not after its own backoff of 10 ms");
    assert_eq!(script.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_that_ran_out_of_tokens_says_so_in_both_wires() {
    let cut = [content("Half a"), STOP.replace("stop", "length")].concat();
    let (url, _) = server(vec![chunks(vec![cut], 0)]).await;
    let mut answer = client(&url, 500).ask(&request(), &Meter::default()).await.map_err(|e| e.to_string()).unwrap();
    assert_eq!(all(&mut answer).await.unwrap().pop(), Some(LlmPiece::Done { finish: LlmFinish::Length, usage: None }));
    let (url, _) = server(vec![chunks(vec![ANTHROPIC_HELLO.replace("end_turn", "max_tokens")], 0)]).await;
    let mut answer = anthropic(&url).ask(&request(), &Meter::default()).await.map_err(|e| e.to_string()).unwrap();
    let last = all(&mut answer).await.unwrap().pop();
    assert!(matches!(last, Some(LlmPiece::Done { finish: LlmFinish::Length, .. })), "{last:?}");
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = client(&url, 500).ask(&request(), &Meter::default()).await.err().unwrap();
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
    let mut answer = anthropic(&url).ask(&request(), &Meter::default()).await.map_err(|e| e.to_string()).unwrap();
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
        let error = anthropic(&url).ask(&request(), &Meter::default()).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{code}");
        assert_eq!(script.asked.load(Ordering::SeqCst), tries, "{code}");
    }
}
