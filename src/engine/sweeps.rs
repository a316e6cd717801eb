//! Mass removals and overwrites: counted before a pass, and held where the brake says so. The two
//! sides and the two kinds are judged apart; whatever else is to do goes on.

use super::{Engine, Report};
use crate::error::Result;
use crate::model::{ConflictPolicy, ItemKind, Side};
use crate::plan::{Downward, Op, Upward};
use crate::rules::{Brake, Sweep, Toll};
use crate::store::{Hold, Key, Record, Snapshot};
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Time in which removals and overwrites of several cycles count as one plan.
const WINDOW: Duration = Duration::from_secs(3600);
/// Paths that a person is shown of what waits.
const SAMPLE: usize = 10;
/// Bits by which files are told apart.
const BITS: u32 = 1 << 16;

const SIDES: [Side; 2] = [Side::Local, Side::Remote];

/// How many files of each side a person said yes to: what comes up beyond that waits for another
/// word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Approval {
    /// On the disk.
    pub local: Approved,
    /// On the service.
    pub remote: Approved,
}

/// How many files of a side a person said yes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Approved {
    /// To be removed.
    pub removals: u64,
    /// To be overwritten.
    pub overwrites: u64,
}

impl Approval {
    /// Of nothing.
    pub const NONE: Approval = {
        let none = Approved { removals: 0, overwrites: 0 };
        Approval { local: none, remote: none }
    };

    /// Of what is held up so: the word for why, the side, and how many files.
    pub fn of<'h>(holds: impl Iterator<Item = (&'h str, Option<Side>, u64)>) -> Approval {
        let mut all = Approval::NONE;
        for (code, side, files) in holds {
            let of_side = match side {
                Some(Side::Local) => &mut all.local,
                Some(Side::Remote) => &mut all.remote,
                None => continue,
            };
            match Sweep::ALL.into_iter().find(|sweep| sweep.word() == code) {
                Some(Sweep::Removal) => of_side.removals = files,
                Some(Sweep::Overwrite) => of_side.overwrites = files,
                None => {}
            }
        }
        all
    }

    /// Both in one.
    pub fn and(self, other: Approval) -> Approval {
        let both = |a: Approved, b: Approved| Approved {
            removals: a.removals.max(b.removals),
            overwrites: a.overwrites.max(b.overwrites),
        };
        Approval { local: both(self.local, other.local), remote: both(self.remote, other.remote) }
    }

    fn files(&self, side: Side, sweep: Sweep) -> u64 {
        let of_side = match side {
            Side::Local => self.local,
            Side::Remote => self.remote,
        };
        match sweep {
            Sweep::Removal => of_side.removals,
            Sweep::Overwrite => of_side.overwrites,
        }
    }
}

/// Counts how many different files were met, in 8 KiB, whatever their number (linear counting).
#[derive(Clone, Debug, Default)]
struct Different {
    bits: Vec<u64>,
    set: u32,
}

impl Different {
    fn add(&mut self, key: &Key) {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let bit = hasher.finish() % u64::from(BITS);
        self.bits.resize((BITS / 64) as usize, 0);
        if let Some(word) = self.bits.get_mut((bit / 64) as usize) {
            let mask = 1 << (bit % 64);
            self.set += u32::from(*word & mask == 0);
            *word |= mask;
        }
    }

    fn count(&self) -> u64 {
        let bits = f64::from(BITS);
        // Full, it is as good as endless.
        (-bits * (f64::from(BITS - self.set) / bits).ln()).round() as u64
    }
}

/// What was done to one side of late: many small plans are judged as the large one that they are.
#[derive(Clone, Debug, Default)]
struct Done {
    removed: u64,
    /// A file that is saved again and again counts once.
    overwritten: Different,
}

/// What was done to both sides of late.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// When the first of it was done, by the clock that only runs on.
    since: Option<Duration>,
    local: Done,
    remote: Done,
}

impl Recent {
    /// Counts files that were removed.
    pub fn removed(&mut self, side: Side, files: u64, now: Duration) {
        if files > 0 {
            self.fresh(side, now).removed += files;
        }
    }

    /// Counts a file that was overwritten.
    pub fn overwrote(&mut self, side: Side, key: &Key, now: Duration) {
        self.fresh(side, now).overwritten.add(key);
    }

    fn fresh(&mut self, side: Side, now: Duration) -> &mut Done {
        if !self.is_fresh(now) {
            *self = Recent { since: Some(now), ..Recent::default() };
        }
        match side {
            Side::Local => &mut self.local,
            Side::Remote => &mut self.remote,
        }
    }

