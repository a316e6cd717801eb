//! Writing files: in one request, or in a session that survives restarts.
//!
//! Every request tells the hash of what it sends, so that nothing that arrives otherwise is kept;
//! the hash of the whole is compared with what Dropbox says that it has.

use super::calls::{Ask, Called, Fault};
use super::meta::{Meta, seconds, timestamp};
use super::{Folder, twin};
use crate::content::{Content, Guarded, Slice};
use crate::error::{Error, Kind, Result};
use crate::hash::Hash;
use crate::http::{Payload, read_error};
use crate::model::{Nanos, split_path, to_hex};
use crate::remote::conditions::check;
use crate::remote::{Entry, Expect, Place, Resume};
use crate::services::notes;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Read;
use std::time::Duration;

/// Largest file that Dropbox takes.
pub(super) const MAX_SIZE: u64 = 2_199_019_061_248;
/// Bytes that are hashed at a time.
const BLOCK: u64 = 4 << 20;
/// Most bytes of a request; Dropbox takes 150 MiB. What is cut off has to be sent again, and a
/// file of no more than this is sent in one request.
const PART: u64 = 2 * BLOCK;
/// Sessions begun for a file before giving up, and times that one may be elsewhere than expected.
const TRIES: u32 = 3;
const BUFFER_BYTES: usize = 64 << 10;

/// What a crash must not lose of an upload in a session. How much has arrived, Dropbox knows.
/// A session can't be dropped: it ends by itself after a week.
#[derive(Serialize, Deserialize)]
struct Note {
    size: u64,
    session: String,
}

#[derive(Deserialize)]
struct Started {
    session_id: String,
}

/// One file on its way.
struct Upload<'a> {
    folder: &'a Folder,
    what: &'a str,
    /// Whole.
    path: &'a str,
    content: &'a dyn Content,
    /// Time of modification, if Dropbox takes it.
    seconds: Option<i64>,
    expect: Expect<'a>,
}

/// The hash of the beginning of a content.
#[derive(Clone)]
struct Sum {
    /// Of the hashes of the blocks.
    blocks: Context,
}

