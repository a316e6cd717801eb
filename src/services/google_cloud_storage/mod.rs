//! Google Cloud Storage, by its JSON API.
//!
//! A bucket has objects, not folders. A file is the object `root/path`; a folder that exists of its
//! own is the empty object `root/path/`, as Google's console and rclone make it. `root/path_$folder$`
//! of older tools is told to nobody, and goes with its folder. Names that no path can have, with
//! empty, `.` or `..` parts, are told to nobody and never touched. The root itself always is there
//! when the bucket is. What a bucket keeps of older or removed objects is left alone.
//!
//! A file's version is its generation, and every write, removal and copy tells which it expects: the
//! service checks it in the moment of the write. Requests for a small file: one, to create, change
//! or remove it.
//!
//! Sources: Google's discovery document of the Storage API v1 (methods, parameters, fields), and the
//! guides of Cloud Storage (uploads, preconditions, hashes, names).

mod object;
mod refusal;
mod upload;

use self::object::{OLD_MARKER, Object, not_google, object_fields};
use self::refusal::{NO_BUCKET, read, refusal};
use super::download::{self, Arrived};
use super::fault::Fault;
use super::google::{self, PLAIN, address, endless, json, with_json};
use super::objects;
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::HashKind;
use crate::http::{self, Call, Http, Payload, Reply};
use crate::model::{ItemKind, Nanos, Version};
use crate::remote::conditions::check;
use crate::remote::{
    Answer, Api, Bucket, Descriptor, Download, Entry, Expect, Field, FieldKind, Grant, Listing,
    Made, Moves, NameRule, Needed, Place, Remote, Removal, Resume, Service, ServiceAccount,
    Settings, SignIn, Written, field, is_path,
};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json as value};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const MIB: u64 = 1 << 20;
/// Where Google is.
const GOOGLE: &str = "https://storage.googleapis.com";
/// What the paths of all other calls begin with.
const BELOW: &str = "/storage/v1/";
/// Largest file.
const MAX_SIZE: u64 = 5 << 40;
/// Longest name of an object.
const MAX_NAME: usize = 1024;
/// Most objects of a page.
const PAGE: usize = 1000;
const FIELDS: &str = object_fields!();
/// What a rewrite tells of how far it is.
const REWRITE_FIELDS: &str = concat!("done,rewriteToken,resource(", object_fields!(), ")");
/// Statuses that are looked into.
const REFUSALS: &[u16] = &[400, 404, 409, 412, 416, 501];
const SCOPES: &[&str] = &["https://www.googleapis.com/auth/devstorage.read_write"];
const KEY: &str = "service-account";

static DESCRIPTOR: Descriptor = Descriptor {
    name: "google-cloud-storage",
    label: "Google Cloud Storage",
    fields: &[
        place("bucket", "Bucket", "name of the bucket", FieldKind::Bucket, Needed::Yes),
        field(
            KEY,
            "Service account",
            "its key, the JSON file as Google hands it out: with one, nobody has to sign in",
            FieldKind::Secret,
            Needed::No,
        ),
        field(
            "project",
            "Project",
            "its id, to choose the bucket from a list or make one; a service account's is known",
            FieldKind::Text,
            Needed::No,
        ),
        field(
            "region",
            "Region",
            "of a bucket that is made here, such as EU or europe-west3; US if it isn't told",
            FieldKind::Text,
            Needed::No,
        ),
        field(
            "user-project",
            "Paying project",
            "id of the project that pays, where the bucket's owner doesn't (requester pays)",
            FieldKind::Text,
            Needed::No,
        ),
        field(
            "storage-class",
            "Storage class",
            "for what Mooring writes; default is the bucket's. What is changed or removed before 30 \
             days (NEARLINE), 90 days (COLDLINE) or 365 days (ARCHIVE) is paid for until then (early \
             deletion)",
            FieldKind::Choice(&["default", "STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"]),
            Needed::Default("default"),
        ),
        field(
            "sse-key",
            "Encryption key",
            "of Cloud KMS that the service is to encrypt with, as \
             projects/P/locations/L/keyRings/R/cryptoKeys/K; left out for the bucket's",
            FieldKind::Text,
            Needed::No,
        ),
        field(
            "part-size",
            "Part size",
            "MiB of each part of a large file, 1 to 1024",
            FieldKind::Number(1, 1024),
            Needed::Default("16"),
        ),
        place(
            "endpoint",
            "Endpoint",
            "address that stands for all of Google's; none for Google itself",
            FieldKind::Url,
            Needed::No,
        ),
    ],
    sign_in: Some(SignIn {
        authorize: "https://accounts.google.com/o/oauth2/v2/auth",
        token: "https://oauth2.googleapis.com/token",
        scopes: SCOPES,
        // Without them, Google gives a refresh token on the first sign-in only, or never.
        parameters: &[("access_type", "offline"), ("prompt", "consent")],
        answer: Answer::Redirect { loopback_port: 53682 },
        secret: true,
        instead: Some(KEY),
    }),
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
    max_path: MAX_NAME,
    names: NameRule {
        characters: "*?#[]",
        names: &[".", ".."],
        parts: &[OLD_MARKER],
        ..NameRule::NONE
    },
    stored_bytes: None,
    bucket: Some(Bucket { min: 3, max: 222, extra: "-_." }),
};

