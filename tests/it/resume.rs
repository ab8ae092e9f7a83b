//! A call survives its media process: killed, told to leave, or cut off from it, the same phone call goes on elsewhere.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use tests::harness::{Lead, PURPOSE, Setup, TestApp, eventually, interested, lines};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900101" };
const MINUTES: Duration = Duration::from_secs(150);
/// So many media processes, and a campaign of one lead that is being called.
async fn calling(medias: usize, environment: &[(&str, &str)], attempt: Value) -> (TestApp, i64) {
    let app = TestApp::start_as(Setup { medias, environment, ..Setup::default() }).await;
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [attempt]})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    (app, campaign)
}

/// Waits until the callee has said so many things and the agent is speaking again.
pub async fn agent_answers(app: &TestApp, said: usize) {
    eventually(MINUTES, || async {
        let lines = app.logged(None, "said");
        let Some(line) = lines.get(said - 1) else { return Err(format!("{} lines", lines.len())) };
        let spoken = app.logged(None, "piece.spoken");
        let speaks = spoken.last().is_some_and(|piece| piece.seq > line.seq);
        if speaks { Ok(()) } else { Err("the agent is silent".into()) }
    })
    .await;
}

/// The one call at the carrier, when it is over.
async fn the_call(app: &TestApp) -> Value {
    let calls = app.carrier_calls().await;
    assert_eq!(calls.len(), 1, "the phone rang once");
    calls[0].clone()
}

/// Waits until the recording, which goes through all streams, is here.
async fn recording(app: &TestApp, campaign: i64) -> Duration {
    eventually(Duration::from_secs(40), || async {
        let recording = app.only_call(campaign).await["recording"].take();
        let stored = recording["duration_ms"].as_u64().filter(|_| recording["status"] == "stored");
        stored.map(Duration::from_millis).ok_or_else(|| recording.to_string())
    })
    .await
}

fn time(value: &Value) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().to_utc()
}

/// From `at` to the next sound of the agent that the callee heard.
fn silence_after(carrier: &Value, at: DateTime<Utc>) -> TimeDelta {
    let answered = time(&carrier["answered_at"]);
    let began = |line: &Value| answered + TimeDelta::milliseconds(line["began_ms"].as_i64().unwrap());
    let heard = carrier["heard"].as_array().unwrap();
    let next = heard.iter().map(began).find(|began| *began > at).unwrap_or_else(|| panic!("silence: {heard:?}"));
    next - at
}

