//! Passes over the items that aren't clean: plan each, carry it out, take in what came of it.

use super::moves::{lost_row, moved_from, settle_folder};
use super::{Engine, Intent, Look, Report, now};
use crate::error::{Error, Kind, Reaction, Result};
use crate::execute::{Context, Done, Job, Outcome, Work, with_pool};
use crate::local::Found;
use crate::model::{ItemKind, RemotePrint, Side, split_path};
use crate::plan::{self, Downward, Op, Step, Upward, View};
use crate::rules::{Brake, Toll};
use crate::store::{Batch, Event, Facet, Key, Problem, Record, Snapshot, Synced};
use std::time::{Duration, Instant};

/// Passes in one cycle. Each deals with what the one before brought up; three are usual.
const MOST_PASSES: u32 = 6;
/// From this pass on, an item that still changes under our hands counts as failed.
const PATIENT_PASSES: u32 = 3;
/// Longest time that finished work isn't durable.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// Items left alone that are noted together.
const LEAVE_TOGETHER: usize = 256;
/// An upload of at least this size may have left a note, which is of no use any more; other notes
/// may stand for something on the service that is to be dropped with them.
const NOTED_BYTES: u64 = 64 << 10;

/// What a pass is to do, counted before it begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    files: u64,
    bytes: u64,
    pub local: Toll,
    pub remote: Toll,
}

/// A pass under way.
pub(super) struct Pass<'e> {
    pub engine: &'e Engine,
    pub batch: Batch<'e>,
    pub report: &'e mut Report,
    pub look: &'e Look,
    pub number: u32,
    committed: Instant,
    pub commits: u64,
    /// Something came of it.
    pub progress: bool,
    /// Ends the cycle once the running transfers are in.
    halt: Option<Error>,
    no_up: bool,
    /// The disk has no room for downloads of this size or more.
    no_room: Option<u64>,
    leave: Vec<Key>,
    /// The folder that was last seen to be there, which most items share with the next.
    ensured: Option<(Side, u64)>,
}

impl Engine {
    /// Makes passes until nothing more comes of them.
    pub(super) fn passes(&mut self, look: &Look, report: &mut Report) -> Result<()> {
        for number in 0..MOST_PASSES {
            self.progress.phase("planning");
            let load = self.load()?;
            self.progress.expect(load.files, load.bytes);
            // Only the first pass judges removals: later ones see fewer of the same.
            let mut pass = Pass::new(self, look, report, number)?;
            pass.transfer()?;
            let taken = pass.remove(&load)?;
            let progress = pass.end()?;
            self.recent.add(taken);
            if !progress {
                break;
            }
        }
        self.hold_waiting(report)
    }

