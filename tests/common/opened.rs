//! A remote that was opened to test its adapter, with its client, which counts.

use super::by_path::ByPath;
use super::contract::{Bytes, Flaw, Notes};
use super::peers::{B2Peer, GcsPeer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mooring::error::Result;
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::model::{ItemKind, Nanos, Version};
use mooring::remote::{Entry, Expect, Place, Removal};
use mooring::services;
use serde_json::{Value, json};
use std::io::Read;
use std::ops::Deref;
use std::sync::atomic::Ordering::SeqCst;

/// When the files that are written here were modified.
pub const TIME: Nanos = 1_600_000_000_123_456_789;

pub struct Opened {
    pub remote: ByPath,
    pub http: Http,
}

impl Opened {
    pub fn new(
        service: &str,
        settings: &[(&str, &str)],
        root: &str,
        options: &HttpOptions,
    ) -> Result<Self> {
        let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let http = Http::new(options, Cancel::default()).unwrap();
        let service = services::find(service).unwrap();
        let remote = service.open(&settings.collect(), http.clone(), root)?;
        Ok(Opened { remote: ByPath::new(remote), http })
    }

    pub fn create(&self, path: &str, bytes: &[u8]) -> Result<Entry> {
        self.write(path, bytes, Expect::Absent)
    }

    pub fn write(&self, path: &str, bytes: &[u8], expect: Expect<'_>) -> Result<Entry> {
        let content = Bytes::with(bytes, Flaw::None);
        self.remote.write(path, &content, TIME, expect, &Notes::default())
    }

    /// Writes whatever is there.
    pub fn overwrite(&self, path: &str, bytes: &[u8]) -> Entry {
        let there = self.stat(path).map(|entry| entry.print.version);
        let expect = there.as_ref().map_or(Expect::Absent, Expect::Version);
        self.write(path, bytes, expect).unwrap()
    }

    pub fn stat(&self, path: &str) -> Option<Entry> {
        self.remote.stat(path, ItemKind::File).unwrap()
    }

    pub fn content(&self, path: &str) -> Vec<u8> {
        let version = self.stat(path).unwrap().print.version;
        let mut bytes = Vec::new();
        let mut download = self.remote.read(path, &version, 0..u64::MAX).unwrap();
        download.reader.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// What a listing tells, in its order: folders end in a slash.
    pub fn told(&self) -> Result<Vec<String>> {
        let mut told = Vec::new();
        self.remote.list("", &mut |path, entry| {
            let slash = if entry.kind == ItemKind::Folder { "/" } else { "" };
            told.push(format!("{path}{slash}"));
            Ok(())
        })?;
        Ok(told)
    }

    pub fn remove(&self, path: &str, kind: ItemKind, version: &Version) -> Result<()> {
        let removal = Removal { place: Place::at(path), kind, version };
        let mut result = None;
        self.remote.remove(&[removal], &mut |_, told| result = Some(told));
        result.unwrap()
    }

    /// Removes files at once; tells what came of the first.
    pub fn remove_files(&self, files: &[(&str, &Version)]) -> Result<()> {
        let kind = ItemKind::File;
        let removal = |&(path, version)| Removal { place: Place::at(path), kind, version };
        let removals: Vec<_> = files.iter().map(removal).collect();
        let mut first = None;
        self.remote.remove(&removals, &mut |index, told| {
            first = first.take().or((index == 0).then_some(told));
        });
        first.unwrap()
    }

    /// How many requests `call` takes.
    pub fn requests<T>(&self, call: impl FnOnce() -> T) -> u64 {
        let before = self.http.counters().requests.load(SeqCst);
        call();
        self.http.counters().requests.load(SeqCst) - before
    }

    pub fn bytes_up(&self) -> u64 {
        self.http.counters().bytes_up.load(SeqCst)
    }
}

/// A server that a test steers, as stands at the top of its script.
pub trait Steered {
    fn control(&self, what: &str, body: Value) -> Value;
}

impl Steered for B2Peer {
    fn control(&self, what: &str, body: Value) -> Value {
        B2Peer::control(self, what, body)
    }
}

impl Steered for GcsPeer {
    fn control(&self, what: &str, body: Value) -> Value {
        GcsPeer::control(self, what, body)
    }
}

/// A remote in a bucket of a server that is steered.
pub struct InBucket<'a, P> {
    pub opened: Opened,
    pub peer: &'a P,
    pub bucket: String,
}

impl<P> Deref for InBucket<'_, P> {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        &self.opened
    }
}

impl<P: Steered> InBucket<'_, P> {
    pub fn put(&self, name: &str, more: Value) {
        let mut object = json!({ "bucket": self.bucket, "name": name });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.peer.control("put", object);
    }

    /// Has somebody else write a file right before a request is carried out.
    pub fn race(&self, before: &str, name: &str, bytes: &[u8]) {
        let object = json!({
            "match": before, "bucket": self.bucket, "name": name, "base64": BASE64.encode(bytes),
        });
        self.peer.control("race", object);
    }

    pub fn fault(&self, fault: Value) {
        self.peer.control("fault", fault);
    }

    /// The requests there were since this was last asked.
    pub fn asked(&self) -> Vec<String> {
        let told = self.peer.control("requests", json!({}));
        told.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }
}
