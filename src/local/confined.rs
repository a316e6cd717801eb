//! The disk as a user of the NAS has it, though this program may read and change more.
//!
//! What the user may not have is answered with `EACCES`, so that it is treated as everything that
//! can't be read: told, and never taken for absent. It goes by the owner and the mode of each folder
//! and file. Where access control lists rule, these say nothing and the lists are told by a program
//! only, so that nothing but the task's folder itself is looked at there.

use super::kernel::{Kernel, KernelFolder};
use super::volume::{Folder, OpenFile, Space, Volume};
use super::{DiskEntry, Found, RootId};
use crate::error::Result;
use crate::rules::{Access, Account, Mode, WORK_FOLDER};
use nix::Error as Errno;
use nix::Result as Answer;
use nix::unistd::geteuid;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

/// Only who has one of its entries, or the folder, may remove or rename that.
const STICKY: u32 = 0o1000;

/// The one folder that a user was found to be allowed.
#[derive(Debug)]
pub(super) struct Confined {
    /// What makes it the one it is.
    pub root: RootId,
    /// The user; `None` where modes say nothing.
    pub account: Option<Account>,
}

#[derive(Debug)]
pub(super) struct ConfinedFolder {
    /// Without the bounds.
    pub folder: KernelFolder,
    mode: Mode,
    /// `None` in what is our own: whose items are in it is of no concern.
    account: Option<Arc<Account>>,
    is_root: bool,
}

impl Volume for Confined {
    fn open(&self, path: &Path) -> Answer<Arc<dyn Folder>> {
        let folder = Kernel.open_folder(path)?;
        if folder.identity()? != self.root {
            return Err(Errno::ESTALE);
        }
        match &self.account {
            Some(account) => {
                let account = Some(Arc::new(account.clone()));
                Ok(Arc::new(ConfinedFolder::new(folder, account, true)?))
            }
            None => Ok(Arc::new(folder)),
        }
    }
}

impl ConfinedFolder {
    fn new(folder: KernelFolder, account: Option<Arc<Account>>, is_root: bool) -> Answer<Self> {
        let mode = folder.mode()?;
        Ok(ConfinedFolder { folder, mode, account, is_root })
    }

