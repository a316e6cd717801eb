//! What the state knows of items and tasks that aren't in sync: why, and since when.

use crate::error::{Error, Kind};
use crate::model::{Nanos, Side};
use serde::{Deserialize, Serialize};

/// Why an item couldn't be synced, kept until it changes or succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The error's word.
    pub kind: String,
    /// What failed and why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// When it came up first.
    pub since: Nanos,
    /// Whether trying again is useless until the item changes.
    pub settled: bool,
    /// The side on which the folder couldn't be listed; `None` when a step failed.
    pub unread: Option<Side>,
}

impl Problem {
    /// The problem that this error is, which came up at the time `since`.
    pub fn new(error: &Error, since: Nanos) -> Self {
        Problem {
            kind: error.kind().word().into(),
            reason: error.reason(),
            remedy: error.advice().into(),
            since,
            settled: false,
            unread: None,
        }
    }

    /// Whether a step failed; otherwise what is in the folder isn't known, which keeps nobody from
    /// dealing with the folder itself.
    pub fn is_of_step(&self) -> bool {
        self.unread.is_none()
    }

    /// Whether it waits for a person; otherwise it is tried again by itself.
    pub fn waits_for_person(&self) -> bool {
        Kind::of_word(&self.kind).is_some_and(Kind::waits_for_person)
    }
}

/// What holds up a task, or one side of it, as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// mass-removal, mass-overwrite, or the error's word.
    pub code: String,
    /// The side that isn't written to; `None` when the whole task waits.
    pub side: Option<Side>,
    /// What happened and why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// When it began.
    pub since: Nanos,
    /// Items that wait because of it, where they are counted.
    pub items: u64,
    /// Files known on the side, where that tells how many are meant.
    pub known: u64,
    /// Paths of some of the items.
    pub sample: Vec<String>,
}

impl Hold {
    /// What this error holds up. `side` is the one that isn't written to, if the other goes on.
    pub fn new(error: &Error, side: Option<Side>) -> Self {
        Hold {
            code: error.kind().word().into(),
            side,
            reason: error.reason(),
            remedy: error.advice().into(),
            since: 0,
            items: 0,
            known: 0,
            sample: Vec::new(),
        }
    }

    /// Whether it is of the same cause, whatever it says.
    pub fn is_like(&self, other: &Hold) -> bool {
        (&self.code, self.side) == (&other.code, other.side)
    }

    /// Whether nothing goes on because of it.
    pub fn stops_all(&self) -> bool {
        self.side.is_none()
    }
}

/// Why an item isn't in sync, and since when, as the history last told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The rule's or the error's word.
    pub code: String,
    /// When it came up first.
    pub since: Nanos,
}
