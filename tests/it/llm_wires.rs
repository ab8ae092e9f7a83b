//! The product's own client of language models against the simulated providers: what each of them can do wrong, and what the client
//! makes of it.

use std::{sync::Arc, time::Duration};

use media::{
    dialogue::{LlmFinish, Message, ToolCall, ToolSpec},
    llm::{Budget, Llm, LlmPiece, LlmRequest, http_client},
    provider::{Provider, ProviderError},
    usage::Meter,
};
use sandbox::{faults::Fault, settings::Settings, world::World};
use serde_json::{Value, json};
use tokio::net::TcpListener;

struct Providers {
    world: Arc<World>,
    base: String,
}

impl Providers {
    async fn start() -> Self {
        let world = World::new(Settings { tones: true, ..Settings::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = sandbox::app(Arc::clone(&world));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { world, base }
    }

    fn arm(&self, name: &str, value: Value) {
        self.world.faults.arm(Fault { name: name.into(), count: 1, matching: None, value });
    }

    fn client(&self, provider: Provider) -> Llm {
        let (http, key) = (http_client().unwrap(), "sandbox-key".into());
        let base = |path: &str| format!("{}{path}", self.base).parse().unwrap();
        let client = match provider {
            Provider::Gemini => Llm::chat(http, provider, &base("/v1beta/openai"), &key, "gemini-3.8-flash"),
            Provider::Sarvam => Llm::chat(http, provider, &base("/v1"), &key, "sarvam-105b"),
            Provider::Anthropic => Llm::messages(http, provider, &base(""), &key, "claude-haiku-5-5"),
            _ => Llm::chat(http, provider, &base("/v1"), &key, "gpt-6-luna"),
        };
        client.unwrap().with_budget(Budget { next_token: Duration::from_millis(400), ..Budget::default() })
    }
}

/// The callee wants no further call, which the model notes.
fn asks_to_be_left_alone() -> LlmRequest {
    let parameters = json!({"type": "object", "properties": {"note": {"type": ["string", "null"]}}, "required": ["note"],
        "additionalProperties": false});
    let tool = ToolSpec { name: "mark_do_not_call".into(), description: "No further calls.".into(), parameters };
    LlmRequest {
        messages: vec![
            Message::System { text: "You are Meera, an AI assistant of Lake View Homes.".into() },
            Message::User { text: "Do not call me again.".into() },
        ],
        tools: [tool].into(),
        cache_key: "story".into(),
    }
}

fn asks_who_it_is() -> LlmRequest {
    let mut request = asks_to_be_left_alone();
    request.messages[1] = Message::User { text: "Who is this?".into() };
    request.tools = [].into();
    request
}

#[derive(Debug, Default)]
struct Whole {
    text: String,
    calls: Vec<ToolCall>,
    finish: Option<LlmFinish>,
}

async fn answer(client: &Llm, request: &LlmRequest) -> Result<Whole, ProviderError> {
    let mut whole = Whole::default();
    let mut answer = client.ask(request, &Meter::default()).await?;
    while let Some(piece) = answer.next().await? {
        match piece {
            LlmPiece::Delta(text) => whole.text.push_str(&text),
            LlmPiece::Writing(_) => {}
            LlmPiece::ToolCall(call) => whole.calls.push(call),
            LlmPiece::Done { finish, usage } => {
                assert!(usage.is_some_and(|usage| usage.prompt_tokens > 0), "what it cost is said");
                whole.finish = Some(finish);
            }
        }
    }
    Ok(whole)
}

/// The next request of a reply that called: the call, and its answer.
fn answered(request: &LlmRequest, calls: Vec<ToolCall>) -> LlmRequest {
    let mut next = request.clone();
    let results = calls.iter().map(|call| Message::Tool { call_id: call.id.clone(), content: "ok".into() });
    let results: Vec<Message> = results.collect();
    next.messages.push(Message::Assistant { text: String::new(), tool_calls: calls });
    next.messages.extend(results);
    next
}

#[tokio::test]
async fn every_provider_calls_a_function_and_goes_on_with_its_answer() {
    let providers = Providers::start().await;
    for provider in [Provider::OpenAi, Provider::Gemini, Provider::Sarvam, Provider::Anthropic] {
        let (client, request) = (providers.client(provider), asks_to_be_left_alone());
        let whole = answer(&client, &request).await.unwrap();
        assert_eq!((whole.calls.len(), whole.finish), (1, Some(LlmFinish::ToolCalls)), "{provider:?}: {whole:?}");
        assert_eq!(whole.calls[0].extra.is_some(), provider == Provider::Gemini, "{provider:?}");
        let next = answer(&client, &answered(&request, whole.calls)).await.unwrap();
        assert!(!next.text.is_empty() || !next.calls.is_empty(), "{provider:?}: {next:?}");
    }
}

#[tokio::test]
async fn gemini_gets_its_signature_back_as_it_was_and_takes_over_calls_that_others_made() {
    let providers = Providers::start().await;
    let (client, request) = (providers.client(Provider::Gemini), asks_to_be_left_alone());
    let signed = answer(&client, &request).await.unwrap().calls.remove(0);
    let with = |extra: Option<Value>| answered(&request, vec![ToolCall { extra, ..signed.clone() }]);
    assert!(answer(&client, &with(signed.extra.clone())).await.is_ok());
    assert!(answer(&client, &with(None)).await.is_ok(), "made by another model");
    let changed = answer(&client, &with(Some(json!({"google": {"thought_signature": "c2ln"}})))).await.unwrap_err();
    assert!(matches!(&changed, ProviderError::Rejected { code } if code == "INVALID_ARGUMENT"), "{changed}");
    // And the other way round: whoever takes over from Gemini is not shown what they would refuse.
    for provider in [Provider::OpenAi, Provider::Sarvam, Provider::Anthropic] {
        assert!(answer(&providers.client(provider), &with(signed.extra.clone())).await.is_ok(), "{provider:?}");
    }
}

#[tokio::test]
async fn characters_and_arguments_arrive_whole_however_they_are_cut() {
    let providers = Providers::start().await;
    for (provider, name) in [(Provider::OpenAi, "openai"), (Provider::Anthropic, "anthropic")] {
        let client = providers.client(provider);
        providers.arm(&format!("{name}.utf8_split"), json!(null));
        let text = answer(&client, &asks_who_it_is()).await.unwrap().text;
        assert!(text.starts_with('“') && text.ends_with('…') && !text.contains('\u{fffd}'), "{name}: {text}");
        providers.arm(&format!("{name}.args_by_letter"), json!(null));
        let call = answer(&client, &asks_to_be_left_alone()).await.unwrap().calls.remove(0);
        assert!(serde_json::from_str::<Value>(&call.arguments).unwrap().is_object(), "{name}: {call:?}");
    }
}

#[tokio::test]
async fn an_answer_ends_for_the_reason_that_the_provider_gave() {
    let providers = Providers::start().await;
    for (provider, fault, value, finish) in [
        (Provider::OpenAi, "openai.length", json!(4), LlmFinish::Length),
        (Provider::OpenAi, "openai.refusal", json!(null), LlmFinish::Refused),
        (Provider::Anthropic, "anthropic.length", json!(4), LlmFinish::Length),
        (Provider::Anthropic, "anthropic.refusal", json!(null), LlmFinish::Refused),
        (Provider::Anthropic, "anthropic.finish", json!("model_context_window_exceeded"), LlmFinish::Length),
        (Provider::Anthropic, "anthropic.finish", json!("stop_sequence"), LlmFinish::Stop),
        (Provider::Anthropic, "anthropic.finish", json!("pause_turn"), LlmFinish::Stop),
    ] {
        providers.arm(fault, value.clone());
        let whole = answer(&providers.client(provider), &asks_who_it_is()).await.unwrap();
        assert_eq!(whole.finish, Some(finish), "{fault} {value}");
    }
}

#[tokio::test]
async fn what_goes_wrong_says_what_may_be_done_next() {
    let providers = Providers::start().await;
    for (provider, fault, value, kind) in [
        (Provider::OpenAi, "openai.shut_down", json!(null), "rejected"),
        (Provider::OpenAi, "openai.truncated", json!(2), "cut"),
        (Provider::OpenAi, "openai.error_midstream", json!(2), "cut"),
        (Provider::OpenAi, "openai.cut", json!(2), "cut"),
        (Provider::OpenAi, "openai.stall", json!(2), "timed_out"),
        (Provider::Anthropic, "anthropic.truncated", json!(2), "cut"),
        (Provider::Anthropic, "anthropic.error_midstream", json!(2), "cut"),
        (Provider::Anthropic, "anthropic.cut", json!(2), "cut"),
        (Provider::Anthropic, "anthropic.stall", json!(2), "timed_out"),
    ] {
        providers.arm(fault, value);
        let error = answer(&providers.client(provider), &asks_who_it_is()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault}: {error}");
    }
    providers.arm("openai.shut_down", json!(null));
    let gone = answer(&providers.client(Provider::OpenAi), &asks_who_it_is()).await.unwrap_err();
    assert!(matches!(&gone, ProviderError::Rejected { code } if code == "model_not_found"), "{gone}");
}

#[tokio::test]
async fn a_short_wait_that_is_asked_for_is_kept_and_a_long_one_is_not_waited_for() {
    let providers = Providers::start().await;
    for (provider, fault, short, long) in [
        (
            Provider::OpenAi,
            "openai.refuse",
            json!({"status": 429, "retry_after_ms": 300}),
            json!({"status": 429, "retry_after": 20}),
        ),
        (
            Provider::Anthropic,
            "anthropic.refuse",
            json!({"status": 429, "retry_after": 1}),
            json!({"status": 429, "retry_after": 20}),
        ),
    ] {
        let client = providers.client(provider);
        let least = Duration::from_millis(if provider == Provider::OpenAi { 300 } else { 1_000 });
        providers.arm(fault, short);
        let began = tokio::time::Instant::now();
        assert!(answer(&client, &asks_who_it_is()).await.is_ok(), "{fault}");
        assert!(began.elapsed() >= least, "{fault}: asked again too early");
        providers.arm(fault, long);
        let error = answer(&client, &asks_who_it_is()).await.unwrap_err();
        assert_eq!(error.kind(), "rate_limited", "{fault}");
    }
}
