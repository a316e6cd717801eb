//! Looking at the local folder.

use super::confined::Confined;
use super::kernel::{Kernel, KernelFolder};
use super::volume::{Folder, OpenFile, Space, Volume};
use crate::accounts::Opened;
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, LocalPrint, split_path};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What makes a local root the one that a task was linked with: an unmounted volume leaves a
/// folder of another file system in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootId {
    /// File system, as `statvfs` tells; survives a reboot, unlike a device number.
    pub file_system: u64,
    /// Inode of the folder.
    pub inode: u64,
}

/// The local folder of a task, to look at. Clones share what is held.
#[derive(Clone, Debug)]
pub struct Disk {
    volume: Arc<dyn Volume>,
    root: PathBuf,
    /// The root itself, so that nothing put in its place meanwhile is taken for it.
    held: Arc<Mutex<Option<Arc<dyn Folder>>>>,
    /// Folders with names that a power cut may still take away.
    unsynced: Arc<Mutex<Folders>>,
}

/// Open folders, each once.
type Folders = Vec<(RootId, Arc<dyn Folder>)>;

/// What is at a place on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A regular file.
    File(LocalPrint),
    /// A folder.
    Folder(LocalPrint),
    /// The root of another file system.
    Mount,
    /// A symbolic link.
    Link,
    /// A socket, pipe or device.
    Special,
}

impl Found {
    /// The state of a file or folder of this kind; `None` for anything else.
    pub fn of_kind(self, kind: ItemKind) -> Option<LocalPrint> {
        match (self, kind) {
            (Found::File(print), ItemKind::File) => Some(print),
            (Found::Folder(print), ItemKind::Folder) => Some(print),
            _ => None,
        }
    }
}

/// An entry of a folder.
pub struct DiskEntry<'a> {
    /// Its name, which may be any bytes.
    pub name: &'a OsStr,
    /// What it is.
    pub found: Found,
}

impl Disk {
    /// The folder at `root`, which isn't touched yet.
    pub fn new(root: &Path) -> Self {
        Disk::on(Arc::new(Kernel), root)
    }

    /// The folder at `root` of this volume, which isn't touched yet.
    pub fn on(volume: Arc<dyn Volume>, root: &Path) -> Self {
        Disk { volume, root: root.into(), held: Arc::default(), unsynced: Arc::default() }
    }

    /// The folder at `root` that was opened for a user, and nothing of it that they may not have. It
    /// stays that one: another in its place is none.
    ///
    /// # Errors
    /// `RootLost` when it can't be told from others.
    pub(crate) fn confined(root: &Path, opened: Opened) -> Result<Disk> {
        let Opened { folder, account, is_listed } = opened;
        let account = Some(account).filter(|_| !is_listed);
        let identity = KernelFolder::from(folder).identity();
        let volume = |id| Arc::new(Confined { root: id, account });
        identity.map(|id| Disk::on(volume(id), root)).map_err(|errno| lost(root, errno))
    }

    /// The same folder, of which nothing is held yet.
    pub fn anew(&self) -> Disk {
        Disk::on(self.volume.clone(), &self.root)
    }

    /// Where the folder is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Holds the folder that is there now, until [`Disk::release`]: whatever is mounted over it,
    /// unmounted or moved meanwhile, every path leads into this one. Tells what makes it the one
    /// it is.
    ///
    /// # Errors
    /// `RootLost` when there is no folder.
    pub fn hold(&self) -> Result<RootId> {
        self.release();
        let root = self.open_root().map_err(|errno| self.lost(errno))?;
        *self.held() = Some(root);
        self.identity()
    }

    /// Lets go of the folder, so that its volume can be unmounted.
    pub fn release(&self) {
        *self.held() = None;
        self.unsynced().clear();
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<dyn Folder>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, errno: nix::Error) -> Error {
        lost(&self.root, errno)
    }

    /// What makes this folder the one it is.
    ///
    /// # Errors
    /// `RootLost` when there is no folder.
    pub fn identity(&self) -> Result<RootId> {
        self.open_root().and_then(|root| root.identity()).map_err(|errno| self.lost(errno))
    }

