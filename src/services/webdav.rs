//! WebDAV (RFC 4918) as servers speak it, with what Nextcloud and ownCloud add.
//!
//! Little can be taken for granted: servers ignore conditions, keep ETags to themselves, lose
//! what is moved to nowhere. What a server does is tried once and remembered while the remote is
//! open; what it may lie about is looked at afterwards.

use crate::content::{Content, Guarded};
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind};
use crate::http::{
    self, Call, Http, Payload, Reply, Shown, UserAuth, content_range, parse_http_date, read_error,
};
use crate::model::{ItemKind, Nanos, RemotePrint, Version, from_hex, join_path, split_path};
use crate::remote::conditions::{Conditions, Support, check};
use crate::remote::{
    Descriptor, Download, Entry, Expect, Field, FieldKind, Listing, Made, Moves, NameRule, Needed,
    Place, Remote, Removal, Resume, Service, Settings, Written, is_path,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

static DESCRIPTOR: Descriptor = Descriptor {
    name: "webdav",
    label: "WebDAV",
    fields: &[
        Field {
            key: "url",
            label: "Address",
            help: "https://host[:port]/path; of Nextcloud https://host/remote.php/dav/files/USER",
            kind: FieldKind::Url,
            needed: Needed::Yes,
            place: true,
        },
        Field {
            key: "user",
            label: "User",
            help: "name to sign in with, Basic or Digest as the server asks",
            kind: FieldKind::Text,
            needed: Needed::No,
            place: true,
        },
        Field {
            key: "password",
            label: "Password",
            help: "password, or app password where the account has a second factor",
            kind: FieldKind::Secret,
            needed: Needed::No,
            place: false,
        },
    ],
    sign_in: None,
    providers: &[],
    task_fields: &[],
    listing: Listing::Folders,
    folders_implied: false,
    moves: Moves::Trees,
    folds_case: false,
    namesakes: false,
    keeps_mtime: false,
    hash: Some(HashKind::Md5),
    max_size: None,
    max_path: 2048,
    names: NameRule::NONE,
    stored_bytes: None,
    bucket: None,
};

/// A larger file isn't sent twice to find out what the server does, nor in vain if a look can
/// prevent it.
const LARGE: u64 = 1 << 20;
/// Apache's ETags are weak, and meet no condition, for a second after a write.
const WEAK_TIME: Duration = Duration::from_millis(1100);
/// Redirections followed for one PROPFIND.
const REDIRECTS: usize = 3;
/// Starts a version that isn't an ETag but made of time and size. No known server's ETag does.
const MADE_UP: char = '~';
/// Bytes that stand for themselves in a path.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

macro_rules! propfind_body {
    ($more:literal) => {
        concat!(
            r#"<?xml version="1.0" encoding="utf-8"?>"#,
            r#"<d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop>"#,
            "<d:resourcetype/><d:getetag/><d:getcontentlength/><d:getlastmodified/>",
            $more,
            "</d:prop></d:propfind>"
        )
    };
}
const ASK: &str = propfind_body!("");
const ASK_OWNCLOUD: &str = propfind_body!("<oc:fileid/><oc:checksums/>");

/// The service.
pub struct WebDav;

impl Service for WebDav {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        DESCRIPTOR.check(settings)?;
        let (origin, base) = parse_address(settings.get(&DESCRIPTOR, "url"))?;
        let get = |key| settings.get(&DESCRIPTOR, key);
        Ok(Arc::new(Dav {
            http,
            auth: UserAuth::new(get("user"), get("password")),
            origin,
            base,
            root: root.split('/').filter(|part| !part.is_empty()).map(Into::into).collect(),
            conditions: Conditions::default(),
            owncloud: Learnt::default(),
            keeps_mtime: Learnt::default(),
            put_tells_version: Learnt::default(),
            lists_dots: Mutex::default(),
        }))
    }
}

struct Dav {
    http: Http,
    auth: UserAuth,
    /// Scheme, host and port.
    origin: String,
    /// Parts of the address' path, decoded.
    base: Vec<String>,
    /// Parts of the root's path below the address.
    root: Vec<String>,
    conditions: Conditions,
    /// Whether it is a Nextcloud or ownCloud, or of their family.
    owncloud: Learnt,
    keeps_mtime: Learnt,
    /// Whether the ETag in the reply to a PUT is the one that PROPFIND tells then. rclone's isn't.
    put_tells_version: Learnt,
    /// Whether listings tell names that start with a dot. nginx's don't.
    lists_dots: Mutex<Option<bool>>,
}

/// A fact about a server that comes to light.
#[derive(Default)]
struct Learnt(AtomicU8);

impl Learnt {
    fn get(&self) -> Option<bool> {
        match self.0.load(Relaxed) {
            0 => None,
            known => Some(known == 1),
        }
    }

    fn set(&self, fact: bool) {
        self.0.store(if fact { 1 } else { 2 }, Relaxed);
    }

    /// Takes it as a fact as long as nothing speaks against it, and never again after that.
    fn support(&self, fact: bool) {
        self.0.fetch_max(if fact { 1 } else { 2 }, Relaxed);
    }
}

