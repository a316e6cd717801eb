//! Dropbox, of a person or of a team's member.
//!
//! A file's version is its content hash, which stays when it moves. Its revision doesn't, but is
//! what a write can be bound to: a file that is to be replaced or removed is looked at first, and
//! the request says which revision was seen to have the version. Items have ids that stay when they move, but are called
//! by their paths here: what somebody moved elsewhere isn't written to there.
//!
//! Names keep the case of letters that they were given, and are found in any. An item is only told
//! to be at a path if that is how its name is written: of two local files that differ in case, only
//! one can be there, and the other isn't it. Of all folders on the way, the case doesn't matter.
//!
//! Requests for a file: to create one two (a look at its folder, which counts for a while), to
//! change or to remove one two. Nothing changed: one for all.

mod calls;
mod feed;
mod meta;
mod upload;

use self::calls::{Ask, Calls, refusal};
use self::meta::Meta;
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::HashKind;
use crate::http::{Http, content_range};
use crate::model::{ItemKind, Nanos, Version, split_path, to_hex};
use crate::remote::{
    Answer, Api, Descriptor, Download, Entry, Expect, Feed, Field, FieldKind, Listing, Made, Moves,
    NameRule, Needed, Place, Remote, Removal, Resume, Service, Settings, SignIn, Written,
};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most entries of a page.
const PAGE: u32 = 2000;
/// For so long a folder counts as there. If it is removed meanwhile, a write brings it back with
/// the new file in it, as it would if both had happened the other way round.
const SURE: Duration = Duration::from_secs(10);

static DESCRIPTOR: Descriptor = Descriptor {
    name: "dropbox",
    label: "Dropbox",
    fields: &[
        Field {
            key: "space",
            label: "Space",
            help: "of a team's member: the member's own folder, or the team's space with all of it",
            kind: FieldKind::Choice(&["member", "team"]),
            needed: Needed::Default("member"),
            place: true,
        },
        Field {
            key: "endpoint",
            label: "Address",
            help: "stands for all hosts of Dropbox; left out for Dropbox itself",
            kind: FieldKind::Url,
            needed: Needed::No,
            place: true,
        },
    ],
    sign_in: Some(SignIn {
        authorize: "https://www.dropbox.com/oauth2/authorize",
        token: "https://api.dropboxapi.com/oauth2/token",
        scopes: &[
            "account_info.read",
            "files.metadata.read",
            "files.metadata.write",
            "files.content.read",
            "files.content.write",
        ],
        // Without it, access ends with the first token.
        parameters: &[("token_access_type", "offline")],
        answer: Answer::Code,
        secret: false,
        instead: None,
    }),
    providers: &[],
    task_fields: &[],
    listing: Listing::Folders,
    folders_implied: false,
    moves: Moves::Trees,
    folds_case: true,
    namesakes: false,
    keeps_mtime: true,
    hash: Some(HashKind::Blocks),
    max_size: Some(upload::MAX_SIZE),
    // It names no limit; that of all paths is shorter.
    max_path: 8192,
    names: NameRule {
        characters: "\\",
        beginnings: &[".cache"],
        // Dropbox itself refuses only some of these; its own program keeps its things there.
        parts: &[".dropbox"],
        ends: " ",
        ..NameRule::NONE
    },
    stored_bytes: None,
    bucket: None,
};

/// The service as the registry knows it.
pub struct Dropbox;

impl Service for Dropbox {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        DESCRIPTOR.check(settings)?;
        let parts = root.split('/').filter(|part| !part.is_empty());
        let root = parts.map(|part| format!("/{part}")).collect();
        let api = Api::new(http, settings.grant(), refusal);
        let team = settings.get(&DESCRIPTOR, "space") == "team";
        Ok(Arc::new(Folder {
            calls: Calls::new(api, settings.given("endpoint"), root, team),
            sure: Mutex::default(),
            turn: Mutex::default(),
            next_wait: Mutex::default(),
        }))
    }
}

