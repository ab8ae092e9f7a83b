//! One model hears and speaks in place of transcriber, language model and voice, and nothing behind the call knows of it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use tests::harness::{Lead, Setup, TestApp, eventually, interested, lines, words};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900101" };
const MINUTES: Duration = Duration::from_secs(150);
const SERVICE: &str = "openai_realtime";

/// A campaign of one lead whose voice agent is one model; `agent` overrides its settings.
async fn calling(app: &TestApp, agent: Value, attempt: Value) -> i64 {
    calling_for(app, json!({}), agent, attempt).await
}

/// The same, for a campaign with settings of its own.
async fn calling_for(app: &TestApp, campaign: Value, agent: Value, attempt: Value) -> i64 {
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [attempt]})).await;
    let mut settings =
        json!({"speech_to_speech": {"provider": "openai", "model": "gpt-realtime-2.1", "voice": "marin"}});
    settings.as_object_mut().unwrap().extend(agent.as_object().unwrap().clone());
    let (status, made) = app.post("/voice-agents", json!({"name": "One model", "settings": settings})).await;
    assert!(status.is_success(), "{status} {made}");
    let mut settings = json!({"max_attempts_per_lead": 1, "voice_agent_id": made["id"]});
    settings.as_object_mut().unwrap().extend(campaign.as_object().unwrap().clone());
    let campaign = app.create_campaign(settings).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    campaign
}

async fn finished(app: &TestApp, campaign: i64) -> Value {
    app.campaign_completes(campaign, MINUTES).await;
    assert_eq!(app.carrier_calls().await.len(), 1, "the phone rang once");
    app.only_call(campaign).await
}

