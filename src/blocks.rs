//! Contents in blocks that are cut by what is in them: wherever bytes are inserted, the cuts beyond
//! fall between the same bytes again, and what lies between them is known by its digest.

use crate::model::Fingerprint;
use md5::{Digest as _, Md5};
use ring::digest::{Context, Digest, SHA256};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Bytes before a place that decide whether a cut is there.
const WINDOW: u64 = 64;
/// How many times as large as the smallest block the largest is.
const SPREAD: u64 = 4;

/// What each byte adds to the sum of a window. Other numbers would make other cuts, and everything
/// be sent once more.
static GEAR: [u64; 256] = {
    let mut gear = [0; 256];
    let mut at = 0;
    while at < gear.len() {
        // The generator splitmix64.
        let mut word = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        gear[at] = word ^ (word >> 31);
        at += 1;
    }
    gear
};

/// What a service demands of the parts that a file is sent in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most parts of a file.
    pub count: u64,
    /// Fewest bytes of each part but the last.
    pub least: u64,
    /// Most bytes of a part.
    pub most: u64,
    /// Whether all parts but the last have to be of one size.
    pub equal: bool,
}

impl Limits {
    /// The smallest block of a content of `size` bytes that is cut into blocks of about `wanted`
    /// bytes, as far as the limits allow. It stays the same when the content grows, until there
    /// would be too many blocks; then it doubles.
    pub fn smallest(&self, size: u64, wanted: u64) -> u64 {
        let wanted = if self.equal { wanted } else { wanted / 2 };
        let needed = size.div_ceil(self.count).next_power_of_two();
        wanted.max(self.least).max(needed).min(self.most)
    }

    /// Cuts a content into blocks of which this is the smallest.
    pub fn cutter(&self, smallest: u64) -> Cutter {
        let most = if self.equal { smallest } else { self.most.min(SPREAD * smallest) };
        Cutter::new(smallest, most.max(smallest))
    }
}

/// Finds the cuts of a content from its bytes, by gear hashing.
#[derive(Clone, Debug)]
pub struct Cutter {
    least: u64,
    most: u64,
    /// A sum below this makes a cut; about once in as many bytes as `least`.
    below: u64,
    /// Bytes of the block that was begun.
    length: u64,
    /// Of its last bytes, as many as the window has.
    sum: u64,
}

impl Cutter {
    fn new(least: u64, most: u64) -> Self {
        Cutter { least, most, below: 1 << (64 - least.max(2).ilog2()), length: 0, sum: 0 }
    }

    /// Takes the bytes that come next. Tells how many of them are of the block that was begun, and
    /// whether it ends with these; then another begins, and the others are to be given again.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let length = self.length;
        let up_to = |place: u64| {
            let left = usize::try_from(place.saturating_sub(length)).unwrap_or(usize::MAX);
            left.min(bytes.len())
        };
        // No cut is before the smallest block's end, which needs a window's bytes alone.
        let window = up_to(self.least.saturating_sub(WINDOW));
        let (least, most) = (up_to(self.least), up_to(self.most));
        let mut sum = self.sum;
        let mut add = |byte: &u8| {
            sum = (sum << 1).wrapping_add(GEAR[usize::from(*byte)]);
            sum
        };
        for byte in &bytes[window..least] {
            add(byte);
        }
        let cut = bytes[least..most].iter().position(|byte| add(byte) < self.below);
        let taken = cut.map_or(most, |at| least + at + 1);
        let ends = cut.is_some() || length + taken as u64 == self.most;
        (self.length, self.sum) = if ends { (0, 0) } else { (length + taken as u64, sum) };
        (taken, ends)
    }
}

/// A block of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Bytes.
    pub length: u64,
    /// The first half of their SHA-256.
    pub digest: Fingerprint,
}

impl Block {
    /// The one of so many bytes that have this SHA-256.
    pub fn of(length: u64, sha256: &Digest) -> Self {
        let mut digest = Fingerprint::default();
        digest.copy_from_slice(&sha256.as_ref()[..16]);
        Block { length, digest }
    }
}

/// How blocks are known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockHash {
    /// By so many of the first bytes of their SHA-256, 16 at most. The others of a digest are zero.
    Sha256(usize),
    /// By their MD5.
    Md5,
}

/// Computes the digest of a block from its bytes in their order.
#[derive(Clone)]
pub enum BlockSum {
    /// See [`BlockHash::Sha256`].
    Sha256(Context, usize),
    /// See [`BlockHash::Md5`].
    Md5(Md5),
}

