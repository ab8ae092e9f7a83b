//! The clock every calling decision reads, so that a test can set it and the demo can hurry it.
//!
//! Two kinds of time exist, and they must not be mixed:
//! - **domain time** ([`Clock::now`]): windows, retries, callbacks, everything an operator sees;
//! - **wall-clock time**: leases, job timers, sockets, the live conversation. It is the database's `now()` or tokio's
//!   clock, and never hurried.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Hurried {
        epoch: DateTime<Utc>,
        start: DateTime<Utc>,
        speed: f64,
    },
    /// Stands still until a test moves it; microseconds since 1970.
    Fixed(Arc<AtomicI64>),
}

#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    #[error("{0} is not an RFC 3339 time")]
    NotATime(&'static str, #[source] chrono::ParseError),
    #[error("CLOCK_SPEED must be between 1 and 10000")]
    Speed,
    #[error(
        "a hurried clock is for rehearsals: EXOTEL_API_BASE_URL, and TWILIO_API_BASE_URL where Twilio is configured, must be \
         loopback addresses when CLOCK_SPEED is set"
    )]
    RealCarrier,
}

/// `CLOCK_START`, `CLOCK_EPOCH`, `CLOCK_SPEED`: domain time is `start` at the wall-clock moment `epoch` and runs `speed`
/// times as fast. All processes of one installation must be given the same three.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClockConfig {
    /// Domain time (RFC 3339) at the moment CLOCK_EPOCH; only for rehearsals against a carrier on loopback.
    #[arg(long, env = "CLOCK_START")]
    pub clock_start: Option<String>,
    /// Wall-clock time (RFC 3339) at which domain time was CLOCK_START.
    #[arg(long, env = "CLOCK_EPOCH")]
    pub clock_epoch: Option<String>,
    /// How many times faster than the wall clock domain time runs.
    #[arg(long, env = "CLOCK_SPEED")]
    pub clock_speed: Option<f64>,
}

impl ClockConfig {
    /// # Errors
    /// A malformed setting, or a hurried clock in front of a carrier that is not on loopback: it would ring real people at
    /// what only the clock takes for a lawful hour.
    pub fn clock(&self, carrier_base_url: &str) -> Result<Clock, ClockError> {
        let (Some(start), Some(epoch)) = (&self.clock_start, &self.clock_epoch) else { return Ok(Clock::system()) };
        let speed = self.clock_speed.unwrap_or(1.0);
        if !(1.0..=10_000.0).contains(&speed) {
            return Err(ClockError::Speed);
        }
        if !is_loopback(carrier_base_url) {
            return Err(ClockError::RealCarrier);
        }
        let parse = |name, text: &str| {
            DateTime::parse_from_rfc3339(text).map(|t| t.to_utc()).map_err(|error| ClockError::NotATime(name, error))
        };
        Ok(Clock(Kind::Hurried { epoch: parse("CLOCK_EPOCH", epoch)?, start: parse("CLOCK_START", start)?, speed }))
    }
}

/// Whether the host of `url` is this machine itself.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl Clock {
    #[must_use]
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands at `at` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Kind::Fixed(Arc::new(AtomicI64::new(at.timestamp_micros()))))
    }

    /// Domain time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Kind::System => wall(),
            Kind::Hurried { epoch, start, speed } => {
                let elapsed = (wall() - *epoch).num_microseconds().unwrap_or(0).max(0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_precision_loss,
                    reason = "microseconds of a rehearsal"
                )]
                let domain = (elapsed as f64 * speed) as i64;
                *start + TimeDelta::microseconds(domain)
            }
            Kind::Fixed(at) => DateTime::from_timestamp_micros(at.load(Ordering::SeqCst)).unwrap_or_default(),
        }
    }

    /// How long to wait by the wall clock until domain time is `at`; zero when it has passed.
    #[must_use]
    pub fn wait_until(&self, at: DateTime<Utc>) -> Duration {
        let wait = (at - self.now()).to_std().unwrap_or_default();
        match &self.0 {
            Kind::Hurried { speed, .. } => wait.div_f64(*speed),
            Kind::System | Kind::Fixed(_) => wait,
        }
    }

    /// How much domain time passes while the wall clock advances by `wall`.
    #[must_use]
    pub fn domain(&self, wall: Duration) -> TimeDelta {
        let domain = match &self.0 {
            Kind::Hurried { speed, .. } => wall.mul_f64(*speed),
            Kind::System | Kind::Fixed(_) => wall,
        };
        TimeDelta::from_std(domain).unwrap_or(TimeDelta::MAX)
    }

    /// Moves a fixed clock; a clock that runs by itself is left alone.
    pub fn advance(&self, by: TimeDelta) {
        if let Kind::Fixed(at) = &self.0 {
            at.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }
}

/// Wall-clock time, for what is compared with a carrier's own clock.
#[must_use]
pub fn wall() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hurried_clock_is_refused_in_front_of_a_real_carrier() {
        let config = ClockConfig {
            clock_start: Some("2026-11-23T04:30:00Z".into()),
            clock_epoch: Some("2026-11-21T00:00:00Z".into()),
            clock_speed: Some(600.0),
        };
        assert!(matches!(config.clock("https://api.exotel.com"), Err(ClockError::RealCarrier)));
        assert!(config.clock("http://127.0.0.1:9100").is_ok());
    }

    #[test]
    fn a_hurried_clock_turns_two_hours_into_seconds_of_waiting() {
        let clock = Clock(Kind::Hurried { epoch: wall(), start: wall(), speed: 600.0 });
        let wait = clock.wait_until(clock.now() + TimeDelta::hours(2));
        assert!((Duration::from_millis(11_900)..=Duration::from_millis(12_000)).contains(&wait), "{wait:?}");
    }

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        assert_eq!(clock.now(), clock.now());
        clock.advance(TimeDelta::hours(1));
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH + TimeDelta::hours(1));
    }
}
