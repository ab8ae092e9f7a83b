//! Our own recording of a call: there when the carrier has none, and true to what was said, heard and when.

use std::io::Cursor;
use std::time::Duration;

use serde_json::{Value, json};

use tests::harness::{Lead, Setup, TestApp, eventually};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900151" };
const MINUTES: Duration = Duration::from_secs(150);

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

async fn our_call(app: &TestApp, campaign: i64) -> Value {
    let list = app.get(&format!("/calls?campaign_id={campaign}")).await;
    app.get(&format!("/calls/{}", list["calls"][0]["id"])).await
}

/// Waits until the call's recording is here.
async fn recorded(app: &TestApp, campaign: i64) -> Value {
    eventually(Duration::from_secs(60), || async {
        let call = our_call(app, campaign).await;
        if call["recording"]["status"] == "stored" { Ok(call) } else { Err(call["recording"].to_string()) }
    })
    .await
}

async fn called(medias: usize, attempt: Value) -> (TestApp, i64) {
    let environment = &[("RECORDING_PATIENCE_SECS", "2")];
    let app = TestApp::start_as(Setup { medias, environment, ..Setup::default() }).await;
    app.script(PRIYA.phone, json!({"name": "story", "attempts": [attempt]})).await;
    app.fault(json!({"name": "recording_never"})).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    (app, campaign)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_carrier_has_no_recording_has_ours_in_which_every_turn_is_where_the_transcript_says() {
    let attempt = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
        {"do": "say", "text": "Yes, I am looking for a flat in Whitefield."}, {"do": "wait_for_agent"},
        {"do": "say", "text": "It is for my own family."}, {"do": "wait_for_agent"}, {"do": "hang_up"}]);
    let (app, campaign) = called(1, attempt).await;
    app.campaign_completes(campaign, MINUTES).await;
    let call = recorded(&app, campaign).await;
    let sound = recording(&app, &call).await;
    let carrier = app.carrier_calls().await[0].clone();
    eprintln!("{}\n{:#}", call["recording"], call["transcript"]);
    eprintln!(
        "said {}\nheard {}\nstreams {} answered {}",
        carrier["said"], carrier["heard"], carrier["streams"], carrier["answered_at"]
    );
    eprintln!("human {:?}\nagent {:?}", spans(&sound.human, 400), spans(&sound.agent, 400));
    panic!();
}
