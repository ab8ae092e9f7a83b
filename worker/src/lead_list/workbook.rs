//! Rows of an Excel workbook, as the text that a person sees in its cells.

use std::io::{self, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{
    Data, DataRef, DataType, ExcelDateTime, Reader, Sheet as SheetInfo, SheetType, SheetVisible, Xls, XlsError, Xlsx,
    XlsxError,
};
use zip::ZipArchive;

use super::cells::{Cells, is_empty};
use super::columns::{self, Columns};
use super::sniff::WorkbookKind;
use super::{ListError, ListOptions, Rows, Step};

/// What the parts of a workbook that are read may come to, unpacked: twenty times a list of 200,000 rows.
const MAX_UNPACKED_BYTES: u64 = 512 * 1024 * 1024;
/// Further columns are not looked at; a header of so many is refused anyway.
const MAX_SHEET_COLUMNS: usize = 1_000;
const OLE_STREAM_OF_AN_ENCRYPTED_WORKBOOK: &[u8] = b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0";

/// The text of one worksheet, packed: its rows that are not blank.
#[derive(Default)]
pub(super) struct Sheet {
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<u32>,
    rows: Vec<SheetRow>,
    next: usize,
}

struct SheetRow {
    line: u64,
    first_cell: usize,
}

impl Sheet {
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    pub(super) fn next_row(&mut self, cells: &mut Cells) -> Step {
        let Some(row) = self.rows.get(self.next) else { return Step::End };
        self.next += 1;
        cells.start(row.line);
        let last = self.rows.get(self.next).map_or(self.ends.len(), |following| following.first_cell);
        for cell in row.first_cell..last {
            let start = if cell == 0 { 0 } else { self.ends[cell - 1] as usize };
            cells.write(&self.text[start..self.ends[cell] as usize]);
            cells.end_cell();
        }
        Step::Row
    }

    /// Adds a cell; rows and their cells come in order, and cells without a value may be left out.
    fn push(&mut self, row: u32, column: u32, value: &str, max_rows: usize) -> Result<(), ListError> {
        let column = column as usize;
        if is_empty(value) || column >= MAX_SHEET_COLUMNS {
            return Ok(());
        }
        let line = u64::from(row) + 1;
        if self.rows.last().is_none_or(|last| last.line < line) {
            // The header and the titles above it are no leads.
            if self.rows.len() > max_rows + columns::TITLE_ROWS {
                return Err(ListError::TooManyRows { max: max_rows });
            }
            self.rows.push(SheetRow { line, first_cell: self.ends.len() });
        }
        let first_cell = self.rows.last().expect("a row was pushed").first_cell;
        while self.ends.len() - first_cell < column {
            self.end_cell()?;
        }
        // A cell that comes twice or out of order, in a file that no Excel wrote, keeps its first value.
        if self.ends.len() - first_cell == column {
            self.text.push_str(value);
            self.end_cell()?;
        }
        Ok(())
    }

    fn end_cell(&mut self) -> Result<(), ListError> {
        let end = u32::try_from(self.text.len()).ok().filter(|end| u64::from(*end) <= MAX_UNPACKED_BYTES);
        self.ends.push(end.ok_or_else(too_large)?);
        Ok(())
    }
}

/// The first visible sheet that names a phone column. Without one, the error is that of the first sheet that holds
/// anything.
pub(super) fn read<'a>(
    bytes: &[u8],
    kind: WorkbookKind,
    options: ListOptions<'_>,
) -> Result<(Rows<'a>, Columns), ListError> {
    // The parsers of these formats are large, and a broken file has made them panic before; here it is only damaged.
    let read = catch_unwind(AssertUnwindSafe(|| match kind {
        WorkbookKind::Zip => read_xlsx(bytes, options),
        WorkbookKind::Ole => read_xls(bytes, options),
    }));
    let (sheet, columns) = read.unwrap_or(Err(ListError::Damaged))?;
    Ok((Rows::Workbook(sheet), columns))
}

fn read_xlsx(bytes: &[u8], options: ListOptions<'_>) -> Result<(Sheet, Columns), ListError> {
    check_archive(bytes)?;
    let mut workbook = Xlsx::new(Cursor::new(bytes)).map_err(|error| xlsx_error(&error))?;
    let sheets = visible(workbook.sheets_metadata());
    first_list(sheets, options.region, |name| {
        let mut sheet = Sheet::default();
        let mut cells = workbook.worksheet_cells_reader(name).map_err(|error| xlsx_error(&error))?;
        while let Some(cell) = cells.next_cell().map_err(|error| xlsx_error(&error))? {
            let (row, column) = cell.get_position();
            match cell.get_value() {
                DataRef::SharedString(text) => sheet.push(row, column, text, options.max_rows)?,
                DataRef::DateTime(time) => sheet.push(row, column, &date_text(time), options.max_rows)?,
                other => sheet.push(row, column, &plain_text(other), options.max_rows)?,
            }
        }
        Ok(sheet)
    })
}

