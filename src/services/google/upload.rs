//! Sending files: in one request with what is told of them, or in parts.
//!
//! Source: the guides "Upload file data" of the Drive API and "Resumable uploads" of Cloud Storage,
//! which agree.

use crate::content::{Content, Guarded, next_bytes};
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind, HashSum};
use crate::http::{Call, Payload, Reply, backoff};
use crate::model::to_hex;
use crate::random::random;
use crate::remote::Api;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Times that a part is sent without any of it being kept.
const PART_TRIES: u32 = 5;
/// First pause between two of them.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Bytes read at once to sum up what was sent before a restart.
const READ: usize = 64 << 10;

/// What is around a file that is sent in one request with what is told of it.
pub(in super::super) struct Frame {
    /// Type of the whole.
    pub content_type: String,
    /// What comes before the file.
    pub head: Vec<u8>,
    /// What comes after it.
    pub tail: Vec<u8>,
}

impl Frame {
    /// For a file of this type; what is told of it is JSON.
    pub fn new(what: &str, told: &[u8], kind: &str) -> Result<Frame> {
        // Random, so that no file holds it.
        let boundary = to_hex(&random::<16>(what)?);
        let mut head =
            format!("--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n")
                .into_bytes();
        head.extend(told);
        head.extend(format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n\r\n").bytes());
        let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
        let content_type = format!("multipart/related; boundary={boundary}");
        Ok(Frame { content_type, head, tail })
    }
}

/// How far an upload in parts is.
pub(in super::super) enum Step<T> {
    /// So many bytes are kept.
    Kept(u64),
    /// All of it has arrived.
    Done(T),
    /// Google doesn't know the upload any more.
    Lost,
}

/// An upload in parts, which Google has an address of its own for.
pub(in super::super) struct Parts<'a> {
    pub api: &'a Api,
    pub what: &'a str,
    pub content: &'a Summed<'a>,
    /// Bytes of a part; a multiple of 256 KiB.
    pub size: u64,
    /// Whether the service compares what has arrived with the hash that comes with the last part.
    pub compares: bool,
}

