//! Finding out whether two contents are the same, and keeping the loser when they aren't.

use super::down::{Fetched, too_long};
use super::hashing::{Hasher, Watched, fingerprint, sums};
use super::{BUFFER_BYTES, Context, Done, Down, Job, Sent, Source, Up, down, missing_side, up};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::http::read_error;
use crate::local::Disk;
use crate::model::{
    ConflictPolicy, Fingerprint, ItemKind, LocalPrint, Nanos, RemotePrint, Version,
};
use crate::remote::{Entry, Place};
use crate::rules::{conflict_name, is_newer};
use crate::store::Synced;
use std::io::Read;

/// Names tried for a loser before giving up.
const NAMES: u32 = 8;

#[derive(PartialEq)]
enum Likeness {
    /// With the fingerprint of both.
    Same(Fingerprint),
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

/// A two-way task: whatever keeps the name, the other content is kept too.
pub(super) fn merge(
    context: &Context<'_>,
    up: &Up,
    down: &Down,
    job: &Job,
    policy: ConflictPolicy,
) -> Result<Done> {
    let (local, remote) = sides(job)?;
    let likeness = match compare(context, &up.disk, &down.remote, job)? {
        Likeness::Same(content) => return agreed(job, content),
        likeness => likeness,
    };
    // What was cut short is ours, whatever the policy.
    if likeness == Likeness::Beginning {
        return Ok(Done::Uploaded(up::send(context, up, job, local, Some(remote))?));
    }
    if remote_wins(&down.remote, job, policy)? {
        return give_way(context, down, job);
    }
    let as_version =
        policy != ConflictPolicy::Both && up.remote.keeps_version(job.place(), &remote.version)?;
    if as_version {
        let sent = up::send(context, up, job, local, Some(remote))?;
        return Ok(Done::Uploaded(Sent { overtook: true, ..sent }));
    }
    let Kept { name, print, content } = keep_here(context, up, down, job)?;
    let then = Box::new(overtake(context, up, job, Some(content))?);
    Ok(Done::Resolved { kept: name, kept_print: print, then })
}

/// Sends the local file over a remote one that is kept elsewhere, with this fingerprint if it is
/// known. What is kept isn't kept again because sending fails.
fn overtake(
    context: &Context<'_>,
    up: &Up,
    job: &Job,
    content: Option<Fingerprint>,
) -> Result<Done> {
    let (local, remote) = sides(job)?;
    Ok(match up::send(context, up, job, local, Some(remote)) {
        Ok(sent) => Done::Uploaded(sent),
        Err(error) => {
            // No file on the disk ever was this one.
            let base = Synced { local: LocalPrint::default(), remote: remote.clone(), content };
            Done::Unsent { base, local, error }
        }
    })
}

/// Whether the remote content keeps the name.
fn remote_wins(source: &Source, job: &Job, policy: ConflictPolicy) -> Result<bool> {
    let (local, remote) = sides(job)?;
    match policy {
        ConflictPolicy::Local | ConflictPolicy::Both => Ok(false),
        ConflictPolicy::Remote => Ok(true),
        ConflictPolicy::Newer => Ok(is_newer(changed(source, job, remote)?, Some(local.mtime))),
    }
}

/// When the remote file was last changed: not every listing tells.
fn changed(source: &Source, job: &Job, remote: &RemotePrint) -> Result<Option<Nanos>> {
    match remote.mtime {
        None => Ok(source.stat(job.place())?.and_then(|entry| entry.print.mtime)),
        told => Ok(told),
    }
}

/// A loser on the disk.
struct Kept {
    name: String,
    /// `None` when an attempt that was cut short had kept it already.
    print: Option<LocalPrint>,
    content: Fingerprint,
}

/// Keeps the remote content on the disk under a conflict name.
fn keep_here(context: &Context<'_>, up: &Up, down: &Down, job: &Job) -> Result<Kept> {
    let (arrival, Fetched { remote, content, .. }) = down::fetch(context, down, job)?;
    for attempt in 0..NAMES {
        let name = loser_name(&job.path, remote.mtime, &remote.version, attempt);
        match arrival.land(&name, None, remote.mtime) {
            Ok(print) => {
                // Nothing else has this content once the local file is sent.
                down.disk.sync_name(&name)?;
                return Ok(Kept { name, print: Some(print), content });
            }
            Err(error) if error.kind() == Kind::Exists => {
                let there = local_file(&up.disk, &name)?;
                if let Some(there) = there
                    && fingerprint(&there, context.cancel)? == content
                {
                    down.disk.sync_name(&name)?;
                    arrival.discard()?;
                    return Ok(Kept { name, print: None, content });
                }
            }
            Err(error) => {
                arrival.discard()?;
                return Err(error);
            }
        }
    }
    arrival.discard()?;
    Err(no_name(job))
}

/// An upload-only task: the loser is kept on the remote side.
pub(super) fn resolve_up(context: &Context<'_>, up: &Up, job: &Job) -> Result<Done> {
    let (local, remote) = sides(job)?;
    let source = Source::new(up.remote.clone());
    match compare(context, &up.disk, &source, job)? {
        Likeness::Same(content) => agreed(job, content),
        Likeness::Beginning => Ok(Done::Uploaded(up::send(context, up, job, local, Some(remote))?)),
        Likeness::Different => {
            let changed = changed(&source, job, remote)?;
            for attempt in 0..NAMES {
                let kept = loser_name(&job.path, changed, &remote.version, attempt);
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
                let then = Box::new(overtake(context, up, job, None)?);
                return Ok(Done::Resolved { kept, kept_print: None, then });
            }
            Err(no_name(job))
        }
    }
}

/// A download-only task: the loser is the local file, which gets another name.
pub(super) fn resolve_down(context: &Context<'_>, down: &Down, job: &Job) -> Result<Done> {
    match compare(context, &down.disk, &down.remote, job)? {
        Likeness::Same(content) => agreed(job, content),
        _ => give_way(context, down, job),
    }
}

/// The local file gets a conflict name, and the remote content its name.
fn give_way(context: &Context<'_>, down: &Down, job: &Job) -> Result<Done> {
    let (local, _) = sides(job)?;
    let (arrival, fetched) = down::fetch(context, down, job)?;
    let version = Version::new(format!("{}-{}", local.size, local.mtime));
    for attempt in 0..NAMES {
        let kept = loser_name(&job.path, Some(local.mtime), &version, attempt);
        let print = match down.writer.rename(&job.path, &kept, ItemKind::File, &local) {
            Ok(print) => print,
            Err(error) if error.kind() == Kind::Exists => continue,
            Err(error) => {
                arrival.discard()?;
                return Err(error);
            }
        };
        // The loser is safe; what failed is planned anew.
        let then =
            down::land(context, arrival, fetched, None, &job.path).unwrap_or(Done::RemovedLocal);
        return Ok(Done::Resolved { kept, kept_print: Some(print), then: Box::new(then) });
    }
    arrival.discard()?;
    Err(no_name(job))
}

fn sides(job: &Job) -> Result<(LocalPrint, &RemotePrint)> {
    match (job.local, &job.remote) {
        (Some(local), Some(remote)) => Ok((local, remote)),
        _ => Err(missing_side(job)),
    }
}

fn agreed(job: &Job, content: Fingerprint) -> Result<Done> {
    let (local, remote) = sides(job)?;
    Ok(Done::Agreed(Synced { local, remote: remote.clone(), content: Some(content) }))
}

/// Compares by the service's hash where it has one, else byte by byte as far as needed: two
/// contents of one size may well be of the same second.
fn compare(context: &Context<'_>, disk: &Disk, source: &Source, job: &Job) -> Result<Likeness> {
    let (local, remote) = sides(job)?;
    // What is done about a conflict stays, so the file that it is with has to, too.
    let file = up::open_at_rest(context, disk, &job.path, &local)?;
    let size = remote.known_size();
    if size.is_some_and(|size| size > local.size) {
        return Ok(Likeness::Different);
    }
    if size.is_none_or(|size| size == local.size)
        && let Some(entry) = source.stat(job.place())?
    {
        if let Some(told) = entry.hash {
            let (content, ours) = sums(&file, Some(told.kind()), context.cancel)?;
            let same = ours == Some(told);
            return Ok(if same { Likeness::Same(content) } else { Likeness::Different });
        }
        let file = Watched { content: &file, cancel: context.cancel };
        match source.has_content(job.place(), &remote.version, &file)? {
            Some(true) => return fingerprint(&file, context.cancel).map(Likeness::Same),
            Some(false) => return Ok(Likeness::Different),
            None => {}
        }
    }
    let what = format!("comparing {}", job.path);
    let mut download = match source.read(job.place(), &remote.version, 0..u64::MAX) {
        Ok(download) => download,
        Err(error) => return cut_short(context, source, job, &file, error),
    };
    let mut theirs = vec![0; BUFFER_BYTES];
    let mut ours = vec![0; BUFFER_BYTES];
    let mut hasher = Hasher::new();
    let mut at = 0;
    loop {
        context.cancel.check()?;
        let count = match download.reader.read(&mut theirs) {
            Ok(count) => count,
            Err(error) => return cut_short(context, source, job, &file, read_error(&what, error)),
        };
        if size.is_some_and(|size| count as u64 > size - at) {
            return Err(too_long(&what));
        }
        if count == 0 && size.is_some_and(|size| at < size) {
            return Err(Error::new(Kind::Offline, what, "the connection ended early"));
        }
        if count == 0 {
            break;
        }
        if at + count as u64 > local.size {
            return Ok(Likeness::Different);
        }
        read_exact_at(&file, &mut ours[..count], at)?;
        if ours[..count] != theirs[..count] {
            return Ok(Likeness::Different);
        }
        hasher.update(&ours[..count]);
        at += count as u64;
    }
    file.unchanged()?;
    let same = at == local.size;
    Ok(if same { Likeness::Same(hasher.finish()) } else { Likeness::Beginning })
}

/// Whether what can't be read of the remote content is how an upload of the local one begins; else
/// the error of reading it.
fn cut_short(
    context: &Context<'_>,
    source: &Source,
    job: &Job,
    file: &dyn Content,
    error: Error,
) -> Result<Likeness> {
    let (_, remote) = sides(job)?;
    let file = Watched { content: file, cancel: context.cancel };
    let can_be = matches!(error.kind(), Kind::Integrity | Kind::Denied);
    match can_be && source.is_cut_short(job.place(), &remote.version, &file)? {
        true => Ok(Likeness::Beginning),
        false => Err(error),
    }
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
        let mut reader = source.read(place, &entry.print.version, 0..u64::MAX)?.reader;
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

fn loser_name(path: &str, changed: Option<Nanos>, version: &Version, attempt: u32) -> String {
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
