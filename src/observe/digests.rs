//! What the last look at a service saw, as digests of its folders or of the ranges of its one
//! listing: what is as it was isn't compared with the state again, and where everything is, the
//! state isn't touched at all.
//!
//! A range ends where one of its entries says so, by its name: a new entry changes the range it is
//! in and no other. Where the state says something else since, a range or folder counts as changed.

use crate::error::Result;
use crate::model::{ItemKind, Version, split_path};
use crate::remote::Entry;
use crate::store::{Touched, Trees};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// With more ranges than this, they get longer, as long as they may.
const MANY_RANGES: usize = 1024;
/// Ranges have, on average, two to the power of this many entries at least …
const SHORTEST: u32 = 2;
/// … and this many at most.
const LONGEST: u32 = 10;
/// How much longer than on average a range may be, as its entries are kept until it ends.
const OVERLONG: usize = 4;
/// Folders whose digests are kept; with more, each look compares everything.
const MOST_FOLDERS: usize = 65_536;

/// What the last look at a service saw.
#[derive(Default)]
pub(crate) struct Digests {
    /// Of one listing of everything.
    pub(super) ranges: Ranges,
    /// Of a listing for each folder.
    pub(super) folders: Folders,
}

impl Digests {
    /// Forgets where the state says something else since the last look.
    pub fn forget(&mut self, trees: &Trees) -> Result<()> {
        let Touched::Items(keys) = trees.take_touched() else {
            *self = Digests::default();
            return Ok(());
        };
        for key in *keys {
            match trees.snapshot()?.known_path(&key)? {
                Some(path) => {
                    self.ranges.doubt(&name_of(&path, key.kind()));
                    self.folders.doubt(&path, key.kind());
                }
                None => *self = Digests::default(),
            }
        }
        Ok(())
    }

    /// Takes note of which version of the root stands for what the state says of the service.
    pub fn note_root(&mut self, version: Option<Vec<u8>>) {
        let version = version.and_then(|version| String::from_utf8(version).ok());
        self.folders.root = version.map(Version::new);
    }

    /// Keeps what the look saw that has ended, if it came to its end and what it saw is in the
    /// state.
    pub(super) fn end(&mut self, well: bool) {
        let (ranges, folders) = (self.ranges.next.take(), std::mem::take(&mut self.folders.next));
        if let (true, Some(ranges)) = (well, ranges) {
            self.ranges = *ranges;
        }
        if well {
            let fits = folders.len() < MOST_FOLDERS;
            self.folders.known = if fits { folders } else { HashMap::new() };
        }
    }
}

/// The folders of a service, each by its path.
#[derive(Default)]
pub(super) struct Folders {
    /// The version of the root, where it stands for all that is in it.
    pub root: Option<Version>,
    keys: RandomState,
    known: HashMap<u64, u64>,
    /// What the running look saw.
    next: HashMap<u64, u64>,
}

/// What a folder's listing tells, in any order.
pub(super) struct Digest {
    folder: u64,
    sum: u64,
    keys: RandomState,
}

impl Digest {
    /// Takes in an entry.
    pub fn add(&mut self, name: &str, entry: &Entry) {
        let entry = (name, entry.kind, &entry.print, entry.special);
        self.sum = self.sum.wrapping_add(self.keys.hash_one(entry));
    }
}

impl Folders {
    /// Whether nothing is known of any folder.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A folder is being listed.
    pub fn begin(&self, path: &str) -> Digest {
        Digest { folder: self.keys.hash_one(path), sum: 0, keys: self.keys.clone() }
    }

    /// Whether a folder is as this look or the last one saw it. It counts as seen then.
    pub fn is_as_it_was(&mut self, digest: &Digest) -> bool {
        let known = self.next.get(&digest.folder).or_else(|| self.known.get(&digest.folder));
        let is_same = known == Some(&digest.sum);
        if is_same {
            self.saw(digest);
        }
        is_same
    }

    /// A folder is compared with the state as this digest says.
    pub fn saw(&mut self, digest: &Digest) {
        if self.next.len() < MOST_FOLDERS {
            self.next.insert(digest.folder, digest.sum);
        }
    }

