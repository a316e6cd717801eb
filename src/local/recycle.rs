//! Where files go that a task removes from the disk: kept for a while, so that a person can take
//! them back.
//!
//! `.mooring/1/removed/2026-11-23/` has what the task with the id 1 removed on that day (UTC), each
//! file under the path that it had in the task. A file goes there by a rename, so it takes no room
//! and no time, and keeps all that it is; nobody who couldn't see it before can see it there.

use super::disk::{Found, disk_error};
use super::volume::Folder;
use super::writer::{DiskWriter, place};
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, LocalPrint, split_path};
use crate::rules::{Day, RECYCLE_FOLDER, RecycledDay, WORK_FOLDER, marked};
use nix::Error as Errno;
use std::ffi::OsStr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

/// Names tried for a file or folder before giving up.
const NAMES: u32 = 10_000;

impl DiskWriter {
    /// Removes a file, keeping it in the recycle area under this day. Tells where it is now, from
    /// the root on.
    ///
    /// # Errors
    /// `Changed` when it isn't as `expected`, `InUse` while a program has it open to write to it,
    /// `DiskFull` when there is no room for the folders that it is to be in, `Denied` when they are
    /// on another file system.
    pub fn recycle_file(&self, path: &str, expected: &LocalPrint, day: Day) -> Result<String> {
        let failed = |errno| disk_error("removing", path, errno);
        self.disk.at_rest("removing", path)?;
        self.expect(path, ItemKind::File, Some(expected))?;
        let (from, name) = self.parent(path).map_err(failed)?;
        if self.disk.stat(&self.area())?.is_none() {
            self.recycle_area()?;
        }
        let (area, folder) = self.folder_for(split_path(path).0, day).map_err(failed)?;
        let naming = self.work.naming.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = free_name(&*area, name).map_err(failed)?;
        self.expect(path, ItemKind::File, Some(expected))?;
        let taken = take(&*from, name, &*area, &kept, expected);
        drop(naming);
        match taken {
            Ok(true) => {}
            Ok(false) => {
                let what = format!("removing {path}");
                return Err(Error::new(Kind::Changed, what, "it changed on the disk meanwhile"));
            }
            Err(Errno::EXDEV) => return Err(elsewhere(path)),
            Err(errno) => return Err(failed(errno)),
        }
        area.sync().map_err(failed)?;
        Ok(format!("{folder}/{kept}"))
    }

    /// Puts a file that was kept under this day back to the path that it had, which must be free, and
    /// tells its bytes. Folders that nothing is kept in any more go.
    ///
    /// # Errors
    /// `NotFound` when it isn't kept, `Exists` when the path is taken, or one of the disk.
    pub fn restore_recycled(&self, day: Day, path: &str) -> Result<u64> {
        let what = || format!("taking back {path}");
        let area = self.recycle_area()?;
        let kept = format!("{area}/{day}/{path}");
        let Some(Found::File(print)) = self.disk.stat(&kept)? else {
            return Err(Error::new(Kind::NotFound, what(), "it isn't kept any more"));
        };
        if self.disk.stat(path)?.is_some() {
            return Err(Error::new(Kind::Exists, what(), "something is there by this name")
                .remedy("give that another name first"));
        }
        for (at, _) in path.match_indices('/') {
            self.make_folder(&path[..at])?;
        }
        self.rename(&kept, path, ItemKind::File, &print)?;
        let mut folder = split_path(&kept).0;
        while folder != area && self.remove_folder(folder).is_ok() {
            folder = split_path(folder).0;
        }
        Ok(print.size)
    }

