use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::CampaignId;

/// Reserves calls for a running campaign's due leads, then snoozes itself to the next moment something can be due.
///
/// Twice? The campaign's row lock and the unique attempt let one run win. Half-way? It is one transaction. A day late? It
/// reads the guards as they are then; leads that should have been called are called in their next window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchCampaign {
    pub campaign_id: CampaignId,
}

impl Job for DispatchCampaign {
    const QUEUE: &'static str = "dispatch_campaign";
    const MAX_ATTEMPTS: i32 = 1000000;

    fn key(&self) -> String {
        format!("dispatch:{}", self.campaign_id)
    }
}
