//! Being told of changes by the kernel (inotify), folder by folder.
//!
//! What a [`Watch`] tells is where to look, never what to conclude: a change too many is
//! harmless, and after one that may have been missed it says to look at everything. Folders that
//! are never synced, our own work folder and other file systems aren't watched.
//!
//! The watches of all tasks share a [`WatchBudget`], and the kernel has a limit of its own. When
//! either is reached, the folders nearest to the root are watched, and whoever has the watch looks
//! at the others from time to time, if anything was [written](crate::local::Writes) there.

mod budget;
mod places;
mod settling;

use super::disk::{Disk, Found};
use crate::error::{Error, Kind, Result};
use crate::http::Cancel;
use crate::model::ItemKind;
use crate::rules::NameCheck;
use budget::Part;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use places::Places;
use settling::{Settled, Settling};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

pub use budget::WatchBudget;

/// New folders taken in one go of [`Watch::read`]; with more it is quicker to begin anew, in a
/// thread that may take its time.
const MOST_NEW_FOLDERS: usize = 1024;
/// Reads of the queue in one go: several times what it holds.
const MOST_READS: usize = 1024;

/// Changes below a task's folder that have come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// In these folders, relative to the root.
    Folders(Vec<String>),
    /// Anywhere.
    Everything,
}

/// Why not all folders are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The kernel gives this user no more watches.
    Kernel,
    /// They would take too much of the machine's memory.
    Memory,
}

/// The watches on a task's folder and the folders in it.
pub struct Watch {
    inotify: Inotify,
    disk: Disk,
    names: NameCheck,
    root: WatchDescriptor,
    places: Places,
    /// Larger than fits well on a thread's stack.
    settling: Box<Settling<WatchDescriptor>>,
    part: Part,
    limit: Option<Limit>,
    broken: bool,
}

impl Watch {
    /// Watches a task's folder itself, and what is in it from [`Watch::add_tree`] on.
    ///
    /// # Errors
    /// `RootLost` when there is no folder; `Disk` when the kernel has no more watches to give.
    pub fn new(disk: Disk, names: NameCheck, budget: &WatchBudget) -> Result<Watch> {
        let failed = |errno: nix::Error| {
            let kind = if errno == nix::Error::ENOENT { Kind::RootLost } else { Kind::Disk };
            let what = format!("watching {}", disk.root().display());
            Error::new(kind, what, std::io::Error::from(errno))
        };
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(failed)?;
        let flags = events() | AddWatchFlags::IN_ONLYDIR;
        let root = inotify.add_watch(disk.root(), flags).map_err(failed)?;
        let mut part = budget.part();
        part.set(1);
        Ok(Watch {
            inotify,
            names,
            root,
            places: Places::new(root),
            settling: Box::new(Settling::new()),
            part,
            limit: None,
            broken: false,
            disk,
        })
    }

    /// Watches every folder there is. Takes as long as listing them all does.
    pub fn add_tree(&mut self, cancel: &Cancel) -> Result<()> {
        self.explore(self.root, &mut |_| cancel.check())
    }

