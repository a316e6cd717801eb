//! What Google's services have in common: addresses, replies, and uploads.

mod upload;

pub(super) use upload::{Frame, Parts, Step, Summed};

use crate::error::{Error, Kind, Result};
use crate::http::{Call, Payload, Reply};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Bytes that stand for themselves in an address.
pub(super) const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Tries at reading a reply that breaks off.
const READS: u32 = 3;

/// What the body of a reply says that isn't a success.
#[derive(Default)]
pub(super) struct Refused {
    /// Google's word for why; empty where it has none.
    pub reason: Box<str>,
    /// The same for people.
    pub message: String,
}

impl Refused {
    /// Reads the body; anything else than Google's says nothing.
    pub fn of(body: &str) -> Refused {
        #[derive(Default, Deserialize)]
        struct Body {
            error: Told,
        }
        #[derive(Default, Deserialize)]
        struct Told {
            #[serde(default)]
            message: String,
            #[serde(default)]
            errors: Vec<Cause>,
        }
        #[derive(Deserialize)]
        struct Cause {
            #[serde(default)]
            reason: Box<str>,
        }
        let Told { message, errors } = serde_json::from_str::<Body>(body).unwrap_or_default().error;
        let reason = errors.into_iter().next().map(|cause| cause.reason).unwrap_or_default();
        Refused { reason, message }
    }
}

/// An address below one of an API's roots.
pub(super) fn address(base: &str, below: &str, path: &str, query: &[(&str, &str)]) -> String {
    let mut url = format!("{base}{below}{path}");
    for (index, (key, value)) in query.iter().enumerate() {
        url.push(if index == 0 { '?' } else { '&' });
        url.push_str(key);
        url.push('=');
        url.extend(utf8_percent_encode(value, PLAIN));
    }
    url
}

/// A request with a body of JSON.
pub(super) fn with_json<'a>(method: &'static str, url: &str, body: &'a [u8]) -> Call<'a> {
    Call::new(method, url.into(), true)
        .header("Content-Type", "application/json; charset=UTF-8")
        .payload(Payload::Bytes(body))
}

/// The body of such a request.
pub(super) fn json(what: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(Kind::Protocol, what, error))
}

/// Sends a request whose repetition does no harm, until its reply has come as a whole.
pub(super) fn read<T: DeserializeOwned, E: From<Error>>(
    what: &str,
    send: &mut dyn FnMut() -> Result<Reply, E>,
) -> Result<T, E> {
    let mut tries = 0;
    loop {
        tries += 1;
        match send()?.json(what) {
            Err(error) if error.kind() == Kind::Offline && tries < READS => {}
            read => return Ok(read?),
        }
    }
}

/// What a listing comes to that doesn't go on.
pub(super) fn endless(what: &str) -> Error {
    Error::new(Kind::Protocol, what, "it tells the same page again and again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_any_name() {
        let url = address("http://h", "/drive/v3/", "files", &[("q", "a = 'é'"), ("b", "1")]);
        assert_eq!(url, "http://h/drive/v3/files?q=a%20%3D%20%27%C3%A9%27&b=1");
    }
}
