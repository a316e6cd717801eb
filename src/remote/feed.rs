//! How a service tells what changed since a moment, so that a look costs what changed and not what
//! there is.

use super::Entry;
use crate::error::{Error, Kind, Result};
use std::time::Duration;

/// A change that a service told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An item is there: new, with other content, renamed, moved, or as it was.
    There {
        /// Where it is.
        spot: Spot,
        /// What it is.
        entry: Entry,
    },
    /// The item of this id is gone, with everything in it, or out of our sight.
    GoneId(Box<str>),
    /// What was at this path is gone, with everything in it.
    GonePath(String),
}

/// Where a changed item is, in the service's way of saying so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// At this path, in the place of whatever was there. Of all its parts but the last, the case
    /// of letters may not be as it is.
    Path(String),
    /// In the folder of this id, which may be outside of the task, under this name.
    Child {
        /// The folder's id.
        folder: Box<str>,
        /// The item's name, whatever is in it.
        name: String,
    },
}

/// What a request for changes brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where to go on.
    pub cursor: String,
    /// Whether there are more changes already.
    pub more: bool,
}

/// A change feed. Cursors are the service's and mean something only to it.
///
/// Changes may come in any order, twice, and of items outside of the task; what is told of an item
/// last is how it is.
pub trait Feed: Send + Sync {
    /// The cursor from which on changes are told that happen from now on.
    fn now(&self) -> Result<String>;

    /// Whether it tells everything there is when it is begun without a cursor and, if it tells by
    /// paths, everything in a folder that turns up. Otherwise such a folder has to be listed.
    fn tells_all(&self) -> bool;

    /// Tells one page of the changes after `cursor` (`None`, where it tells all: everything there
    /// is) to `each`.
    ///
    /// # Errors
    /// `NotFound` when the service doesn't know the cursor any more: everything has to be listed
    /// anew. `RootLost` when the root is gone.
    fn changes(
        &self,
        cursor: Option<&str>,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Page>;

    /// Whether it can be waited for. Otherwise it has to be polled.
    fn can_wait(&self) -> bool {
        false
    }

    /// Waits about so long for a change after `cursor`, and tells whether there is one.
    ///
    /// # Errors
    /// `Busy` with a time to wait before the next call, and those of [`Feed::changes`].
    fn wait(&self, cursor: &str, most: Duration) -> Result<bool> {
        let _ = (cursor, most);
        Err(Error::new(Kind::Usage, "waiting for changes", "the service has to be polled"))
    }
}
