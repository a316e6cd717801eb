//! The bridge: what the web server of the NAS runs for each of the panel's calls.
//!
//! Nobody has looked at a request before: here it is found out by the NAS who sent it and whether
//! the panel did. Then it is relayed to the daemon's socket as one HTTP request that says who asks.
//!
//! - `GET /v1/session` tells who is logged in, and the version.
//! - `GET /v1/status` and `POST /v1/request` are the daemon's (see [`crate::daemon`]).
//!
//! A failure is `{"error": {"kind", "reason", "remedy"}}`. The web server may replace what comes with
//! a status that isn't a good one, so that every answer has 200.
//!
//! Nothing that a request can set decides what is run or which socket is asked. As it runs anew for
//! each request, it reads no settings, starts no thread and keeps no answer in memory.

mod answer;
mod relay;
mod request;
mod session;

pub use session::Programs;

use crate::admin::MOST_BYTES;
use crate::admin::view::SessionView;
use crate::child::read_within;
use crate::error::{Kind, Result};
use answer::{Answer, wrong};
use nix::unistd::alarm;
use request::{Call, Request};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time for the body of a request to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// Seconds until the system ends this process, whatever it waits for. Web servers wait for 60.
const LONGEST_LIFE: u32 = 90;

/// Answers the request that these variables of CGI/1.1 tell of, with its body in standard input.
///
/// # Errors
/// Only those of `out`.
pub fn run(
    state: Result<PathBuf>,
    programs: &Programs,
    variable: &dyn Fn(&str) -> Option<OsString>,
    out: &mut dyn Write,
) -> io::Result<()> {
    alarm::set(LONGEST_LIFE);
    let request = Request::new(variable);
    let answer = answer(state, programs, &request).unwrap_or_else(Answer::from);
    answer.write(out)
}

fn answer(state: Result<PathBuf>, programs: &Programs, request: &Request<'_>) -> Result<Answer> {
    // Some web servers tell of nothing else when what they pass on isn't taken.
    let body = body(request.length());
    let call = request.call()?;
    let caller = session::caller(request, programs)?;
    match call {
        Call::Session => Ok(Answer::of(&SessionView::of(&caller))),
        Call::Status => relay::relay(&state?, &caller, "GET /v1/status", b""),
        Call::Request => relay::relay(&state?, &caller, "POST /v1/request", &body?),
    }
}

/// The body of the request, which has so many bytes. The web server may leave its end open.
fn body(length: Option<usize>) -> Result<Vec<u8>> {
    let Some(length) = length else {
        return Err(wrong(Kind::Usage, "the length of its body isn't told"));
    };
    if length > MOST_BYTES {
        return Err(wrong(Kind::TooLarge, "its body is too large"));
    }
    let read = || {
        let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        read_within(&mut input, length, Instant::now() + BODY_PATIENCE)
    };
    match read() {
        Ok(body) if body.len() == length => Ok(body),
        Ok(body) => Err(wrong(Kind::Usage, format!("it ends {} bytes early", length - body.len()))),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            Err(wrong(Kind::Usage, "its body didn't arrive in time"))
        }
        Err(error) => Err(wrong(Kind::Usage, format!("its body can't be read ({error})"))),
    }
}
