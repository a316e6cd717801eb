//! Looking at a side folder by folder: the disk, or a service with a listing for each folder.

use super::level::{Descent, Level};
use super::sorter::{Sorted, Sorter};
use super::{Look, Sighting, concerns_one_folder, skip_of_disk, skip_of_entry};
use crate::error::{Error, Kind, Result};
use crate::local::{Disk, Found};
use crate::model::{ItemKind, LocalPrint};
use crate::remote::{Entry, Remote};
use crate::rules::{NameCheck, SkipReason, WORK_FOLDER};
use crate::store::{Key, ROOT};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// An entry on its way through the sorter.
#[derive(Serialize, Deserialize)]
struct Told<P> {
    print: P,
    skip: Option<SkipReason>,
}

/// The sorted entries of a folder; `None` when it can't be looked at now.
type Listed<P> = Option<Sorted<Told<P>>>;

struct Frame<P> {
    level: Level,
    entries: Sorted<Told<P>>,
    path: String,
}

/// Looks at a folder of the disk: with everything in it, or only with what is new in it.
pub(super) fn local(
    look: &mut Look<'_, '_>,
    disk: &Disk,
    spill: &Path,
    start: (u64, String),
    deep: bool,
) -> Result<()> {
    let list = |look: &mut Look<'_, '_>, node: u64, path: &str| {
        let listed = list_disk(&look.names, disk, spill, path);
        take_listed(look, node, path, listed)
    };
    walk(look, start, deep, &list, Sighting::Local).map(drop)
}

/// Looks at a service with a listing for each folder, leaving out folders whose version says that
/// nothing changed in them.
pub(super) fn remote(look: &mut Look<'_, '_>, remote: &dyn Remote, spill: &Path) -> Result<()> {
    const ROOT_VERSION: &str = "remote-root";
    let Some(root) = remote.stat("", ItemKind::Folder)? else {
        return Err(Error::new(Kind::RootLost, "the remote folder", "it isn't there")
            .remedy("make it again or correct the task's remote folder"));
    };
    let version = root.print.version;
    let known = look.snapshot.fact(ROOT_VERSION)?;
    if !version.is_empty() && known.as_deref() == Some(version.as_str().as_bytes()) {
        return Ok(());
    }
    let list = |look: &mut Look<'_, '_>, node: u64, path: &str| {
        let names = look.names;
        let mut sorter = Sorter::new(spill);
        let listed = remote.list(path, &mut |name, entry: Entry| {
            let skip = skip_of_entry(&names, &join(path, name), &entry);
            sorter.push(Key::new(0, name, entry.kind).name, Told { print: entry.print, skip })
        });
        take_listed(look, node, path, listed.and_then(|()| sorter.finish()))
    };
    let all = walk(look, (ROOT, String::new()), true, &list, Sighting::Remote)?;
    if all && !version.is_empty() {
        look.batch.set_fact(ROOT_VERSION, Some(version.as_str().as_bytes().to_vec()));
    }
    Ok(())
}

/// A folder that can't be listed counts as unchanged, whatever it was; the rest goes on.
fn take_listed<P>(
    look: &mut Look<'_, '_>,
    node: u64,
    path: &str,
    listed: Result<Sorted<Told<P>>>,
) -> Result<Listed<P>> {
    match listed {
        Ok(entries) => look.readable(node).map(|()| Some(entries)),
        // A folder that is gone by now is told by the one it was in.
        Err(error) if error.kind() == Kind::NotFound && node != ROOT => Ok(None),
        Err(error) if concerns_one_folder(&error) => {
            look.unreadable(node, path, &error).map(|()| None)
        }
        Err(error) => Err(error),
    }
}

/// Tells whether everything could be listed.
fn walk<P, L>(
    look: &mut Look<'_, '_>,
    (node, path): (u64, String),
    deep: bool,
    list: &L,
    sighting: fn(P) -> Sighting,
) -> Result<bool>
where
    P: Serialize + for<'de> Deserialize<'de>,
    L: Fn(&mut Look<'_, '_>, u64, &str) -> Result<Listed<P>>,
{
    let Some(entries) = list(look, node, &path)? else { return Ok(false) };
    let mut all = true;
    let mut frames = vec![Frame { level: Level::open(look, node, None)?, entries, path }];
    while let Some(frame) = frames.last_mut() {
        let Some(next) = frame.entries.next() else {
            if let Some(frame) = frames.pop() {
                frame.level.finish(look)?;
            }
            continue;
        };
        let (name, told) = next?;
        let path = join(&frame.path, name.strip_suffix('/').unwrap_or(&name));
        let met = frame.level.meet(look, name, sighting(told.print), told.skip)?;
        let Some(Descent { node, version, .. }) = met.filter(|descent| deep || descent.new) else {
            continue;
        };
        match list(look, node, &path)? {
            Some(entries) => {
                frames.push(Frame { level: Level::open(look, node, version)?, entries, path });
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

fn list_disk(
    names: &NameCheck,
    disk: &Disk,
    spill: &Path,
    path: &str,
) -> Result<Sorted<Told<LocalPrint>>> {
    let mut sorter = Sorter::new(spill);
    disk.list(path, &mut |entry| {
        let (name, valid) = match entry.name.to_str() {
            Some(name) => (name.to_string(), true),
            None => (entry.name.to_string_lossy().into_owned(), false),
        };
        if path.is_empty() && name == WORK_FOLDER {
            return Ok(());
        }
        let skip = if valid {
            skip_of_disk(names, &join(path, &name), entry.found)
        } else {
            Some(SkipReason::NotUtf8)
        };
        let (kind, print) = match entry.found {
            Found::File(print) => (ItemKind::File, print),
            Found::Folder(print) => (ItemKind::Folder, print),
            Found::Mount => (ItemKind::Folder, LocalPrint::default()),
            Found::Link | Found::Special => (ItemKind::File, LocalPrint::default()),
        };
        sorter.push(Key::new(0, &name, kind).name, Told { print, skip })
    })?;
    sorter.finish()
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}
