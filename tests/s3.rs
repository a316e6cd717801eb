//! The S3 adapter on real servers, and on stubs where a server has to misbehave.

use crate::common::contract::{self, Breaks, Bytes, Flaw, Notes, pattern};
use crate::common::opened::{Opened, TIME};
use crate::common::peers::{S3Peer, moto, python, rclone_s3, s3_peers, swift};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mooring::error::Kind;
use mooring::hash::Hash;
use mooring::http::HttpOptions;
use mooring::model::{ItemKind, Version, to_hex};
use mooring::remote::{Entry, Expect, Place, Removal, Resume};
use mooring::services;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, SystemTime};

impl Opened {
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let list = self.remote.list("", &mut |path, _| {
            keys.push(path.to_owned());
            Ok(())
        });
        list.map(|()| keys).unwrap()
    }
}

fn open(settings: &[(&str, &str)], root: &str, idle: Duration) -> Opened {
    Opened::new("s3", settings, root, &HttpOptions { idle, ..HttpOptions::default() }).unwrap()
}

pub fn open_at(peer: &S3Peer, endpoint: &str, bucket: &str, root: &str) -> Opened {
    open_with(peer, endpoint, bucket, root, &[])
}

pub fn open_with(
    peer: &S3Peer,
    endpoint: &str,
    bucket: &str,
    root: &str,
    more: &[(&str, &str)],
) -> Opened {
    let settings = [
        ("endpoint", endpoint),
        ("region", &peer.region),
        ("bucket", bucket),
        ("access-key", &peer.access_key),
        ("secret-key", &peer.secret_key),
        ("part-size", "5"),
    ];
    let options = HttpOptions { idle: Duration::from_secs(30), ..HttpOptions::default() };
    Opened::new(peer.service, &[&settings, more].concat(), root, &options).unwrap()
}

pub fn open_peer(peer: &S3Peer, bucket: &str, root: &str) -> Opened {
    open_at(peer, &peer.endpoint, bucket, root)
}

/// Opens a stub that answers as it likes.
fn open_stub(endpoint: &str) -> Opened {
    let settings = [
        ("endpoint", endpoint),
        ("bucket", "bucket"),
        ("access-key", "key"),
        ("secret-key", "very-secret"),
    ];
    open(&settings, "", Duration::from_secs(1))
}

#[test]
fn swift_keeps_the_contract() {
    // It looks, then writes: what happens in between is lost.
    keeps_the_contract(swift(), |server| server.creates_once = false);
}

#[test]
fn moto_keeps_the_contract() {
    keeps_the_contract(moto(), |_| {});
}

#[test]
fn rclone_keeps_the_contract() {
    // It has no conditions.
    keeps_the_contract(rclone_s3(), |server| server.creates_once = false);
}

fn keeps_the_contract(peer: &S3Peer, adjust: fn(&mut contract::Server)) {
    let opened = open_peer(peer, &peer.new_bucket(), "some/root é+");
    let descriptor = services::find("s3").unwrap().descriptor();
    let mut server = contract::Server::of(descriptor);
    adjust(&mut server);
    contract::run_on(opened.remote, descriptor, &server);
}

/// The permissions that a text names.
fn actions(text: &str) -> Vec<&str> {
    text.split('`').filter(|word| word.starts_with("s3:")).collect()
}

/// A bucket of moto's, opened by a key that may do no more than this in it.
fn open_permitted(actions: &[&str], name: &str, bucket: &str) -> Opened {
    let peer = moto();
    let mut script = python("s3_policy.py");
    script.args([&peer.endpoint, &peer.access_key, &peer.secret_key, name, bucket]).args(actions);
    let output = script.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let (key, secret) = told.trim().split_once(' ').unwrap();
    open_with(peer, &peer.endpoint, bucket, "", &[("access-key", key), ("secret-key", secret)])
}

#[test]
fn the_permissions_that_the_help_names_suffice() {
    let help = include_str!("../packaging/help/services/s3.md");
    let (all, rest) = help.split_once("A task that only downloads").unwrap();
    let (all, reads) = (actions(all), actions(rest.split_once("To choose").unwrap().0));
    assert_eq!((all.len(), reads.len()), (9, 2));
    let bucket = moto().new_bucket();
    let opened = open_permitted(&all, "writer", &bucket);
    opened.remote.test().unwrap();
    // An upload that was stopped goes on, and another one is dropped.
    let bytes = pattern(12 << 20, 9);
    let content = Breaks::at(&bytes, 11 << 20);
    let (goes_on, dropped) = (Notes::default(), Notes::default());
    let write = |notes| opened.remote.write("large", &content, TIME, Expect::Absent, notes);
    for notes in [&goes_on, &dropped] {
        assert_eq!(write(notes).unwrap_err().kind(), Kind::Cancelled);
    }
    opened.remote.abandon(&dropped.load().unwrap()).unwrap();
    content.broken.store(false, SeqCst);
    write(&goes_on).unwrap();

    let reader = open_permitted(&reads, "reader", &bucket);
    reader.remote.test().unwrap();
    assert_eq!(reader.keys(), ["large"]);
    assert!(reader.content("large") == bytes);
    assert_eq!(reader.create("new", b"1").unwrap_err().kind(), Kind::Denied);

    let bucket = moto().new_bucket();
    let descriptor = services::find("s3").unwrap().descriptor();
    let server = contract::Server::of(descriptor);
    contract::run_on(open_permitted(&all, "other", &bucket).remote, descriptor, &server);
}

