//! Folders that a person chooses from.

use crate::error::{Error, Result};
use std::fs;
use std::path::Path;

/// Where there is nothing but what the system makes up.
const MADE_UP: [&str; 4] = ["dev", "proc", "run", "sys"];
/// What the volumes of a NAS are called, before their numbers.
const VOLUME: &str = "volume";
/// Beginnings of the names of folders that belong to the system.
const OF_THE_SYSTEM: [char; 3] = ['.', '@', '#'];

/// The names of the folders in a folder that people use.
pub fn folders(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path).map_err(|error| cannot_look(path, error))?;
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let names =
        entries.flatten().filter(is_folder).filter_map(|it| it.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with(OF_THE_SYSTEM)).collect();
    if path == Path::new("/") {
        names.retain(|name| !MADE_UP.contains(&name.as_str()));
        // On a NAS, what people have is on its volumes.
        if names.iter().any(|name| is_volume(name)) {
            names.retain(|name| is_volume(name));
        }
    }
    Ok(names)
}

fn is_volume(name: &str) -> bool {
    let number = name.strip_prefix(VOLUME).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Makes a folder in one that is there.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(|error| {
        Error::disk(format!("making the folder {}", path.display()), error)
            .remedy("choose another name, or another folder to make it in")
    })
}

/// Takes back a folder that was just made, unless there is something in it.
pub fn unmake_folder(path: &Path) {
    // It stays empty where it is.
    let _ = fs::remove_dir(path);
}

/// Why a folder isn't looked into.
pub fn cannot_look(path: &Path, error: std::io::Error) -> Error {
    Error::disk(format!("looking into {}", path.display()), error).remedy("choose another folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_have_numbers() {
        assert!(is_volume("volume1") && is_volume("volume12"));
        assert!(!is_volume("volume") && !is_volume("volumes") && !is_volume("var"));
    }
}
