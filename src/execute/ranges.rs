//! A large file, fetched in ranges by several threads, while what came is read back and summed in
//! order.

use super::down::too_long;
use super::hashing::Summer;
use super::{BUFFER_BYTES, Context, Down, Job};
use crate::error::{Error, Kind, Result};
use crate::http::read_error;
use crate::local::Arrival;
use crate::model::RemotePrint;
use crate::progress::Transfer;
use crate::remote::Download;
use crate::threads;
use heapless::Vec as Bounded;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What is left of a file that is worth it, in bytes.
const LARGE: u64 = 64 << 20;
/// Bytes of a range. One more request for each is little beside them.
const RANGE: u64 = 16 << 20;
/// A range that is opened sooner is worth it in any case.
const SLOW: Duration = Duration::from_millis(300);
/// Ranges that are fetched at a time.
const THREADS: usize = 3;
/// Ranges that may have come before all that is before them is summed: what is read back is still
/// in the page cache then.
const AHEAD: usize = THREADS + 1;

/// The bytes to ask for first of what is left of a file.
pub(super) fn first(at: u64, print: &RemotePrint) -> Range<u64> {
    match print.known_size() {
        Some(size) if size.saturating_sub(at) >= LARGE => at..at + RANGE,
        _ => at..u64::MAX,
    }
}

/// A file that is fetched in ranges.
pub(super) struct Ranges<'a> {
    pub context: &'a Context<'a>,
    pub down: &'a Down,
    pub job: &'a Job,
    pub planned: &'a RemotePrint,
    pub arrival: &'a Arrival,
    pub transfer: &'a Transfer<'a>,
    pub what: &'a str,
}

/// How far it is. Everything is in bytes of the file.
struct Board {
    /// All before it has come, or somebody fetches it.
    taken: u64,
    /// What somebody fetches, and what came and isn't summed.
    ranges: Bounded<Coming, AHEAD>,
    /// Opening a range takes longer than fetching it: the rest is one.
    slow: bool,
    failed: Option<Error>,
    /// Nobody wants more.
    over: bool,
}

/// A range, and how much of it came.
struct Coming {
    range: Range<u64>,
    come: u64,
}

struct Shared {
    board: Mutex<Board>,
    news: Condvar,
}

impl Ranges<'_> {
    /// Fetches all from byte `at` on, of which the first range is open already. `at` is moved to
    /// where all before it is in the file and summed, also when it fails.
    pub fn fetch(&self, first: Download, at: &mut u64, summer: &mut Summer) -> Result<()> {
        let shared = Shared::new(*at..first.end);
        thread::scope(|scope| {
            let _end = End(&shared);
            let mut open = Some((*at..first.end, first));
            for number in 0..THREADS {
                let (open, shared) = (open.take(), &shared);
                threads::named(format!("range-{number}"))
                    .spawn_scoped(scope, move || self.work(open, shared))
                    .map_err(|error| Error::disk("starting a thread", error))?;
            }
            while *at < self.planned.size {
                let come = shared.wait_beyond(*at)?;
                self.sum(*at..come, summer)?;
                *at = come;
                shared.summed(come);
            }
            Ok(())
        })
    }

    /// Fetches one range after the other, at first the one that is open.
    fn work(&self, open: Option<(Range<u64>, Download)>, shared: &Shared) {
        if let Err(error) = self.fetch_some(open, shared) {
            shared.fail(error);
        }
    }

    fn fetch_some(&self, open: Option<(Range<u64>, Download)>, shared: &Shared) -> Result<()> {
        let clock = self.context.clock;
        if let Some((range, download)) = open {
            self.fetch_range(&range, download, shared)?;
        }
        while let Some(range) = shared.take(self.planned.size) {
            let begun = clock.running();
            let version = &self.planned.version;
            let download = self.down.remote.read(self.job.place(), version, range.clone())?;
            let opened = clock.running();
            self.fetch_range(&range, download, shared)?;
            let opening = opened - begun;
            if opening > SLOW && opening > clock.running() - opened {
                shared.rest_at_once();
            }
        }
        Ok(())
    }

    fn fetch_range(&self, range: &Range<u64>, open: Download, shared: &Shared) -> Result<()> {
        let what = self.what;
        if open.end != range.end {
            return Err(Error::new(
                Kind::Protocol,
                what,
                "a part came with another end than asked",
            ));
        }
        let (mut reader, mut at) = (open.reader, range.start);
        let mut buffer = vec![0; BUFFER_BYTES];
        while !shared.is_over() {
            self.context.cancel.check()?;
            let count = reader.read(&mut buffer).map_err(|error| read_error(what, error))?;
            if count as u64 > range.end - at {
                return Err(too_long(what));
            }
            if count == 0 && at < range.end {
                let cause =
                    format!("{} of {} bytes came", at - range.start, range.end - range.start);
                return Err(Error::new(Kind::Offline, what, cause));
            }
            if count == 0 {
                return Ok(());
            }
            let written = self.arrival.write_all_at(&buffer[..count], at);
            written.map_err(|error| Error::disk(what, error))?;
            self.transfer.advance(count as u64);
            at += count as u64;
            shared.came(range.start, at);
        }
        Err(Error::cancelled())
    }

    /// Reads back a range that has come.
    fn sum(&self, range: Range<u64>, summer: &mut Summer) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            self.context.cancel.check()?;
            let mut buffer = summer.buffer()?;
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let count = self.arrival.read_at(&mut buffer[..left], at);
            let count = count.map_err(|error| Error::disk(self.what, error))?;
            if count == 0 {
                return Err(Error::new(Kind::Changed, self.what, "the temporary file was cut"));
            }
            summer.sum(buffer, count)?;
            at += count as u64;
        }
        Ok(())
    }
}

