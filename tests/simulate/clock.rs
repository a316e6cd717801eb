//! A clock that runs only when something happens, and jumps when it is told to.

use mooring::clock::Clock;
use mooring::error::Result;
use mooring::http::Cancel;
use mooring::model::Nanos;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long any call takes.
const STEP: u64 = 50_000;
/// When histories begin: in 2024.
const START: Nanos = 1_720_000_000_000_000_000;

/// The time of a world. Clones are the same one.
#[derive(Clone)]
pub struct Time(Arc<Inner>);

struct Inner {
    /// Nanoseconds since the beginning.
    running: AtomicU64,
    /// What the wall's clock shows more than that.
    ahead: AtomicI64,
}

impl Time {
    pub fn new() -> Time {
        Time(Arc::new(Inner { running: AtomicU64::new(0), ahead: AtomicI64::new(START) }))
    }

    /// Somebody made a call.
    pub fn pass(&self) {
        self.0.running.fetch_add(STEP, Relaxed);
    }

    /// Nothing happens for a while.
    pub fn rest(&self, time: Duration) {
        self.0.running.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// The time elsewhere, where nobody sets the clock.
    pub fn elsewhere(&self) -> Nanos {
        START + self.0.running.load(Relaxed) as Nanos
    }

    /// Somebody sets the clock on the wall.
    pub fn jump(&self, by: Nanos) {
        self.0.ahead.fetch_add(by, Relaxed);
    }
}

impl Clock for Time {
    fn now(&self) -> Nanos {
        self.0.ahead.load(Relaxed) + self.0.running.load(Relaxed) as Nanos
    }

    fn running(&self) -> Duration {
        Duration::from_nanos(self.0.running.load(Relaxed))
    }

    fn wait(&self, time: Duration, cancel: &Cancel) -> Result<()> {
        cancel.check()?;
        self.rest(time);
        Ok(())
    }
}
