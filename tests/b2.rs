//! The Backblaze B2 adapter, on the simulator that Backblaze's own library is tested with.

use crate::common::bench::TempFolder;
use crate::common::contract::{self, Bytes, Flaw, Notes, pattern};
use crate::common::opened::{self, InBucket, TIME};
use crate::common::peers::{B2Peer, b2, new_b2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mooring::content::Content;
use mooring::error::{Error, Kind, Result};
use mooring::hash::Hash;
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::model::{ItemKind, Version};
use mooring::remote::{Expect, Place, Removal, Resume, Written};
use mooring::services;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

/// Everything a key may be given that is of use here.
const ALL: [&str; 5] = ["listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles"];
/// More than two parts.
const LARGE: usize = (12 << 20) + 5;

type Opened<'a> = InBucket<'a, B2Peer>;

impl Opened<'_> {
    fn written(&self, path: &str, bytes: &[u8], expect: Expect<'_>) -> Result<Written> {
        let content = Bytes::with(bytes, Flaw::None);
        let place = Place::at(path);
        let remote: &dyn mooring::remote::Remote = &*self.remote;
        remote.write(place, &content, TIME, expect, &Notes::default())
    }

    /// Name, action and content of all versions, as B2 lists them.
    fn versions(&self) -> Vec<(String, String, Vec<u8>)> {
        let told = self.peer.control("versions", json!({ "bucket": self.bucket }));
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let rows = told.as_array().unwrap().iter();
        let bytes = |row: &Value| BASE64.decode(text(row, "base64")).unwrap();
        rows.map(|row| (text(row, "name"), text(row, "action"), bytes(row))).collect()
    }
}

fn open_with<'a>(
    peer: &'a B2Peer,
    bucket: &str,
    root: &str,
    (id, key): (&str, &str),
    more: &[(&str, &str)],
) -> Opened<'a> {
    let settings = [
        ("endpoint", peer.endpoint.as_str()),
        ("bucket", bucket),
        ("key-id", id),
        ("application-key", key),
        ("part-size", "5"),
    ];
    let options = HttpOptions { idle: Duration::from_secs(30), ..HttpOptions::default() };
    let opened = opened::Opened::new("b2", &[&settings, more].concat(), root, &options).unwrap();
    InBucket { opened, peer, bucket: bucket.into() }
}

/// The root of a new bucket.
fn open(peer: &B2Peer) -> Opened<'_> {
    open_with(peer, &peer.new_bucket(), "", (&peer.key_id, &peer.key), &[])
}

/// The same bucket by a key that may do only this.
fn open_by_key<'a>(
    opened: &Opened<'a>,
    root: &str,
    capabilities: &[&str],
    restriction: Value,
) -> Opened<'a> {
    let mut key = json!({ "capabilities": capabilities });
    key.as_object_mut().unwrap().extend(restriction.as_object().unwrap().clone());
    let key = opened.peer.control("key", key);
    let key = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    open_with(opened.peer, &opened.bucket, root, key, &[])
}

fn succeed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What comes after the API's version, or the kind of an upload.
fn call(line: &str) -> &str {
    let path = line.split(' ').nth(1).unwrap().split('?').next().unwrap();
    match path.strip_prefix("/b2api/v4/") {
        Some(call) => call,
        None => path.split('/').nth(1).unwrap(),
    }
}

#[test]
fn the_contract_is_kept() {
    let peer = b2();
    let key = (peer.key_id.as_str(), peer.key.as_str());
    let opened = open_with(peer, &peer.new_bucket(), "some/root é+", key, &[]);
    let descriptor = services::find("b2").unwrap().descriptor();
    contract::run(opened.remote, descriptor);
}