impl Shared {
    /// With a range that somebody is about to fetch.
    fn new(first: Range<u64>) -> Self {
        let mut board = Board {
            taken: first.end,
            ranges: Bounded::new(),
            slow: false,
            failed: None,
            over: false,
        };
        board.add(first);
        Shared { board: Mutex::new(board), news: Condvar::new() }
    }

    /// The next range to fetch, once it isn't too far ahead; `None` when there is none any more.
    fn take(&self, size: u64) -> Option<Range<u64>> {
        let mut board = self.lock();
        while !board.over && board.taken < size && board.ranges.is_full() {
            board = self.news.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        if board.over || board.taken == size {
            return None;
        }
        let end = if board.slow { size } else { size.min(board.taken + RANGE) };
        let range = board.taken..end;
        board.taken = end;
        board.add(range.clone());
        Some(range)
    }

    /// All before `come` is in the file, of the range that begins at `start`.
    fn came(&self, start: u64, come: u64) {
        let mut board = self.lock();
        let coming = board.ranges.iter_mut().find(|coming| coming.range.start == start);
        if let Some(coming) = coming {
            coming.come = come;
        }
        self.news.notify_all();
    }

    fn rest_at_once(&self) {
        self.lock().slow = true;
    }

    fn fail(&self, error: Error) {
        let mut board = self.lock();
        board.over = true;
        // Those that come after it only say that it is over.
        board.failed.get_or_insert(error);
        self.news.notify_all();
    }

    fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Waits until more than what is before `at` is in the file; tells how far that goes.
    fn wait_beyond(&self, at: u64) -> Result<u64> {
        let mut board = self.lock();
        loop {
            let here = board.ranges.iter().find(|coming| coming.range.contains(&at));
            if let Some(coming) = here.filter(|coming| coming.come > at) {
                return Ok(coming.come);
            }
            if let Some(error) = board.failed.take() {
                return Err(error);
            }
            board = self.news.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All before `at` is summed.
    fn summed(&self, at: u64) {
        self.lock().ranges.retain(|coming| coming.range.end > at);
        self.news.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        // No panic can leave it half-changed.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn add(&mut self, range: Range<u64>) {
        // There is room: whoever takes a range waits for it.
        let _ = self.ranges.push(Coming { come: range.start, range });
    }
}

/// Ends the threads, however it ends.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.news.notify_all();
    }
}
