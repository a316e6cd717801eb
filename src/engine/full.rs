//! A full disk or account stops what needs room on that side, and nothing else.

use super::Report;
use crate::error::{Error, Kind};
use crate::model::Side;
use crate::store::Hold;
use std::time::Duration;

/// Shortest and longest time until what failed more than once is tried again.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// The pause that comes after this one.
pub(super) fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).clamp(SHORTEST, LONGEST)
}

/// Which sides are full. Each is tried again by itself: in the next cycle, and then after pauses,
/// because many a service takes a whole file before it says that there is no room for it.
#[derive(Debug, Default)]
pub(super) struct Full {
    local: Option<Stop>,
    remote: Option<Stop>,
}

#[derive(Debug)]
struct Stop {
    why: Error,
    /// Bytes from which on nothing is sent there; `None` while it is being tried again.
    from: Option<u64>,
    /// Items that had to wait in this pass.
    waiting: u64,
    /// When to try again, by the clock that only runs on.
    again: Duration,
    pause: Duration,
}

impl Full {
    /// A cycle begins: what is due, or asked for by a person, is tried again.
    pub fn begin(&mut self, now: Duration, retry: bool) {
        for stop in [&mut self.local, &mut self.remote].into_iter().flatten() {
            if retry || stop.again <= now {
                stop.from = None;
            }
        }
        self.begin_pass();
    }

    /// A pass begins.
    pub fn begin_pass(&mut self) {
        for stop in [&mut self.local, &mut self.remote].into_iter().flatten() {
            stop.waiting = 0;
        }
    }

    /// Whether an item that needs so many bytes on this side has to wait.
    pub fn stops(&mut self, side: Side, bytes: u64) -> bool {
        let Some(stop) = self.side(side) else { return false };
        let stops = stop.from.is_some_and(|from| bytes >= from);
        stop.waiting += u64::from(stops);
        stops
    }

    /// There was no room for an item of so many bytes.
    pub fn hit(&mut self, error: Error, bytes: u64, now: Duration) {
        // What is smaller may still find room on a disk.
        let (side, from) = match error.kind() {
            Kind::DiskFull => (Side::Local, bytes),
            _ => (Side::Remote, 0),
        };
        let slot = self.side(side);
        match slot {
            None => {
                *slot = Some(Stop {
                    why: error,
                    from: Some(from),
                    waiting: 1,
                    again: now,
                    pause: Duration::ZERO,
                });
            }
            Some(stop) => {
                if stop.from.is_none() {
                    stop.pause = longer(stop.pause);
                    stop.again = now + stop.pause;
                }
                stop.from = Some(stop.from.map_or(from, |least| least.min(from)));
                stop.waiting += 1;
            }
        }
    }

    /// Something was removed there: there may be room.
    pub fn has_room(&mut self, side: Side) {
        if let Some(stop) = self.side(side) {
            stop.from = None;
        }
    }

    /// A cycle ends: tells what had to wait.
    pub fn end(&mut self, report: &mut Report) {
        for side in [Side::Local, Side::Remote] {
            let slot = self.side(side);
            match slot {
                Some(stop) if stop.from.is_some() && stop.waiting > 0 => {
                    let hold = Hold::new(&stop.why, Some(side));
                    report.fail_side(Hold { items: stop.waiting, ..hold });
                }
                _ => *slot = None,
            }
        }
    }

    fn side(&mut self, side: Side) -> &mut Option<Stop> {
        match side {
            Side::Local => &mut self.local,
            Side::Remote => &mut self.remote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn full(kind: Kind) -> Error {
        Error::new(kind, "sending a", "there is no room")
    }

    fn held(full: &mut Full) -> Vec<(String, u64)> {
        let mut report = Report::default();
        full.end(&mut report);
        report.holds.into_iter().map(|hold| (hold.code, hold.items)).collect()
    }

    #[test]
    fn what_is_smaller_may_still_find_room_on_a_disk() {
        let mut sides = Full::default();
        sides.hit(full(Kind::DiskFull), 10, MINUTE);
        assert!(sides.stops(Side::Local, 10) && !sides.stops(Side::Local, 9));
        assert!(!sides.stops(Side::Remote, 10));
        sides.hit(full(Kind::QuotaFull), 10, MINUTE);
        assert!(sides.stops(Side::Remote, 0));
        assert_eq!(held(&mut sides), [("disk-full".into(), 2), ("quota-full".into(), 2)]);
    }

    #[test]
    fn a_full_side_is_tried_at_once_and_then_after_pauses() {
        let mut sides = Full::default();
        let mut now = MINUTE;
        let mut tried = Vec::new();
        for _ in 0..300 {
            sides.begin(now, false);
            if !sides.stops(Side::Remote, 1) {
                tried.push((now.as_secs() / 60) - 1);
                sides.hit(full(Kind::QuotaFull), 1, now);
            }
            assert_eq!(held(&mut sides).len(), 1);
            now += MINUTE;
        }
        assert_eq!(tried, [0, 1, 2, 4, 8, 16, 32, 64, 124, 184, 244]);
        sides.begin(now, true);
        assert!(!sides.stops(Side::Remote, 1), "a person asks");
        assert!(held(&mut sides).is_empty());
    }

    #[test]
    fn it_is_over_when_nothing_waits() {
        let mut sides = Full::default();
        sides.hit(full(Kind::QuotaFull), 1, MINUTE);
        sides.begin_pass();
        assert!(held(&mut sides).is_empty());
        assert!(!sides.stops(Side::Remote, 1));
    }
}
