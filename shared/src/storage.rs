//! The object store of recordings: a local directory, or anything that speaks S3.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutPayload};

pub use object_store::Error as StorageError;
use tokio::io::{AsyncRead, AsyncWriteExt};

/// What a streamed object takes of memory at a time, and the size of its parts.
const PART_BYTES: usize = 5 * 1_024 * 1_024;

/// `RECORDINGS_URL`, `RECORDINGS_DIR`.
#[derive(Clone, Debug, clap::Args)]
pub struct StorageConfig {
    /// Where recordings are kept, instead of RECORDINGS_DIR: `s3://bucket/prefix`, with credentials, region and endpoint
    /// in the usual AWS_* variables.
    #[arg(long, env = "RECORDINGS_URL")]
    pub recordings_url: Option<url::Url>,
    /// Directory in which recordings are kept when RECORDINGS_URL is not set. `api`, `worker` and `media` must all see it.
    #[arg(long, env = "RECORDINGS_DIR", default_value = ".data/recordings")]
    pub recordings_dir: PathBuf,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// An object on its way out.
pub struct Object {
    pub size_bytes: u64,
    pub stream: std::pin::Pin<Box<dyn futures::Stream<Item = Result<bytes::Bytes, StorageError>> + Send>>,
}

impl StorageConfig {
    /// # Errors
    /// The directory cannot be made, or the URL or its AWS_* variables are not understood.
    pub fn open(&self) -> anyhow::Result<Storage> {
        match &self.recordings_url {
            Some(url) => {
                let text =
                    |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
                Storage::s3(url, std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with("AWS_")))
            }
            None => Storage::local(&self.recordings_dir),
        }
    }
}

impl Storage {
    /// Below `s3://bucket/prefix`; `variables` are the `AWS_*` of an environment.
    ///
    /// # Errors
    /// The URL or the variables are not understood.
    pub fn s3(url: &url::Url, variables: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Storage> {
        let bucket = url.host_str().filter(|_| url.scheme() == "s3");
        let bucket = bucket.context("RECORDINGS_URL must look like s3://bucket/prefix")?;
        // One object is deleted at a time, in the way that every store knows: many that speak S3 have no other.
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_disable_bulk_delete(true);
        for (name, value) in variables {
            let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() else { continue };
            if matches!(name.as_str(), "AWS_ENDPOINT" | "AWS_ENDPOINT_URL") && value.starts_with("http://") {
                builder = builder.with_allow_http(true);
            }
            builder = builder.with_config(key, value);
        }
        let store = builder.build().context("RECORDINGS_URL: the AWS_* variables do not describe an S3 store")?;
        let prefix = Path::parse(url.path().trim_matches('/')).context("RECORDINGS_URL has an impossible prefix")?;
        Ok(Storage { store: Arc::new(store), prefix })
    }

    /// # Errors
    /// The directory cannot be made.
    pub fn local(dir: &std::path::Path) -> anyhow::Result<Storage> {
        std::fs::create_dir_all(dir).with_context(|| format!("RECORDINGS_DIR: cannot make {}", dir.display()))?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(dir)
            .with_context(|| format!("RECORDINGS_DIR: cannot use {}", dir.display()))?;
        Ok(Storage { store: Arc::new(store), prefix: Path::default() })
    }

    /// Stores the object whole or not at all; one with the same key is replaced.
    ///
    /// # Errors
    /// The store refused it, or is out of reach.
    pub async fn put(&self, key: &str, content: bytes::Bytes) -> Result<(), StorageError> {
        self.store.put(&self.path(key)?, PutPayload::from_bytes(content)).await?;
        Ok(())
    }

    /// Like [`Storage::put`], for what is too large to be held in memory.
    ///
    /// # Errors
    /// The content could not be read, the store refused it, or is out of reach.
    pub async fn put_from(&self, key: &str, mut content: impl AsyncRead + Unpin) -> Result<(), StorageError> {
        let broken = |source: std::io::Error| StorageError::Generic { store: "stream", source: source.into() };
        let mut object =
            BufWriter::with_capacity(Arc::clone(&self.store), self.path(key)?, PART_BYTES).with_max_concurrency(2);
        if let Err(error) = tokio::io::copy(&mut content, &mut object).await {
            // The parts that are there; the store clears them up by itself otherwise.
            drop(object.abort().await);
            return Err(broken(error));
        }
        object.shutdown().await.map_err(broken)
    }

    /// The object's length and its bytes as they come; `None` if there is none.
    ///
    /// # Errors
    /// The store is out of reach.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, StorageError> {
        self.get_with(key, GetOptions::default()).await
    }

