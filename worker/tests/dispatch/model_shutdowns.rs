//! Who hears of a model's end, and when.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::alert;
use shared::id::AlertId;
use shared::jobs::watch_models::WatchModels;
use worker::jobs::watch_models;
use worker::queue::JobError;

use crate::outside::Reply;
use crate::world::{World, attempt_of};

async fn poll(world: &World, attempt: i32) -> Result<(), JobError> {
    watch_models::run(WatchModels::default(), attempt_of(attempt, 4), world.ctx.clone()).await
}

fn list(shutdown_date: Value) -> Reply {
    Reply::Json(
        200,
        json!({"object": "list", "data": [{"id": "gpt-6-luna", "shutdown_date": shutdown_date},
            {"id": "gpt-5", "shutdown_date": "2026-12-11"}, {"id": "gpt-6-sol", "shutdown_date": null}]}),
    )
}

async fn raised(world: &World) -> i64 {
    world.number("select count(*) from alerts where kind = 'model_shutdown'").await
}

async fn open(world: &World) -> Option<String> {
    world.text("select (select title from alerts where kind = 'model_shutdown' and resolved_at is null)").await
}

#[tokio::test]
async fn an_account_hears_at_sixty_days_at_fourteen_and_on_the_last_one_and_of_its_own_models_alone() {
    let world = World::new().await;
    world.campaign(1).await;
    // 61 days after the clock.
    world.outside.on_file([list(json!("2027-01-23"))]);
    poll(&world, 1).await.unwrap();
    assert_eq!(raised(&world).await, 0, "not yet, and nobody uses gpt-5");
    let asked = world.outside.asked().pop().unwrap();
    assert_eq!((asked.path.as_str(), asked.authorization.as_deref()), ("/v1/models", Some("Bearer llm-key")));

    for (days, told, words) in
        [(1, 1, "60 days"), (45, 1, "60 days"), (1, 2, "14 days"), (12, 2, "14 days"), (1, 3, "tomorrow")]
    {
        world.clock.advance(TimeDelta::days(days));
        for _ in 0..2 {
            poll(&world, 1).await.unwrap();
        }
        assert_eq!(raised(&world).await, told, "after {days} days more");
        assert!(open(&world).await.unwrap().contains(words), "{:?}", open(&world).await);
    }
    let detail = world.text("select detail from alerts order by id desc limit 1").await.unwrap();
    assert!(detail.contains("gpt-6-luna (language model) on 2027-01-23") && !detail.contains("gpt-5"), "{detail}");
    assert_eq!(world.number("select count(*) from apalis.jobs where job_type = 'deliver_alert'").await, 3);
}

#[tokio::test]
async fn what_was_seen_is_not_told_again_and_a_model_that_stays_is_no_matter() {
    let world = World::new().await;
    world.campaign(1).await;
    world.outside.on_file([list(json!("2026-12-31"))]);
    poll(&world, 1).await.unwrap();
    let id = AlertId(world.number("select id from alerts").await);
    let seen = alert::acknowledge(&world.db, world.account, id, world.now()).await.unwrap().unwrap();
    assert!(seen.resolved_at.is_some(), "nothing else would end it");
    poll(&world, 1).await.unwrap();
    assert_eq!((raised(&world).await, open(&world).await), (1, None));

    world.clock.advance(TimeDelta::days(24));
    poll(&world, 1).await.unwrap();
    assert!(open(&world).await.is_some());
    world.outside.on_file([list(Value::Null)]);
    poll(&world, 1).await.unwrap();
    assert_eq!(open(&world).await, None, "it is kept after all, or nobody uses it any more");
}

#[tokio::test]
async fn a_voice_agent_that_no_campaign_needs_any_more_is_no_matter() {
    let world = World::new().await;
    world.campaign(1).await;
    world.sql("update campaigns set status = 'completed', completed_at = now()").await;
    world.outside.on_file([list(json!("2026-12-31"))]);
    poll(&world, 1).await.unwrap();
    assert_eq!(raised(&world).await, 0);
}

#[tokio::test]
async fn a_failed_poll_tells_nobody_anything_and_undoes_nothing() {
    let world = World::new().await;
    world.campaign(1).await;
    world.outside.on_file([list(json!("2026-12-31"))]);
    poll(&world, 1).await.unwrap();
    for reply in [Reply::Json(503, json!({})), Reply::Text(200, "<html>"), Reply::Text(404, "no such list")] {
        world.outside.on_file([reply]);
        assert!(matches!(poll(&world, 1).await, Err(JobError::Retry(_))));
        poll(&world, 4).await.unwrap();
        assert_eq!(raised(&world).await, 1);
        assert!(open(&world).await.is_some());
    }
}
