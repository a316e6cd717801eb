//! Items as Google Drive tells them, and what they are to Mooring.
//!
//! Source of the fields: the resource `File` of the Drive API v3.

use crate::hash::Hash;
use crate::model::{ItemKind, Nanos, RemotePrint, Version, from_hex};
use crate::remote::{Entry, Special};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// What is asked of every item.
macro_rules! file_fields {
    () => {
        "id,name,mimeType,parents,size,md5Checksum,headRevisionId,modifiedTime,trashed,driveId,\
         capabilities/canDownload"
    };
}
pub(super) use file_fields;

/// What a folder's MIME type is.
pub(super) const FOLDER: &str = "application/vnd.google-apps.folder";
const SHORTCUT: &str = "application/vnd.google-apps.shortcut";
/// Starts the MIME type of everything that has no bytes of its own.
const GOOGLES_OWN: &str = "application/vnd.google-apps.";
/// What a file is when nothing more is known of it.
const ANY_BYTES: &str = "application/octet-stream";

/// An item.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    pub id: Box<str>,
    #[serde(default)]
    pub name: Box<str>,
    #[serde(default)]
    pub mime_type: Box<str>,
    /// One, or none when it is only shared with this account.
    #[serde(default)]
    pub parents: Vec<Box<str>>,
    size: Option<Box<str>>,
    pub md5_checksum: Option<Box<str>>,
    pub head_revision_id: Option<Box<str>>,
    pub modified_time: Option<Box<str>>,
    /// Whether it, or a folder around it, is in the trash.
    #[serde(default)]
    pub trashed: bool,
    /// The shared drive that it is in.
    pub drive_id: Option<Box<str>>,
    #[serde(default)]
    capabilities: Capabilities,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Capabilities {
    can_download: Option<bool>,
}

/// What is written of an item.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parents: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trashed: Option<bool>,
}

/// A kind of online document that Google turns into a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Export {
    kind: &'static str,
    /// What it is turned into.
    pub mime_type: &'static str,
    ending: &'static str,
}

/// Source: the guide "Export MIME types for Google Workspace documents".
const EXPORTS: [Export; 4] = [
    Export {
        kind: "document",
        mime_type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ending: "docx",
    },
    Export {
        kind: "spreadsheet",
        mime_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ending: "xlsx",
    },
    Export {
        kind: "presentation",
        mime_type: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ending: "pptx",
    },
    Export { kind: "drawing", mime_type: "image/jpeg", ending: "jpg" },
];

impl Export {
    /// The export of a document of this MIME type, if there is one.
    fn of_type(mime_type: &str) -> Option<&'static Export> {
        let kind = mime_type.strip_prefix(GOOGLES_OWN)?;
        EXPORTS.iter().find(|export| export.kind == kind)
    }

    /// The export that this is a version of; `None` for the version of a file.
    pub fn of_version(version: &Version) -> Option<&'static Export> {
        let (ending, _) = version.as_str().split_once('-')?;
        EXPORTS.iter().find(|export| export.ending == ending)
    }

    /// Google tells no revision of a document. Its time changes with its content, and not with who
    /// may see it or looked at it.
    fn version(&self, modified: &str) -> Version {
        Version::new(format!("{}-{modified}", self.ending))
    }

    /// What the file is called that a document of this name is turned into.
    fn name(&self, name: &str) -> Box<str> {
        let has = name.rsplit_once('.').is_some_and(|(stem, ending)| {
            !stem.is_empty() && ending.eq_ignore_ascii_case(self.ending)
        });
        if has { name.into() } else { format!("{name}.{}", self.ending).into() }
    }
}

impl File {
    pub fn kind(&self) -> ItemKind {
        if &*self.mime_type == FOLDER { ItemKind::Folder } else { ItemKind::File }
    }

    /// Bytes; `None` of what has none.
    pub fn size(&self) -> Option<u64> {
        self.size.as_deref()?.parse().ok()
    }

    /// Whether it is in this folder, and not in the trash.
    pub fn is_in(&self, folder: &str) -> bool {
        !self.trashed && self.parents.iter().any(|parent| **parent == *folder)
    }

    /// The version of a file's content: its hash, so that a content that comes back is known
    /// again. A few files have none. Empty for what has no bytes.
    pub fn version(&self) -> Version {
        let text = self.md5_checksum.as_ref().or(self.head_revision_id.as_ref());
        text.map(|text| Version::new(text.clone())).unwrap_or_default()
    }

    pub fn hash(&self) -> Option<Hash> {
        from_hex(self.md5_checksum.as_deref()?)?.try_into().ok().map(Hash::Md5)
    }

    /// The name and state under which Mooring knows it. With `converts`, documents are files.
    pub fn told(self, converts: bool) -> (Box<str>, Entry) {
        if self.kind() == ItemKind::Folder {
            return (self.name, Entry::folder(self.id));
        }
        let mtime = self.modified_time.as_deref().and_then(parse_time);
        let export = Export::of_type(&self.mime_type).filter(|_| converts);
        let (name, size, version) = match (export, self.size()) {
            (Some(export), _) => {
                let modified = self.modified_time.as_deref().unwrap_or_default();
                let size = RemotePrint::UNSIZED;
                (export.name(&self.name), Some(size), export.version(modified))
            }
            (None, size) => (self.name.clone(), size, self.version()),
        };
        // Google tells sizes of its documents too, but nobody gets those bytes.
        let opaque = export.is_none() && self.mime_type.starts_with(GOOGLES_OWN);
        let special = if &*self.mime_type == SHORTCUT {
            Some(Special::Shortcut)
        } else if opaque || size.is_none() || version.is_empty() {
            Some(Special::Document)
        } else if self.capabilities.can_download == Some(false) {
            Some(Special::Closed)
        } else {
            None
        };
        let size = if opaque { 0 } else { size.unwrap_or(0) };
        let hash = self.hash();
        let print = RemotePrint { size, version, mtime, id: self.id };
        (name, Entry { special, ..Entry::file(print, hash) })
    }
}

