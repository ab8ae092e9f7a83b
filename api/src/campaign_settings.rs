//! What a campaign's settings may be, and how to say which of them may not.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use shared::calling_window::{CallingHours, HoursField, parse_zone};
use shared::campaign::CampaignSettings;
use shared::id::VoiceAgentId;
use shared::retry_policy::RetryPolicy;
use utoipa::ToSchema;

use crate::extract::{Fields, escape, pointer_of};
use crate::state::CampaignDefaults;

const MAX_NAME_CHARS: usize = 200;
const MAX_DESCRIPTION_CHARS: usize = 2_000;
const MAX_VOICEMAIL_CHARS: usize = 1_000;
const MAX_HOLIDAYS: usize = 400;

/// Settings of a campaign, to create or to change one; what is left out keeps its default, or its value.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, whose fields are read one by one")]
pub struct CampaignRequest {
    /// Required to create one.
    #[schema(max_length = 200, example = "Whitefield launch")]
    name: Option<String>,
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// The account's first voice agent, by default.
    voice_agent_id: Option<i64>,
    #[schema(minimum = 1, maximum = 10, default = 3)]
    max_attempts_per_lead: Option<i32>,
    /// Hour at which calling begins, Monday to Saturday, by the lead's clock.
    #[schema(minimum = 0, maximum = 23, default = 10)]
    calling_hours_start: Option<u32>,
    /// Hour at which it ends.
    #[schema(minimum = 1, maximum = 24, default = 19)]
    calling_hours_end: Option<u32>,
    /// Instead of the two hours: ranges per weekday.
    #[schema(value_type = Object, example = json!({"mon": [["10:00", "13:00"], ["14:00", "19:00"]], "sat": [["11:00", "16:00"]]}))]
    calling_hours: Option<Value>,
    /// Local dates on which nobody is called.
    #[schema(example = json!(["2027-01-26"]))]
    holidays: Option<Vec<NaiveDate>>,
    /// For leads whose number does not tell their zone; the account's, by default.
    #[schema(example = "Asia/Kolkata")]
    time_zone: Option<String>,
    /// Minutes to wait after each outcome.
    #[schema(value_type = Object, example = json!({"no_answer_minutes": 120, "busy_minutes": 240, "failed_minutes": 60}))]
    retry_policy: Option<Value>,
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    max_concurrent_calls: Option<i32>,
    /// Calls started per second at most; the account's and the carrier's limits hold besides.
    calls_per_second: Option<f64>,
    /// With `start`: when the campaign starts by itself.
    scheduled_start_at: Option<DateTime<Utc>>,
    /// Nobody is called from then on.
    ends_at: Option<DateTime<Utc>>,
    /// Whether calls are recorded.
    #[schema(default = true)]
    record: Option<bool>,
    /// Whether only leads are called whose list states a consent: `express_written`, `express`, `inquiry` or
    /// `existing_customer`. Leads that are said to have refused are never called.
    #[schema(default = false)]
    require_consent: Option<bool>,
    /// With `require_consent`: consent older than so many days, or without a date, does not count.
    #[schema(minimum = 1, maximum = 3650)]
    consent_max_age_days: Option<i32>,
    /// What the agent says to an answering machine after its beep; lead variables are filled in as in a greeting. Without it, and
    /// without a voicemail recording, which is played in its place, the agent hangs up as soon as it knows the machine.
    #[schema(max_length = 1000)]
    voicemail_message: Option<String>,
}

/// A new campaign's settings before anybody has said anything. Its name is empty, which no campaign's may stay.
#[must_use]
pub fn defaults(defaults: &CampaignDefaults, voice_agent_id: VoiceAgentId) -> CampaignSettings {
    CampaignSettings {
        name: String::new(),
        description: None,
        voice_agent_id,
        calling_hours: defaults.calling_hours.clone(),
        holidays: Vec::new(),
        time_zone: None,
        retry_policy: RetryPolicy::default(),
        max_concurrent_calls: defaults.max_concurrent_calls,
        calls_per_second: None,
        scheduled_start_at: None,
        ends_at: None,
        record: true,
        require_consent: false,
        consent_max_age_days: None,
        voicemail_message: None,
    }
}

