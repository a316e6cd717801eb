//! A service in memory that the engine is driven against: as strict as a service can be, and able
//! to fail where it is told to.
//!
//! An item's key is its path; of several of one name, all but the eldest have a mark behind theirs.

use mooring::content::Content;
use mooring::error::{Error, Kind, Result};
use mooring::hash::{HashKind, HashSum};
use mooring::http::Http;
use mooring::model::{ItemKind, Nanos, RemotePrint, Version, split_path};
use mooring::remote::{
    Change, Descriptor, Download, Entry, Expect, Feed, Listing, Made, Moves, NameRule, Page, Place,
    Remote, Removal, Resume, Service, Settings, Spot, Written,
};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

/// Something to do at a call, which it is told.
pub type Hook = Box<dyn FnMut(&str) + Send>;

/// A remote folder in memory.
pub struct Memory {
    pub descriptor: &'static Descriptor,
    /// It drops the empty keys that stand for folders.
    pub forgets_folders: bool,
    inner: Mutex<Inner>,
    /// Called before every call is carried out, with its name and path.
    pub hook: Mutex<Option<Hook>>,
    /// Calls of this "name path", or of this name, always fail so.
    pub broken: Mutex<Option<(String, Kind)>>,
}

#[derive(Default)]
struct Inner {
    items: BTreeMap<String, Item>,
    next_version: u64,
    calls: Vec<String>,
    fault: Option<Fault>,
    etags: bool,
    ids: BTreeMap<String, String>,
    next_id: u64,
    journal: Vec<Happened>,
    /// Cursors from before this place in the journal aren't known any more.
    forgotten: usize,
    feed: Option<Manner>,
    root: Root,
    /// Told once, whatever is true.
    told: Vec<Change>,
    /// Changes are told in another order, and some twice.
    pub scramble: bool,
    /// Files are told with the hash of their content.
    hashes: bool,
    /// What was replaced, where that is kept.
    versions: Option<Vec<Vec<u8>>>,
    /// Writes of this path store something else than was sent, as often as this.
    garbled: Option<(String, usize)>,
    /// The file of this path is sent with bytes after it, without end.
    endless: Option<String>,
    sends_all: bool,
}

/// Something happened to an item: it came, changed or went.
#[derive(Clone)]
struct Happened {
    path: String,
    id: String,
    went: bool,
}

/// What became of the root.
#[derive(Clone, Copy, Default, PartialEq)]
enum Root {
    #[default]
    There,
    Gone,
    Another,
}

/// How a feed tells what changed.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// By ids, a folder standing for all that is in it (Google Drive).
    Ids,
    /// By paths, everything that is in a folder one by one (Dropbox).
    Paths,
}

/// Changes told at once.
const PAGE: usize = 3;
/// Where items are that aren't below the root.
const OUTSIDE: &str = "\u{2}";
/// What stands between a name and the number of the item that shares it.
const MARK: char = '\u{1}';

#[derive(Clone)]
enum Item {
    File { bytes: Vec<u8>, version: u64, mtime: Nanos },
    Folder,
}

/// What goes wrong, and when.
pub struct Fault {
    /// Calls that still go well.
    pub after: usize,
    /// What happens then.
    pub how: How,
}

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq)]
pub enum How {
    /// It isn't carried out.
    Refuse(Kind),
    /// It is carried out, but the reply is lost.
    LoseReply,
}

/// An object store: one flat listing, folders implied.
pub static STORE: Descriptor = STORE_FACTS;

const STORE_FACTS: Descriptor = Descriptor {
    name: "store",
    label: "Store in memory",
    fields: &[],
    providers: &[],
    task_fields: &[],
    sign_in: None,
    listing: Listing::Flat,
    folders_implied: true,
    moves: Moves::Files,
    folds_case: false,
    namesakes: false,
    keeps_mtime: true,
    hash: None,
    max_size: Some(1 << 40),
    max_path: 1024,
    names: NameRule::NONE,
    stored_bytes: None,
    bucket: None,
};

/// An object store that tells hashes.
pub static HASHING: Descriptor =
    Descriptor { name: "hashing", hash: Some(HashKind::Md5), ..STORE_FACTS };

