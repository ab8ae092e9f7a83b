//! What the carrier and the product say of what happened, side by side.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sandbox::exotel::{Call as CarrierCall, Recording};
use sandbox::log::Filter;
use sandbox::world::World;
use sqlx::PgPool;

use super::people::{Manner, Person};

/// A call as the carrier placed it, with the product's own row for it.
pub struct Placed {
    pub sid: String,
    pub reference: String,
    pub placed_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub answered: bool,
    pub lines_heard: usize,
    /// Streams that ended in order, by either side.
    pub whole_streams: usize,
    /// There is a file to fetch.
    pub recorded: bool,
    pub row: Option<CallRow>,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct CallRow {
    pub id: i64,
    pub lead_id: i64,
    pub campaign_id: i64,
    pub status: String,
    pub reference: String,
    pub withdrawn: bool,
    pub failure_reason: Option<String>,
    pub settled: bool,
    pub phone: String,
    pub agent_turns: i64,
    pub callee_turns: i64,
    pub summary: Option<String>,
    pub disposition: Option<String>,
    pub recording: Option<String>,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct LeadRow {
    pub id: i64,
    pub campaign_id: i64,
    pub phone: String,
    pub status: String,
    pub disposition: Option<String>,
    pub suppression_reason: Option<String>,
    pub attempts: i32,
    pub most_attempts: i32,
    pub campaign_status: String,
    pub on_the_list: bool,
    pub explained: bool,
}

pub struct Evidence {
    pub placed: Vec<Placed>,
    /// Every request to place a call, refused ones too.
    pub requests: Vec<DateTime<Utc>>,
    pub calls: Vec<CallRow>,
    pub leads: Vec<LeadRow>,
    /// Unfinished or dead jobs: queue, status, last error, key.
    pub jobs: Vec<(String, String, Option<String>, Option<String>)>,
    pub people: HashMap<String, Person>,
}

impl Evidence {
    /// Everything, read once.
    pub async fn gather(db: &PgPool, world: &Arc<World>, people: &[Person]) -> sqlx::Result<Self> {
        let calls: Vec<CallRow> = sqlx::query_as(
            r#"
            select c.id, c.lead_id, c.campaign_id, c.status, c.reference, c.withdrawn_at is not null as withdrawn, c.failure_reason,
                c.settled_at is not null as settled, c.phone,
                (select count(*) from turns t where t.call_id = c.id and t.role = 'agent') as agent_turns,
                (select count(*) from turns t where t.call_id = c.id and t.role = 'callee') as callee_turns,
                v.summary, v.disposition, r.status as recording
            from calls c
            left join conversations v on v.call_id = c.id
            left join recordings r on r.call_id = c.id
            where c.lead_id is not null
            order by c.id
            "#,
        )
        .fetch_all(db)
        .await?;
        let leads = sqlx::query_as(
            r#"
            select l.id, l.campaign_id, l.phone, l.status, l.disposition, l.suppression_reason, l.attempts,
                g.max_attempts_per_lead + l.callbacks_granted as most_attempts, g.status as campaign_status,
                exists (select from do_not_call d where d.account_id = l.account_id and d.phone = l.phone) as on_the_list,
                exists (select from call_events e where e.lead_id = l.id) as explained
            from leads l join campaigns g on g.id = l.campaign_id
            order by l.id
            "#,
        )
        .fetch_all(db)
        .await?;
        let jobs = sqlx::query_as(
            r#"
            select job_type, status, last_result::text, idempotency_key from apalis.jobs
            where status <> 'Done' and job_type <> 'sweep' order by 1, 2
            "#,
        )
        .fetch_all(db)
        .await?;
        let rows: HashMap<&str, &CallRow> = calls.iter().map(|call| (call.reference.as_str(), call)).collect();
        let placed = world.exotel.calls().iter().map(|call| seen(call, &rows)).collect();
        let filter = Filter { kind: Some("request.connect".into()), ..Filter::default() };
        let requests = world.log.entries(&filter).iter().filter_map(|entry| entry.at.parse().ok()).collect();
        let people = people.iter().map(|person| (person.phone.clone(), person.clone())).collect();
        Ok(Self { placed, requests, leads, jobs, people, calls })
    }

    pub fn person(&self, phone: &str) -> Option<&Person> {
        self.people.get(phone)
    }

    /// When somebody who asks not to be called said so, for each number that was heard to.
    pub fn asked_not_to_be_called(&self) -> HashMap<&str, DateTime<Utc>> {
        let asked = self.placed.iter().filter_map(|call| {
            let row = call.row.as_ref()?;
            let asks = self.person(&row.phone)?.manner == Manner::AsksNotToBeCalled;
            // Said to an agent that had greeted, over a stream that did not break.
            (asks && row.disposition.as_deref() == Some("do_not_call")).then_some((row.phone.as_str(), call.ended_at?))
        });
        asked.collect()
    }
}

fn seen(call: &CarrierCall, rows: &HashMap<&str, &CallRow>) -> Placed {
    let truth = call.truth().clone();
    let reference = call.request.reference().unwrap_or_default();
    Placed {
        sid: call.sid.clone(),
        placed_at: call.placed_at,
        ended_at: truth.ended_at,
        answered: truth.answered_at.is_some(),
        lines_heard: truth.heard.iter().filter(|line| line.full_text.is_none()).count(),
        whole_streams: truth.streams.iter().filter(|stream| stream.status != "failed").count(),
        recorded: matches!(truth.recording, Recording::Due { .. }),
        row: rows.get(reference.as_str()).map(|&row| row.clone()),
        reference,
    }
}

/// Domain time of a wall-clock instant, by the clock that the processes were given.
#[derive(Clone, Copy, Debug)]
pub struct DomainClock {
    pub epoch: DateTime<Utc>,
    pub start: DateTime<Utc>,
    pub speed: i32,
}

impl DomainClock {
    pub fn at(&self, wall: DateTime<Utc>) -> DateTime<Utc> {
        self.start + (wall - self.epoch) * self.speed
    }

    pub fn span(&self, wall: TimeDelta) -> TimeDelta {
        wall * self.speed
    }
}
