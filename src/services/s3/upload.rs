//! Writing files: in one request, or in parts that go on after a restart.

use super::super::fault::{Fault, Look};
use super::super::notes;
use super::super::parts::{SMALL, lock, read_block, whole};
use super::super::seconds;
use super::request::{Ask, is_unsupported};
use super::xml::{not_s3, parse};
use super::{MIB, Store, md5_of};
use crate::blocks::{Block, Blocks, Cutter, Index, Limits};
use crate::content::Content;
use crate::error::{Error, Kind, Reaction, Result};
use crate::hash::Hash;
use crate::http::sigv4::UNSIGNED_PAYLOAD;
use crate::http::{Payload, Reply};
use crate::model::{Nanos, RemotePrint, Version, to_hex};
use crate::remote::conditions::{Support, check};
use crate::remote::{Entry, Expect, Resume, Written};
use crc64fast::Digest as Crc64;
use md5::{Digest as _, Md5};
use quick_xml::escape::escape;
use ring::digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// From this size on the service is asked whether the condition holds before the body is sent.
const LARGE: u64 = MIB;
const STORED_OTHER: &str = "the service stored something else than was sent";
/// An ETag that no object has.
const WRONG_ETAG: &str = "\"00000000000000000000000000000000\"";

/// A file or a part of one, hashed and ready to be sent.
pub(super) struct Body<'a> {
    pub payload: Payload<'a>,
    length: u64,
    pub md5: [u8; 16],
    pub sha256: String,
    /// `None` where the service tells none to compare it with, and of parts.
    crc64: Option<u64>,
    /// `None` where nobody keeps it.
    block: Option<Block>,
}

/// The sums of a body.
struct Sums {
    md5: Md5,
    crc64: Option<Crc64>,
    /// `None` where it isn't needed.
    sha256: Option<digest::Context>,
    /// What it is needed for: to sign the body, and to know it again.
    signs: bool,
    keeps: bool,
}

impl Sums {
    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some(crc64) = &mut self.crc64 {
            crc64.write(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    fn body(self, payload: Payload<'_>, length: u64) -> Body<'_> {
        let sum = self.sha256.map(digest::Context::finish);
        let sha256 = sum.filter(|_| self.signs).map(|sum| to_hex(sum.as_ref()));
        let sha256 = sha256.unwrap_or_else(|| UNSIGNED_PAYLOAD.into());
        let block = sum.filter(|_| self.keeps).map(|sum| Block::of(length, &sum));
        let crc64 = self.crc64.map(|sum| sum.sum64());
        Body { payload, length, md5: self.md5.finalize().into(), sha256, crc64, block }
    }
}

/// What a crash must not lose of an upload in parts.
#[derive(Serialize, Deserialize, PartialEq)]
pub(super) struct Note {
    pub key: String,
    size: u64,
    mtime: Nanos,
    /// Fewest bytes of each part but the last, by which the file is cut.
    least_part: u64,
    /// Whether parts of it may have been copied.
    copies: bool,
    /// Empty from before the upload is begun until its ID is known.
    upload: String,
}

/// An upload in parts.
struct Upload<'a> {
    what: &'a str,
    content: &'a dyn Content,
    expect: Expect<'a>,
    note: Note,
    cutter: Cutter,
    /// Size and ETag of the parts that have arrived.
    done: HashMap<u64, (u64, Version)>,
    /// Whether somebody keeps its blocks.
    keeps: bool,
    /// Where what is to be replaced has its blocks.
    index: Index,
    /// Whether that has turned out to be true so far, and parts can be copied.
    is_true: AtomicBool,
}

/// All parts of a file.
struct Sent {
    /// By their numbers.
    etags: BTreeMap<u64, Version>,
    /// `None` where nobody keeps them.
    blocks: Option<Blocks>,
    /// Of the file, where the service tells one to compare it with.
    crc64: Option<u64>,
}

/// A part that hasn't arrived.
struct Part<'a> {
    number: u64,
    body: Body<'a>,
    /// Which bytes of what is to be replaced are the same.
    same: Option<Range<u64>>,
}

impl Store {
    /// Hashes a whole file; see [`whole`].
    pub fn body<'a>(&self, content: &'a dyn Content, buffer: &'a mut Vec<u8>) -> Result<Body<'a>> {
        let mut sums = Sums { crc64: self.crc64(), ..self.sums(false) };
        let payload = whole(content, buffer, &mut |bytes| sums.update(bytes))?;
        Ok(sums.body(payload, content.size()))
    }

