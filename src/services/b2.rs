//! Backblaze B2, by its own API.
//!
//! A bucket has names, not folders, and keeps versions: what is written lies upon what was there,
//! and removing a file hides it beneath a marker. So nothing that others wrote is ever deleted
//! here; how long it is kept is up to the lifecycle rules of the bucket. What is deleted, by its
//! own id, is what was put there a moment before.
//!
//! B2 has no conditional writes. The newest version is looked at right before each write, and what
//! the new one lies upon right after it. If that isn't what was expected, somebody else wrote in
//! between: the new version is taken back, theirs is on top again, and the write counts as
//! refused. A key that may not delete can't take it back; then the write counts as one that
//! overtook, and theirs stays among the versions.
//!
//! A folder that exists of its own is the file `path/.bzEmpty`, as Backblaze's website makes it, or
//! `path/`, which comes by way of S3. Names that no path can have, with empty, `.` or `..` parts, are
//! told to nobody and never touched. The root itself always is there when the bucket is.
//!
//! Requests for a file: to create or change one three, to remove one two and a share of a page.

use super::download::{self, Arrived};
use super::fault::{self, Fault, plain};
use super::notes;
use super::objects;
use super::parts::{Senders, lock, read_block, whole};
use crate::blocks::{Block, Blocks, Cutter, Index, Limits};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind};
use crate::http::{self, Call, Http, Payload, Reply, unix_seconds};
use crate::model::{ItemKind, Nanos, RemotePrint, Version, from_hex, to_hex};
use crate::remote::conditions::check;
use crate::remote::{
    Bucket, Descriptor, Download, Entry, Expect, Field, FieldKind, Listing, Made, Moves, NameRule,
    Needed, Place, Remote, Removal, Resume, Service, Settings, Written, field, is_path,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::iter::Peekable;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::vec;

/// The service as the registry knows it.
pub struct B2;

const MIB: u64 = 1 << 20;
/// Where an account is found: its reply tells all other addresses.
const ENDPOINT: &str = "https://api.backblazeb2.com";
/// Largest file, and largest copy in one request. B2 counts in powers of ten.
const MAX_SIZE: u64 = 10_000_000_000_000;
const MAX_COPY: u64 = 5_000_000_000;
/// Most parts of a large file.
const MAX_PARTS: u64 = 10_000;
const MAX_NAME: usize = 1024;
/// Rows of a page: B2 counts each thousand begun as a call of its most expensive class.
const PAGE: u32 = 1000;
/// Most files that a removal looks at ahead. What is hidden last was seen a while ago then.
const AHEAD: u32 = 100;
/// Versions of one file that are asked for at once.
const VERSIONS: u32 = 10;
/// Times that an address for uploads may be refused before giving up.
const REFUSALS: u32 = 3;
/// Name of the file that stands for its folder.
const MARKER: &str = ".bzEmpty";
/// What a name in an address or a header field may hold as it is. (`+` would be read as a space.)
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

static DESCRIPTOR: Descriptor = Descriptor {
    name: "b2",
    label: "Backblaze B2",
    fields: &[
        field("key-id", "Key id", "keyID of the application key", FieldKind::Text, Needed::Yes),
        field(
            "application-key",
            "Application key",
            "may be one for this bucket alone; it has to list, read and write files, and had better delete",
            FieldKind::Secret,
            Needed::Yes,
        ),
        Field {
            place: true,
            ..field("bucket", "Bucket", "name of the bucket", FieldKind::Bucket, Needed::Yes)
        },
        field(
            "part-size",
            "Part size",
            "MiB of each part of a large file, 5 to 4768",
            FieldKind::Number(5, 4768),
            Needed::Default("16"),
        ),
        field(
            "sse",
            "Encryption by the service",
            "to ask for on each write (SSE-B2)",
            FieldKind::Choice(&["none", "AES256"]),
            Needed::Default("none"),
        ),
        Field {
            place: true,
            ..field(
                "endpoint",
                "Address",
                "where to sign in; left out for Backblaze itself",
                FieldKind::Url,
                Needed::No,
            )
        },
    ],
    sign_in: None,
    providers: &[],
    task_fields: &[],
    listing: Listing::Flat,
    folders_implied: true,
    moves: Moves::Files,
    folds_case: false,
    namesakes: false,
    keeps_mtime: true,
    hash: Some(HashKind::Sha1),
    max_size: Some(MAX_SIZE),
    max_path: MAX_NAME,
    names: NameRule { names: &[MARKER], longest: Some(250), ..NameRule::NONE },
    stored_bytes: None,
    bucket: Some(Bucket { min: 6, max: 63, extra: "-ABCDEFGHIJKLMNOPQRSTUVWXYZ" }),
};

impl Service for B2 {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        Ok(Arc::new(Store::open(settings, http, root)?))
    }

    fn buckets(
        &self,
        settings: &Settings,
        http: Http,
        each: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        DESCRIPTOR.check_but_bucket(settings)?;
        let names = Store::at(settings, http, "", "").bucket_names()?;
        names.iter().try_for_each(|name| each(name))
    }

    fn make_bucket(&self, settings: &Settings, http: Http, bucket: &str) -> Result<()> {
        DESCRIPTOR.check_but_bucket(settings)?;
        check_bucket(bucket)?;
        Store::at(settings, http, bucket, "").make_bucket()
    }
}

fn check_bucket(name: &str) -> Result<()> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let reserved = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("b2-"));
    if !(6..=63).contains(&name.len()) || !name.bytes().all(known) || reserved {
        let what = format!("setting bucket of {}", DESCRIPTOR.label);
        let cause = "it has 6 to 63 letters, digits and -, and doesn't begin with b2-";
        return Err(
            Error::new(Kind::Usage, what, cause).remedy("give the name as the service shows it")
        );
    }
    Ok(())
}

/// A folder of a bucket, opened.
struct Store {
    http: Http,
    /// Without a slash at the end.
    endpoint: String,
    key_id: String,
    key: String,
    bucket: String,
    /// What comes before each path: empty, or the root with its slash.
    root: String,
    part_size: u64,
    /// Whether to ask for encryption on each write.
    encrypts: bool,
    session: Mutex<Option<Arc<Session>>>,
    /// Addresses that took a file and aren't in use.
    targets: Mutex<Vec<Target>>,
    /// Whether the key may copy parts, as far as is known.
    copies: AtomicBool,
    senders: Senders,
}

