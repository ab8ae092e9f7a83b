//! From the cells of one row to a lead.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared::calling_window::ZoneSet;
use shared::consent::{self, ConsentBasis};
use shared::phone::Phone;

use super::cells::{Cells, is_empty, is_void};
use super::columns::{Columns, Field};
use super::{MAX_CELL_CHARS, Rejection, Severity};

const MAX_TAGS: usize = 50;
const MAX_TAG_CHARS: usize = 100;
/// What programs write where there is nothing; read aloud it would be "Hello null".
const NOTHING: [&str; 14] = [
    "null",
    "none",
    "nil",
    "nan",
    "n/a",
    "na",
    "-",
    "--",
    "#n/a",
    "#ref!",
    "#value!",
    "#name?",
    "#div/0!",
    "undefined",
];

/// One person to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadRow {
    /// As an editor or a spreadsheet counts it: the first line is 1.
    pub line: u64,
    pub phone: Phone,
    pub name: Option<String>,
    pub email: Option<String>,
    pub property_type: Option<String>,
    pub location: Option<String>,
    pub budget: Option<String>,
    pub source: Option<String>,
    /// The language's name or tag, as written.
    pub language: Option<String>,
    /// A name of the tz database, or several as our own exports write them.
    pub time_zone: Option<String>,
    pub tags: Vec<String>,
    pub consent_basis: ConsentBasis,
    pub consent_at: Option<DateTime<Utc>>,
    pub consent_source: Option<String>,
    /// Every further column that has a value, for the prompt.
    pub variables: BTreeMap<String, String>,
    /// What was not taken as it stands.
    pub warnings: Vec<Rejection>,
}

pub(super) fn read(cells: &Cells, columns: &Columns, region: &str) -> Result<LeadRow, Rejection> {
    let line = cells.line();
    let rejected =
        |column: &str, value: &str, reason: String| Rejection::new(Severity::Rejected, line, column, value, reason);
    let width = columns.headers.len();
    if let Some(extra) = (width..cells.len()).map(|index| cells.get(index)).find(|cell| !is_empty(cell)) {
        let reason = format!(
            "the row has {} cells and the header {width}; put a value that contains the separator in quotation marks",
            cells.len()
        );
        return Err(rejected("", extra, reason));
    }
    let phone = Phone::parse(cells.get(columns.phone), region)
        .map_err(|error| rejected(columns.phone_header(), cells.get(columns.phone), error.to_string()))?;

    let mut reader = Reader { cells, columns, warnings: Vec::new() };
    if cells.len() < width {
        let reason = format!("the row has {} of {width} cells; the others were taken as empty", cells.len());
        reader.warnings.push(Rejection::new(Severity::Warning, line, "", "", reason));
    }
    let name = reader.field(Field::Name).or_else(|| {
        let parts = [reader.field(Field::FirstName), reader.field(Field::LastName)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    });
    Ok(LeadRow {
        line,
        phone,
        name,
        email: reader.read(Field::Email, email),
        property_type: reader.field(Field::PropertyType),
        location: reader.field(Field::Location),
        budget: reader.field(Field::Budget),
        source: reader.field(Field::Source),
        language: reader.field(Field::Language),
        time_zone: reader.read(Field::TimeZone, time_zone),
        consent_basis: reader.consent_basis(),
        consent_at: reader.read(Field::ConsentDate, |text| {
            consent::read_date(text).ok_or_else(|| {
                "this is not a date; write it like 2026-03-31; the lead was kept without the date of its consent"
                    .to_owned()
            })
        }),
        consent_source: reader.field(Field::ConsentSource),
        tags: reader.field(Field::Tags).map(|text| tags(&text)).unwrap_or_default(),
        variables: reader.variables(),
        warnings: reader.warnings,
    })
}

struct Reader<'a> {
    cells: &'a Cells,
    columns: &'a Columns,
    warnings: Vec<Rejection>,
}

impl Reader<'_> {
    fn field(&mut self, field: Field) -> Option<String> {
        self.value(self.columns.of(field)?)
    }

    /// On what ground they may be called. A refusal in either column wins, and else the column that names a ground.
    fn consent_basis(&mut self) -> ConsentBasis {
        let known = |text: &str| {
            ConsentBasis::read(text).ok_or_else(|| {
                "this is no basis of consent; write express_written, express, inquiry, existing_customer, legitimate_interest, \
                 yes or no; it was taken as unknown"
                    .to_owned()
            })
        };
        let (ground, agreed) = (self.read(Field::ConsentBasis, known), self.read(Field::Consent, known));
        if [ground, agreed].contains(&Some(ConsentBasis::Refused)) {
            return ConsentBasis::Refused;
        }
        ground.filter(|basis| *basis != ConsentBasis::Unknown).or(agreed).unwrap_or_default()
    }

    /// A value that has to make sense; one that does not becomes a warning.
    fn read<T>(&mut self, field: Field, check: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let index = self.columns.of(field)?;
        let value = self.value(index)?;
        match check(&value) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.warn(index, &value, reason);
                None
            }
        }
    }

    fn variables(&mut self) -> BTreeMap<String, String> {
        let columns = self.columns;
        let values = columns.variables.iter().filter_map(|(index, name)| Some((name.clone(), self.value(*index)?)));
        values.collect()
    }

    /// `None` for an empty cell and for what programs write into one.
    fn value(&mut self, index: usize) -> Option<String> {
        let text = self.cells.get(index).trim_matches(is_void);
        // PostgreSQL cannot store a zero byte, and nobody can say the others.
        let mut value: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        if value.is_empty() || value.len() < 12 && NOTHING.contains(&value.to_ascii_lowercase().as_str()) {
            return None;
        }
        if let Some((cut, _)) = value.char_indices().nth(MAX_CELL_CHARS) {
            value.truncate(cut);
            let reason = format!("the value was cut to {MAX_CELL_CHARS} characters");
            // A name in two columns is read twice.
            if !self.warnings.iter().any(|warning| warning.column == self.columns.headers[index]) {
                self.warn(index, &value, reason);
            }
        }
        Some(value)
    }

    fn warn(&mut self, index: usize, value: &str, reason: String) {
        let column = &self.columns.headers[index];
        self.warnings.push(Rejection::new(Severity::Warning, self.cells.line(), column, value, reason));
    }
}

/// Something before one @, a domain with a dot behind it, no space.
fn email(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let plausible = address.split_once('@').is_some_and(|(user, domain)| {
        let parts = domain.split('.').collect::<Vec<_>>();
        !user.is_empty() && !domain.contains('@') && parts.len() > 1 && parts.iter().all(|part| !part.is_empty())
    });
    let clean = !address.chars().any(|c| c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>' | '"' | '(' | ')'));
    if plausible && clean && address.len() <= 254 {
        Ok(address.to_owned())
    } else {
        Err("this is not an e-mail address; the lead was kept without it".to_owned())
    }
}

fn time_zone(text: &str) -> Result<String, String> {
    match ZoneSet::parse(text) {
        Ok(zones) => Ok(zones.to_string()),
        Err(error) => Err(format!("{error}; the number's own or the campaign's is used")),
    }
}

fn tags(text: &str) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in text.split([';', ',', '|']) {
        let tag: String = tag.trim().chars().take(MAX_TAG_CHARS).collect();
        if !tag.is_empty() && tags.len() < MAX_TAGS && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}
