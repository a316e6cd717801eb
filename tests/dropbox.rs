//! The Dropbox adapter against a fake that checks each request against Dropbox's own description.

use crate::common::by_path::ByPath;
use crate::common::contract::{self, Breaks, Bytes, Flaw, Notes, Server, pattern};
use crate::common::peers::{FakePeer, new_dropbox};
use crate::common::program::{Answer, Home};
use mooring::content::Content;
use mooring::error::{Error, Kind, Result};
use mooring::hash::{Hash, HashKind, HashSum};
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::model::{ItemKind, Version};
use mooring::remote::{
    Change, Descriptor, Entry, Expect, Feed, Keeper, Kept, Page, Place, Refresher, Removal, Resume,
    Settings, Special, Spot,
};
use mooring::rules::{NameCheck, SkipReason};
use mooring::services;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// As in [`contract`].
const SOME_TIME: i64 = 1_600_000_000_000_000_000;
const MIB: usize = 1 << 20;
/// A file of more than this goes in a session, in parts of as much.
const PART: usize = 8 * MIB;

/// Keeps the contract where a page has so few entries that a folder takes several.
fn keeps_the_contract(peer: &FakePeer, space: &str, root: &str) {
    peer.control("page", json!({ "size": 40 }));
    let server = Server { many: 150, ..Server::of(descriptor()) };
    contract::run_on(open(peer, space, root).remote, descriptor(), &server);
}

#[test]
fn a_person_passes() {
    keeps_the_contract(&new_dropbox(), "member", "Some Folder/\u{dc}nder \u{1f600}");
}

#[test]
fn a_teams_member_passes_in_the_own_folder() {
    let peer = new_dropbox();
    peer.control("root", json!({ "team": true }));
    keeps_the_contract(&peer, "member", "");
}

#[test]
fn a_teams_member_passes_in_the_teams_space() {
    let peer = new_dropbox();
    peer.control("root", json!({ "team": true }));
    keeps_the_contract(&peer, "team", "Tester/contract");
}

/// Where a reply gets lost, the repeated request meets what the first one did.
#[test]
fn a_lost_reply_is_no_conflict() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let lose = |route: &str| {
        let fault = json!({ "match": format!("POST /2/files/{route}"), "lose_reply": true });
        peer.control("fault", fault);
    };
    lose("create_folder_v2");
    let folder = opened.remote.make_folder("folder").unwrap();
    assert_eq!(opened.stat("folder").unwrap().print, folder.print);

    lose("upload");
    let first = opened.create("file", b"first").unwrap();
    assert_eq!(opened.stat("file").unwrap(), first);
    lose("upload");
    let second = opened.replace("file", b"the second", &first).unwrap();
    assert_eq!(opened.stat("file").unwrap(), second);

    lose("copy_v2");
    let copied = opened.remote.copy("file", "copy", &second.print.version).unwrap();
    assert_eq!(opened.stat("copy").unwrap(), copied);
    lose("move_v2");
    let moved = opened.rename("copy", "folder/moved", &copied).unwrap();
    assert_eq!((opened.stat("folder/moved").unwrap(), opened.stat("copy")), (moved.clone(), None));
    lose("move_v2");
    opened.remote.rename("folder", "other", ItemKind::Folder, &Version::default()).unwrap();
    assert!(opened.stat("other/moved").is_some());

    lose("delete_v2");
    opened.remove("other/moved", &opened.stat("other/moved").unwrap()).unwrap();
    lose("delete_v2");
    opened.remove("other", &opened.stat("other").unwrap()).unwrap();
    assert_eq!(opened.names(""), ["file"]);

    let bytes = pattern(2 * PART + 5, 1);
    for (name, route) in [("one", "start"), ("two", "append_v2"), ("three", "finish")] {
        lose(&format!("upload_session/{route}"));
        let entry = opened.create(name, &bytes).unwrap();
        assert_eq!(opened.stat(name).unwrap(), entry, "after a lost {route}");
        assert_eq!(entry.hash, Some(hash_of(&bytes)));
    }
}

/// What somebody else wrote between two attempts isn't taken for ours.
#[test]
fn a_repeated_request_that_meets_something_else_is_a_conflict() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let first = opened.create("file", b"first").unwrap();
    // Not carried out, but as far as the adapter knows it might have been.
    let fault = json!({ "match": "POST /2/files/upload", "cut_request": 0, "times": 2 });
    peer.control("fault", fault.clone());
    assert_eq!(opened.create("file", b"other").unwrap_err().kind(), Kind::Exists);
    peer.control("fault", fault);
    peer.control("put", json!({ "path": "/file", "text": "theirs" }));
    assert_eq!(opened.replace("file", b"ours", &first).unwrap_err().kind(), Kind::Changed);
    assert_eq!(opened.read("file"), b"theirs");
}

