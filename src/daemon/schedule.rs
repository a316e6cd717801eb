//! When what is due. Pure: the time and chance are arguments.

use crate::engine::{Approval, LocalLook, Look};
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
/// Shortest pause between two polls, unless the setting is shorter.
const SHORTEST_PERIOD: Duration = Duration::from_secs(10);
/// Longest pause between two polls, whatever they cost.
const LONGEST_PERIOD: Duration = Duration::from_secs(24 * 3600);
/// A poll is followed by a pause of this many times what it took.
const POLL_SHARE: u32 = 20;
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
    let approve = Approval::NONE;
    Look { local: LocalLook::Nothing, remote: false, approve, retry: false, verify: 0 }
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
        approve: a.approve.and(b.approve),
        retry: a.retry || b.retry,
        verify: a.verify.max(b.verify),
    }
}

/// When something is due that may wait a little, so that much is done in one [`Window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    set: Instant,
    from: Instant,
    until: Instant,
}

impl Slot {
    /// After a pause at the latest, and from the second half of it on.
    pub fn within(now: Instant, pause: Duration) -> Slot {
        Slot::between(now, pause / 2, pause)
    }

    /// Not before one pause, and at the latest after the other.
    fn between(now: Instant, least: Duration, most: Duration) -> Slot {
        Slot { set: now, from: now + least, until: now + most }
    }

    /// When it is due at the latest.
    pub fn until(&self) -> Instant {
        self.until
    }

    fn pause(&self) -> Duration {
        self.until.saturating_duration_since(self.set)
    }
}

/// The moment that all connections and tasks share to do what is due: one wake-up for all of it.
///
/// It opens when something can't wait any longer. With that goes whatever may be done by now and
/// couldn't wait for the next window: what can is done as late as it may be, as each poll costs.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    now: Instant,
    /// When the next one opens at the latest; now, if this one doesn't.
    next: Instant,
}

impl Window {
    /// The window of this moment, of all that waits.
    pub fn at(now: Instant, slots: impl Iterator<Item = Slot>) -> Window {
        let due = slots.filter(|slot| slot.until <= now);
        let next = due.map(|slot| now + slot.pause()).min();
        Window { now, next: next.unwrap_or(now) }
    }

    /// Whether it is now that this is done.
    pub fn takes(&self, slot: Slot) -> bool {
        slot.until <= self.now || slot.from <= self.now && slot.until < self.next
    }
}

/// The pauses between two polls of a service: short after a change, then ever longer while there is
/// none.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    period: Period,
    cost: Cost,
    pause: Duration,
    slot: Slot,
}

/// The longest pause between two polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// What a person says.
    Given(Duration),
    /// What suits most.
    Usual(Duration),
}

/// What a poll that finds nothing costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The service has no feed: everything has to be listed.
    pub listed: bool,
    /// Time it takes.
    pub time: Duration,
}

impl Cost {
    /// The pause it is worth.
    fn pause(&self) -> Duration {
        self.time.saturating_mul(POLL_SHARE)
    }
}

impl Pace {
    /// Of a service of which nothing is known yet.
    pub fn new(now: Instant, period: Period) -> Pace {
        let (pause, slot) = (Duration::ZERO, Slot::within(now, Duration::ZERO));
        let cost = Cost { listed: true, time: Duration::ZERO };
        Pace { period, cost, pause, slot }.after(now, pause)
    }

    /// Takes over the setting. A new one counts at once.
    pub fn set(&mut self, period: Period, now: Instant) {
        if period != self.period {
            *self = Pace { period, ..*self }.after(now, Duration::ZERO);
        }
    }

    /// A poll has ended, that found something or not.
    pub fn looked(&mut self, now: Instant, found: bool) {
        let pause = if found { Duration::ZERO } else { self.pause * 2 };
        *self = self.after(now, pause);
    }

    /// Something changed here, or a person acted: more may come from the service soon.
    pub fn stir(&mut self, now: Instant) {
        let short = self.after(now, Duration::ZERO);
        let is_sooner = short.slot.until < self.slot.until;
        *self = Pace { slot: if is_sooner { short.slot } else { self.slot }, ..short };
    }

    /// What a poll costs has been found out.
    pub fn learn(&mut self, cost: Cost) {
        self.cost = cost;
    }

    /// When the next poll is due.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    fn after(&self, now: Instant, pause: Duration) -> Pace {
        let pause = pause.clamp(self.shortest(), self.longest());
        Pace { pause, slot: Slot::within(now, pause), ..*self }
    }

    /// A feed answers by one small request that nobody charges for. A listing is a request for
    /// every thousand files or for every folder, and object stores charge for each: nobody who
    /// set a period expects it more than twice as often, nor all the time.
    fn shortest(&self) -> Duration {
        let (Period::Given(period) | Period::Usual(period)) = self.period;
        let part = period / if self.cost.listed { 2 } else { 8 };
        part.max(SHORTEST_PERIOD).max(self.cost.pause()).min(self.longest())
    }

    /// A person's word counts, whatever it costs.
    fn longest(&self) -> Duration {
        match self.period {
            Period::Given(period) => period,
            Period::Usual(period) => period.max(self.cost.pause()).min(LONGEST_PERIOD),
        }
    }
}

