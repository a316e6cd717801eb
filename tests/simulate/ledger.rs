//! What persons did, and so what Mooring owes them: every content that somebody wrote and nobody
//! took away has to be somewhere.

use super::clock::Time;
use super::disk::{Bytes, SimDisk, Tree};
use super::script::{Act, Path, Trouble};
use super::service::{Item, Twin};
use mooring::clock::Clock;
use mooring::model::Side;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The world that persons act in, and the account of what they did there.
pub struct Ledger {
    pub disk: SimDisk,
    pub twin: Arc<Twin>,
    pub time: Time,
    /// Every content that was ever written.
    pub known: BTreeSet<Bytes>,
    /// Those that somebody overwrote or removed, wherever that was.
    pub taken: BTreeSet<Bytes>,
    /// How often each was written or moved.
    pub made: BTreeMap<Bytes, u32>,
    /// Local folders that something happened in since the last look.
    pub touched: BTreeSet<String>,
    /// What happens at which call of the running cycle, soonest last.
    pub due: Vec<(u32, Act)>,
    /// Calls in the running cycle so far.
    pub calls: u32,
    /// What becomes of the next requests.
    pub failing: Option<(Trouble, u32)>,
    /// The power is off; `true` when it was cut rather than Mooring killed.
    pub off: Option<bool>,
    /// Calls of the running cycle that changed something on the disk.
    pub local_changes: u32,
    /// Likewise on the service.
    pub remote_changes: u32,
    /// The task knows its folders.
    pub linked: bool,
}

/// What the service has.
pub fn tree_of(items: Vec<Item>) -> Tree {
    let key = |item: &Item| match item.content {
        Some(_) => item.path.clone(),
        None => format!("{}/", item.path),
    };
    let synced = items.into_iter().filter(|item| item.special.is_none());
    synced.map(|item| (key(&item), item.content)).collect()
}

/// Where each content is, those without bytes apart: they can be had anywhere.
fn places(tree: &Tree) -> BTreeMap<&Bytes, BTreeSet<&String>> {
    let mut places = BTreeMap::<_, BTreeSet<_>>::new();
    for (path, content) in tree {
        if let Some(content) = content.as_ref().filter(|content| !content.is_empty()) {
            places.entry(content).or_default().insert(path);
        }
    }
    places
}

impl Ledger {
    pub fn new(disk: SimDisk, twin: Arc<Twin>, time: Time) -> Ledger {
        Ledger {
            disk,
            twin,
            time,
            known: BTreeSet::new(),
            taken: BTreeSet::new(),
            made: BTreeMap::new(),
            touched: BTreeSet::new(),
            due: Vec::new(),
            calls: 0,
            failing: None,
            off: None,
            local_changes: 0,
            remote_changes: 0,
            linked: false,
        }
    }

    pub fn tree(&self, side: Side) -> Tree {
        match side {
            Side::Local => self.disk.tree(),
            Side::Remote => tree_of(self.twin.items()),
        }
    }

    fn touch(&mut self, path: Path) {
        self.touched.insert(path.folder());
        // Folders made on the way.
        let folder = path.folder();
        let mut at = folder.as_str();
        while let Some((above, _)) = at.rsplit_once('/') {
            self.touched.insert(above.into());
            at = above;
        }
        self.touched.insert(String::new());
    }

