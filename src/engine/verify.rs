//! Verifying: what the disk and the service have is compared with what both agreed on, and nothing
//! is changed. The disk is walked, the service listed and the state read in one order, side by
//! side; contents are read one after another.
//!
//! What a person or a program changed since the last sync shows: its size, its times or its version
//! is another. The next sync sees to that. Damage is what nobody did: a content that changed though
//! none of these did.

use super::consistency::{ALTERED, REMEDY};
use super::told::Told;
use super::{Engine, Trouble, about_state, trees_file};
use crate::error::{Error, Kind, Result};
use crate::execute::sums;
use crate::hash::{Hash, HashKind};
use crate::model::{Fingerprint, ItemKind, LocalPrint, RemotePrint, Side};
use crate::observe::{Item, Listed, Row, Rows, Sight, Walk, kind_of, plain, tell_remote};
use crate::plan::Step;
use crate::store::{Facet, Record, Snapshot, Synced};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The node of a folder that the state doesn't know: none has it, nor the one after it.
const NO_NODE: u64 = u64::MAX - 1;
const RESIZED: &str = "the service has it in another size, but in the version that was agreed on";
const REMEDY_THERE: &str =
    "look at what the service has; if that is damaged, save the local file over it there";

const LOST: &str = "the service hasn't got it any more, and its change feed doesn't say so";
const SWAPPED: &str = "the service has another version of it, and its change feed doesn't say so";
const REMEDY_UNTOLD: &str = "verify once more; if it is told again, stop the daemon and remove the \
     task's state: both sides are then compared anew, and nothing is removed";

/// How a task is to be verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrutiny {
    /// The path after which to go on, as [`Verified::next`] told it; empty for everything.
    pub after: String,
    /// Whether local contents aren't read: sizes, times and versions are compared only.
    pub quick: bool,
    /// About how long it may take, and how many findings it may tell; no end to either without it.
    pub most: Option<(Duration, u64)>,
}

/// An item that isn't as both sides agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The item, from the task's root on.
    pub path: String,
    /// damaged; not-synced for what changed since the last sync; failed for what couldn't be
    /// looked at.
    pub state: String,
    /// The side that is damaged or couldn't be looked at.
    pub side: Option<Side>,
    /// What is the matter.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// What came of verifying.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Files looked at.
    pub files: u64,
    /// Files whose content was read from the disk.
    pub read: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Files of these whose content the service's hash confirmed too.
    pub confirmed: u64,
    /// Items that are damaged.
    pub damaged: u64,
    /// Items that changed since the last sync.
    pub not_synced: u64,
    /// Items that differ because the task's direction, or that it keeps removed files, leaves them
    /// so.
    pub left: u64,
    /// Items that a rule leaves out, those in skipped folders not counted.
    pub skipped: u64,
    /// Items that aren't synced because they wait for a person already.
    pub held: u64,
    /// Items that couldn't be looked at.
    pub failed: u64,
    /// Where to go on; `None` when everything was verified.
    pub next: Option<String>,
    /// What ended it early, if anything did.
    pub stopped: Option<Trouble>,
}

impl Verified {
    /// Adds what came of going on from here.
    pub fn add(&mut self, more: Verified) {
        let sums = [
            (&mut self.files, more.files),
            (&mut self.read, more.read),
            (&mut self.bytes, more.bytes),
            (&mut self.confirmed, more.confirmed),
            (&mut self.damaged, more.damaged),
            (&mut self.not_synced, more.not_synced),
            (&mut self.left, more.left),
            (&mut self.skipped, more.skipped),
            (&mut self.held, more.held),
            (&mut self.failed, more.failed),
        ];
        for (sum, count) in sums {
            *sum += count;
        }
        (self.next, self.stopped) = (more.next, more.stopped);
    }
}

impl Engine {
    /// Compares disk, state and service, telling what differs to `each` as it is found. Changes
    /// nothing.
    ///
    /// # Errors
    /// What keeps it from beginning. What ends it later is told with where to go on.
    pub fn verify(
        &mut self,
        scrutiny: &Scrutiny,
        each: &mut dyn FnMut(Finding) -> Result<()>,
    ) -> Result<Verified> {
        self.progress.reset();
        let proved = self.proved;
        let verified = self.guarded(|engine| engine.verify_from(scrutiny, each));
        // What is known of the roots isn't noted.
        self.proved = proved;
        verified
    }

