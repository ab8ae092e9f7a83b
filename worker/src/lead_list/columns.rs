//! The header of a list: where it is, and which column means what.

use shared::phone::{Phone, PhoneError};

use super::cells::{Cells, is_empty, is_void};
use super::{ListError, MAX_COLUMNS, Rows, Step};

/// A header may stand below so many rows of titles.
pub(super) const TITLE_ROWS: usize = 10;
/// Characters of a column's name.
const NAME_CHARS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Phone,
    Name,
    FirstName,
    LastName,
    Email,
    PropertyType,
    Location,
    Budget,
    Source,
    Tags,
    TimeZone,
    Language,
    /// Whether they agreed, or on what ground.
    Consent,
    ConsentBasis,
    ConsentDate,
    ConsentSource,
}

/// What people call each column, the likeliest first; case, spaces and punctuation do not count.
const NAMES: [(Field, &[&str]); 16] = [
    (
        Field::Phone,
        &[
            "phone",
            "phone number",
            "phone no",
            "phone num",
            "mobile",
            "mobile number",
            "mobile no",
            "mobile num",
            "mobile phone",
            "primary phone",
            "primary mobile",
            "primary number",
            "contact number",
            "contact no",
            "contact phone",
            "contact mobile",
            "customer phone",
            "customer phone number",
            "customer mobile",
            "customer mobile number",
            "customer number",
            "lead phone",
            "lead mobile",
            "client phone",
            "client mobile",
            "cell",
            "cell phone",
            "cell number",
            "cellphone number",
            "telephone",
            "telephone number",
            "telephone no",
            "tel",
            "tel no",
            "ph",
            "ph no",
            "mob",
            "mob no",
            "phone 1",
            "mobile 1",
            "whatsapp",
            "whatsapp number",
            "whatsapp no",
            "phone e164",
            "msisdn",
            "number",
            "contact",
            "फोन",
            "फ़ोन",
            "फोन नंबर",
            "फ़ोन नंबर",
            "मोबाइल",
            "मोबाइल नंबर",
            "मोबाइल नम्बर",
            "संपर्क नंबर",
        ],
    ),
    (
        Field::Name,
        &[
            "name",
            "full name",
            "customer name",
            "lead name",
            "client name",
            "contact name",
            "contact person",
            "prospect name",
            "buyer name",
            "customer",
            "नाम",
            "पूरा नाम",
        ],
    ),
    (Field::FirstName, &["first name", "firstname", "given name"]),
    (Field::LastName, &["last name", "lastname", "surname", "family name"]),
    (Field::Email, &["email", "e-mail", "email id", "email address", "mail", "mail id", "ईमेल"]),
    (
        Field::PropertyType,
        &["property type", "type of property", "property", "unit type", "property category", "संपत्ति का प्रकार"],
    ),
    (
        Field::Location,
        &["location", "preferred location", "locality", "area", "city", "project location", "स्थान", "शहर"],
    ),
    (Field::Budget, &["budget", "budget range", "max budget", "price range", "price", "बजट"]),
    (Field::Source, &["source", "lead source", "utm source", "channel", "स्रोत"]),
    (Field::Tags, &["tags", "tag", "labels", "label"]),
    (Field::TimeZone, &["time zone", "timezone", "tz"]),
    (Field::Language, &["language", "lang", "preferred language", "call language", "भाषा"]),
    (
        Field::Consent,
        &[
            "consent",
            "consent given",
            "consent status",
            "has consent",
            "marketing consent",
            "call consent",
            "consented",
            "opt in",
            "opted in",
            "सहमति",
        ],
    ),
    (
        Field::ConsentBasis,
        &["consent basis", "consent type", "basis of consent", "lawful basis", "legal basis", "basis for calling"],
    ),
    (
        Field::ConsentDate,
        &[
            "consent date",
            "consent at",
            "consent time",
            "consent timestamp",
            "consented at",
            "consented on",
            "consent given at",
            "consent given on",
            "date of consent",
            "opt in date",
            "opted in at",
        ],
    ),
    (
        Field::ConsentSource,
        &["consent source", "consent origin", "source of consent", "consent url", "consent form", "opt in source"],
    ),
];

/// The last resort for a phone column: a name that contains one of these.
const PHONE_HINTS: [&str; 5] = ["phone", "mobile", "whatsapp", "contactno", "contactnum"];