    /// Hashes the part of a file that begins here, which is read again to be sent, and adds it to the
    /// sum of all.
    fn part<'a>(
        &self,
        upload: &Upload<'a>,
        from: u64,
        cutter: &mut Cutter,
        buffer: &mut Vec<u8>,
        all: &mut Option<Crc64>,
    ) -> Result<Body<'a>> {
        let (content, mut sums) = (upload.content, self.sums(upload.keeps));
        let length = read_block(content, from, cutter, buffer, &mut |bytes| {
            sums.update(bytes);
            if let Some(all) = all {
                all.write(bytes);
            }
        })?;
        Ok(sums.body(Payload::Part { content, from, length }, length))
    }

    fn sums(&self, keeps: bool) -> Sums {
        // TLS protects what is sent from a third party, and MD5 from accidents. Without TLS
        // some services accept only a signed body.
        let signs = !self.address.tls();
        let sha256 = (signs || keeps).then(|| digest::Context::new(&digest::SHA256));
        Sums { md5: Md5::new(), crc64: None, sha256, signs, keeps }
    }

    /// A sum for what the service tells of the whole object.
    pub fn crc64(&self) -> Option<Crc64> {
        self.dialect.names.crc64.map(|_| Crc64::new())
    }

    /// What the service says is the CRC-64 of the whole object.
    pub fn told_crc64(&self, reply: &Reply) -> Option<u64> {
        reply.header(self.dialect.names.crc64?)?.parse().ok()
    }

    /// Writes a file in one request, only over what is expected to be there.
    pub fn put(
        &self,
        what: &str,
        key: &str,
        body: &Body<'_>,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<Entry> {
        // What is tried once to find out whether conditions count is sent twice.
        let probing = body.length <= SMALL;
        let look = || self.check(what, key, expect);
        loop {
            let support = self.conditions.support(expect);
            if support != Support::Honoured {
                // RACE: what another program writes from here until the PUT arrives is
                // overwritten when the service doesn't check the condition.
                look()?;
            }
            if let (Support::Unknown, true, Expect::Version(_)) = (support, probing, expect) {
                let wrong = Some(("if-match", WRONG_ETAG.into()));
                match self.put_once(what, key, body, mtime, wrong, Some(&look)) {
                    // Written although the condition was wrong; but what was there was expected.
                    Ok(entry) => {
                        self.conditions.ignored(expect);
                        return Ok(entry);
                    }
                    Err(fault) if fault.again && self.is_refused(&fault, expect) => {
                        if let Some(entry) = self.find_ours(what, key, body, mtime, expect)? {
                            return Ok(entry);
                        }
                    }
                    Err(fault) if self.is_refused(&fault, expect) => {
                        self.conditions.honoured(expect)
                    }
                    Err(fault) if is_unsupported(&fault) => self.conditions.ignored(expect),
                    Err(fault) => return Err(fault.into()),
                }
                continue;
            }
            let condition = (support != Support::Ignored).then(|| self.condition(expect));
            let conditional = condition.is_some();
            let again = (support != Support::Honoured).then_some(&look as Look<'_>);
            match self.put_once(what, key, body, mtime, condition, again) {
                Ok(entry) => {
                    let learn = support == Support::Unknown && probing;
                    let later = learn.then(|| self.learn_create(what, key, body, mtime, &entry));
                    return Ok(later.flatten().unwrap_or(entry));
                }
                Err(fault) if fault.again && self.is_refused(&fault, expect) => {
                    if let Some(entry) = self.find_ours(what, key, body, mtime, expect)? {
                        return Ok(entry);
                    }
                }
                Err(fault) if conditional && self.is_refused(&fault, expect) => {
                    look()?;
                    // Refused although it holds (Ceph 16 does that with every If-Match).
                    self.conditions.ignored(expect);
                }
                Err(fault) if conditional && is_unsupported(&fault) => {
                    self.conditions.ignored(expect);
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// What an earlier attempt wrote whose reply was lost; `None` where the next may be made.
    ///
    /// # Errors
    /// `Exists` or `Changed` when something else is there than what is expected.
    fn find_ours(
        &self,
        what: &str,
        key: &str,
        body: &Body<'_>,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<Option<Entry>> {
        let (found, sent) = (self.head(what, key)?, Version::new(to_hex(&body.md5)));
        if let Some(ours) = found.clone().filter(|it| is_ours(it, body.length, &sent, mtime)) {
            return Ok(Some(ours));
        }
        check(what, expect, found.as_ref())?;
        Ok(None)
    }

    /// Repeats a write that has just been done: a service that checks `If-None-Match` refuses it.
    /// Otherwise tells the state after the second one.
    fn learn_create(
        &self,
        what: &str,
        key: &str,
        body: &Body<'_>,
        mtime: Nanos,
        first: &Entry,
    ) -> Option<Entry> {
        let absent = Expect::Absent;
        let expect = Expect::Version(&first.print.version);
        let look = || self.check(what, key, expect);
        // RACE: a service that doesn't check lets this overwrite what another program wrote
        // since the first one, as any write there does.
        match self.put_once(what, key, body, mtime, Some(self.condition(absent)), Some(&look)) {
            Ok(entry) => {
                self.conditions.ignored(absent);
                return Some(entry);
            }
            Err(fault) if !fault.again && self.is_refused(&fault, absent) => {
                self.conditions.honoured(absent);
            }
            Err(fault) if is_unsupported(&fault) => self.conditions.ignored(absent),
            // The next write asks again.
            Err(fault) => tracing::debug!(what, reason = fault.error.reason(), "nothing learnt"),
        }
        None
    }

    fn put_once(
        &self,
        what: &str,
        key: &str,
        body: &Body<'_>,
        mtime: Nanos,
        condition: Option<(&'static str, String)>,
        again: Option<Look<'_>>,
    ) -> Result<Entry, Fault> {
        let mut ask = Ask::new("PUT", key)
            .body(body)
            .again(again)
            .header(self.dialect.names.mtime, seconds::format(mtime));
        ask.headers.extend(self.kept_as.iter().cloned());
        if let Some(condition) = condition {
            ask.headers.push(condition);
            if body.length >= LARGE {
                ask = ask.header("expect", "100-continue");
            }
        }
        let reply = self.send(what, &ask)?;
        let foreign = self.has_foreign_etag(&reply);
        let is_other = differ(self.told_crc64(&reply), body.crc64);
        let version = reply.header("etag").map(|etag| self.version(etag)).unwrap_or_default();
        reply.drain();
        if version.is_empty() {
            let gone = || Error::new(Kind::Changed, what, "it is gone right after it was written");
            return Ok(self.head(what, key)?.ok_or_else(gone)?);
        }
        if is_other || !foreign && md5_of(&version).is_some_and(|sum| sum != body.md5) {
            // Nobody must take this for the file: better none, as it is about to be sent again.
            self.delete(what, key, Some(&version))?;
            return Err(Error::new(Kind::Integrity, what, STORED_OTHER).into());
        }
        let print = RemotePrint::file(body.length, version, Some(mtime));
        Ok(Entry::file(print, Some(Hash::Md5(body.md5))))
    }

    pub fn put_parts(
        &self,
        what: &str,
        key: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        self.check(what, key, expect)?;
        let size = content.size();
        let replaced = resume.blocks(expect);
        let index = replaced.as_ref().map(Blocks::index).unwrap_or_default();
        let keeps = replaced.is_some();
        // What nobody will know again needn't be cut by what is in it.
        let limits = Limits { equal: self.limits.equal || !keeps, ..self.limits };
        let saved = notes::saved::<Note>(resume);
        let is_this = |it: &Note| it.key == key && it.size == size && it.mtime == mtime;
        let known = match saved {
            // It has another name by now. What can't be dropped is left to the lifecycle rules.
            Some(note) if !is_this(&note) => {
                let _ = self.drop_noted(what, &note);
                None
            }
            Some(note) if note.upload.is_empty() => {
                // What can't be dropped is left to the bucket's lifecycle rules.
                let _ = self.drop_unnoted(what, key);
                None
            }
            // Not a note of ours if it asks for parts that can't be.
            Some(note) if note.least_part > 0 && size.div_ceil(note.least_part) <= limits.count => {
                let parts = self.parts(what, &note)?;
                if parts.is_none() {
                    let _ = self.drop_noted(what, &note);
                }
                parts.map(|parts| (note, parts))
            }
            _ => None,
        };
        let (note, done) = match known {
            Some(known) => known,
            None => {
                let least_part = limits.smallest(size, self.part_size);
                let copies = !index.is_empty() && self.copies.load(Relaxed);
                let (key, upload) = (key.into(), String::new());
                let note = Note { key, size, mtime, least_part, copies, upload };
                (self.begin_parts(what, note, resume)?, HashMap::new())
            }
        };
        let (cutter, is_true) = (limits.cutter(note.least_part), AtomicBool::new(true));
        let upload = Upload { what, content, expect, note, cutter, done, keeps, index, is_true };
        match self.finish_or_drop(&upload) {
            // Not every service lets what was copied wrongly be replaced (rclone serve s3).
            Err(_) if !upload.is_true.load(Relaxed) => {
                let note = Note { copies: false, upload: String::new(), ..upload.note };
                let note = self.begin_parts(what, note, resume)?;
                self.finish_or_drop(&Upload { note, done: HashMap::new(), ..upload })
            }
            finished => finished,
        }
    }

    /// Begins an upload, which is noted before and after.
    fn begin_parts(&self, what: &str, mut note: Note, resume: &dyn Resume) -> Result<Note> {
        notes::save(what, resume, &note)?;
        note.upload = self.start_parts(what, &note.key, note.mtime)?;
        notes::save(what, resume, &note)?;
        Ok(note)
    }

    fn finish_or_drop(&self, upload: &Upload<'_>) -> Result<Written> {
        self.finish_parts(upload).inspect_err(|error| {
            if !notes::can_go_on(error) {
                // What can't be dropped is left to the bucket's lifecycle rules.
                let _ = self.drop_parts(upload.what, &upload.note.key, &upload.note.upload);
            }
        })
    }

    pub fn drop_noted(&self, what: &str, Note { key, upload, .. }: &Note) -> Result<()> {
        match upload.as_str() {
            "" => self.drop_unnoted(what, key),
            upload => self.drop_parts(what, key, upload),
        }
    }

    fn drop_parts(&self, what: &str, key: &str, upload: &str) -> Result<()> {
        let query = [("uploadId", upload)];
        match self.send(what, &Ask::new("DELETE", key).query(&query)) {
            Ok(reply) => reply.drain(),
            Err(fault) if &*fault.code == "NoSuchUpload" => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    /// Drops an upload that was begun when a crash kept its ID from being noted.
    fn drop_unnoted(&self, what: &str, key: &str) -> Result<()> {
        let query = [("prefix", key), ("uploads", "")];
        let reply = self.send(what, &Ask::new("GET", "").query(&query))?;
        let (mut at, mut upload, mut found) = (String::new(), String::new(), Vec::new());
        self.document(what, reply, "ListMultipartUploads", &mut |path, text| {
            match path {
                "Upload/Key" => at = text,
                "Upload/UploadId" => upload = text,
                "Upload" if at == key => found.push(std::mem::take(&mut upload)),
                _ => {}
            }
            Ok(())
        })?;
        // RACE: another program's upload of this very file is dropped, too. It fails then, and
        // nothing of it is lost.
        found.iter().try_for_each(|upload| self.drop_parts(what, key, upload))
    }

    fn start_parts(&self, what: &str, key: &str, mtime: Nanos) -> Result<String> {
        let mut ask = Ask::new("POST", key).query(&[("uploads", "")]).bytes(&[]);
        ask.headers = self.kept_as.clone();
        let ask = ask.header(self.dialect.names.mtime, seconds::format(mtime));
        let reply = self.send(what, &ask)?;
        let mut upload = String::new();
        self.document(what, reply, "InitiateMultipartUpload", &mut |path, text| {
            if path == "UploadId" {
                upload = text;
            }
            Ok(())
        })?;
        if upload.is_empty() {
            return Err(not_s3(what, "the reply tells no upload ID"));
        }
        Ok(upload)
    }

    /// Size and ETag of the parts that have arrived; `None` when there is no such upload.
    fn parts(&self, what: &str, note: &Note) -> Result<Option<HashMap<u64, (u64, Version)>>> {
        let (mut parts, mut marker) = (HashMap::new(), String::from("0"));
        loop {
            let query = [("uploadId", note.upload.as_str()), ("part-number-marker", &marker)];
            let reply = match self.send(what, &Ask::new("GET", &note.key).query(&query)) {
                // It is finished, dropped or expired, or can't or may not be asked for: begin anew.
                Err(fault)
                    if matches!(&*fault.code, "NoSuchUpload" | "AccessDenied")
                        || is_unsupported(&fault) =>
                {
                    return Ok(None);
                }
                reply => reply?,
            };
            let (mut number, mut size, mut etag) = (0, 0, Version::default());
            let (mut more, mut next) = (false, String::new());
            self.document(what, reply, "ListParts", &mut |path, text| {
                match path {
                    "Part/PartNumber" => number = parse(what, &text)?,
                    "Part/Size" => size = parse(what, &text)?,
                    "Part/ETag" => etag = self.version(&text),
                    "Part" => {
                        parts.insert(number, (size, std::mem::take(&mut etag)));
                    }
                    "IsTruncated" => more = text == "true",
                    "NextPartNumberMarker" => next = text,
                    _ => {}
                }
                Ok(())
            })?;
            if !more {
                return Ok(Some(parts));
            }
            if parse::<u64>(what, &next)? <= parse::<u64>(what, &marker)? {
                return Err(not_s3(what, "the list of parts doesn't end"));
            }
            marker = next;
        }
    }

    fn finish_parts(&self, parts: &Upload<'_>) -> Result<Written> {
        let Upload { what, content, expect, note, .. } = parts;
        let Note { key, size, mtime, upload, .. } = note;
        let Sent { etags, blocks, crc64 } = self.send_parts(parts)?;
        let mut xml = String::from("<CompleteMultipartUpload>");
        for (number, etag) in etags {
            let etag = self.quoted(&etag);
            let etag = escape(etag.as_str());
            xml.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            ));
        }
        xml.push_str("</CompleteMultipartUpload>");
        content.unchanged()?;
        // The upload may have taken hours, and not every service checks conditions here.
        // RACE: there, what is written from here until the parts are joined is overwritten.
        let look = || self.check(what, key, *expect);
        look()?;
        let support = self.conditions.support(*expect);
        let conditional = support != Support::Ignored;
        let condition = conditional.then_some(*expect);
        let again = (support != Support::Honoured).then_some(&look as Look<'_>);
        let joined = match self.join_parts(what, key, upload, &xml, condition, again) {
            Err(fault)
                if conditional
                    && (is_unsupported(&fault)
                        || self.is_refused(&fault, *expect) && !fault.again) =>
            {
                // Refused although it holds? Then it is joined without.
                look()?;
                self.conditions.ignored(*expect);
                self.join_parts(what, key, upload, &xml, None, Some(&look))
            }
            joined => joined,
        };
        // The reply to a first attempt may have been lost. Then what is there was not a moment ago,
        // and has our time to the nanosecond.
        let lost = |fault: &Fault| {
            fault.again && (self.is_refused(fault, *expect) || &*fault.code == "NoSuchUpload")
        };
        let lost = joined.as_ref().is_err_and(lost);
        let joined_as = if lost { Version::default() } else { joined? };
        // Another may have been faster than this look. The ETag of the reply isn't always the one
        // that the object has (rclone serve s3).
        let seen = self.look(what, key)?.filter(|(it, _)| {
            let new = *expect != Expect::Version(&it.print.version);
            let ours = it.print.mtime == Some(*mtime);
            let known = if lost { new && ours } else { ours || joined_as == it.print.version };
            it.print.size == *size && known
        });
        let changed = || Error::new(Kind::Changed, *what, "it was changed in the meantime");
        let (entry, told) = seen.ok_or_else(changed)?;
        if differ(told, crc64) {
            self.delete(what, key, Some(&entry.print.version))?;
            return Err(Error::new(Kind::Integrity, *what, STORED_OTHER));
        }
        Ok(Written { blocks, ..entry.into() })
    }

    /// Sees to it that all parts arrive. They are hashed in their order by this thread, while those
    /// before are sent by others, as far as there are any free.
    fn send_parts(&self, parts: &Upload<'_>) -> Result<Sent> {
        let Upload { what, note, done, .. } = parts;
        let etags = Mutex::new(BTreeMap::new());
        let has_arrived = |number: u64, body: &Body<'_>| {
            let known = done.get(&number).filter(|(length, etag)| {
                *length == body.length && md5_of(etag).map_or(!note.copies, |sum| sum == body.md5)
            });
            known.map(|(_, etag)| lock(&etags).insert(number, etag.clone())).is_some()
        };
        let (mut at, mut number, mut buffer) = (0, 0, Vec::new());
        let mut cutter = parts.cutter.clone();
        let (mut blocks, mut crc64) = (parts.keeps.then(Blocks::default), self.crc64());
        let mut make = || {
            while at < note.size {
                let body = self.part(parts, at, &mut cutter, &mut buffer, &mut crc64)?;
                number += 1;
                at += body.length;
                if let (Some(blocks), Some(block)) = (&mut blocks, body.block) {
                    blocks.push(block);
                }
                if !has_arrived(number, &body) {
                    let block = body.block.filter(|_| note.copies);
                    let same = block.and_then(|block| parts.index.find(&block));
                    return Ok(Some(Part { number, body, same }));
                }
            }
            Ok(None)
        };
        let send = |part: Part<'_>| {
            let etag = match self.copy_part(parts, &part)? {
                Some(etag) => etag,
                None => self.put_part(what, note, &part)?,
            };
            lock(&etags).insert(part.number, etag);
            Ok(())
        };
        self.senders.send(what, &mut make, &send)?;
        let etags = std::mem::take(&mut *lock(&etags));
        Ok(Sent { etags, blocks, crc64: crc64.map(|sum| sum.sum64()) })
    }

    fn put_part(&self, what: &str, note: &Note, part: &Part<'_>) -> Result<Version> {
        let Part { number, body, .. } = part;
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", &note.upload)];
        let reply = self.send(what, &Ask::new("PUT", &note.key).query(&query).body(body))?;
        let version = reply.header("etag").map(|etag| self.version(etag)).unwrap_or_default();
        let wrong = md5_of(&version).is_some_and(|sum| sum != body.md5);
        if version.is_empty() || wrong && !self.has_foreign_etag(&reply) {
            let cause = format!("the service stored something else than was sent as part {number}");
            return Err(Error::new(Kind::Integrity, what, cause));
        }
        reply.drain();
        Ok(version)
    }

    /// Has the service copy a part out of what is to be replaced, and compares what came of it with
    /// the file. `None` when it has to be sent.
    ///
    /// # Errors
    /// `Integrity` when no part can be copied and this upload has to be begun anew, as
    /// `Upload::is_true` says from then on; `Changed`, and those of the request.
    fn copy_part(&self, parts: &Upload<'_>, part: &Part<'_>) -> Result<Option<Version>> {
        let Upload { what, expect, note, is_true, .. } = parts;
        let (Some(same), Expect::Version(version)) = (&part.same, expect) else { return Ok(None) };
        if !self.copies.load(Relaxed) {
            return Ok(None);
        }
        let (names, number) = (&self.dialect.names, part.number.to_string());
        let query = [("partNumber", number.as_str()), ("uploadId", &note.upload)];
        let mut ask = Ask::new("PUT", &note.key)
            .query(&query)
            .header(names.source, self.source(&note.key))
            .header(names.source_range, format!("bytes={}-{}", same.start, same.end - 1))
            .bytes(&[])
            .patient();
        ask.headers.extend(names.source_match.map(|name| (name, self.quoted(version))));
        let (mut etag, mut foreign) = (Version::default(), false);
        let copied = self.send(what, &ask).and_then(|reply| {
            foreign = self.has_foreign_etag(&reply);
            self.document(what, reply, "CopyPartResult", &mut |path, text| {
                if path == "ETag" {
                    etag = self.version(&text);
                }
                Ok(())
            })
        });
        match copied {
            Ok(()) if !foreign && md5_of(&etag) == Some(part.body.md5) => return Ok(Some(etag)),
            Ok(()) if foreign => self.copies.store(false, Relaxed),
            Ok(()) => {}
            Err(fault) => match fault.error.kind() {
                // A service that has no such thing may say so, or take it for an empty part.
                Kind::Protocol => self.copies.store(false, Relaxed),
                _ if is_unsupported(&fault) => self.copies.store(false, Relaxed),
                // Nothing is sent over another version; and the bytes that are meant may not be
                // there, nor free to be read.
                kind if matches!(kind.reaction(), Reaction::Replan | Reaction::Skip) => {
                    self.check(what, &note.key, *expect)?;
                }
                _ => return Err(fault.into()),
            },
        }
        is_true.store(false, Relaxed);
        let cause = format!("the service copied something else than was meant as part {number}");
        Err(Error::new(Kind::Integrity, *what, cause))
    }

    fn join_parts(
        &self,
        what: &str,
        key: &str,
        upload: &str,
        xml: &str,
        expect: Option<Expect<'_>>,
        again: Option<Look<'_>>,
    ) -> Result<Version, Fault> {
        let query = [("uploadId", upload)];
        let ask = Ask::new("POST", key).query(&query).bytes(xml.as_bytes());
        let mut ask = ask.patient().again(again);
        ask.headers.extend(expect.map(|it| self.condition(it)));
        let reply = self.send(what, &ask)?;
        let mut version = Version::default();
        self.document(what, reply, "CompleteMultipartUpload", &mut |path, text| {
            if path == "ETag" {
                version = self.version(&text);
            }
            Ok(())
        })?;
        Ok(version)
    }
}

/// Whether two sums of one content differ, as far as both are known.
pub(super) fn differ(told: Option<u64>, ours: Option<u64>) -> bool {
    told.zip(ours).is_some_and(|(told, ours)| told != ours)
}

/// Whether a file can only be the one that was sent.
fn is_ours(entry: &Entry, size: u64, sent: &Version, mtime: Nanos) -> bool {
    entry.print == RemotePrint::file(size, sent.clone(), Some(mtime))
}

#[cfg(test)]
mod tests {
    use super::super::tests::store;
    use super::*;
    use crate::http::sigv4::sha256_hex;

    struct Zeros(u64);

    impl Content for Zeros {
        fn size(&self) -> u64 {
            self.0
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            let count = buffer.len().min(1000).min(usize::try_from(self.0 - offset).unwrap());
            buffer[..count].fill(0);
            Ok(count)
        }

        fn unchanged(&self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_sent_has_a_sum() {
        for size in [0, 1, SMALL, SMALL + 1] {
            let content = Zeros(size);
            let zeros = vec![0; usize::try_from(size).unwrap()];
            for (endpoint, sum) in
                [("http://nas", sha256_hex(&zeros)), ("https://nas", UNSIGNED_PAYLOAD.to_owned())]
            {
                let store = store(&[("endpoint", endpoint)]).unwrap();
                let mut buffer = Vec::new();
                let body = store.body(&content, &mut buffer).unwrap();
                assert_eq!(body.md5, <[u8; 16]>::from(Md5::digest(&zeros)), "{size}");
                assert_eq!(body.sha256, sum, "{size}");
                assert_eq!(body.payload.length(), Some(size));
                let call = store.signed(&Ask::new("PUT", "a").body(&body));
                assert!(call.headers.iter().any(|(name, _)| *name == "content-md5"));
            }
        }
    }
}
