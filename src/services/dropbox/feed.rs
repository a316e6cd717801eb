//! What changed: cursors, and a request that is answered when something has.

use super::calls::{self, Called, Fault, MALFORMED, refusal};
use super::meta::Meta;
use super::{Folder, Listed, listing};
use crate::error::{Error, Kind, Result};
use crate::http::{Call, Payload};
use crate::remote::{Change, Feed, Page, Spot};
use serde::Deserialize;
use serde_json::json;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Shortest and longest time that Dropbox is asked to wait.
const LEAST_WAIT: Duration = Duration::from_secs(30);
const MOST_WAIT: Duration = Duration::from_secs(480);
/// Dropbox adds up to 90 seconds at random, and the answer has to travel.
const SLACK: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Latest {
    cursor: String,
}

#[derive(Deserialize)]
struct Waited {
    changes: bool,
    /// Seconds to wait before the next call.
    backoff: Option<u64>,
}

impl Feed for Folder {
    fn now(&self) -> Result<String> {
        let what = "asking for changes";
        let arg = listing(&self.calls.root, true);
        let latest = self.calls.call(what, "files/list_folder/get_latest_cursor", arg);
        let latest: Latest = latest.map_err(ended)?;
        Ok(latest.cursor)
    }

    fn tells_all(&self) -> bool {
        true
    }

    fn changes(
        &self,
        cursor: Option<&str>,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<Page> {
        let what = "asking for changes";
        let page: Called<Listed> = match cursor {
            None => self.first_page(what, &self.calls.root, true),
            Some(cursor) => self.next_page(what, cursor),
        };
        let Listed { entries, cursor, has_more } = page.map_err(ended)?;
        let depth = self.calls.root.matches('/').count();
        for meta in entries {
            if let Some(change) = change(what, meta, depth)? {
                each(change)?;
            }
        }
        Ok(Page { cursor, more: has_more })
    }

    fn can_wait(&self) -> bool {
        true
    }

    /// Dropbox takes no less than half a minute.
    fn wait(&self, cursor: &str, most: Duration) -> Result<bool> {
        let what = "waiting for changes";
        let left = {
            let next = self.next_wait.lock().unwrap_or_else(PoisonError::into_inner);
            next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()))
        };
        if !left.is_zero() {
            return Err(Error::new(Kind::Busy, what, "Dropbox asked for a pause").after(left));
        }
        let time = most.clamp(LEAST_WAIT, MOST_WAIT);
        let arg = json!({ "cursor": cursor, "timeout": time.as_secs() }).to_string();
        let http = self.calls.http();
        // A cursor is all it takes: a token is refused here. What fails isn't tried again: that
        // could take as long once more.
        let reply = http.call(what, &mut || {
            let url = self.calls.url("notify", "files/list_folder/longpoll");
            Ok(Call::new("POST", url, false)
                .header("Content-Type", "application/json")
                .payload(Payload::Bytes(arg.as_bytes()))
                .patience(time + SLACK))
        })?;
        match reply.status {
            200..300 => {}
            400 | 409 => return Err(ended(calls::fault(what, reply, false)?)),
            status => return Err(refusal(what, status, &reply.excerpt())),
        }
        let waited: Waited = reply.json(what)?;
        if let Some(pause) = waited.backoff {
            let next = Instant::now().checked_add(Duration::from_secs(pause));
            *self.next_wait.lock().unwrap_or_else(PoisonError::into_inner) = next;
        }
        Ok(waited.changes)
    }
}

/// What it means that a cursor can't be gone on with.
fn ended(fault: Fault) -> Error {
    if fault.is("reset") || fault.is(MALFORMED) {
        return fault.error.meaning(Kind::NotFound);
    }
    if fault.is("path") && fault.error.kind() == Kind::NotFound {
        let remedy = "bring it back, or correct the task's remote folder";
        return fault.error.remedy(remedy).meaning(Kind::RootLost);
    }
    fault.into()
}

/// What an entry tells of what is below a root of so many parts; `None` of the root itself. It is
/// told as gone by an empty path.
fn change(what: &str, meta: Meta, depth: usize) -> Result<Option<Change>> {
    let Some(path) = &meta.path_display else {
        // It isn't in the space, and so not in the task.
        return Ok(None);
    };
    // The root's letters may be of another case here than where the task names it.
    let below = path.splitn(depth + 2, '/').nth(depth + 1).unwrap_or_default().to_owned();
    if meta.is_gone() {
        return Ok(Some(Change::GonePath(below)));
    }
    if below.is_empty() {
        return Ok(None);
    }
    let entry = meta.entry(what)?;
    Ok(Some(Change::There { spot: Spot::Path(below), entry }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ItemKind;

    fn told(json: &str, depth: usize) -> Option<Change> {
        change("it", serde_json::from_str(json).unwrap(), depth).unwrap()
    }

    #[test]
    fn paths_are_those_below_the_root() {
        let gone = |path: &str, depth| {
            told(&format!(r#"{{".tag": "deleted", "name": "c", "path_display": "{path}"}}"#), depth)
        };
        let path = |path: &str| Some(Change::GonePath(path.into()));
        assert_eq!(gone("/a/b/c", 0), path("a/b/c"));
        assert_eq!(gone("/A/b/c", 1), path("b/c"));
        assert_eq!(gone("/a/b/c", 2), path("c"));
        // The root itself, or a folder that it is in.
        assert_eq!(gone("/a/b/c", 3), path(""));
        assert_eq!(gone("/a", 3), path(""));
    }

    #[test]
    fn the_root_itself_is_left_out() {
        let folder = r#"{".tag": "folder", "name": "b", "id": "id:1", "path_display": "/a/b"}"#;
        assert_eq!(told(folder, 2), None);
        let Some(Change::There { spot, entry }) = told(folder, 1) else { panic!("left out") };
        assert_eq!((spot, entry.kind), (Spot::Path("b".into()), ItemKind::Folder));
        assert_eq!(told(r#"{".tag": "folder", "name": "b", "id": "id:1"}"#, 1), None);
    }
}
