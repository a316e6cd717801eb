//! The Google Drive adapter against a fake that checks each request by Google's own description.

use crate::common::bench::{APPROVED, TempFolder};
use crate::common::by_path::ByPath;
use crate::common::contract::{self, Bytes, Flaw, Notes, Server, pattern};
use crate::common::peers::{self, FakePeer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mooring::content::Content;
use mooring::engine::{Engine, Setup};
use mooring::error::{Error, Kind, Result};
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::local::Disk;
use mooring::model::{ConflictPolicy, Direction, ItemKind, RemotePrint, Version};
use mooring::remote::{
    Change, Descriptor, Entry, Expect, Feed, Keeper, Kept, Place, Refresher, Remote, Removal,
    Settings, Special, Spot, Written,
};
use mooring::services;
use mooring::settings::Task;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Once};

/// As in [`contract`].
const SOME_TIME: i64 = 1_600_000_000_000_000_000;
/// Bytes of a file that is sent in several parts of 8 MiB.
const LARGE: usize = (20 << 20) + 5;

#[test]
fn it_passes() {
    let peer = peers::new_google_drive();
    peer.control("page", json!({ "size": 100 }));
    let server = Server { many: 250, ..Server::of(descriptor()) };
    contract::run_on(ByPath::new(open(&peer, "root's é + %20/b\\c")), descriptor(), &server);
}

#[test]
fn it_passes_in_a_shared_drive() {
    let peer = peers::new_google_drive();
    peer.control("shared_drive", json!({ "name": "Our team's" }));
    let server = Server { many: 20, ..Server::of(descriptor()) };
    let remote = open_with(&peer, &[("drive", "Our team's")], "contract", http());
    contract::run_on(ByPath::new(remote), descriptor(), &server);
    assert_eq!(peer.control("tree", json!({})), json!({}));
}

/// Whatever reply gets lost, what was asked for is done once.
#[test]
fn a_lost_reply_makes_no_twin() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    let lose = |start: &str| peer.control("fault", json!({ "match": start, "lose_reply": true }));

    lose("POST /upload/drive/v3/files?uploadType=multipart");
    let file = create(&*remote, "file", b"content").unwrap();
    lose("PATCH /upload/drive/v3/files");
    let new = write(&*remote, place("file", &file), b"newer", &file).unwrap();
    assert!(!new.overtook, "our own lost write counts as somebody else's");
    lose("POST /upload/drive/v3/files?uploadType=resumable");
    let bytes = pattern(LARGE, 1);
    create(&*remote, "large", &bytes).unwrap();
    for after in [0, 2] {
        let fault = json!({ "match": "PUT /upload", "after": after, "lose_reply": true });
        peer.control("fault", fault);
        create(&*remote, &format!("large {after}"), &bytes).unwrap();
    }
    lose("POST /drive/v3/files?");
    let folder = remote.make_folder(Place::at("folder")).unwrap().entry;
    lose("POST /drive/v3/files/");
    let version = &new.entry.print.version;
    remote.copy(place("file", &new.entry), Place::at("copy"), version).unwrap();
    lose("PATCH /drive/v3/files");
    // What is moved already may not be moved once more.
    refuse(&peer, "PATCH /drive/v3/files", 400, "invalid");
    let to = Place { path: "folder/moved", id: "", folder: &folder.print.id };
    let moved = remote.rename(place("file", &new.entry), to, ItemKind::File, version).unwrap();
    assert_eq!(moved.print.mtime, Some(SOME_TIME), "a move is no new content");
    lose("PATCH /drive/v3/files");
    let folder = &*folder.print.id;
    let there = Place { path: "folder/moved", id: &moved.print.id, folder };
    remove(&*remote, there, ItemKind::File, version).unwrap();

    let tree = peer.control("tree", json!({}));
    let names: Vec<_> = tree.as_object().unwrap().keys().collect();
    assert_eq!(names, ["/copy", "/folder", "/large", "/large 0", "/large 2"]);
    for name in ["/large", "/large 0", "/large 2"] {
        assert_eq!(tree[name]["size"], LARGE, "{name}");
    }
}

/// A reply that breaks off tells nothing, but what it is to was done.
#[test]
fn a_cut_reply_is_asked_for_again() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    let requests = ["POST /upload", "POST /drive/v3/files?", "GET /drive/v3/files?"];
    for start in requests {
        peer.control("fault", json!({ "match": start, "cut_reply": 20 }));
    }
    create(&*remote, "file", b"content").unwrap();
    remote.make_folder(Place::at("folder")).unwrap();
    assert_eq!(list(&*remote, Place::default()).len(), 2);
}

