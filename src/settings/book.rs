//! The settings file: every connection, task and global setting, read and changed by name.

use super::seal::Seal;
use super::{Connection, Entered, Globals, NewTask, Scope, Task, TaskChange, check};
use crate::error::{Error, Kind, Result};
use crate::http::{Cancel, Http};
use crate::remote::{self, Descriptor, FieldKind};
use crate::services;
use crate::store::{decode, encode, state_error};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Far more than the settings of a household need.
const CACHE_BYTES: usize = 128 << 10;
/// First byte of every row.
const FORMAT: u8 = 1;

type Rows = TableDefinition<'static, &'static str, &'static [u8]>;
const CONNECTIONS: Rows = TableDefinition::new("connections");
const TASKS: Rows = TableDefinition::new("tasks");
const GLOBALS: Rows = TableDefinition::new("globals");
/// Sealed secrets by connection and key.
const SECRETS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("secrets");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");

/// The one row of [`GLOBALS`].
const GLOBALS_ROW: &str = "globals";
/// The row of [`COUNTERS`] with the last task id given.
const LAST_TASK: &str = "last-task";

/// Settings that say where a connection leads. Behind another place there are other items, and
/// what was agreed on about the old ones would read as if all of them had been removed.
const PLACE: &[&str] = &["bucket", "endpoint", "url", "user"];

/// What stands for a secret where only its presence matters.
const PRESENT: &str = "(sealed)";

/// Global settings that a person can change, with what they may be.
const TRANSFERS: RangeInclusive<u32> = 1..=20;
const HISTORY: RangeInclusive<u32> = 5..=100_000;

/// The settings in the state folder. Only one process at a time has them open, and in it one
/// thread at a time should change them: a change is checked against what was read before it.
pub struct Book {
    db: Database,
    seal: Seal,
    state: PathBuf,
}

