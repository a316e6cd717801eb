//! Azure Blob Storage: Microsoft's, in each of its clouds, and servers that speak its language.
//!
//! A container has blobs, not folders. A file is the blob `root/path`. A folder that exists of its
//! own is a blob without bytes, in one of three styles: `root/path/`, which Mooring makes, as rclone
//! does; `root/path` with `hdi_isfolder` in its metadata, as Microsoft's own tools have it; and
//! `root/path/.synoemptyblob` of Cloud Sync. Blobs that no path can name, with empty, `.` or `..`
//! parts, are told to nobody and never touched. The root itself always is there when the container
//! is. Snapshots, versions and what was deleted softly are left alone.
//!
//! Conditions are relied on: the service checks each of them in the moment of the write.

use super::download::{self, Arrived};
use super::fault::{self, Fault};
use super::objects;
use super::order::Order;
use super::parts::{Body, Senders, read_block};
use super::rfc3339;
use crate::blocks::{Block, BlockHash, Blocks, Cutter, Limits};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind};
use crate::http::shared_key::{Signable, Signer};
use crate::http::sigv4::{encode_path, encode_query};
use crate::http::{self, Call, Http, Payload, Reply, drain, xml};
use crate::model::{ItemKind, Nanos, RemotePrint, Version};
use crate::remote::conditions::check;
use crate::remote::{
    Bucket, Composition, Descriptor, Download, Entry, Expect, FieldKind, Listing, Made, Moves,
    NameRule, Needed, Place, Remote, Removal, Resume, Service, Settings, Special, Written, field,
    is_path, place,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;
use ring::digest::{Context, SHA256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The service as the registry knows it.
pub struct AzureBlob;

const MIB: u64 = 1 << 20;
/// Version of the API: the first that knows all tiers. Servers keep what they had in old ones.
const API_VERSION: &str = "2021-12-02";
/// Largest file: what Cloud Sync takes. The service takes more by now.
const MAX_SIZE: u64 = 19 << 38;
/// What the service demands of the blocks of a blob.
const BLOCKS: Limits = Limits { count: 50_000, least: 0, most: 4000 * MIB, equal: false };
/// Most blocks of a blob, and most that are part of none yet.
const MAX_LISTED: u64 = 50_000 + 100_000;
/// Most blobs of a page.
const MAX_BLOBS: usize = 5000;
/// From this size on the service is asked whether the condition holds before the body is sent.
const LARGE: u64 = MIB;
/// The service refuses a clock that is 15 minutes off.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// Pause between two looks at a copy that takes the service a while.
const COPY_PAUSE: Duration = Duration::from_secs(1);
/// What to do about names that come in disorder.
const DISORDER: &str = "take a storage account without a hierarchical namespace: with one, names are \
                        listed in another order";
/// What Cloud Sync puts into a folder that has to stay though nothing is in it.
const CLOUD_SYNC_MARKER: &str = ".synoemptyblob";

static DESCRIPTOR: Descriptor = Descriptor {
    name: "azure-blob",
    label: "Azure Blob Storage",
    fields: &[
        place("account", "Storage account", "its name", FieldKind::Text, Needed::Yes),
        place("container", "Container", "name of the container", FieldKind::Bucket, Needed::Yes),
        field(
            "account-key",
            "Account key",
            "one of the two keys of the account",
            FieldKind::Secret,
            Needed::No,
        ),
        field(
            "sas",
            "Shared access signature",
            "instead of a key: a token that may read, write, delete and list, or an address with it",
            FieldKind::Secret,
            Needed::No,
        ),
        place(
            "cloud",
            "Cloud",
            "which of Microsoft's clouds the account is in",
            FieldKind::Choice(&["global", "china", "us-government"]),
            Needed::Default("global"),
        ),
        place(
            "endpoint",
            "Address",
            "of the account where it isn't Microsoft's own, such as http://127.0.0.1:10000/ACCOUNT",
            FieldKind::Url,
            Needed::No,
        ),
        field(
            "block-size",
            "Block size",
            "MiB of each block of a large file, 1 to 4000",
            FieldKind::Number(1, 4000),
            Needed::Default("8"),
        ),
        field(
            "access-tier",
            "Access tier",
            "for what Mooring writes; default is that of the account",
            FieldKind::Choice(&["default", "hot", "cool", "cold"]),
            Needed::Default("default"),
        ),
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
    hash: Some(HashKind::Md5),
    max_size: Some(MAX_SIZE),
    max_path: 1024,
    // The service makes a slash of `\`. It takes a name that ends with a dot, but many libraries
    // take the dot off again.
    names: NameRule {
        characters: "\\",
        names: &[".", "..", CLOUD_SYNC_MARKER],
        ends: ".",
        ..NameRule::NONE
    },
    stored_bytes: None,
    bucket: Some(Bucket { min: 3, max: 63, extra: "-" }),
};

impl Service for AzureBlob {
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
        Store::at(settings, http, "", "")?.list_containers(each)
    }

    fn make_bucket(&self, settings: &Settings, http: Http, bucket: &str) -> Result<()> {
        DESCRIPTOR.check_but_bucket(settings)?;
        check_container(bucket)?;
        Store::at(settings, http, bucket, "")?.make_container()
    }
}

fn wrong(key: &str, cause: &str) -> Error {
    Error::new(Kind::Usage, format!("setting {key} of {}", DESCRIPTOR.label), cause)
        .remedy("see mooring service show azure-blob")
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn check_container(name: &str) -> Result<()> {
    let is_part = |part: &str| !part.is_empty() && part.chars().all(is_plain);
    if !(3..=63).contains(&name.len()) || !name.split('-').all(is_part) {
        let rule = "it has 3 to 63 of the characters a-z 0-9 and single hyphens between them";
        return Err(wrong("container", rule));
    }
    Ok(())
}

/// What proves who asks.
enum Proof {
    /// The account's key, decoded.
    Key(Vec<u8>),
    /// The query of a shared access signature.
    Sas(String),
}

/// A folder of a container, opened.
struct Store {
    http: Http,
    /// Scheme, host and port.
    origin: String,
    /// Path of the container, encoded.
    base: String,
    /// Whether the address is the one that the account's name makes.
    is_named: bool,
    account: String,
    container: String,
    proof: Proof,
    /// What comes before each path: empty, or the root with its slash.
    root: String,
    block_size: u64,
    /// Header fields of every file that is written.
    extra: Vec<(&'static str, String)>,
    senders: Senders,
}

/// A request before it is signed.
struct Ask<'a> {
    method: &'static str,
    /// Whole name of the blob; empty for the container.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: Vec<(&'static str, String)>,
    payload: Payload<'a>,
}

impl<'a> Ask<'a> {
    fn new(method: &'static str, key: &'a str) -> Self {
        Ask { method, key, query: &[], headers: Vec::new(), payload: Payload::None }
    }

    fn query(mut self, query: &'a [(&'a str, &'a str)]) -> Self {
        self.query = query;
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }

    /// The service compares what arrives with the sum, so it is what was hashed.
    fn body(self, body: &Body<'a>) -> Self {
        self.payload(body.payload).header("content-md5", BASE64.encode(body.md5))
    }
}

/// A file as it is to be stored.
struct Sent {
    size: u64,
    md5: [u8; 16],
    mtime: Nanos,
}

impl Sent {
    fn header_fields<'a>(&self, ask: Ask<'a>) -> Ask<'a> {
        ask.header("x-ms-meta-mtime", rfc3339::format(self.mtime))
            .header("x-ms-blob-content-md5", BASE64.encode(self.md5))
    }

    fn entry(&self, version: Version) -> Entry {
        let print = RemotePrint::file(self.size, version, Some(self.mtime));
        Entry::file(print, Some(Hash::Md5(self.md5)))
    }

    /// Whether a blob can only be the one that was sent.
    fn is(&self, item: &Item) -> bool {
        (item.size, item.md5, item.mtime) == (self.size, Some(self.md5), Some(self.mtime))
    }
}

/// What was there isn't what the condition said.
fn is_of_condition(fault: &Fault) -> bool {
    matches!(
        &*fault.code,
        "BlobAlreadyExists"
            | "ConditionNotMet"
            | "TargetConditionNotMet"
            | "UnauthorizedBlobOverwrite"
    )
}

/// What the service calls a block. Ours tell what is in it, and then tell those with the same apart:
/// 13 bytes are of the SHA-256, three a number. They are as long as rclone's, as all names have to be
/// that a blob has at the same time.
type Name = [u8; 16];
/// Bytes of a name that are of the SHA-256.
const DIGEST: usize = 13;

/// The blocks that the service has, with their sizes.
#[derive(Default)]
struct Known {
    /// Those of the blob that is to be replaced.
    replaced: BTreeMap<Name, Option<u64>>,
    /// Those that are part of none yet.
    arrived: HashMap<Name, u64>,
}

/// Names of blocks with the sizes of those that are there and free to be used again.
struct Names(BTreeMap<Name, Option<u64>>);

impl Names {
    /// A name for the block of this number, which no other has, and whether it is there already.
    fn take(&mut self, block: &Block, number: u64) -> (Name, bool) {
        let name = |number: u64| {
            let mut name = block.digest;
            name[DIGEST..].copy_from_slice(&number.to_be_bytes()[5..]);
            name
        };
        let mut alike = self.0.range_mut(name(0)..=name(u64::MAX));
        if let Some((name, size)) = alike.find(|(_, size)| **size == Some(block.length)) {
            *size = None;
            return (*name, true);
        }
        // There are more numbers than blocks.
        let mut free = (number..).map(name);
        let name = free.find(|name| !self.0.contains_key(name)).unwrap_or_default();
        self.0.insert(name, None);
        (name, false)
    }
}

/// A blob, or what stands for those in a folder where a listing doesn't go into it.
#[derive(Default)]
struct Item {
    key: String,
    /// The name is percent-encoded: XML can't say it.
    encoded: bool,
    size: u64,
    /// Empty for a folder that a listing doesn't go into.
    version: Version,
    md5: Option<[u8; 16]>,
    mtime: Option<Nanos>,
    /// Its metadata say that it stands for a folder.
    is_folder: bool,
    /// It can't be read before the service brings it back.
    is_archived: bool,
    /// A block blob: only its MD5 is always that of the content.
    is_block: bool,
}

impl Item {
    /// Takes a property of a blob, by its name in a listing.
    fn property(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "Content-Length" => self.size = value.trim().parse().ok()?,
            "Etag" => self.version = Version::from_etag(value),
            "Content-MD5" => {
                self.md5 = BASE64.decode(value).ok().and_then(|sum| sum.try_into().ok());
            }
            "BlobType" => self.is_block = value == "BlockBlob",
            "AccessTier" => self.is_archived = value == "Archive",
            _ => {}
        }
        Some(())
    }

    /// Takes a pair of the metadata. Names come in any case, as proxies and clients send them.
    fn metadata(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("mtime") {
            self.mtime = rfc3339::parse(value);
        } else if name.eq_ignore_ascii_case("hdi_isfolder") {
            self.is_folder = value.eq_ignore_ascii_case("true");
        }
    }

    /// Whether it stands for a folder. Bytes are left alone, whatever the metadata say.
    fn is_marker(&self) -> bool {
        self.is_folder && self.size == 0
    }

    fn entry(&self) -> Entry {
        let hash = self.md5.filter(|_| self.is_block).map(Hash::Md5);
        let print = RemotePrint::file(self.size, self.version.clone(), self.mtime);
        let special = self.is_archived.then_some(Special::Archived);
        Entry { special, ..Entry::file(print, hash) }
    }
}

