//! What a service keeps: its items, what happened to them, uploads on their way, and what became
//! of contents that are nowhere in the tree any more.

use super::abilities::{Abilities, Changes, PART, Times, Versions};
use super::tree::{Bytes, Node, TOP, Tree};
use crate::common::dice::Dice;
use mooring::error::{Error, Kind, Result};
use mooring::hash::{Hash, HashKind, HashSum};
use mooring::model::{ItemKind, Nanos, RemotePrint, Version, split_path, to_hex};
use mooring::remote::{Entry, Moves, Place, Special};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tells the simulated time.
pub type Clock = Box<dyn Fn() -> Nanos + Send>;

/// Name of the root in the folder around everything.
pub const ROOT: &str = "root";

pub struct Account {
    pub abilities: Abilities,
    pub tree: Tree,
    pub clock: Clock,
    pub dice: Dice,
    /// The root as the adapter found it; by ids, it goes on with that.
    pub found_root: Option<u64>,
    /// The adapter has found out that folders aren't kept.
    pub knows_folders: bool,
    pub journal: Vec<Happened>,
    /// Cursors of another time aren't known any more.
    pub epoch: u64,
    /// What listings still tell of a path, and until when.
    pub stale: BTreeMap<String, (Nanos, Option<Entry>)>,
    pub sessions: BTreeMap<u64, Session>,
    /// Most bytes in all.
    pub quota: Option<u64>,
    pub aftermath: Aftermath,
}

/// Something happened to an item.
pub struct Happened {
    pub id: u64,
    /// From the root, where it was in it.
    pub path: Option<String>,
    pub went: bool,
    /// When the feed tells it.
    pub told: Nanos,
}

/// An upload in parts.
pub struct Session {
    pub path: String,
    pub folder: String,
    pub size: u64,
    pub mtime: Nanos,
    pub bytes: Vec<u8>,
    pub began: Nanos,
}

/// Contents that aren't in the tree.
#[derive(Clone, Debug, Default)]
pub struct Aftermath {
    /// The service keeps them: versions that were replaced, and what was removed.
    pub kept: Vec<Bytes>,
    /// They came between a look and the change that followed it, and the service lost them.
    pub raced: Vec<Bytes>,
    /// Beginnings of uploads that were cut off, which nobody ever wrote.
    pub cut: Vec<Bytes>,
}

impl Account {
    pub fn new(abilities: Abilities, seed: u64, clock: Clock) -> Account {
        let mut account = Account {
            abilities,
            tree: Tree::new(&abilities),
            clock,
            dice: Dice::new(seed),
            found_root: None,
            knows_folders: false,
            journal: Vec::new(),
            epoch: 0,
            stale: BTreeMap::new(),
            sessions: BTreeMap::new(),
            quota: None,
            aftermath: Aftermath::default(),
        };
        account.make_root();
        account
    }

    /// Whether items are called by their ids.
    pub fn by_ids(&self) -> bool {
        matches!(self.abilities.changes, Changes::Ids { .. })
    }

    pub fn implied(&self) -> bool {
        self.abilities.descriptor.folders_implied
    }

    // ---- finding

    /// The folder that has the root's name now.
    pub fn root(&self) -> Option<u64> {
        self.tree.find(TOP, ROOT, ItemKind::Folder)
    }

    pub fn make_root(&mut self) -> u64 {
        match self.root() {
            Some(root) => root,
            None => self.add(folder(TOP, ROOT)),
        }
    }

    /// The root as the adapter knows it.
    pub fn known_root(&self) -> Option<u64> {
        match self.found_root.filter(|_| self.by_ids()) {
            Some(id) => self.tree.get(id).map(|_| id),
            None => self.root(),
        }
    }

    /// The folder around a place.
    pub fn parent(&self, place: Place<'_>) -> Option<u64> {
        if !self.by_ids() {
            let found = self.by_path(split_path(place.path).0, ItemKind::Folder)?;
            let is_folder = self.tree.get(found)?.kind == ItemKind::Folder;
            return is_folder.then_some(found);
        }
        match place.folder {
            "" if place.path.contains('/') => None,
            "" => self.known_root(),
            id => self.of_id(id),
        }
    }

    /// What is at a place.
    pub fn seek(&self, place: Place<'_>, kind: ItemKind) -> Option<u64> {
        if place.path.is_empty() {
            return self.known_root();
        }
        if !self.by_ids() {
            return self.by_path(place.path, kind);
        }
        let parent = self.parent(place);
        if place.id.is_empty() {
            return self.tree.find(parent?, split_path(place.path).1, kind);
        }
        let id = self.of_id(place.id)?;
        let there = self.tree.get(id)?.parent;
        parent.is_none_or(|parent| there == parent).then_some(id)
    }

