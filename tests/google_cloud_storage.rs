//! The Google Cloud Storage adapter, on a fake that checks each request by Google's own description.

use crate::common::bench::TempFolder;
use crate::common::by_path::ByPath;
use crate::common::contract::{self, Bytes, Flaw, Notes, pattern};
use crate::common::opened::{self, InBucket, TIME};
use crate::common::pair::{Pair, Peer};
use crate::common::peers::{GcsPeer, gcs, new_gcs};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mooring::content::Content;
use mooring::error::{Error, Kind, Result};
use mooring::hash::Hash;
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::model::{ItemKind, Version};
use mooring::remote::{Entry, Expect, Resume, Service, Settings};
use mooring::services;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::process::Output;
use std::time::{Duration, SystemTime};

/// Three parts, the last of which is short.
const LARGE: usize = (2 << 20) + 5;

type Opened<'a> = InBucket<'a, GcsPeer>;

impl Opened<'_> {
    fn send(
        &self,
        path: &str,
        content: &dyn Content,
        expect: Expect<'_>,
        notes: &Notes,
    ) -> Result<Entry> {
        self.remote.write(path, content, TIME, expect, notes)
    }

    /// All that is in the bucket.
    fn objects(&self) -> Vec<Value> {
        let told = self.peer.control("objects", json!({ "bucket": self.bucket }));
        told.as_array().unwrap().clone()
    }
}

fn service() -> &'static dyn Service {
    services::find("google-cloud-storage").unwrap()
}

fn http() -> Http {
    let options = HttpOptions { idle: Duration::from_secs(30), ..HttpOptions::default() };
    Http::new(&options, Cancel::default()).unwrap()
}

fn settings(peer: &GcsPeer, more: &[(&str, &str)]) -> Settings {
    let settings = [
        ("endpoint", peer.fake.endpoint.as_str()),
        ("service-account", peer.key.as_str()),
        ("part-size", "1"),
    ];
    let settings = settings.iter().chain(more);
    settings.map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn open_with<'a>(peer: &'a GcsPeer, bucket: &str, root: &str, more: &[(&str, &str)]) -> Opened<'a> {
    let settings = settings(peer, &[&[("bucket", bucket)], more].concat());
    let http = http();
    let remote = ByPath::new(service().open(&settings, http.clone(), root).unwrap());
    InBucket { opened: opened::Opened { remote, http }, peer, bucket: bucket.into() }
}

/// The root of a new bucket.
fn open(peer: &GcsPeer) -> Opened<'_> {
    open_with(peer, &peer.new_bucket(), "", &[])
}

fn succeed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_contract_is_kept() {
    let peer = new_gcs();
    peer.control("page", json!({ "size": 500 }));
    // Copies take several calls.
    peer.control("step", json!({ "bytes": 1 << 20 }));
    let opened = open_with(&peer, &peer.new_bucket(), "some/root é+", &[]);
    contract::run(opened.remote, service().descriptor());
}

#[test]
fn the_contract_is_kept_where_objects_are_not_moved() {
    let peer = new_gcs();
    let bucket = peer.new_bucket();
    peer.control("bucket", json!({ "name": bucket, "moves": false }));
    let opened = open_with(&peer, &bucket, "", &[("storage-class", "NEARLINE")]);
    contract::run(opened.remote, service().descriptor());
}

#[test]
fn googles_own_client_works_with_the_server() {
    let peer = new_gcs();
    assert_eq!(succeed(peer.official("gcs_scenario.py", &[&peer.new_bucket()])), "");
}

