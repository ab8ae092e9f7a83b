//! One row of text, in a buffer that the next row uses again.

/// A row with more cells is rejected anyway; they are counted and not kept.
const MOST_KEPT: usize = 1_000;

#[derive(Default, Debug)]
pub(super) struct Cells {
    line: u64,
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
    dropped: usize,
}

impl Cells {
    pub(super) fn start(&mut self, line: u64) {
        self.line = line;
        self.text.clear();
        self.ends.clear();
        self.dropped = 0;
    }

    /// Adds to the cell that is being read.
    pub(super) fn write(&mut self, part: &str) {
        if self.ends.len() < MOST_KEPT {
            self.text.push_str(part);
        }
    }

    pub(super) fn end_cell(&mut self) {
        if self.ends.len() < MOST_KEPT {
            self.ends.push(self.text.len());
        } else {
            self.dropped += 1;
        }
    }

    /// In the file, counted from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Empty where the row has no such cell.
    pub(super) fn get(&self, index: usize) -> &str {
        let Some(&end) = self.ends.get(index) else { return "" };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..end]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len() + self.dropped
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|index| self.get(index))
    }

    pub(super) fn is_blank(&self) -> bool {
        self.iter().all(is_empty)
    }
}

/// Nothing that can be seen.
pub(super) fn is_empty(text: &str) -> bool {
    text.chars().all(is_void)
}

/// White space, and what stands in files without being seen.
pub(super) fn is_void(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
}
