//! Measures turn-taking: how the agent behaves towards people who pause, dictate, acknowledge, interrupt and stay silent, over
//! lines with noise, echo, ringback and music.
//!
//! Every person of [`scenario`] is a real call of a campaign whose voice agent opens with the scenario's question. What
//! happened is read from the simulated carrier's own clock ([`judge`]).

mod judge;
mod scenario;

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::{
    judge::{Call, Findings},
    scenario::{Scenario, script, suite},
};
use super::figures::percentile;
use crate::{deepgram, demo::Client, elevenlabs, openai};

/// All calls of the suite are over by then.
const BOUND: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Args)]
pub struct TurnsSettings {
    #[arg(long)]
    pub api: String,
    #[arg(long)]
    pub world: String,
    /// How many calls each person of a scenario makes.
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,
    /// Calls at a time.
    #[arg(long, default_value_t = 50)]
    pub calls: usize,
    /// Only scenarios whose name contains this.
    #[arg(long)]
    pub only: Option<String>,
    /// Prints every call that went wrong, with what was said and heard.
    #[arg(long)]
    pub explain: bool,
    /// Stands above the table.
    #[arg(long, default_value = "")]
    pub title: String,
}

/// Runs the suite and prints one table.
///
/// # Errors
///
/// The product does not answer, or calls do not end.
pub async fn run(settings: TurnsSettings) -> anyhow::Result<()> {
    let client = Client::new(&settings.api, &settings.world);
    client.ready(Duration::from_secs(60)).await?;
    client.forget_carrier_calls().await?;
    let scenarios: Vec<Scenario> = suite()
        .into_iter()
        .filter(|scenario| settings.only.as_ref().is_none_or(|only| scenario.name.contains(only)))
        .collect();
    ensure!(!scenarios.is_empty(), "no scenario has such a name");
    for (at, scenario) in scenarios.iter().enumerate() {
        start(&client, &settings, at, scenario).await?;
    }
    let expected: usize = scenarios.iter().map(|scenario| scenario.people.len() * settings.repeat).sum();
    let deadline = Instant::now() + BOUND;
    let calls = loop {
        let calls = client.carrier_calls().await?;
        let over = calls.iter().filter(|call| !call["ended_at"].is_null()).count();
        if over >= expected {
            break calls;
        }
        ensure!(Instant::now() < deadline, "only {over} of {expected} calls were over after {BOUND:?}");
        sleep(Duration::from_secs(1)).await;
    };
    print(&settings, &scenarios, &calls)
}

/// The number that the person of a scenario has.
fn phone(scenario: usize, person: usize) -> String {
    format!("+9181{scenario:04}{person:04}")
}

async fn start(client: &Client, settings: &TurnsSettings, at: usize, scenario: &Scenario) -> anyhow::Result<()> {
    let tools: Vec<Value> = scenario
        .tool_ms
        .iter()
        .map(|ms| {
            json!({"name": "check_availability", "description": "Whether a flat is still free.",
                "url": format!("{}/__sandbox/tool?ms={ms}", settings.world),
                "arguments": [{"name": "flat", "description": "its number"}]})
        })
        .collect();
    let agent = client
        .post(
            "/voice-agents",
            json!({"name": scenario.name, "settings": {"greeting": scenario.greeting, "tools": tools}}),
        )
        .await?["id"]
        .as_i64()
        .context("the new voice agent has no id")?;
    let people = scenario.people.len() * settings.repeat;
    let at_once = (settings.calls * people).div_ceil(total_people(settings)).max(1);
    let campaign = client
        .post(
            "/campaigns",
            json!({"name": scenario.name, "voice_agent_id": agent, "max_concurrent_calls": at_once,
                "max_attempts_per_lead": 1, "record": false}),
        )
        .await?["id"]
        .as_i64()
        .context("the new campaign has no id")?;
    let mut csv = String::from("name,phone\n");
    for person in 0..people {
        let phone = phone(at, person);
        client.script(&phone, script(scenario, person)).await?;
        csv.push_str(&format!("Person {person},{phone}\n"));
    }
    client.upload(campaign, "leads.csv", csv).await?;
    client.post(&format!("/campaigns/{campaign}/start"), json!({})).await?;
    Ok(())
}

