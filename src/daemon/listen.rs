//! Waiting for a service to tell that something changed: a thread that is blocked in one request,
//! so that a change there is known in a moment though nobody polls.

use crate::engine::Ear;
use crate::error::{Error, Kind, Result};
use std::thread;
use std::time::{Duration, Instant};

/// It calls a service and waits, nothing more.
const STACK_BYTES: usize = 256 << 10;
/// Longest wait in one request; services have bounds of their own.
const LONGEST: Duration = Duration::from_secs(480);
/// Pause after a wait: a service that always has something to tell isn't asked all the time.
const BREATH: Duration = Duration::from_secs(1);
/// Pause after a failure: the polls go on meanwhile.
const PAUSE: Duration = Duration::from_secs(60);

/// Whether a service is being waited for.
#[derive(Default)]
pub struct Listening {
    on: bool,
    /// Counts the waits, so that the end of one that was given up is known.
    number: u64,
    /// Not before.
    after: Option<Instant>,
}

impl Listening {
    /// Whether it goes on now.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// When it may begin again.
    pub fn after(&self) -> Option<Instant> {
        self.after.filter(|_| !self.is_on())
    }

    /// Whether it may begin.
    pub fn may_begin(&self, now: Instant) -> bool {
        !self.is_on() && self.after.is_none_or(|after| after <= now)
    }

    /// Begins to wait. `tell` is told the number of this wait and what came of it.
    pub fn begin(
        &mut self,
        ear: Ear,
        tell: impl FnOnce(u64, Result<bool>) + Send + 'static,
    ) -> Result<()> {
        self.number += 1;
        let number = self.number;
        let thread = thread::Builder::new().name("listening".into()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || tell(number, ear.wait(LONGEST)));
        spawned.map_err(|error| Error::new(Kind::Busy, "starting a thread", error))?;
        self.on = true;
        Ok(())
    }

    /// Takes note of the end of a wait; tells whether it is the one that counts.
    pub fn ended(&mut self, number: u64, result: &Result<bool>, now: Instant) -> bool {
        if number != self.number || !self.is_on() {
            return false;
        }
        self.on = false;
        self.after = Some(match result {
            Ok(_) => now + BREATH,
            Err(error) => now + error.wait().unwrap_or(PAUSE),
        });
        true
    }

    /// Gives it up.
    pub fn stop(&mut self) {
        self.on = false;
        self.after = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_always_has_something_to_tell_is_not_asked_all_the_time() {
        let now = Instant::now();
        let mut listening = Listening { on: true, number: 1, after: None };
        assert!(listening.ended(1, &Ok(true), now));
        assert!(!listening.may_begin(now));
        assert_eq!(listening.after(), Some(now + BREATH));
        assert!(listening.may_begin(now + BREATH));
        // What was given up ends unheard.
        listening.stop();
        assert!(!listening.ended(1, &Ok(true), now));
    }
}