/// An object store that keeps what is replaced as a version.
pub static VERSIONED: Descriptor = Descriptor { name: "versioned", ..STORE_FACTS };

/// An object store that can't keep an empty folder.
pub static FORGETFUL: Descriptor = Descriptor { name: "forgetful", ..STORE_FACTS };

/// A drive: folders listed one by one, moved as a whole.
pub static DRIVE: Descriptor = DRIVE_FACTS;

const DRIVE_FACTS: Descriptor = Descriptor {
    name: "drive",
    label: "Drive in memory",
    fields: &[],
    providers: &[],
    task_fields: &[],
    sign_in: None,
    listing: Listing::Folders,
    folders_implied: false,
    moves: Moves::Trees,
    folds_case: false,
    namesakes: false,
    keeps_mtime: false,
    hash: None,
    max_size: None,
    max_path: 2048,
    names: NameRule::NONE,
    stored_bytes: None,
    bucket: None,
};

/// A drive whose folders' versions change with every change below them (Nextcloud).
pub static ETAGS: Descriptor = Descriptor { name: "etags", ..DRIVE_FACTS };

/// A drive that knows its items by ids and tells what changed by them.
pub static IDS: Descriptor =
    Descriptor { name: "ids", namesakes: true, keeps_mtime: true, ..DRIVE_FACTS };

/// A drive that tells by path what changed.
pub static PATHS: Descriptor = Descriptor { name: "paths", keeps_mtime: true, ..DRIVE_FACTS };

