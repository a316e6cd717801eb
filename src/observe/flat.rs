//! Looking at a service with one ordered listing of everything.

use super::digests::{Piece, Ranges};
use super::level::Level;
use super::{Comparison, Look, Sighting, skip_of_entry};
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

/// What of a listing is merged with the rows: all but what is as the last look saw it.
struct Merge {
    /// Where it is; `None` as long as everything is as it was.
    trail: Option<Trail>,
    /// The ranges up to where the listing is that are as they were, in the order in which they were.
    same: Option<Same>,
}

struct Same {
    first: (String, Entry),
    last: (String, Entry),
    /// Which of the known ranges they are.
    begin: usize,
    end: usize,
}

/// Merges the listing with the rows. A folder is there when anything in it is.
pub(super) fn remote(
    comparison: &mut Comparison<'_>,
    remote: &dyn Remote,
    ranges: &mut Ranges,
) -> Result<()> {
    let mut looked = ranges.begin();
    let mut merge = Merge { trail: None, same: None };
    remote.list(Place::default(), &mut |path, entry| match looked.meet(path, entry) {
        Some((piece, known)) => merge.take(comparison, piece, known),
        None => Ok(()),
    })?;
    if let Some((piece, known)) = looked.rest() {
        merge.take(comparison, piece, known)?;
    }
    merge.finish(comparison, looked.count())?;
    let seen = looked.end();
    ranges.saw(seen);
    Ok(())
}

impl Merge {
    /// Takes in a range, and which of the known ones it is.
    fn take(
        &mut self,
        comparison: &mut Comparison<'_>,
        piece: Piece,
        known: Option<usize>,
    ) -> Result<()> {
        comparison.observer.cancel.check()?;
        let mut entries = piece.entries;
        let Some(number) = known else {
            let look = comparison.look()?;
            let trail = self.catch_up(look)?;
            let mut entries = entries.into_iter();
            return entries.try_for_each(|(path, entry)| trail.meet(look, &path, entry));
        };
        for _ in entries.iter().filter(|(_, entry)| entry.kind == ItemKind::File) {
            comparison.observer.progress.saw();
        }
        let Some(last) = entries.pop() else { return Ok(()) };
        if let Some(same) = self.same.as_mut().filter(|same| same.end + 1 == number) {
            (same.last, same.end) = (last, number);
            return Ok(());
        }
        if self.same.is_some() {
            // What was between the ranges is gone.
            self.catch_up(comparison.look()?)?;
        }
        let first = if entries.is_empty() { last.clone() } else { entries.swap_remove(0) };
        self.same = Some(Same { first, last, begin: number, end: number });
        Ok(())
    }

    /// Goes on to where the listing is.
    fn catch_up(&mut self, look: &mut Look<'_>) -> Result<&mut Trail> {
        let begun = self.trail.is_some();
        let mut trail = match self.trail.take() {
            Some(trail) => trail,
            None => Trail::new(look)?,
        };
        if let Some(Same { first: (path, entry), last, begin, .. }) = self.same.take() {
            // What comes before it and wasn't met is gone, unless nothing ever came before it.
            if begun || begin > 0 {
                trail.meet(look, &path, entry)?;
            }
            trail.go_to(look, &last.0, last.1.kind)?;
        }
        Ok(self.trail.insert(trail))
    }

    /// The listing is at its end, and `count` ranges were known, if any listing was.
    fn finish(mut self, comparison: &mut Comparison<'_>, count: Option<usize>) -> Result<()> {
        let is_all = match &self.same {
            Some(same) => same.begin == 0 && Some(same.end + 1) == count,
            None => count == Some(0),
        };
        if self.trail.is_none() && is_all {
            return Ok(());
        }
        let look = comparison.look()?;
        self.catch_up(look)?;
        self.trail.map_or(Ok(()), |trail| trail.finish(look))
    }
}

impl Trail {
    fn new(look: &Look<'_>) -> Result<Trail> {
        let root = Level::open(look, ROOT, None)?;
        Ok(Trail { levels: vec![(root, 0)], path: String::new(), skipped: None })
    }

    /// Everything has been told.
    fn finish(mut self, look: &mut Look<'_>) -> Result<()> {
        while let Some((level, _)) = self.levels.pop() {
            level.finish(look)?;
        }
        Ok(())
    }

    /// Goes to just after an item, as everything on the way to it is as it was.
    fn go_to(&mut self, look: &Look<'_>, path: &str, kind: ItemKind) -> Result<()> {
        let folder = &path[..folder_end(path, kind)];
        while !self.is_above(folder) {
            self.leave_top();
        }
        let mut from = self.path.len();
        while from < folder.len() && self.skipped.is_none() {
            let to = folder[from..].find('/').map_or(folder.len(), |at| from + at);
            let top = self.top(path)?;
            let key = Key::new(top.folder(), &folder[from..to], ItemKind::Folder);
            top.go_to(look, &key.name)?;
            self.path.clear();
            self.path.push_str(&folder[..to]);
            self.path.push('/');
            match look.batch.get(&key)?.filter(|record| record.skip.is_none()) {
                Some(record) => {
                    let level = Level::open(look, record.node, None)?;
                    self.levels.push((level, self.path.len()));
                }
                None => self.skipped = Some(from),
            }
            from = to + 1;
        }
        if kind == ItemKind::File && self.skipped.is_none() {
            let name = &path[self.path.len()..];
            self.top(path)?.go_to(look, name)?;
        }
        Ok(())
    }

    fn meet(&mut self, look: &mut Look<'_>, path: &str, entry: Entry) -> Result<()> {
        let folder_end = folder_end(path, entry.kind);
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
    fn leave(&mut self, look: &mut Look<'_>, folder: &str) -> Result<()> {
        while !self.is_above(folder) {
            if let Some(level) = self.leave_top() {
                level.finish(look)?;
            }
        }
        Ok(())
    }

    /// Whether the folder where it is is `folder` (without `/` at its end), or above it.
    fn is_above(&self, folder: &str) -> bool {
        self.path.strip_suffix('/').is_none_or(|above| {
            let rest = folder.strip_prefix(above);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Goes back up from the folder where it is. Tells what was looked at there, if it is synced.
    fn leave_top(&mut self) -> Option<Level> {
        if let Some(end) = self.skipped.take() {
            self.path.truncate(end);
            return None;
        }
        let (level, _) = self.levels.pop()?;
        self.path.truncate(self.levels.last().map_or(0, |(_, end)| *end));
        Some(level)
    }

    /// Goes into the folder at `path`, whose name begins at `from`. Tells whether it is synced.
    fn enter(&mut self, look: &mut Look<'_>, path: &str, from: usize) -> Result<bool> {
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

/// Where the path ends of the last folder on the way to an item: of one that is told by itself, its
/// own.
fn folder_end(path: &str, kind: ItemKind) -> usize {
    match kind {
        ItemKind::Folder => path.len(),
        ItemKind::File => path.rfind('/').unwrap_or(0),
    }
}
