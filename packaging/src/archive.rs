//! Archives whose bytes depend on what is in them, and on nothing else.

use crate::Result;
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::env;
use std::io::Write;
use tar::{Builder, EntryType, Header};

/// The time of all members in seconds since 1970, unless `SOURCE_DATE_EPOCH` tells another: 2026-01-01.
const TIME: u64 = 1_767_225_600;
/// The operating system of a gzip header that tells none.
const NO_SYSTEM: u8 = 255;
/// What everybody may run, and what everybody may read.
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;

/// Files by their paths.
#[derive(Default)]
pub struct Archive {
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Archive {
    /// Puts in a file that can be run.
    pub fn program(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), (PROGRAM, bytes.into()));
    }

    /// Puts in a file.
    pub fn file(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), (FILE, bytes.into()));
    }

    /// All files by their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, (_, bytes))| (path.as_str(), bytes.as_slice()))
    }

    /// Bytes of all files.
    pub fn size(&self) -> usize {
        self.files.values().map(|(_, bytes)| bytes.len()).sum()
    }

    /// A tar of it, sorted, each folder before what is in it.
    pub fn tar(&self) -> Result<Vec<u8>> {
        let time = time()?;
        let mut members: BTreeMap<&str, Option<&(u32, Vec<u8>)>> = BTreeMap::new();
        for (path, file) in &self.files {
            let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
            members.extend(folders.map(|folder| (folder, None)));
            members.insert(path, Some(file));
        }
        let mut tar = Builder::new(Vec::new());
        for (path, file) in members {
            let (kind, mode, bytes) = match file {
                Some((mode, bytes)) => (EntryType::Regular, *mode, bytes.as_slice()),
                None => (EntryType::Directory, PROGRAM, [].as_slice()),
            };
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(bytes.len() as u64);
            header.set_mtime(time);
            header.set_uid(0);
            header.set_gid(0);
            header.set_username("root")?;
            header.set_groupname("root")?;
            tar.append_data(&mut header, path, bytes)?;
        }
        Ok(tar.into_inner()?)
    }

    /// A compressed tar of it. All versions of DSM read gzip.
    pub fn tar_gz(&self) -> Result<Vec<u8>> {
        let gzip = GzBuilder::new().operating_system(NO_SYSTEM);
        let mut gzip = gzip.write(Vec::new(), Compression::best());
        gzip.write_all(&self.tar()?)?;
        Ok(gzip.finish()?)
    }
}

fn time() -> Result<u64> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(time) => {
            time.parse().map_err(|error| format!("SOURCE_DATE_EPOCH {time:?}: {error}").into())
        }
        Err(_) => Ok(TIME),
    }
}
