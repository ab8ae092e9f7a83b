use std::fmt::Write as _;
use std::io::Write as _;

use proptest::prelude::*;
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};

use super::*;

const OPTIONS: ListOptions<'static> = ListOptions { region: "IN", max_rows: DEFAULT_MAX_ROWS };

fn open(bytes: &[u8]) -> Result<LeadList<'_>, ListError> {
    LeadList::open(bytes, OPTIONS)
}

fn leads(bytes: &[u8]) -> Vec<LeadRow> {
    open(bytes).unwrap().filter_map(Result::ok).collect()
}

fn only_lead(bytes: &[u8]) -> LeadRow {
    let mut leads = leads(bytes);
    assert_eq!(leads.len(), 1);
    leads.remove(0)
}

/// `line column: reason` of every row that became no lead.
fn rejections(bytes: &[u8]) -> Vec<String> {
    let rejected = open(bytes).unwrap().filter_map(Result::err);
    rejected.map(|r| format!("{} {} {}: {}", r.line, r.severity.as_str(), r.column, r.reason)).collect()
}

fn refusal(bytes: &[u8]) -> &'static str {
    open(bytes).map(|_| ()).unwrap_err().code()
}

fn workbook(fill: impl FnOnce(&mut Workbook)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    fill(&mut workbook);
    workbook.save_to_buffer().unwrap()
}

fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in parts {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn a_row_becomes_a_lead_with_every_column_kept() {
    let lead = only_lead(
        b"name,phone,property_type,location,budget,email,source,tags,time_zone,language,Site Visit\n\
          Ravi Kumar,098765 43210,2 BHK,Whitefield,\"80,00,000\",ravi@example.com,Portal,hot; nri|hot,asia/kolkata,hi,Sunday\n",
    );
    assert_eq!(lead.line, 2);
    assert_eq!(lead.phone.as_str(), "+919876543210");
    assert_eq!(lead.name.as_deref(), Some("Ravi Kumar"));
    assert_eq!(lead.property_type.as_deref(), Some("2 BHK"));
    assert_eq!(lead.location.as_deref(), Some("Whitefield"));
    assert_eq!(lead.budget.as_deref(), Some("80,00,000"));
    assert_eq!(lead.email.as_deref(), Some("ravi@example.com"));
    assert_eq!(lead.source.as_deref(), Some("Portal"));
    assert_eq!(lead.tags, ["hot", "nri"]);
    assert_eq!(lead.time_zone.as_deref(), Some("Asia/Kolkata"));
    assert_eq!(lead.language.as_deref(), Some("hi"));
    assert_eq!(lead.variables, [("site_visit".to_owned(), "Sunday".to_owned())].into());
    assert_eq!(lead.warnings, []);
}

#[test]
fn empty_cells_and_words_for_nothing_are_no_values() {
    let lead = only_lead(b"name,phone,budget,notes,city\n NULL ,9876543210,#N/A,\xc2\xa0,-\n");
    assert_eq!((lead.name, lead.budget, lead.location), (None, None, None));
    assert!(lead.variables.is_empty());
}

#[test]
fn a_first_and_a_last_name_make_the_name_and_stay_variables() {
    let lead = only_lead(b"First Name,Last Name,Phone\nRavi,Kumar,9876543210\n");
    assert_eq!(lead.name.as_deref(), Some("Ravi Kumar"));
    assert_eq!(lead.variables.get("first_name").map(String::as_str), Some("Ravi"));
}

#[test]
fn bad_rows_are_rejected_one_by_one_and_the_good_ones_kept() {
    let list = "name,Mobile No,city\n\
                Asha,9876543210,Pune\n\
                \n\
                Ravi,9.18E+11,Pune\n\
                Meena,,Pune\n\
                Dev,12345,Pune\n\
                ,,\n\
                Anil,9876543211,Pune,extra,\n\
                Sita,+91 98765 43210,Delhi\n\
                Om,9876543212,Pune\n";
    assert_eq!(
        rejections(list.as_bytes()),
        [
            "4 rejected Mobile No: the spreadsheet has shortened this number (such as 9.18E+11) and its last digits are lost; \
             format the column as text, enter the number again and export the file anew",
            "5 rejected Mobile No: the phone number is missing",
            "6 rejected Mobile No: the number is too short; emergency numbers and short codes are not called",
            "8 rejected : the row has 5 cells and the header 3; put a value that contains the separator in quotation marks",
            "9 duplicate Mobile No: same number as line 2",
        ]
    );
    assert_eq!(leads(list.as_bytes()).iter().map(|lead| lead.line).collect::<Vec<_>>(), [2, 10]);
    assert_eq!(open(list.as_bytes()).unwrap().row_count(), 7);
}

#[test]
fn a_number_whose_first_row_was_rejected_is_no_duplicate() {
    let list = "phone,city\n9876543210,Pune,x\n9876543210,Pune\n";
    assert_eq!(leads(list.as_bytes()).len(), 1);
}

#[test]
fn a_lead_is_not_lost_for_a_bad_email_or_zone_or_a_short_row() {
    let lead = only_lead(b"phone,email,timezone,notes,more\n9876543210,ravi at home,IST,short\n");
    assert_eq!((lead.email, lead.time_zone), (None, None));
    let warnings: Vec<String> =
        lead.warnings.iter().map(|w| format!("{} {}: {}", w.line, w.column, w.reason)).collect();
    assert_eq!(
        warnings,
        [
            "2 : the row has 4 of 5 cells; the others were taken as empty",
            "2 email: this is not an e-mail address; the lead was kept without it",
            "2 timezone: \"IST\" is not a time zone; write a name such as Asia/Kolkata; the number's own or the campaign's is used",
        ]
    );
    assert!(lead.warnings.iter().all(|warning| warning.severity == Severity::Warning));
}

#[test]
fn an_overlong_cell_is_cut_and_control_characters_are_dropped() {
    let list = format!("phone,notes\n9876543210,a\u{1}b{}\n", "é".repeat(MAX_CELL_CHARS));
    let lead = only_lead(list.as_bytes());
    assert_eq!(lead.variables["notes"].chars().count(), MAX_CELL_CHARS);
    assert!(lead.variables["notes"].starts_with("abé"));
    assert_eq!(lead.warnings.len(), 1);
    assert_eq!(lead.warnings[0].value.chars().count(), 200);
}

#[test]
fn a_quotation_mark_left_open_costs_one_row() {
    let list = "name,phone\n\"Asha,9876543210\nRavi,9876543211\n";
    assert_eq!(rejections(list.as_bytes()), ["2 rejected : a quotation mark opens in this line and is never closed"]);
    assert_eq!(leads(list.as_bytes()).len(), 1);
}

#[test]
fn a_list_in_utf_16_with_tabs_is_read() {
    let list: Vec<u8> = "\u{feff}नाम\tफ़ोन\r\nरवि\t९८७६५४३२१०\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let lead = only_lead(&list);
    assert_eq!((lead.name.as_deref(), lead.phone.as_str()), (Some("रवि"), "+919876543210"));
}

#[test]
fn a_file_that_holds_no_list_is_refused() {
    for (bytes, code) in [
        (&b""[..], "list_empty"),
        (b"\n\n", "list_empty"),
        (b",,\n,,\n", "list_empty"),
        (b"name,phone\n", "list_without_rows"),
        (b"name,phone\n,\n\n", "list_without_rows"),
        (b"Asha,9876543210\n", "list_headerless"),
        (b"sku,price\nA1,20\n", "list_without_phone_column"),
        (b"%PDF-1.4", "list_unsupported"),
        (b"PK\x03\x04 and no more", "list_damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and no more", "list_damaged"),
    ] {
        assert_eq!(refusal(bytes), code, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn the_row_limit_refuses_the_file_before_any_row_is_read() {
    let list = b"phone\n9876543210\n9876543211\n\n9876543212\n";
    let open = |max_rows| LeadList::open(list, ListOptions { max_rows, ..OPTIONS }).map(|list| list.row_count());
    assert_eq!(open(3), Ok(3));
    assert_eq!(open(2), Err(ListError::TooManyRows { max: 2 }));
}

#[test]
fn a_hundred_thousand_rows_are_read_from_csv() {
    let mut list = "name,phone,city,notes\n".to_owned();
    for n in 0..100_000 {
        writeln!(list, "Lead {n},98{n:08},Pune,\"wants a call, maybe\"").unwrap();
    }
    let opened = open(list.as_bytes()).unwrap();
    assert_eq!(opened.row_count(), 100_000);
    assert_eq!(opened.filter(Result::is_ok).count(), 100_000);
}

#[test]
fn a_hundred_thousand_rows_are_read_from_a_workbook() {
    let bytes = workbook(|workbook| {
        let sheet = workbook.add_worksheet_with_constant_memory().unwrap();
        sheet.write_row(0, 0, ["name", "phone"]).unwrap();
        for n in 0..100_000u32 {
            sheet.write(n + 1, 0, "Asha").unwrap();
            sheet.write(n + 1, 1, 9_800_000_000.0 + f64::from(n)).unwrap();
        }
    });
    assert_eq!(open(&bytes).unwrap().filter(Result::is_ok).count(), 100_000);
}

#[test]
fn cells_of_a_workbook_are_read_as_people_see_them() {
    let bytes = workbook(|workbook| {
        let sheet = workbook.add_worksheet();
        let date = Format::new().set_num_format("dd/mm/yyyy");
        let time = Format::new().set_num_format("hh:mm");
        sheet.write_row(0, 0, ["Phone", "Budget", "Visit", "At", "Both", "Sold", "Sum"]).unwrap();
        sheet.write(1, 0, 919_876_543_210.0).unwrap();
        sheet.write(1, 1, 8_500_000.5).unwrap();
        sheet.write_with_format(1, 2, ExcelDateTime::from_ymd(2026, 11, 23).unwrap(), &date).unwrap();
        sheet.write_with_format(1, 3, ExcelDateTime::from_hms(9, 30, 0).unwrap(), &time).unwrap();
        let both = ExcelDateTime::from_ymd(2026, 11, 23).unwrap().and_hms(9, 30, 0).unwrap();
        sheet.write_with_format(1, 4, both, &date).unwrap();
        sheet.write(1, 5, true).unwrap();
        sheet.write(1, 6, 0.1 + 0.2).unwrap();
    });
    let lead = only_lead(&bytes);
    assert_eq!((lead.phone.as_str(), lead.budget.as_deref()), ("+919876543210", Some("8500000.5")));
    let variables: Vec<(&str, &str)> =
        lead.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        variables,
        [("at", "09:30"), ("both", "2026-11-23 09:30"), ("sold", "true"), ("sum", "0.3"), ("visit", "2026-11-23")]
    );
}

#[test]
fn the_first_visible_sheet_with_a_phone_column_is_read_and_lines_are_its_row_numbers() {
    let bytes = workbook(|workbook| {
        workbook.add_worksheet();
        workbook.add_worksheet().write(0, 0, "How to fill in this list").unwrap();
        let hidden = workbook.add_worksheet();
        hidden.write_row(0, 0, ["phone"]).unwrap();
        hidden.write_row(1, 0, ["9876543219"]).unwrap();
        hidden.set_hidden(true);
        let sheet = workbook.add_worksheet();
        sheet.write(1, 1, "Leads of January").unwrap();
        sheet.write_row(3, 1, ["name", "phone"]).unwrap();
        sheet.write_row(6, 1, ["Asha", "'9876543210"]).unwrap();
        sheet.write_row(7, 1, ["Ravi", "9.18E+11"]).unwrap();
    });
    let rows: Vec<_> = open(&bytes).unwrap().collect();
    assert_eq!(rows[0].as_ref().unwrap().line, 7);
    assert_eq!(rows[1].as_ref().unwrap_err().line, 8);
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_workbook_without_a_list_says_what_its_first_sheet_has() {
    let bytes = workbook(|workbook| {
        workbook.add_worksheet().write_row(0, 0, ["sku", "price"]).unwrap();
    });
    assert_eq!(
        open(&bytes).map(|_| ()),
        Err(ListError::NoPhoneColumn { found: vec!["sku".to_owned(), "price".to_owned()] })
    );
    let empty = workbook(|workbook| {
        workbook.add_worksheet();
    });
    assert_eq!(refusal(&empty), "list_empty");
}

#[test]
fn the_row_limit_holds_for_workbooks() {
    let bytes = workbook(|workbook| {
        let sheet = workbook.add_worksheet();
        sheet.write(0, 0, "phone").unwrap();
        for n in 0..30u32 {
            sheet.write(n + 1, 0, format!("98765432{n:02}")).unwrap();
        }
    });
    for max_rows in [3, 29] {
        let list = LeadList::open(&bytes, ListOptions { max_rows, ..OPTIONS }).map(|_| ());
        assert_eq!(list, Err(ListError::TooManyRows { max: max_rows }));
    }
    assert_eq!(LeadList::open(&bytes, ListOptions { max_rows: 30, ..OPTIONS }).map(|list| list.row_count()), Ok(30));
}

#[test]
fn other_things_in_archives_are_called_by_their_names() {
    for (part, what) in [
        ("word/document.xml", "a Word document"),
        ("xl/workbook.bin", "a binary workbook (XLSB)"),
        ("content.xml", "an OpenDocument file"),
        ("leads.csv", "a compressed file"),
    ] {
        assert_eq!(open(&archive(&[(part, b"x")])).map(|_| ()), Err(ListError::NotAList(what)));
    }
}

#[test]
fn a_small_file_that_unpacks_to_fill_the_memory_is_refused() {
    let zeros = vec![b' '; 600 * 1024 * 1024];
    let bytes = archive(&[("xl/workbook.xml", b"<workbook/>"), ("xl/sharedStrings.xml", &zeros)]);
    assert!(bytes.len() < 2 * 1024 * 1024);
    assert_eq!(refusal(&bytes), "list_too_large");
}

fn small_workbook() -> Vec<u8> {
    workbook(|workbook| {
        let sheet = workbook.add_worksheet();
        sheet.write_row(0, 0, ["name", "phone"]).unwrap();
        sheet.write_row(1, 0, ["Asha", "9876543210"]).unwrap();
    })
}

/// Whatever was opened gives as many items as it said, in the order of their lines.
fn check_any(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(list) = open(bytes) else { return Ok(()) };
    let (count, mut last, mut items) = (list.row_count(), 0, 0);
    for item in list {
        let line = item.map_or_else(|rejection| rejection.line, |lead| lead.line);
        prop_assert!(line > last);
        (last, items) = (line, items + 1);
    }
    prop_assert_eq!(items, count);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check_any(&bytes)?;
    }

    #[test]
    fn no_text_makes_it_panic(text in "(phone|name|\"|,|;|\t|\r|\n|\r\n|é|9876543210|9.1E+11| |\u{feff}){0,60}") {
        check_any(text.as_bytes())?;
        check_any(format!("phone,name\n{text}").as_bytes())?;
    }

    #[test]
    fn no_damage_to_a_workbook_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = small_workbook();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        check_any(&bytes)?;
    }
}

#[test]
fn consent_is_read_with_its_date_and_source() {
    let lead =
        only_lead(b"phone,Consent Basis,Consent Date,Consent Source\n9876543210,Web enquiry,31/03/2026,Portal form\n");
    assert_eq!(lead.consent_basis, shared::consent::ConsentBasis::Inquiry);
    assert_eq!(lead.consent_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-03-31T00:00:00+00:00"));
    assert_eq!(lead.consent_source.as_deref(), Some("Portal form"));
    assert!(lead.variables.is_empty() && lead.warnings.is_empty());
}

#[test]
fn what_cannot_be_read_of_a_consent_is_a_warning_and_unknown() {
    let lead = only_lead(b"phone,consent,consent_date\n9876543210,perhaps,yesterday\n");
    assert_eq!((lead.consent_basis, lead.consent_at), (shared::consent::ConsentBasis::Unknown, None));
    let columns: Vec<&str> = lead.warnings.iter().map(|warning| warning.column.as_str()).collect();
    assert_eq!(columns, ["consent", "consent_date"]);
}

#[test]
fn a_refusal_wins_over_the_basis_beside_it() {
    use shared::consent::ConsentBasis;
    for (row, basis) in [
        ("no,express_written", ConsentBasis::Refused),
        ("yes,inquiry", ConsentBasis::Inquiry),
        ("yes,", ConsentBasis::Express),
        ("yes,unknown", ConsentBasis::Express),
        (",opted out", ConsentBasis::Refused),
        (",", ConsentBasis::Unknown),
    ] {
        let csv = format!("phone,consent,consent_basis\n9876543210,{row}\n");
        assert_eq!(only_lead(csv.as_bytes()).consent_basis, basis, "{row}");
    }
}

#[test]
fn a_date_cell_of_a_workbook_is_a_date_of_consent() {
    let bytes = workbook(|workbook| {
        let sheet = workbook.add_worksheet();
        for (column, name) in ["phone", "consent", "consent date"].into_iter().enumerate() {
            sheet.write(0, column as u16, name).unwrap();
        }
        sheet.write(1, 0, "9876543210").unwrap();
        sheet.write(1, 1, true).unwrap();
        let day = ExcelDateTime::from_ymd(2026, 3, 31).unwrap();
        sheet.write_datetime_with_format(1, 2, &day, &Format::new().set_num_format("dd/mm/yyyy")).unwrap();
    });
    let lead = only_lead(&bytes);
    assert_eq!(lead.consent_basis, shared::consent::ConsentBasis::Express, "{:?}", lead.warnings);
    assert_eq!(lead.consent_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-03-31T00:00:00+00:00"));
}
