//! What a service tells of changes, in plain names.

use super::feed_of;
use super::remote::Inside;
use crate::error::Result;
use crate::remote::{Change, Feed, Page, Remote, Spot};
use std::sync::Arc;
use std::time::Duration;

/// The change feed of an encrypted folder.
pub(super) struct EncryptedFeed {
    remote: Arc<dyn Remote>,
    inside: Arc<Inside>,
}

impl EncryptedFeed {
    /// `None` where the service has no feed.
    pub fn of(remote: &Arc<dyn Remote>, inside: &Arc<Inside>) -> Option<EncryptedFeed> {
        remote.feed()?;
        Some(EncryptedFeed { remote: remote.clone(), inside: inside.clone() })
    }

    /// The change as it is inside; `None` for one of the key file.
    fn change(&self, change: Change) -> Option<Change> {
        Some(match change {
            Change::GoneId(id) => Change::GoneId(id),
            Change::GonePath(path) => Change::GonePath(self.inside.path(&path).0),
            Change::There { spot, entry } => {
                let (spot, name, known) = match spot {
                    Spot::Path(path) => {
                        let (inside, known) = self.inside.path(&path);
                        (Spot::Path(inside), path, known)
                    }
                    Spot::Child { folder, name } => {
                        let (inside, known) = self.inside.path(&name);
                        (Spot::Child { folder, name: inside }, name, known)
                    }
                };
                if Inside::is_ours(&name) {
                    return None;
                }
                Change::There { spot, entry: self.inside.entry(entry, known) }
            }
        })
    }
}

impl Feed for EncryptedFeed {
    fn now(&self) -> Result<String> {
        feed_of(self.remote.as_ref())?.now()
    }

    fn tells_all(&self) -> bool {
        self.remote.feed().is_some_and(Feed::tells_all)
    }

    fn changes(
        &self,
        cursor: Option<&str>,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Page> {
        self.inside.ready(self.remote.as_ref(), false)?;
        feed_of(self.remote.as_ref())?
            .changes(cursor, &mut |change| self.change(change).map_or(Ok(()), &mut *each))
    }

    fn can_wait(&self) -> bool {
        self.remote.feed().is_some_and(Feed::can_wait)
    }

    fn wait(&self, cursor: &str, most: Duration) -> Result<bool> {
        feed_of(self.remote.as_ref())?.wait(cursor, most)
    }
}
