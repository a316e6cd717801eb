//! The items of an account: files and folders, known by numbers and found by their names.

use super::abilities::{Abilities, Unicode};
use mooring::hash::Hash;
use mooring::model::{ItemKind, Nanos};
use mooring::remote::Special;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A content.
pub type Bytes = Arc<[u8]>;
/// The folder around everything, the root of the task included.
pub const TOP: u64 = 0;

/// An item.
#[derive(Clone)]
pub struct Node {
    pub parent: u64,
    pub name: String,
    pub kind: ItemKind,
    pub bytes: Bytes,
    pub hash: Option<Hash>,
    pub mtime: Nanos,
    /// Of a file, new with each change of it; of a folder, with each change below.
    pub version: u64,
    /// A folder that stays though nothing is in it.
    pub marked: bool,
    pub special: Option<Special>,
}

/// All items.
pub struct Tree {
    nodes: BTreeMap<u64, Node>,
    /// Those of one name in a folder, the eldest first.
    slots: BTreeMap<(u64, String), Vec<u64>>,
    next: u64,
    any_case: bool,
    unicode: Unicode,
    /// A file and a folder may have the same name.
    split: bool,
}

impl Tree {
    pub fn new(abilities: &Abilities) -> Tree {
        Tree {
            nodes: BTreeMap::new(),
            slots: BTreeMap::new(),
            next: TOP + 1,
            any_case: abilities.any_case(),
            unicode: abilities.unicode,
            split: abilities.descriptor.folders_implied,
        }
    }

    pub fn get(&self, id: u64) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// A number that never was one before.
    pub fn count(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Those of this name, the eldest first.
    pub fn named(&self, parent: u64, name: &str, kind: ItemKind) -> &[u64] {
        let slot = (parent, self.slot(name, kind));
        self.slots.get(&slot).map_or(&[], Vec::as_slice)
    }

    pub fn find(&self, parent: u64, name: &str, kind: ItemKind) -> Option<u64> {
        let named = self.named(parent, name, kind);
        // The eldest of the kind that is asked for.
        let of_kind = named.iter().find(|id| self.nodes[id].kind == kind);
        of_kind.or(named.first()).copied()
    }

    /// What is in a folder, by name.
    pub fn children(&self, parent: u64) -> impl Iterator<Item = u64> + '_ {
        let all = (parent, String::new())..(parent + 1, String::new());
        self.slots.range(all).flat_map(|(_, ids)| ids.iter().copied())
    }

    pub fn is_empty(&self, parent: u64) -> bool {
        self.children(parent).next().is_none()
    }

    /// Everything in a folder, what is around before what is in it.
    pub fn below(&self, parent: u64) -> Vec<u64> {
        let mut all: Vec<u64> = self.children(parent).collect();
        let mut at = 0;
        while at < all.len() {
            all.extend(self.children(all[at]).collect::<Vec<_>>());
            at += 1;
        }
        all
    }

    /// The path from a folder to an item in it; `None` when it isn't.
    pub fn path(&self, id: u64, from: u64) -> Option<String> {
        let mut path = String::new();
        let mut at = id;
        while at != from {
            let node = self.nodes.get(&at)?;
            path =
                if path.is_empty() { node.name.clone() } else { format!("{}/{path}", node.name) };
            at = node.parent;
        }
        Some(path)
    }

    pub fn add(&mut self, mut node: Node) -> u64 {
        let id = self.count();
        if self.unicode == Unicode::Composed {
            node.name = composed(&node.name).into_owned();
        }
        node.version = id;
        let parent = node.parent;
        self.take_slot(id, &node);
        self.nodes.insert(id, node);
        self.touch(parent);
        id
    }

    /// Changes what isn't where an item is.
    pub fn change(&mut self, id: u64, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(&id) {
            change(node);
        }
        self.touch(id);
    }

    pub fn relocate(&mut self, id: u64, parent: u64, name: &str) {
        let Some(mut node) = self.nodes.remove(&id) else { return };
        self.leave_slot(id, &node);
        let old = std::mem::replace(&mut node.parent, parent);
        node.name = match self.unicode {
            Unicode::Composed => composed(name).into_owned(),
            _ => name.into(),
        };
        self.take_slot(id, &node);
        self.nodes.insert(id, node);
        self.touch(old);
        self.touch(parent);
    }

    /// Takes out an item with everything in it, and tells it.
    pub fn remove(&mut self, id: u64) -> Vec<Node> {
        let mut all = self.below(id);
        all.insert(0, id);
        let parent = self.nodes.get(&id).map_or(TOP, |node| node.parent);
        let mut gone = Vec::new();
        for id in all {
            if let Some(node) = self.nodes.remove(&id) {
                self.leave_slot(id, &node);
                gone.push(node);
            }
        }
        self.touch(parent);
        gone
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.nodes.values().map(|node| node.bytes.len() as u64).sum()
    }

    /// Gives new versions to an item and to the folders around it.
    fn touch(&mut self, id: u64) {
        let version = self.count();
        let mut at = id;
        while let Some(node) = self.nodes.get_mut(&at) {
            node.version = version;
            at = node.parent;
        }
    }

    fn take_slot(&mut self, id: u64, node: &Node) {
        let slot = (node.parent, self.slot(&node.name, node.kind));
        let ids = self.slots.entry(slot).or_default();
        ids.push(id);
        ids.sort_unstable();
    }

    fn leave_slot(&mut self, id: u64, node: &Node) {
        let slot = (node.parent, self.slot(&node.name, node.kind));
        if let Some(ids) = self.slots.get_mut(&slot) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.slots.remove(&slot);
            }
        }
    }

    fn slot(&self, name: &str, kind: ItemKind) -> String {
        let name = match self.unicode {
            Unicode::Exact => Cow::Borrowed(name),
            Unicode::Folded | Unicode::Composed => composed(name),
        };
        let mut slot = if self.any_case { name.to_lowercase() } else { name.into_owned() };
        if self.split && kind == ItemKind::Folder {
            slot.push('/');
        }
        slot
    }
}

/// A name with the accents of the tests' alphabet put together with their letters.
fn composed(name: &str) -> Cow<'_, str> {
    const PAIRS: &[(&str, &str)] = &[
        ("e\u{301}", "\u{e9}"),
        ("E\u{301}", "\u{c9}"),
        ("a\u{308}", "\u{e4}"),
        ("A\u{308}", "\u{c4}"),
        ("o\u{308}", "\u{f6}"),
        ("O\u{308}", "\u{d6}"),
        ("u\u{308}", "\u{fc}"),
        ("U\u{308}", "\u{dc}"),
    ];
    let mut name = Cow::Borrowed(name);
    if !name.is_ascii() {
        for (apart, together) in PAIRS {
            if name.contains(apart) {
                name = name.replace(apart, together).into();
            }
        }
    }
    name
}