#[test]
fn clients_of_others_work_with_the_server() {
    let peer = b2();
    let bucket = peer.new_bucket();
    let folder = TempFolder::new();
    let (up, down) = (folder.path().join("up"), folder.path().join("down"));
    fs::create_dir_all(up.join("a/b")).unwrap();
    fs::write(up.join("large"), pattern(LARGE, 1)).unwrap();
    fs::write(up.join("nothing"), "").unwrap();
    fs::write(up.join("a/b/ü + %41 (x)"), "short").unwrap();
    let (up, down) = (up.to_str().unwrap(), down.to_str().unwrap());
    let rclone = |args: &[&str]| succeed(peer.rclone(args));
    let official = |args: &[&str]| succeed(peer.b2(folder.path(), args));

    let there = format!("peer:{bucket}/rclone");
    rclone(&["copy", up, &there]);
    rclone(&["check", up, &there]);
    rclone(&["check", "--download", up, &there]);
    rclone(&["moveto", &format!("{there}/nothing"), &format!("{there}/a/empty")]);
    rclone(&["deletefile", &format!("{there}/large")]);
    assert_eq!(rclone(&["lsf", "-R", "--files-only", &there]), "a/b/ü + %41 (x)\na/empty\n");

    let there = format!("b2://{bucket}/official");
    official(&["sync", "--quiet", "--no-progress", up, &there]);
    fs::create_dir(down).unwrap();
    official(&["sync", "--quiet", "--no-progress", &there, down]);
    assert!(fs::read(format!("{down}/large")).unwrap() == pattern(LARGE, 1));
    assert_eq!(fs::read_to_string(format!("{down}/a/b/ü + %41 (x)")).unwrap(), "short");
    official(&["file", "hide", &format!("{there}/large")]);
    assert!(!official(&["ls", "-r", &there]).contains("large"));
}

#[test]
fn others_and_we_read_each_others_times_and_hashes() {
    let opened = open(b2());
    let peer = opened.peer;
    let place = |name: &str| format!("peer:{}/{name}", opened.bucket);
    let version = opened.create("ours", b"ours").unwrap().print.version;
    opened.remote.copy("ours", "ours, copied", &version).unwrap();
    opened.create("ours, large", &pattern(LARGE, 1)).unwrap();
    let sums = succeed(peer.rclone(&["sha1sum", &place("")]));
    assert_eq!(sums.lines().filter(|line| line.split(' ').next().unwrap().len() == 40).count(), 3);
    let listed = succeed(peer.rclone(&["lsjson", &place("")]));
    assert_eq!(listed.matches("2020-09-13T12:26:40.123Z").count(), 3, "{listed}");

    let folder = TempFolder::new();
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500_000_000_250);
    for (name, bytes) in [("theirs", b"theirs".to_vec()), ("theirs, large", pattern(LARGE, 2))] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        succeed(peer.rclone(&["copyto", file.to_str().unwrap(), &place(name)]));
        let entry = opened.stat(name).unwrap();
        assert_eq!(entry.print.mtime, Some(1_500_000_000_250_000_000), "{name}");
        assert!(matches!(entry.hash, Some(Hash::Sha1(_))), "{name}");
        let download = opened.remote.read(name, &entry.print.version, 1..3).unwrap();
        assert_eq!(download.entry, entry, "{name}");
    }
}

#[test]
fn a_hash_that_nobody_vouches_for_is_none() {
    let opened = open(b2());
    let sum = "a9993e364706816aba3e25717850c26c9cd0d89d";
    let large = json!({ "large_file_sha1": sum });
    for (name, sha1, info, known) in [
        ("checked", sum, json!({}), true),
        ("large", "none", large.clone(), true),
        ("large, by others", "none", json!({}), false),
        ("unverified", &format!("unverified:{sum}"), large, false),
        ("nonsense", "none", json!({ "large_file_sha1": "xyz" }), false),
    ] {
        let base64 = BASE64.encode("abc");
        opened.put(name, json!({ "base64": base64, "sha1": sha1, "info": info }));
        let entry = opened.stat(name).unwrap();
        assert_eq!(entry.hash.is_some(), known, "{name}");
        assert_eq!(entry.print.mtime, None, "{name}");
        assert_eq!(opened.content(name), b"abc", "{name}");
    }
}

/// A content that somebody asks to stop with when all of it has been sent for the first time.
struct Breaks<'a> {
    bytes: &'a [u8],
    summed: &'a AtomicBool,
}