#[derive(Debug)]
pub(super) struct Columns {
    /// The line of the header.
    pub(super) line: u64,
    /// As the file has them.
    pub(super) headers: Vec<String>,
    pub(super) phone: usize,
    fields: Vec<(Field, usize)>,
    /// Every other column, under the name by which a prompt uses it.
    pub(super) variables: Vec<(usize, String)>,
}

impl Columns {
    pub(super) fn of(&self, field: Field) -> Option<usize> {
        self.fields.iter().find(|(known, _)| *known == field).map(|(_, index)| *index)
    }

    pub(super) fn phone_header(&self) -> &str {
        &self.headers[self.phone]
    }

    fn new(header: &Cells, phone: usize) -> Result<Self, ListError> {
        let headers = names(header);
        if headers.len() > MAX_COLUMNS {
            return Err(ListError::TooManyColumns { found: headers.len() });
        }
        let keys: Vec<String> = headers.iter().map(|name| key(name)).collect();
        let mut fields = vec![(Field::Phone, phone)];
        for (field, aliases) in &NAMES[1..] {
            let taken = |index: &usize| fields.iter().any(|(_, other)| other == index);
            let column = aliases.iter().find_map(|alias| {
                let alias = key(alias);
                (0..keys.len()).find(|index| keys[*index] == alias && !taken(index))
            });
            fields.extend(column.map(|index| (*field, index)));
        }
        // The parts of a name make the name, and a prompt may want the first one alone.
        let kept = |index: usize| {
            let field = fields.iter().find(|(_, other)| *other == index);
            !matches!(field, Some((field, _)) if !matches!(field, Field::FirstName | Field::LastName))
        };
        let mut variables: Vec<(usize, String)> = Vec::new();
        for index in (0..headers.len()).filter(|index| kept(*index)) {
            let base = variable_name(&headers[index], index);
            let mut name = base.clone();
            let mut number = 2;
            while variables.iter().any(|(_, other)| *other == name) {
                name = format!("{base}_{number}");
                number += 1;
            }
            variables.push((index, name));
        }
        Ok(Self { line: header.line(), headers, phone, fields, variables })
    }
}

/// Finds the header: the first row that names a phone column, below at most a few rows that hold one cell each.
pub(super) fn find(rows: &mut Rows<'_>, region: &str) -> Result<Columns, ListError> {
    let mut cells = Cells::default();
    let mut found: Option<Vec<String>> = None;
    for _ in 0..TITLE_ROWS {
        loop {
            match rows.next_row(&mut cells) {
                Step::End => return Err(found.map_or(ListError::Empty, |found| ListError::NoPhoneColumn { found })),
                Step::UnclosedQuote => {}
                Step::Row if cells.is_blank() => {}
                Step::Row => break,
            }
        }
        if let Some(phone) = phone_column(&cells) {
            return Columns::new(&cells, phone);
        }
        if cells.iter().any(|cell| is_phone_like(cell, region)) {
            return Err(ListError::Headerless { line: cells.line() });
        }
        if let Some(phone) = hinted_phone_column(&cells) {
            return Columns::new(&cells, phone);
        }
        let filled: Vec<String> = names(&cells).into_iter().filter(|name| !name.is_empty()).collect();
        let is_title = filled.len() == 1;
        if found.is_none() || !is_title {
            found = Some(filled.into_iter().take(30).collect());
        }
        if !is_title {
            break;
        }
    }
    Err(ListError::NoPhoneColumn { found: found.unwrap_or_default() })
}

/// Whether this could be the header; judges delimiters, too.
pub(super) fn names_a_phone(cells: &Cells) -> bool {
    phone_column(cells).is_some()
}

fn phone_column(cells: &Cells) -> Option<usize> {
    let keys: Vec<String> = cells.iter().map(key).collect();
    NAMES[0].1.iter().find_map(|alias| {
        let alias = key(alias);
        keys.iter().position(|name| *name == alias)
    })
}

fn hinted_phone_column(cells: &Cells) -> Option<usize> {
    cells.iter().position(|cell| {
        let key = key(cell);
        PHONE_HINTS.iter().any(|hint| key.contains(hint))
    })
}

/// A number, or what a spreadsheet made of one.
fn is_phone_like(cell: &str, region: &str) -> bool {
    matches!(Phone::parse(cell, region), Ok(_) | Err(PhoneError::ScientificNotation | PhoneError::SeveralNumbers))
}

