//! Preflight and forecast: what is said of a campaign before and while it runs.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::harness::{TestApi, monday};

async fn preflight(api: &TestApi, campaign: i64) -> Value {
    let answer = api.call("POST", &format!("/campaigns/{campaign}/preflight"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn forecast(api: &TestApi, campaign: i64) -> Value {
    let answer = api.get(&format!("/campaigns/{campaign}/forecast")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn sql(api: &TestApi, statement: String) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&api.db).await.unwrap();
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("{value} is no time")).parse().unwrap()
}

fn codes(preflight: &Value) -> Vec<&str> {
    preflight["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_preflight_says_who_is_called_who_is_not_and_why() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Ready", "require_consent": true})).await;
    let mut leads = Vec::new();
    for index in 0..8 {
        leads.push(api.add_lead(campaign, &format!("+91984501234{index}"), "Lead").await);
    }
    sql(&api, "update leads set consent_basis = 'inquiry'".into()).await;
    sql(&api, format!("update leads set consent_basis = 'unknown' where id = {}", leads[1])).await;
    sql(&api, format!("update leads set time_zone = 'Mars/Olympus' where id = {}", leads[2])).await;
    sql(&api, format!("update leads set status = 'done' where id = {}", leads[3])).await;
    sql(&api, format!("update leads set attempts = 3, status = 'waiting_retry' where id = {}", leads[4])).await;
    api.post("/do-not-call", json!({"phone": "+919845012340"})).await;
    // Called ten minutes ago by another campaign, which still has its number.
    let other = api.create_campaign(json!({"name": "Other"})).await;
    for number in ["+919845012345", "+919845012346"] {
        api.add_lead(other, number, "Lead").await;
    }
    let called = api.add_lead(other, "+919845012347", "Lead").await;
    let call = api.add_call(called, "ref-1").await;
    sql(&api, format!("update leads set status = 'done' where id = {called}")).await;
    sql(&api, format!("update calls set status = 'busy', ended_at = '2026-11-23T05:20:00Z' where id = {call}")).await;
    api.call("POST", &format!("/campaigns/{other}/start"), None).await;

    let said = preflight(&api, campaign).await;
    assert_eq!((&said["total_leads"], &said["will_be_called"]), (&json!(8), &json!(3)), "{said:#}");
    assert_eq!(
        said["skipped"],
        json!({"total": 5, "by_reason": {"attempts_used_up": 1, "bad_time_zone": 1, "do_not_call": 1, "done": 1, "no_consent": 1}})
    );
    assert_eq!(
        said["delayed"],
        json!({"total": 3, "by_reason": {"gap_between_calls_to_the_number": 1, "number_in_another_running_campaign": 2}})
    );
    assert_eq!(time(&said["first_opening"]), monday());
    assert_eq!(said["expected"]["unreachable_leads"], 1, "the unreadable zone");
    assert!(time(&said["expected"]["finish"]["p90"]) >= time(&said["expected"]["finish"]["p50"]));
    assert!(said["expected"]["based_on"]["defaults"].as_bool().unwrap());
    assert_eq!(codes(&said), ["bad_time_zone", "numbers_in_another_campaign"]);
    assert_eq!(api.number("select count(*) from leads where status = 'suppressed'").await, 1, "by the list alone");
    api.finish().await;
}

#[tokio::test]
async fn a_preflight_says_whose_language_nobody_hears_or_speaks() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Languages"})).await;
    for (phone, name) in [("+919845012345", "Asha"), ("+919845012346", "Ravi"), ("+919845012347", "Meera")] {
        api.add_lead(campaign, phone, name).await;
    }
    let speaks = async |name: &str, language: &str| {
        let update = sqlx::query("update leads set language = $2 where campaign_id = $3 and name = $1");
        update.bind(name).bind(language).bind(campaign).execute(&api.db).await.unwrap();
    };
    // Without Sarvam's key there are Deepgram and ElevenLabs.
    speaks("Asha", "hi-IN").await;
    assert_eq!(codes(&preflight(&api, campaign).await), ["consent_unknown"]);
    speaks("Ravi", "ta-IN").await;
    speaks("Meera", "te-IN").await;
    let said = preflight(&api, campaign).await;
    let warning = &said["warnings"][1];
    assert_eq!((&warning["code"], &warning["leads"]), (&json!("language_not_reached"), &json!(2)), "{said:#}");
    assert_eq!(
        warning["detail"],
        "Tamil is not heard (leads: 1), Telugu is neither heard nor spoken (leads: 1): they are spoken to in en-IN"
    );
}