#[test]
fn rclone_works_with_the_server() {
    let peer = gcs();
    let bucket = peer.new_bucket();
    let folder = TempFolder::new();
    let (up, down) = (folder.path().join("up"), folder.path().join("down"));
    fs::create_dir_all(up.join("a/b")).unwrap();
    // More than it sends in one part.
    fs::write(up.join("large"), pattern(17 << 20, 1)).unwrap();
    fs::write(up.join("nothing"), "").unwrap();
    fs::write(up.join("a/b/ü + %41 (x)"), "short").unwrap();
    let (up, down) = (up.to_str().unwrap(), down.to_str().unwrap());
    let rclone = |args: &[&str]| succeed(peer.rclone(args));

    let there = format!("peer:{bucket}/rclone");
    rclone(&["copy", up, &there]);
    rclone(&["check", up, &there]);
    rclone(&["check", "--download", up, &there]);
    rclone(&["moveto", &format!("{there}/nothing"), &format!("{there}/a/empty")]);
    rclone(&["deletefile", &format!("{there}/large")]);
    assert_eq!(rclone(&["lsf", "-R", "--files-only", &there]), "a/b/ü + %41 (x)\na/empty\n");
    rclone(&["copy", &there, down]);
    assert_eq!(fs::read_to_string(format!("{down}/a/b/ü + %41 (x)")).unwrap(), "short");
    let made = format!("{bucket}-made");
    rclone(&["mkdir", &format!("peer:{made}")]);
    assert!(rclone(&["lsf", "peer:"]).contains(&made));
}

#[test]
fn others_and_we_read_each_others_times_and_hashes() {
    let opened = open(gcs());
    let peer = opened.peer;
    let place = |name: &str| format!("peer:{}/{name}", opened.bucket);
    let version = opened.create("ours", b"ours").unwrap().print.version;
    opened.remote.copy("ours", "ours, copied", &version).unwrap();
    opened.create("ours, large", &pattern(LARGE, 1)).unwrap();
    let sums = succeed(peer.rclone(&["md5sum", &place("")]));
    assert_eq!(sums.lines().filter(|line| line.split(' ').next().unwrap().len() == 32).count(), 3);
    let listed = succeed(peer.rclone(&["lsjson", &place("")]));
    assert_eq!(listed.matches("2020-09-13T12:26:40.123456789Z").count(), 3, "{listed}");
    for object in opened.objects() {
        assert_eq!(object["metadata"]["goog-reserved-file-mtime"], "1600000000", "{object}");
    }

    let folder = TempFolder::new();
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500_000_000_250_000_001);
    for (name, bytes) in [("theirs", b"theirs".to_vec()), ("theirs, large", pattern(LARGE, 2))] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        succeed(peer.rclone(&["copyto", file.to_str().unwrap(), &place(name)]));
        let entry = opened.stat(name).unwrap();
        assert_eq!(entry.print.mtime, Some(1_500_000_000_250_000_001), "{name}");
        assert!(matches!(entry.hash, Some(Hash::Md5(_))), "{name}");
        let download = opened.remote.read(name, &entry.print.version, 1..3).unwrap();
        assert!(download.entry.print.same(&entry.print) && download.entry.hash == entry.hash);
    }
    // As Google's own tools keep it.
    opened.put("in seconds", json!({ "metadata": { "goog-reserved-file-mtime": "1500000000" } }));
    let mtime = opened.stat("in seconds").unwrap().print.mtime;
    assert_eq!(mtime, Some(1_500_000_000_000_000_000));
}

#[test]
fn what_was_composed_has_no_hash_and_what_is_compressed_comes_as_it_is() {
    let opened = open(gcs());
    opened.put("composed", json!({ "base64": BASE64.encode("abc"), "composite": true }));
    let entry = opened.stat("composed").unwrap();
    assert_eq!((entry.print.size, entry.hash, entry.print.mtime), (3, None, None));
    assert_eq!(opened.content("composed"), b"abc");

    // gzip of "Hello".
    let stored = "H4sIAAAAAAACA/NIzcnJBwCCidH3BQAAAA==";
    opened.put("compressed", json!({ "base64": stored, "encoding": "gzip" }));
    let entry = opened.stat("compressed").unwrap();
    assert_eq!(opened.content("compressed"), BASE64.decode(stored).unwrap());
    let mut part = Vec::new();
    let mut download = opened.remote.read("compressed", &entry.print.version, 2..9).unwrap();
    download.reader.read_to_end(&mut part).unwrap();
    assert_eq!(part, BASE64.decode(stored).unwrap()[2..9]);
}

