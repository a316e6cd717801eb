//! A disk in memory, whose power can fail.
//!
//! Names become durable in the order in which they were given, as a journalling file system has
//! it, and only surely so when a folder is synced; bytes that Mooring writes, when their file is.
//! What a person's programs write is on the disk at once: losing that is between them and the
//! disk.

use super::clock::Time;
use mooring::clock::Clock;
use mooring::error::Result;
use mooring::local::{DiskEntry, Folder, Found, OpenFile, RootId, Space, Volume};
use mooring::model::{LocalPrint, Nanos};
use nix::Error as Errno;
use nix::Result as Answer;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What a file holds.
pub type Bytes = Arc<[u8]>;
/// Files with their content, folders with `None` and a `/` at the end of their path.
pub type Tree = BTreeMap<String, Option<Bytes>>;

/// Called before every call that Mooring makes, with its name and what it is about. May change
/// the disk, where the call leaves room for somebody else, and may make the call fail.
pub type Hook = Box<dyn FnMut(&str, &str) -> Answer<()> + Send>;

type Id = usize;

/// What is in the place of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    Nothing,
    /// Another folder with nothing in it.
    Empty,
    /// Another folder with something in it.
    Filled,
}

/// What is neither file nor folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    Link,
    Pipe,
}

/// What kind of file system it is.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Whether a file can have two names.
    pub links: bool,
    /// How finely it keeps times.
    pub tick: Nanos,
    /// Whether the number of a file that is gone is given to the next one.
    pub reuses_inodes: bool,
}

/// A disk. Clones are the same one.
#[derive(Clone)]
pub struct SimDisk(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    hook: Mutex<Option<Hook>>,
    time: Time,
    format: Format,
}

struct Inner {
    names: Names,
    /// What the names were after each change that isn't durable yet, the durable ones first, and
    /// whether a person made the change.
    past: Vec<(Names, bool)>,
    files: Vec<Node>,
    /// Reported numbers that are free again.
    free: BTreeSet<u64>,
    next_inode: u64,
    /// What is in the root's place: another folder, or none.
    stand_in: Option<Option<Id>>,
    /// Counts how often it was mounted: what was opened before can't be used any more.
    mounts: u32,
    powered: bool,
    /// Bytes that still fit.
    room: Option<u64>,
    /// Contents of files that Mooring removed for good though there was room for them.
    erased: Vec<Bytes>,
}

/// Folders and what is in them.
type Names = BTreeMap<Id, BTreeMap<String, Id>>;

struct Node {
    inode: u64,
    folder: bool,
    odd: Option<Odd>,
    bytes: Bytes,
    durable: Bytes,
    mtime: Nanos,
    ctime: Nanos,
    /// Nobody may list it, or read it.
    closed: bool,
    /// A program has it open to write to it.
    in_use: bool,
}

const ROOT: Id = 0;
/// The folder that is there while the volume isn't mounted.
const BENEATH: Id = 1;
/// Other folders on the same file system.
const EMPTY: Id = 2;
const FILLED: Id = 3;

impl SimDisk {
    pub fn new(time: Time, format: Format) -> SimDisk {
        let mut inner = Inner {
            names: Names::new(),
            past: Vec::new(),
            files: Vec::new(),
            free: BTreeSet::new(),
            next_inode: 2,
            stand_in: None,
            mounts: 0,
            powered: true,
            room: None,
            erased: Vec::new(),
        };
        for _ in [ROOT, BENEATH, EMPTY, FILLED] {
            let root = inner.node(true, 0);
            inner.names.insert(root, BTreeMap::new());
        }
        let other = inner.add(FILLED, "z", false, 0);
        inner.files[other].bytes = (*b"another").into();
        inner.past.push((inner.names.clone(), false));
        SimDisk(Arc::new(Shared { inner: Mutex::new(inner), hook: Mutex::default(), time, format }))
    }

    pub fn set_hook(&self, hook: Option<Hook>) {
        *lock(&self.0.hook) = hook;
    }

