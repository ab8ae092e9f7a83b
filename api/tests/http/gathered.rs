//! A conversation without a stream: Twilio gathers what is said and speaks what the language model answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::llm::Llm;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::TestApi;
use crate::twilio::{dialed, twilio};

const HUNG_UP: &str = "<Hangup/></Response>";

/// A language model that gives these answers, one by one, and remembers what it was asked. Out of answers it fails.
#[derive(Clone, Default)]
struct Model {
    answers: Arc<Mutex<VecDeque<Value>>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    fn answers(&self, text: Option<&str>, calls: &[(&str, Value)]) {
        let call = |(at, (name, arguments)): (usize, &(&str, Value))| json!({"id": format!("c{at}"), "type": "function", "function": {"name": name, "arguments": arguments.to_string()}});
        let calls: Vec<Value> = calls.iter().enumerate().map(call).collect();
        let mut message = json!({"role": "assistant", "content": text});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        self.answers.lock().unwrap().push_back(
            json!({"choices": [{"message": message}], "usage": {"prompt_tokens": 900, "completion_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 600}}}),
        );
    }

    fn says(&self, text: &str) {
        self.answers(Some(text), &[]);
    }

    fn calls(&self, name: &str, arguments: Value) {
        self.answers(None, &[(name, arguments)]);
    }

    /// Never answers the next question.
    fn hangs(&self) {
        self.answers.lock().unwrap().push_back(Value::Null);
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }

    /// The messages of the last question.
    fn last(&self) -> Vec<Value> {
        self.asked().last().unwrap()["messages"].as_array().unwrap().clone()
    }
}

async fn complete(State(model): State<Model>, Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    model.asked.lock().unwrap().push(request);
    let answer = model.answers.lock().unwrap().pop_front();
    match answer {
        Some(Value::Null) => std::future::pending().await,
        Some(answer) => (StatusCode::OK, Json(answer)),
        None => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({}))),
    }
}

async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base
}

/// A call that is dialed for a voice agent that gathers.
struct Call {
    api: TestApi,
    model: Model,
    id: i64,
}

impl Call {
    async fn dialed(settings: Value) -> Self {
        let model = Model::default();
        let router = axum::Router::new().route("/v1/chat/completions", axum::routing::post(complete));
        let base = format!("{}/v1", serve(router.with_state(model.clone())).await);
        let llm = Llm::new(&base.parse().unwrap(), "key".into(), "gpt-6-luna").unwrap();
        let api = TestApi::start_with(Some(llm)).await;
        let id = dialed(&api).await;
        let call = Self { api, model, id };
        call.sql("update voice_agent_versions set settings = settings || '{\"gathered_speech\": true}'").await;
        let own = "update voice_agent_versions set settings = settings || $1";
        sqlx::query(own).bind(settings).execute(&call.api.db).await.unwrap();
        call
    }

    /// And greeted.
    async fn answered(settings: Value) -> Self {
        let call = Self::dialed(settings).await;
        call.asks("", &[]).await;
        call
    }

