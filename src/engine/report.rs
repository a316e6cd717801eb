//! What a cycle did, or would do.

use crate::error::{Error, Kind};
use crate::observe::Observer;
use crate::store::{Hold, Problem};
use serde::{Deserialize, Serialize};

/// Troubles that a report lists; the rest is only counted, and can be looked up in the state.
const MOST_TROUBLES: usize = 100;

/// What a cycle did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Report {
    /// Files sent.
    pub uploaded: u64,
    /// Files fetched.
    pub downloaded: u64,
    /// Files and folders moved.
    pub moved: u64,
    /// Files and folders removed from the disk.
    pub deleted_local: u64,
    /// Files and folders removed from the service.
    pub deleted_remote: u64,
    /// Conflicts whose loser was kept.
    pub conflicts: u64,
    /// Items that a rule leaves out.
    pub skipped: u64,
    /// Items that wait for a person.
    pub held: u64,
    /// Items that failed.
    pub errors: u64,
    /// Bytes of request bodies.
    pub bytes_up: u64,
    /// Bytes of reply bodies.
    pub bytes_down: u64,
    /// Requests sent.
    pub requests: u64,
    /// Time it took.
    pub seconds: f64,
    /// What failed or waits, as far as it fits.
    pub problems: Vec<Trouble>,
    /// Whether the consistency check has files left to read.
    #[serde(skip)]
    pub unverified: bool,
    /// What holds up a side as a whole.
    #[serde(skip)]
    pub(crate) holds: Vec<Hold>,
}

/// An item that failed or waits, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Trouble {
    /// The item; empty for the task as a whole.
    pub path: String,
    /// The error's word, or mass-removal or mass-overwrite.
    pub kind: String,
    /// What failed and why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Trouble {
    /// The trouble that this error is for the item at `path`.
    pub(super) fn of(path: &str, error: &Error) -> Self {
        Trouble {
            path: path.into(),
            kind: error.kind().word().into(),
            reason: error.reason(),
            remedy: error.advice().into(),
        }
    }
}

/// What a sync would do about an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Intent {
    /// upload, download, move, compare, delete-local, delete-remote, make-folder-local,
    /// make-folder-remote.
    pub action: &'static str,
    /// The item.
    pub path: String,
    /// Bytes to transfer.
    pub bytes: u64,
}

impl Report {
    /// Counts and lists an item that failed.
    pub(crate) fn fail(&mut self, path: &str, error: &Error) {
        self.errors += 1;
        self.list(path, error);
    }

    /// Counts and lists the folders that a look couldn't list.
    pub(crate) fn unread(&mut self, observer: &Observer<'_>) {
        for (path, error) in observer.unread.take() {
            self.fail(&path, &error);
        }
    }

    /// Counts and lists an item that failed before and isn't tried again.
    pub(crate) fn known(&mut self, path: &str, problem: Problem) {
        self.errors += 1;
        self.list_known(path, problem);
    }

    /// Counts and lists an item that has been found to wait for a person.
    pub(crate) fn hold_known(&mut self, path: &str, problem: Problem) {
        self.held += 1;
        self.list_known(path, problem);
    }

    fn list_known(&mut self, path: &str, problem: Problem) {
        if self.problems.len() < MOST_TROUBLES {
            let Problem { kind, reason, remedy, .. } = problem;
            self.problems.push(Trouble { path: path.into(), kind, reason, remedy });
        }
    }

    /// Counts and lists items that wait for a person, unless that is told already.
    pub(crate) fn hold(&mut self, items: u64, path: &str, error: &Error) {
        let word = error.kind().word();
        if !self
            .problems
            .iter()
            .any(|told| told.path == path && told.reason == error.reason() && told.kind == word)
        {
            self.held += items;
            self.list(path, error);
        }
    }

    /// Counts and lists files that wait for a person, in place of what an earlier pass held.
    pub(crate) fn hold_side(&mut self, hold: Hold) {
        self.held += hold.items;
        if let Some(earlier) = self.list_side(hold) {
            self.held -= earlier.items;
        }
    }

    /// Counts and lists that a side can't be written to; the items it concerns only wait.
    pub(crate) fn fail_side(&mut self, hold: Hold) {
        if self.list_side(hold).is_none() {
            self.errors += 1;
        }
    }

    fn list_side(&mut self, hold: Hold) -> Option<Hold> {
        if let Some(known) = self.holds.iter_mut().find(|known| known.is_like(&hold)) {
            for told in self.problems.iter_mut().filter(|told| told.reason == known.reason) {
                told.reason.clone_from(&hold.reason);
            }
            return Some(std::mem::replace(known, hold));
        }
        let Hold { code, reason, remedy, .. } = hold.clone();
        // Told before all items, and whatever their number.
        let trouble = Trouble { path: String::new(), kind: code, reason, remedy };
        self.problems.insert(0, trouble);
        self.holds.push(hold);
        None
    }

    fn list(&mut self, path: &str, error: &Error) {
        if self.problems.len() < MOST_TROUBLES {
            self.problems.push(Trouble::of(path, error));
        }
    }

    /// Whether anything was transferred, moved or removed.
    pub fn did_something(&self) -> bool {
        self.uploaded
            + self.downloaded
            + self.moved
            + self.deleted_local
            + self.deleted_remote
            + self.conflicts
            > 0
    }
}

/// Why a file and a folder of one name wait.
pub(super) fn clash(path: &str) -> Error {
    Error::new(Kind::NameClash, path, "one side has a file and the other a folder of this name")
}