    /// Somebody does this.
    pub fn act(&mut self, act: &Act) {
        match act {
            Act::Write(side, path, content) => {
                let bytes: Bytes = content.bytes().into();
                self.change(*side, &[*path], |ledger| match side {
                    Side::Local => ledger.disk.write(&path.text(), &bytes),
                    Side::Remote => ledger.twin.put(&path.text(), &bytes, ledger.time.elsewhere()),
                });
            }
            Act::Save(path, content) => {
                let bytes: Bytes = content.bytes().into();
                self.change(Side::Local, &[*path], |it| it.disk.save(&path.text(), &bytes));
            }
            Act::MakeFolder(side, path) => self.change(*side, &[*path], |ledger| match side {
                Side::Local => ledger.disk.make_folder(&path.text()),
                Side::Remote => ledger.twin.make(&path.text()),
            }),
            Act::Rename(side, from, to) => {
                self.change(*side, &[*from, *to], |ledger| match side {
                    Side::Local => ledger.disk.rename(&from.text(), &to.text()),
                    Side::Remote => ledger.twin.relocate(&from.text(), &to.text()),
                });
            }
            Act::Swap(side, one, two) => self.change(*side, &[*one, *two], |ledger| match side {
                Side::Local => ledger.disk.swap(&one.text(), &two.text()),
                Side::Remote => ledger.twin.swap(&one.text(), &two.text()),
            }),
            Act::Remove(side, path) => self.change(*side, &[*path], |ledger| match side {
                Side::Local => ledger.disk.remove(&path.text()),
                Side::Remote => ledger.twin.delete(&path.text()),
            }),
            Act::Touch(path, mtime) => {
                let before = self.time.now() - 86_400_000_000_000;
                self.disk.touch(&path.text(), mtime.then_some(before));
                self.touch(*path);
            }
            Act::Close(path) => drop(self.disk.close(&path.text(), true)),
            Act::OpenAll => self.disk.open_all(),
            Act::Use(path) => drop(self.disk.use_file(&path.text(), true)),
            Act::Room(bytes) => self.disk.set_room(Some(*bytes)),
            Act::Quota(bytes) => {
                let items = self.twin.items();
                let used = items.iter().filter_map(|it| it.content.as_ref()).map(|it| it.len());
                self.twin.set_quota(Some(used.sum::<usize>() as u64 + bytes));
            }
            Act::MakeRoom => {
                self.disk.set_room(None);
                self.twin.set_quota(None);
            }
            // Nobody makes a task of a folder that isn't there.
            Act::Unmount if !self.linked => {}
            Act::Unmount => self.disk.mount(false),
            Act::Mount => self.disk.mount(true),
            Act::Jump(seconds) => self.time.jump(seconds * 1_000_000_000),
            Act::Rest(millis) => self.time.rest(Duration::from_millis(*millis)),
            Act::Fail(trouble, requests) => self.failing = Some((*trouble, *requests)),
            Act::ForgetCursors => self.twin.forget_cursors(),
            Act::Kill => self.power_off(false),
            Act::PowerCut => self.power_off(true),
        }
    }

    /// Changes a side at these places, and writes down which contents that took away, made or
    /// moved.
    fn change(&mut self, side: Side, at: &[Path], change: impl FnOnce(&Ledger) -> bool) {
        let before = self.tree(side);
        if !change(self) {
            return;
        }
        let after = self.tree(side);
        let (old, new) = (places(&before), places(&after));
        let gone = old.keys().filter(|content| !new.contains_key(*content));
        self.taken.extend(gone.copied().cloned());
        // What is there a second time, because the other side moved it, is on its way out there.
        let other = self.tree(if side == Side::Local { Side::Remote } else { Side::Local });
        let across = places(&other);
        let left = old.iter().filter(|(content, was)| {
            let is = new.get(*content);
            let went =
                |path: &&String| was.contains(path) && !is.is_some_and(|is| is.contains(path));
            is.is_some_and(|is| is.len() < was.len())
                && across.get(*content).is_some_and(|there| there.iter().all(|path| went(&path)))
        });
        self.taken.extend(left.map(|(content, _)| (*content).clone()));
        // What programs leave behind in a folder goes with it.
        let litter = |path: &&&String| path.ends_with("Thumbs.db") || path.ends_with("._r");
        let left = new.iter().filter(|(_, places)| places.iter().any(|path| litter(&path)));
        self.taken.extend(left.map(|(content, _)| (*content).clone()));
        for (content, places) in &new {
            if old.get(content) != Some(places) {
                self.known.insert((*content).clone());
                *self.made.entry((*content).clone()).or_default() += 1;
            }
        }
        if side == Side::Local {
            at.iter().for_each(|path| self.touch(*path));
        }
    }

    fn power_off(&mut self, cut: bool) {
        self.off = Some(cut);
        self.disk.power_off();
        self.twin.power_off();
    }

    /// Does what is due before the next call.
    pub fn do_due(&mut self) {
        while self.due.last().is_some_and(|(when, _)| *when <= self.calls) && self.off.is_none() {
            if let Some((_, act)) = self.due.pop() {
                self.act(&act);
            }
        }
    }

    /// Everything is as it should be.
    pub fn put_in_order(&mut self) {
        self.disk.mount(true);
        self.disk.open_all();
        self.disk.set_room(None);
        self.twin.set_quota(None);
        self.failing = None;
        self.time.rest(Duration::from_secs(120));
    }

    /// The contents that are owed and nowhere to be found.
    pub fn lost(&self) -> Vec<Bytes> {
        let aftermath = self.twin.aftermath();
        let mut there: BTreeSet<Bytes> = self.disk.tree().into_values().flatten().collect();
        there.extend(self.twin.items().into_iter().filter_map(|item| item.content));
        there.extend(aftermath.kept.into_iter().chain(aftermath.raced));
        let owed = self.known.iter().filter(|it| !it.is_empty() && !self.taken.contains(*it));
        owed.filter(|content| !there.contains(*content)).cloned().collect()
    }
}
