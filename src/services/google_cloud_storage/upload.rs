//! Writing files: in one request, or in parts that go on after a restart.

use super::super::google::{self, Frame, Parts, Step, Summed, json, with_json};
use super::super::parts::{SMALL, read_part, read_whole};
use super::object::{Metadata, Object, Wish};
use super::{Store, condition};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::Hash;
use crate::http::{Call, Payload};
use crate::model::Nanos;
use crate::remote::conditions::check;
use crate::remote::{Entry, Expect, Resume};
use crate::services::notes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

/// What the paths of calls begin with that take content.
const UPLOAD: &str = "/upload/storage/v1/";
/// The type of every file: nothing more is known of it.
const ANY_BYTES: &str = "application/octet-stream";
/// Uploads begun for one file when Google forgets them.
const SESSIONS: u32 = 4;

/// What an upload in parts needs to go on after a restart.
#[derive(Serialize, Deserialize)]
struct Note {
    name: String,
    size: u64,
    mtime: Nanos,
    /// The generation that it is to replace, which the upload was told when it began; 0 for none.
    over: String,
    /// Address of the upload, which is a secret: whoever has it may go on with it.
    session: String,
}

impl Store {
    fn upload_url(&self, kind: &str, expect: Expect<'_>) -> String {
        let mut query = vec![("uploadType", kind), condition(expect), ("fields", super::FIELDS)];
        query.extend(self.kms_key.as_deref().map(|key| ("kmsKeyName", key)));
        self.address(UPLOAD, "/o", query)
    }

    /// Writes a file in one request, only over what is expected to be there.
    pub fn put(
        &self,
        what: &str,
        name: &str,
        content: &dyn Content,
        mtime: Option<Nanos>,
        expect: Expect<'_>,
    ) -> Result<Entry> {
        let (size, mut small, mut sum) = (content.size(), Vec::new(), Md5::new());
        if size <= SMALL {
            read_whole(content, &mut small)?;
            sum.update(&small);
        } else {
            read_part(content, 0, size, &mut Vec::new(), &mut |bytes| sum.update(bytes))?;
        }
        // A change from here on doesn't match the sum any more, and the service refuses it.
        content.unchanged()?;
        let md5: [u8; 16] = sum.finalize().into();
        let wish = Wish {
            name,
            metadata: mtime.map(Metadata::of),
            md5_hash: Some(BASE64.encode(md5)),
            storage_class: self.class.as_deref(),
        };
        let Frame { content_type, mut head, tail } =
            Frame::new(what, &json(what, &wish)?, ANY_BYTES)?;
        let body = if size <= SMALL {
            head.extend(small);
            head.extend(tail);
            Payload::Bytes(&head)
        } else {
            Payload::Framed { head: &head, content, tail: &tail }
        };
        let url = self.upload_url("multipart", expect);
        let sent = self.ask::<Object>(what, &|| {
            let call = Call::new("POST", url.clone(), true);
            call.header("Content-Type", content_type.as_str()).payload(body)
        });
        let object = match sent {
            Err(fault) if fault.status == 412 => {
                let found = self.look(what, name)?;
                // The reply to a first attempt may have been lost, so this may be ours.
                let ours = |it: &Object| {
                    let is_new = expect != Expect::Version(&it.version());
                    fault.again && is_new && mtime.is_some_and(|mtime| it.is(size, md5, mtime))
                };
                match found {
                    Some(found) if ours(&found) => found,
                    found => {
                        let found = found.map(|found| found.entry(what)).transpose()?;
                        check(what, expect, found.as_ref())?;
                        // It is again what is expected.
                        return Err(fault.error);
                    }
                }
            }
            sent => sent?,
        };
        self.proven(what, name, &object, size, md5)
    }

    /// The state of a new file, if it is what was sent.
    fn proven(
        &self,
        what: &str,
        name: &str,
        object: &Object,
        size: u64,
        md5: [u8; 16],
    ) -> Result<Entry> {
        let entry = object.entry(what)?;
        if entry.print.size != size || entry.hash.is_some_and(|hash| hash != Hash::Md5(md5)) {
            // Nobody must take this for the file: better none, as it is about to be sent again.
            self.delete(what, name, &entry.print.version)?;
            let cause = "the service stored something else than was sent";
            return Err(Error::new(Kind::Integrity, what, cause));
        }
        Ok(entry)
    }

    /// Writes a file in parts, only over what is expected to be there.
    pub fn put_parts(
        &self,
        what: &str,
        name: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Entry> {
        let seen = self.look(what, name)?.map(|found| found.entry(what)).transpose()?;
        let content = &Summed::new(content);
        let parts = Parts { api: &self.api, what, content, size: self.part_size, compares: true };
        let size = content.size();
        let over = condition(expect).1;
        let is_this =
            |it: &Note| (&*it.name, it.size, it.mtime, &*it.over) == (name, size, mtime, over);
        let mut known = notes::saved::<Note>(resume);
        if let Some(other) = known.take_if(|note| !is_this(note)) {
            // What can't be dropped, Google drops within a week.
            let _ = Parts::forget(&self.api, &other.session);
        }
        for _ in 0..SESSIONS {
            let (session, from) = match known.take() {
                Some(note) => match parts.ask_how_far::<Object>(&note.session)? {
                    Step::Kept(from) => (note.session, from),
                    Step::Lost => continue,
                    // Google tells how the file was then.
                    Step::Done(object) => {
                        content.read_to(size)?;
                        let is_there =
                            seen.as_ref().is_some_and(|it| it.print.version == object.version());
                        match content.hash() {
                            Hash::Md5(md5) if is_there && object.is(size, md5, mtime) => {
                                return object.entry(what);
                            }
                            _ => continue,
                        }
                    }
                },
                None => {
                    check(what, expect, seen.as_ref())?;
                    let session = self.begin(what, name, size, mtime, expect)?;
                    let (name, over, session) = (name.into(), over.into(), session);
                    let note = Note { name, size, mtime, over, session };
                    notes::save(what, resume, &note)?;
                    (note.session, 0)
                }
            };
            match parts.send::<Object>(&session, from) {
                Ok(Some(object)) => {
                    // Some of it may have been sent before a restart.
                    content.read_to(size)?;
                    let Hash::Md5(md5) = content.hash() else { return object.entry(what) };
                    return self.proven(what, name, &object, size, md5);
                }
                Ok(None) => {}
                Err(error) => {
                    if !notes::can_go_on(&error) {
                        let _ = Parts::forget(&self.api, &session);
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::new(Kind::Busy, what, "Google loses every upload"))
    }

    /// Begins an upload in parts and tells its address.
    fn begin(
        &self,
        what: &str,
        name: &str,
        size: u64,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<String> {
        let (metadata, storage_class) = (Some(Metadata::of(mtime)), self.class.as_deref());
        let wish = json(what, &Wish { name, metadata, md5_hash: None, storage_class })?;
        let url = self.upload_url("resumable", expect);
        let reply = self.send(what, &|| {
            with_json("POST", &url, &wish)
                .header("X-Upload-Content-Type", ANY_BYTES)
                .header("X-Upload-Content-Length", size.to_string())
        })?;
        let session = Parts::address(what, &self.base, UPLOAD, &reply);
        reply.drain();
        session
    }

    /// Drops an upload that nobody will finish.
    pub fn drop_noted(&self, note: &[u8]) -> Result<()> {
        let Ok(note) = postcard::from_bytes::<Note>(note) else { return Ok(()) };
        google::Parts::forget(&self.api, &note.session)
    }
}