#[test]
fn a_large_upload_goes_on_where_it_stopped() {
    let peer = new_dropbox();
    let bytes = pattern(3 * PART + 5, 9);
    let content = Breaks::at(&bytes, 2 * PART);
    let notes = Notes::default();
    let write =
        |opened: &Opened| opened.remote.write("large", &content, SOME_TIME, Expect::Absent, &notes);
    assert_eq!(write(&open(&peer, "member", "")).unwrap_err().kind(), Kind::Cancelled);
    assert!(notes.load().is_some());

    content.broken.store(false, SeqCst);
    let opened = open(&peer, "member", "");
    let entry = write(&opened).unwrap();
    let sent = opened.http.counters().bytes_up.load(SeqCst) as usize;
    assert!((PART + 5..PART + 4096).contains(&sent), "sent {sent} bytes");
    assert_eq!((entry.hash, entry.print.mtime), (Some(hash_of(&bytes)), Some(SOME_TIME)));
    assert_eq!(opened.stat("large").unwrap(), entry);
}

#[test]
fn a_large_upload_begins_anew_when_its_session_is_lost() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let bytes = pattern(2 * PART + 5, 9);
    let content = Breaks::at(&bytes, PART);
    let notes = Notes::default();
    let write = || opened.remote.write("large", &content, SOME_TIME, Expect::Absent, &notes);
    assert_eq!(write().unwrap_err().kind(), Kind::Cancelled);
    peer.control("drop_sessions", json!({}));
    content.broken.store(false, SeqCst);
    assert_eq!(write().unwrap().hash, Some(hash_of(&bytes)));

    // In the midst of it, and at its end.
    for (name, route, error) in [
        ("a", "append_v2", json!({ ".tag": "not_found" })),
        ("b", "append_v2", json!({ ".tag": "closed" })),
        (
            "c",
            "finish",
            json!({ ".tag": "lookup_failed", "lookup_failed": { ".tag": "not_found" } }),
        ),
    ] {
        refuse(&peer, &format!("upload_session/{route}"), 1, 409, error);
        let written = opened.create(name, &bytes);
        if route == "finish" {
            // Only the second of them is refused.
            assert!(written.is_ok());
        }
        assert_eq!(opened.create(&format!("{name}2"), &bytes).unwrap().hash, Some(hash_of(&bytes)));
    }
    // A note that is none of ours, and one of a session that never was.
    for note in [&b"nonsense"[..], b"", &[5, 3, b'a', b'b', b'c']] {
        let notes = Notes::default();
        notes.save(note).unwrap();
        let name = format!("noted {}", note.len());
        let content = Bytes::with(&bytes, Flaw::None);
        opened.remote.write(&name, &content, SOME_TIME, Expect::Absent, &notes).unwrap();
    }
}

#[test]
fn a_session_that_is_elsewhere_is_gone_on_with_or_given_up() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let bytes = pattern(2 * PART + 5, 9);
    for (number, offset) in [0, 7, 4 << 20, 1_u64 << 40].into_iter().enumerate() {
        let error = json!({ ".tag": "incorrect_offset", "correct_offset": offset });
        refuse(&peer, "upload_session/append_v2", 1, 409, error);
        let entry = opened.create(&format!("large {number}"), &bytes).unwrap();
        assert_eq!(entry.hash, Some(hash_of(&bytes)));
    }
    let error = json!({ ".tag": "incorrect_offset", "correct_offset": 0 });
    for _ in 0..100 {
        refuse(&peer, "upload_session/append_v2", 0, 409, error.clone());
    }
    assert_eq!(opened.create("never", &bytes).unwrap_err().kind(), Kind::Protocol);
    peer.control("clear", json!({}));
    assert_eq!(opened.stat("never"), None);
}

#[test]
fn bytes_that_arrive_otherwise_are_told() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let entry = opened.create("file", b"some bytes").unwrap();
    assert_eq!(entry.hash, Some(hash_of(b"some bytes")));
    peer.control("fault", json!({ "match": "POST /2/files/download", "corrupt": true }));
    let mut download = opened.remote.read("file", &entry.print.version, 0..u64::MAX).unwrap();
    let mut bytes = Vec::new();
    download.reader.read_to_end(&mut bytes).unwrap();
    // Whoever reads it compares them.
    assert_ne!(download.entry.hash, Some(hash_of(&bytes)));
    peer.control("fault", json!({ "match": "POST /2/files/download", "cut_reply": 3 }));
    let mut download = opened.remote.read("file", &entry.print.version, 0..u64::MAX).unwrap();
    assert!(download.reader.read_to_end(&mut bytes).is_err());

    // Dropbox refuses what isn't what it was told to expect.
    let error = json!({ ".tag": "content_hash_mismatch" });
    refuse(&peer, "upload", 0, 409, error.clone());
    assert_eq!(opened.create("new", b"x").unwrap_err().kind(), Kind::Integrity);
    refuse(&peer, "upload_session/append_v2", 0, 409, error);
    let large = pattern(PART + 1, 2);
    assert_eq!(opened.create("new", &large).unwrap_err().kind(), Kind::Integrity);
    assert_eq!(opened.stat("new"), None);
}

