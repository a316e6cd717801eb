//! A service in memory that the engine is driven against: as strict as a service can be, and able
//! to fail where it is told to.

use mooring::content::Content;
use mooring::error::{Error, Kind, Result};
use mooring::http::Http;
use mooring::model::{ItemKind, Nanos, RemotePrint, Version, split_path};
use mooring::remote::{
    Descriptor, Download, Entry, Expect, Listing, Moves, NameRule, Place, Remote, Removal, Resume,
    Service, Settings, Written,
};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
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
    /// Calls of this "name path" always fail so.
    pub broken: Mutex<Option<(String, Kind)>>,
}

#[derive(Default)]
struct Inner {
    items: BTreeMap<String, Item>,
    next_version: u64,
    calls: Vec<String>,
    fault: Option<Fault>,
    etags: bool,
}

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
    bucket: None,
};

/// An object store that can't keep an empty folder.
pub static FORGETFUL: Descriptor = Descriptor { name: "forgetful", ..STORE_FACTS };

/// A drive: folders listed one by one, moved as a whole.
pub static DRIVE: Descriptor = DRIVE_FACTS;

const DRIVE_FACTS: Descriptor = Descriptor {
    name: "drive",
    label: "Drive in memory",
    fields: &[],
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
    bucket: None,
};

/// A drive whose folders' versions change with every change below them (Nextcloud).
pub static ETAGS: Descriptor = Descriptor { name: "etags", ..DRIVE_FACTS };

