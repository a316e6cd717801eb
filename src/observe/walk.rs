//! Looking at a side folder by folder: the disk, or a service with a listing for each folder.

use super::digests::Folders;
use super::glance;
use super::level::{Descent, Level};
use super::sorter::{Sorted, Sorter};
use super::{Comparison, Look, Sighting};
use crate::error::{Error, Kind, Result};
use crate::local::{Disk, Found};
use crate::model::{ItemKind, LocalPrint, RemotePrint, join_path};
use crate::remote::{Entry, Place, Remote};
use crate::rules::{SkipReason, WORK_FOLDER, namesake};
use crate::store::{Key, ROOT, Record};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::iter::Peekable;
use std::path::Path;

/// Fact: the version of the root that all that is in it was told in.
pub(crate) const ROOT_VERSION: &str = "remote-root";

/// Items of one name in one folder that are told apart.
const MOST_NAMESAKES: usize = 1000;

/// An entry on its way through the sorter.
#[derive(Serialize, Deserialize)]
pub(super) struct Told<P> {
    pub print: P,
    /// Why it can't be synced, whatever it is called.
    pub skip: Option<SkipReason>,
}

/// The sorted entries of a folder; `None` when it can't be looked at now.
type Listed<P> = Option<Sorted<Told<P>>>;

struct Frame<P: Print> {
    level: Level,
    entries: Peekable<Sorted<Told<P>>>,
    path: String,
    /// Items whose name another one has, by the names that tell them apart.
    namesakes: Vec<(String, Told<P>)>,
}

/// A folder to list.
struct At<'a> {
    node: u64,
    path: &'a str,
    /// What the service calls it.
    id: &'a str,
}

/// What a side tells of an item.
pub(crate) trait Print: Serialize + DeserializeOwned {
    /// What the service calls the item.
    fn id(&self) -> &str;
}

impl Print for LocalPrint {
    fn id(&self) -> &str {
        ""
    }
}