#[test]
fn a_cut_upload_goes_on_after_a_restart() {
    let peer = peers::new_google_drive();
    let bytes = pattern(LARGE, 2);
    let old = create(&*open(&peer, ""), "old", b"old").unwrap();
    for (name, replaced) in [("new", None), ("old", Some(&old))] {
        let notes = Notes::default();
        let send = |remote: &dyn Remote| {
            let content = Bytes::with(&bytes, Flaw::None);
            let expect = replaced.map_or(Expect::Absent, |old| Expect::Version(&old.print.version));
            let place = replaced.map_or(Place::at(name), |old| place(name, old));
            remote.write(place, &content, SOME_TIME, expect, &notes)
        };
        // The first part arrives, and of the second 3 times 256 KiB.
        let fault =
            json!({ "match": "PUT /upload", "after": 1, "times": 99, "cut_request": 1_000_000 });
        peer.control("fault", fault);
        let error = send(&*open(&peer, "")).unwrap_err();
        assert_eq!(error.kind(), Kind::Offline, "{error}");
        assert!(!error.to_string().contains("upload_id"), "{error}");
        peer.control("clear", json!({}));

        let http = http();
        let counters = http.counters().clone();
        let entry = send(&*open_with(&peer, &[], "", http)).unwrap().entry;
        assert_eq!(entry.print.size, LARGE as u64);
        let sent = counters.bytes_up.load(Relaxed) as usize;
        let left = LARGE - (8 << 20) - 3 * (256 << 10);
        assert!((left..left + 10_000).contains(&sent), "{sent} bytes were sent, {left} were left");
        assert_eq!(read(&*open(&peer, ""), place(name, &entry), &entry).unwrap(), bytes);
    }
}

#[test]
fn an_upload_that_the_service_forgets_begins_anew() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    let bytes = pattern(LARGE, 3);
    for status in [404, 410] {
        let fault = json!({ "match": "PUT /upload", "after": 1, "status": status });
        peer.control("fault", fault);
        create(&*remote, &format!("{status}"), &bytes).unwrap();
    }
    // Less is kept of a part than was sent.
    peer.control("store_less", json!({ "bytes": 1 << 20 }));
    create(&*remote, "less", &bytes).unwrap();

    let notes = Notes::default();
    let content = Bytes::with(&bytes, Flaw::None);
    let send = || remote.write(Place::at("later"), &content, SOME_TIME, Expect::Absent, &notes);
    peer.control(
        "fault",
        json!({ "match": "PUT /upload", "after": 1, "times": 99, "cut_request": 0 }),
    );
    assert_eq!(send().unwrap_err().kind(), Kind::Offline);
    peer.control("clear", json!({}));
    peer.control("drop_sessions", json!({}));
    send().unwrap();

    let tree = peer.control("tree", json!({}));
    let tree = tree.as_object().unwrap();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["/404", "/410", "/later", "/less"]);
    assert!(tree.values().all(|file| file["size"] == LARGE), "{tree:?}");
}

/// It arrived whole, nobody got to know, and somebody else put it in the trash.
#[test]
fn an_upload_that_ended_before_a_restart_is_looked_at() {
    let peer = peers::new_google_drive();
    let bytes = pattern(LARGE, 7);
    for is_trashed in [false, true] {
        let name = format!("trashed {is_trashed}");
        let notes = Notes::default();
        let send = || {
            let content = Bytes::with(&bytes, Flaw::None);
            let remote = open(&peer, "");
            remote.write(Place::at(&name), &content, SOME_TIME, Expect::Absent, &notes)
        };
        let fault = json!({ "match": "PUT /upload", "after": 2, "times": 99, "lose_reply": true });
        peer.control("fault", fault);
        assert_eq!(send().unwrap_err().kind(), Kind::Offline);
        peer.control("clear", json!({}));
        let id = peer.control("tree", json!({}))[format!("/{name}")]["id"].clone();
        if is_trashed {
            peer.control("trash", json!({ "path": name }));
        }
        let entry = send().unwrap().entry;
        assert_eq!(id == *entry.print.id, !is_trashed);
        let tree = peer.control("tree", json!({}));
        assert_eq!(tree[format!("/{name}")]["id"], &*entry.print.id, "{tree}");
    }
}

/// A note is good for the file it was made of, and for nothing else; an abandoned upload is gone.
#[test]
fn an_upload_is_abandoned() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    let bytes = pattern(LARGE, 4);
    let notes = Notes::default();
    let content = Bytes::with(&bytes, Flaw::None);
    let send =
        |name: &str| remote.write(Place::at(name), &content, SOME_TIME, Expect::Absent, &notes);
    peer.control(
        "fault",
        json!({ "match": "PUT /upload", "after": 1, "times": 99, "cut_request": 0 }),
    );
    assert_eq!(send("one").unwrap_err().kind(), Kind::Offline);
    peer.control("clear", json!({}));
    let note = mooring::remote::Resume::load(&notes).unwrap();
    remote.abandon(&note).unwrap();
    remote.abandon(&note).unwrap();
    remote.abandon(b"nonsense").unwrap();
    send("other").unwrap();
    let tree = peer.control("tree", json!({}));
    assert_eq!(tree.as_object().unwrap().keys().collect::<Vec<_>>(), ["/other"]);
}

