//! The files of a folder.

use crate::{Result, at};
use std::fs;
use std::path::Path;

/// All files below a folder, with their paths in it.
pub fn below(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    below_but(folder, "/")
}

/// The same without one folder in it, whose path ends with `/`.
pub fn below_but(folder: &Path, left_out: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    collect(folder, "", left_out, &mut found)?;
    Ok(found)
}

fn collect(
    folder: &Path,
    prefix: &str,
    left_out: &str,
    found: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("{}: not a name in UTF-8", path.display()))?;
        let inside = format!("{prefix}{name}");
        if path.is_dir() {
            let inside = format!("{inside}/");
            if inside != left_out {
                collect(&path, &inside, left_out, found)?;
            }
        } else {
            found.push((inside, fs::read(&path).map_err(at(&path))?));
        }
    }
    Ok(())
}