/// One that says where the connection leads.
const fn place(
    key: &'static str,
    label: &'static str,
    help: &'static str,
    kind: FieldKind,
    needed: Needed,
) -> Field {
    Field { place: true, ..field(key, label, help, kind, needed) }
}

/// The service as the registry knows it.
pub struct GoogleCloudStorage;

impl Service for GoogleCloudStorage {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        DESCRIPTOR.check(settings)?;
        let bucket = settings.get(&DESCRIPTOR, "bucket");
        check_bucket(bucket)?;
        Ok(Arc::new(Store::at(settings, http, bucket, root)?))
    }

    fn buckets(
        &self,
        settings: &Settings,
        http: Http,
        each: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        DESCRIPTOR.check_but_bucket(settings)?;
        Store::at(settings, http, "", "")?.list_buckets(each)
    }

    fn make_bucket(&self, settings: &Settings, http: Http, bucket: &str) -> Result<()> {
        DESCRIPTOR.check_but_bucket(settings)?;
        check_bucket(bucket)?;
        Store::at(settings, http, bucket, "")?.make_bucket(settings.given("region"))
    }
}

fn wrong(key: &str, cause: &str) -> Error {
    Error::new(Kind::Usage, format!("setting {key} of {}", DESCRIPTOR.label), cause)
        .remedy(format!("see mooring service show {}", DESCRIPTOR.name))
}

fn check_bucket(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let known = |part: &str| (1..=63).contains(&part.len());
    if (3..=222).contains(&name.len())
        && name.split('.').all(known)
        && name.chars().all(|c| plain(c) || "-_.".contains(c))
        && name.starts_with(plain)
        && name.ends_with(plain)
    {
        return Ok(());
    }
    let cause = "it has 3 to 63 of the characters a-z 0-9 - _ (222 with dots between them)";
    Err(wrong("bucket", cause))
}

