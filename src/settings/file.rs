//! The settings file: rows by name, and sealed secrets.

use super::location::TASKS as TASKS_FOLDER;
use super::seal::{Seal, Secret};
use super::{Connection, Task};
use crate::error::{Error, Result};
use crate::remote::{REFRESH_TOKEN, Settings};
use crate::store::{decode, encode, open_database, state_error};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Far more than the settings of a household need.
const CACHE_BYTES: usize = 128 << 10;
/// First byte of every row.
const FORMAT: u8 = 5;
/// First bytes of rows that are read still. They lack what was added at their ends since, at most so
/// many values.
const OLD_FORMATS: RangeInclusive<u8> = 3..=4;
const ADDED: usize = 3;

/// A table of rows by name.
pub(super) type Rows = TableDefinition<'static, &'static str, &'static [u8]>;
pub(super) const CONNECTIONS: Rows = TableDefinition::new("connections");
pub(super) const TASKS: Rows = TableDefinition::new("tasks");
pub(super) const GLOBALS: Rows = TableDefinition::new("globals");
/// Sealed secrets by connection and key.
const SECRETS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("secrets");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");

/// The row of [`COUNTERS`] with the last task id given.
const LAST_TASK: &str = "last-task";

/// The file with its key. Only one process at a time has it open.
pub(super) struct File {
    db: Database,
    seal: Seal,
}

/// A change that is under way: all of it becomes durable, or nothing.
pub(super) struct Change<'a> {
    tx: WriteTransaction,
    seal: &'a Seal,
}

impl File {
    /// Opens the file in the state folder, both of which are made if they aren't there.
    pub(super) fn open(state: &Path) -> Result<File> {
        let file = state.join("settings.redb");
        let make = || -> io::Result<()> {
            let mut folders = DirBuilder::new();
            folders.recursive(true).mode(0o700).create(state.join(TASKS_FOLDER))
        };
        make().map_err(|error| {
            Error::disk(format!("state folder {}", state.display()), error)
                .remedy("give a folder that Mooring may write, with --state or MOORING_STATE")
        })?;
        let db = open_database(&file, CACHE_BYTES);
        let db = db.map_err(|error| error.context(file.display().to_string()))?;
        let file = File { db, seal: Seal::new(state) };
        file.make_tables()?;
        Ok(file)
    }

    fn make_tables(&self) -> Result<()> {
        if self.reading()?.open_table(COUNTERS).is_ok() {
            return Ok(());
        }
        self.write(|Change { tx, .. }| {
            tx.open_table(CONNECTIONS).map_err(state_error)?;
            tx.open_table(TASKS).map_err(state_error)?;
            tx.open_table(GLOBALS).map_err(state_error)?;
            tx.open_table(SECRETS).map_err(state_error)?;
            tx.open_table(COUNTERS).map_err(state_error)?;
            Ok(())
        })
    }

    fn reading(&self) -> Result<ReadTransaction> {
        self.db.begin_read().map_err(state_error)
    }

    /// All rows of a table, by name.
    pub(super) fn all<T: DeserializeOwned>(&self, table: Rows) -> Result<Vec<T>> {
        let table = self.reading()?.open_table(table).map_err(state_error)?;
        let rows = table.iter().map_err(state_error)?;
        rows.map(|row| read(row.map_err(state_error)?.1.value())).collect()
    }

    /// The row of this name.
    pub(super) fn one<T: DeserializeOwned>(&self, table: Rows, name: &str) -> Result<Option<T>> {
        let table = self.reading()?.open_table(table).map_err(state_error)?;
        let row = table.get(name).map_err(state_error)?;
        row.map(|row| read(row.value())).transpose()
    }

    /// A secret of a connection, unsealed.
    ///
    /// # Errors
    /// `SignIn` when the key file is lost or is another one.
    pub(super) fn secret(&self, connection: &str, key: &str) -> Result<Option<Secret>> {
        let sealed = self.reading()?.open_table(SECRETS).map_err(state_error)?;
        let row = sealed.get((connection, key)).map_err(state_error)?;
        row.map(|row| self.seal.unseal(connection, key, row.value())).transpose()
    }

    /// All secrets that can be unsealed.
    pub(super) fn secrets(&self) -> Result<Vec<Secret>> {
        let sealed = self.reading()?.open_table(SECRETS).map_err(state_error)?;
        let mut secrets = Vec::new();
        for row in sealed.iter().map_err(state_error)? {
            let (key, row) = row.map_err(state_error)?;
            let (connection, key) = key.value();
            secrets.extend(self.seal.unseal(connection, key, row.value()));
        }
        Ok(secrets)
    }

    /// A connection's values with its secrets unsealed. The refresh token isn't among them: it
    /// changes by itself, and only its keeper needs it.
    ///
    /// # Errors
    /// As [`File::secret`].
    pub(super) fn settings(&self, connection: &Connection) -> Result<Settings> {
        let mut values: BTreeMap<_, _> = connection.values.iter().cloned().collect();
        for key in connection.secrets.iter().filter(|key| *key != REFRESH_TOKEN) {
            if let Some(secret) = self.secret(&connection.name, key)? {
                values.insert(key.clone(), secret.reveal());
            }
        }
        Ok(values.into())
    }

