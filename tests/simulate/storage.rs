//! The bytes of a state file on a disk that may lose, or tear, what wasn't synced.

use redb::StorageBackend;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PAGE: usize = 4096;
/// What a disk writes in one go, or not at all.
const SECTOR: usize = 512;

type Page = Arc<[u8; PAGE]>;

/// A file's bytes. Clones share them; a copy of its own is taken by [`Storage::copy`].
#[derive(Clone, Default)]
pub struct Storage(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Pages that were ever written; the others are zeros.
    pages: Vec<Option<Page>>,
    length: u64,
    /// What was written since the last sync, and what had been there.
    loose: Vec<Written>,
    off: bool,
}

struct Written {
    offset: u64,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Storage {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same bytes in another file.
    pub fn copy(&self) -> Storage {
        let inner = self.lock();
        let copy = Inner { pages: inner.pages.clone(), length: inner.length, ..Inner::default() };
        Storage(Arc::new(Mutex::new(copy)))
    }

    /// From now on every call fails.
    pub fn power_off(&self) {
        self.lock().off = true;
    }

    /// The file as it is found after the power was off; what was open before stays useless. After
    /// a power cut, of what wasn't synced the disk has written what `chance` tells.
    pub fn power_on(&self, cut: bool, chance: &mut dyn FnMut(u64) -> u64) -> Storage {
        let mut inner = self.lock();
        let loose = std::mem::take(&mut inner.loose);
        if cut {
            for written in loose.iter().rev() {
                inner.put(written.offset, &written.old);
            }
            for written in &loose {
                for (number, sector) in written.new.chunks(SECTOR).enumerate() {
                    if chance(2) == 0 {
                        inner.put(written.offset + (number * SECTOR) as u64, sector);
                    }
                }
            }
        }
        drop(inner);
        self.copy()
    }

    /// All bytes, to tell whether any changed.
    pub fn is_same(&self, other: &Storage) -> bool {
        let (mine, others) = (self.lock(), other.lock());
        mine.length == others.length && mine.pages == others.pages
    }
}

impl Inner {
    fn get(&self, offset: u64, out: &mut [u8]) {
        let mut at = offset as usize;
        let mut out = out;
        while !out.is_empty() {
            let (page, from) = (at / PAGE, at % PAGE);
            let count = out.len().min(PAGE - from);
            let (now, rest) = out.split_at_mut(count);
            match self.pages.get(page).and_then(Option::as_ref) {
                Some(bytes) => now.copy_from_slice(&bytes[from..from + count]),
                None => now.fill(0),
            }
            (at, out) = (at + count, rest);
        }
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset as usize;
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let (page, from) = (at / PAGE, at % PAGE);
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE - from));
            if self.pages.len() <= page {
                self.pages.resize(page + 1, None);
            }
            let place = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(place)[from..from + now.len()].copy_from_slice(now);
            (at, bytes) = (at + now.len(), rest);
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Storage")
    }
}

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        let inner = self.lock();
        inner.check()?;
        Ok(inner.length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.lock();
        inner.check()?;
        inner.get(offset, out);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check()?;
        if length < inner.length {
            inner.pages.truncate((length as usize).div_ceil(PAGE));
        }
        inner.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check()?;
        inner.loose.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check()?;
        let mut old = vec![0; data.len()];
        inner.get(offset, &mut old);
        inner.put(offset, data);
        inner.loose.push(Written { offset, old, new: data.into() });
        Ok(())
    }
}