#[test]
fn an_upload_whose_parts_may_not_be_listed_begins_anew() {
    let bucket = moto().new_bucket();
    let on_bucket = ["s3:ListBucket", "s3:ListBucketMultipartUploads"];
    let within = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];
    let opened = open_permitted(&[&on_bucket[..], &within[..]].concat(), "forgetful", &bucket);
    let bytes = pattern(12 << 20, 9);
    let content = Breaks::at(&bytes, 11 << 20);
    let notes = Notes::default();
    let write = || opened.remote.write("large", &content, TIME, Expect::Absent, &notes);
    assert_eq!(write().unwrap_err().kind(), Kind::Cancelled);
    content.broken.store(false, SeqCst);
    write().unwrap();
    assert!(opened.content("large") == bytes);
    assert_eq!(unfinished(moto(), &bucket), "[]");
}

#[test]
fn conditions_are_tried_once_and_then_relied_on() {
    for (peer, create, replace) in [(swift(), 1, 2), (moto(), 1, 1), (rclone_s3(), 2, 2)] {
        let opened = open_peer(peer, &peer.new_bucket(), "");
        let first = opened.create("first", b"1").unwrap();
        let over = |bytes: &[u8], old: &Entry| {
            opened.write("first", bytes, Expect::Version(&old.print.version))
        };
        let second = over(b"2", &first).unwrap();
        assert_eq!(
            opened.requests(|| opened.create("new", b"3").unwrap()),
            create,
            "{}",
            peer.name
        );
        assert_eq!(opened.requests(|| over(b"4", &second).unwrap()), replace, "{}", peer.name);
        assert_eq!(over(b"5", &second).unwrap_err().kind(), Kind::Changed, "{}", peer.name);
        assert_eq!(opened.create("new", b"6").unwrap_err().kind(), Kind::Exists, "{}", peer.name);
        assert_eq!((opened.content("first"), opened.content("new")), (b"4".into(), b"3".into()));
    }
}

#[test]
fn an_upload_goes_on_where_it_stopped() {
    for peer in s3_peers() {
        let opened = open_peer(peer, &peer.new_bucket(), "");
        let bytes = pattern((12 << 20) + 5, 9);
        let content = Breaks::at(&bytes, 11 << 20);
        let notes = Notes::default();
        let write = |to: &Opened| to.remote.write("large", &content, TIME, Expect::Absent, &notes);

        assert_eq!(write(&opened).unwrap_err().kind(), Kind::Cancelled, "{}", peer.name);
        assert!(notes.load().is_some());
        assert_eq!(opened.keys(), [""; 0], "{}", peer.name);
        content.broken.store(false, SeqCst);
        let before = opened.bytes_up();
        let entry = write(&opened).unwrap();
        assert!(opened.bytes_up() - before < 3 << 20, "{} was sent parts again", peer.name);
        assert!(opened.content("large") == bytes, "{}", peer.name);

        // The note is of an upload that is finished: the next one begins anew.
        let over = Expect::Version(&entry.print.version);
        opened.remote.write("large", &content, TIME, over, &notes).unwrap();
        let seen = opened.remote.stat("large", ItemKind::File).unwrap().unwrap();
        assert_eq!(seen.print, entry.print, "{}", peer.name);
    }
}

#[test]
fn parts_are_on_their_way_side_by_side() {
    let both = Barrier::new(2);
    let written = Mutex::new(BTreeMap::new());
    let endpoint = stub(move |request, stream| {
        let line = request.head.lines().next().unwrap().to_owned();
        let written = || written.lock().unwrap();
        match line.split(' ').next().unwrap() {
            "HEAD" if written().contains_key(&0) => {
                let fields = format!(
                    "ETag: \"joined-2\"\r\nx-amz-meta-mtime: {}\r\n",
                    "1600000000.123456789"
                );
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n",
                    10 << 20
                )
                .unwrap();
            }
            "HEAD" => answer(stream, "404 Not Found", "", ""),
            "PUT" => {
                // Neither is answered before the other has come.
                both.wait();
                let number = if line.contains("partNumber=1&") { 1 } else { 2 };
                let etag = to_hex(&BASE64.decode(request.header("content-md5")).unwrap());
                written().insert(number, request.body.len());
                answer(stream, "200 OK", &format!("ETag: \"{etag}\"\r\n"), "");
            }
            _ if line.contains("uploads=") => {
                let xml = "<InitiateMultipartUploadResult><UploadId>it</UploadId></InitiateMultipartUploadResult>";
                answer(stream, "200 OK", "", xml);
            }
            _ => {
                assert_eq!(written().values().copied().collect::<Vec<_>>(), [5 << 20; 2]);
                let parts = String::from_utf8(request.body).unwrap();
                assert!(
                    parts.find("<PartNumber>1<").unwrap() < parts.find("<PartNumber>2<").unwrap()
                );
                written().insert(0, 0);
                let xml = "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>";
                answer(stream, "200 OK", "", xml);
            }
        }
    });
    let settings = [
        ("endpoint", endpoint.as_str()),
        ("bucket", "bucket"),
        ("access-key", "key"),
        ("secret-key", "very-secret"),
        ("part-size", "5"),
    ];
    let opened = open(&settings, "", Duration::from_secs(5));
    let entry = opened.create("large", &pattern(10 << 20, 3)).unwrap();
    assert_eq!(entry.print.version.as_str(), "joined-2");
}