impl Remote for Dav {
    fn test(&self) -> Result<()> {
        let what = format!("looking at {}", self.name(""));
        match self.look(&what, "", ItemKind::Folder)? {
            Some(props) if props.collection => Ok(()),
            Some(_) => Err(Error::new(Kind::NotFound, what, "there is a file, not a folder")
                .remedy("check the address of the connection and the remote folder of the task")),
            None => Err(Error::new(Kind::NotFound, what, "there is no such folder")
                .remedy("check the address of the connection and the remote folder of the task")),
        }
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let folder = folder.path;
        let what = format!("listing {}", self.name(folder));
        let there =
            self.propfind(
                &what,
                folder,
                ItemKind::Folder,
                "1",
                &mut |member, props| match member {
                    Member::Itself if props.collection => Ok(()),
                    Member::Itself => Err(Error::new(Kind::NotFound, &what, "it is a file now")),
                    Member::Child(name) => each(&name, self.entry(&what, props)?),
                    Member::Unreadable => {
                        tracing::warn!(folder, "left out a name that isn't UTF-8 or holds a slash");
                        Ok(())
                    }
                },
            )?;
        if there { Ok(()) } else { Err(gone(&what)) }
    }

    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        self.tell(place.path, kind)
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        self.download(place.path, version, &bytes)
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        _resume: &dyn Resume,
    ) -> Result<Written> {
        let path = place.path;
        let what = format!("uploading {}", self.name(path));
        let size = content.size();
        self.check_listed(&what, path)?;
        let upload = Upload { dav: self, what: &what, path, content: &Guarded(content), mtime };
        let look = || check(&what, expect, self.tell(path, ItemKind::File)?.as_ref());
        let condition = match expect {
            Expect::Absent => Some(("If-None-Match", "*".to_string())),
            Expect::Version(version) => strong_etag(version).map(|etag| ("If-Match", etag)),
        };
        let support = match condition {
            Some(_) => self.conditions.support(expect),
            None => Support::Ignored,
        };
        // RACE: a server that ignores conditions loses what is written between this look and the
        // PUT's end. The same holds wherever a PUT without a condition follows below.
        // WsgiDAV takes If-Match to hold for a file that isn't there.
        if support != Support::Honoured || size > LARGE || expect != Expect::Absent {
            look()?;
        }
        let condition = condition.filter(|_| support != Support::Ignored);
        let probing = support == Support::Unknown && size <= LARGE;

        if probing && let Expect::Version(_) = expect {
            let wrong = ("If-Match", "\"mooring-never\"".to_string());
            let (reply, _) = upload.put(Some(&wrong))?;
            match reply.status {
                412 => {
                    reply.drain();
                    self.conditions.honoured(expect);
                }
                status => {
                    if is_success(status) {
                        self.conditions.ignored(expect);
                    }
                    return upload.finish(reply).map(Written::from);
                }
            }
        }

        let (mut reply, mut repeated) = upload.put(condition.as_ref())?;
        for last in [false, true] {
            if reply.status != 412 {
                break;
            }
            reply.drain();
            // The reply to an attempt that succeeded may have been lost.
            if repeated && let Some(entry) = upload.landed()? {
                return Ok(entry.into());
            }
            look()?;
            if last || expect == Expect::Absent {
                // It refuses even what holds.
                self.conditions.ignored(expect);
                reply = upload.put(None)?.0;
                break;
            }
            self.http.pause(WEAK_TIME)?;
            (reply, repeated) = upload.put(condition.as_ref())?;
        }

        // RACE: once for each opened remote; where conditions are ignored, what somebody else
        // writes to the new file between these two requests is lost.
        if probing && expect == Expect::Absent && is_success(reply.status) {
            let (second, _) = upload.put(condition.as_ref())?;
            match second.status {
                412 => {
                    second.drain();
                    self.conditions.honoured(expect);
                }
                status => {
                    if is_success(status) {
                        self.conditions.ignored(expect);
                    }
                    reply = second;
                }
            }
        }
        upload.finish(reply).map(Written::from)
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let path = place.path;
        let what = format!("making folder {}", self.name(path));
        self.check_listed(&what, path)?;
        if !path.is_empty() {
            self.make_collection(&what, path, self.url(path, ItemKind::Folder)?)?;
            return Ok(Made::or_found(Entry::folder("")));
        }
        for depth in 1..=self.root.len() {
            let parts = self.base.iter().chain(&self.root[..depth]);
            self.make_collection(&what, path, format!("{}/", self.url_of(parts)))?;
        }
        match self.look(&what, path, ItemKind::Folder)? {
            Some(props) if props.collection => Ok(Made::or_found(Entry::folder(""))),
            Some(_) => Err(Error::new(Kind::Exists, what, "a file is in its place")),
            None => Err(gone(&what)),
        }
    }

    fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry> {
        self.relocate("MOVE", from.path, to.path, kind, version)
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        self.relocate("COPY", from.path, to.path, ItemKind::File, version)
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        for (index, item) in items.iter().enumerate() {
            done(index, self.remove_one(item));
        }
    }
}

impl Dav {
    fn tell(&self, path: &str, kind: ItemKind) -> Result<Option<Entry>> {
        let what = format!("looking at {}", self.name(path));
        self.look(&what, path, kind)?.map(|props| self.entry(&what, props)).transpose()
    }

    fn download(&self, path: &str, version: &Version, bytes: &Range<u64>) -> Result<Download> {
        let from = bytes.start;
        let what = format!("downloading {}", self.name(path));
        let changed =
            || Error::new(Kind::Changed, &what, "it isn't the version any more that was seen");
        let mut condition = strong_etag(version);
        let reply = loop {
            let reply = self.send(&what, &mut || {
                let mut call = Call::new("GET", self.url(path, ItemKind::File)?, true);
                if let Some(etag) = &condition {
                    call = call.header("If-Match", etag);
                }
                if let Some(range) = http::range(bytes) {
                    call = call.header("Range", range);
                }
                Ok(call)
            })?;
            match reply.status {
                200 | 206 => break reply,
                // A weak ETag meets no condition even if it is the same. The reply tells its own.
                412 if condition.take().is_some() => reply.drain(),
                412 => {
                    reply.drain();
                    return Err(changed());
                }
                416 => {
                    reply.drain();
                    let props =
                        self.look(&what, path, ItemKind::File)?.ok_or_else(|| gone(&what))?;
                    let entry = self.entry(&what, props)?;
                    if entry.print.version != *version || entry.print.size > from {
                        return Err(changed());
                    }
                    return Ok(Download { reader: Box::new(io::empty()), end: from, entry });
                }
                404 | 410 => {
                    reply.drain();
                    return Err(gone(&what));
                }
                _ => return Err(refused(&what, reply)),
            }
        };

        let (came, size) = match reply.status {
            206 => content_range(reply.header("content-range").unwrap_or_default())
                .filter(|(came, _)| came.start == from && came.end <= bytes.end)
                .ok_or_else(|| {
                    Error::new(Kind::Protocol, &what, "the server sent another range than asked")
                })?,
            _ => (0..u64::MAX, reply.content_length()),
        };
        let modified = reply.header_time("last-modified");
        let told = match (strong_etag(version), reply.header("etag")) {
            (Some(_), Some(etag)) => Some(Version::from_etag(etag)),
            (None, _) => modified.zip(size).map(|(time, size)| made_up(time, size)),
            _ => None,
        };
        let entry = match (told, size) {
            (Some(told), Some(size)) if told == *version => {
                let mtime = modified.filter(|_| self.keeps_mtime.get() == Some(true)).map(nanos);
                let print = RemotePrint::file(size, told, mtime);
                Entry::file(print, None)
            }
            // The reply doesn't say it, or says it in other words than PROPFIND. If it is that
            // version now, it was when the reply began: versions don't come back.
            _ => match self.look(&what, path, ItemKind::File)? {
                Some(props) if props.collection => return Err(changed()),
                Some(props) => self.entry(&what, props)?,
                None => return Err(gone(&what)),
            },
        };
        if entry.print.version != *version || size.is_some_and(|size| size != entry.print.size) {
            return Err(changed());
        }
        let end = came.end.min(entry.print.size);
        let mut reader = reply.into_reader();
        if came.start < from {
            let skipped = io::copy(&mut reader.by_ref().take(from), &mut io::sink());
            if skipped.map_err(|error| read_error(&what, error))? < from {
                return Err(Error::new(Kind::Offline, &what, "the reply broke off"));
            }
        }
        let left = end.saturating_sub(from);
        Ok(Download { reader: Box::new(Exactly { reader, left }), end, entry })
    }

    /// An item for a message: its path, or the address for the root.
    fn name(&self, path: &str) -> String {
        match path {
            "" => format!("{}/", self.url_of(self.base.iter().chain(&self.root))),
            path => format!("'{path}'"),
        }
    }