impl Content for Breaks<'_> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        Bytes::with(self.bytes, Flaw::None).read_at(buffer, offset)
    }

    fn unchanged(&self) -> Result<()> {
        // Asked after the sums are taken, and when all parts are there.
        if self.summed.swap(true, SeqCst) { Err(Error::cancelled()) } else { Ok(()) }
    }
}

#[test]
fn an_upload_goes_on_where_it_stopped() {
    let opened = open(b2());
    let unfinished = || opened.peer.control("unfinished", json!({ "bucket": opened.bucket }));
    let bytes = pattern(LARGE, 9);
    let notes = Notes::default();
    let stops = AtomicBool::new(false);
    let breaks = Breaks { bytes: &bytes, summed: &stops };
    let whole = Bytes::with(&bytes, Flaw::None);
    let write = |content: &dyn Content, expect: Expect<'_>| {
        opened.remote.write("large", content, TIME, expect, &notes)
    };

    assert_eq!(write(&breaks, Expect::Absent).unwrap_err().kind(), Kind::Cancelled);
    assert_eq!(unfinished(), json!(["large"]));
    assert_eq!(opened.told().unwrap(), [""; 0]);
    let before = opened.bytes_up();
    let entry = write(&whole, Expect::Absent).unwrap();
    assert!(opened.bytes_up() - before < 1 << 20, "parts were sent again");
    assert!(opened.content("large") == bytes);
    assert_eq!(unfinished(), json!([]));

    // The note is of an upload that is finished: the next one begins anew.
    let over = Expect::Version(&entry.print.version);
    let second = write(&whole, over).unwrap();
    assert_eq!(opened.stat("large").unwrap(), second);

    // What was begun before its place was taken would lie beneath what is there.
    stops.store(false, SeqCst);
    let notes = Notes::default();
    let write = |content: &dyn Content, expect: Expect<'_>| {
        opened.remote.write("other", content, TIME, expect, &notes)
    };
    assert_eq!(write(&breaks, Expect::Absent).unwrap_err().kind(), Kind::Cancelled);
    let theirs = opened.create("other", b"theirs").unwrap();
    let ours = write(&whole, Expect::Version(&theirs.print.version)).unwrap();
    assert_eq!(opened.stat("other").unwrap(), ours);
    assert_eq!(unfinished(), json!([]));
}

#[test]
fn an_upload_that_nobody_will_finish_is_dropped() {
    let opened = open(b2());
    let unfinished = || opened.peer.control("unfinished", json!({ "bucket": opened.bucket }));
    let bytes = pattern(LARGE, 9);
    let (notes, stops) = (Notes::default(), AtomicBool::new(false));
    let breaks = Breaks { bytes: &bytes, summed: &stops };
    opened.remote.write("large", &breaks, TIME, Expect::Absent, &notes).unwrap_err();
    assert_eq!(unfinished(), json!(["large"]));
    opened.remote.abandon(&notes.load().unwrap()).unwrap();
    assert_eq!(unfinished(), json!([]));
    opened.remote.abandon(&notes.load().unwrap()).unwrap();
    opened.remote.abandon(b"not a note").unwrap();
    let changes = Bytes::with(&bytes, Flaw::Changes);
    opened.remote.write("large", &changes, TIME, Expect::Absent, &notes).unwrap_err();
    assert_eq!(unfinished(), json!([]));
}

