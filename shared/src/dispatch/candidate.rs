//! One due lead in front of the guards: reserve it, or say why not and until when.
//!
//! Every candidate leaves the due set, reserved or set aside, so that no dispatcher ever reads the same lead in vain twice.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use crate::consent::ConsentBasis;
use crate::id::{AccountId, CampaignId, LeadId};

const DAY: TimeDelta = TimeDelta::hours(24);

/// A due lead, locked, with what is known about its number across campaigns.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub lead_id: LeadId,
    pub status: String,
    pub attempts: i32,
    pub callbacks_granted: i32,
    pub next_at: DateTime<Utc>,
    pub time_zone: String,
    pub country: String,
    pub opens_at: DateTime<Utc>,
    pub closes_at: DateTime<Utc>,
    pub do_not_call: bool,
    pub consent_basis: ConsentBasis,
    pub consent_at: Option<DateTime<Utc>>,
    pub consent_source: Option<String>,
    /// By the campaign's rule, today.
    pub consent_holds: bool,
    /// Another call of the account to this number is live, or its conversation is not summarised yet.
    pub number_busy: bool,
    pub last_call_at: Option<DateTime<Utc>>,
    pub calls_in_a_day: i64,
    /// The call whose ageing past a day frees the number again; `None` while it is below its daily cap.
    pub capped_by: Option<DateTime<Utc>>,
}

pub(super) struct Rules {
    pub max_attempts: i32,
    pub min_gap: TimeDelta,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Reserve,
    /// Never to be called by this campaign: `do_not_call` or `no_consent`.
    Suppress {
        reason: &'static str,
    },
    /// The maximum was lowered below the attempts made.
    Exhaust,
    Postpone {
        until: DateTime<Utc>,
        reason: &'static str,
    },
}

pub(super) fn judge(candidate: &Candidate, rules: &Rules, now: DateTime<Utc>) -> Verdict {
    if candidate.do_not_call {
        return Verdict::Suppress { reason: "do_not_call" };
    }
    if !candidate.consent_holds {
        return Verdict::Suppress { reason: "no_consent" };
    }
    if candidate.attempts >= rules.max_attempts + candidate.callbacks_granted {
        return Verdict::Exhaust;
    }
    if candidate.number_busy {
        return Verdict::Postpone { until: now + TimeDelta::minutes(1), reason: "another_call_is_not_over" };
    }
    if let Some(called_at) = candidate.capped_by {
        return Verdict::Postpone { until: called_at + DAY, reason: "daily_cap_of_the_number" };
    }
    // Who asked for a callback set the gap themselves.
    if candidate.status != "callback_scheduled"
        && let Some(until) = candidate.last_call_at.map(|at| at + rules.min_gap).filter(|until| *until > now)
    {
        return Verdict::Postpone { until, reason: "gap_between_calls_to_the_number" };
    }
    Verdict::Reserve
}

