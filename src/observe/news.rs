//! Looking at a service with a change feed: what it tells is merged with the rows it concerns, and
//! nothing else is read.
//!
//! Changes come in any order and of anything; each is taken for how its item is now. Applying one
//! twice does no harm, so a cursor may be kept in memory until there is something to write anyway.

use super::walk::fit;
use super::{Observer, RenamedThere, see_gone, skip_of_entry};
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, RemotePrint, Side, split_path};
use crate::remote::{Change, Entry, Feed, Place, Remote, Spot};
use crate::rules::{SkipReason, WORK_FOLDER, folded, namesake};
use crate::store::{Batch, Key, ROOT, Record, Snapshot, decode, encode};

/// Fact: where the feed is to be gone on with.
pub(crate) const CURSOR: &str = "cursor";

/// Fact: the remote root has been there, and the id it had.
pub(crate) const REMOTE_ROOT: &str = "remote-root-seen";

/// Fact: the folders that we renamed on the service last.
const RENAMED_THERE: &str = "renamed-there";
/// First byte of the stored list of these.
const RENAMED_FORMAT: u8 = 1;
/// Renames that are kept.
const MOST_RENAMED: usize = 64;

/// Carries out a folder's rename on the disk and in the state; tells whether it could.
pub(crate) type Follow<'a> = dyn FnMut(&RenamedThere) -> Result<bool> + 'a;

/// Where an item is, in the state's terms.
enum Whereabouts {
    /// In a folder of this node, under this name.
    In(u64, String),
    /// Not in the task.
    Outside,
    /// In a folder that isn't synced.
    Skipped,
}

/// Which time a change is taken in that couldn't be at once.
enum Turn<'l> {
    /// What has to wait for another change goes to this list.
    First(&'l mut Vec<Change>),
    /// Whoever had the name, or the folder that was around another, may have left by now.
    Second,
    /// Those who changed places had to make room for each other first.
    Last,
}

/// A feed being taken in.
pub(crate) struct News<'a> {
    observer: &'a Observer<'a>,
    remote: &'a dyn Remote,
    feed: &'a dyn Feed,
    /// What the service calls the root, once something is told.
    root: String,
    follow: &'a mut Follow<'a>,
    /// Whether everything there is is being told.
    whole: bool,
    /// Whether all folders that turned up could be listed.
    complete: bool,
}

impl<'a> News<'a> {
    pub fn new(
        observer: &'a Observer<'a>,
        remote: &'a dyn Remote,
        feed: &'a dyn Feed,
        follow: &'a mut Follow<'a>,
    ) -> Self {
        let root = String::new();
        News { observer, remote, feed, root, follow, whole: false, complete: true }
    }

    /// Takes in what was told after `cursor` (`None`: everything there is) and tells where to go
    /// on from; `None` when something couldn't be listed, so that everything has to be.
    ///
    /// # Errors
    /// Those of [`Feed::changes`]; what was told until then is known. No cursor is noted then where
    /// everything has to be looked at.
    pub fn take(mut self, cursor: Option<String>) -> Result<Option<String>> {
        let mut cursor = cursor;
        // To be told again more than a page costs more than a write.
        let mut much = cursor.is_none();
        self.whole = cursor.is_none();
        loop {
            let mut changes = Vec::new();
            let page = self.feed.changes(cursor.as_deref(), &mut |change| {
                changes.push(change);
                Ok(())
            })?;
            if changes.is_empty() && !much && !page.more {
                return Ok(Some(page.cursor));
            }
            self.begin()?;
            let mut batch = self.observer.trees.batch()?;
            let mut wrote = false;
            let mut later = Vec::new();
            for change in changes {
                self.observer.cancel.check()?;
                // What is told of an item last counts.
                later.retain(|earlier| id_of(earlier) != id_of(&change));
                wrote |= self.apply(&mut batch, change, Turn::First(&mut later))?;
            }
            for change in later.iter().cloned() {
                wrote |= self.apply(&mut batch, change, Turn::Second)?;
            }
            for change in later {
                wrote |= self.apply(&mut batch, change, Turn::Last)?;
            }
            if !self.complete {
                batch.set_fact(CURSOR, None);
            } else if wrote || much || page.more {
                batch.set_fact(CURSOR, Some(page.cursor.as_bytes().to_vec()));
            }
            batch.flush()?;
            much |= page.more;
            if page.more && cursor.as_ref() == Some(&page.cursor) {
                let cause = "it tells the same page again and again";
                return Err(Error::new(Kind::Protocol, "the service's changes", cause));
            }
            if !page.more {
                return Ok(Some(page.cursor).filter(|_| self.complete));
            }
            cursor = Some(page.cursor);
        }
    }

