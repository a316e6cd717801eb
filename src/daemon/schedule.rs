//! When what is due. Pure: the time and chance are arguments.

use crate::engine::{LocalLook, Look};
use std::time::{Duration, Instant};

/// First pause after a failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause between two tries, unless the service asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// A service that asks for more than this isn't believed.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);
/// First pause between two looks at a folder that can't be watched as a whole; it doubles.
const FIRST_PATROL: Duration = Duration::from_secs(60);
/// Longest pause between two such looks.
const LONGEST_PATROL: Duration = Duration::from_secs(600);
/// Between two looks at everything on the disk, to be sure.
const FULL_LOOK: Duration = Duration::from_secs(24 * 3600);
/// Full looks are spread over this time after they are due.
const FULL_LOOK_SPREAD: Duration = Duration::from_secs(2 * 3600);
/// Folders that are worth telling apart in a look.
const MOST_FOLDERS: usize = 256;

/// Bytes that the consistency check reads in one cycle, while nothing else is synced.
const READ_AT_ONCE: u64 = 4 << 30;

/// A look at everything on both sides.
pub fn full_look() -> Look {
    Look { local: LocalLook::All, remote: true, verify: READ_AT_ONCE, ..no_look() }
}

/// A look at nothing.
pub fn no_look() -> Look {
    Look { local: LocalLook::Nothing, remote: false, approve: false, retry: false, verify: 0 }
}

/// What goes on with the consistency check.
pub fn read_on() -> Look {
    Look { verify: READ_AT_ONCE, ..no_look() }
}

/// Both looks in one.
pub fn merge(a: Look, b: Look) -> Look {
    let local = match (a.local, b.local) {
        (LocalLook::All, _) | (_, LocalLook::All) => LocalLook::All,
        (LocalLook::Nothing, other) | (other, LocalLook::Nothing) => other,
        (LocalLook::Folders(mut folders), LocalLook::Folders(more)) => {
            folders.extend(more);
            folders.sort();
            folders.dedup();
            if folders.len() > MOST_FOLDERS { LocalLook::All } else { LocalLook::Folders(folders) }
        }
    };
    Look {
        local,
        remote: a.remote || b.remote,
        approve: a.approve || b.approve,
        retry: a.retry || b.retry,
        verify: a.verify.max(b.verify),
    }
}

/// The moments that all connections share to poll their services: multiples of the shortest
/// period, so that there is one wake-up for all that are due.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    start: Instant,
    width: Duration,
}

impl Windows {
    /// Windows from `start` on that suit the connections' periods.
    pub fn new(start: Instant, periods: impl Iterator<Item = Duration>) -> Self {
        let width = periods.min().unwrap_or(LONGEST_PAUSE).max(Duration::from_secs(1));
        Windows { start, width }
    }

    /// The next window after `now` for a connection with this period, rounded up to windows.
    pub fn next(&self, now: Instant, period: Duration) -> Instant {
        let width = self.width.as_millis();
        let step = period.as_millis().div_ceil(width).max(1) * width;
        let since = now.saturating_duration_since(self.start).as_millis();
        let next = (since / step + 1) * step;
        self.start + Duration::from_millis(u64::try_from(next).unwrap_or(u64::MAX / 2))
    }
}

/// The pauses after failures: longer each time, spread by chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
    tried: Option<Instant>,
    until: Option<Instant>,
    /// Until when the service asked not to be called.
    asked: Option<Instant>,
}

