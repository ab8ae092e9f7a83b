//! The queue beside a hand-written loop and beside apalis' stock Postgres driver, in one run on one server.
//!
//! `cargo bench -p worker --bench queue`, with `TEST_DATABASE_URL` or `DATABASE_URL` naming a server on which databases may
//! be created. Compare the ratios: the rates belong to the machine. Exits with status 1 if a target is missed.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

mod database;
mod hand_written;
mod job;
mod measure;
mod ours;
mod stock;

use std::process::ExitCode;

use measure::{Latency, Rates, Target};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    // `cargo bench -p worker --bench queue -- drain pickup` measures these alone; cargo adds `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |section: &str| asked.is_empty() || asked.iter().any(|asked| asked == section);
    let mut targets = Vec::new();
    if wanted("enqueue") {
        enqueue().await?;
    }
    if wanted("drain") {
        targets.extend(drain().await?);
    }
    if wanted("pickup") {
        targets.push(pickup().await?);
    }
    if wanted("idle") {
        targets.push(idle().await?);
    }
    for target in &targets {
        println!("{target}");
    }
    Ok(if targets.iter().all(Target::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn enqueue() -> anyhow::Result<()> {
    println!("enqueue, jobs/s           1 client   8 clients   batches of 1,000");
    let rates = [
        ("hand-written loop", hand_written::enqueue_rates().await?),
        ("apalis-postgres", stock::enqueue_rates().await?),
        ("ours", ours::enqueue_rates().await?),
    ];
    for (system, Rates { one, eight, batch }) in rates {
        println!("{system:<24}{one:>10.0}{eight:>12.0}{batch:>19.0}");
    }
    println!();
    Ok(())
}

async fn drain() -> anyhow::Result<[Target; 2]> {
    println!("drain of empty jobs, jobs/s   concurrency 10   concurrency 100");
    let (mut hand, mut stocks, mut own) = ([0.0; 2], [0.0; 2], [0.0; 2]);
    for (at, (concurrency, jobs)) in [(10, 6_000), (100, 20_000)].into_iter().enumerate() {
        hand[at] = measure::median(async || hand_written::drain(concurrency, jobs).await).await?;
        // Slow enough that a tenth of the jobs says it.
        stocks[at] = stock::drain(concurrency, jobs / 10).await?;
        own[at] = measure::median(async || ours::drain(concurrency, jobs).await).await?;
    }
    for (system, [ten, hundred]) in [("hand-written loop", hand), ("apalis-postgres", stocks), ("ours", own)] {
        println!("{system:<24}{ten:>20.0}{hundred:>18.0}");
    }
    println!();
    Ok([
        Target::at_least("drain at 10, of the hand-written loop", own[0] / hand[0], 0.5),
        Target::at_least("drain at 100, of the hand-written loop", own[1] / hand[1], 0.5),
    ])
}

async fn pickup() -> anyhow::Result<Target> {
    println!("pickup of one job per 50 ms, ms      p50      p99      max");
    // In turns, so that a busy spell of the machine meets each of them.
    let mut rounds = Vec::new();
    for _ in 0..3 {
        rounds.push([hand_written::pickup().await?, stock::pickup().await?, ours::pickup().await?]);
    }
    let [one, two, three]: [[Latency; 3]; 3] =
        rounds.try_into().unwrap_or_else(|_| unreachable!("the loop ran thrice"));
    let mut systems = one.into_iter().zip(two).zip(three).map(|((one, two), three)| Latency::median([one, two, three]));
    let (Some(hand), Some(stock), Some(own)) = (systems.next(), systems.next(), systems.next()) else {
        anyhow::bail!("three systems");
    };
    for (system, latency) in [("hand-written loop", &hand), ("apalis-postgres", &stock), ("ours", &own)] {
        let Latency { p50, p99, max } = latency;
        println!("{system:<30}{p50:>9.2}{p99:>9.2}{max:>9.2}");
    }
    println!();
    Ok(Target::at_most("pickup p99, times the hand-written loop", own.p99 / hand.p99, 3.0))
}

async fn idle() -> anyhow::Result<Target> {
    println!("idle, statements/s per process");
    println!("{:<30}{:>9.2}", "hand-written loop, 1 queue", hand_written::idle_statements_per_second().await?);
    println!("{:<30}{:>9.2}", "apalis-postgres, 9 queues", stock::idle_statements_per_second().await?);
    let own = ours::idle_statements_per_second().await?;
    println!("{:<30}{own:>9.2}\n", "ours, 9 queues");
    Ok(Target::at_most("idle statements/s with 9 queues", own, 2.0))
}
