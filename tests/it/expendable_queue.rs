//! Domain rows are the truth and a job is only a nudge: what happens to the job tables changes nothing in who gets called.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::settings::Settings;
use serde_json::json;
use tests::harness::{TestApp, eventually};

const MINUTES: Duration = Duration::from_secs(150);
const LEADS: usize = 12;
const ATTEMPTS: usize = 2;

/// A running campaign of people who are always busy, after `placed` calls.
async fn in_the_middle_of_a_campaign(app: &TestApp, placed: usize) -> i64 {
    let mut csv = String::from("name,phone\n");
    for lead in 0..LEADS {
        let phone = format!("+9199999003{lead:02}");
        app.script(&phone, json!({"name": "busy", "attempts": [[{"do": "ring", "ms": 2000}, {"do": "busy"}]]})).await;
        csv.push_str(&format!("Lead,{phone}\n"));
    }
    let settings = json!({"max_attempts_per_lead": ATTEMPTS, "max_concurrent_calls": 4});
    let campaign = app.create_campaign(settings).await;
    app.upload_file(campaign, "leads.csv", csv.into_bytes()).await;
    app.start_campaign(campaign).await;
    calls_reach(app, placed).await;
    campaign
}

async fn calls_reach(app: &TestApp, placed: usize) {
    eventually(MINUTES, || async {
        let calls = app.carrier_calls().await.len();
        if calls >= placed { Ok(()) } else { Err(format!("{calls} calls")) }
    })
    .await;
}

/// Every number was rung as often as it should be, and no more.
async fn everybody_was_called_as_if_nothing_had_happened(app: &TestApp) {
    let mut rung: BTreeMap<String, usize> = BTreeMap::new();
    for call in app.carrier_calls().await {
        *rung.entry(call["from"].to_string()).or_default() += 1;
    }
    assert_eq!(rung.len(), LEADS);
    assert!(rung.values().all(|&times| times == ATTEMPTS), "{rung:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_queue_changes_nothing_in_what_is_called() {
    let app = TestApp::start_with(Settings { rate: 5.0, ..Settings::default() }, &[]).await;
    let campaign = in_the_middle_of_a_campaign(&app, 3).await;
    sqlx::query("delete from apalis.jobs").execute(&app.db).await.unwrap();
    app.campaign_completes(campaign, MINUTES).await;
    everybody_was_called_as_if_nothing_had_happened(&app).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_restored_from_an_earlier_moment_changes_nothing_in_what_is_called() {
    let app = TestApp::start_with(Settings { rate: 5.0, ..Settings::default() }, &[]).await;
    let campaign = in_the_middle_of_a_campaign(&app, 3).await;
    // In production this is the backup of five minutes ago; here it is the one of nine calls ago.
    sqlx::query("create table backup as select * from apalis.jobs").execute(&app.db).await.unwrap();
    calls_reach(&app, 12).await;
    let mut tx = app.db.begin().await.unwrap();
    sqlx::query("delete from apalis.jobs").execute(&mut *tx).await.unwrap();
    let restored = sqlx::query("insert into apalis.jobs select * from backup").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert!(restored.rows_affected() >= 4, "there was a queue to restore");
    app.campaign_completes(campaign, MINUTES).await;
    everybody_was_called_as_if_nothing_had_happened(&app).await;
    app.finish().await;
}