/// `base` with the body's fields laid over it. Mistakes are noted in `fields`; call [`Fields::finish`] before using the result.
pub fn read(base: CampaignSettings, fields: &mut Fields, now: DateTime<Utc>) -> CampaignSettings {
    let mut settings = base;
    if let Some(name) = fields.take::<String>("name") {
        settings.name = name.trim().to_owned();
    }
    match settings.name.chars().count() {
        0 => fields.refuse("/name", "required", "a campaign needs a name"),
        count if count > MAX_NAME_CHARS => {
            fields.refuse("/name", "too_long", format!("the name is longer than {MAX_NAME_CHARS} characters"));
        }
        _ => {}
    }
    if let Some(description) = fields.take::<Option<String>>("description") {
        settings.description = description.filter(|text| !text.trim().is_empty());
        if settings.description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION_CHARS) {
            let detail = format!("the description is longer than {MAX_DESCRIPTION_CHARS} characters");
            fields.refuse("/description", "too_long", detail);
        }
    }
    if let Some(agent) = fields.take::<VoiceAgentId>("voice_agent_id") {
        settings.voice_agent_id = agent;
    }
    settings.calling_hours = calling_hours(settings.calling_hours, fields);
    if let Some(holidays) = fields.take::<Vec<NaiveDate>>("holidays") {
        settings.holidays = holidays;
        settings.holidays.sort_unstable();
        settings.holidays.dedup();
        if settings.holidays.len() > MAX_HOLIDAYS {
            fields.refuse("/holidays", "too_many", format!("more than {MAX_HOLIDAYS} holidays"));
        }
    }
    if let Some(zone) = fields.take::<Option<String>>("time_zone") {
        settings.time_zone = match zone.as_deref().map(parse_zone).transpose() {
            Ok(zone) => zone.map(|zone| zone.name().to_owned()),
            Err(error) => {
                fields.refuse("/time_zone", "unknown_time_zone", error.to_string());
                None
            }
        };
    }
    settings.retry_policy = retry_policy(settings.retry_policy, fields);
    if let Some(max) = fields.take::<i32>("max_concurrent_calls") {
        if !(1..=1000).contains(&max) {
            fields.refuse("/max_concurrent_calls", "out_of_range", "max_concurrent_calls must be between 1 and 1000");
        }
        settings.max_concurrent_calls = max;
    }
    if let Some(pace) = fields.take::<Option<f64>>("calls_per_second") {
        if pace.is_some_and(|pace| !(0.01..=100.0).contains(&pace)) {
            fields.refuse("/calls_per_second", "out_of_range", "calls_per_second must be between 0.01 and 100");
        }
        settings.calls_per_second = pace;
    }
    if let Some(at) = take_time(fields, "scheduled_start_at") {
        settings.scheduled_start_at = at;
    }
    if let Some(at) = take_time(fields, "ends_at") {
        if at.is_some_and(|at| at <= now) {
            fields.refuse("/ends_at", "in_the_past", "the campaign would have ended before it began");
        }
        settings.ends_at = at;
    }
    if let (Some(starts), Some(ends)) = (settings.scheduled_start_at, settings.ends_at)
        && ends <= starts
    {
        fields.refuse("/ends_at", "reversed", "the campaign would end before it starts");
    }
    if let Some(record) = fields.take::<bool>("record") {
        settings.record = record;
    }
    if let Some(require) = fields.take::<bool>("require_consent") {
        settings.require_consent = require;
    }
    if let Some(days) = fields.take::<Option<i32>>("consent_max_age_days") {
        if days.is_some_and(|days| !(1..=3650).contains(&days)) {
            let detail = "consent_max_age_days must be between 1 and 3650";
            fields.refuse("/consent_max_age_days", "out_of_range", detail);
        }
        settings.consent_max_age_days = days;
    }
    if let Some(message) = fields.take::<Option<String>>("voicemail_message") {
        settings.voicemail_message = message.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if settings.voicemail_message.as_ref().is_some_and(|text| text.chars().count() > MAX_VOICEMAIL_CHARS) {
            let detail =
                format!("the message is longer than {MAX_VOICEMAIL_CHARS} characters, about a minute of speech");
            fields.refuse("/voicemail_message", "too_long", detail);
        }
    }
    settings
}

/// A moment, or null for none. The outer `None`: it was not there, or was no moment, which is noted.
pub fn take_time(fields: &mut Fields, name: &str) -> Option<Option<DateTime<Utc>>> {
    let text = fields.take::<Option<String>>(name)?;
    match text.as_deref().map(DateTime::parse_from_rfc3339).transpose() {
        Ok(at) => Some(at.map(|at| at.to_utc())),
        Err(_) => {
            let detail = "this is not a time with a zone; write it like 2026-11-23T10:00:00+05:30";
            fields.refuse(format!("/{name}"), "not_a_time", detail);
            None
        }
    }
}

