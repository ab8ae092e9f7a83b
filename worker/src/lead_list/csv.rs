//! Rows of a delimited text file.
//!
//! Our own scanner and not the `csv` crate, for two things that people with broken files need: the line that a row really
//! starts on, and that a quotation mark somebody forgot to close costs that line and not the rest of the file.

use std::borrow::Cow;

use super::cells::Cells;
use super::{Step, columns};

const DELIMITERS: [u8; 4] = *b",;\t|";
/// A quoted cell that runs over more than this was never closed.
const QUOTED_LINES: u64 = 100;
const QUOTED_BYTES: usize = 64 * 1024;
/// What the delimiter is judged by.
const SAMPLE_ROWS: usize = 100;

pub(super) struct CsvRows<'a> {
    text: Cow<'a, str>,
    delimiter: u8,
    /// Where the rows begin: behind a line `sep=;`.
    first: Cursor,
    next: Cursor,
}

#[derive(Clone, Copy)]
struct Cursor {
    offset: usize,
    /// Counted from 1.
    line: u64,
}

/// What follows a cell.
enum After {
    Delimiter,
    RowEnd,
    UnclosedQuote,
}

impl<'a> CsvRows<'a> {
    /// Finds out what separates the cells.
    pub(super) fn new(text: Cow<'a, str>) -> Self {
        let first = Cursor { offset: 0, line: 1 };
        let mut rows = Self { text, delimiter: b',', first, next: first };
        if let Some(delimiter) = rows.declared_delimiter() {
            rows.delimiter = delimiter;
            rows.first = rows.behind_line(first);
        } else {
            rows.delimiter = rows.likeliest_delimiter();
        }
        rows.rewind();
        rows
    }

    pub(super) fn rewind(&mut self) {
        self.next = self.first;
    }

    pub(super) fn next_row(&mut self, cells: &mut Cells) -> Step {
        let start = self.next;
        if start.offset >= self.text.len() {
            return Step::End;
        }
        cells.start(start.line);
        let mut at = start;
        loop {
            match self.read_cell(&mut at, cells) {
                After::Delimiter => {}
                After::RowEnd => {
                    self.next = at;
                    return Step::Row;
                }
                After::UnclosedQuote => {
                    self.next = self.behind_line(start);
                    let line = &self.text[start.offset..self.next.offset];
                    cells.start(start.line);
                    cells.write(line.trim_end_matches(['\r', '\n']));
                    cells.end_cell();
                    return Step::UnclosedQuote;
                }
            }
        }
    }

    /// Reads one cell at `at` and moves behind what ends it.
    fn read_cell(&self, at: &mut Cursor, cells: &mut Cells) -> After {
        let bytes = self.text.as_bytes();
        let spaces = bytes[at.offset..].iter().take_while(|byte| **byte == b' ').count();
        if bytes.get(at.offset + spaces) == Some(&b'"') {
            let opened = at.line;
            at.offset += spaces + 1;
            if !self.read_quoted(at, cells) {
                return After::UnclosedQuote;
            }
            // A quotation mark in the middle of a later line's text is where that line's own cell opens.
            let goes_on = bytes[at.offset..].iter().find(|byte| **byte != b' ');
            let ends = goes_on.is_none_or(|byte| *byte == self.delimiter || matches!(byte, b'\r' | b'\n'));
            if at.line > opened && !ends {
                return After::UnclosedQuote;
            }
        }
        let rest = &bytes[at.offset..];
        let end = rest.iter().position(|byte| *byte == self.delimiter || matches!(byte, b'\r' | b'\n'));
        let length = end.unwrap_or(rest.len());
        cells.write(&self.text[at.offset..at.offset + length]);
        cells.end_cell();
        at.offset += length;
        match rest.get(length) {
            Some(byte) if *byte == self.delimiter => {
                at.offset += 1;
                After::Delimiter
            }
            Some(_) => {
                *at = self.behind_line(*at);
                After::RowEnd
            }
            None => After::RowEnd,
        }
    }

    /// Reads to behind the closing mark; `false` if there is none within reason.
    fn read_quoted(&self, at: &mut Cursor, cells: &mut Cells) -> bool {
        let bytes = self.text.as_bytes();
        let opened = *at;
        let limit = bytes.len().min(opened.offset + QUOTED_BYTES);
        loop {
            let from = at.offset;
            let Some(length) = bytes[from.min(limit)..limit].iter().position(|byte| *byte == b'"') else {
                return false;
            };
            let part = &self.text[from..from + length];
            at.line += line_breaks(part);
            at.offset += length + 1;
            if at.line - opened.line > QUOTED_LINES {
                return false;
            }
            cells.write(part);
            if bytes.get(at.offset) != Some(&b'"') {
                return true;
            }
            cells.write("\"");
            at.offset += 1;
        }
    }