impl Memory {
    pub fn new(descriptor: &'static Descriptor) -> Arc<Memory> {
        let forgets_folders = descriptor.name == FORGETFUL.name;
        Arc::new(Memory {
            descriptor,
            forgets_folders,
            inner: Mutex::new(Inner {
                etags: descriptor.name == ETAGS.name,
                hashes: descriptor.hash.is_some(),
                versions: (descriptor.name == VERSIONED.name).then(Vec::new),
                feed: match descriptor.name {
                    name if name == IDS.name => Some(Manner::Ids),
                    name if name == PATHS.name => Some(Manner::Paths),
                    _ => None,
                },
                ..Inner::default()
            }),
            hook: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// As another client would write: in September 2020, a second later each time.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let seconds = self.lock().next_version as Nanos;
        self.put_at(path, bytes, (1_600_000_000 + seconds) * 1_000_000_000);
    }

    /// The same with this time of modification.
    pub fn put_at(&self, path: &str, bytes: &[u8], mtime: Nanos) {
        let mut inner = self.lock();
        let (folder, _) = split_path(path);
        inner.make_folders(folder, self.descriptor.folders_implied);
        let version = inner.version();
        inner.insert(path, Item::File { bytes: bytes.into(), version, mtime });
    }

    /// The service alters a file's content by itself: the version stays, and no feed tells.
    pub fn alter(&self, path: &str, content: &[u8]) {
        match self.lock().items.get_mut(path) {
            Some(Item::File { bytes, .. }) => *bytes = content.into(),
            _ => panic!("{path} isn't a file"),
        }
    }

    /// The same, as another version.
    pub fn swap(&self, path: &str, content: &[u8]) {
        self.alter(path, content);
        let mut inner = self.lock();
        let new = inner.version();
        if let Some(Item::File { version, .. }) = inner.items.get_mut(path) {
            *version = new;
        }
    }

    /// The service loses an item by itself: no feed tells.
    pub fn forget(&self, path: &str) {
        let mut inner = self.lock();
        inner.items.remove(path).unwrap();
        inner.ids.remove(path);
    }

    /// The next writes of this path store something else than was sent, as often as this.
    pub fn garble(&self, path: &str, times: usize) {
        self.lock().garbled = Some((path.into(), times));
    }

    /// Has a file be sent with bytes after it, without end.
    pub fn send_without_end(&self, path: &str) {
        self.lock().endless = Some(path.into());
    }

    /// Has all of a file be sent that follows what was asked for, as some servers do.
    pub fn send_all(&self) {
        self.lock().sends_all = true;
    }

    /// The contents that were replaced, where they are kept.
    pub fn versions(&self) -> Vec<Vec<u8>> {
        self.lock().versions.clone().unwrap_or_default()
    }

    /// As another client would put another file of a name that is taken.
    pub fn put_namesake(&self, path: &str, bytes: &[u8]) {
        let free = (2..).map(|number| format!("{path}{MARK}{number}"));
        let taken = |key: &String| self.lock().items.contains_key(key);
        self.put(&free.into_iter().find(|key| !taken(key)).unwrap(), bytes);
    }

    /// As another client would rename or move an item, with everything in it, to a free path.
    pub fn relocate(&self, from: &str, to: &str) {
        let mut inner = self.lock();
        inner.make_folders(split_path(to).0, self.descriptor.folders_implied);
        inner.relocate(from, to);
    }

    /// As another client would move an item out of the root; tells where it can be got back from.
    pub fn take_out(&self, path: &str) -> String {
        let mut inner = self.lock();
        let away = format!("{OUTSIDE}/{}", inner.version());
        inner.relocate(path, &away);
        away
    }

    /// Forgets what happened: who asks by an older cursor has to look at everything.
    pub fn forget_cursors(&self) {
        let mut inner = self.lock();
        inner.forgotten = inner.journal.len() + 1;
        inner.record("", false);
    }

    /// Another folder, which is empty, takes the root's place.
    pub fn replace_root(&self) {
        let mut inner = self.lock();
        inner.items.clear();
        inner.root = Root::Another;
    }

    /// The root goes, with everything in it.
    pub fn lose_root(&self) {
        let mut inner = self.lock();
        inner.items.clear();
        inner.root = Root::Gone;
        let gone = match inner.feed {
            Some(Manner::Ids) => Change::GoneId("root".into()),
            _ => Change::GonePath(String::new()),
        };
        inner.told.push(gone);
    }

    /// Tells of items that aren't below the root, and of some that nobody knows.
    pub fn tell_of_elsewhere(&self) {
        let mut inner = self.lock();
        let spot = |folder: &str| Spot::Child { folder: folder.into(), name: "x".into() };
        let mut file = RemotePrint::file(1, Version::new("v"), None);
        file.id = "file elsewhere".into();
        inner.told.extend([
            Change::There { spot: spot("nowhere"), entry: Entry::file(file, None) },
            Change::There { spot: spot("far away"), entry: Entry::folder("folder elsewhere") },
            Change::GoneId("never heard of".into()),
        ]);
    }

    /// Tells of a folder that it is in one that is in it.
    pub fn tell_of_a_circle(&self, outer: &str, inner_path: &str) {
        let mut inner = self.lock();
        let folder = inner.id(inner_path).into();
        let spot = Spot::Child { folder, name: outer.into() };
        let entry = inner.entry(outer).unwrap();
        inner.told.push(Change::There { spot, entry });
    }

    /// Tells this once, whatever is true.
    pub fn tell(&self, change: Change) {
        self.lock().told.push(change);
    }

    /// How much has happened.
    pub fn mark(&self) -> usize {
        self.lock().journal.len()
    }

    /// Instead of what happened since `mark`, tells of these items, in this order.
    pub fn tell_instead(&self, mark: usize, paths: &[&str]) {
        let mut inner = self.lock();
        inner.journal.truncate(mark);
        for path in paths {
            inner.record(path, false);
        }
    }

    /// What the service calls an item.
    pub fn id_of(&self, path: &str) -> Box<str> {
        self.lock().id(path).into()
    }

    /// From now on, changes are told in another order and some of them twice.
    pub fn scramble(&self) {
        self.lock().scramble = true;
    }

    /// As another client would remove: a folder with everything in it.
    pub fn delete(&self, path: &str) {
        self.lock().remove(path);
    }

    /// As another client would make an empty folder.
    pub fn make(&self, path: &str) {
        self.lock().make_folders(path, false);
    }

    /// Everything there: files with their content, folders with `None`.
    pub fn tree(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        let inner = self.lock();
        let mut tree = BTreeMap::new();
        for (path, item) in inner.items.iter().filter(|(path, _)| !is_outside(path)) {
            let mut folder = split_path(path).0;
            while !folder.is_empty() {
                tree.insert(folder.to_string(), None);
                folder = split_path(folder).0;
            }
            let content = match item {
                Item::File { bytes, .. } => Some(bytes.clone()),
                Item::Folder => None,
            };
            tree.insert(path.clone(), content);
        }
        tree
    }

    /// The calls since the last time, by name and path.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }

    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Counts a call; tells whether its reply gets lost.
    fn call(&self, name: &str, path: &str) -> Result<bool> {
        if let Some(hook) = &mut *self.hook.lock().unwrap() {
            hook(&format!("{name} {path}"));
        }
        if let Some((call, kind)) = &*self.broken.lock().unwrap()
            && (*call == format!("{name} {path}") || call == name)
        {
            self.lock().calls.push(format!("{name} {path}"));
            return Err(Error::new(*kind, format!("{name} {path}"), "it is broken"));
        }
        let mut inner = self.lock();
        inner.calls.push(format!("{name} {path}"));
        let Some(fault) = &mut inner.fault else { return Ok(false) };
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(false);
        }
        let how = fault.how;
        inner.fault = None;
        match how {
            How::Refuse(kind) => Err(Error::new(kind, format!("{name} {path}"), "a fault")),
            How::LoseReply => Ok(true),
        }
    }
}

fn is_outside(path: &str) -> bool {
    path.starts_with(OUTSIDE)
}

fn reply<T>(lost: bool, value: T) -> Result<T> {
    if lost { Err(Error::new(Kind::Offline, "the call", "its reply was lost")) } else { Ok(value) }
}

impl Inner {
    fn version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    fn make_folders(&mut self, path: &str, implied: bool) {
        let mut folder = path;
        while !folder.is_empty() && !implied {
            if !self.items.contains_key(folder) {
                self.insert(folder, Item::Folder);
            }
            folder = split_path(folder).0;
        }
    }

