//! Writing files: in one request, or in parts when they are larger.
//!
//! Source: the guide "Upload file data" of the Drive API. A new file is made under an id that
//! Google gave out before, so that a request whose reply got lost never makes a second one.

use super::super::google::{Frame, PLAIN, Parts, Step, Summed, address, endless, json, with_json};
use super::file::{File, Wish, format_time, type_of};
use super::{Drive, FIELDS, file_path, in_sight};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::http::{Call, Payload};
use crate::model::{ItemKind, Nanos, split_path};
use crate::remote::{Expect, Place, Resume, Written};
use crate::services::notes;
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};

/// A larger file is sent in parts: "5 MB or less", says the guide of the other way.
const WHOLE: u64 = 5_000_000;
/// Bytes of a part; a multiple of 256 KiB.
const PART: u64 = 8 << 20;
/// Uploads begun for one file when Google forgets them.
const SESSIONS: u32 = 4;
/// What the paths of calls begin with that take content.
const UPLOAD: &str = "/upload/drive/v3/";

/// What an upload in parts needs to go on after a restart.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Id of the file.
    id: Box<str>,
    /// Id of the folder and name of a new file; both empty where one is replaced.
    folder: Box<str>,
    name: Box<str>,
    size: u64,
    mtime: Nanos,
    /// Address of the upload, which is a secret: whoever has it may go on with it. Empty when
    /// Google has forgotten it.
    session: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RevisionList {
    #[serde(default)]
    revisions: Vec<Revision>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Revision {
    id: Box<str>,
    md5_checksum: Option<Box<str>>,
}

/// One upload, whatever number of requests it takes.
struct Upload<'a> {
    drive: &'a Drive,
    what: &'a str,
    content: Summed<'a>,
    mtime: Nanos,
    target: Target<'a>,
}

/// What is written.
enum Target<'a> {
    /// A file that isn't there yet.
    New { folder: &'a str, name: &'a str },
    /// A new revision of this one.
    Old(&'a File),
}

impl Drive {
    pub(super) fn upload(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        let what = &format!("uploading {}", self.name(place.path));
        let content = Summed::new(content);
        match expect {
            // RACE: the engine has looked right before. What somebody else makes under this name
            // until we are done stands beside it, and neither is lost.
            Expect::Absent => {
                let folder = &*self.parent_id(what, place)?;
                let target = Target::New { folder, name: split_path(place.path).1 };
                let upload = Upload { drive: self, what, content, mtime, target };
                let file = in_sight(what, upload.run(resume)?)?;
                Ok(file.told(self.converts).1.into())
            }
            Expect::Version(version) => {
                let seen = self.expected(what, place, ItemKind::File, version)?;
                let target = Target::Old(&seen);
                let upload = Upload { drive: self, what, content, mtime, target };
                let file = in_sight(what, upload.run(resume)?)?;
                let overtook = self.keep_overtaken(what, &seen, &file)?;
                Ok(Written { overtook, ..file.told(self.converts).1.into() })
            }
        }
    }

    pub(super) fn drop_upload(&self, note: &[u8]) -> Result<()> {
        let Ok(note) = postcard::from_bytes::<Note>(note) else { return Ok(()) };
        if note.session.is_empty() {
            return Ok(());
        }
        Parts::forget(&self.api, &note.session)
    }

