//! Large files on their way in parts, several at the same time.

use crate::blocks::Cutter;
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::http::Payload;
use crate::threads;
use md5::{Digest as _, Md5};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Up to this size a file is read once into memory; sending it twice costs little.
pub(super) const SMALL: u64 = 256 << 10;
/// Bytes of a larger one that are read at once.
const PIECE: usize = 64 << 10;
/// Parts of large files that are on their way at the same time, beside those of files that are
/// sent by their own threads.
const SENDERS: usize = 3;

/// How many threads more may send parts.
pub(super) struct Senders(AtomicUsize);

/// Those that one file has. They are free again when this is dropped.
struct Borrowed<'a> {
    of: &'a Senders,
    count: usize,
}

impl Senders {
    /// As many as a client with this many connections can use.
    pub fn new(connections: usize) -> Self {
        Senders(AtomicUsize::new(connections.min(SENDERS)))
    }

    /// Sends parts until `make` has no more. They are made one after the other by this thread, while
    /// those before are sent by others, as far as there are any free.
    ///
    /// # Errors
    /// The first that `make` or `send` has; nothing more is made or sent then.
    pub fn send<P: Send>(
        &self,
        what: &str,
        make: &mut dyn FnMut() -> Result<Option<P>>,
        send: &(dyn Fn(P) -> Result<()> + Sync),
    ) -> Result<()> {
        let (hand_over, queue) = sync_channel::<P>(0);
        let queue = Mutex::new(Some(queue));
        let send_all = || -> Result<()> {
            while let Some(part) = next(&queue) {
                // After a failure nobody takes the next one.
                send(part).inspect_err(|_| *lock(&queue) = None)?;
            }
            Ok(())
        };
        let free = self.borrow();
        thread::scope(|scope| {
            let start = |_| threads::named("part").spawn_scoped(scope, send_all).ok();
            let senders: Vec<_> = (0..free.count).filter_map(start).collect();
            let mut make_all = || -> Result<()> {
                while let Some(part) = make()? {
                    if senders.is_empty() {
                        send(part)?;
                    } else {
                        hand_over.send(part).map_err(|_| ended(what))?;
                    }
                }
                Ok(())
            };
            let made = make_all();
            drop(hand_over);
            // Theirs are the errors that tell more.
            for sender in senders {
                sender.join().map_err(|_| ended(what))??;
            }
            made
        })
    }

    /// All that are free.
    fn borrow(&self) -> Borrowed<'_> {
        Borrowed { of: self, count: self.0.swap(0, Relaxed) }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.of.0.fetch_add(self.count, Relaxed);
    }
}

/// A file or a part of one with its MD5, ready to be sent.
pub(super) struct Body<'a> {
    pub payload: Payload<'a>,
    /// Bytes.
    pub length: u64,
    pub md5: [u8; 16],
}

impl<'a> Body<'a> {
    /// Hashes a whole file; see [`whole`].
    ///
    /// # Errors
    /// As [`read_whole`].
    pub fn whole(content: &'a dyn Content, buffer: &'a mut Vec<u8>) -> Result<Self> {
        let mut sum = Md5::new();
        let payload = whole(content, buffer, &mut |bytes| sum.update(bytes))?;
        Ok(Body { payload, length: content.size(), md5: sum.finalize().into() })
    }
}

/// What to send of a whole file, whose bytes `each` is shown. One that is small is kept in
/// `buffer` to be sent from there.
///
/// # Errors
/// As [`read_whole`].
pub(super) fn whole<'a>(
    content: &'a dyn Content,
    buffer: &'a mut Vec<u8>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<Payload<'a>> {
    let length = content.size();
    if length > SMALL {
        read_part(content, 0, length, buffer, each)?;
        return Ok(Payload::Part { content, from: 0, length });
    }
    read_whole(content, buffer)?;
    each(buffer);
    Ok(Payload::Bytes(buffer))
}

/// Reads all of a small file into `buffer`, which has its size then.
///
/// # Errors
/// `Changed` when there is less, and those of [`Content::read_at`].
pub(super) fn read_whole(content: &dyn Content, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.resize(usize::try_from(content.size()).unwrap_or(0), 0);
    let mut done = 0;
    while done < buffer.len() {
        done += some(content.read_at(&mut buffer[done..], done as u64)?)?;
    }
    Ok(())
}

/// Looks at `length` bytes of a file from `from` on, in pieces that `each` is shown. They are in
/// `buffer` meanwhile.
///
/// # Errors
/// As [`read_whole`].
pub(super) fn read_part(
    content: &dyn Content,
    from: u64,
    length: u64,
    buffer: &mut Vec<u8>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    buffer.resize(PIECE, 0);
    let mut done = 0;
    while done < length {
        let most = usize::try_from(length - done).unwrap_or(PIECE).min(PIECE);
        let count = some(content.look_at(&mut buffer[..most], from + done)?)?;
        each(&buffer[..count]);
        done += count as u64;
    }
    Ok(())
}

/// Looks at the block that begins at `from`, which is where a block begins to `cutter`, too, in pieces
/// that `each` is shown. Tells its length, which is 0 only at the end.
///
/// # Errors
/// As [`read_whole`].
pub(super) fn read_block(
    content: &dyn Content,
    from: u64,
    cutter: &mut Cutter,
    buffer: &mut Vec<u8>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<u64> {
    buffer.resize(PIECE, 0);
    let (mut at, mut ends) = (from, false);
    while at < content.size() && !ends {
        let most = usize::try_from(content.size() - at).unwrap_or(PIECE).min(PIECE);
        let count = some(content.look_at(&mut buffer[..most], at)?)?;
        let taken;
        (taken, ends) = cutter.take(&buffer[..count]);
        each(&buffer[..taken]);
        at += taken as u64;
    }
    Ok(at - from)
}

/// A count of bytes before the end of a file, where there have to be some.
fn some(count: usize) -> Result<usize> {
    match count {
        0 => Err(Error::new(Kind::Changed, "reading the file", "it became shorter")),
        count => Ok(count),
    }
}

/// The lock of what no panic can leave half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was handed over next; `None` when nothing will be.
fn next<T>(queue: &Mutex<Option<Receiver<T>>>) -> Option<T> {
    lock(queue).as_ref()?.recv().ok()
}

fn ended(what: &str) -> Error {
    Error::new(Kind::State, what, "the threads that send its parts ended")
}
