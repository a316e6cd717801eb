//! What an upload reads from.

use crate::error::{Error, Kind, Result};
use std::io::{self, Read};

/// A file's content as it was when the upload was planned.
pub trait Content: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on and tells how many bytes there were; 0 at the end only.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Fails with `Changed` unless the file still is what the upload was planned against.
    /// Asked before the last byte is sent.
    fn unchanged(&self) -> Result<()>;
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

/// Reads from a content where there has to be more: what is read again to be sent, for one.
///
/// # Errors
/// `Changed` at its end, besides what reading fails with.
pub fn read_some(content: &dyn Content, buffer: &mut [u8], from: u64) -> Result<usize> {
    match content.read_at(buffer, from)? {
        0 => Err(Error::new(Kind::Changed, "reading the file", "it became shorter")),
        count => Ok(count),
    }
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
