//! Observing: comparing what a side has with what the state says it had, and noting the news.
//!
//! Both are walked in the order of names and merged, so memory doesn't grow with either. Every
//! way of looking (the disk, a service with a listing for each folder, a service with one flat
//! listing) feeds the same [`Level`](level::Level)s.
//!
//! Absence is concluded only from a folder (or listing) that was told to its end.

mod flat;
mod level;
mod sorter;
mod walk;

use crate::error::{Error, Kind, Reaction, Result};
use crate::http::Cancel;
use crate::local::{Disk, Found};
use crate::model::{ItemKind, LocalPrint, Nanos, RemotePrint, Side};
use crate::progress::Progress;
use crate::remote::{Entry, Listing, Remote};
use crate::rules::{NameCheck, SkipReason, WORK_FOLDER};
use crate::store::{Batch, Key, Problem, ROOT, Record, Snapshot, Trees};
use std::path::Path;

/// Renamed folders told apart in one look; more are taken as removed and made anew.
const MOST_RENAMES: usize = 1000;

/// What was seen at a place.
pub(crate) enum Sighting {
    /// On the disk.
    Local(LocalPrint),
    /// On the service.
    Remote(RemotePrint),
}

/// How much of the local folder to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// All of it.
    All,
    /// These folders, and what is new in them.
    Folders(&'a [String]),
}

/// A folder that turned up in another place on the disk, with what it was found as there.
#[derive(Clone, Debug)]
pub(crate) struct Renamed {
    /// Where it was.
    pub from: Key,
    /// Where it is.
    pub to: Key,
    /// Its state there.
    pub print: LocalPrint,
}

/// One look at a side.
pub(crate) struct Look<'a, 't> {
    snapshot: &'a Snapshot,
    batch: &'a mut Batch<'t>,
    names: NameCheck,
    side: Side,
    /// The disk, to tell a renamed folder from a copied one.
    disk: Option<&'a Disk>,
    now: Nanos,
    /// Nodes of local folders that aren't in their place.
    missing: Vec<u64>,
    renamed: Vec<Renamed>,
    progress: &'a Progress,
    cancel: &'a Cancel,
}

/// Where to look and by which rules.
pub(crate) struct Observer<'a> {
    /// The task's state.
    pub trees: &'a Trees,
    /// The task's name rules.
    pub names: NameCheck,
    /// A folder for what doesn't fit in memory.
    pub spill: &'a Path,
    /// Counts what is seen.
    pub progress: &'a Progress,
    /// To stop it.
    pub cancel: &'a Cancel,
    /// The time to note with problems.
    pub now: Nanos,
}

impl Observer<'_> {
    /// Looks at the disk. Tells the folders that were renamed; what is in them hasn't been looked
    /// at yet and counts as unchanged until [`Observer::local_renamed`].
    pub fn local(&self, disk: &Disk, scope: Scope<'_>) -> Result<Vec<Renamed>> {
        let snapshot = self.trees.snapshot()?;
        let mut batch = self.trees.batch()?;
        let mut look = self.look(&snapshot, &mut batch, Side::Local);
        look.disk = Some(disk);
        match scope {
            Scope::All => walk::local(&mut look, disk, self.spill, (ROOT, String::new()), true)?,
            Scope::Folders(folders) => {
                for folder in folders {
                    if let Some(node) = find_folder(&snapshot, folder)? {
                        walk::local(&mut look, disk, self.spill, (node, folder.clone()), false)?;
                    }
                }
            }
        }
        let renamed = std::mem::take(&mut look.renamed);
        for node in std::mem::take(&mut look.missing) {
            let moved = |renamed: &Renamed| {
                snapshot
                    .get(&renamed.from)
                    .map(|record| record.is_some_and(|record| record.node == node))
            };
            let mut is_renamed = false;
            for rename in &renamed {
                is_renamed |= moved(rename)?;
            }
            if !is_renamed && let Some(key) = snapshot.folder_key(node)? {
                look.gone(&key)?;
            }
        }
        batch.flush()?;
        Ok(renamed)
    }

    /// Looks at a folder whose row has been put under its new name, and at everything in it.
    pub fn local_renamed(&self, disk: &Disk, key: &Key) -> Result<Vec<Renamed>> {
        let snapshot = self.trees.snapshot()?;
        let Some(record) = snapshot.get(key)? else { return Ok(Vec::new()) };
        let path = snapshot.path(key)?;
        let mut batch = self.trees.batch()?;
        let mut look = self.look(&snapshot, &mut batch, Side::Local);
        look.disk = Some(disk);
        walk::local(&mut look, disk, self.spill, (record.node, path), true)?;
        let renamed = std::mem::take(&mut look.renamed);
        let missing = std::mem::take(&mut look.missing);
        for node in missing {
            if let Some(key) = snapshot.folder_key(node)?
                && !renamed.iter().any(|renamed| renamed.from == key)
            {
                look.gone(&key)?;
            }
        }
        batch.flush()?;
        Ok(renamed)
    }

    /// Takes a renamed folder as one that is gone and one that is new.
    pub fn local_remade(&self, disk: &Disk, renamed: &Renamed) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        let mut batch = self.trees.batch()?;
        let mut look = self.look(&snapshot, &mut batch, Side::Local);
        look.gone(&renamed.from)?;
        let node = look.batch.new_node()?;
        let mut record = Record::new(node);
        record.see_local(Some(renamed.print));
        look.batch.put(renamed.to.clone(), record)?;
        let path = snapshot.path(&renamed.to)?;
        // Without the disk, nothing in it is taken as renamed again.
        walk::local(&mut look, disk, self.spill, (node, path), true)?;
        batch.flush()
    }

    /// Looks at the service.
    ///
    /// # Errors
    /// Those of [`Remote::list`]; the state then knows what was told until then.
    pub fn remote(&self, remote: &dyn Remote, listing: Listing) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        let mut batch = self.trees.batch()?;
        let mut look = self.look(&snapshot, &mut batch, Side::Remote);
        match listing {
            Listing::Flat => flat::remote(&mut look, remote)?,
            Listing::Folders => walk::remote(&mut look, remote, self.spill)?,
        }
        batch.flush()
    }

    fn look<'a, 't>(
        &'a self,
        snapshot: &'a Snapshot,
        batch: &'a mut Batch<'t>,
        side: Side,
    ) -> Look<'a, 't> {
        Look {
            snapshot,
            batch,
            names: self.names,
            side,
            disk: None,
            now: self.now,
            missing: Vec::new(),
            renamed: Vec::new(),
            progress: self.progress,
            cancel: self.cancel,
        }
    }
}

