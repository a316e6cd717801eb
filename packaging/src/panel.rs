//! The panel: what a browser loads. Its script, style and texts are built of `packaging/panel` by Node, once for each
//! state of that folder; the help is made of `packaging/help`; the rest lies in `packaging/spk/ui` as it is.

use crate::archive::Archive;
use crate::data::Data;
use crate::icon::Icon;
use crate::spk::md5;
use crate::{Result, at, files, help};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Sides in pixels of the icons that the desktop asks for.
const ICON_SIZES: [u32; 7] = [16, 24, 32, 48, 64, 72, 256];
/// What somebody who works on the panel may have in its folder beside it.
const MODULES: &str = "node_modules/";
/// Says in which state the packages of npm were fetched.
const FETCHED: &str = "fetched";

/// Puts in what a browser loads: all but what only DSM knows what to do with.
pub fn put(data: &Data, icon: &Icon, folder: &str, archive: &mut Archive) -> Result<()> {
    let built = build(data)?;
    for (name, bytes) in files::below(&data.spk_folder().join("ui"))? {
        let is_for_dsm = name == "api.cgi" || name.starts_with("config-");
        if !is_for_dsm {
            archive.file(format!("{folder}/{name}"), stamped(data, bytes));
        }
    }
    for (name, bytes) in files::below(&built)? {
        archive.file(format!("{folder}/{name}"), bytes);
    }
    for side in ICON_SIZES {
        archive.file(format!("{folder}/images/mooring-{side}.png"), icon.png(side)?);
    }
    help::put(&data.root, &format!("{folder}/help"), archive)
}

/// A file of the page in which the addresses of others tell their version: all files have one time, so that a browser
/// would take a new one of the same size for the one it knows.
pub fn stamped(data: &Data, bytes: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(text) => text.replace("?VERSION", &format!("?{}", data.package_version())).into(),
        Err(error) => error.into_bytes(),
    }
}

/// Writes what a browser loads into a folder.
pub fn write(data: &Data, icon: &Icon, out: &Path) -> Result<()> {
    let mut archive = Archive::default();
    put(data, icon, "ui", &mut archive)?;
    for (path, bytes) in archive.files() {
        let file = out.join(path.strip_prefix("ui/").unwrap_or(path));
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        fs::write(&file, bytes).map_err(at(&file))?;
    }
    println!("{}", out.display());
    Ok(())
}

/// The folder with what Node built of the panel as it is now.
fn build(data: &Data) -> Result<PathBuf> {
    let source = data.root.join("packaging/panel");
    let mut sources = files::below_but(&source, MODULES)?;
    sources.sort();
    let work = data.root.join("target/panel");
    fs::create_dir_all(&work).map_err(at(&work))?;
    let built = work.join(md5(&sources.iter().flat_map(digested).collect::<Vec<_>>()));
    // Several packers may run at a time.
    let turn = work.join("turn");
    let turn = File::create(&turn).map_err(at(&turn))?;
    turn.lock()?;
    if built.exists() {
        return Ok(built);
    }
    // Nothing of it is done in the folder itself.
    let copy = work.join("work");
    for folder in ["src", "texts"] {
        let _ = fs::remove_dir_all(copy.join(folder));
    }
    for (name, bytes) in &sources {
        let file = copy.join(name);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        fs::write(&file, bytes).map_err(at(&file))?;
    }
    let lock = copy.join("package-lock.json");
    let lock = md5(&fs::read(&lock).map_err(at(&lock))?);
    let fetched = copy.join(FETCHED);
    if fs::read_to_string(&fetched).ok().as_ref() != Some(&lock) {
        npm(&copy, &["ci", "--ignore-scripts"])?;
        fs::write(&fetched, lock).map_err(at(&fetched))?;
    }
    let new = work.join("new");
    let _ = fs::remove_dir_all(&new);
    npm(&copy, &["run", "--silent", "build", "--", "../new"])?;
    fs::rename(&new, &built).map_err(at(&built))?;
    Ok(built)
}

/// A file as it counts for the state of a folder.
fn digested((name, bytes): &(String, Vec<u8>)) -> Vec<u8> {
    format!("{name} {}\n", md5(bytes)).into()
}

fn npm(folder: &Path, words: &[&str]) -> Result<()> {
    let told = Command::new("npm").args(words).current_dir(folder).output().map_err(|error| {
        format!("npm: {error}; the panel is built by Node.js 20.19 or newer: install it")
    })?;
    if told.status.success() {
        return Ok(());
    }
    let said = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Err(format!("npm {} failed: {}{}", words.join(" "), said[0], said[1]).into())
}
