//! Amazon S3 and everything that speaks its language.
//!
//! A bucket has keys, not folders. A file is the key `root/path`; a folder that exists of its own
//! is the empty key `root/path/`, told without the slash (bytes kept under such a key are left
//! alone). Keys that no path can name, with empty, `.` or `..` parts, are told to nobody and never
//! touched. The root itself always is there when the bucket is.
//!
//! Facts of services that are named here were tried on the real servers, or read in botocore.

use crate::content::Content;
use crate::error::{Error, Kind, Reaction, Result};
use crate::hash::{Hash, HashKind};
use crate::http::sigv4::{
    Signable, Signer, UNSIGNED_PAYLOAD, encode_path, encode_query, sha256_hex,
};
use crate::http::{self, Call, Http, Payload, Reply, content_range, drain, read_error};
use crate::model::{ItemKind, Nanos, RemotePrint, Version, from_hex, to_hex};
use crate::remote::conditions::{Conditions, Support, check};
use crate::remote::{
    Bucket, Descriptor, Download, Entry, Expect, Field, FieldKind, Listing, Made, Moves, NameRule,
    Needed, Place, Remote, Removal, Resume, Service, Settings, Written,
};
use crate::threads;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use ring::digest;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The service as the registry knows it.
pub struct S3;

const MIB: u64 = 1 << 20;
/// Largest object, and largest copy in one request, that the whole family takes.
const MAX_SIZE: u64 = 5 << 40;
const MAX_COPY: u64 = 5 << 30;
/// Most parts of an upload, most keys of a page and of a batch.
const MAX_PARTS: u64 = 10_000;
const MAX_KEYS: usize = 1000;
/// Up to this size a file is read once into memory; sending it twice costs little.
const SMALL: u64 = 256 << 10;
/// Bytes of a larger one that are hashed at once.
const PIECE: usize = 64 << 10;
/// Parts of large files that are on their way at the same time, beside those of files that are
/// sent by their own threads.
const SENDERS: usize = 3;
/// From this size on the service is asked whether the condition holds before the body is sent.
const LARGE: u64 = MIB;
/// Far more than a page of 1000 of the longest keys takes.
const XML_LIMIT: u64 = 16 * MIB;
/// Services refuse a clock that is 15 minutes off; some say only that access is denied.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// An ETag that no object has.
const WRONG_ETAG: &str = "\"00000000000000000000000000000000\"";

static DESCRIPTOR: Descriptor = Descriptor {
    name: "s3",
    label: "Amazon S3 and compatible",
    fields: &[
        Field {
            place: true,
            ..field(
                "endpoint",
                "Address",
                "https://host[:port]; left out for Amazon",
                FieldKind::Url,
                Needed::No,
            )
        },
        field(
            "region",
            "Region",
            "as the service calls it",
            FieldKind::Text,
            Needed::Default("us-east-1"),
        ),
        Field {
            place: true,
            ..field("bucket", "Bucket", "name of the bucket", FieldKind::Text, Needed::Yes)
        },
        field("access-key", "Access key", "ID of the access key", FieldKind::Text, Needed::Yes),
        field(
            "secret-key",
            "Secret key",
            "secret of the access key",
            FieldKind::Secret,
            Needed::Yes,
        ),
        field(
            "addressing",
            "Addressing",
            "where the bucket's name stands: in the path or in the host (virtual)",
            FieldKind::Choice(&["auto", "path", "virtual"]),
            Needed::Default("auto"),
        ),
        field(
            "part-size",
            "Part size",
            "MiB of each part of a large file, 5 to 5120",
            FieldKind::Number(5, 5120),
            Needed::Default("8"),
        ),
        field(
            "storage-class",
            "Storage class",
            "for what Mooring writes, such as STANDARD_IA",
            FieldKind::Text,
            Needed::No,
        ),
        field(
            "sse",
            "Encryption by the service",
            "to ask for on each write",
            FieldKind::Choice(&["none", "AES256"]),
            Needed::Default("none"),
        ),
    ],
    sign_in: None,
    task_fields: &[],
    listing: Listing::Flat,
    folders_implied: true,
    moves: Moves::Files,
    folds_case: false,
    namesakes: false,
    keeps_mtime: true,
    hash: Some(HashKind::Md5),
    max_size: Some(MAX_SIZE),
    max_path: 1024,
    names: NameRule { characters: "\"<>|{^}%`][~#", names: &[".", ".."], ..NameRule::NONE },
    stored_bytes: None,
    bucket: Some(Bucket { min: 3, max: 63, extra: ".-" }),
};

const fn field(
    key: &'static str,
    label: &'static str,
    help: &'static str,
    kind: FieldKind,
    needed: Needed,
) -> Field {
    Field { key, label, help, kind, needed, place: false }
}

impl Service for S3 {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        Ok(Arc::new(Store::open(settings, http, root)?))
    }
}

/// Where a bucket is found.
struct Address {
    tls: bool,
    /// Host and port; `None` for Amazon's own, which follows the region.
    authority: Option<String>,
    /// Path before the bucket.
    base: String,
    virtual_host: bool,
}

/// A folder of a bucket, opened.
struct Store {
    http: Http,
    address: Address,
    bucket: String,
    access_key: String,
    secret_key: String,
    /// Corrected by what the service tells.
    region: Mutex<String>,
    /// What comes before each path: empty, or the root with its slash.
    root: String,
    part_size: u64,
    /// Header fields of everything written.
    extra: Vec<(&'static str, String)>,
    conditions: Conditions,
    /// Whether a plain ETag is the MD5: 0 unknown, 1 yes, 2 no (encrypted with keys of KMS).
    etags: AtomicU8,
    /// Whether the service keeps the markers of folders: 0 unknown, 1 yes, 2 no.
    markers: AtomicU8,
    senders: Senders,
}

/// How many threads more may send parts.
struct Senders(AtomicUsize);

/// Those that one file has. They are free again when this is dropped.
struct Borrowed<'a> {
    of: &'a Senders,
    count: usize,
}

impl Senders {
    /// All that are free.
    fn borrow(&self) -> Borrowed<'_> {
        Borrowed { of: self, count: self.0.swap(0, Relaxed) }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.of.0.fetch_add(self.count, Relaxed);
    }
}

/// A request before it is signed.
struct Ask<'a> {
    method: &'static str,
    /// Whole key; empty for the bucket.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: Vec<(&'static str, String)>,
    payload: Payload<'a>,
    sha256: String,
}

impl<'a> Ask<'a> {
    fn new(method: &'static str, key: &'a str) -> Self {
        let sha256 = sha256_hex(b"");
        Ask { method, key, query: &[], headers: Vec::new(), payload: Payload::None, sha256 }
    }

    fn query(mut self, query: &'a [(&'a str, &'a str)]) -> Self {
        self.query = query;
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn bytes(mut self, bytes: &'a [u8]) -> Self {
        self.payload = Payload::Bytes(bytes);
        self.sha256 = sha256_hex(bytes);
        self
    }

    /// Every service checks one of both sums, so what arrives is what was hashed.
    fn body(mut self, body: &Body<'a>) -> Self {
        self.payload = body.payload;
        self.sha256 = body.sha256.clone();
        self.header("content-md5", BASE64.encode(body.md5))
    }
}

/// A file or a part of one, hashed and ready to be sent.
struct Body<'a> {
    payload: Payload<'a>,
    length: u64,
    md5: [u8; 16],
    sha256: String,
}

/// The sums of a body.
struct Sums {
    md5: Md5,
    /// `None` where it isn't needed.
    sha256: Option<digest::Context>,
}

