//! One task's cycle: observe, plan, execute, commit.
//!
//! A cycle costs what changed, not what there is. It looks at what it is told to look at, then
//! makes passes over the items that aren't clean: folders and transfers first, in as many passes
//! as it takes for nothing more to come of it, removals last. Mass removals and overwrites
//! wait for a person.
//!
//! In memory at any time: one batch of changed rows, the buffers of the running transfers, and
//! counters. Nothing else grows with what there is to do.

mod consistency;
mod folders;
mod full;
mod lookout;
mod moves;
mod notices;
mod pass;
mod planning;
mod preview;
mod recycle;
mod removals;
mod report;
mod sweeps;
mod told;
mod verify;

pub use crate::execute::{Turns, Workers};
pub use lookout::Ear;
pub use report::{Intent, Report, Trouble};
pub use sweeps::{Approval, Approved};
pub use verify::{Finding, Scrutiny, Verified};

use full::Full;
use pass::{Pass, has_look_alike};
use planning::Load;
use report::clash;
use sweeps::Recent;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind, Reaction, Result};
use crate::execute::{Context, Down, Source, Up, Ways, drop_upload};
use crate::http::{Cancel, Counters, Http};
use crate::local::{Disk, DiskWriter, RootId};
use crate::model::{Direction, ItemKind, RemotePrint, Side};
use crate::observe::{
    CURSOR, Digests, Observer, REMOTE_ROOT, ROOT_VERSION, RenamedHere, Scope, list_again,
};
use crate::plan::Step;
use crate::progress::Progress;
use crate::remote::{self, Descriptor, ENCRYPTION, Entry, Listing, Place, Remote, Service};
use crate::rules::{Day, NameCheck};
use crate::settings::Task;
use crate::store::{Batch, Facet, Hold, Key, Snapshot, Trees, decode, encode};
use std::cell::{Cell, RefCell};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Passes in one cycle. Each deals with what the one before brought up; three are usual.
const MOST_PASSES: u32 = 6;
/// Renamed folders that are told apart in a look at some folders.
const MOST_FOLLOWED: usize = 64;
/// First byte of the stored identity of the local root.
const ROOT_FORMAT: u8 = 1;
/// Fact: files are being sent to where names may repeat. It stays when a cycle doesn't come to a good
/// end: what was made by then, and isn't told yet, would be made once more.
const SENDING: &str = "sending";
/// Fact: the identity of the local root.
const LOCAL_ROOT: &str = "local-root";
/// Fact: the revision of the task's settings that the items were planned by.
const REVISION: &str = "revision";
/// Fact: a cycle under these settings has looked at all of both sides.
const LOOKED: &str = "looked";

/// A task, opened to be synced.
pub struct Engine {
    trees: Arc<Trees>,
    ways: Ways,
    remote: Arc<dyn Remote>,
    descriptor: &'static Descriptor,
    names: NameCheck,
    task: Task,
    workers: Workers,
    clock: Arc<dyn Clock>,
    state: PathBuf,
    counters: Arc<Counters>,
    progress: Arc<Progress>,
    cancel: Cancel,
    /// A cycle ended early, or the rules changed: the next look is at everything.
    unsure: bool,
    /// What was sent in an earlier cycle may be there, and nobody told.
    doubts: bool,
    /// Where the service's change feed is to be gone on with; in the state once there is something
    /// to write anyway.
    cursor: Option<String>,
    /// Folders that were renamed on the disk because they were on the service: from where, to where.
    followed: RefCell<Vec<(String, String)>>,
    /// The remote root proved to be the one that was linked.
    proved: bool,
    /// What the last look at the service's listings saw.
    digests: RefCell<Digests>,
    /// Both sides are as agreed as far as anybody knows, and what is known here is what the state
    /// says: as long as the service has no news, a poll needs neither the state nor the disk.
    settled: Cell<bool>,
    /// Items that are skipped, as of the last cycle that looked at the state.
    skipped: u64,
    recent: RefCell<Recent>,
    full: RefCell<Full>,
    /// The last day on which the recycle area couldn't be read or cleared.
    unable: Cell<Option<Day>>,
}

