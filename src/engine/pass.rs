//! Passes over the items that aren't clean: plan each, carry it out, take in what came of it.

use super::folders::settle_folder;
use super::planning::bytes_of;
use super::report::clash;
use super::sweeps::Brakes;
use super::{Engine, Look, Report, SENDING};
use crate::blocks::Blocks;
use crate::error::{Error, Kind, Reaction, Result};
use crate::execute::{Done, Job, Outcome, Received, Sent, Work, with_pool};
use crate::model::{ItemKind, RemotePrint, Side, split_path};
use crate::observe::list_again;
use crate::plan::{Downward, Op, Step, Upward};
use crate::remote::Listing;
use crate::rules::{folded, is_namesake};
use crate::store::{Again, Batch, Event, Facet, Key, Problem, Record, Recycled, Snapshot, Synced};
use std::time::Duration;

/// From this pass on, an item that still changes under our hands counts as failed.
const PATIENT_PASSES: u32 = 3;
/// Longest time that finished work isn't durable.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// Items left alone that are noted together.
const LEAVE_TOGETHER: usize = 256;
/// An upload of at least this size may have left a note, which is of no use any more; other notes
/// may stand for something on the service that is to be dropped with them.
const NOTED_BYTES: u64 = 64 << 10;

/// What the history says of an upload that replaced somebody else's version.
const OVERTAKEN: &str = "the other version is kept among the versions on the service";

/// A pass under way.
pub(super) struct Pass<'e> {
    pub engine: &'e Engine,
    pub batch: Batch<'e>,
    pub report: &'e mut Report,
    pub look: &'e Look,
    pub number: u32,
    /// When, by the clock that only runs on.
    committed: Duration,
    pub commits: u64,
    /// Something came of it.
    pub progress: bool,
    /// Ends the cycle once the running transfers are in.
    halt: Option<Error>,
    /// What waits for a person's word.
    pub brakes: Brakes,
    leave: Vec<Key>,
    /// What is kept of removed files, while some are being removed.
    pub recycled: Option<Recycled>,
    /// The folder that was last seen to be there, which most items share with the next.
    ensured: Option<(Side, u64)>,
    /// What the service calls the folder of the last item.
    folder: (u64, Box<str>),
    /// The folder that last was told to have no room beside a file of its name.
    crowded: Option<Key>,
}

impl<'e> Pass<'e> {
    pub fn new(
        engine: &'e Engine,
        look: &'e Look,
        brakes: Brakes,
        report: &'e mut Report,
        number: u32,
    ) -> Result<Self> {
        Ok(Pass {
            engine,
            batch: engine.trees.batch()?,
            report,
            look,
            number,
            committed: engine.clock.running(),
            commits: 0,
            progress: false,
            halt: None,
            brakes,
            leave: Vec::new(),
            recycled: None,
            ensured: None,
            folder: Default::default(),
            crowded: None,
        })
    }

    /// Everything but removals.
    pub fn transfer(&mut self) -> Result<()> {
        let engine = self.engine;
        engine.progress.phase("transferring");
        with_pool(&engine.context(), &engine.workers, |pool| {
            let mut after = None;
            // A snapshot that is held keeps the state from using space again, so a fresh one is
            // taken after each commit.
            while self.halt.is_none() {
                let snapshot = engine.trees.snapshot()?;
                let commits = self.commits;
                let mut keys = snapshot.dirty(after.as_ref())?;
                for key in keys.by_ref() {
                    let key = key?;
                    after = Some(key.clone());
                    if let Some((record, step)) = engine.plan(&snapshot, &key)?
                        && let Some(job) = self.begin(&snapshot, key, record, step)?
                        && let Some(outcome) = pool.submit(job)?
                    {
                        self.take(outcome)?;
                    }
                    while let Some(outcome) = pool.ready()? {
                        self.take(outcome)?;
                    }
                    if self.halt.is_some() || self.commits != commits {
                        break;
                    }
                }
                if self.commits == commits {
                    break;
                }
            }
            while let Some(outcome) = pool.wait()? {
                self.take(outcome)?;
            }
            Ok(())
        })?;
        self.stop_if_halted()
    }

