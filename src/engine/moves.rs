//! What was renamed or moved on one side is renamed or moved on the other, not transferred again.

use super::preview::move_intent;
use super::{Engine, Intent, Report};
use crate::error::{Error, Kind, Reaction, Result};
use crate::execute::{Done, Job, Outcome, Target, Work, with_pool};
use crate::local::Found;
use crate::model::{ItemKind, LocalPrint, RemotePrint, Side, Version};
use crate::observe::{RenamedHere, RenamedThere, note_renamed_there};
use crate::remote::{Moves, Place};
use crate::store::{Batch, Event, Facet, Key, Record, Snapshot, Synced};

impl Engine {
    /// Renames folders on the service that were renamed on the disk, with everything in them;
    /// where that can't be, they count as removed and made anew.
    pub(super) fn rename_folders(
        &mut self,
        mut renamed: Vec<RenamedHere>,
        report: &mut Report,
    ) -> Result<()> {
        while let Some(rename) = renamed.pop() {
            self.cancel.check()?;
            let moved = match self.rename_folder(&rename) {
                Ok(moved) => moved,
                // More than the service moves at once, but perhaps not what is in it.
                Err(error) if error.kind() == Kind::TooLarge => {
                    renamed.extend(self.observer().local_split(self.disk(), &rename)?);
                    continue;
                }
                Err(error) if error.kind().reaction().ends_cycle() => return Err(error),
                Err(_) => false,
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

    fn rename_folder(&mut self, rename: &RenamedHere) -> Result<bool> {
        let Some((from, to)) = self.tree_move(rename)? else { return Ok(false) };
        let Some(up) = self.ways.up() else { return Ok(false) };
        let mut batch = self.trees.batch()?;
        if !self.ensure_remote_folder(&mut batch, rename.to.folder)? {
            return Ok(false);
        }
        let known = batch.get(&rename.from)?;
        let old_folder = self.folder_id(&batch, rename.from.folder)?;
        let new_folder = self.folder_id(&batch, rename.to.folder)?;
        let id = known.as_ref().map_or("", Record::remote_id);
        let old = Place { path: &from, id, folder: &old_folder };
        let new = Place { path: &to, id: "", folder: &new_folder };
        up.remote.rename(old, new, ItemKind::Folder, &Version::default())?;
        batch.rename_folder(&rename.from, rename.to.clone())?;
        if let Some(mut record) = batch.get(&rename.to)? {
            record.see_local(Some(rename.print));
            batch.put(rename.to.clone(), record)?;
        }
        batch.event(self.moved_event(&from, &to))?;
        if self.remote.feed().is_some_and(|feed| feed.tells_all()) {
            note_renamed_there(&mut batch, &self.trees.snapshot()?, from, to)?;
        }
        batch.commit()?;
        Ok(true)
    }

    /// The paths of a folder's rename that the service can follow; `None` when it can't.
    pub(super) fn tree_move(&self, rename: &RenamedHere) -> Result<Option<(String, String)>> {
        if !self.is_open(Way::Up) || self.descriptor.moves != Moves::Trees {
            return Ok(None);
        }
        let snapshot = self.trees.snapshot()?;
        let Some(record) = snapshot.get(&rename.from)? else { return Ok(None) };
        let there = record.is_on(Side::Remote);
        let name = rename.to.plain();
        let to = snapshot.path(&rename.to)?;
        let skipped = self.names.check(&to, ItemKind::Folder).is_some();
        let taken = snapshot.get(&rename.to)?.is_some() || taken(&snapshot, &rename.to.twin())?;
        if !there || skipped || taken || name.is_empty() {
            return Ok(None);
        }
        Ok(Some((snapshot.path(&rename.from)?, to)))
    }

    /// Renames a folder on the disk that was renamed on the service, with everything in it, and puts
    /// its row under the new name. Tells whether it could; otherwise it counts as removed and new.
    pub(super) fn follow_folder(&self, rename: &RenamedThere, report: &mut Report) -> Result<bool> {
        let Some((from, to, print)) = self.tree_follow(rename)? else { return Ok(false) };
        let Some(down) = self.ways.down() else { return Ok(false) };
        let mut batch = self.trees.batch()?;
        let renamed = match self.ensure_local_folder(&mut batch, rename.to.folder) {
            Ok(false) => return Ok(false),
            Ok(true) => down.writer.rename(&from, &to, ItemKind::Folder, &print),
            Err(error) => Err(error),
        };
        let moved = match renamed {
            Ok(moved) => moved,
            Err(error) if error.kind().reaction().ends_cycle() => return Err(error),
            Err(_) => match self.renamed_before(&to, &print)? {
                Some(moved) => moved,
                None => {
                    // The folders that were made for it are there all the same.
                    batch.flush()?;
                    return Ok(false);
                }
            },
        };
        self.rename_row(&mut batch, rename, moved)?;
        report.moved += 1;
        batch.event(self.moved_event(&from, &to))?;
        batch.commit()?;
        self.followed.borrow_mut().push((from, to));
        Ok(true)
    }

    /// Does in the state what [`Engine::follow_folder`] would do on the disk, too.
    pub(super) fn foresee_folder(
        &self,
        rename: &RenamedThere,
        each: &mut dyn FnMut(Intent) -> Result<()>,
    ) -> Result<bool> {
        let Some((from, to, print)) = self.tree_follow(rename)? else { return Ok(false) };
        let mut batch = self.trees.batch()?;
        self.rename_row(&mut batch, rename, print)?;
        batch.flush()?;
        each(move_intent(&from, &to))?;
        Ok(true)
    }

    /// The state of a folder at `to` if it is the one of `print`: a crash came between its rename
    /// and the note of it.
    fn renamed_before(&self, to: &str, print: &LocalPrint) -> Result<Option<LocalPrint>> {
        match self.disk().stat(to) {
            Ok(Some(Found::Folder(there))) if there.inode == print.inode => Ok(Some(there)),
            Err(error) if error.kind().reaction().ends_cycle() => Err(error),
            _ => Ok(None),
        }
    }

    fn rename_row(
        &self,
        batch: &mut Batch<'_>,
        rename: &RenamedThere,
        print: LocalPrint,
    ) -> Result<()> {
        batch.rename_folder(&rename.from, rename.to.clone())?;
        if let Some(mut record) = batch.get(&rename.to)? {
            record.see_local(Some(print));
            record.see_remote(Some(rename.print.clone()));
            batch.put(rename.to.clone(), record)?;
        }
        Ok(())
    }

    /// The paths of a folder's rename that the disk can follow, and the folder's state there; `None`
    /// when it can't.
    fn tree_follow(&self, rename: &RenamedThere) -> Result<Option<(String, String, LocalPrint)>> {
        if !self.is_open(Way::Down) {
            return Ok(None);
        }
        let snapshot = self.trees.snapshot()?;
        let Some(record) = snapshot.get(&rename.from)? else { return Ok(None) };
        let Some(to) = snapshot.known_path(&rename.to)? else { return Ok(None) };
        let skipped = self.names.check(&to, ItemKind::Folder).is_some();
        let twin = snapshot.get(&rename.to.twin())?;
        let taken =
            snapshot.get(&rename.to)?.is_some() || twin.is_some_and(|twin| twin.is_on(Side::Local));
        // Another folder may have its old name by now, and have taken over the row.
        let replaced = record.remote_id() != &*rename.print.id;
        match record.local_print() {
            Some(print) if !(replaced || skipped || taken) => {
                Ok(Some((snapshot.path(&rename.from)?, to, *print)))
            }
            _ => Ok(None),
        }
    }

    /// Moves files on either side that were moved on the other: on the disk, gone from one place
    /// and there in another with the same inode, size and time; on the service, with the same id.
    pub(super) fn move_files(&mut self, report: &mut Report) -> Result<()> {
        for way in [Way::Up, Way::Down] {
            if self.is_open(way) && self.note_departures(way)? {
                self.move_files_one_way(way, report)?;
            }
        }
        Ok(())
    }

    /// Whether a side may follow the other's moves: what is kept when it is removed isn't moved.
    pub(super) fn is_open(&self, way: Way) -> bool {
        let open = match way {
            Way::Up => self.ways.up().is_some(),
            Way::Down => self.ways.down().is_some(),
        };
        open && !self.task.keep_removed
    }

    fn move_files_one_way(&self, way: Way, report: &mut Report) -> Result<()> {
        self.progress.phase("planning");
        let snapshot = self.trees.snapshot()?;
        let mut batch = self.trees.batch()?;
        let mut kept = None;
        with_pool(&self.context(), &self.workers, |pool| {
            for key in snapshot.dirty(None)? {
                let key = key?;
                let Some((from, record)) = moved_from(&snapshot, &key, way)? else { continue };
                let mut ready = match way {
                    Way::Up => self.ensure_remote_folder(&mut batch, key.folder),
                    Way::Down => self.ensure_local_folder(&mut batch, key.folder),
                };
                if way == Way::Up && kept != Some(from.folder) {
                    kept = Some(from.folder);
                    let stays = self.keep_remote_folder(&snapshot, from.folder);
                    ready = ready.and_then(|ready| stays.map(|()| ready));
                }
                match ready {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) if error.kind().reaction().ends_cycle() => return Err(error),
                    // Sending what isn't moved will tell.
                    Err(_) => continue,
                }
                let target = Target {
                    path: snapshot.path(&key)?,
                    folder_id: self.folder_id(&batch, key.folder)?,
                    key: key.clone(),
                };
                let local = match way {
                    Way::Up => snapshot.get(&key)?.and_then(|new| new.local_print().copied()),
                    Way::Down => record.local_print().copied(),
                };
                let job = Job {
                    path: snapshot.path(&from)?,
                    folder_id: self.folder_id(&batch, from.folder)?,
                    local,
                    remote: record.remote_print().cloned(),
                    content: record.synced.as_ref().and_then(|synced| synced.content),
                    work: match way {
                        Way::Up => Work::MoveUp(target),
                        Way::Down => Work::MoveDown(target),
                    },
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
        let to = match outcome.result {
            Ok(Done::MovedUp(to, entry)) => {
                self.settle_move(batch, &outcome.key, &to.key, |old, new| {
                    let local = new.local_print().copied()?;
                    Some(Synced { local, remote: entry.print, content: old.content })
                })?;
                if self.descriptor.folders_implied {
                    self.folders_appeared(batch, to.key.folder)?;
                }
                to
            }
            Ok(Done::MovedDown(to, local)) => {
                self.settle_move(batch, &outcome.key, &to.key, |old, new| {
                    let id = new.remote_id().into();
                    let remote = RemotePrint { id, ..old.remote };
                    Some(Synced { local, remote, content: old.content })
                })?;
                to
            }
            Ok(_) => return Ok(()),
            Err(error) => {
                // What was moved until now is known.
                batch.flush()?;
                let refreshed = if error.kind().reaction().ends_cycle() {
                    Err(error)
                } else {
                    // Not possible: the file is transferred to its new place and removed from the
                    // old one.
                    tracing::debug!(path = outcome.path, reason = error.reason(), "not moved");
                    self.refresh(&outcome.key)
                };
                return match refreshed {
                    Err(error) if self.stops_all(&error) => Err(error),
                    // One file's trouble, which its own step will tell.
                    _ => Ok(()),
                };
            }
        };
        report.moved += 1;
        batch.event(self.moved_event(&outcome.path, &to.path))
    }

    /// Whether nothing else can be done after an error that a file met.
    fn stops_all(&self, error: &Error) -> bool {
        match error.kind().reaction() {
            Reaction::Wait => !self.is_reachable(),
            reaction => reaction.ends_cycle(),
        }
    }

    /// Puts the agreement on a moved file under its new place, with its blocks. What changed besides is
    /// news still.
    fn settle_move(
        &self,
        batch: &mut Batch<'_>,
        from: &Key,
        to: &Key,
        agreement: impl FnOnce(Synced, &Record) -> Option<Synced>,
    ) -> Result<()> {
        let (Some(old), Some(mut new)) = (batch.get(from)?, batch.get(to)?) else { return Ok(()) };
        let remote = new.remote_print().cloned();
        let Some(old) = old.synced else { return Ok(()) };
        let agreed = old.remote.version.clone();
        let Some(synced) = agreement(old, &new) else { return Ok(()) };
        // Blocks that can't be read cost sending the file as a whole, should it change.
        let known = self.trees.snapshot()?.blocks(from).ok().flatten();
        let blocks = known.filter(|(version, _)| *version == agreed).map(|(_, blocks)| blocks);
        let version = synced.remote.version.clone();
        batch.put(from.clone(), Record::new(0))?;
        new.agree(synced);
        if let Some(remote) = remote {
            new.see_remote(Some(remote));
        }
        batch.put(to.clone(), new)?;
        blocks.map_or(Ok(()), |blocks| batch.set_blocks(to.clone(), &version, &blocks))
    }

    /// Notes the files that are gone from one side but not from the other, by what they are known
    /// again by. Tells whether there are any, and others that they may have become. Else nothing is
    /// noted, nor what is noted already: removals may wait for a person's word in cycle after cycle.
    pub(super) fn note_departures(&self, way: Way) -> Result<bool> {
        let snapshot = self.trees.snapshot()?;
        let (mut any, mut noted, mut arrivals) = (false, true, false);
        for key in snapshot.dirty(None)? {
            let key = key?;
            let Some(record) = snapshot.get(&key)? else { continue };
            arrivals |= arrived(&record, way);
            if departed(&record, way) {
                any = true;
                noted = noted && noted_departure(&snapshot, &record, way)? == Some(key);
            }
        }
        if !any || !arrivals {
            return Ok(false);
        }
        if !noted {
            let departures = snapshot.dirty(None)?.filter_map(|key| {
                let departure = key.and_then(|key| {
                    let record = snapshot.get(&key)?.filter(|record| departed(record, way));
                    Ok(record.map(|record| (key, record)))
                });
                departure.transpose()
            });
            self.note_departed(way, departures)?;
        }
        Ok(true)
    }

    /// Notes these files as gone from their place, and no others.
    pub(super) fn note_departed(
        &self,
        way: Way,
        files: impl Iterator<Item = Result<(Key, Record)>>,
    ) -> Result<()> {
        let mut batch = self.trees.batch()?;
        match way {
            Way::Up => batch.depart(files.map(|file| {
                let (key, record) = file?;
                Ok((record.synced.map_or(0, |synced| synced.local.inode), key))
            })),
            Way::Down => batch.depart_remote(files.map(|file| {
                let (key, record) = file?;
                Ok((record.remote_id().into(), key))
            })),
        }
    }

    fn moved_event(&self, from: &str, to: &str) -> Event {
        Event {
            time: self.clock.now(),
            action: "moved".into(),
            path: from.into(),
            bytes: 0,
            detail: format!("to {to}"),
        }
    }
}

/// Which side follows the other's moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The service follows the disk.
    Up,
    /// The disk follows the service.
    Down,
}

impl Way {
    /// The side that is followed, and the one that follows.
    fn sides(self) -> (Side, Side) {
        match self {
            Way::Up => (Side::Local, Side::Remote),
            Way::Down => (Side::Remote, Side::Local),
        }
    }
}

/// Whether a file is gone from the side that is followed, and as agreed on the other.
fn departed(record: &Record, way: Way) -> bool {
    let gone = match way {
        Way::Up => record.local == Facet::Gone && record.remote == Facet::AsSynced,
        Way::Down => {
            record.remote == Facet::Gone
                && record.local == Facet::AsSynced
                && !record.remote_id().is_empty()
        }
    };
    gone && record.node == 0 && record.skip.is_none() && record.synced.is_some()
}

/// Whether a file is new on the side that is followed.
fn arrived(record: &Record, way: Way) -> bool {
    let (followed, following) = way.sides();
    let new = record.is_on(followed) && !record.is_on(following);
    new && record.node == 0 && record.skip.is_none() && record.synced.is_none()
}

/// The file that is noted as gone by what this one was known by.
fn noted_departure(snapshot: &Snapshot, record: &Record, way: Way) -> Result<Option<Key>> {
    match way {
        Way::Up => snapshot.departed(record.synced.as_ref().map_or(0, |it| it.local.inode)),
        Way::Down => snapshot.departed_id(record.remote_id()),
    }
}

/// Where a file that is new on the side that is followed was before, if it was moved there.
pub(super) fn moved_from(
    snapshot: &Snapshot,
    key: &Key,
    way: Way,
) -> Result<Option<(Key, Record)>> {
    let Some(record) = snapshot.get(key)?.filter(|record| arrived(record, way)) else {
        return Ok(None);
    };
    let from = match (way, record.local_print()) {
        (Way::Up, Some(print)) => snapshot.departed(print.inode)?,
        (Way::Up, None) => None,
        (Way::Down, _) if record.remote_id().is_empty() => None,
        (Way::Down, _) => snapshot.departed_id(record.remote_id())?,
    };
    let Some(from) = from else { return Ok(None) };
    let Some(old) = snapshot.get(&from)?.filter(|old| departed(old, way)) else { return Ok(None) };
    let same = match (way, &old.synced, record.local_print()) {
        (Way::Up, Some(synced), Some(print)) => {
            synced.local.inode == print.inode
                && synced.local.size == print.size
                && synced.local.mtime == print.mtime
        }
        (Way::Down, ..) => old.remote_id() == record.remote_id(),
        _ => false,
    };
    let (_, following) = way.sides();
    let taken = snapshot.get(&key.twin())?.is_some_and(|twin| twin.is_on(following));
    Ok((same && !taken).then_some((from, old)))
}

fn taken(snapshot: &Snapshot, key: &Key) -> Result<bool> {
    Ok(snapshot.get(key)?.is_some_and(|record| record.is_on(Side::Remote)))
}
