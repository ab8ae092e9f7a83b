//! Our own recording of a call: there when the carrier has none, and true to what was said, heard and when.

use std::io::Cursor;
use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};

use crate::resume;
use tests::harness::{Lead, Setup, TestApp, eventually, interested};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900151" };
const MINUTES: Duration = Duration::from_secs(150);
/// Silence within what one side says, in ms.
const PAUSE: usize = 500;
/// Sound that is not final, or not on disk, when a process is killed.
const LOST_MS: i64 = 5_000;

/// The call's recording as the API serves it: the human, the agent.
struct Sound {
    human: Vec<i16>,
    agent: Vec<i16>,
}

async fn recording(app: &TestApp, call: &Value) -> Sound {
    let url = format!("{}/calls/{}/recording", app.api_url, call["id"]);
    let answer = app.client.get(url).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "audio/wav");
    let mut wav = hound::WavReader::new(Cursor::new(answer.bytes().await.unwrap())).unwrap();
    let spec = wav.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8_000, 16));
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let (human, agent) = samples.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
    Sound { human, agent }
}

/// Where there is sound, in ms: pauses up to `pause` are part of it.
fn spans(channel: &[i16], pause: usize) -> Vec<(i64, i64)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (at, _) in channel.iter().enumerate().filter(|(_, sample)| sample.unsigned_abs() > 200) {
        match spans.last_mut() {
            Some((_, end)) if at - *end <= pause * 8 => *end = at,
            _ => spans.push((at, at)),
        }
    }
    spans.into_iter().map(|(from, to)| (from as i64 / 8, to as i64 / 8)).collect()
}

/// Waits until the call's recording is here.
async fn recorded(app: &TestApp, campaign: i64) -> Value {
    eventually(Duration::from_secs(60), || async {
        let call = app.only_call(campaign).await;
        if call["recording"]["status"] == "stored" { Ok(call) } else { Err(call["recording"].to_string()) }
    })
    .await
}

async fn called(carrier: &str, medias: usize, attempt: Value) -> (TestApp, i64) {
    let environment = &[("RECORDING_PATIENCE_SECS", "2")];
    called_with(carrier, Setup { medias, environment, ..Setup::default() }, attempt).await
}

async fn called_with(carrier: &str, setup: Setup<'_>, attempt: Value) -> (TestApp, i64) {
    let app = TestApp::start_as(setup).await;
    app.choose_carrier(carrier).await;
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [attempt]})).await;
    app.fault(json!({"name": "recording_never"})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    (app, campaign)
}

/// The carrier is asked for its own once more in minutes: nobody waits for that here.
async fn finish(app: TestApp) {
    sqlx::query("delete from apalis.jobs where job_type = 'fetch_recording'").execute(&app.db).await.unwrap();
    app.finish().await;
}

/// Milliseconds from the answer, which is where the conversation's clock begins, to a moment.
fn elapsed(carrier: &Value, at: &Value) -> i64 {
    let time = |value: &Value| DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
    (time(at) - time(&carrier["answered_at"])).num_milliseconds()
}

fn turns(transcript: &[Value], role: &str) -> Vec<(i64, i64)> {
    let of_role = transcript.iter().filter(|turn| turn["role"] == role);
    of_role.map(|turn| (turn["started_ms"].as_i64().unwrap(), turn["ended_ms"].as_i64().unwrap())).collect()
}

fn lines(lines: &Value) -> Vec<(i64, i64)> {
    let lines = lines.as_array().unwrap().iter();
    lines.map(|line| (line["began_ms"].as_i64().unwrap(), line["ended_ms"].as_i64().unwrap())).collect()
}

fn pairs(pairs: &Value) -> Vec<(i64, i64)> {
    serde_json::from_value(pairs.clone()).unwrap()
}

