//! What a change feed told since the last look at the service, as far as it fits in memory.

use super::Engine;
use crate::error::{Kind, Result};
use crate::remote::{Change, Feed, Spot};
use std::collections::HashSet;

/// Changed items that are told apart.
const MOST_CHANGES: usize = 4096;

/// Which items a feed told of. It isn't asked before somebody wants to know.
pub(super) struct Told {
    /// From where on; `None` when everything counts as told.
    cursor: Option<String>,
    ids: HashSet<Box<str>>,
    /// In lower case.
    paths: HashSet<String>,
}

impl Told {
    /// What is told from where the last look ended.
    pub fn since_last_look(engine: &Engine) -> Result<Told> {
        let cursor = engine.cursor.clone().map_or_else(|| engine.noted_cursor(), |at| Ok(Some(at)));
        Ok(Told { cursor: cursor?, ids: HashSet::new(), paths: HashSet::new() })
    }

    /// Whether the feed told of the item at `path`, or of a folder it is in. `ids` are what the
    /// service calls all of these.
    pub fn has(&mut self, feed: &dyn Feed, path: &str, ids: &[Box<str>]) -> Result<bool> {
        if self.knows(path, ids) {
            return Ok(true);
        }
        // It may have happened just now.
        self.ask(feed)?;
        Ok(self.knows(path, ids))
    }

    fn knows(&self, path: &str, ids: &[Box<str>]) -> bool {
        let path = path.to_lowercase();
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
        self.cursor.is_none()
            || ids.iter().any(|id| self.ids.contains(id))
            || self.paths.contains(&path)
            || above.any(|folder| self.paths.contains(folder))
    }

    fn ask(&mut self, feed: &dyn Feed) -> Result<()> {
        while let Some(cursor) = self.cursor.take() {
            let page = match feed.changes(Some(&cursor), &mut |change| self.note(change)) {
                // Everything has to be looked at anew.
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                page => page?,
            };
            if self.ids.len() + self.paths.len() > MOST_CHANGES {
                return Ok(());
            }
            self.cursor = Some(page.cursor);
            if !page.more {
                break;
            }
        }
        Ok(())
    }

    fn note(&mut self, change: Change) -> Result<()> {
        match change {
            Change::There { spot, entry } => {
                if let Spot::Path(path) = spot {
                    self.paths.insert(path.to_lowercase());
                }
                if !entry.print.id.is_empty() {
                    self.ids.insert(entry.print.id);
                }
            }
            Change::GoneId(id) => drop(self.ids.insert(id)),
            Change::GonePath(path) => drop(self.paths.insert(path.to_lowercase())),
        }
        Ok(())
    }
}
