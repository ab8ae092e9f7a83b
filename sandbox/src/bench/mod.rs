//! Measures the product's media process under many simultaneous simulated calls.
//!
//! Everything is real but the people and the providers: leads are uploaded and dialed through the API, the carrier opens its
//! streams, callees speak and interrupt. The media process' own cost is read from the operating system, what callees
//! experienced from the simulated carrier, and our share of each reply from the stored transcripts.

mod figures;
mod jitter;
mod process;
mod turns;

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

pub use self::turns::{TurnsSettings, run as run_turns};
use self::{
    figures::{Level, percentile},
    jitter::Lateness,
    process::Usage,
};
use crate::demo::Client;

/// Calls ramp up this slowly at worst before a level counts as not reached.
const RAMP_BOUND: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Args)]
pub struct BenchSettings {
    #[arg(long)]
    pub api: String,
    #[arg(long)]
    pub world: String,
    /// Base URL of the media process under test.
    #[arg(long)]
    pub media: String,
    /// Its process id.
    #[arg(long)]
    pub media_pid: u32,
    /// Simultaneous calls, one level after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 25, 100, 200])]
    pub levels: Vec<usize>,
    /// How long each level is measured once all its calls are up.
    #[arg(long, default_value_t = 40)]
    pub seconds: u64,
}

/// Runs every level and prints one table.
///
/// # Errors
///
/// The product does not answer, or a level's calls do not come up.
pub async fn run(settings: BenchSettings) -> anyhow::Result<()> {
    let client = Client::new(&settings.api, &settings.world);
    client.ready(Duration::from_secs(60)).await?;
    // One call first: caches fill, pools connect, and what they cost is not counted as a call's.
    level(&client, &settings, 1, 5, 0.0).await?;
    let idle = Usage::of(settings.media_pid)?;
    let mut out = io::stdout();
    writeln!(out, "{}", Level::headings())?;
    for calls in &settings.levels {
        let measured = level(&client, &settings, *calls, settings.seconds, idle.resident_mib).await?;
        writeln!(out, "{measured}")?;
    }
    Ok(())
}

async fn level(
    client: &Client,
    settings: &BenchSettings,
    calls: usize,
    seconds: u64,
    idle_mib: f64,
) -> anyhow::Result<Level> {
    client.forget_carrier_calls().await?;
    let campaign = client
        .post(
            "/campaigns",
            json!({"name": format!("Bench {calls}"), "max_concurrent_calls": calls, "max_attempts_per_lead": 1, "record": false}),
        )
        .await?["id"]
        .as_i64()
        .context("the new campaign has no id")?;
    // Conversations end by themselves; twice as many people keep the level up while it is measured.
    let people = calls * 2;
    let mut csv = String::from("name,phone\n");
    for person in 0..people {
        let phone = format!("+9170{:04}{person:04}", campaign % 10_000);
        client.script(&phone, script(person)).await?;
        csv.push_str(&format!("Person {person},{phone}\n"));
    }
    client.upload(campaign, "leads.csv", csv).await?;
    client.post(&format!("/campaigns/{campaign}/start"), json!({})).await?;

    let deadline = Instant::now() + RAMP_BOUND;
    loop {
        let live = client.carrier_calls().await?.iter().filter(|call| is_live(call)).count();
        if live * 100 >= calls * 95 {
            break;
        }
        ensure!(Instant::now() < deadline, "only {live} of {calls} calls were up after {RAMP_BOUND:?}");
        sleep(Duration::from_millis(500)).await;
    }
    let lateness = Lateness::of(&settings.media).await?;
    let (before, from) = (Usage::of(settings.media_pid)?, Utc::now());
    let mut resident_mib = before.resident_mib;
    for _ in 0..seconds {
        sleep(Duration::from_secs(1)).await;
        resident_mib = f64::max(resident_mib, Usage::of(settings.media_pid)?.resident_mib);
    }
    let (after, to) = (Usage::of(settings.media_pid)?, Utc::now());
    let lately = Lateness::of(&settings.media).await?;
    let during = client.carrier_calls().await?;
    client.post(&format!("/campaigns/{campaign}/stop"), json!({})).await?;
    let deadline = Instant::now() + Duration::from_secs(180);
    while client.carrier_calls().await?.iter().any(is_live) && Instant::now() < deadline {
        sleep(Duration::from_secs(1)).await;
    }
    let seen = client.carrier_calls().await?;
    let own_share = own_shares(&client.calls(campaign).await?);

    let call_secs: f64 = during.iter().map(|call| overlap_secs(call, from, to)).sum();
    let elapsed = (to - from).num_milliseconds() as f64 / 1_000.0;
    Ok(Level {
        calls: (call_secs / elapsed.max(0.001)).round() as usize,
        cpu_secs_per_call_minute: (after.cpu_secs - before.cpu_secs) / (call_secs / 60.0).max(0.001),
        mib_per_call: (resident_mib - idle_mib) / calls as f64,
        own_share_ms: [percentile(&own_share, 50), percentile(&own_share, 99)],
        response_ms: measured(&seen, "response_ms", [50, 99]),
        barge_in_ms: measured(&seen, "barge_in_ms", [50, 95, 99]),
        lateness_ms: [50.0, 99.0].map(|share| lately.percentile_since(&lateness, share)),
        gaps: total(&seen, "underruns"),
        gap_ms: total(&seen, "underrun_ms"),
        replies: own_share.len(),
    })
}