impl Folder {
    pub(super) fn upload(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Entry> {
        let what = format!("uploading {}", self.name(place.path));
        if expect == Expect::Absent {
            self.parent_is_there(&what, place.path)?;
        }
        let upload = Upload {
            folder: self,
            what: &what,
            path: &self.at(place.path),
            content: &Guarded(content),
            seconds: seconds(mtime),
            expect,
        };
        if content.size() <= PART { upload.at_once() } else { upload.in_session(place, resume) }
    }
}

impl Upload<'_> {
    /// Sends everything in one request.
    fn at_once(&self) -> Result<Entry> {
        let size = self.content.size();
        let replaced = match self.expect {
            Expect::Absent => None,
            Expect::Version(_) => self.replaced()?,
        };
        let mut sum = Sum::new();
        let sent = sum.take(self.what, self.content, (0, size))?;
        let mut arg = self.commit(replaced.as_ref());
        arg["content_hash"] = to_hex(&sent).into();
        let payload = Payload::Part { content: self.content, from: 0, length: size };
        let ask = Ask::upload("files/upload", arg, payload);
        match self.folder.calls.send(self.what, &ask) {
            Ok(reply) => self.stored(reply.json(self.what)?, sum.finish()),
            Err(fault) if fault.is("path/conflict") => self.refused(fault, sum.finish()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Sends part after part, and makes a file of them in the end.
    fn in_session(&self, place: Place<'_>, resume: &dyn Resume) -> Result<Entry> {
        let size = self.content.size();
        // What can't become a file isn't sent for hours.
        let replaced = self.replaced()?;
        let saved = notes::saved::<Note>(resume);
        let mut saved = saved.filter(|note| note.size == size).map(|note| note.session);
        for _ in 0..=TRIES {
            let known = match saved.take() {
                Some(session) => self.reached(&session)?.map(|at| (session, at)),
                None => None,
            };
            let (session, at) = match known {
                Some(known) => known,
                None => {
                    let session = self.start()?;
                    let note = Note { size, session };
                    notes::save(self.what, resume, &note)?;
                    (note.session, 0)
                }
            };
            if let Some(sum) = self.fill(&session, at)? {
                if self.expect == Expect::Absent {
                    self.folder.parent_is_there(self.what, place.path)?;
                }
                if let Some(entry) = self.finish(&session, sum.finish(), replaced.as_ref())? {
                    return Ok(entry);
                }
            }
        }
        Err(Error::new(Kind::Protocol, self.what, "Dropbox loses what it was sent"))
    }

    fn start(&self) -> Result<String> {
        let payload = Payload::Bytes(b"");
        let ask = Ask::upload("files/upload_session/start", json!({ "close": false }), payload);
        let started: Started = self.folder.calls.send(self.what, &ask)?.json(self.what)?;
        Ok(started.session_id)
    }

    fn append(&self, session: &str, at: u64, hash: &[u8], payload: Payload<'_>) -> Called<()> {
        let arg = json!({
            "cursor": { "session_id": session, "offset": at },
            "close": false,
            "content_hash": to_hex(hash),
        });
        let ask = Ask::upload("files/upload_session/append_v2", arg, payload);
        self.folder.calls.send(self.what, &ask)?.drain();
        Ok(())
    }

    /// How far an earlier attempt has come; `None` when its session can't be gone on with.
    fn reached(&self, session: &str) -> Result<Option<u64>> {
        // Nothing is sent to the start: unless that is where it is, the refusal tells.
        let nothing = Context::new(&SHA256).finish();
        match self.append(session, 0, nothing.as_ref(), Payload::Bytes(b"")) {
            Ok(()) => Ok(Some(0)),
            Err(fault) if fault.is("incorrect_offset") => {
                Ok(fault.offset.filter(|at| self.can_go_on_from(*at)))
            }
            Err(fault) if is_lost(&fault) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Parts end where blocks end; a session that is elsewhere isn't ours.
    fn can_go_on_from(&self, at: u64) -> bool {
        at == self.content.size() || at < self.content.size() && at.is_multiple_of(BLOCK)
    }

    /// Sends everything from byte `at` on; `None` when the session is lost.
    fn fill(&self, session: &str, at: u64) -> Result<Option<Sum>> {
        let size = self.content.size();
        let (mut sum, mut at) = (self.sum_to(at)?, at);
        let mut corrections = 0;
        while at < size {
            let length = PART.min(size - at);
            let mut with_part = sum.clone();
            let hash = with_part.take(self.what, self.content, (at, length))?;
            let payload = Payload::Part { content: self.content, from: at, length };
            match self.append(session, at, &hash, payload) {
                Ok(()) => (sum, at) = (with_part, at + length),
                Err(fault) if fault.is("incorrect_offset") => match fault.offset {
                    // The reply to an earlier attempt was lost.
                    Some(there) if there == at + length => (sum, at) = (with_part, there),
                    Some(there) if self.can_go_on_from(there) && corrections < TRIES => {
                        corrections += 1;
                        (sum, at) = (self.sum_to(there)?, there);
                    }
                    _ => return Ok(None),
                },
                Err(fault) if is_lost(&fault) => return Ok(None),
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(Some(sum))
    }

    /// The hash of what an earlier attempt has sent.
    fn sum_to(&self, end: u64) -> Result<Sum> {
        let mut sum = Sum::new();
        let mut at = 0;
        while at < end {
            // It may be a lot: whoever wants to stop doesn't wait.
            self.folder.calls.http().pause(Duration::ZERO)?;
            let length = PART.min(end - at);
            sum.take(self.what, self.content, (at, length))?;
            at += length;
        }
        Ok(sum)
    }

    /// Makes a file of a session; `None` when that is lost.
    fn finish(&self, session: &str, hash: Hash, replaced: Option<&Meta>) -> Result<Option<Entry>> {
        let size = self.content.size();
        let arg = json!({
            "cursor": { "session_id": session, "offset": size },
            "commit": self.commit(replaced),
        });
        // Nothing more is sent, but asked once more whether the file is as it was.
        let payload = Payload::Part { content: self.content, from: size, length: 0 };
        let ask = Ask::upload("files/upload_session/finish", arg, payload);
        let finished = {
            let _turn = self.folder.turn();
            self.folder.calls.send(self.what, &ask)
        };
        match finished {
            Ok(reply) => self.stored(reply.json(self.what)?, hash).map(Some),
            Err(fault) if fault.is("path/conflict") => self.refused(fault, hash).map(Some),
            // The reply to an earlier attempt may have been lost: the session went with it.
            Err(fault) if fault.is("lookup_failed") && fault.again => {
                let there = self.folder.look(self.what, self.path)?;
                let ours = there.filter(|there| self.is_ours(there, hash));
                ours.map(|there| there.entry(self.what)).transpose()
            }
            Err(fault) if fault.is("lookup_failed") => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The file that is to be replaced, seen to be of the version that is expected.
    fn replaced(&self) -> Result<Option<Meta>> {
        let found = self.folder.look(self.what, self.path)?;
        self.check(found.as_ref())?;
        Ok(found)
    }

    /// What to make of the bytes: a new file, or one in the place of what was seen there.
    fn commit(&self, replaced: Option<&Meta>) -> Value {
        let mut commit = json!({
            "path": self.path,
            "mode": match replaced {
                None => json!("add"),
                Some(seen) => json!({ ".tag": "update", "update": seen.rev }),
            },
            "autorename": false,
            // Else what has the same content, or was removed, is no conflict.
            "strict_conflict": true,
            // Nobody's screen has to tell of each file.
            "mute": true,
        });
        if let Some(seconds) = self.seconds {
            commit["client_modified"] = timestamp(seconds).into();
        }
        commit
    }

    /// Whether what is there is what this upload made.
    fn is_ours(&self, there: &Meta, hash: Hash) -> bool {
        there.name == split_path(self.path).1
            && there.is_file_of(hash, self.content.size(), self.seconds)
    }

    /// The file that was made, if it is what was sent.
    fn stored(&self, meta: Meta, hash: Hash) -> Result<Entry> {
        let same = meta.size == self.content.size() && meta.hash().is_none_or(|told| told == hash);
        if same {
            return meta.entry(self.what);
        }
        // Nobody must take this for the file: better none, as it is about to be sent again.
        self.folder.remove_revision(self.what, self.path, &meta)?;
        let cause = "Dropbox stored something else than was sent";
        Err(Error::new(Kind::Integrity, self.what, cause))
    }

    /// What a conflict comes to: perhaps it is with what an earlier attempt made.
    fn refused(&self, fault: Fault, hash: Hash) -> Result<Entry> {
        match self.folder.look(self.what, self.path)? {
            Some(there) if fault.again && self.is_ours(&there, hash) => there.entry(self.what),
            there => {
                self.check(there.as_ref())?;
                // What was in its place is gone by now.
                Err(fault.into())
            }
        }
    }

    /// Whether what was found is what the upload expects.
    fn check(&self, found: Option<&Meta>) -> Result<()> {
        if let Some(found) = found
            && self.expect == Expect::Absent
            && found.name != split_path(self.path).1
        {
            return Err(twin(self.what, found));
        }
        let found = found.map(|found| found.clone().entry(self.what)).transpose()?;
        check(self.what, self.expect, found.as_ref())
    }
}

/// Whether a session can't be gone on with.
fn is_lost(fault: &Fault) -> bool {
    ["not_found", "closed", "not_closed"].iter().any(|tag| fault.is(tag))
}

impl Sum {
    fn new() -> Self {
        Sum { blocks: Context::new(&SHA256) }
    }

    /// Takes in the next bytes of a content, which begin where a block does, and tells their own
    /// hash.
    fn take(
        &mut self,
        what: &str,
        content: &dyn Content,
        (from, length): (u64, u64),
    ) -> Result<[u8; 32]> {
        let mut part = Context::new(&SHA256);
        let mut buffer = vec![0; BUFFER_BYTES];
        let end = from + length;
        let mut at = from;
        while at < end {
            let next = end.min(at + BLOCK);
            let mut reader = Slice::new(content, at, next - at);
            let mut block = Context::new(&SHA256);
            loop {
                let count = reader.read(&mut buffer).map_err(|error| unreadable(what, error))?;
                if count == 0 {
                    break;
                }
                block.update(&buffer[..count]);
            }
            let hash = block.finish();
            part.update(hash.as_ref());
            self.blocks.update(hash.as_ref());
            at = next;
        }
        Ok(bytes(part))
    }

    /// The hash of all that was taken in.
    fn finish(self) -> Hash {
        Hash::Blocks(bytes(self.blocks))
    }
}

fn bytes(context: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// A file that ends earlier than it did was changed.
fn unreadable(what: &str, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::new(Kind::Changed, what, error),
        _ => read_error(what, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{HashKind, HashSum};

    struct Bytes(Vec<u8>);

    impl Content for Bytes {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            let rest = &self.0[(offset as usize).min(self.0.len())..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }

        fn unchanged(&self) -> Result<()> {
            Ok(())
        }
    }

    fn hash(bytes: &[u8]) -> Hash {
        let mut sum = HashSum::new(HashKind::Blocks);
        sum.update(bytes);
        sum.finish()
    }

    #[test]
    fn parts_and_the_whole_are_hashed_at_once() {
        let bytes: Vec<u8> = (0..2 * PART + BLOCK + 5).map(|at| (at % 251) as u8).collect();
        let content = Bytes(bytes.clone());
        let mut sum = Sum::new();
        for part in bytes.chunks(PART as usize) {
            let from = part.as_ptr() as u64 - bytes.as_ptr() as u64;
            let told = sum.take("it", &content, (from, part.len() as u64)).unwrap();
            assert_eq!(Hash::Blocks(told), hash(part));
        }
        assert_eq!(sum.finish(), hash(&bytes));
        assert_eq!(Sum::new().finish(), hash(b""));
    }

    #[test]
    fn a_content_that_ends_early_has_changed() {
        let content = Bytes(vec![1; 10]);
        let error = Sum::new().take("it", &content, (0, 11)).unwrap_err();
        assert_eq!(error.kind(), Kind::Changed);
    }
}
