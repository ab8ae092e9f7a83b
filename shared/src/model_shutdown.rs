//! The day on which OpenAI shuts a model down: who uses it, and when their account hears of it.
//!
//! An account is told at 60 days, at 14 and on the last one, once each. What it was told is a row, so that a poll that runs twice,
//! or after an outage, tells nobody twice and forgets nobody.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use crate::alert::{self, AlertKind, NewAlert};
use crate::id::AccountId;
use crate::provider::{Choice, LlmProvider, SttProvider, TtsProvider, usual};
use crate::voice_agent::VoiceAgentSettings;

/// Days before the end at which an account is told, nearest first.
const TOLD_AT: [i32; 3] = [1, 14, 60];

/// What calls are held with where a voice agent names nothing, and what reads them afterwards.
#[derive(Clone, Debug)]
pub struct Installation {
    pub stt: Choice<SttProvider>,
    pub stt_fallback: Option<Choice<SttProvider>>,
    pub llm: Choice<LlmProvider>,
    pub llm_fallback: Option<Choice<LlmProvider>>,
    pub tts: Choice<TtsProvider>,
    pub tts_fallback: Option<Choice<TtsProvider>>,
    /// OpenAI's language model, where none is named.
    pub llm_model: String,
    /// OpenAI's model that writes summaries, where one does.
    pub summary_model: Option<String>,
}

/// Models by name, and the work that each does.
type Used = BTreeMap<String, &'static str>;

impl Installation {
    /// OpenAI's models that a voice agent's calls need, chosen as `media` chooses them.
    fn used_by(&self, agent: &VoiceAgentSettings) -> Used {
        let mut used = Used::new();
        if let Some(model) = &self.summary_model {
            used.insert(model.clone(), "summaries");
        }
        if let Some(choice) = &agent.speech_to_speech {
            used.insert(usual::REALTIME_TRANSCRIBER.to_owned(), "transcription");
            used.insert(choice.model.clone().unwrap_or_else(|| usual::REALTIME.to_owned()), "speech to speech");
        }
        let is_whole = agent.speech_to_speech.is_some();
        let ears = chosen(&agent.stt, &self.stt, &agent.stt_fallback, &self.stt_fallback, agent.stt_model.as_ref());
        for (_, model) in ears.filter(|(choice, _)| !is_whole && choice.provider == SttProvider::OpenAi) {
            used.insert(model.unwrap_or_else(|| usual::OPENAI_STT.to_owned()), "transcription");
        }
        let minds = chosen(&agent.llm, &self.llm, &agent.llm_fallback, &self.llm_fallback, agent.llm_model.as_ref());
        for (_, model) in minds.filter(|(choice, _)| !is_whole && choice.provider == LlmProvider::OpenAi) {
            used.insert(model.unwrap_or_else(|| self.llm_model.clone()), "language model");
        }
        // Beside a model that speaks, a voice that was chosen says the words that must be exact.
        let speaks = !is_whole || agent.tts.is_some();
        let voices = chosen(&agent.tts, &self.tts, &agent.tts_fallback, &self.tts_fallback, None);
        for (_, model) in voices.filter(|(choice, _)| speaks && choice.provider == TtsProvider::OpenAi) {
            used.insert(model.unwrap_or_else(|| usual::OPENAI_TTS.to_owned()), "voice");
        }
        used
    }
}

/// The first choice and who stands by, each with the model that it names. `model` is of the first choice alone.
fn chosen<'a, P>(
    first: &'a Option<Choice<P>>,
    installations: &'a Choice<P>,
    second: &'a Option<Choice<P>>,
    installations_second: &'a Option<Choice<P>>,
    model: Option<&'a String>,
) -> impl Iterator<Item = (&'a Choice<P>, Option<String>)> {
    let first = (first.as_ref().unwrap_or(installations), model);
    let second = second.as_ref().or(installations_second.as_ref()).map(|choice| (choice, None));
    [Some(first), second]
        .into_iter()
        .flatten()
        .map(|(choice, model)| (choice, choice.model.as_ref().or(model).cloned()))
}

/// The nearest of the days at which an account is told; `None` while the end is further away than all of them.
fn told_at(shutdown: NaiveDate, today: NaiveDate) -> Option<i32> {
    let left = (shutdown - today).num_days();
    TOLD_AT.into_iter().find(|days| left <= i64::from(*days))
}

/// Has each account told of the models that its calls are held with and that end soon. `shutdowns`: every model with a date, as the
/// provider lists them now. Pass a connection inside a transaction.
pub async fn watch(
    db: &mut PgConnection,
    installation: &Installation,
    shutdowns: &BTreeMap<String, NaiveDate>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut accounts: BTreeMap<i64, Used> = BTreeMap::new();
    for (account, agent) in active_agents(&mut *db).await? {
        accounts.entry(account.0).or_default().extend(installation.used_by(&agent));
    }
    for (account, used) in accounts {
        tell(&mut *db, AccountId(account), &used, shutdowns, now).await?;
    }
    Ok(())
}

