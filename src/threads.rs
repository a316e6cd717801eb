//! Threads, all with the same small stack.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::Builder;

/// Stack of a thread, in bytes. The deepest are a TLS handshake and the engine with redb below it:
/// half of this. Without optimization they take three times as much.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 512 << 10 } else { 128 << 10 };

/// A thread of this name, to be started.
pub(crate) fn named(name: impl Into<String>) -> Builder {
    Builder::new().name(name.into()).stack_size(STACK_BYTES)
}

/// How many threads more may send parts of large files, beside those that send files.
pub(crate) struct Senders(AtomicUsize);

/// Those that one file has. They are free again when this is dropped.
pub(crate) struct Borrowed<'a> {
    of: &'a Senders,
    /// How many.
    pub count: usize,
}

impl Senders {
    /// So many.
    pub fn new(count: usize) -> Self {
        Senders(AtomicUsize::new(count))
    }

    /// All that are free.
    pub fn borrow(&self) -> Borrowed<'_> {
        Borrowed { of: self, count: self.0.swap(0, Relaxed) }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.of.0.fetch_add(self.count, Relaxed);
    }
}
