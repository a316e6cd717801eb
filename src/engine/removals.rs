//! Removals: last of all, only what was planned as such with the whole side seen, and only past
//! the brake.

use super::pass::Pass;
use super::report::clash;
use crate::error::{Kind, Result};
use crate::execute::{Doomed, Job, Work, with_pool};
use crate::model::{ItemKind, Side, Version};
use crate::plan::{Op, Step};
use crate::remote::{Listing, Place, Removal};
use crate::rules::{Sweep, dies_with_folder};
use crate::store::{Key, Problem, Record, Recycled, Skip, Snapshot};

/// Files removed with one call, where the service takes many at once.
const MANY_AT_ONCE: usize = 500;
/// Files removed with one call, where each is a request of its own.
const FEW_AT_ONCE: usize = 16;

/// The sides on which the brake leaves removals free.
#[derive(Clone, Copy)]
struct Free {
    local: bool,
    remote: bool,
}

impl Pass<'_> {
    /// Removes what the plan says, on each side that the brake leaves free.
    pub(super) fn remove(&mut self) -> Result<()> {
        let engine = self.engine;
        engine.progress.phase("removing");
        self.batch.flush()?;
        // Counted anew: of a file that was touched, it is known only since it was read.
        let census = engine.load()?.census;
        let brakes = engine.brake(census, self.look.approve, self.report)?;
        let free = Free {
            local: brakes.free(Side::Local, Sweep::Removal),
            remote: brakes.free(Side::Remote, Sweep::Removal),
        };
        let before = [self.report.deleted_local, self.report.deleted_remote];
        self.remove_files(free)?;
        let after = [self.report.deleted_local, self.report.deleted_remote];
        for (number, side) in [Side::Local, Side::Remote].into_iter().enumerate() {
            let removed = after[number] - before[number];
            if removed > 0 {
                engine.full.borrow_mut().has_room(side);
            }
            engine.recent.borrow_mut().removed(side, removed, engine.clock.running());
        }
        self.stop_if_halted()?;
        let mut first = self.number == 0;
        while self.remove_folders(free, first)? {
            first = false;
        }
        Ok(())
    }

    /// Whether a step is a removal on a side that is free for it, and isn't given up. It is the
    /// `first` time that it comes up in this cycle, or not.
    fn is_removal(
        &mut self,
        snapshot: &Snapshot,
        key: &Key,
        op: Op,
        free: Free,
        first: bool,
    ) -> Result<bool> {
        let free = if matches!(op, Op::Up(_)) { free.remote } else { free.local };
        if !op.removes() || !free {
            return Ok(false);
        }
        match snapshot.problem(key)?.filter(Problem::is_of_step) {
            Some(problem) if problem.kind != Kind::NameClash.word() => {
                Ok(!self.gives_up(snapshot, key, problem, first)?)
            }
            _ => Ok(true),
        }
    }

    fn remove_files(&mut self, free: Free) -> Result<()> {
        let engine = self.engine;
        let together = match engine.descriptor.listing {
            Listing::Flat => MANY_AT_ONCE,
            Listing::Folders => FEW_AT_ONCE,
        };
        let mut doomed = Vec::new();
        let mut kept_folder = None;
        with_pool(&engine.context(), &engine.workers, |pool| {
            let mut after = None;
            while !self.halted() {
                let snapshot = engine.trees.snapshot()?;
                let commits = self.commits;
                for key in snapshot.dirty(after.as_ref())? {
                    let key = key?;
                    after = Some(key.clone());
                    if key.kind() == ItemKind::Folder {
                        continue;
                    }
                    let Some((record, Step::Do(op))) = engine.plan(&snapshot, &key)? else {
                        continue;
                    };
                    if !self.is_removal(&snapshot, &key, op, free, self.number == 0)? {
                        continue;
                    }
                    let job = match op {
                        Op::Down(_) => {
                            self.open_recycled()?;
                            Job {
                                path: snapshot.path(&key)?,
                                folder_id: Box::default(),
                                local: record.local_print().copied(),
                                remote: None,
                                content: None,
                                work: Work::Step(op),
                                key,
                            }
                        }
                        Op::Up(_) => {
                            if kept_folder != Some(key.folder) {
                                let kept = engine.keep_remote_folder(&snapshot, key.folder);
                                if let Err(error) = kept {
                                    let path = snapshot.path(&key)?;
                                    self.fail(key, &path, error)?;
                                    if self.halted() {
                                        break;
                                    }
                                    continue;
                                }
                                kept_folder = Some(key.folder);
                            }
                            let version = record.remote_print().map(|print| print.version.clone());
                            doomed.push(Doomed {
                                path: snapshot.path(&key)?,
                                id: record.remote_id().into(),
                                folder_id: engine.folder_id(&self.batch, key.folder)?,
                                version: version.unwrap_or_default(),
                                key,
                            });
                            if doomed.len() < together {
                                continue;
                            }
                            purge_job(std::mem::take(&mut doomed))
                        }
                        Op::Merge(_) => continue,
                    };
                    if let Some(outcome) = pool.submit(job)? {
                        self.take(outcome)?;
                    }
                    if self.halted() || self.commits != commits {
                        break;
                    }
                }
                if self.commits == commits {
                    break;
                }
            }
            if !doomed.is_empty()
                && !self.halted()
                && let Some(outcome) = pool.submit(purge_job(doomed))?
            {
                self.take(outcome)?;
            }
            while let Some(outcome) = pool.wait()? {
                self.take(outcome)?;
            }
            Ok(())
        })?;
        if let Some(recycled) = self.recycled.take() {
            self.batch.set_recycled(&recycled)?;
        }
        self.batch.flush()
    }

    /// Sees to it that a crash among removals makes what is kept be counted anew.
    fn open_recycled(&mut self) -> Result<()> {
        let engine = self.engine;
        if self.recycled.is_some() || !engine.recycles() {
            return Ok(());
        }
        let Some(down) = engine.ways.down() else { return Ok(()) };
        let recycled = engine.recycled(down)?;
        self.batch.set_recycled(&Recycled { open: true, ..recycled.clone() })?;
        self.recycled = Some(recycled);
        self.batch.commit()
    }

    /// Removes the folders that are empty by now, those inside first. Tells whether there were
    /// any: the folders they were in may be empty then.
    fn remove_folders(&mut self, free: Free, first: bool) -> Result<bool> {
        let engine = self.engine;
        let mut any = false;
        for key in engine.trees.snapshot()?.dirty_backwards()? {
            engine.cancel.check()?;
            let key = key?;
            if key.kind() == ItemKind::File {
                continue;
            }
            let snapshot = engine.trees.snapshot()?;
            let Some((record, Step::Do(op))) = engine.plan(&snapshot, &key)? else { continue };
            if !self.is_removal(&snapshot, &key, op, free, first)? {
                continue;
            }
            let path = snapshot.path(&key)?;
            let result = match op {
                Op::Up(_) => self.remove_remote_folder(&snapshot, &key, &path, &record),
                Op::Down(_) => self.remove_local_folder(&snapshot, &key, &path, &record),
                Op::Merge(_) => continue,
            };
            match result {
                Ok(removed) => any |= removed,
                Err(error) => self.fail(key, &path, error)?,
            }
            self.stop_if_halted()?;
            self.batch.flush()?;
        }
        self.progress |= any;
        Ok(any)
    }

    fn remove_remote_folder(
        &mut self,
        snapshot: &Snapshot,
        key: &Key,
        path: &str,
        record: &Record,
    ) -> Result<bool> {
        let engine = self.engine;
        let Some(up) = engine.ways.up() else { return Ok(false) };
        let mut litter = Vec::new();
        for row in snapshot.children(record.node)? {
            let (child, row) = row?;
            if !row.is_on(Side::Remote) {
                continue;
            }
            if child.kind() == ItemKind::Folder || !is_litter(&child, &row) {
                return self.blocked(snapshot, key, record, Side::Remote);
            }
            let version = row.remote_print().map(|print| print.version.clone());
            let place = (format!("{path}/{}", child.plain()), row.remote_id().to_owned());
            litter.push((place, version.unwrap_or_default()));
        }
        engine.keep_remote_folder(snapshot, key.folder)?;
        let none = Version::default();
        let above = engine.folder_id(&self.batch, key.folder)?;
        let own = Place { path, id: record.remote_id(), folder: &above };
        let folder = Removal { place: own, kind: ItemKind::Folder, version: &none };
        let files = litter.iter().map(|((path, id), version)| Removal {
            place: Place { path, id, folder: own.id },
            kind: ItemKind::File,
            version,
        });
        let mut result = Ok(());
        for removal in files.chain(std::iter::once(folder)) {
            up.remote.remove(&[removal], &mut |_, told| result = told);
            result.clone()?;
        }
        self.report.deleted_remote += 1;
        self.event("deleted-remote", &format!("{path}/"), 0, "")?;
        self.relist(key.folder)?;
        self.forget(snapshot, key, record, Side::Remote)?;
        Ok(true)
    }

    fn remove_local_folder(
        &mut self,
        snapshot: &Snapshot,
        key: &Key,
        path: &str,
        record: &Record,
    ) -> Result<bool> {
        let Some(down) = self.engine.ways.down() else { return Ok(false) };
        let stays = |child: &Key, row: &Record| row.is_on(Side::Local) && !is_litter(child, row);
        if snapshot.any_child(record.node, stays)? {
            return self.blocked(snapshot, key, record, Side::Local);
        }
        down.writer.remove_folder(path)?;
        self.report.deleted_local += 1;
        self.event("deleted-local", &format!("{path}/"), 0, "")?;
        self.forget(snapshot, key, record, Side::Local)?;
        Ok(true)
    }

    /// A folder that something stays in comes back on the other side; one that something has yet
    /// to leave waits.
    fn blocked(
        &mut self,
        snapshot: &Snapshot,
        key: &Key,
        record: &Record,
        side: Side,
    ) -> Result<bool> {
        let engine = self.engine;
        let skipped_stays = snapshot.any_child(record.node, |child, row| {
            row.is_on(side) && row.skip.is_some() && !is_litter(child, row)
        })?;
        if !skipped_stays {
            return Ok(false);
        }
        let other = match side {
            Side::Local => Side::Remote,
            Side::Remote => Side::Local,
        };
        // Of folders that aren't there, the one that has to be made first.
        let first = engine.first_missing(&self.batch, key, other)?;
        if snapshot.get(&first.twin())?.is_some_and(|twin| twin.is_on(other)) {
            let path = snapshot.path(&first)?;
            self.report.hold(1, &path, &clash(&path));
            engine.note_clash(snapshot, &mut self.batch, &first)?;
            return Ok(false);
        }
        if let Some(problem) = snapshot.problem(&first)?.filter(Problem::is_of_step) {
            if self.gives_up(snapshot, &first, problem, self.number == 0)? {
                return Ok(false);
            }
            self.batch.set_problem(first.clone(), None)?;
        }
        let made = match side {
            Side::Remote => engine.ensure_local_folder(&mut self.batch, record.node),
            Side::Local if !engine.descriptor.folders_implied => {
                engine.ensure_remote_folder(&mut self.batch, record.node)
            }
            Side::Local => self.mark_for_good(snapshot, key, record),
        };
        made.or_else(|error| {
            let path = snapshot.path(&first)?;
            self.fail(first, &path, error)?;
            Ok(false)
        })
    }

    /// Has a folder kept by a service where it is there only because something is in it; else it
    /// was never agreed on.
    fn mark_for_good(&mut self, snapshot: &Snapshot, key: &Key, record: &Record) -> Result<bool> {
        let engine = self.engine;
        let kept = engine.mark_remote_folder(&snapshot.path(key)?)?;
        if kept {
            engine.folders_appeared(&mut self.batch, record.node)?;
        } else {
            let mut record = record.clone();
            record.forget_agreement();
            self.batch.put(key.clone(), record)?;
        }
        Ok(kept)
    }

    /// Forgets a removed folder and what was skipped in it. Its row stays for what the other side
    /// has in it by a look that was more recent than the one at the folder.
    fn forget(
        &mut self,
        snapshot: &Snapshot,
        key: &Key,
        record: &Record,
        side: Side,
    ) -> Result<()> {
        let mut holds_any = false;
        for row in snapshot.children(record.node)? {
            let (child, mut row) = row?;
            row.see_absent(side);
            holds_any |= row.is_on(Side::Local) || row.is_on(Side::Remote);
            self.put_or_forget(child, row)?;
        }
        let mut record = record.clone();
        record.see_absent(side);
        if holds_any {
            self.batch.put(key.clone(), record)
        } else {
            self.put_or_forget(key.clone(), record)
        }
    }
}

fn purge_job(doomed: Vec<Doomed>) -> Job {
    Job {
        key: Key { folder: 0, name: String::new() },
        path: String::new(),
        folder_id: Box::default(),
        local: None,
        remote: None,
        content: None,
        work: Work::Purge(doomed),
    }
}

/// Whether an item is left out by its name only, and may go with its folder.
fn is_litter(key: &Key, record: &Record) -> bool {
    let is_plain = |skip: &Skip| !skip.reason.is_of_disk() && !skip.reason.is_of_service();
    record.skip.as_ref().is_some_and(is_plain) && dies_with_folder(key.plain(), key.kind())
}