fn total_people(settings: &TurnsSettings) -> usize {
    suite()
        .iter()
        .filter(|scenario| settings.only.as_ref().is_none_or(|only| scenario.name.contains(only)))
        .map(|scenario| scenario.people.len() * settings.repeat)
        .sum::<usize>()
        .max(1)
}

fn print(settings: &TurnsSettings, scenarios: &[Scenario], calls: &[Value]) -> anyhow::Result<()> {
    let mut out = io::stdout();
    // The least that any reply takes: a final transcript, the first token, the first audio.
    let providers_ms = deepgram::Settings::default().final_latency_ms
        + openai::Settings::default().ttft_ms
        + elevenlabs::Settings::default().ttfb_ms;
    let title = if settings.title.is_empty() { "as it is" } else { &settings.title };
    writeln!(out, "{title} (providers take {providers_ms} ms of a reply)")?;
    writeln!(out, "{}", headings())?;
    let mut all = Findings::default();
    for (at, scenario) in scenarios.iter().enumerate() {
        let mut found = Findings::default();
        for person in 0..scenario.people.len() * settings.repeat {
            let national = phone(at, person).replacen("+91", "0", 1);
            let Some(report) = calls.iter().find(|call| call["from"].as_str() == Some(&national)) else { continue };
            let call: Call = serde_json::from_value(report.clone()).context("a call's report")?;
            let does = &scenario.people[person % scenario.people.len()];
            let mut one = Findings::default();
            one.add(does, &call);
            if settings.explain && one.went_wrong() {
                explain(&mut out, scenario, person, &one, &call)?;
            }
            found.merge(&one);
        }
        writeln!(out, "{}", row(scenario.name, &mut found))?;
        all.merge(&found);
    }
    writeln!(out, "{}", row("all", &mut all))?;
    Ok(())
}

fn explain(out: &mut impl Write, scenario: &Scenario, person: usize, found: &Findings, call: &Call) -> io::Result<()> {
    writeln!(
        out,
        "  {} #{person}: {} cut-ins, {} missed, {} false stops, {} ignored",
        scenario.name, found.cut_ins, found.missed, found.false_stops, found.ignored
    )?;
    let mut lines: Vec<(&str, &judge::Line)> = call.said.iter().map(|line| ("human", line)).collect();
    lines.extend(call.heard.iter().map(|line| ("agent", line)));
    lines.sort_by_key(|(_, line)| line.began_ms);
    for stream in &call.streams {
        writeln!(out, "    sounded {:?}, cleared {:?}", stream.agent.spans, stream.agent.clears)?;
    }
    for (who, line) in lines {
        let cut = line.full_text.as_ref().map(|whole| format!(" (cut: {whole})")).unwrap_or_default();
        writeln!(out, "    {:>6}–{:<6} {who}: {}{cut}", line.began_ms, line.ended_ms, line.text)?;
    }
    Ok(())
}

fn headings() -> String {
    format!(
        "{:<24} {:>5} {:>13} {:>8} {:>7} {:>14} {:>11} {:>8} {:>14} {:>14} {:>5}",
        "scenario",
        "calls",
        "first p50/p95",
        "cut-ins",
        "missed",
        "reply p50/p95",
        "false stops",
        "ignored",
        "silent p50/p95",
        "clear p50/p95",
        "gaps"
    )
}

fn row(name: &str, found: &mut Findings) -> String {
    let of = |count: usize, all: usize| if all == 0 { "–".to_owned() } else { format!("{count}/{all}") };
    let times = |values: &mut Vec<u64>| {
        values.sort_unstable();
        match (percentile(values, 50), percentile(values, 95)) {
            (Some(p50), Some(p95)) => format!("{p50}/{p95}"),
            _ => "–".to_owned(),
        }
    };
    format!(
        "{name:<24} {:>5} {:>13} {:>8} {:>7} {:>14} {:>11} {:>8} {:>14} {:>14} {:>5}",
        found.calls,
        times(&mut found.first_word_ms),
        of(found.cut_ins, found.pauses),
        of(found.missed, found.turns),
        times(&mut found.reply_ms),
        if found.acknowledged == 0 { found.false_stops.to_string() } else { of(found.false_stops, found.acknowledged) },
        of(found.ignored, found.barge_ins),
        times(&mut found.silent_ms),
        times(&mut found.clear_ms),
        found.gaps,
    )
}
