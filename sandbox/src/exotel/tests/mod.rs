//! Whole calls against a tiny bot, on real sockets.

mod bot;
mod refusals;

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};

use self::bot::{Bot, Plan};
use crate::{Running, faults::Fault, serve, settings::Settings};

const PHONE: &str = "+919999955501";

async fn sandbox() -> Running {
    let settings = Settings {
        port: 0,
        tones: true,
        rate: 20.0,
        reaction_min_ms: 200,
        reaction_max_ms: 300,
        ..Settings::default()
    };
    serve(settings).await.unwrap()
}

/// Asks until the answer is there, or fails with the last thing seen.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Carrier {
    running: Running,
    http: reqwest::Client,
}

impl Carrier {
    async fn start() -> Self {
        Self { running: sandbox().await, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/Accounts/sandbox1/{path}", self.running.url())
    }

    async fn script(&self, attempts: Value) {
        let url = format!("{}/__sandbox/scripts/{PHONE}", self.running.url());
        let script = json!({"name": "t", "attempts": attempts});
        assert!(self.http.put(url).json(&script).send().await.unwrap().status().is_success());
    }

    async fn flow(&self, flow: Value) {
        let url = format!("{}/__sandbox/flows/1001", self.running.url());
        let answer = self.http.put(url).json(&flow).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    fn arm(&self, name: &str, value: Value) {
        self.running.world.faults.arm(Fault { name: name.into(), count: 1, matching: None, value });
    }

    async fn request(&self, fields: &[(&str, &str)]) -> reqwest::Result<reqwest::Response> {
        self.http
            .post(self.url("Calls/connect.json"))
            .basic_auth("sandbox-key", Some("sandbox-token"))
            .form(fields)
            .timeout(Duration::from_secs(5))
            .send()
            .await
    }

    /// Places a flow call and gives its sid.
    async fn place(&self, bot: &Bot) -> String {
        let callback = format!("http://{}/callback?ref=r1", bot.base);
        let answer = self
            .request(&[
                ("From", PHONE),
                ("CallerId", "08047112233"),
                ("Url", "http://my.exotel.com/sandbox1/exoml/start_voice/1001"),
                ("Record", "true"),
                ("CustomField", "att_01"),
                ("StatusCallback", &callback),
                ("StatusCallbackEvents[]", "terminal"),
            ])
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["Call"]["Status"], "in-progress");
        assert_eq!(body["Call"]["To"], Value::Null);
        body["Call"]["Sid"].as_str().unwrap().to_owned()
    }

    async fn details(&self, sid: &str) -> Value {
        let request = self.http.get(self.url(&format!("Calls/{sid}.json")));
        let answer = request.basic_auth("sandbox-key", Some("sandbox-token")).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["Call"].take()
    }

    fn truth(&self, sid: &str) -> Value {
        self.running.world.exotel.call(sid).unwrap().report()
    }

    async fn ended(&self, sid: &str) -> Value {
        eventually("the call ends", async || {
            let truth = self.truth(sid);
            (truth["ended_at"] != Value::Null).then_some(truth)
        })
        .await
    }
}

async fn flow_with(carrier: &Carrier, plan: Plan) -> Bot {
    let bot = Bot::start(&carrier.running.world, plan, StatusCode::FOUND).await;
    carrier
        .flow(json!({
            "voicebot_url": format!("http://{}/where", bot.base),
            "passthru_url": format!("http://{}/passthru?key=p", bot.base),
            "passthru_style": "fields",
        }))
        .await;
    bot
}

/// A bot whose process dies in the middle of its question; `after` is whom the flow asks then.
async fn bot_that_dies(carrier: &Carrier, after: &str) -> Bot {
    let plan = Plan::Die("What is your budget for this new home of yours?");
    let bot = Bot::start(&carrier.running.world, plan, StatusCode::OK).await;
    carrier
        .flow(json!({
            "voicebot_url": format!("ws://{}/media", bot.base),
            "passthru_url": format!("http://{}/{after}", bot.base),
            "passthru_style": "fields",
        }))
        .await;
    bot
}

fn events(bot: &Bot) -> Vec<String> {
    bot.seen.lock().unwrap().events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_conversation_is_heard_answered_recorded_and_reported() {
    let carrier = Carrier::start().await;
    let bot = flow_with(&carrier, Plan::Ask(vec!["What is your budget?", "By when do you want to buy?"])).await;
    carrier
        .script(json!([[
            {"do": "ring", "ms": 1000}, {"do": "answer"},
            {"do": "converse", "answers": {"budget": "Ninety lakh.", "timeline": "In three months."}},
        ]]))
        .await;
    let sid = carrier.place(&bot).await;
    let truth = carrier.ended(&sid).await;

    assert_eq!(truth["status"], "completed");
    assert_eq!(truth["end_cause"], "agent_hung_up");
    assert_eq!(truth["reference"], "r1");
    assert_eq!(truth["heard"][0]["text"], "What is your budget?");
    assert_eq!(truth["said"][0]["text"], "Ninety lakh.");
    assert_eq!(truth["said"][1]["text"], "In three months.");
    let stream = &truth["streams"][0];
    assert_eq!(stream["odd_payloads"], 0);
    assert_eq!(stream["underruns"], 0);
    assert_eq!(stream["response_ms"].as_array().unwrap().len(), 1, "{stream}");

    assert_eq!(events(&bot), ["connected", "start", "mark", "mark"]);
    eventually("the callback", async || (!bot.seen.lock().unwrap().callbacks.is_empty()).then_some(())).await;
    {
        let seen = bot.seen.lock().unwrap();
        assert_eq!(seen.heard, ["Ninety lakh.", "In three months."]);
        assert_eq!(seen.authorization.as_deref(), Some("Basic Ym90OnNlY3JldA=="));
        assert_eq!(seen.upgrade_query, None);
        let start = &seen.events[1];
        assert_eq!(start["sequence_number"], "1");
        assert_eq!(start["start"]["call_sid"], sid.as_str());
        assert_eq!(start["start"]["custom_parameters"], json!({"att": "a1"}));
        assert_eq!(
            start["start"]["media_format"],
            json!({"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"})
        );

        assert!(seen.passthrus[0].starts_with("key=p&CallSid="), "{}", seen.passthrus[0]);
        for part in [
            "Stream%5BRecordingUrl%5D=http",
            "Stream%5BStatus%5D=completed",
            "Stream%5BDisconnectedBy%5D=bot",
            "CustomField=att_01",
        ] {
            assert!(seen.passthrus[0].contains(part), "{part} in {}", seen.passthrus[0]);
        }
        let (headers, body) = &seen.callbacks[0];
        let content_type = headers["content-type"].to_str().unwrap();
        assert!(content_type.starts_with("multipart/form-data; boundary=form-data-boundary-"), "{content_type}");
        assert!(
            body.starts_with("/callback?ref=r1\n") && body.contains(&sid) && body.contains("RecordingUrl"),
            "{body}"
        );
        assert!(!body.contains("att_01"));
    }

    let details = eventually("settled details", async || {
        let details = carrier.details(&sid).await;
        (details["RecordingUrl"] != Value::Null).then_some(details)
    })
    .await;
    assert_eq!(details["Status"], "completed");
    assert!(details["Duration"].is_string() && details["Price"].is_string(), "{details}");
    let url = details["RecordingUrl"].as_str().unwrap().to_owned();
    assert_eq!(carrier.http.get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let mp3 = eventually("the recording", async || {
        let request = carrier.http.get(&url).basic_auth("sandbox-key", Some("sandbox-token"));
        let answer = request.send().await.unwrap();
        if answer.status() == StatusCode::OK { Some(answer.bytes().await.unwrap()) } else { None }
    })
    .await;
    assert_eq!(mp3[0], 0xff);
    carrier.running.shutdown.stop().await;
}

#[tokio::test]
async fn a_callee_who_hangs_up_mid_sentence_stops_the_stream() {
    let carrier = Carrier::start().await;
    let long = "We have three new towers in Whitefield and they are all very close to the metro station.";
    let bot = flow_with(&carrier, Plan::Talk(long)).await;
    carrier.script(json!([[{"do": "answer"}, {"do": "hang_up_mid_sentence", "after_ms": 900}]])).await;
    let sid = carrier.place(&bot).await;
    let truth = carrier.ended(&sid).await;

    assert_eq!(truth["end_cause"], "callee_hung_up");
    let heard = truth["heard"][0]["text"].as_str().unwrap();
    assert!(!heard.is_empty() && heard.len() < long.len() / 2, "{heard}");
    let stop = bot.seen.lock().unwrap().events.last().cloned().unwrap();
    assert_eq!(stop["event"], "stop");
    assert_eq!(stop["stop"]["reason"], "callended");
    let passthru = eventually("passthru", async || bot.seen.lock().unwrap().passthrus.first().cloned()).await;
    assert!(passthru.contains("Stream%5BStatus%5D=cancelled") && passthru.contains("DisconnectedBy%5D=user"));
}

#[tokio::test]
async fn a_second_voicebot_round_is_the_same_call() {
    let carrier = Carrier::start().await;
    let bot = Bot::start(&carrier.running.world, Plan::Ask(vec!["What is your budget?"]), StatusCode::OK).await;
    carrier
        .flow(json!({
            "voicebot_url": format!("ws://{}/media", bot.base),
            "passthru_url": format!("http://{}/passthru", bot.base),
            "passthru_style": "json",
        }))
        .await;
    carrier
        .script(json!([[
            {"do": "answer"}, {"do": "wait_for_agent"}, {"do": "say", "text": "First."},
            {"do": "wait_for_agent"}, {"do": "say", "text": "Second."}, {"do": "hang_up"},
        ]]))
        .await;
    let sid = carrier.place(&bot).await;
    let truth = carrier.ended(&sid).await;
    assert_eq!(truth["streams"].as_array().unwrap().len(), 2);
    assert_eq!(truth["end_cause"], "callee_hung_up");
    assert!(truth["said"][1]["began_ms"].as_u64() > truth["said"][0]["ended_ms"].as_u64());
    assert!(bot.seen.lock().unwrap().passthrus[0].contains("Stream=%7B%22"));
    assert!(bot.seen.lock().unwrap().events.iter().all(|event| event["start"].get("custom_parameters").is_none()));
}

#[tokio::test]
async fn a_bot_that_dies_in_mid_sentence_is_asked_about_and_comes_back_to_a_callee_who_has_waited() {
    let carrier = Carrier::start().await;
    let bot = bot_that_dies(&carrier, "passthru").await;
    carrier
        .script(
            json!([[{"do": "answer"}, {"do": "converse", "answers": {"budget": "Ninety lakh."}}, {"do": "hang_up"}]]),
        )
        .await;
    let sid = carrier.place(&bot).await;
    eventually("the answer", async || (!bot.seen.lock().unwrap().heard.is_empty()).then_some(())).await;
    let truth = carrier.truth(&sid);
    let streams = truth["streams"].as_array().unwrap();
    assert_eq!(
        (streams.len(), &streams[0]["status"], &streams[0]["disconnected_by"]),
        (1, &json!("failed"), &json!("bot"))
    );
    let heard = truth["heard"].as_array().unwrap();
    assert!(heard[0]["text"].as_str().unwrap().len() < heard[1]["text"].as_str().unwrap().len(), "{heard:?}");
    assert_eq!(bot.seen.lock().unwrap().heard, ["Ninety lakh."], "half a question is not answered");
    carrier.running.shutdown.stop().await;
}

#[tokio::test]
async fn a_callee_who_is_left_alone_says_hello_and_hangs_up() {
    let carrier = Carrier::start().await;
    let bot = bot_that_dies(&carrier, "stalls").await;
    carrier
        .script(json!([[{"do": "answer"}, {"do": "wait_for_agent", "max_ms": 1500}, {"do": "say", "text": "Hello?"}, {"do": "hang_up"}]]))
        .await;
    let sid = carrier.place(&bot).await;
    let truth = carrier.ended(&sid).await;
    assert_eq!((&truth["end_cause"], &truth["status"]), (&json!("callee_hung_up"), &json!("completed")));
    assert_eq!(truth["said"][0]["text"], "Hello?", "though nobody hears it");
    assert!(bot.seen.lock().unwrap().heard.is_empty());
    carrier.running.shutdown.stop().await;
}

#[tokio::test]
async fn a_phone_that_is_busy_at_first_answers_later() {
    let carrier = Carrier::start().await;
    let bot = flow_with(&carrier, Plan::Talk("Hello.")).await;
    carrier
        .script(json!([
            [{"do": "ring", "ms": 100}, {"do": "busy"}],
            [{"do": "no_answer"}],
            [{"do": "fail"}],
            [{"do": "answer"}, {"do": "say", "text": "Yes?"}, {"do": "hang_up"}],
        ]))
        .await;
    for status in ["busy", "no-answer", "failed", "completed"] {
        let sid = carrier.place(&bot).await;
        let truth = carrier.ended(&sid).await;
        assert_eq!(truth["status"], status);
        assert_eq!(carrier.details(&sid).await["Status"], status);
    }
    assert_eq!(events(&bot).iter().filter(|event| *event == "start").count(), 1);
}

#[tokio::test]
async fn a_burst_gets_the_call_dropped_four_seconds_later() {
    let carrier = Carrier::start().await;
    let long = "This sentence is far too long to be sent at once. ".repeat(4);
    let bot = flow_with(&carrier, Plan::Burst(Box::leak(long.into_boxed_str()))).await;
    carrier.script(json!([[{"do": "answer"}, {"do": "stay_silent", "ms": 60000}]])).await;
    let sid = carrier.place(&bot).await;
    let truth = carrier.ended(&sid).await;
    assert_eq!(truth["end_cause"], "stream_dropped");
    assert!(truth["streams"][0]["most_ahead_ms"].as_u64().unwrap() > 5_000);
}

#[tokio::test]
async fn faults_break_what_they_name_and_the_truth_stays() {
    let carrier = Carrier::start().await;
    let bot = flow_with(&carrier, Plan::Talk("Hello.")).await;
    carrier.script(json!([[{"do": "answer"}, {"do": "say", "text": "Yes?"}, {"do": "hang_up"}]])).await;
    let callbacks = || bot.seen.lock().unwrap().callbacks.len();

    carrier.arm("callback_before_stop", Value::Null);
    carrier.arm("duplicate_callback", json!(2));
    let sid = carrier.place(&bot).await;
    carrier.ended(&sid).await;
    eventually("three callbacks", async || (callbacks() == 3).then_some(())).await;

    carrier.arm("stream_never_opens", Value::Null);
    let sid = carrier.place(&bot).await;
    let truth = carrier.ended(&sid).await;
    assert!(truth["streams"][0]["error"].as_str().unwrap().starts_with("3009 failed to establish ws conn"));

    carrier.arm("drop_stream", json!(200));
    carrier.arm("lost_callback", Value::Null);
    let sid = carrier.place(&bot).await;
    assert_eq!(carrier.ended(&sid).await["end_cause"], "stream_dropped");
    eventually("the loss", async || {
        let lost = crate::log::Filter { kind: Some("callback.lost".into()), ..Default::default() };
        carrier.running.world.log.entries(&lost).pop()
    })
    .await;

    carrier.arm("bad_frames", Value::Null);
    let sid = carrier.place(&bot).await;
    assert_eq!(carrier.ended(&sid).await["end_cause"], "callee_hung_up");
}
