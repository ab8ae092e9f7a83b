use serde::{Deserialize, Serialize};

use super::Job;
use crate::id::ImportId;

/// Reads an uploaded list into leads, row by row, keeping the good and explaining the bad.
///
/// Twice? A lead is unique in its campaign by number, and `lines_done` says where to go on. Half-way? Each batch is one
/// transaction. A day late? The campaign just has its leads later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportLeads {
    pub import_id: ImportId,
}

impl Job for ImportLeads {
    const QUEUE: &'static str = "import_leads";
    const MAX_ATTEMPTS: i32 = 5;

    fn key(&self) -> String {
        format!("import:{}", self.import_id)
    }
}
