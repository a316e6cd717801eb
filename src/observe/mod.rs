//! Observing: comparing what a side has with what the state says it had, and noting the news.
//!
//! Both are walked in the order of names and merged, so memory doesn't grow with either. Every
//! way of looking (the disk, a service with a listing for each folder, a service with one flat
//! listing) feeds the same [`Level`](level::Level)s. A service with a change feed is looked at as a
//! whole once; from then on [`news`] costs what changed.
//!
//! Absence is concluded only from a folder (or listing) that was told to its end.

mod digests;
mod flat;
mod glance;
mod level;
mod news;
mod ordered;
mod sorter;
mod walk;

pub(crate) use digests::Digests;
pub(crate) use news::{CURSOR, Follow, News, REMOTE_ROOT, note_renamed_there};
pub(crate) use ordered::{Item, Listed, Row, Rows, Sight, Walk, kind_of, plain, tell_remote};
pub(crate) use walk::ROOT_VERSION;

use crate::error::{Error, Result};
use crate::http::Cancel;
use crate::local::{self, Disk};
use crate::model::{ItemKind, LocalPrint, Nanos, RemotePrint, Side};
use crate::progress::Progress;
use crate::remote::{Entry, Listing, Remote};
use crate::rules::{NameCheck, SkipReason, WORK_FOLDER};
use crate::store::{Batch, Key, Problem, ROOT, Record, Snapshot, Trees};
use std::cell::{Cell, RefCell};
use std::path::Path;

/// Renamed folders told apart in one look; more are taken as removed and made anew.
const MOST_RENAMES: usize = 1000;

/// Folders that couldn't be listed told apart in one look.
const MOST_UNREAD: usize = 100;

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

/// A folder that turned up in another place, with what it was found as there.
#[derive(Clone, Debug)]
pub(crate) struct Renamed<P> {
    /// Where it was.
    pub from: Key,
    /// Where it is.
    pub to: Key,
    /// Its state there.
    pub print: P,
}

/// A folder that turned up in another place on the disk.
pub(crate) type RenamedHere = Renamed<LocalPrint>;
/// A folder that turned up in another place on the service.
pub(crate) type RenamedThere = Renamed<RemotePrint>;

/// What became of folders that aren't where they were.
#[derive(Default)]
pub(crate) struct Found {
    /// Nodes of folders that aren't in their place.
    missing: Vec<u64>,
    here: Vec<RenamedHere>,
    there: Vec<RenamedThere>,
}

/// One look at a side.
pub(crate) struct Look<'a> {
    snapshot: Snapshot,
    batch: Batch<'a>,
    names: &'a NameCheck,
    side: Side,
    /// The disk, to tell a renamed folder from a copied one.
    disk: Option<&'a Disk>,
    /// Whether folders of the service are known again in another place.
    follows: bool,
    now: Nanos,
    found: Found,
    /// Something failed in an earlier look: a folder that can be read now may be it.
    problems: bool,
    progress: &'a Progress,
    cancel: &'a Cancel,
    unread: &'a RefCell<Vec<(String, Error)>>,
}

/// What a look at the service brought.
pub(crate) struct Seen {
    /// Whether every folder could be listed.
    pub all: bool,
    /// Folders that turned up in another place; what is in them hasn't been looked at yet.
    pub renamed: Vec<RenamedThere>,
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
    /// The folders that couldn't be listed, as far as they fit.
    pub unread: RefCell<Vec<(String, Error)>>,
    /// Whether there is nothing to do as far as anybody knows. That ends when something is compared
    /// with the state.
    pub settled: &'a Cell<bool>,
}

/// What a look at the service is compared with: the state, once there is something to compare.
pub(crate) struct Comparison<'a> {
    observer: &'a Observer<'a>,
    look: Option<Look<'a>>,
}

impl<'a> Comparison<'a> {
    /// The comparison, begun.
    fn look(&mut self) -> Result<&mut Look<'a>> {
        match &mut self.look {
            Some(look) => Ok(look),
            none => {
                self.observer.settled.set(false);
                Ok(none.insert(self.observer.look(Side::Remote)?))
            }
        }
    }
}

