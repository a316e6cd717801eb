//! When what changed has come to rest. Pure: the time is an argument.

use heapless::Vec;
use std::time::{Duration, Instant};

/// How long a folder rests after a change before it is looked at.
const REST: Duration = Duration::from_millis(200);
/// No change waits longer, whatever else goes on in its folder.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A file that is open for writing but hasn't been written to for this long counts as complete.
const OPEN_REST: Duration = Duration::from_secs(10);
/// The same when too many files are being written to know them.
const CROWD_REST: Duration = Duration::from_secs(2);
/// Changed folders told apart; more are "everything".
const FOLDERS: usize = 256;
/// Files told apart that are being written.
const OPEN_FILES: usize = 64;

/// Folders that changed, held back while something in them is going on.
pub(super) struct Settling<F> {
    folders: Vec<Changed<F>, FOLDERS>,
    open: Vec<Open<F>, OPEN_FILES>,
    /// When a file that isn't in `open` was written last.
    crowd: Option<Instant>,
    everything: Option<Burst>,
}

/// What came to rest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled<F> {
    /// These folders.
    Folders(Vec<F, FOLDERS>),
    /// More than can be told apart.
    Everything,
}

struct Changed<F> {
    folder: F,
    since: Instant,
    /// Completed changes; `None` while files are only being written.
    burst: Option<Burst>,
}

#[derive(Clone, Copy)]
struct Burst {
    first: Instant,
    last: Instant,
}

impl Burst {
    fn end(&self) -> Instant {
        (self.last + REST).min(self.latest())
    }

    fn latest(&self) -> Instant {
        self.first + LONGEST_WAIT
    }
}

struct Open<F> {
    folder: F,
    /// Hash of its name: taking one file for another only delays a look.
    name: u64,
    written: Instant,
}

impl<F: Copy + PartialEq> Settling<F> {
    pub fn new() -> Self {
        Settling { folders: Vec::new(), open: Vec::new(), crowd: None, everything: None }
    }

    /// A file was made or written to, and may be written to again.
    pub fn written(&mut self, folder: F, name: u64, now: Instant) {
        let known = self.open.iter_mut().find(|open| open.folder == folder && open.name == name);
        match known {
            Some(open) => open.written = now,
            None => {
                if self.open.push(Open { folder, name, written: now }).is_err() {
                    self.crowd = Some(now);
                }
            }
        }
        self.entry(folder, now);
    }

    /// A file was closed, or it came or went as a whole.
    pub fn complete(&mut self, folder: F, name: u64, now: Instant) {
        self.open.retain(|open| open.folder != folder || open.name != name);
        self.changed(folder, now);
    }

    /// Something else in a folder changed.
    pub fn changed(&mut self, folder: F, now: Instant) {
        if let Some(everything) = &mut self.everything {
            everything.last = now;
        } else if let Some(changed) = self.entry(folder, now) {
            let first = changed.burst.map_or(now, |burst| burst.first);
            changed.burst = Some(Burst { first, last: now });
        }
    }

    /// A folder is gone.
    pub fn forget(&mut self, folder: F) {
        self.folders.retain(|changed| changed.folder != folder);
        self.open.retain(|open| open.folder != folder);
    }

    /// When [`Settling::take`] will have something; `None` when nothing changed.
    pub fn due(&self) -> Option<Instant> {
        match &self.everything {
            Some(burst) => Some(burst.end()),
            None => self.folders.iter().map(|changed| self.rests_at(changed)).min(),
        }
    }

