//! Changing the local folder: the one home of file mutation.
//!
//! Nothing is replaced or removed unless it still is what the plan was made against, and new
//! content appears under its name only when all of it is on the disk.

use super::disk::{Disk, DiskEntry, Found, LocalFile, disk_error, granularity};
use super::volume::{Folder, OpenFile};
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, LocalPrint, Nanos, split_path};
use crate::rules::{COMMAND_FOLDER, RECYCLE_FOLDER, WORK_FOLDER, dies_with_folder, work_folder};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A folder that files may be put into: the local one of a task that may write locally, or where a
/// command writes to.
#[derive(Clone, Debug)]
pub struct DiskWriter {
    pub(super) disk: Disk,
    pub(super) work: Arc<WorkFolder>,
}

/// What is known of the work folder.
#[derive(Debug)]
pub(super) struct WorkFolder {
    /// Where it is.
    pub path: String,
    /// Something may be in it that nobody needs. As long as nothing is, the disk isn't asked.
    pub untidy: AtomicBool,
    /// Held by who gives a file a name in the recycle area.
    pub naming: Mutex<()>,
}

/// A file on its way in: in the work folder, invisible to scans, until [`Arrival::land`].
pub struct Arrival {
    file: Box<dyn OpenFile>,
    /// Where the next byte is read or written.
    at: u64,
    name: String,
    writer: DiskWriter,
}

impl DiskWriter {
    /// For the task of this id, whose direction lets it write locally. What it has in its work
    /// folder is nothing to another that has the same local folder.
    pub fn for_task(disk: Disk, id: u64) -> Self {
        DiskWriter::working_in(disk, work_folder(id))
    }

    /// For a command that a person gave. What it has in its work folder is nothing to a task.
    pub fn for_command(disk: Disk) -> Self {
        DiskWriter::working_in(disk, format!("{WORK_FOLDER}/{COMMAND_FOLDER}"))
    }

    fn working_in(disk: Disk, path: String) -> Self {
        let work = WorkFolder { path, untidy: AtomicBool::new(true), naming: Mutex::default() };
        DiskWriter { disk, work: Arc::new(work) }
    }