impl Print for RemotePrint {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Looks at a folder of the disk: with everything in it, or only with what is new in it.
pub(super) fn local(
    look: &mut Look<'_>,
    disk: &Disk,
    spill: &Path,
    start: (u64, String),
    deep: bool,
) -> Result<()> {
    let list = |look: &mut Look<'_>, at: At<'_>| {
        let listed = list_disk(disk, spill, at.path);
        take_listed(look, &at, listed)
    };
    let (node, path) = start;
    walk(look, At { node, path: &path, id: "" }, deep, &list, Sighting::Local).map(drop)
}

/// Looks at a service with a listing for each folder, leaving out folders whose version says that
/// nothing changed in them. Tells whether every folder could be listed.
pub(super) fn remote(
    comparison: &mut Comparison<'_>,
    remote: &dyn Remote,
    folders: &mut Folders,
) -> Result<bool> {
    let Some(root) = remote.stat(Place::default(), ItemKind::Folder)? else {
        return Err(Error::new(Kind::RootLost, "the remote folder", "it isn't there")
            .remedy("make it again or correct the task's remote folder"));
    };
    let version = root.print.version;
    // Where folders have ids, what is in them goes with them wherever they are renamed to.
    let compares = version.is_empty() && root.print.id.is_empty();
    if compares && !folders.is_empty() {
        return glance::remote(comparison, remote, folders);
    }
    if comparison.observer.settled.get() && folders.root.as_ref() == Some(&version) {
        return Ok(true);
    }
    let spill = comparison.observer.spill;
    let look = comparison.look()?;
    let known = look.snapshot.fact(ROOT_VERSION)?;
    if !version.is_empty() && known.as_deref() == Some(version.as_str().as_bytes()) {
        return Ok(true);
    }
    let folders = compares.then_some(folders);
    let all = walk_remote(look, remote, spill, At { node: ROOT, path: "", id: "" }, true, folders)?;
    if all && !version.is_empty() {
        look.batch.set_fact(ROOT_VERSION, Some(version.as_str().as_bytes().to_vec()));
    }
    Ok(all)
}

/// Looks at a folder of a service with a listing for each folder, and at everything in it. Tells
/// whether every folder could be listed.
pub(super) fn remote_below(
    look: &mut Look<'_>,
    remote: &dyn Remote,
    spill: &Path,
    key: &Key,
) -> Result<bool> {
    let path = look.snapshot.path(key)?;
    let Some(record) = look.snapshot.get(key)? else { return Ok(true) };
    let at = At { node: record.node, path: &path, id: record.remote_id() };
    walk_remote(look, remote, spill, at, true, None)
}

/// Looks at a folder of the service, and at what is new in it. Tells whether every folder could be
/// listed.
pub(super) fn remote_shallow(
    look: &mut Look<'_>,
    remote: &dyn Remote,
    spill: &Path,
    (node, path): (u64, &str),
    folders: &mut Folders,
) -> Result<bool> {
    walk_remote(look, remote, spill, At { node, path, id: "" }, false, Some(folders))
}

/// Tells `folders` what was listed.
fn walk_remote(
    look: &mut Look<'_>,
    remote: &dyn Remote,
    spill: &Path,
    start: At<'_>,
    deep: bool,
    folders: Option<&mut Folders>,
) -> Result<bool> {
    let folders = RefCell::new(folders);
    let list = |look: &mut Look<'_>, at: At<'_>| {
        let place = Place { path: at.path, id: at.id, folder: "" };
        let mut folders = folders.borrow_mut();
        let mut digest = folders.as_ref().map(|folders| folders.begin(at.path));
        let listed = list_remote(remote, spill, place, |name, entry| {
            if let Some(digest) = &mut digest {
                digest.add(name, &entry);
            }
            entry.print
        });
        if let (Some(folders), Some(digest)) = (&mut *folders, digest.filter(|_| listed.is_ok())) {
            folders.saw(&digest);
        }
        take_listed(look, &at, listed)
    };
    walk(look, start, deep, &list, Sighting::Remote)
}

/// The entries of a folder of the service, with what `print` takes of each.
pub(super) fn list_remote<P: Print>(
    remote: &dyn Remote,
    spill: &Path,
    place: Place<'_>,
    mut print: impl FnMut(&str, Entry) -> P,
) -> Result<Sorted<Told<P>>> {
    let mut sorter = Sorter::new(spill);
    remote.list(place, &mut |name, entry| {
        let (fitting, misnamed) = fit(name);
        let skip = misnamed.or(entry.special.map(SkipReason::from));
        let key = Key::new(0, &fitting, entry.kind);
        sorter.push(key.name, Told { print: print(name, entry), skip })
    })?;
    sorter.finish()
}

/// A folder that can't be listed counts as unchanged, whatever it was; the rest goes on.
fn take_listed<P>(
    look: &mut Look<'_>,
    at: &At<'_>,
    listed: Result<Sorted<Told<P>>>,
) -> Result<Listed<P>> {
    match listed {
        Ok(entries) => look.readable(at.node).map(|()| Some(entries)),
        // A folder that is gone by now is told by the one it was in.
        Err(error) if error.kind() == Kind::NotFound && at.node != ROOT => Ok(None),
        Err(error) if !error.kind().reaction().ends_cycle() => {
            look.unreadable(at.node, at.path, &error).map(|()| None)
        }
        Err(error) => Err(error),
    }
}

/// Tells whether everything could be listed.
fn walk<P, L>(
    look: &mut Look<'_>,
    start: At<'_>,
    deep: bool,
    list: &L,
    sighting: fn(P) -> Sighting,
) -> Result<bool>
where
    P: Print,
    L: Fn(&mut Look<'_>, At<'_>) -> Result<Listed<P>>,
{
    let (node, path) = (start.node, start.path.to_string());
    let Some(entries) = list(look, start)? else { return Ok(false) };
    let mut all = true;
    let mut frames = vec![Frame::new(Level::open(look, node, None)?, entries, path)];
    while let Some(frame) = frames.last_mut() {
        let ((name, told), is_namesake) = if let Some(next) = frame.entries.next() {
            let chosen = match frame.choose(look, next?) {
                Err(error) if !error.kind().reaction().ends_cycle() => {
                    look.unreadable(frame.level.folder(), &frame.path, &error)?;
                    frames.pop();
                    all = false;
                    frames.iter_mut().for_each(|frame| frame.level.forget_version());
                    continue;
                }
                chosen => chosen?,
            };
            (chosen, false)
        } else if let Some(namesake) = frame.namesakes.pop() {
            (namesake, true)
        } else {
            if let Some(frame) = frames.pop() {
                frame.level.finish(look)?;
            }
            continue;
        };
        let key = Key { folder: frame.level.folder(), name };
        let path = join_path(&frame.path, key.plain());
        // What it is by nature says more than its name.
        let by_name = || look.names.check(&path, key.kind());
        let skip = told.skip.or_else(by_name);
        let met = if is_namesake {
            frame.level.meet_namesake(look, &key.name, sighting(told.print), skip)?
        } else {
            frame.level.meet(look, key.name, sighting(told.print), skip)?
        };
        let Some(descent) = met.filter(|descent| deep || descent.new) else { continue };
        let Descent { node, id, version, .. } = descent;
        match list(look, At { node, path: &path, id: &id })? {
            Some(entries) => {
                frames.push(Frame::new(Level::open(look, node, version)?, entries, path));
            }
            None => {
                // The version of no folder above stands for what wasn't told.
                all = false;
                frames.iter_mut().for_each(|frame| frame.level.forget_version());
            }
        }
    }
    Ok(all)
}

impl<P: Print> Frame<P> {
    fn new(level: Level, entries: Sorted<Told<P>>, path: String) -> Self {
        Frame { level, entries: entries.peekable(), path, namesakes: Vec::new() }
    }

