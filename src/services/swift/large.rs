//! Large files: static large objects, whose segments are cut by what is in them.
//!
//! A new version of a file is made of the segments of the old one as far as they are in it, too, and
//! only the others are sent: their sizes and MD5s stand in its manifest. What the new manifest
//! doesn't name is removed after it is there.

use super::listing::Row;
use super::request::{Ask, Info};
use super::{Item, Large, SEGMENTS, Store, is_true, quoted, seconds};
use crate::blocks::{Block, BlockHash, Cutter, Limits};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::Hash;
use crate::http::Payload;
use crate::model::{Nanos, RemotePrint, Version, from_hex, to_hex};
use crate::random::random;
use crate::remote::conditions::{Support, check};
use crate::remote::{Composition, Entry, Expect, Resume};
use crate::services::fault::{Fault, Look};
use crate::services::notes;
use crate::services::parts::{Body, read_block, read_part};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

/// Bytes of the name of a segment that come after the folder of its upload.
const NUMBER: usize = "/00000001".len();
/// Enough segments of a file to be listed: as many as the service tells at once where it isn't set
/// otherwise, which is more than a file has.
const MOST_LISTED: usize = 10_000;
/// The service looks at every segment before it takes a manifest.
const JOIN_PATIENCE: Duration = Duration::from_secs(600);

/// What a crash must not lose of an upload in segments.
#[derive(Serialize, Deserialize, PartialEq)]
struct Note {
    key: String,
    size: u64,
    mtime: Nanos,
    /// Where its segments lie, in their container.
    folder: String,
}

/// A segment of a file, or another piece of it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Segment {
    /// `/container/name`; empty for bytes in the manifest itself.
    name: String,
    bytes: u64,
    hash: String,
    /// It is a part of that object only.
    range: Option<String>,
    /// It is a large object itself.
    sub_slo: bool,
}

impl Segment {
    /// Size and MD5, where it is a whole plain object.
    pub fn block(&self) -> Option<([u8; 16], u64)> {
        let is_plain = !self.name.is_empty() && self.range.is_none() && !self.sub_slo;
        let md5 = from_hex(&self.hash)?.try_into().ok()?;
        is_plain.then_some((md5, self.bytes))
    }
}

/// The file that is to be written.
struct File<'a> {
    what: &'a str,
    content: &'a dyn Content,
    limits: Limits,
    note: Note,
}

/// Segments that needn't be sent.
struct Known {
    /// Names of those of the file that is to be replaced, by what is in them.
    replaced: HashMap<([u8; 16], u64), String>,
    /// Those that arrived before a stop, by their names.
    arrived: HashMap<String, Segment>,
}