    /// Does what takes no transfer, and makes a job of what does.
    fn begin(
        &mut self,
        snapshot: &Snapshot,
        key: Key,
        mut record: Record,
        step: Step<Op>,
    ) -> Result<Option<Job>> {
        let Some(path) = snapshot.known_path(&key)? else {
            // Its folder's row is lost, so nothing can be said of it; the next look finds it.
            self.batch.put(key, Record::new(record.node))?;
            return Ok(None);
        };
        match step {
            Step::Wait => return Ok(None),
            Step::Do(op) if op.removes() => return Ok(None),
            Step::Nothing => {
                self.leave.push(key);
                if self.leave.len() == LEAVE_TOGETHER {
                    self.leave_all()?;
                }
                return Ok(None);
            }
            Step::Settle => {
                settle_folder(&mut record);
                self.batch.put(key, record)?;
                return Ok(None);
            }
            Step::Forget => {
                // A folder's row stays as long as there are rows in it.
                if record.node == 0 || !snapshot.any_child(record.node, |_, _| true)? {
                    self.batch.put(key, Record::new(record.node))?;
                    self.progress = true;
                }
                return Ok(None);
            }
            Step::Clash => {
                if self.number == 0 {
                    self.report.hold(1, &path, &clash(&path));
                }
                self.engine.note_clash(snapshot, &mut self.batch, &key)?;
                return Ok(None);
            }
            Step::Do(op) if !self.brakes.frees(op, &record) => return Ok(None),
            Step::Examine | Step::Do(_) => {}
        }
        if let Some(problem) = snapshot.problem(&key)?.filter(Problem::is_of_step) {
            if problem.kind == Kind::NameClash.word() {
                self.batch.set_problem(key.clone(), None)?;
            } else if self.gives_up(snapshot, &key, problem, self.number == 0)? {
                return Ok(None);
            }
            // What is in a folder that failed waits for it.
            if record.node != 0 {
                self.batch.set_problem(key.clone(), None)?;
            }
        }
        match self.prepare(snapshot, &key, &record, step) {
            Ok(false) => Ok(None),
            Ok(true) => {
                if step == Step::Do(Op::Up(Upward::Create)) {
                    self.note_sending()?;
                }
                Ok(Some(Job {
                    path,
                    folder_id: self.folder_id(key.folder)?,
                    local: record.local_print().copied(),
                    remote: record.remote_print().cloned(),
                    content: record.synced.as_ref().and_then(|synced| synced.content),
                    work: match step {
                        Step::Do(op) => Work::Step(op),
                        _ => Work::Examine,
                    },
                    key,
                }))
            }
            Err(error) => {
                // Of folders that aren't there, the one that has to be made first.
                let side =
                    if matches!(step, Step::Do(Op::Down(_))) { Side::Local } else { Side::Remote };
                let failed = self.engine.first_missing(&self.batch, &key, side)?;
                let path = snapshot.known_path(&failed)?.unwrap_or(path);
                self.fail(failed, &path, error)?;
                Ok(None)
            }
        }
    }

    /// Notes that files are being made where names may repeat, before the first one is.
    fn note_sending(&mut self) -> Result<()> {
        let engine = self.engine;
        if !engine.descriptor.namesakes || engine.trees.snapshot()?.fact(SENDING)?.is_some() {
            return Ok(());
        }
        self.batch.set_fact(SENDING, Some(Vec::new()));
        self.batch.commit()
    }

    /// Whether what failed isn't tried once more: it failed in this cycle, unless it is the `first`
    /// time that it comes up, or it is too early or of no use, which is told.
    pub fn gives_up(
        &mut self,
        snapshot: &Snapshot,
        key: &Key,
        problem: Problem,
        first: bool,
    ) -> Result<bool> {
        if !first {
            return Ok(true);
        }
        let due = self.look.retry || problem.again.is_now(self.engine.clock.running());
        if due || is_free(snapshot, key, &problem)? {
            return Ok(false);
        }
        self.report.known(&snapshot.path(key)?, problem);
        Ok(true)
    }

