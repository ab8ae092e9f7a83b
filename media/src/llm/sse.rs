//! Server-sent events, as far as chat APIs use them.
//!
//! Works on bytes: a UTF-8 character may be split between two network chunks, but never across a line end.

/// Longest line kept: one chunk of a completion is a few hundred bytes.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// A line that never ends: not an event stream.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an event-stream line is longer than {MAX_LINE_BYTES} bytes")]
pub struct LineTooLong;

/// Cuts a byte stream into events. Feed chunks, then take events until there is none.
#[derive(Debug, Default)]
pub struct EventStream {
    buffer: Vec<u8>,
    /// Start of what has not been looked at.
    read: usize,
    /// The `data` of the event being read; lines joined by `\n`.
    data: Vec<u8>,
    has_data: bool,
    /// The last line ended with CR at the end of a chunk: an LF may belong to it.
    after_cr: bool,
}

impl EventStream {
    /// Adds a network chunk.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), LineTooLong> {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() + self.data.len() > MAX_LINE_BYTES { Err(LineTooLong) } else { Ok(()) }
    }

    /// The `data` of the next whole event. Events without data (comments, keep-alives) are skipped.
    ///
    /// Invalid UTF-8 is replaced, as the specification asks.
    pub fn next_event(&mut self) -> Option<String> {
        loop {
            let line = self.next_line()?;
            if line.is_empty() {
                if std::mem::take(&mut self.has_data) {
                    let data = std::mem::take(&mut self.data);
                    return Some(
                        String::from_utf8(data).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
                    );
                }
                continue;
            }
            let line = &self.buffer[line];
            if let Some(value) = field(line, b"data") {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
        }
    }

    /// The next line without its end (LF, CR or CRLF), as a range of the buffer.
    fn next_line(&mut self) -> Option<std::ops::Range<usize>> {
        if self.after_cr {
            if self.buffer.get(self.read)? == &b'\n' {
                self.read += 1;
            }
            self.after_cr = false;
        }
        let start = self.read;
        let length = self.buffer[start..].iter().position(|b| matches!(b, b'\n' | b'\r'))?;
        let end = start + length;
        self.read = end + 1;
        self.after_cr = self.buffer[end] == b'\r';
        Some(start..end)
    }
}

/// The value of `name: value`; one space after the colon is not part of it.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<String> {
        let mut stream = EventStream::default();
        let mut events = Vec::new();
        for chunk in chunks {
            stream.feed(chunk).unwrap();
            events.extend(std::iter::from_fn(|| stream.next_event()));
        }
        events
    }

    #[test]
    fn every_cut_of_the_stream_gives_the_same_events() {
        let text = "\u{feff}:comment\r\ndata: {\"a\":\"हाँ\"}\r\n\r\nevent: x\r\ndata:one\r\ndata: two\r\n\r\n: ping\r\n\r\ndata: [DONE]\r\n\r\n";
        let text = text.trim_start_matches('\u{feff}').as_bytes();
        let whole = events(&[text]);
        assert_eq!(whole, ["{\"a\":\"हाँ\"}", "one\ntwo", "[DONE]"]);
        for cut in 0..text.len() {
            assert_eq!(events(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(events(&bytes), whole);
    }

    #[test]
    fn lf_and_cr_end_lines_too() {
        assert_eq!(events(&[b"data: a\n\ndata: b\r\rdata: c\n\n"]), ["a", "b", "c"]);
    }

    #[test]
    fn an_event_without_its_blank_line_is_not_given() {
        assert_eq!(events(&[b"data: a\n\ndata: cut"]), ["a"]);
    }

    #[test]
    fn fields_other_than_data_and_empty_data_are_handled() {
        assert_eq!(events(&[b"id: 1\nretry: 5\n\ndata\n\ndatabase: no\n\n"]), [""]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut stream = EventStream::default();
        assert_eq!(stream.feed(&vec![b'x'; MAX_LINE_BYTES + 1]), Err(LineTooLong));
    }
}
