//! Connections and tasks, as a person set them up.

use crate::error::Result;
use crate::model::Direction;
use crate::remote;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An account or bucket on a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// What a person calls it; unique.
    pub name: String,
    /// Name of its service.
    pub service: String,
    /// Its settings by key, secrets apart.
    pub values: Vec<(String, String)>,
    /// Nothing of it is synced until it is resumed.
    pub paused: bool,
}

/// A local folder kept with a remote folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What a person calls it; unique.
    pub name: String,
    /// Never used again for another task; names its state.
    pub id: u64,
    /// Name of its connection.
    pub connection: String,
    /// The local folder, absolute.
    pub local: PathBuf,
    /// The remote folder from the bucket's or account's root on, without `/` at either end.
    pub remote: String,
    /// Which way changes flow.
    pub direction: Direction,
    /// Nothing is removed at the destination.
    pub keep_removed: bool,
    /// It isn't synced until it is resumed.
    pub paused: bool,
    /// Counts changes of its settings: its items are planned anew after each.
    pub revision: u64,
}

/// The settings in the state folder.
pub struct Book {}

impl Book {
    /// Opens the settings in the state folder, which is made if it isn't there.
    pub fn open(_state: &Path) -> Result<Book> {
        unimplemented!()
    }

    /// A connection's values with its secrets unsealed, to open it with.
    pub fn values(&self, _connection: &Connection) -> Result<remote::Settings> {
        unimplemented!()
    }
}