    /// What the service calls the folder that items have been made ready for.
    fn folder_id(&mut self, folder: u64) -> Result<Box<str>> {
        if self.folder.0 != folder {
            self.folder = (folder, self.engine.folder_id(&self.batch, folder)?);
        }
        Ok(self.folder.1.clone())
    }

    /// Makes the folders that a step needs, which is all there is to do for a folder. Tells
    /// whether a job remains.
    fn prepare(
        &mut self,
        snapshot: &Snapshot,
        key: &Key,
        record: &Record,
        step: Step<Op>,
    ) -> Result<bool> {
        let engine = self.engine;
        match step {
            Step::Do(op) if self.waits_for_room(op, record) => Ok(false),
            Step::Do(Op::Up(Upward::MakeFolder)) => {
                if !engine.ensure_remote_folder(&mut self.batch, key.folder)? {
                    return Ok(false);
                }
                if engine.descriptor.folders_implied {
                    let path = snapshot.path(key)?;
                    if engine.mark_remote_folder(&path)? {
                        self.folder_appeared(key)?;
                        self.progress = true;
                    } else {
                        self.leave.push(key.clone());
                    }
                } else {
                    self.progress |= engine.ensure_remote_folder(&mut self.batch, record.node)?;
                }
                Ok(false)
            }
            Step::Do(Op::Down(Downward::MakeFolder)) => {
                let made = engine.ensure_local_folder(&mut self.batch, record.node)?;
                self.progress |= made;
                if !made {
                    self.tell_crowded(snapshot, key, Side::Local)?;
                }
                Ok(false)
            }
            Step::Do(op @ (Op::Up(_) | Op::Down(_))) => {
                let side = if matches!(op, Op::Up(_)) { Side::Remote } else { Side::Local };
                if self.ensured == Some((side, key.folder)) {
                    return Ok(true);
                }
                let there = match side {
                    Side::Local => engine.ensure_local_folder(&mut self.batch, key.folder),
                    Side::Remote => engine.ensure_remote_folder(&mut self.batch, key.folder),
                }?;
                self.ensured = there.then_some((side, key.folder));
                // It may have been made just now.
                self.folder = Default::default();
                if !there {
                    self.tell_crowded(snapshot, key, side)?;
                }
                Ok(there)
            }
            _ => Ok(true),
        }
    }

    /// A folder that went from a side, and has to come back for what is new in it on the other,
    /// can't where a file has its name by now. Its own step, which is to remove it, doesn't say so.
    fn tell_crowded(&mut self, snapshot: &Snapshot, key: &Key, side: Side) -> Result<()> {
        let first = self.engine.first_missing(&self.batch, key, side)?;
        let leaves = |key: &Key| -> Result<bool> {
            let planned = self.engine.plan(snapshot, key)?;
            Ok(matches!(planned, Some((_, Step::Do(op))) if op.removes()))
        };
        let file = first.twin();
        let taken = snapshot.get(&file)?.is_some_and(|file| file.is_on(side));
        if taken && leaves(&first)? && !leaves(&file)? && self.crowded.as_ref() != Some(&first) {
            let path = snapshot.path(&first)?;
            if self.number == 0 {
                self.report.hold(1, &path, &clash(&path));
            }
            self.engine.note_clash(snapshot, &mut self.batch, &first)?;
            self.crowded = Some(first);
        }
        Ok(())
    }

    /// Whether a side that the step needs room on is full.
    fn waits_for_room(&self, op: Op, record: &Record) -> bool {
        let mut full = self.engine.full.borrow_mut();
        let bytes = bytes_of(op, record);
        match op {
            Op::Up(_) => full.stops(Side::Remote, bytes),
            Op::Down(_) => full.stops(Side::Local, bytes),
            // What was never agreed on may well be the same.
            Op::Merge(_) if record.synced.is_none() => false,
            Op::Merge(_) => full.stops(Side::Remote, bytes) || full.stops(Side::Local, bytes),
        }
    }