fn events(call: &Value, kind: &str) -> usize {
    call["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind).count()
}

fn used(call: &Value, unit: &str) -> (i64, Option<f64>) {
    let lines = call["costs"]["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["unit"] == unit && line["model"] == "gpt-realtime-2.1");
    line.map_or((0, None), |line| (line["quantity"].as_i64().unwrap(), line["cost"].as_f64()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_qualified_by_one_model_that_hears_and_speaks() {
    let app = TestApp::start().await;
    let campaign = calling(&app, json!({}), interested()).await;
    let call = finished(&app, campaign).await;
    assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("completed"), &json!("agent_finished")), "{call}");
    assert_eq!(call["disposition"], "qualified", "{call}");
    let answers = call["collected"].as_object().or(call["answers"].as_object()).cloned().unwrap_or_default();
    assert!(answers.len() >= 4, "{call}");

    // The transcript is what the other end heard, and what it said.
    let carrier = &app.carrier_calls().await[0];
    let heard: Vec<String> =
        carrier["heard"].as_array().unwrap().iter().flat_map(|line| words(line["text"].as_str().unwrap())).collect();
    let said: Vec<String> = lines(&call, "agent").iter().flat_map(|line| words(line)).collect();
    assert_eq!(said, heard, "{call}");
    assert!(lines(&call, "callee").iter().any(|line| words(line) == words("Around eighty lakh.")), "{call}");
    assert_eq!(events(&call, "greeting_changed"), 0);
    let first = &call["transcript"][0];
    assert_eq!(first["role"], "agent", "{call}");

    let (heard, cost) = used(&call, "audio_input_token");
    assert!(heard > 50 && cost.is_some(), "{call}");
    assert!(used(&call, "audio_output_token").0 > 100 && used(&call, "llm_cached_token").0 > 100, "{call}");
    assert_eq!(call["costs"]["unpriced_lines"], 0, "{call}");
    assert!(app.logged(Some("deepgram"), "stream.opened").is_empty(), "nobody else hears");
    assert!(app.logged(Some("elevenlabs"), "socket.opened").is_empty(), "nobody else speaks");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_barge_in_leaves_only_heard_words_in_the_transcript_and_in_the_models_memory() {
    let app = TestApp::start().await;
    let attempt = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent", "max_ms": 12_000},
        {"do": "say", "text": "Who is this?"}, {"do": "interrupt", "after_ms": 1_500, "text": "Sorry, wait a moment please."},
        {"do": "converse", "turns": 1}, {"do": "hang_up"}]);
    let campaign = calling(&app, json!({}), attempt).await;
    let call = finished(&app, campaign).await;
    assert_eq!(events(&call, "barge_in"), 1, "{call}");
    let turns = call["transcript"].as_array().unwrap();
    let cut = turns.iter().find(|turn| turn["interrupted"] == true).unwrap_or_else(|| panic!("{call}"));
    let cut = words(cut["text"].as_str().unwrap());

    // What the model was told is what the transcript says, and both are no more than what came out of the phone.
    let truncated = app.logged(Some(SERVICE), "item.truncated");
    assert_eq!(truncated.len(), 1, "{truncated:?}");
    let remembered = words(truncated[0].data["text"].as_str().unwrap());
    assert!(cut.starts_with(&remembered) || remembered.starts_with(&cut), "{remembered:?} and {cut:?}");
    assert!(cut.len().abs_diff(remembered.len()) <= 2, "{remembered:?} and {cut:?}");
    let carrier = &app.carrier_calls().await[0];
    let heard: Vec<String> =
        carrier["heard"].as_array().unwrap().iter().flat_map(|line| words(line["text"].as_str().unwrap())).collect();
    // Inside an item the position of words is an estimate: the last two may be half said.
    let certain = &cut[..cut.len().saturating_sub(2)];
    assert!(heard.windows(certain.len()).any(|window| window == certain), "{cut:?} was not heard: {heard:?}");
    let answers = app.logged(Some(SERVICE), "answered");
    let whole = answers.iter().flat_map(|answer| answer.data["output"].as_array().cloned().unwrap_or_default());
    let whole: Vec<usize> = whole
        .filter_map(|item| item["content"][0]["transcript"].as_str().map(words))
        .filter(|said| said.starts_with(certain))
        .map(|said| said.len())
        .collect();
    assert!(whole.iter().any(|length| *length > cut.len() + 3), "there was more to say: {whole:?} words, {cut:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conversation_goes_on_when_the_socket_dies_in_its_middle() {
    let app = TestApp::start().await;
    let campaign = calling(&app, json!({}), interested()).await;
    eventually(MINUTES, || async {
        let heard = app.logged(Some(SERVICE), "heard").len();
        if heard >= 2 { Ok(()) } else { Err(format!("{heard} turns")) }
    })
    .await;
    app.fault(json!({"name": "openai_realtime.cut_answer", "value": 600})).await;
    let call = finished(&app, campaign).await;
    assert_eq!(call["hangup_cause"], "agent_finished", "{call}");
    assert_eq!(call["disposition"], "qualified", "{call}");
    assert_eq!(app.logged(Some(SERVICE), "socket.opened").len(), 2);
    assert_eq!(events(&call, "speech_to_speech_lost"), 1, "{call}");
    let greetings = lines(&call, "agent").iter().filter(|line| line.contains("AI assistant")).count();
    assert_eq!(greetings, 1, "nobody greets twice: {call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_ends_the_call_with_an_apology_and_a_reason_that_an_operator_understands() {
    let app = TestApp::start().await;
    app.fault(json!({"name": "openai_realtime.refuse", "count": 100, "value": 401})).await;
    let campaign = calling(&app, json!({}), interested()).await;
    let call = finished(&app, campaign).await;
    assert_eq!(call["hangup_cause"], "llm_unavailable", "{call}");
    let told: Vec<&Value> =
        call["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "speech_to_speech_lost").collect();
    assert_eq!(told.len(), 1, "a refused key is not tried again: {call}");
    let cause = told[0]["data"]["cause"].as_str().unwrap();
    assert!(cause.contains("rejected") && cause.contains("invalid_api_key"), "{cause}");
    assert!(lines(&call, "agent").iter().any(|line| line.contains("technical problem")), "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_is_chosen_says_the_exact_words_and_the_model_the_rest() {
    let app = TestApp::start().await;
    let agent = json!({"tts": {"provider": "elevenlabs"}, "greeting": "Hello {name}, this is Asha, an AI assistant."});
    let campaign = calling(&app, agent, interested()).await;
    let call = finished(&app, campaign).await;
    assert_eq!(call["disposition"], "qualified", "{call}");
    assert_eq!(lines(&call, "agent")[0], "Hello Priyamvada, this is Asha, an AI assistant.");
    let lines = call["costs"]["lines"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["unit"] == "tts_character"), "{call}");
    assert!(used(&call, "audio_output_token").0 > 100, "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_held_by_one_model_survives_the_death_of_its_process() {
    let mut app = TestApp::start_as(Setup { medias: 2, ..Setup::default() }).await;
    let campaign = calling(&app, json!({}), interested()).await;
    eventually(MINUTES, || async {
        let heard = app.logged(Some(SERVICE), "heard").len();
        if heard >= 2 { Ok(()) } else { Err(format!("{heard} turns")) }
    })
    .await;
    let holder = app.holder().await;
    app.medias[holder].kill_9().await;
    let call = finished(&app, campaign).await;
    assert_eq!(call["disposition"], "qualified", "{call}");
    assert_eq!(events(&call, "resumed"), 1, "{call}");
    let greetings = lines(&call, "agent").iter().filter(|line| line.contains("AI assistant")).count();
    assert_eq!(greetings, 1, "nobody greets twice: {call}");
    app.discard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_twilio_it_is_the_same() {
    let app = TestApp::start().await;
    app.choose_carrier("twilio").await;
    let campaign = calling(&app, json!({}), interested()).await;
    app.campaign_completes(campaign, MINUTES).await;
    let call = app.only_call(campaign).await;
    assert_eq!(
        (&call["disposition"], &call["hangup_cause"]),
        (&json!("qualified"), &json!("agent_finished")),
        "{call}"
    );
    app.finish().await;
}

/// Waits until the callee has heard these words.
async fn hears(app: &TestApp, words: &str) {
    eventually(MINUTES, || async {
        let heard = app.carrier_calls().await.first().map(|call| call["heard"].to_string()).unwrap_or_default();
        if heard.contains(words) { Ok(()) } else { Err(heard) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_accounts_own_service_takes_its_time_the_human_is_told_so_and_then_answered() {
    let asked = Arc::new(Semaphore::new(0));
    let (told, wait) = (Arc::clone(&asked), Arc::clone(&asked));
    // It answers once the human has been told to wait.
    let answer = move || async move {
        wait.acquire().await.unwrap().forget();
        "Yes, flat three is still free."
    };
    let service = axum::Router::new().route("/stock", axum::routing::post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stock", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, service).await });

    let app = TestApp::start_as(Setup { environment: &[("PRIVATE_TOOLS", "true")], ..Setup::default() }).await;
    let tool = json!({"name": "check_availability", "description": "Whether a flat is still free.", "url": url,
        "arguments": [{"name": "flat", "description": "its number"}]});
    let attempt = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent", "max_ms": 12_000},
        {"do": "say", "text": "Is flat three still available?"}, {"do": "stay_silent", "ms": 9_000}, {"do": "hang_up"}]);
    let campaign = calling(&app, json!({"tools": [tool]}), attempt).await;
    hears(&app, "One moment, let me check.").await;
    told.add_permits(1);
    // What it finds out reaches the model, which is asked to go on.
    eventually(MINUTES, || async {
        let told = app.logged(Some(SERVICE), "item.created");
        let told = told.iter().rfind(|entry| entry.data.to_string().contains("flat three is still free"));
        let answers = app.logged(Some(SERVICE), "answered");
        let after = told.filter(|told| answers.iter().any(|answer| answer.seq > told.seq));
        after.map(|_| ()).ok_or_else(|| format!("{told:?}"))
    })
    .await;
    let call = finished(&app, campaign).await;
    let said = lines(&call, "agent").join(" ");
    assert_eq!(said.matches("One moment").count(), 1, "{said}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_gets_the_campaigns_message() {
    let app = TestApp::start().await;
    let greeting = "You have reached Priyamvada. Please leave a message after the beep.";
    let machine = json!([{"do": "ring", "ms": 300}, {"do": "answer"},
        {"do": "voicemail", "greeting": greeting, "beep_ms": 400, "record_ms": 20_000}]);
    let message = json!({"voicemail_message": "Hello {name}, Asha will call you again tomorrow."});
    let campaign = calling_for(&app, message, json!({}), machine).await;
    let call = finished(&app, campaign).await;
    assert_eq!((&call["disposition"], &call["answered_by"]), (&json!("voicemail"), &json!("machine")), "{call}");
    let heard = app.carrier_calls().await[0]["heard"].as_array().unwrap().clone();
    assert_eq!(heard.last().unwrap()["text"], "Hello Priyamvada, Asha will call you again tomorrow.", "{heard:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zero_on_the_phone_connects_the_advisor() {
    let app = TestApp::start().await;
    let zero = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent", "max_ms": 12_000},
        {"do": "dtmf", "digits": "0"}, {"do": "wait_for_agent"}, {"do": "stay_silent", "ms": 20_000}]);
    let campaign = calling(&app, json!({"transfer_to": ["+919811100001"]}), zero).await;
    let call = finished(&app, campaign).await;
    let carrier = &app.carrier_calls().await[0];
    assert_eq!(carrier["transferred_to"], json!(["09811100001"]), "{carrier}");
    assert_eq!((events(&call, "transfer_requested"), events(&call, "transferred")), (1, 1), "{call}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_told_to_leave_hands_the_conversation_over_without_a_word() {
    let setup = Setup { medias: 2, environment: &[("DRAIN_GRACE_SECS", "20")], ..Setup::default() };
    let mut app = TestApp::start_as(setup).await;
    let campaign = calling(&app, json!({}), interested()).await;
    eventually(MINUTES, || async {
        let heard = app.logged(Some(SERVICE), "heard").len();
        if heard >= 2 { Ok(()) } else { Err(format!("{heard} turns")) }
    })
    .await;
    let holder = app.holder().await;
    app.medias[holder].stop().await.unwrap();
    app.medias[holder].restart();
    let call = finished(&app, campaign).await;
    assert_eq!((&call["disposition"], events(&call, "resumed")), (&json!("qualified"), 1), "{call}");
    let carrier = &app.carrier_calls().await[0];
    assert_eq!(carrier["streams"][0]["status"], "completed", "closed in order");
    assert!(!carrier["heard"].to_string().contains("line dropped"), "{carrier}");
    app.finish().await;
}
