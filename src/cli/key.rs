//! `mooring connection export-key`: saves the key that tasks are encrypted with.

use super::{answered, print_json, show, unprinted};
use crate::admin::Request;
use crate::admin::view::KeyView;
use crate::error::{Error, Kind, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Saves the key in a file that wasn't there, which only its owner may read. A key pair of Cloud
/// Sync's format is saved as Cloud Sync does.
pub fn export(
    state: &Path,
    name: String,
    to: &Path,
    json: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let answer = answered(state, Request::ConnectionKey { name: name.clone() })?;
    let view: KeyView = show::read(answer)?;
    let bytes = match view.zip {
        Some(zip) => BASE64
            .decode(zip.reveal())
            .map_err(|error| Error::new(Kind::Protocol, "the daemon's answer", error))?,
        None => format!("{}\n", view.key.reveal()).into_bytes(),
    };
    let saved = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    saved
        .and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        })
        .map_err(|error| {
            Error::disk(format!("saving the key in {}", to.display()), error)
                .remedy("give a file that isn't there yet, in a folder that is")
        })?;
    if json {
        return print_json(out, &json!({ "connection": name, "file": to.display().to_string() }));
    }
    writeln!(
        out,
        "The key of {name} is in {}. Keep it in a safe place that isn't this NAS: it opens everything \
         that its tasks encrypt.",
        to.display()
    )
    .map_err(unprinted)
}