#[test]
fn an_upload_goes_on_where_it_stopped() {
    let peer = new_gcs();
    let bytes = pattern(LARGE, 2);
    let opened = open(&peer);
    let sessions = || peer.control("sessions", json!({}));
    for name in ["new", "old"] {
        let old = (name == "old").then(|| opened.create("old", b"old").unwrap());
        let expect = old.as_ref().map_or(Expect::Absent, |old| Expect::Version(&old.print.version));
        let (notes, whole) = (Notes::default(), Bytes::with(&bytes, Flaw::None));
        // The first part arrives, and of the second 3 times 256 KiB.
        let fault =
            json!({ "match": "PUT /upload", "after": 1, "times": 99, "cut_request": 900_000 });
        opened.fault(fault);
        let error = opened.send(name, &whole, expect, &notes).unwrap_err();
        assert_eq!(error.kind(), Kind::Offline, "{error}");
        assert!(!error.to_string().contains("upload_id"), "{error}");
        peer.control("clear", json!({}));
        assert_eq!(sessions(), 1);

        let again = open_with(&peer, &opened.bucket, "", &[]);
        let entry = again.send(name, &whole, expect, &notes).unwrap();
        assert_eq!(again.stat(name).unwrap(), entry);
        let left = LARGE as u64 - (1 << 20) - 3 * (256 << 10);
        let sent = again.bytes_up();
        assert!((left..left + 10_000).contains(&sent), "{sent} bytes were sent, {left} were left");
        assert!(again.content(name) == bytes);
        assert_eq!(sessions(), 0);

        // It arrived whole, and nobody got to know.
        let before = again.bytes_up();
        assert_eq!(again.send(name, &whole, expect, &notes).unwrap(), entry);
        assert!(again.bytes_up() - before < 10_000);
        // Somebody else has replaced it since.
        opened.write(name, b"theirs", Expect::Version(&entry.print.version)).unwrap();
        let error = again.send(name, &whole, expect, &notes).unwrap_err();
        let kind = if old.is_some() { Kind::Changed } else { Kind::Exists };
        assert_eq!((error.kind(), opened.content(name)), (kind, b"theirs".to_vec()));
    }
}

#[test]
fn an_upload_that_the_service_forgets_begins_anew() {
    let peer = new_gcs();
    let opened = open(&peer);
    let bytes = pattern(LARGE, 3);
    for status in [404, 410] {
        opened.fault(json!({ "match": "PUT /upload", "after": 1, "status": status }));
        opened.create(&format!("{status}"), &bytes).unwrap();
    }
    // Less is kept of a part than was sent.
    peer.control("store_less", json!({ "bytes": 512 << 10 }));
    opened.create("less", &bytes).unwrap();
    opened.fault(json!({ "match": "PUT /upload", "after": 1, "status": 503 }));
    opened.create("busy", &bytes).unwrap();

    let (notes, whole) = (Notes::default(), Bytes::with(&bytes, Flaw::None));
    let cut = json!({ "match": "PUT /upload", "after": 1, "times": 99, "cut_request": 0 });
    opened.fault(cut.clone());
    assert_eq!(
        opened.send("later", &whole, Expect::Absent, &notes).unwrap_err().kind(),
        Kind::Offline
    );
    peer.control("clear", json!({}));
    peer.control("drop_sessions", json!({ "status": 410 }));
    opened.send("later", &whole, Expect::Absent, &notes).unwrap();
    for name in opened.told().unwrap() {
        assert!(opened.content(&name) == bytes, "{name}");
    }

    // What was begun for another state of the file isn't gone on with, and what nobody will finish
    // is dropped.
    let notes = Notes::default();
    opened.fault(cut);
    opened.send("other", &whole, Expect::Absent, &notes).unwrap_err();
    peer.control("clear", json!({}));
    let theirs = opened.create("other", b"theirs").unwrap();
    let ours =
        opened.send("other", &whole, Expect::Version(&theirs.print.version), &notes).unwrap();
    assert_eq!(opened.stat("other").unwrap(), ours);
    assert_eq!(peer.control("sessions", json!({})), 0);
    let changes = Bytes::with(&bytes, Flaw::Changes);
    opened.send("changing", &changes, Expect::Absent, &notes).unwrap_err();
    assert_eq!(peer.control("sessions", json!({})), 0);
}

