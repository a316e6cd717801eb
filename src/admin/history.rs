//! The history of tasks a page at a time, the newest lines first.
//!
//! Of each task only so many lines are looked at for a page, whatever is searched for: a page may
//! have few lines, or none, and still tell where to go on.

use super::view::{HistoryPage, LogLine};
use crate::error::{Error, Kind, Result};
use crate::settings::Task;
use crate::store::Trees;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Lines of a task that are looked at for a page.
const MOST_LOOKED_AT: usize = 5_000;
/// Most lines of a page, and most bytes of what is searched for.
const MOST_LINES: usize = 1_000;
const MOST_SEARCHED: usize = 1 << 10;

/// What is wanted of the history.
pub struct Wanted {
    limit: usize,
    /// Of this action alone; of any if it is empty.
    action: String,
    /// Only what has this in its path or detail, in upper or lower case.
    search: String,
    /// Where the page before ended, by the tasks' ids; from the newest line on without it.
    before: Option<BTreeMap<u64, u64>>,
}

/// What was found of a task.
pub struct Found {
    id: u64,
    /// With their numbers, the newest first.
    lines: Vec<(u64, LogLine)>,
    /// Where looking ended, unless it was at the oldest line.
    stopped: Option<(u64, String)>,
    /// Lines that are kept in all.
    kept: u64,
}

impl Wanted {
    /// Understands a request.
    ///
    /// # Errors
    /// `Usage` when `before` is no place that was told as next.
    pub fn new(limit: usize, action: &str, search: &str, before: Option<&str>) -> Result<Wanted> {
        Ok(Wanted {
            limit: limit.clamp(1, MOST_LINES),
            action: action.replace('_', "-"),
            search: search.chars().take(MOST_SEARCHED).collect::<String>().to_lowercase(),
            before: before.map(understood).transpose()?,
        })
    }

    fn is_like(&self, line: &LogLine) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.search);
        (self.action.is_empty() || line.action.replace('_', "-") == self.action)
            && (self.search.is_empty() || has(&line.path) || has(&line.detail))
    }

    /// Looks through the history of a task.
    pub fn find(&self, task: &Task, trees: &Trees) -> Result<Found> {
        let snapshot = trees.snapshot()?;
        let mut found = Found {
            id: task.id,
            lines: Vec::new(),
            stopped: None,
            kept: snapshot.history_length()?,
        };
        let before = match &self.before {
            Some(places) => match places.get(&task.id) {
                Some(number) => Some(*number),
                // It was told to its end, or is younger.
                None => return Ok(found),
            },
            None => None,
        };
        for (looked_at, event) in snapshot.history_before(before)?.enumerate() {
            let (number, event) = event?;
            let line = LogLine::of(task, event);
            if looked_at + 1 == MOST_LOOKED_AT || found.lines.len() == self.limit {
                found.stopped = Some((number + 1, line.time));
                break;
            }
            if self.is_like(&line) {
                found.lines.push((number, line));
            }
        }
        Ok(found)
    }

    /// The page with the newest of what was found of all tasks.
    pub fn page(&self, mut tasks: Vec<Found>) -> HistoryPage {
        // A clock that was set back doesn't change the order of a task's lines.
        let mut all: Vec<(String, usize, u64)> = Vec::new();
        for (at, task) in tasks.iter_mut().enumerate() {
            let mut newest: Option<String> = None;
            for (number, line) in &task.lines {
                let time = newest.filter(|newest| *newest < line.time).unwrap_or(line.time.clone());
                all.push((time.clone(), at, *number));
                newest = Some(time);
            }
            if let (Some((_, time)), Some(newest)) = (&mut task.stopped, newest) {
                *time = newest.min(time.clone());
            }
        }
        // Beyond where a task was looked at, it may have lines that come first.
        let floor = tasks.iter().filter_map(|task| Some(&task.stopped.as_ref()?.1)).max().cloned();
        all.retain(|(time, ..)| floor.as_ref().is_none_or(|floor| time >= floor));
        all.sort_by(|(a, i, m), (b, j, n)| b.cmp(a).then(i.cmp(j)).then(n.cmp(m)));
        all.truncate(self.limit);
        let mut told = vec![0; tasks.len()];
        let mut lines = Vec::new();
        for (_, at, _) in all {
            lines.extend(tasks[at].lines.get(told[at]).map(|(_, line)| line.clone()));
            told[at] += 1;
        }
        let mut next = String::new();
        for (task, told) in tasks.iter().zip(told) {
            let place = match (task.lines.get(told), &task.stopped) {
                (Some((number, _)), _) => number + 1,
                (None, Some((number, _))) => *number,
                (None, None) => continue,
            };
            // Never fails: it is text.
            let _ = write!(next, "{}{}-{place}", if next.is_empty() { "" } else { "," }, task.id);
        }
        let kept = tasks.iter().map(|task| task.kept).sum();
        HistoryPage { lines, next: Some(next).filter(|next| !next.is_empty()), kept }
    }
}

