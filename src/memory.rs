//! Keeps in memory what every poll needs from a disk that may be asleep: the program, and the files
//! that a lookup of a host's name reads.
//!
//! When a box is short of memory, the kernel drops what it can read again, a program's text first
//! of all: each poll would then wake the disk that the program is on. Who may lock memory without
//! a bound (root) locks it, so that it isn't swapped either. Everybody else, such as the user of a
//! package on a NAS, who may lock 64 KiB, runs from a copy in memory: no disk holds that, and it is
//! swapped only when the heap is, long after the cached files have gone.
//! The other files are small enough to be locked by anybody.

use crate::error::{Error, Kind, Result};
use nix::libc::MCL_ONFAULT;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MlockAllFlags, ProtFlags, mlock, mlockall, mmap, munmap};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZero;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

const PROGRAM: &str = "/proc/self/exe";
const NAME: &str = env!("CARGO_PKG_NAME");
/// Where a file system in memory may be, for kernels before 3.17, which know no files without one.
const FOLDERS: [&str; 3] = ["/dev/shm", "/run", "/tmp"];
/// What a lookup of a host's name reads.
const LOOKUP_FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

static HELD: Mutex<[Option<Held>; LOOKUP_FILES.len()]> = Mutex::new([const { None }; _]);

/// Sees to it that what this process runs stays in memory. It may begin anew for that, as the same
/// process with the same arguments, so nothing must have been begun before.
///
/// # Errors
/// `Disk` when neither is allowed here; it goes on running from the disk.
pub fn stay() -> Result<()> {
    if lock() {
        return Ok(());
    }
    run_a_copy().map_err(|error| {
        Error::new(Kind::Disk, "keeping the program in memory", error)
            .remedy("allow it to lock memory (LimitMEMLOCK=infinity), or polls may wake the disk")
    })
}

/// Locks all memory, if there is no bound: one that is reached later would make the kernel refuse
/// memory that we need.
fn lock() -> bool {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return false };
    // Only root is let pass by a bound of nothing.
    let bound = if hard == RLIM_INFINITY { hard } else { 0 };
    let set = |bound| setrlimit(Resource::RLIMIT_MEMLOCK, bound, hard);
    // Only what is used: stacks and buffers are larger than what is ever touched of them.
    let touched = MlockAllFlags::from_bits_retain(MCL_ONFAULT);
    let now = MlockAllFlags::MCL_CURRENT;
    // Kernels before 4.4 can't tell, and lock the program as a whole.
    let lock = || mlockall(now | MlockAllFlags::MCL_FUTURE | touched).or_else(|_| mlockall(now));
    let locked = set(bound).is_ok() && lock().is_ok();
    // Fails only if lowering it did.
    let _ = set(if locked { bound.max(soft) } else { soft });
    locked
}

/// Begins anew from a copy in memory, and returns if this is one or none can be run.
fn run_a_copy() -> io::Result<()> {
    // A copy has no name.
    if fs::metadata(PROGRAM)?.nlink() == 0 {
        // It would be shown by the number of a file descriptor.
        return fs::write("/proc/self/comm", NAME);
    }
    let failed = run(memory_file());
    for folder in FOLDERS {
        // Whether programs may be run from there is known by trying.
        run(file_in(folder));
    }
    Err(failed)
}

fn memory_file() -> io::Result<File> {
    Ok(memfd_create(NAME, MFdFlags::MFD_CLOEXEC)?.into())
}

fn file_in(folder: &str) -> io::Result<File> {
    if statfs(folder)?.filesystem_type() != TMPFS_MAGIC {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let path = format!("{folder}/{NAME}-{}", process::id());
    let file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?;
    fs::remove_file(path)?;
    Ok(file)
}

/// Copies the program to this file and runs it instead of this one; tells why it can't.
fn run(copy: io::Result<File>) -> io::Error {
    let filled = copy.and_then(|mut copy| {
        io::copy(&mut File::open(PROGRAM)?, &mut copy)?;
        // What is open for writing can't be run.
        File::open(path_of(&copy))
    });
    let mut args = env::args_os();
    match filled {
        Ok(copy) => {
            let name = args.next().unwrap_or_else(|| NAME.into());
            Command::new(path_of(&copy)).arg0(name).args(args).exec()
        }
        Err(error) => error,
    }
}

fn path_of(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Keeps what a lookup reads in memory, as it is now. Where that isn't allowed, the lookup reads it
/// from the disk.
pub fn hold_lookup_files() {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    for (held, path) in held.iter_mut().zip(LOOKUP_FILES) {
        let is_as_it_was =
            |held: &Held| fs::metadata(path).is_ok_and(|now| print(&now) == held.print);
        if !held.as_ref().is_some_and(is_as_it_was) {
            // Let go first, for the bound on what may be locked.
            *held = None;
            *held = Held::new(path).ok();
        }
    }
}

/// A file that stays in memory.
struct Held {
    address: usize,
    length: NonZero<usize>,
    print: Print,
}

/// Device, inode, size and time of modification in seconds and nanoseconds.
type Print = (u64, u64, u64, i64, i64);

fn print(found: &fs::Metadata) -> Print {
    (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec())
}

impl Held {
    #[allow(unsafe_code)]
    fn new(path: &str) -> io::Result<Held> {
        let file = File::open(path)?;
        let print = print(&file.metadata()?);
        let length = usize::try_from(print.2).ok().and_then(NonZero::new);
        let length = length.ok_or(io::ErrorKind::Unsupported)?;
        // SAFETY: it is put where nothing is, and never read or written to, whatever becomes of the
        // file. Only the kernel can keep a file in memory, by such a mapping.
        let mapped =
            unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, &file, 0)? };
        let held = Held { address: mapped.addr().get(), length, print };
        // SAFETY: locking changes no memory.
        unsafe { mlock(mapped, length.get())? };
        Ok(held)
    }
}

impl Drop for Held {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if let Some(mapped) = NonNull::new(self.address as *mut _) {
            // SAFETY: it is what was mapped, and nobody has a pointer into it. It never fails.
            let _ = unsafe { munmap(mapped, self.length.get()) };
        }
    }
}