    /// Has the folder compared that an item is in. Of a folder, everything may be meant.
    fn doubt(&mut self, path: &str, kind: ItemKind) {
        match kind {
            ItemKind::File => drop(self.known.remove(&self.keys.hash_one(split_path(path).0))),
            ItemKind::Folder => self.known.clear(),
        }
    }
}

/// The ranges of a listing as the last look saw it.
#[derive(Default)]
pub(super) struct Ranges {
    /// Whether these are all of a listing; they are none as long as none was looked at.
    whole: bool,
    keys: RandomState,
    ranges: Vec<Range>,
    /// By how many bits ranges are longer than the shortest.
    bits: u32,
    /// What the running look saw.
    next: Option<Box<Ranges>>,
}

struct Range {
    /// The name of its first entry.
    first: Box<str>,
    /// What its last entry says of where ranges end.
    cut: u64,
    /// `None` when the state doesn't say the same any more.
    digest: Option<u64>,
}

/// The entries of a range, as they are told.
#[derive(Default)]
pub(super) struct Piece {
    pub entries: Vec<(String, Entry)>,
    cut: u64,
    digest: u64,
}

impl Ranges {
    /// Has the ranges compared that an item is in, and those of a folder's contents.
    fn doubt(&mut self, name: &str) {
        self.whole &= !self.ranges.is_empty();
        let begin = self.ranges.partition_point(|range| *range.first <= *name).saturating_sub(1);
        let below = |range: &&mut Range| range.first.starts_with(name) && name.ends_with('/');
        let mut ranges = self.ranges.iter_mut().skip(begin);
        if let Some(range) = ranges.next() {
            range.digest = None;
        }
        ranges.take_while(below).for_each(|range| range.digest = None);
    }

    /// A look at the listing begins.
    pub fn begin(&self) -> Looked<'_> {
        let known = self.ranges.iter().enumerate();
        Looked {
            known: known.filter_map(|(number, range)| Some((range.digest?, number))).collect(),
            count: Some(self.ranges.len()).filter(|_| self.whole),
            keys: &self.keys,
            piece: Piece::default(),
            next: Ranges { keys: self.keys.clone(), bits: self.bits, ..Ranges::default() },
        }
    }

    /// The look at the listing has come to its end.
    pub fn saw(&mut self, next: Ranges) {
        self.next = Some(Box::new(next));
    }

    fn push(&mut self, range: Range) {
        self.ranges.push(range);
        while self.ranges.len() > MANY_RANGES && SHORTEST + self.bits < LONGEST {
            self.bits += 1;
            let bits = self.bits;
            self.ranges.dedup_by(|next, range| {
                let goes_on = !ends(range.cut, bits);
                if goes_on {
                    range.cut = next.cut;
                    range.digest = range.digest.zip(next.digest).map(|(a, b)| a.wrapping_add(b));
                }
                goes_on
            });
        }
    }
}

/// A look at a listing.
pub(super) struct Looked<'r> {
    /// Where the known ranges are, by their digests.
    known: HashMap<u64, usize>,
    count: Option<usize>,
    keys: &'r RandomState,
    piece: Piece,
    next: Ranges,
}

impl Looked<'_> {
    /// Takes in the next entry. Tells the range that ends with it, and which of the known ones it
    /// is.
    pub fn meet(&mut self, path: &str, entry: Entry) -> Option<(Piece, Option<usize>)> {
        let name = name_of(path, entry.kind);
        let piece = &mut self.piece;
        piece.digest =
            piece.digest.wrapping_add(self.keys.hash_one((&name, &entry.print, entry.special)));
        let mut hasher = DefaultHasher::new();
        hasher.write(name.as_bytes());
        piece.cut = hasher.finish();
        piece.entries.push((path.into(), entry));
        let is_full = piece.entries.len() >= OVERLONG << (SHORTEST + self.next.bits);
        (is_full || ends(piece.cut, self.next.bits)).then(|| self.end_piece())
    }

    /// The listing is at its end: tells the range that ends with it.
    pub fn rest(&mut self) -> Option<(Piece, Option<usize>)> {
        (!self.piece.entries.is_empty()).then(|| self.end_piece())
    }

    /// How many ranges were known; `None` when nothing was.
    pub fn count(&self) -> Option<usize> {
        self.count
    }

    /// The ranges that the look saw.
    pub fn end(self) -> Ranges {
        Ranges { whole: true, ..self.next }
    }

    fn end_piece(&mut self) -> (Piece, Option<usize>) {
        let piece = std::mem::take(&mut self.piece);
        let known = self.known.get(&piece.digest).copied();
        if let Some((path, entry)) = piece.entries.first() {
            let first = name_of(path, entry.kind).as_ref().into();
            self.next.push(Range { first, cut: piece.cut, digest: Some(piece.digest) });
        }
        (piece, known)
    }
}

