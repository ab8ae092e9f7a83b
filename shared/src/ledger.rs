//! The ledger: what each call used of whom, in the provider's own unit, and what that cost on its day.

use chrono::NaiveDate;
use sqlx::{PgConnection, PgExecutor};

use crate::id::{AccountId, CallId, CampaignId};
use crate::price_book::{self, Price};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Audio sent to be transcribed, silence included.
    SttMillisecond,
    /// Read by the model, and not cached.
    LlmInputToken,
    /// Read by the model from its provider's cache.
    LlmCachedToken,
    LlmOutputToken,
    /// Sound heard by a model that hears by itself, and not cached.
    AudioInputToken,
    /// Sound made by a model that speaks by itself.
    AudioOutputToken,
    /// Sent to be spoken, whether it was heard or not.
    TtsCharacter,
    /// Begun; never stored, because the carrier's word for the length may come late.
    CarrierMinute,
}

impl Unit {
    pub const ALL: [Self; 8] = [
        Self::SttMillisecond,
        Self::LlmInputToken,
        Self::LlmCachedToken,
        Self::LlmOutputToken,
        Self::AudioInputToken,
        Self::AudioOutputToken,
        Self::TtsCharacter,
        Self::CarrierMinute,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SttMillisecond => "stt_millisecond",
            Self::LlmInputToken => "llm_input_token",
            Self::LlmCachedToken => "llm_cached_token",
            Self::LlmOutputToken => "llm_output_token",
            Self::AudioInputToken => "audio_input_token",
            Self::AudioOutputToken => "audio_output_token",
            Self::TtsCharacter => "tts_character",
            Self::CarrierMinute => "carrier_minute",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.as_str() == word)
    }

    /// The item of the price book that prices it, and how many of it that price is for.
    #[must_use]
    pub fn priced_as(self) -> (&'static str, f64) {
        match self {
            Self::SttMillisecond => ("stt_minute", 60_000.0),
            Self::LlmInputToken => ("llm_input_1k_tokens", 1_000.0),
            Self::LlmCachedToken => ("llm_cached_1k_tokens", 1_000.0),
            Self::LlmOutputToken => ("llm_output_1k_tokens", 1_000.0),
            Self::AudioInputToken => ("audio_input_1k_tokens", 1_000.0),
            Self::AudioOutputToken => ("audio_output_1k_tokens", 1_000.0),
            Self::TtsCharacter => ("tts_1k_characters", 1_000.0),
            Self::CarrierMinute => ("carrier_minute", 1.0),
        }
    }
}

/// So much of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    pub provider: String,
    /// Empty for carriers.
    pub model: String,
    pub unit: Unit,
    pub quantity: i64,
}