    /// Takes in what became of a job.
    pub fn take(&mut self, outcome: Outcome) -> Result<()> {
        let Outcome { key, path, result } = outcome;
        match result {
            Ok(done) => {
                self.engine.progress.finish_file();
                self.done(key, &path, done)?;
            }
            Err(error) => self.fail(key, &path, error)?,
        }
        let running = self.engine.clock.running();
        if running.saturating_sub(self.committed) >= COMMIT_AFTER {
            self.batch.commit()?;
            self.committed = running;
            self.commits += 1;
        }
        Ok(())
    }

    fn done(&mut self, key: Key, path: &str, done: Done) -> Result<()> {
        let record = self.batch.get(&key)?;
        let mut record = record.unwrap_or_else(|| Record::new(0));
        self.progress |= match &done {
            Done::Purged(results) => results.iter().any(|(_, result)| result.is_ok()),
            _ => true,
        };
        match done {
            Done::Uploaded(Sent { synced, overtook, blocks }) => {
                self.report.uploaded += 1;
                self.count_overwrite(&key, &record, Side::Remote);
                self.event("uploaded", path, synced.local.size, "")?;
                if overtook {
                    self.report.conflicts += 1;
                    self.event("conflict", path, 0, OVERTAKEN)?;
                }
                if synced.local.size >= NOTED_BYTES {
                    self.batch.set_transfer(key.clone(), None)?;
                }
                self.agree_with(key, record, synced, blocks)
            }
            Done::Downloaded(Received { synced, blocks }) => {
                self.report.downloaded += 1;
                self.count_overwrite(&key, &record, Side::Local);
                self.event("downloaded", path, synced.local.size, "")?;
                self.agree_with(key, record, synced, blocks)
            }
            Done::Agreed(synced) => self.agree(key, record, synced),
            Done::Untouched(print) => {
                if let Some(synced) = &mut record.synced {
                    synced.local = print;
                }
                record.local = Facet::AsSynced;
                self.batch.put(key, record)
            }
            Done::Edited(print) => {
                record.local = Facet::Now(print);
                self.batch.put(key, record)
            }
            Done::RemovedLocal => self.removed_local(key, path, record, ""),
            Done::Recycled { kept, day, bytes } => {
                if let Some(recycled) = &mut self.recycled {
                    recycled.add(day, bytes);
                    self.batch.set_recycled(&Recycled { open: true, ..recycled.clone() })?;
                }
                self.removed_local(key, path, record, &format!("kept as {kept}"))
            }
            Done::Resolved { kept, kept_print, then } => {
                self.report.conflicts += 1;
                self.event("conflict", path, 0, &format!("the other version is now {kept}"))?;
                if let Some(print) = kept_print {
                    let (_, name) = split_path(&kept);
                    let kept_key = Key::new(key.folder, name, ItemKind::File);
                    let known = self.batch.get(&kept_key)?;
                    let mut kept_record = known.unwrap_or_else(|| Record::new(0));
                    kept_record.see_local(Some(print));
                    let names = &self.engine.names;
                    let rule = names.check(&kept, ItemKind::File);
                    let skip = rule.or_else(|| names.check_size(print.size));
                    kept_record.see_skip(skip, Side::Local, self.engine.clock.now());
                    self.batch.put(kept_key, kept_record)?;
                }
                match *then {
                    Done::RemovedLocal => {
                        record.see_local(None);
                        self.put_or_forget(key, record)
                    }
                    then => self.done(key, path, then),
                }
            }
            Done::Unsent { base, local, error } => {
                record.agree(base);
                record.local = Facet::Now(local);
                self.batch.put(key.clone(), record)?;
                self.fail(key, path, error)
            }
            Done::Purged(results) => {
                for (doomed, result) in results {
                    match result {
                        Ok(()) => {
                            self.report.deleted_remote += 1;
                            self.event("deleted-remote", &doomed.path, 0, "")?;
                            self.relist(doomed.key.folder)?;
                            if let Some(mut record) = self.batch.get(&doomed.key)? {
                                record.see_remote(None);
                                self.put_or_forget(doomed.key, record)?;
                            }
                        }
                        Err(error) => self.fail(doomed.key, &doomed.path, error)?,
                    }
                }
                Ok(())
            }
            Done::MovedUp(..) | Done::MovedDown(..) => {
                Err(Error::new(Kind::State, path, "a move was told where none was asked for"))
            }
        }
    }

