//! Executing: the steps of a plan, carried out by a bounded number of workers.
//!
//! What a task may do is what it was given: [`Up`] can write remotely and only look locally,
//! [`Down`] can write locally and only look remotely. An upload-only task has no [`Down`], so no
//! mistake in a plan can make it write locally.
//!
//! Nothing here knows the state: a [`Job`] carries what it needs, and an [`Outcome`] tells what
//! became of it. The buffers of one transfer are all that it costs in memory.

mod compare;
mod down;
mod hashing;
mod mend;
mod pool;
mod ranges;
mod up;

pub(crate) use hashing::{fingerprint, sums};
pub(crate) use pool::with_pool;
pub use pool::{Turns, Workers};

use crate::blocks::Blocks;
use crate::clock::Clock;
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::HashKind;
use crate::http::Cancel;
use crate::local::{Disk, DiskWriter};
use crate::model::ItemKind;
use crate::model::{Fingerprint, LocalPrint, RemotePrint, Version};
use crate::plan::{Downward, Op, Upward};
use crate::progress::Progress;
use crate::remote::{Composition, Download, Entry, Expect, Place, Remote, Removal, Resume};
use crate::rules::Day;
use crate::store::{Key, Synced, Trees, decode, encode};
use std::ops::Range;
use std::sync::Arc;

/// Bytes moved at once.
const BUFFER_BYTES: usize = 64 << 10;
/// First byte of an upload's note.
const UPLOAD_FORMAT: u8 = 1;
/// First byte of a download's note.
const DOWNLOAD_FORMAT: u8 = 2;

/// What may write to the remote side.
pub(crate) struct Up {
    pub disk: Disk,
    pub remote: Arc<dyn Remote>,
}

/// What may write to the local side.
pub(crate) struct Down {
    pub disk: Disk,
    pub writer: DiskWriter,
    pub remote: Source,
}

/// A remote side that can only be looked at.
#[derive(Clone)]
pub(crate) struct Source(Arc<dyn Remote>);

impl Source {
    pub fn new(remote: Arc<dyn Remote>) -> Self {
        Source(remote)
    }

    /// The file there: a folder of its name isn't the file.
    fn stat(&self, place: Place<'_>) -> Result<Option<Entry>> {
        let entry = self.0.stat(place, ItemKind::File)?;
        Ok(entry.filter(|entry| entry.kind == ItemKind::File))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        self.0.read(place, version, bytes)
    }

    fn composition(&self, place: Place<'_>, print: &RemotePrint) -> Result<Option<Composition>> {
        self.0.composition(place, print)
    }

    fn has_content(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<Option<bool>> {
        self.0.has_content(place, version, content)
    }

    fn is_cut_short(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<bool> {
        self.0.is_cut_short(place, version, content)
    }
}

/// The ways that a task's direction leaves open.
pub(crate) enum Ways {
    Both(Up, Down),
    Upload(Up),
    Download(Down),
}

impl Ways {
    pub fn up(&self) -> Option<&Up> {
        match self {
            Ways::Both(up, _) | Ways::Upload(up) => Some(up),
            Ways::Download(_) => None,
        }
    }

    pub fn down(&self) -> Option<&Down> {
        match self {
            Ways::Both(_, down) | Ways::Download(down) => Some(down),
            Ways::Upload(_) => None,
        }
    }

    pub fn disk(&self) -> &Disk {
        match self {
            Ways::Both(up, _) | Ways::Upload(up) => &up.disk,
            Ways::Download(down) => &down.disk,
        }
    }
}

/// What every job is given.
pub(crate) struct Context<'a> {
    pub ways: &'a Ways,
    pub trees: &'a Trees,
    pub progress: &'a Progress,
    pub clock: &'a dyn Clock,
    /// How the service hashes what it has.
    pub hash: Option<HashKind>,
    /// Whether the service's hash of what was sent is compared whatever the adapter did.
    pub verifies: bool,
    /// Whether a listing of the service may be behind what is there.
    pub listing_lags: bool,
    /// Whether a file may have been made that nobody told of.
    pub doubts: bool,
    /// Whether files that are removed from the disk are kept for a while.
    pub recycles: bool,
    pub cancel: &'a Cancel,
}

/// One file's work.
pub(crate) struct Job {
    pub key: Key,
    pub path: String,
    /// What the service calls the folder it is in.
    pub folder_id: Box<str>,
    /// The local side as it was planned; `None` when absent.
    pub local: Option<LocalPrint>,
    /// The remote side as it was planned; `None` when absent.
    pub remote: Option<RemotePrint>,
    /// Fingerprint of the content that was agreed on.
    pub content: Option<Fingerprint>,
    pub work: Work,
}

impl Job {
    /// Where the item is on the service.
    fn place(&self) -> Place<'_> {
        let id = self.remote.as_ref().map_or("", |print| &print.id);
        Place { path: &self.path, id, folder: &self.folder_id }
    }

