//! What a person does to files by Mooring: a new name for an item that can't be synced by the one it has, and taking back what a
//! task removed. Nothing is in the way, and nothing is lost.

use mooring::admin::{Request, perform};
use mooring::caller::Caller;
use mooring::error::{Error, Kind, Result};
use mooring::settings::Book;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

struct Home {
    folder: PathBuf,
    book: Book,
}

impl Home {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("renames").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("nas")).unwrap();
        let folder = folder.canonicalize().unwrap();
        let home = Home { book: Book::open(&folder.join("state")).unwrap(), folder };
        let entered = json!({ "values": [["url", "http://127.0.0.1:9/"]], "secrets": [] });
        home.ask(json!({
            "request": "connection_add", "name": "cloud", "service": "webdav", "entered": entered,
        }))
        .unwrap();
        home.ask(json!({
            "request": "task_add",
            "task": {
                "name": "docs", "connection": "cloud", "local": home.folder.join("nas"), "remote": "/docs",
                "direction": "upload", "keep_removed": false, "filter": { "exclude": ["*.tmp"] },
            },
        }))
        .unwrap();
        home
    }

    fn ask(&self, request: Value) -> Result<Value> {
        let request: Request = serde_json::from_value(request).unwrap();
        perform(&self.book, &Caller::Host, request)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.folder.join("nas").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn content(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.folder.join("nas").join(path)).ok()
    }

    fn rename(&self, path: &str, name: &str) -> Result<Value> {
        self.ask(json!({ "request": "item_rename", "task": "docs", "path": path, "name": name }))
    }

    #[track_caller]
    fn refused(&self, path: &str, name: &str, kind: Kind) -> Error {
        let error = self.rename(path, name).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        error
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn files_and_folders_get_another_name() {
    let home = Home::new("good");
    home.write("a:b", "file");
    home.write("inner/c:d/e", "in a folder");
    assert_eq!(home.rename("a:b", "a b").unwrap()["path"], "a b");
    assert_eq!(home.rename("inner/c:d", "c d").unwrap()["path"], "inner/c d");
    assert_eq!(home.content("a b").as_deref(), Some("file"));
    assert_eq!(home.content("inner/c d/e").as_deref(), Some("in a folder"));
    assert_eq!((home.content("a:b"), home.content("inner/c:d/e")), (None, None));
}

#[test]
fn nothing_is_replaced() {
    let home = Home::new("taken");
    home.write("a:b", "one");
    home.write("a b", "other");
    let error = home.refused("a:b", "a b", Kind::Exists);
    assert_eq!(error.advice(), "choose another name");
    fs::create_dir_all(home.folder.join("nas/c:d")).unwrap();
    fs::create_dir_all(home.folder.join("nas/empty")).unwrap();
    home.refused("c:d", "empty", Kind::Exists);
    home.refused("c:d", "a b", Kind::Exists);
    home.refused("a:b", "empty", Kind::Exists);
    symlink("nowhere", home.folder.join("nas/link")).unwrap();
    home.refused("a:b", "link", Kind::Exists);
    assert_eq!(home.content("a:b").as_deref(), Some("one"));
    assert_eq!(home.content("a b").as_deref(), Some("other"));
}

#[test]
fn nothing_outside_is_renamed() {
    let home = Home::new("outside");
    fs::write(home.folder.join("secret:1"), "outside").unwrap();
    home.write("a:b", "inside");
    // Another task may have its root further down.
    let ours = [".mooring/removed/a:b", "inner/.mooring/2/removed/a:b", "inner/.mooring"];
    ours[..2].iter().for_each(|path| home.write(path, "kept"));
    symlink("..", home.folder.join("nas/up")).unwrap();
    let absolute = home.folder.join("secret:1");
    let elsewhere = ["", ".", "../secret:1", "a/../../secret:1", "/secret:1"];
    for path in elsewhere.into_iter().chain(ours) {
        home.refused(path, "taken", Kind::Usage);
    }
    home.refused(absolute.to_str().unwrap(), "taken", Kind::Usage);
    // Links lead nowhere.
    assert!(home.rename("up/secret:1", "taken").is_err());
    assert!(absolute.exists() && !home.folder.join("taken").exists());
    for name in ["", ".", "..", "../a b", "up/a b", "/a b", "a:b"] {
        home.refused("a:b", name, Kind::Usage);
    }
    assert_eq!(home.content("a:b").as_deref(), Some("inside"));
}

#[test]
fn the_new_name_can_be_synced() {
    let home = Home::new("syncable");
    home.write("a:b", "file");
    for name in ["a:c", "a\\c", "Thumbs.db", "~a", "x.tmp", &"x".repeat(256), ".mooring"] {
        home.refused("a:b", name, Kind::Usage);
    }
    assert_eq!(home.content("a:b").as_deref(), Some("file"));
}

#[test]
fn what_is_gone_or_no_file_is_told() {
    let home = Home::new("gone");
    home.refused("a:b", "a b", Kind::NotFound);
    symlink("nowhere", home.folder.join("nas/li:nk")).unwrap();
    home.refused("li:nk", "link", Kind::Usage);
    let request = json!({ "request": "item_rename", "task": "no", "path": "a", "name": "b" });
    assert_eq!(home.ask(request).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn removed_files_are_told_a_page_at_a_time_and_taken_back() {
    let home = Home::new("removed");
    let look = |path: &str, after: Option<&str>| {
        home.ask(
            json!({ "request": "removed_files", "task": "docs", "path": path, "after": after }),
        )
        .unwrap()
    };
    assert_eq!(look("", None), json!({ "items": [], "next": null }));
    let area = ".mooring/1/removed";
    home.write(&format!("{area}/a person's/x"), "not ours");
    home.write(&format!("{area}/2026-11-22/old"), "older");
    for number in 0..1_001 {
        home.write(&format!("{area}/2026-11-23/photos/{number:04}"), &number.to_string());
    }
    let names = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&look("", None)), ["2026-11-23", "2026-11-22"]);
    let day =
        json!({ "items": [{ "name": "photos", "kind": "folder", "bytes": 0 }], "next": null });
    assert_eq!(look("2026-11-23", None), day);
    let first = look("2026-11-23/photos", None);
    assert_eq!((names(&first).len(), first["next"].as_str()), (1_000, Some("0999")));
    let last = json!({ "items": [{ "name": "1000", "kind": "file", "bytes": 4 }], "next": null });
    assert_eq!(look("2026-11-23/photos", Some("0999")), last);
    assert_eq!(names(&look("2026-11-23/gone", None)).len(), 0);

    let restore = |path: &str| {
        home.ask(json!({ "request": "removed_restore", "task": "docs", "path": path }))
    };
    assert_eq!(restore("2026-11-23/photos/1000").unwrap()["path"], "photos/1000");
    assert_eq!(home.content("photos/1000").as_deref(), Some("1000"));
    home.write("photos/0007", "newer");
    assert_eq!(restore("2026-11-23/photos/0007").unwrap_err().kind(), Kind::Exists);
    assert_eq!(home.content("photos/0007").as_deref(), Some("newer"));
    for gone in ["2026-11-23", "2026-11-23/photos", "2026-11-23/photos/1000"] {
        assert_eq!(restore(gone).unwrap_err().kind(), Kind::NotFound, "{gone}");
    }
    symlink("../../..", home.folder.join("nas").join(area).join("2026-11-22/up")).unwrap();
    fs::write(home.folder.join("secret"), "outside").unwrap();
    assert!(restore("2026-11-22/up/secret").is_err() && home.content("up/secret").is_none());
    for odd in ["", "a person's/x", "2026-11-22/../2026-11-22/old", "2026-11-22//old"] {
        assert_eq!(restore(odd).unwrap_err().kind(), Kind::Usage, "{odd}");
    }
}