    /// Something was removed from a folder of the service: if that was done to another root, this one
    /// comes back as it was.
    pub(super) fn relist(&mut self, folder: u64) -> Result<()> {
        match self.engine.descriptor.listing {
            // No folder has a version.
            Listing::Flat => Ok(()),
            Listing::Folders => list_again(&mut self.batch, &self.engine.trees.snapshot()?, folder),
        }
    }

    fn removed_local(
        &mut self,
        key: Key,
        path: &str,
        mut record: Record,
        detail: &str,
    ) -> Result<()> {
        self.report.deleted_local += 1;
        self.event("deleted-local", path, 0, detail)?;
        record.see_local(None);
        self.put_or_forget(key, record)
    }

    /// Counts a file that took the place of one that had been agreed on.
    fn count_overwrite(&self, key: &Key, record: &Record, side: Side) {
        if record.synced.is_some() && record.is_on(side) {
            let now = self.engine.clock.running();
            self.engine.recent.borrow_mut().overwrote(side, key, now);
        }
    }

    /// Agrees on a file that was transferred, and keeps its blocks as far as they are known.
    fn agree_with(
        &mut self,
        key: Key,
        record: Record,
        synced: Synced,
        blocks: Option<Blocks>,
    ) -> Result<()> {
        let version = synced.remote.version.clone();
        self.agree(key.clone(), record, synced)?;
        blocks.map_or(Ok(()), |blocks| self.batch.set_blocks(key, &version, &blocks))
    }

    fn agree(&mut self, key: Key, mut record: Record, synced: Synced) -> Result<()> {
        record.agree(synced);
        let folder = key.folder;
        self.batch.put(key, record)?;
        if self.engine.descriptor.folders_implied {
            self.engine.folders_appeared(&mut self.batch, folder)?;
        }
        Ok(())
    }

    fn folder_appeared(&mut self, key: &Key) -> Result<()> {
        if let Some(mut record) = self.batch.get(key)? {
            record.see_remote(Some(Default::default()));
            settle_folder(&mut record);
            self.batch.put(key.clone(), record)?;
        }
        self.engine.folders_appeared(&mut self.batch, key.folder)
    }

    /// Keeps what is left of an item; nothing when it is gone from both sides.
    pub fn put_or_forget(&mut self, key: Key, record: Record) -> Result<()> {
        let gone = !record.is_on(Side::Local) && !record.is_on(Side::Remote);
        let record = if gone { Record::new(record.node) } else { record };
        self.batch.put(key, record)
    }

    /// Does what an item's error asks for.
    pub fn fail(&mut self, key: Key, path: &str, error: Error) -> Result<()> {
        match error.kind().reaction() {
            Reaction::Replan if self.is_look_alike(&key, &error)? => {
                self.fail_for_good(key, path, error.meaning(Kind::NameTaken))
            }
            Reaction::Replan if self.number < PATIENT_PASSES => {
                tracing::debug!(path, reason = error.reason(), "looking again");
                self.batch.flush()?;
                match self.engine.refresh(&key) {
                    Ok(()) => {
                        self.progress = true;
                        // What was wrong with it in an earlier cycle mustn't keep the next pass
                        // from trying it.
                        self.batch.set_problem(key, None)
                    }
                    Err(worse) => self.fail_for_good(key, path, worse),
                }
            }
            _ => self.fail_for_good(key, path, error),
        }
    }

