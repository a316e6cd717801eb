//! Connections and tasks, as a person set them up.
//!
//! They live in one file of the state folder, which one process at a time may have open. Secrets
//! are sealed with a key that lies in a file of its own beside it. Everything a person enters is
//! checked here, whichever way it comes in.

mod book;
mod check;
mod encryption;
mod export;
mod file;
mod filter;
mod location;
mod password;
mod seal;
mod sign_in;

pub use book::Book;
pub(crate) use book::unknown;
pub(crate) use check::remote_folder;
pub use export::{Export, Fate, ImportLine, Thing};
pub use filter::FilterChange;
pub use password::Password;
pub use seal::Secret;
pub use sign_in::{Begun, SIGN_IN_PATIENCE};

use crate::logs::Level;
use crate::model::{ConflictPolicy, Direction};
use crate::remote::Descriptor;
use crate::rules::{Filter, NameCheck, RECYCLE_DAYS, Schedule, ScheduleChange};
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
    /// Keys of the secrets that are set; what they are is sealed elsewhere.
    pub secrets: Vec<String>,
    /// Nothing of it is synced until it is resumed.
    pub paused: bool,
    /// When its tasks run by themselves.
    pub schedule: Schedule,
    /// The NAS user it belongs to; none where it is nobody's.
    pub owner: Option<String>,
}

/// A local folder kept with a remote folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What a person calls it; unique.
    pub name: String,
    /// Never used again for another task or another pair of folders; names its state.
    pub id: u64,
    /// Name of its connection.
    pub connection: String,
    /// The local folder, absolute.
    pub local: PathBuf,
    /// The remote folder from the bucket's or account's root on, without `/` at either end.
    pub remote: String,
    /// Which way changes flow.
    pub direction: Direction,
    /// Which content keeps its name when both sides changed a file.
    pub conflict: ConflictPolicy,
    /// Whether what was sent is compared once more, and what is there read again.
    pub consistency_check: bool,
    /// Nothing is removed at the destination.
    pub keep_removed: bool,
    /// For how many days files that it removes from the disk are kept; 0 for none.
    pub recycle_days: u32,
    /// What is left out on both sides.
    pub filter: Filter,
    /// What its service can be told of a task, by key.
    pub settings: Vec<(String, String)>,
    /// It isn't synced until it is resumed.
    pub paused: bool,
    /// Counts changes of its settings: its items are planned anew after each.
    pub revision: u64,
}

impl Task {
    /// The file of the task's state in [`Book::base`].
    pub fn state_file(&self, base: &Path) -> PathBuf {
        base.join(location::TASKS).join(format!("{}.redb", self.id))
    }

    /// Whether it may write to its remote folder.
    pub fn writes(&self) -> bool {
        self.direction != Direction::Download
    }

    /// The rules by which its items are synced or not, on this service.
    pub fn names(&self, descriptor: &'static Descriptor) -> NameCheck {
        NameCheck::new(descriptor, &self.remote).with_filter(self.filter.clone())
    }
}

/// What a person entered for a connection. An empty value takes a setting back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Entered {
    /// Settings by key, secrets apart.
    pub values: Vec<(String, String)>,
    /// Secrets by key.
    #[cfg_attr(test, ts(type = "Array<[string, string]>"))]
    pub secrets: Vec<(String, Secret)>,
    /// When its tasks run by themselves; what is left out stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleChange>,
}

/// What a person entered for a new task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct NewTask {
    /// What a person calls it.
    pub name: String,
    /// Name of its connection.
    pub connection: String,
    /// The local folder, absolute.
    pub local: PathBuf,
    /// The remote folder; a `/` at either end means nothing.
    pub remote: String,
    /// Which way changes flow.
    pub direction: Direction,
    /// Which content keeps its name when both sides changed a file.
    #[serde(default)]
    pub conflict: ConflictPolicy,
    /// Whether what was sent is compared once more, and what is there read again.
    #[serde(default)]
    pub consistency_check: bool,
    /// Nothing is removed at the destination.
    pub keep_removed: bool,
    /// For how many days files that it removes from the disk are kept, up to 3,650; 0 for none.
    #[serde(default = "recycle_days")]
    pub recycle_days: u32,
    /// What is left out on both sides; it takes nothing back.
    #[serde(default)]
    pub filter: FilterChange,
    /// What its service can be told of a task, by key.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
}

fn recycle_days() -> u32 {
    RECYCLE_DAYS
}

/// What a person changes about a task; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TaskChange {
    /// The local folder, absolute.
    pub local: Option<PathBuf>,
    /// The remote folder; a `/` at either end means nothing.
    pub remote: Option<String>,
    /// Which way changes flow.
    pub direction: Option<Direction>,
    /// Which content keeps its name when both sides changed a file.
    pub conflict: Option<ConflictPolicy>,
    /// Whether what was sent is compared once more, and what is there read again.
    pub consistency_check: Option<bool>,
    /// Whether nothing is removed at the destination.
    pub keep_removed: Option<bool>,
    /// For how many days files that it removes from the disk are kept, up to 3,650; 0 for none.
    pub recycle_days: Option<u32>,
    /// What is left out on both sides, and what isn't any more.
    #[serde(default)]
    pub filter: FilterChange,
    /// What its service can be told of a task, by key; an empty value takes a setting back.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
}

/// What is paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Scope {
    /// All tasks, whatever is paused of its own.
    Everything,
    /// The tasks of a connection.
    Connection(String),
    /// One task.
    Task(String),
}

/// The setting that tells where the tasks' states lie.
pub const STATE_LOCATION: &str = "state-location";

/// Settings of the program as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Globals {
    /// Transfers of a task at the same time, 1 to 20.
    pub transfers: u32,
    /// Lines of each task's history that are kept, 5 to 100,000.
    pub history: u32,
    /// Nothing is synced until everything is resumed.
    pub paused: bool,
    /// Administrators of the NAS see and change what belongs to others.
    pub admin_mode: bool,
    /// The least important lines that the log tells; `None` as long as nobody has set it.
    pub log_level: Option<Level>,
    /// The folder in which the tasks' states lie; `None` for the state folder.
    pub state_location: Option<PathBuf>,
}

impl Default for Globals {
    fn default() -> Self {
        Globals {
            transfers: 4,
            history: 10_000,
            paused: false,
            admin_mode: false,
            log_level: None,
            state_location: None,
        }
    }
}
