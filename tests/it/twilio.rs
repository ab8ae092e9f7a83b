//! The other carrier: the same campaign, the same conversation, the same promises through Twilio.

use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, PURPOSE, Setup, TestApp, eventually, interested, jingle, lines, words};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900101" };
const MINUTES: Duration = Duration::from_secs(150);

/// A campaign of one lead that is being called through Twilio.
async fn calling(setup: Setup<'_>, attempts: Value) -> (TestApp, i64) {
    let app = TestApp::start_as(setup).await;
    app.choose_carrier("twilio").await;
    app.script(PRIYA.phone, json!({"name": "story", "attempts": attempts})).await;
    let most = attempts.as_array().unwrap().len();
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": most})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    (app, campaign)
}

/// Every word that the callee heard of the agent, in one line without punctuation.
fn heard(carrier: &Value) -> String {
    let lines = carrier["heard"].as_array().unwrap();
    plain(lines.iter().map(|line| line["text"].as_str().unwrap()))
}

fn plain<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().flat_map(words).collect::<Vec<_>>().join(" ")
}

async fn recorded(app: &TestApp, campaign: i64) -> u64 {
    eventually(Duration::from_secs(60), || async {
        let recording = app.calls(campaign).await[0]["recording"].take();
        let stored = recording["duration_ms"].as_u64().filter(|_| recording["status"] == "stored");
        stored.ok_or_else(|| recording.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_lead_is_called_again_and_talked_to_and_both_accounts_of_it_agree() {
    let busy = json!([{"do": "ring", "ms": 300}, {"do": "busy"}]);
    let (app, campaign) = calling(Setup::default(), json!([busy, interested()])).await;
    assert_eq!(unsigned_stream(&app).await, 401);
    app.campaign_completes(campaign, MINUTES).await;

    let carrier = app.carrier_calls().await;
    assert_eq!(carrier.len(), 2, "{carrier:?}");
    assert!(carrier.iter().all(|call| call["carrier"] == "twilio"));
    let mut ours = app.calls(campaign).await;
    ours.sort_by_key(|call| call["attempt"].as_i64());
    for (call, seen) in ours.iter().zip(&carrier) {
        assert_eq!((&call["call_sid"], &call["carrier"]), (&seen["sid"], &json!("twilio")));
    }
    assert_eq!((&ours[0]["status"], &ours[1]["status"]), (&json!("busy"), &json!("completed")));
    let (call, seen) = (&ours[1], &carrier[1]);
    assert_eq!(call["disposition"], "qualified", "{call}");
    assert_eq!(call["answered_by"], "human", "{call}");
    let agent = lines(call, "agent");
    assert_eq!(plain(agent.iter().map(String::as_str)), heard(seen));
    assert!(lines(call, "callee").contains(&PURPOSE.to_owned()), "{call}");
    let stream = &seen["streams"][0];
    assert_eq!((&stream["bad_messages"], &stream["underruns"]), (&json!(0), &json!(0)), "{stream}");
    let recorded = eventually(Duration::from_secs(60), || async {
        let calls = app.calls(campaign).await;
        let recording = calls.iter().find(|call| call["attempt"] == 2).map(|call| call["recording"].clone());
        let recording = recording.unwrap_or_default();
        let stored = recording["duration_ms"].as_u64().filter(|_| recording["status"] == "stored");
        stored.ok_or_else(|| recording.to_string())
    })
    .await;
    let talked = call["transcript"].as_array().unwrap().last().unwrap()["ended_ms"].as_u64().unwrap();
    assert!(recorded.abs_diff(talked) < 3_000, "{recorded} ms of {talked} ms");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_whom_the_carrier_takes_for_a_machine_has_talked_all_the_same() {
    let app = TestApp::start().await;
    app.choose_carrier("twilio").await;
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [interested()]})).await;
    app.fault(json!({"name": "wrong_machine"})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 2})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;
    let told = app.logged(Some("twilio"), "callback.sent");
    assert!(told.iter().any(|entry| entry.data["fields"]["AnsweredBy"] == "machine_start"), "{told:?}");
    let call = app.only_call(campaign).await;
    assert_eq!((&call["disposition"], &call["answered_by"]), (&json!("qualified"), &json!("human")), "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_next_document_is_lost_ends_with_a_word() {
    let app = TestApp::start().await;
    app.choose_carrier("twilio").await;
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [interested()]})).await;
    app.fault(json!({"name": "twiml_lost"})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;
    let carrier = app.carrier_calls().await.remove(0);
    assert!(heard(&carrier).contains("something went wrong on our side"), "{carrier}");
    assert_eq!(carrier["end_cause"], "agent_hung_up", "{carrier}");
    app.finish().await;
}

