//! An uploaded list of leads: from the bytes of a CSV file or a workbook to leads and rejections, one row at a time.
//!
//! Pure: no database, no clock, no network. Start with [`LeadList`]. The parts: `sniff` decides what the bytes are,
//! `csv` and `workbook` give rows of text, `columns` finds the header and says which column means what, `row` makes a
//! lead of a row.
//!
//! Decisions: nothing is guessed about a phone number, and everything else is forgiven. A row is rejected only where
//! nobody could be called (no number, a bad one, one that an earlier row has) or where its cells cannot be told apart
//! (more cells than columns, a quotation mark that never closes). A bad e-mail address, an unknown time zone, a short row
//! or an overlong cell keeps the row and adds a warning: a lead is not lost for them.

mod cells;
mod columns;
mod csv;
mod row;
mod sniff;
#[cfg(test)]
mod tests;
mod workbook;

use std::collections::HashMap;

use shared::phone::Phone;

use cells::Cells;
use columns::Columns;

pub use row::LeadRow;

/// More than any list keeps; each becomes a variable of the prompt.
pub const MAX_COLUMNS: usize = 100;
/// Characters of a cell; the rest is cut off, with a warning.
pub const MAX_CELL_CHARS: usize = 4_000;
/// Unless the installation says otherwise.
pub const DEFAULT_MAX_ROWS: usize = 200_000;
/// Characters of a value that is quoted in a rejection.
const QUOTED_CHARS: usize = 200;

/// Why a whole file cannot be read. `Display` is a sentence for whoever uploaded it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("The file is empty.")]
    Empty,
    #[error("The file has a header but no rows below it.")]
    NoRows,
    /// What the file is instead, with its article.
    #[error("The file is {0}, not a list. Upload a CSV or an XLSX file.")]
    NotAList(&'static str),
    #[error(
        "The first line (line {line}) already holds a phone number, so the columns have no names. Add a first line such as: \
         name,phone,property_type,location,budget,email,source,tags"
    )]
    Headerless { line: u64 },
    #[error("No column holds the phone number. Name one of them \"phone\". The file has: {}.", found.join(", "))]
    NoPhoneColumn { found: Vec<String> },
    #[error("The file has {found} columns; at most {MAX_COLUMNS} can be read.")]
    TooManyColumns { found: usize },
    #[error("The file has more than {max} rows. Split it into smaller files.")]
    TooManyRows { max: usize },
    #[error("The workbook is protected by a password. Save it without one.")]
    Password,
    #[error("The workbook holds far more than a list of leads could (over {max_mb} MB when unpacked).")]
    TooLargeUnpacked { max_mb: u64 },
    #[error("The workbook is damaged and cannot be read. Open it, save it as XLSX or CSV, and upload that.")]
    Damaged,
}

impl ListError {
    /// Stable, for the API.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "list_empty",
            Self::NoRows => "list_without_rows",
            Self::NotAList(_) => "list_unsupported",
            Self::Headerless { .. } => "list_headerless",
            Self::NoPhoneColumn { .. } => "list_without_phone_column",
            Self::TooManyColumns { .. } => "list_too_many_columns",
            Self::TooManyRows { .. } => "list_too_many_rows",
            Self::Password => "list_password",
            Self::TooLargeUnpacked { .. } => "list_too_large",
            Self::Damaged => "list_damaged",
        }
    }
}

/// The values of `import_rows.severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The row became no lead.
    Rejected,
    /// The row became no lead, because an earlier one has its number.
    Duplicate,
    /// The row became a lead; only this cell was not taken as it stands.
    Warning,
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::Warning => "warning",
        }
    }
}

/// A row, or with [`Severity::Warning`] a cell, that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// As an editor or a spreadsheet counts it: the first line is 1.
    pub line: u64,
    /// The column's name in the file; empty where the row as a whole is meant.
    pub column: String,
    /// At most 200 characters of it.
    pub value: String,
    /// A sentence part for whoever uploaded the list.
    pub reason: String,
    pub severity: Severity,
}

impl Rejection {
    fn new(severity: Severity, line: u64, column: &str, value: &str, reason: impl Into<String>) -> Self {
        let value = value.chars().take(QUOTED_CHARS).collect();
        Self { line, column: column.to_owned(), value, reason: reason.into(), severity }
    }
}

/// How the file is to be read.
#[derive(Clone, Copy, Debug)]
pub struct ListOptions<'a> {
    /// The account's country (ISO 3166): that of every number without a country code.
    pub region: &'a str,
    pub max_rows: usize,
}