/// What a cycle looks at.
#[derive(Clone, Debug)]
pub struct Look {
    /// The local folders to look at.
    pub local: LocalLook,
    /// Whether to ask the service.
    pub remote: bool,
    /// The mass removals and overwrites that a person said yes to.
    pub approve: Approval,
    /// Whether to try again what can't work until it changes, because a person asks.
    pub retry: bool,
    /// About how many bytes of files that look unchanged to read again, where the task has the
    /// consistency check.
    pub verify: u64,
}

impl Look {
    /// Whether only the service is asked whether there is something new.
    fn is_poll(&self) -> bool {
        let Look { local, remote, approve, retry, verify } = self;
        matches!(local, LocalLook::Nothing)
            && *remote
            && *approve == Approval::NONE
            && !retry
            && *verify == 0
    }
}

/// Which part of the disk a cycle looks at.
#[derive(Clone, Debug)]
pub enum LocalLook {
    /// Everything.
    All,
    /// These folders, and what is new in them.
    Folders(Vec<String>),
    /// Nothing.
    Nothing,
}

/// Everything needed to open a task.
pub struct Setup<'a> {
    /// The task.
    pub task: &'a Task,
    /// Its local folder.
    pub disk: Disk,
    /// The service of its connection.
    pub service: &'static dyn Service,
    /// The values of its connection, secrets unsealed.
    pub values: &'a remote::Settings,
    /// The state folder.
    pub state: &'a Path,
    /// Transfers at the same time.
    pub transfers: usize,
    /// Lines of history kept.
    pub history: u64,
    /// To stop it.
    pub cancel: Cancel,
}

/// What an engine works with, opened.
pub struct Parts {
    /// The task's state.
    pub trees: Trees,
    /// The local side.
    pub disk: Disk,
    /// The remote side.
    pub remote: Arc<dyn Remote>,
    /// The service of the remote side.
    pub descriptor: &'static Descriptor,
    /// Counts what is sent and fetched.
    pub counters: Arc<Counters>,
    /// Who carries out what takes time.
    pub workers: Workers,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The state folder.
    pub state: PathBuf,
    /// Lines of history kept.
    pub history: u64,
    /// To stop it.
    pub cancel: Cancel,
}

impl Engine {
    /// Opens a task's state and its remote side, sending nothing.
    pub fn open(setup: Setup<'_>) -> Result<Engine> {
        let trees = open_trees(setup.state, setup.task.id)?;
        Engine::open_on(trees, setup)
    }

    /// Opens a task only to verify it: its state isn't written.
    ///
    /// # Errors
    /// `NotFound` when it was never synced.
    pub fn open_to_verify(setup: Setup<'_>) -> Result<Engine> {
        let file = trees_file(setup.state, setup.task.id);
        if !file.exists() {
            let what = format!("task {}", setup.task.name);
            return Err(Error::new(Kind::NotFound, what, "it was never synced")
                .remedy("sync it first: what both sides agree on is what is verified"));
        }
        let trees = Trees::open_to_read(&file).map_err(|error| about_state(&file, error))?;
        Engine::open_on(trees, setup)
    }

    fn open_on(trees: Trees, setup: Setup<'_>) -> Result<Engine> {
        let Setup { task, disk, service, values, state, transfers, history, cancel } = setup;
        let (remote, counters) = open_remote(task, service, values, transfers, cancel.clone())?;
        let parts = Parts {
            remote,
            trees,
            disk,
            descriptor: service.descriptor(),
            counters,
            workers: Workers::Threads(transfers.clamp(1, 20)),
            clock: Arc::new(SystemClock::default()),
            state: state.into(),
            history,
            cancel,
        };
        Ok(Engine::with(task, parts))
    }

    /// An engine of these parts.
    pub fn with(task: &Task, parts: Parts) -> Engine {
        let Parts { trees, disk, remote, descriptor, counters, workers, .. } = parts;
        trees.keep_history(parts.history);
        let up = || Up { disk: disk.clone(), remote: remote.clone() };
        let down = || Down {
            disk: disk.clone(),
            writer: DiskWriter::for_task(disk.clone(), task.id),
            remote: Source::new(remote.clone()),
        };
        let ways = match task.direction {
            Direction::Both => Ways::Both(up(), down()),
            Direction::Upload => Ways::Upload(up()),
            Direction::Download => Ways::Download(down()),
        };
        let holds = trees.snapshot().and_then(|snapshot| snapshot.holds());
        Engine {
            trees: Arc::new(trees),
            ways,
            remote,
            descriptor,
            names: task.names(descriptor),
            task: task.clone(),
            workers,
            clock: parts.clock,
            state: parts.state,
            counters,
            progress: Arc::default(),
            cancel: parts.cancel,
            unsure: holds.is_ok_and(|holds| holds.iter().any(Hold::stops_all)),
            doubts: false,
            cursor: None,
            followed: RefCell::default(),
            proved: false,
            recent: RefCell::default(),
            digests: RefCell::default(),
            settled: Cell::default(),
            skipped: 0,
            full: RefCell::default(),
            unable: Cell::default(),
        }
    }

