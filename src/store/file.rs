//! The file of a database: made as a whole or not at all.

use super::state_error;
use crate::error::{Error, Kind, Result};
use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, StorageBackend,
    WriteTransaction,
};
use std::fs::{File, OpenOptions, hard_link, remove_file, rename};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A database that is open while it is needed.
pub(super) struct Keeper {
    /// Where it is, if it is in a file.
    file: Option<PathBuf>,
    open: Box<dyn Fn() -> Result<Base> + Send + Sync>,
    base: Mutex<Option<Arc<Base>>>,
    /// Held while it is opened, or while nobody may open it.
    opening: Mutex<()>,
}

impl Keeper {
    /// A database that is closed yet.
    pub fn new(
        file: Option<&Path>,
        open: impl Fn() -> Result<Base> + Send + Sync + 'static,
    ) -> Self {
        let (base, opening) = (Mutex::default(), Mutex::default());
        Keeper { file: file.map(Path::to_owned), open: Box::new(open), base, opening }
    }

    /// Bytes of its file, if it is in one.
    pub fn size(&self) -> Option<u64> {
        self.file.as_ref()?.metadata().ok().map(|found| found.len())
    }

    /// The database, if it is open.
    pub fn known(&self) -> Option<Arc<Base>> {
        self.lock().clone()
    }

    /// Opens the database; tells whether it wasn't open.
    pub fn open(&self) -> Result<(Arc<Base>, bool)> {
        let _opening = self.opening();
        if let Some(base) = self.known() {
            return Ok((base, false));
        }
        let base = Arc::new((self.open)()?);
        *self.lock() = Some(base.clone());
        Ok((base, true))
    }

    /// Whether it is open and nobody is using it.
    pub fn is_alone(&self) -> bool {
        self.lock().as_ref().is_some_and(|base| Arc::strong_count(base) == 1)
    }

    /// Moves together what is in the database and gives its file's other bytes back, which takes
    /// seconds for 100 MiB, unless somebody is using it. Tells whether it did. After an error it is
    /// closed.
    pub fn compact(&self) -> Result<bool> {
        let _opening = self.opening();
        let Some(base) = self.lock().take() else { return Ok(false) };
        let (base, compacted) = match Arc::try_unwrap(base) {
            Ok(Base::Open(mut database)) => {
                database.compact().map_err(state_error)?;
                (Arc::new(Base::Open(database)), true)
            }
            Ok(base) => (Arc::new(base), false),
            Err(shared) => (shared, false),
        };
        *self.lock() = Some(base);
        Ok(compacted)
    }

    /// Closes the database, unless somebody is using it.
    pub fn close(&self) {
        let mut base = self.lock();
        *base = base.take().and_then(|base| Arc::try_unwrap(base).err());
    }

    fn opening(&self) -> MutexGuard<'_, ()> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Base>>> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database, opened.
pub(super) enum Base {
    /// To be read and written.
    Open(Database),
    /// To be read only.
    ToRead(ReadOnlyDatabase),
}

impl Base {
    /// Opens the database that these bytes are, or makes it of none.
    pub fn on(bytes: impl StorageBackend, cache: usize) -> Result<Base> {
        let opened = Database::builder().set_cache_size(cache).create_with_backend(bytes);
        opened.map(Base::Open).map_err(state_error)
    }

    /// Opens the database in `file` to be read only; one that wasn't closed is repaired.
    pub fn to_read(file: &Path, cache: usize) -> Result<Base> {
        match Database::builder().set_cache_size(cache).open_read_only(file) {
            Ok(database) => Ok(Base::ToRead(database)),
            Err(DatabaseError::RepairAborted) => open_database(file, cache).map(Base::Open),
            Err(error) => Err(state_error(error)),
        }
    }

    pub fn begin_read(&self) -> Result<ReadTransaction> {
        match self {
            Base::Open(database) => database.begin_read(),
            Base::ToRead(database) => database.begin_read(),
        }
        .map_err(state_error)
    }

    pub fn begin_write(&self) -> Result<WriteTransaction> {
        match self {
            Base::Open(database) => database.begin_write().map_err(state_error),
            Base::ToRead(_) => Err(Error::new(Kind::State, "the state", "it is open to be read")),
        }
    }
}

/// Opens the database in `file`, or makes it, for its owner's eyes only. `cache` is in bytes.
///
/// # Errors
/// `State` when the file is damaged or open elsewhere, or a disk error.
pub(crate) fn open_database(file: &Path, cache: usize) -> Result<Database> {
    let failed = |error| Error::disk(format!("state {}", file.display()), error);
    if !file.try_exists().map_err(failed)? {
        make(file, cache)?;
    }
    Database::builder().set_cache_size(cache).open(file).map_err(state_error)
}

/// What tells a file from a copy of it that was put in its place.
pub(super) fn identity(file: &Path) -> Result<u64> {
    let metadata = file.metadata();
    let failed = |error| Error::disk(format!("state {}", file.display()), error);
    Ok(metadata.map_err(failed)?.ino())
}

/// Makes the database beside its place: what is cut short on the way is no database.
fn make(file: &Path, cache: usize) -> Result<()> {
    let new = file.with_extension("new");
    let failed = |error| Error::disk(format!("state {}", new.display()), error);
    match remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // Names of files are nobody else's business.
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    drop(Database::builder().set_cache_size(cache).create(&new).map_err(state_error)?);
    place(&new, file).map_err(failed)
}

fn place(new: &Path, file: &Path) -> io::Result<()> {
    match hard_link(new, file) {
        Ok(()) => remove_file(new)?,
        // Another process was faster: its file counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return remove_file(new),
        // Not every file system has links.
        Err(_) => rename(new, file)?,
    }
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
