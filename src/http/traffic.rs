//! How fast bytes may go, in each direction: one limit for all transfers of a connection.
//!
//! Who has bytes to send or has read some gives way until it is their turn: the turns are bytes in
//! a row that is let through at the rate, so that all get the same share and a new rate holds for
//! those who wait already.

use super::Cancel;
use crate::error::Result;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Credit that may be saved up while nothing goes, in parts of a second's bytes. It makes up for
/// what a busy machine delays; more would be a burst.
const CREDIT_PART: u64 = 10;
/// Bytes that go at once, in parts of a second's: slow transfers move all the time.
const CHUNK_PART: u64 = 20;
/// Fewest bytes at once: less isn't worth a packet.
const SMALLEST_CHUNK: u64 = 256;
/// Most bytes at once.
const LARGEST_CHUNK: u64 = 64 << 10;
/// Longest wait before looking whether the rate is another one by now.
const LOOK: Duration = Duration::from_millis(200);

/// The limits of one connection, shared by all that talk to its service.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Of request bodies.
    pub(super) up: Lane,
    /// Of reply bodies.
    pub(super) down: Lane,
}

impl Traffic {
    /// Lets so many bytes a second up and down from now on; 0 is no limit.
    pub fn limit(&self, [up, down]: [u64; 2]) {
        self.up.limit(up);
        self.down.limit(down);
    }
}

/// The limit of one direction.
#[derive(Debug)]
pub(super) struct Lane {
    /// Bytes a second, 0 for no limit: known without a lock.
    rate: AtomicU64,
    row: Mutex<Row>,
}

impl Default for Lane {
    fn default() -> Self {
        Lane { rate: AtomicU64::new(0), row: Mutex::new(Row::new(Instant::now())) }
    }
}

impl Lane {
    fn limit(&self, rate: u64) {
        let mut row = self.row();
        row.limit(rate, Instant::now());
        self.rate.store(rate, Relaxed);
    }

    /// Most bytes that should go at once.
    pub fn chunk(&self) -> usize {
        match self.rate.load(Relaxed) {
            0 => usize::MAX,
            rate => {
                let chunk = (rate / CHUNK_PART).clamp(SMALLEST_CHUNK, LARGEST_CHUNK);
                usize::try_from(chunk).unwrap_or(usize::MAX)
            }
        }
    }

