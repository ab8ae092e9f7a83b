//! Which providers a voice agent may name, and what calls cost that were held with them.

use serde_json::json;
use shared::id::CallId;
use shared::ledger::{self, Unit, Used};

use crate::harness::{TestApi, monday};

/// An answered call of 61 seconds.
async fn answered(api: &TestApi) -> (i64, i64) {
    let campaign = api.create_campaign(json!({"name": "Costs"})).await;
    let lead = api.add_lead(campaign, "+919845012345", "Priya").await;
    let call = api.add_call(lead, "ref-1").await;
    sqlx::query("update calls set status = 'completed', queued_at = $2, answered_at = $2, ended_at = $2, duration_seconds = 61 where id = $1")
        .bind(call)
        .bind(monday())
        .execute(&api.db)
        .await
        .unwrap();
    (campaign, call)
}

async fn note(api: &TestApi, call: i64, stream: &str, used: &[(&str, &str, Unit, i64)]) {
    let used: Vec<Used> = used
        .iter()
        .map(|(provider, model, unit, quantity)| Used {
            provider: (*provider).into(),
            model: (*model).into(),
            unit: *unit,
            quantity: *quantity,
        })
        .collect();
    let mut connection = api.db.acquire().await.unwrap();
    ledger::note(&mut connection, api.account, CallId(call), stream, &used).await.unwrap();
}

#[tokio::test]
async fn a_call_is_billed_in_each_providers_own_unit_by_the_prices_of_its_day() {
    let api = TestApi::start().await;
    let (campaign, call) = answered(&api).await;
    // Two streams of one call; a report that comes late changes nothing.
    note(&api, call, "s1", &[("deepgram", "nova-3", Unit::SttMillisecond, 30_000)]).await;
    note(&api, call, "s1", &[("deepgram", "nova-3", Unit::SttMillisecond, 10_000)]).await;
    let second = [
        ("deepgram", "nova-3", Unit::SttMillisecond, 30_000),
        ("anthropic", "claude-haiku-5-5", Unit::LlmInputToken, 2_000),
        ("anthropic", "claude-haiku-5-5", Unit::LlmCachedToken, 10_000),
        ("sarvam", "bulbul:v3", Unit::TtsCharacter, 500),
        ("openai", "gpt-9", Unit::LlmOutputToken, 50),
    ];
    note(&api, call, "s2", &second).await;
    let costs = api.get(&format!("/calls/{call}")).await.json()["costs"].clone();
    let of = |provider: &str, unit: &str| {
        let lines = costs["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["provider"] == provider && line["unit"] == unit);
        let line = line.unwrap_or_else(|| panic!("{provider} {unit}: {costs}"));
        (
            line["quantity"].as_i64().unwrap(),
            line["cost"].as_f64().map(|cost| (cost * 1e6).round()),
            line["currency"].clone(),
        )
    };
    assert_eq!(of("deepgram", "stt_millisecond"), (60_000, Some(5_800.0), json!("USD")));
    assert_eq!(of("anthropic", "llm_input_token"), (2_000, Some(200.0), json!("USD")));
    assert_eq!(of("anthropic", "llm_cached_token"), (10_000, Some(100.0), json!("USD")));
    assert_eq!(of("sarvam", "tts_character"), (500, Some(1_500_000.0), json!("INR")));
    assert_eq!(of("exotel", "carrier_minute"), (2, Some(1_200_000.0), json!("INR")), "a minute begun is a minute");
    assert_eq!(of("openai", "llm_output_token").1, None, "nobody has priced that model");
    assert_eq!(costs["unpriced_lines"], 1);
    assert_eq!(costs["totals"].as_array().unwrap().len(), 2, "{costs}");

    // The account's own price goes before everybody's, from its day on.
    sqlx::query(
        "insert into price_book (account_id, item, provider, price_micros, currency, valid_from, source)
         values ($1, 'carrier_minute', 'exotel', 250000, 'INR', '2026-11-01', 'contract'),
            ($1, 'carrier_minute', 'exotel', 999999, 'INR', '2026-12-01', 'next contract')",
    )
    .bind(api.account.0)
    .execute(&api.db)
    .await
    .unwrap();
    let costs = api.get(&format!("/calls/{call}")).await.json()["costs"].clone();
    let carrier =
        costs["lines"].as_array().unwrap().iter().find(|line| line["unit"] == "carrier_minute").cloned().unwrap();
    assert_eq!((&carrier["cost"], &carrier["price_source"]), (&json!(0.5), &json!("contract")), "{carrier}");

    let campaign = api.get(&format!("/analytics/campaign/{campaign}")).await.json();
    assert_eq!(campaign["costs"], costs, "its only call");
    api.finish().await;
}

#[tokio::test]
async fn what_estimates_are_made_with_is_as_it_was() {
    let api = TestApi::start().await;
    let prices = shared::price_book::current(&api.db, api.account, monday().date_naive()).await.unwrap();
    let items: Vec<(&str, &str)> = prices.iter().map(|price| (price.item.as_str(), price.provider.as_str())).collect();
    let expected = [
        ("carrier_minute", "exotel"),
        ("llm_input_1k_tokens", "openai"),
        ("llm_output_1k_tokens", "openai"),
        ("stt_minute", "deepgram"),
        ("tts_1k_characters", "elevenlabs"),
    ];
    assert_eq!(items, expected);
    api.finish().await;
}

#[tokio::test]
async fn a_voice_agent_names_only_providers_that_the_installation_has_keys_for() {
    let api = TestApi::start().await;
    let settings = json!({"stt": {"provider": "deepgram_flux"}, "llm_fallback": {"provider": "openai", "model": "gpt-6-sol"},
        "tts": {"provider": "deepgram", "model": "aura-2-thalia-en"}, "tts_fallback": {"provider": "elevenlabs", "voice": "v1"}});
    let made = api.post("/voice-agents", json!({"name": "Sales", "settings": settings})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["settings"]["tts_fallback"], json!({"provider": "elevenlabs", "voice": "v1"}));

    let wrong = json!({"stt": {"provider": "sarvam"}, "llm": {"provider": "openai"}, "llm_fallback": {"provider": "openai"},
        "tts": {"provider": "elevenlabs", "voice": "../x"}, "stt_fallback": {"provider": "openai", "voice": "coral"}});
    let refused = api.post("/voice-agents", json!({"name": "Sales", "settings": wrong})).await;
    let problem = refused.json();
    let errors: Vec<(&str, &str)> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    let expected = [
        ("/settings/stt/provider", "provider_not_configured"),
        ("/settings/stt_fallback/voice", "not_applicable"),
        ("/settings/llm_fallback", "same_as_first"),
        ("/settings/tts", "invalid_value"),
    ];
    assert_eq!(errors, expected, "{problem}");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("SARVAM_API_KEY"), "{problem}");
    let unknown = json!({"llm": {"provider": "eliza"}});
    let refused = api.post("/voice-agents", json!({"name": "Sales", "settings": unknown})).await.json();
    assert_eq!(refused["errors"][0]["pointer"], "/settings/llm/provider", "{refused}");
    api.finish().await;
}

