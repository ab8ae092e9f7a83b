//! How fast calls are started after the carrier has pushed back.

use shared::call::Carrier;
use shared::pace::{self, Pace};

use crate::world::World;

/// The share of the full pace that is left, in percent, after so many seconds without another refusal.
async fn percent_after(world: &World, seconds: i32) -> i64 {
    world
        .sql(&format!(
            "update pace_buckets set refilled_at = refilled_at - interval '{seconds} s', halved_at = halved_at - interval '{seconds} s'"
        ))
        .await;
    let mut conn = world.db.acquire().await.unwrap();
    let pace = Pace { account: world.account, carrier: Carrier::Exotel, calls_per_second: 10.0, campaign: None };
    let (bucket, _) = pace::look(&mut conn, &pace).await.unwrap();
    (bucket.factor * 100.0).round() as i64
}

#[tokio::test]
async fn a_halved_pace_climbs_back_to_full_within_a_minute() {
    let world = World::new().await;
    assert_eq!(percent_after(&world, 0).await, 100);
    pace::halve(&world.db, world.account, Carrier::Exotel).await.unwrap();
    assert_eq!(percent_after(&world, 0).await, 50);
    assert_eq!(percent_after(&world, 30).await, 75);
    assert_eq!(percent_after(&world, 30).await, 100);
    assert_eq!(percent_after(&world, 600).await, 100);
}

#[tokio::test]
async fn a_burst_of_refusals_halves_once_and_no_number_of_bursts_stops_the_pace() {
    let world = World::new().await;
    percent_after(&world, 0).await;
    for _ in 0..5 {
        pace::halve(&world.db, world.account, Carrier::Exotel).await.unwrap();
    }
    assert_eq!(percent_after(&world, 0).await, 50);
    for _ in 0..12 {
        world.sql("update pace_buckets set halved_at = halved_at - interval '6 s'").await;
        pace::halve(&world.db, world.account, Carrier::Exotel).await.unwrap();
    }
    assert_eq!(percent_after(&world, 0).await, 5);
    assert_eq!(percent_after(&world, 60).await, 55);
}
