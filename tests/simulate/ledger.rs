//! What persons did, and so what Mooring owes them: every content that somebody wrote and nobody
//! took away has to be somewhere.

use super::clock::Time;
use super::disk::{Bytes, SimDisk, Tree};
use super::script::{Act, Content, Path, Trouble};
use super::service::{Item, Twin};
use mooring::clock::Clock;
use mooring::model::Side;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash};
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
    /// Stands for all calls of the history.
    pub log: DefaultHasher,
    /// What becomes of the next requests.
    pub failing: Option<(Trouble, u32)>,
    /// The power is off; `true` when it was cut rather than Mooring killed.
    pub off: Option<bool>,
    /// Calls of the running cycle that changed something on the disk.
    pub local_changes: u32,
    /// Calls of any kind to the disk in this cycle.
    pub local_calls: u32,
    /// Likewise on the service.
    pub remote_changes: u32,
    /// The task knows its folders.
    pub linked: bool,
    /// Somebody took away the right to read something.
    pub closed: bool,
    /// The root on the service isn't in its place.
    pub remote_away: bool,
    /// What was taken out of the task on the service, last at the end.
    pub away: Vec<u64>,
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
            log: DefaultHasher::new(),
            failing: None,
            off: None,
            local_changes: 0,
            local_calls: 0,
            remote_changes: 0,
            linked: false,
            closed: false,
            remote_away: false,
            away: Vec::new(),
        }
    }

    pub fn tree(&self, side: Side) -> Tree {
        match side {
            Side::Local => self.disk.tree(),
            Side::Remote => tree_of(self.twin.items()),
        }
    }

    fn touch(&mut self, path: Path) {
        // Folders made on the way.
        let mut at = path.folder();
        self.touched.insert(at.into());
        while let Some((above, _)) = at.rsplit_once('/') {
            self.touched.insert(above.into());
            at = above;
        }
        self.touched.insert(String::new());
    }

    /// Mooring makes a call.
    pub fn note_call(&mut self, call: &str, about: &str) {
        self.calls += 1;
        (call, about, self.time.elsewhere()).hash(&mut self.log);
    }

    /// Somebody does this.
    pub fn act(&mut self, act: &Act) {
        match act {
            Act::Write(side, path, content) => {
                let bytes: Bytes = content.bytes().into();
                self.change(*side, &[*path], |ledger| match side {
                    Side::Local => ledger.disk.write(path.0, &bytes),
                    Side::Remote => ledger.twin.put(path.0, &bytes, ledger.time.elsewhere()),
                });
            }
            Act::Save(path, content) => {
                let bytes: Bytes = content.bytes().into();
                self.change(Side::Local, &[*path], |it| it.disk.save(path.0, &bytes));
            }
            Act::MakeFolder(side, path) => self.change(*side, &[*path], |ledger| match side {
                Side::Local => ledger.disk.make_folder(path.0),
                Side::Remote => ledger.twin.make(path.0),
            }),
            Act::Many(side, folder, count, Content(first)) => {
                self.change(*side, &[*folder], |it| {
                    let mut done = false;
                    for number in 0..*count {
                        let path = format!("{}/{number:03}", folder.0);
                        let bytes: Bytes = Content(first + number * 64).bytes().into();
                        done |= match side {
                            Side::Local => it.disk.write(&path, &bytes),
                            Side::Remote => it.twin.put(&path, &bytes, it.time.elsewhere()),
                        };
                    }
                    done
                })
            }
            Act::MakeOdd(path, odd) => {
                self.change(Side::Local, &[*path], |it| it.disk.make_odd(path.0, *odd));
            }
            Act::MakeSpecial(path, special) => {
                self.change(Side::Remote, &[*path], |it| it.twin.put_special(path.0, *special));
            }
            Act::WriteNamesake(path, content) => self.change(Side::Remote, &[*path], |ledger| {
                ledger.twin.put_namesake(path.0, &content.bytes(), ledger.time.elsewhere())
            }),
            Act::Link(from, to) => {
                self.change(Side::Local, &[*from, *to], |it| it.disk.link(from.0, to.0));
            }
            Act::TakeOut(path) => self.take_out(*path),
            Act::BringBack(path) => {
                if let Some(id) = self.away.pop() {
                    self.change(Side::Remote, &[*path], |it| it.twin.bring_back(id, path.0));
                }
            }
            Act::Rename(side, from, to) => {
                self.change(*side, &[*from, *to], |ledger| match side {
                    Side::Local => ledger.disk.rename(from.0, to.0),
                    Side::Remote => ledger.twin.relocate(from.0, to.0),
                });
            }
            Act::Swap(side, one, two) => self.change(*side, &[*one, *two], |ledger| match side {
                Side::Local => ledger.disk.swap(one.0, two.0),
                Side::Remote => ledger.twin.swap(one.0, two.0),
            }),
            Act::Remove(side, path) => self.change(*side, &[*path], |ledger| match side {
                Side::Local => ledger.disk.remove(path.0),
                Side::Remote => ledger.twin.delete(path.0),
            }),
            Act::Touch(path, mtime) => {
                let before = self.time.now() - 86_400_000_000_000;
                self.disk.touch(path.0, mtime.then_some(before));
                self.touch(*path);
            }
            Act::Close(path) => self.closed |= self.disk.close(path.0, true),
            Act::OpenAll => {
                self.disk.open_all();
                self.closed = false;
            }
            Act::Use(path) => drop(self.disk.use_file(path.0, true)),
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

    /// Moves an item on the service to where the task doesn't see it.
    fn take_out(&mut self, path: Path) {
        let mut away = None;
        self.change(Side::Remote, &[path], |ledger| {
            away = ledger.twin.take_out(path.0);
            away.is_some()
        });
        self.away.extend(away);
    }

    /// Changes a side at these places, and writes down which contents that took away, made or
    /// moved.
    fn change(&mut self, side: Side, at: &[Path], change: impl FnOnce(&Ledger) -> bool) {
        if side == Side::Remote && self.remote_away {
            return;
        }
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
                && across.get(*content).is_some_and(|there| there.iter().all(went))
        });
        self.taken.extend(left.map(|(content, _)| (*content).clone()));
        // What programs leave behind in a folder goes with it.
        let litter = |path: &&&String| path.ends_with("Thumbs.db") || path.ends_with("._r");
        let left = new.iter().filter(|(_, places)| places.iter().any(|path| litter(&path)));
        self.taken.extend(left.map(|(content, _)| (*content).clone()));
        for (content, places) in &new {
            if old.get(content) != Some(places) {
                self.known.insert((*content).clone());
                // Under each name of a file that has several.
                let known = old.get(content).map_or(0, BTreeSet::len);
                let more = places.len().saturating_sub(known).max(1) as u32;
                *self.made.entry((*content).clone()).or_default() += more;
            }
        }
        if side == Side::Local {
            at.iter().for_each(|path| self.touch(*path));
        }
    }

    /// A file was sent. If somebody had moved the one that it replaced, what was sent is there by
    /// another name than here, and whoever isn't told has two.
    pub fn note_astray(&mut self, path: &str) {
        let (here, there) = (self.tree(Side::Local), self.tree(Side::Remote));
        if let Some(Some(sent)) = here.get(path)
            && there.get(path).is_none_or(|found| found.as_ref() != Some(sent))
        {
            *self.made.entry(sent.clone()).or_default() += 1;
        }
    }

    /// A copy was made for a loser, and nobody was told. There may be no conflict any more when it
    /// would be made again. `paths` are those from and to where.
    pub fn note_copied(&mut self, paths: &str) {
        for (path, content) in self.tree(Side::Remote) {
            let is_source = paths.strip_prefix(&path).is_some_and(|to| to.starts_with(' '));
            if let Some(content) = content.filter(|_| is_source) {
                *self.made.entry(content).or_default() += 1;
            }
        }
    }

    /// A power cut brought names back that somebody had taken away.
    pub fn note_returned(&mut self, before: &Tree) {
        let (before, after) = (places(before), self.tree(Side::Local));
        for (content, names) in places(&after) {
            let more = names.len().saturating_sub(before.get(content).map_or(0, BTreeSet::len));
            *self.made.entry(content.clone()).or_default() += more as u32;
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
        self.put_roots_back();
        self.act(&Act::OpenAll);
        self.disk.set_room(None);
        self.twin.set_quota(None);
        self.failing = None;
        self.time.rest(Duration::from_secs(120));
    }

    /// Both roots are in their places.
    pub fn put_roots_back(&mut self) {
        self.disk.mount(true);
        if std::mem::take(&mut self.remote_away) {
            self.twin.move_root(false, false);
        }
    }

    /// The contents that are owed and nowhere to be found.
    pub fn lost(&self) -> Vec<Bytes> {
        if self.remote_away {
            // They are told again when it is back.
            return Vec::new();
        }
        let aftermath = self.twin.aftermath();
        let mut there: BTreeSet<Bytes> = self.disk.tree().into_values().flatten().collect();
        there.extend(aftermath.kept.into_iter().chain(aftermath.raced));
        there.extend(self.twin.contents());
        let owed = self.known.iter().filter(|it| !it.is_empty() && !self.taken.contains(*it));
        owed.filter(|content| !there.contains(*content)).cloned().collect()
    }
}
