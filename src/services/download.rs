//! What an object store sends of a file.

use crate::error::{Error, Kind, Result};
use crate::http::{Exact, Reply, content_range};
use crate::remote::{Download, Entry};
use std::io;
use std::ops::Range;

/// Which bytes of a file a reply holds, of those that were asked for.
pub(super) struct Arrived {
    /// Bytes before the first that was asked for.
    skip: u64,
    from: u64,
    end: u64,
    /// The whole file's.
    pub size: u64,
}

impl Arrived {
    /// Reads it from the head of a reply to a request for these bytes. A server may ignore the
    /// range, and send all; rclone's sends the range with status 200. `size` tells that of the
    /// file where the reply doesn't.
    ///
    /// # Errors
    /// `Protocol` when these aren't the bytes that were asked for, `Changed` when the file ends
    /// before them, and those of `size`.
    pub fn of(
        what: &str,
        reply: &Reply,
        bytes: &Range<u64>,
        size: &dyn Fn() -> Result<u64>,
    ) -> Result<Arrived> {
        let odd = |cause| {
            Error::new(Kind::Protocol, what, cause)
                .remedy("check what is between here and the service: a proxy may change replies")
        };
        let from = bytes.start;
        let arrived = match (reply.status, reply.header("content-range")) {
            (200 | 206, Some(range)) => match content_range(range) {
                Some((came, Some(size))) if came == (from..size.min(bytes.end)) => {
                    Arrived { skip: 0, from, end: came.end, size }
                }
                _ => return Err(odd(format!("asked for the bytes {bytes:?}, got {range}"))),
            },
            (200, None) => {
                let size = reply.content_length().map_or_else(size, Ok)?;
                Arrived { skip: from, from, end: size, size }
            }
            (status, _) => return Err(odd(format!("the reply has status {status}"))),
        };
        if from > arrived.size {
            return Err(Error::new(Kind::Changed, what, "it became shorter"));
        }
        Ok(arrived)
    }

    /// Opens the reply, in which the file is in this state, at the first byte that was asked for.
    ///
    /// # Errors
    /// `Offline` when it breaks off before that.
    pub fn open(self, what: String, reply: Reply, entry: Entry) -> Result<Download> {
        let left = self.end - self.from + self.skip;
        let reader = Exact { what, inner: reply.into_reader(), left }.skip(self.skip)?;
        Ok(Download { reader: Box::new(reader), end: self.end, entry })
    }
}

/// What a service has to send from here on, having said that there is nothing (status 416): that's
/// right at the very end of the file, which is in this state; `None` anywhere else.
pub(super) fn at_end(from: u64, entry: Option<Entry>) -> Option<Download> {
    let entry = entry.filter(|entry| entry.print.size == from)?;
    Some(Download { reader: Box::new(io::empty()), end: from, entry })
}
