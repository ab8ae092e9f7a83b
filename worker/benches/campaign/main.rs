//! Campaigns at scale: import, start, dispatch and settle through the product's own code, in front of a carrier whose callees
//! are all busy, for ever larger campaigns.
//!
//! `bin/bench campaign [--leads 1000000]`. Exits with status 1 if a target is missed or a plan of the product reads a large
//! table from end to end.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

mod carrier;
mod database;
mod idle;
mod level;
mod list;
mod plans;
mod ticks;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use level::Level;
use world::World;

/// Measures campaigns of 10,000 leads, 100,000 and so on, up to `--leads`.
#[derive(Parser)]
struct Arguments {
    /// The largest campaign.
    #[arg(long, default_value_t = 1_000_000)]
    leads: usize,
    /// Calls that are dialed and settled in each.
    #[arg(long, default_value_t = 5_000)]
    calls: usize,
    /// Where api, worker and media are, to measure them idle.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Where the plans are written down whole.
    #[arg(long)]
    plans: Option<PathBuf>,
    /// Said by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut sizes: Vec<usize> = [10_000, 100_000].into_iter().filter(|size| *size < arguments.leads).collect();
    sizes.push(arguments.leads);
    let mut levels = Vec::new();
    let mut faults = Vec::new();
    for size in &sizes {
        let world = World::create().await?;
        let level = Level::measure(&world, *size, arguments.calls).await?;
        if size == &arguments.leads {
            level.print_statements();
            level::print_sizes(&world).await?;
            faults = level::plans(&world, &level).await?.report(arguments.plans.as_deref())?;
            if let Some(binaries) = &arguments.binaries {
                level::rest(&world, &level).await?;
                let idle = idle::measure(&world, binaries).await?;
                println!(
                    "api, worker and media, 21 running campaigns and nobody due: {:.2} statements/s",
                    idle.statements_per_second
                );
                for statement in idle.busiest {
                    println!("{:>6} in a minute   {}", statement.calls, statement.text);
                }
                println!();
            }
        }
        levels.push(level);
        world.db.drop().await?;
    }
    level::print(&levels);
    let targets = level::targets(&levels);
    for target in &targets {
        println!("{target}");
    }
    for fault in &faults {
        println!("PLAN  {fault}");
    }
    let met = targets.iter().all(level::Target::is_met) && faults.is_empty();
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
