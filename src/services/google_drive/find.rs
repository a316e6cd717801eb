//! Finding the shared drive, the root, and items by their ids and names.

use super::super::google::endless;
use super::file::{File, file_fields};
use super::{Drive, FIELDS, file_path, gone, lock};
use crate::error::{Error, Kind, Result};
use crate::http::Call;
use crate::model::{ItemKind, Version, split_path};
use crate::remote::Place;
use serde::Deserialize;

/// Items asked for at once; Google gives no more.
pub(super) const PAGE: &str = "1000";
/// The order of a search that tells the eldest first.
pub(super) const ELDEST: &str = "createdTime";

/// What to look for, and how it is to be told.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub what: &'a str,
    pub query: &'a str,
    pub page_size: &'a str,
    /// Empty for any.
    pub order: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileList {
    #[serde(default)]
    incomplete_search: bool,
    #[serde(default)]
    files: Vec<File>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DriveList {
    #[serde(default)]
    drives: Vec<SharedDrive>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct SharedDrive {
    id: Box<str>,
    #[serde(default)]
    name: Box<str>,
}

impl Drive {
    /// An item for messages: its whole path in the account.
    pub(super) fn name(&self, path: &str) -> String {
        let mut name = self.shared.as_ref().map_or_else(String::new, |drive| format!("{drive}:"));
        for part in self.path.iter().map(|part| &**part).chain([path]) {
            if !part.is_empty() {
                name.push('/');
                name.push_str(part);
            }
        }
        if name.is_empty() { "My Drive".into() } else { name }
    }

    /// Id of the shared drive; `None` for My Drive.
    pub(super) fn drive_id(&self, what: &str) -> Result<Option<Box<str>>> {
        if self.shared.is_none() {
            return Ok(None);
        }
        let known = lock(&self.drive).clone();
        if known.is_some() { Ok(known) } else { self.find_drive(what) }
    }

    /// Asks for the id of the shared drive.
    pub(super) fn find_drive(&self, what: &str) -> Result<Option<Box<str>>> {
        let Some(wanted) = self.shared.as_deref() else { return Ok(None) };
        let mut named = Vec::new();
        let mut names = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = vec![("pageSize", "100"), ("fields", "nextPageToken,drives(id,name)")];
            if !token.is_empty() {
                query.push(("pageToken", &token));
            }
            let page: DriveList = self.get(what, &self.url("drives", &query))?;
            for drive in page.drives {
                if *drive.id == *wanted {
                    *lock(&self.drive) = Some(drive.id.clone());
                    return Ok(Some(drive.id));
                }
                if *drive.name == *wanted {
                    named.push(drive.id);
                }
                names.push(drive.name);
            }
            match page.next_page_token {
                Some(next) if next == token => return Err(endless(what)),
                Some(next) => token = next,
                None => break,
            }
        }
        let remedy = match names.join(", ") {
            none if none.is_empty() => "leave the setting drive empty: there is none".into(),
            names => format!("set drive to one of: {names}"),
        };
        match &named[..] {
            [] => {
                let cause = format!("there is no shared drive {wanted}");
                Err(Error::new(Kind::NotFound, what, cause).remedy(remedy))
            }
            [id] => {
                *lock(&self.drive) = Some(id.clone());
                Ok(Some(id.clone()))
            }
            several => {
                let cause = format!("there are {} shared drives {wanted}", several.len());
                let remedy = format!("set drive to the id of one: {}", several.join(", "));
                Err(Error::new(Kind::Usage, what, cause).remedy(remedy))
            }
        }
    }

    /// Asks for the root, by the names on the way; `None` when one of them is missing and isn't to
    /// be made.
    pub(super) fn find_root(&self, what: &str, make: bool) -> Result<Option<Box<str>>> {
        let drive = self.find_drive(what)?;
        let mut at: Box<str> = drive.unwrap_or_else(|| "root".into());
        for name in &self.path {
            let mut found = None;
            self.named(what, &at, name, &mut |file| {
                let is_folder = file.kind() == ItemKind::Folder;
                if is_folder {
                    found = Some(file.id);
                }
                !is_folder
            })?;
            at = match found {
                Some(id) => id,
                None if make => self.create_folder(what, &at, name)?,
                None => return Ok(None),
            };
        }
        if &*at == "root" {
            // So far it is only another name for it.
            let Some(root) = self.look(what, &at)? else { return Ok(None) };
            at = root.id;
        }
        *lock(&self.root) = Some(at.clone());
        Ok(Some(at))
    }

    pub(super) fn root_id(&self, what: &str) -> Result<Box<str>> {
        let known = lock(&self.root).clone();
        match known {
            Some(id) => Ok(id),
            None => self.find_root(what, false)?.ok_or_else(|| self.no_root(what)),
        }
    }

    pub(super) fn no_root(&self, what: &str) -> Error {
        let cause = "there is no such folder, or it is in the trash";
        Error::new(Kind::NotFound, what, cause)
            .remedy("make it, bring it back, or correct the remote folder of the task")
    }

    /// Id of the folder that an item is in, or is to be in.
    pub(super) fn parent_id(&self, what: &str, place: Place<'_>) -> Result<Box<str>> {
        match place.folder {
            "" if !place.path.contains('/') => self.root_id(what),
            "" => Err(Error::new(Kind::NotFound, what, "the folder around it isn't there")),
            folder => Ok(folder.into()),
        }
    }

    /// The item at a place: the one of the id, or the eldest of the name.
    pub(super) fn find(
        &self,
        what: &str,
        place: Place<'_>,
        kind: ItemKind,
    ) -> Result<Option<File>> {
        let parent = match self.parent_id(what, place) {
            Ok(parent) => Some(parent),
            Err(error) if error.kind() == Kind::NotFound && !place.path.is_empty() => None,
            Err(error) => return Err(error),
        };
        match (place.id, parent) {
            ("", None) => Ok(None),
            ("", Some(parent)) => {
                let mut found = None;
                self.named(what, &parent, split_path(place.path).1, &mut |file| {
                    if file.kind() == kind {
                        found = Some(file);
                    }
                    found.is_none()
                })?;
                Ok(found)
            }
            (id, parent) => {
                let is_there = |file: &File| match &parent {
                    Some(parent) => file.is_in(parent),
                    None => !file.trashed,
                };
                Ok(self.look(what, id)?.filter(is_there))
            }
        }
    }

    /// The item at a place if it still is of this version.
    pub(super) fn expected(
        &self,
        what: &str,
        place: Place<'_>,
        kind: ItemKind,
        version: &Version,
    ) -> Result<File> {
        let file = self.find(what, place, kind)?.ok_or_else(|| gone(what))?;
        let same = kind == ItemKind::Folder || file.version() == *version;
        if file.kind() != kind || !same {
            return Err(Error::new(Kind::Changed, what, "it was changed in the meantime"));
        }
        Ok(file)
    }

    /// What the service knows of the item of this id, wherever it is.
    pub(super) fn look(&self, what: &str, id: &str) -> Result<Option<File>> {
        let query = [("fields", FIELDS), ("supportsAllDrives", "true")];
        let url = self.url(&file_path(id), &query);
        self.ask(what, &[404], &mut || Ok(Call::new("GET", url.clone(), true)))
    }

    /// Tells the items of this name in a folder, the eldest first, for as long as `each` says so.
    pub(super) fn named(
        &self,
        what: &str,
        folder: &str,
        name: &str,
        each: &mut dyn FnMut(File) -> bool,
    ) -> Result<()> {
        let query = format!("{} and name = {}", inside(folder), quoted(name));
        // Google compares names without regard to case.
        let search = Search { what, query: &query, page_size: PAGE, order: ELDEST };
        self.search(&search, &mut |file| Ok(*file.name != *name || each(file)))
    }

    pub(super) fn check_free(&self, what: &str, folder: &str, name: &str) -> Result<()> {
        let mut is_free = true;
        self.named(what, folder, name, &mut |_| {
            is_free = false;
            false
        })?;
        // RACE: what is made under this name from here on stands beside it. Nothing is replaced.
        if is_free { Ok(()) } else { Err(Error::new(Kind::Exists, what, "something is there")) }
    }

    /// Tells what a search finds for as long as `each` says so.
    pub(super) fn search(
        &self,
        search: &Search<'_>,
        each: &mut dyn FnMut(File) -> Result<bool>,
    ) -> Result<()> {
        let Search { what, query, page_size, order } = *search;
        const LIST: &str = concat!("nextPageToken,incompleteSearch,files(", file_fields!(), ")");
        let drive = self.drive_id(what)?;
        let mut token = String::new();
        loop {
            let mut parameters = vec![
                ("q", query),
                ("pageSize", page_size),
                ("fields", LIST),
                ("supportsAllDrives", "true"),
            ];
            if !order.is_empty() {
                parameters.push(("orderBy", order));
            }
            if let Some(id) = drive.as_deref() {
                let whole = ("includeItemsFromAllDrives", "true");
                parameters.extend([("corpora", "drive"), ("driveId", id), whole]);
            }
            if !token.is_empty() {
                parameters.push(("pageToken", &token));
            }
            let page: FileList = self.get(what, &self.url("files", &parameters))?;
            if page.incomplete_search {
                let cause = "Google Drive says that it didn't look everywhere";
                return Err(Error::new(Kind::Busy, what, cause));
            }
            for file in page.files {
                if !each(file)? {
                    return Ok(());
                }
            }
            match page.next_page_token {
                Some(next) if next == token => return Err(endless(what)),
                Some(next) => token = next,
                None => return Ok(()),
            }
        }
    }
}

/// The search for what is in a folder.
pub(super) fn inside(folder: &str) -> String {
    format!("{} in parents and trashed = false", quoted(folder))
}

/// A text in a search.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_holds_any_name() {
        assert_eq!(quoted(r"it's \ here"), r"'it\'s \\ here'");
    }
}
