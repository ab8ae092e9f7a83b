//! One line of the bench's table.

use std::fmt;

/// What one level of simultaneous calls came to.
#[derive(Debug)]
pub struct Level {
    /// Calls up on average while it was measured.
    pub calls: usize,
    pub cpu_secs_per_call_minute: f64,
    pub mib_per_call: f64,
    /// Our share of a reply's latency, p50 and p99, in ms.
    pub own_share_ms: [Option<u64>; 2],
    /// From the end of the callee's words to the first sound of the reply, providers included, p50 and p99.
    pub response_ms: [Option<u64>; 2],
    /// From the callee's first sound over the agent to silence, p50, p95 and p99.
    pub barge_in_ms: [Option<u64>; 3],
    /// How late frames left, p50 and p99: the upper bounds of the histogram's buckets.
    pub lateness_ms: [Option<f64>; 2],
    /// Times the agent's audio ran dry inside a reply, and for how long in all.
    pub gaps: u64,
    pub gap_ms: u64,
    pub replies: usize,
}

impl Level {
    pub fn headings() -> String {
        format!(
            "{:>6} {:>18} {:>9} {:>19} {:>19} {:>22} {:>17} {:>12} {:>8}",
            "calls",
            "CPU s/call-minute",
            "MiB/call",
            "own share p50/p99",
            "response p50/p99",
            "barge-in p50/p95/p99",
            "jitter p50/p99",
            "gaps (ms)",
            "replies"
        )
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} {:>18.3} {:>9.2} {:>19} {:>19} {:>22} {:>17} {:>12} {:>8}",
            self.calls,
            self.cpu_secs_per_call_minute,
            self.mib_per_call,
            joined(&self.own_share_ms, ""),
            joined(&self.response_ms, ""),
            joined(&self.barge_in_ms, ""),
            joined(&self.lateness_ms, "≤ "),
            format!("{} ({})", self.gaps, self.gap_ms),
            self.replies,
        )
    }
}

fn joined<T: fmt::Display>(values: &[Option<T>], sign: &str) -> String {
    let known: Option<Vec<String>> =
        values.iter().map(|value| value.as_ref().map(|value| format!("{sign}{value}"))).collect();
    known.map_or_else(|| "–".to_owned(), |known| format!("{} ms", known.join(" / ")))
}

/// The value below which `share` percent of the sorted values lie.
pub fn percentile(sorted: &[u64], share: usize) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((sorted.len() * share / 100).min(last)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_of_nothing_is_nothing() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[7], 99), Some(7));
        assert_eq!(percentile(&[1, 2, 3, 4], 50), Some(3));
    }
}