impl Sums {
    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    fn body(self, payload: Payload<'_>, length: u64) -> Body<'_> {
        let sha256 = self.sha256.map(|sum| to_hex(sum.finish().as_ref()));
        let sha256 = sha256.unwrap_or_else(|| UNSIGNED_PAYLOAD.into());
        Body { payload, length, md5: self.md5.finalize().into(), sha256 }
    }
}

/// A reply that isn't a success, or none at all.
struct Fault {
    /// 0 when there was no reply.
    status: u16,
    code: Box<str>,
    /// It wasn't the first attempt that failed so: an earlier one may have been carried out.
    again: bool,
    error: Error,
}

impl Fault {
    /// The service can't do what a header field or a query asked for.
    fn is_unsupported(&self) -> bool {
        self.status == 501
            || matches!(&*self.code, "NotImplemented" | "MethodNotAllowed")
            || self.status == 400 && matches!(&*self.code, "InvalidArgument" | "InvalidRequest")
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault { status: 0, code: Box::default(), again: false, error }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

/// What a crash must not lose of an upload in parts.
#[derive(Serialize, Deserialize, PartialEq)]
struct Note {
    key: String,
    size: u64,
    mtime: Nanos,
    part_size: u64,
    /// Empty from before the upload is begun until its ID is known.
    upload: String,
}

#[derive(Default)]
struct Page {
    items: Vec<Item>,
    /// Prefixes that end in `/`, where folders were asked for without what is in them.
    folders: Vec<String>,
    encoded: bool,
    truncated: Option<bool>,
    token: String,
}

#[derive(Default)]
struct Item {
    key: String,
    size: u64,
    version: Version,
}

impl Store {
    fn open(settings: &Settings, http: Http, root: &str) -> Result<Store> {
        let get = |key| settings.get(&DESCRIPTOR, key);
        let wrong = |key: &str, cause: &str| {
            Error::new(Kind::Usage, format!("setting {key} of {}", DESCRIPTOR.label), cause)
                .remedy("see mooring service show s3")
        };
        DESCRIPTOR.check(settings)?;
        let bucket = get("bucket");
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(known) {
            return Err(wrong("bucket", "it has 3 to 63 of the characters a-z 0-9 . -"));
        }
        let region = get("region");
        if !is_region(region) {
            return Err(wrong("region", "it has the characters a-z 0-9 -"));
        }
        let part_size = u64::from(settings.number(&DESCRIPTOR, "part-size"));
        if !(5..=5120).contains(&part_size) {
            return Err(wrong("part-size", "it has to be from 5 to 5120"));
        }
        let mut address =
            Address { tls: true, authority: None, base: String::new(), virtual_host: false };
        let mut amazon = true;
        if let Some((scheme, rest)) = settings.given("endpoint").and_then(|it| it.split_once("://"))
        {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            if host.is_empty() || rest.contains(['@', '?', '#', '%', ' ']) {
                return Err(wrong(
                    "endpoint",
                    "it is more than a scheme, a host, a port and a path",
                ));
            }
            address.tls = scheme == "https";
            let port = if address.tls { ":443" } else { ":80" };
            let host = host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
            amazon = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
            // Amazon's plain addresses follow the region that the bucket turns out to be in.
            if !address.tls || host != amazon_host(region) && host != "s3.amazonaws.com" {
                address.authority = Some(host);
            }
            let path = path.trim_end_matches('/');
            if !path.is_empty() {
                address.base = format!("/{path}");
            }
        }
        address.virtual_host = match get("addressing") {
            "virtual" => true,
            "path" => false,
            // A certificate for *.host doesn't cover a bucket with dots.
            _ => amazon && !bucket.contains('.'),
        };
        let mut extra = Vec::new();
        if let Some(class) = settings.given("storage-class") {
            extra.push(("x-amz-storage-class", class.to_owned()));
        }
        if get("sse") != "none" {
            extra.push(("x-amz-server-side-encryption", get("sse").to_owned()));
        }
        let senders = http.connections().min(SENDERS);
        Ok(Store {
            http,
            address,
            bucket: bucket.into(),
            access_key: get("access-key").into(),
            secret_key: get("secret-key").into(),
            region: Mutex::new(region.into()),
            root: if root.is_empty() { String::new() } else { format!("{root}/") },
            part_size: part_size * MIB,
            extra,
            conditions: Conditions::default(),
            etags: AtomicU8::default(),
            markers: AtomicU8::default(),
            senders: Senders(AtomicUsize::new(senders)),
        })
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Key of a folder's marker; what is in it starts with the same. Empty for a bucket's root.
    fn folder_key(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}{path}/", self.root) }
    }

    // ---- requests

    fn signed<'a>(&self, ask: &Ask<'a>) -> Call<'a> {
        let region = self.region.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut host = self.address.authority.clone().unwrap_or_else(|| amazon_host(&region));
        let mut path = self.address.base.clone();
        if self.address.virtual_host {
            host = format!("{}.{host}", self.bucket);
        } else {
            path = format!("{path}/{}", self.bucket);
        }
        if !ask.key.is_empty() || path.is_empty() {
            path = format!("{path}/{}", ask.key);
        }
        let path = encode_path(&path);
        let query = encode_query(ask.query);
        let scheme = if self.address.tls { "https" } else { "http" };
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{scheme}://{host}{path}{mark}{query}");
        let signer = Signer {
            access_key: &self.access_key,
            secret_key: &self.secret_key,
            region: &region,
            service: "s3",
        };
        let signable = Signable {
            method: ask.method,
            host: &host,
            path: &path,
            query: &query,
            headers: &ask.headers,
            payload: &ask.sha256,
        };
        let signature = signer.sign(&signable, self.http.service_time());
        // Sending any request here twice does no harm: it writes the same again, or has a condition
        // whose failure is looked into, or leaves an upload without parts behind.
        let mut call = Call::new(ask.method, url, true).payload(ask.payload);
        call.headers.clone_from(&ask.headers);
        call.headers.extend(signature);
        call
    }

    /// Sends a request; learns the service's clock and the bucket's region when it has to.
    fn send(&self, what: &str, ask: &Ask<'_>) -> Result<Reply, Fault> {
        let (mut clock_set, mut region_set) = (false, false);
        loop {
            let mut attempts = 0;
            let reply = self.http.call(what, &mut || {
                attempts += 1;
                Ok(self.signed(ask))
            })?;
            if (200..300).contains(&reply.status) {
                return Ok(reply);
            }
            if reply.status == 403 && !clock_set && self.http.correct_clock(&reply, CLOCK_TOLERANCE)
            {
                clock_set = true;
                reply.drain();
                continue;
            }
            let status = reply.status;
            let mut region = reply.header("x-amz-bucket-region").map(str::to_owned);
            let fault = self.fault(what, ask.method == "HEAD", reply, &mut region);
            let region = region.filter(|region| is_region(region));
            if let (false, 301 | 307 | 400, Some(region)) = (region_set, status, region) {
                let mut current = self.region.lock().unwrap_or_else(PoisonError::into_inner);
                region_set = true;
                if *current != region {
                    *current = region;
                    continue;
                }
            }
            return Err(Fault { again: attempts > 1, ..fault });
        }
    }

    fn fault(&self, what: &str, head: bool, reply: Reply, region: &mut Option<String>) -> Fault {
        let status = reply.status;
        let html = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        let (mut code, mut message) = (String::new(), String::new());
        if head {
            reply.drain();
        } else {
            let mut reader = reply.into_reader();
            // An explanation that can't be read leaves the status to go by.
            let _ = walk(what, &mut reader, &mut |path, text| {
                match path {
                    "Error/Code" => code = text,
                    "Error/Message" => message = text,
                    "Error/Region" if region.is_none() => *region = Some(text),
                    _ => {}
                }
                Ok(())
            });
            drain(reader);
            if code.is_empty() && (html || status == 404) {
                // A proxy's or a router's page must not be taken for a file that is gone.
                return self.explain(what, status, "", "the reply isn't one of S3");
            }
        }
        self.explain(what, status, &code, &message)
    }

    /// The error that a service's code and message, or the bare status of a HEAD, stand for.
    fn explain(&self, what: &str, status: u16, code: &str, message: &str) -> Fault {
        let kind = kind_of(status, code, message);
        let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
        let cause = match (code, message.as_str()) {
            ("", "") => format!("the service answered with status {status}"),
            ("", message) => format!("{message} (status {status})"),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}, {message}"),
        };
        let error = Error::new(kind, what, cause);
        let error = match (kind, code) {
            (_, "NoSuchBucket") => error.remedy(format!(
                "make the bucket {} or correct the connection's bucket",
                self.bucket
            )),
            (_, "SignatureDoesNotMatch") => {
                // Swift says so of an unknown access key, too.
                error.remedy("check the connection's secret key and access key")
            }
            (_, "InvalidAccessKeyId") => error.remedy("check the connection's access key"),
            (_, "RequestTimeTooSkewed") => error.remedy("set the clock of this machine"),
            (_, "InvalidObjectState") => {
                error.remedy("it is archived: restore it with the service's own tools")
            }
            (_, "AuthorizationHeaderMalformed" | "PermanentRedirect") => {
                error.remedy("check the connection's region and address")
            }
            (Kind::Protocol, _) => error.remedy("check that the address is that of an S3 service"),
            _ => error,
        };
        Fault { status, code: code.into(), again: false, error }
    }

    /// Reads a reply that has to be an XML document whose root begins with `root` (moto and rclone
    /// end some in their own way); an error may come with status 200.
    fn document(
        &self,
        what: &str,
        reply: Reply,
        root: &str,
        on: &mut dyn FnMut(&str, String) -> Result<()>,
    ) -> Result<(), Fault> {
        let (mut code, mut message) = (String::new(), String::new());
        let found = walk(what, reply.into_reader(), &mut |path, text| match path {
            "Error/Code" => {
                code = text;
                Ok(())
            }
            "Error/Message" => {
                message = text;
                Ok(())
            }
            _ => on(path.split_once('/').map_or("", |(_, child)| child), text),
        })?;
        if found == "Error" {
            return Err(self.explain(what, 200, &code, &message));
        }
        if !found.starts_with(root) {
            return Err(not_s3(what, format!("the reply is <{found}>, not <{root}>")).into());
        }
        Ok(())
    }