impl Book {
    /// Opens the settings in the state folder, which is made if it isn't there.
    ///
    /// # Errors
    /// `State` when another process has them open or the file is damaged, or a disk error.
    pub fn open(state: &Path) -> Result<Book> {
        let file = state.join("settings.redb");
        let make = || -> io::Result<()> {
            let mut folders = DirBuilder::new();
            folders.recursive(true).mode(0o700).create(state.join("tasks"))?;
            // Made here because redb would let everyone read it.
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600).open(&file).map(drop)
        };
        make().map_err(|error| {
            Error::disk(format!("state folder {}", state.display()), error)
                .remedy("give a folder that Mooring may write, with --state or MOORING_STATE")
        })?;
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(&file);
        let db = db.map_err(|error| state_error(error).context(file.display().to_string()))?;
        let book = Book { db, seal: Seal::new(state), state: state.to_owned() };
        book.make_tables()?;
        Ok(book)
    }

    fn make_tables(&self) -> Result<()> {
        if self.reading()?.open_table(COUNTERS).is_ok() {
            return Ok(());
        }
        self.write(|tx| {
            tx.open_table(CONNECTIONS).map_err(state_error)?;
            tx.open_table(TASKS).map_err(state_error)?;
            tx.open_table(GLOBALS).map_err(state_error)?;
            tx.open_table(SECRETS).map_err(state_error)?;
            tx.open_table(COUNTERS).map_err(state_error)?;
            Ok(())
        })
    }

    /// All connections, by name.
    pub fn connections(&self) -> Result<Vec<Connection>> {
        self.all(CONNECTIONS)
    }

    /// The connection of this name.
    ///
    /// # Errors
    /// `Usage` when there is none.
    pub fn connection(&self, name: &str) -> Result<Connection> {
        self.one(CONNECTIONS, name)?.ok_or_else(|| unknown("connection", name))
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// `Usage` when the name is taken or anything entered breaks a rule.
    pub fn add_connection(
        &self,
        name: &str,
        service: &str,
        entered: Entered,
    ) -> Result<Connection> {
        check::name("connection", name)?;
        if self.one::<Connection>(CONNECTIONS, name)?.is_some() {
            return Err(taken("connection", name));
        }
        let connection = Connection {
            name: name.to_owned(),
            service: service.to_owned(),
            values: Vec::new(),
            secrets: Vec::new(),
            paused: false,
        };
        self.enter(connection, entered)
    }

    /// Changes settings of a connection; what isn't entered stays. When it leads elsewhere
    /// afterwards, the state of its tasks begins anew.
    ///
    /// # Errors
    /// `Usage` when anything entered breaks a rule.
    pub fn change_connection(&self, name: &str, entered: Entered) -> Result<Connection> {
        self.enter(self.connection(name)?, entered)
    }

    fn enter(&self, mut connection: Connection, entered: Entered) -> Result<Connection> {
        let service = services::find(&connection.service)?;
        let descriptor = service.descriptor();
        let known = self.values(&connection);
        let before = place(&connection);
        let mut values: BTreeMap<_, _> = connection.values.drain(..).collect();
        let mut secrets: BTreeSet<_> = connection.secrets.drain(..).collect();
        for (key, value) in entered.values {
            expect_secret(descriptor, &key, false)?;
            values.insert(key, value);
        }
        values.retain(|_, value| !value.is_empty());
        for (key, secret) in &entered.secrets {
            expect_secret(descriptor, key, true)?;
            if secret.is_empty() {
                secrets.remove(key)
            } else {
                secrets.insert(key.clone())
            };
        }
        let mut all = remote::Settings(values.clone());
        for key in &secrets {
            let new = entered.secrets.iter().rfind(|(name, _)| name == key);
            let old = known.as_ref().ok().and_then(|known| known.given(key));
            let text = match new {
                Some((_, secret)) => secret.clone().reveal(),
                None => old.unwrap_or(PRESENT).to_owned(),
            };
            all.0.insert(key.clone(), text);
        }
        check::values(descriptor, &all)?;
        // A lost key file must not stop a person from entering the secrets again, one by one.
        if known.is_ok() {
            let http = Http::new(&all.http_options(descriptor, 1), Cancel::default())?;
            service.open(&all, http, "")?;
        }
        connection.values = values.into_iter().collect();
        connection.secrets = secrets.into_iter().collect();
        let mut lost = Vec::new();
        if place(&connection) != before {
            lost = self.tasks_of(&connection.name)?;
        }
        self.write(|tx| {
            put(tx, CONNECTIONS, &connection.name, &connection)?;
            for task in &lost {
                put(tx, TASKS, &task.name, &Task { id: next_id(tx)?, ..task.clone() })?;
            }
            let mut sealed = tx.open_table(SECRETS).map_err(state_error)?;
            for (key, secret) in &entered.secrets {
                let place = (connection.name.as_str(), key.as_str());
                if secret.is_empty() {
                    sealed.remove(place).map_err(state_error)?;
                } else {
                    let row = self.seal.seal(&connection.name, key, secret)?;
                    sealed.insert(place, row.as_slice()).map_err(state_error)?;
                }
            }
            Ok(())
        })?;
        lost.iter().try_for_each(|task| self.forget_state(task))?;
        Ok(connection)
    }

    /// Removes a connection and its secrets.
    ///
    /// # Errors
    /// `Usage` when a task uses it.
    pub fn remove_connection(&self, name: &str) -> Result<()> {
        let connection = self.connection(name)?;
        let users: Vec<_> = self.tasks_of(name)?.into_iter().map(|task| task.name).collect();
        if !users.is_empty() {
            let what = format!("connection {name}");
            let cause = format!("tasks use it: {}", users.join(", "));
            return Err(Error::new(Kind::Usage, what, cause).remedy("remove these tasks first"));
        }
        self.write(|tx| {
            remove(tx, CONNECTIONS, name)?;
            let mut sealed = tx.open_table(SECRETS).map_err(state_error)?;
            for key in &connection.secrets {
                sealed.remove((name, key.as_str())).map_err(state_error)?;
            }
            Ok(())
        })
    }

    /// A connection's values with its secrets unsealed, to open it with.
    ///
    /// # Errors
    /// `SignIn` when the key file is lost or is another one.
    pub fn values(&self, connection: &Connection) -> Result<remote::Settings> {
        let sealed = self.reading()?.open_table(SECRETS).map_err(state_error)?;
        let mut values: BTreeMap<_, _> = connection.values.iter().cloned().collect();
        for key in &connection.secrets {
            let row = sealed.get((connection.name.as_str(), key.as_str())).map_err(state_error)?;
            if let Some(row) = row {
                let secret = self.seal.unseal(&connection.name, key, row.value())?;
                values.insert(key.clone(), secret.reveal());
            }
        }
        Ok(remote::Settings(values))
    }

    /// All tasks, by name.
    pub fn tasks(&self) -> Result<Vec<Task>> {
        self.all(TASKS)
    }

    /// The tasks of a connection, by name.
    pub fn tasks_of(&self, connection: &str) -> Result<Vec<Task>> {
        let mut tasks = self.tasks()?;
        tasks.retain(|task| task.connection == connection);
        Ok(tasks)
    }

    /// The task of this name.
    ///
    /// # Errors
    /// `Usage` when there is none.
    pub fn task(&self, name: &str) -> Result<Task> {
        self.one(TASKS, name)?.ok_or_else(|| unknown("task", name))
    }

    /// Adds a task.
    ///
    /// # Errors
    /// `Usage` when the name is taken, the connection unknown, the local folder not there, or a
    /// folder overlaps that of another task of the connection.
    pub fn add_task(&self, new: NewTask) -> Result<Task> {
        check::name("task", &new.name)?;
        if self.one::<Task>(TASKS, &new.name)?.is_some() {
            return Err(taken("task", &new.name));
        }
        self.connection(&new.connection)?;
        let mut task = Task {
            name: new.name,
            id: 0,
            connection: new.connection,
            local: check::local_folder(&new.local, &self.state)?,
            remote: check::remote_folder(&new.remote)?,
            direction: new.direction,
            keep_removed: new.keep_removed,
            paused: false,
            revision: 0,
        };
        self.check_apart(&task)?;
        self.write(|tx| {
            task.id = next_id(tx)?;
            put(tx, TASKS, &task.name, &task)
        })?;
        Ok(task)
    }

    /// Changes a task. Other folders make another pair: their state begins anew, and nothing that
    /// was agreed on before counts.
    ///
    /// # Errors
    /// As [`Book::add_task`].
    pub fn change_task(&self, name: &str, change: TaskChange) -> Result<Task> {
        let before = self.task(name)?;
        let mut task = before.clone();
        if let Some(local) = change.local {
            task.local = check::local_folder(&local, &self.state)?;
        }
        if let Some(remote) = change.remote {
            task.remote = check::remote_folder(&remote)?;
        }
        task.direction = change.direction.unwrap_or(task.direction);
        task.keep_removed = change.keep_removed.unwrap_or(task.keep_removed);
        if task == before {
            return Ok(task);
        }
        let moved = task.local != before.local || task.remote != before.remote;
        if moved {
            self.check_apart(&task)?;
        }
        if (task.direction, task.keep_removed) != (before.direction, before.keep_removed) {
            task.revision += 1;
        }
        self.write(|tx| {
            if moved {
                task.id = next_id(tx)?;
            }
            put(tx, TASKS, name, &task)
        })?;
        if moved {
            self.forget_state(&before)?;
        }
        Ok(task)
    }

    /// Removes a task and its state. Its folders stay as they are.
    pub fn remove_task(&self, name: &str) -> Result<()> {
        let task = self.task(name)?;
        self.write(|tx| remove(tx, TASKS, name))?;
        self.forget_state(&task)
    }

    fn check_apart(&self, task: &Task) -> Result<()> {
        let others = self.tasks_of(&task.connection)?;
        others
            .iter()
            .filter(|other| other.name != task.name)
            .try_for_each(|other| check::apart(task, other))
    }

    fn forget_state(&self, task: &Task) -> Result<()> {
        match fs::remove_file(task.state_file(&self.state)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::disk(format!("removing the old state of task {}", task.name), error))
            }
            _ => Ok(()),
        }
    }

    /// Pauses or resumes. What is paused of its own stays so when what is around it is resumed.
    pub fn pause(&self, scope: &Scope, paused: bool) -> Result<()> {
        match scope {
            Scope::Everything => {
                let globals = Globals { paused, ..self.globals()? };
                self.write(|tx| put(tx, GLOBALS, GLOBALS_ROW, &globals))
            }
            Scope::Connection(name) => {
                let connection = Connection { paused, ..self.connection(name)? };
                self.write(|tx| put(tx, CONNECTIONS, name, &connection))
            }
            Scope::Task(name) => {
                let task = Task { paused, ..self.task(name)? };
                self.write(|tx| put(tx, TASKS, name, &task))
            }
        }
    }

    /// Whether a task is paused, of its own or with its connection or everything.
    pub fn is_paused(&self, task: &Task) -> Result<bool> {
        Ok(task.paused || self.globals()?.paused || self.connection(&task.connection)?.paused)
    }

    /// The settings of the program as a whole.
    pub fn globals(&self) -> Result<Globals> {
        Ok(self.one(GLOBALS, GLOBALS_ROW)?.unwrap_or_default())
    }

    /// Changes a setting of the program as a whole: `transfers` or `history`.
    ///
    /// # Errors
    /// `Usage` when there is no such setting or the value is out of range.
    pub fn set_global(&self, key: &str, value: &str) -> Result<Globals> {
        let mut globals = self.globals()?;
        let (place, range) = match key {
            "transfers" => (&mut globals.transfers, TRANSFERS),
            "history" => (&mut globals.history, HISTORY),
            _ => {
                let what = format!("setting {key}");
                return Err(Error::new(Kind::Usage, what, "there is no such setting")
                    .remedy("choose transfers or history"));
            }
        };
        *place = value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let cause = format!("'{value}' isn't a number in its range");
            Error::new(Kind::Usage, format!("setting {key}"), cause).remedy(format!(
                "choose a number from {} to {}",
                range.start(),
                range.end()
            ))
        })?;
        self.write(|tx| put(tx, GLOBALS, GLOBALS_ROW, &globals))?;
        Ok(globals)
    }

    fn reading(&self) -> Result<ReadTransaction> {
        self.db.begin_read().map_err(state_error)
    }

    fn all<T: DeserializeOwned>(&self, table: Rows) -> Result<Vec<T>> {
        let table = self.reading()?.open_table(table).map_err(state_error)?;
        let rows = table.iter().map_err(state_error)?;
        rows.map(|row| decode(FORMAT, row.map_err(state_error)?.1.value())).collect()
    }

    fn one<T: DeserializeOwned>(&self, table: Rows, name: &str) -> Result<Option<T>> {
        let table = self.reading()?.open_table(table).map_err(state_error)?;
        let row = table.get(name).map_err(state_error)?;
        row.map(|row| decode(FORMAT, row.value())).transpose()
    }

    /// Makes a change durable as a whole, or not at all.
    fn write<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let tx = self.db.begin_write().map_err(state_error)?;
        let result = change(&tx)?;
        tx.commit().map_err(state_error)?;
        Ok(result)
    }
}

