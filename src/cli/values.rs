//! Reads what a person entered for a connection from where they said it is.

use super::args::Source;
use crate::error::{Error, Kind, Result};
use crate::rules::ScheduleChange;
use crate::settings::{Entered, Secret};
use std::fs::File;
use std::io::{self, Read};

/// Far more than any key, token or chain of certificates takes.
const MOST_BYTES: u64 = 1 << 20;

/// Reads all settings and secrets; a schedule comes as it is.
///
/// # Errors
/// `Usage` when a file isn't text, is huge or is empty, or a disk error.
pub fn read(
    values: Vec<(String, Source)>,
    secrets: Vec<(String, Source)>,
    schedule: Option<ScheduleChange>,
) -> Result<Entered> {
    let values = values.into_iter().map(|(key, source)| {
        let text = value(&key, source)?;
        Ok((key, text))
    });
    let secrets = secrets.into_iter().map(|(key, source)| {
        let text = value(&key, source)?;
        Ok((key, Secret::new(text)))
    });
    let values = values.collect::<Result<_>>()?;
    let secrets = secrets.collect::<Result<_>>()?;
    Ok(Entered { values, secrets, schedule })
}

/// Reads what a person brought back from a sign-in.
///
/// # Errors
/// As [`read`].
pub fn answer(source: Source) -> Result<Secret> {
    let answer = value("the answer", source).map_err(|error| match error.kind() {
        Kind::Usage => error.remedy("give the address that the browser ended at, or the code"),
        _ => error,
    });
    answer.map(Secret::new)
}

/// Reads a password.
///
/// # Errors
/// As [`read`].
pub fn password(source: Source) -> Result<Secret> {
    line("the password", source).map(Secret::new)
}

/// Reads what has no use but as a text, such as a key.
///
/// # Errors
/// As [`read`].
pub fn line(what: &str, source: Source) -> Result<String> {
    value(what, source).map_err(|error| match error.kind() {
        Kind::Usage => error.remedy("give a line of text"),
        _ => error,
    })
}

fn value(key: &str, source: Source) -> Result<String> {
    let (what, read) = match source {
        Source::Given(text) => return Ok(text),
        Source::File(path) => {
            let what = format!("{key} from {}", path.display());
            let read = File::open(path).and_then(text);
            (what, read)
        }
        Source::Input => (format!("{key} from standard input"), text(io::stdin().lock())),
    };
    let text = read.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            Error::new(Kind::Usage, &what, "it isn't UTF-8 text").remedy("give a text file")
        }
        _ => Error::disk(&what, error).remedy("correct the path"),
    })?;
    let cause = if text.len() as u64 > MOST_BYTES {
        "it is larger than 1 MiB"
    } else if text.is_empty() {
        "it is empty"
    } else {
        return Ok(text);
    };
    Err(Error::new(Kind::Usage, what, cause).remedy(format!("check it; {key}= takes it back")))
}

/// A text without the end of line that editors and `echo` add.
fn text(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
