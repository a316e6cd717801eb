//! What an adapter of a service implements, and what the engine knows of it.
//!
//! An adapter knows nothing of tasks, state or plans. It turns each call into requests of its
//! service, and each reply into these values; retrying, waiting and counting are the business of
//! [`crate::http`]. Paths are relative to the remote root of the task, have `/` between their
//! parts, none at either end, and are empty for the root itself. A service that knows its items by
//! id is told the ids with each path.

mod api;
pub mod conditions;
mod descriptor;
mod feed;
mod grant;
mod service_account;
mod settings;
mod sign_in;

pub use api::{Api, Refusal};
pub use descriptor::{
    Bucket, Descriptor, ENCRYPTION, ENCRYPTION_KEY, ENCRYPTION_PASSWORD, Field, FieldKind, Listing,
    Moves, NameRule, Needed, Provider, Service, Suggestion, TaskField, field, place,
};
pub use feed::{Change, Feed, Page, Spot};
pub use grant::{Grant, Keeper, Kept, Refresher};
pub use service_account::ServiceAccount;
pub use settings::Settings;
pub use sign_in::{Answer, REFRESH_TOKEN, SignIn};

use crate::blocks::{BlockHash, Blocks, Cutter};
use crate::content::Content;
use crate::error::Result;
use crate::hash::Hash;
use crate::model::{ItemKind, Nanos, RemotePrint, Version};
use std::io::Read;
use std::ops::Range;

/// An item that a service told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File or folder.
    pub kind: ItemKind,
    /// Its state.
    pub print: RemotePrint,
    /// Hash of the content where the service knows it.
    pub hash: Option<Hash>,
    /// Why it can't be synced, if it can't.
    pub special: Option<Special>,
}

impl Entry {
    /// A file that can be synced.
    pub fn file(print: RemotePrint, hash: Option<Hash>) -> Self {
        Entry { kind: ItemKind::File, print, hash, special: None }
    }

    /// A folder of which nothing more is known.
    pub fn folder(id: impl Into<Box<str>>) -> Self {
        Entry { kind: ItemKind::Folder, print: RemotePrint::folder(id), hash: None, special: None }
    }
}

/// A folder that [`Remote::make_folder`] was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its state.
    pub entry: Entry,
    /// It is known that the call made it: there was nothing in it before.
    pub is_new: bool,
}

impl Made {
    /// One that may have been there before.
    pub fn or_found(entry: Entry) -> Self {
        Made { entry, is_new: false }
    }
}

/// What a service has in the place of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// It stands for an item somewhere else.
    Shortcut,
    /// A document that only the service's own editor can open.
    Document,
    /// Its owner doesn't let this account download it.
    Closed,
    /// It is in the service's archive, which has to bring it back before it can be read.
    Archived,
    /// It isn't encrypted as everything is in the folder of an encrypted task.
    Foreign,
}

/// Whether a path below the root can be this: a part that is empty, `.` or `..` leads elsewhere.
pub fn is_path(path: &str) -> bool {
    !path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// Where an item is, or is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// Its path. Its last part is the item's name unless there are several of that name in the
    /// folder; then it is another that tells it apart.
    pub path: &'a str,
    /// Its id; empty where it isn't known, or the service has none.
    pub id: &'a str,
    /// The id of the folder it is in; empty for the root, and likewise.
    pub folder: &'a str,
}

impl<'a> Place<'a> {
    /// A place of which only the path is known.
    pub fn at(path: &'a str) -> Self {
        Place { path, ..Place::default() }
    }
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file's new state.
    pub entry: Entry,
    /// Somebody else's version came in between, and was replaced. The service keeps it among the
    /// file's versions.
    pub overtook: bool,
    /// What to give back by [`Resume::blocks`] when this version is to be replaced.
    pub blocks: Option<Blocks>,
}

impl From<Entry> for Written {
    fn from(entry: Entry) -> Self {
        Written { entry, overtook: false, blocks: None }
    }
}

/// What a write expects to find in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect<'a> {
    /// Nothing.
    Absent,
    /// This version.
    Version(&'a Version),
}

/// An open remote file.
pub struct Download {
    /// The bytes from the asked one on; fails when the connection ends before `end` is reached.
    pub reader: Box<dyn Read + Send>,
    /// The byte of the file before which the reader ends. It is the file's size where the service
    /// doesn't send a part alone.
    pub end: u64,
    /// The whole file's state.
    pub entry: Entry,
}

/// What a file is made of, by the word of the service.
pub struct Composition {
    /// The whole file's state.
    pub entry: Entry,
    /// Its blocks.
    pub blocks: Blocks,
    /// Finds the blocks of another content that may be the same.
    pub cutter: Cutter,
    /// How they are known again.
    pub hash: BlockHash,
}

/// One item to remove, with the version that the removal was planned against.
pub struct Removal<'a> {
    /// Where it is.
    pub place: Place<'a>,
    /// File or (empty) folder.
    pub kind: ItemKind,
    /// A file's version; empty for a folder.
    pub version: &'a Version,
}

/// What an adapter can ask of earlier uploads of a file: where one that was stopped goes on, and what
/// needn't be sent.
pub trait Resume {
    /// What was saved last for this very content, if anything.
    fn load(&self) -> Option<Vec<u8>>;
    /// Saves a note, durably, before the upload's first byte is sent.
    fn save(&self, note: &[u8]) -> Result<()>;

    /// [`Written::blocks`] of the very version that is expected, as far as they are known; those that
    /// are in the new content, too, may be copied within the service. They may be wrong: what comes of
    /// it is compared with the content. `None` where nobody keeps blocks.
    fn blocks(&self, expect: Expect<'_>) -> Option<Blocks> {
        let _ = expect;
        None
    }
}

