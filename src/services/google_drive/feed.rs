//! The change feed: the calls of `changes`.
//!
//! One feed tells of everything in My Drive, or in a shared drive; what is in the task is for the
//! observer to find out. A folder that goes takes what is in it along without a word.

use super::Drive;
use super::file::{File, file_fields};
use crate::error::{Error, Kind, Result};
use crate::http::Call;
use crate::remote::{Change, Feed, Page, Spot};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    start_page_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changes {
    #[serde(default)]
    changes: Vec<Told>,
    next_page_token: Option<String>,
    new_start_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    /// None when it is the shared drive itself that changed.
    file_id: Option<Box<str>>,
    /// Deleted, or out of sight.
    #[serde(default)]
    removed: bool,
    file: Option<File>,
}

const FIELDS: &str =
    concat!("nextPageToken,newStartPageToken,changes(fileId,removed,file(", file_fields!(), "))");

impl Feed for Drive {
    fn now(&self) -> Result<String> {
        let what = "asking for changes";
        let drive = self.drive_id(what)?;
        let mut query = vec![("fields", "startPageToken"), ("supportsAllDrives", "true")];
        query.extend(drive.as_deref().map(|id| ("driveId", id)));
        let start: Start = self.get(what, &self.url("changes/startPageToken", &query))?;
        Ok(start.start_page_token)
    }

    fn tells_all(&self) -> bool {
        false
    }

    fn changes(
        &self,
        cursor: Option<&str>,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Page> {
        let what = "asking for changes";
        let Some(cursor) = cursor else {
            return Err(Error::new(Kind::NotFound, what, "there is no place to go on from"));
        };
        let drive = self.drive_id(what)?;
        let mut query = vec![
            ("pageToken", cursor),
            ("pageSize", "1000"),
            ("includeRemoved", "true"),
            ("includeItemsFromAllDrives", "true"),
            ("supportsAllDrives", "true"),
            ("spaces", "drive"),
            ("fields", FIELDS),
        ];
        // Without a drive, what isn't in My Drive is told, too: what left it has to be.
        query.extend(drive.as_deref().map(|id| ("driveId", id)));
        let url = self.url("changes", &query);
        // Google doesn't say that tokens ever end; one it doesn't know is a bad request.
        let page: Option<Changes> =
            self.ask(what, &[400, 404, 410], &mut || Ok(Call::new("GET", url.clone(), true)))?;
        let Some(page) = page else {
            let cause = "Google Drive doesn't know any more where the last look ended";
            return Err(Error::new(Kind::NotFound, what, cause));
        };
        for told in page.changes {
            if let Some(change) = self.change(told, drive.as_deref()) {
                each(change)?;
            }
        }
        match (page.next_page_token, page.new_start_page_token) {
            (Some(cursor), _) => Ok(Page { cursor, more: true }),
            (None, Some(cursor)) => Ok(Page { cursor, more: false }),
            (None, None) => {
                let cause = "the reply doesn't tell where to go on";
                Err(Error::new(Kind::Protocol, what, cause))
            }
        }
    }
}

impl Drive {
    fn change(&self, told: Told, drive: Option<&str>) -> Option<Change> {
        let id = told.file_id?;
        let there = told
            .file
            .filter(|file| !told.removed && !file.trashed && file.drive_id.as_deref() == drive);
        let Some(mut file) = there else { return Some(Change::GoneId(id)) };
        // What is in no folder is only shared with this account.
        let Some(folder) = file.parents.pop() else { return Some(Change::GoneId(id)) };
        let (name, entry) = file.told(self.converts);
        Some(Change::There { spot: Spot::Child { folder, name: name.into() }, entry })
    }
}