    fn url_of<'a>(&self, parts: impl Iterator<Item = &'a String>) -> String {
        let mut url = self.origin.clone();
        for part in parts {
            url.push('/');
            url.extend(utf8_percent_encode(part, PATH));
        }
        url
    }

    /// The address of an item; a folder's ends in a slash, which some servers insist on.
    fn url(&self, path: &str, kind: ItemKind) -> Result<String> {
        let mut url = self.url_of(self.base.iter().chain(&self.root));
        if !path.is_empty() {
            // A server would take such parts out and do something to another item.
            if !is_path(path) {
                let name = format!("path '{path}'");
                return Err(Error::new(Kind::BadName, name, "it has no address on the server"));
            }
            url.push('/');
            url.extend(utf8_percent_encode(path, PATH));
        }
        if kind == ItemKind::Folder {
            url.push('/');
        }
        Ok(url)
    }

    /// Sends a request, signed in as the server asks. Any reply but a 401 is good.
    fn send<'a>(&self, what: &str, build: &mut dyn FnMut() -> Result<Call<'a>>) -> Result<Reply> {
        for _ in 0..3 {
            let mut shown: Option<Shown> = None;
            let reply = self.http.call(what, &mut || {
                let call = build()?;
                let target = call.url.strip_prefix(&self.origin).unwrap_or_default();
                shown = self.auth.show(call.method, target)?;
                Ok(match &shown {
                    Some(shown) => call.header("Authorization", &shown.header),
                    None => call,
                })
            })?;
            if reply.status != 401 {
                if let Some(shown) = &shown {
                    self.auth.accepted(shown);
                }
                return Ok(reply);
            }
            let again = self.auth.refused(shown.as_ref(), reply.header_all("www-authenticate"));
            reply.drain();
            if !again {
                break;
            }
        }
        Err(Error::new(Kind::SignIn, what, "the server doesn't accept this user and password"))
    }

    /// Asks for an item's properties, and with depth 1 for those of a folder's children. `false`
    /// when it isn't there.
    fn propfind(
        &self,
        what: &str,
        path: &str,
        kind: ItemKind,
        depth: &str,
        each: &mut dyn FnMut(Member, Props) -> Result<()>,
    ) -> Result<bool> {
        let mut url = self.url(path, kind)?;
        let body = if self.owncloud.get() == Some(false) { ASK } else { ASK_OWNCLOUD };
        for _ in 0..=REDIRECTS {
            let reply = self.send(what, &mut || {
                Ok(Call::new("PROPFIND", url.clone(), true)
                    .header("Depth", depth)
                    .header("Content-Type", "application/xml; charset=utf-8")
                    .payload(Payload::Bytes(body.as_bytes())))
            })?;
            match reply.status {
                207 => return self.told(what, &url, reply, each),
                301 | 302 | 307 | 308 => url = self.follow(what, path, &url, reply)?,
                404 | 410 => {
                    reply.drain();
                    return Ok(false);
                }
                200..=299 | 405 | 501 => {
                    return Err(Error::new(
                        Kind::Protocol,
                        what,
                        "this is not a WebDAV server, or not the address of its files",
                    )
                    .remedy("check the address of the connection"));
                }
                _ => return Err(refused(what, reply)),
            }
        }
        Err(Error::new(Kind::Protocol, what, "the server redirects in a circle"))
    }

    fn told(
        &self,
        what: &str,
        url: &str,
        reply: Reply,
        each: &mut dyn FnMut(Member, Props) -> Result<()>,
    ) -> Result<bool> {
        let strange = |cause: String| Error::new(Kind::Protocol, what, cause);
        let folder: Vec<Vec<u8>> = href_parts(url).into_iter().flatten().collect();
        let mut itself = None;
        parse_multistatus(what, reply.into_reader(), &mut |told| {
            let Some(told_of) = member(&folder, &told.href) else {
                return Err(strange("the server told of something that wasn't asked for".into()));
            };
            let Some(member) = told_of else { return Ok(()) };
            match told.status {
                404 | 410 => {
                    if member == Member::Itself {
                        itself = Some(false);
                    }
                    return Ok(());
                }
                200..=299 => {}
                status => return Err(refusal(what, status)),
            }
            if member == Member::Itself {
                itself = Some(true);
                if told.props.owncloud {
                    self.owncloud.set(true);
                    self.keeps_mtime.set(true);
                } else if self.owncloud.get().is_none() {
                    self.owncloud.set(false);
                }
            }
            each(member, told.props)
        })?;
        itself.ok_or_else(|| strange("the server left out what was asked for".into()))
    }

    /// The address that a redirection points to. It has to be on the same server; the root's has
    /// to be the same but for slashes and encoding, because only PROPFIND is redirected.
    fn follow(&self, what: &str, path: &str, url: &str, reply: Reply) -> Result<String> {
        let location = reply.header("location").unwrap_or_default().to_string();
        reply.drain();
        let target = match location.strip_prefix('/') {
            Some(path) if !path.starts_with('/') => format!("{}{location}", self.origin),
            _ => location,
        };
        let rest = target.get(self.origin.len()..).unwrap_or_default();
        let same = target.get(..self.origin.len()).is_some_and(|origin| {
            origin.eq_ignore_ascii_case(&self.origin) && rest.starts_with('/')
        });
        let moved = path.is_empty() && href_parts(&target) != href_parts(url);
        if !same || moved || target == url {
            let cause = format!("the server says to go to '{target}'");
            return Err(Error::new(Kind::Usage, what, cause)
                .remedy("set the connection's url to where the files are"));
        }
        Ok(target)
    }

    fn look(&self, what: &str, path: &str, kind: ItemKind) -> Result<Option<Props>> {
        let mut found = None;
        self.propfind(what, path, kind, "0", &mut |member, props| {
            if member == Member::Itself {
                found = Some(props);
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn entry(&self, what: &str, props: Props) -> Result<Entry> {
        let etag = props.etag.as_deref().map(Version::from_etag).filter(|etag| !etag.is_empty());
        if props.collection {
            // Only this family changes a folder's ETag with everything below it.
            let version = etag.filter(|_| props.owncloud).unwrap_or_default();
            let print = RemotePrint::file(0, version, None);
            return Ok(Entry { print, ..Entry::folder("") });
        }
        let lacking = |fact| {
            Error::new(Kind::Protocol, what, format!("the server doesn't tell a file's {fact}"))
        };
        let size = props.length.ok_or_else(|| lacking("size"))?;
        let version = match (etag, props.modified) {
            (Some(etag), _) => etag,
            (None, Some(time)) => made_up(time, size),
            (None, None) => return Err(lacking("ETag nor its time")),
        };
        let mtime = props.modified.filter(|_| self.keeps_mtime.get() == Some(true)).map(nanos);
        let print = RemotePrint::file(size, version, mtime);
        Ok(Entry::file(print, props.md5.map(Hash::Md5)))
    }

    /// The error for a folder that isn't there but should hold `path`; `None` when it is there.
    fn missing_parent(&self, what: &str, path: &str) -> Result<Option<Error>> {
        let (parent, _) = split_path(path);
        Ok(match self.look(what, parent, ItemKind::Folder)? {
            Some(props) if props.collection => None,
            _ => {
                let cause = format!("there is no folder {}", self.name(parent));
                Some(Error::new(Kind::NotFound, what, cause))
            }
        })
    }

    /// Fails for a name that the server would keep but not list: it would seem removed.
    fn check_listed(&self, what: &str, path: &str) -> Result<()> {
        let (parent, name) = split_path(path);
        if !name.starts_with('.') || self.lists_dots(what, parent)? {
            return Ok(());
        }
        Err(Error::new(Kind::BadName, what, "the server hides names that start with a dot"))
    }

    /// Whether the server lists names that start with a dot. Once, that is tried with a file of our
    /// own in this folder.
    fn lists_dots(&self, what: &str, folder: &str) -> Result<bool> {
        let mut known = self.lists_dots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.or(self.owncloud.get().filter(|it| *it)) {
            return Ok(known);
        }
        let probe = format!(".mooring-{}", std::process::id());
        let url = self.url(&join_path(folder, &probe), ItemKind::File)?;
        let send = |method, payload| {
            self.send(what, &mut || Ok(Call::new(method, url.clone(), true).payload(payload)))
        };
        let put = send("PUT", Payload::Bytes(b""))?;
        let made = is_success(put.status);
        put.drain();
        if !made {
            // What is wrong here, the change itself will tell.
            return Ok(true);
        }
        let mut listed = false;
        let looked = self.propfind(what, folder, ItemKind::Folder, "1", &mut |place, _| {
            listed |= matches!(place, Member::Child(child) if child == probe);
            Ok(())
        });
        send("DELETE", Payload::None)?.drain();
        looked?;
        *known = Some(listed);
        Ok(listed)
    }

    /// Fails where the item that the server finds by this path is called otherwise: it takes names
    /// for the same that differ only in the case of letters.
    fn check_name(&self, what: &str, path: &str) -> Result<()> {
        let (parent, name) = split_path(path);
        let mut listed = false;
        self.propfind(what, parent, ItemKind::Folder, "1", &mut |place, _| {
            listed |= matches!(place, Member::Child(child) if child == name);
            Ok(())
        })?;
        if listed {
            return Ok(());
        }
        let cause = "another one has its name, but for the case of letters";
        Err(Error::new(Kind::NameTaken, what, cause))
    }

    fn make_collection(&self, what: &str, path: &str, url: String) -> Result<()> {
        let reply = self.send(what, &mut || Ok(Call::new("MKCOL", url.clone(), true)))?;
        let status = reply.status;
        match status {
            200..=299 => {
                reply.drain();
                Ok(())
            }
            // Some servers redirect to a folder that is there.
            405 | 301 => {
                reply.drain();
                match self.look(what, path, ItemKind::Folder) {
                    // On the way to the root, a later step tells.
                    _ if path.is_empty() => Ok(()),
                    Ok(Some(props)) if props.collection => self.check_name(what, path),
                    Ok(_) => Err(Error::new(Kind::Exists, what, "a file is in its place")),
                    Err(error) => Err(error),
                }
            }
            404 | 409 => {
                reply.drain();
                let cause = "the folder that should hold it isn't there";
                Err(Error::new(Kind::NotFound, what, cause))
            }
            _ => Err(refused(what, reply)),
        }
    }

    fn relocate(
        &self,
        method: &'static str,
        from: &str,
        to: &str,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry> {
        let verb = if method == "MOVE" { "moving" } else { "copying" };
        let what = format!("{verb} {} to {}", self.name(from), self.name(to));
        // RACE: no server checks a condition on the source, and not all heed Overwrite: what is
        // written to either path between these looks and the move's end is moved, or replaced.
        let seen = self.look(&what, from, kind)?.ok_or_else(|| gone(&what))?;
        let modified = seen.modified;
        let source = self.entry(&what, seen)?;
        if source.kind != kind || kind == ItemKind::File && source.print.version != *version {
            return Err(Error::new(Kind::Changed, what, "it was changed in the meantime"));
        }
        check(&what, Expect::Absent, self.tell(to, kind)?.as_ref())?;
        self.check_listed(&what, to)?;
        // nginx drops what is moved to a folder that isn't there, and calls it a success.
        if split_path(from).0 != split_path(to).0
            && let Some(error) = self.missing_parent(&what, to)?
        {
            return Err(error);
        }
        let reply = self.send(&what, &mut || {
            Ok(Call::new(method, self.url(from, kind)?, false)
                .header("Destination", self.url(to, kind)?)
                .header("Overwrite", "F"))
        })?;
        match reply.status {
            207 => {
                reply.drain();
                return Err(Error::new(Kind::Protocol, what, "the server did it only in part"));
            }
            200..=299 => reply.drain(),
            412 => {
                reply.drain();
                return Err(Error::new(Kind::Exists, what, "something is there"));
            }
            _ => return Err(refused(&what, reply)),
        }
        let there = self.look(&what, to, kind)?;
        let same_time = there.as_ref().is_some_and(|there| there.modified == modified);
        match there.map(|there| self.entry(&what, there)).transpose()? {
            // Some give a file another ETag with its new name.
            Some(entry)
                if kind == ItemKind::File
                    && method == "MOVE"
                    && entry.print.version != *version
                    && !same_time =>
            {
                Err(Error::new(Kind::Changed, what, "it was changed while it was moved"))
            }
            Some(entry) if entry.kind == kind && entry.print.size == source.print.size => Ok(entry),
            _ => Err(Error::new(
                Kind::Integrity,
                what,
                "the server called it a success, but it isn't there as it was",
            )),
        }
    }

    fn remove_one(&self, item: &Removal<'_>) -> Result<()> {
        let what = format!("removing {}", self.name(item.place.path));
        match item.kind {
            ItemKind::Folder => {
                let mut full = false;
                let there =
                    self.propfind(&what, item.place.path, item.kind, "1", &mut |place, props| {
                        match place {
                            Member::Itself if props.collection => Ok(()),
                            Member::Itself => {
                                Err(Error::new(Kind::Changed, &what, "it is a file now"))
                            }
                            Member::Child(_) | Member::Unreadable => {
                                full = true;
                                Ok(())
                            }
                        }
                    })?;
                if full {
                    return Err(Error::new(Kind::Exists, what, "it isn't empty"));
                }
                if !there {
                    return Ok(());
                }
                if !self.lists_dots(&what, item.place.path)? {
                    let cause =
                        "the server hides names that start with a dot, and some may be in it";
                    return Err(Error::new(Kind::Denied, what, cause)
                        .remedy("look into the folder on the server, and remove it there"));
                }
                // RACE: what is put into the folder between this look and the DELETE goes with
                // it: DELETE takes everything, and there is no condition that says "empty".
                self.delete(&what, item, None).map(drop)
            }
            ItemKind::File => {
                let expect = Expect::Version(item.version);
                let etag = strong_etag(item.version)
                    .filter(|_| self.conditions.support(expect) != Support::Ignored);
                for (attempt, etag) in [etag.as_deref(), etag.as_deref(), None].iter().enumerate() {
                    // Even where conditions hold: a folder in its place may have no ETag to check,
                    // and DELETE would take everything in it.
                    // RACE: where they don't, what is written between the two is lost.
                    let Some(entry) = self.tell(item.place.path, item.kind)? else { return Ok(()) };
                    check(&what, expect, Some(&entry))?;
                    if entry.kind != item.kind {
                        return Err(Error::new(Kind::Changed, what, "it is a folder now"));
                    }
                    if self.delete(&what, item, *etag)? {
                        return Ok(());
                    }
                    if attempt == 0 {
                        self.http.pause(WEAK_TIME)?;
                    }
                }
                Err(refusal(&what, 412))
            }
        }
    }

    /// Deletes; `false` when the condition didn't hold.
    fn delete(&self, what: &str, item: &Removal<'_>, etag: Option<&str>) -> Result<bool> {
        let reply = self.send(what, &mut || {
            let call = Call::new("DELETE", self.url(item.place.path, item.kind)?, true);
            Ok(match etag {
                Some(etag) => call.header("If-Match", etag),
                None => call,
            })
        })?;
        match reply.status {
            207 => {
                reply.drain();
                Err(Error::new(Kind::Denied, what, "the server removed it only in part"))
            }
            200..=299 | 404 | 410 => {
                reply.drain();
                Ok(true)
            }
            412 if etag.is_some() => {
                reply.drain();
                Ok(false)
            }
            _ => Err(refused(what, reply)),
        }
    }
}

/// One upload, whatever number of requests it takes.
struct Upload<'a> {
    dav: &'a Dav,
    what: &'a str,
    path: &'a str,
    content: &'a Guarded<'a>,
    mtime: Nanos,
}

impl Upload<'_> {
    fn seconds(&self) -> i64 {
        self.mtime.div_euclid(1_000_000_000)
    }

    /// Sends the file. Also tells whether it took several attempts.
    fn put(&self, condition: Option<&(&'static str, String)>) -> Result<(Reply, bool)> {
        let length = self.content.size();
        let mut attempts = 0;
        let sent = self.dav.send(self.what, &mut || {
            attempts += 1;
            // Some servers have made an empty file before the first byte arrives.
            self.content.unchanged()?;
            let part = Payload::Part { content: self.content, from: 0, length };
            let url = self.dav.url(self.path, ItemKind::File)?;
            let mut call = Call::new("PUT", url, true).payload(part);
            // Nextcloud refuses times of the first day.
            if self.seconds() > 86_400 {
                call = call.header("X-OC-Mtime", self.seconds().to_string());
            }
            if let Some((name, value)) = condition {
                call = call.header(name, value);
            }
            Ok(call)
        });
        match sent {
            Ok(reply) => Ok((reply, attempts > 1)),
            // nginx answers 500 when the folder isn't there.
            Err(error) if error.kind() == Kind::Busy => {
                Err(self.dav.missing_parent(self.what, self.path)?.unwrap_or(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Finds the file's new state after the last PUT.
    fn finish(&self, reply: Reply) -> Result<Entry> {
        let (dav, what) = (self.dav, self.what);
        let status = reply.status;
        if !is_success(status) {
            let error = refused(what, reply);
            if matches!(status, 404 | 405 | 409) {
                if let Some(error) = dav.missing_parent(what, self.path)? {
                    return Err(error);
                }
                if dav.look(what, self.path, ItemKind::Folder)?.is_some_and(|it| it.collection) {
                    return Err(Error::new(Kind::Exists, what, "a folder is in its place"));
                }
            }
            return Err(error);
        }
        if reply.header("x-oc-mtime").is_some_and(|word| word.eq_ignore_ascii_case("accepted")) {
            dav.keeps_mtime.set(true);
        }
        let told = reply.header("oc-etag").or(reply.header("etag")).map(Version::from_etag);
        let told = told.filter(|version| !version.is_empty());
        reply.drain();
        let now = crate::http::unix_seconds(SystemTime::now());
        // A server that sets its own time comes to the same result for a file of just now.
        let telling = (now - self.seconds()).abs() > 60;
        let knows_enough = dav.keeps_mtime.get().is_some() || !telling;
        if let Some(version) = &told
            && dav.put_tells_version.get() == Some(true)
            && knows_enough
        {
            let kept = dav.keeps_mtime.get() == Some(true);
            let mtime = kept.then(|| nanos(self.seconds()));
            let print = RemotePrint::file(self.content.size(), version.clone(), mtime);
            return Ok(Entry::file(print, None));
        }
        // RACE: a write of the same size by somebody else between the PUT and this look is taken
        // for ours, here and from then on.
        let look = || {
            dav.look(what, self.path, ItemKind::File)?.ok_or_else(|| {
                Error::new(Kind::Changed, what, "it was removed as soon as it was there")
            })
        };
        let mut props = look()?;
        // rclone may tell it before it has given it its time, and with that another version.
        let untimed = props.modified.is_some_and(|modified| (now - modified).abs() <= 60);
        if untimed && telling && dav.keeps_mtime.get() == Some(true) {
            dav.http.pause(WEAK_TIME)?;
            props = look()?;
        }
        if dav.keeps_mtime.get().is_none() && telling {
            dav.keeps_mtime.set(props.modified == Some(self.seconds()));
        }
        let entry = dav.entry(what, props)?;
        if entry.kind != ItemKind::File || entry.print.size != self.content.size() {
            let cause = "the server holds something else than what was sent";
            return Err(Error::new(Kind::Integrity, what, cause));
        }
        if let Some(version) = told {
            dav.put_tells_version.support(version == entry.print.version);
        }
        Ok(entry)
    }

    /// Whether what is there has our bytes, though its PUT was never answered. Only a comparison
    /// of all of them counts, so it isn't worth it for a large file.
    fn landed(&self) -> Result<Option<Entry>> {
        let size = self.content.size();
        let Some(entry) = self.dav.tell(self.path, ItemKind::File)? else { return Ok(None) };
        if entry.kind != ItemKind::File || entry.print.size != size || size > LARGE {
            return Ok(None);
        }
        let mut theirs = Vec::new();
        let download = self.dav.download(self.path, &entry.print.version, &(0..u64::MAX))?;
        let read = download.reader.take(size + 1).read_to_end(&mut theirs);
        read.map_err(|error| read_error(self.what, error))?;
        let mut at = 0;
        let mut buffer = [0; 8192];
        while at < theirs.len() {
            let count = self.content.read_at(&mut buffer, at as u64)?;
            if count == 0 || theirs.get(at..at + count) != Some(&buffer[..count]) {
                return Ok(None);
            }
            at += count;
        }
        Ok((at as u64 == size).then_some(entry))
    }
}

/// A reader of a known number of bytes: ending earlier is an error, and so is not ending then. A
/// page to sign in at may come in place of a file, without a length.
struct Exactly<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return match self.reader.read(&mut buffer[..1])? {
                0 => Ok(0),
                _ => Err(io::Error::other("the download is longer than the file")),
            };
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the download ended early"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn gone(what: &str) -> Error {
    Error::new(Kind::NotFound, what, "it isn't there")
}

/// The error for a reply that nothing better is known of.
fn refused(what: &str, reply: Reply) -> Error {
    let status = reply.status;
    let words = reply.excerpt();
    // Nextcloud's word for a name that it doesn't take.
    if matches!(status, 400 | 403) && words.contains("InvalidPath") {
        return Error::new(Kind::BadName, what, "the server doesn't take this name");
    }
    refusal(what, status)
}

fn refusal(what: &str, status: u16) -> Error {
    let (kind, cause) = match status {
        401 => (Kind::SignIn, "the server doesn't accept this user and password"),
        403 => (Kind::Denied, "the server doesn't allow it"),
        404 | 410 => (Kind::NotFound, "it isn't there"),
        409 => (Kind::NotFound, "the folder that should hold it isn't there"),
        412 => (Kind::Changed, "it was changed in the meantime"),
        413 => (Kind::TooLarge, "it is too large for the server"),
        414 => (Kind::BadName, "its path is too long for the server"),
        423 => (Kind::Busy, "it is locked"),
        507 => (Kind::QuotaFull, "the account is full"),
        301 | 302 | 303 | 307 | 308 => (Kind::Usage, "the server says it is somewhere else"),
        500..=599 => (Kind::Busy, "the server failed"),
        _ => (Kind::Protocol, "the server doesn't do it"),
    };
    let error = Error::new(kind, what, format!("{cause} (status {status})"));
    match kind {
        Kind::Usage => error.remedy("set the connection's url to where the files are"),
        _ => error,
    }
}

/// An ETag for a condition; `None` for a version that isn't one.
fn strong_etag(version: &Version) -> Option<String> {
    let text = version.as_str();
    let is_etag = !text.is_empty()
        && !text.starts_with(MADE_UP)
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    is_etag.then(|| format!("\"{text}\""))
}

/// The version of a file whose server tells no ETag.
fn made_up(modified: i64, size: u64) -> Version {
    Version::new(format!("{MADE_UP}{modified}-{size}"))
}

fn nanos(seconds: i64) -> Nanos {
    seconds.saturating_mul(1_000_000_000)
}

/// Origin and decoded path of the connection's address.
fn parse_address(address: &str) -> Result<(String, Vec<String>)> {
    let wrong = |cause: &str| {
        Error::new(Kind::Usage, "setting url", cause).remedy("write it as https://host:port/path")
    };
    let (scheme, rest) = address.trim().split_once("://").ok_or_else(|| wrong("no scheme"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.contains('@') {
        return Err(wrong("user and password have settings of their own"));
    }
    if path.contains(['?', '#']) {
        return Err(wrong("it goes on after the path (write ? as %3F and # as %23)"));
    }
    let origin = format!("{}://{}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let is_uri = origin.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some());
    if host.is_empty() || !is_uri {
        return Err(wrong("there is no host in it that makes sense"));
    }
    let parts = path.split('/').filter(|part| !part.is_empty());
    let parts = parts.map(|part| readable(percent_decode_str(part).collect()));
    let parts: Option<Vec<String>> = parts.collect();
    Ok((origin, parts.ok_or_else(|| wrong("its path makes no sense"))?))
}

/// A name, if these bytes can be one.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let name = String::from_utf8(bytes).ok()?;
    (!name.contains(['/', '\0']) && !matches!(name.as_str(), "" | "." | "..")).then_some(name)
}

/// Where something that PROPFIND told of is, seen from what was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Member {
    Itself,
    Child(String),
    /// A child whose name no path can hold.
    Unreadable,
}

/// The decoded parts of the path of an href, which may be a path or a whole address.
fn href_parts(href: &str) -> Option<Vec<Vec<u8>>> {
    let href = href.trim();
    let path = match href.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            rest.find('/').map_or("/", |start| &rest[start..])
        }
        _ => href,
    };
    let path = path.strip_prefix('/')?;
    let parts = path.split('/').filter(|part| !part.is_empty());
    Some(parts.map(|part| percent_decode_str(part).collect()).collect())
}

/// Where an href is; `Some(None)` when it is deeper down, `None` when it is outside.
fn member(folder: &[Vec<u8>], href: &str) -> Option<Option<Member>> {
    let mut parts = href_parts(href)?;
    if parts.len() < folder.len() || parts[..folder.len()] != *folder {
        return None;
    }
    let mut below = parts.drain(folder.len()..);
    Some(match (below.next(), below.next()) {
        (None, _) => Some(Member::Itself),
        (Some(name), None) => Some(readable(name).map_or(Member::Unreadable, Member::Child)),
        _ => None,
    })
}

/// What PROPFIND told of one item.
#[derive(Debug, Default)]
struct Told {
    href: String,
    /// Of the item as a whole; 200 unless told otherwise.
    status: u16,
    props: Props,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Props {
    collection: bool,
    etag: Option<String>,
    modified: Option<i64>,
    length: Option<u64>,
    /// Whether it has properties of the ownCloud family.
    owncloud: bool,
    md5: Option<[u8; 16]>,
}

impl Props {
    fn merge(&mut self, more: Props) {
        self.collection |= more.collection;
        self.owncloud |= more.owncloud;
        self.etag = self.etag.take().or(more.etag);
        self.modified = self.modified.or(more.modified);
        self.length = self.length.or(more.length);
        self.md5 = self.md5.or(more.md5);
    }
}

/// Elements that mean something, each in its place only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Multistatus,
    Response,
    Href,
    ItemStatus,
    Propstat,
    PropStatus,
    Prop,
    ResourceType,
    Collection,
    Etag,
    Modified,
    Length,
    FileId,
    Checksums,
    Checksum,
    Other,
}

impl Tag {
    fn of(parent: Option<Tag>, space: &ResolveResult<'_>, name: &str) -> Tag {
        let space = match space {
            ResolveResult::Bound(Namespace(space)) => *space,
            _ => "",
        };
        match (parent, space, name) {
            (None, "DAV:", "multistatus") => Tag::Multistatus,
            (Some(Tag::Multistatus), "DAV:", "response") => Tag::Response,
            (Some(Tag::Response), "DAV:", "href") => Tag::Href,
            (Some(Tag::Response), "DAV:", "status") => Tag::ItemStatus,
            (Some(Tag::Response), "DAV:", "propstat") => Tag::Propstat,
            (Some(Tag::Propstat), "DAV:", "status") => Tag::PropStatus,
            (Some(Tag::Propstat), "DAV:", "prop") => Tag::Prop,
            (Some(Tag::Prop), "DAV:", "resourcetype") => Tag::ResourceType,
            (Some(Tag::ResourceType), "DAV:", "collection") => Tag::Collection,
            (Some(Tag::Prop), "DAV:", "getetag") => Tag::Etag,
            (Some(Tag::Prop), "DAV:", "getlastmodified") => Tag::Modified,
            (Some(Tag::Prop), "DAV:", "getcontentlength") => Tag::Length,
            (Some(Tag::Prop), "http://owncloud.org/ns", "id" | "fileid") => Tag::FileId,
            (Some(Tag::Prop), "http://owncloud.org/ns", "checksums") => Tag::Checksums,
            (Some(Tag::Checksums), "http://owncloud.org/ns", "checksum") => Tag::Checksum,
            _ => Tag::Other,
        }
    }
}

/// Most bytes of one piece of XML, and of one text. A server has no reason to send more.
const LONGEST_XML: usize = 256 << 10;
/// Most elements within each other.
const DEEPEST_XML: usize = 32;

/// Reads the answer to a PROPFIND, telling each item as soon as it is complete. An answer that
/// isn't one, or isn't complete, is an error.
fn parse_multistatus(
    what: &str,
    reader: impl Read,
    each: &mut dyn FnMut(Told) -> Result<()>,
) -> Result<()> {
    let wrong = |cause: &str| {
        let cause = format!("the server's answer makes no sense: {cause}");
        Error::new(Kind::Protocol, what, cause)
    };
    let limited = Limited { reader, left: LONGEST_XML };
    let mut xml = NsReader::from_reader(BufReader::with_capacity(32 << 10, limited));
    xml.config_mut().expand_empty_elements = true;
    let mut buffer = Vec::new();
    let mut open: Vec<Tag> = Vec::new();
    let mut text = String::new();
    let mut told = Told::default();
    let (mut found, mut status, mut types_told) = (Props::default(), 200, false);
    let mut complete = false;
    loop {
        buffer.clear();
        xml.get_mut().get_mut().left = LONGEST_XML;
        let (space, event) = match xml.read_resolved_event_into(&mut buffer) {
            Ok(next) => next,
            Err(quick_xml::Error::Io(error)) => {
                let own = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
                return Err(match own {
                    Some(own) => own.clone().context(what),
                    None => read_error(what, io::Error::new(error.kind(), error.to_string())),
                });
            }
            Err(error) => return Err(wrong(&error.to_string())),
        };
        match event {
            Event::Start(start) => {
                let tag = Tag::of(open.last().copied(), &space, start.local_name().as_ref());
                if open.is_empty() && (tag != Tag::Multistatus || complete) {
                    return Err(wrong("it isn't a WebDAV multistatus"));
                }
                if open.len() == DEEPEST_XML {
                    return Err(wrong("it is nested too deeply"));
                }
                match tag {
                    Tag::Response => told = Told { status: 200, ..Told::default() },
                    Tag::Propstat => {
                        (found, status, types_told) = (Props::default(), 200, false);
                    }
                    Tag::ResourceType => types_told = true,
                    Tag::Collection => found.collection = true,
                    _ => {}
                }
                text.clear();
                open.push(tag);
            }
            Event::End(_) => {
                match open.pop() {
                    Some(Tag::Multistatus) => complete = true,
                    Some(Tag::Response) => each(std::mem::take(&mut told))?,
                    Some(Tag::Href) if told.href.is_empty() => told.href = text.trim().into(),
                    Some(Tag::ItemStatus) => told.status = status_code(&text),
                    Some(Tag::PropStatus) => status = status_code(&text),
                    Some(Tag::Propstat) if is_success(status) => {
                        told.props.merge(std::mem::take(&mut found));
                    }
                    // Whether it is a folder has to be known: a file is treated differently.
                    Some(Tag::Propstat) if types_told && status != 404 => told.status = status,
                    Some(Tag::Etag) => found.etag = Some(text.trim().into()),
                    Some(Tag::Modified) => found.modified = parse_http_date(text.trim()),
                    Some(Tag::Length) => found.length = text.trim().parse().ok(),
                    Some(Tag::FileId) => found.owncloud = true,
                    Some(Tag::Checksum) => found.md5 = found.md5.or(parse_md5(&text)),
                    _ => {}
                }
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => {
                let unknown = || wrong("it holds an unknown entity");
                text.push(match reference.resolve_char_ref().map_err(|_| unknown())? {
                    Some(c) => c,
                    None => match &*reference.into_inner() {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err(unknown()),
                    },
                });
            }
            Event::DocType(_) => return Err(wrong("it isn't a WebDAV multistatus")),
            Event::Eof => break,
            _ => {}
        }
        if text.len() > LONGEST_XML {
            return Err(wrong("it holds a text without end"));
        }
    }
    if complete && open.is_empty() { Ok(()) } else { Err(wrong("it ends early")) }
}

/// The number in `HTTP/1.1 200 OK`; 0 when there is none.
fn status_code(line: &str) -> u16 {
    line.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// The MD5 in `SHA1:… MD5:… ADLER32:…`.
fn parse_md5(checksums: &str) -> Option<[u8; 16]> {
    let digits = checksums.split_whitespace().find_map(|sum| sum.strip_prefix("MD5:"))?;
    from_hex(&digits.to_ascii_lowercase())?.try_into().ok()
}

/// Fails when one piece of XML takes too many bytes: it has to be in memory as a whole.
struct Limited<R> {
    reader: R,
    left: usize,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => {
                let cause = "the server's answer holds a piece without end";
                return Err(io::Error::other(Error::new(Kind::Protocol, "reading it", cause)));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(xml: &str) -> Result<Vec<Told>> {
        let mut all = Vec::new();
        parse_multistatus("trying", xml.as_bytes(), &mut |told| {
            all.push(told);
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn namespaces_decide_and_not_prefixes() {
        let all = told(
            r#"<?xml version="1.0" encoding="utf-8"?>
            <multistatus xmlns="DAV:" xmlns:o="http://owncloud.org/ns" xmlns:d="urn:other">
            <response><href>/a&amp;b&#x2f;<![CDATA[<c>]]></href>
            <d:propstat><d:prop><d:getetag>no</d:getetag></d:prop></d:propstat>
            <propstat><prop><getetag>W/"1"</getetag><getcontentlength> 12 </getcontentlength>
            <d:resourcetype><collection/></d:resourcetype><resourcetype/>
            <getlastmodified>Sun, 13 Sep 2020 12:26:40 GMT</getlastmodified><o:id>7</o:id>
            <o:checksums><o:checksum>SHA1:0 MD5:D41D8CD98F00B204E9800998ECF8427E</o:checksum>
            </o:checksums></prop><status>HTTP/1.1 200 OK</status></propstat></response>
            <x:response xmlns:x="DAV:"><x:href>/f/</x:href><x:propstat>
            <x:status>HTTP/1.1 200 OK</x:status><x:prop><x:resourcetype><x:collection/>
            </x:resourcetype></x:prop></x:propstat></x:response></multistatus>"#,
        );
        let all = all.unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].href, "/a&b/<c>");
        let md5 = from_hex("d41d8cd98f00b204e9800998ecf8427e").unwrap().try_into().unwrap();
        assert_eq!(
            all[0].props,
            Props {
                collection: false,
                etag: Some("W/\"1\"".into()),
                modified: Some(1_600_000_000),
                length: Some(12),
                owncloud: true,
                md5: Some(md5),
            }
        );
        assert!(all[1].props.collection && !all[1].props.owncloud);
    }

    #[test]
    fn a_property_counts_only_with_a_good_status() {
        let prop = |status: &str, prop: &str| {
            told(&format!(
                r#"<d:multistatus xmlns:d="DAV:"><d:response><d:href>/</d:href><d:propstat>
                <d:prop>{prop}</d:prop><d:status>{status}</d:status></d:propstat></d:response>
                </d:multistatus>"#
            ))
            .unwrap()
            .remove(0)
        };
        let etag = "<d:getetag>1</d:getetag>";
        assert_eq!(prop("HTTP/1.1 200 OK", etag).props.etag.as_deref(), Some("1"));
        assert_eq!(prop("HTTP/1.1 404 Not Found", etag).props.etag, None);
        assert_eq!(prop("HTTP/1.1 404 Not Found", "<d:resourcetype/>").status, 200);
        // Who doesn't know whether it is a folder knows nothing.
        assert_eq!(prop("HTTP/1.1 403 No", "<d:resourcetype/>").status, 403);
        assert_eq!(prop("what?", "<d:resourcetype/>").status, 0);
    }

    #[test]
    fn anything_but_a_whole_multistatus_is_an_error() {
        let whole = r#"<d:multistatus xmlns:d="DAV:"><d:response><d:href>/</d:href><d:propstat>
            <d:prop/></d:propstat></d:response></d:multistatus>"#;
        assert_eq!(told(whole).unwrap().len(), 1);
        for end in 0..whole.len() {
            assert!(told(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        let endless = format!("<d:multistatus xmlns:d=\"DAV:\">{}", "x".repeat(LONGEST_XML * 2));
        let deep = format!("<d:multistatus xmlns:d=\"DAV:\">{}", "<a>".repeat(100_000));
        let growing = format!("<m:multistatus xmlns:m=\"DAV:\">{}", "x<!---->".repeat(300_000));
        for bad in [
            "",
            "\0",
            "<html><body>Sign in</body></html>",
            "<!DOCTYPE html><html/>",
            "<!DOCTYPE m [<!ENTITY a \"b\">]><m:multistatus xmlns:m=\"DAV:\">&a;</m:multistatus>",
            "<m:multistatus xmlns:m=\"DAV:\">&a;</m:multistatus>",
            "<m:multistatus xmlns:m=\"DAV:\">&#x110000;</m:multistatus>",
            "<multistatus/>",
            "<m:multistatus/>",
            "<m:multistatus xmlns:m=\"DAV:\"/><m:multistatus xmlns:m=\"DAV:\"/>",
            "<m:multistatus xmlns:m=\"DAV:\"></m:other>",
            "{\"error\": \"no\"}",
            &endless,
            &deep,
            &growing,
        ] {
            let error = told(bad).expect_err(&bad[..bad.len().min(80)]);
            assert_eq!(error.kind(), Kind::Protocol, "{error}");
        }
        let latin = b"<m:multistatus xmlns:m=\"DAV:\">\xe9</m:multistatus>";
        assert!(parse_multistatus("trying", &latin[..], &mut |_| Ok(())).is_err());
    }

    #[test]
    fn an_error_of_the_receiver_ends_it() {
        let item = "<d:response><d:href>/</d:href></d:response>";
        let xml = format!("<d:multistatus xmlns:d=\"DAV:\">{item}{item}</d:multistatus>");
        let mut count = 0;
        let ended = parse_multistatus("trying", xml.as_bytes(), &mut |_| {
            count += 1;
            Err(Error::cancelled())
        });
        assert_eq!((ended.unwrap_err().kind(), count), (Kind::Cancelled, 1));
    }

    #[test]
    fn hrefs_are_compared_decoded() {
        let folder = href_parts("http://host:1/dav/some%20folder/").unwrap();
        let child = |name: &str| Some(Some(Member::Child(name.into())));
        let unreadable = || Some(Some(Member::Unreadable));
        for (href, wanted) in [
            ("/dav/some%20folder", Some(Some(Member::Itself))),
            ("/dav/some folder/", Some(Some(Member::Itself))),
            ("HTTPS://other/%64av//some%20folder/", Some(Some(Member::Itself))),
            ("/dav/some%20folder/a+b", child("a+b")),
            ("/dav/some%20folder/a%2Bb%3f%27/", child("a+b?'")),
            ("/dav/some%20folder/%e2%82%ac", child("€")),
            ("/dav/some%20folder/€", child("€")),
            ("/dav/some%20folder/100%", child("100%")),
            ("/dav/some%20folder/%2541", child("%41")),
            ("/dav/some%20folder/a?b#c", child("a?b#c")),
            ("/dav/some%20folder/http://x", Some(None)),
            ("/dav/some%20folder/a/b", Some(None)),
            ("/dav/some%20folder/%ff", unreadable()),
            ("/dav/some%20folder/..", unreadable()),
            ("/dav/some%20folder/a%2fb", unreadable()),
            ("/dav/some%20folder/a%00b", unreadable()),
            ("/dav/some%20folders/a", None),
            ("/dav/Some%20folder/a", None),
            ("/dav", None),
            ("a", None),
            ("", None),
            ("http://host", None),
            ("/%", None),
        ] {
            assert_eq!(member(&folder, href), wanted, "{href}");
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        let (origin, parts) = parse_address(" HTTPS://Host:8443/a%20b//ü/%2541/ ").unwrap();
        assert_eq!(origin, "https://host:8443");
        assert_eq!(parts, ["a b", "ü", "%41"]);
        assert_eq!(parse_address("http://[::1]:80").unwrap().1, [""; 0]);
        for wrong in ["", "host", "https://", "https://u:p@h/", "https://h?x", "https://h/%2e%2e"] {
            assert_eq!(parse_address(wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_download_has_exactly_its_bytes() {
        let read = |bytes: &'static [u8]| {
            let mut got = Vec::new();
            Exactly { reader: bytes, left: 3 }.read_to_end(&mut got).map(|_| got)
        };
        assert_eq!(read(b"abc").unwrap(), b"abc");
        assert!(read(b"ab").is_err());
        assert!(read(b"abcd").is_err());
    }

    #[test]
    fn etags_are_understood() {
        assert_eq!(strong_etag(&Version::from_etag("W/\"a-1\"")).as_deref(), Some("\"a-1\""));
        for none in ["", "~1-2", "é", "a b", "a\"b", "a\r\nb"] {
            assert_eq!(strong_etag(&Version::new(none)), None, "{none}");
        }
    }
}
