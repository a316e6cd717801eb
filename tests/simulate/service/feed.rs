//! How a twin tells what changed.

use super::abilities::Changes;
use super::account::{Account, Happened};
use super::{At, Twin};
use mooring::error::{Error, Kind, Result};
use mooring::model::{ItemKind, split_path};
use mooring::remote::{Change, Entry, Feed, Page, Spot};
use std::time::Duration;

/// Changes told at once.
const PAGE: usize = 3;

impl Account {
    /// How far the journal is told by now.
    fn told_to(&self) -> usize {
        let now = (self.clock)();
        self.journal.partition_point(|happened| happened.told <= now)
    }

    fn cursor(&self, at: usize) -> String {
        format!("{} {at}", self.epoch)
    }

    fn place(&self, cursor: &str) -> Result<usize> {
        let place = cursor.split_once(' ').filter(|(epoch, _)| *epoch == self.epoch.to_string());
        place
            .and_then(|(_, at)| at.parse().ok())
            .ok_or_else(|| Error::new(Kind::NotFound, "the cursor", "it isn't known any more"))
    }

    fn change(&mut self, id: u64, path: Option<&str>, went: bool) -> Option<Change> {
        if self.by_ids() {
            let Some(entry) = self.entry(id) else { return Some(Change::GoneId(self.told_id(id))) };
            let node = self.tree.get(id)?;
            let (folder, name) = (self.told_id(node.parent), node.name.clone());
            return Some(Change::There { spot: Spot::Child { folder, name }, entry });
        }
        let path = path?;
        if went {
            return Some(Change::GonePath(path.into()));
        }
        if path.is_empty() {
            return None;
        }
        match self.at_path(path) {
            Some((path, entry)) => Some(Change::There { spot: Spot::Path(path), entry }),
            None => Some(Change::GonePath(path.into())),
        }
    }

    /// What is at a path by now, and the path as it is told.
    fn at_path(&mut self, path: &str) -> Option<(String, Entry)> {
        let mut at = self.root()?;
        for part in path.split('/') {
            at = self.tree.find(at, part, ItemKind::Folder)?;
        }
        let entry = self.entry(at)?;
        let path = self.path(at)?;
        let (folder, name) = split_path(&path);
        // Only the last part is sure to have its letters as they are.
        if self.abilities.any_case() && !folder.is_empty() && self.dice.roll(4) == 0 {
            return Some((format!("{}/{name}", folder.to_lowercase()), entry));
        }
        Some((path, entry))
    }

    /// Everything there is.
    fn everything(&mut self) -> Vec<Change> {
        let Some(root) = self.root() else { return Vec::new() };
        let all = self.tree.below(root).into_iter();
        let all: Vec<_> = all.map(|id| (id, self.path(id))).collect();
        all.into_iter().filter_map(|(id, path)| self.change(id, path.as_deref(), false)).collect()
    }

    fn page(&mut self, cursor: Option<&str>) -> Result<(Vec<Change>, Page)> {
        let end = self.told_to();
        let Some(cursor) = cursor else {
            if let Changes::Ids { all: false } = self.abilities.changes {
                let cause = "there is no place to go on from";
                return Err(Error::new(Kind::NotFound, "the changes", cause));
            }
            return Ok((self.everything(), Page { cursor: self.cursor(end), more: false }));
        };
        let from = self.place(cursor)?;
        let to = end.min(from + PAGE).max(from);
        let happened: Vec<_> = self.journal[from..to]
            .iter()
            .map(|Happened { id, path, went, .. }| (*id, path.clone(), *went))
            .collect();
        let mut told: Vec<_> = happened
            .into_iter()
            .filter_map(|(id, path, went)| self.change(id, path.as_deref(), went))
            .collect();
        if self.dice.roll(3) == 0 {
            told.extend(told.clone());
        }
        // Where a folder is told before what is in it, and of paths, the order means something.
        if self.abilities.changes == (Changes::Ids { all: false }) {
            for at in (1..told.len()).rev() {
                told.swap(at, self.dice.roll(at as u64 + 1) as usize);
            }
        }
        Ok((told, Page { cursor: self.cursor(to), more: to < end }))
    }
}

impl Feed for Twin {
    fn now(&self) -> Result<String> {
        self.request("now", "", || {
            let account = self.lock();
            Ok(account.cursor(account.told_to()))
        })
    }

    fn tells_all(&self) -> bool {
        self.lock().abilities.changes != Changes::Ids { all: false }
    }

    fn changes(
        &self,
        cursor: Option<&str>,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Page> {
        self.request("changes", "", || {
            let (changes, page) = self.lock().page(cursor)?;
            for (told, change) in (0..).zip(changes) {
                self.point("changes", "", At::Within(told))?;
                each(change)?;
            }
            Ok(page)
        })
    }

    fn can_wait(&self) -> bool {
        self.lock().abilities.changes == Changes::Paths
    }

    /// Tells at once: time passes elsewhere.
    fn wait(&self, cursor: &str, _most: Duration) -> Result<bool> {
        self.request("wait", "", || {
            let account = self.lock();
            Ok(account.place(cursor)? < account.told_to())
        })
    }
}