    /// Removes for good what was kept under this day, asking `go_on` before each item.
    ///
    /// # Errors
    /// That of `go_on`, or of the disk; what is left can be removed later.
    pub fn drop_recycled(&self, day: Day, go_on: &dyn Fn() -> Result<()>) -> Result<()> {
        let path = format!("{}/{day}", self.recycle_area()?);
        let failed = |errno| disk_error("removing", &path, errno);
        if self.disk.stat(&path)?.is_some() {
            self.remove_tree(&path, go_on)?;
        }
        let work = match self.disk.open_folder(&self.work.path) {
            Ok(work) => work,
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        match work.remove_folder(RECYCLE_FOLDER) {
            Ok(()) => self.work.untidy.store(true, Relaxed),
            Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        Ok(())
    }

    /// Counts what is kept, by day, asking `go_on` before each item.
    ///
    /// # Errors
    /// That of `go_on`, or of the disk.
    pub fn count_recycled(&self, go_on: &dyn Fn() -> Result<()>) -> Result<Vec<RecycledDay>> {
        let area = self.recycle_area()?;
        let mut days = Vec::new();
        if self.disk.stat(&area)?.is_none() {
            return Ok(days);
        }
        self.disk.list(&area, &mut |entry| {
            let day = entry.name.to_str().and_then(Day::parse);
            if let (Some(day), Found::Folder(_)) = (day, entry.found) {
                let mut kept = RecycledDay { day, files: 0, bytes: 0 };
                self.count_tree(&format!("{area}/{day}"), &mut kept, go_on)?;
                days.push(kept);
            }
            Ok(())
        })?;
        days.sort_by_key(|kept| kept.day);
        Ok(days)
    }

    /// Where the task's removed files are kept, from the root on. What an earlier version kept there
    /// for all tasks of this folder together is this one's from now on.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn recycle_area(&self) -> Result<String> {
        let area = self.area();
        let old = format!("{WORK_FOLDER}/{RECYCLE_FOLDER}");
        let mut days = Vec::new();
        if self.disk.stat(&old)?.is_some() {
            self.disk.list(&old, &mut |entry| {
                let name = entry.name.to_str();
                days.extend(name.filter(|name| Day::parse(name).is_some()).map(str::to_owned));
                Ok(())
            })?;
        }
        if days.is_empty() {
            return Ok(area);
        }
        let failed = |errno| disk_error("taking over", &old, errno);
        let (from, to) = (self.disk.open_folder(&old), self.make_private(&area));
        let (from, to) = (from.map_err(failed)?, to.map_err(failed)?);
        for day in days {
            if to.look(OsStr::new(&day)) == Err(Errno::ENOENT) {
                from.rename(&day, &*to, &day).map_err(failed)?;
            }
        }
        to.sync().and_then(|()| from.sync()).map_err(failed)?;
        // A person may have put something there.
        let _ = self.parent(&old).and_then(|(work, name)| work.remove_folder(name));
        Ok(area)
    }

    fn area(&self) -> String {
        format!("{}/{RECYCLE_FOLDER}", self.work.path)
    }

    /// Opens a folder of ours, which is made if it isn't there.
    fn make_private(&self, path: &str) -> nix::Result<Arc<dyn Folder>> {
        let mut at = self.disk.open_folder("")?;
        for part in path.split('/') {
            at = enter(&*at, part, true)?;
        }
        Ok(at)
    }

    fn count_tree(
        &self,
        path: &str,
        kept: &mut RecycledDay,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        self.disk.list(path, &mut |entry| {
            go_on()?;
            match (entry.found, entry.name.to_str()) {
                (Found::File(print), _) => {
                    kept.files += 1;
                    kept.bytes = kept.bytes.saturating_add(print.size);
                    Ok(())
                }
                (Found::Folder(_), Some(name)) => {
                    self.count_tree(&format!("{path}/{name}"), kept, go_on)
                }
                _ => Ok(()),
            }
        })
    }

    /// The folder of the recycle area for what was in `folder`, which is made if it isn't there,
    /// and its path.
    fn folder_for(&self, folder: &str, day: Day) -> nix::Result<(Arc<dyn Folder>, String)> {
        self.work.untidy.store(true, Relaxed);
        let mut path = format!("{}/{day}", self.area());
        let mut at = self.make_private(&path)?;
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            let (next, name) = enter_marked(&*at, part)?;
            path = format!("{path}/{name}");
            at = next;
        }
        Ok((at, path))
    }
}

/// Opens a folder in another one, which is made if it isn't there.
fn enter(parent: &dyn Folder, name: &str, private: bool) -> nix::Result<Arc<dyn Folder>> {
    match parent.open_folder(name) {
        Err(Errno::ENOENT) => {}
        opened => return opened,
    }
    match parent.make_folder(name, private) {
        Ok(()) => parent.sync()?,
        Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    parent.open_folder(name)
}

/// The same under a name with a mark where a file has the name.
fn enter_marked(parent: &dyn Folder, name: &str) -> nix::Result<(Arc<dyn Folder>, String)> {
    for number in 1..=NAMES {
        let name = numbered(name, number);
        match enter(parent, &name, false) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => {}
            entered => return entered.map(|folder| (folder, name)),
        }
    }
    Err(Errno::EEXIST)
}