    /// How far the running cycle is.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// The task's state, to show history, skipped items and problems, even while a cycle runs.
    pub fn trees(&self) -> &Arc<Trees> {
        &self.trees
    }

    /// Syncs once. Items that fail are in the report; an error ends the whole cycle.
    pub fn cycle(&mut self, look: &Look) -> Result<Report> {
        let begun = self.clock.running();
        let before = self.counts();
        self.progress.reset();
        let mut report = Report::default();
        let result = self.guarded(|engine| {
            let result = engine.run(look, &mut report);
            match &result {
                Err(error) if !engine.settled.get() => engine.note_end(error).and(result),
                _ => result,
            }
        });
        self.unsure = result.is_err() && !self.settled.get();
        result?;
        let after = self.counts();
        report.requests = after[0] - before[0];
        report.bytes_up = after[1] - before[1];
        report.bytes_down = after[2] - before[2];
        report.seconds = self.clock.running().saturating_sub(begun).as_secs_f64();
        report.skipped = self.skipped;
        Ok(report)
    }

    /// Tells what a cycle would do, doing nothing on either side.
    pub fn preview(&mut self, each: &mut dyn FnMut(Intent) -> Result<()>) -> Result<Report> {
        self.guarded(|engine| {
            let trees = engine.trees.clone();
            // What is known beside the state is taken back with it.
            let before = (engine.cursor.clone(), engine.proved, engine.unsure);
            engine.settled.set(false);
            let report = trees.trial(|| engine.look_ahead(each));
            (engine.cursor, engine.proved, engine.unsure) = before;
            engine.digests.take();
            report
        })
    }