    fn verify_from(
        &mut self,
        scrutiny: &Scrutiny,
        each: &mut dyn FnMut(Finding) -> Result<()>,
    ) -> Result<Verified> {
        let trees = self.trees.clone();
        let snapshot = trees.snapshot()?;
        self.prove_roots(&snapshot, &mut trees.batch()?, false)?;
        self.progress.phase("verifying");
        let engine = &*self;
        let mut audit = Audit {
            engine,
            snapshot: &snapshot,
            scrutiny,
            begun: engine.clock.running(),
            disk: Ahead::new(Walk::disk(engine.disk(), &engine.state, &engine.names)),
            rows: Ahead::new(Rows::new(&snapshot)),
            passed: None,
            spot: scrutiny.after.clone(),
            full: false,
            told: Told::since_last_look(engine)?,
            verified: Verified::default(),
            each,
        };
        let result = audit.run();
        let Audit { mut verified, spot, full, .. } = audit;
        if let Err(error) = result {
            verified.next = Some(spot);
            if !full {
                let error = about_state(&trees_file(&self.state, self.task.id), error);
                verified.stopped = Some(Trouble::of("", &error));
            }
        }
        Ok(verified)
    }
}

/// A walk, and the item it is at.
struct Ahead<W, I> {
    walk: W,
    item: Option<I>,
}

impl<W, I> Ahead<W, I> {
    fn new(walk: W) -> Self {
        Ahead { walk, item: None }
    }
}

/// What is at a place on either side and in the state.
struct Found {
    path: String,
    local: Option<Item<LocalPrint>>,
    row: Option<Row>,
    remote: Option<Item<Listed>>,
}

struct Audit<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot,
    scrutiny: &'a Scrutiny,
    begun: Duration,
    disk: Ahead<Walk<'a, LocalPrint>, Item<LocalPrint>>,
    rows: Ahead<Rows<'a>, Row>,
    /// A folder that is passed over with all that is in it.
    passed: Option<String>,
    /// The item after which to go on.
    spot: String,
    /// It has taken or told as much as it may.
    full: bool,
    told: Told,
    verified: Verified,
    each: &'a mut dyn FnMut(Finding) -> Result<()>,
}