/// Locks up to `limit` due leads whose windows are open, and stay open until `open_until`, highest priority first across zones.
pub(super) async fn pick(
    conn: &mut PgConnection,
    campaign: CampaignId,
    max_calls_per_day: i32,
    limit: i64,
    now: DateTime<Utc>,
    open_until: DateTime<Utc>,
) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as!(
        Candidate,
        r#"
        -- The best of each open zone, by its index; then the best of all.
        with ranked as materialized (
            select l.id, w.opens_at, w.closes_at, g.require_consent, g.consent_max_age_days
            from campaign_windows w
            join campaigns g on g.id = w.campaign_id
            cross join lateral (
                -- Each priority by itself: within one, the index has those who are due in front, and however many wait behind
                -- them are not read.
                with recursive levels (priority) as (
                    (
                        select priority from leads
                        where campaign_id = w.campaign_id and time_zone = w.time_zone and country = w.country
                            and status in ('pending', 'waiting_retry', 'callback_scheduled')
                        order by priority desc limit 1
                    )
                    union all
                    select next.priority
                    from levels cross join lateral (
                        select priority from leads
                        where campaign_id = w.campaign_id and time_zone = w.time_zone and country = w.country
                            and status in ('pending', 'waiting_retry', 'callback_scheduled')
                            and priority < levels.priority
                        order by priority desc limit 1
                    ) next
                )
                select due.*
                from levels cross join lateral (
                    select id, priority, next_at from leads
                    where campaign_id = w.campaign_id and time_zone = w.time_zone and country = w.country
                        and status in ('pending', 'waiting_retry', 'callback_scheduled')
                        and priority = levels.priority and next_at <= $2
                    order by next_at limit $4
                ) due
                order by due.priority desc, due.next_at
                limit $4
            ) l
            where w.campaign_id = $1 and w.opens_at <= $2 and $5 < w.closes_at
            order by l.priority desc, l.next_at, l.id
            limit $4
        ),
        -- Only the chosen are locked. A locked row is read anew, so that what held of it has to hold still.
        picked as materialized (
            select l.id, l.account_id, l.phone, l.status, l.attempts, l.callbacks_granted, l.next_at, l.priority, l.time_zone,
                l.country, l.consent_basis, l.consent_at, l.consent_source, r.opens_at, r.closes_at,
                r.require_consent, r.consent_max_age_days
            from ranked r
            join leads l on l.id = r.id
            where l.status in ('pending', 'waiting_retry', 'callback_scheduled') and l.next_at <= $2
            for no key update of l skip locked
        )
        select p.id as "lead_id: LeadId", p.status, p.attempts, p.callbacks_granted, p.next_at, p.time_zone, p.country,
            p.opens_at, p.closes_at,
            exists (select from do_not_call d where d.account_id = p.account_id and d.phone = p.phone) as "do_not_call!",
            p.consent_basis as "consent_basis: ConsentBasis", p.consent_at, p.consent_source,
            consent_holds(p.consent_basis, p.consent_at, p.require_consent, p.consent_max_age_days, $2) as "consent_holds!",
            -- Also while nobody knows yet what was said: it may have been a wish not to be called again.
            exists (
                select from calls c left join conversations v on v.call_id = c.id
                where c.account_id = p.account_id and c.phone = p.phone and c.direction = 'outbound'
                    and c.withdrawn_at is null and (c.settled_at is null or v.summary_status = 'pending')
            ) as "number_busy!",
            n.last_call_at, n.calls as "calls_in_a_day!", n.capped_by
        from picked p
        -- The number's calls of the last 24 hours, in whatever campaign.
        cross join lateral (
            select max(coalesce(c.ended_at, c.dialing_at, c.queued_at)) as last_call_at, count(*) as calls,
                (array_agg(c.queued_at order by c.queued_at desc))[$3] as capped_by
            from calls c
            where c.account_id = p.account_id and c.phone = p.phone and c.direction = 'outbound'
                and c.withdrawn_at is null and c.queued_at > $2 - interval '24 hours'
        ) n
        order by p.priority desc, p.next_at, p.id
        "#,
        campaign as CampaignId,
        now,
        max_calls_per_day,
        limit,
        open_until,
    )
    .fetch_all(conn)
    .await
}

