//! Content read once, hashed and counted on the way.

use super::BUFFER_BYTES;
use crate::blocks::{Blocks, Mapper};
use crate::content::{Content, next_bytes};
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind, HashSum};
use crate::http::Cancel;
use crate::model::Fingerprint;
use crate::progress::Transfer;
use crate::threads;
use ring::digest::{self, SHA256};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// From this size on a thread of its own is worth its while.
const LARGE: u64 = 1 << 20;
/// Buffers of a large content: one that is filled, one that is summed, and some between them.
const BUFFERS: usize = 4;

/// Computes a content's fingerprint.
pub(super) struct Hasher(digest::Context);

impl Hasher {
    pub fn new() -> Self {
        Hasher(digest::Context::new(&SHA256))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        let hash = self.0.finish();
        fingerprint.copy_from_slice(&hash.as_ref()[..16]);
        fingerprint
    }
}

/// Computes a content's fingerprint, and its hash as a service computes it.
pub(super) struct Sums(Hasher, Option<HashSum>);

impl Sums {
    /// `None` for a service that tells no hash.
    pub fn new(kind: Option<HashKind>) -> Self {
        Sums(Hasher::new(), kind.map(HashSum::new))
    }

    /// Goes on without the service's hash, which nobody will ask for.
    pub fn only_fingerprint(&mut self) {
        self.1 = None;
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
        if let Some(sum) = &mut self.1 {
            sum.update(bytes);
        }
    }

    pub fn finish(self) -> (Fingerprint, Option<Hash>) {
        (self.0.finish(), self.1.map(HashSum::finish))
    }
}

/// All that is found out of a content that comes.
pub(super) struct Summing {
    sums: Sums,
    blocks: Option<Mapper>,
}

/// What was found out.
pub(super) struct Summed {
    pub content: Fingerprint,
    pub hash: Option<Hash>,
    /// `None` where nobody asked for them.
    pub blocks: Option<Blocks>,
}

impl Summing {
    fn only_fingerprint(&mut self) {
        self.sums.only_fingerprint();
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sums.update(bytes);
        if let Some(blocks) = &mut self.blocks {
            blocks.update(bytes);
        }
    }

    fn finish(self) -> Summed {
        let (content, hash) = self.sums.finish();
        Summed { content, hash, blocks: self.blocks.map(Mapper::finish) }
    }
}

/// Sums what is put into its buffers: that of a large content in a thread of its own, while more
/// comes.
pub(super) enum Summer {
    Here(Box<Summing>, Vec<u8>),
    Beside(Beside),
}

pub(super) struct Beside {
    /// Those that may be filled.
    buffers: Receiver<Piece>,
    work: SyncSender<Piece>,
    /// See [`Sums::only_fingerprint`].
    only_fingerprint: Arc<AtomicBool>,
    thread: JoinHandle<Box<Summing>>,
}

/// A buffer, and how much of it is filled.
type Piece = (Vec<u8>, usize);

impl Summer {
    /// For a content of this size, if it is known.
    pub fn new(kind: Option<HashKind>, blocks: Option<Mapper>, size: Option<u64>) -> Result<Self> {
        let mut sums = Box::new(Summing { sums: Sums::new(kind), blocks });
        if size.is_none_or(|size| size < LARGE) {
            return Ok(Summer::Here(sums, vec![0; BUFFER_BYTES]));
        }
        let (work, pieces) = sync_channel::<Piece>(BUFFERS);
        let (give_back, buffers) = sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            // There is room for all of them.
            let _ = give_back.try_send((vec![0; BUFFER_BYTES], 0));
        }
        let only_fingerprint = Arc::new(AtomicBool::new(false));
        let told = only_fingerprint.clone();
        let sum = move || {
            for (buffer, filled) in pieces {
                if told.load(Relaxed) {
                    sums.only_fingerprint();
                }
                sums.update(&buffer[..filled]);
                // Nobody waits for it when everything has come.
                let _ = give_back.try_send((buffer, 0));
            }
            sums
        };
        let thread = threads::named("sums").spawn(sum);
        let thread = thread.map_err(|error| Error::disk("starting a thread", error))?;
        Ok(Summer::Beside(Beside { buffers, work, only_fingerprint, thread }))
    }

    /// A buffer to be filled.
    pub fn buffer(&mut self) -> Result<Vec<u8>> {
        match self {
            Summer::Here(_, buffer) => Ok(std::mem::take(buffer)),
            Summer::Beside(Beside { buffers, .. }) => {
                buffers.recv().map(|(buffer, _)| buffer).map_err(|_| lost())
            }
        }
    }

    /// Sums the first `filled` bytes of a buffer.
    pub fn sum(&mut self, buffer: Vec<u8>, filled: usize) -> Result<()> {
        match self {
            Summer::Here(sums, own) => {
                sums.update(&buffer[..filled]);
                *own = buffer;
                Ok(())
            }
            Summer::Beside(Beside { work, .. }) => work.send((buffer, filled)).map_err(|_| lost()),
        }
    }

    /// See [`Sums::only_fingerprint`].
    pub fn only_fingerprint(&mut self) {
        match self {
            Summer::Here(sums, _) => sums.only_fingerprint(),
            Summer::Beside(beside) => beside.only_fingerprint.store(true, Relaxed),
        }
    }

    pub fn finish(self) -> Result<Summed> {
        match self {
            Summer::Here(sums, _) => Ok(sums.finish()),
            Summer::Beside(Beside { work, thread, .. }) => {
                drop(work);
                thread.join().map(|sums| sums.finish()).map_err(|_| lost())
            }
        }
    }
}

