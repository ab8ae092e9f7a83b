//! What the carrier loses, and what dies, changes nothing in who gets called.

use std::time::Duration;

use sandbox::settings::Settings;
use serde_json::{Value, json};

use tests::harness::{Lead, TestApp, eventually};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900101" };
const MINUTES: Duration = Duration::from_secs(150);

fn quick_refusal() -> Value {
    json!({"name": "refuses", "attempts": [[{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
        {"do": "say", "text": "No thank you, I am not interested."}, {"do": "wait_for_agent"}, {"do": "hang_up"}]]})
}

async fn one_lead(app: &TestApp, settings: Value) -> i64 {
    app.script(PRIYA.phone, quick_refusal()).await;
    let campaign = app.create_campaign(settings).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    campaign
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_was_lost_is_found_again_and_never_redialed() {
    let app = TestApp::start().await;
    app.fault(json!({"name": "accepted_no_reply", "value": 10_000})).await;
    let campaign = one_lead(&app, json!({})).await;
    app.campaign_completes(campaign, MINUTES).await;
    assert_eq!(app.carrier_calls().await.len(), 1, "the phone rang once");
    let lead = app.get(&format!("/campaigns/{campaign}/leads")).await["leads"][0].clone();
    assert_eq!(lead["disposition"], "not_interested", "{lead}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_callbacks_are_all_lost_is_settled_by_asking() {
    let app = TestApp::start().await;
    app.fault(json!({"name": "lost_callback", "count": 10})).await;
    let campaign = one_lead(&app, json!({})).await;
    app.campaign_completes(campaign, MINUTES).await;
    assert_eq!(app.carrier_calls().await.len(), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_moment_rings_nobody_twice() {
    let mut app = TestApp::start_with(Settings { rate: 5.0, ..Settings::default() }, &[]).await;
    let mut csv = String::from("name,phone\n");
    for lead in 0..20 {
        let phone = format!("+9199999002{lead:02}");
        app.script(&phone, json!({"name": "busy", "attempts": [[{"do": "ring", "ms": 2000}, {"do": "busy"}]]})).await;
        csv.push_str(&format!("Lead,{phone}\n"));
    }
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload_file(campaign, "leads.csv", csv.into_bytes()).await;
    app.start_campaign(campaign).await;
    for placed in [2, 7, 12] {
        eventually(MINUTES, || async {
            let calls = app.carrier_calls().await.len();
            if calls >= placed { Ok(()) } else { Err(format!("{calls} calls")) }
        })
        .await;
        app.workers[0].kill_9().await;
        app.workers[0].restart();
    }
    app.campaign_completes(campaign, MINUTES).await;
    let mut numbers: Vec<String> = app.carrier_calls().await.iter().map(|call| call["from"].to_string()).collect();
    numbers.sort();
    let rung = numbers.len();
    numbers.dedup();
    assert_eq!((rung, numbers.len()), (20, 20), "every number once");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_for_a_call_that_nobody_expects_is_closed_without_a_word() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = TestApp::start().await;
    // Enough of a WebSocket client to send one start message for an unknown call.
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", app.media_port)).await.unwrap();
    let request = "GET /media HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let start = json!({"event": "start", "stream_sid": "s1", "start": {"stream_sid": "s1", "call_sid": "nobody",
        "account_sid": "sandbox1", "from": "09999900199", "to": "08047112233",
        "media_format": {"encoding": "base64", "sample_rate": "8000"}}})
    .to_string();
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(u16::try_from(start.len()).unwrap().to_be_bytes());
    frame.extend([0, 0, 0, 0]);
    frame.extend(start.as_bytes());
    socket.write_all(&frame).await.unwrap();
    let mut heard = Vec::new();
    tokio::time::timeout(Duration::from_secs(15), socket.read_to_end(&mut heard)).await.expect("it is closed").ok();
    assert!(!String::from_utf8_lossy(&heard).contains("\"media\""), "no audio is sent to a stranger");
    app.finish().await;
}
