//! The hours in which somebody may be called, cut into pieces short enough to be taken as one moment.

use chrono::{DateTime, Utc};

use crate::calling_window::Opening;

/// A stretch without a change, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub start: i64,
    pub end: i64,
    /// Which set of zones is open; an index into [`Timeline::sets`].
    pub set: usize,
}

impl Segment {
    #[expect(clippy::cast_precision_loss, reason = "at most an hour")]
    pub fn secs(&self) -> f64 {
        (self.end - self.start) as f64
    }
}

#[derive(Debug)]
pub(super) struct Timeline {
    pub segments: Vec<Segment>,
    /// Open zones, per kind of stretch.
    pub sets: Vec<Vec<bool>>,
}

impl Timeline {
    /// `[from, until)` of every zone's openings, in pieces of at most `step` seconds. Hours in which nobody may be called are
    /// left out.
    pub fn new(zones: &[Vec<Opening>], from: DateTime<Utc>, until: DateTime<Utc>, step: i64) -> Self {
        let (from, until) = (from.timestamp(), until.timestamp());
        let mut changes: Vec<i64> = vec![from, until];
        for opening in zones.iter().flatten() {
            changes.extend([opening.opens_at.timestamp(), opening.closes_at.timestamp()]);
        }
        changes.retain(|at| (from..=until).contains(at));
        changes.sort_unstable();
        changes.dedup();
        // Each zone's openings are in order, so that one walk finds which is next.
        let mut next = vec![0_usize; zones.len()];
        let (mut segments, mut sets) = (Vec::new(), Vec::<Vec<bool>>::new());
        for stretch in changes.windows(2) {
            let [start, end] = [stretch[0], stretch[1]];
            let open: Vec<bool> = zones
                .iter()
                .zip(&mut next)
                .map(|(openings, next)| {
                    while openings.get(*next).is_some_and(|opening| opening.closes_at.timestamp() <= start) {
                        *next += 1;
                    }
                    openings.get(*next).is_some_and(|opening| opening.opens_at.timestamp() <= start)
                })
                .collect();
            if !open.contains(&true) {
                continue;
            }
            let set = sets.iter().position(|known| *known == open).unwrap_or_else(|| {
                sets.push(open);
                sets.len() - 1
            });
            let mut at = start;
            while at < end {
                let piece = (at + step).min(end);
                segments.push(Segment { start: at, end: piece, set });
                at = piece;
            }
        }
        Self { segments, sets }
    }

    /// The piece that `at` lies in, else the next; past the last one, their number.
    pub fn at(&self, at: i64) -> usize {
        self.segments.partition_point(|segment| segment.end <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn opening(opens: &str, closes: &str) -> Opening {
        Opening { opens_at: at(opens), closes_at: at(closes) }
    }

    #[test]
    fn pieces_begin_and_end_where_a_zone_opens_or_closes() {
        let zones = [
            vec![opening("2026-11-23T04:00:00Z", "2026-11-23T06:00:00Z")],
            vec![
                opening("2026-11-23T05:00:00Z", "2026-11-23T07:00:00Z"),
                opening("2026-11-24T05:00:00Z", "2026-11-24T06:00:00Z"),
            ],
        ];
        let line = Timeline::new(&zones, at("2026-11-23T04:30:00Z"), at("2026-11-24T05:30:00Z"), 3600);
        let told: Vec<(i64, &[bool])> =
            line.segments.iter().map(|piece| ((piece.end - piece.start) / 60, &line.sets[piece.set][..])).collect();
        assert_eq!(told, [(30, &[true, false][..]), (60, &[true, true]), (60, &[false, true]), (30, &[false, true])]);
        assert_eq!(line.at(at("2026-11-23T05:00:00Z").timestamp()), 1);
        assert_eq!(line.at(at("2026-11-23T12:00:00Z").timestamp()), 3, "closed: the next piece");
        assert_eq!(line.at(at("2026-11-25T00:00:00Z").timestamp()), 4);
    }
}