fn understood(place: &str) -> Result<BTreeMap<u64, u64>> {
    let pair = |text: &str| {
        let (id, number) = text.split_once('-')?;
        Some((id.parse().ok()?, number.parse().ok()?))
    };
    place.split(',').map(pair).collect::<Option<_>>().ok_or_else(|| {
        Error::new(Kind::Usage, format!("the place {place}"), "it is none that was told as next")
            .remedy("begin without one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(task: u64, number: u64, time: u64) -> (u64, LogLine) {
        let line = LogLine {
            time: format!("2026-12-01T00:{time:02}:00Z"),
            task: task.to_string(),
            action: if number.is_multiple_of(2) { "uploaded" } else { "deleted_local" }.into(),
            path: format!("{task}/{number}"),
            bytes: 0,
            detail: String::new(),
        };
        (number, line)
    }

    /// Pages through tasks of which each look gets so many lines.
    fn paged(tasks: &[&[(u64, LogLine)]], looked_at: usize, limit: usize) -> Vec<String> {
        let mut told = Vec::new();
        let mut before: Option<String> = None;
        for _ in 0..100 {
            let wanted = Wanted::new(limit, "", "", before.as_deref()).unwrap();
            let found = tasks.iter().zip(1..).map(|(lines, id)| {
                let known = wanted.before.as_ref();
                let before = known.map_or(u64::MAX, |it| it.get(&id).copied().unwrap_or(0));
                let rest: Vec<_> = lines.iter().filter(|(it, _)| *it < before).cloned().collect();
                let stopped =
                    rest.get(looked_at).map(|(number, line)| (number + 1, line.time.clone()));
                let lines = rest.into_iter().take(looked_at).collect();
                Found { id, lines, stopped, kept: 5 }
            });
            let page = wanted.page(found.collect());
            assert!(page.lines.len() <= limit && page.kept == 5 * tasks.len() as u64);
            told.extend(page.lines.into_iter().map(|line| line.path));
            before = page.next;
            if before.is_none() {
                return told;
            }
        }
        panic!("it has no end: {told:?}");
    }

    #[test]
    fn pages_tell_each_line_once_the_newest_first() {
        let one = [line(1, 9, 50), line(1, 8, 40), line(1, 7, 30), line(1, 6, 20)];
        let two = [line(2, 3, 45), line(2, 2, 35), line(2, 1, 5)];
        let all = ["1/9", "2/3", "1/8", "2/2", "1/7", "1/6", "2/1"];
        for looked_at in 1..6 {
            for limit in 1..9 {
                assert_eq!(paged(&[&one, &two], looked_at, limit), all, "{looked_at} {limit}");
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_back_hides_no_line() {
        let one = [line(1, 4, 10), line(1, 3, 50), line(1, 2, 40)];
        let two = [line(2, 2, 30), line(2, 1, 20)];
        for looked_at in 1..5 {
            for limit in 1..6 {
                let mut told = paged(&[&one, &two], looked_at, limit);
                told.sort();
                assert_eq!(told, ["1/2", "1/3", "1/4", "2/1", "2/2"], "{looked_at} {limit}");
            }
        }
    }

    #[test]
    fn what_is_wanted() {
        let (_, line) = line(1, 3, 1);
        let is_wanted =
            |action, search| Wanted::new(9, action, search, None).unwrap().is_like(&line);
        assert!(
            is_wanted("", "")
                && is_wanted("deleted-local", "1/3")
                && is_wanted("deleted_local", "")
        );
        assert!(!is_wanted("uploaded", "") && !is_wanted("", "1/4"));
        for wrong in ["x", "1", "1-", "1-2,", "-"] {
            assert!(Wanted::new(9, "", "", Some(wrong)).is_err(), "{wrong}");
        }
    }
}