/// What B2 gives for the application key; good for a day at most.
struct Session {
    token: String,
    api: String,
    download: String,
    account: String,
    /// Id of the bucket.
    bucket: String,
    capabilities: Vec<String>,
    /// What the names of files have to begin with for this key.
    prefix: String,
    /// Fewest bytes of each part but the last.
    least_part: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    account_id: String,
    authorization_token: String,
    api_info: ApiInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiInfo {
    storage_api: StorageApi,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StorageApi {
    api_url: String,
    download_url: String,
    absolute_minimum_part_size: u64,
    allowed: Allowed,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Allowed {
    capabilities: Vec<String>,
    /// `None` when the key is for all buckets.
    #[serde(deserialize_with = "Option::deserialize")]
    buckets: Option<Vec<AllowedBucket>>,
    name_prefix: Option<String>,
}

#[derive(Deserialize)]
struct AllowedBucket {
    id: String,
    /// `None` when the bucket is gone.
    name: Option<String>,
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<BucketRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BucketRow {
    bucket_id: String,
    bucket_name: String,
    #[serde(default)]
    lifecycle_rules: Vec<LifecycleRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LifecycleRule {
    file_name_prefix: String,
    days_from_hiding_to_deleting: Option<u32>,
}

/// An address that takes one upload at a time, and what opens it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    upload_url: String,
    authorization_token: String,
}

/// A version of a file, or what hides one, or a folder.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// `None` for a folder.
    file_id: Option<String>,
    file_name: String,
    action: String,
    content_length: Option<u64>,
    content_sha1: Option<String>,
    file_info: Option<Info>,
}

/// What whoever sent a file said of it.
#[derive(Deserialize, Default)]
struct Info {
    src_last_modified_millis: Option<String>,
    large_file_sha1: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    files: Vec<Row>,
    /// Has to be told: whatever is missing from a listing will be taken for removed.
    #[serde(deserialize_with = "Option::deserialize")]
    next_file_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    files: Vec<Row>,
    next_file_name: Option<String>,
    next_file_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts {
    parts: Vec<Part>,
    next_part_number: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    part_number: u64,
    content_length: u64,
    content_sha1: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    file_id: String,
    #[serde(default)]
    file_name: String,
    file_info: Option<Info>,
}

#[derive(Deserialize)]
struct Unfinished {
    files: Vec<Started>,
}

/// What a crash must not lose of an upload in parts.
#[derive(Serialize, Deserialize)]
struct Note {
    name: String,
    size: u64,
    mtime: Nanos,
    /// The version that was to be replaced when it was begun; empty for none.
    over: String,
    /// Fewest bytes of each part but the last, by which the file is cut.
    least_part: u64,
    /// Of the whole file.
    sha1: [u8; 20],
    /// Empty from before the upload is begun until its id is known.
    upload: String,
}

/// The SHA-1 of a large file, and its parts.
struct Sums {
    whole: [u8; 20],
    parts: Vec<Cut>,
}

/// A part of a large file.
struct Cut {
    from: u64,
    length: u64,
    sha1: [u8; 20],
    /// `None` where nobody keeps it.
    block: Option<Block>,
}

/// One upload in parts.
struct Large<'a> {
    what: &'a str,
    name: &'a str,
    content: &'a dyn Content,
    expect: Expect<'a>,
    sums: Sums,
    upload: String,
    /// Which parts are there.
    arrived: Vec<bool>,
    /// Where what is to be replaced has its blocks.
    index: Index,
    /// Whether that has turned out to be true so far.
    is_true: AtomicBool,
}

/// Looks at files in the order of their names: one page tells those that lie close together.
struct Ahead<'a> {
    store: &'a Store,
    rows: Peekable<vec::IntoIter<Row>>,
    /// The last name that `rows` told of; `None` when they were the last of all.
    end: Option<String>,
    /// Rows to ask for next.
    most: u32,
    /// Whether all that was told so far was asked for.
    dense: bool,
}

type Called<T> = Result<T, Fault>;

/// What the service demands of the parts of a file, of which this is the smallest.
fn limits(least: u64) -> Limits {
    Limits { count: MAX_PARTS, least, most: MAX_COPY, equal: false }
}

/// The token isn't good any more.
fn is_expired(fault: &Fault) -> bool {
    fault.status == 401 && matches!(&*fault.code, "expired_auth_token" | "bad_auth_token")
}

/// The key, or a lock on the file, doesn't allow it.
fn is_forbidden(fault: &Fault) -> bool {
    fault.status == 401 || &*fault.code == "access_denied"
}

fn is_absence(fault: &Fault) -> bool {
    matches!(&*fault.code, "not_found" | "no_such_file" | "file_not_present")
}

impl Store {
    fn open(settings: &Settings, http: Http, root: &str) -> Result<Store> {
        DESCRIPTOR.check(settings)?;
        let bucket = settings.get(&DESCRIPTOR, "bucket");
        check_bucket(bucket)?;
        Ok(Store::at(settings, http, bucket, root))
    }

    /// A folder of this bucket; the account as a whole where it has no name.
    fn at(settings: &Settings, http: Http, bucket: &str, root: &str) -> Store {
        let get = |key| settings.get(&DESCRIPTOR, key);
        let senders = Senders::new(http.connections());
        Store {
            http,
            endpoint: settings.given("endpoint").unwrap_or(ENDPOINT).trim_end_matches('/').into(),
            key_id: get("key-id").into(),
            key: get("application-key").into(),
            bucket: bucket.into(),
            root: if root.is_empty() { String::new() } else { format!("{root}/") },
            part_size: u64::from(settings.number(&DESCRIPTOR, "part-size")) * MIB,
            encrypts: get("sse") != "none",
            session: Mutex::default(),
            targets: Mutex::default(),
            copies: AtomicBool::new(true),
            senders,
        }
    }

    fn name(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// What the names in a folder begin with. Empty for a bucket's root.
    fn folder_name(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}{path}/", self.root) }
    }

    // ---- signing in

    /// The present session; a burst of calls signs in once.
    fn session(&self, what: &str) -> Result<Arc<Session>> {
        let mut session = lock(&self.session);
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let new = Arc::new(self.sign_in(what)?);
        *session = Some(new.clone());
        Ok(new)
    }

    /// Ends a session that isn't good any more, unless another thread has done so.
    fn end(&self, session: &Arc<Session>) {
        let mut current = lock(&self.session);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *current = None;
        }
    }

    fn sign_in(&self, what: &str) -> Result<Session> {
        let (mut session, allowed) = self.authorize(what)?;
        session.bucket = match allowed {
            None => self.find_bucket(what, &session)?.bucket_id,
            Some(buckets) => {
                let is_this = |it: &&AllowedBucket| it.name.as_deref() == Some(&self.bucket);
                let found = buckets.iter().find(is_this).map(|it| it.id.clone());
                let names = || buckets.iter().filter_map(|it| it.name.as_deref());
                found.ok_or_else(|| self.other_bucket(what, &names().collect::<Vec<_>>()))?
            }
        };
        Ok(session)
    }

    /// A session for no bucket yet, and the buckets that the key is for, unless it is for all.
    fn authorize(&self, what: &str) -> Result<(Session, Option<Vec<AllowedBucket>>)> {
        let basic = BASE64.encode(format!("{}:{}", self.key_id, self.key));
        let url = format!("{}/b2api/v4/b2_authorize_account", self.endpoint);
        let reply = self.http.call(what, &mut || {
            let call = Call::new("GET", url.clone(), true);
            Ok(call.header("Authorization", format!("Basic {basic}")))
        })?;
        if reply.status != 200 {
            return Err(self.fault(what, reply, false).into());
        }
        let account: Account = reply.json(what)?;
        let api = account.api_info.storage_api;
        let session = Session {
            token: account.authorization_token,
            api: self.address(what, api.api_url)?,
            download: self.address(what, api.download_url)?,
            account: account.account_id,
            bucket: String::new(),
            capabilities: api.allowed.capabilities,
            prefix: api.allowed.name_prefix.unwrap_or_default(),
            least_part: api.absolute_minimum_part_size,
        };
        Ok((session, api.allowed.buckets))
    }

    /// The buckets that the key may see.
    fn bucket_names(&self) -> Result<Vec<String>> {
        let what = "listing buckets";
        let (session, allowed) = self.authorize(what)?;
        if let Some(allowed) = allowed {
            return Ok(allowed.into_iter().filter_map(|it| it.name).collect());
        }
        let arguments = json!({ "accountId": session.account });
        let all: Buckets = self.post(what, &session, "b2_list_buckets", &arguments)?;
        Ok(all.buckets.into_iter().map(|it| it.bucket_name).collect())
    }

    /// Makes the bucket, which nobody sees without a key.
    fn make_bucket(&self) -> Result<()> {
        let what = format!("making the bucket {}", self.bucket);
        let (session, _) = self.authorize(&what)?;
        let arguments = json!({
            "accountId": session.account, "bucketName": self.bucket, "bucketType": "allPrivate",
        });
        let made: Called<BucketRow> = self.post(&what, &session, "b2_create_bucket", &arguments);
        match made {
            Err(fault) if &*fault.code == "duplicate_bucket_name" => {
                if self.bucket_names()?.contains(&self.bucket) {
                    return Ok(());
                }
                let cause = "somebody else has a bucket of this name";
                Err(Error::new(Kind::NameTaken, what, cause).remedy("choose another name"))
            }
            made => Ok(made.map(drop)?),
        }
    }

    fn find_bucket(&self, what: &str, session: &Session) -> Called<BucketRow> {
        let arguments = json!({ "accountId": session.account, "bucketName": self.bucket });
        let found: Buckets = self.post(what, session, "b2_list_buckets", &arguments)?;
        Ok(found.buckets.into_iter().next().ok_or_else(|| self.no_bucket(what))?)
    }

    fn no_bucket(&self, what: &str) -> Error {
        let cause = format!("the account has no bucket {}", self.bucket);
        let remedy = format!("make the bucket {} or correct the connection's bucket", self.bucket);
        Error::new(Kind::NotFound, what, cause).remedy(remedy)
    }

    fn other_bucket(&self, what: &str, allowed: &[&str]) -> Error {
        if allowed.is_empty() {
            let cause = "the only bucket that the application key is for is gone";
            return Error::new(Kind::NotFound, what, cause).remedy(NEW_KEY);
        }
        let cause = format!("the application key is only for the bucket {}", allowed.join(", "));
        let remedy = format!("make a key for the bucket {}, or choose that one", self.bucket);
        Error::new(Kind::SignIn, what, cause).remedy(remedy)
    }

    /// An address that B2 told; a token isn't sent without TLS because a reply says so.
    fn address(&self, what: &str, url: String) -> Result<String> {
        if url.starts_with("https://") || self.endpoint.starts_with("http://") {
            return Ok(url.trim_end_matches('/').into());
        }
        Err(not_b2(what, "the reply tells an address without TLS"))
    }

    // ---- requests

    /// Does something with the session, and once more with a new one if its token isn't good any
    /// more.
    fn in_session<T>(&self, what: &str, call: &dyn Fn(&Session) -> Called<T>) -> Called<T> {
        let mut renewed = false;
        loop {
            let session = self.session(what)?;
            match call(&session) {
                Err(fault) if is_expired(&fault) && !renewed => {
                    self.end(&session);
                    renewed = true;
                }
                Err(fault) if matches!(&*fault.code, "bad_bucket_id" | "invalid_bucket_id") => {
                    // It may be there again by another id.
                    self.end(&session);
                    return Err(Fault { error: self.no_bucket(what), ..fault });
                }
                answer => return answer,
            }
        }
    }

    /// Makes a call whose arguments depend on the session. Whatever is asked twice here does no
    /// harm, except where an upload is begun.
    fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        name: &'static str,
        arguments: &dyn Fn(&Session) -> Value,
    ) -> Called<T> {
        self.in_session(what, &|session| self.post(what, session, name, &arguments(session)))
    }

