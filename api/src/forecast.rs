//! When a campaign will be over, and what it will have taken.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use shared::account::{self, Account};
use shared::campaign::Campaign;
use shared::db::Tx;
use shared::forecast::{self, Never, Spread};
use shared::id::CampaignId;
use shared::outlook::{self, History, Outlook};
use shared::price_book::{self, Cost, Price};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::campaigns;
use crate::error::{ApiError, Problem};
use crate::extract::Path;
use crate::state::App;

/// Half of the simulated runs stay below `p50`, nine of ten below `p90`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Amount {
    pub p50: f64,
    pub p90: f64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Finish {
    /// Null where half of the runs do not end.
    pub p50: Option<DateTime<Utc>>,
    /// Null where one run in ten does not end.
    pub p90: Option<DateTime<Utc>>,
}

/// In one currency; sums in several are not added up.
#[derive(Debug, Serialize, ToSchema)]
pub struct CostView {
    #[schema(example = "INR")]
    pub currency: String,
    pub p50: f64,
    pub p90: f64,
}

/// What a campaign still has before it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Expected {
    /// When its last lead that can be called is done with.
    pub finish: Finish,
    /// Why it never finishes: `window_never_opens`, `no_capacity` or `beyond_one_year`.
    pub never: Option<&'static str>,
    pub calls: Amount,
    pub conversations: Amount,
    pub talk_minutes: Amount,
    /// Started minutes, as the carrier counts them.
    pub billed_minutes: Amount,
    /// Leads that `ends_at` leaves uncalled or unfinished.
    pub unfinished_leads: Amount,
    /// Leads whose window never opens.
    pub unreachable_leads: u64,
    pub cost: Vec<CostView>,
    pub based_on: BasedOn,
    /// Everything that is taken for granted and not measured, in plain words.
    pub assumptions: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BasedOn {
    /// This campaign's.
    pub own_calls: u64,
    /// Of the account's latest campaigns, this one included.
    pub account_calls: u64,
    /// Too few calls were seen: defaults were used.
    pub defaults: bool,
    /// Conversations per call where an attempt has not been seen.
    pub conversation_rate: f64,
    /// This campaign's calls by attempt.
    pub by_attempt: Vec<AttemptSeen>,
    pub talk_seconds: f64,
    pub ring_seconds: f64,
    pub prices: Vec<PriceView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptSeen {
    pub attempt: usize,
    pub calls: u64,
    pub conversations: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PriceView {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    price: Price,
    /// In units of the currency.
    pub amount: f64,
}

/// A campaign's remaining course, simulated.
#[derive(Debug, Serialize, ToSchema)]
pub struct ForecastView {
    pub campaign_id: i64,
    pub status: String,
    /// When this was said.
    pub at: DateTime<Utc>,
    /// From when on it calls: its scheduled start, or now. A paused campaign is forecast as if it were resumed.
    pub starts_at: DateTime<Utc>,
    #[serde(flatten)]
    pub expected: Expected,
}

/// What is still before the campaign: its finish, calls, conversations and cost, simulated 200 times over its windows, caps,
/// pace, retries and the answer rates seen so far.
#[utoipa::path(
    get, path = "/campaigns/{id}/forecast", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = OK, body = ForecastView), (status = NOT_FOUND, body = Problem))
)]
pub async fn forecast_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Json<ForecastView>, ApiError> {
    let now = app.clock.now();
    let mut tx = caller.tenant(&app).await?;
    let campaign = campaigns::found(&mut tx, caller, id).await?;
    let account = account::get(&mut *tx, caller.account).await?.ok_or_else(|| ApiError::not_found("account"))?;
    let outlook = look(&app, &mut tx, &account, &campaign, now).await?;
    let expected = expected(&mut tx, &account, &outlook, now).await?;
    Ok(Json(ForecastView {
        campaign_id: id.0,
        status: campaign.status.as_str().to_owned(),
        at: now,
        starts_at: outlook.starts_at,
        expected,
    }))
}

/// Reads and simulates. The dice are seeded with the campaign, so that the same state is told the same way twice.
pub async fn look(
    app: &App,
    tx: &mut Tx,
    account: &Account,
    campaign: &Campaign,
    now: DateTime<Utc>,
) -> Result<Outlook, ApiError> {
    let material = outlook::read(tx, account, campaign, now, app.carrier_rates.of(account.carrier)).await?;
    let seed = campaign.id.0.unsigned_abs();
    // Off the threads that serve requests: it takes the processor for up to a second.
    let simulated = tokio::task::spawn_blocking(move || {
        let mut random = StdRng::seed_from_u64(seed);
        material.simulate(&mut || random.random::<f64>())
    });
    simulated.await.map_err(|error| ApiError::Internal(error.into()))
}

pub async fn expected(
    tx: &mut Tx,
    account: &Account,
    outlook: &Outlook,
    now: DateTime<Utc>,
) -> Result<Expected, ApiError> {
    let prices = price_book::current(&mut **tx, account.id, now.date_naive()).await?;
    let forecast = &outlook.forecast;
    let amount = |of: fn(&forecast::Run) -> f64| {
        let Spread { p50, p90 } = forecast.spread(of);
        Amount { p50: rounded(p50), p90: rounded(p90) }
    };
    let Spread { p50, p90 } = forecast.finish();
    let cost = price_book::cost(&prices, forecast).into_iter();
    Ok(Expected {
        finish: Finish { p50, p90 },
        never: forecast.never.map(|never| match never {
            Never::WindowNeverOpens => "window_never_opens",
            Never::NoCapacity => "no_capacity",
            Never::BeyondOneYear => "beyond_one_year",
        }),
        calls: amount(|run| run.calls),
        conversations: amount(|run| run.conversations),
        talk_minutes: amount(|run| run.talk_minutes),
        billed_minutes: amount(|run| run.billed_minutes),
        unfinished_leads: amount(|run| run.unfinished_leads),
        unreachable_leads: forecast.unreachable_leads,
        cost: cost
            .map(|Cost { currency, p50, p90 }| CostView { currency, p50: rounded(p50), p90: rounded(p90) })
            .collect(),
        assumptions: assumptions(&outlook.history, &prices),
        based_on: based_on(&outlook.history, prices),
    })
}

fn based_on(history: &History, prices: Vec<Price>) -> BasedOn {
    let by_attempt = (1..).zip(history.seen).filter(|(_, seen)| seen.calls > 0);
    BasedOn {
        own_calls: history.own_calls,
        account_calls: history.account_calls,
        defaults: history.is_default,
        conversation_rate: history.rates.prior,
        by_attempt: by_attempt
            .map(|(attempt, seen)| AttemptSeen { attempt, calls: seen.calls, conversations: seen.conversations })
            .collect(),
        talk_seconds: rounded(history.rates.talk_secs),
        ring_seconds: rounded(history.rates.ring_secs),
        prices: prices.into_iter().map(|price| PriceView { amount: price.amount(), price }).collect(),
    }
}

fn assumptions(history: &History, prices: &[Price]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    if history.is_default {
        all.push(format!(
            "only {} calls have been seen: answer rates and lengths are mostly defaults (3 calls in 10 become a conversation of 90 s)",
            history.account_calls
        ));
    }
    let estimates = prices.iter().filter(|price| price.is_estimate);
    all.extend(estimates.map(|price| format!("the price of a {} is an estimate: {}", price.item, price.source)));
    let fixed = forecast::ASSUMPTIONS.into_iter().chain(price_book::ASSUMPTIONS);
    all.extend(fixed.map(str::to_owned));
    all
}

/// To hundredths: more would pretend to be known.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
