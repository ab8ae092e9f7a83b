use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::AlertId;

/// Tells the installation's webhook of an alert, where it has one.
///
/// Twice? The body and its id are the same, and `delivered_at` keeps a second run silent. Half-way? The receiver hears it
/// again under the same id. A day late? It says when it was raised, and whether it is resolved meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverAlert {
    pub alert_id: AlertId,
}

impl Job for DeliverAlert {
    const QUEUE: &'static str = "deliver_alert";
    const MAX_ATTEMPTS: i32 = 15;

    fn key(&self) -> String {
        format!("alert:{}", self.alert_id)
    }
}