    fn insert(&mut self, path: &str, item: Item) {
        if !self.ids.contains_key(path) && self.feed.is_some() {
            self.next_id += 1;
            self.ids.insert(path.into(), format!("id{}", self.next_id));
        }
        self.items.insert(path.into(), item);
        self.record(path, false);
    }

    fn remove(&mut self, path: &str) {
        self.record(path, true);
        let below = format!("{path}/");
        self.items.retain(|at, _| at != path && !at.starts_with(&below));
        self.ids.retain(|at, _| at != path && !at.starts_with(&below));
    }

    fn relocate(&mut self, from: &str, to: &str) {
        // Some tell first where it came, some where it went.
        if !self.scramble {
            self.record(from, true);
        }
        let below = format!("{from}/");
        let inside = self.items.keys().filter(|path| *path == from || path.starts_with(&below));
        for path in inside.cloned().collect::<Vec<_>>() {
            let new = format!("{to}{}", &path[from.len()..]);
            let id = self.ids.remove(&path);
            self.ids.extend(id.map(|id| (new.clone(), id)));
            let item = self.items.remove(&path).unwrap();
            self.items.insert(new.clone(), item);
            if self.feed == Some(Manner::Paths) {
                self.record(&new, false);
            }
        }
        self.record(to, false);
        if self.scramble {
            self.record(from, true);
        }
    }

    fn record(&mut self, path: &str, went: bool) {
        // Of what isn't below the root, paths tell nothing.
        if self.feed == Some(Manner::Ids) || (self.feed.is_some() && !is_outside(path)) {
            self.journal.push(Happened { path: path.into(), id: self.id(path), went });
        }
    }

    fn id(&self, path: &str) -> String {
        match self.feed {
            Some(_) if path.is_empty() && self.root == Root::Another => "another root".into(),
            Some(_) if path.is_empty() => "root".into(),
            _ => self.ids.get(path).cloned().unwrap_or_default(),
        }
    }

    fn path_of(&self, id: &str) -> Option<String> {
        if id == "root" {
            return Some(String::new());
        }
        self.ids.iter().find(|(_, known)| *known == id).map(|(path, _)| path.clone())
    }