#[tokio::test]
async fn a_preflight_warns_of_what_was_hardly_meant() {
    let api = TestApi::start().await;
    let nobody = api.create_campaign(json!({"name": "Empty"})).await;
    let said = preflight(&api, nobody).await;
    assert_eq!((codes(&said), &said["first_opening"]), (vec!["nobody_to_call"], &Value::Null));

    let wide = json!({"name": "Wide", "calling_hours": {"mon": [["07:00", "22:00"]], "tue": [["20:00", "20:30"]]}});
    let wide = api.create_campaign(wide).await;
    api.add_lead(wide, "+919845012345", "Asha").await;
    let said = preflight(&api, wide).await;
    assert_eq!(codes(&said), ["hours_cut_by_law", "consent_unknown"]);
    assert_eq!(
        said["warnings"][0]["detail"],
        "hours outside the law of IN were cut to 09:00–21:00: 12.5 of 15.5 hours a week are left"
    );

    let short = api.create_campaign(json!({"name": "Short", "calling_hours": {"wed": [["12:00", "13:00"]]}})).await;
    api.add_lead(short, "+919845012345", "Asha").await;
    let said = preflight(&api, short).await;
    assert_eq!(codes(&said), ["short_window", "consent_unknown", "first_opening_far_off"]);
    assert_eq!(said["first_opening"], "2026-11-25T06:30:00Z");

    let early = json!({"name": "Ends", "calling_hours_start": 15, "ends_at": "2026-11-23T09:00:00Z"});
    let early = api.create_campaign(early).await;
    api.add_lead(early, "+919845012345", "Asha").await;
    let said = preflight(&api, early).await;
    assert_eq!(said["skipped"]["by_reason"], json!({"ends_before_first_opening": 1}));
    assert!(codes(&said).contains(&"ends_before_first_opening"), "{said:#}");

    let unlawful = api.create_campaign(json!({"name": "Night", "calling_hours": {"mon": [["22:00", "23:00"]]}})).await;
    api.add_lead(unlawful, "+919845012345", "Asha").await;
    let said = preflight(&api, unlawful).await;
    assert_eq!(said["skipped"]["by_reason"], json!({"window_never_opens": 1}));
    assert_eq!(
        (&said["expected"]["never"], &said["expected"]["finish"]["p50"]),
        (&json!("window_never_opens"), &Value::Null)
    );
    api.finish().await;
}

#[tokio::test]
async fn a_forecast_knows_the_windows_the_history_and_the_prices() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Running", "max_attempts_per_lead": 2})).await;
    for index in 0..5 {
        api.add_lead(campaign, &format!("+91984501234{index}"), "Lead").await;
    }
    api.call("POST", &format!("/campaigns/{campaign}/start"), None).await;
    let said = forecast(&api, campaign).await;
    assert!(time(&said["finish"]["p50"]) > monday());
    assert!(said["calls"]["p90"].as_f64().unwrap() <= 10.0);
    let currencies: Vec<&str> =
        said["cost"].as_array().unwrap().iter().map(|cost| cost["currency"].as_str().unwrap()).collect();
    assert_eq!(currencies, ["INR", "USD"]);
    assert_eq!(said["based_on"]["prices"].as_array().unwrap().len(), 5);
    let assumed = said["assumptions"].to_string();
    assert!(
        assumed.contains("only 0 calls have been seen") && assumed.contains("carrier_minute is an estimate"),
        "{assumed}"
    );
    assert_eq!(forecast(&api, campaign).await, said, "asked twice, it says the same");

    // A price of the account's own goes before everybody's.
    let own = "insert into price_book (account_id, item, provider, price_micros, currency, valid_from, source)
        values ((select min(id) from accounts), 'carrier_minute', 'exotel', 900000, 'INR', '2026-11-01', 'contract')";
    sql(&api, own.into()).await;
    let dearer = forecast(&api, campaign).await;
    let inr = |said: &Value| said["cost"][0]["p50"].as_f64().unwrap();
    assert!((inr(&dearer) / inr(&said) - 1.5).abs() < 0.05, "{} {}", inr(&dearer), inr(&said));

    // Sixty calls of which nobody answered one.
    let history = format!(
        "insert into calls (account_id, campaign_id, lead_id, voice_agent_id, voice_agent_version, carrier, attempt, reference, phone,
            status, queued_at, dialing_at, ended_at, settled_at, lease_until)
        select l.account_id, l.campaign_id, l.id, c.voice_agent_id, 1, 'exotel', n, l.id || '-' || n, l.phone, 'no_answer', $$2026-11-20$$,
            $$2026-11-20T06:00:00Z$$, $$2026-11-20T06:00:30Z$$, $$2026-11-20T06:00:30Z$$, now()
        from leads l join campaigns c on c.id = l.campaign_id, generate_series(1, 12) n where l.campaign_id = {campaign}"
    );
    sql(&api, history).await;
    let sober = forecast(&api, campaign).await;
    assert_eq!((&sober["based_on"]["own_calls"], &sober["based_on"]["defaults"]), (&json!(60), &json!(false)));
    assert_eq!(sober["based_on"]["by_attempt"][0], json!({"attempt": 1, "calls": 5, "conversations": 0}));
    assert!(sober["conversations"]["p50"].as_f64() < said["conversations"]["p50"].as_f64());
    api.finish().await;
}