    // ---- what a person does

    /// Writes a file in place, or makes it, with the folders it is in. Tells whether that worked.
    pub fn write(&self, path: &str, bytes: &Bytes) -> bool {
        let now = self.0.now();
        self.0.change(true, |inner| {
            let (folder, name) = inner.make_parent(path, now)?;
            let known = inner.names[&folder].get(name).copied();
            let file = match known {
                Some(file) if inner.files[file].folder || inner.files[file].odd.is_some() => {
                    return None;
                }
                Some(file) => file,
                None => inner.add(folder, name, false, now),
            };
            let node = &mut inner.files[file];
            (node.bytes, node.durable) = (bytes.clone(), bytes.clone());
            (node.mtime, node.ctime) = (now, now);
            Some(())
        })
    }

    /// Writes a file anew and renames it over the old one, as editors do.
    pub fn save(&self, path: &str, bytes: &Bytes) -> bool {
        let now = self.0.now();
        self.0.change(true, |inner| {
            let (folder, name) = inner.make_parent(path, now)?;
            if inner.names[&folder].get(name).is_some_and(|file| inner.files[*file].folder) {
                return None;
            }
            let file = inner.add(folder, name, false, now);
            let node = &mut inner.files[file];
            (node.bytes, node.durable) = (bytes.clone(), bytes.clone());
            Some(())
        })
    }

    pub fn make_folder(&self, path: &str) -> bool {
        let now = self.0.now();
        self.0.change(true, |inner| {
            let (folder, name) = inner.make_parent(path, now)?;
            let free = !inner.names[&folder].contains_key(name);
            free.then(|| inner.add(folder, name, true, now)).map(drop)
        })
    }

    /// Makes a link or a pipe, with the folders it is in.
    pub fn make_odd(&self, path: &str, odd: Odd) -> bool {
        let now = self.0.now();
        self.0.change(true, |inner| {
            let (folder, name) = inner.make_parent(path, now)?;
            if inner.names[&folder].contains_key(name) {
                return None;
            }
            let item = inner.add(folder, name, false, now);
            inner.files[item].odd = Some(odd);
            Some(())
        })
    }

    /// Gives a file a second name that is free, in a folder that is there.
    pub fn link(&self, from: &str, to: &str) -> bool {
        let now = self.0.now();
        let links = self.0.format.links;
        self.0.change(true, |inner| {
            let item = inner.find(from).filter(|item| links && !inner.files[*item].folder)?;
            let (folder, name) = inner.parent(to)?;
            if inner.names[&folder].contains_key(name) {
                return None;
            }
            inner.names.get_mut(&folder)?.insert(name.into(), item);
            inner.files[item].ctime = now;
            Some(())
        })
    }