    /// Takes what the kernel has to tell, without waiting.
    pub fn read(&mut self, now: Instant) {
        for _ in 0..MOST_READS {
            match self.inotify.read_events() {
                Ok(events) => events.into_iter().for_each(|event| self.note(event, now)),
                Err(nix::Error::EAGAIN) => return,
                Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        self.broken = true;
    }

    /// When [`Watch::take`] will have something, unless more happens; `None` after no change.
    pub fn due(&self) -> Option<Instant> {
        self.settling.due()
    }

    /// Takes the changes that have come to rest by now.
    pub fn take(&mut self, now: Instant) -> Option<Changes> {
        match self.settling.take(now)? {
            Settled::Everything => Some(Changes::Everything),
            Settled::Folders(folders) => {
                let paths = folders.iter().filter_map(|folder| self.places.path(*folder));
                Some(Changes::Folders(paths.collect()))
            }
        }
    }

    /// Why there are folders it couldn't watch: somebody has to look from time to time.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Whether it lost track: a new one has to take its place, and everything be looked at.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Folders watched.
    pub fn folders(&self) -> usize {
        self.places.len()
    }

    fn note(&mut self, event: InotifyEvent, now: Instant) {
        use AddWatchFlags as On;
        let (folder, on) = (event.wd, event.mask);
        let is_root = folder == self.root;
        if on.contains(On::IN_Q_OVERFLOW) {
            self.broken = true;
        } else if on.contains(On::IN_IGNORED) {
            self.forget(folder);
            self.broken |= is_root;
        } else if on.intersects(On::IN_MOVE_SELF) {
            if is_root {
                self.broken = true;
            } else {
                self.find_again(folder, now);
            }
        } else if on.intersects(On::IN_DELETE_SELF | On::IN_UNMOUNT) {
            self.broken |= is_root;
        } else if let (Some(path), Some(name)) = (self.places.path(folder), event.name) {
            // A name that isn't UTF-8 concerns nobody but the list of what is skipped.
            let Some(name) = name.to_str() else { return self.settling.changed(folder, now) };
            let path = if path.is_empty() { name.into() } else { format!("{path}/{name}") };
            let kind = if on.contains(On::IN_ISDIR) { ItemKind::Folder } else { ItemKind::File };
            if self.names.check(&path, kind).is_some() {
                return;
            }
            let hash = hash(name);
            match kind {
                ItemKind::Folder => {
                    self.settling.changed(folder, now);
                    if on.intersects(On::IN_CREATE | On::IN_MOVED_TO) {
                        self.arrived(folder, name, &path, now);
                    }
                }
                ItemKind::File if on.contains(On::IN_MODIFY) => {
                    self.settling.written(folder, hash, now);
                }
                // Somebody is about to fill it; but what is linked into place is there as a whole
                // and never closed, such as what we ourselves have downloaded.
                ItemKind::File if on.contains(On::IN_CREATE) && self.is_empty(&path) => {
                    self.settling.written(folder, hash, now);
                }
                ItemKind::File => self.settling.complete(folder, hash, now),
            }
        }
    }

    fn is_empty(&self, path: &str) -> bool {
        let found = self.disk.stat(path);
        matches!(found, Ok(Some(Found::File(print))) if print.size == 0)
    }

    /// A folder was made or moved to this place.
    fn arrived(&mut self, parent: WatchDescriptor, name: &str, path: &str, now: Instant) {
        let Some((folder, true)) = self.add(parent, name, path) else { return };
        // What was put into it before the watch was there has to be looked at, too: a look at
        // the parent may have come and gone meanwhile.
        self.settling.changed(folder, now);
        let mut new = 0;
        let explored = self.explore(folder, &mut |watch| {
            new += 1;
            watch.0.settling.changed(watch.1, now);
            if new > MOST_NEW_FOLDERS { Err(Error::cancelled()) } else { Ok(()) }
        });
        // A folder that can't be listed now vanished, and its parent tells of that.
        self.broken |= explored.is_err_and(|error| error.kind() == Kind::Cancelled);
    }

    /// A watched folder was moved: where it is now was told before, unless that is elsewhere.
    fn find_again(&mut self, folder: WatchDescriptor, now: Instant) {
        let Some((parent, name)) = self.places.get(folder) else { return };
        let name = name.to_owned();
        let Some(path) = self.places.path(folder) else { return };
        let there = self.add(parent, &name, &path);
        if there.is_some_and(|(there, _)| there == folder) {
            return;
        }
        // It left, and everything in it with it.
        for watch in self.places.below(folder) {
            // Fails when the folder was removed since, and its watch with it.
            let _ = self.inotify.rm_watch(watch);
            self.forget(watch);
        }
        self.settling.changed(parent, now);
    }

    fn forget(&mut self, folder: WatchDescriptor) {
        self.places.remove(folder);
        self.part.set(self.places.len());
        self.settling.forget(folder);
    }

    /// Watches the folders in a folder, at any depth, telling each to `found`. Those nearest to the
    /// root come first: where not all can be watched, it is there that people make new ones.
    fn explore(
        &mut self,
        top: WatchDescriptor,
        found: &mut dyn FnMut((&mut Watch, WatchDescriptor)) -> Result<()>,
    ) -> Result<()> {
        let disk = self.disk.clone();
        let mut left = VecDeque::from([top]);
        while let Some(folder) = left.pop_front() {
            let Some(path) = self.places.path(folder) else { continue };
            let listed = disk.list(&path, &mut |entry| {
                let (Found::Folder(_), Some(name)) = (entry.found, entry.name.to_str()) else {
                    return Ok(());
                };
                let path = if path.is_empty() { name.into() } else { format!("{path}/{name}") };
                if self.names.check(&path, ItemKind::Folder).is_none()
                    && self.has_room()
                    && let Some((below, _)) = self.add(folder, name, &path)
                {
                    left.push_back(below);
                    found((self, below))?;
                }
                Ok(())
            });
            match listed {
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                // The look at this folder will meet the same, and say so.
                _ => {}
            }
        }
        Ok(())
    }

    fn has_room(&mut self) -> bool {
        let has_room = !self.part.is_used_up();
        if !has_room {
            self.limit = Some(Limit::Memory);
        }
        has_room
    }

    /// Watches a folder and tells whether it wasn't before; `None` when that isn't possible.
    fn add(
        &mut self,
        parent: WatchDescriptor,
        name: &str,
        path: &str,
    ) -> Option<(WatchDescriptor, bool)> {
        let flags = events() | AddWatchFlags::IN_ONLYDIR | AddWatchFlags::IN_DONT_FOLLOW;
        match self.inotify.add_watch(&self.disk.root().join(path), flags) {
            Ok(folder) if folder == self.root => None,
            // Only the kernel could tell whether it is one that we watch and that was renamed.
            Ok(folder) if self.places.get(folder).is_none() && !self.has_room() => {
                // Fails when the folder is gone, and its watch with it.
                let _ = self.inotify.rm_watch(folder);
                None
            }
            Ok(folder) => {
                let is_new = self.places.put(folder, parent, name);
                self.part.set(self.places.len());
                Some((folder, is_new))
            }
            // Gone, or not to be read by us: the look at it deals with that.
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::EACCES) => None,
            Err(_) => {
                self.limit = Some(Limit::Kernel);
                None
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// What we want to know of a folder. Changes of attributes alone aren't synced.
fn events() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
