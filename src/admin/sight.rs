//! What of the settings is there for whom. What isn't is answered as if nobody had it.

use super::Request;
use crate::caller::Caller;
use crate::error::{Error, Kind, Result};
use crate::settings::{Book, Connection, Scope, Task, unknown};
use std::path::PathBuf;

/// What a caller sees of the settings.
pub struct Sight<'a> {
    book: &'a Book,
    caller: &'a Caller,
    admin_mode: bool,
}

impl<'a> Sight<'a> {
    /// What this caller sees, in admin mode or without.
    pub fn new(book: &'a Book, caller: &'a Caller, admin_mode: bool) -> Self {
        Sight { book, caller, admin_mode }
    }

    /// Refuses a request that isn't this caller's to make.
    ///
    /// # Errors
    /// `Usage` when what it names isn't there for the caller, `Denied` when only administrators may
    /// ask it.
    pub fn permit(&self, request: &Request) -> Result<()> {
        match request {
            Request::ServiceList
            | Request::ServiceShow { .. }
            | Request::ConnectionList
            | Request::ConnectionAdd { .. }
            | Request::ConnectionTry { name: None, .. }
            | Request::Buckets { name: None, .. }
            | Request::BucketMake { name: None, .. }
            | Request::TaskList
            | Request::LocalFolders { .. }
            | Request::LocalFolderMake { .. }
            | Request::Log { task: None, .. }
            | Request::History { task: None, .. }
            | Request::Settings
            | Request::Status => Ok(()),
            Request::ConnectionShow { name }
            | Request::ConnectionSet { name, .. }
            | Request::ConnectionTest { name }
            | Request::ConnectionAuthorize { name, .. }
            | Request::ConnectionAuthorized { name, .. }
            | Request::ConnectionKey { name }
            | Request::ConnectionRemove { name }
            | Request::RemoteFolders { connection: name, .. }
            | Request::RemoteFolderMake { connection: name, .. } => self.connection(name),
            Request::ConnectionTry { name: Some(name), .. }
            | Request::Buckets { name: Some(name), .. }
            | Request::BucketMake { name: Some(name), .. } => self.connection(name),
            Request::TaskAdd { task, .. } => self.connection(&task.connection),
            Request::TaskShow { name }
            | Request::TaskSet { name, .. }
            | Request::TaskRemove { name }
            | Request::TaskStatus { name, .. }
            | Request::Log { task: Some(name), .. }
            | Request::ItemRename { task: name, .. }
            | Request::RemovedFiles { task: name, .. }
            | Request::RemovedRestore { task: name, .. }
            | Request::History { task: Some(name), .. }
            | Request::Preview { task: name }
            | Request::Sync { task: name, .. }
            | Request::Verify { task: name, .. } => self.task(name),
            Request::Pause { scope } | Request::Resume { scope } => match scope {
                Scope::Everything => self.administrator("pausing everything"),
                Scope::Connection(name) => self.connection(name),
                Scope::Task(name) => self.task(name),
            },
            // It makes who knows it an administrator.
            Request::PasswordSet { .. } if *self.caller == Caller::Host => Ok(()),
            Request::PasswordSet { .. } => {
                Err(Error::new(Kind::Denied, "the password", "it can't be set from here")
                    .remedy("set it on the command line: mooring settings password"))
            }
            Request::SettingsSet { key, .. } => self.administrator(&format!("setting {key}")),
            Request::Diagnostics { .. } => self.administrator("the diagnostics"),
            Request::Export { .. } => self.whole("exporting all settings"),
            Request::Import { .. } => self.whole("importing settings"),
        }
    }

    /// The NAS user whose permissions count on the disk; none where any folder may be taken.
    pub fn confined_to(&self) -> Option<&str> {
        self.caller.confined(self.admin_mode)
    }

    /// The local folder that a request names anew, and the NAS user who must be allowed to write
    /// it.
    pub fn confined<'b>(&'b self, request: &'b mut Request) -> Option<(&'b str, &'b mut PathBuf)> {
        let folder = match request {
            Request::TaskAdd { task, .. } => &mut task.local,
            Request::TaskSet { change, .. } => change.local.as_mut()?,
            _ => return None,
        };
        Some((self.confined_to()?, folder))
    }

    /// All connections that are there for the caller, by name.
    pub fn connections(&self) -> Result<Vec<Connection>> {
        let mut connections = self.book.connections()?;
        connections.retain(|each| self.sees(each));
        Ok(connections)
    }

    /// All tasks that are there for the caller, by name.
    pub fn tasks(&self) -> Result<Vec<Task>> {
        let connections = self.connections()?;
        let mut tasks = self.book.tasks()?;
        tasks.retain(|task| connections.iter().any(|each| each.name == task.connection));
        Ok(tasks)
    }

    fn sees(&self, connection: &Connection) -> bool {
        self.caller.sees(connection.owner.as_deref(), self.admin_mode)
    }

    fn connection(&self, name: &str) -> Result<()> {
        let connection = self.book.connection(name)?;
        if self.sees(&connection) { Ok(()) } else { Err(unknown("connection", name)) }
    }

    fn task(&self, name: &str) -> Result<()> {
        let connection = self.book.connection(&self.book.task(name)?.connection)?;
        if self.sees(&connection) { Ok(()) } else { Err(unknown("task", name)) }
    }

    /// Refuses whoever doesn't have everything there is.
    fn whole(&self, what: &str) -> Result<()> {
        self.administrator(what)?;
        if self.confined_to().is_none() {
            return Ok(());
        }
        Err(Error::new(Kind::Denied, what, "connections of others are among them")
            .remedy("turn admin mode on first, or do it on the command line"))
    }

    fn administrator(&self, what: &str) -> Result<()> {
        if self.caller.is_administrator() {
            return Ok(());
        }
        Err(Error::new(Kind::Denied, what, "it concerns everybody")
            .remedy("ask an administrator of the NAS to do it"))
    }
}
