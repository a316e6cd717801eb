//! The user that this program runs as.

use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Becomes, for good, the user that a state folder belongs to, if this is root: what root makes there
/// is lost to the others. Where the folder isn't there yet it is that of the folder it is in. Tells
/// whose it is.
///
/// # Errors
/// Those of looking at the folder, and of becoming somebody else.
pub fn become_owner(state: &Path) -> io::Result<Uid> {
    let found = fs::metadata(state).or_else(|error| match state.parent() {
        Some(folder) if error.kind() == io::ErrorKind::NotFound => fs::metadata(folder),
        _ => Err(error),
    })?;
    let (owner, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    if geteuid().is_root() && !owner.is_root() {
        setgroups(&[group]).and_then(|()| setgid(group)).and_then(|()| setuid(owner))?;
    }
    Ok(owner)
}
