//! Sending files.

use super::hashing::{Tee, Watched, sums};
use super::{Context, Done, Job, Note, Sent, Up, missing_side};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::local::{Disk, LocalFile, granularity};
use crate::model::{ItemKind, LocalPrint, RemotePrint};
use crate::remote::{Expect, Place, Removal, Written};
use crate::store::Synced;
use std::time::Duration;

/// Older files are on the disk without anybody's doing: the kernel writes out what is older than
/// half a minute, and file systems what was named longer ago than a few seconds.
const FRESH: Duration = Duration::from_secs(90);

/// Sends a file to where there is none, or over the version it was planned against.
pub(super) fn upload(context: &Context<'_>, up: &Up, job: &Job) -> Result<Done> {
    let print = job.local.ok_or_else(|| missing_side(job))?;
    if context.doubts
        && job.remote.is_none()
        && up.remote.stat(job.place(), ItemKind::File)?.is_some()
    {
        let what = format!("uploading {}", job.path);
        return Err(Error::new(Kind::Exists, what, "it is there already"));
    }
    send(context, up, job, print, job.remote.as_ref()).map(Done::Uploaded)
}

/// Sends a file over `replaced` (`None`: to where there is none).
pub(super) fn send(
    context: &Context<'_>,
    up: &Up,
    job: &Job,
    print: LocalPrint,
    replaced: Option<&RemotePrint>,
) -> Result<Sent> {
    rest(context, &print)?;
    let file = up.disk.open(&job.path, &print)?;
    if is_fresh(context, &print) {
        // Before what became of it is told, its name is durable, too.
        file.make_durable_soon()?;
    }
    let transfer = context.progress.transfer(&job.path, print.size);
    let kind = context.hash.filter(|_| context.verifies);
    let watched = Watched { content: &file, cancel: context.cancel };
    let tee = Tee::new(&watched, &transfer, kind);
    let note = Note { trees: context.trees, key: &job.key, print };
    note.drop_outdated(up)?;
    let expect = replaced.map_or(Expect::Absent, |print| Expect::Version(&print.version));
    let written = up.remote.write(job.place(), &tee, print.mtime, expect, &note);
    let Written { entry, overtook, blocks } = written.map_err(|error| match error.kind() {
        // Other bytes than were summed arrive when they change in between.
        Kind::Integrity => file.unchanged().err().unwrap_or(error),
        _ => error,
    })?;
    if entry.print.known_size().is_some_and(|size| size != print.size) {
        let cause = format!("{} bytes were sent, the service has {}", print.size, entry.print.size);
        return Err(Error::new(Kind::Integrity, format!("uploading {}", job.path), cause));
    }
    let (content, ours) = match tee.finish() {
        Some(sums) => sums,
        // Parts that an earlier attempt had sent weren't read this time.
        None => sums(&file, kind, context.cancel)?,
    };
    if let (Some(told), Some(ours)) = (entry.hash, ours)
        && told != ours
    {
        // It would come back as somebody else's file. If it can't be removed, it does.
        let place = Place { id: &entry.print.id, ..job.place() };
        let version = &entry.print.version;
        up.remote.remove(&[Removal { place, kind: ItemKind::File, version }], &mut |_, _| {});
        let cause = "the service stored something else than was sent";
        return Err(Error::new(Kind::Integrity, format!("uploading {}", job.path), cause));
    }
    let synced = Synced { local: print, remote: entry.print, content: Some(content) };
    Ok(Sent { synced, overtook, blocks })
}

/// The state of a file that was put in place just now. If a write at this very moment would leave
/// all of it as it is, it is taken for one that was touched since: the next look reads the file.
pub(super) fn doubted_if_fresh(context: &Context<'_>, print: LocalPrint) -> LocalPrint {
    let age = context.clock.now().saturating_sub(print.mtime).unsigned_abs();
    let fresh = Duration::from_nanos(age) < granularity(&print);
    if fresh { LocalPrint { ctime: 0, ..print } } else { print }
}

/// Opens a file whose content is going to be agreed on: its times are sure to betray the next
/// write, and a power cut won't take it back. Else, what is gone after one would be taken for
/// removed, and what is as it was before for new.
pub(super) fn open_at_rest(
    context: &Context<'_>,
    disk: &Disk,
    path: &str,
    print: &LocalPrint,
) -> Result<LocalFile> {
    rest(context, print)?;
    let file = disk.open(path, print)?;
    if is_fresh(context, print) {
        file.make_durable()?;
    }
    Ok(file)
}

fn is_fresh(context: &Context<'_>, print: &LocalPrint) -> bool {
    let age = context.clock.now().saturating_sub(print.ctime).unsigned_abs();
    Duration::from_nanos(age) < FRESH
}

/// Waits until the file's times are sure to betray the next write.
fn rest(context: &Context<'_>, print: &LocalPrint) -> Result<()> {
    let needed = granularity(print);
    // A time to come says nothing about how long ago it was.
    match u64::try_from(context.clock.now().saturating_sub(print.ctime)) {
        Ok(age) if Duration::from_nanos(age) < needed => {
            context.clock.wait(needed - Duration::from_nanos(age), context.cancel)
        }
        _ => Ok(()),
    }
}