    async fn sql(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.api.db).await.unwrap();
    }

    async fn asks(&self, about: &str, more: &[(&str, &str)]) -> String {
        let mut fields = vec![("CallSid", "CA1"), ("CallStatus", "in-progress"), ("From", "+14155550100")];
        fields.extend_from_slice(more);
        let answer = twilio(&self.api, &format!("voice?reference=ref-1{about}"), &fields).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// The human's turn, as Twilio asks about it.
    async fn hears(&self, turn: usize, words: &str) -> String {
        self.asks(&format!("&turn={turn}&language=en-IN"), &[("SpeechResult", words), ("Confidence", "0.9")]).await
    }

    async fn presses(&self, turn: usize, keys: &str) -> String {
        self.asks(&format!("&turn={turn}&language=en-IN"), &[("Digits", keys)]).await
    }

    async fn hears_nothing(&self, turn: usize, silences: usize) -> String {
        self.asks(&format!("&turn={turn}&silence={silences}&language=en-IN"), &[]).await
    }

    /// Follows the address that a document goes on to.
    async fn follows(&self, document: &str) -> String {
        let address = document.split("voice?reference=ref-1").last().unwrap().split('<').next().unwrap();
        self.asks(&address.replace("&amp;", "&"), &[]).await
    }

    async fn turns(&self) -> Vec<(String, String)> {
        sqlx::query_as("select role, text from turns order by seq").fetch_all(&self.api.db).await.unwrap()
    }

    async fn events(&self, kind: &str) -> Vec<Value> {
        let query = "select data from call_events where call_id = $1 and kind = $2 order by id";
        sqlx::query_scalar(query).bind(self.id).bind(kind).fetch_all(&self.api.db).await.unwrap()
    }

    /// Disposition noted in the call, who answered it, and why it ended.
    async fn outcome(&self) -> (Option<String>, Option<String>, Option<String>) {
        let query =
            "select live_disposition, answered_by, hangup_cause from calls c left join conversations on call_id = c.id
            where c.id = $1";
        sqlx::query_as(query).bind(self.id).fetch_one(&self.api.db).await.unwrap()
    }

    async fn is_forbidden(&self) -> bool {
        self.api.number("select count(*) from do_not_call where phone = '+919999900101'").await == 1
    }
}

#[tokio::test]
async fn turn_by_turn_the_human_is_heard_and_answered_and_all_of_it_is_kept() {
    let call = Call::dialed(json!({"keyterms": ["Whitefield, East"]})).await;
    let greeting = call.asks("", &[]).await;
    assert!(greeting.contains("<Gather input=\"speech dtmf\"") && greeting.contains("numDigits=\"1\""), "{greeting}");
    assert!(greeting.contains("hints=\"Whitefield  East,BHK,"), "{greeting}");
    assert!(
        greeting.contains("Hello Priyamvada, this is Asha, an AI assistant calling from Trunkline Realty"),
        "{greeting}"
    );
    assert!(greeting.contains("turn=1&amp;language=en-IN") && greeting.contains("turn=0&amp;silence=1"), "{greeting}");

    call.model.says("A & B cost ₹75,00,000. What is your budget?");
    let answer = call.hears(1, "A flat, please.").await;
    assert!(answer.contains("A &amp; B cost seventy five lakh rupees.") && answer.contains("turn=2"), "{answer}");
    let asked = call.model.last();
    let prompt = asked[0]["content"].as_str().unwrap();
    assert!(prompt.contains("# Your goal") && prompt.contains("- budget: the budget as a range"), "{prompt}");
    assert!(prompt.contains("- lead_name: \"Priyamvada\"") && prompt.contains("11:00 (Asia/Kolkata)"), "{prompt}");
    assert_eq!((&asked[1]["role"], &asked[2]["content"]), (&json!("assistant"), &json!("A flat, please.")));
    let tools: Vec<Value> = call.model.asked()[0]["tools"].as_array().unwrap().clone();
    let names: Vec<&str> = tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["end_call", "record_answer", "schedule_callback", "mark_do_not_call"]);

    // Silence is asked into, as a stream's is.
    assert!(call.hears_nothing(1, 1).await.contains("Hello, are you still there?"));
    call.model.calls("end_call", json!({"disposition": "qualified"}));
    let last = call.hears(2, "Eighty lakh. Bye.").await;
    assert!(last.ends_with(&format!("Thank you for your time. Goodbye.</Say>{HUNG_UP}")), "{last}");
    let kept = call.turns().await;
    let roles: Vec<&str> = kept.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["agent", "callee", "agent", "agent", "callee", "agent"], "{kept:?}");
    assert_eq!(kept.last().unwrap().1, "Thank you for your time. Goodbye.");
    assert_eq!(call.outcome().await, (Some("qualified".into()), None, Some("agent_finished".into())));
    assert_eq!(call.events("silence_prompted").await.len(), 1);
    let used = "select sum(quantity)::bigint from call_usage where provider = 'openai' and model = 'gpt-6-luna' and unit = 'llm_input_token'";
    assert_eq!(call.api.number(used).await, 600, "two answers");
    let stage: String = sqlx::query_scalar("select stage from streams").fetch_one(&call.api.db).await.unwrap();
    assert_eq!(stage, "qualification");
    call.api.finish().await;
}

