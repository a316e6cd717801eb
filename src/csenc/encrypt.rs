//! Writing an encrypted file.

use super::container::{self, Entry, ours, put};
use super::keys::{Block, Chance, Encryptor, Locks, SessionKey, hex, pad};
use super::{BLOCK_BYTES, DATA_BYTES};
use crate::error::{Error, Result};
use cbc::cipher::BlockModeEncrypt as _;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use md5::{Digest as _, Md5};
use std::io::{self, Read, Write};

/// Bytes that are read at a time; as many as LZ4 compresses at a time.
const READ_BYTES: usize = 64 << 10;

/// Encrypts a whole file as version 3.1 and tells how many bytes were in it. `name` is what the
/// encrypted file calls itself.
///
/// # Errors
/// Those of reading and writing; `Usage` when the public key is too small.
pub fn encrypt(from: &mut dyn Read, name: &str, locks: &Locks, to: &mut dyn Write) -> Result<u64> {
    let mut chance = Chance::new();
    let session = SessionKey::new(&mut chance)?;
    let [enc_key1, enc_key2, key1_hash, key2_hash, salt] = locks.lock(&session, &mut chance)?;
    let session_key_hash = session.proof(&mut chance)?;
    container::begin(to).map_err(unwritten)?;
    let version = [("major", Entry::Number(3)), ("minor", Entry::Number(1))];
    let head = [
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
    put(to, &head).map_err(unwritten)?;
    let frame = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_size(BlockSize::Max64KB)
        .content_checksum(true);
    let mut frame = FrameEncoder::with_frame_info(frame, Data::new(to, session.encryptor()));
    let (mut md5, mut bytes) = (Md5::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ours(error, "reading the content")),
        };
        let read = buffer.get(..count).unwrap_or_default();
        md5.update(read);
        bytes += count as u64;
        frame.write_all(read).map_err(unwritten)?;
    }
    // An empty file, too, has a frame.
    let data = frame.finish().map_err(|error| unwritten(error.into()))?;
    let to = data.finish().map_err(unwritten)?;
    let file_md5 = hex(md5);
    let last = [("file_md5", Entry::Text(&file_md5)), ("type", Entry::Text("metadata"))];
    put(to, &last).map_err(unwritten)?;
    Ok(bytes)
}

fn unwritten(error: io::Error) -> Error {
    ours(error, "writing the encrypted file")
}

/// Encrypts what is written to it, in parts of data.
struct Data<'a> {
    to: &'a mut dyn Write,
    cipher: Encryptor,
    /// What isn't encrypted yet; less than a part's.
    clear: Vec<u8>,
}

impl<'a> Data<'a> {
    fn new(to: &'a mut dyn Write, cipher: Encryptor) -> Self {
        Data { to, cipher, clear: Vec::with_capacity(DATA_BYTES + BLOCK_BYTES) }
    }

    fn put(&mut self) -> io::Result<()> {
        let (blocks, _) = Block::slice_as_chunks_mut(&mut self.clear);
        self.cipher.encrypt_blocks(blocks);
        put(self.to, &[("data", Entry::Bytes(&self.clear)), ("type", Entry::Text("data"))])?;
        self.clear.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<&'a mut dyn Write> {
        pad(&mut self.clear);
        self.put()?;
        Ok(self.to)
    }
}

impl Write for Data<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fitting = bytes.len().min(DATA_BYTES - self.clear.len());
        let (now, _) = bytes.split_at(fitting);
        self.clear.extend_from_slice(now);
        if self.clear.len() == DATA_BYTES {
            self.put()?;
        }
        Ok(fitting)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