#[test]
fn wrong_bytes_are_noticed() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    let small = create(&*remote, "small", b"some bytes").unwrap();
    peer.control("fault", json!({ "match": "GET /drive/v3/files/", "corrupt": true }));
    let error = read(&*remote, place("small", &small), &small).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    assert_eq!(read(&*remote, place("small", &small), &small).unwrap(), b"some bytes");

    let told = json!({ "id": small.print.id, "name": "n", "mimeType": "text/plain", "size": "5",
        "md5Checksum": "00000000000000000000000000000000", "headRevisionId": "r" });
    for start in ["POST /upload", "PATCH /upload"] {
        peer.control("fault", json!({ "match": start, "status": 200, "body": told }));
    }
    let error = create(&*remote, "new", b"bytes").unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    peer.control("untrash", json!({ "id": small.print.id }));
    let error = write(&*remote, place("small", &small), b"bytes", &small).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
}

#[test]
fn a_busy_service_is_waited_for_and_a_spent_day_is_not() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    refuse(&peer, "GET /drive/v3/files", 403, "userRateLimitExceeded");
    remote.test().unwrap();
    refuse(&peer, "GET /drive/v3/files", 403, "dailyLimitExceeded");
    let error = remote.test().unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.wait().is_some_and(|wait| wait.as_secs() > 600), "{error}");
}

#[test]
fn refusals_say_what_to_do() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    for (reason, kind, word) in [
        ("storageQuotaExceeded", Kind::QuotaFull, "free space"),
        ("insufficientFilePermissions", Kind::Denied, "permission"),
        ("accessNotConfigured", Kind::SignIn, "enable the Google Drive API"),
        ("insufficientPermissions", Kind::SignIn, "sign in again"),
    ] {
        refuse(&peer, "POST /upload", 403, reason);
        let error = create(&*remote, "file", b"bytes").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    peer.control("quota", json!({ "limit": 10 }));
    let error = create(&*remote, "file", b"more than ten bytes").unwrap_err();
    assert_eq!(error.kind(), Kind::QuotaFull, "{error}");
    let error = create(&*remote, "large", &pattern(LARGE, 1)).unwrap_err();
    assert_eq!(error.kind(), Kind::QuotaFull, "{error}");
    peer.control("quota", json!({ "limit": null }));

    let file = create(&*remote, "bad", b"bytes").unwrap();
    peer.control("mark", json!({ "path": "bad", "abusive": true }));
    let error = read(&*remote, place("bad", &file), &file).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("malware"), "{error}");
}

#[test]
fn a_token_that_ends_is_renewed_and_a_revoked_sign_in_is_told() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    let file = create(&*remote, "file", b"bytes").unwrap();
    peer.control("expire", json!({}));
    read(&*remote, place("file", &file), &file).unwrap();
    peer.control("revoke", json!({}));
    let error = create(&*remote, "other", b"bytes").unwrap_err();
    assert_eq!(error.kind(), Kind::SignIn, "{error}");
    assert!(!error.to_string().contains("tester-"), "{error}");
}

/// Somebody writes while we do: there is no way to stop us, but nothing is lost.
#[test]
fn a_version_that_was_overtaken_is_kept() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    for size in [10, LARGE] {
        let path = format!("file {size}");
        let file = create(&*remote, &path, b"at first").unwrap();
        let theirs = || {
            peer.control("put", json!({ "path": path, "text": "theirs" }));
        };
        let bytes = pattern(size, 5);
        let content =
            Meanwhile { content: Bytes::with(&bytes, Flaw::None), act: &theirs, once: Once::new() };
        let expect = Expect::Version(&file.print.version);
        let notes = Notes::default();
        let written =
            remote.write(place(&path, &file), &content, SOME_TIME, expect, &notes).unwrap();
        assert!(written.overtook, "{size}");
        assert_eq!(written.entry.print.size, size as u64);
        let kept = requests(&peer, "PATCH /drive/v3/files/");
        let kept = kept.iter().filter(|line| line.contains("/revisions/")).count();
        assert_eq!(kept, 1, "{size}");
        let again = write(&*remote, place(&path, &written.entry), b"x", &written.entry).unwrap();
        assert!(!again.overtook, "{size}");
    }
}

