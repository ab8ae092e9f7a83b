//! What the operating system says about another process (Linux).

use std::fs;

use anyhow::Context as _;

/// Ticks per second in `/proc`: 100 on every Linux that matters.
const TICKS_PER_SEC: f64 = 100.0;

/// Cumulated processor time and present memory.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub cpu_secs: f64,
    pub resident_mib: f64,
}

impl Usage {
    /// # Errors
    ///
    /// There is no such process, or no `/proc`.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
        // The command's name, in brackets, may itself hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident_kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse::<f64>().ok())
            .unwrap_or(0.0);
        Ok(Self { cpu_secs: (ticks(11) + ticks(12)) / TICKS_PER_SEC, resident_mib: resident_kib / 1_024.0 })
    }
}