fn calling_hours(base: CallingHours, fields: &mut Fields) -> CallingHours {
    let by_hour = fields.has("calling_hours_start") || fields.has("calling_hours_end");
    if fields.has("calling_hours") && by_hour {
        let detail = "give either calling_hours, or calling_hours_start and calling_hours_end";
        fields.refuse("/calling_hours", "conflicting_fields", detail);
        for name in ["calling_hours", "calling_hours_start", "calling_hours_end"] {
            fields.take_raw(name);
        }
        return base;
    }
    if by_hour {
        let (old_start, old_end) = base.uniform().and_then(|range| range.whole_hours()).unwrap_or((10, 19));
        // Both are taken before either is used, so that two bad ones are told as two.
        let asked = (has_then_take(fields, "calling_hours_start"), has_then_take(fields, "calling_hours_end"));
        let (Ok(start), Ok(end)) = asked else { return base };
        match CallingHours::from_whole_hours(start.unwrap_or(old_start), end.unwrap_or(old_end)) {
            Ok(hours) => return hours,
            Err(error) => {
                let (pointer, code) = match error.field {
                    HoursField::Start => ("/calling_hours_start", "not_an_hour"),
                    HoursField::End => ("/calling_hours_end", "not_an_hour"),
                    HoursField::Day | HoursField::Range => ("/calling_hours_end", "reversed"),
                };
                let detail = match error.field {
                    HoursField::Start => "the first calling hour must be between 0 and 23".to_owned(),
                    HoursField::End => "the last calling hour must be between 1 and 24".to_owned(),
                    HoursField::Day | HoursField::Range => format!(
                        "calling would end ({}:00) before it begins ({}:00)",
                        end.unwrap_or(old_end),
                        start.unwrap_or(old_start)
                    ),
                };
                fields.refuse(pointer, code, detail);
            }
        }
        return base;
    }
    let Some(days) = fields.take::<std::collections::BTreeMap<String, Vec<[String; 2]>>>("calling_hours") else {
        return base;
    };
    match CallingHours::from_days(days) {
        Ok(hours) => {
            if hours.is_closed() {
                fields.refuse("/calling_hours", "never_open", "no day has any hours: nobody would ever be called");
            }
            hours
        }
        Err(error) => {
            fields.refuse(format!("/calling_hours{}", error.pointer()), "invalid_hours", error.to_string());
            base
        }
    }
}

/// `Ok(None)` if it is not there; `Err` if it is no hour, which is noted.
fn has_then_take(fields: &mut Fields, name: &str) -> Result<Option<u32>, ()> {
    if !fields.has(name) {
        return Ok(None);
    }
    fields.take::<u32>(name).map(Some).ok_or(())
}

/// What the body leaves out of the policy keeps its value.
fn retry_policy(base: RetryPolicy, fields: &mut Fields) -> RetryPolicy {
    let mut policy = base;
    let mut policy_attempts = None;
    match fields.take_raw("retry_policy") {
        None => {}
        Some(Value::Object(given)) => {
            policy_attempts = given.get("max_attempts").and_then(Value::as_u64);
            let mut merged = serde_json::to_value(&policy).expect("a policy is JSON");
            merged.as_object_mut().expect("and an object").extend(given);
            match serde_path_to_error::deserialize::<_, RetryPolicy>(merged) {
                Ok(read) => policy = read,
                Err(error) => {
                    let path = pointer_of(error.path());
                    let detail = error.into_inner().to_string();
                    // An impossible value is told of the policy as a whole, and begins with its field's name.
                    let named = detail.split(' ').next().filter(|word| path.is_empty() && word.ends_with("s"));
                    let named = named.filter(|word| word.contains('_')).map(|word| format!("/{}", escape(word)));
                    fields.refuse(format!("/retry_policy{}", named.unwrap_or(path)), "invalid_value", detail);
                }
            }
        }
        Some(_) => fields.refuse("/retry_policy", "invalid_value", "the retry policy is a JSON object"),
    }
    if let Some(attempts) = fields.take::<u32>("max_attempts_per_lead") {
        if policy_attempts.is_some_and(|other| other != u64::from(attempts)) {
            let detail = "max_attempts_per_lead and retry_policy.max_attempts differ; give one of them";
            fields.refuse("/max_attempts_per_lead", "conflicting_fields", detail);
        }
        match policy.clone().with_max_attempts(attempts) {
            Ok(with) => policy = with,
            Err(_) => {
                let detail = format!("max_attempts_per_lead must be between 1 and 10, not {attempts}");
                fields.refuse("/max_attempts_per_lead", "out_of_range", detail);
            }
        }
    }
    policy
}
