//! A large file of which only a part changed on the service: its other blocks are taken from what the
//! disk has, whatever their places are there.

use super::hashing::read_all;
use super::{Context, Down, Job, Source};
use crate::blocks::{Block, BlockHash, BlockSum, Mapper};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::local::LocalFile;
use crate::model::Version;
use crate::remote::{Composition, Download, Entry, Place};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::vec;

/// A file whose bytes come from the disk and from the service, in their order.
pub(super) struct Mended {
    entry: Entry,
    pieces: vec::IntoIter<Piece>,
    /// What is read now.
    open: Box<dyn Read + Send>,
    here: Arc<LocalFile>,
    hash: BlockHash,
    there: Source,
    path: String,
    id: Box<str>,
    folder: Box<str>,
}

/// Some bytes of the file that have one source.
struct Piece {
    bytes: Range<u64>,
    /// Where the disk has them, and as what block; `None` where they are to be fetched.
    here: Option<(u64, Block)>,
}

/// Finds out which blocks of a file that is to be fetched the local one has. `None` where the service
/// doesn't tell what the file is made of, or where it is about as well to fetch all of it.
pub(super) fn plan(context: &Context<'_>, down: &Down, job: &Job) -> Result<Option<Mended>> {
    let (Some(local), Some(planned)) = (&job.local, &job.remote) else { return Ok(None) };
    let Some(size) = planned.known_size() else { return Ok(None) };
    // What can't be told, or read, costs fetching the file as a whole.
    let told = match down.remote.composition(job.place(), planned) {
        Err(error) if error.kind().reaction().ends_cycle() => return Err(error),
        told => told.ok().flatten(),
    };
    let Some(Composition { entry, blocks, cutter, hash }) = told else { return Ok(None) };
    let told = blocks.iter().fold(0_u64, |sum, block| sum.saturating_add(block.length));
    if told != size {
        return Ok(None);
    }
    let Ok(here) = down.disk.open(&job.path, local) else { return Ok(None) };
    let mut mapper = Mapper::new(cutter, hash);
    let read = read_all(&here, context.cancel, &mut |bytes| mapper.update(bytes));
    context.cancel.check()?;
    if read.is_err() {
        return Ok(None);
    }
    let known = mapper.finish().index();
    let (mut at, mut saved, mut pieces) = (0_u64, 0, Vec::<Piece>::new());
    for block in blocks.iter() {
        let bytes = at..at + block.length;
        at = bytes.end;
        match (known.find(block), pieces.last_mut()) {
            (Some(place), _) => {
                saved += block.length;
                pieces.push(Piece { bytes, here: Some((place.start, *block)) });
            }
            (None, Some(last)) if last.here.is_none() => last.bytes.end = bytes.end,
            (None, _) => pieces.push(Piece { bytes, here: None }),
        }
    }
    // A file as a whole is fetched by several threads.
    if saved < size / 2 {
        return Ok(None);
    }
    Ok(Some(Mended {
        entry,
        pieces: pieces.into_iter(),
        open: Box::new(io::empty()),
        here: Arc::new(here),
        hash,
        there: down.remote.clone(),
        path: job.path.clone(),
        id: planned.id.clone(),
        folder: job.folder_id.clone(),
    }))
}

impl Mended {
    /// The file from this byte on.
    pub fn read_from(mut self, at: u64) -> Download {
        let (entry, end) = (self.entry.clone(), self.entry.print.size);
        let mut left: Vec<_> = self.pieces.filter(|piece| piece.bytes.end > at).collect();
        if let Some(first) = left.first_mut().filter(|first| first.bytes.start < at) {
            // A digest needs the whole block.
            *first = Piece { bytes: at..first.bytes.end, here: None };
        }
        self.pieces = left.into_iter();
        Download { reader: Box::new(self), end, entry }
    }

    fn open(&self, piece: Piece) -> Result<Box<dyn Read + Send>> {
        let Piece { bytes, here } = piece;
        if let Some((at, block)) = here {
            let (file, sum) = (self.here.clone(), BlockSum::new(self.hash));
            return Ok(Box::new(Here { file, at, left: block.length, block, sum: Some(sum) }));
        }
        let place = Place { path: &self.path, id: &self.id, folder: &self.folder };
        let version: &Version = &self.entry.print.version;
        let download = self.there.read(place, version, bytes.clone())?;
        if download.end < bytes.end {
            let what = format!("downloading {}", self.path);
            return Err(Error::new(Kind::Protocol, what, "fewer bytes came than were asked for"));
        }
        // A service may send the rest of the file, too.
        Ok(Box::new(download.reader.take(bytes.end - bytes.start)))
    }
}

impl Read for Mended {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.open.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Some(piece) = self.pieces.next() else { return Ok(0) };
            self.open = self.open(piece).map_err(io::Error::other)?;
        }
    }
}

/// A block out of the local file.
struct Here {
    file: Arc<LocalFile>,
    at: u64,
    left: u64,
    block: Block,
    /// Of what was read; `None` once all of it was.
    sum: Option<BlockSum>,
}

impl Here {
    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.at);
        // It is fetched instead.
        let count = count.map_err(|error| error.meaning(Kind::Integrity))?;
        self.at += count as u64;
        self.left -= count as u64;
        if let Some(sum) = &mut self.sum {
            sum.update(&buffer[..count]);
        }
        let is_at_end = self.left == 0 || count == 0 && wanted > 0;
        if is_at_end
            && let Some(sum) = self.sum.take()
            && sum.finish() != self.block.digest
        {
            self.file.unchanged()?;
            let what = "reading a block of the local file";
            return Err(Error::new(Kind::Integrity, what, "it isn't what it was"));
        }
        Ok(count)
    }
}

impl Read for Here {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(io::Error::other)
    }
}