#[test]
fn a_busy_dropbox_is_waited_for() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let reason = "too_many_write_operations";
    for route in ["upload", "create_folder_v2", "delete_v2"] {
        let busy = json!({ "match": format!("POST /2/files/{route}"), "reason": reason });
        peer.control("busy", busy);
    }
    let entry = opened.create("file", b"bytes").unwrap();
    opened.remote.make_folder("folder").unwrap();
    opened.remove("file", &entry).unwrap();
    // The same as an error of the call.
    let tags = json!({ ".tag": "path", "path": { ".tag": reason } });
    refuse(&peer, "create_folder_v2", 0, 409, tags);
    opened.remote.make_folder("other").unwrap();
    assert_eq!(opened.names(""), ["folder", "other"]);
    let long = json!({ "match": "POST /2/files/get_metadata", "seconds": 300 });
    peer.control("busy", long);
    let error = opened.remote.stat("folder", ItemKind::Folder).unwrap_err();
    assert_eq!((error.kind(), error.wait()), (Kind::Busy, Some(Duration::from_secs(300))));
}

#[test]
fn an_expired_token_is_renewed_and_a_revoked_one_told() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let bytes = pattern(2 * PART, 9);
    let content = Bytes::with(&bytes, Flaw::None);
    let write = |name: &str, content: &dyn Content, notes: &Notes| {
        opened.remote.write(name, content, SOME_TIME, Expect::Absent, notes)
    };
    let peer = &peer;
    let when_sent = |what: &'static str| Meanwhile {
        content: &content,
        from: PART,
        reads: AtomicUsize::new(0),
        act: move || peer.control(what, json!({})),
    };
    write("expired", &when_sent("expire"), &Notes::default()).unwrap();

    let notes = Notes::default();
    let error = write("revoked", &when_sent("revoke"), &notes).unwrap_err();
    assert_eq!(error.kind(), Kind::SignIn, "{error}");
    peer.control("grant", json!({}));
    write("revoked", &content, &notes).unwrap();
    assert_eq!(opened.stat("revoked").unwrap().hash, Some(hash_of(&bytes)));

    let missing = json!({ ".tag": "missing_scope", "required_scope": "files.content.write" });
    for _ in 0..2 {
        refuse(peer, "upload", 0, 401, missing.clone());
    }
    let error = opened.create("file", b"").unwrap_err();
    assert_eq!(error.kind(), Kind::SignIn);
    assert!(error.advice().contains("files.content.write"), "{error}");
}

#[test]
fn the_feed_tells_what_changed() {
    let peer = new_dropbox();
    for path in ["/Root/Deep/one", "/Root/two", "/elsewhere/three"] {
        peer.control("put", json!({ "path": path, "text": path }));
    }
    let opened = open(&peer, "member", "root");
    peer.control("page", json!({ "size": 1 }));
    let (cursor, all) = opened.changes(None);
    assert_eq!(there(&all), ["Deep", "Deep/one", "two"]);
    assert_eq!(opened.changes(Some(&cursor)).1, []);

    // Names that take two units of UTF-16, in a page of their own.
    peer.control("put", json!({ "path": "/Root/deep/\u{1f600} \u{fc}", "text": "" }));
    peer.control("delete", json!({ "path": "/root/TWO" }));
    peer.control("put", json!({ "path": "/elsewhere/four", "text": "" }));
    peer.control("move", json!({ "path": "/elsewhere/three", "to": "/Root/three" }));
    let (cursor, news) = opened.changes(Some(&cursor));
    assert_eq!(there(&news), ["Deep/\u{1f600} \u{fc}", "three"]);
    assert!(news.contains(&Change::GonePath("two".into())), "{news:?}");
    let three = news.iter().find_map(|change| match change {
        Change::There { spot: Spot::Path(path), entry } if path == "three" => Some(entry.clone()),
        _ => None,
    });
    assert_eq!(opened.stat("three"), three);

    let now = opened.feed().now().unwrap();
    assert_eq!(opened.changes(Some(&now)).1, []);
    peer.control("delete", json!({ "path": "/Root/Deep" }));
    assert_eq!(opened.changes(Some(&now)).1, [Change::GonePath("Deep".into())]);

    peer.control("delete", json!({ "path": "/Root" }));
    for cursor in [Some(&*cursor), None] {
        let lost = opened.feed().changes(cursor, &mut |_| Ok(()));
        let lost = lost.map(|page| page.cursor);
        assert_eq!(lost.unwrap_err().kind(), Kind::RootLost);
    }
    assert_eq!(opened.feed().now().unwrap_err().kind(), Kind::RootLost);
}

#[test]
fn a_cursor_that_is_not_known_any_more_is_told() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let now = opened.feed().now().unwrap();
    peer.control("reset", json!({}));
    let second = Duration::from_secs(1);
    for cursor in [&*now, "", "nonsense", "\u{1f600}\""] {
        let error = opened.feed().changes(Some(cursor), &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{cursor}: {error}");
        let error = opened.feed().wait(cursor, second).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{cursor}: {error}");
    }
}

