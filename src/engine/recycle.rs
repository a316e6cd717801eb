//! What is kept of the files that the task removed from the disk: how much it is, and when it goes.
//!
//! The count is in the state, so that the recycle area itself is read only when something in it is
//! to go, or when nobody has counted.

use super::{Engine, LocalLook, Look, Report};
use crate::error::{Kind, Result};
use crate::execute::Down;
use crate::rules::{Day, enough, outlived};
use crate::store::Recycled;

impl Engine {
    /// Whether files that are removed from the disk are kept for a while.
    pub(super) fn recycles(&self) -> bool {
        self.task.recycle_days > 0
    }

    /// What is kept, counted if need be. What can't be counted is counted another day.
    pub(super) fn recycled(&self, down: &Down) -> Result<Recycled> {
        let known = self.trees.snapshot()?.recycled()?;
        match known {
            Some(recycled) if !recycled.open => return Ok(recycled),
            _ if self.is_unable() => {}
            _ => match down.writer.count_recycled(&|| self.cancel.check()) {
                Ok(days) => return Ok(Recycled { days, open: false }),
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                Err(error) => self.give_up(error.reason()),
            },
        }
        Ok(Recycled { open: true, ..known.unwrap_or_default() })
    }

    /// Removes what was kept long enough, or is more than may be kept, where the disk is awake
    /// anyway.
    pub(super) fn clear_recycled(&self, look: &Look, report: &Report) -> Result<()> {
        let Some(down) = self.ways.down() else { return Ok(()) };
        let awake = self.unsure || !matches!(look.local, LocalLook::Nothing);
        if self.is_unable() || !(awake || report.did_something()) {
            return Ok(());
        }
        let known = self.trees.snapshot()?.recycled()?;
        let recycled = self.recycled(down)?;
        if known.as_ref() != Some(&recycled) {
            self.note_recycled(&recycled)?;
        }
        if recycled.days.is_empty() {
            return Ok(());
        }
        let volume = down.disk.space()?.total;
        let gone = outlived(&recycled.days, self.today(), self.task.recycle_days, volume);
        self.drop_oldest(down, recycled, gone).map(drop)
    }

    /// Removes what was kept longest, to make room for so many bytes. Tells whether there may be
    /// room now.
    pub(super) fn make_room(&self, bytes: u64) -> Result<bool> {
        let Some(down) = self.ways.down() else { return Ok(false) };
        let recycled = self.recycled(down)?;
        let free = down.disk.space()?.free;
        if recycled.days.is_empty() || free.saturating_add(recycled.bytes()) < bytes {
            return Ok(false);
        }
        let gone = enough(&recycled.days, bytes.saturating_sub(free));
        self.drop_oldest(down, recycled, gone)
    }

    /// Removes so many days of what is kept, the oldest first. Tells whether any of it went.
    fn drop_oldest(&self, down: &Down, mut recycled: Recycled, days: usize) -> Result<bool> {
        let mut any = false;
        for kept in recycled.days.clone().iter().take(days) {
            match down.writer.drop_recycled(kept.day, &|| self.cancel.check()) {
                Ok(()) => {}
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                Err(error) => {
                    self.give_up(error.reason());
                    break;
                }
            }
            tracing::info!(day = %kept.day, files = kept.files, "removed files are kept no longer");
            recycled.days.retain(|other| other.day != kept.day);
            self.note_recycled(&recycled)?;
            any = true;
        }
        Ok(any)
    }

    fn note_recycled(&self, recycled: &Recycled) -> Result<()> {
        let mut batch = self.trees.batch()?;
        batch.set_recycled(recycled)?;
        batch.flush()
    }

    fn today(&self) -> Day {
        Day::of(self.clock.now())
    }

    /// Whether something was in the way today already.
    fn is_unable(&self) -> bool {
        self.unable.get() == Some(self.today())
    }

    fn give_up(&self, reason: String) {
        tracing::warn!(reason, "what is kept of removed files stays as it is");
        self.unable.set(Some(self.today()));
    }
}