    /// Finds what others wrote between what we saw and what we wrote over it, and has Google keep
    /// it; otherwise it would be dropped after a while. Tells whether there was any.
    fn keep_overtaken(&self, what: &str, seen: &File, written: &File) -> Result<bool> {
        let Some(ours) = written.head_revision_id.as_deref() else { return Ok(false) };
        let found = self.revisions_between(what, seen, written, ours);
        let overtaken = match found {
            // Not everybody who may write may see what was there before.
            Err(error) if error.kind() == Kind::Denied => return Ok(false),
            found => found?,
        };
        for revision in &overtaken {
            let id = utf8_percent_encode(revision, PLAIN);
            let path = format!("{}/revisions/{id}", file_path(&written.id));
            let url = self.url(&path, &[("fields", "id")]);
            let kept = self.ask::<Revision>(what, &[404], &mut || {
                Ok(with_json("PATCH", &url, br#"{"keepForever":true}"#))
            });
            match kept {
                // Google keeps it for 30 days all the same.
                Err(error) if error.kind() == Kind::Denied => {
                    tracing::warn!(
                        reason = error.reason(),
                        "a replaced version isn't kept forever"
                    );
                }
                kept => drop(kept?),
            }
        }
        Ok(!overtaken.is_empty())
    }

    /// Ids of the revisions between the one that was seen and ours.
    fn revisions_between(
        &self,
        what: &str,
        seen: &File,
        written: &File,
        ours: &str,
    ) -> Result<Vec<Box<str>>> {
        let mut between = Vec::new();
        let mut met = false;
        let mut token = String::new();
        let path = format!("{}/revisions", file_path(&written.id));
        'pages: loop {
            let fields = "nextPageToken,revisions(id,md5Checksum)";
            let mut query = vec![("pageSize", "1000"), ("fields", fields)];
            if !token.is_empty() {
                query.push(("pageToken", &token));
            }
            let page: RevisionList = self.get(what, &self.url(&path, &query))?;
            for revision in page.revisions {
                let is = |id: &Option<Box<str>>| id.as_deref() == Some(&*revision.id);
                let holds = |file: &File| {
                    file.md5_checksum.is_some() && file.md5_checksum == revision.md5_checksum
                };
                if *revision.id == *ours {
                    break 'pages;
                } else if is(&seen.head_revision_id) || holds(seen) {
                    // What came before, others have replaced.
                    between.clear();
                    met = true;
                } else if !holds(written) {
                    // One that holds what ours does is ours, too: its reply got lost.
                    between.push(revision.id);
                }
            }
            match page.next_page_token {
                Some(next) if next == token => return Err(endless(what)),
                Some(next) => token = next,
                None => break,
            }
        }
        if !met {
            // Google doesn't list what we saw: at least the last one was replaced by ours.
            between = between.pop().into_iter().collect();
        }
        Ok(between)
    }

    /// The address of a call that takes content.
    fn upload_url(&self, path: &str, kind: &str) -> String {
        let query = [("uploadType", kind), ("fields", FIELDS), ("supportsAllDrives", "true")];
        address(&self.base, UPLOAD, path, &query)
    }
}

impl Upload<'_> {
    /// Sends the file and tells how it is then.
    fn run(&self, resume: &dyn Resume) -> Result<File> {
        let size = self.content.size();
        let file = if size <= WHOLE { self.whole()? } else { self.in_parts(resume)? };
        // Some of it may have been sent before a restart.
        self.content.read_to(size)?;
        let ours = self.content.hash();
        if file.hash().is_some_and(|theirs| theirs != ours) || file.size() != Some(size) {
            if let Target::New { .. } = self.target {
                // It would come back as somebody else's file. If it can't be trashed, it does.
                let _ = self.drive.trash(self.what, &file.id);
            }
            let cause = "the service stored something else than was sent";
            return Err(Error::new(Kind::Integrity, self.what, cause));
        }
        Ok(file)
    }

    /// Method, path and description for an upload to the file of this id.
    fn request(&self, id: &str) -> Result<(&'static str, String, Vec<u8>)> {
        let modified = format_time(self.mtime);
        let modified_time = modified.as_deref();
        let (method, path, wish) = match self.target {
            Target::New { folder, name } => {
                let (parents, name) = (Some([folder]), Some(name));
                let wish = Wish { id: Some(id), name, parents, modified_time, ..Wish::default() };
                ("POST", "files".into(), wish)
            }
            Target::Old(_) => ("PATCH", file_path(id), Wish { modified_time, ..Wish::default() }),
        };
        Ok((method, path, json(self.what, &wish)?))
    }

    /// A file that is there stays of the type that it is.
    fn mime_type(&self) -> &str {
        match self.target {
            Target::New { name, .. } => type_of(name),
            Target::Old(file) if is_type(&file.mime_type) => &file.mime_type,
            Target::Old(file) => type_of(&file.name),
        }
    }

    fn id(&self) -> Result<Box<str>> {
        match self.target {
            Target::New { .. } => self.drive.new_id(self.what),
            Target::Old(file) => Ok(file.id.clone()),
        }
    }

    fn whole(&self) -> Result<File> {
        let size = self.content.size();
        for _ in 0..SESSIONS {
            let id = self.id()?;
            let (method, path, wish) = self.request(&id)?;
            let url = self.drive.upload_url(&path, "multipart");
            let Frame { content_type, head, tail } =
                Frame::new(self.what, &wish, self.mime_type())?;
            let taken: &[u16] = if method == "POST" { &[409] } else { &[] };
            let sent = self.drive.ask(self.what, taken, &mut || {
                if size == 0 {
                    self.content.unchanged()?;
                }
                let body = Payload::Framed { head: &head, content: &self.content, tail: &tail };
                Ok(Call::new(method, url.clone(), true)
                    .header("Content-Type", content_type.as_str())
                    .payload(body))
            })?;
            match sent {
                Some(file) => return Ok(file),
                None => {
                    if let Some(file) = self.arrived(&id)? {
                        return Ok(file);
                    }
                }
            }
        }
        Err(self.in_use())
    }

