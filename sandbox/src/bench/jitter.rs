//! How late frames leave: the media process' own histogram, read before and after a level.

use anyhow::Context as _;

const METRIC: &str = "frame_lateness_seconds_bucket";

/// Frames so far, by the upper bound of their lateness in ms; cumulated, as Prometheus counts.
#[derive(Debug, Clone, Default)]
pub struct Lateness(Vec<(f64, f64)>);

impl Lateness {
    /// # Errors
    ///
    /// The media process does not answer.
    pub async fn of(media: &str) -> anyhow::Result<Self> {
        let url = format!("{}/metrics", media.trim_end_matches('/'));
        let text = reqwest::get(&url).await.with_context(|| url.clone())?.text().await?;
        Ok(Self::read(&text))
    }

    fn read(metrics: &str) -> Self {
        let bucket = |line: &str| {
            let (name, count) = line.rsplit_once(' ')?;
            let bound = name.strip_prefix(METRIC)?.split("le=\"").nth(1)?.split('"').next()?;
            let ms = if bound == "+Inf" { f64::INFINITY } else { bound.parse::<f64>().ok()? * 1_000.0 };
            Some((ms, count.parse().ok()?))
        };
        Self(metrics.lines().filter_map(bucket).collect())
    }

    /// The bound in ms below which `share` percent of the frames since `earlier` left; `None` without frames.
    pub fn percentile_since(&self, earlier: &Self, share: f64) -> Option<f64> {
        let before = |ms: f64| earlier.0.iter().find(|(bound, _)| *bound == ms).map_or(0.0, |(_, count)| *count);
        let since: Vec<(f64, f64)> = self.0.iter().map(|&(ms, count)| (ms, count - before(ms))).collect();
        let all = since.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        since.iter().find(|(_, count)| *count >= all * share / 100.0).map(|(ms, _)| *ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_that_of_the_frames_in_between() {
        let text = |fast: u32, all: u32| {
            format!(
                "# TYPE frame_lateness_seconds histogram\n{METRIC}{{le=\"0.002\"}} {fast}\n{METRIC}{{le=\"0.005\"}} {all}\n\
                 {METRIC}{{le=\"+Inf\"}} {all}\nframe_lateness_seconds_count {all}\n"
            )
        };
        let (before, after) = (Lateness::read(&text(100, 100)), Lateness::read(&text(190, 200)));
        assert_eq!(after.percentile_since(&before, 50.0), Some(2.0));
        assert_eq!(after.percentile_since(&before, 99.0), Some(5.0));
        assert_eq!(after.percentile_since(&after, 50.0), None);
    }
}