    fn is_fresh(&self, now: Duration) -> bool {
        self.since.is_some_and(|since| now.saturating_sub(since) <= WINDOW)
    }

    fn on(&self, side: Side, now: Duration) -> Done {
        match side {
            _ if !self.is_fresh(now) => Done::default(),
            Side::Local => self.local.clone(),
            Side::Remote => self.remote.clone(),
        }
    }
}

/// What a pass would do to one side.
#[derive(Debug, Default)]
struct Planned {
    removals: Count,
    overwrites: Count,
    /// Files removed of the largest folder that nothing would be left in.
    emptied: u64,
    before: u64,
    different: Different,
    /// Files to be removed of the folder that is being counted.
    folder: u64,
}

#[derive(Debug, Default)]
struct Count {
    files: u64,
    sample: Vec<String>,
}

impl Count {
    fn add(&mut self, snapshot: &Snapshot, key: &Key) -> Result<()> {
        self.files += 1;
        if self.sample.len() < SAMPLE {
            // One whose folder's row is lost is dropped when its turn comes.
            self.sample.extend(snapshot.known_path(key)?);
        }
        Ok(())
    }
}

/// Counts what a pass would remove and overwrite, as its items come by in order.
pub(super) struct Census {
    local: Planned,
    remote: Planned,
    folder: u64,
}

impl Census {
    /// Takes in a file's step.
    pub fn add(&mut self, snapshot: &Snapshot, key: &Key, record: &Record, op: Op) -> Result<()> {
        self.enter(snapshot, key.folder)?;
        let Some((side, sweep)) = sweep_of(op, record) else { return Ok(()) };
        let planned = self.side(side);
        match sweep {
            Sweep::Removal => {
                planned.folder += 1;
                planned.removals.add(snapshot, key)
            }
            Sweep::Overwrite => {
                planned.different.add(key);
                planned.overwrites.add(snapshot, key)
            }
        }
    }

    /// Goes on to a folder's items: those of the one before are all counted.
    pub fn enter(&mut self, snapshot: &Snapshot, folder: u64) -> Result<()> {
        let before = std::mem::replace(&mut self.folder, folder);
        if before == folder {
            return Ok(());
        }
        for side in SIDES {
            let planned = self.side(side);
            let doomed = std::mem::take(&mut planned.folder);
            if Toll::is_large_folder(doomed) && files_in(snapshot, before, side)? == doomed {
                planned.emptied = planned.emptied.max(doomed);
            }
        }
        Ok(())
    }

    fn side(&mut self, side: Side) -> &mut Planned {
        match side {
            Side::Local => &mut self.local,
            Side::Remote => &mut self.remote,
        }
    }
}

/// Files of a folder that are on a side and aren't skipped.
fn files_in(snapshot: &Snapshot, folder: u64, side: Side) -> Result<u64> {
    let mut files = 0;
    for row in snapshot.children(folder)? {
        let (key, record) = row?;
        let counts = key.kind() == ItemKind::File && record.skip.is_none() && record.is_on(side);
        files += u64::from(counts);
    }
    Ok(files)
}

/// What goes ahead in a pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Brakes {
    held: Vec<(Side, Sweep)>,
}

impl Brakes {
    /// Whether this kind of change goes ahead on this side.
    pub fn free(&self, side: Side, sweep: Sweep) -> bool {
        !self.held.contains(&(side, sweep))
    }

    /// Whether a step goes ahead.
    pub fn frees(&self, op: Op, record: &Record) -> bool {
        sweep_of(op, record).is_none_or(|(side, sweep)| self.free(side, sweep))
    }
}

/// Which side a step removes a file from, or overwrites one on that had been agreed on.
fn sweep_of(op: Op, record: &Record) -> Option<(Side, Sweep)> {
    let agreed = record.synced.is_some();
    let (side, sweep) = match op {
        Op::Up(Upward::Remove) => (Side::Remote, Sweep::Removal),
        Op::Down(Downward::Remove) => (Side::Local, Sweep::Removal),
        Op::Down(Downward::Replace | Downward::Resolve) | Op::Merge(ConflictPolicy::Remote)
            if agreed =>
        {
            (Side::Local, Sweep::Overwrite)
        }
        Op::Up(Upward::Replace | Upward::Resolve) | Op::Merge(_) if agreed => {
            (Side::Remote, Sweep::Overwrite)
        }
        _ => return None,
    };
    Some((side, sweep))
}

