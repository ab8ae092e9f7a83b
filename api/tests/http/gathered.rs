//! A conversation without a stream: Twilio gathers what is said and speaks what the language model answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use api::llm::Llm;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::harness::TestApi;
use crate::twilio::{dialed, twilio};

/// A language model that gives these answers, one by one, and remembers what it was asked.
#[derive(Clone, Default)]
struct Model {
    answers: Arc<Mutex<VecDeque<Value>>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    fn says(&self, message: Value) {
        self.answers.lock().unwrap().push_back(json!({"choices": [{"message": message}]}));
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

fn calls(name: &str, arguments: &Value) -> Value {
    json!([{"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}])
}

async fn complete(State(model): State<Model>, Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    model.asked.lock().unwrap().push(request);
    match model.answers.lock().unwrap().pop_front() {
        Some(answer) => (StatusCode::OK, Json(answer)),
        None => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({}))),
    }
}

/// A call that is dialed for a voice agent that gathers.
async fn gathering() -> (TestApi, Model, i64) {
    let model = Model::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let router =
        axum::Router::new().route("/v1/chat/completions", axum::routing::post(complete)).with_state(model.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let llm = Llm::new(&base.parse().unwrap(), "key".into(), "gpt-6-luna").unwrap();
    let api = TestApi::start_with(Some(llm)).await;
    let call = dialed(&api).await;
    let settings = r#"update voice_agent_versions set settings = settings || '{"gathered_speech": true, "keyterms": ["Whitefield"]}'"#;
    sqlx::query(settings).execute(&api.db).await.unwrap();
    (api, model, call)
}

async fn asks(api: &TestApi, about: &str, words: Option<&str>) -> String {
    let mut fields = vec![("CallSid", "CA1"), ("CallStatus", "in-progress")];
    fields.extend(words.map(|words| ("SpeechResult", words)));
    let answer = twilio(api, &format!("voice?reference=ref-1{about}"), &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

async fn turns(api: &TestApi) -> Vec<(String, String)> {
    sqlx::query_as("select role, text from turns order by seq").fetch_all(&api.db).await.unwrap()
}

#[tokio::test]
async fn turn_by_turn_the_human_is_heard_and_answered_and_all_of_it_is_kept() {
    let (api, model, call) = gathering().await;
    let greeting = asks(&api, "", None).await;
    assert!(greeting.contains("<Gather input=\"speech\"") && greeting.contains("hints=\"Whitefield\""), "{greeting}");
    assert!(greeting.contains("Hello Priyamvada, this is Asha, an AI assistant of"), "{greeting}");
    assert!(greeting.contains("turn=1"), "{greeting}");

    model.says(json!({"role": "assistant", "content": "A & B are near Whitefield. What is your budget?"}));
    let answer = asks(&api, "&turn=1", Some("A flat, please.")).await;
    assert!(answer.contains("A &amp; B are near Whitefield.") && answer.contains("turn=2"), "{answer}");
    // Twilio repeats a request whose answer was lost: the same is said, and nobody is asked again.
    assert!(asks(&api, "&turn=1", Some("A flat, please.")).await.contains("A &amp; B"));
    assert_eq!(model.asked().len(), 1);
    let asked = &model.asked()[0]["messages"];
    assert!(asked[0]["content"].as_str().unwrap().contains("name: Priyamvada"), "{asked}");
    assert_eq!((&asked[1]["role"], &asked[2]["content"]), (&json!("assistant"), &json!("A flat, please.")));

    // Silence is asked into, twice.
    assert!(asks(&api, "&turn=1&silence=1", None).await.contains("Are you still there?"));
    model.says(
        json!({"role": "assistant", "content": null, "tool_calls": calls("end_call", &json!({"reason": "done"}))}),
    );
    model.says(json!({"role": "assistant", "content": "Thank you, goodbye."}));
    let last = asks(&api, "&turn=2", Some("Eighty lakh. Bye.")).await;
    assert!(last.ends_with("Thank you, goodbye.</Say><Hangup/></Response>"), "{last}");
    let kept = turns(&api).await;
    let roles: Vec<&str> = kept.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["agent", "callee", "agent", "agent", "callee", "agent"], "{kept:?}");
    assert_eq!(kept.last().unwrap().1, "Thank you, goodbye.");
    let cause: Option<String> =
        sqlx::query_scalar("select hangup_cause from calls where id = $1").bind(call).fetch_one(&api.db).await.unwrap();
    assert_eq!(cause.as_deref(), Some("agent_finished"));
    assert!(asks(&api, "&turn=3", Some("Hello?")).await.ends_with("<Response><Hangup/></Response>"), "it is over");
    api.finish().await;
}

#[tokio::test]
async fn whoever_forbids_further_calls_is_on_the_list_at_once() {
    let (api, model, _) = gathering().await;
    asks(&api, "", None).await;
    model.says(json!({"role": "assistant", "content": "I am sorry. Goodbye.", "tool_calls": [
        calls("mark_do_not_call", &json!({"note": "do not call"}))[0], calls("end_call", &json!({"reason": "asked"}))[0],
    ]}));
    assert!(asks(&api, "&turn=1", Some("Do not call me again.")).await.ends_with("<Hangup/></Response>"));
    assert_eq!(api.number("select count(*) from do_not_call where phone = '+919999900101'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn a_model_that_gives_no_answer_is_covered_for_once() {
    let (api, _, _) = gathering().await;
    asks(&api, "", None).await;
    assert!(asks(&api, "&turn=1", Some("A flat.")).await.contains("Could you say it again?"));
    assert!(asks(&api, "&turn=2", Some("A flat!")).await.ends_with("Goodbye.</Say><Hangup/></Response>"));
    api.finish().await;
}

#[tokio::test]
async fn nobody_is_asked_for_ever_whether_they_are_there() {
    let (api, _, _) = gathering().await;
    asks(&api, "", None).await;
    assert!(asks(&api, "&turn=0&silence=2", None).await.contains("silence=3"));
    assert!(asks(&api, "&turn=0&silence=3", None).await.ends_with("<Hangup/></Response>"));
    api.finish().await;
}