    /// Looks at the state, as there is something to take in.
    fn begin(&mut self) -> Result<()> {
        self.observer.settled.set(false);
        let root = self.observer.trees.snapshot()?.fact(REMOTE_ROOT)?.unwrap_or_default();
        self.root = String::from_utf8_lossy(&root).into_owned();
        Ok(())
    }

    /// Takes in a change, or puts it off. Tells whether it was news.
    fn apply(&mut self, batch: &mut Batch<'_>, change: Change, turn: Turn<'_>) -> Result<bool> {
        match change {
            Change::GoneId(id) if *id == *self.root => Err(root_lost()),
            Change::GonePath(path) if path.is_empty() => Err(root_lost()),
            Change::GoneId(id) => self.gone_id(batch, &id),
            Change::GonePath(path) => {
                Ok(self.gone_path(batch, &path, false)? | self.gone_before(batch, &path)?)
            }
            Change::There { entry, .. }
                if !entry.print.id.is_empty() && *entry.print.id == self.root =>
            {
                Ok(false)
            }
            Change::There { spot, entry } => match self.locate(batch, &spot)? {
                Whereabouts::In(folder, name) => {
                    let place = (folder, fit(&name));
                    self.there(batch, place, (spot, entry), turn)
                }
                // It left the task, or went to where nothing is synced.
                Whereabouts::Outside | Whereabouts::Skipped => self.gone_id(batch, &entry.print.id),
            },
        }
    }

    fn there(
        &mut self,
        batch: &mut Batch<'_>,
        (folder, (name, misnamed)): (u64, (String, Option<SkipReason>)),
        (spot, entry): (Spot, Entry),
        turn: Turn<'_>,
    ) -> Result<bool> {
        let id = entry.print.id.clone();
        // A path leads to one item only: whatever else was there is gone.
        let unique = matches!(spot, Spot::Path(_));
        let mut wrote = false;
        let twin = Key::new(folder, &name, entry.kind).twin();
        if unique && let Some(record) = batch.get(&twin)? {
            wrote |= self.gone_row(batch, twin, record)?;
        }
        let known = batch.of_id(&id)?;
        let own = namesake(&name, &id);
        let mut key = Key::new(folder, &name, entry.kind);
        let taken = !unique
            && !id.is_empty()
            && batch.get(&key)?.is_some_and(|row| {
                row.is_on(Side::Remote) && !row.remote_id().is_empty() && row.remote_id() != &*id
            });
        if taken {
            let own = Key::new(folder, &own, entry.kind);
            let goes_by_it = known.as_ref().is_some_and(|(place, _)| *place == own);
            if !goes_by_it && let Turn::First(later) = turn {
                later.push(Change::There { spot, entry });
                return Ok(false);
            }
            key = own;
        }
        let told_below = self.tells_below(&spot);
        if let Some((from, record)) = known.filter(|(from, _)| *from != key) {
            match from.kind() {
                ItemKind::Folder if entry.kind == ItemKind::Folder => {
                    if self.is_inside(folder, record.node)? {
                        match turn {
                            Turn::First(later) => later.push(Change::There { spot, entry }),
                            Turn::Second => {}
                            Turn::Last => {
                                tracing::warn!(
                                    name,
                                    "the service says of a folder that it is in itself"
                                );
                                self.complete = false;
                            }
                        }
                        return Ok(wrote);
                    }
                    batch.flush()?;
                    let print = entry.print.clone();
                    let renamed = RenamedThere { from, to: key.clone(), print };
                    let follows = record.synced.is_some() && record.skip.is_none();
                    if follows && (self.follow)(&renamed)? {
                        if !told_below && !record.is_on(Side::Remote) {
                            self.list(batch, &key)?;
                        }
                        return Ok(true);
                    }
                    wrote |= self.gone_row(batch, renamed.from, record)?;
                }
                _ => wrote |= self.gone_row(batch, from, record)?,
            }
        }
        let (is_news, turned_up) = self.see(batch, &key, entry, misnamed)?;
        if turned_up && !told_below {
            self.list(batch, &key)?;
        }
        Ok(is_news || wrote)
    }