/// An item's name in a listing of everything: its path, which ends in `/` for a folder.
fn name_of(path: &str, kind: ItemKind) -> Cow<'_, str> {
    match kind {
        ItemKind::File => path.into(),
        ItemKind::Folder => format!("{path}/").into(),
    }
}

/// Whether a range that is longer than the shortest by so many bits ends here.
fn ends(cut: u64, bits: u32) -> bool {
    cut.trailing_zeros() >= SHORTEST + bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RemotePrint, Version};

    fn entry(version: &str) -> Entry {
        Entry::file(RemotePrint::file(1, Version::new(version), None), None)
    }

    fn listing(count: u32) -> Vec<(String, Entry)> {
        (0..count).map(|number| (format!("folder/{number:06}"), entry("v"))).collect()
    }

    /// Looks at a listing; tells how many entries are in ranges that are known.
    fn look(ranges: &mut Ranges, listing: &[(String, Entry)]) -> usize {
        let mut looked = ranges.begin();
        let mut same = 0;
        for (path, entry) in listing {
            if let Some((piece, Some(_))) = looked.meet(path, entry.clone()) {
                same += piece.entries.len();
            }
        }
        if let Some((piece, Some(_))) = looked.rest() {
            same += piece.entries.len();
        }
        *ranges = looked.end();
        same
    }

    /// Entries that may be in so many ranges, at the most.
    fn most_in(ranges: usize, bits: u32) -> usize {
        ranges * (OVERLONG << (SHORTEST + bits))
    }

    #[test]
    fn what_is_as_it_was_is_known_again() {
        let (mut ranges, mut all) = (Ranges::default(), listing(1000));
        assert_eq!(look(&mut ranges, &all), 0);
        assert_eq!(look(&mut ranges, &all), 1000);
        all[500].1 = entry("w");
        all.remove(200);
        all.insert(700, ("folder/000700 copy".into(), entry("v")));
        let same = look(&mut ranges, &all);
        assert!(same < 1000 && same > 1000 - most_in(4, 0), "{same}");
        assert_eq!(look(&mut ranges, &all), 1000);
    }

    #[test]
    fn there_are_never_many_ranges_and_one_change_concerns_few() {
        let (mut ranges, mut all) = (Ranges::default(), listing(200_000));
        // In the first two, ranges still get longer.
        look(&mut ranges, &all);
        look(&mut ranges, &all);
        assert!(ranges.ranges.len() <= MANY_RANGES && ranges.ranges.len() > MANY_RANGES / 8);
        assert_eq!(look(&mut ranges, &all), all.len());
        all.insert(100_000, ("folder/099999a".into(), entry("v")));
        all.remove(7);
        let same = look(&mut ranges, &all);
        assert!(all.len() - same <= most_in(3, ranges.bits), "{same} of {}", all.len());
        assert_eq!(look(&mut ranges, &all), all.len());
    }

    #[test]
    fn what_the_state_says_otherwise_is_compared() {
        let (mut ranges, mut all) = (Ranges::default(), listing(1000));
        all.push(("other/file".into(), entry("v")));
        look(&mut ranges, &all);
        // What is between two files, or before the first, is in the range before it or after it.
        for doubted in ["folder/000003", "folder/000003a", "a", "other/file"] {
            ranges.doubt(doubted);
            let same = look(&mut ranges, &all);
            assert!(same < 1001 && same >= 1001 - most_in(1, 0), "{same}");
            assert_eq!(look(&mut ranges, &all), 1001);
        }
        ranges.doubt("folder/");
        assert!(look(&mut ranges, &all) <= most_in(1, 0));
        assert_eq!(look(&mut ranges, &all), 1001);
    }
}