    /// Where an item is, or is to be, by ids if that is how items are known.
    fn resolve(&self, place: Place<'_>) -> Option<String> {
        if self.feed != Some(Manner::Ids) {
            return Some(place.path.into());
        }
        if !place.id.is_empty() {
            let path = self.path_of(place.id)?;
            let folder = self.id(split_path(&path).0);
            let there = folder == place.folder || (folder == "root" && place.folder.is_empty());
            // A folder's own folder isn't told when it is listed.
            return (there || place.folder.is_empty()).then_some(path);
        }
        let (parents, name) = split_path(place.path);
        assert!(parents.is_empty() || !place.folder.is_empty(), "{place:?} lacks its folder");
        let folder =
            if place.folder.is_empty() { String::new() } else { self.path_of(place.folder)? };
        Some(if folder.is_empty() { name.into() } else { format!("{folder}/{name}") })
    }

    fn change(&self, happened: &Happened) -> Option<Change> {
        let Happened { path, id, went } = happened;
        let entry = |path: &str| self.entry(path).unwrap();
        Some(match self.feed? {
            Manner::Ids if id.is_empty() => return None,
            Manner::Ids => match self.path_of(id) {
                Some(path) if path.is_empty() => return None,
                Some(path) => {
                    let (folder, name) = split_path(&path);
                    let name = name.split(MARK).next().unwrap().to_string();
                    let folder = match folder {
                        OUTSIDE => "elsewhere".into(),
                        folder => self.id(folder).into(),
                    };
                    Change::There { spot: Spot::Child { folder, name }, entry: entry(&path) }
                }
                None => Change::GoneId(id.as_str().into()),
            },
            Manner::Paths if path.is_empty() => return None,
            Manner::Paths if *went || !self.items.contains_key(path) => {
                Change::GonePath(path.clone())
            }
            Manner::Paths => Change::There { spot: Spot::Path(path.clone()), entry: entry(path) },
        })
    }

    fn entry(&self, path: &str) -> Option<Entry> {
        match self.items.get(path)? {
            Item::Folder => {
                let mut entry = Entry::folder(self.id(path));
                if self.etags {
                    entry.print.version = self.subtree(path);
                }
                Some(entry)
            }
            Item::File { bytes, version, mtime } => {
                let version = Version::new(format!("{version:04x}"));
                let mut print = RemotePrint::file(bytes.len() as u64, version, Some(*mtime));
                print.id = self.id(path).into();
                let hash = self.hashes.then(|| {
                    let mut sum = HashSum::new(HashKind::Md5);
                    sum.update(bytes);
                    sum.finish()
                });
                Some(Entry::file(print, hash))
            }
        }
    }

    fn subtree(&self, path: &str) -> Version {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut hasher = DefaultHasher::new();
        for (at, item) in self.items.iter().filter(|(at, _)| at.starts_with(&below)) {
            at.hash(&mut hasher);
            if let Item::File { version, .. } = item {
                version.hash(&mut hasher);
            }
        }
        Version::new(format!("{:016x}", hasher.finish()))
    }

    fn check(&self, path: &str, version: &Version) -> Result<Entry> {
        match self.entry(path) {
            None => Err(Error::new(Kind::NotFound, path, "it isn't there")),
            Some(entry) if entry.kind == ItemKind::File && entry.print.version != *version => {
                Err(Error::new(Kind::Changed, path, "it is of another version"))
            }
            Some(entry) => Ok(entry),
        }
    }

    fn free(&self, path: &str, implied: bool) -> Result<()> {
        let (folder, _) = split_path(path);
        if !implied && !folder.is_empty() && !self.items.contains_key(folder) {
            return Err(Error::new(Kind::NotFound, folder, "the folder isn't there"));
        }
        match self.items.get(path) {
            Some(_) => Err(Error::new(Kind::Exists, path, "it is there")),
            None => Ok(()),
        }
    }
}

impl Remote for Memory {
    fn test(&self) -> Result<()> {
        Ok(())
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let lost = self.call("list", folder.path)?;
        let folder = self.find(folder)?;
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let flat = self.descriptor.listing == Listing::Flat;
        let mut told: Vec<(String, Entry)> = Vec::new();
        {
            let inner = self.lock();
            for path in inner.items.keys() {
                let Some(rest) = path.strip_prefix(&below) else { continue };
                if flat || !rest.contains('/') {
                    let name = rest.split(MARK).next().unwrap().to_string();
                    told.extend(inner.entry(path).map(|entry| (name, entry)));
                }
            }
        }
        told.sort_by_key(|(path, entry)| match entry.kind {
            ItemKind::File => path.clone(),
            ItemKind::Folder => format!("{path}/"),
        });
        // A listing whose end got lost tells its beginning.
        let count = if lost { told.len() / 2 } else { told.len() };
        for (path, entry) in told.drain(..count) {
            each(&path, entry)?;
        }
        reply(lost, ())
    }