#[test]
fn an_address_for_uploads_is_kept_until_it_fails() {
    let peer = new_b2();
    let opened = open(&peer);
    opened.create("first", b"1").unwrap();
    let asked = || opened.asked().iter().map(|line| call(line).to_owned()).collect::<Vec<_>>();
    let names = "b2_list_file_names";
    let (url, versions) = ("b2_get_upload_url", "b2_list_file_versions");
    assert_eq!(
        asked(),
        ["b2_authorize_account", "b2_list_buckets", names, url, "upload", versions]
    );
    opened.create("second", b"2").unwrap();
    assert_eq!(asked(), [names, "upload", versions]);
    for fault in [
        json!({ "match": "POST /upload/", "status": 503, "headers": { "Retry-After": "0" } }),
        json!({ "match": "POST /upload/", "status": 408 }),
        json!({ "match": "POST /upload/", "cut_request": 1 }),
        json!({
            "match": "POST /upload/", "status": 401,
            "body": { "status": 401, "code": "expired_auth_token", "message": "secret" },
        }),
    ] {
        let name = fault.to_string();
        opened.fault(fault);
        opened.create(&name.replace('/', ""), b"3").unwrap();
        assert_eq!(asked(), [names, "upload", url, "upload", versions], "{name}");
    }
    opened.fault(json!({ "match": "POST /upload-part/", "status": 503, "times": 2 }));
    opened.create("large", &pattern(LARGE, 3)).unwrap();
    assert!(opened.content("large") == pattern(LARGE, 3));
    let parts = asked().iter().filter(|call| *call == "upload-part").count();
    assert_eq!(parts, 3 + 2);
}

#[test]
fn a_token_that_ends_is_renewed() {
    let peer = new_b2();
    let opened = open(&peer);
    let entry = opened.create("file", b"bytes").unwrap();
    let expire = || drop(opened.peer.control("expire", json!({})));
    expire();
    assert_eq!(opened.told().unwrap(), ["file"]);
    expire();
    let mut download = opened.remote.read("file", &entry.print.version, 0..u64::MAX).unwrap();
    download.reader.read_to_end(&mut Vec::new()).unwrap();
    expire();
    opened.create("other", b"bytes").unwrap();
    expire();
    opened.remove("file", ItemKind::File, &entry.print.version).unwrap();
    opened.asked();
    expire();
    assert_eq!(opened.told().unwrap(), ["other"]);
    let asked = opened.asked();
    let signed_in = asked.iter().filter(|line| call(line) == "b2_authorize_account").count();
    assert_eq!(signed_in, 1, "{asked:?}");
}

#[test]
fn a_reply_that_is_lost_makes_no_conflict() {
    let peer = new_b2();
    let opened = open(&peer);
    for lost in ["/upload/", "/b2api/v4/b2_finish_large_file", "/b2api/v4/b2_hide_file"] {
        let size = if lost.contains("finish") { LARGE } else { 5 };
        opened.fault(json!({ "match": format!("POST {lost}"), "lose_reply": true }));
        let written = opened.written("file", &pattern(size, 4), Expect::Absent).unwrap();
        assert!(!written.overtook, "{lost}");
        assert_eq!(opened.stat("file").unwrap(), written.entry, "{lost}");
        opened.remove("file", ItemKind::File, &written.entry.print.version).unwrap();
        assert_eq!(opened.stat("file"), None, "{lost}");
    }
}

