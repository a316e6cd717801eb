//! Looking at the service: by its change feed from where the last look ended, else at everything.

use super::{Engine, Intent, Report};
use crate::error::{Kind, Result};
use crate::model::Side;
use crate::observe::{CURSOR, Follow, News, RenamedThere, Scope};
use crate::remote::{Feed, Remote};
use crate::store::{Batch, ROOT};
use std::sync::Arc;
use std::time::Duration;

/// Waits for the service to tell that something changed after the last look.
pub struct Ear {
    remote: Arc<dyn Remote>,
    cursor: String,
}

impl Ear {
    /// Waits about so long; tells whether there is something new.
    ///
    /// # Errors
    /// Those of [`Feed::wait`].
    pub fn wait(&self, most: Duration) -> Result<bool> {
        match self.remote.feed() {
            Some(feed) => feed.wait(&self.cursor, most),
            None => Ok(false),
        }
    }
}

impl Engine {
    /// What listens to the service from where the last look ended; `None` where it has to be
    /// polled.
    pub fn ear(&self) -> Option<Ear> {
        if !self.remote.feed().is_some_and(Feed::can_wait) {
            return None;
        }
        // A cycle that had no need to ask the service goes on from what is noted.
        let cursor = self.cursor.clone().or_else(|| self.noted_cursor().ok().flatten())?;
        Some(Ear { remote: self.remote.clone(), cursor })
    }

    /// Whether a look at the service lists everything, as it doesn't tell what changed.
    pub fn lists(&self) -> bool {
        self.remote.feed().is_none()
    }

    /// Looks at the service, and follows on the disk what was renamed there.
    pub(super) fn observe_remote(&mut self, report: &mut Report) -> Result<()> {
        self.observe_remote_with(report, &mut |engine, renamed, report| {
            // A look may begin with the service: nothing was asked of the disk then.
            engine.prove_local_root(&engine.trees.snapshot()?)?;
            engine.follow_folder(renamed, report)
        })
    }

    /// Tells what a cycle would do; everything it does to the state is taken back.
    pub(super) fn look_ahead(
        &mut self,
        each: &mut dyn FnMut(Intent) -> Result<()>,
    ) -> Result<Report> {
        let mut report = Report::default();
        self.check_origin()?;
        self.check_roots(false)?;
        self.check_revision()?;
        // Before the folders of the service move about in the state but not on the disk.
        let renamed = self.observe_local(Scope::All, &mut report)?;
        self.observe_remote_with(&mut report, &mut |engine, renamed, _| {
            engine.foresee_folder(renamed, each)
        })?;
        self.preview_moves(&renamed, each)?;
        self.preview_steps(each, &mut report)?;
        report.skipped = self.trees.snapshot()?.skipped_count()?;
        Ok(report)
    }

    fn observe_remote_with(
        &mut self,
        report: &mut Report,
        follow: &mut dyn FnMut(&Engine, &RenamedThere, &mut Report) -> Result<bool>,
    ) -> Result<()> {
        self.progress.phase("observing");
        let remote = self.remote.clone();
        let Some(feed) = remote.feed() else {
            self.list_all(report, follow)?;
            return Ok(());
        };
        let noted = if self.settled.get() { self.cursor.clone() } else { self.noted_cursor()? };
        // None is noted where everything has to be looked at, whatever is known here.
        let known = self.cursor.take();
        if let Some(cursor) = noted.map(|noted| known.unwrap_or(noted)) {
            match self.take_news(feed, Some(cursor.clone()), report, follow) {
                // What was news brought its cursor along; the rest can be told again.
                Ok(Some(next)) => {
                    self.cursor = Some(next);
                    return Ok(());
                }
                Ok(None) => return self.note_cursor(None),
                Err(error) if error.kind() == Kind::NotFound => {
                    tracing::info!(reason = error.reason(), "looking at everything anew");
                    self.settled.set(false);
                    // It stays so, should this look come to no end and the cursor be known again.
                    self.note_cursor(None)?;
                }
                Err(error) => {
                    self.cursor = Some(cursor);
                    return Err(error);
                }
            }
        }
        self.prove_remote_root()?;
        // What is told from nothing on doesn't tell what went.
        let knows_any = self.trees.snapshot()?.any_child(ROOT, |_, row| row.is_on(Side::Remote))?;
        let next = if feed.tells_all() && !knows_any {
            self.take_news(feed, None, report, follow)?
        } else {
            // Taken first: what changes while it is listed is told again.
            let cursor = feed.now()?;
            self.list_all(report, follow)?.then_some(cursor)
        };
        self.note_cursor(next)
    }

    /// Proves that the remote root is still the one that was linked: of another one, everything
    /// would seem to be gone.
    fn prove_remote_root(&mut self) -> Result<()> {
        self.proved = false;
        let trees = self.trees.clone();
        let mut batch = trees.batch()?;
        self.check_remote_root(&trees.snapshot()?, &mut batch, false)?;
        batch.flush()
    }

    /// Where the state says to go on; `None` where everything has to be looked at.
    pub(super) fn noted_cursor(&self) -> Result<Option<String>> {
        let noted = self.trees.snapshot()?.fact(CURSOR)?;
        Ok(noted.and_then(|cursor| String::from_utf8(cursor).ok()))
    }

    /// Keeps where to go on after a look at everything; `None` when that has to be repeated.
    fn note_cursor(&mut self, cursor: Option<String>) -> Result<()> {
        let bytes = cursor.clone().map(String::into_bytes);
        self.cursor = cursor;
        if self.trees.snapshot()?.fact(CURSOR)? != bytes {
            let mut batch = self.trees.batch()?;
            batch.set_fact(CURSOR, bytes);
            batch.flush()?;
        }
        Ok(())
    }

    /// Puts where to go on into the state, because something is written there anyway.
    pub(super) fn write_cursor(&self, batch: &mut Batch<'_>) -> Result<()> {
        let noted = self.trees.snapshot()?.fact(CURSOR)?;
        if let (Some(cursor), Some(noted)) = (&self.cursor, noted)
            && noted != cursor.as_bytes()
        {
            batch.set_fact(CURSOR, Some(cursor.as_bytes().to_vec()));
        }
        Ok(())
    }

    fn take_news(
        &self,
        feed: &dyn Feed,
        cursor: Option<String>,
        report: &mut Report,
        follow: &mut dyn FnMut(&Engine, &RenamedThere, &mut Report) -> Result<bool>,
    ) -> Result<Option<String>> {
        let observer = self.observer();
        let follow: &mut Follow<'_> = &mut |renamed| follow(self, renamed, report);
        let news = News::new(&observer, self.remote.as_ref(), feed, follow);
        let next = news.take(cursor);
        report.unread(&observer);
        next
    }

    /// Lists everything, telling whether all of it could be.
    fn list_all(
        &self,
        report: &mut Report,
        follow: &mut dyn FnMut(&Engine, &RenamedThere, &mut Report) -> Result<bool>,
    ) -> Result<bool> {
        let observer = self.observer();
        let mut digests = self.digests.borrow_mut();
        let listed = observer.remote(self.remote.as_ref(), self.descriptor.listing, &mut digests);
        drop(digests);
        report.unread(&observer);
        // Folders that vanish are told by those they were in; only of the root it is an error.
        let seen = listed.map_err(|error| match error.kind() {
            Kind::NotFound => error.meaning(Kind::RootLost),
            _ => error,
        })?;
        let remote = self.remote.as_ref();
        let follow: &mut Follow<'_> = &mut |renamed| follow(self, renamed, report);
        Ok(self.observer().settle_renamed(remote, seen.renamed, false, follow)? && seen.all)
    }
}