#[test]
fn changes_are_waited_for() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let wait = |opened: &Opened, cursor: &str| opened.feed().wait(cursor, Duration::from_secs(300));
    let cursor = opened.feed().now().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&opened, &cursor));
        await_request(&peer, "POST /2/files/list_folder/longpoll");
        peer.control("put", json!({ "path": "/file", "text": "" }));
        assert!(waiting.join().unwrap().unwrap());
    });
    // What changed before is told at once, with a pause to make from then on.
    peer.control("backoff", json!({ "seconds": 60 }));
    assert!(wait(&opened, &cursor).unwrap());
    let error = wait(&opened, &cursor).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.wait().unwrap() > Duration::from_secs(30), "{error:?}");
}

#[test]
fn waiting_ends_when_nothing_changes_and_when_it_is_cancelled() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let cursor = opened.feed().now().unwrap();
    thread::scope(|scope| {
        let quiet = scope.spawn(|| opened.feed().wait(&cursor, Duration::ZERO));
        let other = open(&peer, "member", "");
        await_request(&peer, "POST /2/files/list_folder/longpoll");
        let cancelled = scope.spawn({
            let (remote, cursor) = (other.remote, cursor.clone());
            move || remote.feed().unwrap().wait(&cursor, Duration::from_secs(480))
        });
        await_request(&peer, "POST /2/files/list_folder/longpoll");
        other.cancel.cancel();
        assert_eq!(cancelled.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
        assert!(!quiet.join().unwrap().unwrap());
    });
}

#[test]
fn of_names_that_differ_in_case_one_can_be_there() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let entry = opened.create("A.txt", b"there").unwrap();
    opened.remote.make_folder("Folder").unwrap();
    assert_eq!((opened.stat("a.txt"), opened.stat("folder")), (None, None));
    let other = opened.create("other", b"other").unwrap();
    let large = pattern(PART + 1, 1);
    for (what, error) in [
        ("create", opened.create("a.txt", b"here").unwrap_err()),
        ("create with the same content", opened.create("a.txt", b"there").unwrap_err()),
        ("create of a large file", opened.create("a.TXT", &large).unwrap_err()),
        ("create over a folder", opened.create("FOLDER", b"here").unwrap_err()),
        ("folder", opened.remote.make_folder("folder").unwrap_err()),
        ("rename", opened.rename("other", "a.txt", &other).unwrap_err()),
        ("copy", opened.remote.copy("other", "a.txt", &other.print.version).unwrap_err()),
    ] {
        assert_eq!(error.kind(), Kind::NameTaken, "{what}: {error}");
        let named = error.reason().contains("'A.txt'") || error.reason().contains("'Folder'");
        assert!(named && error.advice() == "rename one of them", "{what}: {error}");
    }
    // Whatever the case of the folders above.
    opened.create("fOLDER/in it", b"").unwrap();
    assert_eq!(opened.names("Folder"), ["in it"]);
    // Who has the id means that item, though somebody renamed only its case, which nobody tells.
    peer.control("move", json!({ "path": "/A.txt", "to": "/a.TXT" }));
    let place = Place { path: "A.txt", id: &entry.print.id, folder: "" };
    let told = (*opened.remote).stat(place, ItemKind::File).unwrap().unwrap();
    assert_eq!(told.print.id, entry.print.id);
    assert_eq!(opened.read("a.TXT"), b"there");
}

#[test]
fn the_case_of_a_name_can_be_changed() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "root");
    opened.remote.make_folder("").unwrap();
    opened.remote.make_folder("Folder").unwrap();
    let mut entry = opened.create("Folder/file", b"bytes").unwrap();
    for (name, lost) in [("FILE", None), ("File", Some(0)), ("fILE", Some(1))] {
        let from = opened.names("Folder").remove(0);
        if let Some(after) = lost {
            let route = "POST /2/files/move_v2";
            peer.control("fault", json!({ "match": route, "after": after, "lose_reply": true }));
        }
        let moved = opened.rename(&format!("Folder/{from}"), &format!("Folder/{name}"), &entry);
        entry = moved.unwrap();
        assert_eq!(opened.names("Folder"), [name]);
        assert_eq!(opened.stat(&format!("Folder/{name}")).unwrap(), entry);
    }
    opened.remote.rename("Folder", "FOLDER", ItemKind::Folder, &Version::default()).unwrap();
    assert_eq!(opened.names(""), ["FOLDER"]);

    // The first of both moves was done when everything ended.
    let folder = opened.stat("FOLDER").unwrap();
    let rename = || {
        let from = Place { path: "FOLDER", id: &folder.print.id, folder: "" };
        let to = Place::at("folder");
        (*opened.remote).rename(from, to, ItemKind::Folder, &Version::default())
    };
    let body = json!({ "error_summary": "", "error": { ".tag": "user_suspended" } });
    let mut fault = json!({ "match": "POST /2/files/move_v2", "status": 401, "body": body });
    // The second move, and once more with another token.
    fault["after"] = 1.into();
    fault["times"] = 2.into();
    peer.control("fault", fault);
    assert_eq!(rename().unwrap_err().kind(), Kind::SignIn);
    assert_ne!(opened.names(""), ["FOLDER"]);
    rename().unwrap();
    assert_eq!(opened.names(""), ["folder"]);
    assert_eq!(opened.read("folder/fILE"), b"bytes");
}