/// What a stream that says it is Twilio's, and is not signed, is answered with.
async fn unsigned_stream(app: &TestApp) -> u16 {
    let upgrade = app.client.get(format!("http://127.0.0.1:{}/twilio/media", app.media_port));
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("x-twilio-signature", "bm90IFR3aWxpbydz"),
    ];
    let upgrade = headers.into_iter().fold(upgrade, |upgrade, (name, value)| upgrade.header(name, value));
    upgrade.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_barge_in_the_transcript_holds_what_was_heard_and_no_more() {
    // The greeting is heard out: what it discloses must be.
    let interrupts = json!([{"do": "ring", "ms": 300}, {"do": "answer"},
        {"do": "wait_for_agent"}, {"do": "say", "text": "Yes, go ahead."},
        {"do": "interrupt", "after_ms": 1800, "text": "Wait, who gave you my number?"}, {"do": "wait_for_agent"}, {"do": "hang_up"}]);
    let (app, campaign) = calling(Setup::default(), json!([interrupts])).await;
    app.campaign_completes(campaign, MINUTES).await;
    let (carrier, ours) = (app.carrier_calls().await, app.calls(campaign).await);
    let stream = &carrier[0]["streams"][0];
    assert!(stream["clears"].as_u64() > Some(0), "{stream}");
    let turns = ours[0]["transcript"].as_array().unwrap();
    let cut = turns.iter().find(|turn| turn["interrupted"] == true).unwrap_or_else(|| panic!("{turns:?}"));
    let (cut, heard) = (plain([cut["text"].as_str().unwrap()]), heard(&carrier[0]));
    let greeting = plain([turns[0]["text"].as_str().unwrap()]);
    let heard =
        heard.strip_prefix(&greeting).unwrap_or_else(|| panic!("the greeting is whole: {heard:?}")).trim_start();
    // A word at the cut may be heard by half.
    let shared = cut.split(' ').zip(heard.split(' ')).take_while(|(ours, theirs)| ours == theirs).count();
    let words = cut.split(' ').count();
    assert!(words > 2 && words - shared <= 1, "we say {cut:?}, the callee heard {heard:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_survives_the_death_of_its_media_process() {
    let (mut app, campaign) = calling(Setup { medias: 2, ..Setup::default() }, json!([interested()])).await;
    eventually(MINUTES, || async {
        let said = app.logged(None, "said").len();
        if said >= 3 { Ok(()) } else { Err(format!("{said} lines")) }
    })
    .await;
    let held = app.holder().await;
    app.medias[held].kill_9().await;
    app.medias[held].restart();
    app.campaign_completes(campaign, MINUTES).await;

    let (carrier, ours) = (app.carrier_calls().await, app.calls(campaign).await);
    assert_eq!((carrier.len(), ours.len()), (1, 1), "the phone rang once");
    assert_eq!(carrier[0]["streams"].as_array().unwrap().len(), 2, "{}", carrier[0]);
    assert_eq!((&ours[0]["disposition"], &ours[0]["resumptions"]), (&json!("qualified"), &json!(1)), "{}", ours[0]);
    assert_eq!(carrier[0]["end_cause"], "agent_hung_up", "the verb behind the last stream");
    let greetings = lines(&ours[0], "agent").iter().filter(|line| line.contains("Asha")).count();
    assert_eq!(greetings, 1, "{}", ours[0]);
    recorded(&app, campaign).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_asked_for_and_the_phone_rings_once() {
    let app = TestApp::start().await;
    app.choose_carrier("twilio").await;
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [interested()]})).await;
    app.fault(json!({"name": "accepted_no_reply", "value": 100})).await;
    app.fault(json!({"name": "lost_callback", "count": 2})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;
    let (carrier, ours) = (app.carrier_calls().await, app.calls(campaign).await);
    assert_eq!((carrier.len(), ours.len()), (1, 1));
    assert_eq!(ours[0]["call_sid"], carrier[0]["sid"]);
    assert_eq!(ours[0]["disposition"], "qualified", "{}", ours[0]);
    recorded(&app, campaign).await;
    app.finish().await;
}

