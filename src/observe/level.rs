//! One folder's sightings merged with its rows.

use super::{Look, Sighting, see_gone};
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, RemotePrint, Side, Version};
use crate::rules::SkipReason;
use crate::store::{Children, Facet, Key, Record};
use std::cmp::Ordering;
use std::iter::Peekable;

/// A folder being looked at. Its sightings come in the order of names (a folder's ends in `/`).
pub(super) struct Level {
    folder: u64,
    rows: Peekable<Children>,
    /// The name met last.
    last: String,
    /// A folder that didn't exist in the state has no rows, but its node is known already.
    version: Option<(Key, Version)>,
}

/// What to do about a folder that was met.
pub(super) struct Descent {
    pub node: u64,
    /// What the service calls it.
    pub id: Box<str>,
    /// Whether the state didn't know it on this side.
    pub new: bool,
    /// To be noted once everything in the folder has been told: only then it stands for it.
    pub version: Option<(Key, Version)>,
}

impl Level {
    pub fn open(look: &Look<'_>, folder: u64, version: Option<(Key, Version)>) -> Result<Self> {
        Ok(Level {
            folder,
            rows: look.snapshot.children(folder)?.peekable(),
            last: String::new(),
            version,
        })
    }

    /// The folder's node.
    pub fn folder(&self) -> u64 {
        self.folder
    }

    /// Not everything below could be told.
    pub fn forget_version(&mut self) {
        self.version = None;
    }

    /// Takes in the next sighting. Tells where to go on if it is a folder worth looking into.
    pub fn meet(
        &mut self,
        look: &mut Look<'_>,
        name: String,
        sighting: Sighting,
        skip: Option<SkipReason>,
    ) -> Result<Option<Descent>> {
        match name.cmp(&self.last) {
            Ordering::Greater => name.clone_into(&mut self.last),
            // Told twice.
            Ordering::Equal => return Ok(None),
            Ordering::Less => {
                return Err(Error::new(Kind::Protocol, format!("listing {name}"), "out of order"));
            }
        }
        let key = Key { folder: self.folder, name };
        let known = self.advance(look, &key)?;
        met(look, key, known, sighting, skip)
    }

    /// Takes in an item that shares its name with another and goes by one of its own, after all
    /// others.
    pub fn meet_namesake(
        &mut self,
        look: &mut Look<'_>,
        name: &str,
        sighting: Sighting,
        skip: Option<SkipReason>,
    ) -> Result<Option<Descent>> {
        self.finish_rows(look)?;
        let key = Key { folder: self.folder, name: name.into() };
        let known = look.batch.get(&key)?;
        // It may have been passed by a moment ago.
        let folder = known.as_ref().filter(|known| known.node != 0);
        if let Some(folder) = folder
            && let Some(at) = look.found.missing.iter().rposition(|node| *node == folder.node)
        {
            look.found.missing.remove(at);
        }
        met(look, key, known, sighting, skip)
    }

    /// Everything in the folder has been told: what has not been met isn't there.
    pub fn finish(mut self, look: &mut Look<'_>) -> Result<()> {
        self.finish_rows(look)?;
        if let Some((key, version)) = self.version.take()
            && let Some(mut record) = look.batch.get(&key)?
        {
            let print = record.remote_print().cloned().unwrap_or_default();
            if record.see_remote(Some(RemotePrint { version, ..print })) {
                look.batch.put(key, record)?;
            }
        }
        Ok(())
    }

    fn finish_rows(&mut self, look: &mut Look<'_>) -> Result<()> {
        for row in self.rows.by_ref() {
            let (key, record) = row?;
            miss(look, &key, record)?;
        }
        Ok(())
    }

    /// Goes on to just after the row of this name, as the rows up to it are as they were.
    pub fn go_to(&mut self, look: &Look<'_>, name: &str) -> Result<()> {
        let key = Key { folder: self.folder, name: name.into() };
        self.rows = look.snapshot.children_after(&key)?.peekable();
        self.last = key.name;
        Ok(())
    }

