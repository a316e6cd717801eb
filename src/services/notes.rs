//! What an adapter notes of an upload that takes several requests, to go on with it after a stop.

use crate::error::{Error, Kind, Result};
use crate::remote::Resume;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The note that was saved last for this very content, if it is one of these.
pub(super) fn saved<Note: DeserializeOwned>(resume: &dyn Resume) -> Option<Note> {
    resume.load().and_then(|note| postcard::from_bytes(&note).ok())
}

/// Saves a note; `what` names the upload.
///
/// # Errors
/// Those of [`Resume::save`].
pub(super) fn save(what: &str, resume: &dyn Resume, note: &impl Serialize) -> Result<()> {
    let bytes = postcard::to_stdvec(note).map_err(|error| Error::new(Kind::State, what, error))?;
    resume.save(&bytes)
}

/// Whether an upload that failed so is kept for another attempt. Any other would cost storage
/// forever.
pub(super) fn can_go_on(error: &Error) -> bool {
    use Kind::{Busy, Cancelled, Offline, SignIn, Untrusted};
    matches!(error.kind(), Offline | Busy | Cancelled | SignIn | Untrusted)
}
