//! Who may be called at all: the basis that a list states, and the rule of the campaign.

use chrono::TimeDelta;
use shared::id::CampaignId;

use crate::world::World;

const LEADS: &str = "select string_agg(right(phone, 1) || ' ' || status || coalesce(' ' || suppression_reason, ''), ', ' order by phone) from leads";

async fn leads(world: &World) -> String {
    world.text(LEADS).await.unwrap()
}

/// A running campaign that requires consent of at most so many days.
async fn requiring(world: &World, days: Option<i32>) -> CampaignId {
    let campaign = world.campaign(0).await;
    let days = days.map_or("null".to_owned(), |days| days.to_string());
    world.sql(&format!("update campaigns set require_consent = true, consent_max_age_days = {days}")).await;
    campaign
}

#[tokio::test]
async fn a_list_states_the_consent_of_its_leads_and_mistakes_are_explained() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    let import = world
        .import(
            campaign,
            "phone,consent_basis,consent_date,consent_source\n9800000001,inquiry,2026-11-02,web form\n\
             9800000002,sure thing,2026-11-02,fair\n9800000003,no,,\n9800000004,,,\n",
        )
        .await;
    assert_eq!((import.rows_imported, import.rows_rejected), (4, 0));
    let told = "select string_agg(concat_ws(' ', right(phone, 1), consent_basis, consent_at::date, consent_source, status), ', ' order by phone) from leads";
    assert_eq!(
        world.text(told).await.unwrap(),
        "1 inquiry 2026-11-02 web form pending, 2 unknown 2026-11-02 fair pending, 3 refused suppressed, 4 unknown pending"
    );
    assert_eq!(world.number("select count(*) from import_rows where severity = 'warning'").await, 1);
}

#[tokio::test]
async fn a_campaign_that_requires_consent_calls_only_those_who_gave_it() {
    let world = World::new().await;
    let campaign = requiring(&world, None).await;
    let bases =
        ["express_written", "express", "inquiry", "existing_customer", "legitimate_interest", "unknown", "refused"];
    let rows: String = (1..).zip(bases).map(|(n, basis)| format!("980000000{n},{basis}\n")).collect();
    world.import(campaign, &format!("phone,consent_basis\n{rows}")).await;
    let reserved = world.reserve(campaign).await;
    assert_eq!(reserved.calls.len(), 4);
    assert_eq!(
        leads(&world).await,
        "1 dialing, 2 dialing, 3 dialing, 4 dialing, 5 suppressed no_consent, 6 suppressed no_consent, 7 suppressed no_consent"
    );
    assert_eq!(world.guards(reserved.calls[2]).await["consent"]["basis"], "inquiry");
    assert_eq!(world.guards(reserved.calls[2]).await["consent"]["required"], true);
}

#[tokio::test]
async fn without_the_rule_everybody_is_called_but_who_refused() {
    let world = World::new().await;
    let campaign = world.campaign(0).await;
    world.import(campaign, "phone,consent\n9800000001,\n9800000002,yes\n9800000003,no\n").await;
    assert_eq!(world.reserve(campaign).await.calls.len(), 2);
    assert_eq!(leads(&world).await, "1 dialing, 2 dialing, 3 suppressed no_consent");
}

#[tokio::test]
async fn consent_that_is_too_old_undated_or_from_the_future_does_not_count() {
    let world = World::new().await;
    let campaign = requiring(&world, Some(90)).await;
    // The clock stands at 23 November 2026.
    world
        .import(
            campaign,
            "phone,consent,consent_date\n9800000001,yes,2026-10-01\n9800000002,yes,2026-08-01\n9800000003,yes,\n\
             9800000004,yes,2027-01-01\n9800000005,yes,2026-11-24\n",
        )
        .await;
    world.reserve(campaign).await;
    let none = "suppressed no_consent";
    assert_eq!(leads(&world).await, format!("1 dialing, 2 {none}, 3 {none}, 4 {none}, 5 dialing"));
}

#[tokio::test]
async fn a_lead_passed_over_for_want_of_consent_is_called_once_it_is_uploaded_with_it() {
    let world = World::new().await;
    let campaign = requiring(&world, None).await;
    world.import(campaign, "phone\n9800000001\n").await;
    assert!(world.reserve(campaign).await.calls.is_empty());
    assert_eq!(leads(&world).await, "1 suppressed no_consent");

    let again = world.import(campaign, "phone,consent_basis,consent_date\n9800000001,inquiry,2026-11-20\n").await;
    assert_eq!((again.rows_imported, again.rows_duplicate), (0, 1));
    let reason = "select reason from import_rows order by id desc limit 1";
    assert_eq!(world.text(reason).await.unwrap(), "this number is in the campaign already; its consent was updated");
    assert_eq!(leads(&world).await, "1 pending");
    world.reserve_one(campaign).await;
    assert_eq!(world.number("select count(*) from call_events where kind = 'consent_restated'").await, 1);
}

#[tokio::test]
async fn a_younger_consent_stays_and_a_refusal_always_holds() {
    let world = World::new().await;
    let campaign = requiring(&world, None).await;
    let state = async |row: &str| {
        world.import(campaign, &format!("phone,consent,consent_date\n9800000001,{row}\n")).await;
        world.text("select concat_ws(' ', consent_basis, consent_at::date, status) from leads").await.unwrap()
    };
    assert_eq!(state("yes,2026-11-20").await, "express 2026-11-20 pending");
    assert_eq!(state("inquiry,2026-01-01").await, "express 2026-11-20 pending", "older");
    assert_eq!(state("inquiry,").await, "express 2026-11-20 pending", "undated");
    assert_eq!(state("inquiry,2026-11-21").await, "inquiry 2026-11-21 pending", "younger");
    assert_eq!(state("no,").await, "refused suppressed");
    assert_eq!(state("perhaps,").await, "refused suppressed", "says nothing");
    assert_eq!(state("yes,2026-11-22").await, "express 2026-11-22 pending", "they changed their mind");
}

#[tokio::test]
async fn a_rule_that_is_lifted_lets_the_leads_back_in() {
    let world = World::new().await;
    let campaign = requiring(&world, None).await;
    world.import(campaign, "phone,consent\n9800000001,\n9800000002,no\n9800000003,yes\n").await;
    world.reserve_one(campaign).await;
    world.sql("update campaigns set require_consent = false").await;
    let readmitted = shared::lead::readmit_with_consent(&world.db, campaign, world.now()).await.unwrap();
    assert_eq!(readmitted, 1);
    assert_eq!(leads(&world).await, "1 pending, 2 suppressed no_consent, 3 dialing");
}

#[tokio::test]
async fn consent_runs_out_while_a_lead_waits_for_its_retry() {
    let world = World::new().await;
    let campaign = requiring(&world, Some(1)).await;
    world.import(campaign, "phone,consent,consent_date\n9800000001,yes,2026-11-23 00:00\n").await;
    let call = world.placed(campaign).await;
    world.ends(call, shared::call::CallStatus::Busy).await;
    world.clock.advance(TimeDelta::days(1));
    assert!(world.reserve(campaign).await.calls.is_empty());
    assert_eq!(leads(&world).await, "1 suppressed no_consent");
}