impl Observer<'_> {
    /// Looks at the disk. Tells the folders that were renamed; what is in them hasn't been looked
    /// at yet and counts as unchanged until [`Observer::local_renamed`].
    pub fn local(&self, disk: &Disk, scope: Scope<'_>) -> Result<Vec<RenamedHere>> {
        let mut found = Found::default();
        match scope {
            Scope::All => self.look_at(disk, "", true, &mut found)?,
            Scope::Folders(folders) => {
                for folder in folders {
                    self.look_at(disk, folder, false, &mut found)?;
                }
            }
        }
        self.conclude(found, Side::Local).map(|found| found.here)
    }

    /// Looks at a folder whose row has been put under its new name, and at everything in it.
    pub fn local_renamed(&self, disk: &Disk, key: &Key) -> Result<Vec<RenamedHere>> {
        let mut found = Found::default();
        let path = self.trees.snapshot()?.path(key)?;
        self.look_at(disk, &path, true, &mut found)?;
        self.conclude(found, Side::Local).map(|found| found.here)
    }

    /// Looks at a folder of the disk, and at everything or at what is new in it. What one look
    /// finds, the next one knows.
    fn look_at(&self, disk: &Disk, folder: &str, deep: bool, found: &mut Found) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        let Some(node) = find_folder(&snapshot, folder)? else { return Ok(()) };
        let mut look = self.look(Side::Local)?;
        look.disk = Some(disk);
        look.found = std::mem::take(found);
        walk::local(&mut look, disk, self.spill, (node, folder.into()), deep)?;
        *found = look.found;
        look.batch.flush()
    }

    /// Takes the folders that aren't in their place, and weren't renamed, as gone.
    fn conclude(&self, found: Found, side: Side) -> Result<Found> {
        let mut look = self.look(side)?;
        let mut moved = Vec::new();
        let here = found.here.iter().map(|renamed| &renamed.from);
        for from in here.chain(found.there.iter().map(|renamed| &renamed.from)) {
            moved.extend(look.snapshot.get(from)?.map(|record| record.node));
        }
        for node in found.missing.iter().filter(|node| !moved.contains(node)) {
            if let Some(key) = look.snapshot.folder_key(*node)? {
                look.gone(&key)?;
            }
        }
        look.batch.flush()?;
        Ok(found)
    }

    /// Takes a renamed folder as one that is gone and one that is new.
    pub fn local_remade(&self, disk: &Disk, renamed: &RenamedHere) -> Result<()> {
        let mut look = self.look(Side::Local)?;
        look.gone(&renamed.from)?;
        let at = (look.folder_here(renamed)?, look.snapshot.path(&renamed.to)?);
        // Without the disk, nothing in it is taken as renamed again.
        walk::local(&mut look, disk, self.spill, at, true)?;
        look.batch.flush()
    }

    /// Takes a renamed folder as one that is gone and one that is new, but tells the folders in it
    /// as renamed.
    pub fn local_split(&self, disk: &Disk, renamed: &RenamedHere) -> Result<Vec<RenamedHere>> {
        let mut look = self.look(Side::Local)?;
        if let Some(record) = look.snapshot.get(&renamed.from)? {
            for row in look.snapshot.children(record.node)? {
                let (key, record) = row?;
                if record.node == 0 {
                    look.gone_one(key, record, &mut Vec::new())?;
                }
            }
            look.gone_one(renamed.from.clone(), record, &mut Vec::new())?;
        }
        let at = (look.folder_here(renamed)?, look.snapshot.path(&renamed.to)?);
        look.disk = Some(disk);
        walk::local(&mut look, disk, self.spill, at, true)?;
        let found = look.found;
        look.batch.flush()?;
        self.conclude(found, Side::Local).map(|found| found.here)
    }

    /// Looks at the service.
    ///
    /// # Errors
    /// Those of [`Remote::list`]; the state then knows what was told until then.
    pub fn remote(
        &self,
        remote: &dyn Remote,
        listing: Listing,
        digests: &mut Digests,
    ) -> Result<Seen> {
        digests.forget(self.trees)?;
        let seen = self.look_there(|comparison| match listing {
            Listing::Flat => flat::remote(comparison, remote, &mut digests.ranges).map(|()| true),
            Listing::Folders => walk::remote(comparison, remote, &mut digests.folders),
        });
        digests.end(seen.is_ok());
        seen
    }

    /// Looks at a folder of the service that has a row, and at everything in it.
    pub fn remote_below(&self, remote: &dyn Remote, key: &Key) -> Result<Seen> {
        let spill = self.spill;
        self.look_there(|comparison| walk::remote_below(comparison.look()?, remote, spill, key))
    }

    /// Looks at the service in this way, which tells whether every folder could be listed.
    fn look_there(&self, walk: impl FnOnce(&mut Comparison<'_>) -> Result<bool>) -> Result<Seen> {
        let mut comparison = Comparison { observer: self, look: None };
        let all = walk(&mut comparison)?;
        let Some(mut look) = comparison.look else { return Ok(Seen { all, renamed: Vec::new() }) };
        look.batch.flush()?;
        let renamed = self.conclude(look.found, Side::Remote)?.there;
        Ok(Seen { all, renamed })
    }

    /// Follows folders that turned up in another place, or takes them as gone and new, and so on
    /// with those in them. Tells whether every folder could be listed.
    ///
    /// With a feed (`fed`), what is in a folder that is followed is known, or told of its own: only
    /// one that counted as gone is listed.
    pub fn settle_renamed(
        &self,
        remote: &dyn Remote,
        mut renamed: Vec<RenamedThere>,
        fed: bool,
        follow: &mut Follow<'_>,
    ) -> Result<bool> {
        let mut all = true;
        while let Some(rename) = renamed.pop() {
            self.cancel.check()?;
            let row = self.trees.snapshot()?.get(&rename.from)?;
            let known = fed && row.is_some_and(|row| row.is_on(Side::Remote));
            if !follow(&rename)? {
                all &= self.remote_remade(remote, &rename)?;
            } else if !known {
                let seen = self.remote_below(remote, &rename.to)?;
                all &= seen.all;
                renamed.extend(seen.renamed);
            }
        }
        Ok(all)
    }

    /// Takes a folder that was renamed on the service as one that is gone and one that is new.
    /// Tells whether all that is in it could be listed.
    pub fn remote_remade(&self, remote: &dyn Remote, renamed: &RenamedThere) -> Result<bool> {
        let mut look = self.look(Side::Remote)?;
        // Another folder that has its old name has taken over the row.
        let old = look.snapshot.get(&renamed.from)?;
        if old.is_some_and(|old| old.remote_id() == &*renamed.print.id) {
            look.gone(&renamed.from)?;
        }
        let mut record = look.new_folder(&renamed.to)?;
        record.see_remote(Some(renamed.print.clone()));
        look.batch.put(renamed.to.clone(), record)?;
        look.batch.flush()?;
        let mut look = self.look(Side::Remote)?;
        // Nothing in it is taken as renamed again.
        look.follows = false;
        let all = walk::remote_below(&mut look, remote, self.spill, &renamed.to)?;
        look.batch.flush()?;
        Ok(all)
    }

    fn look(&self, side: Side) -> Result<Look<'_>> {
        let snapshot = self.trees.snapshot()?;
        Ok(Look {
            problems: snapshot.problem_count()? > 0,
            snapshot,
            batch: self.trees.batch()?,
            names: &self.names,
            side,
            disk: None,
            follows: side == Side::Remote,
            now: self.now,
            found: Found::default(),
            progress: self.progress,
            cancel: self.cancel,
            unread: &self.unread,
        })
    }
}