/// The time of modification as Google takes it, to the millisecond; `None` for one before 1970,
/// which is left to Google.
pub(super) fn format_time(mtime: Nanos) -> Option<String> {
    let since = Duration::from_millis(u64::try_from(mtime).ok()? / 1_000_000);
    Some(humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string())
}

fn parse_time(text: &str) -> Option<Nanos> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Nanos::try_from(since.as_nanos()).ok()
}

/// The MIME type of a new file. Google shows a file as that, and takes any bytes for no more than
/// they are unless it is told.
pub(super) fn type_of(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match ending.as_str() {
        "avi" => "video/x-msvideo",
        "bmp" => "image/bmp",
        "css" => "text/css",
        "csv" => "text/csv",
        "doc" => "application/msword",
        "docx" => EXPORTS[0].mime_type,
        "epub" => "application/epub+zip",
        "flac" => "audio/flac",
        "gif" => "image/gif",
        "gz" => "application/gzip",
        "heic" => "image/heic",
        "htm" | "html" => "text/html",
        "jpeg" | "jpg" => "image/jpeg",
        "js" => "text/javascript",
        "json" => "application/json",
        "m4a" => "audio/mp4",
        "md" => "text/markdown",
        "mkv" => "video/x-matroska",
        "mov" => "video/quicktime",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "odp" => "application/vnd.oasis.opendocument.presentation",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        "odt" => "application/vnd.oasis.opendocument.text",
        "ogg" => "audio/ogg",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "ppt" => "application/vnd.ms-powerpoint",
        "pptx" => EXPORTS[2].mime_type,
        "rtf" => "application/rtf",
        "svg" => "image/svg+xml",
        "tif" | "tiff" => "image/tiff",
        "txt" => "text/plain",
        "wav" => "audio/wav",
        "webm" => "video/webm",
        "webp" => "image/webp",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => EXPORTS[1].mime_type,
        "xml" => "text/xml",
        "zip" => "application/zip",
        _ => ANY_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str) -> File {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn times_keep_their_milliseconds() {
        let time = 1_600_000_000_123_456_789;
        let text = format_time(time).unwrap();
        assert_eq!(text, "2020-09-13T12:26:40.123Z");
        assert_eq!(parse_time(&text), Some(1_600_000_000_123_000_000));
        assert_eq!(format_time(-1), None);
        assert_eq!(format_time(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert!(format_time(Nanos::MAX).is_some());
        for text in ["", "1969-12-31T23:59:59.000Z", "9999-12-31T23:59:59.999Z", "today"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn documents_are_files_only_where_they_are_converted() {
        let json = r#"{"id": "i", "name": "Plan.DOCX", "size": "1024",
            "mimeType": "application/vnd.google-apps.document",
            "modifiedTime": "2020-09-13T12:26:40.000Z"}"#;
        let (name, entry) = file(json).told(false);
        assert_eq!((&*name, entry.special), ("Plan.DOCX", Some(Special::Document)));
        assert_eq!(entry.print.size, 0);

        let (name, entry) = file(json).told(true);
        assert_eq!((&*name, entry.special), ("Plan.DOCX", None));
        assert_eq!(entry.print.size, RemotePrint::UNSIZED);
        let export = Export::of_version(&entry.print.version).unwrap();
        assert_eq!(export.ending, "docx");
        assert_eq!(&*export.name("Plan"), "Plan.docx");
        assert_eq!(&*export.name(".docx"), ".docx.docx");

        let form = file(r#"{"id": "i", "mimeType": "application/vnd.google-apps.form"}"#);
        assert_eq!(form.told(true).1.special, Some(Special::Document));
    }

    #[test]
    fn what_has_no_bytes_to_fetch_is_special() {
        let blob = r#"{"id": "i", "name": "n", "mimeType": "image/png", "size": "3",
            "md5Checksum": "900150983cd24fb0d6963f7d28e17f72"}"#;
        let (_, entry) = file(blob).told(false);
        assert_eq!(entry.special, None);
        assert!(entry.hash.is_some());
        assert_eq!(Export::of_version(&entry.print.version), None);
        let closed =
            blob.replace("\"size\"", "\"capabilities\": {\"canDownload\": false}, \"size\"");
        assert_eq!(file(&closed).told(false).1.special, Some(Special::Closed));
        let shortcut = blob.replace("image/png", SHORTCUT);
        assert_eq!(file(&shortcut).told(true).1.special, Some(Special::Shortcut));
        let unversioned = blob.replace("md5Checksum", "sha1Checksum");
        assert_eq!(file(&unversioned).told(false).1.special, Some(Special::Document));
    }
}
