//! Looking at a service with a listing for each folder that tells by no version whether anything in
//! it changed: a folder whose listing is as it was isn't compared with the state again.

use super::digests::Folders;
use super::sorter::{Sorted, Sorter};
use super::walk::{self, fit};
use super::{Comparison, Observer, find_folder};
use crate::error::{Kind, Result};
use crate::model::{ItemKind, join_path};
use crate::remote::{Entry, Place, Remote};

/// A folder whose subfolders are being listed.
struct Frame {
    path: String,
    below: Sorted<()>,
}

/// Lists every folder there, and looks at those that changed. Tells whether every folder could be
/// listed.
pub(super) fn remote(
    comparison: &mut Comparison<'_>,
    remote: &dyn Remote,
    folders: &mut Folders,
) -> Result<bool> {
    let mut all = true;
    let mut frames = Vec::from_iter(enter(comparison, remote, String::new(), folders, &mut all)?);
    while let Some(frame) = frames.last_mut() {
        let Some(next) = frame.below.next() else {
            frames.pop();
            continue;
        };
        let path = join_path(&frame.path, &next?.0);
        frames.extend(enter(comparison, remote, path, folders, &mut all)?);
    }
    Ok(all)
}

/// Lists a folder; `None` when it is gone by now, or can't be listed: what is in it counts as
/// unchanged then.
fn enter(
    comparison: &mut Comparison<'_>,
    remote: &dyn Remote,
    path: String,
    folders: &mut Folders,
    all: &mut bool,
) -> Result<Option<Frame>> {
    comparison.observer.cancel.check()?;
    let mut digest = folders.begin(&path);
    let mut below = Sorter::new(comparison.observer.spill);
    let listed = remote.list(Place::at(&path), &mut |name, entry| {
        digest.add(name, &entry);
        match entry.kind {
            ItemKind::File => comparison.observer.progress.saw(),
            ItemKind::Folder => {
                if let Some(name) = synced(comparison.observer, &path, name, &entry) {
                    below.push(name, ())?;
                }
            }
        }
        Ok(())
    });
    match listed {
        Ok(()) if folders.is_as_it_was(&digest) => {}
        // It is told by the one it was in.
        Err(error) if error.kind() == Kind::NotFound && !path.is_empty() => return Ok(None),
        Err(error) if error.kind().reaction().ends_cycle() => return Err(error),
        Err(error) => {
            let look = comparison.look()?;
            if let Some(node) = find_folder(&look.snapshot, &path)? {
                look.unreadable(node, &path, &error)?;
            }
            *all = false;
            return Ok(None);
        }
        Ok(()) => {
            let spill = comparison.observer.spill;
            let look = comparison.look()?;
            if let Some(node) = find_folder(&look.snapshot, &path)? {
                *all &= walk::remote_shallow(look, remote, spill, (node, &path), folders)?;
            }
        }
    }
    Ok(Some(Frame { path, below: below.finish()? }))
}

/// The name of a folder, if it isn't left out.
fn synced(observer: &Observer<'_>, folder: &str, name: &str, entry: &Entry) -> Option<String> {
    let (name, misnamed) = fit(name);
    let rule = || observer.names.check(&join_path(folder, &name), ItemKind::Folder);
    let left_out = misnamed.is_some() || entry.special.is_some() || rule().is_some();
    (!left_out).then_some(name)
}