/// What must hold of every call that went on.
async fn went_on(app: &TestApp, campaign: i64, streams: usize) -> (Value, Value) {
    app.campaign_completes(campaign, MINUTES).await;
    let (carrier, call) = (the_call(app).await, app.only_call(campaign).await);
    assert_eq!(carrier["streams"].as_array().unwrap().len(), streams, "{carrier}");
    assert_eq!(call["call_sid"], carrier["sid"], "{call}");
    assert_eq!(call["disposition"], "qualified", "{call}");
    assert_eq!(call["resumptions"], streams - 1, "{call}");
    assert_eq!(call["hangup_cause"], "agent_finished", "{call}");
    let lead = app.get(&format!("/campaigns/{campaign}/leads")).await["leads"][0].clone();
    assert_eq!((&lead["status"], &lead["disposition"]), (&json!("done"), &json!("qualified")), "{lead}");

    // Nothing is said twice, and the turns of all streams are one conversation.
    let agent = lines(&call, "agent");
    assert_eq!(agent.iter().filter(|line| line.contains("Asha")).count(), 1, "one greeting: {agent:?}");
    assert_eq!(lines(&call, "callee").iter().filter(|line| line.as_str() == PURPOSE).count(), 1, "{call}");
    let turns = call["transcript"].as_array().unwrap();
    let starts: Vec<i64> = turns.iter().map(|turn| turn["started_ms"].as_i64().unwrap()).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    let recorded = recording(app, campaign).await;
    let talked = Duration::from_millis(turns.last().unwrap()["ended_ms"].as_u64().unwrap());
    assert!(recorded.abs_diff(talked) < Duration::from_secs(3), "{recorded:?} of {talked:?}");
    (carrier, call)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_in_mid_sentence_and_a_line_that_breaks_cost_the_callee_moments_of_silence() {
    let (mut app, campaign) = calling(2, &[], interested()).await;
    agent_answers(&app, 3).await;
    let held = app.holder().await;
    app.medias[held].kill_9().await;
    let killed_at = shared::clock::wall();
    app.medias[held].restart();

    // And once more, while both ends of the stream are well.
    agent_answers(&app, 5).await;
    app.streams.cut();
    let cut_at = shared::clock::wall();

    let (carrier, call) = went_on(&app, campaign, 3).await;
    for (what, at) in [("killed", killed_at), ("cut", cut_at)] {
        let silence = silence_after(&carrier, at);
        assert!(silence < TimeDelta::seconds(3), "{what}: silent for {silence}");
    }
    let heard = carrier["heard"].as_array().unwrap();
    assert!(heard.iter().any(|line| line["text"] == "Sorry, the line dropped for a moment."), "{heard:?}");
    assert_eq!(carrier["streams"][0]["status"], "failed");
    // Every word of the callee is there, those that were being answered included.
    let said = carrier["said"].as_array().unwrap();
    for line in &said[..5] {
        assert!(lines(&call, "callee").contains(&line["text"].as_str().unwrap().to_owned()), "{line} in {call}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_process_that_is_told_to_leave_hands_its_call_over_without_a_word() {
    let (mut app, campaign) = calling(2, &[("DRAIN_GRACE_SECS", "20")], interested()).await;
    agent_answers(&app, 1).await;
    let held = app.holder().await;
    // Exit 0 within 30 s.
    app.medias[held].stop().await.unwrap();
    app.medias[held].restart();
    assert_eq!(app.only_call(campaign).await["status"], "in_progress");

    let (carrier, _) = went_on(&app, campaign, 2).await;
    assert_eq!(carrier["streams"][0]["status"], "completed", "closed in order");
    let heard = carrier["heard"].as_array().unwrap();
    assert!(!heard.iter().any(|line| line["text"].as_str().unwrap().contains("line dropped")), "{heard:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_while_the_stream_is_down_is_settled_as_usual() {
    let patient = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
        {"do": "say", "text": "Yes, I am looking for a flat in Whitefield."}, {"do": "stay_silent", "ms": 6000}, {"do": "hang_up"}]);
    let (mut app, campaign) = calling(1, &[], patient).await;
    agent_answers(&app, 1).await;
    app.medias[0].kill_9().await;
    app.campaign_completes(campaign, MINUTES).await;

    let (carrier, call) = (the_call(&app).await, app.only_call(campaign).await);
    assert_eq!(carrier["end_cause"], "callee_hung_up", "{carrier}");
    assert_eq!((&call["status"], &call["resumptions"]), (&json!("completed"), &json!(0)), "{call}");
    // Said to a process that is dead, summarised all the same.
    assert_eq!(lines(&call, "callee"), ["Yes, I am looking for a flat in Whitefield."], "{call}");
    assert!(call["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{call}");
    app.medias[0].restart();
    recording(&app, campaign).await;
    app.finish().await;
}

/// The hardest moment: words that nobody has answered, a process that dies, and a database that nobody reaches.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_asks_while_the_database_is_out_of_reach_is_told_by_what_the_carrier_saw() {
    let (mut app, campaign) = calling(2, &[], interested()).await;
    eventually(MINUTES, || async {
        let words: Option<Option<String>> =
            sqlx::query_scalar("select unsettled->>'text' from streams").fetch_optional(&app.db).await.unwrap();
        if words.clone().flatten().as_deref() == Some(PURPOSE) { Ok(()) } else { Err(format!("{words:?}")) }
    })
    .await;
    let held = app.holder().await;
    app.wire.unplug();
    app.medias[held].kill_9().await;
    let asked = eventually(Duration::from_secs(10), || async {
        app.logged(None, "applet.passthru").pop().ok_or_else(|| "nobody asked".to_owned())
    })
    .await;
    assert_eq!(asked.data["answer"], 200, "{asked:?}");
    let closed = app.logged(None, "stream.closed").pop().unwrap();
    let took = time(&asked.at.as_str().into()) - time(&closed.at.as_str().into());
    assert!(took < TimeDelta::seconds(2), "{asked:?} {closed:?}");
    // The next process waits for the database with the callee on the line.
    app.wire.plug_in();
    app.medias[held].restart();
    let (_, call) = went_on(&app, campaign, 2).await;
    assert!(call["answers"]["purpose"].as_str().is_some_and(|purpose| !purpose.is_empty()), "{call}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_store_that_it_hands_a_call_over_breaks_the_socket_instead() {
    let short = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
        {"do": "say", "text": "Yes, I am looking for a flat in Whitefield."}, {"do": "wait_for_agent"}, {"do": "hang_up"}]);
    let (mut app, campaign) = calling(2, &[("DRAIN_GRACE_SECS", "1")], short).await;
    agent_answers(&app, 1).await;
    let held = app.holder().await;
    app.wire.unplug();
    app.medias[held].stop().await.unwrap();
    app.wire.plug_in();
    app.medias[held].restart();
    app.campaign_completes(campaign, MINUTES).await;

    let (carrier, call) = (the_call(&app).await, app.only_call(campaign).await);
    assert_eq!(carrier["streams"][0]["status"], "failed", "{carrier}");
    assert_eq!((&carrier["end_cause"], &call["resumptions"]), (&json!("callee_hung_up"), &json!(1)), "{call}");
    recording(&app, campaign).await;
    app.finish().await;
}
