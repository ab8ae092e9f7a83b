//! From the disk of this machine to the object store, with a row that says so.
//!
//! The object first, then the row, then the file goes: whatever dies in between, the next one who finds the file does the same
//! under the same key.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use shared::{
    recording_piece::NewPiece,
    storage::{Storage, StorageError},
};
use tokio::{sync::Semaphore, time::MissedTickBehavior};

use super::Spooled;
use crate::store::Store;

/// Between two looks for files that nobody ships.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Files on their way at once, each with some megabytes in memory.
const AT_ONCE: usize = 2;
/// One file's way, and its row's.
const TRANSFER: Duration = Duration::from_secs(120);
const NOTE: Duration = Duration::from_secs(10);
/// What could not be shipped for so long is given up.
const KEEP: Duration = Duration::from_secs(3 * 24 * 3_600);

/// Why a file is still here. Its time comes again.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error("the object store did not take it")]
    Store(#[from] StorageError),
    #[error("the database did not take it")]
    Database(#[from] sqlx::Error),
    #[error("the file could not be read or removed")]
    File(#[from] io::Error),
    #[error("it took too long")]
    TooLong,
}

/// Ships what this process has spooled, and what dead ones have left.
pub struct Shipper {
    dir: PathBuf,
    storage: Storage,
    store: Store,
    places: Semaphore,
}

impl Shipper {
    /// Of the files in `dir`.
    pub fn new(dir: PathBuf, storage: Storage, store: Store) -> Self {
        Self { dir, storage, store, places: Semaphore::new(AT_ONCE) }
    }

    /// Looks for files that were left behind, at once and then every minute.
    pub async fn run(&self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for path in self.files().await {
                let taking = tokio::task::spawn_blocking(move || Spooled::left_behind(path));
                match taking.await {
                    Ok(Ok(Some(spooled))) => self.ship(spooled).await,
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "a spooled file went away"),
                    Err(error) => tracing::error!(%error, "a spooled file could not be looked at"),
                }
            }
        }
    }

    async fn files(&self) -> Vec<PathBuf> {
        let dir = self.dir.clone();
        let listing = tokio::task::spawn_blocking(move || list(&dir)).await;
        match listing {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => {
                tracing::error!(%error, "SPOOL_DIR cannot be read");
                Vec::new()
            }
            Err(_panicked) => Vec::new(),
        }
    }

    /// Ships one file. One that could not be is found again, by whoever looks next.
    pub async fn ship(&self, spooled: Spooled) {
        let Ok(_place) = self.places.acquire().await else { return };
        match self.try_ship(&spooled).await {
            Ok(()) => metrics::counter!("tapes_shipped_total", "outcome" => "shipped").increment(1),
            Err(error) => {
                metrics::counter!("tapes_shipped_total", "outcome" => "failed").increment(1);
                let call_id = spooled.piece.call_id;
                tracing::warn!(%call_id, error = format!("{:#}", anyhow::Error::from(error)), "a recording stays on disk for now");
            }
        }
    }

    async fn try_ship(&self, spooled: &Spooled) -> Result<(), ShipError> {
        let piece = &spooled.piece;
        // Who hung up at once, or died before the first write, left a header.
        if spooled.duration_ms > 0 {
            let object_key = format!("recordings/{}/{}/{}.wav", piece.account_id, piece.call_id, spooled.id);
            let file = tokio::fs::File::open(&spooled.path).await?;
            let putting = self.storage.put_from(&object_key, file);
            tokio::time::timeout(TRANSFER, putting).await.map_err(|_elapsed| ShipError::TooLong)??;
            let row = NewPiece {
                id: spooled.id.to_string(),
                account_id: piece.account_id,
                call_id: piece.call_id,
                offset_ms: i64::try_from(piece.offset.as_millis()).unwrap_or(i64::MAX),
                duration_ms: spooled.duration_ms,
                object_key,
            };
            let noting = self.store.recorded(&row);
            let is_known = tokio::time::timeout(NOTE, noting).await.map_err(|_elapsed| ShipError::TooLong)??;
            if !is_known {
                tracing::info!(call_id = %piece.call_id, "the recording's call is gone, and so is the recording");
                self.storage.delete(&row.object_key).await?;
            }
        }
        tokio::fs::remove_file(&spooled.path).await?;
        Ok(())
    }
}

/// What may be shipped, oldest first; what is too old goes.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|at| at.elapsed().unwrap_or_default());
        let Ok(age) = age else { continue };
        let path = entry.path();
        if age > KEEP {
            metrics::counter!("tapes_shipped_total", "outcome" => "expired").increment(1);
            tracing::error!(file = %path.display(), "a recording could not be shipped for days and is deleted");
            fs::remove_file(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "wav") {
            files.push((age, path));
        }
    }
    files.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    Ok(files.into_iter().map(|(_, path)| path).collect())
}
