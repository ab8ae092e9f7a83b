//! One due lead in front of the guards: reserve it, or say why not and until when.
//!
//! Every candidate leaves the due set, reserved or set aside, so that no dispatcher ever reads the same lead in vain twice.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use crate::call_event::{self, NewEvent};
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
    /// Another call of the account to this number is live.
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
        return Verdict::Postpone { until: now + TimeDelta::minutes(1), reason: "another_call_is_live" };
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

/// Locks up to `limit` due leads whose windows are open, highest priority first across zones.
pub(super) async fn pick(
    conn: &mut PgConnection,
    campaign: CampaignId,
    max_calls_per_day: i32,
    limit: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as!(
        Candidate,
        r#"
        -- The best of each open zone, by its index; then the best of all.
        with picked as materialized (
            select l.*, w.opens_at, w.closes_at, g.require_consent, g.consent_max_age_days
            from campaign_windows w
            join campaigns g on g.id = w.campaign_id
            cross join lateral (
                select id, account_id, phone, status, attempts, callbacks_granted, next_at, priority, time_zone, country,
                    consent_basis, consent_at, consent_source
                from leads
                where campaign_id = w.campaign_id and time_zone = w.time_zone and country = w.country
                    and status in ('pending', 'waiting_retry', 'callback_scheduled') and next_at <= $2
                order by priority desc, next_at
                limit $4
                for no key update skip locked
            ) l
            where w.campaign_id = $1 and w.opens_at <= $2 and $2 < w.closes_at
            order by l.priority desc, l.next_at, l.id
            limit $4
        )
        select p.id as "lead_id: LeadId", p.status, p.attempts, p.callbacks_granted, p.next_at, p.time_zone, p.country,
            p.opens_at, p.closes_at,
            exists (select from do_not_call d where d.account_id = p.account_id and d.phone = p.phone) as "do_not_call!",
            p.consent_basis as "consent_basis: ConsentBasis", p.consent_at, p.consent_source,
            consent_holds(p.consent_basis, p.consent_at, p.require_consent, p.consent_max_age_days, $2) as "consent_holds!",
            exists (
                select from calls c
                where c.account_id = p.account_id and c.phone = p.phone and c.direction = 'outbound'
                    and c.status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred')
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
    )
    .fetch_all(conn)
    .await
}

/// Takes a candidate that may not be called now out of the due set, and writes down why.
pub(super) async fn set_aside(
    conn: &mut PgConnection,
    account: AccountId,
    candidate: &Candidate,
    verdict: &Verdict,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (status, until, suppression, kind, data) = match verdict {
        Verdict::Reserve => return Ok(()),
        Verdict::Suppress { reason } => {
            (Some("suppressed"), None, Some(*reason), "suppressed", json!({ "reason": reason }))
        }
        Verdict::Exhaust => (Some("exhausted"), None, None, "exhausted", json!({ "attempts": candidate.attempts })),
        Verdict::Postpone { until, reason } => {
            (None, Some(*until), None, "postponed", json!({ "reason": reason, "until": until }))
        }
    };
    sqlx::query!(
        r#"
        update leads
        set status = coalesce($2, status), next_at = coalesce($3, next_at),
            suppression_reason = coalesce($4, suppression_reason), updated_at = $5
        where id = $1
        "#,
        candidate.lead_id as LeadId,
        status,
        until,
        suppression,
        now,
    )
    .execute(&mut *conn)
    .await?;
    let event = NewEvent { account_id: account, call_id: None, lead_id: Some(candidate.lead_id), kind, data, at: now };
    call_event::record(conn, event).await
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
