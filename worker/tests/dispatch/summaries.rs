//! From a conversation to its summary, and the lead's way on.

use std::time::Duration;

use serde_json::{Value, json};
use shared::call::CallStatus;
use shared::dispatch::Dispatched;
use shared::id::CallId;
use shared::jobs::summarize_call::SummarizeCall;
use worker::jobs::summarize_call;
use worker::queue::JobError;

use crate::outside::Reply;
use crate::world::{World, at, attempt_of, snoozed};

async fn summarize(world: &World, id: CallId, attempt: i32) -> Result<(), JobError> {
    let job_context = attempt_of(attempt, 6);
    summarize_call::run(SummarizeCall { call_id: id }, job_context, world.ctx.clone()).await
}

async fn conversation(world: &World) -> CallId {
    let campaign = world.campaign(1).await;
    let id = world.placed(campaign).await;
    world.speaks(id, "I am looking for a flat in Whitefield").await;
    world.ends(id, CallStatus::Completed).await;
    id
}

fn completion(disposition: &str, callback_at: Value) -> Reply {
    let filled = json!({
        "summary": "They want a flat.", "disposition": disposition, "intent": "buy",
        "extracted": { "purpose": null, "budget": "80 lakh", "timeline": null, "location": "Whitefield",
            "property_type": null, "site_visit": null },
        "score": 72, "score_reasons": ["knows what they want"], "callback_at_text": "tomorrow at five", "callback_at": callback_at,
    });
    Reply::Json(
        200,
        json!({"choices": [{"message": {"content": filled.to_string(), "refusal": null}, "finish_reason": "stop"}]}),
    )
}

#[tokio::test]
async fn a_summary_finishes_its_lead_with_disposition_and_score() {
    let world = World::new().await;
    let id = conversation(&world).await;
    world.outside.on_completion([completion("qualified", Value::Null)]);
    summarize(&world, id, 1).await.unwrap();
    let notes = world.notes(id).await;
    assert_eq!((&notes["summary_status"], &notes["lead_qualified"]), (&json!("completed"), &json!(true)));
    assert_eq!((&notes["extracted"]["location"], &notes["model"]), (&json!("Whitefield"), &json!("gpt-6-luna")));
    assert_eq!(
        world.text("select status || ' ' || disposition || ' ' || score from leads").await.unwrap(),
        "done qualified 72"
    );

    let asked = world.outside.asked().pop().unwrap();
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    assert_eq!(body["messages"][1]["content"], "Agent: Hello\nCallee: I am looking for a flat in Whitefield");
    assert!(!body.to_string().contains("+91"), "the model needs no number");

    summarize(&world, id, 1).await.unwrap();
    assert_eq!(world.number("select count(*) from call_events where kind = 'settled'").await, 1);
}

#[tokio::test]
async fn a_callback_is_scheduled_when_it_was_asked_for_and_inside_a_window() {
    for (asked, scheduled) in
        [("2026-11-24T17:00:00+05:30", "2026-11-24T11:30:00Z"), ("2026-11-24T22:00:00+05:30", "2026-11-25T04:30:00Z")]
    {
        let world = World::new().await;
        let id = conversation(&world).await;
        world.outside.on_completion([completion("callback_requested", json!(asked))]);
        summarize(&world, id, 1).await.unwrap();
        let (status, _, next_at) = world.lead_of(id).await;
        assert_eq!((status.as_str(), next_at), ("callback_scheduled", at(scheduled)));
    }
}