#[test]
fn an_upload_that_nobody_will_finish_is_dropped() {
    let peer = new_gcs();
    let opened = open(&peer);
    let (notes, whole) = (Notes::default(), pattern(LARGE, 4));
    let whole = Bytes::with(&whole, Flaw::None);
    opened.fault(json!({ "match": "PUT /upload", "after": 1, "times": 99, "cut_request": 0 }));
    opened.send("large", &whole, Expect::Absent, &notes).unwrap_err();
    peer.control("clear", json!({}));
    assert_eq!(peer.control("sessions", json!({})), 1);
    let note = notes.load().unwrap();
    opened.remote.abandon(&note).unwrap();
    assert_eq!(peer.control("sessions", json!({})), 0);
    opened.remote.abandon(&note).unwrap();
    opened.remote.abandon(b"not a note").unwrap();
}

#[test]
fn each_call_takes_few_requests() {
    let peer = new_gcs();
    let opened = open(&peer);
    let asked = |count: usize| {
        let requests = opened.asked();
        assert_eq!(requests.len(), count, "{requests:?}");
    };
    opened.remote.test().unwrap();
    // The first with that for a token.
    asked(2);
    let file = opened.create("file", b"bytes").unwrap();
    asked(1);
    let file = opened.write("file", b"other", Expect::Version(&file.print.version)).unwrap();
    asked(1);
    opened.content("file");
    asked(2);
    let file = opened.remote.rename("file", "moved", ItemKind::File, &file.print.version).unwrap();
    asked(1);
    let copied = opened.remote.copy("moved", "copied", &file.print.version).unwrap();
    asked(1);
    opened.remove("copied", ItemKind::File, &copied.print.version).unwrap();
    asked(1);
    opened.create("large", &pattern(LARGE, 5)).unwrap();
    // A look, the begin and three parts.
    asked(5);
}