    /// Tells a person of what still waits for an item of its name to go: it doesn't.
    fn hold_waiting(&self, report: &mut Report) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        for key in snapshot.dirty(None)? {
            let key = key?;
            if let Some((_, Step::Wait)) = self.plan(&snapshot, &key)?
                && snapshot.get(&key.twin())?.is_some()
            {
                let path = snapshot.path(&key)?;
                report.hold(1, &path, &clash(&path));
            }
        }
        Ok(())
    }

    /// Counts what is to do.
    fn load(&self) -> Result<Load> {
        let snapshot = self.trees.snapshot()?;
        let mut load = Load::default();
        for key in snapshot.dirty(None)? {
            self.cancel.check()?;
            let Some((record, step)) = self.plan(&snapshot, &key?)? else { continue };
            if record.node != 0 {
                continue;
            }
            match step {
                Step::Do(Op::Up(Upward::Remove)) => load.remote.removals += 1,
                Step::Do(Op::Down(Downward::Remove)) => load.local.removals += 1,
                Step::Do(op) => {
                    load.files += 1;
                    load.bytes += bytes_of(op, &record);
                }
                _ => {}
            }
        }
        load.local.known = snapshot.known_files(Side::Local)?;
        load.remote.known = snapshot.known_files(Side::Remote)?;
        // What is to be removed on one side is gone from the other, and known to both before.
        Ok(load)
    }

    /// Plans an item; `None` when it is gone from the state or skipped.
    pub(super) fn plan(
        &self,
        snapshot: &Snapshot,
        key: &Key,
    ) -> Result<Option<(Record, Step<Op>)>> {
        let Some(record) = snapshot.get(key)? else { return Ok(None) };
        if record.skip.is_some() {
            return Ok(None);
        }
        let twin = snapshot.get(&key.twin())?;
        let twin_stays = match &twin {
            Some(twin) if twin.skip.is_none() => {
                let step = self.direct(&self.view(snapshot, twin, None, false)?);
                !matches!(step, Step::Do(op) if op.removes())
            }
            other => other.is_some(),
        };
        let view = self.view(snapshot, &record, twin.as_ref(), twin_stays)?;
        let step = self.direct(&view);
        Ok(Some((record, step)))
    }

    fn view<'r>(
        &self,
        snapshot: &Snapshot,
        record: &'r Record,
        twin: Option<&Record>,
        twin_stays: bool,
    ) -> Result<View<'r>> {
        let made_by_children = record.node != 0
            && self.descriptor.folders_implied
            && record.is_on(Side::Local)
            && !record.is_on(Side::Remote)
            && snapshot.any_child(record.node, |_, child| {
                child.skip.is_none() && child.is_on(Side::Local)
            })?;
        Ok(View {
            record,
            twin_local: twin.is_some_and(|twin| twin.is_on(Side::Local)),
            twin_remote: twin.is_some_and(|twin| twin.is_on(Side::Remote)),
            twin_stays,
            made_by_children,
            keep_removed: self.task.keep_removed,
        })
    }

    /// The planner of the task's direction.
    fn direct(&self, view: &View<'_>) -> Step<Op> {
        use crate::execute::Ways;
        match &self.ways {
            Ways::Both(..) => plan::both(view),
            Ways::Upload(_) => plan::upload(view).map(Op::Up),
            Ways::Download(_) => plan::download(view).map(Op::Down),
        }
    }

    /// Looks at both sides of one item again, because it isn't what it was planned against.
    pub(super) fn refresh(&self, key: &Key) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        let Some(mut record) = snapshot.get(key)? else { return Ok(()) };
        let path = snapshot.path(key)?;
        let kind = key.kind();
        let found = self.disk().stat(&path)?.and_then(|found: Found| found.of_kind(kind));
        let entry = self.remote.stat(&path, kind)?.filter(|entry| entry.kind == kind);
        match kind {
            ItemKind::File => {
                record.see_local(found);
                record.see_remote(entry.map(|entry| entry.print));
            }
            // That a folder is gone concerns all that is in it, and a new version would stand for
            // what nobody has looked at: both are for the next look to tell.
            ItemKind::Folder => {
                if found.is_some() {
                    record.see_local(found);
                }
                if entry.is_some() && !record.is_on(Side::Remote) {
                    record.see_remote(Some(RemotePrint::default()));
                }
            }
        }
        let mut batch = self.trees.batch()?;
        batch.put(key.clone(), record)?;
        batch.flush()
    }

    /// Whether the service answers.
    pub(super) fn is_reachable(&self) -> bool {
        self.remote.stat("", ItemKind::Folder).is_ok()
    }

    /// Tells what the passes would do.
    pub(super) fn preview_steps(
        &self,
        each: &mut dyn FnMut(Intent) -> Result<()>,
        report: &mut Report,
    ) -> Result<()> {
        self.progress.phase("planning");
        let load = self.load()?;
        for (side, toll) in [(Side::Local, load.local), (Side::Remote, load.remote)] {
            if toll.brake() == Brake::Held {
                report.hold(toll.removals, "", &super::removals::approval(side, toll));
            }
        }
        let snapshot = self.trees.snapshot()?;
        for key in snapshot.dirty(None)? {
            let key = key?;
            let Some((record, step)) = self.plan(&snapshot, &key)? else { continue };
            let moved = match record.synced.as_ref() {
                None => moved_from(&snapshot, &key)?.is_some(),
                Some(synced) => snapshot.departed(synced.local.inode)?.as_ref() == Some(&key),
            };
            let path = snapshot.path(&key)?;
            let bytes = match step {
                Step::Do(op) => bytes_of(op, &record),
                _ => record.local_print().map_or(0, |print| print.size),
            };
            let action = match step {
                _ if moved => continue,
                Step::Examine | Step::Do(Op::Merge) => "compare",
                Step::Do(Op::Up(Upward::Create | Upward::Replace)) => "upload",
                Step::Do(Op::Down(Downward::Create | Downward::Replace)) => "download",
                Step::Do(Op::Up(Upward::Resolve) | Op::Down(Downward::Resolve)) => "compare",
                Step::Do(Op::Up(Upward::MakeFolder)) => "make-folder-remote",
                Step::Do(Op::Down(Downward::MakeFolder)) => "make-folder-local",
                Step::Do(Op::Up(Upward::Remove | Upward::RemoveFolder)) => "delete-remote",
                Step::Do(Op::Down(Downward::Remove | Downward::RemoveFolder)) => "delete-local",
                Step::Clash => {
                    report.hold(1, &path, &clash(&path));
                    continue;
                }
                Step::Nothing | Step::Wait | Step::Settle | Step::Forget => continue,
            };
            each(Intent { action, path, bytes })?;
        }
        Ok(())
    }
}

