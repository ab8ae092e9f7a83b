//! What is shown while the campaign runs: a small live picture in a terminal, plain lines elsewhere.

use std::io::{self, Write};

use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::compare::text;

/// Plain output says something at least this often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// A sentence is cut so that it fits a line.
const SENTENCE_CHARS: usize = 64;

pub struct Progress {
    terminal: bool,
    drawn_lines: usize,
    last: String,
    last_at: Instant,
}

impl Progress {
    pub fn new(terminal: bool) -> Self {
        Self { terminal, drawn_lines: 0, last: String::new(), last_at: Instant::now() }
    }

    pub fn uploaded(&mut self, import: &Value) -> io::Result<()> {
        writeln!(io::stdout(), "uploaded: {} leads, {} rejected", import["imported"], import["rejected"])
    }

    pub fn show(&mut self, campaign: &Value, leads: &[Value], seen: &[Value]) -> io::Result<()> {
        let done = leads.iter().filter(|lead| is_final(lead)).count();
        let live: Vec<&Value> =
            seen.iter().filter(|call| !call["answered_at"].is_null() && call["ended_at"].is_null()).collect();
        let waiting = &campaign["waiting_for_window"];
        let mut headline =
            format!("{done}/{} leads done · {} calls placed · {} live", leads.len(), seen.len(), live.len());
        if let Some(opens) = waiting["opens_at"].as_str().or(waiting["next_opening"].as_str()).or(waiting.as_str()) {
            headline.push_str(&format!(" · outside hours, opens {opens}"));
        }
        if self.terminal { self.draw(&headline, &live) } else { self.tell(headline) }
    }

    pub fn finished(&mut self) -> io::Result<()> {
        self.draw_over(&[])
    }

    fn tell(&mut self, headline: String) -> io::Result<()> {
        if headline != self.last && (self.last.is_empty() || self.last_at.elapsed() >= PLAIN_INTERVAL) {
            writeln!(io::stdout(), "{headline}")?;
            self.last = headline;
            self.last_at = Instant::now();
        }
        Ok(())
    }

    fn draw(&mut self, headline: &str, live: &[&Value]) -> io::Result<()> {
        let mut lines = vec![format!("\x1b[1m{headline}\x1b[0m")];
        lines.extend(live.iter().map(|call| format!("  {:<28} {}", cut(text(call, "script"), 28), latest_words(call))));
        self.draw_over(&lines)
    }

    /// Replaces what was drawn last.
    fn draw_over(&mut self, lines: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.drawn_lines > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.drawn_lines)?;
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
        self.drawn_lines = if self.terminal { lines.len() } else { 0 };
        out.flush()
    }
}

/// The last thing said on the line, by either side.
fn latest_words(call: &Value) -> String {
    let last = |side: &str| call[side].as_array().and_then(|lines| lines.last()).cloned().unwrap_or_default();
    let (heard, said) = (last("heard"), last("said"));
    let (who, line) =
        if heard["began_ms"].as_u64() > said["began_ms"].as_u64() { ("agent ", heard) } else { ("callee", said) };
    if line.is_null() { "…".into() } else { format!("{who}: {}", cut(text(&line, "text"), SENTENCE_CHARS)) }
}

fn cut(sentence: &str, most: usize) -> String {
    if sentence.chars().count() <= most {
        return sentence.to_owned();
    }
    let kept: String = sentence.chars().take(most - 1).collect();
    format!("{kept}…")
}

pub fn is_final(lead: &Value) -> bool {
    matches!(text(lead, "status"), "done" | "exhausted" | "suppressed" | "canceled" | "expired")
}
