//! OpenStack Swift, and what speaks its language.
//!
//! A container has objects, not folders. A file is the object `root/path`. A folder that exists of
//! its own is an object without bytes: `root/path/`, which Mooring makes, or `root/path` whose
//! content type is that of a folder, as rclone and others have it. Objects that no path can name,
//! with empty, `.` or `..` parts, are told to nobody and never touched. The root itself always is
//! there when the container is.
//!
//! A large file is a static large object: an object whose content is a list of others, its
//! segments. They lie in the container `container_segments`, below the name of the file, as rclone
//! has them; what lies there belongs to the file of that name, and goes with it. Dynamic large
//! objects, whose segments are whatever is below a prefix at that moment, are read and never made.
//!
//! Swift checks whether a new object is new, and nothing else of a write. So Mooring looks itself
//! just before it replaces or removes anything.

mod auth;
mod change;
mod large;
mod listing;
mod presets;
mod request;
mod upload;

use self::auth::{Identity, Session};
use self::listing::{FOLDER, is_folder};
use self::presets::{PROVIDERS, WORDS};
use self::request::{Ask, Info};
use super::download::{self, Arrived};
use super::fault::Fault;
use super::objects;
use super::parts::Senders;
use super::seconds;
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind};
use crate::http::{self, Http, Payload, Reply};
use crate::model::{ItemKind, Nanos, RemotePrint, Version, from_hex};
use crate::remote::conditions::{Conditions, check};
use crate::remote::{
    Composition, Descriptor, Download, Entry, Expect, FieldKind, Listing, Made, Moves, NameRule,
    Needed, Place, Remote, Removal, Resume, Service, Settings, Written, field, place,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// The service as the registry knows it.
pub struct Swift;

const MIB: u64 = 1 << 20;
/// What the container with the segments of a container's large files is called after that.
const SEGMENTS: &str = "_segments";

static DESCRIPTOR: Descriptor = Descriptor {
    name: "swift",
    label: "OpenStack Swift",
    fields: &[
        place(
            "provider",
            "Provider",
            "whose service it is; left out for one whose address you know",
            FieldKind::Choice(&WORDS),
            Needed::No,
        ),
        place(
            "endpoint",
            "Address",
            "of the identity service, such as https://keystone.example.com:5000/v3",
            FieldKind::Url,
            Needed::No,
        ),
        field("user", "User", "name of the user", FieldKind::Text, Needed::No),
        field(
            "key",
            "Password or key",
            "password or API key of the user, or secret of the application credential",
            FieldKind::Secret,
            Needed::Yes,
        ),
        place("region", "Region", "where there are several", FieldKind::Text, Needed::No),
        place("container", "Container", "name of the container", FieldKind::Bucket, Needed::Yes),
        place("project", "Project", "name of the project (tenant)", FieldKind::Text, Needed::No),
        place("project-id", "Project id", "instead of its name", FieldKind::Text, Needed::No),
        field(
            "domain",
            "Domain",
            "name of the domain of user and project; left out for the first of all",
            FieldKind::Text,
            Needed::No,
        ),
        field("domain-id", "Domain id", "instead of its name", FieldKind::Text, Needed::No),
        field(
            "application-credential",
            "Application credential",
            "its id, instead of user and project",
            FieldKind::Text,
            Needed::No,
        ),
        field(
            "auth-version",
            "Version of the identity service",
            "1, 2 or 3, where the address doesn't end with it",
            FieldKind::Choice(&["auto", "1", "2", "3"]),
            Needed::Default("auto"),
        ),
        field(
            "interface",
            "Interface",
            "which of the addresses in the catalogue",
            FieldKind::Choice(&["public", "internal", "admin"]),
            Needed::Default("public"),
        ),
        field(
            "segment-size",
            "Segment size",
            "MiB of most segments of a large file, 1 to 2048",
            FieldKind::Number(1, 2048),
            Needed::Default("8"),
        ),
    ],
    sign_in: None,
    providers: &PROVIDERS,
    task_fields: &[],
    listing: Listing::Flat,
    folders_implied: true,
    moves: Moves::Files,
    folds_case: false,
    namesakes: false,
    keeps_mtime: true,
    hash: Some(HashKind::Md5),
    max_size: Some(1000 * (5 << 30)),
    max_path: 1024,
    names: NameRule { characters: "?", names: &[".", ".."], ..NameRule::NONE },
    stored_bytes: None,
    bucket: None,
};

impl Service for Swift {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        DESCRIPTOR.check(settings)?;
        let container = settings.get(&DESCRIPTOR, "container");
        check_container(container)?;
        Ok(Arc::new(Store::open(settings, http, container, root)?))
    }

    fn buckets(
        &self,
        settings: &Settings,
        http: Http,
        each: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        DESCRIPTOR.check_but_bucket(settings)?;
        Store::open(settings, http, "", "")?.list_containers(each)
    }

    fn make_bucket(&self, settings: &Settings, http: Http, bucket: &str) -> Result<()> {
        DESCRIPTOR.check_but_bucket(settings)?;
        check_container(bucket)?;
        let store = Store::open(settings, http, bucket, "")?;
        store.make_container(&format!("making the container {bucket}"), bucket, None)
    }
}

