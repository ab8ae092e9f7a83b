//! The report at the end of the demo.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use serde_json::Value;

use super::compare::{text, turns};

pub struct Report<'a> {
    pub campaign: &'a Value,
    pub import: &'a Value,
    pub leads: &'a [Value],
    pub calls: &'a [Value],
    /// The carrier's own account.
    pub seen: &'a [Value],
    pub elapsed: Duration,
}

impl Report<'_> {
    pub fn print(&self, differences: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "\nCampaign {} “{}”: {}",
            self.campaign["id"],
            text(self.campaign, "name"),
            text(self.campaign, "status")
        )?;
        writeln!(out, "  upload: {} leads, {} rejected", self.import["imported"], self.import["rejected"])?;

        table(&mut out, "Leads by final state", self.leads.iter().map(lead_state))?;
        table(
            &mut out,
            "Calls by status and attempt",
            self.calls.iter().map(|call| format!("{:<12} attempt {}", text(call, "status"), call["attempt"])),
        )?;
        table(
            &mut out,
            "Dispositions",
            self.calls.iter().filter_map(|call| call["disposition"].as_str()).map(str::to_owned),
        )?;
        self.aftermath(&mut out)?;
        self.verdict(&mut out, differences)
    }

    fn aftermath(&self, out: &mut impl Write) -> io::Result<()> {
        let stored: Vec<&Value> = self.calls.iter().filter(|call| call["recording"]["status"] == "stored").collect();
        let recorded_ms: i64 = stored.iter().filter_map(|call| call["recording"]["duration_ms"].as_i64()).sum();
        let summaries =
            self.calls.iter().filter(|call| call["summary"].as_str().is_some_and(|text| !text.is_empty())).count();
        let talk_secs: i64 = self.calls.iter().filter_map(|call| call["duration_seconds"].as_i64()).sum();
        let said = self.calls.iter().flat_map(turns).count();
        writeln!(out, "\nAfterwards")?;
        writeln!(out, "  {:>5}  recordings stored, {:.0} s in all", stored.len(), recorded_ms as f64 / 1_000.0)?;
        writeln!(out, "  {summaries:>5}  summaries")?;
        writeln!(out, "  {said:>5}  turns in transcripts")?;
        if let Some(replies) = reply_latencies(self.calls) {
            writeln!(
                out,
                "  {:>5}  ms from the callee's last word to the reply (median; p95 {})",
                replies.0, replies.1
            )?;
        }
        writeln!(
            out,
            "\nCost in time: {talk_secs} s on the phone in {} calls, {:.0} s on the wall clock",
            self.seen.len(),
            self.elapsed.as_secs_f64()
        )
    }

    fn verdict(&self, out: &mut impl Write, differences: &[String]) -> io::Result<()> {
        let attempts = self.calls.iter().filter(|call| call["call_sid"].is_string()).count();
        writeln!(out, "\nAgainst the carrier's own log")?;
        writeln!(out, "  {:>5}  calls placed by the carrier, {attempts} attempts recorded", self.seen.len())?;
        if differences.is_empty() {
            return writeln!(
                out,
                "  no difference: every attempt once, no lead above its attempts, and callees heard what the transcripts say"
            );
        }
        for difference in differences {
            writeln!(out, "  DIFFERS: {difference}")?;
        }
        Ok(())
    }
}

fn lead_state(lead: &Value) -> String {
    match lead["suppression_reason"].as_str().or(lead["disposition"].as_str()) {
        Some(why) => format!("{:<12} {why}", text(lead, "status")),
        None => text(lead, "status").to_owned(),
    }
}

/// Median and 95th percentile of the time from the callee's last word to the first sound of the reply, in ms.
fn reply_latencies(calls: &[Value]) -> Option<(i64, i64)> {
    let mut all: Vec<i64> = calls
        .iter()
        .flat_map(turns)
        .filter_map(|turn| Some(turn["stages"]["first_frame_sent"].as_i64()? - turn["stages"]["speech_end"].as_i64()?))
        .filter(|latency| *latency > 0)
        .collect();
    all.sort_unstable();
    let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied();
    Some((at(50)?, at(95)?))
}

fn table(out: &mut impl Write, title: &str, rows: impl Iterator<Item = String>) -> io::Result<()> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row).or_default() += 1;
    }
    writeln!(out, "\n{title}")?;
    for (row, count) in counts {
        writeln!(out, "  {count:>5}  {row}")?;
    }
    Ok(())
}
