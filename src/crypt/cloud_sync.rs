//! A remote folder in the format of Synology's Cloud Sync.

use super::again::{Marked, begins};
use super::key_file::{LEAST_CHARACTERS, Whole, now};
use super::{TRIAL, is_key_pair, sum, try_writing};
use crate::content::{Bytes, Content};
use crate::csenc::{
    Locked, Locks, Opener, TAIL_BYTES, decrypt, is_cut_in_head, md5_at_end, new_key_pair, prove,
};
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind};
use crate::http::read_error;
use crate::model::{ItemKind, Nanos, RemotePrint, Version, join_path, split_path, to_hex};
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
/// The folder that Cloud Sync makes where it encrypts. What it puts there isn't known, and left
/// alone.
const MARKER: &str = "@SynologyCloudSync";
/// What is put there when a folder is begun: a file in the format, by which password and key can be
/// proved before there is any other.
const PROOF: &str = "mooring-proof";
/// What is in it.
const ABOUT: &str = "Mooring began to encrypt this folder, in the format of Synology's Cloud Sync. By this file it \
     finds out whether a password or a private key is the right one.\n";
/// Bytes of a file by which it is told what was locked, at most.
const HEAD_BYTES: u64 = 64 << 10;
/// Bytes of [`Locked::mark`].
const MARK_BYTES: usize = 24;
const FOLDER: &str = "the folder of Cloud Sync";

/// A remote folder in the format of Cloud Sync, as if it weren't.
///
/// How many bytes a file has is known only when all of it is read.
pub(super) struct CloudSyncRemote {
    remote: Arc<dyn Remote>,
    opener: Arc<Opener>,
    /// Where the connection has both password and key pair.
    locks: Option<Locks>,
}

impl CloudSyncRemote {
    /// What is in this remote folder, opened with the private key or else the password. Nothing can
    /// be written without both.
    ///
    /// # Errors
    /// `Usage` when there is neither, or the key isn't a private key.
    pub fn new(remote: Arc<dyn Remote>, key: Option<&str>, password: Option<&str>) -> Result<Self> {
        let opener = Arc::new(opener(key, password)?);
        let locks = password.zip(key).map(|(password, key)| Locks::of_pair(password.into(), key));
        Ok(CloudSyncRemote { remote, opener, locks: locks.transpose()? })
    }

    /// The content as the file that an earlier attempt began to send, or as a new one.
    fn locked<'a>(
        &self,
        place: Place<'_>,
        content: &'a dyn Content,
        resume: &dyn Resume,
    ) -> Result<Locked<'a>> {
        let locks = self.locks.as_ref().ok_or_else(|| {
            Error::new(Kind::Usage, FOLDER, "its connection lacks the password or the private key")
                .remedy(BOTH)
        })?;
        if let Some(note) = resume.load()
            && let Some((head, mark, rest)) = parted(&note)
        {
            let again = self.again(content, head.to_vec())?;
            if let Some(locked) = again.filter(|locked| locked.mark() == mark) {
                return Ok(locked);
            }
            // Compressed by another version of this program, perhaps: what was sent is of no use.
            self.remote.abandon(rest)?;
        }
        Locked::new(content, split_path(place.path).1, locks)
    }

    /// The content as a file that begins so; `None` when that can't be opened.
    fn again<'a>(&self, content: &'a dyn Content, head: Vec<u8>) -> Result<Option<Locked<'a>>> {
        match Locked::again(content, head, &self.opener) {
            Err(error)
                if matches!(error.kind(), Kind::Denied | Kind::Integrity | Kind::Protocol) =>
            {
                Ok(None)
            }
            locked => locked.map(Some),
        }
    }
}

/// What is noted of an upload before what the adapter notes: how its file begins, and what all of
/// it has to come to.
fn note_of(locked: &Locked<'_>) -> Vec<u8> {
    let head = locked.head();
    [&(head.len() as u16).to_be_bytes()[..], head, &locked.mark()].concat()
}