    /// Renames or moves to a name that is free, in a folder that is there.
    pub fn rename(&self, from: &str, to: &str) -> bool {
        let now = self.0.now();
        if to == from || to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
            return false;
        }
        self.0.change(true, |inner| {
            let (old, old_name) = inner.parent(from)?;
            let (new, new_name) = inner.parent(to)?;
            if inner.names[&new].contains_key(new_name) {
                return None;
            }
            let item = inner.names.get_mut(&old)?.remove(old_name)?;
            inner.names.get_mut(&new)?.insert(new_name.into(), item);
            inner.files[item].ctime = now;
            Some(())
        })
    }

    /// Exchanges two items, neither of which is in the other.
    pub fn swap(&self, one: &str, two: &str) -> bool {
        let inside = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
        if one == two || inside(one, two) || inside(two, one) {
            return false;
        }
        let now = self.0.now();
        self.0.change(true, |inner| {
            let (first, first_name) = inner.parent(one)?;
            let (second, second_name) = inner.parent(two)?;
            let a = *inner.names[&first].get(first_name)?;
            let b = *inner.names[&second].get(second_name)?;
            inner.names.get_mut(&first)?.insert(first_name.into(), b);
            inner.names.get_mut(&second)?.insert(second_name.into(), a);
            (inner.files[a].ctime, inner.files[b].ctime) = (now, now);
            Some(())
        })
    }

    /// Removes a file, or a folder with everything in it.
    pub fn remove(&self, path: &str) -> bool {
        self.0.change(true, |inner| {
            let (folder, name) = inner.parent(path)?;
            let item = inner.names.get_mut(&folder)?.remove(name)?;
            inner.drop_tree(item, self.0.format.reuses_inodes);
            Some(())
        })
    }

    /// Changes a file's times, or only its attributes.
    pub fn touch(&self, path: &str, mtime: Option<Nanos>) -> bool {
        let now = self.0.now();
        self.0.change(true, |inner| {
            let item = inner.find(path)?;
            let node = &mut inner.files[item];
            node.mtime = mtime.unwrap_or(node.mtime);
            node.ctime = now;
            Some(())
        })
    }

    /// Takes away or gives back the right to read an item.
    pub fn close(&self, path: &str, closed: bool) -> bool {
        self.0.change(true, |inner| {
            let item = inner.find(path)?;
            inner.files[item].closed = closed;
            Some(())
        })
    }

    /// Gives back the right to read everything, and closes what programs have open.
    pub fn open_all(&self) {
        for node in &mut self.0.lock().files {
            (node.closed, node.in_use) = (false, false);
        }
    }

    /// A program opens a file to write to it, or closes it.
    pub fn use_file(&self, path: &str, in_use: bool) -> bool {
        self.0.change(true, |inner| {
            let item = inner.find(path)?;
            inner.files[item].in_use = in_use && !inner.files[item].folder;
            Some(())
        })
    }

    /// Mounts the volume, or unmounts it whatever is open on it.
    pub fn mount(&self, mounted: bool) {
        self.put_instead((!mounted).then_some(Some(BENEATH)));
    }

    /// Puts something in the root's place.
    pub fn replace_root(&self, instead: Instead) {
        self.put_instead(Some(match instead {
            Instead::Nothing => None,
            Instead::Empty => Some(EMPTY),
            Instead::Filled => Some(FILLED),
        }));
    }

    fn put_instead(&self, stand_in: Option<Option<Id>>) {
        let mut inner = self.0.lock();
        inner.stand_in = stand_in;
        inner.mounts += 1;
    }

    /// The root is in its place.
    pub fn is_mounted(&self) -> bool {
        self.0.lock().stand_in.is_none()
    }

    /// Whether the folders that are put in the root's place are as they were made.
    pub fn stand_ins_are_untouched(&self) -> bool {
        let inner = self.0.lock();
        let count = |folder| inner.names[&folder].len();
        (count(BENEATH), count(EMPTY), count(FILLED)) == (0, 0, 1)
    }

    /// The names of all links and pipes.
    pub fn odd_names(&self) -> Vec<String> {
        let inner = self.0.lock();
        let all = inner.names.values().flatten();
        let odd = all.filter(|(_, item)| inner.files[**item].odd.is_some());
        odd.map(|(name, _)| name.clone()).collect()
    }

    /// Leaves room for so many bytes; `None` for as many as anybody writes.
    pub fn set_room(&self, room: Option<u64>) {
        self.0.lock().room = room;
    }

    /// Everything, Mooring's own work folder apart.
    pub fn tree(&self) -> Tree {
        let inner = self.0.lock();
        let mut tree = Tree::new();
        inner.tell(ROOT, "", &mut tree);
        tree
    }

    /// The names in Mooring's work folder, the one of removed files apart; `None` when there is no
    /// such folder, or only that in it.
    pub fn work_folder(&self) -> Option<Vec<String>> {
        let inner = self.0.lock();
        let names = inner.names.get(inner.names[&ROOT].get(WORK_FOLDER)?)?;
        let of_task = names.get(TASK_FOLDER).and_then(|folder| inner.names.get(folder));
        let names = of_task.unwrap_or(names);
        let others = names.keys().filter(|name| *name != RECYCLE_FOLDER);
        let others: Vec<String> = others.cloned().collect();
        (names.is_empty() || !others.is_empty()).then_some(others)
    }

    /// The files that Mooring removed and keeps.
    #[allow(dead_code, reason = "the other tests use it")]
    pub fn recycled(&self) -> Tree {
        let inner = self.0.lock();
        let mut tree = Tree::new();
        if let Some(area) = inner.find(&format!("{WORK_FOLDER}/{TASK_FOLDER}/{RECYCLE_FOLDER}")) {
            inner.tell(area, "", &mut tree);
        }
        tree
    }

    /// A content that Mooring removed for good.
    pub fn erased(&self) -> Option<Bytes> {
        self.0.lock().erased.first().cloned()
    }

    // ---- the power

    /// From now on every call fails.
    pub fn power_off(&self) {
        self.0.lock().powered = false;
    }

    /// Starts again. After a power cut only what was durable is there, and of what wasn't as much
    /// as the disk chose to write, which `chance` tells; after a kill, everything. Tells the
    /// contents that a person had written and that went with their names.
    pub fn power_on(&self, cut: bool, chance: &mut dyn FnMut(u64) -> u64) -> Vec<Bytes> {
        let mut inner = self.0.lock();
        inner.powered = true;
        inner.mounts += 1;
        inner.files.iter_mut().for_each(|node| node.in_use = false);
        if !cut {
            return Vec::new();
        }
        let before = inner.contents();
        let kept = chance(inner.past.len() as u64) as usize;
        let by_person = inner.past[kept + 1..].iter().any(|(_, person)| *person);
        inner.names = inner.past[kept].0.clone();
        let used: BTreeSet<u64> = inner.numbers().collect();
        inner.free.retain(|inode| !used.contains(inode));
        for node in inner.files.iter_mut().filter(|node| node.bytes != node.durable) {
            node.bytes = match chance(3) {
                0 => node.durable.clone(),
                1 => vec![0; node.bytes.len()].into(),
                _ => node.bytes[..chance(node.bytes.len() as u64 + 1) as usize].into(),
            };
            node.durable = node.bytes.clone();
        }
        inner.past = vec![(inner.names.clone(), false)];
        let after = inner.contents();
        if by_person { before.difference(&after).cloned().collect() } else { Vec::new() }
    }
}