#[test]
fn a_file_that_is_not_sent_in_parts_is_asked_for_before_its_bytes() {
    for peer in s3_peers() {
        let opened = open_peer(peer, &peer.new_bucket(), "");
        let bytes = pattern(3 << 20, 1);
        let first = opened.create("file", &bytes).unwrap();
        let over = Expect::Version(&first.print.version);
        opened.write("file", &pattern(4 << 20, 2), over).unwrap();
        assert_eq!(opened.create("file", &bytes).unwrap_err().kind(), Kind::Exists);
        assert_eq!(opened.write("file", &bytes, over).unwrap_err().kind(), Kind::Changed);
        assert!(opened.content("file") == pattern(4 << 20, 2), "{}", peer.name);
    }
}

#[test]
fn what_is_wrong_is_said() {
    for peer in s3_peers() {
        let bucket = peer.new_bucket();
        let test = |key: &str, secret: &str, bucket: &str| {
            let settings = [
                ("endpoint", peer.endpoint.as_str()),
                ("bucket", bucket),
                ("access-key", key),
                ("secret-key", secret),
            ];
            open(&settings, "root", Duration::from_secs(30)).remote
        };
        let (key, secret) = (peer.access_key.as_str(), peer.secret_key.as_str());
        test(key, secret, &bucket).test().unwrap();
        assert!(test(key, secret, &bucket).stat("", ItemKind::Folder).unwrap().is_some());
        assert_eq!(test(key, secret, "no-such-bucket").stat("", ItemKind::Folder).unwrap(), None);
        for (name, key, secret, bucket, kind, says) in [
            ("key", "nobody", secret, bucket.as_str(), Kind::SignIn, "key"),
            ("secret", key, "wrong-secret", &bucket, Kind::SignIn, "key"),
            ("bucket", key, secret, "no-such-bucket", Kind::NotFound, "no-such-bucket"),
        ] {
            let error = test(key, secret, bucket).test().unwrap_err();
            println!("{}: {error}", peer.name);
            assert_eq!(error.kind(), kind, "{} with a wrong {name}: {error}", peer.name);
            assert!(error.advice().contains(says), "{error}");
            assert!(!error.to_string().contains("wrong-secret"), "{error}");
        }
    }
}

#[test]
fn rclone_and_we_read_each_others_times() {
    for peer in s3_peers() {
        let bucket = peer.new_bucket();
        let opened = open_peer(peer, &bucket, "");
        let version = opened.create("ours", b"ours").unwrap().print.version;
        let copy = opened.remote.copy("ours", "ours, copied", &version).unwrap();
        assert_eq!(copy.print.mtime, Some(TIME), "{}", peer.name);
        opened.create("ours, large", &pattern(6 << 20, 1)).unwrap();
        let lsjson = peer.rclone(&["lsjson", &format!("peer:{bucket}")]);
        let lsjson = String::from_utf8(lsjson.stdout).unwrap();
        let ours = "2020-09-13T12:26:40.123456789Z";
        assert_eq!(lsjson.matches(ours).count(), 3, "{}: {lsjson}", peer.name);

        let file = std::env::temp_dir().join(format!("mooring-{}-{}", std::process::id(), bucket));
        std::fs::write(&file, b"theirs").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 250_000_000);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let to = format!("peer:{bucket}/theirs");
        assert!(peer.rclone(&["copyto", file.to_str().unwrap(), &to]).status.success());
        std::fs::remove_file(&file).unwrap();
        let entry = opened.remote.stat("theirs", ItemKind::File).unwrap().unwrap();
        assert_eq!(entry.print.mtime, Some(1_500_000_000_250_000_000), "{}", peer.name);
        assert!(matches!(entry.hash, Some(Hash::Md5([0xce, ..]))), "{}", peer.name);
    }
}

#[test]
fn a_batch_takes_few_requests_and_only_what_is_planned() {
    let peer = rclone_s3();
    let opened = open_peer(peer, &peer.new_bucket(), "root");
    let names: Vec<String> = (0..60).map(|n| format!("f/{n:03}")).collect();
    let entries: Vec<Entry> =
        names.iter().map(|name| opened.create(name, name.as_bytes()).unwrap()).collect();
    let old = entries[30].print.version.clone();
    opened.write(&names[30], b"changed", Expect::Version(&old)).unwrap();
    // Every second one, one of them missing; in no order.
    let missing = String::from("f/004x");
    let mut items: Vec<Removal<'_>> = (0..60)
        .step_by(2)
        .map(|n| Removal {
            place: Place::at(&names[n]),
            kind: ItemKind::File,
            version: &entries[n].print.version,
        })
        .collect();
    items.push(Removal { place: Place::at(&missing), kind: ItemKind::File, version: &old });
    items.reverse();
    let mut kinds = Vec::new();
    let requests = opened.requests(|| {
        opened.remote.remove(&items, &mut |index, result| {
            if let Err(error) = result {
                kinds.push((items[index].place.path, error.kind()));
            }
        });
    });
    assert_eq!(kinds, [("f/030", Kind::Changed)]);
    assert_eq!(requests, 3, "a look at the first, a listing, a batch");
    assert_eq!(opened.keys().len(), 31);
}

/// A request that came in at a stub.
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|it| it.0.eq_ignore_ascii_case(name)))
            .map_or("", |(_, value)| value)
    }
}

