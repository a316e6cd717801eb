//! Reading an encrypted file.

use super::container::{Part, Parts, damage, ours};
use super::keys::{Block, Decryptor, Opener, SessionKey, hex, padding};
use super::{BLOCK_BYTES, MAGIC, Version};
use crate::error::{Error, Kind, Result};
use cbc::cipher::BlockModeDecrypt as _;
use lz4_flex::frame::FrameDecoder;
use md5::{Digest as _, Md5};
use std::io::{self, BufRead as _, Read, Write};

/// Decrypts a whole file and tells how many bytes were in it.
///
/// What is written to `to` is right only when this succeeds: the hash of the content comes last.
/// The file's own name for itself is ignored.
///
/// # Errors
/// `Protocol` when it is another kind of file or of a version that isn't known, `Denied` when `opener` doesn't open it, `Integrity` when it is damaged, with the byte; or that
/// of reading or writing.
pub fn decrypt(from: impl Read, opener: &Opener, to: &mut dyn Write) -> Result<u64> {
    let mut parts = Parts::open(from)?;
    let head = head(&mut parts)?;
    let version = version(&head)?;
    let compressed = is_compressed(&head)?;
    let session = opener.open(&head, version)?;
    let mut plain = Plain::new(parts, session.decryptor());
    let mut sum = Sum { to, md5: Md5::new(), bytes: 0 };
    if compressed {
        expand(&mut plain, &mut sum)?;
    } else {
        while !plain.fill_buf()?.is_empty() {
            let count = sum.add(plain.fill_buf()?)?;
            plain.consume(count);
        }
    }
    let last = plain.finish()?;
    let (expected, at) = last.text("file_md5")?;
    if hex(sum.md5) != expected {
        return Err(damage(format!(
            "its content isn't what file_md5 at byte {at} tells: one of the bytes {} to {} or \
             file_md5 is damaged",
            head.at, last.at
        )));
    }
    Ok(sum.bytes)
}

/// Makes sure that a file is encrypted, and that `opener` opens it, by how it begins.
///
/// # Errors
/// Those of [`decrypt`] that concern its beginning.
pub fn prove(from: impl Read, opener: &Opener) -> Result<()> {
    session(from, opener).map(drop)
}

/// Whether these bytes, all that there are of a file, end before anything of its content.
pub fn is_cut_in_head(bytes: &[u8]) -> bool {
    if bytes.len() <= MAGIC.len() {
        return MAGIC.starts_with(bytes);
    }
    let parts = Parts::open(bytes);
    parts.is_ok_and(|mut parts| {
        parts.next(&mut Vec::new()).is_err() && parts.at() == bytes.len() as u64
    })
}

/// The session key of a file, and how many bytes tell it.
///
/// # Errors
/// As [`prove`].
pub(super) fn session(from: impl Read, opener: &Opener) -> Result<(SessionKey, u64)> {
    let mut parts = Parts::open(from)?;
    let head = head(&mut parts)?;
    Ok((opener.open(&head, version(&head)?)?, parts.at()))
}

/// The metadata that a file begins with.
fn head(parts: &mut Parts<impl Read>) -> Result<Part> {
    let Some(head) = parts.next(&mut Vec::new())? else {
        return Err(damage(format!(
            "it was cut short: it ends at byte {}, before its metadata",
            parts.at()
        )));
    };
    if head.is_data()? {
        return Err(damage(format!(
            "data stands at byte {}, where the metadata should be that a file begins with",
            head.at
        )));
    }
    Ok(head)
}

fn version(head: &Part) -> Result<Version> {
    let version = (head.number("version.major")?, head.number("version.minor")?);
    let unknown = |cause| {
        Error::new(Kind::Protocol, "decrypting", cause)
            .remedy("versions 1.0, 3.0 and 3.1 can be read; see whether there is a newer Mooring")
    };
    let (digest, at) = head.text("digest")?;
    match (version, digest, head.number("encrypt")?) {
        ((1, 0), "md5", 1) => Ok(Version::One),
        ((3, 0 | 1), "md5", 1) => Ok(Version::Three),
        ((1, 0) | (3, 0 | 1), "md5", other) => {
            Err(unknown(format!("encrypt is {other}, which isn't known")))
        }
        ((1, 0) | (3, 0 | 1), ..) => {
            Err(unknown(format!("digest at byte {at} isn't md5 but something unknown")))
        }
        ((major, minor), ..) => Err(unknown(format!("its format is of version {major}.{minor}"))),
    }
}