#[test]
fn what_somebody_else_writes_in_between_is_on_top_again() {
    let peer = new_b2();
    let opened = open(&peer);
    let small: &[u8] = b"ours";
    let large = pattern(LARGE, 5);
    for (at, bytes) in [("/upload/", small), ("/b2api/v4/b2_finish_large_file", &large)] {
        opened.race(&format!("POST {at}"), &format!("new {}", bytes.len()), b"theirs");
        let created = opened.create(&format!("new {}", bytes.len()), bytes);
        assert_eq!(created.unwrap_err().kind(), Kind::Exists, "{at}");
        assert_eq!(opened.content(&format!("new {}", bytes.len())), b"theirs", "{at}");

        let name = format!("old {}", bytes.len());
        let old = opened.create(&name, b"old").unwrap();
        opened.race(&format!("POST {at}"), &name, b"theirs");
        let over = opened.write(&name, bytes, Expect::Version(&old.print.version));
        assert_eq!(over.unwrap_err().kind(), Kind::Changed, "{at}");
        assert_eq!(opened.content(&name), b"theirs", "{at}");
    }
    assert!(!opened.versions().iter().any(|(.., bytes)| bytes == small || *bytes == large));

    let file = opened.create("removed", b"ours").unwrap();
    opened.race("POST /b2api/v4/b2_hide_file", "removed", b"theirs");
    let removed = opened.remove("removed", ItemKind::File, &file.print.version);
    assert_eq!(removed.unwrap_err().kind(), Kind::Changed);
    assert_eq!(opened.content("removed"), b"theirs");

    let file = opened.create("hidden", b"ours").unwrap();
    opened.race("POST /b2api/v4/b2_hide_file", "hidden", b"theirs");
    opened.fault(json!({ "match": "POST /b2api/v4/b2_hide_file", "lose_reply": true }));
    let removed = opened.remove("hidden", ItemKind::File, &file.print.version);
    assert_eq!(removed.unwrap_err().kind(), Kind::Changed);
    assert_eq!(opened.content("hidden"), b"theirs");

    let file = opened.create("copied", b"ours").unwrap();
    opened.race("POST /b2api/v4/b2_copy_file", "to", b"theirs");
    let copied = opened.remote.copy("copied", "to", &file.print.version);
    assert_eq!(copied.unwrap_err().kind(), Kind::Exists);
    assert_eq!(opened.content("to"), b"theirs");

    let file = opened.create("moved", b"ours").unwrap();
    opened.race("POST /b2api/v4/b2_hide_file", "moved", b"theirs");
    let moved = opened.remote.rename("moved", "there", ItemKind::File, &file.print.version);
    assert_eq!(moved.unwrap_err().kind(), Kind::Changed);
    assert_eq!((opened.content("moved"), opened.stat("there")), (b"theirs".into(), None));
}

#[test]
fn a_key_that_may_not_delete_loses_nothing_either() {
    let peer = new_b2();
    let all = open(&peer);
    let opened = open_by_key(&all, "", &ALL[..4], json!({ "bucket": all.bucket }));
    opened.race("POST /upload/", "new", b"theirs");
    assert!(opened.written("new", b"ours", Expect::Absent).unwrap().overtook);
    assert_eq!(opened.content("new"), b"ours");
    assert!(opened.versions().iter().any(|(.., bytes)| bytes == b"theirs"));

    let file = opened.create("removed", b"ours").unwrap();
    opened.race("POST /b2api/v4/b2_hide_file", "removed", b"theirs");
    let removed = opened.remove("removed", ItemKind::File, &file.print.version);
    assert_eq!(removed.unwrap_err().kind(), Kind::Changed);
    assert_eq!(opened.content("removed"), b"theirs");
}

#[test]
fn what_is_removed_is_hidden_and_stays_as_a_version() {
    let opened = open(b2());
    let first = opened.create("file", b"first").unwrap();
    let over = Expect::Version(&first.print.version);
    let second = opened.write("file", b"second", over).unwrap();
    opened.remove("file", ItemKind::File, &second.print.version).unwrap();
    assert_eq!((opened.stat("file"), opened.told().unwrap()), (None, vec![]));
    let version = |action: &str, bytes: &[u8]| ("file".into(), action.into(), bytes.to_vec());
    let hidden = [version("hide", b""), version("upload", b"second"), version("upload", b"first")];
    assert_eq!(opened.versions(), hidden);
    opened.remove("file", ItemKind::File, &second.print.version).unwrap();
    assert_eq!(opened.versions(), hidden);
    // It is free for another one, and one of the same content is another one, too.
    let third = opened.create("file", b"third").unwrap();
    let fourth = opened.written("file", b"third", Expect::Version(&third.print.version)).unwrap();
    assert!(!fourth.overtook && fourth.entry.print.version != third.print.version);
    assert_eq!(opened.content("file"), b"third");

    let keeps = || opened.remote.keeps_version("file", &second.print.version).unwrap();
    assert!(keeps());
    for (prefix, days, kept) in [("fi", 30, false), ("other", 30, true)] {
        let rule = json!({
            "fileNamePrefix": prefix, "daysFromHidingToDeleting": days,
            "daysFromUploadingToHiding": null,
        });
        opened.peer.control("lifecycle", json!({ "bucket": opened.bucket, "rules": [rule] }));
        assert_eq!(keeps(), kept, "{prefix}");
    }
}