#[test]
fn names_that_dropbox_does_not_take_are_left_out() {
    let names = NameCheck::new(descriptor(), "");
    let skip = |name: &str, kind| names.check(name, kind);
    for name in [".dropbox", ".dropbox.attr", "a.DropBox.b", "x.dropboxignore", "ends with "] {
        for kind in [ItemKind::File, ItemKind::Folder] {
            assert_eq!(skip(name, kind), Some(SkipReason::ServiceName), "{name}");
        }
    }
    assert_eq!(skip(".Cache-1", ItemKind::File), Some(SkipReason::ServiceName));
    for (name, kind) in [
        (".cache", ItemKind::Folder),
        ("a.cache", ItemKind::File),
        (" begins with", ItemKind::File),
        ("dropbox", ItemKind::File),
        ("ends with.", ItemKind::File),
    ] {
        assert_eq!(skip(name, kind), None, "{name}");
    }
    let too_large = names.check_size(2_199_019_061_249);
    assert_eq!(too_large, Some(SkipReason::TooLarge));

    // What gets as far as Dropbox is skipped as well.
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let entry = opened.create("file", b"").unwrap();
    for name in ["desktop.ini", "ends with ", "a\\b", &"x".repeat(256)] {
        let bad = |error: Error| assert_eq!(error.kind(), Kind::BadName, "{name}: {error}");
        bad(opened.create(name, b"").unwrap_err());
        bad(opened.remote.make_folder(name).unwrap_err());
        bad(opened.rename("file", name, &entry).unwrap_err());
    }
}

#[test]
fn what_cannot_be_synced_is_told_as_such() {
    let peer = new_dropbox();
    for kind in ["paper", "symlink", "read_only", "no_access", "traverse_only"] {
        peer.control("special", json!({ "path": format!("/root/{kind}"), "kind": kind }));
    }
    let opened = open(&peer, "member", "root");
    let mut listed = BTreeMap::new();
    let mut note = |name: &str, entry: Entry| {
        listed.insert(name.to_owned(), (entry.kind, entry.special));
        Ok(())
    };
    opened.remote.list("", &mut note).unwrap();
    let (_, told) = opened.changes(None);
    for change in told {
        let Change::There { spot: Spot::Path(path), entry } = change else { panic!("{change:?}") };
        assert_eq!(listed[&path], (entry.kind, entry.special), "{path}");
    }
    let expected = [
        ("no_access", (ItemKind::Folder, Some(Special::Closed))),
        ("paper", (ItemKind::File, Some(Special::Document))),
        ("read_only", (ItemKind::Folder, None)),
        ("symlink", (ItemKind::File, Some(Special::Shortcut))),
        ("traverse_only", (ItemKind::Folder, None)),
    ];
    assert_eq!(listed, expected.map(|(name, entry)| (name.to_owned(), entry)).into());

    let error = opened.create("read_only/file", b"").unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    peer.control("quota", json!({ "bytes": 100 }));
    let error = opened.create("file", &[0; 1000]).unwrap_err();
    assert_eq!(error.kind(), Kind::QuotaFull, "{error}");
    let large = pattern(PART + 1, 1);
    assert_eq!(opened.create("file", &large).unwrap_err().kind(), Kind::QuotaFull);
}

#[test]
fn ten_thousand_files_are_listed_page_by_page() {
    let peer = new_dropbox();
    peer.control("many", json!({ "folder": "/big", "folders": 1, "files_each": 10_000 }));
    let opened = open(&peer, "member", "big");
    peer.control("requests", json!({}));
    let mut names = BTreeSet::new();
    let mut note = |name: &str, _| {
        assert!(names.insert(name.to_owned()), "{name} is told twice");
        Ok(())
    };
    // Not by way of the tests' own search for ids.
    (*opened.remote).list(Place::at("folder-0"), &mut note).unwrap();
    assert_eq!(names.len(), 10_000);
    // One more is for the token.
    assert_eq!(peer.control("requests", json!({})).as_array().unwrap().len(), 5 + 1);
    assert_eq!(opened.changes(None).1.len(), 10_001);
}

#[test]
fn each_call_takes_few_requests() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    opened.remote.make_folder("folder").unwrap();
    let requests = |call: &mut dyn FnMut()| {
        peer.control("requests", json!({}));
        call();
        peer.control("requests", json!({})).as_array().unwrap().len()
    };
    // Not by way of the tests' own search for ids.
    let remote = &*opened.remote;
    let write = |path: &str, bytes: &[u8], expect| {
        let content = Bytes::with(bytes, Flaw::None);
        let written = remote.write(Place::at(path), &content, SOME_TIME, expect, &Notes::default());
        written.unwrap().entry
    };
    let mut entry = write("elsewhere", b"", Expect::Absent);
    let mut create = |name: &str| entry = write(name, b"1", Expect::Absent);
    assert_eq!(requests(&mut || create("folder/one")), 1);
    assert_eq!(requests(&mut || create("folder/two")), 1);
    let version = entry.print.version.clone();
    let mut update = || entry = write("folder/two", b"2", Expect::Version(&version));
    assert_eq!(requests(&mut update), 2);
    let version = &entry.print.version;
    let place = Place::at("folder/two");
    assert_eq!(requests(&mut || drop(remote.read(place, version, 0..u64::MAX).unwrap())), 1);
    let mut remove = || {
        let removal = Removal { place, kind: ItemKind::File, version };
        remote.remove(&[removal], &mut |_, result| result.unwrap());
    };
    assert_eq!(requests(&mut remove), 2);
    let cursor = opened.feed().now().unwrap();
    assert_eq!(requests(&mut || drop(opened.changes(Some(&cursor)))), 1);
}