    fn post<T: DeserializeOwned>(
        &self,
        what: &str,
        session: &Session,
        name: &'static str,
        arguments: &Value,
    ) -> Called<T> {
        let (url, body) = (format!("{}/b2api/v4/{name}", session.api), arguments.to_string());
        let (reply, again) = fault::call(&self.http, what, None, &mut || {
            Ok(Call::new("POST", url.clone(), name != "b2_start_large_file")
                .header("Authorization", session.token.as_str())
                .header("Content-Type", "application/json")
                .payload(Payload::Bytes(body.as_bytes())))
        })?;
        if reply.status == 200 {
            return Ok(reply.json(what)?);
        }
        let fault = self.fault(what, reply, again);
        Err(of_key(fault, what, session, capability(name)))
    }

    /// What a reply means that isn't a success.
    fn fault(&self, what: &str, reply: Reply, again: bool) -> Fault {
        #[derive(Deserialize, Default)]
        struct Refused {
            code: String,
            #[serde(default)]
            message: String,
        }
        let status = reply.status;
        let refused = serde_json::from_str::<Refused>(&reply.excerpt()).unwrap_or_default();
        let day_left = 86_400 - unix_seconds(self.http.service_time()).rem_euclid(86_400);
        let error = meaning(what, status, &refused.code, &refused.message);
        let error = match &*refused.code {
            "transaction_cap_exceeded" | "download_cap_exceeded" => {
                error.after(std::time::Duration::from_secs(day_left.unsigned_abs()))
            }
            _ => error,
        };
        Fault { status, code: refused.code.into(), again, error }
    }

