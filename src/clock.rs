//! What time it is, and waiting for another.
//!
//! The clock of the wall tells when something happened, and may jump; decisions are made by the
//! one that only runs on. The simulation in the tests has clocks of its own, which no test has to
//! wait for.

use crate::error::Result;
use crate::http::Cancel;
use crate::model::Nanos;
use std::time::{Duration, Instant, SystemTime};

/// A clock.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> Nanos;

    /// How long the clock has run. Never less than before.
    fn running(&self) -> Duration;

    /// Waits so long.
    ///
    /// # Errors
    /// `Cancelled` as soon as somebody asks to stop.
    fn wait(&self, time: Duration, cancel: &Cancel) -> Result<()>;
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Nanos {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn running(&self) -> Duration {
        self.start.elapsed()
    }

    fn wait(&self, time: Duration, cancel: &Cancel) -> Result<()> {
        cancel.sleep(time)
    }
}