/// Listens on a port and has `serve` deal with each request, one for each connection.
pub fn stub(serve: impl Fn(Request, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, serve) = (stream.unwrap(), serve.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut request = Request { head: String::new(), body: Vec::new() };
                while !request.head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut request.head).unwrap_or(0) == 0 {
                        return;
                    }
                }
                let length = request.header("content-length").parse().unwrap_or(0);
                request.body.resize(length, 0);
                reader.read_exact(&mut request.body).unwrap();
                serve(request, &mut stream);
            });
        }
    });
    endpoint
}

pub fn answer(stream: &mut TcpStream, status: &str, fields: &str, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    write!(stream, "{head}{fields}\r\n{body}").unwrap();
}

pub const EMPTY: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";

pub fn error_xml(code: &str, more: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message>{more}</Error>")
}

#[test]
fn only_a_bucket_that_says_so_keeps_versions() {
    let versioning =
        |inside: &str| format!("<VersioningConfiguration>{inside}</VersioningConfiguration>");
    let rules = |inside: &str| {
        let rule = format!("<Rule><ID>1</ID>{inside}<Status>Enabled</Status></Rule>");
        format!("<LifecycleConfiguration>{rule}</LifecycleConfiguration>")
    };
    let (enabled, ok) = (versioning("<Status>Enabled</Status>"), "200 OK");
    let days = "<NoncurrentDays>30</NoncurrentDays>";
    let ends = format!("<NoncurrentVersionExpiration>{days}</NoncurrentVersionExpiration>");
    let newer =
        "<Action><Delete/></Action><Condition><NumNewerVersions>3</NumNewerVersions></Condition>";
    let none = |code| ("404 Not Found", error_xml(code, ""));
    for (of_versions, of_rules, kept) in [
        ((ok, enabled.clone()), none("NoSuchLifecycleConfiguration"), true),
        ((ok, enabled.clone()), none("NoSuchLifecycle"), true),
        ((ok, enabled.clone()), (ok, rules("<Expiration><Days>9</Days></Expiration>")), true),
        ((ok, enabled.clone()), (ok, rules(&ends)), false),
        // As Google says it.
        ((ok, enabled.clone()), (ok, rules(newer)), false),
        ((ok, enabled.clone()), ("403 Forbidden", error_xml("AccessDenied", "")), false),
        ((ok, enabled.clone()), ("501 Not Implemented", error_xml("NotImplemented", "")), false),
        ((ok, versioning("<Status>Suspended</Status>")), none("unasked"), false),
        ((ok, versioning("")), none("unasked"), false),
        ((ok, EMPTY.into()), none("unasked"), false),
        (("403 Forbidden", error_xml("AccessDenied", "")), none("unasked"), false),
        (none("NoSuchKey"), none("unasked"), false),
        (("501 Not Implemented", error_xml("NotImplemented", "")), none("unasked"), false),
    ] {
        let case = format!("{of_versions:?} {of_rules:?}");
        let endpoint = stub(move |request, stream| {
            let line = request.head.lines().next().unwrap();
            let (status, body) =
                if line.contains("?versioning") { &of_versions } else { &of_rules };
            assert!(line.contains("?versioning") || line.contains("?lifecycle"), "{line}");
            answer(stream, status, "", body);
        });
        let kept_version = open_stub(&endpoint).remote.keeps_version("a", &Version::new("v"));
        assert_eq!(kept_version.unwrap(), kept, "{case}");
    }
}

#[test]
fn what_holds_something_is_no_marker_of_a_folder() {
    let endpoint = stub(move |request, stream| {
        assert!(request.head.starts_with("GET "), "{}", request.head);
        let marker = "<Contents><Key>sub/</Key><Size>17</Size><ETag>e</ETag></Contents>";
        answer(stream, "200 OK", "", &EMPTY.replace("<IsT", &format!("{marker}<IsT")));
    });
    let removed = open_stub(&endpoint).remove("sub", ItemKind::Folder, &Version::default());
    assert_eq!(removed.unwrap_err().kind(), Kind::Exists);
}

#[test]
fn what_another_wrote_right_after_us_is_not_taken_for_ours() {
    let peer = moto();
    let bucket = peer.new_bucket();
    let theirs = open_peer(peer, &bucket, "");
    let upstream = peer.endpoint.trim_start_matches("http://").to_owned();
    let endpoint = stub(move |request, stream| {
        let joins = request.head.starts_with("POST") && request.head.contains("uploadId=");
        if !joins {
            return pass_on(&upstream, &request, stream);
        }
        let mut reply = Vec::new();
        pass_on(&upstream, &request, &mut reply);
        let ours = theirs.remote.stat("large", ItemKind::File).unwrap().unwrap();
        let over = Expect::Version(&ours.print.version);
        let bytes = pattern(6 << 20, 2);
        let content = Bytes::with(&bytes, Flaw::None);
        theirs.remote.write("large", &content, TIME + 1, over, &Notes::default()).unwrap();
        stream.write_all(&reply).unwrap();
    });
    let opened = open_at(peer, &endpoint, &bucket, "");
    let created = opened.create("large", &pattern(6 << 20, 1));
    assert_eq!(created.unwrap_err().kind(), Kind::Changed);
    assert!(opened.content("large") == pattern(6 << 20, 2));
}