#[test]
fn a_reply_that_is_lost_makes_no_conflict() {
    let peer = new_gcs();
    let opened = open(&peer);
    for (size, lost) in [(5, "POST /upload/"), (LARGE, "POST /upload/"), (LARGE, "PUT /upload/")] {
        let mut known = None;
        for bytes in [pattern(size, 6), pattern(size, 7)] {
            // The last part is the third.
            let after = if lost.starts_with("PUT") { 2 } else { 0 };
            opened.fault(json!({ "match": lost, "after": after, "lose_reply": true }));
            let expect = known.as_ref().map_or(Expect::Absent, Expect::Version);
            let entry = opened.write("file", &bytes, expect).unwrap();
            assert_eq!(opened.stat("file").unwrap(), entry, "{lost}");
            known = Some(entry.print.version);
        }
        opened.fault(json!({ "match": "DELETE /storage/", "lose_reply": true }));
        opened.remove("file", ItemKind::File, &known.unwrap()).unwrap();
        assert_eq!(opened.stat("file"), None, "{lost}");
    }
    // Neither is lost, whatever is told of it.
    let version = opened.create("from", b"bytes").unwrap().print.version;
    opened.fault(json!({ "match": "POST /storage/v1/b/", "lose_reply": true }));
    let moved = opened.remote.rename("from", "to", ItemKind::File, &version);
    assert_eq!(moved.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(opened.content("to"), b"bytes");
}

#[test]
fn what_somebody_else_writes_in_between_stays() {
    let peer = new_gcs();
    let opened = open(&peer);
    let small: &[u8] = b"ours";
    let large = pattern(LARGE, 8);
    for (at, bytes) in [("POST /upload/", small), ("PUT /upload/", &large)] {
        let name = format!("new {}", bytes.len());
        opened.race(at, &name, b"theirs");
        let created = opened.create(&name, bytes).unwrap_err();
        assert!(matches!(created.kind(), Kind::Exists | Kind::Changed), "{created}");
        assert_eq!(opened.content(&name), b"theirs", "{at}");

        let name = format!("old {}", bytes.len());
        let old = opened.create(&name, b"old").unwrap();
        opened.race(at, &name, b"theirs");
        let over = opened.write(&name, bytes, Expect::Version(&old.print.version));
        assert_eq!(over.unwrap_err().kind(), Kind::Changed, "{at}");
        assert_eq!(opened.content(&name), b"theirs", "{at}");
    }
    let removed = opened.create("removed", b"ours").unwrap();
    opened.race("DELETE /storage/", "removed", b"theirs");
    let removed = opened.remove("removed", ItemKind::File, &removed.print.version);
    assert_eq!(removed.unwrap_err().kind(), Kind::Changed);
    assert_eq!(opened.content("removed"), b"theirs");

    for moves in [true, false] {
        peer.control("bucket", json!({ "name": opened.bucket, "moves": moves }));
        let (from, to) = (format!("from {moves}"), format!("to {moves}"));
        let version = opened.create(&from, b"ours").unwrap().print.version;
        opened.race("POST /storage/v1/b/", &to, b"theirs");
        let moved = opened.remote.rename(&from, &to, ItemKind::File, &version);
        assert_eq!(moved.unwrap_err().kind(), Kind::Exists, "{moves}");
        assert_eq!(opened.content(&to), b"theirs");
        assert_eq!(opened.content(&from), b"ours");
        opened.race("POST /storage/v1/b/", &from, b"theirs");
        let moved = opened.remote.rename(&from, "free", ItemKind::File, &version);
        assert_eq!(moved.unwrap_err().kind(), Kind::Changed, "{moves}");
        assert_eq!((opened.content(&from), opened.stat("free")), (b"theirs".to_vec(), None));
    }
    // Between the copy and the removal.
    let version = opened.create("copied", b"ours").unwrap().print.version;
    opened.race("DELETE /storage/", "copied", b"theirs");
    let moved = opened.remote.rename("copied", "free", ItemKind::File, &version);
    assert_eq!(moved.unwrap_err().kind(), Kind::Changed);
    assert_eq!((opened.content("copied"), opened.stat("free")), (b"theirs".to_vec(), None));
}

#[test]
fn wrong_bytes_are_noticed() {
    let peer = new_gcs();
    let opened = open(&peer);
    // Bytes that change on the way don't have the hash that was told.
    opened.fault(json!({
        "match": "POST /upload/", "status": 400,
        "body": { "error": { "code": 400, "message": "Provided MD5 hash \"a\" doesn't match calculated MD5 hash \"b\".",
            "errors": [{ "reason": "invalid" }] } },
    }));
    assert_eq!(opened.create("new", b"bytes").unwrap_err().kind(), Kind::Changed);
    let told = json!({
        "name": "new", "size": "5", "generation": "17", "md5Hash": BASE64.encode([0; 16]),
    });
    for (at, size) in [("POST /upload/", 5), ("PUT /upload/", LARGE)] {
        opened.fault(json!({ "match": at, "status": 200, "body": told }));
        let error = opened.create("new", &pattern(size, 1)).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
    }
}

#[test]
fn folders_are_told_by_their_markers_and_by_what_is_in_them() {
    let opened = open(gcs());
    for name in [
        "a/",
        "b/file",
        "c_$folder$",
        "d/",
        "d/deep/",
        "d_$folder$",
        "g//h",
        "/i",
        "j/../k",
        "l/./",
        "z",
    ] {
        opened.put(name, json!({}));
    }
    assert_eq!(opened.told().unwrap(), ["a/", "b/file", "d/", "d/deep/", "z"]);
    let mut folders = Vec::new();
    opened
        .remote
        .folders(&mut |name| {
            folders.push(name.to_owned());
            Ok(())
        })
        .unwrap();
    assert_eq!(folders, ["a", "b", "d", "g", "j", "l"]);
    let none = Version::default();
    let remove = |path: &str| opened.remove(path, ItemKind::Folder, &none);
    assert_eq!(remove("d").unwrap_err().kind(), Kind::Exists);
    for folder in ["a", "c", "d/deep", "d"] {
        remove(folder).unwrap();
        assert_eq!(opened.remote.stat(folder, ItemKind::Folder).unwrap(), None, "{folder}");
    }
    assert_eq!(remove("b").unwrap_err().kind(), Kind::Exists);
    opened.remote.make_folder("made/here").unwrap();
    opened.remote.make_folder("made/here").unwrap();
    assert_eq!(opened.remote.make_folder("z").unwrap_err().kind(), Kind::Exists);
    assert_eq!(opened.told().unwrap(), ["b/file", "made/here/", "z"]);
    // Its marker would have too long a name: what is put into it makes it.
    opened.remote.make_folder(&"d".repeat(1024)).unwrap();
    // This is none.
    opened.put("full/", json!({ "base64": BASE64.encode("bytes") }));
    assert_eq!(remove("full").unwrap_err().kind(), Kind::Exists);
}

#[test]
fn with_a_key_nobody_signs_in_and_without_one_a_person_does() {
    let peer = gcs();
    let pair = Pair::connected(Peer::Gcs(peer), None);
    let signed_in = || {
        let shown = pair.done(&["connection", "show", "cloud", "--json"]);
        serde_json::from_str::<Value>(&shown).unwrap()["signed_in"].clone()
    };
    let authorize = ["connection", "authorize", "cloud"];
    let begin = || {
        let begun = pair.run(&[&authorize[..], &["--json"]].concat()).stdout;
        serde_json::from_slice::<Value>(&begun).unwrap()
    };
    assert_eq!((signed_in(), begin()["needed"].clone()), (Value::Null, json!(false)));
    pair.done(&["connection", "test", "cloud"]);

    let id = format!("client-id={}", peer.fake.client_id);
    pair.done(&["connection", "set", "cloud", "--set", &id]);
    pair.set_secret("client-secret", &peer.fake.client_secret);
    pair.done(&["connection", "set", "cloud", "--secret", "service-account="]);
    assert_eq!(signed_in(), json!(false));
    let page = begin()["url"].as_str().unwrap().to_owned();
    let agent = ureq::Agent::config_builder().max_redirects(0).proxy(None).build();
    let agreed = ureq::Agent::from(agent).get(&page).call().unwrap();
    let answer = agreed.headers()["location"].to_str().unwrap().to_owned();
    pair.done(&[&authorize[..], &["--answer", &answer]].concat());
    assert_eq!(signed_in(), json!(true));
    pair.done(&["connection", "test", "cloud"]);
}

#[test]
fn a_token_that_ends_is_renewed_once_for_all() {
    let peer = new_gcs();
    let opened = open(&peer);
    let entry = opened.create("file", b"bytes").unwrap();
    opened.asked();
    peer.control("expire", json!({}));
    assert_eq!(opened.told().unwrap(), ["file"]);
    let tokens = |asked: Vec<String>| asked.iter().filter(|line| *line == "POST /token").count();
    assert_eq!(tokens(opened.asked()), 1);
    peer.control("expire", json!({}));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(opened.stat("file").unwrap(), entry));
        }
    });
    assert_eq!(tokens(opened.asked()), 1);
}

