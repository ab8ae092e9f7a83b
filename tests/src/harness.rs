//! The whole product, started for one test: a database of its own, the sandbox in this process, and the three binaries.

mod app;
mod database;
mod process;
mod relay;
mod story;

use std::future::Future;
use std::time::Duration;

pub use app::{Lead, Setup, TestApp};
pub use process::{Process, binaries};
pub use relay::Relay;
pub use story::{PURPOSE, interested, jingle, lines, words};

/// Asks `look` again and again until it answers `Ok`, at most for `bound`; then fails with its last `Err`.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(bound: Duration, mut look: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + bound;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => {
                assert!(tokio::time::Instant::now() < deadline, "not within {bound:?}; last seen: {last}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