    fn choose(&mut self, look: &Look<'_>, entry: (String, Told<P>)) -> Result<(String, Told<P>)> {
        let folder = self.level.folder();
        let holder = |name: &str| look.snapshot.get(&Key { folder, name: name.into() });
        choose(&mut self.entries, entry, &self.path, &holder, &mut self.namesakes)
    }
}

/// Of the items that share the name of this one, chooses the one to go by it: who did until
/// now, else the eldest. The others, for as long as they are there, go by names of their own, and
/// are put among the `namesakes`.
pub(super) fn choose<P: Print>(
    entries: &mut Peekable<Sorted<Told<P>>>,
    (name, told): (String, Told<P>),
    folder: &str,
    holder: &dyn Fn(&str) -> Result<Option<Record>>,
    namesakes: &mut Vec<(String, Told<P>)>,
) -> Result<(String, Told<P>)> {
    let shares = |next: &Result<(String, Told<P>)>| matches!(next, Ok((next, _)) if *next == name);
    if told.print.id().is_empty() || !entries.peek().is_some_and(shares) {
        return Ok((name, told));
    }
    let mut sharing = vec![told];
    while let Some(next) = entries.next_if(shares) {
        let (_, told) = next?;
        // Told twice.
        if sharing.iter().any(|known| known.print.id() == told.print.id()) {
            continue;
        }
        sharing.push(told);
        if sharing.len() > MOST_NAMESAKES {
            let cause = format!("more than {MOST_NAMESAKES} items in a folder have this name");
            return Err(Error::new(Kind::BadName, join_path(folder, &name), cause)
                .remedy("rename or remove some of them on the service"));
        }
    }
    let holder = holder(&name)?;
    let holder = holder.as_ref().map_or("", Record::remote_id);
    let chosen = sharing.iter().position(|told| told.print.id() == holder).unwrap_or(0);
    let told = sharing.swap_remove(chosen);
    let key = Key { folder: 0, name };
    namesakes.extend(sharing.into_iter().map(|told| {
        let own = namesake(key.plain(), told.print.id());
        (Key::new(0, &own, key.kind()).name, told)
    }));
    Ok((key.name, told))
}

/// A name that can be a part of a path, and the rule by which the item isn't synced if that isn't
/// its own.
pub(super) fn fit(name: &str) -> (String, Option<SkipReason>) {
    match name {
        "" => ("(no name)".into(), Some(SkipReason::ServiceName)),
        // The division slash: it is shown, not used.
        name if name.contains('/') => {
            (name.replace('/', "\u{2215}"), Some(SkipReason::Character('/')))
        }
        name => (name.into(), None),
    }
}

pub(super) fn list_disk(disk: &Disk, spill: &Path, path: &str) -> Result<Sorted<Told<LocalPrint>>> {
    let mut sorter = Sorter::new(spill);
    disk.list(path, &mut |entry| {
        let (name, valid) = match entry.name.to_str() {
            Some(name) => (name.to_string(), true),
            None => (entry.name.to_string_lossy().into_owned(), false),
        };
        if path.is_empty() && name == WORK_FOLDER {
            return Ok(());
        }
        let none = LocalPrint::default();
        let (kind, print, skip) = match entry.found {
            Found::File(print) => (ItemKind::File, print, None),
            Found::Folder(print) => (ItemKind::Folder, print, None),
            Found::Mount => (ItemKind::Folder, none, Some(SkipReason::MountPoint)),
            Found::Link => (ItemKind::File, none, Some(SkipReason::SymbolicLink)),
            Found::Special => (ItemKind::File, none, Some(SkipReason::SpecialFile)),
        };
        let skip = if valid { skip } else { Some(SkipReason::NotUtf8) };
        sorter.push(Key::new(0, &name, kind).name, Told { print, skip })
    })?;
    sorter.finish()
}