fn lost() -> Error {
    Error::new(Kind::State, "summing a file", "its thread ended")
}

/// Reads a whole content, telling each piece.
pub(super) fn read_all(
    content: &dyn Content,
    cancel: &Cancel,
    each: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    while at < content.size() {
        cancel.check()?;
        let count = content.read_at(&mut buffer, at)?;
        if count == 0 {
            break;
        }
        each(&buffer[..count]);
        at += count as u64;
    }
    content.unchanged()
}

/// The fingerprint of a whole content.
pub(crate) fn fingerprint(content: &dyn Content, cancel: &Cancel) -> Result<Fingerprint> {
    sums(content, None, cancel).map(|(fingerprint, _)| fingerprint)
}

/// The fingerprint of a whole content, and its hash of this kind.
pub(crate) fn sums(
    content: &dyn Content,
    kind: Option<HashKind>,
    cancel: &Cancel,
) -> Result<(Fingerprint, Option<Hash>)> {
    let mut sums = Sums::new(kind);
    read_all(content, cancel, &mut |bytes| sums.update(bytes))?;
    Ok(sums.finish())
}

/// A content that is read until somebody asks to stop.
pub(super) struct Watched<'a> {
    pub content: &'a dyn Content,
    pub cancel: &'a Cancel,
}

impl Content for Watched<'_> {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.cancel.check()?;
        self.content.read_at(buffer, offset)
    }

    fn unchanged(&self) -> Result<()> {
        self.content.unchanged()
    }
}

/// A content that is summed while an adapter reads it, in whatever pieces and however
/// often.
pub(super) struct Tee<'a> {
    content: &'a dyn Content,
    transfer: &'a Transfer<'a>,
    state: Mutex<Teed>,
}

struct Teed {
    /// Bytes that are summed.
    summed: u64,
    sums: Sums,
    /// Bytes that are told to be on their way. None is told twice, though it may be sent again.
    told: u64,
}

impl<'a> Tee<'a> {
    pub fn new(
        content: &'a dyn Content,
        transfer: &'a Transfer<'a>,
        kind: Option<HashKind>,
    ) -> Self {
        let state = Teed { summed: 0, sums: Sums::new(kind), told: 0 };
        Tee { content, transfer, state: Mutex::new(state) }
    }

    /// The fingerprint and the hash; `None` when the adapter didn't read everything. What needn't
    /// be sent is told to be done, too.
    pub fn finish(self) -> Option<(Fingerprint, Option<Hash>)> {
        let size = self.content.size();
        let Teed { summed, sums, told } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.transfer.advance(size.saturating_sub(told));
        (summed == size).then(|| sums.finish())
    }

    /// Reads and sums; of what is sent, as many bytes as weren't told yet are told.
    fn sum(&self, buffer: &mut [u8], offset: u64, is_sent: bool) -> Result<usize> {
        let count = self.content.read_at(buffer, offset)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Teed { summed, sums, told } = &mut *state;
        sums.update(next_bytes(summed, offset, &buffer[..count]));
        if is_sent {
            let new = self.content.size().saturating_sub(*told).min(count as u64);
            *told += new;
            self.transfer.advance(new);
        }
        Ok(count)
    }
}

impl Content for Tee<'_> {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.sum(buffer, offset, true)
    }

    fn look_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.sum(buffer, offset, false)
    }

    fn unchanged(&self) -> Result<()> {
        self.content.unchanged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Bytes;
    use crate::progress::Progress;

    #[test]
    fn what_is_sent_is_progress_once_and_what_is_looked_at_is_not() {
        let (progress, bytes) = (Progress::default(), Bytes(b"0123456789".to_vec()));
        let transfer = progress.transfer("file", 10);
        let tee = Tee::new(&bytes, &transfer, None);
        let done = || progress.view().bytes_done;
        let buffer = &mut [0; 10];
        tee.look_at(buffer, 0).unwrap();
        assert_eq!(done(), 0);
        tee.read_at(&mut buffer[..4], 6).unwrap();
        assert_eq!(done(), 4);
        // The part is sent again, and then another.
        tee.read_at(&mut buffer[..4], 6).unwrap();
        tee.read_at(&mut buffer[..4], 2).unwrap();
        assert_eq!(done(), 10);
        let sums = tee.finish().unwrap();
        assert_eq!(sums.0, fingerprint(&bytes, &Cancel::default()).unwrap());
        assert_eq!(done(), 10);
    }
}