    /// Goes on to the row of `key`; the rows before it weren't met.
    fn advance(&mut self, look: &mut Look<'_>, key: &Key) -> Result<Option<Record>> {
        loop {
            match self.rows.peek() {
                Some(Ok((at, _))) if at.name > key.name => return Ok(None),
                None => return Ok(None),
                Some(_) => {}
            }
            let Some(row) = self.rows.next() else { return Ok(None) };
            let (at, record) = row?;
            if at.name == key.name {
                return Ok(Some(record));
            }
            miss(look, &at, record)?;
        }
    }
}

/// Takes in a sighting of the item of this row.
fn met(
    look: &mut Look<'_>,
    key: Key,
    known: Option<Record>,
    sighting: Sighting,
    skip: Option<SkipReason>,
) -> Result<Option<Descent>> {
    let kind = key.kind();
    look.cancel.check()?;
    if kind == ItemKind::File {
        look.progress.saw();
    }
    if known.is_none()
        && skip.is_none()
        && kind == ItemKind::Folder
        && look.follow(&key, &sighting)?
    {
        return Ok(None);
    }
    let (mut record, mut news) = match known {
        Some(record) => (record, false),
        None if kind == ItemKind::File => (Record::new(0), true),
        None => (Record::new(look.batch.new_node()?), true),
    };
    let another = match (&sighting, record.local_print()) {
        (Sighting::Local(print), Some(known)) => known.inode != print.inode,
        _ => false,
    };
    let new = !record.is_on(look.side) || another;
    let mut id = Box::default();
    let (seen, version) = match sighting {
        Sighting::Local(print) => (record.see_local(Some(print)), None),
        Sighting::Remote(print) => {
            let version = subtree_version(&record, &print);
            if version == SubtreeVersion::Same {
                return Ok(None);
            }
            id = print.id.clone();
            if new {
                look.leave_old_place(&key, &id)?;
            }
            let kept = keep_version(&record, print, kind);
            let told = match version {
                SubtreeVersion::New(version) => Some((key.clone(), version)),
                _ => None,
            };
            (record.see_remote(Some(kept)), told)
        }
    };
    news |= seen;
    let skip = skip.or_else(|| look.names.check_size(record.most_bytes()));
    let synced_folder = record.skip.is_none() && record.node != 0;
    if record.see_skip(skip, look.side, look.now) {
        if synced_folder {
            look.forget_below(record.node)?;
        }
        look.reveal(&key, &mut record)?;
        news = true;
    }
    let descent = (kind == ItemKind::Folder && record.skip.is_none()).then_some(Descent {
        node: record.node,
        id,
        new,
        version,
    });
    if news {
        look.batch.put(key, record)?;
    }
    Ok(descent)
}

fn miss(look: &mut Look<'_>, key: &Key, mut record: Record) -> Result<()> {
    if !record.is_on(look.side) {
        return Ok(());
    }
    match (key.kind(), look.side) {
        (ItemKind::Folder, side)
            if record.skip.is_none() && (side == Side::Local || !record.remote_id().is_empty()) =>
        {
            look.found.missing.push(record.node);
            Ok(())
        }
        (ItemKind::Folder, _) => look.gone(key),
        (ItemKind::File, side) => {
            let news = see_gone(&mut record, side, look.names, look.now);
            if news { look.batch.put(key.clone(), record) } else { Ok(()) }
        }
    }
}

#[derive(PartialEq)]
enum SubtreeVersion {
    /// The service doesn't tell one.
    None,
    /// Nothing below changed since it was all told.
    Same,
    New(Version),
}

fn subtree_version(record: &Record, print: &RemotePrint) -> SubtreeVersion {
    if record.node == 0 || print.version.is_empty() {
        SubtreeVersion::None
    } else if record.skip.is_none()
        && record.remote != Facet::Gone
        && record.remote_print().is_some_and(|known| known.version == print.version)
    {
        SubtreeVersion::Same
    } else {
        SubtreeVersion::New(print.version.clone())
    }
}

/// A folder keeps its old version until everything in it has been told.
fn keep_version(record: &Record, print: RemotePrint, kind: ItemKind) -> RemotePrint {
    match kind {
        ItemKind::File => print,
        ItemKind::Folder => {
            let version = record.remote_print().map(|known| known.version.clone());
            RemotePrint { version: version.unwrap_or_default(), ..print }
        }
    }
}