#[test]
fn what_another_wrote_over_a_copy_is_neither_taken_for_it_nor_removed() {
    for peer in [swift(), moto(), rclone_s3()] {
        let bucket = peer.new_bucket();
        let theirs = open_peer(peer, &bucket, "");
        let upstream = peer.endpoint.trim_start_matches("http://").to_owned();
        let endpoint = stub(move |request, stream| {
            if request.header("x-amz-copy-source").is_empty() {
                return pass_on(&upstream, &request, stream);
            }
            let mut reply = Vec::new();
            pass_on(&upstream, &request, &mut reply);
            theirs.overwrite("new", b"them");
            stream.write_all(&reply).unwrap();
        });
        let opened = open_at(peer, &endpoint, &bucket, "");
        let version = opened.create("old", b"ours").unwrap().print.version;
        let moved = opened.remote.rename("old", "new", ItemKind::File, &version);
        assert_eq!(moved.unwrap_err().kind(), Kind::Changed, "{}", peer.name);
        assert_eq!(opened.content("new"), b"them", "{}", peer.name);
        assert_eq!(opened.content("old"), b"ours", "{}", peer.name);
    }
}

#[test]
fn a_second_attempt_neither_overwrites_nor_removes_what_came_between() {
    // It has no conditions.
    let peer = rclone_s3();
    let bucket = peer.new_bucket();
    let theirs = open_peer(peer, &bucket, "");
    let upstream = peer.endpoint.trim_start_matches("http://").to_owned();
    let armed = Arc::new(AtomicBool::default());
    let fails = armed.clone();
    let endpoint = stub(move |request, stream| {
        let line = request.head.lines().next().unwrap();
        let is_last = match line.split(' ').next().unwrap() {
            "PUT" => !line.contains("uploadId="),
            "POST" => !line.contains("uploads="),
            method => method == "DELETE",
        };
        if !is_last || !fails.swap(false, SeqCst) {
            return pass_on(&upstream, &request, stream);
        }
        theirs.overwrite("contested", b"them");
        answer(stream, "503 Slow Down", "", &error_xml("SlowDown", ""));
    });
    let opened = open_at(peer, &endpoint, &bucket, "");
    let other = opened.create("other", b"other").unwrap().print.version;
    let large = pattern(6 << 20, 1);
    for how in ["create", "write", "join", "copy", "remove", "batch"] {
        if let Some(seen) = opened.stat("contested") {
            opened.remove("contested", ItemKind::File, &seen.print.version).unwrap();
        }
        let absent = matches!(how, "create" | "copy");
        let seen = (!absent).then(|| opened.create("contested", b"ours").unwrap().print.version);
        armed.store(true, SeqCst);
        let done = match (how, &seen) {
            ("copy", _) => opened.remote.copy("other", "contested", &other).map(drop),
            ("remove", Some(seen)) => opened.remove_files(&[("contested", seen)]),
            ("batch", Some(seen)) => opened.remove_files(&[("contested", seen), ("missing", seen)]),
            ("join", Some(seen)) => {
                opened.write("contested", &large, Expect::Version(seen)).map(drop)
            }
            (_, Some(seen)) => opened.write("contested", b"over", Expect::Version(seen)).map(drop),
            (_, None) => opened.create("contested", b"ours").map(drop),
        };
        let kind = if absent { Kind::Exists } else { Kind::Changed };
        assert_eq!(done.map_err(|error| error.kind()), Err(kind), "{how}");
        assert!(!armed.load(SeqCst), "{how}");
        assert_eq!(opened.content("contested"), b"them", "{how}");
    }
}

#[test]
fn an_empty_page_is_not_the_end() {
    let asked = Arc::new(Mutex::new(String::new()));
    let batch = asked.clone();
    let endpoint = stub(move |request, stream| {
        let line = request.head.lines().next().unwrap();
        let more =
            "<IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>";
        let item = "<Contents><Key>sub/a</Key><Size>1</Size><ETag>e</ETag></Contents>";
        let body = match line.split(' ').next().unwrap() {
            "HEAD" => return answer(stream, "200 OK", "ETag: e\r\n", ""),
            "POST" => {
                *batch.lock().unwrap() = String::from_utf8(request.body).unwrap();
                let told =
                    ["a", "b", "c"].map(|key| format!("<Deleted><Key>{key}</Key></Deleted>"));
                format!("<DeleteResult>{}</DeleteResult>", told.join(""))
            }
            _ if line.contains("prefix=sub") && line.contains("continuation-token=more") => {
                EMPTY.replace("<IsT", &format!("{item}<IsT"))
            }
            _ => format!("<ListBucketResult>{more}</ListBucketResult>"),
        };
        answer(stream, "200 OK", "", &body);
    });
    let opened = open_stub(&endpoint);
    assert!(opened.remote.stat("sub", ItemKind::Folder).unwrap().is_some());
    let removed = opened.remove("sub", ItemKind::Folder, &Version::default());
    assert_eq!(removed.unwrap_err().kind(), Kind::Exists);
    let version = Version::new("e");
    let removals = ["a", "b", "c"].map(|path| Removal {
        place: Place::at(path),
        kind: ItemKind::File,
        version: &version,
    });
    opened.remote.remove(&removals, &mut |_, result| result.unwrap());
    let asked = asked.lock().unwrap();
    assert!(
        ["a", "b", "c"].iter().all(|key| asked.contains(&format!("<Key>{key}</Key>"))),
        "{asked}"
    );
}