fn read_xls(bytes: &[u8], options: ListOptions<'_>) -> Result<(Sheet, Columns), ListError> {
    if bytes.windows(OLE_STREAM_OF_AN_ENCRYPTED_WORKBOOK.len()).any(|part| part == OLE_STREAM_OF_AN_ENCRYPTED_WORKBOOK)
    {
        return Err(ListError::Password);
    }
    let mut workbook: Xls<_> = Xls::new(Cursor::new(bytes)).map_err(|error| match error {
        XlsError::Password => ListError::Password,
        _ => ListError::Damaged,
    })?;
    let sheets = visible(workbook.sheets_metadata());
    first_list(sheets, options.region, |name| {
        let mut sheet = Sheet::default();
        let Ok(range) = workbook.worksheet_range(name) else { return Err(ListError::Damaged) };
        let (first_row, first_column) = range.start().unwrap_or_default();
        for (row, column, value) in range.used_cells() {
            let row = first_row + u32::try_from(row).unwrap_or(u32::MAX / 2);
            let column = first_column + u32::try_from(column).unwrap_or(u32::MAX / 2);
            match value {
                Data::DateTime(time) => sheet.push(row, column, &date_text(time), options.max_rows)?,
                other => sheet.push(row, column, &plain_text(other), options.max_rows)?,
            }
        }
        Ok(sheet)
    })
}

fn first_list(
    names: Vec<String>,
    region: &str,
    mut read: impl FnMut(&str) -> Result<Sheet, ListError>,
) -> Result<(Sheet, Columns), ListError> {
    let mut first_error = None;
    for name in names {
        let mut rows = Rows::Workbook(read(&name)?);
        match columns::find(&mut rows, region) {
            Ok(columns) => {
                let Rows::Workbook(sheet) = rows else { return Err(ListError::Damaged) };
                return Ok((sheet, columns));
            }
            Err(ListError::Empty) => {}
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or(ListError::Empty))
}

fn visible(sheets: &[SheetInfo]) -> Vec<String> {
    let shown = |sheet: &&SheetInfo| sheet.visible == SheetVisible::Visible && sheet.typ == SheetType::WorkSheet;
    sheets.iter().filter(shown).map(|sheet| sheet.name.clone()).collect()
}

/// Refuses other things in zip archives by name, and a small file that unpacks to fill the memory.
fn check_archive(bytes: &[u8]) -> Result<(), ListError> {
    let Ok(mut archive) = ZipArchive::new(Cursor::new(bytes)) else { return Err(ListError::Damaged) };
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.to_lowercase())).collect();
    let holds = |part: &str| names.iter().any(|name| name.starts_with(part));
    if !holds("xl/workbook.xml") {
        return Err(match () {
            () if holds("xl/workbook.bin") => ListError::NotAList("a binary workbook (XLSB)"),
            () if holds("word/") => ListError::NotAList("a Word document"),
            () if holds("ppt/") => ListError::NotAList("a presentation"),
            () if holds("content.xml") => ListError::NotAList("an OpenDocument file"),
            () if holds("index/") => ListError::NotAList("a Numbers or Pages document"),
            () => ListError::NotAList("a compressed file"),
        });
    }
    let mut left = MAX_UNPACKED_BYTES;
    for index in 0..archive.len() {
        let Ok(part) = archive.by_index(index) else { return Err(ListError::Damaged) };
        // The sizes that the archive declares prove nothing, and any part may be named as a sheet: count them all.
        let Ok(unpacked) = io::copy(&mut part.take(left + 1), &mut io::sink()) else { return Err(ListError::Damaged) };
        left = left.checked_sub(unpacked).ok_or_else(too_large)?;
    }
    Ok(())
}

fn too_large() -> ListError {
    ListError::TooLargeUnpacked { max_mb: MAX_UNPACKED_BYTES / 1024 / 1024 }
}

fn xlsx_error(error: &XlsxError) -> ListError {
    if matches!(error, XlsxError::Password) { ListError::Password } else { ListError::Damaged }
}

/// A whole number without a fraction or an exponent: a phone number is one. An error such as `#N/A` is empty.
fn plain_text(value: &impl DataType) -> String {
    if let Some(number) = value.get_float() {
        return number_text(number);
    }
    if let Some(number) = value.get_int() {
        return number.to_string();
    }
    if let Some(flag) = value.get_bool() {
        return flag.to_string();
    }
    let text = value.get_string().or_else(|| value.get_datetime_iso()).or_else(|| value.get_duration_iso());
    text.unwrap_or_default().to_owned()
}

fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return format!("{number:.0}");
    }
    // Excel keeps and shows 15 digits; 0.1 + 0.2 is 0.3.
    let shown = format!("{number:.14e}").parse::<f64>().unwrap_or(number);
    shown.to_string()
}

/// `2026-11-23`, `2026-11-23 09:30`, or `09:30` for a time of day alone.
fn date_text(time: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    let date = format!("{year:04}-{month:02}-{day:02}");
    let clock =
        if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") };
    match () {
        () if time.is_duration() || (0.0..1.0).contains(&time.as_f64()) => clock,
        () if (hour, minute, second) == (0, 0, 0) => date,
        () => format!("{date} {clock}"),
    }
}
