//! The disk as the kernel has it.

use super::confined::ConfinedFolder;
use super::lease::is_being_written;
use super::volume::{Folder, OpenFile, Space, Volume};
use super::{DiskEntry, Found, RootId};
use crate::error::Result;
use crate::model::{LocalPrint, Nanos};
use crate::rules;
use nix::Result as Answer;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, PosixFadviseAdvice, open, openat, posix_fadvise, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, futimens, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fsync, linkat, unlinkat};
use std::any::Any;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Modes of what is made, before the umask.
const FILE_MODE: Mode = Mode::from_bits_truncate(0o666);
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o777);
const PRIVATE_MODE: Mode = Mode::from_bits_truncate(0o700);

/// So much of a file goes to the disk together, while more is written.
const STRETCH: u64 = 8 << 20;

const FOLDER_FLAGS: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const FILE_FLAGS: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);

/// All that is mounted.
#[derive(Debug)]
pub(super) struct Kernel;

#[derive(Debug)]
pub(super) struct KernelFolder(OwnedFd);

pub(super) struct KernelFile(File);

impl Volume for Kernel {
    fn open(&self, path: &Path) -> Answer<Arc<dyn Folder>> {
        Ok(Arc::new(self.open_folder(path)?))
    }
}

impl Kernel {
    /// Opens the folder at this absolute path.
    pub fn open_folder(&self, path: &Path) -> Answer<KernelFolder> {
        Ok(KernelFolder(open(path, FOLDER_FLAGS, Mode::empty())?))
    }
}

impl From<File> for KernelFolder {
    fn from(folder: File) -> Self {
        KernelFolder(folder.into())
    }
}