impl Store {
    /// Writes a file as a large object, only over what is expected to be there.
    pub fn write_large(
        &self,
        what: &str,
        key: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Entry> {
        let (info, size) = (self.info(what)?, content.size());
        if info.slo.is_none() && size <= info.max_object() {
            return self.write_small(what, key, content, mtime, expect);
        }
        let limits = limits(&info);
        let Limits { count, most, .. } = limits;
        if size > count.saturating_mul(most) {
            let cause = format!("the service takes up to {count} times {most} bytes");
            return Err(Error::new(Kind::TooLarge, what, cause));
        }
        let found = self.head(what, key)?;
        check(what, expect, found.as_ref().map(Item::entry).as_ref())?;
        let mut replaced = self.segments_of(what, key, found.as_ref())?;
        let saved = notes::saved::<Note>(resume);
        let is_this = |it: &Note| it.key == key && it.size == size && it.mtime == mtime;
        let (note, arrived) = match saved {
            Some(note) if is_this(&note) => {
                let arrived = self.arrived(what, &note.folder)?;
                (note, arrived)
            }
            saved => {
                if let Some(note) = saved {
                    // It has another name or content by now. What can't be dropped costs storage.
                    let _ = self.drop_noted(what, &note);
                }
                let note = Note { key: key.into(), size, mtime, folder: folder(what, key)? };
                notes::save(what, resume, &note)?;
                (note, HashMap::new())
            }
        };
        let named = |it: &Segment| it.block().map(|block| (block, it.name.clone()));
        let known = Known { replaced: replaced.iter().filter_map(named).collect(), arrived };
        let file = File { what, content, limits, note };
        let entry = self.send_file(&file, &known, expect).inspect_err(|error| {
            if !notes::can_go_on(error) {
                let _ = self.drop_noted(what, &file.note);
            }
        })?;
        // Of an upload that was stopped before the size of segments was set anew.
        replaced.extend(known.arrived.into_values());
        self.remove_replaced(what, key, replaced);
        Ok(entry)
    }

    /// Sends the segments that aren't there, and then their list.
    fn send_file(&self, file: &File<'_>, known: &Known, expect: Expect<'_>) -> Result<Entry> {
        let File { what, content, limits, note } = file;
        let Note { size, folder, .. } = note;
        let mut cutter = self.cutter_of(limits, *size);
        let (mut whole, mut buffer, mut at) = (Md5::new(), Vec::new(), 0);
        let mut list = Vec::new();
        let has_arrived = |name: &str, block| {
            known.arrived.get(name).is_some_and(|segment| segment.block() == Some(block))
        };
        let mut make = || {
            while at < *size {
                let (from, mut md5) = (at, Md5::new());
                let length = read_block(*content, from, &mut cutter, &mut buffer, &mut |bytes| {
                    whole.update(bytes);
                    md5.update(bytes);
                })?;
                at += length;
                let md5: [u8; 16] = md5.finalize().into();
                let number = list.len() + 1;
                let own = format!("/{}{SEGMENTS}/{folder}/{number:08}", self.container);
                let name = known.replaced.get(&(md5, length)).unwrap_or(&own).clone();
                let is_there = name != own || has_arrived(&own, (md5, length));
                list.push((name, md5, length));
                if !is_there {
                    let payload = Payload::Part { content: *content, from, length };
                    return Ok(Some((own, Body { payload, length, md5 })));
                }
            }
            Ok(None)
        };
        let send = |(name, body): (String, Body<'_>)| self.put_segment(what, &name, &body);
        self.senders.send(what, &mut make, &send)?;
        content.unchanged()?;
        self.join(file, &list, whole.finalize().into(), expect)
    }

    fn cutter_of(&self, limits: &Limits, size: u64) -> Cutter {
        limits.cutter(limits.smallest(size, self.segment_size))
    }

    fn put_segment(&self, what: &str, name: &str, body: &Body<'_>) -> Result<()> {
        // Their container may have to be made first, which is told before the body is sent.
        let ask = Ask::new("PUT", name).body(body).header("expect", "100-continue");
        let sent = match self.send(what, &ask) {
            Err(fault) if fault.error.kind() == Kind::NotFound => {
                self.make_segments_container(what)?;
                self.send(what, &ask)
            }
            sent => sent,
        };
        sent?.drain();
        Ok(())
    }

    /// Makes the container of the segments, kept as the files are.
    fn make_segments_container(&self, what: &str) -> Result<()> {
        let target = format!("/{}", self.container);
        let reply = self.send(what, &Ask::new("HEAD", &target));
        let reply = reply.map_err(|fault| self.of_container(fault, &self.container))?;
        let policy = reply.header("x-storage-policy").map(str::to_owned);
        reply.drain();
        let name = format!("{}{SEGMENTS}", self.container);
        self.make_container(what, &name, policy.as_deref())
    }

    /// Makes the file of its segments, each with name, MD5 and size.
    fn join(
        &self,
        file: &File<'_>,
        segments: &[(String, [u8; 16], u64)],
        md5: [u8; 16],
        expect: Expect<'_>,
    ) -> Result<Entry> {
        let File { what, note: Note { key, size, mtime, .. }, .. } = file;
        let (mut manifest, mut sum) = (Vec::new(), Md5::new());
        for (path, md5, size_bytes) in segments {
            let etag = to_hex(md5);
            sum.update(&etag);
            manifest.push(json!({ "path": path, "etag": etag, "size_bytes": size_bytes }));
        }
        let version = Version::new(to_hex(&sum.finalize()));
        let look = || self.check(what, key, expect);
        let is_checked = self.conditions.support(expect) == Support::Honoured;
        let again = (!is_checked).then_some(&look as Look<'_>);
        if !is_checked {
            // RACE: what another program writes between this look and the manifest is overwritten.
            look()?;
        }
        let entry =
            Entry::file(RemotePrint::file(*size, version, Some(*mtime)), Some(Hash::Md5(md5)));
        let is_new = expect == Expect::Absent;
        let manifest = json!(manifest).to_string();
        match self.put_manifest(what, key, &manifest, &entry, is_new, again) {
            Ok(()) => Ok(entry),
            Err(fault) if fault.status == 412 => {
                self.refused(what, key, fault, &entry.print, expect)
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Puts a list of segments in the place of the file that they are. The service compares them
    /// with their sums and sizes, and all of it with the version.
    fn put_manifest(
        &self,
        what: &str,
        key: &str,
        manifest: &str,
        entry: &Entry,
        is_new: bool,
        again: Option<Look<'_>>,
    ) -> Result<(), Fault> {
        let target = self.target(key);
        let version = &entry.print.version;
        let mut ask = Ask::new("PUT", &target)
            .query(&[("multipart-manifest", "put")])
            .header("etag", version.as_str())
            .payload(Payload::Bytes(manifest.as_bytes()))
            .patience(JOIN_PATIENCE)
            .again(again);
        let mtime = entry.print.mtime.map(seconds::format);
        ask.headers.extend(mtime.map(|mtime| ("x-object-meta-mtime", mtime)));
        if let Some(Hash::Md5(sum)) = entry.hash {
            ask = ask.header("x-object-meta-md5chksum", BASE64.encode(sum));
        }
        if is_new {
            ask = ask.header("if-none-match", "*");
        }
        let reply = self.send(what, &ask).map_err(|fault| match fault.status {
            // One of them isn't there any more, or is another.
            400 => Fault { error: fault.error.meaning(Kind::Changed), ..fault },
            _ => fault,
        })?;
        let stored = reply.header("etag").map(Version::from_etag);
        reply.drain();
        if stored.as_ref() != Some(version) {
            let cause = "the service joined something else than was sent";
            return Err(Error::new(Kind::Integrity, what, cause).into());
        }
        Ok(())
    }

    // ---- segments that are there

    /// The segments of a file that are its own: they lie below its name.
    pub fn segments_of(&self, what: &str, key: &str, item: Option<&Item>) -> Result<Vec<Segment>> {
        let mut segments = match item {
            Some(item) => self.segments(what, key, item)?,
            None => Vec::new(),
        };
        segments.retain(|it| self.is_own(key, &it.name));
        Ok(segments)
    }

    /// What a large file is made of, in its order. Empty for any other, and where it was changed
    /// after the look at it.
    pub fn segments(&self, what: &str, key: &str, item: &Item) -> Result<Vec<Segment>> {
        let segments = match &item.large {
            Large::No => Vec::new(),
            Large::Static => self.manifest(what, key)?,
            Large::Dynamic(place) => {
                let place = percent_decode_str(place).decode_utf8_lossy();
                let (container, prefix) = place.split_once('/').unwrap_or((&place, ""));
                self.listed_segments(what, container, prefix)?
            }
        };
        let mut sum = Md5::new();
        for Segment { hash, range, .. } in &segments {
            sum.update(hash);
            if let Some(range) = range {
                sum.update(format!(":{range};"));
            }
        }
        let is_this = to_hex(&sum.finalize()) == item.version.as_str();
        Ok(if is_this { segments } else { Vec::new() })
    }

    fn manifest(&self, what: &str, key: &str) -> Result<Vec<Segment>> {
        let target = self.target(key);
        let ask = Ask::new("GET", &target).query(&[("multipart-manifest", "get")]);
        let reply = match self.send(what, &ask.header("x-newest", "true")) {
            Err(fault) if fault.error.kind() == Kind::NotFound => return Ok(Vec::new()),
            reply => reply?,
        };
        // Of any other object, this is the content.
        match reply.header("x-static-large-object").is_some_and(is_true) {
            true => reply.json(what),
            false => Ok(Vec::new()),
        }
    }

    /// The objects of a container whose names begin so, or at least [`MOST_LISTED`] of them. Some services
    /// tell short pages, so only an empty one is the end.
    fn listed_segments(&self, what: &str, container: &str, prefix: &str) -> Result<Vec<Segment>> {
        let segment = |row: Row| Segment {
            name: format!("/{container}/{}", row.key),
            bytes: row.size,
            hash: row.version.as_str().to_owned(),
            range: None,
            sub_slo: row.is_static,
        };
        let (mut segments, mut after) = (Vec::new(), String::new());
        while segments.len() < MOST_LISTED {
            let rows = match self.page(what, container, prefix, &after, None, true) {
                // No segment has been sent yet.
                Err(error) if error.kind() == Kind::NotFound => break,
                rows => rows?,
            };
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.key);
            segments.extend(rows.into_iter().map(segment));
        }
        Ok(segments)
    }

    /// The segments that an upload has sent, by their names.
    fn arrived(&self, what: &str, folder: &str) -> Result<HashMap<String, Segment>> {
        let container = format!("{}{SEGMENTS}", self.container);
        let listed = self.listed_segments(what, &container, &format!("{folder}/"))?;
        Ok(listed.into_iter().map(|it| (it.name.clone(), it)).collect())
    }

    /// Whether a segment is of this file alone.
    fn is_own(&self, key: &str, name: &str) -> bool {
        name.starts_with(&format!("/{}{SEGMENTS}/{key}/", self.container))
    }

    /// Removes the segments of a file that was replaced or removed, but for those that are in the
    /// present one, and where the container keeps old versions, which are made of them. What can't
    /// be removed does no harm but costs storage.
    pub fn remove_replaced(&self, what: &str, key: &str, replaced: Vec<Segment>) {
        if replaced.is_empty() {
            return;
        }
        let names = replaced.into_iter().map(|it| it.name);
        let removed = self.keeps_versions(what).and_then(|keeps| match keeps {
            true => Ok(()),
            false => self.remove_unused(what, key, names),
        });
        if let Err(error) = removed {
            tracing::warn!(what, reason = error.reason(), "old segments are left");
        }
    }

    /// Whether the container keeps old versions of its files, in either of the service's ways
    /// (<https://docs.openstack.org/swift/latest/middleware.html#object-versioning>).
    fn keeps_versions(&self, what: &str) -> Result<bool> {
        let reply = self.send(what, &Ask::new("HEAD", &format!("/{}", self.container)))?;
        let enabled =
            reply.header("x-versions-enabled").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let elsewhere = ["x-versions-location", "x-history-location"];
        let kept = enabled || elsewhere.iter().any(|name| reply.header(name).is_some());
        reply.drain();
        Ok(kept)
    }

    /// Removes segments of a file that it isn't made of at this moment.
    fn remove_unused(
        &self,
        what: &str,
        key: &str,
        names: impl Iterator<Item = String>,
    ) -> Result<()> {
        let used = match self.head(what, key)? {
            Some(item) if item.large != Large::No => {
                let segments = self.segments(what, key, &item)?;
                if segments.is_empty() {
                    return Err(Error::new(Kind::Changed, what, "it is being changed"));
                }
                segments.into_iter().map(|it| it.name).collect()
            }
            _ => HashSet::new(),
        };
        // RACE: a version that another program makes of these segments between the look and this
        // lacks them. It has to have looked before the present one was there.
        let unused: Vec<_> = names.filter(|name| !used.contains(name)).collect();
        self.remove_all(what, &unused)
    }

    /// Drops what the service has of an upload that nobody will finish.
    pub fn abandon_segments(&self, note: &[u8]) -> Result<()> {
        let Ok(note) = postcard::from_bytes::<Note>(note) else { return Ok(()) };
        self.drop_noted(&format!("dropping an unfinished upload of {}", note.key), &note)
    }

    fn drop_noted(&self, what: &str, Note { key, folder, .. }: &Note) -> Result<()> {
        // A note may be of another service that this one can be mistaken for.
        let Some(_) = folder.strip_prefix(key.as_str()).filter(|rest| rest.starts_with('/')) else {
            return Ok(());
        };
        let arrived = self.arrived(what, folder)?;
        // It may have been finished just before it was to be dropped.
        self.remove_unused(what, key, arrived.into_keys())
    }

    // ---- comparing and copying

    /// The segments of a file of this state, of which the service knows the MD5s.
    pub fn composition_of(
        &self,
        what: &str,
        key: &str,
        print: &RemotePrint,
    ) -> Result<Option<Composition>> {
        let item = self.file(what, key)?.filter(|item| item.version == print.version);
        let Some(item) = item.filter(|item| item.large != Large::No) else { return Ok(None) };
        let block = |segment: &Segment| {
            let (digest, length) = segment.block()?;
            Some(Block { length, digest })
        };
        let blocks = self.segments(what, key, &item)?.iter().map(block).collect();
        let cutter = self.cutter_of(&limits(&*self.info(what)?), print.size);
        let (entry, hash) = (item.entry(), BlockHash::Md5);
        let composed = |blocks| Composition { entry, blocks, cutter, hash };
        Ok(Option::map(blocks, composed))
    }

    /// Whether a large file of this version has this content, by the sums of its segments.
    pub fn has_segments_of(
        &self,
        what: &str,
        key: &str,
        version: &Version,
        content: &dyn Content,
    ) -> Result<Option<bool>> {
        let Some(item) = self.file(what, key)?.filter(|item| item.version == *version) else {
            return Ok(None);
        };
        let segments = self.segments(what, key, &item)?;
        let blocks: Option<Vec<_>> = segments.iter().map(Segment::block).collect();
        let Some(blocks) = blocks.filter(|blocks| !blocks.is_empty()) else { return Ok(None) };
        let (mut at, mut buffer) = (0, Vec::new());
        for (md5, length) in blocks {
            if length > content.size().saturating_sub(at) {
                return Ok(Some(false));
            }
            let mut sum = Md5::new();
            read_part(content, at, length, &mut buffer, &mut |bytes| sum.update(bytes))?;
            if <[u8; 16]>::from(sum.finalize()) != md5 {
                return Ok(Some(false));
            }
            at += length;
        }
        Ok(Some(at == content.size()))
    }

    /// Copies a large file segment by segment, so that each has its own.
    pub fn copy_segments(
        &self,
        what: &str,
        to: &str,
        source: &Entry,
        segments: &[Segment],
    ) -> Result<(), Fault> {
        let folder = folder(what, to)?;
        let mut manifest = Vec::new();
        let copied = segments.iter().enumerate().try_for_each(|(number, segment)| {
            let path = format!("/{}{SEGMENTS}/{folder}/{number:08}", self.container);
            let Segment { name, hash, bytes, .. } = segment;
            let ask = Ask::copy(name, &quoted(&Version::new(hash.as_str())), &path);
            self.send(what, &ask)?.drain();
            manifest.push(json!({ "path": path, "etag": hash, "size_bytes": bytes }));
            Ok::<_, Fault>(())
        });
        let look = || self.check(what, to, Expect::Absent);
        let joined = copied.and_then(|()| {
            let manifest = json!(manifest).to_string();
            self.put_manifest(what, to, &manifest, source, true, Some(&look))
        });
        joined.inspect_err(|_| {
            let names = manifest.iter().filter_map(|it| it["path"].as_str().map(str::to_owned));
            let _ = self.remove_unused(what, to, names);
        })
    }
}

/// What a service demands of the segments of a file.
fn limits(info: &Info) -> Limits {
    let slo = info.slo.as_ref();
    let count = slo.map_or(1, |slo| slo.max_manifest_segments.max(1));
    let least = slo.map_or(0, |slo| slo.min_segment_size);
    Limits { count, least, most: info.max_object(), equal: false }
}

/// A new folder for the segments of a file, which nobody else has.
fn folder(what: &str, key: &str) -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let folder = format!("{key}/{}-{}", now.as_secs(), to_hex(&random::<4>(what)?));
    let most = super::DESCRIPTOR.max_path - NUMBER;
    if folder.len() > most {
        let cause =
            format!("the path of a large file may have {} bytes", key.len() + most - folder.len());
        return Err(Error::new(Kind::BadName, what, cause).remedy("shorten its name or move it up"));
    }
    Ok(folder)
}
