//! What goes back to the web server.

use crate::error::{Error, Kind};
use serde::Serialize;
use serde_json::json;
use std::io::{self, Read, Write};

/// An answer to a request, or why there is none.
pub struct Answer {
    length: u64,
    body: Box<dyn Read>,
}

impl Answer {
    /// An answer with this document.
    pub fn of(document: &impl Serialize) -> Answer {
        let text = serde_json::to_string(document).unwrap_or_default();
        Answer::new(text.len() as u64, io::Cursor::new(text))
    }

    /// An answer of so many bytes of JSON.
    pub fn new(length: u64, body: impl Read + 'static) -> Answer {
        Answer { length, body: Box::new(body) }
    }

    /// Writes it as CGI has it. With any other status, the web server might put a page of its own in
    /// its place.
    pub fn write(self, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "Status: 200 OK\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {}\r\n\
             Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n\r\n",
            self.length
        )?;
        io::copy(&mut self.body.take(self.length), out)?;
        out.flush()
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        Answer::of(&json!({ "error": error.document() }))
    }
}

/// Nobody is logged in.
pub fn logged_out(cause: impl ToString) -> Error {
    let error = Error::new(Kind::SignIn, "the session", cause.to_string());
    error.remedy("log in to the NAS and open Mooring again")
}

/// It isn't the panel that asks.
pub fn foreign(cause: &str) -> Error {
    wrong(Kind::Denied, cause)
}

/// What nobody but the panel has to understand.
pub fn wrong(kind: Kind, cause: impl ToString) -> Error {
    let error = Error::new(kind, "the request", cause.to_string());
    error.remedy("open Mooring from the desktop of the NAS")
}
