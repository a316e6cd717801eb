//! Folders: made before what goes into them, kept when the last thing leaves them.

use super::Engine;
use crate::error::Result;
use crate::model::{RemotePrint, Side};
use crate::observe::CURSOR;
use crate::remote::Place;
use crate::store::{Batch, Key, Record, Snapshot, Synced};

impl Engine {
    /// Makes sure that a folder is on the service, and those it is in. Tells whether it is:
    /// not if a file has the name of one of them, nor if one failed already: what is in it waits
    /// for that one to be tried again.
    pub(super) fn ensure_remote_folder(&self, batch: &mut Batch<'_>, node: u64) -> Result<bool> {
        let Some((key, mut record)) = self.folder(batch, node)? else { return Ok(true) };
        if record.is_on(Side::Remote) {
            return Ok(true);
        }
        if is_on(batch, &key.twin(), Side::Remote)?
            || !self.ensure_remote_folder(batch, key.folder)?
        {
            return Ok(false);
        }
        // A folder that comes into being with what is put in it needs no making.
        if self.descriptor.folders_implied {
            return Ok(true);
        }
        let Some(up) = self.ways.up() else { return Ok(false) };
        if batch.problem(&key)?.is_some_and(|problem| problem.is_of_step()) {
            return Ok(false);
        }
        let path = self.trees.snapshot()?.path(&key)?;
        let folder = self.folder_id(batch, key.folder)?;
        let made = up.remote.make_folder(Place { path: &path, id: "", folder: &folder })?;
        // It was moved to this name just now, and what is in it came with it, which most feeds don't
        // tell.
        let id = made.entry.print.id;
        let is_unknown = || !made.is_new && self.remote.feed().is_some_and(|it| !it.tells_all());
        if batch.of_id(&id)?.is_some_and(|(known, _)| known != key) || is_unknown() {
            batch.set_fact(CURSOR, None);
        }
        record.see_remote(Some(RemotePrint::folder(id)));
        settle_folder(&mut record);
        batch.put(key, record)?;
        Ok(true)
    }

    /// Makes sure that a folder is on the disk, and those it is in. Tells whether it is, likewise.
    pub(super) fn ensure_local_folder(&self, batch: &mut Batch<'_>, node: u64) -> Result<bool> {
        let Some((key, mut record)) = self.folder(batch, node)? else { return Ok(true) };
        if record.is_on(Side::Local) {
            return Ok(true);
        }
        if is_on(batch, &key.twin(), Side::Local)?
            || !self.ensure_local_folder(batch, key.folder)?
        {
            return Ok(false);
        }
        let Some(down) = self.ways.down() else { return Ok(false) };
        if batch.problem(&key)?.is_some_and(|problem| problem.is_of_step()) {
            return Ok(false);
        }
        let print = down.writer.make_folder(&self.trees.snapshot()?.path(&key)?)?;
        record.see_local(Some(print));
        settle_folder(&mut record);
        batch.put(key, record)?;
        Ok(true)
    }

    /// Of the folders that an item is in and that a side hasn't got, the outermost; the item itself
    /// when there is none.
    pub(super) fn first_missing(&self, batch: &Batch<'_>, key: &Key, side: Side) -> Result<Key> {
        let (mut first, mut node) = (key.clone(), key.folder);
        if side == Side::Remote && self.descriptor.folders_implied {
            return Ok(first);
        }
        while let Some((key, record)) = self.folder(batch, node)? {
            if record.is_on(side) {
                break;
            }
            node = key.folder;
            first = key;
        }
        Ok(first)
    }

    /// Something was put into a folder of the service: it and those it is in are there now.
    pub(super) fn folders_appeared(&self, batch: &mut Batch<'_>, node: u64) -> Result<()> {
        let mut node = node;
        while let Some((key, mut record)) = self.folder(batch, node)? {
            if record.is_on(Side::Remote) {
                break;
            }
            record.see_remote(Some(RemotePrint::default()));
            settle_folder(&mut record);
            node = key.folder;
            batch.put(key, record)?;
        }
        Ok(())
    }

    /// Whether the service has a folder and all those it is in.
    pub(super) fn is_way_there(&self, batch: &Batch<'_>, node: u64) -> Result<bool> {
        let mut node = node;
        while let Some((key, record)) = self.folder(batch, node)? {
            if !record.is_on(Side::Remote) {
                return Ok(false);
            }
            node = key.folder;
        }
        Ok(true)
    }

    /// What the service calls a folder; empty for the root, and where it has no such name.
    pub(super) fn folder_id(&self, batch: &Batch<'_>, node: u64) -> Result<Box<str>> {
        let folder = self.folder(batch, node)?;
        Ok(folder.map_or_else(Box::default, |(_, record)| record.remote_id().into()))
    }

    /// A folder's row by its node; `None` for the root.
    fn folder(&self, batch: &Batch<'_>, node: u64) -> Result<Option<(Key, Record)>> {
        match self.trees.snapshot()?.folder_key(node)? {
            Some(key) => Ok(batch.get(&key)?.map(|record| (key, record))),
            None => Ok(None),
        }
    }

    /// On a service where a folder is there only because something is in it: marks the folder
    /// before the last thing leaves it, if the folder stays.
    pub(super) fn keep_remote_folder(&self, snapshot: &Snapshot, folder: u64) -> Result<()> {
        if !self.descriptor.folders_implied {
            return Ok(());
        }
        let Some(key) = snapshot.folder_key(folder)? else { return Ok(()) };
        let Some(mut record) = snapshot.get(&key)? else { return Ok(()) };
        let kept = snapshot
            .any_child(folder, |_, record| record.is_on(Side::Remote) && !is_leaving(record))?;
        if kept || !record.is_on(Side::Local) || self.mark_remote_folder(&snapshot.path(&key)?)? {
            return Ok(());
        }
        record.forget_agreement();
        record.see_remote(None);
        let mut batch = self.trees.batch()?;
        batch.put(key, record)?;
        batch.flush()
    }

    /// Makes a folder on a service where it is there only because something is in it. Tells
    /// whether the service keeps it.
    pub(super) fn mark_remote_folder(&self, path: &str) -> Result<bool> {
        let Some(up) = self.ways.up() else { return Ok(false) };
        up.remote.make_folder(Place::at(path))?;
        Ok(up.remote.keeps_folders())
    }
}

/// Agrees on a folder that both sides have.
pub(super) fn settle_folder(record: &mut Record) {
    if let (Some(local), Some(remote)) = (record.local_print(), record.remote_print()) {
        let synced = Synced { local: *local, remote: remote.clone(), content: None };
        record.agree(synced);
    }
}

fn is_on(batch: &Batch<'_>, key: &Key, side: Side) -> Result<bool> {
    Ok(batch.get(key)?.is_some_and(|record| record.is_on(side)))
}

/// Whether a row's item is about to be removed from the service.
fn is_leaving(record: &Record) -> bool {
    record.skip.is_none() && record.is_on(Side::Remote) && !record.is_on(Side::Local)
}