/// Mooring's own folder in a local root.
const WORK_FOLDER: &str = ".mooring";
/// The folder in it of the task with the id 1.
const TASK_FOLDER: &str = "1";
/// The folder in that of removed files.
const RECYCLE_FOLDER: &str = "removed";
/// Bytes of the whole disk.
const TOTAL: u64 = 10_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// The time as the file system keeps it.
    fn now(&self) -> Nanos {
        let now = self.time.now();
        now - now.rem_euclid(self.format.tick)
    }

    fn change(&self, person: bool, work: impl FnOnce(&mut Inner) -> Option<()>) -> bool {
        let mut inner = self.lock();
        let done = inner.stand_in.is_none() && work(&mut inner).is_some();
        if done {
            inner.note(person);
        }
        done
    }

    /// Lets others have their turn, and answers whether the call may go on.
    fn turn(&self, call: &str, about: &str) -> Answer<()> {
        self.time.pass();
        // Taken out, as what it does may be a call itself.
        let hook = lock(&self.hook).take();
        let result = match hook {
            Some(mut hook) => {
                let result = hook(call, about);
                let mut place = lock(&self.hook);
                if place.is_none() {
                    *place = Some(hook);
                }
                result
            }
            None => Ok(()),
        };
        if self.lock().powered { result } else { Err(Errno::EIO) }
    }
}