    /// Takes what has come to rest by now.
    pub fn take(&mut self, now: Instant) -> Option<Settled<F>> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        let settled = if self.everything.take().is_some() {
            self.folders.clear();
            Settled::Everything
        } else {
            let mut taken = Vec::new();
            for changed in &self.folders {
                if self.rests_at(changed) <= now {
                    // As large as what it is filled from.
                    let _ = taken.push(changed.folder);
                }
            }
            self.folders.retain(|changed| !taken.contains(&changed.folder));
            Settled::Folders(taken)
        };
        self.open.retain(|open| open.written + OPEN_REST > now);
        self.crowd = self.crowd.filter(|written| *written + CROWD_REST > now);
        // What is still being written is looked at again when it is complete.
        for at in 0..self.open.len() {
            self.entry(self.open[at].folder, now);
        }
        Some(settled)
    }

    fn rests_at(&self, changed: &Changed<F>) -> Instant {
        let open = self.open.iter().filter(|open| open.folder == changed.folder);
        let open = open.map(|open| open.written + OPEN_REST).max();
        let held = open.max(self.crowd.map(|written| written + CROWD_REST));
        match (changed.burst, held) {
            (Some(burst), Some(held)) => burst.end().max(held).min(burst.latest()),
            (Some(burst), None) => burst.end(),
            (None, Some(held)) => held,
            (None, None) => changed.since,
        }
    }

    fn entry(&mut self, folder: F, now: Instant) -> Option<&mut Changed<F>> {
        if self.everything.is_some() {
            return None;
        }
        let known = self.folders.iter().position(|changed| changed.folder == folder);
        let at = match known {
            Some(at) => at,
            None => {
                if self.folders.push(Changed { folder, since: now, burst: None }).is_err() {
                    self.everything = Some(Burst { first: now, last: now });
                    return None;
                }
                self.folders.len() - 1
            }
        };
        self.folders.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: u64 = 7;

    fn folders<const N: usize>(these: [u32; N]) -> Option<Settled<u32>> {
        Some(Settled::Folders(these.into_iter().collect()))
    }

    #[test]
    fn a_complete_file_is_due_after_a_short_rest() {
        let (mut settling, start) = (Settling::new(), Instant::now());
        settling.written(1, NAME, start);
        settling.complete(1, NAME, start);
        assert_eq!(settling.due(), Some(start + REST));
        assert_eq!(settling.take(start), None);
        assert_eq!(settling.take(start + REST), folders([1]));
        assert_eq!(settling.due(), None);
    }

    #[test]
    fn a_file_being_written_holds_its_folder_back_and_no_other() {
        let (mut settling, start) = (Settling::new(), Instant::now());
        settling.written(1, NAME, start);
        settling.changed(2, start);
        assert_eq!(settling.take(start + LONGEST_WAIT), folders([2]));
        settling.written(1, NAME, start + LONGEST_WAIT);
        assert_eq!(settling.take(start + OPEN_REST), None);
        let rested = start + LONGEST_WAIT + OPEN_REST;
        assert_eq!(settling.take(rested), folders([1]));
        assert_eq!(settling.due(), None);
    }

    #[test]
    fn a_file_being_written_holds_others_back_only_for_so_long() {
        let (mut settling, start) = (Settling::new(), Instant::now());
        settling.changed(1, start);
        settling.written(1, NAME, start);
        settling.written(1, NAME, start + LONGEST_WAIT);
        assert_eq!(settling.due(), Some(start + LONGEST_WAIT));
        assert_eq!(settling.take(start + LONGEST_WAIT), folders([1]));
        settling.complete(1, NAME, start + LONGEST_WAIT);
        assert_eq!(settling.take(start + LONGEST_WAIT + REST), folders([1]));
    }

    #[test]
    fn constant_changes_are_looked_at_now_and_then() {
        let (mut settling, start) = (Settling::new(), Instant::now());
        for tick in 0..60 {
            settling.changed(1, start + tick * REST / 2);
        }
        assert_eq!(settling.due(), Some(start + LONGEST_WAIT));
    }

    #[test]
    fn too_many_folders_are_everything() {
        let (mut settling, start) = (Settling::new(), Instant::now());
        for folder in 0..=FOLDERS as u32 {
            settling.changed(folder, start);
        }
        assert_eq!(settling.take(start + REST), Some(Settled::Everything));
        assert_eq!(settling.due(), None);
        settling.changed(3, start);
        assert_eq!(settling.take(start + REST), folders([3]));
    }

    #[test]
    fn too_many_open_files_make_all_folders_rest_longer() {
        let (mut settling, start) = (Settling::new(), Instant::now());
        for name in 0..=OPEN_FILES as u64 {
            settling.written(1, name, start);
        }
        settling.changed(2, start);
        assert_eq!(settling.take(start + REST), None);
        assert_eq!(settling.take(start + CROWD_REST), folders([2]));
        assert_eq!(settling.take(start + OPEN_REST), folders([1]));
        assert_eq!(settling.due(), None);
    }
}
