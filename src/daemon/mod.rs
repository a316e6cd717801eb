//! The daemon: a placeholder until its own branch is merged.

pub mod client;

use crate::error::{Error, Kind, Result};
use std::path::Path;

/// Runs until told to stop.
pub fn run(_state: &Path) -> Result<()> {
    Err(Error::new(Kind::Usage, "mooring daemon", "it isn't part of this build")
        .remedy("use mooring sync TASK"))
}
