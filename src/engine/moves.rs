//! What was renamed or moved on the disk is renamed or moved on the service, not sent again.

use super::{Engine, Report, now};
use crate::error::{Reaction, Result};
use crate::execute::{Done, Job, Outcome, Work, with_pool};
use crate::model::{ItemKind, Side, Version};
use crate::observe::Renamed;
use crate::remote::Moves;
use crate::store::{Batch, Event, Facet, Key, Record, Snapshot, Synced};

impl Engine {
    /// Renames folders on the service that were renamed on the disk, with everything in them;
    /// where that can't be, they count as removed and made anew.
    pub(super) fn rename_folders(
        &mut self,
        mut renamed: Vec<Renamed>,
        report: &mut Report,
    ) -> Result<()> {
        while let Some(rename) = renamed.pop() {
            self.cancel.check()?;
            let moved = match self.rename_folder(&rename) {
                Ok(moved) => moved,
                Err(error) => match error.kind().reaction() {
                    Reaction::Wait | Reaction::Ask | Reaction::Stop => return Err(error),
                    _ => false,
                },
            };
            if moved {
                report.moved += 1;
                renamed.extend(self.observer().local_renamed(self.disk(), &rename.to)?);
            } else {
                self.observer().local_remade(self.disk(), &rename)?;
            }
        }
        Ok(())
    }

    fn rename_folder(&mut self, rename: &Renamed) -> Result<bool> {
        let Some((from, to)) = self.tree_move(rename)? else { return Ok(false) };
        let Some(up) = self.ways.up() else { return Ok(false) };
        let mut batch = self.trees.batch()?;
        if !self.ensure_remote_folder(&mut batch, rename.to.folder)? {
            return Ok(false);
        }
        up.remote.rename(&from, &to, ItemKind::Folder, &Version::default())?;
        batch.rename_folder(&rename.from, rename.to.clone())?;
        if let Some(mut record) = batch.get(&rename.to)? {
            record.see_local(Some(rename.print));
            batch.put(rename.to.clone(), record)?;
        }
        batch.event(moved(&from, &to))?;
        batch.commit()?;
        Ok(true)
    }

    /// The paths of a folder's rename that the service can follow; `None` when it can't.
    pub(super) fn tree_move(&self, rename: &Renamed) -> Result<Option<(String, String)>> {
        if self.ways.up().is_none()
            || self.descriptor.moves != Moves::Trees
            || self.task.keep_removed
        {
            return Ok(None);
        }
        let snapshot = self.trees.snapshot()?;
        let Some(record) = snapshot.get(&rename.from)? else { return Ok(None) };
        let there = record.is_on(Side::Remote);
        let name = rename.to.plain();
        let to = snapshot.path(&rename.to)?;
        let skipped = self.names.check(&to, ItemKind::Folder, 0).is_some();
        let taken = snapshot.get(&rename.to)?.is_some() || taken(&snapshot, &rename.to.twin())?;
        if !there || skipped || taken || name.is_empty() {
            return Ok(None);
        }
        Ok(Some((snapshot.path(&rename.from)?, to)))
    }

    /// Moves files on the service that were moved on the disk: gone from one place, and there in
    /// another with the same inode, size and time.
    pub(super) fn move_files(&mut self, report: &mut Report) -> Result<()> {
        if self.ways.up().is_none() || self.task.keep_removed || !self.note_departures()? {
            return Ok(());
        }
        self.progress.phase("planning");
        let snapshot = self.trees.snapshot()?;
        let mut batch = self.trees.batch()?;
        let mut kept = None;
        with_pool(&self.context(), self.transfers, |pool| {
            for key in snapshot.dirty(None)? {
                let key = key?;
                let Some((from, record)) = moved_from(&snapshot, &key)? else { continue };
                let path = snapshot.path(&key)?;
                if !self.ensure_remote_folder(&mut batch, key.folder)? {
                    continue;
                }
                if kept != Some(from.folder) {
                    kept = Some(from.folder);
                    self.keep_remote_folder(&snapshot, from.folder)?;
                }
                let job = Job {
                    path: snapshot.path(&from)?,
                    local: snapshot.get(&key)?.and_then(|new| new.local_print().copied()),
                    remote: record.remote_print().cloned(),
                    content: record.synced.as_ref().and_then(|synced| synced.content),
                    work: Work::Move(key, path),
                    key: from,
                };
                if let Some(outcome) = pool.submit(job)? {
                    self.take_move(&mut batch, outcome, report)?;
                }
            }
            while let Some(outcome) = pool.wait()? {
                self.take_move(&mut batch, outcome, report)?;
            }
            batch.commit()
        })
    }