#[tokio::test]
async fn a_repeated_question_is_answered_as_it_was() {
    let call = Call::dialed(json!({"transfer_to": ["+919811100001"]})).await;
    let greeting = call.asks("", &[]).await;
    assert_eq!(call.asks("", &[]).await, greeting, "and not asked whether anybody is there");
    call.model.says("Which area?");
    let answer = call.hears(1, "A flat.").await;
    assert_eq!(call.hears(1, "A flat.").await, answer);
    assert_eq!(call.model.asked().len(), 1, "and nobody is asked again");
    let prompt = call.hears_nothing(1, 1).await;
    assert_eq!(call.hears_nothing(1, 1).await, prompt);
    assert!(call.hears_nothing(1, 2).await.contains("Can you hear me?"));
    assert_eq!(call.turns().await.len(), 5);

    call.model.answers(Some("Goodbye then."), &[("end_call", json!({"disposition": "other"}))]);
    let goodbye = call.hears(2, "Nothing, thanks.").await;
    assert_eq!(call.hears(2, "Nothing, thanks.").await, goodbye);
    assert!(goodbye.ends_with(&format!("Goodbye then.</Say>{HUNG_UP}")), "{goodbye}");
    assert!(call.hears(3, "Hello?").await.ends_with(&format!("<Response>{HUNG_UP}")), "it is over");
    assert_eq!(call.turns().await.len(), 7);
    call.api.finish().await;
}

#[tokio::test]
async fn what_the_tools_do_is_kept_as_a_streams_is() {
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let note = {
        let seen = Arc::clone(&seen);
        async move |Json(body): Json<Value>| {
            seen.lock().unwrap().push(body);
            "{\"free\": true}"
        }
    };
    let service = serve(axum::Router::new().route("/free", axum::routing::post(note))).await;
    let call = Call::answered(json!({
        "messages": [{"name": "brochure", "description": "the brochure", "text": "Hello {name}: https://example.com/b"}],
        "tools": [{"name": "check", "description": "Is it free?", "url": format!("{service}/free"), "arguments": [{"name": "flat"}]}],
    }))
    .await;
    call.model.calls("record_answer", json!({"field": "budget", "value": "80 lakh"}));
    call.model.calls("check", json!({"flat": "302"}));
    call.model.calls("fly", json!({}));
    call.model.answers(
        Some("302 is free. What suits you?"),
        &[
            ("schedule_callback", json!({"when": "2026-11-24T17:00", "note": null})),
            ("send_message", json!({"message": "brochure"})),
        ],
    );
    let answer = call.hears(1, "Is 302 free? I have eighty lakh.").await;
    assert!(answer.contains("three hundred two is free. What suits you?"), "{answer}");
    let told: Vec<Value> = call.model.last().into_iter().filter(|message| message["role"] == "tool").collect();
    let told: Vec<&str> = told.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(told, ["noted", "{\"free\": true}", "{\"error\":\"there is no such tool\"}"]);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        (&seen[0]["arguments"], &seen[0]["call"]["lead"]["name"]),
        (&json!({"flat": "302"}), &json!("Priyamvada"))
    );
    let noted: (Value, Option<String>, Option<String>) =
        sqlx::query_as("select answers, callback_text, live_disposition from conversations")
            .fetch_one(&call.api.db)
            .await
            .unwrap();
    let callback = (Some("2026-11-24T17:00".into()), Some("callback_requested".into()));
    assert_eq!(noted, (json!({"budget": "80 lakh"}), callback.0, callback.1));
    let text =
        "select count(*) from messages where template = 'brochure' and fields->>'text' like 'Hello Priyamvada: %'";
    assert_eq!(call.api.number(text).await, 1);
    assert_eq!(call.events("tool_failed").await[0]["problem"], "there is no such tool");

    call.model.says("Goodbye.");
    call.hears(2, "Fine.").await;
    let asked = call.model.last();
    assert!(
        asked[0]["content"].as_str().unwrap().contains("# Already answered in this call\n- budget: \"80 lakh\""),
        "{asked:?}"
    );
    call.api.finish().await;
}