#[tokio::test]
async fn one_model_that_hears_and_speaks_takes_the_place_of_the_others() {
    let api = TestApi::start().await;
    let chosen = json!({"provider": "openai", "model": "gpt-realtime-2.1", "voice": "marin"});
    let settings = json!({"speech_to_speech": chosen, "tts": {"provider": "elevenlabs"}});
    let made = api.post("/voice-agents", json!({"name": "One model", "settings": settings})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["settings"]["speech_to_speech"], chosen);

    let wrong = json!({"speech_to_speech": {"provider": "openai", "voice": "../x"}, "stt": {"provider": "deepgram"},
        "llm": {"provider": "openai"}, "gathered_speech": true});
    let problem = api.post("/voice-agents", json!({"name": "One model", "settings": wrong})).await.json();
    let errors: Vec<(&str, &str)> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    let expected = [
        ("/settings/speech_to_speech", "invalid_value"),
        ("/settings/stt", "not_applicable"),
        ("/settings/llm", "not_applicable"),
        ("/settings/gathered_speech", "not_applicable"),
    ];
    assert_eq!(errors, expected, "{problem}");
    let unknown = json!({"speech_to_speech": {"provider": "eliza"}});
    let refused = api.post("/voice-agents", json!({"name": "One model", "settings": unknown})).await.json();
    assert_eq!(refused["errors"][0]["pointer"], "/settings/speech_to_speech/provider", "{refused}");
    api.finish().await;
}