/// What the agent noted when the human asked to be called back, in its own words of a moment or in theirs.
async fn asks(world: &World, id: CallId, when: &str) {
    let mut tx = world.db.begin().await.unwrap();
    shared::conversation::request_callback(&mut tx, world.account, id, when, world.now()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_callback_that_was_agreed_in_the_call_comes_at_that_moment_whatever_the_summary_calls_it() {
    for (judged, disposition) in [
        ("qualified", "qualified"),
        ("interested", "callback_requested"),
        ("not_interested", "callback_requested"),
        ("voicemail", "callback_requested"),
    ] {
        let world = World::new().await;
        let id = conversation(&world).await;
        // The lead's own wall clock, as the tool is told to write it.
        asks(&world, id, "2026-11-24T17:00").await;
        world.outside.on_completion([completion(judged, Value::Null)]);
        summarize(&world, id, 1).await.unwrap();
        let (status, _, next_at) = world.lead_of(id).await;
        assert_eq!((status.as_str(), next_at), ("callback_scheduled", at("2026-11-24T11:30:00Z")), "{judged}");
        assert_eq!(world.text("select disposition from leads").await.as_deref(), Some(disposition), "{judged}");
        assert_eq!(world.notes(id).await["callback_at"], "2026-11-24T11:30:00+00:00", "{judged}");
    }
}

#[tokio::test]
async fn a_wish_that_names_no_moment_or_was_taken_back_is_weighed_too() {
    let world = World::new().await;
    let id = conversation(&world).await;
    asks(&world, id, "some other time").await;
    world.outside.on_completion([completion("interested", Value::Null)]);
    summarize(&world, id, 1).await.unwrap();
    assert_eq!(world.lead_of(id).await.0, "callback_scheduled");

    let world = World::new().await;
    let id = conversation(&world).await;
    asks(&world, id, "2026-11-24T17:00").await;
    world.sql("update conversations set live_disposition = 'not_interested'").await;
    world.outside.on_completion([completion("not_interested", Value::Null)]);
    summarize(&world, id, 1).await.unwrap();
    assert_eq!(world.lead_of(id).await.0, "done");
}

#[tokio::test]
async fn who_forbids_calls_and_asks_for_one_is_not_called() {
    let world = World::new().await;
    let id = conversation(&world).await;
    world.sql("update conversations set live_disposition = 'do_not_call'").await;
    asks(&world, id, "2026-11-24T17:00").await;
    world.outside.on_completion([completion("qualified", Value::Null)]);
    summarize(&world, id, 1).await.unwrap();
    assert_eq!(world.lead_of(id).await.0, "suppressed");
}

#[tokio::test]
async fn somebody_whom_the_carrier_took_for_a_machine_is_a_human_once_they_are_summarised() {
    for (judged, answered_by) in [("qualified", "human"), ("voicemail", "machine")] {
        let world = World::new().await;
        let campaign = world.campaign(1).await;
        let id = world.placed(campaign).await;
        world.speaks(id, "I am looking for a flat").await;
        world.sql("update calls set answered_by = 'machine'").await;
        world.ends(id, CallStatus::Completed).await;
        world.outside.on_completion([completion(judged, Value::Null)]);
        summarize(&world, id, 1).await.unwrap();
        assert_eq!(world.call(id).await.answered_by.as_deref(), Some(answered_by), "{judged}");
        assert_eq!(world.text("select disposition from leads").await.as_deref(), Some(judged));
    }
}

#[tokio::test]
async fn a_callback_that_no_attempt_is_left_for_is_left_to_people_and_said_so() {
    let world = World::new().await;
    let id = conversation(&world).await;
    asks(&world, id, "2026-11-24T17:00").await;
    world.sql("update campaigns set max_attempts_per_lead = 1").await;
    world.sql("update leads set callbacks_granted = 1").await;
    world.outside.on_completion([completion("interested", Value::Null)]);
    summarize(&world, id, 1).await.unwrap();
    assert_eq!(world.lead_of(id).await.0, "done");
    assert_eq!(world.number("select count(*) from call_events where kind = 'callback_left_to_people'").await, 1);
}

#[tokio::test]
async fn a_callback_may_go_one_attempt_beyond_the_maximum_once() {
    let world = World::new().await;
    world.outside.on_completion([completion("callback_requested", Value::Null)]);
    let campaign = world.campaign(1).await;
    world.sql("update campaigns set max_attempts_per_lead = 1").await;
    for expected in ["callback_scheduled", "done"] {
        let id = world.placed(campaign).await;
        world.speaks(id, "call me later").await;
        world.ends(id, CallStatus::Completed).await;
        summarize(&world, id, 1).await.unwrap();
        assert_eq!(world.lead_of(id).await.0, expected);
        world.clock.advance(world.lead_of(id).await.2 - world.now());
    }
}

#[tokio::test]
async fn who_asks_not_to_be_called_again_is_not_in_any_campaign() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let other = world.campaign(0).await;
    world.lead_with(other, &world.call(id).await.phone, "Asia/Kolkata", 0).await;
    world.outside.on_completion([completion("do_not_call", Value::Null)]);
    summarize(&world, id, 1).await.unwrap();
    assert_eq!(world.number("select count(*) from leads where status = 'suppressed'").await, 2);
    assert_eq!(world.dispatch(other).await, Dispatched::Completed);
}

#[tokio::test]
async fn a_model_that_asks_for_patience_gets_it() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let body = json!({"error": {"code": "rate_limit_exceeded"}}).to_string().into_bytes();
    world.outside.on_completion([Reply::Bytes(429, vec![("retry-after", "9".into())], body)]);
    let wait = snoozed(summarize(&world, id, 1).await);
    assert!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&wait), "{wait:?}");
}

