//! A reply's body that has to be as long as it said.

use super::read_error;
use crate::error::{Error, Kind, Result};
use std::io::{self, Read};

/// A reader of exactly as many bytes as announced.
pub struct Exact<R> {
    /// Names the operation and the thing for error messages.
    pub what: String,
    /// The bytes.
    pub inner: R,
    /// How many of them are still to come.
    pub left: u64,
}

impl<R: Read> Exact<R> {
    /// Leaves out the first `count` bytes, of which there mustn't be fewer.
    ///
    /// # Errors
    /// `Offline` when the reply breaks off in them, and those of reading.
    pub fn skip(mut self, count: u64) -> Result<Self> {
        let skipped = io::copy(&mut (&mut self).take(count), &mut io::sink());
        skipped.map_err(|error| read_error(&self.what, error))?;
        Ok(self)
    }
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let fail = |kind, cause| Err(io::Error::other(Error::new(kind, self.what.as_str(), cause)));
        let count = self
            .inner
            .read(buffer)
            .map_err(|error| io::Error::other(read_error(&self.what, error)))?;
        match count as u64 {
            0 if self.left > 0 => fail(Kind::Offline, "the reply broke off"),
            count if count > self.left => {
                fail(Kind::Protocol, "the reply is longer than announced")
            }
            _ => {
                self.left -= count as u64;
                Ok(count)
            }
        }
    }
}