    /// Sends a body to the address in `target`, if there is one, else to a new one that `renew`
    /// asks for; each attempt after a failure has a new one, as B2 demands. One that took the body
    /// is in `target` afterwards.
    fn deliver<'a, T: DeserializeOwned>(
        &self,
        what: &str,
        target: &mut Option<Target>,
        renew: &dyn Fn() -> Called<Target>,
        build: &dyn Fn() -> Call<'a>,
    ) -> Called<T> {
        let mut refused = 0;
        loop {
            let mut used = None;
            let reply = self.http.call(what, &mut || {
                let to = match target.take() {
                    Some(known) => known,
                    None => {
                        let new = renew()?;
                        Target { upload_url: self.address(what, new.upload_url)?, ..new }
                    }
                };
                let mut call = build();
                call.url.clone_from(&to.upload_url);
                call.headers.push(("Authorization", to.authorization_token.clone()));
                used = Some(to);
                Ok(call)
            })?;
            if reply.status == 200 {
                *target = used;
                return Ok(reply.json(what)?);
            }
            let fault = self.fault(what, reply, false);
            refused += 1;
            if !(is_expired(&fault) || &*fault.code == "auth_token_limit") || refused == REFUSALS {
                return Err(fault);
            }
        }
    }

    // ---- looking

    /// A page of the files whose names begin with `prefix`, from the name `start` on if it isn't
    /// empty. With `folders`, what is in a folder below is told as that folder.
    fn page(
        &self,
        what: &str,
        prefix: &str,
        start: &str,
        most: u32,
        folders: bool,
    ) -> Result<Page> {
        let page: Page = self.ask(what, "b2_list_file_names", &|session| {
            let mut arguments =
                json!({ "bucketId": session.bucket, "prefix": prefix, "maxFileCount": most });
            if !start.is_empty() {
                arguments["startFileName"] = start.into();
            }
            if folders {
                arguments["delimiter"] = "/".into();
            }
            arguments
        })?;
        let names = || page.files.iter().map(|row| row.file_name.as_str());
        if let Some(name) = names().find(|name| !name.starts_with(prefix) || *name < start) {
            return Err(not_b2(what, format!("the listing tells nonsense of '{name}'")));
        }
        let next = page.next_file_name.as_deref().into_iter();
        if !names().chain(next).is_sorted_by(|one, other| one < other) {
            return Err(not_b2(what, "the names come in disorder"));
        }
        if page.next_file_name.as_deref().is_some_and(|next| next <= start) {
            return Err(not_b2(what, "the listing doesn't end"));
        }
        Ok(page)
    }

    /// Tells all files whose names begin with `prefix`, as [`Store::page`] does.
    fn walk(
        &self,
        what: &str,
        prefix: &str,
        folders: bool,
        each: &mut dyn FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let mut start = String::new();
        loop {
            let page = self.page(what, prefix, &start, PAGE, folders)?;
            page.files.into_iter().try_for_each(&mut *each)?;
            match page.next_file_name {
                Some(next) => start = next,
                None => return Ok(()),
            }
        }
    }

    /// The newest version of a file; `None` when there is none, or it is hidden.
    fn look(&self, what: &str, name: &str) -> Result<Option<Row>> {
        let page = self.page(what, name, "", 1, false)?;
        Ok(page.files.into_iter().next().filter(|row| row.file_name == name))
    }

    /// The same, with what the engine knows of it.
    fn look_for(&self, what: &str, name: &str, expect: Expect<'_>) -> Result<Option<Row>> {
        let found = self.look(what, name)?;
        let entry = found.as_ref().map(|row| row.entry(what)).transpose()?;
        check(what, expect, entry.as_ref())?;
        Ok(found)
    }

    /// Tells the versions of a file, the newest first, from the one of this id on if it isn't
    /// empty, until `each` has seen enough.
    fn versions(
        &self,
        what: &str,
        name: &str,
        from: &str,
        each: &mut dyn FnMut(Row) -> bool,
    ) -> Result<()> {
        let mut from = from.to_owned();
        loop {
            let page: Versions = self.ask(what, "b2_list_file_versions", &|session| {
                let mut arguments = json!({
                    "bucketId": session.bucket, "prefix": name, "startFileName": name,
                    "maxFileCount": VERSIONS,
                });
                if !from.is_empty() {
                    arguments["startFileId"] = from.as_str().into();
                }
                arguments
            })?;
            for row in page.files {
                if row.file_name != name || each(row) {
                    return Ok(());
                }
            }
            match (page.next_file_name, page.next_file_id) {
                (Some(next), Some(id)) if next == name && id != from => from = id,
                _ => return Ok(()),
            }
        }
    }

    // ---- writing

    /// Writes a file in one request, upon what is expected to be there.
    fn put(
        &self,
        what: &str,
        name: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<Written> {
        let mut buffer = Vec::new();
        let (payload, sha1) = body(content, &mut buffer)?;
        // A change from here on doesn't match the sum any more, and the service refuses it.
        content.unchanged()?;
        // RACE: what another program writes from here until this arrives lies beneath it for a
        // moment, until `settle` takes this back.
        self.look_for(what, name, expect)?;
        let row = self.send(what, name, payload, &sha1, Some(mtime))?;
        if row.content_length != Some(content.size()) || row.hash() != Some(Hash::Sha1(sha1)) {
            // Nobody must take this for the file: better none, as it is about to be sent again.
            self.delete(what, name, row.id())?;
            let cause = "the service stored something else than was sent";
            return Err(Error::new(Kind::Integrity, what, cause));
        }
        let overtook = self.settle(what, name, &row, expect, row.id())?;
        Ok(Written { overtook, ..row.entry(what)?.into() })
    }

    fn send(
        &self,
        what: &str,
        name: &str,
        payload: Payload<'_>,
        sha1: &[u8],
        mtime: Option<Nanos>,
    ) -> Result<Row> {
        let renew = || {
            let bucket = |session: &Session| json!({ "bucketId": session.bucket });
            self.ask(what, "b2_get_upload_url", &bucket)
        };
        let mut target = lock(&self.targets).pop();
        let sent = self.deliver(what, &mut target, &renew, &|| {
            let mut call = Call::new("POST", String::new(), true)
                .header("X-Bz-File-Name", utf8_percent_encode(name, PLAIN).to_string())
                .header("Content-Type", "b2/x-auto")
                .header("X-Bz-Content-Sha1", to_hex(sha1))
                .payload(payload);
            if let Some(mtime) = mtime {
                call = call.header("X-Bz-Info-src_last_modified_millis", millis(mtime).to_string());
            }
            if self.encrypts {
                call = call.header("X-Bz-Server-Side-Encryption", "AES256");
            }
            call
        });
        lock(&self.targets).extend(target);
        Ok(sent?)
    }

    /// Looks at what lies beneath `ours`, which was just written: whether that was expected, and
    /// if not, takes ours back. `from` is the version to look from, or empty for the newest:
    /// a large file has its place by when it was begun, and may have come to lie beneath another.
    ///
    /// Tells whether ours overtook another version, and can't be taken back.
    fn settle(
        &self,
        what: &str,
        name: &str,
        ours: &Row,
        expect: Expect<'_>,
        from: &str,
    ) -> Result<bool> {
        let is_expected =
            |row: &Row| matches!(expect, Expect::Version(version) if version.as_str() == row.id());
        let (mut on_top, mut beneath) = (None, None);
        self.versions(what, name, from, &mut |row| {
            if row.is_unfinished() {
                return false;
            }
            match on_top {
                None => on_top = Some(row.id() == ours.id()),
                // The reply to an earlier attempt may have been lost.
                Some(_) if row.has_content_of(ours) && !is_expected(&row) => {}
                Some(_) => beneath = Some(row),
            }
            on_top == Some(false) || beneath.is_some()
        })?;
        let on_top = on_top == Some(true);
        // An edit beats a removal.
        let expected = beneath.is_none_or(|row| row.is_marker() || is_expected(&row));
        if on_top && expected {
            return Ok(false);
        }
        match self.delete(what, name, ours.id()) {
            Err(fault) if is_forbidden(&fault) && on_top => return Ok(true),
            Err(fault) if !is_forbidden(&fault) => return Err(fault.into()),
            _ => {}
        }
        Err(match expect {
            Expect::Absent => Error::new(Kind::Exists, what, "something came to be there"),
            Expect::Version(_) => Error::new(Kind::Changed, what, "it was changed meanwhile"),
        })
    }

    /// Writes a file in parts, upon what is expected to be there.
    fn put_large(
        &self,
        what: &str,
        name: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        self.look_for(what, name, expect)?;
        let size = content.size();
        let over = match expect {
            Expect::Absent => "",
            Expect::Version(version) => version.as_str(),
        };
        let is_this = |it: &Note| {
            // One that was begun before what it replaces was there would lie beneath that.
            (&*it.name, it.size, it.mtime, &*it.over) == (name, size, mtime, over)
                && it.least_part > 0
                && size.div_ceil(it.least_part) <= MAX_PARTS
        };
        let mut saved = notes::saved::<Note>(resume);
        if let Some(other) = saved.take_if(|note| !is_this(note)) {
            // What can't be dropped is left to the bucket's lifecycle rules.
            let _ = self.drop_noted(what, &other);
        }
        let replaced = resume.blocks(expect);
        let (keeps, least) = (replaced.is_some(), self.session(what)?.least_part);
        // What nobody will know again needn't be cut by what is in it.
        let limits = Limits { equal: !keeps, ..limits(least) };
        let fresh = || limits.smallest(size, self.part_size);
        let least_part = saved.as_ref().map_or_else(fresh, |note| note.least_part);
        let sums = Sums::of(content, limits.cutter(least_part), keeps)?;
        if sums.parts.len() < 2 {
            // That isn't a large file to the service.
            return self.put(what, name, content, mtime, expect);
        }
        content.unchanged()?;
        if let Some(other) = saved.take_if(|it| it.sha1 != sums.whole || it.upload.is_empty()) {
            let _ = self.drop_noted(what, &other);
        }
        let mut known = None;
        if let Some(note) = saved {
            let arrived = self.arrived(what, &note, &sums)?;
            known = arrived.map(|arrived| (note.upload, arrived));
        }
        let (upload, arrived) = match known {
            Some(known) => known,
            None => {
                let (name, over, upload) = (name.into(), over.into(), String::new());
                let mut note =
                    Note { name, size, mtime, over, least_part, sha1: sums.whole, upload };
                notes::save(what, resume, &note)?;
                note.upload = self.begin(what, &note)?;
                notes::save(what, resume, &note)?;
                (note.upload, vec![false; sums.parts.len()])
            }
        };
        let index = replaced.as_ref().map(Blocks::index).unwrap_or_default();
        let is_true = AtomicBool::new(true);
        let large = Large { what, name, content, expect, sums, upload, arrived, index, is_true };
        let row = self.finish(&large).inspect_err(|error| {
            if !notes::can_go_on(error) {
                let _ = self.drop_upload(what, &large.upload);
            }
        })?;
        let overtook = self.settle(what, name, &row, expect, "")?;
        let version = Version::new(large.upload);
        let print = RemotePrint::file(size, version, Some(millis(mtime) * 1_000_000));
        let entry = Entry::file(print, Some(Hash::Sha1(large.sums.whole)));
        let blocks = large.sums.parts.iter().map(|part| part.block).collect();
        Ok(Written { entry, overtook, blocks })
    }

    fn begin(&self, what: &str, note: &Note) -> Result<String> {
        let started: Started = self.ask(what, "b2_start_large_file", &|session| {
            let mut arguments = json!({
                "bucketId": session.bucket, "fileName": note.name, "contentType": "b2/x-auto",
                "fileInfo": {
                    "src_last_modified_millis": millis(note.mtime).to_string(),
                    "large_file_sha1": to_hex(&note.sha1),
                },
            });
            if self.encrypts {
                arguments["serverSideEncryption"] = encryption();
            }
            arguments
        })?;
        Ok(started.file_id)
    }

    /// Which parts of an earlier attempt are there; `None` when it can't be gone on with.
    fn arrived(&self, what: &str, note: &Note, sums: &Sums) -> Result<Option<Vec<bool>>> {
        let mut arrived = vec![false; sums.parts.len()];
        let mut from = 1;
        loop {
            let page: Parts = match self.ask(what, "b2_list_parts", &|_| {
                json!({ "fileId": note.upload, "startPartNumber": from, "maxPartCount": PAGE })
            }) {
                // It is finished, dropped or cleared away: begin anew.
                Err(fault) if matches!(fault.status, 400 | 404) => return Ok(None),
                page => page?,
            };
            for part in page.parts {
                let index = usize::try_from(part.part_number).unwrap_or(0).wrapping_sub(1);
                let Some(cut) = sums.parts.get(index) else { return Ok(None) };
                arrived[index] = part.is(cut);
            }
            match page.next_part_number {
                Some(next) if next > from => from = next,
                Some(_) => return Err(not_b2(what, "the list of parts doesn't end")),
                None => return Ok(Some(arrived)),
            }
        }
    }

    /// Sends what hasn't arrived, and makes a file of it.
    fn finish(&self, large: &Large<'_>) -> Result<Row> {
        let Large { what, name, content, expect, sums, upload, .. } = large;
        self.send_parts(large)?;
        content.unchanged()?;
        // RACE: as in `put`.
        self.look_for(what, name, *expect)?;
        let parts: Vec<_> = sums.parts.iter().map(|part| to_hex(&part.sha1)).collect();
        let finished = self.ask::<Row>(
            what,
            "b2_finish_large_file",
            &|_| json!({ "fileId": upload, "partSha1Array": parts }),
        );
        let row = match finished {
            // The reply to an earlier attempt may have been lost.
            Err(fault) if fault.again && fault.status == 400 => {
                self.look(what, name)?.filter(|row| row.id() == upload).ok_or(fault)?
            }
            row => row?,
        };
        if row.content_length != Some(content.size()) {
            self.delete(what, name, row.id())?;
            let cause = "the service stored something else than was sent";
            return Err(Error::new(Kind::Integrity, *what, cause));
        }
        Ok(row)
    }

    /// Sees to it that the parts arrive that haven't.
    fn send_parts(&self, large: &Large<'_>) -> Result<()> {
        // Where parts may be sent to: each takes one at a time.
        let targets = Mutex::new(Vec::new());
        let missing = large.sums.parts.iter().zip(1_u64..).zip(&large.arrived);
        let mut missing = missing.filter(|(_, arrived)| !**arrived).map(|(part, _)| part);
        let mut make = || Ok(missing.next());
        let send = |(cut, number): (&Cut, u64)| {
            if self.copy_part(large, cut, number)? {
                return Ok(());
            }
            let mut target = lock(&targets).pop();
            let sent = self.send_part(large, cut, number, &mut target);
            lock(&targets).extend(target);
            sent
        };
        self.senders.send(large.what, &mut make, &send)
    }

    fn send_part(
        &self,
        large: &Large<'_>,
        cut: &Cut,
        number: u64,
        target: &mut Option<Target>,
    ) -> Result<()> {
        let Large { what, content, upload, .. } = large;
        let Cut { from, length, .. } = *cut;
        let renew = || self.ask(what, "b2_get_upload_part_url", &|_| json!({ "fileId": upload }));
        let part: Part = self.deliver(what, target, &renew, &|| {
            Call::new("POST", String::new(), true)
                .header("X-Bz-Part-Number", number.to_string())
                .header("X-Bz-Content-Sha1", to_hex(&cut.sha1))
                .payload(Payload::Part { content: *content, from, length })
        })?;
        if !part.is(cut) {
            let cause = format!("the service stored something else than was sent as part {number}");
            return Err(Error::new(Kind::Integrity, *what, cause));
        }
        Ok(())
    }

    /// Has the service copy a part out of what is to be replaced. Tells whether that is the part now;
    /// if not, it has to be sent, which replaces whatever came of it.
    fn copy_part(&self, large: &Large<'_>, cut: &Cut, number: u64) -> Result<bool> {
        let Large { what, expect, upload, index, is_true, .. } = large;
        let same = cut.block.and_then(|block| index.find(&block));
        let (Some(same), Expect::Version(version)) = (same, expect) else { return Ok(false) };
        if !is_true.load(Relaxed) || !self.copies.load(Relaxed) {
            return Ok(false);
        }
        let copied = self.ask::<Part>(what, "b2_copy_part", &|_| {
            json!({
                "sourceFileId": version.as_str(), "largeFileId": upload, "partNumber": number,
                "range": format!("bytes={}-{}", same.start, same.end - 1),
            })
        });
        match copied {
            Ok(part) if part.is(cut) => return Ok(true),
            Ok(_) => {}
            Err(fault) if is_forbidden(&fault) => self.copies.store(false, Relaxed),
            // What is to be replaced has gone, or has no such bytes.
            Err(fault) if matches!(fault.status, 400 | 404 | 416) => {}
            Err(fault) => return Err(fault.into()),
        }
        is_true.store(false, Relaxed);
        Ok(false)
    }

    fn drop_noted(&self, what: &str, note: &Note) -> Result<()> {
        match note.upload.as_str() {
            "" => self.drop_unnoted(what, note),
            upload => self.drop_upload(what, upload),
        }
    }

    fn drop_upload(&self, what: &str, upload: &str) -> Result<()> {
        match self.ask::<Value>(what, "b2_cancel_large_file", &|_| json!({ "fileId": upload })) {
            // It is finished, dropped or cleared away.
            Err(fault) if !matches!(fault.status, 400 | 404) => Err(fault.into()),
            _ => Ok(()),
        }
    }

    /// Drops an upload that was begun when a crash kept its id from being noted.
    fn drop_unnoted(&self, what: &str, note: &Note) -> Result<()> {
        let found: Unfinished = self.ask(what, "b2_list_unfinished_large_files", &|session| {
            json!({ "bucketId": session.bucket, "namePrefix": note.name, "maxFileCount": 100 })
        })?;
        let (sha1, mtime) = (to_hex(&note.sha1), millis(note.mtime).to_string());
        let is_ours = |it: &&Started| {
            it.file_name == note.name
                && it.file_info.as_ref().is_some_and(|info| {
                    info.large_file_sha1.as_ref() == Some(&sha1)
                        && info.src_last_modified_millis.as_ref() == Some(&mtime)
                })
        };
        found.files.iter().filter(is_ours).try_for_each(|it| self.drop_upload(what, &it.file_id))
    }

    // ---- moving and removing

    fn copy_name(&self, what: &str, from: &str, to: &str, version: &Version) -> Result<Entry> {
        let Some(source) = self.look(what, from)? else {
            return Err(Error::new(Kind::NotFound, what, "it isn't there any more"));
        };
        check(what, Expect::Version(version), Some(&source.entry(what)?))?;
        if source.content_length.is_none_or(|size| size > MAX_COPY) {
            return Err(Error::new(Kind::TooLarge, what, "the service copies up to 5 GB at once"));
        }
        // RACE: as in `put`.
        self.look_for(what, to, Expect::Absent)?;
        let copied = self.copy_version(what, version.as_str(), to)?;
        self.settle(what, to, &copied, Expect::Absent, copied.id())?;
        copied.entry(what)
    }

    fn copy_version(&self, what: &str, id: &str, to: &str) -> Result<Row> {
        let copied = self.ask(what, "b2_copy_file", &|_| {
            let mut arguments =
                json!({ "sourceFileId": id, "fileName": to, "metadataDirective": "COPY" });
            if self.encrypts {
                arguments["destinationServerSideEncryption"] = encryption();
            }
            arguments
        })?;
        Ok(copied)
    }

    /// Deletes one version of a file.
    fn delete(&self, what: &str, name: &str, id: &str) -> Called<()> {
        let arguments = json!({ "fileName": name, "fileId": id });
        match self.ask::<Value>(what, "b2_delete_file_version", &|_| arguments.clone()) {
            Err(fault) if !is_absence(&fault) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Hides a file; tells the id of the marker, if it wasn't gone already.
    fn hide(&self, what: &str, name: &str) -> Result<Option<String>> {
        let hidden = self.ask::<Row>(
            what,
            "b2_hide_file",
            &|session| json!({ "bucketId": session.bucket, "fileName": name }),
        );
        match hidden {
            Ok(row) => Ok(row.file_id),
            // The reply to an earlier attempt may have been lost, so the marker may be ours.
            Err(fault) if fault.again && &*fault.code == "already_hidden" => {
                let mut marker = None;
                self.versions(what, name, "", &mut |row| {
                    let is_finished = !row.is_unfinished();
                    if row.is_marker() {
                        marker = row.file_id;
                    }
                    is_finished
                })?;
                Ok(marker)
            }
            Err(fault) if is_absence(&fault) || &*fault.code == "already_hidden" => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Hides a file of this version.
    fn remove_file(
        &self,
        what: &str,
        ahead: &mut Ahead<'_>,
        name: &str,
        version: &Version,
    ) -> Result<()> {
        let Some(found) = ahead.look(what, name)? else { return Ok(()) };
        check(what, Expect::Version(version), Some(&found.entry(what)?))?;
        // RACE: what another program writes from here until this arrives is hidden for a moment,
        // until it is seen below.
        let Some(marker) = self.hide(what, name)? else { return Ok(()) };
        let mut hidden = None;
        self.versions(what, name, &marker, &mut |row| {
            if row.is_unfinished() || row.id() == marker {
                return false;
            }
            hidden = Some(row);
            true
        })?;
        let is_another = |row: &Row| !row.is_marker() && row.id() != version.as_str();
        let Some(another) = hidden.filter(is_another) else { return Ok(()) };
        match self.delete(what, name, &marker) {
            // Then it is put on top of what hides it.
            Err(fault) if is_forbidden(&fault) => {
                self.copy_version(what, another.id(), name)?;
            }
            deleted => deleted?,
        }
        Err(Error::new(Kind::Changed, what, "it was changed meanwhile"))
    }

    fn remove_folder(&self, what: &str, prefix: &str) -> Result<()> {
        let rows = self.page(what, prefix, "", 3, false)?.files;
        let marks = |row: &Row| folder_of(&row.file_name) == Some(prefix.trim_end_matches('/'));
        if !rows.iter().all(marks) {
            return Err(Error::new(Kind::Exists, what, "the folder isn't empty"));
        }
        rows.iter().try_for_each(|row| self.hide(what, &row.file_name).map(drop))
    }
}

impl Remote for Store {
    fn test(&self) -> Result<()> {
        let what = format!("looking into the bucket {}", self.bucket);
        self.check_prefix(&what)?;
        self.page(&what, &self.root, "", 1, false).map(drop)
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let folder = folder.path;
        let what = format!("listing {}", if folder.is_empty() { &self.bucket } else { folder });
        self.check_prefix(&what)?;
        let prefix = self.folder_name(folder);
        let mut last = String::new();
        self.walk(&what, &prefix, false, &mut |row| {
            let path = row.file_name.strip_prefix(&prefix).unwrap_or_default();
            let Some(folder) = folder_of(path) else {
                if is_path(path) {
                    each(path, row.entry(&what)?)?;
                    path.clone_into(&mut last);
                }
                return Ok(());
            };
            let told = format!("{folder}/");
            // Some of what is in it may come before its marker, and tells as much.
            if is_path(folder) && !last.starts_with(&told) {
                each(folder, Entry::folder(""))?;
                last = told;
            }
            Ok(())
        })
    }

    /// With a key that is only for what begins with a prefix, the root has the folder that leads
    /// there.
    fn folders(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let what = "listing folders";
        let session = self.session(what)?;
        if let Some(rest) = session.prefix.strip_prefix(&self.root).filter(|rest| !rest.is_empty())
        {
            return rest.split_once('/').map_or(Ok(()), |(folder, _)| each(folder));
        }
        self.walk(what, &self.root, true, &mut |row| {
            let path = row.file_name.strip_prefix(&self.root).unwrap_or_default();
            match path.strip_suffix('/') {
                Some(folder) if is_path(folder) => each(folder),
                _ => Ok(()),
            }
        })
    }

    /// A folder is there when its marker, or anything below it, is. The root is when the bucket is.
    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        let path = place.path;
        let what = format!("looking at {}", if path.is_empty() { &self.bucket } else { path });
        let looked = self.check_prefix(&what).and_then(|()| match kind {
            ItemKind::File => {
                let found = self.look(&what, &self.name(path))?;
                found.map(|row| row.entry(&what)).transpose()
            }
            ItemKind::Folder => {
                let page = self.page(&what, &self.folder_name(path), "", 1, false)?;
                let found = path.is_empty() || !page.files.is_empty();
                Ok(found.then(|| Entry::folder("")))
            }
        });
        match looked {
            Err(error) if path.is_empty() && error.kind() == Kind::NotFound => Ok(None),
            looked => looked,
        }
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let (what, name) = (format!("downloading {}", place.path), self.name(place.path));
        let reply = match self.get(&what, &name, &bytes) {
            Err(fault) if fault.status == 416 => {
                let found = self.look_for(&what, &name, Expect::Version(version))?;
                let entry = found.map(|row| row.entry(&what)).transpose()?;
                return download::at_end(bytes.start, entry).ok_or_else(|| fault.into());
            }
            reply => reply?,
        };
        let no_size = || Err(not_b2(&what, "the reply tells no size"));
        let arrived = Arrived::of(&what, &reply, &bytes, &no_size)?;
        let entry = Row::of_download(&reply, arrived.size).entry(&what)?;
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
        let (what, name) = (format!("uploading {}", place.path), self.name(place.path));
        if content.size() > MAX_SIZE {
            return Err(Error::new(Kind::TooLarge, what, "the service takes up to 10 TB"));
        }
        if content.size() > self.part_size {
            return self.put_large(&what, &name, content, mtime, expect, resume);
        }
        self.put(&what, &name, content, mtime, expect)
    }

    fn cutter(&self, size: u64) -> Option<Cutter> {
        if size <= self.part_size || !self.copies.load(Relaxed) {
            return None;
        }
        // Without a session there is no file either.
        let limits = limits(self.session("looking at parts").ok()?.least_part);
        Some(limits.cutter(limits.smallest(size, self.part_size)))
    }

    fn abandon(&self, note: &[u8]) -> Result<()> {
        let Ok(note) = postcard::from_bytes::<Note>(note) else { return Ok(()) };
        self.drop_noted(&format!("dropping an unfinished upload of {}", note.name), &note)
    }

    /// A folder whose marker would have too long a name is made by what is put into it.
    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let path = place.path;
        let (what, prefix) = (format!("making the folder {path}"), self.folder_name(path));
        let made = Ok(Made::or_found(Entry::folder("")));
        let marker = format!("{prefix}{MARKER}");
        if prefix.is_empty() || marker.len() > MAX_NAME {
            return made;
        }
        if !self.page(&what, &prefix, "", 1, false)?.files.is_empty() {
            return made;
        }
        self.look_for(&what, prefix.trim_end_matches('/'), Expect::Absent)?;
        let sha1 = sha1_of(new_sum());
        self.send(&what, &marker, Payload::Bytes(&[]), &sha1, None)?;
        made
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
        let (from, to) = (self.name(from), self.name(to));
        let copied = self.copy_name(&what, &from, &to, version)?;
        let removed = self.remove_file(&what, &mut Ahead::new(self), &from, version);
        objects::moved(copied, removed, |copy| match self.delete(&what, &to, copy.as_str()) {
            Err(fault) if is_forbidden(&fault) => self.hide(&what, &to).map(drop),
            deleted => Ok(deleted?),
        })
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let (from, to) = (from.path, to.path);
        let what = format!("copying {from} to {to}");
        self.copy_name(&what, &self.name(from), &self.name(to), version)
    }

    /// B2 keeps every version unless a lifecycle rule of the bucket says otherwise.
    fn keeps_version(&self, place: Place<'_>, _: &Version) -> Result<bool> {
        let what = format!("asking for the lifecycle rules of the bucket of {}", place.path);
        let name = self.name(place.path);
        let found = self.in_session(&what, &|session| self.find_bucket(&what, session));
        let ends = |rule: &LifecycleRule| {
            rule.days_from_hiding_to_deleting.is_some() && name.starts_with(&rule.file_name_prefix)
        };
        let kept = found.map(|bucket| !bucket.lifecycle_rules.iter().any(ends));
        objects::proven(kept.map_err(Error::from))
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        let files = |mut files: objects::Files<'_>, done: &mut dyn FnMut(usize, Result<()>)| {
            // As their names are: all begin with the root.
            files.sort_by_key(|(_, item)| item.place.path);
            let mut ahead = Ahead::new(self);
            for (index, Removal { place: Place { path, .. }, version, .. }) in files {
                let what = format!("removing {path}");
                done(index, self.remove_file(&what, &mut ahead, &self.name(path), version));
            }
        };
        let folder = |what: &str, path: &str| self.remove_folder(what, &self.folder_name(path));
        objects::remove(items, done, files, folder);
    }
}

impl Store {
    /// Whether the key is for the root.
    fn check_prefix(&self, what: &str) -> Result<()> {
        let session = self.session(what)?;
        if self.root.starts_with(&session.prefix) {
            return Ok(());
        }
        let prefix = &session.prefix;
        let cause = format!("the application key is only for names that begin with '{prefix}'");
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        Err(Error::new(Kind::SignIn, what, cause).remedy(match folder {
            "" => "make a key for the whole bucket, or with a prefix that ends in /".to_owned(),
            folder => format!("choose the remote folder /{folder}, or make a key for more"),
        }))
    }

    /// Asks for these bytes of a file.
    fn get(&self, what: &str, name: &str, bytes: &Range<u64>) -> Called<Reply> {
        self.in_session(what, &|session| {
            let path = utf8_percent_encode(name, PLAIN);
            let url = format!("{}/file/{}/{path}", session.download, self.bucket);
            let reply = self.http.call(what, &mut || {
                let call = Call::new("GET", url.clone(), true)
                    .header("Authorization", session.token.as_str());
                Ok(match http::range(bytes) {
                    Some(range) => call.header("Range", range),
                    None => call,
                })
            })?;
            if (200..300).contains(&reply.status) {
                return Ok(reply);
            }
            Err(of_key(self.fault(what, reply, false), what, session, "readFiles"))
        })
    }
}

impl<'a> Ahead<'a> {
    fn new(store: &'a Store) -> Self {
        let (rows, end) = (Vec::new().into_iter().peekable(), Some(String::new()));
        Ahead { store, rows, end, most: 1, dense: true }
    }

    /// The newest version of a file, whose name comes after all those that were asked for before.
    fn look(&mut self, what: &str, name: &str) -> Result<Option<Row>> {
        if self.end.as_deref().is_some_and(|end| name > end) {
            let page = self.store.page(what, &self.store.root, name, self.most, false)?;
            let last = page.files.last().map_or(name, |row| &row.file_name);
            self.end = page.next_file_name.is_some().then(|| last.to_owned());
            self.rows = page.files.into_iter().peekable();
            // Where others' files lie between, single looks are cheaper.
            self.most = if self.dense { (self.most * 10).min(AHEAD) } else { 1 };
            self.dense = true;
        }
        while self.rows.next_if(|row| *row.file_name < *name).is_some() {
            self.dense = false;
        }
        Ok(self.rows.next_if(|row| row.file_name == name))
    }
}

// ---- values

/// The same, where the key lacks what this takes.
fn of_key(fault: Fault, what: &str, session: &Session, capability: &str) -> Fault {
    if fault.status != 401 || session.capabilities.iter().any(|it| it == capability) {
        return fault;
    }
    let cause = format!("the application key lacks the capability {capability}");
    let error = Error::new(Kind::SignIn, what, cause).remedy(NEW_KEY);
    Fault { error, ..fault }
}

const NEW_KEY: &str = "make a key that may list, read, write and delete files, and give it to the \
                       connection: mooring connection set NAME --set key-id=ID --secret \
                       application-key=@FILE";

impl Row {
    /// Empty for a folder.
    fn id(&self) -> &str {
        self.file_id.as_deref().unwrap_or_default()
    }

    /// Whether it hides what is beneath it.
    fn is_marker(&self) -> bool {
        self.action == "hide"
    }

    /// Whether it is a large file of which parts are missing.
    fn is_unfinished(&self) -> bool {
        self.action == "start"
    }

    fn mtime(&self) -> Option<Nanos> {
        let millis = self.file_info.as_ref()?.src_last_modified_millis.as_deref()?;
        millis.trim().parse::<i64>().ok()?.checked_mul(1_000_000)
    }

    /// The SHA-1 as B2 checked it, or as whoever sent a large file told it.
    fn hash(&self) -> Option<Hash> {
        let told = self.content_sha1.as_deref().filter(|sha1| *sha1 != "none");
        let told = told.or(self.file_info.as_ref()?.large_file_sha1.as_deref())?;
        from_hex(&told.to_ascii_lowercase())?.try_into().ok().map(Hash::Sha1)
    }

    fn has_content_of(&self, other: &Row) -> bool {
        !self.is_marker()
            && self.hash().is_some_and(|hash| Some(hash) == other.hash())
            && self.content_length == other.content_length
    }

    /// The file's state.
    fn entry(&self, what: &str) -> Result<Entry> {
        match (&self.file_id, self.content_length) {
            (Some(id), Some(size)) if !id.is_empty() => {
                let print = RemotePrint::file(size, Version::new(id.as_str()), self.mtime());
                Ok(Entry::file(print, self.hash()))
            }
            _ => Err(not_b2(what, format!("no id or size is told of '{}'", self.file_name))),
        }
    }

    /// What the header fields of a download tell of a file of `size`.
    fn of_download(reply: &Reply, size: u64) -> Row {
        let text = |name: &str| {
            let value = percent_decode_str(reply.header(name)?).decode_utf8().ok()?;
            Some(value.into_owned())
        };
        Row {
            file_id: text("x-bz-file-id"),
            file_name: text("x-bz-file-name").unwrap_or_default(),
            action: "upload".into(),
            content_length: Some(size),
            content_sha1: text("x-bz-content-sha1"),
            file_info: Some(Info {
                src_last_modified_millis: text("x-bz-info-src_last_modified_millis"),
                large_file_sha1: text("x-bz-info-large_file_sha1"),
            }),
        }
    }
}

impl Part {
    /// Whether it is what it has to be.
    fn is(&self, cut: &Cut) -> bool {
        self.content_length == cut.length && self.content_sha1 == to_hex(&cut.sha1)
    }
}

impl Sums {
    fn of(content: &dyn Content, mut cutter: Cutter, keeps: bool) -> Result<Sums> {
        let (mut whole, mut parts) = (new_sum(), Vec::new());
        let (mut buffer, mut from) = (Vec::new(), 0);
        while from < content.size() {
            let mut sha1 = new_sum();
            let mut sha256 = keeps.then(|| Context::new(&SHA256));
            let length = read_block(content, from, &mut cutter, &mut buffer, &mut |bytes| {
                whole.update(bytes);
                sha1.update(bytes);
                if let Some(sum) = &mut sha256 {
                    sum.update(bytes);
                }
            })?;
            let block = sha256.map(|sum| Block::of(length, &sum.finish()));
            parts.push(Cut { from, length, sha1: sha1_of(sha1), block });
            from += length;
        }
        Ok(Sums { whole: sha1_of(whole), parts })
    }
}

/// What to send of a whole file, and its SHA-1; see [`whole`].
fn body<'a>(content: &'a dyn Content, buffer: &'a mut Vec<u8>) -> Result<(Payload<'a>, [u8; 20])> {
    let mut sum = new_sum();
    let payload = whole(content, buffer, &mut |bytes| sum.update(bytes))?;
    Ok((payload, sha1_of(sum)))
}