/// Somebody else's file of the same name stands beside ours; somebody else's edit isn't trashed.
#[test]
fn what_others_do_meanwhile_stays() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "task");
    remote.make_folder(Place::default()).unwrap();
    let moved = create(&*remote, "moved", b"moved").unwrap();
    peer.control("move", json!({ "path": "task/moved", "to": "elsewhere/moved" }));
    let version = &moved.print.version;
    assert_eq!(remote.stat(place("moved", &moved), ItemKind::File).unwrap(), None);
    remove(&*remote, place("moved", &moved), ItemKind::File, version).unwrap();
    let gone = remote.rename(place("moved", &moved), Place::at("back"), ItemKind::File, version);
    assert_eq!(gone.unwrap_err().kind(), Kind::NotFound);
    let tree = peer.control("tree", json!({}));
    assert!(tree.get("/elsewhere/moved").is_some(), "{tree}");

    // Into a folder that is in the trash by now.
    let folder = remote.make_folder(Place::at("folder")).unwrap().entry;
    peer.control("trash", json!({ "path": "task/folder" }));
    let inside = Place { path: "folder/file", id: "", folder: &folder.print.id };
    let content = Bytes::with(b"bytes", Flaw::None);
    let error =
        remote.write(inside, &content, SOME_TIME, Expect::Absent, &Notes::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    let inner = Place { path: "folder/inner", ..inside };
    assert_eq!(remote.make_folder(inner).unwrap_err().kind(), Kind::NotFound);
}

/// What can't be told to the end, or is in the trash, never seems to be empty.
#[test]
fn nothing_is_concluded_from_half_a_listing() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "task");
    assert_eq!(remote.stat(Place::default(), ItemKind::Folder).unwrap(), None);
    assert_eq!(remote.test().unwrap_err().kind(), Kind::NotFound);
    remote.make_folder(Place::default()).unwrap();
    let folder = remote.make_folder(Place::at("folder")).unwrap().entry;
    let file = Place { path: "folder/file", id: "", folder: &folder.print.id };
    let content = Bytes::with(b"bytes", Flaw::None);
    remote.write(file, &content, SOME_TIME, Expect::Absent, &Notes::default()).unwrap();
    let fails = |place: Place<'_>, kind: Kind| {
        let error = remote.list(place, &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    };
    peer.control("incomplete", json!({ "on": true }));
    fails(Place::default(), Kind::Busy);
    peer.control("incomplete", json!({ "on": false }));
    peer.control("trash", json!({ "path": "task/folder" }));
    fails(place("folder", &folder), Kind::NotFound);
    peer.control("trash", json!({ "path": "task" }));
    fails(Place::default(), Kind::NotFound);
    assert_eq!(remote.stat(Place::default(), ItemKind::Folder).unwrap(), None);
    fails(Place { path: "x", id: "never-there", folder: "" }, Kind::NotFound);
}

#[test]
fn what_cannot_be_synced_is_told_as_such() {
    let peer = peers::new_google_drive();
    peer.control("put", json!({ "path": "task/file", "text": "bytes" }));
    peer.control("shortcut", json!({ "path": "task/shortcut", "target": "task/file" }));
    for kind in ["document", "form"] {
        peer.control("document", json!({ "path": format!("task/{kind}"), "kind": kind }));
    }
    peer.control("put", json!({ "path": "task/closed", "text": "bytes" }));
    peer.control("mark", json!({ "path": "task/closed", "denied": ["canDownload"] }));
    peer.control("put", json!({ "path": "task/with%2Fslash 'n' \\", "text": "bytes" }));
    let listed = list(&*open(&peer, "task"), Place::default());
    let told: Vec<_> = listed.iter().map(|(name, entry)| (&**name, entry.special)).collect();
    let expected = [
        ("file", None),
        ("shortcut", Some(Special::Shortcut)),
        ("document", Some(Special::Document)),
        ("form", Some(Special::Document)),
        ("closed", Some(Special::Closed)),
        ("with/slash 'n' \\", None),
    ];
    assert_eq!(told, expected);
    assert!(listed.iter().all(|(_, entry)| entry.kind == ItemKind::File));
}

#[test]
fn documents_are_converted_where_that_is_asked_for() {
    let peer = peers::new_google_drive();
    for kind in ["document", "spreadsheet", "presentation", "drawing", "form"] {
        let control = json!({ "path": format!("{kind}"), "kind": kind, "text": "words" });
        peer.control("document", control);
    }
    let remote = open_with(&peer, &[("documents", "convert")], "", http());
    let listed = list(&*remote, Place::default());
    let names: Vec<_> = listed.iter().map(|(name, _)| &**name).collect();
    let expected =
        ["document.docx", "spreadsheet.xlsx", "presentation.pptx", "drawing.jpg", "form"];
    assert_eq!(names, expected);
    for (name, entry) in &listed[..4] {
        assert_eq!((entry.special, entry.print.size), (None, RemotePrint::UNSIZED), "{name}");
        let bytes = read(&*remote, place(name, entry), entry).unwrap();
        assert!(bytes.starts_with(b"words"), "{name}");
        let looked = remote.stat(place(name, entry), ItemKind::File).unwrap().unwrap();
        assert_eq!(&looked, entry);
    }
    let (name, old) = &listed[0];
    // Who looked at it doesn't matter, what it says does.
    peer.control("touch", json!({ "path": "document" }));
    read(&*remote, place(name, old), old).unwrap();
    peer.control("document", json!({ "path": "document", "text": "others", "size": 11 << 20 }));
    let error = read(&*remote, place(name, old), old).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    peer.control("document", json!({ "path": "document", "text": "others" }));
    let error = read(&*remote, place(name, old), old).unwrap_err();
    assert_eq!(error.kind(), Kind::Changed, "{error}");
}

