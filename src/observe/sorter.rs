//! A folder's entries in the order of their names (those of one name as they came), in bounded
//! memory: what is more than fits is sorted in runs on the disk, in a file that nobody else sees,
//! and merged.

use crate::error::{Error, Kind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Entries kept in memory.
const RUN_ENTRIES: usize = 8192;
/// Bytes of a run that are read at once.
const READ_BYTES: usize = 8 << 10;

/// Collects entries.
pub(super) struct Sorter<T> {
    folder: PathBuf,
    entries: Vec<(String, T)>,
    file: Option<File>,
    /// Where each run ends in the file.
    ends: Vec<u64>,
}

/// The entries in order.
pub(super) struct Sorted<T> {
    memory: std::vec::IntoIter<(String, T)>,
    runs: Vec<Run>,
    /// The next entry of each run that isn't at its end.
    heads: BinaryHeap<Reverse<(String, usize, Vec<u8>)>>,
    file: Option<File>,
    failed: bool,
}

struct Run {
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl<T: Serialize + DeserializeOwned> Sorter<T> {
    /// For entries that, where they don't fit in memory, go to a file in `folder`.
    pub fn new(folder: &Path) -> Self {
        Sorter { folder: folder.into(), entries: Vec::new(), file: None, ends: Vec::new() }
    }

    pub fn push(&mut self, name: String, entry: T) -> Result<()> {
        self.entries.push((name, entry));
        if self.entries.len() == RUN_ENTRIES { self.spill() } else { Ok(()) }
    }

    pub fn finish(mut self) -> Result<Sorted<T>> {
        if self.file.is_some() && !self.entries.is_empty() {
            self.spill()?;
        }
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let runs = starts.zip(&self.ends).map(|(at, end)| Run {
            at,
            end: *end,
            buffer: Vec::new(),
            used: 0,
        });
        let mut sorted = Sorted {
            memory: self.entries.into_iter(),
            runs: runs.collect(),
            heads: BinaryHeap::new(),
            file: self.file,
            failed: false,
        };
        for run in 0..sorted.runs.len() {
            sorted.advance(run)?;
        }
        Ok(sorted)
    }

    fn spill(&mut self) -> Result<()> {
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(unseen_file(&self.folder)?),
        };
        let mut end = self.ends.last().copied().unwrap_or(0);
        let mut writer = std::io::BufWriter::with_capacity(READ_BYTES, file);
        for (name, entry) in self.entries.drain(..) {
            let row = postcard::to_stdvec(&(name, postcard::to_stdvec(&entry).map_err(encoding)?))
                .map_err(encoding)?;
            let length = u32::try_from(row.len()).map_err(encoding)?;
            writer.write_all(&length.to_le_bytes()).map_err(disk)?;
            writer.write_all(&row).map_err(disk)?;
            end += 4 + u64::from(length);
        }
        writer.flush().map_err(disk)?;
        drop(writer);
        self.ends.push(end);
        Ok(())
    }
}

impl<T: DeserializeOwned> Sorted<T> {
    fn advance(&mut self, run: usize) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some((name, row)) = self.runs[run].next(file)? {
            self.heads.push(Reverse((name, run, row)));
        }
        Ok(())
    }

    fn merged(&mut self) -> Result<Option<(String, T)>> {
        let Some(Reverse((name, run, row))) = self.heads.pop() else { return Ok(None) };
        self.advance(run)?;
        Ok(Some((name, postcard::from_bytes(&row).map_err(encoding)?)))
    }
}

impl<T: DeserializeOwned> Iterator for Sorted<T> {
    type Item = Result<(String, T)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.file.is_none() {
            return self.memory.next().map(Ok);
        }
        let next = self.merged();
        self.failed = next.is_err();
        next.transpose()
    }
}

impl Run {
    fn next(&mut self, file: &File) -> Result<Option<(String, Vec<u8>)>> {
        if !self.fill(file, 4)? {
            return Ok(None);
        }
        let length = self.take(4).try_into().map_or(0, u32::from_le_bytes) as usize;
        if !self.fill(file, length)? {
            return Err(encoding("a run ends early"));
        }
        postcard::from_bytes(self.take(length)).map(Some).map_err(encoding)
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let from = self.used;
        self.used += count;
        &self.buffer[from..self.used]
    }

    /// Makes sure that `count` bytes are in the buffer; tells whether the run has that many.
    fn fill(&mut self, file: &File, count: usize) -> Result<bool> {
        if self.buffer.len() - self.used >= count {
            return Ok(true);
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        let have = self.buffer.len();
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let more = READ_BYTES.max(count).min(left);
        self.buffer.resize(have + more, 0);
        file.read_exact_at(&mut self.buffer[have..], self.at).map_err(disk)?;
        self.at += more as u64;
        Ok(self.buffer.len() >= count)
    }
}

/// A new file without a name: it is gone when it is closed, however that comes about.
fn unseen_file(folder: &Path) -> Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("sort-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let path = folder.join(name);
    let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(disk)?;
    std::fs::remove_file(&path).map_err(disk)?;
    Ok(file)
}

fn disk(error: std::io::Error) -> Error {
    Error::disk("sorting a large folder", error)
}

fn encoding(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::State, "sorting a large folder", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_folders_come_back_in_order() {
        for count in [0, 1, RUN_ENTRIES - 1, RUN_ENTRIES, 3 * RUN_ENTRIES + 7] {
            let mut sorter = Sorter::new(&std::env::temp_dir());
            for at in 0..count {
                let scattered = (at * 7919) % count;
                sorter.push(format!("{scattered:08}"), scattered as u64).unwrap();
            }
            let sorted: Vec<_> = sorter.finish().unwrap().map(|next| next.unwrap()).collect();
            let expected: Vec<_> = (0..count).map(|at| (format!("{at:08}"), at as u64)).collect();
            let gcd_is_one = count == 0 || !count.is_multiple_of(7919);
            assert!(gcd_is_one && sorted == expected, "{count} entries");
        }
    }
}