fn new_sum() -> Context {
    Context::new(&SHA1_FOR_LEGACY_USE_ONLY)
}

fn sha1_of(sum: Context) -> [u8; 20] {
    let mut sha1 = [0; 20];
    sha1.copy_from_slice(sum.finish().as_ref());
    sha1
}

/// The folder that a file of this name stands for, if it does.
fn folder_of(name: &str) -> Option<&str> {
    let folder = name.strip_suffix(MARKER).unwrap_or(name);
    if folder.is_empty() && !name.is_empty() { Some("") } else { folder.strip_suffix('/') }
}

/// Milliseconds since 1970, as all programs for B2 keep the time of modification.
fn millis(mtime: Nanos) -> i64 {
    mtime.div_euclid(1_000_000)
}

fn encryption() -> Value {
    json!({ "mode": "SSE-B2", "algorithm": "AES256" })
}

/// What a call asks of the key.
fn capability(call: &str) -> &'static str {
    match call {
        "b2_list_buckets" => "listBuckets",
        "b2_list_file_names" | "b2_list_file_versions" | "b2_list_unfinished_large_files" => {
            "listFiles"
        }
        "b2_create_bucket" => "writeBuckets",
        "b2_delete_file_version" => "deleteFiles",
        _ => "writeFiles",
    }
}

