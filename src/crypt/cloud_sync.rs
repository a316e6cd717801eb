//! A remote folder that Synology's Cloud Sync encrypted, to be read.

use crate::content::Content;
use crate::csenc::{Opener, decrypt, prove};
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, Nanos, RemotePrint, Version, join_path};
use crate::remote::{
    Change, Download, Entry, Expect, Feed, Made, Page, Place, Remote, Removal, Resume, Written,
};
use crate::threads;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Bytes of content that go from one thread to the other at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks on the way. The network may be slower than the disk, or the reverse.
const CHUNKS: usize = 1;
/// Files and folders that are looked at for one that proves the key.
const MOST_LOOKED_AT: usize = 200;

/// A remote folder that Cloud Sync encrypted, as if it weren't. It can only be read.
///
/// How many bytes a file has is known only when all of it is read.
pub(super) struct CloudSyncRemote {
    remote: Arc<dyn Remote>,
    opener: Arc<Opener>,
}

impl CloudSyncRemote {
    /// What is in this remote folder, opened with the private key or else the password.
    ///
    /// # Errors
    /// `Usage` when there is neither, or the key isn't a private key.
    pub fn new(remote: Arc<dyn Remote>, key: Option<&str>, password: Option<&str>) -> Result<Self> {
        Ok(CloudSyncRemote { remote, opener: Arc::new(opener(key, password)?) })
    }
}

/// What opens the files: the private key, or else the password.
fn opener(key: Option<&str>, password: Option<&str>) -> Result<Opener> {
    match (key, password) {
        (Some(key), _) => Opener::private_key(key),
        (None, Some(password)) => Ok(Opener::password(password.to_owned())),
        (None, None) => {
            let cause = "its connection has neither its password nor its private key";
            Err(Error::new(Kind::Usage, "the folder of Cloud Sync", cause).remedy(
                "set one: mooring connection set NAME --secret encryption-password=@FILE, or \
                 encryption-key=@private.pem",
            ))
        }
    }
}

/// Makes sure that a remote folder is one that Cloud Sync encrypted with the key or password.
///
/// # Errors
/// `Denied` when it was encrypted with another; `Usage` when nothing in it was encrypted by Cloud
/// Sync; those of the service.
pub(super) fn agree(remote: &dyn Remote, key: Option<&str>, password: Option<&str>) -> Result<()> {
    let opener = opener(key, password)?;
    let (mut folders, mut looked_at) = (vec![(String::new(), Box::<str>::default())], 0);
    while let Some((path, id)) = folders.pop() {
        let mut files = Vec::new();
        let place = Place { path: &path, id: &id, folder: "" };
        remote.children(place, &mut |name, entry| {
            looked_at += 1;
            if looked_at > MOST_LOOKED_AT || entry.special.is_some() {
                return Ok(());
            }
            match entry.kind {
                ItemKind::File => files.push((join_path(&path, name), entry.print)),
                ItemKind::Folder => folders.push((join_path(&path, name), entry.print.id)),
            }
            Ok(())
        })?;
        for (path, print) in files {
            let place = Place { path: &path, id: &print.id, folder: &id };
            let open = remote.read(place, &print.version, 0..u64::MAX)?;
            match prove(open.reader, &opener) {
                // Another kind of file.
                Err(error) if error.kind() == Kind::Protocol => {}
                proved => return proved.map_err(|error| error.context(format!("opening {path}"))),
            }
        }
    }
    let cause = "no file in it was found that Cloud Sync encrypted";
    Err(Error::new(Kind::Usage, "the folder of Cloud Sync", cause)
        .remedy("correct the remote folder of the task"))
}

/// What the decrypting thread has to tell.
enum News {
    /// The next bytes of the content.
    Bytes(Vec<u8>),
    /// All of it has come, and is proved; or it isn't.
    End(Result<()>),
}

/// The content of a file, as a thread decrypts it.
struct Decrypted {
    what: String,
    news: Receiver<News>,
    chunk: Vec<u8>,
    /// Bytes of the chunk that were taken.
    taken: usize,
    /// Bytes of the content that nobody asked for.
    skip: u64,
    ended: bool,
}

/// Where the decrypting thread writes to.
struct Telling(SyncSender<News>);

