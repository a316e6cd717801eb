//! Asking the kernel whether anyone has a file open to write to it.

use nix::libc::{F_RDLCK, F_SETLEASE, F_UNLCK, SIGURG, c_int, fcntl};
use std::fs::File;
use std::os::fd::AsRawFd;

/// Chooses the signal for leases; from Linux's `asm-generic/fcntl.h`, missing in libc.
const F_SETSIG: c_int = 10;

/// Whether any program has the file open for writing.
///
/// A read lease is only granted while nobody has; it is given back at once. Where leases can't be
/// had (network and FAT file systems, files of another user without the capability) nothing is
/// known, and the answer is no.
pub(super) fn is_being_written(file: &File) -> bool {
    // A writer who comes at this very moment makes the kernel send us a signal. SIGIO would end
    // the process; SIGURG is ignored unless somebody asks for it.
    if control(file, F_SETSIG, SIGURG).is_err() {
        return false;
    }
    match control(file, F_SETLEASE, F_RDLCK) {
        Ok(()) => {
            // The lease goes with the file at the latest.
            let _ = control(file, F_SETLEASE, F_UNLCK);
            false
        }
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

fn control(file: &File, command: c_int, argument: c_int) -> std::io::Result<()> {
    // SAFETY: these commands take a whole number, and the descriptor is open as long as `file`
    // is borrowed. Neither nix nor std offers them.
    #[allow(unsafe_code)]
    let result = unsafe { fcntl(file.as_raw_fd(), command, argument) };
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_writer_is_noticed() {
        let path = std::env::temp_dir().join(format!("mooring-lease-{}", std::process::id()));
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(is_being_written(&reader));
        drop(writer);
        assert!(!is_being_written(&reader));
        let writer = File::options().append(true).open(&path).unwrap();
        assert!(is_being_written(&reader));
        drop(writer);
        std::fs::remove_file(&path).unwrap();
    }
}
