//! Google Drive, API v3: My Drive, or a shared drive.
//!
//! Items go by ids; names may repeat in a folder and hold anything. There are no conditions on
//! writes: what a write replaces is looked at right before, and looked for afterwards among the
//! file's revisions, which Google keeps. Nothing is ever deleted, only moved to the trash.
//!
//! Sources: Google's discovery document of the Drive API v3 (methods, parameters, fields), the
//! guides of the API (uploads, errors, shared drives, searches).

mod download;
mod feed;
mod file;
mod find;
mod refusal;
mod upload;

use self::file::{FOLDER, File, Wish, file_fields};
use self::find::{ELDEST, PAGE, Search, inside};
use super::google::{self, PLAIN, address, json, with_json};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::HashKind;
use crate::http::{Call, Http};
use crate::model::{Direction, ItemKind, Nanos, Version, split_path};
use crate::remote::{
    Answer, Api, Descriptor, Download, Entry, Expect, Feed, Field, FieldKind, Listing, Made, Moves,
    NameRule, Needed, Place, Remote, Removal, Resume, Service, Settings, SignIn, TaskField,
    Written,
};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static DESCRIPTOR: Descriptor = Descriptor {
    name: "google-drive",
    label: "Google Drive",
    fields: &[
        Field {
            key: "drive",
            label: "Shared drive",
            help: "name or id of a shared drive; none for My Drive",
            kind: FieldKind::Text,
            needed: Needed::No,
            place: true,
        },
        Field {
            key: "endpoint",
            label: "Endpoint",
            help: "address that stands for all of Google's; none for Google itself",
            kind: FieldKind::Url,
            needed: Needed::No,
            place: true,
        },
    ],
    sign_in: Some(SignIn {
        authorize: "https://accounts.google.com/o/oauth2/v2/auth",
        token: "https://oauth2.googleapis.com/token",
        // Less lets an app see only the files that it made itself.
        scopes: &["https://www.googleapis.com/auth/drive"],
        // Without them, Google gives a refresh token on the first sign-in only, or never.
        parameters: &[("access_type", "offline"), ("prompt", "consent")],
        answer: Answer::Redirect { loopback_port: 53682 },
        secret: true,
        instead: None,
    }),
    providers: &[],
    task_fields: &[TaskField {
        field: Field {
            key: "documents",
            label: "Google documents",
            help: "skip them, or (tasks that only download) convert them to Office files and pictures",
            kind: FieldKind::Choice(&["skip", "convert"]),
            needed: Needed::Default("skip"),
            place: false,
        },
        only: Some(Direction::Download),
    }],
    listing: Listing::Folders,
    folders_implied: false,
    moves: Moves::Trees,
    folds_case: false,
    namesakes: true,
    keeps_mtime: true,
    hash: Some(HashKind::Md5),
    // By the discovery document; the guides call it 5,120 GB.
    max_size: Some(5 << 40),
    max_path: 32_767,
    names: NameRule::NONE,
    stored_bytes: None,
    bucket: None,
};

/// Where Google is.
const GOOGLE: &str = "https://www.googleapis.com";
/// Ids for new items that are fetched at once.
const IDS: &str = "100";
const FIELDS: &str = file_fields!();

/// The service.
pub struct GoogleDrive;

impl Service for GoogleDrive {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        let base = settings.given("endpoint").unwrap_or(GOOGLE).trim_end_matches('/');
        Ok(Arc::new(Drive {
            api: Api::new(http, settings.grant(), refusal::refusal),
            base: base.into(),
            shared: settings.given("drive").map(Into::into),
            path: root.split('/').filter(|part| !part.is_empty()).map(Into::into).collect(),
            converts: settings.given("documents") == Some("convert"),
            root: Mutex::default(),
            drive: Mutex::default(),
            ids: Mutex::default(),
        }))
    }
}