impl<'e> Pass<'e> {
    fn new(
        engine: &'e Engine,
        look: &'e Look,
        report: &'e mut Report,
        number: u32,
    ) -> Result<Self> {
        Ok(Pass {
            engine,
            batch: engine.trees.batch()?,
            report,
            look,
            number,
            committed: Instant::now(),
            commits: 0,
            progress: false,
            halt: None,
            no_up: false,
            no_room: None,
            leave: Vec::new(),
            ensured: None,
        })
    }

    /// Everything but removals.
    fn transfer(&mut self) -> Result<()> {
        let engine = self.engine;
        engine.progress.phase("transferring");
        with_pool(&context(engine), engine.transfers, |pool| {
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
        if snapshot.folder_path(key.folder)?.is_none() {
            // Its folder's row is lost, so nothing can be said of it; the next look finds it.
            self.batch.put(key, Record::new(record.node))?;
            return Ok(None);
        }
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
                let path = snapshot.path(&key)?;
                if self.number == 0 {
                    self.report.hold(1, &path, &clash(&path));
                }
                self.note(key, &clash(&path))?;
                return Ok(None);
            }
            Step::Examine | Step::Do(_) => {}
        }
        let path = snapshot.path(&key)?;
        if let Some(problem) = snapshot.problem(&key)? {
            if self.number > 0 {
                // It failed in this cycle already.
                return Ok(None);
            }
            if problem.settled && !self.look.retry {
                self.report.known(&path, problem);
                return Ok(None);
            }
        }
        match self.prepare(snapshot, &key, &record, step) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(Job {
                path,
                local: record.local_print().copied(),
                remote: record.remote_print().cloned(),
                content: record.synced.as_ref().and_then(|synced| synced.content),
                work: match step {
                    Step::Do(op) => Work::Step(op),
                    _ => Work::Examine,
                },
                key,
            })),
            Err(error) => {
                self.fail(key, &path, error)?;
                Ok(None)
            }
        }
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
            Step::Do(Op::Up(_)) if self.no_up => Ok(false),
            Step::Do(op @ Op::Down(_))
                if self.no_room.is_some_and(|size| bytes_of(op, record) >= size) =>
            {
                Ok(false)
            }
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
                self.progress |= engine.ensure_local_folder(&mut self.batch, record.node)?;
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
                Ok(there)
            }
            _ => Ok(true),
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
        if self.committed.elapsed() >= COMMIT_AFTER {
            self.batch.commit()?;
            self.committed = Instant::now();
            self.commits += 1;
        }
        Ok(())
    }

    fn done(&mut self, key: Key, path: &str, done: Done) -> Result<()> {
        let record = self.batch.get(&key)?;
        let mut record = record.unwrap_or_else(|| Record::new(0));
        self.progress = true;
        match done {
            Done::Uploaded(synced) => {
                self.report.uploaded += 1;
                self.event("uploaded", path, synced.local.size, "")?;
                if synced.local.size >= NOTED_BYTES {
                    self.batch.set_transfer(key.clone(), None)?;
                }
                self.agree(key, record, synced)
            }
            Done::Downloaded(synced) => {
                self.report.downloaded += 1;
                self.event("downloaded", path, synced.local.size, "")?;
                self.agree(key, record, synced)
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
            Done::RemovedLocal => {
                self.report.deleted_local += 1;
                self.event("deleted-local", path, 0, "")?;
                record.see_local(None);
                self.put_or_forget(key, record)
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
            Done::Purged(results) => {
                for (doomed, result) in results {
                    match result {
                        Ok(()) => {
                            self.report.deleted_remote += 1;
                            self.event("deleted-remote", &doomed.path, 0, "")?;
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
            Done::Moved { .. } => Err(lost_row(path)),
        }
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
            Reaction::Replan if self.number < PATIENT_PASSES => {
                tracing::debug!(path, reason = error.reason(), "looking again");
                self.batch.flush()?;
                match self.engine.refresh(&key) {
                    Ok(()) => {
                        self.progress = true;
                        Ok(())
                    }
                    Err(worse) => self.fail_for_good(key, path, worse),
                }
            }
            _ => self.fail_for_good(key, path, error),
        }
    }

    fn fail_for_good(&mut self, key: Key, path: &str, error: Error) -> Result<()> {
        match (error.kind(), error.kind().reaction()) {
            (Kind::DiskFull, _) => {
                // What is smaller may still find room.
                let record = self.batch.get(&key)?;
                let size = record.as_ref().and_then(Record::remote_print).map_or(0, |it| it.size);
                self.no_room = Some(self.no_room.map_or(size, |least| least.min(size)));
            }
            (Kind::QuotaFull, _) => self.no_up = true,
            // One file's trouble if the service answers otherwise.
            (Kind::Offline | Kind::Busy, _) if self.engine.is_reachable() => {}
            (_, Reaction::Wait | Reaction::Ask | Reaction::Stop) => {
                // The first reason is the one to tell; those after it follow from it.
                self.halt.get_or_insert(error);
                return Ok(());
            }
            _ => {}
        }
        tracing::warn!(path, reason = error.reason(), "not synced");
        self.report.fail(path, &error);
        self.event("error", path, 0, &error.to_string())?;
        self.note(key, &error)
    }

    fn note(&mut self, key: Key, error: &Error) -> Result<()> {
        let known = self.engine.trees.snapshot()?.problem(&key)?;
        let problem = Problem {
            kind: error.kind().word().into(),
            reason: error.reason(),
            remedy: error.advice().into(),
            since: known.as_ref().map_or_else(now, |known| known.since),
            settled: error.kind().reaction() == Reaction::Skip,
        };
        if known.as_ref() == Some(&problem) {
            return Ok(());
        }
        self.batch.set_problem(key, Some(problem))
    }

    pub fn event(&mut self, action: &str, path: &str, bytes: u64, detail: &str) -> Result<()> {
        self.batch.event(Event {
            time: now(),
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

    fn end(mut self) -> Result<bool> {
        self.stop_if_halted()?;
        self.batch.flush()?;
        Ok(self.progress)
    }
}

/// What jobs of this engine are given.
pub(super) fn context(engine: &Engine) -> Context<'_> {
    Context {
        ways: &engine.ways,
        trees: &engine.trees,
        progress: &engine.progress,
        cancel: &engine.cancel,
    }
}

fn bytes_of(op: Op, record: &Record) -> u64 {
    let local = record.local_print().map_or(0, |print| print.size);
    let remote = record.remote_print().map_or(0, |print| print.size);
    match op {
        Op::Up(Upward::Create | Upward::Replace | Upward::Resolve) => local,
        Op::Down(Downward::Create | Downward::Replace | Downward::Resolve) => remote,
        Op::Merge => local.max(remote),
        Op::Up(_) | Op::Down(_) => 0,
    }
}

pub(super) fn clash(path: &str) -> Error {
    Error::new(Kind::Approval, path, "one side has a file and the other a folder of this name")
        .remedy("rename one of them")
}