/// A folder of Dropbox, opened.
struct Folder {
    calls: Calls,
    /// A folder that was there at this time.
    sure: Mutex<Option<(String, Instant)>>,
    /// Held while names change. Dropbox does one such change at a time in a space, and refuses what
    /// comes at the same time. Contents travel without it.
    turn: Mutex<()>,
    /// When Dropbox may be waited for again.
    next_wait: Mutex<Option<Instant>>,
}

/// A page of a listing.
#[derive(Deserialize)]
struct Listed {
    entries: Vec<Meta>,
    cursor: String,
    has_more: bool,
}

/// The reply to a change of names.
#[derive(Deserialize)]
struct Changed {
    metadata: Meta,
}

impl Remote for Folder {
    fn test(&self) -> Result<()> {
        let what = format!("looking at {}", self.name(""));
        // Both have to be allowed, and what is in the root has to be seen.
        self.calls.account(&what)?;
        let listing = json!({ "path": self.calls.root, "limit": 1 });
        match self.calls.call::<Listed>(&what, "files/list_folder", listing) {
            Ok(_) => Ok(()),
            Err(fault) if fault.is("path/not_found") || fault.is("path/not_folder") => {
                Err(Error::new(Kind::NotFound, what, "there is no such folder")
                    .remedy("make it, or correct the remote folder of the task"))
            }
            Err(fault) => Err(fault.into()),
        }
    }

    fn list(
        &self,
        folder: Place<'_>,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let what = format!("listing {}", self.name(folder.path));
        let path = self.at(folder.path);
        let mut page = self.first_page(&what, &path, false).map_err(Error::from)?;
        loop {
            for meta in page.entries {
                if !meta.is_gone() {
                    let name = meta.name.clone();
                    each(&name, meta.entry(&what)?)?;
                }
            }
            if !page.has_more {
                self.be_sure_of(path);
                return Ok(());
            }
            page = match self.next_page(&what, &page.cursor) {
                // The listing ended, not the folder.
                Err(fault) if fault.is("reset") => {
                    let cause = "the listing broke off, as what is there has changed too much";
                    return Err(Error::new(Kind::Protocol, what, cause)
                        .remedy("nothing to do; Mooring tries again by itself"));
                }
                page => page?,
            };
        }
    }