impl Engine {
    /// Begins to count what a pass would remove and overwrite.
    pub(super) fn census(&self) -> Census {
        let recent = self.recent.borrow();
        let now = self.clock.running();
        let planned = |side| {
            let Done { removed, overwritten } = recent.on(side, now);
            Planned { before: removed, different: overwritten, ..Planned::default() }
        };
        let (local, remote) = (planned(Side::Local), planned(Side::Remote));
        Census { local, remote, folder: 0 }
    }

    /// Judges what was counted, and tells what waits for a person's word. What was held stays so
    /// until there is one, or little of it is left.
    pub(super) fn brake(
        &self,
        mut census: Census,
        approve: Approval,
        report: &mut Report,
    ) -> Result<Brakes> {
        let snapshot = self.trees.snapshot()?;
        census.enter(&snapshot, 0)?;
        let mut brakes = Brakes::default();
        let waiting = snapshot.holds()?;
        for side in SIDES {
            let known = snapshot.known_files(side)?;
            let Planned { removals, overwrites, emptied, before, different, .. } =
                std::mem::take(census.side(side));
            for (sweep, count) in [(Sweep::Removal, removals), (Sweep::Overwrite, overwrites)] {
                let files = count.files;
                if files == 0 {
                    continue;
                }
                let toll = match sweep {
                    Sweep::Removal => {
                        Toll { sweep, files: files + before, known: known + before, emptied }
                    }
                    Sweep::Overwrite => Toll { sweep, files: different.count(), known, emptied: 0 },
                };
                let so_far = if sweep == Sweep::Removal { toll.files } else { files };
                if so_far <= approve.files(side, sweep) {
                    continue;
                }
                let now = Toll { files, ..toll };
                let hold = self.sweep_hold(now, side, count.sample);
                let is_on = waiting.iter().chain(&report.holds).any(|on| on.is_like(&hold));
                let brake = if is_on { now.brake_on() } else { Brake::Free };
                if toll.brake() == Brake::Held || brake == Brake::Held {
                    brakes.held.push((side, sweep));
                    report.hold_side(hold);
                }
            }
        }
        Ok(brakes)
    }

    fn sweep_hold(&self, toll: Toll, side: Side, sample: Vec<String>) -> Hold {
        let Toll { sweep, files, known, emptied } = toll;
        let (here, there) = match side {
            Side::Local => ("local", "remote"),
            Side::Remote => ("remote", "local"),
        };
        let (what, cause, otherwise) = match sweep {
            Sweep::Removal if Toll::is_large_folder(emptied) => (
                "removing",
                format!("a folder of {emptied} is empty in the {there} folder"),
                "bring them back",
            ),
            Sweep::Removal => (
                "removing",
                format!("so many are gone from the {there} folder at once"),
                "bring them back",
            ),
            Sweep::Overwrite => (
                "overwriting",
                format!("so many were changed in the {there} folder at once"),
                "put back there what they were; nothing is overwritten here until then",
            ),
        };
        Hold {
            code: sweep.word().into(),
            side: Some(side),
            reason: format!("{what} {files} of {known} {here} files: {cause}"),
            remedy: format!(
                "if that is meant, mooring sync \"{}\" --approve; if not, {otherwise}",
                self.task.name
            ),
            since: 0,
            items: files,
            known,
            sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        Key { folder: number / 100, name: format!("{number}.jpg") }
    }

    #[test]
    fn different_files_are_counted_well_enough() {
        let mut different = Different::default();
        let mut met = 0;
        for most in [0, 1, 10, 100, 1000, 10_000, 250_000] {
            while met < most {
                different.add(&key(met));
                different.add(&key(met / 2));
                met += 1;
            }
            let off = different.count().abs_diff(most);
            assert!(off <= 1 + most / 50, "{} of {most}", different.count());
        }
    }

    #[test]
    fn what_was_done_an_hour_ago_is_forgotten() {
        let mut recent = Recent::default();
        let start = Duration::from_secs(5);
        recent.removed(Side::Local, 3, start);
        recent.removed(Side::Local, 4, start + WINDOW / 2);
        recent.overwrote(Side::Remote, &key(1), start + WINDOW);
        assert_eq!(recent.on(Side::Local, start + WINDOW).removed, 7);
        assert_eq!(recent.on(Side::Remote, start + WINDOW).overwritten.count(), 1);
        let later = start + WINDOW + Duration::from_secs(1);
        assert_eq!(recent.on(Side::Local, later).removed, 0);
        recent.removed(Side::Remote, 1, later);
        assert_eq!(recent.on(Side::Remote, later).overwritten.count(), 0);
    }
}
