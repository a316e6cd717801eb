//! What is to do about each item: the planner given what it has to know.

use super::Engine;
use super::sweeps::Census;
use crate::error::Result;
use crate::execute::Ways;
use crate::model::{RemotePrint, Side};
use crate::plan::{self, Downward, Op, Step, Upward, View};
use crate::store::{Key, Record, Snapshot};

/// What a pass is to do, counted before it begins.
pub(super) struct Load {
    pub files: u64,
    pub bytes: u64,
    pub census: Census,
}

impl Engine {
    /// Counts what is to do.
    pub(super) fn load(&self) -> Result<Load> {
        let snapshot = self.trees.snapshot()?;
        let mut load = Load { files: 0, bytes: 0, census: self.census() };
        for key in snapshot.dirty(None)? {
            self.cancel.check()?;
            let key = key?;
            let Some((record, step)) = self.plan(&snapshot, &key)? else { continue };
            if let Step::Do(op) = step
                && record.node == 0
            {
                load.census.add(&snapshot, &key, &record, op)?;
                if !op.removes() {
                    load.files += 1;
                    // Services tell any sizes.
                    load.bytes = load.bytes.saturating_add(bytes_of(op, &record));
                }
            }
        }
        Ok(load)
    }

    /// Plans an item; `None` when it is gone from the state or skipped.
    pub(super) fn plan(
        &self,
        snapshot: &Snapshot,
        key: &Key,
    ) -> Result<Option<(Record, Step<Op>)>> {
        let Some(record) = snapshot.get(key)? else { return Ok(None) };
        if record.skip.is_some() {
            return Ok(None);
        }
        let twin = snapshot.get(&key.twin())?;
        let twin_stays = match &twin {
            Some(twin) if twin.skip.is_none() => {
                let step = self.direct(&self.view(snapshot, twin, None, false)?);
                !matches!(step, Step::Do(op) if op.removes())
            }
            other => other.is_some(),
        };
        let view = self.view(snapshot, &record, twin.as_ref(), twin_stays)?;
        let step = self.direct(&view);
        Ok(Some((record, step)))
    }

    /// Plans an item as if it were alone, and as it is in no state.
    pub(super) fn plan_alone(&self, snapshot: &Snapshot, record: &Record) -> Result<Step<Op>> {
        Ok(self.direct(&self.view(snapshot, record, None, false)?))
    }

    fn view<'r>(
        &self,
        snapshot: &Snapshot,
        record: &'r Record,
        twin: Option<&Record>,
        twin_stays: bool,
    ) -> Result<View<'r>> {
        let made_by_children = record.node != 0
            && self.descriptor.folders_implied
            && record.is_on(Side::Local)
            && !record.is_on(Side::Remote)
            && snapshot.any_child(record.node, |_, child| {
                child.skip.is_none() && child.is_on(Side::Local)
            })?;
        Ok(View {
            record,
            twin_local: twin.is_some_and(|twin| twin.is_on(Side::Local)),
            twin_remote: twin.is_some_and(|twin| twin.is_on(Side::Remote)),
            twin_stays,
            made_by_children,
            keep_removed: self.task.keep_removed,
            conflict: self.task.conflict,
            keeps_mtime: self.descriptor.keeps_mtime,
        })
    }

    /// The planner of the task's direction.
    fn direct(&self, view: &View<'_>) -> Step<Op> {
        match &self.ways {
            Ways::Both(..) => plan::both(view),
            Ways::Upload(_) => plan::upload(view).map(Op::Up),
            Ways::Download(_) => plan::download(view).map(Op::Down),
        }
    }
}

/// Bytes that a step transfers.
pub(super) fn bytes_of(op: Op, record: &Record) -> u64 {
    let local = record.local_print().map_or(0, |print| print.size);
    let remote = record.remote_print().and_then(RemotePrint::known_size).unwrap_or(0);
    match op {
        Op::Up(Upward::Create | Upward::Replace | Upward::Resolve) => local,
        Op::Down(Downward::Create | Downward::Replace | Downward::Resolve) => remote,
        Op::Merge(_) => local.max(remote),
        Op::Up(_) | Op::Down(_) => 0,
    }
}