#[tokio::test]
async fn garbage_is_asked_for_again_and_then_the_rules_judge() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let garbage = json!({"choices": [{"message": {"content": "Sure! They seem nice."}, "finish_reason": "stop"}]});
    world.outside.on_completion([Reply::Json(200, garbage)]);
    assert!(matches!(summarize(&world, id, 1).await, Err(JobError::Retry(_))));
    assert_eq!(world.lead_of(id).await.0, "in_call");
    summarize(&world, id, 6).await.unwrap();
    let notes = world.notes(id).await;
    assert_eq!((&notes["summary_status"], &notes["disposition"]), (&json!("failed"), &json!("interested")));
    assert!(notes["summary_error"].as_str().unwrap().contains("does not fit the schema"));
    assert_eq!(world.lead_of(id).await.0, "done");
}

async fn used(world: &World) -> Vec<(String, String, i64)> {
    sqlx::query_as("select model, unit, sum(quantity)::bigint from call_usage group by 1, 2 order by 1, 2")
        .fetch_all(&world.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn every_try_is_paid_for_once_whatever_its_answer_is_worth() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let usage = json!({"prompt_tokens": 900, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 400}});
    let garbage = json!({"choices": [{"message": {"content": "Sure!"}, "finish_reason": "stop"}], "usage": usage});
    world.outside.on_completion([Reply::Json(200, garbage)]);
    assert!(matches!(summarize(&world, id, 1).await, Err(JobError::Retry(_))));
    // The same try again, after its worker died.
    assert!(matches!(summarize(&world, id, 1).await, Err(JobError::Retry(_))));
    let model = || "gpt-6-luna".to_owned();
    let once = [
        (model(), "llm_cached_token".to_owned(), 400),
        (model(), "llm_input_token".to_owned(), 500),
        (model(), "llm_output_token".to_owned(), 50),
    ];
    assert_eq!(used(&world).await, once);

    let Reply::Json(_, mut whole) = completion("qualified", Value::Null) else { unreachable!() };
    whole["usage"] = json!({"prompt_tokens": 100, "completion_tokens": 50});
    world.outside.on_completion([Reply::Json(200, whole)]);
    summarize(&world, id, 2).await.unwrap();
    let sums: Vec<i64> = used(&world).await.into_iter().map(|(.., quantity)| quantity).collect();
    assert_eq!(sums, [400, 600, 100]);
}

#[tokio::test]
async fn an_installation_without_openai_has_its_summaries_from_whom_it_has_a_key() {
    let llm = ["--openai-api-key", "", "--summary-model", ""];
    for (settings, path, model) in [
        (["--anthropic-api-key", "a-key", "--anthropic-base-url", "BASE"], "/v1/messages", "claude-haiku-5-5"),
        (
            ["--gemini-api-key", "a-key", "--gemini-base-url", "BASE/openai"],
            "/openai/chat/completions",
            "gemini-3.8-flash",
        ),
        (["--sarvam-api-key", "a-key", "--sarvam-url", "BASE"], "/v1/chat/completions", "sarvam-105b"),
    ] {
        let mut world = World::new().await;
        let base = world.outside.base.as_str().trim_end_matches('/').to_owned();
        let settings: Vec<String> = settings.iter().map(|setting| setting.replace("BASE", &base)).collect();
        world.configure(&[&llm[..], &settings.iter().map(String::as_str).collect::<Vec<_>>()].concat());
        let id = conversation(&world).await;
        let Reply::Json(_, completion) = completion("qualified", Value::Null) else { unreachable!() };
        let reply = if path == "/v1/messages" {
            let text = &completion["choices"][0]["message"]["content"];
            json!({"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": {"input_tokens": 90, "output_tokens": 9}})
        } else {
            completion
        };
        world.outside.on_completion([Reply::Json(200, reply)]);
        summarize(&world, id, 1).await.unwrap();
        let notes = world.notes(id).await;
        assert_eq!((&notes["summary_status"], &notes["model"]), (&json!("completed"), &json!(model)));
        let asked = world.outside.asked().pop().unwrap();
        assert_eq!((asked.path.as_str(), asked.authorization.as_deref()), (path, Some("Bearer a-key")));
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(body["model"], model);
        if path == "/v1/messages" {
            assert_eq!(asked.headers["anthropic-version"], "2023-06-01");
            assert_eq!(body["output_config"]["format"]["type"], "json_schema");
            assert_eq!(used(&world).await.len(), 2);
        } else {
            assert!(body["max_tokens"].is_u64() && body["max_completion_tokens"].is_null(), "{body}");
        }
    }
}
