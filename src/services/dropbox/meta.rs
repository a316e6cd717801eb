//! What Dropbox tells of items and accounts.

use crate::error::{Error, Kind, Result};
use crate::hash::Hash;
use crate::model::{ItemKind, Nanos, RemotePrint, Version, from_hex};
use crate::remote::{Entry, Special};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::time::{Duration, SystemTime};

/// An item: the fields of files, folders and what is gone, as far as they matter.
#[derive(Clone, Deserialize)]
pub(super) struct Meta {
    /// Left out where only one kind can be.
    #[serde(rename = ".tag", default)]
    tag: Box<str>,
    /// With the case of letters as it is.
    pub name: String,
    #[serde(default)]
    pub id: Box<str>,
    /// Of all its parts but the last, the case of letters may not be as it is. None where an item
    /// isn't mounted.
    pub path_display: Option<String>,
    /// A file's revision: new with each change of its content, and with each move.
    pub rev: Option<Box<str>>,
    #[serde(default)]
    pub size: u64,
    client_modified: Option<String>,
    content_hash: Option<String>,
    #[serde(default = "yes")]
    is_downloadable: bool,
    export_info: Option<IgnoredAny>,
    symlink_info: Option<IgnoredAny>,
    sharing_info: Option<Sharing>,
}

#[derive(Clone, Deserialize)]
struct Sharing {
    #[serde(default)]
    no_access: bool,
}

/// An account and the spaces it sees.
#[derive(Deserialize)]
pub(super) struct Account {
    pub account_id: String,
    pub root_info: RootInfo,
}

/// The spaces of an account: they are the same unless its team has a space of its own.
#[derive(Deserialize)]
pub(super) struct RootInfo {
    pub root_namespace_id: String,
    pub home_namespace_id: String,
}

fn yes() -> bool {
    true
}

impl Meta {
    /// Whether it tells that nothing is there any more.
    pub fn is_gone(&self) -> bool {
        &*self.tag == "deleted"
    }

    pub fn kind(&self) -> ItemKind {
        if self.rev.is_some() { ItemKind::File } else { ItemKind::Folder }
    }

    /// A file's version: what its content is told by, which a move doesn't change.
    pub fn version(&self) -> Option<Version> {
        let rev = self.rev.as_ref()?;
        Some(match &self.content_hash {
            Some(hash) => Version::new(hash.as_str()),
            None => Version::new(rev.clone()),
        })
    }

    /// What a file holds, if that is known.
    pub fn hash(&self) -> Option<Hash> {
        let bytes = from_hex(self.content_hash.as_deref()?)?;
        Some(Hash::Blocks(bytes.try_into().ok()?))
    }

    /// Whether both are of the same content.
    pub fn holds_the_same(&self, other: &Meta) -> bool {
        self.size == other.size && self.content_hash == other.content_hash
    }

    /// Whether this is the file that holds `hash` and was given the time `seconds`.
    pub fn is_file_of(&self, hash: Hash, size: u64, seconds: Option<i64>) -> bool {
        let time = self.modified().map(|time| time.div_euclid(1_000_000_000));
        self.hash() == Some(hash) && self.size == size && (seconds.is_none() || time == seconds)
    }

    fn modified(&self) -> Option<Nanos> {
        let time = humantime::parse_rfc3339(self.client_modified.as_deref()?).ok()?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Nanos::try_from(since.as_nanos()).ok()
    }