struct Drive {
    api: Api,
    /// Address without a slash at its end.
    base: Box<str>,
    /// Name or id of the shared drive; `None` for My Drive.
    shared: Option<Box<str>>,
    /// Names of the folders on the way to the root.
    path: Vec<Box<str>>,
    /// Whether online documents are files.
    converts: bool,
    /// Id of the root, once it was found.
    root: Mutex<Option<Box<str>>>,
    /// Id of the shared drive, likewise.
    drive: Mutex<Option<Box<str>>>,
    /// Ids that Google gave out for new items.
    ids: Mutex<Vec<Box<str>>>,
}

#[derive(Deserialize)]
struct Ids {
    #[serde(default)]
    ids: Vec<Box<str>>,
}

impl Remote for Drive {
    fn test(&self) -> Result<()> {
        let what = format!("looking at {}", self.name(""));
        match self.find_root(&what, false)? {
            Some(_) => Ok(()),
            None => Err(self.no_root(&what)),
        }
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let what = format!("listing {}", self.name(folder.path));
        let id = match (folder.path, folder.id) {
            ("", _) => self.root_id(&what)?,
            (_, "") => return Err(gone(&what)),
            (_, id) => id.into(),
        };
        let told = Cell::new(false);
        let mut each = |file: File| {
            told.set(true);
            let (name, entry) = file.told(self.converts);
            each(&name, entry).map(|()| true)
        };
        let search = Search { what: &what, query: &inside(&id), page_size: PAGE, order: ELDEST };
        match self.search(&search, &mut each) {
            // Google says that it may not get done with putting very many items in order. Then the
            // one of several of a name that is told first is any of them.
            Err(error) if error.kind() == Kind::Busy && error.wait().is_none() && !told.get() => {
                self.search(&Search { order: "", ..search }, &mut each)?;
            }
            listed => listed?,
        }
        // What is in a folder in the trash is in the trash, too: it would seem to be empty.
        if (!told.get() || folder.path.is_empty())
            && self.look(&what, &id)?.is_none_or(|it| it.trashed)
        {
            return Err(gone(&what));
        }
        Ok(())
    }

    fn stat(&self, place: Place<'_>, kind: ItemKind) -> Result<Option<Entry>> {
        let what = format!("looking at {}", self.name(place.path));
        if place.path.is_empty() {
            return match self.find_root(&what, false) {
                // A shared drive that isn't there is a root that isn't.
                Err(error) if error.kind() == Kind::NotFound => Ok(None),
                root => Ok(root?.map(Entry::folder)),
            };
        }
        let file = self.find(&what, place, kind)?;
        Ok(file.map(|file| file.told(self.converts).1))
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        self.download(place, version, &bytes)
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        self.upload(place, content, mtime, expect, resume)
    }

    fn abandon(&self, note: &[u8]) -> Result<()> {
        self.drop_upload(note)
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let what = format!("making folder {}", self.name(place.path));
        if place.path.is_empty() {
            let root = self.find_root(&what, true)?;
            let root = root.map(Entry::folder).ok_or_else(|| gone(&what));
            return root.map(Made::or_found);
        }
        let parent = self.parent_id(&what, place)?;
        let (_, name) = split_path(place.path);
        let mut is_taken = false;
        let mut folder = None;
        self.named(&what, &parent, name, &mut |file| {
            is_taken = true;
            let is_folder = file.kind() == ItemKind::Folder;
            if is_folder {
                folder = Some(file.id);
            }
            !is_folder
        })?;
        match folder {
            Some(id) => Ok(Made::or_found(Entry::folder(id))),
            None if is_taken => Err(Error::new(Kind::Exists, what, "a file is in its place")),
            None => {
                let entry = self.create_folder(&what, &parent, name).map(Entry::folder)?;
                Ok(Made { entry, is_new: true })
            }
        }
    }

    fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry> {
        let what = format!("moving {} to {}", self.name(from.path), self.name(to.path));
        let source = self.expected(&what, from, kind, version)?;
        let target = self.parent_id(&what, to)?;
        // One of several of a name goes by another on the disk; it keeps its own when it is moved.
        let (old, new) = (split_path(from.path).1, split_path(to.path).1);
        let name = if old == new { &*source.name } else { new };
        self.check_free(&what, &target, name)?;
        // A new name is no new content.
        let modified = source.modified_time.as_deref().filter(|_| kind == ItemKind::File);
        let wish = Wish { name: Some(name), modified_time: modified, ..Wish::default() };
        let parents = source.parents.join(",");
        let mut query = vec![("fields", FIELDS), ("supportsAllDrives", "true")];
        if !source.is_in(&target) {
            query.extend([("addParents", &*target), ("removeParents", &parents)]);
        }
        let url = self.url(&file_path(&source.id), &query);
        let moved = match self.send(&what, "PATCH", &url, &wish) {
            // The reply to a first request may have been lost, and a second one finds the item
            // moved already.
            Err(error) if matches!(error.kind(), Kind::Protocol | Kind::Denied) => {
                let now = self.look(&what, &source.id)?;
                now.filter(|now| now.is_in(&target) && *now.name == *name).ok_or(error)?
            }
            moved => moved?,
        };
        if kind == ItemKind::File && moved.version() != *version {
            return Err(Error::new(Kind::Changed, what, "it was changed while it was moved"));
        }
        Ok(moved.told(self.converts).1)
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let what = format!("copying {} to {}", self.name(from.path), self.name(to.path));
        let source = self.expected(&what, from, ItemKind::File, version)?;
        let parent = self.parent_id(&what, to)?;
        let (_, name) = split_path(to.path);
        self.check_free(&what, &parent, name)?;
        let id = self.new_id(&what)?;
        let wish = Wish {
            id: Some(&id),
            name: Some(name),
            parents: Some([&parent]),
            modified_time: source.modified_time.as_deref(),
            ..Wish::default()
        };
        let path = format!("{}/copy", file_path(&source.id));
        let copy = self.create(&what, &path, &wish)?;
        if copy.version() != *version {
            self.trash(&what, &copy.id)?;
            return Err(Error::new(Kind::Changed, what, "it was changed in the meantime"));
        }
        Ok(copy.told(self.converts).1)
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        for (index, item) in items.iter().enumerate() {
            done(index, self.remove_one(item));
        }
    }

    fn feed(&self) -> Option<&dyn Feed> {
        Some(self)
    }
}

/// Changing things.
impl Drive {
    /// An id for a new item. Asking for the item with it twice makes it once.
    fn new_id(&self, what: &str) -> Result<Box<str>> {
        // Held while more are fetched: who waits needs them, too.
        let mut ids = lock(&self.ids);
        if ids.is_empty() {
            let query = [("count", IDS), ("space", "drive"), ("type", "files"), ("fields", "ids")];
            *ids = self.get::<Ids>(what, &self.url("files/generateIds", &query))?.ids;
        }
        ids.pop().ok_or_else(|| {
            Error::new(Kind::Protocol, what, "Google Drive gives no ids for new files")
        })
    }

    fn create_folder(&self, what: &str, parent: &str, name: &str) -> Result<Box<str>> {
        let id = self.new_id(what)?;
        let wish = Wish {
            id: Some(&id),
            name: Some(name),
            parents: Some([parent]),
            mime_type: Some(FOLDER),
            ..Wish::default()
        };
        Ok(self.create(what, "files", &wish)?.id)
    }

    /// Makes an item without sending bytes, once however often the request is repeated.
    fn create(&self, what: &str, path: &str, wish: &Wish<'_>) -> Result<File> {
        let url = self.url(path, &[("fields", FIELDS), ("supportsAllDrives", "true")]);
        let body = json(what, wish)?;
        let made = self.ask(what, &[409], &mut || Ok(with_json("POST", &url, &body)))?;
        let file = match (made, wish.id) {
            (Some(file), _) => Some(file),
            // An earlier request arrived, and its reply didn't.
            (None, Some(id)) => self.look(what, id)?,
            (None, None) => None,
        };
        let file = file.ok_or_else(|| gone(what))?;
        in_sight(what, file)
    }