    /// Does some work, and lets go of the local folder after it. redb panics on some damaged
    /// files: that ends the work, not the process.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let result = catch_unwind(AssertUnwindSafe(|| work(self)));
        self.disk().release();
        self.progress.phase("");
        let damaged = |_| Err(Error::new(Kind::State, "the state", "it is damaged"));
        let file = trees_file(&self.state, self.task.id);
        result.unwrap_or_else(damaged).map_err(|error| about_state(&file, error))
    }

    fn run(&mut self, look: &Look, report: &mut Report) -> Result<()> {
        let polled = self.settled.get() && look.is_poll();
        if polled {
            let result = self.observe_remote(report);
            if self.settled.get() {
                if let Err(error) = &result {
                    // To be without the service for a while is no news.
                    self.settled.set(error.kind().reaction() == Reaction::Wait);
                }
                return result;
            }
            result?;
        }
        self.settled.set(false);
        self.check_origin()?;
        self.check_roots(true)?;
        self.check_revision()?;
        let mut followed = self.followed.take();
        let asked = look.remote || self.unsure;
        if asked && (!polled || self.unsure) {
            self.observe_remote(report)?;
        }
        let renamed = match &look.local {
            _ if self.unsure => self.observe_local(Scope::All, report)?,
            LocalLook::All => self.observe_local(Scope::All, report)?,
            LocalLook::Folders(folders) => {
                followed.extend(self.followed.borrow().iter().cloned());
                match by_new_paths(folders, &followed) {
                    Some(folders) => self.observe_local(Scope::Folders(&folders), report)?,
                    None => self.observe_local(Scope::All, report)?,
                }
            }
            LocalLook::Nothing => Vec::new(),
        };
        let news = !renamed.is_empty() || self.trees.snapshot()?.dirty_count()? > 0;
        // With a feed it costs a request, and spares conflicts with what is there by now.
        if !asked && news && self.remote.feed().is_some() {
            self.observe_remote(report)?;
        }
        self.rename_folders(renamed, report)?;
        self.full.borrow_mut().begin(self.clock.running(), look.retry);
        self.doubts = self.trees.snapshot()?.fact(SENDING)?.is_some();
        if self.trees.snapshot()?.dirty_count()? > 0 {
            self.move_files(report)?;
            self.passes(look, report)?;
        }
        self.full.borrow_mut().end(report);
        self.check_consistency(look, report)?;
        self.clear_recycled(look, report)?;
        self.tidy()?;
        let mut batch = self.trees.batch()?;
        self.note_holds(&mut batch, report)?;
        self.tell(&mut batch)?;
        if report.errors == 0 && self.trees.snapshot()?.fact(SENDING)?.is_some() {
            batch.set_fact(SENDING, None);
        }
        let all = self.unsure || matches!(look.local, LocalLook::All);
        if all && asked && self.trees.snapshot()?.fact(LOOKED)?.is_none() {
            batch.set_fact(LOOKED, Some(Vec::new()));
        }
        if report.did_something() || self.trees.is_loose() {
            self.write_cursor(&mut batch)?;
        }
        batch.trim_history()?;
        batch.commit()?;
        self.settle(report)?;
        self.trees.shrink()
    }

    /// Notes whether there is nothing to do until something changes.
    fn settle(&mut self, report: &Report) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        self.skipped = snapshot.skipped_count()?;
        let left = report.errors + report.held > 0
            || report.unverified
            || snapshot.dirty_count()? > 0
            || snapshot.transfers()?.next().is_some()
            || !snapshot.holds()?.is_empty();
        let noted = self.noted_cursor()?;
        let follows = self.lists() || noted.is_some();
        self.cursor = noted.map(|noted| self.cursor.take().unwrap_or(noted));
        self.digests.get_mut().note_root(snapshot.fact(ROOT_VERSION)?);
        self.settled.set(!left && follows);
        Ok(())
    }

    /// Whether nothing is to be done until something changes.
    pub fn is_settled(&self) -> bool {
        self.settled.get()
    }

    /// Closes the state until it is needed again, if nothing is to be done until something changes.
    pub fn rest(&self) {
        if self.is_settled() {
            self.trees.rest();
        }
    }

    /// Makes passes until nothing more comes of them.
    pub(super) fn passes(&mut self, look: &Look, report: &mut Report) -> Result<()> {
        let is_approved = look.approve != Approval::NONE;
        if is_approved {
            // What was done before isn't part of what was approved.
            self.recent.take();
        }
        for number in 0..MOST_PASSES {
            self.progress.phase("planning");
            let Load { files, bytes, census } = self.load()?;
            self.progress.expect(files, bytes);
            let brakes = self.brake(census, look.approve, report)?;
            self.full.borrow_mut().begin_pass();
            let mut pass = Pass::new(self, look, brakes, report, number)?;
            pass.transfer()?;
            pass.remove()?;
            let progress = pass.end()?;
            if !progress {
                break;
            }
        }
        if is_approved {
            // What was approved doesn't count against what comes next.
            self.recent.take();
        }
        self.hold_waiting(report)
    }

    /// Tells a person of what still waits for an item of its name to go: it doesn't.
    fn hold_waiting(&self, report: &mut Report) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        let mut batch = self.trees.batch()?;
        for key in snapshot.dirty(None)? {
            let key = key?;
            if let Some((_, Step::Wait)) = self.plan(&snapshot, &key)?
                && snapshot.get(&key.twin())?.is_some()
            {
                let path = snapshot.path(&key)?;
                report.hold(1, &path, &clash(&path));
                self.note_clash(&snapshot, &mut batch, &key)?;
            }
        }
        batch.flush()
    }

    /// Looks at both sides of one item again, because it isn't what it was planned against.
    fn refresh(&self, key: &Key) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        let Some(mut record) = snapshot.get(key)? else { return Ok(()) };
        let path = snapshot.path(key)?;
        let kind = key.kind();
        let found = self.disk().stat(&path)?.and_then(|found| found.of_kind(kind));
        let mut batch = self.trees.batch()?;
        let folder = self.folder_id(&batch, key.folder)?;
        let place = Place { path: &path, id: record.remote_id(), folder: &folder };
        let entry = self.remote.stat(place, kind)?.filter(|entry| entry.kind == kind);
        // What isn't there isn't gone where the root isn't there either.
        if found.is_none() && record.is_on(Side::Local) {
            self.expect_local_root(&snapshot, self.disk().anew().identity()?)?;
        }
        if entry.is_none() && record.is_on(Side::Remote) && !self.descriptor.folders_implied {
            self.find_remote_root(&snapshot)?;
        }
        let told = entry.as_ref().map_or("", |entry| &*entry.print.id);
        // One that was renamed is known by its new name already.
        let elsewhere =
            batch.of_id(told)?.is_some_and(|(at, record)| at != *key && record.is_on(Side::Remote));
        // One that a feed said is gone may be what it was, in a folder that left the task.
        let left = record.remote == Facet::Gone && self.remote.feed().is_some();
        // One of which the look said nothing may be another, by a name that the service takes for
        // the same.
        let another = entry.is_some()
            && !record.is_on(Side::Remote)
            && !self.descriptor.folders_implied
            && (!self.is_way_there(&batch, key.folder)? || has_look_alike(&snapshot, key)?);
        let entry = entry.filter(|_| !elsewhere && !left && !another);
        match kind {
            ItemKind::File => {
                record.see_local(found);
                // A look that was behind may have said that its folders are gone.
                if entry.is_some() && self.descriptor.folders_implied {
                    self.folders_appeared(&mut batch, key.folder)?;
                }
                // It may have gone with a root that comes back as it was.
                if entry.is_none() && record.is_on(Side::Remote) {
                    list_again(&mut batch, &snapshot, key.folder)?;
                }
                record.see_remote(entry.map(|entry| entry.print));
                let rule = self.names.check_size(record.most_bytes());
                record.see_skip(rule, Side::Local, self.clock.now());
            }
            // That a folder is gone concerns all that is in it, and a new version would stand for
            // what nobody has looked at: both are for the next look to tell. So is, with a feed,
            // that it is there: what is in it is looked at only when it turns up.
            ItemKind::Folder => {
                if found.is_some() {
                    record.see_local(found);
                }
                let may_appear = !record.is_on(Side::Remote) && self.remote.feed().is_none();
                if let Some(entry) = entry.filter(|_| may_appear) {
                    record.see_remote(Some(RemotePrint::folder(entry.print.id)));
                }
            }
        }
        batch.put(key.clone(), record)?;
        batch.flush()
    }

    /// Whether the service answers.
    fn is_reachable(&self) -> bool {
        self.remote.stat(Place::default(), ItemKind::Folder).is_ok()
    }

    /// What jobs are given.
    fn context(&self) -> Context<'_> {
        Context {
            ways: &self.ways,
            trees: &self.trees,
            progress: &self.progress,
            clock: self.clock.as_ref(),
            hash: self.descriptor.hash,
            verifies: self.task.consistency_check,
            // Of a bucket; folders are asked for themselves.
            listing_lags: self.descriptor.listing == Listing::Flat,
            doubts: self.doubts,
            recycles: self.recycles(),
            cancel: &self.cancel,
        }
    }

    fn observe_local(&self, scope: Scope<'_>, report: &mut Report) -> Result<Vec<RenamedHere>> {
        self.progress.phase("observing");
        let observer = self.observer();
        let renamed = observer.local(self.disk(), scope)?;
        report.unread(&observer);
        Ok(renamed)
    }

    fn observer(&self) -> Observer<'_> {
        Observer {
            trees: &self.trees,
            names: self.names.clone(),
            spill: &self.state,
            progress: &self.progress,
            cancel: &self.cancel,
            now: self.clock.now(),
            unread: RefCell::default(),
            settled: &self.settled,
        }
    }

    /// The local side.
    pub fn disk(&self) -> &Disk {
        self.ways.disk()
    }

    /// What a state that was brought back from a copy says was there may have been removed since,
    /// or made again: both sides are compared anew.
    pub(super) fn check_origin(&mut self) -> Result<()> {
        if !self.trees.is_copy()? {
            return Ok(());
        }
        tracing::warn!("the state is a copy that was put in its place: comparing both sides anew");
        self.cursor = None;
        self.unsure = true;
        self.trees.begin_anew(&[LOCAL_ROOT, REMOTE_ROOT, REVISION])
    }

    /// Proves that both roots are the ones that the task was linked with.
    fn check_roots(&mut self, link: bool) -> Result<()> {
        let trees = self.trees.clone();
        let mut batch = trees.batch()?;
        self.prove_roots(&trees.snapshot()?, &mut batch, link)?;
        batch.flush()
    }

    /// Proves the same, and puts what isn't known yet into the batch.
    fn prove_roots(
        &mut self,
        snapshot: &Snapshot,
        batch: &mut Batch<'_>,
        link: bool,
    ) -> Result<()> {
        let id = self.prove_local_root(snapshot)?;
        if snapshot.fact(LOCAL_ROOT)?.is_none() {
            batch.set_fact(LOCAL_ROOT, Some(encode(ROOT_FORMAT, &id)?));
        }
        if !self.descriptor.folders_implied {
            self.check_remote_root(snapshot, batch, link)?;
        }
        Ok(())
    }

    /// Holds the local root, which has to be the one that the task was linked with, if it was.
    fn prove_local_root(&self, snapshot: &Snapshot) -> Result<RootId> {
        let id = self.disk().hold()?;
        self.expect_local_root(snapshot, id).map(|()| id)
    }

    fn expect_local_root(&self, snapshot: &Snapshot, id: RootId) -> Result<()> {
        match linked_root(snapshot)? {
            Some(known) if known != id => {
                let what = format!("local folder {}", self.task.local.display());
                Err(Error::new(Kind::RootLost, what, "it isn't the one that was linked").remedy(
                    "mount its volume; if it was really moved, set the task's local folder anew",
                ))
            }
            _ => Ok(()),
        }
    }

    /// A service that keeps folders tells by itself when the root is lost; here it is made when a
    /// task is new. Where the root has an id, it has to be the same one whenever the task is
    /// opened: another account may have a folder of the same name.
    pub(super) fn check_remote_root(
        &mut self,
        snapshot: &Snapshot,
        batch: &mut Batch<'_>,
        link: bool,
    ) -> Result<()> {
        let known = snapshot.fact(REMOTE_ROOT)?;
        // A root without an id is known by its first item, if at all.
        if self.proved || known.as_deref() == Some(&[]) {
            return Ok(());
        }
        let root = match (self.find_remote_root(snapshot)?, self.ways.up()) {
            (Some(root), _) => root,
            (None, Some(up)) if link => up.remote.make_folder(Place::default())?.entry,
            (None, _) => return Ok(()),
        };
        if known.is_none() {
            batch.set_fact(REMOTE_ROOT, Some(root.print.id.as_bytes().to_vec()));
        }
        self.proved = true;
        Ok(())
    }

    /// The remote root, which has to be the one that the task was linked with; `None` when that is still
    /// to be made.
    fn find_remote_root(&self, snapshot: &Snapshot) -> Result<Option<Entry>> {
        let known = snapshot.fact(REMOTE_ROOT)?;
        let root = self.remote.stat(Place::default(), ItemKind::Folder)?;
        let (cause, remedy) = match (&root, known) {
            (None, None) if self.ways.up().is_some() => return Ok(None),
            (None, _) => ("it isn't there", "make it again, or correct the task's remote folder"),
            (Some(root), Some(id)) if !id.is_empty() && id != root.print.id.as_bytes() => (
                "it isn't the one that was linked",
                "sign in with the account that it was linked with; if it was really replaced, set \
                 the task's remote folder anew",
            ),
            (Some(_), _) => return Ok(root),
        };
        let what = format!("remote folder /{}", self.task.remote);
        Err(Error::new(Kind::RootLost, what, cause).remedy(remedy))
    }

    /// Plans everything anew when the task's settings changed, and sees to it that everything is
    /// looked at on both sides: what was left out may not be any more.
    pub(super) fn check_revision(&mut self) -> Result<()> {
        let revision = self.task.revision.to_le_bytes().to_vec();
        if self.trees.snapshot()?.fact(REVISION)?.as_ref() == Some(&revision) {
            return Ok(());
        }
        let mut batch = self.trees.batch()?;
        batch.set_fact(REVISION, Some(revision));
        batch.set_fact(LOOKED, None);
        // What was told by the old rules may be told differently now.
        batch.set_fact(CURSOR, None);
        batch.set_fact(ROOT_VERSION, None);
        self.cursor = None;
        self.unsure = true;
        batch.reconsider()
    }

    /// Removes what is left on both sides of transfers that nobody waits for.
    fn tidy(&self) -> Result<()> {
        let mut batch = self.trees.batch()?;
        for note in self.trees.snapshot()?.transfers()? {
            let (key, row) = note?;
            let dirty = batch.get(&key)?.is_some_and(|record| !record.is_clean());
            if !dirty {
                if let Some(up) = self.ways.up() {
                    drop_upload(up, &row);
                }
                batch.set_transfer(key, None)?;
            }
        }
        batch.flush()?;
        let Some(down) = self.ways.down() else { return Ok(()) };
        let unfinished = self.trees.snapshot()?.transfers()?.next().is_some();
        down.writer.tidy(&|_| unfinished)
    }

    fn counts(&self) -> [u64; 3] {
        let Counters { requests, bytes_up, bytes_down } = &*self.counters;
        [requests, bytes_up, bytes_down].map(|count| count.load(Relaxed))
    }
}

