//! What a request to an object store came to when it wasn't a success.

use crate::error::{Error, Kind, Result};
use crate::http::{Call, Http, Reply};

/// A reply that isn't a success, or none at all.
pub(super) struct Fault {
    /// 0 when there was no reply.
    pub status: u16,
    /// The service's word for it; empty where it has none.
    pub code: Box<str>,
    /// It wasn't the first attempt that failed so: an earlier one may have been carried out.
    pub again: bool,
    /// What it means.
    pub error: Error,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault { status: 0, code: Box::default(), again: false, error }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

/// Says whether what a request changes is still as it was, by `Exists` or `Changed` if not.
pub(super) type Look<'a> = &'a dyn Fn() -> Result<()>;

/// Sends a request; see [`Http::call`]. Tells whether it wasn't the first attempt, too. Before any other it
/// looks, where the service may not do so itself, as it may take minutes until an attempt has failed.
///
/// # Errors
/// What isn't as it was is told as a service would, by status 412.
pub(super) fn call<'a>(
    http: &Http,
    what: &str,
    look: Option<Look<'_>>,
    build: &mut dyn FnMut() -> Result<Call<'a>>,
) -> Result<(Reply, bool), Fault> {
    let (mut attempts, mut is_other) = (0, false);
    let reply = http.call(what, &mut || {
        attempts += 1;
        if let Some(look) = look.filter(|_| attempts > 1) {
            look().inspect_err(|error| {
                is_other = matches!(error.kind(), Kind::Exists | Kind::Changed);
            })?;
        }
        build()
    });
    match reply {
        Err(error) if is_other => Err(Fault { status: 412, again: true, ..error.into() }),
        reply => Ok((reply?, attempts > 1)),
    }
}

/// The cause of an error, of what a service said: its code, and its words as [`plain`] has them.
pub(super) fn cause(status: u16, code: &str, message: &str) -> String {
    match (code, plain(message).as_str()) {
        ("", "") => format!("the service answered with status {status}"),
        ("", message) => format!("{message} (status {status})"),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}, {message}"),
    }
}

/// Words of a service as a person may be shown them: the first 200 characters, of one line.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