fn wrong(key: &str, cause: String) -> Error {
    Error::new(Kind::Usage, format!("setting {key} of {}", DESCRIPTOR.label), cause)
        .remedy("see mooring service show swift")
}

fn check_container(name: &str) -> Result<()> {
    // As long as the name of its segments' container may be.
    let most = 256 - SEGMENTS.len();
    if name.is_empty() || name.len() > most || name.contains('/') || is_dots(name) {
        return Err(wrong("container", format!("it has 1 to {most} bytes, and no /")));
    }
    Ok(())
}

/// Whether a server or something before it may take a name for a place.
fn is_dots(name: &str) -> bool {
    matches!(name, "." | "..")
}

/// A folder of a container, opened.
struct Store {
    http: Http,
    identity: Identity,
    session: Mutex<Option<Arc<Session>>>,
    info: Mutex<Option<Arc<Info>>>,
    /// Empty where the account is meant.
    container: String,
    /// What comes before each path: empty, or the root with its slash.
    root: String,
    segment_size: u64,
    conditions: Conditions,
    /// Fingerprints of objects that are empty files.
    empty: Mutex<HashSet<u64>>,
    senders: Senders,
}

/// How an object is made of others.
#[derive(Default, PartialEq, Eq)]
enum Large {
    /// It isn't.
    #[default]
    No,
    /// By a list of them.
    Static,
    /// By the beginning of their names, with their container before it.
    Dynamic(String),
}

/// An object, as a look at it tells.
struct Item {
    size: u64,
    version: Version,
    /// Of the content, where it is known.
    md5: Option<[u8; 16]>,
    mtime: Option<Nanos>,
    large: Large,
    is_folder: bool,
}

impl Item {
    fn entry(&self) -> Entry {
        let print = RemotePrint::file(self.size, self.version.clone(), self.mtime);
        Entry::file(print, self.md5.map(Hash::Md5))
    }
}

/// A container of an account.
#[derive(Deserialize)]
struct ContainerRow {
    name: String,
}

impl Store {
    /// One whose settings are checked. Where the container's name is empty, what is asked is asked
    /// of the account.
    fn open(settings: &Settings, http: Http, container: &str, root: &str) -> Result<Store> {
        let conditions = Conditions::default();
        // No server of Swift checks what is to be replaced.
        conditions.ignored(Expect::Version(&Version::default()));
        let senders = Senders::new(http.connections());
        Ok(Store {
            identity: Identity::by(settings)?,
            session: Mutex::default(),
            info: Mutex::default(),
            container: container.into(),
            root: if root.is_empty() { String::new() } else { format!("{root}/") },
            segment_size: u64::from(settings.number(&DESCRIPTOR, "segment-size")) * MIB,
            conditions,
            empty: Mutex::default(),
            senders,
            http,
        })
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Name of a folder's marker; what is in it starts with the same. Empty for a container's root.
    fn folder_key(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}{path}/", self.root) }
    }

    /// Where an object of the container is found.
    fn target(&self, key: &str) -> String {
        format!("/{}/{key}", self.container)
    }

    // ---- looking

