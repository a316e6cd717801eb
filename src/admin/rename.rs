//! A new name for a local item that can't be synced by the one it has.

use super::Reach;
use super::view::Renamed;
use crate::error::{Error, Kind, Result};
use crate::local::{DiskWriter, Found};
use crate::model::{ItemKind, join_path, split_path};
use crate::rules::{NameCheck, WORK_FOLDER};
use crate::services;
use crate::settings::Book;

/// Renames a task's item in the folder where it is, never over another, to a name that can be
/// synced.
pub(super) fn item(book: &Book, task: &str, path: &str, name: &str) -> Result<Renamed> {
    let task = book.task(task)?;
    let connection = book.connection(&task.connection)?;
    let what = format!("renaming {path}");
    let wrong = |cause: &str| Error::new(Kind::Usage, what.clone(), cause);
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    if path.split('/').any(|part| is_odd(part) || part == WORK_FOLDER) {
        return Err(wrong("it is no path of an item").remedy("give one that the status tells"));
    }
    let (folder, before) = split_path(path);
    if is_odd(name) || name.contains('/') || name == before {
        return Err(wrong("that is no other name").remedy("give another name, without a /"));
    }
    let disk = Reach::of(&connection, &book.globals()?).disk(&task)?;
    let (kind, print) = match disk.stat(path)? {
        Some(Found::File(print)) => (ItemKind::File, print),
        Some(Found::Folder(print)) => (ItemKind::Folder, print),
        Some(_) => {
            return Err(wrong("it is neither a file nor a folder")
                .remedy("rename it with the file manager of the NAS"));
        }
        None => {
            return Err(Error::new(Kind::NotFound, what, "it isn't on the disk any more"));
        }
    };
    let to = join_path(folder, name);
    let descriptor = services::find(&connection.service)?.descriptor();
    let rules = NameCheck::new(descriptor, &task.remote).with_filter(task.filter.clone());
    if let Some(reason) = rules.check(&to, kind) {
        let cause = format!("{name} couldn't be synced either: {reason}");
        return Err(wrong(&cause).remedy("choose another name"));
    }
    let renamed = DiskWriter::for_command(disk).rename(path, &to, kind, &print);
    renamed.map_err(|error| match error.kind() {
        Kind::Exists => Error::new(Kind::Exists, what, format!("there is a {name} already"))
            .remedy("choose another name"),
        _ => error,
    })?;
    Ok(Renamed { path: to })
}