    /// The item in the engine's terms.
    ///
    /// # Errors
    /// `Protocol` when there is no id: nothing could be told from anything else.
    pub fn entry(self, what: &str) -> Result<Entry> {
        if self.id.is_empty() {
            let cause = format!("Dropbox tells no id of '{}'", self.name);
            return Err(Error::new(Kind::Protocol, what, cause));
        }
        let (hash, mtime) = (self.hash(), self.modified());
        let Some(version) = self.version() else {
            let closed = self.sharing_info.is_some_and(|sharing| sharing.no_access);
            let special = closed.then_some(Special::Closed);
            return Ok(Entry { special, ..Entry::folder(self.id) });
        };
        let special = if self.symlink_info.is_some() {
            // It stands for another item: a link that a client on some computer has found.
            Some(Special::Shortcut)
        } else if self.is_downloadable {
            None
        } else if self.export_info.is_some() {
            Some(Special::Document)
        } else {
            Some(Special::Closed)
        };
        let print = RemotePrint { size: self.size, version, mtime, id: self.id };
        Ok(Entry { special, ..Entry::file(print, hash) })
    }
}

/// The whole seconds of a time; `None` for one before 1970, which isn't told to Dropbox.
pub(super) fn seconds(time: Nanos) -> Option<i64> {
    Some(time.div_euclid(1_000_000_000)).filter(|seconds| *seconds >= 0)
}

/// Such a time as Dropbox writes it.
pub(super) fn timestamp(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Result<Entry> {
        serde_json::from_str::<Meta>(json).unwrap().entry("it")
    }

    #[test]
    fn files_and_folders_are_told_apart_with_and_without_a_tag() {
        let file = r#""name": "a", "id": "id:1", "rev": "0123456789", "size": 5,
            "client_modified": "2020-09-13T12:26:40Z", "is_downloadable": true,
            "content_hash": "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50""#;
        for json in [format!("{{{file}}}"), format!(r#"{{".tag": "file", {file}}}"#)] {
            let entry = entry(&json).unwrap();
            assert_eq!((entry.kind, entry.special), (ItemKind::File, None));
            assert_eq!(entry.print.mtime, Some(1_600_000_000_000_000_000));
            assert_eq!(&*entry.print.id, "id:1");
            assert!(entry.print.version.as_str().starts_with("9595c9df"));
            assert!(entry.hash.is_some());
        }
        let folder = entry(r#"{".tag": "folder", "name": "a", "id": "id:2"}"#).unwrap();
        assert_eq!(folder, Entry::folder("id:2"));
        assert_eq!(entry(r#"{"name": "a"}"#).unwrap_err().kind(), Kind::Protocol);
    }

    #[test]
    fn what_cannot_be_synced_is_told() {
        let special = |more: &str| {
            let json = format!(r#"{{"name": "a", "id": "id:1", "rev": "0123456789", {more}}}"#);
            entry(&json).unwrap().special
        };
        assert_eq!(special(r#""symlink_info": {"target": "/x"}"#), Some(Special::Shortcut));
        let paper = r#""is_downloadable": false, "export_info": {"export_as": "html"}"#;
        assert_eq!(special(paper), Some(Special::Document));
        assert_eq!(special(r#""is_downloadable": false"#), Some(Special::Closed));
        assert_eq!(special(r#""sharing_info": {"read_only": true}"#), None);
        let closed = r#"{"name": "a", "id": "id:1", "sharing_info": {"no_access": true}}"#;
        assert_eq!(entry(closed).unwrap().special, Some(Special::Closed));
    }

    #[test]
    fn odd_values_are_left_out() {
        let odd = r#"{"name": "a", "id": "id:1", "rev": "0123456789", "size": 1,
            "client_modified": "yesterday", "content_hash": "abc"}"#;
        let entry = entry(odd).unwrap();
        assert_eq!((entry.print.mtime, entry.hash), (None, None));
    }

    #[test]
    fn times_that_cannot_be_written_are_none() {
        assert_eq!(
            seconds(1_600_000_000_999_999_999).map(timestamp).as_deref(),
            Some("2020-09-13T12:26:40Z")
        );
        for time in [-1, Nanos::MIN] {
            assert_eq!(seconds(time), None);
        }
        // The last that nanoseconds can tell is in the year 2262.
        assert!(seconds(Nanos::MAX).is_some());
    }
}