/// The pauses after failures: longer each time, spread by chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
    tried: Option<Instant>,
    slot: Option<Slot>,
    /// Until when the service asked not to be called.
    asked: Option<Instant>,
}

impl Backoff {
    /// A try failed; the service may have asked to wait. `chance` is from 0 to 1.
    pub fn fail(&mut self, now: Instant, asked: Option<Duration>, chance: f64) {
        let doubled = FIRST_PAUSE * (1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.min(LONGEST_PAUSE);
        // Up to a quarter longer, so that what failed together isn't tried together everywhere.
        let spread = |pause: Duration| pause.mul_f64(1.0 + chance.clamp(0.0, 1.0) / 4.0);
        let asked = asked.map(|asked| asked.min(LONGEST_ASKED));
        let least = asked.unwrap_or_default();
        self.tried = Some(now);
        self.asked = asked.map(|asked| now + asked);
        self.slot = Some(Slot::between(now, least.max(pause / 2), spread(least.max(pause))));
    }

    /// Something changed: there is a reason to try earlier, though not at once.
    pub fn hurry(&mut self) {
        let (Some(slot), Some(tried)) = (&mut self.slot, self.tried) else { return };
        let soon = self.asked.map_or(tried + FIRST_PAUSE, |asked| asked.max(tried + FIRST_PAUSE));
        slot.until = slot.until.min(soon);
        slot.from = slot.from.min(slot.until);
    }

    /// Ends the pause if this window takes it.
    pub fn tick(&mut self, window: &Window) {
        self.slot = self.slot.filter(|slot| !window.takes(*slot));
    }

    /// When the next try is due; `None` when nothing is to be waited for.
    pub fn slot(&self) -> Option<Slot> {
        self.slot
    }
}

/// The looks at a folder that can't be watched as a whole: less often while nothing is found.
#[derive(Clone, Copy, Debug)]
pub struct Patrol {
    pause: Duration,
    /// When the next look is due.
    pub slot: Slot,
}

impl Patrol {
    /// From now on.
    pub fn new(now: Instant) -> Self {
        Patrol { pause: FIRST_PATROL, slot: Slot::within(now, FIRST_PATROL) }
    }

