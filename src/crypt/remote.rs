//! A remote folder whose items are encrypted.

use super::again::{Marked, begins};
use super::content::{BLOCK_BYTES, HEADER_BYTES, Nonce, Opened, STORED_BYTES, Sealed, plain_size};
use super::feed::EncryptedFeed;
use super::key_file::{KEY_FILE, KeyFile};
use super::{Encryption, Keys, TRIAL, sum};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, Nanos, Version, split_path};
use crate::remote::{
    Download, Entry, Expect, Feed, Made, Place, Remote, Removal, Resume, Special, Written,
};
use std::io::Read as _;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What stands before a name that doesn't come from the key. No name of the disk that is synced has
/// such a character.
const FOREIGN: &str = "not encrypted: ";
/// Nonces that are kept for the next part of a file.
const KEPT: usize = 4;

/// A remote folder whose items are encrypted, as if they weren't.
pub struct EncryptedRemote {
    remote: Arc<dyn Remote>,
    inside: Arc<Inside>,
    feed: Option<EncryptedFeed>,
    /// Of files by their stored paths and versions, those used last at the end.
    nonces: Mutex<Vec<(String, Version, Nonce)>>,
}

/// What turns what is stored into what it is.
pub(super) struct Inside {
    key: String,
    keys: Keys,
    password: Option<String>,
    encryption: Encryption,
    key_file: Mutex<Found>,
}

/// What is known of the key file.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Unknown,
    Missing,
    Right,
}

impl EncryptedRemote {
    /// What is in this remote folder, opened with the key. The password is that of a key file that
    /// has to be written first.
    ///
    /// # Errors
    /// `Usage` when there is no key.
    pub fn new(
        remote: Arc<dyn Remote>,
        key: &str,
        password: Option<&str>,
        encryption: Encryption,
    ) -> Result<Self> {
        let inside = Arc::new(Inside {
            key: key.to_owned(),
            keys: Keys::new(key)?,
            password: password.map(str::to_owned),
            encryption,
            key_file: Mutex::new(Found::Unknown),
        });
        let feed = EncryptedFeed::of(&remote, &inside);
        Ok(EncryptedRemote { remote, inside, feed, nonces: Mutex::default() })
    }

    /// Makes sure that the folder is encrypted with this key.
    fn ready(&self, writes: bool) -> Result<()> {
        self.inside.ready(self.remote.as_ref(), writes)
    }

    /// The nonce of a file, which another part of it may have told already.
    fn nonce(&self, what: &str, place: Place<'_>, version: &Version) -> Result<Nonce> {
        let is_it = |each: &&(String, Version, Nonce)| each.0 == place.path && each.1 == *version;
        if let Some((.., nonce)) = self.nonces().iter().find(is_it) {
            return Ok(*nonce);
        }
        let mut header = self.remote.read(place, version, 0..HEADER_BYTES)?.reader;
        let nonce = Nonce::read(what, &mut header)?;
        self.keep_nonce(place.path, version, nonce);
        Ok(nonce)
    }

    fn keep_nonce(&self, path: &str, version: &Version, nonce: Nonce) {
        // Without a version nobody can tell when there is another.
        if version.is_empty() {
            return;
        }
        let mut nonces = self.nonces();
        if nonces.len() == KEPT {
            nonces.remove(0);
        }
        nonces.push((path.to_owned(), version.clone(), nonce));
    }

    fn nonces(&self) -> MutexGuard<'_, Vec<(String, Version, Nonce)>> {
        // No panic can leave it half-changed.
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Makes sure that the folder is encrypted with this key, and before anything is written, that
    /// it has its key file.
    pub fn ready(&self, remote: &dyn Remote, writes: bool) -> Result<()> {
        let mut found = self.key_file.lock().unwrap_or_else(PoisonError::into_inner);
        if *found == Found::Unknown {
            let proved = KeyFile::fetch(remote).and_then(|file| match file {
                Some(file) => file.prove(&self.keys, self.encryption).map(|()| Found::Right),
                None => Ok(Found::Missing),
            });
            *found = proved.map_err(|error| match error.kind() {
                // It was the right one when the task was added.
                Kind::Usage => error.meaning(Kind::RootLost),
                _ => error,
            })?;
        }
        if *found == Found::Missing && writes {
            let key = (&*self.key, &self.keys);
            KeyFile::store(remote, key, self.password.as_deref(), self.encryption)?;
            *found = Found::Right;
        }
        Ok(())
    }