#[test]
fn the_clock_of_the_service_counts() {
    let peer = new_gcs();
    for seconds in [-7200, 7200] {
        peer.control("ahead", json!({ "seconds": seconds }));
        open(&peer).remote.test().unwrap();
    }
}

#[test]
fn a_key_that_is_none_is_refused_without_telling_it() {
    let peer = gcs();
    let key = |change: &dyn Fn(&mut Value)| {
        let mut key: Value = serde_json::from_str(&peer.key).unwrap();
        change(&mut key);
        key.to_string()
    };
    for bad in [
        "very-secret".to_owned(),
        "{}".into(),
        key(&|key| key["type"] = "authorized_user".into()),
        key(&|key| key["private_key"] = "very-secret".into()),
        key(&|key| drop(key.as_object_mut().unwrap().remove("client_email"))),
        key(&|key| key["client_email"] = json!(["very-secret"])),
    ] {
        let settings = settings(peer, &[("bucket", "photos"), ("service-account", &bad)]);
        let error = service().open(&settings, http(), "").err().unwrap();
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        assert!(error.to_string().contains("service-account"), "{error}");
        assert!(!error.to_string().contains("very-secret"), "{error}");
    }
    // Google doesn't know it any more.
    let unknown = key(&|key| key["private_key_id"] = "0".into());
    let opened = open_with(peer, &peer.new_bucket(), "", &[("service-account", &unknown)]);
    let error = opened.remote.test().unwrap_err();
    assert_eq!(error.kind(), Kind::SignIn, "{error}");
    assert!(error.advice().contains("service-account=@FILE"), "{error}");
}

