//! The judge: reads what the carrier saw, and knows no mercy. Each rule counts what it looked at and lists every breach.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;

use super::evidence::{DomainClock, Evidence, LeadRow, Placed};
use super::operator::Journal;

/// Guards are read so long before the request reaches the carrier at most (the product's own bound, and the wire).
const IN_FLIGHT: TimeDelta = TimeDelta::milliseconds(2_000 + 2_000 + 300);

/// What was agreed, so that it can be held against what happened.
#[derive(Clone, Debug)]
pub struct Terms {
    pub clock: DomainClock,
    /// `[start, end)` in minutes of the local day, Monday to Saturday.
    pub hours: Vec<(u32, u32)>,
    pub campaign_cap: HashMap<i64, usize>,
    pub account_cap: usize,
    pub calls_per_second: f64,
    pub min_gap: TimeDelta,
    pub max_calls_per_number_per_day: usize,
}

/// The law in India.
const LAWFUL: (u32, u32) = (9 * 60, 21 * 60);

pub struct Rule {
    pub name: &'static str,
    pub looked_at: usize,
    pub breaches: Vec<String>,
}

impl Rule {
    fn over<T>(name: &'static str, items: impl IntoIterator<Item = T>, breach: impl Fn(T) -> Option<String>) -> Self {
        let mut looked_at = 0;
        let breaches = items.into_iter().inspect(|_| looked_at += 1).filter_map(breach).collect();
        Self { name, looked_at, breaches }
    }
}

/// Every rule, whatever came of it.
pub fn judge(evidence: &Evidence, journal: &Journal, terms: &Terms) -> Vec<Rule> {
    vec![
        placed_once(evidence),
        known(evidence),
        attempts(evidence),
        window(evidence, terms),
        do_not_call(evidence, journal),
        asked_in_a_call(evidence),
        paused(evidence, journal),
        stopped(evidence, journal),
        campaign_cap(evidence, terms),
        account_cap(evidence, terms),
        pace(evidence, terms),
        gap(evidence, terms),
        daily_cap(evidence, terms),
        terminal(evidence),
        counted(evidence),
        transcripts(evidence),
        summaries(evidence),
        recordings(evidence),
        slots(evidence),
        jobs(evidence),
    ]
}

fn placed_once(evidence: &Evidence) -> Rule {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for call in &evidence.placed {
        *times.entry(&call.reference).or_default() += 1;
    }
    Rule::over("no attempt is placed twice", times, |(reference, times)| {
        (times > 1).then(|| format!("{reference} was placed {times} times"))
    })
}

fn known(evidence: &Evidence) -> Rule {
    Rule::over("every placed call is one of ours, with a slot of its own", &evidence.placed, |call| match &call.row {
        None => Some(format!("{} ({}) is no call of ours", call.sid, call.reference)),
        Some(row) if row.withdrawn => Some(format!("call {} was withdrawn, and rang", row.id)),
        Some(_) => None,
    })
}

fn attempts(evidence: &Evidence) -> Rule {
    let mut rung: HashMap<i64, i32> = HashMap::new();
    for row in evidence.placed.iter().filter_map(|call| call.row.as_ref()) {
        *rung.entry(row.lead_id).or_default() += 1;
    }
    Rule::over("no lead is rung more often than its attempts", &evidence.leads, |lead| {
        let rung = rung.get(&lead.id).copied().unwrap_or(0);
        (rung > lead.attempts || lead.attempts > lead.most_attempts).then(|| {
            format!("lead {} rang {rung} times, {} of {} attempts", lead.id, lead.attempts, lead.most_attempts)
        })
    })
}

fn window(evidence: &Evidence, terms: &Terms) -> Rule {
    Rule::over("nobody is rung outside their window or the law", &evidence.placed, |call| {
        let row = call.row.as_ref()?;
        let zone: Tz = evidence.person(&row.phone)?.zone.parse().expect("the crowd's zones exist");
        let local = terms.clock.at(call.placed_at).with_timezone(&zone);
        let minute = local.hour() * 60 + local.minute();
        let inside = |&(start, end): &(u32, u32)| (start..end).contains(&minute);
        let open = local.weekday() != Weekday::Sun && terms.hours.iter().any(inside) && inside(&LAWFUL);
        (!open).then(|| format!("call {} rang at {}", row.id, local.format("%a %H:%M:%S %Z")))
    })
}