    // ---- looking

    fn head(&self, what: &str, key: &str) -> Result<Option<Entry>> {
        match self.send(what, &Ask::new("HEAD", key)) {
            Ok(reply) => {
                let size = reply
                    .content_length()
                    .ok_or_else(|| not_s3(what, "the reply tells no size"))?;
                self.entry(what, &reply, size).map(Some)
            }
            Err(fault) if fault.error.kind() == Kind::NotFound => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The state of the file of `size` that the header fields of a HEAD or GET tell of.
    fn entry(&self, what: &str, reply: &Reply, size: u64) -> Result<Entry> {
        let version = reply.header("etag").map(Version::from_etag).unwrap_or_default();
        if version.is_empty() {
            return Err(not_s3(what, "the reply tells no ETag"));
        }
        let plain = !has_foreign_etag(reply);
        if plain {
            let _ = self.etags.compare_exchange(0, 1, Relaxed, Relaxed);
        } else {
            self.etags.store(2, Relaxed);
        }
        // rclone keeps the MD5 of what it sent in parts in a field of its own.
        let kept = || {
            let sum = BASE64.decode(reply.header("x-amz-meta-md5chksum")?).ok()?;
            sum.try_into().ok()
        };
        let md5 = md5_of(&version).filter(|_| plain).or_else(kept);
        let mtime = reply.header("x-amz-meta-mtime").and_then(parse_mtime);
        Ok(Entry::file(RemotePrint::file(size, version, mtime), md5.map(Hash::Md5)))
    }

    /// Whether the bucket keeps every version of its files.
    fn is_versioned(&self, what: &str) -> Result<bool> {
        let reply = self.send(what, &Ask::new("GET", "").query(&[("versioning", "")]))?;
        let mut versioned = false;
        self.document(what, reply, "VersioningConfiguration", &mut |path, text| {
            versioned |= path == "Status" && text == "Enabled";
            Ok(())
        })?;
        Ok(versioned)
    }

    /// One page of the keys that start with `prefix` and come after `after`, or after what
    /// `token` stands for.
    ///
    /// It is read to its end before anything is done with it: some services (MinIO) say only
    /// then how the keys are encoded, and what is done may take longer than they keep a
    /// connection waiting.
    fn page(
        &self,
        what: &str,
        prefix: &str,
        after: &str,
        token: &str,
        most: usize,
    ) -> Result<Page> {
        let from = match (token, after) {
            ("", "") => None,
            ("", after) => Some(("start-after", after)),
            (token, _) => Some(("continuation-token", token)),
        };
        self.listed(what, prefix, most, from.as_slice())
    }

    /// One page of the keys right below `prefix`, and of the folders there without what is in them.
    fn level(&self, what: &str, prefix: &str, token: &str) -> Result<Page> {
        let more = [("delimiter", "/"), ("continuation-token", token)];
        self.listed(what, prefix, MAX_KEYS, if token.is_empty() { &more[..1] } else { &more })
    }

    fn listed(&self, what: &str, prefix: &str, most: usize, more: &[(&str, &str)]) -> Result<Page> {
        let most = most.to_string();
        let query =
            [("list-type", "2"), ("encoding-type", "url"), ("max-keys", &most), ("prefix", prefix)];
        let query = [&query[..], more].concat();
        let reply = self.send(what, &Ask::new("GET", "").query(&query))?;
        let (mut page, mut item) = (Page::default(), Item::default());
        self.document(what, reply, "ListBucket", &mut |path, text| {
            page.take(what, &mut item, path, text)
        })?;
        page.finish(what, prefix)?;
        Ok(page)
    }

    /// Whether ETags are MD5s is not in a listing; a look at one file tells.
    fn learn_etags(&self, what: &str, item: &Item) {
        if self.etags.load(Relaxed) == 0 && md5_of(&item.version).is_some() {
            // Without an answer the listing tells no MD5s, which is always right.
            let _ = self.head(what, &item.key);
        }
    }

    // ---- writing

    /// Hashes a whole file. One that is small is kept in `buffer` to be sent from there.
    fn body<'a>(&self, content: &'a dyn Content, buffer: &'a mut Vec<u8>) -> Result<Body<'a>> {
        let length = content.size();
        if length > SMALL {
            return self.part(content, 0, length, buffer);
        }
        buffer.resize(usize::try_from(length).unwrap_or(0), 0);
        let mut sums = self.sums();
        let mut done = 0;
        while done < buffer.len() {
            let count = read_some(content, &mut buffer[done..], done as u64)?;
            sums.update(&buffer[done..done + count]);
            done += count;
        }
        Ok(sums.body(Payload::Bytes(buffer), length))
    }

    /// Hashes a part of a file, which is read again to be sent.
    fn part<'a>(
        &self,
        content: &'a dyn Content,
        from: u64,
        length: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<Body<'a>> {
        buffer.resize(PIECE, 0);
        let mut sums = self.sums();
        let mut done = 0;
        while done < length {
            let most = usize::try_from(length - done).unwrap_or(PIECE).min(PIECE);
            let count = read_some(content, &mut buffer[..most], from + done)?;
            sums.update(&buffer[..count]);
            done += count as u64;
        }
        Ok(sums.body(Payload::Part { content, from, length }, length))
    }

    fn sums(&self) -> Sums {
        // TLS protects what is sent from a third party, and MD5 from accidents. Without TLS
        // some services accept only a signed body.
        let sha256 = (!self.address.tls).then(|| digest::Context::new(&digest::SHA256));
        Sums { md5: Md5::new(), sha256 }
    }

    /// Writes a file in one request, only over what is expected to be there.
    fn put(
        &self,
        what: &str,
        key: &str,
        body: &Body<'_>,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<Entry> {
        // What is tried once to find out whether conditions count is sent twice.
        let probing = body.length <= SMALL;
        loop {
            let support = self.conditions.support(expect);
            if support != Support::Honoured {
                // RACE: what another program writes from here until the PUT arrives is
                // overwritten when the service doesn't check the condition.
                check(what, expect, self.head(what, key)?.as_ref())?;
            }
            if let (Support::Unknown, true, Expect::Version(_)) = (support, probing, expect) {
                match self.put_once(what, key, body, mtime, Some(("if-match", WRONG_ETAG.into()))) {
                    // Written although the condition was wrong; but what was there was expected.
                    Ok(entry) => {
                        self.conditions.ignored(expect);
                        return Ok(entry);
                    }
                    Err(fault) if fault.status == 412 => self.conditions.honoured(expect),
                    Err(fault) if fault.is_unsupported() => self.conditions.ignored(expect),
                    Err(fault) => return Err(fault.into()),
                }
                continue;
            }
            let condition = (support != Support::Ignored).then(|| condition(expect));
            let conditional = condition.is_some();
            match self.put_once(what, key, body, mtime, condition) {
                Ok(entry) => {
                    let learn = support == Support::Unknown && probing;
                    let later = learn.then(|| self.learn_create(what, key, body, mtime)).flatten();
                    return Ok(later.unwrap_or(entry));
                }
                Err(fault) if fault.status == 412 && conditional => {
                    let found = self.head(what, key)?;
                    // The reply to a first attempt may have been lost, so this may be ours.
                    let sent = Version::new(to_hex(&body.md5));
                    let ours = |it: &Entry| fault.again && is_ours(it, body.length, &sent, mtime);
                    if let Some(entry) = found.clone().filter(ours) {
                        return Ok(entry);
                    }
                    check(what, expect, found.as_ref())?;
                    // Refused although it holds (Ceph 16 does that with every If-Match).
                    self.conditions.ignored(expect);
                }
                Err(fault) if conditional && fault.is_unsupported() => {
                    self.conditions.ignored(expect);
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Repeats a write that has just been done: a service that checks `If-None-Match` refuses it.
    /// Otherwise tells the state after the second one.
    fn learn_create(&self, what: &str, key: &str, body: &Body<'_>, mtime: Nanos) -> Option<Entry> {
        let absent = Expect::Absent;
        // RACE: a service that doesn't check lets this overwrite what another program wrote
        // since the first one, as any write there does.
        match self.put_once(what, key, body, mtime, Some(condition(absent))) {
            Ok(entry) => {
                self.conditions.ignored(absent);
                return Some(entry);
            }
            Err(fault) if fault.status == 412 => self.conditions.honoured(absent),
            Err(fault) if fault.is_unsupported() => self.conditions.ignored(absent),
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
    ) -> Result<Entry, Fault> {
        let mut ask =
            Ask::new("PUT", key).body(body).header("x-amz-meta-mtime", format_mtime(mtime));
        ask.headers.extend(self.extra.iter().cloned());
        if let Some(condition) = condition {
            ask.headers.push(condition);
            if body.length >= LARGE {
                ask = ask.header("expect", "100-continue");
            }
        }
        let reply = self.send(what, &ask)?;
        let foreign = has_foreign_etag(&reply);
        let version = reply.header("etag").map(Version::from_etag).unwrap_or_default();
        reply.drain();
        if version.is_empty() {
            let gone = || Error::new(Kind::Changed, what, "it is gone right after it was written");
            return Ok(self.head(what, key)?.ok_or_else(gone)?);
        }
        if !foreign && md5_of(&version).is_some_and(|sum| sum != body.md5) {
            // Nobody must take this for the file: better none, as it is about to be sent again.
            self.delete(what, key, Some(&version))?;
            let cause = "the service stored something else than was sent";
            return Err(Error::new(Kind::Integrity, what, cause).into());
        }
        let print = RemotePrint::file(body.length, version, Some(mtime));
        Ok(Entry::file(print, Some(Hash::Md5(body.md5))))
    }

    fn put_parts(
        &self,
        what: &str,
        key: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Entry> {
        check(what, expect, self.head(what, key)?.as_ref())?;
        let size = content.size();
        let saved = resume.load().and_then(|note| postcard::from_bytes::<Note>(&note).ok());
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
            Some(note) if note.part_size > 0 && size.div_ceil(note.part_size) <= MAX_PARTS => {
                self.parts(what, &note)?.map(|parts| (note, parts))
            }
            _ => None,
        };
        let (note, done) = match known {
            Some(known) => known,
            None => {
                let part_size = self.part_size.max(size.div_ceil(MAX_PARTS).next_multiple_of(MIB));
                let upload = String::new();
                let mut note = Note { key: key.into(), size, mtime, part_size, upload };
                let save = |note: &Note| {
                    let bytes = postcard::to_stdvec(note)
                        .map_err(|error| Error::new(Kind::State, what, error))?;
                    resume.save(&bytes)
                };
                save(&note)?;
                note.upload = self.start_parts(what, key, mtime)?;
                save(&note)?;
                (note, HashMap::new())
            }
        };
        self.finish_parts(what, content, expect, &note, &done).inspect_err(|error| {
            // Kept for another attempt only if it can go on; else it would cost storage forever.
            let keep = [Kind::Offline, Kind::Busy, Kind::Cancelled, Kind::SignIn, Kind::Untrusted];
            if !keep.contains(&error.kind()) {
                // What can't be dropped is left to the bucket's lifecycle rules.
                let _ = self.drop_parts(what, key, &note.upload);
            }
        })
    }

    fn drop_noted(&self, what: &str, Note { key, upload, .. }: &Note) -> Result<()> {
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
        ask.headers = self.extra.clone();
        let ask = ask.header("x-amz-meta-mtime", format_mtime(mtime));
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
                // It is finished, dropped or expired, or can't be asked for: begin anew.
                Err(fault) if &*fault.code == "NoSuchUpload" || fault.is_unsupported() => {
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
                    "Part/ETag" => etag = Version::from_etag(&text),
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

    fn finish_parts(
        &self,
        what: &str,
        content: &dyn Content,
        expect: Expect<'_>,
        note: &Note,
        done: &HashMap<u64, (u64, Version)>,
    ) -> Result<Entry> {
        let Note { key, size, mtime, upload, .. } = note;
        let mut xml = String::from("<CompleteMultipartUpload>");
        for (number, etag) in self.send_parts(what, content, note, done)? {
            let etag = escape(etag.as_str());
            xml.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>"
            ));
        }
        xml.push_str("</CompleteMultipartUpload>");
        content.unchanged()?;
        // The upload may have taken hours, and not every service checks conditions here.
        // RACE: there, what is written from here until the parts are joined is overwritten.
        check(what, expect, self.head(what, key)?.as_ref())?;
        let conditional = self.conditions.support(expect) != Support::Ignored;
        let joined = match self.join_parts(what, key, upload, &xml, conditional.then_some(expect)) {
            Err(fault)
                if conditional
                    && (fault.is_unsupported() || fault.status == 412 && !fault.again) =>
            {
                // Refused although it holds? Then it is joined without.
                check(what, expect, self.head(what, key)?.as_ref())?;
                self.conditions.ignored(expect);
                self.join_parts(what, key, upload, &xml, None)
            }
            joined => joined,
        };
        // The reply to a first attempt may have been lost. Then what is there was not a moment ago,
        // and has our time to the nanosecond.
        let lost =
            |fault: &Fault| fault.again && (fault.status == 412 || &*fault.code == "NoSuchUpload");
        let lost = joined.as_ref().is_err_and(lost);
        if !lost {
            joined?;
        }
        // The ETag of the reply isn't always the one that the object has (rclone serve s3).
        let seen = self.head(what, key)?.filter(|it| {
            let new = expect != Expect::Version(&it.print.version);
            it.print.size == *size && (!lost || new && it.print.mtime == Some(*mtime))
        });
        seen.ok_or_else(|| Error::new(Kind::Changed, what, "it was changed in the meantime"))
    }

    /// Sends the parts that haven't arrived; tells the ETag of each. They are hashed in their order
    /// by this thread, while those before are sent by others, as far as there are any free.
    fn send_parts(
        &self,
        what: &str,
        content: &dyn Content,
        note: &Note,
        done: &HashMap<u64, (u64, Version)>,
    ) -> Result<BTreeMap<u64, Version>> {
        let Note { key, size, part_size, upload, .. } = note;
        let etags = Mutex::new(BTreeMap::new());
        let has_arrived = |number: u64, body: &Body<'_>| {
            let known = done.get(&number).filter(|(length, etag)| {
                *length == body.length && md5_of(etag).is_none_or(|sum| sum == body.md5)
            });
            known.map(|(_, etag)| lock(&etags).insert(number, etag.clone())).is_some()
        };
        let send = |number: u64, body: &Body<'_>| -> Result<()> {
            let etag = self.put_part(what, key, upload, number, body)?;
            lock(&etags).insert(number, etag);
            Ok(())
        };
        let (hand_over, queue) = sync_channel::<(u64, Body<'_>)>(0);
        let queue = Mutex::new(Some(queue));
        let send_all = || -> Result<()> {
            while let Some((number, body)) = next(&queue) {
                // After a failure nobody takes the next one.
                send(number, &body).inspect_err(|_| *lock(&queue) = None)?;
            }
            Ok(())
        };
        let free = self.senders.borrow();
        thread::scope(|scope| {
            let start = |_| threads::named("part").spawn_scoped(scope, send_all).ok();
            let senders: Vec<_> = (0..free.count).filter_map(start).collect();
            let mut buffer = Vec::new();
            let hashed = (1..=size.div_ceil(*part_size)).try_for_each(|number| {
                let from = (number - 1) * part_size;
                let body = self.part(content, from, (size - from).min(*part_size), &mut buffer)?;
                if has_arrived(number, &body) {
                    return Ok(());
                }
                if senders.is_empty() {
                    return send(number, &body);
                }
                hand_over.send((number, body)).map_err(|_| ended(what))
            });
            drop(hand_over);
            // Theirs are the errors that tell more.
            for sender in senders {
                sender.join().map_err(|_| ended(what))??;
            }
            hashed
        })?;
        Ok(etags.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_part(
        &self,
        what: &str,
        key: &str,
        upload: &str,
        number: u64,
        body: &Body<'_>,
    ) -> Result<Version> {
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", upload)];
        let reply = self.send(what, &Ask::new("PUT", key).query(&query).body(body))?;
        let version = reply.header("etag").map(Version::from_etag).unwrap_or_default();
        let wrong = md5_of(&version).is_some_and(|sum| sum != body.md5);
        if version.is_empty() || wrong && !has_foreign_etag(&reply) {
            let cause = format!("the service stored something else than was sent as part {number}");
            return Err(Error::new(Kind::Integrity, what, cause));
        }
        reply.drain();
        Ok(version)
    }

    fn join_parts(
        &self,
        what: &str,
        key: &str,
        upload: &str,
        xml: &str,
        expect: Option<Expect<'_>>,
    ) -> Result<(), Fault> {
        let query = [("uploadId", upload)];
        let mut ask = Ask::new("POST", key).query(&query).bytes(xml.as_bytes());
        ask.headers.extend(expect.map(condition));
        let reply = self.send(what, &ask)?;
        self.document(what, reply, "CompleteMultipartUpload", &mut |_, _| Ok(()))
    }

    // ---- moving and removing

    fn copy_key(&self, what: &str, from: &str, to: &str, version: &Version) -> Result<Entry> {
        let source = self.head(what, from)?;
        let Some(source) = source else {
            return Err(Error::new(Kind::NotFound, what, "it isn't there any more"));
        };
        check(what, Expect::Version(version), Some(&source))?;
        if source.print.size > MAX_COPY {
            return Err(Error::new(Kind::TooLarge, what, "the service copies up to 5 GiB at once"));
        }
        // RACE: what another program puts there before the copy arrives is overwritten.
        check(what, Expect::Absent, self.head(what, to)?.as_ref())?;
        let mut ask = Ask::new("PUT", to)
            .header("x-amz-copy-source", encode_path(&format!("/{}/{from}", self.bucket)))
            .header("x-amz-copy-source-if-match", quoted(version))
            .bytes(&[]);
        ask.headers.extend(self.extra.iter().cloned());
        let reply = self.send(what, &ask)?;
        self.document(what, reply, "CopyObject", &mut |_, _| Ok(()))?;
        let gone = || Error::new(Kind::Changed, what, "the copy is gone right after it was made");
        let copied = self.head(what, to)?.ok_or_else(gone)?;
        let same_md5 = source.hash.is_none() || copied.hash.is_none() || source.hash == copied.hash;
        if copied.print.size != source.print.size || !same_md5 {
            // Some services (Ceph 16, moto) ignore the condition on the source.
            self.delete(what, to, Some(&copied.print.version))?;
            return Err(Error::new(Kind::Changed, what, "it was changed in the meantime"));
        }
        Ok(copied)
    }

    /// Removes a key; with a version, only that one where the service checks it.
    fn delete(&self, what: &str, key: &str, version: Option<&Version>) -> Result<()> {
        let mut ask = Ask::new("DELETE", key);
        ask.headers.extend(version.map(|version| ("if-match", quoted(version))));
        match (self.send(what, &ask), version) {
            (Ok(reply), _) => {
                reply.drain();
                Ok(())
            }
            (Err(fault), _) if &*fault.code == "NoSuchKey" => Ok(()),
            (Err(fault), Some(version)) if fault.status == 412 || fault.is_unsupported() => {
                // Either it was changed, or the service refuses the condition although it holds.
                match self.head(what, key)? {
                    None => Ok(()),
                    found => {
                        check(what, Expect::Version(version), found.as_ref())?;
                        self.delete(what, key, None)
                    }
                }
            }
            (Err(fault), _) => Err(fault.into()),
        }
    }

    fn remove_file(&self, what: &str, key: &str, version: &Version) -> Result<()> {
        match self.head(what, key)? {
            None => Ok(()),
            found => {
                check(what, Expect::Version(version), found.as_ref())?;
                // RACE: where If-Match is ignored, what is written before this arrives is lost.
                self.delete(what, key, Some(version))
            }
        }
    }

    fn remove_folder(&self, what: &str, key: &str) -> Result<()> {
        let page = self.page(what, key, "", "", 2)?;
        if page.items.iter().any(|item| item.key != key) {
            return Err(Error::new(Kind::Exists, what, "the folder isn't empty"));
        }
        if page.items.is_empty() { Ok(()) } else { self.delete(what, key, None) }
    }

    /// Removes files in one request after a look at all of them. `batch` is in order.
    fn remove_batch(
        &self,
        batch: &[(usize, String, &Version)],
        done: &mut dyn FnMut(usize, Result<()>),
    ) {
        let what = format!("removing {} and others", &batch[0].1[self.root.len()..]);
        let found = match self.versions(&what, batch) {
            Ok(found) => found,
            Err(error) => {
                batch.iter().for_each(|(index, ..)| done(*index, Err(error.clone())));
                return;
            }
        };
        let mut xml = String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        let mut asked = Vec::new();
        for ((index, key, version), found) in batch.iter().zip(found) {
            let what = format!("removing {}", &key[self.root.len()..]);
            match found {
                None => done(*index, Ok(())),
                Some(found) if found != **version => {
                    let cause = "it was changed in the meantime";
                    done(*index, Err(Error::new(Kind::Changed, what, cause)));
                }
                // XML can't say these.
                _ if key
                    .contains(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) =>
                {
                    done(*index, self.remove_file(&what, key, version));
                }
                _ => {
                    xml.push_str(&format!("<Object><Key>{}</Key></Object>", escape(key.as_str())));
                    asked.push((*index, key, *version, what));
                }
            }
        }
        if asked.is_empty() {
            return;
        }
        xml.push_str("</Delete>");
        // RACE: what is written between the look and this is removed; there is no condition here.
        match self.delete_keys(&what, &xml) {
            Ok(mut told) => {
                for (index, key, _, what) in asked {
                    let silent = || Err(not_s3(&what, "the service doesn't say whether it did"));
                    done(index, told.remove(key).unwrap_or_else(silent));
                }
            }
            Err(fault) if fault.is_unsupported() => {
                for (index, key, version, what) in asked {
                    done(index, self.remove_file(&what, key, version));
                }
            }
            Err(fault) => asked.iter().for_each(|it| done(it.0, Err(fault.error.clone()))),
        }
    }

    fn delete_keys(&self, what: &str, xml: &str) -> Result<HashMap<String, Result<()>>, Fault> {
        let sum = BASE64.encode(Md5::digest(xml.as_bytes()));
        let ask = Ask::new("POST", "").query(&[("delete", "")]).bytes(xml.as_bytes());
        let reply = self.send(what, &ask.header("content-md5", sum))?;
        let mut told = HashMap::new();
        let (mut key, mut code, mut message) = (String::new(), String::new(), String::new());
        self.document(what, reply, "Delete", &mut |path, text| {
            match path {
                "Deleted/Key" | "Error/Key" => key = text,
                "Error/Code" => code = text,
                "Error/Message" => message = text,
                "Deleted" => {
                    told.insert(std::mem::take(&mut key), Ok(()));
                }
                "Error" => {
                    let what = format!("removing {}", key.get(self.root.len()..).unwrap_or(&key));
                    let result = match code.as_str() {
                        "NoSuchKey" => Ok(()),
                        code => Err(self.explain(&what, 200, code, &message).error),
                    };
                    told.insert(std::mem::take(&mut key), result);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(told)
    }

    /// The versions that these keys, which are in order, have now, with as few requests as can be:
    /// a look at the first, a listing from there on, and again where the listing ends.
    fn versions(
        &self,
        what: &str,
        batch: &[(usize, String, &Version)],
    ) -> Result<Vec<Option<Version>>> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(Vec::new());
        };
        let prefix = common_prefix(&first.1, &last.1);
        let mut found = Vec::with_capacity(batch.len());
        let mut dense = true;
        while let Some((_, key, _)) = batch.get(found.len()) {
            found.push(self.head(what, key)?.map(|entry| entry.print.version));
            if !dense || found.len() == batch.len() {
                continue;
            }
            let page = self.page(what, prefix, key, "", MAX_KEYS)?;
            let end = page.items.last().filter(|_| page.truncated == Some(true));
            let end = end.map(|item| item.key.clone());
            let (before, mut items) = (found.len(), page.items.into_iter().peekable());
            while let Some((_, key, _)) = batch.get(found.len()) {
                if end.as_ref().is_some_and(|end| key > end) {
                    break;
                }
                while items.next_if(|item| item.key < *key).is_some() {}
                found.push(items.next_if(|item| item.key == *key).map(|item| item.version));
            }
            // Where others' keys lie between, single looks are cheaper.
            dense = found.len() - before >= 2;
        }
        Ok(found)
    }
}

impl Remote for Store {
    fn test(&self) -> Result<()> {
        let what = format!("looking into the bucket {}", self.bucket);
        self.page(&what, &self.root, "", "", 1).map(drop)
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let folder = folder.path;
        let what = format!("listing {}", if folder.is_empty() { &self.bucket } else { folder });
        let prefix = self.folder_key(folder);
        let (mut last, mut token) = (None, String::new());
        loop {
            let page = self.page(&what, &prefix, "", &token, MAX_KEYS)?;
            if let (Some(last), Some(item)) = (&last, page.items.first())
                && item.key <= *last
            {
                return Err(not_s3(&what, "the keys come in disorder"));
            }
            if let Some(item) = page.items.iter().find(|item| md5_of(&item.version).is_some()) {
                self.learn_etags(&what, item);
            }
            let md5s = self.etags.load(Relaxed) == 1;
            let truncated = page.truncated == Some(true);
            for item in page.items {
                let path = item.key.strip_prefix(&prefix).unwrap_or_default();
                let (path, kind) = match path.strip_suffix('/') {
                    Some(path) => (path, ItemKind::Folder),
                    None => (path, ItemKind::File),
                };
                // This leaves out the root's own marker, too.
                if !path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    each(path, item.entry(kind, md5s))?;
                }
                last = Some(item.key);
            }
            if !truncated {
                return Ok(());
            }
            if page.token == token {
                return Err(not_s3(&what, "the listing doesn't end"));
            }
            token = page.token;
        }
    }

    fn children(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let folder = folder.path;
        let what = format!("listing {}", if folder.is_empty() { &self.bucket } else { folder });
        let prefix = self.folder_key(folder);
        let mut token = String::new();
        loop {
            let page = self.level(&what, &prefix, &token)?;
            if let Some(item) = page.items.iter().find(|item| md5_of(&item.version).is_some()) {
                self.learn_etags(&what, item);
            }
            let md5s = self.etags.load(Relaxed) == 1;
            let is_name = |name: &str| !matches!(name, "" | "." | "..");
            for item in &page.items {
                let name = item.key.strip_prefix(&prefix).unwrap_or_default();
                if name.contains('/') {
                    // Folders would be missing among the others, and be taken for removed.
                    return Err(not_s3(
                        &what,
                        "it tells what is in folders, asked for their names",
                    ));
                }
                if is_name(name) {
                    each(name, item.entry(ItemKind::File, md5s))?;
                }
            }
            for key in &page.folders {
                let name = key.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix('/'));
                match name {
                    Some(name) if name.contains('/') => {
                        return Err(not_s3(
                            &what,
                            format!("the listing tells nonsense of '{key}'"),
                        ));
                    }
                    Some(name) if is_name(name) => each(name, Entry::folder(""))?,
                    _ => {}
                }
            }
            if page.truncated != Some(true) {
                return Ok(());
            }
            if page.token == token {
                return Err(not_s3(&what, "the listing doesn't end"));
            }
            token = page.token;
        }
    }

    /// What is in a folder is skipped as soon as the folder is known.
    fn folders(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let (what, prefix) = ("listing folders", self.folder_key(""));
        let (mut after, mut token, mut last) = (String::new(), String::new(), String::new());
        loop {
            let page = self.page(what, &prefix, &after, &token, MAX_KEYS)?;
            let mut ends_in_folder = false;
            for item in &page.items {
                let path = item.key.strip_prefix(&prefix).unwrap_or_default();
                let folder = path.split_once('/').map_or("", |(folder, _)| folder);
                ends_in_folder = !folder.is_empty();
                if !matches!(folder, "" | "." | "..") && folder != last {
                    each(folder)?;
                    last = folder.to_owned();
                }
            }
            if page.truncated != Some(true) {
                return Ok(());
            }
            // A service that doesn't skip tells the folder again, which is told no further.
            let skipped = format!("{prefix}{last}/{}", char::MAX);
            if ends_in_folder && !last.is_empty() && skipped != after {
                (after, token) = (skipped, String::new());
            } else {
                token = page.token;
            }
        }
    }

    /// A folder is there when its marker, or anything below it, is. The root is when the bucket is.
    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        let path = place.path;
        let what = format!("looking at {}", if path.is_empty() { &self.bucket } else { path });
        if kind == ItemKind::File {
            return self.head(&what, &self.key(path));
        }
        let page = match self.page(&what, &self.folder_key(path), "", "", 1) {
            Err(error) if path.is_empty() && error.kind() == Kind::NotFound => return Ok(None),
            page => page?,
        };
        let found = path.is_empty() || !page.items.is_empty();
        Ok(found.then(|| Item::default().entry(ItemKind::Folder, false)))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let (what, key) = (format!("downloading {}", place.path), self.key(place.path));
        let mut ask = Ask::new("GET", &key).header("if-match", quoted(version));
        if let Some(range) = http::range(&bytes) {
            ask = ask.header("range", range);
        }
        let from = bytes.start;
        let reply = match self.send(&what, &ask) {
            Err(fault) if fault.status == 416 => {
                // There is nothing from the file's very end on.
                let entry = self.head(&what, &key)?;
                check(&what, Expect::Version(version), entry.as_ref())?;
                return match entry {
                    Some(entry) if entry.print.size == from => {
                        Ok(Download { reader: Box::new(io::empty()), end: from, entry })
                    }
                    _ => Err(fault.into()),
                };
            }
            reply => reply?,
        };
        let (skip, size, end) = match (reply.status, reply.header("content-range")) {
            // rclone serve s3 sends the range with status 200.
            (200 | 206, Some(range)) => match content_range(range) {
                Some((came, Some(size))) if came == (from..size.min(bytes.end)) => {
                    (0, size, came.end)
                }
                _ => return Err(not_s3(&what, format!("asked for {bytes:?}, got {range}"))),
            },
            // A server may ignore the range: then what we have is skipped.
            (200, None) => match reply.content_length() {
                Some(size) => (from, size, size),
                None => {
                    let entry = self.head(&what, &key)?;
                    check(&what, Expect::Version(version), entry.as_ref())?;
                    let size = entry.map_or(0, |entry| entry.print.size);
                    (from, size, size)
                }
            },
            (status, _) => return Err(not_s3(&what, format!("the reply has status {status}"))),
        };
        let entry = self.entry(&what, &reply, size)?;
        // Some services (s3s, rclone) ignore If-Match.
        check(&what, Expect::Version(version), Some(&entry))?;
        if from > size {
            return Err(Error::new(Kind::Changed, what, "it became shorter"));
        }
        let mut reader = Exact { what, inner: reply.into_reader(), left: end - from + skip };
        if io::copy(&mut (&mut reader).take(skip), &mut io::sink())
            .map_err(|error| read_error(&reader.what, error))?
            < skip
        {
            return Err(Error::new(Kind::Offline, reader.what, "the reply broke off"));
        }
        Ok(Download { reader: Box::new(reader), end, entry })
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        let (what, key) = (format!("uploading {}", place.path), self.key(place.path));
        let size = content.size();
        if size > MAX_SIZE {
            return Err(Error::new(Kind::TooLarge, what, "the service takes up to 5 TiB"));
        }
        if size > self.part_size {
            let parts = self.put_parts(&what, &key, content, mtime, expect, resume);
            return parts.map(Written::from);
        }
        let mut buffer = Vec::new();
        let body = self.body(content, &mut buffer)?;
        // A change from here on doesn't match the sums any more, and the service refuses it.
        content.unchanged()?;
        self.put(&what, &key, &body, mtime, expect).map(Written::from)
    }

    fn abandon(&self, note: &[u8]) -> Result<()> {
        let Ok(note) = postcard::from_bytes::<Note>(note) else { return Ok(()) };
        self.drop_noted(&format!("dropping an unfinished upload of {}", note.key), &note)
    }

    /// Some services can't keep a folder of its own, which is no error: what is put into it
    /// makes it.
    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let path = place.path;
        let (what, key) = (format!("making the folder {path}"), self.folder_key(path));
        let file = key.trim_end_matches('/');
        let known = self.markers.load(Relaxed);
        if known == 2 || key.is_empty() || self.head(&what, &key)?.is_some() {
            return Ok(Made::or_found(Entry::folder("")));
        }
        if known == 0 {
            check(&what, Expect::Absent, self.head(&what, file)?.as_ref())?;
        }
        let mut ask = Ask::new("PUT", &key).bytes(&[]);
        ask.headers.extend(self.extra.iter().cloned());
        self.send(&what, &ask)?.drain();
        if known == 0 {
            // rclone serve s3 takes the slash off and makes a file, where no folder can be then.
            match self.head(&what, file)? {
                Some(entry) if entry.print.size == 0 => {
                    self.delete(&what, file, Some(&entry.print.version))?;
                    self.markers.store(2, Relaxed);
                }
                _ => self.markers.store(1, Relaxed),
            }
        }
        Ok(Made::or_found(Entry::folder("")))
    }

    fn keeps_folders(&self) -> bool {
        self.markers.load(Relaxed) != 2
    }

    fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry> {
        let (from, to) = (from.path, to.path);
        let what = format!("moving {from} to {to}");
        if kind == ItemKind::Folder {
            return Err(Error::new(Kind::Usage, what, "this service has no way to move a folder"));
        }
        let (from, to) = (self.key(from), self.key(to));
        let copied = self.copy_key(&what, &from, &to, version)?;
        if let Err(error) = self.remove_file(&what, &from, version) {
            if error.kind() == Kind::Changed {
                self.delete(&what, &to, Some(&copied.print.version))?;
            }
            return Err(error);
        }
        Ok(copied)
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let (from, to) = (from.path, to.path);
        let what = format!("copying {from} to {to}");
        self.copy_key(&what, &self.key(from), &self.key(to), version)
    }

    fn keeps_version(&self, place: Place<'_>, _: &Version) -> Result<bool> {
        let what = format!("asking for the versioning of the bucket of {}", place.path);
        match self.is_versioned(&what) {
            Err(error) if matches!(error.kind().reaction(), Reaction::Wait | Reaction::Stop) => {
                Err(error)
            }
            // Who doesn't know or doesn't tell proves nothing.
            answer => Ok(answer.unwrap_or(false)),
        }
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        let mut files = Vec::new();
        let mut folders = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item.kind {
                ItemKind::File => files.push((index, self.key(item.place.path), item.version)),
                ItemKind::Folder => folders.push((index, item.place.path)),
            }
        }
        files.sort_by(|a, b| a.1.cmp(&b.1));
        for batch in files.chunks(MAX_KEYS) {
            if let [(index, key, version)] = batch {
                let what = format!("removing {}", &key[self.root.len()..]);
                done(*index, self.remove_file(&what, key, version));
            } else {
                self.remove_batch(batch, done);
            }
        }
        // What is in a folder goes before it.
        folders.sort_by_key(|(_, path)| Reverse(*path));
        for (index, path) in folders {
            let what = format!("removing the folder {path}");
            done(index, self.remove_folder(&what, &self.folder_key(path)));
        }
    }
}

// ---- values

impl Item {
    fn entry(&self, kind: ItemKind, md5s: bool) -> Entry {
        let print = match kind {
            ItemKind::File => RemotePrint::file(self.size, self.version.clone(), None),
            ItemKind::Folder => RemotePrint::default(),
        };
        let hash = md5_of(&print.version).filter(|_| md5s).map(Hash::Md5);
        Entry { kind, print, hash, special: None }
    }
}

impl Page {
    /// Takes the value of an element of a listing.
    fn take(&mut self, what: &str, item: &mut Item, path: &str, text: String) -> Result<()> {
        match path {
            "Contents/Key" => item.key = text,
            "Contents/Size" => item.size = parse(what, &text)?,
            "Contents/ETag" => item.version = Version::from_etag(&text),
            "Contents" => self.items.push(std::mem::take(item)),
            "CommonPrefixes/Prefix" => self.folders.push(text),
            "EncodingType" => self.encoded = text == "url",
            "IsTruncated" => self.truncated = Some(parse(what, &text)?),
            "NextContinuationToken" => self.token = text,
            _ => {}
        }
        Ok(())
    }

    /// Decodes the keys and looks whether everything is as it has to be: whatever is missing
    /// from a listing will be taken for removed.
    fn finish(&mut self, what: &str, prefix: &str) -> Result<()> {
        match self.truncated {
            None => return Err(not_s3(what, "the listing doesn't say whether it is whole")),
            Some(true) if self.token.is_empty() => {
                return Err(not_s3(what, "the listing goes on, but not where"));
            }
            _ => {}
        }
        for item in &mut self.items {
            if self.encoded {
                item.key =
                    decode_key(&item.key).ok_or_else(|| not_s3(what, "a key isn't valid UTF-8"))?;
            }
            let versioned = item.key.ends_with('/') || !item.version.is_empty();
            if !item.key.starts_with(prefix) || item.key.is_empty() || !versioned {
                return Err(not_s3(what, format!("the listing tells nonsense of '{}'", item.key)));
            }
        }
        for folder in &mut self.folders {
            if self.encoded {
                *folder =
                    decode_key(folder).ok_or_else(|| not_s3(what, "a key isn't valid UTF-8"))?;
            }
            if !folder.starts_with(prefix) || !folder.ends_with('/') {
                return Err(not_s3(what, format!("the listing tells nonsense of '{folder}'")));
            }
        }
        if self.items.windows(2).any(|pair| pair[0].key >= pair[1].key) {
            return Err(not_s3(what, "the keys come in disorder"));
        }
        Ok(())
    }
}

/// A reader of exactly as many bytes as announced.
struct Exact<R> {
    what: String,
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let fail = |kind, cause| Err(io::Error::other(Error::new(kind, self.what.as_str(), cause)));
        let count = self
            .inner
            .read(buffer)
            .map_err(|error| io::Error::other(read_error(&self.what, error)))?;
        match count as u64 {
            0 if self.left > 0 => fail(Kind::Offline, "the reply broke off"),
            count if count > self.left => {
                fail(Kind::Protocol, "the reply is longer than announced")
            }
            _ => {
                self.left -= count as u64;
                Ok(count)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can leave half-changed what is kept in any of them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was handed over next; `None` when nothing will be.
fn next<T>(queue: &Mutex<Option<Receiver<T>>>) -> Option<T> {
    lock(queue).as_ref()?.recv().ok()
}

fn ended(what: &str) -> Error {
    Error::new(Kind::State, what, "the threads that send its parts ended")
}

fn read_some(content: &dyn Content, buffer: &mut [u8], from: u64) -> Result<usize> {
    match content.read_at(buffer, from)? {
        0 => Err(Error::new(Kind::Changed, "reading the file", "it became shorter")),
        count => Ok(count),
    }
}

fn amazon_host(region: &str) -> String {
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("s3.{region}.amazonaws.com{end}")
}

/// A region becomes part of a host's name, so what a reply calls one is looked at.
fn is_region(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(known)
}

fn quoted(version: &Version) -> String {
    format!("\"{}\"", version.as_str())
}

fn condition(expect: Expect<'_>) -> (&'static str, String) {
    match expect {
        Expect::Absent => ("if-none-match", "*".into()),
        Expect::Version(version) => ("if-match", quoted(version)),
    }
}

/// Whether a file can only be the one that was sent.
fn is_ours(entry: &Entry, size: u64, sent: &Version, mtime: Nanos) -> bool {
    entry.print == RemotePrint::file(size, sent.clone(), Some(mtime))
}

/// An ETag of 32 digits is an MD5, unless the service encrypted with keys of KMS or the user.
fn md5_of(version: &Version) -> Option<[u8; 16]> {
    from_hex(version.as_str())?.try_into().ok()
}

fn has_foreign_etag(reply: &Reply) -> bool {
    reply.header("x-amz-server-side-encryption").is_some_and(|how| how.starts_with("aws:kms"))
        || reply.header("x-amz-server-side-encryption-customer-algorithm").is_some()
}

/// Servers differ in what they encode, but all write a plus itself as `%2B` (tried on seven).
fn decode_key(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned())
}

/// Seconds since 1970 with up to nine digits of a fraction, as rclone keeps it.
fn format_mtime(mtime: Nanos) -> String {
    let (sign, size) = (if mtime < 0 { "-" } else { "" }, mtime.unsigned_abs());
    let text = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn parse_mtime(text: &str) -> Option<Nanos> {
    let (sign, text) = text.trim().strip_prefix('-').map_or((1, text.trim()), |rest| (-1, rest));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let fraction = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction));
    let nanos = seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    nanos.checked_add(fraction.parse().ok()?)?.checked_mul(sign)
}

fn common_prefix<'a>(first: &'a str, last: &str) -> &'a str {
    let same = first.char_indices().zip(last.chars()).find(|((_, a), b)| a != b);
    &first[..same.map_or(first.len().min(last.len()), |((at, _), _)| at)]
}

fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T> {
    text.trim().parse().map_err(|_| not_s3(what, "the reply has a value that makes no sense"))
}

fn not_s3(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Protocol, what, cause)
        .remedy("check that the address is that of an S3 service; a proxy may be in between")
}

fn kind_of(status: u16, code: &str, message: &str) -> Kind {
    match code {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "ExpiredToken"
        | "AuthorizationHeaderMalformed"
        | "RequestTimeTooSkewed"
        | "NotSignedUp" => Kind::SignIn,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidObjectState" => {
            Kind::Denied
        }
        "NoSuchBucket" | "NoSuchKey" => Kind::NotFound,
        "EntityTooLarge" => Kind::TooLarge,
        "KeyTooLong" | "KeyTooLongError" | "InvalidObjectName" | "XMinioInvalidObjectName" => {
            Kind::BadName
        }
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout"
        | "OperationAborted" | "IncompleteBody" => Kind::Busy,
        // The first three: the file was changed while it was sent. The others: something else
        // was written, or the upload was dropped, at the same time.
        "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "ConditionalRequestConflict"
        | "PreconditionFailed"
        | "NoSuchUpload"
        | "InvalidPart"
        | "InvalidRange" => Kind::Changed,
        "InsufficientStorage" | "XMinioStorageFull" => Kind::QuotaFull,
        _ if code.contains("Quota") => Kind::QuotaFull,
        _ => match status {
            401 => Kind::SignIn,
            // Only a HEAD has neither code nor message.
            404 if code.is_empty() && message.is_empty() => Kind::NotFound,
            403 => Kind::Denied,
            409 | 412 | 416 => Kind::Changed,
            413 => Kind::TooLarge,
            414 => Kind::BadName,
            507 => Kind::QuotaFull,
            _ => Kind::Protocol,
        },
    }
}

/// Reads an XML document: tells each element's path (`Root/Child`) and text when it ends. Returns
/// the root's name. Nothing but elements, text and character references is accepted.
fn walk(
    what: &str,
    reader: impl Read,
    on: &mut dyn FnMut(&str, String) -> Result<()>,
) -> Result<String> {
    let wrong = |cause: String| not_s3(what, format!("the reply isn't XML of S3 ({cause})"));
    let mut xml = Reader::from_reader(BufReader::new(reader.take(XML_LIMIT)));
    xml.config_mut().expand_empty_elements = true;
    let (mut buffer, mut path, mut text) = (Vec::new(), String::new(), String::new());
    let mut root = String::new();
    loop {
        buffer.clear();
        let event = xml.read_event_into(&mut buffer).map_err(|error| match error {
            quick_xml::Error::Io(cause) => match cause.get_ref().and_then(|it| it.downcast_ref()) {
                Some(own) => Error::clone(own),
                None => read_error(what, io::Error::new(cause.kind(), cause.to_string())),
            },
            other => wrong(other.to_string()),
        })?;
        match event {
            Event::Start(tag) => {
                let name = tag.local_name();
                let name: &str = name.as_ref();
                if path.is_empty() {
                    if !root.is_empty() {
                        return Err(wrong("it has two roots".into()));
                    }
                    root = name.to_owned();
                } else {
                    path.push('/');
                }
                path.push_str(name);
                text.clear();
                if path.len() > 1024 {
                    return Err(wrong("it is too deep".into()));
                }
            }
            Event::End(_) => {
                on(&path, std::mem::take(&mut text))?;
                path.truncate(path.rfind('/').unwrap_or(0));
            }
            Event::Text(part) if path.is_empty() => {
                if !part.trim().is_empty() {
                    return Err(wrong("text around it".into()));
                }
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(name) => {
                let resolved = match &*name {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => name.resolve_char_ref().ok().flatten(),
                };
                text.push(resolved.ok_or_else(|| wrong(format!("unknown entity {}", &*name)))?);
            }
            Event::DocType(_) => return Err(wrong("it is a page".into())),
            Event::Eof if root.is_empty() || !path.is_empty() => {
                return Err(wrong("it ends too early".into()));
            }
            Event::Eof => return Ok(root),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(settings: &[(&str, &str)]) -> Result<Store> {
        let base = [("bucket", "bucket"), ("access-key", "key"), ("secret-key", "very-secret")];
        let all =
            base.iter().chain(settings).map(|(key, value)| (key.to_string(), value.to_string()));
        let http = Http::new(&crate::http::HttpOptions::default(), Default::default()).unwrap();
        Store::open(&all.collect(), http, "root")
    }

    #[test]
    fn the_address_is_that_of_the_bucket() {
        let url = |settings: &[(&str, &str)], key: &str| {
            store(settings).unwrap().signed(&Ask::new("GET", key)).url
        };
        let key = "root/é+%/../a";
        let path = "root/%C3%A9%2B%25/../a";
        for (settings, wanted) in [
            (&[][..], "https://bucket.s3.us-east-1.amazonaws.com/"),
            (&[("region", "cn-north-1")], "https://bucket.s3.cn-north-1.amazonaws.com.cn/"),
            (&[("bucket", "a.b")], "https://s3.us-east-1.amazonaws.com/a.b/"),
            (&[("addressing", "path")], "https://s3.us-east-1.amazonaws.com/bucket/"),
            (&[("endpoint", "https://NAS:443/s3/")], "https://nas/s3/bucket/"),
            (&[("endpoint", "http://nas:9000")], "http://nas:9000/bucket/"),
            (&[("endpoint", "http://nas:80"), ("addressing", "virtual")], "http://bucket.nas/"),
        ] {
            assert_eq!(url(settings, key), format!("{wanted}{path}"));
        }
        assert_eq!(url(&[], ""), "https://bucket.s3.us-east-1.amazonaws.com/");
        assert_eq!(url(&[("addressing", "path")], ""), "https://s3.us-east-1.amazonaws.com/bucket");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (key, value) in [
            ("bucket", "ab"),
            ("bucket", "a/../b"),
            ("bucket", "Bucket"),
            ("region", "us.evil/"),
            ("part-size", "4"),
            ("part-size", "5121"),
            ("endpoint", "http://"),
            ("endpoint", "http://user@host"),
            ("endpoint", "http://host/?a"),
            ("addressing", "sideways"),
            ("sse", "rot13"),
        ] {
            let error = store(&[(key, value)]).err().unwrap();
            assert_eq!(error.kind(), Kind::Usage, "{key}={value}");
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_region_from_a_reply_cannot_lead_elsewhere() {
        assert!(is_region("eu-west-9"));
        for text in ["", "evil.example/", "a@b", "EU", "eu west", &"a".repeat(64)] {
            assert!(!is_region(text), "{text}");
        }
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        for (mtime, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_600_000_000_123_456_789, "1600000000.123456789"),
            (1_600_000_000_500_000_000, "1600000000.5"),
            (10_000_000_000, "10"),
            (-1_500_000_000, "-1.5"),
            (Nanos::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(format_mtime(mtime), text);
            assert_eq!(parse_mtime(text), Some(mtime), "{text}");
        }
        assert_eq!(parse_mtime(" 1.1234567899 "), Some(1_123_456_789));
        for text in
            ["", "-", ".", "1.", ".5", "1e9", "1.-5", "--1", "99999999999", "1.é", "+1", "1 2"]
        {
            assert_eq!(parse_mtime(text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_decoded_once() {
        for (text, key) in [
            ("a%2Fb+c%2B", "a/b c+"),
            ("a/b%20c", "a/b c"),
            ("%25%32%46", "%2F"),
            ("100%", "100%"),
            ("e%CC%81 %C3%A9", "e\u{301} \u{e9}"),
        ] {
            assert_eq!(decode_key(text).as_deref(), Some(key));
        }
        assert_eq!(decode_key("%ff"), None);
    }

    #[test]
    fn prefixes_end_between_characters() {
        for (first, last, prefix) in [
            ("a/b", "a/c", "a/"),
            ("a", "ab", "a"),
            ("é", "è", ""),
            ("x", "y", ""),
            ("a", "a", "a"),
        ] {
            assert_eq!(common_prefix(first, last), prefix);
        }
    }

    #[test]
    fn xml_is_read_or_refused() {
        let read = |text: &str| {
            let mut all = Vec::new();
            let root = walk("test", text.as_bytes(), &mut |path, text| {
                all.push(format!("{path}={text}"));
                Ok(())
            });
            root.map(|root| (root, all.join(",")))
        };
        let ok = |text: &str| read(text).unwrap();
        assert_eq!(ok("<a/>"), ("a".into(), "a=".into()));
        assert_eq!(ok(" \n<?xml version=\"1.0\"?>\n<x:a><b> 1 </b></x:a>\n").1, "a/b= 1 ,a=");
        assert_eq!(ok("<a>&lt;&#x41;&#66;<![CDATA[<&]]>&quot;</a>").1, "a=<AB<&\"");
        for text in [
            "",
            " ",
            "a",
            "<a>",
            "<a",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "{\"a\":1}",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a>&#xD800;</a>",
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY b \"&b;&b;\">]><a>&b;</a>",
            "<a>\u{fffd}<b></a>",
        ] {
            assert_eq!(read(text).err().map(|error| error.kind()), Some(Kind::Protocol), "{text}");
        }
        let binary: &[u8] = b"<a>\xff\xfe</a>";
        assert!(walk("test", binary, &mut |_, _| Ok(())).is_err());
        let endless = io::Read::chain(&b"<a>"[..], io::repeat(b'x'));
        assert!(walk("test", endless, &mut |_, _| Ok(())).is_err());
    }

    #[test]
    fn errors_say_what_to_do_and_no_secret() {
        let store = store(&[]).unwrap();
        for (status, code, kind) in [
            (403, "InvalidAccessKeyId", Kind::SignIn),
            (403, "AccessDenied", Kind::Denied),
            (404, "NoSuchBucket", Kind::NotFound),
            (404, "", Kind::NotFound),
            (403, "QuotaExceeded", Kind::QuotaFull),
            (200, "SlowDown", Kind::Busy),
            (400, "BadDigest", Kind::Changed),
            (403, "InvalidObjectState", Kind::Denied),
            (418, "Teapot", Kind::Protocol),
        ] {
            let error = store.explain("looking at a", status, code, "").error;
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().starts_with("looking at a: "), "{error}");
            assert!(!error.to_string().contains("very-secret"));
        }
        assert!(
            store.explain("", 404, "NoSuchBucket", "").error.advice().contains("bucket bucket")
        );
        // A page that isn't S3's doesn't say that a file is gone.
        assert_eq!(store.explain("", 404, "", "a page").error.kind(), Kind::Protocol);
    }

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
