//! Fetching files.

use super::hashing::{Summed, Summer};
use super::mend::{self, Mended};
use super::ranges::{self, Ranges};
use super::{BUFFER_BYTES, Context, DOWNLOAD_FORMAT, Done, Down, Job, Received, missing_side, up};
use crate::blocks::{BlockHash, Blocks, Mapper};
use crate::error::{Error, Kind, Result};
use crate::http::read_error;
use crate::local::Arrival;
use crate::model::{Fingerprint, LocalPrint, RemotePrint, to_hex};
use crate::rules::Day;
use crate::store::{Synced, decode, encode};
use ring::digest::{SHA256, digest};
use std::io::{Read, Write};

/// Removes a local file that still is what was agreed on, keeping it for a while where the task
/// does.
pub(super) fn remove(context: &Context<'_>, down: &Down, job: &Job) -> Result<Done> {
    let print = job.local.ok_or_else(|| missing_side(job))?;
    // A listing may be behind: what it doesn't tell yet is there when it is asked for.
    if context.listing_lags && down.remote.stat(job.place())?.is_some() {
        let cause = "the service has it, though its listing didn't say so";
        return Err(Error::new(Kind::Changed, format!("removing {}", job.path), cause));
    }
    if context.recycles {
        let day = Day::of(context.clock.now());
        match down.writer.recycle_file(&job.path, &print, day) {
            Ok(kept) => return Ok(Done::Recycled { kept, day, bytes: print.size }),
            // Not even a folder can be made: what is kept gives way to what is needed.
            Err(error) if error.kind() == Kind::DiskFull => {}
            Err(error) => return Err(error),
        }
    }
    down.writer.remove_file(&job.path, &print)?;
    Ok(Done::RemovedLocal)
}

/// Fetches a file over the one it was planned against, or to where there is none.
pub(super) fn download(context: &Context<'_>, down: &Down, job: &Job) -> Result<Done> {
    if job.local.is_some() {
        // Else it would be fetched in every cycle for as long as it is open.
        down.disk.at_rest("replacing", &job.path)?;
    }
    let (arrival, fetched) = fetch(context, down, job)?;
    land(context, arrival, fetched, job.local.as_ref(), &job.path)
}

/// Puts what was fetched in its place, over `replaced` (`None`: where there is none).
pub(super) fn land(
    context: &Context<'_>,
    arrival: Arrival,
    fetched: Fetched,
    replaced: Option<&LocalPrint>,
    target: &str,
) -> Result<Done> {
    match arrival.land(target, replaced, fetched.remote.mtime) {
        Ok(local) => {
            let Fetched { remote, content, blocks } = fetched;
            let local = up::doubted_if_fresh(context, local);
            let synced = Synced { local, remote, content: Some(content) };
            Ok(Done::Downloaded(Received { synced, blocks }))
        }
        Err(error) => {
            arrival.discard()?;
            Err(error)
        }
    }
}

/// What was fetched.
pub(super) struct Fetched {
    pub remote: RemotePrint,
    pub content: Fingerprint,
    /// `None` where nobody will want to know them.
    pub blocks: Option<Blocks>,
}

/// Fetches a file into the work folder, from where an earlier attempt had to stop, and as far as it
/// isn't on the disk already.
pub(super) fn fetch(context: &Context<'_>, down: &Down, job: &Job) -> Result<(Arrival, Fetched)> {
    let mended = mend::plan(context, down, job)?;
    let is_mended = mended.is_some();
    match fetch_rest(context, down, job, mended) {
        // What was known of its blocks is wrong, or the disk has something else by now.
        Err(error) if is_mended && error.kind() == Kind::Integrity => {
            tracing::debug!(path = job.path, reason = error.reason(), "fetched as a whole");
            fetch_rest(context, down, job, None)
        }
        fetched => fetched,
    }
}

