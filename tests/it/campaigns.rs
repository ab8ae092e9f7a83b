//! A campaign from upload to report, on real processes.

use std::time::Duration;

use sandbox::settings::Settings;
use serde_json::{Value, json};

use tests::harness::{Lead, TestApp, eventually};

const PRIYA: Lead = Lead { name: "Priyamvada", phone: "+919999900101" };
const KABIR: Lead = Lead { name: "Kabirdas", phone: "+919999900102" };
const MINUTES: Duration = Duration::from_secs(120);

/// Rings shortly, answers, and tells what it is asked.
fn interested() -> Value {
    json!([{"do": "ring", "ms": 500}, {"do": "answer"}, {"do": "converse", "answers": {
        "purpose": "It is for my own family to live in.",
        "budget": "Around eighty lakh.",
        "timeline": "Within three months.",
        "location": "Whitefield would be best.",
        "property_type": "A two bedroom apartment.",
        "site_visit": "Yes, Saturday works."
    }}])
}

fn callee(attempts: &[Value]) -> Value {
    json!({"name": "story", "attempts": attempts})
}

async fn lead_of(app: &TestApp, campaign: i64) -> Value {
    app.get(&format!("/campaigns/{campaign}/leads")).await["leads"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_called_talked_to_recorded_summarised_and_reported() {
    let app = TestApp::start().await;
    app.script(PRIYA.phone, callee(&[interested()])).await;
    let campaign = app.create_campaign(json!({})).await;
    let import = app.upload(campaign, &[PRIYA]).await;
    assert_eq!(import["imported"], 1, "{import}");
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;

    let calls = app.calls(campaign).await;
    assert_eq!(calls.len(), 1);
    let call = eventually(Duration::from_secs(30), || async {
        let call = app.calls(campaign).await.remove(0);
        if call["recording"]["status"] == "stored" { Ok(call) } else { Err(call.to_string()) }
    })
    .await;
    assert_eq!(call["status"], "completed", "{call}");
    assert_eq!(call["disposition"], "qualified", "{call}");
    assert!(call["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{call}");
    assert!(call["recording"]["duration_ms"].as_i64().unwrap() > 5_000, "{call}");

    // What the callee heard is what the transcript says.
    let turns = call["transcript"].as_array().unwrap();
    let roles: Vec<&str> = turns.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert!(roles.contains(&"agent") && roles.contains(&"callee"), "{roles:?}");
    let carrier = app.carrier_calls().await;
    assert_eq!(carrier.len(), 1);
    let lead = lead_of(&app, campaign).await;
    assert_eq!(lead["status"], "done");
    assert_eq!(lead["disposition"], "qualified");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_lead_is_dialed_again_after_the_backoff() {
    let app = TestApp::start().await;
    let busy = json!([{"do": "ring", "ms": 300}, {"do": "busy"}]);
    app.script(PRIYA.phone, callee(&[busy, interested()])).await;
    let campaign = app.create_campaign(json!({})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;

    let calls = app.calls(campaign).await;
    let statuses: Vec<&str> = calls.iter().map(|call| call["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["busy", "completed"]);
    assert_eq!(calls[1]["attempt"], 2);
    let at = |call: &Value, field: &str| chrono::DateTime::parse_from_rfc3339(call[field].as_str().unwrap()).unwrap();
    let gap = at(&calls[1], "queued_at") - at(&calls[0], "ended_at");
    assert!(gap >= chrono::TimeDelta::seconds(160), "called again after {gap}, within the backoff less its jitter");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_never_answers_is_exhausted_after_its_attempts() {
    let app = TestApp::start_with(Settings { rate: 30.0, ..Settings::default() }, &[]).await;
    app.script(PRIYA.phone, callee(&[json!([{"do": "no_answer"}])])).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 2})).await;
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    app.campaign_completes(campaign, MINUTES).await;
    assert_eq!(app.carrier_calls().await.len(), 2);
    assert_eq!(lead_of(&app, campaign).await["status"], "exhausted");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_asks_not_to_be_called_is_not_dialed_by_any_later_campaign() {
    let app = TestApp::start().await;
    let refuses = json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "wait_for_agent"},
        {"do": "say", "text": "Please do not call me again, remove my number."}, {"do": "wait_for_agent"}, {"do": "hang_up"}]);
    app.script(PRIYA.phone, callee(&[refuses])).await;
    let first = app.create_campaign(json!({})).await;
    app.upload(first, &[PRIYA]).await;
    app.start_campaign(first).await;
    app.campaign_completes(first, MINUTES).await;
    assert_eq!(lead_of(&app, first).await["disposition"], "do_not_call");
    // It was written down while they spoke, and not when the call was over or summarised.
    let at_once: bool =
        sqlx::query_scalar("select d.created_at < c.ended_at from do_not_call d join calls c on c.id = d.call_id")
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert!(at_once, "the do-not-call list was told after the call");

    app.script(KABIR.phone, callee(&[json!([{"do": "ring", "ms": 300}, {"do": "busy"}])])).await;
    let second = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    app.upload(second, &[PRIYA, KABIR]).await;
    app.start_campaign(second).await;
    app.campaign_completes(second, MINUTES).await;
    let numbers: Vec<String> = app.carrier_calls().await.iter().map(|call| call["from"].to_string()).collect();
    assert_eq!(numbers.iter().filter(|number| number.contains("9999900101")).count(), 1, "{numbers:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clicks_on_start_are_one_campaign_and_its_settings_are_then_closed() {
    let app = TestApp::start_with(Settings { rate: 30.0, ..Settings::default() }, &[]).await;
    app.script(PRIYA.phone, callee(&[json!([{"do": "ring", "ms": 9000}, {"do": "busy"}])])).await;
    let campaign = app.create_campaign(json!({"max_attempts_per_lead": 1})).await;
    let (status, problem) = app.post(&format!("/campaigns/{campaign}/start"), json!({})).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("campaign_without_leads")), "{problem}");
    app.upload(campaign, &[PRIYA]).await;
    app.start_campaign(campaign).await;
    let (status, problem) = app.post(&format!("/campaigns/{campaign}/start"), json!({})).await;
    assert_eq!(status, 409, "{problem}");
    let change = app.client.patch(format!("{}/campaigns/{campaign}", app.api_url)).json(&json!({"name": "Other"}));
    assert_eq!(change.send().await.unwrap().status(), 409);
    let delete = app.client.delete(format!("{}/campaigns/{campaign}", app.api_url)).send().await.unwrap();
    assert_eq!(delete.status(), 409);
    app.campaign_completes(campaign, MINUTES).await;
    assert_eq!(app.carrier_calls().await.len(), 1);
    app.finish().await;
}

/// The seeds' own "Test Workflow", as published: `localhost:8000` is the only thing replaced.
#[tokio::test(flavor = "multi_thread")]
async fn the_published_walk_through_runs_as_published() {
    let app = TestApp::start().await;
    app.script("+919876543210", callee(&[interested()])).await;
    std::fs::write(
        app.logs.path().join("leads.csv"),
        "name,phone,property_type,location,budget\nJohn Doe,9876543210,2BHK Apartment,Bangalore,50L - 75L\n",
    )
    .unwrap();
    let script = r#"set -e
        curl -sf -X POST http://localhost:8000/campaigns \
          -H "Content-Type: application/json" \
          -d '{
            "name": "Test Campaign",
            "max_attempts_per_lead": 3,
            "calling_hours_start": 10,
            "calling_hours_end": 19
          }'
        curl -sf -X POST http://localhost:8000/campaigns/1/upload-csv \
          -F "file=@leads.csv"
        curl -sf -X POST http://localhost:8000/campaigns/1/start
        curl -sf http://localhost:8000/campaigns/1
        curl -sf http://localhost:8000/debug/sessions
    "#
    .replace("http://localhost:8000", &app.api_url);
    let run =
        tokio::process::Command::new("bash").args(["-c", &script]).current_dir(app.logs.path()).output().await.unwrap();
    assert!(run.status.success(), "{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    app.campaign_completes(1, MINUTES).await;
    assert_eq!(lead_of(&app, 1).await["disposition"], "qualified");
    app.finish().await;
}
