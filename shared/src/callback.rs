//! When somebody wants to be called back, and when they can be: the one moment that is said aloud and kept.
//!
//! Pure but for [`CallbackTerms::load`]: the time is an argument.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;

use crate::calling_window::ZoneSet;
use crate::campaign_window::CampaignHours;
use crate::id::{CampaignId, LeadId};

/// Where people live on the first carrier, if nothing says otherwise.
const HOME_ZONE: Tz = chrono_tz::Asia::Kolkata;
/// A callback further away than this is a misunderstanding.
const LATEST: TimeDelta = TimeDelta::days(90);
/// No zone's clocks go over more than a day.
const LONGEST_GAP_MINUTES: i64 = 24 * 60;

const WITH_OFFSET: [&str; 4] =
    ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z"];
const LOCAL: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];

/// The zone whose wall clock somebody means: of those of their number (`leads.time_zone`), or of most people that we call.
#[must_use]
pub fn zone(zones: Option<&str>, at: DateTime<Utc>) -> Tz {
    zones.and_then(|zones| ZoneSet::parse(zones).ok()).map_or(HOME_ZONE, |zones| zones.likely(at))
}

/// Reads a moment as a model writes it: local time (`2026-11-22T17:00`, seconds and a space for the `T` allowed), or with an
/// offset of its own. `None` for anything else, such as somebody's words.
#[must_use]
pub fn moment(written: &str, zone: Tz) -> Option<DateTime<Utc>> {
    let written = written.trim();
    if let Some(at) = WITH_OFFSET.iter().find_map(|form| DateTime::parse_from_str(written, form).ok()) {
        return Some(at.to_utc());
    }
    let local = LOCAL.iter().find_map(|form| NaiveDateTime::parse_from_str(written, form).ok())?;
    on_clock(zone, local)
}

/// Whether somebody who said it at `said_at` can have meant `at`.
#[must_use]
pub fn is_plausible(at: DateTime<Utc>, said_at: DateTime<Utc>) -> bool {
    said_at < at && at - said_at <= LATEST
}

/// The instant at which a wall clock of `zone` shows `local`: the first of two, and where the clocks go over it the first after it.
fn on_clock(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let shown = |ahead: i64| match zone.from_local_datetime(&local.checked_add_signed(TimeDelta::minutes(ahead))?) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.to_utc()),
        LocalResult::None => None,
    };
    (0..=LONGEST_GAP_MINUTES).find_map(shown)
}

/// What becomes of a wish to be called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    AsAsked,
    /// At this moment instead, on the human's wall clock: nobody may be called at the one they named.
    Instead(NaiveDateTime),
    /// The moment lies in the past, or too far ahead.
    NoSuchMoment,
    /// The campaign calls them no more: the wish is kept for people.
    ByHand,
}

/// All that decides when the human of a call can be called again, as it stood when the call was answered.
#[derive(Clone, Debug)]
pub struct CallbackTerms {
    answered_at: DateTime<Utc>,
    zone: Tz,
    zones: String,
    country: String,
    hours: Option<CampaignHours>,
    ends_at: Option<DateTime<Utc>>,
    /// An attempt is left, or one more is granted.
    may_call: bool,
}

impl CallbackTerms {
    /// `None` for somebody on no campaign's list: only people call them back. Pass a connection inside a transaction.
    pub async fn load(
        db: &mut PgConnection,
        campaign: Option<CampaignId>,
        lead: Option<LeadId>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Self>> {
        let (Some(campaign), Some(lead)) = (campaign, lead) else { return Ok(None) };
        let row = sqlx::query!(
            r#"
            select l.time_zone, l.country, g.ends_at,
                l.attempts < g.max_attempts_per_lead or l.callbacks_granted = 0 as "may_call!"
            from leads l join campaigns g on g.id = l.campaign_id
            where l.id = $1
            "#,
            lead as LeadId,
        )
        .fetch_optional(&mut *db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Self {
            answered_at: now,
            zone: zone(Some(&row.time_zone), now),
            zones: row.time_zone,
            country: row.country,
            hours: CampaignHours::load(db, campaign).await?,
            ends_at: row.ends_at,
            may_call: row.may_call,
        }))
    }

    /// What becomes of a wish for the moment that `written` names, and that moment on the human's wall clock. `None` where it
    /// names none.
    #[must_use]
    pub fn agree(&self, written: &str) -> Option<(NaiveDateTime, Agreed)> {
        let asked = moment(written, self.zone)?;
        let local = |at: DateTime<Utc>| at.with_timezone(&self.zone).naive_local();
        let agreed = if !is_plausible(asked, self.answered_at) {
            Agreed::NoSuchMoment
        } else {
            let allowed = self.hours.as_ref().and_then(|hours| hours.next_allowed(&self.zones, &self.country, asked));
            match allowed.filter(|&at| self.may_call && self.ends_at.is_none_or(|ends_at| at < ends_at)) {
                None => Agreed::ByHand,
                Some(at) if at == asked => Agreed::AsAsked,
                Some(at) => Agreed::Instead(local(at)),
            }
        };
        Some((local(asked), agreed))
    }