/// Takes candidates that may not be called now out of the due set, and writes down why.
pub(super) async fn set_aside(
    conn: &mut PgConnection,
    account: AccountId,
    judged: &[(&Candidate, Verdict)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (mut leads, mut statuses, mut untils, mut suppressions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut kinds, mut reasons) = (Vec::new(), Vec::new());
    for (candidate, verdict) in judged {
        let (status, until, suppression, kind, data) = match verdict {
            Verdict::Reserve => continue,
            Verdict::Suppress { reason } => {
                (Some("suppressed"), None, Some(*reason), "suppressed", json!({ "reason": reason }))
            }
            Verdict::Exhaust => (Some("exhausted"), None, None, "exhausted", json!({ "attempts": candidate.attempts })),
            Verdict::Postpone { until, reason } => {
                (None, Some(*until), None, "postponed", json!({ "reason": reason, "until": until }))
            }
        };
        leads.push(candidate.lead_id.0);
        statuses.push(status.map(str::to_owned));
        untils.push(until);
        suppressions.push(suppression.map(str::to_owned));
        kinds.push(kind.to_owned());
        reasons.push(data);
    }
    if leads.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        with verdicts as (
            select * from unnest($3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::jsonb[])
                as v (lead_id, status, until, suppression, kind, data)
        ),
        moved as (
            update leads l
            set status = coalesce(v.status, l.status), next_at = coalesce(v.until, l.next_at),
                suppression_reason = coalesce(v.suppression, l.suppression_reason), updated_at = $2
            from verdicts v
            where l.id = v.lead_id
        )
        insert into call_events (account_id, lead_id, kind, data, at, applied_at)
        select $1, lead_id, kind, data, $2, now() from verdicts
        "#,
        account as AccountId,
        now,
        &leads,
        &statuses as &[Option<String>],
        &untils as &[Option<DateTime<Utc>>],
        &suppressions as &[Option<String>],
        &kinds,
        &reasons,
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { max_attempts: 3, min_gap: TimeDelta::minutes(30) };

    fn noon() -> DateTime<Utc> {
        "2026-11-23T06:30:00Z".parse().unwrap()
    }

    fn fresh() -> Candidate {
        Candidate {
            lead_id: LeadId(1),
            status: "pending".into(),
            attempts: 0,
            callbacks_granted: 0,
            next_at: noon(),
            time_zone: "Asia/Kolkata".into(),
            country: "IN".into(),
            opens_at: noon(),
            closes_at: noon() + TimeDelta::hours(7),
            do_not_call: false,
            consent_basis: ConsentBasis::Unknown,
            consent_at: None,
            consent_source: None,
            consent_holds: true,
            number_busy: false,
            last_call_at: None,
            calls_in_a_day: 0,
            capped_by: None,
        }
    }

    #[test]
    fn a_fresh_lead_is_reserved() {
        assert_eq!(judge(&fresh(), &RULES, noon()), Verdict::Reserve);
    }

    #[test]
    fn the_do_not_call_list_wins_over_everything() {
        let lead = Candidate { do_not_call: true, status: "callback_scheduled".into(), ..fresh() };
        assert_eq!(judge(&lead, &RULES, noon()), Verdict::Suppress { reason: "do_not_call" });
    }

    #[test]
    fn without_the_consent_that_the_campaign_wants_nobody_is_called_not_even_who_asked_to_be() {
        let lead = Candidate { consent_holds: false, status: "callback_scheduled".into(), ..fresh() };
        assert_eq!(judge(&lead, &RULES, noon()), Verdict::Suppress { reason: "no_consent" });
    }

    #[test]
    fn a_granted_callback_is_one_attempt_more() {
        let spent = Candidate { attempts: 3, ..fresh() };
        assert_eq!(judge(&spent, &RULES, noon()), Verdict::Exhaust);
        assert_eq!(judge(&Candidate { callbacks_granted: 1, ..spent }, &RULES, noon()), Verdict::Reserve);
    }

    #[test]
    fn the_gap_holds_for_everybody_but_who_asked_to_be_called_back() {
        let lately = Candidate { last_call_at: Some(noon() - TimeDelta::minutes(10)), ..fresh() };
        let until = noon() + TimeDelta::minutes(20);
        assert_eq!(
            judge(&lately, &RULES, noon()),
            Verdict::Postpone { until, reason: "gap_between_calls_to_the_number" }
        );
        let asked = Candidate { status: "callback_scheduled".into(), ..lately };
        assert_eq!(judge(&asked, &RULES, noon()), Verdict::Reserve);
    }

    #[test]
    fn a_number_at_its_daily_cap_waits_until_a_call_is_a_day_old() {
        let capped = Candidate { capped_by: Some(noon() - TimeDelta::hours(20)), calls_in_a_day: 4, ..fresh() };
        let until = noon() + TimeDelta::hours(4);
        assert_eq!(judge(&capped, &RULES, noon()), Verdict::Postpone { until, reason: "daily_cap_of_the_number" });
    }
}