/// Folders that something happened in, as they are called now: it may have happened before they,
/// or those they are in, were renamed. `None` when that is too much to tell.
fn by_new_paths(folders: &[String], renamed: &[(String, String)]) -> Option<Vec<String>> {
    if folders.is_empty() || renamed.is_empty() {
        return Some(folders.to_vec());
    }
    if renamed.len() > MOST_FOLLOWED {
        return None;
    }
    let mut all = folders.to_vec();
    for (from, to) in renamed {
        let moved = |folder: &String| {
            let rest = folder.strip_prefix(from.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
        };
        let more: Vec<String> = all.iter().filter_map(moved).collect();
        all.extend(more);
    }
    Some(all)
}

/// Opens the remote side of a task, sending nothing, with what counts what is sent by it.
pub fn open_remote(
    task: &Task,
    service: &dyn Service,
    values: &remote::Settings,
    transfers: usize,
    cancel: Cancel,
) -> Result<(Arc<dyn Remote>, Arc<Counters>)> {
    let http = Http::new(&values.http_options(service.descriptor(), transfers), cancel)?;
    let counters = http.counters().clone();
    let mut values = values.clone();
    // How it is encrypted is no business of the adapter's.
    let settings = task.settings.iter().filter(|(key, _)| key != ENCRYPTION);
    values.extend(settings.cloned());
    Ok((service.open(&values, http, &task.remote)?, counters))
}

/// Opens the state of the task with this id.
pub fn open_trees(state: &Path, id: u64) -> Result<Trees> {
    // Where its volume isn't mounted, a new state would take the place of the one that is there.
    if !state.is_dir() {
        let what = format!("the state's folder {}", state.display());
        return Err(Error::new(Kind::Disk, what, "it isn't there").remedy(
            "mount its volume, and Mooring goes on by itself; if it is gone for good: mooring settings \
             state-location default",
        ));
    }
    let folder = state.join("tasks");
    fs::create_dir_all(&folder)
        .map_err(|error| Error::disk(format!("folder {}", folder.display()), error))?;
    let file = trees_file(state, id);
    Trees::open(&file).map_err(|error| about_state(&file, error))
}

/// Whether both sides have been looked at as a whole since the task's settings changed.
pub fn has_looked(snapshot: &Snapshot) -> Result<bool> {
    Ok(snapshot.fact(LOOKED)?.is_some())
}

/// What makes the local root that the task was linked with the one it is; `None` when it wasn't yet.
pub fn linked_root(snapshot: &Snapshot) -> Result<Option<RootId>> {
    let known = snapshot.fact(LOCAL_ROOT)?;
    known.map(|known| decode(ROOT_FORMAT, &known)).transpose()
}

fn trees_file(state: &Path, id: u64) -> PathBuf {
    state.join("tasks").join(format!("{id}.redb"))
}

/// Names the file of a state that can't be used, and what to do: it can be spared.
fn about_state(file: &Path, error: Error) -> Error {
    match error.kind() {
        Kind::State => error
            .context(format!("the state in {}", file.display()))
            .or_remedy("remove it: both sides are then compared anew, and nothing is removed"),
        _ => error,
    }
}

/// Whether an error needs a person (exit code 3) rather than time.
pub fn needs_person(error: &Error) -> bool {
    error.kind().reaction() == Reaction::Ask
}