impl Look<'_> {
    /// Whether a folder that isn't known here is one that was renamed, which is noted then.
    fn follow(&mut self, to: &Key, sighting: &Sighting) -> Result<bool> {
        let to = to.clone();
        match sighting {
            // Met by an earlier look already.
            Sighting::Local(_) if self.found.here.iter().any(|known| known.to == to) => {}
            Sighting::Remote(_) if self.found.there.iter().any(|known| known.to == to) => {}
            Sighting::Local(print) => {
                let Some(from) = self.renamed_from(print.inode)? else { return Ok(false) };
                self.found.here.push(Renamed { from, to, print: *print });
            }
            Sighting::Remote(print) => {
                if !self.follows || self.found.there.len() == MOST_RENAMES {
                    return Ok(false);
                }
                let Some(from) = folder_of_id(&self.snapshot, &print.id)? else { return Ok(false) };
                if self.found.there.iter().any(|renamed| renamed.from == from) {
                    return Ok(false);
                }
                self.found.there.push(Renamed { from, to, print: print.clone() });
            }
        }
        Ok(true)
    }

    /// The row of a folder that is new at `key`, unless another look has found it there.
    fn new_folder(&mut self, key: &Key) -> Result<Record> {
        match self.batch.get(key)? {
            Some(record) => Ok(record),
            None => Ok(Record::new(self.batch.new_node()?)),
        }
    }

    /// The node of a renamed folder that is taken as new where it is.
    fn folder_here(&mut self, renamed: &RenamedHere) -> Result<u64> {
        let mut record = self.new_folder(&renamed.to)?;
        record.see_local(Some(renamed.print));
        let node = record.node;
        self.batch.put(renamed.to.clone(), record)?;
        Ok(node)
    }

    /// An item of the service that turned up at `key` isn't anywhere else any more.
    fn leave_old_place(&mut self, key: &Key, id: &str) -> Result<()> {
        match self.batch.of_id(id)? {
            Some((old, record)) if old != *key && record.is_on(Side::Remote) => {
                if record.node == 0 {
                    self.gone_one(old, record, &mut Vec::new())
                } else {
                    self.gone(&old)
                }
            }
            _ => Ok(()),
        }
    }

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
        let was_skipped = record.skip.is_some();
        let news = see_gone(&mut record, self.side, self.names, self.now);
        if was_skipped {
            self.reveal(&key, &mut record)?;
        }
        if news { self.batch.put(key, record) } else { Ok(()) }
    }

    /// What the service told of what is in a folder was dropped while it was skipped: if it isn't
    /// any more, by a look at the disk, the next look at the service has to lead there, whatever
    /// the feed or the versions of the folders around it say.
    fn reveal(&mut self, key: &Key, record: &mut Record) -> Result<()> {
        let is_hidden = record.skip.is_some() || !record.is_on(Side::Remote);
        if self.side == Side::Remote || record.node == 0 || is_hidden {
            return Ok(());
        }
        record.forget_version();
        self.batch.set_fact(CURSOR, None);
        list_again(&mut self.batch, &self.snapshot, key.folder)
    }

    /// Where the folder of this inode was, if it is there no more: it was renamed.
    fn renamed_from(&self, inode: u64) -> Result<Option<Key>> {
        let Some(disk) = self.disk else { return Ok(None) };
        if self.found.here.len() == MOST_RENAMES {
            return Ok(None);
        }
        let Some(node) = self.snapshot.node_of_inode(inode)? else { return Ok(None) };
        let Some(key) = self.snapshot.folder_key(node)? else { return Ok(None) };
        let Some(record) = self.snapshot.get(&key)? else { return Ok(None) };
        let known = record.node == node && record.synced.is_some() && record.skip.is_none();
        if !known || record.local_print().is_none_or(|print| print.inode != inode) {
            return Ok(None);
        }
        let still_there = match disk.stat(&self.snapshot.path(&key)?) {
            // Another folder in its place takes over the row; files find their way by inode.
            Ok(Some(local::Found::Folder(_))) => true,
            Ok(_) => false,
            Err(error) if error.kind().reaction().ends_cycle() => return Err(error),
            // What can't be looked at isn't known to be gone.
            Err(_) => true,
        };
        let told = self.found.here.iter().any(|renamed| renamed.from == key);
        Ok((!still_there && !told).then_some(key))
    }

    /// Notes that a folder can't be read; what is in it counts as unchanged.
    ///
    /// # Errors
    /// The same, when it is the root.
    fn unreadable(&mut self, node: u64, path: &str, error: &Error) -> Result<()> {
        if node == ROOT {
            return Err(error.clone());
        }
        let mut unread = self.unread.borrow_mut();
        if unread.len() < MOST_UNREAD {
            unread.push((path.into(), error.clone()));
        }
        let Some(key) = self.batch.folder_key(node)? else { return Ok(()) };
        let known = self.snapshot.problem(&key)?;
        let known = known.filter(|known| known.kind == error.kind().word());
        let since = known.map_or(self.now, |known| known.since);
        let problem = Problem { unread: Some(self.side), ..Problem::new(error, since) };
        if self.batch.problem(&key)?.as_ref() == Some(&problem) {
            return Ok(());
        }
        self.batch.set_problem(key, Some(problem))
    }

    /// Notes that a folder could be read, if it couldn't before.
    fn readable(&mut self, node: u64) -> Result<()> {
        if self.problems
            && let Some(key) = self.snapshot.folder_key(node)?
            && let Some(problem) = self.snapshot.problem(&key)?
            && problem.unread == Some(self.side)
        {
            self.batch.set_problem(key, None)?;
        }
        Ok(())
    }

    /// Forgets everything below a folder: it isn't synced any more, and all of it stays.
    fn forget_below(&mut self, node: u64) -> Result<()> {
        let mut folders = vec![node];
        while let Some(folder) = folders.pop() {
            for row in self.snapshot.children(folder)? {
                let (key, record) = row?;
                folders.extend(Some(record.node).filter(|node| *node != 0));
                self.batch.put(key, Record::new(record.node))?;
            }
        }
        Ok(())
    }
}