    /// Another path in the same folder.
    fn beside<'a>(&'a self, path: &'a str) -> Place<'a> {
        Place { path, id: "", folder: &self.folder_id }
    }
}

/// What to do.
pub(crate) enum Work {
    Step(Op),
    Examine,
    /// Move it on the remote side to where it is on the disk.
    MoveUp(Target),
    /// Move it on the disk to where it is on the remote side.
    MoveDown(Target),
    /// Remove these from the remote side.
    Purge(Vec<Doomed>),
}

/// Where a file is to be moved.
#[derive(Clone)]
pub(crate) struct Target {
    pub key: Key,
    pub path: String,
    /// What the service calls the folder.
    pub folder_id: Box<str>,
}

/// A remote file to remove.
pub(crate) struct Doomed {
    pub key: Key,
    pub path: String,
    pub id: Box<str>,
    pub folder_id: Box<str>,
    pub version: Version,
}

impl Doomed {
    fn removal(&self) -> Removal<'_> {
        let place = Place { path: &self.path, id: &self.id, folder: &self.folder_id };
        Removal { place, kind: ItemKind::File, version: &self.version }
    }
}

/// What became of a job.
pub(crate) struct Outcome {
    pub key: Key,
    pub path: String,
    pub result: Result<Done>,
}

/// What a job did.
pub(crate) enum Done {
    Uploaded(Sent),
    Downloaded(Received),
    /// Both sides were the same already.
    Agreed(Synced),
    /// The content is what was agreed on; only the print is new.
    Untouched(LocalPrint),
    /// The content differs from what was agreed on.
    Edited(LocalPrint),
    RemovedLocal,
    /// Removed from its place, and kept at `kept` from this day on.
    Recycled {
        kept: String,
        day: Day,
        bytes: u64,
    },
    MovedUp(Target, Entry),
    MovedDown(Target, LocalPrint),
    Purged(Vec<(Doomed, Result<()>)>),
    /// Both sides had been changed: the loser was kept at `kept`, and `then` became of the item.
    Resolved {
        kept: String,
        kept_print: Option<LocalPrint>,
        then: Box<Done>,
    },
    /// What the service has of it is kept elsewhere now, so it is the base of what is sent next;
    /// but sending the file failed.
    Unsent {
        base: Synced,
        local: LocalPrint,
        error: Error,
    },
}

/// A file that was sent.
pub(crate) struct Sent {
    pub synced: Synced,
    /// Somebody else's version was replaced; the service keeps it.
    pub overtook: bool,
    /// What the adapter wants to know of it again.
    pub blocks: Option<Blocks>,
}

/// A file that was fetched.
pub(crate) struct Received {
    pub synced: Synced,
    /// As [`Sent::blocks`].
    pub blocks: Option<Blocks>,
}

/// Carries out one job.
pub(crate) fn run(context: &Context<'_>, job: Job) -> Outcome {
    let result = match (context.cancel.check(), job.work, context.ways.up()) {
        (Ok(()), Work::Purge(doomed), Some(up)) => Ok(Done::Purged(purge(up, doomed))),
        (Ok(()), work, _) => {
            let job = Job { work, ..job };
            let result = perform(context, &job);
            return Outcome { key: job.key, path: job.path, result };
        }
        (Err(error), _, _) => Err(error),
    };
    Outcome { key: job.key, path: job.path, result }
}