    /// Whether all that is in a folder that turns up at this spot is told as well. Of one that was
    /// moved there from where it wasn't known, a feed by ids only does so when it tells everything.
    fn tells_below(&self, spot: &Spot) -> bool {
        self.feed.tells_all() && (self.whole || matches!(spot, Spot::Path(_)))
    }

    /// Notes how the item of a row is. Tells whether that is news, and whether it is a folder to
    /// sync that wasn't there before.
    fn see(
        &mut self,
        batch: &mut Batch<'_>,
        key: &Key,
        entry: Entry,
        misnamed: Option<SkipReason>,
    ) -> Result<(bool, bool)> {
        let snapshot = self.observer.trees.snapshot()?;
        let path = snapshot.path(key)?;
        let skip = misnamed.or(skip_of_entry(&self.observer.names, &path, &entry));
        let kind = entry.kind;
        let (mut record, mut news) = match batch.get(key)? {
            Some(record) => (record, false),
            None if kind == ItemKind::File => (Record::new(0), true),
            None => (Record::new(batch.new_node()?), true),
        };
        let new = !record.is_on(Side::Remote);
        if kind == ItemKind::File {
            self.observer.progress.saw();
        }
        news |= record.see_remote(Some(entry.print));
        let skip = skip.or_else(|| self.observer.names.check_size(record.most_bytes()));
        let synced_folder = record.skip.is_none() && record.node != 0;
        if record.see_skip(skip, Side::Remote, self.observer.now) {
            if synced_folder {
                batch.flush()?;
                let mut look = self.observer.look(Side::Remote)?;
                look.forget_below(record.node)?;
                look.batch.flush()?;
            }
            news = true;
        }
        let turned_up = new && kind == ItemKind::Folder && record.skip.is_none();
        if news {
            batch.put(key.clone(), record)?;
        }
        if kind == ItemKind::Folder {
            // For what is in it to find it.
            batch.flush()?;
        }
        Ok((news, turned_up))
    }

    /// Lists a folder that turned up, of whose contents nothing is told.
    fn list(&mut self, batch: &mut Batch<'_>, key: &Key) -> Result<()> {
        // Told again, the folder would be known, and what is in it still not: if this comes to no
        // end, everything has to be looked at. Afterwards the page's cursor is noted.
        batch.set_fact(CURSOR, None);
        batch.flush()?;
        let seen = self.observer.remote_below(self.remote, key)?;
        self.complete &= seen.all;
        self.complete &=
            self.observer.settle_renamed(self.remote, seen.renamed, true, self.follow)?;
        Ok(())
    }

    fn gone_id(&mut self, batch: &mut Batch<'_>, id: &str) -> Result<bool> {
        match batch.of_id(id)? {
            Some((key, record)) => self.gone_row(batch, key, record),
            None => Ok(false),
        }
    }