    /// The start of the next line: behind `\n`, `\r\n` or a lone `\r`.
    fn behind_line(&self, from: Cursor) -> Cursor {
        let rest = &self.text.as_bytes()[from.offset..];
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            return Cursor { offset: self.text.len(), line: from.line };
        };
        let length = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        Cursor { offset: from.offset + end + length, line: from.line + 1 }
    }

    /// Excel's own line `sep=;` above the header.
    fn declared_delimiter(&self) -> Option<u8> {
        let line = self.text.lines().next()?.trim_end_matches('\r');
        let declared =
            line.get(..4).filter(|word| word.eq_ignore_ascii_case("sep=")).and_then(|_| line.as_bytes().get(4));
        declared.copied().filter(|delimiter| DELIMITERS.contains(delimiter))
    }

    /// The one under which a header names a phone column, else the one that cuts the rows into equally many cells.
    fn likeliest_delimiter(&mut self) -> u8 {
        let mut best = ((false, 0, 0), b',');
        for delimiter in DELIMITERS {
            self.delimiter = delimiter;
            let score = self.score();
            if score > best.0 {
                best = (score, delimiter);
            }
        }
        best.1
    }

    /// A phone column, per cent of rows as wide as the widest of the first few, and that width.
    fn score(&mut self) -> (bool, usize, usize) {
        self.rewind();
        let mut cells = Cells::default();
        let mut widths = Vec::with_capacity(SAMPLE_ROWS);
        let mut names_a_phone = false;
        while widths.len() < SAMPLE_ROWS && self.next_row(&mut cells) == Step::Row {
            if cells.is_blank() {
                continue;
            }
            if widths.len() < columns::TITLE_ROWS {
                names_a_phone |= columns::names_a_phone(&cells);
            }
            widths.push(cells.len());
        }
        let width = widths.iter().take(columns::TITLE_ROWS).copied().max().unwrap_or(0);
        if width < 2 {
            return (names_a_phone, 0, 0);
        }
        let equal = widths.iter().filter(|other| **other == width).count();
        (names_a_phone, 100 * equal / widths.len(), width)
    }
}

fn line_breaks(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let lone = |index: usize| bytes[index] == b'\r' && bytes.get(index + 1) != Some(&b'\n');
    (0..bytes.len()).filter(|&index| bytes[index] == b'\n' || lone(index)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row as `line: cell|cell`.
    fn rows(text: &str) -> Vec<String> {
        let mut rows = CsvRows::new(text.into());
        let mut cells = Cells::default();
        let mut all = Vec::new();
        loop {
            match rows.next_row(&mut cells) {
                Step::End => return all,
                Step::Row => all.push(format!("{}: {}", cells.line(), cells.iter().collect::<Vec<_>>().join("|"))),
                Step::UnclosedQuote => all.push(format!("{}! {}", cells.line(), cells.get(0))),
            }
        }
    }

    #[test]
    fn cells_are_cut_and_quotes_taken_off() {
        assert_eq!(rows("a,b\n1,\"x, y\"\n"), ["1: a|b", "2: 1|x, y"]);
        assert_eq!(rows("a,b\n1, \"say \"\"hi\"\"\" \n"), ["1: a|b", "2: 1|say \"hi\" "]);
        assert_eq!(rows("a,b\n5\" pipe,\"x\"y\n"), ["1: a|b", "2: 5\" pipe|xy"]);
        assert_eq!(rows("a,b,\n,,"), ["1: a|b|", "2: ||"]);
    }

    #[test]
    fn lines_are_counted_over_blank_lines_and_quoted_line_breaks() {
        assert_eq!(rows("a,b\r\n\r\n1,\"x\r\ny\"\r\n2,z\r\n"), ["1: a|b", "2: ", "3: 1|x\r\ny", "5: 2|z"]);
        assert_eq!(rows("a,b\r1,x\r2,y"), ["1: a|b", "2: 1|x", "3: 2|y"]);
    }

    #[test]
    fn the_delimiter_is_found() {
        assert_eq!(rows("name;phone\nRavi;1,5\n"), ["1: name|phone", "2: Ravi|1,5"]);
        assert_eq!(rows("name\tphone\nRavi\t1,5\n"), ["1: name|phone", "2: Ravi|1,5"]);
        assert_eq!(rows("name|phone\nRavi, Kumar|1\n"), ["1: name|phone", "2: Ravi, Kumar|1"]);
        assert_eq!(rows("name,phone,tags\nRavi,1,a;b;c\n"), ["1: name|phone|tags", "2: Ravi|1|a;b;c"]);
        assert_eq!(rows("x;y;z\n1,5;2;3\n1,6;2;3\n"), ["1: x|y|z", "2: 1,5|2|3", "3: 1,6|2|3"]);
        assert_eq!(rows("phone\n98\n"), ["1: phone", "2: 98"]);
        assert_eq!(rows("SEP=|\na|b;c;d\n"), ["2: a|b;c;d"]);
    }

    #[test]
    fn a_quotation_mark_that_never_closes_costs_its_own_line() {
        assert_eq!(
            rows("a,b\n\"Ravi,1\nAsha,2\n\"Sharma, R\",3\n"),
            ["1: a|b", "2! \"Ravi,1", "3: Asha|2", "4: Sharma, R|3"]
        );
        assert_eq!(rows("a,b\nAsha,2\nRavi,\"1"), ["1: a|b", "2: Asha|2", "3! Ravi,\"1"]);
    }

    #[test]
    fn a_quotation_mark_is_not_looked_for_through_the_whole_file() {
        let text = format!("a,b\n\"Ravi,1\n{}\"late\",9\n", "x,y\n".repeat(150));
        let rows = rows(&text);
        assert_eq!((rows.len(), rows[1].as_str(), rows[152].as_str()), (153, "2! \"Ravi,1", "153: late|9"));
    }
}
