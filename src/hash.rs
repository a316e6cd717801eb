//! Hashes by which services tell one content from another.

use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::{Deserialize, Serialize};

/// Bytes that Dropbox hashes at a time.
const BLOCK_BYTES: usize = 4 << 20;

/// How a service hashes a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// MD5 of all of it.
    Md5,
    /// SHA-256 of the SHA-256s of its blocks of 4 MiB: Dropbox's `content_hash`.
    Blocks,
    /// SHA-1 of all of it.
    Sha1,
}

/// The hash of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hash {
    /// See [`HashKind::Md5`].
    Md5([u8; 16]),
    /// See [`HashKind::Blocks`].
    Blocks([u8; 32]),
    /// See [`HashKind::Sha1`].
    Sha1([u8; 20]),
}

/// Computes a hash from a content's bytes in their order.
#[derive(Clone)]
pub struct HashSum(Sum);

#[derive(Clone)]
enum Sum {
    Md5(Md5),
    Blocks(Box<Blocks>),
    Sha1(Context),
}

#[derive(Clone)]
struct Blocks {
    /// Of the hashes of the whole blocks.
    blocks: Context,
    /// Of the block that isn't whole yet.
    block: Context,
    /// Bytes in it.
    filled: usize,
}

impl HashKind {
    /// What people call it.
    pub fn label(self) -> &'static str {
        match self {
            HashKind::Md5 => "MD5",
            HashKind::Blocks => "content_hash",
            HashKind::Sha1 => "SHA-1",
        }
    }
}

impl Hash {
    /// How it was computed.
    pub fn kind(&self) -> HashKind {
        match self {
            Hash::Md5(_) => HashKind::Md5,
            Hash::Blocks(_) => HashKind::Blocks,
            Hash::Sha1(_) => HashKind::Sha1,
        }
    }
}

impl HashSum {
    /// Of no bytes yet.
    pub fn new(kind: HashKind) -> Self {
        let new = || Context::new(&SHA256);
        HashSum(match kind {
            HashKind::Md5 => Sum::Md5(Md5::new()),
            HashKind::Blocks => {
                Sum::Blocks(Box::new(Blocks { blocks: new(), block: new(), filled: 0 }))
            }
            HashKind::Sha1 => Sum::Sha1(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
        })
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Sum::Md5(sum) => sum.update(bytes),
            Sum::Blocks(sum) => sum.update(bytes),
            Sum::Sha1(sum) => sum.update(bytes),
        }
    }

    /// The hash of all that was taken in.
    pub fn finish(self) -> Hash {
        match self.0 {
            Sum::Md5(sum) => Hash::Md5(sum.finalize().into()),
            Sum::Blocks(sum) => Hash::Blocks(sum.finish()),
            Sum::Sha1(sum) => {
                let mut hash = [0; 20];
                hash.copy_from_slice(sum.finish().as_ref());
                Hash::Sha1(hash)
            }
        }
    }
}

impl Blocks {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.block.update(now);
            self.filled += now.len();
            if self.filled == BLOCK_BYTES {
                let whole = std::mem::replace(&mut self.block, Context::new(&SHA256));
                self.blocks.update(whole.finish().as_ref());
                self.filled = 0;
            }
            bytes = rest;
        }
    }

    fn finish(mut self) -> [u8; 32] {
        if self.filled > 0 {
            self.blocks.update(self.block.finish().as_ref());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(self.blocks.finish().as_ref());
        hash
    }
}

impl std::fmt::Debug for HashSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashSum").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::to_hex;

    /// The examples of FIPS 180.
    #[test]
    fn sha1_hashes() {
        for (content, expected) in [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ] {
            let mut sum = HashSum::new(HashKind::Sha1);
            content.bytes().for_each(|byte| sum.update(&[byte]));
            let Hash::Sha1(hash) = sum.finish() else { panic!("another hash") };
            assert_eq!(to_hex(&hash), expected);
        }
    }

    /// Vectors made with `rclone hashsum dropbox`.
    #[test]
    fn dropbox_hashes() {
        let cycle = |count: usize| (0..count).map(|at| (at % 256) as u8).collect::<Vec<_>>();
        let mut long = cycle(BLOCK_BYTES);
        long.push(0x2a);
        let cases = [
            (vec![], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"hello".to_vec(), "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50"),
            (cycle(1000), "a3a76a2a02b00a78b4c6d5d181af8039f0110fc950cebf19b7652d66348a714f"),
            (long, "2f6ea7cce4d4399b59e252dd736fa9df60371582c74f8c530450bfcb791eee2f"),
        ];
        for (content, expected) in cases {
            for step in [1000, 65_536, usize::MAX] {
                let mut sum = HashSum::new(HashKind::Blocks);
                content.chunks(step.min(content.len().max(1))).for_each(|part| sum.update(part));
                let Hash::Blocks(hash) = sum.finish() else { panic!("another hash") };
                assert_eq!(to_hex(&hash), expected);
            }
        }
    }
}