    /// Notes that what is at a path isn't there any more; if that is in `doubt`, as the service says.
    fn gone_path(&mut self, batch: &mut Batch<'_>, path: &str, doubt: bool) -> Result<bool> {
        let Whereabouts::In(folder, name) = self.locate_path(batch, path, false)? else {
            return Ok(false);
        };
        let mut wrote = false;
        for kind in [ItemKind::File, ItemKind::Folder] {
            let Some((key, record)) = self.find(batch, folder, &name, kind)? else { continue };
            if !(doubt && self.stays(&key, &record)?) {
                wrote |= self.gone_row(batch, key, record)?;
            }
        }
        Ok(wrote)
    }

    /// Whether a row is to stay as it is: the service has its item, or it was known to be gone.
    fn stays(&self, key: &Key, record: &Record) -> Result<bool> {
        let path = self.observer.trees.snapshot()?.path(key)?;
        Ok(!record.is_on(Side::Remote) || self.remote.stat(Place::at(&path), key.kind())?.is_some())
    }

    /// Notes that an item isn't there any more that went just before we renamed a folder it was in.
    fn gone_before(&mut self, batch: &mut Batch<'_>, path: &str) -> Result<bool> {
        let mut renamed = renamed_there(&self.observer.trees.snapshot()?)?;
        let path = path.to_lowercase();
        let mut at = path.clone();
        for (from, to) in &renamed {
            let rest = at.strip_prefix(&from.to_lowercase());
            if let Some(rest) = rest.filter(|rest| rest.starts_with('/')) {
                at = format!("{}{rest}", to.to_lowercase());
            }
        }
        // Of the folder itself: what happens from then on is told by its new path.
        if renamed.extract_if(.., |(from, _)| from.to_lowercase() == path).count() > 0 {
            set_renamed_there(batch, &renamed)?;
            // What it held may be told on the same page, and needn't be asked for.
            batch.flush()?;
        }
        // Only the service can say whether it came with the folder.
        if at == path { Ok(false) } else { self.gone_path(batch, &at, true) }
    }

    /// Notes that a row's item isn't there any more, nor anything in it.
    fn gone_row(&mut self, batch: &mut Batch<'_>, key: Key, mut record: Record) -> Result<bool> {
        let was = record.is_on(Side::Remote);
        if record.node == 0 {
            if see_gone(&mut record, Side::Remote, &self.observer.names, self.observer.now) {
                batch.put(key, record)?;
            }
        } else if was {
            batch.flush()?;
            let mut look = self.observer.look(Side::Remote)?;
            look.gone(&key)?;
            look.batch.flush()?;
        }
        Ok(was)
    }