    fn stat(&self, place: Place<'_>, _: ItemKind) -> Result<Option<Entry>> {
        let lost = self.call("stat", place.path)?;
        let root = place.path.is_empty().then(|| {
            let inner = self.lock();
            let mut entry = Entry::folder(inner.id(""));
            if inner.etags {
                entry.print.version = inner.subtree("");
            }
            entry
        });
        let inner = self.lock();
        let root = root.filter(|_| inner.root != Root::Gone);
        reply(lost, root.or_else(|| inner.entry(&inner.resolve(place)?)))
    }

    fn read(&self, place: Place<'_>, version: &Version, range: Range<u64>) -> Result<Download> {
        let lost = self.call("read", place.path)?;
        let path = &*self.find(place)?;
        let inner = self.lock();
        let entry = inner.check(path, version)?;
        let Some(Item::File { bytes, .. }) = inner.items.get(path) else {
            return Err(Error::new(Kind::NotFound, path, "it is a folder"));
        };
        let end = if inner.sends_all { u64::MAX } else { range.end }.min(bytes.len() as u64);
        let mut bytes = bytes[range.start as usize..end as usize].to_vec();
        if lost {
            bytes.truncate(bytes.len() / 2);
        }
        let more = if inner.endless.as_deref() == Some(path) { u64::MAX } else { 0 };
        let more = std::io::repeat(0).take(more);
        let reader: Box<dyn Read + Send> = Box::new(Cursor::new(bytes).chain(more));
        Ok(Download { reader, end, entry })
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        _: &dyn Resume,
    ) -> Result<Written> {
        let lost = self.call("write", place.path)?;
        let path = &*self.find(place)?;
        let mut bytes = Vec::new();
        mooring::content::Slice::whole(content)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::new(Kind::Changed, path, error))?;
        content.unchanged()?;
        let mut inner = self.lock();
        match expect {
            Expect::Absent => inner.free(path, self.descriptor.folders_implied)?,
            Expect::Version(version) => inner.check(path, version).map(|_| ())?,
        }
        if let Some((garbled, times)) = &mut inner.garbled
            && garbled == path
            && *times > 0
            && let Some(byte) = bytes.first_mut()
        {
            *times -= 1;
            *byte = !*byte;
        }
        if let Some(Item::File { bytes, .. }) = inner.items.get(path).cloned()
            && let Some(versions) = &mut inner.versions
        {
            versions.push(bytes);
        }
        let version = inner.version();
        inner.insert(path, Item::File { bytes, version, mtime });
        let entry = inner.entry(path).unwrap();
        reply(lost, entry.into())
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let lost = self.call("make_folder", place.path)?;
        if place.path.is_empty() || self.forgets_folders {
            return Ok(Made::or_found(Entry::folder(self.lock().id(""))));
        }
        let path = &*self.find(place)?;
        let mut inner = self.lock();
        let is_new = !matches!(inner.items.get(path), Some(Item::Folder));
        if is_new {
            inner.free(path, self.descriptor.folders_implied)?;
            inner.insert(path, Item::Folder);
        }
        let entry = inner.entry(path).unwrap();
        reply(lost, Made { entry, is_new })
    }

    fn keeps_folders(&self) -> bool {
        !self.forgets_folders
    }

    fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry> {
        let lost = self.call("rename", from.path)?;
        let (from, to) = (&*self.find(from)?, &*self.find(to)?);
        let mut inner = self.lock();
        inner.check(from, version)?;
        inner.free(to, self.descriptor.folders_implied)?;
        if kind == ItemKind::Folder && to.starts_with(&format!("{from}/")) {
            return Err(Error::new(Kind::BadName, to, "a folder can't be in itself"));
        }
        inner.relocate(from, to);
        let entry = inner.entry(to).unwrap();
        reply(lost, entry)
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let lost = self.call("copy", from.path)?;
        let (from, to) = (&*self.find(from)?, &*self.find(to)?);
        let mut inner = self.lock();
        inner.check(from, version)?;
        inner.free(to, self.descriptor.folders_implied)?;
        let mut item = inner.items[from].clone();
        let new = inner.version();
        if let Item::File { version, .. } = &mut item {
            *version = new;
        }
        inner.insert(to, item);
        let entry = inner.entry(to).unwrap();
        reply(lost, entry)
    }

    fn keeps_version(&self, place: Place<'_>, _: &Version) -> Result<bool> {
        let lost = self.call("keeps_version", place.path)?;
        reply(lost, self.lock().versions.is_some())
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        for (index, item) in items.iter().enumerate() {
            let removed = self.call("remove", item.place.path).and_then(|lost| {
                let mut inner = self.lock();
                let Some(path) = inner.resolve(item.place) else { return reply(lost, ()) };
                let below = format!("{path}/");
                match (item.kind, inner.entry(&path)) {
                    (_, None) => return reply(lost, ()),
                    // What was to be removed is gone: something else took its name.
                    (kind, Some(entry)) if entry.kind != kind => return reply(lost, ()),
                    (ItemKind::File, Some(_)) => {
                        inner.check(&path, item.version)?;
                    }
                    (ItemKind::Folder, Some(_)) => {
                        if inner.items.keys().any(|path| path.starts_with(&below)) {
                            return Err(Error::new(Kind::Exists, path, "it isn't empty"));
                        }
                    }
                }
                inner.remove(&path);
                reply(lost, ())
            });
            done(index, removed);
        }
    }

    fn feed(&self) -> Option<&dyn Feed> {
        self.lock().feed.map(|_| self as &dyn Feed)
    }
}

impl Memory {
    fn find(&self, place: Place<'_>) -> Result<String> {
        let gone = || Error::new(Kind::NotFound, place.path, "there is nothing of this id");
        self.lock().resolve(place).ok_or_else(gone)
    }
}

impl Feed for Memory {
    fn now(&self) -> Result<String> {
        let lost = self.call("now", "")?;
        reply(lost, self.lock().journal.len().to_string())
    }

    fn tells_all(&self) -> bool {
        self.lock().feed == Some(Manner::Paths)
    }

    fn changes(
        &self,
        cursor: Option<&str>,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Page> {
        let lost = self.call("changes", "")?;
        let mut told = Vec::new();
        let page = {
            let inner = self.lock();
            let from = match cursor {
                Some(cursor) => cursor.parse().unwrap(),
                None => {
                    let there = |path: &String| Happened {
                        path: path.clone(),
                        id: String::new(),
                        went: false,
                    };
                    told.extend(inner.items.keys().filter(|path| !is_outside(path)).map(there));
                    inner.journal.len()
                }
            };
            if cursor.is_some() && from < inner.forgotten {
                return Err(Error::new(Kind::NotFound, "the cursor", "it isn't known any more"));
            }
            let end = inner.journal.len().min(from + PAGE);
            told.extend_from_slice(&inner.journal[from..end]);
            if inner.scramble {
                // Of paths, the order means something.
                if inner.feed == Some(Manner::Ids) {
                    told.reverse();
                }
                told.extend(told.clone());
            }
            Page { cursor: end.to_string(), more: end < inner.journal.len() }
        };
        let happened = told.iter().filter_map(|told| self.lock().change(told));
        let changes: Vec<_> = happened.collect();
        let made_up = std::mem::take(&mut self.lock().told);
        changes.into_iter().chain(made_up).try_for_each(each)?;
        reply(lost, page)
    }
}

/// A service that opens one [`Memory`].
pub struct MemoryService(pub Arc<Memory>);

impl Service for MemoryService {
    fn descriptor(&self) -> &'static Descriptor {
        self.0.descriptor
    }

    fn open(&self, _: &Settings, _: Http, _: &str) -> Result<Arc<dyn Remote>> {
        Ok(self.0.clone())
    }
}
