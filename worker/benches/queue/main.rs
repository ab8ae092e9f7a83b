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
    println!("enqueue, jobs/s           1 client   8 clients   batches of 1,000");
    let rates = [
        ("hand-written loop", hand_written::enqueue_rates().await?),
        ("apalis-postgres", stock::enqueue_rates().await?),
        ("ours", ours::enqueue_rates().await?),
    ];
    for (system, Rates { one, eight, batch }) in rates {
        println!("{system:<24}{one:>10.0}{eight:>12.0}{batch:>19.0}");
    }

    println!("\ndrain of empty jobs, jobs/s   concurrency 10   concurrency 100");
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

    println!("\npickup of one job per 50 ms, ms      p50      p99      max");
    let hand_latency = hand_written::pickup().await?;
    let stock_latency = stock::pickup().await?;
    let own_latency = ours::pickup().await?;
    for (system, latency) in
        [("hand-written loop", &hand_latency), ("apalis-postgres", &stock_latency), ("ours", &own_latency)]
    {
        let Latency { p50, p99, max } = latency;
        println!("{system:<30}{p50:>9.2}{p99:>9.2}{max:>9.2}");
    }

    println!("\nidle, statements/s per process");
    let own_idle = ours::idle_statements_per_second().await?;
    println!("{:<30}{:>9.2}", "hand-written loop, 1 queue", hand_written::idle_statements_per_second().await?);
    println!("{:<30}{:>9.2}", "apalis-postgres, 9 queues", stock::idle_statements_per_second().await?);
    println!("{:<30}{own_idle:>9.2}", "ours, 9 queues");

    println!();
    let targets = [
        Target::at_least("drain at 10, of the hand-written loop", own[0] / hand[0], 0.5),
        Target::at_least("drain at 100, of the hand-written loop", own[1] / hand[1], 0.5),
        Target::at_most("pickup p99, times the hand-written loop", own_latency.p99 / hand_latency.p99, 3.0),
        Target::at_most("idle statements/s with 9 queues", own_idle, 2.0),
    ];
    for target in &targets {
        println!("{target}");
    }
    Ok(if targets.iter().all(Target::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
