//! Plain values that every room shares: kinds, directions and what was seen of an item.
//!
//! Nothing here does I/O or knows the time.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ItemKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// Which way a task's changes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Direction {
    /// Changes of each side reach the other.
    Both,
    /// Local changes reach the service; nothing is ever written locally.
    Upload,
    /// Remote changes reach the disk; nothing is ever written remotely.
    Download,
}

/// Which content keeps its name when both sides of a two-way task changed a file. The other one
/// is kept as well, whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ConflictPolicy {
    /// The local one. The remote one becomes a conflict copy, or stays on the service as a version
    /// where the service proves that it keeps versions.
    #[default]
    Local,
    /// The remote one. The local one becomes a conflict copy.
    Remote,
    /// The one with the later time of modification, by whole seconds; the local one where the times
    /// are equal, or one isn't known, or the service doesn't keep times.
    Newer,
    /// The local one, and the remote one becomes a conflict copy on both sides, also where the
    /// service keeps versions.
    Both,
}

/// One of the two sides of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Side {
    /// The folder on the NAS.
    Local,
    /// The folder in the cloud.
    Remote,
}

/// A time of modification: nanoseconds since 1970-01-01 UTC.
pub type Nanos = i64;

/// What tells one state of a local item from another.
///
/// All zero but the inode for a folder: its times change with every child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPrint {
    /// Bytes.
    pub size: u64,
    /// Time of the last change of the content, as the file system tells.
    pub mtime: Nanos,
    /// Time of the last change of content or attributes. Programs can't set it, so it betrays a
    /// rewrite that put the old mtime back.
    pub ctime: Nanos,
    /// Inode number: a file that was replaced by another has a new one.
    pub inode: u64,
}

/// What tells one state of a remote item from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemotePrint {
    /// Bytes; 0 for a folder.
    pub size: u64,
    /// The service's version. For a folder it is empty unless the service changes it with every
    /// change anywhere below the folder.
    pub version: Version,
    /// Time of the last change of the content where the service keeps it and told it.
    pub mtime: Option<Nanos>,
    /// What the service calls the item wherever it is moved to and however it is renamed; empty
    /// where it has no such name.
    pub id: Box<str>,
}

impl RemotePrint {
    /// The size of a file that isn't known before it is read, as of an online document that the
    /// service turns into a file.
    pub const UNSIZED: u64 = u64::MAX;

    /// The size, where it is known before the file is read.
    pub fn known_size(&self) -> Option<u64> {
        Some(self.size).filter(|size| *size != Self::UNSIZED)
    }

    /// A file on a service without ids.
    pub fn file(size: u64, version: Version, mtime: Option<Nanos>) -> Self {
        RemotePrint { size, version, mtime, id: Box::default() }
    }

    /// A folder of this id.
    pub fn folder(id: impl Into<Box<str>>) -> Self {
        RemotePrint { id: id.into(), ..RemotePrint::default() }
    }

    /// Whether both prints are of the same content. Times don't count: a service may keep them
    /// or not, and a listing may leave out what a single look tells. Ids don't either: a file
    /// that was replaced by its twin is the same file.
    pub fn same(&self, other: &RemotePrint) -> bool {
        self.size == other.size && self.version == other.version
    }
}

/// A service's version of an item (ETag, revision, generation), without quotes or weakness mark.
///
/// Stored in half the bytes when it is a lower-case hexadecimal number, as most are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(Box<str>);

impl Version {
    /// The version as the service wrote it.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Version(text.into())
    }

    /// The version of an `ETag` header or property: quotes and `W/` are taken off, because some
    /// servers send either form for the same state.
    pub fn from_etag(etag: &str) -> Self {
        let bare = etag.trim();
        let bare = bare.strip_prefix("W/").unwrap_or(bare);
        Version(bare.trim_matches('"').into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the service told no version.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Serialize, Deserialize)]
enum PackedVersion<'a> {
    Text(&'a str),
    Hex(&'a [u8]),
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match from_hex(&self.0) {
            Some(bytes) => PackedVersion::Hex(&bytes).serialize(serializer),
            None => PackedVersion::Text(&self.0).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match PackedVersion::deserialize(deserializer)? {
            PackedVersion::Text(text) => Version(text.into()),
            PackedVersion::Hex(bytes) => Version(to_hex(bytes).into()),
        })
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// The bytes of an even number of lower-case hexadecimal digits; `None` for any other text.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks_exact(2);
    if text.is_empty() || !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// The first 16 bytes of the SHA-256 of a file's content: enough to tell whether it changed.
pub type Fingerprint = [u8; 16];

/// The last part of a path, and the part before it (empty for an item in the root).
pub fn split_path(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The path of what has this name in a folder (empty for the root).
pub fn join_path(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_survive_packing() {
        for text in ["", "d41d8cd98f00b204e9800998ecf8427e", "ABC", "abc", "0-5", "é", "00"] {
            let version = Version::new(text);
            let bytes = postcard::to_stdvec(&version).unwrap();
            assert_eq!(postcard::from_bytes::<Version>(&bytes).unwrap(), version);
        }
        let packed = postcard::to_stdvec(&Version::new("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(packed.unwrap().len(), 18);
    }

    #[test]
    fn etags_lose_quotes_and_weakness() {
        assert_eq!(Version::from_etag("W/\"abc\""), Version::from_etag("abc"));
    }
}
