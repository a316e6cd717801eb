//! What a web server hands over, and whether the panel can have sent it.
//!
//! Everything in a request may be forged but what its cookie opens, so all of this only keeps other
//! sites from using the cookie of somebody who is logged in.

use super::answer::{foreign, wrong};
use crate::browser::{is_json, is_same_origin};
use crate::error::{Error, Kind, Result};
use std::ffi::{OsStr, OsString};

/// Most bytes of the token that the NAS gives its own pages.
const LONGEST_TOKEN: usize = 256;

/// A request: the variables of CGI/1.1. One that is empty is absent.
pub struct Request<'a> {
    variable: &'a dyn Fn(&str) -> Option<OsString>,
}

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// Who is logged in.
    Session,
    /// How all tasks are.
    Status,
    /// What the body says.
    Request,
}

impl<'a> Request<'a> {
    /// The request that these variables tell of.
    pub fn new(variable: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Request { variable }
    }

    /// A variable as it is.
    pub fn raw(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// A variable that has to be text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.raw(name)?.into_string().ok()
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.raw(name).is_some_and(|it| it == OsStr::new(value))
    }

    /// The token that the NAS gave the page that sent this.
    pub fn token(&self) -> Option<String> {
        let of_query = || {
            let query = self.text("QUERY_STRING")?;
            query.split('&').find_map(|pair| pair.strip_prefix("SynoToken=")).map(str::to_owned)
        };
        let is_right = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let token = self.text("HTTP_X_SYNO_TOKEN").or_else(of_query)?;
        let fits = (1..=LONGEST_TOKEN).contains(&token.len()) && token.chars().all(is_right);
        fits.then_some(token)
    }

    /// What is asked, if the panel may ask it so.
    pub fn call(&self) -> Result<Call> {
        let route = match self.route().as_deref() {
            Some("/v1/session") => Call::Session,
            Some("/v1/status") => Call::Status,
            Some("/v1/request") => return self.change(),
            _ => return Err(wrong(Kind::NotFound, "no such call")),
        };
        if self.is("REQUEST_METHOD", "GET") { Ok(route) } else { Err(method()) }
    }

    /// The path after the program's name. A server may have put it right already, which nobody who
    /// sends what the panel does has to rely on.
    fn route(&self) -> Option<String> {
        let route = self.text("PATH_INFO")?;
        let Some(uri) = self.raw("REQUEST_URI") else { return Some(route) };
        let uri = uri.into_string().ok()?;
        let path = uri.split('?').next()?;
        path.strip_suffix(&route)?.ends_with(".cgi").then_some(route)
    }

    fn change(&self) -> Result<Call> {
        if !self.is("REQUEST_METHOD", "POST") {
            return Err(method());
        }
        if !self.comes_from_here() {
            return Err(foreign("it comes from another site"));
        }
        if self.token().is_none() {
            return Err(foreign("it doesn't have the token of the session"));
        }
        if !is_json(self.text("CONTENT_TYPE").as_deref()) {
            return Err(wrong(Kind::Usage, "it isn't application/json"));
        }
        Ok(Call::Request)
    }

    /// Bytes of the body, if it is said that there is one.
    pub fn length(&self) -> Option<usize> {
        let digits = self.text("CONTENT_LENGTH")?;
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
        // What doesn't fit into a number any more is too large for anything.
        is_number.then(|| digits.parse().unwrap_or(usize::MAX))
    }

    fn comes_from_here(&self) -> bool {
        let [site, origin, host] =
            ["HTTP_SEC_FETCH_SITE", "HTTP_ORIGIN", "HTTP_HOST"].map(|name| self.text(name));
        is_same_origin(site.as_deref(), origin.as_deref(), host.as_deref())
    }
}