#[test]
fn what_is_wrong_is_said() {
    let peer = new_gcs();
    let missing = open_with(&peer, "no-such-bucket", "root", &[]);
    let error = missing.remote.test().unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(error.advice().contains("bucket"), "{error}");
    // That it isn't there tells nothing of what is in it.
    let looked = missing.remote.stat("file", ItemKind::File).unwrap_err();
    assert_eq!(looked.kind(), Kind::NotFound);
    let removed = missing.remove("file", ItemKind::File, &Version::new("1"));
    assert_eq!(removed.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(missing.remote.stat("", ItemKind::Folder).unwrap(), None);

    let opened = open(&peer);
    let entry = opened.create("file", b"bytes").unwrap();
    let methods = ["storage.objects.insert", "storage.objects.move", "storage.objects.delete"];
    peer.control("deny", json!({ "methods": methods }));
    let error = opened.create("new", b"bytes").unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("storage.objects.create"), "{error}");
    assert!(error.advice().contains("roles/storage.objectUser"), "{error}");
    let error = opened.remove("file", ItemKind::File, &entry.print.version).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    // Who may not move may copy.
    peer.control("deny", json!({ "methods": methods[..2] }));
    opened.remote.rename("file", "moved", ItemKind::File, &entry.print.version).unwrap();
    assert_eq!(opened.told().unwrap(), ["moved"]);
}

#[test]
fn a_busy_service_is_waited_for() {
    let peer = new_gcs();
    let opened = open(&peer);
    opened.create("file", b"bytes").unwrap();
    let list = "GET /storage/v1/b/";
    for status in [429, 503] {
        let busy = json!({ "Retry-After": "0" });
        opened.fault(json!({ "match": list, "status": status, "headers": busy, "times": 2 }));
        assert_eq!(opened.told().unwrap(), ["file"]);
    }
    let body = json!({ "error": { "code": 403, "errors": [{ "reason": "rateLimitExceeded" }] } });
    opened.fault(json!({ "match": list, "status": 403, "body": body }));
    assert_eq!(opened.told().unwrap(), ["file"]);
    opened.fault(json!({ "match": list, "status": 503, "headers": { "Retry-After": "600" } }));
    let error = opened.remote.list("", &mut |_, _| Ok(())).unwrap_err();
    assert_eq!((error.kind(), error.wait()), (Kind::Busy, Some(Duration::from_secs(600))));
}

