//! What the disk, the service and the state have, told item after item in one order, so that they
//! can be compared in passing. Nothing is noted.
//!
//! The order is that of paths where a folder's ends in `/`: a folder comes before all that is in
//! it. At any time there is one folder's [`Sorted`] entries for each folder on the way.

use super::sorter::{Sorted, Sorter};
use super::walk::{Print, Told, choose, list_disk, list_remote};
use super::{find_folder, skip_of_entry};
use crate::error::{Error, Kind, Result};
use crate::hash::Hash;
use crate::local::Disk;
use crate::model::{ItemKind, LocalPrint, RemotePrint};
use crate::remote::{Entry, Listing, Place, Remote};
use crate::rules::{NameCheck, SkipReason};
use crate::store::{Children, Key, ROOT, Record, Snapshot};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// An item that was met.
pub(crate) struct Item<P> {
    /// Its path; a folder's ends in `/`.
    pub path: String,
    /// What it is there.
    pub print: P,
    /// The rule by which it isn't synced.
    pub skip: Option<SkipReason>,
}

/// What a walk comes to next.
pub(crate) enum Sight<P> {
    /// An item.
    There(Item<P>),
    /// The folder told last, by its path, can't be listed.
    Unread(String, Error),
}

/// What a listing of the service tells of an item.
#[derive(Serialize, Deserialize)]
pub(crate) struct Listed {
    /// Its state.
    pub print: RemotePrint,
    /// Hash of the content where the listing has one.
    pub hash: Option<Hash>,
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        Listed { print: entry.print, hash: entry.hash }
    }
}

impl Print for Listed {
    fn id(&self) -> &str {
        &self.print.id
    }
}

/// Sorted entries of the folder at a path, which the service calls so.
type List<'a, P> = dyn Fn(&str, &str) -> Result<Sorted<Told<P>>> + 'a;

/// A walk through all folders of a side.
pub(crate) struct Walk<'a, P> {
    list: Box<List<'a, P>>,
    names: &'a NameCheck,
    /// Folders on the way, each with the name told last.
    folders: Vec<(String, Sorted<Told<P>>, String)>,
    /// The folder that was told last, and what the service calls it.
    ahead: Option<(String, Box<str>)>,
}

impl<'a> Walk<'a, LocalPrint> {
    /// Everything on the disk. What doesn't fit in memory goes to a file in `spill`.
    pub fn disk(disk: &'a Disk, spill: &'a Path, names: &'a NameCheck) -> Self {
        Walk::new(names, Box::new(|path, _| list_disk(disk, spill, path)))
    }
}

impl<'a> Walk<'a, Listed> {
    /// Everything on a service with a listing for each folder. Of items that share a name, the
    /// state tells which goes by it.
    fn remote(
        remote: &'a dyn Remote,
        spill: &'a Path,
        names: &'a NameCheck,
        snapshot: &'a Snapshot,
    ) -> Self {
        let list = move |path: &str, id: &str| {
            let place = Place { path, id, folder: "" };
            let listed = list_remote(remote, spill, place, |_, entry| Listed::from(entry))?;
            tell_apart(listed, spill, path, snapshot)
        };
        Walk::new(names, Box::new(list))
    }
}

impl<'a, P: Print> Walk<'a, P> {
    fn new(names: &'a NameCheck, list: Box<List<'a, P>>) -> Self {
        Walk { list, names, folders: Vec::new(), ahead: Some(Default::default()) }
    }

    /// The next item; one in the folder told last, if there is any.
    pub fn next(&mut self) -> Result<Option<Sight<P>>> {
        if let Some((path, id)) = self.ahead.take() {
            match (self.list)(path.strip_suffix('/').unwrap_or_default(), &id) {
                Ok(entries) => self.folders.push((path, entries, String::new())),
                Err(error) if path.is_empty() || error.kind().reaction().ends_cycle() => {
                    return Err(error);
                }
                // It went since it was told.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Ok(Some(Sight::Unread(path, error))),
            }
        }
        while let Some((folder, entries, last)) = self.folders.last_mut() {
            let Some(entry) = entries.next() else {
                self.folders.pop();
                continue;
            };
            let (name, Told { print, skip }) = entry?;
            // Told twice.
            if name == *last {
                continue;
            }
            let path = format!("{folder}{name}");
            let by_name = || self.names.check(plain(&path), kind_of(&path));
            let skip = skip.or_else(by_name);
            if kind_of(&path) == ItemKind::Folder {
                self.ahead = Some((path.clone(), print.id().into()));
            }
            *last = name;
            return Ok(Some(Sight::There(Item { path, print, skip })));
        }
        Ok(None)
    }

    /// Leaves out what is in the folder told last.
    pub fn pass(&mut self) {
        self.ahead = None;
    }
}

