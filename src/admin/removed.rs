//! What a task keeps of the files that it removed from the disk: looked through, and taken back.

use super::view::{RemovedFile, RemovedFiles, Restored};
use super::{Reach, with_trees};
use crate::error::{Error, Kind, Result};
use crate::local::{Disk, DiskWriter, Found};
use crate::model::ItemKind;
use crate::remote::is_path;
use crate::rules::Day;
use crate::settings::{Book, Task};
use std::collections::BTreeMap;

/// Most items of a page.
const MOST: usize = 1000;

/// A page of what is in a folder of the recycle area, by name: of the area itself, the days, the
/// newest first.
pub(super) fn list(book: &Book, task: &str, path: &str, after: &str) -> Result<RemovedFiles> {
    let task = book.task(task)?;
    let disk = disk(book, &task)?;
    let area = DiskWriter::for_task(disk.clone(), task.id).recycle_area()?;
    if path.is_empty() {
        return days(&disk, &area);
    }
    place(path)?;
    let folder = format!("{area}/{path}");
    let mut found = BTreeMap::new();
    let mut more = false;
    // Its day may be over.
    if disk.stat(&folder)?.is_none() {
        return Ok(RemovedFiles::default());
    }
    disk.list(&folder, &mut |entry| {
        let (kind, bytes) = match entry.found {
            Found::File(print) => (ItemKind::File, print.size),
            Found::Folder(_) => (ItemKind::Folder, 0),
            _ => return Ok(()),
        };
        // What can't be named isn't of a task.
        if let Some(name) = entry.name.to_str().filter(|name| *name > after) {
            found.insert(name.to_owned(), (kind, bytes));
        }
        if found.len() > MOST {
            found.pop_last();
            more = true;
        }
        Ok(())
    })?;
    let next = found.last_key_value().filter(|_| more).map(|(name, _)| name.clone());
    let items = found.into_iter().map(|(name, (kind, bytes))| RemovedFile { name, kind, bytes });
    Ok(RemovedFiles { items: items.collect(), next })
}

fn days(disk: &Disk, area: &str) -> Result<RemovedFiles> {
    let mut days = Vec::new();
    if disk.stat(area)?.is_some() {
        disk.list(area, &mut |entry| {
            let day = entry.name.to_str().and_then(Day::parse);
            days.extend(day.filter(|_| matches!(entry.found, Found::Folder(_))));
            Ok(())
        })?;
    }
    days.sort_unstable_by(|a, b| b.cmp(a));
    let named = |day: Day| RemovedFile { name: day.to_string(), kind: ItemKind::Folder, bytes: 0 };
    Ok(RemovedFiles { items: days.into_iter().map(named).collect(), next: None })
}

/// Puts a file back to where it was in the task. The task mustn't be open.
pub(super) fn restore(book: &Book, task: &str, path: &str) -> Result<Restored> {
    let task = book.task(task)?;
    let (day, to) = place(path)?;
    let bytes = DiskWriter::for_task(disk(book, &task)?, task.id).restore_recycled(day, to)?;
    with_trees(&book.base()?, &task, |trees| {
        let Some(mut recycled) = trees.snapshot()?.recycled()? else { return Ok(()) };
        recycled.take(day, bytes);
        let mut batch = trees.batch()?;
        batch.set_recycled(&recycled)?;
        batch.flush()
    })?;
    Ok(Restored { path: to.into() })
}

fn disk(book: &Book, task: &Task) -> Result<Disk> {
    Reach::of(&book.connection(&task.connection)?, &book.globals()?).disk(task)
}

/// The day that a path in the recycle area begins with, and the path in the task that follows.
fn place(path: &str) -> Result<(Day, &str)> {
    let (day, inside) = path.split_once('/').unwrap_or((path, ""));
    let day = Day::parse(day).filter(|_| is_path(path)).ok_or_else(|| {
        Error::new(Kind::Usage, format!("the removed file {path}"), "it is no path of one")
            .remedy("give a day, and a path that is told in it")
    })?;
    Ok((day, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_its_day() {
        let told = |path| place(path).map(|(day, inside)| (day.to_string(), inside));
        assert_eq!(told("2026-11-23").unwrap(), ("2026-11-23".into(), ""));
        assert_eq!(told("2026-11-23/a/b").unwrap(), ("2026-11-23".into(), "a/b"));
        for wrong in [
            "",
            "a",
            "2026-11-31",
            "2026-11-23/..",
            "2026-11-23/a//b",
            "/2026-11-23",
            "2026-11-23/a/",
        ] {
            assert_eq!(told(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }
}
