//! What other clients and people do. Nothing here is a request: no hook is called, and nothing is
//! logged.
//!
//! A path is the one that [`Twin::items`] tells: of several of one name, all but the eldest go by
//! one of their own. What can't be done tells `false` and changes nothing.

use super::abilities::Changes;
use super::account::{Account, Aftermath, ROOT, folder};
use super::tree::{Bytes, TOP};
use super::{Hook, Twin, lock};
use mooring::model::{ItemKind, Nanos, split_path};
use mooring::remote::Special;
use mooring::rules::namesake;

/// Name of the root while it is away.
const AWAY: &str = "root away";

/// An item as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub path: String,
    /// `None` of a folder.
    pub content: Option<Bytes>,
    pub mtime: Nanos,
    pub special: Option<Special>,
}

impl Account {
    /// The name that an item goes by in its folder.
    fn alias(&self, id: u64) -> Option<String> {
        let node = self.tree.get(id)?;
        let eldest = self.tree.named(node.parent, &node.name, node.kind).first() == Some(&id);
        Some(if eldest { node.name.clone() } else { namesake(&node.name, &self.told_id(id)) })
    }

    fn child(&self, folder: u64, name: &str, kind: ItemKind) -> Option<u64> {
        self.tree.find(folder, name, kind).or_else(|| {
            let mut all = self.tree.children(folder);
            all.find(|id| self.alias(*id).as_deref() == Some(name))
        })
    }

    /// What is at a path: the folder, if there is a file beside it.
    fn at(&self, path: &str) -> Option<u64> {
        let mut at = self.root()?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let folder = self.child(at, part, ItemKind::Folder);
            at = folder.or_else(|| self.child(at, part, ItemKind::File))?;
        }
        Some(at)
    }

    /// Makes the folders on the way to a path and tells the last one.
    fn way(&mut self, path: &str) -> Option<u64> {
        let mut at = self.root()?;
        for part in split_path(path).0.split('/').filter(|part| !part.is_empty()) {
            at = match self.child(at, part, ItemKind::Folder) {
                Some(id) if self.tree.get(id)?.kind == ItemKind::File => return None,
                Some(id) => id,
                None => {
                    let mut node = folder(at, part);
                    node.marked = !self.implied();
                    self.add(node)
                }
            };
        }
        Some(at)
    }

    fn walk(&self, folder: u64, path: &str, items: &mut Vec<Item>) {
        for id in self.tree.children(folder) {
            let (Some(node), Some(name)) = (self.tree.get(id), self.alias(id)) else { continue };
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            let content = (node.kind == ItemKind::File).then(|| node.bytes.clone());
            let (mtime, special) = (node.mtime, node.special);
            items.push(Item { path: path.clone(), content, mtime, special });
            self.walk(id, &path, items);
        }
    }

    /// Moves an item to a path that is free, or to where there may be several of a name.
    fn put_at(&mut self, id: u64, to: &str) -> bool {
        let Some(kind) = self.tree.get(id).map(|node| node.kind) else { return false };
        let (folders, name) = split_path(to);
        let in_itself = |folder| self.tree.path(folder, id).is_some();
        if self.nearest(folders).is_none_or(in_itself) {
            return false;
        }
        let taken = |folder| self.tree.named(folder, name, kind).iter().any(|other| *other != id);
        if !self.abilities.descriptor.namesakes && self.at(folders).is_some_and(taken) {
            return false;
        }
        match self.way(to) {
            Some(parent) => {
                self.relocate(id, parent, name);
                true
            }
            None => false,
        }
    }

    /// The last folder on the way to a path that is there.
    fn nearest(&self, path: &str) -> Option<u64> {
        let mut at = self.root()?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            match self.child(at, part, ItemKind::Folder) {
                Some(id) => at = id,
                None => break,
            }
        }
        Some(at)
    }
}

impl Twin {
    /// Everything there, a folder before what is in it.
    pub fn items(&self) -> Vec<Item> {
        let account = self.lock();
        let mut items = Vec::new();
        if let Some(root) = account.root() {
            account.walk(root, "", &mut items);
        }
        items
    }

    /// What all files of the account hold, those outside of the root too.
    pub fn contents(&self) -> Vec<Bytes> {
        let account = self.lock();
        let all = account.tree.below(TOP).into_iter();
        all.filter_map(|id| account.tree.get(id).map(|node| node.bytes.clone())).collect()
    }

    /// Writes a file over what is there, or makes it with the folders around it.
    pub fn put(&self, path: &str, bytes: &[u8], mtime: Nanos) -> bool {
        let mut account = self.lock();
        let (Some(parent), name) = (account.way(path), split_path(path).1) else { return false };
        match account.child(parent, name, ItemKind::File) {
            Some(id) if account.tree.get(id).is_some_and(|it| it.kind == ItemKind::Folder) => {
                return false;
            }
            Some(id) => account.overwrite(id, bytes.into(), mtime),
            None => {
                let node = account.file(parent, name, bytes.into(), mtime);
                account.add(node);
            }
        }
        true
    }

    /// Makes a file beside one that has its name, where there may be several.
    pub fn put_namesake(&self, path: &str, bytes: &[u8], mtime: Nanos) -> bool {
        if !self.abilities().descriptor.namesakes {
            return false;
        }
        let mut account = self.lock();
        let Some(parent) = account.way(path) else { return false };
        let node = account.file(parent, split_path(path).1, bytes.into(), mtime);
        account.add(node);
        true
    }

