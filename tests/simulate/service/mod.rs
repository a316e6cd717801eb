//! A simulated service: a remote that behaves as the adapter of a real one does, on one thread, in
//! simulated time, the same for the same seed. What it can is data: see [`abilities`].
//!
//! At every point of a request where time passes, a hook is called. It may change what is on the
//! service (see [`world`]), and make the request fail there: before it is carried out, on the way,
//! or when only its reply is lost.

mod abilities;
mod account;
mod feed;
mod tree;
mod upload;
mod world;

pub use abilities::{Abilities, Changes, PART, Times, Unicode, Versions, twin_named, twins};
pub use account::{Aftermath, Clock};
pub use tree::Bytes;
pub use world::Item;

use account::{Account, folder, session_of};
use mooring::content::Content;
use mooring::error::{Error, Kind, Result};
use mooring::http::Http;
use mooring::model::{ItemKind, Nanos, RemotePrint, Version, split_path};
use mooring::remote::conditions::check;
use mooring::remote::{
    Descriptor, Download, Entry, Expect, Feed, Listing, Made, Moves, Place, Remote, Removal,
    Resume, Service, Settings, Special, Written,
};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use tree::Node;

/// Where in which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point<'a> {
    /// The request's name.
    pub call: &'static str,
    /// The item's path; of a move or copy both, with a space between them.
    pub path: &'a str,
    pub at: At,
}

/// Where in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// It hasn't arrived: an error refuses it.
    Before,
    /// So many bytes, entries or changes were sent, or the service has looked and not acted yet:
    /// an error cuts it off.
    Within(u64),
    /// It was carried out: an error loses the reply.
    After,
}

/// Called at every point of every request; may change what is there, and let the request fail.
/// Requests that it makes itself have no hook.
pub type Hook = Box<dyn FnMut(&Twin, Point<'_>) -> Result<()> + Send>;

/// A simulated service, opened.
pub struct Twin {
    me: Weak<Twin>,
    account: Mutex<Account>,
    hook: Mutex<Option<Hook>>,
    wire: Mutex<Wire>,
}

#[derive(Default)]
struct Wire {
    off: bool,
    log: Vec<String>,
}

/// A service that opens one [`Twin`].
pub struct TwinService(pub Arc<Twin>);

impl Service for TwinService {
    fn descriptor(&self) -> &'static Descriptor {
        self.0.abilities().descriptor
    }

    fn open(&self, _: &Settings, _: Http, _: &str) -> Result<Arc<dyn Remote>> {
        self.0.reopen();
        Ok(self.0.clone())
    }
}

impl Twin {
    /// An empty root of a service with these abilities.
    pub fn new(abilities: Abilities, seed: u64, clock: Clock) -> Arc<Twin> {
        Arc::new_cyclic(|me| Twin {
            me: me.clone(),
            account: Mutex::new(Account::new(abilities, seed, clock)),
            hook: Mutex::default(),
            wire: Mutex::default(),
        })
    }

    pub fn abilities(&self) -> Abilities {
        self.lock().abilities
    }

    /// What the adapter has found out is forgotten, as after a start.
    pub fn reopen(&self) {
        let mut account = self.lock();
        account.found_root = None;
        account.knows_folders = false;
    }

