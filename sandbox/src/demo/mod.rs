//! The person at the other end of the product: uploads the default list, starts a campaign through the public API, watches
//! it, and in the end holds the product's account of it against what the simulated carrier saw.
//!
//! It speaks HTTP alone, as any integrator would, and knows nothing of the product's tables.

mod client;
mod compare;
mod progress;
mod report;

use std::{borrow::Cow, io::IsTerminal, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

pub use self::client::Client;
use self::{progress::Progress, report::Report};
use crate::{callee::Language, scenarios};

/// How long the whole campaign may take by the wall clock.
const CAMPAIGN_BOUND: Duration = Duration::from_secs(20 * 60);
/// How long recordings may trickle in after the last call.
const AFTERMATH_BOUND: Duration = Duration::from_secs(90);

#[derive(Debug, Clone, Args)]
pub struct DemoSettings {
    /// Base URL of the product's API.
    #[arg(long)]
    pub api: String,
    /// Base URL of the sandbox that plays the outside world.
    #[arg(long)]
    pub world: String,
    /// Where the processes' logs are, to be named when something is wrong.
    #[arg(long)]
    pub logs: PathBuf,
    /// Who carries the calls: `exotel` or `twilio`.
    #[arg(long, default_value = "exotel", value_parser = ["exotel", "twilio"])]
    pub carrier: String,
    /// What the voice agent and everybody who is called speak: `en` (but for those who prefer Hindi), or `hi`.
    #[arg(long, default_value = "en", value_parser = ["en", "hi"])]
    pub language: String,
    /// Said by `bin/demo`; the driver itself always ends with the campaign.
    #[arg(long)]
    pub once: bool,
}

/// Runs the campaign. `false`: it finished, and differs from what the carrier saw.
///
/// # Errors
///
/// The product does not answer, refuses what it should accept, or does not finish in time.
pub async fn run(settings: DemoSettings) -> anyhow::Result<bool> {
    let client = Client::new(&settings.api, &settings.world);
    let began = Instant::now();
    client.ready(Duration::from_secs(60)).await.with_context(|| {
        format!("the API did not become ready; its log is {}", settings.logs.join("api.log").display())
    })?;
    client.patch("/account", json!({"carrier": settings.carrier})).await?;
    let mut campaign = json!({"name": "Demo: Bengaluru enquiries", "max_concurrent_calls": 20});
    let mut list = Cow::Borrowed(scenarios::LEADS_CSV);
    if settings.language == "hi" {
        campaign["voice_agent_id"] = in_hindi(&client).await?;
        // A lead's own language goes before the voice agent's.
        list = Cow::Owned(scenarios::leads_csv_preferring("Hindi"));
    }
    let campaign = client.post("/campaigns", campaign).await?;
    let id = campaign["id"].as_i64().context("the new campaign has no id")?;
    let import = client.upload(id, "leads.csv", list).await?;
    client.post(&format!("/campaigns/{id}/start"), json!({})).await?;

    let mut progress = Progress::new(std::io::stdout().is_terminal());
    progress.uploaded(&import)?;
    let campaign = watch(&client, id, &mut progress).await.with_context(|| {
        format!("the campaign did not finish; the processes' logs are in {}", settings.logs.display())
    })?;
    progress.finished()?;

    let calls = client.calls(id).await?;
    let leads = client.leads(id).await?;
    let seen = client.carrier_calls().await?;
    let differences = compare::differences(&calls, &leads, &seen);
    Report {
        campaign: &campaign,
        import: &import,
        leads: &leads,
        calls: &calls,
        seen: &seen,
        elapsed: began.elapsed(),
    }
    .print(&differences)?;
    Ok(differences.is_empty())
}

/// Lets everybody who is called speak Hindi, and makes a voice agent that does. Its id.
async fn in_hindi(client: &Client) -> anyhow::Result<Value> {
    for (phone, mut script) in scenarios::scripts() {
        script.language = Language::Hindi;
        client.script(&phone, serde_json::to_value(script)?).await?;
    }
    let agent = json!({"name": "Asha, in Hindi", "settings": {"language": "hi-IN"}});
    let mut agent = client.post("/voice-agents", agent).await?;
    Ok(agent["id"].take())
}

async fn watch(client: &Client, id: i64, progress: &mut Progress) -> anyhow::Result<Value> {
    let deadline = Instant::now() + CAMPAIGN_BOUND;
    let campaign = loop {
        let campaign = client.get(&format!("/campaigns/{id}")).await?;
        progress.show(&campaign, &client.leads(id).await?, &client.carrier_calls().await?)?;
        match campaign["status"].as_str() {
            Some("completed") => break campaign,
            Some("paused") => bail!("the campaign is paused: {}", campaign["pause_reason"]),
            Some("canceled") => bail!("somebody stopped the campaign"),
            _ => {}
        }
        if Instant::now() > deadline {
            bail!("not finished after {CAMPAIGN_BOUND:?}: {campaign}");
        }
        sleep(Duration::from_secs(1)).await;
    };
    // The last recordings come after the last call.
    let deadline = Instant::now() + AFTERMATH_BOUND;
    while Instant::now() < deadline {
        let calls = client.calls(id).await?;
        if !calls.iter().any(compare::lacks_recording) {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    Ok(campaign)
}
