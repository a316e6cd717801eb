//! An encrypted file whose bytes are made when they are asked for, from any of them on.

use super::container::{AFTER_DATA, BEFORE_DATA, before_data};
use super::encrypt::{self, Sums};
use super::keys::{Locks, SessionKey};
use super::sealer::{CONTENT_BYTES, Sealer, State};
use super::{DATA_BYTES, Opener, decrypt};
use crate::content::{Content, Looked, copy_from, read_exact_at};
use crate::error::{Error, Kind, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks of content whose beginnings are known at most; of larger contents it is every second,
/// every fourth, and so on.
const MOST_POINTS: usize = 4096;
/// Readers whose last block is kept: one for each thread that sends a part, and the one that makes
/// them.
const KEPT: usize = 4;

/// A content as an encrypted file.
///
/// How long it is can't be told before all of it is compressed. It is read twice, therefore:
/// first to find that out, with where each block begins, and then for the bytes themselves, which
/// are the same however often and in whatever order they are asked for. Nothing of it is put on a
/// disk.
pub struct Locked<'a> {
    content: &'a dyn Content,
    session: SessionKey,
    /// What the file begins with.
    head: Vec<u8>,
    /// What it ends with.
    tail: Vec<u8>,
    checksum: u32,
    points: Points,
    /// What it is like behind all data.
    end: Point,
    kept: Mutex<Vec<Cursor>>,
}

/// Where the data of a block of content begin, and what decides them.
#[derive(Clone, PartialEq, Eq)]
struct Point {
    /// Bytes of data before.
    at: u64,
    state: State,
}

/// The beginnings of blocks that are known.
struct Points {
    /// From one to the next, in blocks.
    step: u64,
    points: Vec<Point>,
}

/// A block's data, and what makes those of the next.
struct Cursor {
    /// The next block of content.
    next: u64,
    sealer: Sealer,
    /// Where the data begin.
    at: u64,
    data: Vec<u8>,
}

impl<'a> Locked<'a> {
    /// Encrypts a content as version 3.1. `name` is what the file calls itself. Reads all of the
    /// content once.
    ///
    /// # Errors
    /// Those of reading; `Changed` when the content became shorter; `Usage` when the public key is
    /// too small.
    pub fn new(content: &'a dyn Content, name: &str, locks: &Locks) -> Result<Self> {
        let (session, head) = encrypt::begin(name, locks)?;
        Locked::of(content, session, head)
    }

    /// Encrypts a content as a file was that began with these bytes, to which more may belong.
    ///
    /// # Errors
    /// As [`Locked::new`], and those of [`super::decrypt()`] that concern a file's beginning.
    pub fn again(content: &'a dyn Content, mut head: Vec<u8>, opener: &Opener) -> Result<Self> {
        let (session, length) = decrypt::session(&head[..], opener)?;
        head.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Locked::of(content, session, head)
    }

    fn of(content: &'a dyn Content, session: SessionKey, head: Vec<u8>) -> Result<Self> {
        let (mut cursor, mut sums) = (Cursor::new(&session), Sums::new());
        let (mut points, mut block) = (Points { step: 1, points: Vec::new() }, Vec::new());
        for number in 0..blocks(content) {
            points.note(number, || cursor.point());
            read_block(&Looked(content), number, &mut block)?;
            sums.update(&block);
            cursor.go_on(|sealer, data| sealer.block(&block, data));
        }
        let (checksum, tail) = sums.finish()?;
        cursor.go_on(|sealer, data| sealer.end(checksum, data));
        let end = cursor.point();
        let kept = Mutex::default();
        Ok(Locked { content, session, head, tail, checksum, points, end, kept })
    }

    /// What the file begins with. Whoever has the password or the private key gets the session key
    /// out of it, nobody else.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Tells this file apart from what another content, or another compression, would be with the
    /// same beginning.
    pub fn mark(&self) -> Vec<u8> {
        [&self.end.at.to_le_bytes()[..], self.end.state.last()].concat()
    }