fn method() -> Error {
    wrong(Kind::Usage, "its method isn't that of the call")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    const POST: [(&str, &str); 8] = [
        ("REQUEST_METHOD", "POST"),
        ("PATH_INFO", "/v1/request"),
        ("REQUEST_URI", "/webman/3rdparty/mooring/api.cgi/v1/request?x=1"),
        ("HTTP_SEC_FETCH_SITE", "same-origin"),
        ("HTTP_X_SYNO_TOKEN", "a.B-c_9"),
        ("HTTP_HOST", "nas:5001"),
        ("CONTENT_TYPE", "application/json"),
        ("CONTENT_LENGTH", "12"),
    ];

    /// What becomes of this change with some variables set otherwise, or of the right one.
    fn refused(otherwise: &[(&str, &str)]) -> Option<Kind> {
        let variable = |name: &str| {
            let mut all = otherwise.iter().chain(&POST);
            all.find(|(each, _)| *each == name).map(|(_, value)| OsString::from(value))
        };
        Request::new(&variable).call().err().map(|error| error.kind())
    }

    #[test]
    fn only_what_the_panel_sends_is_a_change() {
        let long = "1".repeat(LONGEST_TOKEN + 1);
        for (otherwise, expected) in [
            (&[][..], None),
            (&[("CONTENT_TYPE", "Application/JSON; charset=utf-8")], None),
            (&[("HTTP_SEC_FETCH_SITE", ""), ("HTTP_ORIGIN", "https://nas:5001")], None),
            (&[("HTTP_SEC_FETCH_SITE", ""), ("HTTP_ORIGIN", "http://NAS:5001")], None),
            (&[("HTTP_X_SYNO_TOKEN", ""), ("QUERY_STRING", "a=b&SynoToken=1")], None),
            (&[("REQUEST_URI", "")], None),
            (
                &[("HTTP_SEC_FETCH_SITE", "same-site"), ("HTTP_ORIGIN", "https://nas:5001")],
                Some(Kind::Denied),
            ),
            (&[("HTTP_SEC_FETCH_SITE", "cross-site")], Some(Kind::Denied)),
            (&[("HTTP_SEC_FETCH_SITE", "none")], Some(Kind::Denied)),
            (&[("HTTP_SEC_FETCH_SITE", "")], Some(Kind::Denied)),
            (&[("HTTP_SEC_FETCH_SITE", ""), ("HTTP_ORIGIN", "null")], Some(Kind::Denied)),
            (&[("HTTP_SEC_FETCH_SITE", ""), ("HTTP_ORIGIN", "https://nas")], Some(Kind::Denied)),
            (
                &[("HTTP_SEC_FETCH_SITE", ""), ("HTTP_ORIGIN", "https://evil/nas:5001")],
                Some(Kind::Denied),
            ),
            (&[("HTTP_SEC_FETCH_SITE", ""), ("HTTP_ORIGIN", "ftp://nas:5001")], Some(Kind::Denied)),
            (
                &[("HTTP_SEC_FETCH_SITE", ""), ("HTTP_ORIGIN", "https://"), ("HTTP_HOST", "")],
                Some(Kind::Denied),
            ),
            (&[("HTTP_X_SYNO_TOKEN", "")], Some(Kind::Denied)),
            (&[("HTTP_X_SYNO_TOKEN", "a&REQUEST_METHOD=x")], Some(Kind::Denied)),
            (&[("HTTP_X_SYNO_TOKEN", "a b")], Some(Kind::Denied)),
            (&[("HTTP_X_SYNO_TOKEN", &long)], Some(Kind::Denied)),
            (&[("HTTP_X_SYNO_TOKEN", ""), ("QUERY_STRING", "SynoToken=%41")], Some(Kind::Denied)),
            (&[("CONTENT_TYPE", "")], Some(Kind::Usage)),
            (&[("CONTENT_TYPE", "text/plain")], Some(Kind::Usage)),
            (&[("CONTENT_TYPE", "application/x-www-form-urlencoded")], Some(Kind::Usage)),
            (&[("REQUEST_METHOD", "GET")], Some(Kind::Usage)),
            (&[("REQUEST_METHOD", "post")], Some(Kind::Usage)),
            (&[("REQUEST_METHOD", "OPTIONS")], Some(Kind::Usage)),
            (&[("REQUEST_METHOD", "")], Some(Kind::Usage)),
        ] {
            assert_eq!(refused(otherwise), expected, "{otherwise:?}");
        }
    }

    #[test]
    fn lengths() {
        let length =
            |text: &'static str| Request::new(&|_: &str| Some(OsString::from(text))).length();
        assert_eq!((length("0"), length("65537")), (Some(0), Some(65537)));
        assert_eq!(length("99999999999999999999999999"), Some(usize::MAX));
        for text in ["", "-1", "+1", "1 ", "0x10", "1, 1"] {
            assert_eq!(length(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_paths_of_calls_are_calls() {
        let get = |path: &str, uri: &str| {
            let all = [("REQUEST_METHOD", "GET"), ("PATH_INFO", path), ("REQUEST_URI", uri)];
            refused(&all)
        };
        assert_eq!(get("/v1/status", "/x/api.cgi/v1/status"), None);
        assert_eq!(get("/v1/status", "/x/api.cgi/v1/status?SynoToken=1"), None);
        assert_eq!(get("/v1/session", "http://nas/x/api.cgi/v1/session"), None);
        for path in [
            "",
            "/",
            "v1/status",
            "/v1/status/",
            "//v1/status",
            "/v1//status",
            "/v1/./status",
            "/v1/../v1/status",
            "/V1/status",
            "/v1/log",
            "/v1/tasks/docs/sync",
            "/v1/status\0",
        ] {
            assert_eq!(get(path, ""), Some(Kind::NotFound), "{path}");
        }
        for uri in [
            "/x/api.cgi/v1/%73tatus",
            "/x/api.cgi/a/../v1/status",
            "/x/api.cgi//v1/status",
            "/x/api.cgi/v1/./status",
            "/x/api.cgi?/v1/status",
            "/v1/status",
        ] {
            assert_eq!(get("/v1/status", uri), Some(Kind::NotFound), "{uri}");
        }
    }

    #[test]
    fn what_is_empty_is_absent_and_what_should_be_text_is() {
        let variable = |name: &str| match name {
            "EMPTY" => Some(OsString::new()),
            "BYTES" => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        };
        let request = Request::new(&variable);
        assert_eq!((request.raw("EMPTY"), request.text("EMPTY")), (None, None));
        assert_eq!((request.raw("BYTES").is_some(), request.text("BYTES")), (true, None));
    }
}