    fn of_id(&self, id: &str) -> Option<u64> {
        let id = id.strip_prefix("id")?.parse().ok()?;
        self.tree.get(id).map(|_| id)
    }

    fn by_path(&self, path: &str, kind: ItemKind) -> Option<u64> {
        let mut at = self.root()?;
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let kind = if parts.peek().is_some() { ItemKind::Folder } else { kind };
            at = self.tree.find(at, part, kind)?;
            if parts.peek().is_some() && self.tree.get(at)?.kind != ItemKind::Folder {
                return None;
            }
        }
        Some(at)
    }

    /// The folder around a place, which is made where folders are implied.
    pub fn parent_to_fill(&mut self, place: Place<'_>) -> Option<u64> {
        if !self.implied() {
            return self.parent(place);
        }
        let mut at = self.make_root();
        for part in split_path(place.path).0.split('/').filter(|part| !part.is_empty()) {
            at = match self.tree.find(at, part, ItemKind::Folder) {
                Some(id) => id,
                None => self.add(Node { marked: false, ..folder(at, part) }),
            };
        }
        Some(at)
    }

    // ---- telling

    pub fn entry(&self, id: u64) -> Option<Entry> {
        let node = self.tree.get(id)?;
        let told_id = self.told_id(id);
        if node.kind == ItemKind::Folder {
            let mut entry = Entry::folder(told_id);
            if self.abilities.folder_versions {
                entry.print.version = Version::new(format!("f{:04x}", node.version));
            }
            return Some(entry);
        }
        // Of what only the service's editor can open, there is nothing to tell.
        let opaque = node.special.is_some_and(|special| special != Special::Closed);
        let size = node.bytes.len() as u64;
        let hash = node.hash.filter(|_| !opaque && self.abilities.hashed >= Some(size));
        let version = if opaque { Version::default() } else { self.version(node) };
        let mtime = match self.abilities.times {
            Times::Kept => Some(node.mtime),
            Times::Seconds => Some(node.mtime - node.mtime.rem_euclid(1_000_000_000)),
            Times::Lost => None,
        };
        let size = if opaque { 0 } else { size };
        let print = RemotePrint { size, version, mtime, id: told_id };
        Some(Entry { special: node.special, ..Entry::file(print, hash) })
    }

    /// A folder as it is told when it is made: without a version.
    pub fn made(&self, id: u64) -> Option<Entry> {
        self.tree.get(id).map(|_| Entry::folder(self.told_id(id)))
    }

    fn version(&self, node: &Node) -> Version {
        match (self.abilities.versions, node.hash) {
            (Versions::OfContent, Some(Hash::Md5(hash))) => {
                let in_parts = self.abilities.hashed < Some(node.bytes.len() as u64);
                let parts = if in_parts { "-2" } else { "" };
                Version::new(format!("{}{parts}", to_hex(&hash)))
            }
            (Versions::OfContent, Some(Hash::Blocks(hash))) => Version::new(to_hex(&hash)),
            _ => Version::new(format!("{:04x}", node.version)),
        }
    }

    pub fn told_id(&self, id: u64) -> Box<str> {
        match self.abilities.changes {
            Changes::Listing => "".into(),
            _ => format!("id{id}").into(),
        }
    }

    pub fn file(&self, parent: u64, name: &str, bytes: Bytes, mtime: Nanos) -> Node {
        let hash = self.hash(&bytes);
        Node { kind: ItemKind::File, bytes, hash, mtime, ..folder(parent, name) }
    }

    fn hash(&self, bytes: &[u8]) -> Option<Hash> {
        if self.abilities.hashed.is_none() && self.abilities.versions == Versions::Counted {
            return None;
        }
        let mut sum = HashSum::new(self.abilities.descriptor.hash.unwrap_or(HashKind::Md5));
        sum.update(bytes);
        Some(sum.finish())
    }

    /// All files (and folders of their own) below a folder, as a flat listing tells them.
    pub fn flat(&self, folder: &str) -> BTreeMap<String, Entry> {
        let Some(root) = self.root() else { return BTreeMap::new() };
        let mut all = BTreeMap::new();
        for id in self.tree.below(root) {
            let (Some(node), Some(path)) = (self.tree.get(id), self.tree.path(id, root)) else {
                continue;
            };
            let key = if node.kind == ItemKind::Folder { format!("{path}/") } else { path };
            if node.kind == ItemKind::File || node.marked {
                all.extend(self.entry(id).map(|entry| (key, entry)));
            }
        }
        let now = (self.clock)();
        for (path, (_, entry)) in self.stale.iter().filter(|(_, (until, _))| *until > now) {
            match entry {
                Some(entry) => drop(all.insert(path.clone(), entry.clone())),
                None => drop(all.remove(path)),
            }
        }
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = |(path, mut entry): (String, Entry)| {
            let path = path.strip_prefix(&prefix).filter(|path| !path.is_empty())?;
            // Only a look at one file tells its time.
            entry.print.mtime = None;
            Some((path.to_owned(), entry))
        };
        all.into_iter().filter_map(below).collect()
    }

    // ---- changing

    pub fn add(&mut self, node: Node) -> u64 {
        let id = self.tree.add(node);
        self.goes_stale(id, true);
        self.record(id, false);
        id
    }

    pub fn overwrite(&mut self, id: u64, bytes: Bytes, mtime: Nanos) {
        self.goes_stale(id, false);
        let hash = self.hash(&bytes);
        let old = self.tree.get(id).map(|node| node.bytes.clone());
        if self.abilities.keeps_replaced {
            self.aftermath.kept.extend(old);
        }
        self.tree.change(id, |node| {
            (node.bytes, node.hash, node.mtime, node.special) = (bytes, hash, mtime, None);
        });
        self.record(id, false);
    }

    pub fn relocate(&mut self, id: u64, parent: u64, name: &str) {
        let old = self.tree.get(id).map(|node| node.parent);
        self.shift(id, parent, name);
        old.into_iter().for_each(|old| self.prune(old));
    }

    /// The same where what is left behind is dealt with later.
    pub fn shift(&mut self, id: u64, parent: u64, name: &str) {
        let was_told = self.path(id).is_some();
        let by_path = self.abilities.changes == Changes::Paths;
        let told = !by_path || !self.tree.named(parent, name, ItemKind::Folder).contains(&id);
        self.goes_stale(id, false);
        if by_path && told {
            self.record(id, true);
        }
        self.tree.relocate(id, parent, name);
        self.goes_stale(id, true);
        if told {
            self.record(id, false);
        }
        let all_told = match self.abilities.changes {
            Changes::Ids { all } => all && !was_told,
            Changes::Paths => told,
            Changes::Listing => false,
        };
        for below in self.tree.below(id) {
            if all_told {
                self.record(below, false);
            }
            if self.abilities.descriptor.moves == Moves::Files {
                // They were copied, and are new.
                self.tree.change(below, |_| {});
            }
        }
    }

    pub fn set_mtime(&mut self, id: u64, mtime: Nanos) {
        self.goes_stale(id, false);
        self.tree.change(id, |node| node.mtime = mtime);
        self.record(id, false);
    }

    /// Takes an item with everything in it, and tells the contents.
    pub fn remove(&mut self, id: u64) -> Vec<Bytes> {
        let Some(parent) = self.tree.get(id).map(|node| node.parent) else { return Vec::new() };
        self.goes_stale(id, false);
        self.record(id, true);
        let gone = self.tree.remove(id).into_iter().filter(|node| node.kind == ItemKind::File);
        let gone: Vec<Bytes> = gone.map(|node| node.bytes).collect();
        if self.abilities.keeps_replaced {
            self.aftermath.kept.extend(gone.iter().cloned());
        }
        self.prune(parent);
        gone
    }

    /// Notes that contents were lost to a race, unless the service keeps them.
    pub fn lose(&mut self, contents: impl IntoIterator<Item = Bytes>) {
        if !self.abilities.keeps_replaced {
            self.aftermath.raced.extend(contents);
        }
    }

    /// Where folders are implied, those with nothing in them go.
    pub fn prune(&mut self, folder: u64) {
        let mut at = folder;
        while self.implied() && at != TOP && self.root() != Some(at) && self.tree.is_empty(at) {
            match self.tree.get(at) {
                Some(node) if !node.marked => {
                    let parent = node.parent;
                    self.tree.remove(at);
                    at = parent;
                }
                _ => return,
            }
        }
    }

    /// The path of an item from the root.
    pub fn path(&self, id: u64) -> Option<String> {
        self.tree.path(id, self.root()?)
    }

    fn record(&mut self, id: u64, went: bool) {
        let path = self.path(id);
        let is_told = match self.abilities.changes {
            Changes::Listing => false,
            Changes::Ids { .. } => true,
            Changes::Paths => path.is_some(),
        };
        if is_told {
            let lag = nanos(self.dice.roll(self.abilities.feed_lag + 1));
            let earlier = self.journal.last().map_or(0, |last| last.told);
            let told = earlier.max((self.clock)() + lag);
            self.journal.push(Happened { id, path, went, told });
        }
    }

    /// Lets listings tell for a while what was: of a new item, that it isn't there.
    fn goes_stale(&mut self, id: u64, new: bool) {
        if self.abilities.list_lag == 0 {
            return;
        }
        let now = (self.clock)();
        let mut all = self.tree.below(id);
        all.push(id);
        for id in all {
            let (Some(path), Some(entry)) = (self.path(id), self.entry(id)) else { continue };
            let until = now + nanos(self.dice.roll(self.abilities.list_lag));
            let known = self.stale.get(&path).is_some_and(|(until, _)| *until > now);
            if entry.kind == ItemKind::File && !known {
                self.stale.insert(path, (until, Some(entry).filter(|_| !new)));
            }
        }
    }

    // ---- checks

    /// Whether there is room for so many more bytes.
    pub fn has_room(&self, what: &str, more: u64) -> Result<()> {
        if self.quota.is_some_and(|most| self.tree.size() + more > most) {
            return Err(Error::new(Kind::QuotaFull, what, "the account is full"));
        }
        Ok(())
    }

    /// The item at a place if it is of this kind and version.
    pub fn held(
        &self,
        what: &str,
        place: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<u64> {
        let gone = || Error::new(Kind::NotFound, what, "it isn't there");
        let id = self.seek(place, kind).ok_or_else(gone)?;
        let entry = self.entry(id).ok_or_else(gone)?;
        let another = !place.id.is_empty() && *place.id != *entry.print.id;
        let newer = kind == ItemKind::File && entry.print.version != *version;
        if entry.kind != kind || another || newer {
            return Err(Error::new(Kind::Changed, what, "it was changed in the meantime"));
        }
        Ok(id)
    }

    /// Fails unless an item can go to a place under this name: `but` may be there.
    pub fn is_free(
        &self,
        what: &str,
        (place, name): (Place<'_>, &str),
        kind: ItemKind,
        but: Option<u64>,
    ) -> Result<()> {
        let Some(parent) = self.parent(place) else {
            let cause = "the folder around it isn't there";
            let missing = Err(Error::new(Kind::NotFound, what, cause));
            return if self.implied() { Ok(()) } else { missing };
        };
        if but.is_some_and(|id| self.tree.path(parent, id).is_some()) {
            return Err(Error::new(Kind::BadName, what, "a folder can't be in itself"));
        }
        let named = self.tree.named(parent, name, kind);
        match named.iter().find(|id| Some(**id) != but) {
            Some(id) => Err(self.taken(what, *id, name)),
            None => Ok(()),
        }
    }

    /// The error for a name that an item has, perhaps written otherwise.
    pub fn taken(&self, what: &str, id: u64, name: &str) -> Error {
        if self.is_twin(id, name) {
            return Error::new(Kind::NameTaken, what, "its name is taken for that of another");
        }
        Error::new(Kind::Exists, what, "something is there")
    }

    /// Whether an item's name isn't this one, though the service says that it takes it for it.
    pub fn is_twin(&self, id: u64, name: &str) -> bool {
        let declared = self.abilities.descriptor.folds_case;
        declared && self.tree.get(id).is_some_and(|node| node.name != name)
    }

    // ---- sessions

    /// The upload of a note, if it is of this file and can be gone on with.
    pub fn session(&self, note: &[u8], place: Place<'_>, size: u64, mtime: Nanos) -> Option<u64> {
        let number = session_of(note)?;
        let session = self.sessions.get(&number)?;
        let age = (self.clock)() - session.began;
        let lives = self.abilities.session_life.is_none_or(|life| age < nanos(life));
        let same = *session.path == *place.path && *session.folder == *place.folder;
        (lives && same && session.size == size && session.mtime == mtime).then_some(number)
    }

    pub fn begin(&mut self, place: Place<'_>, size: u64, mtime: Nanos) -> u64 {
        let number = self.tree.count();
        let (path, folder) = (place.path.into(), place.folder.into());
        let bytes = Vec::with_capacity(PART as usize);
        let session = Session { path, folder, size, mtime, bytes, began: (self.clock)() };
        self.sessions.insert(number, session);
        number
    }
}

fn nanos(milliseconds: u64) -> Nanos {
    milliseconds as Nanos * 1_000_000
}

/// The number of the upload that a note is of.
pub fn session_of(note: &[u8]) -> Option<u64> {
    std::str::from_utf8(note).ok()?.strip_prefix("session ")?.parse().ok()
}

pub fn folder(parent: u64, name: &str) -> Node {
    Node {
        parent,
        name: name.into(),
        kind: ItemKind::Folder,
        bytes: Arc::new([]),
        hash: None,
        mtime: 0,
        version: 0,
        marked: true,
        special: None,
    }
}