    /// Whether a folder is the one of this node, or in it.
    fn is_inside(&self, folder: u64, node: u64) -> Result<bool> {
        let snapshot = self.observer.trees.snapshot()?;
        let mut at = folder;
        while at != node {
            match snapshot.folder_key(at)? {
                Some(key) => at = key.folder,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn locate(&self, batch: &mut Batch<'_>, spot: &Spot) -> Result<Whereabouts> {
        match spot {
            Spot::Path(path) => self.locate_path(batch, path, true),
            Spot::Child { folder, name } if **folder == self.root => {
                Ok(Whereabouts::In(ROOT, name.clone()))
            }
            // What is in a folder that isn't there now is listed when that turns up.
            Spot::Child { folder, name } => Ok(match batch.of_id(folder)? {
                Some((_, row)) if row.node == 0 || !row.is_on(Side::Remote) => Whereabouts::Outside,
                Some((_, row)) if row.skip.is_some() => Whereabouts::Skipped,
                Some((_, row)) => Whereabouts::In(row.node, name.clone()),
                None => Whereabouts::Outside,
            }),
        }
    }

    /// Finds the folder that a path leads to; with `make`, one that wasn't told of yet is noted.
    fn locate_path(&self, batch: &mut Batch<'_>, path: &str, make: bool) -> Result<Whereabouts> {
        let (folders, name) = split_path(path);
        let mut folder = ROOT;
        for part in folders.split('/') {
            let found = match part {
                // There is nothing between two slashes, and nothing above the root.
                "" if folders.is_empty() => break,
                "" | "." | ".." | WORK_FOLDER => return Ok(Whereabouts::Skipped),
                part => self.find(batch, folder, part, ItemKind::Folder)?,
            };
            folder = match found {
                Some((_, row)) if row.skip.is_some() => return Ok(Whereabouts::Skipped),
                Some((_, row)) if !make || row.is_on(Side::Remote) => row.node,
                None if !make => return Ok(Whereabouts::Outside),
                found => {
                    let (key, mut row) = match found {
                        Some(found) => found,
                        None => {
                            let row = Record::new(batch.new_node()?);
                            (Key::new(folder, part, ItemKind::Folder), row)
                        }
                    };
                    let node = row.node;
                    let path = self.observer.trees.snapshot()?.path(&key)?;
                    let skip = self.observer.names.check(&path, ItemKind::Folder);
                    let skipped = skip.is_some();
                    row.see_remote(Some(RemotePrint::default()));
                    row.see_skip(skip, Side::Remote, self.observer.now);
                    batch.put(key, row)?;
                    batch.flush()?;
                    if skipped {
                        return Ok(Whereabouts::Skipped);
                    }
                    node
                }
            };
        }
        Ok(Whereabouts::In(folder, name.into()))
    }

    /// The row of an item by its name, in whatever case where that doesn't matter to the service.
    fn find(
        &self,
        batch: &Batch<'_>,
        folder: u64,
        name: &str,
        kind: ItemKind,
    ) -> Result<Option<(Key, Record)>> {
        let key = Key::new(folder, name, kind);
        let exact = batch.get(&key)?;
        let there = exact.as_ref().is_some_and(|row| row.is_on(Side::Remote));
        if !there && self.observer.names.folds_case() {
            let look = folded(name);
            for row in self.observer.trees.snapshot()?.children(folder)? {
                let (key, _) = row?;
                if key.kind() == kind
                    && folded(key.plain()) == look
                    && let Some(row) = batch.get(&key)?
                    && row.is_on(Side::Remote)
                {
                    return Ok(Some((key, row)));
                }
            }
        }
        Ok(exact.map(|row| (key, row)))
    }
}

/// Folders that we renamed on the service, of which it may still tell by their old paths: from
/// where, to where, in the order in which it happened.
fn renamed_there(snapshot: &Snapshot) -> Result<Vec<(String, String)>> {
    let known = snapshot.fact(RENAMED_THERE)?;
    known.map_or(Ok(Vec::new()), |known| decode(RENAMED_FORMAT, &known))
}

fn set_renamed_there(batch: &mut Batch<'_>, renamed: &[(String, String)]) -> Result<()> {
    let row = (!renamed.is_empty()).then(|| encode(RENAMED_FORMAT, &renamed)).transpose()?;
    batch.set_fact(RENAMED_THERE, row);
    Ok(())
}

/// Notes that we renamed a folder on a service whose feed tells of it by its path.
pub(crate) fn note_renamed_there(
    batch: &mut Batch<'_>,
    snapshot: &Snapshot,
    from: String,
    to: String,
) -> Result<()> {
    let mut renamed = renamed_there(snapshot)?;
    if renamed.len() == MOST_RENAMED {
        renamed.remove(0);
    }
    renamed.push((from, to));
    set_renamed_there(batch, &renamed)
}

/// What the service calls the item that a change is of, where that is told.
fn id_of(change: &Change) -> Option<&str> {
    match change {
        Change::There { entry, .. } => Some(&entry.print.id),
        Change::GoneId(id) => Some(id),
        Change::GonePath(_) => None,
    }
}

fn root_lost() -> Error {
    Error::new(Kind::RootLost, "the remote folder", "it isn't there any more")
        .remedy("bring it back, or correct the task's remote folder")
}