    fn take_move(
        &self,
        batch: &mut Batch<'_>,
        outcome: Outcome,
        report: &mut Report,
    ) -> Result<()> {
        match outcome.result {
            Ok(Done::Moved { to, path, entry }) => {
                let old = batch.get(&outcome.key)?;
                let new = batch.get(&to)?;
                if let (Some(old), Some(mut new)) = (old, new)
                    && let (Some(synced), Some(local)) = (old.synced, new.local_print().copied())
                {
                    new.agree(Synced { local, remote: entry.print, content: synced.content });
                    let folder = to.folder;
                    batch.put(to, new)?;
                    batch.put(outcome.key, Record::new(0))?;
                    if self.descriptor.folders_implied {
                        self.folders_appeared(batch, folder)?;
                    }
                }
                report.moved += 1;
                batch.event(moved(&outcome.path, &path))
            }
            Ok(_) => Ok(()),
            Err(error) => match error.kind().reaction() {
                Reaction::Wait if self.is_reachable() => Ok(()),
                Reaction::Wait | Reaction::Ask | Reaction::Stop => {
                    // What was moved until now is known.
                    batch.flush()?;
                    Err(error)
                }
                // Not possible: the file is sent to its new place and removed from the old one.
                _ => {
                    tracing::debug!(path = outcome.path, reason = error.reason(), "not moved");
                    batch.flush()?;
                    self.refresh(&outcome.key)
                }
            },
        }
    }

    /// Notes the files that are gone from the disk but not from the service, by their inode.
    /// Tells whether there are any.
    pub(super) fn note_departures(&self) -> Result<bool> {
        let snapshot = self.trees.snapshot()?;
        let mut found = false;
        let departures = snapshot.dirty(None)?.filter_map(|key| {
            let departure = key.and_then(|key| {
                let record = snapshot.get(&key)?;
                Ok(record.and_then(|record| Some((departed_inode(&record)?, key))))
            });
            found |= matches!(departure, Ok(Some(_)));
            departure.transpose()
        });
        let mut departures = departures.peekable();
        if departures.peek().is_none() {
            return Ok(false);
        }
        self.trees.batch()?.depart(departures)?;
        Ok(found)
    }
}

pub(super) fn departed_inode(record: &Record) -> Option<u64> {
    let gone = record.node == 0
        && record.local == Facet::Gone
        && record.remote == Facet::AsSynced
        && record.skip.is_none();
    record.synced.as_ref().filter(|_| gone).map(|synced| synced.local.inode)
}

/// Where a file that is new on the disk was before, if it was moved there.
pub(super) fn moved_from(snapshot: &Snapshot, key: &Key) -> Result<Option<(Key, Record)>> {
    if key.kind() == ItemKind::Folder {
        return Ok(None);
    }
    let Some(record) = snapshot.get(key)? else { return Ok(None) };
    let new = record.synced.is_none() && !record.is_on(Side::Remote) && record.skip.is_none();
    let Some(print) = record.local_print().filter(|_| new) else { return Ok(None) };
    let Some(from) = snapshot.departed(print.inode)? else { return Ok(None) };
    let Some(old) = snapshot.get(&from)? else { return Ok(None) };
    let same = departed_inode(&old) == Some(print.inode)
        && old.synced.as_ref().is_some_and(|synced| {
            synced.local.size == print.size && synced.local.mtime == print.mtime
        });
    if !same || taken(snapshot, &key.twin())? {
        return Ok(None);
    }
    Ok(Some((from, old)))
}

fn taken(snapshot: &Snapshot, key: &Key) -> Result<bool> {
    Ok(snapshot.get(key)?.is_some_and(|record| record.is_on(Side::Remote)))
}

fn moved(from: &str, to: &str) -> Event {
    Event {
        time: now(),
        action: "moved".into(),
        path: from.into(),
        bytes: 0,
        detail: format!("to {to}"),
    }
}