    /// Whether a name that should be free is taken because the service doesn't tell it from that
    /// of another item.
    fn is_look_alike(&self, key: &Key, error: &Error) -> Result<bool> {
        let is_new = self.batch.get(key)?.is_some_and(|record| !record.is_on(Side::Remote));
        Ok(error.kind() == Kind::Exists
            && is_new
            && has_look_alike(&self.engine.trees.snapshot()?, key)?)
    }

    fn fail_for_good(&mut self, key: Key, path: &str, error: Error) -> Result<()> {
        match (error.kind(), error.kind().reaction()) {
            (Kind::DiskFull | Kind::QuotaFull, _) => return self.hit_full(key, path, error),
            // One file's trouble if the service answers otherwise.
            (Kind::Offline | Kind::Busy, _) if self.engine.is_reachable() => {}
            (_, reaction) if reaction.ends_cycle() => {
                // The first reason is the one to tell; those after it follow from it.
                self.halt.get_or_insert(error);
                return Ok(());
            }
            _ => {}
        }
        tracing::warn!(path, reason = error.reason(), "not synced");
        self.report.fail(path, &error);
        let again = match error.kind().reaction() {
            Reaction::Skip => Again::Never,
            // Whoever writes to it may close it at any moment.
            _ if error.kind() == Kind::InUse => Again::Soon,
            Reaction::Replan => Again::Soon,
            // Once more in the next cycle.
            _ => Again::Later { from: self.engine.clock.running(), pause: Duration::ZERO },
        };
        self.engine.note_problem(&mut self.batch, &key, &error, again)
    }

    /// What waits for room has nothing wrong of its own. On a full disk, removed files are kept no
    /// longer.
    fn hit_full(&mut self, key: Key, path: &str, error: Error) -> Result<()> {
        tracing::warn!(path, reason = error.reason(), "no room");
        let record = self.batch.get(&key)?;
        let print = record.as_ref().and_then(Record::remote_print);
        let size = print.and_then(RemotePrint::known_size).unwrap_or(0);
        let again = error.kind() == Kind::DiskFull && self.number < PATIENT_PASSES;
        if again && self.engine.make_room(size)? {
            self.progress = true;
        } else {
            let now = self.engine.clock.running();
            self.engine.full.borrow_mut().hit(error, size, now);
        }
        match self.engine.trees.snapshot()?.problem(&key)? {
            Some(_) => self.batch.set_problem(key, None),
            None => Ok(()),
        }
    }

    pub fn event(&mut self, action: &str, path: &str, bytes: u64, detail: &str) -> Result<()> {
        self.batch.event(Event {
            time: self.engine.clock.now(),
            action: action.into(),
            path: path.into(),
            bytes,
            detail: detail.into(),
        })
    }

    fn leave_all(&mut self) -> Result<()> {
        if !self.leave.is_empty() {
            self.batch.leave(&self.leave)?;
            self.leave.clear();
        }
        Ok(())
    }

    pub fn stop_if_halted(&mut self) -> Result<()> {
        self.leave_all()?;
        match self.halt.take() {
            None => Ok(()),
            Some(error) => {
                self.batch.commit()?;
                Err(error)
            }
        }
    }

    pub fn halted(&self) -> bool {
        self.halt.is_some()
    }

    pub fn end(mut self) -> Result<bool> {
        self.stop_if_halted()?;
        self.batch.flush()?;
        Ok(self.progress)
    }
}

/// Whether what failed because another item had its name may go on: that one is gone from the
/// service, or is called otherwise by now.
fn is_free(snapshot: &Snapshot, key: &Key, problem: &Problem) -> Result<bool> {
    Ok(problem.kind == Kind::NameTaken.word() && !has_look_alike(snapshot, key)?)
}

/// Whether the service has another item that it may take for one of this name, or that is called
/// so there.
pub(super) fn has_look_alike(snapshot: &Snapshot, key: &Key) -> Result<bool> {
    let name = folded(key.plain());
    let is_other = |other: &Key, record: &Record| {
        other != key
            && record.is_on(Side::Remote)
            && (folded(other.plain()) == name
                || is_namesake(other.plain(), key.plain(), record.remote_id()))
    };
    snapshot.any_child(key.folder, is_other)
}