impl BlockSum {
    /// Of no bytes yet.
    pub fn new(hash: BlockHash) -> Self {
        match hash {
            BlockHash::Sha256(bytes) => BlockSum::Sha256(Context::new(&SHA256), bytes.min(16)),
            BlockHash::Md5 => BlockSum::Md5(Md5::new()),
        }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            BlockSum::Sha256(sum, _) => sum.update(bytes),
            BlockSum::Md5(sum) => sum.update(bytes),
        }
    }

    /// The digest of all that was taken in.
    pub fn finish(self) -> Fingerprint {
        match self {
            BlockSum::Sha256(sum, bytes) => {
                let mut digest = Fingerprint::default();
                digest[..bytes].copy_from_slice(&sum.finish().as_ref()[..bytes]);
                digest
            }
            BlockSum::Md5(sum) => sum.finalize().into(),
        }
    }
}

/// Finds the blocks of a content from its bytes in their order.
pub struct Mapper {
    cutter: Cutter,
    hash: BlockHash,
    /// Of the block that was begun.
    sum: BlockSum,
    length: u64,
    blocks: Blocks,
}

impl Mapper {
    /// For a content that is cut and whose blocks are known so.
    pub fn new(cutter: Cutter, hash: BlockHash) -> Self {
        Mapper { cutter, hash, sum: BlockSum::new(hash), length: 0, blocks: Blocks::default() }
    }

    /// Takes the bytes that come next.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, ends) = self.cutter.take(bytes);
            let (block, rest) = bytes.split_at(taken);
            self.sum.update(block);
            self.length += taken as u64;
            if ends {
                self.end_block();
            }
            bytes = rest;
        }
    }

    fn end_block(&mut self) {
        let sum = std::mem::replace(&mut self.sum, BlockSum::new(self.hash));
        self.blocks.push(Block { length: self.length, digest: sum.finish() });
        self.length = 0;
    }

    /// The blocks of all that was taken.
    pub fn finish(mut self) -> Blocks {
        if self.length > 0 {
            self.end_block();
        }
        self.blocks
    }
}

/// The blocks of a content in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks(Vec<Block>);

