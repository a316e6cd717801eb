//! Finding out whether two contents are the same, and keeping the loser when they aren't.

use super::hashing::{Hasher, fingerprint, read_all};
use super::{BUFFER_BYTES, Context, Done, Down, Job, Source, Up, down, missing_side, up};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::HashSum;
use crate::http::read_error;
use crate::local::Disk;
use crate::model::{LocalPrint, RemotePrint};
use crate::remote::{Entry, Place};
use crate::rules::conflict_name;
use crate::store::Synced;
use std::io::Read;

/// Names tried for a loser before giving up.
const NAMES: u32 = 8;

#[derive(PartialEq)]
enum Likeness {
    Same,
    /// The remote content is the beginning of the local one: an upload that was cut short, on a
    /// server that keeps such things. Nothing is lost with it.
    Beginning,
    Different,
}

/// Reads a touched file to find out whether its content changed.
pub(super) fn examine(context: &Context<'_>, disk: &Disk, job: &Job) -> Result<Done> {
    let print = job.local.ok_or_else(|| missing_side(job))?;
    let file = up::open_at_rest(context, disk, &job.path, &print)?;
    let content = fingerprint(&file, context.cancel)?;
    Ok(if job.content == Some(content) { Done::Untouched(print) } else { Done::Edited(print) })
}

/// Proves that the file that is now at `path` has the content that was agreed on where it was.
pub(super) fn prove_moved(context: &Context<'_>, up: &Up, job: &Job, path: &str) -> Result<()> {
    let print = job.local.ok_or_else(|| missing_side(job))?;
    let file = up::open_at_rest(context, &up.disk, path, &print)?;
    if job.content == Some(fingerprint(&file, context.cancel)?) {
        return Ok(());
    }
    Err(Error::new(Kind::Changed, format!("moving {}", job.path), "its content is another"))
}

/// A two-way task: the local side keeps the name; what is only remote is kept next to it.
pub(super) fn merge(context: &Context<'_>, up: &Up, down: &Down, job: &Job) -> Result<Done> {
    let (local, remote) = sides(job)?;
    match compare(context, &up.disk, &down.remote, job)? {
        Likeness::Same => agreed(context, &up.disk, job),
        Likeness::Beginning => Ok(Done::Uploaded(up::send(context, up, job, local, Some(remote))?)),
        Likeness::Different => {
            let (arrival, fetched) = down::fetch(context, down, job)?;
            let mut kept = None;
            for attempt in 0..NAMES {
                let name = loser_name(&job.path, fetched.remote.mtime, &remote.version, attempt);
                match arrival.land(&name, None, fetched.remote.mtime) {
                    Ok(print) => {
                        kept = Some((name, Some(print)));
                        break;
                    }
                    // The same loser, kept by an attempt that a crash cut short.
                    Err(error) if error.kind() == Kind::Exists => {
                        let there = local_file(&up.disk, &name)?;
                        if let Some(there) = there
                            && fingerprint(&there, context.cancel)? == fetched.content
                        {
                            kept = Some((name, None));
                            break;
                        }
                    }
                    Err(error) => {
                        arrival.discard()?;
                        return Err(error);
                    }
                }
            }
            let Some((kept, kept_print)) = kept else {
                arrival.discard()?;
                return Err(no_name(job));
            };
            if kept_print.is_none() {
                arrival.discard()?;
            }
            let then = match up::send(context, up, job, local, Some(remote)) {
                Ok(synced) => Done::Uploaded(synced),
                // The loser is safe; what failed is planned anew.
                Err(_) => Done::Edited(local),
            };
            Ok(Done::Resolved { kept, kept_print, then: Box::new(then) })
        }
    }
}

/// An upload-only task: the loser is kept on the remote side.
pub(super) fn resolve_up(context: &Context<'_>, up: &Up, job: &Job) -> Result<Done> {
    let (local, remote) = sides(job)?;
    let source = Source::new(up.remote.clone());
    match compare(context, &up.disk, &source, job)? {
        Likeness::Same => agreed(context, &up.disk, job),
        Likeness::Beginning => Ok(Done::Uploaded(up::send(context, up, job, local, Some(remote))?)),
        Likeness::Different => {
            for attempt in 0..NAMES {
                let kept = loser_name(&job.path, remote.mtime, &remote.version, attempt);
                match up.remote.copy(job.place(), job.beside(&kept), &remote.version) {
                    Ok(_) => {}
                    // The same loser, kept by an attempt that a crash cut short.
                    Err(error) if error.kind() == Kind::Exists => {
                        if !same_remote(context, &source, job.place(), job.beside(&kept))? {
                            continue;
                        }
                    }
                    Err(error) => return Err(error),
                }
                let then = Done::Uploaded(up::send(context, up, job, local, Some(remote))?);
                return Ok(Done::Resolved { kept, kept_print: None, then: Box::new(then) });
            }
            Err(no_name(job))
        }
    }
}