    /// Whether a stored path is of a key file, or of one that proves the permission to write.
    pub fn is_ours(path: &str) -> bool {
        matches!(split_path(path).1, KEY_FILE | TRIAL)
    }

    /// The path of what is stored at this one, and whether the key gives all of its names.
    pub fn path(&self, stored: &str) -> (String, bool) {
        if self.encryption != Encryption::Names || stored.is_empty() {
            return (stored.to_owned(), true);
        }
        let mut known = true;
        let parts = stored.split('/').map(|part| match self.keys.names.open(part) {
            Some(name) => name,
            None => {
                known = false;
                format!("{FOREIGN}{part}")
            }
        });
        let path = parts.collect::<Vec<_>>().join("/");
        (path, known)
    }

    /// Where the item of this path is stored.
    fn stored(&self, path: &str) -> String {
        if self.encryption != Encryption::Names || path.is_empty() {
            return path.to_owned();
        }
        let parts = path.split('/').map(|part| match part.strip_prefix(FOREIGN) {
            Some(foreign) => foreign.to_owned(),
            None => self.keys.names.lock(part),
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// What a stored item is, whose name the key gives or not.
    pub fn entry(&self, mut entry: Entry, known: bool) -> Entry {
        entry.hash = None;
        let mut ours = known;
        if entry.kind == ItemKind::File {
            let stored = entry.print.known_size();
            match stored.and_then(plain_size) {
                Some(size) => entry.print.size = size,
                None => {
                    // An upload that was cut short, where the name says that it is ours, or nothing
                    // is there that could be somebody's.
                    let is_named = known && self.encryption == Encryption::Names;
                    let is_cut = stored.is_some_and(|stored| stored == 0 || is_named);
                    (entry.print.size, ours) = (0, known && is_cut);
                }
            }
        }
        if !ours {
            entry.special.get_or_insert(Special::Foreign);
        }
        entry
    }
}

/// Bytes of the content of a stored file.
///
/// # Errors
/// `Integrity` when no content takes as many bytes as it has.
fn size_of(what: &str, stored: &Entry) -> Result<u64> {
    stored.print.known_size().and_then(plain_size).ok_or_else(|| {
        Error::new(Kind::Integrity, what, "it ends too early: it was cut short when it was sent")
            .remedy("send it again from where it came, or remove it")
    })
}

/// The nonce in a note, and what the adapter noted.
fn parted(note: &[u8]) -> Option<(Nonce, Vec<u8>)> {
    let (nonce, note) = note.split_first_chunk::<24>()?;
    Some((Nonce::of(nonce)?, note.to_vec()))
}

impl Remote for EncryptedRemote {
    fn test(&self) -> Result<()> {
        self.remote.test()
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        self.ready(false)?;
        let stored = self.inside.stored(folder.path);
        let folder = Place { path: &stored, ..folder };
        let each = &mut |stored: &str, entry| {
            if Inside::is_ours(stored) {
                return Ok(());
            }
            let (path, known) = self.inside.path(stored);
            each(&path, self.inside.entry(entry, known))
        };
        match self.inside.encryption {
            // The order of what is stored isn't that of the names.
            Encryption::Names => self.remote.children(folder, each),
            _ => self.remote.list(folder, each),
        }
    }

    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        self.ready(false)?;
        let stored = self.inside.stored(place.path);
        let entry = self.remote.stat(Place { path: &stored, ..place }, kind)?;
        Ok(entry.map(|entry| self.inside.entry(entry, true)))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        self.ready(false)?;
        let what = format!("downloading {}", place.path);
        let stored = self.inside.stored(place.path);
        let place = Place { path: &stored, ..place };
        let number = bytes.start / BLOCK_BYTES;
        let end = match bytes.end {
            u64::MAX => u64::MAX,
            end => HEADER_BYTES + end.div_ceil(BLOCK_BYTES) * STORED_BYTES,
        };
        let (nonce, download) = match number {
            0 => {
                let mut download = self.remote.read(place, version, 0..end)?;
                size_of(&what, &download.entry)?;
                let nonce = Nonce::read(&what, &mut download.reader)?;
                self.keep_nonce(place.path, version, nonce);
                (nonce, download)
            }
            _ => {
                let nonce = self.nonce(&what, place, version)?;
                let start = HEADER_BYTES + number * STORED_BYTES;
                (nonce, self.remote.read(place, version, start..end)?)
            }
        };
        let size = size_of(&what, &download.entry)?;
        let end = bytes.end.min(size);
        let left = end
            .checked_sub(bytes.start)
            .ok_or_else(|| Error::new(Kind::Changed, &*what, "it became shorter"))?;
        let opened = Opened {
            what,
            from: download.reader,
            key: self.inside.keys.content,
            nonce,
            number,
            size,
            skip: bytes.start % BLOCK_BYTES,
            left,
            block: Vec::new(),
            at: 0,
        };
        let entry = self.inside.entry(download.entry, true);
        Ok(Download { reader: Box::new(opened), end, entry })
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        self.ready(true)?;
        let stored = self.inside.stored(place.path);
        let nonce = match resume.load().and_then(|note| parted(&note)) {
            Some((nonce, _)) => nonce,
            None => Nonce::new()?,
        };
        let sealed = Sealed::new(content, &self.inside.keys.content, nonce);
        let place = Place { path: &stored, ..place };
        let note = Marked { note: resume, mark: nonce.bytes().to_vec() };
        let written = self.remote.write(place, &sealed, mtime, expect, &note)?;
        Ok(Written { entry: self.inside.entry(written.entry, true), ..written })
    }

    fn abandon(&self, note: &[u8]) -> Result<()> {
        parted(note).map_or(Ok(()), |(_, note)| self.remote.abandon(&note))
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        self.ready(false)?;
        let stored = self.inside.stored(place.path);
        let made = self.remote.make_folder(Place { path: &stored, ..place })?;
        // In a root that was made just now there can't be one before.
        self.ready(true)?;
        Ok(made)
    }

    fn keeps_folders(&self) -> bool {
        self.remote.keeps_folders()
    }

    fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry> {
        self.ready(true)?;
        let (stored, target) = (self.inside.stored(from.path), self.inside.stored(to.path));
        let (from, to) = (Place { path: &stored, ..from }, Place { path: &target, ..to });
        let entry = self.remote.rename(from, to, kind, version)?;
        Ok(self.inside.entry(entry, true))
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        self.ready(true)?;
        let (stored, target) = (self.inside.stored(from.path), self.inside.stored(to.path));
        let (from, to) = (Place { path: &stored, ..from }, Place { path: &target, ..to });
        let entry = self.remote.copy(from, to, version)?;
        Ok(self.inside.entry(entry, true))
    }

    fn keeps_version(&self, place: Place<'_>, version: &Version) -> Result<bool> {
        let stored = self.inside.stored(place.path);
        self.remote.keeps_version(Place { path: &stored, ..place }, version)
    }

    fn has_content(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<Option<bool>> {
        let what = format!("comparing {}", place.path);
        let stored = self.inside.stored(place.path);
        let place = Place { path: &stored, ..place };
        let entry = self.remote.stat(place, ItemKind::File)?;
        let Some(entry) = entry.filter(|entry| entry.print.version == *version) else {
            return Ok(None);
        };
        let Some(told) = entry.hash.filter(|_| size_of(&what, &entry).is_ok()) else {
            return Ok(None);
        };
        let nonce = self.nonce(&what, place, version)?;
        let sealed = Sealed::new(content, &self.inside.keys.content, nonce);
        if sealed.size() != entry.print.size {
            return Ok(Some(false));
        }
        Ok(Some(sum(&sealed, told.kind())? == told))
    }

    fn is_cut_short(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<bool> {
        let what = format!("comparing {}", place.path);
        let stored = self.inside.stored(place.path);
        let place = Place { path: &stored, ..place };
        let mut reader = self.remote.read(place, version, 0..u64::MAX)?.reader;
        let mut header = Vec::new();
        let read = (&mut reader).take(HEADER_BYTES).read_to_end(&mut header);
        read.map_err(|error| crate::http::read_error(&what, error))?;
        if (header.len() as u64) < HEADER_BYTES {
            return Ok(Nonce::is_begun(&header));
        }
        match Nonce::read(&what, &mut &header[..]) {
            Ok(nonce) => {
                let sealed = Sealed::new(content, &self.inside.keys.content, nonce);
                begins(&what, &mut header.chain(reader), &sealed)
            }
            Err(error) if error.kind() == Kind::Denied => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        if let Err(error) = self.ready(true) {
            return (0..items.len()).for_each(|at| done(at, Err(error.clone())));
        }
        let stored: Vec<_> = items.iter().map(|it| self.inside.stored(it.place.path)).collect();
        let items: Vec<_> = items
            .iter()
            .zip(&stored)
            .map(|(item, path)| Removal { place: Place { path, ..item.place }, ..*item })
            .collect();
        self.remote.remove(&items, done);
    }

    fn feed(&self) -> Option<&dyn Feed> {
        self.feed.as_ref().map(|feed| feed as &dyn Feed)
    }
}
