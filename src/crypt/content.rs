//! Contents as they are stored: a header and sealed blocks, each of which can be read alone.

use super::foreign;
use crate::content::{Content, copy_from, read_exact_at};
use crate::error::{Error, Kind, Result};
use crate::random::random;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What every file begins with.
const MAGIC: &[u8; 8] = b"RCLONE\0\0";
const NONCE_BYTES: usize = 24;
/// Bytes before the first block.
pub(super) const HEADER_BYTES: u64 = 32;
/// Bytes of content in each block but the last.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;
/// Bytes that a block has more than its content. They come first.
const TAG_BYTES: u64 = 16;
/// Bytes of a block as it is stored.
pub(super) const STORED_BYTES: u64 = BLOCK_BYTES + TAG_BYTES;
/// Blocks that are kept for the next read: one for each thread that sends a part, and the one that
/// makes them.
const KEPT: usize = 4;

/// Seals contents.
pub(super) type ContentKey = [u8; 32];

/// What makes the blocks of one file differ from those of every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonce([u8; NONCE_BYTES]);

/// Bytes that a content of `size` bytes takes.
pub(super) fn stored_size(size: u64) -> u64 {
    size.saturating_add(HEADER_BYTES).saturating_add(size.div_ceil(BLOCK_BYTES) * TAG_BYTES)
}

/// Bytes of the content that takes so many; `None` where none does.
pub(super) fn plain_size(stored: u64) -> Option<u64> {
    let sealed = stored.checked_sub(HEADER_BYTES)?;
    let (blocks, rest) = (sealed / STORED_BYTES, sealed % STORED_BYTES);
    match rest {
        0 => Some(blocks * BLOCK_BYTES),
        _ => Some(blocks * BLOCK_BYTES + rest.checked_sub(TAG_BYTES).filter(|rest| *rest > 0)?),
    }
}

impl Nonce {
    /// A new one.
    pub fn new() -> Result<Self> {
        random("encrypting a file").map(Nonce)
    }

    /// One that was written down.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Nonce)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the header that a file begins with.
    ///
    /// # Errors
    /// `Denied` when it is another kind of file, and that of reading.
    pub fn read(what: &str, from: &mut dyn Read) -> Result<Self> {
        let mut header = [0; HEADER_BYTES as usize];
        from.read_exact(&mut header).map_err(|error| crate::http::read_error(what, error))?;
        let (magic, nonce) = header.split_at(MAGIC.len());
        Nonce::of(nonce).filter(|_| magic == MAGIC).ok_or_else(|| foreign(what))
    }

    /// Whether these bytes, fewer than a header has, could be the beginning of one.
    pub fn is_begun(bytes: &[u8]) -> bool {
        let known = bytes.len().min(MAGIC.len());
        bytes[..known] == MAGIC[..known]
    }

    fn header(&self) -> Vec<u8> {
        [&MAGIC[..], &self.0].concat()
    }

    /// That of a block: the file's, counted on by the number of the block, lowest byte first.
    fn of_block(&self, number: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = self.0;
        let mut carry = u128::from(number);
        for byte in &mut nonce {
            carry += u128::from(*byte);
            *byte = carry as u8;
            carry >>= 8;
        }
        nonce
    }
}

/// The key stream of a block, and the key of its tag, which is the stream's beginning.
fn ciphers(key: &ContentKey, nonce: &[u8; NONCE_BYTES]) -> (XSalsa20, Poly1305) {
    let mut cipher = XSalsa20::new(key.into(), nonce.into());
    let mut first = [0; 32];
    cipher.apply_keystream(&mut first);
    (cipher, Poly1305::new(&first.into()))
}

/// Seals what comes after the first 16 bytes, which take the tag.
fn seal(key: &ContentKey, nonce: &[u8; NONCE_BYTES], block: &mut [u8]) {
    let (mut cipher, sum) = ciphers(key, nonce);
    let (tag, content) = block.split_at_mut(TAG_BYTES as usize);
    cipher.apply_keystream(content);
    tag.copy_from_slice(&sum.compute_unpadded(content));
}

/// Opens a sealed block in its place. Tells whether it is whole and as it was written.
fn open(key: &ContentKey, nonce: &[u8; NONCE_BYTES], block: &mut [u8]) -> bool {
    let (mut cipher, sum) = ciphers(key, nonce);
    let Some((tag, content)) = block.split_at_mut_checked(TAG_BYTES as usize) else {
        return false;
    };
    let is = sum.compute_unpadded(content);
    // All of it is looked at, so that the time tells nothing.
    let differing = is.iter().zip(tag).fold(0, |all, (is, told)| all | (is ^ *told));
    if differing == 0 {
        cipher.apply_keystream(content);
    }
    differing == 0
}