#[test]
fn a_shared_drive_goes_by_its_name_or_id() {
    let peer = peers::new_google_drive();
    let id = peer.control("shared_drive", json!({ "name": "Team" }))["id"].clone();
    let id = id.as_str().unwrap();
    peer.control("shared_drive", json!({ "name": "Twice" }));
    peer.control("shared_drive", json!({ "name": "Twice" }));
    peer.control("put", json!({ "path": "a/b/file", "text": "bytes", "drive": id }));
    for drive in ["Team", id] {
        let remote = open_with(&peer, &[("drive", drive)], "a/b", http());
        remote.test().unwrap();
        let listed = list(&*remote, Place::default());
        assert_eq!(listed.len(), 1, "{drive}");
        let feed = remote.feed().unwrap();
        let start = feed.now().unwrap();
        peer.control("put", json!({ "path": "a/b/file", "text": drive, "drive": id }));
        peer.control("put", json!({ "path": "file in My Drive", "text": "bytes" }));
        assert_eq!(told(&changes(feed, &start).0), ["file"], "{drive}");
    }
    for (drive, kind, word) in
        [("Taem", Kind::NotFound, "Team, Twice"), ("Twice", Kind::Usage, "0A")]
    {
        let remote = open_with(&peer, &[("drive", drive)], "", http());
        let error = remote.test().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        let root = remote.stat(Place::default(), ItemKind::Folder);
        assert_eq!(
            root.map_err(|error| error.kind()).ok(),
            (kind == Kind::NotFound).then_some(None)
        );
    }
}

#[test]
fn the_feed_tells_what_happened() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "task");
    let root = remote.make_folder(Place::default()).unwrap().entry.print.id;
    let feed = remote.feed().unwrap();
    assert!(!feed.tells_all());
    peer.control("page", json!({ "size": 3 }));
    let start = feed.now().unwrap();
    assert_eq!(changes(feed, &start).0, []);
    let stays = create(&*remote, "stays", b"bytes").unwrap();
    let goes = create(&*remote, "goes", b"bytes").unwrap();
    let trashed = create(&*remote, "trashed", b"bytes").unwrap();
    peer.control("delete", json!({ "path": "task/goes" }));
    peer.control("trash", json!({ "path": "task/trashed" }));
    peer.control("shared", json!({ "name": "somebody's", "text": "in no folder" }));
    peer.control("shared_drive", json!({ "name": "Team" }));
    peer.control("put", json!({ "path": "other/unknown", "text": "bytes" }));
    let (all, cursor) = changes(feed, &start);
    let spot = Spot::Child { folder: root, name: "stays".into() };
    assert!(all.contains(&Change::There { spot, entry: stays.clone() }), "{all:?}");
    for gone in [&goes, &trashed] {
        assert!(all.contains(&Change::GoneId(gone.print.id.clone())), "{all:?}");
    }
    assert_eq!(told(&all), ["stays", "other", "unknown"], "{all:?}");

    peer.control("untrash", json!({ "id": trashed.print.id }));
    peer.control("move", json!({ "path": "task/stays", "to": "other/it's \\ %2F" }));
    let (all, cursor) = changes(feed, &cursor);
    assert_eq!(told(&all), ["trashed", "it's \\ /"]);

    peer.control("forget_tokens", json!({}));
    for token in [&*cursor, "never a token"] {
        let error = feed.changes(Some(token), &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    }
    let fresh = feed.now().unwrap();
    refuse(&peer, "GET /drive/v3/changes", 401, "authError");
    assert_eq!(changes(feed, &fresh).0, []);
}

#[test]
fn ten_thousand_files_in_a_folder_are_all_told() {
    let peer = peers::new_google_drive();
    peer.control("many", json!({ "folder": "many", "folders": 1, "files_each": 10_000 }));
    let remote = open(&peer, "many/folder-00000");
    remote.test().unwrap();
    peer.control("requests", json!({}));
    assert_eq!(list(&*remote, Place::default()).len(), 10_000);
    assert_eq!(requests(&peer, "GET /drive/v3/files?").len(), 10);
    // Too many to be put in order, as Google warns of.
    let ordered = json!({ "match": "GET /drive/v3/files?", "times": 4, "status": 500 });
    peer.control("fault", ordered);
    assert_eq!(list(&*remote, Place::default()).len(), 10_000);
    let unordered = requests(&peer, "GET /drive/v3/files?");
    assert_eq!(unordered.iter().filter(|line| !line.contains("orderBy")).count(), 10);
}

