//! `api serve` (the default), `api migrate`, and an operator's commands.

use std::ffi::OsString;

use api::config::{ServeConfig, WebRole};
use api::operator::Command;
use clap::Parser;

#[derive(Parser)]
#[command(name = "api", version, about = "Trunkline's HTTP API and its operator's commands")]
struct Cli {
    #[command(subcommand)]
    command: TopCommand,
}

#[derive(clap::Subcommand)]
enum TopCommand {
    /// Serve the API (the default).
    Serve(Box<ServeConfig>),
    #[command(flatten)]
    Operator(Command),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse_from(with_default_command(std::env::args_os().collect())).command {
        TopCommand::Serve(config) => {
            shared::telemetry::init_logs(&config.log_level);
            match config.web_role {
                WebRole::Api => api::serve::serve(*config).await,
                WebRole::Media => Err(become_media(config.port)),
            }
        }
        TopCommand::Operator(command) => {
            shared::telemetry::init_logs("warn");
            command.run().await
        }
    }
}

/// `api` and `api --port 9000` mean `api serve`.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    let asks_for_help = matches!(first, Some("-h" | "--help" | "-V" | "--version"));
    if !asks_for_help && first.is_none_or(|argument| argument.starts_with('-')) {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

/// Replaces this process by the `media` program beside it, listening where the platform sends traffic. Returns only if it cannot.
fn become_media(port: u16) -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    let media = match std::env::current_exe() {
        Ok(path) => path.with_file_name("media"),
        Err(error) => return anyhow::Error::new(error).context("cannot tell where this program is"),
    };
    let error = std::process::Command::new(&media).env("MEDIA_PORT", port.to_string()).exec();
    anyhow::Error::new(error).context(format!("WEB_ROLE=media: cannot run {}", media.display()))
}