fn is_compressed(head: &Part) -> Result<bool> {
    match head.number("compress")? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Error::new(
            Kind::Protocol,
            "decrypting",
            format!("compress is {other}, which isn't known"),
        )),
    }
}

/// Expands LZ4 frames; Cloud Sync writes one.
fn expand<R: Read>(plain: &mut Plain<R>, sum: &mut Sum<'_>) -> Result<()> {
    loop {
        if plain.fill_buf()?.is_empty() {
            return Ok(());
        }
        let mut frame = FrameDecoder::new(&mut *plain);
        let ended = loop {
            match frame.fill_buf() {
                Ok([]) => break Ok(()),
                Ok(bytes) => {
                    let count = sum.add(bytes)?;
                    frame.consume(count);
                }
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = ended {
            return Err(error
                .downcast::<Error>()
                .unwrap_or_else(|cause| plain.garbled(sum, &cause)));
        }
        // A frame that ends in its midst is no error to the decoder.
        if plain.overrun {
            return Err(plain.garbled(sum, &"it ends too early"));
        }
    }
}

/// Where the content goes, with what is known of it.
struct Sum<'a> {
    to: &'a mut dyn Write,
    md5: Md5,
    bytes: u64,
}

impl Sum<'_> {
    fn add(&mut self, bytes: &[u8]) -> Result<usize> {
        self.md5.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes).map_err(|error| ours(error, "writing the content"))?;
        Ok(bytes.len())
    }
}

/// The decrypted content, still compressed.
struct Plain<R> {
    parts: Parts<R>,
    cipher: Decryptor,
    /// What isn't decrypted yet. The last block has to wait until it is known to be the last.
    locked: Vec<u8>,
    clear: Vec<u8>,
    /// Bytes of `clear` that were taken.
    taken: usize,
    /// The part after the data.
    last: Option<Part>,
    /// Somebody asked for more than there is.
    overrun: bool,
    /// Where the data that `clear` is of begin in the file.
    at: u64,
}

impl<R: Read> Plain<R> {
    fn new(parts: Parts<R>, cipher: Decryptor) -> Self {
        let at = parts.at();
        let (locked, clear) = (Vec::new(), Vec::new());
        Plain { parts, cipher, locked, clear, taken: 0, last: None, overrun: false, at }
    }

    /// The next bytes; none at the end.
    fn fill_buf(&mut self) -> Result<&[u8]> {
        while self.taken == self.clear.len() && self.last.is_none() {
            self.at = self.parts.at();
            let part = self.parts.next(&mut self.locked)?.ok_or_else(|| {
                damage(format!(
                    "it was cut short: it ends at byte {}, before the MD5 of its content",
                    self.at
                ))
            })?;
            let ready = if part.is_data()? {
                self.locked.len().saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES
            } else {
                self.last = Some(part);
                self.locked.len()
            };
            self.clear.clear();
            self.taken = 0;
            self.clear.extend(self.locked.drain(..ready));
            let (blocks, rest) = Block::slice_as_chunks_mut(&mut self.clear);
            if !rest.is_empty() {
                return Err(damage(format!(
                    "{} bytes too few or too many are in the data before byte {}",
                    rest.len(),
                    self.at
                )));
            }
            self.cipher.decrypt_blocks(blocks);
            if self.last.is_some() && ready > 0 {
                let padded = padding(&self.clear).ok_or_else(|| {
                    damage(format!(
                        "the last 16 bytes of data, before byte {}, are damaged",
                        self.at
                    ))
                })?;
                self.clear.truncate(ready - padded);
            }
        }
        Ok(self.clear.get(self.taken..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.taken = self.clear.len().min(self.taken + count);
    }

    /// The metadata after the data, once all of these were taken.
    fn finish(mut self) -> Result<Part> {
        let at = self.parts.at();
        let last = self.last.take().ok_or_else(|| damage(format!("data go on at byte {at}")))?;
        match self.parts.next(&mut self.locked)? {
            None => Ok(last),
            Some(_) => Err(damage(format!("there is more at byte {at}, where it should end"))),
        }
    }

    fn garbled(&self, sum: &Sum<'_>, cause: &dyn std::fmt::Display) -> Error {
        damage(format!(
            "the data are damaged at or before the part at byte {}, after {} bytes of the content \
             (LZ4: {cause})",
            self.at, sum.bytes
        ))
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let clear = self.fill_buf().map_err(io::Error::other)?;
        let count = clear.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), clear.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        self.overrun |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}