#[tokio::test]
async fn what_was_done_stands_when_the_words_to_it_never_come() {
    let call = Call::answered(json!({})).await;
    call.model.calls("record_answer", json!({"field": "budget", "value": "80 lakh"}));
    let answer = call.hears(1, "Eighty lakh.").await;
    assert!(answer.contains("Thank you, I have noted that.") && answer.contains("<Gather"), "{answer}");
    assert_eq!(call.api.number("select count(*) from conversations where answers->>'budget' = '80 lakh'").await, 1);

    call.api.finish().await;

    let call = Call::answered(json!({})).await;
    call.model.calls("mark_do_not_call", json!({"note": "asked"}));
    let answer = call.hears(1, "Please leave me alone for good.").await;
    assert!(answer.ends_with(&format!("Goodbye.</Say>{HUNG_UP}")), "{answer}");
    assert!(call.is_forbidden().await);
    assert_eq!(call.events("do_not_call_requested").await[0]["evidence"], "tool");
    assert_eq!(call.outcome().await.0.as_deref(), Some("do_not_call"));
    call.api.finish().await;
}

#[tokio::test]
async fn whoever_forbids_further_calls_is_on_the_list_before_any_model_is_asked() {
    let call = Call::answered(json!({})).await;
    call.model.hangs();
    let mut asking = Box::pin(call.hears(1, "Do not call me again."));
    // While the model is still thinking.
    let noted = async {
        while !call.is_forbidden().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        answer = &mut asking => panic!("nobody can have answered: {answer}"),
        () = noted => {}
    }
    assert_eq!(
        call.events("do_not_call_requested").await,
        [json!({"kind": "do_not_call_requested", "evidence": "phrase", "note": null})]
    );
    let answer = asking.as_mut().await;
    drop(asking);
    assert!(answer.ends_with(&format!("Goodbye.</Say>{HUNG_UP}")), "{answer}");
    call.api.finish().await;
}

#[tokio::test]
async fn a_model_that_gives_no_answer_is_covered_for_once() {
    let call = Call::answered(json!({})).await;
    let apology = call.hears(1, "A flat.").await;
    assert!(apology.contains("Could you say that once more?") && apology.contains("<Gather"), "{apology}");
    assert_eq!(call.model.asked().len(), 2, "it was asked twice");
    let goodbye = call.hears(2, "A flat!").await;
    assert!(goodbye.ends_with(&format!("We will call you back. Goodbye.</Say>{HUNG_UP}")), "{goodbye}");
    assert_eq!(call.outcome().await.2.as_deref(), Some("llm_unavailable"));
    let failed: Vec<Value> = call.events("reply_failed").await;
    assert_eq!((failed.len(), &failed[0]["failure"]), (4, &json!("unavailable")));
    call.api.finish().await;
}