/// Gives all but one of the items that share a name the names by which they go on the disk.
fn tell_apart(
    listed: Sorted<Told<Listed>>,
    spill: &Path,
    folder: &str,
    snapshot: &Snapshot,
) -> Result<Sorted<Told<Listed>>> {
    let holder = |name: &str| {
        let Some(folder) = find_folder(snapshot, folder)? else { return Ok(None) };
        snapshot.get(&Key { folder, name: name.into() })
    };
    let mut entries = listed.peekable();
    let (mut sorter, mut namesakes) = (Sorter::new(spill), Vec::new());
    while let Some(entry) = entries.next() {
        let (name, told) = choose(&mut entries, entry?, folder, &holder, &mut namesakes)?;
        sorter.push(name, told)?;
        for (name, told) in namesakes.drain(..) {
            sorter.push(name, told)?;
        }
    }
    sorter.finish()
}

/// Tells everything that the service has to `each`, which says whether to go into a folder.
///
/// # Errors
/// Those of [`Remote::list`], for the root, or where they end the work.
pub(crate) fn tell_remote(
    remote: &dyn Remote,
    listing: Listing,
    spill: &Path,
    names: &NameCheck,
    snapshot: &Snapshot,
    each: &mut dyn FnMut(Sight<Listed>) -> Result<bool>,
) -> Result<()> {
    if listing == Listing::Flat {
        let mut trail = Trail { names, last: String::new(), folder: String::new(), each };
        return remote.list(Place::default(), &mut |path, entry| trail.meet(path, entry));
    }
    let mut walk = Walk::remote(remote, spill, names, snapshot);
    while let Some(sight) = walk.next()? {
        if !each(sight)? {
            walk.pass();
        }
    }
    Ok(())
}

/// Where an ordered listing of everything is. A folder is there when anything in it is.
struct Trail<'a> {
    names: &'a NameCheck,
    /// The path met last.
    last: String,
    /// The folder that the listing is in.
    folder: String,
    each: &'a mut dyn FnMut(Sight<Listed>) -> Result<bool>,
}

impl Trail<'_> {
    fn meet(&mut self, path: &str, entry: Entry) -> Result<()> {
        let slash = if entry.kind == ItemKind::Folder { "/" } else { "" };
        let path = format!("{path}{slash}");
        if path <= self.last {
            let told = path == self.last || self.folder == path;
            let disorder = || Error::new(Kind::Protocol, format!("listing {path}"), "out of order");
            return if told { Ok(()) } else { Err(disorder()) };
        }
        while !path.starts_with(&self.folder) {
            let above = plain(&self.folder).rfind('/').map_or(0, |at| at + 1);
            self.folder.truncate(above);
        }
        while let Some(at) = path[self.folder.len()..].find('/') {
            let end = self.folder.len() + at + 1;
            self.folder = path[..end].to_owned();
            let is_last = end == path.len();
            self.tell(&path[..end], if is_last { entry.clone() } else { Entry::folder("") })?;
        }
        if entry.kind == ItemKind::File {
            self.tell(&path, entry)?;
        }
        self.last = path;
        Ok(())
    }

    fn tell(&mut self, path: &str, entry: Entry) -> Result<()> {
        let skip = skip_of_entry(self.names, plain(path), &entry);
        let item = Item { path: path.into(), print: Listed::from(entry), skip };
        (self.each)(Sight::There(item)).map(drop)
    }
}

/// A walk through the state.
pub(crate) struct Rows<'a> {
    snapshot: &'a Snapshot,
    folders: Vec<(String, Children)>,
    /// The folder that was told last, and its node.
    ahead: Option<(String, u64)>,
}

/// An item of the state.
pub(crate) struct Row {
    /// Its path; a folder's ends in `/`.
    pub path: String,
    pub key: Key,
    pub record: Record,
}

impl<'a> Rows<'a> {
    /// Everything in the state.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Rows { snapshot, folders: Vec::new(), ahead: Some((String::new(), ROOT)) }
    }

    /// The next item; one in the folder told last, if there is any.
    pub fn next(&mut self) -> Result<Option<Row>> {
        if let Some((path, node)) = self.ahead.take() {
            self.folders.push((path, self.snapshot.children(node)?));
        }
        while let Some((folder, rows)) = self.folders.last_mut() {
            let Some(row) = rows.next() else {
                self.folders.pop();
                continue;
            };
            let (key, record) = row?;
            let path = format!("{folder}{}", key.name);
            if record.node != 0 {
                self.ahead = Some((path.clone(), record.node));
            }
            return Ok(Some(Row { path, key, record }));
        }
        Ok(None)
    }

    /// Leaves out what is in the folder told last.
    pub fn pass(&mut self) {
        self.ahead = None;
    }
}

/// The path as people write it.
pub(crate) fn plain(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// File or folder.
pub(crate) fn kind_of(path: &str) -> ItemKind {
    if path.ends_with('/') { ItemKind::Folder } else { ItemKind::File }
}
