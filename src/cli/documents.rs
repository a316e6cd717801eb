//! Documents that a person keeps or gives away: all settings, and what helps to find out what is
//! wrong.

use super::args::Source;
use super::{answered, ask, own_folder, unprinted, values};
use crate::admin::Request;
use crate::error::{Error, Kind, Result};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a document goes: a new file for its owner's eyes only, or the terminal.
struct Target {
    file: Option<(PathBuf, File)>,
}

/// Exports all settings; with the secrets when there is a password to seal them with.
pub fn export(
    state: Option<PathBuf>,
    to: Option<PathBuf>,
    password: Option<Source>,
    out: &mut dyn Write,
) -> Result<()> {
    let password = password.map(values::password).transpose()?;
    written(state, to, Request::Export { password }, out)
}

/// Tells what becomes of the settings in an exported document, or has it so.
pub fn import(
    state: Option<PathBuf>,
    from: PathBuf,
    password: Option<Source>,
    apply: bool,
    json: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let text = values::line("the document", Source::File(from))?;
    let document = serde_json::from_str(&text).map_err(|error| {
        Error::new(Kind::Usage, "the document", error)
            .remedy("give one that was exported: mooring settings export")
    })?;
    let password = password.map(values::password).transpose()?;
    let request = Request::Import { document, password, apply };
    ask(&own_folder(state)?, request, json, out)?;
    if !apply && !json {
        writeln!(out, "\nNothing was changed. With --apply it is.").map_err(unprinted)?;
    }
    Ok(())
}

/// Writes what helps to find out what is wrong.
pub fn diagnostics(
    state: Option<PathBuf>,
    to: Option<PathBuf>,
    names: bool,
    out: &mut dyn Write,
) -> Result<()> {
    written(state, to, Request::Diagnostics { names }, out)
}

fn written(
    state: Option<PathBuf>,
    to: Option<PathBuf>,
    request: Request,
    out: &mut dyn Write,
) -> Result<()> {
    // Before this becomes the user that the state belongs to.
    let target = Target::new(to)?;
    match own_folder(state).and_then(|state| answered(&state, request)) {
        Ok(document) => target.write(&document, out),
        Err(error) => {
            target.remove();
            Err(error)
        }
    }
}

impl Target {
    fn new(to: Option<PathBuf>) -> Result<Target> {
        let Some(path) = to else { return Ok(Target { file: None }) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| at(&path, error).remedy("give the name of a new file"))?;
        Ok(Target { file: Some((path, file)) })
    }

    fn write(self, document: &Value, out: &mut dyn Write) -> Result<()> {
        match &self.file {
            None => writeln!(out, "{document:#}").map_err(unprinted),
            Some((path, file)) => {
                let mut file = file;
                let written = writeln!(file, "{document:#}").and_then(|()| file.sync_all());
                if let Err(error) = written {
                    let error = at(path, error);
                    self.remove();
                    return Err(error);
                }
                Ok(())
            }
        }
    }

    /// Takes back a file that has nothing in it.
    fn remove(self) {
        if let Some((path, _)) = self.file {
            // What can't be removed is empty.
            let _ = fs::remove_file(path);
        }
    }
}

fn at(path: &Path, error: std::io::Error) -> Error {
    Error::disk(format!("file {}", path.display()), error)
}
