//! Looking at a service with one ordered listing of everything.

use super::level::Level;
use super::{Look, Sighting, skip_of_entry};
use crate::error::{Error, Kind, Result};
use crate::model::ItemKind;
use crate::remote::{Entry, Place, Remote};
use crate::store::{Key, ROOT};

/// The folders from the root down to where the listing is. `end` is where a folder's own path
/// (with its `/`) ends in `path`.
struct Trail {
    levels: Vec<(Level, usize)>,
    path: String,
    /// Below a folder that isn't synced: nothing is told until the listing leaves it.
    skipped: Option<usize>,
}

/// Merges the listing with the rows. A folder is there when anything in it is.
pub(super) fn remote(look: &mut Look<'_, '_>, remote: &dyn Remote) -> Result<()> {
    let root = Level::open(look, ROOT, None)?;
    let mut trail = Trail { levels: vec![(root, 0)], path: String::new(), skipped: None };
    remote.list(Place::default(), &mut |path, entry| trail.meet(look, path, entry))?;
    while let Some((level, _)) = trail.levels.pop() {
        level.finish(look)?;
    }
    Ok(())
}

impl Trail {
    fn meet(&mut self, look: &mut Look<'_, '_>, path: &str, entry: Entry) -> Result<()> {
        let folder_end = match entry.kind {
            // A folder of its own is met as the last of the folders on the way.
            ItemKind::Folder => path.len(),
            ItemKind::File => path.rfind('/').unwrap_or(0),
        };
        self.leave(look, &path[..folder_end])?;
        if self.skipped.is_some() {
            return Ok(());
        }
        let mut from = self.path.len();
        while from < folder_end {
            let to = path[from..folder_end].find('/').map_or(folder_end, |at| from + at);
            if !self.enter(look, &path[..to], from)? {
                return Ok(());
            }
            from = to + 1;
        }
        if entry.kind == ItemKind::File {
            let name = path[self.path.len()..].to_string();
            let skip = skip_of_entry(look.names, path, &entry);
            self.top(path)?.meet(look, name, Sighting::Remote(entry.print), skip)?;
        }
        Ok(())
    }

    /// Goes back up to the last folder that `folder` (without `/` at its end) is, or is in.
    fn leave(&mut self, look: &mut Look<'_, '_>, folder: &str) -> Result<()> {
        let is_in = |above: &str| {
            above.is_empty()
                || folder
                    .strip_prefix(&above[..above.len() - 1])
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        while !is_in(&self.path) {
            match self.skipped.take() {
                Some(end) => self.path.truncate(end),
                None => {
                    let Some((level, _)) = self.levels.pop() else { break };
                    level.finish(look)?;
                    let end = self.levels.last().map_or(0, |(_, end)| *end);
                    self.path.truncate(end);
                }
            }
        }
        Ok(())
    }

    /// Goes into the folder at `path`, whose name begins at `from`. Tells whether it is synced.
    fn enter(&mut self, look: &mut Look<'_, '_>, path: &str, from: usize) -> Result<bool> {
        let entry = Entry::folder("");
        let skip = skip_of_entry(look.names, path, &entry);
        let name = Key::new(0, &path[from..], ItemKind::Folder).name;
        let met = self.top(path)?.meet(look, name, Sighting::Remote(entry.print), skip)?;
        self.path.clear();
        self.path.push_str(path);
        self.path.push('/');
        match met {
            Some(descent) => {
                let level = Level::open(look, descent.node, None)?;
                self.levels.push((level, self.path.len()));
                Ok(true)
            }
            None => {
                self.skipped = Some(from);
                Ok(false)
            }
        }
    }

    fn top(&mut self, path: &str) -> Result<&mut Level> {
        let top = self.levels.last_mut().map(|(level, _)| level);
        top.ok_or_else(|| {
            Error::new(Kind::Protocol, format!("listing {path}"), "it is out of order")
        })
    }
}