    fn stat(&self, place: Place<'_>, _kind: ItemKind) -> Result<Option<Entry>> {
        let what = format!("looking at {}", self.name(place.path));
        if place.path.is_empty() {
            return self.look_at_root(&what);
        }
        let (_, name) = split_path(place.path);
        match self.look(&what, &self.at(place.path))? {
            // Renaming only the case is never told: what has the id is the item all the same.
            Some(meta) if meta.name == name || !place.id.is_empty() && *meta.id == *place.id => {
                meta.entry(&what).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn read(&self, place: Place<'_>, version: &Version, bytes: Range<u64>) -> Result<Download> {
        let from = bytes.start;
        let what = format!("downloading {}", self.name(place.path));
        let changed =
            || Error::new(Kind::Changed, &what, "it isn't the version any more that was seen");
        let arg = json!({ "path": self.at(place.path) });
        let reply =
            match self.calls.send(&what, &Ask::download("files/download", arg, bytes.clone())) {
                Ok(reply) => reply,
                Err(fault) if fault.is("path/not_file") => return Err(changed()),
                Err(fault) => return Err(fault.into()),
            };
        if reply.status == 416 {
            reply.drain();
            let gone = || Error::new(Kind::NotFound, &what, "it isn't there");
            let entry = self.look(&what, &self.at(place.path))?.ok_or_else(gone)?.entry(&what)?;
            if entry.print.version != *version || entry.print.size > from {
                return Err(changed());
            }
            return Ok(Download { reader: Box::new(io::empty()), end: from, entry });
        }
        let told = reply.header("dropbox-api-result").unwrap_or_default();
        let meta: Meta = serde_json::from_str(told).map_err(|error| {
            let cause = format!("Dropbox doesn't tell what it sends ({error})");
            Error::new(Kind::Protocol, &what, cause)
        })?;
        if meta.version().as_ref() != Some(version) {
            return Err(changed());
        }
        let came = match content_range(reply.header("content-range").unwrap_or_default()) {
            Some((came, _)) => came,
            None => 0..u64::MAX,
        };
        if came.start != from {
            let cause = "it isn't sent from where it was asked for";
            return Err(Error::new(Kind::Protocol, what, cause));
        }
        let entry = meta.entry(&what)?;
        let end = came.end.min(entry.print.size);
        Ok(Download { reader: Box::new(reply.into_reader()), end, entry })
    }

    fn write(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        self.upload(place, content, mtime, expect, resume).map(Written::from)
    }

    fn make_folder(&self, place: Place<'_>) -> Result<Made> {
        let what = format!("making folder {}", self.name(place.path));
        let path = self.at(place.path);
        if path.is_empty() {
            let root = self.look_at_root(&what)?.ok_or_else(|| gone(&what));
            return root.map(Made::or_found);
        }
        if !place.path.is_empty() {
            self.parent_is_there(&what, place.path)?;
        }
        let arg = json!({ "path": path, "autorename": false });
        // With all folders on the way to it: Dropbox has no error for one that is missing.
        let made = {
            let _turn = self.turn();
            self.calls.call::<Changed>(&what, "files/create_folder_v2", arg)
        };
        let is_new = made.is_ok();
        let meta = match made {
            Ok(made) => made.metadata,
            Err(fault) if fault.is("path/conflict/folder") => {
                let there = self.look(&what, &path)?.ok_or_else(|| gone(&what))?;
                if !place.path.is_empty() && there.name != split_path(&path).1 {
                    return Err(twin(&what, &there));
                }
                there
            }
            Err(fault) => return Err(fault.into()),
        };
        if meta.kind() == ItemKind::File {
            return Err(Error::new(Kind::Exists, what, "a file is in its place"));
        }
        if place.path.is_empty() {
            self.calls.saw_root(&meta.id);
        }
        self.be_sure_of(path);
        Ok(Made { entry: meta.entry(&what)?, is_new })
    }

    fn rename(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<Entry> {
        let what = format!("moving {} to {}", self.name(from.path), self.name(to.path));
        let (source, target) = (self.at(from.path), self.at(to.path));
        if source.to_lowercase() != target.to_lowercase() {
            let meta = self.expect(&what, &source, (from.id, kind, version))?;
            return self.relocate(&what, "files/move_v2", (&source, &target), &meta)?.entry(&what);
        }
        // Dropbox doesn't change only the case of letters: it takes two moves. Between them, the
        // item has a name that tells whose it is, so that a second attempt finds it.
        let between = |id: &str| {
            let mark = to_hex(&digest(&SHA256, id.as_bytes()).as_ref()[..8]);
            format!("{}/.mooring-renaming-{mark}", split_path(&target).0)
        };
        let meta = match self.expect(&what, &source, (from.id, kind, version)) {
            Ok(meta) if meta.name == split_path(&target).1 => return meta.entry(&what),
            Ok(meta) => {
                let path = between(&meta.id);
                self.relocate(&what, "files/move_v2", (&source, &path), &meta)?
            }
            // Nobody changed it in between: who would look there?
            Err(error) if error.kind() == Kind::NotFound && !from.id.is_empty() => {
                let meta = self.look(&what, &between(from.id))?;
                meta.filter(|meta| *meta.id == *from.id).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let path = between(&meta.id);
        let moved = self.relocate(&what, "files/move_v2", (&path, &target), &meta);
        if moved.as_ref().is_err_and(|error| error.kind() == Kind::Exists) {
            // Somebody took the name. What can't be moved back is told under the name it has.
            let _ = self.relocate(&what, "files/move_v2", (&path, &source), &meta);
        }
        moved?.entry(&what)
    }

    fn copy(&self, from: Place<'_>, to: Place<'_>, version: &Version) -> Result<Entry> {
        let what = format!("copying {} to {}", self.name(from.path), self.name(to.path));
        let (source, target) = (self.at(from.path), self.at(to.path));
        let meta = self.expect(&what, &source, (from.id, ItemKind::File, version))?;
        self.relocate(&what, "files/copy_v2", (&source, &target), &meta)?.entry(&what)
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        for (index, item) in items.iter().enumerate() {
            let what = format!("removing {}", self.name(item.place.path));
            let path = self.at(item.place.path);
            done(
                index,
                match item.kind {
                    ItemKind::File => self.remove_file(&what, &path, item.version),
                    ItemKind::Folder => self.remove_folder(&what, &path),
                },
            );
        }
    }

    fn feed(&self) -> Option<&dyn Feed> {
        Some(self)
    }
}

impl Folder {
    /// What an item is called in messages.
    fn name(&self, path: &str) -> String {
        match (path, self.calls.root.as_str()) {
            ("", "") => "Dropbox".into(),
            ("", root) => format!("the folder '{root}' of Dropbox"),
            (path, _) => format!("'{path}'"),
        }
    }

    /// The whole path of an item.
    fn at(&self, path: &str) -> String {
        match path {
            "" => self.calls.root.clone(),
            path => format!("{}/{path}", self.calls.root),
        }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is at a whole path, however its name is written.
    fn look(&self, what: &str, path: &str) -> Result<Option<Meta>> {
        match self.calls.call::<Meta>(what, "files/get_metadata", json!({ "path": path })) {
            Ok(meta) => Ok(Some(meta).filter(|meta| !meta.is_gone())),
            Err(fault) if fault.is("path/not_found") || fault.is("path/not_folder") => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The root. That of a space has no id of its own: it is known by the account and the space.
    fn look_at_root(&self, what: &str) -> Result<Option<Entry>> {
        let root = self.calls.root.as_str();
        if root.is_empty() {
            return Ok(Some(Entry::folder(self.calls.enter_space(what)?)));
        }
        let Some(meta) = self.look(what, root)? else { return Ok(None) };
        let entry = meta.entry(what)?;
        if entry.kind == ItemKind::Folder {
            self.calls.saw_root(&entry.print.id);
            self.be_sure_of(root.to_owned());
        }
        Ok(Some(entry))
    }

    fn first_page(&self, what: &str, path: &str, recursive: bool) -> calls::Called<Listed> {
        self.calls.call(what, "files/list_folder", listing(path, recursive))
    }

    fn next_page(&self, what: &str, cursor: &str) -> calls::Called<Listed> {
        self.calls.call(what, "files/list_folder/continue", json!({ "cursor": cursor }))
    }

    /// Fails unless the folder of an item is there: Dropbox would make it.
    // RACE: a folder that is removed from here on comes back with what is written to it.
    fn parent_is_there(&self, what: &str, path: &str) -> Result<()> {
        let parent = self.at(split_path(path).0);
        if parent.is_empty() || self.is_sure_of(&parent) {
            return Ok(());
        }
        match self.look(what, &parent)? {
            Some(meta) if meta.kind() == ItemKind::Folder => {
                self.be_sure_of(parent);
                Ok(())
            }
            _ => Err(Error::new(Kind::NotFound, what, "its folder isn't there")),
        }
    }

    fn sure(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.sure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_sure_of(&self, folder: &str) -> bool {
        self.sure().as_ref().is_some_and(|(path, at)| path == folder && at.elapsed() < SURE)
    }

    fn be_sure_of(&self, folder: String) {
        *self.sure() = Some((folder, Instant::now()));
    }

    /// What is at a path, if it is what a plan was made against.
    fn expect(
        &self,
        what: &str,
        path: &str,
        (id, kind, version): (&str, ItemKind, &Version),
    ) -> Result<Meta> {
        let meta = self.look(what, path)?.ok_or_else(|| gone(what))?;
        let same_version = kind == ItemKind::Folder || meta.version().as_ref() == Some(version);
        if meta.kind() != kind || !same_version || !id.is_empty() && *meta.id != *id {
            return Err(Error::new(Kind::Changed, what, "it was changed in the meantime"));
        }
        Ok(meta)
    }

    /// Moves or copies what was found to be `meta` to a path that is free.
    // RACE: the version that is moved may be a newer one. Its file isn't harmed, and it is told.
    fn relocate(
        &self,
        what: &str,
        route: &'static str,
        (from, to): (&str, &str),
        meta: &Meta,
    ) -> Result<Meta> {
        let arg = json!({
            "from_path": from,
            "to_path": to,
            "autorename": false,
            "allow_ownership_transfer": false,
        });
        let moves = route == "files/move_v2";
        let relocated = {
            let _turn = self.turn();
            self.calls.call::<Changed>(what, route, arg)
        };
        if meta.kind() == ItemKind::Folder {
            *self.sure() = None;
        }
        let there = match relocated {
            Ok(relocated) => relocated.metadata,
            Err(fault) if fault.is("to/conflict") || fault.is("from_lookup/not_found") => {
                let there = self.look(what, to)?;
                // The reply to an earlier attempt may have been lost.
                let ours = |there: &Meta| {
                    let same = if moves { there.id == meta.id } else { there.holds_the_same(meta) };
                    fault.again && same && there.name == split_path(to).1
                };
                match there {
                    Some(there) if ours(&there) => there,
                    Some(there) if fault.is("to/conflict") && there.name != split_path(to).1 => {
                        return Err(twin(what, &there));
                    }
                    _ => return Err(fault.into()),
                }
            }
            Err(fault) => return Err(fault.into()),
        };
        if !there.holds_the_same(meta) {
            return Err(Error::new(Kind::Changed, what, "it was changed in the meantime"));
        }
        Ok(there)
    }

    fn remove_file(&self, what: &str, path: &str, version: &Version) -> Result<()> {
        match self.expect(what, path, ("", ItemKind::File, version)) {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            seen => self.remove_revision(what, path, &seen?),
        }
    }

    /// Removes a file if it still is what was seen.
    fn remove_revision(&self, what: &str, path: &str, seen: &Meta) -> Result<()> {
        self.delete(what, json!({ "path": path, "parent_rev": seen.rev }))
    }

    fn remove_folder(&self, what: &str, path: &str) -> Result<()> {
        let listing = listing(path, false);
        let mut page = match self.calls.call::<Listed>(what, "files/list_folder", listing) {
            Err(fault) if fault.is("path/not_found") || fault.is("path/not_folder") => {
                return Ok(());
            }
            page => page?,
        };
        // A page may be empty though there are more.
        while page.entries.is_empty() && page.has_more {
            page = self.next_page(what, &page.cursor)?;
        }
        if !page.entries.is_empty() {
            return Err(Error::new(Kind::Exists, what, "there is something in it"));
        }
        // RACE: what is put into it between these two requests goes with it, to where Dropbox
        // keeps what was deleted.
        *self.sure() = None;
        self.delete(what, json!({ "path": path }))
    }

    fn delete(&self, what: &str, arg: Value) -> Result<()> {
        let _turn = self.turn();
        match self.calls.call::<Changed>(what, "files/delete_v2", arg) {
            Ok(_) => Ok(()),
            Err(fault) if fault.is("path_lookup/not_found") => Ok(()),
            Err(fault) if fault.is("path_write/conflict") => {
                Err(Error::new(Kind::Changed, what, "it was changed in the meantime"))
            }
            Err(fault) => Err(fault.into()),
        }
    }
}

/// What to ask for to be told all of a folder.
fn listing(path: &str, recursive: bool) -> Value {
    json!({
        "path": path,
        "recursive": recursive,
        "include_deleted": false,
        "include_mounted_folders": true,
        "include_non_downloadable_files": true,
        "limit": PAGE,
    })
}

fn gone(what: &str) -> Error {
    Error::new(Kind::NotFound, what, "it isn't there")
}

/// An item can't be in a folder because of another whose name Dropbox takes for the same.
fn twin(what: &str, there: &Meta) -> Error {
    let cause = format!("Dropbox takes its name for the same as that of '{}'", there.name);
    Error::new(Kind::NameTaken, what, cause)
}
