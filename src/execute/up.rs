//! Sending files.

use super::hashing::{Tee, fingerprint};
use super::{Context, Done, Job, Note, Sent, Up, missing_side};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::local::granularity;
use crate::model::{LocalPrint, RemotePrint};
use crate::remote::{Expect, Written};
use crate::store::Synced;
use std::time::Duration;

/// Sends a file to where there is none, or over the version it was planned against.
pub(super) fn upload(context: &Context<'_>, up: &Up, job: &Job) -> Result<Done> {
    let print = job.local.ok_or_else(|| missing_side(job))?;
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
    let transfer = context.progress.transfer(&job.path, print.size);
    let tee = Tee::new(&file, &transfer);
    let note = Note { trees: context.trees, key: &job.key, print };
    note.drop_outdated(up)?;
    let expect = replaced.map_or(Expect::Absent, |print| Expect::Version(&print.version));
    let written = up.remote.write(job.place(), &tee, print.mtime, expect, &note);
    let Written { entry, overtook } = written.map_err(|error| match error.kind() {
        // Other bytes than were summed arrive when they change in between.
        Kind::Integrity => file.unchanged().err().unwrap_or(error),
        _ => error,
    })?;
    if entry.print.size != print.size {
        let cause = format!("{} bytes were sent, the service has {}", print.size, entry.print.size);
        return Err(Error::new(Kind::Integrity, format!("uploading {}", job.path), cause));
    }
    let content = match tee.finish() {
        Some(content) => content,
        // Parts that an earlier attempt had sent weren't read this time.
        None => fingerprint(&file, context.cancel)?,
    };
    let synced = Synced { local: print, remote: entry.print, content: Some(content) };
    Ok(Sent { synced, overtook })
}

/// Waits until the file's times are sure to betray the next write.
pub(super) fn rest(context: &Context<'_>, print: &LocalPrint) -> Result<()> {
    let needed = granularity(print);
    // A time to come says nothing about how long ago it was.
    match u64::try_from(context.clock.now().saturating_sub(print.ctime)) {
        Ok(age) if Duration::from_nanos(age) < needed => {
            context.clock.wait(needed - Duration::from_nanos(age), context.cancel)
        }
        _ => Ok(()),
    }
}