/// A download-only task: the loser is the local file, which gets another name.
pub(super) fn resolve_down(context: &Context<'_>, down: &Down, job: &Job) -> Result<Done> {
    let (local, _) = sides(job)?;
    if compare(context, &down.disk, &down.remote, job)? == Likeness::Same {
        return agreed(context, &down.disk, job);
    }
    let version = format!("{}-{}", local.size, local.mtime);
    for attempt in 0..NAMES {
        let version = crate::model::Version::new(version.as_str());
        let kept = loser_name(&job.path, Some(local.mtime), &version, attempt);
        let kind = crate::model::ItemKind::File;
        let print = match down.writer.rename(&job.path, &kept, kind, &local) {
            Ok(print) => print,
            Err(error) if error.kind() == Kind::Exists => continue,
            Err(error) => return Err(error),
        };
        let then = match down::download(context, down, job, None, &job.path) {
            Ok(done) => done,
            // The loser is safe; what failed is planned anew.
            Err(_) => Done::RemovedLocal,
        };
        return Ok(Done::Resolved { kept, kept_print: Some(print), then: Box::new(then) });
    }
    Err(no_name(job))
}

fn sides(job: &Job) -> Result<(LocalPrint, &RemotePrint)> {
    match (job.local, &job.remote) {
        (Some(local), Some(remote)) => Ok((local, remote)),
        _ => Err(missing_side(job)),
    }
}

fn agreed(context: &Context<'_>, disk: &Disk, job: &Job) -> Result<Done> {
    let (local, remote) = sides(job)?;
    let file = up::open_at_rest(context, disk, &job.path, &local)?;
    let content = fingerprint(&file, context.cancel)?;
    Ok(Done::Agreed(Synced { local, remote: remote.clone(), content: Some(content) }))
}

/// Compares by the service's hash where it has one, else byte by byte as far as needed.
fn compare(context: &Context<'_>, disk: &Disk, source: &Source, job: &Job) -> Result<Likeness> {
    let (local, remote) = sides(job)?;
    if remote.size > local.size {
        return Ok(Likeness::Different);
    }
    let file = disk.open(&job.path, &local)?;
    if remote.size == local.size
        && let Some(Some(told)) = source.stat(job.place())?.map(|entry| entry.hash)
    {
        let mut sum = HashSum::new(told.kind());
        read_all(&file, context.cancel, &mut |bytes| sum.update(bytes))?;
        return Ok(if told == sum.finish() { Likeness::Same } else { Likeness::Different });
    }
    let what = format!("comparing {}", job.path);
    let mut download = source.read(job.place(), &remote.version, 0)?;
    let mut theirs = vec![0; BUFFER_BYTES];
    let mut ours = vec![0; BUFFER_BYTES];
    let mut at = 0;
    while at < remote.size {
        context.cancel.check()?;
        let count = download.reader.read(&mut theirs).map_err(|error| read_error(&what, error))?;
        if count == 0 {
            return Err(Error::new(Kind::Offline, what, "the connection ended early"));
        }
        read_exact_at(&file, &mut ours[..count], at)?;
        if ours[..count] != theirs[..count] {
            return Ok(Likeness::Different);
        }
        at += count as u64;
    }
    file.unchanged()?;
    Ok(if remote.size == local.size { Likeness::Same } else { Likeness::Beginning })
}

/// Whether two files of the service have the same content.
fn same_remote(context: &Context<'_>, source: &Source, a: Place<'_>, b: Place<'_>) -> Result<bool> {
    let (Some(first), Some(second)) = (source.stat(a)?, source.stat(b)?) else { return Ok(false) };
    if first.print.size != second.print.size {
        return Ok(false);
    }
    if let (Some(first), Some(second)) = (first.hash, second.hash) {
        return Ok(first == second);
    }
    let hash = |place: Place<'_>, entry: &Entry| {
        let path = place.path;
        let mut reader = source.read(place, &entry.print.version, 0)?.reader;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            context.cancel.check()?;
            let count = reader
                .read(&mut buffer)
                .map_err(|error| read_error(&format!("comparing {path}"), error))?;
            if count == 0 {
                return Ok::<_, Error>(hasher.finish());
            }
            hasher.update(&buffer[..count]);
        }
    };
    Ok(hash(a, &first)? == hash(b, &second)?)
}

fn read_exact_at(content: &dyn Content, buffer: &mut [u8], from: u64) -> Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match content.read_at(&mut buffer[done..], from + done as u64)? {
            0 => return content.unchanged(),
            count => done += count,
        }
    }
    Ok(())
}

fn local_file(disk: &Disk, path: &str) -> Result<Option<crate::local::LocalFile>> {
    match disk.stat(path)? {
        Some(crate::local::Found::File(print)) => disk.open(path, &print).map(Some),
        _ => Ok(None),
    }
}

fn loser_name(
    path: &str,
    changed: Option<i64>,
    version: &crate::model::Version,
    attempt: u32,
) -> String {
    match attempt {
        0 => conflict_name(path, changed, version.as_str()),
        _ => conflict_name(path, changed, &format!("{} {attempt}", version.as_str())),
    }
}

fn no_name(job: &Job) -> Error {
    let what = format!("keeping the other version of {}", job.path);
    Error::new(Kind::Denied, what, "every name for it is taken")
        .remedy("rename or remove some of its conflict copies")
}
