//! `sandbox serve`: the outside world on loopback, until interrupted.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sandbox::{
    bench::{BenchSettings, TurnsSettings},
    demo::DemoSettings,
    settings::Settings,
};
use tokio::signal;
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(version, about = "Simulated carriers, callees, speech and language model, on loopback")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGINT or SIGTERM.
    Serve {
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Holds many simulated calls against the product's media process and prints what they cost.
    BenchMedia {
        #[command(flatten)]
        settings: BenchSettings,
    },
    /// Measures turn-taking with people who pause, dictate, acknowledge, interrupt and stay silent.
    BenchTurns {
        #[command(flatten)]
        settings: TurnsSettings,
    },
    /// Runs the default campaign through the product's API and holds its report against what the carrier saw.
    Demo {
        #[command(flatten)]
        settings: DemoSettings,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().command {
        Command::Serve { settings } => serve(*settings).await.map(|()| ExitCode::SUCCESS),
        Command::BenchMedia { settings } => sandbox::bench::run(settings).await.map(|()| ExitCode::SUCCESS),
        Command::BenchTurns { settings } => sandbox::bench::run_turns(settings).await.map(|()| ExitCode::SUCCESS),
        Command::Demo { settings } => {
            let agreed = sandbox::demo::run(settings).await?;
            Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let running = sandbox::serve(settings).await?;
    tracing::info!(addr = %running.addr, "sandbox is up");
    interrupted().await?;
    tracing::info!("sandbox is stopping");
    running.shutdown.stop().await;
    Ok(())
}

/// Resolves on SIGINT or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = signal::ctrl_c() => interrupt?,
        _ = terminated.recv() => {}
    }
    Ok(())
}