/// A remote root, opened: the calls that an adapter offers.
///
/// All of them may be called from several threads at once.
pub trait Remote: Send + Sync {
    /// Proves that the address, the credentials and the root are good, writing nothing.
    ///
    /// # Errors
    /// `SignIn`, `NotFound` (bucket or root), `Offline`, `Untrusted`, `Protocol`.
    fn test(&self) -> Result<()>;

    /// Tells every item below `folder` to `each`, in no more memory than one page takes.
    ///
    /// With [`Listing::Flat`] these are all files (and folders that exist of their own) at any
    /// depth, ordered by the bytes of their path, where a folder's path counts as ending in `/`;
    /// the paths told are relative to `folder`. With [`Listing::Folders`] these are the direct
    /// children in any order, by name; of several with one name the eldest comes first.
    ///
    /// An error means that not everything was told: nothing may be concluded from what is missing.
    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()>;

    /// Tells the direct children of `folder` by name, in any order, whatever the listing of the
    /// service is.
    ///
    /// # Errors
    /// As [`Remote::list`].
    fn children(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        self.list(folder, each)
    }

    /// Tells the folders in the root by their names, for a person to choose from.
    ///
    /// # Errors
    /// As [`Remote::list`], and what `each` says: nothing more is told then.
    fn folders(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        self.children(Place::default(), &mut |name, entry| match entry.kind {
            ItemKind::Folder => each(name),
            ItemKind::File => Ok(()),
        })
    }

    /// What the service knows of one item; `None` when it isn't there.
    ///
    /// For the root (an empty path) this is always asked first, and a missing root is `None`.
    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>>;

    /// Opens a file for reading these bytes of it; `u64::MAX` is an end beyond the end of every
    /// file.
    ///
    /// # Errors
    /// `Changed` when the file isn't of `version` any more, `NotFound`.
    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download>;

    /// Writes a whole file with its time of modification and tells its new state.
    ///
    /// Nothing is in its place, or the old file, until all bytes have arrived and
    /// [`Content::unchanged`] has said yes.
    ///
    /// # Errors
    /// `Exists` or `Changed` when `expect` doesn't hold, `QuotaFull`, `TooLarge`, `BadName`,
    /// `NameTaken`.
    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written>;

    /// Drops what the service has of an upload that nobody will finish, by the last note that was
    /// saved of it. A note that means nothing to this service is none.
    fn abandon(&self, note: &[u8]) -> Result<()> {
        let _ = note;
        Ok(())
    }

    /// Makes a folder whose parent is there, and tells its state. One that exists already is as
    /// good.
    ///
    /// For the root (an empty path) this makes it and its parents, as far as the settings of the
    /// connection don't hold them: the bucket or the address itself isn't made.
    ///
    /// # Errors
    /// `NotFound` when the parent isn't there, `Exists` when a file is.
    fn make_folder(&self, place: Place<'_>) -> Result<Made>;

    /// Whether a folder stays though nothing is in it. Some object stores drop the empty key
    /// that stands for one; that is known once a folder has been made.
    fn keeps_folders(&self) -> bool {
        true
    }

    /// Moves a file, or a folder with everything in it, to a path that is free, within what
    /// [`Descriptor::moves`] allows, and tells a file's new state.
    ///
    /// # Errors
    /// `Exists` when the new path is taken, `NotFound` or `Changed` when the old one isn't of
    /// `version` (empty for a folder) any more. One that is changed at that very moment may be
    /// moved nevertheless; that is `Changed` too.
    fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry>;

    /// Copies a file within the service to a path that is free and tells the copy's state.
    ///
    /// # Errors
    /// As [`Remote::rename`].
    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry>;

    /// What cuts a content of `size` bytes into blocks that may be given back as [`Written::blocks`], with
    /// all of a digest from their SHA-256; `None` where nobody has to keep them, and for a file that is
    /// sent as a whole in any case.
    fn cutter(&self, size: u64) -> Option<Cutter> {
        let _ = size;
        None
    }

    /// What the file of this state is made of; `None` where the service can't tell, and for a file that
    /// is too small for it. It may be wrong: what comes of it is compared with the service's hash of the
    /// whole file where there is one, and what is taken for one of the blocks with its digest.
    fn composition(&self, place: Place<'_>, print: &RemotePrint) -> Result<Option<Composition>> {
        let _ = (place, print);
        Ok(None)
    }

    /// Whether the file of this version has this content, by a hash that the service knows of what
    /// it stores and that isn't the content's own, which [`Entry::hash`] would be; `None` where that
    /// can't be told.
    fn has_content(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<Option<bool>> {
        let _ = (place, version, content);
        Ok(None)
    }

    /// Whether what there is of a file that can't be read whole is how the writing of this content
    /// begins: it was cut short, and nothing is lost with it.
    fn is_cut_short(
        &self,
        place: Place<'_>,
        version: &Version,
        content: &dyn Content,
    ) -> Result<bool> {
        let _ = (place, version, content);
        Ok(false)
    }

    /// Whether the service proves that it keeps this version of a file when another one replaces
    /// it, with no end of its own accord. What the service only may do counts as no.
    fn keeps_version(&self, place: Place<'_>, version: &Version) -> Result<bool> {
        let _ = (place, version);
        Ok(false)
    }

    /// Removes items, telling the result of each by its index. A file that isn't of its version
    /// any more is `Changed` and stays. A folder that isn't empty is `Exists` and stays. What is
    /// gone already is removed.
    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>));

    /// How the service tells what changed, if it does.
    fn feed(&self) -> Option<&dyn Feed> {
        None
    }
}
