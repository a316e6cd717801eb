//! Reading files, and documents as files.
//!
//! A reply with a file's bytes doesn't say which version they are of. A small file is fetched
//! whole and its hash compared, which costs no request; for others the item is looked at once
//! their bytes have begun to come, and the engine compares the hash in the end.

use super::file::Export;
use super::{Drive, file_path, gone};
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind, HashSum};
use crate::http::{self, Call, Reply, content_range, read_error};
use crate::model::{ItemKind, RemotePrint, Version, to_hex};
use crate::remote::{Download, Entry, Place};
use std::io::{self, Cursor, Read};
use std::ops::Range;

/// Bytes of a file that is fetched whole.
const SMALL: u64 = 64 << 10;

impl Drive {
    pub(super) fn download(
        &self,
        place: Place<'_>,
        version: &Version,
        bytes: &Range<u64>,
    ) -> Result<Download> {
        let from = bytes.start;
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
            Ok(match http::range(bytes) {
                Some(range) => call.header("Range", range),
                None => call,
            })
        })?;
        if reply.status == 416 {
            reply.drain();
            let entry = self.proven(&what, &id, version)?;
            if entry.print.size > from {
                return Err(Error::new(Kind::Protocol, what, "it isn't given from the middle"));
            }
            return Ok(Download { reader: Box::new(io::empty()), end: from, entry });
        }
        let came = match reply.status {
            206 => content_range(reply.header("content-range").unwrap_or_default())
                .map(|(came, _)| came)
                .filter(|came| came.start <= from && came.end <= bytes.end),
            _ => Some(0..u64::MAX),
        };
        let Some(came) = came else {
            return Err(Error::new(Kind::Protocol, what, "another part came than was asked for"));
        };
        match reply.content_length() {
            Some(size) if size <= SMALL && came == (0..u64::MAX) => {
                self.small(&what, &id, version, reply)
            }
            _ => {
                let entry = self.proven(&what, &id, version)?;
                let mut reader = reply.into_reader();
                io::copy(&mut (&mut reader).take(from - came.start), &mut io::sink())
                    .map_err(|error| read_error(&what, error))?;
                let end = came.end.min(entry.print.size);
                Ok(Download { reader: Box::new(reader), end, entry })
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
            return Ok(Download { reader, end: size, entry: Entry::file(print, Some(hash)) });
        }
        // Another version, other bytes than Google has, or a version that isn't a hash.
        let entry = self.proven(what, id, version)?;
        match entry.hash {
            Some(told) if told != hash => {
                Err(Error::new(Kind::Integrity, what, "its bytes don't have the service's hash"))
            }
            _ => Ok(Download { reader, end: size, entry }),
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
        Ok(Download { reader: Box::new(reply.into_reader()), end: u64::MAX, entry })
    }
}
