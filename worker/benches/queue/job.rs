//! The job that does nothing but say when it was enqueued.

use serde::{Deserialize, Serialize};
use shared::jobs::Job;

use crate::measure::now_us;

const QUEUES: [&str; 9] =
    ["queue_0", "queue_1", "queue_2", "queue_3", "queue_4", "queue_5", "queue_6", "queue_7", "queue_8"];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Empty<const QUEUE: usize = 0> {
    pub id: String,
    pub enqueued_us: u64,
}

impl<const QUEUE: usize> Empty<QUEUE> {
    pub fn new() -> Self {
        Self { id: ulid::Ulid::generate().to_string(), enqueued_us: now_us() }
    }

    pub fn thousand() -> Vec<Self> {
        (0..1_000).map(|_| Self::new()).collect()
    }
}

impl<const QUEUE: usize> Job for Empty<QUEUE> {
    const QUEUE: &'static str = QUEUES[QUEUE];
    const MAX_ATTEMPTS: i32 = 3;

    fn key(&self) -> String {
        self.id.clone()
    }
}