impl Inner {
    fn node(&mut self, folder: bool, now: Nanos) -> Id {
        let inode = self.free.pop_first().unwrap_or_else(|| {
            self.next_inode += 1;
            self.next_inode
        });
        self.files.push(Node {
            inode,
            folder,
            odd: None,
            bytes: [].into(),
            durable: [].into(),
            mtime: now,
            ctime: now,
            closed: false,
            in_use: false,
        });
        self.files.len() - 1
    }

    /// A new item under a name, whatever had it.
    fn add(&mut self, folder: Id, name: &str, is_folder: bool, now: Nanos) -> Id {
        let item = self.node(is_folder, now);
        if is_folder {
            self.names.insert(item, BTreeMap::new());
        }
        self.names.entry(folder).or_default().insert(name.into(), item);
        item
    }

    fn note(&mut self, person: bool) {
        if self.past.last().is_none_or(|(names, _)| *names != self.names) {
            self.past.push((self.names.clone(), person));
        }
    }

    fn settle(&mut self) {
        self.past = vec![(self.names.clone(), false)];
    }

    fn find(&self, path: &str) -> Option<Id> {
        let mut at = ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = *self.names.get(&at)?.get(part)?;
        }
        Some(at)
    }

    fn parent<'p>(&self, path: &'p str) -> Option<(Id, &'p str)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.find(folder)?;
        self.names.contains_key(&folder).then_some((folder, name))
    }

    fn make_parent<'p>(&mut self, path: &'p str, now: Nanos) -> Option<(Id, &'p str)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = ROOT;
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            at = match self.names.get(&at)?.get(part) {
                Some(known) => *known,
                None => self.add(at, part, true, now),
            };
        }
        self.names.contains_key(&at).then_some((at, name))
    }

    fn drop_tree(&mut self, item: Id, reuse: bool) {
        for child in self.names.remove(&item).into_iter().flat_map(BTreeMap::into_values) {
            self.drop_tree(child, reuse);
        }
        self.lost_name(item, reuse);
    }

    fn tell(&self, folder: Id, path: &str, tree: &mut Tree) {
        for (name, item) in &self.names[&folder] {
            if folder == ROOT && name == WORK_FOLDER {
                continue;
            }
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            if self.files[*item].folder {
                self.tell(*item, &path, tree);
                tree.insert(format!("{path}/"), None);
            } else if self.files[*item].odd.is_none() {
                tree.insert(path, Some(self.files[*item].bytes.clone()));
            }
        }
    }

    fn contents(&self) -> BTreeSet<Bytes> {
        let mut tree = Tree::new();
        self.tell(ROOT, "", &mut tree);
        tree.into_values().flatten().collect()
    }

    /// The reported numbers of everything that has a name.
    fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        let items = self.names.values().flat_map(BTreeMap::values);
        items.map(|item| self.files[*item].inode)
    }

    fn names_of(&self, item: Id) -> usize {
        self.names.values().flat_map(BTreeMap::values).filter(|each| **each == item).count()
    }

    fn found(&self, item: Id) -> Found {
        let node = &self.files[item];
        if node.folder {
            return Found::Folder(LocalPrint { inode: node.inode, ..LocalPrint::default() });
        }
        match node.odd {
            Some(Odd::Link) => return Found::Link,
            Some(Odd::Pipe) => return Found::Special,
            None => {}
        }
        Found::File(LocalPrint {
            size: node.bytes.len() as u64,
            mtime: node.mtime,
            ctime: node.ctime,
            inode: node.inode,
        })
    }

    fn take_room(&mut self, bytes: u64) -> Answer<()> {
        match &mut self.room {
            Some(room) if *room < bytes => Err(Errno::ENOSPC),
            Some(room) => {
                *room -= bytes;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// After an item lost a name: its number is free when that was its last.
    fn lost_name(&mut self, item: Id, reuse: bool) {
        if self.names_of(item) > 0 {
            return;
        }
        if let Some(room) = &mut self.room {
            *room += self.files[item].bytes.len() as u64;
        }
        if reuse {
            self.free.insert(self.files[item].inode);
        }
    }

    /// Whether a folder is Mooring's work folder or in it.
    fn is_in_work_folder(&self, folder: Id) -> bool {
        let mut inside: Vec<Id> = self.names[&ROOT].get(WORK_FOLDER).copied().into_iter().collect();
        while let Some(at) = inside.pop() {
            if at == folder {
                return true;
            }
            inside.extend(self.names.get(&at).into_iter().flat_map(BTreeMap::values));
        }
        false
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Volume for SimDisk {
    fn open(&self, _path: &Path) -> Answer<Arc<dyn Folder>> {
        self.0.turn("open root", "")?;
        let inner = self.0.lock();
        let item = inner.stand_in.unwrap_or(Some(ROOT)).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(SimFolder { disk: self.clone(), item, mounts: inner.mounts }))
    }
}

#[derive(Debug)]
struct SimFolder {
    disk: SimDisk,
    item: Id,
    mounts: u32,
}

struct SimFile {
    disk: Weak<Shared>,
    item: Id,
    mounts: u32,
}

impl SimFolder {
    /// Lets others have their turn, then answers with the disk if this folder is still there.
    fn enter(&self, call: &str, name: &str) -> Answer<MutexGuard<'_, Inner>> {
        self.disk.0.turn(call, name)?;
        let inner = self.disk.0.lock();
        if inner.mounts != self.mounts {
            return Err(Errno::EIO);
        }
        if !inner.names.contains_key(&self.item) {
            return Err(Errno::ENOENT);
        }
        Ok(inner)
    }

    fn child(&self, inner: &Inner, name: &str) -> Answer<Id> {
        inner.names[&self.item].get(name).copied().ok_or(Errno::ENOENT)
    }

    fn open(&self, item: Id) -> Box<dyn OpenFile> {
        let (disk, mounts) = (Arc::downgrade(&self.disk.0), self.mounts);
        Box::new(SimFile { disk, item, mounts })
    }
}

fn of_sim(folder: &dyn Folder) -> Answer<&SimFolder> {
    let folder: &dyn Any = folder;
    folder.downcast_ref().ok_or(Errno::EXDEV)
}

fn text(name: &OsStr) -> Answer<&str> {
    name.to_str().ok_or(Errno::EILSEQ)
}

impl Folder for SimFolder {
    fn identity(&self) -> Answer<RootId> {
        let inner = self.enter("identity", "")?;
        let file_system = if self.item == BENEATH { 2 } else { 1 };
        Ok(RootId { file_system, inode: inner.files[self.item].inode })
    }

    fn space(&self) -> Answer<Space> {
        let inner = self.enter("space", "")?;
        Ok(Space { total: TOTAL, free: inner.room.unwrap_or(TOTAL) })
    }

    fn open_folder(&self, name: &str) -> Answer<Arc<dyn Folder>> {
        let inner = self.enter("open folder", name)?;
        let item = if name == "." { self.item } else { self.child(&inner, name)? };
        match &inner.files[item] {
            Node { odd: Some(Odd::Link), .. } => Err(Errno::ELOOP),
            Node { folder: false, .. } => Err(Errno::ENOTDIR),
            Node { closed: true, .. } => Err(Errno::EACCES),
            _ => Ok(Arc::new(SimFolder { disk: self.disk.clone(), item, mounts: self.mounts })),
        }
    }

    fn look(&self, name: &OsStr) -> Answer<Found> {
        let inner = self.enter("look", text(name)?)?;
        if name.is_empty() {
            return Ok(inner.found(self.item));
        }
        Ok(inner.found(self.child(&inner, text(name)?)?))
    }

    fn list(&self, each: &mut dyn FnMut(Answer<DiskEntry<'_>>) -> Result<()>) -> Result<()> {
        let names: Vec<String> = match self.enter("list", "") {
            Ok(inner) => inner.names[&self.item].keys().cloned().collect(),
            Err(errno) => return each(Err(errno)),
        };
        for name in names {
            let found = match self.enter("list entry", &name) {
                Ok(inner) => self.child(&inner, &name).map(|item| inner.found(item)),
                Err(Errno::ENOENT) => return Ok(()),
                Err(errno) => return each(Err(errno)),
            };
            if let Ok(found) = found {
                each(Ok(DiskEntry { name: OsStr::new(&name), found }))?;
            }
        }
        Ok(())
    }

    fn open_file(&self, name: &str) -> Answer<Box<dyn OpenFile>> {
        let inner = self.enter("open file", name)?;
        let item = self.child(&inner, name)?;
        match &inner.files[item] {
            Node { folder: true, .. } => Err(Errno::EISDIR),
            Node { closed: true, .. } => Err(Errno::EACCES),
            Node { odd: Some(Odd::Link), .. } => Err(Errno::ELOOP),
            _ => Ok(self.open(item)),
        }
    }

    fn create_file(&self, name: &str) -> Answer<Box<dyn OpenFile>> {
        let now = self.disk.0.now();
        let mut inner = self.enter("create file", name)?;
        if let Ok(item) = self.child(&inner, name) {
            return if inner.files[item].folder { Err(Errno::EISDIR) } else { Ok(self.open(item)) };
        }
        inner.take_room(1)?;
        let item = inner.add(self.item, name, false, now);
        inner.note(false);
        Ok(self.open(item))
    }

    fn make_folder(&self, name: &str, _private: bool) -> Answer<()> {
        let now = self.disk.0.now();
        let mut inner = self.enter("make folder", name)?;
        if inner.names[&self.item].contains_key(name) {
            return Err(Errno::EEXIST);
        }
        inner.take_room(1)?;
        inner.add(self.item, name, true, now);
        inner.note(false);
        Ok(())
    }

    fn link(&self, name: &str, to: &dyn Folder, new_name: &str) -> Answer<()> {
        let to = of_sim(to)?.item;
        let now = self.disk.0.now();
        let mut inner = self.enter("link", name)?;
        if !self.disk.0.format.links {
            return Err(Errno::EPERM);
        }
        let item = self.child(&inner, name)?;
        let Some(folder) = inner.names.get_mut(&to) else { return Err(Errno::ENOENT) };
        if folder.contains_key(new_name) {
            return Err(Errno::EEXIST);
        }
        folder.insert(new_name.into(), item);
        inner.files[item].ctime = now;
        inner.note(false);
        Ok(())
    }

    fn rename(&self, name: &str, to: &dyn Folder, new_name: &str) -> Answer<()> {
        let to = of_sim(to)?.item;
        let now = self.disk.0.now();
        let mut inner = self.enter("rename", name)?;
        let item = self.child(&inner, name)?;
        let Some(folder) = inner.names.get(&to) else { return Err(Errno::ENOENT) };
        let replaced = folder.get(new_name).copied();
        if let Some(replaced) = replaced {
            match (inner.files[item].folder, inner.names.get(&replaced)) {
                (false, None) => {}
                (true, Some(inside)) if inside.is_empty() => {}
                (true, Some(_)) => return Err(Errno::ENOTEMPTY),
                (false, Some(_)) => return Err(Errno::EISDIR),
                (true, None) => return Err(Errno::ENOTDIR),
            }
        }
        inner.names.entry(self.item).or_default().remove(name);
        inner.names.entry(to).or_default().insert(new_name.into(), item);
        inner.files[item].ctime = now;
        if let Some(replaced) = replaced.filter(|replaced| *replaced != item) {
            inner.names.remove(&replaced);
            inner.lost_name(replaced, self.disk.0.format.reuses_inodes);
        }
        inner.note(false);
        Ok(())
    }

    fn remove_file(&self, name: &OsStr) -> Answer<()> {
        let name = text(name)?;
        let now = self.disk.0.now();
        let mut inner = self.enter("remove file", name)?;
        let item = self.child(&inner, name)?;
        if inner.files[item].folder {
            return Err(Errno::EISDIR);
        }
        inner.names.entry(self.item).or_default().remove(name);
        inner.files[item].ctime = now;
        let last = inner.names_of(item) == 0 && inner.room.is_none();
        // What programs leave behind in a folder goes with it.
        let litter = matches!(name, "Thumbs.db" | "._r");
        if last && !litter && !inner.is_in_work_folder(self.item) {
            let bytes = inner.files[item].bytes.clone();
            inner.erased.push(bytes);
        }
        inner.lost_name(item, self.disk.0.format.reuses_inodes);
        inner.note(false);
        Ok(())
    }

    fn remove_folder(&self, name: &str) -> Answer<()> {
        let mut inner = self.enter("remove folder", name)?;
        let item = self.child(&inner, name)?;
        match inner.names.get(&item) {
            None => return Err(Errno::ENOTDIR),
            Some(inside) if !inside.is_empty() => return Err(Errno::ENOTEMPTY),
            Some(_) => {}
        }
        inner.names.remove(&item);
        inner.names.entry(self.item).or_default().remove(name);
        inner.lost_name(item, self.disk.0.format.reuses_inodes);
        inner.note(false);
        Ok(())
    }

    fn sync(&self) -> Answer<()> {
        self.enter("sync folder", "")?.settle();
        Ok(())
    }
}

impl SimFile {
    fn enter<T>(&self, call: &str, work: impl FnOnce(&mut Inner) -> Answer<T>) -> Answer<T> {
        let disk = self.disk.upgrade().ok_or(Errno::EIO)?;
        disk.turn(call, "")?;
        let mut inner = disk.lock();
        if inner.mounts == self.mounts { work(&mut inner) } else { Err(Errno::EIO) }
    }

    fn now(&self) -> Nanos {
        self.disk.upgrade().map_or(0, |disk| disk.now())
    }
}

impl OpenFile for SimFile {
    fn look(&self) -> Answer<Found> {
        self.enter("look at file", |inner| Ok(inner.found(self.item)))
    }

    fn links(&self) -> Answer<u64> {
        self.enter("look at file", |inner| Ok(inner.names_of(self.item) as u64))
    }

    fn is_being_written(&self) -> bool {
        self.enter("ask for writers", |inner| Ok(inner.files[self.item].in_use)).unwrap_or(false)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.enter("read", |inner| {
            let bytes = &inner.files[self.item].bytes;
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        });
        Ok(read?)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let now = self.now();
        let written = self.enter("write", |inner| {
            inner.take_room(bytes.len() as u64)?;
            let node = &mut inner.files[self.item];
            let mut all = node.bytes.to_vec();
            all.resize(all.len().max(offset as usize + bytes.len()), 0);
            all[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
            node.bytes = all.into();
            (node.mtime, node.ctime) = (now, now);
            Ok(bytes.len())
        });
        Ok(written?)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let now = self.now();
        let done = self.enter("set length", |inner| {
            let node = &mut inner.files[self.item];
            let mut all = node.bytes.to_vec();
            all.resize(length as usize, 0);
            node.bytes = all.into();
            (node.mtime, node.ctime) = (now, now);
            Ok(())
        });
        Ok(done?)
    }

    fn set_mtime(&self, mtime: Nanos) -> Answer<()> {
        let now = self.now();
        let tick = self.disk.upgrade().map_or(1, |disk| disk.format.tick);
        self.enter("set mtime", |inner| {
            let node = &mut inner.files[self.item];
            node.mtime = mtime - mtime.rem_euclid(tick);
            node.ctime = now;
            Ok(())
        })
    }

    fn take_after(&self, _folder: &dyn Folder, _name: &str) {}

    fn sync(&self) -> io::Result<()> {
        let done = self.enter("sync file", |inner| {
            let node = &mut inner.files[self.item];
            node.durable = node.bytes.clone();
            Ok(())
        });
        Ok(done?)
    }
}
