//! What is needed to send the same encrypted bytes once more.

use crate::content::Content;
use crate::error::Result;
use crate::http::read_error;
use crate::remote::Resume;
use std::io::Read;

/// Bytes that are compared at a time.
const COMPARED_BYTES: usize = 64 << 10;

/// A note of an upload, whose bytes are made with something of their own: that stands before what
/// the adapter noted.
pub(super) struct Marked<'a> {
    pub note: &'a dyn Resume,
    pub mark: Vec<u8>,
}

impl Resume for Marked<'_> {
    fn load(&self) -> Option<Vec<u8>> {
        // One that was begun with another mark is of other bytes.
        self.note.load()?.strip_prefix(&*self.mark).map(<[u8]>::to_vec)
    }

    fn save(&self, note: &[u8]) -> Result<()> {
        self.note.save(&[&self.mark, note].concat())
    }
}

/// Whether a content begins with all that is `stored`.
pub(super) fn begins(what: &str, stored: &mut dyn Read, content: &dyn Content) -> Result<bool> {
    let (mut theirs, mut ours, mut at) = (Vec::new(), vec![0; COMPARED_BYTES], 0);
    loop {
        theirs.clear();
        let read = stored.take(COMPARED_BYTES as u64).read_to_end(&mut theirs);
        if read.map_err(|error| read_error(what, error))? == 0 {
            return Ok(true);
        }
        let mut filled = 0;
        while filled < theirs.len() {
            match content.read_at(&mut ours[filled..theirs.len()], at + filled as u64)? {
                0 => return Ok(false),
                count => filled += count,
            }
        }
        if ours[..filled] != theirs[..] {
            return Ok(false);
        }
        at += filled as u64;
    }
}
