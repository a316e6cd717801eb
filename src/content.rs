//! What an upload reads from.

use crate::error::{Error, Kind, Result};
use std::io::{self, Read};

/// A file's content as it was when the upload was planned.
pub trait Content: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on and tells how many bytes there were; 0 at the end only.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// As [`Content::read_at`], to find something out: nothing of it is sent.
    fn look_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.read_at(buffer, offset)
    }

    /// Fails with `Changed` unless the file still is what the upload was planned against.
    /// Asked before the last byte is sent.
    fn unchanged(&self) -> Result<()>;
}

/// A content in memory.
pub(crate) struct Bytes(pub Vec<u8>);

impl Content for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        Ok(copy_from(&self.0, offset, buffer))
    }

    fn unchanged(&self) -> Result<()> {
        Ok(())
    }
}

/// A part of a content as a reader.
pub struct Slice<'a> {
    content: &'a dyn Content,
    at: u64,
    end: u64,
}

impl<'a> Slice<'a> {
    /// Reads `length` bytes from `from` on.
    pub fn new(content: &'a dyn Content, from: u64, length: u64) -> Self {
        Slice { content, at: from, end: from + length }
    }

    /// Reads everything.
    pub fn whole(content: &'a dyn Content) -> Self {
        Slice::new(content, 0, content.size())
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let count =
            self.content.read_at(&mut buffer[..wanted], self.at).map_err(io::Error::other)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Fills all of a buffer from `offset` on.
///
/// # Errors
/// `Changed` when there is less, and those of [`Content::read_at`].
pub(crate) fn read_exact_at(content: &dyn Content, buffer: &mut [u8], offset: u64) -> Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => return Err(Error::new(Kind::Changed, "reading the file", "it became shorter")),
            count => filled += count,
        }
    }
    Ok(())
}

/// Copies as much as there is from a byte on and as fits.
pub(crate) fn copy_from(from: &[u8], at: u64, to: &mut [u8]) -> usize {
    let from = usize::try_from(at).ok().and_then(|at| from.get(at..)).unwrap_or_default();
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    count
}

/// Of the bytes that were `read` from `offset` on, those that come right after the first `at` ones,
/// which are counted then. A content may be read in whatever pieces, and however often: who takes
/// these each time has each byte once, in their order.
pub fn next_bytes<'b>(at: &mut u64, offset: u64, read: &'b [u8]) -> &'b [u8] {
    let known = at.checked_sub(offset).and_then(|known| usize::try_from(known).ok());
    let new = known.and_then(|known| read.get(known..)).unwrap_or_default();
    *at += new.len() as u64;
    new
}

/// A content of which nothing is sent.
pub(crate) struct Looked<'a>(pub &'a dyn Content);

impl Content for Looked<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.0.look_at(buffer, offset)
    }

    fn unchanged(&self) -> Result<()> {
        self.0.unchanged()
    }
}

/// A content that gives its last bytes only if it is unchanged then: without them the request
/// fails, and the server drops what it got.
pub struct Guarded<'a>(pub &'a dyn Content);

impl Content for Guarded<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let count = self.0.read_at(buffer, offset)?;
        if offset + count as u64 >= self.0.size() {
            self.0.unchanged()?;
        }
        Ok(count)
    }

    fn unchanged(&self) -> Result<()> {
        self.0.unchanged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_next_once() {
        let bytes = b"0123456789";
        let (mut at, mut seen) = (0, Vec::new());
        // Again, across what is known, beyond it, short, and to the end.
        for (from, to) in [(0, 3), (0, 3), (1, 5), (7, 9), (5, 5), (2, 4), (4, 10), (9, 10)] {
            seen.extend_from_slice(next_bytes(&mut at, from as u64, &bytes[from..to]));
        }
        assert_eq!((seen.as_slice(), at), (&bytes[..], 10));
    }
}