#[test]
fn a_batch_takes_two_requests_for_each_file() {
    let peer = new_b2();
    let opened = open(&peer);
    let names: Vec<String> = (0..30).map(|n| format!("f/{n:02}")).collect();
    let entries: Vec<_> =
        names.iter().map(|name| opened.create(name, name.as_bytes()).unwrap()).collect();
    opened.asked();
    let item = |n: usize| Removal {
        place: Place::at(&names[n]),
        kind: ItemKind::File,
        version: &entries[n].print.version,
    };
    let items: Vec<_> = (0..30).rev().map(item).collect();
    opened.remote.remove(&items, &mut |_, result| result.unwrap());
    assert_eq!(opened.told().unwrap(), [""; 0]);
    let asked = opened.asked();
    let looks = asked.iter().filter(|line| call(line) == "b2_list_file_names").count() - 1;
    assert_eq!((looks, asked.len() - 1), (3, 60 + 3), "{asked:?}");
}

#[test]
fn folders_are_told_by_their_markers_and_by_what_is_in_them() {
    let opened = open(b2());
    for name in [
        "a/",
        "b/.bzEmpty",
        "c/!first",
        "c/.bzEmpty",
        "d/",
        "d/.bzEmpty",
        "e/deep/.bzEmpty",
        "f.bzEmpty",
        ".bzEmpty",
        "g//h",
        "/i",
        "j/../k",
        "l/./",
    ] {
        opened.put(name, json!({}));
    }
    let listed = ["a/", "b/", "c/!first", "d/", "e/deep/", "f.bzEmpty"];
    assert_eq!(opened.told().unwrap(), listed);
    let mut folders = Vec::new();
    opened
        .remote
        .folders(&mut |name| {
            folders.push(name.to_owned());
            Ok(())
        })
        .unwrap();
    assert_eq!(folders, ["a", "b", "c", "d", "e", "g", "j", "l"]);
    let none = Version::default();
    let remove = |path: &str| {
        let mut told = None;
        let item = Removal { place: Place::at(path), kind: ItemKind::Folder, version: &none };
        opened.remote.remove(&[item], &mut |_, result| told = Some(result));
        told.unwrap()
    };
    for folder in ["a", "b", "d", "e/deep"] {
        remove(folder).unwrap();
        assert_eq!(opened.remote.stat(folder, ItemKind::Folder).unwrap(), None, "{folder}");
    }
    assert_eq!(remove("c").unwrap_err().kind(), Kind::Exists);
    opened.remote.make_folder("made/here").unwrap();
    assert_eq!(opened.told().unwrap(), ["c/!first", "f.bzEmpty", "made/here/"]);
    assert!(opened.versions().iter().any(|(name, ..)| name == "made/here/.bzEmpty"));
    // Its marker would have too long a name: what is put into it makes it.
    let long = [&"d".repeat(250)[..]; 4].join("/") + "/ddddddddddddd";
    opened.remote.make_folder(&long).unwrap();
}