    /// The file of this id if it is what an earlier request made, whose reply got lost, and still
    /// is where that put it.
    fn arrived(&self, id: &str) -> Result<Option<File>> {
        self.content.read_to(self.content.size())?;
        let file = self.drive.look(self.what, id)?;
        Ok(file.filter(|file| {
            let is_in_place = match self.target {
                Target::New { folder, .. } => file.is_in(folder),
                Target::Old(_) => !file.trashed,
            };
            is_in_place && file.hash() == Some(self.content.hash())
        }))
    }

    fn in_parts(&self, resume: &dyn Resume) -> Result<File> {
        let Upload { drive, what, content, .. } = self;
        let parts = Parts { api: &drive.api, what, content, size: PART, compares: false };
        let saved = notes::saved::<Note>(resume);
        let mut known = saved.filter(|note| self.is_of(note));
        for _ in 0..SESSIONS {
            let (note, from) = match known.take() {
                Some(note) if !note.session.is_empty() => {
                    let from = match parts.ask_how_far::<File>(&note.session)? {
                        Step::Kept(from) => from,
                        // Google tells how the file was then; it may be in the trash by now.
                        Step::Done(_) => match self.arrived(&note.id)? {
                            Some(file) => return Ok(file),
                            None => continue,
                        },
                        Step::Lost => {
                            known = Some(Note { session: String::new(), ..note });
                            continue;
                        }
                    };
                    (note, from)
                }
                forgotten => {
                    // The same id: the forgotten upload may have come to its end.
                    let id = forgotten.map_or_else(|| self.id(), |note| Ok(note.id))?;
                    let Some(session) = self.begin(&id)? else {
                        match self.arrived(&id)? {
                            Some(file) => return Ok(file),
                            None => continue,
                        }
                    };
                    let note = self.note(id, session);
                    notes::save(self.what, resume, &note)?;
                    (note, 0)
                }
            };
            match parts.send(&note.session, from) {
                Ok(Some(file)) => return Ok(file),
                Ok(None) => known = Some(Note { session: String::new(), ..note }),
                Err(error) => {
                    if !notes::can_go_on(&error)
                        && let Ok(note) = postcard::to_stdvec(&note)
                    {
                        // What can't be dropped, Google drops within a week.
                        let _ = self.drive.drop_upload(&note);
                    }
                    return Err(error);
                }
            }
        }
        Err(self.in_use())
    }

    fn note(&self, id: Box<str>, session: String) -> Note {
        let (folder, name) = match self.target {
            Target::New { folder, name } => (folder, name),
            Target::Old(_) => ("", ""),
        };
        let (folder, name) = (folder.into(), name.into());
        Note { id, folder, name, size: self.content.size(), mtime: self.mtime, session }
    }

    /// Whether a note is of this upload.
    fn is_of(&self, note: &Note) -> bool {
        let same = match self.target {
            Target::New { folder, name } => *note.folder == *folder && *note.name == *name,
            Target::Old(file) => note.folder.is_empty() && note.id == file.id,
        };
        same && note.size == self.content.size() && note.mtime == self.mtime
    }

    /// Begins an upload in parts and tells its address; `None` when the id is in use.
    fn begin(&self, id: &str) -> Result<Option<String>> {
        let (method, path, wish) = self.request(id)?;
        let url = self.drive.upload_url(&path, "resumable");
        let taken: &[u16] = if method == "POST" { &[409] } else { &[] };
        let reply = self.drive.api.call(self.what, taken, &mut || {
            Ok(with_json(method, &url, &wish)
                .header("X-Upload-Content-Type", self.mime_type())
                .header("X-Upload-Content-Length", self.content.size().to_string()))
        })?;
        let session = match reply.status {
            409 => None,
            _ => Some(Parts::address(self.what, &self.drive.base, UPLOAD, &reply)?),
        };
        reply.drain();
        Ok(session)
    }

    fn in_use(&self) -> Error {
        let cause = "Google Drive loses every upload, or has all of its new ids in use";
        Error::new(Kind::Busy, self.what, cause)
    }
}

/// Whether a text can stand in a header: others may have chosen it.
fn is_type(text: &str) -> bool {
    text.contains('/') && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}