impl Look<'_, '_> {
    /// Notes that an item isn't on this side any more, nor anything in it.
    fn gone(&mut self, key: &Key) -> Result<()> {
        let mut folders = Vec::new();
        if let Some(record) = self.snapshot.get(key)? {
            self.gone_one(key.clone(), record, &mut folders)?;
        }
        while let Some(folder) = folders.pop() {
            for row in self.snapshot.children(folder)? {
                let (key, record) = row?;
                self.gone_one(key, record, &mut folders)?;
            }
        }
        Ok(())
    }

    fn gone_one(&mut self, key: Key, mut record: Record, folders: &mut Vec<u64>) -> Result<()> {
        if record.node != 0 {
            folders.push(record.node);
        }
        let news = match self.side {
            Side::Local => record.see_local(None),
            Side::Remote => record.see_remote(None),
        };
        if news { self.batch.put(key, record) } else { Ok(()) }
    }

    /// Where the folder of this inode was, if it is there no more: it was renamed.
    fn renamed_from(&self, inode: u64) -> Result<Option<Key>> {
        let Some(disk) = self.disk else { return Ok(None) };
        if self.renamed.len() == MOST_RENAMES {
            return Ok(None);
        }
        let Some(node) = self.snapshot.node_of_inode(inode)? else { return Ok(None) };
        let Some(key) = self.snapshot.folder_key(node)? else { return Ok(None) };
        let Some(record) = self.snapshot.get(&key)? else { return Ok(None) };
        let known = record.node == node && record.synced.is_some() && record.skip.is_none();
        if !known || record.local_print().is_none_or(|print| print.inode != inode) {
            return Ok(None);
        }
        let still_there = match disk.stat(&self.snapshot.path(&key)?)? {
            Some(Found::Folder(print)) => print.inode == inode,
            _ => false,
        };
        let told = self.renamed.iter().any(|renamed| renamed.from == key);
        Ok((!still_there && !told).then_some(key))
    }

    /// Notes that a folder can't be read; what is in it counts as unchanged.
    ///
    /// # Errors
    /// `RootLost` when it is the root.
    fn unreadable(&mut self, node: u64, key: Option<Key>, error: &Error) -> Result<()> {
        if node == ROOT {
            return Err(Error::new(Kind::RootLost, error.reason(), "nothing can be told of it"));
        }
        // A folder that is new has no row yet: the next look notes it.
        let Some(key) = key else { return Ok(()) };
        let problem = Problem {
            kind: error.kind().word().into(),
            reason: error.reason(),
            remedy: error.advice().into(),
            since: self.now,
            settled: false,
        };
        self.batch.set_problem(key, Some(problem))
    }
}

/// The rule by which an entry of the disk isn't synced.
fn skip_of_disk(names: &NameCheck, path: &str, found: Found) -> Option<SkipReason> {
    match found {
        Found::File(print) => names.check(path, ItemKind::File, print.size),
        Found::Folder(_) => names.check(path, ItemKind::Folder, 0),
        Found::Mount => Some(SkipReason::MountPoint),
        Found::Link => Some(SkipReason::SymbolicLink),
        Found::Special => Some(SkipReason::SpecialFile),
    }
}

/// The rule by which an entry of the service isn't synced.
fn skip_of_entry(names: &NameCheck, path: &str, entry: &Entry) -> Option<SkipReason> {
    names.check(path, entry.kind, entry.print.size)
}

/// The node of a folder; `None` when it is unknown, not synced or our own.
fn find_folder(snapshot: &Snapshot, path: &str) -> Result<Option<u64>> {
    let mut node = ROOT;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match snapshot.get(&Key::new(node, part, ItemKind::Folder))? {
            Some(record) if record.skip.is_none() && part != WORK_FOLDER => node = record.node,
            _ => return Ok(None),
        }
    }
    Ok(Some(node))
}

/// Whether looking may go on elsewhere after this error of one folder.
fn concerns_one_folder(error: &Error) -> bool {
    !matches!(error.kind().reaction(), Reaction::Stop | Reaction::Ask)
}
