//! What an operator does at a shell: migrate, accounts, keys, the do-not-call list.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use secrecy::ExposeSecret;
use shared::calling_window::parse_zone;
use shared::clock::wall;
use shared::id::{AccountId, ApiKeyId};
use shared::phone::Phone;
use shared::{account, api_key, do_not_call};
use sqlx::PgPool;

use crate::config::DatabaseConfig;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Bring the database up to date.
    Migrate(DatabaseConfig),
    /// Accounts: the tenants.
    #[command(subcommand)]
    Account(AccountCommand),
    /// API keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Numbers that must not be called.
    #[command(subcommand)]
    DoNotCall(DoNotCallCommand),
}

#[derive(clap::Subcommand)]
pub enum AccountCommand {
    Create {
        #[command(flatten)]
        database: DatabaseConfig,
        #[arg(long)]
        name: String,
        /// Two-letter country in which a number without a country code is meant.
        #[arg(long, default_value = "IN")]
        region: String,
        #[arg(long, default_value = "Asia/Kolkata")]
        time_zone: String,
    },
}

#[derive(clap::Subcommand)]
pub enum KeyCommand {
    /// Make a key; it is shown this once.
    Create {
        #[command(flatten)]
        database: DatabaseConfig,
        #[arg(long)]
        account: AccountId,
        #[arg(long)]
        name: String,
    },
    List {
        #[command(flatten)]
        database: DatabaseConfig,
        #[arg(long)]
        account: Option<AccountId>,
    },
    Revoke {
        #[command(flatten)]
        database: DatabaseConfig,
        /// As `key list` shows it.
        id: ApiKeyId,
    },
}

#[derive(clap::Subcommand)]
pub enum DoNotCallCommand {
    Add {
        #[command(flatten)]
        database: DatabaseConfig,
        #[arg(long)]
        account: AccountId,
        phone: String,
        #[arg(long, default_value = "added by an operator")]
        reason: String,
    },
    /// Add every number of a file, one per line.
    Import {
        #[command(flatten)]
        database: DatabaseConfig,
        #[arg(long)]
        account: AccountId,
        file: PathBuf,
        #[arg(long, default_value = "imported by an operator")]
        reason: String,
    },
}

impl Command {
    /// # Errors
    /// For the operator to read.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Migrate(database) => {
                shared::db::migrate(&connect(&database)?).await?;
                say("the database is up to date")
            }
            Self::Account(AccountCommand::Create { database, name, region, time_zone }) => {
                ensure!(!name.trim().is_empty(), "--name must not be empty");
                let region = region.trim().to_ascii_uppercase();
                ensure!(region.len() == 2 && region.is_ascii(), "--region is a two-letter country such as IN");
                let zone = parse_zone(&time_zone)?;
                let id = account::create(&connect(&database)?, name.trim(), &region, zone.name()).await?;
                say(&format!("account {id}"))
            }
            Self::Key(command) => command.run().await,
            Self::DoNotCall(DoNotCallCommand::Add { database, account, phone, reason }) => {
                let db = connect(&database)?;
                let phone = Phone::parse(&phone, &region_of(&db, account).await?)?;
                add(&db, account, &[phone], &reason).await?;
                say("added")
            }
            Self::DoNotCall(DoNotCallCommand::Import { database, account, file, reason }) => {
                let db = connect(&database)?;
                let region = region_of(&db, account).await?;
                let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
                let mut phones = Vec::new();
                for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                    let phone = Phone::parse(line, &region).with_context(|| format!("line {}", index + 1))?;
                    phones.push(phone);
                }
                add(&db, account, &phones, &reason).await?;
                say(&format!("{} numbers are on the list", phones.len()))
            }
        }
    }
}

impl KeyCommand {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create { database, account, name } => {
                let db = connect(&database)?;
                region_of(&db, account).await?;
                let key = api_key::create(&db, account, &name).await?;
                say(&format!("{}\nIt is not shown again: only its hash is stored.", key.expose_secret()))
            }
            Self::List { database, account } => {
                for key in api_key::list(&connect(&database)?, account).await? {
                    let state = if key.revoked_at.is_some() { "revoked" } else { "active" };
                    let used = key
                        .last_used_at
                        .map_or_else(|| "never used".to_owned(), |at| format!("used {}", at.to_rfc3339()));
                    say(&format!(
                        "{}\taccount {}\t{}…\t{state}\t{used}\t{}",
                        key.id, key.account_id, key.prefix, key.name
                    ))?;
                }
                Ok(())
            }
            Self::Revoke { database, id } => {
                if !api_key::revoke(&connect(&database)?, id).await? {
                    bail!("there is no active key {id}");
                }
                say("revoked")
            }
        }
    }
}

async fn region_of(db: &PgPool, id: AccountId) -> anyhow::Result<String> {
    let found = account::get(db, id).await?.with_context(|| format!("there is no account {id}"))?;
    Ok(found.region)
}

async fn add(db: &PgPool, account: AccountId, phones: &[Phone], reason: &str) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    for phone in phones {
        do_not_call::add(&mut tx, account, phone.as_str(), do_not_call::Source::Operator, reason, None, wall()).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn connect(database: &DatabaseConfig) -> anyhow::Result<PgPool> {
    shared::db::connect(database.database_url.expose_secret(), 4, "api").context("DATABASE_URL")
}

/// To standard output: these commands are read by people and scripts.
fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}
