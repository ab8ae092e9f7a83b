//! What breaks: processes, the database, its network, the carrier and the providers; the same for the same seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use sandbox::faults::Fault;
use sandbox::world::World;
use serde_json::{Value, json};

use crate::harness::{Process, TestApp};

/// How often each thing was done.
pub type Tally = BTreeMap<String, u32>;

/// What the `value` of a fault may be, from and to.
type Bounds = Option<(u64, u64)>;

/// The faults of the outside world, and how many of them in all are of each kind.
const FAULTS: [(&str, u32, Bounds); 36] = [
    ("lost_callback", 6, None),
    ("late_callback", 4, Some((1_000, 9_000))),
    ("duplicate_callback", 6, Some((1, 3))),
    ("callback_before_stop", 4, None),
    ("reordered", 4, None),
    ("rate_limited", 1, None),
    ("server_error", 1, None),
    ("insufficient_balance", 1, None),
    ("accepted_no_reply", 6, Some((200, 4_000))),
    ("accepted_5xx", 2, None),
    ("empty_body", 4, None),
    ("slow_reply", 4, Some((500, 3_000))),
    ("drop_stream", 4, Some((500, 8_000))),
    ("stream_never_opens", 3, None),
    ("bad_frames", 3, None),
    ("recording_never", 2, None),
    ("recording_late", 4, Some((1_000, 12_000))),
    ("recording_truncated", 3, None),
    ("openai.refuse", 3, None),
    ("openai.slow", 3, Some((500, 6_000))),
    ("openai.stall", 2, None),
    ("openai.cut", 3, None),
    ("openai.error_midstream", 2, None),
    ("openai.nonsense", 2, None),
    ("openai.length", 2, None),
    ("openai.refusal", 3, None),
    ("openai.bad_json", 3, None),
    ("deepgram.refuse", 2, None),
    ("deepgram.slow_accept", 2, Some((500, 4_000))),
    ("deepgram.stall", 2, None),
    ("deepgram.cut", 3, None),
    ("deepgram.nonsense", 2, None),
    ("elevenlabs.refuse", 2, None),
    ("elevenlabs.slow", 2, Some((500, 4_000))),
    ("elevenlabs.cut", 3, None),
    ("elevenlabs.stall", 2, None),
];

/// Arms one fault after another, about one a second.
pub async fn spoil_the_world(world: Arc<World>, mut dice: StdRng, time: Duration) -> Tally {
    let began = tokio::time::Instant::now();
    let everything: u32 = FAULTS.iter().map(|(_, share, _)| share).sum();
    let mut tally = Tally::new();
    while began.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(dice.random_range(200..1_800))).await;
        let mut chosen = dice.random_range(0..everything);
        let (name, _, bounds) = FAULTS
            .iter()
            .find(|(_, share, _)| match chosen.checked_sub(*share) {
                Some(rest) => {
                    chosen = rest;
                    false
                }
                None => true,
            })
            .expect("the shares add up");
        let value = bounds.map_or(Value::Null, |(least, most)| json!(dice.random_range(least..=most)));
        world.faults.arm(Fault { name: (*name).to_owned(), count: dice.random_range(1..=2), matching: None, value });
        *tally.entry(format!("fault {name}")).or_default() += 1;
    }
    world.faults.clear();
    tally
}

/// What is done to the processes, one thing at a time, every few seconds. Everything runs again when it returns.
pub async fn break_processes(
    app: &mut TestApp,
    mut dice: StdRng,
    time: Duration,
    restart_postgres: Option<&Path>,
) -> Tally {
    let began = tokio::time::Instant::now();
    let mut tally = Tally::new();
    let mut note = |what: String| *tally.entry(what).or_default() += 1;
    while began.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(dice.random_range(1_000..5_000))).await;
        match dice.random_range(0..20) {
            0..10 => {
                let away = Duration::from_millis(dice.random_range(100..2_500));
                let process = any(app, &mut dice);
                note(format!("kill -9 {}", process.name));
                process.kill_9().await;
                tokio::time::sleep(away).await;
                process.restart();
            }
            10..12 => {
                let process = any(app, &mut dice);
                note(format!("SIGTERM {}", process.name));
                process.stop().await.unwrap();
                process.restart();
            }
            12..14 => {
                note("database connections cut".into());
                app.wire.cut();
            }
            14..16 => {
                note("database slow".into());
                app.wire.slow_down(Duration::from_millis(dice.random_range(20..700)));
                tokio::time::sleep(Duration::from_millis(dice.random_range(1_000..5_000))).await;
                app.wire.slow_down(Duration::ZERO);
            }
            16..18 => {
                note("database out of reach".into());
                app.wire.unplug();
                tokio::time::sleep(Duration::from_millis(dice.random_range(500..5_000))).await;
                app.wire.plug_in();
            }
            18 => {
                note("job tables emptied".into());
                // It may be away itself; then nothing is emptied.
                drop(sqlx::query("delete from apalis.jobs").execute(&app.db).await);
            }
            _ => {
                let Some(command) = restart_postgres else { continue };
                note("PostgreSQL crashed and restarted".into());
                let restarted = tokio::process::Command::new(command).status().await.unwrap();
                assert!(restarted.success(), "{} failed: {restarted}", command.display());
            }
        }
    }
    tally
}

fn any<'a>(app: &'a mut TestApp, dice: &mut StdRng) -> &'a mut Process {
    let mut all: Vec<&mut Process> = app.processes_mut().collect();
    let chosen = dice.random_range(0..all.len());
    all.swap_remove(chosen)
}
