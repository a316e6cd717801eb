//! Content read once, hashed and counted on the way.

use super::BUFFER_BYTES;
use crate::content::{Content, next_bytes};
use crate::error::Result;
use crate::hash::{Hash, HashKind, HashSum};
use crate::http::Cancel;
use crate::model::Fingerprint;
use crate::progress::Transfer;
use ring::digest::{self, SHA256};
use std::sync::{Mutex, PoisonError};

/// Computes a content's fingerprint.
pub(super) struct Hasher(digest::Context);

impl Hasher {
    pub fn new() -> Self {
        Hasher(digest::Context::new(&SHA256))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        let hash = self.0.finish();
        fingerprint.copy_from_slice(&hash.as_ref()[..16]);
        fingerprint
    }
}

/// Computes a content's fingerprint, and its hash as a service computes it.
pub(super) struct Sums(Hasher, Option<HashSum>);

impl Sums {
    /// `None` for a service that tells no hash.
    pub fn new(kind: Option<HashKind>) -> Self {
        Sums(Hasher::new(), kind.map(HashSum::new))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
        if let Some(sum) = &mut self.1 {
            sum.update(bytes);
        }
    }

    pub fn finish(self) -> (Fingerprint, Option<Hash>) {
        (self.0.finish(), self.1.map(HashSum::finish))
    }
}

/// Reads a whole content, telling each piece.
fn read_all(content: &dyn Content, cancel: &Cancel, each: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    while at < content.size() {
        cancel.check()?;
        let count = content.read_at(&mut buffer, at)?;
        if count == 0 {
            break;
        }
        each(&buffer[..count]);
        at += count as u64;
    }
    content.unchanged()
}

/// The fingerprint of a whole content.
pub(crate) fn fingerprint(content: &dyn Content, cancel: &Cancel) -> Result<Fingerprint> {
    sums(content, None, cancel).map(|(fingerprint, _)| fingerprint)
}

/// The fingerprint of a whole content, and its hash of this kind.
pub(crate) fn sums(
    content: &dyn Content,
    kind: Option<HashKind>,
    cancel: &Cancel,
) -> Result<(Fingerprint, Option<Hash>)> {
    let mut sums = Sums::new(kind);
    read_all(content, cancel, &mut |bytes| sums.update(bytes))?;
    Ok(sums.finish())
}

/// A content that is summed while an adapter reads it, in whatever pieces and however
/// often.
pub(super) struct Tee<'a> {
    content: &'a dyn Content,
    transfer: &'a Transfer<'a>,
    state: Mutex<(u64, Sums)>,
}

impl<'a> Tee<'a> {
    pub fn new(
        content: &'a dyn Content,
        transfer: &'a Transfer<'a>,
        kind: Option<HashKind>,
    ) -> Self {
        Tee { content, transfer, state: Mutex::new((0, Sums::new(kind))) }
    }

    /// The fingerprint and the hash; `None` when the adapter didn't read everything.
    pub fn finish(self) -> Option<(Fingerprint, Option<Hash>)> {
        let (at, sums) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (at == self.content.size()).then(|| sums.finish())
    }
}

impl Content for Tee<'_> {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let count = self.content.read_at(buffer, offset)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, sums) = &mut *state;
        let new = next_bytes(at, offset, &buffer[..count]);
        sums.update(new);
        self.transfer.advance(new.len() as u64);
        Ok(count)
    }

    fn unchanged(&self) -> Result<()> {
        self.content.unchanged()
    }
}