/// Stores how much one stream of a call has used since it began; counts only rise, so that an older report that comes late changes
/// nothing.
pub async fn note(
    db: &mut PgConnection,
    account: AccountId,
    call: CallId,
    stream_sid: &str,
    used: &[Used],
) -> sqlx::Result<()> {
    let providers: Vec<String> = used.iter().map(|used| used.provider.clone()).collect();
    let models: Vec<String> = used.iter().map(|used| used.model.clone()).collect();
    let units: Vec<String> = used.iter().map(|used| used.unit.as_str().to_owned()).collect();
    let quantities: Vec<i64> = used.iter().map(|used| used.quantity).collect();
    sqlx::query!(
        r#"
        insert into call_usage (account_id, call_id, stream_sid, provider, model, unit, quantity)
        select $1, $2, $3, provider, model, unit, quantity
        from unnest($4::text[], $5::text[], $6::text[], $7::bigint[]) as used (provider, model, unit, quantity)
        on conflict (call_id, stream_sid, provider, model, unit) do update
        set quantity = greatest(call_usage.quantity, excluded.quantity)
        "#,
        account as AccountId,
        call as CallId,
        stream_sid,
        &providers,
        &models,
        &units,
        &quantities,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A line of a bill.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Line {
    pub provider: String,
    pub model: Option<String>,
    pub unit: Unit,
    pub quantity: i64,
    /// Absent where the price book has no price for it on that day.
    pub cost: Option<f64>,
    pub currency: Option<String>,
    /// Where the price was read.
    pub price_source: Option<String>,
    /// Nobody's list says the price.
    pub is_estimate: bool,
}

/// What was used, what of it could be priced, and the sums by currency.
#[derive(Clone, Debug, PartialEq, Default, serde::Serialize)]
pub struct Bill {
    pub lines: Vec<Line>,
    pub totals: Vec<Total>,
    /// Lines without a price are not in the totals.
    pub unpriced_lines: usize,
}

/// Sums in several currencies are not added up: no rate of exchange is ours to choose.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Total {
    pub currency: String,
    pub cost: f64,
}

/// Of one call, by the prices of the day on which it was queued.
pub async fn of_call(db: &mut PgConnection, account: AccountId, call: CallId) -> sqlx::Result<Bill> {
    let days = used_per_day(&mut *db, account, Some(call), None).await?;
    bill(db, account, days).await
}

/// Of all calls of a campaign, each by the prices of its own day.
pub async fn of_campaign(db: &mut PgConnection, account: AccountId, campaign: CampaignId) -> sqlx::Result<Bill> {
    let days = used_per_day(&mut *db, account, None, Some(campaign)).await?;
    bill(db, account, days).await
}

async fn used_per_day(
    db: impl PgExecutor<'_>,
    account: AccountId,
    call: Option<CallId>,
    campaign: Option<CampaignId>,
) -> sqlx::Result<Vec<(NaiveDate, Used)>> {
    let rows = sqlx::query!(
        r#"
        with meant as (
            select id, carrier, (queued_at at time zone 'UTC')::date as day, duration_seconds
            from calls
            where account_id = $1 and ($2::bigint is null or id = $2) and ($3::bigint is null or campaign_id = $3)
        )
        select day as "day!", provider as "provider!", model as "model!", unit as "unit!", sum(quantity)::bigint as "quantity!"
        from (
            select m.day, u.provider, u.model, u.unit, u.quantity
            from meant m join call_usage u on u.call_id = m.id
            union all
            -- A minute that was begun is a minute.
            select day, carrier, '', 'carrier_minute', ceil(duration_seconds / 60.0)::bigint
            from meant where duration_seconds > 0
        ) used
        group by day, provider, model, unit
        order by day, provider, model, unit
        "#,
        account as AccountId,
        call as Option<CallId>,
        campaign as Option<CampaignId>,
    )
    .fetch_all(db)
    .await?;
    let used = |row: (String, String, String, i64)| {
        let (provider, model, unit, quantity) = row;
        Some(Used { provider, model, unit: Unit::parse(&unit)?, quantity })
    };
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.day, used((row.provider, row.model, row.unit, row.quantity))?)))
        .collect())
}

async fn bill(db: &mut PgConnection, account: AccountId, days: Vec<(NaiveDate, Used)>) -> sqlx::Result<Bill> {
    let mut lines: Vec<Line> = Vec::new();
    let mut prices: Option<(NaiveDate, Vec<price_book::ModelPrice>)> = None;
    for (day, used) in days {
        let of_day = match prices.take() {
            Some((known, book)) if known == day => book,
            _ => price_book::on(&mut *db, account, day).await?,
        };
        let line = priced(used, &of_day);
        prices = Some((day, of_day));
        let is_same = |known: &&mut Line| {
            (&known.provider, &known.model, known.unit, &known.price_source)
                == (&line.provider, &line.model, line.unit, &line.price_source)
        };
        match lines.iter_mut().find(is_same) {
            Some(known) => {
                known.quantity += line.quantity;
                known.cost = known.cost.zip(line.cost).map(|(a, b)| a + b);
            }
            None => lines.push(line),
        }
    }
    Ok(total(lines))
}