    pub fn lock(&self) -> MutexGuard<'_, Account> {
        lock(&self.account)
    }

    /// One request with its points.
    fn request<T>(
        &self,
        call: &'static str,
        path: &str,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.reachable(call)?;
        self.log(call, path);
        self.point(call, path, At::Before)?;
        let value = act()?;
        self.point(call, path, At::After)?;
        Ok(value)
    }

    fn log(&self, call: &str, path: &str) {
        lock(&self.wire).log.push(format!("{call} {path}"));
    }

    fn point(&self, call: &'static str, path: &str, at: At) -> Result<()> {
        self.reachable(call)?;
        let hook = lock(&self.hook).take();
        let Some(mut hook) = hook else { return Ok(()) };
        let verdict = hook(self, Point { call, path, at });
        *lock(&self.hook) = Some(hook);
        verdict?;
        self.reachable(call)
    }

    fn reachable(&self, call: &str) -> Result<()> {
        if lock(&self.wire).off {
            return Err(Error::new(Kind::Offline, call, "the power is off"));
        }
        Ok(())
    }

    /// Tells a flat listing, page after page, each as it is then.
    fn list_flat(&self, path: &str, each: &mut dyn FnMut(&str, Entry) -> Result<()>) -> Result<()> {
        const PAGE: usize = 4;
        let (mut last, mut told) = (String::new(), 0);
        loop {
            let all = self.lock().flat(path).into_iter();
            let page: Vec<_> = all.filter(|(key, _)| *key > last).take(PAGE).collect();
            if page.is_empty() {
                return Ok(());
            }
            for (key, entry) in page {
                each(key.strip_suffix('/').unwrap_or(&key), entry)?;
                told += 1;
                self.point("list", path, At::Within(told))?;
                last = key;
            }
        }
    }

    /// Tells a folder in any order; by ids the eldest first, each as it is then.
    fn list_folder(
        &self,
        (path, folder): (&str, u64),
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let told = |account: &Account, id: u64| {
            Some((account.tree.get(id)?.name.clone(), account.entry(id)?))
        };
        let mut snapshot = Vec::new();
        {
            let mut account = self.lock();
            let mut ids: Vec<u64> = account.tree.children(folder).collect();
            for at in (1..ids.len()).rev() {
                let other = account.dice.roll(at as u64 + 1) as usize;
                ids.swap(at, other);
            }
            snapshot.extend(ids.into_iter().filter_map(|id| told(&account, id)));
        }
        let live = self.lock().by_ids();
        let mut last = 0;
        for number in 0.. {
            let next = if live {
                let account = self.lock();
                let next = account.tree.children(folder).filter(|id| *id > last).min();
                last = next.unwrap_or(last);
                next.and_then(|id| told(&account, id))
            } else {
                snapshot.pop()
            };
            self.point("list", path, At::Within(number))?;
            let Some((name, entry)) = next else { break };
            each(&name, entry)?;
        }
        Ok(())
    }

    fn remove_one(&self, item: &Removal<'_>) -> Result<()> {
        let path = item.place.path;
        let what = format!("removing {path}");
        let look = || -> Result<Option<u64>> {
            let account = self.lock();
            let held = account.held(&what, item.place, item.kind, item.version);
            let found = match held {
                Err(error) if error.kind() == Kind::NotFound => return Ok(None),
                held => held?,
            };
            if item.kind == ItemKind::Folder && !account.tree.is_empty(found) {
                return Err(Error::new(Kind::Exists, &what, "it isn't empty"));
            }
            Ok(Some(found))
        };
        if look()?.is_none() {
            return Ok(());
        }
        self.point("remove", path, At::Within(0))?;
        let abilities = self.abilities();
        // Nobody removes a folder only if it is empty, but the key that stands for it is alone.
        let checked = match item.kind {
            ItemKind::File => abilities.conditional || abilities.keeps_replaced,
            ItemKind::Folder => abilities.descriptor.folders_implied,
        };
        let found = if checked {
            look()?
        } else {
            let account = self.lock();
            let found = account.seek(item.place, item.kind);
            found.filter(|id| account.tree.get(*id).is_some_and(|it| it.kind == item.kind))
        };
        let mut account = self.lock();
        let Some(found) = found else { return Ok(()) };
        let expected = account.entry(found).is_some_and(|it| it.print.version == *item.version);
        let gone = account.remove(found);
        if item.kind == ItemKind::Folder || !expected {
            account.lose(gone);
        }
        Ok(())
    }

    /// The object store's way to move a file: it is copied first.
    fn move_by_copy(
        &self,
        (what, paths): (&str, &str),
        (from, to): (Place<'_>, Place<'_>),
        version: &Version,
    ) -> Result<Entry> {
        let copied = self.copy_file(what, from, to, version)?;
        self.point("rename", paths, At::Within(1))?;
        let mut account = self.lock();
        match account.held(what, from, ItemKind::File, version) {
            Ok(old) => drop(account.remove(old)),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => {
                account.remove(copied);
                return Err(error);
            }
        }
        account.entry(copied).ok_or_else(|| gone(what))
    }

    /// The item to move, and the name that it is to have, if nothing is in the way.
    fn may_move(
        &self,
        what: &str,
        (from, to): (Place<'_>, Place<'_>),
        kind: ItemKind,
        version: &Version,
    ) -> Result<(u64, String)> {
        let account = self.lock();
        let id = account.held(what, from, kind, version)?;
        let (old, new) = (split_path(from.path).1, split_path(to.path).1);
        let own = account.tree.get(id).map_or("", |node| &node.name);
        // One of several of a name keeps it.
        let name = if old == new { own } else { new };
        account.is_free(what, (to, name), kind, Some(id))?;
        Ok((id, name.to_owned()))
    }

    fn print_of(&self, place: Place<'_>, kind: ItemKind) -> RemotePrint {
        let account = self.lock();
        let entry = account.seek(place, kind).and_then(|id| account.entry(id));
        entry.map(|entry| entry.print).unwrap_or_default()
    }

    fn copy_file(
        &self,
        what: &str,
        from: Place<'_>,
        to: Place<'_>,
        version: &Version,
    ) -> Result<u64> {
        let mut account = self.lock();
        let source = account.held(what, from, ItemKind::File, version)?;
        let Some(Node { bytes, mtime, .. }) = account.tree.get(source).cloned() else {
            return Err(gone(what));
        };
        let name = split_path(to.path).1;
        account.has_room(what, bytes.len() as u64)?;
        if account.abilities.conditional || account.by_ids() {
            account.is_free(what, (to, name), ItemKind::File, None)?;
        } else if let Some(taken) = account.seek(to, ItemKind::File) {
            // Whoever took the place since the look is overwritten.
            let old = account.tree.get(taken).filter(|node| node.kind == ItemKind::File);
            let old = old.ok_or_else(|| account.taken(what, taken, name))?.bytes.clone();
            account.lose([old]);
            account.overwrite(taken, bytes, mtime);
            return Ok(taken);
        }
        let parent = account.parent_to_fill(to).ok_or_else(|| gone(what))?;
        let node = account.file(parent, name, bytes, mtime);
        Ok(account.add(node))
    }
}