    /// How much the folder's volume holds.
    ///
    /// # Errors
    /// `RootLost` when there is no folder.
    pub fn space(&self) -> Result<Space> {
        self.open_root().and_then(|root| root.space()).map_err(|errno| self.lost(errno))
    }

    fn open_root(&self) -> nix::Result<Arc<dyn Folder>> {
        let held = self.held().clone();
        match held {
            Some(root) => root.open_folder("."),
            None => self.volume.open(&self.root),
        }
    }

    /// Opens a folder below the root (empty for the root) without following links.
    pub(super) fn open_folder(&self, path: &str) -> nix::Result<Arc<dyn Folder>> {
        let mut folder = self.open_root()?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            // Whoever made this path up, it leads nowhere out of the root.
            if part == ".." {
                return Err(nix::Error::EINVAL);
            }
            folder = folder.open_folder(part)?;
        }
        Ok(folder)
    }

    /// Makes the names in this folder durable with the next [`Disk::sync_names`]. Many files of one
    /// folder cost one wait for the disk.
    pub(super) fn sync_later(&self, folder: &Arc<dyn Folder>) -> nix::Result<()> {
        let id = folder.identity()?;
        let mut unsynced = self.unsynced();
        if unsynced.iter().all(|(known, _)| *known != id) {
            unsynced.push((id, folder.clone()));
        }
        Ok(())
    }

    /// Folders with names that a power cut may still take away, each of which is open.
    pub fn unsynced_folders(&self) -> usize {
        self.unsynced().len()
    }

    /// Makes the names durable that files were given, or were found to have, since the last time.
    /// Only then may the state tell of them.
    ///
    /// # Errors
    /// Those of the disk: any of them may be lost with a power cut.
    pub fn sync_names(&self) -> Result<()> {
        // Not locked meanwhile: others go on.
        let mut folders = std::mem::take(&mut *self.unsynced());
        while let Some((_, folder)) = folders.last() {
            match folder.sync() {
                // It was removed meanwhile, and they with it.
                Ok(()) | Err(nix::Error::ENOENT) => drop(folders.pop()),
                Err(errno) => {
                    self.unsynced().append(&mut folders);
                    return Err(Error::disk("making the names of files durable", errno.into()));
                }
            }
        }
        Ok(())
    }

    /// Makes the name of one file durable now.
    pub fn sync_name(&self, path: &str) -> Result<()> {
        let (folder, _) = split_path(path);
        let synced = self.open_folder(folder).and_then(|folder| folder.sync());
        synced.map_err(|errno| disk_error("making durable", path, errno))
    }

    fn unsynced(&self) -> MutexGuard<'_, Folders> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is at `path`; `None` when nothing is, or when a folder above it is gone.
    pub fn stat(&self, path: &str) -> Result<Option<Found>> {
        let (folder, name) = split_path(path);
        let found = self.open_folder(folder).and_then(|folder| folder.look(OsStr::new(name)));
        absent_is_none(found).map_err(|errno| disk_error("looking at", path, errno))
    }

    /// Tells every entry of a folder to `each`, in no order.
    ///
    /// An error means that not everything was told: nothing may be concluded from what is missing.
    pub fn list(
        &self,
        folder: &str,
        each: &mut dyn FnMut(DiskEntry<'_>) -> Result<()>,
    ) -> Result<()> {
        let failed = |errno| disk_error("reading folder", folder, errno);
        let opened = self.open_folder(folder).map_err(failed)?;
        opened.list(&mut |entry| each(entry.map_err(failed)?))
    }

    /// Opens a file to upload it.
    ///
    /// # Errors
    /// `Changed` when it isn't as `expected` any more, `InUse` while somebody writes to it.
    pub fn open(&self, path: &str, expected: &LocalPrint) -> Result<LocalFile> {
        let (folder, name) = split_path(path);
        let failed = |errno| disk_error("opening", path, errno);
        let folder = self.open_folder(folder).map_err(failed)?;
        let file = folder.open_file(name).map_err(failed)?;
        let (disk, path) = (self.clone(), path.into());
        let file = LocalFile { file, folder, disk, expected: *expected, path };
        file.unchanged()?;
        if file.file.is_being_written() {
            return Err(in_use("reading", &file.path));
        }
        Ok(file)
    }

    /// Sees to it that no program has a file open to write to it, as far as that can be known: what
    /// it writes would go with a file that is replaced or removed.
    ///
    /// # Errors
    /// `InUse` when one has.
    pub fn at_rest(&self, operation: &str, path: &str) -> Result<()> {
        let (folder, name) = split_path(path);
        match self.open_folder(folder).and_then(|folder| folder.open_file(name)) {
            Ok(file) if file.is_being_written() => Err(in_use(operation, path)),
            // A program has it to itself, and the kernel has just asked for it.
            Err(nix::Error::EAGAIN) => Err(in_use(operation, path)),
            // What can't be read may well be replaced.
            _ => Ok(()),
        }
    }
}