    /// A look has been taken.
    pub fn looked(&mut self, now: Instant, found: bool) {
        self.pause = if found { FIRST_PATROL } else { (self.pause * 2).min(LONGEST_PATROL) };
        self.slot = Slot::within(now, self.pause);
    }
}

/// When to look at everything on the disk again, after a look now.
pub fn next_full_look(now: Instant) -> Slot {
    Slot::within(now, FULL_LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn given(period: u64) -> Period {
        Period::Given(seconds(period))
    }

    /// The pauses of so many polls that find nothing.
    fn pauses(pace: &mut Pace, polls: usize) -> Vec<u64> {
        let now = Instant::now();
        let pauses = (0..polls).map(|_| {
            pace.looked(now, false);
            (pace.slot().until() - now).as_secs()
        });
        pauses.collect()
    }

    /// When windows open within this time if these paces poll in them and find nothing, and when
    /// each polls, both in seconds.
    fn windows(paces: &mut [Pace], start: Instant, time: u64) -> (Vec<u64>, Vec<Vec<u64>>) {
        let (mut opened, mut polls) = (Vec::new(), vec![Vec::new(); paces.len()]);
        loop {
            let slots = || paces.iter().map(Pace::slot);
            let now = slots().map(|slot| slot.until()).min().unwrap();
            let second = (now - start).as_secs();
            if second > time {
                return (opened, polls);
            }
            opened.push(second);
            let window = Window::at(now, slots());
            for (pace, polls) in paces.iter_mut().zip(&mut polls) {
                if window.takes(pace.slot()) {
                    polls.push(second);
                    pace.looked(now, false);
                }
            }
        }
    }

    #[test]
    fn polls_fall_together() {
        let start = Instant::now();
        let periods = [60, 60, 75, 90, 100, 120, 150, 300, 700, 3600];
        let mut paces = periods.map(|period| Pace::new(start, given(period)));
        let (opened, polls) = windows(&mut paces, start, 2 * 3600);
        // At first they are shorter.
        let settled = opened.iter().filter(|second| **second > 3600).count();
        assert_eq!(settled, 60, "{opened:?}");
        for (period, polls) in periods.into_iter().zip(polls) {
            for two in polls.windows(2) {
                assert!(two[1] - two[0] <= period, "{period}: {polls:?}");
            }
            // As windows of a minute have it, none is taken before the last that will do.
            let settled: Vec<_> = polls.into_iter().filter(|second| *second > 3600).collect();
            let pauses = settled.windows(2).map(|two| two[1] - two[0]);
            assert!(pauses.into_iter().all(|pause| pause == period / 60 * 60), "{settled:?}");
        }
    }

    #[test]
    fn what_is_due_alone_takes_nothing_along_that_can_wait_for_its_next_window() {
        let now = Instant::now();
        let [often, soon, seldom] = [60, 100, 150].map(|pause| Slot::within(now, seconds(pause)));
        let slots = || [often, soon, seldom].into_iter();
        let early = Window::at(now + seconds(59), slots());
        assert!(!slots().any(|slot| early.takes(slot)));
        let window = Window::at(now + seconds(60), slots());
        assert_eq!([often, soon, seldom].map(|slot| window.takes(slot)), [true, true, false]);
    }

    #[test]
    fn polls_get_rare_while_nothing_is_found() {
        let now = Instant::now();
        let listed = |listed| Cost { listed, time: Duration::ZERO };
        let mut pace = Pace::new(now, given(300));
        assert_eq!(pauses(&mut pace, 2), [300, 300]);
        pace.learn(listed(false));
        pace.looked(now, true);
        assert_eq!(pace.slot().until(), now + Duration::from_millis(37_500));
        assert_eq!(pauses(&mut pace, 4), [75, 150, 300, 300]);
        // A change here brings it forward, and never puts it off.
        pace.stir(now);
        assert_eq!(pauses(&mut pace, 4), [75, 150, 300, 300]);
        let slot = pace.slot();
        pace.stir(now + seconds(280));
        assert_eq!(pace.slot(), slot);
        assert_eq!(pauses(&mut pace, 3), [75, 150, 300]);

        pace.set(given(20), now);
        assert_eq!(pauses(&mut pace, 2), [20, 20]);
        pace.looked(now, true);
        assert_eq!(pace.slot().until(), now + seconds(10));
        pace.set(given(3), now);
        assert_eq!(pace.slot().until(), now + seconds(3));
    }

    #[test]
    fn what_costs_more_is_polled_less_often_but_as_often_as_a_person_says() {
        let now = Instant::now();
        let minute = seconds(60);
        let after_a_change = |period, listed, took| {
            let mut pace = Pace::new(now, period);
            pace.learn(Cost { listed, time: seconds(took) });
            pace.looked(now, true);
            (pace.slot().until() - now).as_secs()
        };
        assert_eq!(after_a_change(Period::Given(minute), false, 0), 10);
        assert_eq!(after_a_change(Period::Given(minute), true, 0), 30);
        assert_eq!(after_a_change(Period::Given(minute), false, 1), 20);
        assert_eq!(after_a_change(Period::Given(minute), true, 2), 40);
        for listed in [false, true] {
            assert_eq!(after_a_change(Period::Given(minute), listed, 300), 60);
            assert_eq!(after_a_change(Period::Usual(minute), listed, 300), 6000);
            assert_eq!(after_a_change(Period::Usual(minute), listed, u64::MAX / 2), 24 * 3600);
        }
    }

    /// When a pause began and ended, in seconds after `start`.
    fn bounds(slot: Option<Slot>, start: Instant) -> [u64; 2] {
        let slot = slot.unwrap();
        [slot.from, slot.until].map(|at| (at - start).as_secs())
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.slot(), None);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            backoff.fail(start, None, 0.0);
            pauses.push(bounds(backoff.slot(), start));
        }
        let [short, long] = [[15, 30], [450, 900]];
        assert_eq!(pauses, [short, [30, 60], [60, 120], [120, 240], [240, 480], long, long]);
        backoff.fail(start, None, 1.0);
        assert_eq!(bounds(backoff.slot(), start), [450, 1125]);
        backoff.tick(&Window::at(start, backoff.slot().into_iter()));
        assert!(backoff.slot().is_some());
        let until = start + seconds(1125);
        backoff.tick(&Window::at(until, backoff.slot().into_iter()));
        assert_eq!(backoff.slot(), None);
    }

    #[test]
    fn a_change_hurries_but_not_past_what_the_service_asks() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        backoff.hurry();
        assert_eq!(backoff.slot(), None);
        for _ in 0..5 {
            backoff.fail(start, None, 0.5);
        }
        backoff.hurry();
        assert_eq!(bounds(backoff.slot(), start), [30, 30]);
        backoff.fail(start, Some(seconds(3600)), 1.0);
        assert_eq!(bounds(backoff.slot(), start), [3600, 4500]);
        backoff.hurry();
        assert_eq!(bounds(backoff.slot(), start), [3600, 3600]);
    }

    #[test]
    fn patrols_get_rare_while_nothing_is_found() {
        let start = Instant::now();
        let mut patrol = Patrol::new(start);
        let mut pauses = Vec::new();
        for found in [false, false, false, false, true] {
            patrol.looked(start, found);
            pauses.push(patrol.slot.until() - start);
        }
        assert_eq!(pauses, [120, 240, 480, 600, 60].map(seconds));
    }

    #[test]
    fn merging_looks_loses_nothing() {
        let folders = |names: &[&str]| Look {
            local: LocalLook::Folders(names.iter().map(ToString::to_string).collect()),
            remote: false,
            approve: Approval::NONE,
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