fn put<T: Serialize>(tx: &WriteTransaction, table: Rows, name: &str, row: &T) -> Result<()> {
    let mut table = tx.open_table(table).map_err(state_error)?;
    table.insert(name, encode(FORMAT, row)?.as_slice()).map_err(state_error)?;
    Ok(())
}

fn remove(tx: &WriteTransaction, table: Rows, name: &str) -> Result<()> {
    let mut table = tx.open_table(table).map_err(state_error)?;
    table.remove(name).map_err(state_error)?;
    Ok(())
}

fn next_id(tx: &WriteTransaction) -> Result<u64> {
    let mut counters = tx.open_table(COUNTERS).map_err(state_error)?;
    let last = counters.get(LAST_TASK).map_err(state_error)?.map_or(0, |row| row.value());
    counters.insert(LAST_TASK, last + 1).map_err(state_error)?;
    Ok(last + 1)
}

/// Where a connection leads.
fn place(connection: &Connection) -> Vec<(String, String)> {
    let values = connection.values.iter();
    values.filter(|(key, _)| PLACE.contains(&key.as_str())).cloned().collect()
}

/// Refuses a secret that comes in as a plain value, and the other way round.
fn expect_secret(descriptor: &Descriptor, key: &str, secret: bool) -> Result<()> {
    let Some(field) = descriptor.all_fields().find(|field| field.key == key) else {
        return Err(Error::new(
            Kind::Usage,
            format!("setting {key} of {}", descriptor.label),
            "there is no such setting",
        )
        .remedy(format!("see mooring service show {}", descriptor.name)));
    };
    let (cause, remedy) = match (field.kind == FieldKind::Secret, secret) {
        (true, false) => (
            "it is a secret, which everyone could read in the list of processes",
            format!("give it as --secret {key}=@FILE, or {key}=- for standard input"),
        ),
        (false, true) => ("it isn't a secret", format!("give it as --set {key}=VALUE")),
        _ => return Ok(()),
    };
    let what = format!("setting {key} of {}", descriptor.label);
    Err(Error::new(Kind::Usage, what, cause).remedy(remedy))
}

fn unknown(thing: &str, name: &str) -> Error {
    Error::new(Kind::Usage, format!("{thing} {name}"), format!("there is no such {thing}"))
        .remedy(format!("see mooring {thing} list"))
}

fn taken(thing: &str, name: &str) -> Error {
    Error::new(Kind::Usage, format!("{thing} {name}"), "the name is taken")
        .remedy("choose another name")
}
