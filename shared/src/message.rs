//! Text messages that people send us: stored as they came, and their STOP taken for all that it is worth.
//!
//! Stored first and applied second, each in its own transaction, as with calls' webhooks. Applying twice changes nothing.
//!
//! Whose number a message was sent to is known only while the installation has one account: carriers are configured per
//! installation. With several, a STOP counts in every account that knows the human's number, and in any that learns of it
//! later ([`remember_opt_outs`]): too many lists rather than one too few.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeZone, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use crate::call::Carrier;
use crate::call_event::{self, NewEvent};
use crate::do_not_call::{self, Source};
use crate::id::{AccountId, MessageId};
use crate::opt_out_words::{Intent, intent};
use crate::phone::Phone;

/// Numbers without a country code are Indian, as on Exotel, where no account says otherwise. Twilio always names the country.
const HOME_REGION: &str = "IN";
/// Exotel tells Indian time, without a zone; Twilio tells none.
const CARRIER_OFFSET_SECS: i32 = 5 * 3600 + 1800;
pub(crate) const REASON: &str = "asked for in a text message";
/// Messages that one sweep takes.
const LIMIT: i64 = 500;

/// What became of a stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The number is on the lists of these accounts now; perhaps it was before.
    Stopped(Vec<AccountId>),
    /// A texted wish was taken back in these.
    Started(Vec<AccountId>),
    /// It asks for neither, comes from no number, or was overtaken by a later stop.
    Nothing,
    /// Somebody else has applied it, or is doing so.
    Taken,
}

