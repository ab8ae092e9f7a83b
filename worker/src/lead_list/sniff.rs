//! What the bytes of an upload are: text in some encoding, a workbook, or nothing that holds a list.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::ListError;

/// Looked at to tell text from anything else.
const HEAD_BYTES: usize = 64 * 1024;
/// Looked at to guess an old encoding.
const DETECT_BYTES: usize = 1024 * 1024;

pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Workbook(WorkbookKind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkbookKind {
    /// A zip archive: XLSX, or something else in one.
    Zip,
    /// An OLE compound file: the XLS of Excel 97 to 2003, or an XLSX behind a password.
    Ole,
}

const MAGIC: [(&[u8], &str); 17] = [
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"RIFF", "an image or a recording"),
    (b"OggS", "a recording"),
    (b"ID3", "a recording"),
    (b"\x1f\x8b", "a compressed file"),
    (b"7z\xbc\xaf", "a compressed file"),
    (b"Rar!", "a compressed file"),
    (b"BZh", "a compressed file"),
    (b"\xfd7zXZ", "a compressed file"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "a database"),
    (b"BEGIN:VCARD", "a contact card (VCF)"),
];

pub(super) fn sniff(bytes: &[u8]) -> Result<Content<'_>, ListError> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Content::Workbook(WorkbookKind::Zip));
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Ok(Content::Workbook(WorkbookKind::Ole));
    }
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(ListError::NotAList(what));
    }
    let text = decode(bytes)?;
    let start = text.trim_start_matches(super::cells::is_void);
    if start.is_empty() {
        return Err(ListError::Empty);
    }
    let head: String = start.chars().take(15).collect::<String>().to_lowercase();
    // Many a "report.xls" that a web application offers is a page.
    if ["<!doctype", "<html", "<table", "<?xml", "<meta", "<head"].iter().any(|tag| head.starts_with(tag)) {
        return Err(ListError::NotAList("a web page or an XML file"));
    }
    if head.starts_with('{') || head.starts_with("[{") || head.starts_with("[\n") {
        return Err(ListError::NotAList("a JSON file"));
    }
    Ok(Content::Text(text))
}

/// UTF-8, UTF-16 with or without its mark, else what the bytes look most like; without a byte-order mark.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ListError> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return Ok(encoding.decode_without_bom_handling(&bytes[mark..]).0);
    }
    if let Some(encoding) = utf_16_without_mark(bytes) {
        return Ok(encoding.decode_without_bom_handling(bytes).0);
    }
    if is_binary(bytes) {
        return Err(ListError::NotAList("a binary file"));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) if is_mostly_utf_8(bytes) => Ok(UTF_8.decode_without_bom_handling(bytes).0),
        Err(error) => Ok(legacy_encoding(bytes, error.valid_up_to()).decode_without_bom_handling(bytes).0),
    }
}

/// Latin text in UTF-16 has a zero in every other byte.
fn utf_16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES) / 2 * 2];
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), head.len() / 2);
    match () {
        () if pairs < 4 => None,
        () if odd * 2 > pairs && even * 50 <= pairs => Some(UTF_16LE),
        () if even * 2 > pairs && odd * 50 <= pairs => Some(UTF_16BE),
        () => None,
    }
}

/// Control characters that no text editor writes, beyond a stray few.
fn is_binary(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let control = head.iter().filter(|byte| matches!(byte, 0..=8 | 14..=25 | 28..=31)).count();
    control * 200 > head.len()
}

/// A few broken bytes in a UTF-8 file, where two were joined or one was cut: every other encoding would spoil the rest.
fn is_mostly_utf_8(bytes: &[u8]) -> bool {
    let (mut good, mut broken) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    good > 10 * broken
}

fn legacy_encoding(bytes: &[u8], first_foreign: usize) -> &'static Encoding {
    let from = first_foreign.saturating_sub(1024);
    let sample = &bytes[from..bytes.len().min(from + DETECT_BYTES)];
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(sample, true);
    detector.guess(None, Utf8Detection::Deny)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        match sniff(bytes).map_err(|error| error.to_string()) {
            Ok(Content::Text(text)) => text.into_owned(),
            Ok(Content::Workbook(kind)) => format!("{kind:?}"),
            Err(error) => error,
        }
    }

    fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn every_encoding_that_spreadsheets_save_is_read() {
        let list = "name,phone\nJosé Müller,98\n";
        assert_eq!(text(list.as_bytes()), list);
        assert_eq!(text(format!("\u{feff}{list}").as_bytes()), list);
        assert_eq!(text(&utf_16(list, u16::to_le_bytes)), list);
        assert_eq!(text(&utf_16(list, u16::to_be_bytes)), list);
        assert_eq!(text(&utf_16(&format!("\u{feff}{list}"), u16::to_le_bytes)), list);
        assert_eq!(text(&utf_16(&format!("\u{feff}{list}"), u16::to_be_bytes)), list);
        assert_eq!(text(&encoding_rs::WINDOWS_1252.encode(list).0), list);
        assert_eq!(text("name,phone\nरवि,98\n".as_bytes()), "name,phone\nरवि,98\n");
    }

    #[test]
    fn a_few_broken_bytes_do_not_spoil_a_file_in_utf_8() {
        let mut bytes = "name,phone\nरवि कुमार शर्मा,98\n".as_bytes().to_vec();
        bytes.extend(b"Jos\xe9,99\n");
        assert_eq!(text(&bytes), "name,phone\nरवि कुमार शर्मा,98\nJos\u{fffd},99\n");
    }

    #[test]
    fn utf_8_is_not_copied() {
        assert!(matches!(sniff(b"name,phone\n").unwrap(), Content::Text(Cow::Borrowed(_))));
    }

    #[test]
    fn what_is_no_list_is_called_by_its_name() {
        let noise: Vec<u8> = (0u32..5000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for (bytes, sentence) in [
            (&b""[..], "The file is empty."),
            (b" \r\n\t\n", "The file is empty."),
            (b"\xef\xbb\xbf", "The file is empty."),
            (b"%PDF-1.7 x", "The file is a PDF document, not a list. Upload a CSV or an XLSX file."),
            (b"\x89PNG\r\n\x1a\n", "The file is an image, not a list. Upload a CSV or an XLSX file."),
            (b"<html><table>", "The file is a web page or an XML file, not a list. Upload a CSV or an XLSX file."),
            (b"[{\"phone\": 1}]", "The file is a JSON file, not a list. Upload a CSV or an XLSX file."),
            (&noise, "The file is a binary file, not a list. Upload a CSV or an XLSX file."),
            (&[0; 4096], "The file is a binary file, not a list. Upload a CSV or an XLSX file."),
            (b"PK\x03\x04", "Zip"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Ole"),
        ] {
            assert_eq!(text(bytes), sentence);
        }
    }
}