#[expect(clippy::cast_precision_loss, reason = "what one campaign uses is far below 2^52")]
fn priced(used: Used, prices: &[price_book::ModelPrice]) -> Line {
    let (item, per) = used.unit.priced_as();
    let price = price_book::of_model(prices, item, &used.provider, &used.model);
    let cost = price.map(|price: &Price| used.quantity as f64 / per * price.amount());
    Line {
        provider: used.provider,
        model: Some(used.model).filter(|model| !model.is_empty()),
        unit: used.unit,
        quantity: used.quantity,
        cost,
        currency: price.map(|price| price.currency.clone()),
        price_source: price.map(|price| price.source.clone()),
        is_estimate: price.is_some_and(|price| price.is_estimate),
    }
}

fn total(lines: Vec<Line>) -> Bill {
    let mut totals: Vec<Total> = Vec::new();
    for line in &lines {
        let Some((cost, currency)) = line.cost.zip(line.currency.as_deref()) else { continue };
        match totals.iter_mut().find(|total| total.currency == currency) {
            Some(total) => total.cost += cost,
            None => totals.push(Total { currency: currency.to_owned(), cost }),
        }
    }
    for total in &mut totals {
        // What is added up is exact to a millionth, as prices are.
        total.cost = (total.cost * 1e6).round() / 1e6;
    }
    let unpriced_lines = lines.iter().filter(|line| line.cost.is_none()).count();
    Bill { lines, totals, unpriced_lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price_book::ModelPrice;

    fn price(item: &str, provider: &str, model: Option<&str>, micros: i64, currency: &str) -> ModelPrice {
        ModelPrice {
            model: model.map(str::to_owned),
            is_own: false,
            price: Price {
                item: item.into(),
                provider: provider.into(),
                price_micros: micros,
                currency: currency.into(),
                valid_from: NaiveDate::MIN,
                source: format!("{provider} {}", model.unwrap_or("any")),
                is_estimate: false,
            },
        }
    }

    fn used(provider: &str, model: &str, unit: Unit, quantity: i64) -> Used {
        Used { provider: provider.into(), model: model.into(), unit, quantity }
    }

    #[test]
    fn an_accounts_own_price_goes_first() {
        let own = ModelPrice { is_own: true, ..price("stt_minute", "deepgram", None, 1_000, "USD") };
        let prices = [price("stt_minute", "deepgram", Some("nova-3"), 5_800, "USD"), own];
        let line = priced(used("deepgram", "nova-3", Unit::SttMillisecond, 60_000), &prices);
        assert_eq!(line.cost, Some(0.001));
    }

    #[test]
    fn each_unit_is_priced_by_its_providers_own_item_and_its_model_before_any() {
        let prices = [
            price("stt_minute", "deepgram", None, 5_800, "USD"),
            price("stt_minute", "deepgram", Some("flux-general-en"), 6_500, "USD"),
            price("tts_1k_characters", "sarvam", None, 3_000_000, "INR"),
        ];
        let bill = total(
            [
                used("deepgram", "nova-3", Unit::SttMillisecond, 90_000),
                used("deepgram", "flux-general-en", Unit::SttMillisecond, 60_000),
                used("sarvam", "bulbul:v3", Unit::TtsCharacter, 450),
                used("openai", "gpt-7", Unit::LlmOutputToken, 60),
            ]
            .map(|used| priced(used, &prices))
            .to_vec(),
        );
        let costs: Vec<Option<f64>> = bill.lines.iter().map(|line| line.cost).collect();
        assert_eq!(costs, [Some(0.0087), Some(0.0065), Some(1.35), None]);
        assert_eq!(bill.unpriced_lines, 1, "an unknown price is said, not taken for nothing");
        let totals: Vec<(&str, f64)> = bill.totals.iter().map(|total| (total.currency.as_str(), total.cost)).collect();
        assert_eq!(totals, [("USD", 0.0152), ("INR", 1.35)]);
    }
}