fn in_use(operation: &str, path: &str) -> Error {
    let what = format!("{operation} {path}");
    Error::new(Kind::InUse, what, "a program is still writing to it")
}

/// A local file, open to be read, with the state it must keep meanwhile.
pub struct LocalFile {
    file: Box<dyn OpenFile>,
    /// The folder it is in.
    pub(super) folder: Arc<dyn Folder>,
    disk: Disk,
    expected: LocalPrint,
    pub(super) path: String,
}

impl LocalFile {
    /// Makes its content and its name durable.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn make_durable(&self) -> Result<()> {
        self.sync(|| self.folder.sync())
    }

    /// Makes its content durable, and its name with the next [`Disk::sync_names`].
    ///
    /// # Errors
    /// Those of the disk.
    pub fn make_durable_soon(&self) -> Result<()> {
        self.sync(|| self.disk.sync_later(&self.folder))
    }

    fn sync(&self, name: impl FnOnce() -> nix::Result<()>) -> Result<()> {
        let failed = |error| Error::disk(format!("making {} durable", self.path), error);
        self.file.sync().map_err(failed)?;
        name().map_err(|errno| failed(errno.into()))
    }
}

impl Content for LocalFile {
    fn size(&self) -> u64 {
        self.expected.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.file
            .read_at(buffer, offset)
            .map_err(|error| Error::disk(format!("reading {}", self.path), error))
    }

    fn unchanged(&self) -> Result<()> {
        let found =
            self.file.look().map_err(|errno| disk_error("looking at", &self.path, errno))?;
        if found == Found::File(self.expected) {
            Ok(())
        } else {
            let what = format!("reading {}", self.path);
            Err(Error::new(Kind::Changed, what, "it changed meanwhile"))
        }
    }
}

fn lost(root: &Path, errno: nix::Error) -> Error {
    let what = format!("local folder {}", root.display());
    match errno {
        nix::Error::ESTALE => Error::new(Kind::RootLost, what, "another folder is in its place"),
        errno => Error::new(Kind::RootLost, what, std::io::Error::from(errno)),
    }
}

/// How long a file must have rested before its times are sure to betray the next write: some
/// file systems keep them to the scheduler's tick, FAT to two seconds.
pub fn granularity(print: &LocalPrint) -> Duration {
    let coarse = print.ctime % 1_000_000_000 == 0;
    if coarse { Duration::from_secs(2) } else { Duration::from_millis(20) }
}

/// An error of a file operation, naming it and the item.
pub(super) fn disk_error(operation: &str, path: &str, errno: nix::Error) -> Error {
    let path = if path.is_empty() { "the task's folder" } else { path };
    let what = format!("{operation} {path}");
    match errno {
        // A link in a folder's or file's place: the item isn't there any more.
        nix::Error::ELOOP | nix::Error::ENOTDIR => {
            Error::new(Kind::NotFound, what, "something else is in its place")
        }
        errno => Error::disk(what, errno.into()),
    }
}

fn absent_is_none<T>(result: nix::Result<T>) -> nix::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ELOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}
