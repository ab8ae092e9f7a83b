//! From the disk of this machine to the object store, with a row that says so.
//!
//! The object first, then the row, then the file goes: whatever dies in between, the next one who finds the file does the same
//! under the same key.

use std::{
    fs::{self, DirEntry},
    io,
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};

use futures::StreamExt;
use shared::{
    recording_piece::NewPiece,
    storage::{Storage, StorageError},
};
use tokio::{sync::Semaphore, time::MissedTickBehavior};

use super::{Spooled, spool::Name};
use crate::store::Store;

/// Between two looks for files that nobody ships.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Files on their way at once, each with some megabytes in memory.
const AT_ONCE: usize = 4;
/// While the process leaves: nobody speaks any more whom it could disturb, and the disk may go with the process.
const AT_ONCE_LEAVING: usize = 24;
/// Between two tries of what could not be shipped while the process leaves.
const TRY_AGAIN: Duration = Duration::from_secs(1);
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
    hurrying: Once,
}

impl Shipper {
    /// Of the files in `dir`.
    pub fn new(dir: PathBuf, storage: Storage, store: Store) -> Self {
        Self { dir, storage, store, places: Semaphore::new(AT_ONCE), hurrying: Once::new() }
    }

    /// Looks for files that were left behind, at once and then every minute.
    pub async fn run(&self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for path in self.files().await {
                if let Some(spooled) = self.take(path).await {
                    self.ship(spooled).await;
                }
            }
        }
    }

    /// The process leaves: from now on more files are on their way at once.
    pub fn hurry(&self) {
        self.hurrying.call_once(|| self.places.add_permits(AT_ONCE_LEAVING - AT_ONCE));
    }

    /// Ships what lies there and has no living owner, again and again until nothing does, and waits for what others are shipping:
    /// give it a bound.
    pub async fn ship_all(&self) {
        self.hurry();
        loop {
            let shipping = |path| async move { Some(self.ship(self.take(path).await?).await) };
            let outcomes: Vec<Option<bool>> = futures::stream::iter(self.files().await)
                .map(shipping)
                .buffer_unordered(AT_ONCE_LEAVING)
                .collect()
                .await;
            if outcomes.iter().all(Option::is_none) {
                break;
            }
            if outcomes.contains(&Some(false)) {
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
        drop(self.places.acquire_many(AT_ONCE_LEAVING as u32).await);
    }

    /// The file, if its process is dead.
    async fn take(&self, path: PathBuf) -> Option<Spooled> {
        match tokio::task::spawn_blocking(move || Spooled::left_behind(path)).await {
            Ok(Ok(spooled)) => return spooled,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => tracing::debug!("a spooled file went away"),
            Ok(Err(error)) => tracing::error!(%error, "a spooled file cannot be read"),
            Err(error) => tracing::error!(%error, "a spooled file could not be looked at"),
        }
        None
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

    /// Ships one file. One that could not be (`false`) is found again, by whoever looks next.
    pub async fn ship(&self, spooled: Spooled) -> bool {
        let Ok(_place) = self.places.acquire().await else { return false };
        let outcome = self.try_ship(&spooled).await;
        let is_shipped = outcome.is_ok();
        metrics::counter!("tapes_shipped_total", "outcome" => if is_shipped { "shipped" } else { "failed" })
            .increment(1);
        if let Err(error) = outcome {
            let call_id = spooled.piece.call_id;
            tracing::warn!(%call_id, error = format!("{:#}", anyhow::Error::from(error)), "a recording stays on disk for now");
        }
        is_shipped
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

/// Of our files those that may be shipped, oldest first; what is too old goes. Whatever else lies there is none of our business,
/// and one entry that gives trouble takes no other with it.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        match look_at(entry) {
            Ok(Some(found)) => files.push(found),
            Ok(None) => {}
            // It was shipped a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%error, "an entry of SPOOL_DIR cannot be looked at"),
        }
    }
    files.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The file and its age, if it is to be shipped.
fn look_at(entry: io::Result<DirEntry>) -> io::Result<Option<(Duration, PathBuf)>> {
    let entry = entry?;
    let path = entry.path();
    let Some(name) = Name::of(&path) else { return Ok(None) };
    let metadata = entry.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let age = metadata.modified()?.elapsed().unwrap_or_default();
    if age <= KEEP {
        return Ok((!name.is_unborn).then_some((age, path)));
    }
    // What is old and has a living owner is on its way after all.
    let Some(expired) = Spooled::left_behind(path)? else { return Ok(None) };
    expired.discard()?;
    metrics::counter!("tapes_shipped_total", "outcome" => "expired").increment(1);
    tracing::error!(call_id = %name.piece.call_id, "a recording could not be shipped for days and is deleted");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::symlink};

    use super::*;

    const OURS: &str = "7-41-0-01JD8S4V0Z0000000000000000";

    fn file(dir: &Path, name: &str, days: u64) -> PathBuf {
        let path = dir.join(name);
        let file = File::create(&path).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(now - Duration::from_secs(days * 24 * 3_600)).unwrap();
        path
    }

    #[test]
    fn what_is_not_ours_neither_stops_us_nor_goes() {
        let dir = tempfile::tempdir().unwrap();
        let old = |name: &str| file(dir.path(), name, 10);
        let foreign =
            [old("notes.txt"), old("old.wav"), old("7-41-0-x.wav"), old("7-41-0-01JD8S4V0Z0000000000000000.mp3")];
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        // A directory under a name of ours is none of ours, and neither is what leads nowhere.
        std::fs::create_dir(dir.path().join("7-42-0-01JD8S4V0Z0000000000000000.wav")).unwrap();
        symlink("/nowhere", dir.path().join("7-43-0-01JD8S4V0Z0000000000000000.wav")).unwrap();
        let ours = file(dir.path(), &format!("{OURS}.wav"), 0);
        assert_eq!(list(dir.path()).unwrap(), [ours]);
        assert!(foreign.iter().all(|path| path.exists()));
    }

    #[test]
    fn of_ours_the_oldest_is_first_and_what_is_too_old_goes_unless_somebody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let late = file(dir.path(), &format!("{OURS}.wav"), 1);
        let early = file(dir.path(), "7-40-60000-01JD8S4V0Z0000000000000001.wav", 2);
        let expired = [
            file(dir.path(), "7-39-0-01JD8S4V0Z0000000000000002.wav", 4),
            file(dir.path(), "7-39-0-01JD8S4V0Z0000000000000003.new", 4),
        ];
        let held = file(dir.path(), "7-39-0-01JD8S4V0Z0000000000000004.wav", 4);
        let lock = File::open(&held).unwrap();
        lock.lock().unwrap();
        let unborn = file(dir.path(), "7-39-0-01JD8S4V0Z0000000000000005.new", 0);
        assert_eq!(list(dir.path()).unwrap(), [early, late]);
        assert!(expired.iter().all(|path| !path.exists()));
        assert!(held.exists() && unborn.exists());
    }
}