/// Each of these times has sound of its own that begins and ends with it.
fn assert_lines_up(what: &str, channel: &[i16], times: &[(i64, i64)]) {
    let sounds = spans(channel, PAUSE);
    for (from, to) in times {
        let found = sounds.iter().any(|(began, ended)| (began - from).abs() <= 100 && (ended - to).abs() <= 100);
        assert!(found, "{what}: nothing from {from} to {to} ms in {sounds:?}; all: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_carrier_has_no_recording_has_ours_in_which_every_turn_is_where_the_transcript_says() {
    let attempt = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
        {"do": "say", "text": "Yes, I am looking for a flat in Whitefield."}, {"do": "wait_for_agent"},
        {"do": "say", "text": "It is for my own family."}, {"do": "wait_for_agent"}, {"do": "hang_up"}]);
    let (app, campaign) = called("exotel", 1, attempt).await;
    app.campaign_completes(campaign, MINUTES).await;
    let call = recorded(&app, campaign).await;
    let sound = recording(&app, &call).await;
    let carrier = app.carrier_calls().await[0].clone();
    let transcript = call["transcript"].as_array().unwrap();
    assert_eq!(turns(transcript, "callee").len(), 2, "{call}");
    assert_eq!(turns(transcript, "agent").len(), 3, "{call}");
    assert_lines_up("human", &sound.human, &turns(transcript, "callee"));
    assert_lines_up("agent", &sound.agent, &turns(transcript, "agent"));
    // The second witness: what left the callee's mouth, and what reached their ear.
    assert_lines_up("said", &sound.human, &lines(&carrier["said"]));
    assert_lines_up("played", &sound.agent, &pairs(&carrier["streams"][0]["agent"]["spans"]));
    assert_eq!(spans(&sound.human, PAUSE).len(), 2, "and nothing else");
    assert_eq!(spans(&sound.agent, PAUSE).len(), 3, "and nothing else");
    let length = call["recording"]["duration_ms"].as_i64().unwrap();
    let line_was_up = elapsed(&carrier, &carrier["streams"][0]["closed_at"]);
    assert!((length - line_was_up).abs() < 500, "{length} of {line_was_up}");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_barge_in_cut_off_is_not_in_the_recording_and_what_follows_is_where_it_was_heard() {
    for carrier in ["exotel", "twilio"] {
        let attempt = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
            {"do": "say", "text": "Yes, go ahead."},
            {"do": "interrupt", "after_ms": 1_800, "text": "Wait, who gave you my number?"},
            {"do": "wait_for_agent"}, {"do": "hang_up"}]);
        let (app, campaign) = called(carrier, 1, attempt).await;
        app.campaign_completes(campaign, MINUTES).await;
        let call = recorded(&app, campaign).await;
        let sound = recording(&app, &call).await;
        let seen = app.carrier_calls().await[0].clone();
        let cut = call["transcript"].as_array().unwrap().iter().any(|turn| turn["interrupted"] == true);
        assert!(cut, "{carrier}: {call}");
        let played = pairs(&seen["streams"][0]["agent"]["spans"]);
        assert!(played.len() >= 3, "{carrier}: {played:?}");
        assert_lines_up(carrier, &sound.agent, &played);
        assert_lines_up(carrier, &sound.human, &lines(&seen["said"]));
        let longest = played.last().unwrap().1 + 100;
        let later = spans(&sound.agent, PAUSE).into_iter().filter(|(from, _)| *from > longest);
        assert_eq!(later.count(), 0, "{carrier}: nothing that was thrown away sounds later");
        finish(app).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_survives_its_process_is_one_recording_with_silence_where_nobody_listened() {
    let (mut app, campaign) = called("exotel", 2, interested()).await;
    resume::agent_answers(&app, 3).await;
    let held = app.holder().await;
    app.medias[held].kill_9().await;
    let killed_at = shared::clock::wall();
    // Whoever starts on this machine finds what it left behind.
    app.medias[held].restart();
    app.campaign_completes(campaign, MINUTES).await;
    eventually(Duration::from_secs(60), || async {
        let pieces: i64 = sqlx::query_scalar("select count(*) from recording_pieces").fetch_one(&app.db).await.unwrap();
        let spooled = std::fs::read_dir(app.logs.path().join("spool")).unwrap().count();
        if pieces == 0 && spooled == 0 { Ok(()) } else { Err(format!("{pieces} pieces, {spooled} files")) }
    })
    .await;
    let call = recorded(&app, campaign).await;
    let sound = recording(&app, &call).await;
    let carrier = app.carrier_calls().await[0].clone();

    let killed = elapsed(&carrier, &json!(killed_at));
    let resumed = elapsed(&carrier, &carrier["streams"][1]["opened_at"]);
    let (before, after): (Vec<Value>, Vec<Value>) = call["transcript"]
        .as_array()
        .unwrap()
        .iter()
        .cloned()
        .partition(|turn| turn["started_ms"].as_i64() < Some(killed));
    for (role, side) in [("callee", &sound.human), ("agent", &sound.agent)] {
        // What was not on disk yet is lost, and no more than that.
        let safe =
            |turns: Vec<(i64, i64)>| turns.into_iter().filter(|(_, to)| *to < killed - LOST_MS).collect::<Vec<_>>();
        let first = safe(turns(&before, role));
        assert!(first.len() >= 2, "{role}: {first:?} before {killed}");
        assert_lines_up(role, side, &first);
        let second: Vec<(i64, i64)> = turns(&after, role).into_iter().filter(|(from, _)| *from > resumed).collect();
        assert!(!second.is_empty(), "{role}: {call}");
        assert_lines_up(role, side, &second);
        let gap = killed as usize * 8..resumed as usize * 8;
        assert!(side[gap].iter().all(|sample| *sample == 0), "{role}: somebody is heard between the streams");
    }
    finish(app).await;
}

/// Of a call's pieces, how many have reached the object store.
async fn pieces(app: &TestApp) -> i64 {
    sqlx::query_scalar("select count(*) from recording_pieces").fetch_one(&app.db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_dies_with_its_process_takes_one_piece_of_the_recording_with_it() {
    let environment = &[("RECORDING_PATIENCE_SECS", "2"), ("SPOOL_PIECE_SECS", "5")];
    let (mut app, campaign) =
        called_with("exotel", Setup { medias: 2, environment, ..Setup::default() }, interested()).await;
    // What was said before is in the store while the call goes on: the greeting, and something of the human's.
    eventually(MINUTES, || async {
        let count = pieces(&app).await;
        if count >= 4 { Ok(()) } else { Err(format!("{count} pieces")) }
    })
    .await;
    let held = app.holder().await;
    let safe: i64 = sqlx::query_scalar("select max(offset_ms + duration_ms) from recording_pieces")
        .fetch_one(&app.db)
        .await
        .unwrap();
    app.medias[held].kill_9().await;
    let spool = app.logs.path().join("spool");
    for entry in std::fs::read_dir(&spool).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    app.medias[held].restart();
    app.campaign_completes(campaign, MINUTES).await;
    let call = recorded(&app, campaign).await;
    let sound = recording(&app, &call).await;
    let before = |turns: Vec<(i64, i64)>| turns.into_iter().filter(|(_, to)| to + 100 < safe).collect::<Vec<_>>();
    let transcript = call["transcript"].as_array().unwrap();
    let (human, agent) = (before(turns(transcript, "callee")), before(turns(transcript, "agent")));
    assert!(safe >= 10_000 && !human.is_empty() && !agent.is_empty(), "{safe}: {human:?} {agent:?}");
    assert_lines_up("human", &sound.human, &human);
    assert_lines_up("agent", &sound.agent, &agent);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_reaches_an_object_store_that_was_away_and_is_played_back_in_parts() {
    let environment = &[("RECORDING_PATIENCE_SECS", "2"), ("SPOOL_PIECE_SECS", "5")];
    let attempt = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
        {"do": "say", "text": "Yes, I am looking for a flat in Whitefield."}, {"do": "wait_for_agent"}, {"do": "hang_up"}]);
    let setup = Setup { environment, recordings_in_s3: true, ..Setup::default() };
    let (app, campaign) = called_with("exotel", setup, attempt).await;
    app.fault(json!({"name": "s3_error", "value": 503, "count": 2, "match": "PUT "})).await;
    app.fault(json!({"name": "s3_cut", "match": "PUT "})).await;
    app.campaign_completes(campaign, MINUTES).await;
    let call = recorded(&app, campaign).await;
    let stored = app.logged(Some("s3"), "object.put");
    assert_eq!(app.logged(Some("s3"), "request.failed").len(), 2);
    assert_eq!(app.logged(Some("s3"), "request.cut").len(), 1);
    assert!(app.logged(Some("s3"), "request.refused").is_empty(), "everything is signed as it should be");
    assert!(stored.len() >= 3, "pieces, and what was made of them: {stored:?}");

    let sound = recording(&app, &call).await;
    let transcript = call["transcript"].as_array().unwrap();
    assert_lines_up("human", &sound.human, &turns(transcript, "callee"));
    assert_lines_up("agent", &sound.agent, &turns(transcript, "agent"));
    let url = format!("{}/calls/{}/recording", app.api_url, call["id"]);
    let whole = app.client.get(&url).send().await.unwrap().bytes().await.unwrap();
    let asked_before = app.logged(Some("s3"), "object.get").len();
    let part = app.client.get(&url).header("range", "bytes=1000-1999").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 1000-1999/{}", whole.len()));
    assert_eq!(part.bytes().await.unwrap(), whole.slice(1_000..2_000));
    assert_eq!(app.logged(Some("s3"), "object.get").len(), asked_before + 1, "the part alone is asked for");

    // One recording and no pieces, until that is deleted.
    let key = format!("story/recordings/1/{}.media.wav", call["id"]);
    eventually(MINUTES, || async {
        let keys = app.world.world.s3.keys();
        if keys == [key.clone()] { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
    assert_eq!(app.client.delete(&url).send().await.unwrap().status(), 204);
    eventually(MINUTES, || async {
        let keys = app.world.world.s3.keys();
        if keys.is_empty() { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
    assert_eq!(app.client.get(&url).send().await.unwrap().status(), 410);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_agent_that_is_not_to_be_recorded_is_recorded_by_nobody() {
    let app = TestApp::start().await;
    let (_, agent) = app.post("/voice-agents", json!({"name": "Off", "settings": {"recording_enabled": false}})).await;
    assert_eq!(agent["settings"]["recording_enabled"], false, "{agent}");
    let attempt = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"}, {"do": "hang_up"}]);
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [attempt]})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1, "voice_agent_id": agent["id"]})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;
    let call = app.only_call(campaign).await;
    assert_eq!((&call["status"], &call["recording"]), (&json!("completed"), &Value::Null), "{call}");
    assert_eq!(std::fs::read_dir(app.logs.path().join("spool")).unwrap().count(), 0);
    assert_eq!(pieces(&app).await, 0);
    app.finish().await;
}
