//! How far a cycle is, for anyone to look at while it runs.

use heapless::Vec as Bounded;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Transfers shown at the same time; more than that many never run.
const MOST_CURRENT: usize = 32;

/// How far a cycle is. One thread writes the phase, many the transfers; anyone reads.
#[derive(Debug, Default)]
pub struct Progress {
    phase: Mutex<&'static str>,
    seen: AtomicU64,
    files: AtomicU64,
    files_done: AtomicU64,
    bytes: AtomicU64,
    bytes_done: AtomicU64,
    current: Mutex<Bounded<Current, MOST_CURRENT>>,
}

#[derive(Debug)]
struct Current {
    path: String,
    size: u64,
    done: Arc<AtomicU64>,
}

/// [`Progress`] at one moment.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ProgressView {
    /// observing, planning, transferring, removing; empty when nothing runs.
    pub phase: &'static str,
    /// Files seen while observing.
    pub seen: u64,
    /// Files to transfer.
    pub files: u64,
    /// Files transferred.
    pub files_done: u64,
    /// Bytes to transfer.
    pub bytes: u64,
    /// Bytes transferred.
    pub bytes_done: u64,
    /// What is being transferred: path, bytes done, bytes in all.
    pub current: Vec<(String, u64, u64)>,
}

/// A running transfer; it is shown until this is dropped.
pub(crate) struct Transfer<'a> {
    progress: &'a Progress,
    done: Arc<AtomicU64>,
}

impl Progress {
    /// How far it is.
    pub fn view(&self) -> ProgressView {
        let current = lock(&self.current);
        let current = current
            .iter()
            .map(|current| (current.path.clone(), current.done.load(Relaxed), current.size));
        ProgressView {
            phase: *lock(&self.phase),
            seen: self.seen.load(Relaxed),
            files: self.files.load(Relaxed),
            files_done: self.files_done.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            bytes_done: self.bytes_done.load(Relaxed),
            current: current.collect(),
        }
    }

    /// Begins a phase of a cycle.
    pub(crate) fn phase(&self, phase: &'static str) {
        *lock(&self.phase) = phase;
    }

    /// Begins a cycle.
    pub(crate) fn reset(&self) {
        for count in [&self.seen, &self.files, &self.files_done, &self.bytes, &self.bytes_done] {
            count.store(0, Relaxed);
        }
    }

    /// Counts a file that was seen.
    pub(crate) fn saw(&self) {
        self.seen.fetch_add(1, Relaxed);
    }

    /// Tells how much is to be transferred in all.
    pub(crate) fn expect(&self, files: u64, bytes: u64) {
        self.files.store(self.files_done.load(Relaxed) + files, Relaxed);
        self.bytes.store(self.bytes_done.load(Relaxed).saturating_add(bytes), Relaxed);
    }

    /// Counts a file that is done.
    pub(crate) fn finish_file(&self) {
        self.files_done.fetch_add(1, Relaxed);
    }

    /// Shows a transfer.
    pub(crate) fn transfer(&self, path: &str, size: u64) -> Transfer<'_> {
        let done = Arc::new(AtomicU64::new(0));
        let shown = Current { path: path.into(), size, done: done.clone() };
        // One too many simply isn't shown.
        let _ = lock(&self.current).push(shown);
        Transfer { progress: self, done }
    }
}

impl Transfer<'_> {
    /// Counts bytes that are done.
    pub fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
        self.progress.bytes_done.fetch_add(bytes, Relaxed);
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        lock(&self.progress.current).retain(|current| !Arc::ptr_eq(&current.done, &self.done));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain values that no panic can leave half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