    /// Makes a change durable as a whole, or not at all.
    pub(super) fn write<T>(&self, change: impl FnOnce(&Change<'_>) -> Result<T>) -> Result<T> {
        let tx = self.db.begin_write().map_err(state_error)?;
        let under_way = Change { tx, seal: &self.seal };
        let result = change(&under_way)?;
        under_way.tx.commit().map_err(state_error)?;
        Ok(result)
    }
}

/// A row from its stored form. What an older one lacks is nothing, off or none, which are zeros.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match bytes.first() {
        Some(format) if OLD_FORMATS.contains(format) => {
            decode(*format, &[bytes, &[0; ADDED]].concat())
        }
        _ => decode(FORMAT, bytes),
    }
}

impl Change<'_> {
    /// The row of this name as it is now.
    pub(super) fn one<T: DeserializeOwned>(&self, table: Rows, name: &str) -> Result<Option<T>> {
        let table = self.tx.open_table(table).map_err(state_error)?;
        let row = table.get(name).map_err(state_error)?;
        row.map(|row| read(row.value())).transpose()
    }

    /// Writes a row.
    pub(super) fn put<T: Serialize>(&self, table: Rows, name: &str, row: &T) -> Result<()> {
        let mut table = self.tx.open_table(table).map_err(state_error)?;
        table.insert(name, encode(FORMAT, row)?.as_slice()).map_err(state_error)?;
        Ok(())
    }

    /// Writes a task with a new id, which is a new pair's.
    pub(super) fn put_anew(&self, task: &mut Task) -> Result<()> {
        task.id = self.next_id()?;
        self.put(TASKS, &task.name, task)
    }

    /// Removes a row, if it is there.
    pub(super) fn remove(&self, table: Rows, name: &str) -> Result<()> {
        let mut table = self.tx.open_table(table).map_err(state_error)?;
        table.remove(name).map_err(state_error)?;
        Ok(())
    }

    /// A secret as it is now, unsealed.
    pub(super) fn secret(&self, connection: &str, key: &str) -> Result<Option<Secret>> {
        let sealed = self.tx.open_table(SECRETS).map_err(state_error)?;
        let row = sealed.get((connection, key)).map_err(state_error)?;
        row.map(|row| self.seal.unseal(connection, key, row.value())).transpose()
    }

    /// Seals a secret. An empty one takes it back.
    pub(super) fn put_secret(&self, connection: &str, key: &str, secret: &Secret) -> Result<()> {
        let mut sealed = self.tx.open_table(SECRETS).map_err(state_error)?;
        if secret.is_empty() {
            sealed.remove((connection, key)).map_err(state_error)?;
        } else {
            let row = self.seal.seal(connection, key, secret)?;
            sealed.insert((connection, key), row.as_slice()).map_err(state_error)?;
        }
        Ok(())
    }

    /// Removes a secret, if it is there.
    pub(super) fn remove_secret(&self, connection: &str, key: &str) -> Result<()> {
        let mut sealed = self.tx.open_table(SECRETS).map_err(state_error)?;
        sealed.remove((connection, key)).map_err(state_error)?;
        Ok(())
    }

    fn next_id(&self) -> Result<u64> {
        let mut counters = self.tx.open_table(COUNTERS).map_err(state_error)?;
        let last = counters.get(LAST_TASK).map_err(state_error)?.map_or(0, |row| row.value());
        counters.insert(LAST_TASK, last + 1).map_err(state_error)?;
        Ok(last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Globals;

    #[test]
    fn rows_of_older_versions_lack_what_was_added_since() {
        let connection = Connection {
            name: "cloud".into(),
            service: "s3".into(),
            values: vec![("region".into(), "eu".into())],
            secrets: vec!["secret-key".into()],
            paused: true,
            schedule: Default::default(),
            owner: None,
        };
        let globals = Globals { paused: true, ..Globals::default() };
        let old =
            |format: u8, row: Vec<u8>, lacks| [&[format], &row[1..row.len() - lacks]].concat();
        let row = old(3, encode(FORMAT, &connection).unwrap(), 1);
        assert_eq!(read::<Connection>(&row).unwrap(), connection);
        for (format, lacks) in [(3, 3), (4, 2)] {
            let row = old(format, encode(FORMAT, &globals).unwrap(), lacks);
            assert_eq!(read::<Globals>(&row).unwrap(), globals);
        }
        let row = old(3, encode(FORMAT, &globals).unwrap(), 3);
        let owned = Connection { owner: Some("alice".into()), ..connection };
        assert_eq!(read::<Connection>(&encode(FORMAT, &owned).unwrap()).unwrap(), owned);
        for damaged in [&[][..], &[3], &[FORMAT], &[6, 0], &row[..2]] {
            assert!(read::<Globals>(damaged).is_err(), "{damaged:?}");
        }
    }
}