/// A content, sealed as it is read. Whatever is read twice is the same both times.
pub(super) struct Sealed<'a> {
    content: &'a dyn Content,
    key: &'a ContentKey,
    nonce: Nonce,
    /// Sealed blocks by their numbers, those used last at the end.
    kept: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl<'a> Sealed<'a> {
    pub fn new(content: &'a dyn Content, key: &'a ContentKey, nonce: Nonce) -> Self {
        Sealed { content, key, nonce, kept: Mutex::default() }
    }

    /// Takes a block out of those that are kept, or seals it.
    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let mut block = {
            let mut kept = self.kept();
            let find = |number| kept.iter().position(|(each, _)| Some(*each) == number);
            if let Some(at) = find(Some(number)) {
                return Ok(kept.remove(at).1);
            }
            // Whoever goes on from block to block is done with the one before; what others have
            // begun to read stays.
            match find(number.checked_sub(1)) {
                Some(before) => kept.remove(before).1,
                None if kept.len() < KEPT => Vec::new(),
                None => kept.remove(0).1,
            }
        };
        let start = number * BLOCK_BYTES;
        let length = self.content.size().saturating_sub(start).min(BLOCK_BYTES) as usize;
        let tag = TAG_BYTES as usize;
        block.resize(tag + length, 0);
        read_exact_at(self.content, &mut block[tag..], start)?;
        seal(self.key, &self.nonce.of_block(number), &mut block);
        Ok(block)
    }

    fn keep(&self, number: u64, block: Vec<u8>) {
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((number, block));
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(u64, Vec<u8>)>> {
        // No panic can leave it half-changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content for Sealed<'_> {
    fn size(&self) -> u64 {
        stored_size(self.content.size())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let wanted = self.size().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut filled = 0;
        while filled < wanted {
            let at = offset + filled as u64;
            let to = &mut buffer[filled..wanted];
            filled += match at.checked_sub(HEADER_BYTES) {
                None => copy_from(&self.nonce.header(), at, to),
                Some(at) => {
                    let number = at / STORED_BYTES;
                    let block = self.block(number)?;
                    let count = copy_from(&block, at % STORED_BYTES, to);
                    self.keep(number, block);
                    count
                }
            };
        }
        Ok(filled)
    }

    fn unchanged(&self) -> Result<()> {
        self.content.unchanged()
    }
}

/// The content of a stored file from some byte on.
pub(super) struct Opened {
    /// What it is read for.
    pub what: String,
    /// The stored bytes, from the beginning of a block on.
    pub from: Box<dyn Read + Send>,
    pub key: ContentKey,
    pub nonce: Nonce,
    /// The next block.
    pub number: u64,
    /// Bytes of the whole content.
    pub size: u64,
    /// The byte to begin with, in the block that comes first.
    pub skip: u64,
    /// Bytes still to be told.
    pub left: u64,
    /// The block that was opened last, with its tag.
    pub block: Vec<u8>,
    /// The byte of it that comes next.
    pub at: usize,
}

impl Opened {
    fn next_block(&mut self) -> Result<()> {
        let rest = self.size.saturating_sub(self.number * BLOCK_BYTES).min(BLOCK_BYTES);
        self.block.resize((TAG_BYTES + rest) as usize, 0);
        self.from
            .read_exact(&mut self.block)
            .map_err(|error| crate::http::read_error(&self.what, error))?;
        if !open(&self.key, &self.nonce.of_block(self.number), &mut self.block) {
            let from = self.number * BLOCK_BYTES;
            let cause = format!("its bytes {from} to {} aren't as they were written", from + rest);
            return Err(Error::new(Kind::Integrity, &*self.what, cause).remedy(
                "restore an older version of it on the service, or send it again from the disk",
            ));
        }
        self.at = (TAG_BYTES + std::mem::take(&mut self.skip)) as usize;
        self.number += 1;
        Ok(())
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        while self.at >= self.block.len() {
            self.next_block().map_err(io::Error::other)?;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = copy_from(&self.block, self.at as u64, &mut buffer[..most]);
        self.at += count;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::thread;

    struct Bytes(Vec<u8>);

    impl Content for Bytes {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            // As short as a disk may be.
            let most = buffer.len().min(10_000);
            Ok(copy_from(&self.0, offset, &mut buffer[..most]))
        }

        fn unchanged(&self) -> Result<()> {
            Ok(())
        }
    }

    const KEY: ContentKey = [5; 32];

    fn sealed(content: &Bytes, step: usize) -> Vec<u8> {
        let sealed = Sealed::new(content, &KEY, Nonce([0xff; NONCE_BYTES]));
        let (mut all, mut buffer) = (Vec::new(), vec![0; step]);
        loop {
            match sealed.read_at(&mut buffer, all.len() as u64).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn opened(stored: &[u8], from: u64, to: u64) -> Result<Vec<u8>> {
        let nonce = Nonce::read("opening", &mut &stored[..])?;
        let size = plain_size(stored.len() as u64).ok_or_else(|| foreign("opening"))?;
        let number = from / BLOCK_BYTES;
        let rest = stored[(HEADER_BYTES + number * STORED_BYTES) as usize..].to_vec();
        let mut opened = Opened {
            what: "opening".into(),
            from: Box::new(io::Cursor::new(rest)),
            key: KEY,
            nonce,
            number,
            size,
            skip: from % BLOCK_BYTES,
            left: to.min(size) - from,
            block: Vec::new(),
            at: 0,
        };
        let mut content = Vec::new();
        let read = opened.read_to_end(&mut content);
        read.map_err(|error| crate::http::read_error("opening", error))?;
        Ok(content)
    }

    #[test]
    fn sizes_are_known_before_anything_is_read() {
        let block = BLOCK_BYTES;
        for size in [0, 1, block - 1, block, block + 1, 2 * block, 5 << 40] {
            assert_eq!(plain_size(stored_size(size)), Some(size), "{size}");
        }
        for stored in [0, 31, 33, 48, HEADER_BYTES + STORED_BYTES + 16] {
            assert_eq!(plain_size(stored), None, "{stored}");
        }
        assert_eq!(stored_size(u64::MAX), u64::MAX);
    }

    #[test]
    fn any_part_is_read_alone() {
        for size in [0, 1, 65_535, 65_536, 65_537, 200_000] {
            let content = Bytes((0..size).map(|at: u32| (at / 251 * 7 + at) as u8).collect());
            let stored = sealed(&content, 70_000);
            assert_eq!(stored.len() as u64, stored_size(size as u64));
            assert_eq!(sealed(&content, 999), stored);
            for from in [0, 1, 65_535, 65_536, 70_000, 199_999] {
                for to in [1, 65_536, 131_073, u64::MAX] {
                    if from < to.min(size as u64) {
                        let part = opened(&stored, from, to).unwrap();
                        let to = to.min(size as u64) as usize;
                        assert!(part == content.0[from as usize..to], "{size} {from} {to}");
                    }
                }
            }
        }
    }

    #[test]
    fn damage_is_found() {
        let content = Bytes(vec![7; 100_000]);
        let stored = sealed(&content, 65_536);
        for at in [8, 31, 32, 47, 48, 65_583, 65_584, stored.len() - 1] {
            let mut damaged = stored.clone();
            damaged[at] ^= 1;
            let error = opened(&damaged, 0, u64::MAX).unwrap_err();
            assert_eq!(error.kind(), Kind::Integrity, "{at}");
        }
        let mut other = stored.clone();
        other[0] = b'X';
        assert_eq!(opened(&other, 0, u64::MAX).unwrap_err().kind(), Kind::Denied);
        // Blocks stay where they are.
        let mut moved = stored.clone();
        moved.truncate((HEADER_BYTES + STORED_BYTES) as usize);
        moved.extend_from_slice(&stored[HEADER_BYTES as usize..][..STORED_BYTES as usize]);
        assert_eq!(opened(&moved, 0, u64::MAX).unwrap_err().kind(), Kind::Integrity);
    }

    /// Counts what is read of it.
    struct Counted(Bytes, AtomicU64);

    impl Content for Counted {
        fn size(&self) -> u64 {
            self.0.size()
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            let count = self.0.read_at(buffer, offset)?;
            self.1.fetch_add(count as u64, Relaxed);
            Ok(count)
        }

        fn unchanged(&self) -> Result<()> {
            Ok(())
        }
    }

    /// One thread makes parts, and others send them: each gets the same bytes, and no block is
    /// sealed again because somebody else has read on.
    #[test]
    fn parts_at_the_same_time_are_one_ciphertext() {
        const READERS: usize = 4;
        let content = Bytes((0..4_000_000u32).map(|at| (at / 3) as u8).collect());
        let all = sealed(&content, 100_000);
        let counted = Counted(Bytes(content.0), AtomicU64::new(0));
        let sealed = Sealed::new(&counted, &KEY, Nonce([0xff; NONCE_BYTES]));
        let part = all.len().div_ceil(READERS);
        let turn = Barrier::new(READERS);
        thread::scope(|scope| {
            for (number, expected) in all.chunks(part).enumerate() {
                let (sealed, turn) = (&sealed, &turn);
                scope.spawn(move || {
                    let mut got = vec![0; part];
                    for (at, piece) in got.chunks_mut(65_536).enumerate() {
                        let from = (number * part + at * 65_536) as u64;
                        let count = sealed.read_at(piece, from).unwrap();
                        assert!(count == piece.len() || number == READERS - 1);
                        // All of them are in the midst of a block.
                        turn.wait();
                    }
                    assert!(got[..expected.len()] == *expected, "part {number}");
                });
            }
        });
        // But for the blocks in which one part ends and the next begins.
        let most = counted.size() + (READERS as u64) * BLOCK_BYTES;
        assert!(counted.1.load(Relaxed) <= most, "{} of {most}", counted.1.load(Relaxed));
    }
}