/// A talkative person: answers, asks back, and every third of them interrupts now and then.
fn script(person: usize) -> Value {
    let mut steps = vec![json!({"do": "ring", "ms": 200}), json!({"do": "answer"}), json!({"do": "wait_for_agent"})];
    let lines = [
        "Yes, I am listening, please go on.",
        "It is for my own family to live in.",
        "Could you tell me a little more about it first?",
        "Around eighty lakh would be possible.",
        "I would have to ask at home about that.",
        "Somewhere near Whitefield would be best.",
        "Within the next six months I think.",
    ];
    for (at, line) in lines.iter().cycle().skip(person % lines.len()).take(12).enumerate() {
        if at % 3 == 2 && person.is_multiple_of(3) {
            steps.push(
                json!({"do": "interrupt", "after_ms": 900, "text": "Wait, one moment please, what did you say?"}),
            );
        } else {
            steps.push(json!({"do": "say", "text": line}));
        }
        steps.push(json!({"do": "wait_for_agent", "max_ms": 8_000}));
    }
    steps.push(json!({"do": "hang_up"}));
    json!({"name": "bench", "attempts": [steps]})
}

fn is_live(call: &Value) -> bool {
    !call["answered_at"].is_null() && call["ended_at"].is_null()
}

/// How long the call was up between two moments.
fn overlap_secs(call: &Value, from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    let at = |field: &str| call[field].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    let Some(answered) = at("answered_at") else { return 0.0 };
    let ended = at("ended_at").unwrap_or(to);
    ((ended.min(to) - answered.max(from)).num_milliseconds().max(0)) as f64 / 1_000.0
}

fn streams(calls: &[Value]) -> impl Iterator<Item = &Value> {
    calls.iter().filter_map(|call| call["streams"].as_array()).flatten()
}

fn measured<const N: usize>(calls: &[Value], field: &str, shares: [usize; N]) -> [Option<u64>; N] {
    let mut all: Vec<u64> =
        streams(calls).filter_map(|stream| stream[field].as_array()).flatten().filter_map(Value::as_u64).collect();
    all.sort_unstable();
    shares.map(|share| percentile(&all, share))
}

fn total(calls: &[Value], field: &str) -> u64 {
    streams(calls).filter_map(|stream| stream[field].as_u64()).sum()
}

fn own_shares(calls: &[Value]) -> Vec<u64> {
    let mut all: Vec<u64> = calls
        .iter()
        .filter_map(|call| call["transcript"].as_array())
        .flatten()
        .filter_map(|turn| turn["stages"]["own_share_ms"].as_u64())
        .collect();
    all.sort_unstable();
    all
}