    fn allow(&self, access: Access, item: Mode) -> Answer<()> {
        let lets = self.account.as_ref().is_none_or(|account| {
            // What this program made, it made for the task. Root's things are the system's.
            let is_ours = !geteuid().is_root() && item.user == geteuid().as_raw();
            is_ours || account.may(access, item)
        });
        if lets { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Whether entries may be made.
    fn allow_change(&self) -> Answer<()> {
        self.allow(Access::Write, self.mode)
    }

    /// Whether this entry may be taken away.
    fn allow_removal(&self, name: &OsStr) -> Answer<()> {
        self.allow_change()?;
        let Some(account) = self.account.as_ref().filter(|_| self.mode.bits & STICKY != 0) else {
            return Ok(());
        };
        let owner = self.folder.mode_of(name)?.user;
        let has = [account.user, geteuid().as_raw()];
        let may = self.mode.user == account.user || has.contains(&owner);
        if may { Ok(()) } else { Err(Errno::EACCES) }
    }
}

/// Whether entries may be made in another folder, and what is without bounds of it.
fn target(folder: &dyn Folder) -> Answer<&KernelFolder> {
    let folder: &dyn std::any::Any = folder;
    let folder: &ConfinedFolder = folder.downcast_ref().ok_or(Errno::EXDEV)?;
    folder.allow_change()?;
    Ok(&folder.folder)
}

impl Folder for ConfinedFolder {
    fn identity(&self) -> Answer<RootId> {
        self.folder.identity()
    }

    fn space(&self) -> Answer<Space> {
        self.folder.space()
    }

    fn open_folder(&self, name: &str) -> Answer<Arc<dyn Folder>> {
        let folder = self.folder.enter(name)?;
        if name == "." {
            return Ok(Arc::new(Self::new(folder, self.account.clone(), self.is_root)?));
        }
        let mut opened = Self::new(folder, self.account.clone(), false)?;
        let is_work = self.is_root && name == WORK_FOLDER;
        if is_work && opened.mode.user == geteuid().as_raw() {
            opened.account = None;
        }
        opened.allow(Access::Pass, opened.mode)?;
        Ok(Arc::new(opened))
    }

    fn look(&self, name: &OsStr) -> Answer<Found> {
        self.folder.look(name)
    }

    fn list(&self, each: &mut dyn FnMut(Answer<DiskEntry<'_>>) -> Result<()>) -> Result<()> {
        match self.allow(Access::Read, self.mode) {
            Ok(()) => self.folder.list(each),
            Err(errno) => each(Err(errno)),
        }
    }

    fn open_file(&self, name: &str) -> Answer<Box<dyn OpenFile>> {
        let file = self.folder.read(name)?;
        self.allow(Access::Read, file.mode()?)?;
        Ok(Box::new(file))
    }

    fn create_file(&self, name: &str) -> Answer<Box<dyn OpenFile>> {
        self.allow_change()?;
        self.folder.create_file(name)
    }

    fn make_folder(&self, name: &str, private: bool) -> Answer<()> {
        self.allow_change()?;
        self.folder.make_folder(name, private)
    }

    fn link(&self, name: &str, to: &dyn Folder, new_name: &str) -> Answer<()> {
        self.folder.link(name, target(to)?, new_name)
    }

    fn rename(&self, name: &str, to: &dyn Folder, new_name: &str) -> Answer<()> {
        self.allow_removal(OsStr::new(name))?;
        self.folder.rename(name, target(to)?, new_name)
    }

    fn remove_file(&self, name: &OsStr) -> Answer<()> {
        self.allow_removal(name)?;
        self.folder.remove_file(name)
    }

    fn remove_folder(&self, name: &str) -> Answer<()> {
        self.allow_removal(OsStr::new(name))?;
        self.folder.remove_folder(name)
    }

    fn sync(&self) -> Answer<()> {
        self.folder.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Disk, DiskWriter};
    use super::*;
    use crate::accounts::Opened;
    use crate::error::Kind;
    use std::fs::{self, File, Permissions};
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::path::PathBuf;

    const ALICE: u32 = 4242;

    /// A folder of Alice's that is gone when the test ends; only root can give it to her.
    struct Home(PathBuf);

    impl Home {
        fn new(name: &str) -> Option<Home> {
            let path = std::env::temp_dir().join(format!("confined-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            let home = Home(path);
            geteuid().is_root().then(|| chown(&home.0, Some(ALICE), None).unwrap())?;
            Some(home)
        }

        fn put(&self, path: &str, owner: u32, mode: u32) {
            let path = self.0.join(path);
            if path.extension().is_some() {
                fs::write(&path, "content").unwrap();
            } else {
                fs::create_dir(&path).unwrap();
            }
            chown(&path, Some(owner), None).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }

        fn disk(&self, is_listed: bool) -> Disk {
            let account = Account { user: ALICE, groups: vec![ALICE] };
            let folder = File::open(&self.0).unwrap();
            Disk::confined(&self.0, Opened { folder, account, is_listed }).unwrap()
        }
    }

    impl Drop for Home {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn listed(disk: &Disk, folder: &str) -> std::result::Result<usize, Kind> {
        let mut entries = 0;
        let listed = disk.list(folder, &mut |_| {
            entries += 1;
            Ok(())
        });
        listed.map(|()| entries).map_err(|error| error.kind())
    }

    fn opened(disk: &Disk, path: &str) -> std::result::Result<(), Kind> {
        let Some(Found::File(print)) = disk.stat(path).map_err(|error| error.kind())? else {
            return Err(Kind::NotFound);
        };
        disk.open(path, &print).map(drop).map_err(|error| error.kind())
    }

    #[test]
    fn what_the_user_may_not_read_cant_be_read() {
        let Some(home) = Home::new("read") else { return };
        for (path, owner, mode) in [
            ("open", 0, 0o755),
            ("open/all.txt", 0, 0o644),
            ("open/roots.txt", 0, 0o600),
            ("open/hers.txt", ALICE, 0o600),
            ("closed", 0, 0o700),
            ("closed/all.txt", 0, 0o644),
            ("blind", 0, 0o711),
            ("blind/all.txt", 0, 0o644),
        ] {
            home.put(path, owner, mode);
        }
        let disk = home.disk(false);
        assert_eq!(listed(&disk, ""), Ok(3));
        assert_eq!(listed(&disk, "open"), Ok(3));
        assert_eq!(opened(&disk, "open/all.txt"), Ok(()));
        assert_eq!(opened(&disk, "open/hers.txt"), Ok(()));
        assert_eq!(opened(&disk, "open/roots.txt"), Err(Kind::Denied));
        assert_eq!(listed(&disk, "closed"), Err(Kind::Denied));
        assert_eq!(opened(&disk, "closed/all.txt"), Err(Kind::Denied));
        assert_eq!(listed(&disk, "blind"), Err(Kind::Denied));
        assert_eq!(opened(&disk, "blind/all.txt"), Ok(()));
        // Modes say nothing then.
        let disk = home.disk(true);
        assert_eq!(listed(&disk, "closed"), Ok(1));
        assert_eq!(opened(&disk, "open/roots.txt"), Ok(()));
    }

    #[test]
    fn what_the_user_may_not_change_stays() {
        let Some(home) = Home::new("change") else { return };
        for (path, owner, mode) in [
            ("hers", ALICE, 0o755),
            ("roots", 0, 0o755),
            ("roots/a.txt", 0, 0o666),
            ("sticky", 0, 0o1777),
            ("sticky/hers.txt", ALICE, 0o666),
            ("sticky/anothers.txt", 1, 0o666),
        ] {
            home.put(path, owner, mode);
        }
        let writer = DiskWriter::for_task(home.disk(false), 1);
        let kind = |result: Result<()>| result.err().map(|error| error.kind());
        let land = |path: &str| {
            let mut arrival = writer.arrive("arrival").unwrap();
            arrival.write_all(b"new").unwrap();
            kind(arrival.land(path, None, None).map(drop))
        };
        assert_eq!(land("hers/b.txt"), None);
        assert_eq!(land("roots/b.txt"), Some(Kind::Denied));
        let make = |path: &str| kind(writer.make_folder(path).map(drop));
        assert_eq!((make("hers/c"), make("roots/c")), (None, Some(Kind::Denied)));
        let print = |path: &str| {
            let found = home.disk(true).stat(path).unwrap();
            let Some(Found::File(print)) = found else { panic!("{path}") };
            print
        };
        let remove = |path: &str| kind(writer.remove_file(path, &print(path)));
        assert_eq!(remove("roots/a.txt"), Some(Kind::Denied));
        assert_eq!(remove("sticky/anothers.txt"), Some(Kind::Denied));
        let day = crate::rules::Day::parse("2026-11-23").unwrap();
        let (hers, theirs) = (print("sticky/hers.txt"), print("roots/a.txt"));
        assert_eq!(kind(writer.recycle_file("sticky/hers.txt", &hers, day).map(drop)), None);
        let recycled = writer.recycle_file("roots/a.txt", &theirs, day).map(drop);
        assert_eq!(kind(recycled), Some(Kind::Denied));
        let only = fs::metadata(home.0.join("roots/a.txt")).unwrap();
        assert_eq!(only.nlink(), 1, "it is kept, too");
        assert!(home.0.join(".mooring/1/removed/2026-11-23/sticky/hers.txt").exists());
    }

    #[test]
    fn another_folder_in_its_place_is_none() {
        let Some(home) = Home::new("exchanged") else { return };
        for is_listed in [false, true] {
            let disk = home.disk(is_listed);
            assert!(disk.hold().is_ok());
            disk.release();
            let away = home.0.with_extension("away");
            fs::rename(&home.0, &away).unwrap();
            fs::create_dir(&home.0).unwrap();
            for error in [disk.hold().unwrap_err(), disk.identity().unwrap_err()] {
                assert_eq!(error.kind(), Kind::RootLost);
                assert!(error.reason().ends_with("another folder is in its place"), "{error}");
            }
            assert_eq!(listed(&disk, ""), Err(Kind::Disk));
            fs::remove_dir(&home.0).unwrap();
            fs::rename(&away, &home.0).unwrap();
        }
    }
}