fn not_b2(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Protocol, what, cause)
        .remedy("check that the address is that of B2; a proxy may be in between")
}

/// What a status and a code of B2 mean to the engine and to a person.
fn meaning(what: &str, status: u16, code: &str, message: &str) -> Error {
    const CAPS: &str = "raise the cap under Caps & Alerts in your account at Backblaze";
    let error = |kind, cause: &str| Error::new(kind, what, cause);
    match (status, code) {
        // Their messages may repeat a token.
        (401, "expired_auth_token" | "bad_auth_token") | (400, "auth_token_limit") => {
            error(Kind::SignIn, "B2 doesn't accept the token that it gave")
                .remedy("try it again: mooring connection test NAME")
        }
        (401, _) => error(Kind::SignIn, "B2 doesn't accept the application key for this")
            .remedy("check the connection's key-id and application-key, and what that key is for"),
        (403, "storage_cap_exceeded" | "cap_exceeded") => {
            error(Kind::QuotaFull, "the account has reached its cap for storage")
                .remedy(format!("{CAPS}, or remove something; Mooring goes on by itself"))
        }
        (403, "transaction_cap_exceeded" | "download_cap_exceeded") => {
            error(Kind::Busy, "the account has reached its cap for today").remedy(format!(
                "{CAPS}; Mooring goes on by itself when the day ends (midnight, UTC)"
            ))
        }
        (403, "access_denied") => error(Kind::Denied, "a lock forbids it")
            .remedy("see Object Lock of the bucket; a file can't be changed before its time is up"),
        (403, _) => error(Kind::Denied, &said(status, code, message)),
        (404, "not_found") | (400, "no_such_file" | "file_not_present") => {
            error(Kind::NotFound, "it isn't there")
        }
        (409, _) => error(Kind::Changed, "it was changed meanwhile"),
        (416, _) => error(Kind::Changed, "it became shorter"),
        (400, "part_sha1_mismatch") => error(Kind::Integrity, "other bytes arrived than were sent"),
        (400, _) if message.to_ascii_lowercase().contains("sha1") => {
            error(Kind::Integrity, "other bytes arrived than were sent")
        }
        (_, "") => not_b2(what, format!("this isn't how B2 answers (status {status})")),
        _ => error(Kind::Protocol, &said(status, code, message))
            .remedy("see what Backblaze says of it; Mooring tries again by itself"),
    }
}

