//! What object stores have in common where they have neither folders nor moves.

use crate::error::{Error, Kind, Reaction, Result};
use crate::model::{ItemKind, Version};
use crate::remote::{Entry, Removal};
use std::cmp::Reverse;

/// Refuses to move anything but a file.
///
/// # Errors
/// `Usage`.
pub(super) fn only_file(what: &str, kind: ItemKind) -> Result<()> {
    match kind {
        ItemKind::File => Ok(()),
        ItemKind::Folder => {
            Err(Error::new(Kind::Usage, what, "this service has no way to move a folder"))
        }
    }
}

/// What came of moving a file by a copy and the removal of the original. When that was changed in
/// the meantime, the copy of what it was is taken back.
///
/// # Errors
/// That of the removal, and those of `take_back`.
pub(super) fn moved(
    copied: Entry,
    removed: Result<()>,
    take_back: impl FnOnce(&Version) -> Result<()>,
) -> Result<Entry> {
    let Err(error) = removed else { return Ok(copied) };
    if error.kind() == Kind::Changed {
        take_back(&copied.print.version)?;
    }
    Err(error)
}

/// What the answer to whether versions are kept proves: who may not ask, doesn't know or doesn't
/// tell proves nothing.
///
/// # Errors
/// Those after which it may be asked again.
pub(super) fn proven(keeps: Result<bool>) -> Result<bool> {
    match keeps {
        Err(error) if matches!(error.kind().reaction(), Reaction::Wait | Reaction::Stop) => {
            Err(error)
        }
        answer => Ok(answer.unwrap_or(false)),
    }
}

/// Files to be removed, each with its index.
pub(super) type Files<'a> = Vec<(usize, &'a Removal<'a>)>;

/// Has files removed and then, one by one, folders: what is in a folder goes before it.
/// `folder` is told what names the removal, and the path.
pub(super) fn remove(
    items: &[Removal<'_>],
    done: &mut dyn FnMut(usize, Result<()>),
    files: impl FnOnce(Files<'_>, &mut dyn FnMut(usize, Result<()>)),
    folder: impl Fn(&str, &str) -> Result<()>,
) {
    let all = items.iter().enumerate();
    let (mut folders, to_remove): (Vec<_>, _) =
        all.partition(|(_, item)| item.kind == ItemKind::Folder);
    files(to_remove, done);
    folders.sort_by_key(|(_, item)| Reverse(item.place.path));
    for (index, Removal { place, .. }) in folders {
        done(index, folder(&format!("removing the folder {}", place.path), place.path));
    }
}

/// [`remove`], where files are removed one by one, too.
pub(super) fn remove_each(
    items: &[Removal<'_>],
    done: &mut dyn FnMut(usize, Result<()>),
    file: impl Fn(&str, &str, &Version) -> Result<()>,
    folder: impl Fn(&str, &str) -> Result<()>,
) {
    let each = |files: Files<'_>, done: &mut dyn FnMut(usize, Result<()>)| {
        for (index, Removal { place, version, .. }) in files {
            done(index, file(&format!("removing {}", place.path), place.path, version));
        }
    };
    remove(items, done, each, folder);
}