/// The same, for a voice agent that gathers.
async fn gathering(settings: Value, steps: Value) -> (TestApp, i64) {
    let app = TestApp::start().await;
    app.choose_carrier("twilio").await;
    let mut own = json!({"gathered_speech": true});
    own.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let (status, agent) = app.post("/voice-agents", json!({"name": "Gatherer", "settings": own})).await;
    assert!(status.is_success(), "{agent}");
    let mut attempt = vec![json!({"do": "ring", "ms": 300}), json!({"do": "answer"})];
    attempt.extend(steps.as_array().unwrap().clone());
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [attempt]})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1, "voice_agent_id": agent["id"]})).await;
    app.upload(campaign, &[PRIYA]).await;
    (app, campaign)
}

/// No stream, no error in what Twilio was told, and our transcript is what the callee heard.
async fn was_gathered(app: &TestApp, campaign: i64) -> (Value, Value) {
    let (carrier, ours) = (app.carrier_calls().await.remove(0), app.only_call(campaign).await);
    assert!(carrier["streams"].as_array().unwrap().is_empty(), "{carrier}");
    let refused = app.logged(None, "twiml.refused");
    assert!(refused.is_empty(), "{refused:?}");
    let agent = lines(&ours, "agent");
    assert_eq!(plain(agent.iter().map(String::as_str)), heard(&carrier));
    (carrier, ours)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_agent_that_gathers_speech_talks_turn_by_turn_and_obeys() {
    let steps = json!([{"do": "wait_for_agent"}, {"do": "say", "text": "Who is this?"}, {"do": "wait_for_agent"},
        {"do": "say", "text": "Do not call me again."}, {"do": "wait_for_agent"}, {"do": "stay_silent", "ms": 9000}]);
    let (app, campaign) = gathering(json!({}), steps).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;

    let (carrier, ours) = was_gathered(&app, campaign).await;
    assert_eq!(carrier["end_cause"], "agent_hung_up", "{carrier}");
    assert_eq!(lines(&ours, "callee"), ["Who is this?", "Do not call me again."], "{ours}");
    assert_eq!(ours["disposition"], "do_not_call", "{ours}");
    let listed: i64 = sqlx::query_scalar("select count(*) from do_not_call").fetch_one(&app.db).await.unwrap();
    assert_eq!(listed, 1);
    recorded(&app, campaign).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gathered_call_notes_answers_and_a_callback_though_questions_are_asked_twice() {
    let busy = "Sorry, I am busy now. Please call me back tomorrow at five.";
    let steps = json!([{"do": "wait_for_agent"}, {"do": "say", "text": "Yes, go ahead."}, {"do": "wait_for_agent"},
        {"do": "say", "text": "Yes, go ahead."}, {"do": "wait_for_agent"}, {"do": "say", "text": PURPOSE}, {"do": "wait_for_agent"},
        {"do": "say", "text": busy}, {"do": "wait_for_agent"}, {"do": "stay_silent", "ms": 9000}]);
    let (app, campaign) = gathering(json!({}), steps).await;
    app.fault(json!({"name": "unsure_words"})).await;
    app.fault(json!({"name": "lost_answer", "count": 9})).await;
    app.start_campaign(campaign).await;
    let noted: (Value, Option<String>) = eventually(MINUTES, || async {
        let query = "select answers, callback_text from conversations join calls on id = call_id
            where calls.status = 'completed' and summary_status = 'completed'";
        let row = sqlx::query_as(query).fetch_optional(&app.db).await.unwrap();
        row.ok_or_else(|| "no summary".to_owned())
    })
    .await;
    assert!(noted.0["purpose"].is_string() && noted.1.is_some(), "{noted:?}");
    let (carrier, ours) = was_gathered(&app, campaign).await;
    assert_eq!(carrier["end_cause"], "agent_hung_up", "{carrier}");
    assert_eq!(lines(&ours, "callee"), ["Yes, go ahead.", "Yes, go ahead.", PURPOSE, busy], "{ours}");
    assert!(lines(&ours, "agent")[1].starts_with("Sorry, I did not catch that."), "{ours}");
    assert_eq!(ours["disposition"], "callback_requested", "{ours}");
    let lead: String = sqlx::query_scalar("select status from leads").fetch_one(&app.db).await.unwrap();
    assert_eq!(lead, "callback_scheduled");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gathered_call_goes_on_with_a_human_when_zero_is_pressed() {
    let steps = json!([{"do": "wait_for_agent"}, {"do": "say", "text": "Yes, go ahead."}, {"do": "wait_for_agent"},
        {"do": "say", "text": PURPOSE}, {"do": "wait_for_agent"}, {"do": "dtmf", "digits": "0"}, {"do": "wait_for_agent"},
        {"do": "stay_silent", "ms": 20_000}]);
    let (app, campaign) = gathering(json!({"transfer_to": ["+919811100001"]}), steps).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;

    let (carrier, ours) = was_gathered(&app, campaign).await;
    assert_eq!(carrier["transferred_to"], json!(["+919811100001"]), "{carrier}");
    assert_eq!(lines(&ours, "agent").last().unwrap(), "One moment please, I am connecting you.");
    let events = ours["events"].as_array().unwrap();
    for kind in ["key_pressed", "transfer_requested", "transferred"] {
        assert!(events.iter().any(|event| event["kind"] == kind), "{kind}: {events:?}");
    }
    let whispered = app.logged(None, "dial.whispered");
    let [whispered] = &whispered[..] else { panic!("{whispered:?}") };
    assert!(whispered.data["texts"][0].as_str().unwrap().contains("Purpose: "), "{whispered:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_on_a_gathered_call_is_played_the_campaigns_recording() {
    let greeting = "You have reached Priya. Please leave a message after the beep.";
    let steps = json!([{"do": "voicemail", "greeting": greeting, "beep_ms": 400, "record_ms": 20_000}]);
    let (app, campaign) = gathering(json!({}), steps).await;
    let file = reqwest::multipart::Part::bytes(jingle()).file_name("Festive offer.wav");
    let url = format!("{}/campaigns/{campaign}/voicemail-recording", app.api_url);
    let form = reqwest::multipart::Form::new().part("file", file);
    let answer = app.client.put(url).multipart(form).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;

    let call = app.only_call(campaign).await;
    assert_eq!((&call["disposition"], &call["answered_by"]), (&json!("voicemail"), &json!("machine")), "{call}");
    assert_eq!(call["hangup_cause"], "machine_answered", "{call}");
    assert_eq!(lines(&call, "agent").last().unwrap(), "[Recording: Festive offer]", "{call}");
    let played = app.logged(None, "play.ended");
    let [played] = &played[..] else { panic!("{played:?}") };
    assert_eq!(played.data["ms"], 3_000);
    assert!(app.logged(None, "twiml.refused").is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_advisor_is_told_who_is_put_through_before_they_are_connected() {
    let app = TestApp::start().await;
    app.choose_carrier("twilio").await;
    let settings = json!({"transfer_to": ["+919811100001"]});
    let (_, agent) = app.post("/voice-agents", json!({"name": "With an advisor", "settings": settings})).await;
    let asks = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"}, {"do": "say", "text": "Yes, go ahead."},
        {"do": "wait_for_agent"}, {"do": "say", "text": PURPOSE}, {"do": "wait_for_agent"}, {"do": "dtmf", "digits": "0"},
        {"do": "wait_for_agent"}, {"do": "stay_silent", "ms": 20_000}]);
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [asks]})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1, "voice_agent_id": agent["id"]})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;

    let whispered = app.logged(None, "dial.whispered");
    let [whispered] = &whispered[..] else { panic!("{whispered:?}") };
    let text = whispered.data["texts"][0].as_str().unwrap();
    assert!(text.starts_with("Priyamvada, from your campaign"), "{text}");
    assert!(text.contains("Purpose: "), "{text}");
    let call = app.calls(campaign).await.remove(0);
    let events = call["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["kind"] == "transferred"), "{events:?}");
    app.finish().await;
}