    fn head(&self, what: &str, key: &str) -> Result<Option<Item>> {
        // Whichever of the servers that keep it knows best.
        match self.send(what, &Ask::new("HEAD", &self.target(key)).header("x-newest", "true")) {
            Ok(reply) => {
                let size = reply.content_length();
                item(what, &reply, size).map(Some)
            }
            Err(fault) if fault.error.kind() == Kind::NotFound => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// A look that finds files alone.
    fn file(&self, what: &str, key: &str) -> Result<Option<Item>> {
        Ok(self.head(what, key)?.filter(|item| !item.is_folder))
    }

    /// Whether what is there is what is expected.
    fn check(&self, what: &str, key: &str, expect: Expect<'_>) -> Result<()> {
        check(what, expect, self.head(what, key)?.as_ref().map(Item::entry).as_ref())
    }

    /// A container that isn't there is told with what to do.
    fn of_container(&self, fault: Fault, container: &str) -> Fault {
        if fault.error.kind() != Kind::NotFound || container.is_empty() {
            return fault;
        }
        let remedy = format!(
            "make the container {container} or correct the connection's container or region"
        );
        Fault { error: fault.error.remedy(remedy), ..fault }
    }

    // ---- containers

    fn list_containers(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let (what, mut after) = ("listing containers", String::new());
        loop {
            let mut query = vec![("format", "json")];
            query.extend(Some(("marker", after.as_str())).filter(|_| !after.is_empty()));
            let reply = self.send(what, &Ask::new("GET", "").query(&query))?;
            let rows: Vec<ContainerRow> = reply.json(what)?;
            let Some(last) = rows.last().map(|row| row.name.clone()) else { return Ok(()) };
            if last <= after {
                return Err(not_swift(what, "the list of containers doesn't end"));
            }
            rows.iter().try_for_each(|row| each(&row.name))?;
            after = last;
        }
    }

    /// Makes a container, kept as `policy` says. One that is there is as good.
    fn make_container(&self, what: &str, name: &str, policy: Option<&str>) -> Result<()> {
        let target = format!("/{name}");
        let mut ask = Ask::new("PUT", &target).payload(Payload::Bytes(&[]));
        ask.headers.extend(policy.map(|policy| ("x-storage-policy", policy.to_owned())));
        self.send(what, &ask)?.drain();
        Ok(())
    }
}

/// The state of the object of `size` that the header fields of a HEAD or GET tell of.
fn item(what: &str, reply: &Reply, size: Option<u64>) -> Result<Item> {
    let large = match reply.header("x-object-manifest") {
        Some(prefix) => Large::Dynamic(prefix.to_owned()),
        None if reply.header("x-static-large-object").is_some_and(is_true) => Large::Static,
        None => Large::No,
    };
    let etag = reply.header("etag");
    let (version, size) = match (etag, size, &large) {
        (Some(etag), Some(size), _) => (Version::from_etag(etag), size),
        // It has more segments than the service counts.
        (_, None, Large::Dynamic(_)) => {
            let version = reply.header("x-timestamp").unwrap_or_default();
            (Version::new(version), RemotePrint::UNSIZED)
        }
        _ => (Version::default(), 0),
    };
    if version.is_empty() {
        return Err(not_swift(what, "the reply tells no ETag or size"));
    }
    let own = |version| md5_of(version).filter(|_| large == Large::No);
    // Of a large object, Mooring keeps the MD5 in a field of its own.
    let kept = || {
        let sum = BASE64.decode(reply.header("x-object-meta-md5chksum")?).ok()?;
        sum.try_into().ok().filter(|_| large == Large::Static)
    };
    Ok(Item {
        size,
        md5: own(&version).or_else(kept),
        version,
        mtime: reply.header("x-object-meta-mtime").and_then(seconds::parse),
        is_folder: is_folder(reply.header("content-type").unwrap_or_default(), size)
            && large == Large::No,
        large,
    })
}

fn is_true(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

fn md5_of(version: &Version) -> Option<[u8; 16]> {
    from_hex(version.as_str())?.try_into().ok()
}

fn quoted(version: &Version) -> String {
    format!("\"{}\"", version.as_str())
}

fn not_swift(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Protocol, what, cause)
        .remedy("check the connection's address; a proxy may be in between")
}

impl Remote for Store {
    fn test(&self) -> Result<()> {
        let what = format!("looking into the container {}", self.container);
        self.page(&what, &self.container, &self.root, "", Some(1), true).map(drop)
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        self.walk(folder.path, true, each)
    }

    fn children(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        self.walk(folder.path, false, each)
    }

    /// A folder is there when a marker of it, or anything below it, is. The root is when the
    /// container is.
    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        let path = place.path;
        let what = format!("looking at {}", if path.is_empty() { &self.container } else { path });
        if kind == ItemKind::File {
            return Ok(self.file(&what, &self.key(path))?.map(|item| item.entry()));
        }
        let within = self.page(&what, &self.container, &self.folder_key(path), "", Some(1), true);
        let within = match within {
            Err(error) if path.is_empty() && error.kind() == Kind::NotFound => return Ok(None),
            within => within?,
        };
        let found = path.is_empty()
            || !within.is_empty()
            || self.head(&what, &self.key(path))?.is_some_and(|item| item.is_folder);
        Ok(found.then(|| Entry::folder("")))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let (what, key) = (format!("downloading {}", place.path), self.key(place.path));
        let target = self.target(&key);
        let mut ask = Ask::new("GET", &target).header("if-match", quoted(version));
        if let Some(range) = http::range(&bytes) {
            ask = ask.header("range", range);
        }
        let reply = match self.send(&what, &ask) {
            Err(fault) if fault.status == 416 => {
                let entry = self.head(&what, &key)?.map(|item| item.entry());
                check(&what, Expect::Version(version), entry.as_ref())?;
                return download::at_end(bytes.start, entry).ok_or_else(|| fault.into());
            }
            Err(fault) if fault.status == 409 => {
                let cause = "one of its segments is missing, or was changed";
                let remedy = "remove it, or write it anew";
                return Err(Error::new(Kind::Integrity, what, cause).remedy(remedy));
            }
            reply => reply?,
        };
        let no_size = || Err(not_swift(&what, "the reply tells no size"));
        let arrived = Arrived::of(&what, &reply, &bytes, &no_size)?;
        let entry = item(&what, &reply, Some(arrived.size))?.entry();
        check(&what, Expect::Version(version), Some(&entry))?;
        arrived.open(what, reply, entry)
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
        let entry = match content.size() > self.segment_size {
            true => self.write_large(&what, &key, content, mtime, expect, resume),
            false => self.write_small(&what, &key, content, mtime, expect),
        };
        entry.map(Written::from)
    }

    fn abandon(&self, note: &[u8]) -> Result<()> {
        self.abandon_segments(note)
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let path = place.path;
        let (what, key) = (format!("making the folder {path}"), self.folder_key(path));
        let found = || Ok(Made::or_found(Entry::folder("")));
        if key.is_empty() {
            return found();
        }
        match self.head(&what, key.trim_end_matches('/'))? {
            Some(item) if item.is_folder => return found(),
            Some(_) => return Err(Error::new(Kind::Exists, what, "a file is there")),
            None => {}
        }
        let target = self.target(&key);
        let ask = Ask::new("PUT", &target)
            .header("content-type", FOLDER)
            .header("if-none-match", "*")
            .payload(Payload::Bytes(&[]));
        match self.send(&what, &ask) {
            Ok(reply) => reply.drain(),
            Err(fault) if fault.status == 412 => {}
            Err(fault) => return Err(self.of_container(fault, &self.container).into()),
        }
        found()
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
        let copied = self.copy_object(&what, &from, &to, version)?;
        let removed = self.remove_file(&what, &from, version);
        objects::moved(copied, removed, |copy| self.remove_file(&what, &to, copy))
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let (from, to) = (from.path, to.path);
        let what = format!("copying {from} to {to}");
        self.copy_object(&what, &self.key(from), &self.key(to), version)
    }

    fn has_content(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<Option<bool>> {
        let what = format!("comparing {} with its segments", place.path);
        self.has_segments_of(&what, &self.key(place.path), version, content)
    }

    fn composition(&self, place: Place<'_>, print: &RemotePrint) -> Result<Option<Composition>> {
        if print.size <= self.segment_size {
            return Ok(None);
        }
        let what = format!("looking at the segments of {}", place.path);
        self.composition_of(&what, &self.key(place.path), print)
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        let files = |files: objects::Files<'_>, done: &mut dyn FnMut(usize, Result<()>)| {
            let keyed = files.into_iter().map(|(at, it)| (at, self.key(it.place.path), it.version));
            self.remove_files(&keyed.collect::<Vec<_>>(), done);
        };
        let folder = |what: &str, path: &str| self.remove_folder(what, &self.folder_key(path));
        objects::remove(items, done, files, folder);
    }
}
