//! What an operator may not have meant, in plain words.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use shared::account::Account;
use shared::calling_window::LegalEnvelope;
use shared::campaign::{Campaign, CampaignStatus};
use shared::campaign_window;
use shared::language::Language;
use shared::outlook::{Outlook, Zone};
use shared::preflight::{Share, Speakers, never_opens};
use shared::reach::Reach;

use super::Warning;
use crate::forecast::Expected;

/// A zone whose longest opening of a week is shorter than this is worth a word.
const SHORT: TimeDelta = TimeDelta::hours(2);
/// Languages named one by one.
const MOST_LANGUAGES: usize = 5;
/// Zones named one by one.
const MOST_ZONES: usize = 10;

pub(super) struct Facts<'a> {
    pub account: &'a Account,
    pub campaign: &'a Campaign,
    pub outlook: &'a Outlook,
    pub shares: &'a [Share],
    pub lists_being_read: i64,
    pub first_opening: Option<DateTime<Utc>>,
    pub expected: &'a Expected,
    pub languages: &'a [Speakers],
    /// Of the campaign's voice agent, while there is one.
    pub reach: Option<Reach<'a>>,
}

pub(super) fn find(facts: &Facts<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, leads, detail: String| warnings.push(Warning { code, detail, leads });
    let Facts { account, campaign, outlook, shares, expected, .. } = facts;
    let sum = |of: &dyn Fn(&Share) -> i64| shares.iter().map(of).sum::<i64>();
    let called = sum(&|share| if share.skipped.is_none() { share.leads } else { 0 });

    match campaign.status {
        CampaignStatus::Completed => {
            warn("campaign_finished", None, "the campaign is completed and calls nobody".into())
        }
        CampaignStatus::Canceled => warn("campaign_finished", None, "the campaign was stopped and calls nobody".into()),
        _ if facts.lists_being_read > 0 => {
            warn("list_being_read", None, "a list is still being read; its leads are counted once they are in".into());
        }
        _ if called == 0 => warn("nobody_to_call", None, "as things are, nobody will be called".into()),
        _ => {}
    }
    if account.max_concurrent_calls == 0 {
        warn("account_calls_nobody", None, "the account's max_concurrent_calls is 0: nobody is called".into());
    }
    for (country, leads) in countries(&outlook.zones) {
        let (asked, left) = campaign_window::weekly_minutes(&campaign.calling_hours, &country);
        if left < asked {
            let hours = LegalEnvelope::for_country(&country);
            let detail = format!(
                "hours outside the law of {country} were cut to {hours}: {:.1} of {:.1} hours a week are left",
                f64::from(left) / 60.0,
                f64::from(asked) / 60.0
            );
            warn("hours_cut_by_law", Some(leads), detail);
        }
    }
    for zone in outlook.zones.iter().take(MOST_ZONES) {
        let (name, leads) = (&zone.time_zone, zone.leads);
        match never_opens(zone, campaign) {
            Some("bad_time_zone") => {
                let detail = format!("{leads} leads have the time zone \"{name}\", which does not exist");
                warn("bad_time_zone", Some(leads), detail);
            }
            Some("ends_before_first_opening") => {
                let detail = format!("the campaign ends before the first window opens for {leads} leads in {name}");
                warn("ends_before_first_opening", Some(leads), detail);
            }
            Some(_) => {
                let detail = format!("no window ever opens for {leads} leads in {name} ({})", zone.country);
                warn("window_never_opens", Some(leads), detail);
            }
            None => {
                if let Some(longest) = longest_of_a_week(zone).filter(|longest| *longest < SHORT) {
                    let hours = longest.num_minutes() as f64 / 60.0;
                    let detail = format!("{leads} leads in {name} have a window that opens for {hours:.1} h only");
                    warn("short_window", Some(leads), detail);
                }
            }
        }
    }
    if !campaign.require_consent {
        let without = sum(&|share| if share.skipped.is_none() { share.without_basis } else { 0 });
        if without > 0 {
            let detail = format!("the list states no basis of consent for {without} leads that will be called");
            warn("consent_unknown", Some(without), detail);
        }
    }
    if let Some(reach) = &facts.reach
        && let Some((leads, detail)) = not_reached(facts.languages, reach)
    {
        warn("language_not_reached", Some(leads), detail);
    }
    let elsewhere = "number_in_another_running_campaign";
    let twice = sum(&|share| if share.delayed.as_deref() == Some(elsewhere) { share.leads } else { 0 });
    if twice > 0 {
        let detail = format!(
            "another running campaign calls {twice} of the numbers too; {} minutes lie between two calls to one number",
            account.min_gap_minutes
        );
        warn("numbers_in_another_campaign", Some(twice), detail);
    }
    if expected.unfinished_leads.p50 >= 1.0 {
        let detail = format!("the campaign ends before about {:.0} leads are done with", expected.unfinished_leads.p50);
        warn("ends_too_early", None, detail);
    }
    if let Some(opens) = facts.first_opening.filter(|opens| *opens - outlook.starts_at > TimeDelta::days(1)) {
        warn("first_opening_far_off", None, format!("nobody may be called before {}", opens.to_rfc3339()));
    }
    warnings
}

/// Leads whose language nobody hears, or nobody speaks, with the services that there are.
fn not_reached(languages: &[Speakers], reach: &Reach<'_>) -> Option<(i64, String)> {
    let usual = reach.agent.language.as_str();
    let languages = languages.iter().map(|speakers| (speakers.language.as_deref().unwrap_or(usual), speakers.leads));
    let missed: Vec<(&str, i64)> = languages.filter(|(language, _)| !reach.reaches(language)).collect();
    let leads: i64 = missed.iter().map(|(_, leads)| leads).sum();
    let named: Vec<String> = missed
        .iter()
        .take(MOST_LANGUAGES)
        .map(|(language, leads)| {
            let what = match (reach.hears(language), reach.speaks(language)) {
                (true, _) => "not spoken",
                (false, true) => "not heard",
                (false, false) => "neither heard nor spoken",
            };
            let name = Language::parse(language).map_or((*language).to_owned(), |known| known.to_string());
            format!("{name} is {what} (leads: {leads})")
        })
        .collect();
    let otherwise =
        if reach.reaches(usual) { format!("they are spoken to in {usual}") } else { "they are called in vain".into() };
    (leads > 0).then(|| (leads, format!("{}: {otherwise}", named.join(", "))))
}

fn countries(zones: &[Zone]) -> BTreeMap<String, i64> {
    let mut countries = BTreeMap::new();
    for zone in zones {
        *countries.entry(zone.country.clone()).or_default() += zone.leads;
    }
    countries
}

fn longest_of_a_week(zone: &Zone) -> Option<TimeDelta> {
    let openings = zone.openings.as_ref()?;
    let first = openings.first()?;
    let week = openings.iter().take_while(|opening| opening.opens_at - first.opens_at < TimeDelta::days(7));
    week.map(|opening| opening.closes_at - opening.opens_at).max()
}
