//! What is tried with arbitrary bytes on the reader of Cloud Sync's encrypted files: by the fuzzer for as long as one
//! likes, and by a test for a moment.

use cbc::cipher::array::Array;
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use md5::{Digest as _, Md5};
use mooring::content::Content;
use mooring::csenc::{Locked, Opener, TAIL_BYTES, decrypt, is_cut_in_head, md5_at_end};
use std::io::{self, Write};

/// What opens the files in `tests/csenc`.
pub const PASSWORD: &str = "correct horse battery staple";

/// A file whose metadata stand before what is made up.
const FILE: &[u8] = include_bytes!("../tests/csenc/v1.0.csenc");
/// The session key in them.
const SESSION: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
/// What LZ4 makes of a byte at most, with room for the beginning.
const MOST_EXPANDED: usize = 256;

/// Counts what is written, which can't be more than LZ4 makes of the file.
struct Sink {
    bytes: usize,
    most: usize,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        assert!(self.bytes <= self.most, "more came out than can be in it");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is made of a content gives it back, and is the same from any byte on.
fn written(content: &[u8]) {
    let (opener, content) = (Opener::password(PASSWORD.into()), Whole(content));
    let locked = Locked::again(&content, FILE[..first_data()].to_vec(), &opener).expect("a file");
    let mut file = vec![0; locked.size() as usize];
    let third = file.len() / 3 + 1;
    for (at, piece) in file.chunks_mut(third).enumerate().rev() {
        let count = locked.read_at(piece, (at * third) as u64).expect("no end");
        assert_eq!(count, piece.len());
    }
    let mut read = Vec::new();
    decrypt(&file[..], &opener, &mut read).expect("a file");
    assert_eq!(read, content.0);
    assert!(md5_at_end(&file[file.len() - TAIL_BYTES as usize..]).is_some());
}

struct Whole<'a>(&'a [u8]);

impl Content for Whole<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> mooring::error::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn unchanged(&self) -> mooring::error::Result<()> {
        Ok(())
    }
}

/// Reads a file. Bytes that begin as a file does are one; others are the compressed content of one,
/// encrypted as it should be, in parts of as many bytes as the first byte says. They are also the
/// content of one that is written.
pub fn read(bytes: &[u8]) -> Result<u64, mooring::error::Error> {
    let made;
    written(bytes);
    is_cut_in_head(bytes);
    let file = match bytes.split_first() {
        Some((size, content)) if *size != b'_' => {
            made = encrypted(content, usize::from(*size) * 8 + 1);
            &made
        }
        _ => bytes,
    };
    let mut sink = Sink { bytes: 0, most: (file.len() + 64) * MOST_EXPANDED };
    let read = decrypt(file, &Opener::password(PASSWORD.into()), &mut sink);
    if let Err(error) = &read {
        assert!(!error.to_string().is_empty());
    }
    read
}

fn encrypted(content: &[u8], size: usize) -> Vec<u8> {
    let first = Md5::digest(SESSION);
    let second = Md5::new().chain_update(first).chain_update(SESSION).finalize();
    let iv = Md5::new().chain_update(second).chain_update(SESSION).finalize();
    let key: Vec<u8> = [first, second].concat();
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(&key, &iv);
    let mut data = content.to_vec();
    let padding = 16 - content.len() % 16;
    data.resize(content.len() + padding, padding as u8);
    cipher.expect("their lengths").encrypt_blocks(Array::slice_as_chunks_mut(&mut data).0);
    let mut file = FILE[..first_data()].to_vec();
    for part in data.chunks(size) {
        file.extend(b"B\x10\0\x04data\x11");
        file.extend((part.len() as u16).to_be_bytes());
        file.extend(part);
        file.extend(b"\x10\0\x04type\x10\0\x04data@");
    }
    file.extend(b"B\x10\0\x08file_md5\x10\0\x20");
    file.extend([b'0'; 32]);
    file.extend(b"\x10\0\x04type\x10\0\x08metadata@");
    file
}

/// Where the data begin in the file.
fn first_data() -> usize {
    let begin = b"B\x10\0\x04data\x11";
    FILE.windows(begin.len()).position(|window| window == begin).expect("data")
}