#[test]
fn a_root_is_known_by_its_id() {
    let peer = new_dropbox();
    let id = |space: &str, root: &str| {
        let root = open(&peer, space, root).remote.stat("", ItemKind::Folder).unwrap();
        root.map(|entry| entry.print.id)
    };
    assert_eq!(id("member", "missing"), None);
    assert_eq!(id("member", ""), id("team", ""));
    let folder = open(&peer, "member", "a/b").remote.make_folder("").unwrap();
    assert_eq!(id("member", "A/b").as_ref(), Some(&folder.print.id));
    let alone = id("member", "");
    peer.control("root", json!({ "team": true }));
    assert_eq!(id("member", ""), alone);
    assert_ne!(id("team", ""), alone);
    assert_eq!(id("team", "Tester/a/b"), Some(folder.print.id));
    open(&peer, "member", "a/b").remote.test().unwrap();
    open(&peer, "team", "").remote.test().unwrap();
    peer.control("put", json!({ "path": "/Tester/file", "text": "" }));
    for root in ["missing", "file"] {
        let error = open(&peer, "member", root).remote.test().unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{root}: {error}");
    }
}

/// A team's space that got another id is gone on with only where the root is the same.
#[test]
fn a_teams_space_that_is_another_one_is_noticed() {
    let peer = new_dropbox();
    peer.control("root", json!({ "team": true }));
    let whole = open(&peer, "team", "");
    let folder = open(&peer, "team", "Tester/folder");
    folder.remote.make_folder("").unwrap();
    whole.remote.stat("", ItemKind::Folder).unwrap();
    let cursor = folder.feed().now().unwrap();
    peer.control("root", json!({ "team": true, "stale": true }));
    folder.create("file", b"bytes").unwrap();
    // Cursors end with the space they are of.
    let error = folder.feed().changes(Some(&cursor), &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert_eq!(there(&folder.changes(None).1), ["file"]);
    for _ in 0..2 {
        let error = whole.remote.list("", &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost, "{error}");
    }
    // Out of the team, the same path is another place.
    peer.control("root", json!({ "team": false }));
    let error = folder.remote.list("", &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::RootLost, "{error}");
}

#[test]
fn what_is_no_dropbox_is_told() {
    let peer = new_dropbox();
    let opened = open(&peer, "member", "");
    let entry = opened.create("file", b"bytes").unwrap();
    for (status, body) in [
        (200, json!("<html>")),
        (200, json!({})),
        (404, json!("")),
        (409, json!("x")),
        (302, json!("")),
    ] {
        let kind =
            |error: Error| assert_eq!(error.kind(), Kind::Protocol, "{status} {body}: {error}");
        let answer = || {
            let fault = json!({ "match": "POST /2/", "status": status, "body": body, "times": 1 });
            peer.control("fault", fault);
        };
        answer();
        kind(opened.remote.list("", &mut |_, _| Ok(())).unwrap_err());
        answer();
        let place = Place::at("file");
        kind((*opened.remote).stat(place, ItemKind::File).unwrap_err());
        answer();
        kind(
            (*opened.remote).read(place, &entry.print.version, 0..u64::MAX).map(drop).unwrap_err(),
        );
        answer();
        kind(opened.feed().now().unwrap_err());
    }
}

fn descriptor() -> &'static Descriptor {
    services::find("dropbox").unwrap().descriptor()
}

/// Keeps the refresh token of the tests.
struct Signed {
    settings: Settings,
    token: String,
}

impl Keeper for Signed {
    fn read(&self) -> Result<Kept> {
        let sign_in = descriptor().sign_in.as_ref().unwrap();
        let client = sign_in.client("cloud", &self.settings);
        Ok(Kept { client, refresh_token: self.token.clone() })
    }

    fn replace(&self, _old: &str, _new: &str) -> Result<bool> {
        panic!("Dropbox keeps its refresh tokens")
    }
}

/// A folder of the fake, opened.
struct Opened {
    remote: ByPath,
    cancel: Cancel,
    http: Http,
}

fn open(peer: &FakePeer, space: &str, root: &str) -> Opened {
    let values = [("endpoint", &*peer.endpoint), ("space", space), ("client-id", &*peer.client_id)];
    let settings: Settings =
        values.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let keeper = Signed { settings: settings.clone(), token: peer.refresh_token.clone() };
    let settings = settings.with_grant(Arc::new(Refresher::new(keeper)));
    let cancel = Cancel::default();
    let http = Http::new(&HttpOptions::default(), cancel.clone()).unwrap();
    let service = services::find("dropbox").unwrap();
    let remote = ByPath::new(service.open(&settings, http.clone(), root).unwrap());
    Opened { remote, cancel, http }
}