#[test]
fn nonsense_is_never_an_empty_listing() {
    let peer = new_gcs();
    let opened = open(&peer);
    opened.create("root/file", b"bytes").unwrap();
    let below = open_with(&peer, &opened.bucket, "root", &[]);
    let item = |name: &str| json!({ "name": name, "size": "1", "generation": "1" });
    let page = |items: &[Value]| json!({ "kind": "storage#objects", "items": items });
    for body in [
        json!("<html>Welcome to the hotel</html>"),
        json!(""),
        json!({}),
        json!([]),
        json!({ "items": [] }),
        json!({ "kind": "storage#buckets" }),
        page(&[item("root/b"), item("root/a")]),
        page(&[item("root/a"), item("root/a")]),
        page(&[item("elsewhere/a")]),
        page(&[json!({ "name": "root/a", "generation": "1" })]),
        page(&[json!({ "name": "root/a", "size": "1" })]),
        json!({ "kind": "storage#objects", "items": "none" }),
    ] {
        opened.fault(json!({ "match": "GET /storage/", "status": 200, "body": body }));
        let error = below.remote.list("", &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{body}: {error}");
    }
    let endless = json!({ "kind": "storage#objects", "nextPageToken": "again" });
    opened.fault(json!({ "match": "GET /storage/", "status": 200, "body": endless, "times": 9 }));
    let error = below.remote.list("", &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    peer.control("clear", json!({}));
    opened.fault(json!({ "match": "GET /storage/", "cut_reply": 200, "times": 9 }));
    let error = below.remote.list("", &mut |_, _| Ok(())).unwrap_err();
    assert!(matches!(error.kind(), Kind::Offline | Kind::Protocol), "{error}");
    peer.control("clear", json!({}));

    // A proxy's page doesn't say that a file is gone.
    let version = below.stat("file").unwrap().print.version;
    let page = json!({ "match": "GET /storage/", "status": 404, "body": "<html></html>" });
    opened.fault(page.clone());
    let error = below.remote.read("file", &version, 0..u64::MAX).err().unwrap();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    opened.fault(page);
    let error = below.remote.stat("file", ItemKind::File).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    opened.fault(json!({ "match": "GET /storage/", "cut_reply": 2 }));
    let read = below.remote.read("file", &version, 0..u64::MAX);
    let whole = read.and_then(|mut download| {
        let read = download.reader.read_to_end(&mut Vec::new());
        read.map_err(|error| Error::new(Kind::Offline, "reading", error))
    });
    assert!(whole.is_err());
}

#[test]
fn class_key_and_payer_are_told_with_each_write() {
    let peer = new_gcs();
    let bucket = peer.new_bucket();
    peer.control("bucket", json!({ "name": bucket, "pays": true }));
    let key = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
    let error = open_with(&peer, &bucket, "", &[]).remote.test().unwrap_err();
    assert!(error.kind() == Kind::Denied && error.advice().contains("user-project"), "{error}");
    let more =
        [("user-project", "tester-project"), ("storage-class", "COLDLINE"), ("sse-key", key)];
    let opened = open_with(&peer, &bucket, "", &more);
    let version = opened.create("small", b"bytes").unwrap().print.version;
    let large = opened.create("large", &pattern(LARGE, 1)).unwrap();
    opened.remote.copy("small", "copy", &version).unwrap();
    opened.remote.make_folder("folder").unwrap();
    opened.remote.rename("large", "moved", ItemKind::File, &large.print.version).unwrap();
    for object in opened.objects() {
        assert_eq!(object["storageClass"], "COLDLINE", "{object}");
        assert_eq!(object["kmsKeyName"], format!("{key}/cryptoKeyVersions/1"), "{object}");
        let is_folder = object["name"] == "folder/";
        assert_eq!(object["metadata"].is_null(), is_folder, "{object}");
    }
}

#[test]
fn only_a_bucket_that_ends_nothing_keeps_versions() {
    let opened = open(gcs());
    let version = opened.create("file", b"bytes").unwrap().print.version;
    let keeps = || opened.remote.keeps_version("file", &version).unwrap();
    assert!(!keeps());
    let rule = json!({ "action": { "type": "Delete" }, "condition": { "numNewerVersions": 3 } });
    for (versioning, rules, kept) in
        [(true, json!([]), true), (true, json!([rule]), false), (false, json!([]), false)]
    {
        let bucket = json!({ "name": opened.bucket, "versioning": versioning, "lifecycle": rules });
        opened.peer.control("bucket", bucket);
        assert_eq!(keeps(), kept, "{versioning} {rules}");
    }
}

#[test]
fn buckets_are_told_and_made() {
    let peer = new_gcs();
    peer.control("page", json!({ "size": 2 }));
    let mut known: Vec<_> = (0..5).map(|_| peer.new_bucket()).collect();
    known.sort();
    let told = |settings: &Settings| -> Result<Vec<String>> {
        let mut buckets = Vec::new();
        service().buckets(settings, http(), &mut |bucket| {
            buckets.push(bucket.to_owned());
            Ok(())
        })?;
        Ok(buckets)
    };
    let settings = settings(&peer, &[("region", "EU")]);
    assert_eq!(told(&settings).unwrap(), known);
    for _ in 0..2 {
        service().make_bucket(&settings, http(), "made-here").unwrap();
    }
    assert!(told(&settings).unwrap().contains(&"made-here".to_owned()));
    open_with(&peer, "made-here", "", &[]).remote.test().unwrap();
    peer.control("taken", json!({ "name": "of-others" }));
    let error = service().make_bucket(&settings, http(), "of-others").unwrap_err();
    assert_eq!(error.kind(), Kind::NameTaken, "{error}");
    let error = service().make_bucket(&settings, http(), "No").unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{error}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let peer = gcs();
    for (key, value) in [
        ("bucket", "ab"),
        ("bucket", "Photos"),
        ("bucket", "a/../b"),
        ("bucket", "-photos"),
        ("bucket", "photos."),
        ("bucket", "a..b"),
        ("bucket", &"b".repeat(64)),
        ("part-size", "0"),
        ("part-size", "1025"),
        ("storage-class", "GLACIER"),
        ("endpoint", "ftp://host"),
        // Nor is anything told of an app.
        ("service-account", ""),
    ] {
        let settings = settings(peer, &[("bucket", "photos"), (key, value)]);
        let error = service().open(&settings, http(), "").err().unwrap();
        assert_eq!(error.kind(), Kind::Usage, "{key}={value}");
    }
    for bucket in ["abc", "my_photos-1.example.org", &"b".repeat(63)] {
        service().open(&settings(peer, &[("bucket", bucket)]), http(), "").unwrap();
    }
}