fn fetch_rest(
    context: &Context<'_>,
    down: &Down,
    job: &Job,
    mended: Option<Mended>,
) -> Result<(Arrival, Fetched)> {
    let planned = job.remote.as_ref().ok_or_else(|| missing_side(job))?;
    let mut arrival = down.writer.arrive(&arrival_name(job, planned))?;
    let sized = planned.known_size().is_some();
    let transfer = context.progress.transfer(&job.path, planned.known_size().unwrap_or(0));
    // What is never sent needs no blocks.
    let cutter = context.ways.up().zip(planned.known_size());
    let cutter = cutter.and_then(|(up, size)| up.remote.cutter(size));
    let blocks = cutter.map(|cutter| Mapper::new(cutter, BlockHash::Sha256(16)));
    let mut summer = Summer::new(context.hash, blocks, planned.known_size())?;
    let mut at = resume(context, job, &mut arrival, &mut summer)?;
    transfer.advance(at);

    let what = format!("downloading {}", job.path);
    let result = (|| {
        let mut source = match mended {
            Some(mended) => mended.read_from(at),
            None => {
                let span = ranges::first(at, planned);
                down.remote.read(job.place(), &planned.version, span)?
            }
        };
        if sized && source.entry.print.size != planned.size {
            let told = source.entry.print.size;
            let cause = format!("it was listed with {} bytes and has {told}", planned.size);
            return Err(Error::new(Kind::Changed, what.clone(), cause));
        }
        if source.entry.hash.is_none() {
            summer.only_fingerprint();
        }
        if source.end < planned.size {
            let (arrival, transfer, entry) = (&arrival, &transfer, source.entry.clone());
            let what = &*what;
            let ranges = Ranges { context, down, job, planned, arrival, transfer, what };
            return ranges.fetch(source, &mut at, &mut summer).map(|()| entry);
        }
        let mut ended = false;
        while !ended {
            let (mut buffer, mut filled) = (summer.buffer()?, 0);
            while filled < buffer.len() && !ended {
                context.cancel.check()?;
                let count = source.reader.read(&mut buffer[filled..]);
                let count = count.map_err(|error| read_error(&what, error))?;
                if count as u64 > planned.size - at {
                    return Err(too_long(&what));
                }
                let bytes = &buffer[filled..filled + count];
                arrival.write_all(bytes).map_err(|error| Error::disk(&what, error))?;
                transfer.advance(count as u64);
                at += count as u64;
                filled += count;
                ended = count == 0;
            }
            summer.sum(buffer, filled)?;
        }
        if sized && at < planned.size {
            let cause = format!("{at} of {} bytes came", planned.size);
            return Err(Error::new(Kind::Offline, what.clone(), cause));
        }
        Ok(source.entry)
    })();
    let entry = match result {
        Ok(entry) => entry,
        Err(error) => {
            keep_or_discard(context, job, arrival, at, &error)?;
            return Err(error);
        }
    };
    let Summed { content, hash: ours, blocks } = summer.finish()?;
    if let (Some(told), Some(ours)) = (entry.hash, ours)
        && told != ours
    {
        arrival.discard()?;
        return Err(Error::new(Kind::Integrity, what, "its bytes don't have the service's hash"));
    }
    let mut remote = planned.clone();
    remote.mtime = entry.print.mtime.or(remote.mtime);
    Ok((arrival, Fetched { remote, content, blocks }))
}

pub(super) fn too_long(what: &str) -> Error {
    Error::new(Kind::Protocol, what, "more bytes came than the file has")
}

/// The same for every attempt at this version of this file.
fn arrival_name(job: &Job, print: &RemotePrint) -> String {
    let text = format!("{}\0{}\0{}", job.path, print.version.as_str(), print.size);
    to_hex(&digest(&SHA256, text.as_bytes()).as_ref()[..16])
}

/// Reads back what an earlier attempt left; tells how many bytes that is.
///
/// Only what was noted is trusted: what was written but not made durable may be anything.
fn resume(
    context: &Context<'_>,
    job: &Job,
    arrival: &mut Arrival,
    summer: &mut Summer,
) -> Result<u64> {
    let note = context.trees.snapshot()?.transfer(&job.key)?;
    let noted = note.and_then(|row| decode::<(String, u64)>(DOWNLOAD_FORMAT, &row).ok());
    let name = job.remote.as_ref().map(|print| arrival_name(job, print));
    let length = match noted {
        Some((noted_name, length)) if Some(&noted_name) == name.as_ref() => length,
        _ => 0,
    };
    if length == 0 || arrival.length()? != length {
        arrival.restart()?;
        return Ok(0);
    }
    arrival.rewind();
    loop {
        context.cancel.check()?;
        let mut buffer = summer.buffer()?;
        let count = arrival
            .read(&mut buffer)
            .map_err(|error| Error::disk(format!("downloading {}", job.path), error))?;
        summer.sum(buffer, count)?;
        if count == 0 {
            return Ok(length);
        }
    }
}

/// After a cut or a stop, what came is kept for the next attempt; after anything else it isn't.
fn keep_or_discard(
    context: &Context<'_>,
    job: &Job,
    arrival: Arrival,
    length: u64,
    error: &Error,
) -> Result<()> {
    let again = matches!(error.kind(), Kind::Offline | Kind::Busy | Kind::Cancelled);
    let name = job.remote.as_ref().map(|print| arrival_name(job, print));
    match name {
        Some(name) if again && length >= BUFFER_BYTES as u64 => {
            arrival.keep(length)?;
            let mut batch = context.trees.batch()?;
            batch.set_transfer(job.key.clone(), Some(encode(DOWNLOAD_FORMAT, &(name, length))?))?;
            batch.commit()
        }
        _ => arrival.discard(),
    }
}
