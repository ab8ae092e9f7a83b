//! What calls cost: dated prices, an account's own before everybody's.

use chrono::NaiveDate;
use sqlx::PgExecutor;

use crate::forecast::{Forecast, Run, Spread};
use crate::id::AccountId;

/// Of a prompt that grows with the conversation and is mostly cached, over six turns.
const LLM_INPUT_TOKENS_PER_MINUTE: f64 = 12_000.0;
const LLM_OUTPUT_TOKENS_PER_MINUTE: f64 = 360.0;
const TTS_CHARACTERS_PER_MINUTE: f64 = 450.0;

/// What every estimate of costs takes for granted, in plain words.
pub const ASSUMPTIONS: [&str; 2] = [
    "a minute of conversation takes 12,000 input and 360 output tokens and 450 spoken characters; all of its length is transcribed",
    "tokens are priced as if none were cached; taxes, numbers and text messages are left out",
];

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Price {
    /// `carrier_minute` (started), `stt_minute`, `llm_input_1k_tokens`, `llm_cached_1k_tokens`, `llm_output_1k_tokens`,
    /// `audio_input_1k_tokens`, `audio_output_1k_tokens` or `tts_1k_characters`.
    pub item: String,
    pub provider: String,
    /// Millionths of the currency's unit.
    pub price_micros: i64,
    pub currency: String,
    pub valid_from: NaiveDate,
    /// Where it was read.
    pub source: String,
    /// Nobody's list says it.
    pub is_estimate: bool,
}

impl Price {
    /// In units of the currency.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the price of a minute, far below 2^52 millionths")]
    pub fn amount(&self) -> f64 {
        self.price_micros as f64 / 1e6
    }
}

/// The prices that estimates for the account are made with on this day; an item that nobody has priced is absent.
pub async fn current(db: impl PgExecutor<'_>, account: AccountId, on: NaiveDate) -> sqlx::Result<Vec<Price>> {
    sqlx::query_as!(
        Price,
        r#"
        select distinct on (item) item, provider, price_micros, currency, valid_from, source, is_estimate
        from price_book
        where (account_id is null or account_id = $1) and valid_from <= $2 and in_estimates
        order by item, account_id nulls last, valid_from desc
        "#,
        account as AccountId,
        on,
    )
    .fetch_all(db)
    .await
}

/// A price of one model, or of all of a provider's that have none of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPrice {
    pub model: Option<String>,
    /// By the account's own contract.
    pub is_own: bool,
    pub price: Price,
}

/// All prices that hold for the account on this day.
pub async fn on(db: impl PgExecutor<'_>, account: AccountId, day: NaiveDate) -> sqlx::Result<Vec<ModelPrice>> {
    let rows = sqlx::query!(
        r#"
        select distinct on (item, provider, model, account_id) item, provider, model, account_id is not null as "is_own!",
            price_micros, currency, valid_from, source, is_estimate
        from price_book
        where (account_id is null or account_id = $1) and valid_from <= $2
        order by item, provider, model, account_id, valid_from desc
        "#,
        account as AccountId,
        day,
    )
    .fetch_all(db)
    .await?;
    let prices = rows.into_iter().map(|row| ModelPrice {
        model: row.model,
        is_own: row.is_own,
        price: Price {
            item: row.item,
            provider: row.provider,
            price_micros: row.price_micros,
            currency: row.currency,
            valid_from: row.valid_from,
            source: row.source,
            is_estimate: row.is_estimate,
        },
    });
    Ok(prices.collect())
}

/// What `item` costs of this model: by the account's own price before everybody's, then by the model's before its provider's.
#[must_use]
pub fn of_model<'a>(prices: &'a [ModelPrice], item: &str, provider: &str, model: &str) -> Option<&'a Price> {
    let applies = |known: &&ModelPrice| {
        let of_model = known.model.as_deref().is_none_or(|named| named == model);
        known.price.item == item && known.price.provider == provider && of_model
    };
    let best = prices.iter().filter(applies).max_by_key(|known| (known.is_own, known.model.is_some()));
    best.map(|known| &known.price)
}

/// A sum of money. Sums in several currencies are not added up: no rate of exchange is ours to choose.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Cost {
    pub currency: String,
    pub p50: f64,
    pub p90: f64,
}

/// What the runs of a forecast cost, by currency.
#[must_use]
pub fn cost(prices: &[Price], forecast: &Forecast) -> Vec<Cost> {
    let mut currencies: Vec<&str> = prices.iter().map(|price| price.currency.as_str()).collect();
    currencies.sort_unstable();
    currencies.dedup();
    let of = |currency: &str| {
        let prices: Vec<&Price> = prices.iter().filter(|price| price.currency == currency).collect();
        let Spread { p50, p90 } =
            forecast.spread(|run| prices.iter().map(|price| units(price, run) * price.amount()).sum());
        Cost { currency: currency.to_owned(), p50, p90 }
    };
    currencies.into_iter().map(of).collect()
}

fn units(price: &Price, run: &Run) -> f64 {
    match price.item.as_str() {
        "carrier_minute" => run.billed_minutes,
        "stt_minute" => run.talk_minutes,
        "llm_input_1k_tokens" => run.talk_minutes * LLM_INPUT_TOKENS_PER_MINUTE / 1000.0,
        "llm_output_1k_tokens" => run.talk_minutes * LLM_OUTPUT_TOKENS_PER_MINUTE / 1000.0,
        "tts_1k_characters" => run.talk_minutes * TTS_CHARACTERS_PER_MINUTE / 1000.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(item: &str, price_micros: i64, currency: &str) -> Price {
        Price {
            item: item.into(),
            provider: "test".into(),
            price_micros,
            currency: currency.into(),
            valid_from: NaiveDate::MIN,
            source: String::new(),
            is_estimate: false,
        }
    }

    #[test]
    fn each_currency_has_a_sum_of_its_own() {
        let run = |minutes: f64| Run { talk_minutes: minutes, billed_minutes: 2.0 * minutes, ..Run::default() };
        let forecast = Forecast { runs: vec![run(10.0), run(20.0)], unreachable_leads: 0, never: None };
        let prices = [
            price("carrier_minute", 600_000, "INR"),
            price("stt_minute", 5_800, "USD"),
            price("tts_1k_characters", 50_000, "USD"),
            price("llm_output_1k_tokens", 500, "USD"),
        ];
        let [inr, usd] = &cost(&prices, &forecast)[..] else { panic!("two currencies") };
        assert_eq!((inr.currency.as_str(), inr.p50, inr.p90), ("INR", 12.0, 24.0));
        assert!((usd.p50 - 10.0 * (0.0058 + 0.0225 + 0.00018)).abs() < 1e-9, "{usd:?}");
        assert!(cost(&[], &forecast).is_empty());
    }
}