    /// Copies bytes of the file from `at` on, as many as stand together.
    fn some(&self, at: u64, to: &mut [u8]) -> Result<usize> {
        let Some(at) = at.checked_sub(self.head.len() as u64) else {
            return Ok(copy_from(&self.head, at, to));
        };
        let Some(at_tail) = at.checked_sub(framed(self.end.at)) else {
            let (part, at) = (at / framed(FULL), at % framed(FULL));
            let from = part * FULL;
            let length = (self.end.at - from).min(FULL);
            return match at.checked_sub(BEFORE_DATA as u64) {
                None => Ok(copy_from(&before_data(length as u16), at, to)),
                Some(at) if at < length => {
                    let most = to.len().min((length - at) as usize);
                    self.data(from + at, &mut to[..most])
                }
                Some(at) => Ok(copy_from(AFTER_DATA, at - length, to)),
            };
        };
        Ok(copy_from(&self.tail, at_tail, to))
    }

    /// Copies data from `at` on, as many as come of the same block.
    fn data(&self, at: u64, to: &mut [u8]) -> Result<usize> {
        let mut cursor = self.cursor(at);
        while cursor.end() <= at {
            self.step(&mut cursor)?;
        }
        let count = copy_from(&cursor.data, at - cursor.at, to);
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(cursor);
        Ok(count)
    }

    /// One that is there already, or was at the byte before; else one from the next point before.
    fn cursor(&self, at: u64) -> Cursor {
        let goes_on = |cursor: &Cursor| (cursor.at..=cursor.end()).contains(&at);
        let mut kept = self.kept();
        if let Some(found) = kept.iter().position(goes_on) {
            return kept.remove(found);
        }
        drop(kept);
        match self.points.before(at) {
            None => Cursor::new(&self.session),
            Some((next, point)) => {
                let sealer = Sealer::at(&self.session, &point.state);
                Cursor { next, sealer, at: point.at, data: Vec::new() }
            }
        }
    }

