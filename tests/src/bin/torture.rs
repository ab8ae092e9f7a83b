//! `bin/torture`: the torture run from the command line; status 1 if any promise was broken.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tests::torture::{self, Settings};

/// Calls a campaign to its end while everything breaks, and holds the carrier's own log against every promise.
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1_000)]
    leads: usize,
    /// How long everything is broken again and again.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The same seed does the same things.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Crashes the database's server and starts it again.
    #[arg(long)]
    restart_postgres: Option<PathBuf>,
    /// Where the processes' logs are kept.
    #[arg(long)]
    logs: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings {
        restart_postgres: arguments.restart_postgres,
        keep_logs: arguments.logs,
        ..Settings::new(arguments.leads, Duration::from_secs_f64(arguments.minutes * 60.0), arguments.seed)
    };
    let report = torture::run(settings, |line| drop(writeln!(std::io::stdout(), "{line}"))).await;
    writeln!(std::io::stdout(), "\n{}", report.text())?;
    anyhow::ensure!(report.is_clean(), "promises were broken");
    Ok(())
}