#[test]
fn a_key_tells_what_it_may_not() {
    let opened = open(b2());
    opened.create("docs/file", b"bytes").unwrap();
    let elsewhere = opened.peer.new_bucket();
    let here = json!({ "bucket": opened.bucket });
    let docs = json!({ "bucket": opened.bucket, "prefix": "docs/" });
    type Try = fn(&Opened<'_>) -> Result<()>;
    let test: Try = |opened| opened.remote.test();
    let write: Try = |opened| opened.create("new", b"bytes").map(drop);
    let read: Try = |opened| {
        let version = opened.stat("file").unwrap().print.version;
        opened.remote.read("file", &version, 0..u64::MAX).map(drop)
    };
    for (root, capabilities, restriction, tried, says) in [
        ("", &ALL[1..], json!({}), test, "listBuckets"),
        ("", &ALL[2..], here.clone(), test, "listFiles"),
        ("", &ALL[..3], here.clone(), write, "writeFiles"),
        ("docs", &["listFiles", "writeFiles"], here, read, "readFiles"),
        ("", &ALL[..], json!({ "bucket": elsewhere }), test, &*elsewhere),
        ("", &ALL[..], docs.clone(), test, "the remote folder /docs"),
        ("other", &ALL[..], docs.clone(), test, "begin with 'docs/'"),
    ] {
        let error = tried(&open_by_key(&opened, root, capabilities, restriction)).unwrap_err();
        assert_eq!(error.kind(), Kind::SignIn, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }

    let below = open_by_key(&opened, "docs", &ALL, docs.clone());
    below.remote.test().unwrap();
    below.create("sub/new", b"bytes").unwrap();
    assert_eq!(below.told().unwrap(), ["file", "sub/new"]);
    let above = open_by_key(&opened, "", &ALL, docs);
    let mut folders = Vec::new();
    let list = above.remote.folders(&mut |name| {
        folders.push(name.to_owned());
        Ok(())
    });
    assert_eq!(list.map(|()| folders).unwrap(), ["docs"]);
}

#[test]
fn what_is_wrong_is_said() {
    let peer = b2();
    let bucket = peer.new_bucket();
    for (id, key, bucket, kind, says) in [
        ("nobody", &*peer.key, &*bucket, Kind::SignIn, "key-id"),
        (&peer.key_id, "wrong-secret", &bucket, Kind::SignIn, "application-key"),
        (&peer.key_id, &peer.key, "no-such-bucket", Kind::NotFound, "no-such-bucket"),
    ] {
        let opened = open_with(peer, bucket, "root", (id, key), &[]);
        let error = opened.remote.test().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.advice().contains(says), "{error}");
        assert!(!error.to_string().contains("wrong-secret"), "{error}");
    }
    let missing = open_with(peer, "no-such-bucket", "", (&peer.key_id, &peer.key), &[]);
    assert_eq!(missing.remote.stat("", ItemKind::Folder).unwrap(), None);
}

#[test]
fn a_cap_is_waited_for_and_so_is_a_busy_service() {
    let peer = new_b2();
    let opened = open(&peer);
    opened.create("file", b"bytes").unwrap();
    let refusal =
        |status: u16, code: &str| json!({ "status": status, "code": code, "message": "" });
    let fault = |at: &str, status: u16, code: &str| {
        let body = refusal(status, code);
        opened.fault(json!({ "match": at, "status": status, "body": body }));
    };
    fault("POST /upload/", 403, "storage_cap_exceeded");
    let full = opened.create("new", b"bytes").unwrap_err();
    assert_eq!((full.kind(), full.wait()), (Kind::QuotaFull, None));
    assert!(full.advice().contains("Caps & Alerts"), "{full}");

    fault("POST /b2api/v4/b2_list_file_names", 403, "transaction_cap_exceeded");
    let capped = opened.remote.list("", &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(capped.kind(), Kind::Busy);
    assert!(capped.advice().contains("midnight"), "{capped}");
    let wait = capped.wait().unwrap();
    assert!(!wait.is_zero() && wait <= Duration::from_secs(86_400), "{wait:?}");
    let version = opened.stat("file").unwrap().print.version;
    fault("GET /file/", 403, "download_cap_exceeded");
    let capped = opened.remote.read("file", &version, 0..u64::MAX).err().unwrap();
    assert_eq!(capped.kind(), Kind::Busy);

    let busy = json!({ "Retry-After": "0" });
    let names = "POST /b2api/v4/b2_list_file_names";
    opened.fault(json!({ "match": names, "status": 429, "headers": busy, "times": 2 }));
    assert_eq!(opened.told().unwrap(), ["file"]);
    opened.fault(json!({ "match": names, "status": 503, "headers": { "Retry-After": "600" } }));
    let error = opened.remote.list("", &mut |_, _| Ok(())).unwrap_err();
    assert_eq!((error.kind(), error.wait()), (Kind::Busy, Some(Duration::from_secs(600))));
}

#[test]
fn nonsense_is_never_an_empty_listing() {
    let peer = new_b2();
    let opened = open(&peer);
    opened.create("root/file", b"bytes").unwrap();
    let below = open_with(&peer, &opened.bucket, "root", (&peer.key_id, &peer.key), &[]);
    let row = |name: &str| {
        json!({
            "fileId": "1", "fileName": name, "action": "upload", "contentLength": 1,
            "contentSha1": "none", "fileInfo": {},
        })
    };
    let page = |rows: &[Value], next: Value| json!({ "files": rows, "nextFileName": next });
    let sizeless = {
        let mut row = row("root/a");
        row["contentLength"] = Value::Null;
        row
    };
    let null = Value::Null;
    for body in [
        json!("<html>Welcome to the hotel</html>"),
        json!(""),
        json!({}),
        json!({ "files": [] }),
        page(&[row("root/b"), row("root/a")], null.clone()),
        page(&[row("root/a"), row("root/a")], null.clone()),
        page(&[row("elsewhere/a")], null.clone()),
        page(&[row("root/b")], json!("root/a")),
        page(&[sizeless], null),
    ] {
        let names = "POST /b2api/v4/b2_list_file_names";
        opened.fault(json!({ "match": names, "status": 200, "body": body }));
        let error = below.remote.list("", &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{body}: {error}");
    }
    opened.fault(
        json!({ "match": "POST /b2api/v4/b2_list_file_names", "cut_reply": 200, "times": 9 }),
    );
    let error = below.remote.list("", &mut |_, _| Ok(())).unwrap_err();
    assert!(matches!(error.kind(), Kind::Offline | Kind::Protocol), "{error}");
    opened.peer.control("clear", json!({}));

    // A proxy's page doesn't say that a file is gone.
    let version = below.stat("file").unwrap().print.version;
    opened.fault(json!({ "match": "GET /file/", "status": 404, "body": "<html></html>" }));
    let error = below.remote.read("file", &version, 0..u64::MAX).err().unwrap();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    opened.fault(json!({ "match": "GET /file/", "cut_reply": 2 }));
    let read = below.remote.read("file", &version, 0..u64::MAX);
    let whole = read.and_then(|mut download| {
        let read = download.reader.read_to_end(&mut Vec::new());
        read.map_err(|error| Error::new(Kind::Offline, "reading", error))
    });
    assert!(whole.is_err());
}

#[test]
fn encryption_is_asked_for_on_each_write() {
    let peer = b2();
    let key = (peer.key_id.as_str(), peer.key.as_str());
    let opened = open_with(peer, &peer.new_bucket(), "", key, &[("sse", "AES256")]);
    let version = opened.create("small", b"bytes").unwrap().print.version;
    opened.create("large", &pattern(LARGE, 1)).unwrap();
    opened.remote.copy("small", "copy", &version).unwrap();
    opened.remote.make_folder("folder").unwrap();
    let plain = open_with(peer, &opened.bucket, "", key, &[]);
    plain.create("plain", b"bytes").unwrap();
    let told = peer.control("versions", json!({ "bucket": opened.bucket }));
    for row in told.as_array().unwrap() {
        let expected = if row["name"] == "plain" { "none" } else { "SSE-B2" };
        assert_eq!(row["encryption"], expected, "{row}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let service = services::find("b2").unwrap();
    let http = Http::new(&HttpOptions::default(), Cancel::default()).unwrap();
    let good = [("key-id", "id"), ("application-key", "very-secret"), ("bucket", "Bucket-1")];
    let open = |key: &str, value: &str| {
        let settings = good.iter().copied().filter(|(known, _)| *known != key);
        let settings = settings.chain([(key, value)]);
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        service.open(&settings, http.clone(), "").map(drop)
    };
    open("part-size", "4768").unwrap();
    for (key, value) in [
        ("bucket", "short"),
        ("bucket", &"b".repeat(64)),
        ("bucket", "b2-mine"),
        ("bucket", "under_score"),
        ("bucket", "../bucket"),
        ("key-id", ""),
        ("part-size", "4"),
        ("part-size", "4769"),
        ("endpoint", "ftp://host"),
        ("sse", "rot13"),
    ] {
        let error = open(key, value).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{key}={value}");
        assert!(error.to_string().contains(key), "{error}");
        assert!(!error.to_string().contains("very-secret"), "{error}");
    }
}