fn do_not_call(evidence: &Evidence, journal: &Journal) -> Rule {
    let since: HashMap<&str, DateTime<Utc>> =
        journal.do_not_call.iter().rev().map(|(phone, at)| (phone.as_str(), *at)).collect();
    Rule::over("nobody on the do-not-call list is rung", &evidence.placed, |call| {
        let row = call.row.as_ref()?;
        let since = since.get(row.phone.as_str())?;
        (call.placed_at > *since + IN_FLIGHT).then(|| {
            format!("call {} rang {} ms after the number was put on the list", row.id, ms(call.placed_at - *since))
        })
    })
}

fn asked_in_a_call(evidence: &Evidence) -> Rule {
    let asked = evidence.asked_not_to_be_called();
    Rule::over("nobody who asked in a call not to be called is rung again", &evidence.placed, |call| {
        let row = call.row.as_ref()?;
        let since = asked.get(row.phone.as_str())?;
        (call.placed_at > *since)
            .then(|| format!("call {} rang {} ms after they asked", row.id, ms(call.placed_at - *since)))
    })
}

fn paused(evidence: &Evidence, journal: &Journal) -> Rule {
    Rule::over("no call is placed while its campaign is paused", &evidence.placed, |call| {
        let row = call.row.as_ref()?;
        let pause = journal.pauses.iter().find(|pause| {
            pause.campaign == row.campaign_id
                && call.placed_at > pause.from + IN_FLIGHT
                && pause.until.is_none_or(|until| call.placed_at < until)
        })?;
        Some(format!("call {} rang {} ms after the pause", row.id, ms(call.placed_at - pause.from)))
    })
}

fn stopped(evidence: &Evidence, journal: &Journal) -> Rule {
    Rule::over("no call is placed after its campaign was stopped", &evidence.placed, |call| {
        let row = call.row.as_ref()?;
        let (_, at) = journal.stops.iter().find(|(campaign, _)| *campaign == row.campaign_id)?;
        (call.placed_at > *at + IN_FLIGHT)
            .then(|| format!("call {} rang {} ms after the stop", row.id, ms(call.placed_at - *at)))
    })
}

/// The most calls that were up at one instant.
fn most_at_once<'a>(calls: impl Iterator<Item = &'a Placed>) -> usize {
    let mut edges: Vec<(DateTime<Utc>, i32)> = Vec::new();
    for call in calls {
        edges.push((call.placed_at, 1));
        edges.push((call.ended_at.unwrap_or(DateTime::<Utc>::MAX_UTC), -1));
    }
    edges.sort_unstable();
    let (mut now, mut most) = (0_i32, 0);
    for (_, step) in edges {
        now += step;
        most = most.max(now);
    }
    usize::try_from(most).unwrap_or(0)
}

fn campaign_cap(evidence: &Evidence, terms: &Terms) -> Rule {
    Rule::over("no campaign's cap is exceeded at any instant", &terms.campaign_cap, |(campaign, &cap)| {
        let most = most_at_once(
            evidence.placed.iter().filter(|call| call.row.as_ref().is_some_and(|row| row.campaign_id == *campaign)),
        );
        (most > cap).then(|| format!("campaign {campaign}: {most} calls at once, {cap} allowed"))
    })
}

fn account_cap(evidence: &Evidence, terms: &Terms) -> Rule {
    let most = most_at_once(evidence.placed.iter());
    Rule::over("the account's cap is exceeded at no instant", [most], |most| {
        (most > terms.account_cap).then(|| format!("{most} calls at once, {} allowed", terms.account_cap))
    })
}