/// With the settings of their latest version: those of campaigns that are not over.
async fn active_agents(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(AccountId, VoiceAgentSettings)>> {
    let rows = sqlx::query!(
        r#"
        select a.account_id as "account: AccountId", v.settings as "settings: Json<VoiceAgentSettings>"
        from voice_agents a
        join voice_agent_versions v on v.voice_agent_id = a.id and v.version = a.version
        where exists (
            select from campaigns c where c.voice_agent_id = a.id and c.status not in ('completed', 'canceled')
        )
        order by a.id
        "#,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account, row.settings.0)).collect())
}

async fn tell(
    db: &mut PgConnection,
    account: AccountId,
    used: &Used,
    shutdowns: &BTreeMap<String, NaiveDate>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let today = now.date_naive();
    let mut ends: Vec<(NaiveDate, &str, &str)> = Vec::new();
    let mut is_news = false;
    for (model, work) in used {
        let Some(&shutdown) = shutdowns.get(model) else { continue };
        let Some(days) = told_at(shutdown, today) else { continue };
        ends.push((shutdown, model, work));
        is_news |= note(&mut *db, account, model, shutdown, days, now).await?;
    }
    ends.sort_unstable();
    if !is_news && !ends.is_empty() {
        return Ok(());
    }
    // Of each kind one alert is open: a nearer end, or another model's, takes the place of what was told before.
    resolve(&mut *db, account, now).await?;
    let Some((first, ..)) = ends.first() else { return Ok(()) };
    let left = (*first - today).num_days();
    let models: Vec<String> = ends.iter().map(|(day, model, work)| format!("{model} ({work}) on {day}")).collect();
    let detail = format!(
        "The provider shuts down {}. Calls that need it fail from that day on: choose other models in the voice agents, or in the \
         settings of the installation.",
        models.join(", ")
    );
    let title = match left {
        ..0 => "A model that calls are held with has been shut down".to_owned(),
        0 => "A model that calls are held with is shut down today".to_owned(),
        1 => "A model that calls are held with is shut down tomorrow".to_owned(),
        days => format!("A model that calls are held with is shut down in {days} days"),
    };
    let kind = AlertKind::ModelShutdown;
    alert::raise(
        db,
        NewAlert { account_id: account, kind, campaign_id: None, title: &title, detail: &detail, at: now },
    )
    .await?;
    Ok(())
}

/// `false`: it has been told.
async fn note(
    db: impl PgExecutor<'_>,
    account: AccountId,
    model: &str,
    shutdown: NaiveDate,
    days: i32,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let noted = sqlx::query!(
        r#"
        insert into model_shutdown_notices (account_id, model, shutdown_on, days, told_at)
        values ($1, $2, $3, $4, $5)
        on conflict do nothing
        "#,
        account as AccountId,
        model,
        shutdown,
        days,
        now,
    )
    .execute(db)
    .await?;
    Ok(noted.rows_affected() > 0)
}

async fn resolve(db: impl PgExecutor<'_>, account: AccountId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update alerts set resolved_at = $2, changed_at = now()
        where account_id = $1 and kind = 'model_shutdown' and resolved_at is null
        "#,
        account as AccountId,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation() -> Installation {
        Installation {
            stt: "deepgram".parse().unwrap(),
            stt_fallback: Some("openai".parse().unwrap()),
            llm: "openai".parse().unwrap(),
            llm_fallback: None,
            tts: "elevenlabs".parse().unwrap(),
            tts_fallback: None,
            llm_model: "gpt-6-luna".into(),
            summary_model: Some("gpt-6-sol".into()),
        }
    }

    fn used(agent: serde_json::Value) -> Vec<(String, &'static str)> {
        installation().used_by(&serde_json::from_value(agent).unwrap()).into_iter().collect()
    }

    #[test]
    fn a_voice_agent_uses_what_it_names_and_the_installations_models_otherwise() {
        let of = |models: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
            models.iter().map(|(model, work)| ((*model).to_owned(), *work)).collect()
        };
        let usual = of(&[
            ("gpt-6-luna", "language model"),
            ("gpt-6-sol", "summaries"),
            ("gpt-live-transcribe", "transcription"),
        ]);
        assert_eq!(used(serde_json::json!({})), usual);
        let own = serde_json::json!({"llm_model": "gpt-4o-mini", "tts": {"provider": "openai"},
            "stt_fallback": {"provider": "sarvam"}, "llm_fallback": {"provider": "openai", "model": "gpt-5"}});
        let expected = [
            ("gpt-4o-mini", "language model"),
            ("gpt-4o-mini-tts", "voice"),
            ("gpt-5", "language model"),
            ("gpt-6-sol", "summaries"),
        ];
        assert_eq!(used(own), of(&expected));
        let whole = serde_json::json!({"speech_to_speech": {"provider": "openai", "model": "gpt-realtime"}});
        let expected =
            [("gpt-6-sol", "summaries"), ("gpt-realtime", "speech to speech"), ("gpt-transcribe", "transcription")];
        assert_eq!(used(whole), of(&expected));
    }

    #[test]
    fn an_account_is_told_at_sixty_days_at_fourteen_and_on_the_last_one() {
        let today = NaiveDate::from_ymd_opt(2026, 11, 25).unwrap();
        let told = |days: i64| told_at(today + chrono::TimeDelta::days(days), today);
        let found: Vec<Option<i32>> = [61, 60, 15, 14, 2, 1, 0, -3].map(told).to_vec();
        assert_eq!(found, [None, Some(60), Some(60), Some(14), Some(14), Some(1), Some(1), Some(1)]);
    }
}