/// What each thing costs, in requests.
#[test]
fn nothing_is_asked_without_need() {
    let peer = peers::new_google_drive();
    let remote = open(&peer, "");
    create(&*remote, "first", b"fetches a token, the root and ids").unwrap();
    let feed = remote.feed().unwrap();
    let cursor = feed.now().unwrap();
    let cost = |most: usize, act: &dyn Fn()| {
        peer.control("requests", json!({}));
        act();
        let made = requests(&peer, "");
        assert_eq!(made.len(), most, "{made:?}");
    };
    let file = create(&*remote, "file", b"bytes").unwrap();
    let version = &file.print.version;
    cost(1, &|| drop(create(&*remote, "another", b"bytes").unwrap()));
    cost(1, &|| drop(read(&*remote, place("file", &file), &file).unwrap()));
    let large = create(&*remote, "large", &pattern(100_000, 6)).unwrap();
    cost(2, &|| drop(read(&*remote, place("large", &large), &large).unwrap()));
    cost(3, &|| drop(write(&*remote, place("large", &large), b"new", &large).unwrap()));
    cost(3, &|| {
        let moved =
            remote.rename(place("file", &file), Place::at("moved"), ItemKind::File, version);
        moved.unwrap();
    });
    cost(2, &|| remove(&*remote, place("moved", &file), ItemKind::File, version).unwrap());
    cost(1, &|| drop(changes(feed, &cursor)));
}

/// The engine keeps a folder and a drive the same, by what the feed tells and by whole looks.
#[test]
fn a_task_keeps_both_sides_the_same() {
    let peer = peers::new_google_drive();
    let folder = TempFolder::new();
    let (local, state) = (folder.path().join("local"), folder.path().join("state"));
    fs::create_dir_all(local.join("ours/deep/empty")).unwrap();
    fs::create_dir(&state).unwrap();
    let write = |path: &str, text: &str| fs::write(local.join(path), text).unwrap();
    let control = |what: &str, body: Value| peer.control(what, body);
    write("ours/deep/it's é", "ours");
    write("both", "the same");
    control("put", json!({ "path": "task/root/theirs/file", "text": "theirs" }));
    control("put", json!({ "path": "task/root/both", "text": "the same" }));
    control("twin", json!({ "path": "task/root/theirs/file", "text": "a twin" }));
    control("document", json!({ "path": "task/root/document" }));
    let mut engine = engine(&peer, &local, &state);
    let mut sync = || {
        for _ in 0..5 {
            engine.cycle(&APPROVED).unwrap();
        }
        (files_below(&local), files_of(&peer))
    };
    let same = |(ours, theirs): (Tree, Tree), wanted: &[(&str, &str)]| {
        let wanted: Vec<_> = wanted.iter().map(|(path, text)| (*path, *text)).collect();
        let ours: Vec<_> = ours.iter().map(|(path, text)| (&**path, &**text)).collect();
        assert_eq!(ours, wanted);
        let mut contents: Vec<_> = theirs.values().map(|text| &**text).collect();
        let mut expected: Vec<_> = wanted.iter().map(|(_, text)| *text).collect();
        contents.sort_unstable();
        expected.sort_unstable();
        assert_eq!(contents, expected, "{theirs:?}");
    };
    let (ours, _) = sync();
    let twin = ours.keys().find(|path| path.starts_with("theirs/file (")).unwrap().clone();
    let start = [
        ("both", "the same"),
        ("ours/deep/it's é", "ours"),
        ("theirs/file", "theirs"),
        (&*twin, "a twin"),
    ];
    same(sync(), &start);

    // Edits, moves and removals on both sides, told in any order.
    control("reorder", json!({ "on": true }));
    control("put", json!({ "path": "task/root/both", "text": "edited there" }));
    control("move", json!({ "path": "task/root/theirs", "to": "task/root/ours/moved" }));
    fs::rename(local.join("ours/deep"), local.join("deep")).unwrap();
    write("new", "new here");
    control("put", json!({ "path": "task/root/also/new", "text": "new there" }));
    let twin = twin.replace("theirs/", "ours/moved/");
    let moved = [
        ("also/new", "new there"),
        ("both", "edited there"),
        ("deep/it's é", "ours"),
        ("new", "new here"),
        ("ours/moved/file", "theirs"),
        (&*twin, "a twin"),
    ];
    same(sync(), &moved);

    // What the feed told is forgotten: everything is looked at.
    control("forget_tokens", json!({}));
    control("trash", json!({ "path": "task/root/ours" }));
    fs::remove_file(local.join("both")).unwrap();
    write("new", "newer here");
    let left = [("also/new", "new there"), ("deep/it's é", "ours"), ("new", "newer here")];
    same(sync(), &left);
    control("requests", json!({}));
    same(sync(), &left);
    let asked = requests(&peer, "");
    assert!(asked.iter().all(|line| line.starts_with("GET /drive/v3/changes?")), "{asked:?}");
    assert_eq!(asked.len(), 5, "{asked:?}");
}

