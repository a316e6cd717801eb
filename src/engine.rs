//! One task's cycle: observe, plan, execute, commit.

use crate::error::{Error, Result};
use crate::http::Cancel;
use crate::model::Direction;
use crate::remote::{self, Service};
use crate::settings::Task;
use crate::store::Trees;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// A task, opened to be synced.
pub struct Engine {}

/// What a cycle looks at.
#[derive(Clone, Debug)]
pub struct Look {
    /// The local folders to look at.
    pub local: LocalLook,
    /// Whether to ask the service.
    pub remote: bool,
    /// Whether removals that wait for a person's word go ahead.
    pub approve: bool,
    /// Whether to try again what can't work until it changes, because a person asks.
    pub retry: bool,
}

/// Which part of the disk a cycle looks at.
#[derive(Clone, Debug)]
pub enum LocalLook {
    /// Everything.
    All,
    /// These folders, and what is new in them.
    Folders(Vec<String>),
    /// Nothing.
    Nothing,
}

/// What a cycle did.
#[derive(Clone, Debug, Default, Serialize)]
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
}

/// An item that failed or waits, and what to do about it.
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub struct Intent {
    /// upload, download, move, delete-local, delete-remote, make-folder-local,
    /// make-folder-remote, compare.
    pub action: &'static str,
    /// The item.
    pub path: String,
    /// Bytes to transfer.
    pub bytes: u64,
}

/// Everything needed to open a task.
pub struct Setup<'a> {
    /// The task.
    pub task: &'a Task,
    /// The service of its connection.
    pub service: &'static dyn Service,
    /// The values of its connection, secrets unsealed.
    pub values: &'a remote::Settings,
    /// The state folder.
    pub state: &'a Path,
    /// Transfers at the same time.
    pub transfers: usize,
    /// To stop it.
    pub cancel: Cancel,
}

/// How far a cycle is, for anyone to look at while it runs.
#[derive(Debug, Default)]
pub struct Progress {}

/// [`Progress`] at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProgressView {
    /// observing, planning, transferring, removing; empty when nothing runs.
    pub phase: &'static str,
    /// Files seen while observing.
    pub seen: u64,
    /// Files to transfer.
    pub files: u64,
    /// Files transferred.
    pub files_done: u64,
    /// Bytes to transfer.
    pub bytes: u64,
    /// Bytes transferred.
    pub bytes_done: u64,
    /// What is being transferred: path, bytes done, bytes in all.
    pub current: Vec<(String, u64, u64)>,
}

impl Progress {
    /// How far it is.
    pub fn view(&self) -> ProgressView {
        unimplemented!()
    }
}

impl Engine {
    /// Opens a task's state and its remote side, sending nothing.
    pub fn open(_setup: Setup<'_>) -> Result<Engine> {
        unimplemented!()
    }

    /// How far the running cycle is.
    pub fn progress(&self) -> Arc<Progress> {
        unimplemented!()
    }

    /// Syncs once. Items that fail are in the report; an error ends the whole cycle.
    pub fn cycle(&mut self, _look: &Look) -> Result<Report> {
        unimplemented!()
    }

    /// Tells what a cycle would do, doing nothing on either side.
    pub fn preview(&mut self, _each: &mut dyn FnMut(Intent) -> Result<()>) -> Result<Report> {
        unimplemented!()
    }

    /// The task's state, to show history, skipped items and problems.
    pub fn trees(&self) -> &Trees {
        unimplemented!()
    }
}

/// Whether an error needs a person (exit code 3) rather than time.
pub fn needs_person(error: &Error) -> bool {
    error.kind().reaction() == crate::error::Reaction::Ask
}

/// The word for a direction in commands.
pub fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Both => "both",
        Direction::Upload => "upload",
        Direction::Download => "download",
    }
}
