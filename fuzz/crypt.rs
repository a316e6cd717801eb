//! What is tried with arbitrary bytes on the reader of encrypted folders: by the fuzzer for as long as one likes, and by
//! a test for a moment.
//!
//! Of the seeds, `file` and `names` were made with rclone; that key is its password.

use mooring::content::Content;
use mooring::crypt::{EncryptedRemote, Encryption};
use mooring::error::{Error, Kind, Result};
use mooring::model::{ItemKind, Nanos, RemotePrint, Version};
use mooring::remote::{Download, Entry, Expect, Made, Place, Remote, Removal, Resume, Written};
use std::io::{Cursor, Read as _};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

const KEY: &str = "a key of somebody";
const NAME: &str = "name";

/// A folder that has one file, and whatever names.
#[derive(Default)]
struct Folder(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    file: Vec<u8>,
    names: Vec<String>,
    /// The path that was asked for last.
    asked: String,
}

/// Tries something with the bytes, of which the first five say what.
pub fn read(bytes: &[u8]) {
    let Some(([what, number @ ..], rest)) = bytes.split_first_chunk::<5>() else { return };
    let number = u32::from_le_bytes(*number) as usize;
    let (folder, remote) = opened();
    match what % 3 {
        0 => file(folder, remote, rest, number),
        1 => written(folder, remote, rest, number),
        _ => names(folder, remote, &String::from_utf8_lossy(rest)),
    }
}

/// A file of any bytes gives no more than it can hold.
fn file(folder: &Folder, remote: &EncryptedRemote, bytes: &[u8], number: usize) {
    folder.0.lock().unwrap().file = bytes.to_vec();
    let start = (number % (bytes.len() + 1)) as u64;
    match content(remote, start..u64::MAX) {
        Ok(content) => assert!(content.len() <= bytes.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What was written comes back, from any byte on, and nothing else when a bit of it is another.
fn written(folder: &Folder, remote: &EncryptedRemote, bytes: &[u8], number: usize) {
    let place = Place::at(NAME);
    remote.write(place, &Bytes(bytes), 0, Expect::Absent, &Whole).unwrap();
    let start = number % (bytes.len() + 1);
    assert_eq!(content(remote, start as u64..u64::MAX).unwrap(), bytes[start..]);
    let mut inside = folder.0.lock().unwrap();
    let bit = number % (inside.file.len() * 8);
    inside.file[bit / 8] ^= 1 << (bit % 8);
    let empty = bytes.is_empty();
    drop(inside);
    // A file without a block has nothing that could be proved but its first eight bytes.
    let read = content(remote, 0..u64::MAX);
    assert!(read.is_err() || empty && bit >= 64);
}

/// Whatever the names in a folder are, what is told can be asked for.
fn names(folder: &Folder, remote: &EncryptedRemote, text: &str) {
    // What Mooring itself keeps there is told to nobody.
    let is_own = |name: &str| matches!(name, "mooring-key.json" | "mooring-trial");
    let is_name = |name: &&str| !name.is_empty() && !name.contains('/') && !is_own(name);
    let names = text.split('\n').filter(is_name);
    let names: Vec<_> = names.map(str::to_owned).collect();
    folder.0.lock().unwrap().names = names.clone();
    let mut told = Vec::new();
    let list = remote.list(Place::default(), &mut |name, entry| {
        told.push((name.to_owned(), entry.special.is_none()));
        Ok(())
    });
    list.unwrap();
    assert_eq!(told.len(), names.len());
    for ((name, ours), stored) in told.iter().zip(&names) {
        assert!(!name.is_empty() && !name.contains('/') && (!ours || !name.contains('\0')));
        let _ = remote.stat(Place::at(name), ItemKind::File);
        assert_eq!(folder.0.lock().unwrap().asked, *stored);
    }
}

/// One for all: making keys takes a while.
fn opened() -> &'static (Arc<Folder>, EncryptedRemote) {
    static OPENED: OnceLock<(Arc<Folder>, EncryptedRemote)> = OnceLock::new();
    OPENED.get_or_init(|| {
        let folder = Arc::new(Folder::default());
        let remote = EncryptedRemote::new(folder.clone(), KEY, None, Encryption::Names).unwrap();
        // It writes its key file before the first write, which isn't what is tried.
        remote.write(Place::at(NAME), &Bytes(b""), 0, Expect::Absent, &Whole).unwrap();
        (folder, remote)
    })
}

fn content(remote: &EncryptedRemote, bytes: Range<u64>) -> Result<Vec<u8>> {
    let mut download = remote.read(Place::at(NAME), &Version::default(), bytes)?;
    let mut content = Vec::new();
    let read = download.reader.read_to_end(&mut content);
    read.map_err(|error| mooring::http::read_error("reading", error))?;
    Ok(content)
}

struct Bytes<'a>(&'a [u8]);

impl Content for Bytes<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn unchanged(&self) -> Result<()> {
        Ok(())
    }
}

struct Whole;

impl Resume for Whole {
    fn load(&self) -> Option<Vec<u8>> {
        None
    }

    fn save(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

fn entry(size: usize) -> Entry {
    Entry::file(RemotePrint::file(size as u64, Version::default(), None), None)
}

fn never<T>() -> Result<T> {
    Err(Error::new(Kind::Usage, "the folder", "it can't do that"))
}

impl Remote for Folder {
    fn test(&self) -> Result<()> {
        Ok(())
    }

    fn list(&self, _: Place<'_>, each: &mut dyn FnMut(&str, Entry) -> Result<()>) -> Result<()> {
        let names = self.0.lock().unwrap().names.clone();
        names.iter().try_for_each(|name| each(name, entry(32)))
    }

    fn stat(&self, place: Place<'_>, _: ItemKind) -> Result<Option<Entry>> {
        self.0.lock().unwrap().asked = place.path.to_owned();
        Ok(None)
    }

    fn read(&self, _: Place<'_>, _: &Version, bytes: Range<u64>) -> Result<Download> {
        let file = self.0.lock().unwrap().file.clone();
        let end = bytes.end.min(file.len() as u64);
        let Some(part) = file.get(bytes.start as usize..end as usize) else { return never() };
        let reader = Box::new(Cursor::new(part.to_vec()));
        Ok(Download { reader, end, entry: entry(file.len()) })
    }

    fn write(
        &self,
        _: Place<'_>,
        content: &dyn Content,
        _: Nanos,
        _: Expect<'_>,
        _: &dyn Resume,
    ) -> Result<Written> {
        let mut file = vec![0; content.size() as usize];
        let count = content.read_at(&mut file, 0)?;
        assert_eq!(count, file.len());
        self.0.lock().unwrap().file = file;
        Ok(entry(count).into())
    }

    fn make_folder(&self, _: Place<'_>) -> Result<Made> {
        never()
    }

    fn rename(&self, _: Place<'_>, _: Place<'_>, _: ItemKind, _: &Version) -> Result<Entry> {
        never()
    }

    fn copy(&self, _: Place<'_>, _: Place<'_>, _: &Version) -> Result<Entry> {
        never()
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        (0..items.len()).for_each(|at| done(at, never()));
    }
}