/// In no stretch of time do more requests reach the carrier than the pace allows: its rate, the bucket's one second, and what
/// requests may lag behind the token they took.
fn pace(evidence: &Evidence, terms: &Terms) -> Rule {
    let mut requests = evidence.requests.clone();
    requests.sort_unstable();
    let rate = terms.calls_per_second;
    Rule::over("the pace is exceeded in no stretch of time", 0..requests.len(), |first| {
        [1.0, 2.0, 5.0, 10.0, 60.0].into_iter().find_map(|stretch: f64| {
            let until = requests[first] + TimeDelta::milliseconds((stretch * 1_000.0) as i64);
            let count = requests[first..].partition_point(|at| *at < until);
            let most = rate * (stretch + 1.0) + rate.max(1.0);
            (count as f64 > most).then(|| format!("{count} requests within {stretch} s, {most} allowed"))
        })
    })
}

/// Calls by number, in order.
fn by_number(evidence: &Evidence) -> BTreeMap<&str, Vec<&Placed>> {
    let mut numbers: BTreeMap<&str, Vec<&Placed>> = BTreeMap::new();
    for call in &evidence.placed {
        if let Some(row) = &call.row {
            numbers.entry(&row.phone).or_default().push(call);
        }
    }
    for calls in numbers.values_mut() {
        calls.sort_unstable_by_key(|call| call.placed_at);
    }
    numbers
}

fn gap(evidence: &Evidence, terms: &Terms) -> Rule {
    Rule::over(
        "two calls to one number keep their distance, whatever the campaign",
        by_number(evidence),
        |(_, calls)| {
            calls.windows(2).find_map(|pair| {
                let id = pair[1].row.as_ref()?.id;
                let gap = terms.clock.span(pair[1].placed_at - pair[0].ended_at?);
                (gap < terms.min_gap).then(|| format!("call {id} rang {} min after the call before", gap.num_minutes()))
            })
        },
    )
}

fn daily_cap(evidence: &Evidence, terms: &Terms) -> Rule {
    let most = terms.max_calls_per_number_per_day;
    Rule::over("no number is rung more than its daily cap in 24 hours", by_number(evidence), |(_, calls)| {
        calls.windows(most + 1).find_map(|several| {
            let span = terms.clock.span(several[most].placed_at - several[0].placed_at);
            // Counted from the reservation, which comes some seconds before.
            (span < TimeDelta::hours(24) - terms.clock.span(TimeDelta::seconds(60)))
                .then(|| format!("{} calls within {} h", most + 1, span.num_hours()))
        })
    })
}

fn terminal(evidence: &Evidence) -> Rule {
    Rule::over("every lead is in a final state that its history explains", &evidence.leads, |lead| {
        let last = evidence.calls.iter().rev().find(|call| call.lead_id == lead.id && !call.withdrawn);
        let last_status = last.map(|call| call.status.as_str());
        let explained = match lead.status.as_str() {
            "done" => last_status == Some("completed") && lead.disposition.is_some(),
            "exhausted" => lead.attempts >= lead.most_attempts && lead.attempts > 0,
            "suppressed" => match lead.suppression_reason.as_deref() {
                Some("do_not_call") => lead.on_the_list,
                Some("call_unknown") => last_status == Some("unknown"),
                _ => false,
            },
            "canceled" => lead.campaign_status == "canceled",
            // Its next call would have come after the campaign's end, which all campaigns here have; whether the campaign
            // came to that end or was stopped before changes nothing in it.
            "expired" => {
                // A callback that was asked for is one attempt more, granted only if it comes before the end.
                let asked_back = lead.disposition.as_deref() == Some("callback_requested");
                matches!(lead.campaign_status.as_str(), "completed" | "canceled")
                    && (lead.attempts < lead.most_attempts || asked_back)
            }
            _ => false,
        };
        (!explained || (lead.attempts > 0 && !lead.explained)).then(|| describe(lead, last_status))
    })
}

fn describe(lead: &LeadRow, last_status: Option<&str>) -> String {
    format!(
        "lead {} of campaign {} ({}) is {} ({:?}, {:?}) after {} of {} attempts; its last call is {last_status:?}",
        lead.id,
        lead.campaign_id,
        lead.campaign_status,
        lead.status,
        lead.disposition,
        lead.suppression_reason,
        lead.attempts,
        lead.most_attempts,
    )
}