impl KernelFolder {
    /// Opens a folder in this one.
    pub fn enter(&self, name: &str) -> Answer<KernelFolder> {
        let flags = FOLDER_FLAGS.union(OFlag::O_NOFOLLOW);
        Ok(KernelFolder(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Opens a file to read it.
    pub fn read(&self, name: &str) -> Answer<KernelFile> {
        // O_NONBLOCK: a pipe put in the file's place must not make us wait for a writer.
        self.open(name, OFlag::O_RDONLY.union(OFlag::O_NONBLOCK))
    }

    /// Whose it is, and what its mode says.
    pub fn mode(&self) -> Answer<rules::Mode> {
        Ok(mode(&fstat(&self.0)?))
    }

    /// The same of what has this name.
    pub fn mode_of(&self, name: &OsStr) -> Answer<rules::Mode> {
        Ok(mode(&fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    fn open(&self, name: &str, flags: OFlag) -> Answer<KernelFile> {
        let file = openat(&self.0, name, flags.union(FILE_FLAGS), FILE_MODE)?;
        Ok(KernelFile(File::from(file)))
    }
}

/// The kernel's side of another folder.
fn of_kernel(folder: &dyn Folder) -> Answer<&OwnedFd> {
    let folder: &dyn Any = folder;
    let confined = || folder.downcast_ref().map(|ConfinedFolder { folder, .. }| folder);
    let folder: Option<&KernelFolder> = folder.downcast_ref().or_else(confined);
    folder.map(|KernelFolder(fd)| fd).ok_or(nix::Error::EXDEV)
}

impl Folder for KernelFolder {
    fn identity(&self) -> Answer<RootId> {
        let file_system = fstatvfs(&self.0)?.filesystem_id();
        let stat = fstat(&self.0)?;
        // Their width differs between CPUs.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        Ok(RootId { file_system: file_system as u64, inode: stat.st_ino as u64 })
    }

    fn space(&self) -> Answer<Space> {
        let told = fstatvfs(&self.0)?;
        // Their width differs between CPUs.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        let [unit, total, free] =
            [told.fragment_size() as u64, told.blocks() as u64, told.blocks_available() as u64];
        Ok(Space { total: total.saturating_mul(unit), free: free.saturating_mul(unit) })
    }

    fn open_folder(&self, name: &str) -> Answer<Arc<dyn Folder>> {
        Ok(Arc::new(self.enter(name)?))
    }

    fn look(&self, name: &OsStr) -> Answer<Found> {
        Ok(found(&fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    fn list(&self, each: &mut dyn FnMut(Answer<DiskEntry<'_>>) -> Result<()>) -> Result<()> {
        let opened = fstat(&self.0).and_then(|stat| {
            // Of its own, as a listing begins where the last one by the same descriptor ended.
            let folder = openat(&self.0, ".", FOLDER_FLAGS, Mode::empty())?;
            Ok((stat.st_dev, Dir::from_fd(folder)?))
        });
        let (device, mut listing) = match opened {
            Ok(opened) => opened,
            Err(errno) => return each(Err(errno)),
        };
        for entry in listing.iter() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => return each(Err(errno)),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // What vanishes between the two looks is absent, as if the first had come later.
                Err(nix::Error::ENOENT) => continue,
                Err(errno) => return each(Err(errno)),
            };
            let found = match found(&stat) {
                Found::Folder(_) if stat.st_dev != device => Found::Mount,
                found => found,
            };
            each(Ok(DiskEntry { name: OsStr::from_bytes(name.to_bytes()), found }))?;
        }
        Ok(())
    }

    fn open_file(&self, name: &str) -> Answer<Box<dyn OpenFile>> {
        Ok(Box::new(self.read(name)?))
    }

    fn create_file(&self, name: &str) -> Answer<Box<dyn OpenFile>> {
        Ok(Box::new(self.open(name, OFlag::O_RDWR.union(OFlag::O_CREAT))?))
    }

    fn make_folder(&self, name: &str, private: bool) -> Answer<()> {
        mkdirat(&self.0, name, if private { PRIVATE_MODE } else { FOLDER_MODE })
    }

    fn link(&self, name: &str, to: &dyn Folder, new_name: &str) -> Answer<()> {
        linkat(&self.0, name, of_kernel(to)?, new_name, AtFlags::empty())
    }

    fn rename(&self, name: &str, to: &dyn Folder, new_name: &str) -> Answer<()> {
        renameat(&self.0, name, of_kernel(to)?, new_name)
    }

    fn remove_file(&self, name: &OsStr) -> Answer<()> {
        unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)
    }

    fn remove_folder(&self, name: &str) -> Answer<()> {
        unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)
    }

    fn sync(&self) -> Answer<()> {
        match fsync(&self.0) {
            // Some file systems can't, and need not.
            Err(nix::Error::EINVAL) => Ok(()),
            other => other,
        }
    }
}

impl KernelFile {
    /// Whose it is, and what its mode says.
    pub fn mode(&self) -> Answer<rules::Mode> {
        Ok(mode(&fstat(&self.0)?))
    }
}

impl OpenFile for KernelFile {
    fn look(&self) -> Answer<Found> {
        Ok(found(&fstat(&self.0)?))
    }

    // Its width differs between CPUs.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    fn links(&self) -> Answer<u64> {
        Ok(fstat(&self.0)?.st_nlink as u64)
    }

    fn is_being_written(&self) -> bool {
        is_being_written(&self.0)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let count = self.0.write_at(bytes, offset)?;
        let end = offset + count as u64;
        if offset / STRETCH < end / STRETCH {
            // The kernel would begin much later, and who makes a large file durable would wait for
            // all of it. What it doesn't begin now isn't lost.
            let start = (offset / STRETCH * STRETCH).try_into().unwrap_or(0);
            let length = STRETCH.try_into().unwrap_or(0);
            let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            let _ = posix_fadvise(&self.0, start, length, advice);
        }
        Ok(count)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn set_mtime(&self, mtime: Nanos) -> Answer<()> {
        // The width of seconds differs between CPUs.
        #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
        let seconds = mtime.div_euclid(1_000_000_000).try_into();
        #[allow(clippy::cast_possible_truncation)]
        let nanos = mtime.rem_euclid(1_000_000_000) as _;
        let set =
            |seconds| futimens(&self.0, &TimeSpec::UTIME_OMIT, &TimeSpec::new(seconds, nanos));
        seconds.map_or(Ok(()), set)
    }

    fn take_after(&self, folder: &dyn Folder, name: &str) {
        let old = of_kernel(folder)
            .and_then(|folder| fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW));
        if let Ok(old) = old {
            let (owner, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
            let _ = fchown(&self.0, Some(owner), Some(group));
            let _ = fchmod(&self.0, Mode::from_bits_truncate(old.st_mode));
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

fn mode(stat: &FileStat) -> rules::Mode {
    rules::Mode { user: stat.st_uid, group: stat.st_gid, bits: stat.st_mode }
}

fn found(stat: &FileStat) -> Found {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Found::File(print(stat)),
        SFlag::S_IFDIR => {
            Found::Folder(LocalPrint { inode: print(stat).inode, ..LocalPrint::default() })
        }
        SFlag::S_IFLNK => Found::Link,
        _ => Found::Special,
    }
}

// The fields' widths differ between CPUs.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn print(stat: &FileStat) -> LocalPrint {
    LocalPrint {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: nanos(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        ctime: nanos(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        inode: stat.st_ino as u64,
    }
}

fn nanos(seconds: i64, nanos: i64) -> Nanos {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}
