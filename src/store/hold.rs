//! What the state knows of items and tasks that aren't in sync: why, and since when.

use crate::error::{Error, Kind};
use crate::model::{Nanos, Side};
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// When it is tried again, unless the item changes or a person asks.
    pub again: Again,
    /// The side on which the folder couldn't be listed; `None` when a step failed.
    pub unread: Option<Side>,
}

/// When what failed is tried again.
///
/// `Soon` and `Never` are stored as the `false` and `true` that states of earlier versions have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Again {
    /// In the next cycle.
    Soon,
    /// Not before the item changes: there is no use in it.
    Never,
    /// After a pause.
    Later {
        /// When it began, by the clock that only runs on.
        from: Duration,
        /// How long it lasts.
        pause: Duration,
    },
}

impl Again {
    /// Whether it is tried now, by the clock that only runs on. One that shows less than when the
    /// pause began has been started anew since, with the program.
    pub fn is_now(&self, now: Duration) -> bool {
        match *self {
            Again::Soon => true,
            Again::Never => false,
            Again::Later { from, pause } => now.checked_sub(from).is_none_or(|it| it >= pause),
        }
    }
}

impl Problem {
    /// The problem that this error is, which came up at the time `since`.
    pub fn new(error: &Error, since: Nanos) -> Self {
        Problem {
            kind: error.kind().word().into(),
            reason: error.reason(),
            remedy: error.advice().into(),
            since,
            again: Again::Soon,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{decode, encode};

    #[test]
    fn problems_of_earlier_versions_are_known() {
        for (settled, again) in [(false, Again::Soon), (true, Again::Never)] {
            let unread = Some(Side::Local);
            let row = encode(2, &("denied", "reason", "remedy", 5_i64, settled, unread)).unwrap();
            let problem = decode::<Problem>(2, &row).unwrap();
            assert_eq!((problem.since, problem.again, problem.unread), (5, again, unread));
            assert_eq!(encode(2, &problem).unwrap(), row);
        }
    }

    #[test]
    fn a_pause_ends_in_time_or_with_the_program() {
        let seconds = Duration::from_secs;
        let again = Again::Later { from: seconds(100), pause: seconds(60) };
        let now = [100, 159, 160, 99].map(|now| again.is_now(seconds(now)));
        assert_eq!(now, [false, false, true, true]);
    }
}