/// Without the empty cells at the end that spreadsheets add.
fn names(header: &Cells) -> Vec<String> {
    let mut names: Vec<String> =
        header.iter().map(|cell| cell.trim_matches(is_void).chars().take(NAME_CHARS).collect()).collect();
    while names.last().is_some_and(|name| is_empty(name)) {
        names.pop();
    }
    names
}

/// What is compared: small letters and digits.
fn key(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(NAME_CHARS).collect()
}

/// `Site visit (date)` becomes `site_visit_date`, and a column without a name `column_7`.
fn variable_name(header: &str, index: usize) -> String {
    let mut name = String::new();
    for c in header.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() || !c.is_ascii() && !c.is_whitespace() && !is_void(c) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    if name.is_empty() { format!("column_{}", index + 1) } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::csv::CsvRows;
    use super::*;

    fn columns(text: &str) -> Result<Columns, ListError> {
        find(&mut Rows::Csv(CsvRows::new(text.into())), "IN")
    }

    #[test]
    fn a_phone_column_is_found_under_its_many_names() {
        for header in [
            "phone",
            "Phone Number",
            "PHONE_NO.",
            "Mobile",
            "mobile_no",
            "Mobile No",
            "Contact Number",
            "WhatsApp No.",
            "Cell",
            "मोबाइल नंबर",
            "फ़ोन",
            "\u{feff}phone",
            " phone ",
            "Alternate mobile (India)",
        ] {
            assert_eq!(columns(&format!("name,{header}\n")).map(|found| found.phone), Ok(1), "{header}");
        }
    }

    #[test]
    fn the_likeliest_of_several_phone_columns_is_taken() {
        let found = columns("name,WhatsApp,Mobile,Phone\n").unwrap();
        assert_eq!(found.phone, 3);
        let others: Vec<&str> = found.variables.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(others, ["whatsapp", "mobile"]);
    }

    #[test]
    fn known_columns_are_recognised_and_the_others_become_variables() {
        let found = columns(
            "Customer Name,Mobile,Property Type,City,Location,Email ID,Lead Source,Tags,Site visit (date),,Timezone\n",
        )
        .unwrap();
        let at = |field| found.of(field);
        assert_eq!(at(Field::Name), Some(0));
        assert_eq!(at(Field::PropertyType), Some(2));
        assert_eq!(at(Field::Location), Some(4));
        assert_eq!(at(Field::Email), Some(5));
        assert_eq!(at(Field::Source), Some(6));
        assert_eq!(at(Field::Tags), Some(7));
        assert_eq!(at(Field::TimeZone), Some(10));
        assert_eq!(at(Field::Budget), None);
        assert_eq!(
            found.variables,
            [(3, "city".to_owned()), (8, "site_visit_date".to_owned()), (9, "column_10".to_owned())]
        );
    }

    #[test]
    fn columns_of_the_same_name_are_told_apart() {
        let found = columns("phone,notes,Notes,email,email\n").unwrap();
        let names: Vec<&str> = found.variables.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["notes", "notes_2", "email"]);
        assert_eq!(found.of(Field::Email), Some(3));
    }

    #[test]
    fn titles_above_the_header_are_passed_over() {
        let found = columns("Leads of January,,\n\n(confidential),,\nname,phone,city\n").unwrap();
        assert_eq!((found.line, found.phone), (4, 1));
    }

    #[test]
    fn a_file_that_starts_with_a_number_is_headerless() {
        for text in ["Ravi,9876543210,Pune\n", "9876543210\n9876543211\n", "Ravi,9.18E+11\n"] {
            assert_eq!(columns(text).unwrap_err(), ListError::Headerless { line: 1 }, "{text}");
        }
    }

    #[test]
    fn without_a_phone_column_the_columns_are_listed() {
        let error = columns("sku,Item price,qty\nA1,20,3\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "No column holds the phone number. Name one of them \"phone\". The file has: sku, Item price, qty."
        );
    }

    #[test]
    fn a_hundred_columns_are_enough() {
        let header = |count: usize| (2..=count).fold("phone".to_owned(), |text, n| format!("{text},c{n}"));
        assert!(columns(&header(100)).is_ok());
        assert_eq!(columns(&header(101)).unwrap_err(), ListError::TooManyColumns { found: 101 });
    }
}