#[tokio::test]
async fn a_model_that_never_answers_is_not_waited_for_longer_than_twilio_waits() {
    let call = Call::answered(json!({})).await;
    call.model.hangs();
    let began = Instant::now();
    let apology = call.hears(1, "A flat.").await;
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
    assert!(apology.contains("Could you say that once more?"), "{apology}");
    assert_eq!(call.events("reply_failed").await[0]["failure"], "timed_out");
    call.api.finish().await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_apologised_for_once() {
    let call = Call::answered(json!({"language": "hi-IN"})).await;
    let mut locked = call.api.db.begin().await.unwrap();
    sqlx::query("select * from streams for update").execute(&mut *locked).await.unwrap();
    let words = [("SpeechResult", "हाँ")];
    let began = Instant::now();
    let apology = call.asks("&turn=1&language=hi-IN", &words).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(apology.contains("क्या आप एक बार फिर कहेंगे?") && apology.contains("late=1"), "{apology}");
    let goodbye = call.asks("&turn=2&language=hi-IN&late=1", &words).await;
    assert!(goodbye.contains("हम आपको फिर कॉल करेंगे।") && goodbye.ends_with(HUNG_UP), "{goodbye}");
    // Of a first question nobody knows yet whose it is.
    assert!(call.asks("", &[]).await.contains("<Connect>"));
    locked.rollback().await.unwrap();
    call.api.finish().await;
}

#[tokio::test]
async fn nobody_is_asked_for_ever_whether_they_are_there() {
    let call = Call::answered(json!({})).await;
    assert!(call.hears_nothing(0, 1).await.contains("silence=2"));
    // A result without a word in it is a silence, too.
    let empty = call.asks("&turn=1&silence=1&language=en-IN", &[("SpeechResult", " "), ("Confidence", "0.0")]).await;
    assert!(empty.contains("Can you hear me?") && empty.contains("turn=0&amp;silence=3"), "{empty}");
    let goodbye = call.hears_nothing(0, 3).await;
    assert!(goodbye.contains("I will try again another time.") && goodbye.ends_with(HUNG_UP), "{goodbye}");
    assert_eq!(call.outcome().await.2.as_deref(), Some("silence"));
    call.api.finish().await;
}

#[tokio::test]
async fn words_that_are_a_guess_are_asked_for_once() {
    let call = Call::answered(json!({})).await;
    let unsure = async |turn: usize| {
        let about = format!("&turn={turn}&language=en-IN");
        call.asks(&about, &[("SpeechResult", "a fat"), ("Confidence", "0.12")]).await
    };
    assert!(unsure(1).await.contains("Sorry, I did not catch that."));
    assert!(call.model.asked().is_empty());
    call.model.says("Which area?");
    assert!(unsure(2).await.contains("Which area?"), "then they are taken as they are");
    assert_eq!(call.events("nothing_understood").await.len(), 1);
    call.api.finish().await;
}

#[tokio::test]
async fn a_zero_connects_the_human_and_other_keys_are_told_to_the_model() {
    let call = Call::answered(json!({"transfer_to": ["+919811100001"]})).await;
    call.model.says("What is your phone number?");
    let asks = call.presses(1, "5").await;
    assert!(asks.contains("<Gather") && !asks.contains("numDigits"), "a number is given whole: {asks}");
    assert_eq!(call.model.last().last().unwrap()["content"], "(pressed the keys 5)");
    assert_eq!(call.events("key_pressed").await[0]["digits"], "5");
    call.model.says("Thank you.");
    assert!(call.presses(2, "0").await.contains("Thank you."), "part of a number");

    let leaves = call.presses(3, "0").await;
    assert!(leaves.contains("One moment please, I am connecting you.</Say><Redirect"), "{leaves}");
    assert_eq!(call.presses(3, "0").await, leaves, "asked again");
    let dials = call.follows(&leaves).await;
    assert!(dials.contains("<Dial") && dials.contains("+919811100001"), "{dials}");
    assert_eq!(call.events("transfer_requested").await, [json!({"kind": "transfer_requested", "note": "pressed 0"})]);
    assert_eq!(call.outcome().await, (Some("interested".into()), None, Some("transfer_to_human".into())));
    assert_eq!(call.turns().await.last().unwrap().1, "One moment please, I am connecting you.");
    // Whoever was promised is called though the conversation cannot be looked up.
    let mut locked = call.api.db.begin().await.unwrap();
    sqlx::query("select * from streams for update").execute(&mut *locked).await.unwrap();
    assert!(call.follows(&leaves).await.contains("<Dial"));
    locked.rollback().await.unwrap();
    call.api.finish().await;
}

#[tokio::test]
async fn a_model_that_promises_a_human_has_them_called() {
    let call = Call::answered(json!({"transfer_to": ["+919811100001"], "language": "hi-en"})).await;
    call.model.calls("transfer_to_human", json!({"note": "wants prices"}));
    let leaves = call.hears(1, "Can I talk to a person?").await;
    assert!(leaves.contains("<Say language=\"hi-IN\">Ek minute, main aapko hamare advisor se"), "{leaves}");
    assert!(call.follows(&leaves).await.contains("<Dial"));
    // Without anybody to call there is nothing to promise.
    let alone = Call::answered(json!({})).await;
    alone.model.calls("transfer_to_human", json!({"note": null}));
    alone.model.says("Nobody is there right now. Shall we call you back?");
    assert!(alone.presses(1, "0").await.contains("Shall we call you back?"));
    assert_eq!(alone.model.last().last().unwrap()["content"], "{\"error\":\"nobody is there to transfer to\"}");
    alone.api.finish().await;
    call.api.finish().await;
}

#[tokio::test]
async fn a_machine_is_left_the_campaigns_message() {
    let call = Call::answered(json!({})).await;
    call.sql("update campaigns set voicemail_message = 'Hello {name}, Asha calls again tomorrow.'").await;
    let left = call.hears(1, "You have reached Karan. Please leave a message after the beep.").await;
    let message = "<Pause length=\"2\"/><Say language=\"en-IN\">Hello Priyamvada, Asha calls again tomorrow.</Say>";
    assert!(left.ends_with(&format!("{message}{HUNG_UP}")), "{left}");
    assert!(call.model.asked().is_empty());
    let outcome = (Some("voicemail".into()), Some("machine".into()), Some("machine_answered".into()));
    assert_eq!(call.outcome().await, outcome);
    assert_eq!(call.events("machine_answered").await[0]["machine"], "voicemail");
    let kept = call.turns().await;
    assert_eq!((kept.len(), kept[2].1.as_str()), (3, "Hello Priyamvada, Asha calls again tomorrow."));
    call.api.finish().await;
}

#[tokio::test]
async fn a_machine_without_a_message_and_an_announcement_are_hung_up_on() {
    for (words, machine) in [
        ("You have reached Karan. Please leave a message after the beep.", "voicemail"),
        ("The number you are calling is switched off. Please try again later.", "announcement"),
    ] {
        let call = Call::answered(json!({})).await;
        if machine == "announcement" {
            call.sql("update campaigns set voicemail_message = 'For machines that listen.'").await;
        }
        assert!(call.hears(1, words).await.ends_with(&format!("<Response>{HUNG_UP}")), "{machine}");
        assert_eq!(call.events("machine_answered").await[0]["machine"], machine);
        assert!(call.hears(1, words).await.ends_with(&format!("<Response>{HUNG_UP}")), "asked again");
        call.api.finish().await;
    }
}

#[tokio::test]
async fn the_carriers_ear_for_machines_is_believed_in_the_beginning() {
    let call = Call::dialed(json!({})).await;
    call.sql("update campaigns set voicemail_message = 'Please call us back.'").await;
    let told = call.asks("", &[("AnsweredBy", "machine_start")]).await;
    assert!(told.contains("Please call us back.") && told.ends_with(HUNG_UP), "{told}");
    assert_eq!(call.turns().await.len(), 1, "and no greeting");

    call.api.finish().await;

    let call = Call::answered(json!({})).await;
    call.sql("update campaigns set voicemail_message = 'Please call us back.'").await;
    let detected = [("CallSid", "CA1"), ("AnsweredBy", "machine_start")];
    assert_eq!(twilio(&call.api, "machine-detection?reference=ref-1", &detected).await.status, 200);
    assert!(call.hears_nothing(0, 1).await.contains("Please call us back."));
    assert_eq!(call.outcome().await.0.as_deref(), Some("voicemail"));

    // Whoever has answered as a person is one.
    call.api.finish().await;

    let call = Call::answered(json!({})).await;
    assert_eq!(twilio(&call.api, "machine-detection?reference=ref-1", &detected).await.status, 200);
    for turn in 1..=2 {
        call.model.says("And what else?");
        assert!(call.hears(turn, "A flat in Whitefield.").await.contains("And what else?"), "{turn}");
    }
    assert_eq!(call.events("machine_doubted").await.len(), 1);
    call.api.finish().await;
}

#[tokio::test]
async fn a_machine_is_played_the_campaigns_recording_from_an_address_nobody_guesses() {
    let call = Call::answered(json!({})).await;
    call.sql(
        "update campaigns set voicemail_message = 'Spoken.', voicemail_recording_key = 'voicemail/1/1/a.wav', \
        voicemail_recording_title = 'Festive offer', voicemail_recording_ms = 3000",
    )
    .await;
    call.api.app.storage.put("voicemail/1/1/a.wav", bytes::Bytes::from_static(b"RIFF")).await.unwrap();
    let beeped = "You have reached Karan. Please leave a message after the beep.";
    let left = call.hears(1, beeped).await;
    let url = left.split("<Play>").nth(1).and_then(|rest| rest.split("</Play>").next()).unwrap().replace("&amp;", "&");
    assert!(left.contains("<Pause length=\"2\"/><Play>") && left.ends_with(HUNG_UP), "{left}");
    assert_eq!(call.turns().await.last().unwrap().1, "[Recording: Festive offer]");
    assert_eq!(call.hears(1, beeped).await, left, "asked again");

    let path = url.strip_prefix("https://api.example").unwrap();
    let fetch =
        async |path: &str| call.api.send(axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap()).await;
    let sound = fetch(path).await;
    assert_eq!((sound.status.as_u16(), sound.bytes.as_slice()), (200, &b"RIFF"[..]));
    assert_eq!(sound.headers["content-type"], "audio/wav");
    for guess in [path.replace("ref-1", "ref-2"), format!("{}0", &path[..path.len() - 1])] {
        assert_eq!(fetch(&guess).await.status, 404, "{guess}");
    }
    call.sql("update calls set status = 'completed', ended_at = now()").await;
    assert_eq!(fetch(path).await.status, 404, "the call is over");
    call.api.finish().await;
}

#[tokio::test]
async fn a_recording_that_is_gone_is_spoken_for() {
    let call = Call::answered(json!({})).await;
    call.sql("update campaigns set voicemail_message = 'Spoken instead.', voicemail_recording_key = 'voicemail/1/1/gone.wav', \
        voicemail_recording_title = 'Gone', voicemail_recording_ms = 3000")
        .await;
    let left = call.hears(1, "You have reached Karan. Please leave a message after the beep.").await;
    assert!(left.contains("Spoken instead.") && !left.contains("<Play>"), "{left}");
    call.api.finish().await;
}

#[tokio::test]
async fn the_time_that_a_call_may_take_ends_with_a_goodbye() {
    let call = Call::answered(json!({})).await;
    call.sql("update streams set began_at = began_at - interval '545 seconds'").await;
    let goodbye = call.hears(1, "One more thing.").await;
    assert!(goodbye.contains("our time is up.") && goodbye.ends_with(HUNG_UP), "{goodbye}");
    assert!(call.model.asked().is_empty());
    assert_eq!(call.outcome().await.2.as_deref(), Some("max_duration"));
    assert_eq!(call.turns().await[1].1, "One more thing.", "it was said");
    call.api.finish().await;
}

#[tokio::test]
async fn the_call_is_held_in_the_leads_language_if_twilio_knows_it() {
    let call = Call::dialed(json!({"language": "en"})).await;
    call.sql("update leads set language = 'Hindi'").await;
    let greeting = call.asks("", &[]).await;
    assert!(greeting.contains("नमस्ते Priyamvada जी, मैं Asha"), "{greeting}");
    assert_eq!(greeting.matches("language=\"hi-IN\"").count(), 2, "{greeting}");
    assert!(call.hears(1, "हैलो?").await.contains("नमस्ते Priyamvada जी"), "it has cut the greeting off");
    assert!(call.hears_nothing(1, 1).await.contains("हैलो, क्या आप लाइन पर हैं?"));

    call.api.finish().await;

    let call = Call::dialed(json!({"language": "en"})).await;
    assert_eq!(call.asks("", &[]).await.matches("language=\"en-IN\"").count(), 2, "a tag that Twilio knows");
    call.api.finish().await;

    let call = Call::dialed(json!({})).await;
    call.sql("update leads set language = 'or-IN'").await;
    assert!(call.asks("", &[]).await.contains("<Connect>"), "it streams, where others speak Odia");
    call.api.finish().await;
}