    /// Waits until so many bytes may go.
    ///
    /// # Errors
    /// `Cancelled` as soon as somebody asks to stop.
    pub fn pass(&self, bytes: usize, cancel: &Cancel) -> Result<()> {
        if self.rate.load(Relaxed) == 0 || bytes == 0 {
            return Ok(());
        }
        let place = self.row().join(bytes as u64, Instant::now());
        loop {
            let wait = self.row().wait(place, Instant::now());
            if wait.is_zero() {
                return Ok(());
            }
            cancel.sleep(wait.min(LOOK))?;
        }
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        // Plain numbers that no panic can leave half-changed.
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes in a row, let through at a rate. Pure: the time is an argument.
#[derive(Debug)]
struct Row {
    /// Bytes a second; 0 is no limit.
    rate: u64,
    /// The end of the row: bytes that joined it so far.
    end: u64,
    /// Bytes that had been let through at `since`.
    passed: u64,
    since: Instant,
}

impl Row {
    fn new(now: Instant) -> Self {
        Row { rate: 0, end: 0, passed: 0, since: now }
    }

    fn limit(&mut self, rate: u64, now: Instant) {
        // Without a limit nobody joined.
        self.passed = if self.rate == 0 { self.end } else { self.passed(now) };
        (self.rate, self.since) = (rate, now);
    }

    /// Takes a place at the end for so many bytes.
    fn join(&mut self, bytes: u64, now: Instant) -> u64 {
        let most = self.end.saturating_add(self.rate / CREDIT_PART);
        // Not noted each time: what is rounded off would add up.
        if self.passed(now) > most {
            (self.passed, self.since) = (most, now);
        }
        self.end = self.end.saturating_add(bytes);
        self.end
    }

    /// How long until the bytes up to this place are through, if the rate stays.
    fn wait(&self, place: u64, now: Instant) -> Duration {
        let left = place.saturating_sub(self.passed(now));
        if self.rate == 0 || left == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(left) * 1_000_000_000 / u128::from(self.rate) + 1;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn passed(&self, now: Instant) -> u64 {
        let time = now.saturating_duration_since(self.since).as_nanos();
        let bytes = u128::from(self.rate) * time / 1_000_000_000;
        self.passed.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    /// Transfers that send chunks one after another, in made-up time; tells the bytes of each.
    struct Road {
        row: Row,
        now: Instant,
        sent: Vec<u64>,
        /// When each may go on, and with how many bytes then sent.
        places: Vec<Option<(u64, u64)>>,
    }

    impl Road {
        fn new(rate: u64, transfers: usize) -> Road {
            let now = Instant::now();
            let mut row = Row::new(now);
            row.limit(rate, now);
            Road { row, now, sent: vec![0; transfers], places: vec![None; transfers] }
        }

        fn drive(&mut self, time: Duration, chunk: u64) -> u64 {
            let (end, before) = (self.now + time, self.sent.iter().sum::<u64>());
            while self.now < end {
                let mut wait = end - self.now;
                for (place, sent) in self.places.iter_mut().zip(&mut self.sent) {
                    let (at, bytes) =
                        *place.get_or_insert_with(|| (self.row.join(chunk, self.now), chunk));
                    match self.row.wait(at, self.now) {
                        Duration::ZERO => (*sent, *place) = (*sent + bytes, None),
                        left => wait = wait.min(left),
                    }
                }
                if self.places.iter().all(Option::is_some) {
                    self.now += wait;
                }
            }
            self.sent.iter().sum::<u64>() - before
        }
    }

    fn assert_near(bytes: u64, expected: u64) {
        assert!(bytes.abs_diff(expected) * 50 <= expected, "{bytes} of {expected}");
    }

    #[test]
    fn all_together_keep_the_rate_and_share_it() {
        for rate in [10 << 10, 256 << 10, 4 << 20, 10_000_000_000] {
            let mut road = Road::new(rate, 4);
            let chunk = (rate / CHUNK_PART).clamp(SMALLEST_CHUNK, LARGEST_CHUNK);
            let time = Duration::from_secs(10).min(Duration::from_secs(10_000_000_000 / rate));
            let bytes = road.drive(time, chunk);
            assert_near(bytes, rate * time.as_secs());
            let (least, most) = (road.sent.iter().min().unwrap(), road.sent.iter().max().unwrap());
            assert!(most - least <= 2 * chunk, "{:?}", road.sent);
        }
    }

    #[test]
    fn a_new_rate_holds_for_those_who_wait() {
        let mut road = Road::new(1000, 4);
        road.drive(Duration::from_secs(10), 200);
        assert!(road.places.iter().all(Option::is_some));
        road.row.limit(100_000, road.now);
        assert_near(road.drive(Duration::from_secs(10), 200), 1_000_000);
        road.row.limit(1000, road.now);
        assert_near(road.drive(Duration::from_secs(100), 200), 100_000);
        road.row.limit(0, road.now);
        assert_eq!(road.row.wait(u64::MAX, road.now), Duration::ZERO);
    }

    #[test]
    fn rest_is_saved_up_but_a_little() {
        let mut road = Road::new(1000, 1);
        road.drive(Duration::from_secs(1), 10);
        road.now += Duration::from_secs(3600);
        assert_near(road.drive(Duration::from_secs(10), 10), 10_100);
    }

    #[test]
    fn no_number_is_too_large() {
        let now = Instant::now();
        let mut row = Row::new(now);
        row.limit(u64::MAX, now);
        assert_eq!(row.join(u64::MAX, now), u64::MAX);
        row.limit(1, now);
        assert!(row.wait(u64::MAX, now) > Duration::from_secs(1 << 30));
        assert_eq!(row.wait(5, now - Duration::from_secs(9)), row.wait(5, now));
    }

    #[test]
    fn who_waits_is_stopped_at_once_and_let_go_when_the_limit_goes() {
        let lane = Arc::new(Lane::default());
        assert_eq!(lane.chunk(), usize::MAX);
        lane.pass(usize::MAX, &Cancel::default()).unwrap();
        lane.limit(1);
        let cancel = Cancel::default();
        let waiters = [cancel.clone(), Cancel::default()].map(|cancel| {
            let lane = lane.clone();
            thread::spawn(move || lane.pass(1 << 30, &cancel))
        });
        cancel.cancel();
        let [stopped, free] = waiters;
        assert!(stopped.join().unwrap().is_err());
        lane.limit(0);
        free.join().unwrap().unwrap();
    }
}
