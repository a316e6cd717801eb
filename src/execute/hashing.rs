//! Content read once, hashed and counted on the way.

use super::BUFFER_BYTES;
use crate::content::{Content, next_bytes};
use crate::error::Result;
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

/// Reads a whole content, telling each piece.
pub(super) fn read_all(
    content: &dyn Content,
    cancel: &Cancel,
    each: &mut dyn FnMut(&[u8]),
) -> Result<()> {
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
pub(super) fn fingerprint(content: &dyn Content, cancel: &Cancel) -> Result<Fingerprint> {
    let mut hasher = Hasher::new();
    read_all(content, cancel, &mut |bytes| hasher.update(bytes))?;
    Ok(hasher.finish())
}

/// A content that is fingerprinted while an adapter reads it, in whatever pieces and however
/// often.
pub(super) struct Tee<'a> {
    content: &'a dyn Content,
    transfer: &'a Transfer<'a>,
    state: Mutex<(u64, Hasher)>,
}

impl<'a> Tee<'a> {
    pub fn new(content: &'a dyn Content, transfer: &'a Transfer<'a>) -> Self {
        Tee { content, transfer, state: Mutex::new((0, Hasher::new())) }
    }

    /// The fingerprint; `None` when the adapter didn't read everything.
    pub fn finish(self) -> Option<Fingerprint> {
        let (at, hasher) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (at == self.content.size()).then(|| hasher.finish())
    }
}

impl Content for Tee<'_> {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let count = self.content.read_at(buffer, offset)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, hasher) = &mut *state;
        let new = next_bytes(at, offset, &buffer[..count]);
        hasher.update(new);
        self.transfer.advance(new.len() as u64);
        Ok(count)
    }

    fn unchanged(&self) -> Result<()> {
        self.content.unchanged()
    }
}