    /// Changes what is written of an item and tells how it is then.
    fn send(&self, what: &str, method: &'static str, url: &str, wish: &Wish<'_>) -> Result<File> {
        let body = json(what, wish)?;
        let file = self.ask(what, &[], &mut || Ok(with_json(method, url, &body)))?;
        file.ok_or_else(|| gone(what))
    }

    fn set_trashed(&self, what: &str, id: &str, trashed: bool) -> Result<File> {
        let url = self.url(&file_path(id), &[("fields", FIELDS), ("supportsAllDrives", "true")]);
        self.send(what, "PATCH", &url, &Wish { trashed: Some(trashed), ..Wish::default() })
    }

    fn trash(&self, what: &str, id: &str) -> Result<()> {
        self.set_trashed(what, id, true).map(drop)
    }

    fn remove_one(&self, item: &Removal<'_>) -> Result<()> {
        let what = format!("removing {}", self.name(item.place.path));
        // What was moved elsewhere is gone from here.
        let Some(file) = self.find(&what, item.place, item.kind)? else { return Ok(()) };
        let changed = || Error::new(Kind::Changed, &what, "it was changed in the meantime");
        if file.kind() != item.kind {
            return Err(changed());
        }
        if item.kind == ItemKind::Folder {
            let mut is_empty = true;
            let query = inside(&file.id);
            let search = Search { what: &what, query: &query, page_size: "1", order: "" };
            self.search(&search, &mut |_| {
                is_empty = false;
                Ok(false)
            })?;
            if !is_empty {
                return Err(Error::new(Kind::Exists, what, "it isn't empty"));
            }
            // RACE: what is put into the folder between this look and the next request goes to
            // the trash with it, and can be brought back from there.
            return gone_is_good(self.trash(&what, &file.id));
        }
        if file.version() != *item.version {
            return Err(changed());
        }
        match self.set_trashed(&what, &file.id, true) {
            // Somebody wrote in between.
            Ok(trashed) if trashed.version() != *item.version => {
                self.set_trashed(&what, &file.id, false)?;
                Err(changed())
            }
            trashed => gone_is_good(trashed.map(drop)),
        }
    }
}

/// Requests.
impl Drive {
    /// The address of a call of the API.
    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        address(&self.base, "/drive/v3/", path, query)
    }

    fn get<T: DeserializeOwned>(&self, what: &str, url: &str) -> Result<T> {
        let reply = self.ask(what, &[], &mut || Ok(Call::new("GET", url.into(), true)))?;
        reply.ok_or_else(|| gone(what))
    }

    /// Sends a request whose repetition does no harm, until its reply has come as a whole. `None`
    /// for a status of `accept`.
    fn ask<'a, T: DeserializeOwned>(
        &self,
        what: &str,
        accept: &[u16],
        build: &mut dyn FnMut() -> Result<Call<'a>>,
    ) -> Result<Option<T>> {
        let read = google::read(what, &mut || {
            let reply = self.api.call(what, accept, build)?;
            if accept.contains(&reply.status) {
                reply.drain();
                return Err(None);
            }
            Ok(reply)
        });
        match read {
            Ok(read) => Ok(Some(read)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }
}

fn file_path(id: &str) -> String {
    format!("files/{}", utf8_percent_encode(id, PLAIN))
}

/// Google makes things in a folder in the trash without a word.
fn in_sight(what: &str, file: File) -> Result<File> {
    if file.trashed {
        return Err(Error::new(Kind::NotFound, what, "the folder around it is in the trash"));
    }
    Ok(file)
}

fn gone(what: &str) -> Error {
    Error::new(Kind::NotFound, what, "it isn't there any more")
}

fn gone_is_good(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        result => result,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can leave any of them half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_part_of_a_path() {
        assert_eq!(file_path("a/../b"), "files/a%2F..%2Fb");
    }
}