fn perform(context: &Context<'_>, job: &Job) -> Result<Done> {
    let ways = context.ways;
    match (&job.work, ways) {
        (Work::Examine, _) => compare::examine(context, ways.disk(), job),
        (Work::Step(Op::Up(op)), Ways::Both(up, _) | Ways::Upload(up)) => match op {
            Upward::Resolve => compare::resolve_up(context, up, job),
            _ => up::upload(context, up, job),
        },
        (Work::Step(Op::Down(op)), Ways::Both(_, down) | Ways::Download(down)) => match op {
            Downward::Resolve => compare::resolve_down(context, down, job),
            Downward::Remove => down::remove(context, down, job),
            _ => down::download(context, down, job),
        },
        (Work::Step(Op::Merge(policy)), Ways::Both(up, down)) => {
            compare::merge(context, up, down, job, *policy)
        }
        (Work::MoveUp(to), Ways::Both(up, _) | Ways::Upload(up)) => {
            let version = job.remote.as_ref().map(|print| &print.version);
            let version = version.ok_or_else(|| missing_side(job))?;
            compare::prove_moved(context, up, job, &to.path)?;
            let place = Place { path: &to.path, id: "", folder: &to.folder_id };
            let entry = up.remote.rename(job.place(), place, ItemKind::File, version)?;
            Ok(Done::MovedUp(to.clone(), entry))
        }
        (Work::MoveDown(to), Ways::Both(_, down) | Ways::Download(down)) => {
            let print = job.local.ok_or_else(|| missing_side(job))?;
            let moved = down.writer.rename(&job.path, &to.path, ItemKind::File, &print)?;
            Ok(Done::MovedDown(to.clone(), moved))
        }
        _ => Err(Error::new(
            Kind::Usage,
            format!("syncing {}", job.path),
            "the task's direction doesn't allow this",
        )),
    }
}

fn purge(up: &Up, doomed: Vec<Doomed>) -> Vec<(Doomed, Result<()>)> {
    let untold = |_: &Doomed| {
        Err(Error::new(Kind::Protocol, "removing files", "the service didn't tell the result"))
    };
    let mut results: Vec<Result<()>> = doomed.iter().map(untold).collect();
    let removals: Vec<_> = doomed.iter().map(Doomed::removal).collect();
    up.remote.remove(&removals, &mut |index, result| {
        if let Some(slot) = results.get_mut(index) {
            *slot = result;
        }
    });
    doomed.into_iter().zip(results).collect()
}

/// A plan asked for a side that the record doesn't have: the item is planned anew.
fn missing_side(job: &Job) -> Error {
    Error::new(Kind::Changed, format!("syncing {}", job.path), "it isn't there any more")
}

/// Keeps an upload's note in the state, tied to the file's state.
struct Note<'a> {
    trees: &'a Trees,
    key: &'a Key,
    print: LocalPrint,
}

impl Note<'_> {
    /// Drops what the service has of an upload of the file as it was before.
    fn drop_outdated(&self, up: &Up) -> Result<()> {
        let Some(row) = self.trees.snapshot()?.transfer(self.key)? else { return Ok(()) };
        if upload_note(&row).is_none_or(|(print, _)| print == self.print) {
            return Ok(());
        }
        drop_upload(up, &row);
        let mut batch = self.trees.batch()?;
        batch.set_transfer(self.key.clone(), None)?;
        batch.flush()
    }
}

impl Resume for Note<'_> {
    fn load(&self) -> Option<Vec<u8>> {
        // A note that can't be read costs sending the file from its start.
        let row = self.trees.snapshot().ok()?.transfer(self.key).ok()??;
        let (print, note) = upload_note(&row)?;
        (print == self.print).then_some(note)
    }

    fn save(&self, note: &[u8]) -> Result<()> {
        let row = encode(UPLOAD_FORMAT, &(self.print, note))?;
        let mut batch = self.trees.batch()?;
        batch.set_transfer(self.key.clone(), Some(row))?;
        batch.commit()
    }

    fn blocks(&self, expect: Expect<'_>) -> Option<Blocks> {
        // Blocks that can't be read cost sending the file as a whole.
        let known = self.trees.snapshot().and_then(|snapshot| snapshot.blocks(self.key));
        let (version, blocks) = known.ok().flatten().unwrap_or_default();
        Some(if expect == Expect::Version(&version) { blocks } else { Blocks::default() })
    }
}

/// An upload's note and the file's state that it is tied to; `None` when the row isn't one.
fn upload_note(row: &[u8]) -> Option<(LocalPrint, Vec<u8>)> {
    decode(UPLOAD_FORMAT, row).ok()
}

/// Drops what the service has of the upload that this row of the state is the note of, if it is.
pub(crate) fn drop_upload(up: &Up, row: &[u8]) {
    let Some((_, note)) = upload_note(row) else { return };
    // What can't be dropped is left to the service, as what a lost state knew of.
    if let Err(error) = up.remote.abandon(&note) {
        tracing::debug!(reason = error.reason(), "an unfinished upload stays");
    }
}