/// What B2 said, as far as it can be shown.
fn said(status: u16, code: &str, message: &str) -> String {
    format!("B2 refuses it: {} ({status} {code})", plain(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_tell_their_folders() {
        for (name, folder) in [
            ("a/.bzEmpty", Some("a")),
            ("a/b/", Some("a/b")),
            (".bzEmpty", Some("")),
            ("", None),
            ("a", None),
            ("a.bzEmpty", None),
            ("a/.bzEmpty/b", None),
            ("a/.bzempty", None),
        ] {
            assert_eq!(folder_of(name), folder, "{name}");
        }
    }

    #[test]
    fn times_are_in_whole_milliseconds() {
        for (mtime, expected) in [(0, 0), (1_999_999, 1), (-1, -1), (-1_000_000, -1)] {
            assert_eq!(millis(mtime), expected);
        }
    }

    #[test]
    fn refusals_say_what_to_do_and_no_token() {
        for (status, code, kind) in [
            (401, "unauthorized", Kind::SignIn),
            (401, "bad_auth_token", Kind::SignIn),
            (400, "auth_token_limit", Kind::SignIn),
            (403, "storage_cap_exceeded", Kind::QuotaFull),
            (403, "transaction_cap_exceeded", Kind::Busy),
            (403, "access_denied", Kind::Denied),
            (404, "not_found", Kind::NotFound),
            (404, "", Kind::Protocol),
            (400, "bad_request", Kind::Protocol),
            (418, "", Kind::Protocol),
        ] {
            let error = meaning("looking at a", status, code, "");
            assert_eq!(error.kind(), kind, "{status} {code}");
            assert!(error.to_string().starts_with("looking at a: "), "{error}");
        }
        let told = "Sha1 did not match data received";
        assert_eq!(meaning("it", 400, "bad_request", told).kind(), Kind::Integrity);
        for (status, code) in [(401, "bad_auth_token"), (400, "auth_token_limit")] {
            assert!(!meaning("it", status, code, "4_s3cret").to_string().contains("s3cret"));
        }
    }
}