impl Remote for Twin {
    fn test(&self) -> Result<()> {
        self.request("test", "", || {
            let account = self.lock();
            let there = account.implied() || account.root().is_some();
            there.then_some(()).ok_or_else(|| gone("the root"))
        })
    }

    fn list(
        &self,
        place: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let what = format!("listing {}", place.path);
        self.request("list", place.path, || {
            if self.abilities().descriptor.listing == Listing::Flat {
                return self.list_flat(place.path, each);
            }
            let folder = {
                let account = self.lock();
                let found = account.seek(place, ItemKind::Folder);
                found.filter(|id| {
                    account.tree.get(*id).is_some_and(|it| it.kind == ItemKind::Folder)
                })
            };
            self.list_folder((place.path, folder.ok_or_else(|| gone(&what))?), each)
        })
    }

    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        self.request("stat", place.path, || {
            let mut account = self.lock();
            if place.path.is_empty() {
                account.found_root = account.root();
                if account.implied() {
                    account.make_root();
                }
                return Ok(account.root().and_then(|root| account.entry(root)));
            }
            let Some(id) = account.seek(place, kind) else { return Ok(None) };
            let named_so = !account.is_twin(id, split_path(place.path).1);
            let is_it = !place.id.is_empty() && account.told_id(id) == place.id.into();
            Ok(account.entry(id).filter(|_| named_so || is_it))
        })
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let what = format!("downloading {}", place.path);
        self.request("read", place.path, || {
            let account = self.lock();
            let id = account.held(&what, place, ItemKind::File, version)?;
            let (Some(node), Some(entry)) = (account.tree.get(id), account.entry(id)) else {
                return Err(gone(&what));
            };
            if node.special.is_some() {
                return Err(Error::new(Kind::Denied, &what, "it can't be downloaded"));
            }
            let end = bytes.end.min(node.bytes.len() as u64);
            let Some(rest) = node.bytes.get(bytes.start as usize..end as usize) else {
                return Err(Error::new(Kind::Changed, &what, "it became shorter"));
            };
            let twin = self.me.upgrade().ok_or_else(|| gone(&what))?;
            let body = Body { twin, path: place.path.into(), bytes: rest.into(), at: 0 };
            Ok(Download { reader: Box::new(body), end, entry })
        })
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        let mut made = None;
        let sent = self.request("write", place.path, || {
            let written = self.upload(place, content, mtime, expect, resume)?;
            made = Some(written.clone());
            Ok(written)
        });
        match (sent, made) {
            // Where names repeat, a file is made under an id given out before: asked for once more,
            // it is found.
            (Err(error), Some(made))
                if error.kind() == Kind::Offline && self.abilities().descriptor.namesakes =>
            {
                self.request("write", place.path, || Ok(made))
            }
            (sent, _) => sent,
        }
    }

    fn abandon(&self, note: &[u8]) -> Result<()> {
        self.request("abandon", "", || {
            if let Some(number) = session_of(note) {
                self.lock().sessions.remove(&number);
            }
            Ok(())
        })
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let what = format!("making the folder {}", place.path);
        self.request("make_folder", place.path, || {
            let mut account = self.lock();
            if place.path.is_empty() {
                let root = account.make_root();
                account.found_root = Some(root);
                return account.made(root).map(Made::or_found).ok_or_else(|| gone(&what));
            }
            if !account.abilities.keeps_empty {
                account.knows_folders = true;
                return Ok(Made::or_found(Entry::folder("")));
            }
            let name = split_path(place.path).1;
            let parent = account.parent_to_fill(place).ok_or_else(|| gone(&what))?;
            let found = account.tree.find(parent, name, ItemKind::Folder);
            let id = match found {
                Some(id) => {
                    let is_file = account.entry(id).is_none_or(|it| it.kind == ItemKind::File);
                    if account.tree.get(id).is_some_and(|node| node.name != name) && !is_file {
                        return Err(Error::new(Kind::NameTaken, &what, "another has its name"));
                    }
                    if is_file {
                        return Err(account.taken(&what, id, name));
                    }
                    account.tree.change(id, |node| node.marked = true);
                    id
                }
                None => account.add(folder(parent, name)),
            };
            let entry = account.made(id).ok_or_else(|| gone(&what))?;
            Ok(Made { entry, is_new: found.is_none() })
        })
    }

    fn keeps_folders(&self) -> bool {
        let account = self.lock();
        account.abilities.keeps_empty || !account.knows_folders
    }

    fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry> {
        let paths = format!("{} {}", from.path, to.path);
        let what = &format!("moving {} to {}", from.path, to.path);
        self.request("rename", &paths, || {
            let abilities = self.abilities();
            if kind == ItemKind::Folder && abilities.descriptor.moves == Moves::Files {
                return Err(Error::new(Kind::Usage, what, "it has no way to move a folder"));
            }
            self.may_move(what, (from, to), kind, version)?;
            self.point("rename", &paths, At::Within(0))?;
            if abilities.descriptor.moves == Moves::Files {
                return self.move_by_copy((what, &paths), (from, to), version);
            }
            let now = match abilities.moves_checked {
                true => version.clone(),
                false => self.print_of(from, kind).version,
            };
            let (id, name) = self.may_move(what, (from, to), kind, &now)?;
            let mut account = self.lock();
            let parent = account.parent(to).ok_or_else(|| gone(what))?;
            account.relocate(id, parent, &name);
            let entry = account.entry(id).ok_or_else(|| gone(what))?;
            if kind == ItemKind::File && now != *version {
                return Err(Error::new(Kind::Changed, what, "it was changed while it was moved"));
            }
            Ok(entry)
        })
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let paths = format!("{} {}", from.path, to.path);
        let what = format!("copying {} to {}", from.path, to.path);
        self.request("copy", &paths, || {
            let name = split_path(to.path).1;
            self.lock().is_free(&what, (to, name), ItemKind::File, None)?;
            self.point("copy", &paths, At::Within(0))?;
            let copied = self.copy_file(&what, from, to, version)?;
            self.lock().entry(copied).ok_or_else(|| gone(&what))
        })
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        for (index, item) in items.iter().enumerate() {
            done(index, self.request("remove", item.place.path, || self.remove_one(item)));
        }
    }

    fn feed(&self) -> Option<&dyn Feed> {
        match self.lock().abilities.changes {
            Changes::Listing => None,
            _ => Some(self),
        }
    }
}

/// A content on its way, in pieces.
struct Body {
    twin: Arc<Twin>,
    path: String,
    bytes: Bytes,
    at: usize,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let cut = self.twin.point("read", &self.path, At::Within(self.at as u64));
        cut.map_err(io::Error::other)?;
        let piece = 1 + self.twin.lock().dice.roll(PART) as usize;
        let rest = &self.bytes[self.at..];
        let count = piece.min(rest.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

fn gone(what: &str) -> Error {
    Error::new(Kind::NotFound, what, "it isn't there")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
