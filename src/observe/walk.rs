//! Looking at a side folder by folder: the disk, or a service with a listing for each folder.

use super::level::{Descent, Level};
use super::sorter::{Sorted, Sorter};
use super::{Look, Sighting, concerns_one_folder, skip_of_disk, skip_of_entry};
use crate::error::{Error, Kind, Result};
use crate::local::{Disk, Found};
use crate::model::{ItemKind, LocalPrint, RemotePrint, Version};
use crate::remote::{Entry, Remote};
use crate::rules::SkipReason;
use crate::store::{Key, ROOT};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// An entry on its way through the sorter.
#[derive(Serialize, Deserialize)]
struct Told<P> {
    print: P,
    skip: Option<SkipReason>,
}

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
    let names = look.names;
    let list = |path: &str| {
        let mut sorter = Sorter::new(spill);
        disk.list(path, &mut |entry| {
            let (name, valid) = match entry.name.to_str() {
                Some(name) => (name.to_string(), true),
                None => (entry.name.to_string_lossy().into_owned(), false),
            };
            let skip = if valid {
                skip_of_disk(&names, &join(path, &name), entry.found)
            } else {
                Some(SkipReason::NotUtf8)
            };
            let (kind, print) = match entry.found {
                Found::File(print) => (ItemKind::File, print),
                Found::Folder(print) => (ItemKind::Folder, print),
                Found::Mount => (ItemKind::Folder, LocalPrint::default()),
                Found::Link | Found::Special => (ItemKind::File, LocalPrint::default()),
            };
            let ours = name == crate::rules::WORK_FOLDER && path.is_empty();
            if ours {
                return Ok(());
            }
            sorter.push(Key::new(0, &name, kind).name, Told { print, skip })
        })?;
        sorter.finish()
    };
    let (node, path) = start;
    let folder = |look: &Look<'_, '_>, node| look.snapshot.folder_key(node);
    let entries = match list(&path) {
        Ok(entries) => entries,
        // A folder that is gone by now is told by the one it was in.
        Err(error) if error.kind() == Kind::NotFound && node != ROOT => return Ok(()),
        Err(error) if concerns_one_folder(&error) => {
            let key = folder(look, node)?;
            return look.unreadable(key, &error);
        }
        Err(error) => return Err(error),
    };
    let mut frames = vec![Frame { level: Level::open(look, node, None)?, entries, path }];
    while let Some(frame) = frames.last_mut() {
        let Some(next) = frame.entries.next() else {
            if let Some(frame) = frames.pop() {
                frame.level.finish(look)?;
            }
            continue;
        };
        let (name, told) = next?;
        let key = Key { folder: 0, name: name.clone() };
        let path = join(&frame.path, key.plain());
        let met = frame.level.meet(look, name, Sighting::Local(told.print), told.skip)?;
        let Some(descent) = met.filter(|descent| deep || descent.new) else { continue };
        match list(&path) {
            Ok(entries) => {
                let level = Level::open(look, descent.node, None)?;
                frames.push(Frame { level, entries, path });
            }
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) if concerns_one_folder(&error) => {
                let key = folder(look, descent.node)?;
                if key.is_some() {
                    look.unreadable(key, &error)?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    let names = look.names;
    let list = |path: &str| -> Result<Sorted<Told<RemotePrint>>> {
        let mut sorter = Sorter::new(spill);
        remote.list(path, &mut |name, entry: Entry| {
            let skip = skip_of_entry(&names, &join(path, name), &entry);
            sorter.push(Key::new(0, name, entry.kind).name, Told { print: entry.print, skip })
        })?;
        sorter.finish()
    };
    let open = |look: &Look<'_, '_>, path: String, node: u64, version: Option<(Key, Version)>| {
        let entries = list(&path)?;
        Ok::<_, Error>(Frame { level: Level::open(look, node, version)?, entries, path })
    };
    let mut frames = vec![open(look, String::new(), ROOT, None)?];
    while let Some(frame) = frames.last_mut() {
        let Some(next) = frame.entries.next() else {
            if let Some(frame) = frames.pop() {
                frame.level.finish(look)?;
            }
            continue;
        };
        let (name, told) = next?;
        let key = Key { folder: 0, name: name.clone() };
        let path = join(&frame.path, key.plain());
        let met = frame.level.meet(look, name, Sighting::Remote(told.print), told.skip)?;
        if let Some(Descent { node, version, .. }) = met {
            match open(look, path, node, version) {
                Ok(frame) => frames.push(frame),
                // Removed between the two listings: the next look tells.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    if !version.is_empty() {
        look.batch.set_fact(ROOT_VERSION, Some(version.as_str().as_bytes().to_vec()));
    }
    Ok(())
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}