    /// Like [`Storage::get`], but these bytes alone; the length is that of the whole. The range must lie within the object.
    ///
    /// # Errors
    /// The store is out of reach.
    pub async fn get_part(&self, key: &str, range: Range<u64>) -> Result<Option<Object>, StorageError> {
        self.get_with(key, GetOptions { range: Some(range.into()), ..GetOptions::default() }).await
    }

    async fn get_with(&self, key: &str, options: GetOptions) -> Result<Option<Object>, StorageError> {
        match self.store.get_opts(&self.path(key)?, options).await {
            Ok(found) => Ok(Some(Object { size_bytes: found.meta.size, stream: Box::pin(found.into_stream()) })),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object's length in bytes; `None` if there is none.
    ///
    /// # Errors
    /// The store is out of reach.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, StorageError> {
        match self.store.head(&self.path(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// The store is out of reach. That there was no such object is none.
    pub async fn delete(&self, key: &str) -> Result<(), StorageError> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(StorageError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn path(&self, key: &str) -> Result<Path, StorageError> {
        let key = Path::parse(key)?;
        Ok(self.prefix.parts().chain(key.parts()).collect())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn what_was_put_is_got_with_its_length() {
        let dir = std::env::temp_dir().join(format!("trunkline-storage-{}", ulid::Ulid::generate()));
        let storage = Storage::local(&dir).unwrap();
        storage.put("recordings/1/7.mp3", bytes::Bytes::from_static(b"sound")).await.unwrap();

        let object = storage.get("recordings/1/7.mp3").await.unwrap().unwrap();
        let content: Vec<bytes::Bytes> = object.stream.try_collect().await.unwrap();
        assert_eq!((object.size_bytes, content.concat()), (5, b"sound".to_vec()));

        let part = storage.get_part("recordings/1/7.mp3", 1..3).await.unwrap().unwrap();
        let content: Vec<bytes::Bytes> = part.stream.try_collect().await.unwrap();
        assert_eq!((part.size_bytes, content.concat()), (5, b"ou".to_vec()));
        assert_eq!(storage.size("recordings/1/7.mp3").await.unwrap(), Some(5));

        assert!(storage.get("recordings/1/8.mp3").await.unwrap().is_none());
        assert_eq!(storage.size("recordings/1/8.mp3").await.unwrap(), None);
        storage.delete("recordings/1/7.mp3").await.unwrap();
        storage.delete("recordings/1/7.mp3").await.unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn what_is_streamed_in_parts_is_whole_and_replaces_what_was_there() {
        let dir = std::env::temp_dir().join(format!("trunkline-storage-{}", ulid::Ulid::generate()));
        let storage = Storage::local(&dir).unwrap();
        for length in [3, PART_BYTES * 2 + 7] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            storage.put_from("recordings/1/7.wav", content.as_slice()).await.unwrap();
            let object = storage.get("recordings/1/7.wav").await.unwrap().unwrap();
            let stored: Vec<bytes::Bytes> = object.stream.try_collect().await.unwrap();
            assert!(stored.concat() == content, "{length} bytes");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_key_cannot_leave_the_directory() {
        let dir = std::env::temp_dir().join(format!("trunkline-storage-{}", ulid::Ulid::generate()));
        let storage = Storage::local(&dir).unwrap();
        assert!(storage.put("../outside", bytes::Bytes::new()).await.is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