/// Stores an incoming message (Exotel's has `SmsSid, From, To, Body, Date`, Twilio's `MessageSid, From, To, Body` and no time),
/// whatever it says. `None` if it was heard before. One without a sid is known by all that it says.
pub async fn store(
    db: impl PgExecutor<'_>,
    carrier: Carrier,
    fields: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<MessageId>> {
    let sid = field(fields, "SmsSid")
        .or_else(|| field(fields, "MessageSid"))
        .map_or_else(|| fingerprint(fields), str::to_owned);
    sqlx::query_scalar!(
        r#"
        insert into messages (carrier, carrier_message_id, fields, sent_at, at) values ($1, $2, $3, $4, $5)
        on conflict (carrier, carrier_message_id) do nothing
        returning id as "id: MessageId"
        "#,
        carrier.as_str(),
        sid,
        Json(fields) as _,
        field(fields, "Date").and_then(sent_at),
        now,
    )
    .fetch_optional(db)
    .await
}

/// Does what a stored message asks for. Pass a connection inside a transaction.
pub async fn apply(db: &mut PgConnection, id: MessageId) -> sqlx::Result<Applied> {
    // Skipping a locked row: the request that stored it and sweep may both come for it.
    let stored = sqlx::query!(
        r#"
        select fields as "fields: Json<BTreeMap<String, String>>", sent_at, at from messages
        where id = $1 and applied_at is null and direction = 'inbound'
        for update skip locked
        "#,
        id as MessageId,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(stored) = stored else { return Ok(Applied::Taken) };
    let fields = stored.fields.0;
    let accounts = accounts(&mut *db).await?;
    let sole = match accounts[..] {
        [(only, _)] => Some(only),
        _ => None,
    };
    let phones = readings(field(&fields, "From").unwrap_or_default(), &accounts);
    let intent = intent(field(&fields, "Body").unwrap_or_default()).filter(|_| !phones.is_empty());
    // The intent is written down before it is acted on, and one number's messages are acted on one at a time: a STOP that
    // arrives while its START is being applied is never lost to it.
    if let Some(phone) = phones.first() {
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended('sms:' || $1, 0))", phone)
            .fetch_one(&mut *db)
            .await?;
    }
    sqlx::query!(
        "update messages set applied_at = now(), account_id = $2, phone = $3, intent = $4 where id = $1",
        id as MessageId,
        sole as Option<AccountId>,
        phones.first(),
        intent.map(Intent::as_str),
    )
    .execute(&mut *db)
    .await?;
    let applied = match intent {
        None => Applied::Nothing,
        Some(Intent::Stop) => Applied::Stopped(stop(&mut *db, sole, &phones, stored.at).await?),
        Some(Intent::Start) if overtaken(&mut *db, id, phones.first(), stored.sent_at).await? => Applied::Nothing,
        Some(Intent::Start) => Applied::Started(do_not_call::lift_texted(&mut *db, sole, &phones).await?),
    };
    let (kind, concerned) = match &applied {
        Applied::Stopped(accounts) => ("sms_stop", &accounts[..]),
        Applied::Started(accounts) => ("sms_start", &accounts[..]),
        Applied::Nothing | Applied::Taken => ("", &[][..]),
    };
    for &account_id in concerned {
        let data = json!({ "message_id": id });
        let event = NewEvent { account_id, call_id: None, lead_id: None, kind, data, at: stored.at };
        call_event::record(&mut *db, event).await?;
    }
    Ok(applied)
}

/// Messages that nobody has applied: their request was cut short.
pub async fn unapplied(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<MessageId>> {
    sqlx::query_scalar!(
        r#"
        select id as "id: MessageId" from messages
        where applied_at is null and direction = 'inbound' and received_at < now() - interval '5 seconds'
        order by id
        limit $1
        "#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

/// Puts those of `phones` on the account's list that texted STOP before the account had heard of them. A number that it knows
/// has been dealt with when the message came, and what its operators did about that since stays.
pub(crate) async fn remember_opt_outs(
    db: impl PgExecutor<'_>,
    account: AccountId,
    phones: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        -- Those that ask for a stop first, and by themselves: they are few. Before tables that an import is just filling have
        -- been analyzed, the planner would else compare every phone with every contact.
        with stops as materialized (
            select p.phone, m.at
            from unnest($2::text[]) as p (phone)
            cross join lateral (
                select intent, at from messages
                where phone = p.phone and intent is not null and account_id is null
                order by id desc
                limit 1
            ) m
            where m.intent = 'stop'
        )
        insert into do_not_call (account_id, phone, reason, source, created_at)
        select $1, s.phone, $3, 'sms', s.at
        from stops s
        where not exists (select from contacts c where c.account_id = $1 and c.phone = s.phone)
        on conflict (account_id, phone) do nothing
        "#,
        account as AccountId,
        phones,
        REASON,
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn accounts(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(AccountId, String)>> {
    let rows = sqlx::query!(r#"select id as "id: AccountId", region from accounts order by id"#).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.region)).collect())
}

/// Every number that `from` can be, by the region of some account; the carrier's home region comes first unless the only
/// account has another.
fn readings(from: &str, accounts: &[(AccountId, String)]) -> Vec<String> {
    let mut regions: Vec<&str> = accounts.iter().map(|(_, region)| region.as_str()).collect();
    if accounts.len() != 1 {
        regions.insert(0, HOME_REGION);
    }
    let mut tried = BTreeSet::new();
    let mut phones: Vec<String> = Vec::new();
    for region in regions.into_iter().filter(|region| tried.insert(*region)) {
        match Phone::parse(from, region) {
            Ok(phone) if !phones.iter().any(|known| known == phone.as_str()) => phones.push(phone.as_str().to_owned()),
            _ => {}
        }
    }
    phones
}

async fn stop(
    db: &mut PgConnection,
    sole: Option<AccountId>,
    phones: &[String],
    at: DateTime<Utc>,
) -> sqlx::Result<Vec<AccountId>> {
    let concerned = match sole {
        Some(account) => phones.iter().map(|phone| (account, phone.clone())).collect(),
        None => acquainted(&mut *db, phones).await?,
    };
    for (account, phone) in &concerned {
        do_not_call::add(&mut *db, *account, phone, Source::Sms, REASON, None, at).await?;
    }
    let mut accounts: Vec<AccountId> = concerned.into_iter().map(|(account, _)| account).collect();
    accounts.dedup();
    Ok(accounts)
}

/// The accounts that have one of the numbers in their address book (every lead is in it) or have called it.
async fn acquainted(db: impl PgExecutor<'_>, phones: &[String]) -> sqlx::Result<Vec<(AccountId, String)>> {
    let rows = sqlx::query!(
        r#"
        select a.id as "account: AccountId", p.phone as "phone!"
        from accounts a
        cross join unnest($1::text[]) as p (phone)
        where exists (select from contacts c where c.account_id = a.id and c.phone = p.phone)
            or exists (select from calls k where k.account_id = a.id and k.phone = p.phone)
        order by 1, 2
        "#,
        phones,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account, row.phone)).collect())
}

/// Whether a stop of this number was heard after the start `id`, or was sent after it.
async fn overtaken(
    db: impl PgExecutor<'_>,
    id: MessageId,
    phone: Option<&String>,
    sent_at: Option<DateTime<Utc>>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from messages
            where phone = $2 and intent = 'stop' and (id > $1 or sent_at > $3)
        ) as "overtaken!"
        "#,
        id as MessageId,
        phone,
        sent_at,
    )
    .fetch_one(db)
    .await
}

/// By its name in any case; empty is absent.
fn field<'a>(fields: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let value = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    value.filter(|value| !value.is_empty())
}

fn sent_at(text: &str) -> Option<DateTime<Utc>> {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    Some(FixedOffset::east_opt(CARRIER_OFFSET_SECS)?.from_local_datetime(&local).single()?.to_utc())
}

fn fingerprint(fields: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (name, value) in fields {
        for part in [name, value] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carriers_time_is_indian() {
        assert_eq!(
            sent_at("2026-11-23 11:00:00").map(|at| at.to_rfc3339()).as_deref(),
            Some("2026-11-23T05:30:00+00:00")
        );
        assert_eq!(sent_at("yesterday"), None);
    }

    #[test]
    fn a_number_is_read_as_every_account_would_read_it() {
        let accounts = |regions: &[&str]| -> Vec<(AccountId, String)> {
            regions.iter().enumerate().map(|(id, region)| (AccountId(id as i64), (*region).to_owned())).collect()
        };
        assert_eq!(readings("09845012345", &accounts(&["IN"])), ["+919845012345"]);
        assert_eq!(readings("2125550123", &accounts(&["US"])), ["+12125550123"]);
        assert_eq!(readings("09845012345", &accounts(&["US", "GB"]))[0], "+919845012345");
        assert_eq!(readings("VM-HDFCBK", &accounts(&["IN"])), Vec::<String>::new());
    }

    #[test]
    fn messages_without_a_sid_differ_by_what_they_say() {
        let of = |body: &str| fingerprint(&[("Body".to_owned(), body.to_owned())].into());
        assert_eq!(of("STOP"), of("STOP"));
        assert_ne!(of("STOP"), of("START"));
    }
}