#[derive(Default)]
struct Page {
    items: Vec<Item>,
    /// Where the listing goes on; empty at its end.
    next: Option<String>,
}

impl Store {
    fn open(settings: &Settings, http: Http, root: &str) -> Result<Store> {
        DESCRIPTOR.check(settings)?;
        let container = settings.get(&DESCRIPTOR, "container");
        check_container(container)?;
        Store::at(settings, http, container, root)
    }

    /// A folder of this container; the account as a whole where it has no name.
    fn at(settings: &Settings, http: Http, container: &str, root: &str) -> Result<Store> {
        let get = |key| settings.get(&DESCRIPTOR, key);
        let account = get("account");
        if !(3..=24).contains(&account.len()) || !account.chars().all(is_plain) {
            return Err(wrong("account", "it has 3 to 24 of the characters a-z 0-9"));
        }
        let endpoint = settings.given("endpoint");
        let host = match get("cloud") {
            "china" => "blob.core.chinacloudapi.cn",
            "us-government" => "blob.core.usgovcloudapi.net",
            _ => "blob.core.windows.net",
        };
        if endpoint.is_some() && settings.given("cloud").is_some_and(|cloud| cloud != "global") {
            return Err(wrong("cloud", "an address of its own is in none of Microsoft's clouds"));
        }
        let address = endpoint.map_or_else(|| format!("https://{account}.{host}"), str::to_owned);
        let (origin, path) = take_apart(&address).ok_or_else(|| {
            wrong("endpoint", "it is more than a scheme, a host, a port and a path")
        })?;
        let base = if container.is_empty() && !path.is_empty() {
            path
        } else {
            format!("{path}/{container}")
        };
        let proof = match (settings.given("account-key"), settings.given("sas")) {
            (Some(key), None) => {
                let key = BASE64.decode(key.trim()).ok().filter(|key| !key.is_empty());
                Proof::Key(key.ok_or_else(|| {
                    wrong("account-key", "it isn't one: a key is in Base64, and ends with ==")
                })?)
            }
            (None, Some(sas)) => {
                let is_here = |address: &str| {
                    let place = take_apart(address);
                    place.is_some_and(|(at, path)| {
                        at == origin
                            && base
                                .strip_prefix(&*path)
                                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    })
                };
                let token = match sas.trim().split_once('?') {
                    Some((address, token)) if address.is_empty() || is_here(address) => token,
                    Some(_) => {
                        let cause = "its address is that of another account, cloud or container";
                        return Err(wrong("sas", cause));
                    }
                    None => sas.trim(),
                };
                let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
                if !is_plain || !token.split('&').any(|pair| pair.starts_with("sig=")) {
                    return Err(wrong("sas", "it isn't one: it has sig= and other parts"));
                }
                Proof::Sas(token.to_owned())
            }
            _ => return Err(wrong("account-key", "it or a shared access signature is needed")),
        };
        let extra = match get("access-tier") {
            "hot" => vec![("x-ms-access-tier", "Hot".into())],
            "cool" => vec![("x-ms-access-tier", "Cool".into())],
            "cold" => vec![("x-ms-access-tier", "Cold".into())],
            _ => Vec::new(),
        };
        let senders = Senders::new(http.connections());
        Ok(Store {
            http,
            origin,
            base,
            is_named: endpoint.is_none(),
            account: account.into(),
            container: container.into(),
            proof,
            root: if root.is_empty() { String::new() } else { format!("{root}/") },
            block_size: u64::from(settings.number(&DESCRIPTOR, "block-size")) * MIB,
            extra,
            senders,
        })
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Name of a folder's marker; what is in it starts with the same. Empty for a container's root.
    fn folder_key(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}{path}/", self.root) }
    }