/// Edits, moves and removals on both sides while replies to writes get lost: in the end both sides
/// are the same, with everything that a person wrote last, and nothing twice.
#[test]
fn lost_replies_lose_and_double_nothing() {
    let peer = peers::new_google_drive();
    let folder = TempFolder::new();
    let (local, state) = (folder.path().join("local"), folder.path().join("state"));
    fs::create_dir(&local).unwrap();
    fs::create_dir(&state).unwrap();
    let control = |what: &str, body: Value| peer.control(what, body);
    control("make_folder", json!({ "path": "task/root" }));
    let mut engine = engine(&peer, &local, &state);
    for round in 0..8 {
        let here = |name: &str| local.join(format!("{name} {round}"));
        let there = |name: &str| format!("task/root/{name} {round}");
        fs::create_dir(here("folder")).unwrap();
        for name in ["folder/new", "folder/other"] {
            fs::write(local.join(name.replace("folder", &format!("folder {round}"))), name)
                .unwrap();
        }
        fs::write(here("edited"), "at first").unwrap();
        control("put", json!({ "path": there("theirs"), "text": format!("theirs {round}") }));
        if round > 0 {
            let before = |name: &str| local.join(format!("{name} {}", round - 1));
            fs::write(before("edited"), format!("edited {round}")).unwrap();
            fs::rename(before("folder"), local.join(format!("moved {round}"))).unwrap();
            fs::remove_file(before("theirs")).unwrap();
        }
        for after in 0..3 {
            let lost = json!({ "match": "P", "after": round + 4 * after, "lose_reply": true });
            control("fault", lost);
        }
        for _ in 0..3 {
            // It may fail where the reply to a renewal of the sign-in gets lost.
            drop(engine.cycle(&APPROVED));
        }
        control("clear", json!({}));
        for _ in 0..3 {
            engine.cycle(&APPROVED).unwrap();
        }
        let ours = files_below(&local);
        assert_eq!(ours, files_of(&peer), "round {round}");
        assert_eq!(ours.len(), 3 * (round + 1) + 1, "round {round}: {ours:?}");
    }
}

/// An engine between a folder and `task/root` on the fake.
fn engine(peer: &FakePeer, local: &Path, state: &Path) -> Engine {
    let task = Task {
        name: "task".into(),
        id: 1,
        connection: "drive".into(),
        local: local.into(),
        remote: "task/root".into(),
        direction: Direction::Both,
        conflict: ConflictPolicy::Local,
        consistency_check: false,
        keep_removed: false,
        recycle_days: 30,
        filter: Default::default(),
        settings: Vec::new(),
        paused: false,
        revision: 0,
    };
    let setup = Setup {
        task: &task,
        disk: Disk::new(&task.local),
        service: services::find("google-drive").unwrap(),
        values: &settings(peer, &[]),
        state,
        transfers: 2,
        history: 1000,
        cancel: Cancel::default(),
    };
    Engine::open(setup).unwrap()
}

type Tree = BTreeMap<String, String>;

/// The text of every file below `task/root` on the fake, by path, but for documents.
fn files_of(peer: &FakePeer) -> Tree {
    let mut found = Tree::new();
    let tree = peer.control("tree", json!({ "path": "task/root" }));
    for (path, file) in tree.as_object().unwrap() {
        let is_document = file["mime"].as_str().is_some_and(|it| it.contains("google-apps"));
        if let Some(id) = file["id"].as_str().filter(|_| !is_document) {
            let content = peer.control("content", json!({ "id": id }));
            let bytes = STANDARD.decode(content["base64"].as_str().unwrap()).unwrap();
            found.insert(path[1..].to_owned(), String::from_utf8(bytes).unwrap());
        }
    }
    found
}

/// The text of every file below a folder, by path.
fn files_below(root: &Path) -> Tree {
    let (mut found, mut folders) = (Tree::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            if name.starts_with(".mooring") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(name.into(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// A content during whose first reading something else happens.
struct Meanwhile<'a> {
    content: Bytes<'a>,
    act: &'a (dyn Fn() + Sync),
    once: Once,
}

impl Content for Meanwhile<'_> {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.once.call_once(self.act);
        self.content.read_at(buffer, offset)
    }

    fn unchanged(&self) -> Result<()> {
        self.content.unchanged()
    }
}

fn descriptor() -> &'static Descriptor {
    services::find("google-drive").unwrap().descriptor()
}