impl Blocks {
    /// Adds the next one.
    pub fn push(&mut self, block: Block) {
        self.0.push(block);
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Block> {
        self.0.iter()
    }

    /// Where each of them can be found.
    pub fn index(&self) -> Index {
        let mut at = 0_u64;
        let place = |block: &Block| {
            let from = at;
            at = at.saturating_add(block.length);
            (block.digest, from..at)
        };
        let mut places: Vec<_> = self.0.iter().map(place).collect();
        places.sort_unstable_by_key(|(digest, _)| *digest);
        Index(places)
    }
}

impl FromIterator<Block> for Blocks {
    fn from_iter<I: IntoIterator<Item = Block>>(blocks: I) -> Self {
        Blocks(blocks.into_iter().collect())
    }
}

/// Where a content has its blocks.
#[derive(Debug, Default)]
pub struct Index(Vec<(Fingerprint, Range<u64>)>);

impl Index {
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which bytes of the content are such a block.
    pub fn find(&self, block: &Block) -> Option<Range<u64>> {
        let at = self.0.binary_search_by_key(&block.digest, |(digest, _)| *digest).ok()?;
        let place = &self.0[at].1;
        (place.end - place.start == block.length).then(|| place.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const LIMITS: Limits = Limits { count: 10_000, least: 0, most: 1 << 30, equal: false };

    /// Bytes that don't repeat.
    fn noise(size: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..size.div_ceil(8)).flat_map(|_| next()).take(size).collect()
    }

    /// The blocks that bytes are cut into, as they come in pieces.
    fn cut(limits: Limits, smallest: u64, mut bytes: &[u8], piece: usize) -> Vec<&[u8]> {
        let (mut cutter, mut blocks, mut length) = (limits.cutter(smallest), Vec::new(), 0);
        while length < bytes.len() {
            let next = &bytes[length..bytes.len().min(length + piece)];
            let (taken, ends) = cutter.take(next);
            length += taken;
            if ends || length == bytes.len() {
                let (block, rest) = bytes.split_at(length);
                blocks.push(block);
                (bytes, length) = (rest, 0);
            }
        }
        blocks
    }

    #[test]
    fn blocks_have_their_sizes_and_fall_alike_in_any_pieces() {
        let bytes = noise(3 << 20);
        let blocks = cut(LIMITS, 20_000, &bytes, usize::MAX >> 1);
        assert_eq!(blocks.concat(), bytes);
        let (last, others) = blocks.split_last().unwrap();
        assert!(others.iter().all(|block| (20_000..=80_000).contains(&block.len())));
        assert!(last.len() <= 80_000);
        assert!((60..=110).contains(&blocks.len()), "{}", blocks.len());
        for piece in [1, 63, 4096, 65_536] {
            assert!(cut(LIMITS, 20_000, &bytes, piece) == blocks, "{piece}");
        }
        let zeros = vec![0; 200_000];
        let zeros = cut(LIMITS, 20_000, &zeros, 65_536);
        assert_eq!(
            zeros.iter().map(|block| block.len()).collect::<Vec<_>>(),
            [80_000, 80_000, 40_000]
        );
    }

    #[test]
    fn a_change_moves_only_the_cuts_near_it() {
        let bytes = noise(3 << 20);
        let known: HashSet<_> = cut(LIMITS, 20_000, &bytes, 65_536).into_iter().collect();
        let new = |changed: &[u8]| {
            let blocks = cut(LIMITS, 20_000, changed, 65_536);
            blocks.iter().filter(|block| !known.contains(*block)).count()
        };
        assert_eq!(new(&bytes), 0);
        for at in (0..bytes.len()).step_by(400_003) {
            let mut changed = bytes.clone();
            changed[at..bytes.len().min(at + 100)].fill(0);
            assert!(new(&changed) <= 4, "{at}: {}", new(&changed));
        }
        assert!(new(&[b"new at the front", bytes.as_slice()].concat()) <= 8);
        assert!(new(&bytes[..2 << 20]) <= 1);
        assert!(new(&[bytes.as_slice(), b"new at the end"].concat()) <= 1);
    }

    #[test]
    fn blocks_keep_to_the_limits_and_their_size() {
        let mib = 1 << 20;
        let limits = Limits { count: 10_000, least: 5 * mib, most: 5 << 30, equal: false };
        for (size, wanted, smallest) in [
            (0, 8 * mib, 5 * mib),
            (1 << 30, 8 * mib, 5 * mib),
            (1 << 30, 64 * mib, 32 * mib),
            (100 << 30, 8 * mib, 16 * mib),
            (5 << 40, 8 * mib, 1 << 30),
            (10_000 * (5 << 30), 8 * mib, 5 << 30),
        ] {
            assert_eq!(limits.smallest(size, wanted), smallest, "{size}");
            assert!(size.div_ceil(smallest) <= limits.count);
            assert!(limits.cutter(smallest).most <= limits.most);
        }
        let equal = Limits { equal: true, ..limits };
        let bytes = noise(100_000);
        let blocks = cut(equal, 30_000, &bytes, 4096);
        assert_eq!(
            blocks.iter().map(|it| it.len()).collect::<Vec<_>>(),
            [30_000, 30_000, 30_000, 10_000]
        );
    }

    #[test]
    fn a_mapper_knows_each_block_in_any_pieces() {
        let bytes = noise(1 << 20);
        let blocks = cut(LIMITS, 20_000, &bytes, usize::MAX >> 1);
        for hash in [BlockHash::Sha256(16), BlockHash::Sha256(13), BlockHash::Md5] {
            for piece in [999, 65_536, 1 << 20] {
                let mut mapper = Mapper::new(LIMITS.cutter(20_000), hash);
                bytes.chunks(piece).for_each(|piece| mapper.update(piece));
                let known = mapper.finish();
                assert_eq!(known.iter().count(), blocks.len());
                for (known, block) in known.iter().zip(&blocks) {
                    let mut digest = Fingerprint::default();
                    match hash {
                        BlockHash::Md5 => digest = Md5::digest(block).into(),
                        BlockHash::Sha256(bytes) => {
                            let sum = ring::digest::digest(&SHA256, block);
                            digest[..bytes].copy_from_slice(&sum.as_ref()[..bytes]);
                        }
                    }
                    assert_eq!(*known, Block { length: block.len() as u64, digest });
                }
            }
        }
        assert_eq!(Mapper::new(LIMITS.cutter(20_000), BlockHash::Md5).finish().iter().count(), 0);
    }

    #[test]
    fn a_block_is_found_by_its_bytes_and_length() {
        let block = |length, byte| Block { length, digest: [byte; 16] };
        let blocks = [(7, 3), (5, 1), (9, 2), (u64::MAX, 4), (1, 5)];
        let index = Blocks(blocks.map(|(length, byte)| block(length, byte)).into()).index();
        assert_eq!(index.find(&block(5, 1)), Some(7..12));
        assert_eq!(index.find(&block(9, 2)), Some(12..21));
        assert_eq!(index.find(&block(9, 1)), None);
        assert_eq!(index.find(&block(5, 6)), None);
        // Lengths that can't be, as those of a damaged state.
        assert_eq!(index.find(&block(1, 5)), None);
    }
}