    /// Makes a document, a shortcut, or a file that can't be downloaded, where there are such.
    pub fn put_special(&self, path: &str, special: Special) -> bool {
        let mut account = self.lock();
        if account.abilities.changes == Changes::Listing {
            return false;
        }
        let (Some(parent), name) = (account.way(path), split_path(path).1) else { return false };
        if account.child(parent, name, ItemKind::File).is_some() {
            return false;
        }
        let mut node = account.file(parent, name, [].into(), 0);
        node.special = Some(special);
        account.add(node);
        true
    }

    /// Makes a folder with those around it.
    pub fn make(&self, path: &str) -> bool {
        let mut account = self.lock();
        if !account.abilities.keeps_empty {
            return false;
        }
        let (Some(parent), name) = (account.way(path), split_path(path).1) else { return false };
        match account.child(parent, name, ItemKind::Folder) {
            Some(id) => {
                let is_folder = account.tree.get(id).is_some_and(|it| it.kind == ItemKind::Folder);
                if is_folder && account.implied() {
                    account.tree.change(id, |node| node.marked = true);
                }
                is_folder
            }
            None => {
                account.add(folder(parent, name));
                true
            }
        }
    }

    /// Moves or renames an item, with everything in it, to a free path.
    pub fn relocate(&self, from: &str, to: &str) -> bool {
        let mut account = self.lock();
        match account.at(from) {
            Some(id) if !from.is_empty() => account.put_at(id, to),
            _ => false,
        }
    }

    /// Two items change places.
    pub fn swap(&self, one: &str, other: &str) -> bool {
        let mut account = self.lock();
        let (Some(first), Some(second)) = (account.at(one), account.at(other)) else {
            return false;
        };
        let tree = &account.tree;
        let apart = tree.path(first, second).is_none() && tree.path(second, first).is_none();
        let place = |id| account.tree.get(id).map(|node| (node.parent, node.name.clone()));
        let (true, Some((from, name)), Some((to, new))) = (apart, place(first), place(second))
        else {
            return false;
        };
        // Where a file and a folder of one name may be beside each other, only one kind goes.
        let taken = |id, (folder, name): (u64, &str), other| {
            let kind = account.tree.get(id).map(|node| node.kind);
            let all = kind.map(|kind| account.tree.named(folder, name, kind)).unwrap_or_default();
            all.iter().any(|there| *there != other)
        };
        let crowded = taken(second, (from, &name), first) || taken(first, (to, &new), second);
        if crowded && !account.abilities.descriptor.namesakes {
            return false;
        }
        account.shift(first, from, "changing places");
        account.shift(second, from, &name);
        account.shift(first, to, &new);
        true
    }

    /// Removes an item with everything in it.
    pub fn delete(&self, path: &str) -> bool {
        let mut account = self.lock();
        match account.at(path) {
            Some(id) if !path.is_empty() => {
                account.remove(id);
                true
            }
            _ => false,
        }
    }

    /// Gives a file another time of modification.
    pub fn touch(&self, path: &str, mtime: Nanos) -> bool {
        let mut account = self.lock();
        let Some(id) = account.at(path) else { return false };
        let is_file = account.tree.get(id).is_some_and(|node| node.kind == ItemKind::File);
        if is_file {
            account.set_mtime(id, mtime);
        }
        is_file
    }

    /// Moves an item out of the root; tells how to get it back.
    pub fn take_out(&self, path: &str) -> Option<u64> {
        let mut account = self.lock();
        let id = account.at(path).filter(|_| !path.is_empty())?;
        account.relocate(id, TOP, &format!("away {id}"));
        Some(id)
    }

    /// Moves what was taken out to a free path.
    pub fn bring_back(&self, away: u64, to: &str) -> bool {
        self.lock().put_at(away, to)
    }

    /// The root goes, with everything in it.
    pub fn lose_root(&self) {
        let mut account = self.lock();
        let Some(root) = account.root() else { return };
        if !account.implied() {
            account.remove(root);
            return;
        }
        // A bucket stays.
        for id in account.tree.children(root).collect::<Vec<_>>() {
            account.remove(id);
        }
    }

    /// Another folder, which is empty, takes the root's place.
    pub fn replace_root(&self) {
        self.lose_root();
        self.lock().make_root();
    }

    /// The root goes elsewhere with everything in it, or back, whatever is in its place.
    pub fn move_root(&self, away: bool, replaced: bool) {
        let mut account = self.lock();
        let there = account.root();
        let Some(root) =
            (if away { there } else { account.tree.find(TOP, AWAY, ItemKind::Folder) })
        else {
            return;
        };
        if !away {
            there.into_iter().for_each(|there| drop(account.tree.remove(there)));
        }
        account.tree.relocate(root, TOP, if away { AWAY } else { ROOT });
        if away && replaced {
            account.tree.add(folder(TOP, ROOT));
        }
    }

    /// Who asks by an older cursor has to look at everything.
    pub fn forget_cursors(&self) {
        self.lock().epoch += 1;
    }

    /// Limits the bytes of all files.
    pub fn set_quota(&self, most: Option<u64>) {
        self.lock().quota = most;
    }

    /// What is called at every point of every request.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *lock(&self.hook) = hook;
    }

    /// From now on every call fails without effect, also one that is on its way.
    pub fn power_off(&self) {
        lock(&self.wire).off = true;
    }

    pub fn power_on(&self) {
        lock(&self.wire).off = false;
    }

    /// The requests since the last time: name, path.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.wire).log)
    }

    /// Contents that aren't in the tree.
    pub fn aftermath(&self) -> Aftermath {
        self.lock().aftermath.clone()
    }

    /// Uploads in parts that were begun and neither ended nor dropped.
    pub fn open_uploads(&self) -> usize {
        self.lock().sessions.len()
    }
}