fn http() -> Http {
    Http::new(&HttpOptions::default(), Cancel::default()).unwrap()
}

fn open(peer: &FakePeer, root: &str) -> Arc<dyn Remote> {
    open_with(peer, &[], root, http())
}

fn open_with(peer: &FakePeer, more: &[(&str, &str)], root: &str, http: Http) -> Arc<dyn Remote> {
    services::find("google-drive").unwrap().open(&settings(peer, more), http, root).unwrap()
}

/// Settings for the fake, signed in.
fn settings(peer: &FakePeer, more: &[(&str, &str)]) -> Settings {
    let known = [
        ("endpoint", &*peer.endpoint),
        ("client-id", &peer.client_id),
        ("client-secret", &peer.client_secret),
        ("refresh-token", &peer.refresh_token),
    ];
    let pairs = known.iter().chain(more).map(|(key, value)| (key.to_string(), value.to_string()));
    let settings: Settings = pairs.collect();
    let grant = Arc::new(Refresher::new(SignedIn(settings.clone())));
    settings.with_grant(grant)
}

/// Keeps a refresh token where the settings have it.
struct SignedIn(Settings);

impl Keeper for SignedIn {
    fn read(&self) -> Result<Kept> {
        let sign_in = descriptor().sign_in.as_ref().unwrap();
        let refresh_token = self.0.given("refresh-token").unwrap().to_owned();
        Ok(Kept { client: sign_in.client("drive", &self.0), refresh_token })
    }

    fn replace(&self, _: &str, _: &str) -> Result<bool> {
        Err(Error::new(Kind::Protocol, "a refresh", "Google never replaces the token"))
    }
}

/// The place of an item in the root.
fn place<'a>(path: &'a str, entry: &'a Entry) -> Place<'a> {
    Place { path, id: &entry.print.id, folder: "" }
}

fn create(remote: &dyn Remote, name: &str, bytes: &[u8]) -> Result<Entry> {
    let content = Bytes::with(bytes, Flaw::None);
    let written =
        remote.write(Place::at(name), &content, SOME_TIME, Expect::Absent, &Notes::default());
    written.map(|written| written.entry)
}

fn write(remote: &dyn Remote, at: Place<'_>, bytes: &[u8], over: &Entry) -> Result<Written> {
    let content = Bytes::with(bytes, Flaw::None);
    let expect = Expect::Version(&over.print.version);
    remote.write(at, &content, SOME_TIME, expect, &Notes::default())
}

fn read(remote: &dyn Remote, at: Place<'_>, entry: &Entry) -> Result<Vec<u8>> {
    let mut download = remote.read(at, &entry.print.version, 0..u64::MAX)?;
    let mut bytes = Vec::new();
    download.reader.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

fn remove(remote: &dyn Remote, at: Place<'_>, kind: ItemKind, version: &Version) -> Result<()> {
    let mut results = Vec::new();
    remote.remove(&[Removal { place: at, kind, version }], &mut |_, result| results.push(result));
    results.pop().unwrap()
}

fn list(remote: &dyn Remote, folder: Place<'_>) -> Vec<(String, Entry)> {
    let mut all = Vec::new();
    let listed = remote.list(folder, &mut |name, entry| {
        all.push((name.to_string(), entry));
        Ok(())
    });
    listed.unwrap();
    all
}

/// All changes after a cursor, and where to go on.
fn changes(feed: &dyn Feed, cursor: &str) -> (Vec<Change>, String) {
    let (mut all, mut cursor) = (Vec::new(), cursor.to_string());
    loop {
        let page = feed.changes(Some(&cursor), &mut |change| {
            all.push(change);
            Ok(())
        });
        let page = page.unwrap();
        cursor = page.cursor;
        if !page.more {
            return (all, cursor);
        }
    }
}

/// The names of what is there.
fn told(changes: &[Change]) -> Vec<&str> {
    let names = changes.iter().filter_map(|change| match change {
        Change::There { spot: Spot::Child { name, .. }, .. } => Some(&**name),
        _ => None,
    });
    names.collect()
}

/// Refuses the next request that starts so, in Google's words.
fn refuse(peer: &FakePeer, start: &str, status: u16, reason: &str) {
    let errors = json!([{ "domain": "x", "reason": reason, "message": "Not now." }]);
    let body = json!({ "error": { "code": status, "message": "Not now.", "errors": errors } });
    peer.control("fault", json!({ "match": start, "status": status, "body": body }));
}

/// The requests since this was last asked that start so.
fn requests(peer: &FakePeer, start: &str) -> Vec<String> {
    let all = peer.control("requests", json!({}));
    let all = all.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
    all.filter(|line| line.starts_with(start)).collect()
}