    /// Goes on to the next block. Whatever leads elsewhere than the first time is of another
    /// content.
    fn step(&self, cursor: &mut Cursor) -> Result<()> {
        let changed = || {
            let what = "reading the file";
            Error::new(Kind::Changed, what, "it changed while it was being encrypted")
        };
        let blocks = blocks(self.content);
        if cursor.next > blocks {
            return Err(changed());
        }
        if self.points.at(cursor.next).is_some_and(|point| *point != cursor.point()) {
            return Err(changed());
        }
        if cursor.next == blocks {
            cursor.go_on(|sealer, data| sealer.end(self.checksum, data));
            return if cursor.point() == self.end { Ok(()) } else { Err(changed()) };
        }
        let mut block = Vec::new();
        read_block(self.content, cursor.next, &mut block)?;
        cursor.go_on(|sealer, data| sealer.block(&block, data));
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Cursor>> {
        // No panic can leave it half-changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content for Locked<'_> {
    fn size(&self) -> u64 {
        self.head.len() as u64 + framed(self.end.at) + self.tail.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let wanted = self.size().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut filled = 0;
        while filled < wanted {
            filled += self.some(offset + filled as u64, &mut buffer[filled..wanted])?;
        }
        Ok(filled)
    }

    fn unchanged(&self) -> Result<()> {
        self.content.unchanged()
    }
}

impl Points {
    fn note(&mut self, number: u64, point: impl FnOnce() -> Point) {
        if !number.is_multiple_of(self.step) {
            return;
        }
        if self.points.len() == MOST_POINTS {
            let mut number = 0;
            self.points.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.step *= 2;
        }
        self.points.push(point());
    }

    /// The beginning of a block, if it is known.
    fn at(&self, number: u64) -> Option<&Point> {
        let index = number.is_multiple_of(self.step).then_some(number / self.step)?;
        self.points.get(usize::try_from(index).ok()?)
    }

    /// The last beginning at or before a byte of data, with the number of its block.
    fn before(&self, at: u64) -> Option<(u64, &Point)> {
        let index = self.points.partition_point(|point| point.at <= at).checked_sub(1)?;
        Some((index as u64 * self.step, &self.points[index]))
    }
}

impl Cursor {
    fn new(session: &SessionKey) -> Self {
        Cursor { next: 0, sealer: Sealer::new(session), at: 0, data: Vec::new() }
    }

    /// Where its data end.
    fn end(&self) -> u64 {
        self.at + self.data.len() as u64
    }

    fn point(&self) -> Point {
        Point { at: self.end(), state: self.sealer.state() }
    }

    fn go_on(&mut self, make: impl FnOnce(&mut Sealer, &mut Vec<u8>)) {
        self.at = self.end();
        self.data.clear();
        make(&mut self.sealer, &mut self.data);
        self.next += 1;
    }
}

/// Bytes of data in every part but the last.
const FULL: u64 = DATA_BYTES as u64;

/// Bytes that so many of data take in their parts.
fn framed(data: u64) -> u64 {
    data + data.div_ceil(FULL) * (BEFORE_DATA + AFTER_DATA.len()) as u64
}

fn blocks(content: &dyn Content) -> u64 {
    content.size().div_ceil(CONTENT_BYTES as u64)
}

/// Reads a block of a content.
fn read_block(content: &dyn Content, number: u64, block: &mut Vec<u8>) -> Result<()> {
    let start = number * CONTENT_BYTES as u64;
    block.resize((content.size() - start).min(CONTENT_BYTES as u64) as usize, 0);
    read_exact_at(content, block, start)
}

#[cfg(test)]
mod tests {
    use super::super::{encrypt, md5_at_end};
    use super::*;
    use crate::content::{Bytes, Slice};
    use crate::model::to_hex;
    use md5::{Digest as _, Md5};
    use std::io::Read as _;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::thread;

    fn locks() -> Locks {
        let pem = include_str!("../../tests/csenc/private.pem");
        Locks::of_pair("correct horse battery staple".into(), pem).unwrap()
    }

    /// Runs that compress, and others that don't.
    fn mixed(size: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut byte = |at: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if (at / 50_000).is_multiple_of(2) { (state >> 24) as u8 } else { (at / 1000) as u8 }
        };
        (0..size).map(&mut byte).collect()
    }

    fn whole(locked: &Locked<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Slice::whole(locked).read_to_end(&mut bytes).unwrap();
        bytes
    }

    const SIZES: [usize; 8] = [0, 1, 8_000, 65_535, 65_536, 65_537, 300_000, 1_200_000];

    #[test]
    fn it_is_a_file_of_the_format() {
        let locks = locks();
        for size in SIZES {
            let bytes = mixed(size);
            let content = Bytes(bytes.clone());
            let locked = Locked::new(&content, "name", &locks).unwrap();
            let file = whole(&locked);
            let mut opened = Vec::new();
            decrypt::decrypt(&file[..], &locks.opener(), &mut opened).unwrap();
            assert!(opened == bytes, "{size}");
            let tail = &file[file.len() - super::super::TAIL_BYTES as usize..];
            assert_eq!(md5_at_end(tail).unwrap(), to_hex(&Md5::digest(&bytes)));
            assert_eq!(md5_at_end(&file[file.len() - 65..]), None);
            // What is written as it comes has the same length; all else are chance's.
            let mut streamed = Vec::new();
            encrypt(&mut &bytes[..], "name", &locks, &mut streamed).unwrap();
            assert_eq!(streamed.len(), file.len(), "{size}");
        }
    }

    #[test]
    fn the_same_beginning_gives_the_same_bytes() {
        let (locks, content) = (locks(), Bytes(mixed(500_000)));
        let first = Locked::new(&content, "name", &locks).unwrap();
        let file = whole(&first);
        // As noted, and with more of the file behind it.
        for head in [first.head().to_vec(), file[..20_000].to_vec()] {
            let again = Locked::again(&content, head, &locks.opener()).unwrap();
            assert_eq!(again.mark(), first.mark());
            assert!(whole(&again) == file);
        }
        let mut other = mixed(500_000);
        other[499_999] ^= 1;
        let other = Bytes(other);
        let other = Locked::again(&other, first.head().to_vec(), &locks.opener()).unwrap();
        assert_ne!(other.mark(), first.mark());
        assert_ne!(whole(&Locked::new(&content, "name", &locks).unwrap()), file);
    }

    /// Pieces of any size, in any order, several at the same time: the bytes are the same.
    #[test]
    fn parts_can_be_read_at_the_same_time() {
        const PART: usize = 200_000;
        let (locks, content) = (locks(), Bytes(mixed(3_000_000)));
        let locked = Locked::new(&content, "name", &locks).unwrap();
        let file = whole(&locked);
        let next = AtomicUsize::new(0);
        let send = |step: usize| {
            loop {
                let from = next.fetch_add(1, Relaxed) * PART;
                let Some(expected) = file.get(from..) else { return };
                let expected = &expected[..expected.len().min(PART)];
                // Once for its hash, once to be sent.
                for _ in 0..2 {
                    let mut part = vec![0; expected.len()];
                    for (at, piece) in part.chunks_mut(step).enumerate() {
                        let at = (from + at * step) as u64;
                        read_exact_at(&locked, piece, at).unwrap();
                    }
                    assert!(part == expected, "{from}");
                }
            }
        };
        thread::scope(|scope| {
            for step in [65_536, 10_001, 65_536, 131_072] {
                scope.spawn(move || send(step));
            }
        });
        for from in (0..file.len()).rev().step_by(70_001) {
            let mut piece = [0; 100];
            let count = locked.read_at(&mut piece, from as u64).unwrap();
            assert_eq!(piece[..count], file[from..file.len().min(from + 100)]);
        }
        assert_eq!(locked.read_at(&mut [0; 10], file.len() as u64).unwrap(), 0);
    }

    /// The points of a large content are thinned out, and lead to the same bytes.
    #[test]
    fn few_points_are_enough() {
        let session = SessionKey::new(&mut super::super::keys::Chance::new()).unwrap();
        let (mut cursor, mut points) = (Cursor::new(&session), Points { step: 1, points: vec![] });
        let count = MOST_POINTS as u64 * 5;
        let mut all = Vec::new();
        for number in 0..count {
            points.note(number, || cursor.point());
            all.push(cursor.point());
            cursor.go_on(|sealer, data| sealer.block(&number.to_le_bytes(), data));
        }
        assert_eq!((points.step, points.points.len()), (8, MOST_POINTS * 5 / 8));
        for number in 0..count {
            let known = points.at(number).is_some_and(|point| *point == all[number as usize]);
            assert_eq!(known, number % 8 == 0);
            let (at, point) = points.before(all[number as usize].at).unwrap();
            assert!(at <= number && number < at + 16 && point.at <= all[number as usize].at);
        }
    }

    /// A content whose bytes change between the first look and what is sent.
    struct Fickle(Vec<u8>, Vec<u8>);

    impl Content for Fickle {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            Ok(copy_from(&self.1, offset, buffer))
        }

        fn look_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            Ok(copy_from(&self.0, offset, buffer))
        }

        fn unchanged(&self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_content_that_changes_is_told() {
        let (locks, looked) = (locks(), mixed(400_000));
        let altered = |at: usize| {
            let mut bytes = looked.clone();
            bytes[at] ^= 1;
            bytes
        };
        let others = [altered(0), altered(200_000), altered(399_999), vec![0; 400_000]];
        for other in others.into_iter().chain([looked[..399_999].to_vec()]) {
            let content = Fickle(looked.clone(), other);
            let locked = Locked::new(&content, "name", &locks).unwrap();
            let read = Slice::whole(&locked).read_to_end(&mut Vec::new());
            let error = read.unwrap_err().downcast::<Error>().unwrap();
            assert_eq!(error.kind(), Kind::Changed);
        }
    }
}
