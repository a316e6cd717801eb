//! Amazon S3 and everything that speaks its language, or one like it.
//!
//! A bucket has keys, not folders. A file is the key `root/path`; a folder that exists of its own
//! is the empty key `root/path/`, told without the slash (bytes kept under such a key are left
//! alone). Keys that no path can name, with empty, `.` or `..` parts, are told to nobody and never
//! touched. The root itself always is there when the bucket is.
//!
//! All that the services have in common is in here; a [`Dialect`] has their words, signatures and
//! limits, and the presets what single providers do otherwise. One learns what a server can as it is
//! asked for it: whether it checks conditions, keeps the markers of folders, and how it lists.
//!
//! Facts of services that are named here were tried on the real servers, or read in botocore or
//! the official clients of the others.

mod address;
mod amazon;
mod buckets;
mod change;
mod cos;
mod dialect;
mod jd;
mod listing;
mod oss;
mod presets;
mod request;
mod upload;
mod xml;

use self::address::{Address, Found};
use self::dialect::{Dialect, GIB};
use self::listing::{Item, is_plain, special_of};
use self::request::Ask;
use self::upload::Note;
use self::xml::not_s3;
use super::download::{self, Arrived};
use super::fault::Fault;
use super::objects;
use super::parts::Senders;
use super::seconds;
use crate::blocks::{Cutter, Limits};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::Hash;
use crate::http::{self, Http, Reply};
use crate::model::{ItemKind, Nanos, RemotePrint, Version, from_hex};
use crate::remote::conditions::{Conditions, check};
use crate::remote::{
    Bucket, Descriptor, Download, Entry, Expect, Made, Place, Remote, Removal, Resume, Service,
    Settings, Written, is_path,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc64fast::Digest as Crc64;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// One of the services, as the registry knows it.
pub struct Family(&'static Dialect);

/// Amazon S3, and all that speak its language word for word.
pub static S3: Family = Family(&amazon::DIALECT);
/// Alibaba Cloud OSS.
pub static OSS: Family = Family(&oss::DIALECT);
/// Tencent Cloud COS.
pub static COS: Family = Family(&cos::DIALECT);
/// JD Cloud OSS.
pub static JD: Family = Family(&jd::DIALECT);

const MIB: u64 = 1 << 20;
/// Fewest bytes of each part but the last, where nobody asks for less; and most.
const LEAST_PART: u64 = 5 * MIB;
const MOST_PART: u64 = 5 * GIB;
/// Most keys of a page and of a batch.
const MAX_KEYS: usize = 1000;

impl Service for Family {
    fn descriptor(&self) -> &'static Descriptor {
        self.0.descriptor
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        Ok(Arc::new(Store::open(self.0, settings, http, root)?))
    }

    fn buckets(
        &self,
        settings: &Settings,
        http: Http,
        each: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        self.0.descriptor.check_but_bucket(settings)?;
        Store::at(self.0, settings, http, "", "")?.list_buckets(each)
    }

    fn make_bucket(&self, settings: &Settings, http: Http, bucket: &str) -> Result<()> {
        self.0.descriptor.check_but_bucket(settings)?;
        check_bucket(self.0, bucket)?;
        let made = Store::at(self.0, settings, http.clone(), bucket, "")?.make();
        let mut is_own = false;
        if made.as_ref().is_err_and(|error| error.kind() == Kind::NameTaken) {
            // rclone says so of one's own, too. Who may not see them is told that it is taken.
            let _ = Store::at(self.0, settings, http, "", "")?.list_buckets(&mut |each| {
                is_own |= each == bucket;
                Ok(())
            });
        }
        if is_own { Ok(()) } else { made }
    }
}

fn wrong(dialect: &Dialect, key: &str, cause: impl std::fmt::Display) -> Error {
    let descriptor = dialect.descriptor;
    Error::new(Kind::Usage, format!("setting {key} of {}", descriptor.label), cause)
        .remedy(format!("see mooring service show {}", descriptor.name))
}

fn check_bucket(dialect: &Dialect, name: &str) -> Result<()> {
    if let Some(Bucket { min, max, extra }) = dialect.descriptor.bucket {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let known = |c: char| plain(c) || extra.contains(c);
        let ends_plain = name.starts_with(plain) && name.ends_with(plain);
        if !(min..=max).contains(&name.len()) || !name.chars().all(known) || !ends_plain {
            let cause = format!(
                "it has {min} to {max} of the characters a-z 0-9 {extra}, and begins and ends with \
                 a letter or digit"
            );
            return Err(wrong(dialect, "bucket", cause));
        }
    }
    let number = name.rsplit_once('-').map_or("", |(_, number)| number);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if dialect.numbered_buckets && !is_number {
        let cause = "it ends with a hyphen and the number of the account (APPID)";
        return Err(wrong(dialect, "bucket", cause));
    }
    Ok(())
}

/// A folder of a bucket, opened.
struct Store {
    dialect: &'static Dialect,
    http: Http,
    address: Address,
    /// A new bucket is told its region, and the newer signature is known.
    is_amazon: bool,
    /// Empty where the account is meant.
    bucket: String,
    access_key: String,
    secret_key: String,
    /// Corrected by what the service tells.
    region: Mutex<String>,
    /// What comes before each path: empty, or the root with its slash.
    root: String,
    part_size: u64,
    limits: Limits,
    max_size: u64,
    max_path: usize,
    /// Header fields that say how what is written is to be encrypted, …
    encrypted_as: Vec<(&'static str, String)>,
    /// … and these with the storage class.
    kept_as: Vec<(&'static str, String)>,
    conditions: Conditions,
    /// Whether the service has taken a signature, and whether it is the older one that it wants.
    knows_signature: AtomicBool,
    is_old: AtomicBool,
    /// Whether listings go on after a key.
    by_marker: AtomicBool,
    /// Whether a plain ETag is the MD5: 0 unknown, 1 yes, 2 no (encrypted with keys of KMS).
    etags: AtomicU8,
    /// Whether the service keeps the markers of folders: 0 unknown, 1 yes, 2 no.
    markers: AtomicU8,
    /// Whether the service may copy parts, as far as is known.
    copies: AtomicBool,
    senders: Senders,
}

impl Store {
    fn open(
        dialect: &'static Dialect,
        settings: &Settings,
        http: Http,
        root: &str,
    ) -> Result<Store> {
        dialect.descriptor.check(settings)?;
        let bucket = settings.get(dialect.descriptor, "bucket");
        check_bucket(dialect, bucket)?;
        Store::at(dialect, settings, http, bucket, root)
    }

    /// One whose settings are checked, but for the bucket: where its name is empty, what is asked
    /// is asked of the account.
    fn at(
        dialect: &'static Dialect,
        settings: &Settings,
        http: Http,
        bucket: &str,
        root: &str,
    ) -> Result<Store> {
        let descriptor = dialect.descriptor;
        let get = |key| settings.get(descriptor, key);
        let Found { address, preset, region } = Found::by(dialect, settings, bucket)?;
        let part_size = u64::from(settings.number(descriptor, "part-size")) * MIB;
        let limits = Limits {
            count: preset.max_parts,
            least: part_size.min(LEAST_PART).max(preset.min_part),
            most: MOST_PART,
            equal: preset.equal_parts,
        };

        let mut encrypted_as = Vec::new();
        match (settings.given("sse").filter(|how| *how != "none"), settings.given("sse-key")) {
            (None | Some("AES256" | "SM4"), Some(_)) => {
                let cause = "only encryption with KMS (sse) has a key";
                return Err(wrong(dialect, "sse-key", cause));
            }
            (how, key) => {
                encrypted_as.extend(how.map(|how| (dialect.names.sse, how.to_owned())));
                encrypted_as.extend(key.map(|key| (dialect.names.sse_key, key.to_owned())));
            }
        }
        let mut kept_as = encrypted_as.clone();
        if let Some(class) = settings.given("storage-class") {
            let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !class.chars().all(known) {
                return Err(wrong(dialect, "storage-class", "it has letters, digits and _"));
            }
            kept_as.push((dialect.names.class, class.to_owned()));
        }
        let conditions = Conditions::default();
        if !preset.conditions {
            conditions.ignored(Expect::Absent);
        }
        if !preset.conditions || !dialect.if_match {
            conditions.ignored(Expect::Version(&Version::default()));
        }
        let senders = Senders::new(http.connections());
        Ok(Store {
            dialect,
            http,
            address,
            is_amazon: preset.tells_region,
            bucket: bucket.into(),
            access_key: get("access-key").into(),
            secret_key: get("secret-key").into(),
            region: Mutex::new(region),
            root: if root.is_empty() { String::new() } else { format!("{root}/") },
            part_size: part_size.max(preset.min_part),
            limits,
            max_size: preset.max_size.min(descriptor.max_size.unwrap_or(u64::MAX)),
            max_path: preset.max_path,
            encrypted_as,
            kept_as,
            conditions,
            knows_signature: AtomicBool::default(),
            is_old: AtomicBool::default(),
            by_marker: AtomicBool::new(dialect.by_marker),
            etags: AtomicU8::default(),
            markers: AtomicU8::default(),
            copies: AtomicBool::new(true),
            senders,
        })
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Key of a folder's marker; what is in it starts with the same. Empty for a bucket's root.
    fn folder_key(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}{path}/", self.root) }
    }

    /// The general rule of the service is seen to elsewhere, that of a provider is here.
    fn check_length(&self, what: &str, key: &str) -> Result<()> {
        if key.len() <= self.max_path {
            return Ok(());
        }
        let cause = format!("the provider takes paths of up to {} bytes", self.max_path);
        Err(Error::new(Kind::BadName, what, cause).remedy("shorten its name or move it up"))
    }

    /// Name of the provider's host, with its port.
    fn host(&self) -> String {
        self.address.host(&self.region.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The version that an ETag stands for.
    fn version(&self, etag: &str) -> Version {
        let version = Version::from_etag(etag);
        if !self.dialect.capital_etags {
            return version;
        }
        Version::new(version.as_str().to_ascii_lowercase())
    }

    /// The ETag that stands for a version.
    fn quoted(&self, version: &Version) -> String {
        let etag = format!("\"{}\"", version.as_str());
        if self.dialect.capital_etags { etag.to_ascii_uppercase() } else { etag }
    }

    /// The field of a write that expects this in its place.
    fn condition(&self, expect: Expect<'_>) -> (&'static str, String) {
        match expect {
            Expect::Absent => (self.dialect.absent.0, self.dialect.absent.1.to_owned()),
            Expect::Version(version) => ("if-match", self.quoted(version)),
        }
    }

    /// Whether a write was refused because of its condition.
    fn is_refused(&self, fault: &Fault, expect: Expect<'_>) -> bool {
        fault.status == 412 || expect == Expect::Absent && fault.status == self.dialect.taken
    }

    /// Whether an ETag isn't the MD5 though it looks like one: what the service encrypts with keys
    /// of KMS or the user has others.
    fn has_foreign_etag(&self, reply: &Reply) -> bool {
        let names = &self.dialect.names;
        reply.header(names.sse).is_some_and(|how| how != "AES256")
            || reply.header(names.sse_customer).is_some()
    }

    fn head(&self, what: &str, key: &str) -> Result<Option<Entry>> {
        Ok(self.look(what, key)?.map(|(entry, _)| entry))
    }

    /// Whether what is there is what is expected.
    fn check(&self, what: &str, key: &str, expect: Expect<'_>) -> Result<()> {
        check(what, expect, self.head(what, key)?.as_ref())
    }

    /// The state of a file, and its CRC-64 where the service tells it.
    fn look(&self, what: &str, key: &str) -> Result<Option<(Entry, Option<u64>)>> {
        match self.send(what, &Ask::new("HEAD", key)) {
            Ok(reply) => {
                let size = reply
                    .content_length()
                    .ok_or_else(|| not_s3(what, "the reply tells no size"))?;
                Ok(Some((self.entry(what, &reply, size)?, self.told_crc64(&reply))))
            }
            Err(fault) if fault.error.kind() == Kind::NotFound => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The state of the file of `size` that the header fields of a HEAD or GET tell of.
    fn entry(&self, what: &str, reply: &Reply, size: u64) -> Result<Entry> {
        let names = &self.dialect.names;
        let version = reply.header("etag").map(|etag| self.version(etag)).unwrap_or_default();
        if version.is_empty() {
            return Err(not_s3(what, "the reply tells no ETag"));
        }
        let plain = !self.has_foreign_etag(reply);
        if plain {
            let _ = self.etags.compare_exchange(0, 1, Relaxed, Relaxed);
        } else {
            self.etags.store(2, Relaxed);
        }
        // rclone keeps the MD5 of what it sent in parts in a field of its own.
        let kept = || {
            let sum = BASE64.decode(reply.header(names.md5)?).ok()?;
            sum.try_into().ok()
        };
        let kind = reply.header(names.kind).unwrap_or_default();
        let md5 = md5_of(&version).filter(|_| plain && is_plain(kind)).or_else(kept);
        let mtime = reply.header(names.mtime).and_then(seconds::parse);
        let entry = Entry::file(RemotePrint::file(size, version, mtime), md5.map(Hash::Md5));
        Ok(Entry { special: special_of(kind), ..entry })
    }

    /// Whether the bucket keeps every version of its files, and no rule of it ends them.
    fn keeps_all(&self, what: &str) -> Result<bool> {
        let reply = self.send(what, &Ask::new("GET", "").query(&[("versioning", "")]))?;
        let mut versioned = false;
        self.document(what, reply, "VersioningConfiguration", &mut |path, text| {
            versioned |= path == "Status" && text == "Enabled";
            Ok(())
        })?;
        if !versioned {
            return Ok(false);
        }
        let mut ends = false;
        match self.send(what, &Ask::new("GET", "").query(&[("lifecycle", "")])) {
            // OSS says so in a shorter way.
            Err(fault) if fault.code.starts_with("NoSuchLifecycle") => {}
            rules => self.document(what, rules?, "LifecycleConfiguration", &mut |path, _| {
                // The second is how Google has it.
                ends |=
                    path.starts_with("Rule/NoncurrentVersionExpiration") || path == "Rule/Action";
                Ok(())
            })?,
        }
        Ok(!ends)
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
                if is_path(path) {
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
            } else if page.token == token {
                return Err(not_s3(what, "the listing doesn't end"));
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
        let within = match self.first(&what, &self.folder_key(path), 1) {
            Err(error) if path.is_empty() && error.kind() == Kind::NotFound => return Ok(None),
            within => within?,
        };
        let found = path.is_empty() || !within.is_empty();
        Ok(found.then(|| Item::default().entry(ItemKind::Folder, false)))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let (what, key) = (format!("downloading {}", place.path), self.key(place.path));
        let mut ask = Ask::new("GET", &key).header("if-match", self.quoted(version));
        let fields = self.dialect.read.iter();
        ask.headers.extend(fields.map(|(name, value)| (*name, (*value).to_owned())));
        if let Some(range) = http::range(&bytes) {
            ask = ask.header("range", range);
        }
        let look = || -> Result<Option<Entry>> {
            let entry = self.head(&what, &key)?;
            check(&what, Expect::Version(version), entry.as_ref())?;
            Ok(entry)
        };
        let reply = match self.send(&what, &ask) {
            Err(fault) if fault.status == 416 => {
                return download::at_end(bytes.start, look()?).ok_or_else(|| fault.into());
            }
            reply => reply?,
        };
        let size = || Ok(look()?.map_or(0, |entry| entry.print.size));
        let arrived = Arrived::of(&what, &reply, &bytes, &size)?;
        let entry = self.entry(&what, &reply, arrived.size)?;
        // Some services (s3s, rclone) ignore If-Match.
        check(&what, Expect::Version(version), Some(&entry))?;
        let told = self.told_crc64(&reply);
        let mut download = arrived.open(what.clone(), reply, entry)?;
        let is_whole = bytes.start == 0 && download.end == download.entry.print.size;
        if let (true, Some(told), Some(sum)) = (is_whole, told, self.crc64()) {
            download.reader = Box::new(Verified { what, inner: download.reader, told, sum });
        }
        Ok(download)
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
        if size > self.max_size {
            let cause = format!("the service takes up to {} bytes", self.max_size);
            return Err(Error::new(Kind::TooLarge, what, cause));
        }
        self.check_length(&what, &key)?;
        if size > self.part_size {
            return self.put_parts(&what, &key, content, mtime, expect, resume);
        }
        let mut buffer = Vec::new();
        let body = self.body(content, &mut buffer)?;
        // A change from here on doesn't match the sums any more, and the service refuses it.
        content.unchanged()?;
        self.put(&what, &key, &body, mtime, expect).map(Written::from)
    }

    fn cutter(&self, size: u64) -> Option<Cutter> {
        let is_cut = size > self.part_size && self.copies.load(Relaxed);
        is_cut.then(|| self.limits.cutter(self.limits.smallest(size, self.part_size)))
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
            self.check(&what, file, Expect::Absent)?;
        }
        let mut ask = Ask::new("PUT", &key).bytes(&[]);
        ask.headers.extend(self.encrypted_as.iter().cloned());
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
        objects::only_file(&what, kind)?;
        let (from, to) = (self.key(from), self.key(to));
        let copied = self.copy_key(&what, &from, &to, version)?;
        let removed = self.remove_file(&what, &from, version);
        objects::moved(copied, removed, |copy| self.remove_file(&what, &to, copy))
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let (from, to) = (from.path, to.path);
        let what = format!("copying {from} to {to}");
        self.copy_key(&what, &self.key(from), &self.key(to), version)
    }

    fn keeps_version(&self, place: Place<'_>, _: &Version) -> Result<bool> {
        let what = format!("asking for the versioning of the bucket of {}", place.path);
        objects::proven(self.keeps_all(&what))
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        let files = |files: objects::Files<'_>, done: &mut dyn FnMut(usize, Result<()>)| {
            let keyed = files.into_iter().map(|(at, it)| (at, self.key(it.place.path), it.version));
            let mut keyed: Vec<_> = keyed.collect();
            keyed.sort_by(|a, b| a.1.cmp(&b.1));
            for batch in keyed.chunks(MAX_KEYS) {
                if let [(index, key, version)] = batch {
                    let what = format!("removing {}", &key[self.root.len()..]);
                    done(*index, self.remove_file(&what, key, version));
                } else {
                    self.remove_batch(batch, done);
                }
            }
        };
        let folder = |what: &str, path: &str| self.remove_folder(what, &self.folder_key(path));
        objects::remove(items, done, files, folder);
    }
}

/// A whole file on its way that has to have this CRC-64 at its end.
struct Verified {
    what: String,
    inner: Box<dyn Read + Send>,
    told: u64,
    sum: Crc64,
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sum.write(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.sum.sum64() != self.told {
            let cause = "its bytes don't have the service's CRC-64";
            return Err(io::Error::other(Error::new(Kind::Integrity, &*self.what, cause)));
        }
        Ok(count)
    }
}

/// An ETag of 32 digits is an MD5, unless the service encrypted with keys of KMS or the user.
fn md5_of(version: &Version) -> Option<[u8; 16]> {
    from_hex(version.as_str())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn store(settings: &[(&str, &str)]) -> Result<Store> {
        open(&amazon::DIALECT, settings)
    }

    fn open(dialect: &'static Dialect, settings: &[(&str, &str)]) -> Result<Store> {
        let base = [("bucket", "bucket"), ("access-key", "key"), ("secret-key", "very-secret")];
        let all =
            base.iter().chain(settings).map(|(key, value)| (key.to_string(), value.to_string()));
        let http = Http::new(&crate::http::HttpOptions::default(), Default::default()).unwrap();
        Store::open(dialect, &all.collect(), http, "root")
    }

    fn url(dialect: &'static Dialect, settings: &[(&str, &str)], key: &str) -> String {
        open(dialect, settings).unwrap().signed(&Ask::new("GET", key)).url
    }

    #[test]
    fn the_address_is_that_of_the_bucket() {
        let url = |settings: &[(&str, &str)], key: &str| url(&amazon::DIALECT, settings, key);
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
            ("bucket", "-bucket"),
            ("bucket", "bucket."),
            ("region", "us.evil/"),
            ("part-size", "4"),
            ("part-size", "5121"),
            ("endpoint", "http://"),
            ("endpoint", "http://user@host"),
            ("endpoint", "http://host/?a"),
            ("addressing", "sideways"),
            ("sse", "rot13"),
            ("sse-key", "key"),
            ("storage-class", "A\nB"),
            ("provider", "nobody"),
        ] {
            let error = store(&[(key, value)]).err().unwrap();
            assert_eq!(error.kind(), Kind::Usage, "{key}={value}");
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_provider_is_found_by_its_region() {
        let wasabi = ("provider", "wasabi");
        for (dialect, settings, wanted) in [
            (
                &S3,
                &[wasabi, ("region", "eu-west-2")][..],
                "https://s3.eu-west-2.wasabisys.com/bucket",
            ),
            (&S3, &[wasabi, ("endpoint", "http://nas:1"), ("region", "x")], "http://nas:1/bucket"),
            (&S3, &[("provider", "hicloud")], "https://s3.hicloud.net.tw/bucket"),
            (&S3, &[("provider", "google")], "https://storage.googleapis.com/bucket"),
            (
                &S3,
                &[("provider", "amazon-china")],
                "https://bucket.s3.cn-north-1.amazonaws.com.cn/",
            ),
            (&OSS, &[("region", "cn-beijing")], "https://bucket.oss-cn-beijing.aliyuncs.com/"),
            (
                &OSS,
                &[("endpoint", "http://127.0.0.1:1"), ("region", "x")],
                "http://127.0.0.1:1/bucket",
            ),
            (
                &COS,
                &[("region", "ap-tokyo"), ("bucket", "a-1")],
                "https://a-1.cos.ap-tokyo.myqcloud.com/",
            ),
            (&JD, &[("region", "cn-east-2")], "https://s3.cn-east-2.jdcloud-oss.com/bucket"),
        ] {
            assert_eq!(url(dialect.0, settings, ""), wanted);
        }
        for (dialect, settings, key) in [
            (&S3, &[wasabi][..], "region"),
            (&S3, &[("provider", "minio")], "endpoint"),
            (&OSS, &[], "region"),
            (&COS, &[("region", "ap-tokyo")], "bucket"),
        ] {
            let error = open(dialect.0, settings).err().unwrap();
            assert!(error.kind() == Kind::Usage && error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_providers_limits_hold() {
        let store = store(&[("provider", "hicloud")]).unwrap();
        assert_eq!(store.max_size, 1 << 40);
        let error = store.check_length("uploading", &"a".repeat(256)).unwrap_err();
        assert_eq!(error.kind(), Kind::BadName);
        assert!(store.check_length("uploading", &"a".repeat(255)).is_ok());
        let storj = self::store(&[("provider", "storj")]).unwrap();
        assert_eq!(storj.part_size, 64 * MIB);
    }
}
