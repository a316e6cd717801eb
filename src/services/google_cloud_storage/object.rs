//! Objects as Cloud Storage tells them, and what they are to Mooring.
//!
//! Source of the fields: the resources `Object` and `Objects` of the JSON API.

use super::super::rfc3339;
use crate::error::{Error, Kind, Result};
use crate::hash::Hash;
use crate::http::Reply;
use crate::model::{Nanos, RemotePrint, Version};
use crate::remote::Entry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// What is asked of every object.
macro_rules! object_fields {
    () => {
        "name,size,generation,md5Hash,metadata"
    };
}
pub(super) use object_fields;

/// What old tools call an object that stands for its folder: the folder's name, and this.
pub(super) const OLD_MARKER: &str = "_$folder$";

/// An object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    size: String,
    #[serde(default)]
    pub generation: Box<str>,
    /// Missing where it was composed of others, or sent in parts by way of the XML API.
    md5_hash: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

/// What whoever sent an object said of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Metadata {
    /// As rclone keeps it.
    mtime: Option<String>,
    /// In seconds since 1970, as Google's own tools keep it.
    #[serde(rename = "goog-reserved-file-mtime")]
    seconds: Option<String>,
}

/// What is told of a new object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish<'a> {
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Compared with what arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<&'a str>,
}

impl Metadata {
    pub fn of(mtime: Nanos) -> Self {
        let seconds = mtime.div_euclid(1_000_000_000);
        Metadata { mtime: Some(rfc3339::format(mtime)), seconds: Some(seconds.to_string()) }
    }

    fn mtime(&self) -> Option<Nanos> {
        let exact = self.mtime.as_deref().and_then(rfc3339::parse);
        exact.or_else(|| {
            self.seconds.as_deref()?.trim().parse::<i64>().ok()?.checked_mul(1_000_000_000)
        })
    }
}

impl Object {
    /// Bytes, if they are told.
    pub fn size(&self) -> Option<u64> {
        self.size.parse().ok()
    }

    pub fn md5(&self) -> Option<[u8; 16]> {
        BASE64.decode(self.md5_hash.as_deref()?).ok()?.try_into().ok()
    }

    pub fn version(&self) -> Version {
        Version::new(self.generation.clone())
    }

    /// Whether it is an old tool's marker of a folder.
    pub fn is_old_marker(&self) -> bool {
        self.name.ends_with(OLD_MARKER) && self.size() == Some(0)
    }

    /// Whether it can only be what was sent so.
    pub fn is(&self, size: u64, md5: [u8; 16], mtime: Nanos) -> bool {
        (self.size(), self.md5(), self.metadata.mtime()) == (Some(size), Some(md5), Some(mtime))
    }

    /// The file's state.
    pub fn entry(&self, what: &str) -> Result<Entry> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match self.size() {
            Some(size) if is_number(&self.generation) => {
                let print = RemotePrint::file(size, self.version(), self.metadata.mtime());
                Ok(Entry::file(print, self.md5().map(Hash::Md5)))
            }
            _ => Err(not_google(
                what,
                format!("the reply tells no generation or size of '{}'", self.name),
            )),
        }
    }

    /// What the header fields of a download tell of an object of `size`. They tell no metadata.
    pub fn of_download(reply: &Reply, size: u64) -> Object {
        let hashes = reply.header_all("x-goog-hash").flat_map(|hashes| hashes.split(','));
        let md5 = hashes.filter_map(|hash| hash.trim().strip_prefix("md5=")).next();
        Object {
            size: size.to_string(),
            generation: reply.header("x-goog-generation").unwrap_or_default().into(),
            md5_hash: md5.map(str::to_owned),
            ..Object::default()
        }
    }
}

pub(super) fn not_google(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Protocol, what, cause)
        .remedy("check that the address is that of Cloud Storage; a proxy may be in between")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Object {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_exact_time_counts_and_else_the_seconds() {
        for (metadata, mtime) in [
            (
                r#"{"mtime": "1970-01-01T00:00:02.5Z", "goog-reserved-file-mtime": "9"}"#,
                Some(2_500_000_000),
            ),
            (r#"{"mtime": "nonsense", "goog-reserved-file-mtime": "9"}"#, Some(9_000_000_000)),
            (r#"{"goog-reserved-file-mtime": "-1"}"#, Some(-1_000_000_000)),
            (r#"{"goog-reserved-file-mtime": "99999999999999"}"#, None),
            (r#"{"other": "1"}"#, None),
        ] {
            let told =
                object(&format!(r#"{{"size": "1", "generation": "1", "metadata": {metadata}}}"#));
            assert_eq!(told.entry("it").unwrap().print.mtime, mtime, "{metadata}");
        }
        for mtime in [0, 1_600_000_000_123_456_789, -1] {
            assert_eq!(Metadata::of(mtime).mtime(), Some(mtime));
        }
        assert_eq!(Metadata::of(-1).seconds.as_deref(), Some("-1"));
    }

    #[test]
    fn a_hash_that_is_missing_is_none() {
        let told =
            object(r#"{"size": "0", "generation": "1", "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg=="}"#);
        assert!(told.entry("it").unwrap().hash.is_some());
        for md5 in ["", r#", "md5Hash": "xyz""#, r#", "md5Hash": "AAAA""#] {
            let told = object(&format!(r#"{{"size": "0", "generation": "1"{md5}}}"#));
            assert_eq!(told.entry("it").unwrap().hash, None, "{md5}");
        }
    }

    #[test]
    fn an_object_without_size_or_generation_is_nonsense() {
        for told in [
            "{}",
            r#"{"size": "1"}"#,
            r#"{"generation": "1"}"#,
            r#"{"size": "-1", "generation": "1"}"#,
            r#"{"size": "1", "generation": "a&b"}"#,
        ] {
            assert_eq!(object(told).entry("it").unwrap_err().kind(), Kind::Protocol, "{told}");
        }
    }
}
