//! From content to data: compressed, then encrypted, one block of content after the other.
//!
//! Each block is compressed by itself, though the frame says that they may refer to each other: it costs a little
//! of what is saved, and lets the data be made again from any block on.

use super::BLOCK_BYTES;
use super::keys::{Block, Encryptor, SessionKey, pad};
use cbc::cipher::{BlockModeEncrypt as _, IvState as _};
use heapless::Vec as Few;
use lz4_flex::block::{compress_into, get_maximum_output_size};
use std::hash::Hasher as _;
use twox_hash::XxHash32;

/// Bytes of content that are compressed at a time; what the frame says that it is at most.
pub(super) const CONTENT_BYTES: usize = 64 << 10;
/// What the frame begins with: linked blocks of at most 64 KiB, and a checksum of the content.
const FRAME: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x44, 0x40, 0x5e];
/// Marks the length of a block that isn't compressed, as it wouldn't become smaller.
const AS_IT_IS: u32 = 1 << 31;
/// Where a frame has no more blocks.
const END: u32 = 0;

/// Makes data of content.
pub(super) struct Sealer {
    cipher: Encryptor,
    /// What is compressed and fills no block of the cipher yet.
    rest: Rest,
}

type Rest = Few<u8, BLOCK_BYTES>;

/// All that decides what a [`Sealer`] makes of the next block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The last block of data before it, or the initialization vector.
    last: [u8; BLOCK_BYTES],
    rest: Rest,
}

impl State {
    /// The last block of data, which depends on all before it.
    pub fn last(&self) -> &[u8] {
        &self.last
    }
}

/// The checksum that the frame ends with.
pub(super) struct Checksum(XxHash32);

impl Checksum {
    pub fn new() -> Self {
        Checksum(XxHash32::with_seed(0))
    }

    pub fn update(&mut self, content: &[u8]) {
        self.0.write(content);
    }

    pub fn finish(&self) -> u32 {
        self.0.finish_32()
    }
}

impl Sealer {
    /// At the first block.
    pub fn new(session: &SessionKey) -> Self {
        let rest = FRAME.into_iter().collect();
        Sealer { cipher: session.encryptor(), rest }
    }

    /// At the block before which another had this state.
    pub fn at(session: &SessionKey, state: &State) -> Self {
        Sealer { cipher: session.encryptor_after(&state.last), rest: state.rest.clone() }
    }

    pub fn state(&self) -> State {
        State { last: self.cipher.iv_state().into(), rest: self.rest.clone() }
    }

    /// Appends what comes of the next block: [`CONTENT_BYTES`] of content, of which only the last one
    /// may have fewer.
    pub fn block(&mut self, content: &[u8], to: &mut Vec<u8>) {
        let start = self.begin(to);
        let length_at = to.len();
        let at = length_at + size_of::<u32>();
        to.resize(at + get_maximum_output_size(content.len()), 0);
        let smaller = compress_into(content, &mut to[at..]).ok().filter(|it| *it < content.len());
        let (count, mark) = smaller.map_or((content.len(), AS_IT_IS), |count| (count, 0));
        if smaller.is_none() {
            to[at..at + count].copy_from_slice(content);
        }
        to[length_at..at].copy_from_slice(&(count as u32 | mark).to_le_bytes());
        to.truncate(at + count);
        self.encrypt(start, to);
    }

    /// Appends what stands behind all blocks.
    pub fn end(&mut self, checksum: u32, to: &mut Vec<u8>) {
        let start = self.begin(to);
        to.extend(END.to_le_bytes());
        to.extend(checksum.to_le_bytes());
        let mut last = to.split_off(start);
        pad(&mut last);
        to.append(&mut last);
        self.encrypt(start, to);
    }

    /// Puts what was left before what comes now, and tells where that begins.
    fn begin(&mut self, to: &mut Vec<u8>) -> usize {
        let start = to.len();
        to.extend_from_slice(&self.rest);
        self.rest.clear();
        start
    }

    /// Encrypts from there on, and takes back what fills no block.
    fn encrypt(&mut self, start: usize, to: &mut Vec<u8>) {
        let (blocks, rest) = Block::slice_as_chunks_mut(&mut to[start..]);
        self.cipher.encrypt_blocks(blocks);
        self.rest = rest.iter().copied().collect();
        to.truncate(to.len() - self.rest.len());
    }
}
