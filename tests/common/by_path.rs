//! A remote as a person sees it: items are told by their paths alone.

use mooring::content::Content;
use mooring::error::Result;
use mooring::model::{ItemKind, Nanos, Version};
use mooring::remote::{Download, Entry, Expect, Place, Remote, Removal, Resume};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A remote whose calls take paths. Where items have ids, they are found by listing the folders on
/// the way, as the engine knows them from its state.
#[derive(Clone, Copy)]
pub struct ByPath(&'static dyn Remote);

impl Deref for ByPath {
    type Target = dyn Remote;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

/// The ids on the way to a path: of the item, and of the folder it is in.
#[derive(Default)]
struct Ids {
    item: String,
    folder: String,
}

impl Ids {
    fn place<'a>(&'a self, path: &'a str) -> Place<'a> {
        Place { path, id: &self.item, folder: &self.folder }
    }
}

impl ByPath {
    /// This remote, which stays open for as long as the tests run.
    pub fn new(remote: Arc<dyn Remote>) -> Self {
        ByPath(&**Box::leak(Box::new(remote)))
    }

    fn ids(&self, path: &str) -> Ids {
        let mut ids = Ids::default();
        if self.0.feed().is_none() {
            return ids;
        }
        let mut at = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let folder = std::mem::take(&mut ids.item);
            let place = Place { path: &at, id: &folder, folder: "" };
            // What can't be listed has no ids.
            let _ = self.0.list(place, &mut |told, entry| {
                if told == name && ids.item.is_empty() {
                    ids.item = entry.print.id.into();
                }
                Ok(())
            });
            ids.folder = folder;
            at = if at.is_empty() { name.into() } else { format!("{at}/{name}") };
        }
        ids
    }

    pub fn list(
        &self,
        folder: &str,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        self.0.list(self.ids(folder).place(folder), each)
    }

    pub fn stat(&self, path: &str, kind: ItemKind) -> Result<Option<Entry>> {
        self.0.stat(self.ids(path).place(path), kind)
    }

    pub fn read(&self, path: &str, version: &Version, bytes: Range<u64>) -> Result<Download> {
        self.0.read(self.ids(path).place(path), version, bytes)
    }

    pub fn write(
        &self,
        path: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Entry> {
        let written = self.0.write(self.ids(path).place(path), content, mtime, expect, resume);
        written.map(|written| written.entry)
    }

    pub fn make_folder(&self, path: &str) -> Result<Entry> {
        self.0.make_folder(self.ids(path).place(path)).map(|made| made.entry)
    }

    pub fn rename(&self, from: &str, to: &str, kind: ItemKind, version: &Version) -> Result<Entry> {
        let (old, new) = (self.ids(from), self.ids(to));
        self.0.rename(old.place(from), new.place(to), kind, version)
    }

    pub fn copy(&self, from: &str, to: &str, version: &Version) -> Result<Entry> {
        let (old, new) = (self.ids(from), self.ids(to));
        self.0.copy(old.place(from), new.place(to), version)
    }

    pub fn keeps_version(&self, path: &str, version: &Version) -> Result<bool> {
        self.0.keeps_version(self.ids(path).place(path), version)
    }

    pub fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        let ids: Vec<Ids> = items.iter().map(|item| self.ids(item.place.path)).collect();
        let placed = items.iter().zip(&ids).map(|(item, ids)| Removal {
            place: ids.place(item.place.path),
            kind: item.kind,
            version: item.version,
        });
        self.0.remove(&placed.collect::<Vec<_>>(), done);
    }
}