#[test]
fn a_copy_and_a_join_of_parts_may_say_nothing_for_long() {
    let peer = moto();
    let bucket = peer.new_bucket();
    let idle = Duration::from_secs(2);
    let upstream = peer.endpoint.trim_start_matches("http://").to_owned();
    let asked = Arc::new(AtomicUsize::new(0));
    let slow = asked.clone();
    let endpoint = stub(move |request, stream| {
        let joins = request.head.starts_with("POST") && request.head.contains("uploadId=");
        if joins || !request.header("x-amz-copy-source").is_empty() {
            slow.fetch_add(1, SeqCst);
            std::thread::sleep(idle + Duration::from_secs(1));
        }
        pass_on(&upstream, &request, stream);
    });
    let settings = [
        ("endpoint", endpoint.as_str()),
        ("region", &peer.region),
        ("bucket", &bucket),
        ("access-key", &peer.access_key),
        ("secret-key", &peer.secret_key),
        ("part-size", "5"),
    ];
    let opened = open(&settings, "", idle);
    let large = opened.create("large", &pattern(6 << 20, 1)).unwrap();
    opened.remote.copy("large", "copy", &large.print.version).unwrap();
    assert_eq!(asked.load(SeqCst), 2, "each is asked for once");
}

#[test]
fn the_services_clock_counts() {
    for code in ["RequestTimeTooSkewed", "AccessDenied"] {
        let endpoint = stub(move |request, stream| {
            let theirs = SystemTime::now() - Duration::from_secs(86_400 * 400);
            let day = humantime::format_rfc3339_seconds(theirs).to_string()[..13].replace('-', "");
            let date = format!("Date: {}\r\n", httpdate::fmt_http_date(theirs));
            if request.header("x-amz-date").starts_with(&day) {
                answer(stream, "200 OK", &date, EMPTY);
            } else {
                answer(stream, "403 Forbidden", &date, &error_xml(code, ""));
            }
        });
        let opened = open_stub(&endpoint);
        assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 2);
        assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 1);
    }
}

#[test]
fn the_region_is_learnt() {
    let fields = "x-amz-bucket-region: eu-west-9\r\n";
    let inside = "<Region>eu-west-9</Region>";
    for (status, code, fields, inside) in [
        ("400 Bad Request", "AuthorizationHeaderMalformed", "", inside),
        ("301 Moved Permanently", "PermanentRedirect", fields, ""),
    ] {
        let endpoint = stub(move |request, stream| {
            if request.header("authorization").contains("/eu-west-9/s3/") {
                answer(stream, "200 OK", "", EMPTY);
            } else {
                answer(stream, status, fields, &error_xml(code, inside));
            }
        });
        let opened = open_stub(&endpoint);
        assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 2);
    }
}