/// An opened list; iterating gives its rows in the order of the file.
///
/// The whole file is looked at once when it is opened, so that a file that cannot be read is refused before any of it
/// became a lead. Rows are read into one buffer; a CSV file in UTF-8 is never copied.
pub struct LeadList<'a> {
    rows: Rows<'a>,
    columns: Columns,
    region: String,
    row_count: u64,
    cells: Cells,
    /// The digits of each number so far, and its line.
    seen: HashMap<u64, u64>,
}

enum Rows<'a> {
    Csv(csv::CsvRows<'a>),
    Workbook(workbook::Sheet),
}

/// What [`Rows::next_row`] found.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Row,
    /// On this line a quotation mark opens that is never closed; the next step is the next line.
    UnclosedQuote,
    End,
}

impl Rows<'_> {
    fn next_row(&mut self, cells: &mut Cells) -> Step {
        match self {
            Self::Csv(rows) => rows.next_row(cells),
            Self::Workbook(rows) => rows.next_row(cells),
        }
    }

    fn rewind(&mut self) {
        match self {
            Self::Csv(rows) => rows.rewind(),
            Self::Workbook(rows) => rows.rewind(),
        }
    }
}

impl<'a> LeadList<'a> {
    /// What the bytes are is decided by the bytes; the file's name and declared type are wrong too often.
    ///
    /// # Errors
    /// Says in a sentence what to do about the file.
    pub fn open(bytes: &'a [u8], options: ListOptions<'_>) -> Result<Self, ListError> {
        let (mut rows, columns) = match sniff::sniff(bytes)? {
            sniff::Content::Text(text) => {
                let mut rows = Rows::Csv(csv::CsvRows::new(text));
                let columns = columns::find(&mut rows, options.region)?;
                (rows, columns)
            }
            sniff::Content::Workbook(kind) => workbook::read(bytes, kind, options)?,
        };
        rows.rewind();
        let row_count = count(&mut rows, columns.line, options.max_rows)?;
        rows.rewind();
        if row_count == 0 {
            return Err(ListError::NoRows);
        }
        let region = options.region.to_owned();
        Ok(Self { rows, columns, region, row_count, cells: Cells::default(), seen: HashMap::new() })
    }

    /// Rows below the header that are not blank: how many items the iteration gives.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// The names of the columns, as the file has them.
    #[must_use]
    pub fn headers(&self) -> &[String] {
        &self.columns.headers
    }

    fn duplicate_of(&mut self, phone: &Phone, line: u64) -> Option<u64> {
        let digits = phone.as_str()[1..].parse().expect("E.164 has at most 15 digits");
        match self.seen.entry(digits) {
            std::collections::hash_map::Entry::Occupied(first) => Some(*first.get()),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(line);
                None
            }
        }
    }
}

impl Iterator for LeadList<'_> {
    type Item = Result<LeadRow, Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let step = self.rows.next_row(&mut self.cells);
            if step == Step::End {
                return None;
            }
            let line = self.cells.line();
            if line <= self.columns.line {
                continue;
            }
            if step == Step::UnclosedQuote {
                let reason = "a quotation mark opens in this line and is never closed";
                return Some(Err(Rejection::new(Severity::Rejected, line, "", self.cells.get(0), reason)));
            }
            if self.cells.is_blank() {
                continue;
            }
            let lead = match row::read(&self.cells, &self.columns, &self.region) {
                Ok(lead) => lead,
                Err(rejection) => return Some(Err(rejection)),
            };
            if let Some(first) = self.duplicate_of(&lead.phone, line) {
                let value = self.cells.get(self.columns.phone);
                let reason = format!("same number as line {first}");
                return Some(Err(Rejection::new(
                    Severity::Duplicate,
                    line,
                    self.columns.phone_header(),
                    value,
                    reason,
                )));
            }
            return Some(Ok(lead));
        }
    }
}

fn count(rows: &mut Rows<'_>, header_line: u64, max_rows: usize) -> Result<u64, ListError> {
    let mut cells = Cells::default();
    let mut count = 0;
    loop {
        match rows.next_row(&mut cells) {
            Step::End => return Ok(count),
            Step::Row if cells.line() <= header_line || cells.is_blank() => {}
            Step::UnclosedQuote if cells.line() <= header_line => {}
            Step::Row | Step::UnclosedQuote => {
                count += 1;
                if count > max_rows as u64 {
                    return Err(ListError::TooManyRows { max: max_rows });
                }
            }
        }
    }
}
