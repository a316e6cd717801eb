//! Waiting for a service to tell that something changed: a thread that is blocked in one request,
//! so that a change there is known in a moment though nobody polls.

use super::schedule::{Backoff, Slot, Window};
use crate::engine::Ear;
use crate::error::{Error, Kind, Result};
use crate::threads;
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait in one request; services have bounds of their own.
const LONGEST: Duration = Duration::from_secs(480);
/// A service that ends a wait sooner, without news, is asked again only after this time.
const SHORTEST: Duration = Duration::from_secs(30);
/// Pause after news: a service that always has something to tell isn't asked all the time.
const BREATH: Duration = Duration::from_secs(1);

/// Whether a service is being waited for.
#[derive(Default)]
pub struct Listening {
    on: bool,
    /// Counts the waits, so that the end of one that was given up is known.
    number: u64,
    /// Not before.
    after: Option<Instant>,
    /// After failures: the polls go on meanwhile.
    backoff: Backoff,
}

impl Listening {
    /// Whether it goes on now.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// When it may begin again after news.
    pub fn after(&self) -> Option<Instant> {
        self.after.filter(|_| !self.is_on())
    }

    /// When it may begin again after a failure.
    pub fn slot(&self) -> Option<Slot> {
        self.backoff.slot()
    }

    /// Takes note of what is due in this window.
    pub fn tick(&mut self, window: &Window) {
        self.backoff.tick(window);
    }

    /// Whether it may begin.
    pub fn may_begin(&self, now: Instant) -> bool {
        !self.is_on() && self.slot().is_none() && self.after.is_none_or(|after| after <= now)
    }

    /// Begins to wait. `tell` is told the number of this wait, and that there is news or what went
    /// wrong.
    pub fn begin(
        &mut self,
        ear: Ear,
        tell: impl FnOnce(u64, Result<()>) + Send + 'static,
    ) -> Result<()> {
        self.number += 1;
        let number = self.number;
        let wait = move || tell(number, news(|most| ear.wait(most), SHORTEST));
        let spawned = threads::named("listening").spawn(wait);
        spawned.map_err(|error| Error::new(Kind::Busy, "starting a thread", error))?;
        self.on = true;
        Ok(())
    }

    /// Takes note of the end of a wait; tells whether it is the one that counts. `chance` is from 0
    /// to 1.
    pub fn ended(&mut self, number: u64, result: &Result<()>, now: Instant, chance: f64) -> bool {
        if number != self.number || !self.is_on() {
            return false;
        }
        self.on = false;
        match result {
            Ok(()) => (self.after, self.backoff) = (Some(now + BREATH), Backoff::default()),
            Err(error) => self.backoff.fail(now, error.wait(), chance),
        }
        true
    }

    /// Gives it up.
    pub fn stop(&mut self) {
        self.on = false;
        self.after = None;
        self.backoff = Backoff::default();
    }
}

/// Waits until there is news, telling nobody of the waits that end without.
fn news(wait: impl Fn(Duration) -> Result<bool>, shortest: Duration) -> Result<()> {
    loop {
        let begun = Instant::now();
        if wait(LONGEST)? {
            return Ok(());
        }
        thread::sleep(shortest.saturating_sub(begun.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_service_that_always_has_something_to_tell_is_not_asked_all_the_time() {
        let now = Instant::now();
        let mut listening = Listening { on: true, number: 1, ..Listening::default() };
        assert!(listening.ended(1, &Ok(()), now, 0.0));
        assert!(!listening.may_begin(now));
        assert_eq!(listening.after(), Some(now + BREATH));
        assert!(listening.may_begin(now + BREATH));
        // What was given up ends unheard.
        listening.stop();
        assert!(!listening.ended(1, &Ok(()), now, 0.0));
    }

    #[test]
    fn after_failures_it_begins_again_in_a_window_ever_later() {
        let start = Instant::now();
        let mut listening = Listening::default();
        let mut pauses = Vec::new();
        for _ in 0..3 {
            (listening.on, listening.number) = (true, 1);
            assert!(listening.ended(1, &Err(Error::cancelled()), start, 0.0));
            let until = listening.slot().unwrap().until();
            pauses.push(until - start);
            assert!(!listening.may_begin(until));
            listening.tick(&Window::at(until, listening.slot().into_iter()));
            assert!(listening.may_begin(until));
        }
        assert_eq!(pauses, [30, 60, 120].map(Duration::from_secs));
    }

    #[test]
    fn waits_without_news_follow_each_other_unheard() {
        let told = RefCell::new(vec![Err(Error::cancelled()), Ok(true), Ok(false), Ok(false)]);
        let wait = |most| {
            assert_eq!(most, LONGEST);
            told.borrow_mut().pop().unwrap()
        };
        assert!(news(wait, Duration::ZERO).is_ok());
        assert_eq!(told.borrow().len(), 1);
        assert!(news(wait, Duration::ZERO).is_err());
    }
}