#[test]
fn nonsense_is_never_an_empty_listing() {
    let truncated = EMPTY.replace("false", "true");
    let half = &EMPTY[..EMPTY.len() - 5];
    let key =
        |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag></Contents>");
    let listing = |keys: &str| EMPTY.replace("<IsT", &format!("{keys}<IsT"));
    for body in [
        "<!DOCTYPE html><html><body>Welcome to the hotel</body></html>",
        "<html><body>Welcome to the hotel</body></html>",
        "",
        "{}",
        half,
        &truncated,
        "<ListBucketResult></ListBucketResult>",
        "<ListAllMyBucketsResult/>",
        &error_xml("InternalWeather", ""),
        &listing(&(key("b") + &key("a"))),
        &listing(&(key("a") + &key("a"))),
        &listing(&key("&bomb;")),
        &listing(&key("a").replace(">1<", ">-1<")),
        &EMPTY.replace("false", "maybe"),
        &("<a>".repeat(100_000)),
    ] {
        let body = body.to_owned();
        let endpoint = stub(move |_, stream| answer(stream, "200 OK", "", &body));
        let opened = open_stub(&endpoint);
        let error = opened.remote.list("", &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
        assert_eq!(opened.remote.test().unwrap_err().kind(), Kind::Protocol);
    }
}

#[test]
fn a_reply_that_breaks_off_or_never_comes_is_offline() {
    let cut = stub(|_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{EMPTY}").unwrap();
    });
    let hangs = stub(|_, stream| {
        let _ = stream.read(&mut [0]);
    });
    for endpoint in [cut, hangs] {
        let error = open_stub(&endpoint).remote.list("", &mut |_, _| Ok(())).unwrap_err();
        assert!(matches!(error.kind(), Kind::Offline | Kind::Protocol), "{error}");
    }
    let download = stub(|_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nETag: \"v\"\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    });
    let version = Version::new("v");
    let mut download = open_stub(&download).remote.read("a", &version, 0..u64::MAX).unwrap();
    assert!(download.reader.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_page_instead_of_a_file_is_not_a_removed_file() {
    let endpoint = stub(|_, stream| {
        answer(stream, "404 Not Found", "Content-Type: text/html\r\n", "<html></html>");
    });
    let opened = open_stub(&endpoint);
    let version = Version::new("v");
    for error in [
        opened.remote.read("a", &version, 0..u64::MAX).err(),
        opened.remote.stat("a", ItemKind::Folder).err(),
        opened.remote.test().err(),
    ] {
        assert_eq!(error.unwrap().kind(), Kind::Protocol);
    }
}

#[test]
fn keys_that_no_path_can_name_are_told_to_nobody() {
    let keys =
        ["../a", "./a", "/", "//", "/a", "a/./b", "a//", "a//b", "b+%2B%2520", "c%2F", "d/.."];
    let keys: String = keys
        .iter()
        .map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag></Contents>"))
        .collect();
    let end = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>";
    let body = format!("<ListBucketResult>{keys}{end}</ListBucketResult>");
    let endpoint = stub(move |_, stream| answer(stream, "200 OK", "", &body));
    assert_eq!(open_stub(&endpoint).keys(), ["b +%20", "c"]);
}

/// Passes a request on to a server, and its reply back.
pub fn pass_on(upstream: &str, request: &Request, to: &mut dyn Write) {
    let mut up = TcpStream::connect(upstream).unwrap();
    let head = request.head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    up.write_all(head.as_bytes()).unwrap();
    up.write_all(&request.body).unwrap();
    let mut reply = Vec::new();
    let _ = up.read_to_end(&mut reply);
    let _ = to.write_all(&reply);
}

/// Passes requests on to a peer, but not the replies of which `lose` says so.
fn lossy(peer: &S3Peer, lose: impl Fn(&Request) -> bool + Send + Sync + 'static) -> String {
    let upstream = peer.endpoint.trim_start_matches("http://").to_owned();
    stub(move |request, stream| {
        if lose(&request) {
            pass_on(&upstream, &request, &mut std::io::sink());
        } else {
            pass_on(&upstream, &request, stream);
        }
    })
}

/// Loses the reply to the first request of which `which` says so.
fn lose_first(which: fn(&Request) -> bool) -> impl Fn(&Request) -> bool {
    let count = AtomicUsize::new(0);
    move |request| which(request) && count.fetch_add(1, SeqCst) == 0
}

#[test]
fn a_write_whose_reply_was_lost_is_known_as_ours() {
    for peer in [swift(), moto(), rclone_s3()] {
        let bucket = peer.new_bucket();
        let contested = |request: &Request| {
            request.head.starts_with("PUT") && request.head.contains("/contested")
        };
        let opened = open_at(peer, &lossy(peer, lose_first(contested)), &bucket, "");
        // Learnt before: the very first write is repeated anyway.
        opened.create("before", b"1").unwrap();
        opened.create("contested", b"ours").unwrap();
        assert_eq!(opened.content("contested"), b"ours", "{}", peer.name);

        let joins = |request: &Request| {
            request.head.starts_with("POST") && request.head.contains("uploadId=")
        };
        // And so is one that replaces something, and a removal.
        let opened = open_at(peer, &lossy(peer, lose_first(contested)), &bucket, "");
        let versions = ["before", "contested"].map(|name| opened.stat(name).unwrap().print.version);
        opened.write("before", b"2", Expect::Version(&versions[0])).unwrap();
        let over = opened.write("contested", b"over", Expect::Version(&versions[1])).unwrap();
        assert_eq!(opened.stat("contested").unwrap().print, over.print, "{}", peer.name);
        let removes = |request: &Request| {
            request.head.starts_with("DELETE") || request.head.contains("?delete")
        };
        let opened = open_at(peer, &lossy(peer, lose_first(removes)), &bucket, "");
        opened.remove("contested", ItemKind::File, &over.print.version).unwrap();
        assert!(opened.stat("contested").is_none(), "{}", peer.name);

        let opened = open_at(peer, &lossy(peer, lose_first(joins)), &bucket, "");
        let bytes = pattern(6 << 20, 4);
        let entry = opened.create("large", &bytes).unwrap();
        let seen = opened.remote.stat("large", ItemKind::File).unwrap().unwrap();
        assert_eq!(seen.print, entry.print, "{}", peer.name);
        assert!(opened.content("large") == bytes, "{}", peer.name);
    }
}

/// A bucket in memory whose server can be told how to treat conditions.
fn bucket_in_memory(refuse: fn(&Request) -> Option<&'static str>, fields: &'static str) -> String {
    let files: Mutex<BTreeMap<String, (String, String)>> = Mutex::default();
    stub(move |request, stream| {
        let mut files = files.lock().unwrap();
        let mut words = request.head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap().to_owned());
        if let Some(status) = refuse(&request) {
            return answer(stream, status, "", &error_xml("Refused", ""));
        }
        let etag = |(etag, mtime): &(String, String)| {
            format!("{fields}ETag: \"{etag}\"\r\nx-amz-meta-mtime: {mtime}\r\n")
        };
        match (method, files.get(&target)) {
            ("HEAD", None) => answer(stream, "404 Not Found", "", ""),
            ("HEAD", Some(file)) => answer(stream, "200 OK", &etag(file), ""),
            ("PUT", _) => {
                let sum = BASE64.decode(request.header("content-md5")).unwrap();
                let mtime = request.header("x-amz-meta-mtime").to_owned();
                let file = (mooring::model::to_hex(&sum), mtime);
                answer(stream, "200 OK", &etag(&file), "");
                files.insert(target, file);
            }
            ("GET", _) => {
                let keys: String = files
                    .iter()
                    .map(|(target, (etag, _))| (target.trim_start_matches("/bucket/"), etag))
                    .map(|(key, etag)| {
                        format!(
                            "<Contents><Key>{key}</Key><Size>0</Size><ETag>{etag}</ETag></Contents>"
                        )
                    })
                    .collect();
                answer(stream, "200 OK", "", &EMPTY.replace("<IsT", &format!("{keys}<IsT")));
            }
            _ => answer(stream, "405 Method Not Allowed", "", ""),
        }
    })
}

#[test]
fn a_condition_that_is_refused_although_it_holds_is_left_out() {
    // Ceph 16 answers 412 to every If-Match, Swift 501; some answer 400 to what they don't know.
    let always: [fn(&Request) -> Option<&'static str>; 3] = [
        |it| (!it.header("if-match").is_empty()).then_some("412 Precondition Failed"),
        |it| (!it.header("if-match").is_empty()).then_some("501 Not Implemented"),
        |it| (!it.header("if-none-match").is_empty()).then_some("501 Not Implemented"),
    ];
    for refuse in always {
        let opened = open_stub(&bucket_in_memory(refuse, ""));
        let mut version = opened.create("a", b"").unwrap().print.version;
        for bytes in [&b""[..], b"", b""] {
            let wrong = Version::new("0123");
            let stale = opened.write("a", bytes, Expect::Version(&wrong));
            assert_eq!(stale.unwrap_err().kind(), Kind::Changed);
            assert_eq!(opened.create("a", bytes).unwrap_err().kind(), Kind::Exists);
            version = opened.write("a", bytes, Expect::Version(&version)).unwrap().print.version;
        }
    }
}

#[test]
fn a_write_at_the_same_time_is_planned_anew() {
    let refuse = |request: &Request| request.head.starts_with("PUT").then_some("409 Conflict");
    let error = open_stub(&bucket_in_memory(refuse, "")).create("a", b"").unwrap_err();
    assert_eq!(error.kind(), Kind::Changed, "{error}");
}

#[test]
fn what_kms_encrypts_has_no_md5() {
    for (fields, known) in [("", true), ("x-amz-server-side-encryption: aws:kms\r\n", false)] {
        let opened = open_stub(&bucket_in_memory(|_| None, fields));
        opened.create("a", b"").unwrap();
        let mut md5s = Vec::new();
        let list = opened.remote.list("", &mut |_, entry| {
            md5s.push(entry.hash.is_some());
            Ok(())
        });
        list.unwrap();
        assert_eq!(md5s, [known]);
        let seen = opened.remote.stat("a", ItemKind::File).unwrap().unwrap();
        assert_eq!(seen.hash.is_some(), known);
    }
}

#[test]
fn somebody_elses_file_is_not_taken_for_ours_after_a_lost_reply() {
    for peer in [swift(), moto()] {
        let bucket = peer.new_bucket();
        let theirs = open_peer(peer, &bucket, "");
        let contested = |request: &Request| {
            request.head.starts_with("PUT") && request.head.contains("/contested")
        };
        // Before our request gets through for the first time, they write.
        let lose = lose_first(contested);
        let upstream = peer.endpoint.trim_start_matches("http://").to_owned();
        let endpoint = stub(move |request, stream| {
            if lose(&request) {
                theirs.create("contested", b"theirs").unwrap();
                return;
            }
            pass_on(&upstream, &request, stream);
        });
        let opened = open_at(peer, &endpoint, &bucket, "");
        opened.create("before", b"1").unwrap();
        assert_eq!(opened.create("contested", b"ours").unwrap_err().kind(), Kind::Exists);
        assert_eq!(opened.content("contested"), b"theirs", "{}", peer.name);
    }
}

#[test]
fn an_upload_that_cannot_go_on_leaves_nothing_behind() {
    for peer in [swift(), moto()] {
        let bucket = peer.new_bucket();
        let opened = open_peer(peer, &bucket, "");
        let bytes = pattern(6 << 20, 1);
        let content = Bytes::with(&bytes, Flaw::Changes);
        let notes = Notes::default();
        let write = opened.remote.write("large", &content, TIME, Expect::Absent, &notes);
        assert_eq!(write.unwrap_err().kind(), Kind::Changed, "{}", peer.name);
        assert_eq!(unfinished(peer, &bucket), "[]", "{}", peer.name);
    }
}

/// What rclone tells of a bucket's uploads in parts that were begun and neither finished nor dropped.
fn unfinished(peer: &S3Peer, bucket: &str) -> String {
    let told = peer.rclone(&["backend", "list-multipart-uploads", &format!("peer:{bucket}")]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    told[bucket].to_string()
}

/// A proxy that leads every tunnel to one server, whatever host was asked for; tells the hosts.
pub fn tunnel_to(server: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = server.trim_start_matches("http://").to_owned();
    let hosts = Arc::new(Mutex::new(Vec::new()));
    let asked = hosts.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(std::result::Result::ok) {
            let mut from_client = BufReader::new(client.try_clone().unwrap());
            let mut first = String::new();
            from_client.read_line(&mut first).unwrap();
            asked.lock().unwrap().push(first.split(' ').nth(1).unwrap().to_owned());
            let mut line = String::new();
            while from_client.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let mut to_client = client;
            to_client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let mut to_server = TcpStream::connect(&server).unwrap();
            let mut from_server = to_server.try_clone().unwrap();
            std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
            std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        }
    });
    (address, hosts)
}

#[test]
fn a_bucket_in_the_host_is_found_through_a_proxy() {
    let peer = moto();
    let bucket = peer.new_bucket();
    let (proxy, hosts) = tunnel_to(&peer.endpoint);
    let settings = [
        ("endpoint", "http://s3.us-east-1.amazonaws.com"),
        ("region", &peer.region),
        ("bucket", &bucket),
        ("access-key", &peer.access_key),
        ("secret-key", &peer.secret_key),
    ];
    let options = HttpOptions { proxy: Some(proxy), ..HttpOptions::default() };
    let opened = Opened::new("s3", &settings, "in here", &options).unwrap();
    opened.remote.test().unwrap();
    opened.create("a file", b"content").unwrap();
    assert_eq!(opened.keys(), ["a file"]);
    assert_eq!(open_peer(peer, &bucket, "in here").content("a file"), b"content");
    let expected = format!("{bucket}.s3.us-east-1.amazonaws.com:80");
    assert!(hosts.lock().unwrap().iter().all(|host| *host == expected), "{hosts:?}");
}