impl Audit<'_> {
    fn run(&mut self) -> Result<()> {
        let engine = self.engine;
        let told = tell_remote(
            engine.remote.as_ref(),
            engine.descriptor.listing,
            &engine.state,
            &engine.names,
            self.snapshot,
            &mut |sight| match sight {
                Sight::There(item) => {
                    self.catch_up(Some(&item.path))?;
                    self.meet(item.path.clone(), Some(item))
                }
                Sight::Unread(folder, error) => {
                    self.unread(&folder, Side::Remote, &error).map(|()| false)
                }
            },
        );
        told.map_err(|error| match error.kind() {
            Kind::NotFound => error.meaning(Kind::RootLost),
            _ => error,
        })?;
        self.catch_up(None)
    }

    /// Deals with what the service hasn't got before `path`, or to the end.
    fn catch_up(&mut self, path: Option<&str>) -> Result<()> {
        loop {
            self.fill()?;
            let local = self.disk.item.as_ref().map(|item| &item.path);
            let row = self.rows.item.as_ref().map(|row| &row.path);
            let first = local.into_iter().chain(row).min();
            match first {
                Some(first) if path.is_none_or(|path| first.as_str() < path) => {
                    let first = first.clone();
                    self.meet(first, None)?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Goes on to the next item of the disk and of the state where the last one is dealt with.
    fn fill(&mut self) -> Result<()> {
        while self.disk.item.is_none() {
            match self.disk.walk.next()? {
                Some(Sight::There(item)) => self.disk.item = Some(item),
                Some(Sight::Unread(folder, error)) => self.unread(&folder, Side::Local, &error)?,
                None => break,
            }
        }
        if self.rows.item.is_none() {
            self.rows.item = self.rows.walk.next()?;
        }
        Ok(())
    }

    /// Notes that a folder can't be looked at: nothing is concluded about what is in it.
    fn unread(&mut self, path: &str, side: Side, error: &Error) -> Result<()> {
        self.pass_if_folder(path);
        self.fail(path, side, error)
    }

    /// Deals with the item at `path`. Tells whether to go into it.
    fn meet(&mut self, path: String, remote: Option<Item<Listed>>) -> Result<bool> {
        let local = self.disk.item.take_if(|item| item.path == path);
        let row = self.rows.item.take_if(|row| row.path == path);
        let (on_disk, in_state) = (local.is_some(), row.is_some());
        let enter = self.look_at(Found { path, local, row, remote })?;
        if !enter && on_disk {
            self.disk.walk.pass();
        }
        if !enter && in_state {
            self.rows.walk.pass();
        }
        Ok(enter)
    }

    fn look_at(&mut self, found: Found) -> Result<bool> {
        if self.passed.as_ref().is_some_and(|folder| found.path.starts_with(folder)) {
            return Ok(false);
        }
        let done = found.path <= self.scrutiny.after;
        if found.is_skipped(self.engine) {
            self.pass_if_folder(&found.path);
            self.verified.skipped += u64::from(!done);
            return Ok(false);
        }
        let is_folder = kind_of(&found.path) == ItemKind::Folder;
        if done {
            let leads_on = is_folder && self.scrutiny.after.starts_with(&found.path);
            if !leads_on {
                self.pass_if_folder(&found.path);
            }
            return Ok(leads_on);
        }
        self.engine.cancel.check()?;
        self.stop_if_full()?;
        let path = found.path.clone();
        self.judge(found)?;
        self.spot = path;
        Ok(is_folder)
    }

    /// Passes over a folder with all that is in it.
    fn pass_if_folder(&mut self, path: &str) {
        if kind_of(path) == ItemKind::Folder {
            self.passed = Some(path.to_owned());
        }
    }

    fn stop_if_full(&mut self) -> Result<()> {
        let Some((time, findings)) = self.scrutiny.most else { return Ok(()) };
        let Verified { damaged, not_synced, failed, .. } = self.verified;
        let took = self.engine.clock.running().saturating_sub(self.begun);
        // A little further each time, however slow it is.
        let moved = self.spot != self.scrutiny.after;
        self.full = moved && (took >= time || damaged + not_synced + failed >= findings);
        if self.full { Err(Error::cancelled()) } else { Ok(()) }
    }

    fn judge(&mut self, found: Found) -> Result<()> {
        let Found { path, local, row, remote } = found;
        let is_file = kind_of(&path) == ItemKind::File;
        let mut record = row.as_ref().map_or_else(
            || Record::new(if is_file { 0 } else { NO_NODE }),
            |row| Record { skip: None, ..row.record.clone() },
        );
        record.see_local(local.map(|item| item.print));
        let (print, hash) = remote.map(|item| (item.print.print, item.print.hash)).unzip();
        if let (Some(synced), Some(print)) = (&record.synced, &print)
            && is_altered(synced, print)
        {
            return self.damaged(&path, Side::Remote, RESIZED);
        }
        record.see_remote(print);
        if is_file {
            self.verified.files += 1;
            self.engine.progress.saw();
            let hash = hash.flatten().filter(|_| record.remote == Facet::AsSynced);
            if !self.check_content(&path, &mut record, hash)? {
                return Ok(());
            }
        }
        if record.is_clean() {
            return Ok(());
        }
        if let Some(row) = &row
            && self.is_untold(row, &record)?
        {
            let cause = if record.remote == Facet::Gone { LOST } else { SWAPPED };
            self.verified.damaged += 1;
            return self.tell(&path, "damaged", Some(Side::Remote), cause, REMEDY_UNTOLD);
        }
        if let Some(Row { key, record: known, .. }) = &row {
            // There is nothing to do about it, as the last sync found.
            if *known == record && !self.snapshot.is_dirty(key)? {
                self.verified.left += 1;
                return Ok(());
            }
            let problem = self.snapshot.problem(key)?;
            if problem.is_some_and(|problem| problem.waits_for_person()) {
                self.verified.held += 1;
                return Ok(());
            }
        }
        if self.engine.plan_alone(self.snapshot, &record)? == Step::Nothing {
            self.verified.left += 1;
            return Ok(());
        }
        self.not_synced(&path, words_for(&record))
    }

    /// Whether the service has something else than the state says, though it has a change feed and
    /// that didn't tell.
    fn is_untold(&mut self, known: &Row, record: &Record) -> Result<bool> {
        let is_news = known.record.synced.is_some()
            && known.record.remote == Facet::AsSynced
            && record.remote != Facet::AsSynced;
        let Some(feed) = self.engine.remote.feed().filter(|_| is_news) else { return Ok(false) };
        let mut ids = vec![known.record.remote_id().into(), record.remote_id().into()];
        let mut folder = known.key.folder;
        while let Some(key) = self.snapshot.folder_key(folder)? {
            ids.extend(self.snapshot.get(&key)?.map(|record| record.remote_id().into()));
            folder = key.folder;
        }
        Ok(!self.told.has(feed, plain(&known.path), &ids)?)
    }

    /// Reads the local content of a file that looks as it was agreed on, and compares it with what
    /// was agreed on and with the hash that the service `told`. Tells whether nothing is wrong.
    fn check_content(
        &mut self,
        path: &str,
        record: &mut Record,
        told: Option<Hash>,
    ) -> Result<bool> {
        let Some(synced) = record.synced.as_ref().filter(|_| !self.scrutiny.quick) else {
            return Ok(true);
        };
        let (print, agreed) = match record.local {
            Facet::AsSynced => (synced.local, synced.content),
            Facet::Suspect(print) => (print, synced.content),
            Facet::Gone | Facet::Now(_) => return Ok(true),
        };
        if agreed.is_none() && told.is_none() {
            return Ok(true);
        }
        let (content, hash) = match self.read(path, &print, told.map(|hash| hash.kind())) {
            Ok(read) => read,
            Err(error) => return self.unreadable(path, error).map(|()| false),
        };
        if agreed.is_some_and(|agreed| agreed != content) {
            if record.local == Facet::AsSynced {
                return self.damaged(path, Side::Local, ALTERED).map(|()| false);
            }
            record.local = Facet::Now(print);
            return Ok(true);
        }
        // Touched, if anything.
        record.local = Facet::AsSynced;
        match told {
            Some(told) if hash != Some(told) => {
                let cause =
                    format!("the service's {} of it is of another content", told.kind().label());
                return self.damaged(path, Side::Remote, &cause).map(|()| false);
            }
            told => self.verified.confirmed += u64::from(told.is_some()),
        }
        Ok(true)
    }

    fn read(
        &mut self,
        path: &str,
        print: &LocalPrint,
        kind: Option<HashKind>,
    ) -> Result<(Fingerprint, Option<Hash>)> {
        let file = self.engine.disk().open(path, print)?;
        let read = sums(&file, kind, &self.engine.cancel)?;
        self.verified.read += 1;
        self.verified.bytes += print.size;
        Ok(read)
    }

    /// Deals with a file that can't be read.
    fn unreadable(&mut self, path: &str, error: Error) -> Result<()> {
        match error.kind() {
            Kind::Disk => self.damaged(path, Side::Local, &error.reason()),
            // Somebody works on it.
            Kind::Changed | Kind::NotFound | Kind::InUse => self.not_synced(path, error.reason()),
            kind if kind.reaction().ends_cycle() => Err(error),
            _ => self.fail(path, Side::Local, &error),
        }
    }

    fn damaged(&mut self, path: &str, side: Side, cause: &str) -> Result<()> {
        self.verified.damaged += 1;
        let remedy = match side {
            Side::Local => REMEDY,
            Side::Remote => REMEDY_THERE,
        };
        self.tell(path, "damaged", Some(side), cause, remedy)
    }

    fn not_synced(&mut self, path: &str, reason: String) -> Result<()> {
        self.verified.not_synced += 1;
        self.tell(path, "not-synced", None, &reason, "nothing to do; the next sync sees to it")
    }

    fn fail(&mut self, path: &str, side: Side, error: &Error) -> Result<()> {
        self.verified.failed += 1;
        self.tell(path, "failed", Some(side), &error.reason(), error.advice())
    }

    fn tell(
        &mut self,
        path: &str,
        state: &str,
        side: Option<Side>,
        reason: &str,
        remedy: &str,
    ) -> Result<()> {
        (self.each)(Finding {
            path: plain(path).into(),
            state: state.into(),
            side,
            reason: reason.into(),
            remedy: remedy.into(),
        })
    }
}

impl Found {
    /// Whether a rule leaves the item out, as it is now; as it was, if it is nowhere.
    fn is_skipped(&self, engine: &Engine) -> bool {
        let local = self.local.as_ref().map(|item| (&item.skip, item.print.size));
        let remote = self
            .remote
            .as_ref()
            .map(|Item { skip, print, .. }| (skip, print.print.known_size().unwrap_or(0)));
        let sides = [local, remote];
        let most = sides.iter().flatten().map(|(_, size)| *size).max();
        match most {
            Some(most) => {
                sides.iter().flatten().any(|(skip, _)| skip.is_some())
                    || engine.names.check_size(most).is_some()
            }
            None => self.row.as_ref().is_some_and(|row| row.record.skip.is_some()),
        }
    }
}

/// Whether the service has another size in the very version that was agreed on.
fn is_altered(synced: &Synced, print: &RemotePrint) -> bool {
    let sizes = synced.remote.known_size().zip(print.known_size());
    !print.version.is_empty()
        && print.version == synced.remote.version
        && sizes.is_some_and(|(agreed, now)| agreed != now)
}

/// What changed since the last sync.
fn words_for(record: &Record) -> String {
    let is_new = record.synced.is_none();
    let local = word_for(&record.local, is_new).map(|word| format!("{word} here"));
    let remote = word_for(&record.remote, is_new).map(|word| format!("{word} on the service"));
    let words: Vec<_> = [local, remote].into_iter().flatten().collect();
    format!("since the last sync, it {}", words.join(", and "))
}

fn word_for<P>(facet: &Facet<P>, is_new: bool) -> Option<&'static str> {
    match facet {
        Facet::AsSynced => None,
        Facet::Gone => Some("went"),
        Facet::Suspect(_) => Some("was touched"),
        Facet::Now(_) if is_new => Some("came"),
        Facet::Now(_) => Some("changed"),
    }
}