/// A name in this folder that nothing has: this one, or one with a mark.
fn free_name(folder: &dyn Folder, name: &str) -> nix::Result<String> {
    for number in 1..=NAMES {
        let name = numbered(name, number);
        match folder.look(OsStr::new(&name)) {
            Ok(_) => {}
            Err(Errno::ENOENT) => return Ok(name),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EEXIST)
}

fn numbered(name: &str, number: u32) -> String {
    if number == 1 { name.to_owned() } else { marked(name, &number.to_string()) }
}

/// Moves a file that was looked at to where it is kept. What came between the look and this stays
/// where it is, which `false` tells.
fn take(
    from: &dyn Folder,
    name: &str,
    area: &dyn Folder,
    kept: &str,
    expected: &LocalPrint,
) -> nix::Result<bool> {
    let linked = match from.link(name, area, kept) {
        Ok(()) => true,
        // A file system without links.
        Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::EMLINK) => false,
        Err(errno) => return Err(errno),
    };
    let spare = bring(from, name, area, kept, linked).inspect_err(|_| {
        // It stays where it is, and that is to be its only name.
        if linked {
            let _ = area.remove_file(OsStr::new(kept));
        }
    })?;
    let taken = is_still(area.look(OsStr::new(&spare))?, expected);
    if !taken {
        place(area, &spare, from, name)?;
    }
    if linked {
        area.remove_file(OsStr::new(if taken { spare.as_str() } else { kept }))?;
    }
    Ok(taken)
}

/// Moves a file into the area, where it may be `linked` as `kept` already. Tells the name that it came
/// under.
fn bring(
    from: &dyn Folder,
    name: &str,
    area: &dyn Folder,
    kept: &str,
    linked: bool,
) -> nix::Result<String> {
    let spare = if linked {
        // Named there for good before it goes from here: a power cut mustn't leave it without a name.
        area.sync()?;
        free_name(area, name)?
    } else {
        kept.to_owned()
    };
    // A rename takes whatever is there by now, and can be taken back.
    from.rename(name, area, &spare)?;
    Ok(spare)
}

/// Whether it is what was expected before it was renamed, which is a change of its own.
fn is_still(found: Found, expected: &LocalPrint) -> bool {
    let found = found.of_kind(ItemKind::File);
    found.is_some_and(|print| LocalPrint { ctime: expected.ctime, ..print } == *expected)
}

