//! What a cycle would do, told without doing it.

use super::moves::{Way, moved_from};
use super::planning::bytes_of;
use super::report::clash;
use super::{Approval, Engine, Intent, Report};
use crate::error::Result;
use crate::observe::RenamedHere;
use crate::plan::{Downward, Op, Step, Upward};

impl Engine {
    /// Tells the moves that a cycle would make.
    pub(super) fn preview_moves(
        &mut self,
        renamed: &[RenamedHere],
        each: &mut dyn FnMut(Intent) -> Result<()>,
    ) -> Result<()> {
        for rename in renamed {
            match self.tree_move(rename)? {
                Some((from, to)) => each(move_intent(&from, &to))?,
                None => self.observer().local_remade(self.disk(), rename)?,
            }
        }
        for way in [Way::Up, Way::Down] {
            let any = self.is_open(way) && self.note_departures(way)?;
            let snapshot = self.trees.snapshot()?;
            // From here on, only what was found as moved counts as departed.
            let moves = snapshot.dirty(None)?.filter(|_| any).filter_map(|key| {
                let found = key.and_then(|key| {
                    let from = moved_from(&snapshot, &key, way)?;
                    if let Some((from, _)) = &from {
                        each(move_intent(&snapshot.path(from)?, &snapshot.path(&key)?))?;
                    }
                    Ok(from)
                });
                found.transpose()
            });
            self.note_departed(way, moves)?;
        }
        Ok(())
    }

    /// Tells what the passes would do.
    pub(super) fn preview_steps(
        &self,
        each: &mut dyn FnMut(Intent) -> Result<()>,
        report: &mut Report,
    ) -> Result<()> {
        self.progress.phase("planning");
        self.brake(self.load()?.census, Approval::NONE, report)?;
        let snapshot = self.trees.snapshot()?;
        for key in snapshot.dirty(None)? {
            let key = key?;
            let Some((record, step)) = self.plan(&snapshot, &key)? else { continue };
            let moved = match record.synced.as_ref() {
                None => {
                    moved_from(&snapshot, &key, Way::Up)?.is_some()
                        || moved_from(&snapshot, &key, Way::Down)?.is_some()
                }
                Some(synced) => {
                    snapshot.departed(synced.local.inode)?.as_ref() == Some(&key)
                        || snapshot.departed_id(record.remote_id())?.as_ref() == Some(&key)
                }
            };
            let path = snapshot.path(&key)?;
            let bytes = match step {
                Step::Do(op) => bytes_of(op, &record),
                _ => record.local_print().map_or(0, |print| print.size),
            };
            let action = match step {
                _ if moved => continue,
                Step::Examine | Step::Do(Op::Merge(_)) => "compare",
                Step::Do(Op::Up(Upward::Create | Upward::Replace)) => "upload",
                Step::Do(Op::Down(Downward::Create | Downward::Replace)) => "download",
                Step::Do(Op::Up(Upward::Resolve) | Op::Down(Downward::Resolve)) => "compare",
                Step::Do(Op::Up(Upward::MakeFolder)) => "make-folder-remote",
                Step::Do(Op::Down(Downward::MakeFolder)) => "make-folder-local",
                Step::Do(Op::Up(Upward::Remove | Upward::RemoveFolder)) => "delete-remote",
                Step::Do(Op::Down(Downward::Remove | Downward::RemoveFolder)) => "delete-local",
                Step::Clash => {
                    report.hold(1, &path, &clash(&path));
                    continue;
                }
                Step::Nothing | Step::Wait | Step::Settle | Step::Forget => continue,
            };
            each(Intent { action, path, bytes })?;
        }
        Ok(())
    }
}

pub(super) fn move_intent(from: &str, to: &str) -> Intent {
    Intent { action: "move", path: format!("{from} -> {to}"), bytes: 0 }
}