/// The beginning of the file, its mark, and what the adapter noted.
fn parted(note: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = note.split_first_chunk()?;
    let (head, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (mark, rest) = rest.split_at_checked(MARK_BYTES)?;
    Some((head, mark, rest))
}

/// What to do where password and key pair are needed.
const BOTH: &str = "set both: mooring connection set NAME --secret encryption-password=@FILE --secret \
     encryption-key=@private.pem (it is in the key.zip that Cloud Sync let you save)";

/// What opens the files: the private key, or else the password.
fn opener(key: Option<&str>, password: Option<&str>) -> Result<Opener> {
    match (key, password) {
        (Some(key), _) => Opener::private_key(key),
        (None, Some(password)) => Ok(Opener::password(password.to_owned())),
        (None, None) => {
            let cause = "its connection has neither its password nor its private key";
            Err(Error::new(Kind::Usage, FOLDER, cause).remedy(
                "set one: mooring connection set NAME --secret encryption-password=@FILE, or \
                 encryption-key=@private.pem",
            ))
        }
    }
}

/// As [`super::agree`], in the format of Cloud Sync.
pub(super) fn agree(
    remote: &Arc<dyn Remote>,
    key: Option<&str>,
    password: Option<&str>,
    writes: bool,
) -> Result<Option<String>> {
    let wrong =
        |cause: &str, remedy: &str| Err(Error::new(Kind::Usage, FOLDER, cause).remedy(remedy));
    if key.is_some_and(|key| !is_key_pair(key)) {
        return wrong(
            "the key of its connection is one of Mooring's own format",
            "make another connection, for folders of Cloud Sync",
        );
    }
    let mut openers = vec![opener(key, password)?];
    if let (true, Some(_), Some(password)) = (writes, key, password) {
        // What is written has to open with the password, too.
        openers.push(Opener::password(password.to_owned()));
    }
    let found = find_file(remote.as_ref(), &openers)?;
    if !writes {
        return match found {
            Found::Proved => Ok(None),
            _ => wrong(NOTHING, "correct the remote folder of the task"),
        };
    }
    let Some(password) = password else {
        return wrong("its connection has the private key, but no password", BOTH);
    };
    match (found, key) {
        (Found::Proved, Some(_)) => {
            let marker = match remote.stat(Place::at(MARKER), ItemKind::Folder)? {
                Some(marker) => marker,
                None => remote.make_folder(Place::at(MARKER))?.entry,
            };
            let (path, folder) = (join_path(MARKER, TRIAL), &marker.print.id);
            try_writing(remote.as_ref(), Place { folder, ..Place::at(&path) })?;
            Ok(None)
        }
        (Found::Proved, None) => wrong(
            "the password is right, but its connection has no private key, and what is written \
             needs both",
            BOTH,
        ),
        (Found::Others, _) => {
            wrong(NOTHING, "choose a new folder, or one in which Cloud Sync has put a file already")
        }
        (Found::Empty, None) if password.chars().count() < LEAST_CHARACTERS => wrong(
            "the password of the connection has fewer than 8 characters",
            "choose a longer one: mooring connection set NAME --secret encryption-password=@FILE",
        ),
        (Found::Empty, _) => {
            let made = key.is_none().then(new_key_pair).transpose()?;
            begin(remote, key.or(made.as_deref()), password)?;
            Ok(made)
        }
    }
}

/// What is told where a folder has nothing that could prove a password.
const NOTHING: &str = "no file in it was found that Cloud Sync encrypted";

/// What is in a folder.
enum Found {
    /// Nothing.
    Empty,
    /// Nothing that is encrypted.
    Others,
    /// A file that was proved.
    Proved,
}

/// Looks for a file in the format, and makes sure that each opens it.
fn find_file(remote: &dyn Remote, openers: &[Opener]) -> Result<Found> {
    let (mut folders, mut looked_at) = (vec![(String::new(), Box::<str>::default())], 0);
    while let Some((path, id)) = folders.pop() {
        let mut files = Vec::new();
        let place = Place { path: &path, id: &id, folder: "" };
        let listed = remote.children(place, &mut |name, entry| {
            let (inside, folder) = (join_path(&path, name), entry.kind == ItemKind::Folder);
            // It may be all that came of beginning once before.
            looked_at += usize::from(!folder || inside != MARKER);
            if looked_at > MOST_LOOKED_AT || entry.special.is_some() {
                return Ok(());
            }
            if folder {
                folders.push((inside, entry.print.id));
            } else {
                files.push((inside, entry.print));
            }
            Ok(())
        });
        match listed {
            // A remote folder that is to be made.
            Err(error) if error.kind() == Kind::NotFound && path.is_empty() => {}
            listed => listed?,
        }
        for (path, print) in files {
            let place = Place { path: &path, id: &print.id, folder: &id };
            let (what, mut head) = (format!("opening {path}"), Vec::new());
            let reader = remote.read(place, &print.version, 0..u64::MAX)?.reader;
            let read = reader.take(HEAD_BYTES).read_to_end(&mut head);
            read.map_err(|error| read_error(&what, error))?;
            match openers.iter().try_for_each(|opener| prove(&head[..], opener)) {
                // Another kind of file.
                Err(error) if error.kind() == Kind::Protocol => {}
                proved => {
                    return proved.map(|()| Found::Proved).map_err(|error| error.context(what));
                }
            }
        }
    }
    Ok(if looked_at == 0 { Found::Empty } else { Found::Others })
}

/// Begins an encrypted folder: with Cloud Sync's own folder, and a file in it by which others prove
/// their password and key.
fn begin(remote: &Arc<dyn Remote>, key: Option<&str>, password: &str) -> Result<()> {
    let inside = CloudSyncRemote::new(remote.clone(), key, Some(password))?;
    remote.make_folder(Place::default())?;
    let marker = remote.make_folder(Place::at(MARKER))?.entry.print.id;
    let path = join_path(MARKER, PROOF);
    let place = Place { folder: &marker, ..Place::at(&path) };
    let about = Bytes(ABOUT.into());
    inside.write(place, &about, now(), Expect::Absent, &Whole).map(drop)
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
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        let locked = self.locked(place, content, resume)?;
        let note = Marked { note: resume, mark: note_of(&locked) };
        let written = self.remote.write(place, &locked, mtime, expect, &note)?;
        let (sent, stored) = (locked.size(), written.entry.print.known_size());
        if let Some(stored) = stored.filter(|stored| *stored != sent) {
            let cause = format!("{sent} bytes were sent, the service has {stored}");
            return Err(Error::new(Kind::Integrity, format!("uploading {}", place.path), cause));
        }
        Ok(Written { entry: plain(written.entry), ..written })
    }

    fn abandon(&self, note: &[u8]) -> Result<()> {
        parted(note).map_or(Ok(()), |(.., note)| self.remote.abandon(note))
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        self.remote.make_folder(place)
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
        self.remote.rename(from, to, kind, version).map(plain)
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        self.remote.copy(from, to, version).map(plain)
    }

    fn has_content(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<Option<bool>> {
        let entry = self.remote.stat(place, ItemKind::File)?;
        let entry = entry.filter(|entry| entry.print.version == *version);
        let stored = entry.and_then(|entry| entry.print.known_size());
        let Some(at) = stored.and_then(|stored| stored.checked_sub(TAIL_BYTES)) else {
            return Ok(None);
        };
        let mut tail = Vec::new();
        let reader = self.remote.read(place, version, at..at + TAIL_BYTES)?.reader;
        let read = reader.take(TAIL_BYTES).read_to_end(&mut tail);
        let what = format!("comparing {}", place.path);
        read.map_err(|error| read_error(&what, error))?;
        let Some(told) = md5_at_end(&tail) else { return Ok(None) };
        let Hash::Md5(ours) = sum(content, HashKind::Md5)? else { return Ok(None) };
        Ok(Some(to_hex(&ours) == told))
    }

    fn is_cut_short(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<bool> {
        let what = format!("comparing {}", place.path);
        let mut stored = self.remote.read(place, version, 0..u64::MAX)?.reader;
        let mut head = Vec::new();
        let read = (&mut stored).take(HEAD_BYTES).read_to_end(&mut head);
        read.map_err(|error| read_error(&what, error))?;
        if is_cut_in_head(&head) {
            return Ok(true);
        }
        match self.again(content, head.clone())? {
            Some(locked) => begins(&what, &mut head.chain(stored), &locked),
            None => Ok(false),
        }
    }

    fn keeps_version(&self, place: Place<'_>, version: &Version) -> Result<bool> {
        self.remote.keeps_version(place, version)
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        self.remote.remove(items, done);
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