impl Opened {
    fn feed(&self) -> &dyn Feed {
        self.remote.feed().unwrap()
    }

    fn stat(&self, path: &str) -> Option<Entry> {
        self.remote.stat(path, ItemKind::File).unwrap()
    }

    fn create(&self, path: &str, bytes: &[u8]) -> Result<Entry> {
        self.write(path, bytes, Expect::Absent)
    }

    fn replace(&self, path: &str, bytes: &[u8], old: &Entry) -> Result<Entry> {
        self.write(path, bytes, Expect::Version(&old.print.version))
    }

    fn write(&self, path: &str, bytes: &[u8], expect: Expect<'_>) -> Result<Entry> {
        let content = Bytes::with(bytes, Flaw::None);
        self.remote.write(path, &content, SOME_TIME, expect, &Notes::default())
    }

    fn read(&self, path: &str) -> Vec<u8> {
        let version = self.stat(path).unwrap().print.version;
        let mut bytes = Vec::new();
        let mut download = self.remote.read(path, &version, 0..u64::MAX).unwrap();
        download.reader.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn rename(&self, from: &str, to: &str, entry: &Entry) -> Result<Entry> {
        self.remote.rename(from, to, entry.kind, &entry.print.version)
    }

    fn remove(&self, path: &str, entry: &Entry) -> Result<()> {
        let mut removed = None;
        let place = Place::at(path);
        let removal = Removal { place, kind: entry.kind, version: &entry.print.version };
        self.remote.remove(&[removal], &mut |_, result| removed = Some(result));
        removed.unwrap()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut note = |name: &str, _| {
            names.push(name.to_owned());
            Ok(())
        };
        self.remote.list(folder, &mut note).unwrap();
        names.sort();
        names
    }

    /// Everything that is told from a cursor on, and where to go on.
    fn changes(&self, cursor: Option<&str>) -> (String, Vec<Change>) {
        let mut all = Vec::new();
        let mut cursor = cursor.map(str::to_owned);
        loop {
            let mut note = |change| {
                all.push(change);
                Ok(())
            };
            let Page { cursor: next, more } =
                self.feed().changes(cursor.as_deref(), &mut note).unwrap();
            if !more {
                return (next, all);
            }
            cursor = Some(next);
        }
    }
}

/// The paths of what is there, in their order.
fn there(changes: &[Change]) -> Vec<&str> {
    let mut paths: Vec<&str> = changes
        .iter()
        .filter_map(|change| match change {
            Change::There { spot: Spot::Path(path), .. } => Some(&**path),
            _ => None,
        })
        .collect();
    paths.sort_unstable();
    paths
}

fn hash_of(bytes: &[u8]) -> Hash {
    let mut sum = HashSum::new(HashKind::Blocks);
    sum.update(bytes);
    sum.finish()
}

/// Refuses one request for a route, after so many, with this error.
fn refuse(peer: &FakePeer, route: &str, after: u32, status: u16, error: Value) {
    let body = json!({ "error_summary": "a summary that nobody reads", "error": error });
    let line = format!("POST /2/files/{route}");
    peer.control("fault", json!({ "match": line, "after": after, "status": status, "body": body }));
}

/// Waits until such a request has come in.
fn await_request(peer: &FakePeer, line: &str) {
    for _ in 0..3000 {
        let requests = peer.control("requests", json!({}));
        if requests.as_array().unwrap().iter().any(|request| request == line) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody asked {line}");
}

/// A content that is read twice, to hash and to send it. Something happens when it is sent for the
/// first time from this byte on.
struct Meanwhile<'a, F> {
    content: &'a dyn Content,
    from: usize,
    reads: AtomicUsize,
    act: F,
}

impl<F: Fn() -> Value + Send + Sync> Content for Meanwhile<'_, F> {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if offset == self.from as u64 && self.reads.fetch_add(1, SeqCst) == 1 {
            (self.act)();
        }
        self.content.read_at(buffer, offset)
    }

    fn unchanged(&self) -> Result<()> {
        Ok(())
    }
}

/// The real program with a task between its local folder and a folder of the fake.
fn link(peer: &FakePeer, name: &str, root: &str) -> Home {
    let home = Home::new(name);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let endpoint = format!("endpoint={}", peer.endpoint);
    let client = format!("client-id={}", peer.client_id);
    let add = ["connection", "add", "cloud", "--service", "dropbox", "--set", &endpoint];
    let more = ["--set", &client, "--secret", "refresh-token=-"];
    Answer::of(home.start(&words(&[&add[..], &more].concat()), &peer.refresh_token)).ended(0);
    let local = home.local();
    let local = local.to_str().unwrap();
    let add = ["task", "add", "task", "--connection", "cloud", "--remote", root, "--local", local];
    Answer::of(home.start(&words(&add), "")).ended(0);
    home
}

