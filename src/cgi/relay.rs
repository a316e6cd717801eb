//! Passes a request on to the daemon, with who asks.

use super::answer::{Answer, logged_out};
use crate::caller::Caller;
use crate::daemon::{ADMINISTRATOR, USER, socket_path};
use crate::error::{Error, Kind, Result};
use crate::user;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Uid, geteuid};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the daemon may think. Web servers wait for 60 seconds.
const PATIENCE: Duration = Duration::from_secs(50);
/// Bytes of what the daemon says before its document.
const MOST_HEAD: u64 = 8 << 10;
/// Bytes of a document, which is passed on as it comes.
const MOST_BYTES: u64 = 64 << 20;

/// What the daemon of this state folder answers to this caller.
pub fn relay(state: &Path, caller: &Caller, call: &str, body: &[u8]) -> Result<Answer> {
    let Caller::User { name, administrator } = caller else {
        return Err(logged_out("nobody is logged in"));
    };
    let mut daemon = connect(state)?;
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let head = format!(
        "{call} HTTP/1.1\r\nhost: mooring\r\ncontent-type: application/json\r\n\
         {USER}: {name}\r\n{ADMINISTRATOR}: {administrator}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let asked = [head.as_bytes(), body].concat();
    daemon.write_all(&asked).map_err(lost)?;
    let mut answer = BufReader::new(daemon);
    let length = read_head(&mut answer).map_err(lost)?;
    Ok(Answer::new(length, answer))
}

/// Connects to the daemon, which has to be of whom this program or the state folder belongs to.
fn connect(state: &Path) -> Result<UnixStream> {
    // The daemon takes a user's word from nobody but itself.
    let owner = user::become_owner(state).map_err(lost)?;
    let daemon = UnixStream::connect(socket_path(state)).map_err(lost)?;
    let peer = getsockopt(&daemon, PeerCredentials).map_err(|error| lost(error.into()))?;
    let peer = Uid::from_raw(peer.uid());
    if peer != geteuid() && peer != owner {
        let cause = "another user's program has taken its place";
        return Err(Error::new(Kind::Denied, "the daemon", cause)
            .remedy("stop that program, and restart Mooring in Package Center"));
    }
    daemon.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
    daemon.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
    Ok(daemon)
}

/// The length of the daemon's answer, whose status says nothing that isn't in it.
fn read_head(daemon: &mut impl BufRead) -> io::Result<u64> {
    let mut head = Vec::new();
    for byte in daemon.take(MOST_HEAD).bytes() {
        head.push(byte?);
        if head.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8(head).ok();
            return head.as_deref().and_then(understood).ok_or(ErrorKind::InvalidData.into());
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

fn understood(head: &str) -> Option<u64> {
    let (first, fields) = head.split_once("\r\n")?;
    first.strip_prefix("HTTP/1.1 ")?;
    let length = fields.split("\r\n").find_map(|field| {
        let (name, value) = field.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.filter(|length| *length <= MOST_BYTES)
}

fn lost(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Error::new(Kind::Offline, "Mooring", "it isn't running")
                .remedy("start it in Package Center")
        }
        ErrorKind::PermissionDenied => {
            let cause = format!(
                "the web server runs the bridge as user {}, who may not ask the daemon",
                geteuid()
            );
            Error::new(Kind::Denied, "Mooring", cause)
                .remedy("restart it in Package Center; if that doesn't help, install it once more")
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            Error::new(Kind::Busy, "the daemon", "it needs longer than a web server waits")
                .remedy("nothing to do; it goes on with what you asked for")
        }
        _ => Error::new(Kind::Offline, "the daemon", error)
            .remedy("see the log of Mooring, and restart it in Package Center"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Option<u64> {
        read_head(&mut text.as_bytes()).ok()
    }

    #[test]
    fn an_answer_is_understood_or_refused() {
        let right = "HTTP/1.1 409 Conflict\r\ndate: x\r\nContent-Length: 12\r\n\r\n{}";
        assert_eq!(head(right), Some(12));
        for wrong in [
            "",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "SSH-2.0\r\n\r\n",
            &format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(MOST_HEAD as usize)),
        ] {
            assert_eq!(head(wrong), None, "{wrong:.60}");
        }
    }
}