fn counted(evidence: &Evidence) -> Rule {
    let mut made: HashMap<i64, i32> = HashMap::new();
    for call in evidence.calls.iter().filter(|call| !call.withdrawn) {
        *made.entry(call.lead_id).or_default() += 1;
    }
    Rule::over("a lead's attempts are its calls", &evidence.leads, |lead| {
        let made = made.get(&lead.id).copied().unwrap_or(0);
        (made != lead.attempts).then(|| format!("lead {} has {} attempts and {made} calls", lead.id, lead.attempts))
    })
}

fn transcripts(evidence: &Evidence) -> Rule {
    let conversations = evidence.placed.iter().filter(|call| call.lines_heard >= 2 && call.whole_streams > 0);
    Rule::over("every call in which the agent was heard has its transcript", conversations, |call| {
        let row = call.row.as_ref()?;
        (row.agent_turns == 0).then(|| format!("call {}: {} lines were heard, none is kept", row.id, call.lines_heard))
    })
}

fn summaries(evidence: &Evidence) -> Rule {
    let conversations = evidence.calls.iter().filter(|call| call.status == "completed" && call.callee_turns > 0);
    Rule::over("every conversation has its summary and disposition", conversations, |call| {
        let summarised = call.summary.as_ref().is_some_and(|text| !text.is_empty()) || call.disposition.is_some();
        (!summarised || call.disposition.is_none()).then(|| format!("call {} has {:?}", call.id, call.disposition))
    })
}

fn recordings(evidence: &Evidence) -> Rule {
    let recorded = evidence.placed.iter().filter(|call| call.recorded && call.answered);
    Rule::over("every recording that the carrier has is stored", recorded, |call| {
        let row = call.row.as_ref()?;
        let stored = row.recording.as_deref() == Some("stored") || row.status == "unknown";
        (!stored).then(|| format!("call {} ({}): its recording is {:?}", row.id, row.status, row.recording))
    })
}

fn slots(evidence: &Evidence) -> Rule {
    Rule::over("no slot is leaked", &evidence.calls, |call| {
        let live = matches!(call.status.as_str(), "queued" | "dialing" | "ringing" | "in_progress" | "transferred");
        (live || !(call.settled || call.withdrawn))
            .then(|| format!("call {} is {} and not settled", call.id, call.status))
    })
}

/// A recording that the carrier announced and never had is asked for, and ours kept back, longer than anybody wants to wait here.
fn jobs(evidence: &Evidence) -> Rule {
    let recorded: Vec<i64> = evidence
        .placed
        .iter()
        .filter(|call| !call.recorded)
        .filter_map(|call| call.row.as_ref().map(|row| row.id))
        .collect();
    Rule::over("no job is left", &evidence.jobs, |(queue, status, error, key)| {
        let call = key.as_deref().and_then(|key| key.rsplit(':').next()?.parse::<i64>().ok());
        let waits_for_nothing = matches!(queue.as_str(), "fetch_recording" | "reconcile_call" | "assemble_recording")
            && status != "Killed"
            && call.is_some_and(|call| recorded.contains(&call));
        (!waits_for_nothing).then(|| format!("{queue} {key:?} is {status}: {error:?}"))
    })
}

fn ms(span: TimeDelta) -> i64 {
    span.num_milliseconds()
}

/// The table, and below it the breaches, at most ten of a rule.
pub fn table(rules: &[Rule]) -> String {
    let mut text = String::new();
    for rule in rules {
        let verdict =
            if rule.breaches.is_empty() { "ok".to_owned() } else { format!("{} BREACHED", rule.breaches.len()) };
        let _ = writeln!(text, "  {:<66} {:>6}  {verdict}", rule.name, rule.looked_at);
    }
    for rule in rules.iter().filter(|rule| !rule.breaches.is_empty()) {
        let _ = writeln!(text, "\nBREACH: {}", rule.name);
        for breach in rule.breaches.iter().take(10) {
            let _ = writeln!(text, "  {breach}");
        }
        if rule.breaches.len() > 10 {
            let _ = writeln!(text, "  … and {} more", rule.breaches.len() - 10);
        }
    }
    text
}