impl Parts<'_> {
    /// The address of an upload that Google began, which stands below `below`, at the host that we
    /// talk to anyway: our token goes nowhere else.
    pub fn address(what: &str, base: &str, below: &str, reply: &Reply) -> Result<String> {
        let location = reply.header("location").unwrap_or_default();
        match location.find(below) {
            Some(start) => Ok(format!("{base}{}", &location[start..])),
            None => {
                let cause = "Google doesn't tell where to send the file to";
                Err(Error::new(Kind::Protocol, what, cause))
            }
        }
    }

    /// Drops what has arrived at this address.
    pub fn forget(api: &Api, session: &str) -> Result<()> {
        let what = "dropping an unfinished upload";
        // 499 is what Google's upload servers answer when they have done so.
        let call = &mut || Ok(Call::new("DELETE", session.into(), true));
        api.call(what, &[404, 410, 499], call)?.drain();
        Ok(())
    }

    /// Sends the parts from this byte on; `None` when Google has forgotten the upload.
    pub fn send<T: DeserializeOwned>(&self, session: &str, from: u64) -> Result<Option<T>> {
        // Summed up now, for the engine reads along and need not do so again.
        self.content.read_to(from)?;
        let mut at = from;
        let mut tries = 0;
        loop {
            tries += 1;
            let sent = self.send_part(session, at);
            let step = match sent {
                // How much of it was kept is asked for, not guessed.
                Err(error)
                    if matches!(error.kind(), Kind::Offline | Kind::Busy)
                        && error.wait().is_none()
                        && tries < PART_TRIES =>
                {
                    tracing::debug!(what = self.what, reason = error.reason(), "asking how far");
                    if tries > 1 {
                        self.api.http().pause(backoff(FIRST_PAUSE, tries - 1))?;
                    }
                    self.ask_how_far(session)?
                }
                sent => sent?,
            };
            match step {
                Step::Done(told) => return Ok(Some(told)),
                Step::Lost => return Ok(None),
                Step::Kept(kept) if kept > self.content.size() => {
                    let cause = "it says to have more bytes than there are";
                    return Err(Error::new(Kind::Protocol, self.what, cause));
                }
                Step::Kept(kept) => {
                    if kept > at {
                        tries = 0;
                    } else if tries >= PART_TRIES {
                        let cause = "Google keeps none of the bytes that are sent";
                        return Err(Error::new(Kind::Busy, self.what, cause));
                    }
                    at = kept;
                }
            }
        }
    }

    fn send_part<T: DeserializeOwned>(&self, session: &str, at: u64) -> Result<Step<T>> {
        let size = self.content.size();
        let length = self.size.min(size - at);
        if length == 0 {
            return self.ask_how_far(session);
        }
        let hash = if self.compares && at + length == size {
            self.content.read_to(size)?;
            self.content.md5().map(|sum| format!("md5={}", BASE64.encode(sum)))
        } else {
            None
        };
        let range = format!("bytes {at}-{}/{size}", at + length - 1);
        let part = Payload::Part { content: self.content, from: at, length };
        let reply = self.api.call(self.what, &[308, 404, 410], &mut || {
            let mut call = Call::new("PUT", session.into(), false);
            call.headers.extend(hash.clone().map(|hash| ("X-Goog-Hash", hash)));
            Ok(call.header("Content-Range", range.as_str()).payload(part))
        })?;
        self.step(reply)
    }

    /// How much has arrived at this address.
    pub fn ask_how_far<T: DeserializeOwned>(&self, session: &str) -> Result<Step<T>> {
        let range = format!("bytes */{}", self.content.size());
        let reply = self.api.call(self.what, &[308, 404, 410], &mut || {
            let call = Call::new("PUT", session.into(), true);
            Ok(call.header("Content-Range", range.as_str()).payload(Payload::Bytes(b"")))
        })?;
        self.step(reply)
    }

    fn step<T: DeserializeOwned>(&self, reply: Reply) -> Result<Step<T>> {
        match reply.status {
            308 => {
                let last = reply.header("range").and_then(|range| range.rsplit_once('-'));
                let kept = last.and_then(|(_, last)| last.parse::<u64>().ok());
                reply.drain();
                Ok(Step::Kept(kept.map_or(0, |last| last.saturating_add(1))))
            }
            404 | 410 => {
                reply.drain();
                Ok(Step::Lost)
            }
            _ => Ok(Step::Done(reply.json(self.what)?)),
        }
    }
}

/// A content that is summed up while it is read.
pub(in super::super) struct Summed<'a> {
    /// Without its last bytes, Google drops what it got.
    content: Guarded<'a>,
    /// How far it is summed up, and the sum.
    state: Mutex<(u64, HashSum)>,
}

impl<'a> Summed<'a> {
    pub fn new(content: &'a dyn Content) -> Self {
        let state = Mutex::new((0, HashSum::new(HashKind::Md5)));
        Summed { content: Guarded(content), state }
    }

    /// Reads what isn't summed up before this byte.
    pub fn read_to(&self, end: u64) -> Result<()> {
        let mut buffer = Vec::new();
        loop {
            let at = self.state().0;
            if at >= end {
                return Ok(());
            }
            buffer.resize(READ, 0);
            if self.read_at(&mut buffer, at)? == 0 {
                return Err(Error::new(Kind::Changed, "reading the file", "it became shorter"));
            }
        }
    }

    /// The hash of what was read.
    pub fn hash(&self) -> Hash {
        self.state().1.clone().finish()
    }

    /// The same as bytes.
    fn md5(&self) -> Option<[u8; 16]> {
        match self.hash() {
            Hash::Md5(sum) => Some(sum),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, (u64, HashSum)> {
        // No panic can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content for Summed<'_> {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let count = self.content.read_at(buffer, offset)?;
        let mut state = self.state();
        let (at, sum) = &mut *state;
        sum.update(next_bytes(at, offset, &buffer[..count]));
        Ok(count)
    }

    fn unchanged(&self) -> Result<()> {
        self.content.unchanged()
    }
}
