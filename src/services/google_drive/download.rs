//! Reading files, and documents as files.
//!
//! A reply with a file's bytes doesn't say which version they are of. A small file is fetched
//! whole and its hash compared, which costs no request; for others the item is looked at once
//! their bytes have begun to come, and the engine compares the hash in the end.

use super::file::Export;
use super::{Drive, file_path, gone};
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind, HashSum};
use crate::http::{Call, Reply, read_error};
use crate::model::{ItemKind, RemotePrint, Version, to_hex};
use crate::remote::{Download, Entry, Place};
use std::io::{self, Cursor, Read};

/// Bytes of a file that is fetched whole.
const SMALL: u64 = 64 << 10;

impl Drive {
    pub(super) fn download(
        &self,
        place: Place<'_>,
        version: &Version,
        from: u64,
    ) -> Result<Download> {
        let what = format!("downloading {}", self.name(place.path));
        let id = match place.id {
            "" => self.find(&what, place, ItemKind::File)?.ok_or_else(|| gone(&what))?.id,
            id => id.into(),
        };
        if let Some(export) = Export::of_version(version) {
            return self.export(&what, &id, export, version, from);
        }
        let url = self.url(&file_path(&id), &[("alt", "media"), ("supportsAllDrives", "true")]);
        let reply = self.api.call(&what, &[416], &mut || {
            let call = Call::new("GET", url.clone(), true);
            Ok(if from > 0 { call.header("Range", format!("bytes={from}-")) } else { call })
        })?;
        if reply.status == 416 {
            reply.drain();
            let entry = self.proven(&what, &id, version)?;
            if entry.print.size > from {
                return Err(Error::new(Kind::Protocol, what, "it isn't given from the middle"));
            }
            return Ok(Download { reader: Box::new(io::empty()), entry });
        }
        let start = if reply.status == 206 { range_start(&reply) } else { Some(0) };
        let Some(skipped) = start.and_then(|start| from.checked_sub(start)) else {
            return Err(Error::new(Kind::Protocol, what, "another part came than was asked for"));
        };
        match reply.content_length() {
            Some(size) if size <= SMALL && from == 0 => self.small(&what, &id, version, reply),
            _ => {
                let entry = self.proven(&what, &id, version)?;
                let mut reader = reply.into_reader();
                io::copy(&mut (&mut reader).take(skipped), &mut io::sink())
                    .map_err(|error| read_error(&what, error))?;
                Ok(Download { reader: Box::new(reader), entry })
            }
        }
    }

    /// A small file, fetched whole.
    fn small(&self, what: &str, id: &str, version: &Version, reply: Reply) -> Result<Download> {
        let bytes = reply.bytes(what)?;
        let mut sum = HashSum::new(HashKind::Md5);
        sum.update(&bytes);
        let hash = sum.finish();
        let size = bytes.len() as u64;
        let reader = Box::new(Cursor::new(bytes));
        if matches!(hash, Hash::Md5(sum) if to_hex(&sum) == version.as_str()) {
            let print = RemotePrint { size, version: version.clone(), mtime: None, id: id.into() };
            return Ok(Download { reader, entry: Entry::file(print, Some(hash)) });
        }
        // Another version, other bytes than Google has, or a version that isn't a hash.
        let entry = self.proven(what, id, version)?;
        match entry.hash {
            Some(told) if told != hash => {
                Err(Error::new(Kind::Integrity, what, "its bytes don't have the service's hash"))
            }
            _ => Ok(Download { reader, entry }),
        }
    }

    /// How an item is that still is of this version.
    fn proven(&self, what: &str, id: &str, version: &Version) -> Result<Entry> {
        let file = self.look(what, id)?.filter(|file| !file.trashed).ok_or_else(|| gone(what))?;
        let (_, entry) = file.told(self.converts);
        if entry.print.version != *version {
            let cause = "it isn't the version any more that was seen";
            return Err(Error::new(Kind::Changed, what, cause));
        }
        Ok(entry)
    }

    /// A document, turned into a file.
    fn export(
        &self,
        what: &str,
        id: &str,
        export: &Export,
        version: &Version,
        from: u64,
    ) -> Result<Download> {
        if from > 0 {
            // Every export has other bytes: what came before is of no use.
            let cause = "Google Drive converts documents anew for each download";
            return Err(Error::new(Kind::Changed, what, cause));
        }
        let path = format!("{}/export", file_path(id));
        let url = self.url(&path, &[("mimeType", export.mime_type)]);
        let reply = self.api.call(what, &[], &mut || Ok(Call::new("GET", url.clone(), true)))?;
        let entry = self.proven(what, id, version)?;
        Ok(Download { reader: Box::new(reply.into_reader()), entry })
    }
}

/// First byte of a part, of a `Content-Range: bytes 5-9/10`.
fn range_start(reply: &Reply) -> Option<u64> {
    let range = reply.header("content-range")?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}