fn elsewhere(path: &str) -> Error {
    let cause = format!("it is on another file system than {WORK_FOLDER}, where it would be kept");
    Error::new(Kind::Denied, format!("removing {path}"), cause).remedy(
        "remove it yourself, or let the task keep nothing: mooring task set TASK --recycle 0",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Disk;
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// An empty folder that is removed at the end.
    struct Root(PathBuf);

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    impl Root {
        fn new(name: &str) -> (Root, DiskWriter) {
            let path = std::env::temp_dir().join(format!("mooring-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            let writer = DiskWriter::for_task(Disk::new(&path), 1);
            (Root(path), writer)
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.0.join(path)).unwrap()
        }
    }

    fn day() -> Day {
        Day::parse("2026-11-23").unwrap()
    }

    fn print(writer: &DiskWriter, path: &str) -> LocalPrint {
        let found = writer.disk.stat(path).unwrap().unwrap();
        found.of_kind(ItemKind::File).unwrap()
    }

    fn recycle(writer: &DiskWriter, path: &str) -> String {
        writer.recycle_file(path, &print(writer, path), day()).unwrap()
    }

    const AREA: &str = ".mooring/1/removed/2026-11-23";

    #[test]
    fn a_taken_name_gets_a_mark() {
        let (root, writer) = Root::new("recycle-names");
        for (number, name) in ["a/b.jpg", "a/b (2).jpg", "a/b (3).jpg"].iter().enumerate() {
            root.write("a/b.jpg", &number.to_string());
            assert_eq!(recycle(&writer, "a/b.jpg"), format!("{AREA}/{name}"));
        }
        // A file where a folder was kept, and a folder where a file was.
        fs::remove_dir(root.0.join("a")).unwrap();
        root.write("a", "file");
        root.write("c", "file");
        assert_eq!(recycle(&writer, "a"), format!("{AREA}/a (2)"));
        recycle(&writer, "c");
        root.write("c/d", "inner");
        assert_eq!(recycle(&writer, "c/d"), format!("{AREA}/c (2)/d"));
        assert_eq!(root.read(&format!("{AREA}/a/b (2).jpg")), "1");
        assert_eq!(root.read(&format!("{AREA}/c")), "file");
        assert!(!root.0.join("c/d").exists());
    }

    #[test]
    fn what_came_between_the_look_and_the_rename_goes_back() {
        let (root, writer) = Root::new("recycle-race");
        root.write("a", "planned");
        let planned = print(&writer, "a");
        for (found, still) in [
            (Found::File(planned), true),
            (Found::File(LocalPrint { ctime: 1, ..planned }), true),
            (Found::File(LocalPrint { size: 1, ..planned }), false),
            (Found::File(LocalPrint { mtime: 1, ..planned }), false),
            (Found::File(LocalPrint { inode: 1, ..planned }), false),
            (Found::Link, false),
        ] {
            assert_eq!(is_still(found, &planned), still, "{found:?}");
        }
        root.write("a", "written since");
        let error = writer.recycle_file("a", &planned, day()).unwrap_err();
        assert_eq!(error.kind(), Kind::Changed);
        let (folder, (area, _)) =
            (writer.parent("a").unwrap().0, writer.folder_for("", day()).unwrap());
        assert_eq!(take(&*folder, "a", &*area, "a", &planned), Ok(false));
        assert_eq!(root.read("a"), "written since");
        assert!(!exists(&root.0.join(AREA).join("a")));
        let planned = print(&writer, "a");
        fs::remove_file(root.0.join("a")).unwrap();
        root.write("a/inner", "a folder since");
        assert_eq!(take(&*folder, "a", &*area, "a", &planned), Ok(false));
        assert_eq!(root.read("a/inner"), "a folder since");
    }

    #[test]
    fn what_is_kept_can_be_taken_back() {
        let (root, writer) = Root::new("recycle-back");
        root.write("a/b/c.jpg", "first");
        recycle(&writer, "a/b/c.jpg");
        root.write("a/b/c.jpg", "second");
        let back = |path| writer.restore_recycled(day(), path);
        assert_eq!(back("a/b/c.jpg").unwrap_err().kind(), Kind::Exists);
        assert_eq!(root.read("a/b/c.jpg"), "second");
        fs::remove_dir_all(root.0.join("a")).unwrap();
        assert_eq!(back("a/b/c.jpg").unwrap(), 5);
        assert_eq!(root.read("a/b/c.jpg"), "first");
        assert!(!exists(&root.0.join(AREA)));
        assert_eq!(back("a/b/c.jpg").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn what_is_kept_is_counted_and_removed_by_day() {
        let (root, writer) = Root::new("recycle-days");
        let go_on = || Ok(());
        assert!(writer.count_recycled(&go_on).unwrap().is_empty());
        root.write("a/b", "12345");
        root.write("c", "1");
        recycle(&writer, "a/b");
        recycle(&writer, "c");
        root.write(".mooring/1/removed/2026-01-01/deep/er/d", "22");
        root.write(".mooring/1/removed/a person's/e", "333");
        let told = |writer: &DiskWriter| {
            let days = writer.count_recycled(&go_on).unwrap().into_iter();
            days.map(|kept| (kept.day.to_string(), kept.files, kept.bytes)).collect::<Vec<_>>()
        };
        let (old, new) = (("2026-01-01".into(), 1, 2), ("2026-11-23".into(), 2, 6));
        assert_eq!(told(&writer), [old, new.clone()]);
        writer.drop_recycled(Day::parse("2026-01-01").unwrap(), &go_on).unwrap();
        assert_eq!(told(&writer), [new]);
        let stop = || Err(Error::cancelled());
        assert_eq!(writer.drop_recycled(day(), &stop).unwrap_err().kind(), Kind::Cancelled);
        writer.drop_recycled(day(), &go_on).unwrap();
        assert_eq!(root.read(".mooring/1/removed/a person's/e"), "333");
        fs::remove_dir_all(root.0.join(".mooring/1/removed/a person's")).unwrap();
        writer.drop_recycled(day(), &go_on).unwrap();
        writer.tidy(&|_| false).unwrap();
        assert!(!exists(&root.0.join(".mooring")));
    }

    #[test]
    fn what_an_earlier_version_kept_is_taken_over() {
        let (root, writer) = Root::new("recycle-earlier");
        let old = ".mooring/removed";
        for (path, text) in [("2026-11-22/a/b", "older"), ("2026-11-23/c", "c"), ("mine/d", "d")] {
            root.write(&format!("{old}/{path}"), text);
        }
        root.write(".mooring/0123456789abcdef", "on its way in");
        root.write("e", "e");
        recycle(&writer, "e");
        assert_eq!(root.read(&format!("{AREA}/c")) + &root.read(&format!("{AREA}/e")), "ce");
        let other = DiskWriter::for_task(writer.disk.clone(), 2);
        assert!(other.count_recycled(&|| Ok(())).unwrap().is_empty());
        let day = Day::parse("2026-11-22").unwrap();
        assert_eq!(writer.restore_recycled(day, "a/b").unwrap(), 5);
        writer.tidy(&|_| true).unwrap();
        assert!(!exists(&root.0.join(".mooring/0123456789abcdef")));
        assert_eq!(root.read(&format!("{old}/mine/d")), "d");
    }

    fn exists(path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }
}