    /// Makes a folder whose parent is there. One that exists already is as good.
    ///
    /// # Errors
    /// `Exists` when a file has its name.
    pub fn make_folder(&self, path: &str) -> Result<LocalPrint> {
        let failed = |errno| disk_error("making folder", path, errno);
        let (parent, name) = self.parent(path).map_err(failed)?;
        match parent.make_folder(name, false) {
            Ok(()) => parent.sync().map_err(failed)?,
            Err(nix::Error::EEXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        match self.disk.stat(path)? {
            Some(Found::Folder(print)) => Ok(print),
            _ => Err(failed(nix::Error::EEXIST)),
        }
    }

    /// Opens the arriving file called `name` in the work folder, with what is there of it already.
    pub fn arrive(&self, name: &str) -> Result<Arrival> {
        let failed = |errno| disk_error("making a temporary file", name, errno);
        self.work.untidy.store(true, Relaxed);
        let mut folder = self.disk.open_folder("").map_err(failed)?;
        for part in self.work.path.split('/') {
            match folder.make_folder(part, true) {
                Ok(()) | Err(nix::Error::EEXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            folder = folder.open_folder(part).map_err(failed)?;
        }
        let mut file = folder.create_file(name).map_err(failed)?;
        if file.links().map_err(failed)? > 1 {
            // A crash came right after it was put in place: it is a person's file by now.
            folder.remove_file(OsStr::new(name)).map_err(failed)?;
            file = folder.create_file(name).map_err(failed)?;
        }
        Ok(Arrival { file, at: 0, name: name.into(), writer: self.clone() })
    }

    /// Removes what no unfinished transfer needs from the work folder, and the folder when it is
    /// empty then.
    pub fn tidy(&self, needed: &dyn Fn(&str) -> bool) -> Result<()> {
        if !self.work.untidy.swap(false, Relaxed) {
            return Ok(());
        }
        let tidied = self.tidy_work_folder(needed);
        self.work.untidy.fetch_or(!matches!(tidied, Ok(true)), Relaxed);
        tidied.map(drop)
    }

    /// Tells whether nothing is left in it but removed files.
    fn tidy_work_folder(&self, needed: &dyn Fn(&str) -> bool) -> Result<bool> {
        let path = &self.work.path;
        // Earlier versions had the files of all tasks there.
        self.tidy_files(WORK_FOLDER, &|_| false)?;
        let tidy = self.tidy_files(path, needed)?;
        let mut left = path.as_str();
        while !left.is_empty() {
            let removed = self.parent(left).and_then(|(parent, name)| parent.remove_folder(name));
            match removed {
                Ok(()) | Err(nix::Error::ENOENT) => left = split_path(left).0,
                Err(nix::Error::ENOTEMPTY | nix::Error::EEXIST) => break,
                // Said of a folder that isn't there, too.
                Err(nix::Error::EROFS) => break,
                Err(errno) => return Err(disk_error("tidying", path, errno)),
            }
        }
        Ok(tidy)
    }

    /// Removes the files of a folder that aren't needed. Tells whether nothing is left in it but
    /// removed files.
    fn tidy_files(&self, path: &str, needed: &dyn Fn(&str) -> bool) -> Result<bool> {
        let failed = |errno| disk_error("tidying", path, errno);
        let folder = match self.disk.open_folder(path) {
            Ok(folder) => folder,
            Err(nix::Error::ENOENT) => return Ok(true),
            Err(errno) => return Err(failed(errno)),
        };
        let mut tidy = true;
        self.disk.list(path, &mut |entry| {
            let keep = entry.name.to_str().is_some_and(needed);
            if !keep && matches!(entry.found, Found::File(_)) {
                folder.remove_file(entry.name).map_err(failed)?;
            }
            tidy &= !keep || entry.name == RECYCLE_FOLDER;
            Ok(())
        })?;
        Ok(tidy)
    }

    /// Gives an item another path, which must be free. Tells its print by that path, but for what
    /// was written to it meanwhile, which the next look is to find.
    ///
    /// # Errors
    /// `Changed` when it isn't as `expected`, `Exists` when the new path is taken.
    pub fn rename(
        &self,
        from: &str,
        to: &str,
        kind: ItemKind,
        expected: &LocalPrint,
    ) -> Result<LocalPrint> {
        let failed = |errno| disk_error("renaming", from, errno);
        self.expect(from, kind, Some(expected))?;
        let (from_folder, from_name) = self.parent(from).map_err(failed)?;
        let (to_folder, to_name) = self.parent(to).map_err(failed)?;
        match kind {
            ItemKind::File => {
                place(&*from_folder, from_name, &*to_folder, to_name).map_err(failed)?;
            }
            ItemKind::Folder => {
                // RACE: a folder made under the new name between these two calls is replaced when
                // it is empty, and makes the call fail when it isn't: nothing is lost.
                self.expect(to, kind, None)?;
                from_folder.rename(from_name, &*to_folder, to_name).map_err(failed)?;
            }
        }
        to_folder.sync().map_err(failed)?;
        from_folder.sync().map_err(failed)?;
        let renamed =
            self.disk.stat(to)?.and_then(|found| found.of_kind(kind)).ok_or_else(|| {
                Error::new(Kind::Changed, format!("renaming {from}"), "it was replaced meanwhile")
            })?;
        // All that the rename itself changes.
        Ok(LocalPrint { ctime: renamed.ctime, ..*expected })
    }

    /// Removes a file for good.
    ///
    /// # Errors
    /// `Changed` when it isn't as `expected`, `InUse` while a program has it open to write to it.
    pub fn remove_file(&self, path: &str, expected: &LocalPrint) -> Result<()> {
        let failed = |errno| disk_error("removing", path, errno);
        let (folder, name) = self.parent(path).map_err(failed)?;
        self.disk.at_rest("removing", path)?;
        // RACE: what a program writes that opens it within these calls is lost with it: a few
        // microseconds. Where the kernel can't tell who has it open, so is what one writes by and by.
        self.expect(path, ItemKind::File, Some(expected))?;
        folder.remove_file(OsStr::new(name)).map_err(failed)
    }

    /// Removes a folder that holds nothing but what programs left behind in it.
    ///
    /// # Errors
    /// `Exists` when something else is in it.
    pub fn remove_folder(&self, path: &str) -> Result<()> {
        let failed = |errno| match errno {
            nix::Error::ENOTEMPTY => disk_error("removing folder", path, nix::Error::EEXIST),
            errno => disk_error("removing folder", path, errno),
        };
        // All of it is looked at before any of it is removed.
        self.disk.list(path, &mut |entry| {
            litter(&entry).map(drop).ok_or_else(|| failed(nix::Error::EEXIST))
        })?;
        let folder = self.disk.open_folder(path).map_err(failed)?;
        self.disk.list(path, &mut |entry| match litter(&entry) {
            Some(name) if matches!(entry.found, Found::Folder(_)) => {
                self.remove_tree(&format!("{path}/{name}"), &|| Ok(()))
            }
            Some(name) => folder.remove_file(OsStr::new(name)).map_err(failed),
            // It came between the two looks.
            None => Err(failed(nix::Error::EEXIST)),
        })?;
        let (parent, name) = self.parent(path).map_err(failed)?;
        parent.remove_folder(name).map_err(failed)
    }

    /// Removes a folder of ours, or of thumbnails, with everything in it, asking `go_on` before each
    /// item.
    pub(super) fn remove_tree(&self, path: &str, go_on: &dyn Fn() -> Result<()>) -> Result<()> {
        let failed = |errno| disk_error("removing folder", path, errno);
        let folder = self.disk.open_folder(path).map_err(failed)?;
        self.disk.list(path, &mut |entry| {
            go_on()?;
            match (entry.found, entry.name.to_str()) {
                (Found::Folder(_), Some(name)) => {
                    self.remove_tree(&format!("{path}/{name}"), go_on)
                }
                (Found::Folder(_) | Found::Mount, _) => Err(failed(nix::Error::EBUSY)),
                _ => folder.remove_file(entry.name).map_err(failed),
            }
        })?;
        let (parent, name) = self.parent(path).map_err(failed)?;
        parent.remove_folder(name).map_err(failed)
    }

    pub(super) fn parent<'p>(&self, path: &'p str) -> nix::Result<(Arc<dyn Folder>, &'p str)> {
        let (folder, name) = split_path(path);
        Ok((self.disk.open_folder(folder)?, name))
    }

    /// Fails with `Changed` or `Exists` unless the item is as expected (`None`: absent).
    pub(super) fn expect(
        &self,
        path: &str,
        kind: ItemKind,
        expected: Option<&LocalPrint>,
    ) -> Result<()> {
        let found = self.disk.stat(path)?;
        let what = format!("changing {path}");
        match (found, expected) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(Error::new(Kind::Exists, what, "something has its name")),
            (Some(found), Some(expected)) if found.of_kind(kind).as_ref() == Some(expected) => {
                Ok(())
            }
            _ => Err(Error::new(Kind::Changed, what, "it changed on the disk meanwhile")),
        }
    }
}

impl Arrival {
    /// How many bytes are there already.
    pub fn length(&self) -> Result<u64> {
        self.print().map(|print| print.size)
    }

    /// Drops what is there already.
    pub fn restart(&mut self) -> Result<()> {
        self.at = 0;
        self.file.set_length(0).map_err(|error| self.error(error))
    }

    /// Goes to the start, to read what is there.
    pub fn rewind(&mut self) {
        self.at = 0;
    }

    /// Gives the file the owner and the mode of another one, as far as the user can.
    pub fn take_after(&self, other: &LocalFile) {
        self.file.take_after(&*other.folder, split_path(&other.path).1);
    }

    /// Gives the file its time of modification, makes its content durable and puts it under `path`,
    /// where `expected` must still be (`None`: nothing); its name there is durable with the next
    /// [`Disk::sync_names`]. A replaced file's mode and owner are kept. Where no time is told, it is
    /// one that the next write is sure to change.
    ///
    /// # Errors
    /// `Changed` or `Exists` when something else is there, `InUse` while a program has it open to
    /// write to it; the arrival then stays for later.
    pub fn land(
        &self,
        path: &str,
        expected: Option<&LocalPrint>,
        mtime: Option<Nanos>,
    ) -> Result<LocalPrint> {
        let failed = |errno| disk_error("putting in place", path, errno);
        let disk = &self.writer.disk;
        let (target, name) = self.writer.parent(path).map_err(failed)?;
        let mtime = mtime.map_or_else(|| self.earlier(), Ok)?;
        self.file.set_mtime(mtime).map_err(failed)?;
        let ours = self.print()?;
        if expected.is_some() {
            self.file.take_after(&*target, name);
        }
        self.file.sync().map_err(|error| self.error(error))?;
        let work = disk.open_folder(&self.writer.work.path).map_err(failed)?;
        match expected {
            None => place(&*work, &self.name, &*target, name).map_err(failed)?,
            Some(expected) => {
                disk.at_rest("replacing", path)?;
                // RACE: what a program writes that opens the file within these calls is lost with
                // it: a few microseconds. Where the kernel can't tell who has it open, so is what
                // one writes by and by.
                self.writer.expect(path, ItemKind::File, Some(expected))?;
                work.rename(&self.name, &*target, name).map_err(failed)?;
            }
        }
        disk.sync_later(&target).map_err(failed)?;
        // All that its new name changes: what is written to it by now is for the next look to find.
        Ok(LocalPrint { ctime: self.print()?.ctime, ..ours })
    }

    fn print(&self) -> Result<LocalPrint> {
        let found = self.file.look().map_err(|errno| self.error(errno.into()))?;
        let print = found.of_kind(ItemKind::File);
        print.ok_or_else(|| self.error(nix::Error::EINVAL.into()))
    }

    /// A time before it was written to: whatever is written to it from now on gives it another.
    fn earlier(&self) -> Result<Nanos> {
        let print = self.print()?;
        let unseen = i64::try_from(granularity(&print).as_nanos()).unwrap_or(0);
        Ok(print.mtime.saturating_sub(unseen))
    }

    /// Writes all of it from this byte on, wherever the next byte is written otherwise.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write_at(&bytes[done..], offset + done as u64) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads from this byte on, wherever the next byte is read otherwise.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    /// Makes the first `length` bytes durable, for a later attempt, and drops the others.
    pub fn keep(self, length: u64) -> Result<()> {
        let cut = self.file.set_length(length).and_then(|()| self.file.sync());
        cut.map_err(|error| self.error(error))
    }

    /// Removes the file: it isn't needed.
    pub fn discard(self) -> Result<()> {
        let failed = |errno| disk_error("removing a temporary file", &self.name, errno);
        let work = self.writer.disk.open_folder(&self.writer.work.path).map_err(failed)?;
        work.remove_file(OsStr::new(&self.name)).map_err(failed)
    }

    fn error(&self, error: std::io::Error) -> Error {
        Error::disk(format!("temporary file {}", self.name), error)
    }
}

impl Write for Arrival {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Read for Arrival {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The name of an entry that may go with its folder.
fn litter<'e>(entry: &DiskEntry<'e>) -> Option<&'e str> {
    let kind = match entry.found {
        Found::File(_) => ItemKind::File,
        Found::Folder(_) => ItemKind::Folder,
        Found::Mount | Found::Link | Found::Special => return None,
    };
    entry.name.to_str().filter(|name| dies_with_folder(name, kind))
}

/// Puts a file under a name that must be free.
pub(super) fn place(
    from: &dyn Folder,
    name: &str,
    to: &dyn Folder,
    new_name: &str,
) -> nix::Result<()> {
    // A link fails when the name is taken, on every kernel and C library.
    match from.link(name, to, new_name) {
        Ok(()) => from.remove_file(OsStr::new(name)),
        // A crash came between the two calls.
        Err(nix::Error::EEXIST) if is_one_file(from, name, to, new_name) => {
            from.remove_file(OsStr::new(name))
        }
        Err(nix::Error::EPERM | nix::Error::EOPNOTSUPP | nix::Error::EMLINK) => {
            // RACE: file systems without links (FAT) leave a window of microseconds in which a
            // file made under this name is replaced.
            match to.look(OsStr::new(new_name)) {
                Err(nix::Error::ENOENT) => from.rename(name, to, new_name),
                Ok(_) => Err(nix::Error::EEXIST),
                Err(errno) => Err(errno),
            }
        }
        Err(errno) => Err(errno),
    }
}

/// Whether both names are of the same file.
fn is_one_file(folder: &dyn Folder, name: &str, other: &dyn Folder, other_name: &str) -> bool {
    let file = |folder: &dyn Folder, name: &str| {
        let found = folder.look(OsStr::new(name)).ok()?.of_kind(ItemKind::File)?;
        Some((folder.identity().ok()?.file_system, found.inode))
    };
    let one = file(folder, name);
    one.is_some() && one == file(other, other_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// An empty folder that is removed at the end.
    struct Root(std::path::PathBuf);

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn root(name: &str) -> (Root, DiskWriter) {
        let path = std::env::temp_dir().join(format!("mooring-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let writer = DiskWriter::for_task(Disk::new(&path), 1);
        (Root(path), writer)
    }

    /// Killed between the two calls of [`place`], which leaves the file under both names.
    #[test]
    fn a_file_in_place_is_not_written_to_again() {
        let (root, writer) = root("placed");
        let mut arrival = writer.arrive("arrival").unwrap();
        arrival.write_all(b"a person's by now").unwrap();
        drop(arrival);
        let (work, placed) = (root.0.join(work_folder(1)), root.0.join("file"));
        fs::hard_link(work.join("arrival"), &placed).unwrap();
        let mut arrival = writer.arrive("arrival").unwrap();
        arrival.restart().unwrap();
        arrival.write_all(b"new").unwrap();
        assert_eq!(fs::read(&placed).unwrap(), b"a person's by now");
        assert_eq!(fs::read(work.join("arrival")).unwrap(), b"new");
    }

    #[test]
    fn a_rename_that_was_cut_short_goes_on() {
        let (root, writer) = root("renamed");
        fs::write(root.0.join("old"), "content").unwrap();
        fs::hard_link(root.0.join("old"), root.0.join("new")).unwrap();
        let Some(Found::File(print)) = writer.disk.stat("old").unwrap() else { panic!() };
        writer.rename("old", "new", ItemKind::File, &print).unwrap();
        assert!(!root.0.join("old").exists());
        assert_eq!(fs::read(root.0.join("new")).unwrap(), b"content");
        fs::write(root.0.join("old"), "another").unwrap();
        let Some(Found::File(print)) = writer.disk.stat("old").unwrap() else { panic!() };
        let error = writer.rename("old", "new", ItemKind::File, &print).unwrap_err();
        assert_eq!(error.kind(), Kind::Exists);
    }
}