impl Backoff {
    /// A try failed; the service may have asked to wait. `chance` is from 0 to 1.
    pub fn fail(&mut self, now: Instant, asked: Option<Duration>, chance: f64) {
        let doubled = FIRST_PAUSE * (1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        // Up to a quarter longer, so that what failed together isn't tried together.
        let pause = doubled.min(LONGEST_PAUSE).mul_f64(1.0 + chance.clamp(0.0, 1.0) / 4.0);
        self.tried = Some(now);
        self.asked = asked.map(|asked| now + asked.min(LONGEST_ASKED));
        self.until = Some(now + pause).max(self.asked);
    }

    /// Something changed: there is a reason to try earlier, though not at once.
    pub fn hurry(&mut self) {
        let soon = self.tried.map(|tried| tried + FIRST_PAUSE).max(self.asked);
        self.until = self.until.min(soon);
    }

    /// When the next try is due; `None` when nothing failed.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

/// The looks at a folder that can't be watched as a whole: less often while nothing is found.
#[derive(Clone, Copy, Debug)]
pub struct Patrol {
    pause: Duration,
    /// When the next look is due.
    pub next: Instant,
}

impl Patrol {
    /// From now on.
    pub fn new(now: Instant) -> Self {
        Patrol { pause: FIRST_PATROL, next: now + FIRST_PATROL }
    }

    /// A look has been taken.
    pub fn looked(&mut self, now: Instant, found: bool) {
        self.pause = if found { FIRST_PATROL } else { (self.pause * 2).min(LONGEST_PATROL) };
        self.next = now + self.pause;
    }
}

/// When to look at everything on the disk again, after a look now.
pub fn next_full_look(now: Instant, chance: f64) -> Instant {
    now + FULL_LOOK + FULL_LOOK_SPREAD.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn polls_fall_together() {
        let start = Instant::now();
        let windows = Windows::new(start, [60, 90, 300].map(seconds).into_iter());
        assert_eq!(windows.next(start + seconds(7), seconds(60)), start + seconds(60));
        assert_eq!(windows.next(start + seconds(60), seconds(60)), start + seconds(120));
        assert_eq!(windows.next(start + seconds(7), seconds(90)), start + seconds(120));
        assert_eq!(windows.next(start + seconds(301), seconds(300)), start + seconds(600));
        let alone = Windows::new(start, [seconds(1)].into_iter());
        assert_eq!(alone.next(start, seconds(1)), start + seconds(1));
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.until(), None);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            backoff.fail(start, None, 0.0);
            pauses.push(backoff.until().unwrap() - start);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900].map(seconds));
        backoff.fail(start, None, 1.0);
        assert_eq!(backoff.until(), Some(start + seconds(1125)));
    }

    #[test]
    fn a_change_hurries_but_not_past_what_the_service_asks() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        backoff.hurry();
        assert_eq!(backoff.until(), None);
        for _ in 0..5 {
            backoff.fail(start, None, 0.5);
        }
        backoff.hurry();
        assert_eq!(backoff.until(), Some(start + seconds(30)));
        backoff.fail(start, Some(seconds(3600)), 0.0);
        backoff.hurry();
        assert_eq!(backoff.until(), Some(start + seconds(3600)));
    }

    #[test]
    fn patrols_get_rare_while_nothing_is_found() {
        let start = Instant::now();
        let mut patrol = Patrol::new(start);
        let mut pauses = Vec::new();
        for found in [false, false, false, false, true] {
            patrol.looked(start, found);
            pauses.push(patrol.next - start);
        }
        assert_eq!(pauses, [120, 240, 480, 600, 60].map(seconds));
    }

    #[test]
    fn merging_looks_loses_nothing() {
        let folders = |names: &[&str]| Look {
            local: LocalLook::Folders(names.iter().map(ToString::to_string).collect()),
            remote: false,
            approve: false,
            retry: false,
            verify: 0,
        };
        let poll = Look { remote: true, ..no_look() };
        let both = merge(merge(folders(&["b", "a"]), poll.clone()), folders(&["a", "c"]));
        assert!(both.remote);
        assert!(matches!(both.local, LocalLook::Folders(names) if names == ["a", "b", "c"]));
        assert_eq!(merge(poll.clone(), read_on()).verify, READ_AT_ONCE);
        assert!(matches!(merge(full_look(), poll).local, LocalLook::All));
    }
}
