//! What a cycle did, or would do.

use crate::error::{Error, Kind};
use crate::model::Side;
use crate::observe::Observer;
use crate::rules::Toll;
use crate::store::Problem;
use serde::{Deserialize, Serialize};

/// Troubles that a report lists; the rest is only counted, and can be looked up in the state.
const MOST_TROUBLES: usize = 100;

/// What a cycle did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
}

/// An item that failed or waits, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The item; empty for the task as a whole.
    pub path: String,
    /// The error's word.
    pub kind: String,
    /// What failed and why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// What a sync would do about an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

    fn list(&mut self, path: &str, error: &Error) {
        if self.problems.len() < MOST_TROUBLES {
            self.problems.push(Trouble {
                path: path.into(),
                kind: error.kind().word().into(),
                reason: error.reason(),
                remedy: error.advice().into(),
            });
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

/// Why removals wait.
pub(super) fn approval(side: Side, toll: Toll) -> Error {
    let Toll { removals, known } = toll;
    let (side, other) = match side {
        Side::Local => ("local", "remote"),
        Side::Remote => ("remote", "local"),
    };
    let what = format!("removing {removals} of {known} {side} files");
    let cause = format!("so many are gone from the {other} folder at once");
    Error::new(Kind::Approval, what, cause).remedy(
        "if they were meant to be removed, sync the task with --approve-deletions; \
         if not, bring them back",
    )
}

/// Why a file and a folder of one name wait.
pub(super) fn clash(path: &str) -> Error {
    Error::new(Kind::Approval, path, "one side has a file and the other a folder of this name")
        .remedy("rename one of them")
}