    /// As in a campaign with the usual hours, answered at `answered_at` somewhere in `zone`.
    #[must_use]
    pub fn usual(answered_at: DateTime<Utc>, zone: Tz, country: &str) -> Self {
        Self {
            answered_at,
            zone,
            zones: zone.name().to_owned(),
            country: country.to_owned(),
            hours: Some(CampaignHours::usual()),
            ends_at: None,
            may_call: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn read(written: &str, zone: Tz) -> Option<String> {
        moment(written, zone).map(|at| at.format("%Y-%m-%dT%H:%MZ").to_string())
    }

    #[test]
    fn local_time_is_read_in_the_leads_zone_and_an_offset_says_its_own() {
        for (written, expected) in [
            ("2026-11-22T17:00", "2026-11-22T11:30Z"),
            (" 2026-11-22 17:00 ", "2026-11-22T11:30Z"),
            ("2026-11-22T17:00:00", "2026-11-22T11:30Z"),
            ("2026-11-22 17:00:30.5", "2026-11-22T11:30Z"),
            ("2026-11-22T17:00:00+05:30", "2026-11-22T11:30Z"),
            ("2026-11-22T17:00Z", "2026-11-22T17:00Z"),
            ("2026-11-22 17:00+01:00", "2026-11-22T16:00Z"),
        ] {
            assert_eq!(read(written, chrono_tz::Asia::Kolkata).as_deref(), Some(expected), "{written}");
        }
        for written in ["tomorrow at five", "2026-11-22", "17:00", "2026-13-22T17:00", "2026-11-22T25:00", ""] {
            assert_eq!(read(written, chrono_tz::Asia::Kolkata), None, "{written}");
        }
    }

    #[test]
    fn an_hour_that_the_clocks_skip_is_the_first_after_it_and_one_that_comes_twice_the_first() {
        let new_york = chrono_tz::America::New_York;
        assert_eq!(read("2026-03-08T02:30", new_york).as_deref(), Some("2026-03-08T07:00Z"));
        assert_eq!(read("2026-11-01T01:30", new_york).as_deref(), Some("2026-11-01T05:30Z"));
        // Samoa went over a whole day.
        assert_eq!(read("2011-12-30T12:00", chrono_tz::Pacific::Apia).as_deref(), Some("2011-12-30T10:00Z"));
    }

    #[test]
    fn a_moment_that_nobody_can_mean_is_told_from_one_that_somebody_can() {
        let said_at = at("2026-11-23T07:30:00Z");
        assert!(is_plausible(at("2026-11-24T11:30:00Z"), said_at));
        for wrong in ["2025-11-24T11:30:00Z", "2026-11-23T07:30:00Z", "2031-01-01T00:00:00Z"] {
            assert!(!is_plausible(at(wrong), said_at), "{wrong}");
        }
    }

    #[test]
    fn what_is_agreed_is_what_the_campaigns_hours_allow() {
        // Monday, 13:00 in India; 10:00 to 19:00, no Sunday.
        let terms = CallbackTerms::usual(at("2026-11-23T07:30:00Z"), chrono_tz::Asia::Kolkata, "IN");
        let agreed = |written: &str| terms.agree(written).map(|(_, agreed)| agreed);
        let local = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap();
        assert_eq!(
            terms.agree("2026-11-24 17:00"),
            Some((local("2026-11-24T17:00"), Agreed::AsAsked)),
            "and it says which moment that is"
        );
        assert_eq!(agreed("2026-11-24T22:00"), Some(Agreed::Instead(local("2026-11-25T10:00"))));
        assert_eq!(agreed("2026-11-28T20:00"), Some(Agreed::Instead(local("2026-11-30T10:00"))), "not on Sunday");
        assert_eq!(agreed("2026-11-23T11:00"), Some(Agreed::NoSuchMoment));
        assert_eq!(agreed("later"), None);
        let ending = CallbackTerms { ends_at: Some(at("2026-11-24T12:00:00Z")), ..terms.clone() };
        assert_eq!(ending.agree("2026-11-24T17:00").unwrap().1, Agreed::AsAsked);
        assert_eq!(ending.agree("2026-11-24T19:30").unwrap().1, Agreed::ByHand);
        let spent = CallbackTerms { may_call: false, ..terms };
        assert_eq!(spent.agree("2026-11-24T17:00").unwrap().1, Agreed::ByHand);
    }
}