    // ---- requests

    /// Path of a blob, or of the container, as it is sent.
    fn path(&self, key: &str) -> String {
        match key {
            "" => self.base.clone(),
            key => format!("{}/{}", self.base, encode_path(key)),
        }
    }

    /// The address of a path with this query and the shared access signature.
    fn url(&self, path: &str, query: &str) -> String {
        let sas = match &self.proof {
            Proof::Sas(sas) => sas.as_str(),
            Proof::Key(_) => "",
        };
        let mut url = format!("{}{path}", self.origin);
        let mut mark = '?';
        for part in [query, sas].into_iter().filter(|part| !part.is_empty()) {
            url.push(mark);
            url.push_str(part);
            mark = '&';
        }
        url
    }

    fn signed<'a>(&self, ask: &Ask<'a>) -> Call<'a> {
        let path = self.path(ask.key);
        let url = self.url(&path, &encode_query(ask.query));
        // Sending any request here twice does no harm: it writes the same again, or has a condition
        // whose failure is looked into.
        let mut call = Call::new(ask.method, url, true).payload(ask.payload);
        call.headers.clone_from(&ask.headers);
        call.headers.push(("x-ms-version", API_VERSION.into()));
        if let Proof::Key(key) = &self.proof {
            let signable = Signable {
                method: ask.method,
                path: &path,
                query: ask.query,
                headers: &call.headers,
                length: ask.payload.length().unwrap_or(0),
            };
            let signer = Signer { account: &self.account, key };
            call.headers.extend(signer.sign(&signable, self.http.service_time()));
        }
        call
    }

    /// Sends a request; learns the service's clock when it has to.
    fn send(&self, what: &str, ask: &Ask<'_>) -> Result<Reply, Fault> {
        let mut clock_set = matches!(self.proof, Proof::Sas(_));
        loop {
            let call = &mut || Ok(self.signed(ask));
            let called = fault::call(&self.http, what, None, call);
            let (reply, again) = called.map_err(|fault| match fault.error.kind() {
                Kind::Offline if self.is_named => {
                    let remedy = format!(
                        "check the network, and whether {} is the name of an account in this cloud",
                        self.account
                    );
                    Fault { error: fault.error.or_remedy(remedy), ..fault }
                }
                _ => fault,
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
            return Err(Fault { again, ..self.fault(what, reply) });
        }
    }

    fn fault(&self, what: &str, reply: Reply) -> Fault {
        let status = reply.status;
        let told = reply.header("x-ms-error-code").unwrap_or_default().to_owned();
        let (mut code, mut message) = (String::new(), String::new());
        let mut reader = reply.into_reader();
        // An explanation that can't be read leaves the status and the header to go by.
        let _ = walk(what, &mut reader, &mut |path, text| {
            match path {
                "Error/Code" => code = text,
                "Error/Message" => message = text,
                _ => {}
            }
            Ok(())
        });
        drain(reader);
        let code = if told.is_empty() { code } else { told };
        self.explain(what, status, &code, &message)
    }

    /// The error that a service's code and message stand for.
    fn explain(&self, what: &str, status: u16, code: &str, message: &str) -> Fault {
        let kind = kind_of(status, code);
        // The lines after the first number the request, and tell its time.
        let message = message.lines().next().unwrap_or_default();
        let error = Error::new(kind, what, fault::cause(status, code, message));
        let is_key = matches!(self.proof, Proof::Key(_));
        let error = match (kind, code) {
            (_, "ContainerNotFound") => error.remedy(format!(
                "make the container {} or correct the connection's container",
                self.container
            )),
            (_, "ResourceNotFound") => error.remedy(format!(
                "check the connection's storage account, {}, and its address",
                self.account
            )),
            (_, "ContainerDisabled" | "AccountIsDisabled") => {
                error.remedy("enable the account again in the Azure portal")
            }
            (_, "KeyBasedAuthenticationNotPermitted") => error.remedy(
                "give the connection a shared access signature: the account allows no keys",
            ),
            (Kind::SignIn, _) if is_key => error.remedy(format!(
                "check the connection's account key, which has to be one of {}, and the firewall \
                 of the account",
                self.account
            )),
            (Kind::SignIn, _) => error.remedy(
                "check the shared access signature: when it ends, from where it may be used, and \
                 that it is for this container or account",
            ),
            (Kind::Denied, "BlobArchived" | "BlobBeingRehydrated") => {
                error.remedy("have the service bring it back to another tier (rehydrate it)")
            }
            (Kind::Denied, "SnapshotsPresent") => {
                error.remedy("remove its snapshots in the Azure portal, or the blob with them")
            }
            (Kind::Denied, "InvalidBlobType") => {
                error.remedy("remove the append or page blob of this name in the Azure portal")
            }
            (Kind::Denied, _) if !is_key => error.remedy(
                "make a shared access signature that may read, add, create, write, delete and list",
            ),
            (Kind::InUse, _) => {
                error.remedy("nothing to do; it is synced once the other program lets go of it")
            }
            (Kind::Protocol, "InvalidBlobOrBlock") => error.remedy(
                "another program began an upload of this file and left it: finish it, or wait a \
                 week until the service drops it",
            ),
            (Kind::Protocol, _) => {
                error.remedy("check that the address is that of an account of Azure Blob Storage")
            }
            _ => error,
        };
        Fault { status, code: code.into(), again: false, error }
    }

    /// Reads a reply that has to be an XML document with this root.
    fn document(
        &self,
        what: &str,
        reply: Reply,
        root: &str,
        on: &mut dyn FnMut(&str, String) -> Result<()>,
    ) -> Result<()> {
        let found = walk(what, reply.into_reader(), &mut |path, text| {
            on(path.split_once('/').map_or("", |(_, child)| child), text)
        })?;
        if found != root {
            return Err(not_azure(what, format!("the reply is <{found}>, not <{root}>")));
        }
        Ok(())
    }

    // ---- containers

    fn list_containers(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let what = "listing containers";
        let mut marker = Some(String::new());
        while let Some(from) = marker.take() {
            let query = [("comp", "list"), ("marker", &from)];
            let query = if from.is_empty() { &query[..1] } else { &query };
            let reply = self.send(what, &Ask::new("GET", "").query(query))?;
            self.document(what, reply, "EnumerationResults", &mut |path, text| match path {
                "Containers/Container/Name" => each(&text),
                "NextMarker" => {
                    marker = Some(text).filter(|text| !text.is_empty() && *text != from);
                    Ok(())
                }
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    fn make_container(&self) -> Result<()> {
        let what = format!("making the container {}", self.container);
        let ask = Ask::new("PUT", "").query(&[("restype", "container")]);
        match self.send(&what, &ask.payload(Payload::Bytes(&[]))) {
            Ok(reply) => reply.drain(),
            // Each account has names of its own.
            Err(fault) if &*fault.code == "ContainerAlreadyExists" => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    // ---- looking

    fn head(&self, what: &str, key: &str) -> Result<Option<Item>> {
        match self.send(what, &Ask::new("HEAD", key)) {
            Ok(reply) => {
                let size = reply.content_length();
                let size = size.ok_or_else(|| not_azure(what, "the reply tells no size"))?;
                self.item(what, &reply, size).map(Some)
            }
            Err(fault) if &*fault.code == "BlobNotFound" => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The state of the blob of `size` that the header fields of a HEAD or GET tell of.
    fn item(&self, what: &str, reply: &Reply, size: u64) -> Result<Item> {
        let mut item = Item::default();
        // Beside a part of the bytes, `Content-MD5` would be that of the part.
        let whole = reply.header("x-ms-blob-content-md5");
        let own = reply.header("content-md5").filter(|_| reply.status == 200);
        let properties = [
            ("Etag", reply.header("etag")),
            ("BlobType", reply.header("x-ms-blob-type")),
            ("AccessTier", reply.header("x-ms-access-tier")),
            ("Content-MD5", whole.or(own)),
        ];
        for (name, value) in properties {
            // None of these is refused.
            let _ = value.and_then(|value| item.property(name, value));
        }
        for name in ["mtime", "hdi_isfolder"] {
            if let Some(value) = reply.header(&format!("x-ms-meta-{name}")) {
                item.metadata(name, value);
            }
        }
        if item.version.is_empty() {
            return Err(not_azure(what, "the reply tells no ETag"));
        }
        item.size = size;
        Ok(item)
    }

    /// One page of the blobs whose names start with `prefix`, from where `marker` says. With `flat`
    /// it goes into folders.
    ///
    /// It is read to its end before anything is done with it, which may take longer than the
    /// service keeps a connection waiting.
    fn page(
        &self,
        what: &str,
        prefix: &str,
        marker: &str,
        most: usize,
        flat: bool,
    ) -> Result<Page> {
        let most = most.to_string();
        let mut query = vec![
            ("comp", "list"),
            ("include", "metadata"),
            ("maxresults", &*most),
            ("restype", "container"),
        ];
        let more =
            [("delimiter", if flat { "" } else { "/" }), ("marker", marker), ("prefix", prefix)];
        query.extend(more.into_iter().filter(|(_, value)| !value.is_empty()));
        let reply = self.send(what, &Ask::new("GET", "").query(&query))?;
        let (mut page, mut item) = (Page::default(), Item::default());
        self.document(what, reply, "EnumerationResults", &mut |path, text| {
            page.take(what, &mut item, path, text)
        })?;
        page.finish(what, prefix)?;
        Ok(page)
    }

    /// The pages of such a listing, until `each` doesn't want the next.
    fn pages(
        &self,
        what: &str,
        prefix: &str,
        most: usize,
        flat: bool,
        each: &mut dyn FnMut(Vec<Item>) -> Result<bool>,
    ) -> Result<()> {
        let mut marker = String::new();
        loop {
            let page = self.page(what, prefix, &marker, most, flat)?;
            let next = page.next.unwrap_or_default();
            if !each(page.items)? || next.is_empty() {
                return Ok(());
            }
            if next == marker {
                return Err(not_azure(what, "the listing doesn't end"));
            }
            marker = next;
        }
    }

    /// The first blobs whose names start with `prefix`, at least so many if there are. A page may
    /// be empty though it isn't the last.
    fn first(&self, what: &str, prefix: &str, least: usize) -> Result<Vec<Item>> {
        let mut found = Vec::new();
        self.pages(what, prefix, least, true, &mut |items| {
            found.extend(items);
            Ok(found.len() < least)
        })?;
        Ok(found)
    }

    // ---- writing

    /// Writes a file in one request, only over what is expected to be there.
    fn put(
        &self,
        what: &str,
        key: &str,
        body: &Body<'_>,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<Entry> {
        let sent = Sent { size: body.length, md5: body.md5, mtime };
        let mut ask = Ask::new("PUT", key).body(body).header("x-ms-blob-type", "BlockBlob");
        if body.length >= LARGE {
            ask = ask.header("expect", "100-continue");
        }
        self.store(what, ask, &sent, expect)
    }

    /// Sends the request that makes a file be there, or a new one in its place, and tells its state.
    fn store(&self, what: &str, ask: Ask<'_>, sent: &Sent, expect: Expect<'_>) -> Result<Entry> {
        let key = ask.key;
        let mut ask = sent.header_fields(ask);
        ask.headers.extend(self.extra.iter().cloned());
        ask.headers.push(condition(expect));
        match self.send(what, &ask) {
            Ok(reply) => {
                let version = reply.header("etag").map(Version::from_etag).unwrap_or_default();
                reply.drain();
                if version.is_empty() {
                    return Err(not_azure(what, "the reply tells no ETag"));
                }
                Ok(sent.entry(version))
            }
            // The blocks of a first attempt whose reply was lost are joined by now.
            Err(fault)
                if is_of_condition(&fault) || fault.again && &*fault.code == "InvalidBlockList" =>
            {
                let found = self.head(what, key)?;
                let ours = |it: &&Item| {
                    fault.again && sent.is(it) && expect != Expect::Version(&it.version)
                };
                if let Some(ours) = found.as_ref().filter(ours) {
                    return Ok(sent.entry(ours.version.clone()));
                }
                check(what, expect, found.map(|it| it.entry()).as_ref())?;
                // It is again what is expected.
                Err(fault.error.meaning(Kind::Changed))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Writes a file in blocks. Their names tell what is in them: what arrived before a stop, and what
    /// is in the file that is to be replaced, needn't be sent; so there is nothing to be noted. The
    /// service drops what nobody joins within a week.
    fn put_blocks(
        &self,
        what: &str,
        key: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<Entry> {
        check(what, expect, self.head(what, key)?.map(|it| it.entry()).as_ref())?;
        let size = content.size();
        let known = self.blocks(what, key, expect)?;
        let (arrived, mut names) = (known.arrived, Names(known.replaced));
        let mut cutter = self.cutter_of(size);
        let (mut whole, mut buffer, mut at, mut number) = (Md5::new(), Vec::new(), 0, 0);
        let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        let mut make = || {
            while at < size {
                let (mut md5, mut sha256) = (Md5::new(), Context::new(&SHA256));
                let length = read_block(content, at, &mut cutter, &mut buffer, &mut |bytes| {
                    whole.update(bytes);
                    md5.update(bytes);
                    sha256.update(bytes);
                })?;
                let payload = Payload::Part { content, from: at, length };
                let body = Body { payload, length, md5: md5.finalize().into() };
                number += 1;
                at += length;
                let (name, is_there) = names.take(&Block::of(length, &sha256.finish()), number);
                let (id, tag) =
                    (BASE64.encode(name), if is_there { "Committed" } else { "Latest" });
                list.push_str(&format!("<{tag}>{id}</{tag}>"));
                if !is_there && arrived.get(&name) != Some(&length) {
                    return Ok(Some((id, body)));
                }
            }
            Ok(None)
        };
        let send = |(id, body): (String, Body<'_>)| {
            let query = [("blockid", id.as_str()), ("comp", "block")];
            self.send(what, &Ask::new("PUT", key).query(&query).body(&body))?.drain();
            Ok(())
        };
        self.senders.send(what, &mut make, &send)?;
        list.push_str("</BlockList>");
        content.unchanged()?;
        let ask = Ask::new("PUT", key).query(&[("comp", "blocklist")]);
        let ask = ask.payload(Payload::Bytes(list.as_bytes()));
        let sent = Sent { size, md5: whole.finalize().into(), mtime };
        self.store(what, ask, &sent, expect)
    }

    fn cutter_of(&self, size: u64) -> Cutter {
        BLOCKS.cutter(BLOCKS.smallest(size, self.block_size))
    }

    /// The blocks of a blob of the expected version, and those that have arrived for it and are part
    /// of none yet.
    fn blocks(&self, what: &str, key: &str, expect: Expect<'_>) -> Result<Known> {
        let mut known = Known::default();
        self.list_blocks(what, key, expect, &mut |is_committed, name, size| {
            // Others' may be of another length.
            let Some(name) = name else { return };
            if is_committed {
                known.replaced.insert(name, Some(size));
            } else {
                known.arrived.insert(name, size);
            }
        })?;
        Ok(known)
    }

    /// Tells the blocks of a blob of the expected version in their order, with names as ours and their
    /// sizes, and those that are part of none yet.
    fn list_blocks(
        &self,
        what: &str,
        key: &str,
        expect: Expect<'_>,
        each: &mut dyn FnMut(bool, Option<Name>, u64),
    ) -> Result<()> {
        let query = [("blocklisttype", "all"), ("comp", "blocklist")];
        let reply = match self.send(what, &Ask::new("GET", key).query(&query)) {
            Err(fault) if &*fault.code == "BlobNotFound" => return Ok(()),
            reply => reply?,
        };
        let version = reply.header("etag").map(Version::from_etag);
        let is_expected = version.is_some_and(|version| expect == Expect::Version(&version));
        let (mut id, mut size, mut count) = (String::new(), 0, 0);
        self.document(what, reply, "BlockList", &mut |path, text| {
            let Some((list, item)) = path.split_once("/Block") else { return Ok(()) };
            match item {
                "/Name" => id = text,
                "/Size" => {
                    size = text.parse().map_err(|_| not_azure(what, "a block has no size"))?;
                }
                "" => {
                    count += 1;
                    if count > MAX_LISTED {
                        return Err(not_azure(what, "there are more blocks than a blob can have"));
                    }
                    let name = BASE64.decode(&id).ok().and_then(|name| name.try_into().ok());
                    match list {
                        "UncommittedBlocks" => each(false, name, size),
                        "CommittedBlocks" if is_expected => each(true, name, size),
                        _ => {}
                    }
                }
                _ => {}
            }
            Ok(())
        })
    }

    // ---- moving and removing

    fn copy_blob(&self, what: &str, from: &str, to: &str, version: &Version) -> Result<Entry> {
        let (name, value) = condition(Expect::Absent);
        let mut ask = Ask::new("PUT", to)
            .header("x-ms-copy-source", self.url(&self.path(from), ""))
            .header("x-ms-source-if-match", quoted(version))
            .header(name, value)
            .payload(Payload::Bytes(&[]));
        ask.headers.extend(self.extra.iter().cloned());
        let reply = self.send(what, &ask)?;
        let id = reply.header("x-ms-copy-id").map(str::to_owned);
        let mut status = reply.header("x-ms-copy-status").unwrap_or_default().to_owned();
        reply.drain();
        let gone = || Error::new(Kind::Changed, what, "the copy is gone right after it was made");
        loop {
            let pending = status == "pending";
            if pending {
                self.http.pause(COPY_PAUSE)?;
            }
            let reply = match self.send(what, &Ask::new("HEAD", to)) {
                Err(fault) if &*fault.code == "BlobNotFound" => return Err(gone()),
                reply => reply?,
            };
            // Another may have been faster than this look: what is written later has no such id.
            if reply.header("x-ms-copy-id") != id.as_deref() {
                return Err(Error::new(
                    Kind::Changed,
                    what,
                    "the copy was changed right after it was made",
                ));
            }
            let size = reply.content_length();
            let size = size.ok_or_else(|| not_azure(what, "the reply tells no size"))?;
            let item = self.item(what, &reply, size)?;
            status = reply.header("x-ms-copy-status").unwrap_or_default().to_owned();
            match status.as_str() {
                "pending" => {}
                "failed" | "aborted" => {
                    self.delete(what, to, &item.version)?;
                    let cause = format!("the service gave the copy up ({status})");
                    return Err(Error::new(Kind::Integrity, what, cause));
                }
                _ => return Ok(item.entry()),
            }
        }
    }

    /// Removes a blob if it is of this version.
    fn delete(&self, what: &str, key: &str, version: &Version) -> Result<()> {
        let ask = Ask::new("DELETE", key).header("if-match", quoted(version));
        match self.send(what, &ask) {
            Ok(reply) => reply.drain(),
            Err(fault) if &*fault.code == "BlobNotFound" => {}
            // The condition doesn't hold of what is gone either.
            Err(fault) if is_of_condition(&fault) && self.head(what, key)?.is_none() => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    /// Removes the markers of a folder, of whichever style, if nothing else is in it.
    fn remove_folder(&self, what: &str, key: &str) -> Result<()> {
        let found = self.first(what, key, 3)?;
        let is_marker = |item: &Item| {
            let name = &item.key[key.len()..];
            item.size == 0 && matches!(name, "" | CLOUD_SYNC_MARKER)
        };
        if !found.iter().all(is_marker) {
            return Err(Error::new(Kind::Exists, what, "the folder isn't empty"));
        }
        for item in &found {
            self.delete(what, &item.key, &item.version)?;
        }
        let bare = key.trim_end_matches('/');
        match self.head(what, bare)? {
            Some(item) if item.is_marker() => self.delete(what, bare, &item.version),
            _ => Ok(()),
        }
    }
}

impl Remote for Store {
    fn test(&self) -> Result<()> {
        let what = format!("looking into the container {}", self.container);
        self.page(&what, &self.root, "", 1, true).map(drop)
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let folder = folder.path;
        let what = format!("listing {}", if folder.is_empty() { &self.container } else { folder });
        let prefix = self.folder_key(folder);
        let mut order = Order::new(&what, DISORDER, each);
        self.pages(&what, &prefix, MAX_BLOBS, true, &mut |items| {
            for item in &items {
                let path = &item.key[prefix.len()..];
                let (at, entry) = told(path, item);
                order.meet(path, at, entry)?;
            }
            Ok(true)
        })?;
        order.end()
    }

    fn folders(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let prefix = self.folder_key("");
        // A marker comes before what is in its folder, but on the same page they may be in any
        // order.
        let mut marked = BTreeSet::new();
        self.pages("listing folders", &prefix, MAX_BLOBS, false, &mut |items| {
            let named = |item: &Item| item.key[prefix.len()..].trim_end_matches('/').to_owned();
            for item in items.iter().filter(|item| item.is_marker() && !item.key.ends_with('/')) {
                each(&named(item))?;
                marked.insert(named(item));
            }
            for item in items.iter().filter(|item| item.key.ends_with('/')) {
                let name = named(item);
                if is_path(&name) && !marked.contains(&name) {
                    each(&name)?;
                }
            }
            Ok(true)
        })
    }

    /// A folder is there when a marker of it, or anything below it, is. The root is when the
    /// container is.
    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        let path = place.path;
        let what = format!("looking at {}", if path.is_empty() { &self.container } else { path });
        if kind == ItemKind::File {
            let item = self.head(&what, &self.key(path))?;
            return Ok(item.filter(|item| !item.is_marker()).map(|item| item.entry()));
        }
        let within = match self.first(&what, &self.folder_key(path), 1) {
            Err(error) if path.is_empty() && error.kind() == Kind::NotFound => return Ok(None),
            within => within?,
        };
        let found = path.is_empty()
            || !within.is_empty()
            || self.head(&what, &self.key(path))?.is_some_and(|item| item.is_marker());
        Ok(found.then(|| Entry::folder("")))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let (what, key) = (format!("downloading {}", place.path), self.key(place.path));
        let mut ask = Ask::new("GET", &key).header("if-match", quoted(version));
        if let Some(range) = http::range(&bytes) {
            ask = ask.header("x-ms-range", range);
        }
        let reply = match self.send(&what, &ask) {
            Err(fault) if is_of_condition(&fault) && self.head(&what, &key)?.is_none() => {
                return Err(Error::new(Kind::NotFound, what, "it isn't there any more"));
            }
            Err(fault) if fault.status == 416 => {
                let entry = self.head(&what, &key)?.map(|item| item.entry());
                check(&what, Expect::Version(version), entry.as_ref())?;
                return download::at_end(bytes.start, entry).ok_or_else(|| fault.into());
            }
            reply => reply?,
        };
        let no_size = || Err(not_azure(&what, "the reply tells no size"));
        let arrived = Arrived::of(&what, &reply, &bytes, &no_size)?;
        let entry = self.item(&what, &reply, arrived.size)?.entry();
        check(&what, Expect::Version(version), Some(&entry))?;
        arrived.open(what, reply, entry)
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        _: &dyn Resume,
    ) -> Result<Written> {
        let (what, key) = (format!("uploading {}", place.path), self.key(place.path));
        let size = content.size();
        if size > MAX_SIZE {
            return Err(Error::new(Kind::TooLarge, what, "it has more than 4.75 TiB"));
        }
        if size > self.block_size {
            let blocks = self.put_blocks(&what, &key, content, mtime, expect);
            return blocks.map(Written::from);
        }
        let mut buffer = Vec::new();
        let body = Body::whole(content, &mut buffer)?;
        // A change from here on doesn't match the sum any more, and the service refuses it.
        content.unchanged()?;
        self.put(&what, &key, &body, mtime, expect).map(Written::from)
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let path = place.path;
        let (what, key) = (format!("making the folder {path}"), self.folder_key(path));
        let found = || Ok(Made::or_found(Entry::folder("")));
        if key.is_empty() {
            return found();
        }
        match self.head(&what, key.trim_end_matches('/'))? {
            Some(item) if item.is_marker() => return found(),
            Some(_) => return Err(Error::new(Kind::Exists, what, "a file is there")),
            None => {}
        }
        let (name, value) = condition(Expect::Absent);
        let ask = Ask::new("PUT", &key)
            .header("x-ms-blob-type", "BlockBlob")
            .header("x-ms-meta-hdi_isfolder", "true")
            .header(name, value)
            .payload(Payload::Bytes(&[]));
        match self.send(&what, &ask) {
            Ok(reply) => reply.drain(),
            Err(fault) if is_of_condition(&fault) => {}
            Err(fault) => return Err(fault.into()),
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
        let copied = self.copy_blob(&what, &from, &to, version)?;
        let removed = self.delete(&what, &from, version);
        objects::moved(copied, removed, |copy| self.delete(&what, &to, copy))
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let (from, to) = (from.path, to.path);
        let what = format!("copying {from} to {to}");
        self.copy_blob(&what, &self.key(from), &self.key(to), version)
    }

    /// A name is whatever a client says: it is believed only where there is a hash of the whole file.
    fn composition(&self, place: Place<'_>, print: &RemotePrint) -> Result<Option<Composition>> {
        let RemotePrint { size, version, .. } = print;
        if *size <= self.block_size {
            return Ok(None);
        }
        let what = format!("looking at the blocks of {}", place.path);
        let (key, expect) = (self.key(place.path), Expect::Version(version));
        let entry = self.head(&what, &key)?.map(|item| item.entry());
        let is_this = |it: &Entry| it.print.version == *version && it.hash.is_some();
        let Some(entry) = entry.filter(is_this) else { return Ok(None) };
        let (mut blocks, mut is_ours) = (Blocks::default(), true);
        self.list_blocks(&what, &key, expect, &mut |is_committed, name, length| {
            if let (true, Some(mut digest)) = (is_committed, name) {
                digest[DIGEST..].fill(0);
                blocks.push(Block { length, digest });
            }
            is_ours &= name.is_some() || !is_committed;
        })?;
        let (cutter, hash) = (self.cutter_of(*size), BlockHash::Sha256(DIGEST));
        Ok(is_ours.then_some(Composition { entry, blocks, cutter, hash }))
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        let file =
            |what: &str, path: &str, version: &Version| self.delete(what, &self.key(path), version);
        let folder = |what: &str, path: &str| self.remove_folder(what, &self.folder_key(path));
        objects::remove_each(items, done, file, folder);
    }
}

// ---- listings

/// The path that a blob is told at, in which a folder's ends in `/`, and what is told of it.
fn told(path: &str, item: &Item) -> (String, Entry) {
    let within = path.strip_suffix(CLOUD_SYNC_MARKER).filter(|_| item.size == 0);
    if let Some(folder) = within.filter(|it| it.ends_with('/')) {
        (folder.to_owned(), Entry::folder(""))
    } else if item.is_marker() && !path.ends_with('/') {
        (format!("{path}/"), Entry::folder(""))
    } else if path.ends_with('/') {
        (path.to_owned(), Entry::folder(""))
    } else {
        (path.to_owned(), item.entry())
    }
}

impl Page {
    /// Takes the value of an element of a listing.
    fn take(&mut self, what: &str, item: &mut Item, path: &str, text: String) -> Result<()> {
        let blob = path.strip_prefix("Blobs/Blob/");
        match path {
            "Blobs/Blob" | "Blobs/BlobPrefix" => self.items.push(std::mem::take(item)),
            "Blobs/Blob/Name" | "Blobs/BlobPrefix/Name" => item.key = text,
            "Blobs/Blob/Name/@Encoded" | "Blobs/BlobPrefix/Name/@Encoded" => {
                item.encoded = text == "true";
            }
            "NextMarker" => self.next = Some(text),
            _ => {
                if let Some(name) = blob.and_then(|it| it.strip_prefix("Properties/")) {
                    let nonsense = || not_azure(what, format!("{name} is '{text}'"));
                    item.property(name, &text).ok_or_else(nonsense)?;
                } else if let Some(name) = blob.and_then(|it| it.strip_prefix("Metadata/")) {
                    item.metadata(name, &text);
                }
            }
        }
        Ok(())
    }

    /// Decodes the names and looks whether everything is as it has to be: whatever is missing from
    /// a listing will be taken for removed.
    fn finish(&mut self, what: &str, prefix: &str) -> Result<()> {
        if self.next.is_none() {
            return Err(not_azure(what, "the listing doesn't say whether it is whole"));
        }
        for item in &mut self.items {
            if item.encoded {
                let decoded = percent_decode_str(&item.key).decode_utf8();
                let decoded = decoded.map_err(|_| not_azure(what, "a name isn't valid UTF-8"))?;
                item.key = decoded.into_owned();
            }
            let versioned = item.key.ends_with('/') || !item.version.is_empty();
            if !item.key.starts_with(prefix) || item.key.is_empty() || !versioned {
                let cause = format!("the listing tells nonsense of '{}'", item.key);
                return Err(not_azure(what, cause));
            }
        }
        Ok(())
    }
}

// ---- values

/// Scheme and host of an address, and its path without a slash at the end; `None` when there is
/// more to it.
fn take_apart(address: &str) -> Option<(String, String)> {
    let (scheme, rest) = address.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || rest.contains(['@', '?', '#', '%', ' ']) {
        return None;
    }
    let port = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    Some((format!("{scheme}://{host}"), path))
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

/// Reads an XML document; see [`xml::walk`].
fn walk(
    what: &str,
    reader: impl Read,
    on: &mut dyn FnMut(&str, String) -> Result<()>,
) -> Result<String> {
    let wrong = |cause| not_azure(what, format!("the reply isn't the XML of Azure ({cause})"));
    xml::walk(what, reader, &wrong, on)
}

fn not_azure(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Protocol, what, cause)
        .remedy("check that the address is that of Azure Blob Storage; a proxy may be in between")
}

fn kind_of(status: u16, code: &str) -> Kind {
    match code {
        // The second: also what a firewall or the end of a signature looks like.
        "AuthenticationFailed"
        | "AuthorizationFailure"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation"
        | "KeyBasedAuthenticationNotPermitted"
        | "AccountIsDisabled"
        | "ContainerDisabled"
        | "AuthorizationSourceIPMismatch"
        | "AuthorizationProtocolMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationResourceTypeMismatch" => Kind::SignIn,
        "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions"
        | "BlobArchived"
        | "BlobBeingRehydrated"
        | "BlobImmutableDueToPolicy"
        | "SnapshotsPresent"
        | "InvalidBlobType" => Kind::Denied,
        "BlobNotFound" | "ContainerNotFound" | "ResourceNotFound" => Kind::NotFound,
        "BlobAlreadyExists" => Kind::Exists,
        "RequestBodyTooLarge" => Kind::TooLarge,
        "InvalidResourceName" | "InvalidUri" | "OutOfRangeInput" => Kind::BadName,
        "LeaseIdMissing" | "LeaseAlreadyPresent" | "PendingCopyOperation" => Kind::InUse,
        "ContainerBeingDeleted" => Kind::Busy,
        // The first two: the file was changed while it was sent; so says Azurite by the third.
        "Md5Mismatch"
        | "InvalidMd5"
        | "InvalidOperation"
        | "ConditionNotMet"
        | "SourceConditionNotMet"
        | "TargetConditionNotMet"
        | "InvalidBlockList"
        | "InvalidRange" => Kind::Changed,
        // The source of a copy, which came with its status.
        "CannotVerifyCopySource" => match status {
            404 => Kind::NotFound,
            403 | 401 => Kind::Denied,
            _ => Kind::Changed,
        },
        "InvalidBlobOrBlock" => Kind::Protocol,
        // A proxy's or a router's page must not be taken for a file that is gone.
        "" if status == 404 => Kind::Protocol,
        _ => match status {
            401 => Kind::SignIn,
            403 => Kind::Denied,
            404 => Kind::NotFound,
            409 | 412 | 416 => Kind::Changed,
            413 => Kind::TooLarge,
            414 => Kind::BadName,
            507 => Kind::QuotaFull,
            _ => Kind::Protocol,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(settings: &[(&str, &str)]) -> Result<Store> {
        let base =
            [("account", "acme1"), ("container", "files"), ("account-key", "dmVyeS1zZWNyZXQ=")];
        let all =
            base.iter().chain(settings).map(|(key, value)| (key.to_string(), value.to_string()));
        let http = Http::new(&crate::http::HttpOptions::default(), Default::default()).unwrap();
        Store::open(&all.collect(), http, "root")
    }

    const SAS: &str = "sv=2021-12-02&sig=very-secret%3D";

    #[test]
    fn the_address_is_that_of_the_container() {
        let sas = [("account-key", ""), ("sas", SAS)];
        let url = |settings: &[(&str, &str)], key: &str| {
            store(settings).unwrap().signed(&Ask::new("GET", key)).url
        };
        let key = "root/é+%/a";
        let path = "files/root/%C3%A9%2B%25/a";
        for (settings, wanted) in [
            (&[][..], "https://acme1.blob.core.windows.net/"),
            (&[("cloud", "china")], "https://acme1.blob.core.chinacloudapi.cn/"),
            (&[("cloud", "us-government")], "https://acme1.blob.core.usgovcloudapi.net/"),
            (&[("endpoint", "http://NAS:10000/acme1/")], "http://nas:10000/acme1/"),
            (&[("endpoint", "https://files.example:443")], "https://files.example/"),
        ] {
            assert_eq!(url(settings, key), format!("{wanted}{path}"));
        }
        assert_eq!(url(&[], ""), "https://acme1.blob.core.windows.net/files");
        assert_eq!(url(&sas, "a"), format!("https://acme1.blob.core.windows.net/files/a?{SAS}"));
        let opened = store(&sas).unwrap();
        let call = opened.signed(&Ask::new("GET", "").query(&[("comp", "list")]));
        assert!(call.url.ends_with(&format!("/files?comp=list&{SAS}")), "{}", call.url);
        assert!(call.headers.iter().all(|(name, _)| *name != "authorization"));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let elsewhere = format!("https://other.blob.core.windows.net/?{SAS}");
        let another = format!("https://acme1.blob.core.windows.net/files2?{SAS}");
        for (settings, named) in [
            (&[("account", "ab")][..], "account"),
            (&[("account", "a.evil/")], "account"),
            (&[("container", "ab")], "container"),
            (&[("container", "Files")], "container"),
            (&[("container", "a--b")], "container"),
            (&[("container", "ab-")], "container"),
            (&[("container", "a/../b")], "container"),
            (&[("account-key", "no key")], "account-key"),
            (&[("account-key", "")], "account-key"),
            (&[("sas", SAS)], "account-key"),
            (&[("account-key", ""), ("sas", "sv=1")], "sas"),
            (&[("account-key", ""), ("sas", "sig=a b")], "sas"),
            (&[("account-key", ""), ("sas", &elsewhere)], "sas"),
            (&[("account-key", ""), ("sas", &another)], "sas"),
            (&[("cloud", "nine")], "cloud"),
            (&[("cloud", "china"), ("endpoint", "http://nas/acme1")], "cloud"),
            (&[("endpoint", "http://")], "endpoint"),
            (&[("endpoint", "http://user@host")], "endpoint"),
            (&[("endpoint", "http://host/?a")], "endpoint"),
            (&[("block-size", "0")], "block-size"),
            (&[("block-size", "4001")], "block-size"),
            (&[("access-tier", "archive")], "access-tier"),
        ] {
            let error = store(settings).err().unwrap();
            assert_eq!(error.kind(), Kind::Usage, "{settings:?}");
            assert!(error.to_string().contains(&format!("setting {named} ")), "{error}");
            assert!(!error.to_string().contains("very-secret"), "{error}");
        }
        let here = format!("https://acme1.blob.core.windows.net/files?{SAS}");
        for sas in [SAS.to_owned(), format!(" ?{SAS}\n"), here, elsewhere.replace("other", "acme1")]
        {
            assert!(store(&[("account-key", ""), ("sas", &sas)]).is_ok(), "{sas}");
        }
    }

    #[test]
    fn blocks_are_known_by_their_content_and_used_once() {
        let block = |byte, length| Block { digest: [byte; 16], length };
        let mut names = Names(BTreeMap::new());
        let first = names.take(&block(1, 9), 1);
        let second = names.take(&block(1, 9), 2);
        assert!(first.0 != second.0 && !first.1 && !second.1);
        assert_ne!(names.take(&block(2, 9), 3).0[..13], first.0[..13]);
        // Two that are there, one of them of another length.
        let mut names = Names([(first.0, Some(9)), (second.0, Some(8))].into());
        assert_eq!(names.take(&block(1, 9), 2), (first.0, true));
        let third = names.take(&block(1, 9), 1);
        assert!(third.0 != first.0 && third.0 != second.0 && !third.1);
        assert_eq!(names.take(&block(1, 8), 4), (second.0, true));
    }

    #[test]
    fn errors_say_what_to_do_and_no_secret() {
        let with_key = store(&[]).unwrap();
        let with_sas = store(&[("account-key", ""), ("sas", SAS)]).unwrap();
        for (status, code, kind, advice) in [
            (403, "AuthenticationFailed", Kind::SignIn, "account key"),
            (403, "AuthorizationFailure", Kind::SignIn, "firewall"),
            (403, "KeyBasedAuthenticationNotPermitted", Kind::SignIn, "shared access"),
            (404, "ContainerNotFound", Kind::NotFound, "container files"),
            (404, "BlobNotFound", Kind::NotFound, "looks again"),
            (404, "", Kind::Protocol, "Azure"),
            (409, "BlobAlreadyExists", Kind::Exists, "looks again"),
            (409, "BlobArchived", Kind::Denied, "rehydrate"),
            (409, "SnapshotsPresent", Kind::Denied, "snapshots"),
            (409, "InvalidBlobType", Kind::Denied, "append"),
            (412, "ConditionNotMet", Kind::Changed, "looks again"),
            (412, "LeaseIdMissing", Kind::InUse, "lets go"),
            (400, "Md5Mismatch", Kind::Changed, "looks again"),
            (400, "InvalidBlobOrBlock", Kind::Protocol, "week"),
            (413, "RequestBodyTooLarge", Kind::TooLarge, "split"),
            (400, "InvalidResourceName", Kind::BadName, "rename"),
            (418, "Teapot", Kind::Protocol, "address"),
        ] {
            let message = "It says.\nRequestId:1\nTime:2";
            let error = with_key.explain("looking at a", status, code, message).error;
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.advice().contains(advice), "{error}");
            assert!(error.to_string().starts_with("looking at a: "), "{error}");
            assert!(!error.to_string().contains("RequestId"), "{error}");
            let error = with_sas.explain("looking at a", status, code, message).error;
            assert!(!error.to_string().contains("very-secret"), "{error}");
        }
        for code in ["AuthenticationFailed", "AuthorizationPermissionMismatch"] {
            let error = with_sas.explain("looking at a", 403, code, "").error;
            assert!(error.advice().contains("signature"), "{error}");
        }
    }
}