#[tokio::test]
async fn what_is_over_is_finished_now_and_what_is_somebody_elses_is_not_found() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Over"})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    api.call("POST", &format!("/campaigns/{campaign}/start"), None).await;
    api.call("POST", &format!("/campaigns/{campaign}/stop"), None).await;
    let said = forecast(&api, campaign).await;
    assert_eq!((time(&said["finish"]["p90"]), &said["calls"]["p90"]), (monday(), &json!(0.0)));
    assert_eq!(codes(&preflight(&api, campaign).await), ["campaign_finished"]);

    let (_, other) = api.another_account().await;
    for (method, verb) in [("POST", "preflight"), ("GET", "forecast")] {
        let path = format!("/campaigns/{campaign}/{verb}");
        assert_eq!(api.call_as(&other, method, &path, None).await.refusal(), (404, "not_found".into()));
    }
    api.finish().await;
}

#[tokio::test]
async fn a_scheduled_campaign_is_looked_at_from_its_start_on() {
    let api = TestApi::start().await;
    let campaign =
        api.create_campaign(json!({"name": "Later", "scheduled_start_at": "2026-11-28T20:00:00+05:30"})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    // Saturday evening is closed, and so is Sunday.
    let said = preflight(&api, campaign).await;
    assert_eq!(time(&said["first_opening"]), monday() + TimeDelta::days(7) - TimeDelta::hours(1));
    assert!(time(&said["expected"]["finish"]["p50"]) > time(&said["first_opening"]));
    api.finish().await;
}

#[tokio::test]
async fn consent_is_a_setting_a_column_and_a_guard() {
    let api = TestApi::start().await;
    let wrong =
        api.post("/campaigns", json!({"name": "x", "require_consent": "yes", "consent_max_age_days": 0})).await.json();
    let pointers: Vec<&str> =
        wrong["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/require_consent", "/consent_max_age_days"]);
    let campaign =
        api.create_campaign(json!({"name": "Strict", "require_consent": true, "consent_max_age_days": 90})).await;
    let view = api.get(&format!("/campaigns/{campaign}")).await.json();
    assert_eq!((&view["require_consent"], &view["consent_max_age_days"]), (&json!(true), &json!(90)));

    let lead = api.add_lead(campaign, "+919845012345", "Asha").await;
    let consent = "update leads set consent_basis = 'express', consent_at = '2026-11-01', consent_source = 'fair'";
    sql(&api, consent.into()).await;
    let listed = &api.get(&format!("/campaigns/{campaign}/leads")).await.json()["leads"][0];
    assert_eq!((&listed["consent_basis"], &listed["consent_source"]), (&json!("express"), &json!("fair")));

    let call = api.add_call(lead, "ref-1").await;
    let guards =
        r#"{"consent": {"basis": "express", "at": null, "source": null, "required": true, "max_age_days": null}}"#;
    sql(&api, format!("update calls set guards = '{guards}' where id = {call}")).await;
    let told = api.get(&format!("/calls/{call}")).await.json();
    assert_eq!(
        told["guards_passed"],
        json!([{"guard": "consent", "detail": "consent: express; the campaign requires one"}])
    );
    let csv = api.get(&format!("/exports/calls/{campaign}")).await.text();
    assert!(csv.lines().next().unwrap().contains(",consent_basis,consent_at,consent_source,"), "{csv}");
    assert!(csv.contains(",express,2026-11-01T00:00:00Z,fair,"), "{csv}");

    // A rule that is taken back lets those in whom it kept out.
    sql(
        &api,
        "update leads set status = 'suppressed', suppression_reason = 'no_consent', consent_basis = 'unknown'".into(),
    )
    .await;
    api.call("PATCH", &format!("/campaigns/{campaign}"), Some(json!({"require_consent": false}))).await;
    assert_eq!(api.number("select count(*) from leads where status = 'pending'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn a_hundred_thousand_leads_are_looked_at_within_one_request() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Large", "require_consent": true})).await;
    let other = api.create_campaign(json!({"name": "Also"})).await;
    api.add_lead(other, "+919800000001", "Asha").await;
    api.call("POST", &format!("/campaigns/{other}/start"), None).await;
    for statement in [
        "insert into contacts (account_id, phone) select (select min(id) from accounts), '+9198' || lpad(n::text, 8, '0')
         from generate_series(1, 100000) n on conflict do nothing".to_owned(),
        format!("insert into leads (account_id, campaign_id, contact_id, phone, country, time_zone, next_at, created_at, updated_at, consent_basis)
         select account_id, {campaign}, id, phone, 'IN', 'Asia/Kolkata', '2026-11-23T05:30:00Z', now(), now(),
            case when id % 10 = 0 then 'unknown' else 'express' end from contacts"),
        "insert into do_not_call (account_id, phone, reason, source, created_at)
         select account_id, phone, 'asked', 'operator', now() from contacts where id % 20 = 5".to_owned(),
        "analyze".to_owned(),
    ] {
        sql(&api, statement).await;
    }
    let said = preflight(&api, campaign).await;
    assert_eq!((&said["total_leads"], &said["skipped"]["by_reason"]["do_not_call"]), (&json!(100_000), &json!(5_000)));
    api.finish().await;
}