/// A folder of a bucket, opened.
struct Store {
    api: Api,
    /// Address without a slash at its end.
    base: String,
    /// Empty where the project is meant.
    bucket: String,
    /// Empty where it isn't known.
    project: String,
    /// Who pays, where it isn't the bucket's owner.
    user_project: Option<String>,
    /// What comes before each path: empty, or the root with its slash.
    root: String,
    part_size: u64,
    /// Storage class of what is written, where it isn't the bucket's.
    class: Option<String>,
    kms_key: Option<String>,
    /// The bucket doesn't move objects, or this account may not: they are copied.
    copies: AtomicBool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    kind: String,
    #[serde(default)]
    items: Vec<Object>,
    #[serde(default)]
    prefixes: Vec<String>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rewrite {
    done: bool,
    rewrite_token: Option<String>,
    resource: Option<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Buckets {
    #[serde(default)]
    items: Vec<BucketRow>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct BucketRow {
    name: String,
}

/// What a bucket keeps of what is replaced or removed.
#[derive(Deserialize)]
struct Keeping {
    versioning: Option<Versioning>,
    /// Rules, of which any may end a version.
    lifecycle: Option<Lifecycle>,
}

#[derive(Deserialize)]
struct Versioning {
    #[serde(default)]
    enabled: bool,
}

#[derive(Deserialize)]
struct Lifecycle {
    #[serde(default)]
    rule: Vec<Value>,
}

impl Store {
    /// One whose settings are checked, but for the bucket: where its name is empty, what is asked
    /// is asked of the project.
    fn at(settings: &Settings, http: Http, bucket: &str, root: &str) -> Result<Store> {
        let endpoint = settings.given("endpoint");
        let mut project = settings.given("project").unwrap_or_default().to_owned();
        let grant: Result<Arc<dyn Grant>> = match settings.given(KEY) {
            Some(key) => {
                let account = ServiceAccount::new(key, endpoint, SCOPES)
                    .map_err(|cause| wrong(KEY, cause))?;
                if project.is_empty() {
                    account.project().clone_into(&mut project);
                }
                Ok(Arc::new(account))
            }
            None => {
                for key in ["client-id", "client-secret"] {
                    if settings.given(key).is_none() {
                        return Err(wrong(key, "it or the key of a service account is needed"));
                    }
                }
                settings.grant()
            }
        };
        let class = settings.given("storage-class").filter(|class| *class != "default");
        Ok(Store {
            api: Api::new(http, grant, refusal),
            base: endpoint.unwrap_or(GOOGLE).trim_end_matches('/').into(),
            bucket: bucket.into(),
            project,
            user_project: settings.given("user-project").map(Into::into),
            root: if root.is_empty() { String::new() } else { format!("{root}/") },
            part_size: u64::from(settings.number(&DESCRIPTOR, "part-size")) * MIB,
            class: class.map(Into::into),
            kms_key: settings.given("sse-key").map(Into::into),
            copies: AtomicBool::default(),
        })
    }

    fn name(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Name of a folder's marker; what is in it begins with the same. Empty for a bucket's root.
    fn folder_name(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}{path}/", self.root) }
    }

    // ---- requests

    /// The address of a call to the bucket, of this path in it.
    fn address<'a>(&'a self, below: &str, path: &str, mut query: Vec<(&str, &'a str)>) -> String {
        query.extend(self.user_project.as_deref().map(|project| ("userProject", project)));
        address(&self.base, below, &format!("b/{}{path}", self.bucket), &query)
    }

    fn url<'a>(&'a self, path: &str, query: Vec<(&str, &'a str)>) -> String {
        self.address(BELOW, path, query)
    }

    fn object_url<'a>(&'a self, name: &str, query: Vec<(&str, &'a str)>) -> String {
        self.url(&object_path(name), query)
    }

    /// Sends a request. Sending any here twice does no harm: it writes the same again, or has a
    /// condition whose failure is looked into.
    fn send<'a>(&self, what: &str, build: &dyn Fn() -> Call<'a>) -> Result<Reply, Fault> {
        let mut attempts = 0;
        let reply = self.api.call(what, REFUSALS, &mut || {
            attempts += 1;
            Ok(build())
        })?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let (status, body) = (reply.status, reply.excerpt());
        let (code, error) = (read(status, &body).reason, refusal(what, status, &body));
        Err(Fault { status, code, again: attempts > 1, error })
    }

    fn ask<'a, T: DeserializeOwned>(
        &self,
        what: &str,
        build: &dyn Fn() -> Call<'a>,
    ) -> Result<T, Fault> {
        google::read(what, &mut || self.send(what, build))
    }

    fn get<T: DeserializeOwned>(&self, what: &str, url: &str) -> Result<T, Fault> {
        self.ask(what, &|| Call::new("GET", url.into(), true))
    }

    /// Makes a call that takes nothing but its address.
    fn post<T: DeserializeOwned>(&self, what: &str, url: &str) -> Result<T, Fault> {
        self.ask(what, &|| Call::new("POST", url.into(), true).payload(Payload::Bytes(b"")))
    }

    // ---- looking

    fn look(&self, what: &str, name: &str) -> Result<Option<Object>> {
        match self.get(what, &self.object_url(name, vec![("fields", FIELDS)])) {
            Ok(object) => Ok(Some(object)),
            Err(fault) if is_absence(&fault) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The state of a file; `None` when it isn't there.
    fn stat_file(&self, what: &str, name: &str) -> Result<Option<Entry>> {
        self.look(what, name)?.map(|object| object.entry(what)).transpose()
    }

    /// One page of the objects whose names begin with `prefix`, from where `token` says. With
    /// `flat` it goes into folders.
    fn page(&self, what: &str, prefix: &str, token: &str, most: usize, flat: bool) -> Result<Page> {
        const FLAT: &str = concat!("kind,nextPageToken,items(", object_fields!(), ")");
        let most = most.to_string();
        let fields = if flat { FLAT } else { "kind,nextPageToken,prefixes" };
        let mut query = vec![("maxResults", &*most), ("fields", fields)];
        let delimiter = if flat { "" } else { "/" };
        let more = [("prefix", prefix), ("delimiter", delimiter), ("pageToken", token)];
        query.extend(more.into_iter().filter(|(_, value)| !value.is_empty()));
        let page: Page = self.get(what, &self.url("/o", query))?;
        // What is missing from a listing will be taken for removed: it has to be one.
        if page.kind != "storage#objects" {
            return Err(not_google(
                what,
                format!("the reply is of '{}', not a listing", page.kind),
            ));
        }
        let names = || page.items.iter().map(|object| &object.name).chain(&page.prefixes);
        if let Some(name) = names().find(|name| !name.starts_with(prefix) || name.is_empty()) {
            return Err(not_google(what, format!("the listing tells nonsense of '{name}'")));
        }
        if !names().is_sorted_by(|one, other| one < other) {
            return Err(not_google(what, "the names come in disorder"));
        }
        Ok(page)
    }

    /// The pages of such a listing, until `each` doesn't want the next.
    fn pages(
        &self,
        what: &str,
        prefix: &str,
        most: usize,
        flat: bool,
        each: &mut dyn FnMut(Page) -> Result<bool>,
    ) -> Result<()> {
        let (mut token, mut last) = (String::new(), None);
        loop {
            let mut page = self.page(what, prefix, &token, most, flat)?;
            let next = page.next_page_token.take().unwrap_or_default();
            let names = || page.items.iter().map(|object| &object.name).chain(&page.prefixes);
            if last.as_ref().is_some_and(|last| names().next().is_some_and(|first| first <= last)) {
                return Err(not_google(what, "the names come in disorder"));
            }
            last = names().next_back().cloned().or(last);
            if !each(page)? || next.is_empty() {
                return Ok(());
            }
            if next == token {
                return Err(endless(what));
            }
            token = next;
        }
    }

    /// The first objects whose names begin with `prefix`, at least so many if there are. A page may
    /// be empty though it isn't the last.
    fn first(&self, what: &str, prefix: &str, least: usize) -> Result<Vec<Object>> {
        let mut found = Vec::new();
        self.pages(what, prefix, least, true, &mut |page| {
            found.extend(page.items);
            Ok(found.len() < least)
        })?;
        Ok(found)
    }

    // ---- moving and removing

    /// Moves an object at once; `None` where that can't be done: then it is copied.
    fn move_object(
        &self,
        what: &str,
        from: &str,
        to: &str,
        version: &Version,
    ) -> Result<Option<Entry>> {
        if self.copies.load(Relaxed) {
            return Ok(None);
        }
        let path = format!("{}/moveTo{}", object_path(from), object_path(to));
        let query = vec![
            ("ifSourceGenerationMatch", version.as_str()),
            ("ifGenerationMatch", "0"),
            ("fields", FIELDS),
        ];
        match self.post::<Object>(what, &self.url(&path, query)) {
            Ok(object) => object.entry(what).map(Some),
            // What doesn't hold of the two objects, a copy tells.
            Err(fault) if matches!(fault.status, 404 | 412) => Ok(None),
            Err(fault)
                if matches!(fault.status, 400 | 501) || fault.error.kind() == Kind::Denied =>
            {
                self.copies.store(true, Relaxed);
                Ok(None)
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Copies an object to a name that is free.
    fn copy_object(&self, what: &str, from: &str, to: &str, version: &Version) -> Result<Entry> {
        let body = match &self.class {
            Some(class) => Some(json(what, &self.kept_as(what, from, class)?)?),
            // Without a description, the copy has the source's and the bucket's storage class.
            None => None,
        };
        let bucket = &self.bucket;
        let path = format!("{}/rewriteTo/b/{bucket}{}", object_path(from), object_path(to));
        let mut token = String::new();
        // A large object takes several calls, each with what the last one gave.
        loop {
            let mut query = vec![
                ("ifSourceGenerationMatch", version.as_str()),
                ("ifGenerationMatch", "0"),
                ("fields", REWRITE_FIELDS),
            ];
            query.extend(self.kms_key.as_deref().map(|key| ("destinationKmsKeyName", key)));
            query.extend(Some(("rewriteToken", &*token)).filter(|_| !token.is_empty()));
            let url = self.url(&path, query);
            let step = match &body {
                Some(body) => self.ask(what, &|| with_json("POST", &url, body)),
                None => self.post(what, &url),
            };
            let step: Rewrite = match step {
                Err(fault) if fault.status == 412 || is_absence(&fault) => {
                    return Err(self.uncopied(what, to, fault));
                }
                step => step?,
            };
            match (step.done, step.resource, step.rewrite_token) {
                (true, Some(object), _) => return object.entry(what),
                (false, _, Some(next)) if !next.is_empty() => token = next,
                _ => return Err(not_google(what, "the copy neither ends nor goes on")),
            }
        }
    }

    /// What is to be told of a copy that is to be of another storage class: all that is told of the
    /// source, as nothing else is kept then.
    fn kept_as(&self, what: &str, name: &str, class: &str) -> Result<Value> {
        const KEPT: &str = "metadata,contentType,contentEncoding,contentDisposition,contentLanguage,cacheControl,\
             customTime";
        let url = self.object_url(name, vec![("fields", KEPT)]);
        let mut kept: Value = self.get(what, &url)?;
        kept["storageClass"] = class.into();
        Ok(kept)
    }

    /// Why an object wasn't copied where a condition didn't hold, or something was missing.
    fn uncopied(&self, what: &str, to: &str, fault: Fault) -> Error {
        match self.look(what, to) {
            Ok(Some(_)) if fault.status == 412 => {
                Error::new(Kind::Exists, what, "something is there")
            }
            Ok(_) => fault.error,
            Err(error) => error,
        }
    }

    /// Removes an object of this version.
    fn delete(&self, what: &str, name: &str, version: &Version) -> Result<()> {
        let url = self.object_url(name, vec![("ifGenerationMatch", version.as_str())]);
        match self.send(what, &|| Call::new("DELETE", url.clone(), true)) {
            Ok(reply) => reply.drain(),
            Err(fault) if is_absence(&fault) => {}
            // The condition doesn't hold of what is gone either.
            Err(fault) if fault.status == 412 && self.look(what, name)?.is_none() => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    /// Removes the markers of a folder, of whichever style, if nothing else is in it.
    fn remove_folder(&self, what: &str, prefix: &str) -> Result<()> {
        let mut found = self.first(what, prefix, 2)?;
        // What holds something is no marker.
        if found.iter().any(|object| object.name != prefix || object.size() != Some(0)) {
            return Err(Error::new(Kind::Exists, what, "the folder isn't empty"));
        }
        let old = self.look(what, &old_marker(prefix))?;
        found.extend(old.filter(Object::is_old_marker));
        found.iter().try_for_each(|object| self.delete(what, &object.name, &object.version()))
    }

    // ---- buckets

    fn project(&self, what: &str) -> Result<&str> {
        match self.project.as_str() {
            "" => Err(Error::new(Kind::Usage, what, "the project isn't told")
                .remedy("give the id of the project as it stands in the Google Cloud console")),
            project => Ok(project),
        }
    }

    /// Tells the buckets of the project.
    fn list_buckets(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let what = "listing buckets";
        let project = self.project(what)?;
        let mut token = String::new();
        loop {
            let mut query = vec![("project", project), ("fields", "nextPageToken,items(name)")];
            query.extend(Some(("pageToken", &*token)).filter(|_| !token.is_empty()));
            let page: Buckets = self.get(what, &address(&self.base, BELOW, "b", &query))?;
            page.items.iter().try_for_each(|row| each(&row.name))?;
            match page.next_page_token {
                Some(next) if next == token => return Err(endless(what)),
                Some(next) => token = next,
                None => return Ok(()),
            }
        }
    }

    fn make_bucket(&self, region: Option<&str>) -> Result<()> {
        let what = &format!("making the bucket {}", self.bucket);
        let mut wish = value!({
            "name": self.bucket,
            // Nobody else sees what is in it.
            "iamConfiguration": {
                "uniformBucketLevelAccess": { "enabled": true },
                "publicAccessPrevention": "enforced",
            },
        });
        if let Some(region) = region {
            wish["location"] = region.into();
        }
        let body = json(what, &wish)?;
        let query = [("project", self.project(what)?), ("fields", "name")];
        let url = address(&self.base, BELOW, "b", &query);
        match self.send(what, &|| with_json("POST", &url, &body)) {
            Ok(reply) => reply.drain(),
            Err(fault) if fault.status == 409 => {
                let mut is_own = false;
                self.list_buckets(&mut |bucket| {
                    is_own |= bucket == self.bucket;
                    Ok(())
                })?;
                if !is_own {
                    let cause = "somebody else has a bucket of this name";
                    return Err(
                        Error::new(Kind::NameTaken, what, cause).remedy("choose another name")
                    );
                }
            }
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }
}

impl Remote for Store {
    fn test(&self) -> Result<()> {
        let what = format!("looking into the bucket {}", self.bucket);
        self.page(&what, &self.root, "", 1, true).map(drop)
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let folder = folder.path;
        let what = format!("listing {}", if folder.is_empty() { &self.bucket } else { folder });
        let prefix = self.folder_name(folder);
        self.pages(&what, &prefix, PAGE, true, &mut |page| {
            for object in page.items {
                let path = object.name.strip_prefix(&prefix).unwrap_or_default();
                match path.strip_suffix('/') {
                    // This leaves out the root's own marker, too.
                    Some(folder) if is_path(folder) => each(folder, Entry::folder(""))?,
                    None if is_path(path) && !object.is_old_marker() => {
                        each(path, object.entry(&what)?)?;
                    }
                    _ => {}
                }
            }
            Ok(true)
        })
    }

    fn folders(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let prefix = self.folder_name("");
        self.pages("listing folders", &prefix, PAGE, false, &mut |page| {
            for folder in &page.prefixes {
                let name = folder[prefix.len()..].trim_end_matches('/');
                if is_path(name) {
                    each(name)?;
                }
            }
            Ok(true)
        })
    }

    /// A folder is there when a marker of it, or anything below it, is. The root is when the
    /// bucket is.
    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        let path = place.path;
        let what = format!("looking at {}", if path.is_empty() { &self.bucket } else { path });
        if kind == ItemKind::File {
            return self.stat_file(&what, &self.name(path));
        }
        let within = match self.first(&what, &self.folder_name(path), 1) {
            Err(error) if path.is_empty() && error.kind() == Kind::NotFound => return Ok(None),
            within => within?,
        };
        Ok((path.is_empty() || !within.is_empty()).then(|| Entry::folder("")))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let (what, name) = (format!("downloading {}", place.path), self.name(place.path));
        let query = vec![("alt", "media"), ("ifGenerationMatch", version.as_str())];
        let url = self.object_url(&name, query);
        let reply = self.send(&what, &|| {
            // What is stored compressed comes as it is, and not as others see it.
            let call = Call::new("GET", url.clone(), true).header("Accept-Encoding", "gzip");
            match http::range(&bytes) {
                Some(range) => call.header("Range", range),
                None => call,
            }
        });
        let reply = match reply {
            Err(fault) if fault.status == 412 && self.look(&what, &name)?.is_none() => {
                return Err(Error::new(Kind::NotFound, what, "it isn't there any more"));
            }
            Err(fault) if fault.status == 416 => {
                let entry = self.stat_file(&what, &name)?;
                check(&what, Expect::Version(version), entry.as_ref())?;
                return download::at_end(bytes.start, entry).ok_or_else(|| fault.into());
            }
            reply => reply?,
        };
        let no_size = || Err(not_google(&what, "the reply tells no size"));
        let arrived = Arrived::of(&what, &reply, &bytes, &no_size)?;
        let entry = Object::of_download(&reply, arrived.size).entry(&what)?;
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
            return Err(Error::new(Kind::TooLarge, what, "the service takes up to 5 TiB"));
        }
        let written = if content.size() > self.part_size {
            self.put_parts(&what, &name, content, mtime, expect, resume)
        } else {
            self.put(&what, &name, content, Some(mtime), expect)
        };
        written.map(Written::from)
    }

    fn abandon(&self, note: &[u8]) -> Result<()> {
        self.drop_noted(note)
    }

    /// A folder whose marker would have too long a name is made by what is put into it.
    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let path = place.path;
        let (what, prefix) = (format!("making the folder {path}"), self.folder_name(path));
        let found = Ok(Made::or_found(Entry::folder("")));
        if prefix.is_empty() || prefix.len() > MAX_NAME {
            return found;
        }
        if !self.first(&what, &prefix, 1)?.is_empty() {
            return found;
        }
        let file = self.stat_file(&what, prefix.trim_end_matches('/'))?;
        check(&what, Expect::Absent, file.as_ref())?;
        match self.put(&what, &prefix, &Nothing, None, Expect::Absent) {
            Err(error) if error.kind() != Kind::Exists => Err(error),
            _ => found,
        }
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
        if let Some(moved) = self.move_object(&what, &from, &to, version)? {
            return Ok(moved);
        }
        let copied = self.copy_object(&what, &from, &to, version)?;
        let removed = self.delete(&what, &from, version);
        objects::moved(copied, removed, |copy| self.delete(&what, &to, copy))
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let (from, to) = (from.path, to.path);
        let what = format!("copying {from} to {to}");
        self.copy_object(&what, &self.name(from), &self.name(to), version)
    }

    /// A bucket with versioning keeps every version, unless a rule of its lifecycle ends some.
    fn keeps_version(&self, place: Place<'_>, _: &Version) -> Result<bool> {
        let what = format!("asking for the versioning of the bucket of {}", place.path);
        let url = self.url("", vec![("fields", "versioning,lifecycle")]);
        let kept = self.get::<Keeping>(&what, &url).map(|Keeping { versioning, lifecycle }| {
            let ends = lifecycle.is_some_and(|lifecycle| !lifecycle.rule.is_empty());
            versioning.is_some_and(|versioning| versioning.enabled) && !ends
        });
        objects::proven(kept.map_err(Error::from))
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        let file = |what: &str, path: &str, version: &Version| {
            self.delete(what, &self.name(path), version)
        };
        let folder = |what: &str, path: &str| self.remove_folder(what, &self.folder_name(path));
        objects::remove_each(items, done, file, folder);
    }
}

/// What a marker of a folder holds.
struct Nothing;

impl Content for Nothing {
    fn size(&self) -> u64 {
        0
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize> {
        Ok(0)
    }

    fn unchanged(&self) -> Result<()> {
        Ok(())
    }
}

/// The path of an object, whose name is one part of it.
fn object_path(name: &str) -> String {
    format!("/o/{}", utf8_percent_encode(name, PLAIN))
}

/// Name of the marker that an old tool made of the folder whose contents begin with `prefix`.
fn old_marker(prefix: &str) -> String {
    format!("{}{OLD_MARKER}", prefix.trim_end_matches('/'))
}

/// The parameter that tells which generation a write expects.
fn condition(expect: Expect<'_>) -> (&'static str, &str) {
    (
        "ifGenerationMatch",
        match expect {
            Expect::Absent => "0",
            Expect::Version(version) => version.as_str(),
        },
    )
}

/// The object isn't there; without the bucket, nothing is known of it.
fn is_absence(fault: &Fault) -> bool {
    fault.status == 404 && !matches!(&*fault.code, "" | NO_BUCKET)
}
