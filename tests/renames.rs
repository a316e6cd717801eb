//! A person's new name for an item that can't be synced by the one it has: nothing is in its way, and nothing is lost.

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
    home.write(".mooring/removed/a:b", "kept");
    symlink("..", home.folder.join("nas/up")).unwrap();
    let absolute = home.folder.join("secret:1");
    for path in ["", ".", "../secret:1", "a/../../secret:1", "/secret:1", ".mooring/removed/a:b"] {
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