impl Write for Telling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nobody may want more.
        let told = self.0.send(News::Bytes(bytes.to_vec()));
        told.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decrypted {
    fn start(
        what: String,
        from: Box<dyn Read + Send>,
        opener: Arc<Opener>,
        skip: u64,
    ) -> Result<Self> {
        let (tell, news) = sync_channel(CHUNKS);
        let decrypting = move || {
            let mut to = BufWriter::with_capacity(CHUNK_BYTES, Telling(tell.clone()));
            let ended = decrypt(from, &opener, &mut to)
                .and_then(|_| to.flush().map_err(|error| Error::disk("decrypting", error)));
            // Nobody may want to know.
            let _ = tell.send(News::End(ended));
        };
        let started = threads::named("decrypt").spawn(decrypting);
        started.map_err(|error| Error::disk("starting a thread", error))?;
        Ok(Decrypted { what, news, chunk: Vec::new(), taken: 0, skip, ended: false })
    }

    fn next_chunk(&mut self) -> Result<()> {
        let lost = || News::End(Err(Error::new(Kind::State, "decrypting", "its thread ended")));
        match self.news.recv().unwrap_or_else(|_| lost()) {
            News::Bytes(chunk) => {
                let skipped = self.skip.min(chunk.len() as u64);
                self.skip -= skipped;
                (self.chunk, self.taken) = (chunk, skipped as usize);
                Ok(())
            }
            News::End(ended) => {
                self.ended = true;
                ended.map_err(|error| {
                    // What isn't of the format stays so until somebody changes it.
                    let error = match error.kind() {
                        Kind::Protocol => error.meaning(Kind::Denied),
                        _ => error,
                    };
                    error.context(&*self.what)
                })
            }
        }
    }
}

impl Read for Decrypted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.chunk.len() && !self.ended {
            self.next_chunk().map_err(io::Error::other)?;
        }
        let rest = self.chunk.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}

/// A stored item as it is: nobody knows yet how many bytes a file has.
fn plain(mut entry: Entry) -> Entry {
    entry.hash = None;
    if entry.kind == ItemKind::File {
        entry.print.size = RemotePrint::UNSIZED;
    }
    entry
}

fn change(change: Change) -> Change {
    match change {
        Change::There { spot, entry } => Change::There { spot, entry: plain(entry) },
        gone => gone,
    }
}

/// A task that only downloads writes nothing.
fn only_read<T>() -> Result<T> {
    Err(Error::new(Kind::Denied, "the folder of Cloud Sync", "it can only be read")
        .remedy("make the task one that only downloads"))
}

impl Remote for CloudSyncRemote {
    fn test(&self) -> Result<()> {
        self.remote.test()
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        self.remote.list(folder, &mut |path, entry| each(path, plain(entry)))
    }

    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        Ok(self.remote.stat(place, kind)?.map(plain))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let what = format!("downloading {}", place.path);
        // Only what all of a file is proves any of it.
        let Download { reader, entry, .. } = self.remote.read(place, version, 0..u64::MAX)?;
        let content = Decrypted::start(what, reader, self.opener.clone(), bytes.start)?;
        Ok(Download { reader: Box::new(content), end: RemotePrint::UNSIZED, entry: plain(entry) })
    }

    fn write(
        &self,
        _: Place<'_>,
        _: &dyn Content,
        _: Nanos,
        _: Expect<'_>,
        _: &dyn Resume,
    ) -> Result<Written> {
        only_read()
    }

    fn make_folder(&self, _: Place<'_>) -> Result<Made> {
        only_read()
    }

    fn keeps_folders(&self) -> bool {
        self.remote.keeps_folders()
    }

    fn rename(&self, _: Place<'_>, _: Place<'_>, _: ItemKind, _: &Version) -> Result<Entry> {
        only_read()
    }

    fn copy(&self, _: Place<'_>, _: Place<'_>, _: &Version) -> Result<Entry> {
        only_read()
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        (0..items.len()).for_each(|at| done(at, only_read()));
    }

    fn feed(&self) -> Option<&dyn Feed> {
        self.remote.feed().map(|_| self as &dyn Feed)
    }
}

impl Feed for CloudSyncRemote {
    fn now(&self) -> Result<String> {
        super::feed_of(self.remote.as_ref())?.now()
    }

    fn tells_all(&self) -> bool {
        self.remote.feed().is_some_and(Feed::tells_all)
    }

    fn changes(
        &self,
        cursor: Option<&str>,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Page> {
        super::feed_of(self.remote.as_ref())?.changes(cursor, &mut |told| each(change(told)))
    }

    fn can_wait(&self) -> bool {
        self.remote.feed().is_some_and(Feed::can_wait)
    }

    fn wait(&self, cursor: &str, most: Duration) -> Result<bool> {
        super::feed_of(self.remote.as_ref())?.wait(cursor, most)
    }
}
