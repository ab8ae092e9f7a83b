//! A deploy restarts every process, one after the other, under load: nothing is dropped, and each exits 0 within 30 s.

use std::time::Duration;

use sandbox::settings::Settings;
use serde_json::{Value, json};
use tests::harness::{Setup, TestApp, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MINUTES: Duration = Duration::from_secs(170);
const LEADS: usize = 6;

fn converses() -> Value {
    json!({"name": "converses", "attempts": [[{"do": "ring", "ms": 500}, {"do": "answer"}, {"do": "converse", "answers": {
        "purpose": "It is for my own family to live in.", "budget": "Around eighty lakh.", "timeline": "Within three months.",
        "location": "Whitefield would be best.", "property_type": "A two bedroom apartment.", "site_visit": "Yes, Saturday works."}}]]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_no_call_and_no_request() {
    let mut app = TestApp::start_as(Setup {
        sandbox: Settings { rate: 5.0, tones: true, ..Settings::default() },
        workers: 2,
        medias: 2,
        // A platform grants 30 s; calls that are longer than this are handed over.
        environment: &[("DRAIN_GRACE_SECS", "8")],
        ..Setup::default()
    })
    .await;
    let mut csv = String::from("name,phone\n");
    for lead in 0..LEADS {
        let phone = format!("+9199999004{lead:02}");
        app.script(&phone, converses()).await;
        csv.push_str(&format!("Lead,{phone}\n"));
    }
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1, "max_concurrent_calls": 6})).await;
    app.upload_file(campaign, "leads.csv", csv.into_bytes()).await;
    app.start_campaign(campaign).await;
    eventually(MINUTES, || async {
        let answered = app.carrier_calls().await.iter().filter(|call| !call["answered_at"].is_null()).count();
        if answered >= 4 { Ok(()) } else { Err(format!("{answered} calls are up")) }
    })
    .await;

    for index in 0..2 {
        app.workers[index].stop().await.unwrap();
        app.workers[index].restart();
        app.medias[index].stop().await.unwrap();
        app.medias[index].restart();
    }
    // A request that is half sent when SIGTERM comes is still answered.
    let address = app.api_url.trim_start_matches("http://").to_owned();
    let body = r#"{"name": "Made while leaving"}"#;
    let (first, second) = body.split_at(10);
    let mut request = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /campaigns HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    request.write_all(head.as_bytes()).await.unwrap();
    // Until it asks for the body it may not have taken the connection at all.
    let mut asks = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    request.read_exact(&mut asks).await.unwrap();
    assert!(asks.starts_with(b"HTTP/1.1 100"), "{asks:?}");
    request.write_all(first.as_bytes()).await.unwrap();
    let leaving = async {
        app.api.stop().await.unwrap();
        app.api.restart();
    };
    let late = async {
        eventually(Duration::from_secs(20), || async {
            match TcpStream::connect(&address).await {
                Ok(_) => Err("the api still takes connections".to_owned()),
                Err(_) => Ok(()),
            }
        })
        .await;
        request.write_all(second.as_bytes()).await.unwrap();
        let mut answer = String::new();
        request.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let ((), answer) = tokio::join!(leaving, late);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");

    eventually(Duration::from_secs(30), || async {
        match app.client.get(format!("{}/ready", app.api_url)).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    app.campaign_completes(campaign, MINUTES).await;
    assert_eq!(app.carrier_calls().await.len(), LEADS, "every phone rang once");
    let leads = app.get(&format!("/campaigns/{campaign}/leads?limit=100")).await;
    let dispositions: Vec<&str> =
        leads["leads"].as_array().unwrap().iter().filter_map(|lead| lead["disposition"].as_str()).collect();
    assert_eq!(dispositions, vec!["qualified"; LEADS], "{leads}");
    app.finish().await;
}