/// What the fake has below a folder, as files with their size.
fn remote_files(peer: &FakePeer, root: &str) -> BTreeMap<String, u64> {
    let tree = peer.control("tree", json!({ "path": root }));
    let files = tree.as_object().unwrap().iter().filter(|(_, item)| !item.is_null());
    let name = |path: &str| path[root.len() + 1..].to_owned();
    files.map(|(path, item)| (name(path), item["size"].as_u64().unwrap())).collect()
}

fn local_files(home: &Home) -> BTreeMap<String, u64> {
    let name = |path: Vec<u8>| String::from_utf8(path).unwrap();
    home.files().into_iter().map(|(path, bytes)| (name(path), bytes.len() as u64)).collect()
}

#[test]
fn the_program_keeps_both_sides_the_same() {
    let peer = new_dropbox();
    peer.control("put", json!({ "path": "/root/theirs/deep/\u{1f600}", "text": "theirs" }));
    peer.control("put", json!({ "path": "/root/both", "text": "both" }));
    let home = link(&peer, "dropbox-same", "root");
    home.write("ours/deep/file", "ours");
    home.write("ours/large", pattern(PART + 5, 1));
    home.write("both", "both");
    home.sync().ended(0);
    let files = local_files(&home);
    assert_eq!(files, remote_files(&peer, "/root"));
    assert_eq!(files.len(), 4);

    // The token, the root and what changed.
    peer.control("requests", json!({}));
    home.sync().ended(0);
    assert_eq!(peer.control("requests", json!({})).as_array().unwrap().len(), 3);

    for order in ["delete-first", "add-first"] {
        peer.control("order", json!({ "order": order }));
        let to = format!("/root/moved {order}");
        let from =
            if order == "delete-first" { "/root/theirs" } else { "/root/moved delete-first" };
        peer.control("move", json!({ "path": from, "to": to }));
        peer.control("put", json!({ "path": format!("{to}/new"), "text": "new" }));
        fs::remove_file(home.local().join("both")).unwrap();
        home.write("both", format!("since {order}"));
        home.sync().ended(0);
        assert_eq!(local_files(&home), remote_files(&peer, "/root"), "{order}");
    }
    fs::rename(home.local().join("ours"), home.local().join("OURS")).unwrap();
    home.sync().ended(0);
    assert_eq!(local_files(&home), remote_files(&peer, "/root"));
    assert!(local_files(&home).contains_key("OURS/deep/file"));

    // A file in the place of a folder: that one isn't told to be gone.
    peer.control("put", json!({ "path": "/root/OURS", "text": "a file now" }));
    home.sync().ended(0);
    assert_eq!(local_files(&home), remote_files(&peer, "/root"));
    peer.control("make_folder", json!({ "path": "/root/both" }));
    peer.control("put", json!({ "path": "/root/both/file", "text": "in a folder now" }));
    home.sync().ended(0);
    assert_eq!(local_files(&home), remote_files(&peer, "/root"));

    peer.control("delete", json!({ "path": "/root" }));
    let before = local_files(&home);
    let answer = home.sync();
    assert_ne!(answer.code, Some(0), "{}", answer.text);
    assert_eq!(local_files(&home), before);
}

#[test]
fn of_two_local_names_that_differ_in_case_one_is_synced() {
    let peer = new_dropbox();
    let home = link(&peer, "dropbox-case", "root");
    home.write("A.txt", "upper");
    home.sync().ended(0);
    home.write("a.txt", "lower case");
    home.write("b/file", "in a folder");
    home.sync().said(&["a.txt", "'A.txt'", "rename one of them"]);
    let remote = BTreeMap::from([("A.txt".to_owned(), 5), ("b/file".to_owned(), 11)]);
    assert_eq!(remote_files(&peer, "/root"), remote);
    let local = local_files(&home);
    assert_eq!(local.len(), 3);
    home.write("A.txt", "upper, changed");
    home.sync();
    peer.control("put", json!({ "path": "/root/A.txt", "text": "upper, changed by them" }));
    home.sync();
    assert_eq!(fs::read_to_string(home.local().join("A.txt")).unwrap(), "upper, changed by them");
    assert_eq!(fs::read_to_string(home.local().join("a.txt")).unwrap(), "lower case");
    // Out of its way, the other one is synced.
    fs::rename(home.local().join("a.txt"), home.local().join("c.txt")).unwrap();
    home.sync().ended(0);
    assert_eq!(local_files(&home), remote_files(&peer, "/root"));
}

/// Dropbox writes letters with marks as one character, whatever it is told.
#[test]
fn names_that_dropbox_writes_otherwise_lose_nothing() {
    let peer = new_dropbox();
    let home = link(&peer, "dropbox-nfc", "root");
    home.write("cafe\u{301}", "bytes");
    home.write("cafe\u{301}s/deep/cafe\u{301}", "in a folder");
    // The second look finds them renamed, and follows on the disk.
    home.sync().ended(0).said(&["2 uploaded"]);
    home.sync().ended(0).said(&["3 moved"]);
    home.sync().ended(0).said(&["Nothing to do"]);
    assert_eq!(local_files(&home), remote_files(&peer, "/root"));
}
