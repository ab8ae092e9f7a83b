//! An export as a table: its columns, and cells that no spreadsheet program takes for formulas.

use std::borrow::Cow;

use shared::call_detail::ExportedCall;

pub const COLUMNS: [&str; 31] = [
    "call_id",
    "call_sid",
    "lead_id",
    "lead_name",
    "phone",
    "email",
    "property_type",
    "location",
    "budget",
    "consent_basis",
    "consent_at",
    "consent_source",
    "attempt",
    "status",
    "answered_by",
    "hangup_cause",
    "failure_reason",
    "queued_at",
    "answered_at",
    "ended_at",
    "duration_seconds",
    "lead_status",
    "disposition",
    "lead_qualified",
    "score",
    "summary",
    "answers",
    "extracted_data",
    "recording_url",
    "transcript",
    "has_recording",
];

/// In the order of [`COLUMNS`].
pub fn cells(call: &ExportedCall, recording_url: Option<String>) -> [String; 31] {
    fn text(value: Option<&String>) -> String {
        value.cloned().unwrap_or_default()
    }
    fn shown(value: Option<impl ToString>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    fn time(value: Option<chrono::DateTime<chrono::Utc>>) -> String {
        value.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)).unwrap_or_default()
    }
    [
        call.call_id.to_string(),
        text(call.call_sid.as_ref()),
        shown(call.lead_id),
        text(call.lead_name.as_ref()),
        call.phone.clone(),
        text(call.email.as_ref()),
        text(call.property_type.as_ref()),
        text(call.location.as_ref()),
        text(call.budget.as_ref()),
        text(call.consent_basis.as_ref()),
        time(call.consent_at),
        text(call.consent_source.as_ref()),
        call.attempt.to_string(),
        call.status.as_str().to_owned(),
        text(call.answered_by.as_ref()),
        text(call.hangup_cause.as_ref()),
        text(call.failure_reason.as_ref()),
        time(Some(call.queued_at)),
        time(call.answered_at),
        time(call.ended_at),
        shown(call.duration_seconds),
        text(call.lead_status.as_ref()),
        text(call.disposition.as_ref()),
        shown(call.lead_qualified),
        shown(call.score),
        text(call.summary.as_ref()),
        call.answers.to_string(),
        shown(call.extracted.as_ref()),
        recording_url.unwrap_or_default(),
        text(call.transcript.as_ref()),
        call.has_recording.to_string(),
    ]
}

/// One line of CSV, its cells made safe.
///
/// # Errors
/// None that is known of: the writer writes into memory.
pub fn csv_line<const N: usize, S: AsRef<str>>(cells: [S; N]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells.iter().map(|cell| safe(cell.as_ref()).into_owned()))?;
    Ok(writer.into_inner()?)
}

/// A cell that begins like a formula would be run by whoever opens the file, and its text came from a stranger: an apostrophe
/// in front makes it text. A phone number with its plus is harmless, and stays as programs expect it.
fn safe(cell: &str) -> Cow<'_, str> {
    let begins_like_a_formula =
        cell.trim_start().starts_with(['=', '+', '-', '@']) || cell.starts_with(['\t', '\r', '\n']);
    let number = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if begins_like_a_formula && !is_number { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_becomes_text() {
        for formula in ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1", "\n=1", "+91-98450"] {
            assert_eq!(safe(formula), format!("'{formula}"), "{formula:?}");
        }
        for harmless in ["+919845012345", "-5", "Asha", "a=b", "", "1 BHK"] {
            assert_eq!(safe(harmless), harmless, "{harmless:?}");
        }
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let mut names = COLUMNS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COLUMNS.len());
    }
}
