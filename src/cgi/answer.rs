//! What goes back to the web server.

use crate::error::{Error, Kind};
use serde::Serialize;
use serde_json::json;
use std::io::{self, Read, Write};

/// An answer to a request.
pub struct Answer {
    status: u16,
    length: u64,
    body: Box<dyn Read>,
}

/// Why a request isn't answered as it would like to be.
#[derive(Debug)]
pub struct Refusal {
    /// Status of HTTP.
    pub status: u16,
    /// The same for a person.
    pub error: Error,
}

impl Answer {
    /// An answer with this document.
    pub fn of(document: &impl Serialize) -> Answer {
        let text = serde_json::to_string(document).unwrap_or_default();
        Answer::new(200, text.len() as u64, io::Cursor::new(text))
    }

    /// An answer of so many bytes of JSON.
    pub fn new(status: u16, length: u64, body: impl Read + 'static) -> Answer {
        Answer { status, length, body: Box::new(body) }
    }

    /// Writes it as CGI has it. Only what changes something tells its status.
    pub fn write(self, is_change: bool, out: &mut dyn Write) -> io::Result<()> {
        let status = if is_change { self.status } else { 200 };
        write!(
            out,
            "Status: {status} {}\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {}\r\n\
             Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n\r\n",
            phrase(status),
            self.length
        )?;
        io::copy(&mut self.body.take(self.length), out)?;
        out.flush()
    }
}

impl From<Refusal> for Answer {
    fn from(Refusal { status, error }: Refusal) -> Answer {
        Answer { status, ..Answer::of(&json!({ "error": error.document() })) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let status = match error.kind() {
            Kind::Offline | Kind::Busy => 503,
            Kind::Denied => 403,
            _ => 500,
        };
        Refusal { status, error }
    }
}

impl Refusal {
    /// Nobody is logged in.
    pub fn logged_out(cause: impl ToString) -> Refusal {
        let error = Error::new(Kind::SignIn, "the session", cause.to_string());
        Refusal { status: 401, error: error.remedy("log in to the NAS and open Mooring again") }
    }

    /// It isn't the panel that asks.
    pub fn foreign(cause: &str) -> Refusal {
        Refusal::wrong(403, Kind::Denied, cause)
    }

    /// Nothing is called so.
    pub fn unknown() -> Refusal {
        Refusal::wrong(404, Kind::NotFound, "no such call")
    }

    /// The body doesn't come.
    pub fn late() -> Refusal {
        Refusal::wrong(408, Kind::Usage, "its body didn't arrive in time")
    }

    /// It isn't what the panel sends.
    pub fn malformed(cause: impl ToString) -> Refusal {
        Refusal::wrong(400, Kind::Usage, cause)
    }

    /// What nobody but the panel has to understand.
    pub fn wrong(status: u16, kind: Kind, cause: impl ToString) -> Refusal {
        let error = Error::new(kind, "the request", cause.to_string());
        Refusal { status, error: error.remedy("open Mooring from the desktop of the NAS") }
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
