//! Whether anything was written to the disk under a folder, by what the kernel counts: that is
//! known without a look at the disk, which may be asleep. A look at 50,000 folders that aren't cached
//! reads some 240 MiB in as many pieces.

use nix::sys::stat::{SFlag, major, minor, stat};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What the kernel counts of the disk that a folder is on.
#[derive(Debug)]
pub struct Writes {
    counts: PathBuf,
    last: Option<u64>,
}

impl Writes {
    /// Those that were ever made. `None` where the kernel doesn't count: in memory, over the network, and where
    /// one file system lies on another.
    pub fn below(root: &Path) -> Option<Writes> {
        let root = root.canonicalize().ok()?;
        let mounts = fs::read("/proc/self/mountinfo").ok()?;
        let device = device_of(&root, &mounts)?;
        let found = stat(&device).ok().filter(|found| is_disk(found.st_mode))?.st_rdev;
        let counts = format!("/sys/dev/block/{}:{}/stat", major(found), minor(found));
        let writes = Writes { counts: counts.into(), last: None };
        writes.sectors().map(|_| writes)
    }

    /// Whether there may have been any since the last call, or ever. What was changed is written within a
    /// minute or so, so that no change remains unnoticed for longer.
    pub fn any(&mut self) -> bool {
        let now = self.sectors();
        let last = std::mem::replace(&mut self.last, now);
        now.is_none() || now != last
    }

    fn sectors(&self) -> Option<u64> {
        fs::read_to_string(&self.counts).ok()?.split_ascii_whitespace().nth(6)?.parse().ok()
    }
}

fn is_disk(mode: nix::libc::mode_t) -> bool {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFBLK
}

/// What is mounted at this path, by `/proc/self/mountinfo`. The number of the device would not do:
/// folders of btrfs have others than the disk.
fn device_of(path: &Path, mounts: &[u8]) -> Option<PathBuf> {
    let mounts = mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let place = unescaped(fields.nth(4)?);
        let device = fields.skip_while(|field| *field != b"-").nth(2)?;
        Some((place, device)).filter(|(place, _)| path.starts_with(place))
    });
    // What was mounted last at the same place covers the others.
    let (_, device) = mounts.max_by_key(|(place, _)| place.as_os_str().len())?;
    Some(unescaped(device)).filter(|device| device.is_absolute())
}

/// Spaces and the like are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"22 1 9:0 / / rw,noatime shared:1 - ext4 /dev/md0 rw\n\
        40 22 0:40 / /volume1 rw - btrfs /dev/mapper/cachedev_0 rw,subvolid=5\n\
        41 40 0:41 / /volume1/my\\040photos rw shared:2 master:1 - fuse.x /dev/a\\134b rw\n\
        42 22 0:42 / /nas rw - nfs4 other:/share rw\n\
        43 22 8:1 / /twice rw - ext4 /dev/sda1 rw\n\
        44 22 8:2 / /twice rw - ext4 /dev/sdb1 rw\nnonsense\n";

    #[test]
    fn the_innermost_mount_holds_a_folder() {
        let device = |path: &str| device_of(Path::new(path), MOUNTS);
        assert_eq!(device("/volume1/photo/2026"), Some("/dev/mapper/cachedev_0".into()));
        assert_eq!(device("/volume10/photo"), Some("/dev/md0".into()));
        assert_eq!(device("/volume1/my photos"), Some("/dev/a\\b".into()));
        assert_eq!(device("/twice/a"), Some("/dev/sdb1".into()));
        assert_eq!(device("/nas"), None);
        assert_eq!(device_of(Path::new("/"), b""), None);
    }

    #[test]
    fn writes_are_noticed_and_what_isnt_counted_counts_as_written() {
        let counts = std::env::temp_dir().join(format!("writes-{}", std::process::id()));
        fs::write(&counts, "1 0 8 0 2 0 16 0 0 1 1\n").unwrap();
        let mut writes = Writes { counts: counts.clone(), last: Some(16) };
        assert!(!writes.any());
        fs::write(&counts, "1 0 900 0 2 0 24 0 0 1 1\n").unwrap();
        assert!(writes.any());
        assert!(!writes.any());
        fs::remove_file(&counts).unwrap();
        assert!(writes.any());
        assert!(writes.any());
    }

    #[test]
    fn nothing_is_counted_in_memory() {
        assert!(Writes::below(Path::new("/proc")).is_none());
    }
}
