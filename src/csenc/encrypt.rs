//! Writing an encrypted file.

use super::container::{AFTER_DATA, Entry, before_data, ours, put};
use super::keys::{Chance, Locks, SessionKey, hex};
use super::sealer::{CONTENT_BYTES, Checksum, Sealer};
use super::{DATA_BYTES, MAGIC};
use crate::error::{Error, Result};
use md5::{Digest as _, Md5};
use std::io::{self, Read, Write};
use std::ops::Range;

/// Encrypts a whole file as version 3.1 and tells how many bytes were in it. `name` is what the
/// encrypted file calls itself.
///
/// # Errors
/// Those of reading and writing; `Usage` when the public key is too small.
pub fn encrypt(from: &mut dyn Read, name: &str, locks: &Locks, to: &mut dyn Write) -> Result<u64> {
    let (session, head) = begin(name, locks)?;
    to.write_all(&head).map_err(unwritten)?;
    let (mut sealer, mut sums, mut bytes) = (Sealer::new(&session), Sums::new(), 0);
    let (mut content, mut data) = (Vec::with_capacity(CONTENT_BYTES), Vec::new());
    loop {
        content.clear();
        let read = from.take(CONTENT_BYTES as u64).read_to_end(&mut content);
        let count = read.map_err(|error| ours(error, "reading the content"))?;
        if count == 0 {
            break;
        }
        sums.update(&content);
        bytes += count as u64;
        sealer.block(&content, &mut data);
        put_data(&mut data, DATA_BYTES, to).map_err(unwritten)?;
    }
    let (checksum, tail) = sums.finish()?;
    sealer.end(checksum, &mut data);
    put_data(&mut data, 1, to).map_err(unwritten)?;
    to.write_all(&tail).map_err(unwritten)?;
    Ok(bytes)
}

/// A new session key, and how a file begins that is encrypted with it.
///
/// # Errors
/// `Usage` when the public key is too small.
pub(super) fn begin(name: &str, locks: &Locks) -> Result<(SessionKey, Vec<u8>)> {
    let mut chance = Chance::new();
    let session = SessionKey::new(&mut chance)?;
    let [enc_key1, enc_key2, key1_hash, key2_hash, salt] = locks.lock(&session, &mut chance)?;
    let session_key_hash = session.proof(&mut chance)?;
    let version = [("major", Entry::Number(3)), ("minor", Entry::Number(1))];
    let metadata = [
        ("compress", Entry::Number(1)),
        ("digest", Entry::Text("md5")),
        ("enc_key1", Entry::Text(&enc_key1)),
        ("enc_key2", Entry::Text(&enc_key2)),
        ("encrypt", Entry::Number(1)),
        ("file_name", Entry::Text(name)),
        ("key1_hash", Entry::Text(&key1_hash)),
        ("key2_hash", Entry::Text(&key2_hash)),
        ("salt", Entry::Text(&salt)),
        ("session_key_hash", Entry::Text(&session_key_hash)),
        ("type", Entry::Text("metadata")),
        ("version", Entry::Dictionary(&version)),
    ];
    let mut head = MAGIC.to_vec();
    put(&mut head, &metadata).map_err(unwritten)?;
    Ok((session, head))
}

/// What a file has of its content, beside it.
pub(super) struct Sums {
    checksum: Checksum,
    md5: Md5,
}

impl Sums {
    pub fn new() -> Self {
        Sums { checksum: Checksum::new(), md5: Md5::new() }
    }

    pub fn update(&mut self, content: &[u8]) {
        self.checksum.update(content);
        self.md5.update(content);
    }

    /// The checksum at the end of the data, and the part behind them.
    pub fn finish(self) -> Result<(u32, Vec<u8>)> {
        let tail = tail(&hex(self.md5)).map_err(unwritten)?;
        Ok((self.checksum.finish(), tail))
    }
}

/// What a file ends with.
fn tail(file_md5: &str) -> io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    put(&mut tail, &[("file_md5", Entry::Text(file_md5)), ("type", Entry::Text("metadata"))])?;
    Ok(tail)
}

/// Bytes at the end of every file that tell the MD5 of its content.
pub const TAIL_BYTES: u64 = 66;
/// The bytes of them that are the MD5 itself.
const TAIL_MD5: Range<usize> = 15..47;

/// The lower-case hex MD5 of a file's content by its last [`TAIL_BYTES`]; `None` when no file ends
/// like this.
pub fn md5_at_end(bytes: &[u8]) -> Option<&str> {
    let md5 = str::from_utf8(bytes.get(TAIL_MD5)?).ok()?;
    (tail(md5).ok()? == bytes).then_some(md5)
}

/// Writes data in parts, as long as there are as many bytes as `least`, and takes them away.
fn put_data(data: &mut Vec<u8>, least: usize, to: &mut dyn Write) -> io::Result<()> {
    let mut rest = &data[..];
    while rest.len() >= least {
        let (part, after) = rest.split_at(rest.len().min(DATA_BYTES));
        to.write_all(&before_data(part.len() as u16))?;
        to.write_all(part)?;
        to.write_all(AFTER_DATA)?;
        rest = after;
    }
    let left = rest.len();
    data.drain(..data.len() - left);
    Ok(())
}

fn unwritten(error: io::Error) -> Error {
    ours(error, "writing the encrypted file")
}