impl Memory {
    pub fn new(descriptor: &'static Descriptor) -> Arc<Memory> {
        let forgets_folders = descriptor.name == FORGETFUL.name;
        Arc::new(Memory {
            descriptor,
            forgets_folders,
            inner: Mutex::new(Inner { etags: descriptor.name == ETAGS.name, ..Inner::default() }),
            hook: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// As another client would write.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let mut inner = self.lock();
        let (folder, _) = split_path(path);
        inner.make_folders(folder, self.descriptor.folders_implied);
        let version = inner.version();
        let item = Item::File { bytes: bytes.into(), version, mtime: 1_600_000_000_000_000_000 };
        inner.items.insert(path.into(), item);
    }

    /// As another client would remove: a folder with everything in it.
    pub fn delete(&self, path: &str) {
        let below = format!("{path}/");
        self.lock().items.retain(|at, _| at != path && !at.starts_with(&below));
    }

    /// As another client would make an empty folder.
    pub fn make(&self, path: &str) {
        self.lock().make_folders(path, false);
    }

    /// Everything there: files with their content, folders with `None`.
    pub fn tree(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        let inner = self.lock();
        let mut tree = BTreeMap::new();
        for (path, item) in &inner.items {
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
            && *call == format!("{name} {path}")
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
            self.items.entry(folder.into()).or_insert(Item::Folder);
            folder = split_path(folder).0;
        }
    }

    fn entry(&self, path: &str) -> Option<Entry> {
        match self.items.get(path)? {
            Item::Folder => {
                let mut entry = folder_entry();
                if self.etags {
                    entry.print.version = self.subtree(path);
                }
                Some(entry)
            }
            Item::File { bytes, version, mtime } => Some(Entry::file(
                RemotePrint::file(
                    bytes.len() as u64,
                    Version::new(format!("{version:04x}")),
                    Some(*mtime),
                ),
                None,
            )),
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

fn folder_entry() -> Entry {
    Entry::folder("")
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
        let folder = folder.path;
        let lost = self.call("list", folder)?;
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let flat = self.descriptor.listing == Listing::Flat;
        let mut told: Vec<(String, Entry)> = Vec::new();
        {
            let inner = self.lock();
            for path in inner.items.keys() {
                let Some(rest) = path.strip_prefix(&below) else { continue };
                if flat || !rest.contains('/') {
                    told.extend(inner.entry(path).map(|entry| (rest.to_string(), entry)));
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
        let path = place.path;
        let lost = self.call("stat", path)?;
        let root = path.is_empty().then(|| {
            let mut entry = folder_entry();
            let inner = self.lock();
            if inner.etags {
                entry.print.version = inner.subtree("");
            }
            entry
        });
        reply(lost, root.or_else(|| self.lock().entry(path)))
    }

    fn read(&self, place: Place<'_>, version: &Version, from: u64) -> Result<Download> {
        let path = place.path;
        let lost = self.call("read", path)?;
        let inner = self.lock();
        let entry = inner.check(path, version)?;
        let Some(Item::File { bytes, .. }) = inner.items.get(path) else {
            return Err(Error::new(Kind::NotFound, path, "it is a folder"));
        };
        let mut bytes = bytes[from as usize..].to_vec();
        if lost {
            bytes.truncate(bytes.len() / 2);
        }
        let reader: Box<dyn Read + Send> = Box::new(Cursor::new(bytes));
        Ok(Download { reader, entry })
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        _: &dyn Resume,
    ) -> Result<Written> {
        let path = place.path;
        let lost = self.call("write", path)?;
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
        let version = inner.version();
        inner.items.insert(path.into(), Item::File { bytes, version, mtime });
        let entry = inner.entry(path).unwrap();
        reply(lost, entry.into())
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Entry> {
        let path = place.path;
        let lost = self.call("make_folder", path)?;
        if path.is_empty() || self.forgets_folders {
            return Ok(folder_entry());
        }
        let mut inner = self.lock();
        if !matches!(inner.items.get(path), Some(Item::Folder)) {
            inner.free(path, self.descriptor.folders_implied)?;
            inner.items.insert(path.into(), Item::Folder);
        }
        reply(lost, folder_entry())
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
        let (from, to) = (from.path, to.path);
        let lost = self.call("rename", from)?;
        let mut inner = self.lock();
        inner.check(from, version)?;
        inner.free(to, self.descriptor.folders_implied)?;
        let below = format!("{from}/");
        if kind == ItemKind::Folder {
            if to.starts_with(&below) {
                return Err(Error::new(Kind::BadName, to, "a folder can't be in itself"));
            }
            let inside: Vec<_> =
                inner.items.keys().filter(|path| path.starts_with(&below)).cloned().collect();
            for path in inside {
                let item = inner.items.remove(&path).unwrap();
                inner.items.insert(format!("{to}/{}", &path[below.len()..]), item);
            }
        }
        let item = inner.items.remove(from).unwrap();
        inner.items.insert(to.into(), item);
        let entry = inner.entry(to).unwrap();
        reply(lost, entry)
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let (from, to) = (from.path, to.path);
        let lost = self.call("copy", from)?;
        let mut inner = self.lock();
        inner.check(from, version)?;
        inner.free(to, self.descriptor.folders_implied)?;
        let mut item = inner.items[from].clone();
        let new = inner.version();
        if let Item::File { version, .. } = &mut item {
            *version = new;
        }
        inner.items.insert(to.into(), item);
        let entry = inner.entry(to).unwrap();
        reply(lost, entry)
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        for (index, item) in items.iter().enumerate() {
            let removed = self.call("remove", item.place.path).and_then(|lost| {
                let mut inner = self.lock();
                let below = format!("{}/", item.place.path);
                match (item.kind, inner.entry(item.place.path)) {
                    (_, None) => return reply(lost, ()),
                    (ItemKind::File, Some(_)) => {
                        inner.check(item.place.path, item.version)?;
                    }
                    (ItemKind::Folder, Some(_)) => {
                        if inner.items.keys().any(|path| path.starts_with(&below)) {
                            return Err(Error::new(
                                Kind::Exists,
                                item.place.path,
                                "it isn't empty",
                            ));
                        }
                    }
                }
                inner.items.remove(item.place.path);
                reply(lost, ())
            });
            done(index, removed);
        }
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
