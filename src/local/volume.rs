//! What the local side asks of the operating system: a few calls on open folders and files.
//!
//! Everything that reads or changes the disk goes through these. The kernel answers them in
//! earnest; the simulation in the tests answers them from memory, and its power can fail between
//! any two of them. The errors are the kernel's own, so that both mean the same.

use super::{DiskEntry, Found, RootId};
use crate::error::Result;
use crate::model::Nanos;
use nix::Result as Answer;
use std::any::Any;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// File systems under one root.
pub trait Volume: Debug + Send + Sync {
    /// Opens the folder at this absolute path.
    fn open(&self, path: &Path) -> Answer<Arc<dyn Folder>>;
}

/// How much a file system holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What can still be written.
    pub free: u64,
}

/// An open folder. It stays the same one wherever it is moved and whatever is mounted over it.
///
/// Names are single parts of paths. No call follows a symbolic link.
pub trait Folder: Any + Debug + Send + Sync {
    /// What makes this folder the one it is.
    fn identity(&self) -> Answer<RootId>;

    /// How much the file system that it is on holds.
    fn space(&self) -> Answer<Space>;

    /// Opens a folder in this one; `.` is this one again.
    fn open_folder(&self, name: &str) -> Answer<Arc<dyn Folder>>;

    /// What has this name.
    fn look(&self, name: &OsStr) -> Answer<Found>;

    /// Tells every entry to `each`, in no order, or why there is no telling. A folder of another
    /// file system is told as one. What vanishes on the way may be left out.
    ///
    /// # Errors
    /// The first that `each` answers.
    fn list(&self, each: &mut dyn FnMut(Answer<DiskEntry<'_>>) -> Result<()>) -> Result<()>;

    /// Opens a file to read it.
    fn open_file(&self, name: &str) -> Answer<Box<dyn OpenFile>>;

    /// Opens a file to read and write it; it is made if it isn't there.
    fn create_file(&self, name: &str) -> Answer<Box<dyn OpenFile>>;

    /// Makes a folder, for us alone if it is `private`.
    fn make_folder(&self, name: &str, private: bool) -> Answer<()>;

    /// Gives a file a second name, which must be free.
    fn link(&self, name: &str, to: &dyn Folder, new_name: &str) -> Answer<()>;

    /// Gives a file or folder another name. A file there is replaced, and so is an empty folder
    /// by a folder.
    fn rename(&self, name: &str, to: &dyn Folder, new_name: &str) -> Answer<()>;

    /// Removes a file.
    fn remove_file(&self, name: &OsStr) -> Answer<()>;

    /// Removes an empty folder.
    fn remove_folder(&self, name: &str) -> Answer<()>;

    /// Makes the entries durable.
    fn sync(&self) -> Answer<()>;
}

/// An open file.
pub trait OpenFile: Send + Sync {
    /// What it is by now.
    fn look(&self) -> Answer<Found>;

    /// How many names it has.
    fn links(&self) -> Answer<u64>;

    /// Whether any program has it open for writing, as far as that can be known.
    fn is_being_written(&self) -> bool;

    /// Reads from this byte on, into as much of the buffer as there is.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes from this byte on; tells how much of it.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts it, or fills it up with zeros, to so many bytes.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Gives it this time of modification; one that the system can't hold is left.
    fn set_mtime(&self, mtime: Nanos) -> Answer<()>;

    /// Gives it the owner and the mode of another file, as far as the file system and the user
    /// can.
    fn take_after(&self, folder: &dyn Folder, name: &str);

    /// Makes its content durable.
    fn sync(&self) -> io::Result<()>;
}
