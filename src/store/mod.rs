//! State: everything that has to survive a restart, in redb.
//!
//! Each task has a file of its own with its three trees, so that tasks don't wait for each other
//! and an idle one can be closed; the settings live in another. Losing a
//! task's file costs a comparison of both sides, never data.

mod file;
mod hold;
mod record;
mod recycled;
mod trees;

pub(crate) use file::open_database;
pub use hold::{Again, Hold, Mark, Problem};
pub use record::{Facet, Record, Skip, Synced, decode, encode};
pub use recycled::Recycled;
pub use trees::{Batch, Children, Event, Key, ROOT, Snapshot, Touched, Trees};

use crate::error::{Error, Kind};
use std::io::ErrorKind;

/// What a failure of the database means.
pub(crate) fn state_error(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    let wrong = |cause: String| Error::new(Kind::State, "the state", cause);
    match error {
        redb::Error::DatabaseAlreadyOpen => wrong("another mooring has it open".into())
            .remedy("wait for the other one to end, or ask it by the same command"),
        redb::Error::Io(cause) => match cause.kind() {
            // The disk gave what it has, and that isn't what was written.
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => wrong(cause.to_string()),
            _ => Error::disk("the state", cause),
        },
        other => wrong(other.to_string()),
    }
}
