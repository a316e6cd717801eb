//! What a person is told of items and tasks that aren't in sync: kept in the state for as long as
//! it is so, with lines of history when it begins and when it is over.

use super::full::longer;
use super::report::clash;
use super::{Engine, Report};
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, Nanos};
use crate::plan::Step;
use crate::store::{Again, Batch, Event, Hold, Key, Mark, Problem, Snapshot};
use std::collections::BTreeMap;

/// Items of one cycle that the history has lines of their own for; the rest is only counted.
const MOST_LINES: u64 = 50;

/// What the history says of an item, or of many.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    action: &'static str,
    code: String,
}

/// How an item is by now.
struct Now {
    action: &'static str,
    mark: Mark,
    detail: String,
    problem: Option<Problem>,
}

impl Engine {
    /// Notes why an item isn't synced, unless that is known. A pause until it is tried again is
    /// twice as long as the one before.
    pub(super) fn note_problem(
        &self,
        batch: &mut Batch<'_>,
        key: &Key,
        error: &Error,
        again: Again,
    ) -> Result<()> {
        let known = self.trees.snapshot()?.problem(key)?;
        let again = match (again, known.as_ref().map(|known| known.again)) {
            (Again::Later { from, .. }, Some(Again::Later { pause, .. })) => {
                Again::Later { from, pause: longer(pause) }
            }
            (again, _) => again,
        };
        let known = known.filter(|known| known.kind == error.kind().word());
        let now = self.clock.now();
        let since = known.map_or(now, |known| known.since);
        let problem = Problem { again, ..Problem::new(error, since) };
        if batch.problem(key)?.as_ref() == Some(&problem) {
            return Ok(());
        }
        batch.set_problem(key.clone(), Some(problem))
    }

    /// Notes that an item has the name of one of the other kind. Of two that wait for each other,
    /// the file is the one that is told.
    pub(super) fn note_clash(
        &self,
        snapshot: &Snapshot,
        batch: &mut Batch<'_>,
        key: &Key,
    ) -> Result<()> {
        let file = match key.kind() {
            ItemKind::File => None,
            ItemKind::Folder => self.plan(snapshot, &key.twin())?,
        };
        match file {
            Some((_, Step::Clash | Step::Wait)) => Ok(()),
            _ => self.note_problem(batch, key, &clash(&snapshot.path(key)?), Again::Soon),
        }
    }

    /// Notes what holds up the task or a side after a cycle that came to its end.
    pub(super) fn note_holds(&self, batch: &mut Batch<'_>, report: &Report) -> Result<()> {
        self.replace_holds(batch, report.holds.clone())
    }

    /// Notes why a cycle ended early, with what it had done. What held up a side holds it still.
    pub(super) fn note_end(&self, error: &Error) -> Result<()> {
        let mut batch = self.trees.batch()?;
        match error.kind() {
            // It can't be written.
            Kind::State => return Ok(()),
            // That it was stopped is no trouble.
            Kind::Cancelled => return batch.commit(),
            _ => {}
        }
        let mut holds = self.trees.snapshot()?.holds()?;
        let end = Hold::new(error, None);
        // Errors of one kind may word it differently each time, which isn't worth a write.
        if !holds.iter().any(|known| known.is_like(&end)) {
            holds.retain(|known| !known.stops_all());
            holds.push(end);
        }
        self.replace_holds(&mut batch, holds)?;
        batch.commit()
    }

    fn replace_holds(&self, batch: &mut Batch<'_>, mut holds: Vec<Hold>) -> Result<()> {
        let known = self.trees.snapshot()?.holds()?;
        let now = self.clock.now();
        for hold in &mut holds {
            match known.iter().find(|known| known.is_like(hold)) {
                Some(known) => hold.since = known.since,
                None => {
                    hold.since = now;
                    let waits_for_person = hold.side.is_some()
                        || Kind::of_word(&hold.code).is_some_and(Kind::waits_for_person);
                    let action = if waits_for_person { "held" } else { "failed" };
                    // What to do about it is told for as long as it is held, and isn't history.
                    batch.event(event(now, action, String::new(), hold.reason.clone()))?;
                }
            }
        }
        for over in known.iter().filter(|known| !holds.iter().any(|hold| hold.is_like(known))) {
            batch.event(event(now, "solved", String::new(), over.code.clone()))?;
        }
        if holds != known {
            batch.set_holds(&holds)?;
        }
        Ok(())
    }

    /// Writes into the history which items came to be skipped or to have a problem, and which are
    /// in sync again. An item that came and went between two cycles' ends isn't told.
    pub(super) fn tell(&self, batch: &mut Batch<'_>) -> Result<()> {
        let snapshot = self.trees.snapshot()?;
        let time = self.clock.now();
        let mut lines = 0;
        let mut rest: BTreeMap<Line, u64> = BTreeMap::new();
        for row in snapshot.untold()? {
            let (key, before) = row?;
            let now = how_it_is(&snapshot, &key)?;
            let line = match (before, now) {
                (Some(before), Some(now)) if before.code == now.mark.code => {
                    // It came up again before it was told to be over, so it never was.
                    if let Some(problem) = now.problem.filter(|it| it.since != before.since) {
                        let problem = Problem { since: before.since, ..problem };
                        batch.set_problem(key.clone(), Some(problem))?;
                    }
                    None
                }
                (_, Some(now)) => {
                    Some((Line { action: now.action, code: now.mark.code }, now.detail))
                }
                // It waits to be synced: only that will be its end.
                (Some(_), None) if snapshot.is_dirty(&key)? => continue,
                (Some(before), None) => {
                    let detail = before.code.clone();
                    Some((Line { action: "solved", code: before.code }, detail))
                }
                (None, None) => None,
            };
            if let Some((line, detail)) = line {
                if lines < MOST_LINES {
                    lines += 1;
                    let path = snapshot.known_path(&key)?;
                    let path = path.unwrap_or_else(|| key.plain().into());
                    batch.event(event(time, line.action, path, detail))?;
                } else {
                    *rest.entry(line).or_default() += 1;
                }
            }
            batch.tell(key)?;
        }
        for (Line { action, code }, count) in rest {
            let detail = format!("{count} more: {code}");
            batch.event(event(time, action, String::new(), detail))?;
        }
        Ok(())
    }
}

fn how_it_is(snapshot: &Snapshot, key: &Key) -> Result<Option<Now>> {
    if let Some(skip) = snapshot.get(key)?.and_then(|record| record.skip) {
        let mark = Mark { code: skip.reason.word().into(), since: skip.since };
        let detail = format!("{}; {}", skip.reason, skip.reason.remedy());
        return Ok(Some(Now { action: "skipped", mark, detail, problem: None }));
    }
    Ok(snapshot.problem(key)?.map(|problem| Now {
        action: if problem.waits_for_person() { "held" } else { "failed" },
        mark: Mark { code: problem.kind.clone(), since: problem.since },
        detail: format!("{}; {}", problem.reason, problem.remedy),
        problem: Some(problem),
    }))
}

fn event(time: Nanos, action: &str, path: String, detail: String) -> Event {
    Event { time, action: action.into(), path, bytes: 0, detail }
}