/// Notes that an item isn't on this side any more. Tells whether that is news.
fn see_gone(record: &mut Record, side: Side, names: &NameCheck, now: Nanos) -> bool {
    let news = record.see_gone(side);
    // It may have been beyond a limit on this side only, or on the other one as well.
    let judged = record.skip.as_ref().is_none_or(|skip| skip.reason.is_of_size())
        && record.see_skip(names.check_size(record.most_bytes()), side, now);
    news || judged
}

/// Sees to it that the next look at the service leads to what is in a folder, whatever the versions
/// of the folders around it say.
pub(crate) fn list_again(batch: &mut Batch<'_>, snapshot: &Snapshot, folder: u64) -> Result<()> {
    batch.set_fact(ROOT_VERSION, None);
    let mut folder = folder;
    while let Some(key) = snapshot.folder_key(folder)? {
        folder = key.folder;
        if let Some(mut record) = batch.get(&key)?
            && record.forget_version()
        {
            batch.put(key, record)?;
        }
    }
    Ok(())
}

/// The rule by which an entry of the service isn't synced.
fn skip_of_entry(names: &NameCheck, path: &str, entry: &Entry) -> Option<SkipReason> {
    let by_nature = entry.special.map(SkipReason::from);
    by_nature.or_else(|| names.check(path, entry.kind))
}

/// The agreed folder that the service knows by this id.
fn folder_of_id(snapshot: &Snapshot, id: &str) -> Result<Option<Key>> {
    if id.is_empty() {
        return Ok(None);
    }
    let Some(key) = snapshot.key_of_id(id)? else { return Ok(None) };
    let Some(record) = snapshot.get(&key)? else { return Ok(None) };
    let known = record.node != 0 && record.remote_id() == id && record.skip.is_none();
    Ok(Some(key).filter(|_| known && record.synced.is_some()))
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
